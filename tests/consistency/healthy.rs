//! What the promises cost when nothing is wrong: how many reads are still served by replicas.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login};
use harness::{Cluster, Dice, Options, Result, Weir, wait_for};

use crate::WEIR;
use crate::faults::{EACH, Faults, REPLICAS};

const TABLES: usize = 20;
const ROWS: u64 = 100;
const SESSIONS: usize = 40;

/// How long one level is measured.
const TIME: Duration = Duration::from_secs(10);

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn stage() -> Result<(Weir, Cluster)> {
    let cluster = Cluster::with(Options::new(2).quiet())?;
    let mut owner = cluster.connect(0)?;
    owner.query(crate::shape::HERE)?;
    for table in 0..TABLES {
        owner.query(&format!(
            "CREATE TABLE t{table} AS SELECT id, 0 AS v FROM generate_series(0, {}) AS id;
             CREATE UNIQUE INDEX ON t{table} (id)",
            ROWS - 1
        ))?;
    }
    cluster.wait_caught_up()?;
    Ok((Weir::start(WEIR, &cluster)?, cluster))
}

fn connect(weir: &Weir, level: &str) -> Result<Client> {
    let options = format!("-c weir.consistency={level}");
    Client::connect(&weir.address(), &Login::new("app", "app").parameter("options", &options))
}

/// One session of an application that is not in a hurry: nine reads to a write.
fn browse(client: &mut Client, mut dice: Dice, over: &AtomicBool, reads: &AtomicU64) -> Result<()> {
    while !over.load(SeqCst) {
        thread::sleep(Duration::from_millis(dice.between(15, 60)));
        let (table, id) = (dice.index(TABLES), dice.between(0, ROWS));
        if dice.percent(10) {
            client.query(&format!("UPDATE t{table} SET v = v + 1 WHERE id = {id}"))?;
        } else {
            client.query(&format!("SELECT v FROM t{table} WHERE id = {id}"))?;
            reads.fetch_add(1, SeqCst);
        }
    }
    Ok(())
}

/// The percentage of reads that replicas answered.
fn share_on_replicas(weir: &Weir, level: &str) -> Result<f64> {
    let on_replicas = || -> Result<f64> {
        let metrics = weir.metrics()?;
        Ok(metrics.sum("weir_requests_total", &[("route", "replica")])
            - metrics.sum("weir_reruns_total", &[]))
    };
    let (over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut clients = (0..SESSIONS).map(|_| connect(weir, level)).collect::<Result<Vec<_>>>()?;
    let before = on_replicas()?;
    thread::scope(|scope| {
        let sessions: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(n, client)| {
                let (over, reads) = (&over, &reads);
                scope.spawn(move || browse(client, Dice::new(1, n as u64), over, reads))
            })
            .collect();
        thread::sleep(TIME);
        over.store(true, SeqCst);
        sessions.into_iter().try_for_each(|session| session.join().unwrap())
    })?;
    let (served, reads) = (on_replicas()? - before, reads.load(SeqCst) as f64);
    let share = 100.0 * served / reads;
    eprintln!("{level}: replicas served {served} of {reads} reads, {share:.1} %");
    Ok(share)
}

/// What half of so many reads take at the most, in microseconds.
fn median(client: &mut Client) -> Result<u128> {
    let times = (0..200).map(|_| {
        let begun = Instant::now();
        client.query("SELECT v FROM t0 WHERE id = 1")?;
        Ok(begun.elapsed().as_micros())
    });
    let mut times = times.collect::<Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// What a read costs at each level, one after the other: while nobody writes, and while somebody does. It is printed, and no
/// figure is demanded: that depends on the machine.
#[test]
fn what_levels_cost_is_told() -> Result<()> {
    let _turn = crate::turn();
    let (weir, _cluster) = stage()?;
    let over = AtomicBool::new(false);
    let mut writer = connect(&weir, "session")?;
    let levels = ["eventual", "global", "strong"];
    let mut clients = levels.iter().map(|level| connect(&weir, level)).collect::<Result<Vec<_>>>()?;
    let mut told = |when: &str| -> Result<()> {
        for (level, client) in levels.iter().zip(&mut clients) {
            eprintln!("{level}, {when}: a read takes {} us", median(client)?);
        }
        Ok(())
    };
    told("nobody writes")?;
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            while !over.load(SeqCst) {
                writer.query("UPDATE t1 SET v = v + 1 WHERE id = 1")?;
            }
            Ok::<_, harness::Failure>(())
        });
        let told = told("somebody writes");
        over.store(true, SeqCst);
        writing.join().unwrap().and(told)
    })
}

#[test]
fn healthy_replicas_serve_most_reads() -> Result<()> {
    let _turn = crate::turn();
    let (weir, _cluster) = stage()?;
    for (level, least) in [("session", 90.0), ("global", 70.0)] {
        let share = share_on_replicas(&weir, level)?;
        assert!(share >= least, "{share:.1} % of the reads at {level} were served by replicas");
    }
    Ok(())
}

/// No fault leaves a mark: after each one, on one replica or on both, both serve reads again.
#[test]
fn reads_return_to_replicas_that_are_whole_again() -> Result<()> {
    let _turn = crate::turn();
    let (weir, cluster) = stage()?;
    let faults = Faults::default();
    for fault in EACH {
        thread::scope(|scope| {
            let hit = REPLICAS.map(|replica| {
                let (faults, cluster) = (&faults, &cluster);
                scope.spawn(move || faults.inflict(cluster, replica, fault))
            });
            // Something that they miss meanwhile.
            connect(&weir, "session")?.query("UPDATE t0 SET v = v + 1")?;
            hit.into_iter().try_for_each(|hit| hit.join().unwrap())
        })?;
        for level in ["session", "global", "strong"] {
            let mut seen = Vec::new();
            wait_for(&format!("both replicas to serve {level} after {fault:?}"), PATIENCE, || {
                let mut client = connect(&weir, level)?;
                client.query("UPDATE t0 SET v = v + 1 WHERE id = 0")?;
                let answer = client.query("SELECT server, v FROM here, t0 WHERE id = 0")?;
                seen.push(answer.value().to_owned());
                let both = ["replica1", "replica2"].iter().all(|name| seen.iter().any(|seen| seen == name));
                Ok(both.then_some(()))
            })?;
        }
    }
    Ok(())
}
