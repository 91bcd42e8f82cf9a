//! One machine of the cluster: a disk, a clock, and at most one process of the broker.
//!
//! Promises: a stalled process sees nothing until it goes on, and then everything in the order in which it came; a new
//! process starts from the disk alone. Not here: connections (`network`), and who decides what happens (`strike`).

use crate::clock::Clock;
use crate::disk::{Disk, Snapshot};
use generator::random::Random;
use node::config::NodeConfig;
use node::node::Node;
use node::step::{Effect, Input, Step};
use std::collections::VecDeque;

/// How often a disk is remembered, for faults that put an old one back, and how far back that goes.
const SNAPSHOT_EVERY_NS: u64 = 500_000_000;
const SNAPSHOTS_MAX: usize = 12;

pub struct Machine {
    pub id: u16,
    pub disk: Disk,
    pub clock: Clock,
    config: NodeConfig,
    node: Option<Box<Node>>,
    /// What came while the process was stopped; `None`: it runs.
    stalled: Option<VecDeque<Input>>,
    /// Processes so far.
    pub lives: u32,
    /// Process seeds.
    random: Random,
    /// When the node wants to be stepped again, in the world's time.
    deadline_ns: Option<u64>,
    snapshots: VecDeque<(u64, Snapshot)>,
}

impl Machine {
    pub fn new(id: u16, config: NodeConfig, disk: Disk, clock: Clock, random: Random) -> Machine {
        Machine {
            id,
            disk,
            clock,
            config,
            node: None,
            stalled: None,
            lives: 0,
            random,
            deadline_ns: None,
            snapshots: VecDeque::new(),
        }
    }

    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The process' state; present while it is stopped, too.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    pub fn is_up(&self) -> bool {
        self.node.is_some()
    }

    pub fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// A new process, which has not been stepped yet.
    pub fn start(&mut self) {
        assert!(self.node.is_none(), "n{} runs already", self.id);
        let mut node = Node::new(self.config.clone(), self.random.next());
        node.observe_acknowledgements();
        self.node = Some(Box::new(node));
        self.lives += 1;
        self.deadline_ns = None;
    }

    /// The process is gone, with everything that it had in memory.
    pub fn end_process(&mut self) {
        self.node = None;
        self.stalled = None;
        self.deadline_ns = None;
    }

    pub fn stall(&mut self) {
        if self.node.is_some() && self.stalled.is_none() {
            self.stalled = Some(VecDeque::new());
        }
    }

    /// What came meanwhile, to be stepped now.
    pub fn resume(&mut self) -> VecDeque<Input> {
        self.stalled.take().unwrap_or_default()
    }

    /// Steps the process, or keeps the input for later if it is stopped. `false`: no process took it.
    pub fn step(&mut self, now_ns: u64, input: Input, effects: &mut Vec<Effect>) -> bool {
        if let Some(inbox) = &mut self.stalled {
            inbox.push_back(input);
            return false;
        }
        let Some(node) = &mut self.node else { return false };
        node.step(self.clock.now(now_ns), input, effects);
        self.deadline_ns = node.deadline().map(|mono_ns| self.clock.world_ns(mono_ns).max(now_ns));
        true
    }

    pub fn deadline_ns(&self) -> Option<u64> {
        if self.stalled.is_some() { None } else { self.deadline_ns }
    }

    /// Remembers the disk now and then.
    pub fn remember(&mut self, now_ns: u64) {
        if self.snapshots.back().is_some_and(|(at_ns, _)| now_ns - at_ns < SNAPSHOT_EVERY_NS) {
            return;
        }
        self.snapshots.push_back((now_ns, self.disk.snapshot()));
        if self.snapshots.len() > SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
    }

    /// Puts the disk back to what it was `age_ns` ago, or as far back as is remembered. Answers the age it really has.
    pub fn put_back(&mut self, now_ns: u64, age_ns: u64) -> Option<u64> {
        assert!(self.node.is_none(), "n{} is using its disk", self.id);
        let wanted_ns = now_ns.saturating_sub(age_ns);
        let found = self.snapshots.iter().rev().find(|(at_ns, _)| *at_ns <= wanted_ns);
        let (at_ns, snapshot) = found.or(self.snapshots.front())?;
        self.disk.restore(snapshot);
        Some(now_ns - at_ns)
    }
}
