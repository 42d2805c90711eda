//! The extended protocol: prepared statements, portals, pipelines.

use harness::client::front::*;

use crate::talk::{Hear, Talk, again, run, text};

pub(crate) fn talks() -> Vec<Talk> {
    [shapes(), statements(), portals(), parameters(), pipelines(), mixed()].concat()
}

fn shapes() -> Vec<Talk> {
    let all = [
        parse("", "SELECT $1::int + 1 AS n", &[]),
        describe_statement(""),
        bind("", "", &[text("41")]),
        describe_portal(""),
        execute("", 0),
    ];
    vec![
        Talk::new("every message once").batch(&all),
        Talk::new("a sync after every message").batch(&all[..1]).batch(&all[1..2]).batch(&all[2..]),
        Talk::new("a flush after every message, as few drivers do")
            .say(&[all[0].clone(), flush()], Hear::UpTo(b'1'))
            .say(&[all[1].clone(), flush()], Hear::UpTo(b'T'))
            .say(&[all[2].clone(), flush()], Hear::UpTo(b'2'))
            .say(&[all[3].clone(), flush()], Hear::UpTo(b'T'))
            .say(&[all[4].clone(), flush()], Hear::UpTo(b'C'))
            .batch(&[]),
        Talk::new("prepared with flush, run with sync, as asyncpg does")
            .say(
                &[parse("s", "SELECT name FROM items WHERE id = $1", &[]), describe_statement("s"), flush()],
                Hear::UpTo(b'T'),
            )
            .batch(&again("s", &[text("7")]))
            .batch(&again("s", &[text("8")])),
        Talk::new("syncs alone").batch(&[]).ask(&[sync(), sync(), sync()]).ask(&[flush(), flush(), sync()]),
        Talk::new("an empty text")
            .batch(&run(""))
            .batch(&[parse("", "", &[]), describe_statement("")])
            .batch(&run(";")),
        Talk::new("a statement without rows").changes().batch(&[
            parse("", "INSERT INTO items VALUES (100, 'x')", &[]),
            describe_statement(""),
            bind("", "", &[]),
            describe_portal(""),
            execute("", 0),
        ]),
        Talk::new("two statements in one text")
            .batch(&run("SELECT 1; SELECT 2"))
            .batch(&run("SELECT 3;"))
            .batch(&[parse("s", "SELECT 1; SELECT 2", &[])])
            .batch(&again("s", &[])),
        Talk::new("utility statements")
            .changes()
            .batch(&run("CREATE TABLE play.u (id int)"))
            .batch(&run("SHOW timezone"))
            .batch(&run("EXPLAIN (COSTS OFF) SELECT 1"))
            .batch(&run("DROP TABLE play.u"))
            .batch(&run("VACUUM items")),
    ]
}

fn statements() -> Vec<Talk> {
    let reads = parse("reads", "SELECT name FROM items WHERE id = $1", &[23]);
    let writes = parse("writes", "UPDATE items SET note = $2 WHERE id = $1 RETURNING id, note", &[]);
    vec![
        Talk::new("the unnamed statement lives across a sync, as lib/pq needs")
            .batch(&[parse("", "SELECT $1::text", &[]), describe_statement("")])
            .batch(&again("", &[text("once")]))
            .batch(&again("", &[text("twice")])),
        Talk::new("the unnamed statement dies with a simple query")
            .batch(&[parse("", "SELECT 1", &[])])
            .queries(&["SELECT 2"])
            .batch(&again("", &[])),
        Talk::new("the unnamed statement after one that failed")
            .batch(&[parse("", "SELECT 1", &[])])
            .batch(&[parse("", "no sql", &[])])
            .batch(&again("", &[])),
        Talk::new("no unnamed statement yet")
            .batch(&again("", &[]))
            .batch(&[describe_statement("")])
            .batch(&[close_statement("")]),
        Talk::new("an unnamed statement closed")
            .batch(&[parse("", "SELECT 1", &[]), close_statement("")])
            .batch(&again("", &[])),
        Talk::new("named statements, back and forth between reads and writes")
            .changes()
            .batch(&[reads.clone(), writes.clone()])
            .batch(&again("reads", &[text("1")]))
            .batch(&again("writes", &[text("2"), text("new")]))
            .batch(&again("reads", &[text("3")]))
            .batch(
                &[
                    again("reads", &[text("4")]),
                    again("writes", &[text("5"), None]),
                    again("reads", &[text("6")]),
                ]
                .concat(),
            )
            .batch(&again("reads", &[text("7")])),
        Talk::new("a name that is taken")
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&[parse("s", "SELECT 'other'", &[])])
            .batch(&again("s", &[])),
        Talk::new("a name taken twice in one batch")
            .batch(&[parse("s", "SELECT 1", &[]), parse("s", "SELECT 2", &[]), parse("t", "SELECT 3", &[])])
            .batch(&again("s", &[]))
            .batch(&again("t", &[])),
        Talk::new("a name taken, in a transaction")
            .queries(&["BEGIN"])
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&[parse("s", "SELECT 2", &[])])
            .batch(&again("s", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("s", &[])),
        Talk::new("names that nobody gave")
            .batch(&again("nope", &[]))
            .batch(&[describe_statement("nope")])
            .batch(&[close_statement("nope")])
            .batch(&[execute("nope", 0)])
            .batch(&[describe_portal("nope")])
            .batch(&[close_portal("nope")])
            .batch(&[execute("", 0)]),
        Talk::new("names that only weir gives")
            .batch(&again("weir_1_1", &[]))
            .batch(&[describe_statement("weir_1_2")])
            .batch(&[close_statement("weir_1_1")])
            .batch(&[parse("weir_1_1", "SELECT 1", &[])])
            .batch(&again("weir_1_1", &[])),
        Talk::new("close and parse in one pipeline")
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&[close_statement("s"), parse("s", "SELECT 2", &[])])
            .batch(&again("s", &[]))
            .batch(&[&[close_statement("s"), parse("s", "SELECT 2", &[])][..], &again("s", &[])].concat()),
        Talk::new("closed is gone")
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&[close_statement("s")])
            .batch(&again("s", &[]))
            .batch(&[parse("s", "SELECT 5", &[])])
            .batch(&again("s", &[])),
        Talk::new("one text, two names")
            .batch(&[parse("a", "SELECT 1", &[]), parse("b", "SELECT 1", &[])])
            .batch(&[close_statement("a")])
            .batch(&again("b", &[]))
            .batch(&again("a", &[])),
        Talk::new("deallocate by name")
            .batch(&[parse("s", "SELECT 1", &[])])
            .queries(&["DEALLOCATE s", "DEALLOCATE s"])
            .batch(&again("s", &[]))
            .batch(&[parse("s", "SELECT 2", &[])])
            .batch(&run("DEALLOCATE PREPARE s"))
            .batch(&again("s", &[])),
        Talk::new("deallocate all")
            .batch(&[parse("s", "SELECT 1", &[]), parse("t", "SELECT 2", &[])])
            .queries(&["DEALLOCATE ALL"])
            .batch(&again("s", &[]))
            .batch(&[parse("t", "SELECT 3", &[])])
            .batch(&again("t", &[])),
        Talk::new("deallocate all, pipelined before a parse")
            .batch(&[parse("s", "SELECT 1", &[])])
            .ask(&[query("DEALLOCATE ALL"), parse("s", "SELECT 2", &[]), sync()])
            .batch(&again("s", &[]))
            .batch(&[run("DEALLOCATE ALL"), vec![parse("s", "SELECT 3", &[])]].concat())
            .batch(&again("s", &[])),
        Talk::new("discard all, pipelined before a parse")
            .batch(&[parse("s", "SELECT 1", &[])])
            .ask(&[query("DISCARD ALL"), parse("s", "SELECT 2", &[]), sync()])
            .batch(&again("s", &[])),
        Talk::new("a parse that fails names nothing")
            .batch(&[parse("s", "SELECT nope", &[])])
            .batch(&again("s", &[]))
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&again("s", &[])),
        Talk::new("a parse before an error stands, one behind it does not")
            .batch(
                &[&[parse("s", "SELECT 1", &[])][..], &run("SELECT 1/0"), &[parse("t", "SELECT 2", &[])]]
                    .concat(),
            )
            .batch(&again("s", &[]))
            .batch(&again("t", &[])),
        Talk::new("a statement survives the rollback it was parsed in")
            .queries(&["BEGIN"])
            .batch(&[parse("s", "SELECT 1", &[])])
            .queries(&["ROLLBACK"])
            .batch(&again("s", &[])),
        // Which of its routines refuses depends on whether it holds the statement already.
        Talk::new("statements in a failed transaction")
            .in_weirs_words()
            .batch(std::slice::from_ref(&reads))
            .queries(&["BEGIN", "SELECT 1/0"])
            .batch(&[parse("s", "SELECT 1", &[])])
            .batch(&again("reads", &[text("1")]))
            .batch(&[describe_statement("reads")])
            .batch(&[close_statement("reads")])
            .batch(&again("reads", &[text("1")]))
            .batch(&run("ROLLBACK"))
            .batch(&again("s", &[])),
        Talk::new("a table changes under a statement that does not mind")
            .changes()
            .queries(&["CREATE TABLE play.t (id int, name text)", "INSERT INTO play.t VALUES (1, 'one')"])
            .batch(&[parse("s", "SELECT id, name FROM play.t", &[])])
            .batch(&again("s", &[]))
            .queries(&["ALTER TABLE play.t ADD COLUMN more int DEFAULT 7"])
            .batch(&again("s", &[]))
            .queries(&["BEGIN", "ALTER TABLE play.t DROP COLUMN more", "CREATE INDEX ON play.t (id)"])
            .batch(&again("s", &[]))
            .queries(&["ROLLBACK"])
            .batch(&again("s", &[])),
        Talk::new("a result changes under a statement that was described")
            .in_weirs_words()
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "INSERT INTO play.t VALUES (1)"])
            .batch(&[parse("s", "SELECT * FROM play.t", &[]), describe_statement("s")])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .queries(&["ALTER TABLE play.t ADD COLUMN more int"])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .batch(&[close_statement("s"), parse("s", "SELECT * FROM play.t", &[]), describe_statement("s")])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .queries(&["BEGIN", "ALTER TABLE play.t DROP COLUMN more"])
            .batch(&[bind("", "s", &[]), execute("", 0)])
            .queries(&["ROLLBACK"])
            .batch(&[bind("", "s", &[]), execute("", 0)]),
        Talk::new("a table dropped and made anew under a statement")
            .changes()
            .queries(&["CREATE TABLE play.t (id int)"])
            .batch(&[parse("s", "SELECT id FROM play.t", &[])])
            .queries(&["DROP TABLE play.t"])
            .batch(&again("s", &[]))
            .queries(&["CREATE TABLE play.t (id int)"])
            .batch(&[describe_statement("s")])
            .batch(&again("s", &[])),
        Talk::new("more statements than fit a message's head")
            .batch(&(0..150).map(|n| parse(format!("s{n}"), format!("SELECT {n}"), &[])).collect::<Vec<_>>())
            .batch(&(0..150).flat_map(|n| again(&format!("s{n}"), &[])).collect::<Vec<_>>())
            .batch(&(0..150).map(|n| close_statement(format!("s{n}"))).collect::<Vec<_>>()),
        Talk::new("names with odd letters")
            .batch(&[
                parse("Sp ace\"quote'", "SELECT 1", &[]),
                parse("\u{e9}", "SELECT 2", &[]),
                parse("weir_1_1", "SELECT 3", &[]),
            ])
            .batch(&again("\u{e9}", &[]))
            .batch(&again("weir_1_1", &[]))
            .batch(&again("Sp ace\"quote'", &[]))
            .queries(&["DEALLOCATE \"Sp ace\"\"quote'\""])
            .batch(&again("Sp ace\"quote'", &[])),
    ]
}

fn portals() -> Vec<Talk> {
    let rows = "SELECT n FROM generate_series(1, 5) n";
    vec![
        Talk::new("some rows at a time").batch(&[
            parse("", rows, &[]),
            bind("", "", &[]),
            execute("", 2),
            execute("", 2),
            execute("", 2),
            execute("", 2),
        ]),
        Talk::new("some rows at a time, with flushes, in a transaction")
            .queries(&["BEGIN"])
            .say(
                &[parse("", rows, &[]), bind("p", "", &[]), describe_portal("p"), execute("p", 3), flush()],
                Hear::UpTo(b's'),
            )
            .say(&[execute("p", 3), flush()], Hear::UpTo(b'C'))
            .batch(&[close_portal("p")])
            .queries(&["COMMIT"]),
        Talk::new("several portals at once")
            .queries(&["BEGIN"])
            .batch(&[
                parse("s", rows, &[]),
                bind("p1", "s", &[]),
                bind("p2", "s", &[]),
                execute("p1", 1),
                execute("p2", 2),
                execute("p1", 3),
            ])
            .batch(&[execute("p2", 0), execute("p1", 0), execute("p1", 0)])
            .queries(&["COMMIT"]),
        Talk::new("a portal dies with its transaction")
            .batch(&[parse("s", rows, &[]), bind("p", "s", &[]), execute("p", 1)])
            .batch(&[execute("p", 1)])
            .queries(&["BEGIN"])
            .batch(&[bind("p", "s", &[]), execute("p", 1)])
            .queries(&["COMMIT"])
            .batch(&[execute("p", 1)]),
        Talk::new("a portal's name that is taken, and the unnamed one that never is")
            .batch(&[parse("s", rows, &[]), bind("p", "s", &[]), bind("p", "s", &[])])
            .batch(&[bind("", "s", &[]), execute("", 1), bind("", "s", &[]), execute("", 1)]),
        Talk::new("a portal closed")
            .batch(&[parse("s", rows, &[]), bind("p", "s", &[]), close_portal("p"), execute("p", 0)])
            .queries(&["SELECT 1"]),
        Talk::new("a portal outlives its statement")
            .queries(&["BEGIN"])
            .batch(&[parse("s", rows, &[]), bind("p", "s", &[]), close_statement("s"), execute("p", 2)])
            .batch(&[execute("p", 2)])
            .queries(&["COMMIT"]),
        Talk::new("a portal read by fetch")
            .queries(&["BEGIN"])
            .batch(&[parse("s", rows, &[]), bind("p", "s", &[])])
            .queries(&["FETCH 2 FROM p", "CLOSE p", "COMMIT"]),
        Talk::new("a cursor read by a portal")
            .queries(&["BEGIN", "DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5) n"])
            .batch(&[describe_portal("c"), execute("c", 2)])
            .queries(&["FETCH ALL FROM c", "COMMIT"]),
        Talk::new("a limited write")
            .changes()
            .batch(&[
                parse("", "UPDATE items SET note = 'l' WHERE id < 5 RETURNING id", &[]),
                bind("", "", &[]),
                execute("", 2),
                execute("", 0),
            ])
            .queries(&["SELECT count(*) FROM items WHERE note = 'l'"]),
        Talk::new("a portal executed after its end").batch(&[
            parse("", "SELECT 1", &[]),
            bind("", "", &[]),
            execute("", 0),
            execute("", 0),
        ]),
        Talk::new("a write executed twice")
            .changes()
            .batch(&[
                parse("", "INSERT INTO items VALUES (100, 'x')", &[]),
                bind("", "", &[]),
                execute("", 0),
                execute("", 0),
            ])
            .queries(&["SELECT count(*) FROM items"]),
    ]
}

fn parameters() -> Vec<Talk> {
    let long = "x".repeat(300_000);
    vec![
        Talk::new("text and binary, in and out")
            .batch(&[
                parse("s", "SELECT $1::int4 + 1, $2::text || '!', $3::bytea", &[]),
                describe_statement("s"),
                bind_formats(
                    "",
                    "s",
                    &[1, 0, 1],
                    &[Some(&[0, 0, 0, 41]), text("hi"), Some(&[0, 255, 10])],
                    &[1],
                ),
                describe_portal(""),
                execute("", 0),
            ])
            .batch(&[
                bind_formats("", "s", &[], &[text("1"), text("2"), text("\\x00")], &[1, 0, 1]),
                execute("", 0),
            ]),
        Talk::new("null").batch(&[
            parse("", "SELECT $1::int IS NULL, $1::int, $2::text", &[]),
            bind("", "", &[None, text("")]),
            execute("", 0),
        ]),
        Talk::new("types given and types found")
            .batch(&[parse("", "SELECT $1, $2 + 1", &[25, 0]), describe_statement("")])
            .batch(&[parse("", "SELECT $1", &[]), describe_statement("")])
            .batch(&[parse("", "SELECT $1", &[999_999]), describe_statement("")])
            .batch(&[parse("", "SELECT $2::int", &[]), describe_statement("")])
            .batch(&[
                parse("", "SELECT $1::mood", &[]),
                describe_statement(""),
                bind("", "", &[text("ok")]),
                execute("", 0),
            ]),
        Talk::new("too few, too many, and wrong ones")
            .batch(&[parse("s", "SELECT $1::int", &[]), bind("", "s", &[]), execute("", 0)])
            .batch(&again("s", &[text("1"), text("2")]))
            .batch(&again("s", &[text("one")]))
            .batch(&[bind_formats("", "s", &[1], &[Some(&[1, 2])], &[]), execute("", 0)])
            .batch(&[bind_formats("", "s", &[0, 0], &[text("1")], &[]), execute("", 0)])
            .batch(&[bind_formats("", "s", &[7], &[text("1")], &[]), execute("", 0)])
            .batch(&[bind_formats("", "s", &[], &[text("1")], &[0, 1]), execute("", 0)])
            .batch(&again("s", &[text("5")])),
        Talk::new("a long parameter")
            .changes()
            .batch(&[
                parse("s", "SELECT length($1::text)", &[]),
                bind("", "s", &[text(&long)]),
                execute("", 0),
            ])
            .batch(&again("s", &[text(&long)]))
            .batch(&[
                parse("", "UPDATE items SET note = $1 WHERE id = 1", &[]),
                bind("", "", &[text(&long)]),
                execute("", 0),
            ])
            .queries(&["SELECT length(note) FROM items WHERE id = 1"]),
        Talk::new("a long statement")
            .batch(&[parse("s", format!("SELECT length('{long}')"), &[]), bind("", "s", &[]), execute("", 0)])
            .batch(&again("s", &[]))
            .batch(&run(&format!("SELECT length('{long}')"))),
        Talk::new("a long parameter for a statement that nobody knows")
            .batch(&again("nope", &[text(&long)]))
            .queries(&["SELECT 1"]),
        Talk::new("a long parameter behind an error")
            .batch(
                &[run("SELECT 1/0"), vec![parse("s", "SELECT length($1)", &[])], again("s", &[text(&long)])]
                    .concat(),
            )
            .queries(&["SELECT 1"]),
        Talk::new("large rows").batch(&[
            parse("", "SELECT repeat('r', $1::int), n FROM generate_series(1, 20) n", &[]),
            bind("", "", &[text("20000")]),
            execute("", 0),
        ]),
    ]
}

fn pipelines() -> Vec<Talk> {
    let insert = "INSERT INTO items VALUES (100, 'x')";
    vec![
        Talk::new("reads and writes in one batch").changes().batch(
            &[run("SELECT count(*) FROM items"), run(insert), run("SELECT count(*) FROM items")].concat(),
        ),
        Talk::new("an error skips to the sync, and the next batch is whole").changes().ask(
            &[
                run("SELECT 1"),
                run("SELECT 1/0"),
                run(insert),
                vec![sync()],
                run("SELECT count(*) FROM items"),
                vec![sync()],
            ]
            .concat(),
        ),
        Talk::new("an error undoes the batch before it")
            .changes()
            .batch(&[run(insert), run("SELECT 1/0")].concat())
            .batch(&run("SELECT count(*) FROM items")),
        Talk::new("batches sent ahead, every other one fails").ask(
            &(0..10)
                .flat_map(|n| [run(&format!("SELECT 10 / ({n} % 2)")), vec![sync()]].concat())
                .collect::<Vec<_>>(),
        ),
        Talk::new("an error, then talk, then a late sync")
            .say(&[run("SELECT 1/0"), vec![flush()]].concat(), Hear::UpTo(b'E'))
            .say(&run("SELECT 2"), Hear::Nothing)
            .say(&[parse("s", "SELECT 3", &[]), describe_statement("s"), flush()], Hear::Nothing)
            .batch(&[])
            .batch(&again("s", &[])),
        Talk::new("a hundred executions before one sync").batch(
            &[
                vec![parse("s", "SELECT $1::int", &[])],
                (0..100).flat_map(|n| again("s", &[text(&n.to_string())])).collect(),
            ]
            .concat(),
        ),
        Talk::new("batches of named statements sent ahead")
            .changes()
            .batch(&[
                parse("r", "SELECT count(*) FROM items WHERE id < $1", &[]),
                parse("w", "UPDATE items SET note = 'p' WHERE id = $1", &[]),
            ])
            .ask(
                &(1..20)
                    .flat_map(|n| {
                        [again(if n % 5 == 0 { "w" } else { "r" }, &[text(&n.to_string())]), vec![sync()]]
                            .concat()
                    })
                    .collect::<Vec<_>>(),
            ),
        Talk::new("a transaction in one batch")
            .changes()
            .batch(&[run("BEGIN"), run(insert), run("COMMIT"), run("SELECT count(*) FROM items")].concat())
            .batch(&[run("BEGIN"), run("SELECT 1/0"), run("COMMIT")].concat())
            .batch(&run("SELECT 1"))
            .batch(&run("ROLLBACK")),
        Talk::new("a batch left open, then more of it")
            .say(&run("SELECT 1"), Hear::Nothing)
            .say(&[flush()], Hear::UpTo(b'C'))
            .say(&run("SELECT 2"), Hear::Nothing)
            .batch(&run("SELECT 3")),
        Talk::new("a read flushed, then a write in the same batch")
            .changes()
            .say(&[run("SELECT count(*) FROM items"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run(insert), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .say(&[run("SELECT count(*) FROM items"), vec![flush()]].concat(), Hear::UpTo(b'C'))
            .batch(&[]),
        Talk::new("a read that fails, flushed, then a write in the same batch")
            .changes()
            .say(&[run("SELECT 1/0"), vec![flush()]].concat(), Hear::UpTo(b'E'))
            .batch(&run(insert))
            .batch(&run("SELECT count(*) FROM items")),
        Talk::new("a long pipeline")
            .batch(&(0..1500).flat_map(|_| run("SELECT 'some text that makes it long'")).collect::<Vec<_>>()),
    ]
}

fn mixed() -> Vec<Talk> {
    vec![
        Talk::new("a batch without a sync, then a simple query")
            .say(&[run("SELECT 1"), vec![query("SELECT 2")]].concat(), Hear::Ready(1))
            .batch(&[]),
        Talk::new("a failed batch without a sync, then a simple query that is skipped")
            .say(&[run("SELECT 1/0"), vec![query("SELECT 2"), sync()]].concat(), Hear::Ready(1))
            .queries(&["SELECT 3"]),
        Talk::new("simple and extended sent ahead").ask(
            &[
                vec![query("SELECT 1")],
                run("SELECT 2"),
                vec![sync(), query("SELECT 3")],
                run("SELECT 4"),
                vec![sync()],
            ]
            .concat(),
        ),
        Talk::new("an extended batch between simple queries, all of which fail")
            .ask(&[vec![query("SELECT 1/0")], run("SELECT 2/0"), vec![sync(), query("nope")]].concat())
            .queries(&["SELECT 1"]),
        Talk::new("a function call in a batch").say(
            &[run("SELECT 1"), vec![function_call(177, &[text("1"), text("2")]), sync()]].concat(),
            Hear::Ready(2),
        ),
        Talk::new("a Flush before anything else")
            .batch(&[parse("u", "SELECT $1::text", &[]), bind("", "u", &[text("x")]), execute("", 0)])
            .batch(&[flush(), bind("", "u", &[]), describe_portal(""), execute("", 0)])
            .say(&[flush()], Hear::Nothing)
            .queries(&["SELECT count(*) FROM items"])
            .ask(&[flush(), query("SHOW transaction_read_only")])
            .batch(&[vec![flush()], again("u", &[text("y")])].concat()),
        Talk::new("a query amid a batch that speaks of the transaction's end")
            .apart()
            .changes()
            .queries(&["BEGIN READ ONLY"])
            .ask(&[parse("q", "COMMIT", &[]), query("MOVE 1 FROM c; SELECT 1")])
            .queries(&["ROLLBACK", "BEGIN READ ONLY"])
            .ask(&[&again("q", &[])[..], &[query("UPDATE items SET note = 'written' WHERE id = 1")]].concat())
            .queries(&["SELECT note FROM items WHERE id = 1", "BEGIN READ ONLY"])
            .ask(&[&run("COMMIT")[..], &[query("UPDATE items SET note = '' WHERE id = 1"), sync()]].concat()),
        Talk::new("sql-level and protocol-level prepared statements together")
            .queries(&["PREPARE q AS SELECT $1::int * 2", "EXECUTE q (21)"])
            .batch(&again("q", &[text("4")]))
            .queries(&["EXECUTE q (1)", "DEALLOCATE q", "EXECUTE q (1)"]),
    ]
}
