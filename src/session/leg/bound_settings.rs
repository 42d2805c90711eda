//! What a statement with `set_config` in it does, by the values that its `Bind` brings: read anew with each of them.
//!
//! It changes nothing and sends nothing.

use std::sync::Arc;

use crate::session::leg::sender::Sender;
use crate::sql::{BoundValue, Format, Verdict, with_values};
use crate::wire::values::{type_of, values};

impl Sender<'_> {
    /// What the portal runs that `frame` binds to a statement of which this is known, with these parameter types.
    pub(super) fn as_bound(&self, frame: &[u8], types: &[u8], verdict: Arc<Verdict>) -> Arc<Verdict> {
        if verdict.statements.iter().all(|statement| statement.effects.bound.is_empty()) {
            return verdict;
        }
        let Some(values) = values(frame) else { return verdict };
        let value_of = |number: u16| {
            let nth = usize::from(number).checked_sub(1)?;
            let value = values.get(nth)?;
            let format = match value.format {
                0 => Format::Text,
                1 => Format::Binary,
                _ => return None,
            };
            Some(BoundValue { oid: type_of(types, nth), format, bytes: value.bytes })
        };
        with_values(&verdict, value_of).map_or(verdict, Arc::new)
    }
}
