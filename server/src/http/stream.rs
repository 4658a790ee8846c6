//! Server-sent events: messages, comments that keep the connection, and an end that says why.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Problem, answer};
use crate::shared::Shared;

/// The type of a stream of messages.
const MEDIA_TYPE: &str = "text/event-stream";

/// What gives the messages of a stream.
pub(super) trait Messages: Send + 'static {
    /// Waits for the next messages, written down; `None` when there will be none.
    ///
    /// *Cancel safety*: nothing is lost by dropping the future.
    fn next(&mut self) -> impl Future<Output = Option<Result<Vec<u8>, Problem>>> + Send;
}

/// Writes one message; `data` is one line.
pub(super) fn push(out: &mut Vec<u8>, id: Option<u64>, event: &str, data: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// Answers with a stream.
pub(super) fn answer(shared: &Arc<Shared>, messages: impl Messages) -> Response {
    let stream = Stream {
        messages,
        stopping: shared.stopping.subscribe(),
        keep_alive: shared.config.http.keep_alive,
        state: State::Begins,
    };
    let body = futures::stream::unfold(stream, |mut stream| async {
        let bytes = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(bytes)), stream))
    });
    answer::of(StatusCode::OK, MEDIA_TYPE, Body::from_stream(body))
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Begins,
    Goes,
    Ended,
}

struct Stream<M> {
    messages: M,
    stopping: watch::Receiver<bool>,
    keep_alive: Duration,
    state: State,
}

impl<M: Messages> Stream<M> {
    async fn next(&mut self) -> Option<Vec<u8>> {
        match self.state {
            // So that a client knows that it is connected, however long nothing happens.
            State::Begins => {
                self.state = State::Goes;
                return Some(b": connected\n\n".to_vec());
            }
            State::Ended => return None,
            State::Goes => {}
        }
        let within = self.keep_alive;
        let next = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
            next = timeout(within, self.messages.next()) => Some(next),
        };
        Some(match next {
            None => self.end(&json!({ "reason": "stopping" })),
            Some(Err(_)) => b": still here\n\n".to_vec(),
            Some(Ok(Some(Ok(bytes)))) => bytes,
            Some(Ok(Some(Err(problem)))) => self.end(&json!({ "error": problem.to_json() })),
            Some(Ok(None)) => self.end(&json!({ "reason": "closed" })),
        })
    }

    /// The last message.
    fn end(&mut self, why: &serde_json::Value) -> Vec<u8> {
        self.state = State::Ended;
        let mut out = Vec::new();
        push(&mut out, None, "end", why.to_string().as_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Never;

    impl Messages for Never {
        async fn next(&mut self) -> Option<Result<Vec<u8>, Problem>> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_silent_stream_says_that_it_is_there_and_ends_when_the_server_stops() {
        let (stop, stopping) = watch::channel(false);
        let state = State::Begins;
        let mut stream = Stream { messages: Never, stopping, keep_alive: Duration::from_millis(1), state };
        assert_eq!(stream.next().await.unwrap(), b": connected\n\n");
        assert_eq!(stream.next().await.unwrap(), b": still here\n\n");
        stop.send_replace(true);
        assert_eq!(stream.next().await.unwrap(), b"event: end\ndata: {\"reason\":\"stopping\"}\n\n");
        assert_eq!(stream.next().await, None);
    }
}
