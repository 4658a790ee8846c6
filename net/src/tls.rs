//! TLS 1.3 with raw ed25519 keys (RFC 7250): no certificates, no names, no tickets, no early data.
//!
//! Both sides show that they have the private half of their key. Whoever connects says whose key it expects; whoever
//! is connected to takes any key here, and decides at the greeting.

use std::sync::Arc;

use base::{Identity, PublicKey, Signature};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureAlgorithm, SignatureScheme};

use crate::Protocol;

/// What stands before the 32 bytes of an ed25519 key in its form for TLS (RFC 8410, 4).
const KEY_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Returns the settings of TLS for who is connected to.
pub(crate) fn server(identity: &Arc<Identity>) -> Result<QuicServerConfig, rustls::Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Peer { expected: None }))
        .with_cert_resolver(Arc::new(rustls::server::AlwaysResolvesServerRawPublicKeys::new(key(identity))));
    config.alpn_protocols = Protocol::ALL.map(|protocol| protocol.name().as_bytes().to_vec()).to_vec();
    // A session that is taken up again would not show its key again.
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| rustls::Error::General(error.to_string()))
}

/// Returns the settings of TLS for who connects to `peer`.
pub(crate) fn client(
    identity: &Arc<Identity>,
    peer: PublicKey,
    protocol: Protocol,
) -> Result<QuicClientConfig, rustls::Error> {
    client_speaking(identity, peer, vec![protocol.name().as_bytes().to_vec()])
}

/// The same, offering protocols by their names in TLS.
pub(crate) fn client_speaking(
    identity: &Arc<Identity>,
    peer: PublicKey,
    names: Vec<Vec<u8>>,
) -> Result<QuicClientConfig, rustls::Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Peer { expected: Some(peer) }))
        .with_client_cert_resolver(Arc::new(rustls::client::AlwaysResolvesClientRawPublicKeys::new(key(
            identity,
        ))));
    config.alpn_protocols = names;
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| rustls::Error::General(error.to_string()))
}

/// Returns the key that the other side of a connection has shown.
pub(crate) fn peer_key(connection: &quinn::Connection) -> Option<PublicKey> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    match shown.as_slice() {
        [key] => decode_key(key),
        _ => None,
    }
}

/// Returns what a connection was made for.
pub(crate) fn protocol(connection: &quinn::Connection) -> Option<Protocol> {
    let data = connection.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>().ok()?;
    Protocol::of_name(&data.protocol?)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn encode_key(key: &PublicKey) -> Vec<u8> {
    [&KEY_PREFIX[..], key.as_bytes()].concat()
}

fn decode_key(bytes: &[u8]) -> Option<PublicKey> {
    let key = bytes.strip_prefix(&KEY_PREFIX)?;
    Some(PublicKey::from_bytes(key.try_into().ok()?))
}

fn key(identity: &Arc<Identity>) -> Arc<CertifiedKey> {
    let shown = CertificateDer::from(encode_key(&identity.public_key()));
    Arc::new(CertifiedKey::new(vec![shown], Arc::new(NodeKey(Arc::clone(identity)))))
}

/// The node's key, as TLS asks it to sign.
#[derive(Debug)]
struct NodeKey(Arc<Identity>);

impl SigningKey for NodeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(Self(Arc::clone(&self.0))) as _)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(encode_key(&self.0.public_key())))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Looks at the key of the other side.
#[derive(Debug)]
struct Peer {
    /// Whose it must be; `None` while that is decided later.
    expected: Option<PublicKey>,
}

impl Peer {
    fn check(&self, shown: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let key = decode_key(shown).filter(|_| others.is_empty());
        let key = key.ok_or_else(|| rustls::Error::General("not an ed25519 key".to_owned()))?;
        match self.expected {
            Some(expected) if expected != key => {
                Err(rustls::Error::General(format!("key {key} where {expected} was expected")))
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let bad = || rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(bad());
        }
        let key = decode_key(shown).ok_or_else(bad)?;
        let signature: [u8; Signature::BYTES] = signed.signature().try_into().map_err(|_| bad())?;
        match key.verifies(message, &Signature::from_bytes(signature)) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(bad()),
        }
    }
}

/// The version before TLS 1.3, which is not offered.
fn too_old() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken".to_owned())
}

impl ServerCertVerifier for Peer {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(shown, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Peer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(shown, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::check_signature(message, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
