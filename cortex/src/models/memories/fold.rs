//! What events do to memories.

use std::sync::Arc;

use base::ChannelName;
use redex::EventRef;

use super::events::{CHANNEL, DELETED, PINNED, Payload, RETAGGED, STORED, UNPINNED};
use super::{MemoriesState, Memory};
use crate::models::Guard;
use crate::table::Change;
use crate::{Applied, Changes, Fold, FoldError};

/// Folds the channel `cortex/memories`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoriesFold;

impl Fold for MemoriesFold {
    type State = MemoriesState;
    type Change = Change<Memory>;

    fn name(&self) -> &str {
        "memories"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![CHANNEL.clone()]
    }

    fn apply(
        &self,
        state: &mut MemoriesState,
        event: &EventRef<'_>,
        changes: &mut Changes<'_, Change<Memory>>,
    ) -> Result<Applied, FoldError> {
        if !matches!(event.kind, STORED | RETAGGED | PINNED | UNPINNED | DELETED) {
            return Ok(Applied::Ignored);
        }
        let payload: Payload<'_> = serde_json::from_slice(event.payload).map_err(FoldError::new)?;
        let known = state.get(payload.id);
        if let Some(refused) = Guard::refuses(payload.guard, known.map(|memory| memory.version)) {
            return Ok(refused);
        }
        let updated = event.time.unwrap_or(event.recorded_at);
        let version = event.seq;
        let tags = || -> Result<Vec<Arc<str>>, FoldError> {
            let tags = payload.tags.as_ref().ok_or_else(|| FoldError::new("no tags"))?;
            Ok(tags.iter().map(|tag| state.shared_tag(tag)).collect())
        };
        let after = match (event.kind, known.map(|memory| &**memory)) {
            (STORED, known) => Memory {
                id: payload.id,
                content: payload.content.as_deref().ok_or_else(|| FoldError::new("no content"))?.into(),
                tags: tags()?,
                source: state.shared_source(payload.source.as_deref().unwrap_or_default()),
                created: known.map_or(updated, |known| known.created),
                updated,
                pinned: known.is_some_and(|known| known.pinned),
                version,
            },
            (_, None) => return Ok(Applied::NotFound),
            (RETAGGED, Some(known)) => match tags()? {
                tags if tags == known.tags => return Ok(Applied::Unchanged),
                tags => Memory { tags, updated, version, ..known.clone() },
            },
            (PINNED | UNPINNED, Some(known)) => {
                let pinned = event.kind == PINNED;
                if known.pinned == pinned {
                    return Ok(Applied::Unchanged);
                }
                Memory { pinned, updated, version, ..known.clone() }
            }
            _ => {
                if let Some(change) = state.remove(payload.id) {
                    changes.note(|| change);
                }
                return Ok(Applied::Changed);
            }
        };
        let change = state.put(after);
        changes.note(|| change);
        Ok(Applied::Changed)
    }
}
