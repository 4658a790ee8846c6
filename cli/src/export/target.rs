//! The file that an export writes.

#![allow(clippy::disallowed_methods, reason = "the output is the user's own file, not part of a database")]

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Code, Failure};

const BUFFER_BYTES: usize = 256 << 10;

/// A file that appears as a whole, under its name, or not at all. Something that is no regular file, such as
/// a pipe, is written in place.
pub(crate) struct Target {
    path: PathBuf,
    temporary: Option<PathBuf>,
    /// Whether what was written stays for another try.
    resumes: bool,
    out: BufWriter<File>,
}

impl Target {
    /// Begins to write.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        Self::open(path).map_err(|error| cannot_write(path, &error))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let in_place = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        let (file, temporary) = if in_place {
            (File::options().write(true).open(&path)?, None)
        } else {
            let temporary = temporary_path(&path);
            (File::create(&temporary)?, Some(temporary))
        };
        Ok(Self { path, temporary, resumes: false, out: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// Goes on where an earlier try ended, behind what `good` says is good of that; returns how much this is. What is written
    /// stays for the next try, until the file is whole.
    pub(crate) fn resume(
        path: &Path,
        good: impl FnOnce(&mut File) -> Result<u64, Failure>,
    ) -> Result<(Self, u64), Failure> {
        let failed = |error: io::Error| cannot_write(path, &error);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let temporary = path.with_file_name(name);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&temporary);
        let mut file = options.map_err(failed)?;
        file.try_lock().map_err(|_| {
            Failure::new(
                Code::Unavailable,
                format!("{} is being written by somebody else", temporary.display()),
            )
        })?;
        let begun = good(&mut file)?;
        file.set_len(begun).and_then(|()| file.seek(SeekFrom::Start(begun))).map_err(failed)?;
        let out = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok((Self { path: path.to_owned(), temporary: Some(temporary), resumes: true, out }, begun))
    }

    /// Where the contents go.
    pub(crate) fn writer(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Makes the file appear. It survives a power failure once this returns.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.publish().map_err(|error| cannot_write(&self.path, &error))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        let Some(temporary) = &self.temporary else { return Ok(()) };
        self.out.get_ref().sync_all()?;
        fs::rename(temporary, &self.path)?;
        self.temporary = None;
        match self.path.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.resumes {
            return;
        }
        if let Some(temporary) = &self.temporary {
            // What cannot be removed is at least named so that a person recognises it.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_at_the_end_and_replaces_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.ndjson");
        fs::write(&path, "old").unwrap();
        let mut target = Target::create(&path).unwrap();
        target.writer().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        target.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn giving_up_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        drop(Target::create(&directory.path().join("out")).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_device_is_written_in_place() {
        let target = Target::create(Path::new("/dev/null")).unwrap();
        assert_eq!(target.temporary, None);
        target.finish().unwrap();
    }

    #[test]
    fn a_missing_directory_is_named() {
        let failure = Target::create(Path::new("/nowhere/out")).err().unwrap();
        assert!(failure.message.starts_with("cannot write /nowhere/out: "), "{}", failure.message);
    }
}
