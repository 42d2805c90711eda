//! What a session has where it has set nothing: by `ALTER ROLE` and `ALTER DATABASE ... SET`, and by postgresql.conf. It is
//! one thing for the whole of a session, whatever connections serve it, and what PostgreSQL would give.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login, front};
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a statement is sent.
const EVERYWHERE: [&str; 2] = ["/* weir: target=primary */ ", "/* weir: target=replica */ "];

/// Asks until it is so.
fn wait_for(what: &str, limit: Duration, is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let mut is_so = is_so;
    harness::wait_for(what, limit, || Ok(is_so()?.then_some(())))
}

fn weir(cluster: &Cluster, pool: usize) -> Result<Weir> {
    let size = pool.to_string();
    WeirSetup::in_front_of(cluster, 0..cluster.size()).at_any_age().set("pool", "size", &size).start(WEIR)
}

fn database(cluster: &Cluster, name: &str) -> Result<()> {
    cluster.sql(0, &format!("CREATE DATABASE {name} OWNER app"))?;
    cluster.wait_caught_up()
}

fn connect(weir: &Weir, user: &str, database: &str) -> Result<Client> {
    Client::connect(&weir.address(), &Login::new(user, user).database(database))
}

fn value(client: &mut Client, sql: &str) -> Result<String> {
    Ok(client.query(sql)?.value().to_owned())
}

/// What a statement gives on the primary, on a replica, in a transaction that has only read, and in one that has not.
fn everywhere(client: &mut Client, sql: &str) -> Result<String> {
    let mut all = Vec::new();
    for place in EVERYWHERE {
        all.push(value(client, &format!("{place}{sql}"))?);
    }
    client.query("BEGIN")?;
    all.push(value(client, sql)?);
    client.query("CREATE TABLE public.never (a int)")?;
    all.push(value(client, sql)?);
    client.query("ROLLBACK")?;
    all.dedup();
    Ok(all.join(" and "))
}

/// The value of a setting, everywhere.
fn setting(client: &mut Client, name: &str) -> Result<String> {
    everywhere(client, &format!("SELECT current_setting('{name}')"))
}

/// Sessions in a transaction, each of which keeps a connection.
fn occupied(weir: &Weir, database: &str, count: usize) -> Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let mut client = connect(weir, "app", database)?;
            client.query("BEGIN; LOCK pg_class IN ACCESS SHARE MODE")?;
            Ok(client)
        })
        .collect()
}

#[test]
fn what_is_changed_through_weir_is_told_to_the_next_client_at_once() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "through")?;
    let weir = weir(cluster, 5)?;
    let mut old = connect(&weir, "app", "through")?;
    assert_eq!(setting(&mut old, "TimeZone")?, old.parameters()["TimeZone"]);
    let before = old.parameters()["TimeZone"].clone();
    for (how, zone) in [
        ("ALTER DATABASE through SET TimeZone = 'Asia/Tokyo'", "Asia/Tokyo"),
        ("ALTER ROLE app IN DATABASE through SET TimeZone = 'Asia/Seoul'", "Asia/Seoul"),
        (
            "DO $$ BEGIN EXECUTE 'ALTER ROLE app IN DATABASE through SET TimeZone = ''Asia/Riyadh'''; END $$",
            "Asia/Riyadh",
        ),
        ("ALTER ROLE app IN DATABASE through RESET ALL", "Asia/Tokyo"),
        ("ALTER DATABASE through RESET TimeZone", &*before),
    ] {
        connect(&weir, "app", "through")?.query(how)?;
        let mut new = connect(&weir, "app", "through")?;
        assert_eq!(new.parameters()["TimeZone"], zone, "{how}");
        assert_eq!(setting(&mut new, "TimeZone")?, zone, "{how}");
        new.query("SET TimeZone = 'America/Lima'")?;
        for reset in ["RESET TimeZone", "SET TimeZone = DEFAULT", "RESET ALL", "DISCARD ALL"] {
            new.query(reset)?;
            assert_eq!(setting(&mut new, "TimeZone")?, zone, "{how}, {reset}");
        }
        assert_eq!(setting(&mut old, "TimeZone")?, before, "a session goes on as it began: {how}");
        old.query("SET TimeZone = 'America/Lima'; RESET TimeZone")?;
        assert_eq!(setting(&mut old, "TimeZone")?, before, "also behind a reset: {how}");
    }
    Ok(())
}

#[test]
fn who_became_a_superuser_is_told_so() -> Result<()> {
    let cluster = Cluster::with(Options::new(0))?;
    let weir = weir(&cluster, 3)?;
    let mut admin = Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("app"))?;
    for (word, told) in [("NOSUPERUSER", "off"), ("SUPERUSER", "on"), ("NOSUPERUSER", "off")] {
        admin.query(&format!("ALTER ROLE app {word}"))?;
        assert_eq!(connect(&weir, "app", "app")?.parameters()["is_superuser"], told, "{word}");
    }
    Ok(())
}

#[test]
fn sessions_of_before_and_after_live_side_by_side() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "beside")?;
    let weir = weir(cluster, 3)?;
    let date = "SELECT '02/03/2020'::date::text || ' ' || extract(month FROM '02/03/2020'::date)";
    let mut old = connect(&weir, "app", "beside")?;
    let held = occupied(&weir, "beside", 2)?;
    assert_eq!(everywhere(&mut old, date)?, "2020-02-03 2");
    let threshold = setting(&mut old, "geqo_threshold")?;
    cluster.sql(0, "ALTER DATABASE beside SET DateStyle = 'SQL, DMY'")?;
    cluster.sql(0, "ALTER DATABASE beside SET work_mem = '7MB'")?;
    cluster.sql(0, "ALTER DATABASE beside SET geqo_threshold = '5'")?;
    cluster.sql(0, "ALTER DATABASE beside SET app.tenant = 'x'")?;
    // The connections that were there are lent, and come back while others are opened.
    let mut between = connect(&weir, "app", "beside")?;
    let told = between.parameters()["DateStyle"].clone();
    drop(held);
    let style = everywhere(&mut between, date)?;
    assert_eq!(style.starts_with("2020"), told.starts_with("ISO"), "{told}: {style}");
    cluster.wait_caught_up()?;
    wait_for("clients to be told", PATIENCE, || {
        Ok(connect(&weir, "app", "beside")?.parameters()["DateStyle"] == "SQL, DMY")
    })?;
    let mut new = connect(&weir, "app", "beside")?;
    // What nobody has asked for is known once the server has been probed.
    wait_for("what the old had", Duration::from_secs(5), || {
        Ok(setting(&mut old, "geqo_threshold")? == threshold)
    })?;
    for _ in 0..4 {
        assert_eq!(everywhere(&mut new, date)?, "02/03/2020 3");
        assert_eq!(setting(&mut new, "work_mem")?, "7MB");
        assert_eq!(setting(&mut new, "app.tenant")?, "x");
        assert_eq!(everywhere(&mut old, date)?, "2020-02-03 2");
        assert_eq!(setting(&mut old, "work_mem")?, "4MB");
        assert_eq!(setting(&mut old, "geqo_threshold")?, threshold);
        assert_eq!(setting(&mut new, "geqo_threshold")?, "5");
        assert_eq!(everywhere(&mut between, date)?, style);
    }
    // What half of a style leaves is the session's own default.
    for (client, expected) in [(&mut old, "2020-02-03 2"), (&mut new, "2020-03-02 3")] {
        client.query("SET DateStyle = 'ISO'")?;
        assert_eq!(everywhere(client, date)?, expected);
        client.query("RESET DateStyle")?;
    }
    Ok(())
}

#[test]
fn constants_are_read_by_the_sessions_own_defaults() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "constants")?;
    let weir = weir(cluster, 1)?;
    let month = |client: &mut Client| -> Result<String> {
        let heard = client.ask(&[front::bind("", "month", &[]), front::execute("", 0), front::sync()])?;
        let row = heard.iter().find(|message| message.tag == b'D');
        Ok(row.and_then(|row| row.text_row()[0].clone()).unwrap_or_default())
    };
    let prepare = [front::parse("month", "SELECT extract(month FROM date '02/03/2020')", &[]), front::sync()];
    let mut old = connect(&weir, "app", "constants")?;
    old.ask(&prepare)?;
    assert_eq!(month(&mut old)?, "2");
    connect(&weir, "app", "constants")?.query("ALTER DATABASE constants SET DateStyle = 'SQL, DMY'")?;
    let mut new = connect(&weir, "app", "constants")?;
    assert_eq!(new.parameters()["DateStyle"], "SQL, DMY");
    new.ask(&prepare)?;
    for _ in 0..3 {
        assert_eq!(month(&mut new)?, "3");
        assert_eq!(month(&mut old)?, "2");
    }
    Ok(())
}

#[test]
fn what_is_changed_past_weir_is_told_within_a_probe() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "past")?;
    let weir = weir(cluster, 5)?;
    let mut first = connect(&weir, "app", "past")?;
    everywhere(&mut first, "SELECT 1")?;
    for style in ["German, DMY", "SQL, MDY"] {
        cluster.sql(0, &format!("ALTER DATABASE past SET DateStyle = '{style}'"))?;
        wait_for("clients to be told", Duration::from_secs(5), || {
            let mut client = connect(&weir, "app", "past")?;
            let told = client.parameters()["DateStyle"].clone();
            assert_eq!(setting(&mut client, "DateStyle")?, told, "a client has what it was told");
            Ok(told == style)
        })?;
    }
    cluster.sql(0, "ALTER DATABASE past SET search_path = 'tenant'")?;
    cluster.sql(0, "ALTER DATABASE past SET statement_timeout = '77s'")?;
    wait_for("a search path", Duration::from_secs(5), || {
        let mut client = connect(&weir, "app", "past")?;
        let (path, limit) =
            (setting(&mut client, "search_path")?, setting(&mut client, "statement_timeout")?);
        assert!(["\"$user\", public", "tenant"].contains(&&*path), "{path}");
        Ok(path == "tenant" && limit == "77s")
    })
}

#[test]
fn a_default_isolation_that_replicas_do_not_know_is_the_primarys() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "isolated")?;
    let weir = weir(cluster, 5)?;
    cluster.sql(0, "ALTER DATABASE isolated SET default_transaction_isolation = 'serializable'")?;
    cluster.wait_caught_up()?;
    let mut client = connect(&weir, "app", "isolated")?;
    for begin in ["BEGIN", "BEGIN READ ONLY", "START TRANSACTION READ ONLY, DEFERRABLE"] {
        client.query(begin)?;
        assert_eq!(value(&mut client, "SELECT count(*) > 0 FROM pg_class")?, "t", "{begin}");
        assert_eq!(value(&mut client, "SHOW transaction_isolation")?, "serializable", "{begin}");
        client.query("COMMIT")?;
    }
    assert_eq!(value(&mut client, "SELECT count(*) > 0 FROM pg_class")?, "t");
    client.query("SET default_transaction_isolation = 'read committed'")?;
    assert_eq!(
        value(&mut client, "/* weir: target=replica */ SELECT pg_is_in_recovery() FROM pg_class LIMIT 1")?,
        "f"
    );
    assert_eq!(value(&mut client, "SELECT count(*) > 0 FROM pg_class")?, "t");
    client.query("RESET default_transaction_isolation")?;
    assert_eq!(value(&mut client, "SHOW default_transaction_isolation")?, "serializable");
    assert_eq!(value(&mut client, "SELECT count(*) > 0 FROM pg_class")?, "t");
    Ok(())
}

#[test]
fn servers_are_well_whatever_they_give_to_weir_itself() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "search_path = 'nowhere'",
        "statement_timeout = '1ms'",
    ] {
        cluster.sql(0, &format!("ALTER ROLE app SET {setting}"))?;
    }
    cluster.wait_caught_up()?;
    let weir = weir(&cluster, 3)?;
    let mut client = Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("app"))?;
    wait_for("the replica to be read from", PATIENCE, || {
        let mark = cluster.mark();
        client.query("SELECT 'where' FROM pg_class LIMIT 1")?;
        Ok(cluster.ran_on(&mark, "'where'") == [1])
    })?;
    let mut client = connect(&weir, "app", "app")?;
    client.query("SET statement_timeout = 0")?;
    assert_eq!(setting(&mut client, "search_path")?, "nowhere");
    Ok(())
}

#[test]
fn transactions_that_only_read_by_default_only_read() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "only_read")?;
    let weir = weir(cluster, 5)?;
    cluster.sql(0, "ALTER ROLE app IN DATABASE only_read SET default_transaction_read_only = on")?;
    cluster
        .sql(0, "ALTER ROLE app IN DATABASE only_read SET idle_in_transaction_session_timeout = '300ms'")?;
    cluster.wait_caught_up()?;
    let mut client = connect(&weir, "app", "only_read")?;
    assert_eq!(client.parameters()["default_transaction_read_only"], "on");
    client.query("BEGIN")?;
    assert_eq!(value(&mut client, "SELECT 1 FROM pg_class LIMIT 1")?, "1");
    let refused = client.query("CREATE TABLE public.never (a int)");
    assert!(matches!(&refused, Err(Failure::Server(error)) if error.sqlstate() == "25006"), "{refused:?}");
    client.query("ROLLBACK")?;
    client.query("BEGIN READ WRITE")?;
    client.query("CREATE TABLE public.never (a int)")?;
    client.query("ROLLBACK")?;
    // Of a transaction that is only promised no server knows.
    client.query("BEGIN")?;
    assert!(client.is_closed_within(Duration::from_secs(10))?);
    Ok(())
}

#[test]
fn a_role_by_default_is_taken_and_gone_back_to() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "roles")?;
    cluster.sql(0, "CREATE ROLE clerk; GRANT clerk TO app")?;
    let weir = weir(cluster, 3)?;
    let mut old = connect(&weir, "app", "roles")?;
    assert_eq!(everywhere(&mut old, "SELECT current_user")?, "app");
    connect(&weir, "app", "roles")?.query("GRANT ALL ON SCHEMA public TO clerk")?;
    cluster.sql(0, "ALTER ROLE app IN DATABASE roles SET role = 'clerk'")?;
    cluster.wait_caught_up()?;
    wait_for("the role", Duration::from_secs(5), || {
        Ok(value(&mut connect(&weir, "app", "roles")?, "SELECT current_user")? == "clerk")
    })?;
    let mut new = connect(&weir, "app", "roles")?;
    for _ in 0..3 {
        assert_eq!(everywhere(&mut new, "SELECT current_user")?, "clerk");
        assert_eq!(everywhere(&mut old, "SELECT current_user")?, "app");
        for client in [&mut new, &mut old] {
            client.query("SET ROLE pg_monitor").ok();
            client.query("RESET ROLE")?;
        }
    }
    Ok(())
}

#[test]
fn what_the_primarys_configuration_says_holds_on_replicas() -> Result<()> {
    let cluster = Cluster::with(Options::new(2))?;
    let weir = weir(&cluster, 5)?;
    let mut running = connect(&weir, "app", "app")?;
    everywhere(&mut running, "SELECT 1")?;
    cluster.sql(0, "ALTER SYSTEM SET TimeZone = 'Asia/Tokyo'")?;
    cluster.sql(0, "ALTER SYSTEM SET bytea_output = 'escape'")?;
    cluster.sql(0, "ALTER SYSTEM SET search_path = public, elsewhere")?;
    cluster.sql(0, "SELECT pg_reload_conf()")?;
    wait_for("clients to be told", Duration::from_secs(5), || {
        Ok(connect(&weir, "app", "app")?.parameters()["TimeZone"] == "Asia/Tokyo")
    })?;
    for client in [&mut running, &mut connect(&weir, "app", "app")?] {
        for _ in 0..3 {
            assert_eq!(setting(client, "TimeZone")?, "Asia/Tokyo");
            assert_eq!(everywhere(client, "SELECT 'a'::bytea::text")?, "a");
            assert_eq!(setting(client, "search_path")?, "public, elsewhere");
        }
        client.query("SET TimeZone = 'UTC'")?;
        assert_eq!(setting(client, "TimeZone")?, "UTC");
        client.query("RESET TimeZone")?;
        assert_eq!(setting(client, "TimeZone")?, "Asia/Tokyo");
    }
    cluster.sql(0, "ALTER SYSTEM RESET ALL")?;
    cluster.sql(0, "SELECT pg_reload_conf()")?;
    wait_for("sessions to follow", Duration::from_secs(5), || {
        Ok(setting(&mut running, "search_path")? == "\"$user\", public")
    })?;
    assert_ne!(setting(&mut running, "TimeZone")?, "Asia/Tokyo");
    Ok(())
}

#[test]
fn backslashes_are_read_as_the_default_says() -> Result<()> {
    let cluster = Cluster::shared();
    database(cluster, "backslashes")?;
    let weir = weir(cluster, 3)?;
    connect(&weir, "app", "backslashes")?.query("CREATE TABLE hidden (a int)")?;
    cluster.sql(0, "ALTER DATABASE backslashes SET standard_conforming_strings = off")?;
    cluster.wait_caught_up()?;
    wait_for("clients to be told", Duration::from_secs(5), || {
        let client = connect(&weir, "app", "backslashes")?;
        Ok(client.parameters()["standard_conforming_strings"] == "off")
    })?;
    let mut client = connect(&weir, "app", "backslashes")?;
    client.ask(&[front::query("SELECT 'a\\' , '; INSERT INTO hidden VALUES (1); --'")])?;
    assert_eq!(value(&mut client, "/* weir: consistency=session */ SELECT count(*) FROM hidden")?, "1");
    Ok(())
}
