//! What the harnesses share: valid samples, ways to alter them, a measure of memory, and a log to damage.

pub mod alter;
pub mod blobs;
pub mod corpus;
pub mod damage;
pub mod meter;
pub mod replica;
