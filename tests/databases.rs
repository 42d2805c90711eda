//! Whole databases made, copied and dropped while weir holds idle connections to them, and what it costs to know them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn idle_connections_stand_in_nobodys_way() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "ALTER ROLE app CREATEDB")?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    let mut owner = weir.connect()?;
    owner.query("CREATE DATABASE shop")?;
    cluster.wait_caught_up()?;
    for round in 0..3 {
        // Clients come and go, and leave connections to both servers.
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = Client::connect(&weir.address(), &Login::new("app", "app").database("shop"))?;
            client.query("CREATE TABLE IF NOT EXISTS kept (id int)")?;
            client.query("SELECT 1")?;
            clients.push(client);
        }
        if round == 0 {
            owner.query("CREATE DATABASE copy TEMPLATE shop")?;
            owner.query("DROP DATABASE copy")?;
        }
        // Those who are still there get new connections when they need them.
        owner.query(&format!("ALTER DATABASE shop RENAME TO shop{round}"))?;
        owner.query(&format!("ALTER DATABASE shop{round} RENAME TO shop"))?;
        cluster.wait_caught_up()?;
        for client in &mut clients {
            client.query("SELECT 1")?;
            client.query("INSERT INTO kept VALUES (1)")?;
        }
    }
    owner.query("DROP DATABASE shop")?;
    Ok(())
}

/// Each load of a catalog over a connection of its own would cost the server more than what is read.
#[test]
fn changes_in_a_row_are_read_over_few_connections() -> Result<()> {
    const CHANGES: u32 = 16;
    let cluster = Cluster::with(Options::new(1))?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("CREATE FUNCTION honest() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'")?;
    let sessions = || -> Result<i64> {
        let mut admin = cluster.admin(0)?;
        admin.query("SELECT pg_stat_force_next_flush()").ok();
        Ok(admin
            .query("SELECT sessions FROM pg_stat_database WHERE datname = 'app'")?
            .value()
            .parse()
            .unwrap())
    };
    let before = sessions()?;
    for change in 0..CHANGES {
        client.query(&format!("CREATE TABLE t{change} (id int)"))?;
        // Functions are unknown until the change has been read.
        wait_for("the catalog", PATIENCE, || {
            let mark = cluster.mark();
            let sql = format!("SELECT honest() + {change}");
            client.query(&sql)?;
            Ok((cluster.ran_on(&mark, &sql) == [1]).then_some(()))
        })?;
    }
    let opened = sessions()? - before;
    assert!(opened < i64::from(CHANGES), "{opened} connections for {CHANGES} changes");
    Ok(())
}

/// What is asked of the server grows with their number, and not with their number times that of PostgreSQL's own.
#[test]
fn thousands_of_functions_are_read_in_time() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(
        0,
        "DO $$ BEGIN FOR i IN 1..5000 LOOP
             EXECUTE format('CREATE FUNCTION f%s() RETURNS int STABLE LANGUAGE sql AS ''SELECT 1''', i);
         END LOOP; END $$",
    )?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    wait_for("the catalog", PATIENCE, || {
        let mark = cluster.mark();
        client.query("SELECT f4999()")?;
        Ok((cluster.ran_on(&mark, "SELECT f4999()") == [1]).then_some(()))
    })
}
