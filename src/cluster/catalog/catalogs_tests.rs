//! What is published when, and what is forgotten. Nothing is loaded here.

use super::*;
use crate::cluster::catalog::{Reach, Relation, Volatility};
use crate::cluster::control::Terms;
use crate::cluster::topology::ServerId;
use crate::config::Health;
use crate::sql::Name;

fn reader() -> CurrentReader {
    Arc::new(ArcSwap::from_pointee(Reader { user: "app".into(), login: Login::trusted("app".into()) }))
}

/// Catalogs with one wanted database, and nobody who loads it.
fn catalogs() -> (Catalogs, Arc<str>) {
    let health = Health {
        interval: RETRY,
        timeout: RETRY,
        lost_after: RETRY,
        database: "postgres".into(),
        user: "app".into(),
        catalog_interval: RETRY,
    };
    let terms = Terms { health, login: Login::trusted("app".into()) };
    let terms = Arc::new(ArcSwap::from_pointee(terms));
    let catalogs = Catalogs::new(Arc::new(Monitor::new(Instant::now())), terms);
    let database: Arc<str> = "app".into();
    let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
    catalogs.lock().insert(database.clone(), Wanted::new(Arc::default(), reader(), task));
    (catalogs, database)
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.add_function("public", "total", Volatility::ReadOnly);
    catalog
}

fn total(catalogs: &Catalogs) -> Option<Volatility> {
    catalogs.of("app")?.function(&Name { schema: None, name: "total".into() })
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_published() {
    let (catalogs, database) = catalogs();
    let before = catalogs.begin(&database, Instant::now()).unwrap();
    catalogs.stale("app", Changed::Code);
    catalogs.publish(&database, before, catalog());
    assert_eq!(total(&catalogs), None);
    catalogs.publish(&database, catalogs.begin(&database, Instant::now()).unwrap(), catalog());
    assert_eq!(total(&catalogs), Some(Volatility::ReadOnly));
    catalogs.stale("app", Changed::Code);
    assert_eq!(total(&catalogs), None);
}

#[tokio::test]
async fn what_was_read_before_a_doubt_tells_of_functions_alone() {
    let (catalogs, database) = catalogs();
    let whole = || {
        let mut catalog = catalog();
        let relation = Relation { written: Reach::Everything, read: Reach::Everything };
        catalog.add_relation("public", "t", &relation, Volatility::ReadOnly);
        catalog
    };
    let relations = || catalogs.of("app").unwrap().relations.len();
    catalogs.publish(&database, catalogs.begin(&database, Instant::now()).unwrap(), whole());
    assert_eq!(relations(), 2);
    let before = catalogs.begin(&database, Instant::now()).unwrap();
    catalogs.doubt("app");
    assert_eq!((total(&catalogs), relations()), (Some(Volatility::ReadOnly), 0));
    catalogs.publish(&database, before, whole());
    assert_eq!((total(&catalogs), relations()), (Some(Volatility::ReadOnly), 0));
    catalogs.publish(&database, catalogs.begin(&database, Instant::now()).unwrap(), whole());
    assert_eq!(relations(), 2);
    assert!(catalogs.of("app").unwrap().since.is_some());
}

#[test]
fn loads_are_spaced_however_often_they_are_asked_for() {
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let due = |asked_at, pause| Asked { at: at(asked_at), pause }.due(began);
    assert_eq!(due(3000, DOUBTED_PAUSE), at(3050), "soon after a quiet time");
    assert_eq!((due(100, DOUBTED_PAUSE), due(900, DOUBTED_PAUSE)), (at(1000), at(1000)));
    assert_eq!((due(100, CHANGED_PAUSE), due(480, CHANGED_PAUSE)), (at(500), at(530)));
}

#[tokio::test]
async fn the_most_urgent_of_those_who_ask_counts_and_so_does_the_first() {
    let (catalogs, database) = catalogs();
    let asked = || catalogs.lock()["app"].asked;
    let start = Instant::now();
    catalogs.missed("app", start);
    assert_eq!(asked(), Some(Asked { at: start, pause: DOUBTED_PAUSE }));
    catalogs.stale("app", Changed::Code);
    catalogs.doubt("app");
    assert_eq!(asked(), Some(Asked { at: start, pause: CHANGED_PAUSE }));
    catalogs.begin(&database, Instant::now()).unwrap();
    assert_eq!(asked(), None);
}

#[test]
fn another_primary_is_another_server_or_timeline() {
    let (a, b) = (ServerId(0), ServerId(1));
    assert!(is_other((b, Some(1)), (a, Some(1))) && is_other((a, Some(2)), (a, Some(1))));
    assert!(!is_other((a, Some(1)), (a, Some(1))));
    assert!(!is_other((a, None), (a, Some(1))) && !is_other((a, Some(1)), (a, None)));
}

#[tokio::test]
async fn writes_from_before_a_different_snapshot_count_as_unknown() {
    let (catalogs, database) = catalogs();
    let with = |read: Reach| {
        let mut catalog = catalog();
        let relation = Relation { written: Reach::Everything, read };
        catalog.add_relation("public", "t", &relation, Volatility::ReadOnly);
        catalog
    };
    let since = || catalogs.of("app").unwrap().since;
    let start = Instant::now();
    catalogs.publish(&database, Seen::default(), with(Reach::Everything));
    let first = since().unwrap();
    assert!(first >= start + MARKING && first <= Instant::now() + MARKING);
    catalogs.publish(&database, Seen::default(), with(Reach::Everything));
    assert_eq!(since(), Some(first), "nothing changed");
    catalogs.publish(&database, Seen::default(), with(Reach::These(Box::default())));
    let second = since().unwrap();
    assert!(second > first);
    catalogs.stale("app", Changed::Code);
    assert_eq!(since(), None);
    catalogs.publish(
        &database,
        Seen { changes: 1, doubts: 0, code: 1, gone: 1 },
        with(Reach::These(Box::default())),
    );
    assert!(since().unwrap() > second, "what was marked meanwhile was marked without a snapshot");
}

#[tokio::test]
async fn without_sessions_a_catalog_is_kept_for_a_while_and_not_for_ever() {
    let (catalogs, database) = catalogs();
    catalogs.publish(&database, Seen::default(), catalog());
    let interest = catalogs.lock().get_mut(&database).unwrap().share();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(catalogs.begin(&database, at(10_000)).is_some(), "somebody has an interest");
    drop(interest);
    assert!(catalogs.begin(&database, at(10_299)).is_some());
    assert!(catalogs.of("app").is_some());
    assert!(catalogs.begin(&database, at(10_300)).is_none());
    assert!(catalogs.of("app").is_none() && catalogs.lock().is_empty());
}

#[tokio::test]
async fn databases_that_nobody_uses_keep_no_other_out() {
    let catalogs = Arc::new(catalogs().0);
    let reader = || Reader { user: "app".into(), login: Login::trusted("app".into()) };
    let want = |database: &str| catalogs.want_as(database, reader);
    for n in 0..2 * DATABASES_MAX {
        assert!(want(&n.to_string()).is_some(), "{n}");
    }
    let held: Vec<_> = (0..DATABASES_MAX).map(|n| want(&format!("held {n}"))).collect();
    assert!(held.iter().all(Option::is_some) && want("more").is_none());
    assert!(want("held 7").is_some());
}

#[tokio::test]
async fn a_database_that_nobody_wants_is_not_published() {
    let (catalogs, database) = catalogs();
    catalogs.close();
    catalogs.publish(&database, Seen::default(), catalog());
    catalogs.stale("app", Changed::Code);
    assert!(catalogs.of("app").is_none());
}
