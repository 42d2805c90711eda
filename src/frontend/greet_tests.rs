//! Transcripts of greetings: what a client sends, what it reads, what comes of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

/// A StartupMessage.
fn startup(major: u16, minor: u16, parameters: &[u8]) -> Vec<u8> {
    let body = [&major.to_be_bytes(), &minor.to_be_bytes(), parameters, b"\0"].concat();
    [&(4 + body.len() as u32).to_be_bytes(), body.as_slice()].concat()
}

fn pair(name: &str, value: &str) -> Parameter {
    (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
}

/// A client at the door.
fn knock() -> (DuplexStream, JoinHandle<Result<Knock>>) {
    let (ours, theirs) = duplex(64 * 1024);
    let door = async move {
        let patience = Duration::from_secs(5);
        timeout(patience, greet(&mut Handshake::new(ours), Asked::InVain))
            .await
            .expect("the door must not wait for more")
    };
    (theirs, tokio::spawn(door))
}

/// Sends everything at once, and returns what came of it and what the client read.
async fn send(bytes: &[u8]) -> (Result<Knock>, Vec<u8>) {
    let (mut client, door) = knock();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let outcome = door.await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    (outcome, said)
}

async fn greeting(bytes: &[u8]) -> (Greeting, Vec<u8>) {
    match send(bytes).await {
        (Ok(Knock::Greeting(greeting)), said) => (greeting, said),
        (other, _) => panic!("not a greeting: {other:?}"),
    }
}

async fn refusal(bytes: &[u8]) -> (String, String) {
    let error = send(bytes).await.0.unwrap_err();
    (error.sqlstate().to_owned(), error.to_string())
}

#[tokio::test]
async fn a_plain_start() {
    let packet = startup(3, 0, b"user\0u\0database\0d\0application_name\0psql\0client_encoding\0UTF8\0");
    let (greeting, said) = greeting(&packet).await;
    assert!(said.is_empty());
    assert_eq!((greeting.user.as_str(), greeting.database.as_str(), greeting.minor), ("u", "d", 0));
    assert_eq!(greeting.parameters, [pair("application_name", "psql"), pair("client_encoding", "UTF8")]);
    assert_eq!(greeting.parameter("APPLICATION_NAME").unwrap(), "psql");
    assert_eq!(greeting.parameter("nothing"), None);
}

#[tokio::test]
async fn the_database_defaults_to_the_user() {
    assert_eq!(greeting(&startup(3, 0, b"user\0u\0")).await.0.database, "u");
    assert_eq!(greeting(&startup(3, 0, b"user\0u\0database\0\0")).await.0.database, "u");
}

#[tokio::test]
async fn options_take_effect_before_the_packets_own_settings() {
    let packet = startup(3, 0, b"search_path\0b\0user\0u\0options\0-c search_path=a --work-mem=1MB\0");
    let (greeting, _) = greeting(&packet).await;
    let expected = [pair("search_path", "a"), pair("work_mem", "1MB"), pair("search_path", "b")];
    assert_eq!(greeting.parameters, expected);
    assert_eq!(greeting.parameter("search_path").unwrap(), "b");
}

#[tokio::test]
async fn encryption_is_declined_once_of_each_kind_in_either_order() {
    for order in [[SSL, GSS], [GSS, SSL]] {
        let (mut client, door) = knock();
        for request in order {
            client.write_all(request).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'N');
        }
        client.write_all(&startup(3, 2, b"user\0u\0")).await.unwrap();
        assert!(matches!(door.await.unwrap(), Ok(Knock::Greeting(greeting)) if greeting.minor == 2));
    }
}

#[tokio::test]
async fn asking_twice_is_taken_for_a_version_as_postgresql_does() {
    for (request, minor) in [(SSL, 5679), (GSS, 5680)] {
        let (mut client, door) = knock();
        client.write_all(request).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'N');
        client.write_all(request).await.unwrap();
        let error = door.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Version { major: 1234, minor: m } if m == minor), "{error}");
    }
}

#[tokio::test]
async fn bytes_behind_an_encryption_request_are_refused() {
    let early = [SSL, &startup(3, 0, b"user\0mallory\0")].concat();
    let (outcome, said) = send(&early).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.sqlstate(), "08P01");
    assert_eq!(error.to_string(), "received unencrypted data after SSL request");
    assert!(error.detail().unwrap().contains("man-in-the-middle"));
    assert!(said.is_empty(), "no answer may be given to a request that came with more");

    let one_byte = [GSS, b"x"].concat();
    let words = "received unencrypted data after GSSAPI encryption request";
    assert_eq!(refusal(&one_byte).await, ("08P01".to_owned(), words.to_owned()));
}

#[tokio::test]
async fn newer_minors_and_unknown_extensions_are_negotiated() {
    // GREASE: libpq asks for 3.9999 to see that servers negotiate.
    let (newer, said) = greeting(&startup(3, 9999, b"user\0u\0_pq_.test_protocol_negotiation\0\0")).await;
    assert_eq!(newer.minor, 2);
    assert!(newer.parameters.is_empty());
    assert_eq!(said, b"v\0\0\0\x2b\0\x03\0\x02\0\0\0\x01_pq_.test_protocol_negotiation\0");

    // The version answered is never higher than the one asked for.
    let (older, said) = greeting(&startup(3, 0, b"user\0u\0_pq_.a\0x\0_pq_.b\0\0")).await;
    assert_eq!(older.minor, 0);
    assert_eq!(said, b"v\0\0\0\x1a\0\x03\0\0\0\0\0\x02_pq_.a\0_pq_.b\0");

    let (spoken, said) = greeting(&startup(3, 2, b"user\0u\0")).await;
    assert_eq!((spoken.minor, said.len()), (2, 0));
}

#[tokio::test]
async fn other_versions_are_refused_in_postgresqls_words() {
    for (major, minor) in [(2, 0), (4, 0), (0, 0), (1, 0)] {
        let words = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        assert_eq!(refusal(&startup(major, minor, b"user\0u\0")).await, ("0A000".to_owned(), words));
    }
}

#[tokio::test]
async fn a_user_must_be_named() {
    for parameters in [b"".as_slice(), b"database\0d\0", b"user\0\0"] {
        let (sqlstate, words) = refusal(&startup(3, 0, parameters)).await;
        assert_eq!((sqlstate.as_str(), words.as_str()), ("28000", &*Error::NoUser.to_string()));
    }
}

#[tokio::test]
async fn replication_is_refused_unless_it_is_false() {
    let refused = ["true", "database", "1", "on", "Y"].map(|value| (value, "0A000"));
    // What is no value of it is told as PostgreSQL tells it.
    let nonsense = ["o", "", "Database", "data", "truely", "00"].map(|value| (value, "22023"));
    for (value, sqlstate) in refused.into_iter().chain(nonsense) {
        let packet = startup(3, 0, format!("user\0u\0replication\0{value}\0").as_bytes());
        assert_eq!(refusal(&packet).await.0, sqlstate, "{value}");
    }
    for value in ["false", "0", "F", "off", "of", "no", "N"] {
        let packet = startup(3, 0, format!("user\0u\0replication\0{value}\0").as_bytes());
        assert!(greeting(&packet).await.0.parameters.is_empty(), "{value}");
    }
}

#[tokio::test]
async fn bad_lengths_are_refused_before_the_rest_arrives() {
    for length in [0u32, 7, 10_005, 0x4745_5420 /* "GET " */, 0xffff_ffff] {
        let (sqlstate, words) = refusal(&length.to_be_bytes()).await;
        assert_eq!((sqlstate.as_str(), words.as_str()), ("08P01", "invalid length of startup packet"));
        assert!(send(&length.to_be_bytes()).await.0.unwrap_err().is_silent());
    }
    // The longest packet that PostgreSQL takes.
    let parameters = [b"user\0u\0x\0".as_slice(), &[b'y'; 10_000 - 4 - 9 - 2], b"\0"].concat();
    let longest = startup(3, 0, &parameters);
    assert_eq!(longest.len(), startup::PACKET_MAX);
    greeting(&longest).await;
}

#[tokio::test]
async fn a_cancel_request_is_handed_up() {
    let (outcome, said) = send(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04").await;
    let expected = CancelKey::new(7, vec![1, 2, 3, 4]).unwrap();
    assert_eq!(outcome.unwrap(), Knock::Cancel(expected));
    assert!(said.is_empty());

    let long = [b"\0\0\0\x2c\x04\xd2\x16\x2e\0\0\0\x07".as_slice(), &[9; 32]].concat();
    assert_eq!(send(&long).await.0.unwrap(), Knock::Cancel(CancelKey::new(7, vec![9; 32]).unwrap()));
}

#[tokio::test]
async fn a_client_that_leaves_is_lost() {
    for said in [b"".as_slice(), b"\0\0", SSL, b"\0\0\0\x20\0\x03\0\0user"] {
        assert!(matches!(send(said).await.0, Err(Error::Lost(_))), "{said:?}");
    }
}

#[tokio::test]
async fn any_chunking_gives_the_same_greeting() {
    let packet = startup(3, 1, b"user\0u\0options\0-c a=b\0x\0y\0");
    let whole = greeting(&packet).await.0;
    for size in 1..packet.len() {
        let (mut client, door) = knock();
        for chunk in packet.chunks(size) {
            client.write_all(chunk).await.unwrap();
            tokio::task::yield_now().await;
        }
        let Ok(Knock::Greeting(cut)) = door.await.unwrap() else { panic!("refused when cut at {size}") };
        assert_eq!(cut, whole);
    }
}
