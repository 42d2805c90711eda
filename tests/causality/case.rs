//! One way to write, and what must be read after it.

use std::fmt::Debug;

use harness::client::{Client, Message, front};
use harness::{Failure, Options, Result, wait_for};

use crate::stage::{Look, PATIENCE, REPLICA, Stage, WAYS};

/// A write, and a read whose answer changes with it.
pub(crate) struct Case {
    /// Names its tables as well: no two cases share one.
    pub(crate) name: &'static str,
    pub(crate) tables: &'static str,
    /// What somebody says while the replica still holds everything.
    earlier: &'static [&'static str],
    says: Vec<Say>,
    /// What a reader says first.
    reader: &'static str,
    read: &'static str,
    before: &'static str,
    after: &'static str,
    writes: Writes,
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Data,
    /// A definition with code in it: whatever names anything is read on the primary until the catalog has been read.
    Code,
}

/// What the writer does next.
pub(crate) enum Say {
    /// Sends messages in one write; none of them may fail.
    Ask(Vec<Vec<u8>>),
    /// Sends messages in one write, of which the last fails.
    Fail(Vec<Vec<u8>>),
    /// Copies one line into a table.
    Copy(&'static str, &'static str),
}

impl Case {
    /// The read's answer is 0 before the write and 1 after it, unless something else is said.
    pub(crate) fn new(name: &'static str, tables: &'static str, read: &'static str) -> Self {
        Self {
            name,
            tables,
            earlier: &[],
            says: Vec::new(),
            reader: "",
            read,
            before: "0",
            after: "1",
            writes: Writes::Data,
        }
    }

    /// The writer sends these statements, each as a simple query that is answered before the next.
    pub(crate) fn queries(mut self, statements: &[&str]) -> Self {
        self.says.extend(statements.iter().map(|sql| Say::Ask(vec![front::query(sql)])));
        self
    }

    /// These statements have been run before: what weir has learned of them counts.
    pub(crate) fn earlier(mut self, statements: &'static [&'static str]) -> Self {
        self.earlier = statements;
        self
    }

    pub(crate) fn say(mut self, say: Say) -> Self {
        self.says.push(say);
        self
    }

    pub(crate) fn turns(mut self, before: &'static str, after: &'static str) -> Self {
        (self.before, self.after) = (before, after);
        self
    }

    /// What is written brings code.
    pub(crate) fn defines(mut self) -> Self {
        self.writes = Writes::Code;
        self
    }

    pub(crate) fn reader(mut self, statement: &'static str) -> Self {
        self.reader = statement;
        self
    }

    /// Plays it; what was read that should not have been. The replica is held back meanwhile, and has caught up at the
    /// end.
    pub(crate) fn play(&self, stage: &Stage) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut somebody = self.client(stage, "session")?;
        self.earlier.iter().try_for_each(|sql| somebody.query(sql).map(drop))?;
        // Only once the replica is known to hold everything does a wrong answer come from what follows.
        let mut global = self.client(stage, "global")?;
        let value = stage.wait_served_by_replica(&mut global, self.read)?;
        self.expect(&mut wrong, "before the write", value.as_str(), self.before);
        let mut writer = self.client(stage, "session")?;
        stage.cluster.pause_replay(REPLICA)?;
        self.says.iter().try_for_each(|say| say.say(&mut writer))?;
        let careless = Look { value: self.before.to_owned(), on: vec![REPLICA] };
        if self.writes == Writes::Code {
            let mut anybody = self.client(stage, "eventual")?;
            wait_for("the definition to be known", PATIENCE, || {
                let look = stage.look_by(&mut anybody, WAYS[0], self.read)?;
                Ok((look == careless).then_some(()))
            })?;
        }
        for way in WAYS {
            for (who, level) in [("who asks for nothing", "eventual"), ("a stranger", "session")] {
                let look = stage.look_by(&mut self.client(stage, level)?, way, self.read)?;
                self.expect(&mut wrong, &format!("{who}, {way:?}"), &look, &careless);
            }
            for (who, client) in [("the writer", &mut writer), ("somebody at global", &mut global)] {
                let value = stage.look_by(client, way, self.read)?.value;
                self.expect(&mut wrong, &format!("{who}, {way:?}"), value.as_str(), self.after);
            }
            let value = stage.look_by(&mut self.client(stage, "strong")?, way, self.read)?.value;
            self.expect(&mut wrong, &format!("somebody at strong, {way:?}"), value.as_str(), self.after);
        }
        stage.catch_up()?;
        let value = stage.wait_served_by_replica(&mut global, self.read)?;
        self.expect(&mut wrong, "when the replica has caught up", value.as_str(), self.after);
        Ok(wrong)
    }

    fn client(&self, stage: &Stage, level: &str) -> Result<Client> {
        let mut client = stage.client(level)?;
        if !self.reader.is_empty() {
            client.query(self.reader)?;
        }
        Ok(client)
    }

    fn expect<T: PartialEq + Debug + ?Sized>(
        &self,
        wrong: &mut Vec<String>,
        who: &str,
        got: &T,
        expected: &T,
    ) {
        if got != expected {
            wrong.push(format!("{}: {who}: {got:?} instead of {expected:?}", self.name));
        }
    }
}

impl Say {
    fn say(&self, client: &mut Client) -> Result<()> {
        match self {
            Say::Ask(frames) => match ask(client, frames)?.iter().find_map(Message::error) {
                Some(error) => Err(error.into()),
                None => Ok(()),
            },
            Say::Fail(frames) => match ask(client, frames)?.iter().find_map(Message::error) {
                Some(_) => Ok(()),
                None => Err(Failure::new("nothing failed")),
            },
            Say::Copy(sql, line) => {
                client.send(&[front::query(sql)])?;
                let answer = client.read()?;
                if let Some(error) = answer.error() {
                    return Err(error.into());
                }
                let heard = client.ask(&[front::copy_data(format!("{line}\n")), front::copy_done()])?;
                heard.iter().find_map(Message::error).map_or(Ok(()), |error| Err(error.into()))
            }
        }
    }
}

/// Sends messages in one write, and listens to as many ReadyForQuery as they bring about.
pub(crate) fn ask(client: &mut Client, frames: &[Vec<u8>]) -> Result<Vec<Message>> {
    client.send(frames)?;
    let mut heard = Vec::new();
    for _ in frames.iter().filter(|frame| matches!(frame.first(), Some(b'Q' | b'S'))) {
        heard.extend(client.until_ready()?);
    }
    Ok(heard)
}

/// Plays all cases on one stage, and fails with everything that went wrong.
pub(crate) fn play(cases: &[Case]) -> Result<()> {
    let tables: Vec<&str> = cases.iter().map(|case| case.tables).collect();
    let stage = Stage::with(Options::new(1), &tables.join(";\n"), |setup| setup)?;
    let only = std::env::var("WEIR_CASE").unwrap_or_default();
    let mut wrong = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        eprintln!("{}", case.name);
        wrong.extend(case.play(&stage).unwrap_or_else(|failure| vec![format!("{}: {failure}", case.name)]));
        stage.catch_up()?;
    }
    assert!(wrong.is_empty(), "{} answers are wrong\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
