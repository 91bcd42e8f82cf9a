//! Whole nodes in a make-believe world.

mod world;

use bytes::Bytes;
use proptest::prelude::*;
use wire::api::key;
use wire::batch::{BatchBuilder, Compression};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::find_coordinator_response::FindCoordinatorResponse;
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse,
    FetchRequest, FetchResponse, FindCoordinatorRequest, InitProducerIdRequest,
    InitProducerIdResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    TopicName,
};

use crate::api::text;
use crate::context::Listener;
use crate::metrics::Measured;
use world::World;

fn topic_name() -> TopicName {
    TopicName(text("orders"))
}

fn create_topic(world: &mut World, node: i32, partitions: i32, replicas: i16) {
    let topic = CreatableTopic::default()
        .with_name(topic_name())
        .with_num_partitions(partitions)
        .with_replication_factor(replicas);
    let body = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    let response: CreateTopicsResponse = world.ask(node, key::CREATE_TOPICS, 7, &body);
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    // The brokers hear of it a little later, and open their logs.
    world.run_for(100);
}

fn metadata(world: &mut World, node: i32) -> MetadataResponse {
    let body = MetadataRequest::default().with_topics(None);
    world.ask(node, key::METADATA, 12, &body)
}

/// The leader of partition 0 as `node` tells it.
fn leader(world: &mut World, node: i32) -> i32 {
    let response = metadata(world, node);
    response.topics.first().map_or(-1, |topic| topic.partitions[0].leader_id.0)
}

fn produce(world: &mut World, node: i32, value: &str) -> (i16, i64) {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(world::WALL_MS, None, Some(value.as_bytes()), &[]);
    let records = builder.build(0, 0);
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic =
        TopicProduceData::default().with_name(topic_name()).with_partition_data(vec![partition]);
    let body =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(3_000).with_topic_data(vec![topic]);
    let response: ProduceResponse = world.ask(node, key::PRODUCE, 9, &body);
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

/// High watermark and the number of bytes of partition 0.
fn fetch(world: &mut World, node: i32) -> (i64, usize) {
    let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name()).with_partitions(vec![partition]);
    let body = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(10)
        .with_min_bytes(1)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let response: FetchResponse = world.ask(node, key::FETCH, 12, &body);
    let answer = &response.responses[0].partitions[0];
    assert_eq!(answer.error_code, 0, "{answer:?} {}", world.said(node));
    (answer.high_watermark, answer.records.as_ref().map_or(0, Bytes::len))
}

#[test]
fn one_node_formats_itself_serves_and_keeps_what_it_was_given() {
    let mut world = World::new(1);
    world.start(1);
    create_topic(&mut world, 1, 2, 1);
    assert_eq!(produce(&mut world, 1, "a"), (0, 0));
    assert_eq!(produce(&mut world, 1, "b"), (0, 1));
    let (high_watermark, bytes) = fetch(&mut world, 1);
    assert_eq!(high_watermark, 2);
    let meta = world.file(1, "meta.properties");
    world.kill(1);
    world.start(1);
    assert_eq!(fetch(&mut world, 1), (2, bytes), "after a crash");
    assert_eq!(world.shut_down(1), Some(0));
    assert!(world.file(1, ".kafka_cleanshutdown").is_some());
    world.start(1);
    assert_eq!(fetch(&mut world, 1), (2, bytes), "after a clean stop");
    assert_eq!(world.file(1, "meta.properties"), meta);
    assert!(world.file(1, ".kafka_cleanshutdown").is_none(), "it speaks for one start only");
}

#[test]
fn a_node_measures_what_it_is_part_of() {
    let mut world = World::new(1);
    world.boot(1);
    let unread = world.node_mut(1).metrics();
    assert_eq!((unread.replicas, unread.quorum), (None, None), "nothing is read yet");
    world.run_for(1_000);
    create_topic(&mut world, 1, 2, 1);
    let metrics = world.node_mut(1).metrics();
    let replicas = metrics.replicas.expect("a broker");
    assert_eq!((replicas.partitions, replicas.leaders, replicas.under_replicated), (2, 2, 0));
    let controller = metrics.controller.expect("a controller");
    assert_eq!((controller.is_active, controller.offline_partitions), (true, 0));
    let quorum = metrics.quorum.expect("a member");
    assert_eq!((quorum.leader, quorum.state), (1, "leader"));
    assert!(0 < quorum.high_watermark && quorum.high_watermark <= quorum.log_end_offset);
}

#[test]
fn partitions_without_a_leader_are_offline() {
    let mut world = World::new(3);
    world.start_all();
    create_topic(&mut world, 1, 1, 1);
    let first = leader(&mut world, 1);
    world.kill(first);
    let survivor = (1..=3).find(|id| *id != first).expect("two survive");
    let killed_ms = world.now_ms();
    while world.node_mut(survivor).metrics().controller.map(|told| told.offline_partitions)
        != Some(1)
    {
        let late = world.now_ms() >= killed_ms + 1_000;
        assert!(!late, "it is not offline after a second: {}", world.said(survivor));
        world.run_for(10);
    }
}

/// Seeded defect: the controller does not wait until its records are committed.
#[test]
fn answer_before_commit_speaks_while_nothing_is_synced() {
    let answered = |properties| {
        let mut world = World::with(1, properties);
        world.start(1);
        world.hang_disks();
        let topic = CreatableTopic::default()
            .with_name(topic_name())
            .with_num_partitions(1)
            .with_replication_factor(1);
        let body = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        let request = wire::frame::encode_request(key::CREATE_TOPICS, 7, 1, "test", &body);
        world.throw(1, Listener::Broker, request.expect("encodes"));
        world.answers()
    };
    assert_eq!(answered(""), 0);
    assert_eq!(answered("highwater.defects=answer-before-commit\n"), 1);
}

#[test]
fn a_killed_leader_and_controller_is_replaced_at_once_and_comes_back() {
    let mut world = World::new(3);
    world.start_all();
    create_topic(&mut world, 1, 1, 3);
    let first = leader(&mut world, 1);
    assert_eq!(produce(&mut world, first, "a"), (0, 0));
    let controller = world.controller().expect("a controller");
    for victim in [first, controller] {
        start_dead(&mut world);
        let killed_ms = world.now_ms();
        world.kill(victim);
        let survivor = (1..=3).find(|id| *id != victim).expect("two survive");
        while [-1, victim].contains(&leader(&mut world, survivor)) || world.controller().is_none() {
            let late = world.now_ms() >= killed_ms + 500;
            assert!(!late, "no new leader in half a second: {}", world.said(survivor));
            world.run_for(10);
        }
    }
    let present = (1..=3).find(|id| world.is_alive(*id)).expect("two survive");
    let present = leader(&mut world, present);
    let (error, _) = produce(&mut world, present, "b");
    assert_eq!(error, 0);
    start_dead(&mut world);
    let response = metadata(&mut world, present);
    assert_eq!(response.topics[0].partitions[0].isr_nodes.len(), 3, "{response:?}");
    assert_eq!(fetch(&mut world, present).0, 2);
}

fn start_dead(world: &mut World) {
    for id in 1..=3 {
        if !world.is_alive(id) {
            world.start(id);
        }
    }
    world.run_for(5_000);
}

#[test]
fn any_broker_forwards_to_the_active_controller() {
    let mut world = World::new(3);
    world.start_all();
    let other = (1..=3).find(|id| Some(*id) != world.controller()).expect("three nodes");
    create_topic(&mut world, other, 1, 3);
    world.run_for(100);
    assert!(leader(&mut world, other) > 0);
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut world = World::new(3);
    world.start_all();
    let mut given = std::collections::BTreeSet::new();
    for node in [1, 2, 3, 1, 2, 3] {
        let body = InitProducerIdRequest::default().with_transactional_id(None);
        let response: InitProducerIdResponse = world.ask(node, key::INIT_PRODUCER_ID, 4, &body);
        assert_eq!(response.error_code, 0);
        assert!(given.insert(response.producer_id.0));
    }
}

#[test]
fn the_offsets_topic_is_made_when_somebody_looks_for_a_coordinator() {
    let mut world = World::new(1);
    world.start(1);
    let body = FindCoordinatorRequest::default().with_key(text("group"));
    let first: FindCoordinatorResponse = world.ask(1, key::FIND_COORDINATOR, 3, &body);
    assert_eq!(first.error_code, 15, "COORDINATOR_NOT_AVAILABLE");
    world.run_for(500);
    let then: FindCoordinatorResponse = world.ask(1, key::FIND_COORDINATOR, 3, &body);
    assert_eq!((then.error_code, then.node_id.0), (0, 1));
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let mut world = World::new(1);
    let meta = "cluster.id=other\ndirectory.id=AAAAAAAAAAAAAAAAAAAAZQ\nnode.id=7\nversion=1\n";
    world.put_file(1, "meta.properties", meta);
    world.boot(1);
    world.run_for(100);
    assert_eq!(world.exit_code(1), Some(1));
    assert!(world.said(1).contains("belongs to node 7"), "{}", world.said(1));
}

#[test]
fn data_without_an_identity_is_refused() {
    let mut world = World::new(1);
    world.put_file(1, "orders-0/00000000000000000000.log", "data");
    world.boot(1);
    world.run_for(100);
    assert_eq!(world.exit_code(1), Some(1));
    assert!(world.said(1).contains("no meta.properties"), "{}", world.said(1));
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let trace = || {
        let mut world = World::new(3);
        world.start_all();
        create_topic(&mut world, 1, 3, 3);
        let first = leader(&mut world, 1);
        produce(&mut world, first, "a");
        world.kill(first);
        world.run_for(2_000);
        world.trace()
    };
    assert_eq!(trace(), trace());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Frames that are anything at all, and frames that begin like a request that is served.
    #[test]
    fn nothing_that_comes_from_outside_brings_a_node_down(
        frames in proptest::collection::vec(
            (any::<bool>(), any::<Option<(u8, u8)>>(), proptest::collection::vec(any::<u8>(), 0..60)),
            1..12,
        )
    ) {
        let mut world = World::new(1);
        world.start(1);
        for (on_broker, head, tail) in frames {
            let listener = if on_broker { Listener::Broker } else { Listener::Controller };
            let mut frame = Vec::new();
            if let Some((api_key, version)) = head {
                frame.extend_from_slice(&[0, api_key % 80, 0, version % 20, 0, 0, 0, 1, 0xff, 0xff]);
            }
            frame.extend_from_slice(&tail);
            world.throw(1, listener, frame.into());
        }
        world.run_for(50);
        let body = ApiVersionsRequest::default();
        let response: ApiVersionsResponse = world.ask(1, key::API_VERSIONS, 0, &body);
        prop_assert_eq!(response.error_code, 0);
    }
}

#[test]
fn a_disk_that_hangs_ends_no_sessions() {
    let mut world = World::new(3);
    world.start_all();
    create_topic(&mut world, 1, 1, 3);
    let controller = world.controller().expect("a controller");
    let brokers = metadata(&mut world, controller).brokers.len();
    world.hang_disks();
    // Several sessions long: heartbeats that change nothing need no disk.
    world.run_for(5_000);
    assert_eq!(world.controller(), Some(controller));
    assert!(!world.said(controller).contains("its session expired"), "{}", world.said(controller));
    world.release_disks();
    world.run_for(1_000);
    assert_eq!(world.controller(), Some(controller));
    assert_eq!(metadata(&mut world, controller).brokers.len(), brokers);
    let leader = leader(&mut world, 1);
    assert_eq!(produce(&mut world, leader, "a"), (0, 0));
}

#[test]
fn nodes_that_are_asked_to_end_together_need_not_wait_for_each_other() {
    for order in [[1, 2, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
        let mut world = World::new(3);
        world.start_all();
        create_topic(&mut world, 1, 6, 3);
        let took_ms = world.shut_down_all(&order);
        for id in order {
            let said = world.said(id);
            assert!(!said.contains("did not release this broker"), "{order:?}, {id}: {said}");
            assert_eq!(world.exit_code(id), Some(0));
        }
        assert!(took_ms < 2_500, "{order:?}: {took_ms} ms");
    }
}

#[test]
fn the_last_node_ends_without_a_controllers_leave() {
    let mut world = World::new(3);
    world.start_all();
    create_topic(&mut world, 1, 6, 3);
    world.kill(1);
    world.kill(2);
    let took_ms = world.shut_down_all(&[3]);
    assert_eq!(world.exit_code(3), Some(0));
    assert!(took_ms < 5_000, "{took_ms} ms: {}", world.said(3));
}

#[test]
fn an_inspection_shows_what_the_protocol_does_not() {
    let mut world = World::new(3);
    world.start_all();
    create_topic(&mut world, 1, 1, 3);
    let leader = leader(&mut world, 1);
    world.node_mut(leader).observe_acknowledgements();
    assert_eq!(produce(&mut world, leader, "a"), (0, 0));
    world.run_for(300);
    let [acknowledged] = world.acknowledged[..] else { panic!("{:?}", world.acknowledged) };
    assert_eq!((acknowledged.base_offset, acknowledged.acks), (0, -1));
    let mut leaders = 0;
    for id in 1..=3 {
        let inspection = world.node_mut(id).inspect();
        let quorum = inspection.quorum.expect("it has long begun");
        assert!(quorum.told && quorum.voters == 3 && quorum.high_watermark.is_some());
        leaders += i32::from(quorum.is_leader);
        assert_eq!(quorum.is_leader, inspection.is_active_controller);
        let broker = inspection.broker.expect("each is a broker");
        assert!(broker.serving && !broker.fenced && broker.epoch.is_some());
        let partition = inspection.partitions().find(|p| p.topic.as_str() == "orders");
        let partition = partition.expect("it is hosted");
        let log = partition.log.expect("it is open");
        assert_eq!((log.log_end_offset(), log.high_watermark()), (1, 1));
        if id == leader {
            assert_eq!(partition.role, crate::inspect::ReplicaRole::Leader);
            assert_eq!(partition.committed_isr.len(), 3);
            assert_eq!(partition.followers().map(|(_, end)| end).collect::<Vec<_>>(), [1, 1]);
        } else {
            assert_eq!(partition.role, crate::inspect::ReplicaRole::Follower);
        }
    }
    assert_eq!(leaders, 1);
}
