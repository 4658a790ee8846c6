//! Who asks.

/// Who runs a statement.
///
/// Every door names one. Today there is one kind, the [owner](Self::owner) of the data directory, who may
/// read everything; rights of others are attached here when there are others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    name: String,
}

impl Principal {
    /// The owner of the data directory: whoever could read its files anyway.
    pub fn owner() -> Self {
        Self { name: "owner".to_owned() }
    }

    /// Returns the name that stands in traces.
    pub fn name(&self) -> &str {
        &self.name
    }
}
