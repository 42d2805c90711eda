//! A big result: what a proxy costs per byte.

use std::io::Read;
use std::time::Instant;

use harness::client::{Client, Login, front};
use harness::{Cluster, CpuTime, Failure, Result};

use crate::load::Sample;
use crate::target::Target;

/// Rows of the result, 1,000 bytes each.
const ROWS: usize = 100_000;

/// Results per run: one alone takes a proxy less time than the kernel's clock for CPU time can tell.
const RESULTS: u32 = 10;

/// Makes the table.
pub(crate) fn load_data(cluster: &Cluster) -> Result<()> {
    let mut admin = cluster.admin(0)?;
    admin.query(&format!(
        "CREATE TABLE wide AS SELECT repeat(chr(97 + n % 26), 1000) AS line FROM generate_series(1, {ROWS}) n"
    ))?;
    admin.query("GRANT SELECT ON wide TO app")?;
    admin.query("VACUUM ANALYZE wide").map(drop)
}

/// Fetches the result ten times; the sample is per result.
pub(crate) fn run(target: &Target) -> Result<Sample> {
    let login = Login::new("app", "app");
    let clients: Result<Vec<Client>> =
        (0..RESULTS).map(|_| Client::connect(&target.address(), &login)).collect();
    let (begin, before) = (Instant::now(), target.cpu());
    for client in &mut clients? {
        fetch(client)?;
    }
    let seconds = begin.elapsed().as_secs_f64() / f64::from(RESULTS);
    let spent = target.cpu().since(before);
    let cpu = CpuTime { user: spent.user / f64::from(RESULTS), system: spent.system / f64::from(RESULTS) };
    Ok(Sample { rate: 1.0 / seconds, latency: seconds * 1e3, cpu })
}

/// ReadyForQuery, with which the result ends. No row holds these bytes: rows are letters.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// Reads the whole result and looks at nothing but its end.
fn fetch(client: &mut Client) -> Result<()> {
    client.send(&[front::query("SELECT line FROM wide")])?;
    let mut stream = client.stream().try_clone()?;
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    // The last bytes of the read before, since ReadyForQuery may come in two pieces.
    let mut tail = Vec::new();
    while !tail.ends_with(READY) {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Err(Failure::new("the connection ended in the middle of the result"));
        }
        total += n;
        tail.extend_from_slice(&buffer[n.saturating_sub(READY.len())..n]);
        tail.drain(..tail.len().saturating_sub(READY.len()));
    }
    if total < ROWS * 1000 {
        return Err(Failure::new(format!("a result of {total} bytes is too short")));
    }
    Ok(())
}
