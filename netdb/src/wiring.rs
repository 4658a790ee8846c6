//! Where the crates below meet: each implements a small trait of another.

mod link;

pub(crate) use link::{Book, MeshLink};
