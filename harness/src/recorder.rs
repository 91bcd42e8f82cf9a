//! The run's history as clients see it: one clock, one file, and a copy of every event for whoever follows live.
//!
//! Promises: what was committed is in the file (in the operating system's hands) before the send that it announces
//! leaves; events are in the file in the order of their recording. A file that can't be written ends the run: load
//! without a history proves nothing.

use anyhow::{Context, Result};
use clients::History;
use model::history::codec::{BLOCK_BYTES_TARGET, Encoder};
use model::history::{Event, Time};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Events in the order of their recording, handed on in portions.
pub type Portion = Vec<(Time, Event)>;

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { began: Instant::now() }
    }

    pub fn now(&self) -> Time {
        Time { mono_ns: self.began.elapsed().as_nanos() as u64, wall_ms: wall_ms() }
    }

    /// Milliseconds since the run began.
    pub fn ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// Milliseconds since the Unix epoch.
pub fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

pub struct Recorder {
    clock: Clock,
    inner: Mutex<Inner>,
    failed: AtomicBool,
}

struct Inner {
    encoder: Encoder,
    encoded: Vec<u8>,
    file: File,
    portion: Portion,
    /// None once the run is over.
    follower: Option<Sender<Portion>>,
    error: Option<String>,
}

impl Recorder {
    /// Creates the history file; every event recorded is also sent to `follower`.
    pub fn create(path: &Path, clock: Clock, follower: Sender<Portion>) -> Result<Recorder> {
        let file = File::create_new(path)
            .with_context(|| format!("cannot make the history {}", path.display()))?;
        let inner = Inner {
            encoder: Encoder::new(),
            encoded: Vec::with_capacity(2 * BLOCK_BYTES_TARGET),
            file,
            portion: Vec::new(),
            follower: Some(follower),
            error: None,
        };
        Ok(Recorder { clock, inner: Mutex::new(inner), failed: AtomicBool::new(false) })
    }

    /// Records with the time of now and commits.
    pub fn note(&self, event: Event) {
        self.record(self.clock.now(), event);
        self.commit();
    }

    /// Why the history could not be written, if it could not.
    pub fn error(&self) -> Option<String> {
        if !self.failed.load(Ordering::Relaxed) {
            return None;
        }
        self.lock().error.clone()
    }

    /// Commits and makes the file durable. Whoever follows has been told everything, and what is recorded later is nobody's
    /// any more: a client whose library died may still hold on to this.
    pub fn finish(&self) -> Result<()> {
        self.commit();
        self.lock().follower = None;
        if let Some(error) = self.error() {
            anyhow::bail!("the history could not be written: {error}");
        }
        self.lock().file.sync_all().context("cannot sync the history")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A client thread that panicked while it recorded left whole events behind: go on with them.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl History for Recorder {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn record(&self, time: Time, event: Event) {
        let inner = &mut *self.lock();
        if inner.follower.is_none() {
            return;
        }
        inner.encoder.append(&time, &event, &mut inner.encoded);
        inner.portion.push((time, event));
        // Outcomes of one poll may be many: they need no commit of their own, only bounded memory.
        if inner.portion.len() >= 4096 {
            self.flush(inner);
        }
    }

    fn commit(&self) {
        self.flush(&mut self.lock());
    }
}

impl Recorder {
    fn flush(&self, inner: &mut Inner) {
        inner.encoder.flush_block(&mut inner.encoded);
        if !inner.encoded.is_empty()
            && let Err(error) = inner.file.write_all(&inner.encoded)
        {
            inner.error.get_or_insert(error.to_string());
            self.failed.store(true, Ordering::Relaxed);
        }
        inner.encoded.clear();
        if let Some(follower) = &inner.follower
            && !inner.portion.is_empty()
        {
            // Who follows may have ended before.
            let _ = follower.send(std::mem::take(&mut inner.portion));
        }
    }
}
