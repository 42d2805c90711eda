//! What pg_hba.conf asks of clients, and what comes of it: over TLS, with certificates and without. tests/hba holds the same
//! against a real server.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::config::{Credential, Secret, ServerProof, Timeouts};
use crate::frontend::greet::Greeting;
use crate::hba::{Rules, load};
use crate::net::{Tls, UnixPeer};
use crate::users::Users;

/// Rules of these texts.
fn rules(hba: &str, ident: &str) -> Rules {
    let random: u64 = rand::random();
    let directory = std::env::temp_dir().join(format!("weir-auth-rules-{random:016x}"));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        std::fs::write(directory.join(name), text).unwrap();
        directory.join(name)
    };
    let paths = crate::config::HbaFiles { hba: file("hba", hba), ident: Some(file("ident", ident)) };
    let rules = load(&paths).0.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    std::fs::remove_dir_all(&directory).unwrap();
    rules
}

fn users() -> Users {
    let user = |name: &str, credential| User {
        credential,
        server_proof: ServerProof::None,
        ..User::unlisted(name.into(), Timeouts::default())
    };
    let password = |password: &str| Credential::Password(Secret::new(password));
    Users::new(&[user("alice", password("pencil")), user("certain", Credential::Certificate)]).unwrap()
}

fn plain() -> Peer {
    Peer::plain(PeerAddress::Tcp(([127, 0, 0, 1], 1).into()))
}

fn local() -> Peer {
    Peer::plain(PeerAddress::Unix(UnixPeer { uid: 0, gid: 0, pid: None }))
}

/// Over TLS, with a certificate of this common name, or none.
fn encrypted(common_name: Option<&str>) -> Peer {
    let certificate = common_name.map(|name| ClientCertificate {
        common_name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        distinguished_name: format!("CN={name},O=weir"),
        names: vec!["certain".to_owned()],
    });
    let tls = Tls { version: "TLSv1.3", cipher: String::new(), end_point: None, certificate };
    Peer { encryption: Encryption::Tls(Arc::new(tls)), ..plain() }
}

/// Tells the password when it is asked for it, as it is; all else is told nothing.
async fn tell(mut client: DuplexStream, password: &'static str) {
    let mut head = [0; 9];
    if client.read_exact(&mut head).await.is_ok() && head == *b"R\0\0\0\x08\0\0\0\x03" {
        let length = u32::try_from(password.len() + 5).unwrap().to_be_bytes();
        client.write_all(&[b"p", &length[..], password.as_bytes(), b"\0"].concat()).await.unwrap();
    }
}

/// What becomes of a client that would tell `password`.
async fn outcome(rules: Option<&Rules>, peer: &Peer, user: &str, password: &'static str) -> String {
    let (ours, theirs) = duplex(4096);
    let teller = tokio::spawn(tell(theirs, password));
    let greeting = Greeting { user: user.into(), database: "shop".into(), minor: 0, parameters: Vec::new() };
    let users = users();
    let (claim, gate) = (Claim { greeting: &greeting, peer }, Gate { users: &users, rules });
    let mut client = Handshake::new(ours);
    let outcome = authenticate(&mut client, &claim, gate, &mut BytesMut::new()).await;
    drop(client);
    teller.await.unwrap();
    match outcome {
        Ok(_) => "in".to_owned(),
        Err(error) => format!("{} {error}", error.sqlstate()),
    }
}

#[tokio::test]
async fn certificates() {
    let none = "28000 connection requires a valid client certificate";
    let cert = "28000 certificate authentication failed for user \"alice\"";
    let trust = "28000 \"trust\" authentication failed for user \"alice\"";
    let password = "28P01 password authentication failed for user \"alice\"";
    for (line, certificate, told) in [
        ("cert", Some("alice"), "in"),
        ("cert", Some("bob"), cert),
        ("cert", Some(""), cert),
        ("cert", None, none),
        ("cert clientname=DN", Some("alice"), cert),
        ("cert clientname=DN map=m", Some("alice"), "in"),
        ("cert clientname=DN map=m", Some("bob"), cert),
        ("cert map=m", Some("boss"), "in"),
        ("cert map=m", Some("alice"), cert),
        ("trust clientcert=verify-ca", Some("bob"), "in"),
        ("trust clientcert=verify-ca", None, none),
        ("trust clientcert=verify-full", Some("alice"), "in"),
        ("trust clientcert=verify-full", Some("bob"), trust),
        ("reject clientcert=verify-ca", None, none),
        ("password clientcert=verify-full", Some("alice"), "in"),
        ("password clientcert=verify-full", Some("bob"), password),
        ("password clientcert=verify-full clientname=DN", Some("alice"), password),
        ("password clientcert=verify-ca", Some("bob"), "in"),
    ] {
        let rules =
            rules(&format!("hostssl all all all {line}"), "m boss alice\nm \"CN=alice,O=weir\" alice");
        let found = outcome(Some(&rules), &encrypted(certificate), "alice", "pencil").await;
        assert_eq!(found, told, "{line} {certificate:?}");
    }
}

#[tokio::test]
async fn without_rules_a_user_may_be_asked_for_a_certificate() {
    let none = "28000 connection requires a valid client certificate";
    for (peer, told) in [
        (encrypted(Some("certain")), "in"),
        (encrypted(Some("bob")), "in"),
        (encrypted(None), none),
        (plain(), none),
        (local(), none),
    ] {
        // The second has the name among the others.
        assert_eq!(outcome(None, &peer, "certain", "").await, told, "{peer:?}");
    }
    let mut other = encrypted(Some("bob"));
    if let Encryption::Tls(tls) = &mut other.encryption {
        let certificate = Arc::make_mut(tls).certificate.as_mut().unwrap();
        certificate.names = vec!["alice".to_owned()];
    }
    let found = outcome(None, &other, "certain", "").await;
    assert_eq!(found, "28000 certificate authentication failed for user \"certain\"");
}

#[tokio::test]
async fn a_password_is_told_only_where_nobody_listens() {
    let rules = rules("host all all all password\nlocal all all password", "");
    let refused = "28000 password authentication requires an encrypted connection";
    let wrong = "28P01 password authentication failed for user \"alice\"";
    for (peer, password, told) in [
        (plain(), "pencil", refused),
        (encrypted(None), "pencil", "in"),
        (encrypted(None), "pencils", wrong),
        (local(), "pencil", "in"),
        (local(), "", "28P01 empty password returned by client"),
    ] {
        assert_eq!(outcome(Some(&rules), &peer, "alice", password).await, told, "{peer:?} {password}");
    }
    let nobody = outcome(Some(&rules), &encrypted(None), "nobody", "pencil").await;
    assert_eq!(nobody, wrong.replace("alice", "nobody"));
    let passwordless = outcome(Some(&rules), &encrypted(None), "certain", "pencil").await;
    assert_eq!(passwordless, wrong.replace("alice", "certain"));
}

#[tokio::test]
async fn what_no_line_is_for_is_told_with_its_encryption() {
    let rules = rules("local all alice reject", "");
    let origin = "host \"127.0.0.1\", user \"alice\", database \"shop\"";
    for (peer, told) in [
        (plain(), format!("28000 no pg_hba.conf entry for {origin}, no encryption")),
        (encrypted(None), format!("28000 no pg_hba.conf entry for {origin}, SSL encryption")),
        (
            local(),
            "28000 pg_hba.conf rejects connection for host \"[local]\", user \"alice\", database \"shop\", no \
             encryption"
                .to_owned(),
        ),
    ] {
        assert_eq!(outcome(Some(&rules), &peer, "alice", "").await, told);
    }
}
