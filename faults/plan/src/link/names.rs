//! Kafka's APIs and errors by their names, as far as plans speak of them.

/// An API, by its name in plans: Kafka's own, in small letters with hyphens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    pub name: &'static str,
    /// Its key in requests.
    pub key: i16,
}

/// An error, by Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    pub name: &'static str,
    pub code: i16,
}

impl Api {
    pub const PRODUCE: Api = api("produce", 0);

    pub fn named(name: &str) -> Option<Api> {
        APIS.into_iter().find(|api| api.name == name)
    }

    /// An answer with an error can be made for it.
    pub fn is_refusable(self) -> bool {
        REFUSABLE.contains(&self.name)
    }
}

impl ErrorCode {
    pub fn named(name: &str) -> Option<ErrorCode> {
        ERRORS.into_iter().find(|error| error.name == name)
    }
}

const fn api(name: &'static str, key: i16) -> Api {
    Api { name, key }
}

const fn error(name: &'static str, code: i16) -> ErrorCode {
    ErrorCode { name, code }
}

/// Those that have a response with an error for all that was asked.
pub const REFUSABLE: [&str; 10] = [
    "produce",
    "list-offsets",
    "offset-commit",
    "find-coordinator",
    "join-group",
    "sync-group",
    "heartbeat",
    "init-producer-id",
    "add-partitions-to-txn",
    "end-txn",
];

/// What clients and brokers ask of each other on the listeners that the proxy covers.
pub const APIS: [Api; 40] = [
    api("produce", 0),
    api("fetch", 1),
    api("list-offsets", 2),
    api("metadata", 3),
    api("offset-commit", 8),
    api("offset-fetch", 9),
    api("find-coordinator", 10),
    api("join-group", 11),
    api("heartbeat", 12),
    api("leave-group", 13),
    api("sync-group", 14),
    api("describe-groups", 15),
    api("list-groups", 16),
    api("api-versions", 18),
    api("create-topics", 19),
    api("delete-topics", 20),
    api("delete-records", 21),
    api("init-producer-id", 22),
    api("offset-for-leader-epoch", 23),
    api("add-partitions-to-txn", 24),
    api("add-offsets-to-txn", 25),
    api("end-txn", 26),
    api("write-txn-markers", 27),
    api("txn-offset-commit", 28),
    api("describe-configs", 32),
    api("alter-configs", 33),
    api("create-partitions", 37),
    api("delete-groups", 42),
    api("elect-leaders", 43),
    api("incremental-alter-configs", 44),
    api("alter-partition-reassignments", 45),
    api("list-partition-reassignments", 46),
    api("offset-delete", 47),
    api("describe-cluster", 60),
    api("describe-producers", 61),
    api("describe-transactions", 65),
    api("list-transactions", 66),
    api("consumer-group-heartbeat", 68),
    api("consumer-group-describe", 69),
    api("describe-topic-partitions", 75),
];

/// Every error but NONE.
pub const ERRORS: [ErrorCode; 134] = [
    error("UNKNOWN_SERVER_ERROR", -1),
    error("OFFSET_OUT_OF_RANGE", 1),
    error("CORRUPT_MESSAGE", 2),
    error("UNKNOWN_TOPIC_OR_PARTITION", 3),
    error("INVALID_FETCH_SIZE", 4),
    error("LEADER_NOT_AVAILABLE", 5),
    error("NOT_LEADER_OR_FOLLOWER", 6),
    error("REQUEST_TIMED_OUT", 7),
    error("BROKER_NOT_AVAILABLE", 8),
    error("REPLICA_NOT_AVAILABLE", 9),
    error("MESSAGE_TOO_LARGE", 10),
    error("STALE_CONTROLLER_EPOCH", 11),
    error("OFFSET_METADATA_TOO_LARGE", 12),
    error("NETWORK_EXCEPTION", 13),
    error("COORDINATOR_LOAD_IN_PROGRESS", 14),
    error("COORDINATOR_NOT_AVAILABLE", 15),
    error("NOT_COORDINATOR", 16),
    error("INVALID_TOPIC_EXCEPTION", 17),
    error("RECORD_LIST_TOO_LARGE", 18),
    error("NOT_ENOUGH_REPLICAS", 19),
    error("NOT_ENOUGH_REPLICAS_AFTER_APPEND", 20),
    error("INVALID_REQUIRED_ACKS", 21),
    error("ILLEGAL_GENERATION", 22),
    error("INCONSISTENT_GROUP_PROTOCOL", 23),
    error("INVALID_GROUP_ID", 24),
    error("UNKNOWN_MEMBER_ID", 25),
    error("INVALID_SESSION_TIMEOUT", 26),
    error("REBALANCE_IN_PROGRESS", 27),
    error("INVALID_COMMIT_OFFSET_SIZE", 28),
    error("TOPIC_AUTHORIZATION_FAILED", 29),
    error("GROUP_AUTHORIZATION_FAILED", 30),
    error("CLUSTER_AUTHORIZATION_FAILED", 31),
    error("INVALID_TIMESTAMP", 32),
    error("UNSUPPORTED_SASL_MECHANISM", 33),
    error("ILLEGAL_SASL_STATE", 34),
    error("UNSUPPORTED_VERSION", 35),
    error("TOPIC_ALREADY_EXISTS", 36),
    error("INVALID_PARTITIONS", 37),
    error("INVALID_REPLICATION_FACTOR", 38),
    error("INVALID_REPLICA_ASSIGNMENT", 39),
    error("INVALID_CONFIG", 40),
    error("NOT_CONTROLLER", 41),
    error("INVALID_REQUEST", 42),
    error("UNSUPPORTED_FOR_MESSAGE_FORMAT", 43),
    error("POLICY_VIOLATION", 44),
    error("OUT_OF_ORDER_SEQUENCE_NUMBER", 45),
    error("DUPLICATE_SEQUENCE_NUMBER", 46),
    error("INVALID_PRODUCER_EPOCH", 47),
    error("INVALID_TXN_STATE", 48),
    error("INVALID_PRODUCER_ID_MAPPING", 49),
    error("INVALID_TRANSACTION_TIMEOUT", 50),
    error("CONCURRENT_TRANSACTIONS", 51),
    error("TRANSACTION_COORDINATOR_FENCED", 52),
    error("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", 53),
    error("SECURITY_DISABLED", 54),
    error("OPERATION_NOT_ATTEMPTED", 55),
    error("KAFKA_STORAGE_ERROR", 56),
    error("LOG_DIR_NOT_FOUND", 57),
    error("SASL_AUTHENTICATION_FAILED", 58),
    error("UNKNOWN_PRODUCER_ID", 59),
    error("REASSIGNMENT_IN_PROGRESS", 60),
    error("DELEGATION_TOKEN_AUTH_DISABLED", 61),
    error("DELEGATION_TOKEN_NOT_FOUND", 62),
    error("DELEGATION_TOKEN_OWNER_MISMATCH", 63),
    error("DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", 64),
    error("DELEGATION_TOKEN_AUTHORIZATION_FAILED", 65),
    error("DELEGATION_TOKEN_EXPIRED", 66),
    error("INVALID_PRINCIPAL_TYPE", 67),
    error("NON_EMPTY_GROUP", 68),
    error("GROUP_ID_NOT_FOUND", 69),
    error("FETCH_SESSION_ID_NOT_FOUND", 70),
    error("INVALID_FETCH_SESSION_EPOCH", 71),
    error("LISTENER_NOT_FOUND", 72),
    error("TOPIC_DELETION_DISABLED", 73),
    error("FENCED_LEADER_EPOCH", 74),
    error("UNKNOWN_LEADER_EPOCH", 75),
    error("UNSUPPORTED_COMPRESSION_TYPE", 76),
    error("STALE_BROKER_EPOCH", 77),
    error("OFFSET_NOT_AVAILABLE", 78),
    error("MEMBER_ID_REQUIRED", 79),
    error("PREFERRED_LEADER_NOT_AVAILABLE", 80),
    error("GROUP_MAX_SIZE_REACHED", 81),
    error("FENCED_INSTANCE_ID", 82),
    error("ELIGIBLE_LEADERS_NOT_AVAILABLE", 83),
    error("ELECTION_NOT_NEEDED", 84),
    error("NO_REASSIGNMENT_IN_PROGRESS", 85),
    error("GROUP_SUBSCRIBED_TO_TOPIC", 86),
    error("INVALID_RECORD", 87),
    error("UNSTABLE_OFFSET_COMMIT", 88),
    error("THROTTLING_QUOTA_EXCEEDED", 89),
    error("PRODUCER_FENCED", 90),
    error("RESOURCE_NOT_FOUND", 91),
    error("DUPLICATE_RESOURCE", 92),
    error("UNACCEPTABLE_CREDENTIAL", 93),
    error("INCONSISTENT_VOTER_SET", 94),
    error("INVALID_UPDATE_VERSION", 95),
    error("FEATURE_UPDATE_FAILED", 96),
    error("PRINCIPAL_DESERIALIZATION_FAILURE", 97),
    error("SNAPSHOT_NOT_FOUND", 98),
    error("POSITION_OUT_OF_RANGE", 99),
    error("UNKNOWN_TOPIC_ID", 100),
    error("DUPLICATE_BROKER_REGISTRATION", 101),
    error("BROKER_ID_NOT_REGISTERED", 102),
    error("INCONSISTENT_TOPIC_ID", 103),
    error("INCONSISTENT_CLUSTER_ID", 104),
    error("TRANSACTIONAL_ID_NOT_FOUND", 105),
    error("FETCH_SESSION_TOPIC_ID_ERROR", 106),
    error("INELIGIBLE_REPLICA", 107),
    error("NEW_LEADER_ELECTED", 108),
    error("OFFSET_MOVED_TO_TIERED_STORAGE", 109),
    error("FENCED_MEMBER_EPOCH", 110),
    error("UNRELEASED_INSTANCE_ID", 111),
    error("UNSUPPORTED_ASSIGNOR", 112),
    error("STALE_MEMBER_EPOCH", 113),
    error("MISMATCHED_ENDPOINT_TYPE", 114),
    error("UNSUPPORTED_ENDPOINT_TYPE", 115),
    error("UNKNOWN_CONTROLLER_ID", 116),
    error("UNKNOWN_SUBSCRIPTION_ID", 117),
    error("TELEMETRY_TOO_LARGE", 118),
    error("INVALID_REGISTRATION", 119),
    error("TRANSACTION_ABORTABLE", 120),
    error("INVALID_RECORD_STATE", 121),
    error("SHARE_SESSION_NOT_FOUND", 122),
    error("INVALID_SHARE_SESSION_EPOCH", 123),
    error("FENCED_STATE_EPOCH", 124),
    error("INVALID_VOTER_KEY", 125),
    error("DUPLICATE_VOTER", 126),
    error("VOTER_NOT_FOUND", 127),
    error("INVALID_REGULAR_EXPRESSION", 128),
    error("REBOOTSTRAP_REQUIRED", 129),
    error("STREAMS_INVALID_TOPOLOGY", 130),
    error("STREAMS_INVALID_TOPOLOGY_EPOCH", 131),
    error("STREAMS_TOPOLOGY_FENCED", 132),
    error("SHARE_SESSION_LIMIT_REACHED", 133),
];
