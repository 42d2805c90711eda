//! What happens to the replicas.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Cluster, Dice, Result, Stop};

use crate::oracle::locked;

/// The replicas, by the cluster's numbers.
pub(crate) const REPLICAS: [usize; 2] = [1, 2];

/// Something that happens to one replica and is over after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Replay stands still; what was replayed can be read.
    Pause(Duration),
    /// Commits are replayed this much later than they happened, for the same time.
    Delay(Duration),
    /// A clean end and a new start.
    Restart,
    /// A crash and, after a while, a new start from an earlier position.
    Crash(Stop, Duration),
    /// Nothing is answered, and no connection is closed.
    Freeze(Duration),
    /// All of weir's connections are ended, and the server lives on.
    Disconnect,
}

/// One of each kind.
pub(crate) const EACH: [Fault; 6] = [
    Fault::Pause(Duration::from_millis(500)),
    Fault::Delay(Duration::from_millis(500)),
    Fault::Restart,
    Fault::Crash(Stop::Immediate, Duration::from_millis(300)),
    Fault::Freeze(Duration::from_millis(700)),
    Fault::Disconnect,
];

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    log: Mutex<Vec<(Instant, String)>>,
    over: AtomicBool,
}

impl Faults {
    /// Notes something for who reads a report.
    pub(crate) fn note(&self, what: String) {
        locked(&self.log).push((Instant::now(), what));
    }

    /// What has happened since then, with how long ago that was.
    pub(crate) fn since(&self, then: Option<Instant>) -> Vec<String> {
        let log = locked(&self.log);
        let late = log.iter().filter(|(at, _)| then.is_none_or(|then| *at >= then));
        late.map(|(at, what)| format!("{:>5} ms ago: {what}", at.elapsed().as_millis())).collect()
    }

    pub(crate) fn count(&self) -> usize {
        locked(&self.log).len()
    }

    /// Ends [`Faults::happen`] after the fault that happens now.
    pub(crate) fn end(&self) {
        self.over.store(true, SeqCst);
    }

    /// Faults and quiet times in turns, until the end; all are over when this returns.
    pub(crate) fn happen(&self, cluster: &Cluster, mut dice: Dice) -> Result<()> {
        while !self.over.load(SeqCst) {
            match dice.between(0, 100) {
                // Mostly one replica is whole.
                0..65 => self.inflict(cluster, *dice.pick(&REPLICAS), any(&mut dice))?,
                65..95 => {
                    let (one, other) = (any(&mut dice), any(&mut dice));
                    let apart = Duration::from_millis(dice.between(0, 300));
                    self.inflict_both(cluster, (one, other), apart)?;
                }
                // Later crashes go back to here: a crash should lose something, and not take long to recover from.
                _ => [0, 1, 2]
                    .into_iter()
                    .try_for_each(|server| cluster.sql(server, "CHECKPOINT").map(drop))?,
            }
            thread::sleep(Duration::from_millis(dice.between(50, 1200)));
        }
        Ok(())
    }

    fn inflict_both(&self, cluster: &Cluster, faults: (Fault, Fault), apart: Duration) -> Result<()> {
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                thread::sleep(apart);
                self.inflict(cluster, REPLICAS[1], faults.1)
            });
            let one = self.inflict(cluster, REPLICAS[0], faults.0);
            one.and(other.join().unwrap())
        })
    }

    /// One fault from its beginning to its end.
    pub(crate) fn inflict(&self, cluster: &Cluster, replica: usize, fault: Fault) -> Result<()> {
        let name = cluster.name(replica);
        self.note(format!("{name}: {fault:?}"));
        match fault {
            Fault::Pause(time) => {
                cluster.pause_replay(replica)?;
                thread::sleep(time);
                cluster.resume_replay(replica)?;
            }
            Fault::Delay(time) => {
                cluster.set(replica, "recovery_min_apply_delay", &format!("'{}ms'", time.as_millis()))?;
                thread::sleep(time);
                cluster.set(replica, "recovery_min_apply_delay", "0")?;
            }
            Fault::Restart => {
                cluster.stop(replica, Stop::Fast)?;
                cluster.restart(replica)?;
            }
            Fault::Crash(how, time) => {
                cluster.stop(replica, how)?;
                thread::sleep(time);
                cluster.restart(replica)?;
            }
            Fault::Freeze(time) => {
                let frozen = cluster.freeze(replica);
                thread::sleep(time);
                // Whatever came of that: a frozen process cannot even be stopped.
                cluster.thaw(replica)?;
                frozen?;
            }
            Fault::Disconnect => {
                let clients = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
                let sql =
                    format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {clients}");
                cluster.sql(replica, &sql)?;
            }
        }
        self.note(format!("{name}: {fault:?} is over"));
        Ok(())
    }
}

fn any(dice: &mut Dice) -> Fault {
    let time = Duration::from_millis(dice.between(100, 1300));
    match dice.between(0, 100) {
        0..30 => Fault::Pause(time),
        30..55 => Fault::Delay(time),
        55..65 => Fault::Restart,
        65..75 => Fault::Crash(Stop::Immediate, time),
        75..80 => Fault::Crash(Stop::Kill, time),
        80..85 => Fault::Disconnect,
        _ => Fault::Freeze(time),
    }
}
