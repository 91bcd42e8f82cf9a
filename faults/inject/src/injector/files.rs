//! What is done to the disk of a node that runs: errors, syncs that fail, slowness, no space.
//!
//! Promises: a fault is seen in effect and over by an operation of our own on the node's disk, and by what the node's own
//! operations met. A node that has ended of it is started again when it is healed, unless another fault keeps it down.

use super::{Nodes, disk_of, ended, fuse_of, seed_of};
use crate::fuse::{Probe, Probed, Rule, Tally};
use crate::process::{Process, State};
use plan::Deed;
use plan::files::{Operation, Pattern, log_dir};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A node that met errors ends soon, or goes on.
const MAY_END_WITHIN: Duration = Duration::from_secs(1);

/// What was done to one node for one fault.
#[derive(Debug)]
struct Done {
    deed: Deed,
    /// What ran on it then.
    process: Option<Process>,
    probe: Option<Probe>,
    healed: Option<Instant>,
}

/// All deeds of a run on disks that are in use.
#[derive(Debug)]
pub struct Files {
    seed: u64,
    done: BTreeMap<(u32, String), Done>,
}

impl Files {
    pub fn new(seed: u64) -> Files {
        Files { seed, done: BTreeMap::new() }
    }

    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let process = nodes.pid(node).and_then(Process::of);
        match rule(deed) {
            None => {
                disk_of(nodes, node)?.fill(fault)?;
            }
            Some(rule) => {
                fuse_of(nodes, node)?.rules().hold(fault, rule, seed_of(self.seed, fault, node))
            }
        }
        let done = Done { deed, process, probe: None, healed: None };
        self.done.insert((fault, node.to_string()), done);
        Ok(())
    }

    /// `kept_down`: another fault has ended the node's process, and starts it again.
    pub fn heal(
        &mut self,
        fault: u32,
        node: &str,
        kept_down: bool,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let others = self.others(fault, node);
        let Some(done) = self.done.get_mut(&(fault, node.to_string())) else { return Ok(()) };
        if done.healed.is_none() {
            // A probe that is under way ends by itself: to wait for it here would hold up the run.
            done.healed = Some(Instant::now());
        }
        match rule(done.deed) {
            None => {
                if let Some(disk) = nodes.disk(node) {
                    disk.free(fault);
                }
            }
            Some(_) => {
                if let Some(fuse) = nodes.fuse(node) {
                    fuse.rules().lift(fault);
                }
            }
        }
        let still = done.process.as_ref().filter(|process| process.is_alive());
        if let (Deed::LogDirOffline { .. }, Some(process)) = (done.deed, still) {
            process.kill()?;
            return Err(io::Error::other("it is not down yet"));
        }
        ended::start_again(node, kept_down, !others.is_empty(), nodes)
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let done = self.done.get_mut(&(fault, node.to_string())).ok_or("nothing was done to it")?;
        let Some(rule) = rule(done.deed) else {
            let disk = disk_of(nodes, node).map_err(|error| error.to_string())?;
            let (has_space, words) = disk.space().map_err(|error| error.to_string())?;
            return if has_space { Err(words) } else { Ok(words) };
        };
        let fuse = fuse_of(nodes, node).map_err(|error| error.to_string())?;
        let probed = done.probe(rule, fuse.probe_path())?;
        let tally = fuse.rules().tally(fault).map_or(Tally::default(), |(tally, _)| tally);
        let words = format!("{}{}", probe_words(done.deed, rule, &probed), met(rule, tally));
        // By the clock alone a busy machine would pass for a slow disk.
        let counted = tally.of_node + tally.of_probes > 0;
        match counted && (seen(rule, &probed) || tally.of_node > 0) {
            true => Ok(words),
            false => Err(words),
        }
    }

    /// `kept_down`: as for [`Files::heal`].
    pub fn over(
        &mut self,
        fault: u32,
        node: &str,
        kept_down: bool,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let others = self.others(fault, node);
        let Some(done) = self.done.get_mut(&(fault, node.to_string())) else {
            return Ok("nothing was done to it".to_string());
        };
        let still = ended::still("its disk is", &others);
        let (words, met_node) = match rule(done.deed) {
            None => {
                let disk = disk_of(nodes, node).map_err(|error| error.to_string())?;
                let (has_space, words) = disk.space().map_err(|error| error.to_string())?;
                if !has_space && others.is_empty() {
                    return Err(words);
                }
                // Who meets a full disk is told by nobody but itself.
                (words, true)
            }
            Some(rule) => {
                let fuse = fuse_of(nodes, node).map_err(|error| error.to_string())?;
                let probed = done.probe(rule, fuse.probe_path())?;
                let (tally, holds) = fuse.rules().tally(fault).ok_or("nothing was done to it")?;
                let words =
                    format!("{}{}", probe_words(done.deed, rule, &probed), met(rule, tally));
                let still = match rule {
                    Rule::Slow { delay, .. } => probed.took >= delay,
                    _ => probed.error.is_some(),
                };
                if holds || (still && others.is_empty()) {
                    return Err(words);
                }
                (words, tally.of_node > 0 && !matches!(rule, Rule::Slow { .. }))
            }
        };
        let now = nodes.pid(node).and_then(Process::of);
        let goes_on = now.as_ref() == done.process.as_ref()
            && now.as_ref().is_some_and(|now| matches!(now.state(), State::Alive(_)));
        let healed = done.healed.map_or(MAY_END_WITHIN, |healed| healed.elapsed());
        if !kept_down && goes_on && met_node && healed < MAY_END_WITHIN {
            return Err(format!("{words}; it may be about to end"));
        }
        let runs = ended::stands(now, done.process.as_ref(), kept_down, !others.is_empty())
            .map_err(|why| format!("{words}; {why}"))?;
        Ok(format!("{words}; {runs}{still}"))
    }

    /// Other faults that its disk is under.
    fn others(&self, fault: u32, node: &str) -> Vec<u32> {
        let held = self.done.iter().filter(|(_, done)| done.healed.is_none());
        let here = held.filter(|((other, at), _)| at == node && *other != fault);
        here.map(|((other, _), _)| *other).collect()
    }
}

impl Done {
    /// How an operation of ours went; an error while it is under way. The next call begins another one.
    fn probe(&mut self, rule: Rule, own: PathBuf) -> Result<Probed, String> {
        let probe = match &mut self.probe {
            Some(probe) => probe,
            none => {
                let path = probed_file(self.deed, own);
                let started = Probe::start(&path, probing(self.deed, rule));
                none.insert(started.map_err(|error| error.to_string())?)
            }
        };
        match probe.poll() {
            Ok(None) => Err("an operation of ours is under way".to_string()),
            Ok(Some(probed)) => {
                self.probe = None;
                Ok(probed)
            }
            Err(error) => {
                self.probe = None;
                Err(error.to_string())
            }
        }
    }
}

/// The operation of ours that meets a deed.
fn probing(deed: Deed, rule: Rule) -> Operation {
    match deed {
        Deed::LogDirOffline { .. } => Operation::Read,
        _ => operation(rule),
    }
}

/// The file that it is on, where `own` is one that only probes use: on a log directory it is one of the node's.
fn probed_file(deed: Deed, own: PathBuf) -> PathBuf {
    match (deed, own.parent()) {
        (Deed::LogDirOffline { directory }, Some(data)) => {
            data.join(log_dir(directory)).join("meta.properties")
        }
        _ => own,
    }
}

/// What its file system is told; `None`: it is a matter of space.
fn rule(deed: Deed) -> Option<Rule> {
    match deed {
        Deed::IoError { operation, probability, path } => {
            Some(Rule::Error { operation, percent: probability, path })
        }
        Deed::FsyncError { path } => Some(Rule::FsyncError { path }),
        Deed::LogDirOffline { directory } => Some(Rule::Error {
            operation: Operation::All,
            percent: 100,
            path: Pattern::new(&format!("{}/", log_dir(directory))).expect("short"),
        }),
        Deed::Slow { operation, delay } => {
            Some(Rule::Slow { operation, delay: Duration::from_millis(delay.0) })
        }
        _ => None,
    }
}

fn operation(rule: Rule) -> Operation {
    match rule {
        Rule::Error { operation, .. } | Rule::Slow { operation, .. } => operation,
        Rule::FsyncError { .. } => Operation::Fsync,
    }
}

/// Whether an operation of ours has met it.
fn seen(rule: Rule, probed: &Probed) -> bool {
    match rule {
        Rule::Slow { delay, .. } => probed.wall >= delay,
        Rule::Error { .. } | Rule::FsyncError { .. } => probed.error.is_some(),
    }
}

fn probe_words(deed: Deed, rule: Rule, probed: &Probed) -> String {
    let what = match probing(deed, rule) {
        Operation::Write => "a write of ours",
        Operation::Read => "a read of ours",
        Operation::Fsync => "a sync of ours",
        Operation::All => "a write and a sync of ours",
    };
    match &probed.error {
        Some(error) if !matches!(rule, Rule::Slow { .. }) => format!("{what}: {error}"),
        _ => format!("{what} took {:.6} s", probed.took.as_secs_f64()),
    }
}

/// What the node's own operations met.
fn met(rule: Rule, tally: Tally) -> String {
    let count = tally.of_node;
    match rule {
        Rule::Slow { .. } => format!("; {count} operations of the node's were slowed"),
        Rule::Error { .. } => format!("; {count} operations of the node's were answered with EIO"),
        Rule::FsyncError { .. } => format!("; {count} syncs of the node's failed"),
    }
}
