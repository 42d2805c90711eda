//! What a server gives to those who set nothing, asked beside its probe.
//!
//! A mark tells with each probe whether anything may have changed; only then all of it is asked for. What cannot be asked
//! is not known, which says nothing of the server.

use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error, Row};

use crate::cluster::control::{self, Parameters, is_forbidden, words};
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

/// What control connections have whatever they are given. On those of probes it is set, so that it can be taken back for a
/// moment to see what there is without it.
const SET: &str = "SET search_path = pg_catalog; SET default_transaction_isolation = 'read committed'";
const TAKE_BACK: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    RESET search_path; RESET default_transaction_isolation";

/// Opens the connections of probes. One that ends is told by the probe that needed it, with the server's name, so nothing
/// is logged here above debug.
#[derive(Clone, Debug)]
pub(super) struct Dial(pub(super) Parameters);

impl Connect for Dial {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        let Self(parameters) = self;
        Box::pin(async move {
            let (client, driver) = control::open(parameters).await?;
            client.batch_execute(SET).await?;
            Ok((client, driver))
        })
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

/// What is known of what one server gives.
#[derive(Debug, Default)]
pub(super) struct Given {
    mark: Mark,
    news: Option<Defaults>,
}

/// What the mark was.
#[derive(Debug, Default, PartialEq, Eq)]
enum Mark {
    /// None was seen yet.
    #[default]
    None,
    Was(Box<str>),
    /// The server does not tell it.
    Forbidden,
}

impl Given {
    /// What the server gives, if that may be another thing than before; told once.
    pub(super) fn take_news(&mut self) -> Option<Defaults> {
        self.news.take()
    }

    /// Looks whether anything may have changed. Not cancel safe: the connection is of no use then.
    ///
    /// # Errors
    /// Why it could not be asked; nothing more must be asked over the connection.
    pub(super) async fn look(&mut self, client: &Client, server: &str) -> Result<(), Error> {
        if self.mark == Mark::Forbidden {
            return Ok(());
        }
        let mark = match client.query_typed_one(MARK, &[]).await {
            Ok(row) => Mark::Was(row.try_get::<_, &str>(0)?.into()),
            Err(error) if is_forbidden(&error) => {
                tracing::info!(
                    server,
                    error = words(&error),
                    "server does not tell what it gives to roles and databases"
                );
                self.mark = Mark::Forbidden;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if mark != self.mark {
            self.news = Some(ask(client).await?);
            self.mark = mark;
        }
        Ok(())
    }
}

/// Asks for all of it, in a transaction that any server admits whatever it gives.
async fn ask(client: &Client) -> Result<Defaults, Error> {
    client.batch_execute(TAKE_BACK).await?;
    let given = client.query_typed(ROWS, &[]).await?;
    let (rows, names) = rows_of(&given)?;
    let names: Vec<&str> = VISIBLE.into_iter().chain(names.iter().map(|name| &**name)).collect();
    let conf = client.query_typed(CONF, &[(&names, Type::TEXT_ARRAY)]).await?;
    client.batch_execute("ROLLBACK").await?;
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
