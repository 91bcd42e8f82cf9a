//! The administrator of a run's topic, for faults that ask the cluster for something.
//!
//! Promises: each question is answered by any broker that can be reached, within a second for each of them
//! (less where each one is asked for what it knows). Not promised: that every broker knows already what the one that answered knows.

use admin::{Admin, AdminError, NewTopic, OffsetSpec};
use inject::topic_admin::{Known, Partition, Setting, TopicAdmin, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

/// A change waits for the quorum; what takes longer is tried again by whoever wants it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What each broker knows is asked again and again, also of one that stands still: other faults wait meanwhile.
const QUICK: Duration = Duration::from_millis(250);

pub struct Administrator {
    topic: String,
    /// As the plan has it made.
    plan: NewTopic,
    /// Brokers by their names.
    brokers: BTreeMap<String, i32>,
    /// No process of theirs runs.
    dead: BTreeSet<i32>,
    admin: Admin,
    /// For questions to each broker.
    quick: Admin,
}

impl Administrator {
    pub fn new(plan: NewTopic, brokers: BTreeMap<String, i32>, bootstrap: &str) -> Administrator {
        let (topic, dead) = (plan.name.clone(), BTreeSet::new());
        let (admin, quick) = (Admin::new(bootstrap, PATIENCE), Admin::new(bootstrap, QUICK));
        Administrator { topic, plan, brokers, dead, admin, quick }
    }

    /// The processes of these nodes run, and of no others.
    pub fn runs(&mut self, nodes: &BTreeSet<String>) {
        let dead = self.brokers.iter().filter(|(name, _)| !nodes.contains(*name));
        self.dead = dead.map(|(_, id)| *id).collect();
    }

    /// Every setting in force on the topic, by Kafka's names.
    pub fn settings(&mut self) -> Result<BTreeMap<String, String>, AdminError> {
        self.admin.topic_settings(&self.topic)
    }

    fn leader(&mut self, partition: u32) -> io::Result<i32> {
        match self.partition(partition)?.leader {
            leader @ 0.. => Ok(leader),
            _ => Err(io::Error::other("it has no leader")),
        }
    }
}

impl TopicAdmin for Administrator {
    fn name(&self) -> &str {
        &self.topic
    }

    fn id(&self, node: &str) -> Option<i32> {
        self.brokers.get(node).copied()
    }

    fn brokers(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = self.brokers.values().copied().collect();
        ids.sort_unstable();
        ids
    }

    fn is_dead(&self, broker: i32) -> bool {
        self.dead.contains(&broker)
    }

    fn partition(&mut self, partition: u32) -> io::Result<Partition> {
        let found = self.partitions()?.into_iter().nth(partition as usize);
        found.ok_or_else(|| io::Error::other("the metadata does not have it"))
    }

    fn partitions(&mut self) -> io::Result<Vec<Partition>> {
        let told = self.admin.topics(&[&self.topic]).map_err(io::Error::other)?;
        let mut found: Vec<_> = told.into_iter().flat_map(|topic| topic.partitions).collect();
        found.sort_by_key(|one| one.partition);
        // A hole would give each one after it another one's number.
        let numbers = found.iter().map(|one| one.partition);
        if !numbers.eq(0..found.len() as u32) {
            return Err(io::Error::other("the metadata does not have all of its partitions"));
        }
        Ok(found.into_iter().map(of_metadata).collect())
    }

    fn add_partitions(&mut self, total: u32) -> io::Result<()> {
        self.admin.create_partitions(&self.topic, total).map_err(io::Error::other)
    }

    fn bounds(&mut self, partition: u32) -> io::Result<(i64, i64)> {
        let leader = self.leader(partition)?;
        let mut offset = |which| {
            self.admin.offset(leader, &self.topic, partition, which).map_err(io::Error::other)
        };
        Ok((offset(OffsetSpec::Earliest)?.0, offset(OffsetSpec::Latest)?.0))
    }

    fn delete_records(&mut self, partition: u32, before: i64) -> io::Result<Option<i64>> {
        let leader = self.leader(partition)?;
        let asked = self.admin.delete_records(leader, &self.topic, partition, before);
        asked.map_err(io::Error::other)
    }

    fn elect_unclean(&mut self, partition: u32) -> io::Result<()> {
        self.admin.elect_leaders(&self.topic, &[partition], true).map_err(io::Error::other)
    }

    fn elect_preferred(&mut self, partition: u32) -> io::Result<()> {
        self.admin.elect_leaders(&self.topic, &[partition], false).map_err(io::Error::other)
    }

    fn setting(&mut self, key: &str) -> io::Result<Option<Setting>> {
        let found = self.admin.topic_setting(&self.topic, key).map_err(io::Error::other)?;
        Ok(found.map(|setting| Setting { value: setting.value, own: setting.own }))
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> io::Result<()> {
        self.admin.set_topic_setting(&self.topic, key, value).map_err(io::Error::other)
    }

    fn reassign(&mut self, partition: u32, replicas: &[i32]) -> io::Result<()> {
        self.admin.reassign(&self.topic, partition, replicas).map_err(io::Error::other)
    }

    fn is_reassigned(&mut self, partition: u32) -> io::Result<bool> {
        self.admin.is_reassigned(&self.topic, partition).map_err(io::Error::other)
    }

    fn known_to(&mut self, broker: i32) -> io::Result<Option<Known>> {
        let told = self.quick.topic_known_to(broker, &self.topic).map_err(io::Error::other)?;
        Ok(told.map(|topic| Known {
            id: *topic.id.as_bytes(),
            partitions: topic.partitions.into_iter().map(of_metadata).collect(),
        }))
    }

    fn delete(&mut self, id: TopicId) -> io::Result<bool> {
        match self.admin.delete_topic_of(id) {
            Ok(()) => Ok(true),
            Err(AdminError::Broker { code, .. }) if code == "UNKNOWN_TOPIC_ID" => Ok(true),
            Err(AdminError::Broker { code, .. }) if code == "REQUEST_TIMED_OUT" => Ok(false),
            Err(error @ AdminError::Broker { .. }) => Err(io::Error::other(error)),
            // The request may have come to a broker whose answer did not come to us.
            Err(_) => Ok(false),
        }
    }

    fn create(&mut self, partitions: u32) -> io::Result<()> {
        let topic = NewTopic { partitions, ..self.plan.clone() };
        match self.admin.create_topic(&topic) {
            Ok(_) => Ok(()),
            Err(AdminError::Broker { code, .. }) if code == "TOPIC_ALREADY_EXISTS" => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn of_metadata(one: admin::Partition) -> Partition {
    Partition { leader: one.leader, replicas: one.replicas, isr: one.isr }
}
