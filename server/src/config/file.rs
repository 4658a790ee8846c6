//! The configuration file: TOML, of which every fault is told with its line.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Draft, KEYS, named};
use super::{Fault, Source};
use crate::access::{Role, Token};
use crate::limits::TOKENS_MAX;

/// A file while it is read.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    folder: PathBuf,
    faults: Vec<Fault>,
    /// The keys that were set, with their lines.
    set: Vec<(&'static str, Source)>,
    tokens: Vec<(String, Source)>,
}

/// What a file gave beside the draft.
pub(super) struct Read {
    pub(super) faults: Vec<Fault>,
    pub(super) set: Vec<(&'static str, Source)>,
    /// The names of tokens, with their lines.
    pub(super) tokens: Vec<(String, Source)>,
}

/// Reads a file into a draft.
pub(super) fn read(path: &Path, text: &str, draft: &mut Draft) -> Read {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut file = File { path, text, folder, faults: Vec::new(), set: Vec::new(), tokens: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        file.fault(at, format!("this is no TOML: {}", error.message()));
    }
    // What a text that is no TOML says is a guess; the faults of its values would be, too.
    if file.faults.is_empty() {
        file.table("", table.get_ref(), draft);
    }
    file.faults.sort_by_key(|fault| match &fault.source {
        Source::File { line, .. } => *line,
        _ => 0,
    });
    Read { faults: file.faults, set: file.set, tokens: file.tokens }
}

impl File<'_> {
    fn source(&self, at: usize) -> Source {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Source::File { path: self.path.to_owned(), line }
    }

    fn fault(&mut self, at: usize, message: String) {
        self.faults.push(Fault::new(self.source(at), message));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>, draft: &mut Draft) {
        for (key, value) in table {
            let at = key.span().start;
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            if name == "auth.tokens" {
                self.tokens(value, draft);
            } else if let Some(known) = named(&name) {
                match text(value) {
                    None => self.fault(at, format!("`{name}` wants a text, a number or a truth value")),
                    Some(text) => match (known.set)(draft, &text, &self.folder) {
                        Ok(()) => self.set.push((known.name, self.source(at))),
                        Err(message) => self.fault(at, format!("`{name}`: {message}")),
                    },
                }
            } else if let (true, Some(inner)) = (is_table(&name), value.get_ref().as_table()) {
                self.table(&name, inner, draft);
            } else if is_table(&name) {
                self.fault(at, format!("`{name}` is a table: write `[{name}]` and its keys below"));
            } else {
                self.fault(at, unknown(&name));
            }
        }
    }

    fn tokens(&mut self, value: &Spanned<DeValue<'_>>, draft: &mut Draft) {
        let Some(array) = value.get_ref().as_array() else {
            self.fault(value.span().start, "`auth.tokens` is a list: write `[[auth.tokens]]`".to_owned());
            return;
        };
        if array.len() > TOKENS_MAX {
            self.fault(value.span().start, format!("there are {} tokens, at most {TOKENS_MAX}", array.len()));
            return;
        }
        for item in array.iter() {
            self.token(item, draft);
        }
    }

    fn token(&mut self, item: &Spanned<DeValue<'_>>, draft: &mut Draft) {
        let at = item.span().start;
        let Some(table) = item.get_ref().as_table() else {
            self.fault(at, "a token is a table: write `[[auth.tokens]]`".to_owned());
            return;
        };
        let (mut name, mut role, mut hash) = (None, None, None);
        for (key, value) in table {
            let at = key.span().start;
            let place = match &**key.get_ref() {
                "name" => &mut name,
                "role" => &mut role,
                "hash" => &mut hash,
                other => {
                    let message = format!("a token has no `{other}`: it has name, role and hash");
                    self.fault(at, message);
                    continue;
                }
            };
            match value.get_ref().as_str() {
                Some(text) => *place = Some((text.to_owned(), at)),
                None => self.fault(at, format!("`{}` of a token wants a text", key.get_ref())),
            }
        }
        let before = self.faults.len();
        for (what, is_missing) in
            [("name", name.is_none()), ("role", role.is_none()), ("hash", hash.is_none())]
        {
            if is_missing {
                self.fault(at, format!("this token has no `{what}`"));
            }
        }
        let (Some((name, name_at)), Some((role, role_at)), Some((hash, hash_at))) = (name, role, hash) else {
            return;
        };
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.fault(name_at, "a token's name has 1 to 64 visible ASCII characters".to_owned());
        } else if draft.config.tokens.iter().any(|known| known.name == name) {
            self.fault(name_at, format!("there are two tokens `{name}`: give each its own name"));
        }
        let role = role.parse::<Role>().map_err(|message| self.fault(role_at, message));
        let hash = Token::parse_hash(&hash).map_err(|message| self.fault(hash_at, message));
        if let (Ok(role), Ok(hash), true) = (role, hash, self.faults.len() == before) {
            self.tokens.push((name.clone(), self.source(at)));
            draft.config.tokens.push(Token { name, role, hash });
        }
    }
}

/// Tells whether a name is the beginning of keys.
fn is_table(name: &str) -> bool {
    name == "auth"
        || KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The fault of a key that is not known.
pub(super) fn unknown(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    let alike = KEYS.iter().find(|key| {
        let own = key.name.rsplit('.').next().unwrap_or(key.name);
        own == last || own.replace('-', "_") == last
    });
    match alike {
        Some(key) => format!("there is no key `{name}`: is `{}` meant?", key.name),
        None => format!("there is no key `{name}`: `net-db config show` lists those that there are"),
    }
}

/// A plain value as text.
fn text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}
