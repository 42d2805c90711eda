//! What is found and not mended: it is played, and counts as nothing. There is nothing of the kind now.

use crate::conversation::Conversation;
use crate::oracle::Difference;
use crate::world::World;

/// Something that is known to go wrong.
struct Known {
    why: &'static str,
    is_it: fn(&World, &Conversation, &Difference) -> bool,
}

const KNOWN: &[Known] = &[];

/// Why a difference is known; none when it is new.
pub(crate) fn why(world: &World, talk: &Conversation, found: &Difference) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is_it)(world, talk, found)).map(|known| known.why)
}
