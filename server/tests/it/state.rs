//! Tasks and memories.

use serde_json::{Value, json};

use crate::support::{Fixture, JSON, start};

async fn done(it: &Fixture, method: &str, path: &str, body: &str) -> Value {
    let headers = if body.is_empty() { "" } else { JSON };
    let reply = it.send(method, path, headers, body).await;
    assert!(matches!(reply.status, 200 | 201), "{method} {path}: {reply:?}");
    reply.json()
}

#[tokio::test]
async fn a_task_lives_through_its_life() {
    let it = start().await;
    let created = it.post("/v1/tasks", "{\"title\":\"write\"}").await;
    assert_eq!((created.status, &created.json()["id"]), (201, &json!(1)));
    assert_eq!(done(&it, "POST", "/v1/tasks", "{\"title\":\"milk\"}").await["id"], 2);
    assert_eq!(it.post("/v1/tasks", "{\"title\":\"far\",\"id\":40}").await.status, 200);
    assert_eq!(done(&it, "POST", "/v1/tasks/1/complete", "").await["task"]["status"], "completed");
    assert_eq!(done(&it, "POST", "/v1/tasks/1/complete", "").await["outcome"], "unchanged");
    let renamed = done(&it, "POST", "/v1/tasks/2/rename", "{\"title\":\"oat milk\"}").await;
    assert_eq!(renamed["task"]["title"], "oat milk");
    assert_eq!(it.get("/v1/tasks/2").await.json(), renamed["task"]);
    let ids = async |query: &str| -> Vec<u64> {
        let list = it.get(&format!("/v1/tasks?{query}")).await.json();
        list["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [1, 2, 40]);
    assert_eq!(ids("status=pending&order=id-desc&limit=1").await, [40]);
    assert_eq!(ids("contains=MILK").await, [2]);
    assert_eq!(done(&it, "DELETE", "/v1/tasks/1", "").await["task"], json!(null));
    assert_eq!(ids("").await, [2, 40]);
}

#[tokio::test]
async fn writes_without_an_effect_have_a_status() {
    let it = start().await;
    done(&it, "POST", "/v1/tasks", "{\"title\":\"first\",\"id\":1}").await;
    it.get("/v1/tasks/9").await.refused(404, "not-found", "no task 9");
    it.send("POST", "/v1/tasks/9/complete", "", "").await.refused(404, "not-found", "no task 9");
    it.post("/v1/tasks", "{\"title\":\"x\",\"id\":1}").await.refused(409, "conflict", "a task 1 already");
    let reply = it.post("/v1/tasks/1/rename?if-version=5", "{\"title\":\"x\"}").await;
    assert_eq!(reply.refused(412, "conflict", "version 0, not 5")["version"], 0);
    let renamed = it.post("/v1/tasks/1/rename?if-version=0", "{\"title\":\"x\"}").await;
    assert_eq!(renamed.status, 200);
    it.send("DELETE", "/v1/memories/1", "", "").await.refused(404, "not-found", "no memory 1");
    it.get("/v1/tasks/one").await.refused(400, "invalid", "no number");
    it.get("/v1/tasks?status=odd").await.refused(400, "invalid", "pending or completed");
    it.get("/v1/tasks?order=odd").await.refused(400, "invalid", "created-desc");
    it.post("/v1/tasks", "{\"name\":\"x\"}").await.refused(400, "invalid", "`name`");
    it.send("DELETE", "/v1/tasks/1", JSON, "{}").await.refused(400, "invalid", "send none");
    let key = format!("{JSON}idempotency-key: k\r\n");
    for _ in 0..2 {
        let reply = it.send("POST", "/v1/tasks", &key, "{\"title\":\"second\",\"id\":2}").await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let other = it.send("POST", "/v1/tasks", &key, "{\"title\":\"third\",\"id\":3}").await;
    other.refused(409, "conflict", "idempotency key");
}

#[tokio::test]
async fn tasks_that_are_created_together_get_ids_of_their_own() {
    let it = start().await;
    let create = || it.post("/v1/tasks", "{\"title\":\"one of many\"}");
    let created = futures::future::join_all((0..12).map(|_| create())).await;
    let mut ids: Vec<u64> = created.iter().map(|reply| reply.json()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..13).collect::<Vec<_>>());
}

#[tokio::test]
async fn memories_are_stored_found_and_changed() {
    let it = start().await;
    let stored = it.post(
        "/v1/memories",
        "{\"content\":\"under the mat\",\"tags\":[\"home\",\"key\"],\"source\":\"Ada\"}",
    );
    assert_eq!(stored.await.status, 201);
    done(&it, "POST", "/v1/memories", "{\"content\":\"milk is white\",\"tags\":[\"food\"]}").await;
    assert_eq!(done(&it, "POST", "/v1/memories/2/pin", "").await["memory"]["pinned"], true);
    let ids = async |query: &str| -> Vec<u64> {
        let list = it.get(&format!("/v1/memories?{query}")).await.json();
        list["memories"].as_array().unwrap().iter().map(|memory| memory["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("tag=home&tag=key").await, [1]);
    assert_eq!(ids("tag=home&tag=food").await, [0; 0]);
    assert_eq!(ids("any-tag=home&any-tag=food").await, [1, 2]);
    assert_eq!(ids("contains=MILK").await, [2]);
    assert_eq!(ids("source=Ada").await, [1]);
    assert_eq!(ids("pinned").await, [2]);
    assert_eq!(done(&it, "POST", "/v1/memories/2/unpin", "").await["memory"]["pinned"], false);
    let retagged = done(&it, "POST", "/v1/memories/1/retag", "{\"tags\":[\"keys\"]}").await;
    assert_eq!(retagged["memory"]["tags"], json!(["keys"]));
    let replaced = done(&it, "POST", "/v1/memories", "{\"content\":\"new\",\"id\":1}").await;
    assert_eq!(replaced["memory"]["content"], "new");
    done(&it, "DELETE", "/v1/memories/1", "").await;
    it.get("/v1/memories/1").await.refused(404, "not-found", "no memory 1");
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_goes_on_with_what_changes() {
    let it = start().await;
    done(&it, "POST", "/v1/tasks", "{\"title\":\"one\"}").await;
    let mut watch = it.stream("/v1/tasks/watch?status=pending", "").await;
    let first = watch.next().await.unwrap();
    assert_eq!(first.event, "update");
    assert_eq!(
        (&first.data["changes"][0]["change"], &first.data["changes"][0]["task"]["title"]),
        (&json!("inserted"), &json!("one"))
    );
    done(&it, "POST", "/v1/tasks/1/rename", "{\"title\":\"first\"}").await;
    assert_eq!(watch.next().await.unwrap().data["changes"][0]["change"], "updated");
    done(&it, "POST", "/v1/tasks/1/complete", "").await;
    let last = watch.next().await.unwrap();
    assert_eq!(last.data["changes"][0]["change"], "removed");
    let mut memories = it.stream("/v1/memories/watch?tag=home", "").await;
    assert_eq!(memories.next().await.unwrap().data["changes"], json!([]));
    done(&it, "POST", "/v1/memories", "{\"content\":\"x\",\"tags\":[\"home\"]}").await;
    assert_eq!(memories.next().await.unwrap().data["changes"][0]["memory"]["content"], "x");
}
