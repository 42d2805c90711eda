//! Somebody between clients and weir, who has all that passes in his hands: he leaves TLS out, puts bytes in front of it,
//! sends again what he has heard, or shows another certificate. libpq is the client.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod middle;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::client::front;
use harness::{Authority, Cluster, Failure, Issued, Postgres, Result, Weir, WeirSetup, free_port, wait_for};

use middle::{Act, Middle, send_all};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// weir with TLS, and the files that go with it.
struct Stage {
    weir: Weir,
    ours: Authority,
    directory: PathBuf,
}

impl Stage {
    fn new(tls: &str) -> Result<Self> {
        let name = format!("weir-middle-{}-{}", std::process::id(), free_port()?);
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory)?;
        let ours = Authority::new("ours");
        let issued = ours.server(&["localhost"]);
        let write = |name: &str, text: &str| -> Result<String> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(format!("{path:?}"))
        };
        write("ca.crt", &ours.pem())?;
        let setup = WeirSetup::in_front_of(Cluster::shared(), [0])
            .set("listen", "tls", &format!("\"{tls}\""))
            .set("listen", "tls_certificate", &write("weir.crt", &issued.certificate)?)
            .set("listen", "tls_key", &write("weir.key", &issued.key)?);
        Ok(Self { weir: setup.start(WEIR)?, ours, directory })
    }

    /// What psql says that connects to this port with these words more: what it was answered, or why it was not.
    fn psql(&self, port: u16, more: &str) -> std::result::Result<String, String> {
        let roots = self.directory.join("ca.crt");
        let connection =
            format!("host=localhost port={port} user=app dbname=app sslrootcert={} {more}", roots.display());
        let mut command = Command::new(Postgres::locate().unwrap().program("psql").unwrap());
        command.args(["-X", "-A", "-t", "-c", "SELECT 'answered'", "-d", &connection]);
        let output = command.env("PGPASSWORD", "app").env("LC_ALL", "C").output().unwrap();
        let text = |said: Vec<u8>| String::from_utf8_lossy(&said).trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn refused(&self, port: u16, more: &str, words: &str) {
        let said = self.psql(port, more).expect_err(more);
        assert!(said.contains(words), "{more}: {said}");
    }

    /// How many clients have been let in.
    fn let_in(&self) -> usize {
        self.weir.log().matches("client connected").count()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn tls_is_not_to_be_left_out() -> Result<()> {
    let stage = Stage::new("require")?;
    let weir = stage.weir.port();
    assert_eq!(stage.psql(weir, "sslmode=verify-full channel_binding=require").unwrap(), "answered");
    let middle = Middle::start(weir, Act::Strip);
    for mode in ["require", "verify-ca", "verify-full"] {
        stage.refused(
            middle.port(),
            &format!("sslmode={mode}"),
            "server does not support SSL, but SSL was required",
        );
    }
    // Nothing was said that an SSLRequest does not say.
    middle.heard().iter().for_each(|heard| assert_eq!(*heard, front::ssl_request()));
    // Whoever does not insist says who he is, and no more than that: weir insists.
    let said = stage.psql(middle.port(), "sslmode=prefer").unwrap_err();
    assert!(said.contains("FATAL") && !said.contains("password authentication failed"), "{said}");
    assert_eq!(stage.let_in(), 1);
    Ok(())
}

#[test]
fn bytes_in_front_of_the_handshake_are_refused_by_either_side() -> Result<()> {
    let stage = Stage::new("allow")?;
    let startup = front::startup(3, 0, &[("user", "app"), ("database", "app")]);
    let towards_weir = [front::ssl_request(), startup].concat();
    let said = send_all(stage.weir.port(), &towards_weir);
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("received unencrypted data after SSL request"), "{text}");
    // And what he says to a client in weir's place.
    let middle = Middle::start(stage.weir.port(), Act::SayEarly(b"E\0\0\0\x0bMmine\0\0"));
    stage.refused(middle.port(), "sslmode=require", "received unencrypted data after SSL response");
    assert_eq!(stage.let_in(), 0);
    Ok(())
}

#[test]
fn what_was_heard_once_is_of_no_use_later() -> Result<()> {
    let stage = Stage::new("require")?;
    let middle = Middle::start(stage.weir.port(), Act::Listen);
    assert_eq!(stage.psql(middle.port(), "sslmode=verify-full").unwrap(), "answered");
    let heard = wait_for("the session's end", PATIENCE, || Ok(middle.heard().first().cloned()))?;
    assert!(heard.len() > 500 && !heard.windows(3).any(|part| part == b"app"), "{}", heard.len());
    // All of it at once, and as it came: the answer to SSLRequest first.
    assert!(!send_all(stage.weir.port(), &heard).windows(8).any(|part| part == b"answered"));
    let (request, rest) = heard.split_at(8);
    let said = middle::replay(stage.weir.port(), request, rest);
    assert_eq!(said.first(), Some(&b'S'), "{said:?}");
    assert!(!said.windows(8).any(|part| part == b"answered"));
    assert_eq!(stage.let_in(), 1);
    Ok(())
}

#[test]
fn another_certificate_is_not_weirs() -> Result<()> {
    let stage = Stage::new("require")?;
    let weir = stage.weir.port();
    let stranger = Authority::new("stranger");
    for (issued, words) in [
        (Issued::by_itself(&["localhost"]), "certificate verify failed"),
        (stranger.server(&["localhost"]), "certificate verify failed"),
        (stage.ours.expired(&["localhost"]), "certificate verify failed"),
        (stage.ours.server(&["elsewhere.example"]), "does not match host name \"localhost\""),
    ] {
        let middle = Middle::start(weir, Act::Impersonate(issued));
        stage.refused(middle.port(), "sslmode=verify-full", words);
    }
    assert_eq!(stage.let_in(), 0);
    Ok(())
}

/// He has a certificate that the client believes, as whoever has an authority in his hand. What a password proves is
/// bound to weir's own certificate all the same.
#[test]
fn a_certificate_that_clients_believe_is_not_enough() -> Result<()> {
    let stage = Stage::new("require")?;
    let middle = Middle::start(stage.weir.port(), Act::Impersonate(stage.ours.server(&["localhost"])));
    // So it would be without channel binding: he reads all.
    let answer = stage.psql(middle.port(), "sslmode=verify-full channel_binding=disable");
    assert_eq!(answer.unwrap(), "answered");
    wait_for("what he reads", PATIENCE, || {
        let reads = |heard: &Vec<u8>| heard.windows(17).any(|part| part == b"SELECT 'answered'");
        Ok(middle.heard().iter().any(reads).then_some(()))
    })?;
    for binding in ["require", "prefer"] {
        stage.refused(
            middle.port(),
            &format!("sslmode=verify-full channel_binding={binding}"),
            "channel binding check failed",
        );
    }
    // He says that weir does not offer it.
    let issued = stage.ours.server(&["localhost"]);
    let middle = Middle::start(stage.weir.port(), Act::ImpersonateWithoutBinding(issued));
    stage.refused(
        middle.port(),
        "sslmode=verify-full channel_binding=require",
        "channel binding is required",
    );
    stage.refused(
        middle.port(),
        "sslmode=verify-full channel_binding=prefer",
        "channel binding negotiation error",
    );
    assert_eq!(stage.let_in(), 1);
    Ok::<(), Failure>(())
}
