//! Whether a server would let a role into a database: what is asked, and what the answer means.
//!
//! How many connections a role or a database may have is not asked: weir has few of its own, and waits for room.

use std::sync::Arc;

use deadpool_postgres::Object;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use super::rounds::Question;

/// Everybody may read this, of all roles and databases. Names are cut off where PostgreSQL cuts them off. A
/// `datconnlimit` of -2 is the mark of a database whose removal was interrupted.
const STANDING: &str = "
    SELECT r.oid IS NOT NULL,
           COALESCE(r.rolcanlogin, false),
           COALESCE(r.rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now(), false),
           d.datallowconn,
           d.datconnlimit OPERATOR(pg_catalog.=) -2,
           pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT')
      FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS q(role, database, nth)
      LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname OPERATOR(pg_catalog.=) q.role::pg_catalog.name
      LEFT JOIN pg_catalog.pg_database AS d ON d.datname OPERATOR(pg_catalog.=) q.database::pg_catalog.name
     ORDER BY q.nth";

/// The types of its parameters.
const TYPES: [Type; 2] = [Type::TEXT_ARRAY, Type::TEXT_ARRAY];

/// Who asks for what, by their names on the servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::cluster) struct Admittance {
    pub(in crate::cluster) role: Arc<str>,
    pub(in crate::cluster) database: Arc<str>,
}

impl Question for Admittance {
    type Answer = Standing;

    const ABOUT: &str = "whom it would let in";

    async fn ask(connection: &Object, questions: &[Self]) -> Result<Vec<Standing>, Error> {
        let statement = connection.prepare_typed_cached(STANDING, &TYPES).await?;
        let roles: Vec<&str> = questions.iter().map(|question| &*question.role).collect();
        let databases: Vec<&str> = questions.iter().map(|question| &*question.database).collect();
        let rows = connection.query(&statement, &[&roles, &databases]).await?;
        rows.iter().map(Standing::of).collect()
    }
}

/// How it stands with a role and a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The role, unless there is none.
    pub role: Option<RoleStanding>,
    /// The database, as this role finds it.
    pub database: DatabaseStanding,
}

/// A role that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleStanding {
    /// It may log in.
    Sound,
    /// It may log in, but its password is past `VALID UNTIL`.
    Expired,
    /// It has no `LOGIN`.
    Barred,
    /// Neither the one nor the other.
    BarredAndExpired,
}

/// A database, as a role finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseStanding {
    /// It may be connected to.
    Open,
    /// There is none.
    Missing,
    /// Its removal was interrupted.
    Invalid,
    /// It takes no connections.
    Closed,
    /// The role has no `CONNECT`.
    Denied,
}

impl Standing {
    fn of(row: &Row) -> Result<Self, Error> {
        let (exists, may_log_in, expired): (bool, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let role = match (may_log_in, expired) {
            (true, false) => RoleStanding::Sound,
            (true, true) => RoleStanding::Expired,
            (false, false) => RoleStanding::Barred,
            (false, true) => RoleStanding::BarredAndExpired,
        };
        let (open, invalid): (Option<bool>, Option<bool>) = (row.try_get(3)?, row.try_get(4)?);
        let may_connect: Option<bool> = row.try_get(5)?;
        let database = match (open, invalid, may_connect) {
            (None, _, _) => DatabaseStanding::Missing,
            (_, Some(true), _) => DatabaseStanding::Invalid,
            (Some(false), _, _) => DatabaseStanding::Closed,
            (_, _, Some(false)) => DatabaseStanding::Denied,
            (Some(true), _, _) => DatabaseStanding::Open,
        };
        Ok(Self { role: exists.then_some(role), database })
    }
}
