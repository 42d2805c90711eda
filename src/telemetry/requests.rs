//! Requests, and how long they took, by the server that ran them.
//!
//! A session finds a server's figures once and keeps them: what a request touches then is an atomic add. A counter is made
//! when it is first needed, as most combinations never occur. It never knows what a request is: that is said to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::by_server::keep;
use super::registry::{Register, observe};
use crate::cluster::topology::{Server, ServerId};

/// Time that a person waits for: from a cached point read to a report.
pub(super) const QUERY_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

/// Labels that are known at start. A request is counted by its indices into these lists.
#[derive(Clone, Copy, Debug)]
pub struct RequestLabels<'a> {
    /// Names of the routes.
    pub routes: &'a [&'static str],
    /// Names of the reasons.
    pub reasons: &'a [&'static str],
}

/// What a request does with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// It neither reads nor writes any: it begins a transaction, sets, prepares.
    None,
    /// It only reads.
    Read,
    /// It writes, or may.
    Write,
}

impl Access {
    /// In the order of their numbers.
    const ALL: [Self; 3] = [Self::None, Self::Read, Self::Write];

    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::None => "none",
            Access::Read => "read",
            Access::Write => "write",
        }
    }
}

/// Requests that had this in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Where they ran.
    pub(crate) route: &'static str,
    /// Why there.
    pub(crate) reason: &'static str,
    /// What they did with data.
    pub(crate) access: Access,
    /// How many.
    pub(crate) count: u64,
}

/// What stands for a server where none has seen the request. Prometheus takes an empty label for one that is not there.
const NO_SERVER: &str = "";

/// Figures of requests, by server.
pub struct Requests {
    families: Arc<Families>,
    /// What weir answers itself.
    own: RequestsOf,
    servers: Mutex<HashMap<ServerId, Arc<RequestsOf>>>,
}

struct Families {
    requests: IntCounterVec,
    seconds: HistogramVec,
    routes: Box<[&'static str]>,
    reasons: Box<[&'static str]>,
}

/// Figures of one server's requests.
pub struct RequestsOf {
    families: Arc<Families>,
    server: Box<str>,
    /// By route, reason and access.
    requests: Box<[OnceLock<IntCounter>]>,
    /// By route.
    seconds: Box<[OnceLock<Histogram>]>,
}

impl Requests {
    pub(super) fn new(r: &mut Register, labels: RequestLabels) -> Self {
        let requests = r.counters(
            "requests_total",
            "Requests by the server that ran them (empty: weir answered itself), the route, the reason for it, and what they do with data (access): read, write (or weir cannot tell), none.",
            &["server", "route", "reason", "access"],
        );
        let seconds = r.histograms(
            "query_seconds",
            "From a request sent to a server to its answer complete; requests in flight together count as one.",
            &["server", "route"],
            QUERY_SECONDS,
        );
        let (routes, reasons) = (labels.routes.into(), labels.reasons.into());
        let families = Arc::new(Families { requests, seconds, routes, reasons });
        let own = RequestsOf::new(families.clone(), NO_SERVER);
        Self { families, own, servers: Mutex::default() }
    }

    /// The figures of a server, which has this name. To be kept by who counts.
    pub fn of(&self, server: ServerId, name: &str) -> Arc<RequestsOf> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(RequestsOf::new(self.families.clone(), name));
        servers.entry(server).or_insert_with(new).clone()
    }

    /// The figures of each server that has run something.
    pub(crate) fn by_server(&self) -> Vec<(ServerId, Arc<RequestsOf>)> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.iter().map(|(id, of)| (*id, of.clone())).collect()
    }

    /// What weir answers itself.
    pub fn own(&self) -> &RequestsOf {
        &self.own
    }

    /// Has figures end whose server is none of these.
    pub(super) fn keep(&self, servers: &[Server]) {
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| servers.iter().any(|server| server.id == *id));
        drop(known);
        let stays = |name: &str| name == NO_SERVER || servers.iter().any(|server| &*server.name == name);
        keep(&self.families.requests, "server", stays);
        keep(&self.families.seconds, "server", stays);
    }
}

impl RequestsOf {
    fn new(families: Arc<Families>, server: &str) -> Self {
        let cells = families.routes.len() * families.reasons.len() * Access::COUNT;
        Self {
            server: server.into(),
            requests: std::iter::repeat_with(OnceLock::new).take(cells).collect(),
            seconds: std::iter::repeat_with(OnceLock::new).take(families.routes.len()).collect(),
            families,
        }
    }

    /// Counts a request. Route and reason are indices into the lists given to [`Metrics::new`](super::metrics::Metrics::new).
    pub fn request(&self, route: usize, reason: usize, access: Access) {
        let Families { requests, routes, reasons, .. } = &*self.families;
        let at = (route * reasons.len() + reason) * Access::COUNT + access as usize;
        let (Some(route), Some(reason), Some(cell)) =
            (routes.get(route), reasons.get(reason), self.requests.get(at))
        else {
            debug_assert!(false, "no label for route {route} and reason {reason}");
            return;
        };
        let new = || requests.with_label_values(&[&*self.server, route, reason, access.as_str()]);
        cell.get_or_init(new).inc();
    }

    /// What was counted so far; nothing is looked up by name.
    pub(crate) fn counted(&self) -> impl Iterator<Item = Counted> + '_ {
        let Families { routes, reasons, .. } = &*self.families;
        let counted = |(at, cell): (usize, &OnceLock<IntCounter>)| {
            let (labels, access) = (at / Access::COUNT, Access::ALL.get(at % Access::COUNT)?);
            let (route, reason) = (labels / reasons.len(), labels % reasons.len());
            let (route, reason) = (routes.get(route)?, reasons.get(reason)?);
            Some(Counted { route, reason, access: *access, count: cell.get()?.get() })
        };
        self.requests.iter().enumerate().filter_map(counted)
    }

    /// Counts what was in flight until all of it was answered.
    pub fn took(&self, route: usize, time: Duration) {
        let Families { seconds, routes, .. } = &*self.families;
        let (Some(route), Some(cell)) = (routes.get(route), self.seconds.get(route)) else { return };
        observe(cell.get_or_init(|| seconds.with_label_values(&[&*self.server, route])), time);
    }
}
