//! Which APIs and versions we serve, on which listener.
//!
//! Promises: what stands here is served, and what is served stands here; ApiVersions answers from this table. Only the
//! minimum of Produce is not served: librdkafka does not compress unless version 0 is advertised (KAFKA-18659), and
//! below [`PRODUCE_MIN_SERVED`] a request is refused like any unsupported version.

/// API keys, by Kafka's names.
pub mod key {
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const LIST_OFFSETS: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_COMMIT: i16 = 8;
    pub const OFFSET_FETCH: i16 = 9;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const JOIN_GROUP: i16 = 11;
    pub const HEARTBEAT: i16 = 12;
    pub const LEAVE_GROUP: i16 = 13;
    pub const SYNC_GROUP: i16 = 14;
    pub const DESCRIBE_GROUPS: i16 = 15;
    pub const LIST_GROUPS: i16 = 16;
    pub const API_VERSIONS: i16 = 18;
    pub const CREATE_TOPICS: i16 = 19;
    pub const DELETE_TOPICS: i16 = 20;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
    pub const DESCRIBE_CONFIGS: i16 = 32;
    pub const CREATE_PARTITIONS: i16 = 37;
    pub const DELETE_GROUPS: i16 = 42;
    pub const ELECT_LEADERS: i16 = 43;
    pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
    pub const LIST_PARTITION_REASSIGNMENTS: i16 = 46;
    pub const VOTE: i16 = 52;
    pub const BEGIN_QUORUM_EPOCH: i16 = 53;
    pub const END_QUORUM_EPOCH: i16 = 54;
    pub const DESCRIBE_QUORUM: i16 = 55;
    pub const ALTER_PARTITION: i16 = 56;
    pub const ENVELOPE: i16 = 58;
    pub const FETCH_SNAPSHOT: i16 = 59;
    pub const DESCRIBE_CLUSTER: i16 = 60;
    pub const BROKER_REGISTRATION: i16 = 62;
    pub const BROKER_HEARTBEAT: i16 = 63;
    pub const UNREGISTER_BROKER: i16 = 64;
    pub const ALLOCATE_PRODUCER_IDS: i16 = 67;
    pub const CONTROLLER_REGISTRATION: i16 = 70;
    pub const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;
}

/// The lowest version of Produce that is answered; the ones below were of the message formats before batches.
pub const PRODUCE_MIN_SERVED: i16 = 3;

/// Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

/// Whose listener: clients talk to the broker's, the quorum and the brokers to the controller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiSet {
    Broker,
    Controller,
}

const fn row(key: i16, min: i16, max: i16) -> (i16, Versions) {
    (key, Versions { min, max })
}

static BROKER: &[(i16, Versions)] = &[
    row(key::PRODUCE, 0, 13),
    row(key::FETCH, 4, 18),
    row(key::LIST_OFFSETS, 1, 10),
    row(key::METADATA, 0, 13),
    row(key::OFFSET_COMMIT, 2, 9),
    row(key::OFFSET_FETCH, 1, 9),
    row(key::FIND_COORDINATOR, 0, 6),
    row(key::JOIN_GROUP, 0, 9),
    row(key::HEARTBEAT, 0, 4),
    row(key::LEAVE_GROUP, 0, 5),
    row(key::SYNC_GROUP, 0, 5),
    row(key::DESCRIBE_GROUPS, 0, 6),
    row(key::LIST_GROUPS, 0, 5),
    row(key::API_VERSIONS, 0, 4),
    row(key::CREATE_TOPICS, 2, 7),
    row(key::DELETE_TOPICS, 1, 6),
    row(key::INIT_PRODUCER_ID, 0, 5),
    row(key::OFFSET_FOR_LEADER_EPOCH, 2, 4),
    row(key::DESCRIBE_CONFIGS, 1, 4),
    row(key::CREATE_PARTITIONS, 0, 3),
    row(key::DELETE_GROUPS, 0, 2),
    row(key::ELECT_LEADERS, 0, 2),
    row(key::INCREMENTAL_ALTER_CONFIGS, 0, 1),
    row(key::LIST_PARTITION_REASSIGNMENTS, 0, 0),
    row(key::DESCRIBE_QUORUM, 0, 2),
    row(key::DESCRIBE_CLUSTER, 0, 2),
    row(key::DESCRIBE_TOPIC_PARTITIONS, 0, 0),
];

static CONTROLLER: &[(i16, Versions)] = &[
    row(key::FETCH, 4, 18),
    row(key::API_VERSIONS, 0, 4),
    row(key::CREATE_TOPICS, 2, 7),
    row(key::DELETE_TOPICS, 1, 6),
    row(key::DESCRIBE_CONFIGS, 1, 4),
    row(key::CREATE_PARTITIONS, 0, 3),
    row(key::ELECT_LEADERS, 0, 2),
    row(key::INCREMENTAL_ALTER_CONFIGS, 0, 1),
    row(key::VOTE, 0, 2),
    row(key::BEGIN_QUORUM_EPOCH, 0, 1),
    row(key::END_QUORUM_EPOCH, 0, 1),
    row(key::DESCRIBE_QUORUM, 0, 2),
    row(key::ALTER_PARTITION, 2, 3),
    row(key::ENVELOPE, 0, 0),
    row(key::FETCH_SNAPSHOT, 0, 1),
    row(key::DESCRIBE_CLUSTER, 0, 2),
    row(key::BROKER_REGISTRATION, 0, 4),
    row(key::BROKER_HEARTBEAT, 0, 1),
    row(key::UNREGISTER_BROKER, 0, 0),
    row(key::ALLOCATE_PRODUCER_IDS, 0, 0),
    row(key::CONTROLLER_REGISTRATION, 0, 0),
];

/// Every API of a listener with the versions that ApiVersions advertises, by ascending key.
pub fn all(set: ApiSet) -> &'static [(i16, Versions)] {
    match set {
        ApiSet::Broker => BROKER,
        ApiSet::Controller => CONTROLLER,
    }
}

/// The advertised versions of one API, `None` where the listener does not serve it.
pub fn supported(set: ApiSet, api_key: i16) -> Option<Versions> {
    let rows = all(set);
    rows.binary_search_by_key(&api_key, |row| row.0).ok().map(|at| rows[at].1)
}

/// Whether a request of this API and version is answered on this listener.
pub fn is_served(set: ApiSet, api_key: i16, version: i16) -> bool {
    supported(set, api_key).is_some_and(|versions| versions.contains(version))
        && (api_key != key::PRODUCE || version >= PRODUCE_MIN_SERVED)
}

/// Kafka's name of an API, for logs and metrics.
pub fn api_name(api_key: i16) -> &'static str {
    match api_key {
        key::PRODUCE => "Produce",
        key::FETCH => "Fetch",
        key::LIST_OFFSETS => "ListOffsets",
        key::METADATA => "Metadata",
        key::OFFSET_COMMIT => "OffsetCommit",
        key::OFFSET_FETCH => "OffsetFetch",
        key::FIND_COORDINATOR => "FindCoordinator",
        key::JOIN_GROUP => "JoinGroup",
        key::HEARTBEAT => "Heartbeat",
        key::LEAVE_GROUP => "LeaveGroup",
        key::SYNC_GROUP => "SyncGroup",
        key::DESCRIBE_GROUPS => "DescribeGroups",
        key::LIST_GROUPS => "ListGroups",
        key::API_VERSIONS => "ApiVersions",
        key::CREATE_TOPICS => "CreateTopics",
        key::DELETE_TOPICS => "DeleteTopics",
        key::INIT_PRODUCER_ID => "InitProducerId",
        key::OFFSET_FOR_LEADER_EPOCH => "OffsetForLeaderEpoch",
        key::DESCRIBE_CONFIGS => "DescribeConfigs",
        key::CREATE_PARTITIONS => "CreatePartitions",
        key::DELETE_GROUPS => "DeleteGroups",
        key::ELECT_LEADERS => "ElectLeaders",
        key::INCREMENTAL_ALTER_CONFIGS => "IncrementalAlterConfigs",
        key::LIST_PARTITION_REASSIGNMENTS => "ListPartitionReassignments",
        key::VOTE => "Vote",
        key::BEGIN_QUORUM_EPOCH => "BeginQuorumEpoch",
        key::END_QUORUM_EPOCH => "EndQuorumEpoch",
        key::DESCRIBE_QUORUM => "DescribeQuorum",
        key::ALTER_PARTITION => "AlterPartition",
        key::ENVELOPE => "Envelope",
        key::FETCH_SNAPSHOT => "FetchSnapshot",
        key::DESCRIBE_CLUSTER => "DescribeCluster",
        key::BROKER_REGISTRATION => "BrokerRegistration",
        key::BROKER_HEARTBEAT => "BrokerHeartbeat",
        key::UNREGISTER_BROKER => "UnregisterBroker",
        key::ALLOCATE_PRODUCER_IDS => "AllocateProducerIds",
        key::CONTROLLER_REGISTRATION => "ControllerRegistration",
        key::DESCRIBE_TOPIC_PARTITIONS => "DescribeTopicPartitions",
        _ => "unknown API",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::ApiKey;

    #[test]
    fn the_tables_are_sorted_named_and_within_what_can_be_decoded() {
        for set in [ApiSet::Broker, ApiSet::Controller] {
            assert!(all(set).is_sorted_by(|a, b| a.0 < b.0));
            for (api_key, versions) in all(set) {
                let theirs = ApiKey::try_from(*api_key).expect("an API that Kafka has");
                assert_eq!(api_name(*api_key), format!("{theirs:?}"));
                let range = theirs.valid_versions();
                let min = if *api_key == key::PRODUCE { PRODUCE_MIN_SERVED } else { versions.min };
                assert!(range.min <= min && versions.max <= range.max, "{theirs:?}");
            }
        }
    }

    #[test]
    fn produce_is_advertised_from_0_but_served_from_3() {
        assert_eq!(supported(ApiSet::Broker, key::PRODUCE), Some(Versions { min: 0, max: 13 }));
        assert!(!is_served(ApiSet::Broker, key::PRODUCE, 2));
        assert!(is_served(ApiSet::Broker, key::PRODUCE, 3));
        assert!(!is_served(ApiSet::Controller, key::PRODUCE, 9));
        assert!(!is_served(ApiSet::Broker, 999, 0));
    }
}
