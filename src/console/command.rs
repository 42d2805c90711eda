//! What is said to the console: a statement's text as a command. Pure.
//!
//! PgBouncer's commands (its manual: "Admin console"), weir's own, and what drivers say without being asked: settings,
//! transactions, resets. Everything else is refused in words that say what there is.

use super::pgadmin::{Question, question};

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    ActiveSockets,
    Clients,
    Config,
    Databases,
    Discovery,
    DnsHosts,
    DnsZones,
    Events,
    Fds,
    Freshness,
    Help,
    Lists,
    Mem,
    PeerPools,
    Peers,
    Pins,
    Pools,
    Routes,
    Servers,
    Shapes,
    Sockets,
    State,
    Stats,
    StatsAverages,
    StatsTotals,
    Totals,
    Transactions,
    Users,
    Version,
}

impl Shown {
    /// What is shown under which name.
    pub(super) const ALL: [(&str, Self); 29] = [
        ("active_sockets", Self::ActiveSockets),
        ("clients", Self::Clients),
        ("config", Self::Config),
        ("databases", Self::Databases),
        ("discovery", Self::Discovery),
        ("dns_hosts", Self::DnsHosts),
        ("dns_zones", Self::DnsZones),
        ("events", Self::Events),
        ("fds", Self::Fds),
        ("freshness", Self::Freshness),
        ("help", Self::Help),
        ("lists", Self::Lists),
        ("mem", Self::Mem),
        ("peer_pools", Self::PeerPools),
        ("peers", Self::Peers),
        ("pins", Self::Pins),
        ("pools", Self::Pools),
        ("routes", Self::Routes),
        ("servers", Self::Servers),
        ("shapes", Self::Shapes),
        ("sockets", Self::Sockets),
        ("state", Self::State),
        ("stats", Self::Stats),
        ("stats_averages", Self::StatsAverages),
        ("stats_totals", Self::StatsTotals),
        ("totals", Self::Totals),
        ("transactions", Self::Transactions),
        ("users", Self::Users),
        ("version", Self::Version),
    ];
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Reload,
    Pause(Option<String>),
    Resume(Option<String>),
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    Kill(Option<String>),
    KillClient(i32),
    WaitClose(Option<String>),
    Suspend,
    Shutdown,
    ShutdownForClients,
    ShutdownForServers,
    Set(String, String),
}

/// What drivers and tools say of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    Begins,
    Ends,
    Stays,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Show(Shown),
    Order(Order),
    /// One value that drivers ask for, under its column.
    Tell(&'static str, Told),
    /// What pgAdmin asks for when it connects.
    Ask(Question),
    /// Said to any server, and without consequence here: what is answered, and what a transaction block does.
    Accept(&'static str, Block),
}

/// What a driver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Fixed(&'static str),
    Database,
    User,
    Pid,
    Version,
    /// What a function gives that returns nothing.
    Void,
}

/// Settings that clients look at and set at login, as PgBouncer pretends to have them, and a few that other drivers ask for.
const SETTINGS: [(&str, &str); 13] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "2"),
    ("intervalstyle", "postgres"),
    ("search_path", ""),
    ("standard_conforming_strings", "on"),
    ("timezone", "GMT"),
    ("transaction_isolation", "read committed"),
];

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, in lower case, and as it was.
    Word(String, String),
    /// A quoted name.
    Name(String),
    /// A string.
    Text(String),
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(lower, _) if lower == word)
    }

    /// What may stand for a name or a value.
    fn word(&self) -> Option<String> {
        match self {
            Token::Word(_, text) | Token::Name(text) | Token::Text(text) => Some(text.clone()),
            Token::Sign(_) => None,
        }
    }
}

/// The statements of a query string: the text of each, and what it asks for or why it cannot be.
pub(super) fn commands(text: &str) -> Vec<(String, Result<Command, String>)> {
    let mut found = Vec::new();
    for tokens in tokens(text).split(|token| *token == Token::Sign(';')).filter(|part| !part.is_empty()) {
        let words: Vec<String> = tokens.iter().map(shown).collect();
        found.push((words.join(" "), command(tokens)));
    }
    found
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(_, text) => text.clone(),
        Token::Name(text) => format!("\"{text}\""),
        Token::Text(text) => format!("'{text}'"),
        Token::Sign(sign) => sign.to_string(),
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$' | '+' | '/');
        if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, behind)| behind);
        } else if first.is_whitespace() || first == '\0' {
            rest = &rest[first.len_utf8()..];
        } else if first == '"' || first == '\'' {
            let (content, behind) = quoted(&rest[1..], first);
            tokens.push(if first == '"' { Token::Name(content) } else { Token::Text(content) });
            rest = behind;
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_lowercase(), rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            tokens.push(Token::Sign(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// What stands before the closing quote, of which two stand for one; and what stands behind it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let (mut content, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once(quote) {
        content.push_str(before);
        rest = behind;
        match rest.strip_prefix(quote) {
            Some(more) => {
                content.push(quote);
                rest = more;
            }
            None => return (content, rest),
        }
    }
    content.push_str(rest);
    (content, "")
}

fn command(tokens: &[Token]) -> Result<Command, String> {
    let Some((Token::Word(verb, _), rest)) = tokens.split_first() else { return Err(invalid()) };
    let block = |tag, block| Ok(Command::Accept(tag, block));
    match (verb.as_str(), rest) {
        ("show", [what]) => show(what),
        // PgBouncer takes it for the same.
        ("select", [what @ Token::Word(..)]) if shown_of(what).is_some() => show(what),
        ("show", [first, second]) if first.is("time") && second.is("zone") => setting("timezone"),
        ("show", [first, second, third])
            if first.is("transaction") && second.is("isolation") && third.is("level") =>
        {
            setting("transaction_isolation")
        }
        ("select", what) => select(what),
        ("set", what) => set(what),
        ("reset", _) => block("RESET", Block::Stays),
        ("discard", _) => block("DISCARD ALL", Block::Stays),
        ("deallocate", _) => block("DEALLOCATE ALL", Block::Stays),
        ("close", _) => block("CLOSE CURSOR ALL", Block::Stays),
        ("unlisten", _) => block("UNLISTEN", Block::Stays),
        ("begin", _) => block("BEGIN", Block::Begins),
        ("start", _) => block("START TRANSACTION", Block::Begins),
        ("commit" | "end", _) => block("COMMIT", Block::Ends),
        ("rollback" | "abort", []) => block("ROLLBACK", Block::Ends),
        _ => order(verb, rest).map(Command::Order),
    }
}

fn invalid() -> String {
    "this is no command of weir's console".to_owned()
}

fn order(verb: &str, rest: &[Token]) -> Result<Order, String> {
    let database = match rest {
        [] => None,
        [one] => Some(one.word().ok_or_else(invalid)?),
        _ => return Err(invalid()),
    };
    let required = || database.clone().ok_or_else(|| "a database is required".to_owned());
    Ok(match (verb, &database) {
        ("reload", None) => Order::Reload,
        ("pause", _) => Order::Pause(database),
        ("resume", _) => Order::Resume(database),
        ("disable", _) => Order::Disable(required()?),
        ("enable", _) => Order::Enable(required()?),
        ("reconnect", _) => Order::Reconnect(database),
        ("kill", _) => Order::Kill(database),
        ("kill_client", Some(id)) => {
            let id = id.parse().map_err(|_| format!("\"{id}\" is no id of SHOW CLIENTS"))?;
            Order::KillClient(id)
        }
        ("wait_close", _) => Order::WaitClose(database),
        ("suspend", None) => Order::Suspend,
        ("shutdown", None) => Order::Shutdown,
        ("shutdown", Some(how)) => match how.to_ascii_lowercase().as_str() {
            "wait_for_clients" => Order::ShutdownForClients,
            "wait_for_servers" => Order::ShutdownForServers,
            _ => return Err(invalid()),
        },
        _ => return Err(invalid()),
    })
}

fn shown_of(token: &Token) -> Option<Shown> {
    let Token::Word(word, _) = token else { return None };
    Shown::ALL.iter().find(|(name, _)| name == word).map(|(_, shown)| *shown)
}

fn show(token: &Token) -> Result<Command, String> {
    if let Some(shown) = shown_of(token) {
        return Ok(Command::Show(shown));
    }
    match token {
        Token::Word(word, _) if word == "server_version" => {
            Ok(Command::Tell("server_version", Told::Version))
        }
        Token::Word(word, _) => setting(word),
        _ => Err(invalid()),
    }
}

/// Its own value, which none but PgBouncer's pretence has.
fn setting(name: &str) -> Result<Command, String> {
    let known = SETTINGS.iter().find(|(known, _)| *known == name);
    known.map(|(name, value)| Command::Tell(name, Told::Fixed(value))).ok_or_else(invalid)
}

/// `SET key = value`: what belongs to any session is accepted and changes nothing.
fn set(tokens: &[Token]) -> Result<Command, String> {
    let tokens = match tokens {
        [first, rest @ ..] if first.is("session") || first.is("local") => rest,
        all => all,
    };
    let Some((key, rest)) = tokens.split_first() else { return Err(invalid()) };
    let key = key.word().ok_or_else(invalid)?;
    let lower = key.to_lowercase();
    let of_session = SETTINGS.iter().any(|(name, _)| *name == lower)
        || matches!(lower.as_str(), "time" | "characteristics" | "transaction" | "names" | "role")
        || lower.ends_with("_timeout") && !lower.contains('.');
    if of_session {
        return Ok(Command::Accept("SET", Block::Stays));
    }
    let value = match rest {
        [Token::Sign('='), value] => value.word(),
        [to, value] if to.is("to") => value.word(),
        _ => None,
    };
    let value = value.ok_or_else(|| "expected SET key = value".to_owned())?;
    Ok(Command::Order(Order::Set(lower, value)))
}

/// The few questions that drivers, pools and tools ask of any connection.
fn select(tokens: &[Token]) -> Result<Command, String> {
    let words: Vec<&Token> = tokens.iter().filter(|token| !matches!(token, Token::Sign('(' | ')'))).collect();
    let function = |word: &str| word.strip_prefix("pg_catalog.").unwrap_or(word).to_owned();
    let told = match &words[..] {
        [Token::Word(word, _)] => match function(word).as_str() {
            "1" => Command::Tell("?column?", Told::Fixed("1")),
            "version" => Command::Tell("version", Told::Version),
            "current_database" | "current_catalog" => Command::Tell("current_database", Told::Database),
            "current_user" | "session_user" | "user" => Command::Tell("current_user", Told::User),
            "current_schema" => Command::Tell("current_schema", Told::Fixed("public")),
            "pg_backend_pid" => Command::Tell("pg_backend_pid", Told::Pid),
            "pg_is_in_recovery" => Command::Tell("pg_is_in_recovery", Told::Fixed("f")),
            "pg_advisory_unlock_all" => Command::Tell("pg_advisory_unlock_all", Told::Void),
            _ => return Err(no_sql()),
        },
        [Token::Word(word, _), Token::Text(name)] if function(word) == "current_setting" => {
            match SETTINGS.iter().find(|(known, _)| known == &name.to_lowercase()) {
                Some((_, value)) => Command::Tell("current_setting", Told::Fixed(value)),
                None => return Err(no_sql()),
            }
        }
        _ => Command::Ask(question(&lower_words(tokens)).ok_or_else(no_sql)?),
    };
    Ok(told)
}

fn lower_words(tokens: &[Token]) -> Vec<&str> {
    let mut words = Vec::new();
    for token in tokens {
        if let Token::Word(lower, _) = token {
            words.push(lower.as_str());
        }
    }
    words
}

fn no_sql() -> String {
    "weir's console runs no SQL".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Command, String> {
        let mut all = commands(text);
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0).1
    }

    #[test]
    fn commands_are_read_as_pgbouncer_reads_them() {
        let show = |shown| Ok(Command::Show(shown));
        for text in ["SHOW POOLS", " show\n pools ;", "SELECT pools", "/* x */ SHOW POOLS; -- y"] {
            assert_eq!(one(text), show(Shown::Pools), "{text}");
        }
        let order = |order| Ok(Command::Order(order));
        assert_eq!(one("PAUSE"), order(Order::Pause(None)));
        assert_eq!(one("PAUSE \"My \"\"db\""), order(Order::Pause(Some("My \"db".to_owned()))));
        assert_eq!(one("resume Shop;"), order(Order::Resume(Some("Shop".to_owned()))));
        assert_eq!(one("KILL_CLIENT 42"), order(Order::KillClient(42)));
        assert_eq!(one("SHUTDOWN wait_for_clients"), order(Order::ShutdownForClients));
        let set = |key: &str, value: &str| order(Order::Set(key.to_owned(), value.to_owned()));
        assert_eq!(one("SET routing.consistency = 'session'"), set("routing.consistency", "session"));
        assert_eq!(one("SET log.slow_query TO 50ms;"), set("log.slow_query", "50ms"));
        for text in ["PAUSE a b", "DISABLE", "FOO", "SHOW FOO", "SHOW POOLS NOW", "SET x", "RELOAD now"] {
            assert!(one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_drivers_say_at_login_and_on_return_is_accepted() {
        for text in [
            "SET extra_float_digits = 3",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET client_encoding TO 'UTF8'",
            "SET TIME ZONE 'UTC'",
            "BEGIN READ ONLY",
            "ROLLBACK",
            "DISCARD ALL",
            "DEALLOCATE ALL",
        ] {
            assert!(matches!(one(text), Ok(Command::Accept(..))), "{text}");
        }
        for text in ["SELECT 1", "SELECT version()", "select pg_catalog.version();", "SHOW TIME ZONE"] {
            assert!(matches!(one(text), Ok(Command::Tell(..))), "{text}");
        }
        let reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
        assert!(commands(reset).iter().all(|(_, read)| read.is_ok()));
        assert!(commands(" ; ;; ").is_empty());
        assert_eq!(one("SELECT * FROM pg_class"), Err(no_sql()));
    }

    #[test]
    fn any_text_is_read() {
        for text in ["'", "\"", "--", "/*", "SET a = '", "é", "SHOW é", "\0", "SELECT", "SET SESSION"] {
            commands(text);
        }
    }
}
