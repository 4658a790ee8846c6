//! Appending to a server over QUIC: many appends on their way at once, each answered when it is as safe as it is to be.
//!
//! A [`Session`] says where the server is and which key it has; it is given out over HTTP, to who may write there. A
//! [`Client`] shows its own key, which the session is for.
//!
//! ```text
//! message of the client: u32 number, a request as in `redex::exchange`
//! message of the server: u32 number, u8 0 and an outcome as there; u8 1 and why there is none, as text
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::wire::{Cursor, Put};
use base::{ClusterId, ErrorKind, Identity, NodeId, PublicKey, Random};
use net::{
    Admission, Asks, Connection, Endpoint, EndpointOptions, MessageReceiver, MessageSender, Protocol,
    Refusal, RefusalCode, Socket,
};
use redex::exchange::{Request, decode_outcome, encode_request};
use redex::{AppendRequest, Outcome};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// Appends of one client that may wait to be sent.
const QUEUED_MAX: usize = 4_096;

/// Where a server is met, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Where it listens, over UDP.
    pub address: SocketAddr,
    /// Its key, which it must show.
    pub key: PublicKey,
    /// What it belongs to.
    pub cluster: ClusterId,
    /// Which node it is.
    pub node: NodeId,
}

/// A connection to a server. Cloning shares it; it ends with the last clone.
#[derive(Debug, Clone)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
    _endpoint: Arc<Endpoint>,
}

#[derive(Debug)]
struct Ask {
    encoded: Vec<u8>,
    answer: oneshot::Sender<Result<Outcome, Error>>,
}

/// Nobody connects to a client.
#[derive(Debug)]
struct OnlyTheServer(PublicKey);

impl Admission for OnlyTheServer {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        match asks.key == self.0 {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::Denied, "this is a client: it takes no connections")),
        }
    }
}

impl Client {
    /// Connects to a server with the key that the session was given to. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when it cannot be reached, `Denied` when the session is over.
    pub async fn connect(
        session: &Session,
        identity: Arc<Identity>,
        random: &dyn Random,
    ) -> Result<Self, Error> {
        let any: SocketAddr = match session.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let admission = Arc::new(OnlyTheServer(session.key));
        let place = (session.cluster, NodeId::ZERO);
        let options = EndpointOptions::default();
        let endpoint = Endpoint::open(Socket::bind(any)?, identity, place, admission, options, random)?;
        let connection = endpoint.connect(session.key, session.address, Protocol::Client).await?;
        let (sender, receiver) = connection.open_exchange().await.map_err(ended)?;
        let (asks, asked) = mpsc::channel(QUEUED_MAX);
        let waiting = Waiting::default();
        tokio::spawn(send(asked, sender, waiting.clone(), connection.clone()));
        tokio::spawn(receive(receiver, waiting, connection));
        Ok(Self { asks, _endpoint: Arc::new(endpoint) })
    }

    /// Appends, and completes when the events are durable, in a replicated log committed. Appends of one client are
    /// decided on in the order in which this is first polled, as long as fewer than 4,096 wait to be sent.
    ///
    /// *Cancel safety*: dropping the future does not take the append back.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for what breaks a limit; `Denied` for what the session may not do; `Unavailable` when the connection
    /// ended: then it is not known what became of the append.
    pub async fn append(&self, request: &AppendRequest<'_>) -> Result<Outcome, Error> {
        let encoded = encode_request(&Request::Append(request))?;
        let (answer, answered) = oneshot::channel();
        let gone = |_| ended("the connection has ended");
        // Without waiting where there is room, so that what is asked at once keeps its order.
        let sent = match self.asks.try_send(Ask { encoded, answer }) {
            Err(TrySendError::Full(ask)) => self.asks.send(ask).await.is_ok(),
            sent => sent.is_ok(),
        };
        if !sent {
            return Err(ended("the connection has ended"));
        }
        answered.await.map_err(gone)?
    }
}

fn ended(cause: impl std::fmt::Display) -> Error {
    let message =
        format!("the server has not answered ({cause}): connect again, and append again with the same key");
    Error::new(ErrorKind::Unavailable, message)
}

/// Who waits for which answer. Once the connection has ended, nobody any more.
#[derive(Debug, Clone, Default)]
struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u32, oneshot::Sender<Result<Outcome, Error>>>,
    next: u32,
    ended: bool,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, answer: oneshot::Sender<Result<Outcome, Error>>) -> Option<u32> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        let number = state.next;
        state.next = state.next.wrapping_add(1);
        state.waiting.insert(number, answer);
        Some(number)
    }

    fn tell(&self, number: u32, outcome: Result<Outcome, Error>) {
        let waiting = self.state().waiting.remove(&number);
        if let Some(answer) = waiting {
            // Nobody listens who stopped waiting.
            let _ = answer.send(outcome);
        }
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.waiting.clear();
    }
}

async fn send(
    mut asked: mpsc::Receiver<Ask>,
    mut sender: MessageSender,
    waiting: Waiting,
    connection: Connection,
) {
    let mut message = Vec::new();
    while let Some(first) = asked.recv().await {
        // What else is there goes along.
        let mut next = Some(first);
        while let Some(Ask { encoded, answer }) = next {
            let Some(number) = waiting.note(answer) else { return };
            message.clear();
            message.put_u32(number);
            message.put(&encoded);
            sender.push(&message);
            next = asked.try_recv().ok();
        }
        if sender.flush().await.is_err() {
            break;
        }
    }
    // Everything that was sent is answered before the connection goes.
    let _ = sender.finish();
    if connection.is_open() {
        connection.closed().await;
    }
}

async fn receive(mut receiver: MessageReceiver, waiting: Waiting, connection: Connection) {
    while let Ok(messages) = receiver.next().await {
        if messages.is_empty() {
            break;
        }
        for message in messages {
            if let Ok((number, outcome)) = read(&message) {
                waiting.tell(number, outcome);
            }
        }
    }
    waiting.end();
    connection.close();
}

fn read(message: &[u8]) -> Result<(u32, Result<Outcome, Error>), base::wire::Malformed> {
    let mut cursor = Cursor::new(message);
    let number = cursor.u32("number")?;
    let what = cursor.u8("answer")?;
    let rest = &message[message.len() - cursor.remaining()..];
    let outcome = match what {
        0 => decode_outcome(rest).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string())),
        _ => Err(Error::new(ErrorKind::Denied, String::from_utf8_lossy(rest).into_owned())),
    };
    Ok((number, outcome))
}
