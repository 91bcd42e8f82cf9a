//! Changing what is there: settings of topics, how many partitions they have, replicas of partitions, records.
//!
//! Promises: an answer without an error means that the controller has taken the change; what a broker tells of it afterwards
//! is for whoever asks to see.

use crate::connection::{Admin, AdminError, Api};
use crate::describe::{check, settings_request, topic_name};
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    CreatePartitionsRequest, CreatePartitionsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DescribeConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

/// Kafka's ConfigResource.Type.TOPIC.
const TOPIC: i8 = 2;
/// Kafka's DescribeConfigsResponse.ConfigSource.TOPIC_CONFIG: the topic's own.
const TOPIC_CONFIG: i8 = 1;
/// Kafka's AlterConfigOp.OpType.
const SET: i8 = 0;
const DELETE: i8 = 1;
const TIMEOUT_MS: i32 = 10_000;
/// How long a leader waits for its followers to delete what it has deleted; below what a caller waits for an answer.
const FOLLOWERS_MS: i32 = 400;

/// One setting of a topic, as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    /// The topic's own, not that of its broker or Kafka's default.
    pub own: bool,
}

impl Admin {
    /// One setting of a topic by Kafka's name; `None`: there is no such setting.
    pub fn topic_setting(&mut self, topic: &str, key: &str) -> Result<Option<Setting>, AdminError> {
        let request = settings_request(TOPIC, topic);
        let (address, answer): (_, DescribeConfigsResponse) =
            self.ask_any(Api::DESCRIBE_CONFIGS, &request)?;
        let Some(result) = answer.results.first() else {
            let reason = "the answer has no resource".to_string();
            return Err(AdminError::Protocol { address, api: Api::DESCRIBE_CONFIGS.name, reason });
        };
        check(&address, Api::DESCRIBE_CONFIGS, result.error_code, result.error_message.as_ref())?;
        let found = result.configs.iter().find(|config| config.name.as_str() == key);
        Ok(found.and_then(|config| {
            let value = config.value.as_ref()?.to_string();
            Some(Setting { value, own: config.config_source == TOPIC_CONFIG })
        }))
    }

    /// Gives a topic a setting of its own, or takes it away.
    pub fn set_topic_setting(
        &mut self,
        topic: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), AdminError> {
        let config = AlterableConfig::default()
            .with_name(StrBytes::from_string(key.to_string()))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(|value| StrBytes::from_string(value.to_string())));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_string()))
            .with_configs(vec![config]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let api = Api::INCREMENTAL_ALTER_CONFIGS;
        let (address, answer): (_, IncrementalAlterConfigsResponse) =
            self.ask_any(api, &request)?;
        for result in &answer.responses {
            check(&address, api, result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Gives a topic partitions until it has so many; the controller says where their replicas are.
    pub fn create_partitions(&mut self, topic: &str, total: u32) -> Result<(), AdminError> {
        let asked = CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(total as i32)
            .with_assignments(None);
        let request =
            CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(TIMEOUT_MS);
        let api = Api::CREATE_PARTITIONS;
        let (address, answer): (_, CreatePartitionsResponse) = self.ask_any(api, &request)?;
        for result in &answer.results {
            check(&address, api, result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Has a partition's leader delete what is below an offset, and answers below which offset all of its live replicas have
    /// nothing any more; `None`: some of them did not follow in time, though the leader has deleted it.
    pub fn delete_records(
        &mut self,
        leader: i32,
        topic: &str,
        partition: u32,
        before: i64,
    ) -> Result<Option<i64>, AdminError> {
        let asked = DeleteRecordsPartition::default()
            .with_partition_index(partition as i32)
            .with_offset(before);
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![asked]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(FOLLOWERS_MS);
        let api = Api::DELETE_RECORDS;
        let (address, answer): (_, DeleteRecordsResponse) =
            self.ask_broker(leader, api, &request)?;
        let Some(result) = answer.topics.first().and_then(|topic| topic.partitions.first()) else {
            let reason = "the answer has no partition".to_string();
            return Err(AdminError::Protocol { address, api: api.name, reason });
        };
        if result.error_code == ErrorCode::RequestTimedOut as i16 {
            return Ok(None);
        }
        check(&address, api, result.error_code, None)?;
        Ok(Some(result.low_watermark))
    }

    /// Asks for other replicas of a partition, the preferred leader first. It may take long after the answer.
    pub fn reassign(
        &mut self,
        topic: &str,
        partition: u32,
        replicas: &[i32],
    ) -> Result<(), AdminError> {
        let replicas = replicas.iter().map(|id| BrokerId(*id)).collect();
        let partition = ReassignablePartition::default()
            .with_partition_index(partition as i32)
            .with_replicas(Some(replicas));
        let topic = ReassignableTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(vec![topic]);
        let api = Api::ALTER_PARTITION_REASSIGNMENTS;
        let (address, answer): (_, AlterPartitionReassignmentsResponse) =
            self.ask_any(api, &request)?;
        check(&address, api, answer.error_code, answer.error_message.as_ref())?;
        for result in answer.responses.iter().flat_map(|topic| &topic.partitions) {
            check(&address, api, result.error_code, result.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Whether a reassignment of the partition is still going on.
    pub fn is_reassigned(&mut self, topic: &str, partition: u32) -> Result<bool, AdminError> {
        let asked = ListPartitionReassignmentsTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![partition as i32]);
        let request = ListPartitionReassignmentsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(Some(vec![asked]));
        let api = Api::LIST_PARTITION_REASSIGNMENTS;
        let (address, answer): (_, ListPartitionReassignmentsResponse) =
            self.ask_any(api, &request)?;
        check(&address, api, answer.error_code, answer.error_message.as_ref())?;
        Ok(answer.topics.iter().any(|topic| !topic.partitions.is_empty()))
    }
}
