//! Which headers stand as attributes, and how.

use records::attributes;

/// How one header is exported.
pub(super) enum Place<'a> {
    /// As a string.
    Text(&'a str),
    /// As the JSON that it is.
    Verbatim(&'a str),
    /// Among the packed headers.
    Packed,
    /// Not at all: `import` makes it again.
    Implied,
}

/// How the headers of one event are exported.
#[derive(Default)]
pub(super) struct Layout<'a> {
    /// The names that several headers have, sorted.
    twins: Vec<&'a str>,
    /// The names of verbatim headers, sorted, when the event says which ones are.
    verbatim: Option<Vec<String>>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(headers: &[(&'a str, &[u8])]) -> Self {
        if headers.is_empty() {
            return Self::default();
        }
        let mut layout = Self { twins: twins(headers), verbatim: None };
        layout.verbatim = layout.verbatim_names(headers);
        layout
    }

    pub(super) fn place<'v>(&self, name: &str, value: &'v [u8]) -> Place<'v> {
        match (self.text(name, value), &self.verbatim) {
            (Some(text), Some(names)) if contains(names, name) => Place::Verbatim(text),
            (Some(text), _) => Place::Text(text),
            (None, Some(_)) if name == attributes::VERBATIM => Place::Implied,
            (None, _) => Place::Packed,
        }
    }

    /// The value of a header that can stand as an attribute.
    fn text<'v>(&self, name: &str, value: &'v [u8]) -> Option<&'v str> {
        let free = !attributes::is_reserved(name) && self.twins.binary_search(&name).is_err();
        if free { std::str::from_utf8(value).ok() } else { None }
    }

    /// What the header that names the verbatim ones says, if `import` would make the same header again.
    fn verbatim_names(&self, headers: &[(&str, &[u8])]) -> Option<Vec<String>> {
        let is_marker = |name: &str| name == attributes::VERBATIM && self.twins.binary_search(&name).is_err();
        let (_, said) = headers.iter().find(|(name, _)| is_marker(name))?;
        let mut names: Vec<String> = serde_json::from_slice(said).ok()?;
        names.sort_unstable();
        let is_named = |name: &str, value| {
            contains(&names, name) && self.text(name, value).is_some_and(attributes::can_be_verbatim)
        };
        let found = headers.iter().filter(|(name, value)| is_named(name, value)).map(|(name, _)| *name);
        let made = attributes::verbatim_names(found);
        (made == *said && !names.is_empty()).then_some(names)
    }
}

fn contains(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|other| other.as_str().cmp(name)).is_ok()
}

fn twins<'a>(headers: &[(&'a str, &[u8])]) -> Vec<&'a str> {
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let mut twins: Vec<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twins.dedup();
    twins
}
