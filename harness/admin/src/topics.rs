//! Making and removing topics, asking for offsets, electing leaders.

use crate::connection::{Admin, AdminError, Api};
use crate::describe::{check, topic_name};
use std::collections::BTreeMap;
use uuid::Uuid;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::{
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ElectLeadersRequest, ElectLeadersResponse, ListOffsetsRequest, ListOffsetsResponse,
    elect_leaders_request,
};

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: u32,
    pub replication_factor: u16,
    /// Settings by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// Which offset of a log is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset.
    Earliest,
    /// The high watermark, to a reader of uncommitted records.
    Latest,
    /// Where the leader's own log ends, replicated or not.
    LogEnd,
}

/// Whoever asks in this name is told the log's end, where a consumer is told the high watermark (Kafka's
/// ListOffsetsRequest.DEBUGGING_REPLICA_ID).
const DEBUGGING_REPLICA: BrokerId = BrokerId(-2);
const CONSUMER: BrokerId = BrokerId(-1);

impl Admin {
    /// Makes a topic and returns its id (nil where the cluster is too old to tell).
    pub fn create_topic(&mut self, topic: &NewTopic) -> Result<Uuid, AdminError> {
        let settings = topic.settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        });
        let creatable = CreatableTopic::default()
            .with_name(topic_name(&topic.name))
            .with_num_partitions(topic.partitions as i32)
            .with_replication_factor(topic.replication_factor as i16)
            .with_configs(settings.collect());
        let request =
            CreateTopicsRequest::default().with_topics(vec![creatable]).with_timeout_ms(10_000);
        let (address, answer): (_, CreateTopicsResponse) =
            self.ask_any(Api::CREATE_TOPICS, &request)?;
        let Some(result) = answer.topics.first() else {
            let reason = "the answer has no topic".to_string();
            return Err(AdminError::Protocol { address, api: Api::CREATE_TOPICS.name, reason });
        };
        check(&address, Api::CREATE_TOPICS, result.error_code, result.error_message.as_ref())?;
        Ok(result.topic_id)
    }

    /// Deletes the topic of this id, whatever its name is, and no other.
    pub fn delete_topic_of(&mut self, id: [u8; 16]) -> Result<(), AdminError> {
        let state = DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_bytes(id));
        let request =
            DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(10_000);
        let api = Api { min: 6, max: 6, ..Api::DELETE_TOPICS };
        let (address, answer): (_, DeleteTopicsResponse) = self.ask_any(api, &request)?;
        for result in &answer.responses {
            check(&address, api, result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }

    pub fn delete_topic(&mut self, name: &str) -> Result<(), AdminError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![topic_name(name)])
            .with_timeout_ms(10_000);
        let (address, answer): (_, DeleteTopicsResponse) =
            self.ask_any(Api::DELETE_TOPICS, &request)?;
        match answer.responses.first() {
            Some(result) => check(
                &address,
                Api::DELETE_TOPICS,
                result.error_code,
                result.error_message.as_ref(),
            ),
            None => Ok(()),
        }
    }

    /// One offset of one partition, with the leader epoch that goes with it, from the leader given.
    pub fn offset(
        &mut self,
        leader: i32,
        topic: &str,
        partition: u32,
        spec: OffsetSpec,
    ) -> Result<(i64, i32), AdminError> {
        let (timestamp, asker) = match spec {
            OffsetSpec::Earliest => (-2, CONSUMER),
            OffsetSpec::Latest => (-1, CONSUMER),
            OffsetSpec::LogEnd => (-1, DEBUGGING_REPLICA),
        };
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition as i32)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let topics = vec![
            ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]),
        ];
        let request = ListOffsetsRequest::default().with_replica_id(asker).with_topics(topics);
        let (address, answer): (_, ListOffsetsResponse) =
            self.ask_broker(leader, Api::LIST_OFFSETS, &request)?;
        let Some(result) = answer.topics.first().and_then(|t| t.partitions.first()) else {
            let reason = "the answer has no partition".to_string();
            return Err(AdminError::Protocol { address, api: Api::LIST_OFFSETS.name, reason });
        };
        check(&address, Api::LIST_OFFSETS, result.error_code, None)?;
        Ok((result.offset, result.leader_epoch))
    }

    /// Asks for an election on partitions of a topic: preferred, or unclean. One that is not needed is no error.
    pub fn elect_leaders(
        &mut self,
        topic: &str,
        partitions: &[u32],
        unclean: bool,
    ) -> Result<(), AdminError> {
        let named = elect_leaders_request::TopicPartitions::default()
            .with_topic(topic_name(topic))
            .with_partitions(partitions.iter().map(|&p| p as i32).collect());
        let request = ElectLeadersRequest::default()
            .with_election_type(i8::from(unclean))
            .with_topic_partitions(Some(vec![named]))
            .with_timeout_ms(10_000);
        let (address, answer): (_, ElectLeadersResponse) =
            self.ask_any(Api::ELECT_LEADERS, &request)?;
        check(&address, Api::ELECT_LEADERS, answer.error_code, None)?;
        let results = answer.replica_election_results.iter().flat_map(|t| &t.partition_result);
        for result in results {
            let needed = result.error_code != ErrorCode::ElectionNotNeeded as i16;
            let error_code = if needed { result.error_code } else { 0 };
            check(&address, Api::ELECT_LEADERS, error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }
}
