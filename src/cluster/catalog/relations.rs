//! From rows of the catalog to what a statement that names a relation may touch.
//!
//! Pure: the rows are read elsewhere. What a user's code does when it runs is not looked into: where a read or a write
//! runs some, it reaches everything. No walk recurses, and each gives up soon: data of users must not cost a stack, nor
//! seconds.

use std::collections::HashMap;
use std::sync::Arc;

use super::code_rows::{Runs, Tied, Volatility, When};
use super::snapshot::{Catalog, Reach, Relation};
use crate::freshness::Slot;

/// What was read of one database's relations.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The relations of users.
    pub(super) relations: Vec<Row>,
    /// How they hang together.
    pub(super) edges: Vec<Edge>,
    /// The relations, by OID, that run a user's code; `None` is any statement that uses an operator, a cast or the like.
    pub(super) code: Vec<(Option<u32>, Runs)>,
    /// Those that ask for the transaction when they are read, by OID.
    pub(super) asking: Vec<u32>,
}

/// One relation (`pg_class`).
#[derive(Debug)]
pub(super) struct Row {
    pub(super) oid: u32,
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
}

/// What a relation is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has rows of its own: a table, a foreign table, a materialised view.
    Stored,
    /// It has one row, of which replicas tell something else.
    Sequence,
    /// Its rows are those of other relations.
    View,
}

/// A relation that another one, both by OID, has to do with.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) tie: Tie,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// How one relation has to do with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// It is a partition or a child of the other one.
    Inherits,
    /// A row that is deleted or changed in it deletes or changes rows of the other one, by a foreign key.
    Cascades,
    /// The view's query reads the other one.
    Selects,
    /// A policy for its rows reads the other one.
    Policy,
}

/// Most relations that a reach is followed to, and so most places that it lists.
const REACH_MAX: usize = 128;

impl Facts {
    /// The relations by OID and name.
    pub(super) fn names(&self) -> impl Iterator<Item = (u32, &str)> {
        self.relations.iter().map(|row| (row.oid, &*row.name))
    }

    /// The same with the schema.
    pub(super) fn full_names(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.relations.iter().map(|row| (row.oid, &*row.schema, &*row.name))
    }

    /// Which relations are used when others are.
    pub(super) fn ties(&self) -> impl Iterator<Item = Tied> {
        let back = self.edges.iter().filter(|edge| edge.tie == Tie::Inherits);
        let there = self.edges.iter().map(|edge| Tied {
            from: edge.from,
            to: edge.to,
            when: if edge.tie == Tie::Cascades { When::Written } else { When::Used },
        });
        there.chain(back.map(|edge| Tied { from: edge.to, to: edge.from, when: When::Used }))
    }

    /// Adds all relations to a catalog.
    pub(super) fn fill(&self, catalog: &mut Catalog) {
        catalog.named = Arc::new(self.relations.iter().map(|row| row.name.clone()).collect());
        catalog.operators_write = self.code.iter().any(|(relation, _)| relation.is_none());
        let trees = Trees::grown(&self.relations, &self.edges);
        let graph = Graph::drawn(self, &trees);
        let mut known: HashMap<usize, (Relation, Reading)> = HashMap::new();
        for (at, row) in self.relations.iter().enumerate() {
            let root = trees.roots[at];
            let (relation, reading) = known.entry(root).or_insert_with(|| {
                let written = graph.reach(root, |node| &node.written);
                let read = graph.reach(root, |node| &node.read);
                (Relation { written, read }, graph.reading(root))
            });
            catalog.add_relation(&row.schema, &row.name, relation, reading.volatility);
            if reading.numbers == Numbers::Drawn {
                catalog.add_sequence(&row.schema, &row.name);
            }
            if reading.asks {
                catalog.add_asking(&row.schema, &row.name);
            }
        }
    }
}

/// Which relations are partitions or children of each other. Rows of one are rows of another, so that all of them are
/// one thing here, for which the member with the smallest OID stands.
struct Trees {
    by_oid: HashMap<u32, usize>,
    /// For each relation the one that stands for its tree.
    roots: Vec<usize>,
}

impl Trees {
    fn grown(rows: &[Row], edges: &[Edge]) -> Self {
        let by_oid: HashMap<u32, usize> = rows.iter().enumerate().map(|(at, row)| (row.oid, at)).collect();
        let mut kin = vec![Vec::new(); rows.len()];
        for edge in edges.iter().filter(|edge| edge.tie == Tie::Inherits) {
            if let (Some(&child), Some(&parent)) = (by_oid.get(&edge.from), by_oid.get(&edge.to)) {
                kin[child].push(parent);
                kin[parent].push(child);
            }
        }
        let mut roots: Vec<usize> = (0..rows.len()).collect();
        let mut seen = vec![Seen::NotYet; rows.len()];
        let mut by_age = roots.clone();
        by_age.sort_unstable_by_key(|at| rows[*at].oid);
        for root in by_age {
            let mut open = vec![root];
            while let Some(at) = open.pop() {
                if seen[at] == Seen::NotYet {
                    seen[at] = Seen::Already;
                    roots[at] = root;
                    open.extend(&kin[at]);
                }
            }
        }
        Self { by_oid, roots }
    }

    /// What stands for the relation with this OID; `None` when it is not among the rows.
    fn place(&self, oid: u32) -> Option<usize> {
        self.by_oid.get(&oid).map(|at| self.roots[*at])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    NotYet,
    Already,
}

/// What leads on from one tree of relations.
#[derive(Debug, Default)]
struct Steps {
    to: Vec<usize>,
    /// It leads to everything.
    code: Option<Code>,
}

/// What a user's code may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Code {
    Read,
    Write,
}

/// What reading a relation comes to, apart from how far it reaches.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Whether it may run code that writes.
    volatility: Volatility,
    numbers: Numbers,
    /// Whether it may ask for the transaction.
    asks: bool,
}

/// Whether rows are, or may be, those of a sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Numbers {
    #[default]
    None,
    Drawn,
}

#[derive(Debug, Default)]
struct Node {
    slot: Option<Slot>,
    numbers: Numbers,
    /// It asks for the transaction, or leads to what nobody knows.
    asks: bool,
    written: Steps,
    read: Steps,
}

/// The trees of relations, and what leads from one to another when it is written or read.
struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn drawn(facts: &Facts, trees: &Trees) -> Self {
        let mut nodes: Vec<Node> = facts.relations.iter().map(|_| Node::default()).collect();
        for (at, row) in facts.relations.iter().enumerate() {
            let root = trees.roots[at];
            if row.kind != Kind::View {
                nodes[root].slot = Some(Slot::of(facts.relations[root].oid));
            }
            if row.kind == Kind::Sequence {
                nodes[root].numbers = Numbers::Drawn;
            }
        }
        let mut graph = Self { nodes };
        for edge in &facts.edges {
            graph.add(edge, trees);
        }
        for (oid, runs) in &facts.code {
            graph.run(*runs, oid.and_then(|oid| trees.place(oid)));
        }
        for place in facts.asking.iter().filter_map(|oid| trees.place(*oid)) {
            graph.nodes[place].asks = true;
        }
        graph
    }

    fn add(&mut self, edge: &Edge, trees: &Trees) {
        let Some(from) = trees.place(edge.from) else { return };
        let to = trees.place(edge.to);
        let node = &mut self.nodes[from];
        node.asks |= to.is_none() && matches!(edge.tie, Tie::Selects | Tie::Policy);
        match edge.tie {
            Tie::Inherits => {}
            Tie::Cascades => node.written.lead(to),
            Tie::Policy => node.read.lead(to),
            // A view of one relation can be written through; the others of a larger one do no harm.
            Tie::Selects => {
                node.read.lead(to);
                node.written.lead(to);
            }
        }
    }

    fn run(&mut self, runs: Runs, place: Option<usize>) {
        let Some(place) = place else { return };
        let node = &mut self.nodes[place];
        match runs {
            Runs::Written => node.written.code = Some(Code::Write),
            Runs::Read => node.read.code = node.read.code.max(Some(Code::Read)),
            Runs::Used => {
                node.read.code = Some(Code::Write);
                node.written.code = Some(Code::Write);
            }
        }
    }

    /// The places that are reached from a node, itself included.
    fn reach(&self, from: usize, steps: impl Fn(&Node) -> &Steps) -> Reach {
        let Some(reached) = self.walk(from, &steps) else { return Reach::Everything };
        if reached.iter().any(|at| steps(&self.nodes[*at]).code.is_some()) {
            return Reach::Everything;
        }
        let mut slots: Vec<_> = reached.iter().filter_map(|at| self.nodes[*at].slot).collect();
        slots.sort_unstable();
        slots.dedup();
        Reach::These(slots.into())
    }

    /// What reading a node comes to. Of what is too far to follow, the worst.
    fn reading(&self, from: usize) -> Reading {
        let Some(reached) = self.walk(from, |node| &node.read) else {
            return Reading { volatility: Volatility::Volatile, numbers: Numbers::Drawn, asks: true };
        };
        let writes = |at: &usize| self.nodes[*at].read.code == Some(Code::Write);
        let drawn = |at: &usize| self.nodes[*at].numbers == Numbers::Drawn;
        Reading {
            volatility: if reached.iter().any(writes) { Volatility::Volatile } else { Volatility::ReadOnly },
            numbers: if reached.iter().any(drawn) { Numbers::Drawn } else { Numbers::None },
            asks: reached.iter().any(|at| self.nodes[*at].asks),
        }
    }

    /// All nodes that are reached from one; `None` when they are too many to follow.
    fn walk(&self, from: usize, steps: impl Fn(&Node) -> &Steps) -> Option<Vec<usize>> {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(&at) = reached.get(next) {
            next += 1;
            for to in &steps(&self.nodes[at]).to {
                if reached.contains(to) {
                    continue;
                }
                if reached.len() == REACH_MAX {
                    return None;
                }
                reached.push(*to);
            }
        }
        Some(reached)
    }
}

impl Steps {
    /// Leads on to a node. What is not known may be anything.
    fn lead(&mut self, to: Option<usize>) {
        match to {
            Some(to) => self.to.push(to),
            None => self.code = self.code.max(Some(Code::Read)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Name;

    /// Facts in words: tables, views and sequences by number (`"1 2 v3 s4"`); edges and code as they are.
    fn catalog(relations: &str, edges: &[(Tie, u32, u32)], code: &[(u32, Runs)]) -> Catalog {
        let row = |word: &str| {
            let (kind, number) = match (word.strip_prefix('v'), word.strip_prefix('s')) {
                (Some(number), _) => (Kind::View, number),
                (_, Some(number)) => (Kind::Sequence, number),
                (None, None) => (Kind::Stored, word),
            };
            Row { oid: number.parse().unwrap(), schema: "s".into(), name: number.into(), kind }
        };
        let edge = |&(tie, from, to): &(Tie, u32, u32)| Edge { tie, from, to };
        let facts = Facts {
            relations: relations.split(' ').map(row).collect(),
            edges: edges.iter().map(edge).collect(),
            code: code.iter().map(|(oid, runs)| (Some(*oid), *runs)).collect(),
            ..Facts::default()
        };
        let mut catalog = Catalog::default();
        facts.fill(&mut catalog);
        catalog
    }

    fn name(number: u32) -> Name {
        Name { schema: None, name: number.to_string().into() }
    }

    fn reach(oids: &[u32]) -> Reach {
        Reach::These(oids.iter().copied().map(Slot::of).collect())
    }

    #[track_caller]
    fn reaches(catalog: &Catalog, number: u32, written: Reach, read: Reach) {
        assert_eq!(catalog.relation(&name(number)), Some(&Relation { written, read }), "{number}");
    }

    #[test]
    fn a_table_alone_is_itself() {
        let catalog = catalog("1 2", &[], &[]);
        reaches(&catalog, 1, reach(&[1]), reach(&[1]));
        assert_eq!(catalog.relation(&name(3)), None);
        assert_eq!(catalog.relations.len(), 4, "each by two names");
    }

    #[test]
    fn a_tree_of_partitions_is_one_thing() {
        use Tie::Inherits;
        let ties =
            [(Inherits, 5, 9), (Inherits, 2, 9), (Inherits, 3, 2), (Inherits, 3, 7), (Inherits, 4, 100)];
        let catalog = catalog("9 5 2 3 7 4", &ties, &[(7, Runs::Written)]);
        for member in [2, 3, 5, 7, 9] {
            reaches(&catalog, member, Reach::Everything, reach(&[2]));
        }
        reaches(&catalog, 4, reach(&[4]), reach(&[4]));
    }

    #[test]
    fn views_are_what_they_select_from() {
        use Tie::Selects;
        let ties = [(Selects, 3, 1), (Selects, 4, 3), (Selects, 4, 2), (Selects, 5, 77), (Selects, 6, 1)];
        let code = [(6, Runs::Read), (2, Runs::Written)];
        let catalog = catalog("1 2 v3 v4 v5 v6", &ties, &code);
        reaches(&catalog, 3, reach(&[1]), reach(&[1]));
        reaches(&catalog, 4, Reach::Everything, reach(&[1, 2]));
        reaches(&catalog, 5, Reach::Everything, Reach::Everything);
        reaches(&catalog, 6, reach(&[1]), Reach::Everything);
    }

    #[test]
    fn foreign_keys_act_all_around_a_circle() {
        use Tie::Cascades;
        let ties = [(Cascades, 1, 2), (Cascades, 2, 3), (Cascades, 3, 1), (Cascades, 4, 4), (Cascades, 5, 6)];
        let catalog = catalog("1 2 3 4 5 6", &ties, &[(6, Runs::Written)]);
        for member in [1, 2, 3] {
            reaches(&catalog, member, reach(&[1, 2, 3]), reach(&[member]));
        }
        reaches(&catalog, 4, reach(&[4]), reach(&[4]));
        reaches(&catalog, 5, Reach::Everything, reach(&[5]));
    }

    #[test]
    fn policies_count_for_those_who_read() {
        use Tie::{Policy, Selects};
        let catalog = catalog("1 2 v3", &[(Policy, 1, 2), (Selects, 3, 1)], &[]);
        reaches(&catalog, 1, reach(&[1]), reach(&[1, 2]));
        reaches(&catalog, 3, reach(&[1]), reach(&[1, 2]));
    }

    #[test]
    fn what_asks_behind_a_name_shows_at_that_name() {
        use Tie::{Cascades, Inherits, Policy, Selects};
        let ties = [
            (Selects, 2, 1),
            (Selects, 3, 2),
            (Policy, 4, 3),
            (Cascades, 5, 4),
            (Inherits, 6, 4),
            (Selects, 7, 99),
            (Selects, 8, 5),
        ];
        let row =
            |oid: u32| Row { oid, schema: "s".into(), name: oid.to_string().into(), kind: Kind::Stored };
        let facts = Facts {
            relations: (1..=8).map(row).collect(),
            edges: ties.iter().map(|&(tie, from, to)| Edge { tie, from, to }).collect(),
            asking: vec![2],
            ..Facts::default()
        };
        let mut catalog = Catalog::default();
        facts.fill(&mut catalog);
        for (number, asks) in
            [(1, false), (2, true), (3, true), (4, true), (5, false), (6, true), (7, true), (8, false)]
        {
            assert_eq!(catalog.asks_transaction(&name(number)), asks, "{number}");
        }
    }

    #[test]
    fn volatile_code_behind_a_name_shows_at_that_name() {
        use Tie::Selects;
        let code = [(2, Runs::Used), (4, Runs::Read), (5, Runs::Written)];
        let catalog = catalog("1 v2 v3 v4 5", &[(Selects, 2, 1), (Selects, 3, 2), (Selects, 4, 1)], &code);
        for (number, volatile) in [(1, false), (2, true), (3, true), (4, false), (5, false)] {
            assert_eq!(catalog.is_volatile(&name(number)), volatile, "{number}");
        }
        reaches(&catalog, 2, Reach::Everything, Reach::Everything);
        reaches(&catalog, 3, Reach::Everything, Reach::Everything);
    }

    #[test]
    fn a_view_of_a_sequence_is_one() {
        use Tie::{Policy, Selects};
        let ties = [(Selects, 3, 2), (Selects, 4, 3), (Selects, 4, 1), (Selects, 5, 1), (Policy, 6, 2)];
        let catalog = catalog("1 s2 v3 v4 v5 6", &ties, &[]);
        for (number, is_sequence) in [(1, false), (2, true), (3, true), (4, true), (5, false), (6, true)] {
            assert_eq!(catalog.is_sequence(&name(number)), is_sequence, "{number}");
        }
        reaches(&catalog, 4, reach(&[1, 2]), reach(&[1, 2]));
    }

    #[test]
    fn what_reaches_too_far_reaches_everything_and_deep_chains_are_survived() {
        let many: Vec<_> = (1..=20_000).map(|n: u32| n.to_string()).collect();
        let chain: Vec<_> = (1..20_000).map(|n| (Tie::Cascades, n, n + 1)).collect();
        let cascades = catalog(&many.join(" "), &chain, &[]);
        reaches(&cascades, 1, Reach::Everything, reach(&[1]));
        reaches(&cascades, 19_999, reach(&[19_999, 20_000]), reach(&[19_999]));
        let chain: Vec<_> = (1..20_000).map(|n| (Tie::Inherits, n, n + 1)).collect();
        let tree = catalog(&many.join(" "), &chain, &[]);
        reaches(&tree, 10_000, reach(&[1]), reach(&[1]));
    }
}
