//! weir answers a request in the server's stead: what begins, ends or moves in a transaction of which no server knows.
//!
//! Nothing is in flight meanwhile, so that the answer goes out behind all others.

use crate::router::Reason;
use crate::session::client::Client;
use crate::session::conversation::{Conversation, accounts};
use crate::session::flow::spans;
use crate::session::leg::Leg;
use crate::session::relay::kept::{Keeps, Said};
use crate::session::relay::message::MessageKind;
use crate::session::relay::pending_reply::PendingReply;
use crate::session::relay::request::Request;
use crate::wire::TxStatus;

/// Answers all of a request, and takes its bytes. `leg` is the session's connection, which owes nothing.
pub(crate) fn answer(
    client: &mut Client,
    conversation: &mut Conversation,
    leg: Option<&mut Leg>,
    request: &Request,
) {
    if let Some(leg) = leg {
        client.buffer.settle(&mut leg.lease.read_buffer);
    }
    spans::ends_here(conversation, (request, &*client.read_buffer), Reason::LazyControl.as_str(), None);
    let bytes = client.read_buffer.split_to(request.len.min(client.read_buffer.len()));
    for message in &request.messages {
        let state = &mut conversation.state;
        let said = match message.kind {
            MessageKind::Sync | MessageKind::Flush => None,
            MessageKind::CloseStatement { name } => {
                state.names.close(name.of(&bytes));
                Some((Said::CloseComplete, PendingReply::None))
            }
            _ => state.keeps(Keeps::All, message, &bytes),
        };
        if let Some((said, pending)) = said {
            client.buffer.write(|out| out.extend_from_slice(said.bytes()));
            if let PendingReply::Kept(verdict) = pending {
                state.kept(&verdict);
            }
        }
        if matches!(message.kind, MessageKind::Sync | MessageKind::Query { .. }) {
            match (state.transaction.status(), &mut state.listening) {
                (TxStatus::Idle, Some(listening)) => listening.withheld = Some(TxStatus::Idle),
                (status, _) => client.tell_ready(status),
            }
            state.requests.answered += 1;
        }
    }
    drop(bytes);
    conversation.state.names.settle();
    conversation.passed_over(request.len);
    accounts::request(conversation);
    accounts::transaction(conversation);
    conversation.ends();
}
