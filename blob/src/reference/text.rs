//! The text of a reference.

use std::fmt;
use std::str::FromStr;

use base::Hash;
use base::wire::Malformed;

use super::{BlobEncoding, BlobRef, ReferenceForm, malformed};
use crate::BlobError;

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob:{}:{}:{}", self.form.as_str(), self.hash, self.bytes)?;
        match self.form {
            ReferenceForm::Small => {}
            ReferenceForm::Manifest { chunks } => write!(f, ":{chunks}")?,
            ReferenceForm::Tree { depth } => write!(f, ":{depth}")?,
        }
        let mut mark = '?';
        if let BlobEncoding::ReedSolomon { k, m } = self.encoding {
            write!(f, "{mark}rs={k},{m}")?;
            mark = '&';
        }
        match &self.location {
            Some(uri) => write!(f, "{mark}at={uri}"),
            None => Ok(()),
        }
    }
}

impl FromStr for BlobRef {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Self, BlobError> {
        let reference = parse(text).map_err(malformed)?;
        // One text each: no zeros in front, no capitals.
        match reference.to_string() == text {
            true => Ok(reference),
            false => Err(malformed(Malformed::new("text"))),
        }
    }
}

fn parse(text: &str) -> Result<BlobRef, Malformed> {
    let (main, query) = text.split_once('?').unwrap_or((text, ""));
    let mut fields = main.split(':');
    if fields.next() != Some("blob") {
        return Err(Malformed::new("beginning"));
    }
    let form = fields.next().unwrap_or_default();
    let hash = fields.next().and_then(|text| blake3::Hash::from_hex(text).ok());
    let hash = Hash::from(hash.ok_or(Malformed::new("name"))?);
    let bytes = number(fields.next(), "count of bytes")?;
    let form = match form {
        "small" => ReferenceForm::Small,
        "manifest" => ReferenceForm::Manifest { chunks: number(fields.next(), "count of chunks")? },
        "tree" => ReferenceForm::Tree { depth: number(fields.next(), "depth")? },
        _ => return Err(Malformed::new("form")),
    };
    let (encoding, location) = parse_query(query)?;
    BlobRef { form, hash, bytes, encoding, location }.checked()
}

fn parse_query(query: &str) -> Result<(BlobEncoding, Option<Box<str>>), Malformed> {
    let (encoding, rest) = match query.strip_prefix("rs=") {
        None => (BlobEncoding::Replicated, query),
        Some(shards) => {
            let (shards, rest) = shards.split_once('&').unwrap_or((shards, ""));
            let (k, m) = shards.split_once(',').ok_or(Malformed::new("count of shards"))?;
            let [k, m] = [k, m].map(|count| number(Some(count), "count of shards"));
            (BlobEncoding::ReedSolomon { k: k?, m: m? }, rest)
        }
    };
    Ok((encoding, rest.strip_prefix("at=").map(Into::into)))
}

fn number<N: FromStr>(text: Option<&str>, what: &'static str) -> Result<N, Malformed> {
    text.and_then(|text| text.parse().ok()).ok_or(Malformed::new(what))
}
