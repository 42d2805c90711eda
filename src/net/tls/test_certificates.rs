//! Certificates and pairs of encrypted streams, for tests.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::UnixStream;

use super::{accept, connect, provider};
use crate::net::{Socket, Stream};

/// Who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "weir's tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for localhost.
    pub(crate) fn server(&self) -> Signed {
        self.sign(CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap())
    }

    pub(crate) fn sign(&self, params: CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        Signed { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        Arc::new(roots)
    }
}

impl Signed {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.serialize_der().into())
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }
}

/// What the two ends of a pair of streams begin with.
pub(crate) fn configs(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let signed = authority.server();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(signed.chain(), signed.key())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A server's and a client's end of an encrypted stream over these sockets.
pub(crate) async fn pair_over(
    (server, client): (Socket, Socket),
    version: &'static SupportedProtocolVersion,
) -> (Stream, Stream) {
    let configs = configs(&Authority::new(), version);
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(accept(server, configs.0), connect(client, configs.1, name));
    (Stream::Tls(server.unwrap()), Stream::Tls(client.unwrap()))
}

/// The same over a Unix socket.
pub(crate) async fn pair() -> (Stream, Stream) {
    let (server, client) = UnixStream::pair().unwrap();
    pair_over((Socket::Unix(server), Socket::Unix(client)), &rustls::version::TLS13).await
}
