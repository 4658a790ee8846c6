//! What the prompt knows while a statement is typed: what could follow, and whether it is complete.

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::statements::{Statements, is_blank};

/// Words that begin or join the parts of a statement that reads.
const KEYWORDS: &str = "\
    all and as asc between by case cast count cross current_timestamp date desc describe distinct else \
    end except exists explain extract false filter first from full group having ilike in inner intersect \
    interval is join last lateral left like limit max min not null nulls offset on or order outer over \
    partition recursive right row rows select show sum table tables then timestamp true union using \
    values when where window with";

/// Completes keywords and names, and goes on reading lines until a statement ends.
#[derive(Default)]
pub(super) struct PromptHelper {
    /// Tables and columns, as they are written in a statement.
    pub(super) names: Vec<String>,
}

impl PromptHelper {
    fn candidates(&self, word: &str) -> Vec<Pair> {
        let lower = word.to_lowercase();
        let is_upper = !word.is_empty() && !word.contains(char::is_lowercase);
        let keywords = KEYWORDS
            .split(' ')
            .filter(|keyword| keyword.starts_with(&lower))
            .map(|keyword| if is_upper { keyword.to_uppercase() } else { keyword.to_owned() });
        let fits = |name: &&String| name.starts_with(word) || unquoted(name).starts_with(unquoted(word));
        let mut texts: Vec<String> = self.names.iter().filter(fits).cloned().collect();
        if !word.is_empty() {
            texts.extend(keywords);
        }
        texts.into_iter().map(|text| Pair { display: text.clone(), replacement: text }).collect()
    }
}

fn unquoted(name: &str) -> &str {
    name.strip_prefix('"').unwrap_or(name)
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, place: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..place];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '/' | '-');
        let start = typed.trim_end_matches(is_part).len();
        Ok((start, self.candidates(&typed[start..])))
    }
}

impl Validator for PromptHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let complete = is_complete(context.input());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// A statement is complete with its `;`; a command of the prompt is one line.
fn is_complete(input: &str) -> bool {
    input.starts_with('\\') || is_blank(Statements::of(input).rest)
}

impl Hinter for PromptHelper {
    type Hint = String;
}

impl Highlighter for PromptHelper {}

impl Helper for PromptHelper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(word: &str) -> Vec<String> {
        let names = ["flights", "\"orders/audit\"", "channels.\"a\""].map(str::to_owned).to_vec();
        let pairs = PromptHelper { names }.candidates(word);
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn keywords_follow_the_case_of_what_was_typed() {
        assert_eq!(completed("sel"), ["select"]);
        assert_eq!(completed("SEL"), ["SELECT"]);
    }

    #[test]
    fn names_are_found_with_and_without_their_quote() {
        assert_eq!(completed("fli"), ["flights"]);
        assert_eq!(completed("ord")[0], "\"orders/audit\"");
        assert_eq!(completed("\"ord"), ["\"orders/audit\""]);
    }

    #[test]
    fn input_is_complete_at_its_semicolon_or_as_a_command() {
        for input in ["select 1;", "\\d", "", "  -- nothing", "select 1; -- done"] {
            assert!(is_complete(input), "{input}");
        }
        for input in ["select 1", "select ';", "select 1; select 2"] {
            assert!(!is_complete(input), "{input}");
        }
    }
}
