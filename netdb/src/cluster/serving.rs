//! What other nodes ask.

use std::sync::Arc;

use net::{Connection, Protocol};

use super::Inner;

/// Takes connections until the endpoint is closed.
pub(super) async fn accept(inner: Arc<Inner>) {
    while let Some(connection) = inner.endpoint.accept().await {
        match connection.protocol() {
            Protocol::Raft => drop(tokio::spawn(answer(Arc::clone(&inner), connection))),
            Protocol::Gossip => {
                if let Err(reason) = inner.gossip.take(connection).await {
                    tracing::debug!(%reason, "gossip has ended");
                }
            }
            protocol => {
                tracing::warn!(?protocol, node = %connection.node(), "a connection that nothing is asked over");
                connection.close();
            }
        }
    }
}

/// Answers the requests of a member, each beside the others.
async fn answer(inner: Arc<Inner>, connection: Connection) {
    let from = connection.node();
    while let Ok(mut request) = connection.next_request().await {
        let groups = inner.groups.clone();
        tokio::spawn(async move {
            let Ok(body) = request.body().await else { return };
            match groups.handle(from, body.into()).await {
                // Whoever does not wait any more asks again, or does not care.
                Ok(answer) => drop(request.answer(&answer).await),
                Err(unanswered) => tracing::debug!(%unanswered, "no answer"),
            }
        });
    }
}
