//! What becomes of a transaction, as a table: what happens, in words, and where it stands then.

use super::*;
use crate::backend::value::Value;
use crate::sql::{Classifier, StandardConformingStrings, Verdict};

/// A session whose transactions are followed, without any server.
struct Script {
    classifier: Classifier,
    transaction: Transaction,
    /// What the client was told in the place of an answer.
    told: Vec<&'static str>,
}

impl Script {
    fn new() -> Self {
        let transaction = Transaction::default();
        Self { classifier: Classifier::new(100), transaction, told: Vec::new() }
    }

    fn verdict(&self, sql: &str) -> std::sync::Arc<Verdict> {
        self.classifier.classify(sql.as_bytes(), StandardConformingStrings::On)
    }

    /// One event: `> SQL` is sent, `< SQL` completes (with another tag behind `:`), `set` is one in flight, and the rest
    /// are words for the other events.
    fn on(&mut self, event: &str) {
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        let status = || TxStatus::from_byte(rest.as_bytes()[0]).unwrap();
        match word {
            ">" => {
                for statement in &self.verdict(rest).statements {
                    self.transaction.on(Event::Sends(statement, None));
                }
            }
            ">serializable" => {
                let verdict = self.verdict(rest);
                self.transaction.on(Event::Sends(&verdict.statements[0], Some(Isolation::Serializable)));
            }
            "<" => {
                let (sql, tag) = rest.split_once(": ").unwrap_or((rest, rest));
                self.completed(sql, tag);
            }
            "kept" => _ = self.transaction.on(Event::Kept(&self.verdict(rest).statements[0])),
            "begins" if rest == "replica" => _ = self.transaction.on(Event::Begins(Ran::Replica, None)),
            "begins" => _ = self.transaction.on(Event::Begins(Ran::Primary, None)),
            "withdrawn" => _ = self.transaction.on(Event::Withdrawn),
            "strands" => _ = self.transaction.on(Event::Strands),
            "forsaken" => _ = self.transaction.on(Event::Forsaken),
            "marks" => _ = self.transaction.on(Event::Marks),
            "will" => _ = self.transaction.on(Event::WillRequeue),
            "sets" => _ = self.transaction.on(Event::Sets),
            "reported" => _ = self.transaction.on(Event::Reported("timezone", rest.into())),
            "error" => _ = self.transaction.on(Event::Failed),
            "ready" => _ = self.transaction.on(Event::Ready(status())),
            "answered" => _ = self.transaction.on(Event::Answered(status())),
            "ended" => _ = self.transaction.on(Event::Ended),
            "lost" => _ = self.transaction.on(Event::Lost(status())),
            "untold" => _ = self.transaction.on(Event::Untold(Error::ServerLost)),
            "asks" => {
                let verdict = self.verdict(rest);
                let first = verdict.statements.first().map(|statement| &statement.kind);
                if let Reaction::Tells(error) = self.transaction.on(Event::Asks(first)) {
                    assert!(matches!(error, Error::ServerLost));
                    self.told.push("told");
                }
            }
            "resumed" => _ = self.transaction.on(Event::Resumed),
            "requeued" => _ = self.transaction.on(Event::Requeued),
            "abandoned" => _ = self.transaction.on(Event::Abandoned),
            _ => panic!("{event}"),
        }
    }

    fn completed(&mut self, sql: &str, tag: &str) {
        for statement in &self.verdict(sql).statements {
            for setting in &statement.effects.settings {
                let value = Value::Raw(setting.value.clone());
                self.transaction.undoable_mut().change().settings.set(&setting.name, value);
            }
            self.transaction.on(Event::Completed(statement, tag.as_bytes()));
        }
    }

    /// Where it stands: the block, the value of the setting, what was told, and whatever else there is.
    fn words(&self) -> String {
        let block = match &self.transaction.block {
            Block::Idle => "idle",
            Block::Promised => "promised",
            Block::PromiseFailed => "promise failed",
            Block::Open(None) => "open",
            Block::Open(Some(Isolation::Serializable)) => "open serializable",
            Block::Open(Some(_)) => "open at a level",
            Block::Failed(None) => "failed",
            Block::Failed(Some(_)) => "failed at a level",
            Block::LostTold => "lost",
            Block::LostUntold(_) => "lost untold",
            Block::SnapshotLost(_) => "snapshot lost",
        };
        let set = match self.transaction.undoable().now().settings.wanted().get("work_mem") {
            Some(Value::Raw(value) | Value::Sql(value)) => format!("={value}"),
            None => String::new(),
        };
        let failed = if self.transaction.outcome == Outcome::Failed { "error" } else { "" };
        let uncertain = if self.transaction.certainty == Certainty::Uncertain { "uncertain" } else { "" };
        let reported = self.transaction.reported().iter().map(|(_, value)| &**value);
        let words = [block, &set, failed, uncertain].into_iter().chain(reported).chain(self.told.clone());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Each: what it shows, what happens (separated by `;`), and where the transaction stands then.
const TRANSITIONS: &[(&str, &str, &str)] = &[
    ("nothing has happened", "", "idle"),
    ("a statement alone begins no block", "> SELECT 1; < SELECT 1; ready I; answered I", "idle"),
    ("a block is open as soon as it is asked for", "> BEGIN", "open"),
    ("and stays so", "> BEGIN; < BEGIN; ready T; answered T", "open"),
    ("its level is what it said", "> BEGIN ISOLATION LEVEL SERIALIZABLE; answered T", "open serializable"),
    ("or what the session's are", ">serializable BEGIN; answered T", "open serializable"),
    ("or what it said first", "> BEGIN; > SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "open serializable"),
    ("a second BEGIN changes nothing", "> BEGIN ISOLATION LEVEL SERIALIZABLE; > BEGIN", "open serializable"),
    ("no level is left to the next", "> BEGIN ISOLATION LEVEL SERIALIZABLE; > COMMIT; > BEGIN", "open"),
    (
        "a level outside a block is nobody's",
        "> SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; > BEGIN",
        "open",
    ),
    ("the end is believed before it is answered", "> BEGIN; answered T; > COMMIT", "idle"),
    ("but the server's word counts", "> BEGIN; answered T; > COMMIT; answered E", "failed"),
    (
        "AND CHAIN goes on at the same level",
        "> BEGIN ISOLATION LEVEL SERIALIZABLE; > COMMIT AND CHAIN",
        "open serializable",
    ),
    (
        "of a failed one as well",
        "> BEGIN ISOLATION LEVEL SERIALIZABLE; answered E; > ROLLBACK AND CHAIN; answered T",
        "open serializable",
    ),
    ("AND CHAIN outside a block is an error", "> COMMIT AND CHAIN", "idle"),
    ("several in a pipeline", "> BEGIN; > COMMIT; > BEGIN; > ROLLBACK; > BEGIN", "open"),
    ("and in one string", "> BEGIN; > SELECT 1; > COMMIT; > SELECT 2", "idle"),
    ("what was foretold does not hold", "> BEGIN; error; ready I; answered I", "idle"),
    ("a block fails", "> BEGIN; answered T; > SELECT 1/0; error; ready E; answered E", "failed"),
    ("and is ended", "> BEGIN; answered T; > SELECT 1/0; error; ready E; answered E; > ROLLBACK", "idle"),
    (
        "or goes on behind a savepoint",
        "> BEGIN; answered T; > x; error; ready E; answered E; > ROLLBACK TO a; < ROLLBACK TO a: ROLLBACK; ready T; \
         answered T",
        "open",
    ),
    ("a setting stays when its statement does", "> SET work_mem=1; < SET work_mem=1; ready I", "idle =1"),
    ("and goes with an error behind it", "< SET work_mem=1; error; ready I; answered I", "idle"),
    ("an error counts until ReadyForQuery", "< SET work_mem=1; error", "idle =1 error"),
    ("and no longer", "error; ready I; < SET work_mem=1; ready I", "idle =1"),
    (
        "in a block nothing is taken back before its end",
        "> BEGIN; < SET work_mem=1; ready T; error; ready E; answered E",
        "failed =1",
    ),
    (
        "ROLLBACK of a failed block",
        "> BEGIN; < SET work_mem=1; ready T; error; ready E; answered E; > ROLLBACK; < ROLLBACK; ready I; answered I",
        "idle",
    ),
    (
        "COMMIT of a failed block",
        "> BEGIN; < SET work_mem=1; error; ready E; answered E; > COMMIT; < COMMIT: ROLLBACK; ready I; answered I",
        "idle",
    ),
    (
        "COMMIT of another",
        "> BEGIN; < SET work_mem=1; ready T; answered T; > COMMIT; < COMMIT; ready I; answered I",
        "idle =1",
    ),
    (
        "what is committed stays, whatever follows in the batch",
        "< BEGIN; < SET work_mem=1; < COMMIT; < SET work_mem=2; error; ready I",
        "idle =1",
    ),
    (
        "COMMIT AND CHAIN commits",
        "< SET work_mem=1; < COMMIT AND CHAIN; < SET work_mem=2; < ROLLBACK",
        "idle =1",
    ),
    (
        "savepoints",
        "< SET work_mem=1; < SAVEPOINT a; < SET work_mem=2; < SAVEPOINT b; < SET work_mem=3; < ROLLBACK TO a; ready T",
        "idle =1",
    ),
    ("one that is released", "< SAVEPOINT a; < SET work_mem=2; < RELEASE a; < ROLLBACK TO a", "idle =2"),
    (
        "the transactions of a pipeline, answered one after the other",
        "> BEGIN; > COMMIT; > BEGIN; < SET work_mem=1; < COMMIT; ready I; < SET work_mem=2; ready T; < ROLLBACK; ready I",
        "open =1",
    ),
    (
        "DISCARD ALL in a batch is for good",
        "< SET work_mem=1; < DISCARD ALL; < SET work_mem=2; error; ready I",
        "idle =1",
    ),
    (
        "PREPARE TRANSACTION ends a block that was not foretold to end",
        "> BEGIN; < SET work_mem=1; ready T; answered T; > PREPARE TRANSACTION 'x'; < PREPARE TRANSACTION 'x'",
        "open =1",
    ),
    (
        "by the server's word",
        "> BEGIN; < SET work_mem=1; ready T; > PREPARE TRANSACTION 'x'; < PREPARE TRANSACTION 'x'; ready I; answered I",
        "idle =1",
    ),
    (
        "or takes it back",
        "> BEGIN; < SET work_mem=1; ready T; > PREPARE TRANSACTION 'x'; error; ready I; answered I",
        "idle",
    ),
    ("settings in flight are uncertain", "> BEGIN; sets; ready T; answered T", "open uncertain"),
    (
        "until all is over",
        "> BEGIN; sets; < SET work_mem=1; ready T; > COMMIT; < COMMIT; ready I; answered I; ended",
        "idle =1",
    ),
    (
        "what was told is remembered to the end",
        "> BEGIN; reported UTC; reported CET; ready T; answered T",
        "open CET",
    ),
    ("and no longer", "> BEGIN; reported UTC; ready T; > COMMIT; < COMMIT; ready I; answered I", "idle"),
    ("a connection is lost outside a block", "> SELECT 1; lost I", "idle"),
    ("nothing is left of it to be told", "> SELECT 1; lost I; untold; asks SELECT 1", "idle"),
    ("what it had not confirmed is taken back", "< SET work_mem=1; reported UTC; lost I", "idle"),
    ("with an error on its way", "error; lost I; < SET work_mem=1; ready I", "idle =1"),
    ("in a block", "> BEGIN; < SET work_mem=1; ready T; answered T; > SELECT 1; lost T", "lost"),
    (
        "where the client was told of settings",
        "> BEGIN; reported UTC; ready T; answered T; > SELECT 1; lost T",
        "lost UTC",
    ),
    ("in a block whose end was in flight", "> BEGIN; ready T; answered T; > COMMIT; lost T", "idle"),
    ("in one whose beginning was", "> BEGIN; > SELECT 1; lost I", "idle"),
    ("in a failed one", "> BEGIN; error; ready E; answered E; > SELECT 1; lost E", "lost"),
    ("between two requests", "> BEGIN; answered T; lost T; untold", "lost untold"),
    ("the next one hears of it", "> BEGIN; answered T; lost T; untold; asks SELECT 1", "lost told"),
    ("once", "> BEGIN; answered T; lost T; untold; asks SELECT 1; asks SELECT 1", "lost told"),
    ("COMMIT hears of it and ends it", "> BEGIN; answered T; lost T; untold; asks COMMIT", "idle told"),
    ("ROLLBACK need not", "> BEGIN; answered T; lost T; untold; asks ROLLBACK", "lost"),
    ("who knows need not either", "> BEGIN; answered T; > SELECT 1; lost T; asks COMMIT", "lost"),
    (
        "a failed one stands in for it",
        "> BEGIN; answered T; > SELECT 1; lost T; asks COMMIT; resumed",
        "failed",
    ),
    (
        "and is ended",
        "> BEGIN; answered T; lost T; resumed; > COMMIT; < COMMIT: ROLLBACK; ready I; answered I",
        "idle",
    ),
    (
        "or chained",
        "> BEGIN; answered T; lost T; resumed; > ROLLBACK AND CHAIN; < ROLLBACK; ready T; answered T",
        "open",
    ),
    ("or lost", "> BEGIN; answered T; lost T; resumed; answered E; > SELECT 1; lost E", "lost"),
    ("nothing is resumed that was not lost", "> BEGIN; resumed; untold", "open"),
    ("what runs again has never run", "> BEGIN; < SET work_mem=1; error; reported UTC; requeued", "idle"),
    ("and may succeed then", "error; requeued; < SET work_mem=1; ready I; answered I", "idle =1"),
    ("a client leaves", "> BEGIN; < SET work_mem=1; ready T; answered T; abandoned", "open"),
    ("weir keeps it to itself", "kept BEGIN", "promised"),
    ("and all that needs no judgement", "kept BEGIN; kept SAVEPOINT a; kept RELEASE a; kept COMMIT", "idle"),
    ("a read of it runs outside of it", "kept BEGIN; ready I; answered I", "promised"),
    ("and can make it fail", "kept BEGIN; error; ready I; answered I", "promise failed"),
    ("until it goes back", "kept BEGIN; kept SAVEPOINT a; error; ready I; kept ROLLBACK TO a", "promised"),
    ("or ends", "kept BEGIN; error; ready I; answered I; kept COMMIT", "idle"),
    ("the next one has not failed", "kept BEGIN; error; ready I; kept ROLLBACK AND CHAIN", "promised"),
    (
        "a server is told of it",
        "kept BEGIN ISOLATION LEVEL SERIALIZABLE; begins primary",
        "open serializable",
    ),
    ("of one that has failed too", "kept BEGIN; error; ready I; begins primary", "failed"),
    (
        "what was set stays when its connection goes",
        "kept BEGIN; begins replica; < SET work_mem = 1; withdrawn",
        "promised =1",
    ),
    (
        "and is taken back with it",
        "kept BEGIN; begins replica; < SET work_mem = 1; withdrawn; kept ROLLBACK",
        "idle",
    ),
    ("a read that is put back fails nothing", "kept BEGIN; error; will; ready I; requeued", "promised"),
    ("nor does one behind a BEGIN", "marks; kept BEGIN; error; will; ready I; requeued", "idle"),
    (
        "what completed in front of it has not",
        "kept BEGIN; begins replica; marks; < SET work_mem = 1; error; will; ready E; requeued",
        "promised",
    ),
    (
        "nor one that had failed",
        "kept BEGIN; error; ready I; marks; begins replica; error; will; requeued",
        "promise failed",
    ),
    ("a lost read fails it", "kept BEGIN; lost I", "promise failed"),
    ("so does a lost replica", "kept BEGIN; begins replica; < SET work_mem = 1; lost T", "promise failed =1"),
    (
        "of what is lost on the primary nothing is left",
        "kept BEGIN; begins primary; < SET work_mem = 1; lost T",
        "lost",
    ),
    (
        "what refuses its beginning has run nothing of it",
        "kept BEGIN; kept SAVEPOINT s; begins replica; < SET work_mem = 1; withdrawn; begins primary; strands; lost I",
        "promise failed =1",
    ),
    (
        "an end behind that is not reached",
        "kept BEGIN; begins primary; > COMMIT; strands; lost I",
        "promise failed",
    ),
    (
        "and its savepoints are there",
        "kept BEGIN; kept SAVEPOINT s; begins replica; < SET work_mem = 1; withdrawn; begins primary; strands; \
         lost I; kept ROLLBACK TO s",
        "promised",
    ),
    (
        "it can end where a server is needed",
        "kept BEGIN; begins replica; < SET work_mem = 1; withdrawn; begins primary; strands; lost I; forsaken",
        "lost",
    ),
    (
        "what was lost between two requests is told",
        "kept BEGIN; begins replica; lost T; untold; asks SELECT 1",
        "lost told",
    ),
];

#[test]
fn a_transaction_stands_where_what_happened_has_brought_it() {
    for (name, events, expected) in TRANSITIONS {
        let mut script = Script::new();
        events.split("; ").filter(|event| !event.is_empty()).for_each(|event| script.on(event));
        assert_eq!(script.words(), *expected, "{name}: {events}");
    }
}

#[test]
fn what_changes_nothing_copies_nothing() {
    let mut script = Script::new();
    for event in
        ["> BEGIN", "< BEGIN", "< SAVEPOINT a", "< SELECT 1", "ready T", "< RELEASE a", "< COMMIT", "ready I"]
    {
        script.on(event);
        assert_eq!(script.transaction.undoable().levels().count(), 1, "{event}");
    }
}

#[test]
fn it_is_known_which_statement_takes_the_snapshot_that_lasts() {
    use Snapshots::{Each, OneTaken, OneToTake};
    let begin = "kept BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let again = "< COMMIT AND CHAIN: COMMIT";
    for (events, expected) in [
        (&[][..], Each),
        (&["kept BEGIN", "< SELECT 1"], Each),
        (&[begin], OneToTake),
        (&[begin, "begins replica", "< SET LOCAL x = 1", "< SHOW datestyle"], OneToTake),
        (&[begin, "begins replica", "kept SAVEPOINT a"], OneToTake),
        (&[begin, "begins replica", "< SELECT 1"], OneTaken),
        (&[begin, "begins replica", "< SELECT set_config('x.y', '1', true)"], OneTaken),
        (&[begin, "begins replica", "< DECLARE c CURSOR FOR SELECT 1"], OneTaken),
        (&["kept BEGIN", "kept SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"], OneToTake),
        (&[begin, "begins replica", "< SELECT 1", again], OneToTake),
        (&[begin, "begins replica", "< SELECT 1", again, "< SELECT 1"], OneTaken),
        (&[begin, "begins replica", "< SELECT 1", "> COMMIT", "< COMMIT"], Each),
    ] {
        let mut script = Script::new();
        events.iter().for_each(|event| script.on(event));
        assert_eq!(script.transaction.snapshots(None), expected, "{events:?}");
    }
    let mut script = Script::new();
    script.on("kept BEGIN");
    assert_eq!(script.transaction.snapshots(Some(Isolation::RepeatableRead)), OneToTake, "by default");
}
