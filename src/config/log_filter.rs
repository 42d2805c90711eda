//! What is logged, in the words of `tracing`'s filters. Those take any word for the name of some module, so that a typing error
//! in a level silences everything: here such a word is a mistake.

use config::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::kinds::text;
use super::section::closest;

/// The modules that log, each with all that is in it.
const ROOMS: [&str; 23] = [
    "admin",
    "backend",
    "cluster",
    "config",
    "console",
    "discovery",
    "error",
    "freshness",
    "frontend",
    "hba",
    "import",
    "init",
    "net",
    "pool",
    "router",
    "scram",
    "server",
    "session",
    "sql",
    "telemetry",
    "top",
    "users",
    "wire",
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A filter that lets something of weir's through, or says that nothing is to be logged.
pub(super) fn log_filter(value: &Value) -> Result<String, String> {
    let filter = text(value)?;
    EnvFilter::builder().parse(&filter).map_err(|error| error.to_string())?;
    let directives = filter.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let heard = directives.map(speaks_of_weir).collect::<Result<Vec<_>, _>>()?;
    if !heard.contains(&true) {
        let words = "says nothing of weir, so that nothing of it would be logged; begin with a level";
        return Err(format!("{words}, such as info"));
    }
    Ok(filter)
}

/// Whether a directive counts for what weir logs.
fn speaks_of_weir(directive: &str) -> Result<bool, String> {
    let target = directive.split(['[', '=']).next().unwrap_or_default();
    let is_bare = target.len() == directive.len();
    if target.is_empty() || (is_bare && target.parse::<LevelFilter>().is_ok()) {
        return Ok(true);
    }
    let mut parts = target.split("::");
    // Targets are compared by their beginnings.
    match (parts.next(), parts.next()) {
        (Some("weir"), Some(room)) if !ROOMS.iter().any(|known| known.starts_with(room)) => {
            let known = || format!("there are {}", ROOMS.join(", "));
            let meant = closest(room, &ROOMS).map_or_else(known, |room| format!("did you mean {room}?"));
            Err(format!("weir has no module {room:?}; {meant}"))
        }
        (Some("weir"), _) => Ok(true),
        _ if is_bare => {
            let known = || format!("levels are {}", LEVELS.join(", "));
            let words = [&LEVELS[..], &["weir"]].concat();
            let meant = closest(target, &words).map_or_else(known, |word| format!("did you mean {word}?"));
            Err(format!("{target:?} is no level and no module of weir's; {meant}"))
        }
        (Some(root), _) if closest(root, &["weir"]).is_some() => {
            Err(format!("{root:?} is no module; did you mean weir?"))
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_of_the_house_can_be_named() {
        let map = include_str!("../lib.rs");
        let modules = map.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        let mut rooms: Vec<&str> = modules.collect();
        rooms.sort_unstable();
        assert_eq!(rooms, ROOMS);
    }
}
