//! The weir that is relieved: it hands its sockets over, goes on as if nothing were until the other serves, and then hands
//! over each client as soon as that is between two requests.
//!
//! It decides nothing about clients: a session says itself when it can go.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::line::Line;
use super::words::{CONVERSATION, Predecessor, Socket, Successor};
use crate::server::accept::{Door, cancel, come_back};
use crate::session::{PORTABLE_VERSION, Parcel, Relief};
use crate::wire::startup::CancelKey;

/// How long the other may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);

/// How long it may take until it serves: it reads its configuration and looks at all servers first.
const READY: Duration = Duration::from_secs(120);

/// Clients that wait to be sent.
const PARCELS: usize = 64;

/// Answers to cancel requests that wait for the same.
const ANSWERS: usize = 64;

/// Somebody who wants to take over.
#[derive(Debug)]
pub(in crate::server) struct Applicant {
    /// The line to it.
    pub stream: UnixStream,
    /// Its process, where the kernel tells.
    pub pid: Option<i32>,
}

/// One that serves by now.
pub(in crate::server) struct Ready {
    line: Line,
    /// Its listeners, where it understands the clients that came by these.
    listeners: Option<Vec<String>>,
}

/// A socket that is handed over.
pub(in crate::server) enum Handed {
    /// With the lock beside it.
    Listener(OwnedFd, Option<OwnedFd>),
    /// By which reloads are asked for.
    Control(OwnedFd),
}

/// Sees somebody through until it serves. Until then nothing has changed here.
///
/// # Errors
/// Why it does not take over.
pub(in crate::server) async fn introduce(
    applicant: Applicant,
    sockets: Vec<Handed>,
    door: &Door,
    obstacle: Option<&str>,
) -> io::Result<Ready> {
    let line = Line::new(applicant.stream);
    let hello = timeout(HELLO, line.hear()).await??;
    let (Successor::Hello { weir, conversation, clients }, _) = hello else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say who it is"));
    };
    let unknown = format!("weir {} does not know the words of weir {weir}", env!("CARGO_PKG_VERSION"));
    let obstacle = obstacle.or((conversation != CONVERSATION).then_some(&unknown));
    if let Some(why) = obstacle {
        line.say(&Predecessor::Refused { why: why.to_owned() }, &[]).await?;
        return Err(io::Error::other(why.to_owned()));
    }
    let understands = clients == PORTABLE_VERSION;
    let (mut kinds, mut descriptors) = (Vec::new(), Vec::new());
    for socket in &sockets {
        match socket {
            Handed::Listener(socket, None) => {
                _ = (kinds.push(Socket::Listens), descriptors.push(socket.as_fd()))
            }
            Handed::Listener(socket, Some(lock)) => {
                kinds.push(Socket::ListensLocked);
                descriptors.extend([socket.as_fd(), lock.as_fd()]);
            }
            Handed::Control(socket) => _ = (kinds.push(Socket::Control), descriptors.push(socket.as_fd())),
        }
    }
    let welcome = Predecessor::Welcome {
        weir: env!("CARGO_PKG_VERSION").to_owned(),
        sockets: kinds,
        clients: understands,
        next_pid: door.shared.registry.next(),
    };
    line.say(&welcome, &descriptors).await?;
    tracing::info!(weir, pid = applicant.pid, "another weir takes over, once it serves");
    let Ok(ready) = timeout(READY, line.hear()).await else {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not come to serve"));
    };
    match ready? {
        (Successor::Ready { listeners }, _) => {
            Ok(Ready { line, listeners: understands.then_some(listeners) })
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not say that it serves")),
    }
}

impl Ready {
    /// It has the listeners; clients go to it from now on, where it understands them. Runs until this one has no more.
    pub(in crate::server) fn relieve(self, door: Arc<Door>) -> JoinHandle<()> {
        let (parcels, waiting) = mpsc::channel(PARCELS);
        if self.listeners.is_none() {
            tracing::warn!(
                "the other weir does not understand this one's clients: they stay here, and are drained"
            );
        }
        let listeners = self.listeners.unwrap_or_default();
        door.shared.kin.is_relieved_by(Some(Relief { parcels, listeners }));
        let line = Arc::new(self.line);
        tokio::spawn(async move {
            let (answers, answered) = mpsc::channel(ANSWERS);
            let hearing = tokio::spawn(hear(line.clone(), door.clone(), answers));
            match send(&line, &door, waiting, answered).await {
                Ok(clients) => tracing::info!(clients, "handed over"),
                Err(error) => {
                    tracing::error!(%error, "the other weir is gone: who is here stays, and is drained")
                }
            }
            hearing.abort();
        })
    }
}

/// Sends clients and answers, until there are no more. How many clients went. Those that did not, though they were on their
/// way, are here again.
async fn send(
    line: &Line,
    door: &Arc<Door>,
    mut clients: mpsc::Receiver<Parcel>,
    mut answers: mpsc::Receiver<Predecessor>,
) -> io::Result<usize> {
    let sent = send_all(line, door, &mut clients, &mut answers).await;
    if sent.is_err() {
        door.shared.kin.is_relieved_by(None);
        clients.close();
        while let Some(parcel) = clients.recv().await {
            come_back(door, parcel);
        }
    }
    sent
}

async fn send_all(
    line: &Line,
    door: &Arc<Door>,
    clients: &mut mpsc::Receiver<Parcel>,
    answers: &mut mpsc::Receiver<Predecessor>,
) -> io::Result<usize> {
    line.say(&Predecessor::Relieved, &[]).await?;
    let mut sent = 0;
    loop {
        tokio::select! {
            client = clients.recv() => {
                let Some(Parcel { client, socket }) = client else { break };
                let words = Predecessor::Client { client: Box::new(client) };
                if let Err(error) = line.say(&words, &[socket.as_fd()]).await {
                    if let Predecessor::Client { client } = words {
                        come_back(door, Parcel { client: *client, socket });
                    }
                    return Err(error);
                }
                sent += 1;
            }
            Some(answer) = answers.recv() => line.say(&answer, &[]).await?,
        }
    }
    line.say(&Predecessor::Farewell, &[]).await?;
    Ok(sent)
}

/// Delivers cancel requests for clients that are here, until the other is gone.
async fn hear(line: Arc<Line>, door: Arc<Door>, answers: mpsc::Sender<Predecessor>) {
    while let Ok((words, _)) = line.hear().await {
        let Successor::Cancel { id, pid, secret } = words else { continue };
        let (door, answers) = (door.clone(), answers.clone());
        tokio::spawn(async move {
            let heard = match CancelKey::new(pid, secret.0) {
                Some(key) => cancel(&door.shared, &key).await,
                None => false,
            };
            // Nobody waits for it any more where this fails.
            let _ = answers.send(Predecessor::Cancelled { id, heard }).await;
        });
    }
    // It is gone: whoever is still here stays here.
    door.shared.kin.is_relieved_by(None);
}
