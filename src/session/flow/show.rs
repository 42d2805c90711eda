//! What `SHOW` says of weir's own settings: found out before the request is written, or when it is.

use std::time::{Duration, Instant};

use crate::cluster::Demand;
use crate::error::{Error, Result};
use crate::freshness::Lsn;
use crate::session::conversation::Conversation;
use crate::session::conversation::routing_settings::WeirSettings;
use crate::session::flow::plan::Manner;
use crate::session::flow::server_rows::{freshness, route};
use crate::session::leg::Leg;
use crate::session::model::weir_settings::{self as own, WeirSetting};
use crate::session::relay::request::Request;
use crate::sql::{Hint, Kind, MaxStaleness};
use crate::wire::TxStatus;

/// How long a look at all servers waits for news of the primary. Without any it tells what is known.
const LOOK: Duration = Duration::from_millis(100);

/// The least that a client waits for the primary's position, however short the patience for a new primary is.
const SAMPLE_WAIT: Duration = Duration::from_secs(1);

/// Whether a request shows any of weir's own settings.
pub(crate) fn shows(request: &Request) -> bool {
    request.statements().any(|statement| own::shown(statement).is_some())
}

/// How long the primary is asked where it is, for what this request shows; none when it shows nothing of that.
pub(crate) fn sample_wait(request: &Request, primary_wait: Duration) -> Option<Duration> {
    let shows = |own| request.statements().filter_map(own::shown).any(|shown| shown == own);
    if shows(WeirSetting::Lsn) {
        Some(primary_wait.max(SAMPLE_WAIT))
    } else {
        shows(WeirSetting::Freshness).then_some(LOOK)
    }
}

/// The primary's position as it was asked for from now on. Cancel safe.
///
/// # Errors
/// [`Error::NoPosition`] when it was not told within `limit`.
pub(crate) async fn sampled_within(demand: &Demand, limit: Duration) -> Result<Lsn> {
    let now = Instant::now();
    let _wanted = demand.want(now);
    let sample = async {
        loop {
            let news = demand.news();
            match demand.position() {
                Some((position, asked)) if asked >= now => return position,
                _ => news.await,
            }
        }
    };
    tokio::time::timeout(limit, sample).await.map_err(|_| Error::NoPosition)
}

/// Enters what a request is going to be told of weir's own settings. `sample` is the primary's position.
pub(crate) fn enter(conversation: &mut Conversation, request: &Request, sample: Option<Lsn>) {
    conversation.refresh_routing();
    let startup = conversation.state.settings().own_startup().clone();
    let mut settings = conversation.state.settings().own().clone();
    for statement in request.statements() {
        // What the same request sets first is shown as it will be then.
        for setting in own::weir_settings(statement) {
            let value = own::value_of(setting).or_else(|| startup.get(&setting.name).cloned());
            settings = settings.with(&setting.name, value);
        }
        if let Some(own) = own::shown(statement) {
            let weir = WeirSettings::of(&settings, &startup);
            let value = value_of(conversation, own, &weir, &request.hint(), sample);
            conversation.state.shown.put(own, value);
        }
    }
}

/// Enters where the transaction runs in which a request is about to be written to this connection, if it shows that.
pub(crate) fn enter_transaction(
    conversation: &mut Conversation,
    leg: &Leg,
    request: &Request,
    manner: Manner,
) {
    let mut status = conversation.state.transaction.status();
    let mut word = None;
    for statement in request.statements() {
        match &statement.kind {
            Kind::Begin(_) => status = TxStatus::Open,
            kind @ (Kind::Commit { .. } | Kind::Rollback { .. }) if !kind.chains() => status = TxStatus::Idle,
            _ if own::shown(statement) == Some(WeirSetting::Transaction) => {
                word = Some(match (status, manner) {
                    (TxStatus::Idle, _) => "none",
                    (_, Manner::Alone) => "lazy",
                    _ => leg.route.as_str(),
                });
            }
            _ => {}
        }
    }
    if let Some(word) = word {
        conversation.state.shown.put(WeirSetting::Transaction, Some(word.to_owned()));
    }
}

fn value_of(
    conversation: &Conversation,
    own: WeirSetting,
    weir: &WeirSettings,
    hint: &Hint,
    sample: Option<Lsn>,
) -> Option<String> {
    let levels = conversation.levels(weir, hint);
    let cluster = &conversation.shared.cluster;
    let topology = cluster.topology();
    Some(match own {
        WeirSetting::Target => {
            let fixed = weir.target(&conversation.who.targets).map(|fixed| fixed.target);
            hint.target.or(fixed).unwrap_or_default().as_str().to_owned()
        }
        // No rule is asked: what it would say depends on the statement that begins the transaction.
        WeirSetting::Transactions => {
            weir.transactions(hint, &conversation.who.transactions, None).as_str().to_owned()
        }
        WeirSetting::Consistency => levels.consistency.as_str().to_owned(),
        WeirSetting::MaxStaleness => MaxStaleness::from(levels.max_staleness).to_string(),
        WeirSetting::MinLsn => levels.min_lsn.unwrap_or_default().to_string(),
        WeirSetting::Lsn => sample?.to_string(),
        // It is known when the request is written.
        WeirSetting::Transaction => return None,
        WeirSetting::Route => conversation.last_route.map_or_else(String::new, |last| route(&topology, last)),
        WeirSetting::Freshness => {
            let position = sample.or(cluster.demand().position().map(|(lsn, _)| lsn));
            freshness(&topology, position, Instant::now())
        }
    })
}
