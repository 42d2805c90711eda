//! The users of a list in PgBouncer's form, which may be read anew while clients log in.
//!
//! A list that cannot be read, or is not right, changes nothing: the last one that was right counts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::Account;
use crate::config::{Secret, UserlistError, Watched, userlist};

/// A list of users.
#[derive(Debug)]
pub struct Userlist {
    path: PathBuf,
    entries: ArcSwap<HashMap<Box<str>, Arc<Entry>>>,
    /// How the file looked when it was read first.
    watched: Watched,
}

/// One user of it.
#[derive(Debug)]
struct Entry {
    secret: Secret,
    /// What is made of it, once it is asked for: a list may be long.
    account: OnceLock<Account>,
}

impl Userlist {
    /// Reads the list.
    ///
    /// # Errors
    /// When it cannot be read, or is not right.
    pub(super) fn open(path: &Path) -> Result<Self, UserlistError> {
        let mut watched = Watched::default();
        watched.look_at(path);
        let list = Self { path: path.to_owned(), entries: ArcSwap::default(), watched };
        list.read()?;
        Ok(list)
    }

    /// How the file looked when it was read first.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Reads it again. Waits for the disk.
    ///
    /// # Errors
    /// When it cannot be read, or is not right.
    pub fn read(&self) -> Result<(), UserlistError> {
        let read = userlist::read(&self.path)?;
        let before = self.entries.load();
        let entry = |(name, secret): (Box<str>, Secret)| {
            // What was made of the same secret serves on: who has logged in by it is the same user.
            let same = before.get(&name).filter(|entry| entry.secret == secret).cloned();
            let entry = same.unwrap_or_else(|| Arc::new(Entry { secret, account: OnceLock::new() }));
            (name, entry)
        };
        self.entries.store(Arc::new(read.into_iter().map(entry).collect()));
        Ok(())
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.entries.load().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The account of a user; `None` if it is not listed.
    pub(super) fn find(&self, name: &str, make: impl FnOnce(&Secret) -> Account) -> Option<Account> {
        let entry = self.entries.load().get(name).cloned()?;
        Some(entry.account.get_or_init(|| make(&entry.secret)).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{Timeouts, User};
    use crate::users::Proof;

    fn made(_: &Secret) -> Account {
        let user = User::unlisted("app".into(), Timeouts::default());
        Account { user: user.into(), proof: Proof::Trust }
    }

    #[test]
    fn a_list_is_read_anew_and_a_wrong_one_changes_nothing() {
        let path = std::env::temp_dir().join(format!("weir-users-{}.txt", std::process::id()));
        fs::write(&path, "\"a\" \"x\"\n\"none\" \"\"").unwrap();
        let list = Userlist::open(&path).unwrap();
        let a = list.find("a", made).unwrap();
        assert!(list.find("none", made).is_some() && list.find("b", made).is_none());

        fs::write(&path, "\"a\" \"x\"\n\"b\" \"y\"; longer").unwrap();
        list.read().unwrap();
        let again = list.find("a", |_| panic!("made again")).unwrap();
        assert!(Arc::ptr_eq(&a.user, &again.user));
        assert!(list.find("b", made).is_some() && list.find("none", made).is_none());

        fs::write(&path, "\"a\"").unwrap();
        assert!(list.read().is_err());
        assert!(list.find("b", made).is_some());
        fs::remove_file(&path).unwrap();
        assert!(list.read().is_err());
        assert_eq!(list.len(), 2);
        assert!(Userlist::open(&path).is_err());
    }
}
