//! Servers that are found, while weir runs: looks again and again, and has the cluster take over who comes and goes.
//!
//! What the configuration says and what was found are put together here, under one lock, so that a reload and a look never
//! contradict each other. An empty list is never set: servers that nobody knows of may still be there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::config::{Config, Server, Source};
use crate::discovery::{Finder, Found, Look, Member, News, Report, Roll, servers};
use crate::session::Shared;
use crate::telemetry::metrics::Metrics;

/// How long the start waits for the first answer.
const FIRST: Duration = Duration::from_secs(10);

/// How soon it is looked again at the earliest, whatever the answers say.
const SOONEST: Duration = Duration::from_millis(50);

/// The servers that are found.
pub(super) struct Finding {
    book: Mutex<Book>,
    /// Another configuration holds.
    anew: Notify,
}

/// What is known.
struct Book {
    config: Arc<Config>,
    roll: Roll,
    /// When there was an answer last.
    answered: Option<Instant>,
    report: Report,
}

/// Who looks, and by what.
pub(super) struct Looking {
    finder: Finder,
    source: Source,
    next: Duration,
}

impl Looking {
    fn by(source: &Source) -> Self {
        Self { finder: Finder::new(source), source: source.clone(), next: Duration::ZERO }
    }
}

impl Finding {
    /// Nobody is known yet.
    pub(super) fn new(config: Arc<Config>) -> Arc<Self> {
        let book = Book { config, roll: Roll::default(), answered: None, report: Report::default() };
        Arc::new(Self { book: Mutex::new(book), anew: Notify::new() })
    }

    /// Looks for the first time. The servers to begin with: who was found, else those of the configuration.
    pub(super) async fn first_look(&self) -> (Vec<Server>, Looking) {
        let config = self.lock().config.clone();
        let mut looking = Looking::by(&config.discovery.source);
        if config.discovery.finds() {
            let look = timeout(FIRST, looking.finder.look(&config, &BTreeSet::new())).await;
            let look = look.unwrap_or_else(|_| Look {
                troubles: vec!["no answer in time".to_owned()],
                next: Duration::ZERO,
                ..Look::default()
            });
            let (next, news) = self.lock().take(look);
            looking.next = next;
            news.iter().for_each(|one| tell(one, None));
        }
        let book = self.lock();
        (servers(&book.config, &book.roll), looking)
    }

    /// Another configuration holds from now on, for the servers that were found as for those that are listed.
    pub(super) fn obey(&self, config: &Arc<Config>, cluster: &Cluster) {
        let mut book = self.lock();
        let kind = |config: &Config| std::mem::discriminant(&config.discovery.source);
        if kind(&book.config) != kind(config) {
            (book.roll, book.answered, book.report) = (Roll::default(), None, Report::default());
        }
        book.config = config.clone();
        book.set(cluster);
        self.anew.notify_one();
    }

    /// Looks for ever.
    pub(super) async fn run(self: Arc<Self>, mut looking: Looking, shared: Arc<Shared>) {
        loop {
            let pause = async {
                match looking.source {
                    Source::Static => std::future::pending().await,
                    Source::Dns { .. } | Source::Patroni(_) => tokio::time::sleep(looking.next).await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = self.anew.notified() => {}
            }
            let (config, known) = self.lock().known();
            if config.discovery.source != looking.source {
                looking = Looking::by(&config.discovery.source);
            }
            if config.discovery.finds() {
                let look = looking.finder.look(&config, &known).await;
                looking.next = self.conclude(look, &config, &shared);
            }
        }
    }

    /// Takes in what a look brought, unless there is another way to look by now. When to look again.
    fn conclude(&self, look: Look, asked: &Config, shared: &Shared) -> Duration {
        let leader = look.leader.clone();
        let mut book = self.lock();
        if book.config.discovery.source != asked.discovery.source {
            return Duration::ZERO;
        }
        let before = book.report.troubles.clone();
        let (next, news) = book.take(look);
        book.set(&shared.cluster);
        let troubles = book.report.troubles.clone();
        drop(book);
        news.iter().for_each(|one| tell(one, Some(shared)));
        for trouble in troubles.iter().filter(|trouble| !before.contains(trouble)) {
            tracing::warn!(
                error = trouble,
                "servers are looked for, and not all who were asked answer; who is known stays"
            );
            shared.board.happens("discovery", "", trouble.as_str());
        }
        if troubles.is_empty() && !before.is_empty() {
            tracing::info!("servers are looked for, and all who were asked answer again");
            shared.board.happens("discovery", "", "all answer again");
        }
        if let Some(leader) = leader {
            // Who it is the servers say themselves; that it is time to ask them is worth knowing.
            tracing::info!(server = leader, "Patroni names another leader");
            shared.board.happens("discovery", &leader, "is the leader, says Patroni");
            shared.look_at_servers();
        }
        next
    }

    /// Has figures tell whether all answer who are asked.
    pub(super) fn watch_figures(self: &Arc<Self>, metrics: &Metrics) {
        let finding = self.clone();
        metrics.before_scrape(move |metrics| metrics.background.set_discovery(finding.lock().looked()));
    }

    /// What went wrong first when it was looked last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().report.troubles.first().cloned()
    }

    /// How it stands.
    pub(super) fn report(&self) -> Report {
        let (book, now) = (self.lock(), Instant::now());
        let age = book.answered.map(|at| now.saturating_duration_since(at));
        Report { kind: book.kind(), age, members: Member::all(&book.roll, now), ..book.report.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn kind(&self) -> &'static str {
        match self.config.discovery.source {
            Source::Static => "static",
            Source::Dns { .. } => "dns",
            Source::Patroni(_) => "patroni",
        }
    }

    /// Whether all who were asked at the last look answered, and by which kind of looking; where somebody is asked.
    fn looked(&self) -> Option<(&'static str, bool)> {
        let answered = self.report.troubles.is_empty() && self.answered.is_some();
        self.config.discovery.finds().then(|| (self.kind(), answered))
    }

    fn known(&self) -> (Arc<Config>, BTreeSet<String>) {
        let names = self.roll.list().iter().map(|listed| listed.found.name.clone());
        (self.config.clone(), names.collect())
    }

    fn take(&mut self, look: Look) -> (Duration, Vec<News>) {
        let Look { found, is_paused, source, hosts, troubles, next, .. } = look;
        let (now, keep) = (Instant::now(), self.config.discovery.keep);
        let answered = !found.is_empty();
        let news = self.roll.take(found, (!is_paused).then_some(keep), now);
        if answered {
            self.answered = Some(now);
        }
        let source = source.or(self.report.source.take());
        self.report = Report { source, hosts, troubles, is_paused, ..Report::default() };
        let departure = self.roll.next_departure(keep, now).filter(|_| answered && !is_paused);
        (departure.map_or(next, |departure| departure.min(next)).max(SOONEST), news)
    }

    fn set(&self, cluster: &Cluster) {
        let all = servers(&self.config, &self.roll);
        if !all.is_empty() {
            cluster.set_servers(&all);
        }
    }
}

/// Tells the log, and the board once there is one.
fn tell(news: &News, shared: Option<&Shared>) {
    let happens = |found: &Found, what: String| {
        tracing::info!(server = found.name, host = found.host, port = found.port, "server {what}");
        shared.iter().for_each(|shared| shared.board.happens("discovery", &found.name, what.as_str()));
    };
    let said = |found: &Found| match (&*found.said, found.quiet) {
        ("", _) => String::new(),
        (said, None) => format!(": {said}"),
        (said, Some(why)) => format!(": {said}; it takes no reads: {why}"),
    };
    match news {
        News::Come(found) => happens(found, format!("found{}", said(found))),
        News::Changed(found) => happens(found, format!("found to be another{}", said(found))),
        News::Missed(found) => happens(found, "not found any more; it stays for a while".to_owned()),
        News::Gone(found) => happens(found, "not found for long, and taken out".to_owned()),
        News::Nobody => tracing::debug!("no server was found; those that are known stay"),
        News::TooMany => tracing::error!("more servers were found than weir takes in; some are passed over"),
    }
}
