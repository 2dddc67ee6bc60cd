//! Certificates and tokens: the CA, its clients, and TLS that follows them.
