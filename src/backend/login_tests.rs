//! Transcripts of logins to scripted servers, honest and otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Secret;

const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// A login in progress: the server's end of it.
fn connect(password: Option<&'static str>) -> (DuplexStream, JoinHandle<Result<Login<DuplexStream>>>) {
    let (ours, theirs) = duplex(4 * 1024 * 1024);
    let login = tokio::spawn(async move {
        let proof = password.map_or(Proof::None, |password| Proof::Password(Secret::new(password)));
        let credentials = Credentials {
            user: "u",
            proof: &proof,
            database: "d",
            parameters: &[("application_name", "weir")],
        };
        log_in_over(ours, &credentials, Channel::PLAIN).await
    });
    (theirs, login)
}

/// A login against a server that says this, whatever it hears, and closes.
async fn told(password: Option<&'static str>, script: &[&[u8]]) -> Result<Login<DuplexStream>> {
    let (mut server, login) = connect(password);
    server.write_all(&script.concat()).await.unwrap();
    // Closed for writing only: what weir says must not fail.
    server.shutdown().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), login).await.expect("the login must end").unwrap()
}

async fn trouble(password: Option<&'static str>, script: &[&[u8]]) -> Error {
    match told(password, script).await {
        Ok(_) => panic!("logged in"),
        Err(error) => error,
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], (4 + body.len() as u32).to_be_bytes().as_slice(), body].concat()
}

/// Reads what weir says in answer to a demand.
async fn heard(server: &mut DuplexStream) -> Vec<u8> {
    assert_eq!(server.read_u8().await.unwrap(), b'p');
    let mut body = vec![0; server.read_u32().await.unwrap() as usize - 4];
    server.read_exact(&mut body).await.unwrap();
    body
}

async fn heard_startup(server: &mut DuplexStream) -> Vec<u8> {
    let mut body = vec![0; server.read_u32().await.unwrap() as usize - 4];
    server.read_exact(&mut body).await.unwrap();
    body
}

fn pair(name: &'static [u8], value: &'static [u8]) -> Parameter {
    (Bytes::from_static(name), Bytes::from_static(value))
}

#[tokio::test]
async fn trust_and_what_the_server_says_of_itself() {
    let (mut server, login) = connect(None);
    let startup = b"\0\x03\0\0user\0u\0database\0d\0application_name\0weir\0\0";
    assert_eq!(heard_startup(&mut server).await, startup);
    let script = [
        OK,
        &message(b'N', b"SNOTICE\0\0"),
        &message(b'S', b"server_version\x0015.1\0"),
        &message(b'S', b"TimeZone\0UTC\0"),
        &message(b'S', b"search_path\0caf\xe9\0"),
        &message(b'S', b"TimeZone\0GMT\0"),
        &message(b'K', b"\0\0\x01\0\xde\xad\xbe\xef"),
        READY,
        b"N\0\0",
    ];
    server.write_all(&script.concat()).await.unwrap();
    let login = login.await.unwrap().unwrap();
    let expected =
        [pair(b"server_version", b"15.1"), pair(b"TimeZone", b"GMT"), pair(b"search_path", b"caf\xe9")];
    assert_eq!(login.parameters, expected);
    assert!(login.key.unwrap().admits(&CancelKey::new(256, vec![0xde, 0xad, 0xbe, 0xef]).unwrap()));
    assert_eq!(login.received, b"N\0\0".as_slice());
}

#[tokio::test]
async fn a_key_may_be_long_or_missing_and_a_version_negotiated() {
    let long = message(b'K', &[&[0, 0, 0, 1], [7; 256].as_slice()].concat());
    let negotiated = message(b'v', b"\0\x03\0\0\0\0\0\0");
    let login = told(None, &[&negotiated, OK, &long, READY]).await.unwrap();
    assert_eq!(login.key.unwrap().secret(), [7; 256]);
    assert_eq!(told(None, &[OK, READY]).await.unwrap().key, None);
}

#[tokio::test]
async fn cleartext_and_md5_passwords() {
    let (mut server, login) = connect(Some("secret"));
    heard_startup(&mut server).await;
    server.write_all(&message(b'R', &3u32.to_be_bytes())).await.unwrap();
    assert_eq!(heard(&mut server).await, b"secret\0");
    server.write_all(&[OK, READY].concat()).await.unwrap();
    login.await.unwrap().unwrap();

    let (mut server, login) = connect(Some("secret"));
    heard_startup(&mut server).await;
    server.write_all(&message(b'R', b"\0\0\0\x05\x01\x02\x03\x04")).await.unwrap();
    // md5(hex(md5("secret" "u")) 01020304), computed by hand with md5sum.
    assert_eq!(heard(&mut server).await, MD5_OF_SECRET);
    server.write_all(&[OK, READY].concat()).await.unwrap();
    login.await.unwrap().unwrap();
}

const MD5_OF_SECRET: &[u8] = b"md5dffd2564502f75393b3854e1532b9fa6\0";

#[tokio::test]
async fn the_servers_own_words_are_passed_on() {
    let full = message(b'E', b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0");
    for script in [[full.as_slice()].as_slice(), &[OK, &full]] {
        let Error::Refused { sqlstate, message, .. } = trouble(None, script).await else {
            panic!("not refused")
        };
        assert_eq!((sqlstate.as_str(), message.as_str()), ("53300", "sorry, too many clients already"));
    }
}

#[tokio::test]
async fn errors_with_missing_or_broken_fields() {
    for body in [b"".as_slice(), b"\0", b"C", b"C12\0\0", b"Cca\xff\xff\xff\0", b"SFATAL\0"] {
        let Error::Refused { sqlstate, message, .. } = trouble(None, &[&message(b'E', body)]).await else {
            panic!("not refused: {body:?}")
        };
        assert_eq!((sqlstate.as_str(), message.as_str()), ("08006", "the server refused the connection"));
    }
}

#[tokio::test]
async fn a_password_that_is_not_configured() {
    for demand in [b"\0\0\0\x03".as_slice(), b"\0\0\0\x05abcd", b"\0\0\0\x0aSCRAM-SHA-256\0\0"] {
        let error = trouble(None, &[&message(b'R', demand)]).await;
        assert!(matches!(error, Error::ServerAuthentication(words) if words.contains("password")), "{error}");
    }
}

#[tokio::test]
async fn methods_that_weir_does_not_know() {
    for (demand, word) in [
        (b"\0\0\0\x07".as_slice(), "GSSAPI"),
        (b"\0\0\0\x02", "Kerberos"),
        (b"\0\0\0\x09", "SSPI"),
        (b"\0\0\0\x63", "does not know"),
        (b"\0\0\0\x0aOAUTHBEARER\0\0", "SASL mechanism"),
        (b"\0\0\0\x0a", "SASL mechanism"),
    ] {
        let error = trouble(Some("secret"), &[&message(b'R', demand)]).await;
        assert!(matches!(error, Error::ServerAuthentication(words) if words.contains(word)), "{error}");
    }
}

#[tokio::test]
async fn messages_that_no_server_should_send() {
    let demand = |body: &[u8]| message(b'R', body);
    let many: Vec<u8> =
        (0..=PARAMETERS_MAX).flat_map(|n| message(b'S', format!("p{n}\0\0").as_bytes())).collect();
    let scripts: Vec<Vec<u8>> = vec![
        demand(b""),
        demand(b"\0\0\0"),
        demand(b"\0\0\0\x05abc"),
        demand(b"\0\0\0\x0br=x"),
        demand(b"\0\0\0\x0cv=x"),
        READY.to_vec(),
        message(b'D', b"\0\0"),
        b"R\0\0\0\x03".to_vec(),
        b"R\0\0\x40\x01".to_vec(),
        b"E\x7f\xff\xff\xff".to_vec(),
        b"HTTP/1.1 400 Bad Request".to_vec(),
        [OK, OK].concat(),
        [OK, b"Z\0\0\0\x05T"].concat(),
        [OK, b"Z\0\0\0\x04"].concat(),
        [OK, &message(b'K', b"\0\0\0\x01abc")].concat(),
        [OK, &message(b'K', b"\0")].concat(),
        [OK, &message(b'S', b"name")].concat(),
        [OK, &message(b'S', b"name\0value")].concat(),
        [OK, &message(b'S', b"name\0value\0more")].concat(),
        [OK, &many].concat(),
        [demand(b"\0\0\0\x03"), demand(b"\0\0\0\x03")].concat(),
    ];
    for script in scripts {
        let error = trouble(Some("secret"), &[&script]).await;
        assert!(
            matches!(error, Error::ServerProtocol(_)),
            "{error:?} to {:?}",
            String::from_utf8_lossy(&script)
        );
    }
}

#[tokio::test]
async fn a_server_that_closes_cannot_be_reached() {
    for script in [b"".as_slice(), b"R", b"R\0\0\0\x08", OK, &[OK, b"Z\0"].concat()] {
        assert!(matches!(trouble(None, &[script]).await, Error::Unreachable(_)));
    }
}

/// Plays the server's part of a SCRAM exchange up to the challenge `first`, made from the client's nonce.
async fn challenge(
    first: impl FnOnce(&str) -> String,
) -> (DuplexStream, JoinHandle<Result<Login<DuplexStream>>>) {
    let (mut server, login) = connect(Some("secret"));
    heard_startup(&mut server).await;
    server.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")).await.unwrap();
    let initial = heard(&mut server).await;
    let text = String::from_utf8_lossy(&initial).into_owned();
    assert!(text.starts_with("SCRAM-SHA-256\0"), "channel binding needs TLS");
    assert!(text.contains("n,,n=,r="));
    let nonce = text.split_once("n=,r=").unwrap().1;
    let body = [b"\0\0\0\x0b", first(nonce).as_bytes()].concat();
    server.write_all(&message(b'R', &body)).await.unwrap();
    (server, login)
}

#[tokio::test]
async fn a_servers_challenge_is_checked() {
    let challenges: [fn(&str) -> String; 5] = [
        |_| "r=other,s=QSXCR+Q6sek8bf92,i=4096".to_owned(),
        |nonce| format!("r={nonce}x,s=%%%,i=4096"),
        // A count that would keep a thread busy for minutes.
        |nonce| format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4000000000"),
        |nonce| format!("r={nonce}x,s=QSXCR+Q6sek8bf92"),
        |_| "\u{fffd}".to_owned(),
    ];
    for first in challenges {
        let (_server, login) = challenge(first).await;
        let error = login.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::ServerAuthentication(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_must_prove_itself() {
    let endings: [&[u8]; 4] = [
        // No proof at all.
        OK,
        &message(b'R', b"\0\0\0\x0cv=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        &message(b'R', b"\0\0\0\x0ce=other-error"),
        &message(b'R', b"\0\0\0\x0c"),
    ];
    for ending in endings {
        let (mut server, login) = challenge(|nonce| format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=2")).await;
        heard(&mut server).await;
        server.write_all(&[ending, OK, READY].concat()).await.unwrap();
        let error = login.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::ServerAuthentication(_) | Error::ServerProtocol(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let credentials = Credentials { user: "u", proof: &Proof::None, database: "d", parameters: &[] };
    let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(1));
    let deadline = Instant::now() + Duration::from_millis(50);
    let tls = Arc::default();
    let target = Target { host: "127.0.0.1", address: None, port, tls: &tls };
    let error =
        log_in(&target, ChannelBinding::Prefer, &credentials, &keepalive, deadline).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(late) if late.kind() == io::ErrorKind::TimedOut));
}

proptest::proptest! {
    #[test]
    fn no_server_makes_a_login_panic_or_hang(noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for prefix in [b"".as_slice(), OK, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", b"R\0\0\0\x08\0\0\0\x03"] {
            let _ = runtime.block_on(told(Some("secret"), &[prefix, &noise]));
        }
    }
}
