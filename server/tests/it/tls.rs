//! TLS: a certificate of one's own, and a door in the clear for programs on this machine.

use std::sync::Arc;

use netdb::NetDb;
use netdb::base::{Doors, SystemDisk, SystemRandom};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use server::{LocalServer, Role, Server, TlsFiles, Token, make_token};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Fixture, JSON, config, in_memory, read_reply, send_to};

struct Certified {
    dir: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Certified {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { certificate: made.cert.der().clone(), dir }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.dir.path().join("cert.pem"), key: self.dir.path().join("key.pem") }
    }

    fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

#[tokio::test]
async fn https_is_served_and_local_programs_have_a_door_of_their_own() {
    let certified = Certified::new();
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_owned();
    let token = make_token(&SystemRandom);
    let mut config = config();
    config.http.listen = "0.0.0.0:0".parse().unwrap();
    config.http.tls = Some(certified.files());
    config.tokens = vec![Token::new("app", Role::Write, &token)];
    let open = move |doors: Doors| NetDb::builder().directory(directory).doors(doors).with_tasks().open();
    let mut running = Server::start(config, Doors::system(), open).await.unwrap();
    running.opened().await.unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], running.http().port()));

    let name = ServerName::try_from("localhost").unwrap();
    let connect = async || {
        let stream = TcpStream::connect(address).await.unwrap();
        certified.connector().connect(name.clone(), stream).await.unwrap()
    };
    let bearer = format!("{JSON}authorization: Bearer {token}\r\n");
    let path = "/v1/channels/c/events";
    let reply = send_to(connect().await, address, "POST", path, &bearer, b"1").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    send_to(connect().await, address, "GET", "/v1/status", "", b"").await.refused(401, "denied", "token");

    // Plain HTTP on the same address gets nowhere.
    let mut plain = TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let local = LocalServer::read(&SystemDisk, data.path()).unwrap().unwrap();
    assert!(local.http.ip().is_loopback() && local.http.port() != address.port());
    let it = Fixture { address: local.http, running };
    it.get("/v1/status").await.refused(401, "denied", "a token is needed");
    let headers = format!("{JSON}authorization: Bearer {}\r\n", local.token);
    assert_eq!(it.send("POST", path, &headers, "2").await.status, 200);
    assert_eq!(it.running.stop().await.unwrap().connections_cut, 0);
}

#[tokio::test]
async fn tls_without_tokens_still_keeps_its_local_door_shut_to_who_has_no_token() {
    let certified = Certified::new();
    let mut config = config();
    config.http.tls = Some(certified.files());
    let mut running = Server::start(config, Doors::memory(), in_memory).await;
    // The certificate is on the system's disk.
    assert!(running.is_err());
    let mut config = crate::support::config();
    config.http.tls = Some(certified.files());
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_owned();
    running = Server::start(config, Doors::system(), move |doors| {
        NetDb::builder().directory(directory).doors(doors).open()
    })
    .await;
    let mut running = running.unwrap();
    running.opened().await.unwrap();
    let local = LocalServer::read(&SystemDisk, data.path()).unwrap().unwrap();
    let stream = TcpStream::connect(local.http).await.unwrap();
    send_to(stream, local.http, "GET", "/v1/status", "", b"").await.refused(401, "denied", "token");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_certificate_or_no_key_are_named() {
    let certified = Certified::new();
    let other = Certified::new();
    let write = |name: &str, text: &str| {
        let path = certified.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = certified.files();
    for (files, said) in [
        (TlsFiles { certificate: write("empty.pem", ""), ..good.clone() }, "holds no certificate"),
        (TlsFiles { key: write("text.pem", "words"), ..good.clone() }, "no private key"),
        (TlsFiles { key: certified.dir.path().join("nowhere"), ..good.clone() }, "cannot be read"),
        (TlsFiles { key: good.certificate.clone(), ..good.clone() }, "no private key"),
        (TlsFiles { key: other.files().key, ..good }, "does not go with the certificate"),
    ] {
        let mut config = config();
        config.http.tls = Some(files);
        let error = Server::start(config, Doors::system(), in_memory).await.unwrap_err();
        assert!(error.to_string().contains(said), "expected `{said}` in {error}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_harms_nobody() {
    let certified = Certified::new();
    let mut config = config();
    config.http.tls = Some(certified.files());
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().to_owned();
    let open = move |doors: Doors| NetDb::builder().directory(directory).doors(doors).open();
    let mut running = Server::start(config, Doors::system(), open).await.unwrap();
    running.opened().await.unwrap();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(running.http()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &[0x16, 3, 1]).await.unwrap();
    }
    let stream = TcpStream::connect(running.http()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = certified.connector().connect(name, stream).await.unwrap();
    let (address, head) =
        (running.http(), "GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut stream = stream;
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    assert_eq!(read_reply(stream).await.status, 200, "{address}");
    running.stop().await.unwrap();
}
