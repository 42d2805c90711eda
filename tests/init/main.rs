//! `weir init` asks real clusters, and what it writes runs.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{Cluster, Daemon, Options, Papers, free_port, wait_for};

/// A directory of its own for a test, empty.
fn directory(test: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("init").join(test);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Runs `weir init` with nothing in its environment but a password.
fn init(directory: &Path, password: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("init")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PGPASSWORD", password)
        .output()
        .unwrap()
}

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A cluster whose replicas follow by TCP.
fn by_tcp(replicas: usize) -> Cluster {
    let cluster = Cluster::with(Options::new(replicas)).unwrap();
    for replica in 1..=replicas {
        let (port, name) = (cluster.port(0), cluster.name(replica));
        let conninfo =
            format!("'host=127.0.0.1 port={port} user=postgres password=postgres application_name={name}'");
        cluster.set(replica, "primary_conninfo", &conninfo).unwrap();
    }
    wait_for("the replicas to follow by TCP", std::time::Duration::from_secs(30), || {
        let sql =
            "SELECT count(*) FROM pg_stat_replication WHERE client_addr IS NOT NULL AND state = 'streaming'";
        Ok((cluster.sql(0, sql)?.value() == replicas.to_string()).then_some(()))
    })
    .unwrap();
    cluster
}

#[test]
fn what_is_written_runs() {
    let cluster = by_tcp(2);
    let directory = directory("runs");
    let port = |server: usize| cluster.port(server).to_string();
    let url = format!("postgresql://app@127.0.0.1:{}/app", port(0));
    let ports = [port(1), port(2)];
    let arguments = [&url, "--try-port", &ports[0], "--try-port", &ports[1], "--output", "proxy.toml"];

    // One who may not see where replicas are says so.
    let output = init(&directory, "app", &arguments);
    assert!(output.status.success(), "{}", words(&output));
    let text = std::fs::read_to_string(directory.join("proxy.toml")).unwrap();
    assert!(text.contains("GRANT pg_monitor"), "{text}");

    // What is there stays there.
    let output = init(&directory, "app", &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("is there already"), "{}", words(&output));

    cluster.sql(0, "GRANT pg_monitor TO app").unwrap();
    let output = init(&directory, "app", &[&arguments[..], &["--force"]].concat());
    assert!(output.status.success(), "{}", words(&output));
    let file = directory.join("proxy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for server in 0..3 {
        assert!(text.contains(&format!("port = {}\n", port(server))), "{text}");
        assert!(text.contains(&format!("name = \"{}\"\n", cluster.name(server))), "{text}");
    }
    assert!(!text.contains("not found out") && !text.contains("What could not"), "{text}");
    assert!(text.contains("Now the primary") && text.matches("Now a replica").count() == 2, "{text}");
    assert!(
        text.contains("password_file = \"app.password\"") && text.contains("database = \"app\""),
        "{text}"
    );
    runs(&cluster, &directory);
}

/// The written file, as it is but for the ports at which weir listens: a write, and a read that a replica answers.
fn runs(cluster: &Cluster, directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(directory.join("app.password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (clients, metrics) = (free_port().unwrap(), free_port().unwrap());
    let file = directory.join("proxy.toml");
    let check =
        Command::new(env!("CARGO_BIN_EXE_weir")).arg("check").arg("--config").arg(&file).output().unwrap();
    assert!(check.status.success(), "{}", words(&check));
    let mut run = Command::new(env!("CARGO_BIN_EXE_weir"));
    run.arg("run").arg("--config").arg(&file);
    run.env("WEIR__LISTEN__ADDRESS", format!("127.0.0.1:{clients}"));
    run.env("WEIR__METRICS__ADDRESS", format!("127.0.0.1:{metrics}"));
    let weir = Daemon::start(&mut run, &directory.join("log")).unwrap();
    let psql = |sql: &str| {
        let url = format!("postgresql://app@127.0.0.1:{clients}/app");
        let mut psql = Command::new(cluster.postgres().program("psql").unwrap());
        psql.args(["--no-psqlrc", "-tA", &url, "-c", sql]).env("PGPASSWORD", "app").output().unwrap()
    };
    wait_for("weir to serve writes", std::time::Duration::from_secs(20), || {
        Ok(psql("CREATE TABLE IF NOT EXISTS t (id int)").status.success().then_some(()))
    })
    .unwrap_or_else(|failure| panic!("{failure}:\n{}", weir.log()));
    // What a container's health check asks.
    let health = |arguments: &[&str]| {
        let mut health = Command::new(env!("CARGO_BIN_EXE_weir"));
        health.arg("health").arg("--config").arg(&file).args(arguments);
        let output = health.env("WEIR__METRICS__ADDRESS", format!("0.0.0.0:{metrics}")).output().unwrap();
        (output.status.code(), words(&output))
    };
    assert_eq!(health(&[]), (Some(0), "alive\n".to_owned()));
    assert_eq!(health(&["--ready"]), (Some(0), "ready\n".to_owned()));
    assert_eq!(health(&["--ready", "read"]), (Some(0), "ready\n".to_owned()));
    let nobody = free_port().unwrap();
    let (code, told) = health(&["--on", &format!("http://127.0.0.1:{nobody}")]);
    assert!(code == Some(1) && told.contains("cannot be reached"), "{told}");
    cluster.wait_caught_up().unwrap();
    wait_for("a replica to answer", std::time::Duration::from_secs(20), || {
        let output = psql("SELECT current_setting('harness.server')");
        Ok(String::from_utf8_lossy(&output.stdout).starts_with("replica").then_some(()))
    })
    .unwrap_or_else(|failure| panic!("{failure}:\n{}", weir.log()));
}

#[test]
fn a_standby_leads_to_its_primary_and_that_to_the_others() {
    let cluster = by_tcp(2);
    let directory = directory("standby");
    let url = format!("host=127.0.0.1 port={} user=postgres dbname=postgres", cluster.port(1));
    // The other one listens at a port of which nobody tells.
    let output = init(&directory, "postgres", &[&url]);
    assert!(output.status.success(), "{}", words(&output));
    let text = words(&output);
    assert!(text.contains(&format!("port = {}\n", cluster.port(0))), "{text}");
    assert!(text.contains("connections for 2 replicas were seen, and 1 found"), "{text}");
    assert!(text.contains("password_env = \"POSTGRES_PASSWORD\""), "{text}");
    assert!(text.contains("query_user = \"postgres\""), "a superuser may read passwords: {text}");

    let output = init(&directory, "postgres", &[&url, "--try-port", &cluster.port(2).to_string()]);
    let text = words(&output);
    for server in 0..3 {
        assert!(text.contains(&format!("port = {}\n", cluster.port(server))), "{text}");
    }
    assert!(!text.contains("What could not"), "{text}");
}

#[test]
fn a_server_of_another_cluster_is_told_apart() {
    let cluster = Cluster::with(Options::new(0)).unwrap();
    // The harness copies its clusters from one, and to PostgreSQL a copy is the same cluster: this one is made by itself.
    let (port, data) = (free_port().unwrap(), cluster.directory().join("another"));
    let program = |name: &str| cluster.command(&cluster.postgres().program(name).unwrap());
    let made =
        program("initdb").args(["-U", "postgres", "-A", "trust", "--no-sync", "-D"]).arg(&data).output();
    assert!(made.as_ref().unwrap().status.success(), "{}", words(&made.unwrap()));
    let directory = directory("another");
    let mut postgres = program("postgres");
    postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-F"]);
    postgres.arg("-p").arg(port.to_string()).arg("-D").arg(&data);
    let other = Daemon::start(&mut postgres, &directory.join("log")).unwrap();

    let url = format!("postgresql://postgres@127.0.0.1:{},127.0.0.1:{port}/postgres", cluster.port(0));
    let text = wait_for("the other server to answer", std::time::Duration::from_secs(20), || {
        let text = words(&init(&directory, "postgres", &[&url]));
        Ok((!text.contains("onnection refused") && !text.contains("starting up")).then_some(text))
    })
    .unwrap_or_else(|failure| panic!("{failure}:\n{}", other.log()));
    assert!(text.contains("it is a server of another cluster"), "{text}");
    assert_eq!(text.matches("[[servers]]").count(), 1, "{text}");

    let output =
        init(&directory, "postgres", &[&format!("postgresql://nobody@127.0.0.1:{}", cluster.port(0))]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("password authentication failed"), "{}", words(&output));
}

#[test]
fn encryption_is_written_as_it_was_found() {
    let cluster = Cluster::with(Options::new(0)).unwrap();
    let papers = Papers::new().unwrap();
    let directory = directory("encryption");
    let url = format!("postgresql://app@127.0.0.1:{}/app", cluster.port(0));
    let plain = words(&init(&directory, "app", &[&url]));
    assert!(plain.contains("sslmode = \"prefer\"   # it speaks no TLS"), "{plain}");

    cluster.secure(0, papers.certificate(), papers.key(), None).unwrap();
    let found = words(&init(&directory, "app", &[&url]));
    assert!(found.contains("sslmode = \"require\""), "{found}");
    let root = papers.root();
    let options = ["--sslmode", "verify-full", "--sslrootcert", root.to_str().unwrap()];
    let output = init(&directory, "app", &[&[url.as_str(), "--output", "proxy.toml"], &options[..]].concat());
    assert!(output.status.success(), "{}", words(&output));
    let text = std::fs::read_to_string(directory.join("proxy.toml")).unwrap();
    assert!(text.contains("sslmode = \"verify-full\"") && text.contains("sslrootcert = "), "{text}");

    let output = init(&directory, "app", &[&url, "--sslmode", "verify-full"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("need sslrootcert"), "{}", words(&output));
}

/// The password stands in a file of libpq's, or is asked for, or is missing; it is never told.
#[test]
fn a_password_comes_from_where_libpq_looks() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::with(Options::new(0)).unwrap();
    let directory = directory("passfile");
    let url = format!("postgresql://app@127.0.0.1:{}/app", cluster.port(0));
    let output = init(&directory, "", &[&url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("no password: set PGPASSWORD"), "{}", words(&output));

    let file = directory.join("pgpass");
    std::fs::write(&file, "127.0.0.1:*:app:app:app\n").unwrap();
    let with_file = || {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.args(["init", &url])
            .current_dir(&directory)
            .env_clear()
            .env("PGPASSFILE", &file)
            .output()
            .unwrap()
    };
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(words(&with_file()).contains("others may read it"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = with_file();
    assert!(
        output.status.success() && words(&output).contains("password_env = \"APP_PASSWORD\""),
        "{}",
        words(&output)
    );

    std::fs::write(directory.join("word"), "app\n").unwrap();
    let output = init(&directory, "", &[&url, "--password-file", "word"]);
    assert!(output.status.success(), "{}", words(&output));
}
