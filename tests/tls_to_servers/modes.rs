//! A table: six words, a root certificate or none, and servers of all kinds. psql says what is right.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Authority, Cluster, Issued, Options, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use weir::backend::{Credentials, Login, Proof, log_in};
use weir::config::{ChannelBinding, Secret};
use weir::net::tls::{Identity, Root, ServerTls, SslMode, Terms};
use weir::net::{Keepalive, Target, Way};

use crate::file;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Plain,
    Encrypted,
}

impl Outcome {
    /// Of the answer of `pg_stat_ssl`.
    fn of(answer: Option<&str>) -> Self {
        match answer {
            None => Outcome::Refused,
            Some("t") => Outcome::Encrypted,
            Some("f") => Outcome::Plain,
            Some(other) => panic!("neither: {other}"),
        }
    }
}

const SSL: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

const BOTH: &str = "host all all 127.0.0.1/32 scram-sha-256\n";
const ONLY_SSL: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
const ONLY_PLAIN: &str = "hostnossl all all 127.0.0.1/32 scram-sha-256\n";

fn by_psql(cluster: &Cluster, mode: SslMode, root: Option<&Path>, password: &str) -> Outcome {
    let nothing = PathBuf::from("/nonexistent");
    let connection = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=app dbname=app sslmode={} sslrootcert={} sslcert=/nonexistent",
        cluster.port(0),
        mode.as_str(),
        root.unwrap_or(&nothing).display()
    );
    let psql = cluster.postgres().program("psql").unwrap();
    let mut psql = Command::new(psql);
    psql.args(["-X", "-A", "-t", "-c", SSL, &connection]).env("PGPASSWORD", password);
    let output = psql.env_remove("PGSSLMODE").env("HOME", "/nonexistent").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    Outcome::of(output.status.success().then(|| said.trim()))
}

async fn by_weir(cluster: &Cluster, mode: SslMode, root: Option<&Path>, password: &str) -> Outcome {
    let root = root.map_or(Root::Anyone, |root| Root::File(root.to_owned()));
    let login = connect(cluster, Terms { mode, root, ..Terms::default() }, password).await;
    let answer = match login {
        Ok(mut login) => {
            let answer = ask(&mut login).await;
            assert_eq!(login.way != Way::Plain, answer == "t", "a cancel request goes as it should");
            Some(answer)
        }
        Err(_) => None,
    };
    Outcome::of(answer.as_deref())
}

pub(crate) async fn connect(cluster: &Cluster, terms: Terms, password: &str) -> weir::error::Result<Login> {
    bound(cluster, terms, password, ChannelBinding::Prefer).await
}

async fn bound(
    cluster: &Cluster,
    terms: Terms,
    password: &str,
    binding: ChannelBinding,
) -> weir::error::Result<Login> {
    let tls = ServerTls::new(terms);
    let target = Target { host: "localhost", address: None, port: cluster.port(0), tls: &tls };
    let proof = Proof::Password(Secret::new(password));
    let credentials = Credentials { user: "app", proof: &proof, database: "app", parameters: &[] };
    let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(2));
    log_in(&target, binding, &credentials, &keepalive, Instant::now() + Duration::from_secs(20)).await
}

/// The one value that the server answers.
pub(crate) async fn ask(login: &mut Login) -> String {
    let length = u32::try_from(SSL.len() + 5).unwrap().to_be_bytes();
    let message = [b"Q".as_slice(), &length, SSL.as_bytes(), b"\0"].concat();
    login.stream.write_all(&message).await.unwrap();
    login.stream.flush().await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(login.stream.read_buf(&mut reply).await.unwrap(), 0, "the server closed");
    }
    // DataRow of one value of one byte.
    let at = reply.windows(11).position(|part| part == b"D\0\0\0\x0b\0\x01\0\0\0\x01").unwrap();
    char::from(reply[at + 11]).to_string()
}

/// Whether weir and psql agree on this server, whatever the mode, with this root certificate and without.
async fn agree(cluster: &Cluster, server: &str, root: &Path) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for root in [None, Some(root)] {
        for (word, mode) in SslMode::WORDS {
            let right = by_psql(cluster, mode, root, "app");
            let ours = by_weir(cluster, mode, root, "app").await;
            assert_eq!(ours, right, "{server}, sslmode={word}, root {}", root.is_some());
            outcomes.push(ours);
        }
    }
    outcomes
}

fn one_server() -> Result<Cluster> {
    Cluster::with(Options::new(0))
}

fn secure(cluster: &Cluster, issued: &Issued) {
    cluster.secure(0, &issued.certificate, &issued.key, None).unwrap();
}

#[tokio::test]
async fn every_mode_lets_pass_what_psql_lets_pass() -> Result<()> {
    use Outcome::{Encrypted as E, Plain as P, Refused as R};
    let cluster = one_server()?;
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let root = file("modes", "root.pem", &ours.pem());
    let encrypted = [P, P, E, E, R, R];
    cluster.admit(0, BOTH)?;
    assert_eq!(agree(&cluster, "no TLS", &root).await, [P, P, P, R, R, R, P, P, P, R, R, R]);
    secure(&cluster, &ours.server(&["localhost"]));
    assert_eq!(agree(&cluster, "right", &root).await, [&encrypted[..], &[P, P, E, E, E, E]].concat());
    secure(&cluster, &ours.server(&["other.example"]));
    assert_eq!(agree(&cluster, "wrong name", &root).await, [&encrypted[..], &[P, P, E, E, E, R]].concat());
    for (server, issued) in [
        ("expired", ours.expired(&["localhost"])),
        ("another authority", other.server(&["localhost"])),
        ("self-signed", Issued::by_itself(&["localhost"])),
    ] {
        secure(&cluster, &issued);
        assert_eq!(agree(&cluster, server, &root).await, [&encrypted[..], &[P, P, P, R, R, R]].concat());
    }
    secure(&cluster, &ours.server(&["localhost"]));
    cluster.admit(0, ONLY_SSL)?;
    assert_eq!(agree(&cluster, "hostssl", &root).await, [R, E, E, E, R, R, R, E, E, E, E, E]);
    secure(&cluster, &other.server(&["localhost"]));
    assert_eq!(agree(&cluster, "hostssl, untrusted", &root).await[6..], [R, R, R, R, R, R]);
    cluster.admit(0, ONLY_PLAIN)?;
    assert_eq!(agree(&cluster, "hostnossl", &root).await, [P, P, P, R, R, R, P, P, P, R, R, R]);
    Ok(())
}

/// What a root certificate is, and whom a certificate is for, in the ways that servers have them.
#[tokio::test]
async fn certificates_as_operators_make_them() -> Result<()> {
    let cluster = one_server()?;
    cluster.admit(0, BOTH)?;
    let ours = Authority::new("ours");
    let root = file("made", "root.pem", &ours.pem());
    for names in [&["*.example", "localhost"][..], &["127.0.0.1"], &["LOCALHOST"], &["*.localhost"]] {
        secure(&cluster, &ours.server(names));
        agree(&cluster, &names.join(" "), &root).await;
    }
    // The old protocol, in which the server's certificate is shown in other words.
    cluster.set(0, "ssl_max_protocol_version", "'TLSv1.2'")?;
    for names in [&["localhost"][..], &["other.example"]] {
        secure(&cluster, &ours.server(names));
        agree(&cluster, &format!("TLS 1.2, {names:?}"), &root).await;
    }
    cluster.set(0, "ssl_max_protocol_version", "''")?;
    // Its own root, as `openssl req -x509` makes them.
    let own = Issued::by_itself(&["localhost"]);
    secure(&cluster, &own);
    let itself = file("made", "itself.pem", &own.certificate);
    let outcomes = agree(&cluster, "its own root", &itself).await;
    assert_eq!(outcomes[11], Outcome::Encrypted, "verify-full");
    // By the recipes of PostgreSQL's manual, "Creating Certificates".
    let Some(openssl) = harness::tools::find("openssl") else { return Ok(()) };
    let made = |arguments: &str| {
        let mut openssl = Command::new(&openssl);
        openssl.current_dir(crate::directory("made")).args(arguments.split_whitespace());
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let read = |name: &str| std::fs::read_to_string(crate::directory("made").join(name)).unwrap();
    made("req -new -x509 -days 365 -nodes -out alone.crt -keyout alone.key -subj /CN=localhost");
    secure(&cluster, &Issued::elsewhere(read("alone.crt"), read("alone.key")));
    let outcomes =
        agree(&cluster, "self-signed by the manual", &crate::directory("made").join("alone.crt")).await;
    assert_eq!(outcomes[11], Outcome::Encrypted, "verify-full");
    made("req -new -x509 -days 365 -nodes -out root.crt -keyout root.key -subj /CN=root.example");
    made("req -new -nodes -out server.csr -keyout server.key -subj /CN=localhost");
    made("x509 -req -in server.csr -days 365 -CA root.crt -CAkey root.key -CAcreateserial -out server.crt");
    secure(&cluster, &Issued::elsewhere(read("server.crt"), read("server.key")));
    let outcomes = agree(&cluster, "issued by the manual", &crate::directory("made").join("root.crt")).await;
    assert_eq!(outcomes[11], Outcome::Encrypted, "verify-full");
    // Another root of the same name.
    made("req -new -x509 -days 365 -nodes -out false.crt -keyout false.key -subj /CN=root.example");
    let outcomes =
        agree(&cluster, "issued by another of that name", &crate::directory("made").join("false.crt")).await;
    assert_eq!(outcomes[9..], [Outcome::Refused; 3]);
    Ok(())
}

/// A wrong password, a role that may not log in: what is told is what one has to know.
#[tokio::test]
async fn of_two_refusals_the_one_that_says_more_is_told() -> Result<()> {
    let cluster = one_server()?;
    secure(&cluster, &Authority::new("ours").server(&["localhost"]));
    for (lines, mode, sqlstate, words) in [
        (ONLY_SSL, SslMode::Prefer, "28P01", "password authentication failed"),
        (ONLY_SSL, SslMode::Allow, "28P01", "password authentication failed"),
        (ONLY_PLAIN, SslMode::Prefer, "28P01", "password authentication failed"),
        (ONLY_SSL, SslMode::Disable, "28000", "no encryption"),
        (ONLY_PLAIN, SslMode::Require, "28000", "SSL encryption"),
    ] {
        cluster.admit(0, lines)?;
        let refused = connect(&cluster, Terms { mode, ..Terms::default() }, "wrong").await.unwrap_err();
        assert_eq!(refused.sqlstate(), sqlstate, "{lines} {mode:?}: {refused}");
        assert!(refused.to_string().contains(words), "{lines} {mode:?}: {refused}");
    }
    Ok(())
}

/// A login that is bound goes to whom it was meant for.
#[tokio::test]
async fn logins_are_bound_to_the_server_s_certificate() -> Result<()> {
    let cluster = one_server()?;
    cluster.admit(0, BOTH)?;
    let required = async |mode| {
        let terms = Terms { mode, ..Terms::default() };
        bound(&cluster, terms, "app", ChannelBinding::Require).await
    };
    let refused = required(SslMode::Prefer).await.unwrap_err();
    assert!(refused.to_string().contains("not encrypted"), "{refused}");
    let issued = Authority::new("ours").server(&["localhost"]);
    secure(&cluster, &issued);
    required(SslMode::Require).await.unwrap();
    // A server that offers it, and asks for no SCRAM then.
    cluster.admit(0, "host all all 127.0.0.1/32 trust\n")?;
    assert!(required(SslMode::Require).await.is_err());
    Ok(())
}

/// `cert`, and `clientcert` beside a password.
#[tokio::test]
async fn a_server_that_asks_who_weir_is_is_shown_it() -> Result<()> {
    let cluster = one_server()?;
    let ours = Authority::new("ours");
    let server = ours.server(&["localhost"]);
    cluster.secure(0, &server.certificate, &server.key, Some(&ours.pem()))?;
    let root = Root::File(file("identity", "root.pem", &ours.pem()));
    let identity = |name: &str, issued: Issued| Identity {
        certificate: file("identity", &format!("{name}.crt"), &issued.certificate),
        key: file("identity", &format!("{name}.key"), &issued.key),
        passphrase: None,
    };
    let app = identity("app", ours.client("app"));
    let other = identity("other", ours.client("other"));
    let stranger = identity("stranger", Authority::new("other").client("app"));
    let terms = |identity: Option<&Identity>| Terms {
        mode: SslMode::VerifyFull,
        root: root.clone(),
        identity: identity.cloned(),
        ..Terms::default()
    };
    for method in ["cert", "scram-sha-256 clientcert=verify-full"] {
        cluster.admit(0, &format!("hostssl all all 127.0.0.1/32 {method}\n"))?;
        let mut login = connect(&cluster, terms(Some(&app)), "app").await.unwrap();
        assert_eq!(ask(&mut login).await, "t");
        for identity in [None, Some(&other), Some(&stranger)] {
            assert!(connect(&cluster, terms(identity), "app").await.is_err(), "{method}, {identity:?}");
        }
    }
    cluster.admit(0, "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n")?;
    connect(&cluster, terms(Some(&other)), "app").await.unwrap();
    Ok(())
}

/// What is read once is read again when it has changed, and not when it cannot be used.
#[tokio::test]
async fn files_that_have_changed_are_read_anew() -> Result<()> {
    let cluster = one_server()?;
    cluster.admit(0, ONLY_SSL)?;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    secure(&cluster, &old.server(&["localhost"]));
    let root = file("anew", "root.pem", &old.pem());
    let terms = Terms { mode: SslMode::VerifyFull, root: Root::File(root.clone()), ..Terms::default() };
    let tls = ServerTls::new(terms);
    let attempt = async || {
        let target = Target { host: "localhost", address: None, port: cluster.port(0), tls: &tls };
        let keepalive = Keepalive::of(Duration::from_secs(1), Duration::from_secs(2));
        target.connect(Way::Demanded, &keepalive, Instant::now() + Duration::from_secs(20)).await
    };
    let opened = attempt().await.unwrap();
    assert!(matches!(opened.encryption, weir::net::Encryption::Tls(tls) if tls.end_point.is_some()));
    secure(&cluster, &new.server(&["localhost"]));
    let error = attempt().await.unwrap_err();
    assert!(error.to_string().contains("not among the trusted root certificates"), "{error}");
    std::fs::write(&root, "half a fi").unwrap();
    let error = attempt().await.unwrap_err();
    assert!(
        error.to_string().contains("not among the trusted root certificates"),
        "what was read goes on: {error}"
    );
    std::fs::write(&root, new.pem()).unwrap();
    attempt().await.unwrap();
    Ok(())
}
