//! A node of a cluster: logs that several nodes hold, of which any minority may be lost.
//!
//! [`init`] begins a cluster in a database's directory, [`join`] makes another one a member of it by a ticket. While a
//! database is open, [`Cluster::start`] takes part: it lets members in, holds the replicas that the control log gives this
//! node, and attaches them to the database, where their channels are written, read, folded and queried like any other.
//! One log, which every member holds, is what the models of the database are folded from.

mod away;
mod decide;
mod joining;
mod models;
mod place;
mod reconcile;
mod repair;
mod serving;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{ChannelName, ClusterId, Disk, Doors, ErrorKind, Identity, LogId, NodeId, Random, Seq, Timestamp};
use net::{
    Endpoint, EndpointCounts, EndpointOptions, Gossip, GossipOptions, Grant, GrantId, GrantTerms,
    Introduction, Inviter, JoinDoor, Pool, Seed, Socket, Ticket, Uses,
};
use redex::exchange::Request;
use redex::{ChannelConfig, LogName, Outcome, ProducerState, ReplicaIdentity, ReplicaLog, Store};
use replication::control::{CONTROL_LOG, Control, ControlState, LogRecord};
use replication::{
    Budget, ConfigChange, Group, Groups, Link, Peak, ReplicationConfig, Role, StandingChanges, Timing,
};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::models::LateModels;
use crate::wiring::{Book, MeshLink};
use crate::{Error, NetDb};

use away::Away;
use place::Membership;
use repair::Repairs;
pub use status::{CatchingUp, ClusterStatus, LogConflicts, LogStatus, MemberStatus, ReplicaStatus};

/// How long a request to a replicated log, or to the cluster, may take.
pub(crate) const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Members that gossip begins with at most.
const SEEDS_MAX: usize = 32;
/// How long a leader that stops waits for another one to take over.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);

/// How a node takes part in its cluster.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Where it listens for other nodes, over UDP.
    pub listen: SocketAddr,
    /// Where they find it; default: where it listens.
    pub advertise: Option<SocketAddr>,
    /// What it calls itself in what operators see.
    pub name: String,
    /// How long a member may be gone until others hold what it held, where there are others; `None`: until it is removed.
    /// Default: 10 min.
    pub replace_after: Option<Duration>,
    /// What its network carries at most: bringing replicas up that are behind takes a fraction of that, as each log's
    /// configuration says. Default: no limit.
    pub peak: Peak,
}

impl ClusterOptions {
    /// Makes options with defaults for what is not said.
    pub fn new(listen: SocketAddr, name: &str) -> Self {
        let replace_after = Some(Duration::from_secs(600));
        Self { listen, advertise: None, name: name.to_owned(), replace_after, peak: Peak::default() }
    }
}

/// A node that takes part in its cluster. Cloning shares it; it goes on until [`stop`](Self::stop).
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    doors: Doors,
    identity: Arc<Identity>,
    membership: Membership,
    store: Store,
    models: Arc<LateModels>,
    runtime: Handle,
    endpoint: Arc<Endpoint>,
    pool: Pool,
    book: Book,
    groups: Groups,
    control: Control,
    repairs: Repairs,
    away: Away,
    gossip: Gossip,
    replace_after: Option<Duration>,
    budget: Budget,
    /// Up to which event of the control log this node is what it says.
    reconciled: watch::Sender<Seq>,
    stopping: watch::Sender<bool>,
    /// Whether this node was found to be no member any more.
    removed: watch::Sender<bool>,
    /// Held by who opens a replica, and by who closes all of them, so that none is left open.
    opening: tokio::sync::Mutex<()>,
}

/// Begins a cluster: the database of a directory becomes its first node. Needs no running node.
///
/// *Durability*: the membership survives a power failure once this returns.
///
/// # Errors
///
/// Kind `Conflict` when the directory belongs to a cluster, or has tasks, memories or other models of its own, which the
/// cluster's would hide; `NotFound` when it holds no database; `Unavailable` while somebody has it open.
pub fn init(dir: &Path, doors: &Doors) -> Result<ClusterId, Error> {
    let disk = &*doors.disk;
    let identity = identity_of(dir, disk)?;
    if place::read_membership(disk, dir)?.is_some() {
        let message = format!("`{}` belongs to a cluster already: use a fresh directory", dir.display());
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let store = models::open_to_join(dir, doors)?;
    let key_path = place::key_path(dir);
    disk.create_directories(&place::directory(dir)).map_err(|cause| io_failed(&key_path, &cause))?;
    // A crash may have left one, which nobody has used.
    let cluster_key = match disk.exists(&key_path).map_err(|cause| io_failed(&key_path, &cause))? {
        true => Identity::open(disk, &key_path)?,
        false => Identity::create(disk, &key_path, &*doors.random)?,
    };
    let membership = Membership {
        cluster: ClusterId::from_bytes(random_bytes(&*doors.random)),
        node: NodeId(1),
        cluster_key: cluster_key.public_key(),
        control: LogId::from_bytes(random_bytes(&*doors.random)),
        control_origin: identity.origin(),
    };
    place::write_membership(disk, dir, &membership)?;
    store.close()?;
    Ok(membership.cluster)
}

/// Makes the database of a directory a member of a cluster, by a ticket of one of its nodes. It takes part once it is
/// started. Asking again with the same ticket, when an answer was lost, does no harm.
///
/// *Durability*: the membership survives a power failure once this returns.
///
/// # Errors
///
/// Kind `Conflict` when the directory belongs to a cluster, or has tasks, memories or other models of its own, which the
/// cluster's would hide; `NotFound` when it holds no database; `Denied` when the ticket is not valid any more;
/// `Unavailable` when none of the ticket's nodes answers, or somebody has the directory open.
pub async fn join(
    dir: &Path,
    doors: &Doors,
    ticket: &Ticket,
    options: &ClusterOptions,
) -> Result<NodeId, Error> {
    joining::join(dir, doors, ticket, options).await
}

/// Tells whether a directory belongs to a cluster.
///
/// # Errors
///
/// Kind `Corrupt` when what says so is damaged, `Unavailable` when it cannot be read.
pub fn is_member(dir: &Path, disk: &dyn Disk) -> Result<bool, Error> {
    Ok(place::read_membership(disk, dir)?.is_some())
}

fn identity_of(dir: &Path, disk: &dyn Disk) -> Result<Identity, Error> {
    let path = dir.join("identity");
    if !disk.exists(&path).map_err(|cause| io_failed(&path, &cause))? {
        let message = format!("`{}` holds no database: make one with `net-db init`", dir.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(Identity::open(disk, &path)?)
}

fn io_failed(path: &Path, cause: &std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("`{}`: {cause}", path.display()))
}

fn random_bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

impl Cluster {
    /// Takes part with an open database, whose directory belongs to a cluster. Needs a tokio runtime, which is used until
    /// [`stop`](Self::stop). The models of the database begin soon: [`NetDb::models_begun`].
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when the directory belongs to no cluster; `Unavailable` when the address cannot be listened on, or a
    /// replica cannot be opened; `Corrupt`.
    pub async fn start(db: &NetDb, options: &ClusterOptions) -> Result<Self, Error> {
        let socket = Socket::bind(options.listen)?;
        Self::start_on(db, socket, options).await
    }

    /// Takes part over a socket, such as one of a simulated network.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_on(db: &NetDb, socket: Socket, options: &ClusterOptions) -> Result<Self, Error> {
        let store = db.store().clone();
        let (dir, doors) = (store.dir().to_owned(), store.doors().clone());
        let Some(membership) = place::read_membership(&*doors.disk, &dir)? else {
            let message =
                "the database belongs to no cluster: begin one with `net-db cluster init`, or join one";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let identity = Arc::clone(store.identity());
        let book = Book::default();
        let mut peers: BTreeMap<_, _> = place::read_peers(&*doors.disk, &dir)
            .into_iter()
            .map(|peer| (peer.node, (peer.key, peer.address)))
            .collect();
        let endpoint = Endpoint::open(
            socket,
            Arc::clone(&identity),
            (membership.cluster, membership.node),
            Arc::new(book.clone()),
            EndpointOptions::default(),
            &*doors.random,
        )?;
        let listening = endpoint.local_address().map_err(|cause| io_failed(&dir, &cause))?;
        let address = options.advertise.unwrap_or(listening);
        peers.insert(membership.node, (identity.public_key(), address));
        book.set(peers, BTreeSet::new());
        let endpoint = Arc::new(endpoint);
        let pool = Pool::new(Arc::clone(&endpoint));
        let origin = membership.control_origin;
        let replica = ReplicaIdentity { log: membership.control, origin, name: CONTROL_LOG.to_owned() };
        let log = store.open_replica(&replica)?;
        let link: Arc<dyn Link> = Arc::new(MeshLink::new(pool.clone(), book.clone()));
        let (repairs, others) = (Repairs::default(), book.all().into_keys().collect());
        repairs.until_whole(&log, membership.node, &link, &others, &BTreeSet::new()).await?;
        let timing = Timing::default();
        let groups = Groups::default();
        let group = groups.start(log, membership.node, Arc::clone(&identity), link, &timing).await?;
        let budget = Budget::new(options.peak);
        group.set_budget(&budget, &ReplicationConfig::default());
        let control = Control::follow(group)?;
        let gossip = gossip(&endpoint, &pool, &book, membership.node, address, &doors)?;
        let inner = Arc::new(Inner {
            dir,
            doors,
            identity,
            membership,
            store,
            models: Arc::clone(db.late_models()),
            runtime: Handle::current(),
            endpoint,
            pool,
            book,
            groups,
            control,
            repairs,
            away: Away::default(),
            gossip,
            replace_after: options.replace_after,
            budget,
            reconciled: watch::Sender::new(Seq(0)),
            stopping: watch::Sender::new(false),
            removed: watch::Sender::new(false),
            opening: tokio::sync::Mutex::new(()),
        });
        let cluster = Self { inner: Arc::clone(&inner) };
        inner.endpoint.open_to_joins(Some(JoinDoor {
            cluster_key: membership.cluster_key,
            clock: Arc::clone(&inner.doors.clock),
            handler: Arc::new(joining::Door::new(&inner)),
        }));
        tokio::spawn(serving::accept(Arc::clone(&inner)));
        tokio::spawn(introduce(Arc::clone(&inner), address, options.name.clone()));
        tokio::spawn(reconcile::run(Arc::clone(&inner)));
        // The control log is read with the others, so that SQL shows it.
        let writer = replication::GroupWriter::new(
            inner.control.group().clone(),
            inner.runtime.clone(),
            REQUEST_WITHIN,
        );
        inner.store.attach(Arc::new(writer))?;
        Ok(cluster)
    }

    /// Returns the cluster.
    pub fn id(&self) -> ClusterId {
        self.inner.membership.cluster
    }

    /// Returns this node.
    pub fn node(&self) -> NodeId {
        self.inner.membership.node
    }

    /// Returns where it listens for other nodes.
    pub fn address(&self) -> SocketAddr {
        self.inner.book.get(self.node()).map_or_else(|| ([0, 0, 0, 0], 0).into(), |(_, address)| address)
    }

    /// Returns what the control log says, as this node knows it.
    pub fn state(&self) -> Arc<ControlState> {
        self.inner.control.state()
    }

    /// Returns the group of a replicated log; `None` where this node holds no replica of it.
    pub fn group(&self, log: &str) -> Option<Group> {
        if log == CONTROL_LOG {
            return Some(self.inner.control.group().clone());
        }
        let state = self.inner.control.state();
        self.inner.groups.get(state.logs.get(&LogName::new(log).ok()?)?.id)
    }

    /// Follows what changes of how a replicated log stands on this node from now on; `None` where it holds no replica. The
    /// stream ends when the replica is closed here: because others hold the log, or the node stops.
    pub fn watch_standing(&self, log: &str) -> Option<StandingChanges> {
        Some(self.group(log)?.watch_standing())
    }

    /// Tells whether somebody is known to lead the control log: another node, or this one with a majority behind it.
    pub fn has_leader(&self) -> bool {
        self.inner.control.group().hears_majority()
    }

    /// Returns the logs whose replica here failed and takes no part, until the node is started again.
    pub fn failed_logs(&self) -> Vec<String> {
        let failed = |(log, group): (String, Group)| (group.standing().role == Role::Idle).then_some(log);
        self.groups().into_iter().filter_map(failed).collect()
    }

    /// Returns the member that said last that this node was removed, if it was not let in by one since.
    pub fn shut_out_by(&self) -> Option<NodeId> {
        self.inner.book.shut_out_by()
    }

    /// Tells whether this node has learned that it was removed, and stopped its groups: it takes no part any more. Its logs can
    /// be read as they are; to be a member again, it joins with a new directory.
    pub fn is_removed(&self) -> bool {
        *self.inner.removed.borrow()
    }

    /// Returns the logs of which this node has found forks, each with how many, and those that other nodes hold with other
    /// committed entries, which no fork explains, each with these nodes.
    pub fn conflicts(&self) -> Vec<LogConflicts> {
        let of = |(log, group): (String, Group)| LogConflicts {
            log,
            forks: group.forks(),
            diverges_from: group.divergences().into_keys().collect(),
        };
        let found = self.groups().into_iter().map(of);
        found.filter(|found| found.forks > 0 || !found.diverges_from.is_empty()).collect()
    }

    /// Tells whether a replica takes no part, since the disk is full.
    pub fn waits_for_room(&self) -> bool {
        self.inner.groups.all().iter().any(Group::waits_for_room)
    }

    /// Returns what was counted at the door for other nodes.
    pub fn mesh_counts(&self) -> EndpointCounts {
        self.inner.endpoint.counts()
    }

    /// Returns the groups that this node takes part in, each with the name of its log.
    pub fn groups(&self) -> Vec<(String, Group)> {
        let groups = self.inner.groups.all().into_iter();
        let mut groups: Vec<_> = groups.map(|group| (group.reader().name().to_owned(), group)).collect();
        groups.sort_by(|one, other| one.0.cmp(&other.0));
        groups
    }

    /// Tells whether a replica takes no part, since it lost something and the others have not given it back yet.
    pub fn is_repairing(&self) -> bool {
        self.inner.repairs.any_lost()
    }

    /// Waits until this node's readers see everything that was committed, anywhere, when this was called.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the leader of a log does not answer in time.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let groups = self.inner.groups.all();
        let reads = groups.iter().map(|group| group.read_position(REQUEST_WITHIN));
        for read in futures::future::join_all(reads).await {
            read?;
        }
        Ok(())
    }

    /// Waits until this node's readers see everything of a channel that was committed, anywhere, when this was called.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Self::catch_up).
    pub async fn catch_up_with(&self, channel: &ChannelName) -> Result<(), Error> {
        let log = self.inner.control.state().channels.get(channel).cloned();
        if let Some(group) = log.and_then(|log| self.group(log.as_str())) {
            group.read_position(REQUEST_WITHIN).await?;
        }
        Ok(())
    }

    /// Returns a producer's last append that is committed to any log, held by this node or not; of several, the one with the
    /// highest number.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the leader of a log does not answer in time.
    pub async fn newest_of_producer(&self, id: &str) -> Result<Option<ProducerState>, Error> {
        let (inner, state) = (&self.inner, self.inner.control.state());
        self.catch_up().await?;
        let is_away = |record: &LogRecord| inner.groups.get(record.id).is_none();
        let away: Vec<_> = state.logs.iter().filter(|(_, record)| is_away(record)).collect();
        let away: Vec<_> = away.into_iter().filter_map(|(name, _)| inner.away.get(name)).collect();
        let asked = away.iter().map(|log| log.producer(id, REQUEST_WITHIN));
        let mut newest = inner.store.newest_of_producer(id);
        for found in futures::future::join_all(asked).await {
            let number = |state: &Option<ProducerState>| state.as_ref().map(|state| state.number);
            newest = std::cmp::max_by_key(newest, found?, number);
        }
        Ok(newest)
    }

    /// Returns how the cluster stands, as this node sees it.
    pub fn status(&self) -> ClusterStatus {
        status::of(&self.inner)
    }

    /// Creates a channel in a replicated log: one that is shared by all channels of an equal configuration, and made for
    /// the first of them. That it exists so is as good. Returns once it is committed, and appended to from this node, which need not
    /// hold it.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for a configuration or a name that breaks the rules; `Denied` for a channel that models are folded
    /// from; `Conflict` when the channel lives elsewhere;
    /// `Unavailable` when the cluster has too few members, or no majority of them answers.
    pub async fn create_channel(&self, channel: &str, config: &ReplicationConfig) -> Result<LogName, Error> {
        config.validate()?;
        let channel = ChannelName::new(channel)?;
        if crate::is_of_models(&channel) {
            let message =
                format!("channel `{channel}` is what state is folded from: all members hold it already");
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let inner = &self.inner;
        if inner.store.reader().view().channel(&channel)?.is_some()
            && !inner.control.state().channels.contains_key(&channel)
        {
            let message =
                format!("channel `{channel}` lives in a log of this node alone: create one of another name");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let (id, origin) = (LogId::from_bytes(random_bytes(&*inner.doors.random)), inner.identity.origin());
        let decide = |state: &ControlState| decide::place_channel(state, &channel, config, id, origin);
        let log = inner.control.change(REQUEST_WITHIN, decide).await?;
        self.await_reconciled().await?;
        let request = Request::CreateChannel { channel: &channel, config: &ChannelConfig::default() };
        let outcome = match (self.group(log.as_str()), inner.away.get(&log)) {
            (Some(group), _) => group.request(&request, REQUEST_WITHIN).await?,
            (None, Some(away)) => away.request(&request, REQUEST_WITHIN).await?,
            (None, None) => {
                let message = format!(
                    "channel `{channel}` is placed in log `{log}`, which this node cannot reach yet: create it again"
                );
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
        };
        match outcome {
            Outcome::Appended { .. } | Outcome::AlreadyAppended { .. } => Ok(log),
            outcome => Err(outcome
                .into_result()
                .map(|_| ())
                .map_or_else(Error::from, |()| Error::new(ErrorKind::Internal, "an outcome that is none"))),
        }
    }

    /// Waits until this node is what the control log says now.
    async fn await_reconciled(&self) -> Result<(), Error> {
        let next = self.inner.control.state().next;
        let mut reconciled = self.inner.reconciled.subscribe();
        let waited = tokio::time::timeout(REQUEST_WITHIN, reconciled.wait_for(|done| *done >= next)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::new(ErrorKind::Unavailable, "the cluster does not settle: look at its status")),
        }
    }

    /// Makes a ticket, by which one node, or several, can join until its time is over. Only a node that has the cluster's
    /// key can: the one that began it, and those that the file `cluster/key` was copied to.
    ///
    /// # Errors
    ///
    /// Kind `Denied` without the key.
    pub fn invite(&self, valid_for: Duration, uses: Uses) -> Result<Ticket, Error> {
        let inner = &self.inner;
        let path = place::key_path(&inner.dir);
        if !inner.doors.disk.exists(&path).map_err(|cause| io_failed(&path, &cause))? {
            let message = "this node has not the cluster's key: invite on the one that began the cluster, or copy its file `cluster/key` here";
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let key = Identity::open(&*inner.doors.disk, &path)?;
        let nanos = i64::try_from(valid_for.as_nanos()).unwrap_or(i64::MAX);
        let not_after = Timestamp::from_nanos(inner.doors.clock.now().as_nanos().saturating_add(nanos));
        let terms = GrantTerms {
            cluster: self.id(),
            id: GrantId::random(&*inner.doors.random),
            not_after,
            roles: 0,
            uses,
        };
        // This node first, then others that may be there when it is not.
        let own = (inner.identity.public_key(), self.address());
        let others = inner.book.all().into_iter().filter(|(node, _)| *node != self.node());
        let nodes = std::iter::once(own).chain(others.map(|(_, known)| known));
        let inviters = nodes.map(|(key, address)| Inviter { key, address }).take(8).collect();
        Ok(Ticket::new(Grant::issue(&key, terms), inviters)?)
    }

    /// Removes a member, for ever: its connections end, and its replicas go to other members where there are enough.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when there is no such member; `Conflict` for the last one; `Unavailable` without a majority.
    pub async fn remove(&self, node: NodeId) -> Result<(), Error> {
        let decide = |state: &ControlState| decide::remove_member(state, node);
        Ok(self.inner.control.change(REQUEST_WITHIN, decide).await?)
    }

    /// Has a log held by other nodes.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when there is no such log or member; `Invalid` for no node; `Unavailable` without a majority.
    pub async fn move_log(&self, log: &str, replicas: &BTreeSet<NodeId>) -> Result<(), Error> {
        let log = LogName::new(log)?;
        let decide = |state: &ControlState| decide::move_log(state, &log, replicas);
        Ok(self.inner.control.change(REQUEST_WITHIN, decide).await?)
    }

    /// Has a log replicated otherwise, for all channels in it, and returns how it is from now on. Each node takes that up by
    /// itself, soon: with another heartbeat the group starts anew there, those first that do not lead.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when there is no such log; `Invalid` for a value out of its range; `Conflict` for a leader that does not
    /// hold the log; `Unavailable` without a majority.
    pub async fn configure(&self, log: &str, change: &ConfigChange) -> Result<ReplicationConfig, Error> {
        let log = LogName::new(log)?;
        let decide = |state: &ControlState| decide::configure(state, &log, change);
        Ok(self.inner.control.change(REQUEST_WITHIN, decide).await?)
    }

    /// Returns the replicated log that a channel lives in, as this node knows it.
    pub fn log_of(&self, channel: &ChannelName) -> Option<LogName> {
        self.inner.control.state().channels.get(channel).cloned()
    }

    /// Hands the leadership of a log over to a node; asked of the node that leads it.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` where this node holds no replica; `Unavailable` where it does not lead, or the other one did not take
    /// over.
    pub async fn transfer(&self, log: &str, to: NodeId) -> Result<(), Error> {
        let group = self.group(log).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("this node holds no replica of a log `{log}`"))
        })?;
        if !group.standing().voters.contains(&to) {
            let message = format!("node {to} has no vote in log `{log}`: look at the cluster's status");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Ok(group.transfer(to, REQUEST_WITHIN).await?)
    }

    /// Stops taking part: leaderships are handed over, connections end, replicas are closed. Repeating it does nothing. The
    /// models of the database end with their replica, and show their last state until the database is closed.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when a replica could not be closed cleanly; everything is stopped either way.
    pub async fn stop(&self) -> Result<(), Error> {
        let inner = &self.inner;
        if inner.stopping.send_replace(true) {
            return Ok(());
        }
        inner.endpoint.open_to_joins(None);
        // Whoever does not hear it finds out.
        let _ = inner.gossip.leave().await;
        let _opening = inner.opening.lock().await;
        let groups = inner.groups.all();
        futures::future::join_all(groups.iter().map(hand_over)).await;
        let mut closed = Ok(());
        for group in groups {
            let stopped = group.stop().await;
            inner.groups.remove(group.id());
            closed =
                closed.and(stopped.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string())));
        }
        inner.endpoint.shut().await;
        closed
    }
}

/// Begins to tell, and to hear, who is there.
fn gossip(
    endpoint: &Arc<Endpoint>,
    pool: &Pool,
    book: &Book,
    me: NodeId,
    address: SocketAddr,
    doors: &Doors,
) -> Result<Gossip, Error> {
    let epoch = u64::try_from(doors.clock.now().as_nanos() / 1_000_000).unwrap_or(0);
    let introduction = Introduction { address, epoch, facts: bytes::Bytes::new() };
    let (options, random) = (GossipOptions::default(), Arc::clone(&doors.random));
    let gossip = Gossip::start(Arc::clone(endpoint), pool.clone(), introduction, options, random)?;
    let others = book.all().into_iter().filter(|(node, _)| *node != me);
    let seeds: Vec<_> =
        others.map(|(node, (key, address))| Seed { node, key, address }).take(SEEDS_MAX).collect();
    let joining = gossip.clone();
    tokio::spawn(async move {
        if let Err(reason) = joining.join(&seeds).await {
            tracing::warn!(%reason, "gossip has not begun");
        }
    });
    Ok(gossip)
}

/// Hands a leadership of this node over to whoever holds the most of the log.
async fn hand_over(group: &Group) {
    let standing = group.standing();
    if standing.role != Role::Leader {
        return;
    }
    let progress = group.progress();
    let others = standing.voters.iter().filter(|node| **node != group.node());
    let Some(next) = others.max_by_key(|node| progress.get(node).map(|known| known.position)) else { return };
    if let Err(reason) = group.transfer(*next, HAND_OVER_WITHIN).await {
        tracing::warn!(log = group.reader().name(), to = %next, %reason, "leadership was not handed over");
    }
}

impl Inner {
    /// Tells whether this node takes no part any more, or is about to.
    fn ends(&self) -> bool {
        *self.stopping.borrow() || *self.removed.borrow()
    }

    fn link(&self) -> Arc<dyn Link> {
        Arc::new(MeshLink::new(self.pool.clone(), self.book.clone()))
    }

    async fn start_group(&self, log: ReplicaLog, timing: &Timing) -> Result<Group, Error> {
        let link = self.link();
        Ok(self.groups.start(log, self.membership.node, Arc::clone(&self.identity), link, timing).await?)
    }
}

/// Sees to it that the control log knows this node, and where it listens.
async fn introduce(inner: Arc<Inner>, address: SocketAddr, name: String) {
    let Membership { node, .. } = inner.membership;
    let group = inner.control.group();
    let first = node == NodeId(1) && group.replica().state().last.is_none();
    if first {
        let member = replication::Member { address: address.to_string() };
        if let Err(reason) = group.begin(&[(node, member)].into()).await {
            tracing::error!(%reason, "the cluster's control log cannot be begun");
        }
    }
    let key = inner.identity.public_key();
    let (mut stopped, mut removed) = (inner.stopping.subscribe(), inner.removed.subscribe());
    loop {
        let decide = |state: &ControlState| decide::introduction(state, node, key, &name, address);
        let changed = tokio::select! {
            changed = inner.control.change(REQUEST_WITHIN, decide) => changed,
            _ = stopped.wait_for(|stopping| *stopping) => return,
            _ = removed.wait_for(|removed| *removed) => return,
        };
        match changed {
            Ok(()) => return,
            Err(reason) => tracing::info!(%reason, "this node is not introduced to its cluster yet"),
        }
    }
}
