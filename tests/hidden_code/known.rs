//! What is found and not mended: it is played, and counts as nothing.

use crate::conversation::Conversation;
use crate::oracle::Difference;
use crate::world::World;

/// Something that is known to go wrong.
struct Known {
    why: &'static str,
    is_it: fn(&World, &Conversation, &Difference) -> bool,
}

const KNOWN: &[Known] = &[Known {
    why: "a view of pg_settings passes on to the rule of that what is written to it",
    is_it: |world, _, _| world.has("view of settings"),
}];

/// Why a difference is known; none when it is new.
pub(crate) fn why(world: &World, talk: &Conversation, found: &Difference) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is_it)(world, talk, found)).map(|known| known.why)
}
