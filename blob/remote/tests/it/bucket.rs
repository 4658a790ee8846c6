//! A server of S3, where one is installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use base::{Classify, ErrorKind};
use blob::adapter::{BlobAdapter, ListQuery, ObjectName, VerifiedAdapter, conformance};
use blob::{BlobError, Chunking};

use crate::support::{chunk, open};

/// A server with the bucket `netdb`, which ends with the test.
pub struct Server {
    child: Child,
    pub host: String,
}

impl Server {
    /// Starts one, or says why not.
    pub fn start() -> Option<Self> {
        let started = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = started else {
            eprintln!("SKIPPED: no server of S3 is installed (python3-moto has moto_server)");
            return None;
        };
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut host = None;
        let mut line = String::new();
        while host.is_none() && said.read_line(&mut line).unwrap() > 0 {
            host = line.split_once("http://").map(|(_, host)| host.trim().to_owned());
            line.clear();
        }
        // What it says later must go somewhere.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let Some(host) = host else {
            // It has ended, or says nothing: then it is of no use.
            let _ = child.kill();
            let _ = child.wait();
            eprintln!("SKIPPED: moto_server does not start here (python3-moto with its server)");
            return None;
        };
        let server = Self { child, host };
        let made = server.request("PUT", "/netdb", b"");
        assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        Some(server)
    }

    /// Sends a request without any signature, behind the adapter's back.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn url(&self, place: &str) -> String {
        format!("s3://{place}?endpoint=http://{}&region=us-east-1", self.host)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bucket_conforms_and_finds_damage() {
    let Some(server) = Server::start() else { return };
    let [adapter, behind_its_back] = [(), ()].map(|()| open(&server.url("netdb/a/b")).unwrap());
    let damage =
        |name: &ObjectName| behind_its_back.store_object(name, b"damaged").map_err(std::io::Error::other);
    let faults = conformance::faults(Arc::new(adapter), Some(&damage));
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn prefixes_share_a_bucket_and_see_nothing_of_each_other() {
    let Some(server) = Server::start() else { return };
    let open = |place: &str| Arc::new(open(&server.url(place)).unwrap());
    let (one, two) = (open("netdb/one"), open("netdb/two"));
    one.check().unwrap();
    let reference = VerifiedAdapter::new(one.clone()).put(&mut &b"x"[..], Chunking::Fixed).unwrap();
    assert!(!VerifiedAdapter::new(two.clone()).exists(&reference).unwrap());
    assert_eq!(one.list_objects(&ListQuery::new(9)).unwrap(), [reference.hash()]);
    assert_eq!(two.list_objects(&ListQuery::new(9)).unwrap(), []);
    // Another key that begins with the same letters is no object.
    server.request("PUT", "/netdb/one/zz/x", b"x");
    server.request("PUT", "/netdb/ones/ab/x", b"x");
    assert_eq!(one.list_objects(&ListQuery::new(9)).unwrap(), [reference.hash()]);
}

#[test]
fn more_objects_than_a_page_holds_are_listed() {
    let Some(server) = Server::start() else { return };
    let adapter = Arc::new(open(&server.url("netdb")).unwrap());
    let mut names = Vec::new();
    for at in 0..1_005_u32 {
        let content = at.to_le_bytes();
        let name = chunk(&content);
        let answer = server.request("PUT", &format!("/netdb/{}", name.path().join("/")), &content);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        names.push(name.hash);
    }
    names.sort_unstable();
    assert_eq!(adapter.list_objects(&ListQuery::new(usize::MAX)).unwrap(), names);
    let behind = adapter.list_objects(&ListQuery::new(1_004).after(names[0])).unwrap();
    assert_eq!(behind, names[1..]);
}

#[test]
fn a_bucket_that_is_not_there_is_no_empty_one() {
    let Some(server) = Server::start() else { return };
    let adapter = open(&server.url("elsewhere")).unwrap();
    for result in [
        adapter.check(),
        adapter.fetch_object(&chunk(b"x")).map(drop),
        adapter.store_object(&chunk(b"x"), b"x"),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(matches!(error, BlobError::Backend { can_repeat: false, .. }));
    }
}
