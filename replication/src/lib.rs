//! Consensus over logs.
//!
//! So far this is the part that a cluster stands on: the store that openraft writes its log, its vote and its marks to,
//! over [`redex::ReplicaLog`]. Groups, transport and requests follow. Everything that names openraft lives in `raft`.
//!
//! Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014); openraft's storage
//! contract.

pub mod raft;
