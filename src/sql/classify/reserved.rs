//! Words that no function can be called by.

use crate::sql::text::Token;

/// Reserved words that stand in front of parentheses, and which no function can be called by without quotes.
const RESERVED: [&str; 38] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "case",
    "check",
    "distinct",
    "else",
    "except",
    "fetch",
    "for",
    "foreign",
    "from",
    "having",
    "in",
    "intersect",
    "lateral",
    "limit",
    "not",
    "offset",
    "on",
    "only",
    "or",
    "primary",
    "references",
    "returning",
    "select",
    "some",
    "then",
    "union",
    "unique",
    "using",
    "when",
    "where",
    "window",
    "with",
    "group",
];

/// Whether a word is one that no function can be called by.
pub(super) fn is_reserved(token: &Token<'_>) -> bool {
    RESERVED.iter().any(|word| token.is_word(word))
}
