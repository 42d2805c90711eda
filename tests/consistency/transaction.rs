//! Transactions that read, perhaps write behind that, and end; and what must come of each statement in them.

use std::sync::atomic::Ordering::SeqCst;

use harness::client::{Message, front};
use harness::{Failure, Result};

use crate::oracle::{Floor, Found, Key, Spared, Who};
use crate::session::{Doing, Session, Writing, found, unnamed};
use crate::shape::SHAPES;
use crate::worker::Worker;

/// How one is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modes {
    Plain,
    ReadOnly,
    /// All its statements see what its first one does.
    OneSnapshot,
}

/// How one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
}

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Simple,
    Unnamed,
    Prepared,
}

const WAYS: [Way; 3] = [Way::Simple, Way::Unnamed, Way::Prepared];

/// What clients are told when a server is lost: that it ends, has crashed, starts, has closed the connection, or had to
/// choose between replay and a query.
const LOSSES: [&str; 5] = ["57P01", "57P02", "57P03", "08006", "40001"];

/// A transaction that is under way.
struct Talk {
    modes: Modes,
    end: End,
    /// What was said in it.
    said: Vec<String>,
    /// What it has written.
    written: Vec<(Key, u64)>,
    /// What none of its reads may be below, where all see the same: taken before its first statement.
    snapshot: Vec<Floor>,
    /// What was found.
    found: Vec<(Key, u64)>,
    /// What is open, and what was opened and is closed: that lives on one server.
    cursor: Option<Floor>,
    portal: Option<Floor>,
    opened: Opened,
    sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Nothing,
    Something,
}

/// How much of its end is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Commit,
}

impl Talk {
    fn written(&self, key: Key) -> Option<u64> {
        self.written.iter().rev().find(|(written, _)| *written == key).map(|(_, version)| *version)
    }

    /// Whatever has only read can be had elsewhere; what is open, and a snapshot, cannot when its server is lost.
    fn spared(&self, failure: &Failure) -> Spared {
        let lost = match failure {
            Failure::Server(error) => LOSSES.contains(&error.sqlstate()),
            _ => false,
        };
        match (self.modes, self.opened) {
            (Modes::OneSnapshot, _) | (_, Opened::Something) if lost => Spared::No,
            _ => Spared::Yes,
        }
    }
}

impl Worker<'_> {
    /// A transaction from its beginning to its end. The keys that it wrote, if that was acknowledged.
    pub(crate) fn transact(&mut self, who: usize) -> Result<Vec<Key>> {
        let modes = match self.dice.between(0, 100) {
            0..55 => Modes::Plain,
            55..75 => Modes::ReadOnly,
            _ => Modes::OneSnapshot,
        };
        let mut talk = Talk {
            modes,
            end: if self.dice.percent(65) { End::Commit } else { End::Rollback },
            said: Vec::new(),
            written: Vec::new(),
            snapshot: Vec::new(),
            found: Vec::new(),
            cursor: None,
            portal: None,
            opened: Opened::Nothing,
            sent: Sent::Nothing,
        };
        let oracle = self.scene.oracle;
        match self.talk(who, &mut talk) {
            Ok(()) => {
                oracle.tally(self.level).transactions.fetch_add(1, SeqCst);
                if modes == Modes::OneSnapshot {
                    let doing = Doing(&self.sessions[who].guise, (modes, &talk.said));
                    oracle.weigh_whole(&doing, &talk.found, self.scene.faults);
                }
                if talk.end == End::Rollback {
                    return Ok(Vec::new());
                }
                let route = self.sessions[who].guise.route;
                let view = &mut self.sessions[who].view;
                oracle.acknowledged_together(&talk.written);
                for (key, version) in &talk.written {
                    oracle.acknowledged(*key, *version, (route, Some(&mut *view)));
                }
                oracle.tally(self.level).writes.fetch_add(talk.written.len() as u64, SeqCst);
                Ok(talk.written.iter().map(|(key, _)| *key).collect())
            }
            Err(failure) => {
                if talk.sent == Sent::Nothing {
                    talk.written.iter().for_each(|(key, version)| oracle.dooms(*key, *version));
                }
                let spared = talk.spared(&failure);
                self.failed(who, (modes, &talk.said), (&failure, spared))?;
                Ok(Vec::new())
            }
        }
    }

    fn talk(&mut self, who: usize, talk: &mut Talk) -> Result<()> {
        let begin = match talk.modes {
            Modes::Plain => "BEGIN",
            Modes::ReadOnly => "BEGIN READ ONLY",
            Modes::OneSnapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let hint = self.sessions[who].hint();
        self.say(who, talk, &format!("{hint}{begin}"))?;
        let reads = 1 + self.dice.index(4);
        let writes = talk.modes == Modes::Plain && self.dice.percent(40);
        let writes_at = if writes { self.dice.index(reads + 1) } else { usize::MAX };
        for n in 0..=reads {
            let mut keys = Vec::new();
            if n == writes_at {
                self.write_within(who, talk)?;
                keys = talk.written.iter().map(|(key, _)| *key).collect();
            } else if talk.written.is_empty() && self.dice.percent(30) {
                keys = self.meanwhile(who, talk)?;
            }
            self.step(who, talk, &keys)?;
        }
        self.closes(who, talk)?;
        match talk.end {
            End::Commit => {
                talk.written.iter().for_each(|(key, version)| self.scene.oracle.sends(*key, *version));
                talk.sent = Sent::Commit;
                self.ends(who, talk, "COMMIT")
            }
            End::Rollback => self.ends(who, talk, "ROLLBACK"),
        }
    }

    /// Somebody else writes while the transaction is open.
    fn meanwhile(&mut self, who: usize, talk: &mut Talk) -> Result<Vec<Key>> {
        let keys = match self.dice.percent(70) {
            true => self.write(1 - who)?,
            false => self.write_past_weir()?,
        };
        talk.said.push(format!("(meanwhile {keys:?})"));
        Ok(keys)
    }

    /// A statement that reads, or one that has to do with where those behind it run.
    fn step(&mut self, who: usize, talk: &mut Talk, keys: &[Key]) -> Result<()> {
        if self.dice.percent(15) {
            self.say(who, talk, "SET LOCAL app.tenant = 'seven'")?;
        }
        if talk.modes == Modes::OneSnapshot && talk.snapshot.is_empty() {
            talk.snapshot = self.scene.oracle.floors(self.level, &self.sessions[who].view);
        }
        let hint = self.sessions[who].hint();
        match self.dice.between(0, 100) {
            0..8 => self.say(who, talk, &format!("{hint}SELECT set_config('app.role', 'it', true)"))?,
            8..16 if talk.cursor.is_none() => return self.opens_cursor(who, talk),
            16..24 if talk.portal.is_none() => return self.opens_portal(who, talk),
            _ => {}
        }
        let key = if keys.is_empty() { self.some_key(talk) } else { *self.dice.pick(keys) };
        let (way, read) = (*self.dice.pick(&WAYS), *self.dice.pick(SHAPES[key.shape].reads));
        let floor = self.floor(who, talk, key);
        talk.said.push(format!("{way:?} {read} ({key})"));
        let session = &mut self.sessions[who];
        let sql = session.select(key, read);
        let heard = match way {
            Way::Simple => session.ask(&[front::query(sql)])?,
            Way::Unnamed => session.ask(&[unnamed(&sql), vec![front::sync()]].concat())?,
            Way::Prepared => session.read_prepared(key, read)?,
        };
        self.weigh(who, talk, floor, &heard)
    }

    /// What was read may not have gone back. Of a snapshot, what was written together is looked at.
    fn some_key(&mut self, talk: &Talk) -> Key {
        if !talk.found.is_empty() && self.dice.percent(35) {
            return self.dice.pick(&talk.found).0;
        }
        if talk.modes == Modes::OneSnapshot && self.dice.percent(70) {
            let together = self.scene.oracle.together(self.id);
            if !together.is_empty() {
                return *self.dice.pick(&together);
            }
        }
        self.any_key()
    }

    fn floor(&self, who: usize, talk: &Talk, key: Key) -> Floor {
        let oracle = self.scene.oracle;
        match talk.snapshot.get(oracle.place(key)) {
            Some(floor) => *floor,
            None => oracle.floor(self.level, &self.sessions[who].view, key),
        }
    }

    /// Weighs one row, with which the answer begins.
    fn weigh(&mut self, who: usize, talk: &mut Talk, floor: Floor, heard: &[Message]) -> Result<()> {
        let Some(found) = found(heard).into_iter().next() else {
            return Err(Failure::new(format!("no row: {:?}", talk.said)));
        };
        let (oracle, faults) = (self.scene.oracle, self.scene.faults);
        let session = &mut self.sessions[who];
        let doing = Doing(&session.guise, (talk.modes, &talk.said));
        match talk.written(floor.key) {
            Some(version) if !floor.is_of_the_past() => {
                oracle.weigh_own(&doing, (floor.key, version), &found, faults)
            }
            // What a cursor shows is of the time before.
            Some(_) | None => oracle.weigh(&doing, &mut session.view, floor, &found, faults),
        }
        if talk.modes == Modes::OneSnapshot {
            self.same(who, talk, floor.key, &found);
        }
        talk.found.push((floor.key, found.version));
        Ok(())
    }

    /// What is read twice of one snapshot is the same.
    fn same(&self, who: usize, talk: &Talk, key: Key, found: &Found) {
        let doing: &dyn Who = &Doing(&self.sessions[who].guise, (talk.modes, &talk.said));
        if let Some((_, before)) =
            talk.found.iter().find(|(known, version)| *known == key && *version != found.version)
        {
            let what = format!("found {} of {key}, and {before} before", found.version);
            self.scene.oracle.impossible(doing, &what, self.scene.faults);
        }
    }

    fn opens_cursor(&mut self, who: usize, talk: &mut Talk) -> Result<()> {
        let key = self.any_key();
        let read = *self.dice.pick(SHAPES[key.shape].reads);
        if talk.written(key).is_some() {
            return Ok(());
        }
        let floor = self.floor(who, talk, key);
        let sql = self.sessions[who].select(key, read);
        let (hint, sql) = sql.split_at(self.sessions[who].hint().len());
        self.say(who, talk, &format!("{hint}DECLARE c CURSOR FOR {sql}"))?;
        (talk.cursor, talk.opened) = (Some(floor.of_the_past()), Opened::Something);
        Ok(())
    }

    /// A portal of two rows, of which one is fetched at once.
    fn opens_portal(&mut self, who: usize, talk: &mut Talk) -> Result<()> {
        let keys = [self.any_key(), self.any_key()];
        if keys.iter().any(|key| talk.written(*key).is_some()) {
            return Ok(());
        }
        let floors = keys.map(|key| self.floor(who, talk, key));
        let reads = keys.map(|key| *self.dice.pick(SHAPES[key.shape].reads));
        let session = &mut self.sessions[who];
        let hint = session.hint();
        let selects = [0, 1].map(|n| session.select(keys[n], reads[n])[hint.len()..].to_owned());
        let sql = format!("{hint}{}", selects.join(" UNION ALL "));
        talk.said.push(format!("portal: {sql}"));
        talk.opened = Opened::Something;
        let heard = session.ask(&[
            front::parse("", &sql, &[]),
            front::bind("p", "", &[]),
            front::execute("p", 1),
            front::sync(),
        ])?;
        talk.portal = Some(floors[1].of_the_past());
        self.weigh(who, talk, floors[0], &heard)
    }

    /// What is open is read to its end.
    fn closes(&mut self, who: usize, talk: &mut Talk) -> Result<()> {
        if let Some(floor) = talk.cursor.take() {
            talk.said.push("FETCH".to_owned());
            let heard = self.sessions[who].ask(&[front::query("FETCH ALL FROM c")])?;
            self.weigh(who, talk, floor, &heard)?;
        }
        if let Some(floor) = talk.portal.take() {
            talk.said.push("the portal's rest".to_owned());
            let heard = self.sessions[who].ask(&[front::execute("p", 0), front::sync()])?;
            self.weigh(who, talk, floor, &heard)?;
        }
        Ok(())
    }

    fn write_within(&mut self, who: usize, talk: &mut Talk) -> Result<()> {
        for write in self.next_writes(Writing::Transaction) {
            if talk.end == End::Rollback {
                self.scene.oracle.dooms(write.key, write.version);
            }
            let session = &self.sessions[who];
            let statements: Vec<String> = SHAPES[write.key.shape]
                .first
                .into_iter()
                .chain([write.template])
                .map(|template| session.literal(&write, template))
                .collect();
            talk.written.push((write.key, write.version));
            statements.iter().try_for_each(|sql| self.say(who, talk, sql))?;
        }
        Ok(())
    }

    fn say(&mut self, who: usize, talk: &mut Talk, sql: &str) -> Result<()> {
        talk.said.push(sql.to_owned());
        self.sessions[who].ask(&[front::query(sql)]).map(drop)
    }

    fn ends(&mut self, who: usize, talk: &mut Talk, sql: &str) -> Result<()> {
        talk.said.push(sql.to_owned());
        let session: &mut Session = &mut self.sessions[who];
        let heard = match self.dice.percent(50) {
            true => session.ask(&[front::query(sql)])?,
            false => session.ask(&[unnamed(sql), vec![front::sync()]].concat())?,
        };
        let tag = heard.iter().find(|message| message.tag == b'C').map(Message::text);
        match tag {
            Some(tag) if tag.trim_end_matches('\0') == sql => Ok(()),
            tag => Err(Failure::new(format!("{sql} was answered by {tag:?}"))),
        }
    }
}
