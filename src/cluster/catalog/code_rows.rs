//! What was read of one database's code, as plain values: functions, and where they run that no statement names.

use std::sync::Arc;

use crate::sql::{Code, CodeReader, Conduct, DataUse, RUNS_UNNAMED};

/// What was read of one database's code.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Those of users, and of PostgreSQL's own those that do more than compute.
    pub(super) functions: Vec<Arc<Function>>,
    /// Functions, by OID, that are made of others: aggregates.
    pub(super) made_of: Vec<(u32, u32)>,
    /// What runs that no statement names.
    pub(super) run: Vec<Run>,
    /// Operators of users, by OID and name.
    pub(super) operators: Vec<(u32, Box<str>)>,
    /// What uses types that run code when a value becomes one of theirs.
    pub(super) types: Vec<Typed>,
}

/// Something that uses a type, by OID.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) of: u32,
    pub(super) by: TypedBy,
}

/// What uses a type.
#[derive(Debug)]
pub(super) enum TypedBy {
    /// A statement that gives this name: of the type, or of one that contains it.
    Name(Box<str>),
    /// A function, by OID: of an argument, or of its result.
    Function(u32),
    /// A relation, by OID, when it is used: in the query of a view.
    Used(u32),
    /// A relation when it is written: in a column.
    Written(u32),
}

/// One function (`pg_proc`).
#[derive(Debug)]
pub(super) struct Function {
    pub(super) oid: u32,
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    pub(super) body: Body,
    pub(super) declared: Declared,
    pub(super) answers: Answers,
}

/// What the catalog says about the functions of one name (`pg_proc.provolatile`), the worst of them last. An aggregate is
/// what the functions are that it runs: PostgreSQL calls every one IMMUTABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// Every function of that name is IMMUTABLE or STABLE, and PostgreSQL's own or in C.
    ReadOnly,
    /// Every one is declared IMMUTABLE or STABLE, but some in a language that holds nobody to it: PostgreSQL refuses
    /// their own writes, yet not those of a VOLATILE function that they call. A replica refuses those too.
    Declared,
    /// At least one function of that name is VOLATILE, or is one of PostgreSQL's own whose name begins with `pg_`:
    /// many of those are STABLE and yet tell of the server that they run on.
    Volatile,
}

/// What a function is declared to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Immutable,
    Stable,
    Volatile,
}

/// Which words may mean a function of a user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answers {
    /// A call by its name only. It is PostgreSQL's own or that of a known extension.
    Named,
    /// A call of a built-in function of its name.
    Overload,
    /// An attribute of its name, too: one argument is enough.
    Attribute,
}

/// A function that runs somewhere, by OID.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) when: When,
    /// The relation, or function, that runs it; `None` where it is no one in particular.
    pub(super) object: Option<u32>,
    pub(super) function: u32,
}

/// Relations, by OID, of which using the first means using the second.
#[derive(Debug)]
pub(super) struct Tied {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) when: When,
}

/// When code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A relation is written.
    Written,
    /// A relation is read or written.
    Used,
    /// A relation is written, or perhaps when a query of it is planned.
    Planned,
    /// A function is called.
    Called,
    /// Definitions are changed.
    Defining,
    /// Relations are kept in order.
    Maintaining,
    /// A value becomes one of a type.
    Typed,
    /// An operator is used.
    Operated,
    /// Any statement runs.
    Anywhere,
    /// The same, of code in C: it is believed to leave and to read nothing there, and to write only if it is VOLATILE.
    AnywhereInC,
}

/// When a relation runs a user's code, and what that may do. Functions that are declared IMMUTABLE are believed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// When it is written: triggers, rules, functions that may write in defaults and constraints.
    Written,
    /// When it is read, functions that do not write.
    Read,
    /// When it is read or written through, functions that may write.
    Used,
}

/// What there is to read of a function.
#[derive(Debug)]
pub(super) enum Body {
    /// It is PostgreSQL's own of this name.
    BuiltIn(Box<str>),
    /// It is known to leave nothing.
    Harmless,
    /// Nothing.
    Opaque,
    /// SQL or PL/pgSQL.
    Text(Box<str>),
}

/// A relation, by OID and name.
pub(super) type Relation<'a> = (u32, &'a str);

impl Function {
    pub(super) fn code(&self, reader: &CodeReader) -> Code {
        let of = |conduct| Code { conduct, ..Code::default() };
        let data = match self.declared {
            Declared::Immutable => DataUse::None,
            Declared::Stable => DataUse::Reads,
            Declared::Volatile => DataUse::Writes,
        };
        match &self.body {
            Body::BuiltIn(name) => of(reader.built_in(name).unwrap_or_default()),
            Body::Harmless => of(Conduct { data, ..Conduct::default() }),
            Body::Opaque => of(Conduct { data, ..Code::unread().conduct }),
            Body::Text(body) => reader.read(body),
        }
    }

    /// Whether a statement may mean it that does not call it by its name, and somebody could tell.
    pub(super) fn is_mentioned(&self, conduct: Conduct, reader: &CodeReader) -> bool {
        if self.schema.as_ref() == "pg_catalog" && runs_unnamed(&self.name) {
            // What it does by itself is known; what is behind the relations that it reads is not in any statement.
            let own = reader.built_in(&self.name).unwrap_or_default();
            return conduct.traces > own.traces || conduct.data > own.data.max(DataUse::Reads);
        }
        let may_be = match self.answers {
            Answers::Named => false,
            Answers::Overload => reader.built_in(&self.name).is_some(),
            Answers::Attribute => true,
        };
        may_be && !conduct.is_pure()
    }
}

/// Whether one of PostgreSQL's own functions reads relations that it is given as text.
pub(super) fn runs_unnamed(function: &str) -> bool {
    RUNS_UNNAMED.binary_search(&function).is_ok()
}
