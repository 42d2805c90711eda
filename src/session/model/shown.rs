//! What `SHOW` says of weir's own settings, in words in which a server says it.
//!
//! Pure.

use std::fmt::Write as _;
use std::time::Instant;

use crate::backend::value::literal;
use crate::cluster::topology::{Health, Role, Server, ServerId, Topology};
use crate::freshness::Lsn;
use crate::router::Decision;
use crate::session::model::weir_settings::{
    self as own, REFUSER, UNCOMMITTED, UNKNOWN, WeirSetting, refused_value,
};
use crate::sql::{StandardConformingStrings, Statement, Verdict, split_statements};

/// What is said of weir's own settings.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    values: Vec<(WeirSetting, String)>,
    /// Where the last request went that did not only ask for this, and why.
    pub(crate) last: Option<(ServerId, Decision)>,
    /// How the lexer reads backslashes.
    pub(crate) strings: StandardConformingStrings,
}

impl Shown {
    /// The text for the server in the place of a simple query: statements about weir's own settings in the server's
    /// words, and behind each one what `more` wants to follow it.
    pub(crate) fn queried_as(
        &self,
        sql: &[u8],
        verdict: &Verdict,
        more: impl Fn(&Statement) -> Vec<String>,
    ) -> Option<Vec<u8>> {
        let others = |statement| (own::in_servers_words(statement, Some(self)), more(statement));
        let others: Vec<_> = verdict.statements.iter().map(others).collect();
        if others.iter().all(|(other, more)| other.is_none() && more.is_empty()) {
            return None;
        }
        let texts = split_statements(sql, self.strings).ok().filter(|texts| texts.len() == others.len())?;
        let mut all = Vec::new();
        for ((other, more), text) in others.into_iter().zip(texts) {
            all.push(other.map_or(text.to_vec(), String::into_bytes));
            all.extend(more.into_iter().map(String::into_bytes));
        }
        Some(all.join(&b"; "[..]))
    }

    /// A statement to be run right in front of the execution of one that shows a setting, in the same transaction.
    pub(crate) fn in_front_of(&self, verdict: &Verdict) -> Option<String> {
        let own = verdict.statements.first().and_then(own::shown)?;
        let (name, value) = match self.value(own) {
            Some(sample) if own == WeirSetting::Lsn => (own.name(), position_then(&literal(sample))),
            Some(value) => (own.name(), literal(value)),
            None => (REFUSER, refused_value(own.name(), UNKNOWN)),
        };
        Some(format!("SELECT pg_catalog.set_config('{name}', {value}, true)"))
    }

    /// A statement that says the value by itself.
    pub(crate) fn at_once(&self, own: WeirSetting) -> String {
        match (self.value(own), own) {
            (Some(json), WeirSetting::Freshness) => own::freshness_table(&literal(json)),
            (Some(sample), WeirSetting::Lsn) => {
                format!("SELECT {} AS \"{}\"", position_then(&literal(sample)), own.name())
            }
            (Some(value), _) => {
                format!("SELECT {}::pg_catalog.text AS \"{}\"", literal(value), own.name())
            }
            (None, _) => format!("SET {REFUSER} TO {}", refused_value(own.name(), UNKNOWN)),
        }
    }

    fn value(&self, own: WeirSetting) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == own).map(|(_, value)| &**value)
    }

    /// Remembers a value, or that there is none.
    pub(crate) fn put(&mut self, own: WeirSetting, value: Option<String>) {
        self.values.retain(|(known, _)| *known != own);
        self.values.extend(value.map(|value| (own, value)));
    }
}

/// An expression for the position that covers all that was acknowledged before it is evaluated. `sample` was taken when
/// the request arrived, and is all that a replica can tell. The primary has its own: what the same request, or the same
/// batch, has committed further in front lies at or before that. It says no where the transaction has written: that is
/// going to be committed behind whatever it could tell.
fn position_then(sample: &str) -> String {
    let uncommitted = refused_value(WeirSetting::Lsn.name(), UNCOMMITTED);
    format!(
        "CASE WHEN pg_catalog.pg_is_in_recovery() THEN {sample}::pg_catalog.text \
         WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL \
         THEN pg_catalog.set_config('{REFUSER}', {uncommitted}, true) \
         ELSE pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text END"
    )
}

/// `replica1 (replica, read)`.
pub(crate) fn route(topology: &Topology, (server, decision): (ServerId, Decision)) -> String {
    let name = topology.server(server).map_or("", |server| &server.name);
    format!("{name} ({}, {})", decision.route.as_str(), decision.reason)
}

/// A JSON array with an object for each server. `position` is the primary's.
pub(crate) fn freshness(topology: &Topology, position: Option<Lsn>, now: Instant) -> String {
    let rows: Vec<_> = topology.servers.iter().map(|server| row(server, position, now)).collect();
    format!("[{}]", rows.join(","))
}

fn row(server: &Server, position: Option<Lsn>, now: Instant) -> String {
    let role = match server.role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Unknown => "unknown",
    };
    let state = match server.health {
        Health::Up => "up",
        Health::Down => "down",
        Health::Untried => "untried",
    };
    let freshness = &server.freshness;
    let (staleness, lag, replayed) = match server.role {
        Role::Primary => (position.map(|_| 0), position.map(|_| 0), position),
        _ => {
            let age = |through| now.saturating_duration_since(through).as_millis();
            let replayed = freshness.sampled().map(|_| freshness.replayed());
            (freshness.through().map(age), freshness.behind(), replayed)
        }
    };
    let null = || "null".to_owned();
    format!(
        r#"{{"server":{},"role":"{role}","state":"{state}","staleness_ms":{},"lag_bytes":{},"replayed":{}}}"#,
        json_string(&server.name),
        staleness.map_or_else(null, |staleness| staleness.to_string()),
        lag.map_or_else(null, |lag| lag.to_string()),
        replayed.map_or_else(null, |replayed| format!("\"{replayed}\"")),
    )
}

fn json_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Writing to a String cannot fail.
            c if c.is_control() => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::freshness::Freshness;
    use crate::router::{Reason, Route};
    use crate::sql::Classifier;

    fn server(id: u16, name: &str, role: Role, freshness: Freshness) -> Server {
        Server {
            id: ServerId(id),
            name: name.into(),
            weight: 1,
            role,
            health: Health::Up,
            timeline: None,
            version: None,
            recovered: None,
            trouble: None,
            load: Arc::default(),
            freshness: Arc::new(freshness),
        }
    }

    #[test]
    fn each_server_is_told_with_what_is_known_of_it() {
        let now = Instant::now();
        let known = Freshness::new(now);
        known.publish(now, Lsn(0x300), 16, Some(now));
        let unknown = server(2, "c\"\n", Role::Replica, Freshness::new(now));
        let topology = Topology {
            servers: vec![
                server(0, "a", Role::Primary, Freshness::new(now)),
                server(1, "b", Role::Replica, known),
                Server { health: Health::Down, ..unknown },
            ],
        };
        let expected = r#"[{"server":"a","role":"primary","state":"up","staleness_ms":0,"lag_bytes":0,"replayed":"0/310"},{"server":"b","role":"replica","state":"up","staleness_ms":7,"lag_bytes":16,"replayed":"0/300"},{"server":"c\"\u000a","role":"replica","state":"down","staleness_ms":null,"lag_bytes":null,"replayed":null}]"#;
        assert_eq!(freshness(&topology, Some(Lsn(0x310)), now + Duration::from_millis(7)), expected);
        let last = (ServerId(1), Decision { route: Route::Replica, reason: Reason::Read });
        assert_eq!(route(&topology, last), "b (replica, read)");
    }

    #[test]
    fn a_query_gets_the_values_where_it_asks_for_them() {
        let mut answers = Shown::default();
        answers.put(WeirSetting::Lsn, Some("0/1".to_owned()));
        answers.put(WeirSetting::Consistency, Some("global".to_owned()));
        let queried = |sql: &str| {
            let verdict = Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On);
            answers
                .queried_as(sql.as_bytes(), &verdict, |_| Vec::new())
                .map(|sql| String::from_utf8(sql).unwrap())
        };
        let lsn = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0/1'::pg_catalog.text \
            WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL \
            THEN pg_catalog.set_config('client_min_messages', 'weir.lsn = uncommitted', true) \
            ELSE pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text END AS \"weir.lsn\"";
        assert_eq!(queried("show weir.LSN").as_deref(), Some(lsn));
        assert_eq!(queried("SELECT ';' ; SHOW weir.lsn;"), Some(format!("SELECT ';'; {lsn}")));
        let shown = "SELECT 'global'::pg_catalog.text AS \"weir.consistency\"";
        assert_eq!(queried("SHOW weir.consistency").as_deref(), Some(shown));
        assert_eq!(queried("SET weir.target = primary").as_deref(), Some("SET weir.target TO 'primary'"));
        assert_eq!(
            queried("SET LOCAL weir.max_staleness = -1").as_deref(),
            Some("SET LOCAL weir.max_staleness TO '-1'")
        );
        let refused = "SET client_min_messages TO 'weir.consistency = bo''gus'";
        assert_eq!(queried("SET weir.consistency = 'bo''gus'").as_deref(), Some(refused));
        let refused = "SET client_min_messages TO 'weir.route = unknown'";
        assert_eq!(queried("SHOW weir.route").as_deref(), Some(refused), "of which nothing is known");
        let refused = "SELECT pg_catalog.set_config('client_min_messages', 'weir.foo = 1', false)";
        assert_eq!(queried("SELECT set_config('weir.foo', '1', true)").as_deref(), Some(refused));
        for sql in ["SELECT 1", "SHOW work_mem", "SHOW weir.foo", "RESET weir.target", "SET x.y = 1", ""] {
            assert_eq!(queried(sql), None, "{sql}");
        }
    }
}
