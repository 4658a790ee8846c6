//! Every limit of this crate that is not a setting, in one place.

use std::time::Duration;

/// Port of HTTP above the port base.
pub(crate) const HTTP_PORT_OFFSET: u16 = 0;
/// Port of the mesh, over UDP, above the port base.
pub(crate) const MESH_PORT_OFFSET: u16 = 1;
/// Sessions of clients at a time.
pub(crate) const SESSIONS_MAX: usize = 10_000;
/// How long a session lets its key in, and append.
pub(crate) const SESSION_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// Appends of one exchange that are not answered.
pub(crate) const CLIENT_APPENDS_MAX: usize = 16_384;
/// Bytes of a node's name.
pub(crate) const NODE_NAME_BYTES_MAX: usize = 64;
/// The port base unless it is set.
pub(crate) const PORT_BASE: u16 = 7700;
/// Highest port base: the listeners of a node have ten ports together.
pub(crate) const PORT_BASE_MAX: u16 = u16::MAX - 9;
/// Largest configuration file, in bytes.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Faults of a configuration that are told; the others are counted.
pub(crate) const FAULTS_TOLD_MAX: usize = 100;
/// Most tokens; each request is compared with all.
pub(crate) const TOKENS_MAX: usize = 1_000;
/// Bytes by which room for bodies is counted.
pub(crate) const BODY_UNIT_BYTES: usize = 1 << 10;
/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a request's first line and headers together.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Events of one append.
pub(crate) const EVENTS_MAX: usize = 100_000;
/// Events that a read gives unless it says how many.
pub(crate) const EVENTS_READ_DEFAULT: u64 = 1_000;
/// Records that a list gives unless it says how many.
pub(crate) const RECORDS_LISTED_DEFAULT: usize = 1_000;
/// Bytes that a read gathers before it hands them on.
pub(crate) const READ_CHUNK_BYTES: usize = 64 << 10;
/// Chunks that a read may be ahead of who takes them.
pub(crate) const READ_CHUNKS_AHEAD: usize = 2;
/// Parameters of a statement.
pub(crate) const PARAMS_MAX: usize = 1_000;
/// Attempts to find an id that nobody else takes meanwhile.
pub(crate) const ID_ATTEMPTS: usize = 16;
/// Logs that have metrics of their own.
pub(crate) const LOGS_MEASURED_MAX: usize = 100;
/// How long after a refusal a full disk keeps a node from being ready; an append that succeeds ends it at once.
pub(crate) const DISK_FULL_REMEMBERED: Duration = Duration::from_secs(30);
/// How long the accept loop rests when the system has no more descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Random bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 32;
