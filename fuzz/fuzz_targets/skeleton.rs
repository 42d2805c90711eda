//! Any bytes: spelled anew with other blanks and in upper case, a text keeps its skeleton.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::sql::lexer::{Lexer, TokenKind};
use weir::sql::{SkeletonKeys, StandardConformingStrings, skeleton};

fuzz_target!(|sql: &[u8]| {
    let keys = SkeletonKeys::from_seed([1, 2]);
    let on = StandardConformingStrings::On;
    let Ok(id) = skeleton(sql, on, &keys) else { return };
    let mut spelled = Vec::new();
    // A hint in front is part of the skeleton: whatever stands before the first token stays.
    let first = Lexer::new(sql, on).token().ok().flatten().map_or(sql.len(), |t| t.start);
    spelled.extend_from_slice(&sql[..first]);
    for token in Lexer::new(sql, on).map_while(Result::ok) {
        match token.kind {
            TokenKind::Word => spelled.extend(token.text.iter().map(u8::to_ascii_uppercase)),
            _ => spelled.extend_from_slice(token.text),
        }
        spelled.extend_from_slice(b"/* ; */\t");
    }
    assert_eq!(skeleton(&spelled, on, &keys).ok(), Some(id));
});
