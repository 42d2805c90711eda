//! Code that runs where no statement shows it: nothing of it stays behind, and nothing of it is read too early.
//!
//! A seed makes a small world: objects of the kinds through which PostgreSQL runs code (`carriers.rs`), and code in them
//! that leaves something in its session, writes, or reads (`acts.rs`). Its client calls them in the ways in which clients
//! call (`calls.rs`), with a neighbour on the same pool and replicas that stand still. The same conversation is held with
//! PostgreSQL itself, in a twin of the database, and every answer must be the same: of the client, who must find what its
//! code left and wrote; and of the neighbour, who must find what was written and nothing of what was left.
//!
//! `cargo test --test hidden_code` plays some worlds that are known to be right, or to be known: about a minute. Others may
//! show what weir gets wrong. With `-- --nocapture`:
//!
//! - `WEIR_CODE_SEED=4711` begins there; a world that differs is shown with its seed;
//! - `WEIR_CODE_WORLDS=500` plays that many, however long it takes;
//! - `WEIR_CODE_LONG=1` shows conversations as they were held, and makes none of them shorter;
//! - `WEIR_CODE_WEIR=/usr/bin/weir` plays with another weir;
//! - `WEIR_CODE_ONLY=domain` plays worlds that have a carrier with this in its name.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use harness::{Failure, Result, at_once};

mod acts;
mod calls;
mod carriers;
mod conversation;
mod known;
mod naive;
mod oracle;
mod stage;
mod world;

use conversation::Conversation;
use oracle::Difference;
use stage::Stage;
use world::World;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// Worlds that every run plays.
const ALWAYS: u64 = 24;

/// The first of their seeds.
const FIRST: u64 = 1200;

/// Those that have shown something, which every run plays too.
const FOUND: [u64; 3] = [7009, 7120, 7148];

/// Stages on which worlds are played at the same time: one alone keeps no more than one processor busy.
const STAGES: usize = 2;

/// Conversations in one world.
const CONVERSATIONS: u64 = 6;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// A conversation that differs, as short as it could be made.
fn shortened(
    stage: &Stage,
    world: &World,
    talk: Conversation,
    seed: u64,
) -> Result<(Conversation, Difference)> {
    let play = |talk: &Conversation| -> Result<Option<Difference>> {
        let twins = stage.build(world)?;
        oracle::difference(stage, &twins, talk)
    };
    let Some(mut why) = play(&talk)? else {
        return Err(Failure::new(format!("seed {seed}: it differs only behind others\n{}", talk.shown())));
    };
    let mut talk = talk;
    let mut size = talk.steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < talk.steps.len() {
            let mut shorter = talk.clone();
            shorter.steps.drain(at..(at + size).min(talk.steps.len()));
            match play(&shorter)? {
                Some(difference) => (talk, why) = (shorter, difference),
                None => at += size,
            }
        }
        size /= 2;
    }
    Ok((talk, why))
}

/// Plays the world of a seed; what is wrong in it.
fn play(stage: &Stage, seed: u64) -> Result<Vec<String>> {
    let world = World::of(seed);
    let mut wrong = Vec::new();
    let twins = match stage.build(&world) {
        Ok(twins) => twins,
        // PostgreSQL has reasons of its own not to run some code in some places.
        Err(failure) if failure.sqlstate().is_some() => {
            eprintln!("seed {seed}: there is no such world ({}): {failure}", world.names());
            return Ok(wrong);
        }
        Err(failure) => return Err(failure),
    };
    for nth in 0..CONVERSATIONS {
        let talk = Conversation::of(&world, seed, nth);
        let Some(found) = oracle::difference(stage, &twins, &talk)? else { continue };
        if let Some(why) = known::why(&world, &talk, &found) {
            eprintln!("seed {seed}.{nth}: known, not mended: {why}");
            break;
        }
        let (talk, why) = match std::env::var_os("WEIR_CODE_LONG") {
            Some(_) => (talk, found),
            None => match shortened(stage, &world, talk, seed) {
                Ok(shortened) => shortened,
                Err(failure) => {
                    wrong.push(format!("{failure}{found}"));
                    break;
                }
            },
        };
        wrong.push(format!(
            "WEIR_CODE_SEED={seed} ({})\n{}{}{why}",
            world.names(),
            world.shown(),
            talk.shown()
        ));
        break;
    }
    Ok(wrong)
}

/// One test at a time has the machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn what_is_done_wrong_shows() -> Result<()> {
    let _turn = turn();
    let unseen = naive::unseen(&Stage::set()?)?;
    assert!(unseen.is_empty(), "nobody would see {unseen:?}");
    Ok(())
}

#[test]
fn code_that_no_statement_shows() -> Result<()> {
    let _turn = turn();
    let first = number("WEIR_CODE_SEED");
    let worlds = number("WEIR_CODE_WORLDS").unwrap_or(if first.is_some() { 1 } else { ALWAYS });
    let only = std::env::var("WEIR_CODE_ONLY").unwrap_or_default();
    let began = Instant::now();
    let found = FOUND.into_iter().filter(|_| first.is_none());
    let worlds = worlds + found.clone().count() as u64;
    let seeds = found.chain(first.unwrap_or(FIRST)..).filter(|seed| World::of(*seed).names().contains(&only));
    let seeds: Vec<u64> = seeds.take(usize::try_from(worlds).unwrap_or(usize::MAX)).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    at_once(0..STAGES.min(seeds.len()), |_| {
        let stage = Stage::set()?;
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = play(&stage, *seed)?;
            found.iter().for_each(|what| eprintln!("{what}"));
            wrong.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        }
        Ok(())
    })?;
    let (played, wrong) = (seeds.len(), wrong.into_inner().unwrap_or_else(PoisonError::into_inner));
    eprintln!("{played} worlds in {:?}", began.elapsed());
    assert!(wrong.is_empty(), "{} of {played} worlds differ\n{}", wrong.len(), wrong.join("\n\n"));
    Ok(())
}
