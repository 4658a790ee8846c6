//! `serve`, and commands that write through it.

use std::process::{Command, Stdio};

use crate::blob::noise;
use crate::support::{Killed, Place, Run, finish, numbers, records, signal, values, wait_for};

/// A server on the directory of a place.
struct Serving {
    child: Option<Killed>,
    address: String,
}

impl Place {
    fn serve(&self) -> Serving {
        self.serve_with(&[])
    }

    fn serve_with(&self, arguments: &[&str]) -> Serving {
        let file = self.data().join("serve.json");
        let _ = std::fs::remove_file(&file);
        let all = [&["serve", "--listen-http", "127.0.0.1:0"], arguments].concat();
        let child = Killed(self.command(&all).stdout(Stdio::null()).spawn().unwrap());
        let address = wait_for(|| {
            let text = std::fs::read_to_string(&file).ok()?;
            let local: serde_json::Value = serde_json::from_str(&text).ok()?;
            Some(local["http"].as_str()?.to_owned())
        });
        Serving { child: Some(child), address }
    }

    /// Runs what must go through the server.
    fn through(&self, serving: &Serving, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        let said = format!("net-db: through the server at {}\n", serving.address);
        assert!(run.stderr.starts_with(&said), "{arguments:?}: {run:?}");
        run
    }
}

impl Serving {
    fn child(&mut self) -> &mut Killed {
        self.child.as_mut().unwrap()
    }

    fn end(mut self) -> Run {
        let mut killed = self.child.take().unwrap();
        let status = killed.0.wait().unwrap();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut killed.0.stderr.take().unwrap(), &mut stderr).unwrap();
        Run { code: status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }

    fn stop(mut self, name: &str) -> Run {
        signal(&self.child().0, name);
        self.end()
    }
}

#[test]
fn a_server_stops_in_order_when_it_is_told_to() {
    for name in ["TERM", "INT"] {
        let place = Place::new();
        let serving = place.serve();
        place.through(&serving, &["log", "append", "c", "1"]);
        let run = serving.stop(name);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains("\"message\":\"closed\""), "{run:?}");
        assert!(!place.data().join("serve.json").exists());
        // The directory belongs to nobody: this goes straight to it.
        let run = place.run(&["log", "append", "c", "2"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
}

#[test]
fn the_second_interrupt_ends_the_process() {
    let place = Place::new();
    let mut serving = place.serve();
    // A request that does not end holds the stop up.
    let mut stream = std::net::TcpStream::connect(&serving.address).unwrap();
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let address = serving.address.clone();
    let curl = |path: &str| http(&address, path);
    wait_for(|| curl("/metrics").contains("netdb_http_in_flight 2").then_some(()));
    signal(&serving.child().0, "INT");
    wait_for(|| std::net::TcpStream::connect(&address).is_err().then_some(()));
    signal(&serving.child().0, "INT");
    assert_eq!(serving.end().code, 130);
}

/// Asks with a GET, and returns everything that comes back.
fn http(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    text
}

/// Runs the same commands with and without a server; what they say and how they end must be the same.
#[test]
fn commands_that_write_say_and_end_the_same_through_a_server() {
    let commands: &[&[&str]] = &[
        &[
            "log",
            "append",
            "orders/audit",
            "{\"total\":12}",
            "--kind",
            "placed",
            "--key",
            "c7",
            "--header",
            "a=x=y",
        ],
        &[
            "log",
            "append",
            "orders/audit",
            "plain \u{e9}",
            "--time",
            "2026-01-31T08:15:00Z",
            "--ack",
            "written",
        ],
        &["log", "append", "orders/audit", "--expect", "2", "--idempotency-key", "k"],
        &["log", "append", "orders/audit", "--expect", "2", "--idempotency-key", "k"],
        &["log", "append", "orders/audit", "other", "--idempotency-key", "k"],
        &["log", "append", "orders/audit", "x", "--expect", "2"],
        &["log", "append", "orders/audit", "x", "--expect", "none"],
        &["task", "create", "write the report"],
        &["task", "create", "buy milk"],
        &["task", "create", "far", "--id", "40", "--idempotency-key", "t"],
        &["task", "create", "far", "--id", "40", "--idempotency-key", "t"],
        &["task", "create", "again", "--id", "1"],
        &["task", "rename", "2", "buy oat milk"],
        &["task", "rename", "2", "x", "--if-version", "0"],
        &["task", "complete", "1"],
        &["task", "complete", "1"],
        &["task", "complete", "9"],
        &["task", "delete", "1"],
        &["task", "delete", "1"],
        &["memory", "store", "under the mat", "--tag", "home", "--tag", "key", "--source", "Ada"],
        &["memory", "store", "milk is white"],
        &["memory", "store", "new", "--id", "1", "--tag", "b"],
        &["memory", "retag", "1", "a", "b"],
        &["memory", "pin", "1"],
        &["memory", "unpin", "1"],
        &["memory", "unpin", "1"],
        &["memory", "pin", "9"],
        &["memory", "delete", "2"],
    ];
    let (here, there) = (Place::new(), Place::new());
    here.ok(&["init"]);
    there.ok(&["init"]);
    let serving = there.serve();
    for arguments in commands {
        let (run, through) = (here.run(arguments), there.through(&serving, arguments));
        assert_eq!(run.code, through.code, "{arguments:?}: {run:?} {through:?}");
        assert_eq!(timeless(&run.stdout), timeless(&through.stdout), "{arguments:?}");
        let rest = through.stderr.split_once('\n').unwrap().1;
        assert_eq!(run.stderr, rest, "{arguments:?}");
    }
    for channel in ["orders/audit", "cortex/tasks", "cortex/memories"] {
        let events = |place: &Place| timeless(&place.ok(&["log", "read", channel]));
        assert_eq!(events(&here), events(&there), "{channel}");
    }
    assert_eq!(serving.stop("TERM").code, 0);
    there.ok(&["log", "verify", "--all-signatures"]);
}

/// Rows without the times of this machine.
fn timeless(text: &str) -> Vec<serde_json::Value> {
    let mut rows = values(text);
    for row in &mut rows {
        for field in ["created", "updated", "recorded_at"] {
            if let Some(time) = row.get_mut(field) {
                *time = "some time".into();
            }
        }
    }
    rows
}

#[test]
fn an_import_goes_on_through_servers_that_come_and_go() {
    let place = Place::new();
    let file = place.write("input.ndjson", records(0, 30_000));
    let import = ["import", "--channel", "c", &file];
    // It begins without a server.
    assert_eq!(place.ok(&import), "acknowledged 30000\n");
    let mut total = 30_000;
    for _ in 0..2 {
        let mut serving = place.serve();
        total += 20_000;
        place.write("input.ndjson", records(0, total));
        let importing = place.command(&import).spawn().unwrap();
        let before = total - 20_000;
        wait_for(|| {
            let run = place.run(&["log", "channels"]);
            (values(&run.stdout)[0]["events"].as_u64().unwrap() > before).then_some(())
        });
        serving.child().0.kill().unwrap();
        let run = finish(importing);
        assert!(matches!(run.code, 0 | 6), "{run:?}");
        assert!(run.last_line().starts_with("acknowledged "), "{run:?}");
    }
    let serving = place.serve();
    assert_eq!(place.through(&serving, &import).stdout, format!("acknowledged {total}\n"));
    assert_eq!(
        numbers(&place, "c"),
        (0..total).collect::<Vec<_>>(),
        "nothing is lost and nothing comes twice"
    );

    place.write("input.ndjson", records(1, total));
    place.through(&serving, &import).failed(4, "are not those imported before");
    let again = place.through(&serving, &[&import[..], &["--again"]].concat());
    assert_eq!(again.stdout, format!("acknowledged {total}\n"));
    assert_eq!(serving.stop("TERM").code, 0);
}

#[test]
fn an_import_through_a_server_keeps_every_byte_and_every_log() {
    let place = Place::new();
    place.ok(&["log", "create", "kept", "--keep-events", "100000"]);
    let lines = [
        r#"{"type":"a","netdbchannel":"one","subject":"k","time":"2026-01-31T08:15:00Z","data":{"n":1.50},"h":"x","n":2}"#,
        r#"{"type":"b","netdbchannel":"kept","data_base64":"AP8="}"#,
        r#"{"type":"c","netdbchannel":"one","netdbheaders":"W1siYmluIiwiL3c9PSJdXQ=="}"#,
        r#"{"type":"d","netdbchannel":"kept","data":" \u00e9 "}"#,
    ];
    let file = place.write("input.ndjson", lines.join("\n"));
    let serving = place.serve();
    let run = place.through(&serving, &["import", &file]);
    assert_eq!((run.code, run.last_line()), (0, "acknowledged 4"), "{run:?}");
    assert_eq!(serving.stop("TERM").code, 0);
    let here = Place::new();
    let file = here.write("input.ndjson", lines.join("\n"));
    here.ok(&["import", &file]);
    for channel in ["one", "kept"] {
        let exported = |place: &Place| place.ok(&["export", "--channel", channel]);
        assert_eq!(exported(&place), exported(&here));
    }
}

#[test]
fn what_a_killed_server_left_behind_misleads_nobody() {
    let place = Place::new();
    let mut serving = place.serve();
    place.through(&serving, &["log", "append", "c", "1"]);
    serving.child().0.kill().unwrap();
    serving.end();
    assert!(place.data().join("serve.json").exists());
    let run = place.run(&["log", "append", "c", "2"]);
    assert_eq!((run.code, run.stderr.contains("through the server")), (0, false), "{run:?}");
    assert_eq!(place.events("c").len(), 2);
    let serving = place.serve();
    place.through(&serving, &["log", "append", "c", "3"]);
    // What has no endpoint says who has the directory.
    place.run(&["log", "move", "c", "--keep-events", "5"]).failed(6, "locked by another writer");
    place.run(&["serve", "--listen-http", "127.0.0.1:0"]).failed(6, "locked by another writer");
    // Reading goes beside it, as ever.
    assert_eq!(place.events("c").len(), 3);
    assert_eq!(serving.stop("TERM").code, 0);
}

#[test]
fn a_writer_that_is_no_server_is_not_taken_for_the_one_that_was() {
    let place = Place::new();
    let mut serving = place.serve();
    serving.child().0.kill().unwrap();
    serving.end();
    let mut importing = place.command(&["import", "--channel", "c", "-"]);
    let mut importing = importing.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = importing.stdin.as_mut().unwrap();
    std::io::Write::write_all(stdin, records(0, 5_000).as_bytes()).unwrap();
    let there = |place: &Place| place.run(&["log", "channels"]).stdout.contains("\"channel\":\"c\"");
    wait_for(|| there(&place).then_some(()));
    place.run(&["log", "append", "c", "1"]).failed(6, "locked by another writer");
    drop(importing.stdin.take());
    assert_eq!(finish(importing).last_line(), "acknowledged 5000");
}

#[test]
fn a_configuration_that_is_wrong_is_usage_and_all_of_it_is_told() {
    let place = Place::new();
    place.ok(&["init"]);
    std::fs::write(place.data().join("net-db.toml"), "colour = 1\n[http]\nlisten = \"here\"\n").unwrap();
    let run = finish(place.command(&["serve"]).env("NETDB_NOTHING", "1").spawn().unwrap());
    run.failed(2, "3 faults");
    for said in ["net-db.toml:1: ", "net-db.toml:3: ", "environment NETDB_NOTHING: "] {
        assert!(run.stderr.contains(said), "{run:?}");
    }
    std::fs::write(place.data().join("net-db.toml"), "[http]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    place.run(&["serve"]).failed(2, "TLS and authentication");
    place.run(&["serve", "--config", "/nowhere.toml"]).failed(2, "/nowhere.toml");
    let shown = values(&place.ok(&["config", "show", "--listen-http", "127.0.0.1:9"]));
    let listen = shown.iter().find(|row| row["key"] == "http.listen").unwrap();
    assert_eq!((&listen["value"], &listen["source"]), (&"127.0.0.1:9".into(), &"flag --listen-http".into()));
}

#[test]
fn a_port_that_is_taken_is_said_with_the_way_out() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    place.run(&["serve", "--listen-http", &address]).failed(6, "--port-base");
}

#[test]
fn a_token_that_was_made_opens_the_door_that_it_is_configured_for() {
    let place = Place::new();
    place.ok(&["init"]);
    let made = values(&place.ok(&["config", "token", "app", "--role", "read"])).remove(0);
    let entry = format!("[[auth.tokens]]\nname = \"app\"\nrole = \"read\"\nhash = {}\n", made["hash"]);
    std::fs::write(place.data().join("net-db.toml"), entry).unwrap();
    let serving = place.serve();
    assert!(http(&serving.address, "/v1/status").starts_with("HTTP/1.1 401"));
    let mut stream = std::net::TcpStream::connect(&serving.address).unwrap();
    let token = made["token"].as_str().unwrap();
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nhost: db\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Commands on this machine have a token of their own, and secrets are not in the log.
    place.through(&serving, &["task", "create", "t"]);
    let run = serving.stop("TERM");
    assert!(run.stderr.contains("\"status\":401") && !run.stderr.contains(token), "{run:?}");
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_requests_loses_nothing_acknowledged() {
    let place = Place::new();
    let mut serving = place.serve();
    let address = serving.address.clone();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let Some(seq) = append(&address, &format!("\"{client}-{n}\"")) else { break };
                    acknowledged.push((seq, format!("{client}-{n}")));
                }
                acknowledged
            })
        })
        .collect();
    wait_for(|| http(&address, "/metrics").contains("netdb_append_events_total 2").then_some(()));
    serving.child().0.kill().unwrap();
    serving.end();
    let acknowledged: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    assert!(!acknowledged.is_empty());
    let events = place.events("c");
    for (seq, payload) in acknowledged {
        assert_eq!(events[seq]["payload"], payload);
    }
    place.ok(&["log", "verify", "--all-signatures"]);
}

/// Appends over HTTP, and returns the number; `None` once nobody answers.
fn append(address: &str, payload: &str) -> Option<usize> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    let request = format!(
        "POST /v1/channels/c/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{payload}",
        payload.len()
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).ok()?;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let told: serde_json::Value = serde_json::from_str(body).ok()?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Some(usize::try_from(told["ranges"][0]["first_seq"].as_u64()?).unwrap())
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let place = Place::new();
    let serving = place.serve();
    let mut command: Command = place.command(&["log", "append", "c", "1"]);
    command.env("http_proxy", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    let run = finish(command.spawn().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(serving.stop("TERM").code, 0);
}

#[test]
fn blobs_are_put_got_pinned_and_collected_through_the_server() {
    let place = Place::new();
    let content = noise(30_000_000);
    let (small, large) = (place.write("small", b"a few bytes"), place.write("large", &content));
    place.ok(&["init"]);
    let serving = place.serve();
    let through = |arguments: &[&str]| {
        let run = place.through(&serving, arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run.stdout
    };
    let hash = |out: String| values(&out)[0]["hash"].as_str().unwrap().to_owned();
    let first = hash(through(&["blob", "put", &small, "--pin", "--name", "the/one"]));
    let second = hash(through(&["blob", "put", &large, "--chunking", "content"]));
    let listed = values(&through(&["blob", "ls"]));
    let out = place.file("out");
    let to = out.to_str().unwrap();
    through(&["blob", "get", &second, "--out", to]);
    assert!(std::fs::read(&out).unwrap() == content);
    assert_eq!(through(&["blob", "get", &first, "--range", "2..5"]), "few");
    // A part that is good is kept, and one that is not is got again.
    let mut partial = content[..29_000_000].to_vec();
    partial[28_999_999] ^= 1;
    std::fs::write(place.file("out.partial"), partial).unwrap();
    std::fs::remove_file(&out).unwrap();
    let resumed = place.through(&serving, &["blob", "get", &second, "--out", to, "--resume"]);
    assert!(resumed.stderr.contains("bytes are there already"), "{resumed:?}");
    assert!(std::fs::read(&out).unwrap() == content);
    let stat = through(&["blob", "stat", &second]);
    let chunks = through(&["blob", "tree", &second]);
    let path = through(&["blob", "path", &second, "--offset", "5000000"]);
    through(&["blob", "pin", "add", &second, "--label", "model"]);
    let pins = values(&through(&["blob", "pin", "ls", "--type", "recursive"]));
    assert_eq!(pins.len(), 2);
    let name = through(&["blob", "name", "get", "the/one"]);
    assert_eq!(values(&name)[0]["hash"], first);
    assert_eq!(values(&through(&["blob", "name", "ls", "--prefix", "the"])).len(), 1);
    let metrics = through(&["blob", "metrics"]);
    assert!(metrics.contains("dataforts_blobs_stored_total"), "{metrics}");
    let status = values(&through(&["blob", "overflow", "status"]));
    assert_eq!(status[0]["enabled"], false);
    through(&["blob", "exists", &first]);
    let other = blake3::hash(b"other").to_string();
    assert_eq!(place.through(&serving, &["blob", "exists", &other]).code, 3);
    assert_eq!(place.through(&serving, &["blob", "get", &other]).code, 3);
    assert_eq!(place.through(&serving, &["blob", "get", &first, "--range", "0..99"]).code, 1);
    place.through(&serving, &["blob", "verify"]).failed(6, "stop the server");
    let statement = "select names, pin, put_at > to_timestamp(0) as new from blobs where bytes < 100";
    let rows = "{\"names\":[\"the/one\"],\"pin\":\"recursive\",\"new\":true}\n";
    assert_eq!(through(&["sql", "-c", statement]), rows);
    place.through(&serving, &["sql", "-c", "select 1 / (bytes - bytes) from blobs"]).failed(1, "zero");

    through(&["blob", "unpin", &second, &first]);
    let collected = values(&through(&["blob", "gc", "--retention", "0s"]));
    // What has a name stays.
    assert!(collected[0]["removed"].as_u64().unwrap() >= 4 && collected[0]["reached"] == 1, "{collected:?}");
    assert_eq!(values(&through(&["blob", "ls"])).len(), 1);
    let put_again = through(&["blob", "put", &large, "--chunking", "content"]);
    assert_eq!(serving.stop("TERM").code, 0);

    // Without the server the same is said.
    assert_eq!(values(&place.ok(&["blob", "ls"])).len(), listed.len());
    assert_eq!(place.ok(&["blob", "stat", &second]), put_again);
    let without_time = |out: &str| {
        let mut value = values(out)[0].clone();
        value["put_at"].take();
        value
    };
    assert_eq!(without_time(&put_again), without_time(&stat));
    assert_eq!(place.ok(&["blob", "tree", &second]), chunks);
    assert_eq!(place.ok(&["blob", "path", &second, "--offset", "5000000"]), path);
    assert_eq!(place.ok(&["blob", "name", "get", "the/one"]), name);
    place.ok(&["blob", "verify"]);
    let metrics = place.ok(&["blob", "metrics"]);
    assert!(metrics.contains("\"netdb_blobs\",\"value\":2"), "{metrics}");
}
