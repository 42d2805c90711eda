//! The weir that takes over: it asks the one that runs for its sockets, says when it serves, and goes on with the clients that
//! come then. What goes wrong before that is its own affair: the other serves on.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::line::Line;
use super::words::{CONVERSATION, Predecessor, Socket, Successor};
use crate::net::{Given, GivenSocket, Listener, is_own_or_root};
use crate::server::accept::{Door, come_back};
use crate::server::control::{QUESTION_RELIEF, name};
use crate::session::{Blob, Forwarded, PORTABLE_VERSION, Parcel, Shared};

/// How long the weir that runs may take to answer, and to close its listeners.
const ANSWER: Duration = Duration::from_secs(20);

/// Cancel requests that wait to be passed on.
const FORWARDED: usize = 64;

/// Why this one does not take over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// It says so.
    #[error("the weir that runs does not let go: {0}")]
    Refused(String),
    /// It says nothing, or what nobody understands.
    #[error("the weir that runs does not know how to hand over, or is gone: {0}")]
    NoAnswer(#[from] io::Error),
}

/// A weir that lets go once this one serves.
pub(in crate::server) struct Taking {
    line: Line,
    next_pid: i32,
    /// What the weir before was asked for reloads by.
    pub(in crate::server) control: Option<Listener>,
}

/// Asks the weir that runs with this configuration file to let go. `None` when none runs. Must be called within a runtime.
///
/// # Errors
/// When it does not.
pub(in crate::server) async fn apply(file: &Path) -> Result<Option<(Taking, Given)>, TakeoverError> {
    let Ok(mut stream) = UnixStream::connect(format!("\0{}", name(file)?)).await else { return Ok(None) };
    // Whoever has taken the name could hand over anything.
    if !is_own_or_root(stream.peer_cred()?.uid()) {
        return Err(TakeoverError::Refused("it is not of this user".to_owned()));
    }
    stream.write_all(QUESTION_RELIEF).await?;
    let line = Line::new(stream);
    let weir = env!("CARGO_PKG_VERSION").to_owned();
    line.say(&Successor::Hello { weir, conversation: CONVERSATION, clients: PORTABLE_VERSION }, &[]).await?;
    let answer = timeout(ANSWER, line.hear()).await.map_err(io::Error::from)?;
    let (weir, sockets, clients, next_pid, descriptors) = match answer? {
        (Predecessor::Welcome { weir, sockets, clients, next_pid }, descriptors) => {
            (weir, sockets, clients, next_pid, descriptors)
        }
        (Predecessor::Refused { why }, _) => return Err(TakeoverError::Refused(why)),
        _ => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    };
    tracing::info!(weir, sockets = sockets.len(), "takes over from the weir that runs");
    if !clients {
        tracing::warn!(weir, "its clients are of another version: it keeps and drains them");
    }
    let (given, control) = sort(&sockets, descriptors);
    let control = control.map(|socket| Listener::given(GivenSocket::inherited(socket, None))).transpose()?;
    Ok(Some((Taking { line, next_pid, control }, Given::by_predecessor(given))))
}

/// The listeners, and the control socket.
fn sort(kinds: &[Socket], descriptors: Vec<OwnedFd>) -> (Vec<GivenSocket>, Option<OwnedFd>) {
    let (mut given, mut control, mut descriptors) = (Vec::new(), None, descriptors.into_iter());
    for kind in kinds {
        let Some(socket) = descriptors.next() else { break };
        match kind {
            Socket::Listens => given.push(GivenSocket::inherited(socket, None)),
            Socket::ListensLocked => given.push(GivenSocket::inherited(socket, descriptors.next())),
            Socket::Control => control = Some(socket),
        }
    }
    (given, control)
}

impl Taking {
    /// Before anybody is let in: process IDs are others than those of the weir before, and it may acknowledge what nobody
    /// here knows of.
    pub(in crate::server) fn prepare(&self, shared: &Shared) {
        shared.registry.goes_on_behind(self.next_pid);
        shared.is_beside_another();
    }

    /// This one serves: the other lets go. Its clients come from here on, in a task of their own.
    ///
    /// # Errors
    /// When it is gone.
    pub(in crate::server) async fn serves(
        self,
        door: Arc<Door>,
        listeners: Vec<String>,
    ) -> Result<(), TakeoverError> {
        self.line.say(&Successor::Ready { listeners }, &[]).await?;
        let answer = timeout(ANSWER, self.line.hear()).await.map_err(io::Error::from)?;
        let (Predecessor::Relieved, _) = answer? else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        };
        let line = Arc::new(self.line);
        let (cancels, forwarded) = mpsc::channel(FORWARDED);
        door.shared.kin.follows(Some(cancels));
        tokio::spawn(async move {
            let end = receive(line, &door, forwarded).await;
            door.shared.kin.follows(None);
            door.shared.is_alone_again();
            match end {
                Ok(clients) => tracing::info!(clients, "has taken over"),
                Err(error) => {
                    tracing::error!(%error, "the weir before this one is gone, and the clients that it had")
                }
            }
        });
        Ok(())
    }
}

/// Takes clients in, and passes cancel requests on to where other clients still are. How many clients came.
async fn receive(
    line: Arc<Line>,
    door: &Arc<Door>,
    mut cancels: mpsc::Receiver<Forwarded>,
) -> io::Result<usize> {
    let (answers, mut answered) = mpsc::channel(FORWARDED);
    let hearing = line.clone();
    // Hearing is not cancel safe, so that it has a task of its own.
    let hearing = tokio::spawn(async move {
        loop {
            let heard = hearing.hear::<Predecessor>().await;
            let is_over = matches!(heard, Err(_) | Ok((Predecessor::Farewell, _)));
            if answers.send(heard).await.is_err() || is_over {
                return;
            }
        }
    });
    let (mut asked, mut next, mut clients) = (HashMap::<u64, oneshot::Sender<bool>>::new(), 0, 0);
    let end = loop {
        tokio::select! {
            heard = answered.recv() => match heard {
                Some(Ok((Predecessor::Client { client }, mut sockets))) => {
                    if let Some(socket) = sockets.pop() {
                        come_back(door, Parcel { client: *client, socket });
                        door.shared.metrics.background.clients_taken.inc();
                        clients += 1;
                    }
                }
                Some(Ok((Predecessor::Cancelled { id, heard }, _))) => {
                    if let Some(asker) = asked.remove(&id) {
                        // Whoever asked may have left.
                        let _ = asker.send(heard);
                    }
                }
                Some(Ok((Predecessor::Farewell, _))) | None => break Ok(clients),
                Some(Ok(_)) => {}
                Some(Err(error)) => break Err(error),
            },
            Some(Forwarded { key, heard }) = cancels.recv() => {
                next += 1;
                asked.insert(next, heard);
                let secret = Blob(key.secret().to_vec());
                line.say(&Successor::Cancel { id: next, pid: key.pid(), secret }, &[]).await?;
            }
        }
    };
    hearing.abort();
    end
}
