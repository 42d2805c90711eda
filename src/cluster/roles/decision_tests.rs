//! Tables of what the servers say and the roles that follow.

use super::*;

/// A server in a line of text: setting (`auto`, `PRIMARY`, `REPLICA`), health (`up`, `down`, `untried`), what it
/// said (`w2` writable on timeline 2, `r1` in recovery on timeline 1, `-` never reached), its role until now
/// (`p`, `r`, `?`, `!` for a claimant that was overruled), and its system identifier when it is not 1.
fn server((id, line): (u64, &str)) -> Observation {
    let mut words = line.split_whitespace();
    let setting = match words.next().unwrap() {
        "auto" => RoleSetting::Auto,
        "PRIMARY" => RoleSetting::Primary,
        "REPLICA" => RoleSetting::Replica,
        other => panic!("setting {other}"),
    };
    let health = match words.next().unwrap() {
        "up" => Health::Up,
        "down" => Health::Down,
        "untried" => Health::Untried,
        other => panic!("health {other}"),
    };
    let said = words.next().unwrap();
    let (role, past) = match words.next().unwrap() {
        "p" => (Role::Primary, Past::Clear),
        "r" => (Role::Replica, Past::Clear),
        "?" => (Role::Unknown, Past::Clear),
        "!" => (Role::Unknown, Past::Overruled),
        other => panic!("role {other}"),
    };
    let system = words.next().map_or(1, |word| word.parse().unwrap());
    let facts = said.split_at_checked(1).filter(|_| said != "-").map(|(state, timeline)| Facts {
        state: if state == "w" { State::Writable } else { State::InRecovery },
        timeline: timeline.parse().ok(),
        system: Some(system),
        version: 150_000,
    });
    Observation { server: ServerId(id), setting, health, facts, role, past }
}

fn roles(lines: &[&str]) -> (String, Vec<Finding>) {
    let decision = decide(&(0..).zip(lines.iter().copied()).map(server).collect::<Vec<_>>());
    let letters = decision.roles.iter().map(|role| match role {
        Role::Primary => 'p',
        Role::Replica => 'r',
        Role::Unknown => '?',
    });
    (letters.collect(), decision.findings)
}

const A: ServerId = ServerId(0);
const B: ServerId = ServerId(1);

#[test]
fn roles_without_anything_to_report() {
    let table: &[(&str, &[&str], &str)] = &[
        ("nobody probed", &["auto untried - ?", "auto untried - ?"], "??"),
        ("a primary and two replicas", &["auto up w1 ?", "auto up r1 ?", "auto up r1 ?"], "prr"),
        ("a replica was never reached", &["auto up w1 ?", "auto down - ?"], "p?"),
        ("the primary was never reached", &["auto down - ?", "auto up r1 ?"], "?r"),
        ("the primary is down and still the primary", &["auto down w1 p", "auto up r1 r"], "pr"),
        ("a replica is down and still a replica", &["auto up w1 p", "auto down r1 r"], "pr"),
        ("a replica was promoted, the old one is dead", &["auto down w1 p", "auto up w2 r"], "?p"),
        ("the old primary came back as a replica", &["auto up r1 ?", "auto up w2 p"], "rp"),
        ("both were promoted in turn", &["auto down w3 p", "auto down w2 ?"], "p?"),
        ("a disk moved to another machine", &["auto down w1 p", "auto up w1 ?"], "?p"),
        ("servers that tell no timeline", &["auto down w p", "auto up w r"], "?p"),
        ("one switched over to a replica", &["auto up r1 p", "auto up r1 r"], "rr"),
        ("configured and never reached", &["PRIMARY down - ?", "REPLICA down - ?"], "pr"),
        ("configured and as said", &["PRIMARY up w1 ?", "REPLICA up r1 ?", "auto up r1 ?"], "prr"),
        ("configured primary, an old claim of a dead one", &["PRIMARY up w1 p", "auto down w2 ?"], "p?"),
    ];
    for (case, servers, expected) in table {
        assert_eq!(roles(servers), (String::from(*expected), vec![]), "{case}");
    }
}

#[test]
fn of_two_primaries_the_higher_timeline_wins() {
    let lost = |winner, loser| vec![Finding::TwoPrimaries { winner, loser }];
    let table: &[(&str, &[&str], &str, Vec<Finding>)] = &[
        ("the old one returned", &["auto up w1 ?", "auto up w2 p"], "?p", lost(B, A)),
        ("a replica was promoted behind a primary", &["auto up w1 p", "auto up w2 r"], "?p", lost(B, A)),
        ("whatever their order", &["auto up w7 p", "auto up w2 ?"], "p?", lost(A, B)),
        ("the winner is away for a moment", &["auto up w1 ?", "auto down w2 p"], "?p", lost(B, A)),
        ("a timeline beats none", &["auto up w p", "auto up w1 ?"], "?p", lost(B, A)),
        ("one timeline: the one in use stays", &["auto up w1 ?", "auto up w1 p"], "?p", lost(B, A)),
        ("a copy does not succeed", &["auto up w1 !", "auto down w1 p"], "?p", lost(B, A)),
        ("the operator's word is kept", &["PRIMARY up w1 ?", "auto up w2 p"], "p?", lost(A, B)),
        ("two operator's words", &["PRIMARY up w1 p", "PRIMARY up w2 ?"], "?p", lost(B, A)),
    ];
    for (case, servers, expected, findings) in table {
        assert_eq!(roles(servers), (String::from(*expected), findings.clone()), "{case}");
    }
}

#[test]
fn where_nothing_tells_two_primaries_apart_none_is_believed() {
    let (roles, findings) = roles(&["auto up w1 ?", "auto up w1 ?", "auto up r1 ?"]);
    assert_eq!(roles, "??r");
    assert_eq!(findings, [Finding::Undecided(A), Finding::Undecided(B)]);
}

#[test]
fn a_configured_role_is_kept_and_its_contradiction_told() {
    let (roles, findings) = roles(&["PRIMARY up r1 p", "REPLICA up w1 r"]);
    assert_eq!(roles, "pr");
    let told = [
        Finding::Contradiction { server: A, state: State::InRecovery },
        Finding::Contradiction { server: B, state: State::Writable },
    ];
    assert_eq!(findings, told);
}

#[test]
fn a_replica_of_another_cluster_is_not_read_from() {
    let (found, findings) = roles(&["auto up w1 p 1", "auto up r1 r 2"]);
    assert_eq!((found.as_str(), findings), ("p?", vec![Finding::Foreign(B)]));
    let (found, findings) = roles(&["auto up w1 p 1", "REPLICA up r1 r 2"]);
    assert_eq!((found.as_str(), findings), ("pr", vec![]), "the operator's word is kept");
}

#[test]
fn there_is_never_more_than_one_primary() {
    let lines = [
        "auto up w1 p",
        "auto up w2 p",
        "auto down w2 p",
        "PRIMARY up w1 p",
        "PRIMARY down w2 p",
        "auto up r2 r",
    ];
    for a in lines {
        for b in lines {
            for c in lines {
                let (roles, _) = roles(&[a, b, c]);
                assert!(roles.matches('p').count() <= 1, "{a}, {b}, {c}: {roles}");
            }
        }
    }
}
