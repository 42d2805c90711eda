//! Where a string ends, by weir's lexer and by a real server's: they must not disagree about any text.
//!
//! A text of several statements tells: the server says how many it ran, or that something was not terminated.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use harness::Cluster;
use harness::client::{Client, Message, front};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use weir::sql::lexer::LexError;
use weir::sql::{StandardConformingStrings, split_statements};

/// Texts per setting of standard_conforming_strings.
const TEXTS: u32 = 1500;

/// What opens, closes, escapes or separates.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "'",
        "''",
        "\\",
        "\\'",
        "\\\\",
        "\"",
        "\"\"",
        "$$",
        "$a$",
        "$b$",
        "$a",
        "$1",
        ";",
        ";",
        ";SELECT ",
        "/*",
        "*/",
        "/* ; */",
        "--",
        "\n",
        "\r",
        " ",
        ",",
        "||",
        "E'",
        "e'",
        "U&'",
        "B'01'",
        "X'1F'",
        "N'",
        "'x'",
        "'a;b'",
        "E'\\';'",
        "$$;$$",
        "$a$;$$;$a$",
        "'it''s;'",
        "'a'\n'b;'",
        "'a' 'b'",
        "\"a;b\"",
        "1",
        "1e5",
        "a",
        "é",
        "::text",
        "-",
        "*",
        "/",
        "+",
    ])
}

/// Mostly something that a server can run, with trouble in it.
fn text() -> impl Strategy<Value = String> {
    let literal = prop::sample::select(vec!["'", "E'", "U&'", "N'", "$$", "$a$", "\""]);
    let body = prop::collection::vec(piece(), 0..4);
    let quoted = (literal, body).prop_map(|(open, body)| {
        let close = open.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '&');
        format!("{open}{}{close}", body.concat())
    });
    let expression =
        prop_oneof![3 => quoted, 2 => prop::collection::vec(piece(), 1..4).prop_map(|p| p.concat())];
    let separator = prop::sample::select(vec![
        ",",
        " , ",
        ";SELECT ",
        ",--;\n",
        ",/* ; /* ; */ */",
        "||",
        "\n;\nSELECT ",
    ]);
    prop::collection::vec((expression, separator), 1..5).prop_map(|parts| {
        let parts: String = parts.into_iter().map(|(expression, separator)| expression + separator).collect();
        format!("SELECT {parts}1")
    })
}

fn check(client: &mut Client, sql: &str, strings: StandardConformingStrings) -> Result<bool, TestCaseError> {
    let heard = client.ask(&[front::query(sql)]).unwrap();
    let error = heard.iter().find_map(Message::error).map(|error| error.message().to_owned());
    let ran = heard.iter().filter(|message| message.tag == b'C').count();
    let ours = split_statements(sql.as_bytes(), strings).map(|statements| statements.len());
    match (&error, &ours) {
        (None, Ok(count)) => prop_assert_eq!(*count, ran, "of {:?}", sql),
        // In some encodings the second byte of a character looks like a backslash: the lexer does not guess.
        (None, Err(LexError::Ambiguous)) if !sql.is_ascii() => {}
        (None, Err(lost)) => prop_assert!(false, "the server ran {:?}, the lexer says {:?}", sql, lost),
        (Some(message), Ok(_)) if message.starts_with("unterminated") => {
            prop_assert!(false, "the server says {} of {:?}, and the lexer nothing", message, sql);
        }
        (Some(_), _) => {}
    }
    Ok(error.is_none())
}

fn compare(setting: &str, strings: StandardConformingStrings) {
    let cluster = Cluster::shared();
    let mut client = cluster.connect(0).unwrap();
    client.query(&format!("SET standard_conforming_strings = {setting}")).unwrap();
    client.query("SET escape_string_warning = off").unwrap();
    let client = std::cell::RefCell::new(client);
    let ran = std::cell::Cell::new(0);
    let config = Config { cases: TEXTS, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&text(), |text| {
        ran.set(ran.get() + u32::from(check(&mut client.borrow_mut(), &text, strings)?));
        Ok(())
    });
    outcome.unwrap();
    let ran = ran.get();
    assert!(ran > TEXTS / 20, "only {ran} of {TEXTS} texts ran: the test sees too little");
}

#[test]
fn the_lexer_agrees_with_the_server() {
    compare("on", StandardConformingStrings::On);
}

#[test]
fn the_lexer_agrees_with_the_server_where_backslashes_escape() {
    compare("off", StandardConformingStrings::Off);
}
