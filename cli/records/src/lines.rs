//! Lines of an input, never holding more of one than the limit.

use std::io::{self, BufRead};

use crate::limits::LINE_BYTES_MAX;

/// Reads lines and counts them.
pub(crate) struct Lines<R> {
    input: R,
    count: u64,
}

/// Why the next line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is longer than any event needs.
    #[error("the line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The input failed.
    #[error("cannot read on: {0}")]
    Io(#[from] io::Error),
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, count: 0 }
    }

    /// The number of the line that was read last, counted from 1.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Appends the next line to `text`, always ended by `\n` alone; `false` at the end of the input. When it
    /// fails, `text` is as it was and the line counts as read.
    pub(crate) fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, LineError> {
        let start = text.len();
        match self.read_raw(text, start) {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.count += 1;
                if text[start..].ends_with(b"\r") {
                    text.pop();
                }
                text.push(b'\n');
                Ok(true)
            }
            Err(error) => {
                self.count += 1;
                text.truncate(start);
                Err(error)
            }
        }
    }

    fn read_raw(&mut self, text: &mut Vec<u8>, start: usize) -> Result<bool, LineError> {
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if available.is_empty() {
                return Ok(text.len() > start);
            }
            let end = memchr::memchr(b'\n', available);
            let used = end.map_or(available.len(), |end| end + 1);
            text.extend_from_slice(&available[..end.unwrap_or(used)]);
            self.input.consume(used);
            if text.len() - start > LINE_BYTES_MAX {
                return Err(LineError::TooLong);
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(input: &[u8]) -> (Vec<u8>, u64) {
        let mut lines = Lines::new(io::BufReader::with_capacity(3, input));
        let mut text = Vec::new();
        while lines.read(&mut text).unwrap() {}
        (text, lines.count())
    }

    #[test]
    fn all_line_ends_read_alike() {
        for input in ["one\n\ntwo\n", "one\r\n\r\ntwo\r\n", "one\n\ntwo"] {
            assert_eq!(read_all(input.as_bytes()), (b"one\n\ntwo\n".to_vec(), 3), "{input:?}");
        }
        assert_eq!(read_all(b""), (Vec::new(), 0));
    }

    #[test]
    fn a_line_beyond_the_limit_is_refused_before_it_is_held() {
        struct Endless(u64);
        impl io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'x');
                self.0 += buffer.len() as u64;
                Ok(buffer.len())
            }
        }
        let mut lines = Lines::new(io::BufReader::new(Endless(0)));
        let mut text = b"kept\n".to_vec();
        assert!(matches!(lines.read(&mut text), Err(LineError::TooLong)));
        assert_eq!((text.as_slice(), lines.count()), (&b"kept\n"[..], 1));
        assert!(lines.input.get_ref().0 < 2 * LINE_BYTES_MAX as u64);
    }
}
