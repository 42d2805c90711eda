//! Statements that ask about a client's process or signal one go to the server in other words, once it is known which
//! process they name: see [`process_words`].
//!
//! Their Parse is never touched: what they name may come with Bind, and who has that number changes.

use std::sync::Arc;

use crate::cluster::topology::ServerId;
use crate::session::model::process_words::{self, Words, signalling};
use crate::session::model::weir_settings as own;
use crate::session::state::State;
use crate::sql::{
    Dependency, Number, ProcessCall, ProcessFunction, Statement, Verdict, process_call, split_statements,
};
use crate::wire::request::BindView;
use crate::wire::values::{RawValue, type_of, values};

/// The types of the parameters that such a statement may have.
const INT4: u32 = 23;
const INT8: u32 = 20;

/// What a portal is bound to in the place of its statement.
pub(super) struct Stead {
    pub text: Vec<u8>,
    /// The types of its parameters, as a Parse gives them.
    pub types: Vec<u8>,
    pub verdict: Arc<Verdict>,
}

/// The text and the verdict in the place of a simple query's, where it needs others on this server.
pub(super) fn queried(
    state: &State,
    server: ServerId,
    sql: Option<&[u8]>,
    verdict: &Arc<Verdict>,
) -> Option<(Vec<u8>, Arc<Verdict>)> {
    if verdict.statements.iter().any(own::concerns_weir) {
        return None;
    }
    let texts = split_statements(sql?, state.shown.strings).ok()?;
    if texts.len() != verdict.statements.len() {
        return None;
    }
    let (mut texts, mut verdict, mut changed) =
        (texts.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), verdict.clone(), false);
    for (nth, text) in texts.iter_mut().enumerate() {
        let Some(call) = call(state, &verdict, nth, text) else { continue };
        let Some(words) = in_words(state, server, &call, |_| None) else { continue };
        if let Some((client, signal)) = words.signals {
            verdict = Arc::new(signalling(&verdict, nth, client, signal));
        }
        (*text, changed) = (words.text, true);
    }
    changed.then(|| (texts.join(&b"; "[..]), verdict))
}

/// What a Bind binds its portal to in the place of the statement that it names, where that needs other words on this server.
pub(super) fn bound(state: &State, server: ServerId, frame: &[u8], view: &BindView<'_>) -> Option<Stead> {
    let names = &state.names;
    let (sql, types, verdict) = match view.statement {
        b"" => {
            let unnamed = names.unnamed.as_ref()?;
            (unnamed.sql.as_deref()?, &*unnamed.types, &unnamed.verdict)
        }
        name => {
            let statement = &names.get(name)?.statement;
            (&*statement.sql, &*statement.types, &statement.verdict)
        }
    };
    let call = call(state, verdict, 0, sql)?;
    let values = values(frame)?;
    if values.len() != parameters(&call, types) {
        // The server says so.
        return None;
    }
    let words = in_words(state, server, &call, |nth| values.get(nth).and_then(number))?;
    let types = of_parameters(&call, types, values.len());
    let verdict = match words.signals {
        Some((client, signal)) => Arc::new(signalling(verdict, 0, client, signal)),
        None => verdict.clone(),
    };
    Some(Stead { text: words.text, types, verdict })
}

fn call(state: &State, verdict: &Verdict, nth: usize, sql: &[u8]) -> Option<ProcessCall> {
    let asks = |one: &Statement| matches!(one.depends_on, Dependency::Process | Dependency::Termination);
    verdict.statements.get(nth).filter(|one| asks(one))?;
    process_call(sql, state.shown.strings)
}

/// The words for a call; `value` tells what is bound to parameters.
fn in_words(
    state: &State,
    server: ServerId,
    call: &ProcessCall,
    value: impl Fn(usize) -> Option<i64>,
) -> Option<Words> {
    let told = |number: Number| match number {
        Number::Value(value) => Some(value),
        Number::Parameter(nth) => value(nth),
    };
    let processes = &state.processes;
    if call.function == ProcessFunction::Own {
        return Some(process_words::own(call, processes.own));
    }
    // Of what is below zero, and of NULL, the server itself says what that is.
    if call.timeout.is_some_and(|timeout| told(timeout).is_none_or(|timeout| timeout < 0)) {
        return None;
    }
    let pid = i32::try_from(told(call.process?)?).ok()?;
    process_words::signals(call, &processes.named(pid, server))
}

/// A value that is a number.
fn number(value: &RawValue<'_>) -> Option<i64> {
    let bytes = value.bytes?;
    match (value.format, bytes.len()) {
        (0, _) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        (1, 4) => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        (1, 8) => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}

/// How many parameters a call has, of which these types were given.
fn parameters(call: &ProcessCall, given: &[u8]) -> usize {
    let named = [call.process, call.timeout].into_iter().filter_map(|number| match number? {
        Number::Parameter(nth) => Some(nth + 1),
        Number::Value(_) => None,
    });
    named.max().unwrap_or_default().max(given.len().saturating_sub(2) / 4)
}

/// The types of a call's parameters, as a Parse gives them. The words for it need not name them, and then nobody else tells.
fn of_parameters(call: &ProcessCall, given: &[u8], count: usize) -> Vec<u8> {
    let mut types = u16::try_from(count).unwrap_or_default().to_be_bytes().to_vec();
    for nth in 0..count {
        let known = if call.timeout == Some(Number::Parameter(nth)) { INT8 } else { INT4 };
        let oid = match type_of(given, nth) {
            0 => known,
            oid => oid,
        };
        types.extend(oid.to_be_bytes());
    }
    types
}
