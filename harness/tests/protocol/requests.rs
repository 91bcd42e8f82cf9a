//! A sound request of every API that the brokers serve, in every version.

use bytes::Bytes;
use wire::api::key;
use wire::batch::{BatchBuilder, Compression};
use wire::frame;
use wire::messages as m;
use wire::messages::{BrokerId, GroupId, ProducerId, TopicName};
use wire::{Encodable, StrBytes, Uuid};

/// What requests name.
#[derive(Clone, Debug)]
pub struct World {
    pub cluster_id: String,
    pub topic: String,
    pub topic_id: Uuid,
    /// A topic that may be deleted and altered.
    pub doomed: String,
    pub group: String,
}

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_string())
}

pub fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// A batch of records with these values, without keys, made now or at another fixed time.
pub fn batch(values: &[&[u8]], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value), &[]);
    }
    builder.build(0, -1)
}

/// Produce to partition 0 of one topic, addressed as the version does it.
pub fn produce(world: &World, version: i16, acks: i16, records: Bytes) -> m::ProduceRequest {
    use m::produce_request::{PartitionProduceData, TopicProduceData};
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_partition_data(vec![data]);
    let topic = match version {
        ..13 => topic.with_name(topic_name(&world.topic)),
        _ => topic.with_topic_id(world.topic_id),
    };
    m::ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// Fetch from partition 0 of one topic without a session, addressed as the version does it.
pub fn fetch(world: &World, version: i16, offset: i64, max_wait_ms: i32) -> m::FetchRequest {
    use m::fetch_request::{FetchPartition, FetchTopic};
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_current_leader_epoch(-1)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic = match version {
        ..13 => topic.with_topic(topic_name(&world.topic)),
        _ => topic.with_topic_id(world.topic_id),
    };
    m::FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

pub fn create_topic(name: &str, replicas: i16) -> m::CreateTopicsRequest {
    let topic = m::create_topics_request::CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(1)
        .with_replication_factor(replicas);
    m::CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000)
}

pub fn metadata(topic: &str) -> m::MetadataRequest {
    let topic =
        m::metadata_request::MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    m::MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(true)
}

/// A whole request of any API that either listener serves.
pub fn example(world: &World, api_key: i16, version: i16) -> Bytes {
    let write = Write { api_key, version };
    match api_key {
        key::PRODUCE => {
            let records = batch(&[b"one", b"two"], Compression::Zstd);
            let records = if version >= 7 { records } else { batch(&[b"one"], Compression::Gzip) };
            write.body(&produce(world, version, -1, records))
        }
        key::FETCH => write.body(&fetch(world, version, 0, 10)),
        key::METADATA => write.body(&metadata(&world.topic)),
        key::CREATE_TOPICS => write.body(&create_topic(&world.doomed, -1)),
        key::OFFSET_COMMIT..=key::SYNC_GROUP
        | key::DESCRIBE_GROUPS
        | key::LIST_GROUPS
        | key::DELETE_GROUPS => group(world, write),
        key::LIST_OFFSETS | key::OFFSET_FOR_LEADER_EPOCH => offsets(world, write),
        key::VOTE
        | key::BEGIN_QUORUM_EPOCH
        | key::END_QUORUM_EPOCH
        | key::FETCH_SNAPSHOT
        | key::DESCRIBE_QUORUM => quorum(world, write),
        key::ALTER_PARTITION
        | key::ENVELOPE
        | key::BROKER_REGISTRATION
        | key::BROKER_HEARTBEAT
        | key::UNREGISTER_BROKER
        | key::ALLOCATE_PRODUCER_IDS
        | key::CONTROLLER_REGISTRATION => between_nodes(world, write),
        _ => administration(world, write),
    }
}

#[derive(Clone, Copy)]
struct Write {
    api_key: i16,
    version: i16,
}

impl Write {
    fn body(self, body: &impl Encodable) -> Bytes {
        frame::encode_request(self.api_key, self.version, 7, "example", body)
            .unwrap_or_else(|error| panic!("{} version {}: {error}", self.api_key, self.version))
    }
}

fn group(world: &World, write: Write) -> Bytes {
    let group = GroupId(text(&world.group));
    let version = write.version;
    match write.api_key {
        key::OFFSET_COMMIT => {
            use m::offset_commit_request::*;
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(0)
                .with_committed_offset(1);
            let topic = OffsetCommitRequestTopic::default()
                .with_name(topic_name(&world.topic))
                .with_partitions(vec![partition]);
            let body = m::OffsetCommitRequest::default().with_group_id(group);
            write.body(&body.with_topics(vec![topic]))
        }
        key::OFFSET_FETCH if version >= 8 => {
            use m::offset_fetch_request::*;
            let topic = OffsetFetchRequestTopics::default()
                .with_name(topic_name(&world.topic))
                .with_partition_indexes(vec![0]);
            let group = OffsetFetchRequestGroup::default().with_group_id(group);
            let group = group.with_topics(Some(vec![topic]));
            write.body(&m::OffsetFetchRequest::default().with_groups(vec![group]))
        }
        key::OFFSET_FETCH => {
            use m::offset_fetch_request::OffsetFetchRequestTopic;
            let topic = OffsetFetchRequestTopic::default()
                .with_name(topic_name(&world.topic))
                .with_partition_indexes(vec![0]);
            let body = m::OffsetFetchRequest::default().with_group_id(group);
            write.body(&body.with_topics(Some(vec![topic])))
        }
        key::FIND_COORDINATOR => {
            let body = m::FindCoordinatorRequest::default();
            write.body(&match version {
                ..4 => body.with_key(group.0),
                _ => body.with_coordinator_keys(vec![group.0]),
            })
        }
        key::JOIN_GROUP => {
            let protocol = m::join_group_request::JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
            // A group for each version: nobody waits there for the member that another version left behind.
            let body = m::JoinGroupRequest::default()
                .with_group_id(GroupId(text(&format!("{}-{version}", world.group))))
                .with_session_timeout_ms(6_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol]);
            write.body(&if version >= 1 { body.with_rebalance_timeout_ms(6_000) } else { body })
        }
        key::HEARTBEAT => {
            let body = m::HeartbeatRequest::default().with_group_id(group).with_generation_id(1);
            write.body(&body.with_member_id(text("nobody")))
        }
        key::LEAVE_GROUP => {
            let member =
                m::leave_group_request::MemberIdentity::default().with_member_id(text("nobody"));
            let body = m::LeaveGroupRequest::default().with_group_id(group);
            write.body(&match version {
                ..3 => body.with_member_id(member.member_id),
                _ => body.with_members(vec![member]),
            })
        }
        key::SYNC_GROUP => {
            let body = m::SyncGroupRequest::default().with_group_id(group).with_generation_id(1);
            write.body(&body.with_member_id(text("nobody")))
        }
        key::DESCRIBE_GROUPS => {
            write.body(&m::DescribeGroupsRequest::default().with_groups(vec![group]))
        }
        key::LIST_GROUPS => write.body(&m::ListGroupsRequest::default()),
        key::DELETE_GROUPS => {
            write.body(&m::DeleteGroupsRequest::default().with_groups_names(vec![group]))
        }
        other => unreachable!("API {other} is not about groups"),
    }
}

fn offsets(world: &World, write: Write) -> Bytes {
    if write.api_key == key::LIST_OFFSETS {
        use m::list_offsets_request::*;
        let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-1);
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name(&world.topic))
            .with_partitions(vec![partition.with_current_leader_epoch(-1)]);
        let body = m::ListOffsetsRequest::default().with_replica_id(BrokerId(-1));
        return write.body(&body.with_topics(vec![topic]));
    }
    use m::offset_for_leader_epoch_request::*;
    let partition = OffsetForLeaderPartition::default().with_partition(0).with_leader_epoch(0);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(&world.topic))
        .with_partitions(vec![partition.with_current_leader_epoch(-1)]);
    write.body(&m::OffsetForLeaderEpochRequest::default().with_topics(vec![topic]))
}

fn administration(world: &World, write: Write) -> Bytes {
    let version = write.version;
    match write.api_key {
        key::API_VERSIONS => {
            let body = m::ApiVersionsRequest::default();
            write.body(&match version {
                ..3 => body,
                _ => body
                    .with_client_software_name(text("protocol"))
                    .with_client_software_version(text("1")),
            })
        }
        key::DELETE_TOPICS => {
            let body = m::DeleteTopicsRequest::default().with_timeout_ms(1_000);
            let name = topic_name(&world.doomed);
            let state = m::delete_topics_request::DeleteTopicState::default();
            write.body(&match version {
                ..6 => body.with_topic_names(vec![name]),
                _ => body.with_topics(vec![state.with_name(Some(name))]),
            })
        }
        key::INIT_PRODUCER_ID => {
            let body = m::InitProducerIdRequest::default().with_transactional_id(None);
            write.body(&match version {
                ..3 => body,
                _ => body.with_producer_id(ProducerId(-1)).with_producer_epoch(-1),
            })
        }
        key::DESCRIBE_CONFIGS => {
            let resource = m::describe_configs_request::DescribeConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(&world.topic))
                .with_configuration_keys(None);
            write.body(&m::DescribeConfigsRequest::default().with_resources(vec![resource]))
        }
        key::CREATE_PARTITIONS => {
            let topic = m::create_partitions_request::CreatePartitionsTopic::default()
                .with_name(topic_name(&world.doomed))
                .with_count(2)
                .with_assignments(None);
            let body = m::CreatePartitionsRequest::default().with_topics(vec![topic]);
            write.body(&body.with_timeout_ms(1_000))
        }
        key::ELECT_LEADERS => {
            let topic = m::elect_leaders_request::TopicPartitions::default()
                .with_topic(topic_name(&world.topic))
                .with_partitions(vec![0]);
            let body = m::ElectLeadersRequest::default().with_timeout_ms(1_000);
            write.body(&body.with_topic_partitions(Some(vec![topic])))
        }
        key::INCREMENTAL_ALTER_CONFIGS => {
            use m::incremental_alter_configs_request::*;
            let config = AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("86400000")));
            let resource = AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name(text(&world.doomed))
                .with_configs(vec![config]);
            write.body(&m::IncrementalAlterConfigsRequest::default().with_resources(vec![resource]))
        }
        key::LIST_PARTITION_REASSIGNMENTS => {
            let body = m::ListPartitionReassignmentsRequest::default();
            write.body(&body.with_timeout_ms(1_000).with_topics(None))
        }
        key::DESCRIBE_CLUSTER => write.body(&m::DescribeClusterRequest::default()),
        key::DESCRIBE_TOPIC_PARTITIONS => {
            let topic = m::describe_topic_partitions_request::TopicRequest::default();
            let body = m::DescribeTopicPartitionsRequest::default()
                .with_topics(vec![topic.with_name(topic_name(&world.topic))]);
            write.body(&body.with_response_partition_limit(100))
        }
        other => unreachable!("API {other} has no example: add one"),
    }
}

const METADATA_TOPIC: &str = "__cluster_metadata";

fn quorum(world: &World, write: Write) -> Bytes {
    let cluster_id = Some(text(&world.cluster_id));
    let version = write.version;
    match write.api_key {
        key::VOTE => {
            use m::vote_request::{PartitionData, TopicData};
            // A voter of the last epoch that there was: refused, whoever is asked.
            let partition = PartitionData::default().with_replica_id(BrokerId(2));
            let topic = TopicData::default()
                .with_topic_name(topic_name(METADATA_TOPIC))
                .with_partitions(vec![partition]);
            let body = m::VoteRequest::default().with_cluster_id(cluster_id);
            let body = if version >= 1 { body.with_voter_id(BrokerId(1)) } else { body };
            write.body(&body.with_topics(vec![topic]))
        }
        key::BEGIN_QUORUM_EPOCH => {
            use m::begin_quorum_epoch_request::{PartitionData, TopicData};
            let topic = TopicData::default()
                .with_topic_name(topic_name(METADATA_TOPIC))
                .with_partitions(vec![PartitionData::default().with_leader_id(BrokerId(2))]);
            let body = m::BeginQuorumEpochRequest::default().with_cluster_id(cluster_id);
            let body = if version >= 1 { body.with_voter_id(BrokerId(1)) } else { body };
            write.body(&body.with_topics(vec![topic]))
        }
        key::END_QUORUM_EPOCH => {
            use m::end_quorum_epoch_request::{PartitionData, TopicData};
            let topic = TopicData::default()
                .with_topic_name(topic_name(METADATA_TOPIC))
                .with_partitions(vec![PartitionData::default().with_leader_id(BrokerId(2))]);
            let body = m::EndQuorumEpochRequest::default().with_cluster_id(cluster_id);
            write.body(&body.with_topics(vec![topic]))
        }
        key::FETCH_SNAPSHOT => {
            use m::fetch_snapshot_request::{PartitionSnapshot, SnapshotId, TopicSnapshot};
            let partition = PartitionSnapshot::default()
                .with_current_leader_epoch(1)
                .with_snapshot_id(SnapshotId::default());
            let topic = TopicSnapshot::default()
                .with_name(topic_name(METADATA_TOPIC))
                .with_partitions(vec![partition]);
            let body = m::FetchSnapshotRequest::default().with_cluster_id(cluster_id);
            write.body(&body.with_replica_id(BrokerId(2)).with_topics(vec![topic]))
        }
        key::DESCRIBE_QUORUM => {
            use m::describe_quorum_request::{PartitionData, TopicData};
            let topic = TopicData::default()
                .with_topic_name(topic_name(METADATA_TOPIC))
                .with_partitions(vec![PartitionData::default()]);
            write.body(&m::DescribeQuorumRequest::default().with_topics(vec![topic]))
        }
        other => unreachable!("API {other} is not the quorum's"),
    }
}

/// The brokers' and the controllers' own. Their epochs are those of no life: what passes for sound is refused all the same.
fn between_nodes(world: &World, write: Write) -> Bytes {
    match write.api_key {
        key::ALTER_PARTITION => {
            use m::alter_partition_request::{BrokerState, PartitionData, TopicData};
            let partition = PartitionData::default();
            let partition = match write.version {
                ..3 => partition.with_new_isr(vec![BrokerId(1)]),
                _ => partition.with_new_isr_with_epochs(vec![
                    BrokerState::default().with_broker_id(BrokerId(1)).with_broker_epoch(1),
                ]),
            };
            let topic =
                TopicData::default().with_topic_id(world.topic_id).with_partitions(vec![partition]);
            let body = m::AlterPartitionRequest::default().with_broker_id(BrokerId(1));
            write.body(&body.with_broker_epoch(1).with_topics(vec![topic]))
        }
        key::ENVELOPE => {
            let inner = example(world, key::CREATE_TOPICS, 7);
            let body = m::EnvelopeRequest::default()
                .with_request_data(inner)
                .with_request_principal(None)
                .with_client_host_address(Bytes::from_static(&[127, 0, 0, 1]));
            write.body(&body)
        }
        key::BROKER_REGISTRATION => {
            use m::broker_registration_request::{Feature, Listener};
            let listener = Listener::default()
                .with_name(text("PLAINTEXT"))
                .with_host(text("127.0.0.1"))
                .with_port(1);
            let feature = Feature::default()
                .with_name(text("metadata.version"))
                .with_max_supported_version(1);
            let body = m::BrokerRegistrationRequest::default()
                .with_broker_id(BrokerId(1))
                .with_cluster_id(text("another cluster"))
                .with_listeners(vec![listener]);
            write.body(&body.with_features(vec![feature]))
        }
        key::BROKER_HEARTBEAT => {
            let body = m::BrokerHeartbeatRequest::default().with_broker_id(BrokerId(1));
            write.body(&body.with_broker_epoch(1).with_want_fence(true))
        }
        key::UNREGISTER_BROKER => {
            write.body(&m::UnregisterBrokerRequest::default().with_broker_id(BrokerId(99)))
        }
        key::ALLOCATE_PRODUCER_IDS => {
            let body = m::AllocateProducerIdsRequest::default().with_broker_id(BrokerId(1));
            write.body(&body.with_broker_epoch(1))
        }
        key::CONTROLLER_REGISTRATION => {
            use m::controller_registration_request::Listener;
            let listener = Listener::default()
                .with_name(text("CONTROLLER"))
                .with_host(text("127.0.0.1"))
                .with_port(1);
            let body = m::ControllerRegistrationRequest::default().with_controller_id(99);
            write.body(&body.with_listeners(vec![listener]))
        }
        other => unreachable!("API {other} is not one between nodes"),
    }
}

/// Decodes a response of any API, to see that it is one.
pub fn check_response(api_key: i16, version: i16, body: &mut Bytes) -> Result<(), String> {
    macro_rules! responses {
        ($($key:ident => $type:ident,)*) => {
            match api_key {
                $(key::$key => frame::decode::<m::$type>(body, version).map(drop),)*
                other => return Err(format!("an answer to API {other}, which nobody serves")),
            }
        };
    }
    let decoded = responses! {
        PRODUCE => ProduceResponse,
        FETCH => FetchResponse,
        LIST_OFFSETS => ListOffsetsResponse,
        METADATA => MetadataResponse,
        OFFSET_COMMIT => OffsetCommitResponse,
        OFFSET_FETCH => OffsetFetchResponse,
        FIND_COORDINATOR => FindCoordinatorResponse,
        JOIN_GROUP => JoinGroupResponse,
        HEARTBEAT => HeartbeatResponse,
        LEAVE_GROUP => LeaveGroupResponse,
        SYNC_GROUP => SyncGroupResponse,
        DESCRIBE_GROUPS => DescribeGroupsResponse,
        LIST_GROUPS => ListGroupsResponse,
        API_VERSIONS => ApiVersionsResponse,
        CREATE_TOPICS => CreateTopicsResponse,
        DELETE_TOPICS => DeleteTopicsResponse,
        INIT_PRODUCER_ID => InitProducerIdResponse,
        OFFSET_FOR_LEADER_EPOCH => OffsetForLeaderEpochResponse,
        DESCRIBE_CONFIGS => DescribeConfigsResponse,
        CREATE_PARTITIONS => CreatePartitionsResponse,
        DELETE_GROUPS => DeleteGroupsResponse,
        ELECT_LEADERS => ElectLeadersResponse,
        INCREMENTAL_ALTER_CONFIGS => IncrementalAlterConfigsResponse,
        LIST_PARTITION_REASSIGNMENTS => ListPartitionReassignmentsResponse,
        VOTE => VoteResponse,
        BEGIN_QUORUM_EPOCH => BeginQuorumEpochResponse,
        END_QUORUM_EPOCH => EndQuorumEpochResponse,
        DESCRIBE_QUORUM => DescribeQuorumResponse,
        ALTER_PARTITION => AlterPartitionResponse,
        ENVELOPE => EnvelopeResponse,
        FETCH_SNAPSHOT => FetchSnapshotResponse,
        DESCRIBE_CLUSTER => DescribeClusterResponse,
        BROKER_REGISTRATION => BrokerRegistrationResponse,
        BROKER_HEARTBEAT => BrokerHeartbeatResponse,
        UNREGISTER_BROKER => UnregisterBrokerResponse,
        ALLOCATE_PRODUCER_IDS => AllocateProducerIdsResponse,
        CONTROLLER_REGISTRATION => ControllerRegistrationResponse,
        DESCRIBE_TOPIC_PARTITIONS => DescribeTopicPartitionsResponse,
    };
    decoded.map_err(|error| error.to_string())
}
