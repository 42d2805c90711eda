//! `[auth]`: who may log in beside `[[users]]`, and where that is found out.
//!
//! What is found out is no part of the configuration: here stands only where to look.

use std::sync::Arc;
use std::time::Duration;

use config::{Value, ValueKind};

use super::kinds::{duration, text};
use super::section::Section;
use super::users::{QUERY_PASSWORD, Surroundings, one_secret, only_one};
use super::{
    Auth, AuthPlace, AuthQuery, Database, HbaFiles, ServerProof, Statement, User, userlist, warnings,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

impl AuthQuery {
    /// What is asked, and where, for a client that wants to work on `database`. Statements of PostgreSQL's own catalog
    /// are asked in `any`: it is the same in all databases, and a client's may not exist.
    pub fn place(&self, database: &str, databases: &[Database], any: &Arc<str>) -> AuthPlace {
        let listed = databases.iter().find(|listed| *listed.name == *database);
        let statement = listed.and_then(|listed| listed.auth_query.clone()).unwrap_or(self.statement.clone());
        let database = match (&self.database, &statement, listed) {
            (Some(fixed), _, _) => fixed.clone(),
            (None, Statement::Password, _) => any.clone(),
            (None, Statement::Own(_), Some(listed)) => listed.server_database.clone(),
            (None, Statement::Own(_), None) => database.into(),
        };
        AuthPlace { statement, database }
    }
}

impl Auth {
    /// Whether there are users whom `[[users]]` does not name.
    pub fn has_source(&self) -> bool {
        self.userlist.is_some() || self.query.is_some()
    }
}

/// Reads the section. A list that is not right is a mistake here, so that `weir check` finds it.
pub(super) fn auth(s: &mut Section, around: &Surroundings, warned: &mut Vec<String>) -> Auth {
    let list = s.read("userlist", text).map(|path| around.file.with_file_name("").join(path));
    if let Some(list) = &list {
        warned.extend(warnings::readable_secrets(list));
        if let Err(problem) = userlist::read(list) {
            s.note("userlist", problem.to_string());
        }
    }
    only_one(s, &QUERY_PASSWORD.all());
    let password = one_secret(s, &QUERY_PASSWORD, around);
    let statement = s.read("query", statement).flatten();
    let user = s.read("query_user", text);
    let database = s.read("query_database", text).map(Arc::from);
    let ttl = s.read("query_ttl", duration(Duration::ZERO..=DAY)).unwrap_or(SECOND);
    let negative_ttl = s.read("query_negative_ttl", duration(Duration::ZERO..=DAY)).unwrap_or(SECOND);
    if statement.is_some() && !s.has("query_user") {
        s.note("query_user", "is missing; as whom are the servers asked?");
    }
    let query = statement.map(|statement| AuthQuery {
        statement,
        user: user.unwrap_or_default().into(),
        proof: password.map_or(ServerProof::None, ServerProof::Password),
        database,
        ttl,
        negative_ttl,
    });
    Auth { userlist: list, query, hba: hba_files(s, around), operators: None }
}

/// Relative paths start where the configuration lies.
fn hba_files(s: &mut Section, around: &Surroundings) -> Option<HbaFiles> {
    let mut path = |key| s.read(key, text).map(|path| around.file.with_file_name("").join(path));
    let (hba, ident) = (path("hba_file"), path("ident_file"));
    if hba.is_none() && ident.is_some() {
        s.note("ident_file", "is of use to the lines of hba_file alone, which is missing");
    }
    hba.map(|hba| HbaFiles { hba, ident })
}

/// `true` for PostgreSQL's own passwords, `false` for none, or a statement.
fn statement(value: &Value) -> Result<Option<Statement>, String> {
    match &value.kind {
        ValueKind::Boolean(true) => Ok(Some(Statement::Password)),
        ValueKind::Boolean(false) => Ok(None),
        ValueKind::String(word) if word == "true" => Ok(Some(Statement::Password)),
        ValueKind::String(word) if word == "false" => Ok(None),
        _ => own_statement(value).map(Some).map_err(|problem| format!("{problem}; or true, or false")),
    }
}

/// A statement that is told the name.
pub(super) fn own_statement(value: &Value) -> Result<Statement, String> {
    let text = text(value)?;
    if !text.contains("$1") {
        return Err("expected a statement in which $1 stands for the user's name".to_owned());
    }
    Ok(Statement::Own(text.into()))
}

/// The one who asks for users is as good as a user that is listed: where it is, its entry says how it logs in.
pub(super) fn complete(query: &mut AuthQuery, users: &[User]) {
    if query.proof != ServerProof::None {
        return;
    }
    if let Some(user) = users.iter().find(|user| user.name == query.user) {
        query.user = user.server_user.clone();
        query.proof = user.server_proof.clone();
    }
}

/// Databases with a statement of their own where nobody is asked.
pub(super) fn check_databases(root: &Section, auth: &Auth, databases: &[Database]) {
    if auth.query.is_none() && databases.iter().any(|database| database.auth_query.is_some()) {
        root.note("databases", "auth_query needs [auth] query: true, or what other databases are asked");
    }
}
