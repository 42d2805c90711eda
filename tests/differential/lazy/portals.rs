//! Portals that are read in pieces within transactions: over several Syncs, beside reads, and across a write.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

use super::batches::told;
use super::{COUNT, INSERT, NINE, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    [reading(), upgraded(), divided()].concat()
}

pub(super) const IDS: &str = "SELECT id FROM items ORDER BY id";

fn reading() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a named portal over several Syncs")
            .queries(&["BEGIN"])
            .batch(&[parse("", IDS, &[]), bind("p", "", &[]), describe_portal("p"), execute("p", 3)])
            .batch(&[execute("p", 3)])
            .batch(&run(COUNT))
            .batch(&[describe_portal("p"), execute("p", 3)])
            .queries(&[ONE])
            .batch(&[execute("p", 0)])
            .batch(&[execute("p", 1)])
            .batch(&[close_portal("p")])
            .batch(&run(COUNT))
            .queries(&["COMMIT"])
            .batch(&[execute("p", 1)]),
        Talk::new("lazy: the unnamed portal over several Syncs")
            .batch(&run("BEGIN"))
            .batch(&[parse("", IDS, &[]), bind("", "", &[]), execute("", 3)])
            .batch(&[execute("", 3)])
            .batch(&[execute("", 0)])
            .batch(&[execute("", 0)])
            .batch(&run("COMMIT")),
        Talk::new("lazy: the unnamed portal, lost to another statement")
            .queries(&["BEGIN"])
            .batch(&[parse("s", IDS, &[]), bind("", "s", &[]), execute("", 3)])
            .batch(&run(COUNT))
            .batch(&[execute("", 3)])
            .queries(&["ROLLBACK", "BEGIN"])
            .batch(&[bind("", "s", &[]), execute("", 3)])
            .queries(&[COUNT])
            .batch(&[execute("", 3)])
            .queries(&["COMMIT"]),
        Talk::new("lazy: a portal whose rows are all read, executed again")
            .queries(&["BEGIN"])
            .batch(&[parse("s", NINE, &[]), bind("p", "s", &[]), execute("p", 0)])
            .batch(&[execute("p", 0)])
            .batch(&[execute("p", 2)])
            .queries(&[COUNT])
            .batch(&[bind("q", "s", &[]), execute("q", 9)])
            .batch(&[execute("q", 9)])
            .batch(&[describe_portal("q"), describe_portal("p")])
            .queries(&["COMMIT"]),
        Talk::new("lazy: a limit greater than the rows")
            .batch(
                &[run("BEGIN"), vec![parse("s", NINE, &[]), bind("", "s", &[]), execute("", 100)]].concat(),
            )
            .batch(&[bind("", "s", &[]), execute("", 10)])
            .batch(&[bind("", "s", &[]), execute("", 9)])
            .batch(&[execute("", 9)])
            .batch(&run("COMMIT")),
        Talk::new("lazy: a portal bound in one batch and executed in the next")
            .queries(&["BEGIN"])
            .batch(&[parse("s", "SELECT id FROM items WHERE id > $1 ORDER BY id", &[23])])
            .batch(&[bind("p", "s", &[text("5")])])
            .queries(&[COUNT])
            .batch(&[describe_portal("p")])
            .batch(&[execute("p", 2), execute("p", 2)])
            .queries(&["COMMIT"]),
        Talk::new("lazy: several portals at once, and statements between")
            .batch(&run("BEGIN"))
            .batch(&[
                parse("s", NINE, &[]),
                bind("a", "s", &[]),
                bind("b", "s", &[]),
                execute("a", 2),
                execute("b", 3),
            ])
            .batch(&[execute("b", 2), execute("a", 1)])
            .batch(&run(COUNT))
            .batch(&[close_statement("s"), execute("a", 1)])
            .batch(&[close_portal("a"), execute("b", 1)])
            .batch(&[execute("b", 0), execute("b", 0)])
            .batch(&run("ROLLBACK")),
        Talk::new("lazy: a portal's name that is taken, and one that is not there")
            .queries(&["BEGIN"])
            .batch(&[parse("s", NINE, &[]), bind("p", "s", &[]), execute("p", 2)])
            .batch(&[bind("p", "s", &[])])
            .batch(&[execute("p", 2)])
            .queries(&["ROLLBACK", "BEGIN", COUNT])
            .batch(&[close_portal("p")])
            .batch(&[execute("p", 2)])
            .queries(&["COMMIT"]),
        Talk::new("lazy: a portal in pieces, JDBC's way with autocommit off")
            .batch(
                &[
                    run("BEGIN"),
                    vec![parse("", IDS, &[]), bind("c1", "", &[]), describe_portal("c1"), execute("c1", 5)],
                ]
                .concat(),
            )
            .batch(&[execute("c1", 5)])
            .batch(&[execute("c1", 5)])
            .batch(&[execute("c1", 5)])
            .batch(&[execute("c1", 5)])
            .batch(&[close_portal("c1")])
            .batch(&run("COMMIT")),
        Talk::new("lazy: a portal in pieces with Flush, asyncpg's and node's way")
            .queries(&["BEGIN;"])
            .say(&[parse("a", IDS, &[]), describe_statement("a"), flush()], Hear::UpTo(b'T'))
            .say(&[bind("p", "a", &[]), execute("p", 4), flush()], Hear::UpTo(b's'))
            .say(&[execute("p", 4), flush()], Hear::UpTo(b's'))
            .batch(&[])
            .say(&[execute("p", 4), flush()], Hear::UpTo(b's'))
            .batch(&[close_portal("p")])
            .queries(&["COMMIT;"]),
        Talk::new("lazy: a portal under FETCH and MOVE")
            .queries(&["BEGIN"])
            .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .queries(&["MOVE 2 FROM p", "FETCH 1 FROM p", COUNT])
            .batch(&[execute("p", 2)])
            .queries(&["CLOSE p"])
            .batch(&[execute("p", 2)])
            .queries(&["COMMIT"]),
    ]
}

fn upgraded() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a named portal across a write")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 3)])
            .batch(&run(INSERT))
            .batch(&[execute("p", 3)])
            .batch(&run(COUNT))
            .batch(&[describe_portal("p"), execute("p", 0)])
            .batch(&[execute("p", 0)])
            .batch(&run("COMMIT"))
            .batch(&run(COUNT)),
        Talk::new("lazy: a named portal across a write by a simple query")
            .changes()
            .batch(&run("BEGIN"))
            .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 3)])
            .queries(&[INSERT])
            .batch(&[execute("p", 3)])
            .queries(&[COUNT])
            .batch(&[close_portal("p")])
            .batch(&[execute("p", 3)])
            .queries(&["ROLLBACK", COUNT]),
        Talk::new("lazy: a portal and a write in one batch")
            .apart()
            .changes()
            .queries(&["BEGIN"])
            .batch(
                &[
                    vec![parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 2)],
                    run(INSERT),
                    vec![execute("p", 2)],
                ]
                .concat(),
            )
            .batch(&[vec![execute("p", 1)], run(COUNT), vec![execute("p", 1)], run("COMMIT")].concat())
            .batch(&run(COUNT)),
        Talk::new("lazy: two portals, one of before and one of behind the write")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[parse("s", COUNT, &[]), bind("before", "s", &[])])
            .batch(&run(INSERT))
            .batch(&[bind("behind", "s", &[]), execute("behind", 1), execute("before", 1)])
            .batch(&[execute("behind", 1), execute("before", 1)])
            .queries(&["ROLLBACK"]),
        Talk::new("lazy: what is bound is executed behind a pause, with a write behind it")
            .changes()
            .queries(&["BEGIN"])
            .say(&[parse("", COUNT, &[]), bind("", "", &[]), flush()], Hear::UpTo(b'2'))
            .batch(&[vec![execute("", 0)], run(INSERT), run(COUNT)].concat())
            .say(&[parse("", COUNT, &[]), bind("p", "", &[]), flush()], Hear::UpTo(b'2'))
            .batch(&[run("SELECT 1/0"), vec![execute("p", 0)], run(INSERT)].concat())
            .queries(&["ROLLBACK", COUNT]),
        Talk::new("lazy: a cursor of before the write, fetched behind it in one batch")
            .changes()
            .queries(&["BEGIN", "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id"])
            .batch(&[run("FETCH 1 FROM c"), run(INSERT), run("FETCH 1 FROM c"), run(COUNT)].concat())
            .batch(&[told("FETCH 1 FROM c"), run(COUNT), told("CLOSE c")].concat())
            .batch(&[run("FETCH 1 FROM c"), run(COUNT)].concat())
            .queries(&["ROLLBACK", COUNT]),
        Talk::new("lazy: a portal of before the write, and its name bound anew behind it")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .batch(&run(INSERT))
            .batch(&[close_portal("p"), bind("p", "s", &[]), execute("p", 4)])
            .batch(&[execute("p", 2)])
            .batch(&[bind("p", "s", &[])])
            .queries(&["ROLLBACK"]),
        Talk::new("lazy: the unnamed portal across a write that has a name")
            .changes()
            .batch(&[parse("w", INSERT, &[]), parse("s", IDS, &[])])
            .queries(&["BEGIN"])
            .batch(&[bind("", "s", &[]), execute("", 2)])
            .batch(&[bind("write", "w", &[]), execute("write", 0)])
            .batch(&[execute("", 2)])
            .batch(&again("s", &[]))
            .queries(&["ROLLBACK"]),
        Talk::new("lazy: a portal left open by the commit")
            .changes()
            .queries(&["BEGIN"])
            .batch(&[parse("s", IDS, &[]), bind("p", "s", &[]), execute("p", 2)])
            .queries(&[INSERT, "COMMIT"])
            .batch(&[execute("p", 2)])
            .queries(&["BEGIN"])
            .batch(&[execute("p", 2)])
            .queries(&["COMMIT"]),
        Talk::new("lazy: a portal that writes, in pieces, behind reads")
            .changes()
            .queries(&["BEGIN", COUNT])
            .batch(&[
                parse("", "UPDATE items SET note = 'r' WHERE id < 6 RETURNING id", &[]),
                bind("p", "", &[]),
                execute("p", 2),
            ])
            .queries(&["SELECT count(*) FROM items WHERE note = 'r'"])
            .batch(&[execute("p", 0)])
            .queries(&["ROLLBACK"]),
    ]
}

fn divided() -> Vec<Talk> {
    vec![
        Talk::new("lazy: portals and savepoints")
            .queries(&["BEGIN"])
            .batch(&[parse("s", NINE, &[]), bind("before", "s", &[]), execute("before", 2)])
            .queries(&["SAVEPOINT a"])
            .batch(&[bind("within", "s", &[]), execute("within", 2), execute("before", 1)])
            .queries(&["ROLLBACK TO a"])
            .batch(&[execute("before", 2)])
            .batch(&[execute("within", 1)])
            .queries(&["ROLLBACK TO a", "RELEASE a"])
            .batch(&[execute("before", 0)])
            .queries(&["COMMIT"]),
        Talk::new("lazy: a portal in a transaction that fails")
            .queries(&["BEGIN"])
            .batch(&[parse("s", NINE, &[]), bind("p", "s", &[]), execute("p", 2)])
            .queries(&["SELECT 1/0"])
            .batch(&[execute("p", 2)])
            .batch(&[describe_portal("p")])
            .batch(&[close_portal("p")])
            .batch(&[bind("q", "s", &[])])
            .queries(&["COMMIT"])
            .batch(&[execute("p", 2)]),
        Talk::new("lazy: a portal that fails on its way")
            .queries(&["BEGIN"])
            .batch(&[
                parse("s", "SELECT 10 / (5 - n) FROM generate_series(1, 9) n", &[]),
                bind("p", "s", &[]),
                execute("p", 3),
            ])
            .batch(&[execute("p", 3), execute("p", 3)])
            .batch(&[execute("p", 3)])
            .queries(&["ROLLBACK", "BEGIN", "SAVEPOINT a"])
            .batch(&[bind("p", "s", &[]), execute("p", 9)])
            .queries(&["ROLLBACK TO a"])
            .batch(&[execute("p", 1)])
            .queries(&["ROLLBACK"]),
    ]
}
