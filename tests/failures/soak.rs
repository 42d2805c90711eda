//! What must stay as it is, however long all this goes on.

use harness::{Failure, Result, Weir};

/// What weir held at one moment, when no client was there.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kb: u64,
    descriptors: usize,
    lines: usize,
}

/// A name, what is counted, and how much more of it is nothing to worry about.
type Measure = (&'static str, fn(&Held) -> u64, u64);

/// What it held after each scenario.
#[derive(Debug, Default)]
pub(crate) struct Soak(Vec<Held>);

impl Soak {
    pub(crate) fn note(&mut self, weir: &Weir) -> Result<()> {
        let lines = weir.metrics()?.lines();
        self.0.push(Held { memory_kb: weir.rss_kb(), descriptors: weir.descriptors(), lines });
        Ok(())
    }

    /// Compares the second quarter with the last one: in the first one everything happens for the first time.
    pub(crate) fn is_flat(&self) -> Result<()> {
        let quarter = self.0.len() / 4;
        if quarter < 2 {
            return Err(Failure::new("too short to tell"));
        }
        let (early, late) = (&self.0[quarter..2 * quarter], &self.0[self.0.len() - quarter..]);
        let median = |held: &[Held], what: fn(&Held) -> u64| {
            let mut all: Vec<u64> = held.iter().map(what).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        // A tenth, and what a pool more or less, or a label that is seen for the first time, makes.
        let measures: [Measure; 3] = [
            ("kB of memory", |held| held.memory_kb, 4096),
            ("file descriptors", |held| held.descriptors as u64, 20),
            ("metric lines", |held| held.lines as u64, 40),
        ];
        for (name, what, slack) in measures {
            let (before, after) = (median(early, what), median(late, what));
            eprintln!("{name}: {before} in the second quarter, {after} in the last");
            if after > before + before / 10 + slack {
                return Err(Failure::new(format!("{name} grow: from {before} to {after}: {:?}", self.0)));
            }
        }
        Ok(())
    }
}
