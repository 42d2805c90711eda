//! What code does that its caller must not miss, or that nobody else may find.

use harness::Dice;

/// One thing that code does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Sets a setting of an application's own.
    Setting,
    /// Sets one of PostgreSQL's.
    Zone,
    /// Sets the one by which names are found.
    Path,
    /// Becomes another role.
    Role,
    /// Takes an advisory lock for the session.
    Lock,
    Listen,
    Temporary,
    /// Leaves a cursor open behind its transaction.
    Cursor,
    Write,
    Draw,
    Notify,
    Read,
    /// Tells of the server that it runs on.
    State,
}

pub(crate) const ACTS: &[Act] = &[
    Act::Setting,
    Act::Zone,
    Act::Path,
    Act::Role,
    Act::Lock,
    Act::Lock,
    Act::Listen,
    Act::Temporary,
    Act::Cursor,
    Act::Write,
    Act::Write,
    Act::Draw,
    Act::Notify,
    Act::Read,
    Act::Read,
    Act::Read,
    Act::State,
];

impl Act {
    /// The same as statements of PL/pgSQL, of which a function needs one.
    fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Setting => &[
                "PERFORM set_config('code.mark', 'left', false)",
                "SET code.mark = 'left'",
                "EXECUTE 'SET code.mark = ''left'''",
                "EXECUTE format('SET %I.%I TO %L', 'code', 'mark', 'left')",
            ],
            Self::Zone => &[
                "PERFORM set_config('TimeZone', 'Asia/Kolkata', false)",
                "SET SESSION TIME ZONE 'Asia/Kolkata'",
                "UPDATE pg_settings SET setting = 'Asia/Kolkata' WHERE name = 'TimeZone'",
            ],
            Self::Path => &[
                "PERFORM set_config('search_path', 'code_hidden, public', false)",
                "SET search_path = code_hidden, public",
                "SET SCHEMA 'code_hidden'",
            ],
            Self::Role => &["PERFORM set_config('role', 'code_other', false)", "SET ROLE code_other"],
            Self::Lock => &[
                "PERFORM pg_advisory_lock(77)",
                "PERFORM pg_try_advisory_lock_shared(7, 8)",
                "EXECUTE 'SELECT pg_catalog.pg_advisory_lock_shared(77)'",
            ],
            Self::Listen => &["LISTEN news", "EXECUTE 'LISTEN news'"],
            Self::Temporary => &[
                "CREATE TEMP TABLE IF NOT EXISTS scratch (x int)",
                "CREATE TABLE IF NOT EXISTS pg_temp.scratch AS SELECT 1 AS x",
            ],
            Self::Cursor => &["EXECUTE 'DECLARE kept CURSOR WITH HOLD FOR SELECT 1'"],
            Self::Write => &[
                "INSERT INTO public.ledger VALUES (1000)",
                "UPDATE public.ledger SET n = n + 1",
                "EXECUTE 'INSERT INTO public.ledger VALUES (1000)'",
                "DELETE FROM public.ledger WHERE n = (SELECT max(n) FROM public.ledger)",
            ],
            Self::Draw => &["PERFORM nextval('public.numbers')"],
            Self::Notify => &["NOTIFY news, 'said'", "PERFORM pg_notify('news', 'said')"],
            Self::Read | Self::State => &["NULL"],
        }
    }

    /// What the function returns that does it.
    fn result(self) -> &'static str {
        match self {
            Self::Read => "(SELECT count(*)::int + coalesce(sum(n), 0)::int FROM public.ledger)",
            Self::State => "pg_is_in_recovery()::int",
            _ => "1",
        }
    }

    /// A volatile function that does it.
    pub(crate) fn function(self, name: &str, dice: &mut Dice) -> String {
        let (statement, result) = (dice.pick(self.statements()), self.result());
        format!(
            "CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql AS $b$ BEGIN {statement}; RETURN {result}; END $b$"
        )
    }

    /// An expression of PostgreSQL's own functions that does it, without a query in it; none where there is none.
    pub(crate) fn expression(self) -> Option<&'static str> {
        Some(match self {
            Self::Setting => "length(set_config('code.mark', 'left', false))",
            Self::Zone => "length(set_config('TimeZone', 'Asia/Kolkata', false))",
            Self::Path => "length(set_config('search_path', 'code_hidden, public', false))",
            Self::Role => "length(set_config('role', 'code_other', false))",
            Self::Lock => "length(pg_advisory_lock(77)::text)",
            Self::Draw => "nextval('public.numbers')::int",
            Self::Notify => "length(pg_notify('news', 'said')::text)",
            Self::State => "pg_is_in_recovery()::int",
            Self::Listen | Self::Temporary | Self::Cursor | Self::Write | Self::Read => return None,
        })
    }

    /// One of PostgreSQL's own functions that does it to arguments: how it is called as an operator in front of its
    /// only operand, or between two.
    pub(crate) fn operator(self) -> Option<Bare> {
        Some(match self {
            Self::Lock => Bare {
                function: "pg_advisory_lock",
                left: Some(("int", "7")),
                right: ("int", "8"),
                source: "pg_advisory_lock_int4",
            },
            Self::Draw => Bare {
                function: "nextval",
                left: None,
                right: ("regclass", "'public.numbers'::regclass"),
                source: "nextval_oid",
            },
            Self::Notify => Bare {
                function: "pg_notify",
                left: Some(("text", "'news'::text")),
                right: ("text", "'said'::text"),
                source: "pg_notify",
            },
            Self::State => Bare {
                function: "current_setting",
                left: None,
                right: ("text", "'transaction_read_only'::text"),
                source: "show_config_by_name",
            },
            _ => return None,
        })
    }
}

/// A function of PostgreSQL's own, with its arguments' types and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    pub(crate) function: &'static str,
    pub(crate) left: Option<(&'static str, &'static str)>,
    pub(crate) right: (&'static str, &'static str),
    /// Its name in the server's source.
    pub(crate) source: &'static str,
}
