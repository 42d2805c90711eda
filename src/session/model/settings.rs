//! The session's settings, as its client wants them.

use crate::backend::datestyle;
use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::session::model::statement::{CONSTANTS_BY, NAMES_BY};

/// Settings as the client wants them. Its connection may carry others: while it has not been told yet, and after a
/// RESET, which means the startup value to the client and the default to the server.
///
/// Those of weir itself travel to no server, as weir alone acts upon them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionSettings {
    wanted: Settings,
    /// Those of weir itself, as they are until the transaction ends.
    own: Settings,
    /// The same, as they are for the session.
    own_session: Settings,
    /// What the client asked for in its startup packet: what RESET returns to.
    startup: Settings,
    own_startup: Settings,
    /// Those by which the servers read texts, of what holds until the transaction ends: where it differs from the rest.
    local: Settings,
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
        Self {
            wanted: startup.clone(),
            own: own.clone(),
            own_session: own.clone(),
            startup,
            own_startup: own,
            local: Settings::default(),
        }
    }

    /// A session goes on that wants these of the servers and of weir, and came with those behind them.
    pub(crate) fn resumed(
        (wanted, startup): (Settings, Settings),
        (own, own_startup): (Settings, Settings),
    ) -> Self {
        Self { wanted, own_session: own.clone(), own, startup, own_startup, local: Settings::default() }
    }

    /// A session began with settings equal to these: shared ones are compared by their address.
    pub(crate) fn shares(&mut self, startup: &Settings) {
        self.wanted = startup.clone();
        self.startup = startup.clone();
    }

    /// The client came with a setting on which PostgreSQL does not act.
    pub(crate) fn never_began_with(&mut self, name: &str) {
        self.wanted = self.wanted.with(name, None);
        self.startup = self.startup.with(name, None);
    }

    /// What the client has where it has set nothing is another thing from now on: so are what it came with and what it
    /// wants.
    pub(crate) fn rest_on(&mut self, rebased: impl Fn(&Settings) -> Settings) {
        self.startup = rebased(&self.startup);
        self.wanted = rebased(&self.wanted);
    }

    /// What the client wants of the servers.
    pub(crate) fn wanted(&self) -> &Settings {
        &self.wanted
    }

    /// What the client wants of weir.
    pub(crate) fn own(&self) -> &Settings {
        &self.own
    }

    /// What the client wanted of the servers when it came: what RESET returns to.
    pub(crate) fn startup(&self) -> &Settings {
        &self.startup
    }

    /// What the client wanted of weir when it came.
    pub(crate) fn own_startup(&self) -> &Settings {
        &self.own_startup
    }

    /// `SET name TO value` went through.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        if is_weirs(name) {
            self.own_session = self.own_session.with(name, Some(value.clone()));
            self.own = self.own.with(name, Some(value));
        } else {
            self.wanted = set_on_top_of(&self.wanted, name, value);
            self.local = self.local.with(name, None);
        }
    }

    /// `SET LOCAL name TO value` went through. The servers keep track of their own.
    pub(crate) fn set_local(&mut self, name: &str, value: Option<Value>) {
        if is_weirs(name) {
            let value = value.or_else(|| self.own_startup.get(name).cloned());
            self.own = self.own.with(name, value);
        } else if NAMES_BY.contains(&name) || CONSTANTS_BY.contains(&name) {
            let value = value.or_else(|| self.startup.get(name).cloned());
            self.local = self.local.with(name, value);
        }
    }

    /// By what a server reads a text that is prepared now.
    pub(crate) fn read_by(&self) -> Settings {
        let local = self.local.iter().map(|(name, value)| (name, value.clone()));
        local.fold(self.wanted.clone(), |all, (name, value)| set_on_top_of(&all, name, value))
    }

    /// `RESET name` went through.
    pub(crate) fn reset(&mut self, name: &str) {
        if is_weirs(name) {
            self.own_session = self.own_session.with(name, self.own_startup.get(name).cloned());
            self.own = self.own.with(name, self.own_startup.get(name).cloned());
        } else {
            self.wanted = self.wanted.with(name, self.startup.get(name).cloned());
            self.local = self.local.with(name, None);
        }
    }

    /// Another setting's change has undone this one.
    pub(crate) fn forget(&mut self, name: &str) {
        self.wanted = self.wanted.with(name, None);
    }

    /// `RESET ALL` or `DISCARD ALL` went through. Role and session authorization survive the former.
    pub(crate) fn reset_all(&mut self, keep: &[&str]) {
        self.wanted = keeping(keep, &self.wanted, self.startup.clone());
        self.own = self.own_startup.clone();
        self.own_session = self.own_startup.clone();
        self.local = Settings::default();
    }

    /// Whether any holds until the transaction ends and no longer.
    pub(crate) fn are_local(&self) -> bool {
        self.own != self.own_session || !self.local.is_empty()
    }

    /// The transaction committed: what held for it alone is over.
    pub(crate) fn end_local(&mut self) {
        self.own = self.own_session.clone();
        self.local = Settings::default();
    }
}

/// `onto` with the values that settings of these names have in `from`.
pub(crate) fn keeping(names: &[&str], from: &Settings, onto: Settings) -> Settings {
    names.iter().fold(onto, |onto, name| onto.with(name, from.get(name).cloned()))
}

/// Settings with one set anew, which may keep a part of what it was.
pub(crate) fn set_on_top_of(settings: &Settings, name: &str, value: Value) -> Settings {
    let value = if name == datestyle::NAME { datestyle::on_top_of(settings.get(name), value) } else { value };
    settings.with(name, Some(value))
}

/// A value without its quotes. Unquoted words are in lower case, as PostgreSQL's parser folds them.
pub(crate) fn plain(value: &Value) -> String {
    let text = match value {
        Value::Raw(text) => return text.to_string(),
        Value::Sql(text) => text,
    };
    let within = |open: &str, close| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
    if let Some(quoted) = within("'", '\'') {
        quoted.replace("''", "'")
    } else if let Some(escaped) = within("E'", '\'') {
        escaped.replace("''", "'").replace("\\\\", "\\")
    } else if let Some(name) = within("\"", '"') {
        name.replace("\"\"", "\"")
    } else {
        text.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::transaction::carried::Carried;
    use crate::session::transaction::{Event, Reaction, Transaction};
    use crate::sql::{Classifier, StandardConformingStrings};
    use crate::wire::TxStatus;

    fn sql(text: &str) -> Value {
        Value::Sql(text.into())
    }

    /// A session's settings in its transaction, with those of its connection.
    #[derive(Default)]
    struct Script {
        transaction: Transaction,
        carried: Carried,
    }

    impl Script {
        fn new(startup: &Settings) -> Self {
            Self { transaction: Transaction::new(startup), carried: Carried::default() }
        }

        fn settings(&self) -> &SessionSettings {
            &self.transaction.undoable().now().settings
        }

        fn change(&mut self, change: impl FnOnce(&mut SessionSettings)) {
            change(&mut self.transaction.undoable_mut().change().settings);
        }

        fn set(&mut self, name: &str, value: Value) {
            self.change(|settings| settings.set(name, value.clone()));
            self.carried.set(name, value);
        }

        fn reset(&mut self, name: &str) {
            self.change(|settings| settings.reset(name));
            self.carried.reset(name);
        }

        fn reset_all(&mut self, keep: &[&str]) {
            self.change(|settings| settings.reset_all(keep));
            self.carried.reset_all(keep);
        }

        fn on(&mut self, event: Event<'_>) {
            if let Reaction::Controls(control) = self.transaction.on(event) {
                self.carried.follow(control);
            }
        }

        /// A statement completed that moves in the transaction or ends it.
        fn run(&mut self, text: &str) {
            let verdict = Classifier::new(1).classify(text.as_bytes(), StandardConformingStrings::On);
            self.on(Event::Completed(&verdict.statements[0], text.as_bytes()));
        }
    }

    #[test]
    fn a_rollback_returns_to_the_start() {
        let mut script = Script::default();
        script.set("work_mem", sql("'1MB'"));
        script.run("COMMIT");
        script.set("work_mem", sql("'2MB'"));
        script.run("SAVEPOINT a");
        script.set("work_mem", sql("'3MB'"));
        script.run("ROLLBACK TO a");
        assert_eq!(script.settings().wanted().get("work_mem"), Some(&sql("'2MB'")));
        script.run("ROLLBACK");
        assert_eq!(script.settings().wanted().get("work_mem"), Some(&sql("'1MB'")));
        assert_eq!(script.carried.now(), script.settings().wanted());
    }

    #[test]
    fn those_of_weir_itself_travel_to_no_server_and_follow_the_transaction() {
        let raw = |text: &str| Some(Value::Raw(text.into()));
        let startup = Settings::default().with("weir.target", raw("auto")).with("timezone", raw("UTC"));
        let mut script = Script::new(&startup);
        assert_eq!(script.settings().wanted(), &Settings::default().with("timezone", raw("UTC")));
        let mut target = |change: &dyn Fn(&mut Script)| {
            change(&mut script);
            let Some(Value::Raw(text) | Value::Sql(text)) = script.settings().own().get("weir.target") else {
                panic!()
            };
            text.clone()
        };
        let set_local = |value: Option<&str>| {
            let value = value.map(sql);
            move |script: &mut Script| {
                script.change(|settings| settings.set_local("weir.target", value.clone()))
            }
        };
        assert_eq!(&*target(&|script| script.set("weir.target", sql("a"))), "a");
        assert_eq!(&*target(&set_local(Some("b"))), "b");
        assert_eq!(&*target(&|script| script.run("COMMIT")), "a", "local to the transaction");
        assert_eq!(&*target(&|script| script.set("weir.target", sql("c"))), "c");
        assert_eq!(&*target(&set_local(None)), "auto");
        assert_eq!(&*target(&|script| script.run("ROLLBACK")), "a");
        assert_eq!(&*target(&|script| script.reset("weir.target")), "auto");
        assert_eq!(&*target(&|script| script.set("weir.target", sql("d"))), "d");
        assert_eq!(&*target(&|script| script.reset_all(&["role"])), "auto");
        assert_eq!(script.carried.now(), &Settings::default());
    }

    #[test]
    fn reset_means_the_startup_value() {
        let startup = Settings::default().with("timezone", Some(Value::Raw("UTC".into())));
        let mut script = Script::new(&startup);
        script.set("timezone", sql("'Asia/Tokyo'"));
        script.reset("timezone");
        assert_eq!(script.settings().wanted(), &startup);
        assert_eq!(script.carried.now(), &Settings::default());
        script.set("role", sql("x"));
        script.reset_all(&["role"]);
        assert_eq!(script.settings().wanted().get("role"), Some(&sql("x")));
        script.reset_all(&[]);
        assert_eq!(script.settings().wanted(), &startup);
    }

    #[test]
    fn what_a_connection_was_told_outside_a_transaction_stays_told() {
        let mut script = Script::default();
        script.change(|settings| settings.set("work_mem", sql("'1MB'")));
        script.on(Event::Ready(TxStatus::Idle));
        for (tx, stays) in [(TxStatus::Open, false), (TxStatus::Idle, true)] {
            script.carried = Carried::new(Settings::default());
            let wanted = script.settings().wanted().clone();
            script.carried.told(&wanted, tx);
            assert_eq!(script.carried.now(), &wanted);
            script.run("ROLLBACK");
            assert_eq!(script.carried.now() == &wanted, stays, "{tx:?}");
        }
    }
}
