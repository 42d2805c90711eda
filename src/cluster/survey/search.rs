//! The search: from the servers that are known to those that they lead to, wave by wave, until nothing new is found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::answers::{self, Account, Found, Leads};
use super::leads::{Follower, Place};
use super::login::Login;
use crate::cluster::control::{self, Purpose, parameters, words};
use crate::cluster::topology::{Address, Role};
use crate::config::{ChannelBinding, Health};
use crate::net::tls::ServerTls;

/// What was found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The servers, the primary first where it was found.
    pub servers: Vec<Found>,
    /// What the first server says of the role and of its databases.
    pub account: Account,
    /// What could not be found out, in sentences.
    pub unknown: Vec<String>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// It asks for a password, and there is none.
    #[error("{place} asks for a password")]
    Password {
        /// Who.
        place: Place,
    },
    /// None of the servers that were named answers.
    #[error("{place} cannot be asked: {words}")]
    Silent {
        /// Who.
        place: Place,
        /// Why.
        words: String,
    },
}

/// Most addresses that are asked: a search ends, whatever servers say.
const PLACES_MAX: usize = 256;

/// What one address said.
type Answer = Result<(Found, Leads, Account), String>;

/// Asks the servers that are known, and those that they lead to. Changes nothing anywhere. Dropping the future ends it.
///
/// # Errors
/// When none of those that are known answers.
pub async fn survey(login: &Login) -> Result<Survey, SurveyError> {
    let mut search = Search::default();
    let mut wave: Vec<Place> = login.places.clone();
    let mut refused = None;
    while !wave.is_empty() {
        let mut asked = JoinSet::new();
        for (nth, place) in wave.into_iter().enumerate() {
            let login = login.clone();
            asked.spawn(async move { (nth, place.clone(), ask(&login, place).await) });
        }
        let mut answers = asked.join_all().await;
        // As they were asked, so that two searches find the same.
        answers.sort_by_key(|(nth, ..)| *nth);
        for (_, place, answer) in answers {
            if let Some(words) = search.hear(place.clone(), answer) {
                refused.get_or_insert((place, words));
            }
        }
        wave = search.next(login);
    }
    match (search.account.take(), refused) {
        (Some(account), _) => Ok(search.finish(account, login)),
        (None, Some((place, words))) if words.contains("password missing") => {
            Err(SurveyError::Password { place })
        }
        (None, refused) => {
            let nowhere = || (Place { host: String::new(), port: 0 }, "no server was named".to_owned());
            let (place, words) = refused.unwrap_or_else(nowhere);
            Err(SurveyError::Silent { place, words })
        }
    }
}

/// Asks one address, by a connection that ends with this.
async fn ask(login: &Login, place: Place) -> Answer {
    let address = Address {
        at: None,
        host: place.host.as_str().into(),
        port: place.port,
        tls: ServerTls::new(login.tls.clone()),
        channel_binding: ChannelBinding::default(),
    };
    let health = Health {
        interval: login.patience,
        timeout: login.patience,
        lost_after: login.patience,
        database: login.database.clone(),
        user: login.user.clone(),
        catalog_interval: login.patience,
    };
    let account = control::Login::new(login.user.clone(), login.password.clone());
    let parameters =
        parameters((&address, &login.database), &account, login.patience, &health, Purpose::Survey);
    let asked = async {
        let (client, _driven) = control::open(&parameters).await?;
        let found = answers::found(&client, place).await?;
        let leads = answers::leads(&client, found.role).await?;
        let account = answers::account(&client).await?;
        Ok::<_, tokio_postgres::Error>((found, leads, account))
    };
    match tokio::time::timeout(login.patience, asked).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {:?}", login.patience)),
    }
}

/// What is known so far.
#[derive(Default)]
struct Search {
    /// What each address said: which server it is, or why it is none of this cluster.
    asked: BTreeMap<Place, Result<Arc<str>, String>>,
    found: Vec<(Arc<str>, Found)>,
    followers: Vec<(Place, Follower)>,
    hidden: Vec<Follower>,
    upstream: Vec<(Place, Place)>,
    unknown: Vec<String>,
    account: Option<Account>,
}

impl Search {
    /// Why it is no answer of the cluster's, if it is none.
    fn hear(&mut self, place: Place, answer: Answer) -> Option<String> {
        let heard = answer.and_then(|answer| self.take(&place, answer));
        let words = heard.clone().err();
        self.asked.insert(place, heard);
        words
    }

    fn take(
        &mut self,
        place: &Place,
        (found, leads, account): (Found, Leads, Account),
    ) -> Result<Arc<str>, String> {
        let known = self.found.iter().find_map(|(_, known)| known.cluster.as_ref());
        if known.zip(found.cluster.as_ref()).is_some_and(|(known, other)| known != other) {
            return Err("it is a server of another cluster".to_owned());
        }
        let mark: Arc<str> = found.mark.as_str().into();
        if self.found.iter().any(|(known, _)| *known == mark) {
            return Ok(mark);
        }
        self.account.get_or_insert(account);
        if !leads.hidden.is_empty() {
            self.unknown.push(format!(
                "{place} is followed by {}, of which this role may not see where they are: \
                 GRANT pg_monitor to it, or name them beside {place}",
                plural(leads.hidden.len(), "replica")
            ));
            self.hidden.extend(leads.hidden);
        }
        if leads.concealed {
            self.unknown.push(format!(
                "{place} is a replica, and this role may not see of whom: GRANT pg_monitor to it, or name the primary"
            ));
        }
        self.followers.extend(leads.followers.into_iter().map(|follower| (place.clone(), follower)));
        self.upstream.extend(leads.upstream.into_iter().map(|upstream| (place.clone(), upstream)));
        self.found.push((mark.clone(), found));
        Ok(mark)
    }

    /// Addresses that nobody has asked yet.
    fn next(&self, login: &Login) -> Vec<Place> {
        let ports = ports(login);
        let followers = self.followers.iter().map(|(_, follower)| follower).chain(&self.hidden);
        let followers = followers.flat_map(|follower| follower.places(&ports));
        let all = self.upstream.iter().map(|(_, place)| place.clone()).chain(followers);
        let mut seen: HashSet<Place> = self.asked.keys().cloned().collect();
        let room = PLACES_MAX.saturating_sub(seen.len());
        all.filter(|place| seen.insert(place.clone())).take(room).collect()
    }

    fn role(&self, mark: &str) -> Option<Role> {
        self.found.iter().find(|(known, _)| **known == *mark).map(|(_, found)| found.role)
    }

    fn finish(mut self, account: Account, login: &Login) -> Survey {
        let unfound = self.followers.iter().filter_map(|(by, follower)| self.unfound(by, follower, login));
        let lost = self.upstream.iter().filter_map(|(by, upstream)| match self.asked.get(upstream) {
            Some(Err(words)) => Some(format!("{by} follows {upstream}, which cannot be asked: {words}")),
            _ => None,
        });
        let named = login.places.iter().filter_map(|place| match self.asked.get(place) {
            Some(Err(words)) => Some(format!("{place} cannot be asked: {words}")),
            _ => None,
        });
        let more: Vec<String> = unfound.chain(lost).chain(named).collect();
        self.unknown.extend(more);
        let replicas = self.found.iter().filter(|(_, found)| found.role == Role::Replica).count();
        if replicas < self.followers.len() {
            self.unknown.push(format!(
                "connections for {} were seen, and {} found",
                plural(self.followers.len(), "replica"),
                if replicas == 0 { "none".to_owned() } else { replicas.to_string() },
            ));
        }
        if !self.found.iter().any(|(_, found)| found.role == Role::Primary) {
            self.unknown.push("no primary was found: writes will wait until one is".to_owned());
        }
        if self.found.iter().any(|(_, found)| found.cluster.is_none()) {
            self.unknown.push(
                "not every server says to which cluster it belongs (pg_control_system): \
                 see that they are all of one"
                    .to_owned(),
            );
        }
        let mut servers: Vec<Found> = self.found.into_iter().map(|(_, found)| found).collect();
        servers.sort_by_key(|found| found.role != Role::Primary);
        Survey { servers, account, unknown: self.unknown }
    }

    /// What to say of a follower that none of its addresses led to.
    fn unfound(&self, by: &Place, follower: &Follower, login: &Login) -> Option<String> {
        let places = follower.places(&ports(login));
        let is_found = places.iter().filter_map(|place| self.asked.get(place)?.as_ref().ok());
        if is_found.into_iter().any(|mark| self.role(mark) == Some(Role::Replica)) {
            return None;
        }
        let who =
            if follower.name.is_empty() { "a replica".to_owned() } else { format!("{:?}", follower.name) };
        if follower.hosts.is_empty() && !follower.name.is_empty() {
            return Some(format!(
                "{who} follows {by} by a Unix socket, or from where this role may not see: name its host and port"
            ));
        }
        let tried = places.iter().map(|place| match self.asked.get(place) {
            Some(Err(words)) => format!("{place}: {words}"),
            Some(Ok(_)) => format!("{place} is the primary"),
            None => format!("{place} was not asked"),
        });
        let tried: Vec<String> = tried.collect();
        (!tried.is_empty()).then(|| {
            format!("{who} follows {by} and was not found ({}): name its host and port", tried.join("; "))
        })
    }
}

/// Where servers may listen: where those do that are known, and where PostgreSQL does unless told otherwise.
fn ports(login: &Login) -> Vec<u16> {
    let known = login.places.iter().map(|place| place.port);
    let mut ports: Vec<u16> = known.chain(login.ports.iter().copied()).chain([5432]).collect();
    let mut seen = HashSet::new();
    ports.retain(|port| seen.insert(*port));
    ports
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
