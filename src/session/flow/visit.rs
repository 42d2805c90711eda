//! Who has come, in the words in which operators are told; and whether operators let anybody in.

use std::sync::Arc;

use crate::config::{Interface, ListenAddress, Listener};
use crate::error::{Bar, Error, Result};
use crate::net::{Encryption, Peer, PeerAddress};
use crate::session::shared::Shared;
use crate::session::shared::gate::Names;
use crate::session::shared::visitors::{Place, Visitor};

/// Somebody who logged in as this user by this listener.
pub(crate) fn visitor(
    shared: &Shared,
    user: &Arc<str>,
    names: &Names,
    (peer, listener): (&Peer, &Listener),
) -> Visitor {
    let by = at(&listener.address);
    let from = match peer.address {
        PeerAddress::Tcp(address) => Place { address: address.ip().to_string().into(), port: address.port() },
        PeerAddress::Unix(_) => Place { address: "unix".into(), port: by.port },
    };
    let tls = match &peer.encryption {
        Encryption::None => String::new(),
        Encryption::Tls(tls) => format!("{}/{}", tls.version, tls.cipher),
    };
    let tally = shared.board.tallies.of(names);
    let mut visitor = Visitor::new(user.clone(), names.clone(), (from, by), tally);
    visitor.tls = tls.into();
    visitor
}

/// Where a listener is.
fn at(address: &ListenAddress) -> Place {
    let (address, port) = match address {
        ListenAddress::Unix(_) => ("unix".to_owned(), 0),
        ListenAddress::Tcp(tcp) => match tcp.interface {
            Interface::Address(address) | Interface::Ipv6(address) => {
                (address.ip().to_string(), address.port())
            }
            Interface::All(port) => ("*".to_owned(), port),
        },
    };
    Place { address: address.into(), port }
}

/// Lets nobody in where it is shut before the client's login counts, and tells those whose database takes nobody.
///
/// # Errors
/// [`Error::MayNotEnter`].
/// Cancel safe.
pub(super) async fn enters(shared: &Shared, names: &Names) -> Result<()> {
    if shared.board.gate.is_disabled(names) {
        return Err(Error::MayNotEnter(Bar::Closed, names.client.to_string()));
    }
    shared.board.gate.opens(names).await;
    Ok(())
}
