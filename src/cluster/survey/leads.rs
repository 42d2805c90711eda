//! What leads to further servers: addresses, and connection strings in which they stand. Pure.

use std::fmt;

/// Where a server may listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// A name, an address, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A replica, as the server that it follows sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    /// What it calls itself.
    pub name: String,
    /// Where it comes from: its host's name, where that is known, and its address.
    pub hosts: Vec<String>,
}

impl Follower {
    /// Where it may listen. What it calls itself is often the name of its host.
    pub(super) fn places(&self, ports: &[u16]) -> Vec<Place> {
        let is_host = |name: &&String| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
        };
        let hosts = self.hosts.iter().chain(std::iter::once(&self.name)).filter(is_host);
        hosts.flat_map(|host| ports.iter().map(|port| Place { host: host.clone(), port: *port })).collect()
    }
}

/// The servers that a replica's `primary_conninfo` names.
pub(super) fn upstream(conninfo: &str) -> Vec<Place> {
    let Ok(pairs) = parse_conninfo(conninfo) else { return Vec::new() };
    let value = |key: &str| pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let Some(hosts) = value("host").or(value("hostaddr")) else { return Vec::new() };
    places(hosts, value("port").unwrap_or_default())
}

/// Hosts with their ports, as libpq reads the two lists: one port serves all of them. None where a port is no number.
pub(super) fn places(hosts: &str, ports: &str) -> Vec<Place> {
    let ports: Vec<&str> = ports.split(',').map(str::trim).collect();
    let place = |(index, host): (usize, &str)| {
        let port = if ports.len() == 1 { ports.first() } else { ports.get(index) };
        let port = port.filter(|port| !port.is_empty()).map_or(Ok(5432), |port| port.parse());
        Some(Place { host: host.trim().to_owned(), port: port.ok()? })
    };
    hosts.split(',').enumerate().filter_map(place).filter(|place| !place.host.is_empty()).collect()
}

/// The pairs of a connection string in libpq's form, `host=db1 password='it''s'` with `\` before what is meant as it is.
///
/// # Errors
/// What is wrong with it. No value is quoted.
pub fn parse_conninfo(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').ok_or("expected key=value")?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err("expected key=value");
        }
        let (value, behind) = value(behind.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

/// The value at the front, and what stands behind it.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let (quoted, inside) = text.strip_prefix('\'').map_or((false, text), |inside| (true, inside));
    let mut value = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next().ok_or("it ends behind a backslash")?.1),
            '\'' if quoted => return Ok((value, &inside[at + 1..])),
            _ if !quoted && letter.is_whitespace() => return Ok((value, &inside[at..])),
            _ => value.push(letter),
        }
    }
    if quoted { Err("a quote is not closed") } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(places: &[Place]) -> Vec<String> {
        places.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_connection_string_is_read_as_libpq_reads_it() {
        let text = r"host = db1,db2 port=5432  password='it\'s a \\ secret' options=-c\ x=y user=app ";
        let pairs = parse_conninfo(text).unwrap();
        let pair = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!(pair("host"), Some("db1,db2"));
        assert_eq!(pair("password"), Some(r"it's a \ secret"));
        assert_eq!(pair("options"), Some("-c x=y"));
        assert_eq!((pair("user"), pairs.len()), (Some("app"), 5));
        assert_eq!(parse_conninfo("host='db1"), Err("a quote is not closed"));
        assert_eq!(parse_conninfo("db1"), Err("expected key=value"));
        assert_eq!(parse_conninfo(" "), Ok(Vec::new()));
    }

    #[test]
    fn hosts_and_ports_go_together() {
        assert_eq!(shown(&places("a,b", "")), ["a:5432", "b:5432"]);
        assert_eq!(shown(&places("a,b", "5433")), ["a:5433", "b:5433"]);
        assert_eq!(shown(&places("a,::1", "5433,5434")), ["a:5433", "[::1]:5434"]);
        assert_eq!(shown(&places("/run/postgresql", "x")), [""; 0]);
        assert_eq!(shown(&upstream("user=rep host=/run/postgresql port=5433")), ["/run/postgresql:5433"]);
        assert_eq!(shown(&upstream("hostaddr=10.0.0.1")), ["10.0.0.1:5432"]);
        assert_eq!(shown(&upstream("user=rep")), [""; 0]);
    }

    #[test]
    fn a_follower_is_looked_for_where_it_comes_from_and_by_its_name() {
        let follower = Follower { name: "db2".into(), hosts: vec!["10.0.0.2".into()] };
        assert_eq!(
            shown(&follower.places(&[5432, 5433])),
            ["10.0.0.2:5432", "10.0.0.2:5433", "db2:5432", "db2:5433"]
        );
        let follower = Follower { name: "a replica".into(), hosts: Vec::new() };
        assert_eq!(shown(&follower.places(&[5432])), [""; 0]);
    }
}
