//! The protocol of membership (SWIM with suspicion), by the library foca, which is named in this file only.
//!
//! It does nothing by itself: packets and alarms go in, packets to send and alarms to set come out. Its own packets stay
//! within this process; what is sent are ours.

use std::convert::Infallible;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use base::{PublicKey, Random};
use bytes::{Buf, BufMut};
use foca::{
    Codec, Config, Foca, Header, Identity, Message, NoCustomBroadcast, Notification, PeriodicParams, Runtime,
    State, Timer,
};

use super::packet::{Kind, MEMBER_BYTES, Member, Packet, UPDATE_BYTES, UPDATES_MAX, Update};
use super::{GossipOptions, Liveness};
use crate::wire::take;

/// Bytes of foca's packets: kind, probe number and incarnation, three members, a count, updates.
const SWIM_BYTES_MAX: usize = 4 + 3 * MEMBER_BYTES + 2 + UPDATES_MAX * UPDATE_BYTES;
/// How many others are asked to probe on our behalf, and are told news at once.
const OTHERS: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");
const ONE: NonZeroUsize = NonZeroUsize::new(1).expect("one is not zero");
/// How often news are passed on by one node.
const TRANSMISSIONS_MAX: NonZeroU8 = NonZeroU8::new(10).expect("ten is not zero");
/// How often a member that is down is asked whether it is there again, and one that is alive who else is there.
const ASK_DOWN_EVERY: Duration = Duration::from_secs(5);
const ASK_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How often news are told apart from probes.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// Something to be told after a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm(Timer<Member>);

/// The state of the protocol at one node.
pub(super) struct Swim {
    foca: Foca<Member, Bytes, Dice, NoCustomBroadcast>,
    out: Out,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub packets: Vec<Packet>,
    pub alarms: Vec<(Duration, Alarm)>,
}

impl Swim {
    pub fn new(me: Member, options: &GossipOptions, random: Arc<dyn Random>) -> Self {
        let periodic = |frequency, num_members| Some(PeriodicParams { frequency, num_members });
        let config = Config {
            probe_period: options.probe_every,
            probe_rtt: options.answer_within,
            num_indirect_probes: OTHERS,
            max_transmissions: TRANSMISSIONS_MAX,
            suspect_to_down_after: options.suspect_for,
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(SWIM_BYTES_MAX).unwrap_or(NonZeroUsize::MAX),
            notify_down_members: true,
            periodic_announce: periodic(ASK_ALIVE_EVERY, ONE),
            periodic_announce_to_down_members: periodic(ASK_DOWN_EVERY, ONE),
            periodic_gossip: periodic(NEWS_EVERY, OTHERS),
        };
        Self { foca: Foca::new(me, config, Dice(random), Bytes), out: Out::default() }
    }

    /// Returns this node.
    pub fn me(&self) -> Member {
        *self.foca.identity()
    }

    /// Returns the others, in no order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Update> {
        self.foca.iter_membership_state().map(update)
    }

    /// Tells whether somebody is there.
    pub fn is_alone(&self) -> bool {
        self.foca.num_members() == 0
    }

    /// Returns what is known of a key.
    pub fn member(&self, key: PublicKey) -> Option<Update> {
        self.foca.iter_membership_state().find(|known| known.id().key == key).map(update)
    }

    /// Takes what is to be done since it was last taken.
    pub fn take(&mut self) -> Out {
        // Whoever got a new epoch meanwhile goes on with it.
        self.count_on(|foca, out| foca.apply_many(std::iter::empty(), true, out));
        std::mem::take(&mut self.out)
    }

    /// Says to somebody that we are here.
    pub fn announce(&mut self, to: Member) {
        self.count_on(|foca, out| foca.announce(to, out));
    }

    /// Acts on a packet; tells whether it made sense. Of what it says of this node only the worst about its present life
    /// counts: other lives, and this one once it is over, would be remembered beside the other nodes.
    pub fn receive(&mut self, mut packet: Packet) -> bool {
        let me = self.me();
        let mine = packet.updates.extract_if(.., |update| update.member.key == me.key);
        let worst = mine
            .filter(|update| update.member == me)
            .max_by_key(|update| (update.liveness, update.incarnation));
        packet.updates.extend(worst);
        let bytes = to_swim(&packet);
        self.foca.handle_data(&bytes, &mut self.out).is_ok()
    }

    pub fn alarm(&mut self, alarm: Alarm) {
        self.count_on(|foca, out| foca.handle_timer(alarm.0, out));
    }

    /// Forgets a member without a word to the others.
    pub fn forget(&mut self, member: Member) {
        let down = foca::Member::new(member, u16::MAX, State::Down);
        self.count_on(|foca, out| foca.apply_many(std::iter::once(down), false, out));
        self.count_on(|foca, out| foca.handle_timer(Timer::RemoveDown(member), out));
    }

    /// Goes on with an epoch behind `epoch`, which others know of us from an earlier life.
    pub fn outlive(&mut self, epoch: u64) {
        let me = self.me();
        if let Some(epoch) = epoch.checked_add(1).filter(|epoch| *epoch > me.epoch) {
            self.count_on(|foca, out| foca.change_identity(Member { epoch, ..me }, out));
        }
    }

    /// Says to some that we go.
    pub fn leave(&mut self) {
        self.count_on(|foca, out| foca.leave_cluster(out));
    }

    /// Runs a step that fails only where the library is wrong about itself; it recovers by its next probe.
    fn count_on(
        &mut self,
        step: impl FnOnce(&mut Foca<Member, Bytes, Dice, NoCustomBroadcast>, &mut Out) -> Result<(), foca::Error>,
    ) {
        if let Err(error) = step(&mut self.foca, &mut self.out) {
            tracing::debug!(%error, "a step of gossip failed");
        }
    }
}

impl Identity for Member {
    type Addr = PublicKey;

    fn renew(&self) -> Option<Self> {
        Some(Self { epoch: self.epoch.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> PublicKey {
        self.key
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        // Of one epoch there is one address; should there be two, all nodes choose the same.
        (self.epoch, self.address, self.node) > (other.epoch, other.address, other.node)
    }
}

impl Runtime<Member> for Out {
    fn notify(&mut self, _: Notification<'_, Member>) {}

    fn send_to(&mut self, to: Member, data: &[u8]) {
        match of_swim(data) {
            Some(packet) => self.packets.push(packet),
            None => tracing::error!(node = %to.node, "gossip made a packet that does not read"),
        }
    }

    fn submit_after(&mut self, timer: Timer<Member>, after: Duration) {
        self.alarms.push((after, Alarm(timer)));
    }
}

/// Draws from the door to randomness.
struct Dice(Arc<dyn Random>);

impl rand_core::TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// How foca's packets are written within this process: like ours, without what it does not know.
struct Bytes;

#[derive(Debug, thiserror::Error)]
enum BytesError {
    #[error("does not fit")]
    Room,
    #[error("does not read")]
    Malformed,
}

impl Codec<Member> for Bytes {
    type Error = BytesError;

    fn encode_header(&mut self, header: &Header<Member>, mut bytes: impl BufMut) -> Result<(), BytesError> {
        if bytes.remaining_mut() < 4 + 3 * MEMBER_BYTES {
            return Err(BytesError::Room);
        }
        let (kind, probe, another) = of_message(&header.message);
        bytes.put_u8(kind.number());
        bytes.put_u8(probe);
        bytes.put_u16_le(header.src_incarnation);
        header.src.put(&mut bytes);
        header.dst.put(&mut bytes);
        another.iter().for_each(|member| member.put(&mut bytes));
        Ok(())
    }

    fn decode_header(&mut self, mut bytes: impl Buf) -> Result<Header<Member>, BytesError> {
        let mut from = bytes.chunk();
        let before = from.len();
        let (header, _) = take_header(&mut from).ok_or(BytesError::Malformed)?;
        let taken = before - from.len();
        bytes.advance(taken);
        Ok(header)
    }

    fn encode_member(
        &mut self,
        member: &foca::Member<Member>,
        mut bytes: impl BufMut,
    ) -> Result<(), BytesError> {
        if bytes.remaining_mut() < UPDATE_BYTES {
            return Err(BytesError::Room);
        }
        update(member).put(&mut bytes);
        Ok(())
    }

    fn decode_member(&mut self, mut bytes: impl Buf) -> Result<foca::Member<Member>, BytesError> {
        let mut from = bytes.chunk();
        let read = Update::take(&mut from).ok_or(BytesError::Malformed)?;
        bytes.advance(UPDATE_BYTES);
        let state = match read.liveness {
            Liveness::Alive => State::Alive,
            Liveness::Suspect => State::Suspect,
            Liveness::Down => State::Down,
        };
        Ok(foca::Member::new(read.member, read.incarnation, state))
    }
}

fn update(member: &foca::Member<Member>) -> Update {
    let liveness = match member.state() {
        State::Alive => Liveness::Alive,
        State::Suspect => Liveness::Suspect,
        State::Down => Liveness::Down,
    };
    Update { member: *member.id(), incarnation: member.incarnation(), liveness }
}

/// Returns kind, probe number and who else is named. Broadcasts are not used.
fn of_message(message: &Message<Member>) -> (Kind, u8, Option<Member>) {
    match *message {
        Message::Ping(probe) => (Kind::Ping, probe, None),
        Message::Ack(probe) => (Kind::Ack, probe, None),
        Message::PingReq { target, probe_number } => (Kind::PingRequest, probe_number, Some(target)),
        Message::IndirectPing { origin, probe_number } => (Kind::IndirectPing, probe_number, Some(origin)),
        Message::IndirectAck { target, probe_number } => (Kind::IndirectAck, probe_number, Some(target)),
        Message::ForwardedAck { origin, probe_number } => (Kind::ForwardedAck, probe_number, Some(origin)),
        Message::Announce => (Kind::Announce, 0, None),
        Message::Feed => (Kind::Feed, 0, None),
        Message::Gossip | Message::Broadcast => (Kind::Gossip, 0, None),
        Message::TurnUndead => (Kind::TakenForDown, 0, None),
    }
}

fn to_message(kind: Kind, probe_number: u8, another: Option<Member>) -> Option<Message<Member>> {
    Some(match (kind, another) {
        (Kind::Ping, _) => Message::Ping(probe_number),
        (Kind::Ack, _) => Message::Ack(probe_number),
        (Kind::PingRequest, Some(target)) => Message::PingReq { target, probe_number },
        (Kind::IndirectPing, Some(origin)) => Message::IndirectPing { origin, probe_number },
        (Kind::IndirectAck, Some(target)) => Message::IndirectAck { target, probe_number },
        (Kind::ForwardedAck, Some(origin)) => Message::ForwardedAck { origin, probe_number },
        (Kind::Announce, _) => Message::Announce,
        (Kind::Feed, _) => Message::Feed,
        (Kind::Gossip, _) => Message::Gossip,
        (Kind::TakenForDown, _) => Message::TurnUndead,
        _ => return None,
    })
}

/// Tells whether foca writes a count of updates behind the header.
fn has_updates(kind: Kind) -> bool {
    !matches!(kind, Kind::Announce | Kind::TakenForDown)
}

/// Writes a packet as foca reads it; the count of updates is its own, and big-endian.
fn to_swim(packet: &Packet) -> Vec<u8> {
    let mut bytes = vec![packet.kind.number(), packet.probe];
    bytes.put_u16_le(packet.incarnation);
    packet.source.put(&mut bytes);
    packet.destination.put(&mut bytes);
    packet.another.iter().for_each(|member| member.put(&mut bytes));
    if has_updates(packet.kind) {
        bytes.put_u16(u16::try_from(packet.updates.len()).unwrap_or(0));
        packet.updates.iter().for_each(|update| update.put(&mut bytes));
    }
    bytes
}

/// Reads a packet that foca has written.
fn of_swim(bytes: &[u8]) -> Option<Packet> {
    let from = &mut &*bytes;
    let (header, kind) = take_header(from)?;
    let (_, probe, another) = of_message(&header.message);
    let count = if has_updates(kind) && !from.is_empty() { u16::from_be_bytes(take(from)?) } else { 0 };
    let updates = (0..count).map(|_| Update::take(from)).collect::<Option<_>>()?;
    let (source, destination, incarnation) = (header.src, header.dst, header.src_incarnation);
    Some(Packet { kind, probe, incarnation, source, destination, another, updates, facts: Vec::new() })
}

fn take_header(from: &mut &[u8]) -> Option<(Header<Member>, Kind)> {
    let [kind, probe] = take(from)?;
    let kind = Kind::of_number(kind)?;
    let src_incarnation = u16::from_le_bytes(take(from)?);
    let (src, dst) = (Member::take(from)?, Member::take(from)?);
    let another = if kind.names_another() { Some(Member::take(from)?) } else { None };
    let message = to_message(kind, probe, another)?;
    Some((Header { src, src_incarnation, dst, message }, kind))
}
