//! Settings: in which forms they come, whose fate they share, and what is reported of them.

use harness::client::front::*;

use crate::talk::{Hear, Talk, run, text};

pub(crate) fn talks() -> Vec<Talk> {
    [forms(), transactions(), savepoints(), strings(), set_configs(), extended(), roles(), logins()].concat()
}

/// A write stands behind a backslash, or within a string, as backslashes are read.
const HIDING: &[&str] = &[
    "SET standard_conforming_strings = off",
    "SELECT 'a\\' , '; INSERT INTO items (id, name) VALUES (71, $$x$$); --'",
    "SELECT count(*) FROM items",
    "SET standard_conforming_strings = on",
    "SELECT 'b\\' , '; INSERT INTO items (id, name) VALUES (72, $$x$$); --'",
    "SELECT 'c\\'; INSERT INTO items (id, name) VALUES (73, $$x$$); --'",
    "SELECT count(*) FROM items",
    "BEGIN",
    "SET LOCAL standard_conforming_strings = off",
    "SELECT 'd\\' , '; INSERT INTO items (id, name) VALUES (74, $$x$$); --'",
    "ROLLBACK",
    "SELECT 'e\\' , '; INSERT INTO items (id, name) VALUES (75, $$x$$); --'",
    "SELECT count(*) FROM items",
];

/// A setting is left by it where backslashes hide quotes; by the standard it is two strings.
const HIDDEN: &str = "SELECT 'a\\' , ' , set_config($$app.hidden$$, $$x$$, false) --'";

/// These and what hides, in one batch.
fn hidden_in_a_batch(name: &str, before: &[&str]) -> Talk {
    let batch: Vec<_> = before.iter().chain(&[HIDDEN]).flat_map(|sql| run(sql)).collect();
    Talk::new(name).batch(&batch).queries(&[
        "SELECT current_setting('app.hidden', true)",
        "ROLLBACK",
        "SELECT 'b\\n'",
    ])
}

/// The ways to say it.
fn forms() -> Vec<Talk> {
    vec![
        Talk::new("every setting that is reported, changed, changed to the same, and reset").queries(&[
            "SET application_name = 'one'",
            "SET application_name = 'one'",
            "SET application_name = 'd\u{e9}j\u{e0} vu'",
            "RESET application_name",
            "SET client_encoding = 'SQL_ASCII'",
            "SET client_encoding = utf8",
            "SET client_encoding = 'UTF-8'",
            "SET DateStyle = 'German'",
            "SET DateStyle = 'MDY'",
            "SET DateStyle = iso, ymd",
            "SET default_transaction_read_only = yes",
            "SET default_transaction_read_only = false",
            "SET IntervalStyle = sql_standard",
            "SET IntervalStyle = SQL_STANDARD",
            "SET standard_conforming_strings = 0",
            "SET standard_conforming_strings = on",
            "SET TimeZone = 'america/new_york'",
            "SET TimeZone = 'America/New_York'",
            "SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('IntervalStyle')",
        ]),
        Talk::new("SET TIME ZONE in all its forms").queries(&[
            "SET TIME ZONE 'Europe/Rome'",
            "SET TIME ZONE \"utc\"",
            "SET TIME ZONE 3",
            "SELECT '2020-01-01 00:00+00'::timestamptz",
            "SET TIME ZONE -7.5",
            "SHOW TIME ZONE",
            "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE",
            "SELECT '2020-01-01 00:00+00'::timestamptz",
            "SET SESSION TIME ZONE 'Asia/Tokyo'",
            "SET LOCAL TIME ZONE 'UTC'",
            "SHOW TIME ZONE",
            "SET TIME ZONE 'Nowhere'",
            "SET TIME ZONE LOCAL",
            "SHOW TIME ZONE",
            "SET TIME ZONE 'UTC'",
            "SET TIME ZONE DEFAULT",
            "SHOW TIME ZONE",
            "RESET TIME ZONE",
        ]),
        Talk::new("SET NAMES").queries(&[
            "SET NAMES 'LATIN1'",
            "SHOW client_encoding",
            "SELECT U&'\\00e9'",
            "SET NAMES 'no such encoding'",
            "SET NAMES utf8",
            "SELECT U&'\\00e9'",
            "SET NAMES 'SJIS'",
            "SET NAMES DEFAULT",
            "SHOW client_encoding",
            "SET NAMES 'LATIN1'",
            "SET NAMES",
            "SHOW client_encoding",
        ]),
        Talk::new("odd spellings").queries(&[
            "set TIMEZONE to 'utc'",
            "SET \"timezone\" = 'Asia/Tokyo'",
            "SET SESSION work_mem='3MB';",
            "  /* first */ SET -- second\n work_mem /* third */ TO '4 MB' ;",
            "SHOW work_mem",
            "SET work_mem TO 5000",
            "SHOW work_mem",
            "SET search_path = \"play\", 'public', \"Odd name\"",
            "SHOW search_path",
            "SET search_path = ''",
            "SHOW search_path",
            "SET extra_float_digits TO -2",
            "SELECT 0.1234567890123456::float8",
            "SET enable_seqscan TO FALSE",
            "SHOW enable_seqscan",
            "SET work_mem FROM CURRENT",
            "SET XML OPTION DOCUMENT",
            "SHOW xmloption",
            "SET SCHEMA 'play'",
            "SHOW search_path",
        ]),
        Talk::new("values with quotes and backslashes").queries(&[
            "SET my.word = 'it''s'",
            "SHOW my.word",
            "SET my.word = E'back\\\\slash \\'and\\' quote'",
            "SELECT 1",
            "SHOW my.word",
            "SET my.word = $$dollar 'quoted'$$",
            "SET my.word = U&'\\0061'",
            "SHOW my.word",
            "SET my.\"Odd word\" = 'a\\b'",
            "SET standard_conforming_strings = off",
            "SELECT 1",
            "SHOW my.word",
            "SET my.word = 'c\\\\d'",
            "SET standard_conforming_strings = on",
            "SELECT current_setting('my.word')",
        ]),
        Talk::new("what a backslash hides, by the rule that holds when it is read").changes().queries(HIDING),
        Talk::new("what a backslash hides, sent ahead").changes().ask(&HIDING.iter().map(query).collect::<Vec<_>>()),
        Talk::new("what a backslash hides, by the rule of the login")
            .changes()
            .startup("options", "-c standard_conforming_strings=off")
            .queries(&HIDING[1..]),
        Talk::new("a setting of one's own, reset and unknown again")
            .queries(&["SET my.a = '1'", "RESET my.a", "SHOW my.a", "SET my.a = DEFAULT", "SHOW my.a"])
            .queries(&["RESET my.nothing", "SET my.a.b = '2'", "SHOW my.a.b", "RESET ALL", "SHOW my.a.b"]),
        Talk::new("SET SESSION CHARACTERISTICS").changes().queries(&[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SHOW default_transaction_isolation",
            "SHOW transaction_isolation",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED",
            "INSERT INTO items VALUES (100, 'x')",
            "SHOW transaction_isolation",
            "BEGIN",
            "SHOW transaction_read_only",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "INSERT INTO items VALUES (100, 'x')",
            "ROLLBACK",
            "SHOW default_transaction_read_only",
            "BEGIN; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; COMMIT",
            "INSERT INTO items VALUES (100, 'x')",
        ]),
        Talk::new("defaults of transactions, as settings").changes().queries(&[
            "SET default_transaction_isolation = 'repeatable read'",
            "SELECT current_setting('transaction_isolation')",
            "SET default_transaction_deferrable = on",
            "BEGIN",
            "SHOW transaction_deferrable",
            "COMMIT",
            "SET default_transaction_read_only = on",
            "INSERT INTO items VALUES (100, 'x')",
            "BEGIN READ WRITE; INSERT INTO items VALUES (100, 'x'); COMMIT",
            "RESET default_transaction_read_only",
            "DELETE FROM items WHERE id = 100",
        ]),
        Talk::new("SET TRANSACTION where there is none, and too late").queries(&[
            "SET TRANSACTION READ ONLY",
            "SET transaction_isolation = 'serializable'",
            "SHOW transaction_isolation",
            "SET transaction_read_only = on",
            "SHOW transaction_read_only",
            "BEGIN",
            "SET transaction_read_only = on",
            "SHOW transaction_read_only",
            "SET TRANSACTION READ WRITE",
            "COMMIT",
            "SHOW transaction_read_only",
        ]),
        Talk::new("a refused value changes nothing, alone or among others").queries(&[
            "SET TimeZone = 'Asia/Tokyo'",
            "SET TimeZone = 'no such zone'",
            "SHOW TimeZone",
            "SET work_mem = '1kB'",
            "SET work_mem = '7MB'; SET work_mem = 'nonsense'; SET work_mem = '8MB'",
            "SHOW work_mem",
            "SET enable_seqscan = perhaps",
            "SET IntervalStyle = 'swiss'",
            "SET search_path = no_such_schema",
            "SELECT * FROM items WHERE id = 1",
            "SET role = 'no such role'",
            "SET log_min_messages = panic",
            "SET server_version = '1'",
            "SET shared_buffers = '1GB'",
            "SET fsync = off",
            "SELECT current_setting('search_path'), current_setting('TimeZone')",
        ]),
        Talk::new("settings that change what comes next").changes().queries(&[
            "SET bytea_output = escape",
            "SELECT '\\x00ff'::bytea",
            "SET client_min_messages = warning",
            "SELECT shout('quietly')",
            "SET statement_timeout = '50ms'",
            "SELECT pg_sleep(5)",
            "SET statement_timeout = 0",
            "SET DateStyle = 'SQL, DMY'",
            "SELECT '01/02/2003'::date",
            "SET IntervalStyle = iso_8601",
            "SELECT '1 year 2 days'::interval",
            "SET search_path = play",
            "SELECT * FROM items",
            "CREATE TABLE here (id int)",
            "SET search_path = public, play",
            "SELECT * FROM here",
        ]),
        Talk::new("dates in a copy")
            .changes()
            .queries(&["SET DateStyle = 'German, DMY'", "COPY (SELECT '2020-02-03'::date) TO STDOUT"])
            .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::Ready(1))
            .queries(&["COPY (SELECT '2020-02-03'::date) TO STDOUT", "SHOW DateStyle"]),
    ]
}

/// What a transaction's end makes of them.
fn transactions() -> Vec<Talk> {
    vec![
        Talk::new("SET LOCAL outside of a transaction does nothing").queries(&[
            "SET LOCAL work_mem = '5MB'",
            "SHOW work_mem",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            "SHOW TimeZone",
        ]),
        Talk::new("SET LOCAL ends with its transaction, either way").queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            "SET LOCAL work_mem = '5MB'",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
            "SHOW work_mem",
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            "ROLLBACK",
            "SHOW TimeZone",
        ]),
        Talk::new("SET, then SET LOCAL of the same").queries(&[
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET LOCAL TimeZone = 'UTC'",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
            "BEGIN",
            "SET TimeZone = 'Europe/Rome'",
            "SET LOCAL TimeZone = 'UTC'",
            "ROLLBACK",
            "SHOW TimeZone",
        ]),
        Talk::new("SET LOCAL, then SET of the same").queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'UTC'",
            "SET TimeZone = 'Asia/Tokyo'",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("RESET in a transaction that is rolled back").queries(&[
            "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '5MB'",
            "BEGIN",
            "RESET TimeZone",
            "SHOW TimeZone",
            "RESET ALL",
            "SHOW work_mem",
            "ROLLBACK",
            "SHOW TimeZone",
            "SHOW work_mem",
            "BEGIN",
            "RESET ALL",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("a transaction that fails takes its settings back").queries(&[
            "SET TimeZone = 'UTC'",
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET application_name = 'within'",
            "SELECT 1/0",
            "SHOW TimeZone",
            "SET TimeZone = 'Europe/Rome'",
            "RESET TimeZone",
            "COMMIT",
            "SHOW TimeZone",
            "SHOW application_name",
        ]),
        Talk::new("a commit that fails takes its settings back").changes().queries(&[
            "CREATE TABLE play.d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "INSERT INTO play.d VALUES (1), (1)",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("settings through chains").queries(&[
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET LOCAL work_mem = '5MB'",
            "COMMIT AND CHAIN",
            "SHOW TimeZone",
            "SHOW work_mem",
            "SET TimeZone = 'Europe/Rome'",
            "ROLLBACK AND CHAIN",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("settings through a prepared transaction").queries(&[
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET LOCAL work_mem = '5MB'",
            "PREPARE TRANSACTION 'with a setting'",
            "SHOW TimeZone",
            "SHOW work_mem",
            "ROLLBACK PREPARED 'with a setting'",
            "SHOW TimeZone",
        ]),
        Talk::new("several values in one transaction, the last one counts").queries(&[
            "BEGIN",
            "SET work_mem = '5MB'",
            "SET work_mem = '6MB'",
            "SHOW work_mem",
            "SET work_mem = '7MB'",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("a setting made in a read only transaction").queries(&[
            "BEGIN READ ONLY",
            "SET TimeZone = 'Asia/Tokyo'",
            "SELECT count(*) FROM items",
            "COMMIT",
            "SELECT '2020-01-01 00:00+00'::timestamptz FROM items WHERE id = 1",
        ]),
        Talk::new("an encoding set and rolled back")
            .queries(&["BEGIN", "SET client_encoding = 'LATIN1'"])
            .ask(&[query(b"SELECT 'caf\xe9'")])
            .queries(&["ROLLBACK", "SELECT 'caf\u{e9}'", "SHOW client_encoding"]),
    ]
}

fn savepoints() -> Vec<Talk> {
    vec![
        Talk::new("a rollback to a savepoint takes settings back and reports them").queries(&[
            "BEGIN",
            "SET TimeZone = 'UTC'",
            "SAVEPOINT a",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET work_mem = '5MB'",
            "ROLLBACK TO a",
            "SHOW TimeZone",
            "SHOW work_mem",
            "SET TimeZone = 'Europe/Rome'",
            "RELEASE a",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("savepoints of one name").queries(&[
            "BEGIN",
            "SAVEPOINT a",
            "SET work_mem = '5MB'",
            "SAVEPOINT a",
            "SET work_mem = '6MB'",
            "SAVEPOINT A",
            "SET work_mem = '7MB'",
            "ROLLBACK TO a",
            "SHOW work_mem",
            "RELEASE a",
            "SHOW work_mem",
            "ROLLBACK TO a",
            "SHOW work_mem",
            "RELEASE a",
            "ROLLBACK TO a",
            "SHOW work_mem",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("SET LOCAL within savepoints").queries(&[
            "BEGIN",
            "SET LOCAL work_mem = '5MB'",
            "SAVEPOINT a",
            "SET LOCAL work_mem = '6MB'",
            "SET work_mem = '7MB'",
            "SAVEPOINT b",
            "SET LOCAL work_mem = '8MB'",
            "RELEASE b",
            "SHOW work_mem",
            "ROLLBACK TO a",
            "SHOW work_mem",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("a setting before a failure that a savepoint heals").queries(&[
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            "SAVEPOINT \"A b\"",
            "SET TimeZone = 'UTC'",
            "SELECT 1/0",
            "ROLLBACK TO \"A b\"",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("a reset within a savepoint").queries(&[
            "SET TimeZone = 'Asia/Tokyo'",
            "BEGIN",
            "SAVEPOINT a",
            "RESET ALL",
            "SHOW TimeZone",
            "ROLLBACK TO SAVEPOINT a",
            "SHOW TimeZone",
            "SAVEPOINT b",
            "SET TimeZone TO DEFAULT",
            "RELEASE SAVEPOINT b",
            "COMMIT",
            "SHOW TimeZone",
        ]),
    ]
}

/// Several in one string.
fn strings() -> Vec<Talk> {
    vec![
        Talk::new("settings among other statements").queries(&[
            "SET TimeZone = 'Asia/Tokyo'; SELECT '2020-01-01 00:00+00'::timestamptz; SET TimeZone = 'UTC'; SHOW TimeZone",
            "SHOW TimeZone",
            "SELECT 1; SET work_mem = '5MB'; SHOW work_mem; RESET work_mem; SHOW work_mem",
            "SHOW work_mem",
        ]),
        Talk::new("a string that fails in the middle takes all back").queries(&[
            "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '5MB'; SELECT 1/0; SET TimeZone = 'UTC'",
            "SHOW TimeZone",
            "SHOW work_mem",
        ]),
        Talk::new("a string that commits in the middle, and fails then").queries(&[
            "BEGIN; SET TimeZone = 'Asia/Tokyo'; COMMIT; SET TimeZone = 'UTC'; SELECT 1/0",
            "SHOW TimeZone",
            "SET work_mem = '5MB'; COMMIT; SET work_mem = '6MB'; ROLLBACK; SHOW work_mem",
            "SHOW work_mem",
        ]),
        Talk::new("a string with a transaction that it rolls back").queries(&[
            "BEGIN; SET TimeZone = 'Asia/Tokyo'; SHOW TimeZone; ROLLBACK; SHOW TimeZone",
            "SET TimeZone = 'UTC'; BEGIN; SET TimeZone = 'Asia/Tokyo'; ROLLBACK",
            "SHOW TimeZone",
            "BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'; SHOW TimeZone; COMMIT; SHOW TimeZone",
        ]),
        Talk::new("a string with savepoints").queries(&[
            "BEGIN; SET work_mem = '5MB'; SAVEPOINT a; SET work_mem = '6MB'; ROLLBACK TO a; COMMIT; SHOW work_mem",
            "BEGIN; SAVEPOINT a; SET TimeZone = 'Asia/Tokyo'; SELECT 1/0",
            "ROLLBACK TO a; SHOW TimeZone; COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("SET LOCAL in a string of its own transaction").queries(&[
            "SET LOCAL TimeZone = 'Asia/Tokyo'; SHOW TimeZone",
            "SHOW TimeZone",
            "SELECT 1; SET LOCAL work_mem = '5MB'; SHOW work_mem",
            "SHOW work_mem",
        ]),
        Talk::new("settings sent ahead")
            .ask(&[
                query("SET TimeZone = 'Asia/Tokyo'"),
                query("SHOW TimeZone"),
                query("BEGIN"),
                query("SET TimeZone = 'UTC'"),
                query("ROLLBACK"),
                query("SHOW TimeZone"),
                query("SET TimeZone = 'Nowhere'"),
                query("SHOW TimeZone"),
                query("RESET ALL"),
            ])
            .queries(&["SELECT 1"]),
    ]
}

fn set_configs() -> Vec<Talk> {
    vec![
        Talk::new("set_config with other columns").queries(&[
            "SELECT 1 AS a, set_config('TimeZone', 'Asia/Tokyo', false) AS b, 'c' AS c",
            "SHOW TimeZone",
            "SELECT set_config('work_mem', '5MB', false), set_config('application_name', 'two', false)",
            "SHOW work_mem",
            "SELECT current_setting('TimeZone'), set_config('TimeZone', 'UTC', false), current_setting('TimeZone')",
            "SELECT pg_catalog.set_config('search_path', 'play', false)",
            "SHOW search_path",
            "SELECT set_config('search_path', 'public', false), count(*) FROM public.items",
            "SELECT count(*) FROM items",
        ]),
        Talk::new("an empty search path by set_config")
            .queries(&["SELECT pg_catalog.set_config('search_path', '', false)", "SELECT 1", "SHOW search_path"]),
        Talk::new("set_config, local").queries(&[
            "SELECT set_config('TimeZone', 'Asia/Tokyo', true)",
            "SHOW TimeZone",
            "BEGIN",
            "SELECT set_config('TimeZone', 'Asia/Tokyo', true)",
            "SHOW TimeZone",
            "COMMIT",
            "SHOW TimeZone",
            "BEGIN",
            "SELECT set_config('work_mem', '5MB', false), set_config('work_mem', '6MB', true)",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("set_config in a transaction").queries(&[
            "BEGIN",
            "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
            "SAVEPOINT a",
            "SELECT set_config('TimeZone', 'UTC', false)",
            "ROLLBACK TO a",
            "SHOW TimeZone",
            "ROLLBACK",
            "SHOW TimeZone",
        ]),
        Talk::new("set_config of nothing, of nonsense, of NULL").queries(&[
            "SELECT set_config('no_such_setting', 'x', false)",
            "SELECT set_config('TimeZone', 'Nowhere', false)",
            "SELECT set_config(NULL, 'x', false)",
            "SELECT set_config('work_mem', NULL, false)",
            "SHOW work_mem",
            "SELECT set_config('my.word', 'w', NULL)",
            "SHOW my.word",
            "SELECT set_config('work_mem', '5MB')",
        ]),
        Talk::new("set_config that is not run, or not once").queries(&[
            "SELECT set_config('TimeZone', 'Asia/Tokyo', false) WHERE false",
            "SHOW TimeZone",
            "SELECT CASE WHEN id > 100 THEN set_config('TimeZone', 'Asia/Tokyo', false) END FROM items WHERE id < 3",
            "SHOW TimeZone",
            "SELECT set_config('my.n', id::text, false) FROM items WHERE id < 4 ORDER BY id",
            "SHOW my.n",
            "SELECT * FROM (SELECT set_config('work_mem', '5MB', false)) s",
            "SHOW work_mem",
            "WITH w AS (SELECT set_config('work_mem', '6MB', false)) SELECT 1",
            "SHOW work_mem",
            "SELECT 1 FROM items WHERE id = 1 AND set_config('work_mem', '7MB', false) IS NOT NULL",
            "SHOW work_mem",
        ]),
        Talk::new("set_config before an error in one statement")
            .queries(&["SELECT set_config('TimeZone', 'Asia/Tokyo', false), 1/0", "SHOW TimeZone"]),
        Talk::new("settings made by a block and by functions").changes().queries(&[
            "DO $$ BEGIN SET work_mem = '5MB'; PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END $$",
            "SHOW work_mem",
            "SELECT 1",
            "SHOW TimeZone",
            "CREATE FUNCTION play.sets() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET my.word = 'set within'; END $$",
            "SELECT play.sets()",
            "SELECT 1",
            "SHOW my.word",
            "DISCARD ALL",
            "SHOW work_mem",
        ]),
        Talk::new("settings updated through the view").queries(&[
            "UPDATE pg_settings SET setting = '5MB' WHERE name = 'work_mem'",
            "SHOW work_mem",
            "SELECT 1",
            "SELECT setting, unit FROM pg_settings WHERE name = 'work_mem'",
        ]),
        Talk::new("set_config by the extended protocol")
            .batch(&run("SELECT set_config('TimeZone', 'Asia/Tokyo', false), 1"))
            .batch(&run("SHOW TimeZone"))
            .batch(&[parse("s", "SELECT set_config('application_name', $1, false)", &[])])
            .batch(&[bind("", "s", &[text("first")]), execute("", 0)])
            .queries(&["SHOW application_name"])
            .batch(&[bind("", "s", &[text("second")]), execute("", 0)])
            .batch(&[run("SELECT set_config('work_mem', '5MB', false)"), run("SELECT 1/0")].concat())
            .queries(&["SHOW application_name", "SHOW work_mem"]),
    ]
}

fn extended() -> Vec<Talk> {
    vec![
        Talk::new("settings in one batch")
            .batch(
                &[run("SET TimeZone = 'Asia/Tokyo'"), run("SHOW TimeZone"), run("SET work_mem = '5MB'")]
                    .concat(),
            )
            .queries(&["SHOW TimeZone", "SHOW work_mem"]),
        hidden_in_a_batch("what a backslash hides in the batch of a SET", &["SET standard_conforming_strings = off"]),
        hidden_in_a_batch(
            "what a backslash hides in the batch of a set_config",
            &["SELECT set_config('standard_conforming_strings', 'off', false)"],
        ),
        hidden_in_a_batch("what a backslash hides behind a SET LOCAL", &["BEGIN", "SET LOCAL standard_conforming_strings = off"]),
        hidden_in_a_batch(
            "what a backslash hides behind code that sets",
            &["DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$"],
        ),
        Talk::new("what a backslash hides behind a rollback in its batch").apart()
            .startup("options", "-c standard_conforming_strings=off")
            .queries(&["BEGIN", "SET standard_conforming_strings = on"])
            .batch(&[run("ROLLBACK"), run(HIDDEN)].concat())
            .queries(&["SELECT current_setting('app.hidden', true)"]),
        Talk::new("what a backslash hides behind RESET and DISCARD in their batch")
            .startup("options", "-c standard_conforming_strings=off")
            .queries(&["SET standard_conforming_strings = on"])
            .batch(&[run("RESET ALL"), run(HIDDEN)].concat())
            .queries(&["SELECT current_setting('app.hidden', true)"]),
        Talk::new("what a backslash hides behind a SET that was prepared before")
            .batch(&[parse("off", "SET standard_conforming_strings = off", &[])])
            .batch(&[vec![bind("", "off", &[]), execute("", 0)], run(HIDDEN)].concat())
            .queries(&["SELECT current_setting('app.hidden', true)"]),
        Talk::new("what a backslash hides in a batch that is flushed in pieces")
            .say(&[run("SET standard_conforming_strings = off"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&run(HIDDEN))
            .queries(&["SELECT current_setting('app.hidden', true)"]),
        Talk::new("what a backslash hides behind a function that sets, sent ahead")
            .ask(&[
                query("CREATE FUNCTION play.off() RETURNS text LANGUAGE sql AS $$SELECT set_config('standard_conforming_strings', 'off', false)$$"),
            ])
            .changes()
            .ask(&[query("SELECT play.off()"), query(HIDDEN), query("SELECT current_setting('app.hidden', true)")]),
        Talk::new("backslashes in a batch that changes nothing about them")
            .batch(&[run("SET work_mem = '5MB'"), run("SELECT 'a\\b'"), run("SELECT 'c\\'")].concat())
            .queries(&["SHOW work_mem"]),
        Talk::new("settings in a batch whose end fails")
            .batch(&[run("SET TimeZone = 'Asia/Tokyo'"), run("SHOW TimeZone"), run("SELECT 1/0")].concat())
            .queries(&["SHOW TimeZone"])
            .batch(&[run("SET TimeZone = 'Asia/Tokyo'"), vec![bind("", "nope", &[])]].concat())
            .batch(&run("SHOW TimeZone")),
        Talk::new("a refused setting in a batch skips what follows")
            .batch(&[run("SET TimeZone = 'Nowhere'"), run("SET work_mem = '5MB'")].concat())
            .batch(&run("SHOW work_mem")),
        Talk::new("a prepared SET")
            .batch(&[parse("s", "SET TimeZone = 'Asia/Tokyo'", &[]), describe_statement("s")])
            .batch(&[bind("", "s", &[]), describe_portal(""), execute("", 0)])
            .queries(&["SHOW TimeZone", "RESET TimeZone"])
            .batch(&[bind("p", "s", &[]), execute("p", 0), close_portal("p")])
            .batch(&[parse("r", "RESET ALL", &[]), bind("", "r", &[]), execute("", 0)])
            .queries(&["SHOW TimeZone"]),
        Talk::new("a SET that is prepared or bound, and not run")
            .batch(&[parse("s", "SET TimeZone = 'Asia/Tokyo'", &[])])
            .batch(&[bind("", "s", &[])])
            .queries(&["SHOW TimeZone"])
            .batch(&[parse("", "SET TimeZone = $1", &[])])
            .queries(&["SHOW TimeZone"]),
        Talk::new("a transaction with settings by the extended protocol")
            .batch(&run("BEGIN"))
            .batch(&run("SET TimeZone = 'Asia/Tokyo'"))
            .batch(&run("SET LOCAL work_mem = '5MB'"))
            .batch(&run("SAVEPOINT a"))
            .batch(&run("SET TimeZone = 'UTC'"))
            .batch(&run("ROLLBACK TO a"))
            .batch(&run("COMMIT"))
            .batch(&[run("SHOW TimeZone"), run("SHOW work_mem")].concat()),
        Talk::new("a transaction with settings in one batch").apart()
            .batch(
                &[
                    run("BEGIN"),
                    run("SET TimeZone = 'Asia/Tokyo'"),
                    run("COMMIT"),
                    run("SHOW TimeZone"),
                    run("BEGIN"),
                    run("SET TimeZone = 'UTC'"),
                    run("ROLLBACK"),
                ]
                .concat(),
            )
            .batch(&run("SHOW TimeZone")),
        Talk::new("settings and flushes")
            .say(&[run("SET TimeZone = 'Asia/Tokyo'"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run("SHOW TimeZone"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&[])
            .queries(&["SHOW TimeZone"]),
        Talk::new("settings in batches sent ahead").ask(
            &(0..12)
                .flat_map(|n| {
                    let hour = n % 5;
                    let middle = if n % 4 == 3 { "SELECT 1/0" } else { "SHOW TimeZone" };
                    [run(&format!("SET TIME ZONE {hour}")), run(middle), vec![sync(), query("SHOW TimeZone")]]
                        .concat()
                })
                .collect::<Vec<_>>(),
        ),
    ]
}

/// Who one is.
fn roles() -> Vec<Talk> {
    vec![
        Talk::new("another role, and back").queries(&[
            "SET ROLE talk_reader",
            "SELECT current_user, session_user",
            "SHOW role",
            "SELECT count(*) FROM items",
            "SELECT 1",
            "SET ROLE NONE",
            "SELECT current_user",
            "SET ROLE 'talk_reader'",
            "RESET ROLE",
            "SELECT current_user, session_user",
            "SET role = talk_reader",
            "RESET ALL",
            "SELECT current_user",
            "SET ROLE no_such_role",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION talk_reader",
        ]),
        Talk::new("a role for a transaction").queries(&[
            "BEGIN",
            "SET LOCAL ROLE talk_reader",
            "SELECT current_user",
            "COMMIT",
            "SELECT current_user",
            "BEGIN",
            "SET ROLE talk_reader",
            "SELECT current_user",
            "ROLLBACK",
            "SELECT current_user",
            "BEGIN",
            "SAVEPOINT a",
            "SET ROLE talk_reader",
            "ROLLBACK TO a",
            "SELECT current_user",
            "SET ROLE talk_reader",
            "COMMIT",
            "SELECT current_user FROM items WHERE id = 1",
            "DISCARD ALL",
            "SELECT current_user",
        ]),
        Talk::new("a role by set_config and by the extended protocol")
            .queries(&["SELECT set_config('role', 'talk_reader', false)", "SELECT current_user"])
            .batch(&run("RESET ROLE"))
            .batch(&[run("SET ROLE talk_reader"), run("SELECT current_user")].concat())
            .batch(&[run("SET ROLE NONE"), run("SELECT 1/0")].concat())
            .queries(&["SELECT current_user"]),
        Talk::new("another session authorization, as a superuser can")
            .by_superuser()
            .queries(&[
                "SELECT current_user, session_user, current_setting('is_superuser')",
                "SET SESSION AUTHORIZATION app",
                "SELECT current_user, session_user, current_setting('is_superuser')",
                "SELECT count(*) FROM pg_authid",
                "SET ROLE talk_reader",
                "SELECT current_user, session_user",
                "RESET SESSION AUTHORIZATION",
                "SELECT current_user, session_user",
            ])
            .queries(&[
                "SET SESSION AUTHORIZATION 'talk_reader'",
                "SET SESSION AUTHORIZATION DEFAULT",
                "BEGIN",
                "SET LOCAL SESSION AUTHORIZATION app",
                "SELECT current_user, session_user",
                "COMMIT",
                "SELECT current_user, session_user",
                "BEGIN",
                "SET SESSION AUTHORIZATION app",
                "ROLLBACK",
                "SELECT session_user",
                "SET SESSION AUTHORIZATION app",
                "DISCARD ALL",
                "SELECT session_user",
            ]),
        Talk::new("a superuser's role").by_superuser().queries(&[
            "SET ROLE app",
            "SHOW is_superuser",
            "SELECT count(*) FROM pg_authid",
            "RESET ROLE",
            "SHOW is_superuser",
            "SELECT count(*) > 0 FROM pg_authid",
        ]),
    ]
}

fn logins() -> Vec<Talk> {
    vec![
        Talk::new("options in every spelling")
            .startup(
                "options",
                "-c work_mem=5MB -cgeqo=off --enable-seqscan=off -c my.word=a\\ b -c datestyle=german",
            )
            .queries(&[
                "SHOW work_mem",
                "SHOW geqo",
                "SHOW enable_seqscan",
                "SHOW my.word",
                "SHOW datestyle",
            ]),
        Talk::new("options and parameters of one name, and one name twice")
            .startup("TimeZone", "UTC")
            .startup("options", "-c timezone=Asia/Tokyo -c work_mem=5MB -c work_mem=6MB")
            .startup("work_mem", "7MB")
            .queries(&["SHOW TimeZone", "SHOW work_mem"]),
        Talk::new("a login as every setting that is reported")
            .startup("application_name", "n\u{e9}w")
            .startup("client_encoding", "latin1")
            .startup("datestyle", "sql, mdy")
            .startup("default_transaction_read_only", "1")
            .startup("intervalstyle", "POSTGRES_VERBOSE")
            .startup("standard_conforming_strings", "off")
            .startup("timezone", "asia/tokyo")
            .queries(&[
                "SHOW datestyle",
                "SHOW timezone",
                "SHOW standard_conforming_strings",
                "SELECT 'a\\'b'",
            ]),
        Talk::new("options with a value that cannot be")
            .in_weirs_words()
            .startup("options", "-c work_mem=much"),
        Talk::new("options with a setting that does not exist")
            .in_weirs_words()
            .startup("options", "-c no_such_setting=1"),
        Talk::new("options with a setting that cannot be set")
            .in_weirs_words()
            .startup("options", "-c shared_buffers=1GB"),
        Talk::new("a login with a time zone that is none")
            .in_weirs_words()
            .startup("TimeZone", "Nowhere/City"),
        Talk::new("a login with an encoding that is none")
            .in_weirs_words()
            .startup("client_encoding", "no such encoding"),
        Talk::new("a login with a style that is none").in_weirs_words().startup("DateStyle", "Swiss"),
        Talk::new("a login with switches of one letter")
            .startup(
                "options",
                "-S 4321 -fs -f nestloop -e -E -D x -v 3 -c lock_timeout=3s --statement-timeout=1min -S5432",
            )
            .queries(&["SHOW work_mem", "SHOW enable_seqscan", "SHOW enable_nestloop", "SHOW DateStyle"])
            .queries(&["SHOW lock_timeout", "SHOW statement_timeout", "SELECT 1", "SELECT date '2020-03-02'"])
            .queries(&[
                "SET work_mem = '1MB'",
                "RESET work_mem",
                "SHOW work_mem",
                "DISCARD ALL",
                "SHOW work_mem",
            ]),
        Talk::new("a superuser's login with switches of one letter")
            .by_superuser()
            .startup("options", "-Otpa -d 0 -te")
            .queries(&["SHOW allow_system_table_mods", "SHOW log_executor_stats", "SHOW log_parser_stats"])
            .queries(&["SHOW log_min_messages"]),
        Talk::new("a login with a switch that the user may not").in_weirs_words().startup("options", "-O"),
        Talk::new("a login with a switch that is only for the whole server")
            .in_weirs_words()
            .startup("options", "-B 100"),
        Talk::new("a login with a role, and everything that resets it")
            .startup("options", "-c role=talk_reader")
            .queries(&["SELECT current_user, session_user", "SET ROLE none", "SELECT current_user"])
            .queries(&["RESET SESSION AUTHORIZATION", "SELECT current_user, current_setting('role')"])
            .queries(&["SET SESSION AUTHORIZATION app", "SELECT current_user", "SHOW role"])
            .queries(&["SET SESSION AUTHORIZATION DEFAULT", "SELECT current_user", "SHOW role"])
            .queries(&["BEGIN", "SET LOCAL SESSION AUTHORIZATION app", "SELECT current_user"])
            .queries(&["SET LOCAL SESSION AUTHORIZATION DEFAULT", "SELECT current_user", "COMMIT"])
            .queries(&["SELECT current_user", "BEGIN", "SET SESSION AUTHORIZATION app", "ROLLBACK"])
            .queries(&["SELECT current_user", "SET ROLE none", "RESET ALL", "SELECT current_user"])
            .queries(&[
                "SET ROLE none; RESET SESSION AUTHORIZATION; SELECT current_user",
                "SELECT current_user",
            ])
            .batch(&run("SET ROLE none"))
            .batch(&run("RESET SESSION AUTHORIZATION"))
            .queries(&["SELECT current_user"]),
        Talk::new("a superuser's login with a role, and everything that resets it")
            .by_superuser()
            .startup("role", "talk_reader")
            .queries(&[
                "SHOW is_superuser",
                "SET SESSION AUTHORIZATION app",
                "SELECT current_user, session_user",
            ])
            .queries(&["RESET SESSION AUTHORIZATION", "SELECT current_user, session_user", "SHOW role"]),
        Talk::new("a superuser's login as somebody else, which is nothing")
            .by_superuser()
            .startup("session_authorization", "app")
            .queries(&[
                "SELECT current_user, session_user",
                "SHOW session_authorization",
                "SHOW is_superuser",
            ])
            .queries(&["SET SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION", "SELECT session_user"])
            .queries(&["RESET ALL", "DISCARD ALL", "SELECT current_user, session_user"]),
        Talk::new("a login as oneself")
            .startup("session_authorization", "app")
            .queries(&["SELECT session_user"]),
        Talk::new("a login with a role").startup("role", "talk_reader").queries(&[
            "SELECT current_user, session_user",
            "RESET ROLE",
            "SELECT current_user",
            "SET ROLE NONE",
            "SELECT current_user",
        ]),
        Talk::new("a login with a search path and defaults of transactions")
            .startup("search_path", "play, public")
            .startup("default_transaction_isolation", "repeatable read")
            .startup("lock_timeout", "3s")
            .queries(&[
                "SHOW search_path",
                "SHOW transaction_isolation",
                "SHOW lock_timeout",
                "SET search_path = ''",
                "SHOW search_path",
            ]),
    ]
}
