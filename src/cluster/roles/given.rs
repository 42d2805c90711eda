//! What a server gives to those who set nothing, asked beside its probe.
//!
//! A mark tells with each probe whether anything may have changed; only then all of it is asked for, over a connection of
//! its own, on which weir sets nothing. What cannot be asked is not known, which says nothing of the server.

use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, Row};

use super::probe::is_forbidden;
use crate::cluster::control::{self, words};
use crate::cluster::defaults::{Conf, Defaults, Rows, VISIBLE, Values};

/// Another value when the configuration was read anew, or a role or a database was given something else: each row that is
/// written bears the transaction that did.
const MARK: &str = "
    SELECT pg_catalog.concat(pg_catalog.pg_conf_load_time(), ' ', pg_catalog.count(*), ' ',
           pg_catalog.sum(d.xmin::pg_catalog.text::pg_catalog.int8))
      FROM pg_catalog.pg_db_role_setting AS d";

/// What roles and databases are given; nothing stands for all of them.
const ROWS: &str = "
    SELECT b.datname::pg_catalog.text, r.rolname::pg_catalog.text, d.setconfig
      FROM pg_catalog.pg_db_role_setting AS d
      LEFT JOIN pg_catalog.pg_database AS b ON b.oid OPERATOR(pg_catalog.=) d.setdatabase
      LEFT JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) d.setrole";

/// What the configuration says of these settings. What the connection has by its own role or database instead is not
/// told.
const CONF: &str = "
    SELECT n.name, pg_catalog.current_setting(n.name, true)
      FROM pg_catalog.unnest($1) AS n(name)
     WHERE NOT EXISTS (
           SELECT FROM pg_catalog.pg_db_role_setting AS d, pg_catalog.unnest(d.setconfig) AS e(entry)
            WHERE pg_catalog.lower(pg_catalog.split_part(e.entry, '=', 1)) OPERATOR(pg_catalog.=) n.name
              AND (d.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid
                   OR d.setdatabase OPERATOR(pg_catalog.=) (
                      SELECT b.oid FROM pg_catalog.pg_database AS b
                       WHERE b.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()))
              AND (d.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid
                   OR d.setrole OPERATOR(pg_catalog.=) pg_catalog.to_regrole(
                      pg_catalog.quote_ident(SESSION_USER::pg_catalog.text))::pg_catalog.oid))";

/// What is known of what one server gives.
#[derive(Debug)]
pub(super) struct Given {
    /// With which the server is asked for all of it.
    parameters: Config,
    mark: Mark,
    news: Option<Defaults>,
}

/// What the mark was.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    /// None was seen yet.
    None,
    Was(Box<str>),
    /// The server does not tell it.
    Forbidden,
}

impl Given {
    /// Of a server that is probed with these parameters.
    pub(super) fn new(parameters: &Config) -> Self {
        let mut parameters = parameters.clone();
        // Everything is left as it is given. No question here depends on it.
        parameters.options("");
        Self { parameters, mark: Mark::None, news: None }
    }

    /// What the server gives, if that may be another thing than before; told once.
    pub(super) fn take_news(&mut self) -> Option<Defaults> {
        self.news.take()
    }

    /// Looks whether anything may have changed, over a connection on which nothing else is asked. Not cancel safe: the
    /// connection is of no use then.
    pub(super) async fn look(&mut self, client: &Client) {
        if self.mark == Mark::Forbidden {
            return;
        }
        let outcome = async {
            let row = client.query_typed_one(MARK, &[]).await?;
            let mark = Mark::Was(row.try_get::<_, &str>(0)?.into());
            if mark != self.mark {
                self.news = Some(ask(&self.parameters).await?);
                self.mark = mark;
            }
            Ok::<_, Error>(())
        };
        match outcome.await {
            Ok(()) => {}
            Err(error) if is_forbidden(&error) => {
                tracing::info!(
                    error = words(&error),
                    "server does not tell what it gives to roles and databases"
                );
                self.mark = Mark::Forbidden;
            }
            Err(error) => tracing::debug!(error = words(&error), "defaults not asked"),
        }
    }
}

/// Asks for all of it, in a transaction that any server admits whatever it gives.
async fn ask(parameters: &Config) -> Result<Defaults, Error> {
    let (client, driver) = control::open(parameters).await?;
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await?;
    let given = client.query_typed(ROWS, &[]).await?;
    let (rows, names) = rows_of(&given)?;
    let names: Vec<&str> = VISIBLE.into_iter().chain(names.iter().map(|name| &**name)).collect();
    let conf = client.query_typed(CONF, &[(&names, Type::TEXT_ARRAY)]).await?;
    client.batch_execute("COMMIT").await?;
    // With the client gone, the connection takes its leave and ends.
    drop(client);
    drop(driver.await);
    Ok(Defaults { conf: Arc::new(conf_of(&conf)?), rows })
}

fn conf_of(rows: &[Row]) -> Result<Conf, Error> {
    let (mut visible, mut besides) = (Values::new(), Values::new());
    for row in rows {
        let (name, value) = (row.try_get::<_, &str>(0)?, row.try_get::<_, Option<&str>>(1)?);
        let values = if VISIBLE.contains(&name) { &mut visible } else { &mut besides };
        if let Some(value) = value {
            values.insert(name.into(), value.into());
        }
    }
    Ok(Conf { visible: Arc::new(visible), besides })
}

/// The rows, and the names of the settings in them.
fn rows_of(given: &[Row]) -> Result<(Rows, Vec<Box<str>>), Error> {
    let (mut rows, mut names) = (Rows::new(), Vec::new());
    for row in given {
        let name = |at| row.try_get::<_, Option<&str>>(at).map(|name| name.map(Box::from));
        let entries: Vec<&str> = row.try_get(2)?;
        let named = entries.iter().filter_map(|entry| entry.split_once('=')).map(|(name, _)| name);
        names.extend(named.map(|name| Box::from(name.to_lowercase())));
        rows.insert((name(0)?, name(1)?), entries.join("\n").into());
    }
    names.sort_unstable();
    names.dedup();
    Ok((rows, names))
}
