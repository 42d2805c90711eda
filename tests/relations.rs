//! What a name in a statement may reach, as a real catalog has it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Options, Result, Stop};
use weir::cluster::Cluster;
use weir::cluster::catalog::{Catalog, Reach, Volatility};
use weir::cluster::catalogs::Changed;
use weir::config::{Config, load_with};
use weir::freshness::Slot;
use weir::sql::Name;

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

const FUNCTIONS: &str = "
    SET ROLE app;
    CREATE TABLE log (id int);
    CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (1); RETURN NEW; END';
    CREATE FUNCTION writes(int) RETURNS int VOLATILE LANGUAGE sql AS 'INSERT INTO log VALUES ($1) RETURNING 1';
    CREATE FUNCTION looks(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT count(*)::int FROM log';
    CREATE FUNCTION knows(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';
    CREATE FUNCTION step(int, int) RETURNS int VOLATILE LANGUAGE sql AS 'INSERT INTO log VALUES ($2) RETURNING 1';
    CREATE AGGREGATE sum_up (int) (SFUNC = step, STYPE = int);
    CREATE AGGREGATE sum_up_by_looking (int) (SFUNC = int4pl, STYPE = int, FINALFUNC = looks);
    CREATE AGGREGATE plain_sum (int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
    CREATE FUNCTION equals(int, int) RETURNS bool STABLE LANGUAGE sql AS 'SELECT $1 = $2 FROM log';
    CREATE OPERATOR ==== (LEFTARG = int, RIGHTARG = int, FUNCTION = equals);";

const TABLES: &str = "
    SET ROLE app;
    CREATE TABLE plain (id serial PRIMARY KEY, at timestamptz DEFAULT now());
    CREATE TABLE \"Quoted \"\"name\" (id int);
    CREATE SCHEMA other;
    CREATE TABLE twice (id int);
    CREATE TABLE other.twice (id int);
    CREATE TABLE with_trigger (id int);
    CREATE TRIGGER act AFTER INSERT ON with_trigger FOR EACH ROW EXECUTE FUNCTION act();
    CREATE TABLE switched_off (id int);
    CREATE TRIGGER act AFTER TRUNCATE ON switched_off EXECUTE FUNCTION act();
    ALTER TABLE switched_off DISABLE TRIGGER act;
    CREATE TABLE with_rule (id int);
    CREATE RULE act AS ON DELETE TO with_rule DO ALSO INSERT INTO log VALUES (1);
    CREATE TABLE with_default (id int DEFAULT writes(1));
    CREATE TABLE stable_default (id int DEFAULT looks(1), u uuid DEFAULT gen_random_uuid());
    CREATE TABLE with_check (id int CHECK (writes(id) = 1));
    CREATE TABLE stable_check (id int CHECK (knows(id)));
    CREATE TABLE generated (id int, sum int GENERATED ALWAYS AS (id + 1) STORED);
    CREATE TABLE indexed (id int);
    CREATE INDEX ON indexed (knows(id));
    CREATE DOMAIN checked AS int CHECK (writes(VALUE) = 1);
    CREATE DOMAIN checked_again AS checked;
    CREATE TYPE pair AS (one int, other checked_again);
    CREATE TABLE with_domain (id int, pairs pair[]);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE plain_domain (id positive);";

const TIES: &str = "
    SET ROLE app;
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE deleted (id int PRIMARY KEY REFERENCES parent ON DELETE CASCADE);
    CREATE TABLE nulled (id int PRIMARY KEY REFERENCES deleted ON DELETE SET NULL);
    CREATE TABLE updated (id int PRIMARY KEY REFERENCES nulled ON UPDATE CASCADE);
    ALTER TABLE parent ADD FOREIGN KEY (id) REFERENCES updated ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED;
    CREATE TABLE kept (id int PRIMARY KEY);
    CREATE TABLE keeps (id int REFERENCES kept);
    CREATE TABLE watched (id int PRIMARY KEY);
    CREATE TABLE watching (id int REFERENCES watched ON DELETE CASCADE);
    CREATE TRIGGER act AFTER DELETE ON watching FOR EACH ROW EXECUTE FUNCTION act();
    CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY LIST (id);
    CREATE TABLE events_old_1 PARTITION OF events_old FOR VALUES IN (1);
    CREATE INDEX ON events (id);
    CREATE TABLE base (id int);
    CREATE TABLE heir (more int) INHERITS (base);
    CREATE TABLE orders (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE orders_all PARTITION OF orders DEFAULT;
    CREATE TABLE lines (id int, day date, FOREIGN KEY (id, day) REFERENCES orders ON DELETE CASCADE);";

const VIEWS: &str = "
    SET ROLE app;
    CREATE VIEW simple AS SELECT id FROM plain;
    CREATE VIEW wide AS SELECT s.id FROM simple s, other.twice WHERE EXISTS (SELECT 1 FROM heir);
    CREATE VIEW of_trigger AS SELECT * FROM with_trigger;
    CREATE VIEW instead AS SELECT id FROM plain;
    CREATE TRIGGER act INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION act();
    CREATE VIEW calls AS SELECT looks(id) FROM plain;
    CREATE VIEW over_calls AS SELECT * FROM calls;
    CREATE VIEW changes AS SELECT writes(id) FROM plain;
    CREATE VIEW over_changes AS SELECT * FROM changes;
    CREATE VIEW computes AS SELECT knows(id) FROM plain;
    CREATE VIEW sums_up AS SELECT sum_up(id) FROM plain;
    CREATE VIEW sums_up_by_looking AS SELECT sum_up_by_looking(id) FROM plain;
    CREATE VIEW numbers AS SELECT last_value FROM plain_id_seq;
    CREATE VIEW compares AS SELECT id FROM plain WHERE id === 1;
    CREATE VIEW compares_by_code AS SELECT id FROM plain WHERE id ==== 1;
    CREATE VIEW of_catalog AS SELECT c.relname FROM pg_class c, pg_tables;
    CREATE MATERIALIZED VIEW stored AS SELECT looks(id) FROM plain;
    CREATE VIEW of_stored AS SELECT * FROM stored;
    CREATE TABLE called_as_column (id int);
    CREATE FUNCTION total(called_as_column) RETURNS int STABLE LANGUAGE sql AS 'SELECT count(*)::int FROM log';
    CREATE TABLE members (name text);
    CREATE TABLE guarded (id int);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded USING (EXISTS (SELECT 1 FROM members WHERE name = current_user));
    CREATE VIEW of_guarded AS SELECT * FROM guarded;
    CREATE TABLE guarded_by_code (id int);
    CREATE POLICY p ON guarded_by_code FOR INSERT WITH CHECK (writes(id) = 1);
    CREATE TABLE guarded_by_looks (id int);
    CREATE POLICY p ON guarded_by_looks USING (looks(id) = 1);";

/// Name, what may have changed when it was written, and what it may depend on when it is read: relations, `*` for
/// everything.
const EXPECTED: &[(&str, &str, &str)] = &[
    ("plain", "plain", "plain"),
    ("public.plain", "plain", "plain"),
    ("plain_id_seq", "plain_id_seq", "plain_id_seq"),
    ("Quoted \"name", "\"Quoted \"\"name\"", "\"Quoted \"\"name\""),
    ("twice", "public.twice other.twice", "public.twice other.twice"),
    ("public.twice", "twice", "twice"),
    ("other.twice", "other.twice", "other.twice"),
    ("with_trigger", "*", "with_trigger"),
    ("switched_off", "switched_off", "switched_off"),
    ("with_rule", "*", "with_rule"),
    ("with_default", "*", "with_default"),
    ("stable_default", "*", "stable_default"),
    ("with_check", "*", "with_check"),
    ("stable_check", "stable_check", "stable_check"),
    ("generated", "generated", "generated"),
    ("indexed", "indexed", "indexed"),
    ("with_domain", "*", "with_domain"),
    ("plain_domain", "plain_domain", "plain_domain"),
    ("parent", "parent deleted nulled updated", "parent"),
    ("updated", "parent deleted nulled updated", "updated"),
    ("kept", "kept", "kept"),
    ("keeps", "keeps", "keeps"),
    ("watched", "*", "watched"),
    ("events", "events", "events"),
    ("events_old", "events", "events"),
    ("events_old_1", "events", "events"),
    ("base", "base", "base"),
    ("heir", "base", "base"),
    ("orders", "orders lines", "orders"),
    ("orders_all", "orders lines", "orders"),
    ("lines", "lines", "lines"),
    ("simple", "plain", "plain"),
    ("wide", "plain other.twice base", "plain other.twice base"),
    ("of_trigger", "*", "with_trigger"),
    ("instead", "*", "plain"),
    ("calls", "*", "*"),
    ("over_calls", "*", "*"),
    ("computes", "plain", "*"),
    ("changes", "*", "*"),
    ("over_changes", "*", "*"),
    ("compares", "plain", "plain"),
    ("compares_by_code", "*", "*"),
    ("sums_up", "*", "*"),
    ("sums_up_by_looking", "*", "*"),
    ("numbers", "plain_id_seq", "plain_id_seq"),
    ("of_catalog", "", ""),
    ("stored", "stored", "stored"),
    ("of_stored", "stored", "stored"),
    ("called_as_column", "*", "*"),
    ("guarded", "guarded", "guarded members"),
    ("of_guarded", "guarded", "guarded members"),
    ("guarded_by_code", "*", "*"),
    ("guarded_by_looks", "*", "*"),
];

/// Relations the reading of which may write.
const VOLATILE: [&str; 10] = [
    "calls",
    "over_calls",
    "changes",
    "over_changes",
    "compares_by_code",
    "sums_up",
    "sums_up_by_looking",
    "called_as_column",
    "guarded_by_code",
    "guarded_by_looks",
];

/// Sequences and views of them.
const SEQUENCES: [&str; 2] = ["plain_id_seq", "numbers"];

fn configuration(servers: &harness::Cluster) -> Config {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("relations");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{}.toml", servers.port(0)));
    let server = |n| format!("[[servers]]\nhost = \"127.0.0.1\"\nport = {}\n", servers.port(n));
    let text = "[[users]]\nname = \"app\"\npassword = \"app\"\n\
                [health]\ndatabase = \"app\"\ninterval = \"200ms\"\ntimeout = \"1s\"\ncatalog_interval = \"1h\"\n";
    std::fs::write(&file, (0..servers.size()).map(server).collect::<String>() + text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let config = load_with(&file, &HashMap::new()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    std::fs::remove_file(file).unwrap();
    config
}

/// weir's view of the servers, and a way to its catalog.
struct Watch {
    cluster: Arc<Cluster>,
}

impl Watch {
    fn start(servers: &harness::Cluster) -> Self {
        let config = configuration(servers);
        let cluster = Cluster::start(&config);
        cluster.catalogs().want("app", &config.users[0]);
        Self { cluster }
    }

    /// The catalog, once its relations are known.
    async fn catalog(&self) -> Arc<Catalog> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.cluster.catalogs().of("app").filter(|catalog| !catalog.relations.is_empty()) {
                Some(catalog) => return catalog,
                None => assert!(Instant::now() < end, "the catalog is not loaded"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A name as a verdict has it: `schema.name` or `name`, taken as it is.
fn name(text: &str) -> Name {
    match text.split_once('.') {
        Some((schema, name)) => Name { schema: Some(schema.into()), name: name.into() },
        None => Name { schema: None, name: text.into() },
    }
}

/// The places of relations, named as SQL names them.
fn places(servers: &harness::Cluster, relations: &str) -> BTreeSet<Slot> {
    let names =
        if relations.contains('"') { vec![relations] } else { relations.split_whitespace().collect() };
    let oid = |name: &str| {
        let answer = servers.sql(0, &format!("SELECT '{name}'::regclass::oid")).unwrap();
        Slot::of(answer.value().parse().unwrap())
    };
    names.into_iter().map(oid).collect()
}

fn expected(servers: &harness::Cluster, relations: &str) -> Option<BTreeSet<Slot>> {
    if relations == "*" { None } else { Some(places(servers, relations)) }
}

fn found(reach: &Reach) -> Option<BTreeSet<Slot>> {
    match reach {
        Reach::These(slots) => Some(slots.iter().copied().collect()),
        Reach::Everything => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_reaches_what_its_definition_says() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    for sql in [FUNCTIONS, TABLES, TIES, VIEWS] {
        servers.sql(0, sql)?;
    }
    let watch = Watch::start(&servers);
    let catalog = watch.catalog().await;
    for (relation, written, read) in EXPECTED {
        let known = catalog.relation(&name(relation)).unwrap_or_else(|| panic!("{relation} is not known"));
        assert_eq!(found(&known.written), expected(&servers, written), "{relation} written");
        assert_eq!(found(&known.read), expected(&servers, read), "{relation} read");
        assert_eq!(catalog.is_volatile(&name(relation)), VOLATILE.contains(relation), "{relation}");
        assert_eq!(catalog.is_sequence(&name(relation)), SEQUENCES.contains(relation), "{relation}");
    }
    for (function, volatility) in [
        ("lower", Volatility::ReadOnly),
        ("array_agg", Volatility::ReadOnly),
        ("nextval", Volatility::Volatile),
        ("writes", Volatility::Volatile),
        ("looks", Volatility::Declared),
        ("knows", Volatility::Declared),
        ("sum_up", Volatility::Volatile),
        ("sum_up_by_looking", Volatility::Declared),
        ("plain_sum", Volatility::ReadOnly),
    ] {
        assert_eq!(catalog.function(&name(function)), Some(volatility), "{function}");
    }
    for unknown in ["pg_class", "pg_catalog.pg_class", "quoted \"name", "other.plain", "events_id_idx"] {
        assert_eq!(catalog.relation(&name(unknown)), None, "{unknown}");
    }
    Ok(())
}

/// Each relation's definition, and whether reading it asks for the transaction.
const ASKING: &[(&str, &str, bool)] = &[
    (
        "of_nothing",
        "VIEW of_nothing AS SELECT clock_timestamp(), statement_timestamp(), current_user, user FROM t",
        false,
    ),
    ("of_two_times", "VIEW of_two_times AS SELECT age(at, at), date_trunc('day', at) FROM t", false),
    (
        "of_setting",
        "VIEW of_setting AS SELECT current_setting('app.tenant', true) AS a, current_setting('TimeZone')",
        false,
    ),
    ("of_catalog", "VIEW of_catalog AS SELECT relname FROM pg_class", false),
    ("of_immutable", "VIEW of_immutable AS SELECT knows(id) FROM t WHERE id === 1", false),
    ("of_now", "VIEW of_now AS SELECT id FROM t WHERE at > now()", true),
    ("of_start", "VIEW of_start AS SELECT EXISTS (SELECT FROM t WHERE at = transaction_timestamp())", true),
    ("of_day", "VIEW of_day AS SELECT CURRENT_DATE AS day", true),
    ("of_clock", "VIEW of_clock AS SELECT LOCALTIME(0) AS clock FROM t", true),
    ("of_stamp", "VIEW of_stamp AS SELECT current_timestamp, current_user", true),
    ("of_age", "VIEW of_age AS SELECT age(at) FROM t", true),
    ("of_mode", "VIEW of_mode AS SELECT current_setting('Transaction_Isolation')", true),
    (
        "of_any_setting",
        "VIEW of_any_setting AS SELECT current_setting('app.a'), current_setting(name) AS b FROM t",
        true,
    ),
    ("of_settings", "VIEW of_settings AS SELECT name FROM pg_settings", true),
    ("of_snapshot", "VIEW of_snapshot AS SELECT pg_current_snapshot()", true),
    ("of_function", "VIEW of_function AS SELECT looks(id) FROM t", true),
    ("of_aggregate", "VIEW of_aggregate AS SELECT sum_up(id) FROM t", true),
    ("over", "VIEW over AS SELECT * FROM of_now", true),
    ("stored", "MATERIALIZED VIEW stored AS SELECT * FROM of_now", false),
    ("over_stored", "VIEW over_stored AS SELECT * FROM stored", false),
    ("written", "TABLE written (id int DEFAULT looks(1), at timestamptz DEFAULT now())", false),
    (
        "guarded",
        "TABLE guarded (id int, at date); CREATE POLICY p ON guarded USING (at < CURRENT_DATE)",
        true,
    ),
    (
        "tenants",
        "TABLE tenants (name text); CREATE POLICY p ON tenants USING (name = current_setting('app.tenant'))",
        false,
    ),
    (
        "checked",
        "TABLE checked (at timestamptz); CREATE POLICY p ON checked FOR INSERT WITH CHECK (at < now())",
        false,
    ),
    ("over_guarded", "VIEW over_guarded AS SELECT g.id FROM tenants, guarded g", true),
    (
        "computed",
        "TABLE computed (id int); CREATE FUNCTION days(computed) RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
        true,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_its_transaction_is_known() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    servers.sql(0, FUNCTIONS)?;
    // One that may write would let any statement ask.
    servers.sql(0, "DROP OPERATOR ==== (int, int)")?;
    servers.sql(0, "SET ROLE app; CREATE TABLE t (id int, name text, at timestamptz)")?;
    for (_, definition, _) in ASKING {
        servers.sql(0, &format!("SET ROLE app; CREATE {definition}"))?;
    }
    let watch = Watch::start(&servers);
    let catalog = watch.catalog().await;
    for (relation, _, asks) in ASKING {
        assert_eq!(catalog.asks_transaction(&name(relation)), *asks, "{relation}");
    }
    for (relation, asks) in [("pg_class", false), ("pg_catalog.pg_class", false), ("nowhere", true)] {
        assert_eq!(catalog.asks_transaction(&name(relation)), asks, "{relation}");
    }
    for (function, asks) in
        [("knows", false), ("public.knows", false), ("plain_sum", false), ("looks", true), ("writes", true)]
    {
        assert_eq!(catalog.function_asks_transaction(&name(function)), asks, "{function}");
    }
    for (function, asks) in [("sum_up", true), ("sum_up_by_looking", true), ("nobody", true)] {
        assert_eq!(catalog.function_asks_transaction(&name(function)), asks, "{function}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_empties_the_catalog_and_is_in_the_next_one() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    servers.sql(0, FUNCTIONS)?;
    servers.sql(0, "SET ROLE app; CREATE TABLE t (id int); CREATE VIEW v AS SELECT 1 AS id")?;
    let start = Instant::now();
    let watch = Watch::start(&servers);
    let catalogs = watch.cluster.catalogs();
    let before = watch.catalog().await;
    let since = before.since.unwrap();
    assert!(since > start);
    assert_eq!(before.relation(&name("t")).unwrap().written, Reach::These(Box::new([slot(&servers, "t")])));

    servers.sql(0, "CREATE OR REPLACE VIEW v AS SELECT id FROM t; CREATE TABLE n (id int)")?;
    servers.sql(0, "CREATE TRIGGER act AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION act()")?;
    catalogs.stale("app", Changed::Code);
    let emptied = catalogs.of("app").unwrap();
    assert!(emptied.since.is_none() || emptied.since > Some(since), "what may be wrong is gone at once");
    assert_ne!(emptied.relation(&name("t")), before.relation(&name("t")));

    let after = watch.catalog().await;
    let t = [slot(&servers, "t")];
    assert_eq!(after.relation(&name("t")).unwrap().written, Reach::Everything);
    assert_eq!(after.relation(&name("v")).unwrap().read, Reach::These(Box::new(t)));
    assert_eq!(after.relation(&name("n")).unwrap().read, Reach::These(Box::new([slot(&servers, "n")])));
    assert!(after.since.unwrap() > since);

    // Read again without a definition in between, it says the same, and has done so ever since.
    catalogs.missed("app", Instant::now());
    let end = Instant::now() + PATIENCE;
    let again = loop {
        let again = watch.catalog().await;
        if !Arc::ptr_eq(&again, &after) {
            break again;
        }
        assert!(Instant::now() < end, "the catalog is not loaded again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((again.since, &again.relations), (after.since, &after.relations));
    Ok(())
}

/// What no text tells of: each of these lets a statement write that names nothing which does. Functions in C and those
/// that are declared IMMUTABLE are believed.
#[tokio::test(flavor = "multi_thread")]
async fn code_behind_operators_casts_and_types_is_known_to_be_there() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(0))?;
    servers.sql(
        0,
        "CREATE TABLE log (id int); CREATE TYPE one AS (a int); CREATE TYPE two AS (b int);
         CREATE FUNCTION writes(int, int) RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES (1) RETURNING 1';
         CREATE FUNCTION declared(int, int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN writes(1, 2); END';
         CREATE FUNCTION checks(int) RETURNS bool LANGUAGE sql AS 'SELECT writes($1, $1) = 1';
         CREATE FUNCTION turns(one) RETURNS two LANGUAGE sql AS 'SELECT writes(1, 1); SELECT ROW(1)::two';
         CREATE FUNCTION compares(one, one) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN writes(1, 1); END';
         CREATE FUNCTION less(one, one) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.a < $2.a';
         CREATE OPERATOR <<< (LEFTARG = one, RIGHTARG = one, FUNCTION = less);
         CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
         CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    )?;
    let watch = Watch::start(&servers);
    assert!(!watch.catalog().await.operators_write);
    for (create, drop) in [
        (
            "CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = writes)",
            "DROP OPERATOR @@@ (int, int)",
        ),
        (
            "CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = declared)",
            "DROP OPERATOR @@@ (int, int)",
        ),
        ("CREATE CAST (one AS two) WITH FUNCTION turns(one)", "DROP CAST (one AS two)"),
        ("CREATE DOMAIN checked AS int CHECK (checks(VALUE))", "DROP DOMAIN checked"),
        (
            "CREATE OPERATOR CLASS c FOR TYPE one USING btree AS OPERATOR 1 <<<, FUNCTION 1 compares(one, one)",
            "DROP OPERATOR FAMILY c USING btree",
        ),
    ] {
        for (sql, there) in [(create, true), (drop, false)] {
            servers.sql(0, sql)?;
            watch.cluster.catalogs().stale("app", Changed::Code);
            assert!(watch.cluster.catalogs().of("app").unwrap().operators_write, "not known");
            assert_eq!(watch.catalog().await.operators_write, there, "{sql}");
        }
    }
    Ok(())
}

/// What a primary that was a replica a moment ago has is read from it.
#[tokio::test(flavor = "multi_thread")]
async fn another_primary_has_another_catalog() -> Result<()> {
    let servers = harness::Cluster::with(Options::new(1))?;
    servers.sql(0, "CREATE TABLE made_here (id int)")?;
    servers.wait_caught_up()?;
    let watch = Watch::start(&servers);
    let before = watch.catalog().await;
    servers.stop(0, Stop::Immediate)?;
    servers.promote(1)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let after = watch.catalog().await;
        if after.since > before.since && after.relation(&name("made_here")).is_some() {
            return Ok(());
        }
        assert!(Instant::now() < end, "the catalog is that of the old primary");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn slot(servers: &harness::Cluster, relation: &str) -> Slot {
    places(servers, relation).into_iter().next().unwrap()
}
