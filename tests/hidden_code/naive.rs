//! That the test can fail: what weir must not do is done to each kind of code, and must be seen.
//!
//! Who has all clients share one connection leaves everything to the next; who sends everything to a replica gives old
//! answers, and refuses to write.

use harness::Result;

use crate::acts::Act;
use crate::conversation::Conversation;
use crate::oracle::{self, Lines, Servers};
use crate::stage::{PRIMARY, REPLICA, Stage};
use crate::world::World;

/// How many worlds may be needed until it shows.
const WORLDS: usize = 6;

const LEFT: &[Act] =
    &[Act::Setting, Act::Zone, Act::Path, Act::Role, Act::Lock, Act::Listen, Act::Temporary, Act::Cursor];

const ELSEWHERE: &[Act] = &[Act::Write, Act::Draw, Act::Notify, Act::Read, Act::State];

/// Whether a conversation in a world shows what is wrong with such servers.
fn shows(stage: &Stage, world: &World, lines: Lines) -> Result<bool> {
    let Ok(twins) = stage.build(world) else { return Ok(false) };
    stage.cluster.pause_replay(REPLICA)?;
    let at = |database: &str, server| Servers {
        client: stage.cluster.address(server),
        neighbour: stage.cluster.address(PRIMARY),
        database: database.to_owned(),
        lines: Lines::Apart,
    };
    let naive = match lines {
        Lines::Shared => Servers { lines, ..at(&twins.through, PRIMARY) },
        Lines::Apart => at(&twins.through, REPLICA),
    };
    let talk = Conversation::of(world, 1, 0);
    let heard = oracle::hold(&at(&twins.direct, PRIMARY), &talk)
        .and_then(|expected| Ok(oracle::compared(&talk, &expected, &oracle::hold(&naive, &talk)?).is_some()));
    stage.cluster.resume_replay(REPLICA)?;
    heard
}

/// The acts that do not show.
pub(crate) fn unseen(stage: &Stage) -> Result<Vec<Act>> {
    let mut unseen = Vec::new();
    let both = [(LEFT, Lines::Shared), (ELSEWHERE, Lines::Apart)];
    for (act, lines) in both.into_iter().flat_map(|(acts, lines)| acts.iter().map(move |act| (*act, lines))) {
        let name = format!("function {act:?}");
        let mut worlds = (0..).map(World::of).filter(|world| world.names() == name).take(WORLDS);
        if !worlds
            .try_fold(false, |seen, world| Ok::<_, harness::Failure>(seen || shows(stage, &world, lines)?))?
        {
            unseen.push(act);
        }
    }
    Ok(unseen)
}
