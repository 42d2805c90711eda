use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{CertificateParams, DnType};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::UnixStream;

use super::super::connect;
use super::super::test_certificates::{Authority, Signed};
use super::*;

fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/acceptor").join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    place
}

fn write(place: &Path, signed: &Signed, authority: &Authority) -> AcceptorFiles {
    let path = |name: &str| place.join(name);
    fs::write(path("weir.crt"), signed.certificate.pem()).unwrap();
    fs::write(path("weir.key"), signed.key.serialize_pem()).unwrap();
    fs::set_permissions(path("weir.key"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path("ca.crt"), authority.pem()).unwrap();
    AcceptorFiles {
        certificate: path("weir.crt"),
        key: path("weir.key"),
        roots: Some(path("ca.crt")),
        revoked: None,
        tls_1_2: true,
    }
}

/// A client's handshake; what the acceptor made of it, and which certificate the client was shown.
async fn handshake(
    acceptor: &Acceptor,
    client: ClientConfig,
) -> (io::Result<(Stream, Tls)>, Option<Vec<u8>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let (accepted, connected) = tokio::join!(
        acceptor.accept(Socket::Unix(ours)),
        connect(Socket::Unix(theirs), Arc::new(client), name)
    );
    let shown = connected.ok().and_then(|secured| secured.peer_certificate().map(<[u8]>::to_vec));
    (accepted, shown)
}

fn client(authority: &Authority, own: Option<&Signed>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots());
    match own {
        None => builder.with_no_client_auth(),
        Some(signed) => builder.with_client_auth_cert(signed.chain(), signed.key()).unwrap(),
    }
}

fn named(authority: &Authority, name: &str) -> Signed {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    authority.sign(params)
}

#[tokio::test]
async fn a_client_s_certificate_is_verified_where_one_is_shown() {
    let authority = Authority::new();
    let acceptor = Acceptor::load(write(&place("clients"), &authority.server(), &authority)).unwrap();
    let (accepted, _) = handshake(&acceptor, client(&authority, None)).await;
    let (stream, tls) = accepted.unwrap();
    assert_eq!((tls.version, tls.certificate, stream.protocol()), ("TLSv1.3", None, None));
    assert_eq!(tls.end_point.map(|hash| hash.len()), Some(32));

    let mut speaks = client(&authority, Some(&named(&authority, "app")));
    speaks.alpn_protocols = vec![PROTOCOL.to_vec()];
    let (accepted, _) = handshake(&acceptor, speaks).await;
    let (stream, tls) = accepted.unwrap();
    assert_eq!(stream.protocol(), Some(PROTOCOL));
    assert_eq!(tls.certificate.unwrap().common_name.as_deref(), Some("app"));

    let stranger = named(&Authority::new(), "app");
    let (accepted, _) = handshake(&acceptor, client(&authority, Some(&stranger))).await;
    let error = accepted.unwrap_err();
    assert!(error.get_ref().is_some_and(|why| why.is::<rustls::Error>()), "{error:?}");
}

#[tokio::test]
async fn another_protocol_within_is_refused() {
    let authority = Authority::new();
    let acceptor = Acceptor::load(write(&place("alpn"), &authority.server(), &authority)).unwrap();
    let mut speaks = client(&authority, None);
    speaks.alpn_protocols = vec![b"h2".to_vec()];
    assert!(handshake(&acceptor, speaks).await.0.is_err());
}

#[tokio::test]
async fn files_are_taken_anew_and_wrong_ones_are_not() {
    let authority = Authority::new();
    let place = place("reload");
    let first = authority.server();
    let acceptor = Acceptor::load(write(&place, &first, &authority)).unwrap();
    let second = authority.server();
    let shown = async || handshake(&acceptor, client(&authority, None)).await.1.unwrap();
    assert_eq!(shown().await, first.certificate.der().to_vec());

    write(&place, &second, &authority);
    fs::write(place.join("weir.key"), first.key.serialize_pem()).unwrap();
    let error = acceptor.reload().unwrap_err().to_string();
    assert!(error.contains("weir.key") && error.contains("weir.crt"), "{error}");
    assert_eq!(shown().await, first.certificate.der().to_vec(), "what held before holds on");

    write(&place, &second, &authority);
    acceptor.reload().unwrap();
    assert_eq!(shown().await, second.certificate.der().to_vec());
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_it_may_be() {
    let authority = Authority::new();
    let old = || {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth()
    };
    let files = write(&place("versions"), &authority.server(), &authority);
    let acceptor = Acceptor::load(files.clone()).unwrap();
    assert_eq!(handshake(&acceptor, old()).await.0.unwrap().1.version, "TLSv1.2");
    let acceptor = Acceptor::load(AcceptorFiles { tls_1_2: false, ..files }).unwrap();
    assert!(handshake(&acceptor, old()).await.0.is_err());
}
