//! What a read must see: a case for every way to write, and for everything that decides how fresh a replica must be.
//!
//! Replay on the replica is held back with `pg_wal_replay_pause`, so nothing here depends on how fast a server is:
//! until it goes on, whoever reads the replica reads the old row. Each case also shows that it can fail: whoever asks
//! for nothing (`eventual`, however old) does get the old row, from the replica.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
// The cases are tables: cutting them into functions of a screen each would only hide that.
#![allow(clippy::too_many_lines)]

mod absences;
mod batches;
mod beginnings;
mod bounds;
mod case;
mod definitions;
mod departures;
mod interruptions;
mod levels;
mod moves;
mod orphans;
mod reach;
mod shared;
mod stage;
mod transactions;
mod unanswered;
mod writes;
