//! Users of whom weir knows a verifier and nothing else: what their own logins prove lets them in to the servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Issued, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const PATIENCE: Duration = Duration::from_secs(20);

/// More than two rounds of the upkeep of pools.
const ROUNDS: Duration = Duration::from_millis(2500);

/// SASLprep makes another text of it: a space of the second and "IX" of the third that is not ASCII.
const PASSWORD: &str = "p\u{e4}ss\u{a0}w\u{2168}rd";

/// A role, and a table that it owns.
fn create(cluster: &Cluster) -> Result<()> {
    cluster.sql(0, &format!("CREATE ROLE passing LOGIN PASSWORD '{PASSWORD}'"))?;
    let mut admin = cluster.admin(0)?;
    admin.query("GRANT app TO passing")?;
    cluster.connect(0)?.query("CREATE TABLE kept (n int)")?;
    cluster.wait_caught_up()
}

fn verifier(cluster: &Cluster) -> Result<String> {
    let stored = cluster.sql(0, "SELECT rolpassword FROM pg_authid WHERE rolname = 'passing'")?;
    Ok(stored.value().to_owned())
}

/// weir, which knows the role by what the primary has stored of it now.
fn knowing(cluster: &Cluster) -> Result<WeirSetup> {
    let entry = format!("[[users]]\nname = \"passing\"\nverifier = \"{}\"\n", verifier(cluster)?);
    Ok(WeirSetup::in_front_of(cluster, 0..cluster.size()).at_any_age().append(&entry))
}

/// What psql says of a statement.
fn psql(cluster: &Cluster, weir: &Weir, password: &str, sql: &str) -> Result<Output> {
    let mut command = cluster.command(&cluster.postgres().program("psql")?);
    command.env("PGPASSWORD", password).env("PGCLIENTENCODING", "UTF8");
    let target = format!("host=127.0.0.1 port={} user=passing dbname=app", weir.port());
    Ok(command.args([&target, "-XAtqc", sql]).output()?)
}

fn answered(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn log_in(weir: &Weir, password: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new("passing", password).database("app"))
}

/// The role's connections on a server.
fn connections(cluster: &Cluster, server: usize) -> Result<usize> {
    let counted = cluster.sql(server, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'passing'")?;
    Ok(counted.value().parse().unwrap())
}

/// On which of the primary's processes a client's requests run.
fn pid(client: &mut Client) -> Result<String> {
    let answer = client.query("INSERT INTO kept VALUES (3) RETURNING pg_backend_pid()")?;
    Ok(answer.value().to_owned())
}

#[test]
fn who_is_known_by_a_verifier_alone_gets_to_all_servers() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    create(&cluster)?;
    let setup = knowing(&cluster)?.set("pool", "min_idle", "2");
    for start in 0..2 {
        let mut weir = setup.clone().start(WEIR)?;
        // Nothing is opened, and could be, for whom no key is known.
        sleep(ROUNDS);
        assert_eq!(connections(&cluster, 0)? + connections(&cluster, 1)?, 0);

        let written = psql(&cluster, &weir, PASSWORD, "INSERT INTO kept VALUES (1) RETURNING current_user")?;
        assert_eq!(answered(&written), "passing");
        let mark = cluster.mark();
        let counted = psql(&cluster, &weir, PASSWORD, "SELECT 'on a replica', count(*) >= 0 FROM kept")?;
        assert_eq!(answered(&counted), "on a replica|t");
        assert_eq!(cluster.ran_on(&mark, "'on a replica'"), [1], "{start}");
        wait_for("both to be at hand", PATIENCE, || Ok((connections(&cluster, 0)? == 2).then_some(())))?;

        let refused = psql(&cluster, &weir, "another", "SELECT 1")?;
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(words.contains("password authentication failed for user \"passing\""), "{words}");
        assert!(weir.terminate()?.success());
        wait_for("all to be closed", PATIENCE, || Ok((connections(&cluster, 0)? == 0).then_some(())))?;
    }
    Ok(())
}

#[test]
fn a_verifier_that_is_not_the_servers_any_more_is_told_of() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    create(&cluster)?;
    let weir = knowing(&cluster)?.start(WEIR)?;
    let mut before = log_in(&weir, PASSWORD)?;
    before.query("INSERT INTO kept VALUES (1)")?;
    cluster.sql(0, "ALTER ROLE passing PASSWORD 'changed'")?;
    // As with PostgreSQL itself, who is in stays in.
    before.query("INSERT INTO kept VALUES (2)")?;
    drop(before);
    cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'passing'")?;
    let told = wait_for("the connections to be known as gone", PATIENCE, || {
        Ok(log_in(&weir, PASSWORD).and_then(|mut client| client.query("SELECT 1")).err())
    })?;
    assert_eq!(told.sqlstate(), Some("28P01"), "{told}");
    assert!(told.to_string().contains("another verifier than weir, with another salt"), "{told}");
    let words = "by SCRAM pass-through: the server has another verifier than weir";
    wait_for("the log to say so", PATIENCE, || Ok(weir.log().contains(words).then_some(())))?;
    // weir has the old one.
    assert_eq!(log_in(&weir, "changed").unwrap_err().sqlstate(), Some("28P01"));

    // The same salt and count, and another key: it is the server that refuses it.
    let other = verifier(&cluster)?;
    let entry = format!("[[users]]\nname = \"passing\"\nverifier = \"{other}\"\n");
    let weir = WeirSetup::in_front_of(&cluster, [0]).append(&entry).start(WEIR)?;
    let (head, _) = other.rsplit_once('$').unwrap();
    let keys = verifier_keys(&cluster)?;
    cluster
        .sql(0, &format!("UPDATE pg_authid SET rolpassword = '{head}${keys}' WHERE rolname = 'passing'"))?;
    let told = log_in(&weir, "changed").unwrap_err();
    assert_eq!(told.sqlstate(), Some("28P01"), "{told}");
    assert!(told.to_string().contains("refuses the key that the client's login has proved"), "{told}");
    Ok(())
}

/// Keys of somebody else's verifier.
fn verifier_keys(cluster: &Cluster) -> Result<String> {
    let stored = cluster.sql(0, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")?;
    Ok(stored.value().rsplit_once('$').unwrap().1.to_owned())
}

#[test]
fn who_proves_the_new_password_has_other_connections_than_who_proved_the_old_one() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    create(&cluster)?;
    let weir = WeirSetup::in_front_of(&cluster, [0])
        .set("auth", "query", "true")
        .set("auth", "query_user", "\"postgres\"")
        .set("auth", "query_password", "\"postgres\"")
        .start(WEIR)?;
    let mut old = log_in(&weir, PASSWORD)?;
    let of_old = pid(&mut old)?;
    cluster.sql(0, "ALTER ROLE passing PASSWORD 'changed'")?;
    let mut new = wait_for("the new password to be known", PATIENCE, || Ok(log_in(&weir, "changed").ok()))?;
    let of_new = pid(&mut new)?;
    assert_ne!(of_old, of_new, "it had been idle");
    assert_eq!(pid(&mut old)?, of_old, "who is in stays in");
    assert_eq!(pid(&mut new)?, of_new);
    assert_eq!(log_in(&weir, PASSWORD).unwrap_err().sqlstate(), Some("28P01"));
    // Nobody has any use for what the old password opened once its last session is gone.
    drop(old);
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {of_old}");
    wait_for("it to be closed", PATIENCE, || Ok((cluster.sql(0, &gone)?.value() == "0").then_some(())))?;
    assert_eq!(pid(&mut new)?, of_new);
    Ok(())
}

#[test]
fn a_server_that_asks_for_the_password_itself_gets_none() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    create(&cluster)?;
    let weir = knowing(&cluster)?.start(WEIR)?;
    let lines = "host all passing 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n";
    cluster.admit(0, lines)?;
    let told = wait_for("the method to be asked for", PATIENCE, || {
        cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'passing'")?;
        Ok(log_in(&weir, PASSWORD).err().filter(|told| told.sqlstate() == Some("28000")))
    })?;
    assert!(told.to_string().contains("asks for the password itself, which weir does not know"), "{told}");
    Ok(())
}

#[test]
fn logins_to_servers_are_bound_to_their_certificates() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    create(&cluster)?;
    let issued = Issued::by_itself(&["localhost"]);
    for server in 0..2 {
        cluster.secure(server, &issued.certificate, &issued.key, None)?;
        cluster.admit(server, "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;
    }
    let bound = "sslmode = \"require\"\nchannel_binding = \"require\"";
    let weir = knowing(&cluster)?.each_server(bound).start(WEIR)?;
    let written = psql(&cluster, &weir, PASSWORD, "INSERT INTO kept VALUES (1) RETURNING n")?;
    assert_eq!(answered(&written), "1");
    // Who has a password is bound likewise.
    weir.connect()?.query("INSERT INTO kept VALUES (2)")?;
    let mark = cluster.mark();
    assert_eq!(answered(&psql(&cluster, &weir, PASSWORD, "SELECT 'bound' FROM kept LIMIT 1")?), "bound");
    assert_eq!(cluster.ran_on(&mark, "'bound'"), [1]);
    Ok(())
}
