//! Transactions that have only read: what they hold, what becomes of them, what is learned of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Message, front};
use harness::{Cluster, Options, Result, Signal, Stop, WeirSetup, send_signal, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn cluster() -> Result<Cluster> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE notes (id int PRIMARY KEY, note text); GRANT ALL ON notes TO app")?;
    cluster.sql(0, "INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 9) n")?;
    cluster.wait_caught_up()?;
    Ok(cluster)
}

/// Asks until reads go to a replica: the catalog is known then, and the replica is up.
fn settle(client: &mut Client) -> Result<()> {
    wait_for("reads on the replica", PATIENCE, || {
        client.query("BEGIN")?;
        client.query("SELECT note FROM notes WHERE id = 1")?;
        let route = client.query("SHOW weir.route")?.value().to_owned();
        client.query("COMMIT")?;
        Ok((route == "replica1 (replica, lazy_read)").then_some(()))
    })
}

#[test]
fn who_thinks_within_a_transaction_holds_no_connection() -> Result<()> {
    let cluster = cluster()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).set("pool", "size", "1").start(WEIR)?;
    let mut clients = (0..8).map(|_| weir.connect()).collect::<Result<Vec<_>>>()?;
    settle(&mut clients[0])?;
    for client in &mut clients {
        client.query("BEGIN")?;
        assert_eq!(client.query("SELECT note FROM notes WHERE id = 2")?.value(), "note 2");
    }
    // All of them are in a transaction now, and there is one connection to each server.
    for client in &mut clients {
        client.query("SAVEPOINT a")?;
        assert_eq!(client.query("SELECT note FROM notes WHERE id = 3")?.value(), "note 3");
        client.query("COMMIT")?;
    }
    Ok(())
}

#[test]
fn a_begin_is_not_lost_with_the_primary() -> Result<()> {
    for transactions in ["lazy", "primary"] {
        let cluster = cluster()?;
        let weir = WeirSetup::in_front_of(&cluster, 0..1)
            .set("routing", "transactions", &format!("\"{transactions}\""))
            .start(WEIR)?;
        let (mut idle, mut reading, mut writing) = (weir.connect()?, weir.connect()?, weir.connect()?);
        for client in [&mut idle, &mut reading, &mut writing] {
            client.query("BEGIN")?;
        }
        reading.query("SELECT 1")?;
        writing.query("UPDATE notes SET note = 'lost' WHERE id = 1")?;
        cluster.stop(0, Stop::Immediate)?;
        cluster.restart(0)?;
        // What had nothing on the server goes on.
        assert_eq!(idle.query("UPDATE notes SET note = 'kept' WHERE id = 2")?.tag, "UPDATE 1");
        idle.query("COMMIT")?;
        // What had is told once, and its end is answered.
        let lost = writing.query("SELECT 1").unwrap_err();
        let class = lost.sqlstate().map(|code| &code[..2]);
        assert!(matches!(class, Some("08" | "57")), "{lost}");
        writing.query("ROLLBACK")?;
        for client in [&mut idle, &mut writing] {
            client.query("BEGIN")?;
            let notes = client.query("SELECT string_agg(note, ',' ORDER BY id) FROM notes WHERE id < 3")?;
            assert_eq!(notes.value(), "note 1,kept", "{transactions}");
            client.query("COMMIT")?;
        }
    }
    Ok(())
}

/// On whatever connection a transaction becomes real that has failed, the server refuses what is asked of a statement, and
/// not that it is prepared there.
#[test]
fn what_is_prepared_is_refused_as_such_in_a_transaction_that_failed() -> Result<()> {
    let cluster = cluster()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).start(WEIR)?;
    let mut client = weir.connect()?;
    settle(&mut client)?;
    client.query("BEGIN")?;
    for number in 1..=2 {
        // The second time the name is taken, by which the transaction fails.
        let sql = format!("SELECT note FROM notes WHERE id = {number}");
        client.ask(&[front::parse("s", &sql, &[]), front::sync()])?;
    }
    for server in 0..2 {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
        cluster.sql(server, end)?;
    }
    let of_one = || [front::bind("", "s", &[]), front::execute("", 0), front::sync()];
    let heard = client.ask(&of_one())?;
    let error = heard.iter().find_map(Message::error).unwrap();
    assert_eq!((error.sqlstate(), error.field('R')), ("25P02", Some("exec_bind_message")), "{heard:?}");
    client.query("ROLLBACK")?;
    let heard = client.ask(&of_one())?;
    let row = heard.iter().find(|message| message.tag == b'D').unwrap();
    assert_eq!(row.text_row(), [Some("note 1".to_owned())]);
    Ok(())
}

/// What may act waits until its connection has its client's settings. That connection is lost meanwhile, before anything of
/// the transaction was on it.
#[test]
fn a_connection_that_is_lost_before_it_was_used_is_missed_by_nobody() -> Result<()> {
    let cluster = cluster()?;
    let sql = "CREATE FUNCTION note_of(int) RETURNS text STABLE LANGUAGE sql AS 'SELECT note FROM notes WHERE id = $1'";
    cluster.sql(0, sql)?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).set("pool", "size", "1").start(WEIR)?;
    let (mut first, mut client) = (weir.connect()?, weir.connect()?);
    settle(&mut first)?;
    client.query("SET search_path = 'public'")?;
    client.query("BEGIN")?;
    let app = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND application_name = ''";
    let backend = cluster.sql(1, app)?.value().parse().unwrap();
    send_signal(backend, Signal::STOP)?;
    client.send(&[front::query("SELECT note_of(2)")])?;
    wait_for("the replica's connection at work", PATIENCE, || {
        let active = [("server", "replica1"), ("state", "active")];
        Ok((weir.metrics()?.sum("weir_backend_connections", &active) == 1.0).then_some(()))
    })?;
    send_signal(backend, Signal::KILL)?;
    let heard = client.until_ready()?;
    let row = heard.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{heard:?}"));
    assert_eq!(row.text_row(), [Some("note 2".to_owned())]);
    client.query("COMMIT")?;
    Ok(())
}

#[test]
fn a_cursor_that_is_written_by_opens_on_the_primary_next_time() -> Result<()> {
    let cluster = cluster()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).start(WEIR)?;
    let mut client = weir.connect()?;
    settle(&mut client)?;
    let mut attempt = || -> Result<String> {
        client.query("BEGIN")?;
        client.query("DECLARE c CURSOR FOR SELECT * FROM notes ORDER BY id")?;
        client.query("FETCH 1 FROM c")?;
        let written = client.query("UPDATE notes SET note = 'here' WHERE CURRENT OF c");
        let outcome = match &written {
            Ok(answer) => answer.tag.clone(),
            Err(failure) => failure.sqlstate().unwrap_or_default().to_owned(),
        };
        client.query("ROLLBACK")?;
        Ok(outcome)
    };
    assert_eq!(attempt()?, "34000");
    assert_eq!(attempt()?, "UPDATE 1");
    Ok(())
}

/// A replica begins no transaction that says READ WRITE: there it is begun without, and is on the primary from where that shows.
#[test]
fn what_says_read_write_reads_on_a_replica_within_its_transaction() -> Result<()> {
    let cluster = cluster()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).start(WEIR)?;
    let mut client = weir.connect()?;
    settle(&mut client)?;
    let mut reads = |begin: &[&str]| -> Result<String> {
        for statement in begin {
            client.query(statement)?;
        }
        client.query("SELECT set_config('app.tenant', 'one', true)")?;
        assert_eq!(client.query("SELECT note FROM notes WHERE id = 2")?.value(), "note 2");
        let route = client.query("SHOW weir.route")?.value().to_owned();
        assert_eq!(client.query("SHOW transaction_read_only")?.value(), "off");
        client.query("ROLLBACK")?;
        Ok(route)
    };
    let begins: [&[&str]; 4] = [
        &["BEGIN"],
        &["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"],
        &["BEGIN", "SET TRANSACTION READ WRITE"],
        &["BEGIN READ WRITE", "COMMIT AND CHAIN"],
    ];
    for begin in begins {
        assert_eq!(reads(begin)?, "replica1 (replica, in_transaction)", "{begin:?}");
    }
    Ok(())
}

/// Who has just written would wait for the replica. In a transaction that begins as those do which write, that is of no use.
#[test]
fn what_mostly_writes_does_not_wait_for_a_replica() -> Result<()> {
    let cluster = cluster()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).start(WEIR)?;
    let mut client = weir.connect()?;
    settle(&mut client)?;
    cluster.pause_replay(1)?;
    let mut reads = |sql: &str, writes: bool| -> Result<String> {
        // What stands in front of the transaction is no part of it.
        client.query("SELECT count(*) FROM notes")?;
        client.query("BEGIN")?;
        client.query(sql)?;
        let route = client.query("SHOW weir.route")?.value().to_owned();
        if writes {
            client.query("UPDATE notes SET note = 'again' WHERE id = 5")?;
        }
        client.query("COMMIT")?;
        Ok(route)
    };
    let (writer, reader) = ("SELECT note FROM notes WHERE id = 5", "SELECT max(id) FROM notes");
    for _ in 0..12 {
        reads(writer, true)?;
    }
    assert_eq!(reads(writer, true)?, "primary (primary, likely_write)");
    for _ in 0..12 {
        assert_eq!(reads(reader, false)?, "primary (primary, stale)");
    }
    cluster.resume_replay(1)
}
