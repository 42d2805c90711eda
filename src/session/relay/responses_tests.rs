//! Any cutting of the same bytes from a server into reads gives the same output and the same events.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

/// What a [`Watcher`] is told, in words.
#[derive(Default)]
struct Events {
    seen: Vec<String>,
    /// What is done with errors.
    on_error: Errors,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Errors {
    #[default]
    Pass,
    /// They have their request run again.
    RunAgain,
    /// One of them has.
    Rerunning,
}

impl Watcher for Events {
    fn completed(&mut self, tag: &[u8], pending: &PendingReply, nth: usize) -> Completion {
        self.seen.push(format!("completed {tag:?} {pending:?} {nth}"));
        Completion::Clients
    }

    fn done(&mut self, pending: PendingReply) {
        self.seen.push(format!("done {pending:?}"));
    }

    fn dropped(&mut self, replies: Vec<PendingReply>) {
        self.seen.push(format!("dropped {replies:?}"));
    }

    fn failed(&mut self, frame: &[u8], action: Action, pending: &PendingReply, answer: Answer) -> OnError {
        self.seen.push(format!("failed {frame:?} {action:?} {pending:?} {answer:?}"));
        match self.on_error {
            Errors::RunAgain | Errors::Rerunning => {
                self.on_error = Errors::Rerunning;
                OnError::Rerun
            }
            Errors::Pass => OnError::Pass,
        }
    }

    fn noticed(&self, _frame: &[u8], _pending: &PendingReply) -> Option<Vec<u8>> {
        None
    }

    fn described(&mut self, frame: &[u8], pending: &PendingReply) {
        self.seen.push(format!("described {frame:?} {pending:?}"));
    }

    fn ready(&mut self, status: TxStatus) -> TxStatus {
        self.seen.push(format!("ready {status:?}"));
        status
    }

    fn parameter(&mut self, frame: &[u8]) -> Completion {
        self.seen.push(format!("parameter {frame:?}"));
        Completion::Clients
    }

    fn withholds(&mut self, _told: TxStatus) -> bool {
        false
    }

    fn notified(&self, _frame: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn may_rerun(&self) -> bool {
        false
    }

    fn is_rerunning(&self) -> bool {
        self.on_error == Errors::Rerunning
    }

    fn listens(&self, _frame: &[u8]) -> bool {
        false
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &len, body].concat()
}

/// A request that was sent, and what the server says to it.
#[derive(Clone, Debug)]
struct Asked {
    owed: Vec<(Reply, Action)>,
    said: Vec<u8>,
}

const ERROR: &[u8] = b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0";

/// A statement's rows, with what may come between them.
fn rows() -> impl Strategy<Value = Vec<u8>> {
    let row = prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| frame(server::DATA_ROW, &body));
    let notice = Just(frame(server::NOTICE, b"SNOTICE\0C00000\0Mhello\0\0"));
    let notification = Just(frame(server::NOTIFICATION, b"\0\0\0\x01here\0\0"));
    let parameter = Just(frame(server::PARAMETER_STATUS, b"TimeZone\0UTC\0"));
    let any = prop_oneof![5 => row, 1 => notice, 1 => notification, 1 => parameter];
    prop::collection::vec(any, 0..6).prop_map(|frames| frames.concat())
}

fn simple() -> impl Strategy<Value = Asked> {
    let statement = (rows(), any::<bool>()).prop_map(|(rows, described)| {
        let head = if described { frame(server::ROW_DESCRIPTION, b"\0\0") } else { Vec::new() };
        [head, rows, frame(server::COMMAND_COMPLETE, b"SELECT 1\0")].concat()
    });
    let action = prop_oneof![3 => Just(Action::Forward), 1 => Just(Action::Swallow)];
    (prop::collection::vec(statement, 0..3), any::<bool>(), action).prop_map(|(statements, fails, action)| {
        let error = if fails { frame(server::ERROR, ERROR) } else { Vec::new() };
        let said = [statements.concat(), error, frame(server::READY, b"I")].concat();
        Asked { owed: vec![(Reply::Query, action)], said }
    })
}

/// A batch of Parse, Bind, Execute, Sync that fails at one of them or not at all; the Parse may be weir's own.
fn batch() -> impl Strategy<Value = Asked> {
    let action = prop_oneof![Just(Action::Forward), Just(Action::Swallow)];
    (rows(), 0..6usize, action).prop_map(|(rows, fails, action)| {
        let said = [
            frame(server::PARSE_COMPLETE, b""),
            frame(server::BIND_COMPLETE, b""),
            [rows, frame(server::COMMAND_COMPLETE, b"SELECT 2\0")].concat(),
        ];
        let mut heard = said.iter().take(fails).cloned().collect::<Vec<_>>().concat();
        if fails < 3 {
            heard.extend(frame(server::ERROR, ERROR));
        }
        heard.extend(frame(server::READY, b"I"));
        let forward = Action::Forward;
        let owed = vec![
            (Reply::Parse, action),
            (Reply::Bind, forward),
            (Reply::Execute, forward),
            (Reply::Sync, forward),
        ];
        Asked { owed, said: heard }
    })
}

/// What comes out of a conversation that is read in pieces of these sizes, again and again.
fn outcome(
    asked: &[Asked],
    sizes: &[usize],
    answer: Answer,
    on_error: Errors,
) -> (Vec<u8>, Vec<String>, usize) {
    let mut replies = Responses::default();
    for (reply, action) in asked.iter().flat_map(|asked| &asked.owed) {
        assert!(replies.ledger.push(*reply, *action, PendingReply::None).is_none());
        assert!(replies.ledger.insert(b"3\0\0\0\x04", PendingReply::RestoresUnnamed).is_none());
    }
    let bytes: Vec<u8> = asked.iter().flat_map(|asked| asked.said.clone()).collect();
    let mut events = Events { seen: Vec::new(), on_error };
    let (mut read_buffer, mut client_buffer) = (BytesMut::new(), ClientBuffer::default());
    if answer == Answer::Held {
        client_buffer.hold();
    }
    let mut rest = &bytes[..];
    for size in sizes.iter().cycle() {
        let (piece, left) = rest.split_at((*size).min(rest.len()));
        read_buffer.extend_from_slice(piece);
        replies.absorb(&mut read_buffer, &mut client_buffer, &mut events).unwrap();
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    assert!(replies.ledger.is_empty());
    let held = client_buffer.held();
    client_buffer.settle(&mut read_buffer);
    assert!(read_buffer.is_empty(), "all has been read");
    (client_buffer.queued().to_vec(), events.seen, held)
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same(
        asked in prop::collection::vec(prop_oneof![simple(), batch()], 1..6),
        sizes in prop::collection::vec(1..60usize, 1..8),
        answer in prop_oneof![Just(Answer::Released), Just(Answer::Held)],
        on_error in prop_oneof![Just(Errors::Pass), Just(Errors::RunAgain)],
    ) {
        let whole = outcome(&asked, &[usize::MAX], answer, on_error);
        prop_assert_eq!(&outcome(&asked, &sizes, answer, on_error), &whole);
        prop_assert_eq!(&outcome(&asked, &[1], answer, on_error), &whole);
    }
}
