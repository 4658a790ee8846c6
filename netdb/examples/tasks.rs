//! Tasks and memories: typed state over the log, with queries, watches, read-your-writes and persistence.
//!
//! ```sh
//! cargo run -p netdb --example tasks
//! ```

use std::time::Duration;

use netdb::{MemoryFilter, NetDb, SortBy, TaskFilter, TaskQuery, TaskStatus};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let open = || NetDb::builder().directory(place.path()).with_tasks().with_memories().open();

    let db = open()?;
    let tasks = db.tasks()?;
    tasks.create(1, "write docs")?.applied_async().await?;

    // What is there now, and then whatever changes it.
    let pending = TaskQuery::from(TaskFilter::new().status(TaskStatus::Pending)).order(SortBy::IdAsc);
    let (results, mut watch) = tasks.snapshot_and_watch(pending)?;
    println!("initial: {} pending", results.len());
    tasks.create(2, "review docs")?;
    tasks.complete(1)?.applied_async().await?;
    let update = watch.next().await?;
    for delta in &update.deltas {
        println!("changed: {delta:?}");
    }

    // A token says which state includes a write; whoever has it can wait for that state.
    let memories = db.memories()?;
    let token = memories.store(1, "docs are read first", &["writing"], "experience")?.token();
    let token = token.ok_or("the write was rejected")?;
    memories.wait_for(&token, Some(Duration::from_secs(5)))?;
    let found = memories.snapshot()?.state.find_many(&MemoryFilter::new().tag("writing"));
    println!("read back: {}", found[0].content);

    // All models at one position; written down, it is where a later opening goes on.
    let snapshot = db.snapshot()?;
    println!("{} bytes of snapshot at position {}", snapshot.encode().len(), snapshot.position);
    db.close()?;
    drop((db, tasks, memories, watch));

    let db = open()?;
    let again = db.snapshot()?;
    assert_eq!((again.tasks(), again.memories()), (snapshot.tasks(), snapshot.memories()));
    println!("the same after reopening");
    db.close()?;
    Ok(())
}
