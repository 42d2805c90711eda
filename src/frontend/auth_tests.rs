//! Transcripts of authentications.

use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Credential, Secret, ServerProof};
use crate::frontend::greet::Greeting;
use crate::net::PeerAddress;
use crate::sql::Target;
use crate::users::Users;

fn user(name: &str, credential: Credential) -> User {
    User {
        name: name.into(),
        credential,
        server_user: "server_side".into(),
        server_proof: ServerProof::None,
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

fn users() -> Users {
    let verifier = "SCRAM-SHA-256$1234:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                    wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let configured = [
        user("open", Credential::Trust),
        user("alice", Credential::Password(Secret::new("pencil"))),
        user("bob", Credential::Password(Secret::new("crayon"))),
        user("carol", Credential::Verifier(Secret::new(verifier))),
    ];
    Users::new(&configured).unwrap()
}

type Outcome = (Result<Entrant>, BytesMut);

/// A client that has said its name.
fn enter(name: &'static str, users: Arc<Users>) -> (DuplexStream, JoinHandle<Outcome>) {
    let (ours, theirs) = duplex(64 * 1024);
    let door = tokio::spawn(async move {
        let mut welcome = BytesMut::new();
        let peer = Peer::plain(PeerAddress::Tcp(([127, 0, 0, 1], 1).into()));
        let greeting =
            Greeting { user: name.into(), database: name.into(), minor: 0, parameters: Vec::new() };
        let claim = Claim { greeting: &greeting, peer: &peer };
        let gate = Gate { users: &users, rules: None };
        let outcome = authenticate(&mut Handshake::new(ours), &claim, gate, &mut welcome).await;
        (outcome, welcome)
    });
    (theirs, door)
}

/// Reads an Authentication message: its code and the rest.
async fn demand(client: &mut DuplexStream) -> (u32, Vec<u8>) {
    assert_eq!(client.read_u8().await.unwrap(), b'R');
    let length = client.read_u32().await.unwrap();
    let code = client.read_u32().await.unwrap();
    let mut rest = vec![0; length as usize - 8];
    client.read_exact(&mut rest).await.unwrap();
    (code, rest)
}

async fn say(client: &mut DuplexStream, write: impl FnOnce(&mut BytesMut)) {
    let mut out = BytesMut::new();
    write(&mut out);
    client.write_all(&out).await.unwrap();
}

/// Logs in as libpq does; returns the challenge and what came of it.
async fn log_in(name: &'static str, password: &str, users: &Arc<Users>) -> (String, Outcome, ScramSha256) {
    let (mut client, door) = enter(name, Arc::clone(users));
    assert_eq!(demand(&mut client).await, (10, b"SCRAM-SHA-256\0\0".to_vec()));
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    say(&mut client, |out| frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out).unwrap())
        .await;
    let (code, challenge) = demand(&mut client).await;
    assert_eq!(code, 11);
    scram.update(&challenge).unwrap();
    say(&mut client, |out| frontend::sasl_response(scram.message(), out).unwrap()).await;
    (String::from_utf8(challenge).unwrap(), door.await.unwrap(), scram)
}

/// The salt and the iteration count of a challenge: what the client's nonce has no part in.
fn salt_of(challenge: &str) -> &str {
    &challenge[challenge.find(",s=").unwrap()..]
}

#[tokio::test]
async fn trust_asks_nothing() {
    let (mut client, door) = enter("open", Arc::new(users()));
    let (outcome, welcome) = door.await.unwrap();
    assert_eq!(&*outcome.unwrap().user.server_user, "server_side");
    assert_eq!(welcome.as_ref(), b"R\0\0\0\x08\0\0\0\0");
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert!(said.is_empty());
}

#[tokio::test]
async fn the_right_password_gets_the_servers_proof_and_ok() {
    let (_, (outcome, welcome), mut scram) = log_in("alice", "pencil", &Arc::new(users())).await;
    assert_eq!(&*outcome.unwrap().user.name, "alice");
    let (last, ok) = welcome.split_at(welcome.len() - 9);
    assert_eq!(ok, b"R\0\0\0\x08\0\0\0\0");
    assert_eq!((last[0], &last[5..9]), (b'R', &[0, 0, 0, 12][..]));
    scram.finish(&last[9..]).expect("the client must accept the server's proof");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let users = Arc::new(users());
    let (known, (wrong, welcome), _) = log_in("alice", "pencils", &users).await;
    assert!(welcome.is_empty());
    let (unknown, (nobody, welcome), _) = log_in("nobody", "pencil", &users).await;
    assert!(welcome.is_empty());
    let (wrong, nobody) = (wrong.unwrap_err(), nobody.unwrap_err());
    assert_eq!((wrong.sqlstate(), nobody.sqlstate()), ("28P01", "28P01"));
    assert_eq!(wrong.to_string().replace("alice", "nobody"), nobody.to_string());

    // The challenges have the same shape, and a name's salt does not change from one attempt to the next.
    assert_eq!(salt_of(&known).len(), salt_of(&unknown).len());
    assert!(unknown.ends_with(",i=4096"), "the count most users have, not carol's");
    assert_eq!(salt_of(&log_in("nobody", "x", &users).await.0), salt_of(&unknown));
    assert_eq!(salt_of(&log_in("alice", "x", &users).await.0), salt_of(&known));
    assert_ne!(salt_of(&log_in("nobody2", "x", &users).await.0), salt_of(&unknown));
}

#[tokio::test]
async fn a_configured_verifier_is_used_as_it_is() {
    let (challenge, (outcome, _), _) = log_in("carol", "guess", &Arc::new(users())).await;
    assert_eq!(salt_of(&challenge), ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1234");
    assert!(matches!(outcome, Err(Error::Authentication(name)) if name == "carol"));
}

#[tokio::test]
async fn a_client_may_keep_its_first_message_back() {
    let (mut client, door) = enter("alice", Arc::new(users()));
    demand(&mut client).await;
    client.write_all(b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff").await.unwrap();
    assert_eq!(demand(&mut client).await, (11, vec![]));
    let mut scram = ScramSha256::new(b"pencil", ChannelBinding::unsupported());
    say(&mut client, |out| frontend::sasl_response(scram.message(), out).unwrap()).await;
    scram.update(&demand(&mut client).await.1).unwrap();
    say(&mut client, |out| frontend::sasl_response(scram.message(), out).unwrap()).await;
    assert!(door.await.unwrap().0.is_ok());
}

/// Answers the first demand with these bytes.
async fn answer(bytes: &[u8]) -> Error {
    let (mut client, door) = enter("alice", Arc::new(users()));
    demand(&mut client).await;
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    door.await.unwrap().0.unwrap_err()
}

#[tokio::test]
async fn answers_that_break_the_protocol() {
    let cases: [(&[u8], &str); 9] = [
        (b"Q\0\0\0\x0dSELECT 1\0", "expected SASL response"),
        (b"p\0\0\0\x03", "invalid message length"),
        (b"p\0\0\x10\0", "invalid message length"),
        (b"p\x7f\xff\xff\xff", "invalid message length"),
        (b"p\0\0\0\x0bpencil\0", "client selected an invalid SASL authentication mechanism"),
        (
            b"p\0\0\0\x1bSCRAM-SHA-256-PLUS\0\0\0\0\0",
            "client selected an invalid SASL authentication mechanism",
        ),
        (b"p\0\0\0\x14SCRAM-SHA-256\0\0\0", "invalid SASL initial response"),
        (b"p\0\0\0\x16SCRAM-SHA-256\0\0\0\0\x09", "invalid SASL initial response"),
        (b"p\0\0\0\x19SCRAM-SHA-256\0\0\0\0\x03abc", "malformed SCRAM message"),
    ];
    for (bytes, words) in cases {
        let error = answer(bytes).await;
        assert_eq!((error.sqlstate(), error.to_string().as_str()), ("08P01", words));
    }
    assert!(matches!(answer(b"p\0\0").await, Error::Lost(_)));
}
