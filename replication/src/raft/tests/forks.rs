//! Entries that are sent again, and are others than before.

use base::{NodeId, Term};
use redex::{AppendRequest, ChannelEvents, Completion, EventInput, ReplicaEntry};

use super::*;
use crate::link::{Answer, Link};
use crate::raft::consensus::Consensus;
use crate::raft::rpc::Rpc;

#[derive(Debug)]
struct Nowhere;

impl Link for Nowhere {
    fn request(&self, _: NodeId, _: bytes::Bytes, _: std::time::Duration) -> Answer {
        Box::pin(std::future::pending())
    }
}

/// Seals an entry behind the first one, as a leader with these random numbers does.
fn sealed(log: &ReplicaLog, payload: &str) -> ReplicaEntry {
    let mut proposer = log.proposer(Term(1), NodeId(1), key(1));
    let name = base::ChannelName::new("orders").unwrap();
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &name, events: &events }];
    proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
    proposer.seal().remove(0)
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_sent_again_as_another_one_is_a_fork() {
    let open = |disk: &SimulatedDisk| {
        let log = ReplicaLog::open(Path::new(DIR), &identity(), &simulated(disk, 1), &by_hand()).unwrap();
        let slot = slot_of(&log_id(1, 0));
        let blank = ReplicaEntry { slot, content: redex::EntryContent::Consensus(bytes::Bytes::new()) };
        log.append(&[blank], Completion::ignored()).unwrap();
        log
    };
    let (log, copy) = (open(&SimulatedDisk::new()), open(&SimulatedDisk::new()));
    let (held, other) = (sealed(&log, "first"), sealed(&copy, "other"));
    log.append(std::slice::from_ref(&held), Completion::ignored()).unwrap();
    let flushed = log.clone();
    let flusher = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            flushed.flush_step();
        }
    });
    let link: Arc<dyn Link> = Arc::new(Nowhere);
    let reach = Reach {
        group: log.reader().id(),
        link,
        allowance: crate::budget::Allowance::default(),
        counters: crate::counts::Counters::default(),
        heartbeats: crate::heartbeats::Heartbeats::default(),
    };
    let consensus = Consensus::start(&log, NodeId(2), reach, &Timing::default()).await.unwrap();
    let vote = RaftVote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: true };
    let again = |entry: &ReplicaEntry| {
        let redex::EntryContent::Sealed(sealed) = &entry.content else { unreachable!("it was sealed") };
        let proposal = Proposal::from_bytes(sealed.bytes().clone());
        let entries = vec![Entry::new(log_id(1, 1), EntryPayload::Normal(proposal))];
        let prev_log_id = Some(log_id(1, 0));
        let append = openraft::raft::AppendEntriesRequest { vote, prev_log_id, entries, leader_commit: None };
        let mut out = Vec::new();
        Rpc::Append(append).encode(&mut out);
        bytes::Bytes::from(out)
    };
    consensus.handle(NodeId(1), again(&held)).await.unwrap();
    assert_eq!(log.forks(), 0, "the same entry");
    consensus.handle(NodeId(1), again(&other)).await.unwrap();
    assert_eq!(log.forks(), 1);
    consensus.stop().await;
    flusher.abort();
}
