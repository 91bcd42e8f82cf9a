//! What a cluster says of itself: brokers, topics, partitions, the quorum.

use crate::connection::{Admin, AdminError, Api};
use std::collections::BTreeMap;
use uuid::Uuid;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::describe_cluster_response::DescribeClusterBroker;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use wire::messages::describe_topic_partitions_request::TopicRequest;
use wire::messages::describe_topic_partitions_response::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use wire::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest,
    MetadataResponse, TopicName, describe_quorum_request,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub cluster_id: Option<String>,
    pub brokers: Vec<Broker>,
    pub topics: Vec<Topic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    pub internal: bool,
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub partition: u32,
    /// -1: none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub offline: Vec<i32>,
    /// Eligible leader replicas, where the cluster tells them.
    pub elr: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumState {
    pub leader: i32,
    pub epoch: i32,
    pub high_watermark: i64,
    pub voters: Vec<i32>,
    pub observers: Vec<i32>,
}

fn ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

impl Admin {
    /// Brokers and the topics named (all with `None`). A topic that does not exist is left out.
    pub fn cluster(&mut self, topics: Option<&[&str]>) -> Result<Cluster, AdminError> {
        let topics = topics.map(|names| {
            names
                .iter()
                .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
                .collect()
        });
        let request =
            MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false);
        let (_, answer): (_, MetadataResponse) = self.ask_any(Api::METADATA, &request)?;
        self.note_brokers(&answer);
        Ok(Cluster {
            cluster_id: answer.cluster_id.as_ref().map(|id| id.to_string()),
            brokers: answer
                .brokers
                .iter()
                .map(|b| Broker {
                    id: b.node_id.0,
                    host: b.host.to_string(),
                    port: b.port,
                    fenced: false,
                })
                .collect(),
            topics: answer
                .topics
                .iter()
                .filter(|t| t.error_code == 0)
                .map(topic_of_metadata)
                .collect(),
        })
    }

    /// A topic as one broker knows it; `None`: it does not.
    pub fn topic_known_to(&mut self, broker: i32, name: &str) -> Result<Option<Topic>, AdminError> {
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![asked]))
            .with_allow_auto_topic_creation(false);
        let api = Api::METADATA;
        let (address, answer): (_, MetadataResponse) = self.ask_broker(broker, api, &request)?;
        let unknown = ErrorCode::UnknownTopicOrPartition as i16;
        let Some(topic) = answer.topics.iter().find(|topic| topic.error_code != unknown) else {
            return Ok(None);
        };
        check(&address, api, topic.error_code, None)?;
        Ok(Some(topic_of_metadata(topic)))
    }

    /// The topics named with their eligible leader replicas, where the cluster has the API (Kafka 3.7 and later);
    /// otherwise as [`Admin::cluster`] tells them.
    pub fn topics(&mut self, names: &[&str]) -> Result<Vec<Topic>, AdminError> {
        let topics =
            names.iter().map(|name| TopicRequest::default().with_name(topic_name(name))).collect();
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics)
            .with_response_partition_limit(2000);
        let answer: Result<(_, DescribeTopicPartitionsResponse), _> =
            self.ask_any(Api::DESCRIBE_TOPIC_PARTITIONS, &request);
        match answer {
            Ok((_, answer)) => Ok(answer
                .topics
                .iter()
                .filter(|t| t.error_code == 0)
                .map(topic_described)
                .collect()),
            Err(AdminError::NoBroker { .. }) => Ok(self.cluster(Some(names))?.topics),
            Err(error) => Err(error),
        }
    }

    /// The metadata quorum, as its leader knows it.
    pub fn quorum(&mut self) -> Result<QuorumState, AdminError> {
        let (address, answer): (_, DescribeQuorumResponse) =
            self.ask_any(Api::DESCRIBE_QUORUM, &quorum_request())?;
        check(&address, Api::DESCRIBE_QUORUM, answer.error_code, answer.error_message.as_ref())?;
        let Some(state) = answer.topics.first().and_then(|t| t.partitions.first()) else {
            let reason = "the answer has no partition".to_string();
            return Err(AdminError::Protocol { address, api: Api::DESCRIBE_QUORUM.name, reason });
        };
        check(&address, Api::DESCRIBE_QUORUM, state.error_code, state.error_message.as_ref())?;
        Ok(QuorumState {
            leader: state.leader_id.0,
            epoch: state.leader_epoch,
            high_watermark: state.high_watermark,
            voters: state.current_voters.iter().map(|v| v.replica_id.0).collect(),
            observers: state.observers.iter().map(|v| v.replica_id.0).collect(),
        })
    }

    /// Every broker that the controller knows, fenced ones included where the cluster tells them (Kafka 4.0 and later).
    pub fn registered_brokers(&mut self) -> Result<Vec<Broker>, AdminError> {
        let request = DescribeClusterRequest::default();
        let fenced = request.clone().with_include_fenced_brokers(true);
        let told = self.ask_any(Api::DESCRIBE_CLUSTER, &fenced);
        // Older versions of the request have no word for it, and leave fenced brokers out.
        let told = told.or_else(|_| self.ask_any(Api::DESCRIBE_CLUSTER, &request))?;
        let (address, answer): (_, DescribeClusterResponse) = told;
        check(&address, Api::DESCRIBE_CLUSTER, answer.error_code, answer.error_message.as_ref())?;
        let broker = |b: &DescribeClusterBroker| Broker {
            id: b.broker_id.0,
            host: b.host.to_string(),
            port: b.port,
            fenced: b.is_fenced,
        };
        Ok(answer.brokers.iter().map(broker).collect())
    }

    /// The effective settings of a topic, by Kafka's names.
    pub fn topic_settings(&mut self, topic: &str) -> Result<BTreeMap<String, String>, AdminError> {
        self.settings(2, topic)
    }

    /// The effective settings of a broker.
    pub fn broker_settings(&mut self, broker: i32) -> Result<BTreeMap<String, String>, AdminError> {
        let request = settings_request(4, &broker.to_string());
        let (address, answer) = self.ask_broker(broker, Api::DESCRIBE_CONFIGS, &request)?;
        settings_answer(address, answer)
    }

    fn settings(
        &mut self,
        resource_type: i8,
        name: &str,
    ) -> Result<BTreeMap<String, String>, AdminError> {
        let (address, answer) =
            self.ask_any(Api::DESCRIBE_CONFIGS, &settings_request(resource_type, name))?;
        settings_answer(address, answer)
    }
}

/// Asks about the metadata quorum.
pub(crate) fn quorum_request() -> DescribeQuorumRequest {
    let partition = describe_quorum_request::PartitionData::default().with_partition_index(0);
    let topic = describe_quorum_request::TopicData::default()
        .with_topic_name(topic_name("__cluster_metadata"))
        .with_partitions(vec![partition]);
    DescribeQuorumRequest::default().with_topics(vec![topic])
}

pub(crate) fn settings_request(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from_string(name.to_string()))
        .with_configuration_keys(None);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

fn settings_answer(
    address: String,
    answer: DescribeConfigsResponse,
) -> Result<BTreeMap<String, String>, AdminError> {
    let Some(result) = answer.results.first() else {
        let reason = "the answer has no resource".to_string();
        return Err(AdminError::Protocol { address, api: Api::DESCRIBE_CONFIGS.name, reason });
    };
    check(&address, Api::DESCRIBE_CONFIGS, result.error_code, result.error_message.as_ref())?;
    let value = |c: &DescribeConfigsResourceResult| {
        c.value.as_ref().map(|v| (c.name.to_string(), v.to_string()))
    };
    Ok(result.configs.iter().filter(|c| !c.is_sensitive).filter_map(value).collect())
}

fn topic_of_metadata(topic: &MetadataResponseTopic) -> Topic {
    let partition = |p: &MetadataResponsePartition| Partition {
        partition: p.partition_index as u32,
        leader: p.leader_id.0,
        leader_epoch: p.leader_epoch,
        replicas: ids(&p.replica_nodes),
        isr: ids(&p.isr_nodes),
        offline: ids(&p.offline_replicas),
        elr: vec![],
    };
    let partitions = topic.partitions.iter().map(partition).collect();
    told(topic.name.as_ref(), topic.topic_id, topic.is_internal, partitions)
}

fn topic_described(topic: &DescribeTopicPartitionsResponseTopic) -> Topic {
    let partition = |p: &DescribeTopicPartitionsResponsePartition| Partition {
        partition: p.partition_index as u32,
        leader: p.leader_id.0,
        leader_epoch: p.leader_epoch,
        replicas: ids(&p.replica_nodes),
        isr: ids(&p.isr_nodes),
        offline: ids(&p.offline_replicas),
        elr: p.eligible_leader_replicas.as_deref().map(ids).unwrap_or_default(),
    };
    let partitions = topic.partitions.iter().map(partition).collect();
    told(topic.name.as_ref(), topic.topic_id, topic.is_internal, partitions)
}

fn told(
    name: Option<&TopicName>,
    id: Uuid,
    internal: bool,
    mut partitions: Vec<Partition>,
) -> Topic {
    partitions.sort_by_key(|p| p.partition);
    Topic { name: name.map(|n| n.0.to_string()).unwrap_or_default(), id, internal, partitions }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_string()))
}

/// Kafka's error code, or nothing.
pub(crate) fn check(
    address: &str,
    api: Api,
    error_code: i16,
    message: Option<&StrBytes>,
) -> Result<(), AdminError> {
    if error_code == 0 {
        return Ok(());
    }
    let code = ErrorCode::from_code(error_code)
        .map_or_else(|| format!("error {error_code}"), |code| code.name().to_string());
    let message = message.map(|m| m.to_string());
    Err(AdminError::Broker {
        address: address.to_string(),
        api: api.name,
        code,
        error_code,
        message,
    })
}
