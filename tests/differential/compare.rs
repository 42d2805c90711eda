//! Whether two servers said the same.

use std::fmt::Write as _;

use harness::client::Message;

use crate::stage::{END, Heard};
use crate::talk::{Talk, Words};

/// The first place where `weir` did not say what `server` said, in words for the reader; none when there is none.
pub(crate) fn difference(talk: &Talk, server: &Heard, weir: &Heard, first_new: u32) -> Option<String> {
    let server = Canon::new(talk, first_new).all(server);
    let weir = Canon::new(talk, first_new).all(weir);
    let steps = server.len().max(weir.len());
    for step in 0..steps {
        let (ours, theirs) = (weir.get(step).map_or(&[][..], |s| s), server.get(step).map_or(&[][..], |s| s));
        if ours == theirs {
            continue;
        }
        let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let mut text = format!("step {step} (0 is the login), message {at}:\n");
        let _ = writeln!(text, "    the server said {}", show(theirs.get(at)));
        let _ = writeln!(text, "    weir said       {}", show(ours.get(at)));
        let _ = writeln!(text, "  all of the step, the server: {theirs:?}\n  weir: {ours:?}");
        text = text.chars().take(3000).collect();
        return Some(text);
    }
    None
}

/// Whether the server has shown a fault of its own: PostgreSQL 18.4, asked something after a `Sync` behind a simple query (or
/// a function call) in the middle of a batch. By then it has also lost what both of them wrote.
pub(crate) fn fails_by_itself(heard: &Heard) -> bool {
    let words = "StartTransactionCommand: unexpected state STARTED";
    let is_it = |message: &Message| message.error().is_some_and(|error| error.message() == words);
    heard.iter().flatten().any(is_it)
}

/// The same with what a server tells by itself moved to the end of each batch. On two connections a batch that comes in
/// pieces, or late, may have ended on one of them before it ends for its client: that it is told then.
pub(crate) fn told_at_the_end(heard: Heard) -> Heard {
    let by_itself = |message: &Message| matches!(message.tag, b'S' | b'A');
    let settled = |step: Vec<Message>| {
        let batches = step.split_inclusive(|message| message.tag == b'Z').map(|batch| {
            let (told, mut asked): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(by_itself);
            let at = asked.iter().position(|message| message.tag == b'Z').unwrap_or(asked.len());
            asked.splice(at..at, told);
            asked
        });
        batches.flatten().collect()
    };
    heard.into_iter().map(settled).collect()
}

fn show(message: Option<&Message>) -> String {
    match message {
        None => "nothing".to_owned(),
        Some(message) if message.tag == END => message.text_lossy(),
        Some(message) => match message.error().or_else(|| message.notice()) {
            Some(report) => format!("{message} {:?}", report.fields()),
            None => format!("{message} {:02x?}", &message.body[..message.body.len().min(60)]),
        },
    }
}

trait Lossy {
    fn text_lossy(&self) -> String;
}

impl Lossy for Message {
    fn text_lossy(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Leaves aside what cannot be the same on two connections, and nothing else.
struct Canon<'a> {
    talk: &'a Talk,
    first_new: u32,
    /// OIDs of objects made in the conversation, in the order in which they came up: the n-th stands for the n-th.
    new: Vec<u32>,
    /// The process that the login named as the client's own.
    own: Vec<u8>,
}

impl<'a> Canon<'a> {
    fn new(talk: &'a Talk, first_new: u32) -> Self {
        Self { talk, first_new, new: Vec::new(), own: Vec::new() }
    }

    fn all(mut self, heard: &Heard) -> Heard {
        let mut heard: Heard =
            heard.iter().map(|step| step.iter().map(|message| self.message(message)).collect()).collect();
        if let Some(login) = heard.first_mut() {
            // The order in which parameters are reported at login is nobody's business.
            login.sort_by_key(|message| (message.tag == b'S', message.body.clone()));
        }
        heard
    }

    fn message(&mut self, message: &Message) -> Message {
        let mut message = message.clone();
        match message.tag {
            // What kind of authentication: salts and nonces are random.
            b'R' => message.body.truncate(4),
            b'K' => {
                self.own = message.body.iter().take(4).copied().collect();
                message.body.clear();
            }
            // The process that notified: the client's own, or another one.
            b'A' => {
                let by = u8::from(message.body.starts_with(&self.own));
                message.body.iter_mut().take(4).for_each(|byte| *byte = by);
            }
            b'E' | b'N' if self.talk.words == Words::Weirs => self.without_source(&mut message),
            b'T' => self.row_description(&mut message.body),
            b't' => {
                let count = message.body.len() / 4;
                (0..count).for_each(|n| self.oid(&mut message.body, 2 + 4 * n));
            }
            _ => {}
        }
        message
    }

    /// An error without file, line and routine.
    fn without_source(&self, message: &mut Message) {
        let Some(report) = message.error().or_else(|| message.notice()) else { return };
        message.body.clear();
        for (code, value) in report.fields().iter().filter(|(code, _)| !"FLR".contains(*code)) {
            message.body.extend(format!("{code}{value}\0").bytes());
        }
        message.body.push(0);
    }

    fn row_description(&mut self, body: &mut [u8]) {
        let mut at = 2;
        while at < body.len() {
            let Some(name) = body[at..].iter().position(|byte| *byte == 0) else { return };
            at += name + 1;
            self.oid(body, at);
            self.oid(body, at + 6);
            at += 18;
        }
    }

    fn oid(&mut self, body: &mut [u8], at: usize) {
        let Some(bytes) = body.get_mut(at..at + 4) else { return };
        let oid = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if oid < self.first_new {
            return;
        }
        let nth = self.new.iter().position(|known| *known == oid).unwrap_or_else(|| {
            self.new.push(oid);
            self.new.len() - 1
        });
        bytes.copy_from_slice(&u32::MAX.wrapping_sub(u32::try_from(nth).unwrap_or(0)).to_be_bytes());
    }
}
