//! Requests to a sequencer and their outcomes as bytes, for callers that reach it over a network.
//!
//! A request names everything that the call has; an outcome comes back as it would be returned in the same process,
//! typed rejections included. The bytes carry no version: what transports them agrees on one when it connects.

mod outcome;
mod request;
#[cfg(test)]
mod tests;

use base::wire::Malformed;

pub use outcome::{decode_outcome, encode_outcome};
pub use request::{Request, decode_request, encode_request};

/// Bytes that are no request or outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message with a wrong {}: it was not acted on; look at who sent it", .0.what)]
pub struct ExchangeError(Malformed);

impl base::Classify for ExchangeError {
    fn kind(&self) -> base::ErrorKind {
        base::ErrorKind::Invalid
    }
}
