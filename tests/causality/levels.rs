//! What each level promises, and where a level can be said.

use harness::client::{Client, front};
use harness::{Options, Result, wait_for};

use crate::case::ask;
use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage, WAYS, app, first_value, options};

const TABLES: &str = "
    CREATE TABLE t AS SELECT 0 AS v;
    CREATE TABLE other AS SELECT 0 AS v";

const READ: &str = "SELECT v FROM t";

/// The old row, from the replica.
fn stale() -> Look {
    Look { value: "0".to_owned(), on: vec![REPLICA] }
}

/// The new row, from the primary.
fn fresh() -> Look {
    Look { value: "1".to_owned(), on: vec![PRIMARY] }
}

/// Replay held back, after the replica was known to hold everything. Until the catalog has been read, and for a moment
/// afterwards, whatever runs on the primary counts as a write of everything.
fn held_back(stage: &Stage) -> Result<()> {
    let [mut global, mut reader] = [stage.client("global")?, stage.client("global")?];
    wait_for("reads on the primary to count as reads", PATIENCE, || {
        stage.cluster.resume_replay(REPLICA)?;
        stage.wait_served_by_replica(&mut global, READ)?;
        stage.wait_served_by_replica(&mut global, "SELECT v FROM other")?;
        stage.cluster.pause_replay(REPLICA)?;
        reader.query(&format!("/* weir: primary */ {READ}"))?;
        Ok((stage.look(&mut global, READ)?.on == [REPLICA]).then_some(()))
    })
}

#[test]
fn each_level_sees_what_it_promises_and_no_more() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    held_back(&stage)?;
    let clients = || ["eventual", "session", "global", "strong"].map(|level| stage.client(level));
    let [Ok(mut eventual), Ok(mut session), Ok(mut global), Ok(mut strong)] = clients() else {
        return clients().into_iter().try_for_each(|client| client.map(drop));
    };

    // A write past weir: only `strong` is promised to see it.
    stage.cluster.sql(PRIMARY, "UPDATE t SET v = 1")?;
    for way in WAYS {
        assert_eq!(stage.look_by(&mut eventual, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut session, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut global, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut strong, way, READ)?, fresh(), "{way:?}");
    }

    // A write of another session to the same relation: `global` sees it as well.
    stage.client("eventual")?.query("UPDATE t SET v = 1")?;
    for way in WAYS {
        assert_eq!(stage.look_by(&mut eventual, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut session, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut global, way, READ)?, fresh(), "{way:?}");
    }

    // The session's own: `session` sees it. Whoever asks for nothing does not even see that.
    for client in [&mut eventual, &mut session] {
        client.query("UPDATE t SET v = 1")?;
    }
    for way in WAYS {
        assert_eq!(stage.look_by(&mut eventual, way, READ)?, stale(), "{way:?}");
        assert_eq!(stage.look_by(&mut session, way, READ)?, fresh(), "{way:?}");
    }

    // All read from the replica again when it holds what they need.
    stage.catch_up()?;
    for client in [&mut eventual, &mut session, &mut global, &mut strong] {
        assert_eq!(stage.wait_served_by_replica(client, READ)?, "1");
    }
    Ok(())
}

/// A replica that lacks one table's last write still serves reads of others.
#[test]
fn a_write_concerns_its_relations_only() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let (mut writer, mut reader) = (stage.client("session")?, stage.client("global")?);
    // Until the catalog is there, a write concerns everything.
    harness::wait_for("the catalog", crate::stage::PATIENCE, || {
        stage.catch_up()?;
        held_back(&stage)?;
        writer.query("UPDATE t SET v = 1")?;
        Ok((stage.look(&mut reader, "SELECT v FROM other")?.on == [REPLICA]).then_some(()))
    })?;
    assert_eq!(stage.look(&mut reader, READ)?, fresh());
    for (read, on) in [
        ("SELECT v FROM other", REPLICA),
        ("SELECT v FROM public.other", REPLICA),
        ("SELECT 1", REPLICA),
        ("SELECT count(*) FROM t, other", PRIMARY),
        ("SELECT v FROM other WHERE v IN (SELECT v FROM t)", PRIMARY),
    ] {
        // By somebody new: what a session has seen on the primary counts as well.
        assert_eq!(stage.look(&mut stage.client("global")?, read)?.on, [on], "{read}");
    }
    // By relation again.
    assert_eq!(stage.look(&mut reader, "SELECT v FROM other")?.on, [REPLICA]);
    assert_eq!(stage.look(&mut reader, READ)?, fresh());
    // Its own write concerns all that a session reads.
    assert_eq!(stage.look(&mut writer, "SELECT v FROM other")?.on, [PRIMARY]);
    Ok(())
}

/// One level for one statement, whatever else was said.
#[test]
fn a_hint_counts_for_its_statement() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    held_back(&stage)?;
    let mut client = stage.client("global")?;
    client.query("UPDATE t SET v = 1")?;
    let hinted = |level: &str| format!("/* weir: consistency={level} */ {READ}");
    assert_eq!(stage.look(&mut client, &hinted("eventual"))?, stale());
    for level in ["session", "global", "strong"] {
        assert_eq!(stage.look(&mut client, &hinted(level))?, fresh(), "{level}");
    }
    assert_eq!(stage.look(&mut client, READ)?, fresh());
    let mut client = stage.client("eventual")?;
    assert_eq!(stage.look(&mut client, &hinted("strong"))?, fresh());
    assert_eq!(stage.look(&mut client, &hinted("global"))?, fresh());
    assert_eq!(stage.look(&mut client, READ)?, stale());
    Ok(())
}

#[test]
fn a_level_is_said_by_set_by_startup_by_database_and_by_user() -> Result<()> {
    let entry = |table: &str, name: &str, level: &str, rest: &str| {
        format!("[[{table}]]\nname = \"{name}\"\nconsistency = \"{level}\"\n{rest}")
    };
    let database = |level: &str| entry("databases", level, level, "server_database = \"app\"");
    let user = |level: &str| {
        let rest = "server_user = \"app\"\nserver_password = \"app\"";
        entry("users", &format!("{level}_user"), level, &format!("password = \"p\"\n{rest}"))
    };
    let stage = Stage::with(Options::new(1), TABLES, |setup| {
        let setup = setup.set("routing", "max_staleness", "\"off\"");
        let levels = ["eventual", "session", "global", "strong"];
        levels.iter().fold(setup, |setup, level| setup.append(&database(level)).append(&user(level)))
    })?;
    held_back(&stage)?;
    stage.client("global")?.query("UPDATE t SET v = 1")?;

    // Nothing is said: `global`.
    assert_eq!(stage.look(&mut stage.log_in(app())?, READ)?, fresh());
    for (level, expected) in
        [("eventual", stale()), ("session", stale()), ("global", fresh()), ("strong", fresh())]
    {
        let mut set = stage.log_in(app())?;
        set.query(&format!("SET weir.consistency = '{level}'"))?;
        let mut client_by = vec![("set", set)];
        for (what, login) in [
            ("startup", app().parameter("options", &options(level))),
            ("database", app().database(level)),
            ("user", harness::client::Login::new(&format!("{level}_user"), "p").database("app")),
        ] {
            client_by.push((what, stage.log_in(login)?));
        }
        for (what, client) in &mut client_by {
            assert_eq!(stage.look(client, READ)?, expected, "{level} by {what}");
        }
    }

    // The nearest counts: SET before startup before database before user.
    let mut client = stage.log_in(app().database("eventual").parameter("options", &options("global")))?;
    assert_eq!(stage.look(&mut client, READ)?, fresh());
    client.query("SET weir.consistency = eventual")?;
    assert_eq!(stage.look(&mut client, READ)?, stale());
    client.query("RESET weir.consistency")?;
    assert_eq!(stage.look(&mut client, READ)?, fresh());
    let login = harness::client::Login::new("global_user", "p").database("eventual");
    assert_eq!(stage.look(&mut stage.log_in(login)?, READ)?, stale());
    Ok(())
}

/// What one user writes through one address and database entry, another reads through others.
#[test]
fn writes_are_seen_by_other_users_and_listeners() -> Result<()> {
    let port = harness::free_port()?;
    let stage = Stage::with(Options::new(1), TABLES, |setup| {
        setup
            .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{port}\""))
            .append("[[databases]]\nname = \"alias\"\nserver_database = \"app\"")
    })?;
    let elsewhere = || {
        let login = harness::client::Login::new("app_md5", "app_md5").database("alias");
        let login = login.parameter("options", &options("global"));
        Client::connect(&harness::client::Address::local(port), &login)
    };
    // A pool of its own has a connection to the replica by then.
    stage.wait_served_by_replica(&mut elsewhere()?, READ)?;
    held_back(&stage)?;
    assert_eq!(stage.look(&mut elsewhere()?, READ)?.on, [REPLICA]);
    stage.client("global")?.query("UPDATE t SET v = 1")?;
    assert_eq!(stage.look(&mut elsewhere()?, READ)?, fresh());
    elsewhere()?.query("UPDATE other SET v = 1")?;
    let look = stage.look(&mut stage.client("global")?, "SELECT v FROM other")?;
    assert_eq!(look, fresh());
    assert_eq!(stage.look(&mut stage.client("eventual")?, "SELECT v FROM other")?, stale());
    Ok(())
}

/// A write and a read of the same table that arrive together.
#[test]
fn a_pipeline_reads_what_it_wrote() -> Result<()> {
    let stage = Stage::set(TABLES)?;
    let run = |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    let update = |n: i32| format!("UPDATE t SET v = {n}");
    let pipelines = |n: i32| {
        [
            vec![front::query(update(n)), front::query(READ)],
            vec![front::query(format!("{}; {READ}", update(n)))],
            [&run(&update(n))[..], &run(READ), &[front::sync()]].concat(),
            [&run(&update(n))[..], &[front::sync()], &run(READ), &[front::sync()]].concat(),
            vec![front::query("BEGIN"), front::query(update(n)), front::query("COMMIT"), front::query(READ)],
            [&[front::query(update(n))][..], &run(READ), &[front::sync()]].concat(),
        ]
    };
    for level in ["session", "global", "strong"] {
        let mut client = stage.client(level)?;
        for n in 0..pipelines(0).len() {
            stage.catch_up()?;
            held_back(&stage)?;
            let wanted = i32::try_from(n).unwrap() + 10;
            let heard = ask(&mut client, &pipelines(wanted)[n])?;
            assert_eq!(first_value(&heard)?, wanted.to_string(), "{level}, pipeline {n}: {heard:?}");
            assert_ne!(stage.look(&mut stage.client("eventual")?, READ)?.value, wanted.to_string());
        }
    }
    Ok(())
}
