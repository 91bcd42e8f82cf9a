//! Who leads: elections after brokers come and go, on request, and for balance.

use uuid::Uuid;
use wire::error::ErrorCode;
use wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use wire::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use wire::metadata::MetadataRecord;

use super::Active;
use super::api::Refused;
use super::partition_change::{Election, PartitionChange};
use crate::defect::Defect;
use crate::image::{
    DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, MetadataImage, NO_LEADER,
    PartitionImage,
};
use crate::step::Severity;

/// The most elections that one look at the balance makes, as in Kafka.
const MAX_ELECTIONS_PER_IMBALANCE: usize = 1_000;

/// ElectLeaders' election types.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// A broker whose standing changes while partitions are looked at; the image still has it as it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    /// Leaves every ISR and may not lead.
    pub leaves: Option<i32>,
    /// May lead though the image has it fenced.
    pub joins: Option<i32>,
    /// Leaves ISR and ELR: it may have lost what was acknowledged.
    pub unclean_shutdown: Option<i32>,
}

/// Whether `broker` can lead the partition: its directory of the replica is online.
pub(super) fn has_online_directory(
    image: &MetadataImage,
    partition: &PartitionImage,
    broker: i32,
) -> bool {
    let Some(registration) = image.broker(broker) else { return false };
    match partition.directory(broker) {
        None | Some(DIRECTORY_LOST) => false,
        Some(DIRECTORY_UNASSIGNED | DIRECTORY_MIGRATING) => true,
        Some(directory) => {
            registration.log_dirs.is_empty() || registration.log_dirs.contains(&directory)
        }
    }
}

impl Active {
    /// What the controller may count on for the partition; see [`crate::image::configs`].
    pub(super) fn min_isr(&self, topic: &str, partition: &PartitionImage) -> usize {
        self.image.recorded_min_insync_replicas(topic).min(partition.replicas.len())
    }

    pub(super) fn unclean_election_enabled(&self, topic: &str) -> bool {
        self.has(Defect::UncleanElection)
            || self.image.unclean_election_enabled(topic, &self.config)
    }

    /// The partitions that `wanted` picks, by topic id and index.
    pub(super) fn partitions(&self, wanted: impl Fn(&PartitionImage) -> bool) -> Vec<(Uuid, i32)> {
        let mut found = Vec::new();
        for (id, topic) in &self.image.topics {
            for (index, partition) in &topic.partitions {
                if wanted(partition) {
                    found.push((*id, *index));
                }
            }
        }
        found
    }

    pub(super) fn leads_something(&self, broker: i32) -> bool {
        self.image
            .topics
            .values()
            .any(|topic| topic.partitions.values().any(|partition| partition.leader == broker))
    }

    /// Works out what `shift` means for each of `partitions`, before any of it is written.
    pub(super) fn leader_and_isr_changes(
        &self,
        shift: Shift,
        partitions: &[(Uuid, i32)],
    ) -> Vec<MetadataRecord> {
        let may_lead = |broker: i32| {
            Some(broker) != shift.leaves
                && Some(broker) != shift.unclean_shutdown
                && (Some(broker) == shift.joins || self.image.is_active(broker))
        };
        let mut records = Vec::new();
        for (topic_id, partition_id) in partitions {
            let Some(topic) = self.image.topics.get(topic_id) else { continue };
            let Some(partition) = topic.partitions.get(partition_id) else { continue };
            let is_acceptable = |broker: i32| {
                may_lead(broker) && has_online_directory(&self.image, partition, broker)
            };
            let mut change =
                PartitionChange::new(*topic_id, *partition_id, partition, &is_acceptable);
            change.min_isr = self.min_isr(&topic.name, partition);
            change.elr_enabled = self.elr_enabled();
            if self.unclean_election_enabled(&topic.name) {
                change.election = Election::Unclean;
            }
            change.unclean_shutdown = shift.unclean_shutdown;
            change.target_isr.retain(|replica| {
                Some(*replica) != shift.leaves && Some(*replica) != shift.unclean_shutdown
            });
            records.extend(change.build().map(MetadataRecord::PartitionChange));
        }
        records
    }

    /// Writes what [`Active::leader_and_isr_changes`] found, and says who leads now.
    pub(super) fn write_changes(&mut self, records: Vec<MetadataRecord>) {
        for record in records {
            self.write_change(record);
        }
    }

    fn write_change(&mut self, record: MetadataRecord) {
        let MetadataRecord::PartitionChange(change) = &record else {
            self.write(record);
            return;
        };
        let (topic_id, index, elects) =
            (change.topic_id, change.partition_id, change.leader.is_some());
        let unclean = change.leader_recovery_state == Some(1);
        let before =
            self.image.partition(topic_id, index).map_or(NO_LEADER, |partition| partition.leader);
        self.write(record);
        let Some(partition) = self.image.partition(topic_id, index).filter(|_| elects) else {
            return;
        };
        let line = format!(
            "{}-{index}: leader {before} -> {} in leader epoch {}, ISR {:?}, ELR {:?}{}",
            self.image.topic_name(topic_id).unwrap_or("?"),
            partition.leader,
            partition.leader_epoch,
            partition.isr,
            partition.elr,
            if unclean { ", an UNCLEAN election" } else { "" },
        );
        let severity =
            if unclean || partition.leader == NO_LEADER { Severity::Warn } else { Severity::Info };
        self.say(severity, line);
    }

    pub(super) fn elect_leaders(&mut self, request: &ElectLeadersRequest) -> ElectLeadersResponse {
        let election = match request.election_type {
            PREFERRED => Election::Preferred,
            UNCLEAN => Election::Unclean,
            _ => {
                let code = ErrorCode::InvalidRequest as i16;
                return ElectLeadersResponse::default().with_error_code(code);
            }
        };
        let mut results = Vec::new();
        if let Some(topics) = &request.topic_partitions {
            for topic in topics {
                let asked = topic
                    .partitions
                    .iter()
                    .map(|index| (*index, self.elect(&topic.topic, *index, election)));
                let outcomes: Vec<_> = asked.collect();
                results.push(election_result(topic.topic.clone(), outcomes));
            }
        } else {
            let all: Vec<(String, Vec<i32>)> = self
                .image
                .topics
                .values()
                .map(|topic| (topic.name.clone(), topic.partitions.keys().copied().collect()))
                .collect();
            for (name, partitions) in all {
                let mut outcomes = Vec::new();
                for index in partitions {
                    let outcome = self.elect(&name, index, election);
                    // Asked for everything: those that need none are not worth a word.
                    let needless = |refused: &Refused| refused.code == ErrorCode::ElectionNotNeeded;
                    if !outcome.as_ref().is_err_and(needless) {
                        outcomes.push((index, outcome));
                    }
                }
                let name = TopicName(wire::StrBytes::from_string(name));
                results.push(election_result(name, outcomes));
            }
        }
        ElectLeadersResponse::default().with_replica_election_results(results)
    }

    fn elect(&mut self, topic: &str, index: i32, election: Election) -> Result<(), Refused> {
        let unknown = |what: String| Refused::new(ErrorCode::UnknownTopicOrPartition, what);
        let Some(topic) = self.image.topic(topic) else {
            return Err(unknown(format!("No such topic as {topic}")));
        };
        let Some(partition) = topic.partitions.get(&index) else {
            return Err(unknown(format!("No such partition as {}-{index}", topic.name)));
        };
        let needless = match election {
            Election::Preferred => partition.has_preferred_leader(),
            Election::Online | Election::Unclean => partition.leader != NO_LEADER,
        };
        if needless {
            return Err(Refused::bare(ErrorCode::ElectionNotNeeded));
        }
        match self.election_record(topic.id, index, election) {
            Some(record) => {
                self.write_change(record);
                Ok(())
            }
            None if election == Election::Preferred => {
                Err(Refused::bare(ErrorCode::PreferredLeaderNotAvailable))
            }
            None => Err(Refused::bare(ErrorCode::EligibleLeadersNotAvailable)),
        }
    }

    fn election_record(
        &self,
        topic_id: Uuid,
        index: i32,
        election: Election,
    ) -> Option<MetadataRecord> {
        let topic = self.image.topics.get(&topic_id)?;
        let partition = topic.partitions.get(&index)?;
        let is_acceptable = |broker: i32| {
            self.image.is_active(broker) && has_online_directory(&self.image, partition, broker)
        };
        let mut change = PartitionChange::new(topic_id, index, partition, &is_acceptable);
        change.min_isr = self.min_isr(&topic.name, partition);
        change.elr_enabled = self.elr_enabled();
        change.election = election;
        change.build().map(MetadataRecord::PartitionChange)
    }

    /// Gives preferred replicas that are in sync their leadership back.
    pub(super) fn elect_preferred_leaders(&mut self) {
        let imbalanced = self.partitions(|partition| !partition.has_preferred_leader());
        let mut elections = 0;
        for (topic_id, index) in imbalanced {
            if elections == MAX_ELECTIONS_PER_IMBALANCE {
                return;
            }
            if let Some(record) = self.election_record(topic_id, index, Election::Preferred) {
                self.write_change(record);
                elections += 1;
            }
        }
    }

    /// Elects somebody for the partitions without a leader, where their topics allow an unclean election.
    pub(super) fn elect_unclean_leaders(&mut self) {
        for (topic_id, index) in self.partitions(|partition| partition.leader == NO_LEADER) {
            let allowed = self
                .image
                .topic_name(topic_id)
                .is_some_and(|name| self.unclean_election_enabled(name));
            if allowed
                && let Some(record) = self.election_record(topic_id, index, Election::Unclean)
            {
                self.write_change(record);
            }
        }
    }
}

fn election_result(
    topic: TopicName,
    outcomes: Vec<(i32, Result<(), Refused>)>,
) -> ReplicaElectionResult {
    let result = |(index, outcome): (i32, Result<(), Refused>)| {
        let result = PartitionResult::default().with_partition_id(index);
        match outcome {
            Ok(()) => result.with_error_message(None),
            Err(refused) => {
                result.with_error_code(refused.code as i16).with_error_message(refused.text())
            }
        }
    };
    ReplicaElectionResult::default()
        .with_topic(topic)
        .with_partition_result(outcomes.into_iter().map(result).collect())
}
