//! What a client owns and takes along from connection to connection: settings, prepared statements, and what pins it.
//!
//! Pure. It never knows which connection anything is on, and never reads a byte of the protocol.

pub(crate) mod as_before;
pub(crate) mod ddl;
pub(crate) mod pins;
pub(crate) mod portable;
pub(crate) mod positions;
pub(crate) mod process_words;
pub(crate) mod rebase;
pub(crate) mod restore;
pub(crate) mod revocable;
pub(crate) mod savepoints;
pub(crate) mod server_words;
pub(crate) mod set;
pub(crate) mod settings;
pub(crate) mod shown;
pub(crate) mod spoken;
pub(crate) mod statement;
pub(crate) mod statements;
pub(crate) mod transaction_limits;
pub(crate) mod undoable;
pub(crate) mod unsettable;
pub(crate) mod weir_settings;
