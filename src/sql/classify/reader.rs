//! What every rule looks things up in while it reads a statement.

use super::functions::KnownFunctions;
use crate::sql::text::StandardConformingStrings;

/// How strings are read, and which functions are known.
#[derive(Clone, Copy, Debug)]
pub(in crate::sql) struct Reader<'k> {
    pub(in crate::sql) strings: StandardConformingStrings,
    pub(in crate::sql) known: &'k KnownFunctions,
}
