//! How soon a peer is known to be dead that says nothing any more: a cut cable, a lost machine, a firewall that has
//! forgotten the connection. It says when the kernel asks, and when it gives up; a process that hangs answers all the
//! same, as its kernel does.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The kernel counts in whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// The longest time that a kernel takes for either.
const LONGEST: Duration = Duration::from_secs(32_767);

/// When a silent peer is asked whether it is there, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: Duration,
    pause: Duration,
    probes: u32,
    limit: Duration,
}

impl Keepalive {
    /// A peer that is asked after `interval`, and given up `patience` later. Neither counts for less than a second, and
    /// each second that has begun counts.
    pub fn of(interval: Duration, patience: Duration) -> Self {
        let (idle, patience) = (whole(interval), whole(patience));
        let pause = Duration::from_secs(patience.as_secs() / 2).max(TICK);
        let probes = patience.as_secs().div_ceil(pause.as_secs());
        let probes = u32::try_from(probes).unwrap_or(u32::MAX);
        Self { idle, pause, probes, limit: idle + patience }
    }

    /// For how long a connection says nothing before its peer is asked.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The time between two such questions.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// How many may stay unanswered.
    pub fn probes(&self) -> u32 {
        self.probes
    }

    /// After how long a silent peer is given up, also by what was sent and not acknowledged.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Has the kernel keep to it. A socket that cannot have it is of no use: nobody would hear of its end.
    pub(super) fn keep(&self, socket: &TcpStream) -> io::Result<()> {
        let options =
            TcpKeepalive::new().with_time(self.idle).with_interval(self.pause).with_retries(self.probes);
        SockRef::from(socket).set_tcp_keepalive(&options)?;
        give_up_after(socket, Some(self.limit()))
    }
}

/// How long the kernel waits for the peer to take what it was sent; `None` for as long as it likes.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn given_up_after(socket: &TcpStream) -> io::Result<Option<Duration>> {
    SockRef::from(socket).tcp_user_timeout()
}

#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn give_up_after(socket: &TcpStream, limit: Option<Duration>) -> io::Result<()> {
    SockRef::from(socket).set_tcp_user_timeout(limit)
}

/// Other kernels have no such limit.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn given_up_after(_: &TcpStream) -> io::Result<Option<Duration>> {
    Ok(None)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn give_up_after(_: &TcpStream, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

fn whole(time: Duration) -> Duration {
    let begun = u64::from(time.subsec_nanos() > 0);
    Duration::from_secs(time.as_secs() + begun).clamp(TICK, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_peer_is_known_in_whole_seconds() {
        let of = |interval, timeout| {
            let keepalive = Keepalive::of(Duration::from_millis(interval), Duration::from_millis(timeout));
            let Keepalive { idle, pause, probes, .. } = keepalive;
            (idle.as_secs(), pause.as_secs(), probes, keepalive.limit().as_secs())
        };
        assert_eq!(of(1000, 2000), (1, 1, 2, 3));
        assert_eq!(of(1000, 1000), (1, 1, 1, 2));
        assert_eq!(of(50, 100), (1, 1, 1, 2), "no less than a kernel can count");
        assert_eq!(of(1500, 2500), (2, 1, 3, 5), "never before the probes");
        assert_eq!(of(10_000, 10_000), (10, 5, 2, 20));
        assert_eq!(of(1000, 7000), (1, 3, 3, 8));
        assert_eq!(of(1 << 40, 1000).0, 32_767);
    }
}
