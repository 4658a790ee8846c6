//! `net-db blob ...`

#![allow(clippy::disallowed_methods, reason = "what is put is the user's own file, not part of a database")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use netdb::Blobs;
use netdb::base::{Hash, Signal};
use netdb::blob::{BlobError, BlobForm, BlobInfo, BlobStore, Chunking, ObjectReport, PinMode};

use crate::arguments::{BlobCommand, GetArguments, PutArguments};
use crate::context::{Context, Writer};
use crate::exit::{Code, Failure};
use crate::export::Target;
use crate::output::Cell;
use crate::progress::Progress;
use crate::remote::Remote;

mod collect;
mod metrics;
mod names;
mod overflow;
mod pins;
mod slices;
mod through;
mod trees;

pub(super) fn run(context: &Context, command: BlobCommand) -> Result<(), Failure> {
    if let Some(remote) = Remote::find(context) {
        return through::run(context, &remote, command);
    }
    match command {
        BlobCommand::Put(arguments) => put(context, &arguments),
        BlobCommand::Get(arguments) => get(context, &arguments),
        BlobCommand::PutTree(arguments) => trees::put(context, &arguments),
        BlobCommand::GetTree(arguments) => trees::get(context, &arguments),
        BlobCommand::Stat(named) => stat(context, &named.hash),
        BlobCommand::Exists(named) => exists(context, &named.hash),
        BlobCommand::Ls => list(context),
        BlobCommand::Tree(named) => tree(context, &named.hash),
        BlobCommand::Path(arguments) => path(context, &arguments.blob.hash, arguments.offset),
        BlobCommand::Slice(arguments) => slices::write(context, &arguments),
        BlobCommand::ReadSlice(arguments) => slices::read(context, &arguments),
        BlobCommand::Verify(arguments) => verify(context, arguments.away),
        BlobCommand::Repair => repair(context),
        BlobCommand::Pin(arguments) => pins::pin(context, arguments),
        BlobCommand::Unpin(blobs) => pins::remove(context, &blobs.hashes),
        BlobCommand::Name(command) => names::run(context, command),
        BlobCommand::Rm(blobs) => remove(context, &blobs.hashes),
        BlobCommand::Gc(arguments) => collect::run(context, &arguments),
        BlobCommand::Overflow(command) => overflow::run(context, command),
        BlobCommand::Metrics => metrics::here(context),
    }
}

/// Opens the blobs of a directory that is there, with names and pins.
fn open_all(context: &Context) -> Result<(Writer, Blobs), Failure> {
    context.open_reader()?;
    let writer = context.open_writer()?;
    let blobs = Blobs::open(&writer)?;
    Ok((writer, blobs))
}

/// Opens the blobs of a directory that is there.
fn open(context: &Context) -> Result<BlobStore, Failure> {
    context.open_reader()?;
    Ok(netdb::open_blobs(&context.directory, &context.doors)?)
}

fn put(context: &Context, arguments: &PutArguments) -> Result<(), Failure> {
    let (source, bytes) = open_source(&arguments.file)?;
    context.create_if_missing()?;
    let is_kept = arguments.pin || arguments.name.is_some();
    let kept = is_kept.then(|| open_all(context)).transpose()?;
    let store = match &kept {
        Some((_, blobs)) => blobs.store().clone(),
        None => open(context)?,
    };
    let chunking = arguments.chunking.chunking();
    let (info, _held) =
        watched(context, bytes, |counter| store.put_held(Counted(source, counter), chunking))?;
    if let Some((_, blobs)) = &kept {
        if arguments.pin {
            blobs.pin(&info.hash, PinMode::Recursive, None)?;
        }
        if let Some(name) = &arguments.name {
            blobs.pins().set_name(name, &info.hash)?;
        }
    }
    store.close()?;
    describe(context, &info)
}

/// Opens a file, or standard input for `-`, and tells how long it is, where that is known.
fn open_source(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if file.to_str() == Some("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |error| Failure::system(&error, format!("cannot read {}", file.display()));
    let opened = File::open(file).map_err(unreadable)?;
    let bytes = opened.metadata().map_err(unreadable)?.len();
    Ok((Box::new(opened), Some(bytes)))
}

/// Reads or writes something, and counts its bytes.
struct Counted<T>(T, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Runs something that counts bytes, and shows meanwhile how many there were, how quickly they come, and how long the rest takes.
fn watched<T: Send>(
    context: &Context,
    bytes: Option<u64>,
    work: impl FnOnce(Arc<AtomicU64>) -> Result<T, BlobError> + Send,
) -> Result<T, Failure> {
    let (counter, ended) = (Arc::<AtomicU64>::default(), Arc::new(Signal::new()));
    let (counted, end) = (Arc::clone(&counter), Arc::clone(&ended));
    let done = thread::scope(|scope| {
        let working = scope.spawn(move || {
            let done = work(counted);
            end.raise();
            done
        });
        let (clock, mut progress) = (&context.doors.clock, Progress::new(context));
        while !clock.wait(&ended, Some(clock.monotonic() + LOOK_AGAIN)) {
            let done = counter.load(Ordering::Relaxed);
            progress.show(|took| far(done, bytes, took));
        }
        progress.clear();
        working.join()
    });
    Ok(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
}

/// How long a figure on the terminal stands.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Says how far something is.
fn far(done: u64, bytes: Option<u64>, took: Duration) -> String {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let rate = done as f64 / took.as_secs_f64().max(0.001);
    let mut line = format!("{:.1} MiB, {:.1} MiB/s", mib(done as f64), mib(rate));
    if let Some(bytes) = bytes.filter(|bytes| *bytes > 0 && done > 0) {
        let left = bytes.saturating_sub(done) as f64 / rate;
        let _ = write!(line, ", {:.0} %, {left:.0} s left", 100.0 * done as f64 / bytes as f64);
    }
    line
}

fn remove(context: &Context, hashes: &[Hash]) -> Result<(), Failure> {
    let store = open(context)?;
    for hash in hashes {
        if !store.remove(hash)? {
            context.note(format_args!("{hash} was not put here"));
        }
    }
    Ok(store.close()?)
}

fn describe(context: &Context, info: &BlobInfo) -> Result<(), Failure> {
    let (chunks, chunking) = match info.form {
        BlobForm::Small => (Cell::Number(1), Cell::Null),
        BlobForm::Manifest { chunks, chunking } => {
            (Cell::Number(chunks.into()), Cell::Text(name(chunking).into()))
        }
        BlobForm::Tree { chunking, .. } => (Cell::Null, Cell::Text(name(chunking).into())),
        BlobForm::Directory { .. } => (Cell::Null, Cell::Null),
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
    let (mut target, begun) = match arguments.resume {
        false => (Target::create(out)?, 0),
        true => Target::resume(out, |partial| Ok(store.verified_prefix(hash, partial)?))?,
    };
    if begun > 0 {
        context.note(format_args!("{begun} bytes are there already"));
    }
    let writer = target.writer();
    let wanted = range.start + begun..range.end;
    watched(context, Some(wanted.end - wanted.start), |counter| {
        store.get_range(hash, wanted, &mut Counted(writer, counter))
    })?;
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
    if let BlobForm::Directory { .. } = store.stat(hash)?.form {
        return trees::list(context, &store, hash);
    }
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

fn verify(context: &Context, is_with_away: bool) -> Result<(), Failure> {
    let store = open(context)?;
    let mut report = store.verify()?;
    if is_with_away {
        let away = store.objects().verify_away()?;
        report.objects += away.objects;
        report.bytes += away.bytes;
        report.damaged.extend(away.damaged);
    }
    tell(context, &report, None)
}

/// Mends what can be, and tells of the rest.
fn repair(context: &Context) -> Result<(), Failure> {
    let store = open(context)?;
    let (report, mended) = store.objects().repair()?;
    store.close()?;
    tell(context, &report, Some(mended))
}

/// Tells what a verification found; it is a failure if something is damaged.
fn tell(context: &Context, report: &ObjectReport, mended: Option<u64>) -> Result<(), Failure> {
    let damaged = report.damaged.len() + report.stretches.len();
    let mut fields = vec![
        ("verdict", Cell::Text(if damaged == 0 { "passed" } else { "failed" }.into())),
        ("objects", Cell::Number(report.objects)),
        ("bytes", Cell::Number(report.bytes)),
        ("damaged", Cell::Number(damaged as u64)),
    ];
    if let Some(mended) = mended {
        fields.push(("mended", Cell::Number(mended)));
    }
    context.record(&fields)?;
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
