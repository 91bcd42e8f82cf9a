//! Which states the schedules came through. A state of the list that no schedule reaches is a defect of the simulator.
//!
//! Promises: counts states *entered*, from what nodes ask of disks and peers, what the observer saw and what clients were
//! told; never from what was meant to happen. Absent on purpose: code coverage.

use crate::{disk, network};
use bytes::Bytes;
use log::io::{FileId, IoOp};
use model::cluster::{Observation, PartitionState};
use model::history::{Event, Outcome};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use wire::api::key;

/// Everything that schedules should come through, with what counts as having been there.
pub const STATES: &[(&str, &str)] = &[
    ("quorum: leader changed", "another controller became active"),
    ("quorum: no leader", "the active controller's process ended"),
    ("quorum: vote written", "a vote or a new epoch was written to quorum-state"),
    ("quorum: snapshot written", "a snapshot of the metadata log was written"),
    ("quorum: snapshot fetched", "a node asked for the metadata log's snapshot"),
    ("partition: leader changed", "an elected leader followed another one"),
    ("partition: leader changed with sends in flight", "the same, with sends unanswered"),
    ("partition: no leader", "nobody may lead a partition"),
    ("partition: unclean leader", "the leader was in neither ISR nor ELR"),
    (
        "partition: leader out of the ELR",
        "the leader was an eligible leader replica, not in the ISR",
    ),
    ("partition: leader moved back", "leadership went to the preferred replica"),
    ("isr: shrunk", "a replica left an ISR"),
    ("isr: one", "an ISR of several replicas shrank to one"),
    ("isr: grown", "a replica came back into an ISR"),
    ("isr: full again", "an ISR that had shrunk was whole again"),
    ("elr: not empty", "a replica was out of the ISR and eligible"),
    ("broker: fenced", "the controller fenced a broker"),
    ("broker: unfenced", "a fenced broker came back"),
    ("broker: controlled shutdown", "a broker moved its leaderships away and ended"),
    ("broker: gave up", "a broker ended because its storage failed"),
    ("log: truncated", "a log was cut"),
    ("log: rolled", "a partition has a second segment"),
    ("log: synced", "a log was synced"),
    ("log: epoch asked for", "a node asked where its log leaves its leader's"),
    ("producer: id asked for", "an idempotent producer began, or began again"),
    ("producer: acknowledged", "a send was acknowledged"),
    ("producer: indeterminate", "nobody knows of a send"),
    ("producer: certainly failed", "a send was not written, for certain"),
    ("consumer: out of range", "a reader's position was outside the log"),
    ("group: joined", "a group member was assigned partitions"),
    ("network: connection reset", "a connection was reset with bytes under way"),
    ("network: clogged", "a direction stood still"),
    ("network: cut", "a stream met a cut, or a machine without power, and waited"),
    ("network: frame lost", "a frame was on its way when its connection was torn"),
    ("network: frame in pieces", "a frame came in more than one piece"),
    ("network: dial refused", "nobody listened"),
    ("network: dial timed out", "nobody answered"),
    ("network: half-open", "a host had forgotten a connection that its peer held"),
    ("disk: unsynced bytes lost", "a power loss destroyed what was not synced"),
    ("disk: unsynced bytes kept", "a power loss spared what was not synced"),
    ("disk: torn write", "a power loss or kill left a write in part"),
    ("disk: name lost", "a power loss undid a name that was not synced"),
    ("disk: write failed", "EIO on a write"),
    ("disk: read failed", "EIO on a read"),
    ("disk: sync failed", "EIO on a sync, dirty pages dropped"),
    ("disk: full", "no space"),
    ("disk: stalled", "an operation took long"),
    ("disk: bit rot", "a bit flipped behind everybody's back"),
    ("liveness: healed", "a damaged cluster became whole again"),
];

#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
    /// Which open files are logs of partitions, by node.
    logs: FxHashMap<(u16, FileId), bool>,
    partitions: BTreeMap<(String, u32), PartitionState>,
    controller: Option<i32>,
    fenced: Vec<i32>,
}

impl Coverage {
    pub fn reached(&mut self, state: &'static str) {
        self.add(state, 1);
    }

    pub fn add(&mut self, state: &'static str, times: u64) {
        debug_assert!(STATES.iter().any(|(name, _)| *name == state), "{state} is not in the list");
        if times > 0 {
            *self.counts.entry(state).or_default() += times;
        }
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub fn observed(&mut self, observation: &Observation, sends_open: u64) {
        match observation {
            Observation::Partition(state) => self.partition(state, sends_open),
            Observation::Quorum { leader, .. } => {
                if leader.is_none() {
                    self.reached("quorum: no leader");
                } else if self.controller.is_some() && *leader != self.controller {
                    self.reached("quorum: leader changed");
                }
                self.controller = leader.or(self.controller);
            }
            Observation::Brokers { fenced, .. } => {
                let new = fenced.iter().filter(|id| !self.fenced.contains(id)).count();
                let gone = self.fenced.iter().filter(|id| !fenced.contains(id)).count();
                self.add("broker: fenced", new as u64);
                self.add("broker: unfenced", gone as u64);
                self.fenced.clone_from(fenced);
            }
            Observation::Node { .. } | Observation::Blind { .. } => {}
        }
    }

    fn partition(&mut self, now: &PartitionState, sends_open: u64) {
        let key = (now.topic.clone(), now.partition);
        let Some(before) = self.partitions.insert(key, now.clone()) else { return };
        if now.leader < 0 && before.leader >= 0 {
            self.reached("partition: no leader");
        }
        if now.leader >= 0 && now.leader != before.leader {
            self.reached("partition: leader changed");
            if sends_open > 0 {
                self.reached("partition: leader changed with sends in flight");
            }
            if before.elr.contains(&now.leader) {
                self.reached("partition: leader out of the ELR");
            } else if !before.isr.contains(&now.leader) {
                self.reached("partition: unclean leader");
            }
            if now.replicas.first() == Some(&now.leader) {
                self.reached("partition: leader moved back");
            }
        }
        let left = before.isr.iter().any(|id| !now.isr.contains(id));
        let came = now.isr.iter().any(|id| !before.isr.contains(id));
        if left {
            self.reached("isr: shrunk");
        }
        if came {
            self.reached("isr: grown");
        }
        if now.isr.len() == 1 && before.isr.len() > 1 {
            self.reached("isr: one");
        }
        if now.isr.len() == now.replicas.len() && before.isr.len() < before.replicas.len() {
            self.reached("isr: full again");
        }
        if !now.elr.is_empty() && before.elr.is_empty() {
            self.reached("elr: not empty");
        }
    }

    /// What a node asks of its disk.
    pub fn io(&mut self, node: u16, op: &IoOp) {
        match op {
            IoOp::Open { file, path, create } => {
                let is_log = path.ends_with(".log");
                self.logs.insert((node, *file), is_log);
                if is_log && *create && !path.ends_with("/00000000000000000000.log") {
                    self.reached("log: rolled");
                }
            }
            IoOp::Truncate { file, .. } if self.is_log(node, *file) => {
                self.reached("log: truncated")
            }
            IoOp::Sync { file } if self.is_log(node, *file) => self.reached("log: synced"),
            IoOp::Replace { path, .. } if path.ends_with("quorum-state") => {
                self.reached("quorum: vote written");
            }
            IoOp::Rename { to, .. } if to.ends_with(".checkpoint") => {
                self.reached("quorum: snapshot written");
            }
            IoOp::Replace { path, .. } if path.ends_with(".checkpoint") => {
                self.reached("quorum: snapshot written");
            }
            _ => {}
        }
    }

    fn is_log(&self, node: u16, file: FileId) -> bool {
        self.logs.get(&(node, file)).copied().unwrap_or(false)
    }

    /// A new process opens its files anew.
    pub fn process_ended(&mut self, node: u16) {
        self.logs.retain(|(of, _), _| *of != node);
    }

    /// A request that a node or a client sends, by its API key.
    pub fn request(&mut self, parts: &[Bytes]) {
        let key = parts.first().and_then(|part| Some(i16::from_be_bytes(*part.first_chunk()?)));
        match key.unwrap_or(-1) {
            key::FETCH_SNAPSHOT => self.reached("quorum: snapshot fetched"),
            key::OFFSET_FOR_LEADER_EPOCH => self.reached("log: epoch asked for"),
            key::INIT_PRODUCER_ID => self.reached("producer: id asked for"),
            _ => {}
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Sent { outcome, .. } => match outcome {
                Outcome::Ok { .. } => self.reached("producer: acknowledged"),
                Outcome::Info => self.reached("producer: indeterminate"),
                Outcome::Fail => self.reached("producer: certainly failed"),
                Outcome::Unacknowledged => {}
            },
            Event::Reader { what: model::history::ReaderEvent::OutOfRange { .. }, .. } => {
                self.reached("consumer: out of range");
            }
            _ => {}
        }
    }

    pub fn network(&mut self, stats: &network::Stats) {
        self.add("network: connection reset", stats.resets);
        self.add("network: clogged", stats.clogs);
        self.add("network: cut", stats.blocked);
        self.add("network: frame in pieces", stats.splits);
        self.add("network: dial refused", stats.dials_refused);
        self.add("network: dial timed out", stats.dials_timed_out);
        self.add("network: half-open", stats.half_open);
        self.add("network: frame lost", stats.frames_lost);
    }

    pub fn disk(&mut self, stats: &disk::Stats) {
        self.add("disk: unsynced bytes lost", u64::from(stats.sectors_lost + stats.bytes_cut > 0));
        self.add("disk: unsynced bytes kept", u64::from(stats.sectors_kept > 0));
        self.add("disk: torn write", stats.torn_writes);
        self.add("disk: name lost", stats.names_lost);
        self.add("disk: write failed", stats.writes_failed);
        self.add("disk: read failed", stats.reads_failed);
        self.add("disk: sync failed", stats.syncs_failed);
        self.add("disk: full", stats.no_space);
        self.add("disk: stalled", stats.stalls);
        self.add("disk: bit rot", stats.bits_rotted);
    }
}
