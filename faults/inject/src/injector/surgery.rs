//! What is done to the files of a node that is dead: bits that flip, tails that are cut off, writes that were torn, and an old
//! copy that is put back.
//!
//! Promises: only files below a broker's data directory are touched, and never those of its metadata log: that would be damage
//! to votes, not to records. The same seed on the same files does the same. What was done is told file by file.

use super::disk::destroy_data;
use super::{Nodes, fuse_of};
use crate::net::run;
use plan::Deed;
use plan::files::{Pattern, log_dir};
use plan::random::Stream;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The directory of the metadata log, with its votes.
const METADATA: &str = "__cluster_metadata-";
/// Of what was done so much is told.
const TOLD_MAX: usize = 4;

/// Whether the deed is done to the files of a dead node.
pub fn is_surgery(deed: Deed) -> bool {
    matches!(deed, Deed::BitFlip { .. } | Deed::TruncateTail { .. } | Deed::TornWrite { .. })
}

/// Does it; the node is dead. `seed`: of what is left to chance. Answers what was done.
pub fn operate(seed: u64, node: &str, deed: Deed, nodes: &mut dyn Nodes) -> io::Result<String> {
    let data = nodes.data_dir(node);
    let done = match deed {
        Deed::BitFlip { path, bits } => flip(&data, &path, bits, seed)?,
        Deed::TruncateTail { path, bytes } => truncate(&data, &path, bytes.0)?,
        Deed::TornWrite { path } => fuse_of(nodes, node)?.tear(&path, seed)?,
        other => unreachable!("`{other}` is done to nobody's files"),
    };
    if done.is_empty() {
        return Err(io::Error::other("no file of its was there to be hit"));
    }
    let more = done.len().saturating_sub(TOLD_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Ok(done.into_iter().take(TOLD_MAX).collect::<Vec<_>>().join(", ") + &more)
}

/// Files of the pattern that hold something, by their paths below the directory, in order.
fn matching(data: &Path, pattern: &Pattern) -> io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    let several = (1..).map(log_dir).take_while(|below| data.join(below).is_dir());
    for below in several.map(PathBuf::from).chain([PathBuf::new()]) {
        for directory in fs::read_dir(data.join(&below))? {
            let directory = directory?;
            let name = directory.file_name();
            if directory.file_type()?.is_dir() && !name.to_string_lossy().starts_with(METADATA) {
                matching_in(data, &below.join(name), pattern, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn matching_in(
    data: &Path,
    directory: &Path,
    pattern: &Pattern,
    found: &mut BTreeMap<String, u64>,
) -> io::Result<()> {
    for file in fs::read_dir(data.join(directory))? {
        let file = file?;
        let path = directory.join(file.file_name()).display().to_string();
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() > 0 && pattern.matches(&path) {
            found.insert(path, metadata.len());
        }
    }
    Ok(())
}

fn flip(data: &Path, pattern: &Pattern, bits: u32, seed: u64) -> io::Result<Vec<String>> {
    let files = matching(data, pattern)?;
    let all: u64 = files.values().sum();
    let mut random = Stream::new(seed, "bits");
    let mut done = Vec::new();
    if all == 0 {
        return Ok(done);
    }
    let mut drawn: BTreeMap<&str, Vec<(u64, u8)>> = BTreeMap::new();
    for _ in 0..bits {
        let mut at = random.below(all);
        let (path, _) = files
            .iter()
            .find(|(_, len)| {
                let here = at < **len;
                at -= if here { 0 } else { **len };
                here
            })
            .expect("it lies in one of them");
        drawn.entry(path).or_default().push((at, 1 << random.below(8)));
    }
    for (path, bits) in drawn {
        changed(&data.join(path), |file| {
            for (at, bit) in &bits {
                let mut byte = [0];
                file.read_exact_at(&mut byte, *at)?;
                let flipped = byte[0] ^ bit;
                file.write_all_at(&[flipped], *at)?;
                done.push(format!("{path}: byte {at} was {:#04x}, is {flipped:#04x}", byte[0]));
            }
            Ok(())
        })?;
    }
    Ok(done)
}

fn truncate(data: &Path, pattern: &Pattern, bytes: u64) -> io::Result<Vec<String>> {
    // Segments are named by their first offsets, with zeros in front: the last name is the newest.
    let mut newest: BTreeMap<PathBuf, (String, u64)> = BTreeMap::new();
    for (path, len) in matching(data, pattern)? {
        let directory = Path::new(&path).parent().unwrap_or(Path::new("")).to_path_buf();
        newest.insert(directory, (path, len));
    }
    let mut done = Vec::new();
    for (path, len) in newest.into_values() {
        let left = len.saturating_sub(bytes);
        changed(&data.join(&path), |file| file.set_len(left))?;
        done.push(format!("{path}: {len} bytes were cut to {left}"));
    }
    Ok(done)
}

/// Changes a file by putting a changed copy in its place. What the dead process had given the kernel to send (sendfile(2), as
/// Apache Kafka does) are pages of the file itself, which may not have been received yet: a change in place would change
/// that too, and a client be handed bytes, zeros mostly, that no broken disk could have sent it.
fn changed(path: &Path, change: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<()> {
    let open = |path: &Path| fs::File::options().read(true).write(true).open(path);
    let copy = path.with_extension("operated");
    let copied = fs::copy(path, &copy);
    if copied.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
        let _ = fs::remove_file(&copy);
        let file = open(path)?;
        change(&file)?;
        return file.sync_all();
    }
    let done = copied.and_then(|_| open(&copy)).and_then(|file| {
        change(&file)?;
        file.sync_all()?;
        fs::rename(&copy, path)?;
        fs::File::open(path.parent().unwrap_or(path))?.sync_all()
    });
    if done.is_err() {
        let _ = fs::remove_file(&copy);
    }
    done
}

/// A copy of a data directory, to be put back.
#[derive(Debug)]
pub struct Snapshot {
    copy: PathBuf,
    /// What was in the way is gone.
    emptied: bool,
}

impl Snapshot {
    /// Copies the directory; whoever writes in it stands still. Answers what there was, too.
    pub fn take(fault: u32, data: &Path) -> io::Result<(Snapshot, String)> {
        let copy = data.with_extension(format!("snapshot-{fault}"));
        let snapshot = Snapshot { copy, emptied: false };
        run("cp", &["-a", "--sparse=always", text(data)?, text(&snapshot.copy)?], "")?;
        let logs = sizes(&snapshot.copy)?;
        let (count, bytes) = (logs.len(), logs.values().sum::<u64>());
        Ok((snapshot, format!("{count} logs with {bytes} bytes copied")))
    }

    /// Puts it back; nobody runs there. Answers how the logs changed. What failed may be tried again.
    pub fn put_back(&mut self, data: &Path) -> io::Result<String> {
        let (now, then) = (sizes(data)?, sizes(&self.copy)?);
        if !self.emptied {
            destroy_data(data)?;
            self.emptied = true;
        }
        run("cp", &["-a", "--sparse=always", text(&self.copy.join("."))?, text(data)?], "")?;
        let put = sizes(data)?;
        if put != then {
            return Err(io::Error::other("the copy that was put back is not what was copied"));
        }
        fs::remove_dir_all(&self.copy)?;
        let mut changed: Vec<(u64, String)> = now
            .iter()
            .map(|(path, now)| (path, *now, then.get(path).copied().unwrap_or(0)))
            .filter(|(_, now, then)| now != then)
            .map(|(path, now, then)| {
                (now.abs_diff(then), format!("{path}: {now} bytes, now {then} as in the copy"))
            })
            .collect();
        changed.sort_by(|a, b| b.cmp(a));
        Ok(match changed.is_empty() {
            true => "an old copy was put back, which was as new".to_string(),
            false => {
                let told: Vec<String> =
                    changed.into_iter().take(TOLD_MAX).map(|(_, words)| words).collect();
                format!("an old copy was put back: {}", told.join(", "))
            }
        })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // Left where a run ended before it was put back; it is in the run's own directory.
        let _ = fs::remove_dir_all(&self.copy);
    }
}

/// Lengths of all logs but the metadata's.
fn sizes(data: &Path) -> io::Result<BTreeMap<String, u64>> {
    matching(data, &Pattern::new(".log").expect("short"))
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))
}
