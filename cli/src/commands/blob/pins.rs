//! `net-db blob pin ...`

use netdb::Blobs;
use netdb::base::Hash;
use netdb::blob::{BlobError, BlobForm, Pin, PinMode};

use super::open_all;
use crate::arguments::{PinAddArguments, PinArguments, PinCommand, PinTypes};
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;

/// Pins that are read at once.
const PAGE: usize = 1_000;

pub(super) fn pin(context: &Context, arguments: PinArguments) -> Result<(), Failure> {
    let PinArguments { command, hashes, direct, label } = arguments;
    match command {
        None => add(context, &hashes, direct, label.as_deref()),
        Some(PinCommand::Add(PinAddArguments { blobs, direct, label })) => {
            add(context, &blobs.hashes, direct, label.as_deref())
        }
        Some(PinCommand::Rm(blobs)) => remove(context, &blobs.hashes),
        Some(PinCommand::Ls(arguments)) => list(context, arguments.types),
        Some(PinCommand::Update(arguments)) => {
            let (_writer, blobs) = open_all(context)?;
            Ok(blobs.pins().update(&arguments.old, &arguments.new, arguments.keep)?)
        }
        Some(PinCommand::Verify(arguments)) => verify(context, arguments.hash),
    }
}

fn add(context: &Context, hashes: &[Hash], direct: bool, label: Option<&str>) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let mode = if direct { PinMode::Direct } else { PinMode::Recursive };
    for hash in hashes {
        blobs.pin(hash, mode, label)?;
    }
    Ok(())
}

pub(super) fn remove(context: &Context, hashes: &[Hash]) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    for hash in hashes {
        if !blobs.unpin(hash)? {
            context.note(format_args!("{hash} was not pinned"));
        }
    }
    Ok(())
}

/// Goes through all pins, page by page.
fn each(blobs: &Blobs, mut visit: impl FnMut(&Hash, &Pin) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = blobs.pins().list(after.as_ref(), PAGE);
        for (hash, pin) in &page {
            visit(hash, pin)?;
        }
        match page.last() {
            Some((hash, _)) => after = Some(*hash),
            None => return Ok(()),
        }
    }
}

fn list(context: &Context, types: PinTypes) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let mut rows = context.rows(&["hash", "type", "bytes", "label", "pinned_at", "pinned_by"])?;
    each(&blobs, |hash, pin| {
        let is_listed = match pin.mode {
            PinMode::Direct => matches!(types, PinTypes::Direct | PinTypes::All),
            PinMode::Recursive => matches!(types, PinTypes::Recursive | PinTypes::All),
        };
        if is_listed {
            rows.row(&[
                Cell::display(hash),
                Cell::Text(pin.mode.as_str().into()),
                blobs.store().stat(hash).map_or(Cell::Null, |info| Cell::Number(info.bytes)),
                pin.label.as_deref().map_or(Cell::Null, |label| Cell::Text(label.into())),
                Cell::display(pin.pinned_at),
                Cell::Null,
            ])?;
        }
        if types == PinTypes::Indirect && pin.mode == PinMode::Recursive {
            for part in parts(&blobs, hash)? {
                let (part, bytes) = part?;
                rows.row(&[
                    Cell::display(part),
                    Cell::Text("indirect".into()),
                    Cell::Number(bytes),
                    Cell::Null,
                    Cell::display(pin.pinned_at),
                    Cell::display(hash),
                ])?;
            }
        }
        Ok(())
    })?;
    Ok(rows.finish()?)
}

/// Returns the chunks of a blob that is more than one.
fn parts(
    blobs: &Blobs,
    hash: &Hash,
) -> Result<impl Iterator<Item = Result<(Hash, u64), BlobError>> + use<>, Failure> {
    let is_list = blobs.store().stat(hash)?.form != BlobForm::Small;
    let chunks = is_list.then(|| blobs.store().chunks(hash)).transpose()?;
    Ok(chunks.into_iter().flatten().map(|chunk| chunk.map(|chunk| (chunk.hash, chunk.bytes))))
}

fn verify(context: &Context, only: Option<Hash>) -> Result<(), Failure> {
    let (_writer, blobs) = open_all(context)?;
    let (mut verified, mut bytes, mut bad) = (0, 0, 0);
    let mut check = |hash: &Hash, mode: PinMode| {
        let read = match mode {
            PinMode::Recursive => blobs.store().get(hash, &mut std::io::sink()),
            PinMode::Direct => blobs.store().stat(hash).map(|_| 0),
        };
        verified += 1;
        match read {
            Ok(read) => bytes += read,
            Err(error) => {
                bad += 1;
                context.note(format_args!("{hash}: {error}"));
            }
        }
    };
    match only {
        Some(hash) => {
            let pin = blobs.pins().get(&hash);
            let not_pinned = || Failure::new(Code::NotFound, format!("{hash} is not pinned"));
            check(&hash, pin.ok_or_else(not_pinned)?.mode);
        }
        None => each(&blobs, |hash, pin| {
            check(hash, pin.mode);
            Ok(())
        })?,
    }
    context.record(&[
        ("verdict", Cell::Text(if bad == 0 { "passed" } else { "failed" }.into())),
        ("pins", Cell::Number(verified)),
        ("bytes", Cell::Number(bytes)),
        ("damaged", Cell::Number(bad)),
    ])?;
    match bad {
        0 => Ok(()),
        _ => Err(Failure::new(
            Code::Corrupt,
            format!("{bad} of {verified} pinned blobs are damaged or missing"),
        )
        .hint("put the blobs again that are named: what is damaged is written anew")),
    }
}
