//! Lines of JSON as events: the reader of `net-db import`, and the names that `export` and `import` share.
//!
//! It is a crate of its own so that it can be given any bytes without what the rest of the command needs.

pub mod attributes;
pub mod json;
pub mod limits;

mod batch;
mod lines;
mod mapping;
mod reader;
mod record;

pub use batch::{Batch, Events};
pub use lines::LineError;
pub use mapping::{Mapping, MappingError};
pub use reader::{BadLine, End, Reader, Skipped, Step, Together};
pub use record::RecordError;
