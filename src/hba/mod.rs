//! Who may come from where: PostgreSQL's `pg_hba.conf` and `pg_ident.conf`, read and decided as PostgreSQL does.
//!
//! The files become [`Rules`]; for a client that says who it is, the first line that matches rules ([`Ruling`]). Nobody is
//! authenticated here, and nothing is looked up: what a line asks for that the client's stream does not tell is told
//! by the caller ([`Facts`]). A file with a line that weir cannot follow is refused as a whole: a rule that is passed over
//! would let somebody in, or leave him out, that the file does not mean.
//!
//! PostgreSQL manual: "Client Authentication"; the reading is that of hba.c in PostgreSQL 18.

mod address;
mod decide;
mod files;
mod ident;
mod mistake;
mod names;
mod options;
mod parse;
mod pattern;
mod rule;
mod tokens;

pub use decide::{Decision, Facts, Interface, Query};
pub use files::{Offered, load};
pub use mistake::{Mistake, Mistakes, Place};
pub use rule::{CertificateCheck, Method, Ruling};

use ident::Maps;
use rule::Rule;

/// What the files say.
#[derive(Debug, Default)]
pub struct Rules {
    lines: Vec<Rule>,
    maps: Maps,
    /// What is allowed but deserves a word: lines that can never match, maps that nobody has written.
    pub warnings: Vec<Mistake>,
}
