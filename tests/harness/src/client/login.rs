//! Logging in: the startup packet, and the client's side of authentication.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

use super::{Message, front};
use crate::{Failure, Result};

/// Who logs in, to what, and how.
#[derive(Clone, Debug)]
pub struct Login {
    user: String,
    password: String,
    version: (u16, u16),
    parameters: Vec<(String, String)>,
}

impl Login {
    /// A user with a password, protocol 3.0, and the database that PostgreSQL takes by default: the user's name.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), version: (3, 0), parameters: Vec::new() }
    }

    /// To this database.
    pub fn database(self, name: &str) -> Self {
        self.parameter("database", name)
    }

    /// With this startup parameter; a name may come twice.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this protocol version.
    pub fn version(mut self, major: u16, minor: u16) -> Self {
        self.version = (major, minor);
        self
    }

    /// The startup packet.
    pub fn startup(&self) -> Vec<u8> {
        let mut parameters = vec![("user", self.user.as_str())];
        parameters.extend(self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        front::startup(self.version.0, self.version.1, &parameters)
    }

    /// The answer to an authentication message, if it wants one (manual, 55.2.1). SCRAM's state is kept in `scram`.
    pub(super) fn reply(
        &self,
        message: &Message,
        scram: &mut Option<ScramSha256>,
    ) -> Result<Option<Vec<u8>>> {
        let (kind, rest) =
            message.body.split_at_checked(4).ok_or_else(|| Failure::new("short authentication"))?;
        match (kind[3], scram) {
            (0, _) => Ok(None),
            (3, _) => Ok(Some(front::password(&self.password))),
            (5, _) => {
                let salt = rest.try_into().map_err(|_| Failure::new("md5 salt is not 4 bytes"))?;
                let hash = md5_hash(self.user.as_bytes(), self.password.as_bytes(), salt);
                Ok(Some(front::password(hash)))
            }
            (10, scram) => {
                let exchange = ScramSha256::new(self.password.as_bytes(), ChannelBinding::unsupported());
                let first = exchange.message();
                let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
                let body = [&front::cstring(SCRAM_SHA_256)[..], &length, first].concat();
                *scram = Some(exchange);
                Ok(Some(front::message(b'p', &body)))
            }
            (11, Some(exchange)) => {
                exchange.update(rest)?;
                Ok(Some(front::message(b'p', exchange.message())))
            }
            (12, Some(exchange)) => {
                exchange.finish(rest)?;
                Ok(None)
            }
            (other, _) => Err(Failure::new(format!("authentication request {other} is not known"))),
        }
    }
}
