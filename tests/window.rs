//! Code that was defined through weir a moment ago, before anybody has read the catalog again: what it leaves never reaches
//! another client, whoever runs it. Plain definitions keep nobody's connection.
//!
//! The pool has one connection to each server, so that whoever comes next gets what was left there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;
use std::time::{Duration, Instant};

use harness::client::{Client, Login};
use harness::{Cluster, Options, Result, Weir, WeirSetup, wait_for};
use weir::sql::{Brings, Classifier, StandardConformingStrings};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all scenes have, known long before: code that leaves something, and a relation to put it behind.
const SCHEMA: &str = "
    GRANT CREATE ON SCHEMA public TO app; GRANT CREATE ON DATABASE app TO app; SET ROLE app;
    CREATE FUNCTION leaves() RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', ''left'', false); RETURN 1; END';
    CREATE FUNCTION leaves(text) RETURNS int STABLE LANGUAGE sql AS 'SELECT leaves()';
    CREATE FUNCTION triggered() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM leaves(); RETURN NEW; END';
    CREATE FUNCTION triggered_old() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM leaves(); RETURN OLD; END';
    CREATE SCHEMA other; CREATE TABLE t (id int); CREATE VIEW v AS SELECT 1 AS a;
    CREATE FUNCTION other.now2() RETURNS int STABLE LANGUAGE sql AS 'SELECT public.leaves()';
    CREATE FUNCTION other.moved(text) RETURNS int STABLE LANGUAGE sql AS 'SELECT public.leaves()';
    CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int);
    CREATE TRIGGER tg BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION triggered_old();
    CREATE TABLE renamed (id int);
    CREATE TRIGGER tg BEFORE INSERT ON renamed FOR EACH ROW EXECUTE FUNCTION triggered();
    CREATE TABLE parted (id int) PARTITION BY LIST (id);
    CREATE TRIGGER tg BEFORE INSERT ON parted FOR EACH ROW EXECUTE FUNCTION triggered();
    CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
    CREATE TYPE mood AS ENUM ('a');
    CREATE FUNCTION leaves(mood) RETURNS point STABLE LANGUAGE sql AS 'SELECT point(leaves(), 1)';
    CREATE FUNCTION late() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION defines() RETURNS void LANGUAGE plpgsql AS
        'BEGIN CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered(); END';
    CREATE PROCEDURE defines(text) LANGUAGE plpgsql AS
        'BEGIN EXECUTE ''CREATE OPERATOR ''|| $1 || '' (RIGHTARG = text, FUNCTION = leaves)''; END';
    RESET ROLE";

/// What is defined, what runs it, and how it is undone.
struct Scene {
    name: &'static str,
    defines: &'static str,
    runs: &'static str,
    undone: &'static str,
}

const SCENES: &[Scene] = &[
    Scene {
        name: "a trigger",
        defines: "CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered()",
        runs: "INSERT INTO t VALUES (1)",
        undone: "DROP TRIGGER tg ON t",
    },
    Scene {
        name: "a view",
        defines: "CREATE VIEW made AS SELECT set_config('app.tenant', 'left', false) AS a",
        runs: "SELECT * FROM made",
        undone: "DROP VIEW made",
    },
    Scene {
        name: "a view that is replaced",
        defines: "CREATE OR REPLACE VIEW v AS SELECT leaves() AS a",
        runs: "SELECT * FROM v",
        undone: "CREATE OR REPLACE VIEW v AS SELECT 1 AS a",
    },
    Scene {
        name: "a rule",
        defines: "CREATE RULE r AS ON INSERT TO t DO ALSO SELECT leaves()",
        runs: "INSERT INTO t VALUES (1)",
        undone: "DROP RULE r ON t",
    },
    Scene {
        name: "an operator",
        defines: "CREATE OPERATOR ~~~~ (RIGHTARG = text, FUNCTION = leaves)",
        runs: "SELECT ~~~~ 'a'::text",
        undone: "DROP OPERATOR ~~~~ (NONE, text)",
    },
    Scene {
        name: "a domain",
        defines: "CREATE DOMAIN d AS int CHECK (leaves() IS NOT NULL)",
        runs: "SELECT 1::d",
        undone: "DROP DOMAIN d",
    },
    Scene {
        name: "a default",
        defines: "ALTER TABLE t ALTER id SET DEFAULT leaves()",
        runs: "INSERT INTO t DEFAULT VALUES",
        undone: "ALTER TABLE t ALTER id DROP DEFAULT",
    },
    Scene {
        name: "a table with a default",
        defines: "CREATE TABLE fresh (id int, a int DEFAULT leaves())",
        runs: "INSERT INTO fresh (id) VALUES (1)",
        undone: "DROP TABLE fresh",
    },
    Scene {
        name: "a function that is given a built-in's name",
        defines: "ALTER FUNCTION other.now2() RENAME TO now",
        runs: "SET search_path = other, pg_catalog; SELECT now()",
        undone: "ALTER FUNCTION other.now() RENAME TO now2",
    },
    Scene {
        name: "a function that is given another schema",
        defines: "ALTER FUNCTION other.moved(text) SET SCHEMA public",
        runs: "SELECT public.moved('')",
        undone: "ALTER FUNCTION public.moved(text) SET SCHEMA other",
    },
    Scene {
        name: "an overload",
        defines: "CREATE FUNCTION public.upper(point) RETURNS int STABLE LANGUAGE sql AS 'SELECT leaves()'",
        runs: "SELECT upper(point '(1,1)')",
        undone: "DROP FUNCTION public.upper(point)",
    },
    Scene {
        name: "a function that is replaced",
        defines: "CREATE OR REPLACE FUNCTION late() RETURNS int STABLE LANGUAGE sql AS 'SELECT leaves()'",
        runs: "SELECT late()",
        undone: "CREATE OR REPLACE FUNCTION late() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
    },
    Scene {
        name: "a trigger that a block makes",
        defines: "DO $$ BEGIN EXECUTE 'CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered()'; END $$",
        runs: "INSERT INTO t VALUES (1)",
        undone: "DROP TRIGGER tg ON t",
    },
    Scene {
        name: "a trigger that a function makes",
        defines: "SELECT defines()",
        runs: "INSERT INTO t VALUES (1)",
        undone: "DROP TRIGGER tg ON t",
    },
    Scene {
        name: "an operator that a procedure makes",
        defines: "CALL defines('~~~~')",
        runs: "SELECT ~~~~ 'a'::text",
        undone: "DROP OPERATOR ~~~~ (NONE, text)",
    },
    Scene {
        name: "a foreign key that cascades",
        defines: "ALTER TABLE child ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES parent (id) ON DELETE CASCADE",
        runs: "WITH p AS (INSERT INTO parent VALUES (2)) INSERT INTO child VALUES (2); DELETE FROM parent WHERE id = 2",
        undone: "ALTER TABLE child DROP CONSTRAINT f",
    },
    Scene {
        name: "a table that is given the name of another one",
        defines: "ALTER TABLE renamed RENAME TO fresh",
        runs: "INSERT INTO fresh VALUES (1)",
        undone: "ALTER TABLE fresh RENAME TO renamed",
    },
    Scene {
        name: "a partition",
        defines: "CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)",
        runs: "INSERT INTO part VALUES (1)",
        undone: "DROP TABLE part",
    },
    Scene {
        name: "a policy",
        defines: "CREATE POLICY p ON guarded USING (leaves() IS NOT NULL)",
        runs: "SELECT * FROM guarded",
        undone: "DROP POLICY p ON guarded",
    },
    Scene {
        name: "a cast",
        defines: "CREATE CAST (mood AS point) WITH FUNCTION leaves(mood)",
        runs: "SELECT 'a'::mood::point",
        undone: "DROP CAST (mood AS point)",
    },
];

fn set() -> Result<(Cluster, Weir)> {
    set_with("1")
}

fn set_with(connections: &str) -> Result<(Cluster, Weir)> {
    let cluster = Cluster::with(Options::new(1).setting("max_prepared_transactions", "5"))?;
    cluster.sql(0, SCHEMA)?;
    cluster.wait_caught_up()?;
    let weir = WeirSetup::in_front_of(&cluster, 0..2)
        .set("pool", "size", connections)
        .set("pool", "checkout_timeout", "\"20s\"")
        .start(WEIR)?;
    connect(&weir)?.query("SELECT 1")?;
    Ok((cluster, weir))
}

fn connect(weir: &Weir) -> Result<Client> {
    let mut client = Client::connect(&weir.address(), &Login::new("app", "app").database("app"))?;
    client.set_patience(PATIENCE);
    Ok(client)
}

fn nobody_is_pinned(weir: &Weir) -> Result<()> {
    wait_for("nobody to be pinned", PATIENCE, || {
        Ok((weir.metrics()?.sum("weir_pinned_sessions", &[]) == 0.0).then_some(()))
    })
}

/// What is on the connections between weir and the servers once nobody uses them.
fn left(weir: &Weir) -> Result<String> {
    let mut left = String::new();
    for target in ["primary", "replica"] {
        let mut next = connect(weir)?;
        let sql = format!("/* weir: {target} */ SELECT current_setting('app.tenant', true)");
        left += next.query(&sql)?.rows[0][0].as_deref().unwrap_or_default();
    }
    Ok(left)
}

/// Defines, and has it run at once: by the same session, in the same string, in a transaction, or by another session.
fn play(weir: &Weir, scene: &Scene, way: &str) -> Result<()> {
    let mut client = connect(weir)?;
    let mut other = connect(weir)?;
    match way {
        "own" => [scene.defines, scene.runs].iter().try_for_each(|sql| client.query(sql).map(drop))?,
        "undone at once" => [scene.defines, scene.runs, scene.undone]
            .iter()
            .try_for_each(|sql| client.query(sql).map(drop))?,
        "one string" => _ = client.query(&format!("{}; {}", scene.defines, scene.runs))?,
        "a transaction" => ["BEGIN", scene.defines, scene.runs, "COMMIT"]
            .iter()
            .try_for_each(|sql| client.query(sql).map(drop))?,
        _ => {
            client.query(scene.defines)?;
            // It may be pinned by what it has said itself.
            client.close()?;
            other.query(scene.runs)?;
            other.close()?;
            return nobody_is_pinned(weir);
        }
    }
    client.close()?;
    other.close()?;
    nobody_is_pinned(weir)
}

/// The ways in which a scene is played.
const PLAYS: [&str; 5] = ["own", "undone at once", "one string", "a transaction", "another session"];

/// What is wrong when all scenes are played in one way, on servers of its own.
fn play_all(way: &str) -> Result<Vec<String>> {
    let (cluster, weir) = set()?;
    let mut wrong = Vec::new();
    for scene in SCENES {
        if let Err(error) = play(&weir, scene, way) {
            wrong.push(format!("{}, {way}: {error:?}", scene.name));
        }
        let left = left(&weir)?;
        if !left.is_empty() {
            wrong.push(format!("{}, {way}: {left}", scene.name));
            for server in [0, 1] {
                cluster.sql(
                    server,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
                )?;
            }
        }
        if way != "undone at once" {
            cluster.sql(0, scene.undone)?;
        }
        // What is known is known of what is there.
        let mut last = connect(&weir)?;
        last.query("CREATE SCHEMA passing CREATE VIEW passed AS SELECT 1 AS a")?;
        last.query("DROP SCHEMA passing CASCADE")?;
        std::thread::sleep(Duration::from_millis(1_200));
    }
    Ok(wrong)
}

#[test]
fn what_was_defined_a_moment_ago_leaves_nothing_to_others() -> Result<()> {
    // Most of the time each only waits for the next reading of the catalog.
    let plays: Vec<_> = PLAYS.iter().map(|way| std::thread::spawn(|| play_all(way))).collect();
    let mut wrong = Vec::new();
    for play in plays {
        wrong.extend(play.join().unwrap()?);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn plain_definitions_pin_nobody() -> Result<()> {
    let (_cluster, weir) = set()?;
    let mut client = connect(&weir)?;
    let mut other = connect(&weir)?;
    for sql in [
        "CREATE TABLE p (id serial PRIMARY KEY, a varchar(20) DEFAULT 'x' NOT NULL, b numeric(10, 2) CHECK (b > 0), \
         at timestamptz DEFAULT now(), CONSTRAINT u UNIQUE (a))",
        "CREATE TABLE q (p int REFERENCES p (id), f float DEFAULT 1.5)",
        "CREATE INDEX i ON p USING btree (lower(a))",
        "ALTER TABLE p ADD COLUMN c int DEFAULT 7",
        "ALTER TABLE p ADD CONSTRAINT k UNIQUE (c), ALTER COLUMN c SET NOT NULL",
        "CREATE TYPE moods AS ENUM ('a', 'b')",
        "COMMENT ON TABLE p IS 'plain'",
        "GRANT SELECT ON p TO public",
        "CREATE SEQUENCE s",
        "ALTER TABLE p DROP COLUMN c",
        "DROP TABLE q",
    ] {
        for run in [&["BEGIN", sql, "ROLLBACK"][..], &[sql]] {
            run.iter().try_for_each(|sql| client.query(sql).map(drop))?;
            other.query("INSERT INTO t VALUES (1)")?;
            other.query("SELECT id FROM t WHERE id = 1")?;
            client.query("SELECT id FROM t")?;
            assert_eq!(weir.metrics()?.sum("weir_pinned_sessions", &[]), 0.0, "{sql}");
        }
    }
    Ok(())
}

#[test]
fn who_runs_what_was_defined_a_moment_ago_is_free_again_soon() -> Result<()> {
    let (_cluster, weir) = set()?;
    let mut client = connect(&weir)?;
    let mut other = connect(&weir)?;
    client.query("CREATE VIEW harmless AS SELECT 1 AS a")?;
    other.query("SELECT id FROM t WHERE id = 1")?;
    assert_eq!(other.query("SHOW weir.route")?.value(), "primary (primary, unknown_relation)");
    nobody_is_pinned(&weir)?;
    // The pool has one connection, and it is to be had.
    client.query("INSERT INTO t VALUES (1)")?;
    other.query("INSERT INTO t VALUES (1)")?;
    Ok(())
}

#[test]
fn who_waited_for_the_definition_is_looked_at_when_it_has_run() -> Result<()> {
    let (_cluster, weir) = set_with("2")?;
    let (mut definer, mut other) = (connect(&weir)?, connect(&weir)?);
    for round in 0..5 {
        definer.query("BEGIN")?;
        definer.query("CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered()")?;
        let waiting = std::thread::spawn(move || other.query("INSERT INTO t VALUES (1)").map(|_| other));
        // It waits for the table's lock by then, or is judged behind the definition.
        std::thread::sleep(Duration::from_millis(200));
        definer.query("COMMIT")?;
        other = waiting.join().unwrap()?;
        other.close()?;
        let left = left(&weir)?;
        assert_eq!(left, "", "round {round}");
        definer.query("DROP TRIGGER tg ON t")?;
        definer.close()?;
        std::thread::sleep(Duration::from_millis(1_200));
        (definer, other) = (connect(&weir)?, connect(&weir)?);
    }
    Ok(())
}

#[test]
fn what_was_prepared_counts_when_it_is_committed() -> Result<()> {
    let (_cluster, weir) = set()?;
    let mut definer = connect(&weir)?;
    for sql in [
        "BEGIN",
        "CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered()",
        "INSERT INTO t VALUES (1)",
        "PREPARE TRANSACTION 'later'",
    ] {
        definer.query(sql)?;
    }
    definer.close()?;
    nobody_is_pinned(&weir)?;
    assert_eq!(left(&weir)?, "", "it ran by what is nobody's now");
    let mut second = connect(&weir)?;
    second.query("COMMIT PREPARED 'later'")?;
    second.close()?;
    let mut other = connect(&weir)?;
    other.query("INSERT INTO t VALUES (1)")?;
    other.close()?;
    nobody_is_pinned(&weir)?;
    assert_eq!(left(&weir)?, "");
    Ok(())
}

#[test]
fn what_is_gone_before_it_was_read_holds_nobody() -> Result<()> {
    let (cluster, weir) = set_with("2")?;
    let (mut definer, mut other) = (connect(&weir)?, connect(&weir)?);
    let mut owner =
        Client::connect(&cluster.address(0), &Login::new("postgres", "postgres").database("app"))?;
    let trigger = "CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION triggered()";
    for sql in [trigger, "CREATE OR REPLACE VIEW v AS SELECT 2 AS a"] {
        // Both have a connection by then.
        for sql in ["BEGIN", "INSERT INTO t VALUES (1)"] {
            definer.query(sql)?;
            other.query(sql)?;
        }
        for client in [&mut definer, &mut other] {
            client.query("ROLLBACK")?;
        }
        // Nobody logs in, to read the catalog, while it is there.
        owner.query("ALTER DATABASE app CONNECTION LIMIT 0")?;
        definer.query(sql)?;
        other.query("INSERT INTO t VALUES (1)")?;
        definer.query("DROP TRIGGER IF EXISTS tg ON t")?;
        other.query("SELECT * FROM v")?;
        owner.query("ALTER DATABASE app CONNECTION LIMIT -1")?;
        cluster.wait_caught_up()?;
        nobody_is_pinned(&weir)?;
        assert_eq!(left(&weir)?, "", "{sql}");
    }
    // What it did in a transaction that is taken back.
    for sql in ["BEGIN", trigger, "INSERT INTO t VALUES (1)", "ROLLBACK"] {
        definer.query(sql)?;
    }
    nobody_is_pinned(&weir)?;
    assert_eq!(left(&weir)?, "");
    Ok(())
}

/// Kinds of objects that are the same to everybody's code: all others bring some, or may.
const PLAIN: &str = "COLLATION,DATABASE,DEFAULT PRIVILEGES,GROUP,LARGE OBJECT,PUBLICATION,ROLE,SEQUENCE,SERVER,SUBSCRIPTION,\
    TABLESPACE,USER,USER MAPPING";

/// Kinds of which some statements are plain.
const MIXED: &str = "INDEX,SCHEMA,STATISTICS,TABLE,TABLE AS,TYPE";

/// Kinds that bring code.
const CODE: &str = "ACCESS METHOD,AGGREGATE,CAST,CONSTRAINT,CONVERSION,DOMAIN,EVENT TRIGGER,EXTENSION,FOREIGN DATA WRAPPER,\
    FOREIGN TABLE,FUNCTION,LANGUAGE,MATERIALIZED VIEW,OPERATOR,OPERATOR CLASS,OPERATOR FAMILY,OWNED,POLICY,PROCEDURE,ROUTINE,\
    RULE,TEXT SEARCH CONFIGURATION,TEXT SEARCH DICTIONARY,TEXT SEARCH PARSER,TEXT SEARCH TEMPLATE,TRANSFORM,TRIGGER,VIEW";

/// All commands of SQL that psql tells of.
fn commands() -> Result<Vec<String>> {
    let cluster = Cluster::with(Options::new(0))?;
    let psql = cluster.postgres().program("psql")?;
    let target = format!("host=127.0.0.1 port={} user=app dbname=app", cluster.port(0));
    let help = Command::new(psql)
        .args(["-X", "-c", "\\h", &target])
        .env("PGPASSWORD", "app")
        .env("COLUMNS", "60")
        .output()?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    // Two columns, the first as wide as the longest command.
    let halves = help.lines().map(|line| line.split_at_checked(35).unwrap_or((line, "")));
    let commands: Vec<_> =
        halves.flat_map(|(left, right)| [left.trim().to_owned(), right.trim().to_owned()]).collect();
    assert!(commands.len() > 150, "{help}");
    Ok(commands)
}

/// Commands that do nothing in code but what their own words say elsewhere, or that cannot stand in code.
const INERT: &str = "ABORT,BEGIN,CLOSE,COMMIT,COMMIT PREPARED,DECLARE,END,EXECUTE,EXPLAIN,FETCH,MOVE,RELEASE SAVEPOINT,\
    ROLLBACK,ROLLBACK PREPARED,ROLLBACK TO SAVEPOINT,SAVEPOINT,SELECT,SELECT INTO,SET CONSTRAINTS,SET TRANSACTION,SHOW,\
    START TRANSACTION,VALUES,WITH,TABLE,DO";

/// What a replica refuses, or does to itself alone, must not be taken for a read because a function's body hides it.
#[test]
fn every_command_does_something_in_code_or_is_in_a_list() -> Result<()> {
    let classifier = Classifier::new(1_000);
    let inert: Vec<&str> = INERT.split(',').map(str::trim).collect();
    let wrong: Vec<_> = commands()?
        .into_iter()
        .filter(|command| command.chars().next().is_some_and(char::is_uppercase))
        .filter(|command| command.chars().all(|letter| letter.is_uppercase() || letter == ' '))
        .filter(|command| !inert.contains(&command.as_str()))
        .filter(|command| {
            let end = match command.as_str() {
                "INSERT" => " INTO x",
                "DELETE" => " FROM x",
                "MERGE" => " INTO x USING",
                "UPDATE" => " x SET a = 1",
                "COPY" => " (SELECT 1) TO",
                "LOAD" => " 'x'",
                "CHECKPOINT" => "",
                _ => " x",
            };
            let sql = format!("DO $$ BEGIN {command}{end}; END $$");
            let verdict = classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
            let code = verdict.statements[0].effects.code.as_deref();
            code.is_some_and(|code| code.conduct.is_pure())
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[test]
fn every_kind_of_definition_is_in_a_list() -> Result<()> {
    let kinds = |list: &str| list.split(',').map(|kind| kind.trim().to_owned()).collect::<Vec<_>>();
    let classifier = Classifier::new(1_000);
    let mut seen = 0;
    for command in commands()? {
        let Some((verb, kind)) = command.split_once(' ') else { continue };
        if !matches!(verb, "CREATE" | "ALTER" | "DROP") || kind == "SYSTEM" {
            continue;
        }
        seen += 1;
        let verdict = classifier.classify(format!("{command} x").as_bytes(), StandardConformingStrings::On);
        let brings = verdict.statements[0].brings;
        let list =
            [PLAIN, MIXED, CODE].into_iter().find(|list| kinds(list).iter().any(|known| known == kind));
        match list {
            Some(PLAIN) => assert_eq!(brings, Brings::Plain, "{command}"),
            Some(MIXED) => {}
            Some(_) => assert!(brings >= Brings::Removal, "{command} {brings:?}"),
            None => panic!("{command} is in no list"),
        }
    }
    assert!(seen > 90, "{seen}");
    Ok(())
}

/// A migration is as fast as its server, also where there is much to be read, and brings code with half of its statements.
#[test]
fn a_migration_waits_for_no_catalog() -> Result<()> {
    let (cluster, weir) = set()?;
    let many = "DO $$ BEGIN FOR i IN 1..2000 LOOP EXECUTE format('CREATE TABLE many_%s (id int)', i); END LOOP; END $$";
    cluster.sql(0, many)?;
    let migrate = |client: &mut Client, name: &str| -> Result<Duration> {
        let began = Instant::now();
        for n in 0..100 {
            client.query(&format!("CREATE TABLE {name}_{n} (id serial PRIMARY KEY, a text DEFAULT 'x')"))?;
            client.query(&format!("CREATE VIEW {name}_v{n} AS SELECT * FROM {name}_{n}"))?;
        }
        Ok(began.elapsed())
    };
    let mut direct = cluster.connect(0)?;
    direct.set_patience(PATIENCE);
    let straight = migrate(&mut direct, "direct")?;
    let through = migrate(&mut connect(&weir)?, "through")?;
    eprintln!("200 definitions: {straight:?} directly, {through:?} through weir");
    // A reading comes at most once a second: 200 statements that waited for one each would take minutes.
    assert!(through < straight * 10 + Duration::from_secs(10), "{through:?} instead of {straight:?}");
    nobody_is_pinned(&weir)
}

#[test]
fn what_a_definition_brings_stands_in_its_text() {
    let classifier = Classifier::new(1_000);
    for (sql, brings) in [
        ("SELECT 1", Brings::Nothing),
        ("CREATE TABLE t (a numeric(10, 2) DEFAULT 0 CHECK (a > 0), b int REFERENCES u (id))", Brings::Plain),
        ("CREATE TABLE t AS SELECT f(a) FROM u", Brings::Plain),
        ("CREATE TABLE t (a int DEFAULT f())", Brings::Addition),
        ("CREATE TABLE t (a int DEFAULT pg_advisory_lock(1))", Brings::Addition),
        ("CREATE TABLE t (LIKE u INCLUDING ALL)", Brings::Addition),
        ("CREATE TABLE t (a int) INHERITS (u)", Brings::Addition),
        ("CREATE TABLE t PARTITION OF u DEFAULT", Brings::Addition),
        ("CREATE TABLE t (a int CHECK (a ~~~~ 1))", Brings::Addition),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t USING btree (a, lower(b))", Brings::Plain),
        ("CREATE INDEX i ON t (f(a))", Brings::Addition),
        ("CREATE SCHEMA s", Brings::Plain),
        ("CREATE SCHEMA s CREATE VIEW v AS SELECT 1", Brings::Addition),
        ("CREATE TYPE t AS ENUM ('a')", Brings::Plain),
        ("CREATE TYPE t AS (a int)", Brings::Addition),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", Brings::Anything),
        ("ALTER TABLE t ADD COLUMN a text DEFAULT 'x' NOT NULL, ALTER b TYPE bigint", Brings::Plain),
        ("ALTER TABLE t DROP COLUMN a", Brings::Removal),
        ("ALTER TABLE t RENAME a TO b", Brings::Plain),
        ("ALTER TABLE t RENAME TO u", Brings::Move),
        ("ALTER TABLE ONLY s.t SET SCHEMA u", Brings::Move),
        ("ALTER INDEX t RENAME TO u", Brings::Move),
        ("ALTER TABLE t ENABLE TRIGGER g", Brings::Anything),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (id)", Brings::Plain),
        ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (id) ON DELETE CASCADE", Brings::Addition),
        ("ALTER TYPE t ADD VALUE 'b'", Brings::Plain),
        ("ALTER SCHEMA s RENAME TO u", Brings::Anything),
        ("ALTER ROLE r SET work_mem = '1MB'", Brings::Plain),
        ("DROP TABLE t", Brings::Removal),
        ("DROP FUNCTION f", Brings::Anything),
        ("DROP ROLE r", Brings::Plain),
        ("GRANT r TO u", Brings::Plain),
        ("IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", Brings::Anything),
        ("DO $$ BEGIN CREATE VIEW v AS SELECT 1; END $$", Brings::Anything),
        ("DO $$ BEGIN UPDATE t SET a = 1; END $$", Brings::Nothing),
    ] {
        let verdict = classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
        assert_eq!(verdict.statements[0].brings, brings, "{sql}");
    }
}
