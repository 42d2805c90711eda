//! Which shapes of statements cost most, and where and why they ran: what is asked of a proxy first.
//!
//! Bounded: of what does not fit the cheapest makes room. Counted where a flight's time is measured anyway, and of a busy
//! session only a part, which stands for the whole. Never a value: a shape has no literals.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::router::{Reason, Route};
use crate::session::shared::gate::Names;
use crate::session::shared::visitors::Visitor;
use crate::sql::SkeletonId;

/// Rows that are kept, in parts that are locked apart.
const ROWS: usize = 2048;
const PARTS: usize = 8;

/// How many are looked at for the one that makes room. The costly ones are hardly ever the cheapest of these.
const DRAWN: usize = 8;

/// So many flights of a session are all counted, ...
const ALL_OF: u32 = 64;
/// ... and of those that follow one of so many, ...
const ONE_OF: u32 = 16;
/// ... but for those that took so long.
const SLOW: Duration = Duration::from_millis(10);

/// What became of a shape for one user, application and reason.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The text without its literals.
    pub text: Arc<str>,
    /// Whose it is.
    pub user: Arc<str>,
    /// Its database.
    pub names: Names,
    /// Its application.
    pub application: Arc<str>,
    /// Where it ran.
    pub route: Route,
    /// Why there.
    pub reason: Reason,
    /// Whether it only reads, by its text.
    pub reads: bool,
    /// How often.
    pub calls: u64,
    /// For how long.
    pub total: Duration,
    /// For how long at most.
    pub longest: Duration,
}

/// A flight that is over.
pub(crate) struct Flight<'a> {
    pub skeleton: SkeletonId,
    pub visitor: &'a Visitor,
    pub route: Route,
    pub reason: Reason,
    pub reads: bool,
    pub took: Duration,
}

impl Flight<'_> {
    fn key(&self) -> u64 {
        let skeleton = self.skeleton.0 as u64 ^ (self.skeleton.0 >> 64) as u64;
        let how = (self.route as u64) << 8 | self.reason as u64;
        // Both numbers are hashes already.
        skeleton ^ self.visitor.identity().rotate_left(17) ^ how.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// For how many a session's next flight stands, if it is to be counted.
pub(crate) fn stands_for(nth: u32, took: Duration) -> Option<u32> {
    if nth < ALL_OF || took >= SLOW {
        return Some(1);
    }
    nth.is_multiple_of(ONE_OF).then_some(ONE_OF)
}

/// The shapes that cost most.
#[derive(Default)]
pub(crate) struct Shapes([Mutex<HashMap<u64, Shape>>; PARTS]);

impl Shapes {
    /// Counts a flight that stands for so many. `text` is asked when the shape is new.
    pub(crate) fn count(&self, flight: &Flight<'_>, stands_for: u32, text: impl FnOnce() -> String) {
        let key = flight.key();
        let part = &self.0[key as usize % PARTS];
        let mut rows = part.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = rows.get_mut(&key) {
            return shape.add(flight.took, stands_for);
        }
        if rows.len() >= ROWS / PARTS {
            // What a map yields first is by chance; the key drawn from moves with what comes.
            let skip = (key >> 32) as usize % (ROWS / PARTS - DRAWN);
            let cheapest = rows.iter().skip(skip).take(DRAWN).min_by_key(|(_, shape)| shape.total);
            if let Some(cheapest) = cheapest.map(|(key, _)| *key) {
                rows.remove(&cheapest);
            }
        }
        let mut shape = Shape {
            text: text().into(),
            user: flight.visitor.user.clone(),
            names: flight.visitor.names.clone(),
            application: flight.visitor.application(),
            route: flight.route,
            reason: flight.reason,
            reads: flight.reads,
            calls: 0,
            total: Duration::ZERO,
            longest: Duration::ZERO,
        };
        shape.add(flight.took, stands_for);
        rows.insert(key, shape);
    }

    /// All of them, the costliest first.
    pub(crate) fn all(&self) -> Vec<Shape> {
        let rows = |part: &Mutex<HashMap<u64, Shape>>| {
            part.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.0.iter().flat_map(rows).collect();
        all.sort_by_key(|shape| std::cmp::Reverse(shape.total));
        all
    }
}

impl Shape {
    fn add(&mut self, took: Duration, stands_for: u32) {
        self.calls += u64::from(stands_for);
        self.total += took * stands_for;
        self.longest = self.longest.max(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::shared::visitors::Place;

    fn visitor() -> Visitor {
        let names = Names { client: "shop".into(), server: "shop".into() };
        Visitor::new("app".into(), names, (Place::default(), Place::default()), Arc::default())
    }

    fn flight(visitor: &Visitor, skeleton: u128, took: Duration) -> Flight<'_> {
        let (route, reason) = (Route::Primary, Reason::VolatileFunction);
        Flight { skeleton: SkeletonId(skeleton), visitor, route, reason, reads: true, took }
    }

    #[test]
    fn what_costs_most_stays_however_many_others_come() {
        let (shapes, visitor) = (Shapes::default(), visitor());
        let (long, short) = (Duration::from_millis(100), Duration::from_micros(10));
        for n in 0..100_000u128 {
            // Hashes, as skeletons are.
            let skeleton = n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            shapes.count(&flight(&visitor, skeleton, short), 1, || n.to_string());
            if n.is_multiple_of(1000) {
                shapes.count(&flight(&visitor, 7, long), 1, || "costly".to_owned());
            }
        }
        let all = shapes.all();
        assert!(all.len() <= ROWS);
        assert_eq!((&*all[0].text, all[0].calls, all[0].longest), ("costly", 100, long));
    }

    #[test]
    fn each_user_application_route_and_reason_has_its_own_row() {
        let (shapes, visitor) = (Shapes::default(), visitor());
        let took = Duration::from_millis(1);
        visitor.calls_itself("web");
        shapes.count(&flight(&visitor, 1, took), 1, String::new);
        visitor.calls_itself("jobs");
        shapes.count(&flight(&visitor, 1, took), 1, String::new);
        shapes.count(&Flight { reason: Reason::Stale, ..flight(&visitor, 1, took) }, 1, String::new);
        shapes.count(&flight(&visitor, 1, took), 1, String::new);
        let mut rows: Vec<_> =
            shapes.all().iter().map(|s| (s.application.to_string(), s.reason, s.calls)).collect();
        rows.sort();
        let volatile = Reason::VolatileFunction;
        let expected = [
            ("jobs".to_owned(), volatile, 2),
            ("jobs".to_owned(), Reason::Stale, 1),
            ("web".to_owned(), volatile, 1),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_is_counted_stands_for_all() {
        let total: u32 = (0..64 + 1600).filter_map(|nth| stands_for(nth, Duration::ZERO)).sum();
        assert_eq!(total, 64 + 1600);
        assert_eq!(stands_for(1001, SLOW), Some(1), "what is slow is always counted, as itself");
        assert_eq!(stands_for(1001, Duration::ZERO), None);
    }
}
