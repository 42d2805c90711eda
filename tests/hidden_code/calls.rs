//! The ways in which clients call what there is to be called.

use harness::Dice;

use crate::carriers::Use;

/// A query around a value. `{e}` stands for the value.
const AROUND_A_VALUE: &[&str] = &[
    "SELECT {e}",
    "SELECT {e} AS x",
    "SELECT 1 WHERE ({e}) IS NOT NULL",
    "SELECT id FROM items ORDER BY ({e}), id",
    "SELECT id FROM items WHERE id = 1 AND ({e}) IS NOT NULL",
    "SELECT CASE WHEN true THEN ({e})::text END",
    "SELECT coalesce(({e})::text, 'x')",
    "VALUES ({e})",
    "WITH w AS (SELECT {e} AS x) SELECT * FROM w",
    "WITH w AS MATERIALIZED (SELECT {e} AS x) SELECT x FROM w",
    "SELECT (SELECT {e})",
    "SELECT * FROM (SELECT {e} AS x OFFSET 0) s",
    "SELECT i.id FROM items i JOIN items j ON i.id = j.id AND ({e}) IS NOT NULL ORDER BY 1",
    "SELECT id FROM items ORDER BY id LIMIT (SELECT count(*) FROM (SELECT {e}) s)",
    "SELECT array[{e}]",
    "SELECT ROW({e})",
    "SELECT EXISTS (SELECT {e} AS x OFFSET 0)",
    "SELECT count(*) FILTER (WHERE ({e}) IS NOT NULL) FROM items",
    "SELECT count(*) FROM items GROUP BY ({e})",
    "SELECT count(*) FROM items HAVING ({e}) IS NOT NULL",
    "SELECT row_number() OVER (ORDER BY ({e})) FROM items",
    "SELECT 'a' UNION ALL SELECT ({e})::text",
    "SELECT xmlelement(name a, ({e})::text)",
    "SELECT json_build_object('a', ({e})::text)",
    "SELECT DISTINCT ({e})::text",
    "SELECT ({e}) IS NULL, ({e})::text",
    "SELECT x FROM items, LATERAL (SELECT ({e})::text AS x) s",
    "SELECT unnest(array[{e}])",
    "TABLE items UNION ALL SELECT length(({e})::text)",
    "/* weir: replica */ SELECT {e}",
];

/// A query around a value of the rows of something: `{f}` is what, `{e}` the value.
const AROUND_ROWS: &[&str] = &[
    "SELECT {e} FROM {f}",
    "SELECT ({e})::text AS x FROM {f} ORDER BY 1",
    "SELECT 1 FROM {f} WHERE ({e}) IS NOT NULL",
    "SELECT count(({e})::text) FROM {f}",
    "SELECT 1 FROM {f} ORDER BY ({e})::text",
    "SELECT count(*) FROM {f} GROUP BY ({e})::text",
    "SELECT max(x) FROM (SELECT ({e})::text AS x FROM {f}) AS ss",
    "WITH w AS (SELECT {e} AS x FROM {f}) SELECT x::text FROM w",
    "SELECT EXISTS (SELECT FROM {f} WHERE ({e}) IS NOT NULL)",
    "SELECT array_agg(({e})::text) FROM {f}",
    "SELECT (SELECT ({e})::text FROM {f} LIMIT 1)",
    "/* weir: replica */ SELECT {e} FROM {f}",
];

/// Statements around a query, `{q}`.
const AROUND_A_QUERY: &[&str] = &[
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {q}",
    "EXPLAIN {q}",
    "COPY ({q}) TO STDOUT",
    "CREATE TABLE made AS {q}; DROP TABLE made",
    "INSERT INTO sink SELECT count(*)::text FROM ({q}) AS s",
    "SELECT count(*) FROM ({q}) AS s",
    "WITH w AS ({q}) SELECT count(*) FROM w",
    "SELECT s::text FROM ({q}) AS s",
    "DO $do$ BEGIN PERFORM * FROM ({q}) AS s; END $do$",
    "BEGIN; DECLARE c CURSOR FOR {q}; FETCH ALL FROM c; COMMIT",
    "BEGIN; {q}; COMMIT",
    "{q}; SELECT 1",
    "CREATE VIEW made AS {q}; SELECT * FROM made; DROP VIEW made",
];

/// Statements that are said one after the other, around a query.
const ONE_BY_ONE: &[&[&str]] = &[
    &["PREPARE p AS {q}", "EXECUTE p", "EXECUTE p", "DEALLOCATE p"],
    &["BEGIN", "DECLARE c CURSOR FOR {q}", "FETCH 1 FROM c", "FETCH ALL FROM c", "CLOSE c", "COMMIT"],
    &["BEGIN", "SELECT count(*) FROM items", "{q}", "COMMIT"],
    &["BEGIN", "{q}", "ROLLBACK"],
    &["BEGIN READ ONLY", "{q}", "COMMIT"],
    &["BEGIN", "SAVEPOINT s", "{q}", "ROLLBACK TO s", "COMMIT"],
    &["BEGIN ISOLATION LEVEL REPEATABLE READ", "{q}", "COMMIT"],
];

/// How something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Simple(String),
    /// Parse, Bind, Describe and Execute of the unnamed statement.
    Extended(String),
    /// The same of a named one, which is then executed once more.
    Named(String),
    /// With a parameter.
    Bound(String, &'static str),
    /// A COPY and its data.
    Copy(String, &'static str),
    /// Simple queries in one write.
    Ahead(Vec<String>),
    /// Parse and Describe, and nothing that is run.
    Described(String),
}

fn query(used: &Use, dice: &mut Dice) -> Option<String> {
    match used {
        Use::Value(e) => Some(dice.pick::<&str>(AROUND_A_VALUE).replace("{e}", e)),
        Use::Of(f, e) => Some(dice.pick::<&str>(AROUND_ROWS).replace("{e}", e).replace("{f}", f)),
        Use::Query(q) => Some(q.clone()),
        Use::Statement(_) | Use::Bound(..) | Use::Copy(..) => None,
    }
}

/// A statement by one protocol or the other.
fn protocol(sql: String, dice: &mut Dice) -> Say {
    // A string of several is no statement of the extended protocol.
    if sql.contains("; ") {
        return Say::Simple(sql);
    }
    match dice.between(0, 12) {
        0..6 => Say::Simple(sql),
        6..8 => Say::Extended(sql),
        8..10 => Say::Named(sql),
        10 => Say::Ahead(vec!["SELECT count(*) FROM items".to_owned(), sql]),
        _ => Say::Described(sql),
    }
}

/// What a client says to use something.
pub(crate) fn call(used: &Use, dice: &mut Dice) -> Vec<Say> {
    match used {
        Use::Bound(sql, value) => return vec![Say::Bound(sql.clone(), value)],
        Use::Copy(relation, line) => return vec![Say::Copy(format!("COPY {relation} FROM STDIN"), line)],
        Use::Statement(sql) => {
            return match dice.between(0, 6) {
                0 => in_turn(&["BEGIN", "SELECT count(*) FROM items", "{q}", "COMMIT"], sql, dice),
                1 => in_turn(&["BEGIN", "{q}", "ROLLBACK"], sql, dice),
                _ => vec![protocol(sql.clone(), dice)],
            };
        }
        Use::Value(_) | Use::Of(..) | Use::Query(_) => {}
    }
    let Some(q) = query(used, dice) else { return Vec::new() };
    match dice.between(0, 10) {
        0..5 => vec![protocol(q, dice)],
        5..8 => vec![protocol(dice.pick::<&str>(AROUND_A_QUERY).replace("{q}", &q), dice)],
        _ => {
            let turns = *dice.pick(ONE_BY_ONE);
            in_turn(turns, &q, dice)
        }
    }
}

fn in_turn(turns: &[&str], q: &str, dice: &mut Dice) -> Vec<Say> {
    turns
        .iter()
        .map(|turn| match turn.contains("{q}") && !turn.contains("PREPARE") {
            true => protocol(turn.replace("{q}", q), dice),
            false => Say::Simple(turn.replace("{q}", q)),
        })
        .collect()
}
