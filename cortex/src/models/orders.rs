//! The orders that both models have.

use crate::query::Order;

/// The order by time of creation.
pub const CREATED: usize = 0;
/// The order by time of the last change.
pub const UPDATED: usize = 1;

/// In which order records come; equal times are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SortBy {
    /// The least id first.
    #[default]
    IdAsc,
    /// The greatest id first.
    IdDesc,
    /// The oldest first.
    CreatedAsc,
    /// The newest first.
    CreatedDesc,
    /// The least recently changed first.
    UpdatedAsc,
    /// The most recently changed first.
    UpdatedDesc,
}

impl SortBy {
    const ALL: [(Self, &'static str); 6] = [
        (Self::IdAsc, "id"),
        (Self::IdDesc, "id-desc"),
        (Self::CreatedAsc, "created"),
        (Self::CreatedDesc, "created-desc"),
        (Self::UpdatedAsc, "updated"),
        (Self::UpdatedDesc, "updated-desc"),
    ];
}

impl From<SortBy> for Order {
    fn from(sort: SortBy) -> Self {
        let (by, descending) = match sort {
            SortBy::IdAsc => (None, false),
            SortBy::IdDesc => (None, true),
            SortBy::CreatedAsc => (Some(CREATED), false),
            SortBy::CreatedDesc => (Some(CREATED), true),
            SortBy::UpdatedAsc => (Some(UPDATED), false),
            SortBy::UpdatedDesc => (Some(UPDATED), true),
        };
        Self { by, descending }
    }
}

impl std::str::FromStr for SortBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(sort, _)| *sort).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            format!("`{text}` is no order: give {}", names.join(", "))
        })
    }
}
