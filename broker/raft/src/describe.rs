//! DescribeQuorum, and the same for the node's own use.

use wire::error::ErrorCode;
use wire::messages::{
    BrokerId, DescribeQuorumRequest, DescribeQuorumResponse, describe_quorum_response as describe,
};

use crate::quorum::{Quorum, ReplicaStatus, Status};
use crate::quorum_state::ReplicaKey;
use crate::role::{Progress, Role};
use crate::rpc::{self, Response};

impl Quorum {
    /// What this member knows; the replicas' progress only where it leads.
    pub fn describe(&self) -> Status {
        let log_end_offset = self.log.as_ref().map_or(0, |log| log.log_end_offset());
        let mut status = Status {
            role: self.role.name(),
            leader: self.leader(),
            epoch: self.epoch(),
            high_watermark: self.high_watermark(),
            log_start_offset: self.log.as_ref().map_or(0, |log| log.log_start_offset()),
            log_end_offset,
            voters: Vec::new(),
            observers: Vec::new(),
        };
        let Role::Leader(leader) = &self.role else { return status };
        for voter in self.voters.iter() {
            let key = ReplicaKey { id: voter.id, directory_id: voter.directory_id };
            status.voters.push(match leader.voters.get(&voter.id) {
                Some(progress) => replica(key, progress),
                None => ReplicaStatus {
                    id: key.id,
                    directory_id: key.directory_id,
                    log_end_offset,
                    last_fetch_ms: self.now.wall_ms,
                    last_caught_up_ms: self.now.wall_ms,
                },
            });
        }
        status.observers = leader.observers.iter().map(|(key, p)| replica(*key, p)).collect();
        status
    }

    pub(crate) fn serve_describe(&self, version: i16, body: &DescribeQuorumRequest) -> Response {
        if !self.is_leader() {
            return refused(version, ErrorCode::NotLeaderOrFollower);
        }
        let topics = body.topics.iter().map(|topic| {
            let known = topic.topic_name.0.as_str() == rpc::TOPIC;
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                if known && index == 0 {
                    self.describe_partition(version)
                } else {
                    describe::PartitionData::default()
                        .with_partition_index(index)
                        .with_error_code(ErrorCode::UnknownTopicOrPartition as i16)
                }
            });
            describe::TopicData::default()
                .with_topic_name(topic.topic_name.clone())
                .with_partitions(partitions.collect())
        });
        let nodes = self.voters.iter().filter(|_| version >= 2).map(|voter| {
            let listener = describe::Listener::default()
                .with_name(rpc::text(&self.config.listener_name))
                .with_host(rpc::text(&voter.host))
                .with_port(voter.port);
            describe::Node::default()
                .with_node_id(BrokerId(voter.id))
                .with_listeners(vec![listener])
        });
        Response::DescribeQuorum(
            DescribeQuorumResponse::default()
                .with_topics(topics.collect())
                .with_nodes(nodes.collect()),
        )
    }

    fn describe_partition(&self, version: i16) -> describe::PartitionData {
        let status = self.describe();
        let state = |replica: &ReplicaStatus| {
            let mut state = describe::ReplicaState::default()
                .with_replica_id(BrokerId(replica.id))
                .with_log_end_offset(replica.log_end_offset);
            if version >= 1 {
                state.last_fetch_timestamp = replica.last_fetch_ms;
                state.last_caught_up_timestamp = replica.last_caught_up_ms;
            }
            if version >= 2 {
                state.replica_directory_id = replica.directory_id;
            }
            state
        };
        describe::PartitionData::default()
            .with_partition_index(0)
            .with_leader_id(BrokerId(status.leader.unwrap_or(-1)))
            .with_leader_epoch(status.epoch)
            .with_high_watermark(status.high_watermark.unwrap_or(-1))
            .with_current_voters(status.voters.iter().map(state).collect())
            .with_observers(status.observers.iter().map(state).collect())
    }
}

fn refused(version: i16, error: ErrorCode) -> Response {
    let mut body = DescribeQuorumResponse::default().with_error_code(error as i16);
    if version >= 2 {
        body.error_message = Some(rpc::text(error.name()));
    }
    Response::DescribeQuorum(body)
}

fn replica(key: ReplicaKey, progress: &Progress) -> ReplicaStatus {
    let fetched = progress.last_fetch_mono_ms.is_some();
    let caught_up = progress.last_caught_up_wall_ms;
    ReplicaStatus {
        id: key.id,
        directory_id: key.directory_id,
        log_end_offset: progress.end_offset.unwrap_or(-1),
        last_fetch_ms: if fetched { progress.last_fetch_wall_ms } else { -1 },
        last_caught_up_ms: if caught_up > 0 { caught_up } else { -1 },
    }
}
