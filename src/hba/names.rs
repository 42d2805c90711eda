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
    /// `samerole` and `samegroup`: the database that is called as a role that its user is a member of.
    SameRole,
    /// `+` and a role: its members, and itself.
    MemberOf(String),
    /// A name, as it is written.
    Plain(String),
}

/// Who a client says it is, as far as lists of names ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    /// The user.
    pub(super) user: &'a str,
    /// The roles that it is a member of, itself included; `None` when nobody has asked.
    pub(super) roles: Option<&'a [String]>,
}

impl Name {
    /// A database.
    pub(super) fn of_database(token: &Token) -> Result<Self, String> {
        match token.text.as_str() {
            "sameuser" if !token.quoted => Ok(Name::SameUser),
            "replication" if !token.quoted => Ok(Name::Replication),
            "samerole" | "samegroup" if !token.quoted => Ok(Name::SameRole),
            _ => Self::of_either(token),
        }
    }

    /// A user.
    pub(super) fn of_user(token: &Token) -> Result<Self, String> {
        match token.text.strip_prefix('+') {
            Some(role) if !token.quoted => Ok(Name::MemberOf(role.to_owned())),
            _ => Self::of_either(token),
        }
    }

    fn of_either(token: &Token) -> Result<Self, String> {
        match token.text.strip_prefix('/') {
            _ if token.is("all") => Ok(Name::All),
            Some(pattern) => Pattern::new(pattern).map(Name::Pattern),
            None => Ok(Name::Plain(token.text.clone())),
        }
    }

    /// Whether it is the database or the user that a client names; `None` when that depends on roles that nobody has asked
    /// for.
    pub(super) fn is(&self, name: &str, who: &Who<'_>) -> Option<bool> {
        let is_member = |of: &str| who.roles.map(|roles| roles.iter().any(|role| role == of));
        match self {
            Name::All => Some(true),
            Name::SameUser => Some(name == who.user),
            Name::SameRole => is_member(name),
            Name::MemberOf(role) => is_member(role),
            Name::Replication => Some(false),
            Name::Pattern(pattern) => Some(pattern.matches(name)),
            Name::Plain(plain) => Some(plain == name),
        }
    }

    /// Whether it is one of these.
    pub(super) fn is_any(names: &[Self], name: &str, who: &Who<'_>) -> Option<bool> {
        let mut found = Some(false);
        for one in names {
            match one.is(name, who) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => found = None,
            }
        }
        found
    }
}
