//! What an administrator asks, and what the answers mean.

use super::*;
use crate::client::connection::read;
use bytes::Bytes;
use std::collections::BTreeMap;
use wire::api::key;
use wire::error::{ErrorCode, name_of};
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, ElectLeadersRequest, ElectLeadersResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, MetadataRequest,
    MetadataResponse, TopicName,
};
use wire::{Encodable, StrBytes};

/// The kind of a resource that is a topic, and the operation that sets a value.
const TOPIC: i8 = 2;
const SET: i8 = 0;
const PREFERRED: i8 = 0;

/// How far a command has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Do,
    /// Until every partition has a leader (and, of a new topic, all its replicas in sync).
    Wait,
    /// Until the settings show.
    Describe,
}

/// What an answer means for the command.
pub(super) enum Progress {
    Again,
    Then(Step),
    Done,
    Settings(Box<TopicSettings>),
    Never(String),
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Command {
    fn topic_name(&self) -> &str {
        match self {
            Command::CreateTopic { as_in, .. } => &as_in.name,
            Command::AlterTopic { name, .. } | Command::CreatePartitions { name, .. } => name,
            Command::ElectPreferred => "",
        }
    }
}

impl Admin {
    /// Sends what the first command wants next.
    pub(super) fn ask(&mut self, now_ns: u64, peer: Peer, effects: &mut Vec<ClientEffect>) {
        let Some(command) = self.commands.front().cloned() else { return };
        let timeout_ms = REQUEST_TIMEOUT_MS as i32;
        match (self.step, &command) {
            (Step::Wait, _) => {
                let name = Some(TopicName(text(command.topic_name())));
                let topic = MetadataRequestTopic::default().with_name(name);
                let body = MetadataRequest::default()
                    .with_topics(Some(vec![topic]))
                    .with_allow_auto_topic_creation(false);
                self.send(now_ns, peer, (key::METADATA, 12), &body, effects);
            }
            (Step::Describe, _) => {
                let resource = DescribeConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(text(command.topic_name()))
                    .with_configuration_keys(None);
                let body = DescribeConfigsRequest::default().with_resources(vec![resource]);
                self.send(now_ns, peer, (key::DESCRIBE_CONFIGS, 4), &body, effects);
            }
            (Step::Do, Command::CreateTopic { as_in, .. }) => {
                let body = CreateTopicsRequest::default()
                    .with_topics(vec![creatable(as_in)])
                    .with_timeout_ms(timeout_ms);
                self.send(now_ns, peer, (key::CREATE_TOPICS, 7), &body, effects);
            }
            (Step::Do, Command::AlterTopic { name, key: property, value, .. }) => {
                let config = AlterableConfig::default()
                    .with_name(text(property))
                    .with_config_operation(SET)
                    .with_value(Some(text(value)));
                let resource = AlterConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(text(name))
                    .with_configs(vec![config]);
                let body = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
                self.send(now_ns, peer, (key::INCREMENTAL_ALTER_CONFIGS, 1), &body, effects);
            }
            (Step::Do, Command::CreatePartitions { name, count, .. }) => {
                let topic = CreatePartitionsTopic::default()
                    .with_name(TopicName(text(name)))
                    .with_count(*count as i32)
                    .with_assignments(None);
                let body = CreatePartitionsRequest::default()
                    .with_topics(vec![topic])
                    .with_timeout_ms(timeout_ms);
                self.send(now_ns, peer, (key::CREATE_PARTITIONS, 3), &body, effects);
            }
            (Step::Do, Command::ElectPreferred) => {
                let body = ElectLeadersRequest::default()
                    .with_election_type(PREFERRED)
                    .with_topic_partitions(None)
                    .with_timeout_ms(timeout_ms);
                self.send(now_ns, peer, (key::ELECT_LEADERS, 2), &body, effects);
            }
        }
    }

    fn send<B: Encodable>(
        &mut self,
        now_ns: u64,
        peer: Peer,
        (api_key, highest): (i16, i16),
        body: &B,
        effects: &mut Vec<ClientEffect>,
    ) {
        let Some(version) = self.cluster.connections.version(peer, api_key, highest) else {
            self.again(now_ns);
            return;
        };
        self.asked = true;
        // The broker waits as long as it was told; a little more for its answer to come.
        let timeout_ns = self.cluster.request_timeout_ns / 3 * 4;
        let ask = Some(self.step);
        self.cluster.send(now_ns, peer, api_key, version, body, timeout_ns, ask, effects);
    }

    pub(super) fn on_answer(
        &mut self,
        peer: Peer,
        step: Step,
        version: i16,
        body: Bytes,
    ) -> Result<Progress, String> {
        let Some(command) = self.commands.front() else { return Ok(Progress::Again) };
        match (step, command) {
            (Step::Wait, _) => Ok(self.on_metadata(&read(peer, version, body)?)),
            (Step::Describe, _) => Ok(self.on_settings(&read(peer, version, body)?)),
            (Step::Do, Command::CreateTopic { .. }) => {
                let answer: CreateTopicsResponse = read(peer, version, body)?;
                let code = answer.topics.first().map(|topic| topic.error_code);
                Ok(after(code, ErrorCode::TopicAlreadyExists))
            }
            (Step::Do, Command::AlterTopic { .. }) => {
                let answer: IncrementalAlterConfigsResponse = read(peer, version, body)?;
                let code = answer.responses.first().map(|resource| resource.error_code);
                Ok(after(code, ErrorCode::None))
            }
            (Step::Do, Command::CreatePartitions { .. }) => {
                let answer: CreatePartitionsResponse = read(peer, version, body)?;
                let code = answer.results.first().map(|topic| topic.error_code);
                // It has that many already (or more): what was asked before was carried out, and its answer lost.
                Ok(after(code, ErrorCode::InvalidPartitions))
            }
            (Step::Do, Command::ElectPreferred) => {
                let answer: ElectLeadersResponse = read(peer, version, body)?;
                let is_over = answer.error_code == 0
                    || answer.error_code == ErrorCode::ElectionNotNeeded.code();
                Ok(if is_over { Progress::Done } else { Progress::Again })
            }
        }
    }

    fn on_metadata(&mut self, answer: &MetadataResponse) -> Progress {
        let Some(command) = self.commands.front() else { return Progress::Again };
        let Some(topic) = answer.topics.first().filter(|topic| topic.error_code == 0) else {
            return Progress::Again;
        };
        let count = topic.partitions.len();
        let ready = match command {
            Command::CreateTopic { as_in, .. } => {
                let factor = usize::from(as_in.replication_factor);
                let whole = topic.partitions.iter().all(|p| p.isr_nodes.len() >= factor);
                count >= as_in.partitions as usize && whole
            }
            Command::CreatePartitions { count: wanted, .. } => count >= *wanted as usize,
            _ => true,
        };
        let led = topic.partitions.iter().all(|partition| partition.leader_id.0 >= 0);
        let is_new = matches!(command, Command::CreateTopic { .. });
        if !ready || (is_new && !led) || count == 0 {
            return Progress::Again;
        }
        self.topic_id = topic.topic_id;
        self.partitions = count as u32;
        self.replication_factor = topic.partitions[0].replica_nodes.len() as u16;
        Progress::Then(Step::Describe)
    }

    fn on_settings(&self, answer: &DescribeConfigsResponse) -> Progress {
        let Some(result) = answer.results.first().filter(|result| result.error_code == 0) else {
            return Progress::Again;
        };
        let told = result.configs.iter().filter_map(|config| {
            config.value.as_ref().map(|value| (config.name.to_string(), value.to_string()))
        });
        let properties: BTreeMap<String, String> = told.collect();
        if let Some(Command::AlterTopic { key, value, .. }) = self.commands.front()
            && properties.get(key) != Some(value)
        {
            return Progress::Again;
        }
        let settings = effective(self.partitions, self.replication_factor, properties);
        Progress::Settings(Box::new(settings))
    }
}

fn creatable(topic: &scenario::Topic) -> CreatableTopic {
    let configs = topic.properties.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    CreatableTopic::default()
        .with_name(TopicName(text(&topic.name)))
        .with_num_partitions(topic.partitions as i32)
        .with_replication_factor(topic.replication_factor as i16)
        .with_configs(configs.collect())
}

/// What follows an answer to the change itself. `also`: the error that says that it has been carried out before.
fn after(error_code: Option<i16>, also: ErrorCode) -> Progress {
    let Some(error_code) = error_code else { return Progress::Again };
    if error_code == 0 || error_code == also.code() {
        return Progress::Then(Step::Wait);
    }
    let is_definite = ErrorCode::from_code(error_code).is_some_and(|error| {
        matches!(
            error,
            ErrorCode::InvalidConfig
                | ErrorCode::InvalidRequest
                | ErrorCode::InvalidTopicException
                | ErrorCode::InvalidPartitions
                | ErrorCode::PolicyViolation
                | ErrorCode::UnsupportedVersion
        )
    });
    if is_definite { Progress::Never(name_of(error_code)) } else { Progress::Again }
}

/// What decides durability, pulled out of the properties.
fn effective(
    partitions: u32,
    replication_factor: u16,
    properties: BTreeMap<String, String>,
) -> TopicSettings {
    let number = |name: &str, absent: i64| {
        properties.get(name).and_then(|value| value.parse::<i64>().ok()).unwrap_or(absent)
    };
    let word = |name: &str, absent: &str| {
        properties.get(name).cloned().unwrap_or_else(|| absent.to_owned())
    };
    TopicSettings {
        partitions,
        replication_factor,
        min_insync_replicas: u16::try_from(number("min.insync.replicas", 1)).unwrap_or(1),
        unclean_leader_election: word("unclean.leader.election.enable", "false") == "true",
        cleanup_policy: word("cleanup.policy", "delete"),
        retention_ms: number("retention.ms", 604_800_000),
        retention_bytes: number("retention.bytes", -1),
        message_timestamp_type: word("message.timestamp.type", "CreateTime"),
        flush_messages: number("flush.messages", i64::MAX),
        flush_ms: number("flush.ms", i64::MAX),
        properties,
    }
}
