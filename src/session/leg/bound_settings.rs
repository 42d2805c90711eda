//! What a statement with `set_config` in it does, by the values that its `Bind` brings: read anew with each of them.
//!
//! It changes nothing and sends nothing.

use std::sync::Arc;

use crate::sql::{BoundValue, Verdict, Written, with_values};
use crate::wire::values::{type_of, values};

/// What the portal runs that `frame` binds to a statement of which this is known, with these parameter types.
pub(super) fn as_bound(frame: &[u8], types: &[u8], verdict: Arc<Verdict>) -> Arc<Verdict> {
    if verdict.statements.iter().all(|statement| statement.effects.bound.is_empty()) {
        return verdict;
    }
    let Some(values) = values(frame) else { return verdict };
    let value_of = |number: u16| {
        let nth = usize::from(number).checked_sub(1)?;
        let value = values.get(nth)?;
        let written = match (value.bytes, value.format) {
            (None, _) => Written::Null,
            (Some(bytes), 0) => Written::Text(bytes),
            (Some(bytes), 1) => Written::Binary(bytes),
            _ => return None,
        };
        Some(BoundValue { oid: type_of(types, nth), written })
    };
    with_values(&verdict, value_of).map_or(verdict, Arc::new)
}
