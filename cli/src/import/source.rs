//! Where an import reads from: a file or standard input, plain or zstd.

#![allow(clippy::disallowed_methods, reason = "the input is the user's own file, not part of a database")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use netdb::base::{ChannelName, Hash};

use crate::exit::{Code, Failure};
use crate::limits::FINGERPRINT_BYTES;

const BUFFER_BYTES: usize = 256 << 10;
/// The longest producer id that a log keeps.
const ID_BYTES_MAX: usize = 1000;

/// An opened input.
pub(crate) struct Source {
    /// How messages call it.
    pub(crate) name: String,
    /// The id of the import, unless the caller gave one.
    pub(crate) id: String,
    /// The text, decompressed.
    pub(crate) input: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path, channel: Option<&ChannelName>) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::from_stream("standard input", io::stdin(), channel);
        }
        let name = path.display().to_string();
        let fail = |error: &io::Error| Failure::system(error, format!("cannot read {name}"));
        let file = File::open(path).map_err(|error| fail(&error))?;
        let kind = file.metadata().map_err(|error| fail(&error))?.file_type();
        if kind.is_dir() {
            return Err(Failure::new(Code::Failed, format!("cannot read {name}: it is a directory")));
        }
        if !kind.is_file() {
            // The path of a pipe says nothing about what comes out of it.
            return Self::from_stream(&name, file, channel);
        }
        let canonical = path.canonicalize().map_err(|error| fail(&error))?;
        let input =
            decompressed(BufReader::with_capacity(BUFFER_BYTES, file)).map_err(|error| fail(&error))?;
        Ok(Self { id: import_id(channel, &path_text(&canonical)), name, input })
    }

    fn from_stream(
        name: &str,
        mut stream: impl Read + Send + 'static,
        channel: Option<&ChannelName>,
    ) -> Result<Self, Failure> {
        let fail = |error: &io::Error| Failure::system(error, format!("cannot read {name}"));
        let mut head = Vec::with_capacity(FINGERPRINT_BYTES);
        stream
            .by_ref()
            .take(FINGERPRINT_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| fail(&error))?;
        let id = import_id(channel, &format!("stdin:{}", Hash::of(&head)));
        let whole = Cursor::new(head).chain(stream);
        let input =
            decompressed(BufReader::with_capacity(BUFFER_BYTES, whole)).map_err(|error| fail(&error))?;
        Ok(Self { name: name.to_owned(), id, input })
    }
}

fn import_id(channel: Option<&ChannelName>, origin: &str) -> String {
    let id = format!("import:{}:{origin}", channel.map_or("", ChannelName::as_str));
    if id.len() <= ID_BYTES_MAX { id } else { format!("import:{}", Hash::of(id.as_bytes())) }
}

/// The path as text; bytes that are not UTF-8 are escaped, so that different paths stay different.
fn path_text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => path.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

fn decompressed(mut input: impl BufRead + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    if !is_zstd(input.fill_buf()?) {
        return Ok(Box::new(input));
    }
    let decoder = zstd::stream::read::Decoder::with_buffer(input)?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder)))
}

/// A zstd frame, or a skippable frame in front of one.
fn is_zstd(head: &[u8]) -> bool {
    matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: Vec<u8>) -> (String, String) {
        let mut source = Source::from_stream("a test", Cursor::new(bytes), None).unwrap();
        let mut text = String::new();
        source.input.read_to_string(&mut text).unwrap();
        (source.id, text)
    }

    #[test]
    fn plain_and_compressed_input_read_alike() {
        let text = "line\n".repeat(100_000);
        assert_eq!(read(text.clone().into_bytes()).1, text);
        let mut packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
        packed.extend(zstd::encode_all(&b"second frame\n"[..], 1).unwrap());
        assert_eq!(read(packed).1, format!("{text}second frame\n"));
    }

    #[test]
    fn standard_input_is_named_by_its_first_64_kib() {
        let mut text = vec![b'x'; FINGERPRINT_BYTES];
        let id = read(text.clone()).0;
        text.extend(b"more");
        assert_eq!(read(text.clone()).0, id);
        text[0] = b'y';
        assert_ne!(read(text).0, id);
    }

    #[test]
    fn a_long_path_still_gives_an_id_that_fits() {
        let id = import_id(None, &"x".repeat(5000));
        assert_eq!(id.len(), "import:".len() + 64);
    }

    #[test]
    fn a_missing_file_is_not_found() {
        let failure = Source::open(Path::new("/nowhere/at all"), None).err().unwrap();
        assert_eq!(failure.code, Code::NotFound);
        assert!(failure.message.starts_with("cannot read /nowhere/at all: "), "{}", failure.message);
    }
}
