//! Reports in, events and snapshots out.

use std::time::Duration;

use super::*;
use crate::config::RoleSetting;

const A: ServerId = ServerId(0);
const B: ServerId = ServerId(1);

fn roster(settings: &[RoleSetting]) -> Roster {
    let mut roster = Roster::default();
    settings.iter().for_each(|role| drop(insert(&mut roster, *role)));
    roster
}

fn insert(roster: &mut Roster, role: RoleSetting) -> (ServerId, Vec<Event>) {
    let server = config::Server {
        address: None,
        name: "s".into(),
        host: "localhost".into(),
        port: 5432,
        role,
        weight: 1,
        connections: 10,
        tls: Arc::default(),
        channel_binding: config::ChannelBinding::Prefer,
    };
    roster.insert(&server, Instant::now())
}

fn two() -> Roster {
    roster(&[RoleSetting::Auto, RoleSetting::Auto])
}

fn said(state: State, timeline: u32) -> Result<Facts, Failure> {
    Ok(Facts { state, timeline: Some(timeline), system: Some(1), version: 150_000 })
}

fn failed(text: &str) -> Result<Facts, Failure> {
    Err(Failure::Failed(text.into()))
}

fn declined(text: &str) -> Result<Facts, Failure> {
    Err(Failure::Declined(text.into()))
}

/// Reports at one moment; the events of the last one.
fn record(roster: &mut Roster, reports: Vec<(ServerId, Result<Facts, Failure>)>) -> Vec<Event> {
    let now = Instant::now();
    reports.into_iter().map(|(id, outcome)| roster.record(id, outcome, now)).last().unwrap_or_default()
}

fn seen(roster: &Roster, id: ServerId) -> (Role, Health) {
    let topology = roster.topology();
    let server = topology.server(id).unwrap();
    (server.role, server.health)
}

#[test]
fn configured_roles_are_known_before_any_probe() {
    let roster = roster(&[RoleSetting::Primary, RoleSetting::Replica, RoleSetting::Auto]);
    let roles: Vec<Role> = roster.topology().servers.iter().map(|server| server.role).collect();
    assert_eq!(roles, [Role::Primary, Role::Replica, Role::Unknown]);
    assert!(!roster.topology().is_explored());
    assert!(roster.topology().writable().is_none());
}

#[test]
fn a_first_answer_tells_health_and_role_once() {
    let mut roster = two();
    let events = record(&mut roster, vec![(A, said(State::Writable, 1))]);
    assert_eq!(events, [Event::Up(A), Event::Role(A, Role::Primary)]);
    assert_eq!(record(&mut roster, vec![(A, said(State::Writable, 1))]), []);
    assert_eq!(roster.topology().writable().map(|server| server.id), Some(A));
}

#[test]
fn a_failed_probe_takes_a_server_out_and_keeps_its_role() {
    let mut roster = two();
    record(&mut roster, vec![(A, said(State::Writable, 1)), (B, said(State::InRecovery, 1))]);
    let events = record(&mut roster, vec![(B, failed("connection refused"))]);
    assert_eq!(events, [Event::Down(B, "connection refused".into())]);
    assert_eq!(seen(&roster, B), (Role::Replica, Health::Down));
    assert_eq!(roster.topology().replicas().count(), 0);
    assert_eq!(roster.topology().server(B).unwrap().trouble.as_deref(), Some("connection refused"));
    assert_eq!(record(&mut roster, vec![(B, Err(Failure::TimedOut))]), [], "still down is no news");
}

#[test]
fn a_server_that_comes_back_starts_slowly_and_one_that_was_never_down_does_not() {
    let mut roster = two();
    record(&mut roster, vec![(A, said(State::Writable, 1)), (B, said(State::InRecovery, 1))]);
    assert_eq!(roster.topology().server(B).unwrap().recovered, None);
    let back = Instant::now() + Duration::from_secs(60);
    record(&mut roster, vec![(B, failed("gone"))]);
    assert_eq!(roster.record(B, said(State::InRecovery, 1), back), [Event::Up(B)]);
    let topology = roster.topology();
    let server = topology.server(B).unwrap();
    assert_eq!((server.recovered, server.trouble.clone()), (Some(back), None));
    assert!(server.share(back) < 0.2 && server.share(back + Duration::from_secs(60)) == 1.0);
}

#[test]
fn a_saturated_server_stays_up_and_is_told_of_once() {
    let mut roster = two();
    record(&mut roster, vec![(A, said(State::Writable, 1))]);
    let full = "sorry, too many clients already (53300)";
    assert_eq!(record(&mut roster, vec![(A, declined(full))]), [Event::Declined(A, full.into())]);
    assert_eq!(record(&mut roster, vec![(A, declined(full))]), []);
    assert_eq!(seen(&roster, A), (Role::Primary, Health::Up));
    assert_eq!(roster.topology().server(A).unwrap().trouble.as_deref(), Some(full));
    assert_eq!(record(&mut roster, vec![(A, said(State::Writable, 1))]), []);
    assert_eq!(roster.topology().server(A).unwrap().trouble, None);
}

#[test]
fn a_server_that_declines_before_it_was_ever_seen_is_not_taken_for_well() {
    let mut roster = two();
    let events = record(&mut roster, vec![(A, declined("password authentication failed"))]);
    assert_eq!(events, [Event::Down(A, "password authentication failed".into())]);
    record(&mut roster, vec![(A, failed("gone")), (A, declined("full"))]);
    assert_eq!(seen(&roster, A), (Role::Unknown, Health::Down));
}

#[test]
fn a_promotion_moves_the_primary_in_one_step() {
    let mut roster = two();
    record(
        &mut roster,
        vec![(A, said(State::Writable, 1)), (B, said(State::InRecovery, 1)), (A, failed("gone"))],
    );
    let events = record(&mut roster, vec![(B, said(State::Writable, 2))]);
    assert_eq!(events, [Event::Role(A, Role::Unknown), Event::Role(B, Role::Primary)]);
    assert_eq!(roster.topology().writable().map(|server| server.id), Some(B));
}

#[test]
fn an_old_primary_that_returns_is_not_believed_and_told_of_once() {
    let mut roster = two();
    record(
        &mut roster,
        vec![(A, said(State::Writable, 1)), (A, failed("gone")), (B, said(State::Writable, 2))],
    );
    let events = record(&mut roster, vec![(A, said(State::Writable, 1))]);
    let finding = Finding::TwoPrimaries { winner: B, loser: A };
    assert_eq!(events, [Event::Up(A), Event::Finding(finding)]);
    assert_eq!(record(&mut roster, vec![(A, said(State::Writable, 1))]), []);
    // Nor while the winner is away.
    record(&mut roster, vec![(B, failed("gone"))]);
    assert_eq!(seen(&roster, A), (Role::Unknown, Health::Up));
    assert!(roster.topology().writable().is_none());
}

#[test]
fn a_copy_on_the_same_timeline_does_not_succeed_a_primary_that_blinks() {
    let mut roster = two();
    record(
        &mut roster,
        vec![(A, said(State::Writable, 1)), (B, said(State::Writable, 1)), (A, failed("blink"))],
    );
    assert!(roster.topology().writable().is_none());
    // One that starts after the primary is gone (its disk on another machine) does.
    record(&mut roster, vec![(B, failed("stopped")), (B, said(State::Writable, 1))]);
    assert_eq!(roster.topology().writable().map(|server| server.id), Some(B));
}

#[test]
fn a_report_of_no_server_changes_nothing() {
    let mut roster = two();
    assert_eq!(record(&mut roster, vec![(ServerId(9), failed("?"))]), []);
}

#[test]
fn an_identity_is_given_once() {
    let mut roster = two();
    roster.remove(B);
    let (id, events) = insert(&mut roster, RoleSetting::Replica);
    assert!(id != A && id != B);
    assert_eq!(events, [Event::Role(id, Role::Replica)]);
    // What was said of the one that is gone is not taken for the other's.
    assert_eq!(record(&mut roster, vec![(B, said(State::Writable, 1))]), []);
    assert_eq!(seen(&roster, id), (Role::Replica, Health::Untried));
    let order: Vec<_> = roster.topology().servers.iter().map(|server| server.id).collect();
    assert_eq!(order, [A, id]);
}

#[test]
fn with_the_winner_gone_the_loser_is_believed() {
    let mut roster = two();
    record(&mut roster, vec![(A, said(State::Writable, 1)), (B, said(State::Writable, 2))]);
    assert_eq!(roster.topology().writable().map(|server| server.id), Some(B));
    assert_eq!(roster.remove(B), [Event::Role(A, Role::Primary)]);
    assert_eq!(roster.topology().writable().map(|server| server.id), Some(A));
    assert_eq!(roster.remove(A), []);
    assert!(roster.topology().servers.is_empty());
}

#[test]
fn only_what_readers_can_see_makes_a_new_snapshot() {
    let mut roster = two();
    record(&mut roster, vec![(A, said(State::Writable, 1))]);
    let before = roster.topology();
    record(&mut roster, vec![(A, said(State::Writable, 1))]);
    assert!(before.equals(&roster.topology()));
    record(&mut roster, vec![(A, said(State::Writable, 2))]);
    assert!(!before.equals(&roster.topology()));
}

/// A server that is called this and listens at this port.
fn called(name: &str, port: u16) -> config::Server {
    config::Server {
        address: None,
        name: name.into(),
        host: "localhost".into(),
        port,
        role: RoleSetting::Auto,
        weight: 1,
        connections: 10,
        tls: Arc::default(),
        channel_binding: config::ChannelBinding::Prefer,
    }
}

#[test]
fn another_list_of_servers_is_one_change_and_disturbs_nobody_who_stays() {
    let (mut roster, now) = (Roster::default(), Instant::now());
    let (moves, _) = roster.set(&[called("a", 1), called("b", 2)], now);
    assert_eq!((&moves.come[..], &moves.gone[..]), (&[A, B][..], &[][..]));
    record(&mut roster, vec![(A, said(State::Writable, 1)), (B, said(State::InRecovery, 1))]);

    let heavier = config::Server { weight: 7, connections: 3, ..called("renamed", 2) };
    let (moves, events) = roster.set(&[called("c", 3), heavier, called("a", 1)], now);
    assert_eq!((&moves.come[..], &moves.gone[..], &events[..]), (&[ServerId(2)][..], &[][..], &[][..]));
    assert_eq!(seen(&roster, B), (Role::Replica, Health::Up));
    let topology = roster.topology();
    let server = topology.server(B).unwrap();
    assert_eq!((&*server.name, server.weight, server.connections), ("renamed", 7, 3));

    // The same server by another way is another one, and never beside itself: nobody claims to be a second primary.
    let bound = config::Server { channel_binding: config::ChannelBinding::Disable, ..called("a", 1) };
    let (moves, _) = roster.set(&[bound, called("b", 2)], now);
    assert_eq!((&moves.come[..], &moves.gone[..]), (&[ServerId(3)][..], &[A, ServerId(2)][..]));
    let events = record(&mut roster, vec![(ServerId(3), said(State::Writable, 1))]);
    assert!(!events.iter().any(|event| matches!(event, Event::Finding(_))), "{events:?}");
    assert_eq!(seen(&roster, ServerId(3)), (Role::Primary, Health::Up));
    assert_eq!(record(&mut roster, vec![(A, said(State::Writable, 1))]), [], "nobody asks for it any more");
}
