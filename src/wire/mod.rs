//! The protocol's bytes: framing, the few message heads that weir looks into, and the messages it writes itself.
//!
//! Pure: no socket, no clock. PostgreSQL manual, chapter "Frontend/Backend Protocol":
//! <https://www.postgresql.org/docs/current/protocol.html>.

pub(crate) mod frame;

pub mod options;

pub mod reply;

pub(crate) mod request;

pub(crate) mod scan;

pub mod startup;

pub(crate) mod tag;

pub(crate) mod values;

pub(crate) use frame::{HEADER, Header, header};

/// Transaction status as `ReadyForQuery` reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxStatus {
    /// `I`: not in a transaction block.
    #[default]
    Idle,
    /// `T`: in a transaction block.
    Open,
    /// `E`: in a failed transaction block; everything but its end is refused.
    Failed,
}

impl TxStatus {
    /// From the byte in `ReadyForQuery`.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Open),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// The byte in `ReadyForQuery`.
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}
