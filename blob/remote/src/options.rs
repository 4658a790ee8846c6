//! How an object store is asked.

use std::time::Duration;

use blob::adapter::AdapterName;

/// How an object store is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOptions {
    /// By what the adapter is found; otherwise by `s3`, `directory` or `object-memory`, and the scheme of its URL.
    pub name: Option<AdapterName>,
    /// How long a connection may take to come about. More waits longer for what is not there; less gives up on slow networks.
    pub connect_timeout: Duration,
    /// How long one request with its answer may take. Within it 16 MiB must come through: 60 seconds need 2.3 Mbit/s.
    pub request_timeout: Duration,
    /// How often a request is repeated that failed in a way that may pass, at most.
    pub retries_max: usize,
    /// How long after its beginning a request is repeated, at most. Storing an object takes up to four requests.
    pub retry_timeout: Duration,
}

impl Default for RemoteOptions {
    /// 5 seconds to connect, 60 for a request, 5 repetitions within 60 seconds.
    fn default() -> Self {
        Self {
            name: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retries_max: 5,
            retry_timeout: Duration::from_secs(60),
        }
    }
}
