//! The leader's side of Fetch and FetchSnapshot: validation by epoch, waiting for news, and progress of the replicas.

use bytes::{Bytes, BytesMut};
use log::io::{IoOp, IoQueue};
use log::{FetchData, Read, ReadError};
use wire::error::ErrorCode;
use wire::messages::{FetchRequest, FetchSnapshotRequest, fetch_response};

use crate::answer;
use crate::quorum::{IoFor, Quorum, ReadFor};
use crate::quorum_state::ReplicaKey;
use crate::role::{Progress, Role};
use crate::rpc::{self, Request, RequestRef};
use crate::snapshot::SnapshotId;
use crate::{DIR, Defect};

/// The first version with a last fetched epoch; without one the logs cannot be compared.
const MIN_FETCH_VERSION: i16 = 12;
/// The most that one answer carries.
const MAX_CHUNK_BYTES: i32 = 8 << 20;
/// A snapshot that nobody asked for during this time is not kept in memory.
const KEEP_SERVED_MS: u64 = 10_000;
/// An observer that has not fetched for so long is forgotten.
const OBSERVER_SESSION_MS: u64 = 300_000;

/// A valid fetch that waits for records, for news of the high watermark, or for the end of its patience.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    to: RequestRef,
    version: i16,
    replica: ReplicaKey,
    offset: i64,
    last_epoch: i32,
    max_bytes: u32,
    known_high_watermark: i64,
    pub expires_at: u64,
}

/// What a fetch's offset and epoch say about the fetcher's log.
enum Position {
    Valid,
    Diverging { epoch: i32, end_offset: i64 },
    TooOld(SnapshotId),
}

impl Quorum {
    pub(crate) fn serve_fetch(
        &mut self,
        to: RequestRef,
        version: i16,
        body: &FetchRequest,
        io: &mut IoQueue,
    ) {
        if let Err(error) = self.check_fetch_request(version, body) {
            let request = Request::Fetch { version, body: body.clone() };
            return self.respond(to, answer::refusal(&request, error));
        }
        let partition = &body.topics[0].partitions[0];
        let id = if version >= 15 { body.replica_state.replica_id } else { body.replica_id };
        let fetch = Parked {
            to,
            version,
            replica: ReplicaKey { id: id.0, directory_id: partition.replica_directory_id },
            offset: partition.fetch_offset,
            last_epoch: partition.last_fetched_epoch,
            max_bytes: partition.partition_max_bytes.clamp(1, MAX_CHUNK_BYTES) as u32,
            known_high_watermark: partition.high_watermark,
            expires_at: self.mono() + body.max_wait_ms.max(0) as u64,
        };
        let invalid = fetch.offset < 0 || fetch.last_epoch < 0;
        let error = match self.check_leader_epoch(partition.current_leader_epoch) {
            ErrorCode::None if invalid => ErrorCode::InvalidRequest,
            error => error,
        };
        if error != ErrorCode::None {
            return self.refuse_fetch(&fetch, error);
        }
        self.hear_replica(fetch.replica);
        match self.compare(fetch.offset, fetch.last_epoch) {
            Position::Valid => {
                self.note_progress(fetch.replica, fetch.offset);
                self.advance_high_watermark();
                self.complete_fetch(fetch, io);
            }
            elsewhere => self.redirect_fetch(&fetch, &elsewhere),
        }
    }

    fn check_fetch_request(&self, version: i16, body: &FetchRequest) -> Result<(), ErrorCode> {
        if version < MIN_FETCH_VERSION {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if !self.is_my_cluster(body.cluster_id.as_deref()) {
            return Err(ErrorCode::InconsistentClusterId);
        }
        let [topic] = body.topics.as_slice() else { return Err(ErrorCode::InvalidRequest) };
        let ours = if version >= 13 {
            topic.topic_id == rpc::TOPIC_ID
        } else {
            topic.topic.0.as_str() == rpc::TOPIC
        };
        match topic.partitions.as_slice() {
            [partition] if ours && partition.partition == 0 => Ok(()),
            _ => Err(ErrorCode::InvalidRequest),
        }
    }

    /// Only the leader answers, and only in its own epoch.
    fn check_leader_epoch(&self, epoch: i32) -> ErrorCode {
        let known = self.election().epoch;
        if epoch < known {
            ErrorCode::FencedLeaderEpoch
        } else if epoch > known {
            ErrorCode::UnknownLeaderEpoch
        } else if !self.is_leader() {
            ErrorCode::NotLeaderOrFollower
        } else {
            ErrorCode::None
        }
    }

    /// Kafka's `validateOffsetAndEpoch`.
    fn compare(&self, offset: i64, last_epoch: i32) -> Position {
        let start = self.log.as_ref().map_or(0, |log| log.log_start_offset());
        if (start, offset, last_epoch) == (0, 0, 0) {
            return Position::Valid;
        }
        let earliest = self.snapshots.iter().find(|id| id.end_offset >= start);
        if let (Some(earliest), Some(newest)) = (earliest, self.snapshots.last())
            && (offset < start
                || (offset == start && last_epoch != earliest.epoch)
                || last_epoch < earliest.epoch)
        {
            return Position::TooOld(*newest);
        }
        if self.has(Defect::KeepDivergedTail) && offset <= self.log_end().0 {
            return Position::Valid;
        }
        let (epoch, end_offset) = self.end_of_epoch(last_epoch);
        // What the quorum may not have: a follower's log never counts for more than the leader's own.
        if epoch != last_epoch || end_offset < offset {
            return Position::Diverging { epoch, end_offset };
        }
        Position::Valid
    }

    /// Any fetch in our epoch is a sign of life; enough of them keep us in office.
    fn hear_replica(&mut self, replica: ReplicaKey) {
        let voter = self.voters.is_voter(replica.id, replica.directory_id);
        let majority = self.voters.majority();
        let check_quorum_at = self.check_quorum_deadline();
        let Role::Leader(leader) = &mut self.role else { return };
        if voter && leader.voters.contains_key(&replica.id) {
            leader.heard.insert(replica.id);
            if leader.heard.len() + 1 >= majority {
                leader.heard.clear();
                leader.check_quorum_at = check_quorum_at;
            }
        }
    }

    fn note_progress(&mut self, replica: ReplicaKey, offset: i64) {
        let now = self.now;
        let end_offset = self.log.as_ref().map_or(0, |log| log.log_end_offset());
        let voter = self.voters.is_voter(replica.id, replica.directory_id);
        let Role::Leader(leader) = &mut self.role else { return };
        let progress = match leader.voters.get_mut(&replica.id).filter(|_| voter) {
            Some(progress) => progress,
            None if replica.id < 0 => return,
            None => {
                let alive = |progress: &Progress| {
                    progress
                        .last_fetch_mono_ms
                        .is_some_and(|at| at + OBSERVER_SESSION_MS > now.mono_ms)
                };
                leader.observers.retain(|_, progress| alive(progress));
                leader.observers.entry(replica).or_default()
            }
        };
        if offset >= end_offset {
            progress.last_caught_up_wall_ms = now.wall_ms;
        } else if progress.last_fetch_mono_ms.is_some()
            && offset >= progress.leader_end_at_last_fetch
        {
            progress.last_caught_up_wall_ms = progress.last_fetch_wall_ms;
        }
        progress.end_offset = Some(offset);
        progress.last_fetch_mono_ms = Some(now.mono_ms);
        progress.last_fetch_wall_ms = now.wall_ms;
        progress.leader_end_at_last_fetch = end_offset;
    }

    /// Answers a valid fetch if there is anything to say, otherwise lets it wait.
    fn complete_fetch(&mut self, fetch: Parked, io: &mut IoQueue) {
        let high_watermark = self.high_watermark.unwrap_or(-1);
        let expired = fetch.expires_at <= self.mono();
        let Some(log) = self.log.as_mut() else { return };
        // Whoever is no replica sees what is committed only.
        let visible = if fetch.replica.id < 0 { high_watermark.max(0) } else { i64::MAX };
        let end_offset = log.log_end_offset().min(visible);
        if fetch.offset < end_offset {
            match log.read(fetch.offset, fetch.max_bytes, end_offset, true, io) {
                Read::Ready(data) => self.send_records(&fetch, data),
                Read::Pending(id) => self.reads.push((id, ReadFor::Fetch(fetch))),
                Read::OutOfRange | Read::Failed(_) => self.read_failed(&fetch),
            }
        } else if expired || high_watermark > fetch.known_high_watermark {
            self.send_records(&fetch, FetchData::default());
        } else {
            self.parked.push(fetch);
        }
    }

    pub(crate) fn serve_parked(&mut self, io: &mut IoQueue) {
        if self.is_leader() {
            for fetch in std::mem::take(&mut self.parked) {
                self.complete_fetch(fetch, io);
            }
        }
    }

    /// Our epoch is over, or we are going away: whoever waits here looks elsewhere.
    pub(crate) fn refuse_parked(&mut self) {
        for fetch in std::mem::take(&mut self.parked) {
            self.refuse_fetch(&fetch, ErrorCode::NotLeaderOrFollower);
        }
        for (to, request) in std::mem::take(&mut self.waiting_for_snapshot) {
            self.respond(to, answer::refusal(&request, ErrorCode::NotLeaderOrFollower));
        }
    }

    pub(crate) fn fetch_was_read(&mut self, fetch: &Parked, result: Result<FetchData, ReadError>) {
        if !self.is_leader() {
            return self.refuse_fetch(fetch, ErrorCode::NotLeaderOrFollower);
        }
        match result {
            Ok(data) => self.send_records(fetch, data),
            Err(_) => self.read_failed(fetch),
        }
    }

    /// The records were dropped for a snapshot in the meantime, or the storage failed, of which the log tells itself.
    fn read_failed(&mut self, fetch: &Parked) {
        match self.compare(fetch.offset, fetch.last_epoch) {
            Position::Valid => self.refuse_fetch(fetch, ErrorCode::KafkaStorageError),
            elsewhere => self.redirect_fetch(fetch, &elsewhere),
        }
    }

    fn fetch_partition(&self, error: ErrorCode) -> fetch_response::PartitionData {
        let known = self.election();
        answer::fetch_partition(error, known.epoch, known.leader)
    }

    fn answer_fetch(&mut self, fetch: &Parked, partition: fetch_response::PartitionData) {
        let response = answer::fetch(fetch.version, partition, self.leader_endpoint());
        self.respond(fetch.to, response);
    }

    fn refuse_fetch(&mut self, fetch: &Parked, error: ErrorCode) {
        let partition = self.fetch_partition(error);
        self.answer_fetch(fetch, partition);
    }

    fn send_records(&mut self, fetch: &Parked, data: FetchData) {
        let mut partition = self.fetch_partition(ErrorCode::None);
        partition.high_watermark = self.high_watermark.unwrap_or(-1);
        partition.last_stable_offset = partition.high_watermark;
        partition.log_start_offset = self.log.as_ref().map_or(-1, |log| log.log_start_offset());
        partition.records = Some(joined(data.batches));
        self.answer_fetch(fetch, partition);
    }

    fn redirect_fetch(&mut self, fetch: &Parked, position: &Position) {
        let mut partition = self.fetch_partition(ErrorCode::None);
        partition.high_watermark = self.high_watermark.unwrap_or(-1);
        partition.log_start_offset = self.log.as_ref().map_or(-1, |log| log.log_start_offset());
        match position {
            Position::Valid => {}
            Position::Diverging { epoch, end_offset } => {
                partition.diverging_epoch.epoch = *epoch;
                partition.diverging_epoch.end_offset = *end_offset;
            }
            Position::TooOld(id) => {
                partition.snapshot_id.epoch = id.epoch;
                partition.snapshot_id.end_offset = id.end_offset;
            }
        }
        self.answer_fetch(fetch, partition);
    }

    // ---- snapshots

    pub(crate) fn serve_fetch_snapshot(
        &mut self,
        to: RequestRef,
        version: i16,
        body: FetchSnapshotRequest,
        io: &mut IoQueue,
    ) {
        let refuse = |quorum: &mut Quorum, body, error| {
            let request = Request::FetchSnapshot { version, body };
            quorum.respond(to, answer::refusal(&request, error));
        };
        if !self.is_my_cluster(body.cluster_id.as_deref()) {
            return refuse(self, body, ErrorCode::InconsistentClusterId);
        }
        let partition = match body.topics.as_slice() {
            [topic] if topic.name.0.as_str() == rpc::TOPIC => topic.partitions.as_slice(),
            _ => &[],
        };
        let [partition] = partition else { return refuse(self, body, ErrorCode::InvalidRequest) };
        let id = SnapshotId {
            end_offset: partition.snapshot_id.end_offset,
            epoch: partition.snapshot_id.epoch,
        };
        let error = match self.check_leader_epoch(partition.current_leader_epoch) {
            ErrorCode::None if !self.can_serve(id) => ErrorCode::SnapshotNotFound,
            error => error,
        };
        if error != ErrorCode::None {
            return self.answer_snapshot(to, version, id, error, None);
        }
        let replica = body.replica_id.0;
        self.hear_replica(ReplicaKey { id: replica, directory_id: partition.replica_directory_id });
        let position = partition.position;
        let max_bytes = body.max_bytes.clamp(1, MAX_CHUNK_BYTES) as usize;
        let keep_until = self.mono() + KEEP_SERVED_MS;
        match &mut self.serving {
            Some((served, bytes, until)) if *served == id => {
                *until = keep_until;
                let bytes = bytes.clone();
                self.send_chunk(to, version, id, &bytes, position, max_bytes);
            }
            _ => {
                let first = self.waiting_for_snapshot.is_empty();
                let request = Request::FetchSnapshot { version, body };
                self.waiting_for_snapshot.push((to, request));
                if first {
                    let path = format!("{DIR}/{}", id.file_name());
                    self.submit(IoFor::ServeSnapshot(id), IoOp::ReadFile { path }, io);
                }
            }
        }
    }

    fn can_serve(&self, id: SnapshotId) -> bool {
        let held = self.serving.as_ref().is_some_and(|(served, ..)| *served == id);
        held || self.snapshots.contains(&id)
    }

    fn send_chunk(
        &mut self,
        to: RequestRef,
        version: i16,
        id: SnapshotId,
        bytes: &Bytes,
        position: i64,
        max_bytes: usize,
    ) {
        let start = usize::try_from(position).ok().filter(|start| *start < bytes.len());
        let Some(start) = start else {
            return self.answer_snapshot(to, version, id, ErrorCode::PositionOutOfRange, None);
        };
        let end = (start + max_bytes).min(bytes.len());
        let chunk = (bytes.len() as i64, position, bytes.slice(start..end));
        self.answer_snapshot(to, version, id, ErrorCode::None, Some(chunk));
    }

    fn answer_snapshot(
        &mut self,
        to: RequestRef,
        version: i16,
        id: SnapshotId,
        error: ErrorCode,
        chunk: Option<(i64, i64, Bytes)>,
    ) {
        let known = self.election();
        let mut partition = answer::snapshot_partition(error, known.epoch, known.leader, id);
        if let Some((size, position, bytes)) = chunk {
            partition.size = size;
            partition.position = position;
            partition.unaligned_records = bytes;
        }
        let response = answer::fetch_snapshot(version, partition, self.leader_endpoint());
        self.respond(to, response);
    }

    pub(crate) fn snapshot_loaded(&mut self, id: SnapshotId, bytes: Bytes, io: &mut IoQueue) {
        self.serving = Some((id, bytes, self.mono() + KEEP_SERVED_MS));
        for (to, request) in std::mem::take(&mut self.waiting_for_snapshot) {
            self.serve(to, request, io);
        }
    }

    /// It was deleted as a newer one came; whoever asked finds out by asking again.
    pub(crate) fn snapshot_not_served(&mut self) {
        for (to, request) in std::mem::take(&mut self.waiting_for_snapshot) {
            self.respond(to, answer::refusal(&request, ErrorCode::SnapshotNotFound));
        }
    }
}

/// One piece of what may be several; usually it is one, and nothing is copied.
fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.swap_remove(0),
        _ => {
            let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            for part in &parts {
                whole.extend_from_slice(part);
            }
            whole.freeze()
        }
    }
}
