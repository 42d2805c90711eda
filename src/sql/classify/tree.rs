//! The syntax tree of a query: which relations it reads and which functions it calls.
//!
//! sqlparser is given weir's own tokens, never the text, so the two cannot disagree about where a string ends; and
//! literals reach it as placeholders, so that its answer depends on nothing that the skeleton leaves out.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, ObjectNamePart, Query, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token as Parsed;

use super::functions::{self, Class, KnownFunctions};
use crate::sql::text::{self, Token, TokenKind};
use crate::sql::verdict::{Name, Why};

/// Most operators in a query that is parsed. A chain of them becomes as deep a tree, which is freed
/// recursively: this bounds the stack that it takes.
pub(super) const TERMS_MAX: usize = 2_000;

/// Most tokens in a query that is parsed, lists of literals counted as one. Parsing takes about a microsecond a token.
pub(super) const SHAPE_MAX: usize = 5_000;

/// Nested parentheses, subqueries and expressions that are followed.
const NESTING_MAX: usize = 64;

/// What the tree adds to what the tokens show.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Why it must run on the primary, where only the tree shows it.
    pub(super) why: Option<Why>,
    /// Relations it names, common table expressions left out.
    pub(super) reads: Vec<Name>,
    /// Functions it calls that are not known.
    pub(super) functions: Vec<Name>,
}

/// Parses one query or data-modifying statement; `None` when sqlparser does not understand it.
pub(super) fn parse(tokens: &[Token<'_>], known: &KnownFunctions) -> Option<Tree> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens(translate(tokens)?);
    let statement = parser.parse_statement().ok()?;
    if parser.peek_token_ref().token != Parsed::EOF {
        return None;
    }
    let mut walk = Walk { tree: Tree::default(), scopes: Vec::new(), call: None, known };
    match statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_) => {}
        _ => return None,
    }
    match statement.visit(&mut walk) {
        ControlFlow::Continue(()) => Some(walk.tree),
        ControlFlow::Break(()) => None,
    }
}

/// weir's tokens as sqlparser's. Lists of literals shrink to their first, as in the skeleton, and what sqlparser
/// does not know is spelled as something that reads the same relations and calls the same functions.
fn translate(tokens: &[Token<'_>]) -> Option<Vec<Parsed>> {
    let mut out = Vec::with_capacity(tokens.len() + 3);
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        let previous = tokens[..at].last();
        let behind = |words: &[&str]| previous.is_some_and(|p| words.iter().any(|w| p.is_word(w)));
        let rest = &tokens[at + 1..];
        at += 1;
        if token.is_word("table") && !behind(&["into", "temp", "temporary", "unlogged"]) {
            // `TABLE t` is short for `SELECT * FROM t`; sqlparser takes no options behind it.
            out.extend([Parsed::make_word("SELECT", None), Parsed::Mul, Parsed::make_word("FROM", None)]);
            continue;
        }
        // sqlparser takes the ONLY of `FROM ONLY t` for a table called so; that of `FETCH FIRST ROW ONLY` stays.
        let inheritance = token.is_word("only") && !behind(&["row", "rows"]);
        if inheritance || token.is_word("variadic") {
            continue;
        }
        out.push(one(token)?);
        if is_literal(&token) {
            at += literals(rest);
        } else if token.is_symbol(")") && follows(rest, &[".", "*"]) {
            // `(row).*` reads what `(row)` reads.
            at += 2;
        } else if token.is_word("between") && rest.first().is_some_and(is_symmetry) {
            at += 1;
        }
    }
    Some(out)
}

/// How many tokens a query has when lists of literals count as one.
pub(super) fn shape_len(tokens: &[Token<'_>]) -> usize {
    let listed =
        |three: &&[Token<'_>]| is_literal(&three[0]) && three[1].is_symbol(",") && is_literal(&three[2]);
    tokens.len() - tokens.windows(3).filter(listed).count() * 2
}

/// How many tokens behind a literal belong to it: further literals of its list, and `UESCAPE '!'`.
fn literals(rest: &[Token<'_>]) -> usize {
    let more =
        rest.chunks_exact(2).take_while(|pair| pair[0].is_symbol(",") && is_literal(&pair[1])).count() * 2;
    if rest.get(more).is_some_and(|t| t.is_word("uescape")) { more + 2 } else { more }
}

fn follows(rest: &[Token<'_>], symbols: &[&str]) -> bool {
    rest.len() >= symbols.len() && rest.iter().zip(symbols).all(|(t, s)| t.is_symbol(s))
}

fn is_symmetry(token: &Token<'_>) -> bool {
    token.is_word("symmetric") || token.is_word("asymmetric")
}

pub(super) fn is_literal(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::String(_) | TokenKind::Number | TokenKind::Parameter)
}

fn one(token: Token<'_>) -> Option<Parsed> {
    Some(match token.kind {
        TokenKind::Word => Parsed::make_word(std::str::from_utf8(token.text).ok()?, None),
        TokenKind::QuotedName | TokenKind::UnicodeName => Parsed::make_word(&text::name(token)?, Some('"')),
        TokenKind::Number => Parsed::Number("1".to_owned(), false),
        TokenKind::String(_) => Parsed::SingleQuotedString("1".to_owned()),
        TokenKind::Parameter => Parsed::Placeholder("$1".to_owned()),
        TokenKind::Operator | TokenKind::Punctuation => symbol(std::str::from_utf8(token.text).ok()?)?,
        TokenKind::Other => return None,
    })
}

/// Punctuation and operators that sqlparser has names for; other operators are a user's own.
fn symbol(text: &str) -> Option<Parsed> {
    let known = [
        (",", Parsed::Comma),
        (".", Parsed::Period),
        ("(", Parsed::LParen),
        (")", Parsed::RParen),
        ("[", Parsed::LBracket),
        ("]", Parsed::RBracket),
        (":", Parsed::Colon),
        ("::", Parsed::DoubleColon),
        (":=", Parsed::Assignment),
        ("=>", Parsed::RArrow),
        ("=", Parsed::Eq),
        ("<>", Parsed::Neq),
        ("!=", Parsed::Neq),
        ("<", Parsed::Lt),
        (">", Parsed::Gt),
        ("<=", Parsed::LtEq),
        (">=", Parsed::GtEq),
        ("+", Parsed::Plus),
        ("-", Parsed::Minus),
        ("*", Parsed::Mul),
        ("/", Parsed::Div),
        ("%", Parsed::Mod),
        ("||", Parsed::StringConcat),
        ("&", Parsed::Ampersand),
        ("|", Parsed::Pipe),
        ("^", Parsed::Caret),
        ("#", Parsed::Sharp),
        ("~", Parsed::Tilde),
        ("~*", Parsed::TildeAsterisk),
        ("!~", Parsed::ExclamationMarkTilde),
        ("!~*", Parsed::ExclamationMarkTildeAsterisk),
        ("~~", Parsed::DoubleTilde),
        ("~~*", Parsed::DoubleTildeAsterisk),
        ("!~~", Parsed::ExclamationMarkDoubleTilde),
        ("!~~*", Parsed::ExclamationMarkDoubleTildeAsterisk),
        ("<<", Parsed::ShiftLeft),
        (">>", Parsed::ShiftRight),
        ("&&", Parsed::Overlap),
        ("@", Parsed::AtSign),
        ("^@", Parsed::CaretAt),
        ("|/", Parsed::PGSquareRoot),
        ("||/", Parsed::PGCubeRoot),
        ("->", Parsed::Arrow),
        ("->>", Parsed::LongArrow),
        ("#>", Parsed::HashArrow),
        ("#>>", Parsed::HashLongArrow),
        ("@>", Parsed::AtArrow),
        ("<@", Parsed::ArrowAt),
        ("#-", Parsed::HashMinus),
        ("@?", Parsed::AtQuestion),
        ("@@", Parsed::AtAt),
        ("?", Parsed::Question),
        ("?&", Parsed::QuestionAnd),
        ("?|", Parsed::QuestionPipe),
    ];
    match known.into_iter().find(|(symbol, _)| *symbol == text) {
        Some((_, token)) => Some(token),
        None if text.bytes().all(|b| b.is_ascii_punctuation()) && !matches!(text, "..") => {
            Some(Parsed::CustomBinaryOperator(text.to_owned()))
        }
        None => None,
    }
}

/// The common table expressions of one query, and which of them can be seen from where the walk stands.
struct Scope {
    names: Vec<(Box<str>, usize)>,
    visible: Visible,
}

#[derive(Clone, Copy)]
enum Visible {
    /// Each from everywhere: `WITH RECURSIVE`.
    All,
    /// Each from behind it on; so many are in front.
    First(usize),
}

impl Scope {
    fn shows(&self, name: &str) -> bool {
        let visible = match self.visible {
            Visible::All => &self.names[..],
            Visible::First(count) => &self.names[..count],
        };
        visible.iter().any(|(common, _)| **common == *name)
    }
}

struct Walk<'k> {
    tree: Tree,
    scopes: Vec<Scope>,
    /// A function in FROM, whose name the walk will also offer as a relation.
    call: Option<ObjectName>,
    known: &'k KnownFunctions,
}

/// Where a node stands in memory: its identity while the tree is not changed.
fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Walk<'_> {
    /// Breaks off at a name that cannot be read.
    fn function(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let Some(name) = folded(name) else { return ControlFlow::Break(()) };
        match self.known.class(&name) {
            Some(Class::ReadOnly | Class::ByArgument) => {}
            Some(Class::Primary(why, _)) => self.tree.why = self.tree.why.or(Some(why)),
            None => self.tree.functions.push(name),
        }
        ControlFlow::Continue(())
    }

    /// Breaks off at a name that cannot be read.
    fn relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let Some(name) = folded(name) else { return ControlFlow::Break(()) };
        let common = name.schema.is_none() && self.scopes.iter().any(|scope| scope.shows(&name.name));
        if common {
            return ControlFlow::Continue(());
        }
        let temporary = name.schema.as_deref().and_then(functions::view);
        self.tree.why = self.tree.why.or(temporary).or_else(|| functions::view(&name.name));
        self.tree.reads.push(name);
        ControlFlow::Continue(())
    }

    /// The place of a query among the common table expressions of the query around it.
    fn common_table(&mut self, query: &Query) -> Option<(&mut Scope, usize)> {
        let scope = self.scopes.last_mut()?;
        let at = scope.names.iter().position(|(_, body)| *body == address(query))?;
        Some((scope, at))
    }
}

/// The last two parts of a name, folded.
fn folded(name: &ObjectName) -> Option<Name> {
    let fold = |part: &ObjectNamePart| -> Option<Box<str>> {
        let ObjectNamePart::Identifier(ident) = part else { return None };
        match ident.quote_style {
            None => Some(ident.value.to_ascii_lowercase().into()),
            Some(_) => Some(ident.value.as_str().into()),
        }
    };
    match name.0.as_slice() {
        [] => None,
        [name] => Some(Name { schema: None, name: fold(name)? }),
        [.., schema, name] => Some(Name { schema: Some(fold(schema)?), name: fold(name)? }),
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        // `WITH t AS (SELECT * FROM t)` reads the table t: a name is seen from the next one on, unless RECURSIVE.
        if let Some((scope, at)) = self.common_table(query)
            && let Visible::First(count) = &mut scope.visible
        {
            *count = at;
        }
        let mut scope = Scope { names: Vec::new(), visible: Visible::First(0) };
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let Some(name) =
                    folded(&ObjectName(vec![ObjectNamePart::Identifier(cte.alias.name.clone())]))
                else {
                    return ControlFlow::Break(());
                };
                scope.names.push((name.name, address(&cte.query)));
            }
            if with.recursive {
                scope.visible = Visible::All;
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some((scope, at)) = self.common_table(query)
            && let Visible::First(count) = &mut scope.visible
        {
            *count = (*count).max(at + 1);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                self.call = Some(name.clone());
                self.function(name)
            }
            TableFactor::Function { name, .. } => self.function(name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if self.call.as_ref() == Some(relation) {
            self.call = None;
            return ControlFlow::Continue(());
        }
        self.relation(relation)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.function(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Classifier, Kind, StandardConformingStrings};

    #[test]
    fn chains_up_to_the_limit_fit_the_stack() {
        let classifier = Classifier::new(100);
        let kind = |sql: &str| {
            classifier.classify(sql.as_bytes(), StandardConformingStrings::On).statements[0].kind.clone()
        };
        for term in [" OR a = 1", " + a", "::int", " UNION SELECT 1", " || 'x' IS NULL", " AND a IN (1, 2)"] {
            let most = TERMS_MAX / 3;
            let sql = format!("SELECT a{}", term.repeat(most));
            assert_eq!(kind(&sql), Kind::Read, "{:.60}", sql);
        }
    }
}
