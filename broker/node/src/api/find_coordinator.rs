//! FindCoordinator: which broker looks after a group.
//!
//! Promises: a group's coordinator is the leader of its partition of `__consumer_offsets`, by Kafka's hash. Where the topic does not
//! exist yet, the answer says that it must be made, and the client is told to ask again. Not promised: transactions.

use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::find_coordinator_response::Coordinator;
use wire::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

use wire::names::{CONSUMER_OFFSETS_TOPIC, coordinator_partition};

use super::{Facts, text};

/// The first version that asks for many keys at once.
const IN_BATCHES: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The answer, and whether `__consumer_offsets` has to be made.
pub fn answer(
    facts: Facts<'_>,
    version: i16,
    request: &FindCoordinatorRequest,
) -> (FindCoordinatorResponse, bool) {
    let mut make_topic = false;
    let mut find = |key: &StrBytes| one(facts, request.key_type, key, &mut make_topic);
    let response = if version >= IN_BATCHES {
        let coordinators = request.coordinator_keys.iter().map(&mut find).collect();
        FindCoordinatorResponse::default().with_coordinators(coordinators)
    } else {
        let found = find(&request.key);
        FindCoordinatorResponse::default()
            .with_error_code(found.error_code)
            .with_error_message(found.error_message)
            .with_node_id(found.node_id)
            .with_host(found.host)
            .with_port(found.port)
    };
    (response, make_topic)
}

fn one(facts: Facts<'_>, key_type: i8, key: &StrBytes, make_topic: &mut bool) -> Coordinator {
    let found = Coordinator::default().with_key(key.clone());
    let failed = |error: ErrorCode, message: &str| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    match key_type {
        GROUP => {}
        TRANSACTION => {
            return failed(ErrorCode::InvalidRequest, "This broker does not serve transactions.");
        }
        _ => return failed(ErrorCode::InvalidRequest, "Unknown coordinator type."),
    }
    let unavailable =
        || failed(ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.");
    let Some(topic) = facts.image.topic(CONSUMER_OFFSETS_TOPIC) else {
        *make_topic = true;
        return unavailable();
    };
    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    if count == 0 {
        return unavailable();
    }
    let partition = topic.partitions.get(&coordinator_partition(key, count));
    let leader = partition.map(|partition| facts.alive_leader(partition));
    let broker = leader.and_then(|leader| facts.image.broker(leader));
    match broker.and_then(|broker| Some((broker.id, facts.endpoint(broker)?))) {
        Some((id, endpoint)) => found
            .with_node_id(BrokerId(id))
            .with_host(text(&endpoint.host))
            .with_port(i32::from(endpoint.port))
            .with_error_message(Some(StrBytes::default())),
        None => unavailable(),
    }
}
