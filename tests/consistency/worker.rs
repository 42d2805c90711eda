//! A worker: two sessions and a connection past weir, which write the worker's own keys and read everybody's.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::{Cluster, Dice, Failure, Result};

use crate::faults::Faults;
use crate::oracle::{Key, Level, Oracle, Route, Spared};
use crate::session::{Doing, Guise, READINGS, Session, WRITINGS, Write, Writing};
use crate::shape::{Fill, Path, Reach, SHAPES, fill};

/// What all workers share.
pub(crate) struct Scene<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) oracle: &'a Oracle,
    pub(crate) faults: &'a Faults,
    /// The shapes that the servers' version has, by their numbers.
    pub(crate) shapes: &'a [usize],
    pub(crate) workers: usize,
    pub(crate) begun: Instant,
    pub(crate) over: &'a AtomicBool,
}

/// How long writes of all kinds, and those that reach certain tables only, take turns. A write that may have changed
/// anything hides what weir thinks of the others.
const TURN: Duration = Duration::from_secs(3);

impl Scene<'_> {
    /// How far writes may reach now.
    fn reach(&self) -> Reach {
        let turns = self.begun.elapsed().as_secs() / TURN.as_secs();
        if turns.is_multiple_of(2) { Reach::Tables } else { Reach::Anything }
    }
}

/// One worker. Its number is the id of all keys that it writes.
pub(crate) struct Worker<'a> {
    pub(crate) scene: &'a Scene<'a>,
    pub(crate) id: usize,
    pub(crate) level: Level,
    pub(crate) dice: Dice,
    /// Two, so that one reads what the other has just written.
    pub(crate) sessions: Vec<Session>,
    past_weir: Client,
    /// The last version that was tried, by shape.
    versions: Vec<u64>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>, id: usize, guises: &[Guise], dice: Dice) -> Result<Self> {
        let sessions = guises.iter().map(|guise| Session::begin(guise, scene.oracle.view()));
        Ok(Self {
            scene,
            id,
            level: guises[0].level,
            dice,
            sessions: sessions.collect::<Result<_>>()?,
            past_weir: scene.cluster.connect(0)?,
            versions: vec![0; SHAPES.len()],
        })
    }

    /// Works until all is over.
    pub(crate) fn work(mut self) -> Result<()> {
        while !self.scene.over.load(SeqCst) {
            let who = self.dice.index(self.sessions.len());
            let keys = match self.dice.between(0, 100) {
                0..25 => self.write(who)?,
                25..31 => self.write_past_weir()?,
                31..60 => self.transact(who)?,
                // A new session starts where any may.
                60..61 => self.renew(who).map(|()| Vec::new())?,
                61..62 => self.vanish(who).map(|()| Vec::new())?,
                _ => Vec::new(),
            };
            if keys.is_empty() {
                let keys: Vec<Key> = (0..=self.dice.index(3)).map(|_| self.any_key()).collect();
                self.read(who, &keys)?;
            } else if self.dice.percent(70) {
                // At once: what is not there yet is missed now.
                let reader = self.dice.index(self.sessions.len());
                self.read(reader, &keys)?;
            }
            sleep(Duration::from_micros(self.dice.between(500, 20_000)));
        }
        Ok(())
    }

    pub(crate) fn any_key(&mut self) -> Key {
        let shape = *self.dice.pick(self.scene.shapes);
        match self.dice.between(0, 100) {
            0..40 => Key { shape, id: self.id },
            40..70 => self.scene.oracle.latest(),
            _ => Key { shape, id: self.dice.index(self.scene.workers) },
        }
    }

    /// One to three new versions of different shapes, each written in one of the shape's ways.
    pub(crate) fn next_writes(&mut self, writing: Writing) -> Vec<Write> {
        let reach = self.scene.reach();
        let fits = |shape: &&usize| {
            let shape = &SHAPES[**shape];
            (writing != Writing::Copy || shape.copy.is_some())
                && (reach == Reach::Anything || shape.reach == reach)
        };
        let shapes: Vec<usize> = self.scene.shapes.iter().filter(fits).copied().collect();
        let at_most = if writing.alone() { 1 } else { 3 };
        let (first, count) = (self.dice.index(shapes.len()), 1 + self.dice.index(at_most));
        let shapes: Vec<usize> =
            shapes.iter().cycle().skip(first).take(count.min(shapes.len())).copied().collect();
        shapes.into_iter().map(|shape| self.next_write(shape)).collect()
    }

    fn next_write(&mut self, shape: usize) -> Write {
        self.versions[shape] += 1;
        let template = self.dice.pick(SHAPES[shape].writes);
        Write { key: Key { shape, id: self.id }, version: self.versions[shape], template }
    }

    /// Writes through weir. The keys that were written, if that was acknowledged.
    pub(crate) fn write(&mut self, who: usize) -> Result<Vec<Key>> {
        let mut writing = *self.dice.pick(&WRITINGS);
        if writing == Writing::TwoPhases && self.scene.reach() == Reach::Tables {
            writing = Writing::Transaction;
        }
        let writes = self.next_writes(writing);
        let tag = format!("w{}_{}", self.id, writes.first().map_or(0, |write| write.version));
        let tag = format!("{tag}_{}", writes.first().map_or(0, |write| write.key.shape));
        self.sends(&writes);
        let session = &mut self.sessions[who];
        match session.write(writing, &writes, &tag) {
            Ok(()) => {
                if !writing.alone() {
                    let together: Vec<_> = writes.iter().map(|write| (write.key, write.version)).collect();
                    self.scene.oracle.acknowledged_together(&together);
                }
                for write in &writes {
                    let by = (session.guise.route, Some(&mut session.view));
                    self.scene.oracle.acknowledged(write.key, write.version, by);
                }
                let tally = self.scene.oracle.tally(self.level);
                tally.writes.fetch_add(writes.len() as u64, SeqCst);
                Ok(writes.iter().map(|write| write.key).collect())
            }
            Err(failure) => {
                self.failed(who, (writing, &writes), (&failure, Spared::Yes))?;
                if writing == Writing::TwoPhases {
                    // Prepared or not: it must not keep its locks.
                    let _ = self.past_weir.query(&format!("ROLLBACK PREPARED '{tag}'"));
                }
                Ok(Vec::new())
            }
        }
    }

    fn sends(&self, writes: &[Write]) {
        writes.iter().for_each(|write| self.scene.oracle.sends(write.key, write.version));
    }

    /// Sends a write and does not live to hear of it: nobody knows whether it happened.
    fn vanish(&mut self, who: usize) -> Result<()> {
        let writes = self.next_writes(Writing::Simple);
        self.sends(&writes);
        writes.iter().for_each(|write| self.scene.oracle.vanishes(write.key, write.version));
        // The connection may be broken already.
        let _ = self.sessions[who].send(&writes);
        self.renew(who)
    }

    /// Writes as somebody does who does not know weir.
    pub(crate) fn write_past_weir(&mut self) -> Result<Vec<Key>> {
        let shape = *self.dice.pick(self.scene.shapes);
        let write = self.next_write(shape);
        self.sends(&[write]);
        let with = Fill::Literals(self.id, write.version);
        let first = SHAPES[shape].first.map(|first| fill(first, with, Path::Default));
        let sql = fill(write.template, with, Path::Default);
        for sql in first.iter().chain([&sql]) {
            self.past_weir.query(sql)?;
        }
        self.scene.oracle.acknowledged(write.key, write.version, (Route::PastWeir, None));
        Ok(vec![write.key])
    }

    /// Reads, and has the oracle weigh what was found.
    fn read(&mut self, who: usize, keys: &[Key]) -> Result<()> {
        let reading = *self.dice.pick(&READINGS);
        let dice = &mut self.dice;
        let reads: Vec<(Key, &'static str)> =
            keys.iter().map(|key| (*key, *dice.pick(SHAPES[key.shape].reads))).collect();
        let oracle = self.scene.oracle;
        let session = &mut self.sessions[who];
        let floors: Vec<_> = keys.iter().map(|key| oracle.floor(self.level, &session.view, *key)).collect();
        match session.read(reading, &reads) {
            Ok(found) => {
                if found.len() != keys.len() {
                    return Err(Failure::new(format!("{} answers to {reads:?}: {found:?}", found.len())));
                }
                let doing = Doing(&session.guise, (reading, &reads));
                for (floor, found) in floors.into_iter().zip(&found) {
                    oracle.weigh(&doing, &mut session.view, floor, found, self.scene.faults);
                }
                Ok(())
            }
            Err(failure) => self.failed(who, (reading, &reads), (&failure, Spared::Yes)),
        }
    }

    /// A client was told of a failure. What it was in the middle of is given up; what it wrote may be there or not.
    pub(crate) fn failed(
        &mut self,
        who: usize,
        doing: impl std::fmt::Debug,
        why: (&Failure, Spared),
    ) -> Result<()> {
        let (failure, spared) = why;
        let session = &mut self.sessions[who];
        self.scene.oracle.failed(&Doing(&session.guise, doing), failure, spared, self.scene.faults);
        let lives = matches!(failure, Failure::Server(error) if error.severity() == "ERROR");
        if lives && session.recover().is_ok() { Ok(()) } else { self.renew(who) }
    }

    /// Another session in this one's place. It has written and seen nothing.
    fn renew(&mut self, who: usize) -> Result<()> {
        let view = self.scene.oracle.view();
        self.sessions[who] = Session::begin(&self.sessions[who].guise, view)?;
        Ok(())
    }
}
