//! The differential test: the same conversation with PostgreSQL itself and through weir gives the same messages,
//! byte for byte.
//!
//! Every conversation is held once with the primary, and then through weirs, of those whose pools hold one, two and ten
//! connections, and one whose clients keep connections of their own, with the client's bytes in one piece and in tiny
//! ones. What cannot be the same on two connections (`compare.rs` says what that is) is left aside, and nothing else.

#![forbid(unsafe_code)]
// The conversations are tables: cutting them into functions of a screen each would only hide that.
#![allow(clippy::too_many_lines)]

mod carries;
mod compare;
mod copy;
mod corpus;
mod cursors;
mod errors;
mod extended;
mod later;
mod lazy;
mod listeners;
mod neighbour;
mod open_batches;
mod pace;
mod pins;
mod prepared;
mod random;
mod random_transactions;
mod recovery;
mod reloading;
mod session;
mod settings;
mod simple;
mod stage;
mod talk;
mod traffic;
mod transactions;

use std::borrow::Cow;

use harness::Result;
use stage::{Pieces, Setup, Stage, Transactions};
use talk::{Talk, Ways};

/// Where weir differs from the server in a conversation; none when it does not.
fn differences(stage: &Stage, talk: &Talk) -> Result<Option<String>> {
    let whole = stage.directly(talk, Pieces::Whole)?;
    if compare::fails_by_itself(&whole) {
        println!("skipped: {:?}: PostgreSQL {} itself fails", talk.name, stage.cluster.postgres().major());
        return Ok(None);
    }
    for (setup, pieces) in ways(talk) {
        let mut expected = match pieces {
            Pieces::Whole | Pieces::Tiny => Cow::Borrowed(&whole),
            // PostgreSQL's timeouts go on between messages.
            Pieces::Hesitant => Cow::Owned(stage.directly(talk, pieces)?),
        };
        let mut heard = stage.through(setup, talk, pieces)?;
        if pieces == Pieces::Hesitant || heard.pace.is_hesitant() {
            expected = Cow::Owned(compare::told_at_the_end(expected.into_owned()));
            heard.heard = compare::told_at_the_end(heard.heard);
        }
        let difference = compare::difference(talk, &expected, &heard.heard, stage.first_new);
        if let Some(what) = difference.or(heard.wrong) {
            return Ok(Some(format!("{:?}, {setup:?}, {pieces:?}: {what}", talk.name)));
        }
    }
    Ok(None)
}

/// Through which weirs a conversation is held, and how its bytes are cut.
///
/// Lazy transactions meet two of the four pools, so that each pool meets half of the conversations. Where the transaction has a
/// connection from its begin to its end, and where bytes are cut, the choice of connection has nothing to do with it: one size
/// for each conversation is enough. With WEIR_EVERY_WAY in the environment lazy transactions meet all pools, and conversations
/// that go one way otherwise go all; with WEIR_HESITANT clients hesitate between messages, too.
fn ways(talk: &Talk) -> impl Iterator<Item = (Setup, Pieces)> {
    let (several, all) = (talk.ways != Ways::One, std::env::var_os("WEIR_EVERY_WAY").is_some());
    let every = std::env::var_os("WEIR_HESITANT").is_some();
    let hesitant = talk.ways == Ways::Apart || every;
    let way = move |setup: Setup, pieces| match (setup.transactions, pieces) {
        (Transactions::Lazy, Pieces::Whole) if several => all || setup.is_in_half_of(&talk.name),
        (Transactions::Lazy, Pieces::Whole) => all || setup.is_drawn_for(&talk.name),
        (Transactions::Lazy, Pieces::Tiny) | (Transactions::Primary, Pieces::Whole) => {
            (several || all) && setup.is_drawn_for(&talk.name)
        }
        (Transactions::Lazy, Pieces::Hesitant) => hesitant && (every || setup.is_drawn_for(&talk.name)),
        (Transactions::Primary, Pieces::Tiny | Pieces::Hesitant) => false,
    };
    let cut = [Pieces::Whole, Pieces::Tiny, Pieces::Hesitant];
    let every = cut.into_iter().flat_map(|pieces| Setup::all().map(move |setup| (setup, pieces)));
    every.filter(move |(setup, pieces)| way(*setup, *pieces))
}

/// Holds all conversations of a group and fails with everything that differs. With WEIR_TALK in the environment,
/// only those whose name contains it.
fn hold(group: &str, talks: &[Talk]) -> Result<()> {
    let only = std::env::var("WEIR_TALK").unwrap_or_default();
    let stage = Stage::set(&format!("talks_{group}"))?;
    let mut failed = Vec::new();
    for talk in talks.iter().filter(|talk| talk.name.contains(&only)) {
        eprintln!("{}", talk.name);
        failed.extend(differences(&stage, talk)?);
    }
    assert!(failed.is_empty(), "{} of {} differ\n{}", failed.len(), talks.len(), failed.join("\n"));
    Ok(())
}

#[test]
fn the_simple_protocol() -> Result<()> {
    hold("simple", &simple::talks())
}

#[test]
fn the_extended_protocol() -> Result<()> {
    hold("extended", &extended::talks())
}

#[test]
fn listeners() -> Result<()> {
    hold("listeners", &listeners::talks())
}

#[test]
fn batches_left_open() -> Result<()> {
    hold("open_batches", &open_batches::talks())
}

#[test]
fn transactions() -> Result<()> {
    hold("transactions", &transactions::talks())
}

#[test]
fn lazy_transactions() -> Result<()> {
    hold("lazy_transactions", &lazy::of_transactions())
}

#[test]
fn lazy_legs() -> Result<()> {
    hold("lazy_legs", &lazy::of_legs())
}

#[test]
fn lazy_messages() -> Result<()> {
    hold("lazy_messages", &lazy::of_messages())
}

#[test]
fn copies() -> Result<()> {
    hold("copies", &copy::talks())
}

#[test]
fn sessions() -> Result<()> {
    hold("sessions", &session::talks())
}

#[test]
fn pins() -> Result<()> {
    hold("pins", &pins::talks())
}

#[test]
fn what_a_session_carries() -> Result<()> {
    hold("carries", &carries::talks())
}

#[test]
fn settings() -> Result<()> {
    hold("settings", &settings::talks())
}

#[test]
fn cursors_and_portals() -> Result<()> {
    hold("cursors", &cursors::talks())
}

#[test]
fn recovery() -> Result<()> {
    hold("recovery", &recovery::talks())
}

#[test]
fn prepared_statements() -> Result<()> {
    hold("prepared", &prepared::talks())
}

#[test]
fn traffic() -> Result<()> {
    hold("traffic", &traffic::talks())
}

#[test]
fn errors() -> Result<()> {
    hold("errors", &errors::talks())
}

/// What is put off must still differ, else it belongs into the tables above; and so must what differs on purpose.
#[test]
fn what_differs_still_does() -> Result<()> {
    let stage = Stage::set("talks_later")?;
    for (talk, why) in later::talks().into_iter().chain(later::on_purpose()).chain(lazy::on_purpose()) {
        let same = differences(&stage, &talk)?.is_none();
        assert!(!same, "{:?} does not differ any more; it was listed because {why}", talk.name);
    }
    Ok(())
}
