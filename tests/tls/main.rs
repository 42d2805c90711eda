//! TLS towards clients, with libpq as the client: what it demands it gets, or it is told why not; and what weir demands.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod direct;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::client::{Address, Client, Hello, Login, TlsAddress};
use harness::{Authority, Cluster, Postgres, Result, Weir, WeirSetup, wait_for};
use rcgen::{CertificateParams, DnType};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Users by a password, and by a certificate.
const USERS: &str =
    "[[users]]\nname = \"certified\"\nauth = \"cert\"\nserver_user = \"app\"\nserver_password = \"app\"\n";

/// Certificates in a directory of their own: of an authority, of weir, and of a client.
struct Papers {
    authority: Authority,
    place: PathBuf,
}

impl Papers {
    fn new(name: &str) -> Result<Self> {
        let authority = Authority::new(&format!("authority of {name}"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tls").join(name);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place)?;
        let papers = Self { authority, place };
        fs::write(papers.path("ca.crt"), papers.authority.pem())?;
        papers.sign("weir", "weir")?;
        papers.sign("client", "certified")?;
        Ok(papers)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.place.join(file)
    }

    /// Signs another certificate for this machine, in files of this name.
    fn sign(&self, file: &str, name: &str) -> Result<()> {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        self.authority.issue(params).write(&self.place, file)?;
        Ok(())
    }

    fn setup(&self, tls: &str) -> WeirSetup {
        let quoted = |file: &str| format!("\"{}\"", self.path(file).display());
        WeirSetup::in_front_of(Cluster::shared(), [0])
            .set("listen", "tls", &format!("\"{tls}\""))
            .set("listen", "tls_certificate", &quoted("weir.crt"))
            .set("listen", "tls_key", &quoted("weir.key"))
            .set("listen", "tls_ca", &quoted("ca.crt"))
            .append(USERS)
    }

    /// Where our own client is encrypted when it has asked for it.
    fn address(&self, weir: &Weir) -> Address {
        let authority = self.authority.der();
        Address::Tls(TlsAddress { port: weir.port(), authority, hello: Hello::Asked })
    }

    fn weir(&self, tls: &str) -> Result<Weir> {
        self.setup(tls).start(WEIR)
    }
}

/// What psql says, or why it does not, with this connection string beside host and port.
fn psql(weir: &Weir, string: &str, sql: &str) -> std::result::Result<String, String> {
    let string = format!("host=localhost port={} dbname=app {string}", weir.port());
    let psql = Postgres::locate().unwrap().program("psql").unwrap();
    let output = Command::new(psql)
        .args(["-XAtq", "-c", sql, &string])
        .env("PGPASSWORD", "app")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn libpq_gets_what_it_demands() -> Result<()> {
    let papers = Papers::new("modes")?;
    let weir = papers.weir("allow")?;
    let ca = papers.path("ca.crt");
    let (ca, one) = (ca.display(), "SELECT 1");
    for sslmode in ["disable", "allow", "prefer", "require"] {
        assert_eq!(psql(&weir, &format!("user=app sslmode={sslmode}"), one).as_deref(), Ok("1"), "{sslmode}");
    }
    for more in [
        "",
        "channel_binding=require",
        "ssl_min_protocol_version=TLSv1.3",
        "ssl_max_protocol_version=TLSv1.2",
    ] {
        let string = format!("user=app sslmode=verify-full sslrootcert={ca} {more}");
        assert_eq!(psql(&weir, &string, one).as_deref(), Ok("1"), "{more}");
    }
    let other = Papers::new("other")?;
    let string = format!("user=app sslmode=verify-full sslrootcert={}", other.path("ca.crt").display());
    let refused = psql(&weir, &string, one).unwrap_err();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    Ok(())
}

#[test]
fn who_is_not_encrypted_is_refused_where_all_must_be() -> Result<()> {
    let papers = Papers::new("require")?;
    let weir = papers.weir("require")?;
    let refused = psql(&weir, "user=app sslmode=disable", "SELECT 1").unwrap_err();
    assert!(refused.contains("FATAL:  connection requires SSL encryption"), "{refused}");
    assert_eq!(psql(&weir, "user=app sslmode=require", "SELECT 1").as_deref(), Ok("1"));
    Ok(())
}

#[test]
fn a_certificate_is_a_proof_where_it_is_asked_for() -> Result<()> {
    let papers = Papers::new("clients")?;
    let weir = papers.weir("allow")?;
    let (certificate, key) = (papers.path("client.crt"), papers.path("client.key"));
    let own = format!("sslmode=require sslcert={} sslkey={}", certificate.display(), key.display());
    assert_eq!(psql(&weir, &format!("user=certified {own}"), "SELECT current_user").as_deref(), Ok("app"));
    let bare = psql(&weir, "user=certified sslmode=require", "SELECT 1").unwrap_err();
    assert!(bare.contains("connection requires a valid client certificate"), "{bare}");
    papers.sign("client", "somebody else")?;
    let stranger = psql(&weir, &format!("user=certified {own}"), "SELECT 1").unwrap_err();
    assert!(stranger.contains("certificate authentication failed for user \"certified\""), "{stranger}");
    // For who proves itself by a password it is no more than what it shows.
    assert_eq!(psql(&weir, &format!("user=app {own}"), "SELECT 1").as_deref(), Ok("1"));
    let other = Papers::new("others")?;
    let (certificate, key) = (other.path("client.crt"), other.path("client.key"));
    let own = format!("sslmode=require sslcert={} sslkey={}", certificate.display(), key.display());
    let forged = psql(&weir, &format!("user=certified {own}"), "SELECT 1").unwrap_err();
    assert!(forged.contains("alert") || forged.contains("closed"), "{forged}");
    Ok(())
}

#[test]
fn what_comes_before_the_handshake_is_not_taken_for_encrypted() -> Result<()> {
    let papers = Papers::new("early")?;
    let weir = papers.weir("allow")?;
    let mut client = TcpStream::connect(("127.0.0.1", weir.port()))?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"\0\0\0\x08\x04\xd2\x16\x2fQ\0\0\0\x0dSELECT 1\0")?;
    let mut said = Vec::new();
    client.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with('E') && said.contains("received unencrypted data after SSL request"), "{said}");
    Ok(())
}

#[test]
fn certificates_change_under_live_sessions() -> Result<()> {
    let papers = Papers::new("reload")?;
    let weir = papers.weir("allow")?;
    let before = fs::read_to_string(papers.path("ca.crt"))?;
    fs::write(papers.path("old.crt"), &before)?;
    let (own, old) = (papers.path("ca.crt"), papers.path("old.crt"));
    let verified = |ca: &Path| {
        psql(&weir, &format!("user=app sslmode=verify-full sslrootcert={}", ca.display()), "SELECT 1")
    };
    verified(&own).unwrap();
    let mut live = Client::connect(&weir.address(), &Login::new("app", "app"))?;
    let anew = Papers::new("reload")?;
    fs::write(papers.path("old.crt"), &before)?;
    wait_for("the new certificate is shown", PATIENCE, || Ok(verified(&own).is_ok().then_some(())))?;
    assert!(verified(&old).is_err());
    assert_eq!(live.query("SELECT 1")?.value(), "1");

    // What cannot be used changes nothing, however it is asked for.
    fs::write(anew.path("weir.key"), "no key")?;
    kill_process(Pid::from_raw(weir.pid().try_into().unwrap()).unwrap(), Signal::HUP).unwrap();
    wait_for("the log says so", PATIENCE, || Ok(weir.log().contains("not taken").then_some(())))?;
    verified(&own).unwrap();
    Ok(())
}
