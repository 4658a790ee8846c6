//! The header `range`.

use std::ops::Range;

use axum::http::{HeaderMap, header};

use super::super::Problem;

/// Returns the bytes that are asked for of so many; `None` for all of them, which is also the answer to several ranges and to
/// what is no range of bytes.
pub(super) fn of(headers: &HeaderMap, bytes: u64) -> Result<Option<Range<u64>>, Problem> {
    let Some(text) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some(Asked { from, to }) = parse(text) else { return Ok(None) };
    let range = match (from, to) {
        (Some(from), Some(to)) => from..to.saturating_add(1).min(bytes),
        (Some(from), None) => from..bytes,
        (None, Some(last)) => bytes.saturating_sub(last)..bytes,
        (None, None) => return Ok(None),
    };
    match range.is_empty() {
        true => Err(Problem::no_range(text, bytes)),
        false => Ok(Some(range)),
    }
}

/// `bytes=FROM-TO`, the last one included, `bytes=FROM-`, or `bytes=-LAST` for so many at the end.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    from: Option<u64>,
    to: Option<u64>,
}

fn parse(text: &str) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    let (from, to) = range.trim().split_once('-')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !unit.trim().eq_ignore_ascii_case("bytes") || !is_digits(from) || !is_digits(to) {
        return None;
    }
    // More digits than a number has stand for the end.
    let number = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX));
    let asked = Asked { from: number(from), to: number(to) };
    match (asked.from, asked.to) {
        (Some(from), Some(to)) if to < from => None,
        (None, None) => None,
        _ => Some(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, bytes: u64) -> Result<Option<Range<u64>>, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, text.parse().unwrap());
        of(&headers, bytes).map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn one_range_of_bytes_is_understood() {
        assert_eq!(of(&HeaderMap::new(), 10).unwrap(), None);
        assert_eq!(asked("bytes=0-3", 10), Ok(Some(0..4)));
        assert_eq!(asked("Bytes=8-99", 10), Ok(Some(8..10)));
        assert_eq!(asked("bytes=3-", 10), Ok(Some(3..10)));
        assert_eq!(asked("bytes=-3", 10), Ok(Some(7..10)));
        assert_eq!(asked("bytes=-30", 10), Ok(Some(0..10)));
        assert_eq!(asked("bytes=0-99999999999999999999999", 10), Ok(Some(0..10)));
    }

    #[test]
    fn what_is_no_range_is_everything_and_a_range_behind_the_end_is_refused() {
        for text in
            ["bytes=", "bytes=-", "bytes=4-3", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2", "x"]
        {
            assert_eq!(asked(text, 10), Ok(None), "{text}");
        }
        for (text, bytes) in [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=99-100", 10)] {
            assert_eq!(asked(text, bytes), Err(416), "{text}");
        }
    }
}
