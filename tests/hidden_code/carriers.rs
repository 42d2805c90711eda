//! The objects through which PostgreSQL runs code: how each is made, and how it is reached.

use harness::Dice;

use crate::acts::{ACTS, Act};

mod expressions;
mod functions;
mod relations;
mod types;

/// A kind of object.
pub(crate) struct Carrier {
    pub(crate) name: &'static str,
    make: fn(&mut Maker),
}

/// Its name, and how one is made.
type Kind = (&'static str, fn(&mut Maker));

/// The kinds, most of them several ways to make one.
pub(crate) fn all() -> Vec<Carrier> {
    [functions::CARRIERS, expressions::CARRIERS, relations::CARRIERS, types::CARRIERS]
        .into_iter()
        .flatten()
        .map(|(name, make)| Carrier { name, make: *make })
        .collect()
}

/// A way to reach the code of an object.
#[derive(Clone, Debug)]
pub(crate) enum Use {
    /// A value wherever one may stand.
    Value(String),
    /// A value of the rows of something: what stands behind FROM, and the value.
    Of(String, String),
    /// A query.
    Query(String),
    /// Any other statement.
    Statement(String),
    /// A query with a parameter, and its value.
    Bound(String, &'static str),
    /// COPY into a relation, and a line.
    Copy(String, &'static str),
}

/// What an object is made of.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) carrier: &'static str,
    pub(crate) act: Act,
    /// Statements of a superuser that stands in for the owner; those with a `!` in front are its own.
    pub(crate) setup: Vec<String>,
    /// What its caller says first.
    pub(crate) first: Option<String>,
    pub(crate) uses: Vec<Use>,
}

/// Makes one object.
pub(crate) struct Maker {
    pub(crate) dice: Dice,
    /// In front of the names of all that belongs to it.
    pub(crate) n: String,
    pub(crate) act: Act,
    pub(crate) made: Object,
    functions: usize,
}

/// What a function says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Any,
    /// Not that it is IMMUTABLE: within a function, such a call is replaced by its result once for each connection.
    Called,
    Immutable,
}

impl Maker {
    /// The `nth` object of a world.
    pub(crate) fn make(carrier: &Carrier, nth: usize, mut dice: Dice) -> Object {
        let act = *dice.pick(ACTS);
        let n = format!("o{nth}");
        let made = Object { carrier: carrier.name, act, setup: Vec::new(), first: None, uses: Vec::new() };
        let mut maker = Self { dice, n, act, made, functions: 0 };
        (carrier.make)(&mut maker);
        maker.made
    }

    pub(crate) fn owner(&mut self, sql: impl Into<String>) {
        self.made.setup.push(sql.into());
    }

    pub(crate) fn superuser(&mut self, sql: impl AsRef<str>) {
        self.made.setup.push(format!("!{}", sql.as_ref()));
    }

    pub(crate) fn value(&mut self, sql: impl Into<String>) {
        self.made.uses.push(Use::Value(sql.into()));
    }

    pub(crate) fn of(&mut self, from: impl Into<String>, value: impl Into<String>) {
        self.made.uses.push(Use::Of(from.into(), value.into()));
    }

    pub(crate) fn query(&mut self, sql: impl Into<String>) {
        self.made.uses.push(Use::Query(sql.into()));
    }

    pub(crate) fn statement(&mut self, sql: impl Into<String>) {
        self.made.uses.push(Use::Statement(sql.into()));
    }

    pub(crate) fn bound(&mut self, sql: impl Into<String>, value: &'static str) {
        self.made.uses.push(Use::Bound(sql.into(), value));
    }

    pub(crate) fn copy(&mut self, relation: impl Into<String>, line: &'static str) {
        self.made.uses.push(Use::Copy(relation.into(), line));
    }

    /// An expression that acts: a function that does, or one that calls one, or one of PostgreSQL's own.
    pub(crate) fn code(&mut self) -> String {
        if self.dice.percent(30)
            && let Some(own) = self.act.expression()
        {
            return own.to_owned();
        }
        let name = self.name();
        let function = self.act.function(&name, &mut self.dice);
        self.owner(function);
        let mut call = format!("{name}()");
        for _ in 0..self.dice.between(0, 3) {
            let name = self.name();
            self.function_of(&name, "", "int", &call, Claim::Called);
            call = format!("{name}()");
        }
        call
    }

    /// The same, where only what is declared IMMUTABLE may stand.
    pub(crate) fn immutable_code(&mut self) -> String {
        let code = self.code();
        let name = self.name();
        self.function_of(&name, "int", "int", &code, Claim::Immutable);
        name
    }

    /// A name for a function.
    pub(crate) fn name(&mut self) -> String {
        self.functions += 1;
        let form = *self.dice.pick(&["act", "Act", "set_it", "upper_", "now_"]);
        format!("public.\"{}_{form}{}\"", self.n, self.functions)
    }

    /// A function that acts and returns something of this type.
    pub(crate) fn function(&mut self, name: &str, arguments: &str, returns: &str) {
        let code = self.code();
        let value = as_type(&code, returns);
        self.function_of(name, arguments, returns, &value, Claim::Any);
    }

    /// A function that returns this.
    pub(crate) fn function_of(
        &mut self,
        name: &str,
        arguments: &str,
        returns: &str,
        value: &str,
        claim: Claim,
    ) {
        let claim = match claim {
            Claim::Called => *self.dice.pick(&["", "VOLATILE", "STABLE", "STABLE PARALLEL SAFE"]),
            Claim::Any => {
                *self.dice.pick(&["", "VOLATILE", "STABLE", "IMMUTABLE", "IMMUTABLE", "STABLE PARALLEL SAFE"])
            }
            Claim::Immutable => "IMMUTABLE",
        };
        let body = match self.dice.between(0, 7) {
            0 => format!("LANGUAGE sql {claim} AS $w$ SELECT {value} $w$"),
            1 => format!("LANGUAGE sql {claim} RETURN {value}"),
            2 => format!("LANGUAGE sql {claim} BEGIN ATOMIC SELECT {value}; END"),
            3 => format!("LANGUAGE plpgsql {claim} AS $w$ BEGIN RETURN {value}; END $w$"),
            4 => format!(
                "LANGUAGE plpgsql {claim} AS $w$ DECLARE r {returns} := {value}; BEGIN RETURN r; END $w$"
            ),
            5 => format!(
                "LANGUAGE plpgsql {claim} AS $w$ DECLARE r {returns}; BEGIN EXECUTE $x$ SELECT {value} $x$ INTO r; RETURN r; END $w$"
            ),
            _ => format!(
                "LANGUAGE plpgsql {claim} AS $w$ DECLARE r {returns}; BEGIN SELECT {value} INTO r; RETURN r; END $w$"
            ),
        };
        self.owner(format!("CREATE FUNCTION {name}({arguments}) RETURNS {returns} {body}"));
    }
}

/// An expression of type `int` as one of another type.
fn as_type(code: &str, returns: &str) -> String {
    match returns {
        "int" => code.to_owned(),
        "bool" => format!("({code}) IS NOT NULL"),
        "float8" | "bigint" | "text" => format!("({code})::{returns}"),
        composite => format!("ROW({code})::{composite}"),
    }
}
