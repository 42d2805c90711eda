//! Functions: by name, under the names of PostgreSQL's own, as attributes, behind operators, casts and aggregates.

use super::{Claim, Kind, Maker, as_type};

pub(super) const CARRIERS: &[Kind] = &[
    ("function", function),
    ("overload", overload),
    ("shadowed function", shadowed),
    ("shadowed in a function", shadowed_within),
    ("backslashes", backslashes),
    ("odd body", odd_body),
    ("set-returning function", set_returning),
    ("default argument", default_argument),
    ("alias of an own function", alias),
    ("attribute", attribute),
    ("attribute of a type", attribute_of_type),
    ("operator", operator),
    ("operator on an own function", bare_operator),
    ("shadowed operator", shadowed_operator),
    ("cast", cast),
    ("implicit cast", implicit_cast),
    ("cast by an own function", bare_cast),
    ("aggregate", aggregate),
    ("final function", final_function),
    ("overloaded aggregate", overloaded_aggregate),
    ("procedure", procedure),
    ("no object", nothing),
    ("text that is run", text),
];

fn function(maker: &mut Maker) {
    let name = maker.name();
    maker.function(&name, "", "int");
    let short = name.trim_start_matches("public.").to_owned();
    maker.value(format!("{name}()"));
    maker.value(format!("{short} ( )"));
    maker.value(format!("{short} /* ( */ ()"));
    maker.of(format!("{short}() AS f (x)"), "x");
    maker.of(format!("ROWS FROM ({name}(), generate_series(1, 2)) AS f (x, y)"), "f.x");
    maker.of(format!("items i, LATERAL {name}() x"), "i.id + x");
    maker.query(format!("SELECT * FROM {name}()"));
}

/// A name of PostgreSQL's own with other arguments.
fn overload(maker: &mut Maker) {
    let (name, arguments, call) = *maker.dice.pick(&[
        ("upper", "point", "upper(point '(1,2)')"),
        ("log", "text", "log('x'::text)"),
        ("lower", "int", "lower(1)"),
        ("now", "int", "now(1)"),
        ("abs", "text", "abs('x'::text)"),
        ("round", "text", "round('x'::text)"),
        ("md5", "int", "md5(1)"),
        ("version", "int", "pg_catalog.abs(version(1))"),
        ("to_char", "point, text", "to_char(point '(1,2)', 'x')"),
        ("replace", "int, int, int", "replace(1, 2, 3)"),
        ("length", "int", "length(1)"),
        ("generate_series", "text", "generate_series('x'::text)"),
        ("concat", "point", "concat(point '(1,2)')"),
        ("random", "text", "random('x'::text)"),
        ("left", "point, int", "\"left\"(point '(1,2)', 1)"),
        ("numeric_add", "text, text", "numeric_add('x'::text, 'y'::text)"),
        ("date_part", "int, int", "date_part(1, 2)"),
    ]);
    let schema = *maker.dice.pick(&["public.", ""]);
    maker.function(&format!("{schema}{name}"), arguments, "int");
    maker.value(call);
    maker.of("items", call);
    maker.of(format!("(SELECT {call} AS x) s"), "s.x");
}

/// A name and arguments of PostgreSQL's own, found before it.
fn shadowed(maker: &mut Maker) {
    let (name, arguments, returns, call) = *maker.dice.pick(&[
        ("lower", "text", "text", "lower('X'::text)"),
        ("now", "", "text", "now()"),
        ("abs", "int", "int", "abs(-1)"),
        ("length", "text", "int", "length('abc'::text)"),
        ("random", "", "float8", "random()"),
    ]);
    maker.function(&format!("public.{name}"), arguments, returns);
    maker.made.first = Some("SET search_path = public, pg_catalog".into());
    maker.value(call);
    maker.of("items", call);
}

fn shadowed_within(maker: &mut Maker) {
    let code = maker.code();
    maker.function_of("public.lower", "text", "text", &as_type(&code, "text"), Claim::Called);
    let name = maker.name();
    let claim = *maker.dice.pick(&["STABLE", "IMMUTABLE", "VOLATILE"]);
    let language = *maker.dice.pick(&["sql", "plpgsql"]);
    let body =
        if language == "sql" { "SELECT lower('X'::text)" } else { "BEGIN RETURN lower('X'::text); END" };
    maker.owner(format!(
        "CREATE FUNCTION {name}() RETURNS text LANGUAGE {language} {claim} SET search_path = public, pg_catalog AS $s$ {body} $s$"
    ));
    maker.value(format!("{name}()"));
    maker.of("items", format!("{name}()"));
}

/// A body that is code or a string, by a setting of whoever calls it.
fn backslashes(maker: &mut Maker) {
    let (name, code) = (maker.name(), maker.code());
    let claim = *maker.dice.pick(&["STABLE", "VOLATILE"]);
    let own = maker.dice.percent(50);
    let clause =
        if own { "SET standard_conforming_strings = off SET escape_string_warning = off" } else { "" };
    let value = format!(r"'\'' || ({code})::text || '\''");
    let body = match maker.dice.percent(50) {
        true => format!("LANGUAGE sql {clause} AS $s$ SELECT {value} $s$"),
        false => format!("LANGUAGE plpgsql {clause} AS $s$ BEGIN RETURN {value}; END $s$"),
    };
    maker.owner("SET standard_conforming_strings = off; SET escape_string_warning = off");
    maker.owner(format!("CREATE FUNCTION {name}() RETURNS text {claim} {body}"));
    maker.owner("RESET standard_conforming_strings");
    if !own {
        maker.made.first =
            Some("SET standard_conforming_strings = off; SET escape_string_warning = off".into());
    }
    maker.value(format!("{name}()"));
    maker.of("items", format!("{name}()"));
}

/// Bodies that name what they call in other letters, or put its name together.
fn odd_body(maker: &mut Maker) {
    let (n, name, code) = (maker.n.clone(), maker.name(), maker.code());
    maker.owner(format!(
        "CREATE FUNCTION public.{n}_reached() RETURNS int LANGUAGE sql AS $w$ SELECT {code} $w$"
    ));
    maker.owner(format!("CREATE VIEW public.{n}_shown AS SELECT {code} AS a"));
    let claim = *maker.dice.pick(&["STABLE", "VOLATILE"]);
    let run = |text: &str| format!("DECLARE r int; BEGIN EXECUTE {text} INTO r; RETURN r; END");
    let body = match maker.dice.between(0, 8) {
        0 => format!(r#"BEGIN RETURN public.U&"{n}_re\0061ched"(); END"#),
        1 => format!(r#"BEGIN RETURN U&"{n}_re!0061ched" UESCAPE '!' (); END"#),
        2 => run(&format!("format('SELECT a FROM %I', '{n}_shown')")),
        3 => run(&format!("format('SELECT %I()', '{n}_reached')")),
        4 => run(&format!("concat('SELECT {n}_re', 'ached()')")),
        5 => format!(
            "DECLARE c refcursor; r int; BEGIN OPEN c FOR SELECT {n}_reached(); FETCH c INTO r; RETURN r; END"
        ),
        6 => format!("BEGIN ASSERT {n}_reached() IS NOT NULL; RETURN 1; END"),
        _ => format!("BEGIN PERFORM 1 / 0; RETURN 2; EXCEPTION WHEN OTHERS THEN RETURN {n}_reached(); END"),
    };
    maker.owner(format!("CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql {claim} AS $s$ {body} $s$"));
    maker.value(format!("{name}()"));
    maker.of("items", format!("{name}()"));
}

fn set_returning(maker: &mut Maker) {
    let (name, code) = (maker.name(), maker.code());
    let claim = *maker.dice.pick(&["STABLE", "IMMUTABLE", "VOLATILE"]);
    let sql = if maker.dice.percent(50) {
        format!(
            "CREATE FUNCTION {name}() RETURNS SETOF int LANGUAGE sql {claim} AS $s$ SELECT {code} UNION ALL SELECT 2 $s$"
        )
    } else {
        format!(
            "CREATE FUNCTION {name}() RETURNS TABLE (x int) LANGUAGE plpgsql {claim} AS $s$ BEGIN RETURN QUERY SELECT {code}; END $s$"
        )
    };
    maker.owner(sql);
    maker.query(format!("SELECT {name}()"));
    maker.of(format!("{name}() AS s (x)"), "x");
    maker.of(format!("items LEFT JOIN LATERAL {name}() WITH ORDINALITY AS s (x, n) ON true"), "x");
}

fn default_argument(maker: &mut Maker) {
    let (name, code) = (maker.name(), maker.code());
    let claim = *maker.dice.pick(&["STABLE", "IMMUTABLE"]);
    maker.owner(format!(
        "CREATE FUNCTION {name}(a int DEFAULT 1, b int DEFAULT {code}) RETURNS int LANGUAGE sql {claim} AS 'SELECT $2'"
    ));
    maker.value(format!("{name}()"));
    maker.value(format!("{name}(2)"));
    maker.value(format!("{name}(a => 3)"));
}

/// A function of PostgreSQL's own under a name of the user's.
fn alias(maker: &mut Maker) {
    let Some(bare) = maker.act.operator() else { return function(maker) };
    let claim = *maker.dice.pick(&["VOLATILE", "STABLE", "IMMUTABLE"]);
    let left = bare.left.map(|(of, value)| (format!("{of}, "), format!("{value}, "))).unwrap_or_default();
    let returns = match bare.function {
        "nextval" => "bigint",
        "current_setting" => "text",
        _ => "void",
    };
    let name = maker.name();
    maker.superuser(format!(
        "CREATE FUNCTION {name}({}{}) RETURNS {returns} LANGUAGE internal STRICT {claim} AS '{}'",
        left.0, bare.right.0, bare.source
    ));
    maker.value(format!("{name}({}{})::text", left.1, bare.right.1));
}

fn attribute(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.owner(format!("CREATE TABLE {n}_t (id int); INSERT INTO {n}_t VALUES (1), (2)"));
    maker.owner(format!("CREATE VIEW {n}_v AS SELECT * FROM {n}_t"));
    let on = *maker.dice.pick(&["t", "t", "v"]);
    maker.function(&format!("public.{n}_more"), &format!("{n}_{on}"), "int");
    maker.of(format!("{n}_{on} t"), format!("t.{n}_more"));
    maker.of(format!("public.{n}_{on} AS t"), format!("(t).{n}_more"));
    maker.of(format!("public.{n}_{on}"), format!("{n}_{on}.\"{n}_more\""));
    maker.of(format!("{n}_{on} t"), format!("{n}_more(t)"));
    maker.of(format!("(SELECT t AS c FROM {n}_{on} AS t) s"), format!("(s.c).{n}_more"));
    maker.of(format!("{n}_{on} AS t (other)"), format!("t.{n}_more"));
    maker.value(format!("(ROW(1)::{n}_{on}).{n}_more"));
    maker.value(format!("((SELECT t FROM {n}_{on} t LIMIT 1)).{n}_more"));
    maker.value(format!("(NULL::{n}_{on}).{n}_more"));
    maker.statement(format!("UPDATE {n}_t SET id = id + 1 RETURNING 1"));
    maker.query(format!("WITH w AS (SELECT t AS c FROM {n}_{on} t) SELECT (c).{n}_more FROM w"));
}

fn attribute_of_type(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.owner(format!("CREATE TYPE {n}_c AS (a int)"));
    maker.function(&format!("public.{n}_more"), &format!("{n}_c"), "int");
    maker.value(format!("(ROW(1)::{n}_c).{n}_more"));
    maker.value(format!("('(1)'::{n}_c).{n}_more"));
    maker.value(format!("(CAST(ROW(1) AS public.{n}_c)) . \"{n}_more\""));
    maker.of(format!("(VALUES (ROW(1)::{n}_c)) AS s (c)"), format!("(c).{n}_more"));
    maker.of(format!("unnest(ARRAY[ROW(1)::{n}_c]) AS s"), format!("s.{n}_more"));
    maker.bound(format!("SELECT ($1::{n}_c).{n}_more"), "(1)");
}

fn operator(maker: &mut Maker) {
    let n = maker.n.clone();
    let returns = *maker.dice.pick(&["bool", "int"]);
    maker.function(&format!("public.{n}_both"), "int, int", returns);
    maker.function(&format!("public.{n}_one"), "int", "int");
    maker.owner(format!(
        "CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = public.{n}_both)"
    ));
    maker.owner(format!("CREATE OPERATOR public.@#@ (RIGHTARG = int, FUNCTION = public.{n}_one)"));
    maker.value("1 === 2");
    maker.value("1 OPERATOR(public.===) 2");
    maker.value("@#@ 1");
    maker.value("OPERATOR(public.@#@) 1");
    maker.of("items", "id === 1");
    maker.of("items", "@#@ id");
    if returns == "bool" {
        maker.value("1 === ANY (ARRAY[1, 2])");
        maker.of("items", "id === ALL (SELECT id FROM items)");
        maker.query("SELECT i.id FROM items i JOIN items j ON i.id === j.id ORDER BY 1");
    }
}

fn bare_operator(maker: &mut Maker) {
    let Some(bare) = maker.act.operator() else { return operator(maker) };
    let name = *maker.dice.pick(&["@!@", "~~>", "##"]);
    let left = bare.left.map(|(of, _)| format!("LEFTARG = {of}, ")).unwrap_or_default();
    maker.owner(format!(
        "CREATE OPERATOR public.{name} ({left}RIGHTARG = {}, FUNCTION = {})",
        bare.right.0, bare.function
    ));
    let operand = bare.left.map(|(_, value)| value).unwrap_or_default();
    maker.value(format!("({operand} {name} {})::text", bare.right.1));
    maker.value(format!("({operand} OPERATOR(public.{name}) {})::text", bare.right.1));
}

fn shadowed_operator(maker: &mut Maker) {
    let n = maker.n.clone();
    let (name, returns) = *maker.dice.pick(&[("+", "int"), ("=", "bool"), ("<", "bool")]);
    maker.function(&format!("public.{n}_both"), "int, int", returns);
    maker.owner(format!(
        "CREATE OPERATOR public.{name} (LEFTARG = int, RIGHTARG = int, FUNCTION = public.{n}_both)"
    ));
    maker.made.first = Some("SET search_path = public, pg_catalog".into());
    maker.value(format!("1 {name} 2"));
    maker.value(format!("1 OPERATOR(public.{name}) 2"));
    maker.of("items", format!("id {name} 1"));
}

fn cast(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.owner(format!("CREATE TYPE {n}_c AS (a int)"));
    maker.function(&format!("public.{n}_from"), &format!("{n}_c"), "int");
    maker.function(&format!("public.{n}_to"), "int", &format!("{n}_c"));
    maker.owner(format!("CREATE CAST ({n}_c AS int) WITH FUNCTION public.{n}_from({n}_c)"));
    maker.owner(format!("CREATE CAST (int AS {n}_c) WITH FUNCTION public.{n}_to(int)"));
    maker.value(format!("ROW(1)::{n}_c::int"));
    maker.value(format!("CAST(ROW(1)::{n}_c AS int)"));
    maker.value(format!("1::{n}_c"));
    maker.of("items", format!("CAST(id AS public.{n}_c)"));
    maker.value(format!("ARRAY[1, 2]::{n}_c[]"));
    maker.bound(format!("SELECT $1::int::{n}_c"), "1");
}

fn implicit_cast(maker: &mut Maker) {
    let n = maker.n.clone();
    let how = *maker.dice.pick(&["AS IMPLICIT", "AS ASSIGNMENT"]);
    maker.owner(format!("CREATE TYPE {n}_c AS (a int); CREATE TABLE {n}_t (x int)"));
    maker.owner(format!("CREATE TABLE {n}_s (c {n}_c); INSERT INTO {n}_s VALUES (ROW(1)), (ROW(2))"));
    maker.function(&format!("public.{n}_from"), &format!("{n}_c"), "int");
    maker.owner(format!("CREATE CAST ({n}_c AS int) WITH FUNCTION public.{n}_from({n}_c) {how}"));
    maker.statement(format!("INSERT INTO {n}_t SELECT c FROM {n}_s"));
    if how == "AS IMPLICIT" {
        maker.value(format!("1 + ROW(1)::{n}_c"));
        maker.value(format!("abs(ROW(1)::{n}_c)"));
        maker.of(format!("{n}_s"), format!("{n}_s.c + 1"));
        maker.of(format!("{n}_s"), "abs(c)");
        maker.query(format!("SELECT 1 LIMIT (ROW(1)::{n}_c)"));
    }
}

fn bare_cast(maker: &mut Maker) {
    let how = *maker.dice.pick(&["", "AS IMPLICIT"]);
    maker.act = crate::acts::Act::Lock;
    maker.made.act = maker.act;
    maker.superuser(format!(
        "CREATE CAST (bigint AS bool) WITH FUNCTION pg_catalog.pg_try_advisory_lock(bigint) {how}"
    ));
    maker.value("77::bigint::bool");
    maker.value("CAST(77::bigint AS boolean)");
    maker.of("items", "id::bigint::bool");
    if !how.is_empty() {
        maker.query("SELECT id FROM items WHERE 77::bigint");
    }
}

fn aggregate(maker: &mut Maker) {
    let n = maker.n.clone();
    maker.function(&format!("public.{n}_step"), "int, int", "int");
    maker.owner(format!("CREATE AGGREGATE {n}_all(int) (SFUNC = {n}_step, STYPE = int, INITCOND = '0')"));
    used(maker, &format!("{n}_all"), "id");
}

fn final_function(maker: &mut Maker) {
    let n = maker.n.clone();
    if maker.act == crate::acts::Act::Lock && maker.dice.percent(50) {
        maker.owner(format!(
            "CREATE AGGREGATE {n}_all(bigint) (SFUNC = int8pl, STYPE = bigint, INITCOND = '0', FINALFUNC = pg_try_advisory_lock)"
        ));
        return used(maker, &format!("{n}_all"), "id::bigint");
    }
    maker.function(&format!("public.{n}_end"), "int", "int");
    maker.owner(format!(
        "CREATE AGGREGATE {n}_all(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = {n}_end)"
    ));
    used(maker, &format!("{n}_all"), "id");
}

fn overloaded_aggregate(maker: &mut Maker) {
    let n = maker.n.clone();
    let name = *maker.dice.pick(&["sum", "max", "count", "array_agg"]);
    maker.owner(format!("CREATE TYPE {n}_c AS (a int)"));
    maker.function(&format!("public.{n}_step"), &format!("int, {n}_c"), "int");
    maker.owner(format!(
        "CREATE AGGREGATE public.{name}({n}_c) (SFUNC = {n}_step, STYPE = int, INITCOND = '0')"
    ));
    used(maker, name, &format!("ROW(id)::{n}_c"));
}

/// An aggregate is used.
fn used(maker: &mut Maker, name: &str, argument: &str) {
    maker.query(format!("SELECT {name}({argument}) FROM items"));
    maker.query(format!("SELECT {name}({argument}) OVER (ORDER BY id) FROM items"));
    maker
        .query(format!("SELECT {name}({argument}) FILTER (WHERE id > 1) FROM items GROUP BY id ORDER BY id"));
    maker
        .query(format!("SELECT id FROM items GROUP BY id HAVING {name}({argument}) IS NOT NULL ORDER BY id"));
    maker.value(format!("(SELECT {name}({argument}) FROM items)"));
}

fn procedure(maker: &mut Maker) {
    let (n, code) = (maker.n.clone(), maker.code());
    maker.owner(format!("CREATE PROCEDURE {n}_do() LANGUAGE plpgsql AS $p$ BEGIN PERFORM {code}; END $p$"));
    maker.statement(format!("CALL {n}_do()"));
    maker.statement(format!("DO $d$ BEGIN CALL {n}_do(); END $d$"));
    maker.statement(format!("DO $d$ BEGIN PERFORM {code}; END $d$"));
    maker.statement(format!(
        "DO 'DECLARE q text := $q$SELECT {}$q$; BEGIN EXECUTE q; END'",
        code.replace('\'', "''")
    ));
}

/// What PostgreSQL itself has is enough.
fn nothing(maker: &mut Maker) {
    use crate::acts::Act;
    match maker.act {
        Act::Setting | Act::Zone | Act::Path | Act::Role => {
            maker.act = Act::Zone;
            maker.made.act = Act::Zone;
            maker.statement("UPDATE pg_settings SET setting = 'Asia/Kolkata' WHERE name = 'TimeZone'");
            maker.query(
                "SELECT set_config(name, 'Asia/Kolkata', false) FROM pg_settings WHERE name = 'TimeZone'",
            );
            maker.value("set_config('Time' || 'Zone', 'Asia/Kolkata', false)");
        }
        _ => {}
    }
    match maker.act.expression() {
        Some(own) => {
            maker.value(own);
            maker.of("items", own);
        }
        None => function(maker),
    }
}

/// Functions that run a text.
fn text(maker: &mut Maker) {
    let code = maker.code();
    let n = maker.n.clone();
    let value = as_type(&code, "text");
    maker.owner(format!("CREATE VIEW {n}_v AS SELECT {code} AS a"));
    maker.value(format!("query_to_xml($q$SELECT {value} AS x$q$, false, false, '')::text"));
    maker.value(format!("pg_catalog.query_to_xml_and_xmlschema('TABLE {n}_v', true, false, '')::text"));
    maker.value(format!("table_to_xml('{n}_v', false, false, '')::text"));
    maker.value(format!("table_to_xml_and_xmlschema('{n}_v', false, false, '')::text"));
    maker.value(format!(
        "(SELECT count(*) FROM ts_stat($q$SELECT 'a'::tsvector WHERE {value} IS NOT NULL$q$))"
    ));
    maker.value(format!(
        "ts_rewrite('a'::tsquery, $q$SELECT 'a'::tsquery, 'b'::tsquery WHERE {value} IS NOT NULL$q$)"
    ));
    maker.value("length(schema_to_xml('public', false, false, '')::text)".to_owned());
    maker.value("length(database_to_xml(false, false, '')::text) > 0".to_owned());
    let name = maker.name();
    maker.function_of(
        &name,
        "",
        "text",
        &format!("query_to_xml('TABLE public.{n}_v', true, false, '')::text"),
        Claim::Any,
    );
    maker.value(format!("{name}()"));
    maker.owner(format!(
        "CREATE VIEW {n}_x AS SELECT table_to_xml('public.{n}_v', true, false, '')::text AS a"
    ));
    maker.query(format!("TABLE {n}_x"));
}
