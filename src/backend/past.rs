//! What a server process keeps of those whom it has served, whatever they discard: it has heard of their custom settings,
//! which read as '' from then on where they read as nothing before, and it may have a temporary schema and its buffers.
//!
//! Pure, and never less than what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

/// More names than this count as any.
const NAMES_MAX: usize = 64;

/// Stands for names that nobody has told: no setting is called so.
const OTHERS: &str = "";

/// Names of custom settings (placeholders), such as `app.tenant`. Cheap to clone and, where there are none, to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placeholders(Option<Arc<BTreeSet<Box<str>>>>);

impl Placeholders {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A setting of this name counts, if it is a custom one.
    pub(crate) fn speak_of(&mut self, name: &str) {
        if name.contains('.') && !name.starts_with("weir.") {
            self.add(name);
        }
    }

    /// So do others of which not even the names are known.
    pub(crate) fn speak_of_others(&mut self) {
        self.add(OTHERS);
    }

    /// All of them, as [`Placeholders::has_spoken_of`] takes them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|names| names.iter().map(|name| &**name))
    }

    /// One of [`Placeholders::names`].
    pub(crate) fn has_spoken_of(&mut self, name: &str) {
        self.add(name);
    }

    fn add(&mut self, name: &str) {
        if self.0.as_ref().is_some_and(|names| names.contains(name)) {
            return;
        }
        let names = Arc::make_mut(self.0.get_or_insert_default());
        let name = if names.len() < NAMES_MAX { name } else { OTHERS };
        names.insert(name.into());
    }

    /// Adds those of another.
    pub(crate) fn join(&mut self, other: &Self) {
        match (&self.0, &other.0) {
            (_, None) => {}
            (None, Some(_)) => *self = other.clone(),
            (Some(own), Some(names)) if Arc::ptr_eq(own, names) => {}
            (Some(_), Some(names)) => names.iter().for_each(|name| self.add(name)),
        }
    }

    /// Whether all of them are among those that a session has spoken of.
    pub(crate) fn are_within(&self, spoken: &Self) -> bool {
        match (&self.0, &spoken.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(spoken)) => Arc::ptr_eq(own, spoken) || own.is_subset(spoken),
        }
    }
}

/// Whether a process has, or a request touches, what temporary tables are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TempTables(pub bool);

/// What becomes of a process that is sent a simple query or a function call in the middle of a batch. PostgreSQL 18 does not
/// end the transaction of both at the `Sync` behind them, and refuses whatever comes next (XX000 "unexpected state STARTED").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryInBatch {
    /// Nothing.
    Harmless,
    /// It is of no use to others any more, and was sent none so far.
    #[default]
    Harmful,
    /// It was sent one: what nobody else is to find. The connection serves its session to the end, and no other one.
    Harmed,
}

/// The first version that has the fault.
const FAULTY: u32 = 18;

impl QueryInBatch {
    /// Of a server that reports this as its `server_version`: `15.18 (Debian 15.18-0+deb12u1)`. One that cannot be read may
    /// be any.
    pub(crate) fn on(version: Option<&[u8]>) -> Self {
        let digits = version.unwrap_or_default().split(|byte| !byte.is_ascii_digit()).next();
        let major = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
        if major.is_some_and(|major| major < FAULTY) { Self::Harmless } else { Self::Harmful }
    }

    /// It was sent one.
    pub(crate) fn happens(&mut self) {
        *self = match self {
            Self::Harmless => Self::Harmless,
            Self::Harmful | Self::Harmed => Self::Harmed,
        };
    }
}

/// What a server process keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The custom settings that it has heard of.
    pub placeholders: Placeholders,
    /// Its temporary schema, and buffers for that of which the number cannot be changed any more.
    pub temporary: TempTables,
    /// The values drawn from sequences by the session that last did something by which it may have drawn any.
    pub drawn_by: Option<u64>,
    /// Whether it was sent a query in the middle of a batch.
    pub query_in_batch: QueryInBatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_has_the_fault_is_harmed() {
        let cases = [
            ("14.0", QueryInBatch::Harmless),
            ("15.18 (Debian 15.18-0+deb12u1)", QueryInBatch::Harmless),
            ("17rc1", QueryInBatch::Harmless),
            ("18.4", QueryInBatch::Harmed),
            ("19devel", QueryInBatch::Harmed),
            ("", QueryInBatch::Harmed),
            ("EnterpriseDB 15", QueryInBatch::Harmed),
        ];
        for (version, then) in cases {
            let mut query_in_batch = QueryInBatch::on(Some(version.as_bytes()));
            query_in_batch.happens();
            assert_eq!(query_in_batch, then, "{version}");
        }
        assert_eq!(QueryInBatch::on(None), QueryInBatch::Harmful);
    }

    fn names(all: &[&str]) -> Placeholders {
        let mut names = Placeholders::default();
        all.iter().for_each(|name| names.speak_of(name));
        names
    }

    #[test]
    fn custom_settings_count_and_no_others() {
        assert!(names(&["work_mem", "weir.target"]).is_empty());
        let (mut one, two) = (names(&["app.a"]), names(&["app.a", "app.b"]));
        assert!(names(&[]).are_within(&one) && one.are_within(&two));
        assert!(!two.are_within(&one) && !one.are_within(&names(&[])));
        one.join(&two);
        assert_eq!(one, two);
        one.speak_of_others();
        assert!(!one.are_within(&two) && two.are_within(&one));
    }

    #[test]
    fn names_without_end_count_as_any() {
        let mut many = Placeholders::default();
        (0..1000).for_each(|n| many.speak_of(&format!("app.a{n}")));
        assert_eq!(many.0.as_ref().unwrap().len(), NAMES_MAX + 1);
        let mut other = names(&["app.a1"]);
        assert!(!many.are_within(&other));
        other.speak_of_others();
        assert!(other.are_within(&many));
    }
}
