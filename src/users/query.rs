//! Users whom the servers know: asked for one by one, by as few questions as will do.
//!
//! Those who ask for the same name at the same time are answered by one question, and few questions are on their way at
//! once, so that made-up names occupy no server. It opens no connection: [`Directory`] asks.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OnceCell, Semaphore};

use super::Account;
use super::cache::{Answers, Terms};
use crate::config::{AuthPlace, AuthQuery, Config, Database, Secret};

/// How many questions may be on their way at once.
const QUESTIONS_MAX: usize = 4;

/// The longest name that a role can have (NAMEDATALEN), in bytes.
const NAME_MAX: usize = 63;

/// Why there is no answer. Whoever asked has said why, in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// A question on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Option<Secret>, NoAnswer>> + Send + 'a>>;

/// A question for roles on its way.
pub type AskingForRoles<'a> = Pin<Box<dyn Future<Output = Result<Arc<[String]>, NoAnswer>> + Send + 'a>>;

/// Whoever asks servers for users.
pub trait Directory: Send + Sync {
    /// The secret of a user, empty if it has none; `None` if there is no such user. Cancel safe.
    fn secret<'a>(&'a self, place: &'a AuthPlace, name: &'a str) -> Asking<'a>;

    /// The roles of which a role is a member, itself included; none when there is no such role. Cancel safe.
    fn roles<'a>(&'a self, role: &'a Arc<str>) -> AskingForRoles<'a>;
}

type Key = (AuthPlace, Box<str>);

/// A question, to which there is an answer once it is settled.
type Question = OnceCell<Result<Option<Account>, NoAnswer>>;

/// All questions and answers.
pub(super) struct Inquiries {
    query: AuthQuery,
    databases: Vec<Database>,
    /// A database that is there.
    any: Arc<str>,
    directory: Arc<dyn Directory>,
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    answers: Answers<Key>,
    /// On their way, each as long as somebody waits for it.
    questions: HashMap<Key, Arc<Question>>,
}

/// What is known at once.
enum Look {
    Answered(Option<Account>),
    Asked(Arc<Question>),
}

impl Inquiries {
    pub(super) fn new(config: &Config, query: &AuthQuery, directory: Arc<dyn Directory>) -> Self {
        let terms = Terms { known: query.ttl, unknown: query.negative_ttl };
        Self {
            query: query.clone(),
            databases: config.databases.clone(),
            any: config.health.database.clone(),
            directory,
            permits: Semaphore::new(QUESTIONS_MAX),
            state: Mutex::new(State { answers: Answers::new(terms), questions: HashMap::new() }),
        }
    }

    /// The account of a user who wants to work on `database`; `make` makes it of the secret. Cancel safe.
    ///
    /// # Errors
    /// Nobody answers, and nobody has before.
    pub(super) async fn find(
        &self,
        name: &str,
        database: &str,
        make: impl Fn(&Secret) -> Account,
    ) -> Result<Option<Account>, NoAnswer> {
        if name.len() > NAME_MAX {
            return Ok(None);
        }
        let key = self.key(name, database);
        let question = match self.look(&key, Instant::now()) {
            Look::Answered(answer) => return Ok(answer),
            Look::Asked(question) => question,
        };
        let waiting = Waiting { inquiries: self, key: &key, question };
        let answer = waiting.question.get_or_init(|| self.ask(&key, make)).await.clone();
        answer.or_else(|none| self.lock().answers.last(&key).ok_or(none))
    }

    /// A password did not fit what was answered: it is asked for anew at the next login.
    pub(super) fn doubt(&self, name: &str, database: &str) {
        let key = self.key(name, database);
        self.lock().answers.doubt(&key, Instant::now());
    }

    fn key(&self, name: &str, database: &str) -> Key {
        (self.query.place(database, &self.databases, &self.any), name.into())
    }

    /// An answer that counts, or the question that will bring one.
    fn look(&self, key: &Key, now: Instant) -> Look {
        let mut state = self.lock();
        if let Some(answer) = state.answers.get(key, now) {
            return Look::Answered(answer);
        }
        if let Some(question) = state.questions.get(key).filter(|question| !question.initialized()) {
            return Look::Asked(question.clone());
        }
        let question = Arc::new(Question::new());
        state.questions.insert(key.clone(), question.clone());
        Look::Asked(question)
    }

    async fn ask(&self, key: &Key, make: impl Fn(&Secret) -> Account) -> Result<Option<Account>, NoAnswer> {
        // Nobody closes it.
        let _permit = self.permits.acquire().await;
        let now = Instant::now();
        let secret = self.directory.secret(&key.0, &key.1).await?;
        let found = secret.map(|secret| {
            let before = self.lock().answers.made(key, &secret);
            let account = before.unwrap_or_else(|| make(&secret));
            (secret, account)
        });
        let account = found.as_ref().map(|(_, account)| account.clone());
        self.lock().answers.put(key.clone(), found, now);
        Ok(account)
    }

    #[cfg(test)]
    pub(super) fn questions(&self) -> usize {
        self.lock().questions.len()
    }

    /// Nothing that can panic runs under this lock, so a poisoned one is still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inquiries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiries").field("query", &self.query).finish_non_exhaustive()
    }
}

/// Somebody who waits for an answer. The last one to go takes the question along.
struct Waiting<'a> {
    inquiries: &'a Inquiries,
    key: &'a Key,
    question: Arc<Question>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.inquiries.lock();
        let ours = state.questions.get(self.key).is_some_and(|known| Arc::ptr_eq(known, &self.question));
        // One is the map's.
        if ours && Arc::strong_count(&self.question) <= 2 {
            state.questions.remove(self.key);
        }
    }
}
