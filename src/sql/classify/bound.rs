//! What calls of `set_config` do once the values of their parameters are there. Whether such a call runs, and whether the
//! setting takes its value, is not known here.

use super::parameters;
use super::set_config::literal;
use crate::sql::text::{self, StandardConformingStrings, Token, TokenKind};
use crate::sql::verdict::{
    Argument, BoundCall, BoundValue, Change, Effects, Scope, Setting, Statement, Verdict, Written,
};

/// Types whose values are text as it stands, in either format: `unknown`, `text`, `varchar`, and what the server finds
/// out by itself, which is `text` here.
const TEXTS: [u32; 4] = [0, 25, 705, 1043];

/// `boolean`, and what the server takes for that.
const BOOLEANS: [u32; 2] = [0, 16];

/// A call of `set_config` with these arguments, if each of them is a literal or a parameter.
pub(super) fn bound_call(arguments: &[Token<'_>], strings: StandardConformingStrings) -> Option<BoundCall> {
    let mut parts = arguments.split(|token| token.is_symbol(","));
    let (name, value, local) = (parts.next()?, parts.next()?, parts.next()?);
    let plain = |tokens: &[Token<'_>]| {
        let text = || literal(tokens, strings).map(|text| Argument::Text(text.into()));
        parameter(tokens, &["text", "varchar"]).or_else(text)
    };
    let value = match value {
        [token] if token.is_word("null") => Argument::Null,
        value => plain(value)?,
    };
    let local = match local {
        [token] if token.kind != TokenKind::Parameter => {
            Argument::Text(parameters::boolean(token, strings)?.to_string().into())
        }
        local => parameter(local, &["boolean", "bool"])?,
    };
    let call = BoundCall { name: plain(name)?, value, local };
    parts.next().is_none().then_some(call)
}

/// `$n`, perhaps with a cast to one of these types.
fn parameter(tokens: &[Token<'_>], types: &[&str]) -> Option<Argument> {
    let token = match tokens {
        [token] => token,
        [token, cast, of] if cast.is_symbol("::") && types.iter().any(|word| of.is_word(word)) => token,
        _ => return None,
    };
    let number = token.text.strip_prefix(b"$").filter(|_| token.kind == TokenKind::Parameter)?;
    Some(Argument::Parameter(std::str::from_utf8(number).ok()?.parse().ok()?))
}

/// The verdict over a text whose parameters have these values: what it sets is known then. `None` where that is no more
/// than was known before.
pub(crate) fn with_values<'a>(
    verdict: &Verdict,
    value_of: impl Fn(u16) -> Option<BoundValue<'a>>,
) -> Option<Verdict> {
    let [statement] = &*verdict.statements else { return None };
    let calls = &statement.effects.bound;
    if calls.is_empty() {
        return None;
    }
    let calls = calls.iter();
    let settings = calls.map(|call| setting(call, &value_of)).collect::<Option<Vec<_>>>()?;
    // What it may have been.
    let others = statement.effects.changes.iter().filter(|change| {
        !matches!(change, Change::DynamicSetting(_) | Change::LocalSetting(_) | Change::Searches)
    });
    let effects = Effects {
        changes: others.cloned().collect(),
        settings: settings.into(),
        bound: Box::default(),
        ..statement.effects.clone()
    };
    let statement = Statement { effects, ..statement.clone() };
    Some(Verdict { statements: Box::new([statement]), ..verdict.clone() })
}

fn setting<'a>(call: &BoundCall, value_of: impl Fn(u16) -> Option<BoundValue<'a>>) -> Option<Setting> {
    let told = |argument: &Argument| match argument {
        Argument::Null => Some(None),
        Argument::Text(text) => Some(Some(text.to_string())),
        Argument::Parameter(number) => {
            let value = value_of(*number).filter(|value| TEXTS.contains(&value.oid))?;
            match value.written {
                Written::Null => Some(None),
                Written::Text(bytes) | Written::Binary(bytes) => {
                    Some(Some(std::str::from_utf8(bytes).ok()?.to_owned()))
                }
            }
        }
    };
    let name = told(&call.name)??.to_ascii_lowercase();
    // weir's own are judged by weir, which reads them where they stand in the text.
    if !parameters::is_repeatable(&name) || name.starts_with("weir.") {
        return None;
    }
    let value = match told(&call.value)? {
        None => "DEFAULT".to_owned(),
        Some(value) => text::quote_literal(&value),
    };
    let local = match &call.local {
        Argument::Null => false,
        Argument::Text(word) => &**word == "true",
        // NULL is not true.
        Argument::Parameter(number) => boolean(value_of(*number)?)?,
    };
    let scope = if local { Scope::Local } else { Scope::Session };
    Some(Setting { name: name.into(), value: value.into(), scope })
}

/// As PostgreSQL reads it: a whole word or its beginning, in any case, with space around it.
fn boolean(value: BoundValue<'_>) -> Option<bool> {
    if !BOOLEANS.contains(&value.oid) {
        return None;
    }
    let bytes = match value.written {
        Written::Null => return Some(false),
        Written::Binary(bytes) => return <[u8; 1]>::try_from(bytes).ok().map(|[byte]| byte != 0),
        Written::Text(bytes) => bytes,
    };
    let word = std::str::from_utf8(bytes).ok()?.trim_ascii().to_ascii_lowercase();
    let begins = |whole: &str, at_least: usize| word.len() >= at_least && whole.starts_with(&*word);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Classifier;

    /// What a text sets with these values: `name = value`, with `local` in front when it ends with the transaction.
    fn set(sql: &str, values: &[BoundValue<'_>]) -> Option<String> {
        let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
        let value = |number: u16| values.get(usize::from(number).checked_sub(1)?).copied();
        let bound = with_values(&verdict, value)?;
        let effects = &bound.statements[0].effects;
        assert_eq!(effects.pins().count(), 0, "{sql}");
        let written = effects.settings.iter().map(|setting| {
            let local = if setting.scope == Scope::Local { "local " } else { "" };
            format!("{local}{} = {}", setting.name, setting.value)
        });
        Some(written.collect::<Vec<_>>().join("; "))
    }

    fn text(value: &str) -> BoundValue<'_> {
        of(0, Written::Text(value.as_bytes()))
    }

    fn of(oid: u32, written: Written<'_>) -> BoundValue<'_> {
        BoundValue { oid, written }
    }

    #[test]
    fn values_tell_what_is_set() {
        let zone = "SELECT set_config('TimeZone', $1, false)";
        for oid in TEXTS {
            for written in [Written::Text(b"Asia/Tokyo"), Written::Binary(b"Asia/Tokyo")] {
                let told = set(zone, &[of(oid, written)]);
                assert_eq!(told.as_deref(), Some("timezone = 'Asia/Tokyo'"));
            }
        }
        assert_eq!(set(zone, &[of(25, Written::Null)]).as_deref(), Some("timezone = DEFAULT"));
        assert_eq!(set(zone, &[text("it's \\")]).as_deref(), Some("timezone = E'it''s \\\\'"));
        let any = "SELECT pg_catalog.set_config($2::text, $1, $3::bool)";
        assert_eq!(set(any, &[text("x"), text("A.b"), text("T")]).as_deref(), Some("local a.b = 'x'"));
        let path = "SELECT set_config('search_path', $1, $2)";
        let local = of(16, Written::Binary(&[1]));
        assert_eq!(set(path, &[text("a, \"B\""), local]).as_deref(), Some("local search_path = 'a, \"B\"'"));
        let both = "SELECT set_config('a.b', 'x', false), set_config('a.b', $1, false)";
        assert_eq!(set(both, &[text("y")]).as_deref(), Some("a.b = 'x'; a.b = 'y'"));
    }

    #[test]
    fn a_boolean_is_read_as_postgresql_reads_it() {
        let told = |value: &str| {
            let told = set("SELECT set_config('a.b', 'x', $1)", &[text(value)]);
            told.map(|told| told.starts_with("local"))
        };
        for word in ["t", "tru", "TRUE", " true ", "y", "yes", "on", "1"] {
            assert_eq!(told(word), Some(true), "{word}");
        }
        for word in ["f", "fals", "False", "n", "no", "of", "OFF", "0"] {
            assert_eq!(told(word), Some(false), "{word}");
        }
        for word in ["", "o", "2", "truth", "onn"] {
            assert_eq!(told(word), None, "{word}");
        }
        let null = set("SELECT set_config('a.b', 'x', $1)", &[of(0, Written::Null)]);
        assert_eq!(null.as_deref(), Some("a.b = 'x'"));
    }

    #[test]
    fn what_values_do_not_tell_stays_unknown() {
        let x = || text("x");
        for (sql, values) in [
            ("SELECT set_config('a.b', $1, false)", vec![]),
            ("SELECT set_config('a.b', $1, false)", vec![of(0, Written::Text(b"\xff"))]),
            ("SELECT set_config('a.b', $1, false)", vec![of(1042, Written::Text(b"x"))]),
            ("SELECT set_config('a.b', $1::char(1), false)", vec![x()]),
            ("SELECT set_config('a.b', $1 || 'y', false)", vec![x()]),
            ("SELECT set_config('a.b', lower($1), false)", vec![x()]),
            ("SELECT set_config('a.b', $1, false) WHERE $2", vec![x(), text("t")]),
            ("SELECT set_config('a.b', $1, false) FROM t", vec![x()]),
            ("SELECT set_config('a.b', $1, false), set_config('a.' || 'b', 'y', false)", vec![x()]),
            ("SELECT set_config($1, 'x', false)", vec![text("seed")]),
            ("SELECT set_config($1, 'x', false)", vec![text("weir.target")]),
            ("SELECT set_config($1, 'on', true)", vec![text("transaction_read_only")]),
            ("SELECT set_config($1, 'x', false)", vec![of(0, Written::Null)]),
            ("SELECT set_config('a.b', 'x', $1)", vec![of(23, Written::Text(b"1"))]),
            ("DECLARE c CURSOR FOR SELECT set_config('a.b', $1, false)", vec![x()]),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT set_config('a.b', $1, false)", vec![x()]),
            ("INSERT INTO t VALUES (set_config('a.b', $1, false))", vec![x()]),
            ("SELECT 1; SELECT set_config('a.b', $1, false)", vec![x()]),
            ("SELECT 1", vec![]),
        ] {
            let told = set(sql, &values);
            assert_eq!(told, None, "{sql}");
        }
    }
}
