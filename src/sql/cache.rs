//! The verdicts that were reached before, by skeleton.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::classify::{Depth, Reader, classify};
use super::functions::KnownFunctions;
use super::lexer::StandardConformingStrings;
use super::skeleton::{SkeletonKeys, skeleton};
use super::verdict::{SkeletonId, Verdict, Why};

/// Texts up to this long are parsed; longer ones are judged by their tokens alone.
const PARSED_MAX: usize = 64 * 1024;

/// Texts longer than this are not read at all.
const READ_MAX: usize = 1024 * 1024;

/// What a verdict may weigh on average before the cache holds fewer than it has room for, in bytes.
const AVERAGE_WEIGHT: u64 = 1024;

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
pub struct CacheCounts {
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
        let weight = AVERAGE_WEIGHT.saturating_mul(u64::try_from(capacity).unwrap_or(u64::MAX));
        Self {
            keys,
            known: KnownFunctions::load(),
            verdicts: Cache::with(
                capacity,
                weight,
                ByBytes,
                BuildHasherDefault::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
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
        self.verdicts.insert(id, Arc::clone(&verdict));
        verdict
    }

    /// Hits, misses and size, for metrics.
    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: u64::try_from(self.verdicts.len()).unwrap_or(u64::MAX),
        }
    }

    fn reach(&self, sql: &[u8], id: SkeletonId, strings: StandardConformingStrings) -> Verdict {
        let depth = if sql.len() > PARSED_MAX { Depth::Tokens } else { Depth::Tree };
        classify(sql, id, Reader { strings, known: &self.known, depth })
    }

    /// The identity of a text that is not read is that of its first part.
    fn too_long(&self, sql: &[u8]) -> Verdict {
        let head = &sql[..READ_MAX];
        let id = match skeleton(head, StandardConformingStrings::On, &self.keys) {
            Ok(id) | Err((id, _)) => id,
        };
        Verdict { hint: super::hint::hint(sql), ..Verdict::opaque(id, Why::TooLong) }
    }
}

/// Weighs a verdict by the bytes it holds, so that clients cannot fill memory with long names.
#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<SkeletonId, Arc<Verdict>> for ByBytes {
    fn weight(&self, _: &SkeletonId, verdict: &Arc<Verdict>) -> u64 {
        let names = |list: &[super::verdict::Name]| -> usize {
            list.iter().map(|n| 48 + n.name.len() + n.schema.as_ref().map_or(0, |s| s.len())).sum()
        };
        let bytes: usize = verdict
            .statements
            .iter()
            .map(|s| {
                let settings: usize =
                    s.leaves.settings.iter().map(|x| 48 + x.name.len() + x.value.len()).sum();
                160 + names(&s.functions) + names(&s.reads) + names(&s.writes) + settings
            })
            .sum();
        128 + u64::try_from(bytes).unwrap_or(u64::MAX)
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
