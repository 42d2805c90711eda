//! The session's settings through transactions: what the client wants, and what the leased connection carries.

use crate::backend::settings::{Settings, Value};
use crate::wire::TxStatus;

/// Settings as the client wants them and as the backend connection has them. They differ only while a connection has
/// not been told yet, or after a RESET, which means the startup value to the client and the default to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pair {
    wanted: Settings,
    carried: Settings,
}

/// Settings with the points to which a rollback returns.
#[derive(Debug, Default)]
pub(super) struct Carry {
    now: Pair,
    /// Where a rollback of the transaction returns to.
    start: Pair,
    savepoints: Vec<(Box<str>, Pair)>,
    /// What the client asked for in its startup packet: what RESET returns to.
    startup: Settings,
}

impl Carry {
    /// A session that began with these settings.
    pub(super) fn new(startup: Settings) -> Self {
        let pair = Pair { wanted: startup.clone(), carried: Settings::default() };
        Self { now: pair.clone(), start: pair, savepoints: Vec::new(), startup }
    }

    /// What the client wants.
    pub(super) fn wanted(&self) -> &Settings {
        &self.now.wanted
    }

    /// What the leased connection carries.
    pub(super) fn carried(&self) -> &Settings {
        &self.now.carried
    }

    /// A connection that carries these settings was leased, outside a transaction.
    pub(super) fn leased(&mut self, carried: Settings) {
        self.start.carried = carried.clone();
        self.now.carried = carried;
    }

    /// The connection was told what the client wants. Within a transaction a rollback takes it back.
    pub(super) fn told(&mut self, tx: TxStatus) {
        self.now.carried = self.now.wanted.clone();
        if tx == TxStatus::Idle {
            self.start.carried = self.now.carried.clone();
        }
    }

    /// `SET name TO value` went through.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.now.wanted = self.now.wanted.with(name, Some(value.clone()));
        self.now.carried = self.now.carried.with(name, Some(value));
    }

    /// `RESET name` went through.
    pub(super) fn reset(&mut self, name: &str) {
        self.now.wanted = self.now.wanted.with(name, self.startup.get(name).cloned());
        self.now.carried = self.now.carried.with(name, None);
    }

    /// Another setting's change has undone this one.
    pub(super) fn forget(&mut self, name: &str) {
        self.now.wanted = self.now.wanted.with(name, None);
        self.now.carried = self.now.carried.with(name, None);
    }

    /// `RESET ALL` or `DISCARD ALL` went through. Role and session authorization survive the former.
    pub(super) fn reset_all(&mut self, keep: &[&str]) {
        let kept = |from: &Settings, onto: Settings| {
            keep.iter().fold(onto, |onto, name| onto.with(name, from.get(name).cloned()))
        };
        self.now.wanted = kept(&self.now.wanted, self.startup.clone());
        self.now.carried = kept(&self.now.carried, Settings::default());
    }

    /// `SAVEPOINT name`.
    pub(super) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.into(), self.now.clone()));
    }

    /// `RELEASE name`: the savepoint and all after it are forgotten.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| &**n == name) {
            self.savepoints.truncate(at);
        }
    }

    /// `ROLLBACK TO name`: the savepoint stays.
    pub(super) fn rollback_to(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| &**n == name) {
            self.now = self.savepoints[at].1.clone();
            self.savepoints.truncate(at + 1);
        }
    }

    /// The transaction committed.
    pub(super) fn commit(&mut self) {
        self.start = self.now.clone();
        self.savepoints.clear();
    }

    /// The transaction rolled back.
    pub(super) fn rollback(&mut self) {
        self.now = self.start.clone();
        self.savepoints.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Value {
        Value::Sql(text.into())
    }

    #[test]
    fn a_rollback_returns_to_the_start() {
        let mut carry = Carry::default();
        carry.set("work_mem", sql("'1MB'"));
        carry.commit();
        carry.set("work_mem", sql("'2MB'"));
        carry.savepoint("a");
        carry.set("work_mem", sql("'3MB'"));
        carry.rollback_to("a");
        assert_eq!(carry.wanted().get("work_mem"), Some(&sql("'2MB'")));
        carry.rollback();
        assert_eq!(carry.wanted().get("work_mem"), Some(&sql("'1MB'")));
        assert_eq!(carry.carried(), carry.wanted());
    }

    #[test]
    fn reset_means_the_startup_value() {
        let startup = Settings::default().with("timezone", Some(Value::Raw("UTC".into())));
        let mut carry = Carry::new(startup.clone());
        carry.set("timezone", sql("'Asia/Tokyo'"));
        carry.reset("timezone");
        assert_eq!(carry.wanted(), &startup);
        assert_eq!(carry.carried(), &Settings::default());
        carry.set("role", sql("x"));
        carry.reset_all(&["role"]);
        assert_eq!(carry.wanted().get("role"), Some(&sql("x")));
        carry.reset_all(&[]);
        assert_eq!(carry.wanted(), &startup);
    }
}
