//! From events to batches.

use std::sync::Arc;

use base::IncarnationId;
use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, BinaryViewBuilder, MapBuilder, MapFieldNames, RecordBatch, RecordBatchOptions,
    StringBuilder, StringViewBuilder, TimestampNanosecondBuilder, UInt32Builder, UInt64Builder,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use redex::EventRef;

use super::schema::{Column, header_fields};
use crate::cut::PinnedLog;
use crate::limits::{BATCH_BYTES, BATCH_ROWS, VIEW_BLOCK_BYTES};
use crate::tables::UTC;

/// Collects events into batches of the chosen columns.
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<Builder>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    /// Begins an empty batch with `columns`, whose fields are those of `schema`.
    pub(super) fn new(columns: &[Column], schema: SchemaRef) -> Self {
        let columns = columns.iter().map(|column| Builder::new(*column)).collect();
        Self { schema, columns, rows: 0, bytes: 0 }
    }

    /// Adds a row.
    pub(super) fn append(&mut self, log: &PinnedLog, event: &EventRef<'_>) -> Result<(), ArrowError> {
        for column in &mut self.columns {
            self.bytes += column.append(log, event)?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Tells whether the batch should be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Takes what was collected; `None` when there are no rows.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(Builder::finish).collect::<Result<_, _>>()?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map(Some)
    }
}

/// The column under construction.
enum Builder {
    Log(Repeated),
    Channel(Repeated),
    Seq(UInt64Builder),
    Position(UInt64Builder),
    Ordinal(UInt32Builder),
    Origin(Repeated),
    Incarnation(Repeated, Option<(IncarnationId, String)>),
    Time(TimestampNanosecondBuilder),
    RecordedAt(TimestampNanosecondBuilder),
    Kind(Repeated),
    Key(StringViewBuilder),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    Payload(StringViewBuilder),
    PayloadBytes(BinaryViewBuilder),
}

impl Builder {
    fn new(column: Column) -> Self {
        let numbers = || UInt64Builder::with_capacity(BATCH_ROWS);
        let times = || TimestampNanosecondBuilder::with_capacity(BATCH_ROWS).with_timezone(UTC);
        match column {
            Column::Log => Self::Log(Repeated::default()),
            Column::Channel => Self::Channel(Repeated::default()),
            Column::Seq => Self::Seq(numbers()),
            Column::Position => Self::Position(numbers()),
            Column::Ordinal => Self::Ordinal(UInt32Builder::with_capacity(BATCH_ROWS)),
            Column::Origin => Self::Origin(Repeated::default()),
            Column::Incarnation => Self::Incarnation(Repeated::default(), None),
            Column::Time => Self::Time(times()),
            Column::RecordedAt => Self::RecordedAt(times()),
            Column::Kind => Self::Kind(Repeated::default()),
            Column::Key => Self::Key(text_views()),
            Column::Headers => Self::Headers(Box::new(headers())),
            Column::Payload => Self::Payload(text_views()),
            Column::PayloadBytes => {
                Self::PayloadBytes(BinaryViewBuilder::new().with_fixed_block_size(VIEW_BLOCK_BYTES))
            }
        }
    }

    /// Adds the column's value of a row; returns the bytes that it takes beyond its slot.
    fn append(&mut self, log: &PinnedLog, event: &EventRef<'_>) -> Result<usize, ArrowError> {
        match self {
            Self::Log(texts) => texts.append(&log.name)?,
            Self::Channel(texts) => texts.append(event.channel.as_str())?,
            Self::Seq(numbers) => numbers.append_value(event.seq.0),
            Self::Position(numbers) => numbers.append_value(event.index.0),
            Self::Ordinal(numbers) => numbers.append_value(event.ordinal),
            Self::Origin(texts) => texts.append(&log.origin)?,
            Self::Incarnation(texts, last) => match last {
                Some((id, hex)) if *id == event.incarnation => texts.append(hex)?,
                _ => {
                    let (_, hex) = last.insert((event.incarnation, event.incarnation.to_string()));
                    texts.append(hex)?;
                }
            },
            Self::Time(times) => times.append_option(event.time.map(base::Timestamp::as_nanos)),
            Self::RecordedAt(times) => times.append_value(event.recorded_at.as_nanos()),
            Self::Kind(texts) if event.redacted => texts.append_null()?,
            Self::Kind(texts) => texts.append(event.kind)?,
            Self::Key(texts) => {
                texts.append_option(event.key);
                return Ok(event.key.map_or(0, str::len));
            }
            Self::Headers(map) => return append_headers(map, event),
            Self::Payload(texts) => {
                let text = std::str::from_utf8(event.payload).ok();
                texts.append_option(text.filter(|_| !event.redacted));
                return Ok(event.payload.len());
            }
            Self::PayloadBytes(bytes) => {
                bytes.append_option(Some(event.payload).filter(|_| !event.redacted));
                return Ok(event.payload.len());
            }
        }
        Ok(0)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Log(texts) | Self::Channel(texts) | Self::Origin(texts) => texts.finish()?,
            Self::Incarnation(texts, _) | Self::Kind(texts) => texts.finish()?,
            Self::Seq(numbers) | Self::Position(numbers) => Arc::new(numbers.finish()),
            Self::Ordinal(numbers) => Arc::new(numbers.finish()),
            Self::Time(times) | Self::RecordedAt(times) => Arc::new(times.finish()),
            Self::Key(texts) | Self::Payload(texts) => Arc::new(texts.finish()),
            Self::Headers(map) => Arc::new(map.finish()),
            Self::PayloadBytes(bytes) => Arc::new(bytes.finish()),
        })
    }
}

/// A text column whose neighbours are mostly equal: a run of equal texts is stored once.
#[derive(Default)]
struct Repeated {
    texts: StringViewBuilder,
    last: String,
    run: usize,
}

impl Repeated {
    fn append(&mut self, text: &str) -> Result<(), ArrowError> {
        if self.last != text {
            self.end_run()?;
            self.last.clear();
            self.last.push_str(text);
        }
        self.run += 1;
        Ok(())
    }

    fn append_null(&mut self) -> Result<(), ArrowError> {
        self.end_run()?;
        self.texts.append_null();
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), ArrowError> {
        self.texts.try_append_value_n(&self.last, std::mem::take(&mut self.run))
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.end_run()?;
        Ok(Arc::new(self.texts.finish()))
    }
}

fn text_views() -> StringViewBuilder {
    StringViewBuilder::with_capacity(BATCH_ROWS).with_fixed_block_size(VIEW_BLOCK_BYTES)
}

fn headers() -> MapBuilder<StringBuilder, BinaryBuilder> {
    let fields = header_fields();
    let names = MapFieldNames {
        entry: "entries".to_owned(),
        key: fields[0].name().clone(),
        value: fields[1].name().clone(),
    };
    MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new())
        .with_keys_field(Arc::clone(&fields[0]))
        .with_values_field(Arc::clone(&fields[1]))
}

fn append_headers(
    map: &mut MapBuilder<StringBuilder, BinaryBuilder>,
    event: &EventRef<'_>,
) -> Result<usize, ArrowError> {
    let mut bytes = 0;
    for (name, value) in event.headers.iter() {
        map.keys().append_value(name);
        map.values().append_value(value);
        bytes += name.len() + value.len();
    }
    map.append(true)?;
    Ok(bytes)
}
