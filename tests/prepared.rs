//! What a client was told of a prepared statement stays true on whichever connection it runs next: its columns, its
//! parameters, and what its constants mean. Definitions are changed straight on the primary, past weir.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::front::{
    bind, bind_formats, close_statement, describe_portal, describe_statement, execute, flush, parse, query,
    sync,
};
use harness::client::{Client, Message};
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A table whose columns can change places.
const BEFORE: &str =
    "DROP TABLE IF EXISTS NAME; CREATE TABLE NAME (a text, b text); INSERT INTO NAME VALUES ('a', 'b')";
const AFTER: &str = "DROP TABLE NAME; CREATE TABLE NAME (b text, a text); INSERT INTO NAME VALUES ('b', 'a')";

/// A primary and nothing else, with connections to spare.
fn primary() -> Result<Weir> {
    WeirSetup::in_front_of(Cluster::shared(), [0]).set("pool", "size", "5").start(WEIR)
}

/// Changes definitions past weir, as the user of the conversations.
fn migrate(table: &str, sql: &str) -> Result<()> {
    Cluster::shared().sql(0, &format!("SET ROLE app; {}", sql.replace("NAME", table))).map(drop)
}

/// Keeps the connection that is used next, so that others get another one.
struct Occupied(Client);

impl Occupied {
    fn of(weir: &Weir) -> Result<Self> {
        let mut client = weir.connect()?;
        client.query("BEGIN")?;
        client.query("SELECT pg_current_xact_id()")?;
        Ok(Self(client))
    }

    fn give_back(mut self) -> Result<()> {
        self.0.query("ROLLBACK").map(drop)
    }
}

/// Types, texts of rows, SQLSTATEs and statuses: what matters of an answer.
fn gist(heard: &[Message]) -> Vec<String> {
    let gist = |message: &Message| match message.tag {
        b'D' => format!("D {:?}", message.text_row().into_iter().flatten().collect::<Vec<_>>()),
        b'E' => {
            let error = message.error().unwrap();
            format!("E {} {}", error.sqlstate(), error.message())
        }
        b'Z' => format!("Z {}", message.status().unwrap()),
        b'C' => format!("C {}", message.text()),
        b'T' => format!("T {:?}", message.columns()),
        tag => char::from(tag).to_string(),
    };
    heard.iter().map(gist).collect()
}

/// A statement is executed without a question for its columns.
fn run(name: &str, values: &[Option<&[u8]>]) -> Vec<Vec<u8>> {
    vec![bind("", name, values), execute("", 0), sync()]
}

const REFUSED: &str = "E 0A000 cached plan must not change result type";

/// The ways in which clients are told what a statement returns.
fn told(way: usize, name: &str, sql: &str) -> Vec<Vec<u8>> {
    match way {
        0 => vec![parse(name, sql, &[]), describe_statement(name), sync()],
        1 => vec![parse(name, sql, &[]), describe_statement(name), flush(), sync()],
        _ => vec![parse(name, sql, &[]), bind("", name, &[]), describe_portal(""), execute("", 0), sync()],
    }
}

#[test]
fn rows_of_another_shape_never_reach_a_client() -> Result<()> {
    for setup in ["\"lazy\"", "\"primary\""] {
        let weir = WeirSetup::in_front_of(Cluster::shared(), [0])
            .set("pool", "size", "5")
            .set("routing", "transactions", setup)
            .start(WEIR)?;
        for (way, name) in [(0, "s"), (1, "s"), (2, "s"), (0, "")] {
            let what = format!("{setup} {way} {name:?}");
            migrate("swapped", BEFORE)?;
            let mut client = weir.connect()?;
            client.ask(&told(way, name, "SELECT * FROM swapped"))?;
            let occupied = Occupied::of(&weir)?;
            assert_eq!(
                gist(&client.ask(&run(name, &[]))?),
                ["2", "D [\"a\", \"b\"]", "C SELECT 1", "Z I"],
                "{what}"
            );
            let another = Occupied::of(&weir)?;
            migrate("swapped", AFTER)?;
            assert_eq!(gist(&client.ask(&run(name, &[]))?), [REFUSED, "Z I"], "{what}");
            if !name.is_empty() {
                // The simple protocol's query would take the unnamed one with it.
                client.query("BEGIN")?;
                assert_eq!(gist(&client.ask(&run(name, &[]))?), [REFUSED, "Z E"], "{what}");
                client.query("ROLLBACK")?;
            }
            // What drivers do then.
            let again = [vec![close_statement(name)], told(0, name, "SELECT * FROM swapped")].concat();
            let heard = gist(&client.ask(&again)?);
            assert_eq!(heard, ["3", "1", "t", "T [\"b\", \"a\"]", "Z I"], "{what}");
            assert_eq!(
                gist(&client.ask(&run(name, &[]))?),
                ["2", "D [\"b\", \"a\"]", "C SELECT 1", "Z I"],
                "{what}"
            );
            occupied.give_back()?;
            another.give_back()?;
            assert_eq!(
                gist(&client.ask(&run(name, &[]))?),
                ["2", "D [\"b\", \"a\"]", "C SELECT 1", "Z I"],
                "{what}"
            );
        }
    }
    Ok(())
}

#[test]
fn what_would_write_rows_of_another_shape_writes_nothing() -> Result<()> {
    let weir = primary()?;
    migrate("written", BEFORE)?;
    let mut client = weir.connect()?;
    client.ask(&told(0, "i", "INSERT INTO written VALUES ('x', 'y') RETURNING *"))?;
    let _occupied = Occupied::of(&weir)?;
    let returned = ["2", "D [\"x\", \"y\"]", "C INSERT 0 1", "Z I"];
    assert_eq!(gist(&client.ask(&run("i", &[]))?), returned);
    let _another = Occupied::of(&weir)?;
    migrate("written", AFTER)?;
    assert_eq!(gist(&client.ask(&run("i", &[]))?), [REFUSED, "Z I"]);
    client.query("BEGIN")?;
    client.query("INSERT INTO written VALUES ('with', 'it')")?;
    assert_eq!(gist(&client.ask(&run("i", &[]))?), [REFUSED, "Z E"]);
    client.query("COMMIT")?;
    assert_eq!(client.query("/* weir: primary */ SELECT count(*) FROM written")?.value(), "1");
    // In one request with others, which are one transaction.
    let batch =
        [parse("", "INSERT INTO written VALUES ('with', 'it')", &[]), bind("", "", &[]), execute("", 0)];
    let heard = gist(&client.ask(&[&batch[..], &run("i", &[])].concat())?);
    assert_eq!(heard.last().unwrap(), "Z I");
    assert!(heard.contains(&REFUSED.to_owned()), "{heard:?}");
    assert_eq!(client.query("/* weir: primary */ SELECT count(*) FROM written")?.value(), "1");
    Ok(())
}

#[test]
fn two_clients_of_one_text_have_been_told_each_its_own() -> Result<()> {
    let weir = WeirSetup::in_front_of(Cluster::shared(), [0]).set("pool", "size", "1").start(WEIR)?;
    migrate("shared", BEFORE)?;
    let sql = "SELECT * FROM shared";
    let (mut before, mut after, mut mute) = (weir.connect()?, weir.connect()?, weir.connect()?);
    before.ask(&told(0, "s", sql))?;
    mute.ask(&[parse("s", sql, &[]), sync()])?;
    migrate("shared", AFTER)?;
    // A new connection, and the same epoch: nobody has seen the change.
    Cluster::shared().sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%FROM shared%' AND pid <> pg_backend_pid()")?;
    let rows = ["2", "D [\"b\", \"a\"]", "C SELECT 1", "Z I"];
    wait_for("the connection to be another one", Duration::from_secs(20), || {
        Ok((gist(&mute.ask(&run("s", &[]))?) == rows).then_some(()))
    })?;
    after.ask(&told(0, "s", sql))?;
    for _ in 0..2 {
        assert_eq!(gist(&after.ask(&run("s", &[]))?), rows);
        assert_eq!(gist(&before.ask(&run("s", &[]))?), [REFUSED, "Z I"]);
        assert_eq!(gist(&mute.ask(&run("s", &[]))?), rows);
    }
    let again = [vec![close_statement("s")], told(0, "s", sql)].concat();
    before.ask(&again)?;
    assert_eq!(gist(&before.ask(&run("s", &[]))?), rows);
    assert_eq!(gist(&after.ask(&run("s", &[]))?), rows);
    Ok(())
}

#[test]
fn parameters_have_the_types_of_which_the_client_was_told() -> Result<()> {
    let weir = primary()?;
    migrate("typed", "DROP TABLE IF EXISTS NAME; CREATE TABLE NAME (n int)")?;
    let mut client = weir.connect()?;
    let sql = "INSERT INTO typed VALUES ($1)";
    client.ask(&told(0, "i", sql))?;
    let mut occupied = vec![Occupied::of(&weir)?];
    migrate("typed", "ALTER TABLE NAME ALTER n TYPE float4")?;
    // Another client prepares it as it is now, on the connection that comes next.
    let mut other = weir.connect()?;
    other.ask(&told(0, "i", sql))?;
    let seven =
        || vec![bind_formats("", "i", &[1], &[Some(&7i32.to_be_bytes()[..])], &[]), execute("", 0), sync()];
    assert_eq!(gist(&client.ask(&seven())?), ["2", "C INSERT 0 1", "Z I"]);
    occupied.push(Occupied::of(&weir)?);
    assert_eq!(gist(&client.ask(&seven())?), ["2", "C INSERT 0 1", "Z I"]);
    assert_eq!(
        client.query("/* weir: primary */ SELECT string_agg(n::text, ' ') FROM typed")?.value(),
        "7 7"
    );
    let half =
        || vec![bind_formats("", "i", &[1], &[Some(&0.5f32.to_be_bytes()[..])], &[]), execute("", 0), sync()];
    assert_eq!(gist(&other.ask(&half())?), ["2", "C INSERT 0 1", "Z I"]);
    assert_eq!(client.query("/* weir: primary */ SELECT min(n) FROM typed")?.value(), "0.5");
    Ok(())
}

#[test]
fn a_statement_is_asked_about_once_on_each_connection() -> Result<()> {
    let weir = primary()?;
    migrate("counted", BEFORE)?;
    let mut client = weir.connect()?;
    client.ask(&told(0, "s", "SELECT * FROM counted WHERE a = $1"))?;
    let asked = || weir.metrics().map(|all| all.sum("weir_prepared_statements_described_total", &[]));
    let mut occupied = Vec::new();
    for connection in 0..4 {
        for _ in 0..5 {
            let heard = gist(&client.ask(&run("s", &[Some(b"a")]))?);
            assert_eq!(heard, ["2", "D [\"a\", \"b\"]", "C SELECT 1", "Z I"]);
            assert_eq!(asked()?, f64::from(connection), "the first connection has told the client itself");
        }
        occupied.push(Occupied::of(&weir)?);
    }
    // Who asks each time, and who never asks, is not asked for.
    let mut others = weir.connect()?;
    others.ask(&told(2, "s", "SELECT * FROM counted"))?;
    drop(occupied);
    let describes = [bind("", "s", &[]), describe_portal(""), execute("", 0), sync()];
    let before = asked()?;
    for _ in 0..4 {
        assert_eq!(gist(&others.ask(&describes)?).len(), 5);
    }
    assert_eq!(asked()?, before);
    Ok(())
}

#[test]
fn on_replicas_too() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..2).at_any_age().set("pool", "size", "5").start(WEIR)?;
    migrate("copied", BEFORE)?;
    cluster.wait_caught_up()?;
    let mut client = weir.connect()?;
    client.ask(&told(0, "s", "SELECT * FROM copied"))?;
    let mark = cluster.mark();
    assert_eq!(gist(&client.ask(&run("s", &[]))?), ["2", "D [\"a\", \"b\"]", "C SELECT 1", "Z I"]);
    assert_eq!(cluster.ran_on(&mark, "FROM copied"), [1]);
    migrate("copied", AFTER)?;
    cluster.wait_caught_up()?;
    let mut busy = Vec::new();
    for _ in 0..2 {
        // Another connection each time: of a transaction that reads by a cursor the replica is told.
        let mut other = weir.connect()?;
        other.query("BEGIN")?;
        other.query("DECLARE c CURSOR FOR SELECT 1")?;
        busy.push(other);
        assert_eq!(gist(&client.ask(&run("s", &[]))?), [REFUSED, "Z I"]);
    }
    Ok(())
}

#[test]
fn a_replica_that_is_behind_returns_what_the_client_was_told_or_the_primary_does() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().set("pool", "size", "5").start(WEIR)?;
    let sql = "SELECT * FROM behind";
    let migrate = |sql: &str| cluster.sql(0, &format!("SET ROLE app; {}", sql.replace("NAME", "behind")));
    migrate(BEFORE)?;
    cluster.wait_caught_up()?;
    let (mut before, mut after) = (weir.connect()?, weir.connect()?);
    before.ask(&told(0, "s", sql))?;
    cluster.pause_replay(1)?;
    migrate(AFTER)?;
    let on_primary = format!("/* weir: primary */ {sql}");
    let heard = gist(&after.ask(&told(0, "p", &on_primary))?);
    assert_eq!(heard, ["1", "t", "T [\"b\", \"a\"]", "Z I"]);
    // The same text, told by the primary and executed where a read goes.
    let told_by_primary = [vec![query("SET weir.target = primary")], told(0, "s", sql)].concat();
    after.send(&told_by_primary)?;
    after.until_ready()?;
    assert_eq!(gist(&after.until_ready()?), ["1", "t", "T [\"b\", \"a\"]", "Z I"]);
    after.query("SET weir.target = auto")?;
    assert_eq!(gist(&before.ask(&run("s", &[]))?), ["2", "D [\"a\", \"b\"]", "C SELECT 1", "Z I"]);
    assert_eq!(gist(&after.ask(&run("s", &[]))?), ["2", "D [\"b\", \"a\"]", "C SELECT 1", "Z I"]);
    assert_eq!(gist(&before.ask(&run("s", &[]))?), ["2", "D [\"a\", \"b\"]", "C SELECT 1", "Z I"]);
    cluster.resume_replay(1)
}

/// Constants of every kind that settings may give a meaning when they are read.
const MEANINGS: &str = "SELECT extract(epoch from '2020-01-01 00:00'::timestamptz)::text, \
    '01/02/2020'::date - '2020-01-01'::date, '-1 2:03:04'::interval = '-1 day -2:03:04'::interval, \
    '{NULL}'::text[] = array[null::text], null = null, length('a\\nb'), length(E'it\\'s'), '1.5'::float8::text, \
    '$1,000.5'::money::numeric::text, '\\x6162'::bytea = 'ab'::bytea, 'items'::regclass::oid = 0, \
    extract(epoch from '2020-01-01 00:00 EST'::timestamptz)::text, '{\"a\": 1}'::jsonb = '{\"a\":1}'::jsonb, \
    'A rat'::tsvector::text, '<a/><b/>'::xml IS DOCUMENT";

#[test]
fn no_setting_that_a_client_can_make_changes_what_it_has_prepared() -> Result<()> {
    let cluster = Cluster::shared();
    migrate("items", "CREATE TABLE IF NOT EXISTS NAME (id int)")?;
    let weir = WeirSetup::in_front_of(cluster, [0]).set("pool", "size", "4").start(WEIR)?;
    let (mut client, mut direct) = (weir.connect()?, cluster.connect(0)?);
    // All that there are, each with a value that it does not have.
    let all = direct.query(
        "SELECT name, CASE vartype WHEN 'bool' THEN CASE setting WHEN 'on' THEN 'off' ELSE 'on' END ELSE other END
         FROM pg_settings LEFT JOIN LATERAL unnest(enumvals) other ON vartype = 'enum' AND other <> setting
         WHERE context = 'user' AND vartype IN ('bool', 'enum') AND name NOT LIKE 'transaction%' AND name <> 'exit_on_error' ORDER BY name, other",
    )?;
    let of_words = [
        ("DateStyle", "SQL, DMY"),
        ("DateStyle", "ISO, YMD"),
        ("TimeZone", "Asia/Tokyo"),
        ("TimeZone", "-7"),
        ("timezone_abbreviations", "Australia"),
        ("search_path", "pg_catalog"),
        ("client_encoding", "LATIN1"),
        ("lc_monetary", "C"),
        ("lc_numeric", "C"),
        ("extra_float_digits", "-3"),
        ("default_text_search_config", "german"),
    ];
    let of_words = of_words.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let all = all.rows.iter().map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap())).chain(of_words);
    let (mut count, mut differ) = (0, Vec::new());
    for (name, value) in all {
        // Each a text of its own, that no connection holds.
        let text = format!("{MEANINGS} /* {name} {value} */");
        let prepare = [parse("m", &text, &[]), sync()];
        let set = format!("SET {name} = '{value}'");
        let mut rows = Vec::new();
        for (way, one) in [&mut direct, &mut client].into_iter().enumerate() {
            let prepared = one
                .ask(&prepare)
                .map_err(|failure| Failure::new(format!("{way} before {set}: {failure}")))?;
            assert_eq!(gist(&prepared), ["1", "Z I"], "{set}");
            one.query(&set).map_err(|failure| Failure::new(format!("{set}: {failure}")))?;
            let occupied = if way == 1 { Some(Occupied::of(&weir)?) } else { None };
            let heard =
                one.ask(&run("m", &[])).map_err(|failure| Failure::new(format!("{way} {set}: {failure}")))?;
            rows.push(gist(&heard));
            one.query(&format!("RESET {name}"))
                .map_err(|failure| Failure::new(format!("{way} after {set}: {failure}")))?;
            one.ask(&[close_statement("m"), sync()])?;
            occupied.map(Occupied::give_back).transpose()?;
        }
        count += 1;
        if rows[0] != rows[1] {
            differ.push(format!("{set}: {rows:?}"));
        }
    }
    assert!(count > 80, "{count}");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    Ok(())
}
