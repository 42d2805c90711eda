//! Where reads ran, and what keeps the rest of them on the primary: by reason, and by shape of statement. And how transactions
//! ran.

use std::cmp::Reverse;

use super::minute::{Minute, Totals};
use super::words::plain;
use crate::admin::snapshot::{Kept, Ran, Reads, Shape, Split};
use crate::console::advice;
use crate::router::Route;
use crate::session::Shared;

/// Shapes that are told.
const SHAPES: usize = 25;

pub(super) fn reads(shared: &Shared, minute: &Minute) -> Reads {
    let (first, now) = (minute.first(), Totals::of(&shared.metrics.requests));
    let (before, start) = (first.split(), now.split());
    let lately = Split {
        replicas: start.replicas.saturating_sub(before.replicas),
        primary: start.primary.saturating_sub(before.primary),
    };
    let mut kept: Vec<Kept> = now.kept.iter().map(|(reason, count)| kept(reason, *count, &first)).collect();
    kept.sort_by_key(|kept| Reverse((kept.minute, kept.start)));
    Reads { minute: lately, start, kept, shapes: shapes(shared) }
}

fn kept(reason: &str, count: u64, first: &Totals) -> Kept {
    let before = first.kept.get(reason).copied().unwrap_or_default();
    let minute = count.saturating_sub(before);
    Kept { reason: reason.to_owned(), minute, start: count, what_to_do: advice(reason).to_owned() }
}

/// Of what `SHOW SHAPES` tells, the reads that ran on the primary.
fn shapes(shared: &Shared) -> Vec<Shape> {
    let all = shared.board.shapes.all().into_iter();
    let kept = all.filter(|shape| shape.reads && shape.route == Route::Primary).take(SHAPES);
    let shape = |shape: crate::session::Shape| Shape {
        text: plain(&shape.text),
        reason: shape.reason.as_str().to_owned(),
        calls: shape.calls,
        total_ms: (shape.total.as_secs_f64() * 10_000.0).round() / 10.0,
        user: plain(&shape.user),
        database: plain(&shape.names.client),
        application: plain(&shape.application),
        what_to_do: advice(shape.reason.as_str()).to_owned(),
    };
    kept.map(shape).collect()
}

pub(super) fn transactions(shared: &Shared) -> Vec<Ran> {
    let counted = shared.metrics.counters("weir_transactions_total", ["ran", "reason"]).into_iter();
    let ran = |([ran, reason], count): ([String; 2], u64)| {
        let what = if matches!(ran.as_str(), "upgraded" | "primary") { advice(&reason) } else { "" };
        Ran { ran, reason, count, what_to_do: what.to_owned() }
    };
    let mut all: Vec<Ran> = counted.filter(|(_, count)| *count > 0).map(ran).collect();
    all.sort_by_key(|ran| Reverse(ran.count));
    all
}
