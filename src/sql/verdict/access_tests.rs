//! Which relations statements access, by their text.

use super::*;
use crate::sql::{Classifier, StandardConformingStrings, Statement};

fn statement(sql: &[u8]) -> Statement {
    let verdict = Classifier::new(1).classify(sql, StandardConformingStrings::On);
    assert_eq!(verdict.statements.len(), 1, "{}", String::from_utf8_lossy(sql));
    verdict.statements[0].clone()
}

/// The names in an access, sorted; `-` for nothing, `*` for everything, and an empty text for a read of no relation.
fn shown(access: Access<'_>) -> String {
    let written = |name: &Name| match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    };
    match access {
        Access::Nothing => "-".into(),
        Access::Everything => "*".into(),
        Access::Relations(names) => {
            let mut names: Vec<_> = names.iter().map(written).collect();
            names.sort();
            names.join(" ")
        }
    }
}

fn writes(sql: &str) -> String {
    shown(statement(sql.as_bytes()).writes_what())
}

fn reads(sql: &str) -> String {
    shown(statement(sql.as_bytes()).reads_what())
}

fn functions(sql: &str) -> String {
    shown(Access::Relations(&statement(sql.as_bytes()).functions))
}

#[track_caller]
fn all(of: fn(&str) -> String, cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(of(sql), *expected, "{sql}");
    }
}

#[test]
fn data_modifying_statements_name_their_targets() {
    all(
        writes,
        &[
            ("INSERT INTO a SELECT * FROM b", "a"),
            ("INSERT INTO a AS x (c, d) VALUES (1, 2) ON CONFLICT (c) DO UPDATE SET d = 1", "a"),
            ("INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING RETURNING (SELECT max(x) FROM b)", "a"),
            ("INSERT INTO db.s.a DEFAULT VALUES", "s.a"),
            ("INSERT INTO \"A b\".\"c\"\"d\" VALUES (1)", "A b.c\"d"),
            ("INSERT INTO U&\"d\\0061t\\+000061\" VALUES (1)", "data"),
            ("insert /* x */ into -- y\n a values (1)", "a"),
            ("UPDATE ONLY s.t AS x SET a = 1", "s.t"),
            ("UPDATE ONLY (s.t) SET a = 1", "s.t"),
            ("UPDATE t * SET a = 1", "t"),
            ("UPDATE t x SET (a, b) = (SELECT c, d FROM u) FROM v, w WHERE x.id = v.id", "t"),
            ("UPDATE t SET a = 1 WHERE CURRENT OF c", "t"),
            ("DELETE FROM a USING b WHERE a.x = b.x", "a"),
            ("DELETE FROM ONLY (a)", "a"),
            ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE", "a"),
            ("MERGE INTO a x USING b ON x.x = b.x WHEN NOT MATCHED THEN INSERT (x) VALUES (b.x)", "a"),
            ("MERGE INTO ONLY a USING (SELECT * FROM c) d ON true WHEN MATCHED THEN UPDATE SET x = 1", "a"),
            ("TRUNCATE a", "a"),
            ("TRUNCATE TABLE ONLY a, s.b *, ONLY (c) RESTART IDENTITY RESTRICT", "a c s.b"),
            ("COPY t (c) FROM STDIN", "t"),
            ("COPY s.t FROM STDIN WITH (FORMAT csv) WHERE x > 1", "s.t"),
            ("SELECT * INTO n FROM a", "n"),
            ("SELECT * INTO UNLOGGED TABLE s.n FROM a", "s.n"),
            ("WITH x AS (INSERT INTO a VALUES (1) RETURNING *), y AS (DELETE FROM b) SELECT * FROM x", "a b"),
            ("WITH x AS (UPDATE a SET b = 1 RETURNING *) INSERT INTO c SELECT * FROM x", "a c"),
            (
                "WITH x AS NOT MATERIALIZED (MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE) TABLE c",
                "a",
            ),
            ("COPY (INSERT INTO a VALUES (1) RETURNING *) TO STDOUT", "a"),
            ("EXPLAIN ANALYZE DELETE FROM a", "a"),
            ("EXPLAIN (ANALYZE, BUFFERS) WITH x AS (INSERT INTO a SELECT * FROM b RETURNING 1) TABLE x", "a"),
        ],
    );
}

#[test]
fn a_common_table_expression_hides_no_target() {
    all(
        writes,
        &[
            ("WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a", "a"),
            ("WITH a AS (DELETE FROM a RETURNING *) SELECT * FROM a", "a"),
            ("WITH a AS (SELECT 1) UPDATE s.a SET x = 1 FROM a", "s.a"),
        ],
    );
}

#[test]
fn what_shows_no_target_may_write_anything() {
    all(
        writes,
        &[
            ("TRUNCATE a, b CASCADE", "*"),
            ("TRUNCATE a, (b)", "*"),
            ("UPDATE set SET a = 1", "*"),
            ("INSERT INTO (a) VALUES (1)", "*"),
            ("COPY t FROM '/file'", "*"),
            ("COPY t FROM PROGRAM 'psql'", "*"),
            ("COPY t TO PROGRAM 'psql'", "*"),
            ("CREATE TABLE n AS SELECT 1", "*"),
            ("CREATE TEMP TABLE n AS SELECT 1", "*"),
            ("ALTER TABLE a ADD b int", "*"),
            ("DROP VIEW v", "*"),
            ("COMMENT ON TABLE a IS 'x'", "*"),
            ("REFRESH MATERIALIZED VIEW m", "*"),
            ("VACUUM", "*"),
            ("CALL p(1)", "*"),
            ("DO 'BEGIN END'", "*"),
            ("EXECUTE p(1)", "*"),
            ("EXPLAIN ANALYZE EXECUTE p(1)", "*"),
            ("EXPLAIN ANALYZE CREATE TABLE n AS SELECT 1", "*"),
            ("COMMIT PREPARED 'x'", "*"),
            ("ROLLBACK PREPARED 'x'", "*"),
            ("PREPARE TRANSACTION 'x'", "*"),
            ("LOAD 'x'", "*"),
            ("FROB a", "*"),
            ("SELECT 'x", "*"),
            ("SELECT lo_create(0)", "*"),
            ("SELECT lo_unlink(a) FROM t FOR UPDATE", "*"),
            ("SELECT nextval('s'), dblink_exec('x')", "*"),
            ("INSERT INTO t VALUES (lo_import('/x'))", "*"),
            ("INSERT INTO t SELECT * FROM dblink('x') AS (a int)", "*"),
            ("UPDATE t SET a = query_to_xml('DELETE FROM u', true, true, '')", "*"),
        ],
    );
    let huge = format!("SELECT '{}'", "x".repeat(2 * 1024 * 1024));
    all(writes, &[(&huge, "*")]);
    assert_eq!(shown(statement(b"INSERT INTO t\xe9 VALUES (1)").writes_what()), "*");
    assert_eq!(
        shown(statement(b"WITH x AS (DELETE FROM t\xe9) INSERT INTO u VALUES (1)").writes_what()),
        "*"
    );
}

#[test]
fn what_only_looks_locks_or_controls_writes_nothing() {
    for sql in [
        "SELECT * FROM a, b",
        "SELECT f(1)",
        "TABLE a",
        "VALUES (1)",
        "SELECT * FROM a FOR UPDATE OF a SKIP LOCKED",
        "SELECT nextval('s'), setval('s', 1)",
        "SELECT pg_advisory_lock(1), pg_backend_pid(), txid_current()",
        "SELECT pg_logical_emit_message(true, 'a', 'b'), pg_stat_reset_shared('wal'), pg_notify('a', 'b')",
        "SELECT * FROM pg_stat_activity",
        "SELECT set_config('a.b', 'c', false)",
        "LOCK TABLE a",
        "LISTEN c",
        "NOTIFY c",
        "SET a = 1",
        "RESET ALL",
        "SHOW data_directory",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "SET TRANSACTION READ ONLY",
        "PREPARE p AS DELETE FROM a",
        "DEALLOCATE p",
        "DISCARD ALL",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM a",
        "FETCH 10 FROM c",
        "CLOSE c",
        "COPY a TO STDOUT",
        "COPY (SELECT * FROM a) TO STDOUT",
        "EXPLAIN DELETE FROM a",
        "EXPLAIN ANALYZE SELECT * FROM a",
    ] {
        assert_eq!(writes(sql), "-", "{sql}");
    }
}

#[test]
fn relations_are_read_wherever_a_query_may_stand() {
    for sql in [
        "SELECT (SELECT 1 FROM a)",
        "SELECT f.x FROM (SELECT * FROM a) f",
        "SELECT 1 FROM generate_series(1, (SELECT n FROM a))",
        "SELECT 1 FROM generate_series(1, 2) g, LATERAL (SELECT * FROM a WHERE a.x = g) l",
        "SELECT 1 FROM (VALUES ((SELECT x FROM a))) v",
        "SELECT 1 FROM (TABLE a) x",
        "SELECT 1 FROM (a CROSS JOIN ONLY (a) *)",
        "SELECT 1 GROUP BY ROLLUP ((SELECT x FROM a))",
        "SELECT * FROM ONLY (a)",
        "SELECT 1 FROM a AS x (y, z) TABLESAMPLE bernoulli (10)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM a)",
        "SELECT 1 WHERE 1 = ANY (SELECT x FROM a)",
        "SELECT 1 WHERE 1 > ALL (SELECT x FROM a)",
        "SELECT 1 WHERE (1, 2) IN (SELECT x, y FROM a)",
        "SELECT ARRAY(SELECT x FROM a)",
        "SELECT coalesce((SELECT x FROM a), 1)",
        "SELECT CASE WHEN true THEN (SELECT x FROM a) END",
        "SELECT CAST((SELECT x FROM a) AS int), (SELECT 1)::text",
        "SELECT extract(day FROM (SELECT x FROM a))",
        "SELECT substring((SELECT x FROM a) FROM 1 FOR 2)",
        "SELECT trim(both (SELECT x FROM a) from 'x')",
        "SELECT position('a' IN (SELECT x FROM a))",
        "SELECT overlay('a' PLACING (SELECT x FROM a) FROM 1)",
        "SELECT (SELECT x FROM a) BETWEEN 1 AND 2",
        "SELECT 'x' LIKE (SELECT x FROM a)",
        "SELECT (SELECT x FROM a) AT TIME ZONE 'UTC'",
        "SELECT (SELECT x FROM a) IS DISTINCT FROM 1",
        "SELECT ARRAY[1, (SELECT x FROM a)]",
        "SELECT (ARRAY[1])[(SELECT x FROM a)]",
        "SELECT ROW(1, (SELECT x FROM a))",
        "SELECT sum(1) FILTER (WHERE EXISTS (TABLE a))",
        "SELECT sum(1) OVER (ORDER BY (SELECT x FROM a))",
        "SELECT array_agg(1 ORDER BY (SELECT x FROM a))",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY (SELECT x FROM a))",
        "SELECT 1 GROUP BY (SELECT x FROM a)",
        "SELECT 1 HAVING EXISTS (SELECT 1 FROM a)",
        "SELECT 1 ORDER BY (SELECT x FROM a)",
        "SELECT 1 LIMIT (SELECT x FROM a)",
        "SELECT 1 OFFSET (SELECT x FROM a)",
        "SELECT DISTINCT ON ((SELECT x FROM a)) 1",
        "SELECT 1 UNION ALL (SELECT 2 EXCEPT TABLE a)",
        "VALUES (1), ((SELECT x FROM a))",
        "WITH c AS (SELECT * FROM a) SELECT * FROM c",
        "WITH c AS MATERIALIZED (TABLE a) TABLE c",
        "WITH RECURSIVE c AS (TABLE a UNION ALL SELECT * FROM c) SELECT * FROM c",
        "SELECT * FROM (WITH c AS (TABLE a) TABLE c) x",
        "SELECT json_agg(x) FROM a x",
        "SELECT a FROM a a",
        "TABLE ONLY a",
        "((SELECT * FROM a))",
        "EXPLAIN SELECT * FROM a",
        "EXPLAIN DELETE FROM a",
        "EXPLAIN (ANALYZE) SELECT * FROM a",
        "COPY a (x, y) TO STDOUT",
        "COPY (SELECT * FROM a) TO STDOUT WITH (FORMAT csv)",
        "DECLARE c NO SCROLL CURSOR FOR SELECT * FROM a",
    ] {
        assert_eq!(reads(sql), "a", "{sql}");
    }
    all(
        reads,
        &[
            ("SELECT * FROM a JOIN b USING (x) LEFT JOIN (c CROSS JOIN s.d) ON true", "a b c s.d"),
            ("SELECT * FROM db.s.a, \"B\", U&\"d\\0061t\\+000061\"", "B data s.a"),
            ("WITH a AS (SELECT * FROM a) SELECT * FROM a, s.a", "a s.a"),
        ],
    );
}

#[test]
fn what_postgresql_could_not_parse_may_read_anything() {
    for sql in [
        "SELECT 1 FROM a, ",
        "SELECT 1 FROM a OPERATOR(s.+) b",
        "SELECT 1 FROM a WHERE (",
        "SELECT 1 FROM (SELECT 1 FROM) x",
        // It could, and weir does not.
        "SELECT 1 FROM U&\"d!0061\" UESCAPE '!'",
    ] {
        assert_eq!(reads(sql), "*", "{sql}");
    }
}

#[test]
fn reads_of_no_relation_are_told_from_unknown_reads() {
    all(
        reads,
        &[
            ("SELECT 1", ""),
            ("SELECT now(), random(), lower('X'), current_user", ""),
            ("VALUES (1)", ""),
            ("SHOW server_version", ""),
            ("SELECT f(1)", "*"),
            ("SELECT * FROM a WHERE s.f(x)", "*"),
            ("SELECT table_to_xml('a', true, true, '')", "*"),
            ("SELECT pg_catalog.\"pg_relation_size\"('a')", "*"),
            ("SELECT lo_get(1)", "*"),
            ("SELECT * FROM ts_stat('SELECT x FROM a')", "*"),
            ("SELECT * FROM dblink('x') AS (a int)", "*"),
            ("SELECT pg_current_snapshot()", "*"),
            ("BEGIN READ ONLY", "*"),
            ("BEGIN", "*"),
            ("EXECUTE p", "*"),
            ("FETCH c", "*"),
            ("INSERT INTO a SELECT * FROM b", "*"),
            ("SELECT * FROM ROWS FROM (generate_series(1, 2), f(3))", "*"),
            ("SELECT * FROM a OPERATOR(s.+) b", "*"),
            ("EXPLAIN CREATE TABLE n AS SELECT * FROM a", "*"),
            ("EXPLAIN SELECT FROM", "*"),
            ("SELECT 'x", "*"),
        ],
    );
    assert_eq!(shown(statement(b"SELECT * FROM t\xe9").reads_what()), "*");
}

#[test]
fn unknown_functions_are_found_wherever_they_are_called() {
    for sql in [
        "SELECT f()",
        "SELECT \"f\" (1)",
        "SELECT * FROM f(1)",
        "SELECT * FROM f(1) AS x (a int)",
        "SELECT * FROM f(1) WITH ORDINALITY",
        "SELECT * FROM LATERAL f(1) x",
        "SELECT * FROM a, LATERAL f(a.x)",
        "SELECT * FROM ROWS FROM (f(1), generate_series(1, 2))",
        "SELECT lower(f(1)), (f(1)).x, (f(1))[1], f(VARIADIC ARRAY[1]), f(a => 1)",
        "SELECT f(DISTINCT x ORDER BY y) FILTER (WHERE true) OVER (PARTITION BY z) FROM a",
        "SELECT sum(x) FILTER (WHERE f(1))",
        "SELECT sum(x) OVER (ORDER BY f(1))",
        "SELECT 1 WHERE f(1) AND true",
        "SELECT 1 FROM a JOIN b ON f(a.x)",
        "SELECT 1 ORDER BY f(1)",
        "SELECT 1 LIMIT f(1)",
        "SELECT 1 GROUP BY CUBE (f(1))",
        "SELECT f(1) UNION SELECT 2",
        "VALUES (1, f(1))",
        "SELECT extract(day FROM f(1)), CASE f(1) WHEN 1 THEN 2 END",
        "SELECT 1 WHERE 1 IN (1, f(1))",
        "SELECT 1 FROM (SELECT 1 WHERE EXISTS (SELECT f(1))) x",
        "SELECT xmlelement(name x, f(1))",
        "INSERT INTO a VALUES (1, f(1))",
        "INSERT INTO s.a (b, c) SELECT f(1)",
        "INSERT INTO a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = f(1)",
        "INSERT INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET b = 1 WHERE f(1)",
        "INSERT INTO a VALUES (1) ON CONFLICT (b) WHERE f(1) DO NOTHING",
        "INSERT INTO a VALUES (1) RETURNING f(b)",
        "UPDATE a SET x = f(1)",
        "UPDATE a SET (x, y) = (1, f(1))",
        "UPDATE a SET x = 1 FROM b WHERE f(1) RETURNING 1",
        "UPDATE a SET x = 1 RETURNING f(1)",
        "DELETE FROM a USING b WHERE f(a.x)",
        "DELETE FROM a RETURNING f(x)",
        "MERGE INTO a USING b ON f(1) WHEN MATCHED THEN DELETE",
        "MERGE INTO a USING f(1) b ON true WHEN MATCHED THEN DELETE",
        "MERGE INTO a USING b ON true WHEN MATCHED AND f(1) THEN DELETE",
        "MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET x = f(1)",
        "MERGE INTO a USING b ON true WHEN NOT MATCHED THEN INSERT (x) VALUES (f(1))",
        "WITH x AS (SELECT f(1)) SELECT * FROM x",
        "WITH x AS (DELETE FROM a WHERE f(1)) SELECT 1",
        "SELECT f(1) INTO n",
        "SELECT * FROM a WHERE f(1) FOR UPDATE",
        "DECLARE c CURSOR FOR SELECT f(1)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT f(1)",
        "EXPLAIN ANALYZE SELECT f(1)",
        "EXPLAIN (ANALYZE) INSERT INTO a SELECT f(1)",
        "COPY (SELECT f(1)) TO STDOUT",
        "COPY (INSERT INTO a SELECT f(1) RETURNING *) TO STDOUT",
        "COPY a FROM STDIN WHERE f(x)",
        "COPY a FROM STDIN WITH (FORMAT csv) WHERE x > f(1)",
        "SELECT f(1) FROM a OPERATOR(pg_catalog.+) b",
    ] {
        // Beside it only what the grammar writes like a call, where sqlparser does not understand the statement.
        let found = functions(sql);
        assert!(found.split(' ').any(|name| name == "f"), "{sql}: {found}");
    }
    assert_eq!(functions("SELECT s.f(1), \"F\"(2), db.s.g(3)"), "F s.f s.g");
    assert_eq!(functions("INSERT INTO t SELECT t(1)"), "t");
}

#[test]
fn long_writes_are_read_by_their_tokens_alone() {
    let rows = ", (1, 'x')".repeat(20_000);
    let insert = |target: &str, tail: &str| format!("INSERT INTO {target} VALUES (1, 'x'){rows} {tail}");
    let upsert = insert("s.t (a, b)", "ON CONFLICT (a) DO UPDATE SET (b, a) = (1, 2) WHERE t.a IN (1, 2)");
    assert_eq!((writes(&upsert), functions(&upsert)), ("s.t".into(), String::new()));
    let calls = insert("t", "RETURNING f(1)");
    assert_eq!((writes(&calls), functions(&calls)), ("t".into(), "f".into()));
    assert_eq!(writes(&insert("t", "RETURNING lo_unlink(1)")), "*");
}

/// A verdict serves every statement of its shape.
#[test]
fn literals_decide_nothing() {
    let classifier = Classifier::new(10);
    let classify = |sql: &str| classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
    for (one, other) in [
        ("INSERT INTO t VALUES ('INTO u')", "INSERT INTO t VALUES ('v')"),
        ("SELECT * FROM a WHERE b IN (1, 2, 3)", "SELECT * FROM a WHERE b IN ('DELETE FROM c')"),
    ] {
        let (one, other) = (&classify(one).statements[0], &classify(other).statements[0]);
        assert_eq!((one.writes_what(), one.reads_what()), (other.writes_what(), other.reads_what()));
    }
}
