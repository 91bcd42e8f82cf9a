//! Actions in, deeds done, events out.
//!
//! Promises: an [`Event::Done`] means that the deed was carried out, a [`Event::Confirmed`] or [`Event::Cleared`]
//! that its effect was measured, with the measurement as evidence. Nothing here waits: a probe that sees nothing yet
//! says so and is asked again.

use crate::process::{Process, State};
use crate::undo::UndoLog;
use plan::target::{Action, Deed, Event, Expect};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What the injector needs of whoever owns the nodes' processes.
pub trait Nodes {
    /// The pid of the node's process as it was last started; `None` once its owner has seen it end.
    fn pid(&self, node: &str) -> Option<u32>;

    /// Starts the node again with its own configuration and data, and answers the new pid. It need not be ready. The
    /// owner keeps the undo record of what it starts.
    fn start(&mut self, node: &str) -> io::Result<u32>;

    /// Where the node keeps its data: the directory with its `meta.properties`.
    fn data_dir(&self, node: &str) -> PathBuf;

    /// Makes the emptied data directory one that the node starts on: a `meta.properties` with the same cluster and
    /// node id, and a directory id of its own, as a new disk has.
    fn format(&mut self, node: &str) -> io::Result<()>;
}

/// What was done to one node for one fault.
#[derive(Debug)]
struct Done {
    /// The process that it was done to.
    process: Process,
    /// The undo record of a stall.
    undo: Option<u64>,
    /// Time on the CPU when a stall was healed.
    cpu_ns_at_heal: Option<u64>,
    /// What a wipe destroyed.
    wiped: Option<String>,
    /// The emptied directory was made one to start on.
    formatted: bool,
}

/// Carries actions out on local processes.
#[derive(Debug)]
pub struct Injector {
    undo: UndoLog,
    done: BTreeMap<(u32, String), Done>,
}

impl Injector {
    pub fn new(undo: UndoLog) -> Injector {
        Injector { undo, done: BTreeMap::new() }
    }

    /// Carries an action out and answers it.
    pub fn act(&mut self, action: &Action, nodes: &mut dyn Nodes) -> Event {
        match action {
            Action::Inject { fault, node, deed } => {
                let result = self.inject(*fault, node, *deed, nodes);
                tracing::info!(fault, %node, deed = deed.as_str(), ok = result.is_ok(), "inject");
                answer(*fault, node, result)
            }
            Action::Heal { fault, node, deed } => {
                let result = self.heal(*fault, node, *deed, nodes);
                tracing::info!(fault, %node, deed = deed.as_str(), ok = result.is_ok(), "heal");
                answer(*fault, node, result)
            }
            Action::Probe { fault, node, deed, expect: Expect::InEffect } => {
                let (fault, node) = (*fault, node.clone());
                match self.in_effect(fault, &node, *deed, nodes) {
                    Ok(evidence) => Event::Confirmed { fault, node, evidence },
                    Err(evidence) => Event::NotConfirmed { fault, node, evidence },
                }
            }
            Action::Probe { fault, node, deed, expect: Expect::Over } => {
                let (fault, node) = (*fault, node.clone());
                match self.over(fault, &node, *deed, nodes) {
                    Ok(evidence) => Event::Cleared { fault, node, evidence },
                    Err(evidence) => Event::NotCleared { fault, node, evidence },
                }
            }
        }
    }

    fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let running = nodes.pid(node).and_then(Process::of).filter(Process::is_alive);
        let process = running.ok_or_else(|| io::Error::other("it was not running"))?;
        let undo = match deed {
            // A killed node is started again by its owner, who keeps the record of that.
            Deed::Kill | Deed::Wipe => None,
            Deed::Stall => Some(self.undo.stopping(&process)?),
        };
        let done = Done {
            process: process.clone(),
            undo,
            cpu_ns_at_heal: None,
            wiped: None,
            formatted: false,
        };
        self.done.insert((fault, node.to_string()), done);
        match deed {
            Deed::Kill | Deed::Wipe => process.kill(),
            Deed::Stall => process.stop(),
        }
    }

    fn heal(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let done = self.done.get_mut(&(fault, node.to_string()));
        let Some(done) = done else { return Ok(()) };
        if deed == Deed::Stall {
            let cpu_ns = done.process.cpu_ns();
            done.cpu_ns_at_heal = done.cpu_ns_at_heal.or(cpu_ns);
            done.process.resume()?;
            if let Some(undo) = done.undo.take() {
                self.undo.undone(undo)?;
            }
            if done.process.is_alive() {
                return Ok(());
            }
        }
        // It is down: by the fault, or because it died on its own since.
        if deed == Deed::Wipe && done.wiped.is_none() {
            // Cut short between the kill and the emptying: the disk is as it was, and so it starts.
            done.wiped = Some("the disk was left alone".to_string());
        }
        let started = nodes.pid(node).and_then(Process::of);
        match started.filter(|now| *now != done.process && now.is_alive()) {
            Some(_) => Ok(()),
            None if done.process.is_alive() => Err(io::Error::other("it is not down yet")),
            None => nodes.start(node).map(|_| ()),
        }
    }

    fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let key = (fault, node.to_string());
        let done = self.done.get_mut(&key).ok_or("nothing was done to it")?;
        let pid = done.process.pid;
        let state = done.process.state();
        match (deed, state) {
            (Deed::Kill, State::Gone) => Ok(format!("pid {pid} is gone")),
            (Deed::Kill, State::Zombie) => Ok(format!("pid {pid} is dead")),
            (Deed::Wipe, State::Gone | State::Zombie) => {
                let wiped = match &done.wiped {
                    Some(wiped) => wiped.clone(),
                    None => destroy_data(&nodes.data_dir(node)).map_err(on_disk)?,
                };
                done.wiped = Some(wiped.clone());
                if !done.formatted {
                    nodes.format(node).map_err(on_disk)?;
                    done.formatted = true;
                }
                Ok(format!("pid {pid} is dead, {wiped}"))
            }
            (Deed::Stall, State::Stopped { threads }) => {
                Ok(format!("pid {pid}: state T (stopped), {threads} threads"))
            }
            (_, state) => Err(format!("pid {pid}: {}", words(&state))),
        }
    }

    fn over(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let key = (fault, node.to_string());
        let Some(done) = self.done.get(&key) else {
            return Ok("nothing was done to it".to_string());
        };
        let pid = done.process.pid;
        if deed == Deed::Stall {
            match done.process.state() {
                State::Alive(letter) => return progress(done, letter),
                State::Stopped { .. } => return Err(format!("pid {pid}: state T (stopped)")),
                State::Zombie | State::Gone => {}
            }
        }
        let now = nodes.pid(node).and_then(Process::of).filter(|now| *now != done.process);
        match now {
            None => Err(format!("pid {pid} is dead, and no other runs")),
            Some(now) => match now.state() {
                State::Alive(letter) if deed == Deed::Stall => {
                    Ok(format!("pid {pid} died; pid {} runs, state {letter}", now.pid))
                }
                State::Alive(letter) => Ok(format!("pid {} runs, state {letter}", now.pid)),
                state => Err(format!("pid {}: {}", now.pid, words(&state))),
            },
        }
    }
}

/// Whether a continued process has really run again.
fn progress(done: &Done, letter: char) -> Result<String, String> {
    let pid = done.process.pid;
    match (done.cpu_ns_at_heal, done.process.cpu_ns()) {
        (Some(before), Some(now)) if now > before => {
            let ran_ms = (now - before) as f64 / 1e6;
            Ok(format!("pid {pid}: state {letter}, ran {ran_ms:.3} ms since SIGCONT"))
        }
        (Some(_), Some(_)) => Err(format!("pid {pid}: state {letter}, has not run yet")),
        // The system does not say: the state is all there is.
        _ => Ok(format!("pid {pid}: state {letter}")),
    }
}

fn on_disk(error: io::Error) -> String {
    format!("the disk: {error}")
}

/// Destroys what a node's data directory holds; answers what that was.
fn destroy_data(directory: &Path) -> io::Result<String> {
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

fn words(state: &State) -> String {
    match state {
        State::Alive(letter) => format!("state {letter}"),
        State::Stopped { .. } => "state T (stopped)".to_string(),
        State::Zombie => "dead".to_string(),
        State::Gone => "gone".to_string(),
    }
}

fn answer(fault: u32, node: &str, result: io::Result<()>) -> Event {
    let node = node.to_string();
    match result {
        Ok(()) => Event::Done { fault, node },
        Err(error) => Event::Failed { fault, node, error: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
