//! What deeds on the topic need of whoever can ask the cluster for something.

use std::io;

/// A partition as the cluster tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// -1: none.
    pub leader: i32,
    /// The preferred leader first.
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

/// Of a topic; all zero where the cluster gives none.
pub type TopicId = [u8; 16];

/// The topic as one broker knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub id: TopicId,
    pub partitions: Vec<Partition>,
}

/// A setting of the topic that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    /// The topic's own, not what its broker has for all.
    pub own: bool,
}

/// The administrator of one topic.
///
/// Promises: no call waits for long; a change that is answered without an error was taken by the cluster, though not every
/// broker may know of it yet.
pub trait TopicAdmin {
    /// The topic's name.
    fn name(&self) -> &str;

    /// The id of a broker.
    fn id(&self, node: &str) -> Option<i32>;

    /// The ids of all brokers.
    fn brokers(&self) -> Vec<i32>;

    /// No process of the broker runs: it tells nobody anything, and before it does again it hears what it has missed.
    fn is_dead(&self, broker: i32) -> bool;

    fn partition(&mut self, partition: u32) -> io::Result<Partition>;

    /// An election of the first replica; one that is not needed is no error.
    fn elect_preferred(&mut self, partition: u32) -> io::Result<()>;

    /// An election of any replica that is alive; one that is not needed is no error.
    fn elect_unclean(&mut self, partition: u32) -> io::Result<()>;

    /// Where its leader's log starts, and its high watermark.
    fn bounds(&mut self, partition: u32) -> io::Result<(i64, i64)>;

    /// Has its leader delete the records below an offset. Answers below which offset no live replica has any; `None`: not all
    /// have followed their leader yet. Asked again it is no further deletion.
    fn delete_records(&mut self, partition: u32, before: i64) -> io::Result<Option<i64>>;

    /// All partitions, in their order.
    fn partitions(&mut self) -> io::Result<Vec<Partition>>;

    /// Adds partitions until there are so many.
    fn add_partitions(&mut self, total: u32) -> io::Result<()>;

    /// `None`: there is no setting of this name.
    fn setting(&mut self, key: &str) -> io::Result<Option<Setting>>;

    /// `None`: no setting of its own any more.
    fn set(&mut self, key: &str, value: Option<&str>) -> io::Result<()>;

    fn reassign(&mut self, partition: u32, replicas: &[i32]) -> io::Result<()>;

    /// Whether a reassignment of it still goes on.
    fn is_reassigned(&mut self, partition: u32) -> io::Result<bool>;

    /// The topic as this broker knows it; `None`: it does not.
    fn known_to(&mut self, broker: i32) -> io::Result<Option<Known>>;

    /// Has the topic of this id deleted. An error: it was refused; `false`: nobody knows whether it was taken.
    fn delete(&mut self, id: TopicId) -> io::Result<bool>;

    /// Has a topic made under the name, with the settings that the first one was made with. One that is there is no error.
    fn create(&mut self, partitions: u32) -> io::Result<()>;
}
