//! What the functions and relations of users have to do with beyond the data of their database: the state of the server,
//! and the catalogs that all databases share. What a body, a query or a policy reaches decides.
//!
//! The graph is that of `traces`, which follows names in the same way; what is asked of the primary for it stands here.
//! It decides no route.

use std::collections::HashMap;
use std::sync::Arc;

use super::code_rows::{Body, Function, Rows, When, runs_unnamed};
use super::web::Web;
use crate::sql::{Beyond, BeyondReader, Name};

/// What is known of a database's functions and relations. Those that have to do with nothing beyond it are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeyondMap {
    /// By name alone, and by schema and name.
    functions: HashMap<Name, Beyond>,
    /// Relations, named in both ways, when they are read.
    read: HashMap<Name, Beyond>,
    /// Relations, named in both ways, when they are written: what triggers and the like do.
    written: HashMap<Name, Beyond>,
    /// What any statement may: such code is behind an operator, a cast or a domain.
    anywhere: Beyond,
    /// What any of all these does.
    somewhere: Beyond,
}

impl BeyondMap {
    /// Where too much was found to be told apart.
    pub(super) fn of_anything() -> Self {
        let anything = Beyond::SERVER.with(Beyond::READS_SHARED);
        Self { anywhere: anything, somewhere: anything, ..Self::default() }
    }

    /// What the functions of a name do.
    pub fn function(&self, name: &Name) -> Beyond {
        of(&self.functions, name).with(self.anywhere)
    }

    /// What reading the relations of a name does.
    pub fn read(&self, name: &Name) -> Beyond {
        of(&self.read, name)
    }

    /// What writing to the relations of a name does.
    pub fn written(&self, name: &Name) -> Beyond {
        of(&self.written, name)
    }

    /// What is done by calling one of PostgreSQL's own functions that runs a text, which may name anything.
    pub(crate) fn mentioned(&self, function: &str) -> Beyond {
        if runs_unnamed(function) { self.somewhere } else { Beyond::NOTHING }
    }

    /// What any statement may do.
    pub fn anywhere(&self) -> Beyond {
        self.anywhere
    }

    /// What any function, relation or statement does: what is not in it need not be looked for.
    pub(crate) fn somewhere(&self) -> Beyond {
        self.somewhere
    }

    /// Whether some relation, operator or the like shows the state of a server: then statements that call no functions
    /// must be looked at too.
    pub(crate) fn concerns_relations(&self) -> bool {
        self.anywhere.has(Beyond::SERVER) || self.read.values().any(|beyond| beyond.has(Beyond::SERVER))
    }
}

fn of(map: &HashMap<Name, Beyond>, name: &Name) -> Beyond {
    map.get(name).copied().unwrap_or_default()
}

/// What is asked of the primary: relations by OID, `NULL` being any statement, and what of PostgreSQL's own they name in
/// their trees, which no dependency tells: functions (those in `$1`, and those with a name like `pg_...` that are not in `$2`), relations, and
/// settings that are asked for, `NULL` where it is no literal. Besides, functions that can be called as if they were
/// columns, by OID, and foreign tables.
pub(super) const BEYOND: &str = r"
    WITH own AS (
        SELECT 'funcid' AS tag, p.oid::pg_catalog.text AS oid, 'function' AS what, p.proname::pg_catalog.text AS name
          FROM pg_catalog.pg_proc AS p
         WHERE p.oid < 16384
           AND (p.proname::pg_catalog.text = ANY ($1) OR p.proname ~ '^has_.*_privilege$'
                OR p.proname ~ '^pg_' AND NOT p.proname::pg_catalog.text = ANY ($2))
        UNION ALL
        SELECT 'relid', c.oid::pg_catalog.text, 'relation',
               CASE WHEN c.relnamespace = 'information_schema'::pg_catalog.regnamespace
                    THEN 'information_schema' ELSE c.relname::pg_catalog.text END
          FROM pg_catalog.pg_class AS c
         WHERE c.oid < 16384 AND c.relkind IN ('r', 'v')
    ), parts AS (
        SELECT r.ev_class AS relation, r.ev_action::pg_catalog.text AS tree
          FROM pg_catalog.pg_rewrite AS r
          JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
         WHERE r.ev_type = '1' AND c.relkind = 'v' AND r.oid >= 16384
        UNION ALL
        SELECT p.polrelid, p.polqual::pg_catalog.text
          FROM pg_catalog.pg_policy AS p
        UNION ALL
        SELECT NULL, k.conbin::pg_catalog.text
          FROM pg_catalog.pg_constraint AS k
         WHERE k.contypid <> 0 AND k.oid >= 16384
    ), asking AS (
        SELECT ':funcid (' || pg_catalog.string_agg(p.oid::pg_catalog.text, '|') || ') ' AS setting
          FROM pg_catalog.pg_proc AS p
         WHERE p.oid < 16384 AND p.proname = 'current_setting'
    ), named AS (
        SELECT DISTINCT p.relation, m.found[1] AS tag, m.found[2] AS oid
          FROM parts AS p
         CROSS JOIN LATERAL pg_catalog.regexp_matches(p.tree, ':(funcid|relid) ([0-9]{1,5}) ', 'g') AS m (found)
    )
    SELECT n.relation, o.what, o.name
      FROM named AS n JOIN own AS o ON o.tag = n.tag AND o.oid = n.oid
    UNION
    SELECT p.relation, 'setting', m.found[3]
      FROM parts AS p
     CROSS JOIN asking AS a
     CROSS JOIN LATERAL pg_catalog.regexp_matches(p.tree,
               a.setting || '[^{}]*:args \((\{CONST [^{}]*:constvalue [0-9]+ \[([-0-9 ]*)\])?', 'g') AS m (found)
     WHERE p.tree ~ a.setting
    UNION
    SELECT y.typrelid, 'column', p.oid::pg_catalog.text
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_type AS y ON y.oid = p.proargtypes[0]
     WHERE p.oid >= 16384 AND y.typrelid >= 16384 AND p.pronargs - p.pronargdefaults <= 1
       AND p.prokind NOT IN ('a', 'p')
    UNION
    SELECT c.oid, 'foreign', NULL FROM pg_catalog.pg_class AS c WHERE c.relkind = 'f'
    UNION
    SELECT NULL, 'function', p.proname::pg_catalog.text
      FROM pg_catalog.pg_proc AS p
     WHERE p.oid < 16384
       AND (p.oid IN (SELECT o.oprcode FROM pg_catalog.pg_operator AS o WHERE o.oid >= 16384)
            OR p.oid IN (SELECT c.castfunc FROM pg_catalog.pg_cast AS c WHERE c.oid >= 16384))
    LIMIT 100000";

/// Something that is named or reached from a relation, or from anywhere.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) relation: Option<u32>,
    pub(super) what: What,
}

/// What is reached.
#[derive(Debug)]
pub(super) enum What {
    /// A function of PostgreSQL's own.
    Function(Box<str>),
    /// A relation of PostgreSQL's own.
    Relation(Box<str>),
    /// A setting; `None` is any.
    Setting(Option<Box<str>>),
    /// A function of a user's, by OID.
    Column(u32),
    /// What lies outside of the database: files, or another server as it is seen from this one.
    Foreign,
}

impl What {
    /// From a row's second and third column.
    pub(super) fn new(what: &str, name: Option<&str>) -> Self {
        let name = name.unwrap_or_default();
        match what {
            "function" => What::Function(name.into()),
            "relation" => What::Relation(name.into()),
            "column" => What::Column(name.parse().unwrap_or_default()),
            "foreign" => What::Foreign,
            _ => What::Setting(constant(name)),
        }
    }
}

/// The text in a tree's constant: behind a head of four bytes, numbers with a sign.
fn constant(numbers: &str) -> Option<Box<str>> {
    let bytes = numbers.split_whitespace().skip(4).map(|number| number.parse::<i8>().ok());
    let bytes: Vec<u8> = bytes.map(|byte| byte.map(i8::cast_unsigned)).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(Into::into)
}

/// The relations that the graph is about: OID, schema, name.
pub(super) type Relation<'a> = (u32, &'a str, &'a str);

/// Follows what reaches what to its end.
pub(super) fn follow<'a>(
    web: &Web<'_>,
    code: &Rows,
    relations: impl Iterator<Item = Relation<'a>>,
    reached: &[Reached],
) -> BeyondMap {
    let reader = BeyondReader::default();
    let mut marks = Marks { of: vec![Beyond::NOTHING; web.len()], open: Vec::new() };
    for (at, function) in code.functions.iter().enumerate() {
        marks.add(Some(at), function.beyond(&reader));
    }
    let mut map = BeyondMap::default();
    let mut columns = Vec::new();
    for Reached { relation, what } in reached {
        let place = relation.and_then(|oid| web.place(oid, When::Used));
        let beyond = match what {
            What::Function(name) => reader.function(name),
            What::Relation(name) => BeyondReader::relation(name),
            What::Setting(name) => name.as_deref().map_or(Beyond::SERVER, BeyondReader::setting),
            What::Foreign => Beyond::SERVER,
            What::Column(oid) => {
                columns.extend(web.function(*oid).zip(place));
                Beyond::NOTHING
            }
        };
        match relation {
            Some(_) => marks.add(place, beyond),
            None => map.anywhere = map.anywhere.with(beyond),
        }
    }
    let relations: Vec<_> = relations.collect();
    for (oid, _, name) in &relations {
        // Views of PostgreSQL's modules.
        marks.add(web.place(*oid, When::Used), BeyondReader::relation(name));
    }
    marks.spread(web, &columns);
    for run in code.run.iter().filter(|run| matches!(run.when, When::Anywhere | When::AnywhereInC)) {
        map.anywhere = map.anywhere.with(marks.at(web.function(run.function)));
    }
    map.tell(&marks, web, &code.functions, &relations);
    let all = map.functions.values().chain(map.read.values()).chain(map.written.values());
    map.somewhere = all.copied().collect::<Beyond>().with(map.anywhere);
    map
}

impl BeyondMap {
    fn tell(
        &mut self,
        marks: &Marks,
        web: &Web<'_>,
        functions: &[Arc<Function>],
        relations: &[Relation<'_>],
    ) {
        // Of PostgreSQL's own the text tells.
        let users = functions.iter().enumerate().filter(|(_, function)| &*function.schema != "pg_catalog");
        for (at, function) in users {
            note(&mut self.functions, (&function.schema, &function.name), marks.at(Some(at)));
        }
        for (oid, schema, name) in relations {
            note(&mut self.read, (schema, name), marks.at(web.place(*oid, When::Used)));
            note(&mut self.written, (schema, name), marks.at(web.place(*oid, When::Written)));
        }
    }
}

/// Takes something down by name alone, where it may mean any of that name, and by schema and name.
fn note(map: &mut HashMap<Name, Beyond>, (schema, name): (&str, &str), beyond: Beyond) {
    if beyond == Beyond::NOTHING {
        return;
    }
    for schema in [None, Some(schema.into())] {
        let all = map.entry(Name { schema, name: name.into() }).or_default();
        *all = all.with(beyond);
    }
}

/// What is known of each node of the graph, and which of them have not told those that use them.
struct Marks {
    of: Vec<Beyond>,
    open: Vec<usize>,
}

impl Marks {
    fn at(&self, node: Option<usize>) -> Beyond {
        node.and_then(|node| self.of.get(node)).copied().unwrap_or_default()
    }

    fn add(&mut self, node: Option<usize>, beyond: Beyond) {
        let Some(known) = node.and_then(|node| self.of.get_mut(node)) else { return };
        let all = known.with(beyond);
        if all != *known {
            *known = all;
            self.open.extend(node);
        }
    }

    /// Spreads to those that use a node: in the graph, and, besides, from the first to the second of each pair.
    fn spread(&mut self, web: &Web<'_>, besides: &[(usize, usize)]) {
        while let Some(node) = self.open.pop() {
            let (beyond, when) = (self.of[node], web.use_of(node));
            let besides = besides.iter().filter(|(part, _)| *part == node).map(|(_, whole)| whole);
            for user in web.users(node).iter().chain(besides) {
                // What a trigger asks of the server, a function does not show that only reads the table.
                let written = when == Some(When::Written) || web.use_of(*user) == Some(When::Written);
                self.add(Some(*user), if written { beyond.only(Beyond::WRITES_SHARED) } else { beyond });
            }
            if when == Some(When::Used) {
                // Those that name a relation are kept with the writing of it.
                for user in web.users(node + 1).iter().filter(|user| web.use_of(**user).is_none()) {
                    self.add(Some(*user), beyond);
                }
            }
        }
    }
}

impl Function {
    pub(super) fn beyond(&self, reader: &BeyondReader) -> Beyond {
        match &self.body {
            Body::BuiltIn(name) => reader.function(name),
            Body::Harmless | Body::Opaque => reader.of_module(&self.name),
            Body::Text(body) => reader.body(body),
        }
    }
}
