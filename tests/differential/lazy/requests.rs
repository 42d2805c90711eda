//! Requests on somebody's behalf: settings by values as PostgREST sends them, roles, row security.

use harness::client::front::*;

use crate::talk::{Talk, again, in_all_forms, run, text};

use super::settings::WORDS;
use super::{COUNT, INSERT};

pub(crate) fn talks() -> Vec<Talk> {
    [requests(), roles()].concat()
}

/// How applications tell the server on whose behalf they ask.
fn requests() -> Vec<Talk> {
    let set = "SELECT set_config('search_path', $1, true), set_config('role', $2, true), \
               set_config('request.jwt.claims', $3, true)";
    let claims = [text("public, play"), text("talk_reader"), text(r#"{"sub": "it's \\ me", "role": "x"}"#)];
    let owner = [text("public"), text("app"), text("{}")];
    let tell = "SELECT coalesce(current_setting('request.jwt.claims', true), ''), current_user, current_setting('search_path')";
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
            .apart()
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
