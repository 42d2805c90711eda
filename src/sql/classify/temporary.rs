//! Temporary objects: statements that create them, rename them or drop them.
//!
//! Tables, views and sequences share one space of names, so that what kind a statement speaks of does not matter. Which
//! temporary objects there are is not known here.

use crate::sql::text::{self, Cursor};
use crate::sql::verdict::{Change, Dropped, Name};

/// Where a relation without a schema is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
    /// With the temporary ones.
    Temporary,
    /// Where the search path says.
    Searched,
}

/// Takes `[LOCAL | GLOBAL] { TEMPORARY | TEMP }`.
pub(super) fn namespace(cursor: &mut Cursor<'_, '_>) -> Namespace {
    cursor.take_any(&["local", "global"]);
    match cursor.take_any(&["temporary", "temp"]) {
        Some(_) => Namespace::Temporary,
        None => Namespace::Searched,
    }
}

/// What it means to create a relation of the name at the cursor; `None` when it lives in a schema for all.
pub(super) fn created(namespace: Namespace, mut cursor: Cursor<'_, '_>) -> Option<Change> {
    match (cursor.take_qualified(), namespace) {
        (Some(Name { schema: Some(schema), name }), _) if is_temporary(&schema) => {
            Some(Change::Temporary(Some(name)))
        }
        (Some(Name { schema: Some(_), .. }), _) => None,
        (Some(Name { schema: None, name }), Namespace::Temporary) => Some(Change::Temporary(Some(name))),
        (Some(Name { schema: None, .. }), Namespace::Searched) => Some(Change::Creates),
        (None, _) => Some(Change::Temporary(None)),
    }
}

/// What a `CREATE` leaves, with the cursor behind that word.
pub(super) fn create(mut cursor: Cursor<'_, '_>) -> Option<Change> {
    let all = cursor.rest();
    cursor.take_words(&["or", "replace"]);
    let namespace = namespace(&mut cursor);
    cursor.take_any(&["unlogged", "recursive", "materialized", "foreign"]);
    if cursor.take_any(&["table", "view", "sequence"]).is_none() {
        // Functions, types and the like: only by their schema can they be temporary.
        let temporary = namespace == Namespace::Temporary || names_temporary_schema(cursor);
        return temporary.then_some(Change::Temporary(None));
    }
    cursor.take_words(&["if", "not", "exists"]);
    let change = created(namespace, cursor)?;
    let words = ["on", "commit", "drop"];
    let for_now = all.windows(3).any(|three| three.iter().zip(words).all(|(t, word)| t.is_word(word)));
    match change {
        Change::Temporary(_) if for_now => Some(Change::TemporaryForNow),
        // A view or a partition of something temporary is temporary itself.
        Change::Creates if names_temporary_schema(cursor) => Some(Change::Temporary(None)),
        change => Some(change),
    }
}

/// The relations of `DROP TABLE | VIEW | SEQUENCE [IF EXISTS] name [, ...]`, with the cursor behind `DROP`; those in
/// schemas for all are left out.
pub(super) fn dropped(mut cursor: Cursor<'_, '_>) -> Option<Box<[Dropped]>> {
    cursor.take_any(&["table", "view", "sequence"])?;
    cursor.take_words(&["if", "exists"]);
    let mut names = Vec::new();
    loop {
        match cursor.take_qualified()? {
            Name { schema: None, name } => names.push(Dropped::Unqualified(name)),
            Name { schema: Some(schema), name } if &*schema == "pg_temp" => {
                names.push(Dropped::Temporary(name))
            }
            Name { schema: Some(_), .. } => {}
        }
        if !cursor.take_symbol(",") {
            return Some(names.into());
        }
    }
}

/// Whether a schema is that of some session's temporary objects.
pub(super) fn is_temporary(schema: &str) -> bool {
    schema.starts_with("pg_temp")
}

/// Whether a name in what is left is qualified with the session's temporary schema.
fn names_temporary_schema(cursor: Cursor<'_, '_>) -> bool {
    cursor.rest().windows(2).any(|pair| {
        let schema = text::name(pair[0]).is_some_and(|name| is_temporary(&name));
        schema && pair[1].is_symbol(".")
    })
}
