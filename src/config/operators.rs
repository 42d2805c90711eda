//! `[console]`: who may look at what there is, and who may turn it.

use super::kinds::list;
use super::section::Section;

/// What clients call the console's database; the second name is for what was made for PgBouncer.
pub const CONSOLE: [&str; 2] = ["weir", "pgbouncer"];

/// Users whom the console lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    /// Who may do everything.
    pub users: Vec<String>,
    /// Who may look.
    pub stats_users: Vec<String>,
}

/// The section. A listed database would hide behind the console.
pub(super) fn operators<'a>(
    root: &mut Section,
    mut databases: impl Iterator<Item = &'a str>,
) -> Option<Operators> {
    let operators = root.section_if_present("console", |s| {
        let operators = Operators {
            users: s.read("users", list).unwrap_or_default(),
            stats_users: s.read("stats_users", list).unwrap_or_default(),
        };
        if operators == Operators::default() && !s.has("users") && !s.has("stats_users") {
            s.note_whole(
                "names nobody: users = [\"...\"] may do everything, stats_users = [\"...\"] may look",
            );
        }
        operators
    })?;
    if databases.any(|name| CONSOLE.contains(&name)) {
        let [first, second] = CONSOLE;
        root.note(
            "databases",
            format!("{first:?} and {second:?} are the console's own, as there is a [console]"),
        );
    }
    Some(operators)
}
