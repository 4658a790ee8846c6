//! Clients: they append and read through any node, remember what they were told, and ask again where that is safe.

use std::sync::Arc;
use std::time::Duration;

use base::{ChannelName, Seq};
use redex::{
    Ack, AppendRequest, ChannelEvents, Condition, EventInput, Expect, Idempotency, LogWriter, Outcome,
    Rejection, Selection,
};

use replication::GroupWriter;
use tokio::runtime::Handle;

use crate::dice::Dice;
use crate::history::{Asked, Operation, Recorder, Told, digest, nanos};
use crate::node::Node;
use crate::world::World;

/// The channel that most is appended to.
pub const ORDERS: &str = "orders";
/// The channel that is appended to where it is as expected.
pub const REGISTER: &str = "register";
/// The channel of the tasks that are folded.
pub const TASKS: &str = "cortex/tasks";
/// All channels that are appended to.
pub const CHANNELS: [&str; 3] = [ORDERS, REGISTER, TASKS];

/// How long an append or a read may take.
const WITHIN: Duration = Duration::from_millis(1_200);

/// What is appended: names of the events, and what tells a repetition.
struct Wanted {
    channel: &'static str,
    names: Vec<String>,
    by: By,
    expect: Option<u64>,
    /// Bytes of padding in each payload.
    bytes: usize,
}

#[derive(Clone)]
enum By {
    Nothing,
    Key(String),
    Producer(String, u64),
}

/// One client, which goes on until it is aborted.
#[derive(Debug)]
pub struct Client {
    world: Arc<World>,
    recorder: Arc<Recorder>,
    dice: Dice,
    name: String,
    next: u64,
    /// The producer's number.
    number: u64,
}

impl Client {
    /// Makes the client of a number.
    pub fn new(world: &Arc<World>, recorder: &Arc<Recorder>, number: u64) -> Self {
        let name = format!("c{number}");
        Self {
            world: Arc::clone(world),
            recorder: Arc::clone(recorder),
            dice: Dice::new(world.plan.seed, &format!("client {number}")),
            name,
            next: 0,
            number: 0,
        }
    }

    /// Appends and reads until `until`.
    pub async fn run(mut self, until: Duration) {
        while self.world.elapsed() < until {
            let pause = self.dice.time(Duration::ZERO..Duration::from_millis(60));
            tokio::time::sleep(pause).await;
            match self.dice.below(10) {
                0 | 1 => self.read().await,
                2 => self.set_register().await,
                3 => self.change_task().await,
                kind => self.append(kind).await,
            }
        }
    }

    fn any_node(&self) -> Option<Arc<Node>> {
        self.dice.pick(&self.world.up()).cloned()
    }

    async fn append(&mut self, kind: u64) {
        let count = 1 + self.dice.below(3);
        let names = (0..count).map(|at| self.name_of_event(at)).collect();
        self.next += 1;
        let by = match kind {
            4 | 5 => By::Nothing,
            6 | 7 => By::Key(format!("{}-{}", self.name, self.next)),
            _ => {
                self.number += 1;
                By::Producer(self.name.clone(), self.number)
            }
        };
        let bytes =
            if self.dice.happens(60) { 12_000 } else { usize::try_from(self.dice.below(200)).unwrap_or(0) };
        self.ask(Wanted { channel: ORDERS, names, by, expect: None, bytes }).await;
    }

    /// Appends to the register where nobody else did since it was read.
    async fn set_register(&mut self) {
        let Some(node) = self.any_node() else { return };
        let view = node.group.reader().view();
        let Ok(known) = view.channel(&channel(REGISTER)) else { return };
        let expect = known.map_or(0, |known| known.next_seq.0);
        let names = vec![self.name_of_event(0)];
        self.next += 1;
        let by = By::Key(format!("{}-{}", self.name, self.next));
        self.ask(Wanted { channel: REGISTER, names, by, expect: Some(expect), bytes: 0 }).await;
    }

    /// Creates, renames, completes or deletes one of a few tasks.
    async fn change_task(&mut self) {
        let names = vec![self.name_of_event(0)];
        self.next += 1;
        self.ask(Wanted { channel: TASKS, names, by: By::Nothing, expect: None, bytes: 0 }).await;
    }

    fn name_of_event(&self, at: u64) -> String {
        format!("{}-{}.{at}", self.name, self.next)
    }

    /// Asks for an append, again at other nodes while its fate is open and a repetition would be recognised.
    async fn ask(&self, wanted: Wanted) {
        let begun = nanos(self.world.elapsed());
        let attempts = if matches!(wanted.by, By::Nothing) { 1 } else { 4 };
        let mut told = Told::Rejected;
        let mut at = 0;
        for attempt in 0..attempts {
            let Some(node) = self.any_node() else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            at = node.id;
            let answer = self.ask_node(&node, &wanted).await;
            told = match (answer, told) {
                // An earlier attempt may have come through.
                (Told::Rejected, Told::Unknown) => Told::Unknown,
                (answer, _) => answer,
            };
            if attempt + 1 == attempts || told != Told::Unknown {
                break;
            }
            tokio::time::sleep(self.dice.time(Duration::ZERO..Duration::from_millis(100))).await;
        }
        self.world.trace.note(format_args!("{} {:?} at node {at}: {told:?}", self.name, wanted.names));
        let Wanted { channel, names: events, expect, .. } = wanted;
        let asked = Asked::Append { channel: channel.to_owned(), events, expect };
        self.note(at, begun, asked, told);
    }

    async fn ask_node(&self, node: &Node, wanted: &Wanted) -> Told {
        let channel = channel(wanted.channel);
        let payloads: Vec<_> = wanted.names.iter().map(|name| payload(wanted, name)).collect();
        let kind = |name: &str| if wanted.channel == TASKS { task_kind(name) } else { "order.placed" };
        let input = |(name, payload): (&String, &'_ Vec<u8>)| (kind(name), name.clone(), payload.clone());
        let inputs: Vec<_> = wanted.names.iter().zip(&payloads).map(input).collect();
        let events: Vec<_> = inputs
            .iter()
            .map(|(kind, name, payload)| EventInput::new(kind, payload).with_key(name))
            .collect();
        let parts = [ChannelEvents { channel: &channel, events: &events }];
        let condition = wanted.expect.map(|expect| Condition {
            channel: channel.clone(),
            expect: if expect == 0 { Expect::NoChannel } else { Expect::Exact(Seq(expect)) },
        });
        let conditions: Vec<_> = condition.into_iter().collect();
        let idempotency = match &wanted.by {
            By::Nothing => Idempotency::None,
            By::Key(key) => Idempotency::Key(key),
            By::Producer(id, number) => Idempotency::Producer { id, number: *number, digest: None },
        };
        let request = AppendRequest { parts: &parts, conditions: &conditions, idempotency };
        let mut dead = node.dead.subscribe();
        let asked = async {
            node.gate.pass().await;
            let within = self.dice.time(WITHIN / 4..WITHIN);
            let outcome = match self.dice.happens(500) {
                true => node.group.append(&request, within).await,
                // As channels and folds do.
                false => {
                    let writer = GroupWriter::new(node.group.clone(), Handle::current(), within);
                    match writer.submit(&request) {
                        Ok(ticket) => Ok(ticket.acknowledged(Ack::Durable).await),
                        Err(error) => Err(error),
                    }
                }
            };
            // What is acknowledged is looked at before anything else happens.
            self.world.see();
            node.gate.pass().await;
            outcome
        };
        let outcome = tokio::select! {
            biased;
            _ = dead.wait_for(|dead| *dead) => return Told::Unknown,
            outcome = asked => outcome,
        };
        if let Ok(outcome @ (Outcome::Rejected { .. } | Outcome::Unknown { .. })) = &outcome {
            self.world.trace.note(format_args!("{} at node {}: {outcome:?}", self.name, node.id));
        }
        match outcome {
            Ok(Outcome::Rejected {
                reason: Rejection::StaleProducer { .. } | Rejection::KeyReused { .. },
                ..
            }) => Told::Unknown,
            Ok(Outcome::Rejected { .. }) => Told::Rejected,
            Ok(outcome) => match outcome.at().and_then(redex::At::first_seq) {
                Some(seq) => Told::Appended(seq.0),
                None => Told::Unknown,
            },
            Err(error) => {
                self.world.violate(format!("client {}: {error}", self.name));
                Told::Unknown
            }
        }
    }

    /// Reads a channel, as of no earlier than now.
    async fn read(&self) {
        let Some(node) = self.any_node() else { return };
        let wanted = if self.dice.happens(700) { ORDERS } else { REGISTER };
        let begun = nanos(self.world.elapsed());
        let mut dead = node.dead.subscribe();
        let reading = async {
            node.gate.pass().await;
            let position = node.group.read_position(WITHIN).await.ok()?;
            let shown = shown(&node, wanted).map_err(|unread| self.violate_if_wrong(&node, unread)).ok()?;
            node.gate.pass().await;
            Some((position, shown))
        };
        let read = tokio::select! {
            biased;
            _ = dead.wait_for(|dead| *dead) => return,
            read = reading => read,
        };
        let Some((position, shown)) = read else { return };
        let Some(names) = shown.with_given_up(&self.world, wanted) else { return };
        let hash = digest(names.iter().map(String::as_str));
        let told = Told::Read(names.len() as u64, hash);
        self.world
            .trace
            .note(format_args!("{} read {wanted} at node {} {position}: {told:?}", self.name, node.id));
        self.note(node.id, begun, Asked::Read { channel: wanted.to_owned() }, told);
    }

    fn violate_if_wrong(&self, node: &Node, unread: Unread) {
        if let Unread::Wrong(what) = unread {
            self.world.violate(format!("{} read at node {}: {what}", self.name, node.id));
        }
    }

    fn note(&self, node: u64, begun: u64, asked: Asked, told: Told) {
        let ended = Some(nanos(self.world.elapsed()));
        self.recorder.note(Operation { client: self.name.clone(), node, begun, ended, asked, told });
    }
}

/// Returns the name of a channel.
pub fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).expect("the channels here have names that follow the rules")
}

/// What a node shows of a channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The number of its first event that is not given up.
    pub first: u64,
    /// What names each event from that on.
    pub names: Vec<String>,
}

impl Shown {
    /// Returns what names each event from the first on, also of those that were given up, as they were committed once.
    /// `None`, and a violation, where nobody saw these committed.
    pub fn with_given_up(self, world: &World, of: &str) -> Option<Vec<String>> {
        if self.first == 0 {
            return Some(self.names);
        }
        world.see();
        let mut names = world.committed_before(of, self.first)?;
        names.extend(self.names);
        Some(names)
    }
}

/// Why a node does not show a channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// It refuses.
    Refused(String),
    /// It shows something else than it says.
    Wrong(String),
}

/// Returns what a node shows of a channel now.
///
/// # Errors
///
/// What keeps it from being read, or is wrong with it.
pub fn shown(node: &Node, wanted: &str) -> Result<Shown, Unread> {
    let refused = |error: redex::ReadError| Unread::Refused(error.to_string());
    let view = node.group.reader().view();
    let Some(info) = view.channel(&channel(wanted)).map_err(refused)? else {
        return Ok(Shown { first: 0, names: Vec::new() });
    };
    let events = view.read(&Selection::channel(&channel(wanted))).map_err(refused)?;
    let events: Vec<_> = events.collect::<Result<_, _>>().map_err(refused)?;
    let numbers = info.first_seq.0..info.next_seq.0;
    if !events.iter().map(|event| event.seq.0).eq(numbers.clone()) {
        let (first, last) = (events.first().map(|event| event.seq.0), events.last().map(|event| event.seq.0));
        let count = events.len();
        return Err(Unread::Wrong(format!(
            "{wanted} is {numbers:?}, and has {count}, {first:?} to {last:?}"
        )));
    }
    let names = events.into_iter().map(|event| event.key.unwrap_or_default()).collect();
    Ok(Shown { first: info.first_seq.0, names })
}

/// The task that an event is about, and what is done to it, follow from its name.
fn task_of(name: &str) -> u64 {
    name.bytes().map(u64::from).sum::<u64>() % 12
}

fn task_kind(name: &str) -> &'static str {
    match name.len() % 4 {
        0 => "task.renamed",
        1 => "task.completed",
        2 => "task.deleted",
        _ => "task.created",
    }
}

fn payload(wanted: &Wanted, name: &str) -> Vec<u8> {
    match wanted.channel {
        TASKS => {
            let task = serde_json::json!({ "id": task_of(name), "title": name, "replace": true });
            task.to_string().into_bytes()
        }
        _ => name.bytes().cycle().take(name.len().max(wanted.bytes)).collect(),
    }
}
