//! `net-db blob ...`

#![allow(clippy::disallowed_methods, reason = "what is put is the user's own file, not part of a database")]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};

use netdb::base::Hash;
use netdb::blob::{BlobForm, BlobInfo, BlobStore, Chunking};

use crate::arguments::{BlobCommand, GetArguments, PutArguments};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::export::Target;
use crate::output::Cell;

pub(super) fn run(context: &Context, command: BlobCommand) -> Result<(), Failure> {
    match command {
        BlobCommand::Put(arguments) => put(context, &arguments),
        BlobCommand::Get(arguments) => get(context, &arguments),
        BlobCommand::Stat(named) => stat(context, &named.hash),
        BlobCommand::Exists(named) => exists(context, &named.hash),
        BlobCommand::Ls => list(context),
        BlobCommand::Tree(named) => tree(context, &named.hash),
        BlobCommand::Path(arguments) => path(context, &arguments.blob.hash, arguments.offset),
        BlobCommand::Verify => verify(context),
    }
}

/// Opens the blobs of a directory that is there.
fn open(context: &Context) -> Result<BlobStore, Failure> {
    context.open_reader()?;
    Ok(netdb::open_blobs(&context.directory, &context.doors)?)
}

fn put(context: &Context, arguments: &PutArguments) -> Result<(), Failure> {
    let source: Box<dyn Read + Send> = match arguments.file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => {
            let file = &arguments.file;
            let opened = File::open(file);
            Box::new(
                opened.map_err(|error| Failure::system(&error, format!("cannot read {}", file.display())))?,
            )
        }
    };
    context.create_if_missing()?;
    let store = open(context)?;
    let info = store.put(source, arguments.chunking.chunking())?;
    store.close()?;
    describe(context, &info)
}

fn describe(context: &Context, info: &BlobInfo) -> Result<(), Failure> {
    let (chunks, chunking) = match info.form {
        BlobForm::Small => (Cell::Number(1), Cell::Null),
        BlobForm::Manifest { chunks, chunking } => {
            (Cell::Number(chunks.into()), Cell::Text(name(chunking).into()))
        }
        BlobForm::Tree { chunking, .. } => (Cell::Null, Cell::Text(name(chunking).into())),
    };
    Ok(context.record(&[
        ("hash", Cell::display(info.hash)),
        ("bytes", Cell::Number(info.bytes)),
        ("form", Cell::Text(info.form.as_str().into())),
        ("chunks", chunks),
        ("chunking", chunking),
        ("put_at", Cell::display(info.put_at)),
    ])?)
}

fn name(chunking: Chunking) -> &'static str {
    match chunking {
        Chunking::Fixed => "fixed",
        Chunking::Content(_) => "content",
    }
}

fn get(context: &Context, arguments: &GetArguments) -> Result<(), Failure> {
    let store = open(context)?;
    let hash = &arguments.blob.hash;
    let bytes = store.stat(hash)?.bytes;
    let range = match &arguments.range {
        None => 0..bytes,
        Some(range) if range.end == u64::MAX => range.start..bytes,
        Some(range) => range.clone(),
    };
    let Some(out) = &arguments.out else {
        let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
        store.get_range(hash, range, &mut out)?;
        return Ok(out.flush()?);
    };
    let mut target = Target::create(out)?;
    store.get_range(hash, range.clone(), target.writer())?;
    target.finish()?;
    context.note(format_args!("{} bytes in {}", range.end - range.start, out.display()));
    Ok(())
}

fn stat(context: &Context, hash: &Hash) -> Result<(), Failure> {
    describe(context, &open(context)?.stat(hash)?)
}

fn exists(context: &Context, hash: &Hash) -> Result<(), Failure> {
    match open(context)?.exists(hash)? {
        true => Ok(()),
        false => Err(Failure::silent(Code::NotFound)),
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let store = open(context)?;
    let mut rows = context.rows(&["hash", "bytes", "form", "put_at"])?;
    for hash in store.list() {
        let info = store.stat(&hash)?;
        rows.row(&[
            Cell::display(hash),
            Cell::Number(info.bytes),
            Cell::Text(info.form.as_str().into()),
            Cell::display(info.put_at),
        ])?;
    }
    Ok(rows.finish()?)
}

fn tree(context: &Context, hash: &Hash) -> Result<(), Failure> {
    let store = open(context)?;
    let mut rows = context.rows(&["offset", "bytes", "chunk"])?;
    for chunk in store.chunks(hash)? {
        let chunk = chunk?;
        rows.row(&[Cell::Number(chunk.offset), Cell::Number(chunk.bytes), Cell::display(chunk.hash)])?;
    }
    Ok(rows.finish()?)
}

fn path(context: &Context, hash: &Hash, offset: u64) -> Result<(), Failure> {
    let store = open(context)?;
    for chunk in store.chunks(hash)? {
        let chunk = chunk?;
        if offset < chunk.offset + chunk.bytes {
            return Ok(context.record(&[
                ("chunk", Cell::display(chunk.hash)),
                ("offset", Cell::Number(offset - chunk.offset)),
                ("bytes", Cell::Number(chunk.bytes)),
            ])?);
        }
    }
    let bytes = store.stat(hash)?.bytes;
    Err(Failure::new(Code::NotFound, format!("byte {offset} of a blob that has {bytes}")))
}

fn verify(context: &Context) -> Result<(), Failure> {
    let report = open(context)?.verify()?;
    let damaged = report.damaged.len() + report.stretches.len();
    context.record(&[
        ("verdict", Cell::Text(if damaged == 0 { "passed" } else { "failed" }.into())),
        ("objects", Cell::Number(report.objects)),
        ("bytes", Cell::Number(report.bytes)),
        ("damaged", Cell::Number(damaged as u64)),
    ])?;
    for damaged in &report.damaged {
        context.note(format_args!("{}: {}", damaged.hash, damaged.error));
    }
    for stretch in &report.stretches {
        let (file, bytes) = (stretch.file.display(), &stretch.bytes);
        context.note(format_args!("{file}: bytes {}..{} do not read", bytes.start, bytes.end));
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Failure::new(Code::Corrupt, format!("{damaged} damaged"))
            .hint("put the blobs again that are named: what is damaged is written anew")),
    }
}
