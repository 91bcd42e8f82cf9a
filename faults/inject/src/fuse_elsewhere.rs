//! File systems that can fail, where there are none: every attempt to make one says so.

#[path = "fuse/probe.rs"]
mod probe;
#[path = "fuse/rules.rs"]
mod rules;

pub use probe::{Probe, Probed};
pub use rules::{Fate, Kind, Rule, Rules, Tally};

use plan::files::Pattern;
use std::io;
use std::path::{Path, PathBuf};

const WHY: &str = "a file system that can fail needs Linux";

/// One that nobody can make.
#[derive(Debug)]
pub struct Fuse {
    rules: Rules,
}

impl Fuse {
    pub fn make(_: &Path, _: &Path) -> io::Result<Fuse> {
        Err(unsupported())
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn backing(&self) -> &Path {
        Path::new("")
    }

    pub fn probe_path(&self) -> PathBuf {
        PathBuf::new()
    }

    pub fn tear(&self, _: &Pattern, _: u64) -> io::Result<Vec<String>> {
        Err(unsupported())
    }

    pub fn stop(&mut self) {}

    pub fn keep(self) -> io::Result<()> {
        Err(unsupported())
    }
}

pub fn can_make(_: &Path) -> Result<(), String> {
    Err(WHY.to_string())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, WHY)
}
