//! Deeds on the topic as plans write them: parameters, which part of the topic, and what a target can't do.

use super::Checker;
use crate::deed::DeedName;
use crate::plan::*;
use crate::raw::RawParameters;
use crate::topic_deed::{NodeList, Oldest, Replicas, TopicDeed, WORD_BYTES_MAX, Word};
use model::fault::Role;

/// The most partitions that one fault adds.
const ADDED_MAX: u64 = 1000;
const PERCENT_DEFAULT: u64 = 50;

impl Checker<'_> {
    pub(super) fn topic_deed(
        &mut self,
        path: &str,
        name: DeedName,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Option<TopicDeed> {
        let topic = &plan.topic.name;
        let is_a_node = |prefix| {
            topic.strip_prefix(prefix).is_some_and(|number: &str| number.parse::<u32>().is_ok())
        };
        if is_a_node('n') || is_a_node('c') {
            let message = format!("`{topic}` is called as a node is: nobody could tell them apart");
            self.wrong("topic.name", message, "give the topic another name");
        }
        match name {
            DeedName::ChangeConfig => {
                let key = raw.key.take();
                let value = raw.value.take().map(|value| value.0);
                let help = "key = \"min.insync.replicas\"";
                let key = self.text(path, "key", key, "which setting of the topic?", help);
                let value = self.text(path, "value", value, "to which value?", "value = \"1\"");
                Some(TopicDeed::ChangeConfig { key: key?, value: value? })
            }
            DeedName::Reassign => {
                self.reassigns(path, plan);
                self.replicas(path, raw, plan).map(|to| TopicDeed::Reassign { to })
            }
            DeedName::DeleteRecords => {
                self.deletes_records(path, plan);
                self.oldest(path, raw).map(|which| TopicDeed::DeleteRecords { which })
            }
            DeedName::AddPartitions => self.added(path, raw, plan),
            DeedName::TransferLeadership => {
                self.reassigns(path, plan);
                if plan.topic.replication_factor < 2 {
                    let message = "a partition with one replica has nobody else to lead it";
                    self.wrong(path, message, "[topic] replication_factor = 3");
                }
                Some(TopicDeed::TransferLeadership)
            }
            DeedName::DeleteAndRecreateTopic => {
                self.only_a_queue(path, plan, "does not go on with another topic");
                Some(TopicDeed::Recreate)
            }
            DeedName::ElectUnclean => Some(TopicDeed::ElectUnclean),
            _ => Some(TopicDeed::ElectPreferred),
        }
    }

    /// Refuses what can't be asked to give a partition other replicas, or another order of them.
    fn reassigns(&mut self, path: &str, plan: &Plan) {
        if plan.target.kind == TargetKind::Bundled {
            self.wrong(
                path,
                "the bundled broker does not reassign partitions: it has no AlterPartitionReassignments",
                "[target] kind = \"kafka\"",
            );
        }
    }

    /// Refuses what can't be asked to delete records.
    fn deletes_records(&mut self, path: &str, plan: &Plan) {
        if plan.target.kind == TargetKind::Bundled {
            self.wrong(
                path,
                "the bundled broker deletes no records on request: it has no DeleteRecords",
                "[target] kind = \"kafka\"",
            );
        }
        let policy = plan.topic.properties.get("cleanup.policy");
        if policy.is_some_and(|policy| !policy.contains("delete")) {
            let message =
                "a topic that is only compacted has no records deleted (POLICY_VIOLATION)";
            self.wrong(path, message, "cleanup.policy = \"compact,delete\", or leave it out");
        }
    }

    fn oldest(&mut self, path: &str, raw: &mut RawParameters) -> Option<Oldest> {
        match (raw.percent.take(), raw.keep.take()) {
            (None, Some(keep)) => Some(Oldest::AllBut(keep)),
            (percent, None) => {
                let given = percent.unwrap_or(PERCENT_DEFAULT);
                let fits = u8::try_from(given).ok().filter(|n| (1..=100).contains(n));
                if fits.is_none() {
                    let message = format!("{given} of a hundred records");
                    self.wrong(&format!("{path}.percent"), message, "from 1 to 100");
                }
                fits.map(Oldest::Percent)
            }
            (Some(_), Some(_)) => {
                self.wrong(path, "delete which records?", "either percent = 50, or keep = 100");
                None
            }
        }
    }

    /// Refuses what clients of other workloads would not follow, as `lacks` says.
    fn only_a_queue(&mut self, path: &str, plan: &Plan, lacks: &str) {
        if plan.workload.name != WorkloadName::Queue {
            let message = format!("the workload {} {lacks}", plan.workload.name.as_str());
            self.wrong(path, message, "[workload] name = \"queue\"");
        }
    }

    fn added(&mut self, path: &str, raw: &mut RawParameters, plan: &Plan) -> Option<TopicDeed> {
        self.only_a_queue(path, plan, "does not take new partitions into use");
        let given = raw.partitions.take().unwrap_or(1);
        let fits = u16::try_from(given).ok().filter(|n| (1..=ADDED_MAX).contains(&u64::from(*n)));
        if fits.is_none() {
            let message = format!("{given} partitions more");
            self.wrong(&format!("{path}.partitions"), message, format!("from 1 to {ADDED_MAX}"));
        }
        fits.map(|count| TopicDeed::AddPartitions { count })
    }

    fn text(
        &mut self,
        path: &str,
        key: &str,
        given: Option<String>,
        asks: &str,
        help: &str,
    ) -> Option<Word> {
        let Some(given) = given.filter(|text| !text.is_empty()) else {
            self.wrong(path, asks, help);
            return None;
        };
        let text = Word::new(&given);
        if text.is_none() {
            let message = format!("{} bytes", given.len());
            self.wrong(&format!("{path}.{key}"), message, format!("up to {WORD_BYTES_MAX}"));
        }
        text
    }

    fn replicas(&mut self, path: &str, raw: &mut RawParameters, plan: &Plan) -> Option<Replicas> {
        let nodes = plan.target.nodes;
        match (raw.to.take(), raw.replicas.take()) {
            (Some(names), None) => {
                let known = |name: &String| {
                    let number = name.strip_prefix('n').and_then(|n| n.parse::<u32>().ok());
                    number.is_some_and(|n| (1..=nodes).contains(&n))
                };
                if let Some(stranger) = names.iter().find(|name| !known(name)) {
                    let message = format!("there is no broker `{stranger}`");
                    self.wrong(&format!("{path}.to"), message, format!("n1 to n{nodes}"));
                    return None;
                }
                let list = NodeList::new(&names);
                if list.is_none() {
                    let message = "one broker or more, and none of them twice";
                    self.wrong(&format!("{path}.to"), message, "to = [\"n2\", \"n3\"]");
                }
                list.map(Replicas::Nodes)
            }
            (None, Some(count)) => {
                let fits =
                    u8::try_from(count).ok().filter(|n| (1..=nodes).contains(&u32::from(*n)));
                if fits.is_none() {
                    let message = format!("{count} replicas on {nodes} brokers");
                    self.wrong(&format!("{path}.replicas"), message, format!("from 1 to {nodes}"));
                }
                fits.map(Replicas::Count)
            }
            _ => {
                let help = "either replicas = 1, or to = [\"n2\", \"n3\"]";
                self.wrong(path, "reassign to which replicas?", help);
                None
            }
        }
    }

    /// The whole topic, or a partition of it.
    pub(super) fn part_of_topic(
        &mut self,
        path: &str,
        deed: TopicDeed,
        on: Option<&str>,
    ) -> Option<Role> {
        let parts = match deed {
            TopicDeed::ChangeConfig { .. }
            | TopicDeed::AddPartitions { .. }
            | TopicDeed::Recreate => [Role::Topic].as_slice(),
            TopicDeed::ElectPreferred | TopicDeed::ElectUnclean => &[Role::Topic, Role::Partition],
            TopicDeed::Reassign { .. }
            | TopicDeed::DeleteRecords { .. }
            | TopicDeed::TransferLeadership => &[Role::Partition, Role::Topic],
        };
        let Some(on) = on else { return parts.first().cloned() };
        let found = parts.iter().find(|part| role_name(part) == on).cloned();
        if found.is_none() {
            let words: Vec<String> =
                parts.iter().map(|part| format!("\"{}\"", role_name(part))).collect();
            let message = format!("`{}` is done to the topic, not to a node", deed.name());
            let help = format!("on = {}, or leave `on` out", words.join(" or "));
            self.wrong(&format!("{path}.on"), message, help);
        }
        found
    }
}
