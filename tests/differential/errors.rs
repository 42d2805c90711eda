//! Errors with all their fields, and clients that break the protocol.

use harness::client::front::*;

use crate::talk::{Hear, Talk, text};

pub(crate) fn talks() -> Vec<Talk> {
    [errors(), positions(), malformed(), violations()].concat()
}

fn errors() -> Vec<Talk> {
    vec![
        Talk::new("texts that mean nothing").queries(&["SELEC 1", "SELECT 'open", "SELECT \"open", "SELECT $$open", "SELECT /* open", "SELECT 1 +", "SELECT ((1)", "SELECT 1a"]),
        Talk::new("things that are not there").queries(&["SELECT * FROM nowhere", "SELECT nope FROM items", "SELECT items.nam FROM items", "SELECT nofunc(1)", "SELECT 1 + 'x'::nottype", "SELECT * FROM noschema.t", "DROP TABLE nowhere", "SELECT length(1)"]),
        Talk::new("constraints").changes().queries(&[
            "INSERT INTO items VALUES (1, 'again')",
            "INSERT INTO items VALUES (100, NULL)",
            "INSERT INTO items VALUES (100, 'x', -1)",
            "INSERT INTO orders VALUES (1, 999)",
            "INSERT INTO items VALUES (100, 'x', 123456789012)",
        ]),
        Talk::new("values that are wrong").queries(&["SELECT 'x'::int", "SELECT 99999999999::int", "SELECT '2020-13-01'::date", "SELECT 1 / 0", "SELECT 'worse'::mood", "SELECT '{bad'::json", "SELECT sqrt(-1)"]),
        Talk::new("an error with everything in it").queries(&["DO $$ BEGIN RAISE 'all of it' USING ERRCODE = 'WE001', DETAIL = 'd', HINT = 'h', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 't', TABLE = 'r', SCHEMA = 's'; END $$"]),
        Talk::new("an error within functions").queries(&["DO $$ DECLARE n int; BEGIN EXECUTE 'SELECT nope FROM items' INTO n; END $$"]),
        Talk::new("the same errors by the extended protocol")
            .batch(&[parse("", "SELEC 1", &[])])
            .batch(&[parse("", "SELECT * FROM nowhere", &[]), describe_statement("")])
            .batch(&[parse("", "SELECT 1 / $1::int", &[]), bind("", "", &[text("0")]), execute("", 0)])
            .batch(&[parse("", "SELECT $1::int", &[]), bind("", "", &[text("x")]), execute("", 0)]),
        Talk::new("no right to do so").queries(&["SELECT * FROM pg_authid", "CREATE ROLE other", "SELECT pg_read_file('x')"]),
        Talk::new("timeouts").queries(&["SET statement_timeout = 50", "SELECT pg_sleep(5)", "RESET statement_timeout", "BEGIN", "SET LOCAL lock_timeout = '1s'", "COMMIT"]),
    ]
}

/// Behind what weir puts into a client's text: what is reset goes back to what the client came with.
fn positions() -> Vec<Talk> {
    let of = |name: &str| {
        Talk::new(name).startup("application_name", "positions").startup("TimeZone", "Asia/Tokyo")
    };
    vec![
        of("positions of errors behind what is reset").queries(&[
            "reset all; select nope",
            "select 1; set application_name to default; select nope",
            "reset all; selec 1",
            "reset all; select nope; reset all; select nope",
            "set timezone to default ; ; reset application_name;; select nope, 1;",
            "reset all; select ",
            "reset all; select -- nothing more",
            "reset all /* here */; /* there */ select 'an \u{e4}', nope -- x",
            "select '\u{e4}\u{20ac}\u{1f600}'; reset all; select '\u{1f600}', nope",
            "reset timezone; select 1 'x' 2",
            "reset all; select nope(1) from items",
            "reset all; do $$ declare n int; begin execute 'select nope' into n; end $$; select 1",
            "discard all",
            "set nosuch to default; select 1",
            "reset all; set nosuch to default; select 1",
        ]),
        of("the same in a transaction").queries(&[
            "begin",
            "set local timezone to default; select nope",
            "rollback",
            "begin; reset all; select nope",
            "rollback",
            "show timezone",
        ]),
        of("the same in an encoding of single bytes")
            .startup("client_encoding", "LATIN1")
            .ask(&[query(b"select '\xe4\xf6\xfc'; reset all; select '\xe4', nope")])
            .ask(&[query(b"reset all; select '\xe4', nope")]),
        of("positions of warnings").queries(&[
            "set standard_conforming_strings = off",
            "reset timezone; select 'a\\\\b'",
            "reset timezone; select 1; select 'it\\'s'",
        ]),
        of("positions behind a setting of weir's own")
            .queries(&["set weir.target = 'primary'; select nope", "set weir.target = 'primary'; selec 1"]),
    ]
}

fn malformed() -> Vec<Talk> {
    let bad = |tag, body: &[u8]| vec![message(tag, body), sync()];
    vec![
        Talk::new("a parse without an end")
            .ask(&bad(b'P', b"s\0SELECT 1"))
            .ask(&bad(b'P', b"s\0SELECT 1\0"))
            .ask(&bad(b'P', b""))
            .ask(&bad(b'P', b"s\0SELECT 1\0\0\x02\0\0\0\x17"))
            .ask(&bad(b'P', b"s\0SELECT 1\0\0\0more"))
            .batch(&[bind("", "s", &[]), execute("", 0)]),
        Talk::new("a bind without an end")
            .batch(&[parse("s", "SELECT $1::int", &[])])
            .ask(&bad(b'B', b"\0s\0"))
            .ask(&bad(b'B', b"\0s"))
            .ask(&bad(b'B', b""))
            .ask(&bad(b'B', b"\0s\0\0\0\0\x01\0\0\0\x09x"))
            .ask(&bad(b'B', b"\0s\0\0\0\0\x01\0\0\0\x011\0\0more"))
            .batch(&[bind("", "s", &[text("1")]), execute("", 0)]),
        Talk::new("a describe of nothing that exists")
            .ask(&bad(b'D', b"Xs\0"))
            .ask(&bad(b'D', b""))
            .ask(&bad(b'D', b"Ss"))
            .ask(&bad(b'D', b"Ss\0more")),
        Talk::new("a close of nothing that exists")
            .ask(&bad(b'C', b"Xs\0"))
            .ask(&bad(b'C', b""))
            .ask(&bad(b'C', b"Ps")),
        Talk::new("an execute without an end")
            .ask(&bad(b'E', b""))
            .ask(&bad(b'E', b"\0"))
            .ask(&bad(b'E', b"\0\0\0\0\0more")),
        Talk::new("a sync that says more").ask(&[message(b'S', b"more")]).queries(&["SELECT 1"]),
        Talk::new("a flush that says more").ask(&[message(b'H', b"more"), sync()]),
        Talk::new("a query without an end")
            .ask(&[message(b'Q', b"SELECT 1")])
            .ask(&[message(b'Q', b"SELECT 1\0more\0")])
            .ask(&[message(b'Q', b"")])
            .queries(&["SELECT 1"]),
        Talk::new("a function call without an end")
            .ask(&[message(b'F', b"\0\0\0\xb1")])
            .ask(&[message(b'F', b"")])
            .queries(&["SELECT 1"]),
        Talk::new("malformed messages in a transaction")
            .queries(&["BEGIN"])
            .ask(&bad(b'D', b"Xs\0"))
            .queries(&["SELECT 1", "ROLLBACK"]),
        Talk::new("a copy's end that says more")
            .changes()
            .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
            .say(&[message(b'f', b"no end")], Hear::Ready(1))
            .queries(&["SELECT 1"]),
    ]
}

fn violations() -> Vec<Talk> {
    vec![
        Talk::new("a message type that is none").in_weirs_words().say(&[message(b'y', b"")], Hear::Close),
        Talk::new("a message type that is none, behind queries")
            .in_weirs_words()
            .say(&[query("SELECT 1"), message(b'!', b"abc")], Hear::Close),
        Talk::new("a message type that is none, in a batch").in_weirs_words().say(
            &[parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0), message(b'y', b"")],
            Hear::Close,
        ),
        Talk::new("the end").queries(&["SELECT 1"]).say(&[terminate()], Hear::Close),
        Talk::new("the end, in a transaction")
            .queries(&["BEGIN", "SELECT 1"])
            .say(&[terminate()], Hear::Close),
        Talk::new("the end, behind queries")
            .say(&[query("SELECT 1"), query("SELECT 2"), terminate()], Hear::Close),
    ]
}
