//! One broker's coordinator, its offsets partitions in memory, a clock, and what was answered.

use std::collections::BTreeMap;

use bytes::Bytes;
use log::io::IoQueue;
use uuid::Uuid;
use wire::api::key;
use wire::batch::Batch;
use wire::error::ErrorCode;
use wire::frame::RequestHead;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use wire::metadata::{MetadataRecord, PartitionRecord};
use wire::{Encodable, Guarded};

use super::super::{GroupCoordinator, OffsetsLog};
use crate::api::text;
use crate::config::NodeConfig;
use crate::context::{
    ConnId, Context, Listener, Now, Outbox, Request, RequestId, TopicPartitionId,
};
use crate::image::{Changes, MetadataImage};
use crate::replica::{InternalRead, ReplicaEvent};

pub const GROUP: &str = "readers";
pub const PARTITIONS: i32 = 4;

/// The offsets partitions: what was appended, and what the replica manager would still have to say.
#[derive(Default)]
pub struct FakeLog {
    pub batches: BTreeMap<TopicPartitionId, Vec<Batch>>,
    pub high_watermark: BTreeMap<TopicPartitionId, i64>,
    pub events: Vec<ReplicaEvent>,
    /// Appends not yet committed: tag, partition, end offset.
    pub open: Vec<(u64, TopicPartitionId, i64)>,
    pub refuse: Option<ErrorCode>,
}

impl FakeLog {
    pub fn end(&self, id: TopicPartitionId) -> i64 {
        let last = self.batches.get(&id).and_then(|batches| batches.last());
        last.map_or(0, |batch| batch.last_offset() + 1)
    }
}

impl OffsetsLog for FakeLog {
    fn append(
        &mut self,
        _: &mut Context<'_>,
        id: TopicPartitionId,
        batches: Vec<Batch>,
        _: u64,
        tag: u64,
    ) -> Result<i64, ErrorCode> {
        if let Some(error) = self.refuse {
            return Err(error);
        }
        let base = self.end(id);
        for mut batch in batches {
            batch.assign(self.end(id), 1);
            self.batches.entry(id).or_default().push(batch);
        }
        self.open.push((tag, id, self.end(id)));
        Ok(base)
    }

    fn read(&mut self, _: &mut Context<'_>, id: TopicPartitionId, offset: i64, _: u32, tag: u64) {
        // One batch a chunk, to see that reading goes on.
        let batches = self.batches.get(&id).map(Vec::as_slice).unwrap_or_default();
        let batch = batches.iter().find(|batch| batch.last_offset() >= offset);
        let read = InternalRead {
            batches: batch.map(|batch| batch.parts().to_vec()).unwrap_or_default(),
            next_offset: batch.map_or(offset, |batch| batch.last_offset() + 1),
            log_end_offset: self.end(id),
            high_watermark: self.high_watermark.get(&id).copied().unwrap_or(i64::MAX),
        };
        self.events.push(ReplicaEvent::ReadDone { tag, result: Ok(read) });
    }

    fn log_start_offset(&self, _: TopicPartitionId) -> Option<i64> {
        Some(0)
    }
}

pub struct World {
    pub groups: GroupCoordinator,
    pub log: FakeLog,
    pub now: Now,
    pub image: MetadataImage,
    pub config: NodeConfig,
    next_slot: u64,
    heads: BTreeMap<u64, RequestHead>,
    answers: BTreeMap<u64, Bytes>,
}

pub fn offsets_topic() -> Uuid {
    Uuid::from_u128(77)
}

impl World {
    /// The broker leads all partitions and has loaded them.
    pub fn new() -> World {
        let mut world = World::unled();
        world.lead_all();
        world
    }

    /// With seeded defects, by name.
    pub fn with(defects: &str) -> World {
        let mut world = World::unled_with(&format!("highwater.defects={defects}\n"));
        world.lead_all();
        world
    }

    pub fn unled() -> World {
        World::unled_with("")
    }

    fn unled_with(properties: &str) -> World {
        let text = "node.id=1\nprocess.roles=broker,controller\nlog.dirs=data\n\
            controller.quorum.voters=1@localhost:9093\ncontroller.listener.names=CONTROLLER\n\
            listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            group.initial.rebalance.delay.ms=100\n";
        let (config, _) =
            NodeConfig::parse(&format!("{text}{properties}")).expect("a configuration");
        let mut image = MetadataImage::empty();
        let mut changes = Changes::default();
        let topics =
            [("__consumer_offsets", offsets_topic(), PARTITIONS), ("t", Uuid::from_u128(5), 3)];
        for (name, topic_id, count) in topics {
            let topic = MetadataRecord::Topic { name: name.into(), topic_id };
            image.apply(&topic, &mut changes).expect("a topic");
            for partition_id in 0..count {
                let partition = PartitionRecord {
                    partition_id,
                    topic_id,
                    replicas: vec![1],
                    isr: vec![1],
                    leader: 1,
                    leader_epoch: 0,
                    partition_epoch: 0,
                    directories: vec![Uuid::from_u128(9)],
                    ..PartitionRecord::default()
                };
                image
                    .apply(&MetadataRecord::Partition(partition), &mut changes)
                    .expect("a partition");
            }
        }
        let mut world = World {
            groups: GroupCoordinator::new(),
            log: FakeLog::default(),
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 },
            image,
            config,
            next_slot: 0,
            heads: BTreeMap::new(),
            answers: BTreeMap::new(),
        };
        let image = world.image.clone();
        world.step(|groups, ctx, log| groups.on_image(ctx, log, &image, &changes));
        world
    }

    pub fn partitions() -> impl Iterator<Item = TopicPartitionId> {
        (0..PARTITIONS).map(|partition| TopicPartitionId { topic_id: offsets_topic(), partition })
    }

    pub fn lead_all(&mut self) {
        for id in World::partitions() {
            self.log.events.push(ReplicaEvent::BecameLeader { id, leader_epoch: 1 });
        }
        self.deliver();
    }

    pub fn lose_all(&mut self) {
        for id in World::partitions() {
            self.log.events.push(ReplicaEvent::LostLeadership { id });
        }
        self.deliver();
    }

    pub fn step(
        &mut self,
        work: impl FnOnce(&mut GroupCoordinator, &mut Context<'_>, &mut FakeLog),
    ) {
        let mut io = IoQueue::default();
        let mut outbox = Outbox::default();
        let mut ctx =
            Context { now: self.now, io: &mut io, outbox: &mut outbox, config: &self.config };
        work(&mut self.groups, &mut ctx, &mut self.log);
        assert!(outbox.drops.is_empty(), "no connection was closed: {:?}", outbox.says);
        for (id, parts) in outbox.replies {
            let frame = Bytes::from(parts.expect("an answer").concat());
            let before = self.answers.insert(id.slot, frame);
            assert!(before.is_none(), "request {} was answered twice", id.slot);
        }
    }

    /// Hands over what the replica manager has to say.
    pub fn deliver(&mut self) {
        while !self.log.events.is_empty() {
            for event in std::mem::take(&mut self.log.events) {
                self.step(|groups, ctx, log| groups.on_replica_event(ctx, log, &event));
            }
        }
    }

    /// Everything that was appended is committed.
    pub fn commit(&mut self) {
        while !self.log.open.is_empty() {
            for (tag, _, end) in std::mem::take(&mut self.log.open) {
                self.log.events.push(ReplicaEvent::AppendDone { tag, result: Ok(end) });
            }
            self.deliver();
        }
    }

    /// Nothing that was appended is known to be committed.
    pub fn fail(&mut self, error: ErrorCode) {
        for (tag, _, _) in std::mem::take(&mut self.log.open) {
            self.log.events.push(ReplicaEvent::AppendDone { tag, result: Err(error) });
        }
        self.deliver();
    }

    /// Lets time pass, timer by timer.
    pub fn pass_ms(&mut self, ms: u64) {
        let end_ns = self.now.mono_ns + ms * 1_000_000;
        loop {
            let due_ns = self.groups.deadline().map(|due_ms| due_ms * 1_000_000);
            let Some(due_ns) = due_ns.filter(|due_ns| *due_ns <= end_ns) else { break };
            self.set_time(due_ns.max(self.now.mono_ns));
            self.step(|groups, ctx, log| groups.on_tick(ctx, log));
            self.deliver();
        }
        self.set_time(end_ns);
    }

    fn set_time(&mut self, mono_ns: u64) {
        let passed_ms = (mono_ns - self.now.mono_ns) / 1_000_000;
        self.now.wall_ms += passed_ms as i64;
        self.now.mono_ns = mono_ns;
    }

    pub fn send(&mut self, api_key: i16, api_version: i16, body: &impl Encodable) -> u64 {
        let encoded = wire::frame::encode_request(api_key, api_version, 7, "client", body);
        let mut frame = encoded.expect("a request");
        let head = wire::frame::read_request_head(&mut frame).expect("its header");
        let slot = self.next_slot;
        self.next_slot += 1;
        self.heads.insert(slot, head.clone());
        let request = Request {
            id: RequestId { conn: ConnId(1), slot },
            head,
            listener: Listener::Broker,
            peer_host: "127.0.0.1".into(),
            body: frame,
        };
        let image = self.image.clone();
        self.step(|groups, ctx, log| groups.handle(ctx, log, &image, &request));
        self.deliver();
        slot
    }

    pub fn is_answered(&self, slot: u64) -> bool {
        self.answers.contains_key(&slot)
    }

    pub fn unanswered(&self) -> usize {
        self.heads.len() - self.answers.len()
    }

    pub fn answer<T: Guarded>(&self, slot: u64) -> T {
        let head = &self.heads[&slot];
        let mut frame = self.answers.get(&slot).expect("it was answered").clone();
        wire::frame::read_response_head(&mut frame, head.api_key, head.api_version)
            .expect("a header");
        wire::frame::decode(&mut frame, head.api_version).expect("a response")
    }

    pub fn ask<T: Guarded>(&mut self, key: i16, version: i16, body: &impl Encodable) -> T {
        let slot = self.send(key, version, body);
        self.answer(slot)
    }
}

/// What a member sends.
#[derive(Clone)]
pub struct Client {
    pub member_id: String,
    pub instance: Option<&'static str>,
    pub protocols: Vec<(&'static str, &'static [u8])>,
    pub session_timeout_ms: i32,
}

impl Client {
    pub fn new() -> Client {
        Client {
            member_id: String::new(),
            instance: None,
            protocols: vec![("range", b"r"), ("sticky", b"s")],
            session_timeout_ms: 10_000,
        }
    }

    pub fn fixed(instance: &'static str) -> Client {
        Client { instance: Some(instance), ..Client::new() }
    }

    pub fn join(&self, world: &mut World, version: i16) -> u64 {
        let protocol = |(name, metadata): &(&str, &'static [u8])| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(metadata))
        };
        let body = JoinGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(if version >= 1 { 60_000 } else { -1 })
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance.map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(self.protocols.iter().map(protocol).collect());
        world.send(key::JOIN_GROUP, version, &body)
    }

    /// As librdkafka joins: once for the id, once with it.
    pub fn join_twice(&mut self, world: &mut World) -> u64 {
        let first = self.join(world, 5);
        let answer: JoinGroupResponse = world.answer(first);
        assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
        self.member_id = answer.member_id.to_string();
        self.join(world, 5)
    }

    pub fn sync(&self, world: &mut World, generation: i32, assignments: &[(&str, &str)]) -> u64 {
        let one = |(member, assignment): &(&str, &str)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        };
        let body = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance.map(text))
            .with_assignments(assignments.iter().map(one).collect());
        world.send(key::SYNC_GROUP, 3, &body)
    }

    pub fn heartbeat(&self, world: &mut World, generation: i32) -> ErrorCode {
        let body = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_generation_id(generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.instance.map(text));
        let answer: HeartbeatResponse = world.ask(key::HEARTBEAT, 4, &body);
        ErrorCode::from_code(answer.error_code).expect("a code")
    }

    pub fn commit(&self, world: &mut World, generation: i32, partition: i32, offset: i64) -> u64 {
        let body = commit_body(&self.member_id, generation, "t", partition, offset)
            .with_group_instance_id(self.instance.map(text));
        world.send(key::OFFSET_COMMIT, 8, &body)
    }
}

pub fn commit_body(
    member: &str,
    generation: i32,
    topic: &str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest {
    use wire::messages::offset_commit_request::{
        OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    };
    let one = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(2)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![one]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(text(member))
        .with_topics(vec![topic])
}

pub fn commit_error(world: &World, slot: u64) -> ErrorCode {
    let answer: OffsetCommitResponse = world.answer(slot);
    ErrorCode::from_code(answer.topics[0].partitions[0].error_code).expect("a code")
}

pub fn joined(world: &World, slot: u64) -> JoinGroupResponse {
    let answer: JoinGroupResponse = world.answer(slot);
    assert_eq!(ErrorCode::from_code(answer.error_code), Some(ErrorCode::None));
    answer
}

pub fn join_error(world: &World, slot: u64) -> ErrorCode {
    let answer: JoinGroupResponse = world.answer(slot);
    ErrorCode::from_code(answer.error_code).expect("a code")
}

pub fn synced(world: &World, slot: u64) -> Result<Bytes, ErrorCode> {
    let answer: SyncGroupResponse = world.answer(slot);
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None) => Ok(answer.assignment),
        error => Err(error.expect("a code")),
    }
}

/// Two members, stable in generation 1; the first leads and has "a", the second "b".
pub fn stable_pair(world: &mut World) -> (Client, Client) {
    stable(world, Client::new(), Client::new())
}

pub fn stable(world: &mut World, mut one: Client, mut two: Client) -> (Client, Client) {
    let enter = |world: &mut World, client: &mut Client| match client.instance {
        None => client.join_twice(world),
        Some(_) => client.join(world, 5),
    };
    let first = enter(world, &mut one);
    let second = enter(world, &mut two);
    world.pass_ms(250);
    let (first, second) = (joined(world, first), joined(world, second));
    one.member_id = first.member_id.to_string();
    two.member_id = second.member_id.to_string();
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    let (mut leader, mut follower) = (one, two);
    if first.leader != first.member_id {
        std::mem::swap(&mut leader, &mut follower);
    }
    let waits = follower.sync(world, 1, &[]);
    assert!(!world.is_answered(waits));
    let leads = leader.sync(world, 1, &[(&leader.member_id, "a"), (&follower.member_id, "b")]);
    assert!(!world.is_answered(leads), "not before it is committed");
    world.commit();
    assert_eq!(synced(world, leads).unwrap(), "a");
    assert_eq!(synced(world, waits).unwrap(), "b");
    (leader, follower)
}
