//! What statements did to definitions, and who keeps a catalog is told of it: before the client hears that it has been
//! committed, so that what anybody does next does not meet the old catalog.

use std::mem::take;

use crate::sql::Brings;

/// How sure it is that definitions were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// They were not.
    #[default]
    None,
    /// A function ran that may do anything.
    ByFunction,
    /// A procedure or a block ran, or a prepared transaction was committed of which nobody remembers what it did.
    ByCode,
    /// They were, but none that has code in it.
    Data,
    /// Something was taken away that may have had code in it.
    Removed,
    /// A relation has another name.
    Moved,
    /// There is something more that may have code in it.
    Added,
    /// They were.
    Certain,
}

impl Change {
    /// What the command tag of a completed statement tells.
    fn of(tag: &[u8]) -> Self {
        const CERTAIN: [&[u8]; 4] = [b"CREATE ", b"ALTER ", b"DROP ", b"IMPORT "];
        // What held functions: one that was called and never read, as it was dropped before, may have left anything.
        const CODE: [&[u8]; 7] = [
            b"DROP FUNCTION",
            b"DROP PROCEDURE",
            b"DROP ROUTINE",
            b"DROP AGGREGATE",
            b"DROP SCHEMA",
            b"DROP EXTENSION",
            b"DROP OWNED",
        ];
        // What else is dropped runs no more. A default of a new table can have code in it, but only that of functions.
        const DATA: [&[u8]; 8] = [
            b"CREATE TABLE",
            b"CREATE TABLE AS",
            b"CREATE INDEX",
            b"CREATE SEQUENCE",
            b"CREATE STATISTICS",
            b"CREATE SCHEMA",
            b"ALTER SEQUENCE",
            b"ALTER INDEX",
        ];
        match tag {
            // What most requests are: SELECT, INSERT, UPDATE, BEGIN.
            [b'S' | b'U' | b'B', ..] | [b'I', b'N', ..] => Change::None,
            _ if CODE.contains(&tag) => Change::Certain,
            _ if DATA.contains(&tag) || tag.starts_with(b"DROP ") => Change::Data,
            b"DO" | b"CALL" | b"COMMIT PREPARED" => Change::ByCode,
            _ if CERTAIN.iter().any(|prefix| tag.starts_with(prefix)) => Change::Certain,
            _ => Change::None,
        }
    }

    /// The same, where the text tells more than the tag.
    fn told(self, brings: Brings) -> Self {
        match brings {
            // A block that defines.
            Brings::Addition | Brings::Anything if self == Change::ByCode => Change::Certain,
            _ if self < Change::Data => self,
            Brings::Nothing => self,
            Brings::Plain => Change::Data,
            Brings::Removal => Change::Removed,
            Brings::Move => Change::Moved,
            Brings::Addition => Change::Added,
            Brings::Anything => Change::Certain,
        }
    }

    /// Both.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Change::Removed | Change::Moved, Change::Added) => Change::Certain,
            (Change::Added, Change::Removed | Change::Moved) => Change::Certain,
            _ => self.max(other),
        }
    }

    /// Whether prepared statements must be taken for stale. Of those that a function made stale, servers complain.
    pub(crate) fn outdates_statements(self) -> bool {
        self >= Change::ByCode
    }
}

/// What may have been done to what servers give to those who set nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    /// Nothing.
    #[default]
    Same,
    /// The configuration was written anew; it is read when somebody says so.
    Written,
    /// A role or a database may have been given something else.
    Other,
}

impl Given {
    /// What the command tag of a completed statement tells.
    fn of(tag: &[u8]) -> Self {
        match tag {
            b"ALTER ROLE" | b"ALTER DATABASE" | b"DO" | b"COMMIT PREPARED" => Given::Other,
            b"ALTER SYSTEM" => Given::Written,
            _ => Given::Same,
        }
    }
}

/// What a session did to definitions and nobody has been told.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Not committed yet.
    open: Change,
    committed: Change,
    /// Committed or not.
    given: Given,
    /// What was sent brings code, and may not be committed yet, or not be known to be.
    brought: Brings,
    /// The same of functions that it calls.
    brought_by_code: Brings,
    /// What became of that.
    outcome: Outcome,
    /// Whether something is in flight that was sent when all code was known, which may be others' by now.
    pub(crate) is_unforeseen: bool,
}

/// What became of code that a transaction brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It brought none.
    #[default]
    Nothing,
    /// It is there, for all that is known.
    Kept,
    /// Some of it may have been taken back.
    Undone,
}

impl Definitions {
    /// A statement completed with this command tag, of a text that brings this: what it did, or what it committed.
    pub(crate) fn completed(&mut self, tag: &[u8], brings: Brings) -> Change {
        let tagged = Change::of(tag);
        let change = tagged.told(brings);
        if tag == b"ROLLBACK" {
            self.fails();
        }
        if change != Change::None {
            self.given = self.given.max(Given::of(tag));
        }
        self.open = self.open.join(change);
        match change {
            // With `AND CHAIN` no ReadyForQuery tells of it. What is prepared takes effect by COMMIT PREPARED only,
            // which another session may send.
            Change::None if tag == b"COMMIT" => self.commit(),
            Change::None if tag == b"PREPARE TRANSACTION" => {
                // Nobody has it now, nor has who ran by it.
                self.fails();
                self.commit()
            }
            // A procedure may have committed in between.
            _ if tagged == Change::ByCode => {
                self.committed = self.committed.join(change);
                change
            }
            _ => change,
        }
    }

    /// A transaction has ended: what is committed by that.
    pub(crate) fn commit(&mut self) -> Change {
        let by_code = match self.brought_by_code {
            Brings::Nothing => Change::None,
            brings => Change::Certain.told(brings),
        };
        let change = take(&mut self.open).join(by_code);
        self.committed = self.committed.join(change);
        change
    }

    /// What is committed and has not been told; asked once.
    pub(crate) fn take_committed(&mut self) -> Change {
        take(&mut self.committed)
    }

    /// What may have been done to what servers give, once that is committed; asked once.
    pub(crate) fn take_given(&mut self) -> Given {
        if self.open == Change::None { take(&mut self.given) } else { Given::Same }
    }

    /// A text is sent that brings this. What is sent behind it may run by that before anybody has been told.
    pub(crate) fn sends(&mut self, brings: Brings, by_code: Brings) {
        // What code does to data is told otherwise.
        let by_code = if by_code.is_code() { by_code } else { Brings::Nothing };
        self.brought_by_code = self.brought_by_code.join(by_code);
        self.brought = self.brought.join(brings).join(by_code);
        if self.has_brought() && self.outcome == Outcome::Nothing {
            self.outcome = Outcome::Kept;
        }
    }

    /// Something has failed, or was rolled back: code that was brought may have gone with it.
    pub(crate) fn fails(&mut self) {
        if self.has_brought() {
            self.outcome = Outcome::Undone;
        }
    }

    /// All that was sent has been answered, outside a transaction: what became of the code that was brought.
    pub(crate) fn settle(&mut self) -> Outcome {
        (self.brought, self.brought_by_code) = (Brings::Nothing, Brings::Nothing);
        take(&mut self.outcome)
    }

    /// What others will find changed once what was sent is committed.
    pub(crate) fn brought(&self) -> Change {
        Change::Certain.told(self.brought)
    }

    /// Whether what runs now may run by code that nobody has been told of.
    pub(crate) fn has_brought(&self) -> bool {
        self.brought.is_code()
    }

    /// What runs now calls a function that may do anything.
    pub(crate) fn suspect(&mut self) {
        self.open = self.open.max(Change::ByFunction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after these tags, the last of which is followed by a ReadyForQuery outside a transaction if it
    /// says so.
    fn told(tags: &[&str]) -> Change {
        let mut definitions = Definitions::default();
        for tag in tags {
            match *tag {
                "ready" => definitions.commit(),
                tag => definitions.completed(tag.as_bytes(), Brings::Nothing),
            };
        }
        definitions.committed
    }

    #[test]
    fn definitions_count_once_they_are_committed() {
        assert_eq!(told(&["CREATE TRIGGER"]), Change::None);
        assert_eq!(told(&["BEGIN", "ALTER TABLE", "SELECT 1"]), Change::None);
        for commit in ["ready", "COMMIT", "PREPARE TRANSACTION"] {
            assert_eq!(told(&["BEGIN", "CREATE TRIGGER", "SELECT 1", commit]), Change::Certain, "{commit}");
            assert_eq!(told(&["BEGIN", "INSERT 0 1", commit]), Change::None, "{commit}");
        }
        assert_eq!(told(&["BEGIN", "DROP TABLE", "COMMIT", "SELECT 1", "ready"]), Change::Data);
        for tag in ["DROP FUNCTION", "ALTER TYPE", "CREATE CAST", "IMPORT FOREIGN SCHEMA"] {
            assert_eq!(told(&[tag, "ready"]), Change::Certain, "{tag}");
        }
        assert_eq!(told(&["INSERT 0 1", "UPDATE 1", "SELECT 1", "ready"]), Change::None);
    }

    #[test]
    fn what_runs_code_counts_at_once_and_when_it_is_committed() {
        for tag in ["CALL", "DO", "COMMIT PREPARED"] {
            assert_eq!(told(&[tag]), Change::ByCode, "{tag}");
            let mut definitions = Definitions::default();
            definitions.completed(tag.as_bytes(), Brings::Nothing);
            definitions.committed = Change::None;
            assert_eq!(definitions.commit(), Change::ByCode, "{tag}");
            assert_eq!((definitions.committed, definitions.open), (Change::ByCode, Change::None));
        }
        assert_eq!(told(&["CALL", "CREATE TABLE", "ready"]), Change::Data);
        assert_eq!(
            (told(&["ROLLBACK PREPARED", "ready"]), told(&["DOUBLE", "ready"])),
            (Change::None, Change::None)
        );
    }

    #[test]
    fn what_code_defines_counts_whatever_it_is_called_by() {
        let mut definitions = Definitions::default();
        definitions.sends(Brings::Nothing, Brings::Removal);
        assert!(!definitions.has_brought());
        definitions.sends(Brings::Nothing, Brings::Addition);
        assert!(definitions.has_brought());
        definitions.completed(b"SELECT 1", Brings::Nothing);
        assert_eq!((definitions.commit(), definitions.take_committed()), (Change::Added, Change::Added));
        assert_eq!(definitions.settle(), Outcome::Kept);
        assert_eq!(definitions.commit(), Change::None);
    }

    #[test]
    fn what_is_prepared_is_nobodys() {
        let mut definitions = Definitions::default();
        definitions.sends(Brings::Addition, Brings::Nothing);
        definitions.completed(b"CREATE CAST", Brings::Addition);
        definitions.completed(b"PREPARE TRANSACTION", Brings::Nothing);
        assert_eq!((definitions.take_committed(), definitions.settle()), (Change::Added, Outcome::Undone));
    }

    #[test]
    fn what_is_given_to_roles_counts_once_it_is_committed() {
        let mut definitions = Definitions::default();
        for (tag, given) in
            [("ALTER ROLE", Given::Other), ("ALTER SYSTEM", Given::Written), ("DO", Given::Other)]
        {
            definitions.completed(tag.as_bytes(), Brings::Nothing);
            assert_eq!(definitions.take_given(), Given::Same, "{tag}");
            definitions.commit();
            assert_eq!((definitions.take_given(), definitions.take_given()), (given, Given::Same), "{tag}");
        }
        definitions.completed(b"ALTER TABLE", Brings::Nothing);
        definitions.commit();
        assert_eq!(definitions.take_given(), Given::Same);
    }

    #[test]
    fn a_function_is_suspected_until_its_transaction_ends() {
        let mut definitions = Definitions::default();
        definitions.suspect();
        assert_eq!(
            (definitions.completed(b"SELECT 1", Brings::Nothing), definitions.committed),
            (Change::None, Change::None)
        );
        assert_eq!((definitions.commit(), definitions.committed), (Change::ByFunction, Change::ByFunction));
        assert!(!Change::ByFunction.outdates_statements() && Change::ByCode.outdates_statements());
    }
}
