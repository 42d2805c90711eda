//! The listeners that there are, and those that another configuration has: what is new is bound before anything changes,
//! and what is gone takes those in who knock already, and then nobody. Who has come in by it stays.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::accept::{CurrentEntrance, Door, Entrance, accept};
use super::start_error::StartError;
use super::tls::Acceptors;
use crate::config::{self, ListenAddress, TcpAddress, UnixAddress};
use crate::net::{Interface, Listener, TcpPlace, UnixPlace};

/// One that clients are accepted at.
struct Open {
    address: ListenAddress,
    entrance: CurrentEntrance,
    closing: CancellationToken,
    accepting: AbortOnDropHandle<()>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Listeners(Vec<Open>);

/// Listeners that are to be, with what is bound for them.
pub(super) struct Ready(Vec<(Arc<Entrance>, Option<Listener>)>);

/// Binds all that a configuration has.
pub(super) fn bind(configured: &[Arc<config::Listener>], acceptors: &Acceptors) -> Result<Ready, StartError> {
    Listeners::default().ready(configured, acceptors)
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
        let ready = |listener: &Arc<config::Listener>| {
            let encrypting = acceptors.of(&listener.tls)?;
            let in_the_way = self.0.iter().any(|open| open.address.meets(&listener.address));
            let bound = if in_the_way { None } else { Some(listen(&listener.address)?) };
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
            open.closing.cancel();
            // How it ended makes no difference.
            let _ = open.accepting.await;
        }
        for (entrance, bound) in ready.0 {
            let address = &entrance.configured.address;
            if let Some(open) = self.0.iter().find(|open| open.address == *address) {
                open.entrance.store(entrance);
                continue;
            }
            match bound.map_or_else(|| listen(address), Ok) {
                Ok(listener) => self.0.push(Open::new(listener, entrance, door)),
                // It was another listener's until now; that it can be had was not known before.
                Err(error) => tracing::error!(%error, "there is no such listener now; reload again"),
            }
        }
    }
}

impl Open {
    fn new(listener: Listener, entrance: Arc<Entrance>, door: &Arc<Door>) -> Self {
        let (address, closing) = (entrance.configured.address.clone(), CancellationToken::new());
        let entrance = Arc::new(ArcSwap::new(entrance));
        let accepting = tokio::spawn(accept(door.clone(), listener, entrance.clone(), closing.clone()));
        Self { address, entrance, closing, accepting: AbortOnDropHandle::new(accepting) }
    }
}

fn listen(address: &ListenAddress) -> Result<Listener, StartError> {
    let bound = match address {
        ListenAddress::Tcp(tcp) => listen_tcp(tcp),
        ListenAddress::Unix(UnixAddress { path, mode, group }) => {
            Listener::unix(UnixPlace { path, mode: *mode, group: group.as_deref() })
        }
    };
    bound.map_err(|source| StartError::Listen { address: address.to_string(), source })
}

fn listen_tcp(tcp: &TcpAddress) -> std::io::Result<Listener> {
    let interface = match tcp.interface {
        config::Interface::Address(address) => Interface::Address(address),
        config::Interface::Ipv6(address) => Interface::Ipv6(address),
        config::Interface::All(port) => Interface::All(port),
    };
    Listener::tcp(TcpPlace { interface, reuse_port: tcp.reuse_port })
}
