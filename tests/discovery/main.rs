//! Servers that are found, by a name server and by a Patroni that say what each test wants, over real servers: who comes and
//! goes costs no client anything that does not stand on it, and what cannot be asked for changes nothing.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod dns;
mod mistakes;
mod name_server;
mod patroni;
mod rest;
mod stage;
