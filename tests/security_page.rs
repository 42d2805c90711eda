//! docs/security.md says nothing that does not hold: each configuration on it is right and raises no warning, and serves
//! clients in front of a real cluster, with what stands for names and files that a test cannot have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::client::{Address, Client, Login};
use harness::{Authority, Cluster, Daemon, Options, Postgres, Result, free_port, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const PAGE: &str = include_str!("../docs/security.md");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The password of everybody.
const PASSWORD: &str = "page";

/// Titles of the configurations, in their order.
const TITLES: [&str; 6] = [
    "Two machines of one's own",
    "By a Unix socket",
    "Amazon RDS",
    "Google Cloud SQL",
    "Azure Database for PostgreSQL",
    "Kubernetes",
];

/// The texts between ```kind and ```.
fn blocks(kind: &str) -> Vec<&'static str> {
    let begin = format!("```{kind}\n");
    PAGE.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A configuration with a directory in which lies what it names.
struct Example {
    title: String,
    text: &'static str,
    directory: PathBuf,
}

impl Example {
    fn all(test: &str, authority: &Authority) -> Vec<Self> {
        let of = |(number, text): (usize, &'static str)| {
            let title = text.lines().next().unwrap().trim_start_matches("# ").to_owned();
            let name = format!("weir-page-{}-{test}-{number}", std::process::id());
            let example = Self { title, text, directory: std::env::temp_dir().join(name) };
            example.write_files(authority);
            example
        };
        blocks("toml").into_iter().enumerate().map(of).collect()
    }

    /// Values of a key, which are names of files.
    fn named(&self, key: &str) -> Vec<&'static str> {
        let value = |line: &'static str| {
            let (name, value) = line.split_once(" = ")?;
            (name == key).then(|| value.trim_matches('"'))
        };
        self.text.lines().filter_map(value).filter(|value| *value != "system").collect()
    }

    fn write_files(&self, authority: &Authority) {
        let (server, client) = (authority.server(&["localhost", "127.0.0.1"]), authority.client("shop"));
        let hba = blocks("hba")[0].replace("10.0.0.0/8", "127.0.0.0/8");
        for (key, text, mode) in [
            ("tls_certificate", &server.certificate, 0o644),
            ("tls_key", &server.key, 0o600),
            ("sslrootcert", &authority.pem(), 0o644),
            ("sslcert", &client.certificate, 0o644),
            ("sslkey", &client.key, 0o600),
            ("password_file", &format!("{PASSWORD}\n"), 0o600),
            ("query_password_file", &format!("{PASSWORD}\n"), 0o600),
            ("hba_file", &hba, 0o644),
        ] {
            self.named(key).into_iter().for_each(|name| self.write(name, text, mode));
        }
        self.write("proxy.toml", self.text, 0o644);
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn weir(&self, verb: &str, file: &str) -> Command {
        let mut command = Command::new(WEIR);
        command.arg(verb).arg("--config").arg(self.directory.join(file)).env("SHOP_PASSWORD", PASSWORD);
        command
    }

    /// The same in front of a cluster: other hosts, and what only the services themselves have.
    fn in_front_of(&self, cluster: &Cluster, place: &Place) -> String {
        let mut servers = 0..;
        let line = |line: &str| match line.split_once(" = ") {
            Some(("host", _)) => {
                format!("host = \"localhost\"\nport = {}", cluster.port(servers.next().unwrap()))
            }
            Some(("sslrootcert", "\"system\"")) => "sslrootcert = \"page.crt\"".to_owned(),
            Some(("address", "\"*:6432\"")) => format!("address = \"127.0.0.1:{}\"", place.port),
            Some(("address", "\"0.0.0.0:9187\"")) => format!("address = \"127.0.0.1:{}\"", place.metrics),
            Some(("unix_socket", _)) => format!("unix_socket = {:?}", self.directory),
            _ => line.to_owned(),
        };
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for such things.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

struct Place {
    port: u16,
    metrics: u16,
}

#[test]
fn each_configuration_is_right() {
    let authority = Authority::new("page");
    let examples = Example::all("right", &authority);
    assert_eq!(examples.iter().map(|example| &*example.title).collect::<Vec<_>>(), TITLES);
    for example in examples {
        let output = example.weir("check", "proxy.toml").output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(output.status.success(), "{}: {}", example.title, said.concat());
        let warnings = said[0].lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>();
        // The page says why that is enough there.
        let expected = if example.title == "Google Cloud SQL" { 2 } else { 0 };
        assert_eq!(warnings.len(), expected, "{}: {warnings:?}", example.title);
        assert!(warnings.iter().all(|warning| warning.contains("verify-ca")), "{warnings:?}");
    }
}

/// What psql is answered, or why it is not.
fn psql(connection: &str) -> std::result::Result<String, String> {
    let mut command = Command::new(Postgres::locate().unwrap().program("psql").unwrap());
    command.args(["-X", "-A", "-t", "-c", "SELECT current_user", "-d", connection]);
    let output = command.env("PGPASSWORD", PASSWORD).env("LC_ALL", "C").output().unwrap();
    let text = |said: Vec<u8>| String::from_utf8_lossy(&said).trim_end().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A cluster as the page has it set up: nothing but TLS, and the role that weir asks for verifiers.
fn cluster(authority: &Authority) -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(1))?;
    let postgres = Login::new("postgres", "postgres").database("postgres");
    let mut client = Client::connect(&Address::local(cluster.port(0)), &postgres)?;
    client.query(&format!("CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'"))?;
    client.query(&format!("ALTER ROLE app PASSWORD '{PASSWORD}'"))?;
    let from = PAGE.find("    CREATE ROLE weir_auth").unwrap();
    let statements = PAGE[from..].split("\n\n").next().unwrap().replace("'...'", &format!("'{PASSWORD}'"));
    client.query(&statements)?;
    cluster.wait_caught_up()?;
    for server in 0..2 {
        let issued = authority.server(&["localhost"]);
        cluster.secure(server, &issued.certificate, &issued.key, Some(&authority.pem()))?;
        cluster.admit(server, "hostssl all all 127.0.0.0/8 scram-sha-256\n")?;
    }
    Ok(cluster)
}

#[test]
fn each_configuration_serves_clients() -> Result<()> {
    let authority = Authority::new("page");
    let cluster = cluster(&authority)?;
    for example in Example::all("serves", &authority) {
        let place = Place { port: free_port()?, metrics: free_port()? };
        let roots = example.directory.join("page.crt");
        fs::write(&roots, authority.pem())?;
        example.write("started.toml", &example.in_front_of(&cluster, &place), 0o600);
        let daemon = Daemon::start(&mut example.weir("run", "started.toml"), &example.directory.join("log"))?;
        let user = if example.text.contains("name = \"app\"") { "app" } else { "shop" };
        let way = if example.text.contains("unix_socket") {
            format!("host={} port=6432", example.directory.display())
        } else {
            format!(
                "host=localhost port={} sslmode=verify-full sslrootcert={} channel_binding=require",
                place.port,
                Path::display(&roots)
            )
        };
        let connection = format!("{way} user={user} dbname=app");
        let mut last = String::new();
        let answered = wait_for(&format!("{} to serve", example.title), PATIENCE, || {
            Ok(psql(&connection).map_err(|said| last = said).ok())
        });
        let answered = answered.unwrap_or_else(|failure| panic!("{failure}: {last}\n{}", daemon.log()));
        assert_eq!(answered, user, "{}", example.title);
        if !example.text.contains("unix_socket") {
            let plain = format!("host=localhost port={} sslmode=disable user={user} dbname=app", place.port);
            psql(&plain).expect_err("nobody comes without TLS");
        }
    }
    Ok(())
}
