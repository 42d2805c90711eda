//! The file: what was found, in the order in which proxy.toml has it, with what it means and what is left to do. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cluster::survey::{Found, Login, Survey};
use crate::cluster::topology::Role;
use crate::config::quoted;
use crate::net::tls::{Root, SslMode};

/// Connections of one pool, unless a server or the role has room for fewer.
const POOL_SIZE: usize = 20;

/// What a file is written of.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// As whom the servers were asked.
    pub login: &'a Login,
    /// What they said.
    pub survey: &'a Survey,
    /// Where the password will stand.
    pub password: &'a Password,
}

/// Where weir will find the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// In a file beside the configuration.
    File(String),
    /// In this variable of the environment.
    Variable(String),
    /// Nowhere: the servers asked for none.
    None,
}

/// The whole text.
pub fn written(draft: &Draft) -> String {
    let mut text = String::new();
    heading(&mut text, draft);
    let are_named = are_named(&draft.survey.servers);
    for server in &draft.survey.servers {
        let name = are_named.then_some(server.name.as_str());
        entry(&mut text, server, draft.login, name);
    }
    users(&mut text, draft);
    databases(&mut text, draft);
    pools(&mut text, draft.survey);
    text += "
# ------------------------------------------------------------------------------------------------------- clients

[listen]
address = \"127.0.0.1:6432\"   # \"0.0.0.0:6432\" for the whole network: then see to tls_certificate and tls_key as well

[metrics]
address = \"127.0.0.1:9187\"   # /metrics, /healthz, /readyz; everyone who reaches it may read it
";
    text
}

fn heading(text: &mut String, Draft { login, survey, .. }: &Draft) {
    let count = survey.servers.len();
    let servers = if count == 1 { "1 server".to_owned() } else { format!("{count} servers") };
    line(
        text,
        &format!("weir's configuration, as `weir init` found it: {servers}, asked as {}.", login.user),
    );
    *text += "#
#   weir check --config FILE     says whether it is right, and what it means
#   weir run --config FILE       runs it
#
# What is not here has its default; the file proxy.toml of weir's documentation explains every setting.
";
    if !survey.unknown.is_empty() {
        *text += "#\n# What could not be found out:\n";
        survey.unknown.iter().for_each(|sentence| line(text, &format!("- {sentence}")));
    }
    *text += "
# ------------------------------------------------------------------------------------------------------- servers
# weir asks each of them which one is the primary, and follows when another one is promoted.
";
}

fn entry(text: &mut String, server: &Found, login: &Login, name: Option<&str>) {
    let role = match server.role {
        Role::Primary => "the primary",
        Role::Replica | Role::Unknown => "a replica",
    };
    let Found { connections, reserved, used, .. } = server;
    let room = room(server);
    text.push('\n');
    line(text, &format!("Now {role}: PostgreSQL {}.", server.version));
    put(text, "[[servers]]");
    if let Some(name) = name {
        put(text, &format!("name = {}", quoted(name)));
    }
    put(text, &format!("host = {}", quoted(&server.place.host)));
    put(text, &format!("port = {}", server.place.port));
    put(
        text,
        &format!(
            "connections = {room}   # max_connections {connections}, less {reserved} that are reserved and {used} that others \
         have; copies of weir share them"
        ),
    );
    encryption(text, server, login);
}

/// Whether logs and metrics can call each server what it calls itself (`cluster_name`): not all have a name, and some share
/// one, as Debian's do.
fn are_named(servers: &[Found]) -> bool {
    let names: BTreeSet<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    names.len() == servers.len() && !names.contains("")
}

fn room(server: &Found) -> usize {
    server.connections.saturating_sub(server.reserved + server.used).max(1)
}

fn encryption(text: &mut String, server: &Found, login: &Login) {
    if server.place.host.starts_with('/') {
        return;
    }
    let mode = match (server.is_encrypted, login.tls.mode) {
        (true, mode) if !mode.is_strict() => SslMode::Require,
        (_, mode) => mode,
    };
    let remark = match (server.is_encrypted, mode) {
        (false, SslMode::Disable) => "as it was said",
        (false, _) => "it speaks no TLS: what is said to it can be read on the way",
        (true, SslMode::VerifyFull) => "it has shown who it is",
        (true, _) => "encrypted; only \"verify-full\" keeps out who is in between, and needs sslrootcert",
    };
    put(text, &format!("sslmode = \"{}\"   # {remark}", mode.as_str()));
    match &login.tls.root {
        Root::Anyone => {}
        Root::System => put(text, "sslrootcert = \"system\""),
        Root::File(file) => put(text, &format!("sslrootcert = {}", quoted(&file.to_string_lossy()))),
    }
}

fn users(text: &mut String, Draft { login, survey, password }: &Draft) {
    *text += "
# --------------------------------------------------------------------------------------------------------- users
# Who may log in to weir, and as whom weir logs in to the servers. The first one also watches the servers.

[[users]]
";
    put(text, &format!("name = {}", quoted(&login.user)));
    match password {
        Password::File(name) => put(text, &format!("password_file = {}", quoted(name))),
        Password::Variable(name) => {
            put(
                text,
                &format!("password_env = {}   # the variable that weir finds the password in", quoted(name)),
            );
        }
        Password::None => put(
            text,
            "auth = \"trust\"   # the servers ask this user for no password from here, so weir has none to ask clients for",
        ),
    }
    *text += "\n# Other users: one such entry for each, with password_file or password_env";
    if survey.account.reads_passwords {
        put(text, "; or those that the servers know, as this\n# role may read their passwords:");
        put(text, &format!("#\n#   [auth]\n#   query = true\n#   query_user = {}", quoted(&login.user)));
    } else {
        put(
            text,
            ". This role may not read the others' passwords; with a role\n# that may, `[auth] query = true` lets in whom the servers know.",
        );
    }
}

fn databases(text: &mut String, Draft { login, survey, .. }: &Draft) {
    *text += "
# ----------------------------------------------------------------------------------------------------- databases
# A database is reached under its own name, without an entry here.
";
    let names: Vec<_> = survey.account.databases.iter().map(|name| quoted(name)).collect();
    if !names.is_empty() {
        line(text, &format!("This role may enter: {}.", names.join(", ")));
    }
    if &*login.database != "postgres" {
        put(text, "\n[health]");
        put(
            text,
            &format!(
                "database = {}   # what weir watches the servers in: this user is known to get in",
                quoted(&login.database)
            ),
        );
    }
}

fn pools(text: &mut String, survey: &Survey) {
    let least = survey.servers.iter().map(room).chain(survey.account.limit).min().unwrap_or(POOL_SIZE);
    *text += "
# --------------------------------------------------------------------------------------------------------- pools
# One pool per server, database and user, up to the `connections` of a server over all of them.

[pool]
";
    let size = least.clamp(1, POOL_SIZE);
    let remark = match survey.account.limit {
        Some(limit) => format!(
            "   # the role may have {limit} (CONNECTION LIMIT), on each server and over all copies of weir"
        ),
        None => String::new(),
    };
    put(text, &format!("size = {size}{remark}"));
}

fn put(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}

/// A comment. What servers say of themselves stays on its lines.
fn line(text: &mut String, words: &str) {
    for part in words.lines().filter(|part| !part.is_empty()) {
        put(text, &format!("# {part}"));
    }
}
