//! Which server to ask, and as whom: from a URL or a connection string of libpq's, from options, from the environment. Pure.

use percent_encoding::percent_decode_str;

use super::environment::Environment;
use crate::cluster::survey::{Place, parse_conninfo};
use crate::config::Secret;
use crate::net::tls::{Root, SslMode, Terms};

/// What was said of the servers and of the login. What nobody said is `None`.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Hosts, separated by commas.
    pub host: Option<String>,
    /// Ports, one for all or as many as hosts.
    pub port: Option<String>,
    /// As whom.
    pub user: Option<String>,
    /// In which database.
    pub database: Option<String>,
    /// The password, where it was written with the rest.
    pub password: Option<Secret>,
    /// libpq's `sslmode`.
    pub sslmode: Option<String>,
    /// libpq's `sslrootcert`.
    pub sslrootcert: Option<String>,
}

/// What is wrong with it. No value is quoted: one may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is neither a URL nor pairs.
    #[error("expected postgresql://user@host:port/database or \"host=... user=...\": {0}")]
    Form(&'static str),
    /// A port is no number.
    #[error("a port is no number from 1 to 65535, or there are other numbers of hosts and of ports")]
    Port,
    /// There is no such mode.
    #[error("sslmode is disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// Nothing to verify by.
    #[error(
        "sslmode verify-ca and verify-full need sslrootcert: a file with root certificates, or \"system\""
    )]
    NoRoot,
    /// As libpq has it.
    #[error("sslrootcert \"system\" needs sslmode verify-full")]
    WeakMode,
}

impl Target {
    /// Reads one argument: a URL, or pairs of keys and values, or the name of a database.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let url = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
        let mut target = Self::default();
        match url {
            Some(rest) => target.read_url(rest)?,
            None if text.contains('=') => {
                for (key, value) in parse_conninfo(text).map_err(TargetError::Form)? {
                    target.put(&key, value);
                }
            }
            None if text.contains("://") => return Err(TargetError::Form("it begins with another word")),
            None => target.database = Some(text.to_owned()),
        }
        Ok(target)
    }

    /// What `over` says counts before what this says.
    #[must_use]
    pub fn under(self, over: Self) -> Self {
        Self {
            host: over.host.or(self.host),
            port: over.port.or(self.port),
            user: over.user.or(self.user),
            database: over.database.or(self.database),
            password: over.password.or(self.password),
            sslmode: over.sslmode.or(self.sslmode),
            sslrootcert: over.sslrootcert.or(self.sslrootcert),
        }
    }

    /// What libpq's variables say.
    pub fn of(environment: &Environment) -> Self {
        let value = |name: &str| environment.get(name).map(str::to_owned);
        Self {
            host: value("PGHOST"),
            port: value("PGPORT"),
            user: value("PGUSER").or_else(|| value("USER")),
            database: value("PGDATABASE"),
            password: value("PGPASSWORD").map(Secret::new),
            sslmode: value("PGSSLMODE"),
            sslrootcert: value("PGSSLROOTCERT"),
        }
    }

    /// The servers; the one on this machine's own address where none was named.
    ///
    /// # Errors
    /// When a port is none.
    pub fn places(&self) -> Result<Vec<Place>, TargetError> {
        let hosts: Vec<&str> =
            self.host.as_deref().unwrap_or("127.0.0.1").split(',').map(str::trim).collect();
        let ports: Vec<&str> = self.port.as_deref().unwrap_or("5432").split(',').map(str::trim).collect();
        if ports.len() != 1 && ports.len() != hosts.len() {
            return Err(TargetError::Port);
        }
        let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or_default();
        let place = |(index, host): (usize, &&str)| match port(index) {
            "" => Ok(Place { host: (*host).to_owned(), port: 5432 }),
            text => {
                let port: u16 = text.parse().map_err(|_| TargetError::Port)?;
                if port == 0 { Err(TargetError::Port) } else { Ok(Place { host: (*host).to_owned(), port }) }
            }
        };
        hosts.iter().enumerate().map(place).collect()
    }

    /// How the connections are to be encrypted.
    ///
    /// # Errors
    /// When that cannot be, in the words of the configuration.
    pub fn tls(&self) -> Result<Terms, TargetError> {
        let root = match self.sslrootcert.as_deref() {
            None => Root::Anyone,
            Some("system") => Root::System,
            Some(file) => Root::File(file.into()),
        };
        let default = if root == Root::System { SslMode::VerifyFull } else { SslMode::default() };
        let named = |word: &str| SslMode::WORDS.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode);
        let mode = match &self.sslmode {
            None => default,
            Some(word) => named(word).ok_or(TargetError::SslMode)?,
        };
        if mode >= SslMode::VerifyCa && root == Root::Anyone {
            return Err(TargetError::NoRoot);
        }
        if root == Root::System && mode != SslMode::VerifyFull {
            return Err(TargetError::WeakMode);
        }
        Ok(Terms { mode, root, ..Terms::default() })
    }

    fn put(&mut self, key: &str, value: String) {
        match key {
            "host" | "hostaddr" => self.host = Some(value),
            "port" => self.port = Some(value),
            "user" => self.user = Some(value),
            "dbname" => self.database = Some(value),
            "password" => self.password = Some(Secret::new(value)),
            "sslmode" => self.sslmode = Some(value),
            "sslrootcert" => self.sslrootcert = Some(value),
            // What else a connection string may say is of no interest for one look.
            _ => {}
        }
    }

    /// What stands behind `postgresql://`.
    fn read_url(&mut self, rest: &str) -> Result<(), TargetError> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, key)| (user, Some(key)));
        let given = |text: &str| if text.is_empty() { Ok(None) } else { plain(text).map(Some) };
        self.user = given(user)?;
        self.database = given(database)?;
        self.password = password.map(plain).transpose()?.map(Secret::new);
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            let behind = host.rfind(']').map_or(0, |end| end + 1);
            let (name, port) = match host[behind..].rfind(':') {
                Some(at) => (&host[..behind + at], &host[behind + at + 1..]),
                None => (host, ""),
            };
            names.push(plain(name.trim_start_matches('[').trim_end_matches(']'))?);
            ports.push(port.to_owned());
        }
        if !names.is_empty() {
            self.host = Some(names.join(","));
            self.port = ports.iter().any(|port| !port.is_empty()).then(|| ports.join(","));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(TargetError::Form("a parameter has no value"))?;
            self.put(&plain(key)?, plain(value)?);
        }
        Ok(())
    }
}

fn plain(text: &str) -> Result<String, TargetError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| TargetError::Form("what is behind a % is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let target = Target::parse(text).unwrap();
        let places: Vec<String> = target.places().unwrap().iter().map(ToString::to_string).collect();
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let password = target.password.as_ref().map_or("-", Secret::expose);
        let tls = format!("{} {}", word(&target.sslmode), word(&target.sslrootcert));
        format!("{} {} {} {password} {tls}", places.join(","), word(&target.user), word(&target.database))
    }

    #[test]
    fn urls_and_pairs_say_the_same() {
        assert_eq!(told("postgresql://app@db1:5433/shop"), "db1:5433 app shop - - -");
        assert_eq!(told("host=db1 port=5433 user=app dbname=shop"), "db1:5433 app shop - - -");
        assert_eq!(
            told("postgres://a%40b:s%3Acret@db1,[::1]:5434/?sslmode=verify-full&sslrootcert=/r.pem"),
            "db1:5432,[::1]:5434 a@b - s:cret verify-full /r.pem"
        );
        assert_eq!(told("postgresql:///shop?host=/run/postgresql"), "/run/postgresql:5432 - shop - - -");
        assert_eq!(told("shop"), "127.0.0.1:5432 - shop - - -");
        assert_eq!(told("postgresql://"), "127.0.0.1:5432 - - - - -");
    }

    #[test]
    fn what_is_wrong_is_told_without_what_was_written() {
        for text in ["mysql://app:hunter2@db1", "host=db1 password='hunter2", "postgresql://u:hunter2%ff@db1"]
        {
            let words = Target::parse(text).unwrap_err().to_string();
            assert!(!words.contains("hunter2"), "{words}");
        }
        for text in ["postgresql://db1:x", "host=a,b,c port=1,2", "host=a port=0", "host=a port=70000"] {
            assert_eq!(Target::parse(text).unwrap().places(), Err(TargetError::Port), "{text}");
        }
    }

    #[test]
    fn options_count_before_the_url_and_both_before_the_environment() {
        let environment = [("PGHOST", "env"), ("PGUSER", "env"), ("PGPASSWORD", "env"), ("PGPORT", "")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Target::of(&Environment::new(environment));
        let options = Target { user: Some("option".to_owned()), ..Target::default() };
        let target = environment.under(Target::parse("postgresql://url@url/url").unwrap()).under(options);
        assert_eq!((target.host.as_deref(), target.user.as_deref()), (Some("url"), Some("option")));
        assert_eq!(target.password.as_ref().map(Secret::expose), Some("env"));
        assert_eq!(target.places().unwrap()[0].port, 5432);
    }
}
