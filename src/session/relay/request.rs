//! What a request is about: the statements in it, found before it is routed.

use std::ops::Range;
use std::sync::Arc;

use crate::session::model::set::Set;
use crate::session::model::statements::{Names, Naming};
use crate::session::relay::facts::{Fact, facts};
use crate::session::relay::framer::{End, Unit};
use crate::session::relay::message::{Field, Message, MessageKind};
use crate::session::relay::unsettled::{InFlight, is_unsettled};
use crate::sql::{
    Classifier, Effects, Hint, Kind, SkeletonId, StandardConformingStrings, Statement, Verdict, Why,
};
use crate::wire::tag::client;

/// A request that is about to be routed. Its bytes are at the front of the client's buffer.
pub(crate) struct Request {
    pub(crate) unit: Unit,
    pub(crate) len: usize,
    /// What it consists of, read once.
    pub(crate) messages: Vec<Message>,
    /// Where among them all those stand of whose statement something is known: mostly one of several.
    known: Range<usize>,
    facts: Set<Fact>,
}

/// What a request is read with.
pub(crate) struct Reader<'a> {
    pub(crate) classifier: &'a Classifier,
    /// How the session's strings are written.
    pub(crate) strings: StandardConformingStrings,
    /// The statements that were parsed before.
    pub(crate) statements: &'a Names,
    /// What was sent before and may change how strings are written.
    pub(crate) in_flight: &'a dyn InFlight,
    /// The number of the settings under which the request runs, where they are known.
    pub(crate) under: Option<u64>,
}

/// Names that a request has given so far to statements, or to portals. Mostly there is one, which takes no memory.
#[derive(Default)]
struct Given {
    first: Option<Field>,
    more: Vec<Field>,
}

impl Reader<'_> {
    /// What is known of the statement that a message is about, unless another message of its request tells that.
    fn verdict(
        &self,
        message: &Message,
        bytes: &[u8],
        parsed: &Given,
        facts: &mut Set<Fact>,
    ) -> Option<Arc<Verdict>> {
        match message.kind {
            MessageKind::Query { sql } | MessageKind::Parse { sql, .. } => {
                Some(self.classifier.classify(sql.of(bytes), self.strings))
            }
            // The primary says so.
            MessageKind::Malformed(client::QUERY) => Some(unknown(Why::Unparsable)),
            // What it leaves is seen as it passes.
            MessageKind::Cut(client::QUERY) => Some(passing()),
            MessageKind::Cut(_) => Some(unknown(Why::TooLong)),
            MessageKind::FunctionCall { .. } if message.frame.end > bytes.len() => {
                Some(unknown(Why::TooLong))
            }
            // It names a function by its OID: it may be any.
            MessageKind::FunctionCall { .. } => Some(unknown(Why::Procedure)),
            MessageKind::Bind { statement: name, .. } if !parsed.has(name, bytes) => {
                // A statement that weir does not know was prepared in SQL, if at all.
                Some(self.earlier(name.of(bytes), facts).unwrap_or_else(|| unknown(Why::Unparsable)))
            }
            MessageKind::DescribeStatement { name } if !parsed.has(name, bytes) => {
                self.earlier(name.of(bytes), facts)
            }
            _ => None,
        }
    }

    /// What is known of a statement that was parsed before this request.
    fn earlier(&self, name: &[u8], facts: &mut Set<Fact>) -> Option<Arc<Verdict>> {
        if name.is_empty() {
            return self.statements.unnamed.as_ref().map(|unnamed| unnamed.verdict.clone());
        }
        let handle = self.statements.get(name)?;
        if handle.under != self.under {
            facts.add(Fact::UnderOthers);
        }
        Some(handle.statement.verdict.clone())
    }
}

impl Given {
    fn add(&mut self, name: Field) {
        match self.first {
            None => self.first = Some(name),
            Some(_) => self.more.push(name),
        }
    }

    fn has(&self, name: Field, bytes: &[u8]) -> bool {
        self.first.iter().chain(&self.more).any(|given| given.of(bytes) == name.of(bytes))
    }
}

impl Request {
    /// Reads the request that a unit at the front of `bytes` is. `memory` is an empty list's.
    pub(crate) fn read(unit: Unit, bytes: &[u8], reader: &Reader<'_>, mut memory: Vec<Message>) -> Self {
        let len = match unit {
            Unit::Single { len } | Unit::Batch { len, .. } | Unit::Long { len, .. } => len,
            _ => 0,
        };
        let bytes = &bytes[..len.min(bytes.len())];
        let (mut at, mut found, mut known) = (0, Set::default(), 0..0);
        let (mut parsed, mut bound) = (Given::default(), Given::default());
        while let Some(mut message) = Message::read(bytes, at) {
            message.verdict = if is_unsettled((&message, bytes), &memory, reader.statements, reader.in_flight)
            {
                found.add(Fact::Unread);
                Some(unknown(Why::Unparsable))
            } else {
                reader.verdict(&message, bytes, &parsed, &mut found)
            };
            match message.kind {
                MessageKind::Parse { name, .. } => parsed.add(name),
                MessageKind::Bind { portal, .. } => bound.add(portal),
                MessageKind::Execute { portal, .. } if !bound.has(portal, bytes) => {
                    found.add(Fact::ExecutesEarlier);
                }
                _ => {}
            }
            if let Some(verdict) = &message.verdict {
                found = found.union(facts(verdict));
                let first = if known.is_empty() { memory.len() } else { known.start };
                known = first..memory.len() + 1;
            }
            at = message.frame.end;
            memory.push(message);
        }
        Self { unit, len, messages: memory, known, facts: found }
    }

    /// The memory of its messages, for the next one. Of a long batch it is not kept.
    pub(crate) fn into_memory(mut self) -> Vec<Message> {
        const KEPT: usize = 16;
        self.messages.clear();
        if self.messages.capacity() > KEPT { Vec::new() } else { self.messages }
    }

    /// Whether this is so of any of its statements.
    pub(crate) fn any(&self, fact: Fact) -> bool {
        self.facts.has(fact)
    }

    /// What is known of each statement that it is about.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = &Arc<Verdict>> {
        let known = self.messages.get(self.known.clone()).unwrap_or_default();
        known.iter().filter_map(|message| message.verdict.as_ref())
    }

    /// The names of the statements that it binds or describes and that were parsed before it.
    pub(crate) fn uses_earlier(&self) -> impl Iterator<Item = Field> {
        let uses = |message: &&Message| message.verdict.is_some() && !message.brings_text();
        self.messages.iter().filter(uses).filter_map(Message::statement_name)
    }

    /// The names by which it binds statements that were parsed before it, and the empty one among them.
    pub(crate) fn bound_earlier(&self) -> impl Iterator<Item = Field> {
        self.messages.iter().filter(|message| message.verdict.is_some()).filter_map(Message::binds)
    }

    /// What is known of the statements whose texts it brings.
    pub(crate) fn brought(&self) -> impl Iterator<Item = &Arc<Verdict>> {
        self.messages.iter().filter(|message| message.brings_text()).filter_map(|one| one.verdict.as_ref())
    }

    /// How many ReadyForQuery end it.
    pub(crate) fn ends(&self) -> usize {
        match self.unit {
            Unit::Single { .. } | Unit::Batch { end: End::Sync, .. } => 1,
            _ => 0,
        }
    }

    /// All statements in it.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.verdicts().flat_map(|verdict| &verdict.statements)
    }

    /// What is known of what runs by it, in order: that of a bound portal with its Execute, which may come requests later.
    /// `names` are those of the session before the request is sent.
    pub(crate) fn executed(&self, bytes: &[u8], names: &Names) -> Vec<Arc<Verdict>> {
        let mut parsed: Vec<(Field, &Arc<Verdict>)> = Vec::new();
        let mut bound: Vec<(Field, Option<&Arc<Verdict>>)> = Vec::new();
        let mut executed = Vec::new();
        for message in &self.messages {
            let verdict = message.verdict.as_ref();
            let runs = match message.kind {
                MessageKind::Parse { name, .. } => {
                    parsed.extend(verdict.map(|verdict| (name, verdict)));
                    None
                }
                MessageKind::Bind { portal, statement } => {
                    bound.push((portal, verdict.or_else(|| last(&parsed, statement, bytes).copied())));
                    None
                }
                MessageKind::Execute { portal, .. } => match last(&bound, portal, bytes) {
                    Some(known) => *known,
                    None => names.portal(portal.of(bytes)),
                },
                _ if message.runs() => verdict,
                _ => None,
            };
            executed.extend(runs.cloned());
        }
        executed
    }

    /// Whose names the server gets for what the request itself prepares.
    pub(crate) fn names_prepared(&self) -> Naming {
        if self.any(Fact::AsksPrepared) { Naming::Clients } else { Naming::Weirs }
    }

    /// What the comments in front of its texts ask for.
    pub(crate) fn hint(&self) -> Hint {
        strictest(self.verdicts().map(|verdict| verdict.hint))
    }

    /// Whether it is whole and does nothing but read, by functions that weir knows: then it can share its transaction with
    /// a statement of weir's.
    pub(crate) fn only_reads(&self) -> bool {
        self.ends() == 1 && !self.any(Fact::DoesMoreThanRead)
    }

    /// The text of its first statement, where weir has it.
    pub(crate) fn text<'a>(&self, read_buffer: &'a [u8], names: &'a Names) -> Option<&'a [u8]> {
        self.messages.iter().find(|message| message.verdict.is_some())?.text(read_buffer, names)
    }

    /// Whether it speaks of a prepared statement of which `is_moving` says that nobody knows yet what it is.
    pub(crate) fn names_any(&self, bytes: &[u8], is_moving: impl Fn(&[u8]) -> bool) -> bool {
        let by_sql = |statement: &Statement| match &statement.kind {
            Kind::Prepare(name) | Kind::Execute(name) | Kind::Deallocate(Some(name)) => {
                is_moving(name.as_bytes())
            }
            _ => false,
        };
        let names = self.messages.iter().filter_map(Message::statement_name);
        if names.map(|name| name.of(bytes)).any(&is_moving) {
            return true;
        }
        self.statements().any(by_sql)
    }

    /// Whether it binds a statement that was parsed earlier and asks for the columns of what it bound.
    pub(crate) fn describes_portal(&self) -> bool {
        let asks = |message: &Message| matches!(message.kind, MessageKind::DescribePortal { .. });
        let earlier = |message: &Message| message.verdict.is_some() && !message.brings_text();
        self.messages.iter().any(asks) && self.messages.iter().any(earlier)
    }

    /// Whether it leaves a portal of which more may be wanted: one with a name, one that was bound and not executed, or
    /// one that was executed up to a limit.
    pub(crate) fn leaves_portal(&self) -> bool {
        let mut bound = false;
        for message in &self.messages {
            match message.kind {
                MessageKind::Bind { portal, .. } if portal.is_empty() => bound = true,
                MessageKind::Execute { portal, limit: 0 } if portal.is_empty() => bound = false,
                MessageKind::Bind { .. } | MessageKind::Execute { .. } => return true,
                MessageKind::Malformed(client::BIND | client::EXECUTE) => return true,
                _ => {}
            }
        }
        bound
    }

    /// Whether the unnamed portal is one of those: bound and not executed, or executed up to a limit.
    pub(crate) fn leaves_unnamed_portal(&self) -> bool {
        let mut left = false;
        for message in &self.messages {
            match message.kind {
                MessageKind::Bind { portal, .. } if portal.is_empty() => left = true,
                MessageKind::Execute { portal, limit } if portal.is_empty() => left = limit != 0,
                _ => {}
            }
        }
        left
    }

    /// Whether more of the same batch is on its way.
    pub(crate) fn is_open_ended(&self) -> bool {
        matches!(self.unit, Unit::Batch { end: End::Open, .. })
    }

    /// Whether all of it is seen, and nothing of it can be asked for later: then it can go to any server.
    pub(crate) fn is_self_contained(&self) -> bool {
        match self.unit {
            Unit::Batch { end: End::Open, .. } | Unit::Long { .. } => false,
            // Portals, and what was set for the transaction, cannot follow when the rest goes elsewhere.
            Unit::Batch { end: End::Flush, .. } => !self.leaves_portal(),
            _ => true,
        }
    }
}

impl Message {
    /// The text of the statement that it is about, where weir has it.
    pub(crate) fn text<'a>(&self, read_buffer: &'a [u8], names: &'a Names) -> Option<&'a [u8]> {
        match self.kind {
            MessageKind::Query { sql } | MessageKind::Parse { sql, .. } => return Some(sql.of(read_buffer)),
            MessageKind::Bind { statement, .. } if !statement.is_empty() => {
                return names.get(statement.of(read_buffer)).map(|handle| &*handle.statement.sql);
            }
            _ => {}
        }
        let verdict = self.verdict.as_ref()?;
        let unnamed = names.unnamed.as_ref().filter(|unnamed| Arc::ptr_eq(&unnamed.verdict, verdict))?;
        unnamed.sql.as_deref()
    }
}

/// What was given to this name last.
pub(crate) fn last<'a, T>(given: &'a [(Field, T)], name: Field, bytes: &[u8]) -> Option<&'a T> {
    given.iter().rev().find(|(one, _)| one.of(bytes) == name.of(bytes)).map(|(_, what)| what)
}

/// Of a long query string: all that its verdict does not tell is what it leaves.
fn passing() -> Arc<Verdict> {
    let mut verdict = Verdict::opaque(SkeletonId(0), Why::TooLong);
    verdict.statements.iter_mut().for_each(|statement| statement.effects = Effects::default());
    Arc::new(verdict)
}

/// Of what is not known, for the reason that is given.
fn unknown(why: Why) -> Arc<Verdict> {
    Arc::new(Verdict::opaque(SkeletonId(0), why))
}

/// The strictest of what the hints of a request's statements ask for.
fn strictest(hints: impl Iterator<Item = Hint>) -> Hint {
    let both = |a: Hint, b: Hint| Hint {
        target: a.target.or(b.target),
        consistency: a.consistency.max(b.consistency),
        max_staleness: match (a.max_staleness, b.max_staleness) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        },
        transactions: a.transactions.max(b.transactions),
    };
    hints.reduce(both).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::backend::prepared::Stamp;
    use crate::session::model::statement::{ReadBy, Reading};
    use crate::session::model::statements::Handle;
    use crate::session::relay::framer::Framer;
    use crate::session::relay::responses::Flow;
    use crate::session::relay::unsettled::Settled;
    use crate::session::shared::statements::Statements;
    use crate::sql::{Chain, Transactions};
    use crate::wire::request::{put_bare, put_named_statement, put_parse, put_query};

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    fn parse(name: &str, sql: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_parse(&mut out, name.as_bytes(), sql.as_bytes(), &[0, 0]);
        out.to_vec()
    }

    fn query(sql: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_query(&mut out, sql.as_bytes());
        out.to_vec()
    }

    fn bind(portal: &str, statement: &str) -> Vec<u8> {
        frame(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
    }

    fn describe(name: &str) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_named_statement(&mut out, client::DESCRIBE, name.as_bytes());
        out.to_vec()
    }

    fn execute(portal: &str, limit: u8) -> Vec<u8> {
        frame(b'E', &[portal.as_bytes(), &[0, 0, 0, 0, limit]].concat())
    }

    fn bare(tag: u8) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_bare(&mut out, tag);
        out.to_vec()
    }

    /// The first request of these bytes, in a session that has prepared a `DELETE` by the name `known`.
    fn read(bytes: &[u8]) -> Request {
        let classifier = Classifier::new(16);
        let strings = StandardConformingStrings::On;
        let verdict = classifier.classify(b"DELETE FROM t", strings);
        let statement =
            Statements::default().intern(b"DELETE FROM t", b"\0\0", &verdict, Reading::By(ReadBy::default()));
        let mut statements = Names::default();
        statements.insert(b"known", Handle::new(statement, Stamp(0), 0));
        let reader = Reader {
            classifier: &classifier,
            strings,
            statements: &statements,
            in_flight: &Settled,
            under: None,
        };
        let unit = Framer::default().next(bytes, Flow::Query).unwrap();
        Request::read(unit, bytes, &reader, Vec::new())
    }

    /// The kinds of the statements that it is about, each with what its message says: a text, or the name that it binds.
    fn about(bytes: &[u8]) -> Vec<(Kind, String)> {
        let request = read(bytes);
        let said = |message: &Message| match message.kind {
            MessageKind::Query { sql } | MessageKind::Parse { sql, .. } => sql.of(bytes).to_vec(),
            _ => message.binds().map(|name| name.of(bytes).to_vec()).unwrap_or_default(),
        };
        let about = |message: &Message| {
            let kind = message.verdict.as_ref()?.statements[0].kind.clone();
            Some((kind, String::from_utf8(said(message)).unwrap()))
        };
        request.messages.iter().filter_map(about).collect()
    }

    #[test]
    fn a_request_is_about_the_statements_that_it_brings_and_those_that_were_there() {
        const READ: Kind = Kind::Read;
        const WRITE: Kind = Kind::Primary(Why::Write);
        const UNKNOWN: Kind = Kind::Primary(Why::Unparsable);
        let sync = bare(b'S');
        type Expected = &'static [(Kind, &'static str)];
        let table: [(Vec<Vec<u8>>, Expected); 13] = [
            (vec![query("SELECT 1")], &[(READ, "SELECT 1")]),
            (vec![frame(b'Q', b"SELECT 1")], &[(UNKNOWN, "")]),
            (vec![frame(b'F', b"\0\0\0\x07")], &[(Kind::Primary(Why::Procedure), "")]),
            (vec![parse("", "SELECT 1"), bind("", ""), execute("", 0), sync.clone()], &[(READ, "SELECT 1")]),
            (vec![parse("s", "SELECT 1"), describe("s"), sync.clone()], &[(READ, "SELECT 1")]),
            (vec![bind("", "known"), execute("", 0), sync.clone()], &[(WRITE, "known")]),
            (vec![describe("known"), sync.clone()], &[(WRITE, "")]),
            (
                vec![parse("s", "SELECT 1"), bind("", "known"), bind("", "s"), sync.clone()],
                &[(READ, "SELECT 1"), (WRITE, "known")],
            ),
            // What was bound before the Parse is what was there.
            (
                vec![bind("", "known"), parse("known", "SELECT 1"), bind("", "known"), sync.clone()],
                &[(WRITE, "known"), (READ, "SELECT 1")],
            ),
            (vec![bind("", "nobody's"), bind("", ""), sync.clone()], &[(UNKNOWN, "nobody's"), (UNKNOWN, "")]),
            (vec![describe("nobody's"), describe(""), sync.clone()], &[]),
            // A Parse that the server will refuse defines nothing.
            (vec![frame(b'P', b"known\0SELECT 1\0"), bind("", "known"), sync.clone()], &[(WRITE, "known")]),
            (vec![frame(b'B', b"\0known"), frame(b'D', b"S"), frame(b'E', b""), sync], &[]),
        ];
        for (messages, expected) in table {
            let found = about(&messages.concat());
            let found: Vec<_> = found.iter().map(|(kind, said)| (kind.clone(), &**said)).collect();
            assert_eq!(found, expected, "{messages:?}");
        }
    }

    #[test]
    fn of_a_long_message_only_a_bind_tells_what_it_is_about() {
        let long = |tag, head: &[u8]| {
            let whole = frame(tag, &[head, &[b'x'; 1 << 20]].concat());
            let request = read(&whole[..100_000]);
            assert_eq!(request.len, whole.len());
            let [message] = &*request.messages else { panic!("one message") };
            let verdict = message.verdict.as_ref().unwrap();
            (verdict.statements[0].kind.clone(), message.kind, request.is_self_contained())
        };
        let too_long = Kind::Primary(Why::TooLong);
        let (kind, _, leaves) = long(b'B', b"\0known\0");
        assert_eq!((kind, leaves), (Kind::Primary(Why::Write), false));
        assert_eq!(long(b'B', b"\0other\0").0, Kind::Primary(Why::Unparsable));
        assert_eq!(long(b'B', b""), (too_long.clone(), MessageKind::Cut(b'B'), false));
        assert_eq!(long(b'P', b"s\0"), (too_long.clone(), MessageKind::Cut(b'P'), false));
        assert_eq!(long(b'Q', b""), (too_long.clone(), MessageKind::Cut(b'Q'), false));
        let call = MessageKind::FunctionCall { oid: Some(7) };
        assert_eq!(long(b'F', b"\0\0\0\x07"), (too_long, call, false));
    }

    #[test]
    fn what_a_batch_leaves_and_asks_of_its_portals() {
        let flush = bare(b'H');
        let portal = frame(b'D', b"P\0");
        let table = [
            (vec![bind("", "s"), execute("", 0)], false),
            (vec![execute("", 0)], false),
            (vec![bind("", "s")], true),
            (vec![bind("", "s"), execute("", 0), bind("", "s")], true),
            (vec![bind("p", "s"), execute("p", 0)], true),
            (vec![bind("", "s"), execute("", 1)], true),
            (vec![frame(b'B', b""), execute("", 0)], true),
            (vec![bind("", "s"), frame(b'E', b"\0")], true),
        ];
        for (messages, leaves) in table {
            let bytes = [messages.concat(), flush.clone()].concat();
            assert_eq!(read(&bytes).leaves_portal(), leaves, "{messages:?}");
        }
        let table = [
            (vec![bind("", "known"), portal.clone()], true),
            (vec![bind("", "known")], false),
            (vec![parse("", "SELECT 1"), bind("", ""), portal], false),
        ];
        for (messages, describes) in table {
            let bytes = [messages.concat(), flush.clone()].concat();
            assert_eq!(read(&bytes).describes_portal(), describes, "{messages:?}");
        }
    }

    #[test]
    fn names_in_messages_and_in_sql_are_found() {
        let named = |messages: &[Vec<u8>], name: &[u8]| {
            let bytes = messages.concat();
            read(&bytes).names_any(&bytes, |found| found == name)
        };
        let sync = bare(b'S');
        assert!(named(&[parse("s", "SELECT 1"), sync.clone()], b"s"));
        assert!(named(&[bind("p", "s"), sync.clone()], b"s"));
        assert!(!named(&[bind("p", "s"), sync.clone()], b"p"));
        assert!(named(&[describe("s"), sync.clone()], b"s"));
        assert!(named(&[frame(b'C', b"Ss\0"), sync.clone()], b"s"));
        assert!(!named(&[frame(b'C', b"Ps\0"), sync], b"s"));
        assert!(named(&[query("EXECUTE s")], b"s"));
        assert!(!named(&[query("EXECUTE s")], b"t"));
    }

    #[test]
    fn a_portal_s_statement_runs_with_its_execute() {
        let ran = |messages: &[Vec<u8>]| {
            let bytes = messages.concat();
            let mut names = Names::default();
            let commit = Classifier::new(1).classify(b"COMMIT", StandardConformingStrings::On);
            names.bind(b"earlier", Some(commit));
            let executed = read(&bytes).executed(&bytes, &names);
            executed.iter().map(|verdict| verdict.statements[0].kind.clone()).collect::<Vec<_>>()
        };
        let (commit, read_only) = (Kind::Commit { chain: Chain::NoChain }, Kind::Read);
        let sync = || bare(b'S');
        let (one, two) = (|| parse("s", "COMMIT"), || parse("", "SELECT 1"));
        assert_eq!(ran(&[one(), bind("p", "s"), sync()]), []);
        assert_eq!(ran(&[one(), bind("p", "s"), execute("p", 0), sync()]), std::slice::from_ref(&commit));
        let other = [one(), two(), bind("", ""), execute("", 0), sync()];
        assert_eq!(ran(&other), std::slice::from_ref(&read_only));
        assert_eq!(ran(&[execute("earlier", 0), sync()]), std::slice::from_ref(&commit));
        assert_eq!(ran(&[execute("other", 0), sync()]), []);
        // What has the name when it is executed counts, not what gets it later.
        let renamed = [execute("earlier", 0), two(), bind("earlier", ""), execute("earlier", 0), sync()];
        assert_eq!(ran(&renamed), [commit.clone(), read_only]);
        assert_eq!(ran(&[query("COMMIT")]), [commit]);
    }

    #[test]
    fn facts_are_those_of_all_statements() {
        let facts = |sql: &str| {
            use Fact::*;
            let request = read(&query(sql));
            let all = [
                ConcernsWeir,
                ConcernsServer,
                Calls,
                Reads,
                Looks,
                Transacts,
                TakesAway,
                NamesProcess,
                AsksPrepared,
            ];
            all.into_iter().filter(|fact| request.any(*fact)).collect::<Vec<_>>()
        };
        use Fact::*;
        assert_eq!(facts("SHOW weir.route"), [ConcernsWeir]);
        assert_eq!(facts("SET weir.target = 'primary'"), [ConcernsWeir, ConcernsServer]);
        assert_eq!(facts("SELECT f() FROM t"), [ConcernsServer, Calls, Reads, Looks]);
        assert_eq!(facts("BEGIN; SELECT 1"), [ConcernsServer, Looks, Transacts]);
        assert_eq!(facts("SET TRANSACTION READ ONLY"), [ConcernsServer, Transacts]);
        assert_eq!(facts("DISCARD ALL"), [ConcernsServer, TakesAway]);
        assert_eq!(facts("DROP DATABASE d"), [ConcernsServer, Looks, NamesProcess]);
        assert_eq!(facts("EXECUTE s"), [ConcernsServer, Looks, AsksPrepared]);
        assert_eq!(facts(""), []);
    }

    #[test]
    fn of_several_hints_the_strictest_holds() {
        let begins = |transactions| Hint { transactions, ..Hint::default() };
        let both = |a, b| strictest([begins(a), begins(b)].into_iter()).transactions;
        let (lazy, primary) = (Some(Transactions::Lazy), Some(Transactions::Primary));
        assert_eq!((both(lazy, primary), both(primary, lazy)), (primary, primary));
        assert_eq!((both(lazy, None), both(None, None)), (lazy, None));
    }

    proptest! {
        #[test]
        fn the_messages_of_all_requests_are_all_that_was_sent(
            messages in prop::collection::vec(
                (
                    prop::sample::select(&b"QPBDCESHF"[..]),
                    prop::collection::vec(prop::sample::select(&b"SPa\0\0"[..]), 0..12),
                ),
                0..30,
            ),
        ) {
            let bytes = messages.iter().map(|(tag, body)| frame(*tag, body)).collect::<Vec<_>>().concat();
            let bytes = [bytes, bare(b'S')].concat();
            let (mut rest, mut tags) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                let request = read(rest);
                let mut at = 0;
                for message in &request.messages {
                    prop_assert_eq!(message.frame.start, at);
                    at = message.frame.end;
                    tags.push(message.of(rest)[0]);
                }
                prop_assert_eq!(at, request.len);
                rest = &rest[at..];
            }
            prop_assert_eq!(tags.pop(), Some(b'S'));
            prop_assert_eq!(tags, messages.iter().map(|(tag, _)| *tag).collect::<Vec<_>>());
        }
    }
}
