//! Every place in PostgreSQL's catalogs from which code can run, and for each the query that follows it or the reason why
//! it cannot run on behalf of a statement. A closed list: `tests/places.rs` compares it with the catalogs of every version.
//!
//! A place is a column that holds a function (`regproc`, or an OID of `pg_proc`), an expression (`pg_node_tree`) or the
//! text of a function. Objects with OIDs below 16384 are PostgreSQL's own, and call only what is. The functions themselves
//! are known by their names: a place only says where one runs that no statement names.

/// A column of a catalog from which code can run.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// `catalog.column`.
    pub column: &'static str,
    /// What follows it.
    pub followed: Followed,
}

/// How a place is followed.
#[derive(Clone, Copy, Debug)]
pub enum Followed {
    /// The functions in it: `SELECT` when, the object that runs it, the function.
    Functions(&'static str),
    /// The expressions in it: `SELECT` when, the object that runs it, the catalog and the object whose dependencies tell of
    /// users' functions in it, its tree.
    Trees(&'static str),
    /// By other code, as said.
    Elsewhere(&'static str),
    /// It cannot run on behalf of a statement, as said.
    Never(&'static str),
}

use Followed::{Elsewhere, Functions, Never, Trees};

/// Takes `internal`, which no language but C and `internal` can. What is in C is believed, behind anything.
const IN_C: Followed = Never("takes or gives `internal`, which only C can");

/// Parts of aggregates.
const OF_AGGREGATE: Followed = Elsewhere("an aggregate does what its parts do: `reading_code::MADE_OF`");

/// The support functions of types. Only superusers create types of their own, in C as a rule, but the functions need not be.
macro_rules! of_type {
    ($column:literal) => {
        Functions(concat!(
            "SELECT 'anywhere', NULL::pg_catalog.oid, t.",
            $column,
            "::pg_catalog.oid FROM pg_catalog.pg_type AS t WHERE t.oid >= 16384 AND t.typtype IN ('b', 'r', 'm')"
        ))
    };
}

const fn place(column: &'static str, followed: Followed) -> Place {
    Place { column, followed }
}

/// All places. When code runs: `used` is when a relation is read or written; `planned` when it is written, and perhaps when a
/// query of it is planned, as the planner computes what is declared IMMUTABLE; `called` when a function is called;
/// `definitions` when definitions are changed; `maintained` when relations are kept in order; `anywhere` in any statement, none of which names it.
pub const PLACES: &[Place] = &[
    place("pg_aggregate.aggcombinefn", OF_AGGREGATE),
    place("pg_aggregate.aggdeserialfn", OF_AGGREGATE),
    place("pg_aggregate.aggfinalfn", OF_AGGREGATE),
    place("pg_aggregate.aggfnoid", Elsewhere("the aggregate itself, known by its name")),
    place("pg_aggregate.aggmfinalfn", OF_AGGREGATE),
    place("pg_aggregate.aggminvtransfn", OF_AGGREGATE),
    place("pg_aggregate.aggmtransfn", OF_AGGREGATE),
    place("pg_aggregate.aggserialfn", OF_AGGREGATE),
    place("pg_aggregate.aggtransfn", OF_AGGREGATE),
    place("pg_am.amhandler", IN_C),
    place(
        "pg_amproc.amproc",
        Functions(
            "SELECT 'anywhere', NULL::pg_catalog.oid, a.amproc::pg_catalog.oid
               FROM pg_catalog.pg_amproc AS a WHERE a.oid >= 16384",
        ),
    ),
    place(
        "pg_attrdef.adbin",
        Trees(
            "SELECT CASE WHEN a.attgenerated = 'v' THEN 'used' ELSE 'written' END, d.adrelid,
                    'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, d.adbin::pg_catalog.text
               FROM pg_catalog.pg_attrdef AS d
               JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
              WHERE d.oid >= 16384",
        ),
    ),
    place(
        "pg_cast.castfunc",
        Functions(
            "SELECT CASE WHEN c.castcontext = 'e' AND c.casttarget >= 16384 THEN 'typed' ELSE 'anywhere' END,
                    c.casttarget, c.castfunc::pg_catalog.oid
               FROM pg_catalog.pg_cast AS c WHERE c.oid >= 16384",
        ),
    ),
    place("pg_class.relpartbound", Never("literals, which were computed when the partition was made")),
    place(
        "pg_constraint.conbin",
        Trees(
            "SELECT CASE WHEN k.conrelid = 0 THEN 'typed' ELSE 'planned' END, GREATEST(k.conrelid, k.contypid),
                    'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, k.conbin::pg_catalog.text
               FROM pg_catalog.pg_constraint AS k WHERE k.contype = 'c' AND k.oid >= 16384",
        ),
    ),
    place("pg_conversion.conproc", IN_C),
    place(
        "pg_event_trigger.evtfoid",
        Functions(
            "SELECT 'definitions', NULL::pg_catalog.oid, e.evtfoid
               FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled <> 'D'",
        ),
    ),
    place("pg_foreign_data_wrapper.fdwhandler", Never("gives a structure of C, so it is in C")),
    place(
        "pg_foreign_data_wrapper.fdwvalidator",
        Functions(
            "SELECT 'definitions', NULL::pg_catalog.oid, w.fdwvalidator
               FROM pg_catalog.pg_foreign_data_wrapper AS w WHERE w.oid >= 16384",
        ),
    ),
    place(
        "pg_index.indexprs",
        Trees(
            "SELECT 'planned', i.indrelid, 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid,
                    pg_catalog.concat(i.indexprs::pg_catalog.text, i.indpred::pg_catalog.text)
               FROM pg_catalog.pg_index AS i
              WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND i.indexrelid >= 16384",
        ),
    ),
    place("pg_index.indpred", Elsewhere("pg_index.indexprs")),
    place(
        "pg_language.laninline",
        Never("the body of DO is read, in a language that is not known may do anything"),
    ),
    place("pg_language.lanplcallfoid", Never("a function is judged by its body, or may do anything")),
    place(
        "pg_language.lanvalidator",
        Functions(
            "SELECT 'definitions', NULL::pg_catalog.oid, l.lanvalidator
               FROM pg_catalog.pg_language AS l WHERE l.oid >= 16384",
        ),
    ),
    place(
        "pg_operator.oprcode",
        Functions(
            "SELECT CASE WHEN n.oprname ~ '^(=|<>|<|<=|>|>=|!?~{1,2}\\*?)$'
                           OR EXISTS (SELECT FROM pg_catalog.pg_amop AS a WHERE a.amopopr = n.oid)
                         THEN 'anywhere' ELSE 'operated' END, n.oid, o.oprcode::pg_catalog.oid
               FROM pg_catalog.pg_operator AS o
               JOIN pg_catalog.pg_operator AS n ON n.oid IN (o.oid, o.oprcom, o.oprnegate)
              WHERE o.oid >= 16384",
        ),
    ),
    place("pg_operator.oprjoin", IN_C),
    place("pg_operator.oprrest", IN_C),
    place(
        "pg_partitioned_table.partexprs",
        Trees(
            "SELECT 'planned', t.partrelid, 'pg_catalog.pg_class'::pg_catalog.regclass, t.partrelid,
                    t.partexprs::pg_catalog.text
               FROM pg_catalog.pg_partitioned_table AS t WHERE t.partexprs IS NOT NULL",
        ),
    ),
    place(
        "pg_policy.polqual",
        Trees(
            "SELECT 'used', p.polrelid, 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid,
                    pg_catalog.concat(p.polqual::pg_catalog.text, p.polwithcheck::pg_catalog.text)
               FROM pg_catalog.pg_policy AS p",
        ),
    ),
    place("pg_policy.polwithcheck", Elsewhere("pg_policy.polqual")),
    place(
        "pg_proc.proargdefaults",
        Trees(
            "SELECT 'called', p.oid, 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid,
                    p.proargdefaults::pg_catalog.text
               FROM pg_catalog.pg_proc AS p WHERE p.proargdefaults IS NOT NULL AND p.oid >= 16384",
        ),
    ),
    place("pg_proc.probin", Never("a library in C, which is believed")),
    place("pg_proc.prosqlbody", Elsewhere("read as text: `reading_code::FUNCTIONS`")),
    place("pg_proc.prosrc", Elsewhere("read as text: `reading_code::FUNCTIONS`")),
    place("pg_proc.prosupport", IN_C),
    place("pg_publication_rel.prqual", Never("runs in the process that sends changes to a subscriber")),
    place(
        "pg_range.rngcanonical",
        Functions(
            "SELECT 'anywhere', NULL::pg_catalog.oid, r.rngcanonical::pg_catalog.oid
               FROM pg_catalog.pg_range AS r WHERE r.rngtypid >= 16384",
        ),
    ),
    place(
        "pg_range.rngsubdiff",
        Functions(
            "SELECT 'anywhere', NULL::pg_catalog.oid, r.rngsubdiff::pg_catalog.oid
               FROM pg_catalog.pg_range AS r WHERE r.rngtypid >= 16384",
        ),
    ),
    place(
        "pg_rewrite.ev_action",
        Trees(
            "SELECT CASE WHEN r.ev_type <> '1' THEN 'written' WHEN c.relkind = 'm' THEN 'maintained' ELSE 'used' END,
                    r.ev_class,
                    'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid,
                    pg_catalog.concat(r.ev_action::pg_catalog.text, r.ev_qual::pg_catalog.text)
               FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
              WHERE r.oid >= 16384",
        ),
    ),
    // Besides, views of `pg_settings` pass what is written to them on to the one rule of PostgreSQL's own that writes.
    place(
        "pg_rewrite.ev_qual",
        Functions(
            "SELECT 'written', r.ev_class, p.oid
               FROM pg_catalog.pg_rewrite AS r
               JOIN pg_catalog.pg_rewrite AS s ON s.rulename = 'pg_settings_u'
               JOIN pg_catalog.pg_proc AS p ON p.oid < 16384 AND p.proname = 'set_config'
              WHERE r.oid >= 16384
                AND pg_catalog.concat(r.ev_action::pg_catalog.text, r.ev_qual::pg_catalog.text)
                    ~ (':relid ' || s.ev_class || ' ')",
        ),
    ),
    place(
        "pg_statistic_ext.stxexprs",
        Trees(
            "SELECT 'planned', s.stxrelid, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid,
                    s.stxexprs::pg_catalog.text
               FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxexprs IS NOT NULL",
        ),
    ),
    place("pg_transform.trffromsql", IN_C),
    place("pg_transform.trftosql", IN_C),
    place(
        "pg_trigger.tgfoid",
        Functions(
            "SELECT 'written', t.tgrelid, t.tgfoid
               FROM pg_catalog.pg_trigger AS t WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'",
        ),
    ),
    place(
        "pg_trigger.tgqual",
        Trees(
            "SELECT 'written', t.tgrelid, 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid,
                    t.tgqual::pg_catalog.text
               FROM pg_catalog.pg_trigger AS t
              WHERE t.tgqual IS NOT NULL AND NOT t.tgisinternal AND t.tgenabled <> 'D'",
        ),
    ),
    place("pg_ts_parser.prsend", IN_C),
    place("pg_ts_parser.prsheadline", IN_C),
    place("pg_ts_parser.prslextype", IN_C),
    place("pg_ts_parser.prsstart", IN_C),
    place("pg_ts_parser.prstoken", IN_C),
    place("pg_ts_template.tmplinit", IN_C),
    place("pg_ts_template.tmpllexize", IN_C),
    place("pg_type.typanalyze", IN_C),
    place(
        "pg_type.typdefaultbin",
        Trees(
            "SELECT 'typed', t.oid, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid,
                    t.typdefaultbin::pg_catalog.text
               FROM pg_catalog.pg_type AS t WHERE t.typdefaultbin IS NOT NULL AND t.oid >= 16384",
        ),
    ),
    place("pg_type.typinput", of_type!("typinput")),
    place("pg_type.typmodin", of_type!("typmodin")),
    place("pg_type.typmodout", of_type!("typmodout")),
    place("pg_type.typoutput", of_type!("typoutput")),
    place("pg_type.typreceive", of_type!("typreceive")),
    place("pg_type.typsend", of_type!("typsend")),
    place("pg_type.typsubscript", IN_C),
];

/// The query that follows all places: when, the object that runs code (none for `anywhere` and `definitions`), the function.
/// In C, what runs on changes of definitions is believed to leave nothing. No dependency tells of PostgreSQL's own functions, so that trees are searched for those whose names are `$1`.
pub(super) fn query() -> String {
    let followed = |of: fn(Followed) -> Option<&'static str>| -> String {
        let queries: Vec<&str> = PLACES.iter().filter_map(|place| of(place.followed)).collect();
        queries.join("\nUNION ALL\n")
    };
    let functions = followed(|place| if let Functions(query) = place { Some(query) } else { None });
    let trees = followed(|place| if let Trees(query) = place { Some(query) } else { None });
    format!(
        "WITH own AS (
             SELECT ':(?:funcid|opfuncid|aggfnoid|winfnoid) ('
                    || pg_catalog.string_agg(p.oid::pg_catalog.text, '|') || ') ' AS pattern
               FROM pg_catalog.pg_proc AS p WHERE p.oid < 16384 AND p.proname = ANY ($1)
         ), parts (place, object, class, oid, tree) AS (
             {trees}
         ), found (place, object, function) AS (
             {functions}
             UNION ALL
             SELECT p.place, p.object, d.refobjid
               FROM parts AS p
               JOIN pg_catalog.pg_depend AS d ON d.classid = p.class AND d.objid = p.oid
              WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid >= 16384
             UNION ALL
             SELECT p.place, p.object, r.oprcode::pg_catalog.oid
               FROM parts AS p
               JOIN pg_catalog.pg_depend AS d ON d.classid = p.class AND d.objid = p.oid
               JOIN pg_catalog.pg_operator AS r ON r.oid = d.refobjid
              WHERE d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.refobjid >= 16384
             UNION ALL
             SELECT p.place, p.object, m.own[1]::pg_catalog.oid
               FROM parts AS p CROSS JOIN own AS o
              CROSS JOIN LATERAL pg_catalog.regexp_matches(p.tree, o.pattern, 'g') AS m (own)
              WHERE p.tree ~ o.pattern
         )
         SELECT DISTINCT CASE WHEN f.place IN ('anywhere', 'operated', 'typed') AND p.prolang = 13 THEN 'anywhere in C' ELSE f.place END,
                NULLIF(f.object, 0)::pg_catalog.oid, f.function::pg_catalog.oid
           FROM found AS f
           JOIN pg_catalog.pg_proc AS p ON p.oid = f.function
          WHERE NOT (f.place = 'definitions' AND p.prolang = 13)
          LIMIT 100000"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_stands_once_and_is_followed_or_excused() {
        assert!(PLACES.is_sorted_by(|one, next| one.column < next.column));
        for place in PLACES {
            match place.followed {
                Functions(query) | Trees(query) => {
                    let (catalog, column) = place.column.split_once('.').unwrap();
                    assert!(query.contains(catalog) && query.contains(column), "{}", place.column);
                }
                Elsewhere(said) | Never(said) => assert!(said.len() > 10, "{}", place.column),
            }
        }
    }
}
