//! Tubeway's Kubernetes resource types.
