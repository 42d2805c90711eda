//! What is found and not mended: it is played, and counts as nothing.

use crate::conversation::Conversation;
use crate::oracle::Difference;
use crate::world::{Made, World};

/// Something that is known to go wrong.
struct Known {
    why: &'static str,
    is_it: fn(&World, &Conversation, &Difference) -> bool,
}

const KNOWN: &[Known] = &[Known {
    why: "what a definition has just put behind a relation is seen when the catalog is next read",
    is_it: |world, talk, _| world.made != Made::Before || talk.shown().contains("CREATE VIEW made"),
}];

/// Why a difference is known; none when it is new.
pub(crate) fn why(world: &World, talk: &Conversation, found: &Difference) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is_it)(world, talk, found)).map(|known| known.why)
}
