//! Blobs.

use netdb::NetDb;
use netdb::base::{Doors, Hash, SeededRandom};
use serde_json::{Value, json};
use server::{Role, Token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Fixture, JSON, begin, config, start, start_with};

/// Bytes that nothing compresses or repeats.
fn content(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
    noise
}

async fn put(it: &Fixture, content: &[u8], query: &str) -> Value {
    let reply = it.send("POST", &format!("/v1/blobs{query}"), "", content).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

#[tokio::test]
async fn what_is_put_is_got_whole_and_in_ranges() {
    let it = start().await;
    let large = content(9 << 20);
    let (small, manifest) = (put(&it, b"small", "").await, put(&it, &large, "?chunking=content").await);
    assert_eq!(small["hash"], Hash::of(b"small").to_string());
    assert_eq!(
        (&small["bytes"], &small["form"], &small["chunking"]),
        (&json!(5), &json!("small"), &Value::Null)
    );
    assert_eq!((&manifest["form"], &manifest["chunking"]), (&json!("manifest"), &json!("content")));
    let path = format!("/v1/blobs/{}", manifest["hash"].as_str().unwrap());

    let got = it.get(&path).await;
    assert_eq!((got.status, got.header("content-length")), (200, Some("9437184")));
    assert!(got.body == large);
    let etag = got.header("etag").unwrap().to_owned();
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    let same = it.send("GET", &path, &format!("if-none-match: \"x\", {etag}\r\n"), "").await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let part = it.send("GET", &path, "range: bytes=5000000-5000009\r\n", "").await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 5000000-5000009/9437184")));
    assert_eq!(part.body, large[5_000_000..5_000_010]);
    let behind = it.send("GET", &path, "range: bytes=9437184-\r\n", "").await;
    assert_eq!(behind.header("content-range"), Some("bytes */9437184"));
    behind.refused(416, "invalid", "behind the end");
    let head = it.send("HEAD", &path, "", "").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("9437184"), 0));

    assert_eq!(it.get(&format!("{path}/stat")).await.json(), manifest);
    let chunks = it.get(&format!("{path}/chunks")).await.json()["chunks"].as_array().unwrap().clone();
    assert_eq!(json!(chunks.len()), manifest["chunks"]);
    let second = it.get(&format!("{path}/chunks?after=0&limit=1")).await.json();
    assert_eq!(second["chunks"], json!([chunks[1]]));
    let listed = it.get("/v1/blobs").await.json()["blobs"].as_array().unwrap().clone();
    let mut wanted = vec![small.clone(), manifest];
    wanted.sort_by_key(|blob| blob["hash"].as_str().unwrap().to_owned());
    assert_eq!(listed, wanted);
    let first = wanted[0]["hash"].as_str().unwrap();
    let behind = it.get(&format!("/v1/blobs?after={first}&limit=5")).await.json();
    assert_eq!(behind["blobs"], json!([wanted[1]]));
    let empty = put(&it, b"", "").await;
    let got = it.get(&format!("/v1/blobs/{}", empty["hash"].as_str().unwrap())).await;
    assert_eq!((got.status, got.header("content-length"), got.body.len()), (200, Some("0"), 0));

    let statement = json!({ "sql": "select count(*) as n from blobs" }).to_string();
    assert_eq!(it.post("/v1/sql", &statement).await.json()["rows"], json!([{ "n": 3 }]));
    let metrics = String::from_utf8(it.get("/metrics").await.body).unwrap();
    for line in [
        "dataforts_blobs_stored_total{adapter=\"own\"} 3",
        "dataforts_blob_bytes_stored_total{adapter=\"own\"} 9437189",
        "dataforts_blobs_fetched_total{adapter=\"own\"} 3",
        "dataforts_blob_gc_swept_total{adapter=\"own\"} 0",
        "dataforts_blob_gc_pending{adapter=\"own\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    for name in
        ["dataforts_blob_disk_used_bytes", "dataforts_blob_disk_capacity_bytes", "netdb_blob_away_chunks"]
    {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_put() {
    let it = start().await;
    let nothing = Hash::of(b"nothing");
    it.get(&format!("/v1/blobs/{nothing}")).await.refused(404, "not-found", "no blob");
    it.get(&format!("/v1/blobs/{nothing}/stat")).await.refused(404, "not-found", "no blob");
    it.get("/v1/blobs/nonsense").await.refused(400, "invalid", "64 hexadecimal digits");
    it.send("POST", "/v1/blobs?chunking=odd", "", "x").await.refused(400, "invalid", "fixed or content");
    it.send("POST", "/v1/blobs?odd=1", "", "x").await.refused(400, "invalid", "`odd`");
    it.send("PUT", &format!("/v1/pins/{nothing}"), JSON, "{}").await.refused(404, "not-found", "no blob");
    it.send("PUT", &format!("/v1/pins/{nothing}"), JSON, "{\"mode\":\"odd\"}")
        .await
        .refused(400, "invalid", "odd");
    it.get("/v1/blob-names/nobody").await.refused(404, "not-found", "no blob is named");
    it.send("DELETE", "/v1/blob-names/nobody", "", "").await.refused(404, "not-found", "no blob is named");
    it.post("/v1/blobs/collect", "{\"disk_pressure\":true,\"floor_seconds\":1}")
        .await
        .refused(400, "invalid", "floor");
    assert_eq!(it.get("/v1/blobs").await.json()["blobs"], json!([]));
    // A body that breaks off is no blob, whatever the client hears of it.
    let mut stream = it.connect().await;
    let head = format!("POST /v1/blobs HTTP/1.1\r\nhost: {}\r\ncontent-length: 100\r\n\r\nhalf", it.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(!heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
    assert_eq!(it.get("/v1/blobs").await.json()["blobs"], json!([]));
    let half = format!("/v1/blobs/{}", Hash::of(b"half"));
    it.get(&half).await.refused(404, "not-found", "no blob");
    assert_eq!(put(&it, b"half", "").await["bytes"], 4);
    assert_eq!(it.get(&half).await.body, b"half");
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn pins_and_names_keep_what_a_collection_takes_otherwise() {
    let it = start().await;
    let [pinned, named, loose] = [&b"pinned"[..], b"named", b"loose"];
    let pinned = put(&it, pinned, "?pin").await["hash"].as_str().unwrap().to_owned();
    let named = put(&it, named, "?name=the/one").await["hash"].as_str().unwrap().to_owned();
    let loose = put(&it, loose, "").await["hash"].as_str().unwrap().to_owned();
    let collect = async |body: &str| it.post("/v1/blobs/collect", body).await.json();
    assert_eq!(collect("{}").await["reached"], 3);
    let dry = collect("{\"floor_seconds\":0,\"dry_run\":true}").await;
    assert_eq!((&dry["removed"], &dry["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(collect("{\"floor_seconds\":0}").await["removed_bytes"], 5);
    it.get(&format!("/v1/blobs/{loose}")).await.refused(404, "not-found", "no blob");

    let pins = it.get("/v1/pins").await.json();
    assert_eq!((&pins["pins"][0]["hash"], &pins["pins"][0]["type"]), (&json!(pinned), &json!("recursive")));
    let again = it.send("PUT", &format!("/v1/pins/{pinned}"), JSON, "{\"label\":\"x\"}").await.json();
    assert_eq!((&again["label"], &again["bytes"]), (&json!("x"), &json!(6)));
    let update = json!({ "from": pinned, "to": named }).to_string();
    assert_eq!(it.post("/v1/pins/update", &update).await.status, 200);
    let removed = it.send("DELETE", &format!("/v1/pins/{named}"), "", "").await.json();
    assert_eq!(removed["removed"], true);
    let removed = it.send("DELETE", &format!("/v1/pins/{named}"), "", "").await.json();
    assert_eq!(removed["removed"], false);

    assert_eq!(it.get("/v1/blob-names/the%2Fone").await.json()["hash"], named);
    let body = json!({ "hash": pinned }).to_string();
    let set = it.send("PUT", "/v1/blob-names/the%2Fone", JSON, &body).await.json();
    assert_eq!((&set["hash"], &set["before"]), (&json!(pinned), &json!(named)));
    let names = it.get("/v1/blob-names?prefix=the").await.json();
    assert_eq!(names["names"].as_array().unwrap().len(), 1);
    assert_eq!(it.send("DELETE", "/v1/blob-names/the%2Fone", "", "").await.json()["before"], pinned);
    let taken = it.send("DELETE", &format!("/v1/blobs/{named}"), "", "").await.json();
    assert_eq!(taken["removed"], true);
    assert_eq!(collect("{\"floor_seconds\":0}").await["removed"], 2);
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn blobs_overflow_to_a_directory_and_are_looked_after_by_themselves() {
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let data = dir.path().join("data");
    let blobs = data.join("blobs");
    let open = {
        let data = data.clone();
        move |doors: Doors| NetDb::builder().directory(data).doors(doors).open()
    };
    let it = begin(config(), Doors::system(), open.clone()).await;
    // Asking makes nothing.
    let nothing = Hash::of(b"nothing");
    for path in ["/v1/blobs", "/v1/pins", "/v1/blob-names"] {
        assert_eq!(it.get(path).await.status, 200);
    }
    for path in [format!("/v1/blobs/{nothing}"), format!("/v1/blobs/{nothing}/chunks")] {
        it.get(&path).await.refused(404, "not-found", "no blob");
    }
    assert!(!blobs.exists());
    it.send("POST", "/v1/blobs/overflow/run", "", "").await.refused(409, "conflict", "overflow to nowhere");
    let place = format!("file://{}", away.path().display());
    let settings = json!({ "enabled": true, "place": place, "quota": 4 << 20, "high": 0.5, "low": 0.2 });
    let set = it.send("PUT", "/v1/blobs/overflow", JSON, &settings.to_string()).await.json();
    assert_eq!(
        (&set["enabled"], &set["quota"], &set["away_chunks"]),
        (&json!(true), &json!(4 << 20), &json!(0))
    );
    let both = it.send("PUT", "/v1/blobs/overflow", JSON, "{\"enabled\":true,\"take_back\":true}").await;
    both.refused(400, "invalid", "would go again");
    let large = content(3 << 20);
    let hash = put(&it, &large, "").await["hash"].as_str().unwrap().to_owned();
    let ran = it.send("POST", "/v1/blobs/overflow/run", "", "").await.json();
    assert_eq!((&ran["pushed"], &ran["failed"]), (&json!(1), &json!(0)));
    assert_eq!(it.get("/v1/blobs/overflow").await.json()["away_chunks"], 1);
    assert!(it.get(&format!("/v1/blobs/{hash}")).await.body == large);
    let metrics = String::from_utf8(it.get("/metrics").await.body).unwrap();
    for line in [
        "dataforts_blob_overflow_pushes_admitted_total{adapter=\"own\"} 1",
        "dataforts_blob_overflow_pushed_bytes_total{adapter=\"own\"} 3145728",
        "dataforts_blob_overflow_high_water_triggered_total{adapter=\"own\"} 1",
        "netdb_blob_away_bytes{adapter=\"own\"} 3145728",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let off =
        it.send("PUT", "/v1/blobs/overflow", JSON, "{\"enabled\":false,\"take_back\":true}").await.json();
    assert_eq!((&off["enabled"], &off["away_chunks"]), (&json!(false), &json!(0)));
    let on = it.send("PUT", "/v1/blobs/overflow", JSON, "{\"enabled\":true}").await.json();
    assert_eq!(on["place"], set["place"]);
    it.running.stop().await.unwrap();

    // A server that finds blobs looks after them without being asked.
    let it = begin(config(), Doors::system(), open).await;
    let mut status = Value::Null;
    for _ in 0..20_000 {
        status = it.get("/v1/blobs/overflow").await.json();
        if status["away_chunks"] == 1 {
            break;
        }
    }
    assert_eq!(status["away_chunks"], 1, "{status}");
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn only_who_may_write_puts_and_only_an_operator_collects() {
    let mut config = config();
    let random = SeededRandom::new(7);
    let [reader, writer] = [(); 2].map(|()| server::make_token(&random));
    config.tokens =
        vec![Token::new("reader", Role::Read, &reader), Token::new("writer", Role::Write, &writer)];
    let it = start_with(config).await;
    let asked = async |token: &str, method: &str, path: &str, body: &str| {
        let headers = format!("authorization: Bearer {token}\r\n{JSON}");
        it.send(method, path, &headers, body).await
    };
    let pin = format!("/v1/pins/{}", Hash::of(b"x"));
    for (method, path) in [("POST", "/v1/blobs"), ("PUT", &*pin), ("POST", "/v1/blobs/collect")] {
        asked(&reader, method, path, "{}").await.refused(403, "denied", "`reader` has the role read");
    }
    assert_eq!(asked(&writer, "POST", "/v1/blobs", "{}").await.status, 200);
    assert_eq!(asked(&reader, "GET", "/v1/blobs", "").await.json()["blobs"].as_array().unwrap().len(), 1);
    for (method, path) in
        [("POST", "/v1/blobs/collect"), ("PUT", "/v1/blobs/overflow"), ("POST", "/v1/blobs/overflow/run")]
    {
        asked(&writer, method, path, "{}").await.refused(403, "denied", "this needs admin");
    }
}
