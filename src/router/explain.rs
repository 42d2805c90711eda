//! What `weir explain` prints: how a text is understood, where it goes, and why.

use std::fmt::Write as _;

use crate::cluster::catalog::Volatility;
use crate::sql::{Kind, Name, Pin, Scope, Statement, Verdict};

use super::{Reason, SessionView, World, route};

/// The explanation of one text, in lines.
pub fn explain(verdict: &Verdict, sql: &[u8], session: &SessionView<'_>, world: &World<'_>) -> String {
    let mut out = String::new();
    let (place, reason) = place(verdict, sql, session, world);
    line(&mut out, "route", place);
    line(&mut out, "reason", reason.as_str());
    if verdict.hint != crate::sql::Hint::default() {
        line(&mut out, "hint", &hint(verdict));
    }
    for (number, statement) in (1..).zip(&verdict.statements) {
        line(&mut out, &format!("statement {number}"), &kind(&statement.kind));
        details(&mut out, statement, world);
    }
    out
}

/// Where a text goes that a client sends outside of a transaction, and why. BEGIN goes nowhere, whatever is wished for.
fn place(
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
    world: &World<'_>,
) -> (&'static str, Reason) {
    match &*verdict.statements {
        [one] if matches!(one.kind, Kind::Begin(_)) && !one.tag.is_empty() && session.pin.is_none() => {
            ("weir", Reason::LazyControl)
        }
        _ => {
            let decision = route(verdict, sql, session, world);
            (decision.route.as_str(), decision.reason)
        }
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{key:<13} {value}");
}

fn details(out: &mut String, statement: &Statement, world: &World<'_>) {
    for (key, names) in [("  reads", &statement.reads), ("  writes", &statement.writes)] {
        if !names.is_empty() {
            line(out, key, &names.iter().map(written).collect::<Vec<_>>().join(", "));
        }
    }
    for function in &statement.functions {
        let known = match world.catalog.map(|c| c.function(function)) {
            None => "not asked: no catalog",
            Some(None) => "not in the catalog",
            Some(Some(Volatility::ReadOnly | Volatility::Declared)) => "immutable or stable",
            Some(Some(Volatility::Volatile)) => "volatile",
        };
        line(out, "  function", &format!("{} ({known})", written(function)));
    }
    for setting in &statement.effects.settings {
        let scope =
            if setting.scope == Scope::Local { "until the transaction ends" } else { "for the session" };
        line(out, "  sets", &format!("{} = {} ({scope})", setting.name, setting.value));
    }
    for pin in statement.effects.pins() {
        let unless = if pin == Pin::Listen { ", unless it is shared ([pool] listen)" } else { "" };
        line(out, "  pins", &format!("{}{unless}", pin.as_str()));
    }
}

fn hint(verdict: &Verdict) -> String {
    let mut words = Vec::new();
    if let Some(target) = verdict.hint.target {
        words.push(target.as_str().to_owned());
    }
    if let Some(consistency) = verdict.hint.consistency {
        words.push(format!("consistency={}", consistency.as_str()));
    }
    if let Some(staleness) = verdict.hint.max_staleness {
        words.push(format!("max_staleness={staleness}"));
    }
    if let Some(transactions) = verdict.hint.transactions {
        words.push(format!("transactions={}", transactions.as_str()));
    }
    words.join(", ")
}

fn written(name: &Name) -> String {
    match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    }
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Read => "read".to_owned(),
        Kind::Primary(why) => format!("primary only: {}", Reason::from(*why)),
        Kind::Begin(_) => "begins a transaction".to_owned(),
        Kind::Commit { .. } => "commits".to_owned(),
        Kind::Rollback { .. } => "rolls back".to_owned(),
        Kind::Savepoint(name) => format!("savepoint {name}"),
        Kind::Release(name) => format!("releases savepoint {name}"),
        Kind::RollbackTo(name) => format!("rolls back to savepoint {name}"),
        Kind::SetTransaction(_, Scope::Local) => "sets the transaction's modes".to_owned(),
        Kind::SetTransaction(_, Scope::Session) => "sets the session's transaction modes".to_owned(),
        Kind::Set | Kind::SetWeir(..) => "sets".to_owned(),
        Kind::Reset(Some(name)) => format!("resets {name}"),
        Kind::Reset(None) => "resets all settings".to_owned(),
        Kind::Show(name) => format!("shows {name}"),
        Kind::Prepare(name) => format!("prepares {name}"),
        Kind::Execute(name) => format!("executes {name}"),
        Kind::Deallocate(Some(name)) => format!("deallocates {name}"),
        Kind::Deallocate(None) => "deallocates all prepared statements".to_owned(),
        Kind::Discard(what) => format!("discards {what:?}").to_lowercase(),
        Kind::Cursor(_) => "cursor".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::router::{FunctionLists, Learned, Replicas, Transaction};
    use crate::sql::{Classifier, Modes, StandardConformingStrings};

    fn explained(sql: &str) -> String {
        let (learned, functions) = (Learned::new(1, Duration::ZERO), FunctionLists::default());
        let world = World {
            replicas: Replicas::Usable,
            catalog: None,
            learned: &learned,
            rules: &[],
            functions: &functions,
            now: Instant::now(),
        };
        let session = SessionView {
            transaction: Transaction::None,
            pin: None,
            target: None,
            user: "",
            database: "",
            application_name: "",
            defaults: Modes::default(),
        };
        let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
        let text = explain(&verdict, sql.as_bytes(), &session, &world);
        // The shape is another one in each run.
        text.lines().filter(|l| !l.starts_with("shape")).map(|l| format!("{l}\n")).collect()
    }

    #[test]
    fn it_says_what_was_understood() {
        let expected = "route         primary\n\
                        reason        unknown_function\n\
                        hint          max_staleness=500ms\n\
                        statement 1   read\n\
                        \x20 reads       u, s.t\n\
                        \x20 function    f (not asked: no catalog)\n";
        assert_eq!(explained("/* weir: max_staleness=500ms */ SELECT f(1) FROM s.t, u"), expected);
        let expected = "route         primary\n\
                        reason        multi_statement\n\
                        statement 1   sets\n\
                        \x20 sets        work_mem = '1MB' (until the transaction ends)\n\
                        statement 2   primary only: temporary\n\
                        \x20 pins        temporary\n";
        assert_eq!(explained("SET LOCAL work_mem = '1MB'; CREATE TEMP TABLE t (a int)"), expected);
        let begin = explained("/* weir: auto transactions=primary */ BEGIN");
        assert!(begin.contains("hint          auto, transactions=primary\n"), "{begin}");
        for begin in [&begin, &explained("/* weir: replica */ BEGIN")] {
            assert!(begin.starts_with("route         weir\nreason        lazy_control\n"), "{begin}");
        }
        assert_eq!(explained(""), "route         replica\nreason        empty\n");
    }
}
