//! CreateTopics, DeleteTopics, CreatePartitions.

use uuid::Uuid;
use wire::error::ErrorCode;
use wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use wire::messages::create_topics_request::CreatableTopicConfig;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, TopicName,
};
use wire::metadata::MetadataRecord;

use super::{Cluster, assigned, named, text};
use crate::controller::{ControllerRequest, ControllerResponse};

fn codes_of_new(cluster: &mut Cluster, request: CreateTopicsRequest) -> Vec<(String, i16)> {
    let answer = cluster.ask(7, ControllerRequest::CreateTopics(request));
    let ControllerResponse::CreateTopics(answer) = answer else { panic!("{answer:?}") };
    answer.topics.iter().map(|topic| (topic.name.to_string(), topic.error_code)).collect()
}

fn delete(cluster: &mut Cluster, version: i16, request: DeleteTopicsRequest) -> Vec<ErrorCode> {
    let answer = cluster.ask(version, ControllerRequest::DeleteTopics(request));
    let ControllerResponse::DeleteTopics(answer) = answer else { panic!("{answer:?}") };
    let code = |code: i16| ErrorCode::from_code(code).expect("a code of Kafka's");
    answer.responses.iter().map(|topic| code(topic.error_code)).collect()
}

fn grow(cluster: &mut Cluster, topic: CreatePartitionsTopic) -> ErrorCode {
    let request = CreatePartitionsRequest::default().with_topics(vec![topic]);
    let answer = cluster.ask(3, ControllerRequest::CreatePartitions(request));
    let ControllerResponse::CreatePartitions(answer) = answer else { panic!("{answer:?}") };
    ErrorCode::from_code(answer.results[0].error_code).expect("a code of Kafka's")
}

#[test]
fn a_topic_with_defaults_is_spread_and_its_records_come_in_kafkas_order() {
    let mut cluster = Cluster::of(3, "");
    let topic = named("t").with_configs(vec![
        CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000"))),
    ]);
    let before = cluster.log.len();
    let result = cluster.create(topic);
    assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 2, 3));
    let kinds: Vec<u32> = cluster.log[before..].iter().map(MetadataRecord::api_key).collect();
    assert_eq!(kinds, [2, 4, 3, 3], "topic, config, partitions");
    let configs = result.configs.expect("they are told");
    let told = configs.iter().find(|config| config.name.as_str() == "retention.ms");
    let told =
        told.map(|config| (config.value.as_ref().map(ToString::to_string), config.config_source));
    assert_eq!(told, Some((Some("1000".to_owned()), 1)));
    for index in 0..2 {
        let partition = cluster.part("t", index);
        assert_eq!(partition.isr, partition.replicas);
        assert_eq!((partition.leader, partition.leader_epoch), (partition.replicas[0], 0));
    }
    assert_ne!(cluster.part("t", 0).leader, cluster.part("t", 1).leader);
    assert_eq!(cluster.image().topics[&result.topic_id].name, "t");
}

#[test]
fn what_cannot_be_created_is_refused_in_kafkas_words() {
    let mut cluster = Cluster::of(2, "");
    cluster.register(3);
    cluster.topic("my.topic", &[1, 2], &[]);
    let mut refused = |topic| {
        let result = cluster.create(topic);
        let code = ErrorCode::from_code(result.error_code).expect("a code of Kafka's");
        (code, result.error_message.map_or(String::new(), |text| text.to_string()))
    };
    let invalid_topic = ErrorCode::InvalidTopicException;
    assert_eq!(refused(named("")).0, invalid_topic);
    assert_eq!(refused(named("a b")).0, invalid_topic);
    let (code, why) = refused(named("my_topic"));
    assert_eq!(
        (code, why.contains("collides with existing topic: my.topic")),
        (invalid_topic, true)
    );
    assert_eq!(refused(named("my.topic")).0, ErrorCode::TopicAlreadyExists);
    assert_eq!(refused(named("__cluster_metadata")).0, ErrorCode::InvalidRequest);
    let bad_factor = ErrorCode::InvalidReplicationFactor;
    assert_eq!(refused(named("t").with_replication_factor(4)).0, bad_factor);
    assert_eq!(refused(named("t").with_replication_factor(0)).0, bad_factor);
    assert_eq!(refused(named("t").with_num_partitions(0)).0, ErrorCode::InvalidPartitions);
    assert_eq!(refused(named("t").with_num_partitions(i32::MAX)).0, ErrorCode::PolicyViolation);
    let (code, why) = refused(assigned("t", &[&[1, 2]], &[("no.such", "1")]));
    assert_eq!(
        (code, why.as_str()),
        (ErrorCode::InvalidConfig, "Unknown topic config name: no.such")
    );
    assert_eq!(
        refused(assigned("t", &[&[1]], &[("retention.ms", "x")])).0,
        ErrorCode::InvalidConfig
    );
    let bad_assignment = ErrorCode::InvalidReplicaAssignment;
    for partitions in [&[&[1, 2][..], &[1]][..], &[&[1, 1]], &[&[1, 9]], &[&[]], &[&[3]]] {
        assert_eq!(refused(assigned("t", partitions, &[])).0, bad_assignment, "{partitions:?}");
    }
    let gap = {
        let mut topic = assigned("t", &[&[1], &[2]], &[]);
        topic.assignments[1].partition_index = 2;
        topic
    };
    assert_eq!(refused(gap).0, bad_assignment);
    let both = assigned("t", &[&[1]], &[]).with_num_partitions(1);
    assert_eq!(refused(both).0, ErrorCode::InvalidRequest);
    let nothing = named("t").with_configs(vec![
        CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(None),
    ]);
    assert_eq!(refused(nothing).0, ErrorCode::InvalidConfig);
}

#[test]
fn one_bad_topic_does_not_spoil_the_others_but_a_repeated_name_does() {
    let mut cluster = Cluster::of(3, "");
    let topics = vec![named("a"), named("b c"), named("d"), named("e"), named("e")];
    let request = CreateTopicsRequest::default().with_topics(topics);
    let codes = codes_of_new(&mut cluster, request);
    let expected = [("a", 0), ("b c", 17), ("d", 0), ("e", 42)];
    assert_eq!(codes, expected.map(|(name, code)| (name.to_owned(), code)));
    let names: Vec<&String> = cluster.image().topic_ids.keys().collect();
    assert_eq!(names, ["a", "d"]);
}

#[test]
fn validate_only_changes_nothing() {
    let mut cluster = Cluster::of(3, "");
    let before = cluster.end();
    let request =
        CreateTopicsRequest::default().with_topics(vec![named("a")]).with_validate_only(true);
    assert_eq!(codes_of_new(&mut cluster, request), [("a".to_owned(), 0)]);
    assert_eq!(cluster.end(), before);
}

#[test]
fn a_new_partition_begins_with_its_live_replicas() {
    let mut cluster = Cluster::of(3, "");
    cluster.kill(1);
    cluster.topic("t", &[1, 3, 2], &[]);
    let partition = cluster.part("t", 0);
    assert_eq!((&partition.isr[..], partition.leader), (&[3, 2][..], 3));
}

#[test]
fn topics_are_deleted_by_name_and_by_id_with_all_they_have() {
    let mut cluster = Cluster::of(2, "");
    let a = cluster.topic("a", &[1, 2], &[("retention.ms", "5")]);
    let b = cluster.topic("b", &[1, 2], &[]);
    let by = |name: Option<&str>, id: Uuid| {
        let name = name.map(|name| TopicName(text(name)));
        DeleteTopicState::default().with_name(name).with_topic_id(id)
    };
    let request = DeleteTopicsRequest::default().with_topics(vec![
        by(None, a),
        by(Some("b"), Uuid::nil()),
        by(Some("c"), Uuid::nil()),
        by(None, Uuid::from_u128(3)),
        by(None, Uuid::nil()),
        by(Some("b"), b),
        by(None, b),
    ]);
    let codes = delete(&mut cluster, 6, request);
    use ErrorCode::{InvalidRequest, UnknownTopicId, UnknownTopicOrPartition};
    let none = ErrorCode::None;
    assert_eq!(
        codes,
        [
            none,
            none,
            UnknownTopicOrPartition,
            UnknownTopicId,
            InvalidRequest,
            InvalidRequest,
            InvalidRequest
        ]
    );
    let image = cluster.image();
    assert!(image.topics.is_empty() && image.topic_ids.is_empty() && image.configs.is_empty());
    let again = cluster.topic("a", &[1, 2], &[]);
    assert_ne!(again, a, "another topic of the same name is another topic");
    let request = DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text("a"))]);
    assert_eq!(delete(&mut cluster, 4, request), [none]);
}

#[test]
fn deletion_can_be_switched_off() {
    let mut cluster = Cluster::of(1, "delete.topic.enable=false\n");
    cluster.topic("a", &[1], &[]);
    let request = DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text("a"))]);
    let code = delete(&mut cluster, 4, request.clone());
    assert_eq!(code, [ErrorCode::TopicDeletionDisabled]);
    assert_eq!(delete(&mut cluster, 2, request), [ErrorCode::InvalidRequest]);
}

#[test]
fn partitions_are_added_behind_those_that_are_there() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2], &[]);
    let topic =
        CreatePartitionsTopic::default().with_name(TopicName(text("t"))).with_assignments(None);
    let invalid = ErrorCode::InvalidPartitions;
    assert_eq!(grow(&mut cluster, topic.clone().with_count(1)), invalid);
    assert_eq!(grow(&mut cluster, topic.clone().with_count(0)), invalid);
    assert_eq!(grow(&mut cluster, topic.clone().with_count(-5)), invalid);
    assert_eq!(grow(&mut cluster, topic.clone().with_count(3)), ErrorCode::None);
    assert_eq!(cluster.part("t", 2).replicas.len(), 2);
    let on = |brokers: &[i32]| {
        let brokers = brokers.iter().map(|id| BrokerId(*id)).collect();
        CreatePartitionsAssignment::default().with_broker_ids(brokers)
    };
    let placed = topic.clone().with_count(4).with_assignments(Some(vec![on(&[3, 1])]));
    assert_eq!(grow(&mut cluster, placed), ErrorCode::None);
    assert_eq!(cluster.part("t", 3).replicas, [3, 1]);
    let bad = ErrorCode::InvalidReplicaAssignment;
    let too_few = topic.clone().with_count(6).with_assignments(Some(vec![on(&[3, 1])]));
    assert_eq!(grow(&mut cluster, too_few), bad);
    let other_factor = topic.with_count(5).with_assignments(Some(vec![on(&[3, 1, 2])]));
    assert_eq!(grow(&mut cluster, other_factor), bad);
    let unknown = CreatePartitionsTopic::default().with_name(TopicName(text("no"))).with_count(3);
    assert_eq!(grow(&mut cluster, unknown), ErrorCode::UnknownTopicOrPartition);
}
