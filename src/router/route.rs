//! The whole routing policy: a verdict, a session and the world in, a route and its reason out.
//!
//! In this order: an open transaction stays where it is; a pinned session stays on the primary; what must run on the primary
//! goes there, whatever anybody asks for; then hints, `SET weir.target`, fixed targets and rules; and what is left is
//! a read, which goes to a replica unless there is a doubt about it.

use std::time::Instant;

use crate::cluster::catalog::{Catalog, Volatility};
use crate::cluster::traces::found;
use crate::config::Rule;
use crate::sql::{
    AccessMode, Beyond, DataUse, Isolation, Kind, Modes, Name, Statement, Target, Traces, Verdict,
};

use super::session_view::{SessionView, TargetSource, Transaction};
use super::{Learned, Reason, Route, rules};

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it goes.
    pub route: Route,
    /// Why.
    pub reason: Reason,
}

/// What routing needs to know of everything else.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// Whether any replica can serve reads.
    pub replicas: Replicas,
    /// The database's catalog, once it was loaded.
    pub catalog: Option<&'a Catalog>,
    /// What replicas refused in this database.
    pub learned: &'a Learned,
    /// `[[routing.rules]]`.
    pub rules: &'a [Rule],
    /// `read_functions` and `write_functions`.
    pub functions: &'a FunctionLists,
    /// The time, for what was learned.
    pub now: Instant,
}

/// Whether any replica can serve reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// At least one.
    Usable,
    /// None is up.
    None,
}

/// The functions that the configuration decides about.
#[derive(Clone, Debug, Default)]
pub struct FunctionLists {
    read: Vec<Name>,
    write: Vec<Name>,
    stateless: Vec<Name>,
}

impl FunctionLists {
    /// From `schema.name` or `name`, in lower case.
    pub fn new(read_functions: &[String], write_functions: &[String]) -> Self {
        let names = |list: &[String]| list.iter().map(|f| qualified(f)).collect();
        Self { read: names(read_functions), write: names(write_functions), stateless: Vec::new() }
    }

    /// With functions that leave nothing in the session that calls them; names as for [`FunctionLists::new`].
    #[must_use]
    pub fn stateless(self, functions: &[String]) -> Self {
        Self { stateless: functions.iter().map(|function| qualified(function)).collect(), ..self }
    }

    /// Whether a function is said to leave nothing in the session: one that may run on any server must not.
    pub fn is_stateless(&self, function: &Name) -> bool {
        self.reads(function) || self.stateless.iter().any(|entry| vouches(entry, function))
    }

    /// Whether a function is known not to write when the primary runs it, by the configuration or by the catalog:
    /// see `Catalog::may_write`.
    pub fn only_reads(&self, function: &Name, catalog: Option<&Catalog>) -> bool {
        let known = self.reads(function) || catalog.is_some_and(|catalog| !catalog.may_write(function));
        known && !self.writes(function)
    }

    /// Whether a function may do anything, definitions included: it is not even declared to only read.
    pub fn may_do_anything(&self, function: &Name, catalog: Option<&Catalog>) -> bool {
        let known = || catalog.and_then(|catalog| catalog.function(function));
        self.writes(function)
            || !self.reads(function) && known().is_none_or(|known| known == Volatility::Volatile)
    }

    /// An entry without a schema stands for the function in any.
    fn reads(&self, function: &Name) -> bool {
        self.read.iter().any(|entry| vouches(entry, function))
    }

    /// An unqualified call may be the listed function, whatever its schema.
    fn writes(&self, function: &Name) -> bool {
        let listed = |entry: &Name| {
            let schema =
                entry.schema.is_none() || function.schema.is_none() || entry.schema == function.schema;
            entry.name == function.name && schema
        };
        self.write.iter().any(listed)
    }
}

fn vouches(entry: &Name, function: &Name) -> bool {
    entry.name == function.name && (entry.schema.is_none() || entry.schema == function.schema)
}

fn qualified(name: &str) -> Name {
    match name.split_once('.') {
        Some((schema, name)) => Name { schema: Some(schema.into()), name: name.into() },
        None => Name { schema: None, name: name.into() },
    }
}

/// What a request needs, before anybody's wishes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Any server can run it.
    Anywhere(Reason),
    /// A replica might refuse it, or do what only the primary should; a target of `replica` takes the risk.
    Doubtful(Reason),
    /// The primary, whatever anybody asks for.
    Primary(Reason),
}

/// Routes one request: a simple query, or an extended one of one statement.
pub fn route(verdict: &Verdict, sql: &[u8], session: &SessionView<'_>, world: &World<'_>) -> Decision {
    match session.transaction {
        Transaction::Open(route) | Transaction::Failed(route) => {
            return Decision { route, reason: Reason::InTransaction };
        }
        Transaction::None => {}
    }
    if session.pin.is_some() {
        return Decision { route: Route::Primary, reason: Reason::Pinned };
    }
    let need = need(verdict, session, world);
    let wish = wish(verdict, sql, session, world);
    match (need, wish) {
        (_, Some((Target::Primary, reason))) => Decision { route: Route::Primary, reason },
        (Need::Primary(reason), _) => Decision { route: Route::Primary, reason },
        (_, Some((Target::Replica, reason))) => replica(reason, world),
        (Need::Doubtful(reason), _) => Decision { route: Route::Primary, reason },
        (Need::Anywhere(reason), _) => replica(reason, world),
    }
}

/// Routes the requests between two `Sync`s, which share one server: one that needs the primary takes all there.
pub fn route_all<'v>(
    requests: impl IntoIterator<Item = (&'v Verdict, &'v [u8])>,
    session: &SessionView<'_>,
    world: &World<'_>,
) -> Decision {
    let mut all = None;
    for (verdict, sql) in requests {
        let decision = route(verdict, sql, session, world);
        if decision.route == Route::Primary {
            return decision;
        }
        all = all.or(Some(decision));
    }
    all.unwrap_or_else(|| idle(session, world))
}

/// Routes a request without any statement, such as a lone `Sync`.
fn idle(session: &SessionView<'_>, world: &World<'_>) -> Decision {
    match session.transaction {
        Transaction::Open(route) | Transaction::Failed(route) => {
            Decision { route, reason: Reason::InTransaction }
        }
        Transaction::None if session.pin.is_some() => {
            Decision { route: Route::Primary, reason: Reason::Pinned }
        }
        Transaction::None => replica(Reason::Empty, world),
    }
}

fn replica(reason: Reason, world: &World<'_>) -> Decision {
    match world.replicas {
        Replicas::Usable => Decision { route: Route::Replica, reason },
        Replicas::None => Decision { route: Route::Primary, reason: Reason::NoReplica },
    }
}

/// Where the application or the operator wants it: comment, session, configuration, rules.
pub(super) fn wish(
    verdict: &Verdict,
    sql: &[u8],
    session: &SessionView<'_>,
    world: &World<'_>,
) -> Option<(Target, Reason)> {
    if let Some(target) = verdict.hint.target {
        let reason = if target == Target::Replica { Reason::HintReplica } else { Reason::HintPrimary };
        return Some((target, reason));
    }
    if let Some(fixed) = session.target {
        let reason = match fixed.source {
            TargetSource::Set => Reason::SetTarget,
            TargetSource::Startup => Reason::StartupTarget,
            TargetSource::Listener => Reason::ListenerTarget,
            TargetSource::Database => Reason::DatabaseTarget,
            TargetSource::User => Reason::UserTarget,
        };
        return Some((fixed.target, reason));
    }
    rules::target(world.rules, verdict, sql, session).map(|target| (target, Reason::Rule))
}

/// What the statements of a request need together.
fn need(verdict: &Verdict, session: &SessionView<'_>, world: &World<'_>) -> Need {
    let need = match &*verdict.statements {
        [] => Need::Anywhere(Reason::Empty),
        [statement] => statement_need(statement, session, world),
        statements => several(statements, session, world),
    };
    match need {
        Need::Anywhere(Reason::Empty) => need,
        Need::Anywhere(_) if world.learned.knows(verdict.skeleton, world.now) => {
            Need::Doubtful(Reason::Learned)
        }
        need => need,
    }
}

/// Several statements in one string run in one implicit transaction, on one server. Only plain reads may do so on a
/// replica: transaction control in between would leave a transaction open there.
fn several(statements: &[Statement], session: &SessionView<'_>, world: &World<'_>) -> Need {
    let mut need = Need::Anywhere(Reason::Read);
    for statement in statements {
        match statement_need(statement, session, world) {
            Need::Anywhere(_) if matches!(statement.kind, Kind::Read | Kind::Show(_)) => {}
            Need::Doubtful(reason) if matches!(statement.kind, Kind::Read) => need = Need::Doubtful(reason),
            _ => return Need::Primary(Reason::MultiStatement),
        }
    }
    need
}

pub(super) fn statement_need(statement: &Statement, session: &SessionView<'_>, world: &World<'_>) -> Need {
    match &statement.kind {
        // Outside a transaction it is one by itself, with the session's default isolation.
        Kind::Read | Kind::Show(_) if session.defaults.isolation == Some(Isolation::Serializable) => {
            Need::Primary(Reason::Serializable)
        }
        Kind::Read | Kind::Show(_) => read(statement, world),
        Kind::Primary(why) => Need::Primary((*why).into()),
        Kind::Begin(modes) => begin(*modes, session),
        Kind::Commit { .. }
        | Kind::Rollback { .. }
        | Kind::Savepoint(_)
        | Kind::Release(_)
        | Kind::RollbackTo(_)
        | Kind::SetTransaction(..) => Need::Primary(Reason::TransactionControl),
        Kind::Set | Kind::SetWeir(..) | Kind::Reset(_) => Need::Primary(Reason::Setting),
        Kind::Prepare(_) | Kind::Execute(_) | Kind::Deallocate(_) => Need::Primary(Reason::Prepared),
        Kind::Discard(_) => Need::Primary(Reason::Discard),
        Kind::Cursor(_) => Need::Primary(Reason::Cursor),
    }
}

/// A transaction runs where it begins, unless weir answers its BEGIN itself; a replica can only run one that reads, and refuses
/// SERIALIZABLE. Of one that does not say so it is not known, and a wish for replicas must not break what it writes.
fn begin(modes: Modes, session: &SessionView<'_>) -> Need {
    if modes.isolation.or(session.defaults.isolation) == Some(Isolation::Serializable) {
        return Need::Primary(Reason::Serializable);
    }
    match (modes.access, session.defaults.access) {
        (Some(AccessMode::ReadOnly), _) => Need::Anywhere(Reason::BeginReadOnly),
        (None, Some(AccessMode::ReadOnly)) => Need::Anywhere(Reason::ReadOnlyDefault),
        (Some(AccessMode::ReadWrite) | None, _) => Need::Primary(Reason::Begin),
    }
}

/// What a read needs. A name alone does not tell the schema, so that a relation may be taken for an unlogged one of
/// the same name: a target of `replica` is heeded. Not so for a sequence, of which a replica would tell something wrong
/// without saying so.
pub(super) fn read(statement: &Statement, world: &World<'_>) -> Need {
    let reads = |is: fn(&Catalog, &Name) -> bool| {
        world.catalog.is_some_and(|catalog| statement.reads.iter().any(|relation| is(catalog, relation)))
    };
    match functions(statement, world) {
        need @ Need::Primary(_) => need,
        // Whatever it leaves must be found there again.
        _ if leaves_traces(statement, world) => Need::Primary(Reason::SessionState),
        _ if reads(Catalog::is_sequence) => Need::Primary(Reason::Sequence),
        _ if shows_server(statement, world) => Need::Primary(Reason::ServerState),
        Need::Anywhere(_) if acts_unnamed(statement, world) => Need::Doubtful(Reason::VolatileFunction),
        Need::Anywhere(_) if may_run_new_code(statement, world) => Need::Doubtful(Reason::UnknownRelation),
        Need::Anywhere(_) if reads(Catalog::may_be_new) => Need::Doubtful(Reason::UnknownRelation),
        Need::Anywhere(_) if reads(Catalog::is_unlogged) => Need::Doubtful(Reason::Unlogged),
        need => need,
    }
}

/// Whether code was changed a moment ago that a read may run by.
fn may_run_new_code(statement: &Statement, world: &World<'_>) -> bool {
    world.catalog.is_some_and(|catalog| catalog.code.changed) && statement.may_run_code()
}

/// Whether what a read calls or reads shows the state of the server that runs it: another one would answer something else
/// without saying so.
fn shows_server(statement: &Statement, world: &World<'_>) -> bool {
    let beyond = world.catalog.map(|catalog| &catalog.beyond);
    let Some(beyond) = beyond.filter(|beyond| beyond.somewhere().has(Beyond::SERVER)) else { return false };
    let mut functions = statement.functions.iter().filter(|function| !world.functions.reads(function));
    beyond.anywhere().has(Beyond::SERVER)
        || functions.any(|function| beyond.function(function).has(Beyond::SERVER))
        || statement.reads.iter().any(|relation| beyond.read(relation).has(Beyond::SERVER))
        || statement.mentions.iter().any(|name| beyond.mentioned(name).has(Beyond::SERVER))
}

/// Whether code that a read runs is known to leave something in the session.
fn leaves_traces(statement: &Statement, world: &World<'_>) -> bool {
    let runs_code = !statement.functions.is_empty() || statement.effects.code.is_some();
    let code =
        world.catalog.map(|catalog| &catalog.code).filter(|code| runs_code || code.concerns_relations());
    code.is_some()
        && found(code, statement, |function| world.functions.is_stateless(function)).traces > Traces::None
}

/// Whether code that no word of a read names, or a function that only shares a name with one of PostgreSQL's own, is known
/// to do what only the primary should.
fn acts_unnamed(statement: &Statement, world: &World<'_>) -> bool {
    let conduct = world.catalog.map(|catalog| catalog.code.unnamed(statement)).unwrap_or_default();
    conduct.data == DataUse::Writes || conduct.confined
}

/// What the functions that a read calls need.
fn functions(statement: &Statement, world: &World<'_>) -> Need {
    let mut need = Need::Anywhere(Reason::Read);
    for function in &statement.functions {
        if world.functions.writes(function) {
            return Need::Primary(Reason::WriteFunction);
        }
        if world.functions.reads(function) {
            continue;
        }
        match world.catalog.and_then(|c| c.function(function)) {
            // A write that it does in spite of its declaration is refused by a replica, and runs again on the primary.
            Some(Volatility::ReadOnly | Volatility::Declared) => {}
            Some(Volatility::Volatile) => need = Need::Doubtful(Reason::VolatileFunction),
            None if need == Need::Anywhere(Reason::Read) => need = Need::Doubtful(Reason::UnknownFunction),
            None => {}
        }
    }
    need
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::router::FixedTarget;
    use crate::sql::{Classifier, Pin, StandardConformingStrings};

    /// A world with one function of each kind, and a session without any wishes.
    struct Scene {
        classifier: Classifier,
        catalog: Catalog,
        learned: Learned,
        rules: Vec<Rule>,
        functions: FunctionLists,
        replicas: Replicas,
        session: SessionView<'static>,
        now: Instant,
    }

    fn scene() -> Scene {
        let mut catalog = Catalog::default();
        catalog.functions.insert(qualified("reads"), Volatility::ReadOnly);
        catalog.functions.insert(qualified("s.reads"), Volatility::ReadOnly);
        catalog.functions.insert(qualified("writes"), Volatility::Volatile);
        Scene {
            classifier: Classifier::new(100),
            catalog,
            learned: Learned::new(10, Duration::from_secs(60)),
            rules: Vec::new(),
            functions: FunctionLists::default(),
            replicas: Replicas::Usable,
            session: SessionView {
                transaction: Transaction::None,
                pin: None,
                target: None,
                user: "app",
                database: "shop",
                application_name: "web",
                defaults: Modes::default(),
            },
            now: Instant::now(),
        }
    }

    impl Scene {
        fn world(&self) -> World<'_> {
            World {
                replicas: self.replicas,
                catalog: Some(&self.catalog),
                learned: &self.learned,
                rules: &self.rules,
                functions: &self.functions,
                now: self.now,
            }
        }

        fn verdict(&self, sql: &str) -> std::sync::Arc<Verdict> {
            self.classifier.classify(sql.as_bytes(), StandardConformingStrings::On)
        }

        fn decide(&self, sql: &str) -> Decision {
            route(&self.verdict(sql), sql.as_bytes(), &self.session, &self.world())
        }

        fn fix(&mut self, target: Target, source: TargetSource) {
            self.session.target = Some(FixedTarget { target, source });
        }
    }

    fn primary(reason: Reason) -> Decision {
        Decision { route: Route::Primary, reason }
    }

    fn replica(reason: Reason) -> Decision {
        Decision { route: Route::Replica, reason }
    }

    #[test]
    fn a_transaction_stays_where_it_began() {
        let mut scene = scene();
        for route in [Route::Primary, Route::Replica] {
            for transaction in [Transaction::Open(route), Transaction::Failed(route)] {
                scene.session.transaction = transaction;
                for sql in
                    ["SELECT 1", "INSERT INTO t VALUES (1)", "COMMIT", "/* weir: primary */ SELECT 1", ""]
                {
                    assert_eq!(scene.decide(sql), Decision { route, reason: Reason::InTransaction });
                }
            }
        }
    }

    #[test]
    fn a_pinned_session_stays_on_the_primary() {
        let mut scene = scene();
        scene.session.pin = Some(Pin::Temporary);
        assert_eq!(scene.decide("SELECT 1"), primary(Reason::Pinned));
        assert_eq!(scene.decide("/* weir: replica */ SELECT 1"), primary(Reason::Pinned));
        scene.session.transaction = Transaction::Open(Route::Replica);
        assert_eq!(scene.decide("SELECT 1"), replica(Reason::InTransaction));
    }

    #[test]
    fn without_replicas_everything_goes_to_the_primary() {
        let mut scene = scene();
        scene.replicas = Replicas::None;
        assert_eq!(scene.decide("SELECT 1"), primary(Reason::NoReplica));
        assert_eq!(scene.decide("/* weir: replica */ SELECT 1"), primary(Reason::NoReplica));
        assert_eq!(scene.decide("BEGIN READ ONLY"), primary(Reason::NoReplica));
        assert_eq!(scene.decide("INSERT INTO t VALUES (1)"), primary(Reason::Write));
    }

    #[test]
    fn functions_are_judged_by_lists_and_then_by_the_catalog() {
        let mut scene = scene();
        assert_eq!(scene.decide("SELECT reads(), s.reads()"), replica(Reason::Read));
        assert_eq!(scene.decide("SELECT reads(), other.reads()"), primary(Reason::UnknownFunction));
        assert_eq!(scene.decide("SELECT nobody(), writes(), nobody()"), primary(Reason::VolatileFunction));
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        scene.functions = FunctionLists::new(&list(&["writes", "x.reads"]), &list(&["s.reads", "never"]));
        assert_eq!(scene.decide("SELECT writes(), any.writes(), x.reads()"), replica(Reason::Read));
        assert_eq!(scene.decide("SELECT reads()"), primary(Reason::WriteFunction));
        assert_eq!(scene.decide("SELECT s.reads()"), primary(Reason::WriteFunction));
        assert_eq!(scene.decide("SELECT t.never()"), primary(Reason::WriteFunction));
        assert_eq!(scene.decide("/* weir: replica */ SELECT t.never()"), primary(Reason::WriteFunction));
    }

    #[test]
    fn without_a_catalog_unknown_functions_go_to_the_primary() {
        let scene = scene();
        let world = World { catalog: None, ..scene.world() };
        let verdict = scene.verdict("SELECT reads()");
        let decision = route(&verdict, b"SELECT reads()", &scene.session, &world);
        assert_eq!(decision, primary(Reason::UnknownFunction));
    }

    #[test]
    fn unlogged_relations_are_read_on_the_primary() {
        let mut scene = scene();
        assert_eq!(scene.decide("SELECT 1 FROM t JOIN scratch USING (id)"), replica(Reason::Read));
        scene.catalog.add_unlogged("public", "scratch");
        let unlogged = primary(Reason::Unlogged);
        assert_eq!(scene.decide("SELECT 1 FROM t JOIN scratch USING (id)"), unlogged);
        assert_eq!(
            scene.decide("SELECT reads() FROM t WHERE id IN (SELECT id FROM public.scratch)"),
            unlogged
        );
        assert_eq!(scene.decide("SELECT 1; SELECT id FROM scratch"), unlogged);
        assert_eq!(scene.decide("SELECT id FROM archive.scratch"), replica(Reason::Read));
        assert_eq!(scene.decide("SELECT writes() FROM scratch"), primary(Reason::VolatileFunction));
        assert_eq!(scene.decide("/* weir: replica */ SELECT id FROM scratch"), replica(Reason::HintReplica));
    }

    #[test]
    fn sequences_are_read_on_the_primary_whoever_asks() {
        let mut scene = scene();
        for sql in ["SELECT * FROM numbers", "TABLE numbers"] {
            assert_eq!(scene.decide(sql), replica(Reason::Read));
        }
        scene.catalog.add_sequence("public", "numbers");
        for sql in
            ["SELECT * FROM numbers", "TABLE public.numbers", "/* weir: replica */ SELECT 1 FROM t, numbers"]
        {
            assert_eq!(scene.decide(sql), primary(Reason::Sequence), "{sql}");
        }
        assert_eq!(scene.decide("SELECT * FROM archive.numbers"), replica(Reason::Read));
    }

    #[test]
    fn a_function_that_is_only_declared_to_read_runs_on_a_replica_and_may_write_on_the_primary() {
        let mut scene = scene();
        scene.catalog.functions.insert(qualified("declared"), Volatility::Declared);
        assert_eq!(scene.decide("SELECT declared()"), replica(Reason::Read));
        let only_reads =
            |scene: &Scene, name| scene.functions.only_reads(&qualified(name), Some(&scene.catalog));
        let may_do =
            |scene: &Scene, name| scene.functions.may_do_anything(&qualified(name), Some(&scene.catalog));
        assert!(only_reads(&scene, "reads") && !may_do(&scene, "reads"));
        assert!(!only_reads(&scene, "declared") && !may_do(&scene, "declared"));
        for name in ["writes", "nobody"] {
            assert!(!only_reads(&scene, name) && may_do(&scene, name), "{name}");
        }
        scene.functions = FunctionLists::new(&["writes".to_owned()], &["reads".to_owned()]);
        assert!(only_reads(&scene, "writes") && !may_do(&scene, "writes"), "listed");
        assert!(!only_reads(&scene, "reads") && may_do(&scene, "reads"), "listed");
    }

    #[test]
    fn a_target_of_replica_takes_risks_but_never_writes() {
        let mut scene = scene();
        scene.learned.remember(scene.verdict("SELECT lies FROM view").skeleton, scene.now);
        assert_eq!(scene.decide("SELECT lies FROM view"), primary(Reason::Learned));
        scene.fix(Target::Replica, TargetSource::Listener);
        for sql in ["SELECT lies FROM view", "SELECT writes()", "SELECT nobody()", "SELECT 1; SELECT 2"] {
            assert_eq!(scene.decide(sql), replica(Reason::ListenerTarget), "{sql}");
        }
        for (sql, reason) in [
            ("INSERT INTO t VALUES (1)", Reason::Write),
            ("SELECT pg_advisory_lock(1)", Reason::AdvisoryLock),
            ("BEGIN", Reason::Begin),
            ("BEGIN READ WRITE", Reason::Begin),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", Reason::Serializable),
            ("SELECT 1; INSERT INTO t VALUES (1)", Reason::MultiStatement),
            ("gibberish", Reason::Unparsable),
        ] {
            assert_eq!(scene.decide(sql), primary(reason), "{sql}");
        }
    }

    #[test]
    fn targets_come_in_their_order() {
        use Target::{Auto, Primary, Replica};
        let source = |target: Option<FixedTarget>| target.map(|t| (t.target, t.source));
        let all = FixedTarget::first(Some(Primary), Some(Replica), Replica, Replica, Replica);
        assert_eq!(source(all), Some((Primary, TargetSource::Set)));
        let auto = FixedTarget::first(Some(Auto), Some(Replica), Replica, Replica, Replica);
        assert_eq!(source(auto), Some((Auto, TargetSource::Set)));
        let startup = FixedTarget::first(None, Some(Replica), Primary, Auto, Auto);
        assert_eq!(source(startup), Some((Replica, TargetSource::Startup)));
        let user = FixedTarget::first(None, None, Auto, Auto, Primary);
        assert_eq!(source(user), Some((Primary, TargetSource::User)));
        assert_eq!(FixedTarget::first(None, None, Auto, Auto, Auto), None);

        let mut scene = scene();
        scene.fix(Target::Primary, TargetSource::Database);
        assert_eq!(scene.decide("SELECT 1"), primary(Reason::DatabaseTarget));
        assert_eq!(scene.decide("/* weir: replica */ SELECT 1"), replica(Reason::HintReplica));
        assert_eq!(scene.decide("/* weir: auto */ SELECT 1"), replica(Reason::Read));
    }

    #[test]
    fn rules_match_when_all_their_conditions_hold() {
        let rule = |target| Rule {
            user: None,
            database: None,
            application_name: None,
            table: None,
            statement: None,
            target: Some(target),
            transactions: None,
        };
        let mut scene = scene();
        scene.rules = vec![
            Rule { table: Some("queue".to_owned()), user: Some("other".to_owned()), ..rule(Target::Replica) },
            Rule { table: Some("s.queue".to_owned()), ..rule(Target::Primary) },
            Rule {
                statement: regex::bytes::Regex::new("(?i)select .* from report").ok(),
                ..rule(Target::Replica)
            },
            Rule { application_name: Some("cron".to_owned()), ..rule(Target::Primary) },
        ];
        assert_eq!(scene.decide("SELECT * FROM s.queue"), primary(Reason::Rule));
        assert_eq!(scene.decide("SELECT * FROM queue"), primary(Reason::Rule));
        assert_eq!(scene.decide("SELECT * FROM x.queue"), replica(Reason::Read));
        assert_eq!(scene.decide("SELECT writes() FROM report"), replica(Reason::Rule));
        assert_eq!(scene.decide("SELECT 1"), replica(Reason::Read));
        scene.session.application_name = "cron";
        assert_eq!(scene.decide("SELECT 1"), primary(Reason::Rule));
        scene.fix(Target::Auto, TargetSource::Set);
        assert_eq!(scene.decide("SELECT 1"), replica(Reason::Read));
    }

    #[test]
    fn the_sessions_defaults_shape_its_transactions() {
        let mut scene = scene();
        scene.session.defaults.access = Some(AccessMode::ReadOnly);
        assert_eq!(scene.decide("BEGIN"), replica(Reason::ReadOnlyDefault));
        assert_eq!(scene.decide("BEGIN READ WRITE"), primary(Reason::Begin));
        scene.session.defaults.isolation = Some(Isolation::Serializable);
        assert_eq!(scene.decide("BEGIN"), primary(Reason::Serializable));
        assert_eq!(
            scene.decide("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"),
            replica(Reason::BeginReadOnly)
        );
        assert_eq!(scene.decide("SELECT 1"), primary(Reason::Serializable));
        assert_eq!(scene.decide("/* weir: replica */ SELECT writes()"), primary(Reason::Serializable));
        assert_eq!(scene.decide(""), replica(Reason::Empty));
    }

    #[test]
    fn a_pipeline_goes_where_its_neediest_request_must() {
        let scene = scene();
        let decide = |texts: &[&'static str]| {
            let verdicts: Vec<_> = texts.iter().map(|sql| (scene.verdict(sql), sql.as_bytes())).collect();
            route_all(verdicts.iter().map(|(v, sql)| (&**v, *sql)), &scene.session, &scene.world())
        };
        assert_eq!(decide(&["SELECT 1", "SELECT 2"]), replica(Reason::Read));
        assert_eq!(decide(&["SELECT 1", "INSERT INTO t VALUES (1)", "SELECT 2"]), primary(Reason::Write));
        assert_eq!(decide(&["BEGIN READ ONLY", "SELECT 1"]), replica(Reason::BeginReadOnly));
        assert_eq!(decide(&["BEGIN", "SELECT 1", "COMMIT"]), primary(Reason::Begin));
        assert_eq!(decide(&[]), replica(Reason::Empty));
    }
}
