//! DescribeCluster: the brokers on a broker's listener, the controllers on a controller's.

use wire::error::ErrorCode;
use wire::messages::describe_cluster_response::DescribeClusterBroker;
use wire::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};

use super::{CLUSTER_OPERATIONS, Facts, OPERATIONS_NOT_ASKED, text};
use crate::step::Listener;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// `leader`: the active controller, told on the controllers' listener only.
pub fn answer(
    facts: Facts<'_>,
    listener: Listener,
    leader: Option<i32>,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_cluster_id(text(facts.cluster_id))
        .with_cluster_authorized_operations(if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            OPERATIONS_NOT_ASKED
        });
    match (listener, request.endpoint_type) {
        (Listener::Broker, BROKERS) => response
            .with_controller_id(facts.controller_for_clients())
            .with_brokers(brokers(facts, request.include_fenced_brokers)),
        (Listener::Controller, CONTROLLERS) => response
            .with_controller_id(BrokerId(leader.unwrap_or(-1)))
            .with_brokers(controllers(facts)),
        (_, BROKERS | CONTROLLERS) => failed(
            response,
            ErrorCode::MismatchedEndpointType,
            match listener {
                Listener::Broker => {
                    "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                }
                Listener::Controller => {
                    "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER"
                }
            },
        ),
        _ => failed(response, ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type"),
    }
}

fn failed(
    response: DescribeClusterResponse,
    error: ErrorCode,
    message: &str,
) -> DescribeClusterResponse {
    response
        .with_error_code(error.code())
        .with_error_message(Some(text(message)))
        .with_controller_id(BrokerId(-1))
}

fn brokers(facts: Facts<'_>, with_fenced: bool) -> Vec<DescribeClusterBroker> {
    let shown = facts.image.brokers.values().filter(|broker| with_fenced || !broker.fenced);
    let described = shown.filter_map(|broker| {
        let endpoint = facts.endpoint(broker)?;
        Some(
            DescribeClusterBroker::default()
                .with_broker_id(BrokerId(broker.id))
                .with_host(text(&endpoint.host))
                .with_port(i32::from(endpoint.port))
                .with_rack(broker.rack.as_deref().map(text))
                .with_is_fenced(broker.fenced),
        )
    });
    described.collect()
}

fn controllers(facts: Facts<'_>) -> Vec<DescribeClusterBroker> {
    let voters = facts.config.controller_quorum_voters.iter().map(|voter| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(voter.id))
            .with_host(text(&voter.host))
            .with_port(i32::from(voter.port))
    });
    voters.collect()
}
