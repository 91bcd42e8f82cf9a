//! What is done to a node's data directory.
//!
//! Promises: only a directory with a broker's `meta.properties` is touched, and that file goes last, so that what failed
//! on the way can be tried again.

use std::io;
use std::path::Path;

/// Destroys what a node's data directory holds; answers what that was.
pub fn destroy_data(directory: &Path) -> io::Result<String> {
    let metadata = directory.symlink_metadata()?;
    let marker = directory.join("meta.properties");
    // The file that every data directory of a broker has: without it this may be anybody's directory.
    if !metadata.is_dir() || !marker.is_file() {
        let message = format!("{} is not a broker's data directory", directory.display());
        return Err(io::Error::other(message));
    }
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path != marker {
            destroy(&path, &mut files, &mut bytes)?;
        }
    }
    // Last, so that a failure on the way can be tried again.
    destroy(&marker, &mut files, &mut bytes)?;
    Ok(format!("{files} files with {bytes} bytes destroyed"))
}

fn destroy(path: &Path, files: &mut u64, bytes: &mut u64) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            destroy(&entry?.path(), files, bytes)?;
        }
        return std::fs::remove_dir(path);
    }
    *files += 1;
    *bytes += metadata.len();
    std::fs::remove_file(path)
}
