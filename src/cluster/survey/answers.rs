//! What one server says of itself, of those that follow it and of whom it follows.

use tokio_postgres::{Client, Error};

use super::leads::{Follower, Place, upstream};
use crate::cluster::control::is_forbidden;
use crate::cluster::topology::Role;

/// A server of the cluster.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it listens.
    pub place: Place,
    /// What it calls itself (`cluster_name`); often nothing.
    pub name: String,
    /// Whether it is a replica.
    pub role: Role,
    /// Its version, in its own words.
    pub version: String,
    /// `max_connections`.
    pub connections: usize,
    /// How many of them are kept for superusers and for roles with `pg_use_reserved_connections`.
    pub reserved: usize,
    /// How many others have now.
    pub used: usize,
    /// Whether the connection to it was encrypted.
    pub is_encrypted: bool,
    /// By which it is told apart from the others: when it was started, and its port.
    pub(super) mark: String,
    /// Which cluster it belongs to; `None` where nobody may ask.
    pub(super) cluster: Option<String>,
}

/// What a server says of a role, and of the databases that it may enter.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The databases, by name.
    pub databases: Vec<String>,
    /// Whether it may read the others' passwords.
    pub reads_passwords: bool,
    /// How many connections it may have, where that is limited.
    pub limit: Option<usize>,
}

/// Where a server leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Leads {
    pub(super) followers: Vec<Follower>,
    /// Followers of whom this role may not see where they are; at most what they call themselves.
    pub(super) hidden: Vec<Follower>,
    /// Whom it follows.
    pub(super) upstream: Vec<Place>,
    /// It follows somebody, and this role may not see whom.
    pub(super) concealed: bool,
}

/// Everybody may ask this.
const ITSELF: &str = "
    SELECT pg_is_in_recovery(),
           current_setting('cluster_name'),
           current_setting('server_version'),
           current_setting('max_connections')::int,
           current_setting('superuser_reserved_connections')::int
               + coalesce(current_setting('reserved_connections', true), '0')::int,
           (SELECT count(*)::int FROM pg_stat_activity WHERE datid IS NOT NULL AND pid <> pg_backend_pid()),
           coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
           pg_postmaster_start_time()::text || ' ' || current_setting('port')";

/// Logical replication has a database; what follows as a replica has none.
const FOLLOWERS: &str = "
    SELECT coalesce(r.application_name, ''), r.client_hostname, host(r.client_addr), r.state IS NULL
      FROM pg_stat_replication AS r JOIN pg_stat_activity AS a ON a.pid = r.pid
     WHERE a.datid IS NULL AND coalesce(r.state, '') NOT IN ('backup', 'stopping')
     ORDER BY 1, 3";

const DATABASES: &str = "
    SELECT datname::text FROM pg_database
     WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 1";

const ROLE: &str = "
    SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT') OR has_table_privilege('pg_catalog.pg_shadow', 'SELECT'),
           rolconnlimit
      FROM pg_roles WHERE rolname = current_user";

pub(super) async fn found(client: &Client, place: Place) -> Result<Found, Error> {
    let row = client.query_one(ITSELF, &[]).await?;
    let count = |index| row.try_get::<_, i32>(index).map(|count| usize::try_from(count).unwrap_or(0));
    let cluster = client.query_one("SELECT system_identifier::text FROM pg_control_system()", &[]).await;
    Ok(Found {
        place,
        role: if row.try_get(0)? { Role::Replica } else { Role::Primary },
        name: row.try_get(1)?,
        version: row.try_get(2)?,
        connections: count(3)?,
        reserved: count(4)?,
        used: count(5)?,
        is_encrypted: row.try_get(6)?,
        mark: row.try_get(7)?,
        cluster: allowed(cluster)?.map(|row| row.try_get(0)).transpose()?,
    })
}

pub(super) async fn leads(client: &Client, role: Role) -> Result<Leads, Error> {
    let mut leads = Leads::default();
    for row in client.query(FOLLOWERS, &[]).await? {
        let (name, by_name): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        let (by_address, is_hidden): (Option<String>, bool) = (row.try_get(2)?, row.try_get(3)?);
        let hosts = by_name.into_iter().chain(by_address).collect();
        let list = if is_hidden { &mut leads.hidden } else { &mut leads.followers };
        list.push(Follower { name, hosts });
    }
    if role == Role::Replica {
        leads.upstream = upstream_of(client).await?;
        leads.concealed = leads.upstream.is_empty();
    }
    Ok(leads)
}

/// What it is told to follow, and what it follows in fact, which are one but for a moment.
async fn upstream_of(client: &Client) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    let told = client.query_one("SELECT current_setting('primary_conninfo')", &[]).await;
    if let Some(row) = allowed(told)? {
        places.extend(upstream(row.try_get(0)?));
    }
    let sender = client.query_opt("SELECT sender_host, sender_port FROM pg_stat_wal_receiver", &[]).await;
    if let Some(row) = allowed(sender)?.flatten() {
        let (host, port): (Option<String>, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
        let port = port.and_then(|port| u16::try_from(port).ok());
        places.extend(host.zip(port).map(|(host, port)| Place { host, port }));
    }
    Ok(places)
}

pub(super) async fn account(client: &Client) -> Result<Account, Error> {
    let databases = client.query(DATABASES, &[]).await?;
    let role = client.query_one(ROLE, &[]).await?;
    Ok(Account {
        databases: databases.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
        reads_passwords: role.try_get(0)?,
        limit: usize::try_from(role.try_get::<_, i32>(1)?).ok(),
    })
}

/// Nothing where the server says that this role may not ask.
fn allowed<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if is_forbidden(&error) => Ok(None),
        answer => answer.map(Some),
    }
}
