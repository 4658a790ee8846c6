//! Who may do what: tokens and roles.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use netdb::base::Random;

use crate::limits::TOKEN_BYTES;

/// What every token begins with, so that one that leaked is recognised for what it is.
const PREFIX: &str = "netdb_";
/// What separates hashes of tokens from all other hashes.
const CONTEXT: &str = "netdb server 2026-11 http token";
/// What a hash in a configuration begins with.
const SCHEME: &str = "blake3:";

/// What the holder of a token may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read events, tasks and memories, run SQL, see metrics and status.
    Read,
    /// Append events, write tasks and memories.
    Write,
    /// Also write directly to the channels that models are folded from, and change the cluster.
    Admin,
}

impl Role {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Read, "read"), (Self::Write, "write"), (Self::Admin, "admin")];

    /// Returns the name used everywhere: `read`, `write` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(role, _)| *role).ok_or_else(|| format!("`{text}` is no role: give read, write or admin"))
    }
}

/// A token as a server keeps it: by its hash.
#[derive(Clone)]
pub struct Token {
    /// What names it in traces.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    pub(crate) hash: blake3::Hash,
}

impl Token {
    /// Makes a token's entry.
    pub fn new(name: &str, role: Role, secret: &str) -> Self {
        Self { name: name.to_owned(), role, hash: hash(secret) }
    }

    /// Reads a hash as [`hash_token`] writes it.
    pub(crate) fn parse_hash(text: &str) -> Result<blake3::Hash, String> {
        let digits = text.strip_prefix(SCHEME);
        digits.and_then(|digits| blake3::Hash::from_hex(digits).ok()).ok_or_else(|| {
            format!(
                "a token's hash is `{SCHEME}` and 64 hexadecimal digits: make one with `net-db config token`"
            )
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Makes a token: a secret text of 256 random bits, to be given to whoever is to use it.
pub fn make_token(random: &dyn Random) -> String {
    let mut bytes = [0; TOKEN_BYTES];
    random.fill(&mut bytes);
    format!("{PREFIX}{}", BASE64.encode(bytes))
}

/// Returns the hash of a token as it stands in a configuration.
pub fn hash_token(token: &str) -> String {
    format!("{SCHEME}{}", hash(token).to_hex())
}

fn hash(token: &str) -> blake3::Hash {
    blake3::Hasher::new_derive_key(CONTEXT).update(token.as_bytes()).finalize()
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What names it in traces; never the secret.
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// Who is let in.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: Vec<Token>,
    /// Whether those without a token are let in, too.
    is_open: bool,
}

impl Access {
    /// Lets in who has one of these tokens, or the local one; without tokens of the configuration everybody.
    pub(crate) fn new(tokens: &[Token], local: Token) -> Self {
        let mut all = tokens.to_vec();
        all.push(local);
        Self { is_open: tokens.is_empty(), tokens: all }
    }

    /// Tells whether those without a token are let in.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Finds who has a token; takes as long whichever it is, and whether there is one.
    pub(crate) fn find(&self, token: &str) -> Option<Caller> {
        // Whoever chose a password instead of a random token chose something that can be guessed from its hash.
        let is_ours = token
            .strip_prefix(PREFIX)
            .is_some_and(|secret| BASE64.decode(secret).is_ok_and(|bytes| bytes.len() == TOKEN_BYTES));
        let hash = hash(token);
        let mut found = None;
        for known in &self.tokens {
            // Hashes are compared in constant time.
            if known.hash == hash && is_ours {
                found = Some(Caller { name: known.name.clone(), role: known.role });
            }
        }
        found
    }

    /// Who has no token, where that is enough.
    pub(crate) fn anybody(&self) -> Option<Caller> {
        self.is_open.then(|| Caller { name: "anybody".to_owned(), role: Role::Admin })
    }
}

#[cfg(test)]
mod tests {
    use netdb::base::SeededRandom;

    use super::*;

    #[test]
    fn only_whole_tokens_are_found() {
        let random = SeededRandom::new(1);
        let [read, local, other] = std::array::from_fn(|_| make_token(&random));
        let access =
            Access::new(&[Token::new("r", Role::Read, &read)], Token::new("local", Role::Admin, &local));
        assert_eq!(access.find(&read).map(|caller| caller.role), Some(Role::Read));
        assert_eq!(access.find(&local).map(|caller| caller.name), Some("local".to_owned()));
        for wrong in [other.as_str(), "", &read[1..], &read[..read.len() - 1], &format!("{read} ")] {
            assert_eq!(access.find(wrong), None, "{wrong}");
        }
        assert!(access.anybody().is_none());
    }

    #[test]
    fn a_password_is_no_token_even_if_its_hash_is_configured() {
        let weak = Token::new("weak", Role::Admin, "secret");
        let access = Access::new(&[weak], Token::new("local", Role::Admin, "x"));
        assert_eq!(access.find("secret"), None);
        assert_eq!(access.find("x"), None);
    }

    #[test]
    fn without_tokens_everybody_is_let_in() {
        let access = Access::new(&[], Token::new("local", Role::Admin, "x"));
        assert_eq!(access.anybody().map(|caller| caller.role), Some(Role::Admin));
    }

    #[test]
    fn hashes_are_written_as_they_are_read() {
        let text = hash_token("netdb_x");
        assert_eq!(Token::parse_hash(&text).map(|hash| hash.to_hex().to_string()).unwrap(), text[7..]);
        assert!(Token::parse_hash(&text[7..]).is_err());
        assert!(Token::parse_hash("blake3:00").is_err());
    }
}
