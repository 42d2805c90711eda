//! The lines of docs/with, which this program makes and holds to account.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Result, Weir};

use crate::count::Count;
use crate::libraries::Library;

/// Above the lines, in the pages too.
pub(crate) const HEAD: &str =
    "                     requests  reads directly  through weir  on replicas    share  stale  failed";

/// How far below that of the page a share may be, in percent of the reads, and how far above. A busy machine has late replicas,
/// and more reads on the primary: the pages' figures are of one.
const BELOW: f64 = 5.0;
const ABOVE: f64 = 15.0;

/// A library's line.
pub(crate) fn line(name: &str, directly: &Count, through: &Count) -> String {
    format!(
        "{name:<19}{:>10}{:>16}{:>14}{:>13}{:>7.1} %{:>7}{:>8}",
        through.requests,
        directly.reads(),
        through.reads(),
        through.on_replicas(),
        100.0 * through.share(),
        through.stale,
        through.failed
    )
}

/// What a page says otherwise, in words.
pub(crate) fn differs(library: &Library, line: &str) -> Result<Option<String>> {
    let text = fs::read_to_string(path(library))?;
    let said = text.lines().find(|said| is_of(library, said)).unwrap_or("nothing");
    let near = match (share(said), share(line)) {
        (Some(said), Some(found)) => (said - BELOW..said + ABOVE).contains(&found),
        _ => false,
    };
    Ok((!near).then(|| format!("docs/with/{} says\n    {said}\nand it is\n    {line}", library.page)))
}

/// Puts the line where the page has the old one.
pub(crate) fn write(library: &Library, line: &str) -> Result<()> {
    let text = fs::read_to_string(path(library))?;
    let lines = text.lines().map(|said| if is_of(library, said) { line } else { said });
    Ok(fs::write(path(library), lines.collect::<Vec<_>>().join("\n") + "\n")?)
}

/// Runs what the page would have one ask in SQL, on a connection through weir.
pub(crate) fn run_statements(library: &Library, weir: &Weir) -> Result<()> {
    let text = fs::read_to_string(path(library)).unwrap_or_default();
    let mut client = weir.connect()?;
    for block in text.split("```sql\n").skip(1) {
        client.query(block.split("```").next().unwrap_or_default())?;
    }
    Ok(())
}

/// The percentage in a line.
fn share(line: &str) -> Option<f64> {
    line.split_once(" %")?.0.rsplit(' ').next()?.parse().ok()
}

/// A line begins with its library's name, and holds a share.
fn is_of(library: &Library, line: &str) -> bool {
    line.split_whitespace().next() == Some(library.name) && share(line).is_some()
}

fn path(library: &Library) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/with").join(library.page)
}
