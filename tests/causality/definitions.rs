//! Definitions that change in ways of which little is heard: whoever writes afterwards writes by the new ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::client::{Client, front};
use harness::{Options, Result, at_once, wait_for};

use crate::stage::{Look, PATIENCE, PRIMARY, REPLICA, Stage};

/// Tables of which the second is to be written by a trigger upon the first, and a function by which weir can be seen to
/// know the catalog.
const TABLES: &str = "
    CREATE TABLE named (v int); CREATE TABLE reached AS SELECT 0 AS v; CREATE TABLE one AS SELECT 1 AS x;
    CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE reached SET v = 1; RETURN NEW; END';
    CREATE FUNCTION define() RETURNS int LANGUAGE plpgsql AS
        'BEGIN CREATE TRIGGER t BEFORE INSERT ON named FOR EACH ROW EXECUTE FUNCTION act(); RETURN 1; END';
    CREATE FUNCTION known() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'";

const DEFINE: &str = "CREATE TRIGGER t BEFORE INSERT ON named FOR EACH ROW EXECUTE FUNCTION act()";

const READ: &str = "SELECT v FROM reached";

struct Scene {
    stage: Stage,
    definer: Client,
    global: Client,
    writer: Client,
}

impl Scene {
    fn set() -> Result<Self> {
        let options = Options::new(1).setting("max_prepared_transactions", "5");
        let stage = Stage::with(options, TABLES, |setup| setup)?;
        let client = |level| stage.client(level);
        let (definer, global, writer) = (client("session")?, client("global")?, client("session")?);
        let mut scene = Self { definer, global, writer, stage };
        // A load that is still under way would find what is to be defined by chance.
        scene.settle()?;
        Ok(scene)
    }

    /// Waits until weir knows the catalog again, if it has forgotten it.
    fn settle(&mut self) -> Result<()> {
        self.stage.catch_up()?;
        self.stage.wait_served_by_replica(&mut self.global, "SELECT known()")?;
        // Longer than weir takes between two readings of the catalog.
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    }

    /// Writes by the new definition and looks for it.
    fn expect_reached(mut self, way: &str) -> Result<()> {
        self.settle()?;
        self.stage.wait_served_by_replica(&mut self.global, READ)?;
        self.stage.cluster.pause_replay(REPLICA)?;
        self.writer.query("INSERT INTO named VALUES (1)")?;
        let fresh = Look { value: "1".to_owned(), on: vec![PRIMARY] };
        assert_eq!(self.stage.look(&mut self.global, READ)?, fresh, "{way}");
        assert_eq!(self.stage.look(&mut self.stage.client("eventual")?, READ)?.value, "0", "{way}");
        self.stage.catch_up()
    }
}

#[test]
fn a_definition_that_another_statement_than_its_own_commits_counts() -> Result<()> {
    let mut scene = Scene::set()?;
    for sql in ["BEGIN", DEFINE, "PREPARE TRANSACTION 'p'"] {
        scene.definer.query(sql)?;
    }
    scene.settle()?;
    scene.definer.query("COMMIT PREPARED 'p'")?;
    scene.expect_reached("COMMIT PREPARED")
}

#[test]
fn a_definition_behind_which_another_transaction_begins_counts() -> Result<()> {
    let mut scene = Scene::set()?;
    for sql in ["BEGIN", DEFINE, "COMMIT AND CHAIN"] {
        scene.definer.query(sql)?;
    }
    scene.expect_reached("COMMIT AND CHAIN")
}

#[test]
fn a_definition_that_code_makes_counts() -> Result<()> {
    let ways = [
        &["SELECT define()"][..],
        &["BEGIN", "SELECT define()", "COMMIT"],
        &["BEGIN", "SELECT x FROM one", "SELECT define() FROM one", "COMMIT AND CHAIN"],
        &["DO $$ BEGIN PERFORM define(); END $$"],
    ];
    at_once(ways, |says| {
        let mut scene = Scene::set()?;
        for sql in says {
            scene.definer.query(sql)?;
        }
        scene.expect_reached(&says.join("; "))
    })
}

#[test]
fn a_definition_of_a_client_that_has_gone_counts() -> Result<()> {
    let scene = Scene::set()?;
    let mut gone = scene.stage.client("session")?;
    gone.send(&[front::query(format!("SELECT pg_sleep(1.5); {DEFINE}"))])?;
    std::thread::sleep(Duration::from_millis(200));
    drop(gone);
    wait_for("the trigger", PATIENCE, || {
        let found = scene.stage.cluster.sql(PRIMARY, "SELECT count(*) FROM pg_trigger WHERE tgname = 't'")?;
        Ok((found.value() == "1").then_some(()))
    })?;
    scene.expect_reached("gone")
}

/// A procedure that is called all the time may change definitions all the time. Functions are believed to go on being
/// what they were, and the primary is asked for its catalog now and then, not for each call.
#[test]
fn procedures_at_a_steady_rate_cost_neither_functions_nor_the_primary() -> Result<()> {
    let stage = Stage::set(
        "CREATE TABLE q AS SELECT 0 AS v; CREATE PROCEDURE p() LANGUAGE sql AS 'UPDATE q SET v = v + 1';
         CREATE FUNCTION known() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'",
    )?;
    let mut client = stage.client("session")?;
    stage.wait_served_by_replica(&mut client, "SELECT known()")?;
    let mut caller = stage.client("session")?;
    let sessions = || -> Result<u32> {
        let sql = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
        Ok(stage.cluster.sql(PRIMARY, sql)?.value().parse().unwrap())
    };
    let before = sessions()?;
    let over = AtomicBool::new(false);
    let (calls, on_replica) = std::thread::scope(|scope| -> Result<(u32, usize)> {
        let calling = scope.spawn(|| -> Result<u32> {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                caller.query("CALL p()")?;
                calls += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(calls)
        });
        let mut on_replica = 0;
        for _ in 0..40 {
            let look = stage.look(&mut client, "SELECT known()");
            on_replica += usize::from(look.is_ok_and(|look| look.on == [REPLICA]));
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        Ok((calling.join().unwrap()?, on_replica))
    })?;
    let loads = sessions()? - before;
    assert!(calls > 100, "{calls} calls");
    assert!(on_replica >= 30, "{on_replica} of 40 reads were served by the replica");
    // Four seconds or five, and the connections of this test.
    assert!(loads <= 12, "{loads} connections for {calls} calls");
    Ok(())
}
