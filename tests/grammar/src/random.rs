//! Queries at random, of all that PostgreSQL's grammar has for them: each relation and function in one has a name of its
//! own, or one that is a word of the grammar.

use crate::{Classifier, facts, faults};

const QUERIES: u64 = 3_000;

/// As many queries as `GRAMMAR_QUERIES` says, from the seed `GRAMMAR_SEED`.
pub(crate) fn run() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (count, seed) = (number("GRAMMAR_QUERIES").unwrap_or(QUERIES), number("GRAMMAR_SEED").unwrap_or(1));
    let classifier = Classifier::new(1000);
    let (mut parsed, mut read, mut wrong) = (0, 0, Vec::new());
    for nth in 0..count {
        let mut writer = Writer { state: (seed << 32 | nth) ^ 0x9e37_79b9_7f4a_7c15, depth: 0 };
        let sql = writer.query();
        // Not all that is made is grammar.
        let Ok(facts) = facts::of(&sql) else { continue };
        parsed += 1;
        let mut faults = faults(&classifier, &sql, &facts);
        let said = crate::statement(&classifier, &sql);
        if facts.is_read && said.kind != crate::Kind::Read {
            faults.push(format!("{:?}", said.kind));
        }
        read += u64::from(said.kind == crate::Kind::Read);
        if !faults.is_empty() {
            wrong.push(format!("{sql}\n    {}", faults.join("; ")));
        }
    }
    wrong.sort_by_key(String::len);
    wrong.truncate(10);
    assert!(wrong.is_empty(), "of seed {seed}, misread:\n{}", wrong.join("\n"));
    assert!(parsed > count / 2, "{parsed} of {count} are grammar");
    assert!(read > count / 2, "{read} of {count} are reads");
}

struct Writer {
    state: u64,
    depth: u32,
}

/// Templates: `{q}` a query, `{e}` an expression, `{r}` what stands in FROM, `{n}` a name, `{f}` a function's name, `{t}` a
/// type, `{l}` a label, `{o}` an operator.
const QUERY: &[&str] = &[
    "select {e} from {r}",
    "select {e}, {e} as {l}, {e} {n} from {r}, {r} where {e}",
    "select {e} from {r} where {e} group by {e}, {g} having {e} order by {e} desc nulls last limit {e} offset {e}",
    "select distinct on ({e}) {e} from {r} order by {e} using < fetch first {e1} rows with ties",
    "select all {e} from {r} window w as (partition by {e} order by {e}), v as (w rows between {e1} preceding and current row exclude ties)",
    "select {e} as {l} from {r} join {r} on {e} left join {r} using ({n}) as {n}, {r}",
    "select from {r}",
    "{qp} union all {qp} intersect {qp} order by 1",
    "{qp} except distinct (table {n} limit 1)",
    "table {n}",
    "table only {n} order by {e}",
    "values ({e}, {e}), ({e}, default) limit 1",
    "with {n} as ({q}), {n} ({n}, {n}) as not materialized ({q}) {qp}",
    "with recursive {n} ({n}) as ({qp} union all {qp}) search depth first by {n}, {n} set {n} cycle {n}, {n} set {n} using {n}, {n} as ({q}) {qp}",
    "select {e} {l} from {r} x, lateral ({q}) as {n} ({n}, {n}) where ({q}) is distinct from {e}",
];

const FROM: &[&str] = &[
    "{n}",
    "{n}.{n}",
    "{n} {n}",
    "{n} as {n} ({n}, {n})",
    "only ({n})",
    "only {n} *",
    "{n} * {n}",
    "({q}) {n}",
    "({q}) as {n} ({n})",
    "lateral ({q}) {n}",
    "({r} cross join {r})",
    "({r} natural full join {r}) {n}",
    "(({qp}) union {qp}) {n}",
    "{f}({e}) {n}",
    "{n}.{f}({e}, {e}) with ordinality as {n} ({n}, {n})",
    "{f}() as {n} ({n} {t}, {n} {t} collate \"C\")",
    "{f}({e}) as ({n} {t})",
    "lateral {f}({e})",
    "rows from ({f}({e}), {n}.{f}({e}) as ({n} {t})) with ordinality {n}",
    "{n} tablesample {f} ({e}) repeatable ({e})",
    "{n} {n} tablesample system ({e})",
    "xmltable({e1} passing {e1} columns {n} {t} path {e1} default {e1} not null, {n} for ordinality) {n}",
    "xmltable(xmlnamespaces({e1} as {l}, default 'x'), {e1} passing by ref {e1} columns {n} {t}) as {n}",
    "json_table({e}, '$.a' as {n} passing {e} as {l} columns ({n} for ordinality, {n} {t} path '$' default {e} on empty, nested path '$' columns ({n} {t} exists))) {n}",
    "current_date",
    "{n} join {r} on {e}",
    "{n} left outer join {r} join {r} on {e} on {e}",
];

const EXPRESSION: &[&str] = &[
    "{n}",
    "{n}.{n}",
    "1",
    "'a'",
    "$1",
    "null",
    "{e} {o} {e}",
    "{o} {e1}",
    "not {e}",
    "({e})",
    "({e}, {e})",
    "row({e}, {n}.*)",
    "{f}({e})",
    "{n}.{f}({e}, {e})",
    "{f}(distinct {e} order by {e}) filter (where {e}) over (partition by {e} order by {e} rows between {e1} preceding and {e1} following exclude group)",
    "{f}({e}) within group (order by {e} desc) over w",
    "{f}(variadic {e})",
    "{f}({n} => {e}, {n} := {e})",
    "{f}(*)",
    "{f}()",
    "({q})",
    "exists ({q})",
    "array({q})",
    "array[{e}, {e}]",
    "{e1} in ({q})",
    "{e1} not in ({e}, {e})",
    "{e1} {o} any ({q})",
    "{e1} like all ({e})",
    "({e}, {e}) in ({q})",
    "({e}, {e}) overlaps ({e}, {e})",
    "{e1} between symmetric {e1} and {e1}",
    "{e1} not between {e1} and {e1}",
    "{e1} is distinct from {e1}",
    "{e1} is not distinct from {e1}",
    "{e1} is null",
    "{e1} isnull",
    "{e1} is not unknown",
    "{e1} is document",
    "{e1} is nfc normalized",
    "{e1} is json object with unique keys",
    "{e1} like {e1} escape {e1}",
    "{e1} not ilike {e1}",
    "{e1} similar to {e1}",
    "{e1} at time zone {e1}",
    "{e1} at local",
    "{e1} collate \"C\"",
    "case {e} when {e} then {e} else {e} end",
    "case when {e} then {e} end",
    "cast({e} as {t})",
    "({e})::{t}",
    "{n}::{t}",
    "{t} 'x'",
    "interval '1' day to second(3)",
    "coalesce({e}, {e})",
    "nullif({e}, {e})",
    "greatest({e}, {e})",
    "extract(year from {e})",
    "substring({e} from {e} for {e})",
    "substring({e} similar {e} escape {e})",
    "trim(both {e} from {e})",
    "overlay({e} placing {e} from {e})",
    "position({e1} in {e1})",
    "normalize({e}, nfkd)",
    "treat({e} as {t})",
    "collation for ({e})",
    "xmlelement(name {l}, xmlattributes({e} as {l}, {n}), {e})",
    "xmlforest({e} as {l}, {n})",
    "xmlconcat({e}, {e})",
    "xmlparse(document {e} strip whitespace)",
    "xmlparse(content ({q}))",
    "xmlpi(name {l}, {e})",
    "xmlroot({e}, version {e}, standalone yes)",
    "xmlserialize(content {e} as {t} indent)",
    "xmlexists({e1} passing by value {e1})",
    "xmlagg({e} order by {e})",
    "json_object({e} : {e}, {e1} value {e} absent on null with unique keys returning {t})",
    "json_array({e}, {e} format json null on null)",
    "json_array({q} returning {t})",
    "json_objectagg({e} : {e}) filter (where {e})",
    "json_arrayagg({e} order by {e}) over ()",
    "json_value({e}, '$.a' passing {e} as {l} returning {t} default {e} on empty error on error)",
    "json_query({e}, '$' with wrapper)",
    "json_exists({e}, '$')",
    "json_scalar({e})",
    "json_serialize({e} returning {t})",
    "json({e} with unique)",
    "({e})[{e}]",
    "{n}[{e}:{e}]",
    "({e}).{l}",
    "({n}).*",
    "{n}.{l}",
    "{n}.*::text",
    "{e} operator({n}.{o}) {e}",
    "operator({o}) {e}",
    "current_timestamp(3)",
    "current_user",
    "grouping({e}, {e})",
    "U&'d\\0061t'",
    "U&'d!0061' uescape '!'",
    "B'101'",
    "$x$ {f}( $x$",
    "E'\\''",
    "1_000.5e3",
    "0x1F",
];

const GROUPING: &[&str] = &[
    "{e}",
    "()",
    "rollup ({e}, ({e}, {e}))",
    "cube ({e})",
    "grouping sets (({e}), rollup ({e}), cube ({e}), ())",
];

const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "=", "<", ">", "<>", "||", "and", "or", "->", "@>", "&&", "~", "!~*", "^", "#-",
    "?|",
];

const TYPES: &[&str] = &[
    "int",
    "text",
    "numeric(10, 2)",
    "varchar(3)",
    "character varying(3)",
    "timestamp(3) with time zone",
    "double precision",
    "interval",
    "bit varying(2)",
    "int[]",
    "int array[3]",
    "\"char\"",
    "mine",
    "sch.mine",
    "sch.mine(1, 2)[]",
];

/// Words that PostgreSQL takes for names, here or there.
const WORDS: &[&str] = &[
    "a",
    "b",
    "\"A b\"",
    "\"from\"",
    "rows",
    "value",
    "values",
    "recursive",
    "materialized",
    "ordinality",
    "columns",
    "path",
    "nested",
    "passing",
    "document",
    "content",
    "escape",
    "zone",
    "operator",
    "cube",
    "rollup",
    "sets",
    "filter",
    "over",
    "within",
    "first",
    "next",
    "only_",
    "partition",
    "range",
    "by",
    "ref",
    "time",
    "row",
    "left",
    "is_",
    "depth",
    "search",
    "cycle",
    "text",
    "key",
    "name",
    "off",
    "set",
    "local",
    "temp",
    "view",
    "type",
    "end_",
    "atomic",
    "begin",
    "no",
    "json",
    "exclude",
    "ties",
    "others",
];

/// Words that may stand behind AS, whatever else they mean.
const LABELS: &[&str] = &[
    "a", "from", "select", "where", "as", "table", "join", "on", "union", "distinct", "is", "case", "end",
    "with", "group", "order", "values", "for", "window", "lateral", "using", "only", "all", "not", "into_",
];

impl Writer {
    fn number(&mut self, below: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = (self.state >> 33) ^ (self.state >> 51);
        usize::try_from(high).unwrap_or(0) % below
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.number(of.len())]
    }

    /// A query; a small one deep down.
    fn query(&mut self) -> String {
        let template = if self.depth > 2 {
            self.one(&["select 1", "table {n}", "select {n} from {n}", "values (1)"])
        } else {
            self.one(QUERY)
        };
        self.write(template)
    }

    fn write(&mut self, template: &str) -> String {
        self.depth += 1;
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            let end = rest[at..].find('}').map_or(rest.len(), |end| at + end);
            out.push_str(&rest[..at]);
            out.push_str(&self.part(&rest[at + 1..end]));
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        self.depth -= 1;
        out
    }

    fn part(&mut self, part: &str) -> String {
        let deep = self.depth > 3;
        match part {
            "q" => self.query(),
            "qp" if deep => "(select 1)".to_owned(),
            "qp" => format!("({})", self.query()),
            "r" if deep => self.one(WORDS).to_owned(),
            "r" => {
                let template = self.one(FROM);
                self.write(template)
            }
            "e" if deep => self.one(&["1", "a", "'x'", "f(1)"]).to_owned(),
            "e" => {
                let template = self.one(EXPRESSION);
                self.write(template)
            }
            "e1" => format!("({})", self.part("e")),
            "g" => {
                let template = self.one(GROUPING);
                self.write(template)
            }
            "f" => match self.number(3) {
                0 => self.one(WORDS).to_owned(),
                1 => "count".to_owned(),
                _ => format!("f{}", self.number(9)),
            },
            "n" => match self.number(2) {
                0 => self.one(WORDS).to_owned(),
                _ => format!("n{}", self.number(9)),
            },
            "l" => self.one(LABELS).to_owned(),
            "o" => self.one(OPERATORS).to_owned(),
            "t" => self.one(TYPES).to_owned(),
            other => unreachable!("{other}"),
        }
    }
}
