//! What a session keeps: settings, temporary tables, cursors, notifications.

use harness::client::front::*;

use crate::talk::{Hear, Talk, text};

pub(crate) fn talks() -> Vec<Talk> {
    [logins(), settings(), settings_and_transactions(), encodings(), state()].concat()
}

fn logins() -> Vec<Talk> {
    vec![
        Talk::new("a reset goes back to what the client came with")
            .startup("TimeZone", "Asia/Tokyo")
            .startup("work_mem", "7MB")
            .queries(&[
                "SET TimeZone = 'UTC'",
                "RESET TimeZone",
                "SHOW TimeZone",
                "SELECT 1",
                "SHOW TimeZone",
            ])
            .queries(&[
                "SET work_mem = '8MB'",
                "SET TimeZone TO DEFAULT",
                "RESET ALL",
                "SHOW work_mem",
                "SHOW TimeZone",
            ])
            .queries(&[
                "BEGIN",
                "SET TimeZone = 'UTC'",
                "RESET TimeZone",
                "SHOW TimeZone",
                "COMMIT",
                "SHOW TimeZone",
            ])
            .queries(&["SET TimeZone = 'UTC'", "DISCARD ALL", "SHOW work_mem", "SHOW TimeZone"]),
        Talk::new("a reset in one string with others")
            .startup("TimeZone", "Asia/Tokyo")
            .startup("application_name", "differential")
            .startup("search_path", "play, \"Odd, name\"")
            .queries(&[
                "SET TimeZone = 'UTC'; SELECT 1; RESET ALL; SHOW TimeZone; SELECT 2;",
                "SHOW search_path",
                "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
                "SET application_name = 'x'; RESET application_name; SELECT 1/0; SELECT 3",
                "SHOW application_name",
                "BEGIN; SET TimeZone = 'UTC'; RESET TimeZone; SET LOCAL TimeZone TO DEFAULT",
                "SHOW TimeZone",
                "ROLLBACK",
                "BEGIN; SET TimeZone = 'UTC'",
                "SET LOCAL TimeZone TO DEFAULT; SHOW TimeZone",
                "COMMIT",
                "SHOW TimeZone",
                "SELECT 1; DISCARD ALL",
            ])
            .queries(&["BEGIN", "DISCARD ALL", "RESET ALL", "ROLLBACK", "DISCARD ALL", "SHOW TimeZone"]),
        Talk::new("a reset by the extended protocol")
            .startup("TimeZone", "Asia/Tokyo")
            .startup("work_mem", "7MB")
            .queries(&["SET TimeZone = 'UTC'", "SET work_mem = '8MB'"])
            .ask(&[parse("r", "RESET ALL", &[]), describe_statement("r"), sync()])
            .ask(&[bind("", "r", &[]), describe_portal(""), execute("", 0), sync()])
            .queries(&["SHOW work_mem", "SHOW TimeZone", "SET TimeZone = 'UTC'"])
            .ask(&[
                parse("", "RESET TimeZone", &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", "SHOW TimeZone", &[]),
                bind("", "", &[]),
                execute("", 0),
                parse("", "SELECT 1/0", &[]),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ])
            .queries(&["SHOW TimeZone"])
            .ask(&[parse("", "DISCARD ALL", &[]), bind("", "", &[]), execute("", 0), sync()])
            .queries(&["SHOW work_mem", "SHOW TimeZone"]),
        Talk::new("a plain login"),
        Talk::new("a login with settings")
            .startup("application_name", "talk")
            .startup("TimeZone", "Asia/Tokyo")
            .startup("DateStyle", "German, DMY")
            .startup("IntervalStyle", "iso_8601")
            .startup("extra_float_digits", "2")
            .queries(&[
                "SHOW timezone",
                "SHOW application_name",
                "SELECT '2020-02-03'::date, '1 day'::interval, 0.1::float8",
            ]),
        Talk::new("a login with options")
            .startup("options", "-c work_mem=7MB -c search_path=play,public --geqo=off")
            .queries(&["SHOW work_mem", "SHOW search_path", "SHOW geqo"]),
        Talk::new("a login with an encoding in client's spelling")
            .startup("client_encoding", "'utf-8'")
            .queries(&["SHOW client_encoding"]),
        Talk::new("a login with a setting of one's own")
            .startup("my.word", "hello")
            .queries(&["SHOW my.word", "SELECT current_setting('my.word')"]),
        Talk::new("a login with settings that only matter in the session")
            .startup("client_min_messages", "error")
            .startup("statement_timeout", "5000")
            .startup("default_transaction_isolation", "serializable")
            .queries(&[
                "SHOW client_min_messages",
                "SELECT shout('nobody hears')",
                "SHOW statement_timeout",
                "SHOW transaction_isolation",
            ]),
        Talk::new("a login with a setting that does not exist")
            .in_weirs_words()
            .startup("no_such_setting", "1"),
        Talk::new("a login with a value that cannot be").in_weirs_words().startup("work_mem", "much"),
        Talk::new("a login with a setting that cannot be set")
            .in_weirs_words()
            .startup("max_connections", "5"),
    ]
}

fn settings() -> Vec<Talk> {
    vec![
        Talk::new("settings that are reported").queries(&[
            "SET TimeZone TO 'Europe/Berlin'",
            "SET application_name = 'other'",
            "SET DateStyle TO 'SQL, DMY'",
            "SELECT '2020-02-03 04:05'::timestamptz",
            "SET TIME ZONE 'UTC'",
            "SET standard_conforming_strings = off",
            "SELECT 'a\\'b'",
            "SET standard_conforming_strings = on",
            "SET IntervalStyle = 'postgres_verbose'; SET TimeZone = 'Asia/Tokyo'",
        ]),
        Talk::new("settings that follow the session").queries(&[
            "SET work_mem = '9MB'",
            "SELECT 1",
            "SHOW work_mem",
            "SET search_path = play, public",
            "SHOW search_path",
            "SELECT current_schemas(false)",
            "RESET work_mem",
            "SHOW work_mem",
            "SET search_path TO DEFAULT",
            "SHOW search_path",
            "RESET ALL",
            "SHOW search_path",
        ]),
        Talk::new("set_config").queries(&[
            "SELECT set_config('work_mem', '8MB', false)",
            "SHOW work_mem",
            "SELECT set_config('TimeZone', 'Asia/Tokyo', false), 1",
            "SHOW TimeZone",
            "SELECT set_config('work_' || 'mem', '6MB', false)",
            "SHOW work_mem",
            "SELECT current_setting('work_mem')",
        ]),
        Talk::new("set_config by a prepared statement")
            .batch(&[
                parse("s", "SELECT set_config($1, $2, false)", &[]),
                bind("", "s", &[text("TimeZone"), text("Asia/Tokyo")]),
                execute("", 0),
            ])
            .queries(&["SHOW TimeZone", "SELECT 1", "SHOW TimeZone"]),
        Talk::new("settings by the extended protocol")
            .batch(&[parse("", "SET TimeZone TO 'Asia/Tokyo'", &[]), bind("", "", &[]), execute("", 0)])
            .batch(&[
                parse("", "SHOW TimeZone", &[]),
                describe_statement(""),
                bind("", "", &[]),
                execute("", 0),
            ])
            .queries(&["SHOW TimeZone"]),
        Talk::new("settings that are refused").queries(&[
            "SET work_mem = 'much'",
            "SET no_such_setting = 1",
            "SET max_connections = 5",
            "RESET no_such_setting",
            "SHOW no_such_setting",
            "SET TimeZone = 'Nowhere/City'",
            "SHOW TimeZone",
        ]),
        Talk::new("settings of one's own").queries(&[
            "SET my.word = 'a'",
            "SHOW my.word",
            "SELECT current_setting('my.other', true)",
            "SELECT current_setting('my.other')",
        ]),
        Talk::new("roles").queries(&[
            "SELECT current_user",
            "SET ROLE app",
            "SELECT current_user",
            "RESET ROLE",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SELECT session_user",
        ]),
        Talk::new("a statement prepared under one search path and run under another")
            .changes()
            .queries(&[
                "CREATE TABLE play.items (id int, word text)",
                "INSERT INTO play.items VALUES (1, 'play')",
            ])
            .batch(&[parse("s", "SELECT count(*) FROM items", &[]), bind("", "s", &[]), execute("", 0)])
            .queries(&["SET search_path = play"])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .queries(&["SELECT count(*) FROM items", "RESET search_path"])
            .batch(&[bind("", "s", &[]), execute("", 0)]),
        Talk::new("discard all").queries(&[
            "SET work_mem = '9MB'",
            "SET TimeZone = 'Asia/Tokyo'",
            "DISCARD ALL",
            "SHOW work_mem",
            "SHOW TimeZone",
            "DISCARD PLANS",
            "DISCARD TEMP",
        ]),
    ]
}

fn settings_and_transactions() -> Vec<Talk> {
    vec![
        Talk::new("a setting rolled back").queries(&["SET work_mem = '5MB'", "BEGIN", "SET work_mem = '6MB'", "SET TimeZone = 'Asia/Tokyo'", "SHOW work_mem", "ROLLBACK", "SHOW work_mem", "SHOW TimeZone"]),
        Talk::new("a setting committed").queries(&["BEGIN", "SET work_mem = '6MB'", "COMMIT", "SHOW work_mem", "SELECT 1", "SHOW work_mem"]),
        Talk::new("a setting for one transaction").queries(&["BEGIN", "SET LOCAL work_mem = '6MB'", "SET LOCAL TimeZone = 'Asia/Tokyo'", "SHOW work_mem", "COMMIT", "SHOW work_mem", "SET LOCAL work_mem = '7MB'", "SHOW work_mem"]),
        Talk::new("a setting and a savepoint").queries(&["BEGIN", "SET work_mem = '5MB'", "SAVEPOINT a", "SET work_mem = '6MB'", "ROLLBACK TO a", "SHOW work_mem", "COMMIT", "SHOW work_mem"]),
        Talk::new("a setting in a transaction that fails").queries(&["BEGIN", "SET TimeZone = 'Asia/Tokyo'", "SELECT 1/0", "COMMIT", "SHOW TimeZone"]),
        Talk::new("a setting in a string that fails").queries(&["SET work_mem = '5MB'; SELECT 1/0", "SHOW work_mem", "SET work_mem = '5MB'; SELECT 1", "SHOW work_mem"]),
        Talk::new("a setting in a batch that fails")
            .batch(&[parse("", "SET work_mem = '5MB'", &[]), bind("", "", &[]), execute("", 0), execute("nope", 0)])
            .queries(&["SHOW work_mem"]),
        Talk::new("a setting that a function makes for itself").changes().queries(&[
            "CREATE FUNCTION play.f() RETURNS text LANGUAGE sql SET work_mem = '3MB' AS $$ SELECT current_setting('work_mem') $$",
            "SELECT play.f()",
            "SHOW work_mem",
        ]),
    ]
}

fn encodings() -> Vec<Talk> {
    vec![
        Talk::new("LATIN1 set by the client")
            .changes()
            .queries(&["SET client_encoding TO 'LATIN1'"])
            .ask(&[query(b"SELECT 'caf\xe9', length('caf\xe9')")])
            .ask(&[query(b"INSERT INTO items VALUES (100, 'caf\xe9') RETURNING name")])
            .batch(&[
                parse(b"caf\xe9", b"SELECT name, $1 FROM items WHERE name = 'caf\xe9'", &[25]),
                bind("", b"caf\xe9", &[Some(b"\xfc")]),
                execute("", 0),
            ])
            .ask(&[query(b"SELECT nope FROM items WHERE name = '\xe9'")])
            .queries(&[
                "SELECT U&'\\20ac'",
                "RESET client_encoding",
                "SELECT name FROM items WHERE id = 100",
            ]),
        Talk::new("LATIN1 from the start")
            .startup("client_encoding", "LATIN1")
            .ask(&[query(b"SELECT '\xe4\xf6\xfc'")])
            .queries(&["SHOW client_encoding"]),
        Talk::new("bytes that are no UTF-8")
            .ask(&[query(b"SELECT '\xe9\xe8'")])
            .batch(&[parse("", b"SELECT '\xff'", &[]), bind("", "", &[]), execute("", 0)])
            .batch(&[parse("", "SELECT $1", &[25]), bind("", "", &[Some(b"\xff")]), execute("", 0)]),
        Talk::new("another encoding for one transaction").queries(&[
            "BEGIN",
            "SET LOCAL client_encoding = 'LATIN1'",
            "SELECT U&'\\00e9'",
            "COMMIT",
            "SELECT U&'\\00e9'",
        ]),
    ]
}

fn state() -> Vec<Talk> {
    vec![
        Talk::new("temporary tables").queries(&[
            "CREATE TEMP TABLE mine (id int)",
            "INSERT INTO mine VALUES (1), (2)",
            "SELECT count(*) FROM mine",
            "SELECT sum(id) FROM mine",
            "DROP TABLE mine",
            "SELECT * FROM mine",
            "CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 1",
            "SELECT * FROM mine",
        ]),
        Talk::new("a temporary table in front of a real one").queries(&[
            "CREATE TEMP TABLE items AS SELECT 1 AS only",
            "SELECT * FROM items",
            "DISCARD TEMP",
            "SELECT count(*) FROM items",
        ]),
        Talk::new("listening to oneself").queries(&[
            "LISTEN here",
            "NOTIFY here, 'hello'",
            "SELECT pg_notify('here', 'again')",
            "NOTIFY elsewhere",
            "UNLISTEN here",
            "NOTIFY here",
            "UNLISTEN *",
        ]),
        Talk::new("listening to another")
            .queries(&["LISTEN here"])
            .aside("NOTIFY here, 'from afar'", Hear::UpTo(b'A'))
            .queries(&["SELECT 1"])
            .aside("NOTIFY here", Hear::UpTo(b'A')),
        Talk::new("a notification waits for the end of the transaction").queries(&[
            "LISTEN here",
            "BEGIN",
            "NOTIFY here, 'later'",
            "SELECT 1",
            "COMMIT",
            "BEGIN",
            "NOTIFY here",
            "ROLLBACK",
        ]),
        Talk::new("prepare and execute").queries(&[
            "PREPARE q (int) AS SELECT name FROM items WHERE id = $1",
            "EXECUTE q (1)",
            "EXECUTE q (2)",
            "PREPARE q AS SELECT 1",
            "EXECUTE q",
            "SELECT name, statement, parameter_types FROM pg_prepared_statements",
            "DEALLOCATE q",
            "EXECUTE q (1)",
            "DEALLOCATE ALL",
        ]),
        Talk::new("a cursor in a transaction").queries(&[
            "BEGIN",
            "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id",
            "FETCH 3 FROM c",
            "MOVE 2 FROM c",
            "FETCH NEXT FROM c",
            "CLOSE c",
            "COMMIT",
            "FETCH c",
        ]),
        Talk::new("a cursor held beyond its transaction").queries(&[
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "COMMIT",
            "FETCH 3 FROM c",
            "SELECT 1",
            "FETCH 2 FROM c",
            "CLOSE c",
            "FETCH c",
        ]),
        Talk::new("advisory locks").queries(&[
            "SELECT pg_advisory_lock(42)",
            "SELECT 1",
            "SELECT pg_advisory_unlock(42)",
            "SELECT pg_advisory_unlock(42)",
            "SELECT pg_try_advisory_lock(43)",
            "SELECT pg_advisory_unlock_all()",
        ]),
        Talk::new("sequences").changes().queries(&[
            "SELECT nextval('counter')",
            "SELECT currval('counter')",
            "SELECT lastval()",
            "SELECT setval('counter', 10)",
            "SELECT nextval('counter')",
            "SELECT last_value FROM counter",
        ]),
        Talk::new("how asyncpg resets a session").queries(&[
            "SET work_mem = '5MB'",
            "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
            "SHOW work_mem",
        ]),
    ]
}
