//! Following: fetching from the leader, cutting off what it does not have, installing its snapshot. Also what every
//! member without a leader does to find one.
//!
//! A fetch offset is a promise that all below is synced: the next fetch waits for the sync of what the last one brought.

use bytes::{Bytes, BytesMut};
use log::io::{IoOp, IoQueue};
use wire::batch::{Batch, split_batches_allowing_partial};
use wire::error::ErrorCode;
use wire::messages::{
    BrokerId, FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse,
    fetch_request as fetch, fetch_snapshot_request as fetch_snapshot,
};

use crate::DIR;
use crate::answer::known_leader;
use crate::quorum::{IoFor, Quorum};
use crate::role::{Download, NEVER, Role};
use crate::rpc::{self, Request};
use crate::snapshot::{self, Contents, SnapshotId};

/// Between a fetch that failed and the next one.
const RETRY_MS: u64 = 50;
/// Between two questions who leads.
const DISCOVER_MS: u64 = 25;
const FETCH_VERSION: i16 = 18;
const FETCH_SNAPSHOT_VERSION: i16 = 1;
/// No metadata image comes near; a peer that says otherwise is not believed.
const MAX_SNAPSHOT_BYTES: i64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Vote { pre_vote: bool },
    BeginQuorumEpoch,
    EndQuorumEpoch,
    Fetch { offset: i64 },
    FetchSnapshot { id: SnapshotId, position: usize },
}

/// What the log is in the middle of, appends and syncs aside.
#[derive(Debug)]
pub(crate) enum LogWait {
    None,
    Truncate,
    /// A snapshot is being written, then the log is cut to begin at its end.
    Install {
        id: SnapshotId,
        contents: Option<Box<Contents>>,
    },
}

impl Quorum {
    /// The log is neither being cut nor replaced.
    pub(crate) fn log_takes_appends(&self) -> bool {
        matches!(self.log_wait, LogWait::None)
    }

    /// Nothing is under way, and all that the log has is synced: its end may be told as a fetch offset.
    pub(crate) fn log_is_settled(&self) -> bool {
        let assigned = self.log.as_ref().map_or(0, |log| log.next_offset());
        self.log_takes_appends() && self.synced_end() >= assigned
    }

    /// What of our log survives a power cut. With `flush.messages` at 1 no record below the log end offset is not synced;
    /// the recovery point comes later, for indexes and epochs too, which we have rebuilt at every start.
    pub(crate) fn synced_end(&self) -> i64 {
        self.log.as_ref().map_or(0, |log| log.log_end_offset())
    }

    pub(crate) fn poll_follower(&mut self) {
        let now = self.mono();
        let Role::Follower(follower) = &self.role else { return };
        if follower.fetch_timeout_at <= now {
            if self.is_voter() {
                return self.start_candidacy_or_wait();
            }
            return self.detach(self.election().epoch);
        }
        if follower.fetch_at > now || !self.log_is_settled() {
            return;
        }
        let Some(leader) = self.election().leader else { return };
        if self.calls.values().any(|call| call.peer == leader) {
            return;
        }
        match &follower.download {
            Some(download) => {
                let (id, position) = (download.id, download.bytes.len());
                let request = self.fetch_snapshot_request(id, position);
                self.call(leader, CallKind::FetchSnapshot { id, position }, request);
            }
            None => self.send_fetch(leader),
        }
    }

    /// A member that shuts down does not stand any more, but goes on following while it can.
    fn start_candidacy_or_wait(&mut self) {
        self.start_candidacy();
        let now = self.mono();
        let timeout = self.fetch_timeout();
        if let Role::Follower(follower) = &mut self.role {
            follower.fetch_timeout_at = now + timeout;
        }
    }

    /// Asks some voter who leads, by trying to fetch from it.
    pub(crate) fn poll_unattached(&mut self) {
        let now = self.mono();
        let settled = self.log_is_settled();
        let Role::Unattached(unattached) = &mut self.role else { return };
        if unattached.election_at <= now {
            return self.start_candidacy_from_unattached();
        }
        if unattached.discover_at > now || !settled {
            return;
        }
        if self.calls.values().any(|call| matches!(call.kind, CallKind::Fetch { .. })) {
            return;
        }
        unattached.discover_at = NEVER;
        let others: Vec<i32> = self.other_voters().collect();
        if others.is_empty() {
            return;
        }
        let gone = self.election().leader.filter(|_| self.leader_gone());
        let mut choose = || others[self.rng.below(others.len() as u64) as usize];
        let mut chosen = choose();
        if gone == Some(chosen) {
            chosen = choose(); // unlikely to be back, but it may be
        }
        self.send_fetch(chosen);
    }

    fn start_candidacy_from_unattached(&mut self) {
        let deadline = self.election_deadline();
        if let Role::Unattached(unattached) = &mut self.role {
            unattached.election_at = deadline;
        }
        self.start_candidacy();
    }

    fn send_fetch(&mut self, peer: i32) {
        let (offset, last_epoch) = self.log_end();
        let log_start_offset = self.log.as_ref().map_or(-1, |log| log.log_start_offset());
        let partition = fetch::FetchPartition::default()
            .with_partition(0)
            .with_current_leader_epoch(self.election().epoch)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(last_epoch)
            .with_log_start_offset(log_start_offset)
            .with_partition_max_bytes(self.config.fetch_max_bytes as i32)
            .with_replica_directory_id(self.config.directory_id)
            .with_high_watermark(self.high_watermark.unwrap_or(-1));
        let topic = fetch::FetchTopic::default()
            .with_topic_id(rpc::TOPIC_ID)
            .with_partitions(vec![partition]);
        let replica = fetch::ReplicaState::default()
            .with_replica_id(BrokerId(self.config.node_id))
            .with_replica_epoch(-1);
        let body = FetchRequest::default()
            .with_cluster_id(Some(rpc::text(&self.config.cluster_id)))
            .with_replica_state(replica)
            .with_max_wait_ms(self.config.fetch_max_wait_ms as i32)
            .with_min_bytes(0)
            .with_max_bytes(self.config.fetch_max_bytes as i32)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let request = Request::Fetch { version: FETCH_VERSION, body };
        self.call(peer, CallKind::Fetch { offset }, request);
    }

    fn fetch_snapshot_request(&self, id: SnapshotId, position: usize) -> Request {
        let snapshot_id = fetch_snapshot::SnapshotId::default()
            .with_end_offset(id.end_offset)
            .with_epoch(id.epoch);
        let partition = fetch_snapshot::PartitionSnapshot::default()
            .with_partition(0)
            .with_current_leader_epoch(self.election().epoch)
            .with_snapshot_id(snapshot_id)
            .with_position(position as i64)
            .with_replica_directory_id(self.config.directory_id);
        let topic = fetch_snapshot::TopicSnapshot::default()
            .with_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let body = FetchSnapshotRequest::default()
            .with_cluster_id(Some(rpc::text(&self.config.cluster_id)))
            .with_replica_id(BrokerId(self.config.node_id))
            .with_max_bytes(self.config.fetch_max_bytes as i32)
            .with_topics(vec![topic]);
        Request::FetchSnapshot { version: FETCH_SNAPSHOT_VERSION, body }
    }

    /// A fetch brought nothing of use: the next one a little later.
    pub(crate) fn on_fetch_failed(&mut self) {
        let now = self.mono();
        match &mut self.role {
            Role::Follower(follower) => follower.fetch_at = now + RETRY_MS,
            Role::Unattached(unattached) => unattached.discover_at = now + DISCOVER_MS,
            _ => {}
        }
    }

    /// Who leads, by an answer of `peer`. `true`: go on, we follow `peer` and it says that it leads our epoch.
    fn is_from_our_leader(&mut self, peer: i32, epoch: i32, leader: BrokerId) -> bool {
        let leader = known_leader(leader);
        if self.observe(epoch, leader) {
            return false;
        }
        let speaks_for_itself = epoch == self.election().epoch && leader == Some(peer);
        match &self.role {
            Role::Follower(_) if self.election().leader == Some(peer) && speaks_for_itself => true,
            // Given up for dead, and it is not.
            Role::Unattached(_) if self.election().leader == Some(peer) && speaks_for_itself => {
                self.gone_until = 0;
                self.follow(epoch, peer);
                false
            }
            _ => {
                self.on_fetch_failed();
                false
            }
        }
    }

    fn heard_from_leader(&mut self) {
        let now = self.mono();
        let timeout = self.fetch_timeout();
        if let Role::Follower(follower) = &mut self.role {
            follower.fetch_timeout_at = now + timeout;
            follower.fetch_at = now;
            follower.has_fetched = true;
        }
    }

    pub(crate) fn on_fetch_answer(
        &mut self,
        peer: i32,
        offset: i64,
        body: FetchResponse,
        io: &mut IoQueue,
    ) {
        let partition =
            body.responses.into_iter().next().and_then(|t| t.partitions.into_iter().next());
        let Some(partition) = partition.filter(|_| body.error_code == 0) else {
            return self.on_fetch_failed();
        };
        let current = &partition.current_leader;
        if !self.is_from_our_leader(peer, current.leader_epoch, current.leader_id) {
            return;
        }
        let settled = self.log_is_settled();
        if partition.error_code != ErrorCode::None as i16 || !settled || offset != self.log_end().0
        {
            return self.on_fetch_failed();
        }
        self.heard_from_leader();
        let diverging = &partition.diverging_epoch;
        let id = &partition.snapshot_id;
        if diverging.epoch >= 0 && diverging.end_offset >= 0 {
            self.cut_off(diverging.epoch, diverging.end_offset, io);
        } else if id.end_offset >= 0 && id.epoch >= 0 {
            self.start_download(SnapshotId { end_offset: id.end_offset, epoch: id.epoch });
        } else {
            let records = partition.records.unwrap_or_default();
            self.append_fetched(records, partition.high_watermark, io);
        }
    }

    fn append_fetched(&mut self, records: Bytes, leaders_high_watermark: i64, io: &mut IoQueue) {
        let Ok(batches) = self.checked_batches(records) else { return self.on_fetch_failed() };
        if !batches.is_empty() {
            let Some(log) = self.log.as_mut() else { return };
            match log.append_as_follower(batches, io) {
                Ok(_) => {}
                Err(log::AppendError::Failed(error)) => return self.fail(error.to_string()),
                Err(_) => return self.on_fetch_failed(),
            }
        }
        self.leaders_high_watermark = leaders_high_watermark;
        self.follow_high_watermark();
    }

    /// Batches that continue our log, of epochs that have been. Whatever else a peer sends is not appended.
    fn checked_batches(&self, records: Bytes) -> Result<Vec<Batch>, String> {
        let batches = split_batches_allowing_partial(records).map_err(|error| error.to_string())?;
        let (mut next, mut epoch) = self.log_end();
        for batch in &batches {
            batch.view().check().map_err(|error| error.to_string())?;
            let header = batch.header();
            let epochs = epoch..=self.election().epoch;
            if header.base_offset != next || !epochs.contains(&header.partition_leader_epoch) {
                return Err(format!("a batch at offset {} does not fit", header.base_offset));
            }
            (next, epoch) = (header.next_offset(), header.partition_leader_epoch);
        }
        Ok(batches)
    }

    /// As far as the leader's goes and our own synced log reaches.
    pub(crate) fn follow_high_watermark(&mut self) {
        let reached = self.leaders_high_watermark.min(self.synced_end());
        let follows = matches!(self.role, Role::Follower(_)) && self.log_takes_appends();
        if follows && self.high_watermark.is_none_or(|hw| reached > hw) && reached > 0 {
            self.set_high_watermark(reached);
        }
    }

    /// The end of `epoch` in our log, as Kafka's metadata log answers it.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> (i32, i64) {
        let (end_offset, last_epoch) = self.log_end();
        let Some(log) = &self.log else { return (last_epoch, end_offset) };
        match log.end_offset_for_epoch(epoch) {
            (found, end) if found >= 0 => (found, end),
            _ => (last_epoch, end_offset),
        }
    }

    /// The leader's log left ours: cut ours back to where they may still be one (KIP-595).
    fn cut_off(&mut self, epoch: i32, end_offset: i64, io: &mut IoQueue) {
        let (our_end, _) = self.log_end();
        let (found, found_end) = self.end_of_epoch(epoch);
        let target = match found == epoch {
            true => found_end.min(end_offset),
            false => found_end,
        };
        let target = target.min(end_offset);
        if target >= our_end {
            return self.on_fetch_failed();
        }
        if self.high_watermark.is_some_and(|hw| target < hw) {
            let hw = self.high_watermark.unwrap_or(0);
            return self.fail(format!(
                "the leader of epoch {} asks to cut the log to {target}, below the high watermark {hw}",
                self.election().epoch
            ));
        }
        if let Some(log) = self.log.as_mut()
            && log.truncate_to(target, io)
        {
            self.log_wait = LogWait::Truncate;
        }
    }

    fn start_download(&mut self, id: SnapshotId) {
        if self.high_watermark.is_some_and(|hw| id.end_offset < hw) {
            return self.on_fetch_failed();
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.download = Some(Download { id, bytes: BytesMut::new() });
        }
    }

    pub(crate) fn on_snapshot_answer(
        &mut self,
        peer: i32,
        id: SnapshotId,
        position: usize,
        body: FetchSnapshotResponse,
        io: &mut IoQueue,
    ) {
        let partition =
            body.topics.into_iter().next().and_then(|t| t.partitions.into_iter().next());
        let Some(partition) = partition.filter(|_| body.error_code == 0) else {
            return self.on_fetch_failed();
        };
        let current = &partition.current_leader;
        if !self.is_from_our_leader(peer, current.leader_epoch, current.leader_id) {
            return;
        }
        let refused = partition.error_code != ErrorCode::None as i16;
        let size = partition.size;
        let chunk = partition.unaligned_records;
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(download) = follower.download.as_mut().filter(|download| download.id == id) else {
            return self.on_fetch_failed();
        };
        let end = (position + chunk.len()) as i64;
        let sound = partition.position == position as i64
            && download.bytes.len() == position
            && end <= size
            && size <= MAX_SNAPSHOT_BYTES
            && !chunk.is_empty();
        if refused || !sound {
            // It may have been replaced by a newer one: ask anew from where our log ends.
            follower.download = None;
            return self.on_fetch_failed();
        }
        download.bytes.extend_from_slice(&chunk);
        let whole = (end == size).then(|| std::mem::take(&mut download.bytes).freeze());
        if whole.is_some() {
            follower.download = None;
        }
        self.heard_from_leader();
        if let Some(bytes) = whole {
            self.store_download(id, bytes, io);
        }
    }

    fn store_download(&mut self, id: SnapshotId, data: Bytes, io: &mut IoQueue) {
        let settled = self.log_is_settled();
        let Ok(contents) = snapshot::read(data.clone()) else { return self.on_fetch_failed() };
        if !settled || self.high_watermark.is_some_and(|hw| id.end_offset < hw) {
            return self.on_fetch_failed();
        }
        self.log_wait = LogWait::Install { id, contents: None };
        let path = format!("{DIR}/{}", id.file_name());
        let purpose = IoFor::InstallSnapshot(id, Box::new(contents));
        self.submit(purpose, IoOp::Replace { path, data }, io);
    }

    /// The snapshot is on disk: our log begins at its end.
    pub(crate) fn install_snapshot(
        &mut self,
        id: SnapshotId,
        contents: Contents,
        io: &mut IoQueue,
    ) {
        self.snapshots.insert(id);
        self.log_wait = LogWait::Install { id, contents: Some(Box::new(contents)) };
        if let Some(log) = self.log.as_mut() {
            log.truncate_fully_and_start_at(id.end_offset, io);
        }
    }
}
