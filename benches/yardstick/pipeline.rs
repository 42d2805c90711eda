//! A thousand small statements in one pipeline: what a proxy costs that must not wait between them.

use std::io::Read;
use std::time::{Duration, Instant};

use harness::client::{Client, Login, front};
use harness::{CpuTime, Failure, Result};

use crate::pgbench::Sample;
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

/// What comes back, of which only the types are looked at: a client that makes something of each row would be what is
/// measured.
struct Replies {
    stream: harness::client::Stream,
    received: Vec<u8>,
}

impl Replies {
    fn of(client: &Client) -> Result<Self> {
        Ok(Self { stream: client.stream().try_clone()?, received: Vec::new() })
    }

    /// Reads up to so many ReadyForQuery.
    fn skip(&mut self, mut readies: u32) -> Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        while readies > 0 {
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(Failure::new("the connection ended in the middle of a pipeline"));
            }
            self.received.extend_from_slice(&chunk[..n]);
            let mut at = 0;
            while let Some(([tag, length @ ..], _)) = self.received[at..].split_first_chunk::<5>() {
                let end = at + 1 + u32::from_be_bytes(*length) as usize;
                if end > self.received.len() {
                    break;
                }
                if *tag == b'E' {
                    let words = String::from_utf8_lossy(&self.received[at..end]).into_owned();
                    return Err(Failure::new(format!("an error in the pipeline: {words}")));
                }
                readies = readies.saturating_sub(u32::from(*tag == b'Z'));
                at = end;
            }
            self.received.drain(..at);
        }
        Ok(())
    }
}
