//! What can be asked of a cluster about the plan's topic: the deeds of an administrator.
//!
//! Promises: as [`crate::deed`] does, plain data with every parameter in it. None of them touches a node: they count as no
//! damage to one. Not here: how it is asked.

use crate::deed::{DeedName, Value};
use crate::text::Text;
use std::fmt;

/// The brokers that a plan may have: `n1` to `n31`.
const BROKERS_MAX: usize = 31;
/// Copying a log to a new replica takes as long as it takes.
const REASSIGN_MS: u64 = 60_000;
/// Every replica of a new partition has to be made before all are in sync.
const ADD_PARTITIONS_MS: u64 = 20_000;
/// Every broker has to hear of the deletion and of the new topic, one that is just being started among them.
const RECREATE_MS: u64 = 60_000;
/// The order of replicas, and the election after it.
const TRANSFER_MS: u64 = 60_000;

/// The longest name of a setting, and its longest value. Kafka's longest name has 37 characters.
pub const WORD_BYTES_MAX: usize = 48;

/// A setting's name, or its value.
pub type Word = Text<WORD_BYTES_MAX>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicDeed {
    /// An election of the first of the replicas. There is nothing to heal.
    ElectPreferred,
    /// Healed by the former value, or by none where the topic had none of its own.
    ChangeConfig { key: Word, value: Word },
    /// Healed by the former replicas in their former order.
    Reassign { to: Replicas },
    /// An election among replicas that are not in sync. There is nothing to heal.
    ElectUnclean,
    /// Nothing brings them back: there is nothing to heal.
    DeleteRecords { which: Oldest },
    /// So many more. They can't be taken away: there is nothing to heal.
    AddPartitions { count: u16 },
    /// Another topic under the same name, with as many partitions and the same settings. There is nothing to heal.
    Recreate,
    /// An in-sync replica is put first among the replicas, and elected. Healed by their former order; nobody is elected then.
    TransferLeadership,
}

/// Which of a partition's records are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// So many of a hundred of those that are there.
    Percent(u8),
    /// All but so many of the newest.
    AllBut(u64),
}

/// Which replicas a partition is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// These, the preferred leader first.
    Nodes(NodeList),
    /// So many: the leader first, then the others in their order, then brokers that were none.
    Count(u8),
}

/// Brokers by their names, in an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NodeList {
    /// The number in the name of each; 0: no more.
    numbers: [u8; BROKERS_MAX],
}

impl NodeList {
    /// `None` where a node stands twice or is no broker, or where there is none at all.
    pub fn new(names: &[String]) -> Option<NodeList> {
        let mut numbers = [0; BROKERS_MAX];
        for (at, name) in names.iter().enumerate() {
            let number: u8 = name.strip_prefix('n')?.parse().ok()?;
            let known = (1..=BROKERS_MAX).contains(&usize::from(number));
            if !known || numbers.contains(&number) {
                return None;
            }
            *numbers.get_mut(at)? = number;
        }
        (!names.is_empty()).then_some(NodeList { numbers })
    }

    pub fn names(&self) -> Vec<String> {
        self.numbers.iter().filter(|number| **number > 0).map(|n| format!("n{n}")).collect()
    }
}

impl fmt::Debug for NodeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names().fmt(f)
    }
}

impl TopicDeed {
    pub fn name(self) -> DeedName {
        match self {
            TopicDeed::ElectPreferred => DeedName::ElectPreferred,
            TopicDeed::ChangeConfig { .. } => DeedName::ChangeConfig,
            TopicDeed::Reassign { .. } => DeedName::Reassign,
            TopicDeed::ElectUnclean => DeedName::ElectUnclean,
            TopicDeed::DeleteRecords { .. } => DeedName::DeleteRecords,
            TopicDeed::AddPartitions { .. } => DeedName::AddPartitions,
            TopicDeed::Recreate => DeedName::DeleteAndRecreateTopic,
            TopicDeed::TransferLeadership => DeedName::TransferLeadership,
        }
    }

    /// How long it may take to be in effect, beyond what every fault is given.
    pub fn takes_ms(self) -> u64 {
        match self {
            TopicDeed::Reassign { .. } => REASSIGN_MS,
            TopicDeed::AddPartitions { .. } => ADD_PARTITIONS_MS,
            TopicDeed::Recreate => RECREATE_MS,
            TopicDeed::TransferLeadership => TRANSFER_MS,
            TopicDeed::ElectPreferred
            | TopicDeed::ElectUnclean
            | TopicDeed::ChangeConfig { .. }
            | TopicDeed::DeleteRecords { .. } => 0,
        }
    }

    /// Whether two deeds can't be at the same time, each on its part of the topic: the end of one would undo the other, or one
    /// could not be told from the other.
    pub fn meets(self, part: &str, other: TopicDeed, of: &str) -> bool {
        // What was asked of a topic is gone with it, and so is what would be put back.
        let takes_all = matches!(self, TopicDeed::Recreate) || matches!(other, TopicDeed::Recreate);
        takes_all || part == of && self.excludes(other)
    }

    /// They can't be on one partition, or one topic, at the same time.
    fn excludes(self, other: TopicDeed) -> bool {
        match (self, other) {
            (TopicDeed::ChangeConfig { key, .. }, TopicDeed::ChangeConfig { key: of, .. }) => {
                key == of
            }
            (
                TopicDeed::Reassign { .. } | TopicDeed::TransferLeadership,
                TopicDeed::Reassign { .. } | TopicDeed::TransferLeadership,
            )
            | (TopicDeed::AddPartitions { .. }, TopicDeed::AddPartitions { .. }) => true,
            _ => false,
        }
    }

    /// It changes what is in force on the topic, the number of its partitions among it.
    pub fn changes_settings(self) -> bool {
        matches!(self, TopicDeed::ChangeConfig { .. } | TopicDeed::AddPartitions { .. })
    }

    /// Its parameters by their keys in a plan, all of them.
    pub fn parameters(self) -> Vec<(&'static str, Value)> {
        match self {
            TopicDeed::ElectPreferred
            | TopicDeed::ElectUnclean
            | TopicDeed::Recreate
            | TopicDeed::TransferLeadership => Vec::new(),
            TopicDeed::DeleteRecords { which: Oldest::Percent(percent) } => {
                vec![("percent", Value::Number(percent.into()))]
            }
            TopicDeed::DeleteRecords { which: Oldest::AllBut(keep) } => {
                vec![("keep", Value::Number(keep))]
            }
            TopicDeed::AddPartitions { count } => vec![("partitions", Value::Number(count.into()))],
            TopicDeed::ChangeConfig { key, value } => vec![
                ("key", Value::Text(key.to_string())),
                ("value", Value::Text(value.to_string())),
            ],
            TopicDeed::Reassign { to: Replicas::Nodes(nodes) } => {
                vec![("to", Value::List(nodes.names()))]
            }
            TopicDeed::Reassign { to: Replicas::Count(count) } => {
                vec![("replicas", Value::Number(count.into()))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_nodes_keeps_its_order_and_has_nobody_twice() {
        let list = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            NodeList::new(&names).map(|list| list.names().join(" "))
        };
        assert_eq!(list(&["n3", "n1"]).as_deref(), Some("n3 n1"));
        for wrong in [&["n1", "n1"][..], &["c1"], &["n0"], &["n32"], &["x"], &[]] {
            assert_eq!(list(wrong), None, "{wrong:?}");
        }
    }
}
