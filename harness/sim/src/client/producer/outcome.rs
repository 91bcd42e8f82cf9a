//! What the answers to a batch's attempts make certain, and what not.
//!
//! Promises: [`Outcome::Fail`] only if no attempt can have been appended: none left, or each that did was answered with an
//! error that a broker gives before it appends. This is what a real run's clients say (`clients::outcome`), a little sharper
//! in two rows, because a model client knows all its attempts and not only the last error:
//!
//! | what happened to an attempt | what is certain | what follows |
//! |---|---|---|
//! | none left before the delivery timeout | not appended | fail |
//! | answered without an error | appended, at this offset | ok |
//! | DUPLICATE_SEQUENCE_NUMBER | appended, somewhere | ok, without an offset |
//! | MESSAGE_TOO_LARGE, INVALID_RECORD and their like | this one was not | given up |
//! | NOT_ENOUGH_REPLICAS, OUT_OF_ORDER_SEQUENCE_NUMBER, UNKNOWN_PRODUCER_ID | this one was not | sent again |
//! | NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT | nothing | sent again |
//! | NOT_LEADER_OR_FOLLOWER | nothing: a leader that lost its place says it of what it had appended (KAFKA-13574) | sent again |
//! | no answer: timed out, or the connection ended | nothing | sent again |
//! | any other error | nothing | given up |

use model::history::Outcome;
use model::settings::Acks;
use wire::error::ErrorCode;

/// What one answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// This attempt may have been appended.
    pub doubtful: bool,
    pub retriable: bool,
    /// Somebody else leads, or nobody.
    pub leader_moved: bool,
    /// The sequence number does not follow what the broker knows.
    pub out_of_order: bool,
}

/// Of an error that a broker answered; not of success and DUPLICATE_SEQUENCE_NUMBER.
pub(super) fn meaning(error_code: i16) -> Meaning {
    let plain =
        Meaning { doubtful: true, retriable: false, leader_moved: false, out_of_order: false };
    let Some(error) = ErrorCode::from_code(error_code) else { return plain };
    match error {
        ErrorCode::NotEnoughReplicas => Meaning { doubtful: false, retriable: true, ..plain },
        ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => {
            Meaning { doubtful: false, retriable: true, out_of_order: true, ..plain }
        }
        ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut
        | ErrorCode::NetworkException
        | ErrorCode::CorruptMessage
        | ErrorCode::ThrottlingQuotaExceeded => Meaning { retriable: true, ..plain },
        ErrorCode::NotLeaderOrFollower
        | ErrorCode::LeaderNotAvailable
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId
        | ErrorCode::FencedLeaderEpoch
        | ErrorCode::UnknownLeaderEpoch
        | ErrorCode::ReplicaNotAvailable
        | ErrorCode::BrokerNotAvailable
        | ErrorCode::KafkaStorageError => Meaning { retriable: true, leader_moved: true, ..plain },
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidRecord
        | ErrorCode::InvalidTimestamp
        | ErrorCode::InvalidTopicException
        | ErrorCode::InvalidRequiredAcks
        | ErrorCode::TopicAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::UnsupportedForMessageFormat
        | ErrorCode::UnsupportedCompressionType
        | ErrorCode::PolicyViolation => Meaning { doubtful: false, ..plain },
        _ => plain,
    }
}

/// Of a batch that is given up. `doubtful`: some attempt may have been appended.
pub(super) fn given_up(doubtful: bool, acks: Acks) -> Outcome {
    match (doubtful, acks) {
        (false, _) => Outcome::Fail,
        (true, Acks::None) => Outcome::Unacknowledged,
        (true, _) => Outcome::Info,
    }
}
