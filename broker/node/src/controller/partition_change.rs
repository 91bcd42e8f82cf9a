//! How one partition changes: its target ISR and who is fit to lead go in, the record of the change comes out.
//!
//! Promises, by the rules of Kafka's `PartitionChangeBuilder` and KIP-966:
//! - a leader that is still in the ISR and fit stays; otherwise the first fit replica of the ISR, in the order of
//!   preference; with an empty ISR the first fit one of the ELR; otherwise nobody, unless an unclean election is allowed;
//! - a clean election is never out of anything but the ISR, or with it empty, the ELR;
//! - without ELR an ISR never becomes empty: its last member stays in it, leading or not;
//! - with ELR, who leaves the ISR while it is below `min.insync.replicas` stays eligible, unless it stopped uncleanly; at
//!   `min.insync.replicas` the ELR is forgotten;
//! - when ISR and ELR are both empty, the last leader may lead again: an unclean election of the likeliest replica;
//! - after an unclean election the ISR is the new leader alone, recovering;
//! - every named leader, even the same one again, means another leader epoch. An ISR change alone does not.
//!
//! Not here: reassignment, and whether a change was asked for rightly.

use std::collections::BTreeSet;

use uuid::Uuid;
use wire::metadata::PartitionChangeRecord;

use crate::image::{LeaderRecoveryState, NO_LEADER, PartitionImage};

/// Whom an election may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica, if it is fit.
    Preferred,
    /// Anybody that is fit; the present leader first.
    Online,
    /// As `Online`, and with nobody fit, any replica that is alive.
    Unclean,
}

/// What a partition is to become.
pub struct PartitionChange<'a> {
    pub topic_id: Uuid,
    pub partition_id: i32,
    pub partition: &'a PartitionImage,
    /// Alive, not stopping, and with the replica's directory online.
    pub is_acceptable_leader: &'a dyn Fn(i32) -> bool,
    /// Never more than there are replicas.
    pub min_isr: usize,
    pub elr_enabled: bool,
    pub election: Election,
    pub target_isr: Vec<i32>,
    pub target_elr: Vec<i32>,
    pub target_leader_recovery_state: LeaderRecoveryState,
    pub target_directories: Vec<Uuid>,
    /// Stopped without saying goodbye: what was acknowledged may be lost there.
    pub unclean_shutdown: Option<i32>,
}

struct Elected {
    leader: i32,
    unclean: bool,
}

impl<'a> PartitionChange<'a> {
    /// A change of nothing; the caller sets what is to change.
    pub fn new(
        topic_id: Uuid,
        partition_id: i32,
        partition: &'a PartitionImage,
        is_acceptable_leader: &'a dyn Fn(i32) -> bool,
    ) -> Self {
        Self {
            topic_id,
            partition_id,
            partition,
            is_acceptable_leader,
            min_isr: 1,
            elr_enabled: false,
            election: Election::Online,
            target_isr: partition.isr.clone(),
            target_elr: partition.elr.clone(),
            target_leader_recovery_state: partition.leader_recovery_state,
            target_directories: partition.directories.clone(),
            unclean_shutdown: None,
        }
    }

    /// The record, or `None` where nothing changes.
    pub fn build(mut self) -> Option<PartitionChangeRecord> {
        let unchanged = PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.partition_id,
            ..PartitionChangeRecord::default()
        };
        let mut record = unchanged.clone();
        self.fill_elr();
        self.elect(&mut record);
        self.record_elr(&mut record);
        let may_be_set = !self.target_isr.is_empty() || self.elr_enabled;
        if record.isr.is_none() && may_be_set && self.target_isr != self.partition.isr {
            record.isr = Some(self.target_isr.clone());
        }
        self.record_last_leader(&mut record);
        if self.target_directories != self.partition.directories {
            record.directories = Some(self.target_directories.clone());
        }
        if self.target_leader_recovery_state != self.partition.leader_recovery_state {
            record.leader_recovery_state = Some(self.target_leader_recovery_state as i8);
        }
        (record != unchanged).then_some(record)
    }

    /// Who leaves a too small ISR stays eligible.
    fn fill_elr(&mut self) {
        if !self.elr_enabled {
            return;
        }
        if self.target_isr.len() >= self.min_isr {
            self.target_elr.clear();
            return;
        }
        let candidates: BTreeSet<i32> =
            self.target_elr.iter().chain(&self.partition.isr).copied().collect();
        self.target_elr = candidates
            .into_iter()
            .filter(|replica| !self.target_isr.contains(replica))
            .filter(|replica| Some(*replica) != self.unclean_shutdown)
            .collect();
    }

    fn is_valid_leader(&self, replica: i32) -> bool {
        let eligible = self.target_isr.contains(&replica)
            || (self.target_isr.is_empty() && self.target_elr.contains(&replica));
        eligible && (self.is_acceptable_leader)(replica)
    }

    fn choose(&self) -> Elected {
        let clean = |leader: i32| Elected { leader, unclean: false };
        let replicas = &self.partition.replicas;
        if self.election == Election::Preferred
            && let Some(preferred) = replicas.first()
            && self.is_valid_leader(*preferred)
        {
            return clean(*preferred);
        }
        if self.is_valid_leader(self.partition.leader) {
            return clean(self.partition.leader);
        }
        if let Some(online) = replicas.iter().find(|replica| self.is_valid_leader(**replica)) {
            return clean(*online);
        }
        if let Some(last_leader) = self.last_known_leader() {
            return Elected { leader: last_leader, unclean: true };
        }
        if self.election == Election::Unclean
            && let Some(alive) =
                replicas.iter().find(|replica| (self.is_acceptable_leader)(**replica))
        {
            return Elected { leader: *alive, unclean: true };
        }
        clean(NO_LEADER)
    }

    fn last_known_leader(&self) -> Option<i32> {
        if !self.elr_enabled || !self.target_elr.is_empty() || !self.target_isr.is_empty() {
            return None;
        }
        match self.partition.last_known_elr[..] {
            [last_leader] if (self.is_acceptable_leader)(last_leader) => Some(last_leader),
            _ => None,
        }
    }

    fn elect(&mut self, record: &mut PartitionChangeRecord) {
        let elected = self.choose();
        if elected.leader == self.partition.leader {
            return;
        }
        if self.target_elr.contains(&elected.leader) {
            self.target_isr = vec![elected.leader];
            self.target_elr.retain(|replica| *replica != elected.leader);
            // Where min.insync.replicas was lowered while nobody led, the new leader may acknowledge alone at once.
            if self.target_isr.len() >= self.min_isr {
                self.target_elr.clear();
            }
        }
        record.leader = Some(elected.leader);
        if elected.unclean {
            record.isr = Some(vec![elected.leader]);
            if self.partition.leader_recovery_state != LeaderRecoveryState::Recovering {
                record.leader_recovery_state = Some(LeaderRecoveryState::Recovering as i8);
            }
        }
    }

    fn record_elr(&mut self, record: &mut PartitionChangeRecord) {
        let unclean_election = record.isr.is_some();
        if unclean_election || !self.elr_enabled {
            self.target_elr.clear();
        }
        if self.target_elr != self.partition.elr {
            record.eligible_leader_replicas = Some(self.target_elr.clone());
        }
    }

    /// Keeps the last leader in mind while nobody is eligible, in the field for the last known ELR.
    fn record_last_leader(&self, record: &mut PartitionChangeRecord) {
        let partition = self.partition;
        let becomes_empty = record.isr.as_ref().is_some_and(Vec::is_empty);
        let will_lead = record.leader.unwrap_or(partition.leader) != NO_LEADER;
        if !self.elr_enabled {
            if !partition.last_known_elr.is_empty() {
                record.last_known_elr = Some(Vec::new());
            }
        } else if becomes_empty {
            if partition.leader != NO_LEADER && partition.last_known_elr != [partition.leader] {
                record.last_known_elr = Some(vec![partition.leader]);
            }
        } else if will_lead && !partition.last_known_elr.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }
}
