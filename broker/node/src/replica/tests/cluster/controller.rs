//! The controller of the tests: an image that it changes as it is told, and AlterPartition as the real one answers it.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;
use wire::Encodable;
use wire::error::ErrorCode;
use wire::frame::read_request_head;
use wire::messages::alter_partition_response::{PartitionData, TopicData};
use wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

use super::{Cluster, Message, TOPIC, TOPIC_ID};
use crate::context::{CallFailed, CallTag};
use crate::image::{ConfigResource, LeaderRecoveryState, NO_LEADER, PartitionImage, TopicImage};

impl Cluster {
    /// Shows every node that can hear the newest image.
    pub fn publish(&mut self) {
        self.image.offset += 1;
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        for to in ids {
            if !self.deaf.contains(&to) {
                let image = Box::new(self.image.clone());
                self.queue.push_back(Message::Image { to, image });
            }
        }
    }

    pub fn create_topic(&mut self, replicas: &[i32], min_insync_replicas: i32) {
        self.create(
            TOPIC,
            TOPIC_ID,
            replicas,
            &[("min.insync.replicas", &min_insync_replicas.to_string())],
        );
    }

    pub fn create(&mut self, name: &str, id: Uuid, replicas: &[i32], configs: &[(&str, &str)]) {
        let partition = PartitionImage {
            replicas: replicas.to_vec(),
            directories: vec![Uuid::nil(); replicas.len()],
            isr: replicas.to_vec(),
            elr: vec![],
            last_known_elr: vec![],
            leader: replicas[0],
            leader_epoch: 0,
            partition_epoch: 0,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            removing: vec![],
            adding: vec![],
        };
        let topic =
            TopicImage { name: name.into(), id, partitions: BTreeMap::from([(0, partition)]) };
        self.image.topics.insert(id, topic);
        self.image.topic_ids.insert(name.into(), id);
        let configs = configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.image.configs.insert(ConfigResource::topic(name), configs);
        self.publish();
        self.settle();
    }

    pub fn delete(&mut self, id: Uuid) {
        let topic = self.image.topics.remove(&id).expect("such a topic");
        if self.image.topic_ids.get(&topic.name) == Some(&id) {
            self.image.topic_ids.remove(&topic.name);
        }
        self.publish();
        self.settle();
    }

    pub fn partition(&self) -> &PartitionImage {
        &self.image.topics[&TOPIC_ID].partitions[&0]
    }

    pub fn partition_mut(&mut self) -> &mut PartitionImage {
        let topic = self.image.topics.get_mut(&TOPIC_ID).expect("the topic");
        topic.partitions.get_mut(&0).expect("its partition")
    }

    pub fn isr(&self) -> Vec<i32> {
        let mut isr = self.partition().isr.clone();
        isr.sort_unstable();
        isr
    }

    /// A new leader epoch.
    pub fn elect(&mut self, leader: i32) {
        let partition = self.partition_mut();
        partition.leader = leader;
        partition.leader_epoch += 1;
        partition.partition_epoch += 1;
        self.publish();
    }

    /// The controller takes a broker for dead: out of the ISR, and somebody else of it leads.
    pub fn fence(&mut self, id: i32) {
        self.image.brokers.get_mut(&id).expect("registered").fenced = true;
        if self.image.topics.contains_key(&TOPIC_ID) {
            let partition = self.partition_mut();
            if partition.isr.len() > 1 {
                partition.isr.retain(|replica| *replica != id);
            }
            if partition.leader == id {
                let others = partition.isr.iter().find(|replica| **replica != id);
                partition.leader = others.copied().unwrap_or(NO_LEADER);
                partition.leader_epoch += 1;
            }
            partition.partition_epoch += 1;
        }
        self.publish();
    }

    pub fn unfence(&mut self, id: i32) {
        self.image.brokers.get_mut(&id).expect("registered").fenced = false;
        if self.image.topics.contains_key(&TOPIC_ID) {
            let partition = self.partition_mut();
            if partition.leader == NO_LEADER && partition.isr.contains(&id) {
                partition.leader = id;
                partition.leader_epoch += 1;
                partition.partition_epoch += 1;
            }
        }
        self.publish();
    }

    pub(super) fn controller_call(
        &mut self,
        from: i32,
        tag: CallTag,
        version: i16,
        mut frame: Bytes,
    ) {
        if self.deaf.contains(&from) {
            let failed = CallFailed { refused: false, timed_out: true };
            self.queue.push_back(Message::Answer { to: from, tag, answer: Err(failed) });
            return;
        }
        read_request_head(&mut frame).expect("a good header");
        let request: AlterPartitionRequest =
            wire::frame::decode(&mut frame, version).expect("a good body");
        let before = self.image.clone();
        let mut topics = Vec::new();
        for topic in &request.topics {
            let partitions = topic.partitions.iter().map(|asked| {
                self.alter_partition(from, request.broker_epoch, topic.topic_id, asked)
            });
            let partitions = partitions.collect();
            topics.push(
                TopicData::default().with_topic_id(topic.topic_id).with_partitions(partitions),
            );
        }
        let body = AlterPartitionResponse::default().with_topics(topics);
        let mut bytes = bytes::BytesMut::new();
        body.encode(&mut bytes, version).expect("encodes");
        let answer = Ok((version, bytes.freeze()));
        self.queue.push_back(Message::Answer { to: from, tag, answer });
        if self.image != before {
            self.publish();
        }
    }

    fn alter_partition(
        &mut self,
        from: i32,
        broker_epoch: i64,
        topic_id: Uuid,
        asked: &wire::messages::alter_partition_request::PartitionData,
    ) -> PartitionData {
        let answer = PartitionData::default().with_partition_index(asked.partition_index);
        let isr: Vec<i32> =
            asked.new_isr_with_epochs.iter().map(|state| state.broker_id.0).collect();
        self.alter_partitions.push((from, isr.clone()));
        assert_eq!(self.image.brokers[&from].epoch, broker_epoch);
        let eligible = asked.new_isr_with_epochs.iter().all(|state| {
            let broker = &self.image.brokers[&state.broker_id.0];
            broker.is_active() && broker.epoch == state.broker_epoch
        });
        let Some(partition) = self
            .image
            .topics
            .get_mut(&topic_id)
            .and_then(|topic| topic.partitions.get_mut(&asked.partition_index))
        else {
            return answer.with_error_code(ErrorCode::UnknownTopicId.code());
        };
        if partition.leader_epoch > asked.leader_epoch {
            return answer.with_error_code(ErrorCode::FencedLeaderEpoch.code());
        }
        if partition.partition_epoch != asked.partition_epoch {
            return answer.with_error_code(ErrorCode::InvalidUpdateVersion.code());
        }
        if !eligible {
            return answer.with_error_code(ErrorCode::IneligibleReplica.code());
        }
        partition.isr = isr;
        partition.partition_epoch += 1;
        answer
            .with_leader_id(partition.leader.into())
            .with_leader_epoch(partition.leader_epoch)
            .with_isr(partition.isr.iter().map(|id| (*id).into()).collect())
            .with_partition_epoch(partition.partition_epoch)
    }
}
