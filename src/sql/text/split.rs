//! Cuts a text into tokens and statements. What a statement is does not matter here.

use super::lexer::{LexError, Lexer, StandardConformingStrings, Token, TokenKind};

/// The tokens of a text, statement by statement; statements without a token are left out, as PostgreSQL does.
pub(in crate::sql) fn tokens<'a>(
    sql: &'a [u8],
    strings: StandardConformingStrings,
) -> Result<Vec<Vec<Token<'a>>>, LexError> {
    let mut statements = Vec::new();
    let mut current: Vec<Token<'a>> = Vec::new();
    let mut nesting = Nesting::default();
    for token in Lexer::new(sql, strings) {
        let token = token?;
        if token.is_word("uescape") && current.last().is_some_and(|t| t.kind == TokenKind::UnicodeName) {
            // Its escape character changes what the name in front of it says.
            return Err(LexError::Ambiguous);
        }
        if token.is_symbol(";") && nesting.at_top() {
            if !current.is_empty() {
                statements.push(std::mem::take(&mut current));
            }
            nesting = Nesting::default();
            continue;
        }
        nesting.token(&token, &current);
        current.push(token);
    }
    if !current.is_empty() {
        statements.push(current);
    }
    Ok(statements)
}

/// The statements of a text as PostgreSQL's parser would separate them, without the semicolons, blanks and comments around
/// them. Fails where the text cannot be cut into tokens for sure.
pub fn split_statements(sql: &[u8], strings: StandardConformingStrings) -> Result<Vec<&[u8]>, LexError> {
    let statements = tokens(sql, strings)?;
    let span = |tokens: &Vec<Token<'_>>| Some(&sql[tokens.first()?.start..tokens.last()?.end()]);
    Ok(statements.iter().filter_map(span).collect())
}

/// The same, each with the comments in front of it, as a client would send one by one: a hint may be among them.
pub fn split_with_comments(sql: &[u8], strings: StandardConformingStrings) -> Result<Vec<&[u8]>, LexError> {
    let mut begin = 0;
    let mut parts = Vec::new();
    for tokens in tokens(sql, strings)? {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        // In front of a statement there are semicolons, blanks and comments, and no other token.
        let semicolon = Lexer::new(&sql[begin..first.start], strings).map_while(Result::ok).last();
        begin += semicolon.map_or(0, |token| token.end());
        parts.push(sql[begin..last.end()].trim_ascii_start());
        begin = last.end();
    }
    Ok(parts)
}

/// Whether a semicolon ends the statement: not within parentheses (rules), nor within the body of a SQL-standard
/// function, `BEGIN ATOMIC ... END`.
#[derive(Default)]
struct Nesting {
    parentheses: usize,
    /// `BEGIN ATOMIC` and the `CASE`s in it that wait for their `END`.
    blocks: usize,
}

impl Nesting {
    fn at_top(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn token(&mut self, token: &Token<'_>, before: &[Token<'_>]) {
        match token.kind {
            TokenKind::Punctuation if token.text == b"(" => self.parentheses += 1,
            TokenKind::Punctuation if token.text == b")" => {
                self.parentheses = self.parentheses.saturating_sub(1);
            }
            TokenKind::Word => self.word(token, before),
            _ => {}
        }
    }

    fn word(&mut self, token: &Token<'_>, before: &[Token<'_>]) {
        if self.blocks > 0 {
            if token.is_word("case") {
                self.blocks += 1;
            } else if token.is_word("end") {
                self.blocks -= 1;
            }
        } else if token.is_word("atomic")
            && before.last().is_some_and(|t| t.is_word("begin"))
            && before.first().is_some_and(|t| t.is_word("create"))
        {
            self.blocks = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(sql: &str) -> Vec<&str> {
        let on = StandardConformingStrings::On;
        let parts = split_statements(sql.as_bytes(), on).unwrap();
        parts.into_iter().map(|p| std::str::from_utf8(p).unwrap()).collect()
    }

    #[test]
    fn semicolons_in_literals_and_comments_do_not_split() {
        assert_eq!(split("select 'a;b'"), ["select 'a;b'"]);
        assert_eq!(split("select $$;$$ /* ; */ , \"a;b\" -- ;\n"), ["select $$;$$ /* ; */ , \"a;b\""]);
        assert_eq!(split("select E'\\';' ; select 2"), ["select E'\\';'", "select 2"]);
    }

    #[test]
    fn empty_statements_vanish() {
        assert!(split("").is_empty());
        assert!(split(" ; ;; -- nothing\n /* at all */").is_empty());
        assert_eq!(split(";select 1;;select 2;"), ["select 1", "select 2"]);
    }

    #[test]
    fn comments_stay_in_front_of_what_they_speak_of() {
        let on = StandardConformingStrings::On;
        let sql = b"/* a; */ begin ; -- b;\n/* c */ ; /* d */\nselect 1 /* e */, 2 /* f */; ;commit; -- g";
        let parts = split_with_comments(sql, on).unwrap();
        let parts: Vec<_> = parts.into_iter().map(|part| std::str::from_utf8(part).unwrap()).collect();
        assert_eq!(parts, ["/* a; */ begin", "/* d */\nselect 1 /* e */, 2", "commit"]);
    }

    #[test]
    fn bodies_of_functions_and_rules_are_one_statement() {
        let function = "create function f() returns int language sql begin atomic \
                        select case when true then 1 end; select 2; end";
        assert_eq!(split(&format!("{function}; select 3")), [function, "select 3"]);
        let rule = "create rule r as on insert to t do (select 1; select 2)";
        assert_eq!(split(&format!("{rule};commit")), [rule, "commit"]);
        assert_eq!(split("begin; select atomic; end"), ["begin", "select atomic", "end"]);
    }
}
