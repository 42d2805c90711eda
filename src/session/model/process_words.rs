//! Statements about clients' processes in words in which a server answers them as PostgreSQL answers those about its own:
//! types, names, formats and the state of a transaction are its own, and so is the judgement of who may signal whom.
//!
//! Pure: texts in, texts out.

use crate::backend::value::literal;
use crate::error::{Denial, Error};
use crate::session::model::weir_settings::{REFUSER, refused_value};
use crate::sql::{Dependency, Number, ProcessCall, ProcessFunction, Verdict};
use crate::wire::scan;

/// By this a refusal is known again.
const SETTING: &str = "weir.process";

/// Why a server refuses a signal in weir's stead.
const OF_SUPERUSER: &str = "superuser";
const OF_ROLE: &str = "role";
const BORROWED: &str = "borrowed";

/// What a number stands for in the place of a process ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Nothing of weir's: the server judges it.
    Servers,
    /// The session itself.
    Own,
    /// Another client, which logs in to servers by this role.
    Client(i32, Box<str>),
    /// A server process on which this client works, for now.
    Borrowed(i32),
}

/// What the server gets in the place of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub text: Vec<u8>,
    /// The client that is signalled when it completes.
    pub signals: Option<(i32, ProcessFunction)>,
}

/// The words for a statement that asks which process serves the client.
pub(crate) fn own(call: &ProcessCall, own: i32) -> Words {
    Words { text: named(call, &own.to_string()), signals: None }
}

/// The words for a statement that signals what it names; `None` where its own serve.
pub(crate) fn signals(call: &ProcessCall, about: &Named) -> Option<Words> {
    let (value, client) = match about {
        Named::Servers => return None,
        // The server process of the moment is the client's own.
        Named::Own => (to_own(call), None),
        Named::Client(client, role) => (permitted(role), Some(*client)),
        // It never completes.
        Named::Borrowed(client) => (refuses(&literal_of(&format!("{BORROWED} {client}"))), Some(*client)),
    };
    Some(Words { text: named(call, &value), signals: client.map(|client| (client, call.function)) })
}

fn named(call: &ProcessCall, value: &str) -> Vec<u8> {
    [b"SELECT ", value.as_bytes(), b" AS ", &call.column].concat()
}

fn to_own(call: &ProcessCall) -> String {
    let function = match call.function {
        ProcessFunction::Terminate => "pg_terminate_backend",
        ProcessFunction::Cancel | ProcessFunction::Own => "pg_cancel_backend",
    };
    let timeout = match call.timeout {
        None => String::new(),
        Some(Number::Value(value)) => format!(", {value}"),
        Some(Number::Parameter(nth)) => format!(", ${}", nth + 1),
    };
    format!("pg_catalog.{function}(pg_catalog.pg_backend_pid(){timeout})")
}

/// True for who may signal a process of this role, by the rules of PostgreSQL's `pg_signal_backend`; an error for others.
fn permitted(role: &str) -> String {
    let role = literal(role);
    let is_superuser =
        |name: &str| format!("(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = {name})");
    let denied = |why: &str| {
        refuses(&format!(
            "{} || pg_catalog.current_setting('server_version_num')",
            literal_of(&format!("{why} "))
        ))
    };
    format!(
        "CASE WHEN {} AND NOT {} THEN {} WHEN EXISTS (SELECT FROM pg_catalog.pg_roles \
         WHERE rolname = {role} AND pg_catalog.pg_has_role(oid, 'USAGE')) \
         OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') THEN true ELSE {} END",
        is_superuser(&role),
        is_superuser("current_user"),
        denied(OF_SUPERUSER),
        denied(OF_ROLE),
    )
}

fn literal_of(wrong: &str) -> String {
    refused_value(SETTING, wrong)
}

/// An expression that fails when it is evaluated.
fn refuses(value: &str) -> String {
    format!("pg_catalog.set_config('{REFUSER}', {value}, true)::pg_catalog.bool")
}

/// The error for the client in the place of the server's, where that says `message`.
pub(crate) fn refusal(verdict: &Verdict, frame: &[u8]) -> Option<Error> {
    let signal = verdict.statements.iter().find_map(|statement| match statement.depends_on {
        Dependency::Client(_, signal) => Some(signal),
        _ => None,
    })?;
    let message = scan::field(frame, b'M').filter(|_| scan::sqlstate(frame) == Some(b"22023"))?;
    let message = String::from_utf8_lossy(message);
    let (_, wrong) = message.split_once(&format!("{SETTING} = "))?;
    let mut words = wrong.split([' ', '"']);
    let (why, number) = (words.next()?, words.next()?.parse::<u32>().ok()?);
    let denial = match (why, signal) {
        (BORROWED, _) => {
            let hint = format!("To signal that client, name its own process ID: {number}.");
            return Some(Error::ProcessBorrowed { hint });
        }
        (OF_SUPERUSER, ProcessFunction::Cancel) => Denial::CancelSuperuser,
        (OF_SUPERUSER, ProcessFunction::Terminate) => Denial::TerminateSuperuser,
        (OF_ROLE, ProcessFunction::Cancel) => Denial::CancelRole,
        (OF_ROLE, ProcessFunction::Terminate) => Denial::TerminateRole,
        _ => return None,
    };
    Some(Error::MayNotSignal(denial, number))
}

/// What such a statement is once it is known what it names.
pub(crate) fn signalling(verdict: &Verdict, nth: usize, client: i32, signal: ProcessFunction) -> Verdict {
    let mut verdict = verdict.clone();
    if let Some(statement) = verdict.statements.get_mut(nth) {
        statement.depends_on = Dependency::Client(client, signal);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, StandardConformingStrings, process_call};

    const ON: StandardConformingStrings = StandardConformingStrings::On;

    fn call(sql: &str) -> ProcessCall {
        process_call(sql.as_bytes(), ON).unwrap()
    }

    #[test]
    fn a_server_answers_in_the_client_s_stead() {
        let text = |words: Words| String::from_utf8(words.text).unwrap();
        assert_eq!(
            text(own(&call("SELECT pg_backend_pid() \"Pid\""), 5_000_000)),
            "SELECT 5000000 AS \"Pid\""
        );
        let terminate = call("SELECT pg_terminate_backend($1, $2)");
        assert_eq!(signals(&terminate, &Named::Servers), None);
        let words = signals(&terminate, &Named::Own).unwrap();
        let expected =
            "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid(), $2) AS pg_terminate_backend";
        assert_eq!((words.signals, text(words).as_str()), (None, expected));
        let words = signals(&terminate, &Named::Client(5_000_000, "o'hara".into())).unwrap();
        assert_eq!(words.signals, Some((5_000_000, ProcessFunction::Terminate)));
        assert!(text(words).contains("rolname = 'o''hara'"));
    }

    #[test]
    fn a_refusal_is_told_in_postgresql_s_words() {
        let verdict = Classifier::new(1).classify(b"SELECT pg_cancel_backend(1)", ON);
        let verdict = signalling(&verdict, 0, 5_000_000, ProcessFunction::Cancel);
        let told = |wrong: &str| {
            let message = format!("invalid value for parameter \"{REFUSER}\": \"weir.process = {wrong}\"");
            let mut frame = b"E\0\0\0\0C22023\0M".to_vec();
            frame.extend(message.as_bytes());
            frame.extend(b"\0\0");
            let error = refusal(&verdict, &frame)?;
            Some((error.sqlstate().to_owned(), error.to_string(), error.detail().is_some()))
        };
        let old = "must be a superuser to cancel superuser query";
        assert_eq!(told("superuser 150012"), Some(("42501".into(), old.into(), false)));
        let new = "permission denied to cancel query";
        assert_eq!(told("role 160001"), Some(("42501".into(), new.into(), true)));
        assert_eq!(told("borrowed 5000001").unwrap().0, "55006");
        assert_eq!(told("else 1"), None);
    }
}
