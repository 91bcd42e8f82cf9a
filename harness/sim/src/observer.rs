//! What an observer that misses nothing sees of the cluster: every committed change of leaders, ISR and brokers.
//!
//! Promises: one observation for each change, at the moment at which the first node has learnt of it. Faults are aimed
//! by it and the judge rests on it, as in a real run. Not promised: what happened between two records of one batch.

use model::cluster::{Observation, PartitionState};
use node::image::MetadataImage;
use node::node::Node;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Observer {
    offset: i64,
    partitions: BTreeMap<(String, u32), PartitionState>,
    alive: Vec<i32>,
    fenced: Vec<i32>,
    controller: Option<i32>,
    quorum_epoch: i32,
    voters: Vec<i32>,
    /// Everything so far.
    pub seen: Vec<Observation>,
}

impl Observer {
    pub fn new(voters: Vec<i32>) -> Observer {
        Observer { offset: -1, quorum_epoch: -1, voters, ..Observer::default() }
    }

    /// Looks at the node that was just stepped; answers how many observations are new.
    pub fn look(&mut self, at_ms: u64, id: i32, node: &Node) -> usize {
        let before = self.seen.len();
        let inspection = node.inspect();
        // A controller that has just heard of a newer epoch is active until it has written that down: not in that epoch.
        let epoch = inspection.quorum.filter(|quorum| quorum.is_leader).map_or(-1, |q| q.epoch);
        if inspection.is_active_controller && epoch > self.quorum_epoch {
            self.quorum(at_ms, Some(id), epoch);
        }
        if inspection.image.offset > self.offset {
            self.offset = inspection.image.offset;
            self.image(at_ms, inspection.image);
        }
        self.seen.len() - before
    }

    /// A process ended: if it was the active controller, there is none.
    pub fn gone(&mut self, at_ms: u64, id: i32) {
        if self.controller == Some(id) {
            self.quorum(at_ms, None, self.quorum_epoch);
        }
    }

    fn quorum(&mut self, at_ms: u64, leader: Option<i32>, epoch: i32) {
        self.controller = leader;
        self.quorum_epoch = epoch;
        let voters = self.voters.clone();
        self.seen.push(Observation::Quorum { at_ms, leader, epoch, voters, observers: Vec::new() });
    }

    fn image(&mut self, at_ms: u64, image: &MetadataImage) {
        for topic in image.topics.values() {
            for (partition, state) in &topic.partitions {
                let partition = u32::try_from(*partition).expect("partitions count from 0");
                let key = (topic.name.clone(), partition);
                let known = self.partitions.get(&key);
                let same = known.is_some_and(|known| {
                    (known.leader, known.leader_epoch) == (state.leader, state.leader_epoch)
                        && known.isr == state.isr
                        && known.elr == state.elr
                });
                if same {
                    continue;
                }
                let is_offline =
                    |id: &&i32| image.brokers.get(id).is_none_or(|broker| broker.fenced);
                let observed = PartitionState {
                    at_ms,
                    topic: topic.name.clone(),
                    partition,
                    leader: state.leader,
                    leader_epoch: state.leader_epoch,
                    replicas: state.replicas.clone(),
                    isr: state.isr.clone(),
                    elr: state.elr.clone(),
                    offline: state.replicas.iter().filter(is_offline).copied().collect(),
                    anew: None,
                };
                self.partitions.insert(key, observed.clone());
                self.seen.push(Observation::Partition(observed));
            }
        }
        let of = |fenced: bool| {
            let brokers = image.brokers.values().filter(move |broker| broker.fenced == fenced);
            brokers.map(|broker| broker.id).collect::<Vec<i32>>()
        };
        let (alive, fenced) = (of(false), of(true));
        if alive != self.alive || fenced != self.fenced {
            self.alive.clone_from(&alive);
            self.fenced.clone_from(&fenced);
            self.seen.push(Observation::Brokers { at_ms, alive, fenced });
        }
    }

    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    pub fn partition(&self, topic: &str, partition: u32) -> Option<&PartitionState> {
        self.partitions.get(&(topic.to_owned(), partition))
    }

    pub fn partitions(&self) -> impl Iterator<Item = &PartitionState> {
        self.partitions.values()
    }

    pub fn alive(&self) -> &[i32] {
        &self.alive
    }
}
