//! The tables `blobs`, `pins` and `system.chunks`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use base::{Hash, Position};
use blob::{BlobError, BlobForm, BlobInfo, ObjectInfo, ObjectPlace, Pin, Pins};
use cortex::{Column, PinnedTable, Row, RowSink, RowsRequest, TextList, Value, ValueType};
use meshdb::{BesideError, BesideSchema, BesideTable};

use crate::Error;

/// Pins that are read at a time.
const PAGE: usize = 1_024;

/// Opens blobs with names and pins, as long as a statement reads them; `None` where there are none yet.
pub(crate) type OpenBlobs = Arc<dyn Fn() -> Result<Option<Pins>, Error> + Send + Sync>;

/// Returns the tables of blobs: `blobs`, `pins` and `system.chunks`. `open` is asked by each statement that names one.
pub fn blob_tables(
    open: impl Fn() -> Result<Option<Pins>, Error> + Send + Sync + 'static,
) -> Vec<Arc<dyn BesideTable>> {
    let open: OpenBlobs = Arc::new(open);
    let table = |kind| Arc::new(BlobTable { kind, open: Arc::clone(&open) }) as Arc<dyn BesideTable>;
    [Kind::Blobs, Kind::Pins, Kind::Chunks].map(table).to_vec()
}

struct BlobTable {
    kind: Kind,
    open: OpenBlobs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blobs,
    Pins,
    Chunks,
}

const HASH: usize = 0;

const BLOBS: [Column; 8] = [
    Column::new("hash", ValueType::Text, "the blob's name").key(),
    Column::new("bytes", ValueType::U64, "its length").or_null(),
    Column::new("form", ValueType::Text, "small, manifest, tree or directory").or_null(),
    Column::new("chunks", ValueType::U64, "parts of a manifest, names of a directory").or_null(),
    Column::new("put_at", ValueType::Time, "when it was put first").or_null(),
    Column::new("pin", ValueType::Text, "direct or recursive, where it is pinned itself").or_null(),
    Column::new("names", ValueType::Texts, "the names that stand for it"),
    Column::new("fault", ValueType::Text, "why nothing is known of it").or_null(),
];

const PINS: [Column; 4] = [
    Column::new("hash", ValueType::Text, "the blob").key(),
    Column::new("mode", ValueType::Text, "direct or recursive"),
    Column::new("label", ValueType::Text, "what somebody wrote on the pin").or_null(),
    Column::new("pinned_at", ValueType::Time, "since when"),
];

const CHUNKS: [Column; 9] = [
    Column::new("hash", ValueType::Text, "the object's name").key(),
    Column::new("kind", ValueType::Text, "chunk, list or directory").or_null(),
    Column::new("bytes", ValueType::U64, "its length").or_null(),
    Column::new("place", ValueType::Text, "packed, loose or away").or_null(),
    Column::new("file", ValueType::Text, "the file that it stands in, where it is here").or_null(),
    Column::new("file_offset", ValueType::U64, "where it begins there").or_null(),
    Column::new("put_at", ValueType::Time, "when it was put first").or_null(),
    Column::new("is_blob", ValueType::Bool, "whether it was put as a blob, not only as a part of one"),
    Column::new("fault", ValueType::Text, "why nothing is known of it").or_null(),
];

impl BesideTable for BlobTable {
    fn schema(&self) -> BesideSchema {
        match self.kind {
            Kind::Blobs | Kind::Pins => BesideSchema::Public,
            Kind::Chunks => BesideSchema::System,
        }
    }

    fn table(&self) -> &str {
        match self.kind {
            Kind::Blobs => "blobs",
            Kind::Pins => "pins",
            Kind::Chunks => "chunks",
        }
    }

    fn columns(&self) -> &[Column] {
        match self.kind {
            Kind::Blobs => &BLOBS,
            Kind::Pins => &PINS,
            Kind::Chunks => &CHUNKS,
        }
    }

    fn open(&self) -> Result<Arc<dyn PinnedTable>, BesideError> {
        let failed = |error: Error| BesideError { kind: error.kind(), reason: error.to_string() };
        let Some(pins) = (self.open)().map_err(failed)? else { return Ok(Arc::new(Nothing)) };
        Ok(match self.kind {
            Kind::Pins => Arc::new(PinRows { pins }),
            Kind::Blobs => {
                let (hashes, names) = (pins.store().list(), OnceLock::new());
                Arc::new(BlobRows { pins, hashes, names })
            }
            Kind::Chunks => {
                let hashes = pins.store().objects().list().map_err(|error| failed(error.into()))?;
                Arc::new(ChunkRows { pins, hashes })
            }
        })
    }
}

/// The rows of a directory that has no blobs.
struct Nothing;

impl PinnedTable for Nothing {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count(&self) -> usize {
        0
    }

    fn rows(&self, _: &RowsRequest, _: &mut RowSink<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Returns those of `all` that are asked for. Both are in order.
fn asked_for(all: &[Hash], request: &RowsRequest) -> Vec<Hash> {
    match request.texts(HASH) {
        None => all.to_vec(),
        Some(texts) => texts.filter_map(parse).filter(|hash| all.binary_search(hash).is_ok()).collect(),
    }
}

/// Reads a hash as it is written in a table; other ways to write it stand for no row.
fn parse(text: &str) -> Option<Hash> {
    Hash::from_hex(text).filter(|hash| hash.to_string() == text)
}

struct PinRows {
    pins: Pins,
}

impl PinnedTable for PinRows {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count(&self) -> usize {
        self.pins.len()
    }

    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        if let Some(texts) = request.texts(HASH) {
            for hash in texts.filter_map(parse) {
                if let Some(pin) = self.pins.get(&hash) {
                    sink(&PinRow(hash, pin))?;
                }
            }
            return ControlFlow::Continue(());
        }
        let mut after = None;
        loop {
            let page = self.pins.list(after.as_ref(), PAGE);
            let Some((last, _)) = page.last() else { return ControlFlow::Continue(()) };
            after = Some(*last);
            for (hash, pin) in page {
                sink(&PinRow(hash, pin))?;
            }
        }
    }
}

struct PinRow(Hash, Pin);

impl Row for PinRow {
    fn value(&self, column: usize) -> Value<'_> {
        let Self(hash, pin) = self;
        match column {
            HASH => hash.to_string().into(),
            1 => pin.mode.as_str().into(),
            2 => pin.label.as_deref().into(),
            _ => pin.pinned_at.into(),
        }
    }
}

struct BlobRows {
    pins: Pins,
    hashes: Vec<Hash>,
    /// The names that stand for each blob, once a row asks.
    names: OnceLock<BTreeMap<Hash, Vec<String>>>,
}

impl BlobRows {
    fn names(&self, hash: &Hash) -> &dyn TextList {
        static NONE: Vec<String> = Vec::new();
        let names = self.names.get_or_init(|| {
            let mut names: BTreeMap<Hash, Vec<String>> = BTreeMap::new();
            let mut after: Option<String> = None;
            loop {
                let page = self.pins.names("", after.as_deref(), PAGE);
                let Some((last, _)) = page.last() else { return names };
                after = Some(last.clone());
                page.into_iter().for_each(|(name, named)| names.entry(named.hash).or_default().push(name));
            }
        });
        names.get(hash).unwrap_or(&NONE)
    }
}

impl PinnedTable for BlobRows {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count(&self) -> usize {
        self.hashes.len()
    }

    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        asked_for(&self.hashes, request)
            .into_iter()
            .try_for_each(|hash| sink(&BlobRow { table: self, hash, info: OnceCell::new() }))
    }
}

struct BlobRow<'a> {
    table: &'a BlobRows,
    hash: Hash,
    /// Read when a column wants it.
    info: OnceCell<Result<BlobInfo, BlobError>>,
}

impl Row for BlobRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        let info = || self.info.get_or_init(|| self.table.pins.store().stat(&self.hash));
        match column {
            HASH => self.hash.to_string().into(),
            1 => info().as_ref().ok().map(|info| info.bytes).into(),
            2 => info().as_ref().ok().map(|info| info.form.as_str()).into(),
            3 => info().as_ref().ok().and_then(|info| parts(info.form)).into(),
            4 => info().as_ref().ok().map(|info| info.put_at).into(),
            5 => self.table.pins.get(&self.hash).map(|pin| pin.mode.as_str()).into(),
            6 => Value::Texts(self.table.names(&self.hash)),
            _ => info().as_ref().err().map(ToString::to_string).into(),
        }
    }
}

/// Returns of how many parts a blob is, where that stands in what is read of it.
fn parts(form: BlobForm) -> Option<u64> {
    match form {
        BlobForm::Small => Some(1),
        BlobForm::Manifest { chunks, .. } => Some(chunks.into()),
        BlobForm::Directory { entries } => Some(entries.into()),
        BlobForm::Tree { .. } => None,
    }
}

struct ChunkRows {
    pins: Pins,
    hashes: Vec<Hash>,
}

impl PinnedTable for ChunkRows {
    fn position(&self) -> Option<Position> {
        None
    }

    fn count(&self) -> usize {
        self.hashes.len()
    }

    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        asked_for(&self.hashes, request)
            .into_iter()
            .try_for_each(|hash| sink(&ChunkRow { pins: &self.pins, hash, info: OnceCell::new() }))
    }
}

struct ChunkRow<'a> {
    pins: &'a Pins,
    hash: Hash,
    /// Read when a column wants it.
    info: OnceCell<Result<ObjectInfo, BlobError>>,
}

impl ChunkRow<'_> {
    fn info(&self) -> &Result<ObjectInfo, BlobError> {
        self.info.get_or_init(|| {
            let info = self.pins.store().objects().info(&self.hash)?;
            info.ok_or(BlobError::NotFound { hash: self.hash })
        })
    }

    /// Returns where it stands, where it is here.
    fn whereabouts(&self) -> Option<(std::path::PathBuf, u64)> {
        let here = self.info().as_ref().is_ok_and(|info| info.place != ObjectPlace::Away);
        here.then(|| self.pins.store().objects().whereabouts(&self.hash))
    }
}

impl Row for ChunkRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        let info = || self.info().as_ref().ok();
        match column {
            HASH => self.hash.to_string().into(),
            1 => info().map(|info| info.kind.as_str()).into(),
            2 => info().map(|info| info.bytes).into(),
            3 => info().map(|info| info.place.as_str()).into(),
            4 => self.whereabouts().map(|(file, _)| file.display().to_string()).into(),
            5 => self.whereabouts().map(|(_, offset)| offset).into(),
            6 => info().map(|info| info.put_at).into(),
            7 => self.pins.store().objects().is_blob(&self.hash).into(),
            _ => self.info().as_ref().err().map(ToString::to_string).into(),
        }
    }
}
