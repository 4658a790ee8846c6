//! Snapshots: a manifest names log state by its hash; whoever needs the state gets it piece by piece, and goes on where it was
//! interrupted. The entries behind it are got like all others, since the log is the data.
//!
//! ```text
//! manifest: u64 term, u64 node, u64 index of the last entry that it stands for; u8 1 and that of what consensus wrote last,
//!           u32+bytes, or u8 0; u64 bytes of state, [32] BLAKE3 of them
//! question for a manifest: nothing. Answer: u8 1 and a manifest, or u8 0
//! question for state:      [32] BLAKE3, u64 offset. Answer: bytes from there on; none where the state is not there any more
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::wire::{Cursor, Malformed, Put};
use base::{LogId, NodeId, Slot};
use bytes::Bytes;
use redex::{ReadError, ReplicaLog, ReplicaSnapshot};

use crate::link::{Link, LinkError};
use crate::message::{self, Subject, put_slot, take_flag, take_slot};

/// Bytes of state that are sent at once.
const PIECE_BYTES: usize = 1 << 20;
/// How long a piece may take.
const PIECE_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of state that are taken at most.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// What names a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The last entry that it stands for.
    pub slot: Slot,
    /// What consensus wrote last up to there.
    pub consensus: Option<(Slot, Bytes)>,
    /// The length and the hash of the state.
    pub bytes: u64,
    pub hash: [u8; 32],
}

impl Manifest {
    fn of(snapshot: &ReplicaSnapshot) -> Self {
        Self {
            slot: snapshot.slot,
            consensus: snapshot.consensus.clone(),
            bytes: snapshot.state.len() as u64,
            hash: *blake3::hash(&snapshot.state).as_bytes(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_slot(out, self.slot);
        out.put_u8(u8::from(self.consensus.is_some()));
        if let Some((slot, written)) = &self.consensus {
            put_slot(out, *slot);
            out.put_length(written.len());
            out.put(written);
        }
        out.put_u64(self.bytes);
        out.put(&self.hash);
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let slot = take_slot(cursor)?;
        let consensus = match take_flag(cursor)? {
            true => {
                let slot = take_slot(cursor)?;
                let length = cursor.length("length")?;
                Some((slot, Bytes::copy_from_slice(cursor.take(length, "length")?)))
            }
            false => None,
        };
        let bytes = cursor.u64("length")?;
        if bytes > STATE_BYTES_MAX {
            return Err(Malformed::new("length"));
        }
        Ok(Self { slot, consensus, bytes, hash: cursor.array("hash")? })
    }
}

/// The snapshot that was made last on this node, for who gets its state. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    log: ReplicaLog,
    made: Arc<Mutex<Option<(Manifest, Bytes)>>>,
}

impl Snapshots {
    pub(crate) fn new(log: ReplicaLog) -> Self {
        Self { log, made: Arc::default() }
    }

    fn made(&self) -> MutexGuard<'_, Option<(Manifest, Bytes)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a snapshot of where the replica begins; `None` where it begins with the log.
    pub(crate) fn make(&self) -> Result<Option<Manifest>, ReadError> {
        let Some(snapshot) = self.log.snapshot()? else { return Ok(None) };
        let manifest = Manifest::of(&snapshot);
        *self.made() = Some((manifest.clone(), snapshot.state));
        Ok(Some(manifest))
    }

    /// Answers a question for a manifest.
    pub(crate) fn answer_manifest(&self) -> Result<Bytes, String> {
        let made = self.make().map_err(|error| error.to_string())?;
        let mut out = vec![u8::from(made.is_some())];
        if let Some(manifest) = made {
            manifest.encode(&mut out);
        }
        Ok(out.into())
    }

    /// Answers a question for state.
    pub(crate) fn answer_state(&self, body: &Bytes) -> Result<Bytes, String> {
        let wrong = |malformed: Malformed| format!("a message with a wrong {malformed}");
        let mut cursor = Cursor::new(body);
        let hash: [u8; 32] = cursor.array("hash").map_err(wrong)?;
        let offset = cursor.u64("offset").map_err(wrong)?;
        cursor.finish("length").map_err(wrong)?;
        let made = self.made();
        let state = made.as_ref().filter(|(manifest, _)| manifest.hash == hash).map(|(_, state)| state);
        Ok(state.map_or_else(Bytes::new, |state| {
            let begin = usize::try_from(offset).map_or(state.len(), |offset| offset.min(state.len()));
            state.slice(begin..state.len().min(begin.saturating_add(PIECE_BYTES)))
        }))
    }
}

/// Why state was not got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The node gave up more meanwhile, and has another snapshot.
    #[error("node {node} does not have that snapshot any more")]
    Gone { node: NodeId },
    #[error("node {node} sent a wrong {what}")]
    Wrong { node: NodeId, what: &'static str },
}

/// State that is on its way here; it stays over failures, so that the next try goes on with it.
#[derive(Debug, Default)]
pub(crate) struct Arriving {
    hash: [u8; 32],
    bytes: Vec<u8>,
}

impl Arriving {
    /// Gets what is missing of a state.
    pub(crate) async fn fetch(
        &mut self,
        link: &Arc<dyn Link>,
        log: LogId,
        node: NodeId,
        manifest: &Manifest,
    ) -> Result<Bytes, FetchError> {
        if self.hash != manifest.hash {
            *self = Self { hash: manifest.hash, bytes: Vec::new() };
        }
        while (self.bytes.len() as u64) < manifest.bytes {
            let mut body = message::begin(Subject::State, log);
            body.put(&manifest.hash);
            body.put_u64(self.bytes.len() as u64);
            let piece = link.request(node, body.into(), PIECE_WITHIN).await?;
            if piece.is_empty() {
                return Err(FetchError::Gone { node });
            }
            self.bytes.extend_from_slice(&piece);
        }
        let bytes = std::mem::take(self).bytes;
        if bytes.len() as u64 != manifest.bytes || *blake3::hash(&bytes).as_bytes() != manifest.hash {
            return Err(FetchError::Wrong { node, what: "state" });
        }
        Ok(bytes.into())
    }
}

/// Asks a node for the manifest of its snapshot.
pub(crate) async fn ask_manifest(
    link: &Arc<dyn Link>,
    log: LogId,
    node: NodeId,
) -> Result<Option<Manifest>, FetchError> {
    let answer = link.request(node, message::begin(Subject::Manifest, log).into(), PIECE_WITHIN).await?;
    let mut cursor = Cursor::new(&answer);
    let decoded = take_flag(&mut cursor).and_then(|is_there| {
        let manifest = is_there.then(|| Manifest::decode(&mut cursor)).transpose()?;
        cursor.finish("length")?;
        Ok(manifest)
    });
    decoded.map_err(|_| FetchError::Wrong { node, what: "manifest" })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use base::{Index, Term};

    use super::*;
    use crate::link::Answer;

    /// A node that has a state, and fails each time that it was asked for so many pieces.
    #[derive(Debug)]
    struct Far {
        state: Bytes,
        fails_each: u64,
        asked: AtomicU64,
    }

    impl Link for Far {
        fn request(&self, to: NodeId, body: Bytes, _: Duration) -> Answer {
            let (subject, _, body) = message::open(&body).unwrap();
            assert_eq!(subject, Subject::State);
            let offset = usize::try_from(Cursor::new(&body[32..]).u64("offset").unwrap()).unwrap();
            let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let lost = asked.is_multiple_of(self.fails_each);
            let end = self.state.len().min(offset + PIECE_BYTES);
            let piece = self.state.slice(offset.min(end)..end);
            Box::pin(async move {
                match lost {
                    true => Err(LinkError::Lost { node: to, cause: "a test".to_owned() }),
                    false => Ok(piece),
                }
            })
        }
    }

    fn manifest(state: &[u8]) -> Manifest {
        let slot = Slot { term: Term(1), node: NodeId(1), index: Index(7) };
        let hash = *blake3::hash(state).as_bytes();
        Manifest { slot, consensus: None, bytes: state.len() as u64, hash }
    }

    async fn fetch(
        arriving: &mut Arriving,
        link: &Arc<Far>,
        manifest: &Manifest,
    ) -> Result<Bytes, FetchError> {
        let link: Arc<dyn Link> = Arc::<Far>::clone(link);
        arriving.fetch(&link, LogId::from_bytes([3; 16]), NodeId(2), manifest).await
    }

    fn far(state: &[u8], fails_each: u64) -> Arc<Far> {
        Arc::new(Far { state: Bytes::copy_from_slice(state), fails_each, asked: AtomicU64::new(0) })
    }

    #[tokio::test]
    async fn what_is_on_its_way_goes_on_where_it_was_interrupted() {
        let state: Vec<u8> = (0..5 * PIECE_BYTES as u64 + 77).map(|at| (at % 251) as u8).collect();
        let (link, manifest) = (far(&state, 3), manifest(&state));
        let mut arriving = Arriving::default();
        let mut tries = 0;
        let got = loop {
            tries += 1;
            match fetch(&mut arriving, &link, &manifest).await {
                Ok(got) => break got,
                Err(error) => assert!(matches!(error, FetchError::Link(_)), "{error}"),
            }
        };
        assert_eq!(got, state);
        assert_eq!(
            (tries, link.asked.load(Ordering::SeqCst)),
            (3, 8),
            "no piece was asked for twice, but for two that failed"
        );
    }

    #[tokio::test]
    async fn a_state_that_is_gone_or_another_one_is_refused_and_begun_anew() {
        let state = vec![5; PIECE_BYTES + 10];
        let mut arriving = Arriving::default();
        let gone = fetch(&mut arriving, &far(&[], 1_000), &manifest(&state)).await;
        assert_eq!(gone, Err(FetchError::Gone { node: NodeId(2) }));
        let mut other = state.clone();
        other[PIECE_BYTES] ^= 1;
        for wrong in [&other[..], &[&state[..], &[5]].concat()] {
            let refused = fetch(&mut arriving, &far(wrong, 1_000), &manifest(&state)).await;
            assert_eq!(refused, Err(FetchError::Wrong { node: NodeId(2), what: "state" }));
        }
        assert_eq!(fetch(&mut arriving, &far(&state, 1_000), &manifest(&state)).await.unwrap(), state);
        // Of another snapshot nothing is kept.
        let second = vec![6; 99];
        arriving.bytes = vec![1; 10];
        assert_eq!(fetch(&mut arriving, &far(&second, 1_000), &manifest(&second)).await.unwrap(), second);
    }

    #[test]
    fn a_manifest_of_too_much_state_is_refused() {
        let mut out = Vec::new();
        Manifest { bytes: STATE_BYTES_MAX + 1, ..manifest(&[]) }.encode(&mut out);
        assert!(Manifest::decode(&mut Cursor::new(&out)).is_err());
    }
}
