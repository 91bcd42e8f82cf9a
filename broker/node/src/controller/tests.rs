//! A controller with the brokers that a test wants, and a second image that replays what it writes.

mod brokers;
mod configs;
mod defects;
mod elections;
mod invariants;
mod isr;
mod topics;

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use wire::messages::broker_registration_request::{Feature, Listener};
use wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use wire::messages::create_topics_response::CreatableTopicResult;
use wire::messages::{
    AlterPartitionRequest, AlterPartitionResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerId, BrokerRegistrationRequest, BrokerRegistrationResponse, CreateTopicsRequest,
    TopicName,
};
use wire::metadata::MetadataRecord;

use super::features::supported;
use super::{Controller, ControllerRequest, ControllerResponse};
use crate::config::NodeConfig;
use crate::image::{Changes, MetadataImage, PartitionImage};
use crate::step::Now;

const CLUSTER: &str = "cluster-of-the-tests";
const SESSION_MS: u64 = 1000;

const FILE: &str = "process.roles=controller\nnode.id=100\n\
    controller.quorum.voters=100@127.0.0.1:9093\nlisteners=CONTROLLER://127.0.0.1:9093\n\
    controller.listener.names=CONTROLLER\nlog.dirs=/nowhere\nbroker.session.timeout.ms=1000\nbroker.heartbeat.interval.ms=200\n\
    default.replication.factor=3\nnum.partitions=2\n";

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A registered broker's present life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub incarnation: Uuid,
    pub epoch: i64,
    pub directory: Uuid,
}

pub(super) struct Cluster {
    pub controller: Controller,
    /// What was written, from offset 0.
    pub log: Vec<MetadataRecord>,
    pub replayed: MetadataImage,
    pub ms: u64,
    pub lives: BTreeMap<i32, Life>,
    incarnations: u128,
}

impl Cluster {
    /// An active controller of a new cluster, with more lines in its file.
    pub fn with(lines: &str) -> Cluster {
        let (config, _) = NodeConfig::parse(&format!("{FILE}{lines}")).expect("the file reads");
        let mut cluster = Cluster {
            controller: Controller::new(config, CLUSTER.to_owned(), 7),
            log: Vec::new(),
            replayed: MetadataImage::empty(),
            ms: 10_000,
            lives: BTreeMap::new(),
            incarnations: 1000,
        };
        let records = cluster.controller.become_active(cluster.now(), MetadataImage::empty(), 1, 0);
        cluster.take(records);
        cluster
    }

    /// With `count` unfenced brokers, numbered from 1.
    pub fn of(count: i32, lines: &str) -> Cluster {
        let mut cluster = Cluster::with(lines);
        for id in 1..=count {
            cluster.join(id);
        }
        cluster
    }

    pub fn now(&self) -> Now {
        Now { mono_ns: self.ms * 1_000_000, wall_ms: 0 }
    }

    /// The log's next records: whoever replays them sees what the controller sees.
    pub fn take(&mut self, records: Vec<MetadataRecord>) -> Vec<MetadataRecord> {
        for record in &records {
            let decoded = MetadataRecord::decode(&record.encode()).expect("reads back");
            assert_eq!(&decoded, record);
            self.replayed.apply(&decoded, &mut Changes::default()).expect("it fits");
            self.log.push(decoded);
        }
        self.replayed.offset = self.log.len() as i64 - 1;
        self.replayed.epoch = 1;
        assert_eq!(Some(&self.replayed), self.controller.image(), "replay and speculation differ");
        records
    }

    pub fn ask(&mut self, version: i16, request: ControllerRequest) -> ControllerResponse {
        self.asked(version, request).1
    }

    pub fn asked(
        &mut self,
        version: i16,
        request: ControllerRequest,
    ) -> (Vec<MetadataRecord>, ControllerResponse) {
        let outcome = self.controller.handle(self.now(), version, request);
        (self.take(outcome.records), outcome.response)
    }

    pub fn end(&self) -> i64 {
        self.log.len() as i64 - 1
    }

    pub fn image(&self) -> &MetadataImage {
        self.controller.image().expect("active")
    }

    pub fn part(&self, topic: &str, index: i32) -> &PartitionImage {
        self.image().partition_by_name(topic, index).expect("it exists")
    }

    pub fn registration(&mut self, id: i32) -> BrokerRegistrationRequest {
        self.incarnations += 1;
        let listener = Listener::default()
            .with_name(text("PLAINTEXT"))
            .with_host(text("127.0.0.1"))
            .with_port(9000 + id as u16);
        let feature = |(name, min, max): (&'static str, i16, i16)| {
            Feature::default()
                .with_name(text(name))
                .with_min_supported_version(min)
                .with_max_supported_version(max)
        };
        let directory =
            self.lives.get(&id).map_or(Uuid::from_u128(500 + id as u128), |life| life.directory);
        BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(id))
            .with_cluster_id(text(CLUSTER))
            .with_incarnation_id(Uuid::from_u128(self.incarnations))
            .with_listeners(vec![listener])
            .with_features(supported().map(feature).collect())
            .with_log_dirs(vec![directory])
            .with_previous_broker_epoch(-1)
    }

    pub fn register_as(
        &mut self,
        request: BrokerRegistrationRequest,
    ) -> BrokerRegistrationResponse {
        let id = request.broker_id.0;
        let incarnation = request.incarnation_id;
        let directory = request.log_dirs.first().copied().unwrap_or_default();
        let answer = self.ask(4, ControllerRequest::BrokerRegistration(request));
        let ControllerResponse::BrokerRegistration(answer) = answer else { panic!("{answer:?}") };
        if answer.error_code == 0 {
            let epoch = answer.broker_epoch;
            self.lives.insert(id, Life { incarnation, epoch, directory });
        }
        answer
    }

    /// Registers another life of the broker after an unclean end, or its first.
    pub fn register(&mut self, id: i32) {
        let request = self.registration(id);
        assert_eq!(self.register_as(request).error_code, 0);
    }

    /// As [`Cluster::register`], after a clean shutdown.
    pub fn register_clean(&mut self, id: i32) {
        let epoch = self.lives[&id].epoch;
        let request = self.registration(id).with_previous_broker_epoch(epoch);
        assert_eq!(self.register_as(request).error_code, 0);
    }

    pub fn heartbeat(&mut self, id: i32, fence: bool, stop: bool) -> BrokerHeartbeatResponse {
        let request = BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(id))
            .with_broker_epoch(self.lives[&id].epoch)
            .with_current_metadata_offset(self.end())
            .with_want_fence(fence)
            .with_want_shut_down(stop);
        let answer = self.ask(1, ControllerRequest::BrokerHeartbeat(request));
        let ControllerResponse::BrokerHeartbeat(answer) = answer else { panic!("{answer:?}") };
        answer
    }

    /// Registers and is unfenced.
    pub fn join(&mut self, id: i32) {
        self.register(id);
        self.alive(id);
    }

    pub fn alive(&mut self, id: i32) {
        let answer = self.heartbeat(id, false, false);
        assert_eq!((answer.error_code, answer.is_fenced), (0, false));
    }

    /// Its process is dead.
    pub fn kill(&mut self, id: i32) {
        let records = self.controller.on_broker_gone(self.now(), id);
        self.take(records);
    }

    /// A topic of one partition on these brokers, the first of them preferred.
    pub fn topic(&mut self, name: &str, replicas: &[i32], configs: &[(&str, &str)]) -> Uuid {
        let result = self.create(assigned(name, &[replicas], configs));
        assert_eq!(result.error_code, 0, "{result:?}");
        result.topic_id
    }

    pub fn create(&mut self, topic: CreatableTopic) -> CreatableTopicResult {
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let answer = self.ask(7, ControllerRequest::CreateTopics(request));
        let ControllerResponse::CreateTopics(answer) = answer else { panic!("{answer:?}") };
        answer.topics.into_iter().next().expect("one result")
    }

    /// What `leader` would send to make its ISR of partition 0 this one.
    pub fn proposal(&self, leader: i32, topic: &str, isr: &[i32]) -> AlterPartitionRequest {
        let partition = self.part(topic, 0);
        let member = |id: &i32| {
            BrokerState::default()
                .with_broker_id(BrokerId(*id))
                .with_broker_epoch(self.lives.get(id).map_or(-1, |life| life.epoch))
        };
        let data = PartitionData::default()
            .with_partition_index(0)
            .with_leader_epoch(partition.leader_epoch)
            .with_partition_epoch(partition.partition_epoch)
            .with_new_isr_with_epochs(isr.iter().map(member).collect());
        let id = self.image().topic_ids[topic];
        AlterPartitionRequest::default()
            .with_broker_id(BrokerId(leader))
            .with_broker_epoch(self.lives[&leader].epoch)
            .with_topics(vec![TopicData::default().with_topic_id(id).with_partitions(vec![data])])
    }

    pub fn propose_as(&mut self, request: AlterPartitionRequest) -> AlterPartitionResponse {
        let answer = self.ask(3, ControllerRequest::AlterPartition(request));
        let ControllerResponse::AlterPartition(answer) = answer else { panic!("{answer:?}") };
        answer
    }

    /// The error of partition 0, as a name.
    pub fn propose(&mut self, leader: i32, topic: &str, isr: &[i32]) -> ErrorCode {
        let request = self.proposal(leader, topic, isr);
        error_of(&self.propose_as(request))
    }
}

pub(super) fn error_of(answer: &AlterPartitionResponse) -> ErrorCode {
    let code = match answer.error_code {
        0 => answer.topics[0].partitions[0].error_code,
        code => code,
    };
    ErrorCode::from_code(code).expect("a code of Kafka's")
}

pub(super) fn named(name: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
}

pub(super) fn assigned(
    name: &str,
    partitions: &[&[i32]],
    configs: &[(&str, &str)],
) -> CreatableTopic {
    let assignment = |(index, replicas): (usize, &&[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(index as i32)
            .with_broker_ids(replicas.iter().map(|id| BrokerId(*id)).collect())
    };
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    named(name)
        .with_assignments(partitions.iter().enumerate().map(assignment).collect())
        .with_configs(configs.iter().map(config).collect())
}

/// ISR, ELR, leader, leader epoch, partition epoch.
pub(super) fn state(partition: &PartitionImage) -> (&[i32], &[i32], i32, i32, i32) {
    (
        &partition.isr,
        &partition.elr,
        partition.leader,
        partition.leader_epoch,
        partition.partition_epoch,
    )
}

#[test]
fn a_new_cluster_begins_with_its_features() {
    let cluster = Cluster::with("");
    let feature = |name: &str, feature_level| MetadataRecord::FeatureLevel {
        name: name.to_owned(),
        feature_level,
    };
    assert_eq!(
        cluster.log,
        [feature("metadata.version", 25), feature("eligible.leader.replicas.version", 1)]
    );
    let without = Cluster::with("highwater.elr=false\n");
    assert_eq!(without.log, [feature("metadata.version", 25)]);
}

#[test]
fn a_second_activation_writes_nothing() {
    let mut cluster = Cluster::of(2, "min.insync.replicas=2\n");
    let image = cluster.image().clone();
    cluster.controller.resign();
    assert!(!cluster.controller.is_active());
    assert_eq!(cluster.controller.deadline(), None);
    let next = cluster.end() + 1;
    assert_eq!(cluster.controller.become_active(cluster.now(), image, 2, next), []);
}

#[test]
fn the_files_min_insync_is_recorded_only_where_it_is_given() {
    let cluster = Cluster::with("min.insync.replicas=2\n");
    assert_eq!(cluster.image().recorded_min_insync_replicas("any"), 2);
    let cluster = Cluster::with("");
    assert_eq!(cluster.image().configs, BTreeMap::new());
    assert_eq!(cluster.image().recorded_min_insync_replicas("any"), 1);
}

#[test]
fn an_inactive_controller_refuses_everything() {
    let mut cluster = Cluster::of(1, "");
    cluster.controller.resign();
    let request = CreateTopicsRequest::default().with_topics(vec![named("a"), named("b")]);
    let request = ControllerRequest::CreateTopics(request);
    let outcome = cluster.controller.handle(cluster.now(), 7, request);
    let ControllerResponse::CreateTopics(answer) = outcome.response else { panic!() };
    let codes: Vec<i16> = answer.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!((outcome.records.len(), codes), (0, vec![ErrorCode::NotController as i16; 2]));
    assert_eq!(cluster.controller.on_tick(cluster.now()), []);
    assert_eq!(cluster.controller.on_broker_gone(cluster.now(), 1), []);
}

#[test]
fn an_answer_whose_records_are_lost_turns_into_a_refusal() {
    let mut cluster = Cluster::of(1, "");
    let request = CreateTopicsRequest::default()
        .with_topics(vec![named("a").with_num_partitions(1).with_replication_factor(1)]);
    let mut answer = cluster.ask(7, ControllerRequest::CreateTopics(request));
    answer.refuse(ErrorCode::NotController);
    let ControllerResponse::CreateTopics(answer) = answer else { panic!() };
    let topic = &answer.topics[0];
    assert_eq!((topic.error_code, topic.topic_id.is_nil(), topic.name.as_str()), (41, true, "a"));
}

#[test]
fn an_idle_log_gets_a_sign_of_life() {
    let mut cluster = Cluster::with("metadata.max.idle.interval.ms=500\n");
    let deadline = cluster.controller.deadline().expect("a sign of life is due");
    assert_eq!(deadline, cluster.ms + 500);
    assert_eq!(cluster.controller.on_tick(cluster.now()), []);
    cluster.ms = deadline;
    let records = cluster.controller.on_tick(cluster.now());
    assert_eq!(cluster.take(records), [MetadataRecord::NoOp]);
}

#[test]
fn topic_ids_of_two_reigns_differ_though_the_seed_is_the_same() {
    let ids: Vec<Uuid> = [(1, 0), (2, 0), (1, 5)]
        .into_iter()
        .map(|(epoch, offset)| {
            let (config, _) = NodeConfig::parse(FILE).expect("reads");
            let mut controller = Controller::new(config, CLUSTER.to_owned(), 7);
            let now = Now { mono_ns: 0, wall_ms: 0 };
            controller.become_active(now, MetadataImage::empty(), epoch, offset);
            controller.active.as_mut().expect("active").random.uuid()
        })
        .collect();
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
    assert!(ids.iter().all(|id| id.get_version_num() == 4));
}
