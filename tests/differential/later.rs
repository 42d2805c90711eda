//! Conversations in which weir does not say what the server says, each with the reason.

use harness::client::front::*;

use crate::talk::{Hear, Talk};

/// What is put off, and why.
pub(crate) fn talks() -> Vec<(Talk, &'static str)> {
    Vec::new()
}

/// What weir does better, or cannot do otherwise, and why.
pub(crate) fn on_purpose() -> Vec<(Talk, &'static str)> {
    let told = "weir says what was wrong, where PostgreSQL only closes the connection";
    vec![
        (
            Talk::new("a length that cannot be")
                .in_weirs_words()
                .say(&[b"Q\0\0\0\x03".to_vec()], Hear::Close),
            told,
        ),
        (
            Talk::new("a length beyond what such a message may have")
                .in_weirs_words()
                .say(&[b"S\0\x01\0\0".to_vec()], Hear::Close),
            told,
        ),
        (
            Talk::new("a result changes under a statement that was never described")
                .changes()
                .queries(&["CREATE TABLE play.t (id int)"])
                .ask(&[parse("s", "SELECT * FROM play.t", &[]), sync()])
                .ask(&[bind("", "s", &[]), execute("", 0), sync()])
                .queries(&["ALTER TABLE play.t ADD COLUMN more int"])
                .ask(&[bind("", "s", &[]), execute("", 0), sync()]),
            "PostgreSQL refuses it, and weir prepares it anew where the client was told no columns",
        ),
        (
            Talk::new("a copy interrupted by a query")
                .changes()
                .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
                .say(&[copy_data("100\tone\n"), query("SELECT 1")], Hear::Ready(1)),
            "PostgreSQL closes the connection, and weir only its own to the server",
        ),
        (
            Talk::new("the end amid a copy")
                .changes()
                .say(&[query("COPY items (id, name) FROM STDIN")], Hear::UpTo(b'G'))
                .say(&[copy_data("100\tone\n"), terminate()], Hear::Close),
            "PostgreSQL reports the broken copy to the client that has said farewell, and weir does not",
        ),
    ]
}
