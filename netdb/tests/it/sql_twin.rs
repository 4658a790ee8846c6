//! Tasks and memories by their queries and by SQL, beside each other, at every position.

use base::{SeededRandom, Timestamp};
use netdb::cortex::{Filter, Query, Record};
use netdb::meshdb::output::{Format, Output};
use netdb::{
    Answer, MemoryCommand, MemoryFilter, MemoryQuery, NetDb, SortBy, TaskCommand, TaskFilter, TaskQuery,
    TaskStatus, WriteOptions,
};

const IDS: u64 = 20;
const TAGS: [&str; 3] = ["a", "b", "c"];
/// The orders of queries, and of SQL.
const SORTS: [(SortBy, &str); 6] = [
    (SortBy::IdAsc, "id"),
    (SortBy::IdDesc, "id desc"),
    (SortBy::CreatedAsc, "created, id"),
    (SortBy::CreatedDesc, "created desc, id desc"),
    (SortBy::UpdatedAsc, "updated, id"),
    (SortBy::UpdatedDesc, "updated desc, id desc"),
];

struct Dice(SeededRandom);

impl Dice {
    fn one<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.0.below(of.len() as u64)).unwrap()]
    }

    /// Few different times, so that there are ties.
    fn time(&self) -> Timestamp {
        Timestamp::from_nanos(1_600_000_000_000_000_000 + i64::try_from(self.0.below(5)).unwrap())
    }

    fn is(&self, one_in: u64) -> bool {
        self.0.below(one_in) == 0
    }

    fn query<R: Record<Id = u64>, Q: Filter<R>>(
        &self,
        filter: Q,
        conditions: &[String],
    ) -> (Query<R, Q>, String) {
        let (sort, order) = self.one(&SORTS);
        let mut query = Query::from(filter).order(sort);
        let mut clause = String::new();
        if !conditions.is_empty() {
            clause = format!("where {}", conditions.join(" and "));
        }
        clause += &format!(" order by {order}");
        if self.is(2) {
            let limit = self.0.below(6);
            query = query.limit(usize::try_from(limit).unwrap());
            clause += &format!(" limit {limit}");
        }
        (query, clause)
    }
}

fn lines(answer: &Answer) -> Vec<String> {
    let mut text = Vec::new();
    let mut writer = Output::new(Format::Csv, answer.schema(), &mut text);
    answer.batches().iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    String::from_utf8(text).unwrap().lines().skip(1).map(str::to_owned).collect()
}

async fn ask(db: &NetDb, sql: &str) -> Vec<String> {
    lines(&db.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")))
}

fn write(dice: &Dice, db: &NetDb) {
    let (tasks, memories) = (db.tasks().unwrap(), db.memories().unwrap());
    let options = WriteOptions { at: Some(dice.time()), ..WriteOptions::default() };
    let (id, text) = (dice.0.below(IDS), format!("text {}", dice.0.below(3)));
    let tags: Vec<&str> = (0..dice.0.below(3)).map(|_| dice.one(&TAGS)).collect();
    let task = match dice.0.below(6) {
        0..=2 => TaskCommand::Create { id, title: &text },
        3 => TaskCommand::Rename { id, title: &text },
        4 => TaskCommand::Complete { id },
        _ => TaskCommand::Delete { id },
    };
    let memory = match dice.0.below(6) {
        0..=2 => MemoryCommand::Store { id, content: &text, tags: &tags, source: dice.one(&["s", "t"]) },
        3 => MemoryCommand::Retag { id, tags: &tags },
        4 => MemoryCommand::Pin { id },
        _ => MemoryCommand::Delete { id },
    };
    tasks.write(&task, &options).unwrap();
    memories.write(&memory, &options).unwrap().applied().unwrap();
}

async fn compare(dice: &Dice, db: &NetDb) {
    let snapshot = db.snapshot().unwrap();
    let mut filter = TaskFilter::new();
    let mut conditions = Vec::new();
    if dice.is(2) {
        let status = dice.one(&TaskStatus::ALL);
        filter = filter.status(status);
        conditions.push(format!("status = '{status}'"));
    }
    if dice.is(4) {
        let ids: Vec<u64> = (0..3).map(|_| dice.0.below(IDS)).collect();
        filter = filter.ids(ids.clone());
        conditions.push(format!("id in ({}, {}, {})", ids[0], ids[1], ids[2]));
    }
    if dice.is(4) {
        filter = filter.title_contains("TEXT 1");
        conditions.push("lower(title) like '%text 1%'".to_owned());
    }
    if dice.is(4) {
        let time = dice.time();
        filter = filter.created_from(time);
        conditions.push(format!("created >= '{time}'::timestamp"));
    }
    let (query, clause): (TaskQuery, _) = dice.query(filter, &conditions);
    let tasks = snapshot.tasks().unwrap();
    let form = |id: u64, text: &str, rest: &str, version: u64| format!("{id},{text},{rest},{version}");
    let expected: Vec<String> = query
        .run(tasks)
        .iter()
        .map(|task| form(task.id, &task.title, task.status.as_str(), task.version.0))
        .collect();
    let sql = format!("select id, title, status, version from tasks {clause}");
    assert_eq!(ask(db, &sql).await, expected, "{sql}");

    let mut filter = MemoryFilter::new();
    let mut conditions = Vec::new();
    if dice.is(2) {
        let pinned = dice.is(2);
        filter = filter.pinned(pinned);
        conditions.push(format!("pinned = {pinned}"));
    }
    if dice.is(3) {
        let source = dice.one(&["s", "t"]);
        filter = filter.source(source);
        conditions.push(format!("source = '{source}'"));
    }
    if dice.is(3) {
        let tag = dice.one(&TAGS);
        filter = filter.tag(tag);
        conditions.push(format!("array_has(tags, '{tag}')"));
    }
    let (query, clause): (MemoryQuery, _) = dice.query(filter, &conditions);
    let memories = snapshot.memories().unwrap();
    let expected: Vec<String> = query
        .run(memories)
        .iter()
        .map(|memory| form(memory.id, &memory.content, &memory.source, memory.version.0))
        .collect();
    let sql = format!("select id, content, source, version from memories {clause}");
    assert_eq!(ask(db, &sql).await, expected, "{sql}");

    // All of a statement's tables stand at one position.
    let sql = "select (select count(*) from events) as a, (select count(*) from tasks) as b, \
               (select count(*) from memories where pinned) as c, \
               (select max(folded_through) from system.models) as d";
    let events = db.log().reader().view().channels().unwrap().iter().map(|it| it.next_seq.0).sum::<u64>();
    let found = format!("{events},{},{},{}", tasks.len(), memories.count_pinned(), snapshot.position);
    assert_eq!(ask(db, sql).await, [found]);
}

#[tokio::test]
async fn sql_and_queries_agree_at_every_position() {
    for seed in 0..4 {
        let dice = Dice(SeededRandom::new(seed));
        let db = NetDb::builder().in_memory().with_tasks().with_memories().open().unwrap();
        for _ in 0..60 {
            write(&dice, &db);
            compare(&dice, &db).await;
        }
        db.close().unwrap();
    }
}

#[tokio::test]
async fn the_public_schema_lists_models_and_channels_of_plain_names() {
    let db = NetDb::builder().in_memory().with_tasks().open().unwrap();
    for name in ["orders", "orders/audit", "Orders2", "tasks"] {
        db.channel(name).unwrap().append("k", b"{}").unwrap();
    }
    let sql = "select table_name from information_schema.tables where table_schema = 'public' order by 1";
    assert_eq!(ask(&db, sql).await, ["blobs", "events", "orders", "pins", "tasks"]);
    let sql = "select table_name from information_schema.tables where table_schema = 'channels' order by 1";
    assert_eq!(ask(&db, sql).await, ["Orders2", "orders", "orders/audit", "tasks"]);
    assert_eq!(ask(&db, "select count(*) from channels.\"orders/audit\"").await, ["1"]);
}
