//! What time it is to a node: told by a record that a broker stamps, or by the active controller of its quorum.
//!
//! Promises: the time is one that the node which was asked wrote by its own wall clock; nobody else's is passed off as it.

use crate::connection::{Admin, AdminError, Api};
use crate::describe::{check, quorum_request, topic_name};
use std::collections::BTreeMap;
use wire::StrBytes;
use wire::batch::{BatchBuilder, Compression};
use wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{
    BrokerId, CreateTopicsRequest, CreateTopicsResponse, DescribeQuorumResponse, ProduceRequest,
    ProduceResponse,
};

const TIMEOUT_MS: i32 = 10_000;

impl Admin {
    /// Makes a topic with one replica of one partition on each of these brokers, in their order, whose records are stamped by
    /// their brokers.
    pub fn create_stamping_topic(&mut self, name: &str, brokers: &[i32]) -> Result<(), AdminError> {
        let partitions = (0..).zip(brokers).map(|(partition, broker)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(partition)
                .with_broker_ids(vec![BrokerId(*broker)])
        });
        let settings = BTreeMap::from([
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "1"),
        ]);
        let settings = settings.into_iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_static_str(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(partitions.collect())
            .with_configs(settings.collect());
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        let (address, answer): (_, CreateTopicsResponse) =
            self.ask_any(Api::CREATE_TOPICS, &request)?;
        answer.topics.iter().try_for_each(|topic| {
            check(&address, Api::CREATE_TOPICS, topic.error_code, topic.error_message.as_ref())
        })
    }

    /// The wall clock of the broker at this address, in milliseconds since the epoch: the stamp of a record that is appended to a
    /// partition of such a topic, which it leads.
    pub fn stamped_ms(
        &mut self,
        address: &str,
        topic: &str,
        partition: u32,
    ) -> Result<i64, AdminError> {
        let mut batch = BatchBuilder::new(Compression::None);
        batch.append(0, None, Some(b"what time is it?"), &[]);
        let data = PartitionProduceData::default()
            .with_index(partition as i32)
            .with_records(Some(batch.build(0, -1)));
        let topic = TopicProduceData::default()
            .with_name(topic_name(topic))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(1)
            .with_timeout_ms(TIMEOUT_MS)
            .with_topic_data(vec![topic]);
        let answer: ProduceResponse = self.ask(address, Api::PRODUCE, &request)?;
        let told = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let stamp = told.ok_or("the answer has no partition").and_then(|told| {
            if told.error_code == 0 && told.log_append_time_ms < 0 {
                return Err("it has not stamped the record");
            }
            Ok(told)
        });
        let told = stamp.map_err(|reason| AdminError::Protocol {
            address: address.to_string(),
            api: Api::PRODUCE.name,
            reason: reason.to_string(),
        })?;
        check(address, Api::PRODUCE, told.error_code, told.error_message.as_ref())?;
        Ok(told.log_append_time_ms)
    }

    /// The wall clock of the controller at this address, in milliseconds since the epoch, while it is the active one: when it was
    /// caught up with itself.
    pub fn quorum_ms(&mut self, address: &str, id: i32) -> Result<i64, AdminError> {
        let api = Api::DESCRIBE_QUORUM;
        let answer: DescribeQuorumResponse = self.ask(address, api, &quorum_request())?;
        check(address, api, answer.error_code, answer.error_message.as_ref())?;
        let state = answer.topics.first().and_then(|topic| topic.partitions.first());
        if let Some(state) = state {
            check(address, api, state.error_code, state.error_message.as_ref())?;
        }
        let own = state
            .filter(|state| state.leader_id.0 == id)
            .and_then(|state| state.current_voters.iter().find(|voter| voter.replica_id.0 == id));
        let told_ms = own.map(|own| own.last_caught_up_timestamp).filter(|told_ms| *told_ms > 0);
        told_ms.ok_or_else(|| AdminError::Protocol {
            address: address.to_string(),
            api: api.name,
            reason: "it is not the active controller, and tells no time of its own".to_string(),
        })
    }
}
