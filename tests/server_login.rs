//! Logging in to a real PostgreSQL by every method, and cancelling on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use weir::backend::{Credentials, Login, Proof, cancel, log_in};
use weir::config::{ChannelBinding, Secret};
use weir::error::Error;
use weir::net::{Keepalive, Target, Way};

const HBA: &str = "\
    local all postgres trust\n\
    host all trusted 127.0.0.1/32 trust\n\
    host all scram 127.0.0.1/32 scram-sha-256\n\
    local all scram scram-sha-256\n\
    host all hashed 127.0.0.1/32 md5\n\
    host all clear 127.0.0.1/32 password\n\
    host all rejected 127.0.0.1/32 reject\n";

const ROLES: &str = "\
    CREATE ROLE trusted LOGIN;\
    CREATE ROLE scram LOGIN PASSWORD 'p\u{e4}ssword';\
    CREATE ROLE clear LOGIN PASSWORD 'in the clear';\
    CREATE ROLE rejected LOGIN;\
    SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'hashed';";

/// A throw-away server in a directory of its own; stopped and removed when dropped.
struct Server {
    directory: PathBuf,
    port: u16,
}

impl Server {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("weir-login-{name}-{}", std::process::id()));
        let port = free_port();
        let server = Self { directory, port };
        fs::create_dir_all(&server.directory).unwrap();
        fs::set_permissions(&server.directory, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((uid, gid)) = postgres_ids() {
            chown(&server.directory, Some(uid), Some(gid)).unwrap();
        }
        let data = server.data();
        run(server.command("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]).arg(&data));
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {port} -k {} -c fsync=off -c ssl=off",
            server.directory.display()
        );
        run(server
            .command("pg_ctl")
            .args(["start", "-w", "-o", &options, "-l"])
            .arg(server.log())
            .arg("-D")
            .arg(&data));
        let port = port.to_string();
        run(server
            .command("psql")
            .args(["-qX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-p", &port, "-c", ROLES, "-h"])
            .arg(&server.directory));
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// One of PostgreSQL's programs, run as the user that may run a server.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bin().join(program));
        if let Some((uid, gid)) = postgres_ids() {
            command.uid(uid).gid(gid);
        }
        command
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .env_remove("PGOPTIONS")
            .env("PGCLIENTENCODING", "UTF8");
        command
    }

    async fn log_in(&self, user: &str, password: Option<&str>) -> Result<Login, Error> {
        self.log_in_with("127.0.0.1", user, password, &[("application_name", "weir")]).await
    }

    async fn log_in_with(
        &self,
        host: &str,
        user: &str,
        password: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Result<Login, Error> {
        let proof = password.map_or(Proof::None, |password| Proof::Password(Secret::new(password)));
        let credentials = Credentials { user, proof: &proof, database: "postgres", parameters };
        let tls = Arc::default();
        let target = Target { host, address: None, port: self.port, tls: &tls };
        log_in(&target, ChannelBinding::Prefer, &credentials, &alive(), soon()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.command("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(self.data()).output();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn run(command: &mut Command) {
    let output =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where PostgreSQL's programs are: `PG_BIN`, or Debian's newest.
fn bin() -> PathBuf {
    if let Some(path) = std::env::var_os("PG_BIN") {
        return path.into();
    }
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL must be installed, or PG_BIN set");
    let newest = installed.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(|path| version(path));
    newest.expect("PostgreSQL must be installed, or PG_BIN set").join("bin")
}

/// PostgreSQL does not run as root; its own user is used then.
fn postgres_ids() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let output = Command::new("id").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| (id(&["-u", "postgres"]).unwrap(), id(&["-g", "postgres"]).unwrap()))
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn alive() -> Keepalive {
    Keepalive::of(Duration::from_secs(1), Duration::from_secs(2))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn parameter<'a>(login: &'a Login, name: &str) -> &'a [u8] {
    &login.parameters.iter().find(|(key, _)| key == name).expect("a reported parameter").1
}

/// Runs a simple query and returns all bytes up to ReadyForQuery.
async fn query(login: &mut Login, sql: &str) -> Vec<u8> {
    let message = [b"Q".as_slice(), &(sql.len() as u32 + 5).to_be_bytes(), sql.as_bytes(), b"\0"].concat();
    login.stream.write_all(&message).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"Z\0\0\0\x05I") {
        assert_ne!(login.stream.read_buf(&mut reply).await.unwrap(), 0, "the server closed");
    }
    reply
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn every_method_a_server_can_ask_for() {
    let server = Server::start("methods");
    let users = [
        ("trusted", None),
        ("trusted", Some("not asked for")),
        ("scram", Some("p\u{e4}ssword")),
        ("hashed", Some("hashed")),
        ("clear", Some("in the clear")),
    ];
    for (user, password) in users {
        let mut login = server.log_in(user, password).await.unwrap();
        assert!(login.received.is_empty());
        assert_eq!(login.key.as_ref().unwrap().secret().len(), 4);
        assert_eq!(parameter(&login, "session_authorization"), user.as_bytes());
        assert_eq!(parameter(&login, "application_name"), b"weir");
        assert!(contains(&query(&mut login, "SELECT 'it ' || 'works'").await, "it works"), "{user}");
    }

    let socket = server.directory.to_str().unwrap();
    let login = server.log_in_with(socket, "scram", Some("p\u{e4}ssword"), &[]).await.unwrap();
    assert_eq!(parameter(&login, "application_name"), b"");
}

#[tokio::test]
async fn refusals_come_in_the_servers_words() {
    let server = Server::start("refusals");
    for (user, password, sqlstate) in [
        ("scram", Some("wrong"), "28P01"),
        ("hashed", Some("wrong"), "28P01"),
        ("clear", Some("wrong"), "28P01"),
        ("rejected", Some("any"), "28000"),
        ("nobody", Some("any"), "28000"),
    ] {
        let error = server.log_in(user, password).await.unwrap_err();
        assert_eq!(error.sqlstate(), sqlstate, "{user}: {error}");
        assert!(error.to_string().contains(user), "{error}");
    }
    for user in ["scram", "hashed", "clear"] {
        let error = server.log_in(user, None).await.unwrap_err();
        assert!(matches!(error, Error::ServerAuthentication(_)), "{error}");
    }

    let parameters = [("no_such_setting", "1")];
    let error = server.log_in_with("127.0.0.1", "trusted", None, &parameters).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42704", "{error}");

    let credentials =
        Credentials { user: "trusted", proof: &Proof::None, database: "no_such_database", parameters: &[] };
    let tls = Arc::default();
    let target = Target { host: "127.0.0.1", address: None, port: server.port, tls: &tls };
    let error = log_in(&target, ChannelBinding::Prefer, &credentials, &alive(), soon()).await.unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.to_string().as_str()),
        ("3D000", "database \"no_such_database\" does not exist")
    );
}

#[tokio::test]
async fn a_cancel_reaches_what_runs_and_nothing_else() {
    let server = Server::start("cancel");
    let mut login = server.log_in("trusted", None).await.unwrap();
    let mut other = server.log_in("trusted", None).await.unwrap();
    let key = login.key.clone().unwrap();
    let tls = Arc::default();
    let target = Target { host: "127.0.0.1", address: None, port: server.port, tls: &tls };

    // Nothing runs: nothing happens.
    cancel(&target, Way::Plain, &key, &alive(), soon()).await.unwrap();
    assert!(contains(&query(&mut login, "SELECT 'still ' || 'here'").await, "still here"));

    let asleep = tokio::spawn(async move { query(&mut login, "SELECT pg_sleep(60)").await });
    while !contains(&query(&mut other, "SELECT 'aslee' || 'p' FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND wait_event = 'PgSleep'").await, "asleep") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel(&target, Way::Plain, &key, &alive(), soon()).await.unwrap();
    assert!(contains(&asleep.await.unwrap(), "57014"));
}
