//! The protocol of Redis (RESP 2), as far as it is needed: commands out, replies in.

use std::io::BufRead;

use netdb_benches::{Failure, Result};

/// Most bytes of a text and most elements of a list that are believed.
const LENGTH_MAX: usize = 1 << 20;

/// What a server answers; its errors are errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A short text, as `OK`.
    Status(String),
    /// A number.
    Integer(i64),
    /// A text of a known length; `None` when there is none.
    Text(Option<Vec<u8>>),
    /// Several of them.
    List(Vec<Reply>),
}

/// Returns a command as it is sent.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Reads one reply.
pub(crate) fn reply(from: &mut impl BufRead) -> Result<Reply> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    let Some((first, rest)) = line.strip_suffix(b"\r\n").and_then(|line| line.split_first()) else {
        return Err("the server has hung up".into());
    };
    let text = std::str::from_utf8(rest)?;
    match first {
        b'+' => Ok(Reply::Status(text.to_owned())),
        b':' => Ok(Reply::Integer(text.parse()?)),
        b'$' => Ok(Reply::Text(length(text)?.map(|length| bulk(from, length)).transpose()?)),
        b'*' => {
            let count = length(text)?.unwrap_or(0);
            Ok(Reply::List((0..count).map(|_| reply(from)).collect::<Result<_>>()?))
        }
        b'-' => Err(Failure::from(format!("the server says: {text}"))),
        _ => Err(Failure::from(format!("a reply begins with {first}"))),
    }
}

/// Takes a length; -1 stands for nothing.
fn length(text: &str) -> Result<Option<usize>> {
    if text == "-1" {
        return Ok(None);
    }
    let length: usize = text.parse()?;
    if length > LENGTH_MAX {
        return Err(Failure::from(format!("a reply of {length} bytes or elements")));
    }
    Ok(Some(length))
}

fn bulk(from: &mut impl BufRead, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err("a text does not end where it should".into());
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Reply> {
        reply(&mut &bytes[..])
    }

    #[test]
    fn a_command_has_the_length_of_each_word() {
        assert_eq!(command(&[b"XLEN", b"s"]), b"*2\r\n$4\r\nXLEN\r\n$1\r\ns\r\n");
    }

    #[test]
    fn replies_of_each_kind_are_read_one_after_the_other() {
        let mut bytes: &[u8] = b"+PONG\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n:1\r\n$1\r\nx\r\n";
        let list = vec![Reply::Integer(1), Reply::Text(Some(b"x".to_vec()))];
        let wanted = [
            Reply::Status("PONG".to_owned()),
            Reply::Integer(-7),
            Reply::Text(Some(b"a\r\n".to_vec())),
            Reply::Text(None),
            Reply::List(list),
        ];
        for reply in wanted {
            assert_eq!(super::reply(&mut bytes).unwrap(), reply);
        }
        assert!(bytes.is_empty());
    }

    #[test]
    fn an_error_and_anything_cut_off_are_failures() {
        assert!(parsed(b"-ERR wrong\r\n").unwrap_err().to_string().contains("ERR wrong"));
        for bytes in
            [&b""[..], b"+OK", b"$5\r\nab\r\n", b"$1\r\nabc", b"$99999999999\r\n", b"?\r\n", b"*1\r\n"]
        {
            assert!(parsed(bytes).is_err(), "{bytes:?}");
        }
    }
}
