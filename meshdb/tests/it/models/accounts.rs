//! A small model: bank accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use base::{ChannelName, Timestamp};
use cortex::{
    Applied, Changes, Column, ErrorPolicy, Fold, FoldError, Folded, Row, RowSink, RowsRequest, RunMode,
    Runner, RunnerOptions, Tabular, Value, ValueType,
};
use redex::{EventInput, EventRef};

use crate::fixture::Fixture;

/// The channel that is folded.
pub const CHANNEL: &str = "bank";

const ID: usize = 0;
const OWNER: usize = 1;
const COLUMNS: [Column; 8] = [
    Column::new("id", ValueType::U64, "number of the account").key(),
    Column::new("owner", ValueType::Text, "whose it is").indexed(),
    Column::new("balance", ValueType::I64, "what is on it, in cents"),
    Column::new("rate", ValueType::F64, "what it bears"),
    Column::new("closed", ValueType::Bool, "whether it is closed").indexed(),
    Column::new("tags", ValueType::Texts, "what it is for"),
    Column::new("opened_at", ValueType::Time, "when it was opened").indexed(),
    Column::new("closed_at", ValueType::Time, "when it was closed").or_null(),
];

/// Folds accounts: `opened` with `id`, `owner` and `tags`, `paid` with `id` and `amount`, `closed` with `id`. Other
/// kinds are ignored, and payloads that are not JSON cannot be applied.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub name: &'static str,
    pub columns: Vec<Column>,
    /// The columns of which values were asked for.
    pub asked: Arc<Mutex<BTreeSet<&'static str>>>,
}

#[derive(Debug, Clone)]
pub struct Account {
    id: u64,
    owner: String,
    balance: i64,
    tags: BTreeSet<String>,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
}

/// Accounts by their numbers.
pub type State = Arc<BTreeMap<u64, Arc<Account>>>;

impl Accounts {
    pub fn named(name: &'static str) -> Self {
        Self { name, columns: COLUMNS.to_vec(), asked: Arc::default() }
    }
}

impl Fold for Accounts {
    type State = State;
    type Change = ();

    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> u32 {
        3
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![ChannelName::new(CHANNEL).unwrap()]
    }

    fn apply(
        &self,
        state: &mut State,
        event: &EventRef<'_>,
        _: &mut Changes<'_, ()>,
    ) -> Result<Applied, FoldError> {
        if !["opened", "paid", "closed"].contains(&event.kind) {
            return Ok(Applied::Ignored);
        }
        let payload: serde_json::Value = serde_json::from_slice(event.payload).map_err(FoldError::new)?;
        let id = payload["id"].as_u64().ok_or_else(|| FoldError::new("no id"))?;
        let accounts = Arc::make_mut(state);
        if event.kind == "opened" {
            let tags = payload["tags"].as_array().into_iter().flatten();
            let account = Account {
                id,
                owner: payload["owner"].as_str().unwrap_or("nobody").to_owned(),
                balance: 0,
                tags: tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
                opened_at: event.recorded_at,
                closed_at: None,
            };
            accounts.insert(id, Arc::new(account));
            return Ok(Applied::Changed);
        }
        let Some(account) = accounts.get_mut(&id).map(Arc::make_mut) else { return Ok(Applied::NotFound) };
        match event.kind {
            "paid" => account.balance += payload["amount"].as_i64().unwrap_or(0),
            _ => account.closed_at = Some(event.recorded_at),
        }
        Ok(Applied::Changed)
    }
}

impl Tabular for Accounts {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, state: &State) -> usize {
        state.len()
    }

    /// Finds accounts by number, or else by owner, and by nothing else.
    fn rows(&self, state: &State, request: &RowsRequest, sink: &mut RowSink<'_>) -> ControlFlow<()> {
        let mut give = |account: &Account| sink(&Shown { model: self, account });
        match (request.numbers(ID), request.texts(OWNER)) {
            (Some(mut ids), _) => {
                ids.try_for_each(|id| state.get(&id).map_or(ControlFlow::Continue(()), |found| give(found)))
            }
            (None, Some(owners)) => {
                let owners: BTreeSet<&str> = owners.collect();
                let mut found = state.values().filter(|account| owners.contains(account.owner.as_str()));
                found.try_for_each(|account| give(account))
            }
            (None, None) => state.values().try_for_each(|account| give(account)),
        }
    }
}

struct Shown<'a> {
    model: &'a Accounts,
    account: &'a Account,
}

impl Row for Shown<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        self.model.asked.lock().unwrap().insert(COLUMNS[column].name);
        let account = self.account;
        match COLUMNS[column].name {
            "id" => account.id.into(),
            "owner" => account.owner.as_str().into(),
            "balance" => account.balance.into(),
            "rate" => 0.25.into(),
            "closed" => account.closed_at.is_some().into(),
            "tags" => Value::Texts(&account.tags),
            "opened_at" => account.opened_at.into(),
            _ => account.closed_at.into(),
        }
    }
}

/// A log with its models, and a gateway over both.
pub struct Bank {
    pub fixture: Fixture,
    pub runner: Runner,
    pub accounts: Folded<Accounts>,
}

impl Bank {
    /// A bank whose accounts are only folded when somebody wants to see them.
    pub fn new() -> Self {
        Self::with(Accounts::named("accounts"), ErrorPolicy::Stop, RunMode::Manual)
    }

    pub fn with(accounts: Accounts, policy: ErrorPolicy, mode: RunMode) -> Self {
        let mut bank = Self::hidden(accounts, policy, mode);
        bank.show(vec![Arc::new(bank.accounts.clone())]);
        bank
    }

    /// A bank whose models the gateway does not know of yet.
    pub fn hidden(accounts: Accounts, policy: ErrorPolicy, mode: RunMode) -> Self {
        let fixture = Fixture::new();
        let mut options = RunnerOptions::default();
        options.mode = mode;
        let main = fixture.store.main();
        let runner = Runner::new(main.reader(), base::Doors::memory().clock, options);
        let accounts = runner.add(accounts, policy, Some(Arc::new(main.clone()))).unwrap();
        Self { fixture, runner, accounts }
    }

    /// Begins to fold, and shows these tables.
    pub fn show(&mut self, tables: Vec<Arc<dyn cortex::ModelTable>>) {
        self.runner.start();
        let gateway = self.fixture.gateway.clone();
        self.fixture.gateway = gateway.with_models(self.runner.clone(), tables).unwrap();
    }

    pub fn write(&self, kind: &str, payload: &str) {
        self.fixture.append(CHANNEL, &[EventInput::new(kind, payload.as_bytes())]);
    }

    /// Opens accounts in one entry.
    pub fn open(&self, ids: std::ops::Range<u64>, owner: &str) {
        let payloads: Vec<String> = ids.map(|id| format!(r#"{{"id":{id},"owner":"{owner}"}}"#)).collect();
        let events: Vec<_> =
            payloads.iter().map(|payload| EventInput::new("opened", payload.as_bytes())).collect();
        self.fixture.append(CHANNEL, &events);
    }
}
