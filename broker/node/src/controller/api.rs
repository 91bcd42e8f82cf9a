//! The requests that only the active controller decides, and their answers.

use wire::StrBytes;
use wire::error::ErrorCode;
use wire::messages::create_partitions_response::CreatePartitionsTopicResult;
use wire::messages::create_topics_response::CreatableTopicResult;
use wire::messages::delete_topics_response::DeletableTopicResult;
use wire::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    AlterPartitionResponse, ApiKey, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, ControllerRegistrationRequest,
    ControllerRegistrationResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    ElectLeadersRequest, ElectLeadersResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, UnregisterBrokerRequest, UnregisterBrokerResponse,
};

use crate::context::{Context, Request};

macro_rules! controller_apis {
    ($($name:ident $request:ident $response:ident,)*) => {
        /// A request to the active controller.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ControllerRequest {
            $($name($request),)*
        }

        /// Its answer.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ControllerResponse {
            $($name($response),)*
        }

        impl ControllerRequest {
            /// Whether the API is one that the active controller decides.
            pub fn is_for_controller(api_key: i16) -> bool {
                [$(ApiKey::$name as i16),*].contains(&api_key)
            }

            /// Reads a request's body. `None`: it does not parse (then its connection is closed), or is none of ours.
            pub fn read(request: &Request, ctx: &mut Context<'_>) -> Option<ControllerRequest> {
                match request.head.api_key {
                    $(key if key == ApiKey::$name as i16 => {
                        request.decode::<$request>(ctx).map(ControllerRequest::$name)
                    })*
                    _ => None,
                }
            }
        }

        impl ControllerResponse {
            /// Answers `request` with it.
            pub fn send(&self, request: &Request, ctx: &mut Context<'_>) {
                match self {
                    // Version 0 has no error of the whole request, only those of the partitions.
                    ControllerResponse::ElectLeaders(response)
                        if request.head.api_version == 0 && response.error_code != 0 =>
                    {
                        ctx.respond(request, &response.clone().with_error_code(0));
                    }
                    $(ControllerResponse::$name(response) => ctx.respond(request, response),)*
                }
            }
        }
    };
}

controller_apis! {
    BrokerRegistration BrokerRegistrationRequest BrokerRegistrationResponse,
    BrokerHeartbeat BrokerHeartbeatRequest BrokerHeartbeatResponse,
    UnregisterBroker UnregisterBrokerRequest UnregisterBrokerResponse,
    ControllerRegistration ControllerRegistrationRequest ControllerRegistrationResponse,
    AlterPartition AlterPartitionRequest AlterPartitionResponse,
    AllocateProducerIds AllocateProducerIdsRequest AllocateProducerIdsResponse,
    CreateTopics CreateTopicsRequest CreateTopicsResponse,
    DeleteTopics DeleteTopicsRequest DeleteTopicsResponse,
    CreatePartitions CreatePartitionsRequest CreatePartitionsResponse,
    ElectLeaders ElectLeadersRequest ElectLeadersResponse,
    IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse,
}

impl ControllerRequest {
    /// The answer that refuses all of the request.
    pub fn refusal(&self, error: ErrorCode) -> ControllerResponse {
        use ControllerResponse as Response;
        let code = error as i16;
        match self {
            Self::BrokerRegistration(_) => Response::BrokerRegistration(
                BrokerRegistrationResponse::default().with_error_code(code).with_broker_epoch(-1),
            ),
            Self::BrokerHeartbeat(_) => Response::BrokerHeartbeat(
                BrokerHeartbeatResponse::default().with_error_code(code).with_is_fenced(true),
            ),
            Self::UnregisterBroker(_) => Response::UnregisterBroker(
                UnregisterBrokerResponse::default().with_error_code(code),
            ),
            Self::ControllerRegistration(_) => Response::ControllerRegistration(
                ControllerRegistrationResponse::default().with_error_code(code),
            ),
            Self::AlterPartition(_) => {
                Response::AlterPartition(AlterPartitionResponse::default().with_error_code(code))
            }
            Self::AllocateProducerIds(_) => Response::AllocateProducerIds(
                AllocateProducerIdsResponse::default().with_error_code(code),
            ),
            Self::CreateTopics(request) => {
                let refused = request.topics.iter().map(|topic| {
                    CreatableTopicResult::default()
                        .with_name(topic.name.clone())
                        .with_error_code(code)
                });
                Response::CreateTopics(
                    CreateTopicsResponse::default().with_topics(refused.collect()),
                )
            }
            Self::DeleteTopics(request) => {
                let refused = |name, id| {
                    DeletableTopicResult::default()
                        .with_name(name)
                        .with_topic_id(id)
                        .with_error_code(code)
                };
                let by_name = request
                    .topic_names
                    .iter()
                    .map(|name| refused(Some(name.clone()), wire::Uuid::nil()));
                let by_state =
                    request.topics.iter().map(|topic| refused(topic.name.clone(), topic.topic_id));
                Response::DeleteTopics(
                    DeleteTopicsResponse::default()
                        .with_responses(by_name.chain(by_state).collect()),
                )
            }
            Self::CreatePartitions(request) => {
                let refused = request.topics.iter().map(|topic| {
                    CreatePartitionsTopicResult::default()
                        .with_name(topic.name.clone())
                        .with_error_code(code)
                });
                Response::CreatePartitions(
                    CreatePartitionsResponse::default().with_results(refused.collect()),
                )
            }
            Self::ElectLeaders(request) => {
                let refused = request.topic_partitions.iter().flatten().map(|topic| {
                    let partitions = topic.partitions.iter().map(|partition| {
                        PartitionResult::default()
                            .with_partition_id(*partition)
                            .with_error_code(code)
                    });
                    ReplicaElectionResult::default()
                        .with_topic(topic.topic.clone())
                        .with_partition_result(partitions.collect())
                });
                Response::ElectLeaders(
                    ElectLeadersResponse::default()
                        .with_error_code(code)
                        .with_replica_election_results(refused.collect()),
                )
            }
            Self::IncrementalAlterConfigs(request) => {
                let refused = request.resources.iter().map(|resource| {
                    AlterConfigsResourceResponse::default()
                        .with_resource_type(resource.resource_type)
                        .with_resource_name(resource.resource_name.clone())
                        .with_error_code(code)
                });
                Response::IncrementalAlterConfigs(
                    IncrementalAlterConfigsResponse::default().with_responses(refused.collect()),
                )
            }
        }
    }
}

impl ControllerResponse {
    /// Turns an answer whose records will never be committed into a refusal.
    pub fn refuse(&mut self, error: ErrorCode) {
        let code = error as i16;
        match self {
            Self::BrokerRegistration(response) => {
                response.error_code = code;
                response.broker_epoch = -1;
            }
            Self::BrokerHeartbeat(response) => {
                *response =
                    BrokerHeartbeatResponse::default().with_error_code(code).with_is_fenced(true);
            }
            Self::UnregisterBroker(response) => response.error_code = code,
            Self::ControllerRegistration(response) => response.error_code = code,
            Self::AlterPartition(response) => {
                *response = AlterPartitionResponse::default().with_error_code(code);
            }
            Self::AllocateProducerIds(response) => {
                *response = AllocateProducerIdsResponse::default().with_error_code(code);
            }
            Self::CreateTopics(response) => {
                for topic in &mut response.topics {
                    *topic = CreatableTopicResult::default()
                        .with_name(topic.name.clone())
                        .with_error_code(code);
                }
            }
            Self::DeleteTopics(response) => {
                for topic in &mut response.responses {
                    topic.error_code = code;
                    topic.error_message = None;
                }
            }
            Self::CreatePartitions(response) => {
                for topic in &mut response.results {
                    topic.error_code = code;
                    topic.error_message = None;
                }
            }
            Self::ElectLeaders(response) => {
                response.error_code = code;
                let topics = response.replica_election_results.iter_mut();
                for partition in topics.flat_map(|topic| &mut topic.partition_result) {
                    partition.error_code = code;
                    partition.error_message = None;
                }
            }
            Self::IncrementalAlterConfigs(response) => {
                for resource in &mut response.responses {
                    resource.error_code = code;
                    resource.error_message = None;
                }
            }
        }
    }
}

/// What is wrong with one item of a request, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl Refused {
    pub fn bare(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    pub fn text(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}
