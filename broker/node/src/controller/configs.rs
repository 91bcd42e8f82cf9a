//! IncrementalAlterConfigs: settings of topics, of one broker, of all brokers.

use std::collections::{BTreeMap, BTreeSet};

use wire::error::ErrorCode;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use wire::metadata::{MetadataRecord, PartitionChangeRecord};

use super::api::Refused;
use super::{Active, MAX_RECORDS_PER_USER_OP};
use crate::config::PROPERTIES;
use crate::config::topic::{Kind, TOPIC_PROPERTIES, TopicProperty, check, find};
use crate::image::configs::{MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION_ENABLE};
use crate::image::{ConfigResource, ConfigResourceKind};

/// Kafka's `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What one resource's settings become: a value of `None` goes back to what is inherited.
type Changed = BTreeMap<String, Option<String>>;

impl Active {
    pub(super) fn incremental_alter_configs(
        &mut self,
        request: &IncrementalAlterConfigsRequest,
    ) -> IncrementalAlterConfigsResponse {
        let mut seen = BTreeSet::new();
        let key = |resource: &AlterConfigsResource| {
            (resource.resource_type, resource.resource_name.to_string())
        };
        let repeated: BTreeSet<_> =
            request.resources.iter().map(key).filter(|key| !seen.insert(key.clone())).collect();
        let mut responses = Vec::new();
        for asked in &request.resources {
            let outcome = if repeated.contains(&key(asked)) {
                Err(Refused::new(
                    ErrorCode::InvalidRequest,
                    "Each resource must appear at most once.",
                ))
            } else {
                self.alter_resource(asked, request.validate_only)
            };
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(asked.resource_type)
                .with_resource_name(asked.resource_name.clone());
            responses.push(match outcome {
                Ok(()) => response.with_error_message(None),
                Err(refused) => {
                    response.with_error_code(refused.code as i16).with_error_message(refused.text())
                }
            });
        }
        IncrementalAlterConfigsResponse::default().with_responses(responses)
    }

    fn alter_resource(
        &mut self,
        asked: &AlterConfigsResource,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let resource = self.resource(asked)?;
        let mut changed = Changed::new();
        for config in &asked.configs {
            let name = config.name.to_string();
            let value = self.altered(&resource, config)?;
            if changed.insert(name, value).is_some() {
                return Err(Refused::new(
                    ErrorCode::InvalidRequest,
                    "Error due to duplicate config keys",
                ));
            }
        }
        self.check_min_insync_rules(&resource, &changed)?;
        let mut all = self.image.configs.get(&resource).cloned().unwrap_or_default();
        for (name, value) in &changed {
            match value {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        if resource.kind == ConfigResourceKind::Topic {
            check_together(&all)?;
        }
        if self.records.len() + changed.len() > MAX_RECORDS_PER_USER_OP {
            return Err(Refused::bare(ErrorCode::PolicyViolation));
        }
        if !validate_only {
            self.write_configs(&resource, changed);
        }
        Ok(())
    }

    /// The resource that is meant, if it can have settings here.
    fn resource(&self, asked: &AlterConfigsResource) -> Result<ConfigResource, Refused> {
        let name = asked.resource_name.to_string();
        match ConfigResourceKind::from_id(asked.resource_type) {
            Some(kind @ ConfigResourceKind::Topic) => {
                if self.image.topic_ids.contains_key(&name) {
                    return Ok(ConfigResource { kind, name });
                }
                Err(Refused::new(
                    ErrorCode::UnknownTopicOrPartition,
                    format!("The topic '{name}' does not exist."),
                ))
            }
            Some(kind @ ConfigResourceKind::Broker) if name.is_empty() => {
                Ok(ConfigResource { kind, name })
            }
            Some(kind @ ConfigResourceKind::Broker) => match name.parse::<i32>() {
                Err(_) => Err(Refused::new(
                    ErrorCode::InvalidRequest,
                    format!("Invalid broker name {name}"),
                )),
                Ok(id) if self.image.brokers.contains_key(&id) => Ok(ConfigResource { kind, name }),
                Ok(id) => Err(Refused::new(
                    ErrorCode::BrokerIdNotRegistered,
                    format!("No broker with id {id} found."),
                )),
            },
            _ => Err(Refused::new(
                ErrorCode::InvalidRequest,
                format!("Unexpected resource type {}.", asked.resource_type),
            )),
        }
    }

    /// The value that one operation leads to.
    fn altered(
        &self,
        resource: &ConfigResource,
        config: &AlterableConfig,
    ) -> Result<Option<String>, Refused> {
        let name = config.name.as_str();
        let current = self.image.configs.get(resource).and_then(|values| values.get(name));
        // What is no longer known, or was never to be changed, can still be removed.
        if config.config_operation == DELETE {
            return Ok(None);
        }
        let property = property(resource.kind, name)?;
        let Some(given) = config.value.as_ref().map(|value| value.as_str()) else {
            return Err(Refused::new(
                ErrorCode::InvalidRequest,
                format!("Null value not supported for : {name}"),
            ));
        };
        let is_list = property.kind == Kind::List;
        let items = || -> Vec<&str> {
            let list = current.map_or(property.default, String::as_str);
            list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        };
        let value = match config.config_operation {
            SET => given.to_owned(),
            APPEND if is_list => {
                let mut items = items();
                for item in given.split(',').map(str::trim) {
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
                items.join(",")
            }
            SUBTRACT if is_list => {
                let mut items = items();
                let removed: Vec<&str> = given.split(',').map(str::trim).collect();
                items.retain(|item| !removed.contains(item));
                items.join(",")
            }
            APPEND | SUBTRACT => {
                let word = if config.config_operation == APPEND { "APPEND" } else { "SUBTRACT" };
                return Err(Refused::new(
                    ErrorCode::InvalidConfig,
                    format!("Can't {word} to key {name} because its type is not LIST."),
                ));
            }
            other => {
                return Err(Refused::new(
                    ErrorCode::InvalidRequest,
                    format!("Unknown operation type {other} for configuration {name}"),
                ));
            }
        };
        check(property.name, &value).map_err(|why| {
            Refused::new(ErrorCode::InvalidConfig, why.replace(property.name, name))
        })?;
        Ok(Some(value))
    }

    /// With eligible leader replicas, leaders must demand what the controller counts on: no broker has a value of
    /// its own, and the cluster's value can be changed but not removed (as in Kafka).
    fn check_min_insync_rules(
        &self,
        resource: &ConfigResource,
        changed: &Changed,
    ) -> Result<(), Refused> {
        let Some(value) = changed.get(MIN_INSYNC_REPLICAS) else { return Ok(()) };
        if !self.elr_enabled() || resource.kind != ConfigResourceKind::Broker {
            return Ok(());
        }
        if !resource.name.is_empty() && value.is_some() {
            return Err(Refused::new(
                ErrorCode::InvalidConfig,
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ));
        }
        if resource.name.is_empty() && value.is_none() {
            return Err(Refused::new(
                ErrorCode::InvalidConfig,
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
            ));
        }
        Ok(())
    }

    fn write_configs(&mut self, resource: &ConfigResource, changed: Changed) {
        let touches_min_insync = changed.contains_key(MIN_INSYNC_REPLICAS);
        let touches_unclean = changed.contains_key(UNCLEAN_LEADER_ELECTION_ENABLE);
        let current = self.image.configs.get(resource).cloned().unwrap_or_default();
        for (name, value) in changed {
            // Brokers reload on every record, also of the same value.
            if current.get(&name) == value.as_ref() && resource.kind == ConfigResourceKind::Topic {
                continue;
            }
            self.write(MetadataRecord::Config {
                resource_type: resource.kind as i8,
                resource_name: resource.name.clone(),
                name,
                value,
            });
        }
        if touches_min_insync {
            self.forget_elr(resource);
        }
        if touches_unclean {
            self.elect_unclean_leaders();
        }
    }

    /// Another `min.insync.replicas`: where somebody leads, records may be acknowledged that the ELR lacks. Where nobody
    /// leads nothing is acknowledged, and the ELR is all there is to elect from.
    fn forget_elr(&mut self, resource: &ConfigResource) {
        let led = self.partitions(|partition| partition.leader >= 0 && !partition.elr.is_empty());
        for (topic_id, partition_id) in led {
            let concerned = resource.kind != ConfigResourceKind::Topic
                || self.image.topic_name(topic_id) == Some(resource.name.as_str());
            if concerned {
                self.write(MetadataRecord::PartitionChange(PartitionChangeRecord {
                    topic_id,
                    partition_id,
                    eligible_leader_replicas: Some(Vec::new()),
                    ..PartitionChangeRecord::default()
                }));
            }
        }
    }
}

/// The setting of that name which can be changed at run time, for topics under their own names, for brokers under
/// those that topics inherit from.
fn property(kind: ConfigResourceKind, name: &str) -> Result<&'static TopicProperty, Refused> {
    let invalid = |why: String| Refused::new(ErrorCode::InvalidConfig, why);
    if kind == ConfigResourceKind::Topic {
        return find(name).ok_or_else(|| invalid(format!("Unknown topic config name: {name}")));
    }
    let inherited = TOPIC_PROPERTIES.iter().find(|property| property.synonym == Some(name));
    inherited.ok_or_else(|| {
        if PROPERTIES.iter().any(|property| property.name == name) {
            invalid(format!("Cannot update these configs dynamically: Set({name})"))
        } else {
            invalid(format!("Unknown broker config name: {name}"))
        }
    })
}

/// What no single value of a topic can tell.
pub(super) fn check_together(configs: &BTreeMap<String, String>) -> Result<(), Refused> {
    let number = |name: &str| configs.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    let (min_name, max_name) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    let (min, max) = (number(min_name).unwrap_or(0), number(max_name).unwrap_or(i64::MAX));
    if min > max {
        return Err(Refused::new(
            ErrorCode::InvalidConfig,
            format!("conflict topic config setting {min_name} ({min}) > {max_name} ({max})"),
        ));
    }
    Ok(())
}
