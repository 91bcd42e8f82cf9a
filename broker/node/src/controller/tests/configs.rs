//! IncrementalAlterConfigs.

use wire::error::ErrorCode;
use wire::messages::IncrementalAlterConfigsRequest;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::{Cluster, state, text};
use crate::controller::{ControllerRequest, ControllerResponse};
use crate::image::{ConfigResource, NO_LEADER};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn alter(
    cluster: &mut Cluster,
    (kind, resource): (i8, &str),
    operations: &[(i8, &str, Option<&str>)],
) -> (ErrorCode, String) {
    let config = |(operation, name, value): &(i8, &str, Option<&str>)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let asked = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configs(operations.iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![asked]);
    let answer = cluster.ask(1, ControllerRequest::IncrementalAlterConfigs(request));
    let ControllerResponse::IncrementalAlterConfigs(answer) = answer else { panic!("{answer:?}") };
    let result = &answer.responses[0];
    let code = ErrorCode::from_code(result.error_code).expect("a code of Kafka's");
    (code, result.error_message.as_ref().map_or(String::new(), ToString::to_string))
}

pub(super) fn set(cluster: &mut Cluster, kind: i8, resource: &str, name: &str, value: &str) {
    let outcome = alter(cluster, (kind, resource), &[(0, name, Some(value))]);
    assert_eq!(outcome.0, ErrorCode::None, "{outcome:?}");
}

fn value(cluster: &Cluster, topic: &str, name: &str) -> Option<String> {
    cluster.image().configs.get(&ConfigResource::topic(topic))?.get(name).cloned()
}

#[test]
fn settings_are_set_appended_subtracted_and_deleted() {
    let mut cluster = Cluster::of(1, "");
    cluster.topic("t", &[1], &[]);
    set(&mut cluster, TOPIC, "t", "retention.ms", "77");
    assert_eq!(value(&cluster, "t", "retention.ms").as_deref(), Some("77"));
    let policy = |cluster: &mut Cluster, operation, item| {
        alter(cluster, (TOPIC, "t"), &[(operation, "cleanup.policy", Some(item))]).0
    };
    assert_eq!(policy(&mut cluster, 2, "compact"), ErrorCode::None);
    assert_eq!(value(&cluster, "t", "cleanup.policy").as_deref(), Some("delete,compact"));
    assert_eq!(policy(&mut cluster, 3, "delete"), ErrorCode::None);
    assert_eq!(value(&cluster, "t", "cleanup.policy").as_deref(), Some("compact"));
    let delete = alter(&mut cluster, (TOPIC, "t"), &[(1, "retention.ms", None)]);
    assert_eq!(delete.0, ErrorCode::None);
    assert_eq!(value(&cluster, "t", "retention.ms"), None);
}

#[test]
fn an_unchanged_topic_setting_is_not_written_again() {
    let mut cluster = Cluster::of(1, "");
    cluster.topic("t", &[1], &[("retention.ms", "5")]);
    let before = cluster.end();
    set(&mut cluster, TOPIC, "t", "retention.ms", "5");
    assert_eq!(cluster.end(), before);
    set(&mut cluster, BROKER, "", "log.retention.ms", "5");
    set(&mut cluster, BROKER, "", "log.retention.ms", "5");
    assert_eq!(cluster.end(), before + 2, "brokers reload on every record");
}

#[test]
fn bad_settings_are_refused_and_nothing_is_written() {
    let mut cluster = Cluster::of(1, "");
    cluster.topic("t", &[1], &[]);
    let before = cluster.end();
    let invalid = ErrorCode::InvalidConfig;
    let mut code = |resource, operation| alter(&mut cluster, resource, &[operation]).0;
    assert_eq!(code((TOPIC, "t"), (0, "no.such", Some("1"))), invalid);
    assert_eq!(code((TOPIC, "t"), (0, "retention.ms", Some("-2"))), invalid);
    assert_eq!(code((TOPIC, "t"), (2, "retention.ms", Some("1"))), invalid);
    assert_eq!(code((TOPIC, "t"), (0, "retention.ms", None)), ErrorCode::InvalidRequest);
    assert_eq!(code((TOPIC, "t"), (9, "retention.ms", Some("1"))), ErrorCode::InvalidRequest);
    assert_eq!(
        code((TOPIC, "u"), (0, "retention.ms", Some("1"))),
        ErrorCode::UnknownTopicOrPartition
    );
    assert_eq!(code((BROKER, ""), (0, "log.dirs", Some("/x"))), invalid);
    assert_eq!(code((BROKER, ""), (0, "log.retention.ms", Some("soon"))), invalid);
    assert_eq!(
        code((BROKER, "9"), (0, "log.retention.ms", Some("1"))),
        ErrorCode::BrokerIdNotRegistered
    );
    assert_eq!(code((BROKER, "x"), (0, "log.retention.ms", Some("1"))), ErrorCode::InvalidRequest);
    assert_eq!(code((77, "x"), (0, "a", Some("1"))), ErrorCode::InvalidRequest);
    let twice = [(0, "retention.ms", Some("1")), (0, "retention.ms", Some("2"))];
    assert_eq!(alter(&mut cluster, (TOPIC, "t"), &twice).0, ErrorCode::InvalidRequest);
    let clash = [(0, "min.compaction.lag.ms", Some("9")), (0, "max.compaction.lag.ms", Some("8"))];
    assert_eq!(alter(&mut cluster, (TOPIC, "t"), &clash).0, invalid);
    assert_eq!(cluster.end(), before);
    let why = alter(&mut cluster, (BROKER, ""), &[(0, "log.retention.ms", Some("soon"))]).1;
    assert_eq!(
        why,
        "Invalid value soon for configuration log.retention.ms: Not a number of type LONG"
    );
}

#[test]
fn with_elr_min_insync_is_the_topics_or_the_clusters() {
    let mut cluster = Cluster::of(1, "");
    let min = |operation, value| [(operation, "min.insync.replicas", value)];
    let of_broker = alter(&mut cluster, (BROKER, "1"), &min(0, Some("2")));
    assert_eq!(of_broker.0, ErrorCode::InvalidConfig);
    assert_eq!(alter(&mut cluster, (BROKER, ""), &min(0, Some("2"))).0, ErrorCode::None);
    assert_eq!(cluster.image().recorded_min_insync_replicas("t"), 2);
    assert_eq!(alter(&mut cluster, (BROKER, ""), &min(1, None)).0, ErrorCode::InvalidConfig);

    let mut cluster = Cluster::of(1, "highwater.elr=false\n");
    assert_eq!(alter(&mut cluster, (BROKER, "1"), &min(0, Some("2"))).0, ErrorCode::None);
    assert_eq!(alter(&mut cluster, (BROKER, ""), &min(1, None)).0, ErrorCode::None);
}

#[test]
fn another_min_insync_forgets_who_was_eligible() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[("min.insync.replicas", "2")]);
    cluster.topic("u", &[1, 2], &[("min.insync.replicas", "2")]);
    cluster.kill(2);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[2][..], 1, 0, 1));
    set(&mut cluster, TOPIC, "t", "min.insync.replicas", "1");
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], 1, 0, 2));
    assert_eq!(cluster.part("u", 0).elr, [2], "another topic's affair");
}

#[test]
fn allowing_unclean_elections_elects_where_nobody_leads() {
    let mut cluster = Cluster::of(2, "highwater.elr=false\n");
    cluster.topic("t", &[1, 2], &[]);
    cluster.kill(2);
    cluster.kill(1);
    cluster.alive(2);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER);
    set(&mut cluster, TOPIC, "t", "unclean.leader.election.enable", "true");
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[][..], 2, 2, 3));
}
