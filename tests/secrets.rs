//! Secrets are where they must be and nowhere else: recognisable ones are planted wherever one can be configured or sent,
//! logins good and bad are driven through weir at the most talkative log level, and then all that weir says is searched.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Postgres, Result, Weir, WeirSetup, free_port, wait_for};
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

    // Something that is said at no other level.
    kill_process(Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap(), Signal::USR1).unwrap();
    wait_for("the line of a signal", PATIENCE, || Ok(weir.log().contains("SIGUSR1").then_some(())))?;
    for path in ["/metrics", "/status", "/readyz", "/healthz"] {
        planted.search(path, &weir.get(path)?);
    }
    planted.search("the command line", &fs::read_to_string(format!("/proc/{}/cmdline", weir.pid()))?);
    planted.search("the log", &weir.log());

    let right = directory.write("proxy.toml", &text)?;
    search_checks(&directory, &text, &variable, &planted)?;
    let environment = HashMap::from([("PLANTED".to_owned(), variable)]);
    let config = weir::config::load_with(right.as_ref(), &environment).unwrap();
    planted.search("the configuration's Debug", &format!("{config:?} {config:#?}"));
    planted.search("its users'", &format!("{:?}", weir::users::Users::new(&config.users).unwrap()));
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
