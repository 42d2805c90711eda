//! What a request is about: the statements in it, found before it is routed.

use std::ops::Range;
use std::sync::Arc;

use crate::session::consistency::requirement::strictest;
use crate::session::model::statements::{Names, Naming};
use crate::session::relay::framer::{End, Unit};
use crate::session::{Batch, Session};
use crate::sql::{Dependency, Effects, Hint, Kind, LongText, SkeletonId, Statement, Verdict, Why};
use crate::wire::request::{self, Named};
use crate::wire::tag::client;
use crate::wire::{HEADER, header};

/// A request that is about to be routed. Its bytes are at the front of the client's buffer.
pub(crate) struct Request {
    pub(crate) cut: Unit,
    pub(crate) len: usize,
    pub(crate) items: Vec<Item>,
}

/// A statement that the request is about.
pub(crate) struct Item {
    pub(crate) verdict: Arc<Verdict>,
    /// Where its text stands in the client's buffer; empty when it was parsed earlier.
    pub(crate) sql: Range<usize>,
    /// Whether a Parse brings it: those are used up in order when the request is written.
    pub(crate) parsed: Parsed,
    /// Where a Bind's name of a statement stands in the client's buffer.
    pub(crate) bound: Option<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    Here,
    Earlier,
}

impl Session {
    /// What the request is about.
    pub(crate) fn read(&mut self, cut: Unit) -> Request {
        let mut items = Vec::new();
        let len = match cut {
            Unit::Single { len } => {
                if self.read_buffer.first() == Some(&client::QUERY) {
                    items.push(match request::query(&self.read_buffer[..len]) {
                        Some(sql) => self.classified(HEADER..HEADER + sql.len(), Parsed::Here),
                        // Malformed: the primary says so.
                        None => Item::earlier(unknown(Why::Unparsable), 0..0),
                    });
                } else {
                    // A function call names a function by its OID: it may be any.
                    items.push(Item::earlier(unknown(Why::Procedure), 0..0));
                }
                len
            }
            Unit::Batch { len, .. } => {
                self.read_batch(len, &mut items);
                len
            }
            Unit::Long { tag, len } => {
                let verdict = match request::bind(&self.read_buffer) {
                    Some(view) if tag == client::BIND => self.statement_verdict(view.statement),
                    // What it leaves is seen as it passes.
                    _ if tag == client::QUERY => Some(passing()),
                    _ => Some(unknown(Why::TooLong)),
                };
                items.push(Item::earlier(verdict.unwrap_or_else(|| unknown(Why::Unparsable)), 0..0));
                len
            }
            _ => 0,
        };
        Request { cut, len, items }
    }

    /// How much of the request is there. If it is a long query string, that much is read now.
    pub(crate) fn is_there(&mut self, request: &Request) -> usize {
        let len = request.len.min(self.read_buffer.len());
        let Unit::Long { tag: client::QUERY, .. } = request.cut else { return len };
        let mut text = LongText::new(self.routing.strings);
        text.read(self.read_buffer.get(HEADER..len).unwrap_or_default());
        self.long = Some(Box::new(text));
        self.read_long(&[], request.len - len);
        len
    }

    /// More of a long query string. Before the server can run it, it is known whether it leaves nothing.
    pub(crate) fn read_long(&mut self, bytes: &[u8], missing: usize) {
        let Some(text) = &mut self.long else { return };
        text.read(bytes);
        if missing > 0 {
            return;
        }
        // Behind a relation there may be code, and which relation it is nobody has looked.
        if !text.leaves_nothing() || self.shared.cluster.catalogs().know_traces() {
            self.state.pins.long_statement();
        }
        self.long = None;
    }

    pub(crate) fn read_batch(&self, len: usize, items: &mut Vec<Item>) {
        let mut at = 0;
        let mut parsed: Vec<&[u8]> = Vec::new();
        while let Some(Ok(head)) = header(&self.read_buffer[at..len]) {
            let frame = at..at + head.len;
            let bytes = &self.read_buffer[frame.clone()];
            match head.tag {
                client::PARSE => {
                    if let Some(view) = request::parse(bytes) {
                        let start = frame.start + 5 + view.name.len() + 1;
                        items.push(self.classified(start..start + view.sql.len(), Parsed::Here));
                        parsed.push(view.name);
                    }
                }
                client::BIND => {
                    let earlier = request::bind(bytes).filter(|view| !parsed.contains(&view.statement));
                    if let Some(view) = earlier {
                        let start = frame.start + HEADER + view.portal.len() + 1;
                        let bound = start..start + view.statement.len();
                        // A statement that weir does not know was prepared in SQL, if at all.
                        let verdict = self.statement_verdict(view.statement);
                        let verdict = verdict.unwrap_or_else(|| unknown(Why::Unparsable));
                        items.push(Item::earlier(verdict, bound));
                    }
                }
                client::DESCRIBE => {
                    if let Some(Named::Statement(name)) = request::named(bytes)
                        && !parsed.contains(&name)
                    {
                        let verdict = self.statement_verdict(name);
                        items.extend(verdict.map(|verdict| Item::earlier(verdict, 0..0)));
                    }
                }
                _ => {}
            }
            at = frame.end;
        }
    }

    pub(crate) fn classified(&self, sql: Range<usize>, parsed: Parsed) -> Item {
        let verdict = self.shared.classifier.classify(&self.read_buffer[sql.clone()], self.routing.strings);
        Item { verdict, sql, parsed, bound: None }
    }

    /// The verdict of a statement that was parsed before this request.
    pub(crate) fn statement_verdict(&self, name: &[u8]) -> Option<Arc<Verdict>> {
        if name.is_empty() {
            return self.state.names.unnamed.as_ref().map(|unnamed| unnamed.verdict.clone());
        }
        self.state.names.get(name).map(|handle| handle.statement.verdict.clone())
    }
}

impl Request {
    /// How many ReadyForQuery end it.
    pub(crate) fn ends(&self) -> usize {
        match self.cut {
            Unit::Single { .. } | Unit::Batch { end: End::Sync, .. } => 1,
            _ => 0,
        }
    }

    /// All statements in it.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.items.iter().flat_map(|item| &item.verdict.statements)
    }

    /// Whose names the server gets for what the request itself prepares.
    pub(crate) fn names_prepared(&self) -> Naming {
        let asks = |statement: &Statement| {
            matches!(statement.depends_on, Dependency::Statement(_) | Dependency::Statements)
        };
        if self.statements().any(asks) { Naming::Clients } else { Naming::Weirs }
    }

    /// What the comments in front of its texts ask for.
    pub(crate) fn hint(&self) -> Hint {
        strictest(self.items.iter().map(|item| item.verdict.hint))
    }

    /// Whether it is whole and does nothing but read, by functions that weir knows: then it can share its transaction with
    /// a statement of weir's.
    pub(crate) fn only_reads(&self) -> bool {
        let plain = |statement: &Statement| {
            statement.kind == Kind::Read && statement.functions.is_empty() && statement.effects.is_empty()
        };
        self.ends() == 1 && self.statements().all(plain)
    }

    /// The text of its first statement, where weir has it.
    pub(crate) fn text<'a>(&self, read_buffer: &'a [u8], names: &'a Names) -> Option<&'a [u8]> {
        self.items.first()?.text(read_buffer, names)
    }

    /// Whether it speaks of a prepared statement of which `is_moving` says that nobody knows yet what it is.
    pub(crate) fn names_any(&self, bytes: &[u8], is_moving: impl Fn(&[u8]) -> bool) -> bool {
        let by_sql = |statement: &Statement| match &statement.kind {
            Kind::Prepare(name) | Kind::Execute(name) | Kind::Deallocate(Some(name)) => {
                is_moving(name.as_bytes())
            }
            _ => false,
        };
        let mut at = 0;
        while let Some(Ok(head)) = header(&bytes[at..]) {
            let end = bytes.len().min(at + head.len);
            let frame = &bytes[at..end];
            let name = match head.tag {
                client::PARSE => request::parse(frame).map(|view| view.name),
                client::BIND => request::bind(frame).map(|view| view.statement),
                client::DESCRIBE | client::CLOSE => match request::named(frame) {
                    Some(Named::Statement(name)) => Some(name),
                    _ => None,
                },
                _ => None,
            };
            if name.is_some_and(&is_moving) {
                return true;
            }
            at = end;
        }
        self.statements().any(by_sql)
    }

    /// Whether it binds a statement that was parsed earlier and asks for the columns of what it bound.
    pub(crate) fn describes_portal(&self, bytes: &[u8]) -> bool {
        let mut at = 0;
        let mut described = false;
        while let Some(Ok(head)) = header(&bytes[at..]) {
            described |= head.tag == client::DESCRIBE && bytes.get(at + HEADER) == Some(&b'P');
            at = bytes.len().min(at + head.len);
        }
        described && self.items.iter().any(|item| item.parsed == Parsed::Earlier)
    }
}

impl Request {
    /// What it leaves of a batch on the connection.
    pub(crate) fn leaves(&self) -> Batch {
        match self.cut {
            Unit::Batch { end: End::Flush | End::Open, .. } => Batch::Open,
            Unit::Long { tag, .. } if !matches!(tag, client::QUERY | client::FUNCTION_CALL) => Batch::Open,
            _ => Batch::Closed,
        }
    }
}

impl Item {
    /// A statement that was parsed before this request, bound by this name; none when the range is empty.
    pub(crate) fn earlier(verdict: Arc<Verdict>, bound: Range<usize>) -> Self {
        Self { verdict, sql: 0..0, parsed: Parsed::Earlier, bound: (!bound.is_empty()).then_some(bound) }
    }

    /// Its text, where weir has it.
    pub(crate) fn text<'a>(&self, read_buffer: &'a [u8], names: &'a Names) -> Option<&'a [u8]> {
        if !self.sql.is_empty() {
            return read_buffer.get(self.sql.clone());
        }
        if let Some(bound) = self.bound.clone() {
            return names.get(&read_buffer[bound]).map(|handle| &*handle.statement.sql);
        }
        let unnamed =
            names.unnamed.as_ref().filter(|unnamed| Arc::ptr_eq(&unnamed.verdict, &self.verdict))?;
        unnamed.sql.as_deref()
    }

    /// Whether it calls functions, or runs code that may.
    pub(crate) fn calls(&self) -> bool {
        let runs = |statement: &Statement| {
            !statement.functions.is_empty()
                || statement.effects.code.as_ref().is_some_and(|code| !code.is_plain())
        };
        self.verdict.statements.iter().any(runs)
    }

    /// Whether it reads relations.
    pub(crate) fn reads(&self) -> bool {
        self.verdict.statements.iter().any(|statement| !statement.reads.is_empty())
    }
}

/// Of a long query string: all that its verdict does not tell is what it leaves.
fn passing() -> Arc<Verdict> {
    let mut verdict = Verdict::opaque(SkeletonId(0), Why::TooLong);
    verdict.statements.iter_mut().for_each(|statement| statement.effects = Effects::default());
    Arc::new(verdict)
}

/// Whether these messages leave a portal of which more may be wanted: one with a name, one that was bound and not
/// executed, or one that was executed up to a limit.
pub(crate) fn leaves_portal(bytes: &[u8]) -> bool {
    let mut at = 0;
    let mut bound = false;
    while let Some(Ok(head)) = header(&bytes[at..]) {
        let end = bytes.len().min(at + head.len);
        let frame = &bytes[at..end];
        match head.tag {
            client::BIND if request::bind(frame).is_none_or(|view| !view.portal.is_empty()) => return true,
            client::BIND => bound = true,
            client::EXECUTE if frame.get(HEADER..) == Some(&[0; 5]) => bound = false,
            client::EXECUTE => return true,
            _ => {}
        }
        at = end;
    }
    bound
}

/// Of what is not known, for the reason that is given.
fn unknown(why: Why) -> Arc<Verdict> {
    Arc::new(Verdict::opaque(SkeletonId(0), why))
}
