//! From an admitted client to a session: the settings it starts with, and what it is told of them.
//!
//! A client gets the ParameterStatus set that the server itself would have sent. Finding it out takes a backend
//! connection with the client's startup settings applied; the answer is kept for a while for the next client that
//! comes with the same ones, so that a storm of logins does not become one of connections.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::backend::ledger::Ledger;
use crate::backend::settings::{Settings, Value};
use crate::backend::{Backend, refusal};
use crate::cluster::topology::ServerId;
use crate::config::{PoolMode, User};
use crate::error::{Error, Result};
use crate::frontend::Admission;
use crate::net::Stream;
use crate::pool::{Account, Lease};
use crate::session::consistency::observed_reads::ObservedReads;
use crate::session::flow::pinning::PinLog;
use crate::session::flow::routing_settings::{Configured, RoutingSettings};
use crate::session::flow::slow_query::SlowQueryTrail;
use crate::session::flow::timeouts::Deadlines;
use crate::session::model::state::State;
use crate::session::model::weir_settings as own;
use crate::session::relay::client_buffer::ClientBuffer;
use crate::session::{Last, Phase, Session, Shared, Who};
use crate::sql::Target;
use crate::wire::HEADER;
use crate::wire::reply::{self, TransactionStatus};
use crate::wire::scan::{self, Stop};
use crate::wire::startup::Parameter;
use crate::wire::tag::server;
use crate::wire::{TxStatus, request};

/// How long a welcome is kept: a server's defaults change rarely, and clients come in crowds.
const KEPT: Duration = Duration::from_secs(30);

/// Most welcomes kept.
const MOST: usize = 1024;

/// Database, user and account towards the servers, and startup settings.
type GreetingKey = (Arc<str>, Arc<str>, Account, Settings);

/// What a server says to settings.
#[derive(Debug, Default)]
pub(crate) struct ParameterStatuses {
    parameters: Vec<Parameter>,
    /// NoticeResponses, whole: of a value that was cut short, for one.
    notices: Vec<Bytes>,
}

/// What clients with the same database, user and startup settings are told, and when it was found out.
#[derive(Debug, Default)]
pub(crate) struct Greetings {
    known: Mutex<HashMap<GreetingKey, (Instant, Arc<ParameterStatuses>)>>,
}

impl Greetings {
    /// What is told, and the settings as those who came before hold them: sharing them makes later comparisons one
    /// of pointers.
    fn get(&self, key: &GreetingKey, now: Instant) -> Option<(Settings, Arc<ParameterStatuses>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let ((.., settings), (since, told)) = known.get_key_value(key)?;
        (now.saturating_duration_since(*since) < KEPT).then(|| (settings.clone(), told.clone()))
    }

    fn put(&self, key: GreetingKey, told: Arc<ParameterStatuses>, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (since, _)| now.saturating_duration_since(*since) < KEPT);
        }
        if known.len() < MOST {
            known.insert(key, (now, told));
        }
    }
}

/// An admitted client, and how it came.
pub struct Newcomer {
    /// What the front door found out.
    pub admission: Admission<Stream>,
    /// The listener's fixed target.
    pub listener: Target,
    /// When the login must be done.
    pub deadline: tokio::time::Instant,
}

impl Session {
    /// Makes a session of a newcomer and queues its welcome.
    ///
    /// # Errors
    /// Why it cannot begin, with the stream on which the client is to be told: the database does not exist, a startup
    /// setting is refused, no server can be reached.
    pub async fn begin(
        shared: Arc<Shared>,
        newcomer: Newcomer,
    ) -> std::result::Result<Self, (Stream, Error)> {
        let Newcomer { admission, listener, deadline } = newcomer;
        let Admission { stream, received, greeting, user, welcome } = admission;
        let startup = startup_settings(&greeting.parameters);
        let who = identify(&shared, user, &greeting.database, listener);
        let session_pool = (who.mode == PoolMode::Session).then(Box::default);
        let deadlines = Deadlines::new(who.user.timeouts, Instant::now());
        let mut state = State::new(
            startup,
            shared.statements.clone(),
            shared.nowhere.clone(),
            shared.pools.notifiers().clone(),
        );
        let entry = shared.registry.enter(greeting.minor);
        state.pid = entry.key().pid();
        let pinning = PinLog::new(shared.metrics.clone());
        let mut session = Session {
            shared,
            who: Box::new(who),
            stream,
            // The login's buffer would stay with a client that says nothing.
            read_buffer: if received.is_empty() { BytesMut::new() } else { received },
            framer: Default::default(),
            client_buffer: ClientBuffer::default(),
            state: Box::new(state),
            leg: None,
            expected: TxStatus::Idle,
            phase: Phase::Messages,
            long: None,
            untold: None,
            rerun: None,
            entry,
            pools: Vec::new(),
            replica: None,
            last: Last::default(),
            wrote: None,
            seen: None,
            moved: None,
            isolation: None,
            observed_reads: ObservedReads::default(),
            routing: Box::new(RoutingSettings::default()),
            ledger: Ledger::default(),
            trail: SlowQueryTrail::default(),
            pinning,
            session_pool,
            deadlines,
        };
        session.client_buffer.write(|out| out.extend_from_slice(&welcome));
        let told = tokio::time::timeout_at(deadline, session.settle_in()).await;
        match told.unwrap_or(Err(Error::LoginTimeout)) {
            Ok(told) => {
                session.state.enters(session.shared.database(&session.who.server_database));
                session.want_catalog().await;
                session.greet(&told);
                Ok(session)
            }
            Err(error) => {
                session.leave();
                // The login itself went well, and the client is told so first. Should that fail, the error will too.
                let _ = poll_fn(|cx| session.client_buffer.poll_flush(&mut session.stream, cx, None)).await;
                Err((session.stream, error))
            }
        }
    }

    fn greet(&mut self, told: &ParameterStatuses) {
        let key = self.entry.key().clone();
        self.client_buffer.write(|out| {
            told.notices.iter().for_each(|notice| out.extend_from_slice(notice));
            for (name, value) in &told.parameters {
                reply::parameter_status(out, name, value);
            }
            reply::backend_key_data(out, &key);
            reply::ready_for_query(out, TransactionStatus::Idle);
        });
    }

    /// Has the catalog of the session's database read, if nobody has yet.
    async fn want_catalog(&mut self) {
        let catalogs = self.shared.cluster.catalogs();
        self.who.catalog = catalogs.want(&self.who.server_database, &self.who.user);
        catalogs.first_load(&self.who.server_database).await;
    }

    /// Has a server take the client's startup settings, and returns what it says to them: all of its ParameterStatus.
    async fn settle_in(&mut self) -> Result<Arc<ParameterStatuses>> {
        own::admits_all(self.state.settings.own())?;
        let wanted = self.state.settings.wanted().clone();
        let who = &self.who;
        let account = Account { password: who.user.server_password.clone() };
        let key = (who.server_database.clone(), who.user.server_user.clone(), account, wanted.clone());
        if let Some((settings, known)) = self.shared.greetings.get(&key, Instant::now()) {
            self.state.settings.shares(settings);
            return Ok(known);
        }
        let mut lease = self.lease_any().await?;
        let mut all = ParameterStatuses { parameters: lease.parameters.clone(), notices: Vec::new() };
        // The connection may carry another session's settings. What both have would not be reported: so back to the
        // server's own first.
        let (carried, none) = (lease.settings.clone(), Settings::default());
        for sql in [carried.difference(&none), none.difference(&wanted)] {
            let told = tell(&mut lease, &sql).await?;
            for (name, value) in told.parameters {
                match all.parameters.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, old)) => *old = value,
                    None => all.parameters.push((name, value)),
                }
            }
            all.notices.extend(told.notices);
        }
        lease.settings = wanted;
        lease.release(Instant::now());
        let told = Arc::new(all);
        self.shared.greetings.put(key, told.clone(), Instant::now());
        Ok(told)
    }

    /// A connection to the primary or, without one, to any replica: sessions that only read can go on.
    async fn lease_any(&mut self) -> Result<Lease> {
        let topology = arc_swap::Guard::into_inner(self.shared.cluster.topology());
        let mut servers: Vec<ServerId> = topology.writable().map(|s| s.id).into_iter().collect();
        servers.extend(topology.replicas().map(|s| s.id));
        if servers.is_empty() {
            let deadline = tokio::time::Instant::now() + self.shared.config.pool.primary_wait;
            servers.extend(self.shared.cluster.wait_for_primary(deadline).await);
        }
        let mut last = Error::NoPrimary;
        for server in servers {
            let Some(pool) = self.pool(server) else { continue };
            match pool.checkout(self.state.settings.wanted(), self.who.pool_size).await {
                Ok(lease) => return Ok(lease),
                Err(error @ Error::Refused { .. }) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Runs SQL on an idle connection and returns what it brought about.
pub(crate) async fn tell(backend: &mut Backend, sql: &str) -> Result<ParameterStatuses> {
    let mut told = ParameterStatuses::default();
    if sql.is_empty() {
        return Ok(told);
    }
    request::put_query(&mut backend.write_buffer, sql.as_bytes());
    backend.unnamed = None;
    let mut refused = None;
    loop {
        poll_fn(|cx| {
            ready!(backend.poll_flush(cx))?;
            match ready!(backend.poll_fill(cx, 1 << 20))? {
                0 => Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into())),
                _ => Poll::Ready(Ok(())),
            }
        })
        .await
        .map_err(|_: std::io::Error| Error::ServerLost)?;
        loop {
            let (passing, stop) = scan::run(&backend.read_buffer);
            backend.read_buffer.advance(passing);
            let head = match stop {
                Stop::Look(head) => head,
                Stop::Bad(_) => return Err(Error::ServerProtocol("impossible message length")),
                Stop::End { .. } | Stop::Partial => break,
            };
            if head.len > backend.read_buffer.len() {
                return Err(Error::ServerProtocol("a very long answer to a change of settings"));
            }
            let frame = backend.read_buffer.split_to(head.len).freeze();
            match head.tag {
                server::PARAMETER_STATUS => told.parameters.extend(parameter(&frame)),
                server::NOTICE => told.notices.push(frame),
                server::ERROR => refused = Some(refusal(&frame[HEADER..])),
                server::READY => return refused.map_or(Ok(told), Err),
                _ => {}
            }
        }
    }
}

/// The name and value of a ParameterStatus.
fn parameter(frame: &Bytes) -> Option<Parameter> {
    let (name, at) = crate::wire::frame::cstr(frame, HEADER)?;
    let (value, _) = crate::wire::frame::cstr(frame, at)?;
    Some((frame.slice_ref(name), frame.slice_ref(value)))
}

/// The settings in a startup packet: everything but what names the session itself.
fn startup_settings(parameters: &[Parameter]) -> Settings {
    let mut values = BTreeMap::new();
    for (name, value) in parameters {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let value = String::from_utf8_lossy(value).into_owned();
        values.insert(name.into_boxed_str(), Value::Raw(value.into()));
    }
    Settings::new(values)
}

fn identify(shared: &Shared, user: Arc<User>, database: &str, listener: Target) -> Who {
    let listed = shared.config.databases.iter().find(|listed| &*listed.name == database);
    let name: Arc<str> = listed.map_or_else(|| database.into(), |listed| listed.name.clone());
    Who {
        server_database: listed.map_or_else(|| name.clone(), |listed| listed.server_database.clone()),
        database: name,
        listener,
        alias: listed.map_or(Target::Auto, |listed| listed.target),
        levels: Configured::new(&shared.config.routing, listed, &user),
        pool_size: user
            .pool_size
            .or(listed.and_then(|listed| listed.pool_size))
            .unwrap_or(shared.config.pool.size),
        mode: listed
            .and_then(|listed| listed.pool_mode)
            .or(user.pool_mode)
            .unwrap_or(shared.config.pool.mode),
        catalog: None,
        user,
    }
}
