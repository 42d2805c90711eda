//! Who judges: what every client was told and when, and what that amounts to in the end.
//!
//! Each writer writes the numbers 1, 2, 3 ... under its own name, and notes what was acknowledged before anybody reads
//! it. So a read knows the least that it must find, and the rows at the end tell what was lost, doubled or out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::{Failure, Result};

use crate::clients::{Part, Sort};

/// A pause between two answers that is worth remembering.
const PAUSE: Duration = Duration::from_millis(50);

/// A server's processes do not all end in one instant: who writes again meanwhile, over another connection, may be told
/// again. That counts as one error.
const MOMENT: Duration = Duration::from_millis(100);

/// `[pool] primary_wait`.
const PRIMARY_WAIT: Duration = Duration::from_secs(10);

/// A time from here to there.
pub(crate) type Span = (Instant, Instant);

/// An error that a client was told of, or a connection that was closed on it.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) at: Instant,
    /// What it was doing.
    pub(crate) doing: &'static str,
    /// The SQLSTATE, or what became of the connection.
    pub(crate) kind: String,
    pub(crate) words: String,
}

/// What one client has been told.
#[derive(Debug)]
pub(crate) struct Diary {
    pub(crate) sort: Sort,
    pub(crate) answers: u64,
    /// When it had its last answer; its beginning before the first.
    last: Instant,
    pauses: Vec<Span>,
    pub(crate) troubles: Vec<Trouble>,
    /// What was acknowledged to it, and when.
    acknowledged: Vec<(u64, Instant)>,
}

/// A read that found less than was acknowledged when it began.
#[derive(Clone, Debug)]
struct Suspicion {
    at: Instant,
    reader: &'static str,
    writer: usize,
    /// The last number that had been acknowledged.
    floor: u64,
    found: u64,
}

/// What all clients of one scenario share.
#[derive(Debug)]
pub(crate) struct Oracle {
    over: AtomicBool,
    /// The first writer's name: what a server that was cut off does after the end of a scenario is none of the next one's.
    base: usize,
    diaries: Vec<Mutex<Diary>>,
    /// The last number acknowledged, by client.
    floors: Vec<AtomicU64>,
    suspicions: Mutex<Vec<Suspicion>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Oracle {
    /// For clients of these sorts, which have their places' numbers, in the scenario of this number.
    pub(crate) fn new(sorts: &[Sort], scenario: usize) -> Self {
        let begun = Instant::now();
        let diary = |sort: &Sort| Diary {
            sort: *sort,
            answers: 0,
            last: begun,
            pauses: Vec::new(),
            troubles: Vec::new(),
            acknowledged: Vec::new(),
        };
        Self {
            over: AtomicBool::new(false),
            base: scenario * sorts.len(),
            diaries: sorts.iter().map(|sort| Mutex::new(diary(sort))).collect(),
            floors: sorts.iter().map(|_| AtomicU64::new(0)).collect(),
            suspicions: Mutex::default(),
        }
    }

    /// A writer's name in the table.
    pub(crate) fn name(&self, writer: usize) -> usize {
        self.base + writer
    }

    pub(crate) fn end(&self) {
        self.over.store(true, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// A client was given what it asked for.
    pub(crate) fn answered(&self, client: usize) {
        let (mut diary, now) = (locked(&self.diaries[client]), Instant::now());
        if now - diary.last > PAUSE {
            let pause = (diary.last, now);
            diary.pauses.push(pause);
        }
        diary.last = now;
        diary.answers += 1;
    }

    /// A client's numbers up to this one are written, says the answer that it has just got.
    pub(crate) fn acknowledged(&self, client: usize, number: u64) {
        self.floors[client].fetch_max(number, SeqCst);
        locked(&self.diaries[client]).acknowledged.push((number, Instant::now()));
        self.answered(client);
    }

    pub(crate) fn failed(&self, client: usize, doing: &'static str, failure: &Failure) {
        let kind = match failure {
            Failure::Server(error) if error.severity() == "FATAL" => format!("{} FATAL", error.sqlstate()),
            Failure::Server(error) => error.sqlstate().to_owned(),
            Failure::Io(error) => format!("{:?}", error.kind()),
            Failure::Other(_) => "wrong".to_owned(),
        };
        let trouble = Trouble { at: Instant::now(), doing, kind, words: failure.to_string() };
        locked(&self.diaries[client]).troubles.push(trouble);
    }

    /// The last number of a writer that a read which begins now must find.
    pub(crate) fn floor(&self, writer: usize) -> u64 {
        self.floors[writer].load(SeqCst)
    }

    pub(crate) fn read(&self, reader: usize, writer: usize, floor: u64, found: u64) {
        if found < floor {
            let at = Instant::now();
            let reader = locked(&self.diaries[reader]).sort.name();
            locked(&self.suspicions).push(Suspicion { at, reader, writer, floor, found });
        }
        self.answered(reader);
    }

    /// The clients that have had fewer than so many answers since then.
    pub(crate) fn waiting(&self, since: &[u64], more: u64) -> Vec<usize> {
        let counts = self.answers();
        (0..counts.len()).filter(|n| counts[*n] < since[*n] + more).collect()
    }

    /// How many answers each client has had.
    pub(crate) fn answers(&self) -> Vec<u64> {
        self.diaries.iter().map(|diary| locked(diary).answers).collect()
    }

    pub(crate) fn writers(&self) -> Vec<usize> {
        (0..self.diaries.len()).filter(|n| locked(&self.diaries[*n]).sort.part() == Part::Writer).collect()
    }

    /// What it all came to, by the rows of who is the primary at the end.
    pub(crate) fn findings(&self, primary: &mut Client, times: &Times) -> Result<Findings> {
        let (least, most) = (self.base, self.base + self.diaries.len());
        let rows = primary.query(&format!(
            "SELECT writer - {least}, number FROM written WHERE writer >= {least} AND writer < {most} ORDER BY seq"
        ))?;
        let mut written: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for row in &rows.rows {
            let value = |n: usize| row[n].as_deref().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            written.entry(usize::try_from(value(0)).unwrap_or(0)).or_default().push(value(1));
        }
        let mut findings = Findings::default();
        let mut there: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for (writer, numbers) in written {
            let set: BTreeSet<u64> = numbers.iter().copied().collect();
            findings.doubled += numbers.len() - set.len();
            findings.orders.insert(writer, numbers);
            there.insert(writer, set);
        }
        for (client, diary) in self.diaries.iter().enumerate() {
            let diary = locked(diary);
            let rows = there.entry(client).or_default();
            for (_, at) in diary.acknowledged.iter().filter(|(number, _)| !rows.contains(number)) {
                let after_seen = times.seen.is_some_and(|seen| *at > seen);
                findings.lost.push(Lost { sort: diary.sort.name(), after_seen, at: times.since(*at) });
            }
            findings.acknowledged += diary.acknowledged.len();
            let order = findings.orders.remove(&client).unwrap_or_default();
            let acknowledged: BTreeSet<u64> = diary.acknowledged.iter().map(|(number, _)| *number).collect();
            findings.late += descents(order.iter().copied());
            findings.disordered += descents(order.into_iter().filter(|number| acknowledged.contains(number)));
            findings.parts.entry(diary.sort.part()).or_default().add(client, &diary, times);
        }
        // When nobody has been the primary for that long, replicas answer with what they have.
        let waited =
            |at: Instant| times.away.iter().any(|away| away.0 + PRIMARY_WAIT < at && at < away.1 + PAUSE);
        for suspicion in locked(&self.suspicions).iter().filter(|suspicion| !waited(suspicion.at)) {
            // What is lost could not be found any more; that counts as a loss, not as an old read.
            let missed = there.get(&suspicion.writer);
            let missed =
                missed.and_then(|rows| rows.range(suspicion.found + 1..=suspicion.floor).next().copied());
            if missed.is_some() {
                let Suspicion { at, reader, writer, floor, found } = suspicion;
                let at = times.since(*at);
                findings
                    .stale
                    .push(format!("+{at} ms: {reader} found {found} of writer {writer}, not {floor}"));
            }
        }
        Ok(findings)
    }
}

/// How often a number follows a greater one.
fn descents(numbers: impl Iterator<Item = u64> + Clone) -> usize {
    numbers.clone().zip(numbers.skip(1)).filter(|(before, after)| after < before).count()
}

/// When what happened, for weighing pauses and losses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// When there was no primary that could have answered.
    pub(crate) away: Vec<Span>,
    /// When weir had certainly seen the promotion.
    pub(crate) seen: Option<Instant>,
    /// The first fault.
    pub(crate) first: Option<Instant>,
    /// How many times something was done that may cost a client an error.
    pub(crate) faults: usize,
}

impl Times {
    /// How much of a pause is not excused by the primary's absence.
    fn net(&self, pause: Span) -> Duration {
        let overlap = |away: &Span| away.1.min(pause.1).saturating_duration_since(away.0.max(pause.0));
        let excused: Duration = self.away.iter().map(overlap).sum();
        (pause.1 - pause.0).saturating_sub(excused)
    }

    /// Milliseconds since the first fault.
    fn since(&self, at: Instant) -> u128 {
        self.first.map_or(0, |first| at.saturating_duration_since(first).as_millis())
    }
}

/// An acknowledged write that is not there.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) sort: &'static str,
    /// Acknowledged although weir had seen the new primary.
    pub(crate) after_seen: bool,
    /// Milliseconds from the first fault to the acknowledgement.
    pub(crate) at: u128,
}

/// A client's sort, what it was doing, and the SQLSTATE or what became of the connection.
type Kind = (&'static str, &'static str, String);

/// What one part of the clients was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) answers: u64,
    /// The longest time between two answers of one client.
    pub(crate) stall: Duration,
    /// The same without the times in which there was no primary.
    pub(crate) net_stall: Duration,
    /// Which that was, in words.
    pub(crate) stalled: String,
    /// The longest from the first fault until a client had its first error.
    pub(crate) first_word: Duration,
    /// Errors, by client.
    pub(crate) errors: BTreeMap<usize, usize>,
    /// How often what kind, and the first one's time and words.
    pub(crate) kinds: BTreeMap<Kind, (usize, String)>,
}

impl Told {
    fn add(&mut self, client: usize, diary: &Diary, times: &Times) {
        self.answers += diary.answers;
        let open = (diary.last, Instant::now());
        // Whatever was before is none of the fault's doing.
        let counts = |pause: &Span| times.first.is_none_or(|first| pause.1 > first);
        for pause in diary.pauses.iter().copied().chain([open]).filter(counts) {
            self.stall = self.stall.max(pause.1 - pause.0);
            if times.net(pause) > self.net_stall {
                self.net_stall = times.net(pause);
                let (from, to) = (times.since(pause.0), times.since(pause.1));
                self.stalled = format!("{} from +{from} ms to +{to} ms", diary.sort.name());
            }
        }
        if let (Some(first), Some(trouble)) = (times.first, diary.troubles.first()) {
            self.first_word = self.first_word.max(trouble.at.saturating_duration_since(first));
        }
        let mut before: Option<Instant> = None;
        for trouble in &diary.troubles {
            let apart = before.is_none_or(|before| trouble.at - before > MOMENT);
            *self.errors.entry(client).or_default() += usize::from(apart);
            before = Some(trouble.at);
            let key = (diary.sort.name(), trouble.doing, trouble.kind.clone());
            let words = format!("+{} ms: {}", times.since(trouble.at), trouble.words);
            self.kinds.entry(key).or_insert((0, words)).0 += 1;
        }
    }

    /// All errors.
    pub(crate) fn count(&self) -> usize {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// The most that one client had.
    pub(crate) fn most(&self) -> usize {
        self.errors.values().copied().max().unwrap_or(0)
    }

    /// Kinds in lines.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for ((sort, doing, kind), (count, words)) in &self.kinds {
            let _ = writeln!(lines, "        {count:>4} x {sort}, {doing}: {kind}; first {words}");
        }
        lines
    }
}

/// What a scenario came to.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) parts: BTreeMap<Part, Told>,
    pub(crate) acknowledged: usize,
    pub(crate) lost: Vec<Lost>,
    pub(crate) doubled: usize,
    /// Acknowledged, and out of order.
    pub(crate) disordered: usize,
    /// Out of order at all: what a client was told to be unknown may have been done after it had written more.
    pub(crate) late: usize,
    /// Each writer's numbers in the order in which they were written, until they are looked at.
    orders: BTreeMap<usize, Vec<u64>>,
    pub(crate) stale: Vec<String>,
    pub(crate) times: Times,
    /// Why it did not come to its end.
    pub(crate) broken: Option<String>,
}

impl Findings {
    pub(crate) fn lost_after_seen(&self) -> usize {
        self.lost.iter().filter(|lost| lost.after_seen).count()
    }
}
