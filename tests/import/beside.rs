//! The real PgBouncer, and the weir that took over its configuration: the same clients get the same answers from both.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use harness::tools::ensure;
use harness::{Cluster, Daemon, Options, free_port, wait_for};

use super::text::{directory, weir, words};

/// psql by TCP, as this user.
fn psql(cluster: &Cluster, port: u16, login: (&str, &str, &str), sql: &str) -> Output {
    let (user, password, database) = login;
    let url = format!("postgresql://{user}@127.0.0.1:{port}/{database}");
    let mut psql = cluster.command(&cluster.postgres().program("psql").unwrap());
    psql.env("PGPASSWORD", password).args(["--no-psqlrc", "-tA", "-v", "ON_ERROR_STOP=1", &url, "-c", sql]);
    psql.output().unwrap()
}

fn ini(cluster: &Cluster, port: u16, place: &Path) -> String {
    let server = cluster.port(0);
    format!(
        "[databases]\napp = host=127.0.0.1 port={server}\nalias = host=127.0.0.1 port={server} dbname=app pool_size=3\n\
         [users]\napp = pool_mode=transaction max_user_connections=50\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
         auth_file = {}\nauth_user = postgres\npool_mode = transaction\nadmin_users = postgres\nstats_users = app\n\
         default_pool_size = 5\nquery_wait_timeout = 20\nlogfile =\n",
        place.join("userlist.txt").display()
    )
}

#[test]
fn the_same_clients_get_the_same_answers() {
    let program = match ensure("pgbouncer") {
        Ok(program) => program,
        Err(failure) => {
            eprintln!("not run: {failure}");
            return;
        }
    };
    let cluster = Cluster::with(Options::new(1)).unwrap();
    let verifier = cluster.sql(0, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'").unwrap();
    // The servers' user must be able to read PgBouncer's files, and is not able to read ours.
    let place = cluster.directory();
    let list = format!("\"postgres\" \"postgres\"\n\"app\" \"{}\"\n", verifier.value());
    fs::write(place.join("userlist.txt"), list).unwrap();
    let (theirs, ours) = (free_port().unwrap(), free_port().unwrap());
    fs::write(place.join("pgbouncer.ini"), ini(&cluster, theirs, place)).unwrap();
    let mut command = cluster.command(&program);
    let directory = directory("beside");
    let bouncer =
        Daemon::start(command.arg(place.join("pgbouncer.ini")), &directory.join("pgbouncer.log")).unwrap();

    let ini_file = place.join("pgbouncer.ini");
    let output = weir(&directory, &["import", ini_file.to_str().unwrap(), "--output", "proxy.toml"]);
    assert!(output.status.success(), "{}", words(&output));
    let file = directory.join("proxy.toml");
    // A port of its own, and nothing else, is changed.
    let text = fs::read_to_string(&file).unwrap().replace(&theirs.to_string(), &ours.to_string());
    fs::write(&file, &text).unwrap();
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
    let weir = Daemon::start(run.arg("run").arg("--config").arg(&file), &directory.join("weir.log")).unwrap();

    let app = |database| ("app", "app", database);
    for (port, log) in [(theirs, &bouncer), (ours, &weir)] {
        wait_for("a pooler to serve", Duration::from_secs(20), || {
            Ok(psql(&cluster, port, app("app"), "SELECT 1").status.success().then_some(()))
        })
        .unwrap_or_else(|failure| panic!("{failure}\n{}\n{text}", log.log()));
    }
    let wrong = ("app", "wrong", "app");
    let unknown = ("nobody", "x", "app");
    // One who is in no list, and whom the servers know.
    cluster.sql(0, "CREATE ROLE elsewhere LOGIN PASSWORD 'elsewhere'").unwrap();
    let elsewhere = ("elsewhere", "elsewhere", "app");
    let operator = ("postgres", "postgres", "pgbouncer");
    for (login, sql) in [
        (app("app"), "SELECT current_user, current_database()"),
        (app("alias"), "SELECT current_user, current_database()"),
        (elsewhere, "SELECT current_user, current_database()"),
        (("postgres", "postgres", "app"), "SELECT current_user, current_database()"),
        (wrong, "SELECT 1"),
        (unknown, "SELECT 1"),
        (app("app"), "SELECT 1 / 0"),
    ] {
        let [before, after] = [theirs, ours].map(|port| psql(&cluster, port, login, sql));
        assert_eq!(
            before.status.code(),
            after.status.code(),
            "{login:?} {sql}\n{}\n{}",
            words(&before),
            words(&after)
        );
        assert_eq!(before.stdout, after.stdout, "{login:?} {sql}: {}", words(&after));
    }
    let [before, after] = [theirs, ours].map(|port| psql(&cluster, port, operator, "SHOW VERSION"));
    assert!(before.status.success() && after.status.success(), "{}{}", words(&before), words(&after));
}
