//! `net-db blob ...` through the server that has the blobs open.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use netdb::base::Hash;
use serde_json::{Value, json};

use super::{Counted, open_source, overflow, watched};
use crate::arguments::{
    BlobCommand, ChunkingName, CollectArguments, GetArguments, NameCommand, OverflowCommand, PinCommand,
    PinTypes, PutArguments,
};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::export::Target;
use crate::output::Cell;
use crate::remote::{Remote, in_path};

const BLOB: [&str; 6] = ["hash", "bytes", "form", "chunks", "chunking", "put_at"];
const NAME: [&str; 3] = ["name", "hash", "named_at"];
/// Rows that are asked for at once.
const PAGE: usize = 1_000;

pub(super) fn run(context: &Context, remote: &Remote, command: BlobCommand) -> Result<(), Failure> {
    match command {
        BlobCommand::Put(arguments) => put(context, remote, &arguments),
        BlobCommand::Get(arguments) => get(context, remote, &arguments),
        BlobCommand::Stat(named) => {
            record(context, &remote.get(&format!("{}/stat", path(&named.hash)))?, &BLOB)
        }
        BlobCommand::Exists(named) => match remote.get(&format!("{}/stat", path(&named.hash))) {
            Err(failure) if failure.code == Code::NotFound => Err(Failure::silent(Code::NotFound)),
            answered => answered.map(drop),
        },
        BlobCommand::Ls => list(
            context,
            remote,
            ("/v1/blobs?", "blobs", "hash"),
            &["hash", "bytes", "form", "put_at"],
            |_| true,
        ),
        BlobCommand::Tree(named) => {
            let from = format!("{}/chunks?", path(&named.hash));
            list(context, remote, (&from, "chunks", "offset"), &["offset", "bytes", "chunk"], |_| true)
        }
        BlobCommand::Path(arguments) => chunk_at(context, remote, &arguments.blob.hash, arguments.offset),
        BlobCommand::Pin(arguments) => match arguments.command {
            None => pin(remote, &arguments.hashes, arguments.direct, arguments.label.as_deref()),
            Some(PinCommand::Add(add)) => pin(remote, &add.blobs.hashes, add.direct, add.label.as_deref()),
            Some(PinCommand::Rm(blobs)) => unpin(context, remote, &blobs.hashes),
            Some(PinCommand::Ls(arguments)) => pins(context, remote, arguments.types),
            Some(PinCommand::Update(arguments)) => {
                let (from, to) = (arguments.old.to_string(), arguments.new.to_string());
                let body = json!({ "from": from, "to": to, "keep": arguments.keep });
                remote.change("/v1/pins/update", None, Some(&body)).map(drop)
            }
            Some(PinCommand::Verify(_)) => Err(not_through("pin verify")),
        },
        BlobCommand::Unpin(blobs) => unpin(context, remote, &blobs.hashes),
        BlobCommand::Name(command) => names(context, remote, command),
        BlobCommand::Rm(blobs) => {
            for hash in &blobs.hashes {
                if remote.delete(&path(hash), None)?["removed"] == false {
                    context.note(format_args!("{hash} was not put here"));
                }
            }
            Ok(())
        }
        BlobCommand::Gc(arguments) => collect(context, remote, &arguments),
        BlobCommand::Overflow(command) => run_overflow(context, remote, command),
        BlobCommand::PutTree(_) => Err(not_through("put-tree")),
        BlobCommand::GetTree(_) => Err(not_through("get-tree")),
        BlobCommand::Slice(_) => Err(not_through("slice")),
        BlobCommand::Verify(_) => Err(not_through("verify")),
        BlobCommand::Repair => Err(not_through("repair")),
        // Neither needs a server, or none.
        BlobCommand::ReadSlice(arguments) => super::slices::read(context, &arguments),
        BlobCommand::Metrics => super::metrics::through(context, remote),
    }
}

fn not_through(command: &str) -> Failure {
    let message = format!("a server has the blobs open, and `blob {command}` is not done through it");
    Failure::new(Code::Unavailable, message).hint("stop the server for as long as it takes")
}

fn path(hash: &Hash) -> String {
    format!("/v1/blobs/{hash}")
}

/// Writes the named fields of an answer.
fn record(context: &Context, answer: &Value, fields: &[&'static str]) -> Result<(), Failure> {
    let fields: Vec<_> = fields.iter().map(|name| (*name, cell(&answer[*name]))).collect();
    Ok(context.record(&fields)?)
}

fn cell(value: &Value) -> Cell<'_> {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.into()),
        // As the command shows shares by itself.
        Value::Number(number) if number.is_f64() => {
            Cell::Json(format!("{:.3}", number.as_f64().unwrap_or_default()).into())
        }
        Value::Number(number) => {
            number.as_u64().map_or_else(|| Cell::Json(number.to_string().into()), Cell::Number)
        }
        other => Cell::Json(other.to_string().into()),
    }
}

/// Goes through a list, page by page: where it is, the field that holds the rows, and the one that a page goes on behind.
fn each(
    remote: &Remote,
    (from, field, key): (&str, &str, &str),
    mut visit: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let answer = remote.get(&format!("{from}limit={PAGE}{after}"))?;
        let rows = answer[field].as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().try_for_each(&mut visit)?;
        let Some(last) = rows.last() else { return Ok(()) };
        let last = last[key].as_str().map_or_else(|| last[key].to_string(), in_path);
        after = format!("&after={last}");
    }
}

fn list(
    context: &Context,
    remote: &Remote,
    from: (&str, &str, &str),
    columns: &[&'static str],
    wanted: impl Fn(&Value) -> bool,
) -> Result<(), Failure> {
    let mut rows = context.rows(columns)?;
    each(remote, from, |row| {
        if wanted(row) {
            rows.row(&columns.iter().map(|name| cell(&row[*name])).collect::<Vec<_>>())?;
        }
        Ok(())
    })?;
    Ok(rows.finish()?)
}

fn put(context: &Context, remote: &Remote, arguments: &PutArguments) -> Result<(), Failure> {
    let (source, bytes) = open_source(&arguments.file)?;
    let chunking = match arguments.chunking {
        ChunkingName::Fixed => "fixed",
        ChunkingName::Content => "content",
    };
    let pin = if arguments.pin { "&pin" } else { "" };
    let name = arguments.name.as_deref().map_or_else(String::new, |name| format!("&name={}", in_path(name)));
    let to = format!("/v1/blobs?chunking={chunking}{pin}{name}");
    let answer = watched(context, bytes, |counter| Ok(remote.upload(&to, Counted(source, counter))))??;
    record(context, &answer, &BLOB)
}

fn get(context: &Context, remote: &Remote, arguments: &GetArguments) -> Result<(), Failure> {
    let hash = &arguments.blob.hash;
    let bytes = remote.number(&remote.get(&format!("{}/stat", path(hash)))?, "bytes")?;
    let range = match &arguments.range {
        None => 0..bytes,
        Some(range) if range.end == u64::MAX => range.start..bytes,
        Some(range) => range.clone(),
    };
    if range.start > range.end || range.end > bytes {
        let message = format!("a blob of {bytes} bytes has no bytes {}..{}", range.start, range.end);
        return Err(Failure::new(Code::Failed, message).hint("ask for less"));
    }
    let Some(out) = &arguments.out else {
        let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
        remote.download(&path(hash), range, &mut out)?;
        return Ok(out.flush()?);
    };
    let (mut target, begun) = match arguments.resume {
        false => (Target::create(out)?, 0),
        true => Target::resume(out, |partial| good(remote, hash, partial))?,
    };
    if begun > 0 {
        context.note(format_args!("{begun} bytes are there already"));
    }
    let (writer, wanted) = (target.writer(), range.start + begun..range.end);
    watched(context, Some(wanted.end - wanted.start), |counter| {
        Ok(remote.download(&path(hash), wanted, &mut Counted(writer, counter)))
    })??;
    target.finish()?;
    context.note(format_args!("{} bytes in {}", range.end - range.start, out.display()));
    Ok(())
}

/// Returns how much of a file is a blob's beginning: whole chunks of it.
fn good(remote: &Remote, hash: &Hash, file: &mut File) -> Result<u64, Failure> {
    let (mut good, mut content, mut is_good) = (0, Vec::new(), true);
    each(remote, (&format!("{}/chunks?", path(hash)), "chunks", "offset"), |chunk| {
        let bytes = remote.number(chunk, "bytes")?;
        content.clear();
        if is_good {
            Read::by_ref(file).take(bytes).read_to_end(&mut content)?;
        }
        is_good &= content.len() as u64 == bytes && chunk["chunk"] == Hash::of(&content).to_string();
        good += if is_good { bytes } else { 0 };
        Ok(())
    })?;
    Ok(good)
}

fn chunk_at(context: &Context, remote: &Remote, hash: &Hash, offset: u64) -> Result<(), Failure> {
    let mut found = None;
    each(remote, (&format!("{}/chunks?", path(hash)), "chunks", "offset"), |chunk| {
        let (begins, bytes) = (remote.number(chunk, "offset")?, remote.number(chunk, "bytes")?);
        if (begins..begins + bytes).contains(&offset) {
            found = Some(json!({ "chunk": chunk["chunk"], "offset": offset - begins, "bytes": bytes }));
        }
        Ok(())
    })?;
    let missing = || Failure::new(Code::NotFound, format!("byte {offset} lies behind the blob's end"));
    record(context, &found.ok_or_else(missing)?, &["chunk", "offset", "bytes"])
}

fn pin(remote: &Remote, hashes: &[Hash], direct: bool, label: Option<&str>) -> Result<(), Failure> {
    let mode = if direct { "direct" } else { "recursive" };
    let body = json!({ "mode": mode, "label": label });
    hashes.iter().try_for_each(|hash| remote.put(&format!("/v1/pins/{hash}"), &body).map(drop))
}

fn unpin(context: &Context, remote: &Remote, hashes: &[Hash]) -> Result<(), Failure> {
    for hash in hashes {
        if remote.delete(&format!("/v1/pins/{hash}"), None)?["removed"] == false {
            context.note(format_args!("{hash} was not pinned"));
        }
    }
    Ok(())
}

fn pins(context: &Context, remote: &Remote, types: PinTypes) -> Result<(), Failure> {
    let wanted = match types {
        PinTypes::All => None,
        PinTypes::Direct => Some("direct"),
        PinTypes::Recursive => Some("recursive"),
        PinTypes::Indirect => return Err(not_through("pin ls --type indirect")),
    };
    let columns = ["hash", "type", "bytes", "label", "pinned_at", "pinned_by"];
    let is_wanted = |pin: &Value| wanted.is_none_or(|wanted| pin["type"] == wanted);
    list(context, remote, ("/v1/pins?", "pins", "hash"), &columns, is_wanted)
}

fn names(context: &Context, remote: &Remote, command: NameCommand) -> Result<(), Failure> {
    let path = |name: &str| format!("/v1/blob-names/{}", in_path(name));
    match command {
        NameCommand::Set(arguments) => {
            let body = json!({ "hash": arguments.blob.hash.to_string() });
            let answer = remote.put(&path(&arguments.name), &body)?;
            if let Some(before) = answer["before"].as_str() {
                context.note(format_args!("it stood for {before} before"));
            }
            Ok(())
        }
        NameCommand::Rm(arguments) => remote.delete(&path(&arguments.name), None).map(drop),
        NameCommand::Get(arguments) => record(context, &remote.get(&path(&arguments.name))?, &NAME),
        NameCommand::Ls(arguments) => {
            let from = format!("/v1/blob-names?prefix={}&", in_path(&arguments.prefix));
            list(context, remote, (&from, "names", "name"), &NAME, |_| true)
        }
    }
}

fn collect(context: &Context, remote: &Remote, arguments: &CollectArguments) -> Result<(), Failure> {
    let floor = (!arguments.disk_pressure).then_some(arguments.retention.as_secs());
    let body = json!({
        "floor_seconds": floor,
        "disk_pressure": arguments.disk_pressure,
        "dry_run": arguments.dry_run,
        "beside_holes": arguments.beside_holes,
    });
    let mut answer = remote.change("/v1/blobs/collect", None, Some(&body))?;
    let missing = answer["missing"].as_array().cloned().unwrap_or_default();
    for hash in missing.iter().filter_map(Value::as_str) {
        super::collect::tell_missing(context, hash);
    }
    super::collect::tell_damaged(context, remote.number(&answer, "damaged_packs")?);
    answer["missing"] = missing.len().into();
    record(context, &answer, &super::collect::FIELDS)
}

fn run_overflow(context: &Context, remote: &Remote, command: OverflowCommand) -> Result<(), Failure> {
    const AT: &str = "/v1/blobs/overflow";
    let status = |answer: &Value| record(context, answer, &overflow::STATUS);
    match command {
        OverflowCommand::Status => status(&remote.get(AT)?),
        OverflowCommand::Enable(arguments) => {
            let body = json!({
                "enabled": true,
                "place": arguments.place,
                "high": arguments.high,
                "low": arguments.low,
                "pushes_per_tick": arguments.pushes_per_tick,
                "quota": arguments.quota,
            });
            status(&remote.put(AT, &body)?)
        }
        OverflowCommand::Disable(arguments) => {
            status(&remote.put(AT, &json!({ "enabled": false, "take_back": arguments.take_back }))?)
        }
        OverflowCommand::Run => {
            let answer = remote.change("/v1/blobs/overflow/run", None, None)?;
            record(context, &answer, &overflow::MOVED)?;
            overflow::moved(remote.number(&answer, "failed")?)
        }
    }
}
