//! Where statements would go now: `/explain`, which `weir explain --on` asks.
//!
//! Everybody who reaches the address may ask, as for `/status`. So it tells nothing of whether a user is known, asks no server, has
//! no catalog read that is not there already, and leaves no verdict in the cache.

use std::time::{Duration, Instant};

use crate::admin::Question;
use crate::router::{self, Answer, Learned, Replicas, SessionView, World};
use crate::session::Shared;

/// What is known of a question at this moment.
pub(super) fn explain(shared: &Shared, question: &Question) -> String {
    let policy = arc_swap::Guard::into_inner(shared.policy());
    let config = &policy.config;
    let listed = config.databases.iter().find(|one| *one.name == *question.database);
    let database = listed.map_or(&*question.database, |one| &*one.server_database);
    let catalog = shared.cluster.catalogs().of(database);
    let known = shared.known_database(database);
    let nothing = Learned::new(0, Duration::ZERO);
    let up = shared.cluster.topology().replicas().count();
    let world = World {
        replicas: if up == 0 { Replicas::None } else { Replicas::Usable },
        catalog: catalog.as_deref(),
        learned: known.as_ref().map_or(&nothing, |known| &known.learned),
        rules: &config.routing.rules,
        functions: &policy.functions,
        now: Instant::now(),
    };
    let (target, begins) = router::fixed(config, &question.user, &question.database);
    let begun = SessionView::begun(&question.user, &question.database, &question.application_name);
    let session = SessionView { target, ..begun };
    let classifier = shared.classifier.beside();
    let Answer { text, conditions, notes } =
        router::answer(&question.sql, &classifier, session, &world, begins);
    let replicas = match up {
        0 => "No replica is up now".to_owned(),
        1 => "1 replica is up now".to_owned(),
        up => format!("{up} replicas are up now"),
    };
    let catalog = match (&catalog, database) {
        (Some(_), database) => format!("the catalog of database {database:?} is known"),
        (None, "") => "no database was named whose catalog could be looked at".to_owned(),
        (None, database) => format!("no catalog of a database {database:?} is known, as nobody works there"),
    };
    format!("{text}\nAs weir runs now, {conditions}.\n{replicas}; {catalog}.\nNo server was asked.\n{notes}")
}
