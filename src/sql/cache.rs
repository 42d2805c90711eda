//! The verdicts that were reached before, by skeleton. What is in a verdict does not matter here.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::classify::{KnownFunctions, Reader, classify};
use super::text::{self, SkeletonKeys, StandardConformingStrings, skeleton};
use super::verdict::{Kind, Name, SkeletonId, Verdict, Why};

/// Verdicts over texts longer than this are not kept: mostly inserts of many rows, of which no two are alike.
const KEPT_MAX: usize = 64 * 1024;

/// Texts longer than this are not read at all.
const READ_MAX: usize = 1024 * 1024;

/// What a verdict counts for at least, in bytes. Heavier ones take the room of several.
const LEAST_WEIGHT: u64 = 1024;

/// Reaches verdicts, and remembers them. Shared by all sessions; never blocks but for the cache's own short locks.
#[derive(Debug)]
pub struct Classifier {
    keys: SkeletonKeys,
    known: KnownFunctions,
    verdicts: Cache<SkeletonId, Arc<Verdict>, ByBytes, BuildHasherDefault<AlreadyHashed>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often the cache knew a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheCounts {
    /// Statements whose shape was known.
    pub hits: u64,
    /// Statements that were classified anew.
    pub misses: u64,
    /// Shapes held now.
    pub entries: u64,
}

impl Classifier {
    /// A classifier that remembers about `capacity` shapes of statements.
    pub fn new(capacity: usize) -> Self {
        Self::with_keys(capacity, SkeletonKeys::random())
    }

    /// A classifier whose skeletons are the same in every run. For tests: its keys are known.
    pub fn with_keys(capacity: usize, keys: SkeletonKeys) -> Self {
        let capacity = capacity.max(1);
        Self {
            keys,
            known: KnownFunctions::load(),
            verdicts: Cache::with(
                capacity,
                weight(capacity),
                ByBytes,
                BuildHasherDefault::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Remembers about so many from now on.
    pub(crate) fn remember(&self, capacity: usize) {
        self.verdicts.set_capacity(weight(capacity));
    }

    /// Another one that calls each shape by the same name, and has a cache of its own: for texts that must not take the place of
    /// others.
    pub(crate) fn beside(&self) -> Self {
        Self::with_keys(1, self.keys)
    }

    /// The verdict over a text.
    pub fn classify(&self, sql: &[u8], strings: StandardConformingStrings) -> Arc<Verdict> {
        if sql.len() > READ_MAX {
            return Arc::new(self.too_long(sql));
        }
        let id = match skeleton(sql, strings, &self.keys) {
            Ok(id) => id,
            // Cheap to reach and different for each text: not worth a place in the cache.
            Err((id, _)) => return Arc::new(self.reach(sql, id, strings)),
        };
        if let Some(verdict) = self.verdicts.get(&id) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return verdict;
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        // Two sessions may classify the same shape at once; holding a lock meanwhile would be worse.
        let verdict = Arc::new(self.reach(sql, id, strings));
        // However many literals are in its lists, a read is one shape.
        if sql.len() <= KEPT_MAX || verdict.statements.iter().all(|one| one.kind == Kind::Read) {
            self.verdicts.insert(id, Arc::clone(&verdict));
        }
        verdict
    }

    /// Hits, misses and size, for metrics.
    pub(crate) fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: u64::try_from(self.verdicts.len()).unwrap_or(u64::MAX),
        }
    }

    fn reach(&self, sql: &[u8], id: SkeletonId, strings: StandardConformingStrings) -> Verdict {
        classify(sql, id, Reader { strings, known: &self.known })
    }

    /// The identity of a text that is not read is that of its first part.
    fn too_long(&self, sql: &[u8]) -> Verdict {
        let head = &sql[..READ_MAX];
        let id = match skeleton(head, StandardConformingStrings::On, &self.keys) {
            Ok(id) | Err((id, _)) => id,
        };
        Verdict { hint: text::hint(sql), ..Verdict::opaque(id, Why::TooLong) }
    }
}

fn weight(capacity: usize) -> u64 {
    LEAST_WEIGHT.saturating_mul(u64::try_from(capacity.max(1)).unwrap_or(u64::MAX))
}

/// Weighs a verdict by the bytes it holds, so that clients cannot fill memory with long names.
#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<SkeletonId, Arc<Verdict>> for ByBytes {
    fn weight(&self, _: &SkeletonId, verdict: &Arc<Verdict>) -> u64 {
        let names = |list: &[Name]| -> usize {
            list.iter().map(|n| 48 + n.name.len() + n.schema.as_ref().map_or(0, |s| s.len())).sum()
        };
        let bytes: usize = verdict
            .statements
            .iter()
            .map(|s| {
                let settings: usize =
                    s.effects.settings.iter().map(|x| 48 + x.name.len() + x.value.len()).sum();
                256 + s.mentions.iter().map(|name| 16 + name.len()).sum::<usize>()
                    + names(&s.functions)
                    + names(&s.reads)
                    + names(&s.writes)
                    + settings
            })
            .sum();
        u64::try_from(bytes).unwrap_or(u64::MAX).max(LEAST_WEIGHT)
    }
}

/// A skeleton is evenly distributed already: half of it serves as its hash.
#[derive(Clone, Copy, Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached for skeletons, which hash as one u128.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, id: u128) {
        // The values stay below 2^61; the shift fills the top bits, which the cache uses, too.
        self.0 = (id as u64) ^ ((id >> 64) as u64) << 3;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::sql::Target;

    const ON: StandardConformingStrings = StandardConformingStrings::On;

    fn why(classifier: &Classifier, sql: &str) -> Option<Why> {
        match &classifier.classify(sql.as_bytes(), ON).statements[0].kind {
            Kind::Primary(why) => Some(*why),
            _ => None,
        }
    }

    #[test]
    fn one_shape_is_classified_once() {
        let classifier = Classifier::new(100);
        let first = classifier.classify(b"SELECT * FROM t WHERE id = 1", ON);
        let second = classifier.classify(b"select *  from T\nwhere ID = 2 -- two", ON);
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(classifier.counts(), CacheCounts { hits: 1, misses: 1, entries: 1 });
    }

    #[test]
    fn a_long_list_of_keys_is_one_shape() {
        let classifier = Classifier::new(100);
        for keys in [10_000, 20_000, 30_000] {
            let keys: Vec<_> = (0..keys).map(|key| format!("'{key}-abcdefgh'")).collect();
            let verdict = classifier
                .classify(format!("SELECT * FROM t WHERE a IN ({})", keys.join(",")).as_bytes(), ON);
            assert_eq!(verdict.statements[0].kind, Kind::Read);
        }
        assert_eq!(classifier.counts(), CacheCounts { hits: 2, misses: 1, entries: 1 });
    }

    #[test]
    fn a_hint_is_part_of_the_shape() {
        let classifier = Classifier::new(100);
        assert_eq!(classifier.classify(b"SELECT 1", ON).hint.target, None);
        let hinted = classifier.classify(b"/* weir: replica */ SELECT 1", ON);
        assert_eq!(hinted.hint.target, Some(Target::Replica));
        assert_eq!(classifier.classify(b"SELECT 1", ON).hint.target, None);
    }

    #[test]
    fn the_cache_is_bounded_in_number_and_in_bytes() {
        let classifier = Classifier::new(50);
        for n in 0..1000 {
            classifier.classify(format!("SELECT * FROM t{n}").as_bytes(), ON);
        }
        assert!(classifier.counts().entries <= 60, "{:?}", classifier.counts());
        let classifier = Classifier::new(50);
        let name = "x".repeat(5_000);
        for n in 0..100 {
            classifier.classify(format!("SET a.b{n} = '{name}'").as_bytes(), ON);
        }
        assert!(classifier.counts().entries <= 10, "{:?}", classifier.counts());
    }

    #[test]
    fn hostile_nesting_is_survived_in_linear_time() {
        let classifier = Classifier::new(100);
        let started = Instant::now();
        let deep = 100_000;
        let texts = [
            format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep)),
            format!("SELECT {}", "(".repeat(deep)),
            format!("SELECT 1{}", " OR true".repeat(deep)),
            format!("SELECT 1{}", " + 1".repeat(deep)),
            format!("SELECT {}1", "- ".repeat(deep)),
            format!("SELECT {}true", "NOT ".repeat(deep)),
            format!("SELECT 1{}", "::int".repeat(deep)),
            format!("SELECT 1{}", " UNION SELECT 1".repeat(deep / 2)),
            format!("SELECT {}1{}", "(SELECT ".repeat(deep), ")".repeat(deep)),
            format!("SELECT {}1{}", "ARRAY[".repeat(deep), "]".repeat(deep)),
            format!("SELECT {}", "CASE WHEN ".repeat(deep)),
            format!("{}SELECT 1", "EXPLAIN ".repeat(deep)),
            (0..30_000).map(|n| format!("TABLE a{n} DELETE FROM b{n} ")).collect(),
            format!("INSERT INTO t SELECT {}", "set(conflict(".repeat(deep / 2)),
            format!("{}SELECT 1", "/*".repeat(deep)),
            format!("SELECT 1 {}", "$a".repeat(deep)),
            format!("SELECT * FROM {}t", "(".repeat(deep)),
            format!(
                "WITH RECURSIVE {}",
                (0..3_000).map(|n| format!("a{n} AS (TABLE b{n}),")).collect::<String>()
            ),
            format!(
                "WITH a0 AS (SELECT 1){} SELECT",
                (0..3_000).map(|n| format!(",a{n} AS (TABLE b)")).collect::<String>()
            ),
            "(".repeat(deep),
        ];
        for sql in &texts {
            assert!(why(&classifier, sql).is_some(), "{:.40}", sql);
        }
        assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    }

    #[test]
    fn moderate_nesting_is_parsed_or_refused_quickly() {
        let classifier = Classifier::new(1000);
        let patterns = [
            ("(", ")"),
            ("(SELECT ", ")"),
            ("f(", ")"),
            ("ARRAY[", "]"),
            ("CASE WHEN ", " THEN 1 END"),
            ("(1 + ", ")"),
            ("NOT (", ")"),
            ("- (", ")"),
            ("x[", "]"),
            ("((1, ", "))"),
            ("EXISTS (SELECT * FROM (SELECT ", ") z)"),
        ];
        for (open, close) in patterns {
            for depth in [1, 5, 10, 20, 40, 80, 160] {
                let sql = format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth));
                let started = Instant::now();
                let refused = why(&classifier, &sql).is_some();
                assert!(started.elapsed().as_secs() < 2, "{open} {depth} took {:?}", started.elapsed());
                assert!(!refused || depth > 5, "{sql}");
            }
        }
        for depth in [10, 30, 100] {
            let sql = format!("SELECT * FROM {}t{}", "(".repeat(depth), ")".repeat(depth));
            let started = Instant::now();
            why(&classifier, &sql);
            assert!(started.elapsed().as_secs() < 2, "FROM {depth} took {:?}", started.elapsed());
        }
    }

    #[test]
    fn long_texts_are_judged_by_their_tokens_and_huge_ones_not_at_all() {
        let classifier = Classifier::new(100);
        let rows = ", (1, 'x')".repeat(20_000);
        let insert = classifier.classify(format!("INSERT INTO t VALUES (1, 'x'){rows}").as_bytes(), ON);
        assert_eq!(insert.statements[0].kind, Kind::Primary(Why::Write));
        assert_eq!(&*insert.statements[0].writes[0].name, "t");
        assert_eq!(why(&classifier, &format!("SELECT f(1){}", ", f(1)".repeat(5_000))), None);
        assert_eq!(why(&classifier, &format!("SELECT 1{}", " + f(1)".repeat(50_000))), Some(Why::TooLong));
        let keys = |key: &str| format!("SELECT * FROM t WHERE (a, b) IN ((1, 2){})", key.repeat(20_000));
        assert_eq!(why(&classifier, &keys(", ($1, 'abcdefghijklmnopqrstuvwxyz')")), None);
        assert_eq!(why(&classifier, &keys(", (-1, f(2))")), None);
        assert_eq!(why(&classifier, &format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(70_000))), None);
        assert_eq!(
            why(&classifier, &format!("SELECT * FROM t WHERE a IN (1{})", ", 2".repeat(100_000))),
            None
        );
        assert_eq!(why(&classifier, &format!("SELECT '{}'", "x".repeat(READ_MAX))), Some(Why::TooLong));
    }
}
