//! The front door over real sockets: byte transcripts, and libpq and tokio-postgres as clients.
//!
//! Every transcript takes the address of a door, and [`Door`] is one over the library: behind it stands a session
//! that answers every simple query with one row, which is the client's user and database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use weir::config::{Credential, Secret, User};
use weir::frontend::{Admission, Arrival, Encrypt, Gate, admit};
use weir::net::{Accepted, Listener, Peer, Stream};
use weir::sql::Target;
use weir::users::Users;
use weir::wire::reply::{self, TransactionStatus};
use weir::wire::startup::CancelKey;

/// Long enough for a slow machine to hash passwords in an unoptimised build.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// A listening door, and the cancel requests that came through it.
struct Door {
    address: SocketAddr,
    cancelled: mpsc::UnboundedReceiver<CancelKey>,
}

impl Door {
    fn open() -> Self {
        Self::with_timeout(LOGIN_TIMEOUT)
    }

    fn with_timeout(login_timeout: Duration) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let users =
            Arc::new(Users::new(&[user("alice", "pencil"), user("b\u{f6}b", "cr\u{e4}yon")]).unwrap());
        let (cancel, cancelled) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (Accepted::Client(stream, peer) | Accepted::Excess(stream, peer)) =
                    listener.accept().await;
                let deadline = Instant::now() + login_timeout;
                tokio::spawn(receive((stream, peer), Arc::clone(&users), deadline, cancel.clone()));
            }
        });
        Self { address, cancelled }
    }
}

fn user(name: &str, password: &str) -> User {
    User {
        name: name.into(),
        credential: Credential::Password(Secret::new(password)),
        server_user: name.into(),
        server_proof: weir::config::ServerProof::None,
        target: Target::Auto,
        transactions: None,
        consistency: None,
        max_staleness: None,
        pool_size: None,
        pool_mode: None,
        timeouts: Default::default(),
        pinning: Default::default(),
    }
}

async fn receive(
    (stream, peer): (Stream, Peer),
    users: Arc<Users>,
    deadline: Instant,
    cancel: mpsc::UnboundedSender<CancelKey>,
) {
    let gate = Gate { users: &users, rules: None };
    match admit(stream, peer, (gate, Encrypt::Off), deadline).await {
        Ok(Arrival::Client(admission)) => serve(*admission).await,
        Ok(Arrival::Cancel(key, _stream)) => cancel.send(key).unwrap(),
        Err(_) => {}
    }
}

/// Welcomes a client and answers its simple queries until it leaves.
async fn serve(admission: Admission<Stream>) {
    let Admission { mut stream, mut received, greeting, welcome: mut out, .. } = admission;
    reply::parameter_status(&mut out, b"server_version", b"15.0");
    reply::parameter_status(&mut out, b"client_encoding", b"UTF8");
    let secret = vec![7; if greeting.minor >= 2 { 32 } else { 4 }];
    reply::backend_key_data(&mut out, &CancelKey::new(4711, secret).unwrap());
    reply::ready_for_query(&mut out, TransactionStatus::Idle);
    stream.write_all(&out).await.unwrap();
    let answer = [Some(greeting.user.as_str()), Some(greeting.database.as_str())];
    while let Some(message) = next_message(&mut stream, &mut received).await {
        if message[0] != b'Q' {
            return;
        }
        out.clear();
        reply::row_description(&mut out, &["user", "database"]);
        reply::data_row(&mut out, &answer);
        reply::command_complete(&mut out, "SELECT 1");
        reply::ready_for_query(&mut out, TransactionStatus::Idle);
        stream.write_all(&out).await.unwrap();
    }
}

async fn next_message(stream: &mut Stream, received: &mut BytesMut) -> Option<BytesMut> {
    loop {
        if let Some(word) = received.get(1..5) {
            let length = 1 + u32::from_be_bytes(word.try_into().unwrap()) as usize;
            if received.len() >= length {
                return Some(received.split_to(length));
            }
        }
        if stream.read_buf(received).await.ok()? == 0 {
            return None;
        }
    }
}

/// Sends bytes and reads until the door closes. A reset, or a door that stays open, fails the test.
async fn told(door: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(door).await.unwrap();
    client.write_all(bytes).await.unwrap();
    rest(&mut client).await
}

async fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = timeout(Duration::from_secs(10), client.read_to_end(&mut said));
    read.await.expect("the door must close").expect("without a reset");
    said
}

/// SQLSTATE and message of a FATAL ErrorResponse that is all that was said.
fn fatal(said: &[u8]) -> (String, String) {
    assert_eq!(said.first(), Some(&b'E'), "{said:?}");
    assert_eq!(u32::from_be_bytes(said[1..5].try_into().unwrap()) as usize, said.len() - 1);
    let text = String::from_utf8(said[5..].to_vec()).unwrap();
    assert!(text.ends_with("\0\0"));
    let field = |tag: char| text.split('\0').find_map(|field| field.strip_prefix(tag)).unwrap().to_owned();
    assert_eq!((field('S').as_str(), field('V').as_str()), ("FATAL", "FATAL"));
    (field('C'), field('M'))
}

fn expect_fatal(said: &[u8], sqlstate: &str, message: &str) {
    assert_eq!(fatal(said), (sqlstate.to_owned(), message.to_owned()));
}

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
const SCRAM_OFFER: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";

#[tokio::test]
async fn a_client_without_tls_is_asked_for_its_password() {
    let door = Door::open().address;
    let mut client = TcpStream::connect(door).await.unwrap();
    client.write_all(SSL).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'N');
    client.write_all(STARTUP).await.unwrap();
    let mut offer = vec![0; SCRAM_OFFER.len()];
    client.read_exact(&mut offer).await.unwrap();
    assert_eq!(offer, SCRAM_OFFER);
    client.write_all(b"Q\0\0\0\x0dSELECT 1\0").await.unwrap();
    expect_fatal(&rest(&mut client).await, "08P01", "expected SASL response");
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_and_the_door_stays_open() {
    let door = Door::open().address;
    let early = [SSL, STARTUP].concat();
    expect_fatal(&told(door, &early).await, "08P01", "received unencrypted data after SSL request");
    let version = "unsupported frontend protocol 2.0: server supports 3.0 to 3.2";
    expect_fatal(&told(door, b"\0\0\0\x08\0\x02\0\0").await, "0A000", version);
    let nobody = "no PostgreSQL user name specified in startup packet";
    expect_fatal(&told(door, b"\0\0\0\x09\0\x03\0\0\0").await, "28000", nobody);
    let replication = b"\0\0\0\x25\0\x03\0\0user\0alice\0replication\0true\0\0";
    expect_fatal(&told(door, replication).await, "0A000", "replication connections are not supported");

    log_in(door, "alice", "pencil").await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_a_first_packet_is_closed_without_a_word() {
    let door = Door::open().address;
    let web = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'x'; 30_000]].concat();
    let no_key = b"\0\0\0\x0e\x04\xd2\x16\x2e\0\0\0\x07ab";
    for packet in [&b"\x7f\xff\xff\xff"[..], b"\0\0\0\x07", &web, no_key] {
        assert_eq!(told(door, packet).await, b"", "{packet:?}");
    }
    log_in(door, "alice", "pencil").await.unwrap();
}

#[tokio::test]
async fn a_silent_client_is_closed_at_the_deadline() {
    let patience = Duration::from_millis(300);
    let door = Door::with_timeout(patience).address;
    for silence in [b"".as_slice(), b"\0\0\0", STARTUP] {
        let start = Instant::now();
        let said = told(door, silence).await;
        assert!(start.elapsed() >= patience);
        let said = said.strip_prefix(SCRAM_OFFER).unwrap_or(&said);
        expect_fatal(said, "57014", "canceling authentication due to timeout");
    }
}

#[tokio::test]
async fn a_client_that_connects_and_leaves_hears_nothing() {
    let door = Door::open().address;
    let mut client = TcpStream::connect(door).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(rest(&mut client).await.is_empty());
}

#[tokio::test]
async fn a_cancel_request_gets_no_answer_and_is_handed_on() {
    let mut door = Door::open();
    let request = [b"\0\0\0\x2c\x04\xd2\x16\x2e\0\0\0\x07".as_slice(), &[9; 32]].concat();
    assert!(told(door.address, &request).await.is_empty());
    assert_eq!(door.cancelled.recv().await.unwrap(), CancelKey::new(7, vec![9; 32]).unwrap());
}

/// Logs in with tokio-postgres and returns what the session says.
async fn log_in(
    door: SocketAddr,
    name: &str,
    password: &str,
) -> Result<(String, String), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host(door.ip().to_string())
        .port(door.port())
        .user(name)
        .password(password)
        .dbname("shop")
        .connect(tokio_postgres::NoTls)
        .await?;
    tokio::spawn(connection);
    let row = client.simple_query("SELECT").await?.into_iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.expect("one row");
    Ok((row.get(0).unwrap().to_owned(), row.get(1).unwrap().to_owned()))
}

#[tokio::test]
async fn tokio_postgres_logs_in() {
    let door = Door::open().address;
    for (name, password) in [("alice", "pencil"), ("b\u{f6}b", "cr\u{e4}yon")] {
        assert_eq!(log_in(door, name, password).await.unwrap(), (name.to_owned(), "shop".to_owned()));
    }
    for (name, password) in [("alice", "Pencil"), ("nobody", "pencil")] {
        let error = log_in(door, name, password).await.unwrap_err();
        let error = error.as_db_error().expect("the door's own error");
        assert_eq!(error.code().code(), "28P01");
        assert_eq!(error.message(), format!("password authentication failed for user \"{name}\""));
        assert_eq!(error.parsed_severity(), Some(tokio_postgres::error::Severity::Fatal));
    }
}

/// Runs psql (libpq) against the door.
async fn psql(door: SocketAddr, password: &str) -> (String, String) {
    let mut command = Command::new("psql");
    command.arg("-XAt").args(["-c", "SELECT", "-c", "SELECT", "-d"]);
    command.arg(format!("host={} port={} user=alice dbname=shop", door.ip(), door.port()));
    command.env("PGPASSWORD", password).env_remove("PGSSLMODE").env_remove("PGOPTIONS").env("LC_ALL", "C");
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("psql must be installed");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn libpq_logs_in() {
    let door = Door::open().address;
    assert_eq!(psql(door, "pencil").await, ("alice|shop\nalice|shop\n".to_owned(), String::new()));
    let (out, error) = psql(door, "pencils").await;
    assert_eq!(out, "");
    assert!(error.contains("FATAL:  password authentication failed for user \"alice\""), "{error}");
}

#[tokio::test]
async fn many_clients_come_at_once() {
    let door = Door::open().address;
    let storm: Vec<_> = (0..50).map(|_| tokio::spawn(log_in(door, "alice", "pencil"))).collect();
    for client in storm {
        client.await.unwrap().unwrap();
    }
}
