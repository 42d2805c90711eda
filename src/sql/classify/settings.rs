//! Statements about settings: `SET`, `RESET`, `SHOW`. Whether a setting takes its value is not known here.

use super::{control, parameters};
use crate::sql::text::{self, Cursor, StandardConformingStrings, TokenKind};
use crate::sql::verdict::{
    AccessMode, Change, Deferrable, Effects, Isolation, Kind, Modes, Scope, Setting, Statement, Why,
};

/// `SET ...`, with the cursor behind `SET`.
pub(super) fn set(mut cursor: Cursor<'_, '_>, strings: StandardConformingStrings) -> Statement {
    if cursor.take_words(&["session", "characteristics", "as", "transaction"]) {
        return set_characteristics(cursor);
    }
    if cursor.take_word("constraints") {
        // Lives in the transaction, like a write that checks later.
        return Statement::primary(Why::SessionState);
    }
    let scope = take_scope(&mut cursor);
    if cursor.take_word("transaction") {
        return set_transaction(cursor);
    }
    assignment(cursor, scope, strings).unwrap_or_else(|| unknown(cursor))
}

/// `SESSION` or `LOCAL`, where it is not the first word of a name or of `SESSION AUTHORIZATION`.
fn take_scope(cursor: &mut Cursor<'_, '_>) -> Scope {
    let mut ahead = *cursor;
    if ahead.take_word("local") {
        *cursor = ahead;
        return Scope::Local;
    }
    if ahead.take_word("session") && !ahead.at_word("authorization") {
        *cursor = ahead;
    }
    Scope::Session
}

/// A statement that changes something about the session, nobody knows what.
fn unknown(cursor: Cursor<'_, '_>) -> Statement {
    // No RESET undoes the state of random().
    let change = if cursor.at_word("seed") { Change::Unknown } else { Change::DynamicSetting(None) };
    Statement::primary(Why::SessionState).leaving(change)
}

fn set_transaction(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.take_word("snapshot") {
        // A snapshot can only be imported on the server that exported it.
        return Statement::primary(Why::SessionState);
    }
    match control::modes(cursor) {
        Some(modes) => Statement::of(Kind::SetTransaction(modes, Scope::Local)).tagged("SET"),
        None => Statement::primary(Why::Unparsable),
    }
}

/// `SET SESSION CHARACTERISTICS` is another spelling of setting the `default_transaction_*` parameters.
fn set_characteristics(cursor: Cursor<'_, '_>) -> Statement {
    let Some(modes) = control::modes(cursor) else {
        return Statement::primary(Why::Unparsable);
    };
    let setting = |name: &str, value: &str| Setting {
        name: format!("default_transaction_{name}").into(),
        value: text::quote_literal(value).into(),
        scope: Scope::Session,
    };
    let mut settings = Vec::new();
    if let Some(isolation) = modes.isolation {
        let value = match isolation {
            Isolation::ReadUncommitted => "read uncommitted",
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        };
        settings.push(setting("isolation", value));
    }
    if let Some(access) = modes.access {
        settings.push(setting("read_only", if access == AccessMode::ReadOnly { "on" } else { "off" }));
    }
    if let Some(deferrable) = modes.deferrable {
        let on = deferrable == Deferrable::Deferrable;
        settings.push(setting("deferrable", if on { "on" } else { "off" }));
    }
    let effects = Effects { settings: settings.into(), ..Effects::default() };
    Statement { effects, ..Statement::of(Kind::SetTransaction(modes, Scope::Session)) }
}

/// The forms of `SET` that name a setting, in one way or another.
fn assignment(
    mut cursor: Cursor<'_, '_>,
    scope: Scope,
    strings: StandardConformingStrings,
) -> Option<Statement> {
    let name = match special_name(&mut cursor) {
        Some(name) => name.to_owned(),
        None => {
            let name = setting_name(&mut cursor)?;
            if !cursor.take_symbol("=") && !cursor.take_word("to") {
                return None;
            }
            name
        }
    };
    if let Some(own) = name.strip_prefix("weir.") {
        return weirs_own(own, cursor, scope, strings);
    }
    if parameters::is_of_transaction(&name) {
        let modes = transaction_setting(&name, cursor, strings)?;
        return Some(Statement::of(Kind::SetTransaction(modes, Scope::Local)).tagged("SET"));
    }
    if name == "seed" {
        return None;
    }
    let value = values(cursor, &name, strings)?;
    let kind = match scope {
        Scope::Session if value == "DEFAULT" => Kind::Reset(Some(name.clone().into())),
        _ => Kind::Set,
    };
    Some(with_setting(kind, name, value, scope))
}

fn with_setting(kind: Kind, name: String, value: String, scope: Scope) -> Statement {
    let setting = Setting { name: name.into(), value: value.into(), scope };
    let effects = Effects { settings: Box::new([setting]), ..Effects::default() };
    Statement { effects, ..Statement::of(kind) }
}

/// The spellings of the SQL standard, which take their value without `=` or `TO`.
fn special_name(cursor: &mut Cursor<'_, '_>) -> Option<&'static str> {
    const SPELLINGS: [(&[&str], &str); 6] = [
        (&["session", "authorization"], "session_authorization"),
        (&["time", "zone"], "timezone"),
        (&["names"], "client_encoding"),
        (&["schema"], "search_path"),
        (&["xml", "option"], "xmloption"),
        (&["role"], "role"),
    ];
    for (words, name) in SPELLINGS {
        let mut ahead = *cursor;
        if ahead.take_words(words) && !ahead.at_word("to") && !ahead.peek().is_some_and(|t| t.is_symbol("="))
        {
            *cursor = ahead;
            return Some(name);
        }
    }
    None
}

/// `name` or `prefix.name`, in lower case: settings' names ignore case even when quoted.
fn setting_name(cursor: &mut Cursor<'_, '_>) -> Option<String> {
    let mut name = cursor.take_name()?.to_ascii_lowercase();
    while cursor.take_symbol(".") {
        name.push('.');
        name.push_str(&cursor.take_name()?.to_ascii_lowercase());
    }
    Some(name)
}

/// The values behind `TO`, up to the end, as SQL text in one spelling: equal settings have equal text.
fn values(mut cursor: Cursor<'_, '_>, name: &str, strings: StandardConformingStrings) -> Option<String> {
    let lone_default = cursor.rest().len() <= 1;
    if lone_default && cursor.take_word("default") {
        return Some("DEFAULT".to_owned());
    }
    if lone_default && name == "timezone" && cursor.take_word("local") {
        return Some("DEFAULT".to_owned());
    }
    // `SET NAMES` alone means the default, too.
    if cursor.at_end() && name == "client_encoding" {
        return Some("DEFAULT".to_owned());
    }
    let mut list = vec![value(&mut cursor, strings)?];
    while cursor.take_symbol(",") {
        list.push(value(&mut cursor, strings)?);
    }
    cursor.at_end().then(|| list.join(", "))
}

/// One value: a string, a word, or a number with its sign.
fn value(cursor: &mut Cursor<'_, '_>, strings: StandardConformingStrings) -> Option<String> {
    let mut number = String::new();
    if cursor.take_symbol("-") {
        number.push('-');
    } else {
        cursor.take_symbol("+");
    }
    let token = *cursor.take()?;
    match token.kind {
        TokenKind::Number => {
            number.push_str(std::str::from_utf8(token.text).ok()?);
            Some(number)
        }
        _ if !number.is_empty() => None,
        TokenKind::String(_) => text::string_value(token, strings).map(|v| text::quote_literal(&v)),
        _ => text::name(token).map(|v| text::quote_literal(&v)),
    }
}

/// `SET weir.name TO value`. Not being PostgreSQL's settings, they take no lists: what is written as one is one value,
/// and a wrong one.
fn weirs_own(
    name: &str,
    cursor: Cursor<'_, '_>,
    scope: Scope,
    strings: StandardConformingStrings,
) -> Option<Statement> {
    let full = format!("weir.{name}");
    let value = values(cursor, &full, strings)?;
    if value == "DEFAULT" {
        let kind = if scope == Scope::Session { Kind::Reset(Some(full.clone().into())) } else { Kind::Set };
        return Some(with_setting(kind, full, value, scope));
    }
    let plain = weir_value(cursor, strings)?;
    let quoted = text::quote_literal(&plain);
    let kind = if scope == Scope::Session { Kind::SetWeir(name.into(), plain) } else { Kind::Set };
    Some(with_setting(kind, full, quoted, scope))
}

/// A value for weir itself, without quotes.
fn weir_value(mut cursor: Cursor<'_, '_>, strings: StandardConformingStrings) -> Option<Box<str>> {
    let mut plain = String::new();
    while let Some(token) = cursor.take() {
        match token.kind {
            TokenKind::String(_) => plain.push_str(&text::string_value(*token, strings)?),
            _ => plain.push_str(&text::name(*token).map_or_else(
                || std::str::from_utf8(token.text).ok().map(str::to_owned),
                |name| Some(name.into()),
            )?),
        }
    }
    Some(plain.into())
}

/// `SET transaction_read_only = on` is `SET TRANSACTION READ ONLY`, and so on.
fn transaction_setting(
    name: &str,
    mut cursor: Cursor<'_, '_>,
    strings: StandardConformingStrings,
) -> Option<Modes> {
    let token = *cursor.take()?;
    if !cursor.at_end() {
        return None;
    }
    let mut modes = Modes::default();
    if name == "transaction_isolation" {
        modes.isolation = Some(isolation(&text::string_value(token, strings)?)?);
        return Some(modes);
    }
    let on = parameters::boolean(&token, strings).or(match token.text {
        b"1" => Some(true),
        b"0" => Some(false),
        _ => None,
    })?;
    if name == "transaction_read_only" {
        modes.access = Some(if on { AccessMode::ReadOnly } else { AccessMode::ReadWrite });
    } else {
        modes.deferrable = Some(if on { Deferrable::Deferrable } else { Deferrable::NotDeferrable });
    }
    Some(modes)
}

fn isolation(value: &str) -> Option<Isolation> {
    match &*value.to_ascii_lowercase() {
        "serializable" => Some(Isolation::Serializable),
        "repeatable read" => Some(Isolation::RepeatableRead),
        "read committed" => Some(Isolation::ReadCommitted),
        "read uncommitted" => Some(Isolation::ReadUncommitted),
        _ => None,
    }
}

/// `RESET ...`, with the cursor behind `RESET`.
pub(super) fn reset(mut cursor: Cursor<'_, '_>) -> Statement {
    if cursor.rest().len() == 1 && cursor.take_word("all") {
        return Statement::of(Kind::Reset(None));
    }
    if cursor.take_words(&["transaction", "isolation", "level"]) {
        return Statement::primary(Why::SessionState);
    }
    let special = special_name(&mut cursor).map(str::to_owned);
    let Some(name) = special.or_else(|| setting_name(&mut cursor)).filter(|_| cursor.at_end()) else {
        return unknown(cursor);
    };
    let kind = Kind::Reset(Some(name.clone().into()));
    with_setting(kind, name, "DEFAULT".to_owned(), Scope::Session)
}

/// `SHOW ...`, with the cursor behind `SHOW`.
pub(super) fn show(mut cursor: Cursor<'_, '_>) -> Statement {
    let name = if cursor.take_words(&["transaction", "isolation", "level"]) {
        Some("transaction_isolation".to_owned())
    } else {
        let special = special_name(&mut cursor).map(str::to_owned);
        special.or_else(|| setting_name(&mut cursor))
    };
    match name.filter(|_| cursor.at_end()) {
        Some(name) if parameters::alike_everywhere(&name) => Statement::of(Kind::Show(name.into())),
        Some(_) => Statement::primary(Why::ServerState),
        None => Statement::primary(Why::Unparsable),
    }
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::classify;
    use super::super::functions::KnownFunctions;
    use super::super::reader::Reader;
    use super::*;
    use crate::sql::verdict::{Pin, SkeletonId};

    fn pins(sql: &str) -> Vec<Pin> {
        statement(sql).effects.pins().collect()
    }

    fn statement(sql: &str) -> Statement {
        let known = KnownFunctions::load();
        let reader = Reader { strings: StandardConformingStrings::On, known: &known };
        let verdict = classify(sql.as_bytes(), SkeletonId(0), reader);
        assert_eq!(verdict.statements.len(), 1, "{sql}");
        verdict.statements[0].clone()
    }

    /// `name = value`, with `local` in front when it ends with the transaction; one line per setting.
    fn settings(sql: &str) -> String {
        let line = |s: &Setting| {
            let local = if s.scope == Scope::Local { "local " } else { "" };
            format!("{local}{} = {}", s.name, s.value)
        };
        statement(sql).effects.settings.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn values_are_written_in_one_spelling() {
        assert_eq!(
            settings("SET search_path TO \"$user\", public, Foo"),
            "search_path = '$user', 'public', 'foo'"
        );
        assert_eq!(settings("SET Work_Mem = '7MB'"), "work_mem = '7MB'");
        assert_eq!(settings("SET \"Work_Mem\" = $$7MB$$"), "work_mem = '7MB'");
        assert_eq!(settings("SET SESSION statement_timeout TO 5000"), "statement_timeout = 5000");
        assert_eq!(settings("SET LOCAL x.y = -1.5"), "local x.y = -1.5");
        assert_eq!(settings("SET a.b = 'it''s \\ here'"), "a.b = E'it''s \\\\ here'");
        assert_eq!(settings("SET DateStyle TO ISO, DMY"), "datestyle = 'iso', 'dmy'");
    }

    #[test]
    fn the_standards_spellings_are_settings_too() {
        assert_eq!(settings("SET TIME ZONE 'Asia/Tokyo'"), "timezone = 'Asia/Tokyo'");
        assert_eq!(settings("SET LOCAL TIME ZONE -7"), "local timezone = -7");
        assert_eq!(settings("SET TIME ZONE LOCAL"), "timezone = DEFAULT");
        assert_eq!(settings("SET NAMES 'latin1'"), "client_encoding = 'latin1'");
        assert_eq!(settings("SET SCHEMA 'x'"), "search_path = 'x'");
        assert_eq!(settings("SET ROLE \"Admin\""), "role = 'Admin'");
        assert_eq!(settings("SET role = x"), "role = 'x'");
        assert_eq!(settings("SET SESSION AUTHORIZATION bob"), "session_authorization = 'bob'");
        assert_eq!(
            settings("SET LOCAL SESSION AUTHORIZATION DEFAULT"),
            "local session_authorization = DEFAULT"
        );
        let characteristics =
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL REPEATABLE READ";
        let expected =
            "default_transaction_isolation = 'repeatable read'; default_transaction_read_only = 'on'";
        assert_eq!(settings(characteristics), expected);
    }

    #[test]
    fn resets_set_the_default() {
        assert_eq!(statement("RESET Work_Mem").kind, Kind::Reset(Some("work_mem".into())));
        assert_eq!(settings("RESET work_mem"), "work_mem = DEFAULT");
        assert_eq!(settings("SET work_mem TO DEFAULT"), "work_mem = DEFAULT");
        assert_eq!(statement("SET work_mem TO DEFAULT").kind, Kind::Reset(Some("work_mem".into())));
        assert_eq!(statement("SET LOCAL work_mem TO DEFAULT").kind, Kind::Set);
        assert_eq!(settings("RESET SESSION AUTHORIZATION"), "session_authorization = DEFAULT");
        assert_eq!(statement("RESET ALL").kind, Kind::Reset(None));
    }

    #[test]
    fn settings_of_the_transaction_are_its_modes() {
        let modes = |sql: &str| match statement(sql).kind {
            Kind::SetTransaction(modes, Scope::Local) => modes,
            other => panic!("{sql} is {other:?}"),
        };
        assert_eq!(modes("SET TRANSACTION READ ONLY").access, Some(AccessMode::ReadOnly));
        assert_eq!(modes("SET transaction_read_only = 1").access, Some(AccessMode::ReadOnly));
        assert_eq!(
            modes("SET transaction_isolation TO 'repeatable read'").isolation,
            Some(Isolation::RepeatableRead)
        );
        assert_eq!(modes("SET LOCAL transaction_deferrable = on").deferrable, Some(Deferrable::Deferrable));
        assert!(settings("SET transaction_read_only = 1").is_empty());
    }

    #[test]
    fn settings_of_weir_are_for_weir() {
        let own = |name: &str, value: &str| Kind::SetWeir(name.into(), value.into());
        assert_eq!(statement("SET weir.target = 'primary'").kind, own("target", "primary"));
        assert_eq!(statement("SET weir.target TO Replica").kind, own("target", "replica"));
        assert_eq!(statement("SET weir.max_staleness = 500").kind, own("max_staleness", "500"));
        assert_eq!(statement("SET weir.max_staleness TO -1").kind, own("max_staleness", "-1"));
        assert_eq!(statement("SET weir.consistency TO a, 'B'").kind, own("consistency", "a,B"));
        assert_eq!(statement("SET weir.target = 'default'").kind, own("target", "default"));
        let reset = Kind::Reset(Some("weir.target".into()));
        assert_eq!(statement("RESET weir.target").kind, reset);
        assert_eq!(statement("SET weir.target TO DEFAULT").kind, reset);
        assert_eq!(statement("SHOW weir.lsn").kind, Kind::Show("weir.lsn".into()));
        assert_eq!(settings("SET weir.target = primary"), "weir.target = 'primary'");
        assert_eq!(settings("SET LOCAL weir.target = 'primary'"), "local weir.target = 'primary'");
        assert_eq!(settings("SET LOCAL weir.target TO DEFAULT"), "local weir.target = DEFAULT");
        assert_eq!(settings("RESET weir.target"), "weir.target = DEFAULT");
    }

    #[test]
    fn what_is_not_understood_pins() {
        for sql in ["SET TIME ZONE INTERVAL '1' HOUR", "SET a", "SET a TO b c", "SET a = X'1F'"] {
            assert_eq!(pins(sql), [Pin::DynamicSetting], "{sql}");
        }
        assert_eq!(pins("SET seed TO 0.5"), [Pin::Unknown]);
    }
}
