//! What weir makes of statements, compared with what PostgreSQL's own parser (18) makes of them: what is a read, which
//! relations and functions are named, and where statements end.
//!
//! The statements stand in files beside this, one a line, all of which PostgreSQL must parse; and `random` makes more.
//! weir may name more than there is, and never less, unless it says that it does not know.

mod facts;
mod random;

use facts::Facts;
use weir::sql::{Classifier, Kind, Listed, Name, StandardConformingStrings, Statement};

const ON: StandardConformingStrings = StandardConformingStrings::On;

fn lines(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with("-- "))
}

fn statement(classifier: &Classifier, sql: &str) -> Statement {
    let verdict = classifier.classify(sql.as_bytes(), ON);
    assert_eq!(verdict.statements.len(), 1, "{sql}");
    verdict.statements[0].clone()
}

/// Whether weir knows that a function only reads.
fn is_harmless(classifier: &Classifier, name: &Name) -> bool {
    let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    let schema = name.schema.as_deref().map_or(String::new(), |schema| quoted(schema) + ".");
    let call = statement(classifier, &format!("SELECT {schema}{}(1)", quoted(&name.name)));
    call.kind == Kind::Read && call.functions.is_empty()
}

/// What weir has overlooked or misread in one statement.
fn faults(classifier: &Classifier, sql: &str, facts: &Facts) -> Vec<String> {
    let said = statement(classifier, sql);
    let mut faults = Vec::new();
    if said.kind == Kind::Read && !facts.is_read {
        faults.push("taken for a read".to_owned());
    }
    // As `Statement::reads_what` and `Statement::writes_what` see it.
    let unknown_reads =
        said.reads_listed == Listed::Partly || !said.functions.is_empty() || !said.writes.is_empty();
    let missing = |named: &[Name], list: &[Name]| -> Vec<Name> {
        named.iter().filter(|name| !list.contains(name)).cloned().collect()
    };
    if !unknown_reads {
        faults
            .extend(missing(&facts.reads, &said.reads).iter().map(|name| format!("does not name {name:?}")));
    }
    if said.writes_listed == Listed::Wholly {
        faults.extend(
            missing(&facts.writes, &said.writes).iter().map(|name| format!("does not write {name:?}")),
        );
    }
    if said.kind == Kind::Read {
        // Also where others are unknown: the catalog is asked by these lists.
        faults.extend(missing(&facts.reads, &said.reads).iter().map(|name| format!("overlooks {name:?}")));
        let calls = missing(&facts.calls, &said.functions);
        let calls = calls.iter().filter(|name| !is_harmless(classifier, name));
        faults.extend(calls.map(|name| format!("does not call {name:?}")));
    }
    faults
}

#[test]
fn reads_are_reads_and_name_what_postgresql_sees() {
    let classifier = Classifier::new(1000);
    let mut wrong = Vec::new();
    for sql in lines(include_str!("reads.sql")) {
        let facts = match facts::of(sql) {
            Ok(facts) => facts,
            Err(error) => {
                wrong.push(format!("{sql}\n    {error}"));
                continue;
            }
        };
        assert!(facts.is_read, "{sql}");
        let said = statement(&classifier, sql);
        let mut faults = faults(&classifier, sql, &facts);
        if said.kind != Kind::Read {
            faults.push(format!("{:?}", said.kind));
        }
        let more = |named: &[Name], list: &[Name]| -> Vec<Name> {
            list.iter().filter(|name| !named.contains(name)).cloned().collect()
        };
        faults.extend(more(&facts.reads, &said.reads).iter().map(|name| format!("names {name:?}")));
        faults.extend(more(&facts.calls, &said.functions).iter().map(|name| format!("calls {name:?}")));
        if !faults.is_empty() {
            wrong.push(format!("{sql}\n    {}", faults.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} are misread:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn nothing_else_is_a_read() {
    let classifier = Classifier::new(1000);
    let mut wrong = Vec::new();
    for sql in lines(include_str!("others.sql")) {
        let facts = facts::of(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let faults = faults(&classifier, sql, &facts);
        if !faults.is_empty() {
            wrong.push(format!("{sql}\n    {}", faults.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} are misread:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn statements_end_where_postgresql_ends_them() {
    let all = [include_str!("texts.sql"), include_str!("reads.sql"), include_str!("others.sql")];
    for sql in all.into_iter().flat_map(lines) {
        let theirs: Vec<_> =
            pg_query::split_with_parser(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let ours = weir::sql::split_statements(sql.as_bytes(), ON).unwrap();
        let ours: Vec<_> = ours.iter().map(|one| String::from_utf8_lossy(one).trim().to_owned()).collect();
        let theirs: Vec<_> = theirs.into_iter().map(|one| without_comments(one).to_owned()).collect();
        let ours: Vec<_> = ours.iter().map(|one| without_comments(one).to_owned()).collect();
        assert_eq!(ours, theirs, "{sql}");
    }
}

/// A statement without what stands around it and is none of it.
fn without_comments(sql: &str) -> &str {
    let tokens = pg_query::scan(sql).map_or_else(|error| panic!("{sql}: {error}"), |scanned| scanned.tokens);
    let is_comment = |kind: pg_query::protobuf::Token| {
        matches!(kind, pg_query::protobuf::Token::SqlComment | pg_query::protobuf::Token::CComment)
    };
    let mut real = tokens.iter().filter(|token| !is_comment(token.token()));
    let Some(first) = real.next() else { return "" };
    let last = real.next_back().unwrap_or(first);
    &sql[first.start as usize..last.end as usize]
}

#[test]
fn random_queries_are_read_as_postgresql_reads_them() {
    random::run();
}
