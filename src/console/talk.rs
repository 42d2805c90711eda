//! A conversation with an operator in either protocol: messages in, replies out.
//!
//! A command runs to its end before the next is read. In the extended protocol a command runs when it is executed, not when
//! it is bound.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use super::command::{Block, Command, commands};
use super::message::Said;
use super::table::{Column, Formats, Table, describe, put_row};
use crate::error::Error;
use crate::wire::TxStatus;
use crate::wire::reply::{self, Report, Severity, TransactionStatus};

/// Most statements and portals that a client may have. Drivers have a few dozen.
const NAMES_MAX: usize = 1000;

/// Why a command is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// SQLSTATE.
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl Refusal {
    /// In PgBouncer's way: everything is a violation of its protocol.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: "08P01", message: message.into(), hint: None }
    }

    fn unknown(text: &str, why: &str) -> Self {
        let text: String = text.chars().take(100).collect();
        let hint = Some("SHOW HELP lists what there is.");
        Self { hint, code: "42601", ..Self::new(format!("invalid command '{text}': {why}")) }
    }
}

/// What a command brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Rows, where it gives some.
    pub(super) table: Option<Table>,
    /// What else is to be said, with details.
    pub(super) notices: Vec<(String, Option<String>)>,
    /// CommandComplete.
    pub(super) tag: String,
}

impl Outcome {
    /// Nothing but that it is done.
    pub(super) fn done(tag: impl Into<String>) -> Self {
        Self { tag: tag.into(), ..Self::default() }
    }
}

/// Runs commands, and knows what columns they have.
pub(super) trait Runs {
    /// The columns of its rows; `None` when it gives none.
    fn columns(&self, command: &Command) -> Option<Vec<Column>>;

    /// Does it.
    fn run(&self, command: &Command) -> impl Future<Output = Result<Outcome, Refusal>> + Send;
}

/// A statement: its text and what it asks for; `None` where there is nothing in it.
type Prepared = Option<Command>;

/// A portal, and what is left of its rows.
struct Portal {
    command: Prepared,
    formats: Formats,
    /// Rows that are left, once it runs.
    left: Option<std::vec::IntoIter<Vec<super::table::Value>>>,
    columns: Vec<Column>,
}

/// The state of the conversation.
#[derive(Default)]
pub(super) struct Talk {
    statements: HashMap<Bytes, Prepared>,
    portals: HashMap<Bytes, Portal>,
    status: TxStatus,
    /// After an error, until Sync.
    skipping: bool,
    pub(super) out: BytesMut,
}

impl Talk {
    /// Answers a message. What is to be sent stands in `out`.
    pub(super) async fn hear(&mut self, said: Said, runs: &impl Runs) {
        if self.skipping && said != Said::Sync {
            return;
        }
        let heard = match said {
            Said::Query(text) => {
                self.query(&text, runs).await;
                return self.ready();
            }
            Said::Sync => {
                self.skipping = false;
                return self.ready();
            }
            Said::Parse { name, sql } => self.parse(name, &sql),
            Said::Bind { portal, statement, values, formats } => {
                self.bind(portal, &statement, values, Formats(formats))
            }
            Said::DescribeStatement(name) => self.describe_statement(&name, runs),
            Said::DescribePortal(name) => self.describe_portal(&name, runs),
            Said::Execute { portal, limit } => self.execute(&portal, limit, runs).await,
            Said::CloseStatement(name) => {
                self.statements.remove(&name);
                self.put(reply::CLOSE_COMPLETE)
            }
            Said::ClosePortal(name) => {
                self.portals.remove(&name);
                self.put(reply::CLOSE_COMPLETE)
            }
            Said::Flush | Said::Terminate | Said::Nothing => Ok(()),
        };
        if let Err(refusal) = heard {
            self.refuse(&refusal);
            self.skipping = true;
        }
    }

    /// Whether what stands in `out` need not go yet: more is coming for sure.
    pub(super) fn waits(&self, said: &Said) -> bool {
        !matches!(said, Said::Query(_) | Said::Sync | Said::Flush) && self.out.len() < 64 << 10
    }

    fn put(&mut self, message: &[u8]) -> Result<(), Refusal> {
        self.out.extend_from_slice(message);
        Ok(())
    }

    fn ready(&mut self) {
        let status = match self.status {
            TxStatus::Idle => TransactionStatus::Idle,
            TxStatus::Open => TransactionStatus::Transaction,
            TxStatus::Failed => TransactionStatus::Error,
        };
        reply::ready_for_query(&mut self.out, status);
    }

    fn refuse(&mut self, refusal: &Refusal) {
        let report =
            Report { hint: refusal.hint, ..Report::new(Severity::Error, refusal.code, &refusal.message) };
        reply::error(&mut self.out, &report);
        if self.status == TxStatus::Open {
            self.status = TxStatus::Failed;
        }
    }

    async fn query(&mut self, text: &[u8], runs: &impl Runs) {
        self.portals.clear();
        let all = commands(&String::from_utf8_lossy(text));
        if all.is_empty() {
            self.out.extend_from_slice(reply::EMPTY_QUERY);
        }
        for (text, command) in all {
            let command = command.map_err(|why| Refusal::unknown(&text, &why));
            let outcome = match command {
                Ok(command) => self.run(&command, runs).await,
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(outcome) => self.tell(&outcome, &Formats::default()),
                Err(refusal) => return self.refuse(&refusal),
            }
        }
    }

    fn tell(&mut self, outcome: &Outcome, formats: &Formats) {
        self.notices(outcome);
        if let Some(table) = &outcome.table {
            describe(&mut self.out, &table.columns, formats);
            table.rows.iter().for_each(|row| put_row(&mut self.out, &table.columns, row, formats));
        }
        reply::command_complete(&mut self.out, &outcome.tag);
    }

    fn notices(&mut self, outcome: &Outcome) {
        for (notice, detail) in &outcome.notices {
            reply::notice(&mut self.out, notice, detail.as_deref());
        }
    }

    /// Runs a command. What is said of transactions is followed, as far as clients are told of it.
    async fn run(&mut self, command: &Command, runs: &impl Runs) -> Result<Outcome, Refusal> {
        if let Command::Accept(tag, block) = command {
            let tag = if self.status == TxStatus::Failed && *block == Block::Ends { "ROLLBACK" } else { tag };
            self.status = match block {
                Block::Begins => TxStatus::Open,
                Block::Ends => TxStatus::Idle,
                Block::Stays => self.status,
            };
            return Ok(Outcome::done(tag));
        }
        if self.status == TxStatus::Failed {
            let error = Error::BlockAborted;
            return Err(Refusal { code: "25P02", ..Refusal::new(error.to_string()) });
        }
        runs.run(command).await
    }

    fn parse(&mut self, name: Bytes, sql: &[u8]) -> Result<(), Refusal> {
        let text = String::from_utf8_lossy(sql);
        let mut all = commands(&text);
        if all.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Refusal { code: "42601", ..Refusal::new(message) });
        }
        if !name.is_empty() && self.statements.contains_key(&name) {
            let name = String::from_utf8_lossy(&name);
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Refusal { code: "42P05", ..Refusal::new(message) });
        }
        if self.statements.len() >= NAMES_MAX {
            return Err(Refusal { code: "53400", ..Refusal::new("too many prepared statements") });
        }
        let prepared = match all.pop() {
            None => None,
            Some((text, command)) => Some(command.map_err(|why| Refusal::unknown(&text, &why))?),
        };
        self.statements.insert(name, prepared);
        self.put(reply::PARSE_COMPLETE)
    }

    fn statement(&self, name: &Bytes) -> Result<&Prepared, Refusal> {
        let missing = || {
            let name = String::from_utf8_lossy(name);
            Refusal { code: "26000", ..Refusal::new(format!("prepared statement \"{name}\" does not exist")) }
        };
        self.statements.get(name).ok_or_else(missing)
    }

    fn bind(&mut self, portal: Bytes, name: &Bytes, values: usize, formats: Formats) -> Result<(), Refusal> {
        let command = self.statement(name)?.clone();
        if values > 0 {
            return Err(Refusal::new("commands of weir's console take no parameters"));
        }
        if self.portals.len() >= NAMES_MAX {
            return Err(Refusal { code: "53400", ..Refusal::new("too many portals") });
        }
        self.portals.insert(portal, Portal { command, formats, left: None, columns: Vec::new() });
        self.put(reply::BIND_COMPLETE)
    }

    fn describe_statement(&mut self, name: &Bytes, runs: &impl Runs) -> Result<(), Refusal> {
        let columns = self.statement(name)?.as_ref().and_then(|command| runs.columns(command));
        self.put(reply::NO_PARAMETERS)?;
        self.describe(columns, &Formats::default())
    }

    fn describe_portal(&mut self, name: &Bytes, runs: &impl Runs) -> Result<(), Refusal> {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let formats = portal.formats.clone();
        let columns = portal.command.as_ref().and_then(|command| runs.columns(command));
        self.describe(columns, &formats)
    }

    fn describe(&mut self, columns: Option<Vec<Column>>, formats: &Formats) -> Result<(), Refusal> {
        match columns {
            Some(columns) => describe(&mut self.out, &columns, formats),
            None => self.out.extend_from_slice(reply::NO_DATA),
        }
        Ok(())
    }

    async fn execute(&mut self, name: &Bytes, limit: usize, runs: &impl Runs) -> Result<(), Refusal> {
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let Some(command) = portal.command.clone() else {
            self.portals.insert(name.clone(), portal);
            return self.put(reply::EMPTY_QUERY);
        };
        let mut tag = "SHOW".to_owned();
        if portal.left.is_none() {
            let outcome = self.run(&command, runs).await?;
            self.notices(&outcome);
            let table = outcome.table.unwrap_or_default();
            (portal.columns, portal.left, tag) = (table.columns, Some(table.rows.into_iter()), outcome.tag);
        }
        let left = portal.left.get_or_insert_default();
        let count = if limit == 0 { usize::MAX } else { limit };
        for row in left.take(count) {
            put_row(&mut self.out, &portal.columns, &row, &portal.formats);
        }
        if left.len() > 0 {
            self.out.extend_from_slice(reply::PORTAL_SUSPENDED);
        } else {
            reply::command_complete(&mut self.out, &tag);
        }
        self.portals.insert(name.clone(), portal);
        Ok(())
    }
}

fn no_portal(name: &Bytes) -> Refusal {
    let name = String::from_utf8_lossy(name);
    Refusal { code: "34000", ..Refusal::new(format!("portal \"{name}\" does not exist")) }
}
