//! How `weir reload` and `weir run --takeover` find the running weir: a Unix socket in no directory (Linux), whose name
//! follows from the configuration file that both were given. Nothing is configured for it, and nothing is left behind.
//! Only the user that weir runs as, and root, are listened to. It reads nothing and changes nothing itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::reload::Reload;
use super::takeover::Applicant;
use crate::config::Changes;
use crate::net::{Accepted, Listener, PeerAddress, Stream, UnixPlace, is_own_or_root};

/// What is asked.
const QUESTION: &[u8] = b"reload\n";

/// The same of another weir that wants to take over: what follows is said in [`super::takeover`].
pub(super) const QUESTION_RELIEF: &[u8] = b"relief\n";

/// How long who connects may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first line of an answer.
const DONE: &str = "done";
const REFUSED: &str = "refused";

/// Why nobody can say that the configuration was read anew.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is nobody.
    #[error("no weir runs with this configuration, or not as this user ({0}); SIGHUP asks for the same")]
    Nobody(io::Error),
    /// It is wrong, and nothing has changed.
    #[error("not taken, and nothing has changed:\n{0}")]
    Refused(String),
    /// It has ended, or is none.
    #[error("the weir that runs gave no answer")]
    NoAnswer,
}

/// The socket by which those ask who know the configuration's file; none, and why in the log, where it cannot be bound.
pub(super) fn bind(file: &Path) -> Option<Listener> {
    let bound = name(file).and_then(|name| {
        Listener::unix(UnixPlace { path: Path::new(&format!("@{name}")), mode: 0o600, group: None })
    });
    bound.map_err(|error| tracing::warn!(%error, "`weir reload` will not reach this weir; SIGHUP does")).ok()
}

/// Answers those who ask, for ever.
pub(super) async fn listen_for_reloads(listener: Arc<Listener>, reload: Reload) {
    loop {
        let (Accepted::Client(stream, peer) | Accepted::Excess(stream, peer)) = listener.accept().await;
        let PeerAddress::Unix(process) = peer.address else { continue };
        if is_own_or_root(process.uid) {
            tokio::spawn(answer(stream, process.pid, reload.clone()));
        } else {
            tracing::warn!(uid = process.uid, "somebody else asked for a reload, and is not heard");
        }
    }
}

async fn answer(mut stream: Stream, pid: Option<i32>, reload: Reload) {
    let mut question = [0; QUESTION.len()];
    let asked = timeout(PATIENCE, stream.read_exact(&mut question)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    if question == *QUESTION_RELIEF {
        if let Some(stream) = stream.into_unix() {
            reload.is_applied_for(Applicant { stream, pid }).await;
        }
        return;
    }
    if question != *QUESTION {
        return;
    }
    let text = match reload.reload().await {
        Ok(changes) => format!("{DONE}\n{}", told(&changes)),
        Err(error) => format!("{REFUSED}\n{error}"),
    };
    // Who has left has it in the log.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn told(changes: &Changes) -> String {
    match &changes.list[..] {
        [] => "nothing has changed in the configuration; the files that it names were read anew".to_owned(),
        list => list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// Has the weir reload that runs with this configuration file. What changed, a line each.
///
/// # Errors
/// When there is none, or it does not take what it reads.
pub async fn reload_running(file: &Path) -> Result<String, AskError> {
    let name = name(file).map_err(AskError::Nobody)?;
    let mut stream = UnixStream::connect(format!("\0{name}")).await.map_err(AskError::Nobody)?;
    let no_answer = |_| AskError::NoAnswer;
    stream.write_all(QUESTION).await.map_err(no_answer)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(no_answer)?;
    match answer.split_once('\n') {
        Some((DONE, changes)) => Ok(changes.to_owned()),
        Some((REFUSED, why)) => Err(AskError::Refused(why.to_owned())),
        _ => Err(AskError::NoAnswer),
    }
}

/// The socket's name, the same for whoever means the same file.
pub(super) fn name(file: &Path) -> io::Result<String> {
    use std::os::unix::ffi::OsStrExt as _;
    let file = file.canonicalize()?;
    let digest = Sha256::digest(file.as_os_str().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("weir-reload-{hex}"))
}
