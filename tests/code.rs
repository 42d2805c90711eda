//! Code of users that no name in a statement shows to be code: what it leaves never reaches another client, what it writes
//! is seen by the next reader, and what it reads is not read where it is old.
//!
//! One scene for each place from which code can run and each way to reach it. The pool has one connection to each server,
//! so that whoever comes next gets what was left there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use harness::client::{Client, Login, front};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

const PRIMARY: usize = 0;
const REPLICA: usize = 1;

/// What all scenes have: something to leave, to write and to read, and functions that lie about it.
const SCHEMA: &str = "
    CREATE TABLE kept (v int); INSERT INTO kept VALUES (0);
    CREATE TABLE plain (id bigint); INSERT INTO plain VALUES (1);
    CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'UPDATE kept SET v = v + 1 RETURNING v';
    CREATE FUNCTION lies_and_sets(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', ''left'', false); RETURN $1; END';
    CREATE FUNCTION lies_and_writes(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM writes(); RETURN $1; END';
    CREATE FUNCTION lies_and_reads(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'DECLARE n int; BEGIN SELECT max(v) INTO n FROM kept; RETURN n; END';
    CREATE TYPE comp AS (a int);
    GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
    GRANT CREATE ON SCHEMA public TO app;";

/// What is there, and a statement that runs it.
struct Scene<'a> {
    name: &'static str,
    schema: &'static str,
    says: &'a str,
}

const fn scene(name: &'static str, schema: &'static str, says: &'static str) -> Scene<'static> {
    Scene { name, schema, says }
}

/// Each leaves a setting or a lock.
const LEAVING: &[Scene<'static>] = &[
    scene(
        "an overload of a built-in name",
        "CREATE FUNCTION public.log(text) RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', $1, false)'",
        "SELECT log('left')",
    ),
    scene(
        "an overload that locks, for a type of PostgreSQL's own",
        "CREATE FUNCTION public.upper(point) RETURNS int STABLE LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_lock(1); RETURN 1; END'",
        "SELECT upper(point '(1,1)')",
    ),
    scene(
        "an overload in another overload's body",
        "CREATE FUNCTION public.ln(text) RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', $1, false)';
         CREATE FUNCTION public.sqrt(text) RETURNS text STABLE LANGUAGE sql AS 'SELECT ln($1)'",
        "SELECT sqrt('left') FROM plain",
    ),
    scene(
        "a function by attribute notation, of a table's row",
        "CREATE FUNCTION computed(plain) RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', ''left'', false)'",
        "SELECT p.computed FROM plain p",
    ),
    scene(
        "a function by attribute notation, of a row that is made",
        "CREATE FUNCTION made(comp) RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', ''left'', false)'",
        "SELECT (row(1)::comp).made",
    ),
    scene(
        "a function by attribute notation in a view",
        "CREATE FUNCTION behind(comp) RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', ''left'', false)';
         CREATE VIEW viewing AS SELECT (row(1)::comp).behind; GRANT ALL ON viewing TO app",
        "SELECT * FROM viewing",
    ),
    scene("a built-in function by attribute notation", "", "SELECT (7::bigint).pg_advisory_lock"),
    scene("the same of a column that is a function's", "", "SELECT n.pg_advisory_lock FROM generate_series(1::bigint, 2) n"),
    scene(
        "an operator on a built-in function",
        "CREATE OPERATOR <<! (RIGHTARG = bigint, FUNCTION = pg_advisory_lock)",
        "SELECT <<! 7::bigint",
    ),
    scene(
        "an operator on a function that lies",
        "CREATE FUNCTION two(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT lies_and_sets($1) = $2';
         CREATE OPERATOR ==! (LEFTARG = int, RIGHTARG = int, FUNCTION = two)",
        "SELECT 1 ==! 2",
    ),
    scene(
        "an aggregate on a built-in function",
        "CREATE AGGREGATE setting(text, bool) (SFUNC = set_config, STYPE = text, INITCOND = 'app.tenant')",
        "SELECT setting('left', false)",
    ),
    scene(
        "a cast",
        "CREATE TYPE other AS (b int);
         CREATE FUNCTION turn(comp) RETURNS other IMMUTABLE LANGUAGE sql AS
             'SELECT row(lies_and_sets($1.a))::other';
         CREATE CAST (comp AS other) WITH FUNCTION turn(comp)",
        "SELECT row(1)::comp::other",
    ),
    scene(
        "a domain",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0)",
        "SELECT 1::checked",
    ),
    scene(
        "a cast to a type of PostgreSQL's own",
        "CREATE CAST (bigint AS bool) WITH FUNCTION pg_try_advisory_lock(bigint)",
        "SELECT 77::bigint::bool",
    ),
    scene(
        "a domain over a domain, by its name as a function",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0); CREATE DOMAIN over_checked AS checked",
        "SELECT over_checked(1)",
    ),
    scene(
        "a function that was added to a known extension",
        "CREATE EXTENSION IF NOT EXISTS citext;
         CREATE FUNCTION smuggled(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT lies_and_sets($1)';
         ALTER FUNCTION smuggled(int) OWNER TO app; ALTER EXTENSION citext ADD FUNCTION smuggled(int)",
        "SELECT smuggled(1)",
    ),
    scene(
        "a check that is added to a domain",
        "CREATE DOMAIN counted AS int; CREATE TABLE counting (a counted); INSERT INTO counting VALUES (1);
         ALTER DOMAIN counted OWNER TO app",
        "ALTER DOMAIN counted ADD CHECK (lies_and_sets(VALUE) > 0)",
    ),
    scene(
        "the bound of a partition",
        "CREATE TABLE parted (id int) PARTITION BY LIST (id); ALTER TABLE parted OWNER TO app",
        "CREATE TABLE IF NOT EXISTS part PARTITION OF parted FOR VALUES IN (lies_and_sets(1))",
    ),
    scene(
        "what an aggregate begins with",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0);
         CREATE FUNCTION step(checked, int) RETURNS checked LANGUAGE sql AS 'SELECT $1'",
        "CREATE OR REPLACE AGGREGATE began (int) (SFUNC = step, STYPE = checked, INITCOND = '1')",
    ),
    scene(
        "a truncation that cascades",
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent);
         CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM lies_and_sets(1); RETURN NULL; END';
         CREATE TRIGGER tg BEFORE TRUNCATE ON child EXECUTE FUNCTION fires(); GRANT ALL ON parent, child TO app",
        "TRUNCATE parent CASCADE",
    ),
    scene(
        "a materialized view that is filled anew",
        "CREATE MATERIALIZED VIEW filled AS SELECT pg_advisory_lock(1)::text AS a WITH NO DATA;
         ALTER MATERIALIZED VIEW filled OWNER TO app",
        "REFRESH MATERIALIZED VIEW filled",
    ),
    scene(
        "a domain in a type",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0); CREATE TYPE holding AS (a checked)",
        "SELECT json_populate_record(NULL::holding, '{\"a\": 1}')",
    ),
    scene(
        "a domain in a table's row",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0); CREATE TABLE held (a checked)",
        "SELECT '(1)'::held",
    ),
    scene(
        "a domain that a view casts to",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0);
         CREATE VIEW casting AS SELECT id::int::checked FROM plain; GRANT ALL ON casting TO app",
        "SELECT * FROM casting",
    ),
    scene(
        "a domain that a function takes",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0);
         CREATE FUNCTION takes(checked) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
        "SELECT takes(1)",
    ),
    scene(
        "a domain that a function has a variable of",
        "CREATE DOMAIN checked AS int CHECK (lies_and_sets(VALUE) > 0);
         CREATE FUNCTION has() RETURNS int STABLE LANGUAGE plpgsql AS
             'DECLARE c checked; BEGIN c := 1; RETURN c; END'",
        "SELECT has()",
    ),
    scene(
        "an operator in a view and in a body",
        "CREATE OPERATOR <<! (RIGHTARG = bigint, FUNCTION = pg_advisory_lock);
         CREATE VIEW locking AS SELECT (<<! 7::bigint)::text; GRANT ALL ON locking TO app;
         CREATE FUNCTION operates() RETURNS int STABLE LANGUAGE plpgsql AS
             'BEGIN PERFORM <<! 8::bigint; RETURN 1; END'",
        "SELECT operates() FROM locking",
    ),
    scene(
        "a name behind a thousand others",
        "CREATE FUNCTION public.upper(point) RETURNS int STABLE LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_lock(1); RETURN 1; END'",
        "",
    ),
    scene(
        "a body that is read by its own rule for strings",
        "SET standard_conforming_strings = off;
         CREATE FUNCTION hides() RETURNS text STABLE LANGUAGE sql SET standard_conforming_strings = off AS
             $b$ SELECT '\\'' || set_config('app.tenant', 'left', false) || '\\'' $b$",
        "SELECT hides()",
    ),
    scene(
        "a name in Unicode escapes",
        "CREATE FUNCTION leaves() RETURNS text STABLE LANGUAGE sql AS
             'SELECT set_config(''app.tenant'', ''left'', false)';
         CREATE FUNCTION escapes() RETURNS text STABLE LANGUAGE sql AS $$ SELECT U&\"le\\0061ves\"() $$",
        "SELECT escapes()",
    ),
    scene(
        "a relation that is put into a text",
        "CREATE VIEW setting AS SELECT set_config('app.tenant', 'left', false) AS a; GRANT ALL ON setting TO app;
         CREATE FUNCTION fills() RETURNS text STABLE LANGUAGE plpgsql AS
             $$ DECLARE a text; BEGIN EXECUTE format('SELECT a FROM %I', 'setting') INTO a; RETURN a; END $$",
        "SELECT fills()",
    ),
    scene(
        "a default",
        "CREATE TABLE defaulted (id int, v int DEFAULT lies_and_sets(1)); GRANT ALL ON defaulted TO app",
        "INSERT INTO defaulted (id) VALUES (1)",
    ),
    scene(
        "a generated column",
        "CREATE TABLE generated (id int, v int GENERATED ALWAYS AS (lies_and_sets(id)) STORED);
         GRANT ALL ON generated TO app",
        "INSERT INTO generated (id) VALUES (1)",
    ),
    scene(
        "an index on an expression",
        "CREATE TABLE indexed (id int); CREATE INDEX ON indexed (lies_and_sets(id)); GRANT ALL ON indexed TO app",
        "INSERT INTO indexed VALUES (1)",
    ),
    scene(
        "the condition of an index",
        "CREATE TABLE partly (id int); CREATE INDEX ON partly (id) WHERE lies_and_sets(id) > 0;
         GRANT ALL ON partly TO app",
        "INSERT INTO partly VALUES (1)",
    ),
    scene(
        "a partition key",
        "CREATE TABLE parted (id int) PARTITION BY RANGE (lies_and_sets(id));
         CREATE TABLE parted_1 PARTITION OF parted DEFAULT; GRANT ALL ON parted, parted_1 TO app",
        "INSERT INTO parted VALUES (1)",
    ),
    scene(
        "a policy",
        "CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON guarded USING (lies_and_sets(id) > 0); GRANT ALL ON guarded TO app",
        "SELECT * FROM guarded",
    ),
    scene(
        "a built-in function in a policy",
        "CREATE TABLE guarded_2 (id bigint); INSERT INTO guarded_2 VALUES (7);
         ALTER TABLE guarded_2 ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON guarded_2 USING (pg_try_advisory_lock(id)); GRANT ALL ON guarded_2 TO app",
        "SELECT * FROM guarded_2",
    ),
    scene(
        "the default of an argument",
        "CREATE FUNCTION defaulting(x text DEFAULT set_config('app.tenant', 'left', false)) RETURNS text
             IMMUTABLE LANGUAGE sql AS 'SELECT x'",
        "SELECT defaulting()",
    ),
    scene(
        "a built-in function by another name",
        "CREATE FUNCTION innocent(bigint) RETURNS void IMMUTABLE LANGUAGE internal AS 'pg_advisory_lock_int8'",
        "SELECT innocent(7)",
    ),
    scene(
        "a relation that is named by an argument",
        "CREATE VIEW setting AS SELECT set_config('app.tenant', 'left', false) AS a; GRANT ALL ON setting TO app",
        "SELECT table_to_xml('setting', true, false, '')",
    ),
    scene(
        "a relation that is found in a schema",
        "CREATE SCHEMA found; GRANT USAGE ON SCHEMA found TO app;
         CREATE VIEW found.setting AS SELECT set_config('app.tenant', 'left', false) AS a;
         GRANT ALL ON found.setting TO app",
        "SELECT schema_to_xml('found', true, false, '')",
    ),
    scene(
        "a query that is an argument",
        "",
        "SELECT query_to_xml('SELECT set_config(''app.tenant'', ''left'', false)', true, false, '')",
    ),
    scene(
        "the same in a function",
        "CREATE VIEW setting_2 AS SELECT set_config('app.tenant', 'left', false) AS a; GRANT ALL ON setting_2 TO app;
         CREATE FUNCTION to_xml() RETURNS xml STABLE LANGUAGE sql AS
             'SELECT table_to_xml(''setting_2'', true, false, '''')'",
        "SELECT to_xml()",
    ),
    scene(
        "a trigger on a built-in condition",
        "CREATE TABLE conditional (id bigint);
         CREATE TRIGGER c BEFORE UPDATE ON conditional FOR EACH ROW WHEN (pg_try_advisory_lock(OLD.id))
             EXECUTE FUNCTION suppress_redundant_updates_trigger();
         INSERT INTO conditional VALUES (7); GRANT ALL ON conditional TO app",
        "UPDATE conditional SET id = 7",
    ),
    scene(
        "statistics of a table",
        "CREATE TABLE measured AS SELECT n AS id FROM generate_series(1, 50) n;
         CREATE FUNCTION locks_and_lies(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_lock(1); RETURN $1; END';
         CREATE STATISTICS s ON (locks_and_lies(id)) FROM measured; ALTER TABLE measured OWNER TO app",
        "ANALYZE measured",
    ),
];

/// Each writes: what was read before is old.
const WRITING: &[Scene<'static>] = &[
    scene(
        "an overload",
        "CREATE FUNCTION public.log(text) RETURNS int LANGUAGE sql AS 'SELECT writes()'",
        "SELECT log('x')",
    ),
    scene(
        "an attribute",
        "CREATE FUNCTION made(comp) RETURNS int LANGUAGE sql AS 'SELECT writes()'",
        "SELECT (row(1)::comp).made",
    ),
    scene(
        "an operator",
        "CREATE FUNCTION two(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT lies_and_writes($1) = $2';
         CREATE OPERATOR ==! (LEFTARG = int, RIGHTARG = int, FUNCTION = two)",
        "SELECT id FROM plain WHERE id::int ==! 2",
    ),
    scene(
        "a domain",
        "CREATE DOMAIN checked AS int CHECK (lies_and_writes(VALUE) > 0)",
        "SELECT id::int::checked FROM plain",
    ),
    scene(
        "a default",
        "CREATE TABLE defaulted (id int, v int DEFAULT lies_and_writes(1)); GRANT ALL ON defaulted TO app",
        "INSERT INTO defaulted (id) VALUES (1)",
    ),
    scene(
        "an index",
        "CREATE TABLE indexed (id int); CREATE INDEX ON indexed (lies_and_writes(id)); GRANT ALL ON indexed TO app",
        "INSERT INTO indexed VALUES (1)",
    ),
    scene(
        "a partition key",
        "CREATE TABLE parted (id int) PARTITION BY RANGE (lies_and_writes(id));
         CREATE TABLE parted_1 PARTITION OF parted DEFAULT; GRANT ALL ON parted, parted_1 TO app",
        "INSERT INTO parted VALUES (1)",
    ),
    scene(
        "a relation that is named by an argument",
        "CREATE VIEW writing AS SELECT writes() AS a; GRANT ALL ON writing TO app",
        "SELECT table_to_xml('writing', true, false, '')",
    ),
    scene(
        "a built-in function in a policy",
        "CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON guarded USING (lies_and_writes(id) > 0); GRANT ALL ON guarded TO app",
        "SELECT * FROM guarded",
    ),
];

/// Each reads what is in the table that nothing in the statement names.
const READING: &[Scene<'static>] = &[
    scene(
        "an overload",
        "CREATE FUNCTION public.log(text) RETURNS int LANGUAGE sql AS 'SELECT v FROM kept'",
        "SELECT log('x')",
    ),
    scene(
        "an attribute",
        "CREATE FUNCTION made(comp) RETURNS int LANGUAGE sql AS 'SELECT v FROM kept'",
        "SELECT (row(1)::comp).made",
    ),
    scene(
        "an operator",
        "CREATE FUNCTION two(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT lies_and_reads($1)';
         CREATE OPERATOR ==! (LEFTARG = int, RIGHTARG = int, FUNCTION = two)",
        "SELECT id::int ==! 2 FROM plain",
    ),
    scene(
        "a policy",
        "CREATE TABLE guarded AS SELECT generate_series(0, 9) AS id; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE POLICY p ON guarded USING (lies_and_reads(id) = id); GRANT ALL ON guarded TO app",
        "SELECT id FROM guarded",
    ),
    scene(
        "a relation that is named by an argument",
        "",
        "SELECT (xpath('//v/text()', table_to_xml('kept', true, false, '')))[1]",
    ),
];

/// A cluster of this scene, with weir in front, which has read its catalog.
fn set(scene: &Scene<'_>) -> Result<(Cluster, Weir)> {
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(PRIMARY, SCHEMA)?;
    cluster.sql(PRIMARY, scene.schema)?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2)
        .set("pool", "size", "1")
        .set("pool", "checkout_timeout", "\"20s\"")
        .start(WEIR)?;
    // The first client waits for the catalog.
    connect(&weir)?.query("SELECT 1")?;
    Ok((cluster, weir))
}

fn login() -> Login {
    Login::new("app", "app")
        .database("app")
        .parameter("options", "-c weir.consistency=global -c weir.max_staleness=off")
}

fn connect(weir: &Weir) -> Result<Client> {
    let mut client = Client::connect(&weir.address(), &login())?;
    client.set_patience(PATIENCE);
    Ok(client)
}

/// What is on the connections between weir and the servers once nobody uses them.
fn left(cluster: &Cluster, weir: &Weir) -> Result<String> {
    let mut left = String::new();
    for target in ["primary", "replica"] {
        let mut next = connect(weir)?;
        let sql = format!("/* weir: {target} */ SELECT current_setting('app.tenant', true)");
        left += next.query(&sql)?.rows[0][0].as_deref().unwrap_or_default();
    }
    for server in [PRIMARY, REPLICA] {
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
        left += cluster.sql(server, locks)?.value().trim_matches('0');
    }
    Ok(left)
}

#[test]
fn what_code_leaves_that_nobody_names_reaches_nobody() -> Result<()> {
    let mut wrong = Vec::new();
    let many: String = (0..1_200).map(|n| format!("t.a{n}, ")).collect();
    let many = format!(
        "SELECT upper(point '(1,1)') WHERE (SELECT count(*) FROM (SELECT {many} 1 FROM ({}) t) u) = 1",
        format_args!("SELECT {} 1", (0..1_200).map(|n| format!("1 AS a{n}, ")).collect::<String>())
    );
    for scene in LEAVING {
        let (cluster, weir) = set(scene)?;
        let scene = &Scene { says: if scene.says.is_empty() { &many } else { scene.says }, ..*scene };
        for way in ["simple", "extended", "in a transaction"] {
            let mut client = connect(&weir)?;
            let said = match way {
                "simple" => client.query(scene.says).map(drop),
                "extended" => {
                    let batch = [front::parse("s", scene.says, &[]), front::bind("", "s", &[])];
                    let heard =
                        client.ask(&[&batch[..], &[front::execute("", 0), front::sync()]].concat())?;
                    let error = heard.iter().find_map(harness::client::Message::error);
                    error.map_or(Ok(()), |error| Err(error.into()))
                }
                _ => ["BEGIN", scene.says, "COMMIT"].iter().try_for_each(|sql| client.query(sql).map(drop)),
            };
            if let Err(error) = said {
                wrong.push(format!("{}, {way}: {error:?}", scene.name));
            }
            client.close()?;
            wait_for("the connections to be idle", PATIENCE, || {
                Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
            })?;
            let left = left(&cluster, &weir)?;
            if !left.is_empty() {
                wrong.push(format!("{}, {way}: {left}", scene.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What is made past weir, nobody knows until the catalog is read again.
#[test]
fn what_was_made_past_weir_leaves_nothing_to_others() -> Result<()> {
    let (cluster, weir) = set(&scene("past weir", "", ""))?;
    let sets = "PERFORM set_config('app.tenant', 'left', false)";
    for (made, says) in [
        (
            format!("CREATE PROCEDURE unheard_of() LANGUAGE plpgsql AS $$ BEGIN {sets}; END $$"),
            "CALL unheard_of()",
        ),
        (
            format!(
                "CREATE FUNCTION unheard_of(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN {sets}; RETURN 1; END $$"
            ),
            "SELECT unheard_of(1)",
        ),
    ] {
        cluster.sql(PRIMARY, &made)?;
        let mut client = connect(&weir)?;
        client.query(says)?;
        client.close()?;
        wait_for("the connections to be idle", PATIENCE, || {
            Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
        })?;
        assert_eq!(left(&cluster, &weir)?, "", "{says}");
    }
    Ok(())
}

/// What a plain table's default calls may be an overload that is there already.
#[test]
fn an_overload_that_a_new_table_uses_leaves_nothing_to_others() -> Result<()> {
    let overload = "CREATE FUNCTION public.log(text) RETURNS text STABLE LANGUAGE sql AS
        'SELECT set_config(''app.tenant'', $1, false)'";
    let (cluster, weir) = set(&scene("an overload", overload, ""))?;
    let mut definer = connect(&weir)?;
    definer.query("CREATE TABLE fresh (id int, a text DEFAULT log('left'::text))")?;
    definer.close()?;
    let mut client = connect(&weir)?;
    client.query("INSERT INTO fresh (id) VALUES (1)")?;
    client.close()?;
    wait_for("the connections to be idle", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
    })?;
    assert_eq!(left(&cluster, &weir)?, "");
    Ok(())
}

/// The first reading of the catalog takes longer than anybody waits for it: what runs meanwhile may run anything.
#[test]
fn who_comes_before_the_catalog_was_read_leaves_nothing_to_others() -> Result<()> {
    let operator = "CREATE OPERATOR <<! (RIGHTARG = bigint, FUNCTION = pg_advisory_lock)";
    let cluster = Cluster::with(Options::new(1))?;
    cluster.sql(PRIMARY, SCHEMA)?;
    cluster.sql(PRIMARY, operator)?;
    cluster.wait_caught_up()?;
    let mut holder =
        Client::connect(&cluster.address(PRIMARY), &Login::new("postgres", "postgres").database("app"))?;
    holder.query("BEGIN")?;
    holder.query("LOCK TABLE pg_catalog.pg_event_trigger IN ACCESS EXCLUSIVE MODE")?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2).set("pool", "size", "1").start(WEIR)?;
    let mut client = connect(&weir)?;
    let sql = "SELECT <<! 7::bigint";
    let mark = cluster.mark();
    client.query(sql)?;
    assert_eq!(cluster.ran_on(&mark, sql), [PRIMARY]);
    holder.query("COMMIT")?;
    let held = client.query("/* weir: primary */ SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")?;
    assert_eq!(held.value(), "1", "its lock is its own");
    client.close()?;
    wait_for("the connections to be idle", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
    })?;
    wait_for("the lock to go", PATIENCE, || Ok(left(&cluster, &weir)?.is_empty().then_some(())))?;
    Ok(())
}

#[test]
fn what_code_writes_that_nobody_names_is_seen() -> Result<()> {
    let mut wrong = Vec::new();
    for scene in WRITING {
        let (cluster, weir) = set(scene)?;
        // What is open on a replica keeps its transaction there: nobody can run it again elsewhere.
        let mut holder = connect(&weir)?;
        for sql in ["BEGIN", "DECLARE held CURSOR FOR SELECT id FROM plain", scene.says, "COMMIT"] {
            // That reading a relation writes, only the refusal of a replica tells.
            if scene.name == "a built-in function in a policy" {
                break;
            }
            if let Err(error) = holder.query(sql) {
                wrong.push(format!("{}, behind a cursor: {error:?}", scene.name));
                break;
            }
        }
        holder.close()?;
        let mut reader = connect(&weir)?;
        let before: i32 = reader.query("SELECT v FROM kept")?.value().parse().unwrap();
        cluster.pause_replay(REPLICA)?;
        let mut writer = connect(&weir)?;
        if let Err(error) = writer.query(scene.says) {
            wrong.push(format!("{}: {error:?}", scene.name));
        }
        writer.close()?;
        let after: i32 = reader.query("SELECT v FROM kept")?.value().parse().unwrap();
        if after <= before {
            wrong.push(format!("{}: {before} remains {after}", scene.name));
        }
        cluster.resume_replay(REPLICA)?;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn what_code_reads_that_nobody_names_is_as_it_was_written() -> Result<()> {
    let mut wrong = Vec::new();
    for scene in READING {
        let (cluster, weir) = set(scene)?;
        let mut reader = connect(&weir)?;
        let before = reader.query(scene.says)?.value().to_owned();
        cluster.pause_replay(REPLICA)?;
        let mut writer = connect(&weir)?;
        writer.query("UPDATE kept SET v = 5")?;
        writer.close()?;
        let after = reader.query(scene.says)?.value().to_owned();
        if (&*before, &*after) != ("0", "5") {
            wrong.push(format!("{}: {before}, then {after}", scene.name));
        }
        cluster.resume_replay(REPLICA)?;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What ordinary databases have: functions that compute, of any name and however they are declared, columns that are
/// computed, operators, domains, and every extension that is there. What does more (a function of a built-in's name, a domain,
/// an operator, a cast) concerns only those who use it.
const ORDINARY: &str = "
    CREATE FUNCTION public.log(text) RETURNS text LANGUAGE sql AS 'SELECT lower($1)';
    CREATE FUNCTION public.upper(comp) RETURNS text LANGUAGE plpgsql AS
        'DECLARE n text; BEGIN n := extract(epoch FROM now()); RETURN n || $1.a; END';
    CREATE FUNCTION public.sqrt(comp) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM writes(); END';
    CREATE TABLE people (id int); GRANT ALL ON people TO app;
    CREATE FUNCTION full_name(people) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.id || '' of many''';
    CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql AS 'SELECT $1 = $2';
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same);
    CREATE FUNCTION is_short(text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT length($1) < 9';
    CREATE DOMAIN short AS text CHECK (is_short(VALUE));
    CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
    CREATE AGGREGATE product (int) (SFUNC = int4mul, STYPE = int, INITCOND = 1);
    CREATE DOMAIN harmful AS int CHECK (lies_and_sets(VALUE) > 0);
    CREATE OPERATOR <<! (RIGHTARG = bigint, FUNCTION = pg_advisory_lock);
    CREATE TYPE other AS (b int);
    CREATE FUNCTION turn(comp) RETURNS other IMMUTABLE LANGUAGE sql AS 'SELECT row(lies_and_sets($1.a))::other';
    CREATE CAST (comp AS other) WITH FUNCTION turn(comp);
    CREATE TABLE keyed (id int, name short, at timestamptz DEFAULT now());
    CREATE INDEX ON keyed (lower(name)) WHERE is_short(name);
    GRANT ALL ON keyed TO app;
    DO $$ DECLARE e name; BEGIN
        FOR e IN SELECT name FROM pg_available_extensions
                  WHERE name IN ('citext', 'hstore', 'pgcrypto', 'pg_trgm', 'intarray', 'ltree', 'cube', 'earthdistance',
                                 'tablefunc', 'unaccent', 'uuid-ossp', 'btree_gist', 'btree_gin', 'isn', 'seg',
                                 'fuzzystrmatch', 'lo', 'xml2', 'intagg', 'pg_stat_statements', 'postgres_fdw')
        LOOP EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', e); END LOOP;
    END $$";

/// An unrelated write is not on the replica yet, so that only what is known not to depend on it is answered there.
#[test]
fn ordinary_code_keeps_no_read_from_a_replica() -> Result<()> {
    let (cluster, weir) = set(&scene("ordinary", ORDINARY, ""))?;
    let mut client = connect(&weir)?;
    wait_for("the replica to be fresh", PATIENCE, || {
        let mark = cluster.mark();
        client.query("SELECT log('X'), lower('Y')")?;
        Ok((cluster.ran_on(&mark, "SELECT log") == [REPLICA]).then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(2));
    cluster.pause_replay(REPLICA)?;
    let mut writer = connect(&weir)?;
    writer.query("UPDATE kept SET v = 5")?;
    writer.close()?;
    let before = weir.metrics()?;
    for sql in [
        "SELECT count(*), max(id), log(2.0), lower('X') FROM plain",
        "SELECT p.id, upper(k.name), k.name FROM plain p, keyed k WHERE k.id = 1 ORDER BY k.at",
        "SELECT (row(1)::comp).a, plain.id FROM public.plain",
        "SELECT gen_random_uuid(), replace('a', 'b', 'c'), split_part('a', 'b', 1) FROM plain",
        "SELECT id::int === 1, 'x'::short, point(1, 2) FROM plain",
        "SELECT to_json(p), p::text FROM plain p WHERE p.id IN (1, 2)",
    ] {
        let mark = cluster.mark();
        client.query(sql)?;
        assert_eq!(cluster.ran_on(&mark, sql), [REPLICA], "{sql}");
    }
    let now = weir.metrics()?;
    assert_eq!(now.sum("weir_pins_total", &[]), before.sum("weir_pins_total", &[]));
    assert_eq!(now.sum("weir_reruns_total", &[]), 0.0);
    cluster.resume_replay(REPLICA)
}
