//! Spans that are entered when something is said in them.
//!
//! A client's task enters the client's span at each of its turns, and says something in one of a million. What the layers
//! of a subscriber do at each entering (look at their filters, count references) is a fortieth of all that weir does for a
//! small transaction. So here an entering is only remembered, and done when there is an event, a new span or a question
//! for which it makes a difference.

use std::cell::RefCell;

use thread_local::ThreadLocal;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// A subscriber that hears of what was entered with what is said there, and not before.
pub(super) struct LateEntry<S> {
    subscriber: S,
    /// What this thread is in, the innermost last, and the subscriber has not heard of. Who has entered a span holds it, so
    /// that none of them can close.
    entered: ThreadLocal<RefCell<Vec<Id>>>,
}

impl<S: Subscriber> LateEntry<S> {
    pub(super) fn new(subscriber: S) -> Self {
        Self { subscriber, entered: ThreadLocal::new() }
    }

    /// Asks or tells the subscriber something where the thread is.
    fn within<T>(&self, act: impl FnOnce(&S) -> T) -> T {
        // What says something while it is told of, such as a value that is formatted, is within them already.
        let visit = Visit { late: self, entered: self.here().take() };
        visit.entered.iter().for_each(|id| self.subscriber.enter(id));
        act(&self.subscriber)
    }

    fn here(&self) -> &RefCell<Vec<Id>> {
        self.entered.get_or_default()
    }
}

/// The subscriber knows where the thread is as long as this is there.
struct Visit<'a, S: Subscriber> {
    late: &'a LateEntry<S>,
    entered: Vec<Id>,
}

impl<S: Subscriber> Drop for Visit<'_, S> {
    fn drop(&mut self) {
        self.entered.iter().rev().for_each(|id| self.late.subscriber.exit(id));
        self.late.here().replace(std::mem::take(&mut self.entered));
    }
}

impl<S: Subscriber> Subscriber for LateEntry<S> {
    fn enter(&self, id: &Id) {
        self.here().borrow_mut().push(id.clone());
    }

    fn exit(&self, id: &Id) {
        let mut entered = self.here().borrow_mut();
        // Guards may be dropped in any order.
        if entered.last() == Some(id) {
            entered.pop();
        } else if let Some(at) = entered.iter().rposition(|other| other == id) {
            entered.remove(at);
        }
    }

    fn event(&self, event: &Event<'_>) {
        self.within(|subscriber| subscriber.event(event));
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        self.within(|subscriber| subscriber.event_enabled(event))
    }

    /// A filter may go by the spans that the thread is in.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.within(|subscriber| subscriber.enabled(metadata))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.within(|subscriber| subscriber.new_span(attributes))
    }

    fn current_span(&self) -> Current {
        self.within(Subscriber::current_span)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.subscriber.record(id, values);
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        self.subscriber.record_follows_from(id, follows);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.subscriber.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.subscriber.try_close(id)
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.subscriber.register_callsite(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.subscriber.max_level_hint()
    }

    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.subscriber.on_register_dispatch(dispatch);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::span::Id;
    use tracing::{Dispatch, Event, Span, Subscriber};
    use tracing_subscriber::layer::{Context, SubscriberExt as _};
    use tracing_subscriber::registry::LookupSpan;
    use tracing_subscriber::{EnvFilter, Layer, Registry};

    use super::LateEntry;

    /// What a layer is told.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Told {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }

        fn add(&self, words: String) {
            self.0.lock().unwrap().push(words);
        }
    }

    impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Told {
        fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
            let mut message = String::new();
            event.record(&mut |_: &tracing::field::Field, value: &dyn fmt::Debug| {
                message = format!("{value:?}");
            });
            let scope = context.event_scope(event).into_iter().flatten();
            let names: Vec<_> = scope.map(|span| span.name()).collect();
            self.add(format!("{message} in {}", names.join(" in ")));
        }

        fn on_enter(&self, _: &Id, _: Context<'_, S>) {
            self.add("entered".to_owned());
        }

        fn on_exit(&self, _: &Id, _: Context<'_, S>) {
            self.add("left".to_owned());
        }
    }

    fn told(filter: &str, act: impl FnOnce(&Told)) {
        let told = Told::default();
        let filter = EnvFilter::builder().parse(filter).unwrap();
        let subscriber = LateEntry::new(tracing_subscriber::registry().with(filter).with(told.clone()));
        tracing::subscriber::with_default(subscriber, || act(&told));
    }

    fn events(told: &Told) -> Vec<String> {
        told.take().into_iter().filter(|words| words.contains(" in ")).collect()
    }

    #[test]
    fn nobody_is_told_of_a_span_in_which_nothing_is_said() {
        told("info", |told| {
            let span = tracing::error_span!("client");
            (0..3).for_each(|_| span.in_scope(|| tracing::debug!("not logged")));
            assert!(told.take().is_empty());
            span.in_scope(|| tracing::info!("hello"));
            assert!(told.take().contains(&"hello in client".to_owned()));
        });
    }

    #[test]
    fn an_event_stands_in_all_that_is_entered() {
        told("info", |told| {
            let outer = tracing::error_span!("outer").entered();
            let inner = tracing::error_span!("inner").entered();
            let other = tracing::error_span!(parent: None, "other").entered();
            tracing::info!("a");
            // In another order than they were entered in.
            drop(inner);
            tracing::info!("b");
            drop(other);
            tracing::info!("c");
            drop(outer);
            tracing::info!("d");
            assert_eq!(events(told), ["a in other", "b in other", "c in outer", "d in "]);
        });
    }

    #[test]
    fn a_new_span_and_the_current_one_are_where_the_thread_is() {
        told("info", |told| {
            let outer = tracing::error_span!("outer");
            let (inner, current) = outer.in_scope(|| (tracing::error_span!("inner"), Span::current()));
            assert_eq!(current.id(), outer.id());
            inner.in_scope(|| tracing::info!("a"));
            drop((inner, outer));
            // Still open, as somebody has it.
            current.in_scope(|| tracing::info!("b"));
            assert_eq!(events(told), ["a in inner in outer", "b in outer"]);
            assert_eq!(Span::current().id(), None);
        });
    }

    #[test]
    fn what_is_said_while_something_is_told_stands_there_too() {
        let dispatch = Dispatch::new(LateEntry::new(Registry::default()));
        let make = || (tracing::error_span!("outer"), tracing::error_span!("deeper"));
        let (outer, deeper) = tracing::dispatcher::with_default(&dispatch, make);
        let (outer, deeper) = (outer.id().unwrap(), deeper.id().unwrap());
        let late: &LateEntry<Registry> = dispatch.downcast_ref().unwrap();
        let is_in = |told: &Registry, id| assert_eq!(told.current_span().id(), id);
        late.enter(&outer);
        late.within(|told| {
            // As when a value that is formatted says something of its own.
            late.enter(&deeper);
            late.within(|told| is_in(told, Some(&deeper)));
            late.exit(&deeper);
            is_in(told, Some(&outer));
        });
        late.within(|told| is_in(told, Some(&outer)));
        late.exit(&outer);
        late.within(|told| is_in(told, None));
    }

    #[test]
    fn a_filter_may_go_by_the_span() {
        told("warn,[client{user=app}]=debug", |told| {
            let of = |user: &str| tracing::error_span!("client", user);
            of("app").in_scope(|| tracing::debug!("a"));
            of("other").in_scope(|| tracing::debug!("b"));
            assert_eq!(events(told), ["a in client"]);
        });
    }

    #[test]
    fn who_panics_leaves_the_thread_where_it_was() {
        struct Panics;
        impl fmt::Debug for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("while it is formatted")
            }
        }
        told("info", |told| {
            let outer = tracing::error_span!("outer").entered();
            let said = || tracing::info!("{:?}", Panics);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(said)).unwrap_err();
            tracing::info!("a");
            drop(outer);
            tracing::info!("b");
            assert_eq!(events(told), ["a in outer", "b in "]);
        });
    }
}
