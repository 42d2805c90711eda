//! COPY in both directions, by both protocols, and everything that can come between.

use harness::client::front::*;

use crate::talk::{Hear, Talk, run};

const IN: &str = "COPY items (id, name) FROM STDIN";
const COUNT: &str = "SELECT count(*) FROM items";

pub(crate) fn talks() -> Vec<Talk> {
    [out(), simple(), extended(), late()].concat()
}

fn out() -> Vec<Talk> {
    vec![
        Talk::new("out, of a table, of a query, in csv and in binary").queries(&[
            "COPY items TO STDOUT",
            "COPY (SELECT id, note FROM items WHERE id < 5) TO STDOUT WITH (FORMAT csv, HEADER)",
            "COPY (SELECT 1::int4, 'x') TO STDOUT WITH (FORMAT binary)",
            "COPY (SELECT 1 WHERE false) TO STDOUT",
        ]),
        Talk::new("out, of a write")
            .changes()
            .queries(&["COPY (INSERT INTO items VALUES (100, 'x') RETURNING id) TO STDOUT", COUNT]),
        Talk::new("out, with an error on the way").queries(&[
            "COPY (SELECT 10 / (5 - n) FROM generate_series(1, 9) n) TO STDOUT",
            "COPY nowhere TO STDOUT",
            "SELECT 1",
        ]),
        Talk::new("out, many rows")
            .queries(&["COPY (SELECT n, repeat('x', 40) FROM generate_series(1, 5000) n) TO STDOUT"]),
        Talk::new("out, by the extended protocol")
            .batch(&run("COPY (SELECT 1) TO STDOUT"))
            .batch(&[run("SELECT 1"), run("COPY (SELECT 2) TO STDOUT"), run("SELECT 3")].concat())
            .batch(&[parse("c", "COPY (SELECT 4) TO STDOUT", &[]), describe_statement("c")])
            .batch(&[bind("", "c", &[]), describe_portal(""), execute("", 0)])
            .batch(&run("COPY (SELECT 1/0) TO STDOUT")),
        Talk::new("out and queries in one string")
            .queries(&["SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3"]),
    ]
}

fn simple() -> Vec<Talk> {
    vec![
        Talk::new("in")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(
                &[copy_data("100\tone\n101\ttwo\n"), copy_data("102\tth"), copy_data("ree\n"), copy_done()],
                Hear::Ready(1),
            )
            .queries(&[COUNT, "SELECT name FROM items WHERE id = 102"]),
        Talk::new("in, of nothing")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_done()], Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, with the old mark of the end")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n\\.\n"), copy_done()], Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, given up")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_fail("no more")], Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, with an error at the first row while the data streams")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(
                &[copy_data("not a number\tx\n"), copy_data("100\tone\n"), copy_data("101\ttwo\n")],
                Hear::UpTo(b'Z'),
            )
            .say(
                &[copy_data("102\tlate\n"), copy_data("103\tlater\n"), copy_done(), query(COUNT)],
                Hear::Ready(1),
            ),
        Talk::new("in, with an error, the end sent at once")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("1\ttaken\n"), copy_done(), query(COUNT)], Hear::Ready(2)),
        Talk::new("in, into a table that is not there").say(
            &[query("COPY nowhere FROM STDIN"), copy_data("1\n"), copy_done(), query("SELECT 1")],
            Hear::Ready(2),
        ),
        Talk::new("in, all sent ahead").changes().say(
            &[query(IN), copy_data("100\tone\n"), copy_data("101\ttwo\n"), copy_done(), query("SELECT 1")],
            Hear::Ready(2),
        ),
        Talk::new("in, sync and flush ignored")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(
                &[copy_data("100\tone\n"), sync(), flush(), copy_data("101\ttwo\n"), sync(), copy_done()],
                Hear::Ready(1),
            )
            .queries(&[COUNT]),
        Talk::new("in, twice in one string")
            .changes()
            .say(
                &[query("COPY items (id, name) FROM STDIN; COPY items (id, name) FROM STDIN; SELECT 3")],
                Hear::UpTo(b'G'),
            )
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::UpTo(b'G'))
            .say(&[copy_data("101\ttwo\n"), copy_done()], Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, in a transaction")
            .changes()
            .queries(&["BEGIN"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("100\tone\n"), copy_done()], Hear::Ready(1))
            .queries(&["ROLLBACK", COUNT, "BEGIN"])
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data("1\tone\n"), copy_done()], Hear::Ready(1))
            .queries(&["SELECT 1", "COMMIT"]),
        Talk::new("in, binary")
            .changes()
            .say(&[query("COPY items (id, name) FROM STDIN (FORMAT binary)")], Hear::UpTo(b'G'))
            .say(
                &[
                    copy_data(
                        b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\x04\0\0\0\x64\0\0\0\x01x\xff\xff",
                    ),
                    copy_done(),
                ],
                Hear::Ready(1),
            )
            .queries(&["SELECT name FROM items WHERE id = 100"]),
        Talk::new("in, much of it")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(
                &(100..4000)
                    .map(|n| copy_data(format!("{n}\tname {n}\n")))
                    .chain([copy_done()])
                    .collect::<Vec<_>>(),
                Hear::Ready(1),
            )
            .queries(&[COUNT]),
        Talk::new("in, one long row")
            .changes()
            .say(&[query(IN)], Hear::UpTo(b'G'))
            .say(&[copy_data(format!("100\t{}\n", "x".repeat(500_000))), copy_done()], Hear::Ready(1))
            .queries(&["SELECT length(name) FROM items WHERE id = 100"]),
    ]
}

fn extended() -> Vec<Talk> {
    let end = |frames: &[Vec<u8>]| [frames, &[sync()]].concat();
    vec![
        Talk::new("in, by the extended protocol")
            .changes()
            .say(&[run(IN), vec![flush()]].concat(), Hear::UpTo(b'G'))
            .say(&end(&[copy_data("100\tone\n"), copy_done()]), Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol with its sync sent ahead of the data")
            .changes()
            .say(&end(&run(IN)), Hear::UpTo(b'G'))
            .say(&end(&[copy_data("100\tone\n"), copy_done()]), Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol, all sent ahead")
            .changes()
            .say(&end(&[run(IN), vec![copy_data("100\tone\n"), copy_done()]].concat()), Hear::Ready(1))
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol, given up")
            .changes()
            .say(
                &end(&[run(IN), vec![copy_data("100\tone\n"), copy_fail("enough")]].concat()),
                Hear::Ready(1),
            )
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol, more in the same batch")
            .changes()
            .say(
                &end(&[run("SELECT 1"), run(IN), vec![copy_data("100\tone\n"), copy_done()], run(COUNT)]
                    .concat()),
                Hear::Ready(1),
            )
            .queries(&[COUNT]),
        Talk::new("in, by the extended protocol, with a bad row")
            .changes()
            .say(
                &end(&[run(IN), vec![copy_data("bad\n"), copy_done()], run("SELECT 1")].concat()),
                Hear::Ready(1),
            )
            .queries(&[COUNT]),
        Talk::new("in, by a prepared statement, twice")
            .changes()
            .batch(&[parse("in", IN, &[])])
            .say(&[bind("", "in", &[]), execute("", 0), flush()], Hear::UpTo(b'G'))
            .say(&end(&[copy_data("100\tone\n"), copy_done()]), Hear::Ready(1))
            .say(&[bind("", "in", &[]), execute("", 0), flush()], Hear::UpTo(b'G'))
            .say(&end(&[copy_data("101\tone\n"), copy_done()]), Hear::Ready(1))
            .queries(&[COUNT]),
    ]
}

fn late() -> Vec<Talk> {
    vec![
        Talk::new("copy messages outside a copy")
            .ask(&[copy_data("1\n"), copy_done(), query("SELECT 1")])
            .ask(&[query("SELECT 1"), copy_data("x"), copy_fail("y"), query("SELECT 2")]),
        Talk::new("copy messages between the messages of a batch").say(
            &[
                parse("", "SELECT 1", &[]),
                copy_data("x"),
                bind("", "", &[]),
                copy_done(),
                execute("", 0),
                sync(),
            ],
            Hear::Ready(1),
        ),
    ]
}
