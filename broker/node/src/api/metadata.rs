//! Metadata: who is alive, and who leads what.
//!
//! Promises: topics by name, by id, or all; a topic that does not exist is an error and is never made. Not promised: that a
//! leader named here still leads when the client asks it.

use uuid::Uuid;
use wire::error::ErrorCode;
use wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use wire::names::is_valid_topic_name;

use super::{
    CLUSTER_OPERATIONS, Facts, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS, broker_ids, is_internal,
    text,
};
use crate::image::{PartitionImage, TopicImage};

/// The first version in which a null list asks for all topics; before it, an empty list did.
const NULL_IS_ALL: i16 = 1;

pub fn answer(facts: Facts<'_>, version: i16, request: &MetadataRequest) -> MetadataResponse {
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && version < NULL_IS_ALL,
    };
    let operations = request.include_topic_authorized_operations;
    let topics = if all {
        facts.image.topics.values().map(|topic| described(facts, topic, operations)).collect()
    } else {
        let asked = request.topics.as_deref().unwrap_or_default();
        asked
            .iter()
            .map(|topic| one(facts, topic.topic_id, topic.name.as_ref(), operations))
            .collect()
    };
    let brokers = facts.alive().map(|(broker, endpoint)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(broker.id))
            .with_host(text(&endpoint.host))
            .with_port(i32::from(endpoint.port))
            .with_rack(broker.rack.as_deref().map(text))
    });
    let cluster_operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        OPERATIONS_NOT_ASKED
    };
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(text(facts.cluster_id)))
        .with_controller_id(facts.controller_for_clients())
        .with_cluster_authorized_operations(cluster_operations)
        .with_topics(topics)
}

fn one(
    facts: Facts<'_>,
    id: Uuid,
    name: Option<&TopicName>,
    operations: bool,
) -> MetadataResponseTopic {
    let failed = |error: ErrorCode| {
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(name.cloned())
            .with_topic_id(id)
            .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
    };
    // With both given, Kafka refuses; with neither, there is nothing to look for.
    match name {
        Some(_) if !id.is_nil() => failed(ErrorCode::InvalidRequest),
        Some(name) => match facts.image.topic(name) {
            Some(topic) => described(facts, topic, operations),
            None if is_valid_topic_name(name) => failed(ErrorCode::UnknownTopicOrPartition),
            None => failed(ErrorCode::InvalidTopicException),
        },
        None if id.is_nil() => failed(ErrorCode::InvalidRequest),
        None => match facts.image.topic_by_id(id) {
            Some(topic) => described(facts, topic, operations),
            None => failed(ErrorCode::UnknownTopicId),
        },
    }
}

fn described(facts: Facts<'_>, topic: &TopicImage, operations: bool) -> MetadataResponseTopic {
    let partitions =
        topic.partitions.iter().map(|(index, p)| partition(facts, *index, p)).collect();
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_topic_authorized_operations(if operations {
            TOPIC_OPERATIONS
        } else {
            OPERATIONS_NOT_ASKED
        })
        .with_partitions(partitions)
}

fn partition(
    facts: Facts<'_>,
    index: i32,
    partition: &PartitionImage,
) -> MetadataResponsePartition {
    let leader = facts.alive_leader(partition);
    let error = if leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    MetadataResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(index)
        .with_leader_id(BrokerId(leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(broker_ids(&partition.replicas))
        .with_isr_nodes(broker_ids(&partition.isr))
        .with_offline_replicas(facts.offline_replicas(partition))
}
