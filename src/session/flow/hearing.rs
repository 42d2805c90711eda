//! What a client that listens by a shared connection is told, and when: between its transactions, and before it is told that
//! one is over.
//!
//! It waits for nothing, and sends nothing to a server.

use std::task::Context;
use std::time::Instant;

use crate::backend::ledger::Batch;
use crate::backend::value::{Span, Value, assignment};
use crate::error::{Error, Result};
use crate::session::client::{Client, Phase};
use crate::session::conversation::Conversation;
use crate::session::leg::Leg;
use crate::session::leg::legs::Legs;
use crate::session::model::settings::plain;
use crate::session::shared::subscriptions::mailbox::Standing;
use crate::session::state::State;
use crate::wire::{HEADER, TxStatus};

/// Whether the end of a transaction is withheld from the client.
pub(super) fn withholds(conversation: &Conversation) -> bool {
    conversation.state.listening.as_deref().is_some_and(|listening| listening.withheld.is_some())
}

/// Tells the client what has come, between its transactions. To be asked whenever the session waits.
///
/// # Errors
/// When the client must be closed: something that it should hear is lost, or it does not take it.
pub(super) fn poll_hear(
    parties: (&mut Client, &mut Conversation, &mut Legs),
    cx: &mut Context<'_>,
) -> Result<()> {
    const AT_ONCE: usize = 64 << 10;
    let (client, conversation, legs) = parties;
    let Some(listening) = conversation.state.listening.as_deref() else { return Ok(()) };
    let standing = listening.mailbox.standing(cx.waker());
    if standing == Standing::Full {
        return Err(Error::NotificationsFull);
    }
    if !is_between(client, conversation, legs) {
        return Ok(());
    }
    tell((client, conversation, legs), AT_ONCE)?;
    match standing {
        Standing::Cut if !has_more(client, conversation, legs) => Err(Error::ListenLost),
        _ => Ok(()),
    }
}

/// Whether there is something to tell to a client that would take it.
pub(super) fn has_more(client: &Client, conversation: &Conversation, legs: &Legs) -> bool {
    let listening = conversation.state.listening.as_deref();
    listening.is_some_and(|listening| !listening.mailbox.is_empty())
        && is_between(client, conversation, legs)
        && !client.is_behind()
}

/// Whether the client is between two transactions, and everything before has been answered.
fn is_between(client: &Client, conversation: &Conversation, legs: &Legs) -> bool {
    let transaction = &conversation.state.transaction;
    let rests = |leg: &Leg| {
        leg.is_up()
            && !leg.owes()
            && leg.batch() == Batch::Closed
            && leg.responses.tx == TxStatus::Idle
            && !leg.responses.is_within_frame()
    };
    client.phase == Phase::Messages
        && !withholds(conversation)
        && transaction.status() == TxStatus::Idle
        && !transaction.is_promised()
        && legs.active().is_none_or(rests)
}

/// Queues what has come, up to about so many bytes.
pub(super) fn tell(
    (client, conversation, legs): (&mut Client, &mut Conversation, &mut Legs),
    most: usize,
) -> Result<()> {
    let Some(listening) = conversation.state.listening.as_deref() else { return Ok(()) };
    let channels = conversation.state.shared_channels();
    let mut told = 0;
    while told < most
        && !(client.is_behind() && most < usize::MAX)
        && let Some(one) = listening.mailbox.take()
    {
        // What a transaction has given up is not told any more, whenever it came.
        if !channels.is_some_and(|channels| channels.contains(one.channel())) {
            continue;
        }
        if !one.frame.iter().skip(HEADER + 4).all(u8::is_ascii)
            && !listening.is_in(encoding(&conversation.state).as_deref())
        {
            return Err(Error::NotificationEncoding);
        }
        if let Some(leg) = legs.active_mut().filter(|_| told == 0) {
            client.buffer.settle(&mut leg.lease.read_buffer);
        }
        client.buffer.write(|out| out.extend_from_slice(&one.frame));
        told += one.frame.len();
    }
    if told > 0 {
        conversation.tracking.hears(Instant::now());
    }
    Ok(())
}

/// The statement by which a session has its encoding, if it has one of its own; in PostgreSQL's reading of such a name,
/// in which only letters and digits count.
pub(super) fn encoding(state: &State) -> Option<Box<str>> {
    const NAME: &str = "client_encoding";
    let name = plain(state.settings().wanted().get(NAME)?);
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let value = Value::Raw(name.to_ascii_lowercase().into());
    Some(assignment(NAME, &value, Span::Session).into())
}
