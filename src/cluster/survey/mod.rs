//! A cluster, asked once what it is: which servers belong to it, and what each of them has room for.
//!
//! For `weir init`, beside everything that runs: nothing is kept, no connection stays open, and nothing is changed. Of what
//! a role may not see it says so, and guesses nothing.

mod answers;
mod leads;
mod login;
mod search;

pub use answers::{Account, Found};
pub use leads::{Place, parse_conninfo};
pub use login::Login;
pub use search::{Survey, SurveyError, survey};
