//! The verdict over a text, statement by statement: the first word says which rules read one, and the short statements
//! that need no rules of their own are read here.

use super::dependency::dependency;
use super::mentions::mentions;
use super::reader::Reader;
use super::{beyond, control, database, definitions, locks, prepared, query, settings, temporary, utility};
use crate::sql::text::{self, Cursor, Token};
use crate::sql::verdict::{
    Brings, Change, CursorUse, Dependency, Discard, Kind, Listed, Noted, SkeletonId, Statement, Verdict, Why,
};

/// The verdict over a text.
pub(in crate::sql) fn classify(sql: &[u8], skeleton: SkeletonId, reader: Reader<'_>) -> Verdict {
    match text::tokens(sql, reader.strings) {
        Ok(statements) => Verdict {
            skeleton,
            statements: statements
                .iter()
                .map(|tokens| {
                    let beyond = beyond::in_statement(tokens, reader);
                    let mentions = mentions(tokens, reader.known);
                    let statement = Statement { beyond, mentions, ..statement(tokens, reader) };
                    let brings = match statement.kind {
                        Kind::Primary(Why::Ddl) => definitions::brings(tokens, reader.known),
                        // It is its session's alone, which keeps its connection for it.
                        Kind::Primary(Why::Temporary) => Brings::Plain,
                        Kind::Primary(Why::Procedure) => definitions::brings_in_block(tokens),
                        _ => Brings::Nothing,
                    };
                    depending(dependency(tokens, reader.strings), Statement { brings, ..statement })
                })
                .collect(),
            hint: text::hint(sql),
            noted: Noted::default(),
        },
        // The hint holds even so: it stands in front of what could not be read.
        Err(_) => Verdict { hint: text::hint(sql), ..Verdict::opaque(skeleton, Why::Unparsable) },
    }
}

/// The same statement, which depends on this.
fn depending(depends_on: Dependency, mut statement: Statement) -> Statement {
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
    if query::begins(tokens) {
        let mut statement = query::read(tokens, reader);
        if let Some(changes) = locks::read(tokens, reader.strings) {
            statement.effects.changes = changes;
        }
        return statement;
    }
    let Some(first) = cursor.take() else { return Statement::primary(Why::Unparsable) };
    let word = first.text.to_ascii_lowercase();
    if let vacates @ Some(_) = database::vacated(&word, cursor) {
        return Statement { vacates, ..Statement::primary(Why::Ddl) };
    }
    match &*word {
        _ if !first.is_name() || first.text[0] == b'"' => Statement::primary(Why::Unparsable),
        b"begin" => control::begin(cursor),
        b"start" => control::start(cursor),
        b"commit" | b"end" => control::commit(cursor),
        b"rollback" | b"abort" => control::rollback(cursor),
        b"savepoint" => control::savepoint(cursor, Kind::Savepoint, "SAVEPOINT"),
        b"release" => control::savepoint(cursor, Kind::Release, "RELEASE"),
        b"set" => settings::set(cursor, reader.strings),
        b"reset" => settings::reset(cursor),
        b"show" => settings::show(cursor),
        b"discard" => discard(cursor),
        b"prepare" => prepared::prepare(cursor, reader),
        b"execute" => prepared::execute(cursor, reader),
        b"deallocate" => prepared::deallocate(cursor),
        b"declare" => utility::declare(cursor, reader),
        b"fetch" | b"move" => fetch(cursor),
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
            Some(channel) => Statement::primary(Why::Notification).leaving(Change::Listen(channel)),
            None => Statement::primary(Why::Unparsable),
        },
        b"unlisten" if cursor.take_symbol("*") => {
            Statement::primary(Why::Notification).leaving(Change::Unlisten(None))
        }
        b"unlisten" => match cursor.take_name() {
            channel @ Some(_) => Statement::primary(Why::Notification).leaving(Change::Unlisten(channel)),
            None => Statement::primary(Why::Unparsable),
        },
        b"notify" => Statement::primary(Why::Notification),
        // What a library does when it is loaded is its own affair.
        b"load" => Statement {
            writes_listed: Listed::Partly,
            ..Statement::primary(Why::SessionState).leaving(Change::Load)
        },
        b"lock" => Statement::primary(Why::TableLock),
        b"checkpoint" | b"vacuum" | b"analyze" | b"analyse" | b"cluster" | b"reindex" | b"refresh"
        | b"repack" => Statement::primary(Why::Maintenance),
        b"drop" => match temporary::dropped(cursor) {
            Some(names) => Statement::primary(Why::Ddl).leaving(Change::Drops(names)),
            None => Statement::primary(Why::Ddl),
        },
        b"grant" | b"revoke" | b"comment" | b"security" | b"reassign" | b"import" => {
            Statement::primary(Why::Ddl)
        }
        _ => Statement::primary(Why::Unparsable),
    }
}

/// `DISCARD ...`, with the cursor behind `DISCARD`.
fn discard(mut cursor: Cursor<'_, '_>) -> Statement {
    let what = match cursor.take_any(&["all", "plans", "sequences", "temp", "temporary"]) {
        Some("all") => Discard::All,
        Some("plans") => Discard::Plans,
        Some("sequences") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return Statement::primary(Why::Unparsable),
    };
    Statement::of(Kind::Discard(what))
}

/// `CLOSE name | ALL`, with the cursor behind `CLOSE`.
fn close(mut cursor: Cursor<'_, '_>) -> Statement {
    let all = cursor.take_word("all");
    let closed = cursor.take_name().filter(|_| !all);
    if !all && closed.is_none() {
        return Statement::primary(Why::Unparsable);
    }
    Statement::of(Kind::Cursor(CursorUse::Close(closed.clone()))).leaving(Change::Close(closed))
}

/// `FETCH [direction] [FROM | IN] name` and `MOVE`, with the cursor behind the first word. Whatever comes before the
/// name, it is the last.
fn fetch(cursor: Cursor<'_, '_>) -> Statement {
    let name = cursor.rest().last().filter(|token| token.is_name()).and_then(|token| text::name(*token));
    match name {
        Some(name) => Statement::of(Kind::Cursor(CursorUse::Fetch(name))),
        None => Statement::primary(Why::Unparsable),
    }
}

#[cfg(test)]
mod tests {
    use super::super::functions::KnownFunctions;
    use super::*;
    use crate::sql::StandardConformingStrings;
    use crate::sql::verdict::{AccessMode, Chain, Dropped, Effects, Isolation, Modes, Name, Pin};

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
    fn accesses(sql: &str) -> String {
        let statement = statement_of(sql);
        let lists = [&statement.reads, &statement.writes, &statement.functions];
        lists.map(|list| names(list)).join("; ").trim_end().to_owned()
    }

    #[test]
    fn common_table_expressions_are_not_relations() {
        assert_eq!(accesses("WITH x AS (SELECT 1) SELECT * FROM x"), "; ;");
        assert_eq!(accesses("WITH t AS (SELECT * FROM t) SELECT * FROM t"), "t; ;");
        assert_eq!(
            accesses("WITH a AS (SELECT 1), b AS (SELECT * FROM a, b) SELECT * FROM b, s.a"),
            "b s.a; ;"
        );
        assert_eq!(accesses("WITH RECURSIVE r AS (SELECT * FROM r, base) SELECT * FROM r"), "base; ;");
        assert_eq!(accesses("SELECT * FROM (WITH c AS (SELECT 1) SELECT * FROM c) x, c"), "c; ;");
        assert_eq!(accesses("WITH \"X\" AS (SELECT 1) SELECT * FROM x, \"X\""), "x; ;");
        assert_eq!(accesses("WITH d AS (DELETE FROM q RETURNING *) INSERT INTO z SELECT * FROM d"), "; q z;");
    }

    #[test]
    fn relations_are_found_wherever_they_stand() {
        assert_eq!(
            accesses("SELECT (SELECT max(x) FROM a) FROM S.B, \"C\" WHERE EXISTS (SELECT 1 FROM d)"),
            "C a d s.b; ;"
        );
        assert_eq!(accesses("TABLE a UNION TABLE s.b"), "a s.b; ;");
        assert_eq!(
            accesses("SELECT * FROM ONLY a, b JOIN ONLY s.c ON true FETCH FIRST ROW ONLY"),
            "a b s.c; ;"
        );
        assert_eq!(accesses("SELECT * FROM db.s.t"), "s.t; ;");
        assert_eq!(accesses("COPY s.t (a) TO STDOUT"), "s.t; ;");
        assert_eq!(accesses("DECLARE c CURSOR FOR SELECT * FROM t"), "t; ;");
        assert_eq!(accesses("SELECT * FROM generate_series(1, 2), f(3) x"), "; ; f");
    }

    #[test]
    fn writes_are_named() {
        assert_eq!(
            accesses("INSERT INTO s.t SELECT f(a) FROM u ON CONFLICT (a) DO UPDATE SET a = g(1)"),
            "u; s.t; f g"
        );
        assert_eq!(accesses("UPDATE ONLY t SET a = 1 FROM u WHERE b IN (SELECT c FROM v)"), "u v; t;");
        assert_eq!(accesses("DELETE FROM t USING u"), "u; t;");
        assert_eq!(accesses("MERGE INTO t USING u ON true WHEN MATCHED THEN UPDATE SET a = 1"), "u; t;");
        assert_eq!(accesses("SELECT * INTO TEMP TABLE n FROM t"), "t; n;");
        assert_eq!(accesses("TRUNCATE TABLE ONLY a, s.b * CASCADE"), "; a s.b;");
        assert_eq!(accesses("COPY s.t (a, b) FROM STDIN"), "; s.t;");
        // What sqlparser does not know still shows what it writes.
        assert_eq!(accesses("INSERT INTO t SELECT f(x) FROM u GROUP BY DISTINCT CUBE (a)"), "; t; cube f");
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
            ("SELECT treat(1 AS pg_advisory_lock)", Pin::AdvisoryLock),
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
            assert_eq!(
                (code.conduct.traces, names(&code.calls)),
                (Default::default(), String::new()),
                "{sql}"
            );
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
    fn cursors_are_named() {
        let used = |sql: &str| match statement_of(sql).kind {
            Kind::Cursor(used) => Some(used),
            _ => None,
        };
        let (declares, closes) =
            (|n: &str| CursorUse::Declare(n.into()), |n: &str| CursorUse::Close(Some(n.into())));
        assert_eq!(used("DECLARE C SCROLL CURSOR FOR SELECT 1"), Some(declares("c")));
        assert_eq!(used("DECLARE \"C d\" CURSOR WITHOUT HOLD FOR TABLE t"), Some(declares("C d")));
        for sql in [
            "FETCH C",
            "FETCH NEXT FROM c",
            "FETCH RELATIVE -5 IN c",
            "FETCH ALL \"c\"",
            "FETCH 10 c;",
            "MOVE FORWARD ALL IN c",
            "MOVE c",
        ] {
            assert_eq!(used(sql), Some(CursorUse::Fetch("c".into())), "{sql}");
        }
        assert_eq!(used("FETCH forward"), Some(CursorUse::Fetch("forward".into())));
        assert_eq!(used("CLOSE \"All\""), Some(closes("All")));
        assert_eq!(used("CLOSE C"), Some(closes("c")));
        assert_eq!(used("CLOSE ALL"), Some(CursorUse::Close(None)));
        // A query that EXPLAIN runs opens none; and what no server would take is no cursor's.
        for sql in [
            "EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT 1",
            "FETCH",
            "FETCH FROM 5",
            "MOVE 'c'",
            "CLOSE",
            "CLOSE 1",
        ] {
            assert!(matches!(statement_of(sql).kind, Kind::Primary(_)), "{sql}");
        }
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
