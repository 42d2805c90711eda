//! What a session has where it has set nothing: what its role and its database were given when it logged in, and
//! otherwise what the primary's configuration says now, as in PostgreSQL.
//!
//! A connection that would give it anything else is told what the session has, as if the client had come with it. Most
//! connections agree, which is seen by addresses. It asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::defaults::Defaults;
use crate::backend::settings::Settings;
use crate::backend::value::Value;
use crate::cluster::defaults::{Conf, VISIBLE};
use crate::cluster::topology::Topology;
use crate::session::model::rebase::rebased;
use crate::session::model::savepoints::Transactional;
use crate::session::model::undoable::Undoable;

/// What a session has where it has set nothing.
#[derive(Debug, Default)]
pub(crate) struct SessionDefaults {
    /// What it was given at its login; `None` where no connection told.
    login: Option<Defaults>,
    /// What the primary's configuration says.
    conf: Option<Arc<Conf>>,
    /// What connections are told of it.
    told: Settings,
    /// The last connection's that was looked at, and what its server's configuration said.
    looked: Option<(Defaults, Option<Arc<Conf>>)>,
    /// Grows with each change.
    pub(super) serial: u32,
}

impl SessionDefaults {
    /// The value of a setting; `None` where it is not known.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let login = self.login.as_ref();
        let conf = || self.conf.as_ref().and_then(|conf| conf.get(name));
        let given = login.and_then(|login| login.told(name));
        given.or_else(conf).or_else(|| login.and_then(|login| login.other(name)))
    }

    /// What it was given at its login, where that was told.
    pub(crate) fn login(&self) -> Option<&Defaults> {
        self.login.as_ref()
    }

    /// The session begins with what a connection began with, where the primary's configuration says this.
    pub(crate) fn begins(&mut self, login: Option<Defaults>, conf: Option<&Arc<Conf>>) {
        self.login = login;
        self.serial += 1;
        self.go_by(conf);
    }

    /// The primary's configuration may say something else.
    pub(crate) fn go_by(&mut self, conf: Option<&Arc<Conf>>) {
        if address(conf) != address(self.conf.as_ref()) {
            self.conf = conf.cloned();
            self.looked = None;
            self.serial += 1;
        }
    }

    /// The session's requests are going to run on this connection: what it would give them that the session has not is
    /// set from now on. Gives back what was until now, if that is anything new.
    pub(crate) fn look_at(
        &mut self,
        connection: &Backend,
        topology: &Topology,
        session: &mut Transactional<Undoable>,
    ) -> Option<Settings> {
        let (Some(theirs), Some(login)) = (&connection.defaults, &self.login) else { return None };
        let conf = topology.server(connection.server()).and_then(|server| server.conf());
        let alike = Arc::ptr_eq(&login.told, &theirs.told) && is_same(self.conf.as_ref(), conf);
        let seen = |(seen, under): &(Defaults, Option<Arc<Conf>>)| {
            Arc::ptr_eq(&seen.told, &theirs.told) && address(under.as_ref()) == address(conf)
        };
        if (alike && self.told.is_empty()) || self.looked.as_ref().is_some_and(seen) {
            return None;
        }
        let (before, now) = (&self.told, self.to_tell(theirs, conf));
        let is_new = now != *before;
        if is_new {
            let rest = |settings: &Settings| rebased(settings, before, &now);
            session.change_for_good(|level| level.settings.rest_on(rest));
        }
        self.looked = Some((theirs.clone(), conf.cloned()));
        let before = std::mem::replace(&mut self.told, now);
        is_new.then_some(before)
    }

    /// What connections are told of it.
    pub(crate) fn told(&self) -> &Settings {
        &self.told
    }

    /// The settings of which a connection with these defaults has to be told, on a server of this configuration: those
    /// where it would have something else, and those of which others were told.
    fn to_tell(&self, theirs: &Defaults, conf: Option<&Arc<Conf>>) -> Settings {
        let Some(login) = &self.login else { return Settings::default() };
        let mut names: BTreeSet<&str> = self.told.iter().map(|(name, _)| name).collect();
        let before = names.len();
        let mut differs = |name| {
            let has = theirs.told(name).or_else(|| conf.and_then(|conf| conf.get(name)));
            if self.get(name) != has.or_else(|| theirs.other(name)) {
                names.insert(name);
            }
        };
        if !Arc::ptr_eq(&login.told, &theirs.told) {
            let given = login.told.values.keys().chain(theirs.told.values.keys());
            given.for_each(|name| differs(name));
        }
        if !is_same(self.conf.as_ref(), conf) {
            VISIBLE.into_iter().for_each(differs);
        }
        if before == 0 && names.is_empty() {
            return Settings::default();
        }
        let value = |name: &str| {
            // Nobody has given it one; and a setting of somebody's own cannot be unset any more.
            let none = || name.contains('.').then_some("");
            Some(Value::Raw(self.get(name).or_else(none)?.into()))
        };
        let values = names.into_iter().filter_map(|name| Some((name.into(), value(name)?)));
        Settings::new(values.collect::<BTreeMap<_, _>>())
    }
}

fn address(conf: Option<&Arc<Conf>>) -> Option<*const Conf> {
    conf.map(Arc::as_ptr)
}

/// Whether two configurations are known to say the same, or one is not known.
fn is_same(one: Option<&Arc<Conf>>, other: Option<&Arc<Conf>>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one.looks_like(other))
}
