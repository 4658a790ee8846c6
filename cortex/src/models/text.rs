//! Looking for text without regard to case.

/// A text that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    lower: String,
    is_ascii: bool,
}

impl Needle {
    pub(crate) fn new(text: &str) -> Self {
        Self { lower: text.to_lowercase(), is_ascii: text.is_ascii() }
    }

    /// Tells whether a text has the needle in it, in whatever case.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        if !(self.is_ascii && text.is_ascii()) {
            return text.to_lowercase().contains(&self.lower);
        }
        let needle = self.lower.as_bytes();
        needle.is_empty()
            || text.as_bytes().windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_matter_in_any_script() {
        for (needle, text) in [
            ("", ""),
            ("", "a"),
            ("MILK", "buy milk"),
            ("k m", "Drink MILK"),
            ("\u{c4}pfel", "rote \u{e4}pfel"),
            ("stra\u{df}e", "Stra\u{df}e 7"),
            ("\u{3a3}", "\u{3c3}"),
        ] {
            assert!(Needle::new(needle).is_in(text), "{needle} in {text}");
        }
        for (needle, text) in [("milk", ""), ("milk", "mil k"), ("\u{e4}", "a")] {
            assert!(!Needle::new(needle).is_in(text), "{needle} in {text}");
        }
    }
}
