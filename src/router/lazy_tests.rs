//! Where a request of a transaction runs that has only read: by what it is, what is wished for, what is known, and what
//! was said of the transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::cluster::catalog::{Reach, Relation, Volatility};
use crate::config::Rule;
use crate::router::{FixedTarget, FunctionLists, Learned, Replicas, TargetSource, Transaction};
use crate::sql::{Classifier, Pin, StandardConformingStrings};

use LazyRoute::{Alone, OnPrimary, OnReplica};
use Reason::{BeginReadOnly, InTransaction, LazyRead, LazyState};

/// A world with one function and one relation of each kind, a session without any wishes, and a transaction of which
/// nothing was said.
struct Scene {
    classifier: Classifier,
    catalog: Option<Catalog>,
    learned: Learned,
    rules: Vec<Rule>,
    functions: FunctionLists,
    session: SessionView<'static>,
    modes: Modes,
    transactions: Transactions,
    /// The one cursor that is open.
    open: Option<&'static str>,
    snapshot: Option<Route>,
    now: Instant,
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for (name, volatility) in [
        ("immutable", Volatility::ReadOnly),
        ("stable", Volatility::ReadOnly),
        ("writes", Volatility::Volatile),
    ] {
        catalog.add_function("public", name, volatility);
    }
    catalog.add_asking_function("public", "stable");
    let nothing = || Reach::These(Box::default());
    let relation = Relation { written: nothing(), read: nothing() };
    for name in ["t", "asking_view", "scratch", "numbers"] {
        catalog.add_relation("public", name, &relation, Volatility::ReadOnly);
    }
    catalog.add_asking("public", "asking_view");
    catalog.add_unlogged("public", "scratch");
    catalog.add_sequence("public", "numbers");
    catalog
}

fn scene() -> Scene {
    Scene {
        classifier: Classifier::new(100),
        catalog: Some(catalog()),
        learned: Learned::new(10, Duration::from_secs(60)),
        rules: Vec::new(),
        functions: FunctionLists::default(),
        session: SessionView {
            transaction: Transaction::None,
            pin: None,
            target: None,
            user: "app",
            database: "shop",
            application_name: "web",
            defaults: Modes::default(),
        },
        modes: Modes::default(),
        transactions: Transactions::Lazy,
        open: None,
        snapshot: None,
        now: Instant::now(),
    }
}

impl Scene {
    fn verdict(&self, sql: &str) -> Arc<Verdict> {
        self.classifier.classify(sql.as_bytes(), StandardConformingStrings::On)
    }

    /// Messages of one batch.
    fn decide_all(&self, texts: &[&'static str]) -> LazyRoute {
        let verdicts: Vec<_> = texts.iter().map(|sql| (self.verdict(sql), sql.as_bytes())).collect();
        let world = World {
            replicas: Replicas::Usable,
            catalog: self.catalog.as_ref(),
            learned: &self.learned,
            rules: &self.rules,
            functions: &self.functions,
            now: self.now,
        };
        let is_open = |name: &str| self.open.is_some_and(|open| name.is_empty() || open == name);
        let promise = Promise {
            modes: self.modes,
            transactions: self.transactions,
            is_open: &is_open,
            snapshot: self.snapshot,
        };
        lazy(verdicts.iter().map(|(verdict, sql)| (&**verdict, *sql)), &self.session, &world, &promise)
    }

    fn decide(&self, sql: &'static str) -> LazyRoute {
        self.decide_all(&[sql])
    }

    fn check(&self, rows: &[(&'static str, LazyRoute)]) {
        for (sql, expected) in rows {
            assert_eq!(self.decide(sql), *expected, "{sql}");
        }
    }

    fn begun(&mut self, sql: &str) {
        let verdict = self.verdict(sql);
        let Kind::Begin(modes) = verdict.statements[0].kind else { panic!("{sql}") };
        self.modes = modes;
    }
}

const ALONE: LazyRoute = Alone(LazyRead);
const STATE: LazyRoute = OnReplica(LazyState);

#[test]
fn a_plain_read_runs_alone() {
    scene().check(&[
        ("SELECT * FROM t", ALONE),
        ("WITH x AS (SELECT 1) SELECT * FROM x, public.t", ALONE),
        ("VALUES (1)", ALONE),
        ("TABLE t", ALONE),
        ("EXPLAIN SELECT * FROM t", ALONE),
        ("COPY t TO STDOUT", ALONE),
        ("SHOW application_name", ALONE),
        ("SELECT clock_timestamp(), random()", ALONE),
        ("SELECT * FROM pg_class", ALONE),
        ("", ALONE),
    ]);
    assert_eq!(scene().decide_all(&[]), ALONE, "a lone Sync");
}

#[test]
fn what_depends_on_the_transaction_runs_within_it() {
    scene().check(&[
        ("SELECT now()", STATE),
        ("SELECT * FROM t WHERE at > CURRENT_DATE", STATE),
        ("SELECT 'today'", STATE),
        ("SELECT now(), txid_current_snapshot()", STATE),
        ("SELECT current_setting('app.tenant')", ALONE),
        ("SET LOCAL work_mem = '1MB'", STATE),
        ("SET timezone = 'UTC'", STATE),
        ("SET LOCAL ROLE app", STATE),
        ("SET weir.consistency = 'session'", STATE),
        ("SELECT set_config('app.tenant', 'one', true)", STATE),
        ("SELECT set_config('app.tenant', $1, true)", STATE),
        ("DECLARE c CURSOR FOR SELECT * FROM t", STATE),
    ]);
}

#[test]
fn anything_else_runs_on_the_primary() {
    scene().check(&[
        ("INSERT INTO t VALUES (1)", OnPrimary(Reason::Write)),
        ("WITH gone AS (DELETE FROM t RETURNING 1) SELECT * FROM gone", OnPrimary(Reason::Write)),
        ("SELECT * FROM t FOR SHARE", OnPrimary(Reason::RowLock)),
        ("LOCK TABLE t", OnPrimary(Reason::TableLock)),
        ("CREATE TABLE u (a int)", OnPrimary(Reason::Ddl)),
        ("CREATE TEMP TABLE u (a int)", OnPrimary(Reason::Temporary)),
        ("LISTEN a", OnPrimary(Reason::Notification)),
        ("SELECT nextval('numbers')", OnPrimary(Reason::Sequence)),
        ("SELECT pg_advisory_xact_lock(1)", OnPrimary(Reason::AdvisoryLock)),
        ("SELECT pg_backend_pid()", OnPrimary(Reason::ServerState)),
        ("CALL p()", OnPrimary(Reason::Procedure)),
        ("VACUUM", OnPrimary(Reason::Maintenance)),
        ("PREPARE TRANSACTION 'x'", OnPrimary(Reason::TwoPhase)),
        ("PREPARE p AS SELECT 1", OnPrimary(Reason::Prepared)),
        ("EXECUTE p", OnPrimary(Reason::Prepared)),
        ("DISCARD ALL", OnPrimary(Reason::Discard)),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", OnPrimary(Reason::HoldCursor)),
        ("DECLARE c CURSOR FOR SELECT writes()", OnPrimary(Reason::VolatileFunction)),
        // What the client came with is told behind a reset, and a journal knows nothing of that.
        ("RESET timezone", OnPrimary(Reason::Setting)),
        ("RESET ALL", OnPrimary(Reason::Setting)),
        ("SET timezone TO DEFAULT", OnPrimary(Reason::Setting)),
        ("SET LOCAL timezone TO DEFAULT", OnPrimary(Reason::Setting)),
        ("gibberish", OnPrimary(Reason::Unparsable)),
    ]);
}

#[test]
fn what_moves_in_the_transaction_needs_the_primary_only_to_be_judged() {
    scene().check(&[
        ("COMMIT", STATE),
        ("ROLLBACK AND CHAIN", STATE),
        ("SAVEPOINT a", STATE),
        ("RELEASE a", STATE),
        ("ROLLBACK TO a", STATE),
        ("BEGIN", OnPrimary(Reason::TransactionControl)),
        ("BEGIN READ ONLY", OnPrimary(Reason::TransactionControl)),
        ("SET TRANSACTION READ ONLY", OnPrimary(Reason::TransactionControl)),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", OnPrimary(Reason::TransactionControl)),
    ]);
}

#[test]
fn the_catalog_tells_what_functions_and_relations_ask() {
    let mut scene = scene();
    scene.check(&[
        ("SELECT immutable() FROM t", ALONE),
        ("SELECT stable()", STATE),
        ("SELECT writes()", OnPrimary(Reason::VolatileFunction)),
        ("SELECT nobody()", OnPrimary(Reason::UnknownFunction)),
        ("SELECT * FROM asking_view", STATE),
        ("SELECT * FROM t JOIN public.asking_view USING (id)", STATE),
        ("SELECT * FROM nowhere", STATE),
        ("SELECT * FROM scratch", OnPrimary(Reason::Unlogged)),
        ("SELECT * FROM numbers", OnPrimary(Reason::Sequence)),
    ]);
    scene.functions = FunctionLists::new(&["nobody".to_owned()], &["immutable".to_owned()]);
    scene.check(&[("SELECT nobody()", STATE), ("SELECT immutable()", OnPrimary(Reason::WriteFunction))]);
    scene.catalog = None;
    scene.check(&[
        ("SELECT 1", ALONE),
        ("SELECT * FROM t", STATE),
        ("SELECT stable()", OnPrimary(Reason::UnknownFunction)),
    ]);
}

#[test]
fn cursors_are_asked_for_where_they_are_open() {
    let mut scene = scene();
    scene.check(&[("SELECT * FROM pg_cursors", OnPrimary(Reason::SessionState))]);
    for sql in ["FETCH c", "MOVE 2 IN c", "CLOSE c", "CLOSE ALL"] {
        assert_eq!(scene.decide(sql), OnPrimary(Reason::Cursor), "{sql}");
    }
    scene.open = Some("c");
    scene.check(&[
        ("FETCH c", STATE),
        ("MOVE 2 IN c", STATE),
        ("CLOSE c", STATE),
        ("CLOSE ALL", STATE),
        ("SELECT * FROM pg_cursors", STATE),
        ("FETCH d", OnPrimary(Reason::Cursor)),
        ("CLOSE d", OnPrimary(Reason::Cursor)),
        ("FETCH c; FETCH d", OnPrimary(Reason::Cursor)),
    ]);
}

#[test]
fn wishes_count_but_no_write_leaves_the_primary() {
    let mut scene = scene();
    scene.check(&[
        ("/* weir: primary */ SELECT 1", OnPrimary(Reason::HintPrimary)),
        ("/* weir: replica */ SELECT writes(), nobody()", ALONE),
        ("/* weir: replica */ SELECT * FROM scratch", ALONE),
        ("/* weir: replica */ SELECT now()", STATE),
        ("/* weir: replica */ INSERT INTO t VALUES (1)", OnPrimary(Reason::Write)),
        ("/* weir: replica */ SELECT * FROM numbers", OnPrimary(Reason::Sequence)),
        ("/* weir: auto */ SELECT writes()", OnPrimary(Reason::VolatileFunction)),
    ]);
    scene.session.target = Some(FixedTarget { target: Target::Primary, source: TargetSource::Set });
    scene.check(&[
        ("SELECT 1", OnPrimary(Reason::SetTarget)),
        ("/* weir: auto */ SELECT 1", ALONE),
        // It may have been wished for in the transaction, which ends where it is.
        ("COMMIT", STATE),
        ("/* weir: primary */ ROLLBACK", STATE),
        ("SAVEPOINT a", OnPrimary(Reason::SetTarget)),
    ]);
    scene.session.target = None;
    scene.rules = vec![Rule {
        user: None,
        database: None,
        application_name: None,
        table: Some("t".to_owned()),
        statement: None,
        target: Some(Target::Primary),
        transactions: None,
    }];
    scene.check(&[("SELECT * FROM t", OnPrimary(Reason::Rule)), ("SELECT 1", ALONE)]);
}

#[test]
fn what_a_replica_refused_avoids_replicas() {
    let mut scene = scene();
    for sql in ["SELECT a FROM t", "DECLARE c CURSOR FOR SELECT a FROM t", "INSERT INTO t VALUES (1)"] {
        scene.learned.remember(scene.verdict(sql).skeleton, scene.now);
    }
    scene.check(&[
        ("SELECT a FROM t", OnPrimary(Reason::Learned)),
        ("DECLARE c CURSOR FOR SELECT a FROM t", OnPrimary(Reason::Learned)),
        ("INSERT INTO t VALUES (2)", OnPrimary(Reason::Write)),
        ("SELECT b FROM t", ALONE),
    ]);
    scene.session.target = Some(FixedTarget { target: Target::Replica, source: TargetSource::Listener });
    scene.check(&[("SELECT a FROM t", ALONE)]);
}

#[test]
fn a_pinned_session_stays_on_the_primary() {
    let mut scene = scene();
    scene.session.pin = Some(Pin::Temporary);
    for sql in ["SELECT 1", "SELECT now()", "/* weir: replica */ SELECT 1", ""] {
        assert_eq!(scene.decide(sql), OnPrimary(Reason::Pinned), "{sql}");
    }
}

#[test]
fn modes_say_where_a_transaction_may_run() {
    let mut scene = scene();
    for (begin, read, state) in [
        ("BEGIN READ ONLY", ALONE, STATE),
        ("BEGIN READ WRITE", ALONE, STATE),
        ("BEGIN ISOLATION LEVEL READ UNCOMMITTED", ALONE, STATE),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            OnReplica(BeginReadOnly),
            OnReplica(BeginReadOnly),
        ),
        (
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            OnPrimary(Reason::RepeatableRead),
            OnPrimary(Reason::RepeatableRead),
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            OnPrimary(Reason::Serializable),
            OnPrimary(Reason::Serializable),
        ),
    ] {
        scene.begun(begin);
        let found = (scene.decide("SELECT 1"), scene.decide("SELECT now()"));
        assert_eq!(found, (read, state), "{begin}");
    }
}

#[test]
fn a_transaction_that_may_write_says_so_on_the_primary_only() {
    let mut scene = scene();
    let asks = "SELECT current_setting('transaction_isolation')";
    let rest = [
        ("SHOW transaction_read_only", OnPrimary(Reason::ServerState)),
        ("SELECT now(), setting FROM pg_settings", OnPrimary(Reason::SessionState)),
    ];
    scene.check(&[(asks, OnPrimary(Reason::SessionState))]);
    scene.check(&rest);
    scene.begun("BEGIN READ ONLY");
    scene.check(&[(asks, STATE)]);
    scene.check(&rest);
}

#[test]
fn one_snapshot_cannot_move() {
    let mut scene = scene();
    scene.begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    scene.check(&[("INSERT INTO t VALUES (1)", OnPrimary(Reason::Write))]);
    scene.snapshot = Some(Route::Replica);
    scene.check(&[
        ("SELECT 1", OnReplica(BeginReadOnly)),
        ("INSERT INTO t VALUES (1)", OnReplica(InTransaction)),
        ("SELECT nobody()", OnReplica(InTransaction)),
    ]);
}

#[test]
fn a_transaction_that_is_to_run_on_the_primary_does_unless_it_only_reads() {
    let mut scene = scene();
    scene.transactions = Transactions::Primary;
    scene.check(&[
        ("SELECT 1", OnPrimary(Reason::Begin)),
        ("/* weir: replica */ SELECT 1", OnPrimary(Reason::Begin)),
        ("INSERT INTO t VALUES (1)", OnPrimary(Reason::Begin)),
    ]);
    scene.begun("BEGIN READ ONLY");
    scene.check(&[("SELECT 1", ALONE), ("INSERT INTO t VALUES (1)", OnPrimary(Reason::Write))]);
}

#[test]
fn of_several_the_neediest_decides() {
    let scene = scene();
    scene.check(&[
        ("SELECT 1; SELECT * FROM t", ALONE),
        ("SELECT 1; SELECT now(); SELECT 2", STATE),
        ("SET LOCAL work_mem = '1MB'; SELECT * FROM t", STATE),
        ("SELECT 1; INSERT INTO t VALUES (1)", OnPrimary(Reason::Write)),
        ("SELECT 1; COMMIT", STATE),
        ("INSERT INTO t VALUES (1); COMMIT", OnPrimary(Reason::Write)),
        // What is known comes before what is doubted.
        ("SELECT nobody(); INSERT INTO t VALUES (1)", OnPrimary(Reason::Write)),
        ("SELECT now(); SELECT writes(); SELECT nobody()", OnPrimary(Reason::VolatileFunction)),
    ]);
    for (texts, expected) in [
        (&["SELECT 1", "SELECT * FROM t"][..], ALONE),
        (&["SELECT 1", "SET LOCAL work_mem = '1MB'", "SELECT 2"], STATE),
        (&["SELECT 1", "INSERT INTO t VALUES (1)", "SELECT nobody()"], OnPrimary(Reason::Write)),
    ] {
        assert_eq!(scene.decide_all(texts), expected, "{texts:?}");
    }
}

#[test]
fn within_the_transaction_at_least() {
    for (course, within, route) in [
        (ALONE, STATE, Route::Replica),
        (OnReplica(BeginReadOnly), OnReplica(BeginReadOnly), Route::Replica),
        (OnPrimary(Reason::Write), OnPrimary(Reason::Write), Route::Primary),
    ] {
        assert_eq!((course.within(), course.route()), (within, route));
        assert_eq!(course.within().route(), route);
    }
}
