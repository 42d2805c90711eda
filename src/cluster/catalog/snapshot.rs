//! A snapshot of what the primary's catalog says about one database: which functions only read, which relations replicas
//! do not have, and what a statement that names a relation may reach.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use super::beyond::BeyondMap;
use super::built_ins::BuiltIns;
use super::code_rows::Volatility;
use super::traces::CodeMap;
use crate::freshness::Slot;
use crate::sql::Name;

/// By names as statements speak of them, each of which is looked up whenever it is spoken of.
type ByName<T> = HashMap<Name, T, RandomState>;

/// Names as statements speak of them.
type Names = HashSet<Name, RandomState>;

/// One database's catalog at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// PostgreSQL's own functions. None while a change of the catalog is being read.
    pub(crate) built_ins: Arc<BuiltIns>,
    /// The functions of users by name alone, and by schema and name outside `pg_catalog`: an unqualified call may resolve
    /// to any schema of the search path, so all functions of a name count. Empty while a change of the catalog is being read.
    pub functions: ByName<Volatility>,
    /// Unlogged relations, by name alone and by schema and name. They are not replicated: reading one on a replica
    /// fails with 0A000.
    pub unlogged: Names,
    /// Sequences and views of them, named in both ways. A replica has of a sequence what was reserved in advance, and
    /// answers with that.
    pub sequences: Names,
    /// Relations by name alone (all of that name together), and by schema and name. Empty while a change of the
    /// catalog is being read.
    pub relations: ByName<Relation>,
    /// Relations, named in both ways, the reading of which calls functions that may write: in the query of a view, or in
    /// a policy for rows.
    pub volatile: Names,
    /// Relations, named in both ways, the reading of which asks for the transaction: in the query of a view, or in a policy
    /// for rows.
    pub asking: Names,
    /// Functions, named as in `functions`, of which some is not IMMUTABLE: what such a one asks, nobody knows.
    pub asking_functions: Names,
    /// Whether an operator, a cast, a comparison or a domain of users may write: then any statement may that uses one,
    /// which its text does not tell.
    pub operators_write: bool,
    /// What code leaves in the sessions that run it.
    pub code: CodeMap,
    /// The names of all relations, without a schema, when they were last read: one that is not among them has been made
    /// since, and may be a view of whatever it likes.
    pub named: Arc<HashSet<Box<str>>>,
    /// What has to do with the server itself, or with what all databases share.
    pub beyond: BeyondMap,
    /// Since when `relations` says what it says: writes from before were marked by what an earlier snapshot said.
    pub since: Option<Instant>,
}

/// Most places that a reach lists. A name that many schemas share reaches everything in the end.
const SLOTS_MAX: usize = 256;

/// What a statement that names a relation may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// What may have changed when it was written.
    pub written: Reach,
    /// What an answer may depend on when it is read.
    pub read: Reach,
}

/// How far a statement reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// These relations.
    These(Box<[Slot]>),
    /// Any relation of the database: user code is involved.
    Everything,
}

impl Relation {
    /// Takes in another relation of the same name: the name may mean either.
    fn join(&mut self, other: &Self) {
        self.written.join(&other.written);
        self.read.join(&other.read);
    }
}

impl Reach {
    fn join(&mut self, other: &Self) {
        let (Reach::These(own), Reach::These(others)) = (&*self, other) else {
            *self = Reach::Everything;
            return;
        };
        let mut slots = [&own[..], &others[..]].concat();
        slots.sort_unstable();
        slots.dedup();
        *self = if slots.len() > SLOTS_MAX { Reach::Everything } else { Reach::These(slots.into()) };
    }
}

impl Catalog {
    /// What is known about a function; `None` when the catalog does not hold it.
    pub fn function(&self, name: &Name) -> Option<Volatility> {
        let name = &*key(name);
        // The worse of the two, and none is less than any.
        self.functions.get(name).copied().max(self.built_ins.volatility(name))
    }

    /// Whether a function may write when the primary runs it. What is declared not to is not believed, unless it is in
    /// C: see [`Volatility::Declared`].
    pub(crate) fn may_write(&self, function: &Name) -> bool {
        self.function(function) != Some(Volatility::ReadOnly)
    }

    /// Whether a relation of that name is unlogged, in its schema or, unqualified, in any.
    pub fn is_unlogged(&self, name: &Name) -> bool {
        self.unlogged.contains(name)
    }

    /// Whether a relation of that name is a sequence, or a view of one.
    pub fn is_sequence(&self, name: &Name) -> bool {
        self.sequences.contains(name)
    }

    /// Whether a relation of that name may have been made since the catalog was read: nothing is known of it then. As long
    /// as the catalog holds, there is no such relation.
    pub fn may_be_new(&self, name: &Name) -> bool {
        let unread = self.since.is_none() && !self.named.is_empty();
        unread && !is_own(name) && !self.named.contains(&name.name)
    }

    /// What a relation of that name reaches; `None` when the catalog does not hold it.
    pub fn relation(&self, name: &Name) -> Option<&Relation> {
        self.relations.get(name)
    }

    /// Whether reading a relation of that name may write, because of the functions that it calls.
    pub fn is_volatile(&self, name: &Name) -> bool {
        self.volatile.contains(name)
    }

    /// Whether reading a relation of that name may ask for the transaction that it is read in: when that began, how it was
    /// begun, what it has open. Of what the catalog does not hold, and where an operator may run anything, nobody knows. Of
    /// PostgreSQL's own relations, those that ask are told by the text (`Dependency::Transaction`).
    pub fn asks_transaction(&self, relation: &Name) -> bool {
        if self.operators_write || self.asking.contains(relation) {
            return true;
        }
        !is_own(relation) && !self.relations.contains_key(relation)
    }

    /// Whether a function of that name may ask for the transaction: any may that is not declared IMMUTABLE.
    pub fn function_asks_transaction(&self, function: &Name) -> bool {
        let name = &*key(function);
        let is_asking = self.asking_functions.contains(name) || self.built_ins.asks(name);
        is_asking || self.function(name).is_none()
    }

    /// Whether it says of all relations what `other` says.
    pub(crate) fn has_relations_of(&self, other: &Self) -> bool {
        self.relations == other.relations && self.volatile == other.volatile
    }

    /// Adds the functions of one schema and name.
    pub(crate) fn add_function(&mut self, schema: &str, name: &str, volatility: Volatility) {
        match self.functions.entry(unqualified(name)) {
            Entry::Vacant(entry) => {
                entry.insert(volatility);
            }
            Entry::Occupied(mut entry) => {
                let worst = volatility.max(*entry.get());
                entry.insert(worst);
            }
        }
        if schema != "pg_catalog" {
            self.functions.insert(qualified(schema, name), volatility);
        }
    }

    /// Takes down that some function of one schema and name is not IMMUTABLE.
    pub(crate) fn add_asking_function(&mut self, schema: &str, name: &str) {
        self.asking_functions.insert(unqualified(name));
        if schema != "pg_catalog" {
            self.asking_functions.insert(qualified(schema, name));
        }
    }

    /// Takes down that reading a relation asks for the transaction.
    pub(crate) fn add_asking(&mut self, schema: &str, name: &str) {
        self.asking.insert(unqualified(name));
        self.asking.insert(qualified(schema, name));
    }

    /// Adds an unlogged relation.
    pub(crate) fn add_unlogged(&mut self, schema: &str, name: &str) {
        self.unlogged.insert(unqualified(name));
        self.unlogged.insert(qualified(schema, name));
    }

    /// Adds a sequence, or a view of one.
    pub(crate) fn add_sequence(&mut self, schema: &str, name: &str) {
        self.sequences.insert(unqualified(name));
        self.sequences.insert(qualified(schema, name));
    }

    /// Adds a relation, and whether reading it is volatile.
    pub(crate) fn add_relation(
        &mut self,
        schema: &str,
        name: &str,
        relation: &Relation,
        reading: Volatility,
    ) {
        for name in [unqualified(name), qualified(schema, name)] {
            if reading == Volatility::Volatile {
                self.volatile.insert(name.clone());
            }
            match self.relations.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(relation.clone());
                }
                Entry::Occupied(mut entry) => entry.get_mut().join(relation),
            }
        }
    }

    /// One that is being read, and takes long: nothing is known, not even that there is nothing to know.
    pub(crate) fn unread() -> Self {
        Self { operators_write: true, code: CodeMap::unread(), ..Self::default() }
    }

    /// Whether it is one that was never read.
    pub(crate) fn is_unread(&self) -> bool {
        self.code.changed && self.code.began.is_none()
    }

    /// What may still be relied on after the catalog changed. A function may have begun to write, and a replica
    /// would not always say so. A relation that only the primary can be asked for may be another one now: to ask the
    /// primary is never wrong. What code leaves is another matter: see [`CodeMap`].
    pub(crate) fn after_change(&self) -> Self {
        let (unlogged, sequences) = (self.unlogged.clone(), self.sequences.clone());
        let (code, beyond, named) = (self.code.clone(), self.beyond.clone(), self.named.clone());
        Self { unlogged, sequences, operators_write: true, code, beyond, named, ..Self::default() }
    }

    /// What may still be relied on after code of a user's ran, which may have changed definitions and mostly has not.
    /// What relations reach must be right for no read to be stale. Functions are believed for the moment: a write that
    /// reaches a replica by mistake is refused there.
    pub(crate) fn doubted(&self) -> Self {
        Self {
            built_ins: self.built_ins.clone(),
            functions: self.functions.clone(),
            asking_functions: self.asking_functions.clone(),
            operators_write: self.operators_write,
            ..self.after_change()
        }
    }

    /// Whether nothing is said of relations but which are the primary's alone.
    pub(crate) fn is_doubted(&self) -> bool {
        self.since.is_none() && self.relations.is_empty()
    }
}

/// Whether a relation of that name is one of PostgreSQL's own.
fn is_own(relation: &Name) -> bool {
    match relation.schema.as_deref() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema"),
        // They are found before any other of that name.
        None => relation.name.starts_with("pg_"),
    }
}

/// The name under which a function is kept: PostgreSQL's own by name alone, which can only err towards the primary.
fn key(function: &Name) -> Cow<'_, Name> {
    match function.schema.as_deref() {
        Some("pg_catalog") => Cow::Owned(unqualified(&function.name)),
        _ => Cow::Borrowed(function),
    }
}

fn unqualified(name: &str) -> Name {
    Name { schema: None, name: name.into() }
}

fn qualified(schema: &str, name: &str) -> Name {
    Name { schema: Some(schema.into()), name: name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.add_function("pg_catalog", "lower", Volatility::ReadOnly);
        catalog.add_function("public", "total", Volatility::ReadOnly);
        catalog.add_function("audit", "total", Volatility::Volatile);
        catalog.add_function("public", "Total", Volatility::ReadOnly);
        catalog.add_unlogged("public", "scratch");
        catalog.add_sequence("public", "numbers");
        let relation = Relation { written: Reach::Everything, read: Reach::Everything };
        catalog.add_relation("public", "v", &relation, Volatility::Volatile);
        catalog.since = Some(Instant::now());
        catalog
    }

    #[test]
    fn an_unqualified_name_only_reads_when_it_does_so_in_every_schema() {
        let catalog = catalog();
        assert_eq!(catalog.function(&unqualified("total")), Some(Volatility::Volatile));
        assert_eq!(catalog.function(&qualified("public", "total")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("audit", "total")), Some(Volatility::Volatile));
        assert_eq!(catalog.function(&unqualified("Total")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("nowhere", "total")), None);
        assert_eq!(catalog.function(&unqualified("nothing")), None);
    }

    #[test]
    fn the_order_of_schemas_does_not_matter() {
        let mut catalog = Catalog::default();
        catalog.add_function("audit", "total", Volatility::Volatile);
        catalog.add_function("public", "total", Volatility::ReadOnly);
        assert_eq!(catalog.function(&unqualified("total")), Some(Volatility::Volatile));
    }

    #[test]
    fn postgresqls_own_functions_are_found_with_and_without_their_schema() {
        let mut catalog = catalog();
        assert_eq!(catalog.function(&unqualified("lower")), Some(Volatility::ReadOnly));
        assert_eq!(catalog.function(&qualified("pg_catalog", "lower")), Some(Volatility::ReadOnly));
        catalog.add_function("public", "lower", Volatility::Volatile);
        assert_eq!(catalog.function(&unqualified("lower")), Some(Volatility::Volatile));
    }

    #[test]
    fn a_name_alone_means_every_relation_of_that_name() {
        let mut catalog = Catalog::default();
        let slot = Slot::of;
        let these = |slots: &[Slot]| Reach::These(slots.into());
        let a = Relation { written: these(&[slot(1)]), read: these(&[slot(1), slot(3)]) };
        let b = Relation { written: Reach::Everything, read: these(&[slot(2), slot(3)]) };
        catalog.add_relation("one", "t", &a, Volatility::ReadOnly);
        catalog.add_relation("two", "t", &b, Volatility::Volatile);
        assert_eq!(catalog.relation(&qualified("one", "t")), Some(&a));
        assert_eq!(catalog.relation(&qualified("two", "t")), Some(&b));
        let both = Relation { written: Reach::Everything, read: these(&[slot(1), slot(2), slot(3)]) };
        assert_eq!(catalog.relation(&unqualified("t")), Some(&both));
        let volatile = |name| catalog.is_volatile(&name);
        assert!(
            !volatile(qualified("one", "t")) && volatile(qualified("two", "t")) && volatile(unqualified("t"))
        );
        for n in 0..300 {
            catalog.add_relation(
                &format!("tenant{n}"),
                "u",
                &Relation { written: these(&[slot(n)]), ..a.clone() },
                Volatility::ReadOnly,
            );
        }
        let many = catalog.relation(&unqualified("u")).unwrap();
        assert_eq!((&many.written, &many.read), (&Reach::Everything, &a.read));
    }

    #[test]
    fn after_a_change_a_relation_that_was_not_there_may_be_new() {
        let mut catalog = catalog();
        catalog.named = Arc::new(HashSet::from(["v".into()]));
        assert!(!catalog.may_be_new(&unqualified("w")), "it is not there");
        for changed in [catalog.after_change(), catalog.doubted()] {
            assert!(changed.may_be_new(&unqualified("w")) && changed.may_be_new(&qualified("public", "w")));
            for known in [unqualified("v"), unqualified("pg_class"), qualified("information_schema", "w")] {
                assert!(!changed.may_be_new(&known), "{known:?}");
            }
        }
        assert!(!Catalog::default().after_change().may_be_new(&unqualified("w")), "none was ever read");
    }

    #[test]
    fn after_a_change_no_function_is_known_but_what_only_the_primary_has_still_is() {
        let changed = catalog().after_change();
        assert_eq!(changed.function(&unqualified("lower")), None);
        assert!(changed.is_unlogged(&unqualified("scratch")));
        assert!(changed.is_unlogged(&qualified("public", "scratch")));
        assert!(!changed.is_unlogged(&qualified("other", "scratch")));
        assert!(
            changed.is_sequence(&unqualified("numbers"))
                && changed.is_sequence(&qualified("public", "numbers"))
        );
        assert!(changed.is_doubted() && changed.volatile.is_empty() && changed.operators_write);
    }

    #[test]
    fn in_doubt_functions_are_known_and_what_relations_reach_is_not() {
        let catalog = catalog();
        let doubted = catalog.doubted();
        assert_eq!(doubted.functions, catalog.functions);
        assert!(doubted.is_unlogged(&unqualified("scratch")) && doubted.is_sequence(&unqualified("numbers")));
        assert!(!catalog.is_doubted() && doubted.is_doubted() && doubted.volatile.is_empty());
        assert!(!doubted.operators_write);
    }

    #[test]
    fn only_what_is_known_asks_nothing_of_the_transaction() {
        let mut catalog = catalog();
        catalog.add_asking("public", "v");
        let relation = Relation { written: Reach::Everything, read: Reach::Everything };
        catalog.add_relation("public", "t", &relation, Volatility::ReadOnly);
        catalog.add_asking_function("pg_catalog", "lower");
        catalog.add_asking_function("audit", "total");
        let asks = |catalog: &Catalog, name: Name| catalog.asks_transaction(&name);
        for asking in [unqualified("v"), qualified("public", "v"), unqualified("x"), qualified("x", "t")] {
            assert!(asks(&catalog, asking.clone()), "{asking:?}");
        }
        for silent in [unqualified("t"), unqualified("pg_class"), qualified("information_schema", "tables")] {
            assert!(!asks(&catalog, silent.clone()), "{silent:?}");
        }
        let calls = |name| catalog.function_asks_transaction(&name);
        assert!(calls(unqualified("total")) && calls(qualified("audit", "total")));
        assert!(calls(qualified("pg_catalog", "lower")) && calls(unqualified("nobody")));
        assert!(!calls(qualified("public", "total")) && !calls(unqualified("Total")));
        let doubted = catalog.doubted();
        assert!(
            asks(&doubted, unqualified("t")) && !doubted.function_asks_transaction(&unqualified("Total"))
        );
        assert!(catalog.after_change().function_asks_transaction(&unqualified("Total")));
        assert!(asks(&Catalog { operators_write: true, ..catalog.clone() }, unqualified("t")));
    }

    #[test]
    fn only_what_cannot_write_is_known_not_to() {
        let mut catalog = catalog();
        catalog.add_function("public", "trusted", Volatility::ReadOnly);
        catalog.add_function("public", "declared", Volatility::ReadOnly);
        catalog.add_function("audit", "declared", Volatility::Declared);
        let may_write = |schema, name| match schema {
            "" => catalog.may_write(&unqualified(name)),
            schema => catalog.may_write(&qualified(schema, name)),
        };
        assert!(!may_write("", "lower") && !may_write("", "trusted") && !may_write("public", "declared"));
        assert!(may_write("", "declared") && may_write("audit", "declared"));
        assert!(may_write("audit", "total") && may_write("", "nobody"));
    }
}
