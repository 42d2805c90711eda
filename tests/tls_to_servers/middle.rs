//! Somebody in between: what he says in the place of the server is not believed, and nothing is said to him.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use harness::{Authority, Cluster, Issued, Options, Result, WeirSetup, wait_for};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::copy_bidirectional;
use tokio::time::Instant;
use weir::backend::{Credentials, Login, Proof, log_in};
use weir::config::{ChannelBinding, Secret};
use weir::net::tls::{Root, ServerTls, SslMode, Terms, accept, provider};
use weir::net::{Encryption, Keepalive, Socket, Stream, Target, Way};

use crate::{PATIENCE, WEIR, file};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// An error as a server would send it, in words that lead astray.
const LIE: &[u8] = b"E\0\0\0\x2dSFATAL\0C28000\0Mcall 0800-1234 at once\0\0";

/// Answers the first eight bytes of each connection with always the same, and keeps what it hears.
struct Middle {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Middle {
    fn saying(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let ours = heard.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let heard = ours.clone();
                thread::spawn(move || {
                    let mut all = Vec::new();
                    // Who closes with something unread ends it by a reset.
                    let _ = converse(client, answer, &mut all);
                    heard.lock().unwrap().push(all);
                });
            }
        });
        Self { port, heard }
    }
}

fn converse(mut client: TcpStream, answer: &[u8], heard: &mut Vec<u8>) -> std::io::Result<()> {
    heard.resize(8, 0);
    client.read_exact(heard)?;
    client.write_all(answer)?;
    if answer.is_empty() {
        client.shutdown(std::net::Shutdown::Write)?;
    }
    client.read_to_end(heard).map(drop)
}

async fn attempt(port: u16, terms: Terms) -> weir::error::Result<Login> {
    let tls = ServerTls::new(terms);
    let target = Target { host: "127.0.0.1", address: None, port, tls: &tls };
    let proof = Proof::Password(Secret::new("app"));
    let credentials = Credentials { user: "app", proof: &proof, database: "app", parameters: &[] };
    let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(2));
    log_in(&target, ChannelBinding::Prefer, &credentials, &keepalive, Instant::now() + PATIENCE).await
}

#[tokio::test]
async fn what_is_no_answer_is_refused_and_nothing_follows() {
    let strict = [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];
    let all = [SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];
    let root = file("middle", "root.pem", &Authority::new("ours").pem());
    for (answer, modes, words) in [
        (&b"N"[..], &strict[..], "server does not support SSL, but SSL was required"),
        (LIE, &all, "server sent an error response during SSL exchange"),
        (b"S\x16\x03\x03", &all, "received unencrypted data after SSL response"),
        (b"NE", &all, "received unencrypted data after SSL response"),
        (b"R", &all, "received invalid response to SSL negotiation"),
        (b"", &all, "the server cannot be reached"),
    ] {
        for mode in modes {
            let middle = Middle::saying(answer);
            let terms = Terms { mode: *mode, root: Root::File(root.clone()), ..Terms::default() };
            let error = attempt(middle.port, terms).await.unwrap_err();
            assert!(error.to_string().contains(words), "{mode:?}, {answer:?}: {error}");
            assert!(!error.to_string().contains("0800") && error.sqlstate() == "08006", "{error:?}");
            let heard = || Ok((!middle.heard.lock().unwrap().is_empty()).then_some(()));
            wait_for("the end", PATIENCE, heard).unwrap();
            assert_eq!(*middle.heard.lock().unwrap(), [SSL_REQUEST], "{mode:?}, {answer:?}: one connection");
        }
    }
}

/// Who has made the server's own bytes his: what stands behind the S is no part of the conversation, even if it comes late.
#[tokio::test]
async fn what_is_said_in_place_of_a_handshake_is_none() {
    let middle = Middle::saying(b"S");
    let late = Terms { mode: SslMode::Require, ..Terms::default() };
    let outcome = tokio::time::timeout(Duration::from_secs(1), attempt(middle.port, late)).await;
    assert!(outcome.is_err(), "it waits for the handshake");
}

#[test]
fn the_reason_is_told_to_whom_it_concerns() -> Result<()> {
    let cluster = Cluster::shared();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let root = file("reasons", "root.pem", &ours.pem());
    let own = Cluster::with(Options::new(0))?;
    let verify = format!("sslmode = \"verify-full\"\nsslrootcert = {root:?}");
    let mut cases: Vec<(String, u16, &str)> = vec![
        (
            "sslmode = \"require\"".to_owned(),
            Middle::saying(b"N").port,
            "server does not support SSL, but SSL was required",
        ),
        (
            "sslmode = \"prefer\"".to_owned(),
            Middle::saying(LIE).port,
            "server sent an error response during SSL exchange",
        ),
        (verify.clone(), cluster.port(0), "server does not support SSL, but SSL was required"),
    ];
    for (issued, words) in [
        (
            ours.server(&["other.example"]),
            "server certificate for \"other.example\" does not match host name \"127.0.0.1\"",
        ),
        (ours.expired(&["127.0.0.1"]), "certificate verify failed: certificate has expired"),
        (
            Issued::by_itself(&["127.0.0.1"]),
            "certificate verify failed: its issuer is not among the trusted root certificates",
        ),
        (
            other.server(&["127.0.0.1"]),
            "certificate verify failed: its issuer is not among the trusted root certificates",
        ),
    ] {
        own.secure(0, &issued.certificate, &issued.key, None)?;
        cases.push((verify.clone(), own.port(0), words));
        check(cases.drain(..))?;
    }
    Ok(())
}

fn check(cases: impl Iterator<Item = (String, u16, &'static str)>) -> Result<()> {
    for (keys, port, words) in cases {
        let server = format!("[[servers]]\nname = \"far\"\nhost = \"127.0.0.1\"\nport = {port}\n{keys}\n");
        let weir = WeirSetup::in_front_of(Cluster::shared(), [])
            .append(&server)
            .set("pool", "primary_wait", "\"100ms\"")
            .start_unready(WEIR)?;
        wait_for(&format!("/readyz to say {words}"), PATIENCE, || {
            Ok(weir.get("/readyz")?.contains(words).then_some(()))
        })?;
        let refused = weir.connect().map(drop).unwrap_err();
        assert_eq!(refused.sqlstate(), Some("08006"), "{refused}");
        let log = weir.log().replace("\\\"", "\"");
        assert!(log.contains(words), "{words}: {log}");
        assert!(!log.contains("0800-1234") && !weir.get("/readyz")?.contains("0800-1234"), "{log}");
    }
    Ok(())
}

/// A server behind something that speaks TLS for it, from the first byte on.
async fn direct(server: u16, issued: &Issued, protocols: &[&[u8]]) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let config = Arc::new(config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let config = config.clone();
            tokio::spawn(async move {
                let client = accept(Socket::tcp(client).unwrap(), config).await.unwrap();
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let _ = copy_bidirectional(&mut Stream::Tls(client), &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn tls_from_the_first_byte_on() -> Result<()> {
    let cluster = Cluster::shared();
    let ours = Authority::new("ours");
    let issued = ours.server(&["127.0.0.1"]);
    let terms = || Terms {
        mode: SslMode::VerifyFull,
        begin: Way::Direct,
        root: Root::File(file("direct", "root.pem", &ours.pem())),
        ..Terms::default()
    };
    let login = attempt(direct(cluster.port(0), &issued, &[b"postgresql"]).await, terms()).await.unwrap();
    assert_eq!(login.way, Way::Direct);
    let error = attempt(direct(cluster.port(0), &issued, &[]).await, terms()).await.unwrap_err();
    assert!(error.to_string().contains("without ALPN protocol negotiation extension"), "{error}");
    let error = attempt(direct(cluster.port(0), &issued, &[b"http/1.1"]).await, terms()).await.unwrap_err();
    assert!(error.to_string().contains("no secure connection"), "{error}");
    // A server that does not know of it.
    let error = attempt(cluster.port(0), terms()).await.unwrap_err();
    assert_eq!(error.sqlstate(), "08006", "{error}");
    Ok(())
}

/// Shows one certificate, and keeps by which names it was asked for.
#[derive(Debug)]
struct Asked {
    key: Arc<CertifiedKey>,
    names: Mutex<Vec<Option<String>>>,
}

impl ResolvesServerCert for Asked {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.names.lock().unwrap().push(hello.server_name().map(str::to_owned));
        Some(self.key.clone())
    }
}

#[tokio::test]
async fn a_server_is_told_the_name_by_which_it_was_called() -> Result<()> {
    let ours = Authority::new("ours");
    let issued = ours.server(&["localhost", "127.0.0.1"]);
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let key = Arc::new(CertifiedKey::from_der(chain, key, &provider()).unwrap());
    let asked = Arc::new(Asked { key, names: Mutex::default() });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(asked.clone());
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let config = Arc::new(config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let client = accept(Socket::tcp(client).unwrap(), config.clone()).await;
            drop(client);
        }
    });
    let root = Root::File(file("sni", "root.pem", &ours.pem()));
    let terms = Terms { mode: SslMode::VerifyFull, begin: Way::Direct, root, ..Terms::default() };
    let tls = ServerTls::new(terms);
    let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(2));
    for host in ["localhost", "127.0.0.1"] {
        let target = Target { host, address: None, port, tls: &tls };
        target.connect(Way::Direct, &keepalive, Instant::now() + PATIENCE).await?;
    }
    assert_eq!(*asked.names.lock().unwrap(), [Some("localhost".to_owned()), None]);
    Ok(())
}

/// A Unix socket's file can be had by nobody else, and libpq has no TLS over it either.
#[tokio::test]
async fn unix_sockets_are_never_encrypted() -> Result<()> {
    let cluster = Cluster::shared();
    let terms = Terms { mode: SslMode::VerifyFull, root: Root::System, ..Terms::default() };
    let tls = ServerTls::new(terms);
    let directory = cluster.directory().to_string_lossy().into_owned();
    let target = Target { host: &directory, address: None, port: cluster.port(0), tls: &tls };
    let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(2));
    let dialled = target.connect(target.first(), &keepalive, Instant::now() + PATIENCE).await?;
    assert!(matches!(dialled.encryption, Encryption::None));
    Ok(())
}
