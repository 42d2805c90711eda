//! The session's settings through transactions: what the client wants, and what the leased connection carries.

use crate::backend::datestyle;
use crate::backend::settings::{Settings, Value};
use crate::wire::TxStatus;

/// Settings as the client wants them and as the backend connection has them. They differ only while a connection has
/// not been told yet, or after a RESET, which means the startup value to the client and the default to the server.
///
/// Those of weir itself travel to no server, as weir alone acts upon them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Now {
    wanted: Settings,
    carried: Settings,
    /// Those of weir itself, as they are until the transaction ends.
    own: Settings,
    /// The same, as they are for the session.
    own_session: Settings,
}

/// Settings with the points to which a rollback returns.
#[derive(Debug, Default)]
pub(super) struct Carry {
    now: Now,
    /// Where a rollback of the transaction returns to.
    start: Now,
    savepoints: Vec<(Box<str>, Now)>,
    /// What the client asked for in its startup packet: what RESET returns to.
    startup: Settings,
    own_startup: Settings,
}

/// Whether a setting is weir's own.
pub(super) fn is_own(name: &str) -> bool {
    name.starts_with("weir.")
}

impl Carry {
    /// A session that began with these settings.
    pub(super) fn new(startup: &Settings) -> Self {
        let part = |own: bool| {
            let of_that_part = startup.iter().filter(|(name, _)| is_own(name) == own);
            Settings::new(of_that_part.map(|(name, value)| (name.into(), value.clone())).collect())
        };
        let (startup, own) = (part(false), part(true));
        let now = Now {
            wanted: startup.clone(),
            carried: Settings::default(),
            own: own.clone(),
            own_session: own.clone(),
        };
        Self { start: now.clone(), now, savepoints: Vec::new(), startup, own_startup: own }
    }

    /// A session began with settings equal to these: shared ones are compared by their address.
    pub(super) fn shares(&mut self, startup: Settings) {
        self.now.wanted = startup.clone();
        self.start.wanted = startup.clone();
        self.startup = startup;
    }

    /// What the client wants of the servers.
    pub(super) fn wanted(&self) -> &Settings {
        &self.now.wanted
    }

    /// What the client wants of weir.
    pub(super) fn own(&self) -> &Settings {
        &self.now.own
    }

    /// What the client wanted of the servers when it came: what RESET returns to.
    pub(super) fn startup(&self) -> &Settings {
        &self.startup
    }

    /// What the client wanted of weir when it came.
    pub(super) fn own_startup(&self) -> &Settings {
        &self.own_startup
    }

    /// What the leased connection carries.
    pub(super) fn carried(&self) -> &Settings {
        &self.now.carried
    }

    /// Whether the connection lacks nothing but the client's name.
    pub(super) fn lacks_name_only(&self) -> bool {
        let Now { carried, wanted, .. } = &self.now;
        carried != wanted && carried.differs_in_name_only(wanted)
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
        let now = &mut self.now;
        if is_own(name) {
            now.own_session = now.own_session.with(name, Some(value.clone()));
            now.own = now.own.with(name, Some(value));
        } else {
            now.wanted = set_on_top_of(&now.wanted, name, value.clone());
            now.carried = set_on_top_of(&now.carried, name, value);
        }
    }

    /// `SET LOCAL name TO value` went through. The servers keep track of their own.
    pub(super) fn set_local(&mut self, name: &str, value: Option<Value>) {
        if is_own(name) {
            let value = value.or_else(|| self.own_startup.get(name).cloned());
            self.now.own = self.now.own.with(name, value);
        }
    }

    /// `RESET name` went through.
    pub(super) fn reset(&mut self, name: &str) {
        let now = &mut self.now;
        if is_own(name) {
            now.own_session = now.own_session.with(name, self.own_startup.get(name).cloned());
            now.own = now.own.with(name, self.own_startup.get(name).cloned());
        } else {
            now.wanted = now.wanted.with(name, self.startup.get(name).cloned());
            now.carried = now.carried.with(name, None);
        }
    }

    /// The connection has been told what the client came with, of these settings, behind their reset.
    pub(super) fn restored(&mut self, names: impl Iterator<Item = Box<str>>) {
        for name in names {
            self.now.carried = self.now.carried.with(&name, self.startup.get(&name).cloned());
        }
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
        self.now = Now {
            wanted: kept(&self.now.wanted, self.startup.clone()),
            carried: kept(&self.now.carried, Settings::default()),
            own: self.own_startup.clone(),
            own_session: self.own_startup.clone(),
        };
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
        self.now.own = self.now.own_session.clone();
        self.start = self.now.clone();
        self.savepoints.clear();
    }

    /// The transaction rolled back.
    pub(super) fn rollback(&mut self) {
        self.now = self.start.clone();
        self.savepoints.clear();
    }
}

fn set_on_top_of(settings: &Settings, name: &str, value: Value) -> Settings {
    let value = if name == datestyle::NAME { datestyle::on_top_of(settings.get(name), value) } else { value };
    settings.with(name, Some(value))
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
    fn those_of_weir_itself_travel_to_no_server_and_follow_the_transaction() {
        let raw = |text: &str| Some(Value::Raw(text.into()));
        let startup = Settings::default().with("weir.target", raw("auto")).with("timezone", raw("UTC"));
        let mut carry = Carry::new(&startup);
        assert_eq!(carry.wanted(), &Settings::default().with("timezone", raw("UTC")));
        let mut target = |change: &dyn Fn(&mut Carry)| {
            change(&mut carry);
            let Some(Value::Raw(text) | Value::Sql(text)) = carry.own().get("weir.target") else { panic!() };
            text.clone()
        };
        assert_eq!(&*target(&|carry| carry.set("weir.target", sql("a"))), "a");
        assert_eq!(&*target(&|carry| carry.set_local("weir.target", Some(sql("b")))), "b");
        assert_eq!(&*target(&Carry::commit), "a", "local to the transaction");
        assert_eq!(&*target(&|carry| carry.set("weir.target", sql("c"))), "c");
        assert_eq!(&*target(&|carry| carry.set_local("weir.target", None)), "auto");
        assert_eq!(&*target(&Carry::rollback), "a");
        assert_eq!(&*target(&|carry| carry.reset("weir.target")), "auto");
        assert_eq!(&*target(&|carry| carry.set("weir.target", sql("d"))), "d");
        assert_eq!(&*target(&|carry| carry.reset_all(&["role"])), "auto");
        assert_eq!(carry.carried(), &Settings::default());
    }

    #[test]
    fn reset_means_the_startup_value() {
        let startup = Settings::default().with("timezone", Some(Value::Raw("UTC".into())));
        let mut carry = Carry::new(&startup);
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
