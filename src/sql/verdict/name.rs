//! Names of relations and functions, as the statement wrote them. Which object one means, only the catalog tells.

/// A possibly qualified name. Unquoted parts are folded to lower case, quoted ones kept, as PostgreSQL does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The schema, when written.
    pub schema: Option<Box<str>>,
    /// The last part.
    pub name: Box<str>,
}
