//! What a replicated log keeps: the leader has it give up its beginning, and every node lets go of what was given up.

use std::sync::Arc;
use std::time::Duration;

use redex::{ReadError, ReplicaLog, Retention};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::raft::{Consensus, ConsensusError};
use crate::sequencer::Sequencer;

/// How long after a look the next one is at the earliest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a look came to nothing; the next one may come to something.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
}

/// Looks after one group on one node, from when it is said what the log keeps until the group stops.
pub(crate) async fn follow(
    log: ReplicaLog,
    consensus: Consensus,
    sequencer: Arc<Sequencer>,
    mut said: watch::Receiver<Option<Retention>>,
) {
    let mut standing = consensus.watch();
    let (mut looked_at, mut again_at) = (None, None);
    loop {
        let Some(retention) = said.borrow_and_update().clone() else {
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                changed = said.changed() => if changed.is_err() { return },
            }
            // Else what changed of the standing would change again and again.
            let _ = standing.standing();
            continue;
        };
        // What a leader decides on depends on segments and time alone.
        let seen = (standing.leadership(), log.newest_segment());
        let is_time = looked_at != Some(seen) || again_at.is_some_and(|at| at <= Instant::now());
        let looked = async {
            if let Some(upto) = log.given_up()? {
                consensus.purge(upto).await?;
            }
            if seen.0.is_some() && !retention.is_unlimited() && is_time {
                let due = log.due_trim(&retention)?;
                again_at = due.again_in.map(|left| Instant::now() + left.max(LOOK_AGAIN));
                // Until consensus lets this node put the log in order, there is nothing to wait for but the next look.
                if due.trim.is_none_or(|trim| sequencer.trim(&trim)) {
                    looked_at = Some(seen);
                }
            }
            Ok::<_, LookError>(())
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "retention could not look at the log");
        }
        let position = log.reader().visible();
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return },
            changed = said.changed() => {
                if changed.is_err() {
                    return;
                }
                (looked_at, again_at) = (None, None);
            }
            () = until(again_at) => {}
            () = async {
                tokio::time::sleep(LOOK_AGAIN).await;
                log.reader().beyond(position).await;
            } => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
