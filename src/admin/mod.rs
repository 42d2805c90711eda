//! What an operator and a monitoring system ask weir itself. Reads snapshots; changes nothing.

pub mod http;
