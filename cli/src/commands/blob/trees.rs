//! `net-db blob put-tree` and `net-db blob get-tree`

use netdb::base::Hash;
use netdb::blob::{
    BlobError, BlobStore, GetTreeOptions, PinMode, PutTreeOptions, TreeContent, TreeEntry, TreeInfo,
};

use super::{open, open_all};
use crate::arguments::{GetTreeArguments, PutTreeArguments};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::Cell;

pub(super) fn put(context: &Context, arguments: &PutTreeArguments) -> Result<(), Failure> {
    context.create_if_missing()?;
    let is_kept = arguments.pin || arguments.name.is_some();
    let kept = is_kept.then(|| open_all(context)).transpose()?;
    let store = match &kept {
        Some((_, blobs)) => blobs.store().clone(),
        None => open(context)?,
    };
    let options =
        PutTreeOptions { chunking: arguments.chunking.chunking(), skip_unsafe: arguments.skip_unsafe };
    let (info, _held) = store.put_tree(&arguments.tree, options).map_err(|error| match error {
        BlobError::UnsafePath { .. } => {
            Failure::from(error).hint("`--skip-unsafe` leaves links out that lead out of the tree")
        }
        error => error.into(),
    })?;
    if let Some((_, blobs)) = &kept {
        if arguments.pin {
            blobs.pin(&info.hash, PinMode::Recursive, None)?;
        }
        if let Some(name) = &arguments.name {
            blobs.pins().set_name(name, &info.hash)?;
        }
    }
    store.close()?;
    for path in &info.skipped {
        context.note(format_args!("left out: {}", path.display()));
    }
    describe(context, &info)
}

pub(super) fn get(context: &Context, arguments: &GetTreeArguments) -> Result<(), Failure> {
    let options = GetTreeOptions { entries_max: arguments.entries_max };
    let info = open(context)?.get_tree(&arguments.blob.hash, &arguments.out, options)?;
    describe(context, &info)
}

fn describe(context: &Context, info: &TreeInfo) -> Result<(), Failure> {
    Ok(context.record(&[
        ("hash", Cell::display(info.hash)),
        ("files", Cell::Number(info.files)),
        ("directories", Cell::Number(info.directories)),
        ("links", Cell::Number(info.links)),
        ("bytes", Cell::Number(info.bytes)),
        ("skipped", Cell::Number(info.skipped.len() as u64)),
    ])?)
}

/// Lists everything in a tree.
pub(super) fn list(context: &Context, store: &BlobStore, hash: &Hash) -> Result<(), Failure> {
    let mut rows = context.rows(&["path", "type", "mode", "bytes", "hash", "target"])?;
    let mut written = Ok(());
    store
        .visit_tree(hash, &mut |TreeEntry { path, mode, what }| {
            let path = Cell::display(path.display());
            let mode = Cell::Text(format!("{mode:03o}").into());
            let text = |text: &'static str| Cell::Text(text.into());
            let row = match &what {
                TreeContent::File { blob, bytes } => {
                    [path, text("file"), mode, Cell::Number(*bytes), Cell::display(blob), Cell::Null]
                }
                TreeContent::Directory { hash } => {
                    [path, text("directory"), mode, Cell::Null, Cell::display(hash), Cell::Null]
                }
                TreeContent::Link { target } => {
                    [path, text("link"), Cell::Null, Cell::Null, Cell::Null, Cell::display(target.display())]
                }
            };
            written = rows.row(&row);
            match &written {
                Ok(()) => Ok(()),
                // Nobody reads it any more.
                Err(_) => Err(BlobError::Cancelled),
            }
        })
        .or_else(|error| match (&written, error) {
            (Err(_), BlobError::Cancelled) => Ok(()),
            (_, error) => Err(error),
        })?;
    written?;
    Ok(rows.finish()?)
}
