//! What is asked of the primary to learn which relations ask for the transaction when they are read: when it began, how it
//! was begun, what it has open. Only the query: who runs it and what is made of the answer is elsewhere.

/// Relations by OID: views by their query, tables by their policies for rows. No dependency tells of PostgreSQL's own
/// functions, so that the trees of these are searched for those that are given by name; for `CURRENT_DATE` and its like
/// (`SQLValueFunctionOp` 0 to 8); and for the views of settings and cursors. `current_setting` asks where its first
/// argument is no literal, or one that begins with `transaction_`.
///
/// What a function of a user's asks, nobody knows, unless it is declared IMMUTABLE: then nothing. One that takes a row can
/// be called as if it were a column, which no statement's text tells.
pub(super) const ASKING: &str = r"
    WITH own AS (
        SELECT ':funcid (' || pg_catalog.string_agg(p.oid::pg_catalog.text, '|') || ') ' AS functions,
               ':relid (' || 'pg_catalog.pg_settings'::pg_catalog.regclass::pg_catalog.oid || '|'
                          || 'pg_catalog.pg_cursors'::pg_catalog.regclass::pg_catalog.oid || ') ' AS views
          FROM pg_catalog.pg_proc AS p
         WHERE p.oid < 16384
           AND p.proname = ANY ($1) AND (p.proname <> 'age' OR p.pronargs = 1)
    ), setting AS (
        SELECT ':funcid (' || pg_catalog.string_agg(p.oid::pg_catalog.text, '|') || ') ' AS functions,
               '[^{}]*:args \(\{CONST ' AS literal,
               '[^{}]*:constvalue [0-9]+ \[( -?[0-9]+){4} (116|84) (114|82) (97|65) (110|78) (115|83) (97|65) '
               || '(99|67) (116|84) (105|73) (111|79) (110|78) 95 ' AS transaction
          FROM pg_catalog.pg_proc AS p
         WHERE p.oid < 16384 AND p.proname = 'current_setting'
    ), parts AS (
        SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass AS class, r.oid, r.ev_class AS relation,
               r.ev_action::pg_catalog.text AS tree
          FROM pg_catalog.pg_rewrite AS r
          JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
         WHERE r.ev_type = '1' AND c.relkind = 'v' AND r.oid >= 16384
        UNION ALL
        SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, p.polrelid, p.polqual::pg_catalog.text
          FROM pg_catalog.pg_policy AS p
    ), code AS (
        SELECT p.oid, CASE WHEN p.pronargs - p.pronargdefaults <= 1 THEN p.proargtypes[0] END AS argument
          FROM pg_catalog.pg_proc AS p
         WHERE p.oid >= 16384 AND p.prokind NOT IN ('a', 'p') AND p.provolatile <> 'i'
        UNION ALL
        SELECT a.aggfnoid, NULL
          FROM pg_catalog.pg_aggregate AS a
          JOIN pg_catalog.pg_proc AS f ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
                   a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
         WHERE a.aggfnoid::pg_catalog.oid >= 16384 AND f.oid >= 16384 AND f.provolatile <> 'i'
    ), called AS (
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, c.oid FROM code AS c
        UNION ALL
        SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid
          FROM pg_catalog.pg_operator AS o JOIN code AS c ON c.oid = o.oprcode
    )
    SELECT p.relation
      FROM parts AS p, own AS o, setting AS s
     WHERE p.tree ~ o.functions OR p.tree ~ o.views OR p.tree ~ '\{SQLVALUEFUNCTION :op [0-8] '
        OR p.tree ~ s.functions
           AND (p.tree ~ (s.functions || s.literal || s.transaction)
                OR pg_catalog.regexp_replace(p.tree, s.functions || s.literal, '', 'g') ~ s.functions)
    UNION
    SELECT p.relation
      FROM parts AS p
      JOIN pg_catalog.pg_depend AS d ON d.classid = p.class AND d.objid = p.oid
      JOIN called AS c ON c.class = d.refclassid AND c.oid = d.refobjid
    UNION
    SELECT y.typrelid
      FROM code AS c
      JOIN pg_catalog.pg_type AS y ON y.oid = c.argument
     WHERE y.typrelid <> 0
     LIMIT 100000";
