//! `net-db blob slice` and `net-db blob read-slice`

use std::io::{self, BufReader, BufWriter, Write};
use std::ops::Range;

use netdb::blob::{BlobError, read_slice};

use super::{open, open_source};
use crate::arguments::{ReadSliceArguments, SliceArguments};
use crate::context::Context;
use crate::exit::Failure;
use crate::export::Target;

pub(super) fn write(context: &Context, arguments: &SliceArguments) -> Result<(), Failure> {
    let store = open(context)?;
    to_target(arguments, |mut target| store.slice(&arguments.blob.hash, arguments.range.clone(), &mut target))
}

pub(super) fn read(context: &Context, arguments: &ReadSliceArguments) -> Result<(), Failure> {
    let (source, _) = open_source(&arguments.file)?;
    let slice = &arguments.slice;
    let (mut source, mut bytes) = (BufReader::new(source), 0);
    to_target(slice, |mut target| {
        bytes = read_slice(&slice.blob.hash, slice.range.clone(), &mut source, &mut target)?;
        Ok(())
    })?;
    let Range { start, end } = slice.range;
    context.note(format_args!("{} bytes of a blob of {bytes} are what its name says", end - start));
    Ok(())
}

/// Writes to the file that was asked for, which appears once it is whole, or to standard output.
fn to_target(
    arguments: &SliceArguments,
    write: impl FnOnce(&mut dyn Write) -> Result<(), BlobError>,
) -> Result<(), Failure> {
    match &arguments.out {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write(&mut out)?;
            Ok(out.flush()?)
        }
        Some(out) => {
            let mut target = Target::create(out)?;
            write(target.writer())?;
            target.finish()?;
            Ok(())
        }
    }
}
