//! Clients that go on whatever happens: after an error in their session, after a closed connection over a new one.

use std::thread::sleep;
use std::time::Duration;

use harness::Failure;
use harness::client::{Address, Client, Login, Message, front};

use crate::oracle::Oracle;

/// Between two things that a client does. All of them together must leave the machine idle at times.
const PACE: Duration = Duration::from_millis(4);

/// Before a client connects again that was refused.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a client waits for an answer before it gives its connection up.
const PATIENCE: Duration = Duration::from_secs(40);

/// For whom a bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Reads of what nobody writes.
    Still,
    /// Reads of what is being written, in which all that was acknowledged must be found.
    Fresh,
    /// Transactions that read one snapshot: they cannot move to another server once they have seen it.
    Snapshot,
    Writer,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Reads by themselves, of what nobody writes or of what is being written.
    Read(Of),
    /// The same in the extended protocol.
    Prepared(Of),
    /// BEGIN, reads, COMMIT.
    Lazy(Of),
    /// BEGIN READ ONLY, reads, COMMIT.
    ReadOnly(Of),
    /// BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY, reads, COMMIT.
    Snapshot,
    /// Inserts by themselves.
    Insert,
    /// The same in the extended protocol.
    PreparedInsert,
    /// BEGIN, a read, an insert, a read, COMMIT.
    Transaction,
    /// Inserts of a session that holds an advisory lock.
    Pinned,
    /// Inserts and transactions of a session that keeps its connection.
    Kept,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Still,
    Written,
}

/// All clients of a scenario.
pub(crate) const CAST: [Sort; 15] = [
    Sort::Read(Of::Still),
    Sort::Prepared(Of::Still),
    Sort::Lazy(Of::Still),
    Sort::ReadOnly(Of::Still),
    Sort::Read(Of::Written),
    Sort::Prepared(Of::Written),
    Sort::Lazy(Of::Written),
    Sort::ReadOnly(Of::Written),
    Sort::Snapshot,
    Sort::Insert,
    Sort::PreparedInsert,
    Sort::Transaction,
    Sort::Transaction,
    Sort::Pinned,
    Sort::Kept,
];

impl Sort {
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Read(of) | Self::Prepared(of) | Self::Lazy(of) | Self::ReadOnly(of) => match of {
                Of::Still => Part::Still,
                Of::Written => Part::Fresh,
            },
            Self::Snapshot => Part::Snapshot,
            Self::Insert | Self::PreparedInsert | Self::Transaction | Self::Pinned | Self::Kept => {
                Part::Writer
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::Prepared(_) => "prepared read",
            Self::Lazy(_) => "transaction that reads",
            Self::ReadOnly(_) => "read only transaction",
            Self::Snapshot => "snapshot",
            Self::Insert => "insert",
            Self::PreparedInsert => "prepared insert",
            Self::Transaction => "transaction that writes",
            Self::Pinned => "pinned insert",
            Self::Kept => "session pooling",
        }
    }
}

/// One client at work.
pub(crate) struct Player<'a> {
    pub(crate) oracle: &'a Oracle,
    pub(crate) address: Address,
    pub(crate) sort: Sort,
    pub(crate) number: usize,
    pub(crate) writers: Vec<usize>,
    client: Option<Client>,
    /// Whether it is in a transaction, as the server's last word has it.
    status: char,
    /// The last number that it has tried to write.
    tried: u64,
    turns: usize,
}

impl<'a> Player<'a> {
    pub(crate) fn new(oracle: &'a Oracle, address: Address, sort: Sort, number: usize) -> Self {
        let writers = oracle.writers();
        Self { oracle, address, sort, number, writers, client: None, status: 'I', tried: 0, turns: 0 }
    }

    /// Plays until the scenario is over.
    pub(crate) fn play(mut self) {
        while !self.oracle.is_over() {
            if self.client.is_none() && !self.connect() {
                sleep(AGAIN);
                continue;
            }
            self.turns += 1;
            if let Err((doing, failure)) = self.turn() {
                self.recover(doing, &failure);
            }
            sleep(PACE);
        }
    }

    fn connect(&mut self) -> bool {
        let database = if self.sort == Sort::Kept { "kept" } else { "app" };
        let login =
            Login::new("app", "app").database(database).parameter("application_name", self.sort.name());
        match Client::connect(&self.address, &login) {
            Ok(mut client) => {
                client.set_patience(PATIENCE);
                (self.client, self.status) = (Some(client), 'I');
            }
            Err(failure) => self.oracle.failed(self.number, "connecting", &failure),
        }
        if self.client.is_some() && self.sort == Sort::Pinned {
            // Another one each time: a server that was cut off keeps the old session's until it hears of its end.
            let lock = format!("SELECT pg_advisory_lock({}, {})", self.oracle.name(self.number), self.turns);
            let locked = self.say(&lock, "locking");
            let _ = locked.map_err(|(doing, failure)| self.recover(doing, &failure));
        }
        self.client.is_some()
    }

    /// Tells the oracle. Whoever's connection lives goes on over it, without the transaction.
    fn recover(&mut self, doing: &'static str, failure: &Failure) {
        self.oracle.failed(self.number, doing, failure);
        match failure {
            Failure::Server(error) if error.severity() == "ERROR" => {}
            Failure::Server(_) | Failure::Io(_) | Failure::Other(_) => {
                self.client = None;
                return;
            }
        }
        // Drivers do the same: what is over needs no end.
        if self.status != 'I'
            && let Err((doing, failure)) = self.say("ROLLBACK", "rolling back")
        {
            self.oracle.failed(self.number, doing, &failure);
            self.client = None;
        }
    }

    fn turn(&mut self) -> Turn<()> {
        match self.sort {
            Sort::Read(of) | Sort::Prepared(of) => self.read(of, "reading"),
            Sort::Lazy(of) => self.reads_within("BEGIN", of),
            Sort::ReadOnly(of) => self.reads_within("BEGIN READ ONLY", of),
            Sort::Snapshot => self.reads_within("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", Of::Still),
            Sort::Insert | Sort::PreparedInsert | Sort::Pinned => self.insert(),
            Sort::Transaction => self.writes_within(),
            Sort::Kept if self.turns.is_multiple_of(2) => self.insert(),
            Sort::Kept => self.writes_within(),
        }
    }

    fn reads_within(&mut self, begin: &'static str, of: Of) -> Turn<()> {
        self.say(begin, "beginning")?;
        self.read(of, "reading first in a transaction")?;
        for _ in 0..2 {
            sleep(PACE);
            self.read(of, "reading on in a transaction")?;
        }
        sleep(PACE);
        self.ends("committing what only read")
    }

    fn read(&mut self, of: Of, doing: &'static str) -> Turn<()> {
        match of {
            Of::Still => {
                let found = self.value("SELECT count(*) FROM still", doing)?;
                if found != 100 {
                    return Err((doing, Failure::new(format!("found {found} rows of 100"))));
                }
                self.oracle.answered(self.number);
            }
            Of::Written => {
                let writer = self.writers[self.turns % self.writers.len()];
                let floor = self.oracle.floor(writer);
                let name = self.oracle.name(writer);
                let sql = format!("SELECT coalesce(max(number), 0) FROM written WHERE writer = {name}");
                let found = self.value(&sql, doing)?;
                self.oracle.read(self.number, writer, floor, found);
            }
        }
        Ok(())
    }

    fn insert(&mut self) -> Turn<()> {
        let sql = self.next();
        self.say(&sql, "inserting")?;
        self.oracle.acknowledged(self.number, self.tried);
        Ok(())
    }

    /// What it has written itself it must find, and nothing less.
    fn writes_within(&mut self) -> Turn<()> {
        let number = self.number;
        self.say("BEGIN", "beginning")?;
        self.value("SELECT count(*) FROM still", "reading before it writes")?;
        let sql = self.next();
        self.say(&sql, "inserting in a transaction")?;
        sleep(PACE);
        let doing = "reading after it wrote";
        let sql = format!("SELECT max(number) FROM written WHERE writer = {}", self.oracle.name(number));
        let found = self.value(&sql, doing)?;
        if found != self.tried {
            return Err((doing, Failure::new(format!("wrote {} and found {found}", self.tried))));
        }
        self.ends("committing")?;
        self.oracle.acknowledged(number, self.tried);
        Ok(())
    }

    fn ends(&mut self, doing: &'static str) -> Turn<()> {
        match self.say("COMMIT", doing)? {
            heard if heard.iter().any(|message| message.tag == b'C' && message.text() == "COMMIT") => Ok(()),
            heard => Err((doing, Failure::new(format!("COMMIT was answered by {heard:?}")))),
        }
    }

    fn next(&mut self) -> String {
        self.tried += 1;
        let name = self.oracle.name(self.number);
        format!("INSERT INTO written (writer, number) VALUES ({name}, {})", self.tried)
    }

    fn value(&mut self, sql: &str, doing: &'static str) -> Turn<u64> {
        let heard = self.say(sql, doing)?;
        let value = heard.iter().find(|message| message.tag == b'D').and_then(|row| row.text_row().pop()?);
        let number = value.as_deref().and_then(|value| value.parse().ok());
        number.ok_or_else(|| (doing, Failure::new(format!("{sql} was answered by {heard:?}"))))
    }

    fn say(&mut self, sql: &str, doing: &'static str) -> Turn<Vec<Message>> {
        let client = self.client.as_mut().ok_or_else(|| (doing, Failure::new("no connection")))?;
        let frames = match self.sort {
            Sort::Prepared(_) | Sort::PreparedInsert => {
                vec![
                    front::parse("", sql, &[]),
                    front::bind("", "", &[]),
                    front::execute("", 0),
                    front::sync(),
                ]
            }
            _ => vec![front::query(sql)],
        };
        let heard = client.ask(&frames).map_err(|failure| (doing, failure))?;
        self.status = heard.last().and_then(Message::status).unwrap_or('I');
        match heard.iter().find_map(Message::error) {
            Some(error) => Err((doing, error.into())),
            None => Ok(heard),
        }
    }
}

/// What became of something, or what was being done and why it failed.
type Turn<T> = std::result::Result<T, (&'static str, Failure)>;
