//! TLS handshakes: what one costs a proxy that is asked for nothing else.

use harness::client::Client;
use harness::{CpuTime, Result};

use crate::load::Sample;
use crate::report::{self, Row};
use crate::target::{Kind, Target};

/// Handshakes per run, one after the other: the kernel's clock for CPU time ticks every 10 ms.
const HANDSHAKES: u32 = 1000;

/// Measures those that have an end of TLS of their own, round by round. HAProxy in TCP mode passes it on, and PostgreSQL has
/// a process for each.
pub(crate) fn measure(targets: &[Target], rounds: u64) -> Result<()> {
    let own = || targets.iter().filter(|target| !matches!(target.kind, Kind::Direct | Kind::Haproxy));
    let mut rows: Vec<Row> = own().map(|target| Row::new(target.kind)).collect();
    for _ in 0..rounds {
        for (row, target) in rows.iter_mut().zip(own()) {
            row.samples.push(run(target)?);
        }
    }
    report::handshakes(&rows);
    println!();
    Ok(())
}

/// Opens and closes connections, each with a whole handshake and without a login; the sample is per handshake.
fn run(target: &Target) -> Result<Sample> {
    let address = target.address();
    let before = target.cpu();
    for _ in 0..HANDSHAKES {
        Client::open(&address)?;
    }
    let spent = target.cpu().since(before);
    let each = |seconds: f64| seconds / f64::from(HANDSHAKES);
    Ok(Sample { cpu: CpuTime { user: each(spent.user), system: each(spent.system) }, ..Sample::default() })
}
