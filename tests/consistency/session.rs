//! One session of a client: how it says its level, how it writes and how it reads.

use std::collections::HashMap;
use std::fmt;

use harness::client::{Address, Client, Login, Message, front};
use harness::{Failure, Result};

use crate::oracle::{Found, Key, Level, Route, View, Who};
use crate::shape::{Fill, Path, SHAPES, fill};

/// Who a session is, and what it does before anything else.
#[derive(Clone, Debug)]
pub(crate) struct Guise {
    pub(crate) number: usize,
    pub(crate) address: Address,
    pub(crate) login: Login,
    pub(crate) level: Level,
    pub(crate) said: Said,
    pub(crate) path: Path,
    /// How its writes get to the primary, as the first copy of weir sees it.
    pub(crate) route: Route,
}

/// Where a session says its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Startup,
    Set,
    /// In front of every statement that reads; otherwise the session asks for nothing.
    Hint,
}

/// How versions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Simple,
    Unnamed,
    Prepared,
    Transaction,
    Pipeline,
    ExtendedPipeline,
    OneString,
    Copy,
    TwoPhases,
}

pub(crate) const WRITINGS: [Writing; 9] = [
    Writing::Simple,
    Writing::Unnamed,
    Writing::Prepared,
    Writing::Transaction,
    Writing::Pipeline,
    Writing::ExtendedPipeline,
    Writing::OneString,
    Writing::Copy,
    Writing::TwoPhases,
];

/// How versions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Simple,
    Unnamed,
    Prepared,
    /// All of them in one statement.
    Join,
    ReadOnly,
    ReadOnlyPipeline,
    Transaction,
}

pub(crate) const READINGS: [Reading; 7] = [
    Reading::Simple,
    Reading::Unnamed,
    Reading::Prepared,
    Reading::Join,
    Reading::ReadOnly,
    Reading::ReadOnlyPipeline,
    Reading::Transaction,
];

/// One version of one key, and the template of the statement that writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) version: u64,
    pub(crate) template: &'static str,
}

/// A session that is logged in.
pub(crate) struct Session {
    pub(crate) guise: Guise,
    pub(crate) view: View,
    client: Client,
    prepared: HashMap<String, String>,
}

impl Session {
    pub(crate) fn begin(guise: &Guise, view: View) -> Result<Self> {
        let level = guise.level.as_str();
        let startup = |level: &str| format!("-c weir.consistency={level} -c weir.max_staleness=off");
        let login = match guise.said {
            Said::Startup => guise.login.clone().parameter("options", &startup(level)),
            Said::Hint => guise.login.clone().parameter("options", &startup("eventual")),
            Said::Set => guise.login.clone(),
        };
        let mut client = Client::connect(&guise.address, &login)?;
        if guise.said == Said::Set {
            client.query(&format!("SET weir.consistency = '{level}'"))?;
            client.query("SET weir.max_staleness = 'off'")?;
        }
        if guise.path == Path::Inner {
            client.query("SET search_path = inner_one, public")?;
        }
        Ok(Self { guise: guise.clone(), view, client, prepared: HashMap::new() })
    }

    /// Writes, and returns once the acknowledgement has been read. Where ways are [`Writing::alone`], one at a time.
    pub(crate) fn write(&mut self, writing: Writing, writes: &[Write], tag: &str) -> Result<()> {
        for write in writes {
            if let Some(first) = SHAPES[write.key.shape].first {
                self.ask(&[front::query(self.literal(write, first))])?;
            }
        }
        let statements: Vec<String> =
            writes.iter().map(|write| self.literal(write, write.template)).collect();
        let in_transaction = || -> Vec<&str> {
            ["BEGIN"].into_iter().chain(statements.iter().map(String::as_str)).chain(["COMMIT"]).collect()
        };
        match writing {
            Writing::Simple => self.one_by_one(&statements),
            Writing::Unnamed => {
                let mut batches = statements.iter().map(|sql| [unnamed(sql), vec![front::sync()]].concat());
                batches.try_for_each(|batch| self.ask(&batch).map(drop))
            }
            Writing::Prepared => writes.iter().try_for_each(|write| {
                let sql = fill(write.template, Fill::Parameters, self.guise.path);
                let parameters = [write.key.id.to_string(), write.version.to_string()];
                self.execute(&sql, &parameters).map(drop)
            }),
            Writing::Transaction => self.one_by_one(&in_transaction()),
            Writing::Pipeline => {
                self.ask(&in_transaction().iter().map(front::query).collect::<Vec<_>>()).map(drop)
            }
            Writing::ExtendedPipeline => {
                let mut frames: Vec<_> = in_transaction().iter().flat_map(|sql| unnamed(sql)).collect();
                frames.push(front::sync());
                self.ask(&frames).map(drop)
            }
            Writing::OneString => {
                self.ask(&[front::query(format!("SELECT 1; {}", statements.join("; ")))]).map(drop)
            }
            Writing::Copy => writes.iter().try_for_each(|write| self.copy(write)),
            Writing::TwoPhases => {
                let prepare = format!("PREPARE TRANSACTION '{tag}'");
                let begin = ["BEGIN"].into_iter().chain(statements.iter().map(String::as_str));
                self.one_by_one(&begin.chain([prepare.as_str()]).collect::<Vec<_>>())?;
                self.one_by_one(&[format!("COMMIT PREPARED '{tag}'")])
            }
        }
    }

    /// Sends writes, and does not listen.
    pub(crate) fn send(&mut self, writes: &[Write]) -> Result<()> {
        let statements = |write: &Write| {
            let first = SHAPES[write.key.shape].first.into_iter();
            first
                .chain([write.template])
                .map(|sql| front::query(self.literal(write, sql)))
                .collect::<Vec<_>>()
        };
        let frames: Vec<_> = writes.iter().flat_map(statements).collect();
        self.client.send(&frames)
    }

    /// Reads the versions of keys, in this order.
    pub(crate) fn read(&mut self, reading: Reading, keys: &[(Key, &'static str)]) -> Result<Vec<Found>> {
        let hint = self.hint();
        let selects: Vec<String> = keys.iter().map(|(key, read)| self.select(*key, read)).collect();
        let begin = format!("{hint}BEGIN READ ONLY");
        match reading {
            Reading::Simple => self.each(&selects, |sql| vec![front::query(sql)]),
            Reading::Unnamed => self.each(&selects, |sql| [unnamed(sql), vec![front::sync()]].concat()),
            Reading::Prepared => {
                let read = |(key, read): &(Key, &str)| Ok(found(&self.read_prepared(*key, read)?));
                keys.iter().map(read).collect::<Result<Vec<_>>>().map(|found| found.concat())
            }
            Reading::Join => {
                let from: Vec<String> = keys
                    .iter()
                    .enumerate()
                    .map(|(n, (key, read))| format!("({}) AS q{n}", self.inner(*key, read)))
                    .collect();
                let columns: Vec<String> = (0..keys.len()).map(|n| format!("q{n}.v")).collect();
                let (columns, from) = (columns.join(", "), from.join(", "));
                let sql = format!("{hint}SELECT {columns}, here.server FROM {from}, here");
                Ok(found(&self.ask(&[front::query(sql)])?))
            }
            Reading::ReadOnly => self.within(&begin, &selects),
            Reading::ReadOnlyPipeline => {
                let statements = [&[begin], &selects[..], &["COMMIT".to_owned()]].concat();
                Ok(found(&self.ask(&statements.iter().map(front::query).collect::<Vec<_>>())?))
            }
            Reading::Transaction => self.within("BEGIN", &selects),
        }
    }

    /// Reads the version of a key by a prepared statement.
    pub(crate) fn read_prepared(&mut self, key: Key, read: &str) -> Result<Vec<Message>> {
        let inner = fill(read, Fill::Parameters, self.guise.path);
        let sql = format!("{}SELECT q.v, here.server FROM ({inner}) AS q, here", self.hint());
        self.execute(&sql, &[key.id.to_string()])
    }

    /// After an error: gives up what was begun. Fails when the session is no more.
    pub(crate) fn recover(&mut self) -> Result<()> {
        self.ask(&[front::query("ROLLBACK")]).map(drop)
    }

    fn within(&mut self, begin: &str, selects: &[String]) -> Result<Vec<Found>> {
        self.ask(&[front::query(begin)])?;
        let found = self.each(selects, |sql| vec![front::query(sql)])?;
        self.ask(&[front::query("COMMIT")])?;
        Ok(found)
    }

    fn each(&mut self, selects: &[String], frames: impl Fn(&str) -> Vec<Vec<u8>>) -> Result<Vec<Found>> {
        let answers = selects.iter().map(|sql| Ok(found(&self.ask(&frames(sql))?)));
        answers.collect::<Result<Vec<_>>>().map(|found| found.concat())
    }

    fn one_by_one(&mut self, statements: &[impl AsRef<str>]) -> Result<()> {
        statements.iter().try_for_each(|sql| self.ask(&[front::query(sql.as_ref())]).map(drop))
    }

    fn copy(&mut self, write: &Write) -> Result<()> {
        let Some(table) = SHAPES[write.key.shape].copy else {
            return Err(Failure::new("this shape is not copied to"));
        };
        self.client.send(&[front::query(format!("COPY {table} FROM STDIN"))])?;
        let begun = self.client.read()?;
        if let Some(error) = begun.error() {
            self.client.until_ready()?;
            return Err(error.into());
        }
        let line = format!("{}\t{}\n", write.key.id, write.version);
        let heard = self.client.ask(&[front::copy_data(line), front::copy_done()])?;
        heard.iter().find_map(Message::error).map_or(Ok(()), |error| Err(error.into()))
    }

    /// Runs a statement that is prepared under a name the first time.
    fn execute(&mut self, sql: &str, parameters: &[String]) -> Result<Vec<Message>> {
        let mut frames = Vec::new();
        let name = self.prepared.get(sql).cloned();
        let name = name.unwrap_or_else(|| {
            let name = format!("s{}", self.prepared.len());
            frames.push(front::parse(&name, sql, &[]));
            name
        });
        let values: Vec<Option<&[u8]>> = parameters.iter().map(|value| Some(value.as_bytes())).collect();
        frames.extend([front::bind("", &name, &values), front::execute("", 0), front::sync()]);
        let heard = self.ask(&frames);
        match &heard {
            Ok(_) => {
                self.prepared.insert(sql.to_owned(), name);
            }
            // Parse may have succeeded and the rest not, or the other way round: the name is not used again.
            Err(_) => {
                self.prepared.remove(sql);
                self.prepared.insert(format!("given up: {name}"), name);
            }
        }
        heard
    }

    /// Sends messages in one write and hears all answers; the first error, once everything has been heard.
    pub(crate) fn ask(&mut self, frames: &[Vec<u8>]) -> Result<Vec<Message>> {
        self.client.send(frames)?;
        let mut heard = Vec::new();
        for _ in frames.iter().filter(|frame| matches!(frame.first(), Some(b'Q' | b'S'))) {
            heard.extend(self.client.until_ready()?);
            // The end of the session, whatever else was asked.
            if heard.last().is_some_and(|message| message.tag == b'E') {
                break;
            }
        }
        match heard.iter().find_map(Message::error) {
            Some(error) => Err(error.into()),
            None => Ok(heard),
        }
    }

    pub(crate) fn literal(&self, write: &Write, template: &str) -> String {
        fill(template, Fill::Literals(write.key.id, write.version), self.guise.path)
    }

    fn inner(&self, key: Key, read: &str) -> String {
        fill(read, Fill::Literals(key.id, 0), self.guise.path)
    }

    pub(crate) fn select(&self, key: Key, read: &str) -> String {
        format!("{}SELECT q.v, here.server FROM ({}) AS q, here", self.hint(), self.inner(key, read))
    }

    pub(crate) fn hint(&self) -> String {
        match self.guise.said {
            Said::Hint => format!("/* weir: consistency={} */ ", self.guise.level.as_str()),
            Said::Startup | Said::Set => String::new(),
        }
    }
}

impl Writing {
    /// Whether several writes in this way are acknowledged one by one. What of them happened could not be told after an
    /// error.
    pub(crate) fn alone(self) -> bool {
        matches!(self, Writing::Simple | Writing::Unnamed | Writing::Prepared | Writing::Copy)
    }
}

/// The messages that run an unnamed statement, without the Sync.
pub(crate) fn unnamed(sql: &str) -> Vec<Vec<u8>> {
    vec![front::parse("", sql, &[]), front::bind("", "", &[]), front::execute("", 0)]
}

/// The versions in the rows of an answer; the last column says on which server. No row and NULL are version 0.
pub(crate) fn found(heard: &[Message]) -> Vec<Found> {
    let rows = heard.iter().filter(|message| message.tag == b'D').map(Message::text_row);
    let versions = |row: Vec<Option<String>>| {
        let server = row.last().cloned().flatten().unwrap_or_default();
        let versions = row.len().saturating_sub(1);
        let version = |value: Option<String>| value.and_then(|value| value.parse().ok()).unwrap_or(0);
        row.into_iter()
            .take(versions)
            .map(move |value| Found { version: version(value), server: server.clone() })
            .collect::<Vec<_>>()
    };
    rows.flat_map(versions).collect()
}

/// What a session does, as a report tells it.
pub(crate) struct Doing<'a, T>(pub(crate) &'a Guise, pub(crate) T);

impl<T: fmt::Debug> fmt::Display for Doing<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guise = self.0;
        write!(f, "session {} at {} by {:?}, {:?}", guise.number, guise.level.as_str(), guise.said, self.1)
    }
}

impl<T: fmt::Debug> Who for Doing<'_, T> {
    fn level(&self) -> Level {
        self.0.level
    }
}
