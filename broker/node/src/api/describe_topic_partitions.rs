//! DescribeTopicPartitions: Metadata in pages, with the eligible leader replicas (KIP-966).

use wire::error::ErrorCode;
use wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use wire::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use wire::names::is_valid_topic_name;

use super::{Facts, OPERATIONS_NOT_ASKED, TOPIC_OPERATIONS, broker_ids, is_internal, text};
use crate::image::PartitionImage;

/// Kafka's `max.request.partition.size.limit`.
const PARTITIONS_MAX: i32 = 2000;

pub fn answer(
    facts: Facts<'_>,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let mut names: Vec<&str> = if all {
        facts.image.topic_ids.keys().map(String::as_str).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_str()).collect()
    };
    names.sort_unstable();
    names.dedup();
    let mut start = 0;
    if let Some(cursor) = &request.cursor {
        let from = cursor.topic_name.as_str();
        names.retain(|name| *name >= from);
        if names.first() == Some(&from) {
            start = cursor.partition_index.max(0);
        }
    }
    let mut left = request.response_partition_limit.clamp(1, PARTITIONS_MAX);
    let mut topics = Vec::new();
    for name in names {
        if left == 0 {
            let next = Cursor::default()
                .with_topic_name(TopicName(text(name)))
                .with_partition_index(start);
            return DescribeTopicPartitionsResponse::default()
                .with_topics(topics)
                .with_next_cursor(Some(next));
        }
        let described = topic(facts, name, start, left);
        let count = i32::try_from(described.partitions.len()).unwrap_or(i32::MAX);
        let more = facts.image.topic(name).and_then(|topic| {
            topic.partitions.range(start..).nth(count as usize).map(|(index, _)| *index)
        });
        left -= count;
        topics.push(described);
        if let Some(index) = more {
            let next = Cursor::default()
                .with_topic_name(TopicName(text(name)))
                .with_partition_index(index);
            return DescribeTopicPartitionsResponse::default()
                .with_topics(topics)
                .with_next_cursor(Some(next));
        }
        start = 0;
    }
    DescribeTopicPartitionsResponse::default().with_topics(topics)
}

fn topic(
    facts: Facts<'_>,
    name: &str,
    start: i32,
    limit: i32,
) -> DescribeTopicPartitionsResponseTopic {
    let described = DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(text(name))))
        .with_is_internal(is_internal(name));
    let Some(topic) = facts.image.topic(name) else {
        let error = if is_valid_topic_name(name) {
            ErrorCode::UnknownTopicOrPartition
        } else {
            ErrorCode::InvalidTopicException
        };
        return described
            .with_error_code(error.code())
            .with_topic_authorized_operations(OPERATIONS_NOT_ASKED);
    };
    let page = topic.partitions.range(start..).take(usize::try_from(limit).unwrap_or(0));
    described
        .with_topic_id(topic.id)
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
        .with_partitions(page.map(|(index, p)| partition(facts, *index, p)).collect())
}

fn partition(
    facts: Facts<'_>,
    index: i32,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    let leader = facts.alive_leader(partition);
    let error = if leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(index)
        .with_leader_id(BrokerId(leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(broker_ids(&partition.replicas))
        .with_isr_nodes(broker_ids(&partition.isr))
        .with_eligible_leader_replicas(Some(broker_ids(&partition.elr)))
        .with_last_known_elr(Some(broker_ids(&partition.last_known_elr)))
        .with_offline_replicas(facts.offline_replicas(partition))
}
