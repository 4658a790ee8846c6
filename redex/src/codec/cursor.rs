//! Reading and writing little-endian fields.

/// Bytes that are not the structure they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The field or rule that does not hold.
    pub what: &'static str,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

/// Takes fields off the front of a byte slice.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed::new(what))?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::new(what))?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    #[inline]
    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// Takes a `u32` that is used as a length or count in memory.
    #[inline]
    pub(crate) fn length(&mut self, what: &'static str) -> Result<usize, Malformed> {
        usize::try_from(self.u32(what)?).map_err(|_| Malformed::new(what))
    }

    /// Takes a text behind its `u16` length.
    pub(crate) fn text16(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let length = usize::from(self.u16(what)?);
        self.text(length, what)
    }

    #[inline]
    pub(crate) fn text(&mut self, length: usize, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(length, what)?).map_err(|_| Malformed::new(what))
    }

    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Fails when bytes are left over.
    #[inline]
    pub(crate) fn finish(self, what: &'static str) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::new(what)) }
    }
}

/// Appends fields to a byte vector.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a length or count whose bound was checked when it came in.
    fn put_length(&mut self, value: usize) {
        self.put_u32(u32::try_from(value).expect("lengths are limited to far below 4 GiB"));
    }

    /// Writes a text behind its `u16` length, whose bound was checked when the text came in.
    fn put_text16(&mut self, text: &str) {
        self.put_u16(u16::try_from(text.len()).expect("texts of this kind are limited to 64 KiB"));
        self.put(text.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
