//! Reads that are hard to tell: in grammar that is seldom written, in texts of great length, in functions that are no reads
//! after all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use harness::client::{Client, Message, front};
use harness::{Cluster, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `late` writes behind the first 64 kB of its answer, `notices` behind a NOTICE; neither shows it.
const SCHEMA: &str = "
    SET ROLE app;
    CREATE TABLE kept (id int, note text);
    INSERT INTO kept SELECT g, 'note ' || g FROM generate_series(1, 100) g;
    CREATE TABLE written (id int);
    CREATE SCHEMA unseen;
    CREATE FUNCTION unseen.writes() RETURNS int VOLATILE LANGUAGE sql AS
        'INSERT INTO public.written VALUES (1) RETURNING 1';
    CREATE FUNCTION unseen.notices() RETURNS int VOLATILE LANGUAGE plpgsql AS
        'BEGIN RAISE NOTICE ''about to write''; RETURN unseen.writes(); END';
    CREATE FUNCTION unseen.late(int) RETURNS int VOLATILE LANGUAGE plpgsql AS
        'BEGIN RETURN CASE WHEN $1 = 250 THEN unseen.writes() END; END';
    CREATE VIEW late AS SELECT repeat('x', 1000), unseen.late(g) FROM generate_series(1, 300) g;
    CREATE VIEW notices AS SELECT unseen.notices() AS id;
    CREATE FUNCTION slow() RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN RAISE NOTICE ''begun''; PERFORM pg_sleep(2); RETURN 1; END'";

fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    READY.get_or_init(|| {
        cluster.sql(0, SCHEMA).unwrap();
        cluster.wait_caught_up().unwrap();
    });
    cluster
}

fn start() -> Result<Weir> {
    WeirSetup::in_front_of(cluster(), 0..3).at_any_age().start(WEIR)
}

/// Where the client's last statement went, and why.
fn route(client: &mut Client) -> Result<String> {
    Ok(client.query("SHOW weir.route")?.value().to_owned())
}

fn is_pinned(weir: &Weir) -> Result<bool> {
    Ok(weir.metrics()?.sum("weir_pinned_sessions", &[]) > 0.0)
}

/// A query by the extended protocol, with a named statement.
fn prepared(client: &mut Client, sql: &str) -> Result<Vec<Message>> {
    client.ask(&[
        front::parse("p", sql, &[]),
        front::bind("", "p", &[]),
        front::execute("", 0),
        front::close_statement("p"),
        front::sync(),
    ])
}

fn rows(heard: &[Message]) -> usize {
    heard.iter().filter(|message| message.to_string().starts_with("DataRow")).count()
}

#[test]
fn grammar_that_is_seldom_written_is_read() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    for sql in [
        "SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3)) WITH ORDINALITY",
        "SELECT xmlelement(NAME foo, xmlattributes(1 AS bar), xmlforest(2 AS c))",
        "SELECT COLLATION FOR ('a')",
        "SELECT k.*::text, (k.*)::text FROM kept k LIMIT 1",
        "SELECT count(*) FROM kept*",
        "SELECT OPERATOR(pg_catalog.-) 1, 2 OPERATOR(pg_catalog.+) 3",
        "SELECT * FROM ONLY (kept) AS k (a, b) WHERE (now(), now()) OVERLAPS (now(), interval '1 h') OR a BETWEEN SYMMETRIC 2 AND 1",
        "SELECT id, count(*) FROM kept GROUP BY GROUPING SETS (ROLLUP (id), CUBE (id), ()) ORDER BY 1 FETCH FIRST 2 ROWS WITH TIES",
        "SELECT sum(id) OVER (ORDER BY id GROUPS 1 PRECEDING EXCLUDE TIES) FROM kept TABLESAMPLE system (10) REPEATABLE (1)",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p TABLE r",
        "SELECT U&'d!0061' UESCAPE '!' IS NORMALIZED, trim(BOTH 'x' FROM 'xax'), substring('abc' SIMILAR 'a#\"b#\"c' ESCAPE '#')",
        "TABLE kept ORDER BY id USING > LIMIT 1",
    ] {
        client.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let route = route(&mut client)?;
        assert!(route.starts_with("replica"), "{sql}: {route}");
    }
    assert!(!is_pinned(&weir)?);
    Ok(())
}

#[test]
fn a_long_list_of_keys_is_a_read() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    let sql = |keys: usize| {
        let keys: Vec<_> = (1..=keys).map(|key| format!("'note {key} {:40}'", "")).collect();
        format!("SELECT * FROM kept WHERE trim(note) IN ('note 7', {})", keys.join(","))
    };
    for keys in [100, 3_000, 10_000, 18_000] {
        let sql = sql(keys);
        assert_eq!(client.query(&sql)?.rows.len(), 1);
        assert!(
            route(&mut client)?.starts_with("replica"),
            "{keys} keys, {} bytes: {}",
            sql.len(),
            route(&mut client)?
        );
        let heard = prepared(&mut client, &sql)?;
        assert_eq!(rows(&heard), 1, "{heard:?}");
        assert!(route(&mut client)?.starts_with("replica"), "{keys} keys, prepared: {}", route(&mut client)?);
    }
    // A bound list, which is one long message.
    let list = format!("{{7,{}}}", vec!["100000"; 30_000].join(","));
    let heard = client.ask(&[
        front::parse("", "SELECT * FROM kept WHERE id = ANY ($1)", &[]),
        front::bind("", "", &[Some(list.as_bytes())]),
        front::execute("", 0),
        front::sync(),
    ])?;
    assert_eq!(rows(&heard), 1);
    assert!(route(&mut client)?.starts_with("replica"), "bound: {}", route(&mut client)?);
    // What is longer still goes to the primary unread, and nothing stays of it.
    let sql = sql(25_000);
    assert!(sql.len() > 1 << 20);
    assert_eq!(client.query(&sql)?.rows.len(), 1);
    assert!(route(&mut client)?.starts_with("primary"));
    assert!(!is_pinned(&weir)?);
    client.query("SELECT 1")?;
    assert!(route(&mut client)?.starts_with("replica"));
    Ok(())
}

#[test]
fn what_is_refused_late_is_learned_all_the_same() -> Result<()> {
    let weir = start()?;
    let mut errors = Vec::new();
    for _ in 0..3 {
        let mut client = weir.connect()?;
        match client.query("SELECT * FROM late") {
            Ok(answer) => assert_eq!(answer.rows.len(), 300),
            Err(error) => errors.push(error.sqlstate().map(str::to_owned)),
        }
    }
    assert!(errors.len() < 2, "{errors:?}");
    Ok(())
}

#[test]
fn what_is_refused_behind_a_notice_runs_again() -> Result<()> {
    let weir = start()?;
    for round in 0..2 {
        let mut client = weir.connect()?;
        let heard: Vec<_> =
            client.ask(&[front::query("SELECT * FROM notices")])?.iter().map(ToString::to_string).collect();
        let notices = heard.iter().filter(|message| message.starts_with("NoticeResponse")).count();
        assert_eq!(notices, 1, "round {round}: {heard:?}");
        assert!(heard.contains(&"DataRow 1".to_owned()), "round {round}: {heard:?}");
    }
    Ok(())
}

#[test]
fn a_notice_is_seen_while_its_statement_runs() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    wait_for("the catalog", PATIENCE, || {
        client.query("SELECT slow() WHERE false")?;
        Ok(route(&mut client)?.starts_with("replica").then_some(()))
    })?;
    let began = Instant::now();
    client.send(&[front::query("SELECT slow()")])?;
    let first = client.read()?.to_string();
    let second = if first.starts_with("NoticeResponse") { first } else { client.read()?.to_string() };
    assert!(second.starts_with("NoticeResponse"), "{second}");
    assert!(began.elapsed() < Duration::from_millis(1500), "after {:?}", began.elapsed());
    client.until_ready()?;
    Ok(())
}

/// `pool_pre_ping` and its kind: whether a connection lives is asked in many words, by some within a transaction of their
/// own. None of them costs the primary anything.
#[test]
fn who_asks_whether_a_connection_lives_does_not_ask_the_primary() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    let primary =
        || weir.metrics().map(|metrics| metrics.sum("weir_requests_total", &[("route", "primary")]));
    client.query("SELECT 1")?;
    let before = primary()?;
    let simple = |sql: &str| vec![vec![front::query(sql)]];
    let at_once = |sql: &str| {
        vec![vec![
            front::parse("", sql, &[]),
            front::bind("", "", &[]),
            front::describe_portal(""),
            front::execute("", 1),
            front::sync(),
        ]]
    };
    let asyncpg = |sql: &str| {
        vec![
            vec![front::parse("__ping__", sql, &[]), front::describe_statement("__ping__"), front::flush()],
            vec![front::bind("", "__ping__", &[]), front::execute("", 1), front::sync()],
            vec![front::close_statement("__ping__"), front::sync()],
        ]
    };
    let pings = [
        "",
        ";",
        " ; -- ping",
        "SELECT 1",
        "select 1;",
        "/* ping */ SELECT 1",
        "SELECT",
        "VALUES (1)",
        "SELECT version()",
    ];
    for sql in pings {
        for ping in [simple(sql), at_once(sql), asyncpg(sql)] {
            for (begin, end) in [
                ("", ""),
                ("BEGIN", "ROLLBACK"),
                ("BEGIN;", "COMMIT;"),
                ("BEGIN ISOLATION LEVEL READ COMMITTED", "ROLLBACK;"),
            ] {
                if !begin.is_empty() {
                    client.query(begin)?;
                }
                for frames in &ping {
                    client.send(frames)?;
                    if frames.last() == Some(&front::flush()) {
                        // ParseComplete, ParameterDescription, and a RowDescription or NoData.
                        for _ in 0..3 {
                            assert!(client.read()?.error().is_none());
                        }
                    } else {
                        assert!(
                            client.until_ready()?.iter().all(|message| message.error().is_none()),
                            "{sql}"
                        );
                    }
                }
                if !end.is_empty() {
                    client.query(end)?;
                }
                assert_eq!(primary()?, before, "{begin} {sql:?} {end}: {}", route(&mut client)?);
            }
        }
    }
    // What is asked within a transaction neither begins it anywhere nor fixes where it runs.
    client.query("BEGIN")?;
    client.query(";")?;
    client.query("INSERT INTO written VALUES (2)")?;
    client.query("ROLLBACK")?;
    Ok(())
}
