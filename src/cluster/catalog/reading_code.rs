//! What is asked of the primary about one database's code: the functions of users, what there is to read of it, and where it runs
//! that no statement names. Only the queries and their rows: what is made of them is in `traces`.

use std::sync::Arc;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::bounds::{ROWS_MAX, bounded};
use super::code_rows::{Answers, Body, Declared, Function, Rows, Run, Typed, TypedBy, When};
use super::places;
use crate::sql::CodeReader;

/// The functions that run when one is called: itself, or those that an aggregate is made of; of those whose OIDs are so.
macro_rules! runs {
    ($oids:literal) => {
        concat!(
            "runs AS (
        SELECT p.oid AS called, p.oid AS run
          FROM pg_catalog.pg_proc AS p
         WHERE p.prokind NOT IN ('a', 'p') AND p.oid ",
            $oids,
            "
        UNION ALL
        SELECT a.aggfnoid, s.run
          FROM pg_catalog.pg_aggregate AS a
         CROSS JOIN LATERAL (VALUES (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn),
                   (a.aggdeserialfn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) AS s (run)
         WHERE a.aggfnoid::pg_catalog.oid ",
            $oids,
            "
    )"
        )
    };
}
pub(super) use runs;

/// The types, as `w (type)`, that hold values of a type: arrays, domains, rows and ranges of it.
macro_rules! holders {
    ($of:literal) => {
        concat!(
            "JOIN LATERAL (
                   SELECT t.oid FROM pg_catalog.pg_type AS t WHERE t.typelem = ",
            $of,
            " OR t.typbasetype = ",
            $of,
            "
                   UNION ALL
                   SELECT h.reltype FROM pg_catalog.pg_attribute AS a
                     JOIN pg_catalog.pg_class AS h ON h.oid = a.attrelid
                    WHERE a.atttypid = ",
            $of,
            " AND NOT a.attisdropped AND h.reltype <> 0
                   UNION ALL
                   SELECT g.rngtypid FROM pg_catalog.pg_range AS g WHERE g.rngsubtype = ",
            $of,
            "
               ) AS w (type) ON true"
        )
    };
}
pub(super) use holders;

/// The functions of users, and the text of those that can be read. Of those in C it is believed that they leave nothing in a session
/// if they are declared IMMUTABLE or STABLE, or belong to an extension of which that is known, whose own are a superuser's
/// (anybody may add one to an extension that he has made); unless they run a query that they are given. One that is `internal` is PostgreSQL's own by another name, whatever it is declared to be.
///
/// PostgreSQL's own are only looked through for a function that is `internal`, which is said where it keeps the others from it.
///
/// The last two columns: whether it may be what a statement means that names one of PostgreSQL's own, or an attribute, and
/// whether one argument is enough to call it.
const FUNCTIONS: &str = "
    SELECT p.oid, n.nspname::pg_catalog.text, p.proname::pg_catalog.text, k.kind,
           CASE WHEN k.kind = 'text' THEN COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
                WHEN k.kind = 'built_in' THEN b.proname
                ELSE '' END,
           CASE WHEN k.kind = 'opaque' AND (p.prolang NOT IN (12, 13) OR p.proname ~ '^(crosstab|connectby|xpath_table)')
                THEN 'v' ELSE p.provolatile::pg_catalog.text END,
           p.prokind <> 'p' AND k.kind <> 'known',
           p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
      LEFT JOIN LATERAL (
               SELECT pg_catalog.min(i.proname::pg_catalog.text) AS proname
                 FROM pg_catalog.pg_proc AS i
                WHERE p.prolang = 12 AND p.prokind <> 'a'
                  AND i.oid < 16384 AND i.prolang = 12 AND i.prokind NOT IN ('a', 'w') AND i.prosrc = p.prosrc
           ) AS b ON true
      LEFT JOIN (
               SELECT d.objid, e.extname
                 FROM pg_catalog.pg_depend AS d
                 JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
                WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'
                  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
           ) AS e ON e.objid = p.oid
      LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
     CROSS JOIN LATERAL (
               SELECT CASE WHEN b.proname IS NOT NULL THEN 'built_in'
                           WHEN p.prolang = 13 AND p.proname ~ '^(crosstab|connectby|xpath_table|set_limit$)' THEN 'opaque'
                           WHEN e.extname::pg_catalog.text = ANY ($1) AND o.rolsuper THEN 'known'
                           WHEN p.prokind = 'a' OR p.prolang = 13 AND p.provolatile <> 'v' THEN 'harmless'
                           WHEN l.lanname IN ('sql', 'plpgsql') THEN 'text'
                           ELSE 'opaque' END
           ) AS k (kind)
     WHERE p.oid >= 16384
     LIMIT 100000";

/// The functions that aggregates of users are made of.
const MADE_OF: &str = "
    SELECT a.aggfnoid::pg_catalog.oid, s.run
      FROM pg_catalog.pg_aggregate AS a
     CROSS JOIN LATERAL (VALUES (a.aggtransfn::pg_catalog.oid), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn),
               (a.aggdeserialfn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) AS s (run)
     WHERE a.aggfnoid::pg_catalog.oid >= 16384 AND s.run <> 0
     LIMIT 100000";

/// Operators of users.
const OPERATORS: &str = "
    SELECT o.oid, o.oprname::pg_catalog.text FROM pg_catalog.pg_operator AS o WHERE o.oid >= 16384 LIMIT 100000";

/// Types that run code when a value becomes one of theirs (domains that check, or have a default; those that a cast leads
/// to), and what uses these, or types that contain them.
const TYPES: &str = concat!(
    "
    WITH RECURSIVE own (type) AS (
        SELECT k.contypid FROM pg_catalog.pg_constraint AS k WHERE k.contypid <> 0 AND k.oid >= 16384
        UNION
        SELECT t.oid FROM pg_catalog.pg_type AS t WHERE t.typdefaultbin IS NOT NULL AND t.oid >= 16384
        UNION
        SELECT c.casttarget FROM pg_catalog.pg_cast AS c
         WHERE c.oid >= 16384 AND c.castcontext = 'e' AND c.casttarget >= 16384
    ), reach (own, type) AS (
        SELECT o.type, o.type FROM own AS o
        UNION
        SELECT r.own, w.type
          FROM reach AS r
          ",
    holders!("r.type"),
    "
    )
    SELECT r.own, 'name', t.typname::pg_catalog.text, 0::pg_catalog.oid
      FROM reach AS r JOIN pg_catalog.pg_type AS t ON t.oid = r.type
    UNION
    SELECT r.own, 'function', '', p.oid
      FROM reach AS r
      JOIN pg_catalog.pg_proc AS p ON r.type = p.prorettype OR r.type = ANY (p.proargtypes::pg_catalog.oid[])
           OR r.type = ANY (p.proallargtypes)
     WHERE p.oid >= 16384
    UNION
    SELECT r.own, 'written', '', a.attrelid
      FROM reach AS r JOIN pg_catalog.pg_attribute AS a ON a.atttypid = r.type AND NOT a.attisdropped
    UNION
    SELECT r.own, 'used', '', COALESCE(w.ev_class, p.polrelid)
      FROM reach AS r
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid = r.type
      LEFT JOIN pg_catalog.pg_rewrite AS w
        ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = d.objid
      LEFT JOIN pg_catalog.pg_policy AS p
        ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid
     WHERE w.oid IS NOT NULL OR p.oid IS NOT NULL
     LIMIT 100000"
);

/// Extensions whose functions leave nothing in a session but what their own documentation calls a cache.
const HARMLESS: &[&str] = &[
    "address_standardizer",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "pg_visibility",
    "pg_walinspect",
    "pgaudit",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "plpgsql",
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgis_topology",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
    "xml2",
];

/// Reads it. Nothing is known of code when there is too much.
pub(super) async fn read(client: &Client) -> Result<Option<Rows>, Error> {
    let functions = client.query_typed(FUNCTIONS, &[(&HARMLESS, Type::TEXT_ARRAY)]).await?;
    let Some(made_of) = bounded(client, MADE_OF).await? else { return Ok(None) };
    let acting = CodeReader::default().acting();
    let run = client.query_typed(&places::query(), &[(&acting, Type::NAME_ARRAY)]).await?;
    if functions.len() >= ROWS_MAX || run.len() >= ROWS_MAX {
        return Ok(None);
    }
    let Some(operators) = bounded(client, OPERATORS).await? else { return Ok(None) };
    let Some(types) = bounded(client, TYPES).await? else { return Ok(None) };
    let part = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let operator = |row: &Row| Ok((row.try_get(0)?, row.try_get::<_, &str>(1)?.into()));
    Ok(Some(Rows {
        functions: functions.iter().map(|row| function(row).map(Arc::new)).collect::<Result<_, _>>()?,
        made_of: made_of.iter().map(part).collect::<Result<_, Error>>()?,
        run: run.iter().map(place).collect::<Result<_, _>>()?,
        operators: operators.iter().map(operator).collect::<Result<_, Error>>()?,
        types: types.iter().map(typed).collect::<Result<_, _>>()?,
    }))
}

fn place(row: &Row) -> Result<Run, Error> {
    let when = match row.try_get(0)? {
        "used" => When::Used,
        "planned" => When::Planned,
        "called" => When::Called,
        "definitions" => When::Defining,
        "maintained" => When::Maintaining,
        "typed" => When::Typed,
        "operated" => When::Operated,
        "anywhere" => When::Anywhere,
        "anywhere in C" => When::AnywhereInC,
        _ => When::Written,
    };
    Ok(Run { when, object: row.try_get(1)?, function: row.try_get(2)? })
}

fn typed(row: &Row) -> Result<Typed, Error> {
    let by = match row.try_get(1)? {
        "name" => TypedBy::Name(row.try_get::<_, &str>(2)?.into()),
        "function" => TypedBy::Function(row.try_get(3)?),
        "used" => TypedBy::Used(row.try_get(3)?),
        _ => TypedBy::Written(row.try_get(3)?),
    };
    Ok(Typed { of: row.try_get(0)?, by })
}

fn function(row: &Row) -> Result<Function, Error> {
    let (schema, name, text): (&str, &str, &str) = (row.try_get(1)?, row.try_get(2)?, row.try_get(4)?);
    let body = match row.try_get(3)? {
        "built_in" => Body::BuiltIn(text.into()),
        "harmless" | "known" => Body::Harmless,
        "text" => Body::Text(text.into()),
        _ => Body::Opaque,
    };
    let declared = match row.try_get(5)? {
        "i" => Declared::Immutable,
        "s" => Declared::Stable,
        _ => Declared::Volatile,
    };
    let answers = match (row.try_get(6)?, row.try_get(7)?) {
        (false, _) => Answers::Named,
        (true, false) => Answers::Overload,
        (true, true) => Answers::Attribute,
    };
    let oid = row.try_get(0)?;
    Ok(Function { oid, schema: schema.into(), name: name.into(), body, declared, answers })
}
