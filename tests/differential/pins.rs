//! State that lives on a connection: made, given up, taken back by rollbacks, and left behind by code.

use harness::client::front::*;

use crate::talk::{Hear, Talk, text};

pub(crate) fn talks() -> Vec<Talk> {
    [temporary(), locks(), channels(), cursors(), prepared(), code(), resets()].concat()
}

fn temporary() -> Vec<Talk> {
    vec![
        Talk::new("temporary tables through transactions").queries(&[
            "BEGIN",
            "CREATE TEMP TABLE mine (id int)",
            "ROLLBACK",
            "SELECT * FROM mine",
            "BEGIN",
            "SAVEPOINT a",
            "CREATE TEMP TABLE mine (id int)",
            "ROLLBACK TO a",
            "CREATE TEMP TABLE other (id int) ON COMMIT DROP",
            "COMMIT",
            "SELECT * FROM mine",
            "SELECT * FROM other",
            "CREATE TEMP TABLE mine (id int)",
            "BEGIN",
            "DROP TABLE mine",
            "ROLLBACK",
            "SELECT count(*) FROM mine",
            "ALTER TABLE mine RENAME TO yours",
            "DROP TABLE mine",
            "SELECT count(*) FROM yours",
            "DROP TABLE pg_temp.yours",
            "SELECT count(*) FROM yours",
        ]),
        Talk::new("a search path that makes tables temporary").queries(&[
            "SET search_path = pg_temp, public",
            "CREATE TABLE mine (id int)",
            "SELECT 1",
            "SELECT count(*) FROM pg_temp.mine",
            "RESET search_path",
            "SELECT count(*) FROM mine",
        ]),
        Talk::new("a temporary table by the extended protocol, by the name of a real one")
            .batch(&[
                parse("", "CREATE TEMP TABLE items AS SELECT 7 AS id", &[]),
                bind("", "", &[]),
                execute("", 0),
            ])
            .batch(&[parse("s", "SELECT id FROM items", &[]), bind("", "s", &[]), execute("", 0)])
            .queries(&["DROP TABLE items"])
            .queries(&["SELECT count(*) FROM items"]),
    ]
}

fn locks() -> Vec<Talk> {
    const HELD: &str = "SELECT objid, mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1, 2";
    vec![
        Talk::new("locks that are counted").queries(&[
            "SELECT pg_advisory_lock(7)",
            "SELECT pg_advisory_lock(7)",
            "SELECT pg_try_advisory_lock_shared(7)",
            HELD,
            "SELECT pg_advisory_unlock(7)",
            HELD,
            "SELECT pg_advisory_unlock_shared(7)",
            "SELECT pg_advisory_unlock(7)",
            HELD,
            "SELECT pg_advisory_unlock(7)",
        ]),
        Talk::new("locks outlive what they were taken in").queries(&[
            "BEGIN",
            "SELECT pg_advisory_lock(8)",
            "ROLLBACK",
            HELD,
            "SELECT pg_advisory_lock(9), 1 / (SELECT 0)",
            HELD,
            "BEGIN",
            "SELECT pg_advisory_unlock(8)",
            "ROLLBACK",
            HELD,
            "SELECT pg_advisory_unlock_all()",
            HELD,
        ]),
        Talk::new("locks by parameter")
            .batch(&[
                parse("l", "SELECT pg_advisory_lock($1::int8)", &[]),
                bind("", "l", &[text("11")]),
                execute("", 0),
            ])
            .queries(&[HELD])
            .batch(&[
                parse("u", "SELECT pg_advisory_unlock($1::int8)", &[]),
                bind("", "u", &[text("11")]),
                execute("", 0),
            ])
            .queries(&[HELD]),
        Talk::new("a row limit, and then an unlock")
            .queries(&["SELECT pg_advisory_lock(12)", "SELECT pg_advisory_lock(12)"])
            .batch(&[
                parse("", "SELECT pg_advisory_unlock(12)", &[]),
                bind("", "", &[]),
                execute("", 1),
                execute("", 1),
            ])
            .queries(&[HELD]),
    ]
}

fn channels() -> Vec<Talk> {
    vec![
        Talk::new("listening through transactions")
            .queries(&[
                "BEGIN",
                "LISTEN here",
                "ROLLBACK",
                "NOTIFY here, 'nobody'",
                "BEGIN",
                "LISTEN here",
                "NOTIFY here, 'oneself'",
                "COMMIT",
                "BEGIN",
                "UNLISTEN *",
                "ROLLBACK",
                "NOTIFY here, 'still'",
                "SELECT pg_listening_channels()",
            ])
            .aside("NOTIFY here, 'from afar'", Hear::UpTo(b'A'))
            .queries(&["UNLISTEN here", "NOTIFY here, 'nobody'"]),
        Talk::new("listening beside other state")
            .queries(&["LISTEN here", "CREATE TEMP TABLE mine (id int)", "SELECT pg_advisory_lock(1)"])
            .aside("NOTIFY here, 'all the same'", Hear::UpTo(b'A'))
            .queries(&["DISCARD ALL", "SELECT pg_listening_channels()", "NOTIFY here"]),
    ]
}

fn cursors() -> Vec<Talk> {
    vec![Talk::new("cursors that are held, and closed").queries(&[
        "DECLARE a CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
        "BEGIN",
        "DECLARE b CURSOR WITH HOLD FOR SELECT 1",
        "CLOSE a",
        "ROLLBACK",
        "FETCH a",
        "FETCH b",
        "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
        "FETCH 2 FROM c",
        "CLOSE ALL",
        "FETCH c",
    ])]
}

fn prepared() -> Vec<Talk> {
    vec![Talk::new("statements prepared by SQL outlive a rollback").queries(&[
        "BEGIN",
        "PREPARE q AS SELECT 'q'",
        "ROLLBACK",
        "EXECUTE q",
        "BEGIN",
        "DEALLOCATE q",
        "ROLLBACK",
        "EXECUTE q",
        "PREPARE l (int8) AS SELECT pg_advisory_lock($1)",
        "EXECUTE l (3)",
        "DEALLOCATE l",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    ])]
}

fn code() -> Vec<Talk> {
    vec![
        Talk::new("functions that leave something").changes().queries(&[
            "CREATE FUNCTION play.become(who text) RETURNS void LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config('app.who', who, false); PERFORM pg_advisory_lock(4); END $$",
            "SELECT play.become('a')",
            "SELECT current_setting('app.who')",
            "SELECT 1",
            "SELECT current_setting('app.who'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
            "BEGIN",
            "SELECT play.become('b')",
            "ROLLBACK",
            "SELECT current_setting('app.who')",
            "DISCARD ALL",
            "SELECT current_setting('app.who', true), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
        ]),
        Talk::new("blocks that leave something").queries(&[
            "DO $$ BEGIN SET work_mem = '3MB'; CREATE TEMP TABLE mine AS SELECT 1 AS id; END $$",
            "SHOW work_mem",
            "SELECT * FROM mine",
            "DO $$ BEGIN EXECUTE 'LISTEN ' || 'here'; END $$",
            "NOTIFY here, 'heard'",
            "DISCARD ALL",
            "SHOW work_mem",
        ]),
        Talk::new("triggers that leave something").changes().queries(&[
            "CREATE TABLE play.t (id int)",
            "CREATE FUNCTION play.f() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM set_config('app.who', 'trigger ' || NEW.id, false); RETURN NEW; END $$",
            "CREATE TRIGGER f BEFORE INSERT ON play.t FOR EACH ROW EXECUTE FUNCTION play.f()",
            "INSERT INTO play.t VALUES (5)",
            "SELECT 1",
            "SELECT current_setting('app.who')",
        ]),
        Talk::new("set_config with values that are parameters")
            .batch(&[
                parse("s", "SELECT set_config('app.who', $1, false)", &[]),
                bind("", "s", &[text("bound")]),
                execute("", 0),
            ])
            .queries(&["SELECT 1", "SELECT current_setting('app.who')", "SET app.who = 'known'", "SELECT 1"])
            .queries(&["SELECT current_setting('app.who')", "RESET app.who", "SELECT coalesce(current_setting('app.who', true), '')"]),
    ]
}

fn resets() -> Vec<Talk> {
    vec![
        Talk::new("how a pool of asyncpg resets a session that has everything").queries(&[
            "SELECT set_config('app.who', 'a' || 'b', false)",
            "SELECT pg_advisory_lock(1)",
            "LISTEN here",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CREATE TEMP TABLE mine (id int)",
            "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
            "SELECT current_setting('app.who', true)",
            "FETCH c",
            "SELECT * FROM mine",
            "SELECT pg_listening_channels()",
        ]),
        Talk::new("what DISCARD leaves and what not").queries(&[
            "CREATE TEMP TABLE mine (id int)",
            "LISTEN here",
            "PREPARE q AS SELECT 1",
            "DISCARD SEQUENCES",
            "SELECT * FROM mine",
            "DISCARD TEMP",
            "SELECT * FROM mine",
            "EXECUTE q",
            "BEGIN",
            "DISCARD ALL",
            "ROLLBACK",
            "SELECT pg_listening_channels()",
            "DISCARD ALL",
            "SELECT pg_listening_channels()",
            "EXECUTE q",
        ]),
    ]
}
