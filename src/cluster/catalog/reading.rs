//! What is asked of the primary about one database, and the catalog that is made of the answers.
//!
//! PostgreSQL 14 to 18. Every query is bounded, and all of them see one state of the catalog. Objects with OIDs below
//! 16384 are PostgreSQL's own; the languages 12 and 13 are `internal` and `c`, which only superusers can write.

use std::sync::Arc;
use std::time::Instant;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::asking::ASKING;
use super::beyond::{self, BEYOND, BeyondMap, Reached, What};
use super::bounds::{ROWS_MAX, bounded};
use super::built_ins::BuiltIns;
use super::code_rows::{Rows, Runs, Volatility};
use super::reading_code::{self, holders, runs};
use super::relations::{self, Edge, Facts, Kind, Tie};
use super::snapshot::Catalog;
use super::traces::{self, tell, trace};
use crate::sql::{ASKING_CALLS, BeyondReader};

/// Functions of users by schema and name, whether any is volatile, whether any is not but in a language that does not hold
/// it to that, and whether any is not IMMUTABLE. One of PostgreSQL's own with a name like `pg_...` that an aggregate is made
/// of never counts as read-only here.
const FUNCTIONS: &str = concat!(
    "WITH ",
    runs!(">= 16384"),
    "
    SELECT n.nspname::pg_catalog.text, p.proname::pg_catalog.text,
           pg_catalog.bool_or(f.provolatile = 'v'
               OR f.oid < 16384 AND pg_catalog.starts_with(f.proname::pg_catalog.text, 'pg_')),
           pg_catalog.bool_or(f.oid >= 16384 AND f.prolang NOT IN (12, 13)),
           pg_catalog.bool_or(f.provolatile <> 'i')
      FROM runs AS r
      JOIN pg_catalog.pg_proc AS p ON p.oid = r.called
      JOIN pg_catalog.pg_proc AS f ON f.oid = r.run
      JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
     GROUP BY n.nspname, p.proname
     LIMIT 100000"
);

/// Unlogged tables, partitioned tables, materialised views and sequences; system catalogs are always logged.
const UNLOGGED: &str = "
    SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p', 'm', 'S') AND c.oid >= 16384
     LIMIT 100000";

/// The relations of users. Temporary ones are their sessions' own affair, unless writing to them runs code: an
/// unqualified name may mean one of those.
const RELATIONS: &str = "
    SELECT c.oid, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.oid >= 16384
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       AND (c.relpersistence <> 't' OR c.relhastriggers OR c.relhasrules)
     LIMIT 100000";

/// How relations hang together: inheritance (of tables, not of their indexes), foreign keys with an action, views and
/// policies. A materialised view stands for itself, and PostgreSQL's own relations change by definitions alone.
const EDGES: &str = "
    SELECT 'inherits', i.inhrelid, i.inhparent
      FROM pg_catalog.pg_inherits AS i
      JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
     WHERE c.relkind IN ('r', 'p', 'f')
    UNION
    SELECT 'cascades', k.confrelid, k.conrelid
      FROM pg_catalog.pg_constraint AS k
     WHERE k.contype = 'f' AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
    UNION
    SELECT 'selects', r.ev_class, d.refobjid
      FROM pg_catalog.pg_rewrite AS r
      JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
      JOIN pg_catalog.pg_depend AS d ON d.objid = r.oid
     WHERE r.ev_type = '1' AND c.relkind = 'v' AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       AND d.refobjid >= 16384 AND d.refobjid <> r.ev_class
    UNION
    SELECT 'policy', p.polrelid, d.refobjid
      FROM pg_catalog.pg_policy AS p
      JOIN pg_catalog.pg_depend AS d ON d.objid = p.oid
     WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       AND d.refobjid >= 16384 AND d.refobjid <> p.polrelid
    LIMIT 100000";

/// Relations that run a user's code: triggers and rules when they are written, functions and operators when whatever
/// calls them is used. Of a function in C that is declared IMMUTABLE it is believed that it reads no relation and
/// writes none: extensions are full of them. Of one in C that is declared STABLE, and of any that is declared IMMUTABLE,
/// it is believed that it writes none: PostgreSQL runs the latter when it likes, and indexes are full of them.
///
/// A function that takes a row of a relation can be called as if it were a column of it, which no statement's text
/// tells. A domain's constraints and default run wherever a column has it in its type; as such domains are rare, the
/// columns, by far the largest catalog, are not looked at where there is none.
///
/// All this is by declaration. What bodies do that can be read, and what is behind operators, casts and types, is added by
/// [`trace`].
const CODE: &str = concat!(
    "WITH RECURSIVE ",
    runs!(">= 16384"),
    ", code AS (
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, p.oid,
               pg_catalog.bool_or(f.provolatile = 'v' OR f.provolatile = 's' AND f.prolang NOT IN (12, 13)) AS writes,
               CASE WHEN p.pronargs - p.pronargdefaults <= 1 THEN p.proargtypes[0] END AS argument
          FROM runs AS r
          JOIN pg_catalog.pg_proc AS p ON p.oid = r.called
          JOIN pg_catalog.pg_proc AS f ON f.oid = r.run
         WHERE (f.provolatile = 'v' OR f.oid >= 16384 AND (f.provolatile = 's' OR f.prolang NOT IN (12, 13)))
         GROUP BY p.oid
    ), called AS (
        SELECT class, oid, writes FROM code
        UNION ALL
        SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, c.writes
          FROM pg_catalog.pg_operator AS o JOIN code AS c ON c.oid = o.oprcode
    ), caller AS (
        SELECT d.classid, d.objid, pg_catalog.bool_or(c.writes) AS writes
          FROM called AS c
          JOIN pg_catalog.pg_depend AS d ON d.refclassid = c.class AND d.refobjid = c.oid
         GROUP BY d.classid, d.objid
    ), changing AS (
        SELECT classid, objid FROM caller WHERE writes
    ), checking AS (
        SELECT k.contypid AS type
          FROM pg_catalog.pg_constraint AS k JOIN changing AS c ON c.objid = k.oid
         WHERE c.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.contypid <> 0
        UNION
        SELECT c.objid FROM changing AS c WHERE c.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
        UNION
        SELECT w.type
          FROM checking AS c
          ",
    holders!("c.type"),
    "
    )
    SELECT t.tgrelid, 'written'
      FROM pg_catalog.pg_trigger AS t
     WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
    UNION
    SELECT r.ev_class, 'written'
      FROM pg_catalog.pg_rewrite AS r
     WHERE r.ev_type <> '1' AND r.ev_enabled <> 'D' AND r.oid >= 16384
    UNION
    SELECT r.ev_class, CASE WHEN c.writes THEN 'used' ELSE 'read' END
      FROM pg_catalog.pg_rewrite AS r
      JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class
      JOIN caller AS c ON c.objid = r.oid
     WHERE c.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.ev_type = '1' AND v.relkind = 'v'
    UNION
    SELECT p.polrelid, CASE WHEN c.writes THEN 'used' ELSE 'read' END
      FROM pg_catalog.pg_policy AS p
      JOIN caller AS c ON c.objid = p.oid
     WHERE c.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    UNION
    SELECT y.typrelid, CASE WHEN c.writes THEN 'used' ELSE 'read' END
      FROM code AS c
      JOIN pg_catalog.pg_type AS y ON y.oid = c.argument
     WHERE y.typrelid <> 0
    UNION
    SELECT a.adrelid, 'written'
      FROM pg_catalog.pg_attrdef AS a JOIN changing AS c ON c.objid = a.oid
     WHERE c.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
    UNION
    SELECT k.conrelid, 'written'
      FROM pg_catalog.pg_constraint AS k JOIN changing AS c ON c.objid = k.oid
     WHERE c.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.conrelid <> 0
    UNION
    SELECT i.indrelid, 'written'
      FROM pg_catalog.pg_index AS i JOIN changing AS c ON c.objid = i.indexrelid
     WHERE c.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION
    SELECT a.attrelid, 'written'
      FROM pg_catalog.pg_attribute AS a
     WHERE EXISTS (SELECT FROM checking) AND NOT a.attisdropped
       AND a.atttypid = ANY (ARRAY(SELECT c.type FROM checking AS c))
    LIMIT 100000"
);

/// What was read of a database.
#[derive(Debug)]
pub(super) struct Answers {
    catalog: Catalog,
    relations: Option<Facts>,
    code: Option<Rows>,
    reached: Vec<Reached>,
    began: Instant,
}

impl Answers {
    /// PostgreSQL's own functions.
    pub(super) fn built_ins(&self) -> Arc<BuiltIns> {
        self.catalog.built_ins.clone()
    }

    /// The catalog. Takes tens of milliseconds where there are tens of thousands of relations: not for a thread on
    /// which sessions run.
    pub(super) fn catalog(mut self) -> Catalog {
        if let (Some(facts), Some(code)) = (&mut self.relations, &self.code) {
            let web = trace(code, facts.names(), facts.ties());
            self.catalog.code = tell(code, &web, self.catalog.built_ins.clone(), self.began);
            self.catalog.beyond = beyond::follow(&web, code, facts.full_names(), &self.reached);
            let runs = traces::runs(code, &web);
            facts.code.extend(runs);
        }
        if self.reached.len() >= ROWS_MAX {
            self.catalog.beyond = BeyondMap::of_anything();
        }
        match self.relations {
            Some(facts) => facts.fill(&mut self.catalog),
            None => self.catalog.operators_write = true,
        }
        // What runs anywhere is not known either.
        self.catalog.operators_write |= self.code.is_none();
        self.catalog
    }
}

/// Reads what there is to know of a database. PostgreSQL's own functions are those that are known already, unless this one
/// has others. After an error the connection is of no use: its transaction is open.
pub(super) async fn read(client: &Client, known: Arc<BuiltIns>) -> Result<Answers, Error> {
    let began = Instant::now();
    // Compiling the queries takes longer than running them.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL jit = off").await?;
    let mut catalog = Catalog::default();
    let functions = bounded(client, FUNCTIONS).await?;
    if functions.is_some() {
        // A name may be a user's too: where those are too many, none is known.
        catalog.built_ins = BuiltIns::read(client, known).await?;
    }
    for row in functions.unwrap_or_default() {
        let volatility = match (row.try_get(2)?, row.try_get(3)?) {
            (true, _) => Volatility::Volatile,
            (false, true) => Volatility::Declared,
            (false, false) => Volatility::ReadOnly,
        };
        let (schema, name) = (row.try_get(0)?, row.try_get(1)?);
        catalog.add_function(schema, name, volatility);
        if row.try_get(4)? {
            catalog.add_asking_function(schema, name);
        }
    }
    for row in &client.query_typed(UNLOGGED, &[]).await? {
        catalog.add_unlogged(row.try_get(0)?, row.try_get(1)?);
    }
    let (relations, mut code) = (facts(client).await?, reading_code::read(client).await?);
    if let Some(code) = &mut code {
        code.functions.extend_from_slice(catalog.built_ins.acting());
    }
    let reached = reached(client).await?;
    client.batch_execute("COMMIT").await?;
    Ok(Answers { catalog, relations, code, reached, began })
}

async fn facts(client: &Client) -> Result<Option<Facts>, Error> {
    let Some(relations) = bounded(client, RELATIONS).await? else { return Ok(None) };
    let Some(edges) = bounded(client, EDGES).await? else { return Ok(None) };
    let Some(code) = bounded(client, CODE).await? else { return Ok(None) };
    let asking = client.query_typed(ASKING, &[(&ASKING_CALLS, Type::NAME_ARRAY)]).await?;
    if asking.len() >= ROWS_MAX {
        return Ok(None);
    }
    Ok(Some(Facts {
        relations: relations.iter().map(relation).collect::<Result<_, _>>()?,
        edges: edges.iter().map(edge).collect::<Result<_, _>>()?,
        code: code.iter().map(runs).collect::<Result<_, _>>()?,
        asking: asking.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?,
    }))
}

fn relation(row: &Row) -> Result<relations::Row, Error> {
    let (schema, name): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
    let kind = match row.try_get(3)? {
        "v" => Kind::View,
        "S" => Kind::Sequence,
        _ => Kind::Stored,
    };
    Ok(relations::Row { oid: row.try_get(0)?, schema: schema.into(), name: name.into(), kind })
}

fn edge(row: &Row) -> Result<Edge, Error> {
    let tie = match row.try_get(0)? {
        "inherits" => Tie::Inherits,
        "cascades" => Tie::Cascades,
        "policy" => Tie::Policy,
        _ => Tie::Selects,
    };
    Ok(Edge { tie, from: row.try_get(1)?, to: row.try_get(2)? })
}

/// A relation that runs code, or no relation in particular.
fn runs(row: &Row) -> Result<(Option<u32>, Runs), Error> {
    let runs = match row.try_get(1)? {
        "written" => Runs::Written,
        "read" => Runs::Read,
        _ => Runs::Used,
    };
    Ok((row.try_get(0)?, runs))
}

/// What relations have to do with beyond the database.
async fn reached(client: &Client) -> Result<Vec<Reached>, Error> {
    let reader = BeyondReader::default();
    let (functions, known) = (reader.functions(), reader.known());
    let rows =
        client.query_typed(BEYOND, &[(&functions, Type::TEXT_ARRAY), (&known, Type::TEXT_ARRAY)]).await?;
    let reached = |row: &Row| {
        let what = What::new(row.try_get(1)?, row.try_get(2)?);
        Ok(Reached { relation: row.try_get(0)?, what })
    };
    rows.iter().map(reached).collect()
}
