//! Secrets are where they must be and nowhere else: recognisable ones are planted wherever one can be configured or sent,
//! logins good and bad are driven through weir at the most talkative log level, and then all that weir says is searched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Client, Login};
use harness::{Authority, Cluster, Issued, Options, Postgres, Result, Weir, WeirSetup, free_port, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Parts of a verifier, each of which is searched for.
const VERIFIER: [&str; 3] = [
    "W22ZaJ0SNY7soEsUEjb6gQ==",
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
];

/// A directory that goes with this.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self> {
        let name = format!("weir-secrets-{}-{}", std::process::id(), free_port()?);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.0.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What was planted, in all the forms in which it could come to light.
struct Planted(Vec<(String, String)>);

impl Planted {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// A secret for a place, which no other text is like.
    fn plant(&mut self, place: &str) -> String {
        let secret = format!("planted{}secret", place.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        self.add(place, &secret);
        secret
    }

    fn add(&mut self, place: &str, secret: &str) {
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        let mut hex = String::new();
        secret.bytes().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        for form in [secret.to_owned(), bytes.join(", "), bytes.join(","), hex] {
            self.0.push((place.to_owned(), form));
        }
    }

    /// A private key, by the lines of its file and by its bytes.
    fn add_key(&mut self, place: &str, issued: &Issued) {
        let lines: Vec<&str> = issued.key.lines().filter(|line| !line.starts_with('-')).collect();
        lines.iter().for_each(|line| self.add(place, line));
        // Behind these bytes of PKCS#8 is the number that nobody else knows; the public key, which may be seen, is at the end.
        let der = STANDARD.decode(lines.concat()).unwrap();
        let secret = &der[der.windows(3).position(|head| head == [0x02, 0x01, 0x01]).unwrap() + 5..][..32];
        self.0.push((place.to_owned(), format!("{secret:?}").trim_matches(['[', ']']).to_owned()));
        let hex = secret.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        self.0.push((place.to_owned(), hex));
    }

    fn search(&self, what: &str, text: &str) {
        for (place, secret) in &self.0 {
            let Some(at) = text.find(secret.as_str()) else { continue };
            let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
            panic!("the secret of {place} is in {what}: {}", text[from..].lines().next().unwrap_or_default());
        }
    }
}

/// What `weir check` says of a file, to either stream.
fn check(file: &str, environment: &[(&str, &str)]) -> Result<String> {
    let output =
        Command::new(WEIR).args(["check", "--config", file]).envs(environment.iter().copied()).output()?;
    Ok([output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat())
}

fn log_in(weir: &Weir, user: &str, password: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(user, password).database("app"))
}

/// psql, whose login is libpq's own. What it says is the client's, who knows his secrets.
fn psql(weir: &Weir, user: &str, password: &str, sql: &str) -> Result<bool> {
    let mut command = Command::new(Postgres::locate()?.program("psql")?);
    command.args([
        "-X",
        "-h",
        "127.0.0.1",
        "-p",
        &weir.port().to_string(),
        "-U",
        user,
        "-d",
        "app",
        "-c",
        sql,
    ]);
    Ok(command.env("PGPASSWORD", password).output()?.status.success())
}

/// Searches what `weir check` says of a configuration, and of mistakes beside its secrets, in them, and in their lines.
fn search_checks(directory: &Directory, text: &str, variable: &str, planted: &Planted) -> Result<()> {
    let right = directory.write("proxy.toml", text)?;
    let said = check(&right, &[("PLANTED", variable)])?;
    assert!(said.contains("is right"), "{said}");
    planted.search("weir check", &said);
    for (from, to) in [
        ("password_env", "password_enw"),
        ("server_password = \"", "server_password = 5 # \""),
        ("password = \"planted", "password = planted"),
        ("verifier = \"SCRAM", "verifier = \"SCREAM"),
        ("verifier = ", "password = \"\"\nverifier = "),
        ("auth = \"trust\"", "auth = \"trust\"\npassword = \"planted\""),
    ] {
        assert!(text.contains(from), "{from}");
        let wrong = directory.write("wrong.toml", &text.replace(from, to))?;
        let said = check(&wrong, &[("PLANTED", variable)])?;
        assert!(!said.contains("is right"), "{from}: {said}");
        planted.search(&format!("what weir check says of {to}"), &said);
    }
    Ok(())
}

/// Searches all that a running weir says.
fn search_all(weir: &Weir, planted: &Planted) -> Result<()> {
    // Something that is said at no other level.
    kill_process(Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap(), Signal::USR1).unwrap();
    wait_for("the line of a signal", PATIENCE, || Ok(weir.log().contains("SIGUSR1").then_some(())))?;
    for path in ["/metrics", "/status", "/readyz", "/healthz"] {
        planted.search(path, &weir.get(path)?);
    }
    planted.search("the command line", &fs::read_to_string(format!("/proc/{}/cmdline", weir.pid()))?);
    planted.search("the log", &weir.log());
    Ok(())
}

#[test]
fn no_secret_comes_to_light() -> Result<()> {
    let (cluster, directory, mut planted) = (Cluster::shared(), Directory::new()?, Planted::new());
    let [plain, filed, variable, towards, refused] =
        ["password", "password_file", "password_env", "server_password", "refused server_password"]
            .map(|place| planted.plant(place));
    for (user, password) in
        [("in_plain", &plain), ("in_file", &filed), ("in_variable", &variable), ("towards", &towards)]
    {
        cluster.sql(0, &format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'"))?;
    }
    cluster.wait_caught_up()?;
    let [salt, stored, server] = VERIFIER;
    VERIFIER.iter().for_each(|part| planted.add("verifier", part));
    let file = directory.write("in_file.password", &format!("{filed}\n"))?;
    let users = format!(
        "[[users]]\nname = \"in_plain\"\npassword = \"{plain}\"\n\
         [[users]]\nname = \"in_file\"\npassword_file = \"{file}\"\n\
         [[users]]\nname = \"in_variable\"\npassword_env = \"PLANTED\"\n\
         [[users]]\nname = \"by_verifier\"\nverifier = \"SCRAM-SHA-256$4096:{salt}${stored}:{server}\"\n\
         server_user = \"towards\"\nserver_password = \"{towards}\"\n\
         [[users]]\nname = \"refused\"\nauth = \"trust\"\nserver_user = \"in_plain\"\nserver_password = \"{refused}\"\n"
    );
    let setup = WeirSetup::in_front_of(cluster, 0..3)
        .append(&users)
        .environment("PLANTED", &variable)
        .set("log", "filter", "\"trace\"")
        .set("log", "slow_query", "\"1ms\"");
    let text = setup.text();
    let weir = setup.start(WEIR)?;

    for (user, password) in
        [("in_plain", &*plain), ("in_file", &*filed), ("in_variable", &*variable), ("by_verifier", "pencil")]
    {
        assert_eq!(log_in(&weir, user, password)?.query("SELECT 'in'")?.value(), "in", "{user}");
        assert!(psql(&weir, user, password, "SELECT 'in'")?, "{user}");
        let wrong = planted.plant(&format!("wrong password of {user}"));
        assert_eq!(log_in(&weir, user, &wrong).unwrap_err().sqlstate(), Some("28P01"));
        assert!(!psql(&weir, user, &wrong, "SELECT 'in'")?);
    }
    let stranger = planted.plant("password of nobody");
    assert_eq!(log_in(&weir, "nobody", &stranger).unwrap_err().sqlstate(), Some("28P01"));
    // A server that refuses what is configured, and says so.
    log_in(&weir, "refused", "").map(|mut client| client.query("SELECT 1")).map(drop).unwrap_or_default();
    // Statements that hold secrets, some of which take long enough for a line of their own.
    let [changed, literal, broken] =
        ["changed password", "literal", "statement with an error"].map(|place| planted.plant(place));
    let mut client = log_in(&weir, "postgres", "postgres")?;
    client.query(&format!("ALTER ROLE in_plain PASSWORD '{changed}'"))?;
    client.query(&format!("SELECT pg_sleep(0.05), '{literal}', $${literal}$$, U&'{literal}'"))?;
    client.query(&format!("SELECT '{broken}' FROM nowhere_at_all")).unwrap_err();
    client.query(&format!("SELEKT '{broken}'")).unwrap_err();
    wait_for("a slow statement's line", PATIENCE, || Ok(weir.log().contains("slow query").then_some(())))?;
    drop(client);

    search_all(&weir, &planted)?;
    let right = directory.write("proxy.toml", &text)?;
    search_checks(&directory, &text, &variable, &planted)?;
    let environment = HashMap::from([("PLANTED".to_owned(), variable)]);
    let config = weir::config::load_with(right.as_ref(), &environment).unwrap();
    planted.search("the configuration's Debug", &format!("{config:?} {config:#?}"));
    planted.search("its users'", &format!("{:?}", weir::users::Users::new(&config.users).unwrap()));
    Ok(())
}

/// Of those whom the configuration does not list: by a userlist, by the servers, in all the ways to ask for a password.
#[test]
fn no_secret_of_others_comes_to_light() -> Result<()> {
    let (cluster, directory, mut planted) = (Cluster::shared(), Directory::new()?, Planted::new());
    let [listed, hashed, asked, asking, sent] =
        ["userlist", "userlist by md5", "auth_query", "query_password", "a password as it is"]
            .map(|place| planted.plant(place));
    let roles =
        [("listed", &listed), ("hashed", &hashed), ("asked", &asked), ("asking", &asking), ("sent", &sent)];
    for (user, password) in roles {
        let kind = if user == "hashed" { "md5" } else { "scram-sha-256" };
        cluster.sql(
            0,
            &format!("SET password_encryption = '{kind}'; CREATE ROLE {user} LOGIN PASSWORD '{password}'"),
        )?;
        let kept = cluster.sql(0, &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'"))?;
        kept.value()
            .split([':', '$'])
            .filter(|part| part.len() > 20)
            .for_each(|part| planted.add("pg_authid", part));
    }
    cluster.sql(0, "ALTER ROLE asking SUPERUSER")?;
    cluster.wait_caught_up()?;
    let kept = cluster.sql(0, "SELECT rolpassword FROM pg_authid WHERE rolname = 'hashed'")?;
    let list = format!("\"listed\" \"{listed}\"\n\"hashed\" \"{}\"\n", kept.value());
    let list = directory.write("userlist.txt", &list)?;
    let hba = directory.write(
        "weir_hba.conf",
        "host all hashed all md5\nhost all sent all password\nhost all all all scram-sha-256\n",
    )?;
    let weir = WeirSetup::in_front_of(cluster, 0..3)
        .set("auth", "userlist", &format!("{list:?}"))
        .set("auth", "hba_file", &format!("{hba:?}"))
        .set("auth", "query", "true")
        .set("auth", "query_user", "\"asking\"")
        .set("auth", "query_password", &format!("{asking:?}"))
        .set("log", "filter", "\"trace\"")
        .start(WEIR)?;
    for (user, password) in roles {
        // Whether they come in is asked elsewhere: here they say what they know.
        let mut came = log_in(&weir, user, password).map(drop).is_ok();
        came |= psql(&weir, user, password, "SELECT 'in'")?;
        assert!(came || user != "listed", "{}", weir.log());
        let wrong = planted.plant(&format!("wrong password of {user}"));
        log_in(&weir, user, &wrong).unwrap_err();
        assert!(!psql(&weir, user, &wrong, "SELECT 'in'")?);
    }
    let stranger = planted.plant("password of nobody");
    log_in(&weir, "nobody", &stranger).unwrap_err();
    search_all(&weir, &planted)?;
    planted.search("weir check", &check(&weir.config().display().to_string(), &[])?);
    let broken =
        directory.write("userlist.txt", &format!("\"listed\" \"{listed}\"\n\"broken\" {hashed}\n"))?;
    let said = check(&weir.config().display().to_string(), &[])?;
    assert!(said.contains(&broken) && !said.contains("is right"), "{said}");
    planted.search("weir check", &said);
    Ok(())
}

/// What encrypts on both sides, while handshakes succeed and fail and files change.
#[test]
fn no_key_comes_to_light() -> Result<()> {
    let (directory, mut planted) = (Directory::new()?, Planted::new());
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (server, weirs) = (ours.server(&["127.0.0.1"]), ours.server(&["localhost"]));
    let (shown, next) = (ours.client("app"), ours.server(&["localhost"]));
    for (place, issued) in [("tls_key", &weirs), ("sslkey", &shown), ("the next tls_key", &next)] {
        planted.add_key(place, issued);
    }
    let passphrase = planted.plant("sslpassword");
    let cluster = Cluster::with(Options::new(0))?;
    cluster.secure(0, &server.certificate, &server.key, Some(&ours.pem()))?;
    cluster.admit(0, "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n")?;
    let root = directory.write("root.crt", &ours.pem())?;
    let (certificate, key) = weirs.write(&directory.0, "weir")?;
    let (own, own_key) = shown.write(&directory.0, "shown")?;
    let towards = format!(
        "sslmode = \"verify-full\"\nsslrootcert = {root:?}\nsslcert = {own:?}\nsslkey = {own_key:?}\n\
         sslpassword_env = \"PLANTED\""
    );
    let setup = WeirSetup::in_front_of(&cluster, [0])
        .each_server(&towards)
        .environment("PLANTED", &passphrase)
        .set("listen", "tls_certificate", &format!("{certificate:?}"))
        .set("listen", "tls_key", &format!("{key:?}"))
        .set("listen", "tls_ca", &format!("{root:?}"))
        .set("log", "filter", "\"trace\"");
    let text = setup.text();
    let weir = setup.start(WEIR)?;

    assert!(psql(&weir, "app", "app", "SELECT 'in'")?);
    assert!(!psql(&weir, "app", &planted.plant("wrong password by TLS"), "SELECT 'in'")?);
    let mut noise = TcpStream::connect(("127.0.0.1", weir.port()))?;
    noise.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f")?;
    noise.read_exact(&mut [0])?;
    noise.write_all(&[b'x'; 100])?;
    noise.read_to_end(&mut Vec::new()).unwrap_or_default();
    // A server that is not believed, and then is.
    let stranger = other.server(&["127.0.0.1"]);
    cluster.secure(0, &stranger.certificate, &stranger.key, None)?;
    cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_ssl WHERE ssl")?;
    wait_for("a refused certificate", PATIENCE, || {
        Ok(weir.log().contains("not among the trusted root certificates").then_some(()))
    })?;
    cluster.secure(0, &server.certificate, &server.key, None)?;
    for (broken, mode) in [(&weirs.key[..80], 0o600), (&next.key, 0o644), (&next.key, 0o600)] {
        let before = weir.log().len();
        fs::write(&key, broken)?;
        fs::set_permissions(&key, Permissions::from_mode(mode))?;
        kill_process(Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap(), Signal::HUP).unwrap();
        let said = || Ok(weir.log()[before..].contains("read anew, and not taken").then_some(()));
        wait_for("the key is not taken", PATIENCE, said)?;
        let checked = check(&directory.write("proxy.toml", &text)?, &[("PLANTED", &passphrase)])?;
        planted.search("weir check", &checked);
    }
    next.write(&directory.0, "weir")?;
    wait_for("the next key is taken", PATIENCE, || {
        Ok(weir.log().contains("read anew, and shown to new clients").then_some(()))
    })?;
    search_all(&weir, &planted)?;
    drop(weir);
    search_panics(&directory, &text, ("PLANTED", &passphrase), &planted)
}

/// Searches what is said where things go wrong: by the program, whose output cannot be written, and by the panic of whoever
/// unwraps what holds secrets.
fn search_panics(
    directory: &Directory,
    text: &str,
    (variable, value): (&str, &str),
    planted: &Planted,
) -> Result<()> {
    let file = directory.write("proxy.toml", text)?;
    let mut command = Command::new(WEIR);
    command.args(["check", "--config", &file]).env(variable, value).env("RUST_BACKTRACE", "full");
    let output = command.stdout(OpenOptions::new().write(true).open("/dev/full")?).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("No space left on device"), "{said}");
    planted.search("what weir says whose output cannot be written", &said);

    let environment = HashMap::from([(variable.to_owned(), value.to_owned())]);
    let config = weir::config::load_with(file.as_ref(), &environment).unwrap();
    let weir::config::ListenTls::Allow(files) = config.listeners[0].tls.clone() else {
        panic!("{:?}", config.listeners);
    };
    let acceptor = weir::net::tls::Acceptor::load(files).unwrap();
    let users = weir::users::Users::new(&config.users).unwrap();
    let panic =
        catch_unwind(AssertUnwindSafe(move || panic!("{:?}", (config, users, acceptor)))).unwrap_err();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.contains("Identity") && said.contains("Acceptor"), "{said}");
    planted.search("a panic that shows what it has", said);
    Ok(())
}

/// The test finds what there is to be found.
#[test]
#[should_panic(expected = "the secret of a place is in a text: second line plantedaplacesecret here")]
fn what_comes_to_light_is_seen() {
    let mut planted = Planted::new();
    let secret = planted.plant("a place");
    planted.search("a text", &format!("first line\nsecond line {secret} here\nthird"));
}
