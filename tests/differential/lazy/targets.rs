//! Sessions that ask for replicas: their writes work as anybody's do, however their transactions begin.

use harness::client::front::*;

use crate::talk::{Talk, again, in_all_forms, run};

use super::{COUNT, INSERT, ONE};

pub(crate) fn talks() -> Vec<Talk> {
    let mut talks = begun_by_messages();
    talks.extend(written_behind_reads().iter().flat_map(in_all_forms));
    talks
}

fn written_behind_reads() -> Vec<Talk> {
    vec![
        Talk::new("lazy: a target of replica, and writes in and outside of transactions").changes().queries(
            &[
                "SET weir.target = 'replica'",
                INSERT,
                COUNT,
                "BEGIN",
                COUNT,
                "UPDATE items SET note = 'r' WHERE id = 100",
                ONE,
                "COMMIT",
                "BEGIN",
                "DELETE FROM items WHERE id = 100",
                "ROLLBACK",
                "BEGIN; INSERT INTO items VALUES (101, 'y'); COMMIT",
                COUNT,
                "RESET weir.target",
                COUNT,
            ],
        ),
        Talk::new("lazy: a hint for replicas in front of BEGIN").changes().queries(&[
            "/* weir: replica */ BEGIN",
            COUNT,
            INSERT,
            "COMMIT",
            COUNT,
        ]),
    ]
}

/// What weir does not answer itself: a BEGIN whose portal has a name, or that stands behind a write in the same pipeline.
fn begun_by_messages() -> Vec<Talk> {
    let begin = [parse("b", "BEGIN", &[]), bind("p", "b", &[]), execute("p", 0)];
    vec![
        Talk::new("lazy: a target of replica, and a transaction begun by a portal with a name")
            .changes()
            .queries(&["SET weir.target = 'replica'"])
            .batch(&begin)
            .queries(&[COUNT, INSERT, COUNT, "COMMIT", COUNT]),
        Talk::new("lazy: a target of replica, and a transaction behind a write in the same pipeline")
            .changes()
            .queries(&["SET weir.target = 'replica'"])
            .ask(&[
                query(INSERT),
                query("BEGIN"),
                query("UPDATE items SET note = 'r' WHERE id = 100"),
                query("COMMIT"),
            ])
            .ask(&[query(COUNT)]),
        Talk::new("lazy: a target of replica, and one batch with BEGIN, a write and COMMIT")
            .changes()
            .queries(&["SET weir.target = 'replica'"])
            .batch(&[run("BEGIN"), run(INSERT), run("COMMIT")].concat())
            .batch(&[&begin[..], &again("b", &[]), &run(INSERT), &run("COMMIT")].concat())
            .queries(&[COUNT]),
    ]
}
