//! Asking a connection what it began with.
//!
//! The connection itself is asked, right after its login: nobody else can tell under which defaults it began, when they
//! are changed at that moment.

use std::fmt::Write;

use super::Backend;
use super::defaults::{Defaults, OTHERS, Shared};
use super::exec::{exec, rows};
use crate::cluster::defaults::VISIBLE;
use crate::error::{Error, Result};

/// Asks a connection on which nothing was set what it began with. `None` where it does not tell. Not cancel safe: the
/// connection is of no use then.
///
/// # Errors
/// That it is lost.
pub(crate) async fn ask(backend: &mut Backend, shared: &Shared) -> Result<Option<Defaults>> {
    Ok(look(backend).await?.map(|defaults| shared.share(&defaults)))
}

/// Whether its role or its database has been given something else since a connection began. Not cancel safe likewise.
///
/// # Errors
/// That it is lost.
pub(crate) async fn is_outdated(backend: &mut Backend) -> Result<bool> {
    let Some(before) = backend.defaults.clone() else { return Ok(false) };
    let now = look(backend).await?;
    Ok(now.is_some_and(|now| now.told.written != before.told.written))
}

async fn look(backend: &mut Backend) -> Result<Option<Defaults>> {
    match rows(backend, &question()).await {
        Ok(rows) => Ok(Some(Defaults::of(rows))),
        Err(error @ Error::Refused { .. }) => {
            tracing::debug!(%error, "a connection does not tell its defaults");
            exec(backend, "ROLLBACK").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// In a transaction of its own, because the defaults may be those of one that cannot run on a replica. No name and no
/// operator is looked up in a search path, which a role may have been given.
fn question() -> String {
    let mut names = String::new();
    for name in VISIBLE.iter().chain(&OTHERS) {
        let _ = write!(names, "{}'{name}'", if names.is_empty() { "" } else { "," });
    }
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;\
         WITH given AS (\
         SELECT d.setdatabase OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AS by_database, \
         d.setrole OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AS by_role, d.setconfig AS entries \
         FROM pg_catalog.pg_db_role_setting d \
         WHERE (d.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid OR d.setdatabase OPERATOR(pg_catalog.=) \
         (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) \
         AND (d.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid OR d.setrole OPERATOR(pg_catalog.=) \
         pg_catalog.to_regrole(pg_catalog.quote_ident(SESSION_USER::pg_catalog.text))::pg_catalog.oid)\
         ), told AS (\
         SELECT DISTINCT pg_catalog.lower(pg_catalog.split_part(e.entry, '=', 1)) AS name \
         FROM given g, pg_catalog.unnest(g.entries) AS e(entry)\
         ) \
         SELECT v.name, pg_catalog.current_setting(v.name, true), '' \
         FROM pg_catalog.unnest(ARRAY[{names}]) AS v(name) \
         UNION ALL \
         SELECT t.name, pg_catalog.current_setting(t.name, true), 'told' FROM told t \
         WHERE t.name OPERATOR(pg_catalog.<>) ALL (ARRAY(SELECT pg_catalog.lower(s.name) \
         FROM pg_catalog.pg_settings s WHERE s.context OPERATOR(pg_catalog.<>) 'user')) \
         UNION ALL \
         SELECT '', pg_catalog.concat((SELECT r.rolsuper FROM pg_catalog.pg_roles r \
         WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER), ' ', (\
         SELECT pg_catalog.string_agg(pg_catalog.concat(g.by_database, ' ', g.by_role, ' ', g.entries), ' ' \
         ORDER BY g.by_database, g.by_role) FROM given g)), 'rows';\
         COMMIT"
    )
}
