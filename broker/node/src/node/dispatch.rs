//! Which part answers what.
//!
//! Promises: every request is answered, or its connection closed: nothing from outside is trusted, and nothing of it
//! panics. A version of ApiVersions that we don't know is answered in version 0; any other API or version that the listener
//! does not serve closes the connection, as Kafka does, since there is no version to answer in.

use bytes::Bytes;
use wire::api::{ApiSet, api_name, is_served, key};
use wire::frame;
use wire::messages::{
    ApiVersionsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeTopicPartitionsRequest, FindCoordinatorRequest, ListPartitionReassignmentsRequest,
    MetadataRequest,
};

use super::Node;
use crate::api;
use crate::context::{ConnId, Listener, Request, Severity};
use crate::controller::ControllerRequest;

/// Frames that may wait for the node's start.
const HELD_MAX: usize = 10_000;

impl Node {
    /// A frame on a connection that others made.
    pub(super) fn on_frame(&mut self, conn: ConnId, frame: Bytes) {
        let Some(inbound) = self.connections.get(conn) else { return };
        let ready = match inbound.listener {
            Listener::Controller => self.quorum.is_some(),
            Listener::Broker => self.broker.as_ref().is_some_and(|broker| broker.serving),
        };
        if ready {
            self.dispatch_inbound(conn, frame);
        } else if self.held.len() < HELD_MAX {
            self.held.push((conn, frame));
        } else {
            self.shared.context().drop_connection(conn);
        }
    }

    /// The frames that waited, in their order.
    pub(super) fn release_held(&mut self) {
        for (conn, frame) in std::mem::take(&mut self.held) {
            self.on_frame(conn, frame);
        }
    }

    fn dispatch_inbound(&mut self, conn: ConnId, frame: Bytes) {
        let Some(inbound) = self.connections.get_mut(conn) else { return };
        let (listener, peer_host) = (inbound.listener, inbound.peer_host.clone());
        let mut body = frame.clone();
        let head = match frame::read_request_head(&mut body) {
            Ok(head) => head,
            Err(error) => {
                self.shared.say(
                    Severity::Warn,
                    format!("closing the connection from {peer_host}: {error}"),
                );
                self.shared.context().drop_connection(conn);
                return;
            }
        };
        if inbound.peer_node.is_none() {
            // Our own nodes name themselves so: a closed connection then says who may be dead.
            inbound.peer_node = head
                .client_id
                .as_ref()
                .and_then(|id| id.strip_prefix("highwater-"))
                .and_then(|id| id.parse().ok());
        }
        let Some(id) = self.connections.take_slot(conn) else {
            self.shared.say(Severity::Warn, format!("closing the connection from {peer_host}: too many requests wait for an answer on it"));
            self.shared.context().drop_connection(conn);
            return;
        };
        self.dispatch(Request { id, head, listener, peer_host, body }, frame);
    }

    /// `frame` is the whole request, for those that are sent on as they came.
    pub(super) fn dispatch(&mut self, request: Request, frame: Bytes) {
        let set = match request.listener {
            Listener::Broker => ApiSet::Broker,
            Listener::Controller => ApiSet::Controller,
        };
        let (api_key, version) = (request.head.api_key, request.head.api_version);
        if !is_served(set, api_key, version) {
            self.refuse_unserved(set, &request);
            return;
        }
        match request.listener {
            Listener::Broker => self.dispatch_broker(request, frame),
            Listener::Controller => self.dispatch_controller(request),
        }
    }

    fn refuse_unserved(&mut self, set: ApiSet, request: &Request) {
        let head = &request.head;
        if head.api_key == key::API_VERSIONS
            && let Ok(frame) = api::api_versions::unsupported(set, head)
        {
            self.shared.context().reply(request.id, vec![frame]);
            return;
        }
        let line = format!(
            "closing the connection from {}: {} (key {}) version {} is not served on this listener",
            request.peer_host,
            api_name(head.api_key),
            head.api_key,
            head.api_version
        );
        self.shared.say(Severity::Warn, line);
        self.shared.context().drop_connection(request.id.conn);
    }

    pub(super) fn drop_malformed(&mut self, request: &Request) {
        let line = format!(
            "closing the connection from {}: its {} request (version {}) does not parse",
            request.peer_host,
            api_name(request.head.api_key),
            request.head.api_version
        );
        self.shared.say(Severity::Warn, line);
        self.shared.context().drop_connection(request.id.conn);
    }

    fn dispatch_broker(&mut self, request: Request, frame: Bytes) {
        match request.head.api_key {
            key::PRODUCE | key::FETCH | key::LIST_OFFSETS | key::OFFSET_FOR_LEADER_EPOCH => {
                if let Some(broker) = &mut self.broker {
                    broker.replicas.handle(&mut self.shared.context(), request);
                }
            }
            key::OFFSET_COMMIT
            | key::OFFSET_FETCH
            | key::JOIN_GROUP
            | key::HEARTBEAT
            | key::LEAVE_GROUP
            | key::SYNC_GROUP
            | key::DESCRIBE_GROUPS
            | key::LIST_GROUPS
            | key::DELETE_GROUPS => self.on_group_request(request),
            key::METADATA => {
                if let Some(body) = self.read::<MetadataRequest>(&request) {
                    let version = request.head.api_version;
                    let response = api::metadata::answer(self.facts(), version, &body);
                    self.shared.context().respond(&request, &response);
                }
            }
            key::DESCRIBE_TOPIC_PARTITIONS => {
                if let Some(body) = self.read::<DescribeTopicPartitionsRequest>(&request) {
                    let response = api::describe_topic_partitions::answer(self.facts(), &body);
                    self.shared.context().respond(&request, &response);
                }
            }
            key::FIND_COORDINATOR => {
                if let Some(body) = self.read::<FindCoordinatorRequest>(&request) {
                    self.on_find_coordinator(&request, &body);
                }
            }
            key::INIT_PRODUCER_ID => {
                if let Some(broker) = &mut self.broker {
                    let broker_epoch = broker.lifecycle.broker_epoch();
                    let ctx = &mut self.shared.context();
                    broker.producer_ids.handle(ctx, &request, broker_epoch);
                }
            }
            key::LIST_PARTITION_REASSIGNMENTS => {
                if self.read::<ListPartitionReassignmentsRequest>(&request).is_some() {
                    let response = api::list_partition_reassignments::answer();
                    self.shared.context().respond(&request, &response);
                }
            }
            key::API_VERSIONS | key::DESCRIBE_CLUSTER | key::DESCRIBE_CONFIGS => {
                self.answer_either(ApiSet::Broker, &request);
            }
            _ => {
                // What is served and was not named above changes metadata or asks about the quorum.
                if let Some(broker) = &mut self.broker {
                    broker.forwards.forward(&mut self.shared.context(), request, frame);
                }
            }
        }
    }

    fn dispatch_controller(&mut self, request: Request) {
        match request.head.api_key {
            key::VOTE
            | key::BEGIN_QUORUM_EPOCH
            | key::END_QUORUM_EPOCH
            | key::FETCH
            | key::FETCH_SNAPSHOT
            | key::DESCRIBE_QUORUM => self.on_quorum_request(&request),
            key::ENVELOPE => self.on_envelope(&request),
            api_key if ControllerRequest::is_for_controller(api_key) => {
                self.on_controller_request(request);
            }
            _ => self.answer_either(ApiSet::Controller, &request),
        }
    }

    /// What both listeners answer.
    fn answer_either(&mut self, set: ApiSet, request: &Request) {
        match request.head.api_key {
            key::API_VERSIONS => {
                if let Some(body) = self.read::<ApiVersionsRequest>(request) {
                    let response =
                        api::api_versions::answer(set, &self.image, &request.head, &body);
                    self.shared.context().respond(request, &response);
                }
            }
            key::DESCRIBE_CLUSTER => {
                if let Some(body) = self.read::<DescribeClusterRequest>(request) {
                    let (listener, leader) = (request.listener, self.leader());
                    let response =
                        api::describe_cluster::answer(self.facts(), listener, leader, &body);
                    self.shared.context().respond(request, &response);
                }
            }
            key::DESCRIBE_CONFIGS => {
                if let Some(body) = self.read::<DescribeConfigsRequest>(request) {
                    let response = api::describe_configs::answer(self.facts(), &body);
                    self.shared.context().respond(request, &response);
                }
            }
            _ => self.refuse_unserved(set, request),
        }
    }

    fn read<T: wire::Guarded>(&mut self, request: &Request) -> Option<T> {
        request.decode(&mut self.shared.context())
    }
}
