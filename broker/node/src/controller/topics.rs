//! Topics and partitions: made, grown, removed.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use wire::messages::delete_topics_response::DeletableTopicResult;
use wire::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use wire::metadata::MetadataRecord;

use super::api::Refused;
use super::placement::{UsableBroker, place};
use super::{Active, MAX_RECORDS_PER_USER_OP};
use crate::config::topic::{Layers, TOPIC_PROPERTIES, check, layered};
use crate::image::{
    ConfigResource, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, LeaderRecoveryState, PartitionImage,
};
use crate::step::Severity;

/// The quorum's own log, which no topic may be mistaken for.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// From this version on DeleteTopics knows TOPIC_DELETION_DISABLED.
const FIRST_VERSION_WITH_DELETION_DISABLED: i16 = 3;

/// A new topic that passed every check.
struct NewTopic {
    configs: BTreeMap<String, String>,
    /// By partition index.
    partitions: Vec<PartitionImage>,
}

impl Active {
    pub(super) fn create_topics(&mut self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let names = request.topics.iter().map(|topic| topic.name.as_str());
        let repeated = repeated(names);
        let mut results = Vec::new();
        let mut answered = BTreeSet::new();
        for topic in &request.topics {
            let is_repeated = repeated.contains(topic.name.as_str());
            if is_repeated && !answered.insert(topic.name.as_str()) {
                continue;
            }
            let checked = if is_repeated {
                Err(Refused::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.check_new_topic(topic)
            };
            results.push(match checked {
                Ok(new) if request.validate_only => self.created(topic, Uuid::nil(), &new),
                Ok(new) => {
                    let id = self.write_topic(topic, &new);
                    self.created(topic, id, &new)
                }
                Err(refused) => CreatableTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_error_code(refused.code as i16)
                    .with_error_message(refused.text()),
            });
        }
        CreateTopicsResponse::default().with_topics(results)
    }

    fn check_new_topic(&mut self, topic: &CreatableTopic) -> Result<NewTopic, Refused> {
        let name = topic.name.as_str();
        if name == METADATA_TOPIC {
            return Err(Refused::new(
                ErrorCode::InvalidRequest,
                format!("Creation of internal topic {METADATA_TOPIC} is prohibited."),
            ));
        }
        if let Err(why) = wire::names::check_topic_name(name) {
            return Err(Refused::new(
                ErrorCode::InvalidTopicException,
                format!("Topic name is invalid: {why}"),
            ));
        }
        if self.image.topic_ids.contains_key(name) {
            return Err(Refused::new(
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{name}' already exists."),
            ));
        }
        let colliding =
            self.image.topic_ids.keys().find(|other| wire::names::names_collide(name, other));
        if let Some(other) = colliding {
            return Err(Refused::new(
                ErrorCode::InvalidTopicException,
                format!("Topic '{name}' collides with existing topic: {other}"),
            ));
        }
        let configs = check_new_configs(topic)?;
        let partitions = if topic.assignments.is_empty() {
            self.place_new_topic(topic)?
        } else {
            self.assigned_partitions(topic)?
        };
        self.check_batch_size(1 + configs.len() + partitions.len())?;
        Ok(NewTopic { configs, partitions })
    }

    fn check_batch_size(&self, more: usize) -> Result<(), Refused> {
        if self.records.len() + more <= MAX_RECORDS_PER_USER_OP {
            return Ok(());
        }
        Err(Refused::new(
            ErrorCode::PolicyViolation,
            format!(
                "Unable to perform excessively large batch operation: more than \
                 {MAX_RECORDS_PER_USER_OP} records."
            ),
        ))
    }

    fn assigned_partitions(&self, topic: &CreatableTopic) -> Result<Vec<PartitionImage>, Refused> {
        let unset = |what: &str| {
            Refused::new(
                ErrorCode::InvalidRequest,
                format!(
                    "A manual partition assignment was specified, but {what} was not set to -1."
                ),
            )
        };
        if topic.replication_factor != -1 {
            return Err(unset("replication factor"));
        }
        if topic.num_partitions != -1 {
            return Err(unset("numPartitions"));
        }
        let mut assigned = BTreeMap::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            let partition =
                self.assigned_partition(index, &assignment.broker_ids, replication_factor)?;
            replication_factor = Some(partition.replicas.len());
            if assigned.insert(index, partition).is_some() {
                return Err(Refused::new(
                    ErrorCode::InvalidReplicaAssignment,
                    format!("Found multiple manual partition assignments for partition {index}"),
                ));
            }
        }
        if assigned.keys().copied().ne(0..assigned.len() as i32) {
            return Err(Refused::new(
                ErrorCode::InvalidReplicaAssignment,
                "partitions should be a consecutive 0-based integer sequence",
            ));
        }
        Ok(assigned.into_values().collect())
    }

    /// One partition on the brokers that were asked for.
    fn assigned_partition(
        &self,
        index: i32,
        brokers: &[BrokerId],
        replication_factor: Option<usize>,
    ) -> Result<PartitionImage, Refused> {
        let refused = |why: String| Err(Refused::new(ErrorCode::InvalidReplicaAssignment, why));
        let replicas: Vec<i32> = brokers.iter().map(|broker| broker.0).collect();
        if replicas.is_empty() {
            return refused(
                "The manual partition assignment includes an empty replica list.".to_owned(),
            );
        }
        let mut sorted = replicas.clone();
        sorted.sort_unstable();
        for (position, broker) in sorted.iter().enumerate() {
            if !self.image.brokers.contains_key(broker) {
                return refused(format!(
                    "The manual partition assignment includes broker {broker}, but no such \
                     broker is registered."
                ));
            }
            if position > 0 && sorted[position - 1] == *broker {
                return refused(format!(
                    "The manual partition assignment includes the broker {broker} more than once."
                ));
            }
        }
        if let Some(expected) = replication_factor.filter(|expected| *expected != replicas.len()) {
            return refused(format!(
                "The manual partition assignment includes a partition with {} replica(s), but \
                 this is not consistent with previous partitions, which have {expected} \
                 replica(s).",
                replicas.len()
            ));
        }
        match self.new_partition(replicas) {
            Some(partition) => Ok(partition),
            None => refused(format!(
                "All brokers specified in the manual partition assignment for partition {index} \
                 are fenced or in controlled shutdown."
            )),
        }
    }

    fn place_new_topic(&mut self, topic: &CreatableTopic) -> Result<Vec<PartitionImage>, Refused> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            return Err(Refused::new(
                ErrorCode::InvalidReplicationFactor,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            ));
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            return Err(Refused::new(
                ErrorCode::InvalidPartitions,
                "Number of partitions was set to an invalid non-positive value.",
            ));
        }
        let partitions = match topic.num_partitions {
            -1 => self.config.num_partitions,
            count => count,
        };
        let replication_factor = match topic.replication_factor {
            -1 => self.config.default_replication_factor,
            factor => i32::from(factor),
        };
        let partitions = usize::try_from(partitions).unwrap_or(0);
        self.check_batch_size(partitions)?;
        self.placed_partitions(partitions, usize::try_from(replication_factor).unwrap_or(0))
    }

    /// Partitions on brokers of our choice.
    fn placed_partitions(
        &mut self,
        partitions: usize,
        replication_factor: usize,
    ) -> Result<Vec<PartitionImage>, Refused> {
        let unable = |why: &str| {
            let message =
                format!("Unable to replicate the partition {replication_factor} time(s): {why}");
            Refused::new(ErrorCode::InvalidReplicationFactor, message)
        };
        let usable: Vec<UsableBroker> = self
            .image
            .brokers
            .values()
            .filter(|broker| !broker.in_controlled_shutdown)
            .map(|broker| UsableBroker {
                id: broker.id,
                rack: broker.rack.clone(),
                fenced: broker.fenced,
            })
            .collect();
        let placed = place(&mut self.random, &usable, partitions, replication_factor)
            .map_err(|why| unable(&why))?;
        placed
            .into_iter()
            .map(|replicas| {
                self.new_partition(replicas).ok_or_else(|| {
                    unable("All brokers are currently fenced or in controlled shutdown.")
                })
            })
            .collect()
    }

    /// A partition with all of its live replicas in sync, led by the first of them. `None` without one.
    fn new_partition(&self, replicas: Vec<i32>) -> Option<PartitionImage> {
        let isr: Vec<i32> =
            replicas.iter().copied().filter(|broker| self.image.is_active(*broker)).collect();
        let leader = *isr.first()?;
        let directories = replicas.iter().map(|broker| self.default_directory(*broker)).collect();
        Some(PartitionImage {
            replicas,
            directories,
            isr,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            leader,
            leader_epoch: 0,
            partition_epoch: 0,
            leader_recovery_state: LeaderRecoveryState::Recovered,
            removing: Vec::new(),
            adding: Vec::new(),
        })
    }

    fn default_directory(&self, broker: i32) -> Uuid {
        match self.image.broker(broker).map(|broker| broker.log_dirs.as_slice()) {
            Some([]) => DIRECTORY_MIGRATING,
            Some([directory]) => *directory,
            _ => DIRECTORY_UNASSIGNED,
        }
    }

    fn write_topic(&mut self, topic: &CreatableTopic, new: &NewTopic) -> Uuid {
        let name = topic.name.to_string();
        let id = self.random.uuid();
        self.say(
            Severity::Info,
            format!("creating topic {name} ({} partitions)", new.partitions.len()),
        );
        self.write(MetadataRecord::Topic { name: name.clone(), topic_id: id });
        let resource = ConfigResource::topic(&name);
        for (key, value) in &new.configs {
            self.write(MetadataRecord::Config {
                resource_type: resource.kind as i8,
                resource_name: resource.name.clone(),
                name: key.clone(),
                value: Some(value.clone()),
            });
        }
        for (index, partition) in new.partitions.iter().enumerate() {
            self.write(MetadataRecord::Partition(partition.to_record(id, index as i32)));
        }
        id
    }

    /// The answer for a topic that is made, with the settings that it gets.
    fn created(&self, topic: &CreatableTopic, id: Uuid, new: &NewTopic) -> CreatableTopicResult {
        let layers =
            Layers { topic: Some(&new.configs), ..self.image.layers(topic.name.as_str(), None) };
        let configs = TOPIC_PROPERTIES.iter().filter_map(|property| {
            let (_, value, source) = layered(property, &self.config, layers).into_iter().next()?;
            Some(
                CreatableTopicConfigs::default()
                    .with_name(StrBytes::from_static_str(property.name))
                    .with_value(Some(StrBytes::from_string(value)))
                    .with_config_source(source as i8),
            )
        });
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_topic_id(id)
            .with_error_message(None)
            .with_num_partitions(new.partitions.len() as i32)
            .with_replication_factor(
                new.partitions.first().map_or(-1, |first| first.replicas.len() as i16),
            )
            .with_configs(Some(configs.collect()))
    }

    pub(super) fn delete_topics(
        &mut self,
        api_version: i16,
        request: &DeleteTopicsRequest,
    ) -> DeleteTopicsResponse {
        let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil()));
        let by_state = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
        let asked: Vec<(Option<TopicName>, Uuid)> = by_name.chain(by_state).collect();
        let ids: Vec<Result<Uuid, Refused>> =
            asked.iter().map(|(name, id)| self.topic_to_delete(name.as_ref(), *id)).collect();
        let mut results = Vec::new();
        let mut deleted = BTreeSet::new();
        for ((name, id), found) in asked.into_iter().zip(ids) {
            let outcome = found.and_then(|found| {
                if !deleted.insert(found) {
                    return Err(Refused::new(ErrorCode::InvalidRequest, "Duplicate topic name."));
                }
                self.delete_topic(api_version, found)
            });
            let result = DeletableTopicResult::default();
            results.push(match outcome {
                Ok((name, id)) => result
                    .with_name(Some(TopicName(StrBytes::from_string(name))))
                    .with_topic_id(id)
                    .with_error_message(None),
                Err(refused) => result
                    .with_name(name)
                    .with_topic_id(id)
                    .with_error_code(refused.code as i16)
                    .with_error_message(refused.text()),
            });
        }
        DeleteTopicsResponse::default().with_responses(results)
    }

    fn topic_to_delete(&self, name: Option<&TopicName>, id: Uuid) -> Result<Uuid, Refused> {
        match name {
            Some(_) if !id.is_nil() => Err(Refused::new(
                ErrorCode::InvalidRequest,
                "You may not specify both topic name and topic id.",
            )),
            Some(name) => self
                .image
                .topic_ids
                .get(name.as_str())
                .copied()
                .ok_or_else(|| Refused::bare(ErrorCode::UnknownTopicOrPartition)),
            None if id.is_nil() => Err(Refused::new(
                ErrorCode::InvalidRequest,
                "Neither topic name nor id were specified.",
            )),
            None if self.image.topics.contains_key(&id) => Ok(id),
            None => Err(Refused::bare(ErrorCode::UnknownTopicId)),
        }
    }

    fn delete_topic(&mut self, api_version: i16, id: Uuid) -> Result<(String, Uuid), Refused> {
        if !self.config.delete_topic_enable {
            return Err(Refused::bare(if api_version < FIRST_VERSION_WITH_DELETION_DISABLED {
                ErrorCode::InvalidRequest
            } else {
                ErrorCode::TopicDeletionDisabled
            }));
        }
        let Some(name) = self.image.topic_name(id).map(str::to_owned) else {
            return Err(Refused::bare(ErrorCode::UnknownTopicId));
        };
        self.check_batch_size(1)?;
        self.say(Severity::Info, format!("deleting topic {name}"));
        self.write(MetadataRecord::RemoveTopic { topic_id: id });
        Ok((name, id))
    }

    pub(super) fn create_partitions(
        &mut self,
        request: &CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut answered = BTreeSet::new();
        let mut results = Vec::new();
        for topic in &request.topics {
            let is_repeated = repeated.contains(topic.name.as_str());
            if is_repeated && !answered.insert(topic.name.as_str()) {
                continue;
            }
            let grown = if is_repeated {
                Err(Refused::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
            } else {
                self.grow_topic(topic, request.validate_only)
            };
            let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            results.push(match grown {
                Ok(()) => result.with_error_message(None),
                Err(refused) => {
                    result.with_error_code(refused.code as i16).with_error_message(refused.text())
                }
            });
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    fn grow_topic(
        &mut self,
        topic: &CreatePartitionsTopic,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let name = topic.name.as_str();
        let Some(image) = self.image.topic(name) else {
            return Err(Refused::bare(ErrorCode::UnknownTopicOrPartition));
        };
        let (id, present) = (image.id, image.partitions.len());
        let replication_factor =
            image.partitions.values().next().map_or(1, |partition| partition.replicas.len());
        let wanted = usize::try_from(topic.count).unwrap_or(0);
        let invalid = |why: String| Err(Refused::new(ErrorCode::InvalidPartitions, why));
        if wanted == present {
            return invalid(format!("Topic already has {present} partition(s)."));
        }
        if wanted < present {
            return invalid(format!(
                "The topic {name} currently has {present} partition(s); {} would not be an \
                 increase.",
                topic.count
            ));
        }
        let additional = wanted - present;
        self.check_batch_size(additional)?;
        let partitions = match &topic.assignments {
            None => self.placed_partitions(additional, replication_factor)?,
            Some(assignments) if assignments.len() != additional => {
                return Err(Refused::new(
                    ErrorCode::InvalidReplicaAssignment,
                    format!(
                        "Attempted to add {additional} additional partition(s), but only {} \
                         assignment(s) were specified.",
                        assignments.len()
                    ),
                ));
            }
            Some(assignments) => {
                let mut partitions = Vec::new();
                for (index, assignment) in (present..).zip(assignments) {
                    let brokers = &assignment.broker_ids;
                    let factor = Some(replication_factor);
                    partitions.push(self.assigned_partition(index as i32, brokers, factor)?);
                }
                partitions
            }
        };
        if !validate_only {
            for (index, partition) in (present..).zip(partitions) {
                self.write(MetadataRecord::Partition(partition.to_record(id, index as i32)));
            }
        }
        Ok(())
    }
}

fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

fn check_new_configs(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, Refused> {
    let mut configs = BTreeMap::new();
    let mut without_value = Vec::new();
    for config in &topic.configs {
        match &config.value {
            Some(value) => {
                configs.insert(config.name.to_string(), value.to_string());
            }
            None => without_value.push(config.name.to_string()),
        }
    }
    if !without_value.is_empty() {
        return Err(Refused::new(
            ErrorCode::InvalidConfig,
            format!("Null value not supported for topic configs: {}", without_value.join(",")),
        ));
    }
    for (name, value) in &configs {
        check(name, value).map_err(|why| Refused::new(ErrorCode::InvalidConfig, why))?;
    }
    super::configs::check_together(&configs)?;
    Ok(configs)
}
