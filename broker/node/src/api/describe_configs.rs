//! DescribeConfigs: the settings in force of topics and of this broker, and where each comes from.
//!
//! Promises: a topic's value is the one that the replicas act on ([`crate::config::topic`] resolves both). Not promised: other
//! brokers' files; a broker is asked for its own.

use std::collections::BTreeMap;

use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use wire::names::is_valid_topic_name;

use super::{Facts, text};
use crate::config::topic::{self, Layers, TOPIC_PROPERTIES, TopicProperty, ValueSource};
use crate::config::{PROPERTIES, Property};
use crate::image::{ConfigResource, ConfigResourceKind};

pub fn answer(facts: Facts<'_>, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let asked =
        Asked { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request.resources.iter().map(|resource| one(facts, resource, asked)).collect();
    DescribeConfigsResponse::default().with_results(results)
}

#[derive(Clone, Copy)]
struct Asked {
    synonyms: bool,
    documentation: bool,
}

type Described = Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn one(
    facts: Facts<'_>,
    resource: &DescribeConfigsResource,
    asked: Asked,
) -> DescribeConfigsResult {
    let wanted = resource.configuration_keys.as_deref();
    let name = resource.resource_name.as_str();
    let described = match ConfigResourceKind::from_id(resource.resource_type) {
        Some(ConfigResourceKind::Topic) => of_topic(facts, name, wanted, asked),
        Some(ConfigResourceKind::Broker) => of_broker(facts, name, wanted, asked),
        Some(
            ConfigResourceKind::BrokerLogger
            | ConfigResourceKind::ClientMetrics
            | ConfigResourceKind::Group,
        ) => Ok(Vec::new()),
        None => Err((
            ErrorCode::InvalidRequest,
            format!("Unsupported resource type: {}", resource.resource_type),
        )),
    };
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match described {
        Ok(configs) => result.with_error_message(Some(StrBytes::default())).with_configs(configs),
        Err((error, message)) => {
            result.with_error_code(error.code()).with_error_message(Some(text(&message)))
        }
    }
}

fn is_wanted(wanted: Option<&[StrBytes]>, name: &str) -> bool {
    // Kafka takes an empty list as a null one.
    wanted.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key.as_str() == name))
}

fn of_topic(facts: Facts<'_>, name: &str, wanted: Option<&[StrBytes]>, asked: Asked) -> Described {
    if facts.image.topic(name).is_none() {
        let error = if is_valid_topic_name(name) {
            (ErrorCode::UnknownTopicOrPartition, format!("Topic {name} does not exist."))
        } else {
            (ErrorCode::InvalidTopicException, format!("Topic name {name} is not valid."))
        };
        return Err(error);
    }
    let own = ConfigResource::topic(name);
    let layers = layers(facts, facts.image.configs.get(&own));
    let wanted = TOPIC_PROPERTIES.iter().filter(|property| is_wanted(wanted, property.name));
    Ok(wanted.map(|property| topic_entry(facts, property, layers, asked)).collect())
}

fn layers<'a>(facts: Facts<'a>, topic: Option<&'a BTreeMap<String, String>>) -> Layers<'a> {
    Layers {
        topic,
        broker: facts.image.configs.get(&ConfigResource::broker(facts.config.node_id)),
        cluster: facts.image.configs.get(&ConfigResource::cluster()),
    }
}

fn topic_entry(
    facts: Facts<'_>,
    property: &TopicProperty,
    layers: Layers<'_>,
    asked: Asked,
) -> DescribeConfigsResourceResult {
    let found = topic::layered(property, facts.config, layers);
    entry(property.name, property.kind as i8, property.doc, found, false, asked)
}

/// One configuration; `found` holds the layers that set it, the strongest first, and is not empty.
fn entry(
    name: &str,
    kind: i8,
    doc: &str,
    found: Vec<(String, String, ValueSource)>,
    read_only: bool,
    asked: Asked,
) -> DescribeConfigsResourceResult {
    let in_force = found.first().map(|(_, value, source)| (text(value), *source as i8));
    let (value, source) = in_force.unwrap_or((StrBytes::default(), ValueSource::Default as i8));
    let synonyms = found.into_iter().filter(|_| asked.synonyms).map(|(name, value, source)| {
        DescribeConfigsSynonym::default()
            .with_name(text(&name))
            .with_value(Some(text(&value)))
            .with_source(source as i8)
    });
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(value))
        .with_read_only(read_only)
        .with_config_source(source)
        .with_config_type(kind)
        .with_documentation(asked.documentation.then(|| text(doc)))
        .with_synonyms(synonyms.collect())
}

fn of_broker(facts: Facts<'_>, name: &str, wanted: Option<&[StrBytes]>, asked: Asked) -> Described {
    let cluster = facts.image.configs.get(&ConfigResource::cluster());
    if name.is_empty() {
        // The cluster-wide default: only what was set.
        let set = cluster.into_iter().flatten().filter(|(key, _)| is_wanted(wanted, key));
        return Ok(set
            .map(|(key, value)| {
                let found = vec![(key.clone(), value.clone(), ValueSource::DynamicDefaultBroker)];
                entry(key, kind_of(key), "", found, false, asked)
            })
            .collect());
    }
    if name.parse() != Ok(facts.config.node_id) {
        let node_id = facts.config.node_id;
        let message = format!(
            "Unexpected broker id, expected {node_id} or empty string, but received {name}"
        );
        return Err((ErrorCode::InvalidRequest, message));
    }
    let own = facts.image.configs.get(&ConfigResource::broker(facts.config.node_id));
    let rows = PROPERTIES.iter().filter(|property| is_wanted(wanted, property.name));
    Ok(rows.map(|property| broker_entry(facts, property, own, cluster, asked)).collect())
}

fn broker_entry(
    facts: Facts<'_>,
    property: &Property,
    own: Option<&BTreeMap<String, String>>,
    cluster: Option<&BTreeMap<String, String>>,
    asked: Asked,
) -> DescribeConfigsResourceResult {
    let name = property.name;
    let layers = [
        (own, ValueSource::DynamicBroker),
        (cluster, ValueSource::DynamicDefaultBroker),
        (Some(&facts.config.given), ValueSource::StaticBroker),
    ];
    let mut found: Vec<_> = layers
        .into_iter()
        .filter_map(|(values, source)| Some((name.to_owned(), values?.get(name)?.clone(), source)))
        .collect();
    if found.is_empty() || !property.default.is_empty() {
        found.push((name.to_owned(), property.default.to_owned(), ValueSource::Default));
    }
    // What a topic can override can be changed at run time; everything else needs a restart.
    let dynamic = TOPIC_PROPERTIES.iter().any(|topic| topic.synonym == Some(name));
    entry(name, property.kind, property.doc, found, !dynamic, asked)
}

fn kind_of(name: &str) -> i8 {
    PROPERTIES.iter().find(|property| property.name == name).map_or(2, |property| property.kind)
}
