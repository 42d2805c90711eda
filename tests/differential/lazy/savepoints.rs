//! Savepoints in every position: weir keeps them in its journal, and the server gets them when there is one.

use crate::talk::{Talk, in_all_forms};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    [positions(), unknown(), names(), held()].concat().iter().flat_map(in_all_forms).collect()
}

const OTHER: &str = "INSERT INTO items VALUES (101, 'y')";

fn positions() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a savepoint before, between and behind reads").queries(&[
            "BEGIN", "SAVEPOINT a", COUNT, "SAVEPOINT b", COUNT, "RELEASE b", ONE, "ROLLBACK TO a", ONE, "SAVEPOINT c",
            "COMMIT", ONE,
        ]),
        Talk::new("lazy: savepoints and nothing else").queries(&[
            "BEGIN", "SAVEPOINT a", "RELEASE a", "SAVEPOINT b", "ROLLBACK TO b", "RELEASE SAVEPOINT b", "SAVEPOINT c",
            "ROLLBACK WORK TO SAVEPOINT c", "ROLLBACK TRANSACTION TO c", "ABORT", ONE,
        ]),
        Talk::new("lazy: a savepoint, the upgrade behind it, and back").changes().queries(&[
            "BEGIN", COUNT, "SAVEPOINT a", COUNT, INSERT, COUNT, "ROLLBACK TO a", COUNT, OTHER, "RELEASE a", "COMMIT",
            COUNT,
        ]),
        Talk::new("lazy: the upgrade before the savepoint").changes().queries(&[
            "BEGIN", COUNT, INSERT, "SAVEPOINT a", OTHER, COUNT, "ROLLBACK TO a", COUNT, "COMMIT", COUNT,
        ]),
        Talk::new("lazy: upgrades between nested savepoints, and back through all of them").changes().queries(&[
            "BEGIN", "SAVEPOINT a", COUNT, "SAVEPOINT b", INSERT, "SAVEPOINT c", OTHER, COUNT, "ROLLBACK TO c", COUNT,
            "ROLLBACK TO b", COUNT, "ROLLBACK TO a", COUNT, INSERT, "RELEASE a", COUNT, "COMMIT", COUNT,
        ]),
        Talk::new("lazy: a savepoint released before the upgrade").changes().queries(&[
            "BEGIN", "SAVEPOINT a", COUNT, "RELEASE a", INSERT, "ROLLBACK TO a", COUNT, "ROLLBACK", COUNT,
        ]),
        Talk::new("lazy: an outer savepoint released with its inner ones").changes().queries(&[
            "BEGIN", "SAVEPOINT a", "SAVEPOINT b", "SAVEPOINT c", COUNT, "RELEASE b", "ROLLBACK TO a", INSERT,
            "ROLLBACK TO c", "ROLLBACK TO a", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: rolled back to before inner savepoints, which are gone then").queries(&[
            "BEGIN", "SAVEPOINT a", "SAVEPOINT b", COUNT, "ROLLBACK TO a", COUNT, "RELEASE b", COUNT, "ROLLBACK TO a",
            COUNT, "COMMIT",
        ]),
        Talk::new("lazy: a hundred savepoints, then a write").changes().queries(
            &["BEGIN"]
                .into_iter()
                .chain((0..100).map(|n| POINTS[n % POINTS.len()]))
                .chain([COUNT, INSERT, "ROLLBACK TO p3", COUNT, "COMMIT", COUNT])
                .collect::<Vec<_>>(),
        ),
    ]
}

const POINTS: [&str; 5] = ["SAVEPOINT p1", "SAVEPOINT p2", "SAVEPOINT p3", "SAVEPOINT p4", "SAVEPOINT p5"];

fn unknown() -> Vec<Talk> {
    vec![
        Talk::new("lazy: savepoints that are not there").queries(&[
            "BEGIN", "ROLLBACK TO nowhere", COUNT, "ROLLBACK", "BEGIN", COUNT, "RELEASE nowhere", COUNT, "COMMIT",
            "BEGIN", "SAVEPOINT a", COUNT, "ROLLBACK TO b", "ROLLBACK TO a", COUNT, "RELEASE b", "ROLLBACK TO a",
            "RELEASE a", "RELEASE a", "COMMIT", "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a",
        ]),
        Talk::new("lazy: a savepoint of the transaction before").queries(&[
            "BEGIN", "SAVEPOINT a", COUNT, "COMMIT", "BEGIN", COUNT, "ROLLBACK TO a", "COMMIT", "BEGIN", "SAVEPOINT a",
            "ROLLBACK", "BEGIN", "RELEASE a", "ROLLBACK",
        ]),
        Talk::new("lazy: words of savepoints that are wrong").queries(&[
            "BEGIN", "SAVEPOINT a", "SAVEPOINT 1", "ROLLBACK TO a", "SAVEPOINT", "ROLLBACK TO a", "RELEASE",
            "ROLLBACK TO a", "ROLLBACK TO a AND CHAIN", "ROLLBACK TO a", "SAVEPOINT select", "ROLLBACK TO a",
            "SAVEPOINT begin", "RELEASE begin", "SAVEPOINT savepoint", "ROLLBACK TO savepoint", "ROLLBACK TO a b",
            "COMMIT",
        ]),
    ]
}

fn names() -> Vec<Talk> {
    vec![
        Talk::new("lazy: one name twice").changes().queries(&[
            "BEGIN", "SAVEPOINT a", COUNT, "SAVEPOINT a", INSERT, "SAVEPOINT a", OTHER, "ROLLBACK TO a", COUNT,
            "RELEASE a", "ROLLBACK TO a", COUNT, "RELEASE a", COUNT, "ROLLBACK TO a", COUNT, "RELEASE a",
            "ROLLBACK TO a", "COMMIT",
        ]),
        Talk::new("lazy: one name twice, and no write").queries(&[
            "BEGIN", "SAVEPOINT a", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", COUNT, "RELEASE a", "SELECT 1/0",
            "ROLLBACK TO a", COUNT, "RELEASE a", "RELEASE a", "ROLLBACK",
        ]),
        Talk::new("lazy: upper case, lower case, quotes").queries(&[
            "BEGIN", "SAVEPOINT Abc", "ROLLBACK TO aBC", "ROLLBACK TO \"abc\"", "SAVEPOINT \"Abc\"",
            "ROLLBACK TO \"Abc\"", "RELEASE ABC", "ROLLBACK TO \"Abc\"", "ROLLBACK", "BEGIN", "SAVEPOINT \"Abc\"",
            COUNT, "ROLLBACK TO Abc", "ROLLBACK TO \"Abc\"", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: names with odd letters").changes().queries(&[
            "BEGIN", "SAVEPOINT \"a \"\"b\"\"; COMMIT\"", COUNT, "SAVEPOINT \u{e9}t\u{e9}", "ROLLBACK TO \u{c9}t\u{e9}",
            "ROLLBACK TO \"a \"\"b\"\"; COMMIT\"", "SAVEPOINT U&\"\\0061b\"", INSERT, "ROLLBACK TO ab", COUNT,
            "RELEASE SAVEPOINT ab", "ROLLBACK TO \"a \"\"b\"\"; COMMIT\"", "SAVEPOINT _a$1", "ROLLBACK TO _A$1",
            "SAVEPOINT \"\"", "COMMIT",
        ]),
        long_names(),
    ]
}

/// Names are cut at 63 bytes, with a notice, and not amid a letter.
fn long_names() -> Talk {
    let long = "n".repeat(70);
    let umlauts = "\u{fc}".repeat(40);
    Talk::new("lazy: names of 63 bytes and more").changes().queries(&[
        "BEGIN",
        &format!("SAVEPOINT {}", "n".repeat(63)),
        &format!("ROLLBACK TO {long}"),
        COUNT,
        &format!("SAVEPOINT {long}"),
        INSERT,
        &format!("ROLLBACK TO \"{}\"", "n".repeat(63)),
        COUNT,
        &format!("RELEASE {long}x"),
        &format!("SAVEPOINT \"{umlauts}\""),
        &format!("ROLLBACK TO \"{}\"", "\u{fc}".repeat(31)),
        &format!("ROLLBACK TO {}", "n".repeat(62)),
        "COMMIT",
    ])
}

/// Savepoints that take back what weir keeps for the session.
fn held() -> Vec<Talk> {
    vec![
        Talk::new("lazy: SET LOCAL before, within and behind a savepoint").queries(&[
            "BEGIN", "SET LOCAL work_mem = '5MB'", "SAVEPOINT a", "SET LOCAL work_mem = '6MB'", "SHOW work_mem",
            "ROLLBACK TO a", "SHOW work_mem", "SET LOCAL work_mem = '7MB'", "RELEASE a", "SHOW work_mem", "COMMIT",
            "SHOW work_mem",
        ]),
        Talk::new("lazy: SET LOCAL within a savepoint, an upgrade, and back").changes().queries(&[
            "BEGIN", "SET LOCAL my.word = 'before'", "SAVEPOINT a", "SET LOCAL my.word = 'within'", INSERT,
            "SHOW my.word", "ROLLBACK TO a", "SHOW my.word", COUNT, "COMMIT", "SELECT current_setting('my.word', true)",
        ]),
        Talk::new("lazy: a session's setting within a savepoint, released and committed").queries(&[
            "BEGIN", COUNT, "SAVEPOINT a", "SET TimeZone = 'Asia/Tokyo'", "SAVEPOINT b", "SET TimeZone = 'UTC'",
            "ROLLBACK TO b", "SHOW TimeZone", "RELEASE a", "COMMIT", "SHOW TimeZone",
        ]),
        Talk::new("lazy: SET TRANSACTION within a savepoint").changes().queries(&[
            "BEGIN", "SAVEPOINT a", "SET TRANSACTION READ ONLY", "SHOW transaction_read_only", "ROLLBACK TO a",
            "SHOW transaction_read_only", INSERT, "ROLLBACK", "BEGIN", "SAVEPOINT a",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "ROLLBACK TO a", COUNT, "COMMIT",
        ]),
        Talk::new("lazy: a temporary table within a savepoint").queries(&[
            "BEGIN", COUNT, "SAVEPOINT a", "CREATE TEMP TABLE lazy_t (id int)", "SELECT * FROM lazy_t", "ROLLBACK TO a",
            "SELECT * FROM lazy_t", "ROLLBACK TO a", COUNT, "COMMIT",
        ]),
    ]
}
