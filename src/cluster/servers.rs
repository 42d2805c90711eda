//! The servers as one: who belongs to the cluster now, and the questions that the data's way has about them.
//!
//! Servers come and go while weir runs. Each change is one new snapshot of the topology; whoever keeps something about
//! servers compares the snapshot that it acted upon with the present one. Nobody is called, so nobody can be forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::catalogs::Catalogs;
use super::control::{CurrentTerms, Login, Terms};
use super::identity::{Admittance, Lookup, LookupError, RoleMember, Rounds, Standing};
use super::member::Member;
use super::roles::Monitor;
use super::sampling::{Demand, SampleEvents, Samplers};
use super::topology::{Role, Server, ServerId, Topology};
use crate::config::{self, AuthPlace, AuthQuery, Config, Secret, ServerProof};

/// The servers, watched from the moment this is started until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    monitor: Arc<Monitor>,
    catalogs: Arc<Catalogs>,
    demand: Arc<Demand>,
    samplers: Arc<Samplers>,
    members: Mutex<HashMap<ServerId, Member>>,
    /// How often the servers are watched, and as whom.
    terms: CurrentTerms,
    asking: ArcSwap<Asking>,
}

/// What the servers are asked about users.
#[derive(Debug)]
struct Asking {
    /// Whom they would let in.
    entrants: Rounds<Admittance>,
    /// Who is a member of which role.
    role_members: Rounds<RoleMember>,
    /// What they know of users whom nobody has listed.
    lookup: Option<Lookup>,
}

impl Asking {
    fn new(monitor: &Arc<Monitor>, terms: &Terms, query: Option<&AuthQuery>) -> Self {
        let Terms { health, login } = terms;
        let lookup = |query| Lookup::new(monitor.clone(), Login::to_ask(query), health);
        Self {
            entrants: Rounds::start(monitor.clone(), login.clone(), health),
            role_members: Rounds::start(monitor.clone(), login.clone(), health),
            lookup: query.map(lookup),
        }
    }

    fn close(&self) {
        self.entrants.close();
        self.role_members.close();
        self.lookup.iter().for_each(Lookup::close);
    }
}

impl Cluster {
    /// Begins to watch the configured servers, on the current runtime. Returns at once, before anything is known;
    /// a server that is down keeps nothing from starting.
    pub fn start(config: &Config) -> Arc<Self> {
        Self::start_observed(config, &config.servers, Arc::new(()))
    }

    /// The same with these servers, whoever has found them, and with somebody who hears of each sample.
    pub fn start_observed(
        config: &Config,
        servers: &[config::Server],
        events: Arc<dyn SampleEvents>,
    ) -> Arc<Self> {
        let terms = Terms { health: config.health.clone(), login: login(config) };
        let now = std::time::Instant::now();
        let monitor = Arc::new(Monitor::new(now));
        let demand = Arc::new(Demand::new(now));
        let asking = Asking::new(&monitor, &terms, config.auth.query.as_ref());
        let terms = CurrentTerms::new(ArcSwap::from_pointee(terms));
        let cluster = Self {
            asking: ArcSwap::from_pointee(asking),
            catalogs: Arc::new(Catalogs::new(monitor.clone(), terms.clone())),
            samplers: Arc::new(Samplers::new(monitor.clone(), demand.clone(), events)),
            members: Mutex::default(),
            monitor,
            demand,
            terms,
        };
        cluster.set_servers(servers);
        Arc::new(cluster)
    }

    /// From now on these are all the servers, whoever has found them: the one way in which they come and go. Those that are
    /// new are watched on the current runtime, and nothing is sent to them until they were probed; their identity is their
    /// own for ever. Those that are gone are in no topology any more when this returns: what runs on them may come to its
    /// end, and what is new goes elsewhere. Those that stay are not disturbed, whatever else is said of them. A server is
    /// told by its address; one that is reached in another way is another one.
    pub fn set_servers(&self, servers: &[config::Server]) {
        // Who sets at the same time waits, so that nobody watches what another has removed.
        let mut members = self.members();
        let before = Arc::clone(&self.monitor.topology());
        let moves = self.monitor.set(servers, std::time::Instant::now());
        for id in moves.gone {
            drop(members.remove(&id));
            self.samplers.forget(&before, id);
        }
        let topology = Arc::clone(&self.monitor.topology());
        for server in moves.come.iter().filter_map(|id| topology.server(*id)) {
            members.insert(server.id, Member::watch(server, &self.terms, &self.monitor, &self.samplers));
        }
    }

    /// Another configuration holds: how the servers are watched from now on, as whom, and what they are asked. Who they are
    /// is said by [`Cluster::set_servers`].
    pub(crate) fn heed(&self, config: &Config, before: &Config) {
        let terms = Terms { health: config.health.clone(), login: login(config) };
        let same = terms.login == self.terms.load().login && terms.health == before.health;
        if !same || config.auth.query != before.auth.query {
            self.asking.store(Arc::new(Asking::new(&self.monitor, &terms, config.auth.query.as_ref())));
        }
        if !same {
            self.terms.store(Arc::new(terms));
            // Who waits for its next probe has waited long enough, if they are to be more frequent now.
            self.topology().servers.iter().for_each(|server| self.suspect(server.id));
        }
        self.catalogs.heed(&config.users);
    }

    /// One server more.
    #[cfg(test)]
    pub(crate) fn insert(&self, server: &config::Server) -> ServerId {
        let id = self.monitor.insert(server, std::time::Instant::now());
        let topology = Arc::clone(&self.monitor.topology());
        if let Some(server) = topology.server(id) {
            let member = Member::watch(server, &self.terms, &self.monitor, &self.samplers);
            self.members().insert(id, member);
        }
        id
    }

    /// One server less. Whether there was one of this identity.
    #[cfg(test)]
    pub(crate) fn remove(&self, server: ServerId) -> bool {
        let Some(member) = self.members().remove(&server) else { return false };
        drop(member);
        let before = Arc::clone(&self.monitor.topology());
        self.monitor.remove(server, std::time::Instant::now());
        self.samplers.forget(&before, server);
        true
    }

    /// Waits until every server has been probed once, at most for one probe's timeout: the first client should
    /// find the roles known.
    pub async fn first_look(&self) {
        let explored = self.monitor.wait(|topology| topology.is_explored().then_some(()));
        // A little more than the timeout, so that the server that used all of it is still reported.
        let patience = self.terms.load().health.timeout;
        if timeout(patience + Duration::from_millis(100), explored).await.is_err() {
            tracing::debug!("not every server was probed in time");
        }
    }

    /// What is known now. For a look, not to be kept across an await: clone the `Arc` inside for that.
    pub fn topology(&self) -> Guard<Arc<Topology>> {
        self.monitor.topology()
    }

    /// Marks every change of the topology from now on. Subscribe first, then look.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.monitor.changes()
    }

    /// A connection to this server could not be made or broke. Has it probed at once, over a new connection; calls
    /// that come faster than probes are one.
    pub fn suspect(&self, server: ServerId) {
        self.monitor.suspect(server);
    }

    /// Since when there has been no primary that can be written to; `None` while there is one.
    pub(crate) fn without_primary_since(&self) -> Option<std::time::Instant> {
        self.monitor.without_primary_since()
    }

    /// Waits for a primary that can be written to; `None` when there is none until `deadline`. Cancel safe.
    pub async fn wait_for_primary(&self, deadline: Instant) -> Option<ServerId> {
        let primary = self.monitor.wait(|topology| topology.writable().map(|server| server.id));
        timeout_at(deadline, primary).await.ok()
    }

    /// Waits until there is no primary that can be written to. Cancel safe.
    pub(crate) async fn wait_for_absence(&self) {
        self.monitor.wait(|topology| topology.writable().is_none().then_some(())).await;
    }

    /// What readers and writers want of the samplers.
    pub fn demand(&self) -> &Arc<Demand> {
        &self.demand
    }

    /// The catalogs of the databases in use.
    pub fn catalogs(&self) -> &Arc<Catalogs> {
        &self.catalogs
    }

    /// Whether everything can be served: there is a primary that can be written to. This is what `/readyz` tells and
    /// nothing else asks: without a primary reads go on, and writes wait for one. The error says what is the matter with
    /// each server that is not up or has no role.
    pub fn ready(&self) -> Result<(), String> {
        let topology = self.topology();
        match topology.writable() {
            Some(_) => Ok(()),
            None => Err(with_troubles("no primary can be reached", &topology)),
        }
    }

    /// Whether reads can be served, from a replica or from the primary. How fresh they may be is another question. The
    /// error is like that of [`Cluster::ready`].
    pub fn ready_to_read(&self) -> Result<(), String> {
        let topology = self.topology();
        match topology.replicas().next().or(topology.writable()) {
            Some(_) => Ok(()),
            None => Err(with_troubles("no server can be reached", &topology)),
        }
    }

    /// How it stands with a role and a database now, by their names on the servers; where no server says so soon, how it
    /// was when one did. `None` when nobody can tell. Cancel safe.
    pub(crate) async fn standing(&self, role: &Arc<str>, database: &Arc<str>) -> Option<Standing> {
        let asking = self.asking.load_full();
        asking.entrants.answer(Admittance { role: role.clone(), database: database.clone() }).await
    }

    /// The roles of which a role of the servers is a member now, itself included; where no server says so soon, those of
    /// which it was when one did. `None` when nobody can tell. Cancel safe.
    pub(crate) async fn memberships(&self, role: &Arc<str>) -> Option<Arc<[String]>> {
        self.asking.load_full().role_members.answer(RoleMember(role.clone())).await
    }

    /// The secret of a user whom nobody has listed, empty if it has none; `None` if the servers know no such user. Cancel
    /// safe.
    ///
    /// # Errors
    /// No server answers.
    pub(crate) async fn secret(&self, place: &AuthPlace, name: &str) -> Result<Option<Secret>, LookupError> {
        match &self.asking.load_full().lookup {
            Some(lookup) => lookup.secret(place, name).await,
            None => Ok(None),
        }
    }

    /// Nobody may be connected to a database for a moment: who asked there for users leaves it.
    pub(crate) fn vacate(&self, database: &str) {
        self.asking.load().lookup.iter().for_each(|lookup| lookup.vacate(database));
    }

    /// Ends all watching and closes the control connections; what is known stays as it is.
    pub fn shutdown(&self) {
        self.members().clear();
        self.asking.load().close();
        self.catalogs.close();
    }

    fn members(&self) -> MutexGuard<'_, HashMap<ServerId, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As whom the servers are watched. What is known of a user elsewhere is not known to probes.
fn login(config: &Config) -> Login {
    let name = &config.health.user;
    let user = config.users.iter().find(|user| user.name == *name);
    let query = config.auth.query.as_ref().filter(|query| query.user == *name);
    match (user, query) {
        (Some(user), None) => Login::of(user),
        (Some(user), Some(_)) if user.server_proof != ServerProof::None => Login::of(user),
        (_, Some(query)) => Login::to_ask(query),
        (None, None) => Login::trusted(name.clone()),
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// What is the matter, and with which servers.
fn with_troubles(what: &str, topology: &Topology) -> String {
    let trouble = |server: &Server| match (&server.trouble, server.role) {
        (Some(trouble), _) => Some(format!("{}: {trouble}", server.name)),
        (None, Role::Unknown) => Some(format!("{}: role not known", server.name)),
        (None, Role::Primary | Role::Replica) => None,
    };
    let troubles: Vec<_> = topology.servers.iter().filter_map(trouble).collect();
    if troubles.is_empty() { what.into() } else { format!("{what}; {}", troubles.join("; ")) }
}
