//! What RESET goes back to: to its client, what the client came with; to a pooled connection, the server's own value.
//!
//! So wherever a client resets a setting that it came with, the connection is told the client's value right behind,
//! in the same transaction and before the server reports its parameters: the client sees one step, the right one.
//! Pure: here is what is told.

use std::iter;

use crate::backend::settings::Settings;
use crate::backend::value::{Span, assignment};
use crate::sql::{Discard, Kind, Scope, Statement, Verdict};

/// Whose rights a session has, of those that it may take.
pub(crate) const ROLE: &str = "role";

/// Who a session is. It takes the role along: its reset resets that too, any other change takes it off.
pub(crate) const AUTHORIZATION: &str = "session_authorization";

/// Settings that RESET ALL leaves alone.
pub(crate) const IDENTITY: [&str; 2] = [ROLE, AUTHORIZATION];

/// The client's own values of what a statement resets: each name with the statement that tells it.
pub(crate) fn restores(statement: &Statement, startup: &Settings) -> Vec<(Box<str>, String)> {
    let told = |name: &str, span| Some((name.into(), assignment(name, startup.get(name)?, span)));
    match &statement.kind {
        Kind::Reset(None) | Kind::Discard(Discard::All) => {
            let names = startup.iter().map(|(name, _)| name).filter(|name| !IDENTITY.contains(name));
            names.filter_map(|name| told(name, Span::Session)).collect()
        }
        Kind::Reset(Some(name)) => reset_by(name).filter_map(|name| told(name, Span::Session)).collect(),
        _ => {
            let local = statement.effects.settings.iter().filter(|setting| {
                setting.scope == Scope::Local && setting.value.eq_ignore_ascii_case("default")
            });
            let names = local.flat_map(|setting| reset_by(&setting.name));
            names.filter_map(|name| told(name, Span::Transaction)).collect()
        }
    }
}

/// A setting and what is reset along with it.
fn reset_by(name: &str) -> impl Iterator<Item = &str> {
    iter::once(name).chain((name == AUTHORIZATION).then_some(ROLE))
}

/// How many statements follow each one of a query's, to restore what it resets. Empty when none does.
pub(crate) fn restored_by(verdict: &Verdict, startup: &Settings) -> Box<[usize]> {
    let may = |statement: &Statement| {
        matches!(statement.kind, Kind::Reset(_) | Kind::Discard(Discard::All))
            || !statement.effects.settings.is_empty()
    };
    if startup.is_empty() || !verdict.statements.iter().any(may) {
        return Box::default();
    }
    let counts: Box<[usize]> =
        verdict.statements.iter().map(|statement| restores(statement, startup).len()).collect();
    if counts.iter().all(|count| *count == 0) { Box::default() } else { counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::value::Value;
    use crate::sql::{Classifier, StandardConformingStrings};

    fn restored(sql: &str) -> Vec<String> {
        let raw = |text: &str| Some(Value::Raw(text.into()));
        let startup = Settings::default()
            .with("timezone", raw("Asia/Tokyo"))
            .with("search_path", raw("a, \"B\""))
            .with("role", raw("clerk"));
        let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
        restores(&verdict.statements[0], &startup).into_iter().map(|(_, sql)| sql).collect()
    }

    #[test]
    fn what_is_reset_goes_back_to_what_the_client_came_with() {
        let (path, zone) = (
            "SELECT pg_catalog.set_config('search_path', 'a, \"B\"', false)",
            "SET \"timezone\" TO 'Asia/Tokyo'",
        );
        for sql in ["RESET ALL", "DISCARD ALL"] {
            assert_eq!(restored(sql), [path, zone], "{sql}");
        }
        for sql in ["RESET TimeZone", "SET TIME ZONE DEFAULT", "SET timezone = DEFAULT"] {
            assert_eq!(restored(sql), [zone], "{sql}");
        }
        let role = "SET \"role\" TO 'clerk'";
        for sql in [
            "RESET role",
            "RESET SESSION AUTHORIZATION",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SET ROLE DEFAULT",
        ] {
            assert_eq!(restored(sql), [role], "{sql}");
        }
        assert!(restored("SET SESSION AUTHORIZATION clerk").is_empty());
        assert_eq!(restored("SET LOCAL SESSION AUTHORIZATION DEFAULT"), ["SET LOCAL \"role\" TO 'clerk'"]);
        assert_eq!(restored("SET LOCAL timezone TO DEFAULT"), ["SET LOCAL \"timezone\" TO 'Asia/Tokyo'"]);
        for sql in ["RESET work_mem", "SET timezone = 'UTC'", "DISCARD PLANS", "SELECT 1"] {
            assert!(restored(sql).is_empty(), "{sql}");
        }
    }
}
