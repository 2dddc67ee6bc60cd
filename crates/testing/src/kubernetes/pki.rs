//! Keys and certificates of a control plane.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use super::{ControlPlaneError, failed};

/// A certificate authority for servers and users alike.
pub(super) struct Pki {
    ca_pem: String,
    ca: Issuer<'static, KeyPair>,
}

// === impl Pki ===

impl Pki {
    /// Makes a new one, and writes what the API server reads into `folder`: `ca.crt`,
    /// `apiserver.crt` and `.key`, `accounts.key` and `.pub` for tokens.
    /// The API server's is for `address`, too.
    pub(super) fn write(folder: &Path, address: Ipv4Addr) -> Result<Self, ControlPlaneError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let pki = Self {
            ca_pem: params.self_signed(&key)?.pem(),
            ca: Issuer::new(params, key),
        };
        let names = [
            "127.0.0.1",
            "10.96.0.1",
            "localhost",
            "kubernetes.default.svc",
            &address.to_string(),
        ];
        let names = names.map(str::to_owned).to_vec();
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = pki.sign("kube-apiserver", None, names, usage)?;
        let accounts = KeyPair::generate()?;
        let files = [
            ("ca.crt", pki.ca_pem.clone()),
            ("apiserver.crt", certificate),
            ("apiserver.key", key),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
        ];
        for (name, text) in files {
            fs::write(folder.join(name), text).map_err(failed("write keys and certificates"))?;
        }
        Ok(pki)
    }

    /// A kubeconfig for `user`, in `group` if there is one, with a client certificate.
    pub(super) fn kubeconfig(
        &self,
        url: &str,
        user: &str,
        group: Option<&str>,
    ) -> Result<String, ControlPlaneError> {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let (certificate, key) = self.sign(user, group, Vec::new(), usage)?;
        let base64 = |text: &str| STANDARD.encode(text);
        let value = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": base64(&self.ca_pem)}}],
            "users": [{"name": user, "user": {
                "client-certificate-data": base64(&certificate), "client-key-data": base64(&key),
            }}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        });
        Ok(format!("{value:#}\n"))
    }

    /// A certificate and its key, both PEM.
    pub(super) fn sign(
        &self,
        name: &str,
        group: Option<&str>,
        names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(String, String), rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.ca)?.pem(), key.serialize_pem()))
    }
}
