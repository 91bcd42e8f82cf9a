//! An operation of our own on a file that only probes use, done by `dd`.
//!
//! Promises: nothing here waits: it is started, and asked again until it has ended. A process of its own, because the
//! harness serves the file system that it asks: a thread of the harness that waited for it could keep a killed harness
//! from ever ending.

use plan::files::Operation;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How an operation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What the system said, if it failed.
    pub error: Option<String>,
    /// How long it took; by `dd`'s own clock where it tells.
    pub took: Duration,
    /// The same with the start of a process around it.
    pub wall: Duration,
}

/// An operation under way.
#[derive(Debug)]
pub struct Probe {
    child: Child,
    began: Instant,
}

impl Probe {
    /// Writes, reads or syncs a sector of the file; `All` does what a write and a sync do.
    pub fn start(path: &Path, operation: Operation) -> io::Result<Probe> {
        let mut command = Command::new("dd");
        let path = path.display();
        match operation {
            Operation::Read => command.arg(format!("if={path}")).arg("of=/dev/null"),
            Operation::Write => {
                command.args(["if=/dev/zero", "conv=notrunc,nocreat"]).arg(format!("of={path}"))
            }
            // Nothing is written: that might fail by itself.
            Operation::Fsync => command
                .args(["if=/dev/zero", "conv=notrunc,nocreat,fsync"])
                .arg(format!("of={path}")),
            // Each write is followed by a sync, within the time that dd tells.
            Operation::All => command
                .args(["if=/dev/zero", "conv=notrunc,nocreat", "oflag=dsync"])
                .arg(format!("of={path}")),
        };
        let count = if operation == Operation::Fsync { "count=0" } else { "count=1" };
        command.args(["bs=512", count]).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("the program `dd` is missing: install it"),
            _ => error,
        })?;
        Ok(Probe { child, began: Instant::now() })
    }

    /// How it went; `None` while it is under way.
    pub fn poll(&mut self) -> io::Result<Option<Probed>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        let wall = self.began.elapsed();
        let error = (!status.success()).then(|| {
            let line = said.lines().find(|line| line.contains(": ")).unwrap_or(&said);
            line.rsplit(": ").next().unwrap_or(line).trim().to_string()
        });
        let took = said.lines().find_map(copied_in).unwrap_or(wall);
        Ok(Some(Probed { error, took, wall }))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From `512 bytes copied, 0.000123 s, 4.2 MB/s`.
fn copied_in(line: &str) -> Option<Duration> {
    let (_, after) = line.split_once("copied, ")?;
    let (seconds, _) = after.split_once(" s")?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}
