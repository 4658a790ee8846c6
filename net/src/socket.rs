//! What datagrams are sent and received through: the machine's network, or a simulated one.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};

use crate::error::BindError;

/// A socket for datagrams, of the machine or of a [`SimulatedNetwork`](crate::SimulatedNetwork).
#[derive(Debug, Clone)]
pub struct Socket {
    pub(crate) inner: Arc<dyn AsyncUdpSocket>,
    pub(crate) of_machine: bool,
}

impl Socket {
    /// Opens a socket of the machine, within a tokio runtime; port 0 takes any port.
    ///
    /// # Errors
    ///
    /// [`BindError::Address`].
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        std::net::UdpSocket::bind(address)
            .and_then(|socket| TokioRuntime.wrap_udp_socket(socket))
            .map(|inner| Self { inner, of_machine: true })
            .map_err(|source| BindError::Address { address, source })
    }
}
