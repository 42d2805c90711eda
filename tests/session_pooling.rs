//! A connection for the client's life: to the primary, and to a replica for its reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, Stop, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn by_session(cluster: &Cluster, servers: std::ops::Range<usize>) -> WeirSetup {
    WeirSetup::in_front_of(cluster, servers).set("pool", "mode", "\"session\"")
}

/// Processes of clients on a server, by name of application.
fn connected(cluster: &Cluster, server: usize, name: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE application_name = '{name}' AND backend_type = 'client backend'"
    );
    Ok(cluster.sql(server, &sql)?.rows.into_iter().flatten().flatten().collect())
}

fn named(weir: &Weir, name: &str) -> Result<Client> {
    Client::connect(
        &weir.address(),
        &Login::new("app", "app").database("app").parameter("application_name", name),
    )
}

fn resets(weir: &Weir) -> Result<f64> {
    Ok(weir.metrics()?.sum("weir_connection_resets_total", &[]))
}

#[test]
fn a_client_keeps_one_connection_to_each_kind_of_server() -> Result<()> {
    let cluster = Cluster::with(Options::new(2))?;
    let weir = by_session(&cluster, 0..3).at_any_age().start(WEIR)?;
    let mut others: Vec<Client> =
        (0..3).map(|n| named(&weir, &format!("other{n}"))).collect::<Result<_>>()?;
    let mut client = named(&weir, "ours")?;
    let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
    for other in &mut others {
        other.query("SELECT 1")?;
        other.query("CREATE TABLE IF NOT EXISTS by_others ()")?;
    }
    let mark = cluster.mark();
    for _ in 0..20 {
        client.query("SELECT 'read by session'")?;
        assert_eq!(client.query("SELECT pg_backend_pid() + 0")?.value(), pid);
        for other in &mut others {
            other.query("SELECT 1")?;
            other.query("SELECT pg_backend_pid() + 0")?;
        }
    }
    let reads = cluster.ran_on(&mark, "read by session");
    assert!(!reads.contains(&0), "reads leave the primary: {reads:?}");
    assert!(reads.iter().all(|server| *server == reads[0]), "for the same replica each time: {reads:?}");
    assert_eq!(connected(&cluster, 0, "ours")?, [pid]);
    assert_eq!(connected(&cluster, 1, "ours")?.len() + connected(&cluster, 2, "ours")?.len(), 1);
    Ok(())
}

/// What a function leaves behind is there for the next statement, and not for the next client.
#[test]
fn what_no_text_tells_of_stays_and_leaves_with_its_client() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(
        0,
        "CREATE FUNCTION leave() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
         EXECUTE 'CREATE TEMP TABLE left_behind AS SELECT 42 AS answer'; \
         PERFORM set_config('some.thing', 'left behind', false); RETURN 1; END $$; \
         CREATE FUNCTION steady() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
    )?;
    cluster.wait_caught_up()?;
    let weir = by_session(&cluster, 0..2).at_any_age().set("pool", "size", "2").start(WEIR)?;
    wait_for("weir to know the functions", PATIENCE, || {
        let mark = cluster.mark();
        named(&weir, "asks")?.query("SELECT steady()")?;
        Ok(cluster.ran_on(&mark, "steady").contains(&1).then_some(()))
    })?;
    let (mut client, mut other) = (named(&weir, "a")?, named(&weir, "b")?);
    other.query("SELECT pg_backend_pid() + 0")?;
    let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
    client.query("SELECT leave()")?;
    for _ in 0..5 {
        other.query("SELECT pg_backend_pid() + 0")?;
        assert_eq!(client.query("/* weir: primary */ SELECT answer FROM left_behind")?.value(), "42");
        assert_eq!(
            client.query("/* weir: primary */ SELECT current_setting('some.thing')")?.value(),
            "left behind"
        );
    }
    client.close()?;
    let mut next = named(&weir, "c")?;
    assert_eq!(next.query("SELECT pg_backend_pid() + 0")?.value(), pid, "the connection is used again");
    assert!(resets(&weir)? >= 1.0, "after a reset");
    assert_eq!(next.query("/* weir: primary */ SELECT current_setting('some.thing', true)")?.value(), "");
    assert_eq!(next.query("/* weir: primary */ SELECT to_regclass('pg_temp.left_behind')")?.value(), "");
    Ok(())
}

/// Who only ran what is known to leave nothing gives back a connection that needs nothing.
#[test]
fn a_plain_session_needs_no_reset() -> Result<()> {
    let weir = by_session(Cluster::shared(), 0..1).set("pool", "size", "1").start(WEIR)?;
    let mut pid = None;
    for n in 0..5 {
        let mut client = named(&weir, &format!("plain{n}"))?;
        let now = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
        client.query(&format!("SET work_mem = '{}MB'", n + 1))?;
        client.query("BEGIN; SELECT 1; COMMIT")?;
        assert_eq!(client.query("SHOW work_mem")?.value(), format!("{}MB", n + 1));
        assert_eq!(*pid.get_or_insert_with(|| now.clone()), now);
        client.close()?;
    }
    assert_eq!(resets(&weir)?, 0.0);
    Ok(())
}

#[test]
fn the_pool_s_size_limits_the_clients_at_work() -> Result<()> {
    let weir = by_session(Cluster::shared(), 0..1)
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"300ms\"")
        .start(WEIR)?;
    // What both are told at their login is known from here on.
    named(&weir, "same")?.close()?;
    let mut first = named(&weir, "same")?;
    first.query("SELECT pg_backend_pid() + 0")?;
    let mut second = named(&weir, "same")?;
    let refused = second.query("SELECT 1").unwrap_err();
    assert_eq!(refused.sqlstate(), Some("57014"), "{refused}");
    first.query("SELECT 1")?;
    first.close()?;
    wait_for("the connection to come back", PATIENCE, || Ok(second.query("SELECT 1").ok()))?;
    Ok(())
}

/// Database before user before [pool].
#[test]
fn a_database_says_it_before_a_user() -> Result<()> {
    let user = "[[users]]\nname = \"keeper\"\nauth = \"trust\"\nserver_user = \"app\"\nserver_password = \"app\"\n\
        pool_mode = \"session\"\n";
    let databases = "[[databases]]\nname = \"shared\"\nserver_database = \"app\"\npool_mode = \"transaction\"\n\
        [[databases]]\nname = \"kept\"\nserver_database = \"app\"\npool_mode = \"session\"\n";
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..1)
        .append(user)
        .append(databases)
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"300ms\"")
        .start(WEIR)?;
    let login = |user: &str, database: &str| {
        let password = if user == "app" { "app" } else { "" };
        Client::connect(&weir.address(), &Login::new(user, password).database(database))
    };
    // Whether somebody else can work while this client is there and idle.
    for (user, database, keeps) in [
        ("app", "app", false),
        ("app", "kept", true),
        ("keeper", "app", true),
        ("keeper", "shared", false),
        ("keeper", "kept", true),
    ] {
        let mut other = login("app", "app")?;
        let mut client = login(user, database)?;
        client.query("SELECT 1")?;
        assert_eq!(other.query("SELECT 1").is_err(), keeps, "{user} on {database}");
        client.close()?;
        wait_for("the connection to come back", PATIENCE, || Ok(other.query("SELECT 1").ok()))?;
        other.close()?;
    }
    Ok(())
}

/// A replica that goes away is left for another server, and another one is kept later.
#[test]
fn a_replica_that_goes_is_given_up() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = by_session(&cluster, 0..2)
        .at_any_age()
        .set("health", "interval", "\"200ms\"")
        .set("health", "timeout", "\"500ms\"")
        .start(WEIR)?;
    let mut client = named(&weir, "reader")?;
    let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
    let mut reads_on = |server: usize| {
        wait_for(&format!("reads on {}", cluster.name(server)), PATIENCE, || {
            let mark = cluster.mark();
            client.query("SELECT 'where is it'")?;
            Ok(cluster.ran_on(&mark, "where is it").contains(&server).then_some(()))
        })
    };
    reads_on(1)?;
    cluster.stop(1, Stop::Fast)?;
    reads_on(0)?;
    cluster.restart(1)?;
    reads_on(1)?;
    assert_eq!(client.query("SELECT pg_backend_pid() + 0")?.value(), pid);
    assert_eq!(connected(&cluster, 1, "reader")?.len(), 1);
    Ok(())
}

/// Where nothing is lost with a connection the session goes on; where something may be, its client hears of it.
#[test]
fn a_primary_connection_that_is_lost_takes_state_with_it() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    cluster.sql(
        0,
        "CREATE FUNCTION leave() RETURNS text LANGUAGE plpgsql AS \
         $$ BEGIN RETURN set_config('some.thing', 'left behind', false); END $$",
    )?;
    let weir = by_session(&cluster, 0..1).start(WEIR)?;
    let kill = |client: &mut Client| -> Result<()> {
        let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
        cluster.sql(0, &format!("SELECT pg_terminate_backend({pid}, 10000)")).map(drop)
    };
    let mut plain = named(&weir, "plain")?;
    kill(&mut plain)?;
    plain.query("SELECT 1")?;
    let mut with_state = named(&weir, "with state")?;
    with_state.query("SELECT leave()")?;
    kill(&mut with_state)?;
    with_state.query("SELECT 1").unwrap_err();
    assert!(with_state.is_closed_within(PATIENCE)?);
    Ok(())
}

/// A transaction that has only read holds nothing, and reads and writes on the connections that its client keeps anyway.
#[test]
fn a_lazy_transaction_runs_on_the_client_s_own_connections() -> Result<()> {
    let cluster = Cluster::with(Options::new(2))?;
    cluster.sql(0, "CREATE TABLE by_session (i int); GRANT ALL ON by_session TO app")?;
    cluster.wait_caught_up()?;
    let weir =
        by_session(&cluster, 0..3).at_any_age().set("routing", "transactions", "\"lazy\"").start(WEIR)?;
    let mut client = named(&weir, "ours")?;
    client.query("SET work_mem = '1111kB'")?;
    let on_replicas = || -> Result<Vec<String>> {
        Ok([connected(&cluster, 1, "ours")?, connected(&cluster, 2, "ours")?].concat())
    };
    client.query("BEGIN")?;
    client.query("SELECT 'lazy'")?;
    let own = (connected(&cluster, 0, "ours")?, on_replicas()?);
    assert_eq!((own.0.len(), own.1.len()), (1, 1));
    for n in 0..3 {
        client.query("SELECT 'lazy'")?;
        assert_eq!(client.query("SHOW weir.transaction")?.value(), "lazy", "{n}");
        client.query("INSERT INTO by_session VALUES (1)")?;
        assert_eq!(client.query("SHOW work_mem")?.value(), "1111kB", "{n}");
        client.query("COMMIT")?;
        client.query("BEGIN")?;
        assert_eq!((connected(&cluster, 0, "ours")?, on_replicas()?), own, "{n}: the same connections");
    }
    for n in 0..3 {
        client.query("SELECT 'lazy'")?;
        assert!(client.query("SHOW weir.route")?.value().contains("(replica,"), "{n}");
        client.query("SET LOCAL statement_timeout = '1h'")?;
        assert_eq!(client.query("SHOW weir.transaction")?.value(), "replica", "{n}");
        client.query("INSERT INTO by_session VALUES (1)")?;
        assert_eq!(client.query("SHOW statement_timeout")?.value(), "1h", "{n}");
        assert_eq!(client.query("SHOW work_mem")?.value(), "1111kB", "{n}");
        client.query("COMMIT")?;
        assert_eq!(connected(&cluster, 0, "ours")?, own.0, "{n}: the same connection");
        client.query("BEGIN")?;
    }
    client.query("ROLLBACK")?;
    // State that a transaction leaves on the primary is there for the next one.
    for sql in ["BEGIN", "SELECT 1", "CREATE TEMP TABLE ours AS SELECT 42 AS answer", "COMMIT", "BEGIN"] {
        client.query(sql)?;
    }
    assert_eq!(client.query("SELECT answer FROM ours")?.value(), "42");
    client.query("COMMIT")?;
    assert_eq!(client.query("SELECT count(*) FROM by_session")?.value(), "6");
    assert_eq!(connected(&cluster, 0, "ours")?, own.0);
    Ok(())
}
