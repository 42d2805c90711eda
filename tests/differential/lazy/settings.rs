//! Settings within transactions: SET LOCAL, SET and set_config by literals and by values, what is reported of them,
//! roles and row security, and the transaction's time.

use harness::client::front::*;

use crate::talk::{Talk, again, in_all_forms, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks: Vec<Talk> = [local(), of_session(), functions(), reported(), time()]
        .concat()
        .iter()
        .flat_map(in_all_forms)
        .collect();
    talks.extend(requests());
    talks.extend(roles());
    talks
}

const WORDS: &str = "SELECT current_setting('my.word', true), current_setting('work_mem')";

fn local() -> Vec<Talk> {
    vec![
        Talk::new("lazy: SET LOCAL, reads, and the end").queries(&[
            "BEGIN",
            "SET LOCAL work_mem = '5MB'",
            COUNT,
            "SHOW work_mem",
            "COMMIT",
            "SHOW work_mem",
            "BEGIN",
            COUNT,
            "SET LOCAL work_mem TO '6MB'",
            ONE,
            "SHOW work_mem",
            "ROLLBACK",
            "SHOW work_mem",
        ]),
        Talk::new("lazy: SET LOCAL, and a write behind it").changes().queries(&[
            "BEGIN",
            "SET LOCAL my.word = 'mine'",
            COUNT,
            WORDS,
            INSERT,
            WORDS,
            COUNT,
            "COMMIT",
            WORDS,
            COUNT,
        ]),
        Talk::new("lazy: SET LOCAL and a write, and nothing between").changes().queries(&[
            "BEGIN",
            "SET LOCAL my.word = 'mine'",
            INSERT,
            WORDS,
            "ROLLBACK",
            WORDS,
            COUNT,
        ]),
        Talk::new("lazy: SET LOCAL that changes what reads answer, before and behind the upgrade")
            .changes()
            .queries(&[
                "BEGIN",
                "SET LOCAL TimeZone = 'Asia/Tokyo'",
                "SELECT '2020-01-01 00:00+00'::timestamptz",
                "SET LOCAL DateStyle = 'SQL, DMY'",
                "SELECT '2020-01-02'::date",
                INSERT,
                "SELECT '2020-01-02'::date",
                "SELECT '2020-01-01 00:00+00'::timestamptz",
                "COMMIT",
                "SELECT '2020-01-02'::date",
            ]),
        Talk::new("lazy: several times SET LOCAL of one and of many").changes().queries(&[
            "BEGIN",
            "SET LOCAL my.word = '1'",
            "SET LOCAL my.word = '2'",
            "SET LOCAL work_mem = '5MB'",
            "SET LOCAL work_mem TO DEFAULT",
            "SET LOCAL my.other = 'o'",
            COUNT,
            WORDS,
            "RESET my.word",
            WORDS,
            INSERT,
            WORDS,
            "SELECT current_setting('my.other')",
            "COMMIT",
            WORDS,
        ]),
        Talk::new("lazy: SET LOCAL that fails").queries(&[
            "BEGIN",
            "SET LOCAL work_mem = 'much'",
            COUNT,
            "ROLLBACK",
            "BEGIN",
            COUNT,
            "SET LOCAL no_such = 1",
            "COMMIT",
            "BEGIN",
            "SET LOCAL my.word = 'x'",
            "SAVEPOINT a",
            "SET LOCAL TimeZone = 'Nowhere'",
            "ROLLBACK TO a",
            WORDS,
            "COMMIT",
        ]),
        Talk::new("lazy: SET LOCAL search_path").changes().queries(&[
            "CREATE TABLE play.items AS SELECT 1 AS of_play",
            "BEGIN",
            COUNT,
            "SET LOCAL search_path = play, public",
            "SELECT * FROM items",
            "SHOW search_path",
            "INSERT INTO items VALUES (2)",
            "SELECT * FROM items ORDER BY 1",
            "COMMIT",
            COUNT,
            "SHOW search_path",
            "BEGIN",
            "SET LOCAL search_path = ''",
            COUNT,
            "ROLLBACK",
            COUNT,
        ]),
        Talk::new("lazy: a failure behind SET LOCAL takes it back").queries(&[
            "BEGIN",
            "SET LOCAL my.word = 'mine'",
            "SELECT 1/0",
            WORDS,
            "ROLLBACK",
            WORDS,
            "BEGIN",
            "SAVEPOINT a",
            "SET LOCAL my.word = 'mine'",
            "SELECT 1/0",
            "ROLLBACK TO a",
            WORDS,
            "COMMIT",
        ]),
        Talk::new("lazy: timeouts for a transaction").changes().queries(&[
            "BEGIN",
            "SET LOCAL statement_timeout = '20s'",
            COUNT,
            "SHOW statement_timeout",
            INSERT,
            "SHOW statement_timeout",
            "COMMIT",
            "SHOW statement_timeout",
            "BEGIN",
            "SET LOCAL lock_timeout = '9s'",
            COUNT,
            "SHOW lock_timeout",
            "ROLLBACK",
            "BEGIN",
            "SET LOCAL statement_timeout = '30ms'",
            "SELECT pg_sleep(9)",
            "SHOW statement_timeout",
            "ROLLBACK",
            "SHOW statement_timeout",
        ]),
    ]
}

/// SET without LOCAL: stays when the transaction is committed.
fn of_session() -> Vec<Talk> {
    vec![
        Talk::new("lazy: SET within, committed").queries(&[
            "BEGIN",
            COUNT,
            "SET my.word = 'kept'",
            WORDS,
            ONE,
            "COMMIT",
            WORDS,
            "BEGIN",
            WORDS,
            "RESET my.word",
            WORDS,
            "COMMIT",
            WORDS,
        ]),
        Talk::new("lazy: SET within, rolled back").queries(&[
            "SET my.word = 'before'",
            "BEGIN",
            COUNT,
            "SET my.word = 'within'",
            WORDS,
            "ROLLBACK",
            WORDS,
            "BEGIN",
            "SET my.word = 'within'",
            "SELECT 1/0",
            "COMMIT",
            WORDS,
        ]),
        Talk::new("lazy: SET within, then a write, either end").changes().queries(&[
            "BEGIN",
            COUNT,
            "SET my.word = 'kept'",
            INSERT,
            WORDS,
            "COMMIT",
            WORDS,
            "BEGIN",
            "SET my.word = 'lost'",
            COUNT,
            "DELETE FROM items WHERE id = 100",
            WORDS,
            "ROLLBACK",
            WORDS,
            COUNT,
        ]),
        Talk::new("lazy: SET, SET LOCAL and RESET of one setting, mixed").queries(&[
            "SET work_mem = '3MB'",
            "BEGIN",
            "SET LOCAL work_mem = '5MB'",
            "SET work_mem = '6MB'",
            "SHOW work_mem",
            "SET LOCAL work_mem = '7MB'",
            "SHOW work_mem",
            "COMMIT",
            "SHOW work_mem",
            "BEGIN",
            "RESET work_mem",
            "SHOW work_mem",
            "ROLLBACK",
            "SHOW work_mem",
            "BEGIN",
            "RESET ALL",
            "SHOW work_mem",
            "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("lazy: settings of before, seen by every read within").changes().queries(&[
            "SET TimeZone = 'Asia/Tokyo'",
            "SET my.word = 'before'",
            "BEGIN",
            WORDS,
            "SHOW TimeZone",
            "SELECT '2020-01-01 00:00+00'::timestamptz",
            INSERT,
            "SELECT '2020-01-01 00:00+00'::timestamptz",
            WORDS,
            "ROLLBACK",
            WORDS,
        ]),
    ]
}

fn functions() -> Vec<Talk> {
    vec![
        Talk::new("lazy: set_config, local, with literals").changes().queries(&[
            "BEGIN",
            "SELECT set_config('my.word', 'mine', true)",
            COUNT,
            WORDS,
            "COMMIT",
            WORDS,
            "BEGIN",
            COUNT,
            "SELECT set_config('my.word', 'mine', true), set_config('work_mem', '5MB', true)",
            WORDS,
            INSERT,
            WORDS,
            "ROLLBACK",
            WORDS,
        ]),
        Talk::new("lazy: set_config, for the session, with literals").changes().queries(&[
            "BEGIN",
            "SELECT set_config('my.word', 'kept', false)",
            COUNT,
            "COMMIT",
            WORDS,
            "BEGIN",
            "SELECT set_config('my.word', 'lost', false)",
            INSERT,
            WORDS,
            "ROLLBACK",
            WORDS,
            "BEGIN",
            "SAVEPOINT a",
            "SELECT set_config('my.word', 'lost', false)",
            "ROLLBACK TO a",
            WORDS,
            "COMMIT",
            WORDS,
        ]),
        Talk::new("lazy: set_config from rows").changes().queries(&[
            "BEGIN",
            "SELECT set_config('my.word', name, true) FROM items WHERE id = 2",
            WORDS,
            INSERT,
            WORDS,
            "COMMIT",
            "BEGIN",
            "SELECT set_config('my.word', name, true) FROM items WHERE id < 4 ORDER BY id",
            WORDS,
            "COMMIT",
            "BEGIN",
            "SELECT set_config('my.word', 'x', true) WHERE false",
            WORDS,
            "COMMIT",
            WORDS,
        ]),
    ]
}

/// ParameterStatus: when it is set, at the end, at a rollback to a savepoint.
fn reported() -> Vec<Talk> {
    vec![
        Talk::new("lazy: reported settings, local, either end").queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            COUNT,
            "COMMIT",
            "BEGIN",
            COUNT,
            "SET LOCAL DateStyle = 'German'",
            ONE,
            "ROLLBACK",
            "BEGIN",
            "SELECT set_config('application_name', 'for a while', true)",
            COUNT,
            "COMMIT",
            "SHOW application_name",
        ]),
        Talk::new("lazy: reported settings, for the session, either end").queries(&[
            "BEGIN",
            COUNT,
            "SET TimeZone = 'Asia/Tokyo'",
            COUNT,
            "COMMIT",
            "SHOW TimeZone",
            "BEGIN",
            "SET TimeZone = 'UTC'",
            "SET application_name = 'other'",
            COUNT,
            "ROLLBACK",
            "SHOW TimeZone",
        ]),
        Talk::new("lazy: reported settings across the upgrade").changes().queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            COUNT,
            INSERT,
            "SHOW TimeZone",
            "SET LOCAL TimeZone = 'UTC'",
            "COMMIT",
            "BEGIN",
            "SET TimeZone = 'Asia/Tokyo'",
            COUNT,
            "DELETE FROM items WHERE id = 100",
            "ROLLBACK",
            "SHOW TimeZone",
        ]),
        Talk::new("lazy: reported settings taken back by savepoints and failures").changes().queries(&[
            "BEGIN",
            "SET LOCAL TimeZone = 'Asia/Tokyo'",
            "SAVEPOINT a",
            "SET LOCAL TimeZone = 'UTC'",
            COUNT,
            "ROLLBACK TO a",
            "SHOW TimeZone",
            "SET TimeZone = 'Europe/Rome'",
            "SELECT 1/0",
            "ROLLBACK TO a",
            INSERT,
            "SHOW TimeZone",
            "SELECT 1/0",
            "COMMIT",
            "SHOW TimeZone",
        ]),
        Talk::new("lazy: an encoding for a transaction").changes().queries(&[
            "BEGIN",
            "SET LOCAL client_encoding = 'LATIN1'",
            "SELECT U&'\\00e9'",
            INSERT,
            "SELECT U&'\\00e9'",
            "COMMIT",
            "SELECT U&'\\00e9'",
        ]),
        Talk::new("lazy: what a default of READ ONLY reports").queries(&[
            "BEGIN",
            COUNT,
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET default_transaction_read_only = off",
            "ROLLBACK",
            "RESET default_transaction_read_only",
        ]),
    ]
}

/// The transaction's time stands still, whatever reads lie between.
fn time() -> Vec<Talk> {
    vec![
        Talk::new("lazy: the transaction's time stands still").queries(&[
            "BEGIN",
            "SELECT set_config('my.time', now()::text, true) IS NOT NULL",
            COUNT,
            "SELECT current_setting('my.time') = now()::text",
            "SELECT current_setting('my.time') = transaction_timestamp()::text, now() = current_timestamp",
            "SELECT clock_timestamp() > now(), statement_timestamp() > now()",
            "SAVEPOINT a",
            "SELECT current_setting('my.time')::timestamptz = now()",
            "ROLLBACK TO a",
            "SELECT current_setting('my.time')::timestamptz = now()",
            "SELECT current_setting('my.time')::timestamptz::time = localtime",
            "COMMIT AND CHAIN",
            "SELECT coalesce(nullif(current_setting('my.time', true), '') = now()::text, false)",
            "COMMIT",
        ]),
        Talk::new("lazy: the transaction's time, behind reads, is not before them").queries(&[
            "SELECT set_config('my.before', clock_timestamp()::text, false) IS NOT NULL",
            "BEGIN",
            COUNT,
            "SELECT now() >= current_setting('my.before')::timestamptz",
            "SELECT set_config('my.time', now()::text, false) IS NOT NULL",
            ONE,
            "SELECT current_setting('my.time') = now()::text, current_date = now()::date",
            "COMMIT",
            "SELECT now() > current_setting('my.time')::timestamptz",
        ]),
        Talk::new("lazy: reads that only use the time").queries(&[
            "BEGIN",
            "SELECT count(*) FROM items WHERE now() > '2020-01-01'",
            COUNT,
            "SELECT now() = now(), current_timestamp = now(), localtimestamp = now()::timestamp",
            "COMMIT",
        ]),
    ]
}

/// How applications tell the server on whose behalf they ask.
fn requests() -> Vec<Talk> {
    let set = "SELECT set_config('search_path', $1, true), set_config('role', $2, true), \
               set_config('request.jwt.claims', $3, true)";
    let claims = [text("public, play"), text("talk_reader"), text(r#"{"sub": "it's \\ me", "role": "x"}"#)];
    let owner = [text("public"), text("app"), text("{}")];
    let tell =
        "SELECT current_setting('request.jwt.claims', true), current_user, current_setting('search_path')";
    vec![
        Talk::new("lazy: a request as PostgREST sends it")
            .batch(&run("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"))
            .batch(&[parse("set", set, &[]), bind("", "set", &claims), execute("", 0)])
            .batch(&run(tell))
            .batch(&run("SELECT current_setting('request.jwt.claims')::json->>'sub'"))
            .batch(&run("COMMIT"))
            .batch(&run(tell))
            .batch(&run("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"))
            .batch(&again("set", &owner))
            .batch(&run(COUNT))
            .batch(&run(tell))
            .batch(&run("ROLLBACK"))
            .batch(&run(tell)),
        Talk::new("lazy: a request as PostgREST sends it, that writes")
            .changes()
            .batch(&run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"))
            .batch(&[parse("set", set, &[]), bind("", "set", &owner), execute("", 0)])
            .batch(&run(tell))
            .batch(&run(INSERT))
            .batch(&run(tell))
            .batch(&run("COMMIT"))
            .batch(&run(tell))
            .batch(&run(COUNT)),
        Talk::new("lazy: set_config with values, sent ahead of a read and of a write")
            .changes()
            .ask(
                &[
                    run("BEGIN"),
                    vec![parse("set", set, &[]), bind("", "set", &owner), execute("", 0)],
                    run(COUNT),
                    vec![sync()],
                ]
                .concat(),
            )
            .ask(&[run(INSERT), run(tell), run("COMMIT"), vec![sync()]].concat())
            .ask(&[run("BEGIN"), again("set", &owner), run(INSERT), vec![sync()]].concat())
            .ask(&[run(tell), run("ROLLBACK"), run(tell), vec![sync()]].concat()),
        Talk::new("lazy: set_config with values that are NULL, binary, wrong")
            .batch(&[parse("s", "SELECT set_config($1, $2, $3)", &[])])
            .queries(&["BEGIN"])
            .batch(&again("s", &[text("my.word"), text("of a value"), text("t")]))
            .batch(&run(WORDS))
            .batch(&again("s", &[text("my.word"), None, text("t")]))
            .batch(&run(WORDS))
            .batch(&[
                bind_formats("", "s", &[0, 1, 1], &[text("my.word"), text("binary"), Some(&[1])], &[]),
                execute("", 0),
            ])
            .batch(&run(WORDS))
            .batch(&again("s", &[text("my.word"), text("for ever"), text("f")]))
            .queries(&["SAVEPOINT a"])
            .batch(&again("s", &[text("no_such"), text("x"), text("t")]))
            .queries(&["ROLLBACK TO a", WORDS, INSERT_TWICE, "ROLLBACK TO a", WORDS, "COMMIT", WORDS]),
        Talk::new("lazy: set_config with values, across savepoints and the upgrade")
            .changes()
            .batch(&[parse("s", "SELECT set_config('my.word', $1, true)", &[])])
            .queries(&["BEGIN"])
            .batch(&again("s", &[text("one")]))
            .queries(&["SAVEPOINT a"])
            .batch(&again("s", &[text("two")]))
            .queries(&[WORDS, "ROLLBACK TO a", WORDS, INSERT, WORDS])
            .batch(&again("s", &[text("three")]))
            .queries(&["ROLLBACK TO a", WORDS, COUNT, "COMMIT", WORDS]),
    ]
}

/// Fails, and so changes nothing.
const INSERT_TWICE: &str = "INSERT INTO items VALUES (1, 'taken')";

const SECURE: [&str; 6] = [
    "CREATE TABLE play.docs (tenant text, body text)",
    "INSERT INTO play.docs VALUES ('a', 'of a'), ('b', 'of b'), ('a', 'of a too')",
    "ALTER TABLE play.docs ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY tenants ON play.docs USING (tenant = current_setting('app.tenant', true))",
    "GRANT USAGE ON SCHEMA play TO talk_reader",
    "GRANT SELECT, INSERT ON play.docs TO talk_reader",
];

fn roles() -> Vec<Talk> {
    let docs = "SELECT body FROM play.docs ORDER BY body";
    let secure = |talk: Talk| talk.changes().queries(&SECURE);
    let talks = [
        secure(Talk::new("lazy: row security by SET LOCAL")).queries(&[
            "BEGIN",
            "SET LOCAL ROLE talk_reader",
            docs,
            "SET LOCAL app.tenant = 'a'",
            docs,
            "SET LOCAL app.tenant = 'b'",
            docs,
            "COMMIT",
            docs,
            "BEGIN",
            docs,
            "SET LOCAL ROLE talk_reader",
            docs,
            "ROLLBACK",
        ]),
        secure(Talk::new("lazy: row security by set_config, across the upgrade")).queries(&[
            "BEGIN",
            "SELECT set_config('role', 'talk_reader', true), set_config('app.tenant', 'a', true)",
            docs,
            "INSERT INTO play.docs VALUES ('a', 'new of a')",
            docs,
            "SAVEPOINT s",
            "INSERT INTO play.docs VALUES ('b', 'not mine')",
            "ROLLBACK TO s",
            docs,
            "SELECT current_user",
            "COMMIT",
            docs,
        ]),
        secure(Talk::new("lazy: row security, the role within a savepoint")).queries(&[
            "BEGIN",
            "SET LOCAL app.tenant = 'b'",
            docs,
            "SAVEPOINT s",
            "SET LOCAL ROLE talk_reader",
            docs,
            "SELECT count(*) FROM items",
            "ROLLBACK TO s",
            docs,
            "SELECT current_user",
            "COMMIT",
        ]),
        Talk::new("lazy: a role for the transaction").queries(&[
            "BEGIN",
            COUNT,
            "SET LOCAL ROLE talk_reader",
            "SELECT current_user, session_user",
            "SET LOCAL ROLE NONE",
            "SELECT current_user",
            COUNT,
            "COMMIT",
            "BEGIN",
            "SET ROLE talk_reader",
            "SELECT current_user",
            "COMMIT",
            "SELECT current_user",
            "BEGIN",
            "RESET ROLE",
            "SELECT current_user",
            "ROLLBACK",
            "SELECT current_user",
            "SET ROLE NONE",
            "BEGIN",
            "SET LOCAL ROLE no_such",
            "COMMIT",
        ]),
    ];
    talks.iter().flat_map(in_all_forms).collect()
}
