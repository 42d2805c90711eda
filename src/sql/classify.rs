//! From a text to its [`Verdict`]. Fails closed: what is not understood for sure goes to the primary.
//!
//! The first words decide which kind of statement it is. Utility statements are read by their grammar (`control`,
//! `settings`, `utility`); queries are surveyed by their tokens and then parsed (`scan`, `query`).

use super::cursor::Cursor;
use super::database;
use super::dependencies::{Dependency, dependency};
use super::effects::{Change, Effects};
use super::functions::KnownFunctions;
use super::lexer::{StandardConformingStrings, Token};
use super::query;
use super::scan::{Scan, scan};
use super::split;
use super::verdict::{Discard, Kind, Listed, Name, SkeletonId, Statement, Verdict, Why};
use super::{code, control, hint, locks, settings, temporary, utility};

/// What all rules look things up in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'k> {
    pub(super) strings: StandardConformingStrings,
    pub(super) known: &'k KnownFunctions,
}

/// The verdict over a text.
pub(super) fn classify(sql: &[u8], skeleton: SkeletonId, reader: Reader<'_>) -> Verdict {
    match split::tokens(sql, reader.strings) {
        Ok(statements) => Verdict {
            skeleton,
            statements: statements
                .iter()
                .map(|tokens| asking(dependency(tokens), statement(tokens, reader)))
                .collect(),
            hint: hint::hint(sql),
        },
        // The hint holds even so: it stands in front of what could not be read.
        Err(_) => Verdict { hint: hint::hint(sql), ..Verdict::opaque(skeleton, Why::Unparsable) },
    }
}

/// The words that begin a query or a data-modifying statement.
const QUERY_WORDS: [&str; 8] = ["select", "with", "values", "table", "insert", "update", "delete", "merge"];

/// A statement that asks this of its session's past.
fn asking(depends_on: Dependency, mut statement: Statement) -> Statement {
    if depends_on == Dependency::Drawn {
        // Where the value was found the next one will be asked for.
        let changes = std::mem::take(&mut statement.effects.changes);
        statement.effects.changes = changes.into_iter().chain([Change::Drawn]).collect();
    }
    Statement { depends_on, ..statement }
}

/// Classifies one statement.
fn statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let mut cursor = Cursor::new(tokens);
    if begins_query(tokens) {
        let mut query = query_statement(tokens, reader);
        if let Some(changes) = locks::read(tokens, reader.strings) {
            query.effects.changes = changes;
        }
        return query;
    }
    let Some(first) = cursor.take() else { return primary(Why::Unparsable) };
    let word = first.text.to_ascii_lowercase();
    if let vacates @ Some(_) = database::vacated(&word, cursor) {
        return Statement { vacates, ..primary(Why::Ddl) };
    }
    match &*word {
        _ if !first.is_name() || first.text[0] == b'"' => primary(Why::Unparsable),
        b"begin" => control::begin(cursor),
        b"start" => control::start(cursor),
        b"commit" | b"end" => control::commit(cursor),
        b"rollback" | b"abort" => control::rollback(cursor),
        b"savepoint" => control::savepoint(cursor, Kind::Savepoint),
        b"release" => control::savepoint(cursor, Kind::Release),
        b"set" => settings::set(cursor, reader.strings),
        b"reset" => settings::reset(cursor),
        b"show" => settings::show(cursor),
        b"discard" => discard(cursor),
        b"prepare" => prepare(cursor, reader),
        b"execute" => execute(cursor, reader),
        b"deallocate" => deallocate(cursor),
        b"declare" => utility::declare(cursor, reader),
        b"fetch" | b"move" => Statement::of(Kind::Cursor),
        b"close" => close(cursor),
        b"explain" => utility::explain(cursor, reader),
        b"copy" => utility::copy(cursor, reader),
        b"truncate" => utility::truncate(cursor),
        b"do" => utility::anonymous_block(cursor, reader),
        b"call" => utility::call(cursor, reader),
        b"create" => utility::create(cursor, reader),
        b"alter" => utility::alter(cursor, reader),
        _ => plain(first, cursor),
    }
}

/// Statements of which only the kind matters.
fn plain(first: &Token<'_>, mut cursor: Cursor<'_, '_>) -> Statement {
    let first = first.text.to_ascii_lowercase();
    match &*first {
        b"listen" => match cursor.take_name() {
            Some(channel) => leaving(Why::Notification, Change::Listen(channel)),
            None => primary(Why::Unparsable),
        },
        b"unlisten" if cursor.take_symbol("*") => leaving(Why::Notification, Change::Unlisten(None)),
        b"unlisten" => match cursor.take_name() {
            channel @ Some(_) => leaving(Why::Notification, Change::Unlisten(channel)),
            None => primary(Why::Unparsable),
        },
        b"notify" => primary(Why::Notification),
        // What a library does when it is loaded is its own affair.
        b"load" => Statement { writes_listed: Listed::Partly, ..leaving(Why::SessionState, Change::Load) },
        b"lock" => primary(Why::TableLock),
        b"checkpoint" | b"vacuum" | b"analyze" | b"analyse" | b"cluster" | b"reindex" | b"refresh"
        | b"repack" => primary(Why::Maintenance),
        b"drop" => match temporary::dropped(cursor) {
            Some(names) => leaving(Why::Ddl, Change::Drops(names)),
            None => primary(Why::Ddl),
        },
        b"grant" | b"revoke" | b"comment" | b"security" | b"reassign" | b"import" => primary(Why::Ddl),
        _ => primary(Why::Unparsable),
    }
}

pub(super) fn primary(why: Why) -> Statement {
    Statement::of(Kind::Primary(why))
}

pub(super) fn leaving(why: Why, change: Change) -> Statement {
    Statement { effects: Effects::by(change), ..primary(why) }
}

/// Whether the first word behind any opening parentheses begins a query.
pub(super) fn begins_query(tokens: &[Token<'_>]) -> bool {
    let first = tokens.iter().find(|t| !t.is_symbol("("));
    first.is_some_and(|t| QUERY_WORDS.iter().any(|w| t.is_word(w)))
}

/// A query or a data-modifying statement.
pub(super) fn query_statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Statement {
    let scan = scan(tokens, reader.strings, reader.known);
    if scan.why == Some(Why::Unparsable) {
        return primary(Why::Unparsable);
    }
    // Both limits look at the shape alone, never at literals: equal skeletons have equal verdicts.
    let (tree, otherwise) = if scan.terms > query::TERMS_MAX || query::shape_len(tokens) > query::SHAPE_MAX {
        (None, Why::TooLong)
    } else {
        (query::parse(tokens, reader.known), Why::Unparsable)
    };
    match tree {
        Some(tree) => {
            let kind = scan.why.or(tree.why).map_or(Kind::Read, Kind::Primary);
            let (reads_listed, writes_listed) = (scan.reads_listed, scan.writes_listed);
            let statement = Statement { reads_listed, writes_listed, ..Statement::of(kind) };
            named(statement, scan, tree.reads, tree.functions)
        }
        // The tokens alone tell what a write is and does; of a read they do not tell enough.
        None => {
            let statement = match scan.why {
                Some(why) => {
                    Statement { writes_listed: scan.writes_listed, ..Statement::of(Kind::Primary(why)) }
                }
                None => Statement::of(Kind::Primary(otherwise)),
            };
            let (reads, calls) = (scan.tables.clone(), scan.calls.clone());
            named(statement, scan, reads, calls)
        }
    }
}

/// The statement with the names of what it touches, and with what it leaves.
fn named(statement: Statement, scan: Scan, mut reads: Vec<Name>, mut functions: Vec<Name>) -> Statement {
    let mut writes = scan.writes;
    for list in [&mut reads, &mut writes, &mut functions] {
        list.sort_unstable();
        list.dedup();
    }
    reads.retain(|name| writes.binary_search(name).is_err());
    Statement {
        functions: functions.into(),
        reads: reads.into(),
        writes: writes.into(),
        effects: Effects { settings: scan.settings.into(), changes: scan.changes.into(), code: None },
        ..statement
    }
}

/// `DISCARD ...`, with the cursor behind `DISCARD`.
fn discard(mut cursor: Cursor<'_, '_>) -> Statement {
    let what = match cursor.take_any(&["all", "plans", "sequences", "temp", "temporary"]) {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return primary(Why::Unparsable),
    };
    Statement::of(Kind::Discard(what))
}

/// `PREPARE TRANSACTION ...` or `PREPARE name [(types)] AS ...`, with the cursor behind `PREPARE`. Whatever the query
/// leaves when it is executed is noted here: nothing tells of it later.
fn prepare(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let mut ahead = cursor;
    if ahead.take_word("transaction") && ahead.take_string().is_some() {
        return primary(Why::TwoPhase);
    }
    let Some(name) = cursor.take_name() else { return primary(Why::Unparsable) };
    let code = code::in_statement(cursor.rest(), reader);
    let changes = [Change::Prepare(name.clone())].into_iter().chain(code.change()).collect();
    let effects = Effects { changes, code: Some(Box::new(code)), ..Effects::default() };
    Statement { effects, ..Statement::of(Kind::Prepare(name)) }
}

/// `EXECUTE name [(arguments)]`, with the cursor behind `EXECUTE`.
fn execute(mut cursor: Cursor<'_, '_>, reader: Reader<'_>) -> Statement {
    let Some(name) = cursor.take_name() else { return primary(Why::Unparsable) };
    utility::running(code::in_statement(cursor.rest(), reader), Statement::of(Kind::Execute(name)))
}

/// `CLOSE name | ALL`, with the cursor behind `CLOSE`.
fn close(mut cursor: Cursor<'_, '_>) -> Statement {
    let closed = if cursor.take_word("all") { None } else { cursor.take_name() };
    Statement { effects: Effects::by(Change::Close(closed)), ..Statement::of(Kind::Cursor) }
}

/// `DEALLOCATE [PREPARE] name | ALL`, with the cursor behind `DEALLOCATE`.
fn deallocate(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.rest().len() > 1 {
        cursor.take_word("prepare");
    }
    if cursor.rest().len() == 1 && cursor.take_word("all") {
        return Statement::of(Kind::Deallocate(None));
    }
    match cursor.take_name() {
        Some(name) if cursor.at_end() => Statement::of(Kind::Deallocate(Some(name))),
        _ => primary(Why::Unparsable),
    }
}

#[cfg(test)]
mod tests {
    use super::super::effects::{Dropped, Pin};
    use super::super::verdict::{AccessMode, Chain, Isolation, Modes};
    use super::*;

    fn verdict(sql: &[u8]) -> Verdict {
        let known = KnownFunctions::load();
        classify(sql, SkeletonId(0), Reader { strings: StandardConformingStrings::On, known: &known })
    }

    fn statement_of(sql: &str) -> Statement {
        let verdict = verdict(sql.as_bytes());
        assert_eq!(verdict.statements.len(), 1, "{sql}");
        verdict.statements[0].clone()
    }

    fn pins(sql: &str) -> Vec<Pin> {
        statement_of(sql).effects.pins().collect()
    }

    fn changes(sql: &str) -> Box<[Change]> {
        statement_of(sql).effects.changes
    }

    fn names(names: &[Name]) -> String {
        let written = |n: &Name| match &n.schema {
            Some(schema) => format!("{schema}.{}", n.name),
            None => n.name.to_string(),
        };
        names.iter().map(written).collect::<Vec<_>>().join(" ")
    }

    /// `reads; writes; functions`.
    fn touches(sql: &str) -> String {
        let statement = statement_of(sql);
        let lists = [&statement.reads, &statement.writes, &statement.functions];
        lists.map(|list| names(list)).join("; ").trim_end().to_owned()
    }

    #[test]
    fn common_table_expressions_are_not_relations() {
        assert_eq!(touches("WITH x AS (SELECT 1) SELECT * FROM x"), "; ;");
        assert_eq!(touches("WITH t AS (SELECT * FROM t) SELECT * FROM t"), "t; ;");
        assert_eq!(
            touches("WITH a AS (SELECT 1), b AS (SELECT * FROM a, b) SELECT * FROM b, s.a"),
            "b s.a; ;"
        );
        assert_eq!(touches("WITH RECURSIVE r AS (SELECT * FROM r, base) SELECT * FROM r"), "base; ;");
        assert_eq!(touches("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) x, c"), "c; ;");
        assert_eq!(touches("WITH \"X\" AS (SELECT 1) SELECT * FROM x, \"X\""), "x; ;");
        assert_eq!(touches("WITH d AS (DELETE FROM q RETURNING *) INSERT INTO z SELECT * FROM d"), "; q z;");
    }

    #[test]
    fn relations_are_found_wherever_they_stand() {
        assert_eq!(
            touches("SELECT (SELECT max(x) FROM a) FROM S.B, \"C\" WHERE EXISTS (SELECT 1 FROM d)"),
            "C a d s.b; ;"
        );
        assert_eq!(touches("TABLE a UNION TABLE s.b"), "a s.b; ;");
        assert_eq!(
            touches("SELECT * FROM ONLY a, b JOIN ONLY s.c ON true FETCH FIRST ROW ONLY"),
            "a b s.c; ;"
        );
        assert_eq!(touches("SELECT * FROM db.s.t"), "s.t; ;");
        assert_eq!(touches("COPY s.t (a) TO STDOUT"), "s.t; ;");
        assert_eq!(touches("DECLARE c CURSOR FOR SELECT * FROM t"), "t; ;");
        assert_eq!(touches("SELECT * FROM generate_series(1, 2), f(3) x"), "; ; f");
    }

    #[test]
    fn writes_are_named() {
        assert_eq!(
            touches("INSERT INTO s.t SELECT f(a) FROM u ON CONFLICT (a) DO UPDATE SET a = g(1)"),
            "u; s.t; f g"
        );
        assert_eq!(touches("UPDATE ONLY t SET a = 1 FROM u WHERE b IN (SELECT c FROM v)"), "u v; t;");
        assert_eq!(touches("DELETE FROM t USING u"), "u; t;");
        assert_eq!(touches("MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1"), "u; t;");
        assert_eq!(touches("SELECT * INTO TEMP TABLE n FROM t"), "t; n;");
        assert_eq!(touches("TRUNCATE TABLE ONLY a, s.b * CASCADE"), "; a s.b;");
        assert_eq!(touches("COPY s.t (a, b) FROM STDIN"), "; s.t;");
        // What sqlparser does not know still shows what it writes.
        assert_eq!(touches("INSERT INTO t SELECT f(x) FROM u GROUP BY DISTINCT CUBE (a)"), "; t; cube f");
    }

    #[test]
    fn what_lives_in_the_session_pins_it() {
        for (sql, pin) in [
            ("CREATE TEMP TABLE t (a int)", Pin::Temporary),
            ("CREATE TABLE pg_temp.t (a int)", Pin::Temporary),
            ("SELECT * INTO TEMP t FROM u", Pin::Temporary),
            ("LISTEN c", Pin::Listen),
            ("SELECT pg_advisory_lock(1)", Pin::AdvisoryLock),
            ("SELECT 1 WHERE pg_try_advisory_lock(1)", Pin::AdvisoryLock),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Pin::HoldCursor),
            ("PREPARE p AS SELECT 1", Pin::SqlPrepare),
            ("LOAD 'x'", Pin::Load),
            ("SELECT currval('s')", Pin::Sequence),
            ("SELECT setseed(0.1)", Pin::Unknown),
            ("DO $$ BEGIN SET work_mem = '1MB'; END $$", Pin::Function),
            ("DO LANGUAGE plpgsql 'begin perform pg_advisory_lock(1); end'", Pin::Function),
            ("DO $$ BEGIN EXECUTE format('listen %I', x); END $$ LANGUAGE plpgsql", Pin::Function),
            ("DO LANGUAGE plpython3u 'pass'", Pin::Function),
            ("SELECT set_config('a.b', $1, false)", Pin::DynamicSetting),
            ("EXECUTE p(pg_advisory_lock(1))", Pin::Function),
            ("CREATE TABLE t AS SELECT pg_advisory_lock(1)", Pin::Function),
            ("SELECT 'unterminated", Pin::Unknown),
            ("EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", Pin::Temporary),
            ("SELECT dblink_connect('x')", Pin::Unknown),
            ("UPDATE pg_catalog.pg_settings SET setting = 1", Pin::DynamicSetting),
        ] {
            assert_eq!(pins(sql), [pin], "{sql}");
        }
        for sql in [
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_advisory_unlock(1)",
            "SELECT nextval('s')",
            "UNLISTEN *",
            "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
            "SELECT set_config('a.b', $1, true)",
            "CALL p(1)",
            "EXECUTE p(1)",
            "CLOSE ALL",
            "SELECT pg_advisory_unlock_all()",
            "DO $$ BEGIN UPDATE t SET a = 1; PERFORM f(); END $$",
            "CREATE TABLE t (a int)",
            "DECLARE c CURSOR FOR SELECT 1",
            "DROP TABLE t",
        ] {
            assert_eq!(pins(sql), [], "{sql}");
        }
    }

    #[test]
    fn definitions_without_functions_call_none() {
        for sql in [
            "CREATE INDEX i ON t (a, b DESC)",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY s.t USING btree (a varchar_pattern_ops) INCLUDE (b)",
            "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES s.u (id) DEFERRABLE INITIALLY DEFERRED",
            "ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY (a), ADD UNIQUE (b), ADD CHECK (b > 0)",
            "ALTER TABLE t ADD COLUMN c varchar(10) DEFAULT 'x' NOT NULL, ALTER COLUMN d TYPE numeric(10, 2)",
        ] {
            let code = statement_of(sql).effects.code.unwrap();
            assert_eq!((code.traces, names(&code.calls)), (Default::default(), String::new()), "{sql}");
        }
        let index = "CREATE INDEX i ON t (lower(a), f(b)) WHERE s.g(c)";
        assert_eq!(names(&statement_of(index).effects.code.unwrap().calls), "f s.g");
        let column = "ALTER TABLE t ADD COLUMN c int DEFAULT f(1)";
        assert_eq!(names(&statement_of(column).effects.code.unwrap().calls), "f");
    }

    #[test]
    fn what_a_statement_does_to_the_state_of_its_session() {
        use Change::*;
        let unqualified =
            |names: &[&str]| Drops(names.iter().map(|name| Dropped::Unqualified((*name).into())).collect());
        for (sql, expected) in [
            ("CREATE TEMP TABLE IF NOT EXISTS T (a int)", Temporary(Some("t".into()))),
            ("CREATE LOCAL TEMPORARY VIEW \"V\" AS SELECT 1", Temporary(Some("V".into()))),
            ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", Temporary(Some("v".into()))),
            ("CREATE SEQUENCE pg_temp.s", Temporary(Some("s".into()))),
            ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Temporary(None)),
            ("CREATE TABLE t PARTITION OF pg_temp.u DEFAULT", Temporary(None)),
            ("CREATE TABLE t (a int)", Creates),
            ("SELECT * INTO t FROM u", Creates),
            ("SELECT * INTO TEMP TABLE t FROM u", Temporary(Some("t".into()))),
            ("CREATE TEMP TABLE t (a int) ON COMMIT DROP", TemporaryForNow),
            ("DROP TABLE IF EXISTS a, s.b, C CASCADE", unqualified(&["a", "c"])),
            ("DROP VIEW pg_temp.v", Drops(Box::new([Dropped::Temporary("v".into())]))),
            ("ALTER TABLE t RENAME TO u", Renames),
            ("LISTEN \"C\"", Listen("C".into())),
            ("UNLISTEN c", Unlisten(Some("c".into()))),
            ("UNLISTEN *", Unlisten(None)),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", HoldCursor("c".into())),
            ("CLOSE c", Close(Some("c".into()))),
            ("CLOSE ALL", Close(None)),
            ("SELECT set_config('A.b', $1, false)", DynamicSetting(Some("a.b".into()))),
            ("SELECT set_config($1, $2, false)", DynamicSetting(None)),
            ("SELECT set_config('seed', $1, false)", DynamicSetting(None)),
            ("SELECT pg_advisory_unlock_all()", UnlockAll),
            ("SELECT pg_advisory_lock(1) FROM t", Lock(None)),
            ("SET seed TO 0.5", Unknown),
            ("SET TIME ZONE INTERVAL '1' HOUR", DynamicSetting(None)),
        ] {
            assert_eq!(&*changes(sql), &[expected], "{sql}");
        }
        for sql in [
            "CREATE TABLE s.t (a int)",
            "CREATE INDEX ON t (a)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION f",
            "SELECT pg_advisory_unlock(1) FROM t",
            "DECLARE c CURSOR FOR SELECT pg_advisory_unlock(1)",
        ] {
            assert_eq!(&*changes(sql), &[], "{sql}");
        }
    }

    #[test]
    fn code_in_statements_is_listed() {
        let calls = |sql: &str| {
            let code = statement_of(sql).effects.code.unwrap_or_default();
            code.calls.iter().map(|name| name.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(calls("CALL s.p(f(1))"), "f p");
        assert_eq!(calls("DO $$ BEGIN PERFORM f(); CALL p(); END $$"), "f p");
        assert_eq!(calls("PREPARE q (int) AS SELECT f($1)"), "f");
        assert_eq!(calls("EXPLAIN SELECT f(1)"), "f");
        assert_eq!(calls("CREATE TABLE t AS SELECT f(1)"), "f");
        assert_eq!(calls("SELECT f(1)"), "", "a query has them among its functions");
    }

    #[test]
    fn transaction_control_has_its_modes() {
        let modes = Modes {
            isolation: Some(Isolation::RepeatableRead),
            access: Some(AccessMode::ReadOnly),
            deferrable: None,
        };
        assert_eq!(statement_of("begin isolation level repeatable read, read only").kind, Kind::Begin(modes));
        assert_eq!(statement_of("START TRANSACTION").kind, Kind::Begin(Modes::default()));
        assert_eq!(statement_of("END AND CHAIN").kind, Kind::Commit { chain: Chain::Chain });
        assert_eq!(statement_of("ABORT WORK AND NO CHAIN").kind, Kind::Rollback { chain: Chain::NoChain });
        assert_eq!(statement_of("SAVEPOINT \"A b\"").kind, Kind::Savepoint("A b".into()));
        assert_eq!(statement_of("SAVEPOINT savepoint").kind, Kind::Savepoint("savepoint".into()));
        assert_eq!(statement_of("RELEASE Savepoint X").kind, Kind::Release("x".into()));
        assert_eq!(statement_of("ROLLBACK WORK TO SAVEPOINT x").kind, Kind::RollbackTo("x".into()));
        assert_eq!(statement_of("DEALLOCATE PREPARE P").kind, Kind::Deallocate(Some("p".into())));
        assert_eq!(statement_of("DEALLOCATE \"all\"").kind, Kind::Deallocate(Some("all".into())));
        assert_eq!(statement_of("DEALLOCATE ALL").kind, Kind::Deallocate(None));
        assert_eq!(statement_of("EXECUTE \"P\"(1)").kind, Kind::Execute("P".into()));
        assert_eq!(statement_of("DISCARD TEMPORARY").kind, Kind::Discard(Discard::Temp));
    }

    #[test]
    fn each_statement_of_a_string_has_its_verdict() {
        let verdict = verdict(b"SELECT 1; INSERT INTO t VALUES (';'); ; COMMIT;");
        let kinds: Vec<_> = verdict.statements.iter().map(|s| &s.kind).collect();
        assert_eq!(kinds, [&Kind::Read, &Kind::Primary(Why::Write), &Kind::Commit { chain: Chain::NoChain }]);
    }

    #[test]
    fn names_that_are_not_utf8_are_not_guessed_and_literals_may_be_anything() {
        let kind = |sql: &[u8]| verdict(sql).statements[0].kind.clone();
        assert_eq!(kind(b"SELECT * FROM t\xe9l\xe9"), Kind::Primary(Why::Unparsable));
        assert_eq!(kind(b"SELECT * FROM t WHERE a = 'caf\xe9'"), Kind::Read);
        assert_eq!(kind(b"INSERT INTO t\xe9 VALUES (1)"), Kind::Primary(Why::Write));
    }

    #[test]
    fn planning_without_running_leaves_nothing() {
        for sql in ["EXPLAIN SELECT set_config('a.b', 'c', false)", "EXPLAIN SELECT pg_advisory_lock(1)"] {
            let statement = statement_of(sql);
            assert_eq!((statement.kind, statement.effects), (Kind::Read, Effects::default()), "{sql}");
        }
        assert_eq!(pins("EXPLAIN ANALYZE SELECT pg_advisory_lock(1)"), [Pin::AdvisoryLock]);
        // A quoted option may spell ANALYZE.
        assert_eq!(statement_of("EXPLAIN (\"analyze\") DELETE FROM t").kind, Kind::Primary(Why::Write));
        assert_eq!(
            statement_of("EXPLAIN (analyze off, analyze) DELETE FROM t").kind,
            Kind::Primary(Why::Write)
        );
    }
}
