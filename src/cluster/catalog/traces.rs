//! What code of users does, and what it may leave in the session that runs it: functions by name, relations that run some
//! when they are read or written, and what runs where nothing in a statement names it.
//!
//! Pure: the rows are read elsewhere. Names are followed without regard to schemas and types: a body may mean any
//! function of a name, so that all of them count. A body that can be read is judged by what it does, whatever it was
//! declared to be.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use super::built_ins::BuiltIns;
use super::code_rows::{Relation, Rows, Run, Runs, Tied, When};
use super::web::Web;
use crate::sql::{Brings, Code, CodeReader, Conduct, DataUse, Kind, Listed, Name, Statement, Traces, Why};

/// What is known of a database's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeMap {
    /// How often something that may have had code in it has been taken away through weir, or replaced.
    pub gone: u64,
    /// The same when this was read, or soon after.
    pub(crate) gone_when_read: u64,
    /// Whether code was changed that has not been read since: anything may run anything.
    pub(crate) changed: bool,
    /// When the reading of it began; `None` before the first.
    pub(crate) began: Option<Instant>,
    /// Every function and procedure, as it was read.
    functions: Arc<Functions>,
    /// Functions of users that do more than compute and may be meant where a statement names none of them: see
    /// [`Statement::mentions`]. Empty in most databases.
    mentioned: HashMap<Box<str>, Conduct>,
    /// What those do that have the name of a built-in function: what calls that may mean one of them.
    overloads: Conduct,
    /// The same of operators and of types.
    symbols: HashMap<Box<str>, Conduct>,
    /// Relations, by name alone, that run code which leaves something: when they are read, and when they are written.
    relations: HashMap<Box<str>, Behind>,
    /// What any statement may do: such code is behind an operator, a cast, a comparison or a type.
    anywhere: Conduct,
    /// What any change of definitions may leave: an event trigger.
    definitions: Traces,
    /// What may be left where relations are kept in order: they are not named, and whatever is behind any of them may run.
    maintenance: Traces,
}

/// Functions by name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Functions {
    /// By name alone, and by schema and name: those of users, and those of PostgreSQL's own that do more than compute.
    acting: HashMap<Name, Conduct>,
    built_ins: Arc<BuiltIns>,
}

impl Functions {
    /// What the functions of a name do; `None` when there is none that is known.
    fn conduct(&self, name: &Name) -> Option<Conduct> {
        if name.schema.as_deref() == Some("pg_catalog") {
            return self.conduct(&Name { schema: None, name: name.name.clone() });
        }
        let computes = || self.built_ins.volatility(name).map(|_| Conduct::default());
        self.acting.get(name).copied().or_else(computes)
    }

    fn traces(&self, name: &Name) -> Option<Traces> {
        self.conduct(name).map(|conduct| conduct.traces)
    }
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
    /// How much had been taken away by then.
    pub gone: u64,
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
        self.gone = other.gone;
    }

    /// A function is called: one of the statement's own, which must be something, or a word of a body that may be.
    fn call(&mut self, function: &Name, functions: Option<&Functions>, word: Word) {
        match functions.and_then(|known| known.traces(function)) {
            Some(traces) => self.traces = self.traces.max(traces),
            None if word == Word::OfGrammar && functions.is_some() => {}
            None if self.unknown.contains(function) => {}
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
    /// The functions, if all of them are known.
    fn known(&self) -> Option<&Functions> {
        self.began.filter(|_| !self.changed).map(|_| &*self.functions)
    }

    /// Whether some relation, operator or event trigger leaves something: then statements that call no functions must
    /// be looked at too.
    pub(crate) fn concerns_relations(&self) -> bool {
        !self.relations.is_empty()
            || self.definitions.max(self.maintenance) > Traces::None
            || self.names().chain([self.anywhere]).any(|conduct| conduct.traces > Traces::None)
    }

    /// Whether some statement may do more than it names: then each must be looked at.
    pub(crate) fn concerns_all(&self) -> bool {
        !self.anywhere.is_pure() || self.names().next().is_some()
    }

    /// Whether some type, operator or overload of users runs code that does more than compute: it may be behind whatever
    /// a definition names.
    pub(crate) fn has_symbols(&self) -> bool {
        !self.symbols.is_empty() || !self.overloads.is_pure()
    }

    /// What the functions that a statement calls, by name or not, may bring into the database.
    pub(crate) fn brings(&self, statement: &Statement) -> Brings {
        let in_code = statement.effects.code.iter().flat_map(|code| &code.calls);
        let called = statement.functions.iter().chain(in_code);
        let conducts = called.filter_map(|function| self.functions.conduct(function));
        conducts.fold(self.unnamed(statement).brings, |all, conduct| all.join(conduct.brings))
    }

    /// Nothing has been read yet: anything may run anything.
    pub(crate) fn unread() -> Self {
        Self { changed: true, ..Self::default() }
    }

    /// Whether something that left something is not there any more, or is something else: it was taken away past weir.
    pub(crate) fn lacks(&self, old: &Self) -> bool {
        fn lost<K: Eq + Hash>(now: &HashMap<K, Conduct>, old: &HashMap<K, Conduct>) -> bool {
            old.iter()
                .any(|(name, conduct)| conduct.traces > now.get(name).map_or(Traces::None, |now| now.traces))
        }
        let behind = |name, was: &Behind| {
            let now = self.relations.get(name).copied().unwrap_or_default();
            was.read > now.read || was.written > now.written
        };
        lost(&self.functions.acting, &old.functions.acting)
            || lost(&self.mentioned, &old.mentioned)
            || lost(&self.symbols, &old.symbols)
            || old.relations.iter().any(|(name, was)| behind(name, was))
            || old.anywhere.traces > self.anywhere.traces
            || old.definitions > self.definitions
            || old.maintenance > self.maintenance
    }

    /// What a statement may do by code that it does not name, relations aside.
    pub(crate) fn unnamed(&self, statement: &Statement) -> Conduct {
        if self.mentioned.is_empty() && self.symbols.is_empty() {
            return self.anywhere;
        }
        let in_code = statement.effects.code.iter().flat_map(|code| &code.mentions);
        let mentioned = statement.mentions.iter().chain(in_code).map(|name| self.mentioned(name));
        // `t(x)` makes `x` a value of the type `t` where there is no such function.
        let called = statement.functions.iter().filter_map(|function| self.symbols.get(&function.name));
        mentioned.chain(called.copied()).fold(self.anywhere, Conduct::join)
    }

    fn names(&self) -> impl Iterator<Item = Conduct> {
        self.mentioned.values().chain(self.symbols.values()).copied()
    }

    fn mentioned(&self, name: &str) -> Conduct {
        if name.is_empty() {
            // Too many to be listed.
            return self.names().fold(Conduct::default(), Conduct::join);
        }
        let of = |names: &HashMap<Box<str>, Conduct>| names.get(name).copied().unwrap_or_default();
        of(&self.mentioned).join(of(&self.symbols))
    }

    /// What the functions of a name may leave; `None` when there is none that is known.
    pub fn function(&self, name: &Name) -> Option<Traces> {
        self.known()?.traces(name)
    }

    /// What is known of a function that was called at `since`, when so much had been taken away and nothing was known of
    /// it. `None` when there is nothing yet.
    pub(crate) fn recall(&self, name: &Name, since: Instant, gone: u64) -> Option<Traces> {
        let is_behind = self.began? > since;
        if self.has_lost(gone) {
            // It may have been another function then, of which only this much is taken for granted.
            let known = is_behind || !self.changed;
            return known.then(|| self.functions.traces(name).unwrap_or_default().max(Traces::Discardable));
        }
        // If there was none afterwards, there was none.
        let now = self.functions.traces(name).filter(|_| is_behind || !self.changed);
        now.or(is_behind.then_some(Traces::None))
    }

    /// What is known of statements that had run by `since`, when anything could run anything. `None` when there is nothing
    /// yet: only what was read afterwards shows all that was there.
    pub(crate) fn recall_statements(&self, statements: &[Statement], since: Instant) -> Option<Traces> {
        self.began.filter(|began| *began > since)?;
        let of = |statement| self.find(statement, Some(&self.functions), |_| false).traces;
        Some(statements.iter().map(of).max().unwrap_or_default())
    }

    /// Whether some code may be gone that was there when so much had been taken away.
    pub(crate) fn has_lost(&self, gone: u64) -> bool {
        gone != self.gone_when_read
    }

    /// What is left after code was changed: nothing of functions, until they have been read again. What was behind
    /// relations goes on counting, as most of it is there still.
    pub(crate) fn after_change(&self) -> Self {
        Self { changed: true, ..self.clone() }
    }
}

/// What a statement may leave that its text does not tell. `is_harmless` is said of functions that leave nothing
/// whatever they look like.
pub fn found(map: Option<&CodeMap>, statement: &Statement, is_harmless: impl Fn(&Name) -> bool) -> Found {
    let unread = CodeMap::default();
    let map = map.unwrap_or(&unread);
    map.find(statement, map.known(), is_harmless)
}

impl CodeMap {
    fn find(
        &self,
        statement: &Statement,
        functions: Option<&Functions>,
        is_harmless: impl Fn(&Name) -> bool,
    ) -> Found {
        let mut found = Found { gone: self.gone, ..Found::default() };
        for function in statement.functions.iter().filter(|function| !is_harmless(function)) {
            found.call(function, functions, Word::OfFunction);
        }
        if let Some(code) = &statement.effects.code {
            for function in code.calls.iter().filter(|function| !is_harmless(function)) {
                found.call(function, functions, Word::OfGrammar);
            }
        }
        if self.concerns_relations() {
            found.traces = found.traces.max(self.behind(statement)).max(self.unnamed(statement).traces);
        }
        found
    }

    fn behind(&self, statement: &Statement) -> Traces {
        let read = statement.reads.iter().filter_map(|name| self.relations.get(&name.name));
        let written = statement.writes.iter().map(|name| &name.name);
        let words = statement.effects.code.iter().flat_map(|code| &code.words);
        let written = written.chain(words).filter_map(|name| self.relations.get(name));
        let behind = read.map(|behind| behind.read).chain(written.map(|behind| behind.written)).max();
        let defines = matches!(statement.kind, Kind::Primary(Why::Ddl | Why::Temporary));
        let definitions = if defines { self.definitions } else { Traces::None };
        // `TRUNCATE ... CASCADE` empties others, whose triggers run.
        let unlisted =
            statement.kind == Kind::Primary(Why::Write) && statement.writes_listed == Listed::Partly;
        let maintains = statement.kind == Kind::Primary(Why::Maintenance) || unlisted;
        let maintenance = if maintains { self.maintenance } else { Traces::None };
        behind.unwrap_or_default().max(definitions).max(maintenance)
    }
}

/// Follows what calls what to its end.
pub(super) fn trace<'a>(
    rows: &'a Rows,
    relations: impl Iterator<Item = Relation<'a>>,
    ties: impl Iterator<Item = Tied>,
) -> Web<'a> {
    let reader = &CodeReader::default();
    let codes: Vec<Code> = rows.functions.iter().map(|function| function.code(reader)).collect();
    let mut web = Web::new(&rows.functions, relations);
    web.symbols(&rows.operators, &rows.types);
    for (at, code) in codes.iter().enumerate() {
        web.calls(&rows.functions, at, code);
    }
    for (whole, part) in &rows.made_of {
        web.lead(web.functions.get(part).copied(), web.functions.get(whole).copied());
    }
    for run in &rows.run {
        let object = run.object.and_then(|object| web.place(object, run.when));
        web.lead(web.functions.get(&run.function).copied(), object);
    }
    for tied in ties {
        web.lead(web.place(tied.to, When::Written), web.place(tied.from, When::Written));
        if tied.when == When::Used {
            web.lead(web.place(tied.to, When::Used), web.place(tied.from, When::Used));
        }
    }
    for (at, code) in codes.iter().enumerate() {
        web.mark(Some(at), code.conduct);
    }
    web.spread();
    web
}

/// What the code that runs behind relations does with data; `None` is any statement.
pub(super) fn runs(rows: &Rows, web: &Web<'_>) -> Vec<(Option<u32>, Runs)> {
    let of = |run: &Run| {
        let data = web.conduct(run.function).data;
        let runs = match (run.when, data) {
            (When::Written | When::Planned, DataUse::Writes) => Runs::Written,
            (When::Called | When::Defining | When::Maintaining, _) => return None,
            (_, DataUse::Writes) => Runs::Used,
            (When::Used, DataUse::Reads) => Runs::Read,
            _ => return None,
        };
        let somewhere = matches!(run.when, When::Written | When::Planned | When::Used);
        Some((run.object.filter(|_| somewhere), runs))
    };
    rows.run.iter().filter_map(of).collect()
}

/// What is known of the code by then; the reading of it began at `began`.
pub(super) fn tell(rows: &Rows, web: &Web<'_>, built_ins: Arc<BuiltIns>, began: Instant) -> CodeMap {
    let reader = &CodeReader::default();
    let mut map = CodeMap { began: Some(began), ..CodeMap::default() };
    let mut acting = HashMap::new();
    for (at, function) in rows.functions.iter().enumerate() {
        let conduct = web.conducts[at];
        let alone = Name { schema: None, name: function.name.clone() };
        let all: &mut Conduct = acting.entry(alone).or_default();
        *all = conduct.join(*all);
        if &*function.schema != "pg_catalog" {
            let name = Name { schema: Some(function.schema.clone()), name: function.name.clone() };
            let all: &mut Conduct = acting.entry(name).or_default();
            *all = conduct.join(*all);
        }
        if function.is_mentioned(conduct, reader) {
            let all = map.mentioned.entry(function.name.clone()).or_default();
            *all = conduct.join(*all);
            if reader.built_in(&function.name).is_some() && &*function.schema != "pg_catalog" {
                map.overloads = map.overloads.join(conduct);
            }
        }
    }
    map.functions = Arc::new(Functions { acting, built_ins });
    for (at, name) in &web.names {
        let (read, written) = (web.conducts[*at].traces, web.conducts[*at + 1].traces);
        map.maintenance = map.maintenance.max(written);
        if written > Traces::None {
            let worst = map.relations.entry((*name).into()).or_default();
            *worst = Behind { read: read.max(worst.read), written: written.max(worst.written) };
        }
    }
    for (name, conduct) in web.named().filter(|(_, conduct)| !conduct.is_pure()) {
        map.symbols.insert(name.into(), conduct);
    }
    for run in &rows.run {
        let conduct = web.conduct(run.function);
        match run.when {
            When::Anywhere => map.anywhere = map.anywhere.join(conduct),
            When::Defining => map.definitions = map.definitions.max(conduct.traces),
            When::Maintaining => map.maintenance = map.maintenance.max(conduct.traces),
            _ => {}
        }
    }
    map
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
