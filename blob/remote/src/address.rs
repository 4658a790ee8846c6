//! Where an object store is, as a URL.
//!
//! ```text
//! memory:
//! file:///DIRECTORY
//! s3://BUCKET/PREFIX?endpoint=URL&region=NAME&virtual-hosted=true&conditional-put=false
//! ```

use std::io;
use std::path::PathBuf;

use blob::BlobError;
use object_store::path::Path;
use url::Url;

use crate::failure::backend;

/// Where an object store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// In this process.
    Memory,
    /// In a directory.
    Directory(PathBuf),
    /// Behind the protocol of S3.
    S3(Bucket),
}

/// A bucket, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub bucket: String,
    /// What all keys begin with.
    pub prefix: Path,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub is_virtual_hosted: bool,
    /// Whether an object can be created on the condition that it is not there.
    pub has_conditional_put: bool,
}

/// Why a text is no address. No part of the text is repeated that could be a secret.
fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.into())
}

/// Returns the URL of a place below another one, under a name of letters, digits and `-`.
///
/// # Errors
///
/// [`BlobError::Backend`] for a URL that is none of an object store, and for memory, which has nothing below it.
pub fn place_within(place: &str, name: &str) -> Result<String, BlobError> {
    let within = || {
        if Address::parse(place)? == Address::Memory {
            return Err(wrong("what is in memory is gone with the process: use file or s3"));
        }
        let mut url = Url::parse(place).map_err(|error| wrong(error.to_string()))?;
        let mut parts = url.path_segments_mut().map_err(|()| wrong("the URL has no path"))?;
        parts.pop_if_empty().push(name);
        drop(parts);
        Ok(url.into())
    };
    within().map_err(|error: io::Error| backend("object-store", "open a place", false, error))
}

impl Address {
    /// Reads a URL.
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let url = Url::parse(text).map_err(|error| wrong(format!("the URL does not read: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the URL has credentials in it: put them into the environment"));
        }
        if url.fragment().is_some() {
            return Err(wrong("the URL has a part behind `#`, which means nothing here"));
        }
        match url.scheme() {
            "memory" if text == "memory:" => Ok(Self::Memory),
            "memory" => Err(wrong("what is in memory has no further name: use `memory:`")),
            "file" => directory(&url),
            "s3" => bucket(&url).map(Self::S3),
            other => Err(wrong(format!("no object store has the scheme `{other}`: use memory, file or s3"))),
        }
    }

    /// Returns the scheme of its URL.
    pub(crate) fn scheme(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Directory(_) => "file",
            Self::S3(_) => "s3",
        }
    }

    /// Returns the id of an adapter that got no name.
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Memory => "object-memory",
            Self::Directory(_) => "directory",
            Self::S3(_) => "s3",
        }
    }
}

fn directory(url: &Url) -> io::Result<Address> {
    if url.query().is_some() {
        return Err(wrong("a directory takes no settings behind `?`"));
    }
    match url.to_file_path() {
        Ok(path) if url.path() != "/" => Ok(Address::Directory(path)),
        _ => Err(wrong("a directory of this machine is wanted: `file:///path`")),
    }
}

fn bucket(url: &Url) -> io::Result<Bucket> {
    let name = url.host_str().filter(|name| !name.is_empty() && url.port().is_none());
    let name = name.ok_or_else(|| wrong("a bucket is wanted: `s3://bucket/prefix`"))?;
    let prefix = Path::from_url_path(url.path()).map_err(|_| wrong("the prefix is none"))?;
    let (bucket, endpoint, region) = (name.to_owned(), None, None);
    let (is_virtual_hosted, has_conditional_put) = (false, true);
    let mut found = Bucket { bucket, prefix, endpoint, region, is_virtual_hosted, has_conditional_put };
    let mut seen = Vec::new();
    for (name, value) in url.query_pairs() {
        let value = value.into_owned();
        match &*name {
            "endpoint" => found.endpoint = Some(endpoint_of(value)?),
            "region" => found.region = Some(value),
            "virtual-hosted" => found.is_virtual_hosted = truth(&name, &value)?,
            "conditional-put" => found.has_conditional_put = truth(&name, &value)?,
            _ => {
                let known = "endpoint, region, virtual-hosted and conditional-put";
                return Err(wrong(format!("`{name}` is no setting of a bucket: there are {known}")));
            }
        }
        if seen.contains(&name) {
            return Err(wrong(format!("`{name}` is set twice")));
        }
        seen.push(name);
    }
    Ok(found)
}

fn endpoint_of(text: String) -> io::Result<String> {
    let url = Url::parse(&text).map_err(|error| wrong(format!("the endpoint does not read: {error}")))?;
    match (url.scheme(), url.username(), url.password()) {
        ("http" | "https", "", None) => Ok(text.trim_end_matches('/').to_owned()),
        ("http" | "https", ..) => {
            Err(wrong("the endpoint has credentials in it: put them into the environment"))
        }
        _ => Err(wrong("an endpoint begins with `http:` or `https:`")),
    }
}

fn truth(name: &str, value: &str) -> io::Result<bool> {
    value.parse().map_err(|_| wrong(format!("`{name}` is true or false")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(Address::parse("memory:").unwrap(), Address::Memory);
        let directory = Address::Directory("/mnt/some where".into());
        assert_eq!(Address::parse("file:///mnt/some%20where").unwrap(), directory);
        let plain = Bucket {
            bucket: "b".into(),
            prefix: Path::default(),
            endpoint: None,
            region: None,
            is_virtual_hosted: false,
            has_conditional_put: true,
        };
        assert_eq!(Address::parse("s3://b").unwrap(), Address::S3(plain.clone()));
        let all = "s3://b/a/c?endpoint=http://localhost:9000/&region=eu-1&virtual-hosted=true&conditional-put=false";
        let expected = Bucket {
            prefix: Path::from("a/c"),
            endpoint: Some("http://localhost:9000".into()),
            region: Some("eu-1".into()),
            is_virtual_hosted: true,
            has_conditional_put: false,
            ..plain
        };
        assert_eq!(Address::parse(all).unwrap(), Address::S3(expected));
    }

    #[test]
    fn a_place_within_another_one_has_its_settings() {
        let within = |place| place_within(place, "blobs-1").map_err(|error| error.to_string());
        assert_eq!(within("file:///a/b").unwrap(), "file:///a/b/blobs-1");
        assert_eq!(within("file:///a/b/").unwrap(), "file:///a/b/blobs-1");
        assert_eq!(within("s3://b").unwrap(), "s3://b/blobs-1");
        assert_eq!(within("s3://b/p/?region=eu-1").unwrap(), "s3://b/p/blobs-1?region=eu-1");
        assert!(within("memory:").unwrap_err().contains("use file or s3"));
        assert!(within("http://a/b").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_what_may_be_secret() {
        for (text, said) in [
            ("", "does not read"),
            ("b/c", "does not read"),
            ("http://host/b", "no object store"),
            ("memory:hidden", "`memory:`"),
            ("memory:?a=hidden", "`memory:`"),
            ("file:///", "file:///path"),
            ("file:///a?b=hidden", "no settings"),
            ("s3:///a", "s3://bucket"),
            ("s3://b:80/a", "s3://bucket"),
            ("s3://key:hidden@b/a", "credentials"),
            ("s3://hidden@b/a", "credentials"),
            ("s3://b/a#hidden", "#"),
            ("s3://b/a?secret_access_key=hidden", "`secret_access_key`"),
            ("s3://b/a?region=x&region=hidden", "twice"),
            ("s3://b/a?virtual-hosted=hidden", "true or false"),
            ("s3://b/a?endpoint=hidden", "endpoint"),
            ("s3://b/a?endpoint=ftp://hidden", "endpoint"),
            ("s3://b/a?endpoint=http://key:hidden@host", "credentials"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hidden"), "{text}: {error}");
        }
    }
}
