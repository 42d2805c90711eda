//! Calls of `set_config` of which the values come with `Bind`: what is set is known once those are there.

/// One call, in a statement that runs each of its calls once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCall {
    /// Which setting.
    pub name: Argument,
    /// What it is given.
    pub value: Argument,
    /// Whether it ends with the transaction.
    pub local: Argument,
}

/// An argument of a call, as far as the text tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `NULL`.
    Null,
    /// A literal.
    Text(Box<str>),
    /// `$n`.
    Parameter(u16),
}

/// What `Bind` brings for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundValue<'a> {
    /// The type that `Parse` gave to it, by its OID; 0 where it left that to the server.
    pub oid: u32,
    /// How it is written.
    pub format: Format,
    /// `None` for NULL.
    pub bytes: Option<&'a [u8]>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// As its type's send function writes it.
    Binary,
}
