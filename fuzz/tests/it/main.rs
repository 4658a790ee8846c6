//! One harness per decoder and reader; `fuzz/run` runs them for longer.

mod decoders;
mod documents;
mod exchange;
mod groups;
mod lines;
mod messages;
mod replicas;
mod store;
