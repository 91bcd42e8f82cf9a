//! A made-up cluster for the invariants' tests: nodes that are what a test says they are.

use super::ledger::{Copy, Entry};
use super::replay::{Change, MetadataBatch};
use super::state::{LogId, Members, PartitionState, QuorumState};
use super::{Event, Invariant, Invariants};
use node::image::{BrokerImage, LeaderRecoveryState, PartitionImage};
use node::inspect::ReplicaRole;
use uuid::Uuid;

/// The one partition that tests speak of.
pub const LOG: LogId = LogId { topic_id: Uuid::from_u128(7), partition: 0 };

pub type Told = Result<(), String>;

pub struct Stage {
    pub invariants: Invariants,
}

pub fn members(ids: &[i32]) -> Members {
    ids.into()
}

pub fn entry(base_offset: i64, next_offset: i64, leader_epoch: i32) -> Entry {
    Entry {
        base_offset,
        next_offset,
        leader_epoch,
        crc: u32::try_from(base_offset * 31 + next_offset).unwrap_or(0),
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        is_control: false,
        segment: 0,
        position: 0,
        bytes: 100,
        content: None,
    }
}

/// Of brokers 1 to 3, led by 1 in epoch 1.
pub fn partition_image() -> PartitionImage {
    PartitionImage {
        replicas: vec![1, 2, 3],
        directories: vec![Uuid::nil(); 3],
        isr: vec![1, 2, 3],
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        leader: 1,
        leader_epoch: 1,
        partition_epoch: 1,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        removing: Vec::new(),
        adding: Vec::new(),
    }
}

impl Stage {
    pub fn of(invariant: impl Invariant + 'static) -> Stage {
        let mut invariants = Invariants::new(vec![Box::new(invariant)]);
        (1..=3).for_each(|node| invariants.started(node));
        invariants.glimpse.ledger.name(LOG, "orders-0");
        Stage { invariants }
    }

    pub fn tell(&mut self, event: &Event<'_>) -> Told {
        self.invariants.tell(event).map_err(|violation| violation.message)
    }

    /// A replica of the partition becomes what `change` makes of it.
    pub fn partition(&mut self, node: u16, change: impl FnOnce(&mut PartitionState)) -> Told {
        let state = self.invariants.glimpse.nodes.entry(node).or_default();
        let before = state.partitions.first().copied();
        let mut now = before.unwrap_or(PartitionState {
            role: ReplicaRole::Follower,
            replicas: 3,
            min_insync_replicas: 2,
            leader_epoch: 1,
            ..PartitionState::new(LOG)
        });
        now.life = state.life;
        change(&mut now);
        state.partitions = vec![now];
        let moved = self.invariants.moved(node, before.as_ref(), &now);
        moved.map_err(|violation| violation.message)
    }

    /// A replica that leads, with all three in the ISR and so many records.
    pub fn leads(&mut self, node: u16, leader_epoch: i32, log_end_offset: i64) -> Told {
        self.partition(node, |partition| {
            partition.role = ReplicaRole::Leader;
            partition.leader_epoch = leader_epoch;
            partition.committed_isr = members(&[1, 2, 3]);
            partition.log_end_offset = log_end_offset;
        })
    }

    pub fn follows(&mut self, node: u16, log_end_offset: i64) -> Told {
        self.partition(node, |partition| {
            partition.role = ReplicaRole::Follower;
            partition.committed_isr = Members(0);
            partition.log_end_offset = log_end_offset;
        })
    }

    /// A member of the quorum becomes what `change` makes of it.
    pub fn quorum(&mut self, node: u16, change: impl FnOnce(&mut QuorumState)) -> Told {
        let state = self.invariants.glimpse.nodes.entry(node).or_default();
        let before = state.quorum;
        let mut now = before.unwrap_or(QuorumState {
            is_voter: true,
            voters: 3,
            told: true,
            ..QuorumState::default()
        });
        now.life = state.life;
        change(&mut now);
        state.quorum = Some(now);
        let moved = self.invariants.quorum_moved(node, before.as_ref(), &now);
        moved.map_err(|violation| violation.message)
    }

    pub fn restart(&mut self, node: u16) {
        self.invariants.ended(node);
        self.invariants.started(node);
    }

    /// What stands in a replica's log.
    pub fn wrote(&mut self, node: u16, id: LogId, entries: &[Entry]) {
        let copy = Copy { entries: entries.to_vec(), ..Copy::default() };
        self.invariants.glimpse.ledger.put(node, id, copy);
    }

    pub fn broker(&mut self, id: i32, fenced: bool) {
        let broker = BrokerImage {
            id,
            epoch: 1,
            incarnation_id: Uuid::nil(),
            endpoints: Vec::new(),
            features: Default::default(),
            rack: None,
            fenced,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
        };
        self.invariants.glimpse.replay.image.brokers.insert(id, broker);
    }

    /// One committed change of the partition.
    pub fn change(
        &mut self,
        before: Option<PartitionImage>,
        change: impl FnOnce(&mut PartitionImage),
    ) -> Told {
        let mut after = before.clone().unwrap_or(partition_image());
        if before.is_some() {
            after.partition_epoch += 1;
        }
        change(&mut after);
        let image = &self.invariants.glimpse.replay.image;
        let is_fenced = |id: &i32| !image.is_unfenced(*id);
        let fenced = after.isr.iter().copied().filter(is_fenced).collect();
        let change = Change { id: LOG, topic: "orders".to_owned(), before, after, fenced };
        let batch = MetadataBatch { changes: vec![change], ..MetadataBatch::default() };
        self.tell(&Event::Metadata { batch: &batch })
    }
}
