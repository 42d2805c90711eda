//! A value that follows a transaction: what a rollback returns it to, and the savepoints on the way.
//!
//! Pure. A transaction that changes nothing copies nothing, and neither does a savepoint behind which nothing changes.

/// What SQL asks of everything that follows a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control<'a> {
    /// `SAVEPOINT name`.
    Savepoint(&'a str),
    /// `RELEASE name`: the savepoint and all after it are forgotten.
    Release(&'a str),
    /// `ROLLBACK TO name`: the savepoint stays.
    RollbackTo(&'a str),
    /// The transaction committed.
    Commit,
    /// The transaction rolled back.
    Rollback,
}

/// A value with the points to which a rollback returns. One that was not copied is as the next later one is, and the
/// last of them as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transactional<T> {
    now: T,
    at_begin: Option<T>,
    savepoints: Vec<(Box<str>, Option<T>)>,
}

impl<T: Clone> Transactional<T> {
    /// Outside a transaction.
    pub(crate) fn new(now: T) -> Self {
        Self { now, at_begin: None, savepoints: Vec::new() }
    }

    /// The same points of another value, of which each depends on that of this one.
    pub(crate) fn map<U>(&self, of: impl Fn(&T) -> U) -> Transactional<U> {
        let savepoints = self.savepoints.iter().map(|(name, was)| (name.clone(), was.as_ref().map(&of)));
        Transactional {
            now: of(&self.now),
            at_begin: self.at_begin.as_ref().map(&of),
            savepoints: savepoints.collect(),
        }
    }

    /// As it is now.
    pub(crate) fn now(&self) -> &T {
        &self.now
    }

    /// As a rollback of the transaction would leave it.
    pub(crate) fn at_begin(&self) -> &T {
        self.at_begin.as_ref().or_else(|| self.at(0)).unwrap_or(&self.now)
    }

    /// Its value, where no rollback returns it to another.
    pub(crate) fn only(&self) -> Option<&T> {
        (self.at_begin.is_none() && self.savepoints.is_empty()).then_some(&self.now)
    }

    /// Every value that it has or can have again.
    pub(crate) fn levels(&self) -> impl Iterator<Item = &T> {
        let savepoints = self.savepoints.iter().filter_map(|(_, was)| was.as_ref());
        [&self.now].into_iter().chain(&self.at_begin).chain(savepoints)
    }

    /// To be changed, until a rollback takes it back.
    pub(crate) fn change(&mut self) -> &mut T {
        let last = self.savepoints.last_mut().map_or(&mut self.at_begin, |(_, was)| was);
        last.get_or_insert_with(|| self.now.clone());
        &mut self.now
    }

    /// A change that no rollback takes back.
    pub(crate) fn change_for_good(&mut self, change: impl Fn(&mut T)) {
        let savepoints = self.savepoints.iter_mut().filter_map(|(_, was)| was.as_mut());
        [&mut self.now].into_iter().chain(&mut self.at_begin).chain(savepoints).for_each(change);
    }

    /// The transaction goes on or ends.
    pub(crate) fn follow(&mut self, control: Control<'_>) {
        match control {
            Control::Savepoint(name) => self.savepoints.push((name.into(), None)),
            Control::Release(name) => self.release(name),
            Control::RollbackTo(name) => self.rollback_to(name),
            Control::Commit => {
                self.at_begin = None;
                self.savepoints.clear();
            }
            Control::Rollback => {
                let first = self.at_begin.take();
                if let Some(was) = first.or_else(|| self.savepoints.drain(..).find_map(|(_, was)| was)) {
                    self.now = was;
                }
                self.savepoints.clear();
            }
        }
    }

    /// As it was at this savepoint; `None` where it is so still.
    fn at(&self, savepoint: usize) -> Option<&T> {
        self.savepoints[savepoint..].iter().find_map(|(_, was)| was.as_ref())
    }

    fn release(&mut self, name: &str) {
        let Some(at) = self.position(name) else { return };
        let was = self.savepoints.drain(at..).find_map(|(_, was)| was);
        // What stood for the earlier point as well still does.
        let last = self.savepoints.last_mut().map_or(&mut self.at_begin, |(_, was)| was);
        if last.is_none() {
            *last = was;
        }
    }

    fn rollback_to(&mut self, name: &str) {
        let Some(at) = self.position(name) else { return };
        if let Some(was) = self.savepoints.drain(at + 1..).fold(None, |first, (_, was)| first.or(was)) {
            self.now = was;
        }
        if let Some(was) = self.savepoints[at].1.take() {
            self.now = was;
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.savepoints.iter().rposition(|(savepoint, _)| &**savepoint == name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same with every copy made at once.
    #[derive(Clone, Debug, Default)]
    struct Naive {
        now: Vec<u8>,
        at_begin: Vec<u8>,
        savepoints: Vec<(&'static str, Vec<u8>)>,
    }

    impl Naive {
        fn follow(&mut self, control: Control<'static>) {
            let position = |name| self.savepoints.iter().rposition(|(savepoint, _)| *savepoint == name);
            match control {
                Control::Savepoint(name) => self.savepoints.push((name, self.now.clone())),
                Control::Release(name) => {
                    let at = position(name).unwrap_or(self.savepoints.len());
                    self.savepoints.truncate(at);
                }
                Control::RollbackTo(name) => {
                    if let Some(at) = position(name) {
                        self.now = self.savepoints[at].1.clone();
                        self.savepoints.truncate(at + 1);
                    }
                }
                Control::Commit => self.at_begin = self.now.clone(),
                Control::Rollback => self.now = self.at_begin.clone(),
            }
            if matches!(control, Control::Commit | Control::Rollback) {
                self.savepoints.clear();
            }
        }

        fn change_for_good(&mut self, value: u8) {
            let savepoints = self.savepoints.iter_mut().map(|(_, was)| was);
            [&mut self.now, &mut self.at_begin].into_iter().chain(savepoints).for_each(|was| was.push(value));
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Change(u8),
        ForGood(u8),
        Follow(Control<'static>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let name = || prop::sample::select(vec!["a", "b", "c"]);
        let follow = prop_oneof![
            4 => name().prop_map(Control::Savepoint),
            2 => name().prop_map(Control::Release),
            3 => name().prop_map(Control::RollbackTo),
            1 => Just(Control::Commit),
            1 => Just(Control::Rollback),
        ];
        prop_oneof![
            3 => any::<u8>().prop_map(Step::Change),
            1 => any::<u8>().prop_map(Step::ForGood),
            5 => follow.prop_map(Step::Follow),
        ]
    }

    proptest! {
        #[test]
        fn copies_made_late_are_the_same(steps in prop::collection::vec(step(), 0..60)) {
            let (mut real, mut naive) = (Transactional::<Vec<u8>>::default(), Naive::default());
            for step in steps {
                match step {
                    Step::Change(value) => {
                        real.change().push(value);
                        naive.now.push(value);
                    }
                    Step::ForGood(value) => {
                        real.change_for_good(|level| level.push(value));
                        naive.change_for_good(value);
                    }
                    Step::Follow(control) => {
                        real.follow(control);
                        naive.follow(control);
                    }
                }
                prop_assert_eq!(real.now(), &naive.now);
                prop_assert_eq!(real.at_begin(), &naive.at_begin);
                for (at, (_, was)) in naive.savepoints.iter().enumerate() {
                    prop_assert_eq!(real.at(at).unwrap_or(real.now()), was);
                }
                let all = || naive.savepoints.iter().map(|(_, was)| was).chain([&naive.now, &naive.at_begin]);
                prop_assert!(real.levels().all(|level| all().any(|was| was == level)));
                prop_assert!(all().all(|was| real.levels().any(|level| was == level)));
                prop_assert!(real.only().is_none_or(|only| all().all(|was| was == only)));
            }
        }
    }

    #[test]
    fn what_does_not_change_is_not_copied() {
        let mut value = Transactional::new(1);
        value.follow(Control::Savepoint("a"));
        value.follow(Control::Savepoint("b"));
        assert_eq!(value.levels().count(), 1);
        *value.change() = 2;
        *value.change() = 3;
        assert_eq!(value.levels().count(), 2);
        value.follow(Control::RollbackTo("a"));
        assert_eq!((*value.now(), value.levels().count()), (1, 1));
        *value.change() = 4;
        value.follow(Control::Commit);
        assert_eq!((value.only(), value.levels().count()), (Some(&4), 1));
    }
}
