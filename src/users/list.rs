//! All users: those of the configuration, of the userlist, and those that the servers know.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::decoy::Decoy;
use super::keys::Keys;
use super::query::{Directory, Inquiries, NoAnswer};
use super::stored::account;
use super::userlist::Userlist;
use super::{Account, Found, Proof, Verifier};
use crate::config::{Config, Credential, Secret, Timeouts, User, UserlistError};
use crate::error::Error;

/// A verifier in the configuration that is not of the form `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
#[derive(Debug, thiserror::Error)]
#[error("user \"{user}\": not a SCRAM-SHA-256 verifier")]
pub struct InvalidVerifier {
    /// Whose it is.
    pub user: Arc<str>,
}

/// Why nobody could log in.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// A user's verifier is none.
    #[error(transparent)]
    Verifier(#[from] InvalidVerifier),
    /// The userlist cannot be used.
    #[error(transparent)]
    Userlist(#[from] UserlistError),
}

/// All users that may log in.
pub struct Users {
    /// Of the configuration, with their secrets.
    accounts: HashMap<Arc<str>, Account>,
    /// Of the configuration, whose secrets stand elsewhere.
    named: HashMap<Arc<str>, User>,
    userlist: Option<Arc<Userlist>>,
    inquiries: Option<Arc<Inquiries>>,
    /// Who knows of roles.
    directory: Option<Arc<dyn Directory>>,
    /// What holds for those whom the configuration does not name.
    timeouts: Timeouts,
    decoy: Arc<Decoy>,
    keys: Arc<Keys>,
}

impl Users {
    /// Prepares the configured users. Takes milliseconds of CPU for each plain password, which becomes a verifier
    /// here, once.
    ///
    /// # Errors
    /// When a verifier is none.
    pub fn new(configured: &[User]) -> Result<Self, InvalidVerifier> {
        Self::knowing(configured, &HashMap::new())
    }

    /// The same, with the verifiers of those that are as they were.
    fn knowing(configured: &[User], before: &HashMap<Arc<str>, Account>) -> Result<Self, InvalidVerifier> {
        let mut accounts = HashMap::with_capacity(configured.len());
        let mut named = HashMap::new();
        for user in configured {
            let invalid = || InvalidVerifier { user: Arc::clone(&user.name) };
            let same = before.get(&user.name).filter(|account| account.user.credential == user.credential);
            if let Some(Account { proof, .. }) = same {
                let account = Account { user: Arc::new(user.clone()), proof: proof.clone() };
                accounts.insert(Arc::clone(&user.name), account);
                continue;
            }
            let proof = match &user.credential {
                Credential::Trust => Proof::Trust,
                Credential::Certificate => Proof::Certificate,
                Credential::Password(password) => Proof::Scram(Verifier::of_password(password.expose())),
                Credential::Verifier(text) => {
                    Proof::Scram(Verifier::parse(text.expose()).ok_or_else(invalid)?)
                }
                Credential::Elsewhere => {
                    named.insert(Arc::clone(&user.name), user.clone());
                    continue;
                }
            };
            accounts.insert(Arc::clone(&user.name), Account { user: Arc::new(user.clone()), proof });
        }
        let decoy = Decoy::resembling(accounts.values());
        Ok(Self {
            accounts,
            named,
            userlist: None,
            inquiries: None,
            directory: None,
            timeouts: Timeouts::default(),
            decoy: Arc::new(decoy),
            keys: Arc::default(),
        })
    }

    /// The same, with all others that the configuration leads to; the servers are asked by `directory`.
    ///
    /// # Errors
    /// When a verifier is none, or the userlist cannot be read.
    pub fn of(config: &Config, directory: Arc<dyn Directory>) -> Result<Self, UsersError> {
        let userlist = config.auth.userlist.as_deref().map(Userlist::open).transpose()?.map(Arc::new);
        let query = config.auth.query.as_ref();
        let inquiries = query.map(|query| Arc::new(Inquiries::new(config, query, directory.clone())));
        let (directory, timeouts) = (Some(directory), config.timeouts);
        Ok(Self { userlist, inquiries, directory, timeouts, ..Self::new(&config.users)? })
    }

    /// The same for another configuration than `before`, whose users these were: what still holds of them is kept, and a
    /// name that may not log in is challenged as it was. The userlist is read anew.
    ///
    /// # Errors
    /// Likewise. Then these have changed in nothing.
    pub fn renewed(
        &self,
        config: &Config,
        before: &Config,
        directory: Arc<dyn Directory>,
    ) -> Result<Self, UsersError> {
        let known = self.userlist.as_ref().filter(|_| config.auth.userlist == before.auth.userlist);
        let userlist = match (&config.auth.userlist, known) {
            (Some(_), Some(known)) => {
                known.read()?;
                Some(known.clone())
            }
            (Some(path), None) => Some(Arc::new(Userlist::open(path)?)),
            (None, _) => None,
        };
        let asks_alike = config.auth.query == before.auth.query
            && config.databases == before.databases
            && config.health.database == before.health.database;
        let inquiries = match &config.auth.query {
            Some(_) if asks_alike && self.inquiries.is_some() => self.inquiries.clone(),
            Some(query) => Some(Arc::new(Inquiries::new(config, query, directory.clone()))),
            None => None,
        };
        let (decoy, keys, timeouts) = (self.decoy.clone(), self.keys.clone(), config.timeouts);
        Ok(Self {
            userlist,
            inquiries,
            directory: Some(directory),
            timeouts,
            decoy,
            keys,
            ..Self::knowing(&config.users, &self.accounts)?
        })
    }

    /// The list that is to be read anew when it changes.
    pub fn userlist(&self) -> Option<&Arc<Userlist>> {
        self.userlist.as_ref()
    }

    /// What their logins have proved.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A verifier that no password fits, for a name of which none is known.
    pub fn decoy(&self, name: &str) -> Verifier {
        self.decoy.verifier(name)
    }

    /// Who `name` is that wants to work on `database`. Cancel safe.
    ///
    /// Whoever the servers are asked for takes as long as anybody else who is asked for, be there such a user or not.
    pub async fn find(&self, name: &str, database: &str) -> Found {
        // Made in any case, so that an unknown name takes as long as a known one.
        let decoy = self.decoy.verifier(name);
        if let Some(account) = self.accounts.get(name) {
            return Found::Account(account.clone());
        }
        let make = |secret: &Secret| self.make(name, secret);
        let listed = self.userlist.as_ref().and_then(|list| list.find(name, make));
        let found = match (listed, &self.inquiries) {
            (Some(listed), _) => Some(listed),
            (None, None) => None,
            (None, Some(inquiries)) => match inquiries.find(name, database, make).await {
                Ok(found) => found,
                Err(NoAnswer) => return Found::Refused(Error::NoDirectory),
            },
        };
        found.map_or(Found::Nobody(decoy), Found::Account)
    }

    /// The roles of which `name` is a member, as the servers have it now: those of the role that it is there, which is one of
    /// them. None if there is no such role. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers, and nobody has before.
    pub async fn roles(&self, name: &str) -> Result<Arc<[String]>, NoAnswer> {
        let account = self.accounts.get(name).map(|account| &*account.user);
        let user = account.or_else(|| self.named.get(name));
        let role = user.map_or_else(|| name.into(), |user| user.server_user.clone());
        self.directory.as_ref().ok_or(NoAnswer)?.roles(&role).await
    }

    /// A client could not prove to be who it says. Where that was asked of the servers, the password may have been changed
    /// since: it is asked for anew at the next login.
    pub fn disproved(&self, name: &str, database: &str) {
        if let Some(inquiries) = &self.inquiries {
            inquiries.doubt(name, database);
        }
    }

    fn make(&self, name: &str, secret: &Secret) -> Account {
        let nothing = || self.decoy.verifier(name);
        let account = match self.named.get(name) {
            Some(user) => account(user, secret, nothing),
            None => account(&User::unlisted(name.into(), self.timeouts), secret, nothing),
        };
        self.decoy.has_seen(&account);
        account
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("accounts", &self.accounts)
            .field("named", &self.named)
            .field("userlist", &self.userlist)
            .field("inquiries", &self.inquiries)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
