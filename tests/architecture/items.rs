//! Words and items: just enough of Rust's grammar to tell what a file defines, imports and names.

use crate::source::Source;

/// A word or a sign, and the line it stands on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Something that a file defines, from its keyword to its end.
pub(crate) struct Item<'a> {
    pub(crate) keyword: &'a str,
    /// Empty for `impl` and `use`.
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) tokens: &'a [Token<'a>],
}

/// One name that a `use` brings: `use a::{b as c}` brings `c` by the path `a::b`; a glob brings `*`.
pub(crate) struct Import<'a> {
    pub(crate) path: Vec<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// Whether others are to find it here.
    pub(crate) is_public: bool,
}

/// The tokens of a file, without what is there in tests only.
pub(crate) fn tokens(source: &Source) -> Vec<Token<'_>> {
    let all = source.lines().flat_map(|(line, code)| split(code).map(move |text| Token { text, line }));
    without_tests(all.collect())
}

fn split(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code.trim_start();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len = match first {
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ if ["::", "->", "=>"].iter().any(|sign| rest.starts_with(sign)) => 2,
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(len);
        rest = after.trim_start();
        Some(token)
    })
}

fn without_tests(mut tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut at = 0;
    while at + MARK.len() <= tokens.len() {
        if MARK.iter().zip(&tokens[at..]).all(|(mark, token)| *mark == token.text) {
            let keyword = after_qualifiers(&tokens, after_attributes(&tokens, at));
            tokens.drain(at..keyword + end(&tokens[keyword..]));
        } else {
            at += 1;
        }
    }
    tokens
}

fn after_attributes(tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        let open = at + tokens[at..].iter().position(|token| token.text == "[").unwrap();
        at = open + closed(&tokens[open..]);
    }
    at
}

/// How many tokens the bracket that opens here has, with the one that closes it.
fn closed(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// How many tokens the item has whose keyword stands here: up to a semicolon, or to the end of its block where a block
/// ends it.
fn end(tokens: &[Token]) -> usize {
    let keyword = tokens.first().map_or("", |token| token.text);
    let by_block = !matches!(keyword, "use" | "const" | "static" | "type");
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text {
            ";" => return at + 1,
            "{" if by_block => return at + closed(&tokens[at..]),
            "(" | "[" | "{" => at += closed(&tokens[at..]),
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The items of a file, those of its inline modules behind the modules.
pub(crate) fn items<'a>(tokens: &'a [Token<'a>]) -> Vec<Item<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = after_qualifiers(tokens, after_attributes(tokens, at));
        let Some(first) = tokens.get(at) else { break };
        let whole = &tokens[at..at + end(&tokens[at..])];
        let named = usize::from(whole.get(1).is_some_and(|token| matches!(token.text, "!" | "mut")));
        let name = match first.text {
            "impl" | "use" => "",
            _ => whole.get(1 + named).map_or("", |token| token.text),
        };
        found.push(Item { keyword: first.text, name, line: first.line, tokens: whole });
        at += whole.len();
    }
    found
}

/// Past `pub(crate)` and what else may stand in front of a keyword.
fn after_qualifiers(tokens: &[Token], mut at: usize) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    loop {
        match text(at) {
            "pub" if text(at + 1) == "(" => at += 1 + closed(&tokens[at + 1..]),
            "pub" | "async" | "unsafe" | "default" | "extern" | "\"" => at += 1,
            "const" if matches!(text(at + 1), "fn" | "async" | "unsafe") => at += 1,
            _ => return at,
        }
    }
}

/// What the `use` that stands here brings.
fn imports_at<'a>(tokens: &[Token<'a>], at: usize) -> Vec<Import<'a>> {
    let is_public = at > 0 && matches!(tokens[at - 1].text, "pub" | ")");
    let (mut found, mut rest) = (Vec::new(), &tokens[at + 1..]);
    tree(&mut rest, &[], &mut |path, name| {
        found.push(Import { path, name, line: tokens[at].line, is_public });
    });
    found
}

/// One tree of a `use`: a path, and what stands in its braces. Takes its tokens from the front.
fn tree<'a>(tokens: &mut &[Token<'a>], before: &[&'a str], bring: &mut impl FnMut(Vec<&'a str>, &'a str)) {
    let mut path = before.to_vec();
    let mut name = None;
    while let [first, rest @ ..] = *tokens {
        match first.text {
            "," | "}" | ";" => break,
            "::" => {}
            "*" => name = Some("*"),
            "self" if !path.is_empty() => {}
            "as" => name = rest.first().map(|token| token.text),
            "{" => {
                *tokens = rest;
                while tokens.first().is_some_and(|token| token.text != "}") {
                    tree(tokens, &path, bring);
                    *tokens = tokens.strip_prefix_if(",");
                }
                *tokens = tokens.strip_prefix_if("}");
                return;
            }
            _ if name.is_some() => {}
            part => path.push(part),
        }
        *tokens = rest;
    }
    if let Some(last) = path.last().copied() {
        bring(path, name.unwrap_or(last));
    }
}

trait StripIf {
    fn strip_prefix_if(&self, text: &str) -> Self;
}

impl StripIf for &[Token<'_>] {
    fn strip_prefix_if(&self, text: &str) -> Self {
        &self[usize::from(self.first().is_some_and(|token| token.text == text))..]
    }
}

/// Everything that any `use` of the file brings.
pub(crate) fn imports<'a>(tokens: &[Token<'a>]) -> Vec<Import<'a>> {
    let starts = (0..tokens.len()).filter(|&at| is_use(tokens, at));
    starts.flat_map(|at| imports_at(tokens, at)).collect()
}

fn is_use(tokens: &[Token], at: usize) -> bool {
    tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|next| next.text != "<")
}

/// The tokens that stand outside any `use` and any declaration of a module.
pub(crate) fn body<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let declares =
            matches!(tokens[at..], [first, _, last, ..] if (first.text, last.text) == ("mod", ";"));
        if declares || is_use(tokens, at) {
            at += end(&tokens[at..]);
        } else {
            found.push(tokens[at]);
            at += 1;
        }
    }
    found
}

/// The paths of two names and more in a body, and the line of each.
pub(crate) fn paths<'a>(body: &[Token<'a>]) -> Vec<(Vec<&'a str>, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < body.len() {
        let starts = body[at].is_name() && (at == 0 || body[at - 1].text != "::");
        let (mut path, line) = (vec![body[at].text], body[at].line);
        while starts
            && let [sign, name, ..] = body[at + 1..]
            && sign.text == "::"
            && name.is_name()
        {
            path.push(name.text);
            at += 2;
        }
        if path.len() > 1 {
            found.push((path, line));
        }
        at += 1;
    }
    found
}

/// The parts between commas of what stands in the first bracket of this kind.
pub(crate) fn parts<'a>(tokens: &'a [Token<'a>], open: &str) -> Vec<&'a [Token<'a>]> {
    let Some(start) = tokens.iter().position(|token| token.text == open) else { return Vec::new() };
    let inside = &tokens[start + 1..start + closed(&tokens[start..]) - 1];
    let mut depth = 0;
    let apart = inside.split(|token| {
        match token.text {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.text == ","
    });
    let bare = apart.map(|part| &part[after_qualifiers(part, after_attributes(part, 0))..]);
    bare.filter(|part| !part.is_empty()).collect()
}
