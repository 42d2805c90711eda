//! The maps of `pg_ident.conf`: which name, proved elsewhere, may be which user here.

use std::sync::Arc;

use super::mistake::Place;
use super::names::{Name, Who};
use super::pattern::Pattern;
use super::tokens::{Line, Token};

/// All lines, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Maps {
    pub(super) lines: Vec<Entry>,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    place: Place,
    map: String,
    system_user: SystemUser,
    user: Name,
}

/// The name that was proved: of an operating system's user, or in a certificate.
#[derive(Clone, Debug)]
enum SystemUser {
    Plain(String),
    Pattern(Pattern),
}

/// Why somebody may not be the user that it wants to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// There is no map, and the names are not the same.
    #[error("the name that was proved is not the user's")]
    Names,
    /// No line of the map allows it.
    #[error("no line of the map lets the name that was proved be the user")]
    Unmapped,
    /// This line matches, but its group does not.
    #[error("{} line {}: the regular expression has matched without its first group", .0.file.display(), .0.line)]
    NoGroup(Place),
}

const BACKREFERENCE: &str = "\\1";

impl Entry {
    /// Reads a line, after hba.c's parse_ident_line.
    pub(super) fn read(line: &Line) -> Result<Self, String> {
        let mut fields = line.fields.iter();
        let mut next = || match fields.next().map(|field| &field[..]) {
            None => Err("missing entry at end of line".to_owned()),
            Some([token]) => Ok(token),
            Some(_) => Err("multiple values in ident field".to_owned()),
        };
        let (map, system_user, user): (&Token, &Token, &Token) = (next()?, next()?, next()?);
        let system_user = match system_user.text.strip_prefix('/') {
            Some(pattern) => SystemUser::Pattern(Pattern::new(pattern)?),
            None => SystemUser::Plain(system_user.text.clone()),
        };
        let user = Name::of_user(user)?;
        if let (SystemUser::Pattern(pattern), Name::Plain(name)) = (&system_user, &user)
            && name.contains(BACKREFERENCE)
            && let Some(problem) = pattern.no_first_group()
        {
            return Err(format!("\"{name}\": {problem}"));
        }
        Ok(Self { place: line.place.clone(), map: map.text.clone(), system_user, user })
    }

    /// Whether `system_user` may be the user by this line.
    fn allows(&self, system_user: &str, who: &Who<'_>) -> Result<bool, Mismatch> {
        // Without the roles that it asks for a line lets nobody in.
        let is_user = || self.user.is(who.user, who) == Some(true);
        let pattern = match &self.system_user {
            SystemUser::Plain(plain) => return Ok(plain == system_user && is_user()),
            SystemUser::Pattern(pattern) if pattern.matches(system_user) => pattern,
            SystemUser::Pattern(_) => return Ok(false),
        };
        match &self.user {
            Name::Plain(name) if name.contains(BACKREFERENCE) => {
                let no_group = || Mismatch::NoGroup(self.place.clone());
                let group = pattern.first_group(system_user).ok_or_else(no_group)?;
                // Whatever comes of it is a name, and nothing that PostgreSQL would read in another way.
                Ok(name.replacen(BACKREFERENCE, group, 1) == who.user)
            }
            _ => Ok(is_user()),
        }
    }
}

impl Maps {
    pub(super) fn has(&self, map: &str) -> bool {
        self.lines.iter().any(|line| line.map == map)
    }

    /// Whether a map has lines for the members of roles.
    pub(super) fn ask_for_roles(&self, map: &str) -> bool {
        let mut lines = self.lines.iter().filter(|line| line.map == map);
        lines.any(|line| matches!(line.user, Name::MemberOf(_)))
    }

    /// Whether who has proved to be `system_user` may be `who`, by this map or by none.
    pub(super) fn allow(
        &self,
        map: Option<&Arc<str>>,
        system_user: &str,
        who: &Who<'_>,
    ) -> Result<(), Mismatch> {
        let Some(map) = map else {
            return if system_user == who.user { Ok(()) } else { Err(Mismatch::Names) };
        };
        for line in self.lines.iter().filter(|line| *line.map == **map) {
            if line.allows(system_user, who)? {
                return Ok(());
            }
        }
        Err(Mismatch::Unmapped)
    }
}

#[cfg(test)]
#[path = "ident_tests.rs"]
mod tests;
