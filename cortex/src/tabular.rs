//! Models as tables: how a fold describes its state to whoever reads it row by row, SQL above all.

use std::ops::ControlFlow;
use std::sync::Arc;

use base::Position;

use crate::host::SharedHost;
use crate::{Fold, FoldStopped, Folded, Snapshot};

mod column;
mod request;
mod value;

pub use column::{Access, Column};
pub use request::{Literal, RowsRequest};
pub use value::{TextList, Value, ValueType};

/// A fold whose state has rows.
///
/// # Contract
///
/// All methods are functions of the fold and the state that they are given: the same ones give the same answer,
/// rows in the same order included.
pub trait Tabular: Fold {
    /// Returns the table's name: lower-case letters, digits and `_`, no digit first. Default: the model's name.
    fn table(&self) -> &str {
        self.name()
    }

    /// Returns the columns, in the order of the table.
    fn columns(&self) -> &[Column];

    /// Returns exactly how many rows there are.
    fn count(&self, state: &Self::State) -> usize;

    /// Gives rows to `sink` until there are no more, or it breaks.
    ///
    /// Every row that `request` asks for is given, once. Others may be given, too: whoever asks looks again.
    fn rows(&self, state: &Self::State, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()>;
}

/// Takes rows, and breaks when it wants no more.
pub type RowSink<'a> = dyn FnMut(&dyn Row) -> ControlFlow<()> + 'a;

/// A row of a table.
pub trait Row {
    /// Returns the value of a column, by its place among [`Tabular::columns`]. Asked for each column that is
    /// wanted, so what nobody wants is not made.
    fn value(&self, column: usize) -> Value<'_>;
}

/// A model as a table, whatever its type: what [`Folded`] is for a [`Tabular`] fold.
pub trait ModelTable: Send + Sync + 'static {
    /// Returns the table's name.
    fn table(&self) -> &str;

    /// Returns the columns, in the order of the table.
    fn columns(&self) -> &[Column];

    /// Pins the rows as they are. Takes constant time; at most one entry is folded meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Folded::snapshot`].
    fn pin(&self) -> Result<Arc<dyn PinnedTable>, FoldStopped>;
}

/// The rows of a model as of one position. Nothing that is folded later shows in them.
pub trait PinnedTable: Send + Sync + 'static {
    /// Returns what the rows include; `None` for rows that stand in no log.
    fn position(&self) -> Option<Position>;

    /// Returns exactly how many rows there are.
    fn count(&self) -> usize;

    /// Gives rows to `sink`; see [`Tabular::rows`]. May take as long as there are rows, and blocks nobody.
    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()>;
}

impl<F: Tabular> ModelTable for Folded<F> {
    fn table(&self) -> &str {
        self.fold().table()
    }

    fn columns(&self) -> &[Column] {
        self.fold().columns()
    }

    fn pin(&self) -> Result<Arc<dyn PinnedTable>, FoldStopped> {
        Ok(Arc::new(Pinned { host: Arc::clone(&self.host), snapshot: self.snapshot()? }))
    }
}

/// A snapshot together with the fold that knows its rows.
struct Pinned<F: Tabular> {
    host: SharedHost<F>,
    snapshot: Snapshot<F::State>,
}

impl<F: Tabular> PinnedTable for Pinned<F> {
    fn position(&self) -> Option<Position> {
        Some(self.snapshot.position)
    }

    fn count(&self) -> usize {
        self.host.fold.count(&self.snapshot.state)
    }

    fn rows(&self, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        self.host.fold.rows(&self.snapshot.state, request, sink)
    }
}
