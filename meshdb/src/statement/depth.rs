//! How deep the syntax tree of a statement can become, before there is one.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Bounds on a syntax tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Depth {
    /// Levels of the tree: no operator adds more than one, so the tokens between two commas, plus the levels
    /// of what they bracket, cannot be exceeded by the tree that is made of them.
    pub levels: usize,
    /// Queries in brackets in queries.
    pub queries: usize,
}

/// One pair of brackets, or the whole statement.
#[derive(Default)]
struct Group {
    /// Tokens of the current item.
    tokens: usize,
    /// The deepest brackets in the current item.
    inner: usize,
    /// The deepest item so far.
    deepest: usize,
    /// The queries in the brackets, one in the other, and this one if it is a query.
    queries: usize,
    /// Whether this is a query, as its first word says.
    is_query: bool,
    /// Whether commas join relations, each of which is one level of the plan, instead of ending an item.
    joins: bool,
}

impl Group {
    fn end_item(&mut self) {
        self.deepest = self.depth().levels;
        self.tokens = 0;
        self.inner = 0;
    }

    fn depth(&self) -> Depth {
        Depth {
            levels: self.deepest.max(self.tokens + self.inner),
            queries: self.queries + usize::from(self.is_query),
        }
    }

    fn close(&mut self, inner: Depth) {
        self.inner = self.inner.max(inner.levels);
        self.queries = self.queries.max(inner.queries);
    }

    fn word(&mut self, keyword: Keyword) {
        let first = self.tokens == 0 && self.deepest == 0;
        self.is_query |= first && matches!(keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES);
        self.joins = match keyword {
            Keyword::FROM | Keyword::JOIN => true,
            Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::VALUES => false,
            _ => self.joins,
        };
    }
}

/// Measures a statement. Brackets that do not match are counted as if they did.
pub(super) fn of(tokens: &[TokenWithSpan]) -> Depth {
    let mut open = Vec::new();
    let mut group = Group::default();
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => {
                group.tokens += 1;
                open.push(std::mem::take(&mut group));
                continue;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                let inner = std::mem::replace(&mut group, open.pop().unwrap_or_default());
                group.close(inner.depth());
                continue;
            }
            Token::Comma if !group.joins => group.end_item(),
            Token::SemiColon => group.end_item(),
            Token::Word(word) => group.word(word.keyword),
            _ => {}
        }
        group.tokens += 1;
    }
    while let Some(outer) = open.pop() {
        let inner = std::mem::replace(&mut group, outer);
        group.close(inner.depth());
    }
    group.depth()
}
