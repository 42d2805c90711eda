//! What the HTTP endpoints ask the rest of weir. They know nothing else of it.

use super::question::Question;
use super::snapshot::Snapshot;

/// What the endpoints tell about the proxy. All are asked on a thread that carries data, and must not block.
pub trait Condition: Send + Sync + 'static {
    /// Whether weir can serve everything: there is a primary that can be written to.
    ///
    /// # Errors
    /// The reason why not, in words that anyone may read.
    fn ready_to_write(&self) -> Result<(), String>;

    /// Whether weir can serve reads, from whichever server.
    ///
    /// # Errors
    /// The reason why not, in words that anyone may read.
    fn ready_to_read(&self) -> Result<(), String>;

    /// Servers, pools and clients in lines for people. No secret.
    fn status(&self) -> String;

    /// Where statements would go now, and why. Asks no server, and changes nothing. May take a while: it is asked on a thread of
    /// its own.
    fn explain(&self, question: &Question) -> String;

    /// Whether the page is there, and what it is drawn from. It may be so at one moment and not at the next.
    fn shows_page(&self) -> bool;

    /// What operators see. May take a while: it is asked on a thread of its own.
    fn snapshot(&self) -> Snapshot;
}
