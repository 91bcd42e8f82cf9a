//! What a member asks of its coordinator.

use super::assigning::{PROTOCOL, subscription};
use super::*;
use bytes::Bytes;
use wire::api::key;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use wire::{Encodable, StrBytes};

/// The last versions that know only what is needed here: one key, one group.
const FIND_COORDINATOR: (i16, i16) = (key::FIND_COORDINATOR, 3);
const JOIN_GROUP: (i16, i16) = (key::JOIN_GROUP, 9);
const SYNC_GROUP: (i16, i16) = (key::SYNC_GROUP, 5);
const OFFSET_FETCH: (i16, i16) = (key::OFFSET_FETCH, 7);
const OFFSET_COMMIT: (i16, i16) = (key::OFFSET_COMMIT, 9);
const HEARTBEAT: (i16, i16) = (key::HEARTBEAT, 4);
const LEAVE_GROUP: (i16, i16) = (key::LEAVE_GROUP, 5);
/// Beside the time that a join may take.
const JOIN_SLACK_NS: u64 = 2_000 * MS;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Group {
    fn id(&self) -> GroupId {
        GroupId(text(&self.name))
    }

    fn send<B: Encodable>(
        &self,
        now_ns: u64,
        peer: Peer,
        (api_key, highest): (i16, i16),
        body: &B,
        ask: Ask,
        cluster: &mut Cluster<reading::Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let version = cluster.connections.version(peer, api_key, highest).unwrap_or(highest);
        let timeout_ns = match ask {
            Ask::Join => self.session_timeout_ms * MS + JOIN_SLACK_NS,
            _ => self.request_timeout_ns,
        };
        let ask = Some(reading::Ask::Group(ask));
        cluster.send(now_ns, peer, api_key, version, body, timeout_ns, ask, effects);
    }

    pub(super) fn find_coordinator(
        &mut self,
        now_ns: u64,
        cluster: &mut Cluster<reading::Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        if self.asked {
            return;
        }
        if now_ns < self.retry_at_ns {
            self.wake_at(self.retry_at_ns);
            return;
        }
        let Some(peer) = cluster.any_ready(now_ns, Lane::Control, effects) else { return };
        let body = FindCoordinatorRequest::default().with_key(text(&self.name)).with_key_type(0);
        self.asked = true;
        let ask = Ask::Coordinator;
        self.send(now_ns, peer, FIND_COORDINATOR, &body, ask, cluster, effects);
    }

    /// What the state wants to be asked.
    pub(super) fn ask(
        &mut self,
        now_ns: u64,
        peer: Peer,
        cluster: &mut Cluster<reading::Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.asked = true;
        match &self.state {
            State::Join => {
                let metadata = Bytes::from(subscription(&self.target.name));
                let timeout_ms = i32::try_from(self.session_timeout_ms).unwrap_or(i32::MAX);
                let protocol = JoinGroupRequestProtocol::default()
                    .with_name(text(PROTOCOL))
                    .with_metadata(metadata);
                let body = JoinGroupRequest::default()
                    .with_group_id(self.id())
                    .with_session_timeout_ms(timeout_ms)
                    .with_rebalance_timeout_ms(timeout_ms)
                    .with_member_id(text(&self.member_id))
                    .with_protocol_type(text("consumer"))
                    .with_protocols(vec![protocol]);
                self.send(now_ns, peer, JOIN_GROUP, &body, Ask::Join, cluster, effects);
            }
            State::Sync(given) => {
                let given = given.iter().map(|(member, assignment)| {
                    SyncGroupRequestAssignment::default()
                        .with_member_id(text(member))
                        .with_assignment(Bytes::from(assignment.clone()))
                });
                let body = SyncGroupRequest::default()
                    .with_group_id(self.id())
                    .with_generation_id(self.generation)
                    .with_member_id(text(&self.member_id))
                    .with_protocol_type(Some(text("consumer")))
                    .with_protocol_name(Some(text(PROTOCOL)))
                    .with_assignments(given.collect());
                self.send(now_ns, peer, SYNC_GROUP, &body, Ask::Sync, cluster, effects);
            }
            State::Offsets(partitions) => {
                let topic = OffsetFetchRequestTopic::default()
                    .with_name(cluster.topic_name())
                    .with_partition_indexes(partitions.iter().map(|p| *p as i32).collect());
                let body = OffsetFetchRequest::default()
                    .with_group_id(self.id())
                    .with_require_stable(true)
                    .with_topics(Some(vec![topic]));
                let known = partitions.iter().map(|p| (*p, self.ledger.at_least(&self.name, *p)));
                let ask = Ask::Offsets(known.collect());
                self.send(now_ns, peer, OFFSET_FETCH, &body, ask, cluster, effects);
            }
            State::Leave => {
                let member = MemberIdentity::default().with_member_id(text(&self.member_id));
                let body = LeaveGroupRequest::default()
                    .with_group_id(self.id())
                    .with_members(vec![member]);
                self.send(now_ns, peer, LEAVE_GROUP, &body, Ask::Leave, cluster, effects);
            }
            State::Stable | State::Return | State::Left => {
                unreachable!("nothing to ask in this state")
            }
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        now_ns: u64,
        peer: Peer,
        cluster: &mut Cluster<reading::Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let body = HeartbeatRequest::default()
            .with_group_id(self.id())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.member_id));
        self.heartbeat_asked = true;
        self.send(now_ns, peer, HEARTBEAT, &body, Ask::Heartbeat, cluster, effects);
    }

    /// Commits where reading stands, if it has moved on since.
    pub(super) fn commit(
        &mut self,
        now_ns: u64,
        cluster: &mut Cluster<reading::Ask>,
        reading: &Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        let Some(coordinator) = self.coordinator else { return };
        let peer = Peer { broker: coordinator, lane: Lane::Group };
        if self.commit_asked || self.generation < 0 || !cluster.connections.is_ready(peer) {
            return;
        }
        let moved = reading.positions().filter(|(partition, offset, _)| {
            self.committed.get(partition).is_none_or(|known| known != offset)
        });
        let moved: Vec<(u32, i64, i32)> = moved.collect();
        if moved.is_empty() {
            return;
        }
        let partitions = moved.iter().map(|(partition, offset, epoch)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*partition as i32)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(*epoch)
                .with_committed_metadata(Some(StrBytes::from_static_str("")))
        });
        let topic = OffsetCommitRequestTopic::default()
            .with_name(cluster.topic_name())
            .with_partitions(partitions.collect());
        let body = OffsetCommitRequest::default()
            .with_group_id(self.id())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(&self.member_id))
            .with_topics(vec![topic]);
        self.commit_asked = true;
        let late = self.ledger.is_over(&self.name, self.generation);
        let ask = Ask::Commit { offsets: moved, late };
        self.send(now_ns, peer, OFFSET_COMMIT, &body, ask, cluster, effects);
    }
}
