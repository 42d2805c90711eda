//! One weir takes over from another, and no client notices: sockets first, then each client when it is between two requests.
//!
//! ```text
//! the new one                                  the one that runs
//!   hello, which clients it understands  ──►
//!                                        ◄──   welcome, with its listening sockets: both take clients
//!   (binds the rest, looks at the servers)
//!   ready, with its listeners            ──►
//!                                        ◄──   relieved: it has closed its listeners
//!                                        ◄──   clients, each with its socket, as they come to rest
//!   cancel requests for those            ──►
//!   that are not here                    ◄──   delivered, or for nobody
//!                                        ◄──   farewell: the last one has left
//! ```
//!
//! Until it is ready the new one may fail, and nothing has happened. What a client is, `session` says; here it is carried.

mod giver;
mod line;
mod taker;
mod words;

pub(in crate::server) use giver::{Applicant, Handed, introduce};
pub use taker::TakeoverError;
pub(in crate::server) use taker::{Taking, apply};
