//! A file for what the checker has to keep and memory may not hold.
//!
//! The file loses its name once it is made: whatever ends the process, nothing is left behind. It belongs on a real disk,
//! such as the run's own directory: a temporary directory is often memory again.

use checker::{Spill, SpillError};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Made with the first write: most histories never need one.
pub struct FileSpill {
    directory: PathBuf,
    file: Option<File>,
}

impl FileSpill {
    /// The file will be made in this directory.
    pub fn new(directory: &Path) -> FileSpill {
        FileSpill { directory: directory.to_owned(), file: None }
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(unnamed(&self.directory)?);
        }
        Ok(self.file.as_ref().expect("made above"))
    }
}

/// Another check in this directory, or one that ended between the two steps, may have taken a name.
const NAMES_MAX: u32 = 100;

fn unnamed(directory: &Path) -> io::Result<File> {
    let mut number = 0;
    loop {
        let path = directory.join(format!(".spill-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Spill for FileSpill {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), SpillError> {
        let written = self.file().and_then(|file| file.write_all_at(bytes, position));
        written.map_err(|error| failed(&self.directory, &error))
    }

    fn read(&mut self, position: u64, into: &mut [u8]) -> Result<(), SpillError> {
        let read = self.file().and_then(|file| file.read_exact_at(into, position));
        read.map_err(|error| failed(&self.directory, &error))
    }
}

fn failed(directory: &Path, error: &io::Error) -> SpillError {
    SpillError(format!("the checker's file in {}: {error}", directory.display()))
}
