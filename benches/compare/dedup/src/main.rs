//! `netdb-compare-dedup`: puts files into our store of blobs, cut as it is told, and reads them back.

#![allow(
    clippy::disallowed_methods,
    reason = "measures the real machine, which no simulated door stands for"
)]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use base::Doors;
use blob::{BlobStore, Chunking, ContentSizes};

const USAGE: &str = "usage: netdb-compare-dedup DIR CHUNKING FILE...
CHUNKING is `fixed`, `content`, or `content:MIN,AVERAGE,MAX` in bytes";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("netdb-compare-dedup: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Puts files one after the other, and fails unless each comes back as it is.
fn run(arguments: &[String]) -> Result<()> {
    let [dir, chunking, files @ ..] = arguments else { return Err(USAGE.into()) };
    let chunking = parse(chunking)?;
    let store = BlobStore::open(Path::new(dir), &Doors::system())?;
    for file in files {
        let content = std::fs::read(file)?;
        let put = store.put(&content[..], chunking)?;
        let mut got = Vec::with_capacity(content.len());
        store.get(&put.hash, &mut got)?;
        if got != content {
            return Err(format!("{file} came back as something else").into());
        }
    }
    Ok(store.close()?)
}

fn parse(chunking: &str) -> Result<Chunking> {
    match chunking.split_once(':') {
        None if chunking == "fixed" => Ok(Chunking::Fixed),
        None if chunking == "content" => Ok(Chunking::Content(ContentSizes::default())),
        Some(("content", sizes)) => {
            let sizes = sizes.split(',').map(str::parse).collect::<std::result::Result<Vec<u32>, _>>()?;
            let [min, average, max] = sizes[..] else { return Err(USAGE.into()) };
            Ok(Chunking::Content(ContentSizes::new(min, average, max)?))
        }
        _ => Err(USAGE.into()),
    }
}
