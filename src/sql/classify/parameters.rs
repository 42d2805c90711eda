//! What weir knows about PostgreSQL's configuration parameters by their names, and how it reads a Boolean one. What one
//! is set to is not known here.

use crate::sql::text::{self, StandardConformingStrings, Token, TokenKind};

/// Settings that begin, end or shape a transaction rather than the session.
const TRANSACTION: [&str; 3] = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"];

/// Whether a setting, in lower case, is one of those.
pub(super) fn is_of_transaction(setting: &str) -> bool {
    TRANSACTION.contains(&setting)
}

/// Whether a session that gives a setting its value again is where it was. The value of `seed` is used up.
pub(super) fn is_repeatable(setting: &str) -> bool {
    !is_of_transaction(setting) && setting != "seed"
}

/// Settings that a session's own map carries or that all servers of a cluster share, so that `SHOW` answers alike
/// everywhere. All others may differ between servers. Names with a dot are the user's own, unless a library has them.
const ALIKE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "integer_datetimes",
    "intervalstyle",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "role",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "standard_conforming_strings",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
];

/// PostgreSQL's libraries whose settings each server has in a configuration file of its own, and only where it loads them.
const LIBRARIES: &[&str] = &[
    "auth_delay",
    "auto_explain",
    "basebackup_to_shell",
    "basic_archive",
    "passwordcheck",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "plperl",
    "plpgsql",
    "pltcl",
    "postgres_fdw",
    "sepgsql",
];

/// Whether a setting, in lower case, reads the same on every server.
pub(super) fn alike_everywhere(setting: &str) -> bool {
    match setting.split_once('.') {
        Some((library, _)) => LIBRARIES.binary_search(&library).is_err(),
        None => ALIKE.binary_search(&setting).is_ok(),
    }
}

/// The value of a Boolean parameter, in the words that weir takes for one.
pub(super) fn boolean(token: &Token<'_>, strings: StandardConformingStrings) -> Option<bool> {
    let word = match token.kind {
        TokenKind::Word => std::str::from_utf8(token.text).ok()?.to_owned(),
        _ => text::string_value(*token, strings)?,
    };
    match &*word.to_ascii_lowercase() {
        "true" | "t" | "on" | "yes" | "1" => Some(true),
        "false" | "f" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted() {
        assert!(ALIKE.is_sorted() && LIBRARIES.is_sorted());
    }
}
