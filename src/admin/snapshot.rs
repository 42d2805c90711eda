//! What operators see of a running weir at one moment: what the page draws, what `weir top` draws, and what `/status.json` gives to
//! whoever wants it as JSON. `docs/operations.md` has it field by field; fields come, and none changes its meaning.
//!
//! It holds no literal, no password and no value: of statements their shapes. It is made elsewhere, and decides nothing.

use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The one who tells it.
    pub weir: Weir,
    /// Whether everything is well.
    pub verdict: Verdict,
    /// The servers, in the order of the configuration.
    pub servers: Vec<Server>,
    /// What they were asked lately.
    pub traffic: Traffic,
    /// Where reads ran, and why not on replicas.
    pub reads: Reads,
    /// Transactions by how they ran, since the start.
    pub transactions: Vec<Ran>,
    /// Pools by server, database and user; those with waiters first.
    pub pools: Vec<Pool>,
    /// Sessions that keep their connection, those that do so for longest first, 50 at most.
    pub pins: Vec<Pin>,
    /// Who is connected.
    pub clients: Clients,
    /// What has happened, the last first, 100 at most.
    pub events: Vec<Event>,
}

/// A weir.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weir {
    /// Its version.
    pub version: String,
    /// `running` or `draining`.
    pub state: String,
    /// How long it has been running, in seconds.
    pub up_seconds: u64,
    /// When this was so, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Whether everything is well, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// `well`, `attention` (it works, and somebody should look) or `trouble` (somebody cannot work).
    pub level: String,
    /// A sentence.
    pub says: String,
    /// What else is not well, a sentence each.
    pub also: Vec<String>,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its name in the configuration.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// `primary`, `replica` or `unknown`.
    pub role: String,
    /// `up`, `down` or `untried`.
    pub health: String,
    /// How old a read there may be, in milliseconds; of a replica of which that is known.
    pub staleness_ms: Option<u64>,
    /// WAL that it has not replayed, in bytes; of a replica of which that is known.
    pub lag_bytes: Option<u64>,
    /// Its share of reads, against those of the others.
    pub weight: u32,
    /// weir's connections to it.
    pub load: Load,
    /// `TLSv1_3` and the cipher, `not encrypted`, or nothing before the first connection.
    pub encryption: Option<String>,
    /// What the last probe said, if it failed.
    pub trouble: Option<String>,
    /// What happened to it last.
    pub happened: Option<Event>,
}

/// Connections to a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Lent to sessions.
    pub active: usize,
    /// Idle.
    pub idle: usize,
    /// Being opened.
    pub opening: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    /// How many there may be; 0 without a limit.
    pub most: usize,
}

/// Requests a second, for each second of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// One for each server.
    pub servers: Vec<Rates>,
}

/// Requests a second of one server, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Its name.
    pub server: String,
    /// Reads.
    pub reads: Vec<f64>,
    /// Writes, and what may be one.
    pub writes: Vec<f64>,
}

/// Where reads ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reads {
    /// In the last minute.
    pub minute: Split,
    /// Since the start.
    pub start: Split,
    /// Reads on the primary by why they were there, the most of the last minute first.
    pub kept: Vec<Kept>,
    /// Shapes of statements that read on the primary, those that cost most first, 25 at most.
    pub shapes: Vec<Shape>,
}

/// Reads, by where they ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// On replicas.
    pub replicas: u64,
    /// On the primary.
    pub primary: u64,
}

impl Split {
    /// The part on replicas, from 0 to 1; `None` without a read.
    pub fn share(&self) -> Option<f64> {
        let all = self.replicas + self.primary;
        (all > 0).then(|| self.replicas as f64 / all as f64)
    }
}

/// Reads on the primary for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The reason, as in `weir_requests_total`.
    pub reason: String,
    /// How many in the last minute.
    pub minute: u64,
    /// How many since the start.
    pub start: u64,
    /// What to change.
    pub what_to_do: String,
}

/// A shape of statement that reads on the primary. As `SHOW SHAPES` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Its text, with a `?` for each literal.
    pub text: String,
    /// Why it ran there.
    pub reason: String,
    /// How often.
    pub calls: u64,
    /// For how long altogether, in milliseconds.
    pub total_ms: f64,
    /// The user.
    pub user: String,
    /// The database, as clients name it.
    pub database: String,
    /// The application.
    pub application: String,
    /// What to change.
    pub what_to_do: String,
}

/// Transactions that ran in one way for one reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// `none` (without a connection of their own), `replica`, `upgraded` or `primary`.
    pub ran: String,
    /// Why on the primary.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// What to change.
    pub what_to_do: String,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The server's name.
    pub server: String,
    /// The database, as servers name it.
    pub database: String,
    /// The user, as servers name it.
    pub user: String,
    /// Connections lent to sessions.
    pub active: usize,
    /// Idle ones.
    pub idle: usize,
    /// Those being opened.
    pub opening: usize,
    /// Clients that wait.
    pub waiting: usize,
    /// How many connections it may have; 0 before anybody wanted one.
    pub size: usize,
    /// Those kept by pinned sessions that run nothing.
    pub pinned: usize,
    /// Those kept by transactions whose clients say nothing.
    pub idle_in_transaction: usize,
}

/// A session that keeps its connection. As `SHOW PINS` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The client's number: what `pg_backend_pid()` gives it.
    pub id: i32,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// The application.
    pub application: String,
    /// What is on its connection.
    pub reasons: Vec<String>,
    /// For how long, in seconds.
    pub seconds: u64,
    /// What to change.
    pub what_to_do: String,
}

/// Clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clients {
    /// How many there are.
    pub all: usize,
    /// Those whose requests run.
    pub active: usize,
    /// Those that wait for a connection.
    pub waiting: usize,
    /// Those that say nothing within a transaction that has a connection.
    pub idle_in_transaction: usize,
    /// Those that keep a connection while nothing runs on it.
    pub pinned: usize,
    /// The others.
    pub idle: usize,
    /// 50 of them: those that wait, then those in a transaction, then those that are pinned, each the longest first.
    pub top: Vec<Client>,
}

/// A client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its number: what `pg_backend_pid()` gives it.
    pub id: i32,
    /// Its address and port, or `unix`.
    pub peer: String,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// What it calls itself.
    pub application: String,
    /// `waiting`, `idle_in_transaction`, `pinned`, `active` or `idle`.
    pub state: String,
    /// For how long it has been so, in milliseconds, where that is known.
    pub for_ms: Option<u64>,
    /// The server that its connection leads to.
    pub server: Option<String>,
    /// When it came, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Of what kind, in a word.
    pub kind: String,
    /// To what: a server's name, a database's, or nothing.
    pub of: String,
    /// What.
    pub text: String,
}
