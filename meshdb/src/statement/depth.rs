//! How deep the syntax tree of a statement can become, before there is one.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// One pair of brackets, or the whole statement.
#[derive(Default)]
struct Group {
    /// Tokens of the current item.
    tokens: usize,
    /// The deepest bracket in the current item.
    inner: usize,
    /// The deepest item so far.
    deepest: usize,
    /// Whether commas join relations, each of which is one level of the plan, instead of ending an item.
    joins: bool,
}

impl Group {
    fn end_item(&mut self) {
        self.deepest = self.depth();
        self.tokens = 0;
        self.inner = 0;
    }

    fn depth(&self) -> usize {
        self.deepest.max(self.tokens + self.inner)
    }
}

/// Returns a bound on the depth: no operator adds more than one level, so the tokens between two commas, plus
/// the depth of what they bracket, cannot be exceeded by the tree that is made of them.
pub(super) fn of(tokens: &[TokenWithSpan]) -> usize {
    let mut open = Vec::new();
    let mut group = Group::default();
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => {}
            Token::LParen | Token::LBracket | Token::LBrace => {
                group.tokens += 1;
                open.push(std::mem::take(&mut group));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                let depth = group.depth();
                group = open.pop().unwrap_or_default();
                group.inner = group.inner.max(depth);
            }
            Token::SemiColon => group.end_item(),
            Token::Comma if !group.joins => group.end_item(),
            Token::Word(word) => {
                group.tokens += 1;
                group.joins = joins_after(word.keyword).unwrap_or(group.joins);
            }
            _ => group.tokens += 1,
        }
    }
    open.iter()
        .rev()
        .fold(group.depth(), |depth, outer| outer.deepest.max(outer.tokens + outer.inner.max(depth)))
}

/// Returns how deep calls of functions are nested in their arguments. The parser tries each argument twice, so that
/// its time is exponential in this depth.
pub(super) fn of_calls(tokens: &[TokenWithSpan]) -> usize {
    let (mut calls, mut deepest) = (0, 0);
    let mut open = Vec::new();
    let mut before: Option<&Token> = None;
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                let call = matches!(before, Some(Token::Word(_)));
                open.push(call);
                calls += usize::from(call);
                deepest = deepest.max(calls);
            }
            Token::RParen => calls -= usize::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        before = Some(&token.token);
    }
    deepest
}

/// Tells whether commas join relations from this keyword on; `None` when it changes nothing.
fn joins_after(keyword: Keyword) -> Option<bool> {
    match keyword {
        Keyword::FROM | Keyword::JOIN => Some(true),
        Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::VALUES => Some(false),
        _ => None,
    }
}
