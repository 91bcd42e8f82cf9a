//! From a delivery report to ok, fail, info or unacknowledged.
//!
//! librdkafka keeps a persistence status for each message over all its attempts and never downgrades it to
//! "not persisted" (`rd_kafka_msgq_set_metadata`, rdkafka_msg.c). `Fail` needs that status *and* an error that every attempt
//! would have met, so that no earlier one can have been appended either:
//!
//! | delivery report | class | why |
//! |---|---|---|
//! | no error, acks 1 or all | ok | the offset is the broker's answer |
//! | no error, acks 0 | unacknowledged | nobody promised anything |
//! | status possibly persisted, or persisted with an error | info | an attempt left and was not answered for certain |
//! | not persisted, the library refused it (`QueueFull`, too large) | fail | no attempt was made |
//! | not persisted, the broker refuses such a record (`INVALID_RECORD`, `MESSAGE_TOO_LARGE`, …) | fail | a definite answer to each attempt |
//! | not persisted, anything else | info | librdkafka counts NOT_LEADER_OR_FOLLOWER as not persisted, but a leader that lost its place answers it for records that it had appended and that may survive (KAFKA-13574); such an attempt may be hidden behind the last error: a timeout in the queue most often, or a purge of the queue that it waited in for its next attempt |

use model::history::Outcome;
use model::settings::Acks;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka_sys::rd_kafka_msg_status_t;

/// The classes of the table above.
pub fn classify(
    report: &Result<BorrowedMessage<'_>, (KafkaError, BorrowedMessage<'_>)>,
    acks: Acks,
) -> (Outcome, Option<String>) {
    match report {
        Ok(_) if acks == Acks::None => (Outcome::Unacknowledged, None),
        Ok(message) => {
            // librdkafka gives -1 where the broker's answer had no offset (DUPLICATE_SEQUENCE_NUMBER).
            let offset = Some(message.offset()).filter(|&offset| offset >= 0);
            (Outcome::Ok { offset }, None)
        }
        Err((error, message)) => {
            let code = error.rdkafka_error_code();
            let outcome = class_of_error(not_persisted(message), code, acks);
            (outcome, Some(name(error)))
        }
    }
}

fn class_of_error(not_persisted: bool, code: Option<RDKafkaErrorCode>, acks: Acks) -> Outcome {
    if not_persisted && code.is_some_and(is_definite) {
        return Outcome::Fail;
    }
    if acks == Acks::None { Outcome::Unacknowledged } else { Outcome::Info }
}

/// Errors that end a message before its first attempt, or that a broker gives to each one before it appends.
fn is_definite(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::QueueFull
            | Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::MessageBatchTooLarge
            | Code::UnsupportedForMessageFormat
            | Code::PolicyViolation
    )
}

#[allow(unsafe_code, reason = "the rdkafka crate does not expose rd_kafka_message_status")]
fn not_persisted(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the pointer belongs to a live message of a delivery report, which is what the function reads.
    let status = unsafe { rdkafka_sys::rd_kafka_message_status(message.ptr()) };
    status == rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// The error's own name, as librdkafka spells it: short, stable, countable.
pub fn name(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(code) => format!("{code:?}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    #[test]
    fn only_definite_errors_fail() {
        assert_eq!(class_of_error(true, Some(Code::QueueFull), Acks::All), Outcome::Fail);
        assert_eq!(
            class_of_error(true, Some(Code::MessageSizeTooLarge), Acks::Leader),
            Outcome::Fail
        );
        // A timeout may hide an attempt that was answered with NOT_LEADER_OR_FOLLOWER after its append.
        assert_eq!(class_of_error(true, Some(Code::MessageTimedOut), Acks::All), Outcome::Info);
        assert_eq!(
            class_of_error(true, Some(Code::NotLeaderForPartition), Acks::All),
            Outcome::Info
        );
        assert_eq!(
            class_of_error(true, Some(Code::OutOfOrderSequenceNumber), Acks::All),
            Outcome::Info
        );
        // It may have waited there for its next attempt; so may what its topic was closed to meanwhile.
        for code in [Code::PurgeQueue, Code::UnknownPartition, Code::TopicAuthorizationFailed] {
            assert_eq!(class_of_error(true, Some(code), Acks::All), Outcome::Info);
        }
        assert_eq!(class_of_error(false, Some(Code::QueueFull), Acks::All), Outcome::Info);
        assert_eq!(class_of_error(false, None, Acks::All), Outcome::Info);
    }

    #[test]
    fn acks_0_is_never_info() {
        assert_eq!(
            class_of_error(false, Some(Code::MessageTimedOut), Acks::None),
            Outcome::Unacknowledged
        );
        assert_eq!(class_of_error(true, Some(Code::QueueFull), Acks::None), Outcome::Fail);
    }
}
