//! Names that are looked up: A and AAAA records, and SRV records with those of their targets.
//!
//! What a name was last known to lead to holds for as long as its lookup fails. That it leads nowhere is another thing: it is
//! an answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::found::{Found, Host, Look};
use crate::config::{Server, names_service};

/// How often at most the same name is looked up, whatever its TTL, and how seldom at least.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(3600);

/// How long it takes at most until a name is looked up again that led nowhere.
const AGAIN: Duration = Duration::from_secs(5);

/// The names, and what they led to.
#[derive(Debug)]
pub(crate) struct Names {
    nameservers: Vec<SocketAddr>,
    known: HashMap<Question, Known>,
}

/// A name, and the port where it is no SRV records that say it.
type Question = (String, u16);

/// What is known of a name.
#[derive(Debug)]
struct Known {
    places: Vec<Place>,
    ttl: Duration,
    /// When it is looked up again.
    due: Instant,
    /// How often in a row it led nowhere.
    failures: u32,
    trouble: Option<String>,
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: String,
    address: IpAddr,
    port: u16,
}

/// What was answered: the places, and how long they hold.
type Answer = Result<(Vec<Place>, Duration), String>;

impl Names {
    pub(super) fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers, known: HashMap::new() }
    }

    /// Looks up those of the entries' names that are due. What is found is what all of them lead to. Cancel safe: what was asked is
    /// asked again.
    pub(super) async fn look(&mut self, entries: &[Server], patience: Duration) -> Look {
        let entries: Vec<&Server> = entries.iter().filter(|entry| entry.is_name()).collect();
        let of = |entry: &Server| (entry.host.to_string(), entry.port);
        self.known.retain(|question, _| entries.iter().any(|entry| of(entry) == *question));
        let now = Instant::now();
        let is_due = |entry: &&&Server| self.known.get(&of(entry)).is_none_or(|known| known.due <= now);
        let due: Vec<Question> = entries.iter().filter(is_due).map(|entry| of(entry)).collect();
        for (question, answer) in self.ask_all(due, patience).await {
            self.learn(question, answer);
        }
        self.told(&entries)
    }

    async fn ask_all(&self, due: Vec<Question>, patience: Duration) -> Vec<(Question, Answer)> {
        let nameservers = self.nameservers.clone();
        let built = spawn_blocking(move || Asked::new(&nameservers, patience)).await;
        let asked = match built.map_err(|error| error.to_string()).and_then(|built| built) {
            Ok(asked) => asked,
            Err(error) => {
                return due.into_iter().map(|question| (question, Err(error.clone()))).collect();
            }
        };
        let mut asking = JoinSet::new();
        for question in due {
            let asked = asked.clone();
            asking.spawn(async move {
                let answer = timeout(patience, asked.places(&question)).await;
                (question, answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
            });
        }
        asking.join_all().await
    }

    fn learn(&mut self, question: Question, answer: Answer) {
        let now = Instant::now();
        let before = self.known.remove(&question);
        let failures = before.as_ref().map_or(0, |known| known.failures) + 1;
        let again = (SOONEST * 2_u32.saturating_pow(failures.min(10) - 1)).min(AGAIN);
        let known = match answer {
            Ok((places, ttl)) if !places.is_empty() => {
                let ttl = ttl.clamp(SOONEST, LATEST);
                Known { places, ttl, due: now + ttl, failures: 0, trouble: None }
            }
            Ok(_) => {
                let trouble = Some("leads nowhere: no such name, or no addresses".to_owned());
                Known { places: Vec::new(), ttl: Duration::ZERO, due: now + again, failures, trouble }
            }
            Err(trouble) => {
                let (places, ttl) = before.map(|known| (known.places, known.ttl)).unwrap_or_default();
                Known { places, ttl, due: now + again, failures, trouble: Some(trouble) }
            }
        };
        self.known.insert(question, known);
    }

    fn told(&self, entries: &[&Server]) -> Look {
        let now = Instant::now();
        let mut look = Look::default();
        for entry in entries {
            let Some(known) = self.known.get(&(entry.host.to_string(), entry.port)) else { continue };
            look.found.extend(known.places.iter().map(|place| found(entry, place, &known.places)));
            let trouble = known.trouble.iter().map(|trouble| format!("{}: {trouble}", entry.host));
            look.troubles.extend(trouble);
            look.next = look.next.min(known.due.saturating_duration_since(now));
            look.hosts.push(Host {
                name: entry.host.to_string(),
                ttl: known.ttl,
                leads_to: known.places.iter().map(|place| shown(place.address, place.port)).collect(),
            });
        }
        look
    }
}

/// A server by one of the places that an entry's name leads to.
fn found(entry: &Server, place: &Place, all: &[Place]) -> Found {
    let Place { host, address, port } = place;
    let name = if entry.is_service() {
        let alone = all.iter().filter(|other| (&other.host, other.port) == (host, *port)).count() == 1;
        if alone { format!("{host}:{port}") } else { format!("{host}:{port}/{address}") }
    } else if *entry.name == *format!("{}:{}", entry.host, entry.port) {
        shown(*address, *port)
    } else {
        format!("{}/{address}", entry.name)
    };
    Found {
        name,
        host: host.clone(),
        address: Some(*address),
        port: *port,
        entry: Some((entry.host.to_string(), entry.port)),
        said: String::new(),
        quiet: None,
    }
}

fn shown(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// Whom to ask, as things are now, and how short names are completed.
#[derive(Clone)]
struct Asked {
    resolver: TokioResolver,
    search: Vec<Name>,
    dots: usize,
}

impl Asked {
    /// Reads `/etc/resolv.conf` and `/etc/hosts` where no name servers are given. Blocks.
    fn new(nameservers: &[SocketAddr], patience: Duration) -> Result<Self, String> {
        let (config, mut options) = match nameservers {
            [] => read_system_conf().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))?,
            given => {
                let given = given.iter().map(|address| nameserver(*address)).collect();
                (ResolverConfig::from_parts(None, Vec::new(), given), ResolverOpts::default())
            }
        };
        // A second attempt has its time as well.
        options.timeout = options.timeout.min(patience / 2);
        options.attempts = 1;
        options.cache_size = 0;
        let search = config.search().iter().chain(config.domain()).cloned().collect();
        let dots = options.ndots;
        let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(|error| error.to_string())?;
        Ok(Self { resolver, search, dots })
    }

    async fn places(&self, (host, port): &Question) -> Answer {
        if !names_service(host) {
            let (addresses, ttl) = self.addresses(host).await?;
            let place = |address| Place { host: host.clone(), address, port: *port };
            return Ok((addresses.into_iter().map(place).collect(), ttl));
        }
        let Some(services) = self.records(host, RecordType::SRV).await? else {
            return Ok(Default::default());
        };
        let (mut places, mut holds) = (Vec::new(), left(&services));
        for record in services.answers() {
            let RData::SRV(service) = &record.data else { continue };
            let host = service.target.to_ascii();
            let (addresses, ttl) = self.addresses(&host).await?;
            let host = host.trim_end_matches('.').to_owned();
            holds = if addresses.is_empty() { holds } else { holds.min(ttl) };
            let place = |address| Place { host: host.clone(), address, port: service.port };
            places.extend(addresses.into_iter().map(place));
        }
        places.sort_by_key(|place| (place.host.clone(), place.port, place.address));
        places.dedup();
        Ok((places, holds))
    }

    /// Those of IPv6 count only where there are none of IPv4: a machine that has both is one server, not two.
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        for kind in [RecordType::A, RecordType::AAAA] {
            let Some(lookup) = self.records(host, kind).await? else { continue };
            let address = |data: &RData| match data {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            };
            let mut addresses: Vec<IpAddr> =
                lookup.answers().iter().filter_map(|record| address(&record.data)).collect();
            addresses.sort();
            addresses.dedup();
            if !addresses.is_empty() {
                return Ok((addresses, left(&lookup)));
            }
        }
        Ok((Vec::new(), Duration::ZERO))
    }

    /// The records of a name, completed as `/etc/resolv.conf` says; `None` when there are none under any of its names. One
    /// that cannot be asked for is no reason to take those of the next for it.
    async fn records(&self, host: &str, kind: RecordType) -> Result<Option<Lookup>, String> {
        for name in self.candidates(host)? {
            match self.resolver.lookup(name, kind).await {
                Ok(lookup) if lookup.answers().iter().any(|record| record.record_type() == kind) => {
                    return Ok(Some(lookup));
                }
                Ok(_) => {}
                Err(error) if error.is_no_records_found() => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(None)
    }

    fn candidates(&self, host: &str) -> Result<Vec<Name>, String> {
        let name = Name::from_str(host).map_err(|error| error.to_string())?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut whole = name.clone();
        whole.set_fqdn(true);
        let mut all: Vec<Name> =
            self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        if dots >= self.dots {
            all.insert(0, whole);
        } else {
            all.push(whole);
        }
        all.iter_mut().for_each(|name| name.set_fqdn(true));
        Ok(all)
    }
}

fn nameserver(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}

/// For how long an answer holds.
fn left(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(Instant::now())
}
