//! The lists of databases and users of a line.

use super::pattern::Pattern;
use super::tokens::Token;

/// What a list of names says.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// `all`.
    All,
    /// `sameuser`: the database that is called as its user.
    SameUser,
    /// `replication`, which no session is.
    Replication,
    /// `/` and a regular expression, quoted or not.
    Pattern(Pattern),
    /// A name, as it is written.
    Plain(String),
}

impl Name {
    /// A database.
    pub(super) fn of_database(token: &Token) -> Result<Self, String> {
        match token.text.as_str() {
            "sameuser" if !token.quoted => Ok(Name::SameUser),
            "replication" if !token.quoted => Ok(Name::Replication),
            "samerole" | "samegroup" if !token.quoted => Err(unknown_members(&token.text)),
            _ => Self::of_either(token),
        }
    }

    /// A user.
    pub(super) fn of_user(token: &Token) -> Result<Self, String> {
        if token.text.starts_with('+') && !token.quoted {
            return Err(unknown_members(&token.text));
        }
        Self::of_either(token)
    }

    fn of_either(token: &Token) -> Result<Self, String> {
        match token.text.strip_prefix('/') {
            _ if token.is("all") => Ok(Name::All),
            Some(pattern) => Pattern::new(pattern).map(Name::Pattern),
            None => Ok(Name::Plain(token.text.clone())),
        }
    }

    /// Whether it is the database or the user that a client names; `user` is who it says it is.
    pub(super) fn is(&self, name: &str, user: &str) -> bool {
        match self {
            Name::All => true,
            Name::SameUser => name == user,
            Name::Replication => false,
            Name::Pattern(pattern) => pattern.matches(name),
            Name::Plain(plain) => plain == name,
        }
    }
}

fn unknown_members(word: &str) -> String {
    format!(
        "weir does not know who is a member of which role, so it cannot follow \"{word}\"; name the users"
    )
}
