//! A network in memory that delays, loses, repeats and reorders datagrams, and whose links can be cut, one way or both.
//!
//! Everything that happens follows from a seed and from the clock of the runtime: with a paused clock and one thread, the
//! same seed gives the same history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::SeededRandom;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Instant, Sleep};

use crate::Socket;

/// Datagrams that wait at a socket at most, as in a kernel's buffer; further ones are lost.
const WAITING_MAX: usize = 4_096;

/// How a network treats datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weather {
    /// How long a datagram is under way. Datagrams that take differently long overtake each other.
    pub delay: Range<Duration>,
    /// How many of a thousand are lost.
    pub lost: u64,
    /// How many of a thousand come twice.
    pub repeated: u64,
}

impl Weather {
    /// A good local network: nothing is lost, everything takes half a millisecond.
    pub fn fair() -> Self {
        let delay = Duration::from_micros(500)..Duration::from_micros(501);
        Self { delay, lost: 0, repeated: 0 }
    }
}

/// What happened to datagrams so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkCounts {
    /// Datagrams that somebody sent.
    pub sent: u64,
    /// Those that were given to a socket, repeated ones twice.
    pub delivered: u64,
    /// Those that were lost by the weather.
    pub lost: u64,
    /// Those that came twice.
    pub repeated: u64,
    /// Those that a cut link has swallowed.
    pub cut: u64,
    /// Those to an address where nobody is, or too many wait.
    pub dropped: u64,
    /// Those that came behind one that was sent later.
    pub overtaken: u64,
}

/// A network in memory. Clones are the same network.
#[derive(Debug, Clone)]
pub struct SimulatedNetwork(Arc<Network>);

#[derive(Debug)]
struct Network {
    random: SeededRandom,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    /// Links that swallow everything: from, to.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    boxes: BTreeMap<SocketAddr, Arc<Mutex<Mailbox>>>,
    counts: NetworkCounts,
    sent: u64,
}

/// What is on its way to a socket.
#[derive(Debug, Default)]
struct Mailbox {
    /// By the time at which they come, then by the order in which they were sent.
    waiting: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
    /// The newest that was read.
    newest: u64,
}

impl SimulatedNetwork {
    /// Makes a network whose choices follow from a seed.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let state = State {
            weather,
            cut: BTreeSet::new(),
            boxes: BTreeMap::new(),
            counts: NetworkCounts::default(),
            sent: 0,
        };
        Self(Arc::new(Network { random: SeededRandom::new(seed), state: Mutex::new(state) }))
    }

    /// Opens a socket at an address; one that was there before gets and sends nothing any more.
    pub fn socket(&self, address: SocketAddr) -> Socket {
        let mailbox: Arc<Mutex<Mailbox>> = Arc::default();
        self.0.state().boxes.insert(address, Arc::clone(&mailbox));
        let network = Arc::clone(&self.0);
        let inner = Arc::new(SimulatedSocket { network, address, mailbox, alarm: Mutex::new(None) });
        Socket { inner, of_machine: false }
    }

    /// Takes the socket at an address away, as when its machine loses its power: it gets and sends nothing any more.
    pub fn unplug(&self, address: SocketAddr) {
        self.0.state().boxes.remove(&address);
    }

    /// Changes how datagrams are treated that are sent from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.0.state().weather = weather;
    }

    /// Cuts the link from one machine to another; not the one back.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        self.0.state().cut.insert((from, to));
    }

    /// Mends all links.
    pub fn mend(&self) {
        self.0.state().cut.clear();
    }

    /// Returns what happened so far.
    pub fn counts(&self) -> NetworkCounts {
        self.0.state().counts
    }
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether something happens that happens so often in a thousand times.
    fn happens(&self, in_a_thousand: u64) -> bool {
        in_a_thousand > 0 && self.random.below(1_000) < in_a_thousand
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let mut state = self.state();
        state.counts.sent += 1;
        if state.cut.contains(&(from.ip(), to.ip())) {
            state.counts.cut += 1;
            return;
        }
        if self.happens(state.weather.lost) {
            state.counts.lost += 1;
            return;
        }
        let copies = if self.happens(state.weather.repeated) { 2 } else { 1 };
        state.counts.repeated += copies - 1;
        for _ in 0..copies {
            let (number, delay) = (state.sent, state.weather.delay.clone());
            state.sent += 1;
            let span = u64::try_from(delay.end.saturating_sub(delay.start).as_nanos()).unwrap_or(u64::MAX);
            let at = Instant::now() + delay.start + Duration::from_nanos(self.random.below(span));
            let Some(mailbox) = state.boxes.get(&to).cloned() else {
                state.counts.dropped += 1;
                continue;
            };
            let mut mailbox = lock(&mailbox);
            if mailbox.waiting.len() >= WAITING_MAX {
                state.counts.dropped += 1;
                continue;
            }
            mailbox.waiting.insert((at, number), (from, datagram.to_vec()));
            if let Some(reader) = mailbox.reader.take() {
                reader.wake();
            }
        }
    }
}

fn lock(mailbox: &Mutex<Mailbox>) -> MutexGuard<'_, Mailbox> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}

struct SimulatedSocket {
    network: Arc<Network>,
    address: SocketAddr,
    mailbox: Arc<Mutex<Mailbox>>,
    /// Goes off when the next datagram comes.
    alarm: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl SimulatedSocket {
    /// Tells whether it is the one at its address.
    fn is_plugged(&self) -> bool {
        let state = self.network.state();
        state.boxes.get(&self.address).is_some_and(|there| Arc::ptr_eq(there, &self.mailbox))
    }
}

impl fmt::Debug for SimulatedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedSocket({})", self.address)
    }
}

/// A simulated socket takes what is sent at any time.
#[derive(Debug)]
struct Ready;

impl UdpPoller for Ready {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for SimulatedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Ready)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if !self.is_plugged() {
            return Ok(());
        }
        let bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        transmit
            .contents
            .chunks(bytes)
            .for_each(|one| self.network.send(self.address, transmit.destination, one));
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut mailbox = lock(&self.mailbox);
            let Some(((at, number), _)) = mailbox.waiting.first_key_value() else {
                mailbox.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            let (at, number) = (*at, *number);
            if at > Instant::now() {
                mailbox.reader = Some(context.waker().clone());
                drop(mailbox);
                let alarm = alarm.insert(Box::pin(tokio::time::sleep_until(at)));
                match alarm.as_mut().poll(context) {
                    Poll::Ready(()) => continue,
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some((_, (from, datagram))) = mailbox.waiting.pop_first() else { continue };
            let overtaken = number < mailbox.newest;
            mailbox.newest = mailbox.newest.max(number);
            drop(mailbox);
            let mut state = self.network.state();
            state.counts.delivered += 1;
            state.counts.overtaken += u64::from(overtaken);
            // As a kernel does, what is longer than the buffer is cut off.
            let bytes = datagram.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&datagram[..bytes]);
            *meta = RecvMeta { addr: from, len: bytes, stride: bytes, ..RecvMeta::default() };
            return Poll::Ready(Ok(1));
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
