//! A backend connection that a session has checked out.

use std::sync::Arc;
use std::time::Instant;

use super::Pool;
use crate::backend::Backend;

/// A checked-out backend connection. It goes back only by [`Lease::release`]; dropped in any other way it is
/// closed, so that a session that ends in the middle of something can never hand its state to the next one.
#[derive(Debug)]
pub struct Lease {
    backend: Option<Box<Backend>>,
    pool: Arc<Pool>,
}

impl Lease {
    pub(super) fn new(backend: Box<Backend>, pool: Arc<Pool>) -> Self {
        Self { backend: Some(backend), pool }
    }

    /// Gives the connection back. The caller vouches that it is idle, outside a transaction, and carries no state but
    /// its settings and prepared statements.
    pub(crate) fn release(mut self, now: Instant) {
        if let Some(backend) = self.backend.take() {
            self.pool.put_back(backend, now);
        }
    }

    /// Ends the lease without its connection going anywhere.
    pub(super) fn into_backend(mut self) -> Option<Box<Backend>> {
        self.backend.take()
    }

    /// The pool it belongs to.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
}

impl std::ops::Deref for Lease {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        // Only `release` and `drop` take the connection, and both end the lease.
        self.backend.as_ref().expect("a lease holds its connection until it ends")
    }
}

impl std::ops::DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Backend {
        self.backend.as_mut().expect("a lease holds its connection until it ends")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            drop(backend);
            self.pool.closed();
        }
    }
}

#[cfg(test)]
impl Lease {
    /// A connection that was never opened by a pool, and goes back to none.
    pub(crate) fn of_no_pool(backend: Backend) -> Self {
        let pool = super::tests::unused_pool();
        pool.one_more();
        Self::new(Box::new(backend), pool)
    }
}
