//! Connections that are opened for one whom no idle one suits: those know custom settings of others, or cannot be given the
//! settings that are wanted. One is opened beside them or, where the pool is as large as it may be, in the place of one.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::oneshot;

use super::connections::{Lease, Pool, State};
use super::standing::Standing;
use super::wish::{Suits, Wish};
use crate::backend::Backend;
use crate::error::{Error, Result};

/// How a connection is opened for one whom no idle one suits.
enum Order {
    /// Beside the others.
    More,
    /// In the place of this one, which is closed.
    Instead(Box<Backend>),
}

impl State {
    /// Makes room for a connection beside the idle ones or, where none of them can be had at all and the pool is as large
    /// as it may be, in the place of the oldest. `suits`: how well the best does.
    fn orders(&mut self, size: usize, suits: Option<Suits>, now: Instant) -> Option<Order> {
        let order = if self.open < size.min(self.cap) && self.room.may_open(self.opening, now) {
            self.open += 1;
            Order::More
        } else if suits.is_none() && !self.idle.is_empty() {
            Order::Instead(self.idle.remove(0))
        } else {
            return None;
        };
        self.opening += 1;
        self.ordered += 1;
        Some(order)
    }

    /// Whether one that suits better than those which are idle could be opened.
    pub(super) fn may_have_better(&self, now: Instant) -> bool {
        self.open < self.size.min(self.cap) && self.room.may_open(self.opening, now)
    }
}

impl Pool {
    /// An idle connection, or one that is opened because none that is idle suits. None where there is none idle.
    ///
    /// # Errors
    /// Why none could be opened, where none of the others will do.
    pub(super) async fn offered(&self, wish: &Wish<'_>, size: usize) -> Result<Option<Lease>> {
        if let Some(lease) = self.take_idle(wish, &Weak::new(), Suits::Well) {
            return Ok(Some(lease));
        }
        let order = {
            let mut state = self.lock();
            if state.idle.is_empty() || state.standing == Standing::Closed {
                return Ok(None);
            }
            state.size = size;
            let suits = state.preferred(wish, &Weak::new()).map(|(_, suits)| suits);
            if suits >= Some(Suits::Well) {
                // It came back in this moment.
                return Ok(None);
            }
            state.orders(size, suits, Instant::now())
        };
        let opened = match order {
            Some(order) => self.opens_for(order).await,
            None => Err(Error::CheckoutTimeout(self.limits().checkout_timeout)),
        };
        match opened {
            Ok(lease) => Ok(Some(lease)),
            // Then one that others have used is better than none.
            Err(error) => match self.take_idle(wish, &Weak::new(), Suits::Barely) {
                Some(lease) => Ok(Some(lease)),
                None if self.lock().idle.is_empty() => Ok(None),
                None => Err(error),
            },
        }
    }

    /// Opens a connection for one whom no idle one suits, beside them or in the place of one.
    ///
    /// # Errors
    /// Why it could not be opened.
    /// Cancel safe: a connection that is opened for one who has gone goes to the next.
    async fn opens_for(&self, order: Order) -> Result<Lease> {
        let Some(pool) = self.me.upgrade() else { return Err(Error::Shutdown) };
        match order {
            Order::More => {
                if self.take_slots().is_err() {
                    self.not_opened();
                    self.lock().ordered -= 1;
                    return Err(Error::CheckoutTimeout(self.limits().checkout_timeout));
                }
            }
            // Its place is taken over.
            Order::Instead(idle) => drop(idle),
        }
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let opened = pool.open().await;
            let (outcome, opened) = match opened {
                Ok(backend) => (Ok(()), Ok(backend)),
                Err(error) => (Err(error), Err(())),
            };
            pool.setup.events.connected(pool.setup.key.server, &outcome);
            pool.ordered(&outcome);
            let lent = match (outcome, opened) {
                (Ok(()), Ok(backend)) => Ok(pool.lends(backend)),
                (Err(error), _) => {
                    pool.one_less().iter().for_each(|pool| pool.grow());
                    Err(error)
                }
                (Ok(()), Err(())) => Err(Error::Shutdown),
            };
            if let Err(Ok(lease)) = sender.send(lent) {
                lease.release(Instant::now());
            }
            pool.grow();
        });
        receiver.await.unwrap_or(Err(Error::Shutdown))
    }

    /// What was ordered is there, or not.
    fn ordered(&self, outcome: &Result<()>) {
        let mut state = self.lock();
        state.opened(outcome);
        state.ordered -= 1;
        let now = Instant::now();
        match outcome {
            Ok(()) => state.room.opened(now),
            Err(error) if error.is_full() => _ = state.room.refused(error, now),
            Err(_) => {}
        }
    }

    /// A new connection, for one who ordered it.
    fn lends(self: &Arc<Self>, backend: Box<Backend>) -> Lease {
        self.lock().enter(&backend.key);
        Lease::new(backend, self.clone())
    }
}
