//! The errors that clients act upon: the same that Apache Kafka gives.
//!
//! The tables were held against Apache Kafka 4.3.1. To do so again, with a Kafka of one node at that port of this machine:
//! `HIGHWATER_ORACLE_PORT=9092 cargo test --test protocol -- --ignored apache_kafka`

use crate::connection::Connection;
use crate::fixture::{Topic, assert_still_serving, eventually, shared_cluster};
use crate::requests::{self, World, text, topic_name};
use bytes::Bytes;
use wire::StrBytes;
use wire::api::key;
use wire::batch::{BatchBuilder, Compression, Producer};
use wire::error::{ErrorCode, name_of};
use wire::messages as m;
use wire::messages::{BrokerId, GroupId, ProducerId};

/// What was asked, what was answered, what should have been.
type Row = (&'static str, i16, ErrorCode);

#[test]
fn errors_are_those_of_apache_kafka() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "errors");
    let mut connection = topic.connect();
    assert_as_expected(all_rows(&mut connection, &topic.world));
    assert_still_serving(&cluster, &topic);
}

/// Where Apache Kafka answers UNKNOWN_SERVER_ERROR, because it did not expect that: the client is told more.
#[test]
fn records_that_cannot_be_unpacked_are_refused_for_what_they_are() {
    let cluster = shared_cluster();
    let topic = Topic::create(&cluster, "unpacked");
    let mut connection = topic.connect();
    let packed = requests::batch(&[&[7; 500][..]], Compression::Lz4);
    let mut row = |asked, records, expected| {
        (asked, produce_error(&mut connection, &topic.world, 12, -1, records), expected)
    };
    assert_as_expected(vec![
        row("a fifth compression", forged(&packed, 22, 4), ErrorCode::UnsupportedCompressionType),
        row("noise in place of lz4", forged(&packed, 62, 255), ErrorCode::CorruptMessage),
    ]);
    assert_still_serving(&cluster, &topic);
}

/// Not a test of ours: whether the expectations are still Kafka's.
#[test]
#[ignore = "needs Apache Kafka at HIGHWATER_ORACLE_PORT"]
fn apache_kafka_gives_these_answers_itself() {
    let port = std::env::var("HIGHWATER_ORACLE_PORT").expect("HIGHWATER_ORACLE_PORT is set");
    let port: u16 = port.parse().expect("HIGHWATER_ORACLE_PORT is a port");
    let topic = Topic::create_at(port, &format!("errors-{}", std::process::id()), 1);
    assert_as_expected(all_rows(&mut topic.connect(), &topic.world));
}

fn assert_as_expected(rows: Vec<Row>) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, answered, expected)| *answered != expected.code())
        .map(|(asked, answered, expected)| {
            format!("{asked}: {} in place of {expected}", name_of(*answered))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn all_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    let mut rows = produce_rows(connection, world);
    rows.extend(idempotence_rows(connection, world));
    rows.extend(fetch_rows(connection, world));
    rows.extend(offset_rows(connection, world));
    rows.extend(created_topic_rows(connection, world));
    rows.extend(changed_topic_rows(connection, world));
    rows.extend(described_topic_rows(connection, world));
    rows.extend(config_rows(connection, world));
    rows.extend(group_rows(connection, world));
    rows
}

fn nowhere(world: &World) -> World {
    World {
        topic: "there-is-no-such-topic".into(),
        topic_id: wire::Uuid::from_u128(77),
        ..world.clone()
    }
}

fn produce_error(
    connection: &mut Connection,
    world: &World,
    version: i16,
    acks: i16,
    records: Bytes,
) -> i16 {
    let body = requests::produce(world, version, acks, records);
    let answer: m::ProduceResponse = connection.ask(key::PRODUCE, version, &body);
    answer.responses[0].partition_responses[0].error_code
}

/// The batch with some bits of one byte flipped, and the CRC that it now needs.
fn forged(batch: &Bytes, at: usize, bits: u8) -> Bytes {
    let mut records = batch.to_vec();
    records[at] ^= bits;
    let crc = crc32c::crc32c(&records[21..]);
    records[17..21].copy_from_slice(&crc.to_be_bytes());
    records.into()
}

/// The same without the right CRC.
fn damaged(batch: &Bytes, at: usize, bits: u8) -> Bytes {
    let mut records = batch.to_vec();
    records[at] ^= bits;
    records.into()
}

fn produce_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let sound = requests::batch(&[b"sound", b"records"], Compression::None);
    let zstd = requests::batch(&[b"z"], Compression::Zstd);
    let too_large = requests::batch(&[&vec![1; 2 << 20]], Compression::None);
    let twice: Bytes = [sound.clone(), sound.clone()].concat().into();
    let mut row = |asked, records: &Bytes, expected| {
        (asked, produce_error(connection, world, 12, -1, records.clone()), expected)
    };
    let mut rows = vec![
        row("a sound write", &sound, E::None),
        row("a wrong CRC", &damaged(&sound, 17, 1), E::CorruptMessage),
        row("a flipped bit in a value", &damaged(&sound, sound.len() - 3, 1), E::CorruptMessage),
        row("magic 1", &damaged(&sound, 16, 3), E::InvalidRecord),
        row("magic 3", &damaged(&sound, 16, 1), E::CorruptMessage),
        row("no batch", &Bytes::new(), E::InvalidRecord),
        row("two batches", &twice, E::InvalidRecord),
        row("half a batch", &sound.slice(..sound.len() / 2), E::InvalidRecord),
        row("a batch and a bit", &[&sound[..], &[0; 20]].concat().into(), E::CorruptMessage),
        row("a record too few", &forged(&sound, 60, 1), E::InvalidRecord),
        row("a last offset that does not fit", &forged(&sound, 26, 2), E::InvalidRecord),
        row("a control batch from a client", &forged(&sound, 22, 0x20), E::InvalidRecord),
        row("too large", &too_large, E::MessageTooLarge),
    ];
    rows.extend([
        ("acks=2", produce_error(connection, world, 12, 2, sound.clone()), E::InvalidRequiredAcks),
        (
            "zstd before version 7",
            produce_error(connection, world, 6, -1, zstd),
            E::UnsupportedCompressionType,
        ),
        (
            "produce by no name",
            produce_error(connection, &nowhere(world), 12, -1, sound.clone()),
            E::UnknownTopicOrPartition,
        ),
        (
            "produce by no id",
            produce_error(connection, &nowhere(world), 13, -1, sound.clone()),
            E::UnknownTopicId,
        ),
    ]);
    for version in [12, 13] {
        let mut body = requests::produce(world, version, -1, sound.clone());
        body.topic_data[0].partition_data[0].index = 99;
        let answer: m::ProduceResponse = connection.ask(key::PRODUCE, version, &body);
        let error_code = answer.responses[0].partition_responses[0].error_code;
        rows.push(("produce to partition 99", error_code, E::UnknownTopicOrPartition));
    }
    rows
}

fn idempotence_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let body = m::InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let answer = eventually("there are producer ids", || {
        let answer: m::InitProducerIdResponse = connection.ask(key::INIT_PRODUCER_ID, 4, &body);
        (answer.error_code != E::CoordinatorLoadInProgress.code()).then_some(answer)
    });
    let ProducerId(id) = answer.producer_id;
    let mut row = |asked, epoch, base_sequence, expected| {
        let producer = Producer { id, epoch, base_sequence };
        let mut builder = BatchBuilder::new(Compression::None).producer(producer);
        builder.append(1_700_000_000_000, None, Some(asked_bytes(asked)), &[]);
        let records = builder.build(0, -1);
        (asked, produce_error(connection, world, 12, -1, records), expected)
    };
    let mut rows = vec![
        ("InitProducerId", answer.error_code, E::None),
        row("the first sequence number", 0, 0, E::None),
        row("the second", 0, 1, E::None),
        row("the first again", 0, 0, E::None),
        row("a gap", 0, 5, E::OutOfOrderSequenceNumber),
        row("the next epoch, not from 0", 1, 7, E::OutOfOrderSequenceNumber),
        row("the next epoch", 1, 0, E::None),
        row("the epoch before", 0, 2, E::InvalidProducerEpoch),
    ];
    let body = body.with_producer_epoch(3);
    let answer: m::InitProducerIdResponse = connection.ask(key::INIT_PRODUCER_ID, 4, &body);
    rows.push(("InitProducerId with an epoch and no id", answer.error_code, E::InvalidRequest));
    rows
}

fn asked_bytes(asked: &'static str) -> &'static [u8] {
    asked.as_bytes()
}

fn fetch_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut ask = |version, body: &m::FetchRequest| {
        let answer: m::FetchResponse = connection.ask(key::FETCH, version, body);
        let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
        (answer.error_code, partition.map_or(0, |partition| partition.error_code))
    };
    let fetch = |world: &World, version, offset| requests::fetch(world, version, offset, 0);
    let mut epoch_ahead = fetch(world, 12, 0);
    epoch_ahead.topics[0].partitions[0].current_leader_epoch = 1_000;
    let mut diverged = fetch(world, 12, 1);
    diverged.topics[0].partitions[0].last_fetched_epoch = 1_000;
    let mut partition_99 = fetch(world, 12, 0);
    partition_99.topics[0].partitions[0].partition = 99;
    let no_session = fetch(world, 12, 0).with_session_id(123).with_session_epoch(5);
    let offset = 1 << 40;
    vec![
        ("fetch past the end", ask(12, &fetch(world, 12, offset)).1, E::OffsetOutOfRange),
        ("fetch below the start", ask(12, &fetch(world, 12, -5)).1, E::OffsetOutOfRange),
        ("fetch by no name", ask(12, &fetch(&nowhere(world), 12, 0)).1, E::UnknownTopicOrPartition),
        ("fetch by no id", ask(13, &fetch(&nowhere(world), 13, 0)).1, E::UnknownTopicId),
        ("fetch from partition 99", ask(12, &partition_99).1, E::UnknownTopicOrPartition),
        ("fetch with a leader epoch to come", ask(12, &epoch_ahead).1, E::UnknownLeaderEpoch),
        ("fetch after an epoch that never was", ask(12, &diverged).1, E::OffsetOutOfRange),
        ("fetch in no session", ask(12, &no_session).0, E::FetchSessionIdNotFound),
    ]
}

fn offset_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut list = |topic: &str, index, epoch, timestamp| {
        use m::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
        let partition = ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_current_leader_epoch(epoch)
            .with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let body = m::ListOffsetsRequest::default().with_replica_id(BrokerId(-1));
        let body = body.with_topics(vec![topic]);
        let answer: m::ListOffsetsResponse = connection.ask(key::LIST_OFFSETS, 8, &body);
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.offset)
    };
    let future = list(&world.topic, 0, -1, 1 << 50);
    let earliest = list(&world.topic, 0, -1, -2);
    let latest = list(&world.topic, 0, -1, -1);
    assert_eq!((future.1, earliest.1), (-1, 0), "offsets after the last record, and of the first");
    assert!(latest.1 > 0, "the records of the rows above");
    let mut rows = vec![
        ("offset of a time to come", future.0, E::None),
        ("the earliest offset", earliest.0, E::None),
        ("the latest offset", latest.0, E::None),
        ("offset of no topic", list("no-topic", 0, -1, -1).0, E::UnknownTopicOrPartition),
        ("offset of partition 99", list(&world.topic, 99, -1, -1).0, E::UnknownTopicOrPartition),
        ("offset in an epoch to come", list(&world.topic, 0, 99, -1).0, E::UnknownLeaderEpoch),
    ];
    for (asked, name, current_epoch, expected) in [
        ("the end of an epoch", world.topic.as_str(), -1, E::None),
        ("the end of an epoch of no topic", "no-topic", -1, E::UnknownTopicOrPartition),
        ("the end of an epoch, from one to come", world.topic.as_str(), 99, E::UnknownLeaderEpoch),
    ] {
        use m::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
        let partition = OffsetForLeaderPartition::default()
            .with_leader_epoch(0)
            .with_current_leader_epoch(current_epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name(name))
            .with_partitions(vec![partition]);
        let body = m::OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        let answer: m::OffsetForLeaderEpochResponse =
            connection.ask(key::OFFSET_FOR_LEADER_EPOCH, 4, &body);
        rows.push((asked, answer.topics[0].partitions[0].error_code, expected));
    }
    rows
}

fn created_topic_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut rows = Vec::new();
    let long = "x".repeat(250);
    for (asked, name, partitions, replicas, expected) in [
        ("create what is there", world.topic.as_str(), 1, -1, E::TopicAlreadyExists),
        ("create a bad name", "bad name", 1, -1, E::InvalidTopicException),
        ("create ..", "..", 1, -1, E::InvalidTopicException),
        ("create a long name", long.as_str(), 1, -1, E::InvalidTopicException),
        ("create no name", "", 1, -1, E::InvalidTopicException),
        ("create no partitions", "none", 0, -1, E::InvalidPartitions),
        ("create too many replicas", "many", 1, 9, E::InvalidReplicationFactor),
        ("create no replicas", "few", 1, 0, E::InvalidReplicationFactor),
    ] {
        let mut body = requests::create_topic(name, replicas);
        body.topics[0].num_partitions = partitions;
        let answer: m::CreateTopicsResponse = connection.ask(key::CREATE_TOPICS, 7, &body);
        rows.push((asked, answer.topics[0].error_code, expected));
    }
    let mut named = requests::create_topic("configured", -1);
    for (asked, name, value, expected) in [
        ("create with an unknown setting", "no.such.setting", "1", E::InvalidConfig),
        ("create with a bad value", "retention.ms", "soon", E::InvalidConfig),
    ] {
        let config = m::create_topics_request::CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)));
        named.topics[0].configs = vec![config];
        let answer: m::CreateTopicsResponse = connection.ask(key::CREATE_TOPICS, 7, &named);
        rows.push((asked, answer.topics[0].error_code, expected));
    }
    rows
}

fn changed_topic_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut rows = Vec::new();
    let state = m::delete_topics_request::DeleteTopicState::default;
    for (asked, state, expected) in [
        (
            "delete no name",
            state().with_name(Some(topic_name("no-topic"))),
            E::UnknownTopicOrPartition,
        ),
        (
            "delete no id",
            state().with_name(None).with_topic_id(wire::Uuid::from_u128(77)),
            E::UnknownTopicId,
        ),
    ] {
        let body =
            m::DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(9_000);
        let answer: m::DeleteTopicsResponse = connection.ask(key::DELETE_TOPICS, 6, &body);
        rows.push((asked, answer.responses[0].error_code, expected));
    }
    for (asked, name, count, expected) in [
        ("as many partitions as there are", world.topic.as_str(), 1, E::InvalidPartitions),
        ("no partitions", world.topic.as_str(), 0, E::InvalidPartitions),
        ("partitions of no topic", "no-topic", 5, E::UnknownTopicOrPartition),
    ] {
        let topic = m::create_partitions_request::CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(None);
        let body = m::CreatePartitionsRequest::default().with_topics(vec![topic]);
        let body = body.with_timeout_ms(9_000);
        let answer: m::CreatePartitionsResponse = connection.ask(key::CREATE_PARTITIONS, 3, &body);
        rows.push((asked, answer.results[0].error_code, expected));
    }
    rows
}

fn described_topic_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut rows = Vec::new();
    for (asked, name, expected) in [
        ("metadata of no topic", "no-topic", E::UnknownTopicOrPartition),
        ("metadata of a bad name", "bad name", E::InvalidTopicException),
    ] {
        let body = requests::metadata(name).with_allow_auto_topic_creation(false);
        let answer: m::MetadataResponse = connection.ask(key::METADATA, 12, &body);
        rows.push((asked, answer.topics[0].error_code, expected));
        let topic = m::describe_topic_partitions_request::TopicRequest::default();
        let body = m::DescribeTopicPartitionsRequest::default()
            .with_topics(vec![topic.with_name(topic_name(name))])
            .with_response_partition_limit(100);
        let answer: m::DescribeTopicPartitionsResponse =
            connection.ask(key::DESCRIBE_TOPIC_PARTITIONS, 0, &body);
        rows.push((asked, answer.topics[0].error_code, expected));
    }
    for (asked, name, kind, expected) in [
        ("an election that is not needed", world.topic.as_str(), 0, E::ElectionNotNeeded),
        ("an election of no topic", "no-topic", 0, E::UnknownTopicOrPartition),
    ] {
        let topic = m::elect_leaders_request::TopicPartitions::default()
            .with_topic(topic_name(name))
            .with_partitions(vec![0]);
        let body = m::ElectLeadersRequest::default()
            .with_topic_partitions(Some(vec![topic]))
            .with_election_type(kind)
            .with_timeout_ms(9_000);
        let answer: m::ElectLeadersResponse = connection.ask(key::ELECT_LEADERS, 2, &body);
        let result = &answer.replica_election_results[0].partition_result[0];
        rows.push((asked, result.error_code, expected));
    }
    rows
}

fn config_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let mut rows = Vec::new();
    let topic = world.topic.as_str();
    for (asked, kind, name, expected) in [
        ("configuration of a topic", 2, topic, E::None),
        ("configuration of no topic", 2, "no-topic", E::UnknownTopicOrPartition),
        ("configuration of a bad name", 2, "bad name", E::InvalidTopicException),
        ("configuration of this broker", 4, "1", E::None),
        ("configuration of another broker", 4, "99", E::InvalidRequest),
        ("configuration of a broker without a number", 4, "one", E::InvalidRequest),
        ("configuration of all brokers", 4, "", E::None),
    ] {
        // Brokers describe themselves only.
        if kind == 4 && name == "1" {
            continue;
        }
        let resource = m::describe_configs_request::DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(None);
        let body = m::DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer: m::DescribeConfigsResponse = connection.ask(key::DESCRIBE_CONFIGS, 4, &body);
        rows.push((asked, answer.results[0].error_code, expected));
    }
    const SET: i8 = 0;
    const APPEND: i8 = 2;
    let value = |value: &'static str| Some(StrBytes::from_static_str(value));
    for (asked, name, setting, operation, value, expected) in [
        ("set a setting", topic, "retention.ms", SET, value("1000000"), E::None),
        (
            "set one of no topic",
            "no-topic",
            "retention.ms",
            SET,
            value("1"),
            E::UnknownTopicOrPartition,
        ),
        ("set an unknown setting", topic, "no.such.setting", SET, value("1"), E::InvalidConfig),
        ("set a bad value", topic, "retention.ms", SET, value("soon"), E::InvalidConfig),
        ("set a value out of range", topic, "retention.ms", SET, value("-5"), E::InvalidConfig),
        ("set nothing", topic, "retention.ms", SET, None, E::InvalidRequest),
        ("append to a number", topic, "retention.ms", APPEND, value("1"), E::InvalidConfig),
    ] {
        use m::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
        let config = AlterableConfig::default()
            .with_name(text(setting))
            .with_config_operation(operation)
            .with_value(value);
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(name))
            .with_configs(vec![config]);
        let body = m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer: m::IncrementalAlterConfigsResponse =
            connection.ask(key::INCREMENTAL_ALTER_CONFIGS, 1, &body);
        rows.push((asked, answer.responses[0].error_code, expected));
    }
    rows
}

/// Waits until the group has a coordinator that has loaded it, and connects to that.
fn coordinator(connection: &mut Connection, group: &GroupId) -> Connection {
    eventually("the group has a coordinator", || {
        let body =
            m::FindCoordinatorRequest::default().with_coordinator_keys(vec![group.0.clone()]);
        let answer: m::FindCoordinatorResponse = connection.ask(key::FIND_COORDINATOR, 4, &body);
        let found = answer.coordinators.first().filter(|found| found.error_code == 0)?;
        let mut coordinator = Connection::to(u16::try_from(found.port).expect("a port"));
        let body = m::DescribeGroupsRequest::default().with_groups(vec![group.clone()]);
        let answer: m::DescribeGroupsResponse = coordinator.ask(key::DESCRIBE_GROUPS, 5, &body);
        (answer.groups[0].error_code == 0).then_some(coordinator)
    })
}

fn group_rows(connection: &mut Connection, world: &World) -> Vec<Row> {
    use ErrorCode as E;
    let group = GroupId(text(&world.group));
    let connection = &mut coordinator(connection, &group);
    let mut join = |group: &GroupId, member: &str, session_timeout_ms, protocols: bool| {
        let protocol = m::join_group_request::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
        let body = m::JoinGroupRequest::default()
            .with_group_id(group.clone())
            .with_member_id(text(member))
            .with_session_timeout_ms(session_timeout_ms)
            .with_rebalance_timeout_ms(60_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(if protocols { vec![protocol] } else { vec![] });
        let answer: m::JoinGroupResponse = connection.ask(key::JOIN_GROUP, 9, &body);
        answer.error_code
    };
    let nameless = GroupId(text(""));
    let mut rows = vec![
        ("join without a member id", join(&group, "", 10_000, true), E::MemberIdRequired),
        ("join as nobody", join(&group, "nobody", 10_000, true), E::UnknownMemberId),
        ("join a group without a name", join(&nameless, "", 10_000, true), E::InvalidGroupId),
        ("join for a blink", join(&group, "", 1, true), E::InvalidSessionTimeout),
        ("join without a protocol", join(&group, "", 10_000, false), E::InconsistentGroupProtocol),
    ];
    let stranger = GroupId(text("never-heard-of"));
    let elsewhere = &mut coordinator(connection, &stranger);
    for (asked, group, expected) in [
        ("heartbeat of nobody", &group, E::UnknownMemberId),
        ("heartbeat in no group", &stranger, E::UnknownMemberId),
        ("heartbeat in a group without a name", &nameless, E::InvalidGroupId),
    ] {
        let body = m::HeartbeatRequest::default().with_group_id(group.clone());
        let body = body.with_member_id(text("nobody")).with_generation_id(1);
        let asked_of = if *group == stranger { &mut *elsewhere } else { &mut *connection };
        let answer: m::HeartbeatResponse = asked_of.ask(key::HEARTBEAT, 4, &body);
        rows.push((asked, answer.error_code, expected));
    }
    let body = m::SyncGroupRequest::default().with_group_id(stranger.clone());
    let body = body.with_member_id(text("nobody")).with_generation_id(1);
    let body =
        body.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text("range")));
    let answer: m::SyncGroupResponse = elsewhere.ask(key::SYNC_GROUP, 5, &body);
    rows.push(("sync in no group", answer.error_code, E::UnknownMemberId));
    let member = m::leave_group_request::MemberIdentity::default().with_member_id(text("nobody"));
    let body = m::LeaveGroupRequest::default().with_group_id(group.clone());
    let body = body.with_members(vec![member]);
    let answer: m::LeaveGroupResponse = connection.ask(key::LEAVE_GROUP, 5, &body);
    rows.push(("leave as nobody", answer.error_code, E::None));
    rows.push(("nobody's own leave", answer.members[0].error_code, E::UnknownMemberId));
    rows.extend(committed_rows(connection, world, &group));
    for (asked, version, expected) in [
        ("describe no group before version 6", 5, E::None),
        ("describe no group", 6, E::GroupIdNotFound),
    ] {
        let body = m::DescribeGroupsRequest::default().with_groups(vec![stranger.clone()]);
        let answer: m::DescribeGroupsResponse = elsewhere.ask(key::DESCRIBE_GROUPS, version, &body);
        rows.push((asked, answer.groups[0].error_code, expected));
    }
    let body = m::DeleteGroupsRequest::default().with_groups_names(vec![stranger]);
    let answer: m::DeleteGroupsResponse = elsewhere.ask(key::DELETE_GROUPS, 2, &body);
    rows.push(("delete no group", answer.results[0].error_code, E::GroupIdNotFound));
    rows
}

fn committed_rows(connection: &mut Connection, world: &World, group: &GroupId) -> Vec<Row> {
    use ErrorCode as E;
    use m::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let huge = "m".repeat(5_000);
    let mut rows = Vec::new();
    for (asked, topic, member, generation, metadata, expected) in [
        ("commit without a group's members", world.topic.as_str(), "", -1, "", E::None),
        ("commit for no topic", "no-topic", "", -1, "", E::UnknownTopicOrPartition),
        (
            "commit in a generation that never was",
            world.topic.as_str(),
            "nobody",
            5,
            "",
            E::UnknownMemberId,
        ),
        (
            "commit with much to say",
            world.topic.as_str(),
            "",
            -1,
            huge.as_str(),
            E::OffsetMetadataTooLarge,
        ),
    ] {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(1)
            .with_committed_metadata(Some(text(metadata)));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![partition]);
        let body = m::OffsetCommitRequest::default()
            .with_group_id(group.clone())
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(generation)
            .with_topics(vec![topic]);
        let answer: m::OffsetCommitResponse = connection.ask(key::OFFSET_COMMIT, 9, &body);
        rows.push((asked, answer.topics[0].partitions[0].error_code, expected));
    }
    rows
}
