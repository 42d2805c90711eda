//! Types: domains, alone and inside of others, and types whose order is the user's.

use super::{Kind, Maker};

pub(super) const CARRIERS: &[Kind] = &[
    ("domain", domain),
    ("domain in a type", inside),
    ("domain in a function", in_function),
    ("default of a domain", default),
    ("shadowed type", shadowed),
    ("order of a type", order),
];

/// A domain whose constraint acts.
fn checked(maker: &mut Maker) -> String {
    let (n, code) = (maker.n.clone(), maker.code());
    let bare = maker.act == crate::acts::Act::Lock && maker.dice.percent(30);
    let condition =
        if bare { "pg_try_advisory_lock(VALUE)".to_owned() } else { format!("({code}) IS NOT NULL") };
    maker.owner(format!("CREATE DOMAIN public.{n}_d AS int CHECK ({condition})"));
    if maker.dice.percent(30) {
        maker.owner(format!("CREATE DOMAIN public.{n}_e AS {n}_d NOT NULL"));
        return format!("{n}_e");
    }
    format!("{n}_d")
}

fn domain(maker: &mut Maker) {
    let d = checked(maker);
    let n = maker.n.clone();
    maker.value(format!("1::{d}"));
    maker.value(format!("CAST(1 AS public.{d})"));
    maker.value(format!("{d} '1'"));
    maker.value(format!("'{{1,2}}'::{d}[]"));
    maker.value(format!("ARRAY[1]::{d}[]"));
    maker.value(format!("1::\"{d}\""));
    maker.of("items", format!("id::{d}"));
    maker.of(format!("jsonb_to_record('{{\"a\":1}}') AS r (a {d})"), "r.a");
    maker.of(format!("json_to_recordset('[{{\"a\":1}}]') AS r (a {d})"), "r.a");
    maker.of(format!("XMLTABLE('/r' PASSING '<r><a>1</a></r>'::xml COLUMNS a {d}) AS r"), "r.a");
    maker.bound(format!("SELECT $1::{d}"), "1");
    maker.owner(format!("CREATE TABLE {n}_t (id {d})"));
    maker.statement(format!("INSERT INTO {n}_t VALUES (1)"));
    maker.copy(format!("{n}_t"), "1\n");
}

fn inside(maker: &mut Maker) {
    let d = checked(maker);
    let n = maker.n.clone();
    maker.owner(format!("CREATE TYPE {n}_c AS (a {d})"));
    maker.owner(format!("CREATE TYPE {n}_r AS RANGE (SUBTYPE = {d})"));
    maker.owner(format!("CREATE TABLE {n}_t (c {n}_c)"));
    maker.value(format!("ROW(1)::{n}_c"));
    maker.value(format!("'(1)'::{n}_c"));
    maker.value(format!("(jsonb_populate_record(NULL::{n}_c, '{{\"a\": 1}}')).a"));
    maker.value(format!("'{{(1)}}'::{n}_c[]"));
    maker.value(format!("'[1,2]'::{n}_r"));
    maker.value(format!("'{{[1,2]}}'::{n}_r[]"));
    maker.bound(format!("SELECT $1::{n}_c"), "(1)");
    maker.statement(format!("INSERT INTO {n}_t VALUES ('(1)')"));
    maker.copy(format!("{n}_t"), "(1)\n");
}

fn in_function(maker: &mut Maker) {
    let d = checked(maker);
    let n = maker.n.clone();
    let claim = *maker.dice.pick(&["STABLE", "IMMUTABLE"]);
    for (name, rest) in [
        ("takes", format!("(x {d}) RETURNS int LANGUAGE plpgsql {claim} AS 'BEGIN RETURN 1; END'")),
        ("gives", format!("(x int) RETURNS {d} LANGUAGE sql {claim} AS 'SELECT 1'")),
        (
            "holds",
            format!(
                "(x int) RETURNS int LANGUAGE plpgsql {claim} AS 'DECLARE v public.{d} := 1; BEGIN RETURN v; END'"
            ),
        ),
        ("casts", format!("(x int) RETURNS int LANGUAGE sql {claim} AS 'SELECT x::public.{d}'")),
    ] {
        maker.owner(format!("CREATE FUNCTION public.{n}_{name}{rest}"));
        maker.value(format!("{n}_{name}(1)"));
    }
    maker.owner(format!("CREATE VIEW {n}_v AS SELECT id::{d} AS a FROM items"));
    maker.query(format!("TABLE {n}_v"));
    maker.of(format!("{n}_v"), "a");
}

fn default(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE DOMAIN public.{n}_d AS int DEFAULT {code}"));
    maker.owner(format!("CREATE TABLE {n}_t (id int, x {n}_d)"));
    maker.statement(format!("INSERT INTO {n}_t (id) VALUES (1)"));
    maker.statement(format!("INSERT INTO {n}_t DEFAULT VALUES RETURNING x"));
    maker.copy(format!("{n}_t (id)"), "1\n");
    maker.statement(format!("UPDATE {n}_t SET x = DEFAULT"));
}

/// A domain under the name of one of PostgreSQL's own types, found before it.
fn shadowed(maker: &mut Maker) {
    let code = maker.code();
    let name = *maker.dice.pick(&["text", "int4", "name"]);
    let base = if name == "int4" { "pg_catalog.int4" } else { "pg_catalog.text" };
    maker.owner(format!("CREATE DOMAIN public.{name} AS {base} CHECK (({code}) IS NOT NULL)"));
    maker.made.first = Some("SET search_path = public, pg_catalog".into());
    maker.value(format!("'1'::{name}"));
    maker.value(format!("CAST('1' AS {name})"));
    maker.value(format!("{name} '1'"));
    maker.value(format!("'1'::public.{name}"));
}

/// A type that is compared by code.
fn order(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.owner(format!("CREATE TYPE {n}_c AS (a int)"));
    let compare = format!("public.{n}_cmp");
    let code = maker.code();
    let value = format!("($1).a - ($2).a + 0 * ({code})");
    maker.function_of(&compare, &format!("{n}_c, {n}_c"), "int", &value, super::Claim::Any);
    for (name, sign) in [("lt", "<"), ("le", "<="), ("eq", "="), ("ge", ">="), ("gt", ">")] {
        let claim = *maker.dice.pick(&["IMMUTABLE", "STABLE"]);
        maker.owner(format!(
            "CREATE FUNCTION public.{n}_{name}({n}_c, {n}_c) RETURNS bool LANGUAGE sql {claim} AS 'SELECT public.{n}_cmp($1, $2) {sign} 0'"
        ));
        maker.owner(format!(
            "CREATE OPERATOR public.{sign} (LEFTARG = {n}_c, RIGHTARG = {n}_c, FUNCTION = {n}_{name})"
        ));
    }
    maker.superuser(format!(
        "CREATE OPERATOR CLASS public.{n}_ops DEFAULT FOR TYPE {n}_c USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 {compare}({n}_c, {n}_c)"
    ));
    let some = format!("(VALUES (ROW(1)::{n}_c), (ROW(2)::{n}_c), (ROW(1)::{n}_c)) AS s (c)");
    maker.query(format!("SELECT c FROM {some} ORDER BY c"));
    maker.query(format!("SELECT DISTINCT c FROM {some}"));
    maker.query(format!("SELECT c, count(*) FROM {some} GROUP BY c"));
    maker.query(format!("SELECT c FROM {some} ORDER BY c USING OPERATOR(public.>)"));
    maker.query(format!("SELECT rank() OVER (ORDER BY c) FROM {some}"));
    maker.query(format!("SELECT c FROM {some} UNION SELECT ROW(3)::{n}_c"));
    maker.query(format!("SELECT c FROM {some} JOIN (VALUES (ROW(1)::{n}_c)) AS t (c) USING (c)"));
    maker.value(format!("ROW(1)::{n}_c = ROW(2)::{n}_c"));
    maker.value(format!("ROW(1)::{n}_c IN (ROW(2)::{n}_c, ROW(1)::{n}_c)"));
    maker.value(format!("CASE ROW(1)::{n}_c WHEN ROW(2)::{n}_c THEN 1 ELSE 2 END"));
    maker.value(format!("nullif(ROW(1)::{n}_c, ROW(2)::{n}_c)"));
    maker.value(format!("ROW(1)::{n}_c IS DISTINCT FROM ROW(2)::{n}_c"));
    maker.value(format!("ROW(1)::{n}_c BETWEEN ROW(0)::{n}_c AND ROW(2)::{n}_c"));
    maker.value(format!("array_position(ARRAY[ROW(1)::{n}_c], ROW(2)::{n}_c)"));
    maker.value(format!("ARRAY[ROW(1)::{n}_c] < ARRAY[ROW(2)::{n}_c]"));
    maker.value(format!("greatest(ROW(1)::{n}_c, ROW(2)::{n}_c)"));
}
