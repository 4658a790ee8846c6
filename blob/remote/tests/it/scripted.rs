//! A server that answers as it is told: what fails, and what lies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base::{Classify, ErrorKind};
use blob::adapter::{BlobAdapter, VerifiedAdapter};
use blob::{BlobError, BlobRef};
use blob_remote::ObjectStoreAdapter;

use crate::support::{SECRET, chunk, hasty, open};

/// What a request is answered with: the status, headers, and the body.
pub type Answer = (&'static str, &'static str, &'static str);

/// Answers the nth request of a method (counted from 0), whatever its path.
pub type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

/// A server, and what was asked of it. Its thread ends with the process.
struct Server {
    asked: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl Server {
    fn start(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("s3://b/p?endpoint=http://{}&region=r", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script) as Arc<Script>);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                // Whoever asks may go away in the middle.
                thread::spawn(move || drop(serve(&stream.unwrap(), &log, &*script)));
            }
        });
        Self { asked, url }
    }

    /// Returns the methods that were asked for, in their order.
    fn asked(&self) -> Vec<String> {
        let heads = self.asked.lock().unwrap();
        heads.iter().map(|head| head.split(' ').next().unwrap().to_owned()).collect()
    }

    fn open(&self) -> ObjectStoreAdapter {
        open(&self.url).unwrap()
    }
}

/// Answers the requests of a connection.
pub fn serve(mut stream: &TcpStream, log: &Mutex<Vec<String>>, script: &Script) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        reader.read_exact(&mut vec![0; length])?;
        let method = head.split(' ').next().unwrap().to_owned();
        let nth = {
            let mut log = log.lock().unwrap();
            let nth = log.iter().filter(|head| head.starts_with(&method)).count();
            log.push(head);
            nth
        };
        let (status, headers, body) = script(&method, nth);
        // The answer to HEAD tells the length of what it does not have.
        let length = if headers.contains("Content-Length") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        write!(stream, "HTTP/1.1 {status}\r\n{length}{headers}\r\n{body}")?;
    }
}

const FOUND: &str = "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT\r\nETag: \"e\"\r\n";

fn head(bytes: &'static str) -> Answer {
    ("200 OK", bytes, "")
}

#[test]
fn failures_that_may_pass_are_repeated_a_bounded_number_of_times() {
    let server = Server::start(|_, _| ("503 Slow Down", "", "busy"));
    let adapter = server.open();
    let error = adapter.fetch_object(&chunk(b"x")).unwrap_err();
    assert!(matches!(error, BlobError::Backend { can_repeat: true, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(server.asked().len(), 1 + hasty().retries_max);
    assert!(!format!("{error} {error:?}").contains(SECRET));
}

#[test]
fn what_passes_after_a_repetition_succeeds() {
    let server = Server::start(|method, nth| match (method, nth) {
        (_, 0) => ("500 Internal Server Error", "", ""),
        _ => ("200 OK", FOUND, "content"),
    });
    assert_eq!(server.open().fetch_object(&chunk(b"content")).unwrap(), b"content");
    assert_eq!(server.asked(), ["GET", "GET"]);
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    drop(listener);
    let adapter = open(&format!("s3://b?endpoint=http://{host}&region=r")).unwrap();
    let error = adapter.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn what_is_forbidden_is_not_repeated() {
    for status in ["403 Forbidden", "401 Unauthorized"] {
        let server = Server::start(move |_, _| (status, "", "<Error><Code>AccessDenied</Code></Error>"));
        let adapter = server.open();
        for result in [
            adapter.fetch_object(&chunk(b"x")).map(drop),
            adapter.stat_object(&chunk(b"x")).map(drop),
            adapter.store_object(&chunk(b"x"), b"x"),
            adapter.delete_object(&chunk(b"x")).map(drop),
            adapter.check(),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, BlobError::Unauthorized { .. }), "{error}");
            assert_eq!(error.kind(), ErrorKind::Denied);
        }
        assert_eq!(server.asked(), ["GET", "HEAD", "PUT", "HEAD", "GET"]);
    }
}

#[test]
fn the_secret_is_never_sent() {
    let server = Server::start(|_, _| ("404 Not Found", "", ""));
    let found = server.open().fetch_object(&chunk(b"x"));
    assert!(matches!(found, Err(BlobError::NotFound { .. })), "{found:?}");
    let heads = server.asked.lock().unwrap().join("\n");
    assert!(heads.contains("Credential=tester/") && !heads.contains(SECRET), "{heads}");
    let [first, rest] = chunk(b"x").path();
    assert!(heads.starts_with(&format!("GET /b/p/{first}/{rest} ")), "{heads}");
}

#[test]
fn a_store_that_says_done_and_has_nothing_or_something_else_is_found_out() {
    type Lie = fn(&str) -> Answer;
    let nothing: Lie = |method| match method {
        "PUT" => ("200 OK", "ETag: \"e\"\r\n", ""),
        _ => ("404 Not Found", "", ""),
    };
    let shorter: Lie = |method| match method {
        "PUT" => ("200 OK", "ETag: \"e\"\r\n", ""),
        _ => head("Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT\r\nContent-Length: 3\r\n"),
    };
    for lie in [nothing, shorter] {
        let server = Server::start(move |method, _| lie(method));
        let error = server.open().store_object(&chunk(b"four"), b"four").unwrap_err();
        assert!(matches!(error, BlobError::Backend { can_repeat: true, .. }), "{error}");
        assert_eq!(server.asked(), ["PUT", "HEAD"]);
    }
}

#[test]
fn an_object_that_is_there_is_compared_and_a_damaged_one_replaced() {
    let there = "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT\r\nContent-Length: 4\r\n";
    for (stored, asked) in [("four", vec!["PUT", "GET", "HEAD"]), ("f0ur", vec!["PUT", "GET", "PUT", "HEAD"])]
    {
        let server = Server::start(move |method, nth| match (method, nth) {
            ("PUT", 0) => ("412 Precondition Failed", "", ""),
            ("PUT", _) => ("200 OK", "ETag: \"e\"\r\n", ""),
            ("GET", _) => ("200 OK", FOUND, stored),
            _ => head(there),
        });
        server.open().store_object(&chunk(b"four"), b"four").unwrap();
        assert_eq!(server.asked(), asked);
        let first = server.asked.lock().unwrap()[0].to_ascii_lowercase();
        assert!(first.contains("if-none-match: *"), "{first}");
    }
}

/// Some stores cannot create on condition: they say so, or the address does.
#[test]
fn without_conditions_an_object_is_looked_for_before_it_is_put() {
    let there = "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT\r\nContent-Length: 4\r\n";
    let server = Server::start(move |method, _| match method {
        "PUT" => ("200 OK", "ETag: \"e\"\r\n", ""),
        "GET" => ("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"),
        _ => head(there),
    });
    let adapter = open(&format!("{}&conditional-put=false", server.url)).unwrap();
    adapter.store_object(&chunk(b"four"), b"four").unwrap();
    assert_eq!(server.asked(), ["GET", "PUT", "HEAD"]);
    assert!(!server.asked.lock().unwrap()[1].to_ascii_lowercase().contains("if-none-match"));
    let server = Server::start(move |method, nth| match (method, nth) {
        ("PUT", 0..3) => ("501 Not Implemented", "", "<Error><Code>NotImplemented</Code></Error>"),
        ("PUT", _) => ("200 OK", "ETag: \"e\"\r\n", ""),
        ("GET", _) => ("404 Not Found", "", ""),
        _ => head(there),
    });
    let adapter = server.open();
    adapter.store_object(&chunk(b"four"), b"four").unwrap();
    assert_eq!(server.asked(), ["PUT", "PUT", "PUT", "GET", "PUT", "HEAD"]);
    // It is remembered.
    adapter.store_object(&chunk(b"four"), b"four").unwrap();
    assert_eq!(server.asked()[6..], ["GET", "PUT", "HEAD"]);
}

#[test]
fn lies_of_a_server_are_found_out_by_who_verifies() {
    let reference = BlobRef::small(chunk(b"right").hash, 5).unwrap();
    let server = Server::start(|_, _| ("200 OK", FOUND, "wrong"));
    let found = VerifiedAdapter::new(Arc::new(server.open())).fetch(&reference);
    assert!(matches!(found, Err(BlobError::HashMismatch { .. })), "{found:?}");
}

#[test]
fn an_answer_that_is_too_large_is_not_read() {
    let server = Server::start(|_, _| {
        (
            "200 OK",
            "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT\r\nETag: \"e\"\r\nContent-Length: 99999999999\r\n",
            "x",
        )
    });
    let found = server.open().fetch_object(&chunk(b"x"));
    assert!(matches!(found, Err(BlobError::TooLarge { .. })), "{found:?}");
}
