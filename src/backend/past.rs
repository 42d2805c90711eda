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

/// What a server process keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The custom settings that it has heard of.
    pub placeholders: Placeholders,
    /// Its temporary schema, and buffers for that of which the number cannot be changed any more.
    pub temporary: TempTables,
    /// The values drawn from sequences by the session that last did something by which it may have drawn any.
    pub drawn_by: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
