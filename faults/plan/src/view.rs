//! The cluster as the observer last saw it.
//!
//! Promises: only what was observed; nothing is guessed in between. A node's part is a fact about the latest
//! observation, not about now.

use crate::target::Topology;
use model::cluster::{Observation, PartitionState};
use std::collections::{BTreeMap, BTreeSet};

/// The latest observations of one topic and of the quorum.
#[derive(Clone, Debug)]
pub struct View {
    topic: String,
    partitions: BTreeMap<u32, PartitionState>,
    controller: Option<i32>,
    /// Brokers that are registered and not fenced; `None` before the first observation.
    alive: Option<BTreeSet<i32>>,
}

impl View {
    pub fn new(topic: &str) -> View {
        let topic = topic.to_string();
        View { topic, partitions: BTreeMap::new(), controller: None, alive: None }
    }

    pub fn observe(&mut self, observation: &Observation) {
        match observation {
            Observation::Partition(state) if state.topic == self.topic => {
                self.partitions.insert(state.partition, state.clone());
            }
            Observation::Quorum { leader, .. } => self.controller = *leader,
            Observation::Brokers { alive, fenced, .. } => {
                let alive: BTreeSet<i32> = alive.iter().copied().collect();
                let fenced: BTreeSet<i32> = fenced.iter().copied().collect();
                self.alive = Some(&alive - &fenced);
            }
            // What a blind observer saw before is the best there is.
            Observation::Partition(_) | Observation::Node { .. } | Observation::Blind { .. } => {}
        }
    }

    pub fn partition(&self, partition: u32) -> Option<&PartitionState> {
        self.partitions.get(&partition)
    }

    pub fn partitions(&self) -> impl Iterator<Item = &PartitionState> {
        self.partitions.values()
    }

    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// The leader of a partition, if it has one.
    pub fn leader(&self, partition: u32) -> Option<i32> {
        self.partition(partition).map(|state| state.leader).filter(|leader| *leader >= 0)
    }

    /// Whether the cluster counts the broker as alive; `None` before anybody looked.
    pub fn is_alive(&self, broker: i32) -> Option<bool> {
        self.alive.as_ref().map(|alive| alive.contains(&broker))
    }

    /// In-sync followers in the order in which a clean election would take them: the order of the replicas.
    pub fn heirs(&self, partition: u32) -> Vec<i32> {
        let Some(state) = self.partition(partition) else { return Vec::new() };
        let heir = |id: &&i32| **id != state.leader && state.isr.contains(id);
        state.replicas.iter().filter(heir).copied().collect()
    }

    /// Every observed partition has a leader and all of its replicas in sync. False before any was observed.
    pub fn isr_full(&self) -> bool {
        let full = |state: &PartitionState| {
            state.leader >= 0 && state.replicas.iter().all(|id| state.isr.contains(id))
        };
        !self.partitions.is_empty() && self.partitions.values().all(full)
    }

    /// Names of node ids, unknown ones left out.
    pub fn names(ids: &[i32], topology: &Topology) -> Vec<String> {
        ids.iter().filter_map(|id| topology.name(*id)).map(str::to_string).collect()
    }
}
