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
    /// The value.
    pub written: Written<'a>,
}

/// A value as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// NULL.
    Null,
    /// As text.
    Text(&'a [u8]),
    /// As its type's send function writes it.
    Binary(&'a [u8]),
}
