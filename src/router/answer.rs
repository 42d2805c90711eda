//! The answer of `weir explain` to a text: one statement, or several that a client sends one after the other.
//!
//! Pure, and the same for the command line, which knows a configuration at most, as for a running weir, which knows the
//! catalog and the servers.

use super::{BeginsWhere, FixedTarget, SessionView, World, explain, explain_transaction, route};
use crate::config::Config;
use crate::sql::{Classifier, StandardConformingStrings, Target, Verdict, split_with_comments};

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it goes, or each of them, and why.
    pub text: String,
    /// What holds for the statements: words for a sentence.
    pub conditions: &'static str,
    /// What must be known beside that, where there was no catalog.
    pub notes: String,
}

/// Explains a text as it goes in this world for this session.
pub fn answer(
    text: &[u8],
    classifier: &Classifier,
    session: SessionView<'_>,
    world: &World<'_>,
    begins: BeginsWhere,
) -> Answer {
    let strings = StandardConformingStrings::On;
    let whole = classifier.classify(text, strings);
    // What cannot be cut is judged as a whole.
    let parts = split_with_comments(text, strings).unwrap_or_default();
    let several = parts.len() > 1;
    let (text, conditions) = if several {
        let each: Vec<_> = parts.into_iter().map(|part| (classifier.classify(part, strings), part)).collect();
        let table = explain_transaction(&each, session, world, begins);
        let together = route(&whole, text, &session, world);
        let line = format!("as one string: {}, {}\n", together.route.as_str(), together.reason);
        (table + &line, "each statement by itself, while a replica is up and fresh enough")
    } else {
        (explain(&whole, text, &session, world), "outside a transaction, while a replica is up")
    };
    let notes = match world.catalog {
        Some(_) => String::new(),
        None => of_relations(&whole).filter(|_| several).into_iter().chain(of_functions(&whole)).collect(),
    };
    Answer { text, conditions, notes }
}

/// What only the catalog would tell of the relations that are read.
fn of_relations(whole: &Verdict) -> Option<&'static str> {
    let reads = whole.statements.iter().any(|statement| !statement.reads.is_empty());
    reads.then_some(
        "Relations are taken for tables: of a view that asks for the time of the transaction, or the like, the\n\
         primary's catalog would tell.\n",
    )
}

/// The same of functions.
fn of_functions(whole: &Verdict) -> Option<&'static str> {
    let calls = whole.statements.iter().any(|statement| !statement.functions.is_empty());
    calls.then_some(
        "A running weir looks functions up in the primary's catalog: where all functions named are IMMUTABLE or\n\
         STABLE, a read that was sent to the primary for their sake alone goes to a replica.\n",
    )
}

/// What a configuration fixes for a user and a database: a target, and where transactions run. Nobody is told here that he
/// is not known.
pub fn fixed(config: &Config, user: &str, database: &str) -> (Option<FixedTarget>, BeginsWhere) {
    let user = config.users.iter().find(|one| *one.name == *user);
    let database = config.databases.iter().find(|one| *one.name == *database);
    let target = FixedTarget::first(
        None,
        None,
        Target::Auto,
        database.map_or(Target::Auto, |database| database.target),
        user.map_or(Target::Auto, |user| user.target),
    );
    let nearest =
        database.and_then(|database| database.transactions).or(user.and_then(|user| user.transactions));
    (target, BeginsWhere { nearest, otherwise: config.routing.transactions })
}
