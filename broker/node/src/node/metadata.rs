//! The quorum member and what follows from its outputs: the metadata image, and who is told of it.
//!
//! Promises: the image holds committed records only, in order; the parts see each change once. A record that does not fit
//! ends the node: it can't go on with metadata that differs from the others'.

use bytes::Bytes;
use log::LogConfig;
use log::io::{IoResult, Token};
use raft::{Output, Quorum, RequestRef, Voter};
use rustc_hash::FxHashMap;
use wire::frame::RequestHead;
use wire::metadata::MetadataRecord;

use super::Node;
use super::boot::Identity;
use crate::config::NodeConfig;
use crate::context::{
    CallAnswer, CallTag, IoOwner, Lane, OutgoingCall, Peer, Request, RequestId, Severity,
};
use crate::image::Changes;

pub struct QuorumMember {
    quorum: Quorum,
    outputs: Vec<Output>,
    requests: FxHashMap<u64, (RequestId, RequestHead)>,
    next_request: u64,
    /// The calls that are under way, for reading their answers.
    calls: FxHashMap<u64, (i16, i16)>,
    pub leader: Option<i32>,
}

impl QuorumMember {
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        self.quorum.deadline()
    }

    pub fn inspect(&self) -> Option<raft::Inspection<'_>> {
        self.quorum.inspect()
    }
}

fn quorum_config(config: &NodeConfig, identity: &Identity, seed: u64) -> raft::Config {
    let voters = config.controller_quorum_voters.iter().map(|voter| Voter {
        id: voter.id,
        directory_id: raft::directory_id_for(&identity.cluster_id, voter.id),
        host: voter.host.clone(),
        port: voter.port,
    });
    let mut quorum = raft::Config::new(config.node_id, &identity.cluster_id, voters.collect());
    quorum.directory_id = identity.directory_id;
    if let Some(name) = config.controller_listener_names.first() {
        quorum.listener_name.clone_from(name);
    }
    quorum.fetch_timeout_ms = config.controller_quorum_fetch_timeout_ms;
    quorum.election_timeout_ms = config.controller_quorum_election_timeout_ms;
    quorum.election_backoff_max_ms = config.controller_quorum_election_backoff_max_ms;
    quorum.request_timeout_ms = config.controller_quorum_request_timeout_ms;
    // A held fetch must come back before either end takes it for lost.
    let bound =
        config.controller_quorum_fetch_timeout_ms.min(config.controller_quorum_request_timeout_ms)
            / 2;
    quorum.fetch_max_wait_ms = config.controller_quorum_fetch_max_wait_ms.min(bound);
    quorum.snapshot_max_new_record_bytes = config.metadata_log_max_record_bytes_between_snapshots;
    quorum.seed = seed;
    let segment_bytes = config.metadata_log_segment_bytes.unsigned_abs();
    let defects = config.highwater_defects.in_metadata_log();
    quorum.log = LogConfig { segment_bytes, defects, ..LogConfig::default() };
    quorum.defects = config.highwater_defects.in_raft();
    quorum
}

impl Node {
    pub(super) fn start_quorum(&mut self, identity: &Identity) {
        let mut member = QuorumMember {
            quorum: Quorum::new(quorum_config(&self.shared.config, identity, self.seed)),
            outputs: Vec::new(),
            requests: FxHashMap::default(),
            next_request: 0,
            calls: FxHashMap::default(),
            leader: None,
        };
        let now = self.quorum_now();
        member.quorum.start(now, &mut self.shared.io, &mut member.outputs);
        self.quorum = Some(member);
        self.shared.context().claim_io(IoOwner::Raft);
    }

    fn quorum_now(&self) -> raft::Now {
        raft::Now { mono_ms: self.shared.now.mono_ms(), wall_ms: self.shared.now.wall_ms }
    }

    /// Lets the quorum act; what it submits to the disk is its own.
    fn with_quorum<T>(
        &mut self,
        act: impl FnOnce(&mut Quorum, raft::Now, &mut log::io::IoQueue, &mut Vec<Output>) -> T,
    ) -> Option<T> {
        let now = self.quorum_now();
        let member = self.quorum.as_mut()?;
        let done = act(&mut member.quorum, now, &mut self.shared.io, &mut member.outputs);
        self.shared.context().claim_io(IoOwner::Raft);
        Some(done)
    }

    pub(super) fn on_quorum_io(&mut self, token: Token, result: IoResult) {
        self.with_quorum(|quorum, now, io, out| quorum.on_io(now, token, result, io, out));
    }

    pub(super) fn quorum_on_time(&mut self) {
        let now_ms = self.shared.now_ms();
        let due = self.quorum.as_ref().and_then(QuorumMember::deadline_ms);
        if due.is_some_and(|due_ms| now_ms >= due_ms) {
            self.with_quorum(|quorum, now, io, out| quorum.on_tick(now, io, out));
        }
    }

    pub(super) fn quorum_peer_gone(&mut self, node: i32) {
        self.with_quorum(|quorum, now, io, out| quorum.on_peer_gone(now, node, io, out));
    }

    pub(super) fn close_quorum(&mut self) {
        self.with_quorum(|quorum, now, io, out| quorum.close(now, io, out));
    }

    pub(super) fn resign_quorum(&mut self) {
        self.with_quorum(|quorum, now, io, out| quorum.resign(now, io, out));
    }

    /// Appends the active controller's records as one batch.
    pub(super) fn append_to_quorum(
        &mut self,
        records: Vec<Bytes>,
    ) -> Result<i64, raft::AppendError> {
        self.with_quorum(|quorum, now, io, out| quorum.append(now, records, io, out))
            .unwrap_or(Err(raft::AppendError::NotLeader))
    }

    /// A request of the quorum's own APIs.
    pub(super) fn on_quorum_request(&mut self, request: &Request) {
        let mut body = request.body.clone();
        let decoded = raft::Request::decode(&request.head, &mut body);
        let (Ok(Some(message)), Some(member)) = (decoded, &mut self.quorum) else {
            self.drop_malformed(request);
            return;
        };
        let reference = member.next_request;
        member.next_request += 1;
        member.requests.insert(reference, (request.id, request.head.clone()));
        self.with_quorum(|quorum, now, io, out| {
            quorum.on_request(now, RequestRef(reference), message, io, out);
        });
    }

    pub(super) fn on_quorum_answer(&mut self, peer: i32, call: u64, answer: CallAnswer) {
        let Some(member) = &mut self.quorum else { return };
        let Some((api_key, version)) = member.calls.remove(&call) else { return };
        let failed = |refused| raft::CallFailed { refused };
        let response = match answer {
            Ok((_, mut body)) => match raft::Response::decode(api_key, version, &mut body) {
                Ok(Some(response)) => Ok(response),
                _ => Err(failed(false)),
            },
            Err(why) => Err(failed(why.refused)),
        };
        self.with_quorum(|quorum, now, io, out| {
            quorum.on_response(now, peer, call, response, io, out);
        });
    }

    pub(super) fn run_quorum_outputs(&mut self) {
        while let Some(member) = self.quorum.as_mut().filter(|member| member.has_outputs()) {
            for output in std::mem::take(&mut member.outputs) {
                self.on_output(output);
            }
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Respond { to, response } => self.send_quorum_response(to, &response),
            Output::Call { peer, call, request } => self.send_quorum_call(peer, call, &request),
            Output::LeaderChanged { leader, epoch } => self.on_leader(leader, epoch),
            Output::BecameLeader { epoch, offset } => self.activate_controller(epoch, offset),
            Output::LostLeadership { .. } => self.resign_controller(),
            Output::Committed { records, last_offset, last_epoch } => {
                self.on_committed(&records, last_offset, last_epoch);
            }
            Output::LoadSnapshot { offset, epoch, records } => {
                self.load_snapshot(offset, epoch, &records);
            }
            Output::SnapshotWanted { offset, epoch } => self.write_snapshot(offset, epoch),
            Output::Ready => {
                // A leader that was known before the restart is no change, and yet news to us.
                let member = self.quorum.as_ref().expect("an output has a member");
                let (leader, epoch) = (member.quorum.leader(), member.quorum.epoch());
                self.on_leader(leader, epoch);
            }
            Output::Closed => self.on_quorum_closed(),
            Output::Failed(message) => {
                self.shared.context().fatal(format!("the metadata log failed: {message}"));
            }
        }
    }

    fn send_quorum_response(&mut self, to: RequestRef, response: &raft::Response) {
        let member = self.quorum.as_mut().expect("an output has a member");
        let Some((id, head)) = member.requests.remove(&to.0) else { return };
        match response.encode(&head) {
            Ok(frame) => self.shared.context().reply(id, vec![frame]),
            Err(error) => {
                self.shared.say(
                    Severity::Error,
                    format!(
                        "cannot encode an answer of the quorum: {error} (a bug: please report it)"
                    ),
                );
                self.shared.context().drop_connection(id.conn);
            }
        }
    }

    fn send_quorum_call(&mut self, peer: i32, call: u64, request: &raft::Request) {
        let (api_key, version) = (request.api_key(), request.version());
        let frame = match request.encode(0, &self.shared.config.client_id()) {
            Ok(frame) => frame,
            Err(error) => {
                self.shared.context().fatal(format!(
                    "cannot encode a request of the quorum: {error} (a bug: please report it)"
                ));
                return;
            }
        };
        let member = self.quorum.as_mut().expect("an output has a member");
        member.calls.insert(call, (api_key, version));
        let long =
            matches!(request, raft::Request::Fetch { .. } | raft::Request::FetchSnapshot { .. });
        let lane = if long { Lane::Raft } else { Lane::Election };
        self.shared.outbox.calls.push(OutgoingCall {
            peer: Peer { node: peer, lane },
            api_key,
            version,
            frame,
            tag: CallTag::Raft { call },
            timeout_ms: None,
        });
    }

    fn on_leader(&mut self, leader: Option<i32>, epoch: i32) {
        let member = self.quorum.as_mut().expect("an output has a member");
        let before = std::mem::replace(&mut member.leader, leader);
        if before == leader {
            return;
        }
        let line = match leader {
            Some(leader) => format!("node {leader} leads the quorum in epoch {epoch}"),
            None => format!("no leader of the quorum in epoch {epoch}"),
        };
        self.shared.say(Severity::Info, line);
        if let Some(before) = before {
            self.peers.drop_controller(before, &mut self.effects, &mut self.answered);
        }
        if leader.is_some() {
            self.on_new_controller();
        }
    }

    fn on_committed(&mut self, records: &[(i64, Bytes)], last_offset: i64, last_epoch: i32) {
        let mut changes = Changes::default();
        for (offset, record) in records {
            if !self.apply(record, &mut changes, *offset) {
                return;
            }
        }
        self.image.offset = last_offset;
        self.image.epoch = last_epoch;
        self.publish(&changes);
    }

    /// `false`: the node ends.
    fn apply(&mut self, record: &[u8], changes: &mut Changes, offset: i64) -> bool {
        let applied = MetadataRecord::decode(record)
            .map_err(|error| error.to_string())
            .and_then(|record| self.image.apply(&record, changes));
        let Err(error) = applied else { return true };
        self.shared.context().fatal(format!(
            "the metadata record at offset {offset} can't be applied: {error}; this node can't go on with metadata that differs from the others'"
        ));
        false
    }

    fn load_snapshot(&mut self, offset: i64, epoch: i32, records: &[Bytes]) {
        let before = std::mem::take(&mut self.image);
        for record in records {
            if !self.apply(record, &mut Changes::default(), offset) {
                return;
            }
        }
        self.image.offset = offset - 1;
        self.image.epoch = epoch;
        self.shared.say(
            Severity::Info,
            format!("loaded the metadata snapshot that ends at offset {offset}"),
        );
        let changes = self.image.changes_since(&before);
        self.publish(&changes);
    }

    fn publish(&mut self, changes: &Changes) {
        self.show_broker(changes);
        self.release_responses();
    }

    fn write_snapshot(&mut self, offset: i64, epoch: i32) {
        let records = self.image.to_records();
        self.shared.say(
            Severity::Info,
            format!("writing a metadata snapshot of {} records at offset {offset}", records.len()),
        );
        let records = records.iter().map(MetadataRecord::encode).collect();
        self.with_quorum(|quorum, now, io, out| {
            quorum.write_snapshot(now, offset, epoch, records, io, out);
        });
    }
}
