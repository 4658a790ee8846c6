//! TLS of the HTTP door: certificate and key from PEM files, `ring` as the provider.

use std::path::Path;
use std::sync::Arc;

use netdb::base::{Disk, OpenMode, read_to_end};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::{ServeError, TlsFiles};

const PEM_BYTES_MAX: usize = 1 << 20;

/// Reads certificate and key, and makes what takes connections with them.
pub(crate) fn acceptor(disk: &dyn Disk, files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let fault = |path: &Path, message: String| ServeError::Tls { path: path.to_owned(), message };
    let pem = |path: &Path| {
        let read = disk.open(path, OpenMode::Read).and_then(|file| read_to_end(&*file, PEM_BYTES_MAX));
        read.map_err(|error| fault(path, format!("cannot be read: {error}")))
    };
    let certificates = CertificateDer::pem_slice_iter(&pem(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(&files.certificate, format!("is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(fault(&files.certificate, "holds no certificate: give one in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem(&files.key)?)
        .map_err(|error| fault(&files.key, format!("holds no private key in PEM: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&files.certificate, format!("TLS: {error}")))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| fault(&files.key, format!("does not go with the certificate: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
