//! What is appended: JSON objects of an exact length, the same in every session.

use redex::EventInput;

/// Bytes of each payload.
pub const PAYLOAD_BYTES: usize = 256;

/// The kind of each event.
pub const KIND: &str = "order.placed";

/// How many different payloads there are; together they fit into a core's cache.
const COUNT: usize = 1024;

const WORDS: [&str; 8] = ["ship ", "before ", "noon ", "call ", "the ", "customer ", "first ", "fragile "];

/// A ring of payloads, all different.
#[derive(Debug, Clone)]
pub struct Payloads {
    ring: Vec<Vec<u8>>,
}

impl Default for Payloads {
    fn default() -> Self {
        Self { ring: (0..COUNT as u64).map(payload).collect() }
    }
}

impl Payloads {
    /// Returns all of them.
    pub fn all(&self) -> &[Vec<u8>] {
        &self.ring
    }

    /// Returns all of them as events.
    pub fn events(&self) -> Vec<EventInput<'_>> {
        self.ring.iter().map(|payload| EventInput::new(KIND, payload)).collect()
    }
}

/// Walks over a ring in runs of equal length.
#[derive(Debug, Clone, Copy)]
pub struct Runs {
    length: usize,
    at: usize,
}

impl Runs {
    /// Makes runs of `length` items; the ring's length is a multiple of it.
    pub fn of(length: usize) -> Self {
        Self { length, at: 0 }
    }

    /// Returns the next run.
    pub fn next<'a, T>(&mut self, ring: &'a [T]) -> &'a [T] {
        let run = &ring[self.at..self.at + self.length];
        self.at = (self.at + self.length) % ring.len();
        run
    }

    /// Returns the run with a number, counted from 0 and going round.
    pub fn nth<T>(length: usize, ring: &[T], number: u64) -> &[T] {
        let runs = ring.len() / length;
        let at = usize::try_from(number % runs as u64).unwrap_or(0) * length;
        &ring[at..at + length]
    }
}

fn payload(number: u64) -> Vec<u8> {
    // A multiplicative generator is random enough for words.
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!(
        r#"{{"order":{number},"customer":"C-{:05}","total":{}.{:02},"express":{},"note":""#,
        state % 100_000,
        state % 997,
        state % 100,
        state.is_multiple_of(3)
    );
    while text.len() < PAYLOAD_BYTES {
        state = state.wrapping_mul(0xD129_0D3D_2F1B_4A85);
        text.push_str(WORDS[(state >> 61) as usize]);
    }
    text.truncate(PAYLOAD_BYTES - 2);
    text.push_str("\"}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_different_and_of_the_exact_length() {
        let payloads = Payloads::default();
        let different: std::collections::BTreeSet<_> = payloads.all().iter().collect();
        assert_eq!(different.len(), COUNT);
        assert!(payloads.all().iter().all(|payload| payload.len() == PAYLOAD_BYTES));
        assert!(payloads.all()[0].ends_with(b"\"}"));
    }

    #[test]
    fn runs_go_round() {
        let ring = [1, 2, 3, 4];
        let mut runs = Runs::of(2);
        let got: Vec<_> = (0..3).map(|_| runs.next(&ring)).collect();
        assert_eq!(got, [&[1, 2], &[3, 4], &[1, 2]]);
        assert_eq!(Runs::nth(2, &ring, 3), &[3, 4]);
    }
}
