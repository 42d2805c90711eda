//! What is kept of the client's requests so that they can be run again.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use crate::session::relay::pending_reply::PendingReply;

/// Copies of the requests whose answers are held back.
#[derive(Debug, Default)]
pub(crate) struct ReplayBuffer {
    /// The client's own bytes, request after request.
    pub bytes: BytesMut,
    lens: VecDeque<usize>,
    /// Statements parsed and closed since, to be undone before they are run again.
    pub(crate) done: Vec<PendingReply>,
}

impl ReplayBuffer {
    /// Keeps part of a request; `End::Sync` and simple queries end one.
    pub(crate) fn keep(&mut self, bytes: &[u8], ends: usize) {
        self.bytes.extend_from_slice(bytes);
        for _ in 0..ends {
            let before: usize = self.lens.iter().sum();
            self.lens.push_back(self.bytes.len() - before);
        }
    }

    /// The first request has been answered for good.
    pub(crate) fn answered(&mut self) {
        let len = self.lens.pop_front().unwrap_or(self.bytes.len());
        self.bytes.advance(len.min(self.bytes.len()));
        self.done.clear();
    }

    /// Nothing needs to be kept any more.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lens.clear();
        self.done.clear();
    }
}
