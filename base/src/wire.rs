//! Reading and writing little-endian fields, for whatever stores or sends fixed structures.
//!
//! Reading never panics and allocates nothing: every length is checked against the bytes that are there.

/// Bytes that are not the structure they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// The field or rule that does not hold.
    pub what: &'static str,
}

impl Malformed {
    /// Names the field or rule.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self { what }
    }
}

/// Takes fields off the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Begins at the first byte.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with `what` when there are fewer; so do all that follow.
    #[inline]
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed::new(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes an array.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::new(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes a number of one byte.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Takes a number of two bytes.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a number of four bytes.
    #[inline]
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a number of eight bytes.
    #[inline]
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes a signed number of eight bytes.
    #[inline]
    pub fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// Takes a `u32` that is used as a length or count in memory.
    #[inline]
    pub fn length(&mut self, what: &'static str) -> Result<usize, Malformed> {
        usize::try_from(self.u32(what)?).map_err(|_| Malformed::new(what))
    }

    /// Takes a text behind its `u16` length.
    #[inline]
    pub fn text16(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let length = usize::from(self.u16(what)?);
        self.text(length, what)
    }

    /// Takes a text of so many bytes.
    #[inline]
    pub fn text(&mut self, length: usize, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(length, what)?).map_err(|_| Malformed::new(what))
    }

    /// Returns how many bytes are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends reading.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with `what` when bytes are left over.
    #[inline]
    pub fn finish(self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::new(what)) }
    }
}

/// Appends fields to a byte vector.
pub trait Put {
    /// Writes bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Writes a number of one byte.
    #[inline]
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Writes a number of two bytes.
    #[inline]
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a number of four bytes.
    #[inline]
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a number of eight bytes.
    #[inline]
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a signed number of eight bytes.
    #[inline]
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a length or count whose bound was checked when it came in.
    ///
    /// # Panics
    ///
    /// When it is 4 GiB or more, which no limit allows.
    #[inline]
    fn put_length(&mut self, value: usize) {
        self.put_u32(u32::try_from(value).expect("lengths are limited to far below 4 GiB"));
    }

    /// Writes a text behind its `u16` length, whose bound was checked when the text came in.
    ///
    /// # Panics
    ///
    /// When it has 64 KiB or more, which no limit allows.
    #[inline]
    fn put_text16(&mut self, text: &str) {
        self.put_u16(u16::try_from(text.len()).expect("texts of this kind are limited to 64 KiB"));
        self.put(text.as_bytes());
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written_and_nothing_else_is() {
        let mut bytes = Vec::new();
        bytes.put_u8(1);
        bytes.put_u16(2);
        bytes.put_length(3);
        bytes.put_u64(4);
        bytes.put_i64(-5);
        bytes.put_text16("six");
        let read = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            let fields = (cursor.u8("a")?, cursor.u16("b")?, cursor.length("c")?, cursor.u64("d")?);
            let rest = (cursor.i64("e")?, cursor.text16("f")?.to_owned());
            cursor.finish("rest").map(|()| (fields, rest))
        };
        assert_eq!(read(&bytes), Ok(((1, 2, 3, 4), (-5, "six".to_owned()))));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), Err(Malformed::new("rest")));
        let last = bytes.len() - 1;
        bytes[last] = 0xFF;
        assert_eq!(read(&bytes), Err(Malformed::new("f")), "no text");
    }
}
