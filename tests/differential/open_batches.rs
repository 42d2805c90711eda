//! Batches that their client leaves open and waits: what PostgreSQL says without a Sync or a Flush, which is errors, and
//! what becomes of the rest.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

pub(crate) fn talks() -> Vec<Talk> {
    [errors(), within_transactions(), timeouts(), copies(), long()].concat()
}

fn errors() -> Vec<Talk> {
    vec![
        Talk::new("a text that cannot be read, alone")
            .say(&[parse("", "SELEC 1", &[])], Hear::UpTo(b'E'))
            .batch(&run("SELECT 'thrown away'"))
            .queries(&["SELECT 1"]),
        Talk::new("a read of what is not there, alone")
            .say(&[parse("s", "SELECT nothing FROM items", &[])], Hear::UpTo(b'E'))
            .batch(&[])
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&again("s", &[])),
        Talk::new("a write to what is not there, alone")
            .say(&[parse("", "INSERT INTO nowhere VALUES (1)", &[])], Hear::UpTo(b'E'))
            .batch(&[]),
        Talk::new("statements and portals that are not there, alone")
            .say(&[bind("", "nobody", &[])], Hear::UpTo(b'E'))
            .batch(&[])
            .say(&[describe_statement("nobody")], Hear::UpTo(b'E'))
            .batch(&[])
            .say(&[execute("nobody", 0)], Hear::UpTo(b'E'))
            .batch(&[]),
        Talk::new("an error as a read runs, and more of the batch behind it")
            .say(&run("SELECT 1/0"), Hear::UpTo(b'E'))
            .say(&run("SELECT 'thrown away'"), Hear::Nothing)
            .pause()
            .say(&run("SELECT 'thrown away as well'"), Hear::Nothing)
            .say(&[flush()], Hear::Nothing)
            .batch(&run("SELECT 'this too'"))
            .batch(&run("SELECT 'heard'")),
        Talk::new("an error behind what went well")
            .changes()
            .say(
                &[run("INSERT INTO items VALUES (100, 'x')"), run("INSERT INTO items VALUES (100, 'x')")]
                    .concat(),
                Hear::UpTo(b'E'),
            )
            .batch(&[])
            .queries(&["SELECT count(*) FROM items WHERE id = 100"]),
        Talk::new("an error, and a query in the place of the end")
            .say(&[parse("", "SELECT nothing", &[])], Hear::UpTo(b'E'))
            .say(&[query("SELECT 'thrown away'")], Hear::Nothing)
            .batch(&[])
            .queries(&["SELECT 1"]),
        Talk::new("nothing wrong, and the end late")
            .changes()
            .say(&run("INSERT INTO items VALUES (100, 'x')"), Hear::Nothing)
            .waits()
            .say(&run("SELECT name FROM items WHERE id = 100"), Hear::Nothing)
            .waits()
            .batch(&[]),
        Talk::new("nothing wrong with a read, and a write behind it")
            .changes()
            .say(&run("SELECT name FROM items WHERE id = 1"), Hear::Nothing)
            .waits()
            .batch(&run("INSERT INTO items VALUES (100, 'x')"))
            .queries(&["SELECT count(*) FROM items WHERE id = 100"]),
        Talk::new("nothing wrong, and a query in the place of the end")
            .changes()
            .say(&run("INSERT INTO items VALUES (100, 'x')"), Hear::Nothing)
            .waits()
            .queries(&["SELECT name FROM items WHERE id = 100"]),
        Talk::new("a statement prepared alone, used later")
            .say(&[parse("s", "SELECT $1::int + 1", &[])], Hear::Nothing)
            .waits()
            .batch(&again("s", &[text("1")]))
            .batch(&again("s", &[text("2")])),
        Talk::new("half of a message behind an error")
            .say(&[parse("", "SELECT nothing", &[]), bind("", "", &[])[..4].to_vec()], Hear::UpTo(b'E'))
            .say(&[bind("", "", &[])[4..].to_vec(), execute("", 0), sync()], Hear::Ready(1))
            .queries(&["SELECT 1"]),
    ]
}

fn within_transactions() -> Vec<Talk> {
    vec![
        Talk::new("an error in a transaction that has said nothing")
            .queries(&["BEGIN"])
            .say(&[parse("", "SELECT nothing", &[])], Hear::UpTo(b'E'))
            .batch(&[])
            .queries(&["SELECT 1", "ROLLBACK", "SELECT 1"]),
        Talk::new("an error in a transaction that has read")
            .queries(&["BEGIN", "SELECT count(*) FROM items"])
            .say(&run("SELECT 1/0"), Hear::UpTo(b'E'))
            .batch(&[])
            .queries(&["ROLLBACK", "SELECT 1"]),
        Talk::new("an error in a transaction that has written")
            .changes()
            .queries(&["BEGIN", "INSERT INTO items VALUES (100, 'x')", "SAVEPOINT a"])
            .say(&run("INSERT INTO items VALUES (100, 'x')"), Hear::UpTo(b'E'))
            .batch(&[])
            .queries(&["ROLLBACK TO a", "COMMIT", "SELECT count(*) FROM items WHERE id = 100"]),
        Talk::new("a transaction begun in a batch that is left open")
            .changes()
            .say(&[run("BEGIN"), run("INSERT INTO items VALUES (100, 'x')")].concat(), Hear::Nothing)
            .waits()
            .say(&run("INSERT INTO items VALUES (100, 'x')"), Hear::UpTo(b'E'))
            .batch(&run("COMMIT"))
            .queries(&["COMMIT", "SELECT count(*) FROM items WHERE id = 100"]),
    ]
}

/// PostgreSQL counts from the first message, and says so when the next one is there.
fn timeouts() -> Vec<Talk> {
    let late = |talk: Talk| (0..10).fold(talk, |talk, _| talk.waits());
    let limited = |name: &str| Talk::new(name).queries(&["SET statement_timeout = '150ms'"]);
    vec![
        late(
            limited("statement_timeout begins with the first message")
                .apart()
                .say(&[parse("", "SELECT count(*) FROM items", &[])], Hear::Nothing),
        )
        .batch(&[bind("", "", &[]), execute("", 0)])
        .queries(&["SELECT 1"]),
        late(
            limited("statement_timeout in a batch that has been answered")
                .say(&[run("SELECT 1"), vec![flush()]].concat(), Hear::UpTo(b'C')),
        )
        .batch(&run("SELECT 'thrown away'"))
        .queries(&["SELECT 1"]),
        late(
            Talk::new("statement_timeout in an open batch of a transaction")
                .changes()
                .queries(&["BEGIN", "SET LOCAL statement_timeout = '150ms'"])
                .say(&run("INSERT INTO items VALUES (100, 'x')"), Hear::Nothing),
        )
        .batch(&[])
        .queries(&["ROLLBACK", "SELECT count(*) FROM items WHERE id = 100"]),
    ]
}

fn copies() -> Vec<Talk> {
    vec![
        Talk::new("a copy by a batch that is left open")
            .changes()
            .say(&run("COPY items (id, name) FROM STDIN"), Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done(), sync()], Hear::Ready(1))
            .queries(&["SELECT count(*) FROM items"]),
        Talk::new("a copy by a batch that is left open, with an error")
            .changes()
            .say(&run("COPY items (id, name) FROM STDIN"), Hear::UpTo(b'G'))
            .say(&[copy_data("none\tone\n"), copy_done()], Hear::UpTo(b'E'))
            .batch(&run("SELECT 'thrown away'"))
            .queries(&["SELECT count(*) FROM items"]),
    ]
}

/// As `executemany` does it: statement after statement, and no Sync before the last.
fn long() -> Vec<Talk> {
    let insert = parse("many", "INSERT INTO items VALUES ($1, $2)", &[]);
    let note = "x".repeat(3000);
    let rows = |ids: std::ops::Range<usize>| -> Vec<Vec<u8>> {
        ids.flat_map(|id| again("many", &[text(&id.to_string()), text(&note)])).collect()
    };
    let twice = [rows(100..160), rows(120..121), rows(160..220)].concat();
    vec![
        Talk::new("an error amid many rows of an open batch")
            .changes()
            .batch(std::slice::from_ref(&insert))
            .say(&twice, Hear::UpTo(b'E'))
            .say(&rows(220..260), Hear::Nothing)
            .batch(&rows(260..261))
            .queries(&["SELECT count(*) FROM items WHERE id >= 100"]),
        Talk::new("an error amid few rows of an open batch")
            .changes()
            .batch(std::slice::from_ref(&insert))
            .say(&[rows(100..103), rows(100..103)].concat(), Hear::UpTo(b'E'))
            .batch(&[])
            .queries(&["SELECT count(*) FROM items WHERE id >= 100"]),
        Talk::new("many rows of a batch that is ended late")
            .changes()
            .batch(std::slice::from_ref(&insert))
            .say(&rows(100..130), Hear::Nothing)
            .waits()
            .say(&rows(130..131), Hear::Nothing)
            .waits()
            .batch(&[])
            .queries(&["SELECT count(*) FROM items WHERE id >= 100"]),
    ]
}
