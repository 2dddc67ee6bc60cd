//! The messages of `istio.v1.auth.IstioCertificateService`, as far as they are used.
//!
//! Written by hand: two messages of few fields are not worth a compiler.

/// Where the one method is.
pub(crate) const CREATE_CERTIFICATE: &str =
    "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// The service's name, for routers.
pub(crate) const SERVICE: &str = "istio.v1.auth.IstioCertificateService";
/// Largest message of either side that is read, in bytes.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;

/// `IstioCertificateRequest`; its field 4, metadata, is passed over.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CertificateRequest {
    /// The signing request, PEM.
    #[prost(string, tag = "1")]
    pub(crate) csr: String,
    /// The life asked for, in seconds.
    #[prost(int64, tag = "3")]
    pub(crate) validity_duration: i64,
}

/// `IstioCertificateResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CertificateResponse {
    /// PEM certificates, leaf first, root last.
    #[prost(string, repeated, tag = "1")]
    pub(crate) cert_chain: Vec<String>,
}
