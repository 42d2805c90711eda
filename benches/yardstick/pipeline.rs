//! A thousand small statements in one pipeline: what a proxy costs that must not wait between them.

use std::time::{Duration, Instant};

use harness::client::{Client, Login, front};
use harness::{CpuTime, Result};

use crate::load::Sample;
use crate::replies::Replies;
use crate::target::Target;

/// Statements of a pipeline.
pub(crate) const STATEMENTS: u32 = 1000;

/// Where a pipeline has its Syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// Behind all of it: one transaction.
    One,
    /// Behind each statement.
    Each,
}

impl Syncs {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one Sync",
            Self::Each => "a Sync each",
        }
    }

    fn readies(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Each => STATEMENTS,
        }
    }
}

/// Parse, Bind, Describe and Execute of each statement, as libpq's pipeline mode sends them.
fn pipeline(syncs: Syncs) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for n in 0..STATEMENTS {
        frames.push(front::parse("", "SELECT $1::int4", &[23]));
        frames.push(front::bind("", "", &[Some(n.to_string().as_bytes())]));
        frames.push(front::describe_portal(""));
        frames.push(front::execute("", 0));
        if syncs == Syncs::Each {
            frames.push(front::sync());
        }
    }
    if syncs == Syncs::One {
        frames.push(front::sync());
    }
    frames
}

/// Sends pipelines for `time`, one after the other. The sample's rate and latency are of pipelines, its CPU time is
/// that of a statement.
pub(crate) fn run(target: &Target, syncs: Syncs, time: Duration) -> Result<Sample> {
    let mut client = Client::connect(&target.address(), &Login::new("app", "app"))?;
    let frames = pipeline(syncs);
    let mut replies = Replies::of(&client)?;
    let mut once = || -> Result<()> {
        client.send(&frames)?;
        replies.skip(syncs.readies())
    };
    // The first one opens connections and fills caches.
    once()?;
    let (begin, before) = (Instant::now(), target.cpu());
    let mut count = 0;
    while begin.elapsed() < time {
        once()?;
        count += 1;
    }
    let seconds = begin.elapsed().as_secs_f64() / f64::from(count);
    let spent = target.cpu().since(before);
    let statements = f64::from(count) * f64::from(STATEMENTS);
    let cpu = CpuTime { user: spent.user / statements, system: spent.system / statements };
    Ok(Sample { rate: 1.0 / seconds, latency: seconds * 1e3, cpu })
}
