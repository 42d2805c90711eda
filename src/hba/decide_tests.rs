use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::hba::Method;
use crate::hba::files::tests::rules;
use crate::net::{Tls, UnixPeer};

fn tcp(address: &str) -> Peer {
    let ip: IpAddr = address.parse().unwrap();
    Peer::plain(PeerAddress::Tcp(SocketAddr::new(ip, 40000)))
}

fn tls(address: &str) -> Peer {
    let tls = Tls { version: "TLSv1.3", cipher: String::new(), end_point: None, certificate: None };
    Peer { encryption: Encryption::Tls(Arc::new(tls)), ..tcp(address) }
}

fn unix() -> Peer {
    Peer::plain(PeerAddress::Unix(UnixPeer { uid: 0, gid: 0, pid: None }))
}

/// The method of the line that rules for `app` on `shop`.
fn ruled(text: &str, peer: &Peer) -> Option<Method> {
    of(text, peer, "app", "shop")
}

fn of(text: &str, peer: &Peer, user: &str, database: &str) -> Option<Method> {
    let facts = Facts {
        host_name: Some(Some("client.example.com".to_owned())),
        interfaces: Some(vec![Interface {
            address: "192.168.1.7".parse().unwrap(),
            mask: "255.255.255.0".parse().unwrap(),
        }]),
        roles: Some([user, "staff"].map(str::to_owned).into()),
    };
    let rules = rules(text, "").unwrap_or_else(|mistakes| panic!("{mistakes}"));
    match rules.decide(&Query { peer, user, database }, &facts) {
        Decision::Ruled(_, ruling) => Some(ruling.method),
        Decision::Unruled => None,
        undecided => panic!("{undecided:?}"),
    }
}

#[test]
fn the_first_line_that_matches_rules() {
    let text = "host all app 127.0.0.1/32 md5\nhost all all 127.0.0.0/8 reject\nlocal all all trust";
    assert_eq!(ruled(text, &tcp("127.0.0.1")), Some(Method::Md5));
    assert_eq!(ruled(text, &tcp("127.0.0.2")), Some(Method::Reject));
    assert_eq!(ruled(text, &tcp("10.0.0.1")), None);
    assert_eq!(ruled(text, &unix()), Some(Method::Trust));
}

#[test]
fn kinds_of_connections() {
    for (kind, matches) in [
        ("local", [false, false, true]),
        ("host", [true, true, false]),
        ("hostssl", [false, true, false]),
        ("hostnossl", [true, false, false]),
        ("hostgssenc", [false, false, false]),
        ("hostnogssenc", [true, true, false]),
    ] {
        let address = if kind == "local" { "" } else { "all" };
        let text = format!("{kind} all all {address} trust");
        let found = [tcp("127.0.0.1"), tls("127.0.0.1"), unix()].map(|peer| ruled(&text, &peer).is_some());
        assert_eq!(found, matches, "{kind}");
    }
}

#[test]
fn names_of_databases_and_users() {
    for (names, user, database, matches) in [
        ("all all", "app", "shop", true),
        ("\"all\" all", "app", "shop", false),
        ("\"all\" all", "app", "all", true),
        ("shop app", "app", "shop", true),
        ("shop,stock app,web", "web", "stock", true),
        ("Shop app", "app", "shop", false),
        ("sameuser all", "app", "app", true),
        ("sameuser all", "app", "shop", false),
        ("\"sameuser\" all", "app", "sameuser", true),
        ("replication all", "app", "replication", false),
        ("\"replication\" all", "app", "replication", true),
        ("/^sh.p$ all", "app", "shop", true),
        ("\"/^s{1,2}hop$\" all", "app", "sshop", true),
        ("all /^app_[0-9]+$", "app_7", "shop", true),
        ("all /^app_[0-9]+$", "app", "shop", false),
        ("all \"+app\"", "+app", "shop", true),
        ("all +staff", "app", "shop", true),
        ("all +app", "app", "shop", true),
        ("all +other,other", "app", "shop", false),
        ("all +other,app", "app", "shop", true),
        ("all \"+staff\"", "app", "shop", false),
        ("all +", "app", "shop", false),
        ("samerole all", "app", "staff", true),
        ("samegroup all", "app", "app", true),
        ("samerole all", "app", "shop", false),
        ("\"samerole\" all", "app", "staff", false),
        ("shop,samerole +other,+staff", "app", "staff", true),
    ] {
        let text = format!("local {names} trust");
        assert_eq!(of(&text, &unix(), user, database).is_some(), matches, "{names} {user} {database}");
    }
}

#[test]
fn addresses_of_every_kind() {
    for (address, client, matches) in [
        ("10.0.0.0 255.255.255.0", "10.0.0.9", true),
        ("10.0.0.0 255.255.255.0", "10.0.1.9", false),
        ("::1/128", "::1", true),
        ("127.0.0.1/32", "::ffff:127.0.0.1", true),
        ("samehost", "192.168.1.7", true),
        ("samehost", "192.168.1.8", false),
        ("samenet", "192.168.1.8", true),
        ("samenet", "192.168.2.8", false),
        ("client.example.com", "10.0.0.1", true),
        (".example.com", "10.0.0.1", true),
        ("other.example.com", "10.0.0.1", false),
    ] {
        let text = format!("host all all {address} trust");
        assert_eq!(ruled(&text, &tcp(client)).is_some(), matches, "{address} {client}");
    }
}

#[test]
fn nothing_is_looked_up_before_a_line_asks_for_it() {
    let text = "host x all db.example.com trust\nhost all all 127.0.0.1/32 trust\nhost all all db.example.com md5\n\
                host all all samenet md5";
    let rules = rules(text, "").unwrap();
    let decide =
        |peer: &Peer, facts: &Facts| rules.decide(&Query { peer, user: "app", database: "shop" }, facts);
    let nothing = Facts::default();
    assert!(matches!(decide(&tcp("127.0.0.1"), &nothing), Decision::Ruled(..)));
    assert!(matches!(decide(&tcp("127.0.0.2"), &nothing), Decision::NeedsHostName));
    let nameless = Facts { host_name: Some(None), ..Facts::default() };
    assert!(matches!(decide(&tcp("127.0.0.2"), &nameless), Decision::NeedsInterfaces));
}

#[test]
fn servers_are_asked_for_roles_when_nothing_else_is_left_to_ask() {
    let rules = rules(
        "local all +staff trust\nhost other +staff all trust\nhost all +staff 10.0.0.0/8 trust\n\
         host all +staff,app 127.0.0.1/32 md5\nhost samerole all 127.0.0.1/32 trust\nhost all all all reject",
        "",
    )
    .unwrap();
    let decide = |address: &str, user: &str, facts: &Facts| match rules
        .decide(&Query { peer: &tcp(address), user, database: "shop" }, facts)
    {
        Decision::Ruled(_, ruling) => Some(ruling.method),
        Decision::NeedsRoles => None,
        other => panic!("{other:?}"),
    };
    let nothing = Facts::default();
    assert_eq!(decide("127.0.0.1", "app", &nothing), Some(Method::Md5));
    assert_eq!(decide("127.0.0.2", "web", &nothing), Some(Method::Reject));
    assert_eq!(decide("127.0.0.1", "web", &nothing), None);
    assert_eq!(decide("10.0.0.1", "web", &nothing), None);
    let of = |roles: &[&str]| Facts {
        roles: Some(roles.iter().map(|role| (*role).to_owned()).collect()),
        ..Facts::default()
    };
    for (roles, expected) in [
        (&["web", "staff"][..], Method::Md5),
        (&["web", "shop"], Method::Trust),
        (&["web"], Method::Reject),
        (&[], Method::Reject),
    ] {
        assert_eq!(decide("127.0.0.1", "web", &of(roles)), Some(expected), "{roles:?}");
    }
}
