//! What statements and the bodies of functions have to do with beyond the data of their own database: the state of the
//! server that runs them, and the catalogs that all databases share.
//!
//! It goes by names, wherever they stand, as code is searched and not run: a column of such a name is mistaken for
//! what it is named after. What a name of a user's stands for only the catalog tells. Why a statement must run on the
//! primary is not said here.

use super::functions::{self, Class, KnownFunctions};
use super::parameters;
use super::reader::Reader;
use crate::sql::text::{self, Cursor, Lexer, StandardConformingStrings, Token, TokenKind};
use crate::sql::verdict::{Beyond, Name};

/// PostgreSQL's own functions that read catalogs which all databases share, apart from those about privileges
/// (`has_..._privilege`): most of them turn a role into its name or back.
const READ_SHARED: &[&str] = &[
    "aclitemin",
    "aclitemout",
    "makeaclitem",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_describe_object",
    "pg_get_acl",
    "pg_get_object_address",
    "pg_get_userbyid",
    "pg_has_role",
    "pg_identify_object",
    "pg_identify_object_as_address",
    "pg_replication_origin_oid",
    "pg_tablespace_databases",
    "pg_tablespace_location",
    "pg_tablespace_size",
    "regrolein",
    "regroleout",
    "regrolerecv",
    "regrolesend",
    "row_security_active",
    "shobj_description",
    "to_regrole",
];

/// Whether one of PostgreSQL's own functions reads catalogs that all databases share.
fn reads_shared(function: &str) -> bool {
    let privilege = || function.starts_with("has_") && function.ends_with("_privilege");
    READ_SHARED.binary_search(&function).is_ok() || privilege()
}

/// How deep texts within texts are followed.
const NESTING_MAX: usize = 3;

/// What the text of a statement names that all databases share. What keeps it from a replica is found elsewhere.
pub(super) fn in_statement(tokens: &[Token<'_>], reader: Reader<'_>) -> Beyond {
    let mut found = Search { found: Beyond::NOTHING, reader, nesting: 0 };
    // On the literals in other statements no verdict may depend.
    if tokens.first().is_some_and(|first| first.is_word("do")) {
        found.tokens(tokens);
    } else {
        found.names(tokens);
    }
    found.found
}

/// Reads bodies of functions, and knows what PostgreSQL's own functions, relations and settings are.
#[derive(Debug)]
pub(crate) struct BeyondReader {
    known: KnownFunctions,
}

impl Default for BeyondReader {
    fn default() -> Self {
        Self { known: KnownFunctions::load() }
    }
}

impl BeyondReader {
    /// What a body in SQL or PL/pgSQL names. It is read as strings are read by default.
    pub(crate) fn body(&self, body: &str) -> Beyond {
        let reader = Reader { strings: StandardConformingStrings::On, known: &self.known };
        let mut search = Search { found: Beyond::NOTHING, reader, nesting: 0 };
        search.text(body);
        search.found
    }

    /// What PostgreSQL's own function of this name does. Of one that is not known, the worst: most of those that come with
    /// a new version speak of the server.
    pub(crate) fn function(&self, name: &str) -> Beyond {
        let unknown = name.starts_with("pg_") && !self.known.knows(name);
        self.of_module(name).with(Beyond::SERVER.when(|| unknown))
    }

    /// What a function in C of this name does.
    pub(crate) fn of_module(&self, name: &str) -> Beyond {
        function(&Name { schema: None, name: name.into() }, &self.known)
    }

    /// What a relation of this name shows, if it is PostgreSQL's own or one of its modules'.
    pub(crate) fn relation(name: &str) -> Beyond {
        relation(name)
    }

    /// What a setting, as it is given to `current_setting`, shows.
    pub(crate) fn setting(name: &str) -> Beyond {
        Beyond::SERVER.when(|| !parameters::alike_everywhere(&name.to_ascii_lowercase()))
    }

    /// The functions of PostgreSQL's own that have to do with anything beyond, those about privileges and those that are
    /// not known aside.
    pub(crate) fn functions(&self) -> Vec<&'static str> {
        self.known.of_the_primary().chain(READ_SHARED.iter().copied()).collect()
    }

    /// Those of PostgreSQL's own functions that are known.
    pub(crate) fn known(&self) -> Vec<&'static str> {
        self.known.names().collect()
    }
}

fn function(name: &Name, known: &KnownFunctions) -> Beyond {
    let own = matches!(name.schema.as_deref(), None | Some("pg_catalog"));
    // What it leaves is followed by itself, and more closely.
    let primary = matches!(known.class(name), Some(Class::Primary(_, None)));
    let shared = own && reads_shared(&name.name);
    Beyond::SERVER.when(|| primary).with(Beyond::READS_SHARED.when(|| shared))
}

fn relation(name: &str) -> Beyond {
    // Of its catalogs and views hardly one has nothing to do with roles: names of owners, lists of privileges, or which
    // rows are shown. The schema of most is no relation.
    let own = name.starts_with("pg_") && !matches!(name, "pg_catalog" | "pg_temp" | "pg_toast")
        || name == "information_schema";
    Beyond::SERVER.when(|| functions::view(name).is_some()).with(Beyond::READS_SHARED.when(|| own))
}

struct Search<'k> {
    found: Beyond,
    reader: Reader<'k>,
    nesting: usize,
}

impl Search<'_> {
    fn add(&mut self, found: Beyond) {
        self.found = self.found.with(found);
    }

    fn text(&mut self, text: &str) {
        match Lexer::new(text.as_bytes(), self.reader.strings).collect::<Result<Vec<_>, _>>() {
            Ok(tokens) => self.tokens(&tokens),
            // A text within a text may be no SQL at all.
            Err(_) if self.nesting > 0 => {}
            Err(_) => self.add(Beyond::SERVER),
        }
    }

    fn tokens(&mut self, tokens: &[Token<'_>]) {
        self.names(tokens);
        if self.nesting == NESTING_MAX {
            return;
        }
        // Whatever is put together while it runs is made of these.
        for token in tokens.iter().filter(|token| matches!(token.kind, TokenKind::String(_))) {
            if let Some(text) = text::string_value(*token, self.reader.strings) {
                self.nesting += 1;
                self.text(&text);
                self.nesting -= 1;
            }
        }
    }

    fn names(&mut self, tokens: &[Token<'_>]) {
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.is_name()) {
            let Some(name) = text::name(*token) else { continue };
            let called = tokens.get(at + 1).is_some_and(|next| next.is_symbol("("));
            let found = if called { self.call(tokens, at, name) } else { self.name(tokens, at, &name) };
            self.add(found);
        }
    }

    fn call(&self, tokens: &[Token<'_>], at: usize, name: Box<str>) -> Beyond {
        if &*name == "current_setting" {
            let arguments = Cursor::new(&tokens[at + 1..]).take_parenthesised().unwrap_or_default();
            let setting = arguments.first().and_then(|first| text::string_value(*first, self.reader.strings));
            return setting.map_or(Beyond::SERVER, |setting| BeyondReader::setting(&setting));
        }
        // `INSERT INTO pg_statistic (...)`, `JOIN pg_locks (a, b)`.
        let named = relation(&name)
            .when(|| self.reader.known.class(&Name { schema: None, name: name.clone() }).is_none());
        function(&Name { schema: schema(tokens, at), name }, self.reader.known).with(named)
    }

    fn name(&self, tokens: &[Token<'_>], at: usize, name: &str) -> Beyond {
        let next = tokens.get(at + 1..).unwrap_or_default();
        match name {
            "regrole" | "aclitem" => Beyond::READS_SHARED,
            "grant" | "revoke" | "reassign" => Beyond::WRITES_SHARED,
            "create" | "alter" | "drop" | "comment" | "label" => {
                Beyond::WRITES_SHARED.when(|| next.iter().take(OBJECT_WITHIN).any(is_shared_object))
            }
            "show" => {
                let setting = next.first().and_then(|next| text::name(*next));
                setting.map_or(Beyond::NOTHING, |setting| BeyondReader::setting(&setting))
            }
            _ if functions::sequence_column(name) => Beyond::SERVER,
            _ => relation(name),
        }
    }
}

/// How many words lie at most between the first of a definition and the kind of its object: `CREATE OR REPLACE`,
/// `SECURITY LABEL FOR provider ON`.
const OBJECT_WITHIN: usize = 4;

/// The word for an object that belongs to the cluster, or for all that a role has (`DROP OWNED`).
fn is_shared_object(token: &Token<'_>) -> bool {
    const OBJECTS: [&str; 7] = ["role", "user", "group", "database", "tablespace", "subscription", "owned"];
    OBJECTS.iter().any(|word| token.is_word(word))
}

/// The name in front of a dot in front of this one.
fn schema(tokens: &[Token<'_>], at: usize) -> Option<Box<str>> {
    let [.., schema, dot] = &tokens[..at] else { return None };
    if dot.is_symbol(".") { text::name(*schema) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Classifier;

    #[test]
    fn the_list_is_sorted() {
        assert!(READ_SHARED.is_sorted());
    }

    #[test]
    fn bodies_that_show_the_state_of_their_server() {
        let reader = BeyondReader::default();
        for body in [
            "SELECT pg_is_in_recovery()",
            "BEGIN RETURN NOT pg_catalog.pg_is_in_recovery(); END",
            "SELECT count(*) FROM pg_stat_activity",
            "SELECT 1 FROM \"pg_locks\" l",
            "BEGIN FOR r IN EXECUTE 'SELECT * FROM pg_stat_replication' LOOP NULL; END LOOP; END",
            "BEGIN EXECUTE format('SELECT %s FROM pg_stat_wal', x); END",
            "SELECT current_setting('data_directory')",
            "SELECT current_setting(x)",
            "SHOW port",
            "SELECT pg_read_file('x')",
            "SELECT last_value FROM s",
            "SELECT inet_server_addr(), 1",
            "SELECT pg_try_advisory_xact_lock(1)",
            "SELECT txid_current_if_assigned()",
            "SELECT 'unterminated",
        ] {
            assert!(reader.body(body).has(Beyond::SERVER), "{body}");
        }
        for body in [
            "SELECT a FROM t WHERE b = current_setting('app.tenant')",
            "SELECT current_setting('TimeZone'), now(), pg_typeof(1), current_user",
            "SELECT relname FROM pg_class",
            "SELECT last_value(a) OVER () FROM t",
            "BEGIN RAISE NOTICE 'don''t'; RETURN NEW; END",
            "SHOW search_path",
        ] {
            assert!(!reader.body(body).has(Beyond::SERVER), "{body}");
        }
    }

    #[test]
    fn statements_that_read_or_change_what_all_databases_share() {
        let beyond = |sql: &str| {
            Classifier::new(1).classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].beyond
        };
        for sql in [
            "SELECT rolname FROM pg_roles",
            "SELECT datname FROM pg_catalog.pg_database",
            "SELECT has_database_privilege('x', 'connect')",
            "SELECT pg_catalog.pg_get_userbyid(10)",
            "SELECT 'x'::regrole",
            "SELECT * FROM information_schema.enabled_roles",
            "SELECT relacl FROM pg_class",
        ] {
            assert_eq!(beyond(sql), Beyond::READS_SHARED, "{sql}");
        }
        for sql in [
            "CREATE ROLE x",
            "create user x",
            "ALTER GROUP x ADD USER y",
            "DROP ROLE IF EXISTS x",
            "GRANT a TO b",
            "REVOKE CONNECT ON DATABASE x FROM y",
            "ALTER DATABASE x SET work_mem = '1MB'",
            "COMMENT ON TABLESPACE x IS 'y'",
            "SECURITY LABEL FOR p ON ROLE x IS 'y'",
            "REASSIGN OWNED BY a TO b",
            "DROP OWNED BY a",
            "DO $$ BEGIN CREATE ROLE x; END $$",
            "DO $$ BEGIN EXECUTE format('ALTER ROLE %s', x); END $$",
        ] {
            assert!(beyond(sql).has(Beyond::WRITES_SHARED), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT pg_catalog.now(), 1::pg_catalog.int4, 'pg_roles', 'grant a to b'",
            "CREATE TABLE t (a int)",
            "COMMENT ON COLUMN t.a IS 'role'",
            "INSERT INTO t VALUES ('create role x')",
            "ALTER TABLE t OWNER TO x",
        ] {
            assert_eq!(beyond(sql), Beyond::NOTHING, "{sql}");
        }
    }
}
