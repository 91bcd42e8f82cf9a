//! Plans with faults on the topic.

use super::*;
use crate::topic_deed::{Oldest, Replicas, TopicDeed};
use model::fault::Role;

fn with(fault: &str) -> String {
    format!("schema = 1\nname = \"x\"\n{fault}")
}

const ALL: &str = r#"
[target]
kind = "kafka"
[[fault]]
name = "elect-preferred"
[[fault]]
name = "elect-preferred"
on = "partition"
[[fault]]
name = "change-config"
key = "min.insync.replicas"
value = 1
[[fault]]
name = "reassign"
replicas = 1
[[fault]]
name = "reassign"
on = "topic"
to = ["n3", "n1"]
[[fault]]
name = "elect-unclean"
on = "partition"
[[fault]]
name = "delete-records"
[[fault]]
name = "delete-records"
on = "topic"
keep = 100
[[fault]]
name = "add-partitions"
partitions = 3
[[fault]]
name = "delete-and-recreate-topic"
[[fault]]
name = "transfer-leadership"
"#;

#[test]
fn faults_on_the_topic_are_printed_as_they_are_written_and_read_again() {
    let plan = load("p.toml", &with(ALL), &[]).unwrap_or_else(|e| panic!("{e}")).plan;
    let resolved = plan.to_toml();
    assert_eq!(load("resolved", &resolved, &[]).unwrap().plan, plan, "{resolved}");
    let on: Vec<&Role> = plan.faults.iter().map(|fault| &fault.on).collect();
    let (topic, partition) = (&Role::Topic, &Role::Partition);
    assert_eq!(on[..6], [topic, partition, topic, partition, topic, partition]);
    assert_eq!(on[6..], [partition, topic, topic, topic, partition]);
    let deeds: Vec<Deed> = plan.faults[6..].iter().map(|fault| fault.deed).collect();
    let delete = |which| Deed::Topic(TopicDeed::DeleteRecords { which });
    assert_eq!(deeds[..2], [delete(Oldest::Percent(50)), delete(Oldest::AllBut(100))]);
    assert_eq!(deeds[2], Deed::Topic(TopicDeed::AddPartitions { count: 3 }));
    assert_eq!(deeds[3], Deed::Topic(TopicDeed::Recreate));
    assert!(matches!(
        plan.faults[3].deed,
        Deed::Topic(TopicDeed::Reassign { to: Replicas::Count(1) })
    ));
    assert!(resolved.contains("to = [\n    \"n3\",") || resolved.contains("to = [\"n3\", \"n1\"]"));
    assert_eq!(plan.needs().into_iter().collect::<Vec<_>>(), [Needs::Nothing]);
}

#[test]
fn a_fault_on_the_topic_that_makes_no_sense_is_refused_with_help() {
    let kafka = "[target]\nkind = \"kafka\"\n";
    let of = |name: &str, more: &str| format!("{kafka}[[fault]]\nname = \"{name}\"\n{more}\n");
    let cases = [
        (
            "[[fault]]\nname = \"reassign\"\nreplicas = 1\n".to_string(),
            "the bundled broker does not reassign partitions",
        ),
        (of("reassign", ""), "reassign to which replicas?"),
        (of("reassign", "replicas = 1\nto = [\"n1\"]"), "reassign to which replicas?"),
        (of("reassign", "replicas = 4"), "4 replicas on 3 brokers"),
        (of("reassign", "replicas = 0"), "0 replicas on 3 brokers"),
        (of("reassign", "to = [\"n1\", \"n4\"]"), "there is no broker `n4`"),
        (of("reassign", "to = [\"n1\", \"n1\"]"), "none of them twice"),
        (of("reassign", "to = []"), "one broker or more"),
        (of("change-config", "value = 1"), "which setting of the topic?"),
        (of("change-config", "key = \"retention.ms\""), "to which value?"),
        (
            of("change-config", "key = \"a\"\nvalue = 1\non = \"partition\""),
            "on = \"topic\", or leave",
        ),
        (
            "[[fault]]\nname = \"delete-records\"\n".to_string(),
            "the bundled broker deletes no records on request",
        ),
        (of("delete-records", "keep = 1\npercent = 10"), "delete which records?"),
        (of("delete-records", "percent = 0"), "0 of a hundred records"),
        (
            of("delete-records", "[topic.properties]\n\"cleanup.policy\" = \"compact\""),
            "only compacted",
        ),
        (of("add-partitions", "partitions = 0"), "0 partitions more"),
        (of("add-partitions", "on = \"partition\""), "on = \"topic\", or leave"),
        (
            of("add-partitions", "[workload]\nname = \"groups\""),
            "the workload groups does not take new partitions",
        ),
        (
            of("delete-and-recreate-topic", "[workload]\nname = \"transactions\""),
            "the workload transactions does not go on with another topic",
        ),
        (
            "[[fault]]\nname = \"transfer-leadership\"\n".to_string(),
            "the bundled broker does not reassign partitions",
        ),
        (
            of("transfer-leadership", "[topic]\nreplication_factor = 1\nmin_insync_replicas = 1"),
            "nobody else to lead it",
        ),
        (of("delete-and-recreate-topic", "on = \"partition\""), "on = \"topic\", or leave"),
        (of("elect-unclean", "on = \"leader\""), "is done to the topic, not to a node"),
        (of("elect-preferred", "on = \"leader\""), "is done to the topic, not to a node"),
        (of("elect-preferred", "key = \"a\""), "`key` means nothing to `elect-preferred`"),
        (of("kill", "on = \"topic\""), "`topic` is neither a role nor a node"),
        (of("elect-preferred", "[topic]\nname = \"n1\""), "`n1` is called as a node is"),
    ];
    for (text, expected) in cases {
        let shown = problem(&with(&text));
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
}
