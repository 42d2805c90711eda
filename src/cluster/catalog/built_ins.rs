//! PostgreSQL's own functions: thousands, the same in every database, and changed by nobody but a superuser who means to.
//! They are read once, and again where the server says that they are others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use tokio_postgres::{Client, Error, Row};

use super::code_rows::{Answers, Body, Declared, Function, Volatility, runs_unnamed};
use super::reading_code::runs;
use crate::sql::{Beyond, BeyondReader, CodeReader, Name};

/// Which functions a server has of its own: its version, and what is stored of each. Whatever changes a row changes its
/// `xmin`.
const FINGERPRINT: &str = "
    SELECT pg_catalog.version(),
           pg_catalog.bit_xor(pg_catalog.hash_record_extended(
               ROW(p.oid, p.xmin, p.proname, p.pronamespace, p.provolatile, p.prokind), 0))
      FROM pg_catalog.pg_proc AS p
     WHERE p.oid < 16384";

/// Each of them, whether any of those that run when it is called is VOLATILE, and whether any is not IMMUTABLE. One with a
/// name like `pg_...` never counts as read-only here: those that are known to be harmless are known without the catalog.
const FUNCTIONS: &str = concat!(
    "WITH ",
    runs!("< 16384"),
    "
    SELECT p.oid, n.nspname::pg_catalog.text, p.proname::pg_catalog.text,
           pg_catalog.bool_or(f.provolatile = 'v' OR pg_catalog.starts_with(f.proname::pg_catalog.text, 'pg_')),
           pg_catalog.bool_or(f.provolatile <> 'i')
      FROM runs AS r
      JOIN pg_catalog.pg_proc AS p ON p.oid = r.called
      JOIN pg_catalog.pg_proc AS f ON f.oid = r.run
      JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
     GROUP BY p.oid, p.proname, n.nspname
     LIMIT 100000"
);

/// A server's version, and a hash over its own functions.
type Fingerprint = (Box<str>, Option<i64>);

/// PostgreSQL's own functions, as they were read of a database.
#[derive(Debug, Default)]
pub(crate) struct BuiltIns {
    /// Whose they are; `None` where none were read.
    fingerprint: Option<Fingerprint>,
    /// By name alone, and by schema and name outside `pg_catalog`.
    functions: HashMap<Name, Volatility, RandomState>,
    /// Those, named alike, of which some is not IMMUTABLE.
    asking: HashSet<Name, RandomState>,
    /// Those that do more than compute: what calls one does too.
    acting: Vec<Arc<Function>>,
}

impl PartialEq for BuiltIns {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for BuiltIns {}

impl BuiltIns {
    /// Those of a database: the ones that are known already, unless it has others.
    pub(super) async fn read(client: &Client, known: Arc<Self>) -> Result<Arc<Self>, Error> {
        let mut fingerprint = None;
        for row in client.query_typed(FINGERPRINT, &[]).await? {
            fingerprint = Some((row.try_get::<_, &str>(0)?.into(), row.try_get(1)?));
        }
        if known.fingerprint.is_some() && known.fingerprint == fingerprint {
            return Ok(known);
        }
        let mut read = Self { fingerprint, ..Self::default() };
        let readers = (CodeReader::default(), BeyondReader::default());
        for row in &client.query_typed(FUNCTIONS, &[]).await? {
            read.add(row, &readers)?;
        }
        Ok(Arc::new(read))
    }

    fn add(&mut self, row: &Row, (code, beyond): &(CodeReader, BeyondReader)) -> Result<(), Error> {
        let (schema, name): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let volatility = if row.try_get(3)? { Volatility::Volatile } else { Volatility::ReadOnly };
        let is_asking = row.try_get(4)?;
        let elsewhere =
            (schema != "pg_catalog").then(|| Name { schema: Some(schema.into()), name: name.into() });
        for name in [Some(Name { schema: None, name: name.into() }), elsewhere].into_iter().flatten() {
            if is_asking {
                self.asking.insert(name.clone());
            }
            let worst = self.functions.entry(name).or_insert(volatility);
            *worst = volatility.max(*worst);
        }
        let function = Function {
            oid: row.try_get(0)?,
            schema: schema.into(),
            name: name.into(),
            body: Body::BuiltIn(name.into()),
            declared: Declared::Volatile,
            answers: Answers::Named,
        };
        let does_more = !function.code(code).conduct.is_pure() || function.beyond(beyond) != Beyond::NOTHING;
        if does_more || schema == "pg_catalog" && runs_unnamed(name) {
            self.acting.push(Arc::new(function));
        }
        Ok(())
    }

    /// What those of a name are; `None` when there is none. One of `pg_catalog` is asked for by its name alone.
    pub(super) fn volatility(&self, name: &Name) -> Option<Volatility> {
        self.functions.get(name).copied()
    }

    /// Whether some of a name is not IMMUTABLE.
    pub(super) fn asks(&self, name: &Name) -> bool {
        self.asking.contains(name)
    }

    /// Those that do more than compute.
    pub(super) fn acting(&self) -> &[Arc<Function>] {
        &self.acting
    }
}
