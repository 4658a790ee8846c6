//! Bodies of requests: limited in size, and in the time without a byte.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;
use crate::limits::BODY_UNIT_BYTES;
use crate::shared::Shared;

/// The type of JSON.
pub(crate) const JSON: &str = "application/json";

/// A body, and the room that it takes among all bodies.
#[derive(Debug)]
pub(crate) struct Content {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a whole body.
pub(crate) async fn read(shared: &Shared, body: Body) -> Result<Content, Problem> {
    let http = &shared.config.http;
    gather(body, http.body_bytes_max, http.stall_within, &shared.bodies).await
}

async fn gather(
    mut body: Body,
    bytes_max: usize,
    stall_within: Duration,
    bodies: &Arc<Semaphore>,
) -> Result<Content, Problem> {
    let too_large = || Problem::too_large(format!("the body is larger than {bytes_max} bytes"));
    // A body that says that it is too large is not read at all.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let mut gathered = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    loop {
        let frame = tokio::time::timeout(stall_within, body.frame()).await;
        match frame.map_err(|_| Problem::slow_body())? {
            None => return Ok(Content { bytes: gathered.freeze(), _room: room }),
            Some(Err(error)) => return Err(Problem::invalid(format!("the body broke off: {error}"))),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if gathered.len() + data.len() > bytes_max {
                    return Err(too_large());
                }
                let units = u32::try_from(data.len().div_ceil(BODY_UNIT_BYTES)).unwrap_or(u32::MAX);
                let more = Arc::clone(bodies).try_acquire_many_owned(units);
                let more =
                    more.map_err(|_| Problem::unavailable("the bodies of other requests take all the room"))?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
                gathered.extend_from_slice(&data);
            }
        }
    }
}

/// Reads a body that must be JSON of a form.
pub(crate) async fn json<T: DeserializeOwned>(
    shared: &Shared,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    if media_type(headers)?.as_deref() != Some(JSON) {
        let message = "the body has to be JSON";
        return Err(Problem::media_type(message, "send the header `content-type: application/json`"));
    }
    parse(&read(shared, body).await?)
}

/// Reads JSON of a form.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::invalid(format!("the body: {error}"))
            .detail("line", error.line())
            .detail("column", error.column())
    })
}

/// Refuses a body where there is nothing to say.
pub(crate) async fn none(shared: &Shared, body: Body) -> Result<(), Problem> {
    match read(shared, body).await?.is_empty() {
        true => Ok(()),
        false => Err(Problem::invalid("there is nothing to say in a body here: send none")),
    }
}

/// Returns the type of a body, in small letters and without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::invalid("the header `content-type` is no text"))?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok((!essence.is_empty()).then_some(essence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(4))
    }

    #[tokio::test]
    async fn bodies_have_a_limit_together_and_give_their_room_back() {
        let (room, within) = (room(), Duration::from_secs(1));
        let body = || Body::from(vec![0; 3 * BODY_UNIT_BYTES]);
        let held = gather(body(), 1 << 20, within, &room).await.unwrap();
        assert_eq!((held.len(), room.available_permits()), (3 * BODY_UNIT_BYTES, 1));
        assert_eq!(gather(body(), 1 << 20, within, &room).await.unwrap_err().status, 503);
        assert_eq!(room.available_permits(), 1);
        drop(held);
        assert!(gather(body(), 1 << 20, within, &room).await.is_ok());
        assert_eq!(room.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_body_without_bytes_for_too_long_is_given_up() {
        let silent = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let problem =
            gather(Body::from_stream(silent), 10, Duration::from_millis(1), &room()).await.unwrap_err();
        assert_eq!(problem.status, 408);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_ends_at_the_limit() {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(b"1234")));
        let problem =
            gather(Body::from_stream(endless), 10, Duration::from_secs(1), &room()).await.unwrap_err();
        assert_eq!(problem.status, 413);
    }
}
