//! Statements that give a connection the settings of an earlier moment, and those that it had back.
//!
//! Pure: texts out.

use std::fmt::Write;

use crate::backend::value::{Span, Value, assignment, literal};
use crate::session::model::settings::plain;
use crate::session::model::statement::NAMES_BY;

/// What is run in front of a preparation, and behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) before: Vec<String>,
    pub(crate) after: String,
}

/// Statements for these settings, which had these values or the server's own. None where there are none.
///
/// What a setting is now the connection notes in one of weir's own, as it may be set for the transaction alone. All is set
/// for the transaction alone, and a client is not told of it: behind the last of them everything is as it was.
pub(crate) fn as_before<'a>(
    settings: impl Iterator<Item = (&'static str, Option<&'a Value>)>,
) -> Option<Texts> {
    let (mut notes, mut sets, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut others = Vec::new();
    for (name, value) in settings {
        let (setting, note) = (literal(name), literal(&format!("weir.was_{name}")));
        notes.push(format!("pg_catalog.set_config({note}, pg_catalog.current_setting({setting}), true)"));
        after.push(format!("pg_catalog.set_config({setting}, pg_catalog.current_setting({note}), true)"));
        match value {
            None => sets.push(format!("pg_catalog.set_config({setting}, NULL, true)")),
            Some(value) if is_one(name, value) => {
                sets.push(format!("pg_catalog.set_config({setting}, {}, true)", literal(&plain(value))));
            }
            Some(value) => others.push(assignment(name, value, Span::Transaction)),
        }
    }
    if after.is_empty() {
        return None;
    }
    let select = |calls: &[String]| {
        calls.iter().fold(String::from("SELECT"), |mut sql, call| {
            let _ = write!(sql, "{} {call}", if sql.len() > 6 { "," } else { "" });
            sql
        })
    };
    let before = [vec![select(&[notes, sets].concat())], others].concat();
    Some(Texts { before, after: select(&after) })
}

/// Whether a value is one word, number or literal. A list, and an interval, only SET can read. Of names in a list it
/// matters whether they are quoted.
fn is_one(name: &str, value: &Value) -> bool {
    let Value::Sql(text) = value else { return true };
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+./".contains(&byte));
    let quoted = |quote: char| {
        let within = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        within.is_some_and(|within| !within.replace(&quote.to_string().repeat(2), "").contains(quote))
    };
    word(text) || (!NAMES_BY.contains(&name) && (quoted('\'') || quoted('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Value {
        Value::Sql(text.into())
    }

    #[test]
    fn what_was_is_set_and_what_is_comes_back() {
        let (zone, list) = (sql("'Asia/Tokyo'"), sql("a, \"B\""));
        let texts = as_before([("timezone", Some(&zone)), ("datestyle", None)].into_iter()).unwrap();
        assert_eq!(
            texts.before,
            [
                "SELECT pg_catalog.set_config('weir.was_timezone', pg_catalog.current_setting('timezone'), true), \
              pg_catalog.set_config('weir.was_datestyle', pg_catalog.current_setting('datestyle'), true), \
              pg_catalog.set_config('timezone', 'Asia/Tokyo', true), pg_catalog.set_config('datestyle', NULL, true)"
            ]
        );
        assert_eq!(
            texts.after,
            "SELECT pg_catalog.set_config('timezone', pg_catalog.current_setting('weir.was_timezone'), true), \
             pg_catalog.set_config('datestyle', pg_catalog.current_setting('weir.was_datestyle'), true)"
        );
        let texts = as_before([("search_path", Some(&list))].into_iter()).unwrap();
        assert_eq!(texts.before[1..], ["SET LOCAL \"search_path\" TO a, \"B\""]);
        assert_eq!(as_before(std::iter::empty()), None);
    }

    #[test]
    fn what_only_set_can_read_is_told_from_the_rest() {
        for one in ["utc", "'it''s'", "\"Utc\"", "-7", "'ISO, DMY'", "''"] {
            assert!(is_one("timezone", &sql(one)), "{one}");
        }
        for other in ["a, b", "'ISO', 'DMY'", "INTERVAL '-08:00' HOUR TO MINUTE", "\"a\", \"b\"", "E'x'"] {
            assert!(!is_one("timezone", &sql(other)), "{other}");
        }
        for other in ["'a, b'", "\"Play\""] {
            assert!(!is_one("search_path", &sql(other)), "{other}");
        }
        assert!(is_one("search_path", &sql("play")));
        assert!(is_one("search_path", &Value::Raw("a, b".into())));
    }
}
