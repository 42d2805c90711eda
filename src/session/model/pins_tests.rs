use super::*;
use crate::session::transaction::{Event, Transaction};
use crate::sql::{Classifier, StandardConformingStrings, Verdict};
use crate::wire::TxStatus;

/// A session that runs statements outside of any server: what it has after them.
struct Script {
    classifier: Classifier,
    pins: Pins,
    transaction: Transaction,
}

impl Script {
    fn new() -> Self {
        Self::with(Pins::default())
    }

    fn with(pins: Pins) -> Self {
        Self { classifier: Classifier::new(100), pins, transaction: Transaction::default() }
    }

    fn apply(&mut self, statement: &Statement, part: Part) {
        self.pins.apply(self.transaction.undoable_mut(), statement, part);
    }

    fn end(&mut self) -> &mut Self {
        self.transaction.on(Event::Ready(TxStatus::Idle));
        self
    }

    fn words(&self) -> String {
        let reasons = self.pins.reasons(self.transaction.undoable());
        reasons.iter().map(Pin::as_str).collect::<Vec<_>>().join(" ")
    }

    fn listens(&self) -> bool {
        self.pins.listens(self.transaction.undoable())
    }

    fn verdict(&self, sql: &str) -> std::sync::Arc<Verdict> {
        self.classifier.classify(sql.as_bytes(), StandardConformingStrings::On)
    }

    /// Runs a text outside a transaction, or what begins, ends or belongs to one.
    fn run(&mut self, sql: &str) -> &mut Self {
        for statement in &self.verdict(sql).statements {
            self.apply(statement, Part::Whole);
            self.transaction.on(Event::Completed(statement, sql.as_bytes()));
        }
        self
    }

    /// The same, with the ReadyForQuery behind it that tells that no transaction is open.
    fn alone(&mut self, sql: &str) -> &mut Self {
        self.run(sql).end()
    }

    fn fail(&mut self, sql: &str) -> &mut Self {
        self.verdict(sql).statements.iter().for_each(|statement| self.pins.fail(statement));
        self.transaction.on(Event::Failed);
        self.end()
    }
}

/// What there is after these texts, each of which is a request of its own outside a transaction; within `BEGIN` and its
/// end they belong together.
fn after(texts: &[&str]) -> String {
    let mut script = Script::new();
    let mut open = false;
    for sql in texts {
        open |= *sql == "BEGIN";
        if open {
            script.run(sql);
        } else {
            script.alone(sql);
        }
        open &= !matches!(*sql, "COMMIT" | "ROLLBACK");
    }
    script.words()
}

#[test]
fn what_is_created_alone_pins_until_it_is_given_up_alone() {
    for (adds, pin, frees) in [
        ("CREATE TEMP TABLE t (a int)", "temporary", "DROP TABLE t"),
        ("CREATE TEMP TABLE t (a int)", "temporary", "DROP TABLE IF EXISTS pg_temp.t CASCADE"),
        ("CREATE TEMP SEQUENCE s", "temporary", "DROP SEQUENCE s"),
        ("SELECT 1 INTO TEMP t", "temporary", "DISCARD TEMP"),
        ("LISTEN a", "listen", "UNLISTEN a"),
        ("LISTEN a", "listen", "UNLISTEN *"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold_cursor", "CLOSE c"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold_cursor", "CLOSE ALL"),
        ("PREPARE p AS SELECT 1", "sql_prepare", "DEALLOCATE p"),
        ("PREPARE p AS SELECT 1", "sql_prepare", "DEALLOCATE ALL"),
        ("SELECT pg_advisory_lock(1)", "advisory_lock", "SELECT pg_advisory_unlock(1)"),
        (
            "SELECT pg_try_advisory_lock_shared(1, 2)",
            "advisory_lock",
            "SELECT pg_advisory_unlock_shared(1,2)",
        ),
        ("SELECT pg_advisory_lock($1)", "advisory_lock", "SELECT pg_advisory_unlock_all()"),
        ("SELECT set_config('a.b', $1, false)", "dynamic_setting", "RESET a.b"),
        ("SELECT set_config('a.b', $1, false)", "dynamic_setting", "SET a.b = 'known'"),
        (
            "SELECT set_config('a.b', $1, false)",
            "dynamic_setting",
            "SELECT set_config('a.b', 'known', false)",
        ),
        ("SELECT set_config('a.b', $1, false)", "dynamic_setting", "RESET ALL"),
        ("SELECT set_config('role', $1, false)", "dynamic_setting", "RESET ROLE"),
        ("SELECT set_config($1, $2, false)", "dynamic_setting", "DISCARD ALL"),
        ("DO $$ BEGIN SET work_mem = '1MB'; END $$", "function", "DISCARD ALL"),
    ] {
        assert_eq!(after(&[adds]), pin, "{adds}");
        assert_eq!(after(&[adds, frees]), "", "{adds}; {frees}");
        assert_eq!(after(&[adds, "SELECT 1", frees, adds]), pin, "{adds} again");
    }
}

#[test]
fn what_may_still_be_there_pins() {
    for (texts, left) in [
        (&["CREATE TEMP TABLE t ()", "DROP TABLE u"][..], "temporary"),
        (&["CREATE TEMP TABLE t ()", "CREATE TEMP TABLE u ()", "DROP TABLE t"], "temporary"),
        (&["CREATE TEMP TABLE t ()", "DROP TABLE public.t"], "temporary"),
        (&["CREATE TEMP TABLE t ()", "ALTER TABLE t RENAME TO u", "DROP TABLE t"], "temporary"),
        (&["CREATE TEMP TABLE t ()", "SET search_path = public, pg_temp", "DROP TABLE t"], "temporary"),
        (&["SET search_path = pg_temp", "CREATE TABLE t ()"], "temporary"),
        (&["SET search_path = pg_temp", "CREATE TABLE public.t ()"], ""),
        (
            &["CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP TABLE f"],
            "temporary",
        ),
        (&["LISTEN a", "LISTEN b", "UNLISTEN a"], "listen"),
        (
            &["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"],
            "advisory_lock",
        ),
        (&["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock_shared(1)"], "advisory_lock"),
        (&["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1) FROM t"], "advisory_lock"),
        (&["SELECT pg_advisory_lock($1)", "SELECT pg_advisory_unlock($1)"], "advisory_lock"),
        (&["SELECT set_config('role', $1, false)", "RESET ALL"], "dynamic_setting"),
        (&["SELECT set_config($1, $2, false)", "RESET ALL"], "dynamic_setting"),
        (&["PREPARE p AS SELECT 1", "PREPARE q AS SELECT 1", "DEALLOCATE q"], "sql_prepare"),
        (&["LOAD 'x'", "DISCARD ALL"], "load"),
        (&["SELECT setseed(0.5)", "DISCARD ALL"], "unknown"),
        (&["DO $$ BEGIN EXECUTE x; END $$", "DISCARD ALL"], "function"),
        (&["DO $$ BEGIN EXECUTE x; END $$", "RESET ALL"], "function"),
        (
            &["SELECT pg_advisory_lock(1)", "DISCARD TEMP", "DISCARD SEQUENCES", "DISCARD PLANS"],
            "advisory_lock",
        ),
    ] {
        assert_eq!(after(texts), left, "{texts:?}");
    }
}

#[test]
fn how_a_pool_of_asyncpg_resets_a_session() {
    const RESET: &str = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
    let all = [
        "SELECT pg_advisory_lock(1)",
        "LISTEN a",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT set_config('app.user', $1, false)",
    ];
    assert_eq!(after(&[&all[..], &[RESET]].concat()), "");
    assert_eq!(after(&["CREATE TEMP TABLE t ()", "LISTEN a", RESET]), "temporary");
    assert_eq!(after(&["PREPARE p AS SELECT 1", RESET]), "sql_prepare");
}

#[test]
fn a_transaction_takes_back_what_postgresql_takes_back() {
    for (adds, undone) in [
        ("CREATE TEMP TABLE t ()", true),
        ("LISTEN a", true),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", true),
        ("SELECT set_config('a.b', $1, false)", true),
        ("SELECT pg_advisory_lock(1)", false),
        ("PREPARE p AS SELECT 1", false),
        ("LOAD 'x'", false),
        ("DO $$ BEGIN SET ROLE x; END $$", false),
    ] {
        assert_ne!(after(&["BEGIN", adds]), "", "{adds}");
        assert_ne!(after(&["BEGIN", adds, "COMMIT"]), "", "{adds}");
        assert_eq!(after(&["BEGIN", adds, "ROLLBACK"]).is_empty(), undone, "{adds}");
        let savepoint = ["BEGIN", "SAVEPOINT s", adds, "ROLLBACK TO s", "COMMIT"];
        assert_eq!(after(&savepoint).is_empty(), undone, "{adds}");
        assert_ne!(after(&["BEGIN", "SAVEPOINT s", adds, "RELEASE s", "COMMIT"]), "", "{adds}");
    }
    for (adds, frees, kept) in [
        ("CREATE TEMP TABLE t ()", "DROP TABLE t", true),
        ("CREATE TEMP TABLE t ()", "DISCARD TEMP", true),
        ("LISTEN a", "UNLISTEN *", true),
        ("SELECT set_config('a.b', $1, false)", "RESET a.b", true),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c", false),
        ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)", false),
        ("PREPARE p AS SELECT 1", "DEALLOCATE p", false),
    ] {
        assert_eq!(!after(&[adds, "BEGIN", frees, "ROLLBACK"]).is_empty(), kept, "{adds}; {frees}");
        assert_eq!(after(&[adds, "BEGIN", frees, "COMMIT"]), "", "{adds}; {frees}");
    }
    assert_eq!(after(&["BEGIN", "CREATE TEMP TABLE t () ON COMMIT DROP", "COMMIT"]), "");
}

#[test]
fn what_a_failed_statement_may_leave_counts() {
    for (sql, left) in [
        ("SELECT pg_advisory_lock(1)", "advisory_lock"),
        ("LOAD 'x'", "load"),
        ("DO $$ BEGIN PERFORM pg_advisory_lock(1); RAISE 'no'; END $$", "function"),
        ("LISTEN a", ""),
        ("CREATE TEMP TABLE t ()", ""),
        ("PREPARE p AS SELECT 1", ""),
        ("SELECT pg_advisory_unlock_all()", ""),
    ] {
        assert_eq!(Script::new().fail(sql).words(), left, "{sql}");
    }
    let mut script = Script::new();
    script.alone("SELECT pg_advisory_lock(1)").fail("SELECT pg_advisory_unlock(1)");
    assert_eq!(script.words(), "advisory_lock");
}

#[test]
fn a_row_limit_that_is_reached_gives_nothing_up() {
    let mut script = Script::new();
    script.alone("SELECT pg_advisory_lock(1)");
    let verdict = script.verdict("SELECT pg_advisory_unlock(1)");
    script.apply(&verdict.statements[0], Part::Begun);
    assert_eq!(script.words(), "advisory_lock");
    let verdict = script.verdict("SELECT pg_advisory_lock(2)");
    script.apply(&verdict.statements[0], Part::Begun);
    script.alone("SELECT pg_advisory_unlock(1)");
    assert_eq!(script.words(), "advisory_lock", "the second lock was taken");
}

#[test]
fn notifications_are_for_who_listens_or_did_when_the_transaction_began() {
    let mut script = Script::new();
    assert!(!script.alone("NOTIFY a").listens());
    assert!(script.run("LISTEN a").listens());
    script.end();
    assert!(script.run("UNLISTEN *").listens(), "it may be rolled back");
    script.end();
    assert!(!script.listens());
    assert!(script.alone("DO $$ BEGIN EXECUTE x; END $$").listens());
}

fn name(name: &str) -> Name {
    Name { schema: None, name: name.into() }
}

fn left(traces: Traces) -> Resolved {
    Resolved { traces, vanished: false }
}

#[test]
fn what_is_gone_before_it_was_read_holds_no_session_and_keeps_its_connection_from_others() {
    let mut script = Script::new();
    script.pins.doubt(Doubted::Function(name("f")), 1, Instant::now());
    assert!(!script.pins.has_vanished() && script.words() == "function");
    script.pins.resolve(|_| Some(Resolved { traces: Traces::None, vanished: true }));
    assert!(script.pins.has_vanished() && script.pins.outlast_discard() && script.words().is_empty());
    assert!(script.alone("DISCARD ALL").pins.has_vanished());
    script.pins.clear(script.transaction.undoable_mut());
    assert!(!script.pins.has_vanished());
}

#[test]
fn a_function_in_doubt_pins_until_it_is_known() {
    let now = Instant::now();
    let mut script = Script::new();
    script.pins.doubt(Doubted::Function(name("f")), 1, now);
    script.pins.doubt(Doubted::Function(name("f")), 1, now);
    script.pins.doubt(Doubted::Function(name("g")), 1, now);
    script.end();
    assert_eq!(script.words(), "function");
    script.pins.resolve(|doubt| (doubt.what == Doubted::Function(name("f"))).then_some(left(Traces::None)));
    assert_eq!((script.words().as_str(), script.pins.doubts()), ("function", true));
    script.pins.resolve(|_| Some(left(Traces::None)));
    assert_eq!((script.words().as_str(), script.pins.doubts()), ("", false));
    // One that turns out to leave something goes on pinning, unless it has been discarded since.
    script.pins.doubt(Doubted::Function(name("f")), 1, now);
    script.pins.resolve(|_| Some(left(Traces::Discardable)));
    assert_eq!(script.words(), "function");
    assert_eq!(script.alone("DISCARD ALL").words(), "");
    for (traces, words) in [(Traces::Discardable, ""), (Traces::Lasting, "function")] {
        script.pins.doubt(Doubted::Function(name("f")), 1, now);
        script.alone("DISCARD ALL");
        assert!(script.pins.doubts());
        script.pins.resolve(|_| Some(left(traces)));
        assert_eq!(script.words(), words, "{traces:?}");
    }
    (0..2_000).for_each(|n| script.pins.doubt(Doubted::Function(name(&format!("f{n}"))), 1, now));
    script.pins.resolve(|_| Some(left(Traces::None)));
    assert_eq!(script.words(), "function", "more than are remembered");
}

#[test]
fn a_function_called_by_its_oid_is_known_if_it_is_postgresqls_own() {
    for (oid, left) in [
        (Some(952), ""),
        (Some(2884), ""),
        (Some(2078), "function"),
        (Some(20_000), "function"),
        (None, "function"),
    ] {
        let mut pins = Pins::default();
        pins.call(oid);
        assert_eq!(Script::with(pins).words(), left, "{oid:?}");
    }
}

#[test]
fn nothing_is_kept_of_a_session_that_has_nothing() {
    let mut script = Script::new();
    script.run("BEGIN").run("SAVEPOINT a").run("LISTEN c").run("ROLLBACK TO a").run("COMMIT");
    let is_empty = |script: &Script| {
        let mut levels = script.transaction.undoable().levels();
        script.pins.held.is_none() && levels.all(|level| level.pins.is_none())
    };
    assert!(script.words().is_empty() && is_empty(&script));
    script.alone("LISTEN a").alone("DISCARD ALL");
    assert!(is_empty(&script));
    let startup = Settings::default().with("search_path", Some(Value::Raw("pg_temp, public".into())));
    script.pins = Pins::of(&startup);
    assert_eq!(script.alone("CREATE TABLE t ()").words(), "temporary");
    script.pins.clear(script.transaction.undoable_mut());
    assert!(script.words().is_empty() && is_empty(&script));
}
