//! BEGIN, COMMIT and the reads between them as messages of the extended protocol, in batches of all kinds.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    [together(), described(), flushed(), odd()].concat()
}

/// A statement as drivers send it that want to know everything.
pub(super) fn told(sql: &str) -> Vec<Vec<u8>> {
    vec![parse("", sql, &[]), describe_statement(""), bind("", "", &[]), describe_portal(""), execute("", 0)]
}

/// BEGIN in the batch of something else.
fn together() -> Vec<Talk> {
    vec![
        // As asyncpg prepares: without a Sync, and the next thing is a simple query.
        Talk::new("lazy: begin as a query behind a batch that was only flushed")
            .say(&[parse("s", ONE, &[]), describe_statement("s"), flush()], Hear::UpTo(b'T'))
            .queries(&["BEGIN"])
            .say(&[parse("t", COUNT, &[]), describe_statement("t"), flush()], Hear::UpTo(b'T'))
            .queries(&["SAVEPOINT a"])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .say(&[parse("u", COUNT, &[]), describe_statement("u"), flush()], Hear::UpTo(b'T'))
            .queries(&["COMMIT", COUNT]),
        Talk::new("lazy: begin in the batch of the first read")
            .batch(&[run("BEGIN"), run(COUNT)].concat())
            .batch(&run(ONE))
            .batch(&run("COMMIT"))
            .batch(&run(ONE)),
        Talk::new("lazy: begin in the batch of several reads")
            .batch(&[run("BEGIN"), run(COUNT), run(ONE), run("SELECT 3")].concat())
            .batch(&[run(ONE), run(COUNT)].concat())
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: begin in the batch of the first write")
            .changes()
            .batch(&[run("BEGIN"), run(INSERT)].concat())
            .batch(&run(COUNT))
            .batch(&run("COMMIT"))
            .batch(&run(COUNT)),
        Talk::new("lazy: begin, a read and a write in one batch")
            .apart()
            .changes()
            .batch(&[run("BEGIN"), run(COUNT), run(INSERT), run(COUNT)].concat())
            .batch(&[run(COUNT), run("ROLLBACK")].concat())
            .batch(&run(COUNT)),
        Talk::new("lazy: a setting whose messages come apart, and a write")
            .apart()
            .changes()
            .queries(&["BEGIN", COUNT])
            .batch(&run("SET my.word = 'kept'"))
            .batch(&run(INSERT))
            .batch(&run("SELECT current_setting('my.word')"))
            .queries(&["COMMIT", "SELECT current_setting('my.word')"]),
        Talk::new("lazy: begin, reads and the commit in one batch")
            .batch(&[run("BEGIN"), run(COUNT), run("COMMIT")].concat())
            .batch(&[run("BEGIN"), run(COUNT), run("COMMIT"), run(ONE)].concat())
            .batch(&[run(ONE), run("BEGIN"), run(COUNT), run("ROLLBACK"), run(ONE)].concat())
            .batch(&run(ONE)),
        Talk::new("lazy: begin and the commit alone in one batch")
            .batch(&[run("BEGIN"), run("COMMIT")].concat())
            .batch(&[run("BEGIN"), run("ROLLBACK"), run("BEGIN")].concat())
            .batch(&[run("COMMIT"), run("BEGIN"), run("COMMIT")].concat())
            .batch(&run(ONE)),
        Talk::new("lazy: the last read and the commit in one batch")
            .batch(&run("BEGIN"))
            .batch(&run(COUNT))
            .batch(&[run(ONE), run("COMMIT")].concat())
            .batch(&run(ONE)),
        Talk::new("lazy: the commit, the next begin and its first read in one batch")
            .batch(&[run("BEGIN"), run(COUNT)].concat())
            .batch(&[run("COMMIT"), run("BEGIN"), run(ONE)].concat())
            .batch(&[run("ROLLBACK"), run("BEGIN"), run(ONE)].concat())
            .batch(&run("COMMIT")),
        Talk::new("lazy: a write and the commit in one batch")
            .changes()
            .batch(&[run("BEGIN"), run(COUNT)].concat())
            .batch(&[run(INSERT), run("COMMIT")].concat())
            .batch(&run(COUNT)),
        Talk::new("lazy: begin behind a read of its batch, whose transaction it takes over")
            .changes()
            .batch(&[run(COUNT), run("BEGIN")].concat())
            .batch(&[run(INSERT)].concat())
            .batch(&run("ROLLBACK"))
            .batch(&[run(INSERT), run("BEGIN")].concat())
            .batch(&run("ROLLBACK"))
            .batch(&run(COUNT)),
        Talk::new("lazy: begin in a batch whose read fails")
            .batch(&[run("BEGIN"), run("SELECT 1/0"), run(COUNT)].concat())
            .batch(&run(COUNT))
            .batch(&run("ROLLBACK"))
            .batch(&[run("BEGIN"), run(COUNT), run("SELECT 1/0"), run("COMMIT")].concat())
            .batch(&run("COMMIT"))
            .batch(&run(ONE)),
        Talk::new("lazy: a batch that fails before its begin")
            .batch(&[run("SELECT 1/0"), run("BEGIN"), run(COUNT)].concat())
            .batch(&run(COUNT))
            .batch(&run("COMMIT")),
        Talk::new("lazy: begin in a batch with modes and settings")
            .batch(
                &[run("BEGIN"), run("SET TRANSACTION READ ONLY"), run("SHOW transaction_read_only")].concat(),
            )
            .batch(&run(COUNT))
            .batch(&run("COMMIT"))
            .batch(&[run("BEGIN"), run("SET LOCAL work_mem = '5MB'"), run("SHOW work_mem")].concat())
            .batch(&[run("SHOW work_mem"), run("COMMIT"), run("SHOW work_mem")].concat()),
        Talk::new("lazy: begin twice in one batch")
            .batch(&[run("BEGIN"), run("BEGIN"), run(COUNT)].concat())
            .batch(&[run("COMMIT"), run("COMMIT")].concat()),
    ]
}

/// With Describe of statements and portals.
fn described() -> Vec<Talk> {
    vec![
        Talk::new("lazy: begin and commit described")
            .batch(&told("BEGIN"))
            .batch(&told(COUNT))
            .batch(&told("COMMIT"))
            .batch(&[told("BEGIN"), told(COUNT), told("COMMIT")].concat()),
        Talk::new("lazy: begin described in the batch of the first read")
            .batch(&[told("BEGIN"), told(ONE)].concat())
            .batch(&told("ROLLBACK")),
        Talk::new("lazy: begin parsed and described, then bound")
            .batch(&[parse("", "BEGIN", &[]), describe_statement("")])
            .batch(&[bind("", "", &[]), execute("", 0)])
            .batch(&[parse("", COUNT, &[]), describe_statement("")])
            .batch(&[bind("", "", &[]), execute("", 0)])
            .batch(&[parse("", "COMMIT", &[]), describe_statement("")])
            .batch(&[bind("", "", &[]), describe_portal(""), execute("", 0)]),
        Talk::new("lazy: reads with parameters, described first, as drivers do")
            .queries(&["BEGIN"])
            .say(
                &[
                    parse("r", "SELECT name, price FROM items WHERE id = $1", &[]),
                    describe_statement("r"),
                    flush(),
                ],
                Hear::UpTo(b'T'),
            )
            .batch(&again("r", &[text("3")]))
            .batch(&again("r", &[text("4")]))
            .batch(&[parse("q", "SELECT $1::int + $2", &[23, 23]), describe_statement("q")])
            .batch(&again("q", &[text("3"), text("4")]))
            .batch(&again("q", &[text("3"), text("nonsense")]))
            .batch(&again("q", &[text("3"), text("4")]))
            .queries(&["ROLLBACK"])
            .batch(&again("q", &[text("3"), text("4")])),
        Talk::new("lazy: a write described and not run")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[parse("w", INSERT, &[]), describe_statement("w")])
            .queries(&[COUNT])
            .batch(&[bind("", "w", &[]), describe_portal("")])
            .queries(&[COUNT, "COMMIT", COUNT])
            .batch(&again("w", &[]))
            .queries(&[COUNT]),
        Talk::new("lazy: asyncpg's order, parse and describe with a Flush, then bind and execute")
            .changes()
            .queries(&["BEGIN;"])
            .say(&[parse("a", COUNT, &[]), describe_statement("a"), flush()], Hear::UpTo(b'T'))
            .batch(&again("a", &[]))
            .say(&[parse("b", INSERT, &[]), describe_statement("b"), flush()], Hear::UpTo(b'n'))
            .batch(&again("b", &[]))
            .batch(&again("a", &[]))
            .queries(&["COMMIT;", "BEGIN;"])
            .batch(&again("a", &[]))
            .queries(&["ROLLBACK;"]),
        Talk::new("lazy: formats, binary and text")
            .batch(&run("BEGIN"))
            .batch(&[
                parse("r", "SELECT id, name, price FROM items WHERE id = $1", &[23]),
                bind_formats("", "r", &[1], &[Some(&[0, 0, 0, 2])], &[1, 0, 1]),
                describe_portal(""),
                execute("", 0),
            ])
            .batch(&[
                parse("", "COMMIT", &[]),
                bind_formats("", "", &[], &[], &[1]),
                describe_portal(""),
                execute("", 0),
            ]),
    ]
}

/// With Flush between, so that answers come before the batch ends.
fn flushed() -> Vec<Talk> {
    vec![
        Talk::new("lazy: begin flushed, then a read, then the commit, in one batch")
            .say(&[run("BEGIN"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run("COMMIT"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&[])
            .batch(&run(ONE)),
        Talk::new("lazy: begin flushed, then a write in its batch")
            .changes()
            .say(&[run("BEGIN"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(INSERT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&[])
            .batch(&run("ROLLBACK"))
            .batch(&run(COUNT)),
        Talk::new("lazy: begin left without Sync, then a simple query")
            .say(&[run("BEGIN"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .queries(&[COUNT])
            .batch(&[])
            .queries(&["COMMIT"]),
        Talk::new("lazy: parse, bind and execute of begin, each flushed")
            .say(&[parse("", "BEGIN", &[]), flush()], Hear::UpTo(b'1'))
            .say(&[bind("", "", &[]), flush()], Hear::UpTo(b'2'))
            .say(&[describe_portal(""), flush()], Hear::UpTo(b'n'))
            .say(&[execute("", 0), flush()], Hear::UpTo(b'C'))
            .batch(&[])
            .say(&[parse("", COUNT, &[]), flush()], Hear::UpTo(b'1'))
            .say(&[bind("", "", &[]), flush()], Hear::UpTo(b'2'))
            .say(&[describe_portal(""), flush()], Hear::UpTo(b'T'))
            .say(&[execute("", 0), flush()], Hear::UpTo(b'C'))
            .batch(&[])
            .say(&[parse("", "COMMIT", &[]), flush()], Hear::UpTo(b'1'))
            .say(&[bind("", "", &[]), flush()], Hear::UpTo(b'2'))
            .say(&[execute("", 0), flush()], Hear::UpTo(b'C'))
            .batch(&[]),
        Talk::new("lazy: a failing read flushed, then a Sync")
            .batch(&run("BEGIN"))
            .say(&[run("SELECT 1/0"), vec![flush()]].concat(), Hear::UpTo(b'E'))
            .say(&[run(COUNT), vec![flush()]].concat(), Hear::Nothing)
            .batch(&[])
            .batch(&run(COUNT))
            .batch(&run("COMMIT")),
        Talk::new("lazy: a Flush and a Sync alone")
            .queries(&["BEGIN"])
            .batch(&[])
            .ask(&[sync(), sync(), flush(), sync()])
            .say(&[flush()], Hear::Nothing)
            .queries(&[COUNT])
            .batch(&[flush()])
            .queries(&["SELECT 1/0"])
            .batch(&[])
            .batch(&[flush()])
            .queries(&["COMMIT"])
            .batch(&[]),
    ]
}

/// What nobody sends, but could.
fn odd() -> Vec<Talk> {
    vec![
        Talk::new("lazy: begin with a row limit, and executed twice")
            .batch(&[parse("", "BEGIN", &[]), bind("", "", &[]), execute("", 1)])
            .batch(&[parse("", "COMMIT", &[]), bind("", "", &[]), execute("", 1)])
            .batch(&[parse("", "BEGIN", &[]), bind("", "", &[]), execute("", 0), execute("", 0)])
            .batch(&run("ROLLBACK"))
            .batch(&run(ONE)),
        Talk::new("lazy: begin in a named portal, executed later")
            .batch(&[parse("b", "BEGIN", &[]), bind("p", "b", &[])])
            .batch(&[execute("p", 0)])
            .batch(&[bind("p", "b", &[]), execute("p", 0)])
            .batch(&[execute("p", 0)])
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: commit bound before the reads and executed behind them")
            .batch(&run("BEGIN"))
            .batch(&[parse("c", "COMMIT", &[]), bind("end", "c", &[])])
            .batch(&run(COUNT))
            .batch(&[execute("end", 0)])
            .batch(&run(ONE)),
        Talk::new("lazy: values for a begin, and a begin with parameters")
            .batch(&[parse("b", "BEGIN", &[]), bind("", "b", &[text("1")]), execute("", 0)])
            .batch(&[parse("", "BEGIN", &[23]), describe_statement(""), bind("", "", &[]), execute("", 0)])
            .batch(&[parse("", "BEGIN", &[23]), bind("", "", &[text("5")]), execute("", 0)])
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: two statements in one Parse")
            .batch(&[parse("", "BEGIN; SELECT 1", &[])])
            .batch(&run("BEGIN"))
            .batch(&[parse("", "COMMIT; SELECT 1", &[])])
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: the unnamed statement through a transaction")
            .batch(&[parse("", "SELECT 'kept', $1::int", &[])])
            .batch(&again("", &[text("1")]))
            .batch(&[parse("b", "BEGIN", &[]), parse("c", "COMMIT", &[])])
            .batch(&again("b", &[]))
            .batch(&again("", &[text("2")]))
            .batch(&again("c", &[]))
            .batch(&again("", &[text("3")]))
            .queries(&["BEGIN"])
            .batch(&again("", &[text("4")]))
            .queries(&["ROLLBACK"]),
        Talk::new("lazy: nothing to execute in a transaction")
            .batch(&run("BEGIN"))
            .batch(&run(""))
            .batch(&run(";"))
            .batch(&run("-- a comment"))
            .queries(&["", " ; ", "/* x */"])
            .batch(&told(""))
            .batch(&run("COMMIT")),
        Talk::new("lazy: a batch of closes, of describes, and of binds only")
            .batch(&[parse("r", COUNT, &[])])
            .batch(&run("BEGIN"))
            .batch(&[close_statement("none"), close_portal("none"), close_portal("")])
            .batch(&[describe_statement("r")])
            .batch(&[bind("p", "r", &[]), bind("q", "r", &[])])
            .batch(&[close_portal("p"), describe_portal("q")])
            .batch(&[execute("q", 0)])
            .batch(&[close_statement("r")])
            .batch(&[execute("q", 0)])
            .batch(&run("COMMIT")),
        Talk::new("lazy: unknown names in an open transaction")
            .batch(&run("BEGIN"))
            .batch(&[execute("nowhere", 0)])
            .batch(&run(COUNT))
            .batch(&run("ROLLBACK"))
            .batch(&run("BEGIN"))
            .batch(&[bind("", "nowhere", &[])])
            .batch(&run(COUNT))
            .batch(&run("COMMIT"))
            .batch(&run("BEGIN"))
            .batch(&[describe_portal("nowhere")])
            .batch(&run("COMMIT"))
            .batch(&run("BEGIN"))
            .batch(&run(COUNT))
            .batch(&[describe_statement("nowhere")])
            .batch(&run(COUNT))
            .batch(&run("COMMIT"))
            .batch(&run(ONE)),
        Talk::new("lazy: an unknown name in the batch of begin")
            .batch(&[run("BEGIN"), vec![bind("", "nowhere", &[])], run(COUNT)].concat())
            .batch(&run("COMMIT"))
            .batch(&[run("BEGIN"), run(COUNT), vec![execute("nowhere", 0)], run("COMMIT")].concat())
            .batch(&run("COMMIT"))
            .batch(&run(ONE)),
        Talk::new("lazy: an unknown message in an open transaction")
            .in_weirs_words()
            .queries(&["BEGIN", COUNT])
            .say(&[message(b'y', b"what?")], Hear::Close),
    ]
}
