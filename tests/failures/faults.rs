//! What happens to servers, from its beginning to its end.

use std::thread;
use std::time::Duration;

use harness::{Cluster, Result, Signal, Stop, send_signal, wait_until};

use crate::stage::{Play, Stage};

/// How long something frozen or cut stays so.
const LONG: f64 = 10.0;

/// All clients' sessions on a server, the harness's own not.
const SESSIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND application_name <> 'harness'";

/// On which server something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Replica,
    Primary,
}

/// How a server becomes silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// SIGSTOP for all of its processes.
    Frozen,
    /// Its cable is cut.
    Cut,
}

impl Silence {
    fn begin(self, cluster: &Cluster, server: usize) -> Result<()> {
        match self {
            Self::Frozen => cluster.freeze(server),
            Self::Cut => cluster.cut(server),
        }
    }

    fn end(self, cluster: &Cluster, server: usize) -> Result<()> {
        match self {
            Self::Frozen => cluster.thaw(server),
            Self::Cut => cluster.mend(server),
        }
    }
}

/// Whether a commit waits for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    Asynchronous,
    Synchronous,
}

impl Play<'_> {
    fn choose(&mut self, whose: Whose) -> Result<usize> {
        match whose {
            Whose::Replica => self.replica(),
            Whose::Primary => Ok(self.primary()),
        }
    }

    fn goes(&mut self, whose: Whose) {
        match whose {
            Whose::Replica => self.fault(),
            Whose::Primary => self.primary_goes(),
        }
    }

    /// Waits until weir uses a server again in the role that it had.
    fn wait_back(&mut self, whose: Whose, server: usize) -> Result<()> {
        self.primary_is_back();
        match whose {
            Whose::Replica => self.stage.wait_replica(server),
            Whose::Primary => self.stage.wait_primary(server),
        }
    }

    /// From here on what is acknowledged is on a replica as well.
    fn replicate(&mut self, replication: Replication) -> Result<()> {
        if replication == Replication::Synchronous {
            for server in 0..self.cluster().size() {
                self.cluster().set(server, "synchronous_standby_names", "'ANY 1 (*)'")?;
            }
        }
        self.flow()
    }
}

/// Stopped and started again, so many times.
pub(crate) fn stops(play: &mut Play<'_>, whose: Whose, how: Stop, times: usize) -> Result<()> {
    let server = play.choose(whose)?;
    for _ in 0..times {
        play.goes(whose);
        play.stop(server, how)?;
        play.pass(0.5);
        play.cluster().restart(server)?;
        play.wait_back(whose, server)?;
        play.pass(0.3);
    }
    Ok(())
}

/// Nothing is heard of a server, and then all is as it was.
pub(crate) fn falls_silent(play: &mut Play<'_>, whose: Whose, how: Silence) -> Result<()> {
    let server = play.choose(whose)?;
    play.goes(whose);
    how.begin(play.cluster(), server)?;
    play.pass(LONG);
    // Whatever came of that: a frozen process cannot even be stopped.
    how.end(play.cluster(), server)?;
    play.wait_back(whose, server)
}

/// Replicas stand still, first one of them, then both.
pub(crate) fn replay_pauses(play: &mut Play<'_>) -> Result<()> {
    let first = play.replica()?;
    let mut order = play.replicas();
    order.sort_by_key(|replica| *replica != first);
    for replica in &order {
        play.fault();
        play.cluster().pause_replay(*replica)?;
        play.pass(1.5);
        play.flow()?;
    }
    order.into_iter().try_for_each(|replica| play.cluster().resume_replay(replica))
}

/// What replicas replay does not wait for who reads there.
pub(crate) fn replay_conflicts(play: &mut Play<'_>) -> Result<()> {
    for replica in play.replicas() {
        play.cluster().set(replica, "max_standby_streaming_delay", "0")?;
        play.cluster().set(replica, "hot_standby_feedback", "off")?;
    }
    let primary = play.primary();
    for _ in 0..20 {
        play.fault();
        let mut admin = play.cluster().admin(primary)?;
        admin.query("UPDATE still SET n = n")?;
        admin.query("VACUUM still")?;
        admin.query("BEGIN; LOCK TABLE still IN ACCESS EXCLUSIVE MODE; COMMIT")?;
        play.pass(0.1);
    }
    Ok(())
}

/// A server that is there and says that it is not ready yet (57P03).
pub(crate) fn recovers(play: &mut Play<'_>, whose: Whose) -> Result<()> {
    let (server, primary) = (play.choose(whose)?, play.primary());
    let stage = play.stage;
    let cluster = &stage.cluster;
    // Something to recover from, so that the process that does it is seen.
    cluster.sql(primary, "CHECKPOINT")?;
    cluster.sql(
        primary,
        "CREATE TABLE bulk AS SELECT g, repeat('x', 200) FROM generate_series(1, 200000) AS g",
    )?;
    cluster.sql(primary, "DROP TABLE bulk")?;
    cluster.wait_acknowledged()?;
    play.goes(whose);
    match whose {
        Whose::Replica => {
            cluster.stop(server, Stop::Kill)?;
            cluster.restart_unready(server)?;
        }
        // One process that is killed takes all others along, and the server starts anew by itself.
        Whose::Primary => {
            let sessions = cluster.processes(server, "app app")?;
            sessions.first().map_or(Ok(()), |session| send_signal(*session, Signal::KILL))?;
        }
    }
    let mut startup = Vec::new();
    wait_until(Duration::from_secs(5), || {
        startup = cluster.processes(server, "startup").unwrap_or_default();
        !startup.is_empty() && (whose == Whose::Primary || cluster.is_running(server))
    });
    // A replica has such a process all the time, but this one has just begun.
    for pid in &startup {
        send_signal(*pid, Signal::STOP)?;
    }
    play.pass(2.0);
    for pid in &startup {
        send_signal(*pid, Signal::CONT)?;
    }
    cluster.wait_answers(server)?;
    play.wait_back(whose, server)
}

/// As an operator does it: the primary is stopped, a replica promoted, and the old primary is a replica from then on.
pub(crate) fn switches_over(play: &mut Play<'_>) -> Result<()> {
    let old = play.primary();
    play.primary_goes();
    play.stop(old, Stop::Fast)?;
    play.promote()?;
    play.flow()?;
    play.cluster().rewind(old)?;
    play.stage.wait_replica(old)
}

/// The primary dies, and it takes so long until a replica is promoted.
pub(crate) fn promotes_after(play: &mut Play<'_>, seconds: f64, replication: Replication) -> Result<()> {
    play.replicate(replication)?;
    let old = play.primary();
    play.primary_goes();
    play.stop(old, Stop::Immediate)?;
    play.pass(seconds);
    play.promote()?;
    play.flow()
}

/// The primary falls silent, a replica is promoted, and the old primary, which knows of nothing, is heard of again.
pub(crate) fn deposes(play: &mut Play<'_>, how: Silence, replication: Replication) -> Result<()> {
    play.replicate(replication)?;
    let old = play.primary();
    play.primary_goes();
    how.begin(play.cluster(), old)?;
    let promoted = play.stage.wait_down(old).and_then(|()| play.promote());
    // Whoever is still waiting for it then would hear of what was in flight there.
    play.pass(3.0);
    how.end(play.cluster(), old)?;
    promoted?;
    play.pass(2.0);
    play.flow()?;
    play.cluster().rewind(old)?;
    play.stage.wait_replica(old)
}

/// Two primaries at once, both well.
pub(crate) fn splits(play: &mut Play<'_>) -> Result<()> {
    let old = play.primary();
    play.fault();
    play.promote()?;
    play.pass(2.0);
    play.flow()?;
    play.cluster().rewind(old)?;
    play.stage.wait_replica(old)
}

/// The old primary is started again as if nothing had happened.
pub(crate) fn old_primary_returns(play: &mut Play<'_>) -> Result<()> {
    play.replicate(Replication::Synchronous)?;
    let old = play.primary();
    play.primary_goes();
    play.stop(old, Stop::Immediate)?;
    play.promote()?;
    play.flow()?;
    play.cluster().restart(old)?;
    play.pass(2.0);
    play.flow()
}

/// All sessions on the primary are ended by an administrator, again and again.
pub(crate) fn terminates(play: &mut Play<'_>) -> Result<()> {
    let primary = play.primary();
    for _ in 0..8 {
        play.fault();
        play.cluster().sql(primary, SESSIONS)?;
        play.pass(0.4);
    }
    Ok(())
}

/// The primary cannot write its WAL any more.
pub(crate) fn fills_up(play: &mut Play<'_>) -> Result<()> {
    let stage = play.stage;
    let (cluster, primary) = (&stage.cluster, play.primary());
    play.primary_goes();
    cluster.stop(primary, Stop::Fast)?;
    cluster.confine_wal(primary, 512)?;
    cluster.restart(primary)?;
    play.wait_back(Whose::Primary, primary)?;
    play.flow()?;

    play.primary_goes();
    cluster.fill_up(primary)?;
    // What is there of segments is used up until the next one has no room.
    for _ in 0..40 {
        if cluster.sql(primary, "SELECT pg_switch_wal(), txid_current()").is_err() {
            break;
        }
    }
    play.pass(1.0);
    cluster.make_room(primary)?;
    if !wait_until(Duration::from_secs(2), || !cluster.is_running(primary)) {
        cluster.wait_answers(primary)?;
    } else {
        cluster.restart(primary)?;
    }
    play.wait_back(Whose::Primary, primary)?;
    play.flow()?;

    play.primary_goes();
    cluster.stop(primary, Stop::Fast)?;
    cluster.free_wal(primary)?;
    cluster.restart(primary)?;
    play.wait_back(Whose::Primary, primary)
}

/// Another database than everybody's is dropped under its clients.
pub(crate) fn drops_database(play: &mut Play<'_>) -> Result<()> {
    let (stage, primary) = (play.stage, play.primary());
    let create = "CREATE DATABASE doomed OWNER app";
    stage.cluster.sql(primary, create)?;
    stage.cluster.wait_acknowledged()?;
    let gone = thread::scope(|scope| -> Result<()> {
        for read in [true, false] {
            let mut client = stage.connect_to("doomed")?;
            let sql =
                if read { "SELECT count(*) FROM pg_class" } else { "CREATE TABLE IF NOT EXISTS t (id int)" };
            scope.spawn(move || while client.query(sql).is_ok() {});
        }
        play.pass(0.5);
        play.fault();
        stage.cluster.sql(primary, "DROP DATABASE doomed WITH (FORCE)").map(drop)
    });
    gone?;
    play.pass(1.0);
    stage.cluster.sql(primary, create)?;
    stage.cluster.wait_acknowledged()?;
    // It is another one of the same name.
    let served = wait_until(Duration::from_secs(10), || reads_and_writes(stage).is_ok());
    stage.cluster.sql(primary, "DROP DATABASE doomed WITH (FORCE)")?;
    if served { Ok(()) } else { Err(harness::Failure::new("a database that is there again is not served")) }
}

fn reads_and_writes(stage: &Stage) -> Result<()> {
    let mut client = stage.connect_to("doomed")?;
    client.query("SELECT count(*) FROM pg_class")?;
    client.query("CREATE TABLE IF NOT EXISTS t (id int)").map(drop)
}
