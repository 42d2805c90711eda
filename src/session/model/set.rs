//! Small sets of words: what is so of something, where each of several things may be.

use std::marker::PhantomData;

/// An enum without fields, of at most 32 variants.
pub(crate) trait Word: Copy {
    /// Its number: `self as u16`.
    fn number(self) -> u16;
}

/// Which of the words hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set<W> {
    bits: u32,
    of: PhantomData<W>,
}

impl<W> Default for Set<W> {
    fn default() -> Self {
        Self { bits: 0, of: PhantomData }
    }
}

impl<W: Word> Set<W> {
    /// Whether this holds.
    pub(crate) fn has(self, word: W) -> bool {
        self.bits & 1 << word.number() != 0
    }

    /// This holds from now on.
    pub(crate) fn add(&mut self, word: W) {
        self.bits |= 1 << word.number();
    }

    /// This holds no more.
    pub(crate) fn remove(&mut self, word: W) {
        self.bits &= !(1 << word.number());
    }

    /// Whether none does.
    pub(crate) fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// The set as a number, for those that keep one.
    pub(crate) fn bits(self) -> u32 {
        self.bits
    }

    /// The set that was this number.
    pub(crate) fn of_bits(bits: u32) -> Self {
        Self { bits, of: PhantomData }
    }

    /// What holds here or there.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits, of: PhantomData }
    }
}

/// Of words each with whether it holds.
impl<W: Word, const N: usize> From<[(W, bool); N]> for Set<W> {
    fn from(words: [(W, bool); N]) -> Self {
        let bits = words.iter().fold(0, |bits, (word, holds)| bits | u32::from(*holds) << word.number());
        Self { bits, of: PhantomData }
    }
}

/// Of the words that hold.
impl<W: Word> FromIterator<W> for Set<W> {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        let mut set = Self::default();
        words.into_iter().for_each(|word| set.add(word));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Color {
        Red,
        Green,
        Blue,
    }

    impl Word for Color {
        fn number(self) -> u16 {
            self as u16
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_not_taken_out() {
        let mut set: Set<Color> = [(Color::Red, true), (Color::Green, false)].into();
        assert!(set.has(Color::Red) && !set.has(Color::Green) && !set.has(Color::Blue));
        set.add(Color::Blue);
        set.remove(Color::Red);
        assert_eq!(set, [Color::Blue].into_iter().collect());
        let both = set.union([Color::Green].into_iter().collect());
        assert!(both.has(Color::Green) && both.has(Color::Blue) && !both.has(Color::Red));
    }
}
