//! What the mesh of a local installation is called.

/// Its trust domain.
pub const TRUST_DOMAIN: &str = "cluster.local";
/// DNS name in the operator's certificate.
pub const OPERATOR_NAME: &str = "tubeway-operator.tubeway-system.svc";
/// SPIFFE id of the operator.
pub const OPERATOR_ID: &str = "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator";
