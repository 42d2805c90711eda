//! The listeners that there are, and those that another configuration has: what is new is bound before anything changes,
//! and what is gone takes those in who knock already, and then nobody. Who has come in by it stays.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::accept::{CurrentEntrance, Door, Entrance, accept};
use super::start_error::StartError;
use super::takeover::Handed;
use super::tls::Acceptors;
use crate::config::{self, ListenAddress, TcpAddress, UnixAddress};
use crate::net::{Given, Interface, Listener, TcpPlace, UnixPlace};

/// One that clients are accepted at.
struct Open {
    address: ListenAddress,
    entrance: CurrentEntrance,
    listener: Arc<Listener>,
    closing: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Listeners(Vec<Open>);

/// Listeners that are to be, with what is bound for them.
pub(super) struct Ready(Vec<(Arc<Entrance>, Option<Listener>)>);

/// Binds all that a configuration has, but for what is listened at already.
pub(super) fn bind(
    configured: &[Arc<config::Listener>],
    acceptors: &Acceptors,
    given: &mut Given,
) -> Result<Ready, StartError> {
    Listeners::default().ready_with(configured, acceptors, given)
}

impl Listeners {
    /// Binds what is new. An address that overlaps with one that is given up cannot be bound before that is closed.
    ///
    /// # Errors
    /// When one cannot be listened on, or its certificate cannot be used. Nothing has changed then.
    pub(super) fn ready(
        &self,
        configured: &[Arc<config::Listener>],
        acceptors: &Acceptors,
    ) -> Result<Ready, StartError> {
        self.ready_with(configured, acceptors, &mut Given::default())
    }

    fn ready_with(
        &self,
        configured: &[Arc<config::Listener>],
        acceptors: &Acceptors,
        given: &mut Given,
    ) -> Result<Ready, StartError> {
        let ready = |listener: &Arc<config::Listener>| {
            let encrypting = acceptors.of(&listener.tls)?;
            let in_the_way = self.0.iter().any(|open| open.address.meets(&listener.address));
            let bound = if in_the_way { None } else { Some(listen(&listener.address, given)?) };
            Ok((Arc::new(Entrance { configured: listener.clone(), encrypting }), bound))
        };
        configured.iter().map(ready).collect::<Result<_, StartError>>().map(Ready)
    }

    /// These are the listeners from now on. When this returns those that are gone are closed.
    pub(super) async fn open(&mut self, ready: Ready, door: &Arc<Door>) {
        let stays = |open: &Open| ready.0.iter().any(|(now, _)| now.configured.address == open.address);
        let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0).into_iter().partition(stays);
        self.0 = stay;
        for open in gone {
            open.close().await;
        }
        for (entrance, bound) in ready.0 {
            let address = &entrance.configured.address;
            if let Some(open) = self.0.iter().find(|open| open.address == *address) {
                open.entrance.store(entrance);
                continue;
            }
            match bound.map_or_else(|| listen(address, &mut Given::default()), Ok) {
                Ok(listener) => self.0.push(Open::new(listener, entrance, door)),
                // It was another listener's until now; that it can be had was not known before.
                Err(error) => tracing::error!(%error, "there is no such listener now; reload again"),
            }
        }
    }
}

impl Listeners {
    /// Closes those at which others listen, or will: who comes now comes to these.
    pub(super) async fn leave_to_others(&mut self) {
        let (shared, own) =
            std::mem::take(&mut self.0).into_iter().partition(|open| open.listener.is_shared());
        self.0 = own;
        let shared: Vec<Open> = shared;
        for open in shared {
            open.close().await;
        }
    }

    /// The sockets, for another weir, which listens at them beside this one.
    pub(super) fn sockets(&self) -> io::Result<Vec<Handed>> {
        let socket =
            |open: &Open| open.listener.descriptors().map(|(socket, lock)| Handed::Listener(socket, lock));
        self.0.iter().map(socket).collect()
    }

    /// They are another weir's from now on. Who has knocked by now may have come in here.
    pub(super) async fn give_away(&mut self) {
        for open in std::mem::take(&mut self.0) {
            open.listener.is_given_away();
            open.close().await;
        }
    }
}

impl Open {
    async fn close(self) {
        self.closing.cancel();
        // How it ended makes no difference.
        let _ = self.accepting.await;
    }

    fn new(listener: Listener, entrance: Arc<Entrance>, door: &Arc<Door>) -> Self {
        let (address, closing) = (entrance.configured.address.clone(), CancellationToken::new());
        let (entrance, listener) = (Arc::new(ArcSwap::new(entrance)), Arc::new(listener));
        let accepting = accept(door.clone(), listener.clone(), entrance.clone(), closing.clone());
        let accepting = tokio::spawn(accepting);
        Self { address, entrance, listener, closing, accepting: AbortOnDropHandle::new(accepting) }
    }
}

fn listen(address: &ListenAddress, given: &mut Given) -> Result<Listener, StartError> {
    let bound = match address {
        ListenAddress::Tcp(tcp) => listen_tcp(tcp, given),
        ListenAddress::Unix(UnixAddress { path, mode, group }) => match given.take_unix(path) {
            Some(socket) => Listener::given(socket),
            None => Listener::unix(UnixPlace { path, mode: *mode, group: group.as_deref() }),
        },
    };
    bound.map_err(|source| StartError::Listen { address: address.to_string(), source })
}

fn listen_tcp(tcp: &TcpAddress, given: &mut Given) -> std::io::Result<Listener> {
    let interface = match tcp.interface {
        config::Interface::Address(address) => Interface::Address(address),
        config::Interface::Ipv6(address) => Interface::Ipv6(address),
        config::Interface::All(port) => Interface::All(port),
    };
    match given.take_tcp(|address| interface.is_at(address)) {
        Some(socket) => Listener::given(socket),
        None => Listener::tcp(TcpPlace { interface, reuse_port: tcp.reuse_port }),
    }
}
