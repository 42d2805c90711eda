//! What weir can answer of requests, as a table.

use bytes::BytesMut;

use super::*;
use crate::session::relay::framer::Framer;
use crate::session::relay::request::Reader;
use crate::session::relay::responses::Flow;
use crate::session::relay::unsettled::Settled;
use crate::session::transaction::Event;
use crate::sql::{Classifier, StandardConformingStrings};
use crate::wire::request::{put_bare, put_query, put_run};
use crate::wire::tag::client;

/// A transaction in which these statements have been kept; `fails` is one that failed elsewhere.
fn transaction(said: &str) -> Transaction {
    let (classifier, mut transaction) = (Classifier::new(100), Transaction::default());
    for sql in said.split(';').map(str::trim).filter(|sql| !sql.is_empty()) {
        if sql == "fails" {
            transaction.on(Event::Failed);
            transaction.on(Event::Ready(TxStatus::Idle));
        } else if sql == "reads" {
            transaction.journal_mut().unwrap().queries();
        } else {
            let verdict = classifier.classify(sql.as_bytes(), StandardConformingStrings::On);
            transaction.on(Event::Kept(&verdict.statements[0]));
        }
    }
    transaction
}

/// Of a request behind what was said: `Q: text` or the texts of one batch.
fn kept(said: &str, request: &str) -> Keeps {
    let mut bytes = BytesMut::new();
    match request.strip_prefix("Q: ") {
        Some(sql) => put_query(&mut bytes, sql.as_bytes()),
        None => {
            for sql in request.split(';').map(str::trim).filter(|sql| !sql.is_empty()) {
                put_run(&mut bytes, b"", sql.as_bytes());
            }
            put_bare(&mut bytes, client::SYNC);
        }
    }
    let (classifier, names) = (Classifier::new(100), Names::default());
    let (strings, statements) = (StandardConformingStrings::On, &names);
    let reader = Reader { classifier: &classifier, strings, statements, in_flight: &Settled, under: None };
    let unit = Framer::default().next(&bytes, Flow::Query).unwrap();
    let request = Request::read(unit, &bytes, &reader, Vec::new());
    keeps(&request, &bytes, &names, &transaction(said))
}

#[test]
fn only_what_needs_no_judgement_is_answered() {
    use Keeps::{All, Controls, Nothing};
    let long = format!("Q: SAVEPOINT {}", "x".repeat(64));
    for (said, request, expected) in [
        ("", "Q: BEGIN", All),
        ("", "Q: BEGIN;", All),
        ("", "BEGIN", All),
        ("", "", All),
        ("", "BEGIN; SELECT 1", Controls),
        ("", "BEGIN; SELECT 1; COMMIT", Controls),
        ("", "BEGIN; BEGIN", Nothing),
        ("", "Q: COMMIT", Nothing),
        ("", "Q: BEGIN; SELECT 1", Nothing),
        ("", "Q: SELECT 1", Controls),
        ("BEGIN", "Q: BEGIN", Nothing),
        ("BEGIN", "Q: COMMIT", All),
        ("BEGIN", "Q: COMMIT AND CHAIN", All),
        ("BEGIN", "SAVEPOINT a; SELECT 1; RELEASE a", Controls),
        ("BEGIN", "Q: RELEASE a", Nothing),
        ("BEGIN; SAVEPOINT a", "Q: RELEASE a", All),
        ("BEGIN; SAVEPOINT a; SAVEPOINT b; RELEASE a", "Q: ROLLBACK TO b", Nothing),
        ("BEGIN; SAVEPOINT a; SAVEPOINT b; ROLLBACK TO a", "Q: ROLLBACK TO a", All),
        ("BEGIN", &long, Nothing),
        ("BEGIN", "Q: SET TRANSACTION READ ONLY", All),
        ("BEGIN; reads", "Q: SET TRANSACTION READ ONLY", Nothing),
        ("BEGIN; SAVEPOINT a", "Q: SET TRANSACTION READ ONLY", Nothing),
        ("BEGIN", "SELECT 1; SET TRANSACTION READ ONLY", Nothing),
        ("BEGIN; reads; COMMIT AND CHAIN", "Q: SET TRANSACTION READ ONLY", All),
        ("BEGIN; fails", "Q: ROLLBACK", All),
        ("BEGIN; fails", "Q: COMMIT", All),
        ("BEGIN; fails", "Q: SELECT 1", Nothing),
        ("BEGIN; fails", "Q: SAVEPOINT a", Nothing),
        ("BEGIN; fails", "ROLLBACK; SELECT 1", Nothing),
        ("BEGIN; fails", "Q: ROLLBACK TO a", Nothing),
        ("BEGIN; SAVEPOINT a; fails", "Q: ROLLBACK TO a", All),
        ("BEGIN; fails", "", All),
    ] {
        assert_eq!(kept(said, request), expected, "{said:?} {request:?}");
    }
}
