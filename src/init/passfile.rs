//! A password file of libpq's: `host:port:database:user:password` on each line. Pure.
//!
//! PostgreSQL manual: "The Password File" of libpq.

use crate::cluster::survey::Place;
use crate::config::Secret;

/// What a password file holds.
#[derive(Clone, Debug)]
pub struct Passfile(Secret);

impl Passfile {
    /// With this text.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The password of the first line that fits. A Unix socket is looked for as `localhost`, or by its directory.
    pub fn password(&self, place: &Place, database: &str, user: &str) -> Option<Secret> {
        let port = place.port.to_string();
        let local = place.host.starts_with('/');
        let fits = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        self.0.expose().lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let [host, at, in_database, of, password] = <[String; 5]>::try_from(fields(line)).ok()?;
            let host_fits = fits(&host, &place.host) || (local && host == "localhost");
            let rest_fits = fits(&at, &port) && fits(&in_database, database) && fits(&of, user);
            (host_fits && rest_fits).then(|| Secret::new(password))
        })
    }
}

/// The parts between colons; a backslash goes before a colon or a backslash that is meant. The last part has all that is left.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.trim_end_matches('\r').chars();
    while let Some(letter) = letters.next() {
        let is_end = letter == ':' && fields.len() < 5;
        if is_end {
            fields.push(String::new());
            continue;
        }
        let meant = if letter == '\\' { letters.next() } else { Some(letter) };
        if let (Some(field), Some(letter)) = (fields.last_mut(), meant) {
            field.push(letter);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db1:*:*:*:no\n\ndb1:5433:*:app:other port\ndb1:*:shop:app:a\\:b\\\\c:d\n*:*:*:app:any\nlocalhost:*:*:*:socket\n";
        let file = Passfile::new(text.to_owned());
        let found = |host: &str, database: &str, user: &str| {
            let place = Place { host: host.to_owned(), port: 5432 };
            file.password(&place, database, user).map(|password| password.expose().to_owned())
        };
        assert_eq!(found("db1", "shop", "app").as_deref(), Some("a:b\\c:d"));
        assert_eq!(found("db2", "shop", "app").as_deref(), Some("any"));
        assert_eq!(found("/run/postgresql", "shop", "other").as_deref(), Some("socket"));
        assert_eq!(found("db2", "shop", "other"), None);
        assert!(!format!("{file:?}").contains("any"));
    }
}
