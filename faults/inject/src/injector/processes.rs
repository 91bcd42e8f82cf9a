//! What is done to a node's process: kill, terminate, stall, stutter, crash loops, and those that take from its disk too,
//! wipe, power loss and what is done to its files while it is dead.
//!
//! Promises: what has to be undone is written down before it is done; a process that is killed, or has died meanwhile, is
//! started again when the fault is healed, and only once the old one is gone.

use super::disk::destroy_data;
use super::surgery::{self, Snapshot};
use super::{Nodes, disk_of, seed_of};
use crate::process::{Process, State};
use crate::undo::UndoLog;
use plan::Deed;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What was done to one node for one fault.
#[derive(Debug)]
struct Done {
    deed: Deed,
    /// The process that it was done to.
    process: Process,
    asked: Instant,
    /// The undo record of a stall.
    undo: Option<u64>,
    /// It was told to end: no beat of it comes any more.
    healed: bool,
    /// Time on the CPU when a stall was healed.
    cpu_ns_at_heal: Option<u64>,
    /// Stops of a stutter that the kernel showed.
    stops: u32,
    /// Lives of a loop that were ended, and those that ended by themselves before it was time.
    ended: u32,
    ended_itself: u32,
    /// What a wipe destroyed.
    wiped: Option<String>,
    /// The emptied directory was made one to start on.
    formatted: bool,
    /// When the power went, in words.
    cut: String,
    /// What was left of a disk whose power had gone.
    left: Option<String>,
    /// It outlived the grace of a termination, and was killed.
    overran: bool,
    /// What was done to the files of the dead.
    operated: Option<String>,
    /// A copy of its data, until it is put back.
    snapshot: Option<Snapshot>,
    /// What is told of that copy.
    copied: String,
}

/// How long a killed process may take to end before it is looked at again.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// All deeds of a run on processes.
#[derive(Debug)]
pub struct Processes {
    undo: UndoLog,
    /// Of what is left to chance.
    seed: u64,
    done: BTreeMap<(u32, String), Done>,
}

impl Processes {
    pub fn new(undo: UndoLog, seed: u64) -> Processes {
        Processes { undo, seed, done: BTreeMap::new() }
    }

    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let running = nodes.pid(node).and_then(Process::of).filter(Process::is_alive);
        let process = running.ok_or_else(|| io::Error::other("it was not running"))?;
        let undo = match is_stopping(deed) {
            // A dead node is started again by its owner, who keeps the record of that.
            false => None,
            true => Some(self.undo.stopping(&process)?),
        };
        let done = Done {
            deed,
            process: process.clone(),
            asked: Instant::now(),
            undo,
            healed: false,
            cpu_ns_at_heal: None,
            stops: 0,
            ended: 1,
            ended_itself: 0,
            wiped: None,
            formatted: false,
            cut: String::new(),
            left: None,
            overran: false,
            operated: None,
            snapshot: None,
            copied: String::new(),
        };
        let done = self.done.entry((fault, node.to_string())).insert_entry(done).into_mut();
        match deed {
            Deed::PowerLoss => {
                // The disk first: what the process did with its last breath would reach it otherwise.
                let disk = disk_of(nodes, node)?;
                disk.cut()?;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                done.cut = format!("its power went at {:.6} s of Unix time", now.as_secs_f64());
                process.kill()
            }
            Deed::Terminate { .. } | Deed::Upgrade { .. } => process.terminate(),
            Deed::OldSnapshot => {
                // Stands still for as long as that takes, so that the copy is of one moment.
                let record = self.undo.stopping(&process)?;
                process.stop()?;
                let began = Instant::now();
                let taken = Snapshot::take(fault, &nodes.data_dir(node));
                process.resume()?;
                self.undo.undone(record)?;
                let (snapshot, words) = taken?;
                let took = began.elapsed().as_secs_f64();
                done.copied =
                    format!("{words} in {took:.3} s, in which pid {} was stopped", process.pid);
                done.snapshot = Some(snapshot);
                Ok(())
            }
            deed if is_stopping(deed) => process.stop(),
            _ => process.kill(),
        }
    }

    /// The next beat of a stutter, or of a loop.
    pub fn pulse(
        &mut self,
        fault: u32,
        node: &str,
        on: bool,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let done = self.done.get_mut(&(fault, node.to_string()));
        let Some(done) = done.filter(|done| !done.healed) else { return Ok(()) };
        if matches!(done.deed, Deed::CrashLoop { .. }) {
            return done.next_life(node, on, nodes);
        }
        let state = done.process.state();
        if matches!(state, State::Gone | State::Zombie) {
            return Err(io::Error::other(format!("pid {} has died", done.process.pid)));
        }
        if on {
            return done.process.stop();
        }
        done.stops += u32::from(matches!(state, State::Stopped { .. }));
        done.process.resume()
    }

    pub fn heal(&mut self, fault: u32, node: &str, nodes: &mut dyn Nodes) -> io::Result<()> {
        let done = self.done.get_mut(&(fault, node.to_string()));
        let Some(done) = done else { return Ok(()) };
        done.healed = true;
        if is_stopping(done.deed) {
            done.stops += u32::from(matches!(done.process.state(), State::Stopped { .. }));
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
        done.end_the_overdue()?;
        if done.deed == Deed::OldSnapshot {
            done.put_back(node, nodes)?;
            if done.left.is_none() {
                // No copy was made, and so nothing was ended.
                return Ok(());
            }
        }
        // It is down: by the fault, or because it died on its own since.
        if done.deed == Deed::Wipe && done.wiped.is_none() {
            // Cut short between the kill and the emptying: the disk is as it was, and so it starts.
            done.wiped = Some("the disk was left alone".to_string());
        }
        let started = nodes.pid(node).and_then(Process::of);
        if done.deed == Deed::PowerLoss && !done.process.is_alive() {
            let disk = disk_of(nodes, node)?;
            if !disk.has_power() {
                done.left = Some(disk.restore()?);
            }
        }
        if matches!(done.deed, Deed::Upgrade { .. }) && !done.process.is_alive() {
            done.left = Some(nodes.upgrade(node)?);
        }
        match started.filter(|now| *now != done.process && now.is_alive()) {
            Some(_) => Ok(()),
            None if done.process.is_alive() => Err(io::Error::other("it is not down yet")),
            None => nodes.start(node).map(|_| ()),
        }
    }

    /// A fault has ended the node's process, and starts it again when it is healed.
    pub fn keep_down(&self, node: &str) -> bool {
        self.done.iter().any(|((_, at), done)| {
            at == node && !done.healed && !is_stopping(done.deed) && done.deed != Deed::OldSnapshot
        })
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let key = (fault, node.to_string());
        let chance = seed_of(self.seed, fault, node);
        let done = self.done.get_mut(&key).ok_or("nothing was done to it")?;
        let pid = done.process.pid;
        let state = done.process.state();
        let dead = matches!(state, State::Gone | State::Zombie);
        match (done.deed, state) {
            (Deed::Terminate { .. } | Deed::Upgrade { .. }, _) if dead => {
                Ok(done.end_of_termination())
            }
            (Deed::Terminate { .. } | Deed::Upgrade { .. }, state) => {
                done.end_the_overdue().map_err(|error| error.to_string())?;
                Err(format!("pid {pid}: {}", words(&state)))
            }
            (Deed::PowerLoss, State::Gone | State::Zombie) => {
                let disk = disk_of(nodes, node).map_err(|error| error.to_string())?;
                match disk.has_power() {
                    true => Err(format!("pid {pid} is dead, and its disk has power")),
                    false => Ok(format!("pid {pid} is dead, {}", done.cut)),
                }
            }
            (Deed::OldSnapshot, _) => match &done.snapshot {
                Some(_) => Ok(done.copied.clone()),
                None => Err("no copy was made".to_string()),
            },
            (deed, State::Gone | State::Zombie) if surgery::is_surgery(deed) => {
                let operated = match &done.operated {
                    Some(operated) => operated.clone(),
                    None => surgery::operate(chance, node, deed, nodes).map_err(on_disk)?,
                };
                done.operated = Some(operated.clone());
                Ok(format!("pid {pid} is dead, {operated}"))
            }
            (Deed::Kill | Deed::CrashLoop { .. }, State::Gone) => Ok(format!("pid {pid} is gone")),
            (Deed::Kill | Deed::CrashLoop { .. }, State::Zombie) => {
                Ok(format!("pid {pid} is dead"))
            }
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
            (deed, State::Stopped { threads }) if is_stopping(deed) => {
                Ok(format!("pid {pid}: state T (stopped), {threads} threads"))
            }
            (_, state) => Err(format!("pid {pid}: {}", words(&state))),
        }
    }

    pub fn over(
        &mut self,
        fault: u32,
        node: &str,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let key = (fault, node.to_string());
        let Some(done) = self.done.get(&key) else {
            return Ok("nothing was done to it".to_string());
        };
        let pid = done.process.pid;
        if done.deed == Deed::OldSnapshot && done.left.is_none() && done.process.is_alive() {
            return Ok(format!("pid {pid} still runs, and its data was left alone"));
        }
        if is_stopping(done.deed) {
            match done.process.state() {
                State::Alive(letter) => return done.progress(letter),
                State::Stopped { .. } => return Err(format!("pid {pid}: state T (stopped)")),
                State::Zombie | State::Gone => {}
            }
        }
        let now = nodes.pid(node).and_then(Process::of).filter(|now| *now != done.process);
        match now {
            None => Err(format!("pid {pid} is dead, and no other runs")),
            Some(now) => match now.state() {
                State::Alive(letter) if is_stopping(done.deed) => {
                    Ok(format!("pid {pid} died; pid {} runs, state {letter}", now.pid))
                }
                State::Alive(letter) => {
                    let lives = match done.deed {
                        Deed::CrashLoop { .. } => done.lives(),
                        _ => String::new(),
                    };
                    let left =
                        done.left.as_ref().map(|left| format!(", {left}")).unwrap_or_default();
                    Ok(format!("pid {} runs, state {letter}{left}{lives}", now.pid))
                }
                state => Err(format!("pid {}: {}", now.pid, words(&state))),
            },
        }
    }
}

impl Done {
    /// Ends the node's life, or starts another. What is still dying is left to die: the next beat starts it.
    fn next_life(&mut self, node: &str, ends: bool, nodes: &mut dyn Nodes) -> io::Result<()> {
        let now = nodes.pid(node).and_then(Process::of).filter(Process::is_alive);
        match (ends, now) {
            (true, Some(now)) if now != self.process => {
                self.process = now;
                self.ended += 1;
                self.process.kill()
            }
            (true, None) => {
                self.ended_itself += 1;
                Ok(())
            }
            (false, None) if !self.process.is_alive() => nodes.start(node).map(|_| ()),
            _ => Ok(()),
        }
    }

    fn lives(&self) -> String {
        match self.ended_itself {
            0 => format!(", {} lives were ended before", self.ended),
            itself => {
                format!(
                    ", {} lives were ended before, {itself} times it had ended by itself",
                    self.ended
                )
            }
        }
    }

    /// Ends whatever runs on the data, and puts the copy in its place; to be asked again while it ends.
    fn put_back(&mut self, node: &str, nodes: &mut dyn Nodes) -> io::Result<()> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        if let Some(process) = nodes.pid(node).and_then(Process::of).filter(Process::is_alive) {
            // Another fault's healing may have started it anew since the copy was made.
            self.process = process;
            self.process.kill()?;
            self.process.wait_gone(ENDS_WITHIN);
        }
        if self.process.is_alive() {
            return Err(io::Error::other("it is not down yet"));
        }
        self.left = Some(snapshot.put_back(&nodes.data_dir(node))?);
        self.snapshot = None;
        Ok(())
    }

    /// Kills what has outlived its grace.
    fn end_the_overdue(&mut self) -> io::Result<()> {
        let (Deed::Terminate { grace } | Deed::Upgrade { grace }) = self.deed else {
            return Ok(());
        };
        let late = self.asked.elapsed() >= Duration::from_millis(grace.0);
        if late && !self.overran && self.process.is_alive() {
            self.overran = true;
            return self.process.kill();
        }
        Ok(())
    }

    fn end_of_termination(&self) -> String {
        let pid = self.process.pid;
        match self.deed {
            Deed::Terminate { grace } | Deed::Upgrade { grace } if self.overran => {
                format!("OVERRUN: pid {pid} still ran {grace} after SIGTERM; dead of SIGKILL")
            }
            _ => {
                let took = self.asked.elapsed().as_secs_f64();
                format!("pid {pid} was seen dead {took:.3} s after SIGTERM")
            }
        }
    }

    /// Whether a continued process has really run again.
    fn progress(&self, letter: char) -> Result<String, String> {
        let pid = self.process.pid;
        let stopped = match self.deed {
            Deed::Stutter { .. } => format!("seen stopped {} times, ", self.stops),
            _ => String::new(),
        };
        match (self.cpu_ns_at_heal, self.process.cpu_ns()) {
            (Some(before), Some(now)) if now > before => {
                let ran_ms = (now - before) as f64 / 1e6;
                Ok(format!("pid {pid}: state {letter}, {stopped}ran {ran_ms:.3} ms since SIGCONT"))
            }
            (Some(_), Some(_)) => Err(format!("pid {pid}: state {letter}, has not run yet")),
            // The system does not say: the state is all there is.
            _ => Ok(format!("pid {pid}: state {letter}, {stopped}continued")),
        }
    }
}

/// It stops the process, and does not end it.
fn is_stopping(deed: Deed) -> bool {
    matches!(deed, Deed::Stall | Deed::Stutter { .. })
}

fn on_disk(error: io::Error) -> String {
    format!("the disk: {error}")
}

fn words(state: &State) -> String {
    match state {
        State::Alive(letter) => format!("state {letter}"),
        State::Stopped { .. } => "state T (stopped)".to_string(),
        State::Zombie => "dead".to_string(),
        State::Gone => "gone".to_string(),
    }
}
