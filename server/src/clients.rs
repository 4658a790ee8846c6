//! The door for clients over QUIC: appends in `redex::exchange`'s bytes, many on their way at once.
//!
//! Who may write over HTTP gets a session for a key there; only keys with a session are let in here.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use netdb::NetDb;
use netdb::base::wire::{Cursor, Put};
use netdb::base::{ChannelName, Clock, ClusterId, NodeId, PublicKey};
use netdb::client::Session;
use netdb::net::{
    Admission, Asks, BindError, Connection, Endpoint, EndpointOptions, MessageReceiver, MessageSender,
    Protocol, Refusal, RefusalCode, Socket,
};
use netdb::redex::exchange::{Request, decode_request, encode_outcome};
use netdb::redex::{Ack, Acknowledged, Outcome};
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::debug;

use crate::access::{Caller, Role};
use crate::limits::{CLIENT_APPENDS_MAX, SESSION_WITHIN, SESSIONS_MAX};
use crate::shared::Shared;

/// Who has a session, as whom, and until when.
#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<PublicKey, (Caller, Duration)>>,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PublicKey, (Caller, Duration)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session, or begins it anew; tells whether there was room.
    pub(crate) fn begin(&self, key: PublicKey, caller: Caller) -> bool {
        let now = self.clock.monotonic();
        let mut known = self.known();
        known.retain(|_, (_, until)| *until > now);
        if known.len() >= SESSIONS_MAX && !known.contains_key(&key) {
            return false;
        }
        known.insert(key, (caller, now + SESSION_WITHIN));
        true
    }

    fn find(&self, key: &PublicKey) -> Option<Caller> {
        let now = self.clock.monotonic();
        self.known().get(key).filter(|(_, until)| *until > now).map(|(caller, _)| caller.clone())
    }
}

/// Lets in who has a session.
#[derive(Debug)]
struct WithSession(Arc<Sessions>);

impl Admission for WithSession {
    fn admit(&self, asks: &Asks) -> Result<(), Refusal> {
        if asks.protocol != Protocol::Client {
            return Err(Refusal::new(RefusalCode::Denied, "this door is for clients"));
        }
        match self.0.find(&asks.key) {
            Some(_) => Ok(()),
            None => {
                Err(Refusal::new(RefusalCode::NotMember, "this key has no session: ask for one over HTTP"))
            }
        }
    }
}

/// The door, open.
#[derive(Debug)]
pub(crate) struct ClientDoor {
    endpoint: Arc<Endpoint>,
    session: Session,
}

impl ClientDoor {
    /// Opens the door of a database, and answers until it is closed.
    pub(crate) fn open(shared: &Arc<Shared>, db: &NetDb, listen: SocketAddr) -> Result<Self, BindError> {
        let identity = Arc::clone(db.store().identity());
        let (cluster, node) = match shared.cluster() {
            Some(cluster) => (cluster.id(), cluster.node()),
            None => (cluster_of_one(db), NodeId::ZERO),
        };
        let admission = Arc::new(WithSession(Arc::clone(&shared.sessions)));
        let (options, random) = (EndpointOptions::default(), &*shared.doors.random);
        let key = identity.public_key();
        let endpoint =
            Endpoint::open(Socket::bind(listen)?, identity, (cluster, node), admission, options, random)?;
        let address =
            endpoint.local_address().map_err(|source| BindError::Address { address: listen, source })?;
        let endpoint = Arc::new(endpoint);
        tokio::spawn(accept(Arc::clone(shared), db.clone(), Arc::clone(&endpoint)));
        Ok(Self { endpoint, session: Session { address, key, cluster, node } })
    }

    /// Returns how clients find it.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) async fn close(&self) {
        self.endpoint.shut().await;
    }
}

/// What a node of no cluster belongs to: itself.
fn cluster_of_one(db: &NetDb) -> ClusterId {
    let origin = db.store().origin();
    ClusterId::from_bytes(std::array::from_fn(|at| origin.as_bytes()[at]))
}

async fn accept(shared: Arc<Shared>, db: NetDb, endpoint: Arc<Endpoint>) {
    while let Some(connection) = endpoint.accept().await {
        tokio::spawn(serve(Arc::clone(&shared), db.clone(), connection));
    }
}

async fn serve(shared: Arc<Shared>, db: NetDb, connection: Connection) {
    while let Ok((sender, receiver)) = connection.next_exchange().await {
        let (shared, db, key) = (Arc::clone(&shared), db.clone(), connection.peer());
        tokio::spawn(async move {
            if let Err(reason) = (Exchange { shared, db, key }).run(sender, receiver).await {
                debug!(%reason, "an exchange has ended");
            }
        });
    }
}

/// One exchange of a client.
struct Exchange {
    shared: Arc<Shared>,
    db: NetDb,
    key: PublicKey,
}

/// An append that is not answered yet.
struct Answering {
    number: u32,
    acknowledged: Acknowledged,
}

impl Future for Answering {
    type Output = (u32, Outcome);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(u32, Outcome)> {
        let number = self.number;
        Pin::new(&mut self.acknowledged).poll(context).map(|outcome| (number, outcome))
    }
}

impl Exchange {
    async fn run(
        self,
        mut sender: MessageSender,
        mut receiver: MessageReceiver,
    ) -> Result<(), netdb::net::RequestError> {
        let mut answering = FuturesUnordered::new();
        let mut asks = true;
        let mut message = Vec::new();
        while asks || !answering.is_empty() {
            tokio::select! {
                biased;
                Some((number, outcome)) = answering.next(), if !answering.is_empty() => {
                    self.note(&outcome);
                    answer(&mut sender, &mut message, number, &outcome);
                    // What else is ready goes along.
                    while let Some(Some((number, outcome))) = ready(&mut answering) {
                        self.note(&outcome);
                        answer(&mut sender, &mut message, number, &outcome);
                    }
                    sender.flush().await?;
                }
                messages = receiver.next(), if asks && answering.len() < CLIENT_APPENDS_MAX => {
                    let messages = messages?;
                    asks = !messages.is_empty();
                    let refused = self.take(&messages, &mut answering);
                    for (number, reason) in &refused {
                        refuse(&mut sender, &mut message, *number, reason);
                    }
                    if !refused.is_empty() {
                        sender.flush().await?;
                    }
                }
            }
        }
        sender.finish()
    }

    /// Stages appends; returns those that are refused, with the reason.
    fn take(&self, messages: &[Bytes], answering: &mut FuturesUnordered<Answering>) -> Vec<(u32, String)> {
        let mut refused = Vec::new();
        for message in messages {
            let mut cursor = Cursor::new(message);
            let Ok(number) = cursor.u32("number") else { continue };
            let request = message.slice(message.len() - cursor.remaining()..);
            match decode_request(&request, |request| self.stage(request)) {
                Ok(Ok(acknowledged)) => answering.push(Answering { number, acknowledged }),
                Ok(Err(reason)) => refused.push((number, reason)),
                Err(error) => refused.push((number, error.to_string())),
            }
        }
        refused
    }

    fn stage(&self, request: &Request<'_>) -> Result<Acknowledged, String> {
        let Request::Append(append) = request else {
            return Err("clients append; channels are created over HTTP".to_owned());
        };
        let caller = self.shared.sessions.find(&self.key);
        let caller = caller.ok_or("the session is over: ask for a new one over HTTP")?;
        append.parts.iter().try_for_each(|part| may_write(&caller, part.channel))?;
        let store = self.db.store();
        let ticket = match store.would_wait(append) {
            true => waiting_allowed(|| store.submit(append)),
            false => store.submit(append),
        };
        Ok(ticket.map_err(|error| error.to_string())?.acknowledged(Ack::Durable))
    }

    fn note(&self, outcome: &Outcome) {
        let result = outcome.clone().into_result().map(|_| ());
        self.shared.note(&result.as_ref().copied());
    }
}

/// As over HTTP: channels of the database itself are written by nobody, those that models are folded from by
/// administrators.
fn may_write(caller: &Caller, channel: &ChannelName) -> Result<(), String> {
    let least = if netdb::is_of_models(channel) { Role::Admin } else { Role::Write };
    if channel.is_system() || caller.role < least {
        return Err(format!("channel `{channel}` is not written by {}", caller.name));
    }
    Ok(())
}

/// Does what waits. Not for everything: the thread hands over to another one what else it had to do.
fn waiting_allowed<R>(act: impl FnOnce() -> R) -> R {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(act),
        // There is nobody else to go on meanwhile.
        _ => act(),
    }
}

/// Takes what is ready without waiting.
fn ready(answering: &mut FuturesUnordered<Answering>) -> Option<Option<(u32, Outcome)>> {
    use futures::FutureExt as _;
    answering.next().now_or_never()
}

fn answer(sender: &mut MessageSender, message: &mut Vec<u8>, number: u32, outcome: &Outcome) {
    message.clear();
    message.put_u32(number);
    message.put_u8(0);
    message.put(&encode_outcome(outcome));
    sender.push(message);
}

fn refuse(sender: &mut MessageSender, message: &mut Vec<u8>, number: u32, reason: &str) {
    message.clear();
    message.put_u32(number);
    message.put_u8(1);
    message.put(reason.as_bytes());
    sender.push(message);
}
