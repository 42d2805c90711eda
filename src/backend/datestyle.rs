//! `DateStyle`, the one setting whose new value may leave part of the old one as it is.
//!
//! It is two things in one: how dates are written (ISO, SQL, Postgres, German) and in which order day, month and year
//! are read. `SET DateStyle TO ymd` says the order only; what is not said stays. To be the same on another connection
//! it must be said in full, as far as the session has said it.

use super::value::Value;

/// The name of the setting, as settings are kept by it.
pub(crate) const NAME: &str = "datestyle";

/// The two parts, each in PostgreSQL's own word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DateStyle {
    style: Option<&'static str>,
    order: Option<&'static str>,
}

impl DateStyle {
    /// What a list of words says, read as `check_datestyle` does. `None` when a word is none of its: only the server
    /// can tell then.
    fn read(value: &Value) -> Option<Self> {
        let (Value::Sql(text) | Value::Raw(text)) = value;
        let text = text.to_ascii_lowercase();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut said = Self::default();
        for word in words {
            match word {
                "iso" => said.style = Some("ISO"),
                "sql" => said.style = Some("SQL"),
                "german" => said.style = Some("German"),
                _ if word.starts_with("postgres") => said.style = Some("Postgres"),
                "ymd" => said.order = Some("YMD"),
                "dmy" => said.order = Some("DMY"),
                "mdy" | "us" => said.order = Some("MDY"),
                _ if word.starts_with("euro") => said.order = Some("DMY"),
                _ if word.starts_with("noneuro") => said.order = Some("MDY"),
                _ => return None,
            }
        }
        if said.style == Some("German") {
            // It brings its own order where none is said.
            said.order = said.order.or(Some("DMY"));
        }
        Some(said)
    }
}

/// The value that holds once `new` has been set on top of `old`.
pub(crate) fn on_top_of(old: Option<&Value>, new: Value) -> Value {
    let Some(said) = DateStyle::read(&new) else { return new };
    let before = old.and_then(DateStyle::read).unwrap_or_default();
    let words = [said.style.or(before.style), said.order.or(before.order)];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { new } else { Value::Sql(format!("'{}'", words.join(", ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Value {
        Value::Sql(text.into())
    }

    fn set(values: &[&str]) -> String {
        let last =
            values.iter().fold(None, |old: Option<Value>, new| Some(on_top_of(old.as_ref(), sql(new))));
        let Some(Value::Raw(text) | Value::Sql(text)) = last else { panic!("nothing was set") };
        text.trim_matches('\'').to_owned()
    }

    #[test]
    fn what_is_not_said_stays() {
        assert_eq!(set(&["'Postgres, MDY'", "ymd"]), "Postgres, YMD");
        assert_eq!(set(&["'postgres', 'dmy'", "'iso'"]), "ISO, DMY");
        assert_eq!(set(&["'sql'", "european"]), "SQL, DMY");
        assert_eq!(set(&["US", "postgresql"]), "Postgres, MDY");
        assert_eq!(set(&["'ISO, NonEuropean'"]), "ISO, MDY");
        assert_eq!(set(&["ymd"]), "YMD");
    }

    #[test]
    fn german_brings_its_order() {
        assert_eq!(set(&["ymd", "german"]), "German, DMY");
        assert_eq!(set(&["'German, YMD'"]), "German, YMD");
        assert_eq!(set(&["german", "iso"]), "ISO, DMY");
    }

    #[test]
    fn what_is_not_understood_is_kept_as_it_is() {
        assert_eq!(set(&["ymd", "$1"]), "$1");
        assert_eq!(on_top_of(Some(&sql("ymd")), sql("E'iso'")), sql("E'iso'"));
    }
}
