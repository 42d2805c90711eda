//! What came of transactions, of requests and of clients that came to the door: the words for it, which are labels, and
//! counters that are found by number where they may be many a second.

use std::sync::OnceLock;

use prometheus::{IntCounter, IntCounterVec};

use super::registry::Register;
use super::sqlstates;

/// How a transaction ran that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionRan {
    /// Without a connection of its own.
    Nowhere,
    /// On a replica.
    Replica,
    /// On the primary, after it had read elsewhere.
    Upgraded,
    /// On the primary.
    Primary,
}

/// One counter for each way to run and each reason, made when it is first needed.
pub(super) struct Transactions {
    family: IntCounterVec,
    reasons: Box<[&'static str]>,
    cells: Box<[OnceLock<IntCounter>]>,
}

impl Transactions {
    const RAN: [&str; 4] = ["none", "replica", "upgraded", "primary"];

    pub(super) fn new(r: &mut Register, reasons: &[&'static str]) -> Self {
        let help = "Transactions by how they ran (none: without a connection of their own; replica; upgraded: on the primary after reads elsewhere; primary) and why on the primary.";
        let family = r.counters("transactions_total", help, &["ran", "reason"]);
        // Before the reasons stands that there is none.
        let reasons: Box<[_]> = std::iter::once("").chain(reasons.iter().copied()).collect();
        let cells = std::iter::repeat_with(OnceLock::new).take(Self::RAN.len() * reasons.len()).collect();
        Self { family, reasons, cells }
    }

    pub(super) fn add(&self, ran: TransactionRan, reason: Option<usize>) {
        let reason = reason.map_or(0, |reason| reason + 1);
        let cell = self.cells.get(ran as usize * self.reasons.len() + reason);
        let (Some(cell), Some(reason)) = (cell, self.reasons.get(reason)) else { return };
        cell.get_or_init(|| self.family.with_label_values(&[Self::RAN[ran as usize], reason])).inc();
    }
}

/// SQLSTATEs of which alert rules ask whether there are any: a counter that appears with its first error has not grown by it.
const FROM_ZERO: [&str; 6] = ["08006", "08007", "53300", "57P01", "57P02", "57P03"];

/// One counter for each SQLSTATE that is PostgreSQL's own, made when it is first needed.
pub(super) struct Errors {
    family: IntCounterVec,
    cells: Box<[OnceLock<IntCounter>]>,
}

impl Errors {
    pub(super) fn new(r: &mut Register) -> Self {
        let help = "Errors that requests ended with: those of servers and those of weir itself.";
        let family = r.counters("errors_total", help, &["sqlstate"]);
        FROM_ZERO.iter().for_each(|sqlstate| drop(family.with_label_values(&[sqlstate])));
        Self { family, cells: std::iter::repeat_with(OnceLock::new).take(sqlstates::LABELS).collect() }
    }

    pub(super) fn add(&self, sqlstate: &str) {
        let Some(cell) = self.cells.get(sqlstates::place(sqlstate)) else { return };
        cell.get_or_init(|| self.family.with_label_values(&[sqlstates::label(sqlstate)])).inc();
    }
}

/// Why a client was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Wrong proof, or none.
    Authentication,
    /// A line of pg_hba.conf, or none that is for it.
    Hba,
    /// It is not encrypted as it must be, or no encryption came about.
    Encryption,
    /// It has proved who it is, and may not log in, or not to this database.
    NotPermitted,
    /// It broke the protocol, or asked for what there is not.
    Protocol,
    /// A setting that it began with.
    Setting,
    /// It was too slow.
    LoginTimeout,
    /// There are as many clients as there may be.
    TooManyClients,
    /// weir drains.
    Draining,
    /// No connection to a server came free.
    NoRoom,
    /// No server can be reached.
    NoServer,
    /// A server refuses it.
    Server,
    /// Anything else.
    Other,
}

/// A counter for each cause, from the start: one that appears with its first client has not grown by it.
pub(super) fn refused(r: &mut Register) -> IntCounterVec {
    let help = "Clients that were not let in: authentication, hba, encryption, not_permitted, protocol, setting, login_timeout, too_many_clients, draining, no_room (no connection to a server came free), no_server, server (a server refuses them) or other.";
    let family = r.counters("clients_refused_total", help, &["cause"]);
    Refused::ALL.iter().for_each(|cause| drop(family.with_label_values(&[cause.label()])));
    family
}

impl Refused {
    const ALL: [Self; 13] = [
        Self::Authentication,
        Self::Hba,
        Self::Encryption,
        Self::NotPermitted,
        Self::Protocol,
        Self::Setting,
        Self::LoginTimeout,
        Self::TooManyClients,
        Self::Draining,
        Self::NoRoom,
        Self::NoServer,
        Self::Server,
        Self::Other,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Refused::Authentication => "authentication",
            Refused::Hba => "hba",
            Refused::Encryption => "encryption",
            Refused::NotPermitted => "not_permitted",
            Refused::Protocol => "protocol",
            Refused::Setting => "setting",
            Refused::LoginTimeout => "login_timeout",
            Refused::TooManyClients => "too_many_clients",
            Refused::Draining => "draining",
            Refused::NoRoom => "no_room",
            Refused::NoServer => "no_server",
            Refused::Server => "server",
            Refused::Other => "other",
        }
    }
}
