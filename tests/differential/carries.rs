//! What a session carries from connection to connection: values that come with Bind, and how they go.

use harness::client::front::*;

use crate::talk::{Hear, Talk, text};

pub(crate) fn talks() -> Vec<Talk> {
    [bound_settings(), settings_that_are_gone()].concat()
}

/// What takes a setting back does not need it: its object was dropped, or its role revoked.
fn settings_that_are_gone() -> Vec<Talk> {
    const CONFIGURATION: &str = "DROP TEXT SEARCH CONFIGURATION IF EXISTS public.gone; \
        CREATE TEXT SEARCH CONFIGURATION public.gone (COPY = simple)";
    const DROPPED: &str = "DROP TEXT SEARCH CONFIGURATION public.gone";
    const ROLE: &str = "DROP ROLE IF EXISTS talk_gone; CREATE ROLE talk_gone; GRANT talk_gone TO app; GRANT talk_gone TO talk_reader";
    const REVOKED: &str = "REVOKE talk_gone FROM app";
    const WHO: &str = "SELECT current_user, current_setting('default_text_search_config')";
    let dropped = |name: &str| {
        let talk = Talk::new(name).changes().aside(CONFIGURATION, Hear::Nothing);
        talk.queries(&["SET default_text_search_config = 'public.gone'"]).aside(DROPPED, Hear::Nothing)
    };
    let revoked = |name: &str| {
        let talk = Talk::new(name).changes().aside(ROLE, Hear::Nothing);
        talk.queries(&["SET ROLE talk_gone"]).aside(REVOKED, Hear::Nothing)
    };
    vec![
        dropped("a setting whose object was dropped, reset").queries(&[
            "RESET default_text_search_config",
            WHO,
            "BEGIN",
            WHO,
            "COMMIT",
        ]),
        dropped("a setting whose object was dropped, in transactions").queries(&[
            "BEGIN",
            "ROLLBACK",
            "BEGIN",
            "SAVEPOINT a",
            "RESET default_text_search_config",
            "ROLLBACK TO a",
            "SET LOCAL default_text_search_config = 'pg_catalog.english'",
            "COMMIT",
            "BEGIN",
            "RESET ALL",
            WHO,
            "COMMIT",
            WHO,
        ]),
        dropped("a setting whose object was dropped, by the extended protocol")
            .batch(&[parse("s", "RESET default_text_search_config", &[]), describe_statement("s")])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .queries(&[WHO]),
        dropped("a setting whose object was dropped, and everything discarded")
            .queries(&["DISCARD ALL", WHO])
            .queries(&["SET default_text_search_config = 'public.gone'"]),
        revoked("a role that was revoked").queries(&["RESET ROLE", WHO, "SET ROLE talk_gone", WHO]),
        revoked("a role that was revoked, given up within a transaction").queries(&[
            "BEGIN",
            "SET ROLE NONE",
            WHO,
            "COMMIT",
            WHO,
        ]),
        revoked("another role in the place of one that was revoked").queries(&[
            "SET ROLE talk_reader",
            "SELECT current_user",
            "DISCARD ALL",
            WHO,
        ]),
        Talk::new("a role that is revoked while it holds for a transaction")
            .changes()
            .aside(ROLE, Hear::Nothing)
            .queries(&["BEGIN", "SET LOCAL ROLE talk_gone", "SELECT current_user"])
            .aside(REVOKED, Hear::Nothing)
            .queries(&[
                "ROLLBACK",
                WHO,
                "BEGIN",
                "SAVEPOINT a",
                "SET LOCAL ROLE talk_gone",
                "ROLLBACK TO a",
                WHO,
            ])
            .queries(&["ROLLBACK", WHO]),
        Talk::new("what a client came with and is gone, reset to")
            .changes()
            .aside(CONFIGURATION, Hear::Nothing)
            .queries(&["SET default_text_search_config = 'public.gone'", "SET work_mem = '5MB'"])
            .aside(DROPPED, Hear::Nothing)
            .queries(&["SET work_mem = '6MB'", "SET search_path = public", "RESET ALL", "SHOW work_mem"]),
    ]
}

/// A batch that binds these values to a statement that was prepared before, and executes it.
fn again(name: &str, values: &[Option<&[u8]>]) -> Vec<Vec<u8>> {
    vec![bind("", name, values), describe_portal(""), execute("", 0)]
}

fn once(sql: &str, types: &[u32], bound: Vec<u8>) -> Vec<Vec<u8>> {
    vec![parse("", sql, types), describe_statement(""), bound, execute("", 0)]
}

const ZONE: &str = "SELECT set_config('TimeZone', $1, false)";
const TOLD: &str = "SELECT current_setting('TimeZone'), '2020-01-01 00:00+00'::timestamptz";

/// `set_config` with parameters: Django says `SELECT set_config('TimeZone', $1, false)` on each connection.
fn bound_settings() -> Vec<Talk> {
    vec![
        Talk::new("a time zone that is bound, by an unnamed statement")
            .batch(&once(ZONE, &[], bind("", "", &[text("Asia/Tokyo")])))
            .queries(&[TOLD, "BEGIN", TOLD])
            .batch(&once(ZONE, &[25], bind("", "", &[text("Europe/Oslo")])))
            .queries(&[TOLD, "ROLLBACK", TOLD, "RESET TimeZone", TOLD]),
        Talk::new("a time zone that is bound, described before and executed with other values")
            .batch(&[parse("zone", ZONE, &[]), describe_statement("zone")])
            .batch(&again("zone", &[text("Asia/Tokyo")]))
            .queries(&[TOLD])
            .batch(&again("zone", &[text("America/New_York")]))
            .queries(&[TOLD])
            .batch(&again("zone", &[None]))
            .queries(&[TOLD])
            .batch(&again("zone", &[text("Nowhere")]))
            .queries(&[TOLD])
            .batch(&again("zone", &[text("UTC")]))
            .queries(&[TOLD]),
        Talk::new("several values bound in one batch")
            .batch(
                &[
                    vec![parse("zone", ZONE, &[])],
                    again("zone", &[text("Asia/Tokyo")]),
                    again("zone", &[text("UTC")]),
                    vec![
                        bind("a", "zone", &[text("Europe/Rome")]),
                        bind("b", "zone", &[text("Asia/Kolkata")]),
                    ],
                    vec![execute("b", 0), execute("a", 0)],
                ]
                .concat(),
            )
            .queries(&[TOLD]),
        Talk::new("a time zone that is bound in binary form")
            .batch(&once(ZONE, &[25], bind_formats("", "", &[1], &[text("Asia/Tokyo")], &[])))
            .queries(&[TOLD])
            .batch(&once(ZONE, &[1043], bind_formats("", "", &[1], &[text("UTC")], &[1])))
            .queries(&[TOLD]),
        Talk::new("name, value and span that are bound")
            .batch(&[parse("any", "SELECT set_config($1, $2, $3)", &[])])
            .batch(&again("any", &[text("work_mem"), text("5MB"), text("f")]))
            .queries(&["SHOW work_mem"])
            .batch(&again("any", &[text("Work_Mem"), text("6MB"), text(" TRUE ")]))
            .queries(&["SHOW work_mem", "BEGIN"])
            .batch(&[
                bind_formats("", "any", &[0, 0, 1], &[text("work_mem"), text("7MB"), Some(&[1])], &[]),
                execute("", 0),
            ])
            .queries(&["SHOW work_mem", "COMMIT", "SHOW work_mem"])
            .batch(&[
                bind_formats("", "any", &[1], &[text("work_mem"), text("8MB"), Some(&[0])], &[]),
                execute("", 0),
            ])
            .queries(&["SHOW work_mem"])
            .batch(&again("any", &[text("my.word"), text("it's a \\"), None]))
            .queries(&["SHOW my.word"])
            .batch(&again("any", &[None, text("x"), text("f")]))
            .batch(&again("any", &[text("work_mem"), None, text("f")]))
            .batch(&again("any", &[text("work_mem"), text("9MB"), text("maybe")]))
            .queries(&["SHOW work_mem"]),
        Talk::new("values that are bound follow the transaction")
            .queries(&["BEGIN"])
            .batch(&once(ZONE, &[], bind("", "", &[text("Asia/Tokyo")])))
            .queries(&["SAVEPOINT a"])
            .batch(&once(ZONE, &[], bind("", "", &[text("UTC")])))
            .queries(&[TOLD, "ROLLBACK TO a", TOLD, "COMMIT", TOLD, "BEGIN"])
            .batch(&once("SELECT set_config('my.word', $1, true)", &[], bind("", "", &[text("local")])))
            .queries(&["SELECT current_setting('my.word')", "SELECT count(*) FROM items", "COMMIT"])
            .queries(&["SELECT coalesce(current_setting('my.word', true), '')"]),
        Talk::new("a search path and a list that are bound")
            .batch(&once(
                "SELECT set_config('search_path', $1, false)",
                &[],
                bind("", "", &[text("play, \"Odd name\"")]),
            ))
            .queries(&["SHOW search_path", "SELECT 1", "SHOW search_path"])
            .batch(&once(
                "SELECT set_config('search_path', $1, false), 1/$2::int",
                &[],
                bind("", "", &[text("public"), text("0")]),
            ))
            .queries(&["SHOW search_path"])
            .batch(&once(
                "SELECT set_config('search_path', $1, false), set_config('work_mem', '5MB', $2)",
                &[],
                bind("", "", &[text(""), text("no")]),
            ))
            .queries(&["SHOW search_path", "SHOW work_mem"]),
        Talk::new("values of types that are cast, and statements that need not run")
            .batch(&once(
                "SELECT set_config('my.word', $1, false)",
                &[1042],
                bind("", "", &[text("padded  ")]),
            ))
            .queries(&["SELECT '<' || current_setting('my.word') || '>'"])
            .batch(&once(
                "SELECT set_config('my.word', $1, false) WHERE $2",
                &[],
                bind("", "", &[text("never"), text("f")]),
            ))
            .batch(&once(
                "SELECT set_config('my.word', $1::varchar, false) LIMIT $2",
                &[],
                bind("", "", &[text("never"), text("0")]),
            ))
            .queries(&["SELECT '<' || current_setting('my.word') || '>'"]),
    ]
}
