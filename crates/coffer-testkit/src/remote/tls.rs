//! A certificate of an authority of its own, and the handshake it is shown in.

use std::net::TcpStream;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A certificate for `localhost`.
#[derive(Clone)]
pub struct Certified {
    config: Arc<ServerConfig>,
    authority: String,
}

impl Certified {
    /// Makes authority and certificate.
    ///
    /// # Panics
    /// If the libraries of TLS refuse what they made.
    pub fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pair = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&pair).expect("an authority's certificate");
        let authority = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(authority.der())
        );
        let issuer = Issuer::new(params, pair);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("key and certificate fit");
        Self { config: Arc::new(config), authority }
    }

    /// The authority's certificate, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn shake_hands(
        &self,
        mut stream: TcpStream,
    ) -> Option<StreamOwned<ServerConnection, TcpStream>> {
        let mut connection = ServerConnection::new(Arc::clone(&self.config)).ok()?;
        connection.complete_io(&mut stream).ok()?;
        Some(StreamOwned::new(connection, stream))
    }
}
