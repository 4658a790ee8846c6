//! Sets and spans of values, and what all predicates of a scan leave of each column.

use std::collections::BTreeSet;
use std::fmt;

use base::Timestamp;
use redex::Bounds;

use crate::tables::events::Column;

/// Numbers from one that is included to one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub from: i128,
    pub to: i128,
}

impl Span {
    /// Every number.
    pub(crate) const ALL: Self = Self { from: i128::MIN, to: i128::MAX };
    /// Every number that a `u64` can hold.
    pub(crate) const UNSIGNED: Self = Self { from: 0, to: u64::MAX as i128 + 1 };
    /// Every number of nanoseconds that a timestamp can hold.
    pub(crate) const TIMES: Self = Self { from: i64::MIN as i128, to: i64::MAX as i128 + 1 };

    pub(crate) fn is_empty(self) -> bool {
        self.from >= self.to
    }

    pub(crate) fn intersection(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    /// The smallest span that holds both, and whether it holds nothing else.
    fn hull(self, other: Self) -> (Self, bool) {
        let hull = Self { from: self.from.min(other.from), to: self.to.max(other.to) };
        let touching = self.from.max(other.from) <= self.to.min(other.to);
        (hull, touching || self.is_empty() || other.is_empty())
    }

    /// The span as bounds of unsigned numbers. It lies within [`Self::UNSIGNED`].
    pub(crate) fn unsigned(self) -> Bounds<u64> {
        let from = u64::try_from(self.from).ok().filter(|from| *from > 0);
        Bounds { from, to: u64::try_from(self.to).ok() }
    }

    /// The span as bounds of times. It lies within [`Self::TIMES`].
    pub(crate) fn times(self) -> Bounds<Timestamp> {
        let time = |nanos: i128| i64::try_from(nanos).ok().map(Timestamp::from_nanos);
        Bounds { from: time(self.from).filter(|from| *from > Timestamp::MIN), to: time(self.to) }
    }
}

/// What is known of a column's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Constraint {
    /// One of these texts.
    OneOf(BTreeSet<String>),
    /// A number in this span.
    Within(Span),
}

impl Constraint {
    /// What holds when one of two constraints of a column holds, and whether that is exact.
    pub(super) fn union(self, other: Self) -> Option<(Self, bool)> {
        match (self, other) {
            (Self::OneOf(mut some), Self::OneOf(more)) => {
                some.extend(more);
                Some((Self::OneOf(some), true))
            }
            (Self::Within(one), Self::Within(other)) => {
                let (hull, exact) = one.hull(other);
                Some((Self::Within(hull), exact))
            }
            _ => None,
        }
    }

    /// What holds when both constraints of a column hold.
    pub(super) fn intersection(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::OneOf(mut some), Self::OneOf(more)) => {
                some.retain(|text| more.contains(text));
                Some(Self::OneOf(some))
            }
            (Self::Within(one), Self::Within(other)) => Some(Self::Within(one.intersection(other))),
            _ => None,
        }
    }
}

/// What the predicates of a scan leave of each column: `None` leaves everything, and so do
/// [`Span::UNSIGNED`] and [`Span::TIMES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub logs: Option<BTreeSet<String>>,
    pub channels: Option<BTreeSet<String>>,
    pub origins: Option<BTreeSet<String>>,
    pub kinds: Option<BTreeSet<String>>,
    pub keys: Option<BTreeSet<String>>,
    pub seqs: Span,
    pub positions: Span,
    pub recorded: Span,
}

impl Default for Pushed {
    fn default() -> Self {
        Self {
            logs: None,
            channels: None,
            origins: None,
            kinds: None,
            keys: None,
            seqs: Span::UNSIGNED,
            positions: Span::UNSIGNED,
            recorded: Span::TIMES,
        }
    }
}

impl Pushed {
    /// Adds a constraint to those there are.
    pub(super) fn add(&mut self, column: Column, constraint: Constraint) {
        match constraint {
            Constraint::OneOf(texts) => self.add_texts(column, texts),
            Constraint::Within(span) => self.add_span(column, span),
        }
    }

    fn add_texts(&mut self, column: Column, texts: BTreeSet<String>) {
        let all = match column {
            Column::Log => &mut self.logs,
            Column::Channel => &mut self.channels,
            Column::Origin => &mut self.origins,
            Column::Kind => &mut self.kinds,
            Column::Key => &mut self.keys,
            _ => return,
        };
        match all {
            None => *all = Some(texts),
            Some(all) => all.retain(|text| texts.contains(text)),
        }
    }

    fn add_span(&mut self, column: Column, span: Span) {
        let all = match column {
            Column::Seq => &mut self.seqs,
            Column::Position => &mut self.positions,
            Column::RecordedAt => &mut self.recorded,
            _ => return,
        };
        *all = all.intersection(span);
    }

    /// Leaves at most one channel.
    pub(crate) fn keep_channel(&mut self, name: &str) {
        self.add_texts(Column::Channel, BTreeSet::from([name.to_owned()]));
    }

    /// Tells whether no row can satisfy the predicates.
    pub(crate) fn is_contradiction(&self) -> bool {
        let sets = [&self.logs, &self.channels, &self.origins, &self.kinds, &self.keys];
        let spans = [self.seqs, self.positions, self.recorded];
        sets.into_iter().flatten().any(BTreeSet::is_empty) || spans.into_iter().any(Span::is_empty)
    }
}

impl fmt::Display for Pushed {
    /// Writes what was pushed, as the plan shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = [
            ("logs", &self.logs),
            ("channels", &self.channels),
            ("origins", &self.origins),
            ("kinds", &self.kinds),
            ("keys", &self.keys),
        ];
        let shown = sets.iter().filter_map(|(name, set)| show_set(name, set.as_ref()?));
        let mut parts: Vec<String> = shown.collect();
        parts.extend(show_bounds("seq", self.seqs.unsigned()));
        parts.extend(show_bounds("position", self.positions.unsigned()));
        parts.extend(show_bounds("recorded_at", self.recorded.times()));
        f.write_str(&parts.join(", "))
    }
}

fn show_set(name: &str, set: &BTreeSet<String>) -> Option<String> {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = set.iter().take(SHOWN).map(String::as_str).collect();
    let more = if set.len() > SHOWN { format!(", {} more", set.len() - SHOWN) } else { String::new() };
    Some(format!("{name}=[{}{more}]", shown.join(", ")))
}

/// A range that includes its beginning and not its end; an open side shows nothing.
fn show_bounds<T: ToString>(name: &str, bounds: Bounds<T>) -> Option<String> {
    let show = |bound: Option<T>| bound.map(|bound| bound.to_string()).unwrap_or_default();
    let bounded = bounds.from.is_some() || bounds.to.is_some();
    bounded.then(|| format!("{name}=[{},{})", show(bounds.from), show(bounds.to)))
}
