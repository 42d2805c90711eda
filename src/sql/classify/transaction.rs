//! Finds what a statement asks of the transaction that it runs in: when that began, how it was begun, what it has open.
//! Outside a transaction these have one answer on every server, or none that can be compared.
//!
//! The list is closed: it was made from all of `pg_proc` that is STABLE or VOLATILE, by what each reads.
//!
//! | family | here |
//! |---|---|
//! | the transaction's time (`now`, `age` of one argument, `CURRENT_DATE`; literals such as `'today'`) | yes |
//! | its number and its snapshot (`age` of an xid counts from what the transaction saw first) | yes |
//! | settings by their names (`current_setting`, `SHOW`, `pg_settings`), those of the transaction among them | yes |
//! | what it has open (`pg_cursors`, `cursor_to_xml`) | yes |
//! | what runs a relation's query that is given as text (`table_to_xml`): the view may ask | yes |
//! | the offset of a time zone on the transaction's day (`timetz`, `pg_timezone_names`): changes twice a year | no |
//! | the statement's time, or the clock's (`statement_timestamp`, `clock_timestamp`, `timeofday`) | no |
//! | users and search paths (`current_user`, `current_schema`): settings, which weir gives every connection | no |
//! | what is read of the catalog (`has_table_privilege`, `pg_get_viewdef`, `regclassin`): data like any other | no |
//! | conversions that depend on settings only (`to_char`, `timestamptz_out`, `date_trunc`) | no |
//! | what must run on the primary whatever it asks (statistics, locks, large objects, exported snapshots, `query_to_xml`) | no |

use super::set_config::literal;
use crate::sql::text::{self, Cursor, StandardConformingStrings, Token};
use crate::sql::verdict::Dependency;

/// Functions of PostgreSQL's own that ask, whatever their arguments; `age` if it has one.
pub(crate) const ASKING_CALLS: &[&str] = &[
    "age",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "now",
    "pg_current_snapshot",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_cursor",
    "pg_show_all_settings",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "transaction_timestamp",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
];

/// Words of the grammar for the transaction's time, with or without a precision.
const WORDS: [&str; 5] = ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];

/// What a token, with what stands around it, asks for.
pub(super) fn asks(
    tokens: &[Token<'_>],
    at: usize,
    strings: StandardConformingStrings,
) -> Option<Dependency> {
    let (asks, modes) = (Some(Dependency::Transaction), Some(Dependency::Modes));
    let token = tokens[at];
    if !token.is_name() {
        return asks.filter(|_| text::is_moment(token));
    }
    let behind = at.checked_sub(1).map(|before| tokens[before]);
    let qualified = behind.is_some_and(|before| before.is_symbol("."));
    if !qualified && WORDS.iter().any(|word| token.is_word(word)) {
        return asks;
    }
    let name = text::name(token)?;
    let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
    // `(x).age` is a call as well.
    let applied = qualified && at >= 2 && tokens[at - 2].is_symbol(")");
    match &*name {
        "pg_settings" => modes,
        "pg_cursors" => asks,
        "current_setting" if called => modes.filter(|_| asks_setting(&tokens[at + 1..], strings)),
        "current_setting" if applied => modes,
        "age" if applied => asks,
        "pg_show_all_settings" if called => modes,
        name => asks.filter(|_| called && ASKING_CALLS.binary_search(&name).is_ok()),
    }
}

/// Whether `current_setting(...)`, of which the arguments begin here, may ask for a setting of the transaction.
fn asks_setting(tokens: &[Token<'_>], strings: StandardConformingStrings) -> bool {
    // The first argument is a literal if no parenthesis opens in it: the whole list need not be looked at.
    let ends = |token: &Token<'_>| token.is_symbol(",") || token.is_symbol(")");
    let first = tokens[1..].split(ends).next();
    let name = first.and_then(|name| literal(name, strings));
    name.is_none_or(|name| is_of_transaction(&name))
}

/// Whether a statement is a `SHOW` that shows settings of the transaction.
pub(super) fn shows(tokens: &[Token<'_>]) -> bool {
    let mut cursor = Cursor::new(tokens);
    if !cursor.take_word("show") {
        return false;
    }
    let Some(name) = cursor.take_name() else { return false };
    // `SHOW TRANSACTION ISOLATION LEVEL` is a spelling of its own.
    matches!(&*name.to_ascii_lowercase(), "all" | "transaction") || is_of_transaction(&name)
}

/// By the prefix: settings that are not the transaction's have it as well, and it costs little to take them for one.
fn is_of_transaction(setting: &str) -> bool {
    const PREFIX: &str = "transaction_";
    setting.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Classifier;
    use crate::sql::verdict::Statement;

    fn statement(sql: &str) -> Statement {
        Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].clone()
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(ASKING_CALLS.is_sorted());
    }

    #[test]
    fn what_asks_for_the_transaction_depends_on_it() {
        for sql in [
            "SELECT now()",
            "SELECT pg_catalog.\"now\" ()",
            "SELECT * FROM t WHERE at > CURRENT_DATE - 7",
            "SELECT localtimestamp(3), a FROM t",
            "SELECT age(born) FROM t",
            "SELECT (born).age FROM t",
            "SELECT * FROM t WHERE at < ' Now '::timestamptz",
            "SELECT date 'yesterday'",
            "SELECT 'now or never'",
            "SELECT 1, 2, 'today', 3",
            "SHOW transaction_isolation",
            "SHOW TRANSACTION ISOLATION LEVEL",
            "SHOW \"Transaction_Read_Only\"",
            "SHOW ALL",
            "SELECT current_setting('TRANSACTION_isolation')",
            "SELECT current_setting($1, true)",
            "SELECT current_setting('transaction' || '_isolation')",
            "SELECT current_setting('transaction_deferrable'::text)",
            "SELECT ('transaction_isolation'::text).current_setting",
            "SELECT setting FROM pg_settings",
            "TABLE pg_catalog.pg_cursors",
            "SELECT pg_current_xact_id_if_assigned()",
            "SELECT txid_current_snapshot()",
            "SELECT table_to_xml('v', true, false, '')",
            "INSERT INTO t VALUES (now())",
            "DECLARE c CURSOR FOR SELECT now()",
        ] {
            let depends_on = statement(sql).depends_on;
            assert!(matches!(depends_on, Dependency::Transaction | Dependency::Modes), "{sql}");
        }
    }

    #[test]
    fn what_asks_for_something_else_does_not() {
        for sql in [
            "SELECT 1",
            "SELECT now FROM t",
            "SELECT t.current_date, \"current_date\" FROM t",
            "SELECT t.age FROM t",
            "SELECT clock_timestamp(), statement_timestamp()",
            "SELECT current_user, current_schema",
            "SELECT 'nowhere', 'not now'",
            "SELECT current_setting('app.tenant'), current_setting('timezone'::text, true)",
            "SHOW timezone",
            "SHOW default_transaction_isolation",
            "SET transaction_isolation = 'serializable'",
            "SELECT pg_visible_in_snapshot(a, b) FROM t",
        ] {
            assert_eq!(statement(sql).depends_on, Dependency::Nothing, "{sql}");
        }
    }

    #[test]
    fn what_lives_on_one_connection_comes_first() {
        assert_eq!(statement("SELECT now(), currval('s')").depends_on, Dependency::Drawn);
        assert_eq!(statement("EXECUTE p(now())").depends_on, Dependency::Statement("p".into()));
    }

    #[test]
    fn a_word_for_a_time_makes_another_skeleton() {
        let classifier = Classifier::new(10);
        let classify = |sql: &str| classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
        let (plain, moment) = (classify("SELECT a = '2020-01-01'"), classify("SELECT a = 'now'"));
        assert_eq!(plain.statements[0].depends_on, Dependency::Nothing);
        assert_eq!(moment.statements[0].depends_on, Dependency::Transaction);
        assert_eq!(moment.skeleton, classify("SELECT a = 'Tomorrow'").skeleton);
        assert_ne!(
            classify("SELECT a IN ('x', 'now')").skeleton,
            classify("SELECT a IN ('x', 'y')").skeleton
        );
        assert_eq!(
            classify("SELECT a IN ('x', 'now')").skeleton,
            classify("SELECT a IN ('x', 'y', 'now')").skeleton
        );
    }
}
