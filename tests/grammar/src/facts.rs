//! What PostgreSQL's parser sees in one statement, as far as weir has to see it too.

use serde_json::Value;
use weir::sql::Name;

/// What a statement is and names, common table expressions left out.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Whether it is a query that modifies, creates and locks nothing.
    pub(crate) is_read: bool,
    pub(crate) reads: Vec<Name>,
    pub(crate) writes: Vec<Name>,
    /// Functions, methods of samples among them.
    pub(crate) calls: Vec<Name>,
}

/// Of the only statement of a text.
///
/// # Errors
/// PostgreSQL does not parse it.
pub(crate) fn of(sql: &str) -> Result<Facts, String> {
    let parsed = pg_query::parse(sql, 0).map_err(|error| error.to_string())?;
    let [statement] = &*parsed.protobuf.stmts else { return Err("not one statement".into()) };
    let tree = serde_json::to_value(statement).map_err(|error| error.to_string())?;
    let node = &tree["stmt"]["node"];
    let copies_out =
        node.get("CopyStmt").is_some_and(|copy| copy["is_from"] == false && copy["filename"] == "");
    let reads = node.get("SelectStmt").is_some() || node.get("ExplainStmt").is_some() || copies_out;
    let mut facts = Facts { is_read: reads, ..Facts::default() };
    facts.node(node, &mut Vec::new());
    for list in [&mut facts.reads, &mut facts.writes, &mut facts.calls] {
        list.sort_unstable();
        list.dedup();
    }
    let Facts { reads, writes, .. } = &mut facts;
    reads.retain(|name| !writes.contains(name));
    Ok(facts)
}

impl Facts {
    /// All that a part of the tree holds; `common` are the common table expressions that it can see.
    fn node(&mut self, value: &Value, common: &mut Vec<String>) {
        let fields = match value {
            Value::Array(list) => return list.iter().for_each(|one| self.node(one, common)),
            Value::Object(fields) => fields,
            _ => return,
        };
        let seen = common.len();
        if let Some(with) = fields.get("with_clause").filter(|with| !with.is_null()) {
            self.with(with, common);
        }
        let modifies = fields.contains_key("returning_list") || fields.contains_key("merge_when_clauses");
        for (key, field) in fields {
            match key.as_str() {
                "with_clause" => {}
                "relation" if modifies => {
                    self.is_read = false;
                    self.writes.extend(relation(field));
                }
                _ => self.field(key, field, common),
            }
        }
        common.truncate(seen);
    }

    fn field(&mut self, key: &str, field: &Value, common: &mut Vec<String>) {
        match key {
            "into_clause" if !field.is_null() => {
                self.is_read = false;
                return self.writes.extend(relation(&field["rel"]));
            }
            "locking_clause" => {
                // What is locked was named before.
                self.is_read &= field.as_array().is_none_or(Vec::is_empty);
                return;
            }
            "RangeVar" => return self.range(field, common),
            "CopyStmt" if field["is_from"] == true => {
                return self.writes.extend(relation(&field["relation"]));
            }
            "TruncateStmt" => {
                let names = field["relations"].as_array().into_iter().flatten();
                return self.writes.extend(names.filter_map(|one| relation(&one["node"]["RangeVar"])));
            }
            "CopyStmt" => self.reads.extend(relation(&field["relation"])),
            "RangeTableSample" => {
                self.calls.extend(name(&field["method"]).filter(|name| !is_own_sample(name)))
            }
            "FuncCall" => self.calls.extend(name(&field["funcname"])),
            _ => {}
        }
        self.node(field, common);
    }

    /// The common table expressions of a query, which see each other if they are recursive, else those before them.
    fn with(&mut self, with: &Value, common: &mut Vec<String>) {
        let expressions: Vec<_> = with["ctes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| &one["node"]["CommonTableExpr"])
            .collect();
        let names = expressions.iter().map(|one| one["ctename"].as_str().unwrap_or_default().to_owned());
        let names: Vec<_> = names.collect();
        if with["recursive"] == true {
            common.extend(names.iter().cloned());
        }
        for (expression, name) in expressions.iter().zip(names) {
            self.node(expression, common);
            common.push(name);
        }
    }

    fn range(&mut self, range: &Value, common: &[String]) {
        let Some(name) = relation(range) else { return };
        if name.schema.is_some() || !common.iter().any(|common| **common == *name.name) {
            self.reads.push(name);
        }
    }
}

fn relation(range: &Value) -> Option<Name> {
    let part = |key: &str| range[key].as_str().filter(|part| !part.is_empty()).map(Into::into);
    Some(Name { schema: part("schemaname"), name: part("relname")? })
}

/// The last two parts of a name that is a list of strings.
fn name(list: &Value) -> Option<Name> {
    let parts: Vec<_> =
        list.as_array()?.iter().filter_map(|one| one["node"]["String"]["sval"].as_str()).collect();
    match &*parts {
        [] => None,
        [name] => Some(Name { schema: None, name: (*name).into() }),
        [.., schema, name] => Some(Name { schema: Some((*schema).into()), name: (*name).into() }),
    }
}

/// Whether a method of samples is PostgreSQL's own.
fn is_own_sample(name: &Name) -> bool {
    name.schema.is_none() && ["bernoulli", "system"].contains(&&*name.name)
}
