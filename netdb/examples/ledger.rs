//! A bank's ledger: a model of the application's own, with its rules, queries, watch, tokens and table in SQL.
//!
//! ```sh
//! cargo run -p netdb --example ledger
//! ```

use netdb::base::ChannelName;
use std::ops::ControlFlow;

use netdb::cortex::{
    Applied, Change, Changes, Column, Filter, Fold, FoldError, Folded, Portable, Query, Record, Row, RowSink,
    RowsRequest, Table, Tabular, Value, ValueType, WriteError, Written,
};
use netdb::redex::{AppendError, AppendRequest, ChannelEvents, EventInput, EventRef};
use netdb::{Model, NetDb, Snapshot};
use serde::{Deserialize, Serialize};

/// An account. Amounts are cents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    id: u64,
    owner: String,
    balance: i64,
}

/// What the table needs to know of accounts: those with money and those without, by balance.
impl Record for Account {
    type Id = u64;
    type Group = String;

    const ID_MIN: u64 = u64::MIN;
    const ID_MAX: u64 = u64::MAX;
    const PARTITIONS: usize = 2;
    const ORDERS: usize = 1;

    fn id(&self) -> u64 {
        self.id
    }

    fn partition(&self) -> usize {
        usize::from(self.balance > 0)
    }

    fn rank(&self, _: usize) -> i64 {
        self.balance
    }

    fn groups(&self, visit: &mut dyn FnMut(&String)) {
        visit(&self.owner);
    }
}

/// What happens in the bank: the payload of its events.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Booking {
    Opened { account: u64, owner: String },
    Deposited { account: u64, cents: i64 },
    Transferred { from: u64, to: u64, cents: i64 },
}

/// The bank's rules.
struct Ledger {
    channel: ChannelName,
}

impl Fold for Ledger {
    type State = Table<Account>;
    type Change = Change<Account>;

    fn name(&self) -> &str {
        "accounts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![self.channel.clone()]
    }

    fn apply(
        &self,
        accounts: &mut Table<Account>,
        event: &EventRef<'_>,
        changes: &mut Changes<'_, Change<Account>>,
    ) -> Result<Applied, FoldError> {
        if event.kind != "booked" {
            return Ok(Applied::Ignored);
        }
        let mut put = |accounts: &mut Table<Account>, account: Account| {
            let change = accounts.put(account);
            changes.note(|| change);
        };
        match serde_json::from_slice(event.payload).map_err(FoldError::new)? {
            Booking::Opened { account, owner } => {
                if accounts.get(account).is_some() {
                    return Ok(Applied::Refused { reason: format!("account {account} is open already") });
                }
                put(accounts, Account { id: account, owner, balance: 0 });
            }
            Booking::Deposited { account, cents } => {
                let Some(known) = accounts.find_unique(account) else { return Ok(Applied::NotFound) };
                put(accounts, Account { balance: known.balance + cents, ..(*known).clone() });
            }
            Booking::Transferred { from, to, cents } => {
                let (Some(payer), Some(payee)) = (accounts.find_unique(from), accounts.find_unique(to))
                else {
                    return Ok(Applied::NotFound);
                };
                if payer.balance < cents || cents <= 0 || from == to {
                    let reason = format!("account {from} has {} cents, not {cents}", payer.balance);
                    return Ok(Applied::Refused { reason });
                }
                put(accounts, Account { balance: payer.balance - cents, ..(*payer).clone() });
                put(accounts, Account { balance: payee.balance + cents, ..(*payee).clone() });
            }
        }
        Ok(Applied::Changed)
    }
}

/// What SQL sees: the table `accounts`.
impl Tabular for Ledger {
    fn columns(&self) -> &[Column] {
        const COLUMNS: &[Column] = &[
            Column::new("id", ValueType::U64, "what names the account").key(),
            Column::new("owner", ValueType::Text, "whose it is"),
            Column::new("balance", ValueType::I64, "in cents"),
        ];
        COLUMNS
    }

    fn count(&self, accounts: &Table<Account>) -> usize {
        accounts.len()
    }

    fn rows(
        &self,
        accounts: &Table<Account>,
        request: &RowsRequest,
        sink: &mut RowSink<'_>,
    ) -> ControlFlow<()> {
        match request.numbers(0) {
            Some(ids) => ids.filter_map(|id| accounts.get(id)).try_for_each(|account| sink(&**account)),
            None => accounts.iter().try_for_each(|account| sink(&**account)),
        }
    }
}

impl Row for Account {
    fn value(&self, column: usize) -> Value<'_> {
        match column {
            0 => self.id.into(),
            1 => self.owner.as_str().into(),
            _ => self.balance.into(),
        }
    }
}

/// How accounts are written down, for snapshots and checkpoints.
impl Portable for Ledger {
    fn key(&self, id: u64) -> Vec<u8> {
        id.to_be_bytes().to_vec()
    }

    fn export(&self, account: &Account) -> serde_json::Value {
        serde_json::to_value(account).expect("accounts have a JSON form")
    }

    fn import(&self, form: serde_json::Value, _: &Table<Account>) -> Result<Account, FoldError> {
        serde_json::from_value(form).map_err(FoldError::new)
    }
}

/// Which accounts are wanted.
#[derive(Debug, Clone, Default)]
struct AccountFilter {
    owner: Option<String>,
}

impl Filter<Account> for AccountFilter {
    fn matches(&self, account: &Account) -> bool {
        self.owner.as_ref().is_none_or(|owner| account.owner == *owner)
    }

    fn groups(&self) -> Vec<Vec<String>> {
        self.owner.iter().map(|owner| vec![owner.clone()]).collect()
    }
}

fn book(bank: &Folded<Ledger>, booking: &Booking) -> Result<Written<Ledger>, AppendError> {
    let payload = serde_json::to_vec(booking).expect("bookings have a JSON form");
    let events = [EventInput::new("booked", &payload)];
    let parts = [ChannelEvents { channel: &bank.fold().channel, events: &events }];
    bank.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let open = |snapshot: Option<Snapshot>| -> Result<NetDb, Box<dyn std::error::Error>> {
        let ledger = Ledger { channel: ChannelName::new("bank/bookings")? };
        let builder = NetDb::builder().directory(place.path());
        let builder = builder.with(Model::new(ledger).table().portable());
        Ok(snapshot.into_iter().fold(builder, |builder, snapshot| builder.from_snapshot(snapshot)).open()?)
    };
    let db = open(None)?;
    let bank = db.model::<Ledger>()?;

    let owners = Query::from(AccountFilter { owner: Some("Ada".to_owned()) });
    let (_, mut watch) = bank.snapshot_and_watch(owners)?;

    book(&bank, &Booking::Opened { account: 1, owner: "Ada".to_owned() })?;
    book(&bank, &Booking::Opened { account: 2, owner: "Bob".to_owned() })?;
    book(&bank, &Booking::Deposited { account: 1, cents: 10_000 })?;

    // Many book at once; the fold decides in the order of the log, so that nobody spends what is not there.
    let outcomes: Vec<Applied> = std::thread::scope(|scope| {
        let transfer = || -> Result<Applied, WriteError> {
            book(&bank, &Booking::Transferred { from: 1, to: 2, cents: 3_000 })?.applied()
        };
        let clerks: Vec<_> = (0..5).map(|_| scope.spawn(transfer)).collect();
        clerks.into_iter().map(|clerk| clerk.join().expect("a clerk panicked")).collect::<Result<_, _>>()
    })?;
    let refused = outcomes.iter().filter(|outcome| !outcome.is_effective()).count();
    println!("{refused} of {} transfers were refused", outcomes.len());

    let accounts = bank.snapshot()?.state;
    for account in accounts.iter() {
        println!("account {} of {}: {} cents", account.id, account.owner, account.balance);
    }
    let total: i64 = accounts.iter().map(|account| account.balance).sum();
    assert_eq!((refused, total), (2, 10_000), "money is neither made nor lost");

    if let Some(update) = watch.try_next()? {
        println!("the watch on Ada's accounts saw {:?}", update.results.to_vec());
    }

    // Whoever is given the token of a write sees it, too.
    let deposited = book(&bank, &Booking::Deposited { account: 2, cents: 500 })?;
    let token = deposited.token().ok_or("the booking was rejected")?;
    bank.reached(&token)?.await?;
    println!("{}", db.sql("select id, owner, balance / 100.0 as euros from accounts order by id").await?);

    // The state written down is where a later opening goes on, without folding what came before.
    let snapshot = db.snapshot()?;
    let written = snapshot.encode();
    drop((bank, watch));
    db.close()?;
    drop(db);
    let db = open(Some(Snapshot::decode(&written)?))?;
    assert_eq!(db.snapshot()?.model::<Ledger>(), snapshot.model::<Ledger>());
    println!("folded again: {} events", db.model::<Ledger>()?.metrics().events_total);
    db.close()?;
    Ok(())
}
