//! What random conversations are made of: statements that say the same on any connection, whatever came before.

/// What a conversation keeps off, because weir differs there on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bent {
    /// It opens read only transactions: these run on a replica, where locks and copies say other words.
    ReadOnly,
    /// It takes locks and copies.
    Locks,
}

/// Reads.
pub(crate) const READS: &[&str] = &[
    "SELECT count(*) FROM items",
    "SELECT id, name FROM items ORDER BY id LIMIT 3",
    "SELECT id, price, note FROM items WHERE id < 9 ORDER BY id",
    "SELECT 1/0",
    "SELECT no_such FROM items",
    "SELECT id, 10/(id - 3) FROM items WHERE id < 7 ORDER BY id",
    "SELECT current_setting('work_mem'), current_setting('TimeZone'), coalesce(current_setting('my.word', true), '')",
    "SELECT current_setting('search_path'), current_user, session_user",
    "SELECT current_setting('application_name'), current_setting('statement_timeout')",
    "SHOW work_mem",
    "SHOW TimeZone",
    "SHOW transaction_read_only",
    "SHOW transaction_isolation",
    "SELECT shout('hey')",
    "SELECT generate_series(1, 5)",
    "SELECT '2020-02-03 04:05+00'::timestamptz, '01/02/2003'::date",
    "SELECT * FROM t ORDER BY 1",
    "SELECT count(*) FROM play.t",
    "SELECT repeat('x', 30000)",
    "SELECT name FROM pg_cursors WHERE name <> '' ORDER BY name",
    "SELECT * FROM items WHERE id = 3 FOR UPDATE",
    "VALUES (1), (2)",
    "SELEC 1",
];

/// What changes data and definitions.
pub(crate) const WRITES: &[&str] = &[
    "INSERT INTO items VALUES (101, 'a', 1.5, NULL)",
    "INSERT INTO items VALUES (102, 'b', 2.5, 'n') RETURNING id, name",
    "INSERT INTO items VALUES (1, 'twice', 1, NULL)",
    "INSERT INTO items VALUES (103, 'c', -1, NULL)",
    "UPDATE items SET price = price + 1 WHERE id < 4",
    "UPDATE items SET note = 'changed' WHERE id = 2 RETURNING *",
    "DELETE FROM items WHERE id > 100",
    "WITH gone AS (DELETE FROM items WHERE id = 20 RETURNING id) SELECT * FROM gone",
    "INSERT INTO orders VALUES (1, 1) ON CONFLICT DO NOTHING",
    "SELECT nextval('counter')",
    "CREATE TABLE play.t (id int)",
    "CREATE TABLE IF NOT EXISTS play.t (id int)",
    "INSERT INTO play.t VALUES (1), (2)",
    "DROP TABLE play.t",
    "CREATE TEMP TABLE t (id int)",
    "INSERT INTO t VALUES (1), (2)",
    "DROP TABLE t",
    "CREATE TEMP TABLE d ON COMMIT DROP AS SELECT 1 AS id",
    "DO $$ BEGIN RAISE NOTICE 'done'; END $$",
    "DO $$ BEGIN PERFORM set_config('work_mem', '9MB', false); END $$",
];

/// Settings.
pub(crate) const SETTINGS: &[&str] = &[
    "SET work_mem = '5MB'",
    "SET work_mem TO '6MB'",
    "SET LOCAL work_mem = '7MB'",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET LOCAL TimeZone = 'America/Lima'",
    "SET DateStyle = 'SQL, DMY'",
    "SET my.word = 'mine'",
    "SET LOCAL my.word = 'local'",
    "SET search_path = play, public",
    "SET application_name = 'talker'",
    "SET work_mem = 'nonsense'",
    "SET no_such_setting = 1",
    "SET statement_timeout = '55s'",
    "SET ROLE talk_reader",
    "SET LOCAL ROLE talk_reader",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET work_mem",
    "RESET TimeZone",
    "RESET ALL",
    "RESET my.word",
    "SELECT set_config('work_mem', '3MB', false)",
    "SELECT set_config('TimeZone', 'Europe/Oslo', true)",
    "SELECT set_config('my.word', 'told', false)",
];

/// What begins, ends and divides transactions.
pub(crate) const TRANSACTIONS: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION",
    "COMMIT",
    "COMMIT",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ROLLBACK",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "SAVEPOINT a",
    "RELEASE a",
    "RELEASE b",
    "ROLLBACK TO a",
    "ROLLBACK TO b",
];

/// What begins transactions that only read.
pub(crate) const READ_ONLY: &[&str] = &[
    "BEGIN READ ONLY",
    "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET TRANSACTION READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET default_transaction_read_only = off",
];

/// Prepared statements by SQL.
pub(crate) const PREPARED: &[&str] = &[
    "PREPARE q AS SELECT count(*) FROM items",
    "PREPARE q (int) AS SELECT $1 + 1",
    "PREPARE w AS INSERT INTO items VALUES (110, 'w', 1, NULL)",
    "PREPARE s AS SELECT 'by SQL'",
    "EXECUTE q",
    "EXECUTE q (4)",
    "EXECUTE w",
    "EXECUTE s",
    "EXECUTE u",
    "DEALLOCATE q",
    "DEALLOCATE s",
    "DEALLOCATE w",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
    "SELECT name, statement FROM pg_prepared_statements WHERE name !~ '^weir' ORDER BY name",
];

/// Cursors.
pub(crate) const CURSORS: &[&str] = &[
    "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id",
    "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
    "DECLARE c SCROLL CURSOR FOR SELECT generate_series(1, 9)",
    "FETCH 2 FROM c",
    "FETCH 2 FROM h",
    "MOVE 1 FROM c",
    "FETCH BACKWARD 1 FROM c",
    "CLOSE c",
    "CLOSE h",
    "CLOSE ALL",
];

/// Locks that a session holds.
pub(crate) const LOCKS: &[&str] = &[
    "SELECT pg_advisory_lock(71)",
    "SELECT pg_advisory_unlock(71)",
    "SELECT pg_advisory_xact_lock(72)",
    "SELECT pg_advisory_unlock_all()",
    "LOCK TABLE orders IN SHARE MODE",
];

/// Copies from the client.
pub(crate) const COPIES_IN: &[&str] =
    &["COPY items (id, name) FROM STDIN", "COPY play.t FROM STDIN", "COPY t FROM STDIN"];

/// Copies to the client.
pub(crate) const COPIES_OUT: &[&str] =
    &["COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT", "COPY orders TO STDOUT"];

/// Names of prepared statements and of portals.
pub(crate) const STATEMENTS: &[&str] = &["", "", "s", "u", "q"];
pub(crate) const WITH_PARAMETERS: &[&str] = &["", "x", "y"];
pub(crate) const PORTALS: &[&str] = &["", "", "", "p", "c"];

/// Texts with parameters, each taking two.
pub(crate) const PARAMETERS: &[&str] = &[
    "SELECT $1::text, count(*) FROM items WHERE id < $2::int",
    "UPDATE items SET note = $1 WHERE id = $2",
    "SELECT set_config('my.word', $1, false), $2::int",
    "SELECT length($1), id FROM items WHERE id > $2 ORDER BY id",
];
