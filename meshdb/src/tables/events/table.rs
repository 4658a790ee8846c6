//! What `events` and the channels answer the planner.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use base::ChannelName;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use redex::{Channels, Selection};

use super::scan::{EventScan, Part, Plan};
use super::schema::{Column, schema};
use super::split::{self, Stretch};
use crate::cut::{Channel, Cut, PinnedLog};
use crate::limits::{PARTITION_EVENTS_MIN, SCAN_WINDOW_BYTES};
use crate::pushdown::{self, Pushed, Span};
use crate::result::Meter;

/// Which events a table has.
#[derive(Debug)]
pub(crate) enum Scope {
    /// Those of all channels. Channels of the database itself only where a predicate names them.
    All,
    /// Those of one channel.
    Channel(Channel),
}

/// Events of one cut as a table.
#[derive(Debug)]
pub(crate) struct EventsTable {
    cut: Arc<Cut>,
    meter: Arc<Meter>,
    scope: Scope,
}

impl EventsTable {
    pub(crate) fn new(cut: Arc<Cut>, meter: Arc<Meter>, scope: Scope) -> Self {
        Self { cut, meter, scope }
    }

    /// What the predicates leave, and the table's own channel.
    fn pushed(&self, filters: &[Expr]) -> Pushed {
        let mut pushed = pushdown::collect(filters);
        if let Scope::Channel(channel) = &self.scope {
            pushed.keep_channel(channel.name.as_str());
        }
        pushed
    }

    /// The parts of a scan, one list for each thread.
    fn parts(&self, pushed: &Pushed, limit: Option<u64>, threads: usize) -> Vec<Vec<Part>> {
        let most = limit.map_or(i128::MAX, i128::from).min(pushed.seqs.to - pushed.seqs.from);
        let threads = if most < i128::from(PARTITION_EVENTS_MIN) { 1 } else { threads };
        let parts = match &self.scope {
            Scope::All => all_parts(&self.cut, pushed, threads),
            Scope::Channel(channel) => channel_parts(channel, pushed, threads),
        };
        deal(parts, threads)
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| pushdown::support(filter)).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<Column> = match projection {
            Some(chosen) => chosen.iter().filter_map(|place| Column::ALL.get(*place).copied()).collect(),
            None => Column::ALL.to_vec(),
        };
        let pushed = self.pushed(filters);
        let limit = limit.and_then(|limit| u64::try_from(limit).ok());
        let parts = match pushed.is_contradiction() {
            true => Vec::new(),
            false => self.parts(&pushed, limit, state.config().target_partitions()),
        };
        let plan = Plan { columns, pushed, limit };
        if parts.is_empty() {
            return Ok(Arc::new(EmptyExec::new(plan.schema()?)));
        }
        Ok(Arc::new(EventScan::new(plan, parts, Arc::clone(&self.meter))?))
    }
}

/// Whether a set of accepted texts, if there is one, accepts this one.
fn accepts(set: Option<&BTreeSet<String>>, text: &str) -> bool {
    set.is_none_or(|set| set.contains(text))
}

/// The logs that predicates leave.
fn logs<'a>(all: impl Iterator<Item = &'a Arc<PinnedLog>>, pushed: &Pushed) -> Vec<&'a Arc<PinnedLog>> {
    all.filter(|log| {
        accepts(pushed.logs.as_ref(), &log.name) && accepts(pushed.origins.as_ref(), &log.origin)
    })
    .collect()
}

fn all_parts(cut: &Cut, pushed: &Pushed, threads: usize) -> Vec<Part> {
    let channels = match &pushed.channels {
        None => Channels::All,
        Some(names) => Channels::Names(names.iter().filter_map(|name| ChannelName::new(name).ok()).collect()),
    };
    if matches!(&channels, Channels::Names(names) if names.is_empty()) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for log in logs(cut.logs.iter(), pushed) {
        let visible = Span { from: 0, to: i128::from(log.view.position().0) };
        let span = pushed.positions.intersection(visible);
        if span.is_empty() {
            continue;
        }
        for positions in split::by_bytes(span, &stretches(log), threads) {
            let selection = Selection { seqs: pushed.seqs.unsigned(), ..selection(channels.clone(), pushed) };
            parts.push(Part {
                log: Arc::clone(log),
                windows: windows(log, positions, pushed),
                selection,
                events: None,
            });
        }
    }
    parts
}

fn channel_parts(channel: &Channel, pushed: &Pushed, threads: usize) -> Vec<Part> {
    let chosen = logs(channel.parts.iter().map(|part| &part.log), pushed);
    let mut parts = Vec::new();
    for held in channel.parts.iter().filter(|part| chosen.iter().any(|log| Arc::ptr_eq(log, &part.log))) {
        let all = Span { from: i128::from(held.info.first_seq.0), to: i128::from(held.info.next_seq.0) };
        let seqs = pushed.seqs.intersection(all);
        let worthwhile = seqs.to - seqs.from >= i128::from(PARTITION_EVENTS_MIN);
        for seqs in split::evenly(seqs, if worthwhile { threads } else { 1 }) {
            let channels = Channels::Names(vec![channel.name.clone()]);
            let selection = Selection { seqs: seqs.unsigned(), ..selection(channels, pushed) };
            let windows = windows(&held.log, pushed.positions, pushed);
            parts.push(Part { log: Arc::clone(&held.log), windows, selection, events: Some(seqs) });
        }
    }
    parts
}

/// What does not depend on the part that is read.
fn selection(channels: Channels, pushed: &Pushed) -> Selection {
    let texts = |set: &Option<BTreeSet<String>>| set.as_ref().map(|set| set.iter().cloned().collect());
    Selection {
        channels,
        recorded: pushed.recorded.times(),
        kinds: texts(&pushed.kinds),
        keys: texts(&pushed.keys),
        ..Selection::default()
    }
}

/// The windows of a part. Where every entry may be read in vain, there are several.
fn windows(log: &PinnedLog, positions: Span, pushed: &Pushed) -> Vec<Span> {
    match pushed.kinds.is_some() || pushed.keys.is_some() {
        true => split::windows(positions, &stretches(log), SCAN_WINDOW_BYTES),
        false => vec![positions],
    }
}

fn stretches(log: &PinnedLog) -> Vec<Stretch> {
    let end = log.view.position().0;
    let segments = log.view.segments();
    segments
        .iter()
        .map(|segment| Stretch {
            first: segment.first_index.0,
            next: segment.next_index.map_or(end, |next| next.0.min(end)),
            bytes: segment.bytes,
        })
        .filter(|stretch| stretch.first < stretch.next)
        .collect()
}

/// Deals parts out to at most `threads` lists. Parts of one log stay one to a list, in order.
fn deal(parts: Vec<Part>, threads: usize) -> Vec<Vec<Part>> {
    let lists = parts.len().min(threads.max(1));
    let mut dealt: Vec<Vec<Part>> = Vec::new();
    dealt.resize_with(lists, Vec::new);
    for (place, part) in parts.into_iter().enumerate() {
        dealt[place % lists].push(part);
    }
    dealt
}
