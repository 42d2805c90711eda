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
pub(crate) struct SessionSettings {
    now: Now,
    /// Where a rollback of the transaction returns to.
    start: Now,
    savepoints: Vec<(Box<str>, Now)>,
    /// What the client asked for in its startup packet: what RESET returns to.
    startup: Settings,
    own_startup: Settings,
}

/// Whether a setting is weir's own.
pub(crate) fn is_weirs(name: &str) -> bool {
    name.starts_with("weir.")
}

impl SessionSettings {
    /// A session that began with these settings.
    pub(crate) fn new(startup: &Settings) -> Self {
        let part = |own: bool| {
            let of_that_part = startup.iter().filter(|(name, _)| is_weirs(name) == own);
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
    pub(crate) fn shares(&mut self, startup: Settings) {
        self.now.wanted = startup.clone();
        self.start.wanted = startup.clone();
        self.startup = startup;
    }

    /// What the client wants of the servers.
    pub(crate) fn wanted(&self) -> &Settings {
        &self.now.wanted
    }

    /// What the client wants of weir.
    pub(crate) fn own(&self) -> &Settings {
        &self.now.own
    }

    /// What the client wanted of the servers when it came: what RESET returns to.
    pub(crate) fn startup(&self) -> &Settings {
        &self.startup
    }

    /// What the client wanted of weir when it came.
    pub(crate) fn own_startup(&self) -> &Settings {
        &self.own_startup
    }

    /// What the leased connection carries.
    pub(crate) fn carried(&self) -> &Settings {
        &self.now.carried
    }

    /// Whether the connection lacks nothing but the client's name.
    pub(crate) fn lacks_name_only(&self) -> bool {
        let Now { carried, wanted, .. } = &self.now;
        carried != wanted && carried.differs_in_name_only(wanted)
    }

    /// A connection that carries these settings was leased, outside a transaction.
    pub(crate) fn leased(&mut self, carried: Settings) {
        self.start.carried = carried.clone();
        self.now.carried = carried;
    }

    /// The connection was told what the client wants. Within a transaction a rollback takes it back.
    pub(crate) fn told(&mut self, tx: TxStatus) {
        self.now.carried = self.now.wanted.clone();
        if tx == TxStatus::Idle {
            self.start.carried = self.now.carried.clone();
        }
    }

    /// `SET name TO value` went through.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        let now = &mut self.now;
        if is_weirs(name) {
            now.own_session = now.own_session.with(name, Some(value.clone()));
            now.own = now.own.with(name, Some(value));
        } else {
            now.wanted = set_on_top_of(&now.wanted, name, value.clone());
            now.carried = set_on_top_of(&now.carried, name, value);
        }
    }

    /// `SET LOCAL name TO value` went through. The servers keep track of their own.
    pub(crate) fn set_local(&mut self, name: &str, value: Option<Value>) {
        if is_weirs(name) {
            let value = value.or_else(|| self.own_startup.get(name).cloned());
            self.now.own = self.now.own.with(name, value);
        }
    }

    /// `RESET name` went through.
    pub(crate) fn reset(&mut self, name: &str) {
        let now = &mut self.now;
        if is_weirs(name) {
            now.own_session = now.own_session.with(name, self.own_startup.get(name).cloned());
            now.own = now.own.with(name, self.own_startup.get(name).cloned());
        } else {
            now.wanted = now.wanted.with(name, self.startup.get(name).cloned());
            now.carried = now.carried.with(name, None);
        }
    }

    /// The connection has been told what the client came with, of these settings, behind their reset.
    pub(crate) fn restored(&mut self, names: impl Iterator<Item = Box<str>>) {
        for name in names {
            self.now.carried = self.now.carried.with(&name, self.startup.get(&name).cloned());
        }
    }

    /// Another setting's change has undone this one.
    pub(crate) fn forget(&mut self, name: &str) {
        self.now.wanted = self.now.wanted.with(name, None);
        self.now.carried = self.now.carried.with(name, None);
    }

    /// `RESET ALL` or `DISCARD ALL` went through. Role and session authorization survive the former.
    pub(crate) fn reset_all(&mut self, keep: &[&str]) {
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
    pub(crate) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.into(), self.now.clone()));
    }

    /// `RELEASE name`: the savepoint and all after it are forgotten.
    pub(crate) fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| &**n == name) {
            self.savepoints.truncate(at);
        }
    }

    /// `ROLLBACK TO name`: the savepoint stays.
    pub(crate) fn rollback_to(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(n, _)| &**n == name) {
            self.now = self.savepoints[at].1.clone();
            self.savepoints.truncate(at + 1);
        }
    }

    /// The transaction committed.
    pub(crate) fn commit(&mut self) {
        self.now.own = self.now.own_session.clone();
        self.start = self.now.clone();
        self.savepoints.clear();
    }

    /// The transaction rolled back.
    pub(crate) fn rollback(&mut self) {
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
        let mut settings = SessionSettings::default();
        settings.set("work_mem", sql("'1MB'"));
        settings.commit();
        settings.set("work_mem", sql("'2MB'"));
        settings.savepoint("a");
        settings.set("work_mem", sql("'3MB'"));
        settings.rollback_to("a");
        assert_eq!(settings.wanted().get("work_mem"), Some(&sql("'2MB'")));
        settings.rollback();
        assert_eq!(settings.wanted().get("work_mem"), Some(&sql("'1MB'")));
        assert_eq!(settings.carried(), settings.wanted());
    }

    #[test]
    fn those_of_weir_itself_travel_to_no_server_and_follow_the_transaction() {
        let raw = |text: &str| Some(Value::Raw(text.into()));
        let startup = Settings::default().with("weir.target", raw("auto")).with("timezone", raw("UTC"));
        let mut settings = SessionSettings::new(&startup);
        assert_eq!(settings.wanted(), &Settings::default().with("timezone", raw("UTC")));
        let mut target = |change: &dyn Fn(&mut SessionSettings)| {
            change(&mut settings);
            let Some(Value::Raw(text) | Value::Sql(text)) = settings.own().get("weir.target") else {
                panic!()
            };
            text.clone()
        };
        assert_eq!(&*target(&|settings| settings.set("weir.target", sql("a"))), "a");
        assert_eq!(&*target(&|settings| settings.set_local("weir.target", Some(sql("b")))), "b");
        assert_eq!(&*target(&SessionSettings::commit), "a", "local to the transaction");
        assert_eq!(&*target(&|settings| settings.set("weir.target", sql("c"))), "c");
        assert_eq!(&*target(&|settings| settings.set_local("weir.target", None)), "auto");
        assert_eq!(&*target(&SessionSettings::rollback), "a");
        assert_eq!(&*target(&|settings| settings.reset("weir.target")), "auto");
        assert_eq!(&*target(&|settings| settings.set("weir.target", sql("d"))), "d");
        assert_eq!(&*target(&|settings| settings.reset_all(&["role"])), "auto");
        assert_eq!(settings.carried(), &Settings::default());
    }

    #[test]
    fn reset_means_the_startup_value() {
        let startup = Settings::default().with("timezone", Some(Value::Raw("UTC".into())));
        let mut settings = SessionSettings::new(&startup);
        settings.set("timezone", sql("'Asia/Tokyo'"));
        settings.reset("timezone");
        assert_eq!(settings.wanted(), &startup);
        assert_eq!(settings.carried(), &Settings::default());
        settings.set("role", sql("x"));
        settings.reset_all(&["role"]);
        assert_eq!(settings.wanted().get("role"), Some(&sql("x")));
        settings.reset_all(&[]);
        assert_eq!(settings.wanted(), &startup);
    }
}
