//! What shows the state of a server is read on the primary, whatever stands between it and the statement; and the lists of
//! what that is are complete, as a real server has it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use harness::client::Client;
use harness::{Cluster, Failure, Options, Result, Weir, WeirSetup, wait_for};
use weir::sql::{Beyond, Classifier, Kind, StandardConformingStrings};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const PATIENCE: Duration = Duration::from_secs(30);

const PRIMARY: usize = 0;
const REPLICA: usize = 1;

/// What superusers have made.
const BY_SUPERUSER: &str = "
    GRANT pg_read_all_settings, pg_monitor, pg_read_server_files TO app;
    CREATE EXTENSION file_fdw; CREATE EXTENSION postgres_fdw; CREATE EXTENSION pg_buffercache;
    CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'app');
    CREATE FOREIGN TABLE file (line text) SERVER files OPTIONS (filename 'postmaster.pid', format 'text');
    GRANT SELECT ON file TO app; GRANT USAGE ON FOREIGN SERVER far TO app;
    GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app;
    GRANT EXECUTE ON FUNCTION pg_read_file(text, bigint, bigint) TO app";

/// What users have made, and how it is read.
const SHOWING: &[(&str, &str)] = &[
    ("CREATE VIEW v1 AS SELECT * FROM pg_stat_activity", "SELECT count(*) FROM v1"),
    (
        "CREATE VIEW v2 AS SELECT pid FROM pg_locks UNION SELECT pid FROM v1",
        "SELECT count(pid) FROM public.v2",
    ),
    ("CREATE VIEW v3 AS SELECT * FROM pg_stat_user_tables", "TABLE v3"),
    ("CREATE VIEW v4 AS SELECT pg_is_in_recovery()", "WITH x AS (SELECT * FROM v4) SELECT * FROM x"),
    ("CREATE VIEW v5 AS SELECT name, setting FROM pg_settings", "SELECT count(*) FROM v5"),
    ("CREATE VIEW v6 AS SELECT current_setting('port') AS port", "SELECT * FROM v6"),
    (
        "CREATE VIEW v7 AS SELECT current_setting(relname::text, true) FROM pg_class",
        "SELECT count(*) FROM v7",
    ),
    ("CREATE VIEW v8 AS SELECT 1 FROM pg_stat_replication, (SELECT pg_backend_pid()) x", "SELECT * FROM v8"),
    ("CREATE VIEW v9 AS SELECT pg_read_file('postmaster.pid')", "SELECT * FROM v9"),
    ("CREATE VIEW v10 AS SELECT inet_server_port(), pg_postmaster_start_time()", "SELECT * FROM v10"),
    ("CREATE VIEW v11 AS SELECT * FROM pg_available_extensions", "SELECT count(*) FROM v11"),
    ("CREATE VIEW v12 AS SELECT * FROM pg_sequences", "SELECT count(*) FROM v12"),
    ("CREATE VIEW v13 AS SELECT bufferid FROM pg_buffercache", "SELECT count(*) FROM v13"),
    ("CREATE VIEW v14 AS SELECT * FROM pg_prepared_statements", "COPY (SELECT * FROM v14) TO STDOUT"),
    ("CREATE VIEW v15 AS SELECT pg_current_wal_lsn()", "EXPLAIN ANALYZE SELECT * FROM v15"),
    ("CREATE VIEW v16 AS SELECT * FROM file", "SELECT * FROM v16"),
    ("SELECT 1", "SELECT * FROM file"),
    (
        "CREATE FUNCTION f1() RETURNS bool STABLE LANGUAGE sql AS 'SELECT NOT pg_is_in_recovery()'",
        "SELECT f1()",
    ),
    (
        "CREATE FUNCTION f2() RETURNS SETOF pg_stat_activity STABLE LANGUAGE sql SECURITY DEFINER AS
         'SELECT * FROM pg_stat_activity'",
        "SELECT count(*) FROM f2()",
    ),
    (
        "CREATE FUNCTION f3() RETURNS bool IMMUTABLE LANGUAGE plpgsql AS
         'BEGIN RETURN pg_catalog.pg_is_in_recovery(); END'",
        "SELECT f3()",
    ),
    (
        "CREATE FUNCTION f4() RETURNS bool STABLE RETURN (SELECT bool_and(granted) FROM pg_locks)",
        "SELECT f4()",
    ),
    ("CREATE FUNCTION f5() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM v1'", "SELECT f5()"),
    ("CREATE FUNCTION f6() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT f5()'", "SELECT f6()"),
    (
        "CREATE FUNCTION f7() RETURNS bigint STABLE LANGUAGE plpgsql AS
         'DECLARE n bigint; BEGIN EXECUTE ''SELECT count(*) FROM pg_stat_activity'' INTO n; RETURN n; END'",
        "SELECT f7()",
    ),
    (
        "CREATE FUNCTION f8() RETURNS text STABLE LANGUAGE sql AS 'SELECT current_setting(''port'')'",
        "SELECT f8()",
    ),
    (
        "CREATE FUNCTION f10() RETURNS text STABLE LANGUAGE sql AS 'SELECT line FROM file LIMIT 1'",
        "SELECT f10()",
    ),
    ("CREATE VIEW v17 AS SELECT f6()", "SELECT * FROM v17"),
    (
        "CREATE TABLE t1 AS SELECT 1 AS x; ALTER TABLE t1 ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON t1 USING (NOT pg_is_in_recovery())",
        "SELECT * FROM t1",
    ),
    (
        "CREATE TABLE t2 AS SELECT 1 AS x; ALTER TABLE t2 ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t2 USING (f1())",
        "SELECT * FROM t2",
    ),
    (
        "CREATE TABLE t3 (x int); INSERT INTO t3 VALUES (1);
         CREATE FUNCTION state(t3) RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()'",
        "SELECT t3.state FROM t3",
    ),
    (
        "CREATE TABLE t4 (x int) PARTITION BY LIST (x);
         CREATE FOREIGN TABLE t4_1 PARTITION OF t4 FOR VALUES IN (1) SERVER far",
        "SELECT * FROM t4 WHERE x = 2",
    ),
    ("CREATE AGGREGATE a1(int) (sfunc = int4pl, stype = int, finalfunc = last);", "SELECT a1(x) FROM t3"),
];

/// What shows nothing of a server although it looks a little like it.
const INNOCENT: &[(&str, &str)] = &[
    ("CREATE VIEW w1 AS SELECT relname FROM pg_class", "SELECT count(*) FROM w1"),
    ("CREATE VIEW w2 AS SELECT current_setting('app.tenant', true), current_user", "SELECT * FROM w2"),
    ("CREATE VIEW w3 AS SELECT now(), pg_typeof(1), pg_table_size('pg_class')", "SELECT * FROM w3"),
    ("CREATE MATERIALIZED VIEW w4 AS SELECT count(*) FROM pg_stat_activity", "SELECT * FROM w4"),
    (
        "CREATE FUNCTION g1() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1 /* pg_is_in_recovery() */'",
        "SELECT g1()",
    ),
    (
        "CREATE TABLE u1 (x int, pid int DEFAULT pg_backend_pid(), by inet DEFAULT inet_client_addr());
         CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN NEW.pid := pg_backend_pid(); RETURN NEW; END';
         CREATE TRIGGER audit BEFORE INSERT ON u1 FOR EACH ROW EXECUTE FUNCTION audit();
         CREATE FUNCTION g2() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM u1'",
        "SELECT g2(), (SELECT count(*) FROM u1)",
    ),
];

fn ran_on(cluster: &Cluster, client: &mut Client, sql: &str, number: usize) -> Result<Vec<usize>> {
    let tag = format!("/* state {number}. */");
    let mark = cluster.mark();
    // Some of it fails, and is wrong in no other way.
    drop(client.query(&format!("{sql} {tag}")));
    Ok(cluster.ran_on(&mark, &tag))
}

#[test]
fn what_a_body_or_a_view_reaches_decides() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(PRIMARY, BY_SUPERUSER)?;
    cluster.sql(PRIMARY, "SET ROLE app; CREATE FUNCTION last(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()'")?;
    for (definition, _) in SHOWING.iter().chain(INNOCENT) {
        cluster.sql(PRIMARY, &format!("SET ROLE app; {definition}"))?;
    }
    cluster.wait_caught_up()?;
    let weir = start(&cluster)?;
    let mut wrong = Vec::new();
    for (number, (_, sql)) in SHOWING.iter().chain(INNOCENT).enumerate() {
        let expected = if number < SHOWING.len() { PRIMARY } else { REPLICA };
        // Nothing of one is learned by another.
        let found = ran_on(&cluster, &mut weir.connect()?, sql, number)?;
        let mut client = weir.connect()?;
        client.query("BEGIN")?;
        let within = ran_on(&cluster, &mut client, sql, 1_000 + number)?;
        if [&found, &within] != [&[expected], &[expected]] {
            wrong.push(format!("{sql}: on {found:?}, in a transaction on {within:?}"));
        }
        // Whoever asks for a replica means one that can answer.
        let hinted =
            ran_on(&cluster, &mut weir.connect()?, &format!("/* weir: replica */ {sql}"), 2_000 + number)?;
        if hinted != [expected] {
            wrong.push(format!("{sql}: with a hint on {hinted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What runs where no name shows it.
#[test]
fn what_is_behind_operators_casts_and_domains_decides() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    let weir = start(&cluster)?;
    for (definition, sql, clean) in [
        (
            "CREATE FUNCTION f(int, int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()';
             CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = f)",
            "SELECT 1 === 1",
            "DROP FUNCTION f(int, int) CASCADE",
        ),
        (
            "CREATE OPERATOR === (RIGHTARG = oid, FUNCTION = pg_stat_get_numscans)",
            "SELECT === 'pg_class'::regclass::oid",
            "DROP OPERATOR === (NONE, oid)",
        ),
        (
            "CREATE DOMAIN d AS int CHECK (VALUE > 0 AND NOT pg_is_in_recovery())",
            "SELECT 1::d",
            "DROP DOMAIN d",
        ),
        (
            "CREATE FUNCTION f(int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT pg_is_in_recovery()';
             CREATE DOMAIN d AS int CHECK (f(VALUE))",
            "SELECT 1::d",
            "DROP FUNCTION f(int) CASCADE",
        ),
    ] {
        let mut client = weir.connect()?;
        client.query(definition)?;
        // Until the catalog has been read again everything goes to the primary.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(ran_on(&cluster, &mut weir.connect()?, sql, 0)?, [PRIMARY], "{definition}");
        client.query(clean)?;
    }
    Ok(())
}

/// A view that was made a moment ago is read before the catalog is.
#[test]
fn what_is_new_may_show_the_state_of_a_server() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(PRIMARY, "SET ROLE app; CREATE TABLE old AS SELECT 1 AS x")?;
    let weir = start(&cluster)?;
    let (mut maker, mut reader) = (weir.connect()?, weir.connect()?);
    for number in 0..5 {
        let name = format!("new_{number}");
        maker.query(&format!("CREATE VIEW {name} AS SELECT NOT pg_is_in_recovery()"))?;
        for client in [&mut maker, &mut reader] {
            let answer = client.query(&format!("/* new {number}. */ SELECT * FROM {name}"))?;
            assert_eq!(answer.value(), "t", "{name}");
        }
    }
    // What it has read may have left something on its connection, as long as the catalog does not tell: up to half a minute.
    let (mut ran, mut route) = (Vec::new(), String::new());
    let mut reads_there = |reader: &mut Client| {
        ran = ran_on(&cluster, reader, "SELECT * FROM old", 5_000)?;
        route = reader.query("SHOW weir.route")?.value().to_owned();
        Ok((ran == [REPLICA]).then_some(()))
    };
    let settled = wait_for("the catalog to tell", 2 * PATIENCE, || reads_there(&mut reader));
    // What was there before is read where it was, as soon as the change has been read: until then anything may run by it.
    let waited = settled.and_then(|()| {
        maker.query("CREATE OR REPLACE VIEW new_0 AS SELECT NOT pg_is_in_recovery()")?;
        cluster.wait_caught_up()?;
        wait_for("the replica", PATIENCE, || reads_there(&mut reader))
    });
    waited.map_err(|failure| Failure::new(format!("{failure}: it ran on {ran:?}, {route}\n{}", weir.log())))
}

/// Weir, once it knows the catalog.
fn start(cluster: &Cluster) -> Result<Weir> {
    cluster.sql(
        PRIMARY,
        "SET ROLE app; CREATE FUNCTION known() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
    )?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(cluster, 0..2).at_any_age().start(WEIR)?;
    wait_for("the catalog", PATIENCE, || {
        Ok((ran_on(cluster, &mut weir.connect()?, "SELECT known()", 999)? == [REPLICA]).then_some(()))
    })?;
    Ok(weir)
}

/// The functions that weir knows, and whether they are for the primary.
fn is_primary(classifier: &Classifier, sql: &str) -> bool {
    let verdict = classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
    matches!(verdict.statements[0].kind, Kind::Primary(_))
}

/// Functions of PostgreSQL's own that can be called by SQL and are not IMMUTABLE: one of the others shows nothing of a
/// server.
const CALLABLE: &str = "
    SELECT DISTINCT p.proname FROM pg_proc p
     WHERE p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile <> 'i'
       AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
       AND NOT 'internal'::regtype = ANY (p.proargtypes)
       AND pg_get_function_result(p.oid) !~ '_handler$'";

#[test]
fn each_function_of_postgresqls_own_is_on_the_list() -> Result<()> {
    let known: BTreeSet<&str> = include_str!("../src/sql/classify/functions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(' ').next())
        .collect();
    let rows = Cluster::shared().sql(PRIMARY, CALLABLE)?.rows;
    let names: Vec<String> = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    assert!(names.len() > 300, "{}", names.len());
    let missing: Vec<&String> = names.iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not known to be harmless or not: {missing:?}");
    Ok(())
}

/// What each view of PostgreSQL's own is made of in the end: `f` and a function, or `s` where it reads a catalog that all
/// databases share.
const MADE_OF: &str = "
    WITH RECURSIVE named AS (
        SELECT DISTINCT r.ev_class::oid AS view, m[1] AS tag, m[2]::oid AS oid
          FROM pg_rewrite r, regexp_matches(r.ev_action::text, ':(funcid|relid) ([0-9]+) ', 'g') m
         WHERE r.ev_type = '1' AND r.oid < 16384 AND m[2]::oid <> r.ev_class
    ), reached AS (
        SELECT view, tag, oid FROM named
        UNION
        SELECT r.view, n.tag, n.oid FROM reached r JOIN named n ON r.tag = 'relid' AND n.view = r.oid
    )
    SELECT n.nspname, c.relname,
           coalesce(string_agg(DISTINCT p.proname, ' '), ''),
           coalesce(bool_or(s.relisshared OR p.proname ~ '^(pg_has_role|pg_get_userbyid|has_.*_privilege)$'), false)
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN reached r ON r.view = c.oid
      LEFT JOIN pg_proc p ON r.tag = 'funcid' AND p.oid = r.oid AND p.pronamespace = 'pg_catalog'::regnamespace
      LEFT JOIN pg_class s ON r.tag = 'relid' AND s.oid = r.oid
     WHERE c.relkind = 'v' AND c.oid < 16384
     GROUP BY n.nspname, c.relname";

#[test]
fn each_view_of_postgresqls_own_is_what_it_is_made_of() -> Result<()> {
    let classifier = Classifier::new(10_000);
    let rows = Cluster::shared().sql(PRIMARY, MADE_OF)?.rows;
    assert!(rows.len() > 100, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let [schema, view, functions, shared] = row.try_into().unwrap();
        let (view, functions) = (view.unwrap(), functions.unwrap());
        let sql = format!("SELECT * FROM {}.{view}", schema.unwrap());
        // Of a setting it depends which one it is; none of these views asks for any.
        let by_function =
            |name: &str| name != "current_setting" && is_primary(&classifier, &format!("SELECT {name}()"));
        let expected = functions.split_whitespace().any(by_function);
        if is_primary(&classifier, &sql) != expected {
            wrong.push(format!("{sql}: for the primary: {expected}, by {functions}"));
        }
        let beyond = classifier.classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].beyond;
        if shared.as_deref() == Some("t") && !beyond.has(Beyond::READS_SHARED) {
            wrong.push(format!("{sql}: reads what all databases share"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Catalogs that all databases share are told by their names.
#[test]
fn each_shared_catalog_is_known() -> Result<()> {
    let sql = "SELECT relname FROM pg_class WHERE relisshared AND relkind = 'r'";
    let rows = Cluster::shared().sql(PRIMARY, sql)?.rows;
    assert!(rows.len() >= 10);
    for row in rows {
        let sql = format!("SELECT * FROM {}", row[0].as_deref().unwrap());
        let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
        assert!(verdict.statements[0].beyond.has(Beyond::READS_SHARED), "{sql}");
    }
    Ok(())
}

/// What answers something else at each time, or on each connection, wherever it is asked.
const ALWAYS_OTHER: [&str; 12] = [
    "clock_timestamp",
    "gen_random_uuid",
    "now",
    "pg_current_snapshot",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
    "txid_current_snapshot",
    "uuidv4",
    "uuidv7",
];

/// Functions without arguments, and views, that are taken to answer alike everywhere.
const ASKABLE: &str = "
    SELECT 'SELECT md5(coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '''')) FROM ' || p.proname || '() x', p.proname
      FROM pg_proc p
     WHERE p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile <> 'i' AND p.prokind = 'f'
       AND p.pronargs - p.pronargdefaults = 0 AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    UNION ALL
    SELECT 'SELECT md5(coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '''')) FROM ' || c.oid::regclass || ' x', c.relname
      FROM pg_class c
     WHERE c.oid < 16384 AND c.relkind IN ('r', 'v')";

/// Primary and replica are the judges: what they answer differently must not be taken for a read.
#[test]
fn what_is_taken_for_a_read_is_answered_alike_on_a_replica() -> Result<()> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(
        PRIMARY,
        "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g; CREATE SEQUENCE s; ANALYZE",
    )?;
    cluster.sql(PRIMARY, "SELECT nextval('s'); SELECT count(*) FROM t")?;
    cluster.wait_caught_up()?;
    let classifier = Classifier::new(10_000);
    let (mut asked, mut wrong) = (0, Vec::new());
    for row in cluster.sql(PRIMARY, ASKABLE)?.rows {
        let [sql, name] = row.try_into().unwrap();
        let (sql, name) = (sql.unwrap(), name.unwrap());
        if ALWAYS_OTHER.contains(&&*name) || is_primary(&classifier, &sql) {
            continue;
        }
        asked += 1;
        let answer = |server| match cluster.sql(server, &sql) {
            Ok(answer) => answer.value().to_owned(),
            Err(failure) => failure.to_string(),
        };
        let (primary, replica) = (answer(PRIMARY), answer(REPLICA));
        if primary != replica {
            wrong.push(format!("{name}: {primary} and {replica}"));
        }
    }
    assert!(asked > 150, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
