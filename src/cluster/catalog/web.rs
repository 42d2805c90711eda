//! Functions and relations as one graph, along which what one does is what its users do.

use std::collections::HashMap;
use std::sync::Arc;

use super::code_rows::{Answers, Function, Relation, Typed, TypedBy, When, runs_unnamed};
use crate::sql::{Code, Conduct, DataUse};

/// Functions and relations as one graph: what leaves something makes what leads to it leave that too.
pub(super) struct Web<'a> {
    /// Nodes by OID.
    pub(super) functions: HashMap<u32, usize>,
    /// Reading a relation is a node, and writing it the next one.
    relations: HashMap<u32, usize>,
    functions_named: HashMap<&'a str, Vec<usize>>,
    relations_named: HashMap<&'a str, Vec<usize>>,
    pub(super) names: Vec<(usize, &'a str)>,
    /// Operators and types by OID.
    operators: HashMap<u32, usize>,
    types: HashMap<u32, usize>,
    /// And what stands in a text for them.
    symbols_named: HashMap<&'a str, Vec<usize>>,
    /// Reading any relation is a node.
    any: usize,
    /// For each node those that do what it does.
    users: Vec<Vec<usize>>,
    pub(super) conducts: Vec<Conduct>,
    /// Nodes whose users have not been told.
    open: Vec<usize>,
}

impl<'a> Web<'a> {
    pub(super) fn new(functions: &'a [Arc<Function>], relations: impl Iterator<Item = Relation<'a>>) -> Self {
        let mut web = Self {
            functions: functions.iter().enumerate().map(|(at, function)| (function.oid, at)).collect(),
            relations: HashMap::new(),
            functions_named: HashMap::new(),
            relations_named: HashMap::new(),
            names: Vec::new(),
            operators: HashMap::new(),
            types: HashMap::new(),
            symbols_named: HashMap::new(),
            any: 0,
            users: Vec::new(),
            conducts: Vec::new(),
            open: Vec::new(),
        };
        for (at, function) in functions.iter().enumerate() {
            web.functions_named.entry(&function.name).or_default().push(at);
        }
        for (at, (oid, name)) in (functions.len()..).step_by(2).zip(relations) {
            web.relations.insert(oid, at);
            web.relations_named.entry(name).or_default().push(at);
            web.names.push((at, name));
        }
        let any = functions.len() + web.names.len() * 2;
        web.any = any;
        web.users.resize_with(any + 1, Vec::new);
        web.conducts.resize(any + 1, Conduct::default());
        let by_text = functions
            .iter()
            .enumerate()
            .filter(|(_, function)| &*function.schema == "pg_catalog" && runs_unnamed(&function.name));
        web.users[any].extend(by_text.map(|(at, _)| at));
        for at in 0..web.names.len() {
            let read = web.names[at].0;
            // Whatever is written may be read by that.
            web.users[read].extend([read + 1, any]);
            web.mark(Some(read), Conduct { data: DataUse::Reads, ..Conduct::default() });
        }
        web
    }

    /// Adds operators, types, and what uses these.
    pub(super) fn symbols(&mut self, operators: &'a [(u32, Box<str>)], types: &'a [Typed]) {
        for (oid, name) in operators {
            let node = self.another();
            self.operators.insert(*oid, node);
            self.symbols_named.entry(name).or_default().push(node);
        }
        for typed in types {
            let node = match self.types.get(&typed.of) {
                Some(node) => *node,
                None => self.another(),
            };
            self.types.insert(typed.of, node);
            let user = match &typed.by {
                TypedBy::Name(name) => {
                    self.symbols_named.entry(name).or_default().push(node);
                    continue;
                }
                TypedBy::Function(oid) => self.functions.get(oid).copied(),
                TypedBy::Used(oid) => self.place(*oid, When::Used),
                TypedBy::Written(oid) => self.place(*oid, When::Written),
            };
            self.lead(Some(node), user);
        }
    }

    /// One more node.
    fn another(&mut self) -> usize {
        self.users.push(Vec::new());
        self.conducts.push(Conduct::default());
        self.users.len() - 1
    }

    /// What the operators and types do that stand in a text by a name.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, Conduct)> {
        let of = |nodes: &Vec<usize>| {
            nodes.iter().fold(Conduct::default(), |all, at| all.join(self.conducts[*at]))
        };
        self.symbols_named.iter().map(move |(name, nodes)| (*name, of(nodes)))
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// The node that stands for a function.
    pub(super) fn function(&self, oid: u32) -> Option<usize> {
        self.functions.get(&oid).copied()
    }

    /// What a node stands for, if that is the use of a relation.
    pub(super) fn use_of(&self, node: usize) -> Option<When> {
        let at = node.checked_sub(self.functions.len()).filter(|at| *at < self.names.len() * 2)?;
        Some(if at % 2 == 0 { When::Used } else { When::Written })
    }

    /// The nodes that do what this one does.
    pub(super) fn users(&self, node: usize) -> &[usize] {
        self.users.get(node).map_or(&[], Vec::as_slice)
    }

    /// What a function does, by OID.
    pub(super) fn conduct(&self, function: u32) -> Conduct {
        self.functions.get(&function).map_or_else(Conduct::default, |at| self.conducts[*at])
    }

    /// The node that stands for a relation's use, or for a function.
    pub(super) fn place(&self, object: u32, when: When) -> Option<usize> {
        match when {
            When::Called => self.functions.get(&object).copied(),
            When::Written => self.relations.get(&object).map(|read| read + 1),
            When::Used | When::Planned => self.relations.get(&object).copied(),
            When::Typed => self.types.get(&object).copied(),
            When::Operated => self.operators.get(&object).copied(),
            When::Defining | When::Maintaining | When::Anywhere | When::AnywhereInC => None,
        }
    }

    /// A function calls what its code names, and uses the relations that it names.
    pub(super) fn calls(&mut self, functions: &[Arc<Function>], function: usize, code: &Code) {
        let called = code.calls.iter().filter_map(|name| self.functions_named.get(&*name.name)).flatten();
        let may_be = |at: &&usize| functions[**at].answers > Answers::Named;
        let mentioned = code.mentions.iter().filter_map(|name| self.functions_named.get(&**name)).flatten();
        let named = code.words.iter().filter_map(|word| self.relations_named.get(&**word)).flatten();
        let written = usize::from(code.conduct.data == DataUse::Writes);
        // `%I` in a text that is put together may be any relation.
        let by_text = code.mentions.iter().any(|name| runs_unnamed(name))
            || code.words.iter().any(|word| &**word == "?");
        let any = by_text.then_some(self.any);
        let symbols = code.mentions.iter().filter_map(|name| self.symbols_named.get(&**name)).flatten();
        let parts = called
            .chain(mentioned.filter(may_be))
            .chain(symbols)
            .copied()
            .chain(named.map(|read| read + written))
            .chain(any);
        let parts: Vec<usize> = parts.collect();
        for part in parts {
            self.users[part].push(function);
        }
    }

    /// What the first leaves, the second leaves.
    pub(super) fn lead(&mut self, part: Option<usize>, whole: Option<usize>) {
        if let (Some(part), Some(whole)) = (part, whole) {
            self.users[part].push(whole);
        }
    }

    pub(super) fn mark(&mut self, node: Option<usize>, conduct: Conduct) {
        let Some(node) = node else { return };
        let joined = self.conducts[node].join(conduct);
        if joined != self.conducts[node] {
            self.conducts[node] = joined;
            self.open.push(node);
        }
    }

    pub(super) fn spread(&mut self) {
        while let Some(node) = self.open.pop() {
            for user in std::mem::take(&mut self.users[node]) {
                self.mark(Some(user), self.conducts[node]);
                // It may be told again of something worse.
                self.users[node].push(user);
            }
        }
    }
}
