//! What `weir explain` prints of several statements: where each goes that a client sends by itself, one after the other,
//! and how the transactions run that they make.
//!
//! Pure. Every statement is taken to succeed, a relation for a plain table where there is no catalog, and state that pins
//! to stay until `DISCARD ALL`. What `ROLLBACK TO` takes back of weir's own settings is not followed.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::cluster::catalog::{Catalog, Reach, Relation};
use crate::sql::lexer::Lexer;
use crate::sql::{
    AccessMode, Chain, CursorUse, Discard, Hint, Isolation, Kind, Modes, Pin, Scope, Setting,
    StandardConformingStrings, Statement, Target, Transactions, Verdict, Why,
};

use super::session_view::TargetSource;
use super::{
    FixedTarget, LazyRoute, Promise, Reason, Replicas, Route, SessionView, World, lazy, route,
    ruled_transactions,
};

/// Where transactions run that do not say it themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct BeginsWhere {
    /// What the listener, the database or the user says.
    pub nearest: Option<Transactions>,
    /// What holds where neither those nor a rule says anything.
    pub otherwise: Transactions,
}

/// The table of several statements, each with its text, and a line for each of their transactions.
pub fn explain_transaction(
    statements: &[(Arc<Verdict>, &[u8])],
    session: SessionView<'_>,
    world: &World<'_>,
    begins: BeginsWhere,
) -> String {
    let assumed = plain_tables(statements);
    let world = World { catalog: world.catalog.or(Some(&assumed)), ..*world };
    let mut walk = Walk::new(session, &world, begins);
    let mut table = vec![["#", "where", "reason", "statement"].map(str::to_owned)];
    let mut ended = Vec::new();
    for (number, (verdict, sql)) in (1..).zip(statements) {
        let begins = walk.block.stand == Stand::Outside;
        let row = walk.statement(verdict, sql);
        let over = walk.ended.take();
        if begins || over.is_some() {
            walk.block.first = number;
        }
        table.push([number.to_string(), row.place.to_string(), row.reason.to_string(), first_line(sql)]);
        ended.extend(over.map(|(first, ran)| format!("transaction {first}-{number}: {ran}\n")));
    }
    if walk.block.stand != Stand::Outside {
        ended.push(format!("transaction {}-: {}, not ended\n", walk.block.first, walk.block.ran()));
    }
    aligned(&table) + "\n" + &ended.concat()
}

/// Every relation that is read, as a table that is no view, not unlogged and no sequence.
fn plain_tables(statements: &[(Arc<Verdict>, &[u8])]) -> Catalog {
    let nothing = || Reach::These(Box::default());
    let all = statements.iter().flat_map(|(verdict, _)| &verdict.statements);
    let names = all.flat_map(|statement| statement.reads.iter().cloned());
    let relations = names.map(|name| (name, Relation { written: nothing(), read: nothing() })).collect();
    Catalog { relations, ..Catalog::default() }
}

/// A statement's first line, without the comments in front of it.
fn first_line(sql: &[u8]) -> String {
    let first = Lexer::new(sql, StandardConformingStrings::On).next();
    let start = first.and_then(Result::ok).map_or(0, |token| token.start);
    let text = String::from_utf8_lossy(sql.get(start..).unwrap_or_default());
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().trim_end().to_owned();
    if lines.next().is_some() { line + " ..." } else { line }
}

fn aligned(table: &[[String; 4]]) -> String {
    let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (a, b, c) = (width(0), width(1), width(2));
    let mut out = String::new();
    for [number, place, reason, text] in table {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{number:>a$}  {place:<b$}  {reason:<c$}  {text}");
    }
    out
}

/// Where a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// weir answers it.
    Weir,
    /// There, and there is no transaction.
    Outside(Route),
    /// There, outside of its transaction.
    Alone(Route),
    /// On the connection that its transaction has to a replica.
    OnReplica,
    /// On the primary, where its transaction moves with it.
    Upgrade,
    /// On the primary, where its transaction is.
    OnPrimary,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Weir => f.write_str("weir"),
            Place::Outside(route) => f.write_str(route.as_str()),
            Place::Alone(route) => write!(f, "{}, alone", route.as_str()),
            Place::OnReplica => f.write_str("replica, in transaction"),
            Place::Upgrade => f.write_str("primary, upgrade"),
            Place::OnPrimary => f.write_str("primary, in transaction"),
        }
    }
}

/// Where a statement runs, and why.
struct Row {
    place: Place,
    reason: Reason,
}

/// Where the transaction stands that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stand {
    /// There is none.
    #[default]
    Outside,
    /// No server knows of it.
    Promised,
    OnReplica,
    /// It runs on the primary for this reason: from its first statement on, or after it had read elsewhere.
    OnPrimary(Reason),
    Upgraded(Reason),
}

/// What was said in a transaction.
enum Entry {
    Savepoint(Box<str>),
    /// Settings were changed on a replica's connection.
    Set,
    /// A cursor was opened there.
    Cursor(Box<str>),
}

#[derive(Default)]
struct Block {
    stand: Stand,
    modes: Modes,
    transactions: Transactions,
    entries: Vec<Entry>,
    /// A query has run elsewhere than on the primary.
    queried: bool,
    /// The number of the statement that began it.
    first: usize,
}

impl Block {
    /// How it has run so far: the labels of `weir_transactions_total`.
    fn ran(&self) -> String {
        match self.stand {
            Stand::Outside | Stand::Promised => "none".to_owned(),
            Stand::OnReplica => "replica".to_owned(),
            Stand::OnPrimary(reason) => format!("primary, {reason}"),
            Stand::Upgraded(reason) => format!("upgraded, {reason}"),
        }
    }

    fn savepoint(&self, name: &str) -> Option<usize> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Savepoint(known) if **known == *name);
        self.entries.iter().rposition(is_it)
    }

    fn has_open(&self, name: &str) -> bool {
        let is_it =
            |entry: &Entry| matches!(entry, Entry::Cursor(open) if name.is_empty() || **open == *name);
        self.entries.iter().any(is_it)
    }

    fn closes(&mut self, name: Option<&str>) {
        let is_it = |open: &str| name.is_none_or(|name| open == name);
        self.entries.retain(|entry| !matches!(entry, Entry::Cursor(open) if is_it(open)));
    }

    fn moves(&mut self, statement: &Statement) {
        match &statement.kind {
            Kind::Savepoint(name) => self.entries.push(Entry::Savepoint(name.clone())),
            Kind::Release(name) => {
                let Some(at) = self.savepoint(name) else { return };
                let behind = self.entries.split_off(at);
                let kept = behind.into_iter().filter(|entry| !matches!(entry, Entry::Savepoint(_)));
                self.entries.extend(kept);
            }
            Kind::RollbackTo(name) => {
                if let Some(at) = self.savepoint(name) {
                    self.entries.truncate(at + 1);
                }
            }
            Kind::SetTransaction(modes, Scope::Local) => self.modes = over(*modes, self.modes),
            _ => {}
        }
    }
}

/// The one statement of a verdict, where it controls a transaction and weir can answer it.
fn control(verdict: &Verdict) -> Option<&Statement> {
    match &*verdict.statements {
        [statement] if !statement.tag.is_empty() => Some(statement),
        _ => None,
    }
}

/// Modes, and where they say nothing, others.
fn over(said: Modes, before: Modes) -> Modes {
    Modes {
        isolation: said.isolation.or(before.isolation),
        access: said.access.or(before.access),
        deferrable: said.deferrable.or(before.deferrable),
    }
}

/// What the session has set that decides on routes, and what pins it.
#[derive(Clone, Copy, Default)]
struct Settings {
    target: Option<Target>,
    transactions: Option<Transactions>,
    defaults: Modes,
    pin: Option<Pin>,
}

impl Settings {
    fn set(&mut self, setting: &Setting) {
        let value = setting.value.trim_matches('\'').to_ascii_lowercase();
        match &*setting.name {
            "weir.target" => self.target = value.parse().ok(),
            "weir.transactions" => self.transactions = value.parse().ok(),
            "default_transaction_isolation" => {
                self.defaults.isolation = match &*value {
                    "serializable" => Some(Isolation::Serializable),
                    "repeatable read" => Some(Isolation::RepeatableRead),
                    _ => None,
                };
            }
            "default_transaction_read_only" => {
                let on = matches!(&*value, "on" | "true" | "yes" | "1");
                self.defaults.access = on.then_some(AccessMode::ReadOnly);
            }
            _ => {}
        }
    }
}

/// A session on its way through the statements.
struct Walk<'a> {
    /// As it came.
    session: SessionView<'a>,
    world: &'a World<'a>,
    begins: BeginsWhere,
    now: Settings,
    /// What a rollback leaves, and a commit.
    at_begin: Settings,
    committed: Settings,
    block: Block,
    /// A transaction that has ended: the number of its first statement, and how it ran.
    ended: Option<(usize, String)>,
}

impl<'a> Walk<'a> {
    fn new(session: SessionView<'a>, world: &'a World<'a>, begins: BeginsWhere) -> Self {
        let now = Settings { defaults: session.defaults, pin: session.pin, ..Settings::default() };
        let block = Block::default();
        Self { session, world, begins, now, at_begin: now, committed: now, block, ended: None }
    }

    fn view(&self) -> SessionView<'a> {
        let set = self.now.target.map(|target| FixedTarget { target, source: TargetSource::Set });
        let Settings { defaults, pin, .. } = self.now;
        SessionView { target: set.or(self.session.target), defaults, pin, ..self.session }
    }

    /// One more statement.
    fn statement(&mut self, verdict: &Verdict, sql: &[u8]) -> Row {
        let row = match self.block.stand {
            Stand::Outside => self.outside(verdict, sql),
            Stand::Promised => self.promised(verdict, sql),
            Stand::OnReplica => self.on_replica(verdict, sql),
            Stand::OnPrimary(_) | Stand::Upgraded(_) => self.on_primary(verdict),
        };
        if self.block.stand != Stand::Outside {
            self.block.stand = match row.place {
                Place::OnReplica if self.block.stand == Stand::Promised => Stand::OnReplica,
                Place::Upgrade => Stand::Upgraded(row.reason),
                Place::OnPrimary if self.block.stand == Stand::Promised => Stand::OnPrimary(row.reason),
                _ => self.block.stand,
            };
            let looks = |one: &Statement| !matches!(one.kind, Kind::Set | Kind::SetWeir(..) | Kind::Show(_));
            self.block.queried |= matches!(row.place, Place::Alone(_) | Place::OnReplica)
                && verdict.statements.iter().any(looks);
        }
        for statement in &verdict.statements {
            self.completes(statement, verdict, sql, &row);
        }
        row
    }

    fn outside(&self, verdict: &Verdict, sql: &[u8]) -> Row {
        let begins = control(verdict).is_some_and(|one| matches!(one.kind, Kind::Begin(_)));
        match (begins, self.now.pin) {
            (true, None) => Row { place: Place::Weir, reason: Reason::LazyControl },
            (true, Some(_)) => Row { place: Place::OnPrimary, reason: Reason::Pinned },
            (false, _) => {
                let decision = route(verdict, sql, &self.view(), self.world);
                Row { place: Place::Outside(decision.route), reason: decision.reason }
            }
        }
    }

    /// In a transaction of which no server knows.
    fn promised(&self, verdict: &Verdict, sql: &[u8]) -> Row {
        if self.answers(verdict) {
            return Row { place: Place::Weir, reason: Reason::LazyControl };
        }
        let primary = if self.block.queried { Place::Upgrade } else { Place::OnPrimary };
        let usable = self.world.replicas == Replicas::Usable;
        match self.course(verdict, sql) {
            LazyRoute::Alone(reason) if usable => Row { place: Place::Alone(Route::Replica), reason },
            LazyRoute::Alone(_) => Row { place: Place::Alone(Route::Primary), reason: Reason::NoReplica },
            LazyRoute::OnReplica(reason) if usable => Row { place: Place::OnReplica, reason },
            LazyRoute::OnReplica(_) => Row { place: primary, reason: Reason::NoReplica },
            LazyRoute::OnPrimary(reason) => Row { place: primary, reason },
        }
    }

    fn on_replica(&self, verdict: &Verdict, sql: &[u8]) -> Row {
        match self.course(verdict, sql) {
            LazyRoute::OnPrimary(reason) => Row { place: Place::Upgrade, reason },
            LazyRoute::Alone(_) | LazyRoute::OnReplica(_) => {
                Row { place: Place::OnReplica, reason: Reason::InTransaction }
            }
        }
    }

    /// What is open on the replica's connection is asked for there.
    fn on_primary(&self, verdict: &Verdict) -> Row {
        let aside = verdict.statements.iter().any(|statement| match &statement.kind {
            Kind::Cursor(
                CursorUse::Fetch(name) | CursorUse::Close(Some(name)) | CursorUse::Declare(name),
            ) => self.block.has_open(name),
            _ => statement.lists_cursors() && self.block.has_open(""),
        });
        let place = if aside { Place::OnReplica } else { Place::OnPrimary };
        Row { place, reason: Reason::InTransaction }
    }

    /// Whether weir answers a statement of a transaction of which no server knows.
    fn answers(&self, verdict: &Verdict) -> bool {
        let Some(statement) = control(verdict) else { return false };
        match &statement.kind {
            Kind::Commit { .. } | Kind::Rollback { .. } | Kind::Savepoint(_) => true,
            Kind::Release(name) | Kind::RollbackTo(name) => self.block.savepoint(name).is_some(),
            Kind::SetTransaction(_, Scope::Local) => !self.block.queried && self.block.entries.is_empty(),
            _ => false,
        }
    }

    fn course(&self, verdict: &Verdict, sql: &[u8]) -> LazyRoute {
        let block = &self.block;
        let modes = over(block.modes, self.now.defaults);
        let kept = modes.isolation == Some(Isolation::RepeatableRead)
            && block.stand == Stand::OnReplica
            && block.queried;
        let is_open = |name: &str| block.has_open(name);
        let promise = Promise {
            modes,
            transactions: block.transactions,
            is_open: &is_open,
            snapshot: if kept { Some(Route::Replica) } else { None },
        };
        let course = lazy([(verdict, sql)], &self.view(), self.world, &promise);
        let set = block.entries.iter().any(|entry| matches!(entry, Entry::Set));
        if set { course.within() } else { course }
    }

    /// What a statement leaves that has run.
    fn completes(&mut self, statement: &Statement, verdict: &Verdict, sql: &[u8], row: &Row) {
        self.sets(statement);
        if !matches!(row.place, Place::Weir | Place::OnReplica)
            // Listening is shared, unless the configuration says otherwise.
            && let Some(pin) = statement.effects.pins().find(|pin| *pin != Pin::Listen)
        {
            (self.now.pin, self.committed.pin) = (Some(pin), Some(pin));
        }
        match (&statement.kind, self.block.stand) {
            (Kind::Begin(modes), Stand::Outside) => self.begins(*modes, verdict, sql, row),
            (_, Stand::Outside) => {}
            (Kind::Commit { chain }, _) => self.ends(*chain, self.committed),
            (Kind::Rollback { chain }, _) => self.ends(*chain, self.at_begin),
            // Nothing else of the kind runs in a transaction.
            (Kind::Primary(Why::TwoPhase), _) => self.ends(Chain::NoChain, self.committed),
            (Kind::Cursor(CursorUse::Declare(name)), _) if row.place == Place::OnReplica => {
                self.block.entries.push(Entry::Cursor(name.clone()));
            }
            (Kind::Cursor(CursorUse::Close(name)), _) => self.block.closes(name.as_deref()),
            _ if statement.sets() && row.place == Place::OnReplica => self.block.entries.push(Entry::Set),
            _ => self.block.moves(statement),
        }
    }

    fn begins(&mut self, modes: Modes, verdict: &Verdict, sql: &[u8], row: &Row) {
        let Hint { transactions: hint, .. } = verdict.hint;
        let ruled = ruled_transactions(self.world.rules, verdict, sql, &self.view());
        let said = hint.or(self.now.transactions).or(self.begins.nearest).or(ruled);
        let stand = if row.place == Place::Weir { Stand::Promised } else { Stand::OnPrimary(row.reason) };
        let transactions = said.unwrap_or(self.begins.otherwise);
        self.block = Block { stand, modes, transactions, ..Block::default() };
        (self.at_begin, self.committed) = (self.now, self.now);
    }

    fn ends(&mut self, chain: Chain, left: Settings) {
        self.ended = Some((self.block.first, self.block.ran()));
        (self.now, self.at_begin, self.committed) = (left, left, left);
        self.block = match chain {
            // It goes on where the one before it was.
            Chain::Chain => Block { entries: Vec::new(), queried: false, ..std::mem::take(&mut self.block) },
            Chain::NoChain => Block::default(),
        };
    }

    fn sets(&mut self, statement: &Statement) {
        for setting in &statement.effects.settings {
            match setting.scope {
                Scope::Session => {
                    self.now.set(setting);
                    self.committed.set(setting);
                }
                // Outside of a transaction it has none that it could last for.
                Scope::Local if self.block.stand == Stand::Outside => {}
                Scope::Local => self.now.set(setting),
            }
        }
        let first = Settings { defaults: self.session.defaults, ..Settings::default() };
        let pin = self.now.pin;
        let reset = match &statement.kind {
            Kind::Reset(None) => Settings { pin, ..first },
            Kind::Discard(Discard::All) => first,
            Kind::Reset(Some(name)) => match &**name {
                "weir.target" => Settings { target: None, ..self.now },
                "weir.transactions" => Settings { transactions: None, ..self.now },
                _ => return,
            },
            Kind::SetTransaction(modes, Scope::Session) => {
                Settings { defaults: over(*modes, self.now.defaults), ..self.now }
            }
            _ => return,
        };
        (self.now, self.committed) = (reset, reset);
    }
}

#[cfg(test)]
#[path = "explain_transaction_tests.rs"]
mod tests;
