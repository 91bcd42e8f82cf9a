//! AlterPartition: a leader proposes its ISR, the controller has the last word.

use wire::error::ErrorCode;
use wire::messages::alter_partition_request::PartitionData as Proposal;
use wire::messages::alter_partition_response::{PartitionData, TopicData};
use wire::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};
use wire::metadata::MetadataRecord;

use super::Active;
use super::elections::has_online_directory;
use super::partition_change::{Election, PartitionChange};
use crate::defect::Defect;
use crate::image::{LeaderRecoveryState, PartitionImage, TopicImage};
use crate::step::Severity;

/// The first version that names the broker epoch of each proposed member (KIP-903).
const FIRST_VERSION_WITH_EPOCHS: i16 = 3;

/// A proposed member of the ISR; without an epoch any life of the broker will do.
struct Member {
    broker: i32,
    epoch: Option<i64>,
}

impl Active {
    pub(super) fn alter_partition(
        &mut self,
        api_version: i16,
        request: &AlterPartitionRequest,
    ) -> AlterPartitionResponse {
        let leader = request.broker_id.0;
        if let Err(code) = self.check_broker_epoch(leader, request.broker_epoch) {
            return AlterPartitionResponse::default().with_error_code(code as i16);
        }
        let mut topics = Vec::new();
        for asked in &request.topics {
            let known = self.image.topics.contains_key(&asked.topic_id);
            let mut partitions = Vec::new();
            for proposal in &asked.partitions {
                let answer = if known {
                    self.alter_one(api_version, leader, asked.topic_id, proposal)
                } else {
                    Err(ErrorCode::UnknownTopicId)
                };
                let index = proposal.partition_index;
                partitions.push(match answer {
                    Ok(partition) => accepted(index, &partition),
                    Err(code) => PartitionData::default()
                        .with_partition_index(index)
                        .with_error_code(code as i16),
                });
            }
            topics.push(
                TopicData::default().with_topic_id(asked.topic_id).with_partitions(partitions),
            );
        }
        AlterPartitionResponse::default().with_topics(topics)
    }

    fn alter_one(
        &mut self,
        api_version: i16,
        leader: i32,
        topic_id: uuid::Uuid,
        proposal: &Proposal,
    ) -> Result<PartitionImage, ErrorCode> {
        let index = proposal.partition_index;
        let topic = self.image.topics.get(&topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let partition = topic.partitions.get(&index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let members = proposed_members(api_version, proposal);
        let recovery = self.check_proposal(leader, partition, proposal, &members)?;
        let target_isr = members.iter().map(|member| member.broker).collect();
        let record = self.isr_record(topic, index, partition, target_isr, recovery);
        let Some(record) = record else { return Ok(partition.clone()) };
        let line = format!("{}-{index}: ISR {:?}", topic.name, partition.isr);
        self.write(record);
        let partition = self.image.partition(topic_id, index);
        let partition = partition.cloned().ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.say(
            Severity::Debug,
            format!("{line} -> {:?}, ELR {:?}", partition.isr, partition.elr),
        );
        if partition.leader != leader {
            return Err(ErrorCode::NewLeaderElected);
        }
        Ok(partition)
    }

    fn isr_record(
        &self,
        topic: &TopicImage,
        index: i32,
        partition: &PartitionImage,
        target_isr: Vec<i32>,
        recovery: LeaderRecoveryState,
    ) -> Option<MetadataRecord> {
        let is_acceptable = |broker: i32| {
            self.image.is_active(broker) && has_online_directory(&self.image, partition, broker)
        };
        let mut change = PartitionChange::new(topic.id, index, partition, &is_acceptable);
        change.min_isr = self.min_isr(&topic.name, partition);
        change.elr_enabled = self.elr_enabled();
        if self.unclean_election_enabled(&topic.name) {
            change.election = Election::Unclean;
        }
        change.target_isr = target_isr;
        change.target_leader_recovery_state = recovery;
        change.build().map(MetadataRecord::PartitionChange)
    }

    /// The proposal rests on the partition as it is now, comes from its leader, and names only members that may be in
    /// an ISR.
    fn check_proposal(
        &self,
        leader: i32,
        partition: &PartitionImage,
        proposal: &Proposal,
        members: &[Member],
    ) -> Result<LeaderRecoveryState, ErrorCode> {
        // A leader that knows a later epoch heard of it from another controller.
        if proposal.leader_epoch > partition.leader_epoch
            || proposal.partition_epoch > partition.partition_epoch
        {
            return Err(ErrorCode::NotController);
        }
        if proposal.leader_epoch < partition.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if leader != partition.leader {
            return Err(ErrorCode::InvalidRequest);
        }
        if proposal.partition_epoch < partition.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let mut seen: Vec<i32> = members.iter().map(|member| member.broker).collect();
        seen.sort_unstable();
        let repeated = seen.windows(2).any(|pair| pair[0] == pair[1]);
        let foreign = seen.iter().any(|broker| !partition.replicas.contains(broker));
        if seen.is_empty() || repeated || foreign || !seen.contains(&leader) {
            return Err(ErrorCode::InvalidRequest);
        }
        let recovery = LeaderRecoveryState::from_id(proposal.leader_recovery_state)
            .ok_or(ErrorCode::InvalidRequest)?;
        if recovery == LeaderRecoveryState::Recovering
            && (members.len() > 1
                || partition.leader_recovery_state == LeaderRecoveryState::Recovered)
        {
            return Err(ErrorCode::InvalidRequest);
        }
        if members.iter().any(|member| !self.may_be_in_sync(member)) {
            return Err(ErrorCode::IneligibleReplica);
        }
        Ok(recovery)
    }

    /// Registered, neither fenced nor stopping, and still living the life that the leader saw catch up.
    fn may_be_in_sync(&self, member: &Member) -> bool {
        self.image.broker(member.broker).is_some_and(|registration| {
            let alive = registration.is_active() || self.has(Defect::FencedJoinsIsr);
            let same_life = member.epoch.is_none_or(|epoch| epoch == registration.epoch);
            alive && (same_life || self.has(Defect::StaleBrokerEpoch))
        })
    }
}

fn proposed_members(api_version: i16, proposal: &Proposal) -> Vec<Member> {
    if api_version < FIRST_VERSION_WITH_EPOCHS {
        let member = |id: &BrokerId| Member { broker: id.0, epoch: None };
        return proposal.new_isr.iter().map(member).collect();
    }
    proposal
        .new_isr_with_epochs
        .iter()
        .map(|state| Member {
            broker: state.broker_id.0,
            epoch: (state.broker_epoch != -1).then_some(state.broker_epoch),
        })
        .collect()
}

fn accepted(index: i32, partition: &PartitionImage) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_isr(partition.isr.iter().map(|broker| BrokerId(*broker)).collect())
        .with_leader_recovery_state(partition.leader_recovery_state as i8)
        .with_partition_epoch(partition.partition_epoch)
}
