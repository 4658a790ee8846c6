//! One harness per decoder and reader; `fuzz/run` runs them for longer.

mod blob_slices;
mod blob_stores;
mod blobs;
mod decoders;
mod documents;
mod exchange;
mod groups;
mod lines;
mod messages;
mod replicas;
mod store;
