//! What [`crate::inspect`] shows of the partitions.

use wire::messages::ProduceResponse;

use super::ReplicaManager;
use super::partition::{Partition, Role, Stage};
use super::view::MetadataView;
use crate::context::TopicPartitionId;
use crate::inspect::{Acknowledged, Inspection, PartitionInspection, ReplicaRole};

/// The first version that names topics by id.
const BY_TOPIC_ID: i16 = 13;

impl<'a> Inspection<'a> {
    /// Every partition that this broker hosts, in the order of their ids.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionInspection<'a>> + use<'a> {
        self.replicas.into_iter().flat_map(|replicas| replicas.partitions.values().map(inspect))
    }

    /// What the last step acknowledged to producers. Known only if
    /// [`crate::node::Node::observe_acknowledgements`] was called before it.
    pub fn acknowledged(&self) -> &'a [Acknowledged] {
        self.replicas.and_then(|replicas| replicas.acknowledged.as_deref()).unwrap_or_default()
    }

    pub fn partition(&self, id: TopicPartitionId) -> Option<PartitionInspection<'a>> {
        self.replicas?.partitions.get(&id).map(inspect)
    }
}

fn inspect(partition: &Partition) -> PartitionInspection<'_> {
    let leadership = partition.leadership();
    let role = match (&partition.role, partition.stage) {
        (Role::Leader(_), Stage::Online) => ReplicaRole::Leader,
        (Role::Follower(_), Stage::Online) => ReplicaRole::Follower,
        (Role::Idle, Stage::Online) => ReplicaRole::Idle,
        _ => ReplicaRole::Offline,
    };
    let partition_epoch =
        leadership.map_or(partition.image.partition_epoch, |leadership| leadership.partition_epoch);
    let proposal = leadership.and_then(|leadership| leadership.proposal());
    PartitionInspection {
        id: partition.id,
        topic: &partition.topic,
        dir: &partition.dir,
        role,
        leader_epoch: partition.leader_epoch,
        partition_epoch,
        replicas: partition.image.replicas.len(),
        min_insync_replicas: partition.min_insync_replicas,
        committed_isr: leadership.map_or(&[], |leadership| leadership.committed_isr()),
        proposed_isr: proposal.map_or(&[], |proposal| proposal.isr.as_slice()),
        log: partition.log.as_ref(),
        partition,
    }
}

impl Partition {
    pub(crate) fn followers(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        let followers = self.leadership().map_or(&[][..], |leadership| leadership.followers());
        followers.iter().map(|follower| (follower.id, follower.log_end_offset))
    }
}

impl MetadataView {
    /// What one place of a response acknowledges.
    pub(crate) fn acknowledged(
        &self,
        response: &ProduceResponse,
        (topic, partition): (u32, u32),
        acks: i16,
        version: i16,
    ) -> Option<Acknowledged> {
        let topic = response.responses.get(topic as usize)?;
        let partition = topic.partition_responses.get(partition as usize)?;
        let topic_id = match version >= BY_TOPIC_ID {
            true => topic.topic_id,
            false => self.topic_id(&topic.name)?,
        };
        let id = TopicPartitionId { topic_id, partition: partition.index };
        let fine = partition.error_code == 0 && partition.base_offset >= 0;
        fine.then_some(Acknowledged { id, base_offset: partition.base_offset, acks })
    }
}

impl ReplicaManager {
    /// Notes from here on what is acknowledged, until the next call.
    pub(crate) fn forget_acknowledged(&mut self) {
        self.acknowledged.get_or_insert_default().clear();
    }

    /// The places of a response that wait for nothing and tell no error.
    pub(super) fn note_acknowledged_at_once(
        &mut self,
        response: &ProduceResponse,
        outstanding: &[(u32, u32)],
        acks: i16,
        version: i16,
    ) {
        let Some(acknowledged) = &mut self.acknowledged else { return };
        for (topic_index, topic) in response.responses.iter().enumerate() {
            for index in 0..topic.partition_responses.len() {
                let place = (topic_index as u32, index as u32);
                if !outstanding.contains(&place) {
                    acknowledged.extend(self.view.acknowledged(response, place, acks, version));
                }
            }
        }
    }
}
