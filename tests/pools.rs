//! When pools come into being, by whose account, how large they get, and when they are gone again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread::sleep;
use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than two rounds of the upkeep of pools.
const ROUNDS: Duration = Duration::from_millis(2500);

fn log_in(weir: &Weir, user: &str, database: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(user, user).database(database))
}

/// The pools that lead to this database, as `/status` lists them.
fn pools(weir: &Weir, database: &str) -> Result<Vec<String>> {
    let status = weir.get("/status")?;
    let leads_there = |line: &&str| line.starts_with("pool ") && line.contains(&format!(" {database} "));
    Ok(status.lines().filter(leads_there).map(str::to_owned).collect())
}

/// How often the primary was asked for this database while a few rounds of upkeep went by.
fn attempts(cluster: &Cluster, database: &str) -> usize {
    let mark = cluster.mark();
    sleep(ROUNDS);
    let refused = format!("database \"{database}\" does not exist");
    cluster.entries(0, &mark).iter().filter(|entry| entry.contains(&refused)).count()
}

fn wait_forgotten(weir: &Weir, database: &str) -> Result<()> {
    wait_for("pools to be forgotten", PATIENCE, || Ok(pools(weir, database)?.is_empty().then_some(())))
}

#[test]
fn a_database_that_does_not_exist_is_asked_for_by_clients_only() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(0, "ALTER ROLE app CREATEDB")?;
    let weir = WeirSetup::in_front_of(&cluster, [0]).set("pool", "min_idle", "1").start(WEIR)?;
    let refused = log_in(&weir, "app", "nowhere").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("3D000"), "{refused}");
    assert_eq!(attempts(&cluster, "nowhere"), 0);
    wait_forgotten(&weir, "nowhere")?;

    // One that existed, and was kept at hand, is no other once it is gone.
    let mut owner = weir.connect()?;
    owner.query("CREATE DATABASE shop")?;
    log_in(&weir, "app", "shop")?.query("SELECT 1")?;
    sleep(ROUNDS);
    assert_eq!(pools(&weir, "shop")?, ["pool primary shop app: 0 active, 1 idle, 0 waiting"]);
    owner.query("DROP DATABASE shop")?;
    wait_forgotten(&weir, "shop")?;
    assert_eq!(attempts(&cluster, "shop"), 0);
    drop(owner);
    assert_eq!(pools(&weir, "app")?, ["pool primary app app: 0 active, 1 idle, 0 waiting"]);
    Ok(())
}

#[test]
fn a_pool_without_connections_and_sessions_is_forgotten() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, [0]).set("pool", "idle_timeout", "\"1s\"").start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("SELECT 1")?;
    assert_eq!(pools(&weir, "app")?.len(), 1);
    sleep(ROUNDS);
    assert_eq!(
        pools(&weir, "app")?,
        ["pool primary app app: 0 active, 0 idle, 0 waiting"],
        "it has a session"
    );
    client.query("SELECT 1")?;
    drop(client);
    wait_forgotten(&weir, "app")?;
    weir.connect()?.query("SELECT 1")?;
    Ok(())
}

/// Users of weir that are one user to the servers, by different passwords and with different pools.
fn sharing_a_user(cluster: &Cluster) -> WeirSetup {
    let user = |name: &str, more: &str| {
        format!("[[users]]\nname = \"{name}\"\npassword = \"{name}\"\nserver_user = \"app\"\n{more}\n")
    };
    WeirSetup::in_front_of(cluster, [0])
        .set("pool", "checkout_timeout", "\"1s\"")
        .append(&user("wrong", "server_password = \"not it\""))
        .append(&user("narrow", "server_password = \"app\"\npool_size = 1"))
        .append(&user("wide", "server_password = \"app\"\npool_size = 3"))
}

#[test]
fn everybody_gets_the_connections_of_the_own_account() -> Result<()> {
    let weir = sharing_a_user(Cluster::shared()).start(WEIR)?;
    let is_refused = |outcome: Result<Client>| {
        let refused: Failure = outcome.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("28P01"), "{refused}");
    };
    is_refused(log_in(&weir, "wrong", "app"));
    log_in(&weir, "wide", "app")?.query("SELECT 1")?;
    is_refused(log_in(&weir, "wrong", "app"));
    log_in(&weir, "wide", "app")?.query("SELECT 1")?;
    Ok(())
}

#[test]
fn a_pool_grows_to_the_size_of_those_who_wait() -> Result<()> {
    let weir = sharing_a_user(Cluster::shared()).start(WEIR)?;
    let begin = |user: &str| {
        let mut client = log_in(&weir, user, "app")?;
        client.query("BEGIN; SELECT 1")?;
        Ok(client)
    };
    let first: Client = begin("narrow")?;
    let refused: Failure = begin("narrow").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("57014"), "{refused}");
    let more = (0..2).map(|_| begin("wide")).collect::<Result<Vec<_>>>()?;
    assert_eq!(begin("wide").unwrap_err().sqlstate(), Some("57014"));
    drop((first, more));
    Ok(())
}
