//! What a node that runs is kept from having: CPU, and memory.
//!
//! Promises: of several limits on one node the tightest holds, and they end in any order; a fault is in effect when the kernel
//! has the limit and counts the node's process among those under it, and it is told how often the node met it. A node that was
//! killed because it had no memory is started again when the fault is healed, unless another one keeps it down.

use super::{Nodes, ended, group_of};
use crate::group::{CpuUse, Group, MemoryUse};
use crate::process::Process;
use plan::Deed;
use std::collections::BTreeMap;
use std::io;

/// What was done to one node for one fault.
#[derive(Debug)]
struct Done {
    deed: Deed,
    /// What ran then.
    process: Option<Process>,
    /// What had been counted before.
    cpu: CpuUse,
    memory: MemoryUse,
    healed: bool,
}

/// All limits of a run.
#[derive(Debug, Default)]
pub struct Limits {
    done: BTreeMap<(u32, String), Done>,
}

impl Limits {
    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: Deed,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let process = nodes.pid(node).and_then(Process::of);
        let group = group_of(nodes, node)?;
        let (cpu, memory) = (group.cpu_use()?, group.memory_use()?);
        let done = Done { deed, process, cpu, memory, healed: false };
        self.done.insert((fault, node.to_string()), done);
        self.set(node, group)
    }

    /// `kept_down`: another fault has ended the node's process, and starts it again.
    pub fn heal(
        &mut self,
        fault: u32,
        node: &str,
        kept_down: bool,
        nodes: &mut dyn Nodes,
    ) -> io::Result<()> {
        let Some(done) = self.done.get_mut(&(fault, node.to_string())) else { return Ok(()) };
        done.healed = true;
        self.set(node, group_of(nodes, node)?)?;
        ended::start_again(node, kept_down, !self.others(fault, node).is_empty(), nodes)
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let done = self.done.get(&(fault, node.to_string())).ok_or("nothing was done to it")?;
        let now = nodes.pid(node).and_then(Process::of);
        let words = || -> io::Result<Result<String, String>> {
            let group = group_of(nodes, node)?;
            let met = done.met(group)?;
            let Some(now) = now.filter(Process::is_alive) else {
                // Whoever is out of memory is killed; of a share of the CPU nobody dies.
                return Ok(match met.killed {
                    0 => Err(format!("nothing of it runs; {}", met.words)),
                    _ => Ok(met.words),
                });
            };
            let (pid, holds) = (now.pid, group.holds(&now)?);
            Ok(match met.is_limited && met.is_counted && holds {
                true => Ok(format!("pid {pid}: {}", met.words)),
                false if !holds => Err(format!("pid {pid} is not in its group")),
                false => Err(format!("pid {pid}: {}", met.words)),
            })
        };
        words().unwrap_or_else(|error| Err(error.to_string()))
    }

    /// `kept_down`: as for [`Limits::heal`].
    pub fn over(
        &mut self,
        fault: u32,
        node: &str,
        kept_down: bool,
        nodes: &mut dyn Nodes,
    ) -> Result<String, String> {
        let others = self.others(fault, node);
        let Some(done) = self.done.get(&(fault, node.to_string())) else {
            return Ok("nothing was done to it".to_string());
        };
        let met = group_of(nodes, node).and_then(|group| done.met(group));
        let met = met.map_err(|error| error.to_string())?;
        if met.is_limited && others.is_empty() {
            return Err(met.words);
        }
        let now = nodes.pid(node).and_then(Process::of);
        let runs = ended::stands(now, done.process.as_ref(), kept_down, !others.is_empty())
            .map_err(|why| format!("{}; {why}", met.words))?;
        Ok(format!("{}; {runs}{}", met.words, ended::still("its group is", &others)))
    }

    /// Gives the kernel what holds now: the tightest limit of each kind.
    fn set(&self, node: &str, group: &Group) -> io::Result<()> {
        let held = || self.held().filter(|((_, at), _)| at == node).map(|(_, done)| done.deed);
        let percent = held().filter_map(|deed| match deed {
            Deed::CpuLimit { percent } => Some(u64::from(percent)),
            _ => None,
        });
        let bytes = held().filter_map(|deed| match deed {
            Deed::MemoryLimit { bytes } => Some(bytes.0),
            _ => None,
        });
        group.limit_cpu(percent.min())?;
        group.limit_memory(bytes.min())
    }

    fn held(&self) -> impl Iterator<Item = (&(u32, String), &Done)> {
        self.done.iter().filter(|(_, done)| !done.healed)
    }

    /// Other limits of the same kind that the node is under.
    fn others(&self, fault: u32, node: &str) -> Vec<u32> {
        let kind = self.done.get(&(fault, node.to_string())).map(|done| done.deed.name());
        let here = self.held().filter(|((other, at), _)| at == node && *other != fault);
        here.filter(|(_, done)| Some(done.deed.name()) == kind)
            .map(|((other, _), _)| *other)
            .collect()
    }
}

/// How a node stands under a limit.
struct Met {
    /// The kernel has a limit at all.
    is_limited: bool,
    /// It has looked whether the node keeps to it.
    is_counted: bool,
    /// Processes that were killed of it.
    killed: u64,
    words: String,
}

impl Done {
    fn met(&self, group: &Group) -> io::Result<Met> {
        match self.deed {
            Deed::CpuLimit { .. } => self.met_on_cpu(group),
            _ => self.met_in_memory(group),
        }
    }

    fn met_on_cpu(&self, group: &Group) -> io::Result<Met> {
        let (limit, now) = (group.cpu_limit()?, group.cpu_use()?);
        let (periods, throttled) =
            (since(now.periods, self.cpu.periods), since(now.throttled, self.cpu.throttled));
        let share = match limit {
            Some(percent) => format!("{percent} % of a CPU"),
            None => "no limit on its CPU".to_string(),
        };
        Ok(Met {
            is_limited: limit.is_some(),
            is_counted: periods > 0,
            killed: 0,
            words: format!("{share}; held back in {throttled} of {periods} periods of 100 ms"),
        })
    }

    fn met_in_memory(&self, group: &Group) -> io::Result<Met> {
        let (limit, now) = (group.memory_limit()?, group.memory_use()?);
        let (hits, killed) =
            (since(now.hits, self.memory.hits), since(now.killed, self.memory.killed));
        let limit_words = match limit {
            Some(bytes) => format!("of {bytes} bytes"),
            None => "of no limit".to_string(),
        };
        let deaths = match killed {
            0 => String::new(),
            _ => "; the kernel has killed it".to_string(),
        };
        Ok(Met {
            is_limited: limit.is_some(),
            is_counted: true,
            killed,
            words: format!("uses {} {limit_words}; met the limit {hits} times{deaths}", now.bytes),
        })
    }
}

/// What was counted since. Whoever may write to a counter of the kernel may have set it back; then it began anew.
pub(super) fn since(now: u64, before: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}
