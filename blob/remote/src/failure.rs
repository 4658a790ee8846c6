//! What errors of object stores mean to callers.

use std::error::Error;
use std::io;

use base::Hash;
use blob::BlobError;
use object_store::client::{HttpError, HttpErrorKind};

/// Says what went wrong while an adapter did something with an object.
pub(crate) fn of_object(
    adapter: &str,
    operation: &'static str,
    hash: Hash,
    error: object_store::Error,
) -> BlobError {
    match error {
        // The answer of S3 for a wrong name of a bucket is the one for a missing object, but for its text.
        object_store::Error::NotFound { ref source, .. } if !source.to_string().contains("NoSuchBucket") => {
            BlobError::NotFound { hash }
        }
        error => of_store(adapter, operation, error),
    }
}

/// Says what went wrong while an adapter did something else.
pub(crate) fn of_store(adapter: &str, operation: &'static str, error: object_store::Error) -> BlobError {
    if is_denied(&error) {
        // The error does not say which reason the other side gave; all else that it said may name keys.
        let code = code(&error).unwrap_or_default();
        tracing::warn!(adapter, operation, code, "an object store does not let us");
        return BlobError::Unauthorized { adapter: adapter.to_owned(), operation };
    }
    let can_repeat = may_pass(&error);
    backend(adapter, operation, can_repeat, error)
}

/// Says that something failed.
pub(crate) fn backend(
    adapter: &str,
    operation: &'static str,
    can_repeat: bool,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> BlobError {
    BlobError::Backend { adapter: adapter.to_owned(), operation, can_repeat, source: source.into() }
}

fn is_denied(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
    ) || matches!(status(error), Some(401 | 403))
        || io_kind(error) == Some(io::ErrorKind::PermissionDenied)
}

/// Tells whether the same request may succeed later.
fn may_pass(error: &object_store::Error) -> bool {
    if matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) {
        // Somebody else did something at the same time.
        return true;
    }
    if !matches!(error, object_store::Error::Generic { .. }) {
        return false;
    }
    if let Some(status) = status(error) {
        return matches!(status, 408 | 429 | 500 | 502..=599);
    }
    let http = causes(error).find_map(|cause| cause.downcast_ref::<HttpError>());
    match http {
        Some(http) => http.kind() != HttpErrorKind::Decode,
        None => io_kind(error).is_some(),
    }
}

/// Returns the status that a server answered with. The error that holds it is not public: its text is.
pub(crate) fn status(error: &object_store::Error) -> Option<u16> {
    causes(error).find_map(|cause| {
        let text = cause.to_string();
        let (_, behind) = text.split_once("status code: ")?;
        behind.get(..3)?.parse().ok()
    })
}

/// Returns the reason that S3 gives, such as `AccessDenied` or `RequestTimeTooSkewed`.
fn code(error: &object_store::Error) -> Option<String> {
    causes(error).find_map(|cause| {
        let text = cause.to_string();
        let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
        let is_word = code.len() < 100 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_word.then(|| code.to_owned())
    })
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

#[cfg(test)]
mod tests {
    use base::{Classify, ErrorKind};

    use super::*;

    fn generic(source: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: source.into() }
    }

    #[test]
    fn errors_say_whether_repeating_may_help() {
        let http = |kind| generic(HttpError::new(kind, io::Error::other("x")));
        for (error, kind) in [
            (
                generic("Server returned non-2xx status code: 503 Service Unavailable: "),
                ErrorKind::Unavailable,
            ),
            (generic("Server returned non-2xx status code: 429 Too Many Requests"), ErrorKind::Unavailable),
            (generic("Server returned non-2xx status code: 400 Bad Request"), ErrorKind::Invalid),
            (generic("Server returned non-2xx status code: 501 Not Implemented"), ErrorKind::Invalid),
            (http(HttpErrorKind::Connect), ErrorKind::Unavailable),
            (http(HttpErrorKind::Timeout), ErrorKind::Unavailable),
            (http(HttpErrorKind::Decode), ErrorKind::Invalid),
            (generic(io::Error::from(io::ErrorKind::StorageFull)), ErrorKind::Unavailable),
            (generic(io::Error::from(io::ErrorKind::PermissionDenied)), ErrorKind::Denied),
            // Lists are refused so.
            (generic("Server returned non-2xx status code: 403 Forbidden"), ErrorKind::Denied),
            (generic("no region"), ErrorKind::Invalid),
            (
                object_store::Error::PermissionDenied { path: "a".into(), source: "403".into() },
                ErrorKind::Denied,
            ),
            (
                object_store::Error::Unauthenticated { path: "a".into(), source: "401".into() },
                ErrorKind::Denied,
            ),
            (
                object_store::Error::AlreadyExists { path: "a".into(), source: "409".into() },
                ErrorKind::Unavailable,
            ),
        ] {
            let text = error.to_string();
            let found = of_object("s3", "fetch an object", Hash::of(b"x"), error);
            assert_eq!(found.kind(), kind, "{text}");
        }
    }

    #[test]
    fn the_reason_is_a_word_and_nothing_else() {
        let said = |body: &str| code(&generic(format!("status code: 403 Forbidden: {body}")));
        let whole = "<Error><Code>AccessDenied</Code><AWSAccessKeyId>k</AWSAccessKeyId></Error>";
        assert_eq!(said(whole).as_deref(), Some("AccessDenied"));
        assert_eq!(said("<Code>a b</Code>"), None);
        assert_eq!(said("<Code>AccessDenied"), None);
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        let missing = |body: &str| object_store::Error::NotFound { path: "a".into(), source: body.into() };
        let hash = Hash::of(b"x");
        let object = of_object("s3", "fetch an object", hash, missing("<Code>NoSuchKey</Code>"));
        assert!(matches!(object, BlobError::NotFound { hash: found } if found == hash));
        let bucket = of_object("s3", "fetch an object", hash, missing("<Code>NoSuchBucket</Code>"));
        assert_eq!(bucket.kind(), ErrorKind::Invalid, "{bucket}");
    }
}
