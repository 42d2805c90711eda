//! What Patroni's `GET /cluster` says: its members, and whether anybody is to be believed gone. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::found::Found;

/// Why members take no reads.
const TAGGED: &str = "noloadbalance";
const STOPPED: &str = "it does not run";

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// The members that have PostgreSQL to speak of.
    pub(super) list: Vec<Found>,
    /// The cluster's name, where it tells.
    pub(super) scope: Option<String>,
    /// Who leads, by its name. In a standby cluster that is no primary.
    pub(super) leader: Option<String>,
    /// Whether it is left alone: Patroni may be stopped then where PostgreSQL goes on.
    pub(super) is_paused: bool,
}

/// Reads an answer. A member that never ran may be known already from before, by `known`: it stays then.
pub(super) fn members(text: &[u8], known: &BTreeSet<String>) -> Result<Members, String> {
    let whole: Value = serde_json::from_slice(text).map_err(|_| "the answer is no JSON".to_owned())?;
    let listed = whole.get("members").and_then(Value::as_array);
    let listed = listed.ok_or("the answer has no list of members")?;
    let mut found = Members {
        scope: text_of(&whole, "scope").map(str::to_owned),
        is_paused: whole.get("pause").and_then(Value::as_bool).unwrap_or(false),
        ..Members::default()
    };
    for member in listed {
        let (Some(name), Some(host)) = (text_of(member, "name"), text_of(member, "host")) else { continue };
        let port = member.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let role = text_of(member, "role").unwrap_or_default();
        if matches!(role, "leader" | "standby_leader" | "master" | "primary") {
            found.leader = Some(name.to_owned());
        }
        let state = text_of(member, "state").unwrap_or_default();
        let runs = matches!(state, "running" | "streaming" | "in archive recovery");
        // One that is being made is no server yet. One that was there stays, whatever it is doing.
        if !runs && !known.contains(name) {
            continue;
        }
        let tags = member.get("tags").and_then(Value::as_object);
        let is_tagged = |tag: &str| tags.and_then(|tags| tags.get(tag)).is_some_and(is_set);
        let quiet = if is_tagged("noloadbalance") { Some(TAGGED) } else { (!runs).then_some(STOPPED) };
        found.list.push(Found {
            name: plain(name),
            host: plain(host),
            address: None,
            port: port.unwrap_or(5432),
            entry: None,
            said: plain(&[role.to_owned(), state.to_owned(), shown(tags)].join(" ")).trim_end().to_owned(),
            quiet,
        });
    }
    Ok(found)
}

fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Bool(set) => *set,
        Value::String(text) => matches!(text.to_ascii_lowercase().as_str(), "true" | "on" | "yes" | "1"),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The tags that are set, by their names.
fn shown(tags: Option<&Map<String, Value>>) -> String {
    let set = tags.into_iter().flatten().filter(|(_, value)| is_set(value)).map(|(tag, _)| tag.as_str());
    set.collect::<Vec<_>>().join(" ")
}

/// A name of another's making, for logs, metrics and tables.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, known: &[&str]) -> Members {
        members(text.as_bytes(), &known.iter().map(|name| (*name).to_owned()).collect()).unwrap()
    }

    /// As Patroni 4 says it.
    const CLUSTER: &str = r#"{"members": [
        {"name": "pg1", "role": "leader", "state": "running", "api_url": "http://10.0.0.1:8008/patroni", "host": "10.0.0.1",
         "port": 5432, "timeline": 5, "tags": {"clonefrom": true}},
        {"name": "pg2", "role": "sync_standby", "state": "streaming", "api_url": "http://10.0.0.2:8008/patroni",
         "host": "10.0.0.2", "port": 5433, "timeline": 5, "lag": 0},
        {"name": "pg3", "role": "replica", "state": "streaming", "api_url": "http://10.0.0.3:8008/patroni", "host": "10.0.0.3",
         "port": 5432, "timeline": 5, "lag": 0, "tags": {"noloadbalance": true, "nofailover": "on", "nosync": false}},
        {"name": "pg4", "role": "replica", "state": "creating replica", "api_url": "http://10.0.0.4:8008/patroni",
         "host": "10.0.0.4", "port": 5432, "lag": "unknown"}],
        "scope": "batman", "scheduled_switchover": {"at": "2026-09-24T10:36:00+02:00", "from": "pg1"}}"#;

    #[test]
    fn members_that_run_are_servers() {
        let found = read(CLUSTER, &[]);
        assert_eq!((found.scope.as_deref(), found.leader.as_deref()), (Some("batman"), Some("pg1")));
        assert!(!found.is_paused);
        let told: Vec<_> =
            found.list.iter().map(|one| (&*one.name, &*one.host, one.port, &*one.said)).collect();
        assert_eq!(
            told,
            [
                ("pg1", "10.0.0.1", 5432, "leader running clonefrom"),
                ("pg2", "10.0.0.2", 5433, "sync_standby streaming"),
                ("pg3", "10.0.0.3", 5432, "replica streaming nofailover noloadbalance"),
            ]
        );
        let quiet: Vec<_> = found.list.iter().map(|one| one.quiet).collect();
        assert_eq!(quiet, [None, None, Some(TAGGED)]);
    }

    #[test]
    fn one_that_was_there_stays_while_it_does_not_run() {
        let found = read(CLUSTER, &["pg4"]);
        assert_eq!(found.list.last().map(|one| (&*one.name, one.quiet)), Some(("pg4", Some(STOPPED))));
    }

    #[test]
    fn a_standby_cluster_has_a_leader_that_is_none() {
        let text = r#"{"members": [{"name": "a", "role": "standby_leader", "state": "in archive recovery", "host": "h"}],
                       "pause": true}"#;
        let found = read(text, &[]);
        assert_eq!((found.leader.as_deref(), found.is_paused, found.list.len()), (Some("a"), true, 1));
        assert_eq!((found.list[0].port, &found.list[0].quiet), (5432, &None));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let nobody = BTreeSet::new();
        for text in ["", "<html>", "[]", "{}", r#"{"members": {}}"#] {
            assert!(members(text.as_bytes(), &nobody).is_err(), "{text}");
        }
        // A member that has not said yet where it is; a name that would break a line.
        let odd = r#"{"members": [{"name": "a", "role": "replica", "state": "running"},
                                  {"name": "b\nc", "role": "leader", "state": "running", "host": "h"}]}"#;
        assert_eq!(read(odd, &[]).list.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["bc"]);
    }
}
