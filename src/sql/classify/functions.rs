//! What weir knows about functions and system views without asking the catalog.
//!
//! A user's function of a built-in's name and other argument types, or one in a schema that search_path
//! puts before pg_catalog, cannot be told from the built-in by the text alone: such names are listed (`mentions`), and the
//! catalog says what users have made of them.

use std::collections::HashMap;

use crate::sql::verdict::{Name, Pin, Traces, Why};

/// What a known function does when a replica runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing that another server would notice.
    ReadOnly,
    /// It must run on the primary, and may leave state that pins the session.
    Primary(Why, Option<Pin>),
    /// Its arguments decide (`set_config`, `current_setting`).
    ByArgument,
}

impl Class {
    /// What a call leaves in the session, whatever its arguments.
    pub(super) fn traces(self) -> Traces {
        match self {
            Class::ReadOnly | Class::Primary(_, None) => Traces::None,
            Class::Primary(_, Some(Pin::AdvisoryLock)) | Class::ByArgument => Traces::Discardable,
            Class::Primary(_, Some(_)) => Traces::Lasting,
        }
    }
}

/// The table of known functions. Built once per classifier from `functions.txt`.
#[derive(Debug)]
pub(in crate::sql) struct KnownFunctions {
    by_name: HashMap<&'static str, Class>,
}

impl KnownFunctions {
    /// Reads the table that is compiled in.
    pub(in crate::sql) fn load() -> Self {
        let lines = include_str!("functions.txt").lines().filter(|l| !l.starts_with('#'));
        Self { by_name: lines.filter_map(entry).collect() }
    }

    /// What is known about a function; `None` leaves it to the catalog. A schema other than `pg_catalog` is
    /// always the user's, except that its contrib modules may be installed anywhere.
    pub(super) fn class(&self, function: &Name) -> Option<Class> {
        let class = self.by_name.get(&*function.name).copied();
        let class = class.or_else(|| {
            // Statistics of one server: new ones come with every major version.
            let statistics = function.name.starts_with("pg_stat_");
            statistics.then_some(Class::Primary(Why::ServerState, None))
        });
        match function.schema.as_deref() {
            None | Some("pg_catalog") => class,
            Some(_) => class.filter(|_| contrib(&function.name)),
        }
    }
}

impl KnownFunctions {
    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// Whether there is anything to say of a function of PostgreSQL's own.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The names of those that must run on the primary.
    pub(super) fn of_the_primary(&self) -> impl Iterator<Item = &'static str> {
        let primary = self.by_name.iter().filter(|(_, class)| matches!(class, Class::Primary(..)));
        primary.map(|(name, _)| *name)
    }
}

/// Modules whose functions act outside the database or keep state, in whatever schema they were created.
fn contrib(name: &str) -> bool {
    name.starts_with("dblink") || name.starts_with("pg_stat_statements")
}

fn entry(line: &'static str) -> Option<(&'static str, Class)> {
    let mut words = line.split(' ');
    let (name, class, pin) = (words.next()?, words.next()?, words.next());
    let why = match class {
        "read" => return Some((name, Class::ReadOnly)),
        "by_argument" => return Some((name, Class::ByArgument)),
        "advisory_lock" => Why::AdvisoryLock,
        "sequence" => Why::Sequence,
        "notification" => Why::Notification,
        "server_state" => Why::ServerState,
        "session_state" => Why::SessionState,
        "server_file" => Why::ServerFile,
        _ => Why::VolatileFunction,
    };
    let pin = pin.map(|_| if why == Why::AdvisoryLock { Pin::AdvisoryLock } else { Pin::Unknown });
    Some((name, Class::Primary(why, pin)))
}

/// Known functions that read relations which the statement does not name, or whose answers change with those.
const READS_UNNAMED: &[&str] = &[
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "pg_column_is_updatable",
    "pg_current_snapshot",
    "pg_database_size",
    "pg_filenode_relation",
    "pg_indexes_size",
    "pg_relation_filenode",
    "pg_relation_filepath",
    "pg_relation_is_updatable",
    "pg_relation_size",
    "pg_table_size",
    "pg_tablespace_databases",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_visible_in_snapshot",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "txid_current_snapshot",
    "txid_visible_in_snapshot",
];

/// Known functions that read the rows of relations which they are given as text: what is behind any of these runs.
pub(crate) const RUNS_UNNAMED: &[&str] = &[
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "ts_rewrite",
    "ts_stat",
];

/// Whether the answer of a known function depends on relations that are given to it as text, or on none in particular.
/// Those that must run on the primary count: a hint may send them elsewhere.
pub(super) fn reads_unnamed(name: &str, class: Class) -> bool {
    class != Class::ReadOnly && class != Class::ByArgument || READS_UNNAMED.binary_search(&name).is_ok()
}

/// Functions that must run on the primary and yet change nothing in any relation.
const HARMLESS: &[&str] = &[
    "pg_cancel_backend",
    "pg_create_restore_point",
    "pg_current_xact_id",
    "pg_log_backend_memory_contexts",
    "pg_logical_emit_message",
    "pg_prewarm",
    "pg_reload_conf",
    "pg_stat_clear_snapshot",
    "pg_stat_force_next_flush",
    "pg_switch_wal",
    "pg_terminate_backend",
    "txid_current",
];

/// Whether a known function may change relations that the statement does not name.
pub(super) fn writes_unnamed(name: &str, class: Class) -> bool {
    let acts = matches!(class, Class::Primary(Why::VolatileFunction | Why::ServerFile, _));
    acts && !name.starts_with("pg_stat_reset") && HARMLESS.binary_search(&name).is_err()
}

/// Views of `pg_catalog` (and of contrib modules) that speak of one server or one session.
const VIEWS: &[(&str, Why)] = &[
    ("pg_aios", Why::ServerState),
    ("pg_available_extension_versions", Why::ServerState),
    ("pg_available_extensions", Why::ServerState),
    ("pg_backend_memory_contexts", Why::ServerState),
    ("pg_buffercache", Why::ServerState),
    ("pg_config", Why::ServerState),
    ("pg_cursors", Why::SessionState),
    ("pg_dsm_registry_allocations", Why::ServerState),
    ("pg_file_settings", Why::ServerState),
    ("pg_hba_file_rules", Why::ServerState),
    ("pg_ident_file_mappings", Why::ServerState),
    ("pg_locks", Why::ServerState),
    ("pg_prepared_statements", Why::SessionState),
    ("pg_prepared_xacts", Why::ServerState),
    ("pg_replication_origin_status", Why::ServerState),
    ("pg_replication_slots", Why::ServerState),
    ("pg_sequences", Why::Sequence),
    ("pg_settings", Why::SessionState),
    ("pg_shmem_allocations", Why::ServerState),
    ("pg_shmem_allocations_numa", Why::ServerState),
    ("pg_wait_events", Why::ServerState),
];

/// Why a relation of this name must be read on the primary, if it is known to.
pub(super) fn view(name: &str) -> Option<Why> {
    if name.starts_with("pg_stat_") || name.starts_with("pg_statio_") {
        return Some(Why::ServerState);
    }
    if name.starts_with("pg_temp") || name.starts_with("pg_toast_temp") {
        return Some(Why::Temporary);
    }
    VIEWS.binary_search_by_key(&name, |(view, _)| view).ok().map(|at| VIEWS[at].1)
}

/// Columns that only sequences have: `SELECT last_value FROM seq` answers with values that were reserved
/// in advance when a replica runs it.
pub(super) fn sequence_column(name: &str) -> bool {
    matches!(name, "last_value" | "is_called" | "log_cnt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_line_is_understood() {
        let lines: Vec<_> = include_str!("functions.txt").lines().filter(|l| !l.starts_with('#')).collect();
        assert!(
            lines.is_sorted_by(|a, b| a.split(' ').next() < b.split(' ').next()),
            "a name is listed twice"
        );
        assert_eq!(KnownFunctions::load().by_name.len(), lines.len());
        let classes = [
            "read",
            "by_argument",
            "advisory_lock",
            "sequence",
            "notification",
            "server_state",
            "session_state",
            "server_file",
            "volatile_function",
        ];
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            assert!(classes.contains(&words[1]), "{line}");
            assert!(words.len() == 2 || words[2] == "pin", "{line}");
        }
        assert!(READS_UNNAMED.is_sorted() && HARMLESS.is_sorted());
        let known = KnownFunctions::load();
        assert!(READS_UNNAMED.iter().all(|name| known.by_name[name] == Class::ReadOnly));
        assert!(HARMLESS.iter().all(|name| matches!(known.by_name[name], Class::Primary(..))));
        assert!(VIEWS.is_sorted());
    }

    #[test]
    fn a_schema_of_the_users_own_is_not_the_built_in() {
        let known = KnownFunctions::load();
        let name =
            |schema: Option<&str>, name: &str| Name { schema: schema.map(Into::into), name: name.into() };
        let sequence = Some(Class::Primary(Why::Sequence, None));
        assert_eq!(known.class(&name(None, "nextval")), sequence);
        assert_eq!(known.class(&name(Some("pg_catalog"), "nextval")), sequence);
        assert_eq!(known.class(&name(Some("app"), "nextval")), None);
        assert_eq!(known.class(&name(None, "my_function")), None);
        assert_eq!(
            known.class(&name(None, "pg_stat_get_something_new")),
            Some(Class::Primary(Why::ServerState, None))
        );
        assert!(matches!(known.class(&name(Some("ext"), "dblink_exec")), Some(Class::Primary(..))));
    }

    #[test]
    fn statistics_of_a_server_are_told_from_statistics_of_data() {
        assert_eq!(view("pg_stat_replication"), Some(Why::ServerState));
        assert_eq!(view("pg_statio_user_tables"), Some(Why::ServerState));
        assert_eq!(view("pg_stats"), None);
        assert_eq!(view("pg_statistic"), None);
        assert_eq!(view("pg_class"), None);
    }
}
