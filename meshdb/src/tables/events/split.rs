//! How a scan is divided among threads.
//!
//! Pure: ranges in, ranges out. Ranges of one scan do not overlap, lie in ascending order, and together are
//! the whole.

use crate::pushdown::Span;

/// Bytes of a log below which its scan is not worth dividing.
const BYTES_MIN: u64 = 4 * 1024 * 1024;

/// A stretch of a log: the indexes from `first` to `next` (not included) take `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub first: u64,
    pub next: u64,
    pub bytes: u64,
}

/// Divides `span` into `parts` of about equal length.
pub(super) fn evenly(span: Span, parts: usize) -> Vec<Span> {
    let parts = i128::try_from(parts).unwrap_or(1).max(1);
    let length = span.to - span.from;
    let cut = |part: i128| span.from + length * part / parts;
    (0..parts)
        .map(|part| Span { from: cut(part), to: cut(part + 1) })
        .filter(|part| !part.is_empty())
        .collect()
}

/// Divides the indexes in `span` into at most `parts` of about equally many bytes.
pub(super) fn by_bytes(span: Span, stretches: &[Stretch], parts: usize) -> Vec<Span> {
    let inside: Vec<Stretch> = stretches.iter().filter_map(|stretch| stretch.within(span)).collect();
    let total: u64 = inside.iter().map(|stretch| stretch.bytes).sum();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return vec![span] };
    let whole = Span { from: i128::from(first.first), to: i128::from(last.next) };
    let parts = u64::try_from(parts).unwrap_or(1).clamp(1, (total / BYTES_MIN).max(1));
    let mut cuts: Vec<i128> = (1..parts).map(|part| index_at(&inside, total / parts * part)).collect();
    cuts.push(whole.to);
    let mut from = whole.from;
    let spans = cuts.into_iter().map(|to| Span { from: std::mem::replace(&mut from, to), to });
    spans.filter(|span| !span.is_empty()).collect()
}

/// Divides the indexes in `span` into windows that end with a stretch and have at least `bytes`, the last one
/// excepted.
pub(super) fn windows(span: Span, stretches: &[Stretch], bytes: u64) -> Vec<Span> {
    let mut windows = Vec::new();
    let (mut from, mut collected) = (span.from, 0);
    for stretch in stretches {
        collected += stretch.bytes;
        let window = Span { from, to: i128::from(stretch.next) }.intersection(span);
        if collected >= bytes && !window.is_empty() {
            windows.push(window);
            (from, collected) = (window.to, 0);
        }
    }
    windows.extend(Some(Span { from, to: span.to }).filter(|rest| !rest.is_empty()));
    windows
}

impl Stretch {
    /// The part of the stretch that lies in `span`, with its share of the bytes.
    fn within(&self, span: Span) -> Option<Self> {
        let own = Span { from: i128::from(self.first), to: i128::from(self.next) };
        let common = own.intersection(span);
        let share = |length: i128| i128::from(self.bytes) * length / (own.to - own.from);
        (!common.is_empty()).then(|| Self {
            first: u64::try_from(common.from).unwrap_or(self.first),
            next: u64::try_from(common.to).unwrap_or(self.next),
            bytes: u64::try_from(share(common.to - common.from)).unwrap_or(self.bytes),
        })
    }
}

/// The index before which about `bytes` lie.
fn index_at(stretches: &[Stretch], bytes: u64) -> i128 {
    let mut before = 0;
    for stretch in stretches {
        if bytes < before + stretch.bytes {
            let length = u128::from(stretch.next - stretch.first);
            let share = length * u128::from(bytes - before) / u128::from(stretch.bytes);
            return i128::from(stretch.first) + i128::try_from(share).unwrap_or(0);
        }
        before += stretch.bytes;
    }
    stretches.last().map_or(0, |last| i128::from(last.next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn spans(cuts: &[i128]) -> Vec<Span> {
        cuts.windows(2).map(|pair| Span { from: pair[0], to: pair[1] }).collect()
    }

    #[test]
    fn even_parts_cover_the_span() {
        assert_eq!(evenly(Span { from: 0, to: 10 }, 3), spans(&[0, 3, 6, 10]));
        assert_eq!(evenly(Span { from: 5, to: 6 }, 4), spans(&[5, 6]));
        assert!(evenly(Span { from: 5, to: 5 }, 4).is_empty());
    }

    #[test]
    fn parts_have_about_equal_bytes_and_cover_the_stretches() {
        let stretches = [
            Stretch { first: 0, next: 10, bytes: 30 * MIB },
            Stretch { first: 10, next: 1_000, bytes: 10 * MIB },
        ];
        assert_eq!(by_bytes(Span::UNSIGNED, &stretches, 2), spans(&[0, 6, 1_000]));
        assert_eq!(by_bytes(Span { from: 8, to: 10 }, &stretches, 2), spans(&[8, 10]));
        assert_eq!(by_bytes(Span { from: 2_000, to: 3_000 }, &stretches, 2), spans(&[2_000, 3_000]));
        assert_eq!(by_bytes(Span::UNSIGNED, &[], 2), vec![Span::UNSIGNED]);
    }

    #[test]
    fn windows_end_with_stretches_and_cover_the_span() {
        let stretch = |first, next| Stretch { first, next, bytes: 10 };
        let stretches = [stretch(0, 5), stretch(5, 7), stretch(7, 20), stretch(20, 30)];
        assert_eq!(windows(Span { from: 0, to: 30 }, &stretches, 20), spans(&[0, 7, 30]));
        assert_eq!(windows(Span { from: 6, to: 50 }, &stretches, 10), spans(&[6, 7, 20, 30, 50]));
        assert_eq!(windows(Span { from: 1, to: 2 }, &stretches, 10), spans(&[1, 2]));
        assert_eq!(windows(Span::UNSIGNED, &[], 10), vec![Span::UNSIGNED]);
    }

    #[test]
    fn little_is_not_divided() {
        let stretches = [Stretch { first: 0, next: 1_000, bytes: MIB }];
        assert_eq!(by_bytes(Span::UNSIGNED, &stretches, 8), spans(&[0, 1_000]));
    }
}
