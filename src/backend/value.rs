//! One setting's value, and the statement that gives it. Names and raw values come from clients, so both are quoted.
//! Knows no other settings.

/// A setting's value, as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// SQL text that may follow `SET name TO`.
    Sql(Box<str>),
    /// The value itself, as a startup packet or set_config gives it.
    Raw(Box<str>),
}

/// Settings whose value is a list of names (`GUC_LIST_QUOTE`): one literal would be one name.
const LISTS: [&str; 4] =
    ["search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"];

/// How long a setting is to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// As long as the session.
    Session,
    /// To the end of the transaction.
    Transaction,
}

/// The statement that gives a setting this value. That of a list answers with a row: `SET` would spell it otherwise.
pub fn assignment(name: &str, value: &Value, span: Span) -> String {
    let local = span == Span::Transaction;
    let set = if local { "SET LOCAL" } else { "SET" };
    match value {
        Value::Sql(text) => format!("{set} {} TO {text}", identifier(name)),
        Value::Raw(text) if LISTS.contains(&name) => {
            format!("SELECT pg_catalog.set_config({}, {}, {local})", literal(name), literal(text))
        }
        Value::Raw(text) => format!("{set} {} TO {}", identifier(name), literal(text)),
    }
}

/// A quoted identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal that means the same whatever standard_conforming_strings says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
