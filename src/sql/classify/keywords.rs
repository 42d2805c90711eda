//! Words of PostgreSQL's grammar, by what an unquoted one can mean where a name may stand: the same in all supported
//! versions.

use crate::sql::text::{Token, TokenKind};

/// What a word is that is more than a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    /// It ends a list of relations. Reserved.
    Clause,
    /// No unquoted name is such a word, and an operand follows it.
    Reserved,
    /// A value without parentheses, or with a precision in them: neither a relation nor a function.
    Value,
    /// No unquoted function can be called by it, and it may stand in front of a parenthesis: the name of a type, or grammar
    /// that is written like a call.
    Type,
    /// Any other word, or no word.
    None,
}

/// The longest of them.
const LONGEST: usize = 17;

/// What a token is as a word of the grammar.
pub(super) fn keyword(token: &Token<'_>) -> Keyword {
    let len = token.text.len();
    if token.kind != TokenKind::Word || len > LONGEST {
        return Keyword::None;
    }
    let mut lower = [0; LONGEST];
    lower[..len].copy_from_slice(token.text);
    lower.make_ascii_lowercase();
    match &lower[..len] {
        b"except" | b"fetch" | b"for" | b"having" | b"intersect" | b"limit" | b"offset" | b"union"
        | b"where" | b"window" => Keyword::Clause,
        b"all" | b"analyse" | b"analyze" | b"and" | b"any" | b"array" | b"as" | b"asc" | b"asymmetric"
        | b"both" | b"case" | b"cast" | b"check" | b"collate" | b"column" | b"constraint" | b"create"
        | b"default" | b"deferrable" | b"desc" | b"distinct" | b"do" | b"else" | b"end" | b"foreign"
        | b"from" | b"grant" | b"group" | b"in" | b"initially" | b"into" | b"lateral" | b"leading"
        | b"not" | b"on" | b"only" | b"or" | b"order" | b"placing" | b"primary" | b"references"
        | b"returning" | b"select" | b"some" | b"symmetric" | b"table" | b"then" | b"to" | b"trailing"
        | b"unique" | b"using" | b"variadic" | b"when" | b"with" => Keyword::Reserved,
        b"current_catalog" | b"current_date" | b"current_role" | b"current_schema" | b"current_time"
        | b"current_timestamp" | b"current_user" | b"false" | b"localtime" | b"localtimestamp" | b"null"
        | b"session_user" | b"true" | b"user" => Keyword::Value,
        b"between" | b"bit" | b"boolean" | b"char" | b"character" | b"dec" | b"decimal" | b"float"
        | b"int" | b"integer" | b"interval" | b"national" | b"nchar" | b"numeric" | b"precision"
        | b"real" | b"setof" | b"smallint" | b"time" | b"timestamp" | b"varchar" | b"xmlattributes"
        | b"xmlnamespaces" | b"xmltable" => Keyword::Type,
        _ => Keyword::None,
    }
}
