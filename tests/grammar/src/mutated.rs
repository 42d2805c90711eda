//! The statements of the files with tokens changed at random: what PostgreSQL still parses, weir must not misread.

use crate::random::Dice;
use crate::{Classifier, facts, faults};

const MUTATIONS: u64 = 20_000;

/// As many mutations as `GRAMMAR_MUTATIONS` says, from the seed `GRAMMAR_SEED`.
pub(crate) fn run(statements: &[&str]) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (count, seed) =
        (number("GRAMMAR_MUTATIONS").unwrap_or(MUTATIONS), number("GRAMMAR_SEED").unwrap_or(1));
    let classifier = Classifier::new(1000);
    let texts: Vec<Vec<String>> = statements.iter().map(|sql| tokens(sql)).collect();
    let (mut parsed, mut wrong) = (0, Vec::new());
    for nth in 0..count {
        let mut dice = Dice::new(seed, nth);
        let mut text = texts[dice.number(texts.len())].clone();
        for _ in 0..=dice.number(2) {
            mutate(&mut text, &texts, &mut dice);
        }
        let sql = text.join(" ");
        let Ok(facts) = facts::of(&sql) else { continue };
        parsed += 1;
        let faults = faults(&classifier, &sql, &facts);
        if !faults.is_empty() {
            wrong.push(format!("{sql}\n    {}", faults.join("; ")));
        }
    }
    wrong.sort_by_key(String::len);
    wrong.truncate(10);
    assert!(wrong.is_empty(), "of seed {seed}, misread:\n{}", wrong.join("\n"));
    assert!(parsed > count / 10, "{parsed} of {count} are grammar");
}

/// One token, or a few in a row, are left out, put in, put in the place of others, or trade places.
fn mutate(text: &mut Vec<String>, texts: &[Vec<String>], dice: &mut Dice) {
    let other = &texts[dice.number(texts.len())];
    let from = dice.number(other.len());
    let piece = other[from..other.len().min(from + 1 + dice.number(4))].to_vec();
    let at = dice.number(text.len());
    let end = text.len().min(at + 1 + dice.number(2));
    match dice.number(4) {
        0 if text.len() > 3 => drop(text.drain(at..end)),
        1 => drop(text.splice(at..at, piece)),
        2 => drop(text.splice(at..end, piece)),
        _ => {
            let with = dice.number(text.len());
            text.swap(at, with);
        }
    }
}

fn tokens(sql: &str) -> Vec<String> {
    let scanned = pg_query::scan(sql).map_or_else(|error| panic!("{sql}: {error}"), |scanned| scanned.tokens);
    let part =
        |token: &pg_query::protobuf::ScanToken| sql[token.start as usize..token.end as usize].to_owned();
    let comment = |part: &String| part.starts_with("--") || part.starts_with("/*");
    scanned.iter().map(part).filter(|part| !comment(part)).collect()
}
