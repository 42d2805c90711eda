//! The long run: everybody writes and reads at every level while the replicas are held back, broken and mended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::client::{Address, Login};
use harness::{Cluster, Dice, Options, Result, Weir, WeirSetup, free_port, wait_for};

use crate::WEIR;
use crate::faults::Faults;
use crate::oracle::{LEVELS, Level, Oracle, Route};
use crate::session::{Guise, Said};
use crate::shape::{Fill, HERE, Path, SHAPES, fill};
use crate::worker::{Scene, Worker};

/// Workers at each level.
const CREW: usize = 5;

const WORKERS: usize = CREW * LEVELS.len();

/// Reads on replicas at each level, and violations at `eventual`, without which a run proves nothing.
const ENOUGH_READS: u64 = 300;
const ENOUGH_VIOLATIONS: u64 = 50;
const ENOUGH_TRANSACTIONS: u64 = 100;

/// How much longer a run may take to get there on a slow machine.
const GRACE: Duration = Duration::from_secs(240);

/// How long replicas may take to be read again when the faults are over.
const RETURN: Duration = Duration::from_secs(60);

/// The number in an environment variable.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Servers with all tables, and a weir with a second address and a second name of the database. With WEIR_CONSISTENCY_COPIES there
/// are other copies beside it, of which it knows nothing, for sessions at `strong`: that holds across all of them.
struct Stage {
    weir: Weir,
    copies: Vec<Weir>,
    cluster: Cluster,
    second_port: u16,
    shapes: Vec<usize>,
}

impl Stage {
    fn set() -> Result<Self> {
        let cluster = Cluster::with(Options::new(2).quiet().setting("max_prepared_transactions", "64"))?;
        let major = cluster.postgres().major();
        let shapes: Vec<usize> = (0..SHAPES.len()).filter(|n| SHAPES[*n].since <= major).collect();
        let mut owner = cluster.connect(0)?;
        owner.query(HERE)?;
        for shape in shapes.iter().map(|n| &SHAPES[*n]) {
            owner.query(shape.tables)?;
            for id in 0..WORKERS {
                owner.query(&fill(shape.begin, Fill::Literals(id, 0), Path::Default))?;
            }
        }
        cluster.wait_caught_up()?;
        let second_port = free_port()?;
        let setup = WeirSetup::in_front_of(&cluster, 0..3)
            .set("health", "interval", "\"200ms\"")
            .set("health", "timeout", "\"500ms\"")
            .append("[[databases]]\nname = \"alias\"\nserver_database = \"app\"");
        let second = format!("[[listeners]]\naddress = \"127.0.0.1:{second_port}\"");
        let more = number("WEIR_CONSISTENCY_COPIES").unwrap_or(1).saturating_sub(1);
        let copies = (0..more).map(|_| setup.clone().start(WEIR)).collect::<Result<_>>()?;
        let weir = setup.append(&second).start(WEIR)?;
        Ok(Self { weir, copies, cluster, second_port, shapes })
    }

    /// Whom a worker's two sessions pretend to be.
    fn guises(&self, id: usize, numbers: &AtomicU64) -> [Guise; 2] {
        let level = LEVELS[id / CREW];
        [0, 1].map(|which| {
            let number = usize::try_from(numbers.fetch_add(1, SeqCst)).unwrap_or(0);
            let said = [Said::Startup, Said::Set, Said::Hint][(id + which) % 3];
            let (port, login) = match id % CREW {
                0 => (self.second_port, Login::new("app_md5", "app_md5").database("alias")),
                1 => (self.second_port, Login::new("app", "app")),
                _ => (self.weir.port(), Login::new("app", "app")),
            };
            // What is written through another copy is written past this one.
            let elsewhere = self.copies.get(id % self.copies.len().max(1));
            let elsewhere = elsewhere.filter(|_| level == Level::Strong && which == 1);
            let port = elsewhere.map_or(port, Weir::port);
            let route = if elsewhere.is_some() { Route::PastWeir } else { Route::Weir };
            let path = if id.is_multiple_of(2) { Path::Inner } else { Path::Default };
            Guise { number, address: Address::local(port), login, level, said, path, route }
        })
    }
}

/// Prints what a run came to.
fn print(oracle: &Oracle, faults: &Faults) {
    eprintln!("level      writes  transactions  on primary  on replicas  violations  errors");
    for level in LEVELS {
        let tally = oracle.tally(level);
        let on_replicas: u64 = tally.on_replicas.iter().map(|count| count.load(SeqCst)).sum();
        eprintln!(
            "{:<9} {:>7} {:>13} {:>11} {:>12} {:>11} {:>7}",
            level.as_str(),
            tally.writes.load(SeqCst),
            tally.transactions.load(SeqCst),
            tally.on_primary.load(SeqCst),
            on_replicas,
            tally.violations.load(SeqCst),
            tally.errors.load(SeqCst),
        );
    }
    eprintln!("{} faults; {} answers that no level excuses", faults.count() / 2, oracle.impossibilities());
    oracle.reports().iter().for_each(|report| eprintln!("{report}"));
    oracle.errors().iter().for_each(|error| eprintln!("error: {error}"));
}

/// Whether something can be concluded from what there is by now.
fn is_enough(oracle: &Oracle) -> bool {
    let reads = LEVELS.iter().all(|level| {
        let on_replicas = &oracle.tally(*level).on_replicas;
        on_replicas.iter().all(|count| count.load(SeqCst) >= ENOUGH_READS)
            && oracle.tally(*level).transactions.load(SeqCst) >= ENOUGH_TRANSACTIONS
    });
    reads && oracle.tally(Level::Eventual).violations.load(SeqCst) > ENOUGH_VIOLATIONS
}

/// Waits until every level is served by every replica again.
fn wait_read_again(oracle: &Oracle) -> Result<()> {
    let counts =
        || LEVELS.map(|level| [0, 1].map(|n: usize| oracle.tally(level).on_replicas[n].load(SeqCst)));
    let before = counts();
    wait_for("reads at every level on both replicas", RETURN, || {
        let now = counts();
        let more = now.iter().flatten().zip(before.iter().flatten()).all(|(now, before)| now > before);
        Ok(more.then_some(()))
    })
}

/// Plays the run: faults until it has been long enough, then a quiet end.
fn play(stage: &Stage, oracle: &Oracle, faults: &Faults, seed: u64, time: Duration) -> Result<()> {
    let (over, numbers) = (AtomicBool::new(false), AtomicU64::new(0));
    let scene = Scene {
        cluster: &stage.cluster,
        oracle,
        faults,
        shapes: &stage.shapes,
        workers: WORKERS,
        begun: Instant::now(),
        over: &over,
    };
    let work = |id: usize| {
        let guises = stage.guises(id, &numbers);
        let worked = Worker::new(&scene, id, &guises, Dice::new(seed, id as u64)).and_then(Worker::work);
        // What one cannot go on from ends all.
        over.fetch_or(worked.is_err(), SeqCst);
        worked
    };
    thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..WORKERS).map(|id| scope.spawn(move || work(id))).collect();
        let happening = scope.spawn(|| faults.happen(&stage.cluster, Dice::new(seed, WORKERS as u64)));
        let begun = Instant::now();
        while !over.load(SeqCst) && !happening.is_finished() {
            thread::sleep(Duration::from_millis(50));
            if begun.elapsed() > time && (is_enough(oracle) || begun.elapsed() > time + GRACE) {
                break;
            }
        }
        faults.end();
        let happened = happening.join().unwrap();
        let returned = if over.load(SeqCst) { Ok(()) } else { wait_read_again(oracle) };
        over.store(true, SeqCst);
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())?;
        happened.and(returned)
    })
}

#[test]
fn no_level_is_violated_whatever_happens_to_the_replicas() -> Result<()> {
    let _turn = crate::turn();
    let time = Duration::from_secs(number("WEIR_CONSISTENCY_SECONDS").unwrap_or(60));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let seed =
        number("WEIR_CONSISTENCY_SEED").unwrap_or_else(|| u64::try_from(clock() % 1_000_000).unwrap_or(0));
    eprintln!("seed {seed}: WEIR_CONSISTENCY_SEED={seed} repeats these choices");
    let stage = Stage::set()?;
    let (oracle, faults) = (Oracle::new(SHAPES.len(), WORKERS), Faults::default());
    let played = play(&stage, &oracle, &faults, seed, time);
    print(&oracle, &faults);
    played?;
    for level in [Level::Session, Level::Global, Level::Strong] {
        let violations = oracle.tally(level).violations.load(SeqCst);
        assert_eq!(violations, 0, "violations at {}, seed {seed}", level.as_str());
    }
    assert_eq!(oracle.impossibilities(), 0, "answers that no level excuses, seed {seed}");
    // Whoever asks for nothing gets what the others are spared: the same checks would have found it there.
    let found = oracle.tally(Level::Eventual).violations.load(SeqCst);
    assert!(is_enough(&oracle), "{found} violations at eventual: too little was read to prove anything");
    assert_eq!(oracle.lost_answers(), 0, "errors that weir promises to spare its clients");
    Ok(())
}
