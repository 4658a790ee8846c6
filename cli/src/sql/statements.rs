//! Where statements end.

/// A text, cut into statements at each `;` that stands outside of quotes and comments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statements<'a> {
    /// The statements that have their `;`, without it.
    pub(crate) complete: Vec<&'a str>,
    /// What stands behind the last `;`.
    pub(crate) rest: &'a str,
}

impl<'a> Statements<'a> {
    /// Cuts `text`; what is nothing but whitespace and comments is no statement.
    pub(crate) fn of(text: &'a str) -> Self {
        let mut complete = Vec::new();
        let mut rest = text;
        loop {
            match end_of_first(rest) {
                End::At(end) => {
                    complete.push(&rest[..end]);
                    rest = &rest[end + 1..];
                }
                End::Empty(end) => rest = &rest[end + 1..],
                End::None => return Self { complete, rest },
            }
        }
    }

    /// All statements; the last one needs no `;`.
    pub(crate) fn all(self) -> Vec<&'a str> {
        let mut statements = self.complete;
        if !is_blank(self.rest) {
            statements.push(self.rest);
        }
        statements
    }
}

/// Tells whether there is nothing but whitespace and comments.
pub(crate) fn is_blank(text: &str) -> bool {
    let mut place = 0;
    while place < text.len() {
        let (length, part) = next_part(&text[place..]);
        if part != Part::Nothing {
            return false;
        }
        place += length;
    }
    true
}

enum End {
    /// A statement ends here.
    At(usize),
    /// A `;` with no statement in front of it.
    Empty(usize),
    /// There is no end.
    None,
}

fn end_of_first(text: &str) -> End {
    let mut place = 0;
    let mut empty = true;
    while place < text.len() {
        match next_part(&text[place..]) {
            (_, Part::End) if empty => return End::Empty(place),
            (_, Part::End) => return End::At(place),
            (length, part) => {
                empty &= part == Part::Nothing;
                place += length;
            }
        }
    }
    End::None
}

#[derive(PartialEq, Eq)]
enum Part {
    /// Whitespace or a comment.
    Nothing,
    /// Something of a statement.
    Something,
    /// A `;`.
    End,
}

/// Tells what `text`, which is not empty, begins with, and its length in bytes.
fn next_part(text: &str) -> (usize, Part) {
    let bytes = text.as_bytes();
    match bytes {
        [b';', ..] => (1, Part::End),
        [b'-', b'-', ..] => (text.find('\n').map_or(text.len(), |end| end + 1), Part::Nothing),
        [b'/', b'*', ..] => (comment_length(bytes), Part::Nothing),
        [b'\'', ..] => (quoted_length(bytes, false), Part::Something),
        [b'e' | b'E', b'\'', ..] => (1 + quoted_length(&bytes[1..], true), Part::Something),
        [b'"', ..] => (quoted_length(bytes, false), Part::Something),
        [b'$', ..] => (dollar_quoted_length(text).unwrap_or(1), Part::Something),
        [byte, ..] if is_word(*byte) => {
            (bytes.iter().take_while(|byte| is_word(**byte)).count(), Part::Something)
        }
        _ => {
            let first = text.chars().next().unwrap_or(' ');
            (first.len_utf8(), if first.is_whitespace() { Part::Nothing } else { Part::Something })
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of a comment, which may hold others; to the end of the text when it has no end.
fn comment_length(bytes: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut place = 0;
    while place < bytes.len() {
        match &bytes[place..] {
            [b'/', b'*', ..] => {
                depth += 1;
                place += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                place += 2;
                if depth == 0 {
                    return place;
                }
            }
            _ => place += 1,
        }
    }
    bytes.len()
}

/// The length of what stands in quotes. A doubled quote needs no care here: it ends one text and begins the
/// next.
fn quoted_length(bytes: &[u8], backslash_escapes: bool) -> usize {
    let quote = bytes[0];
    let mut place = 1;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' if backslash_escapes => place += 1,
            byte if byte == quote => return place + 1,
            _ => {}
        }
        place += 1;
    }
    bytes.len()
}

/// The length of `$tag$ ... $tag$`; `None` when this is not how one begins.
fn dollar_quoted_length(text: &str) -> Option<usize> {
    let tag_end = 1 + text[1..].find('$')?;
    let is_tag =
        |tag: &str| tag.bytes().all(is_word) && !tag.starts_with(|first: char| first.is_ascii_digit());
    if !is_tag(&text[1..tag_end]) {
        return None;
    }
    let tag = &text[..=tag_end];
    let end = text[tag.len()..].find(tag);
    Some(end.map_or(text.len(), |end| 2 * tag.len() + end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements() {
        let statements = Statements::of("select 1; select 2 ;\n select");
        assert_eq!(statements.complete, ["select 1", " select 2 "]);
        assert_eq!(statements.rest, "\n select");
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not() {
        for text in [
            "select ';'",
            "select 'it''s;'",
            "select e'\\';'",
            "select \"a;\"\"b;\"",
            "select 1 -- ;\n + 1",
            "select 1 /* ; /* ; */ ; */ + 1",
            "select $$;$$",
            "select $tag$ ; $$ ; $tag$",
            "select date';'",
        ] {
            let whole = format!("{text};");
            assert_eq!(Statements::of(&whole), Statements { complete: vec![text], rest: "" }, "{text}");
        }
    }

    #[test]
    fn what_has_no_end_is_rest() {
        for text in ["select ';", "select /* ;", "select $a$;", "select \";", "-- ;", "select e'\\';"] {
            assert_eq!(Statements::of(text), Statements { complete: vec![], rest: text }, "{text}");
        }
    }

    #[test]
    fn a_parameter_is_no_quote() {
        assert_eq!(Statements::of("select $1; select $2;").complete, ["select $1", " select $2"]);
    }

    #[test]
    fn nothing_is_no_statement() {
        assert!(Statements::of(" ;; -- x\n ; /* y */").all().is_empty());
        assert!(is_blank("\u{a0}-- only a comment"));
        assert_eq!(Statements::of("-- what it does\nselect 1").all(), ["-- what it does\nselect 1"]);
    }

    #[test]
    fn texts_beyond_ascii_are_cut_at_characters() {
        assert_eq!(Statements::of("select '\u{e4};' ;\u{6f22};").complete, ["select '\u{e4};' ", "\u{6f22}"]);
    }
}
