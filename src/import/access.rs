//! Who may log in: `[auth]`, `[[users]]`, and as whom the servers are watched.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::{Draft, Keys};
use super::ini::{Ini, pairs};
use super::pools;
use super::servers::Database;
use super::values::{Limit, beside, limit, list};
use crate::config::Secret;
use crate::config::userlist::{self, UserlistError};

/// Whom the list of users names.
#[derive(Default)]
pub(super) struct Known(BTreeMap<String, Secret>);

impl Known {
    pub(super) fn read(path: &Path) -> Result<Self, UserlistError> {
        let entries = userlist::read(path)?;
        Ok(Self(entries.into_iter().map(|(name, secret)| (name.into(), secret)).collect()))
    }

    /// A user's password, where it stands there as it is.
    fn password(&self, name: &str) -> Option<&Secret> {
        self.0.get(name).filter(|secret| {
            let text = secret.expose();
            let is_hash = text.len() == 35 && text.starts_with("md5");
            !text.is_empty() && !is_hash && !text.starts_with("SCRAM-SHA-256$")
        })
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

/// Where things stand.
pub(super) struct Sources<'a> {
    pub(super) file: &'a Path,
    pub(super) list: Option<&'a Path>,
    pub(super) known: &'a Known,
}

/// PgBouncer's own question, in the words of its versions.
fn is_own(query: &str) -> bool {
    let plain = query.to_ascii_lowercase();
    (plain.contains("pg_shadow") || plain.contains("pg_authid")) && !plain.contains("user_lookup")
}

pub(super) fn write(draft: &mut Draft, ini: &Ini, sources: &Sources) {
    let kind = ini.setting("auth_type").unwrap_or("md5");
    auth(draft, ini, sources, kind);
    let mut users: BTreeMap<String, Keys> = BTreeMap::new();
    proofs(draft, sources, kind, &mut users);
    for entry in ini.section("users") {
        let keys = own_limits(draft, &pairs(&entry.value));
        users.entry(entry.key.clone()).or_default().append(keys);
    }
    forced(draft, ini, sources, &mut users);
    let watched = watch(draft, ini, sources, &mut users);
    for (name, keys) in users {
        let mut named = Keys::default();
        named.text("name", &name);
        draft.table("[[users]]", named.with(keys));
    }
    draft.table("[health]", watched);
}

fn auth(draft: &mut Draft, ini: &Ini, sources: &Sources, kind: &str) {
    let mut keys = Keys::default();
    if let Some(list) = sources.list {
        keys.text("userlist", &list.to_string_lossy());
    }
    if kind == "hba" {
        for (from, to) in [("auth_hba_file", "hba_file"), ("auth_ident_file", "ident_file")] {
            if let Some(path) = ini.setting(from).filter(|path| !path.is_empty()) {
                keys.text(to, &beside(sources.file, path).to_string_lossy());
            }
        }
    }
    if let Some(user) = ini.setting("auth_user").filter(|user| !user.is_empty()) {
        match ini.setting("auth_query").filter(|query| !is_own(query)) {
            Some(query) => keys.text("query", query),
            None => keys.put("query", true),
        }
        keys.text("query_user", user);
        match sources.known.password(user) {
            Some(password) => {
                let file = draft.secret(user, password);
                keys.text("query_password_file", &file);
            }
            None => draft.remark(format!(
                "auth_user {user:?} has no password in auth_file that weir could log in with: if the servers ask for one, \
                 put it into [auth] query_password_file"
            )),
        }
        if let Some(database) = ini.setting("auth_dbname").filter(|name| !name.is_empty()) {
            let listed = ini.databases().map(Database::of).find(|listed| listed.name == database);
            keys.text("query_database", listed.as_ref().map_or(database, Database::server_name));
        }
    }
    draft.table("[auth]", keys);
}

/// What each user of the list must show, where it is no password.
fn proofs(draft: &mut Draft, sources: &Sources, kind: &str, users: &mut BTreeMap<String, Keys>) {
    let word = match kind {
        "trust" | "any" => "trust",
        "cert" => "cert",
        "pam" | "ldap" => {
            draft.remark(format!("auth_type {kind}: weir asks no such service; users need secrets in auth_file or on the servers"));
            return;
        }
        _ => return,
    };
    if kind == "any" {
        draft.remark("auth_type any: weir lets in whom [[users]] names, not whoever comes");
    }
    for name in sources.known.names() {
        let keys = users.entry(name.clone()).or_default();
        keys.text("auth", word);
        if let Some(password) = sources.known.password(name) {
            keys.text("server_password_file", &draft.secret(name, password));
        }
    }
}

fn own_limits(draft: &mut Draft, pairs: &[(String, String)]) -> Keys {
    let mut keys = Keys::default();
    for (key, value) in pairs {
        let time = || limit(Some(value));
        match (key.as_str(), time()) {
            ("pool_size", _) if value.parse::<u32>().is_ok_and(|size| size > 0) => {
                keys.put("pool_size", value)
            }
            ("pool_mode", _) => keys.text("pool_mode", pools::mode(draft, value)),
            ("query_timeout", Limit::Of(time)) => keys.put("query_timeout", time),
            ("client_idle_timeout", Limit::Of(time)) => keys.put("idle_client_timeout", time),
            ("idle_transaction_timeout", Limit::Of(time)) => keys.put("idle_in_transaction_timeout", time),
            ("query_timeout", Limit::Zero) => keys.text("query_timeout", "off"),
            ("client_idle_timeout", Limit::Zero) => keys.text("idle_client_timeout", "off"),
            ("idle_transaction_timeout", Limit::Zero) => keys.text("idle_in_transaction_timeout", "off"),
            _ => {}
        }
    }
    keys
}

/// Databases that everybody enters as one and the same user. weir says that of users, not of databases.
fn forced(draft: &mut Draft, ini: &Ini, sources: &Sources, users: &mut BTreeMap<String, Keys>) {
    let all: Vec<Database> = ini.databases().map(Database::of).collect();
    let as_whom: Vec<Option<&str>> = all.iter().map(|database| database.value("user")).collect();
    let Some(user) = as_whom.iter().copied().flatten().next() else { return };
    if as_whom.iter().any(|other| *other != Some(user)) {
        draft.remark(
            "some databases are entered as a user of their own (user=), others are not: weir's users have one server_user \
             each, for all databases; say it in [[users]]",
        );
        return;
    }
    let written = all.iter().find_map(|database| database.value("password")).map(Secret::new);
    let password = written.as_ref().or_else(|| sources.known.password(user));
    let file = password.map(|password| draft.secret(user, password));
    for name in sources.known.names() {
        let keys = users.entry(name.clone()).or_default();
        if name != user {
            keys.text("server_user", user);
        }
        if let Some(file) = file.as_ref().filter(|_| !keys.has("server_password_file")) {
            keys.text("server_password_file", file);
        }
    }
}

/// As whom weir watches the servers, and where. It must know a password for that, or be trusted.
fn watch(draft: &mut Draft, ini: &Ini, sources: &Sources, users: &mut BTreeMap<String, Keys>) -> Keys {
    let mut health = Keys::default();
    let can = |keys: &Keys| keys.has("server_password_file") || keys.has("auth");
    let asks = ini.setting("auth_user").filter(|user| sources.known.password(user).is_some());
    if !users.values().any(can) && asks.is_none() {
        let operators = list(ini.setting("admin_users").unwrap_or_default());
        // Whoever is somebody else on the servers has another password there.
        let is_itself = |name: &str| !users.get(name).is_some_and(|keys| keys.has("server_user"));
        let known = |name: &&str| sources.known.password(name).is_some() && is_itself(name);
        let first = || sources.known.names().map(String::as_str).find(known);
        match operators.into_iter().find(known).or_else(first) {
            Some(name) => {
                if let Some(password) = sources.known.password(name) {
                    let file = draft.secret(name, password);
                    users.entry(name.to_owned()).or_default().text("server_password_file", &file);
                }
                health.text("user", name);
            }
            None => draft.remark(
                "weir watches the servers as a user of its own, and no password is known for one: add a [[users]] entry \
                 with name and password_file, of a role that may log in (pg_monitor is enough)",
            ),
        }
    }
    let databases: Vec<Database> = ini.databases().map(Database::of).collect();
    let place = databases.iter().find(|database| database.name != "*").map(Database::server_name);
    if let Some(place) = place.filter(|place| *place != "postgres") {
        health.text("database", place);
    }
    health
}
