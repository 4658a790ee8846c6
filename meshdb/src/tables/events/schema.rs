//! The columns of an event.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::tables::{optional, required, timestamp};

/// A column, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Column {
    /// Name of the log.
    Log,
    /// Name of the channel.
    Channel,
    /// Number of the event in its channel, from 0.
    Seq,
    /// Index of the entry in its log, from 0.
    Position,
    /// Place of the event in its entry, from 0, across channels.
    Ordinal,
    /// Who signs the log: 64 hexadecimal digits.
    Origin,
    /// The stretch of the log that one sequencer put in order: 32 hexadecimal digits.
    Incarnation,
    /// The caller's time of the event, if it gave one. Orders nothing.
    Time,
    /// When the sequencer recorded the entry. Never decreases in a log.
    RecordedAt,
    /// Type name, such as `order.placed`.
    Kind,
    /// The caller's key, if it gave one.
    Key,
    /// Header names with their bytes.
    Headers,
    /// The payload if it is UTF-8, else null. What `->>` works on.
    Payload,
    /// The payload's bytes.
    PayloadBytes,
}

impl Column {
    pub(crate) const ALL: [Self; 14] = [
        Self::Log,
        Self::Channel,
        Self::Seq,
        Self::Position,
        Self::Ordinal,
        Self::Origin,
        Self::Incarnation,
        Self::Time,
        Self::RecordedAt,
        Self::Kind,
        Self::Key,
        Self::Headers,
        Self::Payload,
        Self::PayloadBytes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Channel => "channel",
            Self::Seq => "seq",
            Self::Position => "position",
            Self::Ordinal => "ordinal",
            Self::Origin => "origin",
            Self::Incarnation => "incarnation",
            Self::Time => "time",
            Self::RecordedAt => "recorded_at",
            Self::Kind => "kind",
            Self::Key => "key",
            Self::Headers => "headers",
            Self::Payload => "payload",
            Self::PayloadBytes => "payload_bytes",
        }
    }

    /// Finds a column by its exact name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    fn field(self) -> Field {
        let name = self.name();
        match self {
            Self::Log | Self::Channel | Self::Origin | Self::Incarnation => {
                required(name, DataType::Utf8View)
            }
            Self::Kind | Self::Key | Self::Payload => optional(name, DataType::Utf8View),
            Self::Seq | Self::Position => required(name, DataType::UInt64),
            Self::Ordinal => required(name, DataType::UInt32),
            Self::Time => optional(name, timestamp()),
            Self::RecordedAt => required(name, timestamp()),
            Self::Headers => required(name, headers_type()),
            Self::PayloadBytes => optional(name, DataType::BinaryView),
        }
    }
}

/// The columns of `events` and of each channel.
pub(crate) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> =
        LazyLock::new(|| Arc::new(Schema::new(Column::ALL.map(Column::field).to_vec())));
    Arc::clone(&SCHEMA)
}

/// A map from names to bytes, in the order of the event's headers.
fn headers_type() -> DataType {
    DataType::Map(Arc::new(required("entries", DataType::Struct(header_fields()))), false)
}

/// The fields of one header: `key` and `value`.
pub(super) fn header_fields() -> Fields {
    Fields::from(vec![required("key", DataType::Utf8), required("value", DataType::Binary)])
}
