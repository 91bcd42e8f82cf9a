//! Asks every node for its metrics while a run lasts, and writes down what each answered.
//!
//! Promises: each node is asked by a thread of its own, every [`EVERY_MS`], and given up after [`WITHIN`]: one that is stopped,
//! dead or cut off holds up neither the others nor the run nor the observer; that it did not answer is a line of its own, never a
//! zero. What can't be written ends the asking, not the run. Not promised: what a node's numbers were between two looks.

pub mod alerts;
mod scrape;
pub mod series;
mod text;

use crate::recorder::Clock;
use anyhow::{Context, Result};
use model::metrics::{Scrape, Told};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The file of a run directory.
pub const FILE: &str = "metrics.jsonl";
/// From one question to the next. A virtual machine that has just started takes tenths of a second for an answer: more
/// questions would be load of their own.
pub const EVERY_MS: u64 = 1_000;
/// What takes longer is no answer. Less than [`EVERY_MS`], so that every node is asked as often as any other.
const WITHIN: Duration = Duration::from_millis(900);

/// Nodes that are being asked.
pub struct Asking {
    /// Dropped: it is over.
    stops: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    lines: Arc<Lines>,
}

/// Asks these nodes until [`Asking::stop`].
pub fn start(nodes: Vec<(String, SocketAddr)>, clock: Clock, path: &Path) -> Result<Asking> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let lines = Arc::new(Lines { file: Mutex::new(Ok(file)) });
    let mut asking = Asking { stops: Vec::new(), threads: Vec::new(), lines };
    for (node, address) in nodes {
        let (stop, stops) = channel();
        let lines = asking.lines.clone();
        let thread = std::thread::Builder::new()
            .name(format!("metrics-{node}"))
            .spawn(move || ask(&node, address, clock, &lines, &stops))
            .context("the operating system refused a thread")?;
        asking.stops.push(stop);
        asking.threads.push(thread);
    }
    Ok(asking)
}

impl Asking {
    /// Ends it; answers why not all could be written, if it could not.
    pub fn stop(self) -> Option<String> {
        drop(self.stops);
        for thread in self.threads {
            let _ = thread.join();
        }
        let file = self.lines.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_ref().err().cloned()
    }
}

/// The file that all threads write to, or why it could not be written any more.
struct Lines {
    file: Mutex<Result<File, String>>,
}

impl Lines {
    /// Whether there is sense in going on.
    fn write(&self, scrape: &Scrape) -> bool {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(open) = file.as_mut() else { return false };
        let mut line = serde_json::to_vec(scrape).unwrap_or_default();
        line.push(b'\n');
        match open.write_all(&line) {
            Ok(()) => true,
            Err(error) => {
                *file = Err(error.to_string());
                false
            }
        }
    }
}

fn ask(node: &str, address: SocketAddr, clock: Clock, lines: &Lines, stops: &Receiver<()>) {
    loop {
        let wait = Duration::from_millis(until_next(clock.ms()));
        // Once more when it is over: that is the state which the run ends in.
        let is_last = stops.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        let (at_ms, begun) = (clock.ms(), Instant::now());
        let told = match scrape::get(address, WITHIN) {
            Ok(text) => Told::Values(text::series(&text)),
            Err(why) => Told::Error(why),
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let scrape = Scrape { at_ms, node: node.to_string(), took_ms, told };
        if !lines.write(&scrape) || is_last {
            return;
        }
    }
}

/// Every node is asked in the middle of each second of the run: a second in which one was not asked is one in which it did not
/// answer in time.
fn until_next(now_ms: u64) -> u64 {
    let half = EVERY_MS / 2;
    (now_ms + half) / EVERY_MS * EVERY_MS + half - now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_each_second_is_next() {
        let waits = [(0, 500), (499, 1), (500, 1_000), (501, 999), (1_400, 100), (1_499, 1)];
        for (now_ms, wait_ms) in waits {
            assert_eq!(until_next(now_ms), wait_ms, "at {now_ms}");
        }
    }

    #[test]
    fn a_node_that_never_answers_holds_nobody_up() {
        // It listens, and a kernel accepts for it; nobody ever answers: a stopped process.
        let stopped = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let dead = free.local_addr().expect("an address");
        drop(free);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        let nodes = vec![
            ("n1".to_string(), stopped.local_addr().expect("an address")),
            ("n2".to_string(), dead),
        ];
        let asking = start(nodes, Clock::start(), &path).expect("it starts");
        assert_eq!(asking.stop(), None);
        let text = std::fs::read_to_string(&path).expect("the file");
        let mut errors: Vec<(String, bool)> = Vec::new();
        for line in text.lines() {
            let scrape: Scrape = serde_json::from_str(line).expect("a line");
            errors.push((scrape.node, matches!(scrape.told, Told::Error(_))));
        }
        errors.sort();
        assert_eq!(errors, [("n1".to_string(), true), ("n2".to_string(), true)]);
    }
}
