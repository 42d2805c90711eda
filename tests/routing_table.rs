//! What goes where, and why: statement by statement, as a primary with one replica and PostgreSQL's defaults has it.
//!
//! The catalog of these tests knows the functions `stable_one()`, `app.stable_two()` and `volatile_one()`.

use std::time::{Duration, Instant};

use weir::cluster::catalog::{Catalog, Volatility};
use weir::router::{FunctionLists, Learned, Replicas, SessionView, Transaction, World, route};
use weir::sql::{Classifier, Modes, Name, StandardConformingStrings};

/// Statements in groups by the route and reason that all of them have.
struct Group {
    expected: &'static str,
    statements: &'static [&'static str],
}

const fn group(expected: &'static str, statements: &'static [&'static str]) -> Group {
    Group { expected, statements }
}

const TABLE: &[Group] = &[
    group("replica read", READS),
    group("replica empty", EMPTY),
    group("primary write", WRITES),
    group("primary ddl", DDL),
    group("primary row_lock", ROW_LOCKS),
    group(
        "primary table_lock",
        &["LOCK TABLE t", "LOCK t IN ACCESS EXCLUSIVE MODE", "lock table only t nowait"],
    ),
    group("primary sequence", SEQUENCES),
    group("primary advisory_lock", ADVISORY_LOCKS),
    group("primary server_state", SERVER_STATE),
    group("primary session_state", SESSION_STATE),
    group("primary built_in_function", BUILT_IN_FUNCTIONS),
    group("primary server_file", SERVER_FILES),
    group("primary notification", NOTIFICATIONS),
    group(
        "primary procedure",
        &["CALL p()", "CALL s.p(1, 'a')", "DO $$ BEGIN PERFORM 1; END $$", "do 'begin end'"],
    ),
    group("primary maintenance", MAINTENANCE),
    group("primary temporary", TEMPORARY),
    group("primary hold_cursor", HOLD_CURSORS),
    group("primary two_phase", TWO_PHASE),
    group("primary unparsable", UNPARSABLE),
    group("primary volatile_function", VOLATILE),
    group("primary unknown_function", UNKNOWN),
    group("primary multi_statement", MULTI_STATEMENT),
    group("primary begin", BEGINS),
    group("replica begin_read_only", BEGINS_READ_ONLY),
    group("primary serializable", SERIALIZABLE),
    group("primary transaction_control", TRANSACTION_CONTROL),
    group("primary setting", SETTINGS),
    group("primary prepared", PREPARED),
    group("primary cursor", CURSORS),
    group(
        "primary discard",
        &["DISCARD ALL", "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP", "discard temporary"],
    ),
    group("primary hint_primary", HINT_PRIMARY),
    group("replica hint_replica", HINT_REPLICA),
];

const READS: &[&str] = &[
    "SELECT",
    "SELECT * FROM ROWS FROM (generate_series(1, 2), stable_one()) WITH ORDINALITY AS f",
    "SELECT xmlelement(NAME foo, xmlattributes(a AS b)), COLLATION FOR (a), t.*::text, OPERATOR(pg_catalog.-) 1 FROM t*",
    "SELECT 1",
    "select 1;",
    "TABLE t",
    "TABLE ONLY t",
    "VALUES (1), (2)",
    "VALUES (1, 'a'), (2, 'b') ORDER BY 1",
    "(SELECT 1) UNION SELECT 2",
    "(SELECT 1)",
    "((SELECT 1) INTERSECT (SELECT 2)) EXCEPT ALL SELECT 3 ORDER BY 1 LIMIT 5",
    "SELECT * FROM t",
    "SELECT * FROM ONLY t",
    "SELECT id, abalance FROM pgbench_accounts WHERE aid = 1",
    "SELECT * FROM t WHERE id = $1",
    "SELECT * FROM t WHERE id IN (1, 2, 3)",
    "SELECT * FROM t WHERE id = ANY ($1::int[])",
    "SELECT a.*, b.x FROM a JOIN b ON a.id = b.a_id LEFT JOIN c USING (id) WHERE a.n > 5",
    "SELECT * FROM a NATURAL JOIN b",
    "SELECT * FROM a CROSS JOIN LATERAL (SELECT * FROM b WHERE b.id = a.id LIMIT 1) x",
    "SELECT count(*), sum(x), avg(y) FROM t GROUP BY z HAVING count(*) > 1",
    "SELECT count(*) FILTER (WHERE x > 1) FROM t",
    "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
    "SELECT first_value(x) OVER w, last_value(x) OVER w FROM t WINDOW w AS (ORDER BY y)",
    "SELECT rank() OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
    "SELECT * FROM t LIMIT 10 OFFSET 20",
    "SELECT * FROM t OFFSET 20 ROWS FETCH NEXT 10 ROWS ONLY",
    "SELECT * FROM t FETCH FIRST ROW ONLY",
    "SELECT a FROM t GROUP BY ROLLUP (a, b)",
    "SELECT a FROM t GROUP BY GROUPING SETS ((a), (b), ())",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "WITH x AS MATERIALIZED (SELECT 1), y AS NOT MATERIALIZED (SELECT 2) SELECT * FROM x, y",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "WITH t AS (SELECT * FROM t) SELECT * FROM t",
    "SELECT now(), current_timestamp, current_date, clock_timestamp()",
    "SELECT random(), gen_random_uuid()",
    "SELECT pg_sleep(1)",
    "SELECT version()",
    "SELECT current_database(), current_user, session_user, current_schema",
    "SELECT current_schemas(true)",
    "SELECT generate_series(1, 10)",
    "SELECT * FROM generate_series(1, 10) AS g(i)",
    "SELECT * FROM unnest(ARRAY[1, 2]) WITH ORDINALITY",
    "SELECT * FROM unnest($1::int[], $2::text[]) AS u(a, b)",
    "SELECT * FROM json_to_recordset('[]') AS x(a int, b text)",
    "SELECT coalesce(a, b), nullif(a, b), greatest(1, 2), least(1, 2) FROM t",
    "SELECT CASE WHEN a THEN 1 ELSE 2 END FROM t",
    "SELECT CASE a WHEN 1 THEN 'x' END FROM t",
    "SELECT extract(epoch FROM now()), date_trunc('day', now()), now() AT TIME ZONE 'UTC'",
    "SELECT substring('abc' FROM 2 FOR 1), trim(BOTH ' ' FROM x), position('a' IN x) FROM t",
    "SELECT overlay('abc' PLACING 'x' FROM 2)",
    "SELECT cast(x AS numeric(10, 2)), x::varchar(10), x::timestamptz FROM t",
    "SELECT x::double precision, y::character varying(5), z::time with time zone FROM t",
    "SELECT interval '1 day', date '2020-01-01', timestamp '2020-01-01 00:00:00'",
    "SELECT now() - interval '1 hour' * 2",
    "SELECT ARRAY(SELECT 1), ARRAY[[1, 2], [3, 4]], x[1], x[1:2] FROM t",
    "SELECT ROW(1, 2), (1, 2) = (1, 2)",
    "SELECT (x).y, (x).* FROM t",
    "SELECT t.* FROM t",
    "SELECT data->>'a', data->'b'->0, data #> '{a,b}', data @> '{}', data ? 'a' FROM t",
    "SELECT jsonb_build_object('a', 1), to_jsonb(t) FROM t",
    "SELECT a || b, a ~ 'x', a !~* 'x', a ILIKE 'x%', a SIMILAR TO 'x' FROM t",
    "SELECT a LIKE 'x!%' ESCAPE '!' FROM t",
    "SELECT x <-> '[1,2,3]' FROM items ORDER BY x <-> $1 LIMIT 5",
    "SELECT to_tsvector('english', body) @@ to_tsquery('a & b') FROM t",
    "SELECT a IS NULL, b IS NOT NULL, c IS DISTINCT FROM d, e ISNULL, f NOTNULL FROM t",
    "SELECT a BETWEEN 1 AND 2, a NOT BETWEEN SYMMETRIC 2 AND 1 FROM t",
    "SELECT x COLLATE \"C\" FROM t ORDER BY x COLLATE \"C\"",
    "SELECT EXISTS (SELECT 1 FROM t), a IN (SELECT id FROM u), a > ALL (SELECT 1) FROM t",
    "SELECT string_agg(x, ',' ORDER BY x), array_agg(DISTINCT y) FROM t",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
    "SELECT 'a;b', $$;$$, E'it\\'s', U&'d\\0061t', B'101', X'1F', 'a' 'b' FROM t",
    "SELECT 'x' /* ; */ -- INSERT INTO t VALUES (1)\n FROM t",
    "SELECT 'INSERT INTO t VALUES (1)', 'FOR UPDATE', 'nextval(1)'",
    "SELECT \"update\", \"insert\" FROM \"Order\"",
    "SELECT t.update, t.for FROM t",
    "SELECT count(*) FROM information_schema.tables",
    "SELECT oid, typname FROM pg_type WHERE typname = 'citext'",
    "SELECT * FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace",
    "SELECT pg_get_indexdef(1), format_type(23, NULL), obj_description(1, 'pg_class')",
    "SELECT * FROM pg_stats WHERE tablename = 't'",
    "SELECT pg_relation_size('t'), pg_size_pretty(pg_database_size('x'))",
    "SELECT has_table_privilege('t', 'select'), pg_table_is_visible(1)",
    "SELECT stable_one()",
    "SELECT app.stable_two(1)",
    "SELECT * FROM stable_one() AS s",
    "SELECT \"stable_one\"()",
    "SELECT pg_catalog.lower('X')",
    "SELECT current_setting('search_path')",
    "SELECT current_setting('app.user_id', true)",
    "SELECT set_config('search_path', '', false)",
    "SELECT pg_catalog.set_config('search_path', 'a, b', false)",
    "SELECT set_config('app.user_id', '7', true)",
    "SHOW search_path",
    "SHOW TIME ZONE",
    "SHOW server_version",
    "SHOW transaction isolation level",
    "SHOW standard_conforming_strings",
    "SHOW app.user_id",
    "EXPLAIN SELECT 1",
    "EXPLAIN INSERT INTO t VALUES (1)",
    "EXPLAIN VERBOSE UPDATE t SET a = 1",
    "EXPLAIN (COSTS OFF) DELETE FROM t",
    "EXPLAIN (ANALYZE false) DELETE FROM t",
    "EXPLAIN (ANALYZE off, BUFFERS) UPDATE t SET a = 1",
    "EXPLAIN (FORMAT json) SELECT nextval('s')",
    "EXPLAIN ANALYZE SELECT * FROM t",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t",
    "EXPLAIN (SELECT 1)",
    "EXPLAIN CREATE TABLE n AS SELECT 1",
    "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
    "COPY t TO STDOUT",
    "COPY s.t (a, b) TO STDOUT WITH (FORMAT csv)",
    "COPY (SELECT * FROM t) TO STDOUT",
    "COPY (SELECT 1) TO STDOUT BINARY",
    "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
    "SELECT * FROM t TABLESAMPLE SYSTEM (10) REPEATABLE (1)",
    "SELECT txid_current_snapshot()",
    "SELECT 1; SELECT 2",
    "SELECT 1; SELECT 2;;",
    "SELECT 1 AS \"last value\"",
];

const EMPTY: &[&str] = &["", ";", " ;; ", "-- nothing", "/* nothing /* at all */ */", "\n\t"];

const WRITES: &[&str] = &[
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t DEFAULT VALUES",
    "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING id",
    "INSERT INTO t SELECT * FROM u",
    "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.a WHERE t.a > 1",
    "INSERT INTO t VALUES (nextval('s'))",
    "insert into t values (volatile_one())",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "UPDATE t SET a = 1",
    "UPDATE ONLY t SET a = 1 WHERE false",
    "UPDATE s.t AS x SET (a, b) = (1, 2) FROM u WHERE u.id = x.id RETURNING *",
    "UPDATE t SET a = 1 WHERE CURRENT OF c",
    "DELETE FROM t",
    "DELETE FROM ONLY t USING u WHERE t.id = u.id",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DO NOTHING",
    "TRUNCATE t",
    "TRUNCATE TABLE a, b RESTART IDENTITY CASCADE",
    "WITH d AS (DELETE FROM q RETURNING *) SELECT * FROM d",
    "WITH i AS (INSERT INTO t VALUES (1) RETURNING id) SELECT id FROM i",
    "WITH u AS (UPDATE t SET a = 1 RETURNING *) SELECT count(*) FROM u",
    "WITH x AS (SELECT 1), y AS (WITH z AS (SELECT 2) INSERT INTO t SELECT * FROM z RETURNING 1) SELECT 1",
    "WITH m AS (MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM m",
    "SELECT * INTO n FROM t",
    "SELECT * INTO TEMP n FROM t",
    "SELECT a INTO UNLOGGED TABLE n FROM t",
    "WITH x AS (SELECT 1 AS a) SELECT a INTO n FROM x",
    "COPY t FROM STDIN",
    "COPY t (a, b) FROM STDIN WITH (FORMAT binary)",
    "COPY (INSERT INTO t VALUES (1) RETURNING id) TO STDOUT",
    "COPY (WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d) TO STDOUT",
    "EXPLAIN ANALYZE UPDATE t SET a = 1",
    "EXPLAIN (ANALYZE) INSERT INTO t VALUES (1)",
    "EXPLAIN (ANALYZE true, VERBOSE) DELETE FROM t",
    "EXPLAIN (VERBOSE, ANALYZE on) WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "EXPLAIN ANALYZE VERBOSE DELETE FROM t",
    "/* weir: replica */ INSERT INTO t VALUES (1)",
    "-- note\n/* a */ UPDATE t SET a = 1",
    "UPDATE pg_settings SET setting = 'on' WHERE name = 'x'",
    "INSERT INTO \"select\" VALUES (1)",
];

const DDL: &[&str] = &[
    "CREATE TABLE t (id int)",
    "CREATE TABLE n AS SELECT 1",
    "CREATE UNLOGGED TABLE t (id int)",
    "CREATE INDEX CONCURRENTLY ON t (id)",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CREATE MATERIALIZED VIEW m AS SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1; select 2'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)",
    "CREATE EXTENSION dblink",
    "CREATE DATABASE x TEMPLATE y",
    "CREATE SEQUENCE s",
    "ALTER TABLE t ADD COLUMN b int",
    "ALTER ROLE r SET search_path = x",
    "DROP TABLE IF EXISTS t CASCADE",
    "DROP INDEX CONCURRENTLY i",
    "GRANT SELECT ON t TO u",
    "REVOKE ALL ON t FROM PUBLIC",
    "COMMENT ON TABLE t IS 'x'",
    "SECURITY LABEL ON TABLE t IS 'x'",
    "REASSIGN OWNED BY a TO b",
    "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y",
    "EXPLAIN ANALYZE CREATE TABLE n AS SELECT 1",
];

const ROW_LOCKS: &[&str] = &[
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR NO KEY UPDATE",
    "SELECT * FROM t FOR SHARE",
    "SELECT * FROM t FOR KEY SHARE",
    "SELECT * FROM t WHERE id = 1 FOR UPDATE OF t NOWAIT",
    "SELECT * FROM t LIMIT 1 FOR UPDATE SKIP LOCKED",
    "SELECT * FROM t FOR UPDATE LIMIT 1",
    "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",
    "WITH x AS (SELECT * FROM t FOR SHARE) SELECT * FROM x",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM t FOR KEY SHARE)",
    "DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE",
    "SELECT 1for update",
];

const SEQUENCES: &[&str] = &[
    "SELECT nextval('s')",
    "SELECT nextval('s')+1",
    "SELECT NEXTVAL ('s')",
    "SELECT pg_catalog.nextval('s'::regclass)",
    "SELECT \"nextval\"('s')",
    "SELECT U&\"next\\0076al\"('s')",
    "SELECT setval('s', 1)",
    "SELECT currval('s')",
    "SELECT lastval()",
    "SELECT last_value FROM s",
    "SELECT s.last_value, is_called FROM s",
    "SELECT log_cnt FROM public.s",
    "SELECT * FROM pg_sequences",
    "SELECT CASE WHEN g = 5 THEN nextval('s') END FROM generate_series(1, 10) g",
    "COPY (SELECT nextval('s')) TO STDOUT",
    "VALUES (nextval('s'))",
    "SELECT * FROM t ORDER BY nextval('s')",
    "SELECT * FROM t LIMIT nextval('s')",
    "SELECT * FROM nextval('s')",
    "EXPLAIN ANALYZE SELECT nextval('s')",
];

const ADVISORY_LOCKS: &[&str] = &[
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_lock(1, 2)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock($1)",
    "SELECT pg_try_advisory_xact_lock_shared(1)",
    "SELECT pg_catalog.pg_advisory_lock_shared(1)",
    "SELECT \"pg_advisory_lock\"(1)",
    "SELECT pg_catalog . \"pg_advisory_lock\" (1)",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT * FROM t WHERE pg_try_advisory_lock(id)",
    "SELECT 1 FROM pg_advisory_lock(1)",
    "/* weir: replica */ SELECT pg_advisory_lock(1)",
];

const SERVER_STATE: &[&str] = &[
    "SELECT * FROM pg_stat_activity",
    "SELECT * FROM pg_catalog.pg_stat_replication",
    "SELECT * FROM pg_stat_user_tables",
    "SELECT * FROM pg_statio_user_tables",
    "SELECT * FROM pg_stat_statements",
    "SELECT pg_stat_get_live_tuples(1)",
    "TABLE pg_locks",
    "SELECT * FROM t JOIN pg_locks l ON true",
    "SELECT * FROM pg_replication_slots",
    "SELECT * FROM pg_prepared_xacts",
    "COPY pg_locks TO STDOUT",
    "SELECT pg_backend_pid()",
    "SELECT inet_server_addr(), inet_server_port()",
    "SELECT inet_client_port()",
    "SELECT pg_is_in_recovery()",
    "SELECT pg_current_wal_lsn()",
    "SELECT pg_current_wal_insert_lsn()",
    "SELECT pg_last_wal_replay_lsn()",
    "SELECT pg_last_xact_replay_timestamp()",
    "SELECT pg_postmaster_start_time()",
    "SELECT pg_blocking_pids(1)",
    "SELECT txid_status(1)",
    "SELECT current_setting('transaction_read_only')",
    "SELECT current_setting('in_hot_standby')",
    "SELECT current_setting($1)",
    "SELECT current_setting('work_' || 'mem')",
    "SHOW transaction_read_only",
    "SHOW in_hot_standby",
    "SHOW work_mem",
    "SHOW auto_explain.log_min_duration",
    "SELECT current_setting('pg_stat_statements.max')",
    "SHOW data_directory",
    "SHOW ALL",
];

const SESSION_STATE: &[&str] = &[
    "LOAD 'auto_explain'",
    "SELECT set_config('search_path', $1, false)",
    "SELECT set_config($1, 'x', false)",
    "SELECT set_config('app.user_id', $1, true)",
    "SELECT set_config('a.b', 'x', false) FROM t WHERE id = 1",
    "SELECT setseed(0.5)",
    "SELECT pg_export_snapshot()",
    "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
    "SELECT * FROM pg_prepared_statements",
    "SELECT * FROM pg_cursors",
    "SELECT name, setting FROM pg_settings",
    "SET CONSTRAINTS ALL DEFERRED",
    "EXPLAIN EXECUTE p",
    "EXPLAIN ANALYZE EXECUTE p(1)",
    "SET TIME ZONE INTERVAL '+2' HOUR TO MINUTE",
    "SET search_path FROM CURRENT",
];

const BUILT_IN_FUNCTIONS: &[&str] = &[
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_stat_reset()",
    "SELECT pg_stat_reset_shared('bgwriter')",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_create_logical_replication_slot('a', 'pgoutput')",
    "SELECT pg_replication_origin_create('x')",
    "SELECT lo_create(0)",
    "SELECT lo_unlink(1)",
    "SELECT lo_get(1)",
    "SELECT query_to_xml('delete from t', true, true, '')",
    "SELECT * FROM dblink_exec('insert into t values (1)')",
    "SELECT dblink_exec('x', 'insert into t values (1)')",
    "SELECT ext.dblink_exec('x', 'insert into t values (1)')",
    "SELECT dblink_connect('x')",
    "SELECT * FROM ts_stat('select body from t')",
];

const SERVER_FILES: &[&str] = &[
    "COPY t TO '/tmp/x'",
    "COPY t TO PROGRAM 'cat'",
    "COPY t FROM '/tmp/x'",
    "COPY t FROM PROGRAM 'cat'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "SELECT pg_read_file('x')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('x')",
    "SELECT lo_import('/tmp/x')",
];

const NOTIFICATIONS: &[&str] = &[
    "LISTEN c",
    "UNLISTEN c",
    "UNLISTEN *",
    "NOTIFY c",
    "NOTIFY c, 'payload'",
    "SELECT pg_notify('c', 'x')",
    "listen \"Channel\"",
];

const MAINTENANCE: &[&str] = &[
    "VACUUM",
    "VACUUM (ANALYZE) t",
    "ANALYZE t",
    "CLUSTER t",
    "REINDEX TABLE t",
    "CHECKPOINT",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "ALTER SYSTEM SET work_mem = '1MB'",
];

const TEMPORARY: &[&str] = &[
    "CREATE TEMP TABLE x (id int)",
    "CREATE TEMPORARY TABLE x AS SELECT 1",
    "CREATE LOCAL TEMP TABLE x (id int)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
    "CREATE TEMP SEQUENCE s",
    "CREATE TABLE pg_temp.x (id int)",
    "SELECT * FROM pg_temp.x",
    "TABLE pg_temp.x",
    "COPY pg_temp.x TO STDOUT",
];

const HOLD_CURSORS: &[&str] =
    &["DECLARE c CURSOR WITH HOLD FOR SELECT 1", "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT * FROM t"];

const TWO_PHASE: &[&str] = &["PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'"];

const UNPARSABLE: &[&str] = &[
    "SELEC 1",
    "foo",
    "SELECT 'unterminated",
    "SELECT \"unterminated",
    "SELECT $$unterminated",
    "SELECT 1 /* unterminated",
    "SELECT U&\"d!0061\" UESCAPE '!' FROM t",
    "SELECT 1 FROM",
    "SELECT (1",
    "SELECT 1)",
    "SELECT {1}",
    "\\d",
    "42",
    "'x'",
    "\"select\" 1",
    "COPY t",
    "BEGIN WORK NOW",
    "SET TRANSACTION READ",
    "PREPARE",
    "SAVEPOINT",
    "SHOW",
    "DECLARE c",
    "EXPLAIN EXPLAIN SELECT 1",
    "EXPLAIN FOO",
    "SELECT 1$$x$$",
    "SELECT E'\u{e9}\\'; DELETE FROM t --'",
];

const VOLATILE: &[&str] = &[
    "SELECT f.x FROM ROWS FROM (volatile_one()) AS f",
    "SELECT volatile_one()",
    "SELECT myschema.volatile_one()",
    "SELECT * FROM volatile_one()",
    "SELECT * FROM t WHERE volatile_one() > 1",
    "SELECT * FROM t, LATERAL volatile_one(t.id)",
    "SELECT stable_one(), unknown_one(), volatile_one()",
    "SELECT (SELECT volatile_one())",
    "WITH x AS (SELECT volatile_one()) SELECT * FROM x",
    "SELECT * FROM t ORDER BY volatile_one()",
    "SELECT count(*) FILTER (WHERE volatile_one() > 1) FROM t",
    "SELECT sum(x) OVER (ORDER BY volatile_one()) FROM t",
    "VALUES (volatile_one())",
    "SELECT coalesce(x, volatile_one()) FROM t",
    "SELECT x[volatile_one()] FROM t",
    "SELECT ARRAY[volatile_one()]",
    "SELECT * FROM a JOIN b ON volatile_one() = 1",
    "SELECT 1 GROUP BY volatile_one()",
    "SELECT 1 LIMIT volatile_one()",
    "SELECT 1 UNION SELECT volatile_one()",
    "COPY (SELECT volatile_one()) TO STDOUT",
    "EXPLAIN ANALYZE SELECT volatile_one()",
    "SELECT CASE WHEN true THEN volatile_one() END",
    "SELECT volatile_one(), 1; SELECT 2",
];

const UNKNOWN: &[&str] = &[
    "SELECT unknown_one()",
    "SELECT app.lower('X')",
    "SELECT app.nextval('s')",
    "SELECT \"Lower\"('X')",
    "SELECT * FROM app.stable_one()",
];

const MULTI_STATEMENT: &[&str] = &[
    "SELECT 1; INSERT INTO t VALUES(1); SELECT 2",
    "BEGIN; SELECT 1; COMMIT",
    "begin; insert into t values (1); commit",
    "BEGIN READ ONLY; SELECT 1",
    "SELECT 1; COMMIT",
    "SET search_path = x; SELECT 1",
    "SELECT 1; SELECT 'unterminated $$; SELECT nextval(1) $$ '; SELECT nextval('s')",
    "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
    "SELECT 1; FOO",
    "SELECT 1; SELECT * FROM t FOR UPDATE",
    "SELECT 1; DISCARD ALL",
];

const BEGINS: &[&str] = &[
    "BEGIN",
    "begin;",
    "BEGIN WORK",
    "BEGIN TRANSACTION",
    "START TRANSACTION",
    "BEGIN READ WRITE",
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE",
    "START TRANSACTION ISOLATION LEVEL READ UNCOMMITTED READ WRITE",
    "BEGIN READ ONLY, READ WRITE",
    "/* weir: replica */ BEGIN",
];

const BEGINS_READ_ONLY: &[&str] = &[
    "BEGIN READ ONLY",
    "BEGIN TRANSACTION READ ONLY",
    "START TRANSACTION READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "START TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED",
    "BEGIN READ ONLY DEFERRABLE",
];

const SERIALIZABLE: &[&str] = &[
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    "/* weir: replica */ BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
];

const TRANSACTION_CONTROL: &[&str] = &[
    "COMMIT",
    "COMMIT WORK",
    "COMMIT AND CHAIN",
    "COMMIT TRANSACTION AND NO CHAIN",
    "END",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "ABORT",
    "SAVEPOINT a",
    "RELEASE a",
    "RELEASE SAVEPOINT a",
    "ROLLBACK TO a",
    "ROLLBACK TRANSACTION TO SAVEPOINT a",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET transaction_read_only = on",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
];

const SETTINGS: &[&str] = &[
    "SET search_path TO a, b",
    "SET LOCAL statement_timeout = '5s'",
    "SET SESSION work_mem = '7MB'",
    "SET timezone TO DEFAULT",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET TIME ZONE LOCAL",
    "SET TIME ZONE -7",
    "SET NAMES 'UTF8'",
    "SET ROLE x",
    "SET ROLE NONE",
    "SET LOCAL ROLE x",
    "SET SESSION AUTHORIZATION x",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET app.user_id = '7'",
    "SET default_transaction_read_only = on",
    "SET weir.target = 'primary'",
    "SET weir.target TO replica",
    "RESET search_path",
    "RESET ALL",
    "RESET ROLE",
    "RESET SESSION AUTHORIZATION",
    "RESET TIME ZONE",
    "RESET weir.target",
];

const PREPARED: &[&str] = &[
    "PREPARE p AS SELECT 1",
    "PREPARE p (int) AS INSERT INTO t VALUES ($1)",
    "EXECUTE p",
    "EXECUTE p(1, 'a')",
    "DEALLOCATE p",
    "DEALLOCATE PREPARE p",
    "DEALLOCATE ALL",
    "DEALLOCATE PREPARE ALL",
];

const CURSORS: &[&str] = &[
    "DECLARE c CURSOR FOR SELECT 1",
    "DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR SELECT * FROM t",
    "FETCH c",
    "FETCH FORWARD 10 FROM c",
    "MOVE ALL IN c",
    "CLOSE c",
    "CLOSE ALL",
];

const HINT_PRIMARY: &[&str] = &[
    "/* weir: primary */ SELECT 1",
    "/*weir:primary*/SELECT 1",
    "  /* x */ /* weir: primary */ SELECT * FROM t",
    "/* weir: primary, consistency=strong */ SELECT 1",
    "/* weir: target=primary */ SELECT 1",
    "/* weir: primary */ BEGIN READ ONLY",
];

const HINT_REPLICA: &[&str] = &[
    "/* weir: replica */ SELECT 1",
    "/* weir: replica */ SELECT volatile_one()",
    "/* weir: replica */ SELECT unknown_one()",
    "/* weir: replica, max_staleness=500ms */ SELECT 1",
    "/* weir: replica */ BEGIN READ ONLY",
];

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let mut add = |schema: Option<&str>, name: &str, volatility| {
        let name = Name { schema: schema.map(Into::into), name: name.into() };
        catalog.functions.insert(name, volatility);
    };
    for (schema, name, volatility) in [
        ("public", "stable_one", Volatility::ReadOnly),
        ("app", "stable_two", Volatility::ReadOnly),
        ("public", "volatile_one", Volatility::Volatile),
        ("myschema", "volatile_one", Volatility::Volatile),
    ] {
        add(Some(schema), name, volatility);
        add(None, name, volatility);
    }
    catalog
}

#[test]
fn every_statement_goes_where_the_table_says() {
    let classifier = Classifier::new(10_000);
    let (catalog, learned) = (catalog(), Learned::new(10, Duration::from_secs(60)));
    let functions = FunctionLists::default();
    let world = World {
        replicas: Replicas::Usable,
        catalog: Some(&catalog),
        learned: &learned,
        rules: &[],
        functions: &functions,
        now: Instant::now(),
    };
    let session = SessionView {
        transaction: Transaction::None,
        pin: None,
        target: None,
        user: "u",
        database: "d",
        application_name: "",
        defaults: Modes::default(),
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for group in TABLE {
        for sql in group.statements {
            count += 1;
            let verdict = classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
            let decision = route(&verdict, sql.as_bytes(), &session, &world);
            let actual = format!("{} {}", decision.route.as_str(), decision.reason);
            if actual != group.expected {
                wrong.push(format!("{sql}\n    expected {}, got {actual}", group.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 250, "the table has shrunk to {count} statements");
}
