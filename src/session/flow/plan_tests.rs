//! Every place where a request can be, and every step that can stand before it.

use super::*;

const LEG: LegFacts = LegFacts {
    route: Route::Primary,
    condition: Condition::Working,
    owed: Owed::Nothing,
    batch: Batch::Closed,
    tx: TxStatus::Idle,
    flow: Flow::Query,
    freshness: Freshness::Enough,
    settings: Settings::Same,
};

/// A connection to a replica.
const COPY: LegFacts = LegFacts { route: Route::Replica, ..LEG };

type Facts = &'static [RequestFact];

const READ: Facts = &[RequestFact::Single];
const ACT: Facts = &[RequestFact::Single, RequestFact::Acts];
const BATCH: Facts = &[];
const BATCH_ACT: Facts = &[RequestFact::Acts];
const MOVING: Facts = &[RequestFact::NamesMove];
const OUTDATED: Facts = &[RequestFact::Unverified];
/// A read that is too much to be kept with what is in flight, and more of such a batch.
const MUCH: Facts = &[RequestFact::Single, RequestFact::TooMuchToKeep];
const MUCH_BATCH: Facts = &[RequestFact::TooMuchToKeep];

/// A batch whose time is limited.
const LIMITED: Facts = &[RequestFact::Limited];

const P: Route = Route::Primary;
const R: Route = Route::Replica;
const IDLE: TxStatus = TxStatus::Idle;
const OPEN: TxStatus = TxStatus::Open;
const FAILED: TxStatus = TxStatus::Failed;

fn owes(leg: LegFacts) -> LegFacts {
    LegFacts { owed: Owed::Answers, ..leg }
}

fn discards(leg: LegFacts) -> LegFacts {
    LegFacts { owed: Owed::Discarding, batch: Batch::Open, ..leg }
}

fn batch(leg: LegFacts) -> LegFacts {
    LegFacts { batch: Batch::Open, ..leg }
}

fn within(leg: LegFacts, tx: TxStatus) -> LegFacts {
    LegFacts { tx, ..leg }
}

fn stale(leg: LegFacts) -> LegFacts {
    LegFacts { freshness: Freshness::Short, ..leg }
}

fn fixed(leg: LegFacts) -> LegFacts {
    LegFacts { freshness: Freshness::Fixed, ..leg }
}

fn lacks(settings: Settings, leg: LegFacts) -> LegFacts {
    LegFacts { settings, ..leg }
}

fn awaits(leg: LegFacts) -> LegFacts {
    LegFacts { owed: Owed::Settings, ..leg }
}

fn copies(leg: LegFacts) -> LegFacts {
    LegFacts { flow: Flow::CopyIn, ..leg }
}

fn is(condition: Condition, leg: LegFacts) -> LegFacts {
    LegFacts { condition, ..leg }
}

type Row = (&'static str, Route, TxStatus, LegFacts, Facts, Step);

#[test]
fn where_a_request_can_be_written() {
    use Step::{AwaitAnswers, EndBatch, FlushBatch, Write};
    let rows: [Row; 43] = [
        // The connection is of no use any more.
        ("lost", P, IDLE, is(Condition::Lost, LEG), READ, AwaitAnswers),
        ("lost in a batch", P, IDLE, is(Condition::Lost, batch(LEG)), BATCH, AwaitAnswers),
        ("lost in a transaction", P, OPEN, is(Condition::Lost, within(LEG, OPEN)), READ, AwaitAnswers),
        ("lost while it discards", P, IDLE, is(Condition::Lost, discards(LEG)), BATCH, AwaitAnswers),
        ("to be run again", P, IDLE, is(Condition::Rerunning, owes(COPY)), READ, AwaitAnswers),
        ("to be run again, all answered", R, IDLE, is(Condition::Rerunning, COPY), READ, AwaitAnswers),
        // What follows an error goes where it is thrown away.
        ("discards", P, IDLE, discards(LEG), BATCH, Write),
        ("discards on a replica", R, IDLE, discards(COPY), BATCH, Write),
        ("discards, wanted elsewhere", P, IDLE, discards(COPY), BATCH_ACT, Write),
        ("discards, not fresh", R, IDLE, discards(stale(COPY)), BATCH, Write),
        ("discards, a simple query", P, IDLE, discards(LEG), READ, Write),
        // On the primary.
        ("idle", P, IDLE, LEG, READ, Write),
        ("idle, a batch", P, IDLE, LEG, BATCH, Write),
        ("a pipeline", P, IDLE, owes(LEG), READ, Write),
        ("a pipeline in a transaction", P, OPEN, owes(within(LEG, OPEN)), ACT, Write),
        ("a failed transaction", P, FAILED, within(LEG, FAILED), READ, Write),
        ("more of a batch", P, IDLE, batch(LEG), BATCH, Write),
        ("more of a batch in flight", P, IDLE, owes(batch(LEG)), BATCH, Write),
        ("a read in a batch on the primary", R, IDLE, owes(batch(LEG)), BATCH, Write),
        ("a read behind what is in flight", R, IDLE, owes(LEG), READ, AwaitAnswers),
        ("a read where the session is held", R, IDLE, LEG, READ, Write),
        ("no room to keep it", P, IDLE, owes(LEG), MUCH, AwaitAnswers),
        ("no room, but nothing in flight", P, IDLE, LEG, MUCH, Write),
        ("one at a time", P, IDLE, owes(LEG), LIMITED, AwaitAnswers),
        ("so in a transaction", P, OPEN, owes(within(LEG, OPEN)), LIMITED, AwaitAnswers),
        ("nothing in flight", P, IDLE, LEG, LIMITED, Write),
        ("more of the same batch", P, IDLE, owes(batch(LEG)), LIMITED, Write),
        // On a replica.
        ("idle replica", R, IDLE, COPY, READ, Write),
        ("a pipeline of reads", R, IDLE, owes(COPY), READ, Write),
        ("a long pipeline of reads", R, IDLE, owes(COPY), MUCH, AwaitAnswers),
        ("a write behind reads", P, IDLE, owes(COPY), ACT, AwaitAnswers),
        ("a write on a replica that has something unsent", P, IDLE, COPY, READ, AwaitAnswers),
        ("more of a batch of reads", R, IDLE, batch(COPY), BATCH, Write),
        ("more of a batch of reads in flight", R, IDLE, owes(batch(COPY)), BATCH, Write),
        ("more of a batch in flight, no room", R, IDLE, owes(batch(COPY)), MUCH_BATCH, Write),
        ("a write in a batch of reads", P, IDLE, batch(COPY), BATCH_ACT, EndBatch),
        ("a write in a batch of reads in flight", P, IDLE, owes(batch(COPY)), BATCH_ACT, FlushBatch),
        ("not fresh enough", R, IDLE, stale(COPY), READ, AwaitAnswers),
        ("not fresh enough, in flight", R, IDLE, stale(owes(COPY)), READ, AwaitAnswers),
        ("a batch on what is not fresh enough", R, IDLE, stale(batch(COPY)), BATCH, EndBatch),
        ("such a batch in flight", R, IDLE, stale(owes(batch(COPY))), BATCH, FlushBatch),
        ("a transaction on a replica", R, OPEN, within(COPY, OPEN), READ, Write),
        ("a failed one", R, FAILED, stale(within(COPY, FAILED)), READ, Write),
    ];
    rows.into_iter().for_each(check);
}

#[test]
fn what_stands_before_a_request() {
    use Settings::{Name, Rights, Same, Values};
    use Step::{AwaitAnswers, AwaitFreshness, AwaitNames, AwaitSettings, FlushBatch};
    use Step::{SendSettings, Verify, Write};
    let rows: [Row; 49] = [
        // Settings.
        ("a read takes values along", P, IDLE, lacks(Values, LEG), READ, Write),
        ("a write waits for values", P, IDLE, lacks(Values, LEG), ACT, SendSettings),
        ("a write in a batch waits too", P, IDLE, lacks(Values, LEG), BATCH_ACT, SendSettings),
        ("in a transaction as well", P, OPEN, lacks(Values, within(LEG, OPEN)), ACT, SendSettings),
        ("behind a pipeline as well", P, IDLE, lacks(Values, owes(LEG)), ACT, SendSettings),
        ("a read waits for its rights", P, IDLE, lacks(Rights, LEG), READ, SendSettings),
        ("a write waits for its rights", P, IDLE, lacks(Rights, LEG), ACT, SendSettings),
        ("so does a read on a replica", R, IDLE, lacks(Rights, COPY), READ, SendSettings),
        ("nobody waits for a name", P, IDLE, lacks(Name, LEG), ACT, Write),
        ("nor does a read", R, IDLE, lacks(Name, COPY), READ, Write),
        ("no settings in a failed transaction", P, FAILED, lacks(Rights, within(LEG, FAILED)), ACT, Write),
        ("none within a batch", P, IDLE, lacks(Values, batch(LEG)), BATCH_ACT, Write),
        ("nor of rights within a batch", P, IDLE, lacks(Rights, batch(LEG)), BATCH_ACT, Write),
        ("a write waits for what is on its way", P, IDLE, awaits(LEG), ACT, AwaitSettings),
        ("a read does not", P, IDLE, awaits(LEG), READ, Write),
        ("a write in a batch does", P, IDLE, awaits(batch(LEG)), BATCH_ACT, AwaitSettings),
        ("even if it lacks some", P, IDLE, awaits(lacks(Values, batch(LEG))), BATCH_ACT, AwaitSettings),
        ("but not once it failed", P, FAILED, awaits(within(LEG, FAILED)), ACT, Write),
        ("it lacks some and some are on their way", P, IDLE, awaits(lacks(Values, LEG)), ACT, SendSettings),
        ("a name is on its way", P, IDLE, awaits(lacks(Name, LEG)), ACT, Write),
        ("it has all", P, IDLE, lacks(Same, LEG), ACT, Write),
        // A simple query in the middle of a batch.
        ("it breaks in", P, IDLE, owes(batch(LEG)), READ, FlushBatch),
        ("it breaks in on a replica", R, IDLE, owes(batch(COPY)), READ, FlushBatch),
        ("all of the batch is answered", P, IDLE, batch(LEG), READ, Write),
        ("a copy has begun", P, IDLE, copies(owes(batch(LEG))), READ, Write),
        ("it is thrown away", P, IDLE, discards(LEG), READ, Write),
        ("settings come first", P, IDLE, awaits(batch(LEG)), ACT, AwaitSettings),
        ("a batch breaks into nothing", P, IDLE, owes(batch(LEG)), BATCH, Write),
        // Names in flight.
        ("names are moving", P, IDLE, owes(LEG), MOVING, AwaitNames),
        ("on a replica too", R, IDLE, owes(COPY), MOVING, AwaitNames),
        ("in the same batch their order tells", P, IDLE, owes(batch(LEG)), MOVING, Write),
        ("all is answered", P, IDLE, LEG, MOVING, Write),
        ("what throws it away", P, IDLE, discards(LEG), MOVING, Write),
        ("names in a transaction", P, OPEN, owes(within(LEG, OPEN)), MOVING, AwaitNames),
        // Results that may have changed.
        ("a result may have changed", P, IDLE, LEG, OUTDATED, Verify),
        ("on a replica", R, IDLE, COPY, OUTDATED, Verify),
        ("within a batch", P, IDLE, batch(LEG), OUTDATED, Verify),
        ("in a transaction", P, OPEN, within(LEG, OPEN), OUTDATED, Verify),
        ("settings before results", P, IDLE, lacks(Rights, LEG), OUTDATED, SendSettings),
        ("results before freshness", R, OPEN, stale(within(COPY, OPEN)), OUTDATED, Verify),
        // The freshness of a transaction that cannot move.
        ("a transaction waits", R, OPEN, stale(within(COPY, OPEN)), READ, AwaitFreshness),
        ("within a batch", R, OPEN, stale(within(batch(COPY), OPEN)), BATCH, AwaitFreshness),
        ("within a batch in flight", R, OPEN, stale(within(owes(batch(COPY)), OPEN)), BATCH, AwaitFreshness),
        ("behind a pipeline", R, OPEN, stale(within(owes(COPY), OPEN)), READ, AwaitAnswers),
        ("not what is thrown away", R, OPEN, stale(within(discards(COPY), OPEN)), BATCH, Write),
        ("not with one snapshot", R, OPEN, fixed(within(COPY, OPEN)), READ, Write),
        ("not once it has failed", R, FAILED, stale(within(COPY, FAILED)), READ, Write),
        ("not before it is there", R, OPEN, stale(owes(COPY)), READ, Write),
        ("fresh enough", R, OPEN, within(COPY, OPEN), READ, Write),
    ];
    rows.into_iter().for_each(check);
}

fn check((name, route, expected, leg, request, step): Row) {
    let request = request.iter().copied().collect();
    assert_eq!(plan(&Situation { route, manner: Manner::AsItComes, expected, leg, request }), step, "{name}");
}

type LazyRow = (&'static str, Manner, Route, LegFacts, Facts, Step);

fn check_lazy((name, manner, route, leg, request, step): LazyRow) {
    let request = request.iter().copied().collect();
    assert_eq!(plan(&Situation { route, manner, expected: leg.tx, leg, request }), step, "{name}");
}

#[test]
fn one_request_at_a_time_of_a_transaction_that_has_only_read() {
    use Step::{Answer, AwaitAnswers, FlushBatch, Write};
    for manner in [Manner::Kept, Manner::Alone, Manner::Within, Manner::Aside] {
        let rows: [LazyRow; 9] = [
            ("lost", manner, R, is(Condition::Lost, COPY), READ, AwaitAnswers),
            ("lost in a batch", manner, R, is(Condition::Lost, batch(COPY)), BATCH, AwaitAnswers),
            ("to be run again", manner, R, is(Condition::Rerunning, owes(COPY)), READ, AwaitAnswers),
            ("a pipeline", manner, R, owes(COPY), READ, AwaitAnswers),
            ("a pipeline on the primary", manner, P, owes(LEG), READ, AwaitAnswers),
            ("settings on their way", manner, R, awaits(COPY), READ, AwaitAnswers),
            ("a batch in flight", manner, R, owes(batch(COPY)), BATCH, FlushBatch),
            ("what is thrown away", manner, R, discards(COPY), BATCH, Write),
            ("the same, wanted elsewhere", manner, P, discards(COPY), BATCH, Write),
        ];
        rows.into_iter().for_each(check_lazy);
    }
    let rows: [LazyRow; 4] = [
        ("weir answers", Manner::Kept, P, COPY, READ, Answer),
        ("beside a transaction", Manner::Kept, P, within(LEG, OPEN), READ, Answer),
        ("whatever is fresh", Manner::Kept, P, stale(COPY), BATCH, Answer),
        ("not into an open batch", Manner::Kept, P, batch(COPY), BATCH, Write),
    ];
    rows.into_iter().for_each(check_lazy);
}

#[test]
fn where_a_transaction_that_has_only_read_goes_on() {
    use Manner::{Alone, Aside, Within};
    use Settings::{Name, Rights, Values};
    use Step::{AwaitAnswers, AwaitFreshness, EndBatch, SendSettings, Swap, Upgrade, Verify, Write};
    let rows: [LazyRow; 42] = [
        // Outside of the transaction.
        ("alone", Alone, R, COPY, READ, Write),
        ("alone, not fresh enough", Alone, R, stale(COPY), READ, AwaitAnswers),
        ("alone, the primary at hand", Alone, R, LEG, READ, AwaitAnswers),
        ("alone, there is no replica", Alone, P, LEG, READ, Write),
        ("alone, there is none any more", Alone, P, COPY, READ, AwaitAnswers),
        ("more of a batch", Alone, R, batch(COPY), BATCH, Write),
        ("such a batch, not fresh enough", Alone, R, batch(stale(COPY)), BATCH, EndBatch),
        ("a batch begun on the primary", Alone, R, batch(LEG), BATCH, EndBatch),
        ("alone, with other values", Alone, R, lacks(Values, COPY), READ, Write),
        ("alone, with other rights", Alone, R, lacks(Rights, COPY), READ, SendSettings),
        ("alone, results may have changed", Alone, R, COPY, OUTDATED, Verify),
        ("names move, nothing in flight", Alone, R, COPY, MOVING, Write),
        ("much, nothing in flight", Alone, R, COPY, MUCH, Write),
        ("limited, nothing in flight", Alone, R, COPY, LIMITED, Write),
        // Within it, on a connection that knows nothing of it yet.
        ("within, on a replica", Within, R, COPY, READ, Write),
        ("within, not fresh enough", Within, R, stale(COPY), READ, AwaitAnswers),
        ("within, the primary at hand", Within, R, LEG, READ, AwaitAnswers),
        ("a write, a replica at hand", Within, P, COPY, ACT, AwaitAnswers),
        ("a write on the primary", Within, P, LEG, ACT, Write),
        ("a write with other values", Within, P, lacks(Values, LEG), ACT, SendSettings),
        ("a write with another name", Within, P, lacks(Name, LEG), ACT, Write),
        ("a batch begun outside of it", Within, R, batch(COPY), BATCH, EndBatch),
        ("the same, and now it writes", Within, P, batch(COPY), BATCH_ACT, EndBatch),
        ("a batch begun on the primary", Within, P, batch(LEG), BATCH_ACT, EndBatch),
        // Within it, on a replica's connection that knows of it.
        ("it goes on", Within, R, within(COPY, OPEN), READ, Write),
        ("it goes on, failed", Within, R, within(COPY, FAILED), READ, Write),
        ("not fresh enough", Within, R, stale(within(COPY, OPEN)), READ, AwaitFreshness),
        ("one snapshot", Within, R, fixed(within(COPY, OPEN)), READ, Write),
        ("failed, not fresh enough", Within, R, stale(within(COPY, FAILED)), READ, Write),
        ("more of a batch", Within, R, batch(within(COPY, OPEN)), BATCH, Write),
        ("a write", Within, P, within(COPY, OPEN), ACT, Upgrade),
        ("a write in a batch", Within, P, batch(within(COPY, OPEN)), BATCH_ACT, Upgrade),
        ("a write, not fresh enough", Within, P, stale(within(COPY, OPEN)), ACT, Upgrade),
        ("a write, other rights", Within, P, lacks(Rights, within(COPY, OPEN)), ACT, Upgrade),
        // Two connections.
        ("more of what is open there", Aside, R, within(LEG, OPEN), READ, Swap),
        ("and there it is", Aside, R, within(COPY, OPEN), READ, Write),
        ("anything else", Aside, P, within(COPY, OPEN), ACT, Swap),
        ("and there it is", Aside, P, within(LEG, OPEN), ACT, Write),
        ("in front of a failed one", Aside, P, within(COPY, FAILED), READ, Swap),
        ("within a batch", Aside, R, batch(within(LEG, OPEN)), BATCH, EndBatch),
        ("the batch of it", Aside, R, batch(within(COPY, OPEN)), BATCH, Write),
        ("not fresh enough", Aside, R, stale(within(COPY, OPEN)), READ, AwaitFreshness),
    ];
    rows.into_iter().for_each(check_lazy);
}

#[test]
fn a_transaction_that_can_be_said_again_leaves_a_replica_that_is_too_old() {
    use Step::{AwaitAnswers, AwaitFreshness, Upgrade, Write};
    let elsewhere = |leg| LegFacts { freshness: Freshness::Elsewhere, ..leg };
    let open = within(COPY, OPEN);
    for (name, route, leg, step) in [
        ("fresh enough", R, open, Write),
        ("too old", R, elsewhere(open), Upgrade),
        ("too old, with something open there", R, stale(open), AwaitFreshness),
        ("its snapshot was taken", R, fixed(open), Write),
        ("it has failed", R, within(COPY, FAILED), Write),
        ("it is not told of yet", R, stale(COPY), AwaitAnswers),
        ("wanted on the primary", P, open, Upgrade),
        ("there it stays", P, within(LEG, OPEN), Write),
    ] {
        let request = READ.iter().copied().collect();
        let situation = Situation { route, manner: Manner::Within, expected: leg.tx, leg, request };
        assert_eq!(plan(&situation), step, "{name}");
    }
}

#[test]
fn without_a_connection_one_is_taken() {
    for (manner, step) in [
        (Manner::AsItComes, Step::CheckOut),
        (Manner::Alone, Step::CheckOut),
        (Manner::Within, Step::CheckOut),
        (Manner::Aside, Step::CheckOut),
        (Manner::Kept, Step::Answer),
    ] {
        assert_eq!(without_leg(manner), step);
    }
}

#[test]
fn what_has_begun_ends_where_it_is() {
    let to = |route, reason| Decision { route, reason };
    let (read, write) = (to(R, Reason::Read), to(P, Reason::Write));
    for (name, decision, begun, expected) in [
        ("a read", read, None, read),
        ("a write", write, None, write),
        ("a read where a write has begun", read, Some(P), to(P, Reason::InTransaction)),
        ("a write behind an error on a replica", write, Some(R), to(R, Reason::InTransaction)),
        ("a read where reads have begun", read, Some(R), read),
        ("a write where a write has begun", write, Some(P), write),
    ] {
        assert_eq!(confine(decision, begun), expected, "{name}");
    }
    assert_eq!(seen_in_part(read), to(P, Reason::TooLong), "more of it may be a write");
    assert_eq!(seen_in_part(write), write);
}
