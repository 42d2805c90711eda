//! What clients cost, by database and user: so that it can be told whose the load is.
//!
//! The labels are names of the configuration, and not many: what clients may call themselves is without bounds, and a label
//! for each would fill the memory of weir and of Prometheus. A session finds its figures once, when it begins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{Counter, CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::by_server::keep;
use super::registry::Register;
use super::requests::Access;
use crate::config::Config;

/// How many names of each kind are labels: the first ones in the configuration.
const NAMED_MAX: usize = 20;

/// The label of all others.
const OTHER: &str = "other";

/// Figures of sessions, by database and user.
pub struct ByClient {
    families: Arc<Families>,
    pairs: Mutex<HashMap<Pair, Arc<FiguresOf>>>,
}

/// A database and a user, as their labels name them.
type Pair = (Box<str>, Box<str>);

struct Families {
    sessions: IntGaugeVec,
    requests: IntCounterVec,
    seconds: CounterVec,
    routes: Box<[&'static str]>,
}

/// Figures of the sessions of one user in one database.
pub struct FiguresOf {
    families: Arc<Families>,
    pair: Pair,
    /// How many there are.
    pub sessions: IntGauge,
    /// By route and access.
    requests: Box<[OnceLock<IntCounter>]>,
    /// By route.
    seconds: Box<[OnceLock<Counter>]>,
}

impl ByClient {
    pub(super) fn new(r: &mut Register, routes: &[&'static str]) -> Self {
        let families = Families {
            sessions: r.gauges(
                "sessions",
                "Sessions by database and user: the first 20 of each that the configuration lists, and other.",
                &["database", "user"],
            ),
            requests: r.counters(
                "session_requests_total",
                "Requests by whose they were, the route, and what they do with data (access, as in weir_requests_total).",
                &["database", "user", "route", "access"],
            ),
            seconds: r.real_counters(
                "session_query_seconds_total",
                "Time that servers worked on requests, by whose they were; as weir_query_seconds counts it.",
                &["database", "user", "route"],
            ),
            routes: routes.into(),
        };
        Self { families: Arc::new(families), pairs: Mutex::default() }
    }

    /// The figures of a user's sessions in a database. To be kept by who counts.
    pub fn of(&self, config: &Config, database: &str, user: &str) -> Arc<FiguresOf> {
        let label = |name: &str, mut listed: Listed<'_>| -> Box<str> {
            if listed.any(|listed| listed == name) { name.into() } else { OTHER.into() }
        };
        let pair = (label(database, databases(config)), label(user, users(config)));
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let new = |pair: &Pair| Arc::new(FiguresOf::new(self.families.clone(), pair.clone()));
        pairs.entry(pair).or_insert_with_key(new).clone()
    }

    /// Has figures end of databases and users that the configuration lists no more.
    pub fn keep(&self, config: &Config) {
        let stays = |name: &str, mut listed: Listed<'_>| name == OTHER || listed.any(|one| one == name);
        let database = |name: &str| stays(name, databases(config));
        let user = |name: &str| stays(name, users(config));
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = pairs.len();
        pairs.retain(|(of, by), _| database(of) && user(by));
        if pairs.len() == before {
            return;
        }
        let Families { sessions, requests, seconds, .. } = &*self.families;
        for (label, stays) in [("database", &database as &dyn Fn(&str) -> bool), ("user", &user)] {
            keep(sessions, label, stays);
            keep(requests, label, stays);
            keep(seconds, label, stays);
        }
    }
}

type Listed<'a> = Box<dyn Iterator<Item = &'a str> + 'a>;

fn databases(config: &Config) -> Listed<'_> {
    Box::new(config.databases.iter().map(|database| &*database.name).take(NAMED_MAX))
}

fn users(config: &Config) -> Listed<'_> {
    Box::new(config.users.iter().map(|user| &*user.name).take(NAMED_MAX))
}

impl FiguresOf {
    fn new(families: Arc<Families>, pair: Pair) -> Self {
        let routes = families.routes.len();
        Self {
            sessions: families.sessions.with_label_values(&[&*pair.0, &*pair.1]),
            requests: std::iter::repeat_with(OnceLock::new).take(routes * Access::COUNT).collect(),
            seconds: std::iter::repeat_with(OnceLock::new).take(routes).collect(),
            families,
            pair,
        }
    }

    /// Counts a request. The route is an index into the list given to [`Metrics::new`](super::metrics::Metrics::new).
    pub fn request(&self, route: usize, access: Access) {
        let Families { requests, routes, .. } = &*self.families;
        let at = route * Access::COUNT + access as usize;
        let (Some(route), Some(cell)) = (routes.get(route), self.requests.get(at)) else { return };
        let (database, user) = &self.pair;
        cell.get_or_init(|| requests.with_label_values(&[&**database, &**user, route, access.as_str()]))
            .inc();
    }

    /// Counts what was in flight until all of it was answered.
    pub fn took(&self, route: usize, time: Duration) {
        let Families { seconds, routes, .. } = &*self.families;
        let (Some(route), Some(cell)) = (routes.get(route), self.seconds.get(route)) else { return };
        let (database, user) = &self.pair;
        cell.get_or_init(|| seconds.with_label_values(&[&**database, &**user, route]))
            .inc_by(time.as_secs_f64());
    }
}
