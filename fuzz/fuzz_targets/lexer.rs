//! Any bytes: the lexer ends, and its tokens lie in order within the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::sql::StandardConformingStrings;
use weir::sql::lexer::Lexer;

fuzz_target!(|sql: &[u8]| {
    for strings in [StandardConformingStrings::On, StandardConformingStrings::Off] {
        let mut end = 0;
        for token in Lexer::new(sql, strings).map_while(Result::ok) {
            assert!(!token.text.is_empty() && token.start >= end);
            assert_eq!(token.text, &sql[token.start..token.end()]);
            end = token.end();
        }
    }
});
