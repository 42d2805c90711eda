//! Listening and notifying, in every form in which clients do it, also by others meanwhile.

use harness::client::front::*;

use crate::talk::{Hear, Talk, in_all_forms, run};

pub(crate) fn talks() -> Vec<Talk> {
    let plain = [of_transactions(), of_strings(), of_names(), of_code()].concat();
    plain.iter().flat_map(in_all_forms).chain(of_others()).chain(of_messages()).collect()
}

fn of_transactions() -> Vec<Talk> {
    vec![
        Talk::new("listening takes effect with the commit").queries(&[
            "BEGIN",
            "LISTEN here",
            "NOTIFY here, 'by the same transaction'",
            "SELECT pg_notify('here', 'and again')",
            "COMMIT",
            "NOTIFY here, 'behind it'",
        ]),
        Talk::new("a rollback takes it back").queries(&[
            "BEGIN",
            "LISTEN here",
            "NOTIFY here",
            "ROLLBACK",
            "NOTIFY here",
            "LISTEN here",
            "BEGIN",
            "UNLISTEN here",
            "NOTIFY here, 'never sent'",
            "ROLLBACK",
            "NOTIFY here, 'still heard'",
        ]),
        Talk::new("savepoints take it back").queries(&[
            "BEGIN",
            "LISTEN a",
            "SAVEPOINT s",
            "LISTEN b",
            "NOTIFY a, 'lost'",
            "ROLLBACK TO s",
            "SAVEPOINT t",
            "LISTEN c",
            "NOTIFY c, 'kept'",
            "RELEASE t",
            "COMMIT",
            "NOTIFY a, '1'; NOTIFY b, '2'; NOTIFY c, '3'",
            "SELECT * FROM pg_listening_channels() c ORDER BY c",
        ]),
        Talk::new("a transaction that fails").queries(&[
            "BEGIN",
            "LISTEN here",
            "SELECT 1/0",
            "LISTEN there",
            "COMMIT",
            "NOTIFY here; NOTIFY there",
            "SELECT count(*) FROM pg_listening_channels()",
        ]),
        Talk::new("one transaction changes its mind").queries(&[
            "BEGIN",
            "LISTEN a",
            "UNLISTEN a",
            "LISTEN b",
            "UNLISTEN *",
            "LISTEN c",
            "NOTIFY a; NOTIFY b; NOTIFY c",
            "COMMIT",
            "SELECT pg_listening_channels()",
        ]),
        Talk::new("transactions that follow each other").queries(&[
            "BEGIN",
            "LISTEN here",
            "COMMIT AND CHAIN",
            "NOTIFY here, 'in the second'",
            "COMMIT",
            "BEGIN",
            "SELECT 1",
            "COMMIT",
            "BEGIN READ ONLY",
            "LISTEN there",
            "COMMIT",
            "NOTIFY there",
        ]),
        Talk::new("one that is prepared").queries(&[
            "BEGIN",
            "LISTEN here",
            "PREPARE TRANSACTION 'listens'",
            "ROLLBACK",
            "NOTIFY here",
        ]),
        Talk::new("what is the same is told once").queries(&[
            "LISTEN here",
            "LISTEN here",
            "BEGIN",
            "NOTIFY here, 'twice'",
            "NOTIFY here, 'once'",
            "NOTIFY here, 'twice'",
            "COMMIT",
            "NOTIFY here, 'twice'",
        ]),
    ]
}

fn of_strings() -> Vec<Talk> {
    vec![
        Talk::new("several in one string").queries(&[
            "LISTEN a; LISTEN b; NOTIFY a, 'x'; SELECT 1",
            "NOTIFY b; NOTIFY a",
            "UNLISTEN a; NOTIFY a; NOTIFY b",
            "LISTEN d; SELECT 1/0",
            "NOTIFY d",
            "BEGIN; LISTEN e; COMMIT; NOTIFY e, 'behind'",
            "BEGIN; LISTEN f; ROLLBACK; NOTIFY f",
            "BEGIN; LISTEN g",
            "NOTIFY g; COMMIT",
            "UNLISTEN *; LISTEN h; NOTIFY h; NOTIFY a",
        ]),
        Talk::new("listening and all else at once").changes().queries(&[
            "CREATE TABLE play.t (id int)",
            "LISTEN here; INSERT INTO play.t VALUES (1); NOTIFY here",
            "SELECT count(*) FROM play.t",
            "SET work_mem = '3MB'",
            "NOTIFY here, 'with a setting'",
            "SHOW work_mem",
            "CREATE TEMP TABLE mine (id int)",
            "LISTEN there",
            "NOTIFY here; NOTIFY there",
            "SELECT * FROM pg_listening_channels() c ORDER BY c",
            "DROP TABLE mine",
            "NOTIFY here; NOTIFY there",
            "UNLISTEN there",
            "NOTIFY here; NOTIFY there",
            "DISCARD ALL",
            "NOTIFY here; NOTIFY there",
        ]),
    ]
}

fn of_names() -> Vec<Talk> {
    let long = format!("LISTEN {}", "n".repeat(70));
    let notify = format!("NOTIFY {}, 'cut'", "n".repeat(63));
    let unlisten = format!("UNLISTEN {}", "n".repeat(66));
    vec![
        Talk::new("names of channels").queries(&[
            "LISTEN Here",
            "NOTIFY HERE",
            "LISTEN \"Here\"",
            "NOTIFY \"Here\"",
            "LISTEN \"a \"\"quoted\"\" one; and more\"",
            "NOTIFY \"a \"\"quoted\"\" one; and more\", 'it''s'",
            "LISTEN U&\"\\0061bc\"",
            "NOTIFY abc, E'new\\nline'",
            "LISTEN \"Größe\"",
            "NOTIFY \"Größe\", 'groß'",
            "LISTEN \"\"",
            "LISTEN",
            "LISTEN 'text'",
            "LISTEN a.b",
            "LISTEN listen",
            "NOTIFY listen",
            "SELECT pg_notify('', 'x')",
        ]),
        Talk::new("long names and payloads").queries(&[
            &long,
            &notify,
            &unlisten,
            &notify,
            "LISTEN here",
            "SELECT pg_notify('here', repeat('x', 7999))",
            "SELECT pg_notify('here', repeat('x', 8000))",
            "SELECT pg_notify(repeat('n', 64), 'x')",
        ]),
    ]
}

fn of_code() -> Vec<Talk> {
    vec![
        Talk::new("triggers and functions notify").changes().queries(&[
            "CREATE TABLE play.t (id int)",
            "CREATE FUNCTION play.f() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_notify('rows', TG_OP || ' ' || NEW.id); RETURN NEW; END $$",
            "CREATE TRIGGER f AFTER INSERT OR UPDATE ON play.t FOR EACH ROW EXECUTE FUNCTION play.f()",
            "LISTEN rows",
            "INSERT INTO play.t VALUES (1), (2)",
            "UPDATE play.t SET id = 3 WHERE id = 1",
            "BEGIN",
            "INSERT INTO play.t VALUES (4)",
            "SAVEPOINT s",
            "INSERT INTO play.t VALUES (5)",
            "ROLLBACK TO s",
            "COMMIT",
            "DO $$ BEGIN PERFORM pg_notify('rows', 'by a block'); END $$",
            "SELECT id, pg_notify('rows', id::text) FROM play.t ORDER BY id",
        ]),
        Talk::new("code listens").queries(&[
            "LISTEN seen",
            "DO $$ BEGIN EXECUTE 'LISTEN hidden'; END $$",
            "NOTIFY seen",
            "NOTIFY hidden",
            "UNLISTEN seen",
            "NOTIFY seen; NOTIFY hidden",
            "UNLISTEN *",
            "NOTIFY seen; NOTIFY hidden",
        ]),
    ]
}

/// What others notify arrives where there is a place for it.
fn of_others() -> Vec<Talk> {
    vec![
        Talk::new("what others notify comes at once")
            .queries(&["LISTEN here"])
            .aside("NOTIFY here, 'one'", Hear::UpTo(b'A'))
            .aside("NOTIFY elsewhere", Hear::Nothing)
            .aside("BEGIN; NOTIFY here, 'two'; NOTIFY here, 'two'; COMMIT", Hear::UpTo(b'A'))
            .queries(&["SELECT count(*) FROM items", "NOTIFY here, 'own'"])
            .aside("NOTIFY here, 'three'", Hear::UpTo(b'A')),
        Talk::new("what others notify within a transaction comes at its end")
            .queries(&["LISTEN here", "BEGIN", "SELECT 1"])
            .aside("NOTIFY here, 'one'", Hear::Nothing)
            .queries(&["NOTIFY here, 'two'"])
            .aside("NOTIFY here, 'three'", Hear::Nothing)
            .queries(&["COMMIT", "BEGIN"])
            .aside("NOTIFY here, 'four'", Hear::Nothing)
            .queries(&["COMMIT", "BEGIN"])
            .aside("NOTIFY here, 'not wanted any more'", Hear::Nothing)
            .queries(&["UNLISTEN here", "COMMIT", "SELECT 1"]),
        Talk::new("what others notify before listening is committed is not heard")
            .queries(&["BEGIN", "LISTEN here"])
            .aside("NOTIFY here, 'too early'", Hear::Nothing)
            .queries(&["NOTIFY here, 'own'", "COMMIT"])
            .aside("NOTIFY here, 'heard'", Hear::UpTo(b'A'))
            .queries(&["BEGIN", "LISTEN there"])
            .aside("NOTIFY there, 'too early'", Hear::Nothing)
            .aside("NOTIFY here, 'in time'", Hear::Nothing)
            .queries(&["COMMIT", "SELECT 1"]),
        Talk::new("what others notify before an answer is heard with it")
            .queries(&["LISTEN here", "SELECT 1"])
            .aside("SELECT count(*) FROM items", Hear::Nothing)
            .batch(&run("SELECT 1"))
            .aside("NOTIFY here", Hear::UpTo(b'A'))
            .queries(&["COMMIT", ""]),
    ]
}

fn of_messages() -> Vec<Talk> {
    let listen = |portal: &str| [bind(portal, "l", &[]), execute(portal, 0)].concat();
    vec![
        Talk::new("listening as asyncpg does")
            .say(&[parse("l", "LISTEN here", &[]), describe_statement("l"), flush()], Hear::UpTo(b'n'))
            .batch(&[listen("")])
            .batch(&run("NOTIFY here, 'x'"))
            .batch(&[listen(""), run("NOTIFY here, 'y'").concat()]),
        Talk::new("a statement that is prepared and not executed")
            .batch(&[parse("l", "LISTEN here", &[]), describe_statement("l")])
            .batch(&run("NOTIFY here, 'nobody'"))
            .batch(&[listen("")])
            .batch(&run("NOTIFY here, 'heard'"))
            .queries(&["DISCARD ALL"])
            .batch(&run("NOTIFY here, 'nobody'")),
        Talk::new("many requests sent ahead")
            .ask(&[
                query("LISTEN here"),
                query("NOTIFY here, '1'"),
                query("SELECT 1"),
                query("NOTIFY here, '2'"),
            ])
            .ask(
                &[
                    &run("NOTIFY here, '3'")[..],
                    &[sync()],
                    &run("SELECT count(*) FROM items"),
                    &[sync(), query("UNLISTEN here"), query("NOTIFY here, '4'")],
                ]
                .concat(),
            ),
        Talk::new("an error in a batch")
            .batch(&[run("LISTEN here"), run("SELECT 1/0")].concat())
            .batch(&run("NOTIFY here"))
            .batch(&[run("LISTEN here"), run("NOTIFY here, 'a'")].concat())
            .batch(&[run("NOTIFY here, 'b'"), run("SELECT 1/0")].concat())
            .batch(&run("SELECT 1")),
        Talk::new("a copy between notifications")
            .changes()
            .queries(&["CREATE TABLE play.t (id int)", "LISTEN here"])
            .say(&[query("COPY play.t FROM STDIN")], Hear::UpTo(b'G'))
            .say(&[copy_data(b"1\n2\n"), copy_done()], Hear::Ready(1))
            .queries(&["NOTIFY here", "COPY play.t TO STDOUT", "SELECT count(*) FROM play.t"]),
    ]
}
