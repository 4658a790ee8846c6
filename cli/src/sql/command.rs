//! What the prompt understands besides SQL.

/// The text of `\?`.
pub(super) const HELP: &str = "\
Statements end with `;` and may span lines.
  \\d          list tables
  \\d TABLE    describe a table
  \\timing     show or hide how long statements take
  \\q          leave (as does Ctrl-D)
  \\?          this text";

/// A command of the prompt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PromptCommand<'a> {
    Tables,
    Describe(&'a str),
    Timing,
    Quit,
    Help,
    Unknown(&'a str),
}

impl<'a> PromptCommand<'a> {
    /// Reads a line that may be a command; `None` when it is SQL.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let rest = line.strip_prefix('\\')?;
        let (name, argument) = match rest.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, argument.trim()),
            None => (rest, ""),
        };
        Some(match (name, argument) {
            ("d" | "dt", "") => Self::Tables,
            ("d", table) => Self::Describe(table),
            ("timing", _) => Self::Timing,
            ("q", _) => Self::Quit,
            ("?" | "h", _) => Self::Help,
            _ => Self::Unknown(line),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_recognised() {
        use PromptCommand as C;
        for (line, command) in [
            ("\\d", C::Tables),
            (" \\d ; ", C::Tables),
            ("\\d  flights", C::Describe("flights")),
            ("\\d channels.\"a b\";", C::Describe("channels.\"a b\"")),
            ("\\timing", C::Timing),
            ("\\q", C::Quit),
            ("\\?", C::Help),
            ("\\x", C::Unknown("\\x")),
        ] {
            assert_eq!(C::parse(line), Some(command), "{line}");
        }
        assert_eq!(C::parse("select 1;"), None);
    }
}
