//! The models that come with the crate. Each is a folder of equal shape; an application's own can be, too.

pub mod memories;
pub mod tasks;

mod guard;
mod orders;
mod text;
mod times;
mod write;

pub use guard::Guard;
pub use orders::{CREATED, SortBy, UPDATED};
pub use write::{Batch, Command, WriteOptions};
