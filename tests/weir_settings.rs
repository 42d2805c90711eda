//! weir's own settings, as a client sets and shows them: they behave as settings of PostgreSQL do, in both protocols,
//! in and out of transactions, and what they promise is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Address, Answer, Client, Login, Message, ServerError, front};
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup, free_port, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways to run a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// A simple query.
    Simple,
    /// The extended protocol, with all of it in one batch.
    Extended,
    /// The same, parsed and described in a batch of its own, as drivers that cache statements do.
    Prepared,
    /// The same, with a Flush behind the Parse: the batch is open when the statement is bound.
    Flushed,
}

const ALL: [How; 4] = [How::Simple, How::Extended, How::Prepared, How::Flushed];

use How::{Extended, Flushed, Prepared, Simple};

/// Runs a statement and returns what came of it, up to ReadyForQuery.
fn heard(client: &mut Client, how: How, sql: &str) -> Result<Vec<Message>> {
    let parse = [front::parse("", sql, &[]), front::describe_statement("")];
    let run = [front::bind("", "", &[]), front::execute("", 0), front::sync()];
    match how {
        Simple => client.ask(&[front::query(sql)]),
        Extended => client.ask(&[&parse[..], &run].concat()),
        Prepared => {
            let mut heard = client.ask(&[&parse[..], &[front::sync()]].concat())?;
            heard.retain(|message| message.tag != b'Z');
            if heard.iter().any(|message| message.tag == b'E') {
                return Ok(heard);
            }
            heard.extend(client.ask(&run)?);
            Ok(heard)
        }
        Flushed => {
            client.send(&[&parse[..], &[front::flush()]].concat())?;
            let mut heard = Vec::new();
            while !matches!(heard.last().map(|message: &Message| message.tag), Some(b'T' | b'n' | b'E')) {
                heard.push(client.read()?);
            }
            heard.extend(client.ask(&run)?);
            Ok(heard)
        }
    }
}

fn run(client: &mut Client, how: How, sql: &str) -> Result<Answer> {
    let heard = heard(client, how, sql)?;
    if let Some(error) = heard.iter().find_map(Message::error) {
        return Err(error.into());
    }
    let columns = heard.iter().find(|message| message.tag == b'T').map(Message::columns);
    let rows = heard.iter().filter(|message| message.tag == b'D').map(Message::text_row);
    Ok(Answer { columns: columns.unwrap_or_default(), rows: rows.collect(), tag: String::new() })
}

/// The error that a statement fails with.
fn error(client: &mut Client, how: How, sql: &str) -> Result<ServerError> {
    match run(client, how, sql) {
        Err(Failure::Server(error)) => Ok(*error),
        Err(other) => Err(other),
        Ok(answer) => panic!("{sql} ({how:?}) gave {answer:?}"),
    }
}

fn show(client: &mut Client, how: How, name: &str) -> Result<String> {
    let answer = run(client, how, &format!("SHOW weir.{name}"))?;
    assert_eq!(answer.columns, [format!("weir.{name}")], "{how:?}");
    assert_eq!(answer.rows.len(), 1, "{how:?}");
    Ok(answer.value().to_owned())
}

fn connect(weir: &Weir, login: &Login) -> Result<Client> {
    Client::connect(&weir.address(), login)
}

fn app() -> Login {
    Login::new("app", "app").database("app")
}

/// With time for a replica to be found fresh on a machine that is busy.
fn setup(cluster: &Cluster) -> WeirSetup {
    WeirSetup::in_front_of(cluster, 0..cluster.size()).set("routing", "freshness_wait", "\"500ms\"")
}

fn start() -> Result<Weir> {
    setup(Cluster::shared()).start(WEIR)
}

#[test]
fn the_first_that_says_something_counts() -> Result<()> {
    let weir = setup(Cluster::shared())
        .set("routing", "consistency", "\"session\"")
        .set("routing", "max_staleness", "\"off\"")
        .append("[[users]]\nname = \"u\"\nserver_user = \"app\"\npassword = \"u\"\nserver_password = \"app\"")
        .append("consistency = \"eventual\"\nmax_staleness = \"90s\"\ntarget = \"primary\"")
        .append("[[databases]]\nname = \"strict\"\nserver_database = \"app\"\nconsistency = \"strong\"")
        .start(WEIR)?;
    let all = |client: &mut Client, how| -> Result<[String; 4]> {
        let [a, b, c, d] = ["consistency", "max_staleness", "target", "min_lsn"];
        Ok([show(client, how, a)?, show(client, how, b)?, show(client, how, c)?, show(client, how, d)?])
    };
    for how in ALL {
        let mut client = connect(&weir, &app())?;
        assert_eq!(all(&mut client, how)?, ["session", "off", "auto", "0/0"], "{how:?}");
        let u = Login::new("u", "u");
        let mut client = connect(&weir, &u.clone().database("app"))?;
        assert_eq!(all(&mut client, how)?, ["eventual", "90s", "primary", "0/0"], "{how:?}");
        let mut client = connect(&weir, &u.clone().database("strict"))?;
        assert_eq!(all(&mut client, how)?, ["strong", "90s", "primary", "0/0"], "{how:?}");
        let options =
            "-c weir.consistency=Session -c weir.max_staleness=1500 -c weir.min_lsn=0/10 -c weir.target=auto";
        let mut client = connect(&weir, &u.database("strict").parameter("options", options))?;
        assert_eq!(all(&mut client, how)?, ["session", "1500ms", "auto", "0/10"], "{how:?}");
        run(&mut client, how, "SET weir.consistency TO Eventual")?;
        run(&mut client, how, "SET weir.max_staleness = '1 min'")?;
        run(&mut client, how, "SET weir.min_lsn = '1/a'")?;
        run(&mut client, how, "SET weir.target = replica")?;
        assert_eq!(all(&mut client, how)?, ["eventual", "1min", "replica", "1/A"], "{how:?}");
        let hinted = run(&mut client, how, "/* weir: consistency=global */ SHOW weir.consistency")?;
        assert_eq!(hinted.value(), "global", "{how:?}");
        run(&mut client, how, "SET weir.max_staleness = -1")?;
        assert_eq!(show(&mut client, how, "max_staleness")?, "off", "{how:?}");
        run(&mut client, how, "RESET weir.consistency")?;
        run(&mut client, how, "SET weir.max_staleness TO DEFAULT")?;
        assert_eq!(all(&mut client, how)?, ["session", "1500ms", "replica", "1/A"], "{how:?}");
        run(&mut client, how, "DISCARD ALL")?;
        assert_eq!(all(&mut client, how)?, ["session", "1500ms", "auto", "0/10"], "{how:?}");
        run(&mut client, how, "SELECT set_config('weir.consistency', 'global', false)")?;
        assert_eq!(show(&mut client, how, "consistency")?, "global", "{how:?}");
        run(&mut client, how, "RESET ALL")?;
        assert_eq!(show(&mut client, how, "consistency")?, "session", "{how:?}");
    }
    Ok(())
}

#[test]
fn where_transactions_run_is_said_by_the_first_that_says_anything() -> Result<()> {
    let port = free_port()?;
    let weir = setup(Cluster::shared())
        .set("routing", "transactions", "\"primary\"")
        .append("[[users]]\nname = \"u\"\nserver_user = \"app\"\npassword = \"u\"\nserver_password = \"app\"")
        .append("transactions = \"lazy\"")
        .append("[[databases]]\nname = \"strict\"\nserver_database = \"app\"\ntransactions = \"primary\"")
        .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{port}\"\ntransactions = \"lazy\""))
        .append("[[routing.rules]]\nuser = \"app\"\ntransactions = \"lazy\"")
        .start(WEIR)?;
    let (u, strict) = (Login::new("u", "u"), Login::new("u", "u").database("strict"));
    for how in ALL {
        let shown = |client: &mut Client| show(client, how, "transactions");
        let mut client = connect(&weir, &app())?;
        assert_eq!(shown(&mut client)?, "primary", "{how:?}: a rule is for the statement that begins one");
        assert_eq!(show(&mut client, how, "target")?, "auto", "{how:?}: nor does the rule fix a target");
        assert_eq!(shown(&mut connect(&weir, &u.clone().database("app"))?)?, "lazy", "{how:?}");
        assert_eq!(shown(&mut connect(&weir, &strict)?)?, "primary", "{how:?}");
        let mut client = Client::connect(&Address::local(port), &strict)?;
        assert_eq!(shown(&mut client)?, "lazy", "{how:?}");
        let options = strict.clone().parameter("options", "-c weir.transactions=Primary");
        let mut client = Client::connect(&Address::local(port), &options)?;
        for (sql, transactions) in [
            ("SELECT 1", "primary"),
            ("SET weir.transactions = lazy", "lazy"),
            ("BEGIN", "lazy"),
            ("SET LOCAL weir.transactions TO 'PRIMARY'", "primary"),
            ("COMMIT", "lazy"),
            ("RESET weir.transactions", "primary"),
            ("SELECT set_config('weir.transactions', 'lazy', false)", "lazy"),
            ("DISCARD ALL", "primary"),
        ] {
            run(&mut client, how, sql)?;
            assert_eq!(shown(&mut client)?, transactions, "{sql} ({how:?})");
        }
        let hinted = run(&mut client, how, "/* weir: transactions=lazy */ SHOW weir.transactions")?;
        assert_eq!(hinted.value(), "lazy", "{how:?}");
    }
    let mut client = connect(&weir, &app())?;
    assert_eq!(client.query("SET weir.transactions = lazy; SHOW weir.transactions")?.value(), "lazy");
    Ok(())
}

#[test]
fn settings_follow_their_transaction() -> Result<()> {
    let weir = start()?;
    for how in ALL {
        let mut client = connect(&weir, &app())?;
        for (sql, level) in [
            ("BEGIN", "global"),
            ("SET weir.consistency = 'session'", "session"),
            ("SAVEPOINT a", "session"),
            ("SET LOCAL weir.consistency = strong", "strong"),
            ("ROLLBACK TO a", "session"),
            ("SET LOCAL weir.consistency = 'eventual'", "eventual"),
            ("COMMIT", "session"),
            ("BEGIN READ ONLY", "session"),
            ("SELECT set_config('weir.consistency', 'strong', true)", "strong"),
            ("SET LOCAL weir.consistency TO DEFAULT", "global"),
            ("ROLLBACK", "session"),
            ("BEGIN", "session"),
            ("SET weir.consistency = 'eventual'", "eventual"),
            ("ROLLBACK", "session"),
            ("SET LOCAL weir.consistency = strong", "session"),
        ] {
            run(&mut client, how, sql)?;
            assert_eq!(show(&mut client, how, "consistency")?, level, "{sql} ({how:?})");
        }
    }
    Ok(())
}

/// Statements that must fail, with SQLSTATE and message.
const REFUSED: [(&str, &str, &str); 16] = [
    ("SET weir.consistency = 'bogus'", "22023", r#"invalid value for parameter "weir.consistency": "bogus""#),
    ("SET weir.consistency TO a, 'b'", "22023", r#"invalid value for parameter "weir.consistency": "a,b""#),
    ("SET LOCAL weir.target = 'x''y'", "22023", r#"invalid value for parameter "weir.target": "x'y""#),
    ("SET weir.target = 'default'", "22023", r#"invalid value for parameter "weir.target": "default""#),
    ("SET weir.target = E'\\\\'", "22023", r#"invalid value for parameter "weir.target": "\""#),
    (
        "SET weir.transactions = replica",
        "22023",
        r#"invalid value for parameter "weir.transactions": "replica""#,
    ),
    ("SET LOCAL weir.transactions = ''", "22023", r#"invalid value for parameter "weir.transactions": """#),
    ("SET weir.max_staleness = 'x'", "22023", r#"invalid value for parameter "weir.max_staleness": "x""#),
    ("SET weir.max_staleness = -2", "22023", r#"invalid value for parameter "weir.max_staleness": "-2""#),
    ("SET weir.min_lsn = 'x'", "22023", r#"invalid value for parameter "weir.min_lsn": "x""#),
    (
        "SELECT set_config('weir.min_lsn', '', false)",
        "22023",
        r#"invalid value for parameter "weir.min_lsn": """#,
    ),
    ("SET weir.foo = 1", "42704", r#"unrecognized configuration parameter "weir.foo""#),
    ("RESET weir.foo", "42704", r#"unrecognized configuration parameter "weir.foo""#),
    (
        "SELECT set_config('weir.a.b', 'x', true)",
        "42704",
        r#"unrecognized configuration parameter "weir.a.b""#,
    ),
    ("SET weir.lsn = '0/1'", "55P02", r#"parameter "weir.lsn" cannot be changed"#),
    ("RESET weir.route", "55P02", r#"parameter "weir.route" cannot be changed"#),
];

#[test]
fn what_makes_no_sense_is_refused_in_postgresqls_words() -> Result<()> {
    let weir = start()?;
    let mut client = connect(&weir, &app())?;
    for how in ALL {
        for (sql, sqlstate, message) in REFUSED {
            let refused = error(&mut client, how, sql)?;
            assert_eq!((refused.severity(), refused.sqlstate()), ("ERROR", sqlstate), "{sql} ({how:?})");
            assert_eq!(refused.message(), message, "{sql} ({how:?})");
            assert_eq!(refused.field('H').is_some(), sqlstate == "22023", "{sql} ({how:?})");

            // It ends a transaction as any error does.
            run(&mut client, how, "BEGIN")?;
            assert_eq!(error(&mut client, how, sql)?.message(), message, "{sql} ({how:?})");
            for sql in ["SELECT 1", "SET weir.consistency = 'bogus'", "SHOW weir.lsn", "SHOW weir.target"] {
                assert_eq!(error(&mut client, how, sql)?.sqlstate(), "25P02", "{sql} ({how:?})");
            }
            run(&mut client, how, "ROLLBACK")?;
        }
        let refused = error(&mut client, how, "SHOW weir.foo")?;
        assert_eq!(refused.sqlstate(), "42704");
        assert_eq!(refused.message(), r#"unrecognized configuration parameter "weir.foo""#);
        assert_eq!(show(&mut client, how, "consistency")?, "global", "nothing of it stays");
        assert_eq!(show(&mut client, how, "transactions")?, "lazy", "{how:?}");
        let lazy = error(&mut client, how, "SET weir.transactions = off")?;
        assert_eq!(lazy.field('H'), Some("Available values: lazy, primary."));
        let level = error(&mut client, how, "SET weir.consistency = ''")?;
        assert_eq!(level.field('H'), Some("Available values: eventual, session, global, strong."));
    }
    // One of several statements.
    let several = error(&mut client, Simple, "SELECT ';'; SET weir.consistency = 'bogus'; SELECT 1/0")?;
    assert_eq!(several.message(), r#"invalid value for parameter "weir.consistency": "bogus""#);
    let several = error(&mut client, Simple, "SET work_mem = '1 parsec'; SET weir.consistency = 'bogus'")?;
    assert_eq!(several.message(), r#"invalid value for parameter "work_mem": "1 parsec""#);
    let values = client.query("SET weir.target = primary; SELECT 1; SHOW weir.target")?;
    assert_eq!(
        (values.columns, values.rows),
        (vec!["weir.target".into()], vec![vec![Some("primary".into())]])
    );
    // So in one batch, and in two that are sent at once.
    for between in [&[][..], &[front::sync()]] {
        let statement =
            |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
        let set = statement("SET weir.target = replica");
        client.query("RESET weir.target")?;
        client.send(&[&set, between, &statement("SHOW weir.target"), &[front::sync()]].concat())?;
        let mut heard = client.until_ready()?;
        if !between.is_empty() {
            heard = client.until_ready()?;
        }
        let row = heard.iter().find(|message| message.tag == b'D').map(Message::text_row);
        assert_eq!(row, Some(vec![Some("replica".to_owned())]), "{heard:?}");
    }
    // A batch goes on behind its Sync, and not before.
    let heard = client.ask(&[
        front::parse("", "SET weir.target = 'x'", &[]),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::parse("", "SELECT 1", &[]),
        front::sync(),
    ])?;
    let tags: Vec<_> = heard.iter().map(|message| char::from(message.tag)).collect();
    assert_eq!(tags, ['1', '2', 'E', 'Z'], "{heard:?}");
    Ok(())
}

#[test]
fn a_client_cannot_come_with_what_makes_no_sense() -> Result<()> {
    let weir = start()?;
    for (options, sqlstate, message) in [
        ("-c weir.consistency=best", "22023", r#"invalid value for parameter "weir.consistency": "best""#),
        ("-c weir.transactions=auto", "22023", r#"invalid value for parameter "weir.transactions": "auto""#),
        ("-c weir.foo=1", "42704", r#"unrecognized configuration parameter "weir.foo""#),
        ("-c weir.lsn=0/1", "55P02", r#"parameter "weir.lsn" cannot be changed"#),
    ] {
        let mut client = Client::open(&weir.address())?;
        let heard = client.log_in(&app().parameter("options", options))?;
        let refused = heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("{options}: {heard:?}"));
        assert_eq!((refused.severity(), refused.sqlstate()), ("FATAL", sqlstate), "{options}");
        assert_eq!(refused.message(), message);
        assert!(client.is_closed_within(PATIENCE)?, "{options}");
    }
    let mut client = Client::open(&weir.address())?;
    let heard = client.log_in(&app().parameter("weir.max_staleness", "x"))?;
    assert_eq!(heard.iter().find_map(Message::error).unwrap().sqlstate(), "22023");
    Ok(())
}

/// A position as a number.
fn position(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("{text:?} is not an LSN"));
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}

/// Where the last commit of `write` ends, from the server itself.
fn write(client: &mut Client) -> Result<u64> {
    let heard = client.query("INSERT INTO lsns VALUES (1) RETURNING pg_current_wal_insert_lsn()")?;
    // The commit's own record lies behind that.
    Ok(position(heard.value()) + 1)
}

#[test]
fn a_token_covers_all_that_was_acknowledged_at_each_execution() -> Result<()> {
    let weir = start()?;
    let mut writer = connect(&weir, &app())?;
    writer.query("CREATE TABLE lsns (id int)")?;
    let mut reader = connect(&weir, &app())?;
    for how in ALL {
        let written = write(&mut writer)?;
        let token = position(&show(&mut reader, how, "lsn")?);
        assert!(token >= written, "{how:?}: {token:X} does not cover {written:X}");
        assert!(position(&show(&mut writer, how, "lsn")?) >= written, "{how:?}");
    }
    // A statement that was prepared before the write, in and out of transactions.
    for begin in ["", "BEGIN", "BEGIN READ ONLY"] {
        reader.query(begin)?;
        reader.ask(&[front::parse("s", "SHOW weir.lsn", &[]), front::sync()])?;
        for _ in 0..3 {
            let written = write(&mut writer)?;
            let heard = reader.ask(&[front::bind("", "s", &[]), front::execute("", 0), front::sync()])?;
            let row = heard.iter().find(|message| message.tag == b'D').map(Message::text_row);
            let token = row.and_then(|row| row[0].clone()).unwrap_or_else(|| panic!("{heard:?}"));
            assert!(position(&token) >= written, "{begin}: {token} does not cover {written:X}");
        }
        reader.query("ROLLBACK")?;
        reader.ask(&[front::close_statement("s"), front::sync()])?;
    }
    // Sent in one write, behind a write of its own.
    let insert = "INSERT INTO lsns VALUES (2) RETURNING pg_current_wal_insert_lsn()";
    writer.send(&[front::query(insert), front::query("SHOW weir.lsn")])?;
    let value = |heard: Vec<Message>| {
        let row = heard.iter().find(|message| message.tag == b'D').map(Message::text_row);
        position(row.unwrap_or_else(|| panic!("{heard:?}"))[0].as_deref().unwrap())
    };
    let written = value(writer.until_ready()?);
    assert!(value(writer.until_ready()?) > written);
    Ok(())
}

/// Runs statements as one query string, or as one batch.
fn together(client: &mut Client, how: How, statements: &[&str]) -> Result<Vec<Message>> {
    if how == Simple {
        return client.ask(&[front::query(statements.join("; "))]);
    }
    let run = |sql: &&str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)];
    let mut frames: Vec<_> = statements.iter().flat_map(run).collect();
    frames.push(front::sync());
    client.ask(&frames)
}

#[test]
fn a_token_covers_what_was_committed_further_in_front() -> Result<()> {
    let weir = start()?;
    let mut client = connect(&weir, &app())?;
    client.query("CREATE TABLE committed (id int)")?;
    let insert = "INSERT INTO committed VALUES (1)";
    let position_now = "SELECT pg_current_wal_insert_lsn()";
    for how in [Simple, Extended] {
        let heard = together(&mut client, how, &["BEGIN", insert, "COMMIT", position_now, "SHOW weir.lsn"])?;
        let rows: Vec<_> = heard.iter().filter(|m| m.tag == b'D').flat_map(Message::text_row).collect();
        let [Some(committed), Some(token)] = &rows[..] else { panic!("{how:?}: {heard:?}") };
        assert!(position(token) >= position(committed), "{how:?}: {token} does not cover {committed}");
    }
    Ok(())
}

/// A commit lies behind whatever can be told before it, so nothing is told that somebody might rely on.
#[test]
fn no_token_is_given_where_it_could_not_cover_the_transactions_own_writes() -> Result<()> {
    let weir = start()?;
    let mut client = connect(&weir, &app())?;
    client.query("CREATE TABLE uncommitted (id int)")?;
    let insert = "INSERT INTO uncommitted VALUES (1)";
    let refused = |heard: Vec<Message>, what: &str| {
        let error = heard.iter().find_map(Message::error).unwrap_or_else(|| panic!("{what}: {heard:?}"));
        assert_eq!(error.sqlstate(), "25001", "{what}: {error}");
        assert!(error.message().contains("weir.lsn"), "{what}: {error}");
    };
    for how in [Simple, Extended] {
        refused(together(&mut client, how, &[insert, "SHOW weir.lsn"])?, "in one go");
        refused(
            together(&mut client, how, &["BEGIN", insert, "SHOW weir.lsn", "COMMIT"])?,
            "before the commit",
        );
        client.query("ROLLBACK")?;
    }
    for how in ALL {
        client.query("BEGIN")?;
        position(&show(&mut client, how, "lsn")?);
        client.query(insert)?;
        refused(heard(&mut client, how, "SHOW weir.lsn")?, "in a transaction");
        client.query("ROLLBACK")?;
        position(&show(&mut client, how, "lsn")?);
    }
    assert_eq!(client.query("/* weir: primary */ SELECT count(*) FROM uncommitted")?.value(), "0");
    Ok(())
}

#[test]
fn the_last_route_is_told_with_its_reason() -> Result<()> {
    let weir = start()?;
    let (primary, replicas) = (Cluster::shared().name(0), [1, 2].map(|n| Cluster::shared().name(n)));
    let on_replica = |route: &str, reason: &str| {
        replicas.map(|name| format!("{name} (replica, {reason})")).contains(&route.to_owned())
    };
    for how in ALL {
        let mut client = connect(&weir, &app())?;
        assert_eq!(show(&mut client, how, "route")?, "", "{how:?}: there was no request yet");
        run(&mut client, how, "SET weir.consistency = eventual")?;
        for _ in 0..2 {
            assert_eq!(show(&mut client, how, "route")?, format!("{primary} (primary, setting)"), "{how:?}");
        }
        run(&mut client, how, "SELECT 1")?;
        let route = show(&mut client, how, "route")?;
        assert!(on_replica(&route, "read"), "{how:?}: {route}");
        show(&mut client, how, "consistency")?;
        assert_eq!(show(&mut client, how, "route")?, route, "{how:?}: what is asked of weir does not count");
        run(&mut client, how, "/* weir: primary */ SELECT 1")?;
        assert_eq!(show(&mut client, how, "route")?, format!("{primary} (primary, hint_primary)"), "{how:?}");
        run(&mut client, how, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        // In one request: whatever comes first takes the connection, be it only prepared.
        client.query("SELECT 1")?;
        let route = show(&mut client, how, "route")?;
        assert!(on_replica(&route, "begin_read_only"), "{how:?}: {route}");
        run(&mut client, how, "SELECT 1")?;
        let route = show(&mut client, how, "route")?;
        assert!(on_replica(&route, "in_transaction"), "{how:?}: {route}");
        run(&mut client, how, "COMMIT")?;
        // What weir answers itself goes nowhere.
        run(&mut client, how, "SELECT 1")?;
        let route = show(&mut client, how, "route")?;
        run(&mut client, how, "BEGIN READ ONLY")?;
        assert_eq!(show(&mut client, how, "route")?, route, "{how:?}");
        run(&mut client, how, "SELECT 1")?;
        let route = show(&mut client, how, "route")?;
        assert!(on_replica(&route, "lazy_read"), "{how:?}: {route}");
        run(&mut client, how, "COMMIT")?;
        assert_eq!(show(&mut client, how, "route")?, route, "{how:?}");
    }
    Ok(())
}

#[test]
fn the_freshness_of_all_servers_is_a_table() -> Result<()> {
    let weir = start()?;
    let mut client = connect(&weir, &app())?;
    for how in ALL {
        for begin in ["", "BEGIN"] {
            client.query(begin)?;
            let table = run(&mut client, how, "SHOW weir.freshness")?;
            let columns = ["server", "role", "state", "staleness_ms", "lag_bytes", "replayed"];
            assert_eq!(table.columns, columns, "{how:?}");
            let names: Vec<_> = table.rows.iter().map(|row| row[0].clone().unwrap()).collect();
            assert_eq!(names, [0, 1, 2].map(|n| Cluster::shared().name(n)), "{how:?}");
            for (n, row) in table.rows.iter().enumerate() {
                let text: Vec<_> = row.iter().map(|value| value.as_deref().unwrap_or("null")).collect();
                assert_eq!(
                    text[1..3],
                    [if n == 0 { "primary" } else { "replica" }, "up"],
                    "{how:?}: {text:?}"
                );
                assert!(text[3].parse::<u64>().is_ok_and(|ms| ms < 30_000), "{how:?}: {text:?}");
                assert!(text[4].parse::<u64>().is_ok(), "{how:?}: {text:?}");
                assert!(position(text[5]) > 0, "{how:?}: {text:?}");
            }
            client.query("ROLLBACK")?;
        }
    }
    Ok(())
}

#[test]
fn what_is_set_of_weirs_own_reaches_no_other_connection() -> Result<()> {
    let weir = start()?;
    let mut client = connect(&weir, &app().parameter("weir.consistency", "eventual"))?;
    client.query("SET weir.max_staleness = 'off'")?;
    client.query("SET weir.min_lsn = '0/1'")?;
    let mark = Cluster::shared().mark();
    client.query("SELECT 'its own connection'")?;
    let [replica] = Cluster::shared().ran_on(&mark, "its own connection")[..] else { panic!("not once") };
    assert_ne!(replica, 0);
    let told = Cluster::shared().statements(replica, &mark);
    assert!(!told.iter().any(|statement| statement.contains("max_staleness")), "{told:?}");
    Ok(())
}

/// Two weirs in front of a primary and a replica. Tables and settings are nobody else's.
struct Pair {
    cluster: Cluster,
    writes: Weir,
    reads: Weir,
}

impl Pair {
    fn start() -> Result<Self> {
        let cluster = Cluster::with(Options::new(1))?;
        cluster.sql(0, "CREATE TABLE c (id int); ALTER TABLE c OWNER TO app; INSERT INTO c VALUES (0)")?;
        cluster.wait_caught_up()?;
        let unlimited = || setup(&cluster).set("routing", "max_staleness", "\"off\"");
        let writes = unlimited().start(WEIR)?;
        let reads = unlimited().set("routing", "consistency", "\"eventual\"").start(WEIR)?;
        Ok(Self { cluster, writes, reads })
    }
}

#[test]
fn a_token_carries_causality_to_another_weir() -> Result<()> {
    let pair = Pair::start()?;
    let mut writer = connect(&pair.writes, &app())?;
    let mut reader = connect(&pair.reads, &app())?;
    let read = |reader: &mut Client, how| -> Result<(String, String)> {
        let value = run(reader, how, "SELECT max(id) FROM c")?.value().to_owned();
        let route = show(reader, how, "route")?;
        let (server, _) = route.split_once(' ').unwrap();
        Ok((value, server.to_owned()))
    };
    let (primary, replica) = (pair.cluster.name(0).to_owned(), pair.cluster.name(1).to_owned());
    for (n, how) in (1..).zip(ALL) {
        let number = n.to_string();
        pair.cluster.pause_replay(1)?;
        writer.query(&format!("INSERT INTO c VALUES ({n})"))?;
        let token = show(&mut writer, how, "lsn")?;
        let raw = pair.cluster.sql(0, "SELECT pg_current_wal_insert_lsn()")?.value().to_owned();
        assert_eq!(read(&mut reader, how)?.1, replica, "{how:?}: nobody demanded more");
        for token in [&token, &raw] {
            run(&mut reader, how, &format!("SET weir.min_lsn = '{token}'"))?;
            assert_eq!(read(&mut reader, how)?, (number.clone(), primary.clone()), "{how:?}");
        }
        run(&mut reader, how, &format!("SET weir.min_lsn = '{token}'"))?;
        pair.cluster.resume_replay(1)?;
        wait_for("the replica to serve again", PATIENCE, || {
            let (value, server) = read(&mut reader, how)?;
            assert_eq!(value, number, "{how:?}");
            Ok((server == replica).then_some(()))
        })?;
        run(&mut reader, how, "RESET weir.min_lsn")?;
    }
    // Levels that are set, not configured, decide as well.
    pair.cluster.pause_replay(1)?;
    writer.query("INSERT INTO c VALUES (100)")?;
    assert_eq!(read(&mut reader, Simple)?.1, replica);
    reader.query("SET weir.consistency = strong")?;
    assert_eq!(read(&mut reader, Extended)?, ("100".to_owned(), primary.clone()));
    reader.query("SET weir.consistency TO DEFAULT")?;
    assert_eq!(read(&mut reader, Simple)?.1, replica);
    reader.query("SET weir.max_staleness = 1")?;
    assert_eq!(read(&mut reader, Simple)?, ("100".to_owned(), primary.clone()));
    let hinted = run(&mut reader, Simple, "/* weir: max_staleness=off */ SELECT max(id) FROM c")?;
    assert_ne!(hinted.value(), "100", "the hint wins");
    // What is not known cannot be told, and that ends no session.
    pair.cluster.resume_replay(1)
}

#[test]
fn without_a_primary_there_is_no_token() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = setup(&cluster)
        .set("routing", "consistency", "\"eventual\"")
        .set("routing", "max_staleness", "\"off\"")
        .set("pool", "primary_wait", "\"0ms\"")
        .set("health", "interval", "\"200ms\"")
        .start(WEIR)?;
    let mut client = connect(&weir, &app())?;
    show(&mut client, Simple, "lsn")?;
    cluster.stop(0, harness::Stop::Immediate)?;
    for how in ALL {
        let refused = error(&mut client, how, "SHOW weir.lsn")?;
        assert_eq!(refused.sqlstate(), "57P03", "{how:?}: {refused}");
        client.query("BEGIN READ ONLY")?;
        assert_eq!(error(&mut client, how, "SHOW weir.lsn")?.sqlstate(), "57P03", "{how:?}");
        assert_eq!(error(&mut client, how, "SELECT 1")?.sqlstate(), "25P02", "{how:?}");
        client.query("ROLLBACK")?;
        assert_eq!(run(&mut client, how, "SELECT 1")?.value(), "1", "{how:?}: reads go on");
        assert_eq!(show(&mut client, how, "consistency")?, "eventual", "{how:?}");
    }
    Ok(())
}

/// It says so of the transaction as it is, in both protocols, and leaves it where it is.
#[test]
fn the_transaction_tells_where_it_runs() -> Result<()> {
    let cluster = Cluster::shared();
    cluster.sql(0, "CREATE TABLE told_where (i int); GRANT ALL ON told_where TO app")?;
    cluster.wait_caught_up()?;
    let weir = setup(cluster).at_any_age().set("routing", "transactions", "\"lazy\"").start(WEIR)?;
    for how in ALL {
        let mut client = connect(&weir, &app())?;
        let mut play = |steps: &[(&str, &str)]| -> Result<()> {
            for (sql, expected) in steps {
                client.query(sql)?;
                assert_eq!(show(&mut client, how, "transaction")?, *expected, "{how:?}: {sql} of {steps:?}");
            }
            Ok(())
        };
        let write = "INSERT INTO told_where VALUES (1)";
        play(&[("SELECT 1", "none"), ("BEGIN", "lazy"), ("SELECT 1", "lazy"), ("SAVEPOINT a", "lazy")])?;
        play(&[("SET LOCAL work_mem = '1MB'", "replica"), ("SELECT 2", "replica"), (write, "primary")])?;
        play(&[
            ("SELECT 3", "primary"),
            ("COMMIT", "none"),
            ("BEGIN READ ONLY", "lazy"),
            ("ROLLBACK", "none"),
        ])?;
        play(&[("BEGIN", "lazy"), ("COMMIT AND CHAIN", "lazy"), ("COMMIT", "none")])?;
        play(&[("BEGIN ISOLATION LEVEL SERIALIZABLE", "primary"), ("COMMIT", "none")])?;
        play(&[("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "replica"), ("COMMIT", "none")])?;
        play(&[
            ("/* weir: transactions=primary */ BEGIN", "primary"),
            (write, "primary"),
            ("ROLLBACK", "none"),
        ])?;
        // PostgreSQL answers no SHOW there.
        client.query("BEGIN")?;
        assert_eq!(error(&mut client, how, "SELECT 1/0")?.sqlstate(), "22012", "{how:?}");
        assert_eq!(error(&mut client, how, "SHOW weir.transaction")?.sqlstate(), "25P02", "{how:?}");
        assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK", "{how:?}");
        assert_eq!(error(&mut client, how, "SET weir.transaction = 'lazy'")?.sqlstate(), "55P02", "{how:?}");
    }
    // What begins in the same request counts.
    let mut client = connect(&weir, &app())?;
    assert_eq!(client.query("BEGIN; SHOW weir.transaction")?.value(), "primary");
    client.query("ROLLBACK")?;
    let run =
        |sql: &str| [front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)].concat();
    let heard = client.ask(&[run("BEGIN"), run("SHOW weir.transaction"), front::sync()])?;
    let row = heard.iter().find(|message| message.tag == b'D').map(Message::text_row);
    assert_eq!(row, Some(vec![Some("lazy".to_owned())]), "{heard:?}");
    client.query("ROLLBACK")?;
    Ok(())
}
