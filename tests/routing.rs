//! Where statements run, as the servers' own logs tell it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::OnceLock;
use std::time::Duration;

use harness::client::{Address, Client, Login, Message, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, free_port, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tables and functions that all tests here may use.
const SCHEMA: &str = "
    SET ROLE app;
    CREATE TABLE t (id int, note text);
    INSERT INTO t VALUES (1, 'one'), (2, 'two');
    CREATE TABLE log (id int);
    CREATE SEQUENCE s;
    CREATE UNLOGGED TABLE unlogged (id int);
    CREATE VIEW unlogged_view AS SELECT id FROM unlogged;
    CREATE SCHEMA hidden;
    CREATE FUNCTION hidden.writes() RETURNS int VOLATILE LANGUAGE sql AS
        'INSERT INTO public.log VALUES (1) RETURNING 1';
    CREATE TABLE viewed (id int);
    CREATE FUNCTION hidden.views() RETURNS int VOLATILE LANGUAGE sql AS
        'INSERT INTO public.viewed VALUES (1) RETURNING 1';
    CREATE FUNCTION lies() RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN RETURN hidden.writes(); END';
    CREATE FUNCTION honest(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT $1 + 1';
    CREATE VIEW harmless_view AS SELECT hidden.views() AS id;
    CREATE VIEW harmless_view_2 AS SELECT hidden.writes() AS id;";

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
    let weir = WeirSetup::in_front_of(cluster(), 0..3).at_any_age().start(WEIR)?;
    knows_functions(&weir)?;
    Ok(weir)
}

/// Waits until it is known what functions leave: until then who calls one stays on the primary.
fn knows_functions(weir: &Weir) -> Result<()> {
    weir.connect()?.query("SELECT honest(0)")?;
    wait_for("the catalog", PATIENCE, || {
        let mut client = weir.connect()?;
        client.query("SELECT honest(0)")?;
        let known = weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0;
        Ok(known.then_some(()))
    })
}

/// Where something ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    Primary,
    Replica,
}

use Ran::{Primary, Replica};

/// Sends messages, fails on an error, and says where what contains `text` ran. The servers are shared: no other test
/// may send the same text.
fn ran(client: &mut Client, frames: &[Vec<u8>], text: &str) -> Result<Vec<Ran>> {
    let mark = cluster().mark();
    let heard = client.ask(frames)?;
    if let Some(error) = heard.iter().find_map(Message::error) {
        return Err(error.into());
    }
    let servers = cluster().ran_on(&mark, text);
    Ok(servers.into_iter().map(|server| if server == 0 { Primary } else { Replica }).collect())
}

/// The same for a simple query.
fn query(client: &mut Client, sql: &str) -> Result<Vec<Ran>> {
    ran(client, &[front::query(sql)], sql)
}

/// The same for an unnamed statement of the extended protocol.
fn extended(client: &mut Client, sql: &str) -> Result<Vec<Ran>> {
    let batch = [
        front::parse("", sql, &[]),
        front::describe_statement(""),
        front::bind("", "", &[]),
        front::execute("", 0),
        front::sync(),
    ];
    ran(client, &batch, sql)
}

#[test]
fn hidden_writes_run_on_the_primary() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    for sql in [
        "WITH d AS (DELETE FROM t WHERE id > 2 RETURNING *) SELECT * FROM d",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE",
        "SELECT * FROM t FOR SHARE",
        "SELECT * FROM t FOR KEY SHARE",
        "SELECT nextval('s') + 1",
        "SELECT hidden.writes()",
        "EXPLAIN ANALYZE UPDATE t SET id = id",
        "SELECT * FROM (SELECT hidden.writes()) AS inner_one",
        "SELECT last_value FROM s",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_is_in_recovery()",
    ] {
        assert_eq!(query(&mut client, sql)?, [Primary], "{sql}");
        assert_eq!(extended(&mut client, sql)?, [Primary], "{sql}");
    }
    assert_eq!(query(&mut client, "SELECT * INTO n FROM t")?, [Primary]);
    assert_eq!(query(&mut client, "DROP TABLE n")?, [Primary]);
    assert_eq!(query(&mut client, "COPY (INSERT INTO t VALUES (3) RETURNING id) TO STDOUT")?, [Primary]);
    assert_eq!(query(&mut client, "DELETE FROM t WHERE id = 3")?, [Primary]);
    for sql in [
        "VALUES (1), (2)",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT random(), clock_timestamp()",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "COPY (SELECT * FROM t) TO STDOUT",
        "WITH d AS (SELECT * FROM t) SELECT * FROM d",
    ] {
        assert_eq!(query(&mut client, sql)?, [Replica], "{sql}");
        if !sql.starts_with("COPY") {
            assert_eq!(extended(&mut client, sql)?, [Replica], "{sql}");
        }
    }
    // None of them was learned the hard way.
    let metrics = weir.metrics()?;
    assert_eq!(metrics.sum("weir_reruns_total", &[]), 0.0);
    assert_eq!(metrics.sum("weir_requests_total", &[("reason", "row_lock")]), 8.0);
    Ok(())
}

/// Runs the statements of a transaction one after the other, and says on which servers each of them ran, in the client's
/// own words.
fn transaction(client: &mut Client, statements: &[&str]) -> Result<Vec<Vec<usize>>> {
    let mark = cluster().mark();
    let tag = |n: usize| format!("/* {n} of {statements:?} */");
    for (n, sql) in statements.iter().enumerate() {
        let heard = client.ask(&[front::query(format!("{sql} {}", tag(n)))])?;
        assert!(heard.iter().all(|m| m.error().is_none()), "{sql}: {heard:?}");
        let last = n + 1 == statements.len();
        assert_eq!(heard.last().unwrap().status(), Some(if last { 'I' } else { 'T' }), "{sql}");
    }
    Ok((0..statements.len()).map(|n| cluster().ran_on(&mark, &tag(n))).collect())
}

#[test]
fn several_statements_are_one_request() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    let tags = |heard: &[Message]| {
        heard
            .iter()
            .filter(|m| "CIZE".contains(char::from(m.tag)))
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    for (sql, expected, place) in [
        (
            "SELECT 1; INSERT INTO log VALUES (2); SELECT 2",
            vec![
                "CommandComplete SELECT 1",
                "CommandComplete INSERT 0 1",
                "CommandComplete SELECT 1",
                "ReadyForQuery I",
            ],
            Some(Primary),
        ),
        (
            "INSERT INTO log VALUES (3); SELECT 1/0; SELECT 2",
            vec![
                "CommandComplete INSERT 0 1",
                "ErrorResponse ERROR 22012 division by zero",
                "ReadyForQuery I",
            ],
            Some(Primary),
        ),
        (
            "SELECT 1; SELECT 2",
            vec!["CommandComplete SELECT 1", "CommandComplete SELECT 1", "ReadyForQuery I"],
            Some(Replica),
        ),
        ("SELECT 'a;b'", vec!["CommandComplete SELECT 1", "ReadyForQuery I"], Some(Replica)),
        ("SELECT $$;$$", vec!["CommandComplete SELECT 1", "ReadyForQuery I"], Some(Replica)),
        (
            "SELECT 5 /* ; DELETE FROM log */",
            vec!["CommandComplete SELECT 1", "ReadyForQuery I"],
            Some(Replica),
        ),
        (";", vec!["EmptyQueryResponse", "ReadyForQuery I"], None),
        ("", vec!["EmptyQueryResponse", "ReadyForQuery I"], None),
        ("-- nothing", vec!["EmptyQueryResponse", "ReadyForQuery I"], None),
    ] {
        let mark = cluster().mark();
        let heard = client.ask(&[front::query(sql)])?;
        assert_eq!(tags(&heard), expected, "{sql}");
        if let Some(place) = place {
            let servers = cluster().ran_on(&mark, sql);
            assert_eq!(servers.len(), 1, "{sql}: {servers:?}");
            assert_eq!(servers[0] == 0, place == Primary, "{sql}");
        }
    }
    // The failed one was one transaction: nothing of it stayed.
    assert_eq!(client.query("/* weir: primary */ SELECT count(*) FROM log WHERE id = 3")?.value(), "0");
    Ok(())
}

/// A transaction that has only read is bound to nothing: only its reads run anywhere, on replicas. Any other is where it
/// was begun, to its end.
#[test]
fn transactions_stay_where_they_began_unless_they_only_read() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    for statements in [
        vec!["BEGIN", "SELECT 'in begin'", "COMMIT"],
        vec!["BEGIN", "SET TRANSACTION READ ONLY", "SELECT 'in set'", "COMMIT"],
        vec!["BEGIN READ ONLY", "SELECT 'in ro'", "COMMIT"],
        vec!["BEGIN READ ONLY", "SAVEPOINT a", "SELECT 'with savepoint'", "ROLLBACK TO a", "COMMIT"],
    ] {
        let servers = transaction(&mut client, &statements)?;
        for (sql, servers) in statements.iter().zip(&servers) {
            match sql.starts_with("SELECT") {
                true => assert!(matches!(servers[..], [1 | 2]), "{statements:?}: {servers:?}"),
                false => assert_eq!(servers, &[] as &[usize], "{statements:?}: {sql}"),
            }
        }
    }
    for (statements, place) in [
        (vec!["BEGIN; SELECT 'in a string'", "SELECT 'behind it'", "COMMIT"], Primary),
        (vec!["BEGIN", "SELECT 'a lock' FROM t FOR UPDATE", "SELECT 'behind a lock'", "COMMIT"], Primary),
        (vec!["START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 'in rr'", "COMMIT"], Primary),
        (vec!["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 'in serializable'", "COMMIT"], Primary),
        (
            vec!["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "SELECT 'in serializable ro'", "COMMIT"],
            Primary,
        ),
        (vec!["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT 'in rr ro'", "ROLLBACK"], Replica),
        (vec!["BEGIN READ ONLY", "SET LOCAL work_mem = '1MB'", "SELECT 'with a setting'", "COMMIT"], Replica),
    ] {
        // BEGIN may be told in weir's words.
        let servers = transaction(&mut client, &statements)?[1..].concat();
        assert!(servers.len() + 1 >= statements.len(), "{statements:?}: {servers:?}");
        assert!(servers.iter().all(|server| *server == servers[0]), "{statements:?}: {servers:?}");
        assert_eq!(servers[0] == 0, place == Primary, "{statements:?}: {servers:?}");
    }

    // A read sees the transaction's own write, and what fails fails as PostgreSQL says.
    client.query("BEGIN")?;
    client.query("INSERT INTO log VALUES (40)")?;
    assert_eq!(client.query("SELECT count(*) FROM log WHERE id = 40")?.value(), "1");
    client.query("ROLLBACK AND CHAIN")?;
    assert_eq!(query(&mut client, "SELECT 'chained'")?, [Primary]);
    client.query("COMMIT")?;
    assert_eq!(query(&mut client, "SELECT 'after the chain'")?, [Replica]);
    client.query("BEGIN")?;
    assert_eq!(client.query("bad").unwrap_err().sqlstate(), Some("42601"));
    let heard = client.ask(&[front::query("SELECT 1")])?;
    assert_eq!(heard[0].error().unwrap().sqlstate(), "25P02");
    assert_eq!(heard[1].status(), Some('E'));
    assert_eq!(client.query("COMMIT")?.tag, "ROLLBACK");

    // A write in a READ ONLY transaction is the client's own mistake: never run again elsewhere.
    client.query("BEGIN READ ONLY")?;
    let mark = cluster().mark();
    assert_eq!(client.query("INSERT INTO log VALUES (41)").unwrap_err().sqlstate(), Some("25006"));
    assert_eq!(cluster().ran_on(&mark, "VALUES (41)").len(), 1);
    client.query("ROLLBACK")?;
    assert_eq!(weir.metrics()?.sum("weir_reruns_total", &[]), 0.0);
    Ok(())
}

/// Who says where holds in a lazy transaction as well, from the request on that it concerns.
#[test]
fn clients_may_say_where_lazy_transactions_run() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .set("routing", "transactions", "\"lazy\"")
        .start(WEIR)?;
    knows_functions(&weir)?;
    let volatile = "SELECT 2 + hidden.writes() WHERE false";
    for (set, read, doubtful) in
        [("auto", Replica, Primary), ("primary", Primary, Primary), ("replica", Replica, Replica)]
    {
        let mut client = weir.connect()?;
        client.query(&format!("SET weir.target = '{set}'"))?;
        for place in [read, read] {
            client.query("BEGIN")?;
            assert_eq!(query(&mut client, &format!("SELECT 'lazy {set}'"))?, [place], "{set}");
            assert_eq!(query(&mut client, volatile)?, [doubtful], "{set}");
            assert_eq!(
                query(&mut client, &format!("INSERT INTO log SELECT 50 WHERE '{set}' = ''"))?,
                [Primary]
            );
            assert_eq!(query(&mut client, &format!("SELECT 'lazy {set}, after'"))?, [Primary], "{set}");
            assert_eq!(client.query("COMMIT")?.tag, "COMMIT");
        }
    }
    let mut client = weir.connect()?;
    client.query("BEGIN")?;
    assert_eq!(query(&mut client, "SELECT 'before the hint'")?, [Replica]);
    assert_eq!(query(&mut client, "/* weir: primary */ SELECT 'lazy hint'")?, [Primary]);
    assert_eq!(query(&mut client, "/* weir: replica */ SELECT 'lazy hint, too late'")?, [Primary]);
    client.query("COMMIT")?;
    for end in ["COMMIT", "ROLLBACK"] {
        client.query("BEGIN")?;
        assert_eq!(query(&mut client, "SELECT 'before SET LOCAL'")?, [Replica]);
        client.query("SET LOCAL weir.target = 'primary'")?;
        assert_eq!(query(&mut client, "SELECT 'behind SET LOCAL'")?, [Primary]);
        client.query(end)?;
        assert_eq!(query(&mut client, "SELECT 'behind its end'")?, [Replica]);
        // A word that PostgreSQL would not take is told again in one that it does.
        client.query("BEGIN")?;
        client.query("SET LOCAL weir.target = primary")?;
        client.query(end)?;
        client.query("BEGIN")?;
        assert!(extended(&mut client, "SET LOCAL weir.target = primary")?.is_empty());
        assert_eq!(query(&mut client, "SELECT 'behind a word'")?, [Primary]);
        client.query(end)?;
    }
    Ok(())
}

/// A verdict can be wrong. The client gets the right answer all the same, and weir is wrong only once.
#[test]
fn what_a_replica_refuses_runs_again_on_the_primary() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    let count = |name: &str, labels: &[(&str, &str)]| weir.metrics().map(|metrics| metrics.sum(name, labels));
    let written = || cluster().sql(0, "SELECT count(*) FROM viewed").map(|answer| answer.value().to_owned());

    // A view that writes.
    let sql = "SELECT id FROM harmless_view";
    let mut ran = query(&mut client, sql)?;
    ran.sort_by_key(|place| *place == Replica);
    assert_eq!(ran, [Primary, Replica]);
    assert_eq!(written()?, "1");
    assert_eq!(count("weir_reruns_total", &[("cause", "25006")])?, 1.0);
    assert_eq!(count("weir_learned_total", &[])?, 1.0);
    assert_eq!(query(&mut client, sql)?, [Primary]);
    assert_eq!(query(&mut weir.connect()?, sql)?, [Primary], "what one learned, all know");
    assert_eq!(count("weir_requests_total", &[("reason", "learned")])?, 2.0);

    // By the extended protocol, with Describe: the whole answer is that of one server.
    let sql = "SELECT id FROM harmless_view_2";
    let frames = [
        front::parse("v", sql, &[]),
        front::describe_statement("v"),
        front::bind("", "v", &[]),
        front::execute("", 0),
        front::sync(),
    ];
    let heard: Vec<String> = client.ask(&frames)?.iter().map(ToString::to_string).collect();
    assert_eq!(
        heard,
        [
            "ParseComplete",
            "ParameterDescription []",
            "RowDescription id",
            "BindComplete",
            "DataRow 1",
            "CommandComplete SELECT 1",
            "ReadyForQuery I"
        ]
    );
    let again = [front::bind("", "v", &[]), front::execute("", 0), front::sync()];
    assert_eq!(self::ran(&mut client, &again, sql)?, [Primary]);

    // An unlogged table is not there on a replica, and a view does not show it.
    let mut ran = query(&mut client, "SELECT count(*) FROM unlogged_view")?;
    ran.sort_by_key(|place| *place == Replica);
    assert_eq!(ran, [Primary, Replica]);
    assert_eq!(query(&mut client, "SELECT count(*) FROM unlogged_view")?, [Primary]);
    assert_eq!(count("weir_reruns_total", &[("cause", "0A000")])?, 1.0);
    assert_eq!(count("weir_learned_total", &[])?, 3.0);
    Ok(())
}

#[test]
fn functions_go_where_their_volatility_says() -> Result<()> {
    let weir = start()?;
    let mut client = weir.connect()?;
    // Until the catalog is there, a function may be anything.
    wait_for("the catalog", PATIENCE, || {
        Ok((query(&mut client, "SELECT honest(1)")? == [Replica]).then_some(()))
    })?;
    // The catalog tells of unlogged tables as well: none is tried on a replica.
    assert_eq!(query(&mut client, "SELECT max(id) FROM unlogged")?, [Primary]);
    assert_eq!(weir.metrics()?.sum("weir_requests_total", &[("reason", "unlogged")]), 1.0);
    // One that lies about itself is found out by the replica.
    let before = weir.metrics()?.sum("weir_learned_total", &[]);
    assert_eq!(client.query("SELECT lies()")?.value(), "1");
    assert_eq!(weir.metrics()?.sum("weir_learned_total", &[]), before + 1.0);
    assert_eq!(query(&mut client, "SELECT lies()")?, [Primary]);
    // A new one is known soon, and a changed one as well.
    client.query("CREATE FUNCTION fresh() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'")?;
    cluster().wait_caught_up()?;
    wait_for("the new function", PATIENCE, || {
        Ok((query(&mut client, "SELECT fresh()")? == [Replica]).then_some(()))
    })?;
    client.query("ALTER FUNCTION fresh() VOLATILE")?;
    assert_eq!(query(&mut client, "SELECT fresh()")?, [Primary]);
    client.query("DROP FUNCTION fresh()")?;
    Ok(())
}

/// They are read once for all databases, unless one has others.
#[test]
fn each_database_has_its_own_of_postgresqls_functions() -> Result<()> {
    let weir = start()?;
    cluster().sql(0, "CREATE DATABASE altered OWNER app")?;
    cluster().wait_caught_up()?;
    let mut here = weir.connect()?;
    let mut there = Client::connect(&weir.address(), &Login::new("app", "app").database("altered"))?;
    let own = "SELECT information_schema._pg_char_max_length(1043, 9)";
    for client in [&mut here, &mut there] {
        wait_for("the catalog", PATIENCE, || Ok((query(client, own)? == [Replica]).then_some(())))?;
    }
    let socket = cluster().directory().join(format!(".s.PGSQL.{}", cluster().port(0)));
    let mut admin = Client::connect(&Address::Unix(socket), &Login::new("postgres", "").database("altered"))?;
    admin.query("ALTER FUNCTION information_schema._pg_char_max_length VOLATILE")?;
    // What was made past weir is read behind what is made through it.
    for client in [&mut there, &mut here] {
        client.query("CREATE FUNCTION behind() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'")?;
        cluster().wait_caught_up()?;
        wait_for("the new function", PATIENCE, || {
            Ok((query(client, "SELECT behind()")? == [Replica]).then_some(()))
        })?;
    }
    assert_eq!(query(&mut there, own)?, [Primary]);
    assert_eq!(query(&mut here, own)?, [Replica]);
    here.query("DROP FUNCTION behind()")?;
    Ok(())
}

#[test]
fn clients_may_say_where() -> Result<()> {
    let other = free_port()?;
    let weir = WeirSetup::in_front_of(cluster(), 0..3).at_any_age()
        .append(&format!("[[listeners]]\naddress = \"127.0.0.1:{other}\"\ntarget = \"primary\""))
        .append("[[databases]]\nname = \"app_primary\"\nserver_database = \"app\"\ntarget = \"primary\"")
        .append("[[databases]]\nname = \"app_replica\"\nserver_database = \"app\"\ntarget = \"replica\"")
        .append("[[users]]\nname = \"reader\"\npassword = \"reader\"\nserver_user = \"app\"\nserver_password = \"app\"\ntarget = \"replica\"")
        .start(WEIR)?;
    knows_functions(&weir)?;
    let connect = |login: Login| Client::connect(&weir.address(), &login);
    let app = || Login::new("app", "app");
    let volatile = "SELECT 1 + hidden.writes() WHERE false";

    // A comment in front, for one statement.
    let mut client = connect(app())?;
    client.query("SELECT set_config('work_mem', '3MB', false)")?;
    assert_eq!(client.query("SELECT current_setting('work_mem')")?.value(), "3MB");
    assert_eq!(client.query("/* weir: primary */ SELECT current_setting('work_mem')")?.value(), "3MB");
    assert_eq!(query(&mut client, "/* weir: primary */ SELECT 'hinted'")?, [Primary]);
    assert_eq!(extended(&mut client, "/* weir: primary */ SELECT 'hinted'")?, [Primary]);
    assert_eq!(query(&mut client, &format!("/* weir: replica */ {volatile}"))?, [Replica]);
    assert_eq!(query(&mut client, "SELECT 'not hinted'")?, [Replica]);

    // SET, until it is taken back, also by a rollback.
    client.query("SET weir.target = 'primary'")?;
    assert_eq!(client.query("SHOW weir.target")?.value(), "primary");
    assert_eq!(query(&mut client, "SELECT 'set'")?, [Primary]);
    client.query("SET weir.target = replica")?;
    assert_eq!(query(&mut client, volatile)?, [Replica]);
    assert_eq!(
        query(&mut client, "INSERT INTO log VALUES (50)")?,
        [Primary],
        "what cannot run there does not go there"
    );
    client.query("SET weir.target = auto")?;
    assert_eq!(query(&mut client, volatile)?, [Primary]);
    type Way = fn(&mut Client, &str) -> Result<Vec<Ran>>;
    for says in [query as Way, extended as Way] {
        client.query("BEGIN")?;
        says(&mut client, "SET weir.target = primary")?;
        assert_eq!(says(&mut client, "SELECT 'set in a transaction'")?, [Primary]);
        client.query("ROLLBACK")?;
        assert_eq!(says(&mut client, "SELECT 'rolled back'")?, [Replica]);
        // What ends a transaction that has only read needs no primary.
        client.query("BEGIN")?;
        says(&mut client, "SET LOCAL weir.target = primary")?;
        assert_eq!(says(&mut client, "COMMIT /* of a wish */")?, [Replica]);
    }

    // In the startup packet, and what RESET goes back to.
    let mut client = connect(app().parameter("options", "-c weir.target=primary"))?;
    assert_eq!(query(&mut client, "SELECT 'startup'")?, [Primary]);
    client.query("SET weir.target = auto")?;
    assert_eq!(query(&mut client, "SELECT 'overruled'")?, [Replica]);
    client.query("RESET weir.target")?;
    assert_eq!(query(&mut client, "SELECT 'reset'")?, [Primary]);

    // By address, by database, by user.
    let mut client = Client::connect(&Address::local(other), &app())?;
    assert_eq!(query(&mut client, "SELECT 'other port'")?, [Primary]);
    let mut client = connect(app().database("app_primary"))?;
    assert_eq!(query(&mut client, "SELECT 'alias'")?, [Primary]);
    assert_eq!(client.query("SELECT current_database()")?.value(), "app");
    let mut client = connect(app().database("app_replica"))?;
    assert_eq!(query(&mut client, volatile)?, [Replica]);
    let mut client = connect(Login::new("reader", "reader").database("app"))?;
    assert_eq!(query(&mut client, volatile)?, [Replica]);
    let metrics = weir.metrics()?;
    for reason in
        ["hint_primary", "hint_replica", "set_target", "listener_target", "database_target", "user_target"]
    {
        assert!(metrics.sum("weir_requests_total", &[("reason", reason)]) > 0.0, "{reason}");
    }
    Ok(())
}

/// However a transaction begins, and whoever asks for replicas: what reads in it is read there, what writes is written on the
/// primary.
#[test]
fn a_target_of_replica_breaks_no_write() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3).at_any_age()
        .append("[[users]]\nname = \"reader\"\npassword = \"reader\"\nserver_user = \"app\"\nserver_password = \"app\"\ntarget = \"replica\"")
        .append("[[routing.rules]]\napplication_name = \"nightly\"\ntarget = \"replica\"")
        .start(WEIR)?;
    knows_functions(&weir)?;
    let reader = || Login::new("reader", "reader").database("app");
    let begins: [(&str, Login, Vec<Vec<u8>>); 5] = [
        ("user", reader(), vec![front::query("BEGIN")]),
        ("portal", reader(), named_portal("BEGIN")),
        ("rule", Login::new("app", "app").parameter("application_name", "nightly"), named_portal("BEGIN")),
        ("hint", Login::new("app", "app"), named_portal("/* weir: replica */ BEGIN")),
        ("modes", reader(), named_portal("BEGIN ISOLATION LEVEL READ COMMITTED")),
    ];
    for (number, (what, login, begin)) in (700..).zip(begins) {
        let mut client = Client::connect(&weir.address(), &login)?;
        client.ask(&begin)?;
        let insert = format!("INSERT INTO log VALUES ({number})");
        assert_eq!(query(&mut client, &insert)?, [Primary], "{what}");
        client.query("COMMIT")?;
        assert_eq!(
            client
                .query(&format!("/* weir: primary */ SELECT count(*) FROM log WHERE id = {number}"))?
                .value(),
            "1"
        );
    }
    // A read by such a session, alone and in a transaction.
    let mut client = Client::connect(&weir.address(), &reader())?;
    assert_eq!(query(&mut client, "SELECT 'a reader, alone'")?, [Replica]);
    client.query("BEGIN")?;
    assert_eq!(query(&mut client, "SELECT 'a reader, in a transaction'")?, [Replica]);
    assert_eq!(query(&mut client, "INSERT INTO log VALUES (710)")?, [Primary]);
    client.query("ROLLBACK")?;
    // Behind a write that is still under way.
    let insert = "INSERT INTO log VALUES (711)";
    client.send(&[
        front::query(insert),
        front::query("BEGIN"),
        front::query(insert),
        front::query("COMMIT"),
    ])?;
    for _ in 0..4 {
        let answers = client.until_ready()?;
        assert!(answers.iter().all(|one| one.error().is_none()), "{answers:?}");
    }
    Ok(())
}

/// A running weir knows the catalog, its servers and what replicas refused: what it says of a statement is what it does with it.
#[test]
fn a_running_weir_explains_what_it_does() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .append("[[databases]]\nname = \"reports\"\nserver_database = \"app\"\ntarget = \"replica\"")
        .append("[[routing.rules]]\nstatement = 'explained urgently'\ntarget = \"primary\"")
        .start(WEIR)?;
    knows_functions(&weir)?;
    let mut client = weir.connect()?;
    client.query("SELECT lies(), 'explained'")?;
    let explained = |sql: &str, database: &str| -> Result<String> {
        let on = format!("http://127.0.0.1:{}", weir.metrics_port());
        let arguments = ["explain", "--on", &on, "--user", "app", "--database", database, sql];
        let output = std::process::Command::new(WEIR).args(arguments).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (sql, goes, reason) in [
        ("SELECT honest(801)", Replica, "read"),
        ("SELECT hidden.writes() + 801", Primary, "volatile_function"),
        ("SELECT lies(), 'explained'", Primary, "learned"),
        ("SELECT count(*) + 801 FROM unlogged", Primary, "unlogged"),
        ("SELECT 801 /* explained urgently */", Primary, "rule"),
        ("INSERT INTO log VALUES (801)", Primary, "write"),
        ("SELECT 801", Replica, "read"),
    ] {
        let text = explained(sql, "app")?;
        let route = if goes == Primary { "primary" } else { "replica" };
        assert!(
            text.starts_with(&format!("route         {route}\nreason        {reason}\n")),
            "{sql}: {text}"
        );
        assert!(text.contains("2 replicas are up now; the catalog of database \"app\" is known."), "{text}");
        assert_eq!(query(&mut client, sql)?, [goes], "{sql}");
    }
    assert!(explained("SELECT hidden.writes()", "reports")?.contains("reason        database_target\n"));
    let text = explained("BEGIN; SELECT count(*) FROM t; SELECT hidden.writes(); COMMIT", "app")?;
    client.query("BEGIN")?;
    for (row, sql) in
        [("2  replica, ", "SELECT count(*) FROM t"), ("3  primary, upgrade ", "SELECT hidden.writes()")]
    {
        client.query(sql)?;
        // Such as "replica1 (replica, lazy_read)".
        let route = client.query("SHOW weir.route")?.value().to_owned();
        let reason = route.rsplit(' ').next().unwrap().trim_end_matches(')');
        let told = text.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}: {text}"));
        assert!(told.contains(&format!(" {reason} ")), "{route}: {told}");
    }
    client.query("ROLLBACK")?;
    // Of a database where nobody works nothing is known, and nothing is asked on behalf of whoever asks here.
    let text = explained("SELECT honest(1)", "nowhere")?;
    assert!(text.contains("no catalog of a database \"nowhere\" is known"), "{text}");
    let nobody = std::process::Command::new(WEIR)
        .args(["explain", "--on", &format!("http://127.0.0.1:{}", free_port()?), "SELECT 1"])
        .output()?;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("cannot be reached"));
    Ok(())
}

/// One statement, by a portal with a name.
fn named_portal(sql: &str) -> Vec<Vec<u8>> {
    vec![front::parse("b", sql, &[]), front::bind("p", "b", &[]), front::execute("p", 0), front::sync()]
}

#[test]
fn rules_decide() -> Result<()> {
    let rule =
        |condition: &str, target: &str| format!("[[routing.rules]]\n{condition}\ntarget = \"{target}\"");
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .append(&rule("application_name = \"Nightly\"", "replica"))
        .append(&rule("user = \"postgres\"", "primary"))
        .append(&rule("table = \"public.log\"", "primary"))
        .append(&rule("statement = '(?i)urgent\\s+read'", "primary"))
        .start(WEIR)?;
    knows_functions(&weir)?;
    let mut client = weir.connect()?;
    assert_eq!(query(&mut client, "SELECT max(id) FROM t")?, [Replica]);
    assert_eq!(query(&mut client, "SELECT max(id) FROM log")?, [Primary]);
    assert_eq!(extended(&mut client, "SELECT max(id) FROM public.log AS l")?, [Primary]);
    assert_eq!(query(&mut client, "SELECT 1 /* Urgent  read */")?, [Primary]);
    // Of a prepared statement too, though its text is not there when it is executed.
    for name in ["named", ""] {
        let sql = "SELECT 'prepared' /* urgent read */";
        client.ask(&[front::parse(name, sql, &[]), front::sync()])?;
        let execution = [front::bind("", name, &[]), front::execute("", 0), front::sync()];
        assert_eq!(ran(&mut client, &execution, sql)?, [Primary], "{name:?}");
    }
    let mut admin = Client::connect(&weir.address(), &Login::new("postgres", "postgres").database("app"))?;
    assert_eq!(query(&mut admin, "SELECT 'by user'")?, [Primary]);
    let volatile = "SELECT 2 + hidden.writes() WHERE false";
    assert_eq!(query(&mut client, volatile)?, [Primary]);
    client.query("SET application_name = 'nightly'")?;
    assert_eq!(query(&mut client, volatile)?, [Primary], "capitals count");
    client.query("SET application_name = 'Nightly'")?;
    assert_eq!(query(&mut client, volatile)?, [Replica]);
    assert!(weir.metrics()?.sum("weir_requests_total", &[("reason", "rule")]) >= 5.0);
    Ok(())
}

/// Pins, sequences and temporary tables: state that lives on one connection is found there again.
#[test]
fn state_keeps_a_session_on_its_connection() -> Result<()> {
    let weir = start()?;
    let mut others: Vec<Client> = (0..3).map(|_| weir.connect()).collect::<Result<_>>()?;
    for (make, read, value, undo) in [
        ("CREATE TEMP TABLE mine AS SELECT 7 AS id", "SELECT id FROM mine", "7", "DISCARD ALL"),
        ("SELECT setval('s', 77), currval('s')", "SELECT currval('s')", "77", "DISCARD ALL"),
        ("PREPARE p AS SELECT 8", "EXECUTE p", "8", "DEALLOCATE p"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 9", "FETCH c", "9", "CLOSE c"),
        (
            "SELECT pg_advisory_lock(99)",
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 99 AND pid = pg_backend_pid()",
            "1",
            "SELECT pg_advisory_unlock(99)",
        ),
    ] {
        let mut client = weir.connect()?;
        client.query(make)?;
        for other in &mut others {
            other.query("INSERT INTO log VALUES (60)")?;
        }
        assert_eq!(client.query(read)?.value(), value, "{make}");
        client.query(undo)?;
    }
    Ok(())
}

/// The slow-query line tells of the statement, and of nothing that was in it or bound to it.
#[test]
fn slow_queries_are_logged_without_their_values() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), 0..3)
        .at_any_age()
        .set("log", "slow_query", "\"100ms\"")
        .start(WEIR)?;
    let mut client = weir.connect()?;
    client.query("SELECT 'quick secret'")?;
    client.query("SELECT pg_sleep(0.2), 'secret one' /* secret comment */ FROM t WHERE id <> 73001")?;
    client.ask(&[front::parse("s", "SELECT pg_sleep(0.2), $1::text, 73002", &[]), front::sync()])?;
    client.ask(&[front::bind("", "s", &[Some(b"secret two")]), front::execute("", 0), front::sync()])?;
    // The machine may be slow as well: there may be other lines.
    let last = "SELECT pg_sleep(?), $1::text, ?";
    let there = wait_for("the lines", PATIENCE, || Ok(weir.log().contains(last).then_some(())));
    let log = weir.log();
    assert!(there.is_ok(), "{log}");
    assert!(log.contains("SELECT pg_sleep(?), ? FROM t WHERE id <> ?"), "{log}");
    assert!(log.contains("server=\"replica") || log.contains("server=replica"), "{log}");
    assert!(log.contains("reason=\"read\"") || log.contains("reason=read"), "{log}");
    for value in ["secret", "7300"] {
        assert!(!log.contains(value), "{log}");
    }
    Ok(())
}

#[test]
fn bytes_and_prepared_statements_are_counted() -> Result<()> {
    let weir = WeirSetup::in_front_of(cluster(), [0]).start(WEIR)?;
    let mut client = weir.connect()?;
    let count = |name: &str, labels: &[(&str, &str)]| weir.metrics().map(|metrics| metrics.sum(name, labels));
    let bytes = |direction| count("weir_bytes_total", &[("direction", direction)]);
    let before = [bytes("from_client")?, bytes("to_server")?, bytes("from_server")?, bytes("to_client")?];
    client.query(&format!("SELECT repeat('x', 100000) /* {} */", "y".repeat(10_000)))?;
    let after = [bytes("from_client")?, bytes("to_server")?, bytes("from_server")?, bytes("to_client")?];
    for (at, least) in [10_000.0, 10_000.0, 100_000.0, 100_000.0].into_iter().enumerate() {
        let grown = after[at] - before[at];
        assert!((least..least + 1000.0).contains(&grown), "{before:?} {after:?}");
    }

    let prepared = || -> Result<[f64; 2]> {
        Ok([
            count("weir_prepared_statements_parsed_total", &[])?,
            count("weir_prepared_statements_reused_total", &[])?,
        ])
    };
    let execute = [front::bind("", "s", &[]), front::execute("", 0), front::sync()];
    client.ask(&[front::parse("s", "SELECT 74001", &[]), front::sync()])?;
    assert_eq!(prepared()?, [1.0, 0.0]);
    client.ask(&execute)?;
    assert_eq!(prepared()?, [1.0, 1.0]);
    // The connection holds the statement, whoever comes next.
    let mut other = weir.connect()?;
    other.ask(&[front::parse("s", "SELECT 74001", &[]), front::sync()])?;
    assert_eq!(prepared()?, [1.0, 2.0]);
    Ok(())
}

/// SET ROLE goes with the session that said it, to whichever connection, and to nobody else; where it is refused, the
/// statement behind it does not run with other rights.
#[test]
fn rights_follow_the_session_or_nothing_runs() -> Result<()> {
    let cluster = cluster();
    cluster.sql(0, "CREATE ROLE humble; GRANT humble TO app; GRANT SELECT, INSERT ON log TO humble")?;
    let weir = WeirSetup::in_front_of(cluster, [0]).set("pool", "size", "2").start(WEIR)?;
    let (mut humble, mut one, mut other) = (weir.connect()?, weir.connect()?, weir.connect()?);
    let whoami = "SELECT current_user";

    humble.query("SET ROLE humble")?;
    for _ in 0..3 {
        // Takes the connection that was humble, and another one is.
        one.query("BEGIN; SELECT 1")?;
        assert_eq!(one.query(whoami)?.value(), "app");
        assert_eq!(humble.query(whoami)?.value(), "humble");
        one.query("COMMIT")?;
        assert_eq!(humble.query(whoami)?.value(), "humble");
    }

    one.query("BEGIN; SELECT 1")?;
    other.query("BEGIN; SELECT 1")?;
    cluster.sql(0, "REVOKE SELECT, INSERT ON log FROM humble; DROP ROLE humble")?;
    humble.send(&[front::query("INSERT INTO log VALUES (4711)")])?;
    one.query("COMMIT")?;
    let refused =
        humble.until_ready()?.iter().find_map(Message::error).map(|error| error.sqlstate().to_owned());
    assert_eq!(refused.as_deref(), Some("22023"));
    assert_eq!(one.query("SELECT count(*) FROM log WHERE id = 4711")?.value(), "0");
    Ok(())
}

/// What a backslash hides is known by what the server says at login, whoever has set it there.
#[test]
fn strings_are_read_by_the_rule_of_the_login() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(0, "CREATE TABLE hidden (id int); GRANT ALL ON hidden TO app")?;
    cluster.sql(0, "ALTER ROLE app SET standard_conforming_strings = off")?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).at_any_age().start(WEIR)?;
    let mut client = weir.connect()?;
    let heard = client.ask(&[front::query("SELECT 'a\\' , '; INSERT INTO hidden VALUES (1); --'")])?;
    assert!(heard.iter().all(|message| message.error().is_none()), "{heard:?}");
    assert_eq!(weir.metrics()?.sum("weir_reruns_total", &[]), 0.0, "it was taken for a read");
    assert_eq!(cluster.sql(0, "SELECT count(*) FROM hidden")?.value(), "1");
    Ok(())
}
