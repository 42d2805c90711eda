//! Failures that no client should see: everything happens to the servers, clients go on, and an oracle judges.
//!
//! `cargo test --test failures` plays a minute of it, chosen and ordered by a seed. With `--release` and `-- --nocapture`:
//!
//! - `WEIR_FAILURES=all`: every scenario once; `WEIR_FAILURES='split brain; switchover'`: these;
//! - `WEIR_FAILURES_MINUTES=10`: scenarios by chance for that long;
//! - `WEIR_SOAK_MINUTES=60`: the same, and weir's memory, descriptors and metric lines must stay where they are;
//! - `WEIR_FAILURES_SEED=4711` repeats a run's choices.
//!
//! Cutting cables and filling a disk need namespaces of one's own, and those need root. Without, these scenarios are
//! skipped, and the run says so.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Dice, Result, apart};

mod bounds;
mod clients;
mod faults;
mod oracle;
mod report;
mod scenarios;
mod soak;
mod stage;

use scenarios::{Needs, SCENARIOS, Scenario};
use soak::Soak;
use stage::Stage;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long the scenarios of a plain `cargo test` may take, without what is around them.
const MINUTE: u32 = 55;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    let value = variable(name)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// How a run chooses its scenarios.
enum Run {
    /// These, in this order.
    These(Vec<&'static Scenario>),
    /// Any, for so long.
    During(Duration),
    /// Any, for so long, while weir is watched.
    Soak(Duration),
}

impl Run {
    /// What the environment asks for.
    fn asked(dice: &mut Dice) -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        if let Some(names) = variable("WEIR_FAILURES") {
            return Self::These(named(&names));
        }
        match (number("WEIR_SOAK_MINUTES"), number("WEIR_FAILURES_MINUTES")) {
            (Some(time), _) => Self::Soak(minutes(time)),
            (None, Some(time)) => Self::During(minutes(time)),
            (None, None) => Self::These(a_minute(dice)),
        }
    }
}

fn named(names: &str) -> Vec<&'static Scenario> {
    let find = |name: &str| {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.unwrap_or_else(|| panic!("no scenario {name:?}"))
    };
    match names {
        "all" => SCENARIOS.iter().collect(),
        names => names.split(';').map(|name| find(name.trim())).collect(),
    }
}

/// As many as a minute holds.
fn a_minute(dice: &mut Dice) -> Vec<&'static Scenario> {
    let mut left: Vec<&Scenario> = SCENARIOS.iter().collect();
    let (mut chosen, mut seconds) = (Vec::new(), 0);
    while !left.is_empty() {
        let scenario = left.swap_remove(dice.index(left.len()));
        if seconds + scenario.seconds <= MINUTE {
            seconds += scenario.seconds;
            chosen.push(scenario);
        }
    }
    chosen
}

/// Plays one, and says how it was beyond its bound.
fn play(stage: &Stage, scenario: &Scenario, beyond: &mut Vec<String>) -> Result<()> {
    if scenario.needs == Needs::Apart && !apart::is_apart() {
        eprintln!("{:<42} skipped: it needs network namespaces or mounts", scenario.name);
        return Ok(());
    }
    let begun = Instant::now();
    let findings = stage.play(scenario.scene)?;
    let breaches = scenario.bound.breaches(&findings);
    report::print(scenario, &findings, &breaches, begun.elapsed());
    if !breaches.is_empty() {
        beyond.push(format!("{}: {}", scenario.name, breaches.join("; ")));
    }
    stage.heal()
}

/// Plays all that a run asks for; what was beyond its bounds.
fn run(run: Run, dice: &mut Dice) -> Result<Vec<String>> {
    let (stage, begun, mut beyond) = (Stage::set()?, Instant::now(), Vec::new());
    report::head();
    match run {
        Run::These(scenarios) => {
            scenarios.iter().try_for_each(|scenario| play(&stage, scenario, &mut beyond))?;
        }
        Run::During(time) => {
            while begun.elapsed() < time {
                play(&stage, dice.pick(SCENARIOS), &mut beyond)?;
            }
        }
        Run::Soak(time) => {
            let mut soak = Soak::default();
            while begun.elapsed() < time {
                play(&stage, dice.pick(SCENARIOS), &mut beyond)?;
                soak.note(&stage.weir)?;
            }
            soak.is_flat()?;
        }
    }
    Ok(beyond)
}

#[test]
fn failures_cost_what_they_may() -> Result<()> {
    if !apart::is_apart() {
        match apart::obstacle() {
            None => {
                let ended = apart::run_again(&["failures_cost_what_they_may", "--exact", "--nocapture"])?;
                assert!(ended.success(), "see above");
                return Ok(());
            }
            Some(why) => eprintln!("no cable is cut and no disk is filled: {why}"),
        }
    }
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let seed =
        number("WEIR_FAILURES_SEED").unwrap_or_else(|| u64::try_from(clock() % 1_000_000).unwrap_or(0));
    eprintln!("seed {seed}: WEIR_FAILURES_SEED={seed} repeats these choices");
    let mut dice = Dice::new(seed, 0);
    let asked = Run::asked(&mut dice);
    let beyond = run(asked, &mut dice)?;
    assert!(beyond.is_empty(), "beyond their bounds, seed {seed}:\n{}", beyond.join("\n"));
    Ok(())
}

/// What people read and what is played are the same list.
#[test]
fn the_documentation_has_the_same_list() {
    let page = include_str!("../../docs/failures.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| scenario |")).skip(2);
    let first = |row: &'static str| row.strip_prefix("| ").and_then(|row| row.split(" | ").next());
    let listed: Vec<&str> = rows.map_while(first).collect();
    let played: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    assert_eq!(listed, played);
}
