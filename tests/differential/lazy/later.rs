//! Conversations in which a lazy transaction does not say what the server says, each with the reason.

use harness::client::front::*;

use crate::talk::{Talk, again, run, text};

use super::cursors::NOTE;
use super::portals::IDS;
use super::{COUNT, INSERT, ONE};

/// What lazy transactions cannot do otherwise, and why: the portals and cursors that were open when the first write came.
pub(crate) fn on_purpose() -> Vec<(Talk, &'static str)> {
    vec![
        (
            Talk::new("lazy: a cursor under SET LOCAL, read behind the write").changes().queries(&[
                "BEGIN",
                "SET LOCAL TimeZone = 'Asia/Tokyo'",
                "DECLARE c CURSOR FOR SELECT '2020-01-01 00:00+00'::timestamptz FROM items",
                "FETCH 1 c",
                NOTE,
                "FETCH 1 c",
                "SHOW TimeZone",
                "SET LOCAL TimeZone = 'UTC'",
                "FETCH 1 c",
                "COMMIT",
                "SHOW TimeZone",
            ]),
            "what is set behind the first write does not reach the connection on which the cursor was opened before it",
        ),
        (
            Talk::new("lazy: portals, savepoints and a write")
                .changes()
                .queries(&["BEGIN"])
                .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 2)])
                .queries(&["SAVEPOINT a", INSERT])
                .batch(&[execute("p", 2)])
                .queries(&["ROLLBACK TO a", COUNT])
                .batch(&[execute("p", 2)])
                .queries(&["SELECT 1/0"])
                .batch(&[execute("p", 2)])
                .queries(&["ROLLBACK TO a"])
                .batch(&[execute("p", 2)])
                .queries(&["COMMIT"]),
            "the primary does not know the portal that a failed transaction must not use",
        ),
        (
            Talk::new("lazy: messages in a failed transaction")
                .batch(&[
                    parse("q", COUNT, &[]),
                    parse("c", "COMMIT", &[]),
                    parse("t", "ROLLBACK TO a", &[]),
                    parse("p", "SELECT $1::int", &[]),
                ])
                .queries(&["BEGIN", "SAVEPOINT a"])
                .batch(&run("SELECT 1/0"))
                .batch(&[parse("n", ONE, &[])])
                .batch(&[parse("n", "SELEC", &[])])
                .batch(&[parse("n", "COMMIT", &[])])
                .batch(&[parse("e", "", &[])])
                .batch(&[describe_statement("q")])
                .batch(&[describe_statement("c")])
                .batch(&[describe_statement("nowhere")])
                .batch(&[describe_portal("")])
                .batch(&[bind("", "q", &[])])
                .batch(&[bind("", "p", &[text("1")])])
                .batch(&[bind("", "nowhere", &[])])
                .batch(&[bind("", "t", &[]), describe_portal("")])
                .batch(&[execute("", 0)])
                .batch(&[close_statement("q")])
                .batch(&[close_portal("")])
                .batch(&again("t", &[]))
                .batch(&again("p", &[text("2")]))
                .batch(&run("SELECT 1/0"))
                .batch(&again("c", &[]))
                .batch(&again("q", &[])),
            "the routine is another where the connection has to be given the statement first",
        ),
    ]
}
