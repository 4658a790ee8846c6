//! Models as tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Classify, ErrorKind, SeededRandom};
use cortex::{Column, ErrorPolicy, Fold, FoldStopped, ModelTable, PinnedTable, RunMode, Tabular, ValueType};
use datafusion::arrow::util::pretty::pretty_format_batches;
use meshdb::{Limits, ModelTableError, Principal, QueryError};
use redex::EventInput;

use crate::models::accounts::{Accounts, Bank, CHANNEL};

pub mod accounts;

impl Bank {
    fn text(&self, sql: &str) -> String {
        let batches = self.fixture.run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        pretty_format_batches(&batches).unwrap().to_string()
    }

    /// The rows of a statement as lines, columns divided by spaces.
    fn rows(&self, sql: &str) -> Vec<String> {
        let text = self.text(sql);
        let lines = text.lines().filter(|line| line.starts_with('|')).skip(1);
        lines.map(|line| line.replace('|', " ").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn error(&self, sql: &str) -> QueryError {
        self.fixture.run(sql).expect_err(sql)
    }

    /// The rows that a statement reads from models, with the number of rows of each of its batches.
    fn scanned(&self, sql: &str) -> (u64, Vec<usize>) {
        self.fixture.block_on(async {
            let (owner, limits) = (Principal::owner(), Limits::default());
            let mut result = self.fixture.gateway.execute(&owner, sql, &[], &limits).await.unwrap();
            let mut batches = Vec::new();
            while let Some(batch) = result.next().await {
                batches.push(batch.unwrap().num_rows());
            }
            (result.scanned().rows, batches)
        })
    }
}

#[test]
fn every_type_of_value_is_a_column() {
    let bank = Bank::new();
    bank.write("opened", r#"{"id":7,"owner":"ada","tags":["home","family"]}"#);
    bank.write("opened", r#"{"id":8,"owner":"bob"}"#);
    bank.write("paid", r#"{"id":7,"amount":-5}"#);
    bank.write("closed", r#"{"id":7}"#);
    assert_eq!(
        bank.rows(
            "select id, owner, balance, rate, closed, tags, closed_at is null from accounts order by id"
        ),
        ["7 ada -5 0.25 true [family, home] false", "8 bob 0 0.25 false [] true"]
    );
    let opened = "select a.id from accounts a join events e \
         on a.opened_at = e.recorded_at and e.payload->>'owner' = a.owner order by a.id";
    assert_eq!(bank.rows(opened), ["7", "8"]);
    assert_eq!(
        bank.rows("select t from (select unnest(tags) t from accounts) order by t"),
        ["family", "home"]
    );
    assert_eq!(
        bank.rows("describe accounts"),
        [
            "id UInt64 NO",
            "owner Utf8View NO",
            "balance Int64 NO",
            "rate Float64 NO",
            "closed Boolean NO",
            "tags List(non-null Utf8View) NO",
            "opened_at Timestamp(ns, \"UTC\") NO",
            "closed_at Timestamp(ns, \"UTC\") YES",
        ]
    );
}

/// A table that opens an account as soon as it is pinned.
struct Busy {
    table: Arc<dyn ModelTable>,
    on_pin: Box<dyn Fn() + Send + Sync>,
}

impl ModelTable for Busy {
    fn table(&self) -> &str {
        self.table.table()
    }

    fn columns(&self) -> &[Column] {
        self.table.columns()
    }

    fn pin(&self) -> Result<Arc<dyn PinnedTable>, FoldStopped> {
        let pinned = self.table.pin();
        (self.on_pin)();
        pinned
    }
}

#[test]
fn what_is_written_while_models_are_pinned_is_in_no_table_of_the_statement() {
    let mut bank = Bank::hidden(Accounts::named("accounts"), ErrorPolicy::Stop, RunMode::Thread);
    let writer = Arc::new(bank.fixture.store.main().clone());
    let other = bank.runner.add(Accounts::named("others"), ErrorPolicy::Stop, None).unwrap();
    let next = AtomicU64::new(100);
    let busy = Busy {
        table: Arc::new(bank.accounts.clone()),
        on_pin: Box::new(move || {
            let payload = format!(r#"{{"id":{}}}"#, next.fetch_add(1, Ordering::Relaxed));
            let channel = base::ChannelName::new(CHANNEL).unwrap();
            let events = [EventInput::new("opened", payload.as_bytes())];
            let parts = [redex::ChannelEvents { channel: &channel, events: &events }];
            let request = redex::AppendRequest { parts: &parts, ..redex::AppendRequest::default() };
            writer.submit(&request).unwrap().wait(redex::Ack::Durable).into_result().unwrap();
        }),
    };
    bank.show(vec![Arc::new(busy), Arc::new(other)]);
    bank.open(0..3, "ada");
    for count in 3..10 {
        let sql = "select (select count(owner) from accounts), (select count(owner) from others), \
                (select count(kind) from bank), (select max(events_total) from system.models)";
        assert_eq!(bank.rows(sql), [format!("{count} {count} {count} {count}")]);
    }
}

/// Lets the writer come to its end, also when the test fails.
struct WriterEnds<'a>(&'a AtomicU64, u64);

impl Drop for WriterEnds<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Relaxed);
    }
}

#[test]
fn events_and_rows_agree_while_somebody_writes() {
    const STATEMENTS: u64 = 100;
    let bank = Bank::with(Accounts::named("accounts"), ErrorPolicy::Stop, RunMode::Thread);
    bank.open(0..1, "ada");
    let begun = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 1..STATEMENTS * 20 {
                // Writes while a statement runs, and not without end.
                while id >= begun.load(Ordering::Relaxed) * 20 {
                    std::thread::yield_now();
                }
                bank.open(id..id + 1, "ada");
            }
        });
        let _writer_ends = WriterEnds(&begun, STATEMENTS);
        for statement in 1..=STATEMENTS {
            begun.store(statement, Ordering::Relaxed);
            let sql = "select count(*) || ' ' || count(a.id) || ' ' || count(e.seq) \
                 from accounts a full join bank e on a.id = e.seq";
            let rows = bank.rows(sql);
            let counts: Vec<&str> = rows[0].split(' ').collect();
            assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
        }
    });
}

#[test]
fn a_statement_folds_only_for_the_models_that_it_names() {
    let bank = Bank::new();
    bank.open(0..3, "ada");
    for sql in
        ["select count(*) from events", "select * from bank", "show tables", "select * from system.logs"]
    {
        bank.text(sql);
    }
    assert_eq!(bank.runner.folded(), base::Position(0));
    assert_eq!(bank.rows("select count(*) from accounts"), ["3"]);
    assert_eq!(bank.runner.folded(), base::Position(1));
}

#[test]
fn equalities_and_sets_reach_the_model() {
    let bank = Bank::new();
    bank.open(0..50, "ada");
    bank.open(50..60, "bob");
    bank.write("closed", r#"{"id":7}"#);
    let select = |condition: &str| format!("select id from accounts where {condition} order by id");
    for (condition, shown, read) in [
        ("id = 7", "id=[7]", 1),
        ("7 = id", "id=[7]", 1),
        ("id = 7 and balance = 0", "id=[7]", 1),
        ("id in (7, 9, 70)", "id=[7, 9, 70]", 2),
        ("id in (1, 2, 3, 4, 5, 6) and id in (5, 6, 7)", "id=[5, 6]", 2),
        ("id = 7 or id = 51", "id=[7, 51]", 2),
        ("(id = 7 and balance = 0) or (id = 8 and closed)", "id=[7, 8]", 2),
        ("owner = 'bob'", "owner=[bob]", 10),
        ("id in (7, 51) and owner = 'bob'", "id=[7, 51], owner=[bob]", 2),
        ("closed", "closed=[true]", 60),
        ("not closed and owner = 'bob'", "owner=[bob], closed=[false]", 10),
        ("opened_at = '2020-01-01T00:00:00Z'", "opened_at=[2020-01-01T00:00:00Z]", 60),
        // What a model does not find by value, or not by one value, is not pushed down.
        ("balance = 0", "", 60),
        ("id > 57", "", 60),
        ("id = 7 or balance = 1", "", 60),
        ("id not in (1, 2)", "", 60),
    ] {
        let plan = bank.text(&format!("explain {}", select(condition)));
        let shown = if shown.is_empty() { String::new() } else { format!(", {shown}") };
        assert!(
            plan.contains(&format!("ModelScan: table=accounts{shown}, position=3,")),
            "{condition}: {plan}"
        );
        assert_eq!(bank.scanned(&select(condition)).0, read, "{condition}");
    }
    for (condition, rows) in [("id = -1", 0), ("id = 1 and id = 2", 0), ("id = 7 and closed", 1)] {
        assert_eq!(bank.rows(&select(condition)).len(), rows, "{condition}");
    }
    let plan = bank.text("explain analyze select owner from accounts where id in (7, 9)");
    assert!(plan.contains("rows=2") && plan.contains("position=3, columns=[id, owner]"), "{plan}");
}

#[test]
fn pushed_predicates_give_the_rows_of_naive_ones() {
    let random = SeededRandom::new(5);
    let bank = Bank::new();
    for id in 0..40 {
        bank.open(id..id + 1, ["ada", "bob", "eve"][random.below(3) as usize]);
        if random.below(3) == 0 {
            bank.write("closed", &format!(r#"{{"id":{id}}}"#));
        }
    }
    let predicate = || {
        let (id, other) = (random.below(50), random.below(50));
        let owner = ["ada", "bob", "eve", "zoe"][random.below(4) as usize];
        match random.below(6) {
            0 => (format!("id = {id}"), format!("id + 0 = {id}")),
            1 => (format!("id in ({id}, {other}, 3)"), format!("id + 0 in ({id}, {other}, 3)")),
            2 => (format!("owner = '{owner}'"), format!("owner || '' = '{owner}'")),
            3 => (format!("owner in ('ada', '{owner}')"), format!("owner || '' in ('ada', '{owner}')")),
            4 => ("closed".to_owned(), "closed_at is not null".to_owned()),
            _ => ("closed = false".to_owned(), "closed_at is null".to_owned()),
        }
    };
    for _ in 0..150 {
        let parts: Vec<_> = (0..1 + random.below(3)).map(|_| predicate()).collect();
        let joined = [" and ", " or "][random.below(2) as usize];
        let sql = |pick: fn(&(String, String)) -> &str| {
            let condition: Vec<&str> = parts.iter().map(pick).collect();
            format!("select id, owner, closed from accounts where {} order by id", condition.join(joined))
        };
        let (pushed, naive) = (sql(|(pushed, _)| pushed), sql(|(_, naive)| naive));
        assert_eq!(bank.rows(&pushed), bank.rows(&naive), "{pushed}");
    }
}

#[test]
fn only_the_columns_that_are_used_are_made() {
    let bank = Bank::new();
    bank.open(0..3, "ada");
    let asked = &bank.accounts.fold().asked;
    for (sql, columns) in [
        ("select owner from accounts", &["owner"][..]),
        ("select id from accounts where balance = 0", &["balance", "id"]),
        ("select count(*) from accounts", &[]),
        ("select 1 from accounts", &[]),
    ] {
        asked.lock().unwrap().clear();
        bank.text(sql);
        assert!(asked.lock().unwrap().iter().eq(columns), "{sql}: {asked:?}");
    }
    assert_eq!(bank.scanned("select count(*) from accounts").0, 0);
    assert_eq!(bank.rows("select count(*) from accounts where owner = 'ada'"), ["3"]);
}

#[test]
fn batches_are_bounded_and_a_limit_ends_the_reading() {
    let bank = Bank::new();
    bank.open(0..20_000, "ada");
    let (rows, batches) = bank.scanned("select id from accounts");
    assert_eq!((rows, batches.iter().sum::<usize>()), (20_000, 20_000));
    assert!(batches.iter().all(|rows| *rows <= 8_192), "{batches:?}");
    assert_eq!(bank.scanned("select id from accounts limit 3"), (3, vec![3]));

    let bank = Bank::new();
    let long = "x".repeat(1 << 20);
    for id in 0..10 {
        bank.open(id..id + 1, &long);
    }
    let (_, batches) = bank.scanned("select owner from accounts");
    assert!(batches.len() >= 3 && batches.iter().all(|rows| *rows <= 4), "{batches:?}");
}

#[test]
fn limits_hold_for_rows_of_models() {
    let bank = Bank::new();
    bank.open(0..20_000, "a name of some length");
    let sql = "select * from accounts";
    let rows = Limits { rows_max: Some(100), ..Limits::default() };
    let error = bank.fixture.run_with(sql, &rows).unwrap_err();
    assert!(matches!(error, QueryError::TooManyRows { max: 100 }), "{error}");
    let bytes = Limits { bytes_scanned_max: Some(100_000), ..Limits::default() };
    let error = bank.fixture.run_with(sql, &bytes).unwrap_err();
    assert!(matches!(error, QueryError::TooManyBytes { max: 100_000 }), "{error}");
    bank.fixture.run_with("select id from accounts limit 5", &bytes).unwrap();
    // The runtime waits for its blocking threads when it is dropped.
    bank.fixture.block_on(async {
        let (owner, limits) = (Principal::owner(), Limits::default());
        let sql = "select a.id from accounts a, accounts b";
        let mut result = bank.fixture.gateway.execute(&owner, sql, &[], &limits).await.unwrap();
        result.next().await;
    });
}

#[test]
fn unknown_names_say_what_is_alike() {
    let bank = Bank::new();
    bank.open(0..1, "ada");
    assert_eq!(
        bank.error("select ownr from accounts").to_string(),
        "column `ownr` does not exist, did you mean owner?"
    );
    assert_eq!(
        bank.error("select * from acounts").to_string(),
        "table `acounts` does not exist, did you mean accounts?"
    );
    assert_eq!(
        bank.error("select * from channels.accounts").to_string(),
        "table `channels.accounts` does not exist, did you mean accounts?"
    );
}

#[test]
fn a_model_hides_the_channel_of_its_name_in_public_only() {
    let bank = Bank::new();
    bank.open(0..3, "ada");
    bank.fixture.append("accounts", &[EventInput::new("k", b"{}")]);
    assert_eq!(bank.rows("select count(id) from accounts"), ["3"]);
    assert_eq!(bank.rows("select count(id) from public.accounts"), ["3"]);
    assert_eq!(bank.rows("select count(seq) from channels.accounts"), ["1"]);
    let listed = "select table_schema, table_name from information_schema.tables \
         where table_name = 'accounts' order by 1";
    assert_eq!(bank.rows(listed), ["channels accounts", "public accounts"]);
}

#[test]
fn skipped_events_are_listed_and_lead_to_their_events() {
    let bank = Bank::with(Accounts::named("accounts"), ErrorPolicy::SkipAndRecord, RunMode::Manual);
    bank.open(0..2, "ada");
    bank.write("paid", r#"{"amount":1}"#);
    bank.write("unheard.of", "");
    bank.write("paid", r#"{"id":1,"amount":1}"#);
    assert_eq!(
        bank.rows("select model, channel, seq, position, kind, reason from system.skipped"),
        ["accounts bank 2 1 paid no id"]
    );
    let sql = "select s.model, e.payload from system.skipped s join events e using (channel, seq, position, recorded_at, kind)";
    assert_eq!(bank.rows(sql), [r#"accounts {"amount":1}"#]);
    assert_eq!(bank.rows("select * from system.models"), ["accounts 3 [bank] 4 4 0 5 1 1"]);
}

#[test]
fn a_stopped_model_is_an_error_where_its_rows_are_read_and_nowhere_else() {
    let mut bank = Bank::hidden(Accounts::named("accounts"), ErrorPolicy::Stop, RunMode::Thread);
    let lenient = bank.runner.add(Accounts::named("lenient"), ErrorPolicy::SkipAndRecord, None).unwrap();
    bank.show(vec![Arc::new(bank.accounts.clone()), Arc::new(lenient)]);
    bank.open(0..2, "ada");
    bank.write("paid", "?");
    bank.open(2..3, "ada");
    for sql in [
        "select * from accounts",
        "select count(*) from lenient l, accounts a",
        "select count(*) from accounts",
    ] {
        let error = bank.error(sql);
        assert!(matches!(&error, QueryError::ModelStopped { table, .. } if table == "accounts"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(
            text.starts_with("table `accounts` cannot be read: model `accounts` stopped at event 2"),
            "{text}"
        );
    }
    assert_eq!(bank.rows("select count(id) from lenient"), ["3"]);
    assert_eq!(bank.rows("select count(kind) from bank"), ["4"]);
    assert_eq!(bank.rows("describe accounts").len(), 8);
    let sql = "select model, folded_through, lag, stopped is null from system.models order by model";
    assert_eq!(bank.rows(sql), ["accounts 1 2 false", "lenient 3 0 true"]);
}

#[test]
fn a_closed_log_and_its_models_stay_readable() {
    let bank = Bank::with(Accounts::named("accounts"), ErrorPolicy::Stop, RunMode::Thread);
    bank.open(0..3, "ada");
    bank.fixture.store.close().unwrap();
    assert_eq!(bank.rows("select count(id) from accounts"), ["3"]);
    assert_eq!(bank.rows("select lag from system.models"), ["0"]);
}

#[test]
fn a_value_of_another_type_than_its_column_is_a_defect_that_names_both() {
    let mut accounts = Accounts::named("accounts");
    accounts.columns[1] = Column::new("owner", ValueType::Bool, "");
    accounts.columns[7] = Column::new("closed_at", ValueType::Time, "");
    let bank = Bank::with(accounts, ErrorPolicy::Stop, RunMode::Manual);
    bank.open(0..1, "ada");
    assert_eq!(
        bank.error("select owner from accounts").to_string(),
        "column `owner` of table `accounts` is to hold bool, and its model gave text: mend the model"
    );
    assert_eq!(
        bank.error("select closed_at from accounts").to_string(),
        "column `closed_at` of table `accounts` is to hold time, and its model gave no value: mend the model"
    );
}

#[test]
fn names_that_cannot_stand_in_a_statement_are_refused() {
    let show = |accounts: Accounts| {
        let bank = Bank::hidden(accounts, ErrorPolicy::Stop, RunMode::Manual);
        let table: Arc<dyn ModelTable> = Arc::new(bank.accounts.clone());
        let once = bank.fixture.gateway.clone().with_models(bank.runner.clone(), vec![table.clone()]);
        once.and_then(|gateway| gateway.with_models(bank.runner.clone(), vec![table])).unwrap_err()
    };
    for name in ["events", "Accounts", "a b", "", "1a"] {
        assert!(matches!(show(Accounts::named(name)), ModelTableError::Name { .. }), "{name}");
    }
    assert!(matches!(show(Accounts::named("accounts")), ModelTableError::Twice { .. }));
    let mut twice = Accounts::named("accounts");
    twice.columns[1] = Column::new("id", ValueType::Text, "");
    let error = show(twice);
    assert!(matches!(&error, ModelTableError::Column { column, .. } if column == "id"), "{error}");
}

#[test]
fn a_table_is_named_as_its_model_by_default() {
    let accounts = Accounts::named("a_model");
    assert_eq!(accounts.table(), accounts.name());
}
