//! What code of users may leave in the session that runs it: functions by name, and relations that run some when they
//! are read or written.
//!
//! Pure: the rows are read elsewhere. Names are followed without regard to schemas and types: a body may mean any
//! function of a name, so that all of them count.

use std::collections::HashMap;
use std::time::Instant;

use crate::sql::{Code, CodeReader, Kind, Name, Statement, Traces, Why};

/// What is known of a database's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeMap {
    /// How often code had been changed through weir when it was read.
    pub version: u64,
    /// When the reading of it began; `None` while nothing is known.
    pub(crate) began: Option<Instant>,
    /// Every function and procedure, by name alone and by schema and name.
    functions: HashMap<Name, Traces>,
    /// Relations, by name alone, that run code which leaves something: when they are read, and when they are written.
    relations: HashMap<Box<str>, Behind>,
    /// What any statement may leave: such code is behind an operator, a cast or a comparison.
    anywhere: Traces,
    /// What any change of definitions may leave: an event trigger.
    definitions: Traces,
}

/// What the code behind a relation may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Behind {
    read: Traces,
    written: Traces,
}

/// What was found about a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What it may leave, as far as is known.
    pub traces: Traces,
    /// Functions of which nothing is known.
    pub unknown: Vec<Name>,
    /// The version of what was asked.
    pub version: u64,
}

impl Found {
    /// Whether it may leave anything.
    pub fn leaves(&self) -> bool {
        self.traces > Traces::None || !self.unknown.is_empty()
    }

    /// What both leave.
    pub fn join(&mut self, other: Self) {
        self.traces = self.traces.max(other.traces);
        self.unknown.extend(other.unknown);
        self.version = other.version;
    }

    /// A function is called: one of the statement's own, which must be something, or a word of a body that may be.
    fn call(&mut self, function: &Name, map: &CodeMap, word: Word) {
        match map.function(function) {
            Some(traces) => self.traces = self.traces.max(traces),
            None if word == Word::OfGrammar && map.is_known() => {}
            None => self.unknown.push(function.clone()),
        }
    }
}

/// Whether what stands in front of a parenthesis may be no function at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    OfFunction,
    OfGrammar,
}

impl CodeMap {
    /// Whether it was read.
    pub(crate) fn is_known(&self) -> bool {
        self.began.is_some()
    }

    /// Whether some relation, operator or event trigger leaves something: then statements that call no functions must
    /// be looked at too.
    pub(crate) fn concerns_relations(&self) -> bool {
        !self.relations.is_empty() || self.anywhere > Traces::None || self.definitions > Traces::None
    }

    /// What the functions of a name may leave; `None` when there is none that is known.
    pub fn function(&self, name: &Name) -> Option<Traces> {
        match name.schema.as_deref() {
            Some("pg_catalog") => {
                self.functions.get(&Name { schema: None, name: name.name.clone() }).copied()
            }
            _ => self.functions.get(name).copied(),
        }
    }

    /// What is known of a function that was called at `since`, when so many changes had been seen and nothing was known
    /// of it. `None` when there is nothing yet.
    pub(crate) fn recall(&self, name: &Name, since: Instant, version: u64) -> Option<Traces> {
        let began = self.began?;
        if version != self.version {
            // It may have been another function then, of which only this much is taken for granted.
            return Some(self.function(name).unwrap_or_default().max(Traces::Discardable));
        }
        // If there was none afterwards, there was none.
        self.function(name).or((began > since).then_some(Traces::None))
    }

    /// What is left after code was changed: nothing of functions, until they have been read again. What was behind
    /// relations goes on counting, as most of it is there still.
    pub(crate) fn after_change(&self, version: u64) -> Self {
        Self { version, began: None, functions: HashMap::new(), ..self.clone() }
    }
}

/// What a statement may leave that its text does not tell. `is_harmless` is said of functions that leave nothing
/// whatever they look like.
pub fn found(map: Option<&CodeMap>, statement: &Statement, is_harmless: impl Fn(&Name) -> bool) -> Found {
    let unread = CodeMap::default();
    let map = map.unwrap_or(&unread);
    let mut found = Found { version: map.version, ..Found::default() };
    for function in statement.functions.iter().filter(|function| !is_harmless(function)) {
        found.call(function, map, Word::OfFunction);
    }
    if let Some(code) = &statement.effects.code {
        for function in code.calls.iter().filter(|function| !is_harmless(function)) {
            found.call(function, map, Word::OfGrammar);
        }
    }
    if map.concerns_relations() {
        found.traces = found.traces.max(map.behind(statement));
    }
    found
}

impl CodeMap {
    fn behind(&self, statement: &Statement) -> Traces {
        let read = statement.reads.iter().filter_map(|name| self.relations.get(&name.name));
        let written = statement.writes.iter().map(|name| &name.name);
        let words = statement.effects.code.iter().flat_map(|code| &code.words);
        let written = written.chain(words).filter_map(|name| self.relations.get(name));
        let behind = read.map(|behind| behind.read).chain(written.map(|behind| behind.written)).max();
        let defines = matches!(statement.kind, Kind::Primary(Why::Ddl | Why::Temporary));
        let definitions = if defines { self.definitions } else { Traces::None };
        behind.unwrap_or_default().max(self.anywhere).max(definitions)
    }
}

/// What was read of one database's code.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) functions: Vec<Function>,
    /// Functions, by OID, that are made of others: aggregates.
    pub(super) made_of: Vec<(u32, u32)>,
    /// What runs behind relations.
    pub(super) run: Vec<Run>,
    /// Functions behind operators, casts, comparisons and domains.
    pub(super) anywhere: Vec<u32>,
    /// Functions of event triggers.
    pub(super) definitions: Vec<u32>,
}

/// One function (`pg_proc`).
#[derive(Debug)]
pub(super) struct Function {
    pub(super) oid: u32,
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    pub(super) body: Body,
}

/// A function that runs when a relation, by OID, is used.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) relation: u32,
    /// `None` is one of PostgreSQL's own that leaves something.
    pub(super) function: Option<u32>,
    pub(super) when: When,
}

/// Relations, by OID, of which using the first means using the second.
#[derive(Debug)]
pub(super) struct Tied {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) when: When,
}

/// How a relation is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// It is written.
    Written,
    /// It is read or written.
    Used,
}

/// What there is to read of a function.
#[derive(Debug)]
pub(super) enum Body {
    /// It is PostgreSQL's own.
    BuiltIn,
    /// It is known to leave nothing.
    Harmless,
    /// Nothing.
    Opaque,
    /// SQL or PL/pgSQL.
    Text(Box<str>),
}

/// A relation, by OID and name.
pub(super) type Relation<'a> = (u32, &'a str);

impl Rows {
    /// Follows what calls what to its end.
    pub(super) fn trace<'a>(
        &'a self,
        relations: impl Iterator<Item = Relation<'a>>,
        ties: impl Iterator<Item = Tied>,
    ) -> Web<'a> {
        let reader = CodeReader::default();
        let codes: Vec<Code> = self.functions.iter().map(|function| function.code(&reader)).collect();
        let mut web = Web::new(&self.functions, relations);
        for (at, code) in codes.iter().enumerate() {
            web.calls(at, code);
        }
        for (whole, part) in &self.made_of {
            web.lead(web.functions.get(part).copied(), web.functions.get(whole).copied());
        }
        for run in &self.run {
            let relation = web.place(run.relation, run.when);
            match run.function {
                Some(function) => web.lead(web.functions.get(&function).copied(), relation),
                None => web.mark(relation, Traces::Lasting),
            }
        }
        for tied in ties {
            web.lead(web.place(tied.to, When::Written), web.place(tied.from, When::Written));
            if tied.when == When::Used {
                web.lead(web.place(tied.to, When::Used), web.place(tied.from, When::Used));
            }
        }
        for (at, code) in codes.iter().enumerate() {
            web.mark(Some(at), code.traces);
        }
        web.spread();
        web
    }

    /// What was found; the reading of it began at `began`.
    pub(super) fn tell(&self, web: &Web<'_>, began: Instant) -> CodeMap {
        let mut map = CodeMap { began: Some(began), ..CodeMap::default() };
        for (at, function) in self.functions.iter().enumerate() {
            let traces = web.traces[at];
            let alone = Name { schema: None, name: function.name.clone() };
            let worst = map.functions.entry(alone).or_default();
            *worst = traces.max(*worst);
            if &*function.schema != "pg_catalog" {
                let name = Name { schema: Some(function.schema.clone()), name: function.name.clone() };
                let worst = map.functions.entry(name).or_default();
                *worst = traces.max(*worst);
            }
        }
        for (at, name) in &web.names {
            let (read, written) = (web.traces[*at], web.traces[*at + 1]);
            if written > Traces::None {
                let worst = map.relations.entry((*name).into()).or_default();
                *worst = Behind { read: read.max(worst.read), written: written.max(worst.written) };
            }
        }
        let worst = |functions: &[u32]| {
            let known = functions.iter().filter_map(|oid| web.functions.get(oid));
            known.map(|at| web.traces[*at]).max().unwrap_or_default()
        };
        map.anywhere = worst(&self.anywhere);
        map.definitions = worst(&self.definitions);
        map
    }
}

impl Function {
    fn code(&self, reader: &CodeReader) -> Code {
        let of = |traces| Code { traces, ..Code::default() };
        match &self.body {
            Body::BuiltIn => of(reader.built_in(&self.name).unwrap_or_default()),
            Body::Harmless => of(Traces::None),
            Body::Opaque => of(Traces::Lasting),
            Body::Text(body) => reader.read(body),
        }
    }
}

/// Functions and relations as one graph: what leaves something makes what leads to it leave that too.
pub(super) struct Web<'a> {
    /// Nodes by OID.
    functions: HashMap<u32, usize>,
    /// Reading a relation is a node, and writing it the next one.
    relations: HashMap<u32, usize>,
    functions_named: HashMap<&'a str, Vec<usize>>,
    relations_named: HashMap<&'a str, Vec<usize>>,
    names: Vec<(usize, &'a str)>,
    /// For each node those that leave what it leaves.
    users: Vec<Vec<usize>>,
    traces: Vec<Traces>,
    /// Nodes whose users have not been told.
    open: Vec<usize>,
}

impl<'a> Web<'a> {
    fn new(functions: &'a [Function], relations: impl Iterator<Item = Relation<'a>>) -> Self {
        let mut web = Self {
            functions: functions.iter().enumerate().map(|(at, function)| (function.oid, at)).collect(),
            relations: HashMap::new(),
            functions_named: HashMap::new(),
            relations_named: HashMap::new(),
            names: Vec::new(),
            users: Vec::new(),
            traces: Vec::new(),
            open: Vec::new(),
        };
        for (at, function) in functions.iter().enumerate() {
            web.functions_named.entry(&function.name).or_default().push(at);
        }
        for (at, (oid, name)) in (functions.len()..).step_by(2).zip(relations) {
            web.relations.insert(oid, at);
            web.relations_named.entry(name).or_default().push(at + 1);
            web.names.push((at, name));
        }
        let nodes = functions.len() + web.names.len() * 2;
        web.users.resize_with(nodes, Vec::new);
        web.traces.resize(nodes, Traces::None);
        for (read, _) in &web.names {
            // Whatever is written may be read by that.
            web.users[*read].push(*read + 1);
        }
        web
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
        let at = node.checked_sub(self.functions.len())?;
        Some(if at % 2 == 0 { When::Used } else { When::Written })
    }

    /// The nodes that do what this one does: of those that read a relation, not the functions that name it.
    pub(super) fn users(&self, node: usize) -> &[usize] {
        &self.users[node]
    }

    /// The node that stands for a relation's use.
    pub(super) fn place(&self, relation: u32, when: When) -> Option<usize> {
        let read = *self.relations.get(&relation)?;
        Some(if when == When::Written { read + 1 } else { read })
    }

    /// A function calls what its code names.
    fn calls(&mut self, function: usize, code: &Code) {
        let called = code.calls.iter().filter_map(|name| self.functions_named.get(&*name.name));
        let named = code.words.iter().filter_map(|word| self.relations_named.get(&**word));
        for part in called.chain(named).flatten() {
            self.users[*part].push(function);
        }
    }

    /// What the first leaves, the second leaves.
    fn lead(&mut self, part: Option<usize>, whole: Option<usize>) {
        if let (Some(part), Some(whole)) = (part, whole) {
            self.users[part].push(whole);
        }
    }

    fn mark(&mut self, node: Option<usize>, traces: Traces) {
        if let Some(node) = node.filter(|node| traces > self.traces[*node]) {
            self.traces[node] = traces;
            self.open.push(node);
        }
    }

    fn spread(&mut self) {
        while let Some(node) = self.open.pop() {
            for user in std::mem::take(&mut self.users[node]) {
                self.mark(Some(user), self.traces[node]);
                // It may be told again of something worse.
                self.users[node].push(user);
            }
        }
    }
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
