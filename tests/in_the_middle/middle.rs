//! Who stands in between. Each connection of a client's is one of his to weir.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use harness::Issued;
use rustls::StreamOwned;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
};
use weir::net::tls::provider;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What he does.
pub(crate) enum Act {
    /// Answers `N` for weir, and passes the rest on.
    Strip,
    /// Says this behind weir's `S`.
    SayEarly(&'static [u8]),
    /// Passes all on, and keeps what the client says.
    Listen,
    /// Shows this certificate, and passes on what he reads.
    Impersonate(Issued),
    /// The same, and strikes channel binding from weir's offer.
    ImpersonateWithoutBinding(Issued),
}

/// Somebody in between who listens at a port.
pub(crate) struct Middle {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Middle {
    pub(crate) fn start(weir: u16, act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (act, heard) = (Arc::new(act), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let ours = heard.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let (act, heard) = (act.clone(), ours.clone());
                thread::spawn(move || {
                    let mut all = Vec::new();
                    // Who is refused closes with something unread, which is a reset.
                    let _ = converse(client, weir, &act, &mut all);
                    heard.lock().unwrap().push(all);
                });
            }
        });
        Self { port, heard }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What clients have said in each connection that is over, in whatever form he can read.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

fn converse(mut client: TcpStream, weir: u16, act: &Act, heard: &mut Vec<u8>) -> std::io::Result<()> {
    let mut weir = TcpStream::connect(("127.0.0.1", weir))?;
    let mut request = [0; 8];
    client.read_exact(&mut request)?;
    assert_eq!(request, SSL_REQUEST);
    heard.extend_from_slice(&request);
    if let Act::Strip = act {
        client.write_all(b"N")?;
        return pass(client, weir, heard);
    }
    weir.write_all(&request)?;
    let mut answer = [0];
    weir.read_exact(&mut answer)?;
    assert_eq!(answer, *b"S");
    match act {
        Act::Strip => unreachable!(),
        Act::SayEarly(more) => {
            client.write_all(&[&answer[..], more].concat())?;
            pass(client, weir, heard)
        }
        Act::Listen => {
            client.write_all(&answer)?;
            pass(client, weir, heard)
        }
        Act::Impersonate(issued) | Act::ImpersonateWithoutBinding(issued) => {
            client.write_all(&answer)?;
            let mut client = StreamOwned::new(server(issued), client);
            while client.conn.is_handshaking() {
                client.conn.complete_io(&mut client.sock)?;
            }
            let weir = StreamOwned::new(credulous(), weir);
            relay(client, weir, act, heard)
        }
    }
}

/// Passes bytes on, both ways.
fn pass(mut client: TcpStream, mut weir: TcpStream, heard: &mut Vec<u8>) -> std::io::Result<()> {
    let (mut from_weir, mut to_client) = (weir.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = std::io::copy(&mut from_weir, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = client.read(&mut chunk) {
        heard.extend_from_slice(&chunk[..n]);
        weir.write_all(&chunk[..n])?;
    }
    let _ = weir.shutdown(Shutdown::Write);
    let _ = back.join();
    Ok(())
}

/// Passes on what he reads, both ways: in a login, and for one question, they take turns, so one thread does.
fn relay(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    mut weir: StreamOwned<ClientConnection, TcpStream>,
    act: &Act,
    heard: &mut Vec<u8>,
) -> std::io::Result<()> {
    let turn = Some(Duration::from_millis(20));
    client.sock.set_read_timeout(turn)?;
    weir.sock.set_read_timeout(turn)?;
    let mut chunk = [0; 4096];
    loop {
        match client.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                heard.extend_from_slice(&chunk[..n]);
                weir.write_all(&chunk[..n])?;
            }
            Err(error) if is_a_turn(&error) => {}
            Err(error) => return Err(error),
        }
        match weir.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(n) => client.write_all(&without_binding(act, &chunk[..n]))?,
            Err(error) if is_a_turn(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_a_turn(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// An AuthenticationSASL without what binds.
fn without_binding(act: &Act, said: &[u8]) -> Vec<u8> {
    const OFFER: &[u8] = b"SCRAM-SHA-256-PLUS\0";
    let at = said.windows(OFFER.len()).position(|part| part == OFFER);
    match (act, at) {
        (Act::ImpersonateWithoutBinding(_), Some(_)) => {
            let body = b"\0\0\0\x0aSCRAM-SHA-256\0\0";
            let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
            [b"R", &length[..], body].concat()
        }
        _ => said.to_vec(),
    }
}

fn server(issued: &Issued) -> ServerConnection {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// His own way to weir, whose certificate is not his concern.
fn credulous() -> ClientConnection {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Sends bytes to a port, and reads until it closes.
pub(crate) fn send_all(port: u16, bytes: &[u8]) -> Vec<u8> {
    replay(port, &[], bytes)
}

/// Sends some bytes and, once they are answered, others; and reads until the port closes.
pub(crate) fn replay(port: u16, first: &[u8], then: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut said = Vec::new();
    if !first.is_empty() {
        stream.write_all(first).unwrap();
        said.resize(1, 0);
        stream.read_exact(&mut said).unwrap();
    }
    // Who is refused need not read all of it.
    let _ = stream.write_all(then);
    let _ = stream.read_to_end(&mut said);
    said
}
