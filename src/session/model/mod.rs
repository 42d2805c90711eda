//! What a client owns and takes along from connection to connection: settings, prepared statements, and what pins it.
//!
//! Pure. It never knows which connection anything is on, and never reads a byte of the protocol.

pub(crate) mod ddl;
pub(crate) mod pin_log;
pub(crate) mod pins;
pub(crate) mod restore;
pub(crate) mod routing_settings;
pub(crate) mod settings;
pub(crate) mod shown;
pub(crate) mod slow_query;
pub(crate) mod statements;
pub(crate) mod weir_settings;
