//! Failures that no client should see: everything happens to the servers, clients go on, and an oracle judges.
//!
//! `cargo test --test failures` plays a minute of it, chosen and ordered by a seed. With `--release` and `-- --nocapture`:
//!
//! - `WEIR_FAILURES=all`: every scenario once; `WEIR_FAILURES='split brain,switchover'`: these;
//! - `WEIR_FAILURES_MINUTES=10`: scenarios by chance for that long;
//! - `WEIR_SOAK_MINUTES=60`: the same, and weir's memory, descriptors and metric lines must stay where they are;
//! - `WEIR_FAILURES_SEED=4711` repeats a run's choices.
//!
//! Cutting cables and filling a disk need namespaces of one's own, and those need root. Without, these scenarios are
//! skipped, and the run says so.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use harness::{Dice, Result, apart};

mod bounds;
mod clients;
mod faults;
mod oracle;
mod report;
mod scenarios;
mod stage;

use scenarios::{Met, Needs, SCENARIOS, Scenario};
use stage::Stage;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long the scenarios of a plain `cargo test` may take, without what is around them.
const MINUTE: u32 = 50;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    let value = variable(name)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Which scenarios, in which order.
fn choose(dice: &mut Dice) -> Vec<&'static Scenario> {
    let asked = variable("WEIR_FAILURES");
    if let Some(asked) = asked {
        let names: Vec<&str> = asked.split(',').map(str::trim).collect();
        if names != ["all"] {
            let named = |name: &&str| SCENARIOS.iter().find(|scenario| scenario.name == *name);
            return names
                .iter()
                .map(|name| named(name).unwrap_or_else(|| panic!("no scenario {name:?}")))
                .collect();
        }
        return SCENARIOS.iter().collect();
    }
    let mut left: Vec<&Scenario> = SCENARIOS.iter().filter(|scenario| scenario.met == Met::Yes).collect();
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

/// Plays these, and says which of them were beyond their bounds.
fn play(scenarios: &[&'static Scenario], dice: &Dice) -> Result<Vec<String>> {
    let stage = Stage::set()?;
    let mut beyond = Vec::new();
    report::head();
    for scenario in scenarios {
        if scenario.needs == Needs::Apart && !apart::is_apart() {
            eprintln!("{:<42} skipped: it needs network namespaces or mounts", scenario.name);
            continue;
        }
        let begun = Instant::now();
        let findings = stage.play(scenario.scene, dice.clone())?;
        let breaches = scenario.bound.breaches(&findings);
        report::print(scenario, &findings, &breaches, begun.elapsed());
        if !breaches.is_empty() {
            beyond.push(format!("{}: {}", scenario.name, breaches.join("; ")));
        }
        stage.heal()?;
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
            Some(why) => eprintln!("nothing is cut or filled up: {why}"),
        }
    }
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let seed =
        number("WEIR_FAILURES_SEED").unwrap_or_else(|| u64::try_from(clock() % 1_000_000).unwrap_or(0));
    eprintln!("seed {seed}: WEIR_FAILURES_SEED={seed} repeats these choices");
    let mut dice = Dice::new(seed, 0);
    let chosen = choose(&mut dice);
    let beyond = play(&chosen, &dice)?;
    assert!(beyond.is_empty(), "beyond their bounds, seed {seed}:\n{}", beyond.join("\n"));
    Ok(())
}
