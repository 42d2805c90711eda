//! Which pools there are, without any connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::backend::Proof;
use crate::backend::{Backend, Login};
use crate::cluster::topology::{Role, Server};
use crate::config::Secret;
use crate::error::Error;
use crate::net::Way;
use crate::net::holding::Holding;
use crate::pool::Lease;

/// The servers that there are.
struct Servers(Mutex<Vec<ServerId>>);

impl Events for Servers {
    fn server(&self, server: ServerId) -> Option<Server> {
        self.0.lock().unwrap().contains(&server).then(|| Server {
            address: Arc::new(Address { host: "127.0.0.1".into(), port: 1, ..Address::default() }),
            connections: 10,
            role: Role::Primary,
            ..Server::example(server.0)
        })
    }

    fn suspect(&self, _: ServerId) {}

    fn connected(&self, _: ServerId, _: &Result<(), Error>) {}
}

const A: ServerId = ServerId(1);
const B: ServerId = ServerId(2);

fn pools() -> (Arc<Pools>, Arc<Servers>) {
    let servers = Arc::new(Servers(Mutex::new(vec![A, B])));
    let pools = Pools {
        known: Mutex::default(),
        limits: Arc::new(ArcSwap::from_pointee(Limits {
            connect_timeout: Duration::from_secs(1),
            checkout_timeout: Duration::from_secs(1),
            queue: 1,
            min_idle: 0,
            idle_timeout: Duration::from_secs(1),
            lifetime: Duration::from_secs(1),
            statements: 1,
            keepalive: Keepalive::of(Duration::from_secs(1), Duration::from_secs(2)),
        })),
        total: Arc::new(Slots::new(0)),
        events: servers.clone(),
        notifiers: Arc::default(),
        given: Arc::default(),
    };
    (Arc::new(pools), servers)
}

/// A pool for a lease that is made without one.
pub(in crate::pool) fn unused_pool() -> Arc<Pool> {
    get(&pools().0, A, "d", "p").unwrap()
}

fn get(pools: &Pools, server: ServerId, database: &str, password: &str) -> Option<Arc<Pool>> {
    let key = PoolKey { server, database: database.into(), user: "u".into() };
    pools.get(&key, &Account { proof: Proof::Password(Secret::new(password)) })
}

#[test]
fn who_comes_by_another_account_has_another_pool() {
    let (pools, _) = pools();
    let one = get(&pools, A, "d", "one").unwrap();
    assert!(Arc::ptr_eq(&one, &get(&pools, A, "d", "one").unwrap()));
    assert!(!Arc::ptr_eq(&one, &get(&pools, A, "d", "two").unwrap()));
    assert!(!Arc::ptr_eq(&one, &get(&pools, B, "d", "one").unwrap()));
}

#[test]
fn what_nobody_holds_is_forgotten_in_every_place() {
    let (pools, _) = pools();
    let held = get(&pools, A, "held", "p").unwrap();
    for n in 0..100 {
        get(&pools, A, &n.to_string(), "p").unwrap();
        get(&pools, B, &n.to_string(), "p").unwrap();
    }
    pools.forget();
    assert_eq!(pools.all().iter().map(|pool| pool.key().clone()).collect::<Vec<_>>(), [held.key().clone()]);
    assert!(pools.address(A).is_some() && pools.address(B).is_none());
    get(&pools, A, "next", "p").unwrap();
    assert_eq!(pools.total.members(), 2, "the limits that pools share remember no more of them");
    assert!(Arc::ptr_eq(&held, &get(&pools, A, "held", "p").unwrap()));
}

#[tokio::test]
async fn with_its_server_a_pool_is_closed_for_good() {
    let (pools, servers) = pools();
    let (gone, stays) = (get(&pools, A, "d", "p").unwrap(), get(&pools, B, "d", "p").unwrap());
    servers.0.lock().unwrap().retain(|server| *server != A);
    assert!(Arc::ptr_eq(&gone, &get(&pools, A, "d", "p").unwrap()), "nobody has said so yet");
    pools.remove(A);
    assert!(gone.is_closed() && !stays.is_closed());
    assert!(get(&pools, A, "d", "p").is_none(), "none comes into being after it");
    let refused = gone.checkout(&Default::default(), 1).await.unwrap_err();
    assert!(refused.is_outage(), "there may be another server: {refused}");
    assert!(pools.address(A).is_some(), "what is lent can be cancelled");
    drop(gone);
    pools.forget();
    assert!(pools.address(A).is_none() && pools.address(B).is_some());
}

/// Whoever waits and a connection that comes back meet, in whatever order they come.
#[tokio::test]
async fn a_connection_that_comes_back_in_the_moment_in_which_one_begins_to_wait_is_not_missed() {
    const ROUNDS: usize = 100_000;
    let (pools, _) = pools();
    let pool = get(&pools, A, "d", "p").unwrap();
    let (stream, _peer) = Holding::pair().unwrap();
    let login =
        Login { stream, received: BytesMut::new(), parameters: Vec::new(), key: None, way: Way::Plain };
    let now = std::time::Instant::now();
    pool.one_more();
    pool.put_back(Box::new(Backend::new(login, A, 1, 1, now)), now);
    let (lend, lent) = std::sync::mpsc::channel::<Lease>();
    let begun = Arc::new(AtomicUsize::new(0));
    let begins = begun.clone();
    let returning = std::thread::spawn(move || {
        for (round, lease) in lent.iter().enumerate() {
            while begins.load(Ordering::Acquire) <= round {
                std::hint::spin_loop();
            }
            // Sooner and later, so that all orders come about.
            (0..round % 64).for_each(|_| std::hint::spin_loop());
            lease.release(std::time::Instant::now());
        }
    });
    let mut lease = pool.checkout(&Default::default(), 1).await.unwrap();
    for round in 0..ROUNDS {
        lend.send(lease).unwrap();
        begun.store(round + 1, Ordering::Release);
        (0..round / 64 % 64).for_each(|_| std::hint::spin_loop());
        lease = pool.checkout(&Default::default(), 1).await.expect("it came back");
    }
    drop(lend);
    returning.join().unwrap();
}
