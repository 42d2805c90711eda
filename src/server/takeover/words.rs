//! What two weirs say to each other while one takes over from the other. What a reader does not know it passes over; what would
//! be taken for something else has another number.

use serde::{Deserialize, Serialize};

use crate::session::{Blob, Portable};

/// Of the conversation itself: the one who takes over says it first, and who answers with another does not go on.
pub(super) const CONVERSATION: u32 = 1;

/// What the one says that takes over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub(super) enum Successor {
    /// Who it is, and which clients it understands.
    Hello { weir: String, conversation: u32, clients: u32 },
    /// It listens and has looked at the servers. Its listeners.
    Ready { listeners: Vec<String> },
    /// Somebody wants to cancel who is none of its clients.
    Cancel { id: u64, pid: i32, secret: Blob },
    /// Something of a later version.
    #[serde(other)]
    Other,
}

/// What the one says that is relieved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub(super) enum Predecessor {
    /// Its sockets come along, in this order; whether its clients will; and from where on it gives no process IDs.
    Welcome { weir: String, sockets: Vec<Socket>, clients: bool, next_pid: i32 },
    /// It stays, for this reason.
    Refused { why: String },
    /// It listens no more. From here on its clients come.
    Relieved,
    /// One of them, with its socket.
    Client { client: Box<Portable> },
    /// A cancel request was delivered, or was for nobody there.
    Cancelled { id: u64, heard: bool },
    /// All that it had is done. Nothing follows.
    Farewell,
    /// Something of a later version.
    #[serde(other)]
    Other,
}

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Socket {
    /// Clients come by it, or those who ask for figures.
    Listens,
    /// The same of a Unix socket. The file beside it that is locked comes behind it.
    ListensLocked,
    /// By this one weir is asked for reloads, and to be relieved.
    Control,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_says_more() {
        let read = |text| serde_json::from_str::<Predecessor>(text);
        assert!(matches!(read(r#"{"says": "weather", "good": true}"#), Ok(Predecessor::Other)));
        let welcome = r#"{"says": "welcome", "weir": "9", "sockets": ["listens_locked"], "clients": true, "next_pid": 7,
            "mood": 1}"#;
        let Ok(Predecessor::Welcome { sockets, next_pid: 7, .. }) = read(welcome) else { panic!("not read") };
        assert_eq!(sockets, [Socket::ListensLocked]);
        let hello = Successor::Hello { weir: "1".to_owned(), conversation: 1, clients: 1 };
        let text = serde_json::to_string(&hello).unwrap();
        assert_eq!(text, r#"{"says":"hello","weir":"1","conversation":1,"clients":1}"#);
    }
}
