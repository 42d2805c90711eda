//! Limits of time: idle clients, idle transactions, long requests, full pools, and the drain.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login, Message, ServerError, front};
use harness::{Cluster, Result, Signal, Weir, WeirSetup, at_once, send_signal, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn primary_only() -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), [0])
}

fn lazy() -> WeirSetup {
    WeirSetup::in_front_of(Cluster::shared(), 0..3).at_any_age().set("routing", "transactions", "\"lazy\"")
}

/// What may have been said in a transaction of which no server knows.
const PROMISES: [&[&str]; 6] = [
    &["BEGIN"],
    &["BEGIN", "SELECT 1"],
    &["BEGIN READ ONLY", "SELECT 1"],
    &["BEGIN", "SAVEPOINT a", "SELECT 1", "ROLLBACK TO a"],
    &["BEGIN", "SELECT 1", "COMMIT AND CHAIN"],
    &["BEGIN", "SELECT 1/0"],
];

fn say(client: &mut Client, statements: &[&str]) -> Result<()> {
    statements.iter().try_for_each(|sql| client.ask(&[front::query(sql)]).map(drop))
}

/// The error with which a client is closed while it says nothing.
fn farewell(client: &mut Client) -> Result<ServerError> {
    client.set_patience(PATIENCE);
    let error = client.read()?.error().unwrap();
    assert_eq!(error.severity(), "FATAL");
    assert!(client.is_closed_within(PATIENCE)?);
    Ok(error)
}

fn first_error(heard: &[Message]) -> ServerError {
    heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("{heard:?}"))
}

fn wait_metric(weir: &Weir, name: &str, labels: &[(&str, &str)], value: f64) -> Result<()> {
    wait_for(&format!("{name} to be {value}"), PATIENCE, || {
        Ok((weir.metrics()?.sum(name, labels) == value).then_some(()))
    })
}

#[test]
fn an_idle_client_is_closed() -> Result<()> {
    at_once(["\"transaction\"", "\"session\""], |mode| {
        let weir = primary_only()
            .set("pool", "size", "1")
            .set("pool", "mode", mode)
            .set("timeouts", "idle_client", "\"1s\"")
            .start(WEIR)?;
        // One that never asked anything, one that has, and one that has state on its connection.
        let mut silent = weir.connect()?;
        assert_eq!(farewell(&mut silent)?.sqlstate(), "57P05");
        let mut client = weir.connect()?;
        let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
        let error = farewell(&mut client)?;
        assert_eq!(
            (error.sqlstate(), error.message()),
            ("57P05", "terminating connection due to idle-session timeout")
        );
        let mut pinned = weir.connect()?;
        pinned.query("CREATE TEMP TABLE idle (i int)")?;
        assert_eq!(farewell(&mut pinned)?.sqlstate(), "57P05");
        let mut next = weir.connect()?;
        assert_eq!(next.query("SELECT pg_backend_pid() + 0")?.value(), pid);
        assert_eq!(next.query("SELECT to_regclass('pg_temp.idle')")?.value(), "");
        // What runs, or what comes often enough, is not idle.
        let begun = Instant::now();
        next.query("SELECT pg_sleep(1.5)")?;
        while begun.elapsed() < Duration::from_secs(2) {
            next.query("SELECT 1")?;
        }
        // Nor is a transaction, of which another limit speaks.
        for begin in ["BEGIN", "BEGIN; SELECT 1"] {
            next.query(begin)?;
            assert!(next.read_within(Duration::from_millis(1500))?.is_none(), "{begin}");
            next.query("ROLLBACK")?;
        }
        Ok(())
    })
}

#[test]
fn an_idle_transaction_is_rolled_back_and_its_client_closed() -> Result<()> {
    let cluster = Cluster::shared();
    cluster
        .sql(0, "DROP TABLE IF EXISTS idle_tx; CREATE TABLE idle_tx (i int); GRANT ALL ON idle_tx TO app")?;
    let weir = primary_only()
        .set("pool", "size", "1")
        .set("timeouts", "idle_in_transaction", "\"1s\"")
        .start(WEIR)?;
    let insert = |client: &mut Client| client.query("INSERT INTO idle_tx VALUES (1)").map(drop);
    let scenes: [fn(&mut Client) -> Result<()>; 3] = [
        |_| Ok(()),
        |client| client.query("SELECT 1/0").map_or_else(|_| Ok(()), |_| panic!("it succeeded")),
        |client| {
            let batch = [front::parse("", "SELECT 1", &[]), front::bind("", "", &[]), front::execute("", 0)];
            client.send(&[batch.concat(), front::flush()])?;
            while client.read()?.name() != "CommandComplete" {}
            Ok(())
        },
    ];
    for scene in scenes {
        let mut client = weir.connect()?;
        let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
        client.query("BEGIN")?;
        insert(&mut client)?;
        scene(&mut client)?;
        let error = farewell(&mut client)?;
        assert_eq!(
            (error.sqlstate(), error.message()),
            ("25P03", "terminating connection due to idle-in-transaction timeout")
        );
        let mut next = weir.connect()?;
        assert_eq!(next.query("SELECT pg_backend_pid() + 0")?.value(), pid, "the connection is used again");
        assert_eq!(next.query("SELECT count(*) FROM idle_tx")?.value(), "0");
    }
    // So is one of which no server knows.
    at_once(["", "SELECT 1", "SELECT 1/0"], |read| {
        let mut client = weir.connect()?;
        client.query("BEGIN")?;
        client.ask(&[front::query(read)])?;
        assert_eq!(farewell(&mut client)?.sqlstate(), "25P03", "{read}");
        Ok(())
    })?;
    let mut client = weir.connect()?;
    // One that goes on is not idle, and outside a transaction nothing is limited.
    client.query("BEGIN")?;
    let begun = Instant::now();
    client.query("SELECT pg_sleep(1.5)")?;
    while begun.elapsed() < Duration::from_secs(2) {
        insert(&mut client)?;
    }
    client.query("COMMIT")?;
    assert!(client.read_within(Duration::from_millis(1500))?.is_none());
    client.query("SELECT 1").map(drop)
}

/// No server knows of the transaction, so that none could end it.
#[test]
fn a_client_s_own_limits_hold_in_a_transaction_that_has_only_read() -> Result<()> {
    let weir = lazy().start(WEIR)?;
    let come = |options: &str| {
        let login = Login::new("app", "app").database("app").parameter("options", options);
        Client::connect(&weir.address(), &login)
    };
    let mut direct = Cluster::shared().connect(0)?;
    say(&mut direct, &["SET idle_in_transaction_session_timeout = 1000", "BEGIN", "SELECT 1"])?;
    let expected = farewell(&mut direct)?;
    assert_eq!(expected.sqlstate(), "25P03");
    at_once(PROMISES.into_iter().enumerate(), |(n, statements)| {
        let mut client = come(if n % 3 == 2 { "-c idle_in_transaction_session_timeout=1s" } else { "" })?;
        match n % 3 {
            0 => say(&mut client, &["SET idle_in_transaction_session_timeout = 1000"])?,
            1 => say(&mut client, &["SET idle_in_transaction_session_timeout TO '1s'"])?,
            _ => {}
        }
        client.query("SELECT 'outside'")?;
        assert!(client.read_within(Duration::from_millis(1500))?.is_none(), "outside a transaction");
        say(&mut client, statements)?;
        let error = farewell(&mut client)?;
        assert_eq!((error.sqlstate(), error.message()), ("25P03", expected.message()), "{statements:?}");
        Ok(())
    })?;
    let overdue = weir.metrics()?.sum("weir_timeouts_total", &[("limit", "idle_in_transaction")]);
    assert_eq!(overdue, PROMISES.len() as f64);
    // One that goes on is not idle, and what is off limits nothing.
    let mut client = come("-c idle_in_transaction_session_timeout=1s")?;
    client.query("BEGIN")?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        client.query("SELECT 1")?;
    }
    client.query("COMMIT")?;
    say(&mut client, &["SET idle_in_transaction_session_timeout = 0", "BEGIN", "SELECT 1"])?;
    assert!(client.read_within(Duration::from_millis(1500))?.is_none());
    client.query("COMMIT").map(drop)
}

/// The replica's server ends it, and the client hears of that.
#[test]
fn a_limit_that_a_replica_keeps_ends_the_transaction() -> Result<()> {
    let weir = lazy().start(WEIR)?;
    let mut client = weir.connect()?;
    let set = "SET LOCAL idle_in_transaction_session_timeout = '300ms'";
    say(&mut client, &["BEGIN", "SELECT 1", set])?;
    wait_metric(&weir, "weir_backend_connections", &[("state", "active")], 0.0)?;
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P03"));
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");
    client.query("SELECT 'lives on'").map(drop)
}

#[test]
fn an_idle_transaction_that_has_only_read_is_ended_as_any_other() -> Result<()> {
    let weir = lazy().set("timeouts", "idle_in_transaction", "\"1s\"").start(WEIR)?;
    at_once(PROMISES, |statements| {
        let mut client = weir.connect()?;
        // Of two limits the smaller holds.
        client.query("SET idle_in_transaction_session_timeout = '1h'")?;
        say(&mut client, statements)?;
        assert_eq!(farewell(&mut client)?.sqlstate(), "25P03", "{statements:?}");
        Ok(())
    })?;
    let mut client = weir.connect()?;
    client.query("BEGIN")?;
    let begun = Instant::now();
    client.query("SELECT pg_sleep(1.5)")?;
    while begun.elapsed() < Duration::from_secs(2) {
        client.query("SELECT 1")?;
    }
    client.query("COMMIT")?;
    assert!(client.read_within(Duration::from_millis(1500))?.is_none());
    client.query("SELECT 1").map(drop)
}

#[test]
fn a_long_read_of_a_transaction_that_has_only_read_is_cancelled() -> Result<()> {
    let weir = lazy().set("timeouts", "query", "\"1s\"").start(WEIR)?;
    let mut client = weir.connect()?;
    say(&mut client, &["BEGIN", "SELECT 1", "SAVEPOINT a"])?;
    let mark = Cluster::shared().mark();
    let heard = client.ask(&[front::query("SELECT 'a long read' FROM pg_sleep(60)")])?;
    let error = first_error(&heard);
    assert_eq!(
        (error.sqlstate(), error.message()),
        ("57014", "canceling statement due to statement timeout")
    );
    assert_eq!(heard.last().unwrap().status(), Some('E'));
    assert!(matches!(*Cluster::shared().ran_on(&mark, "a long read"), [1 | 2]));
    assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"));
    say(&mut client, &["ROLLBACK TO a"])?;
    assert_eq!(client.query("SELECT 'goes on'")?.value(), "goes on");
    assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
    Ok(())
}

#[test]
fn a_long_request_is_cancelled_and_the_session_goes_on() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..3)
        .at_any_age()
        .set("pool", "size", "1")
        .set("timeouts", "query", "\"1s\"")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    let sleep = "SELECT 'slept' FROM pg_sleep(60)";
    let expected = ("57014".to_owned(), "canceling statement due to statement timeout".to_owned());
    let told = |heard: &[Message]| {
        let error = first_error(heard);
        assert_eq!(error.severity(), "ERROR");
        (error.sqlstate().to_owned(), error.message().to_owned())
    };
    for target in ["replica", "primary"] {
        let heard = client.ask(&[front::query(format!("/* weir: {target} */ {sleep}"))])?;
        assert_eq!(told(&heard), expected, "{target}");
        let batch = [
            front::parse("", format!("/* weir: {target} */ {sleep}"), &[]),
            front::bind("", "", &[]),
            front::execute("", 0),
            front::sync(),
        ];
        let heard = client.ask(&batch)?;
        assert_eq!(told(&heard), expected, "{target}, extended");
        assert_eq!(client.query(&format!("/* weir: {target} */ SELECT 1"))?.value(), "1");
    }
    // In a transaction it fails, as any error makes it fail.
    for begin in ["BEGIN", "BEGIN; SELECT 1"] {
        client.query(begin)?;
        assert_eq!(told(&client.ask(&[front::query(sleep)])?), expected, "{begin}");
        assert_eq!(client.query("SELECT 1").unwrap_err().sqlstate(), Some("25P02"), "{begin}");
        client.query("ROLLBACK")?;
    }
    let overdue = || -> Result<f64> { Ok(weir.metrics()?.sum("weir_timeouts_total", &[("limit", "query")])) };
    assert_eq!(overdue()?, 6.0);
    // The places of the errors in a pipeline, and how many requests of it were found to take too long: on a machine that
    // has no time a short one may, and is cancelled by right. Then once more.
    let mut pipeline = |frames: &[Vec<u8>]| -> Result<(Vec<usize>, f64)> {
        let before = overdue()?;
        client.send(frames)?;
        let answers = frames.iter().map(|_| client.until_ready()).collect::<Result<Vec<_>>>()?;
        client.query("ROLLBACK")?;
        let failed = |heard: &[Message]| heard.iter().any(|message| message.error().is_some());
        let errors: Vec<usize> = (0..answers.len()).filter(|at| failed(&answers[*at])).collect();
        errors.first().into_iter().for_each(|at| assert_eq!(told(&answers[*at]), expected));
        Ok((errors, overdue()? - before))
    };
    // The others are not touched.
    wait_for("one of a pipeline to be cancelled", PATIENCE, || {
        let (errors, overdue) = pipeline(&[
            front::query("SELECT 'before' FROM pg_sleep(0.1)"),
            front::query(sleep),
            front::query("SELECT 'after' FROM pg_sleep(0.1)"),
        ])?;
        assert!(errors.contains(&1) && errors.len() as f64 == overdue, "{errors:?}, {overdue} overdue");
        Ok((errors == [1]).then_some(()))
    })?;
    // Many short ones take longer than the limit together.
    let many: Vec<_> = (0..40).map(|_| front::query("BEGIN; SELECT pg_sleep(0.05); COMMIT")).collect();
    wait_for("many to be in time", PATIENCE, || {
        let (errors, overdue) = pipeline(&many)?;
        assert_eq!(errors.is_empty(), overdue == 0.0, "{errors:?}, {overdue} overdue");
        Ok(errors.is_empty().then_some(()))
    })
}

/// PostgreSQL signals twice when it is asked to cancel, and may have begun the next request of a pipeline in between.
#[test]
fn only_what_takes_too_long_is_cancelled() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), 0..3)
        .at_any_age()
        .set("pool", "size", "1")
        .set("timeouts", "query", "\"300ms\"")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    let mut errors = 0;
    for begin in ["SELECT 1", "BEGIN", "BEGIN; SELECT 1"] {
        client.query(begin)?;
        for _ in 0..15 {
            client.send(&[
                front::query("SELECT 'slept' FROM pg_sleep(60)"),
                front::query("ROLLBACK"),
                front::query(begin),
                front::query("SELECT 'after' FROM pg_sleep(0.02)"),
            ])?;
            for _ in 0..4 {
                errors += client.until_ready()?.iter().filter_map(Message::error).count();
            }
        }
        client.query("ROLLBACK")?;
    }
    assert_eq!(weir.metrics()?.sum("weir_timeouts_total", &[("limit", "query")]), errors as f64);
    Ok(())
}

#[test]
fn users_have_timeouts_of_their_own() -> Result<()> {
    let patient = "[[users]]\nname = \"patient\"\nauth = \"trust\"\nserver_user = \"app\"\n\
        server_password = \"app\"\nquery_timeout = \"off\"\nidle_client_timeout = \"200ms\"";
    let weir = primary_only().append(patient).set("timeouts", "query", "\"2s\"").start(WEIR)?;
    let mut app = weir.connect()?;
    let overdue = first_error(&app.ask(&[front::query("SELECT pg_sleep(60)")])?);
    assert_eq!(overdue.message(), "canceling statement due to statement timeout");
    // The client's own cancel is told as such.
    app.send(&[front::query("SELECT pg_sleep(60)")])?;
    assert!(app.read_within(Duration::from_millis(50))?.is_none());
    app.cancel()?;
    let cancelled = first_error(&app.until_ready()?);
    assert_eq!(cancelled.message(), "canceling statement due to user request");
    let mut patient = Client::connect(&weir.address(), &Login::new("patient", "").database("app"))?;
    patient.query("SELECT pg_sleep(3)")?;
    assert_eq!(farewell(&mut patient)?.sqlstate(), "57P05");
    app.query("SELECT 1").map(drop)
}

/// A server process that is stopped hears no signal.
#[test]
fn a_server_that_does_not_cancel_loses_its_connection() -> Result<()> {
    let weir = primary_only().set("pool", "size", "1").set("timeouts", "query", "\"300ms\"").start(WEIR)?;
    let mut client = weir.connect()?;
    client.set_patience(PATIENCE);
    let pid = client.query("SELECT pg_backend_pid() + 0")?.value().to_owned();
    send_signal(pid.parse().unwrap(), Signal::STOP)?;
    let heard = client.ask(&[front::query("SELECT 'unheard'")]);
    send_signal(pid.parse().unwrap(), Signal::CONT)?;
    assert_eq!(first_error(&heard?).sqlstate(), "57014");
    // With another connection, as the pool has one again.
    assert_ne!(client.query("SELECT pg_backend_pid() + 0")?.value(), pid);
    Ok(())
}

/// Its place in the queue is free at once, and what it has sent is never run.
#[test]
fn a_client_that_leaves_the_queue_is_noticed() -> Result<()> {
    let weir = primary_only().set("pool", "size", "1").set("pool", "queue_limit", "1").start(WEIR)?;
    let mut holder = weir.connect()?;
    holder.query("BEGIN; SELECT 1")?;
    let mut others: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    for n in 0..2 {
        let mut leaver = others.remove(0);
        leaver.send(&[front::query("CREATE TABLE never_made ()")])?;
        wait_metric(&weir, "weir_clients", &[], f64::from(4 - n))?;
        wait_metric(&weir, "weir_bytes_total", &[("direction", "from_client")], {
            let sent = front::query("BEGIN; SELECT 1").len()
                + front::query("CREATE TABLE never_made ()").len() * (n as usize + 1);
            sent as f64
        })?;
        drop(leaver);
        wait_metric(&weir, "weir_clients", &[], f64::from(3 - n))?;
    }
    // Who waits and sends more meanwhile loses none of it, and its leave-taking is heard in its turn.
    let mut waiting = others.remove(0);
    let sent: Vec<_> = (0..5000).map(|n| front::query(format!("SELECT {n}"))).collect();
    waiting.send(&sent[..1])?;
    wait_for("the client to wait", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_checkout_wait_seconds_count", &[]) >= 1.0).then_some(()))
    })?;
    waiting.send(&sent[1..])?;
    holder.query("COMMIT")?;
    waiting.set_patience(PATIENCE);
    for n in 0..5000 {
        let heard = waiting.until_ready()?;
        let rows: Vec<_> = heard.iter().filter(|m| m.tag == b'D').flat_map(Message::text_row).collect();
        assert_eq!(rows, [Some(n.to_string())]);
    }
    assert_eq!(waiting.query("SELECT to_regclass('never_made')")?.value(), "");
    Ok(())
}

/// A write with a Terminate behind it is run although its client has gone.
#[test]
fn who_takes_leave_in_the_queue_is_served() -> Result<()> {
    let cluster = Cluster::shared();
    cluster
        .sql(0, "DROP TABLE IF EXISTS parting; CREATE TABLE parting (i int); GRANT ALL ON parting TO app")?;
    let weir = primary_only().set("pool", "size", "1").start(WEIR)?;
    let mut holder = weir.connect()?;
    holder.query("BEGIN; SELECT 1")?;
    let mut leaver = weir.connect()?;
    leaver.send(&[front::query("INSERT INTO parting VALUES (1)"), front::terminate()])?;
    drop(leaver);
    wait_metric(&weir, "weir_pool_waiting", &[], 1.0)?;
    holder.query("COMMIT")?;
    wait_metric(&weir, "weir_clients", &[], 1.0)?;
    assert_eq!(holder.query("SELECT count(*) FROM parting")?.value(), "1");
    Ok(())
}

/// Clients in every state when weir is told to stop.
#[test]
fn a_drain_ends_what_is_idle_and_waits_for_what_runs() -> Result<()> {
    for mode in ["\"transaction\"", "\"session\""] {
        let mut weir = primary_only()
            .set("pool", "size", "3")
            .set("pool", "mode", mode)
            .set("listen", "drain_timeout", "\"1min\"")
            .start(WEIR)?;
        let mut idle = weir.connect()?;
        let mut pinned = weir.connect()?;
        pinned.query("CREATE TEMP TABLE drained (i int); SELECT pg_advisory_lock(77)")?;
        let mut working = weir.connect()?;
        working.query("BEGIN; SELECT 1")?;
        let mut running = weir.connect()?;
        running.send(&[front::query("SELECT pg_sleep(1), 'done'")])?;
        wait_metric(&weir, "weir_backend_connections", &[("state", "active")], 3.0)?;
        let mut queued = weir.connect()?;
        queued.send(&[front::query("SELECT 'served'")])?;
        wait_metric(&weir, "weir_pool_waiting", &[], 1.0)?;

        weir.ask_to_stop()?;
        assert_eq!(farewell(&mut idle)?.sqlstate(), "57P01");
        assert_eq!(farewell(&mut pinned)?.sqlstate(), "57P01");
        // What is new is refused, and cancel requests are not.
        assert_eq!(weir.connect().unwrap_err().sqlstate(), Some("57P03"));
        let served = queued.until_ready()?;
        assert!(served.iter().all(|message| message.error().is_none()), "{served:?}");
        let done = running.until_ready()?;
        assert!(done.iter().all(|message| message.error().is_none()), "{done:?}");
        assert_eq!(farewell(&mut running)?.sqlstate(), "57P01");
        assert_eq!(farewell(&mut queued)?.sqlstate(), "57P01");
        // A transaction may end, and its requests be cancelled.
        working.send(&[front::query("SELECT pg_sleep(60)")])?;
        assert!(working.read_within(Duration::from_millis(300))?.is_none());
        working.cancel()?;
        assert_eq!(first_error(&working.until_ready()?).sqlstate(), "57014");
        assert!(weir.exit_status().is_none(), "it waits for the transaction");
        working.query("ROLLBACK")?;
        assert_eq!(farewell(&mut working)?.sqlstate(), "57P01");
        wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    }
    Ok(())
}

/// Also where no server knows of the transaction.
#[test]
fn a_drain_waits_for_transactions_that_have_only_read() -> Result<()> {
    Cluster::shared()
        .sql(0, "DROP TABLE IF EXISTS drained; CREATE TABLE drained (i int); GRANT ALL ON drained TO app")?;
    for mode in ["\"transaction\"", "\"session\""] {
        let mut weir =
            lazy().set("pool", "mode", mode).set("listen", "drain_timeout", "\"1min\"").start(WEIR)?;
        let mut idle = weir.connect()?;
        idle.query("SELECT 1")?;
        let mut clients: Vec<Client> = (0..4).map(|_| weir.connect()).collect::<Result<_>>()?;
        say(&mut clients[0], &["BEGIN"])?;
        say(&mut clients[1], &["BEGIN", "SELECT 1", "SAVEPOINT a"])?;
        say(&mut clients[2], &["BEGIN", "SELECT 1/0"])?;
        say(&mut clients[3], &["BEGIN", "SELECT 1"])?;
        weir.ask_to_stop()?;
        assert_eq!(farewell(&mut idle)?.sqlstate(), "57P01", "{mode}");
        assert_eq!(clients[1].query("SELECT 'goes on'")?.value(), "goes on", "{mode}");
        clients[3].query("INSERT INTO drained VALUES (1)")?;
        assert!(weir.exit_status().is_none(), "{mode}: it waits for the transactions");
        for (client, end, tag) in [
            (0, "COMMIT", "COMMIT"),
            (1, "ROLLBACK", "ROLLBACK"),
            (2, "COMMIT", "ROLLBACK"),
            (3, "COMMIT", "COMMIT"),
        ] {
            assert_eq!(clients[client].query(end)?.tag, tag, "{mode}");
            assert_eq!(farewell(&mut clients[client])?.sqlstate(), "57P01", "{mode}");
        }
        wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    }
    assert_eq!(Cluster::shared().sql(0, "SELECT count(*) FROM drained")?.value(), "2");
    Ok(())
}

/// At the drain's end, or at the second signal, whoever is left is told and closed.
#[test]
fn a_drain_has_an_end() -> Result<()> {
    for signals in [1, 2] {
        let limit = if signals == 1 { "\"500ms\"" } else { "\"10min\"" };
        let mut weir =
            primary_only().set("pool", "size", "2").set("listen", "drain_timeout", limit).start(WEIR)?;
        let mut working = weir.connect()?;
        working.query("BEGIN; SELECT 1")?;
        let mut running = weir.connect()?;
        running.send(&[front::query("SELECT pg_sleep(60)")])?;
        let mut queued = weir.connect()?;
        wait_metric(&weir, "weir_backend_connections", &[("state", "active")], 2.0)?;
        queued.send(&[front::query("SELECT 1")])?;
        wait_metric(&weir, "weir_pool_waiting", &[], 1.0)?;
        let begun = Instant::now();
        weir.ask_to_stop()?;
        if signals == 2 {
            // It has heard of the first when it refuses clients.
            wait_for("the drain to begin", PATIENCE, || {
                Ok((weir.connect().err().as_ref().and_then(|e| e.sqlstate().map(str::to_owned))
                    == Some("57P03".to_owned()))
                .then_some(()))
            })?;
            weir.ask_to_stop()?;
        }
        thread::scope(|scope| -> Result<()> {
            let told = [&mut working, &mut running, &mut queued]
                .map(|client| scope.spawn(move || farewell(client).map(|error| error.sqlstate().to_owned())));
            told.into_iter().try_for_each(|told| {
                assert_eq!(told.join().unwrap()?, "57P01");
                Ok(())
            })
        })?;
        wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    }
    Ok(())
}

/// A client whose write waits until the holder of this lock lets it go.
fn wait_for_lock(weir: &Weir, table: &str) -> Result<(Client, Client)> {
    let cluster = Cluster::shared();
    cluster.sql(
        0,
        &format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (); GRANT ALL ON {table} TO app"),
    )?;
    let mut holder = cluster.admin(0)?;
    holder.query(&format!("BEGIN; LOCK TABLE {table}"))?;
    let mut writer = weir.connect()?;
    writer.send(&[front::query(format!("INSERT INTO {table} DEFAULT VALUES"))])?;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO {table} %'"
    );
    wait_for("the write to wait for the lock", PATIENCE, || {
        Ok((cluster.sql(0, &waiting)?.value() == "1").then_some(()))
    })?;
    Ok((writer, holder))
}

/// What a session has left behind is brought to its end before weir ends: a write that may be committed, and a
/// transaction on a connection whose server process is stopped.
#[test]
fn a_drain_waits_for_what_clients_have_left() -> Result<()> {
    for mode in ["\"transaction\"", "\"session\""] {
        let mut weir = primary_only().set("pool", "size", "2").set("pool", "mode", mode).start(WEIR)?;
        let (writer, mut holder) = wait_for_lock(&weir, "left_to_commit")?;
        let mut stopped = weir.connect()?;
        let pid = stopped.query("BEGIN; SELECT pg_backend_pid() + 0")?.value().parse().unwrap();
        send_signal(pid, Signal::STOP)?;
        drop((writer, stopped));
        wait_metric(&weir, "weir_clients", &[], 0.0)?;
        weir.ask_to_stop()?;
        thread::sleep(Duration::from_millis(500));
        assert!(weir.exit_status().is_none(), "{mode}: it waits for both");
        send_signal(pid, Signal::CONT)?;
        thread::sleep(Duration::from_millis(500));
        assert!(weir.exit_status().is_none(), "{mode}: it waits for the write");
        holder.query("COMMIT")?;
        let ended = wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
        assert!(ended.success(), "{mode}: {ended}");
        assert!(!weir.log().contains("drain ended"), "{mode}: {}", weir.log());
    }
    Ok(())
}

/// What a server does not end holds a drain no longer than anything else does.
#[test]
fn what_clients_have_left_does_not_hold_a_drain_for_ever() -> Result<()> {
    let mut weir = primary_only().set("listen", "drain_timeout", "\"500ms\"").start(WEIR)?;
    let (writer, _holder) = wait_for_lock(&weir, "left_for_ever")?;
    drop(writer);
    wait_metric(&weir, "weir_clients", &[], 0.0)?;
    let begun = Instant::now();
    weir.ask_to_stop()?;
    wait_for("weir to end", PATIENCE, || Ok(weir.exit_status()))?;
    let took = begun.elapsed();
    assert!((Duration::from_millis(500)..PATIENCE / 4).contains(&took), "{took:?}");
    Ok(())
}
