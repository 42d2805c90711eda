//! Whole databases made, copied and dropped while weir holds idle connections to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, WeirSetup};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

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
