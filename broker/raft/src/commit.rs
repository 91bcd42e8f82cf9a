//! What is committed goes to the state machine, and comes back as snapshots; and what the log tells.

use bytes::Bytes;
use log::io::{IoOp, IoQueue, IoResult, Token};
use log::{Event, FetchData, Read, ReadError};
use wire::batch::split_batches;
use wire::control::ControlRecord;

use crate::DIR;
use crate::follow::LogWait;
use crate::open::MAINTAIN_MS;
use crate::quorum::{IoFor, Output, Phase, Quorum, ReadFor};
use crate::snapshot::{self, Contents, SnapshotId};

/// How much is read and delivered at a time.
const DELIVERY_BYTES: u32 = 1 << 20;

impl Quorum {
    pub(crate) fn on_log_io(&mut self, token: Token, result: IoResult, io: &mut IoQueue) {
        let Some(log) = self.log.as_mut() else { return };
        let mut events = Vec::new();
        log.on_io(self.now.wall_ms, token, result, io, &mut events);
        for event in events {
            self.on_log_event(event, io);
        }
    }

    fn on_log_event(&mut self, event: Event, io: &mut IoQueue) {
        match event {
            Event::Opened(opened) => self.on_log_opened(opened, io),
            Event::Appended { .. } | Event::Synced { .. } => {
                self.maybe_finish_opening();
                self.follow_high_watermark();
            }
            Event::Truncated { .. } => self.on_log_truncated(io),
            Event::Read { id, result } => self.on_log_read(id, result, io),
            Event::Closed => {
                self.phase = Phase::Closed;
                self.say_only(Output::Closed);
            }
            Event::Failed(error) => self.fail(format!("the metadata log: {error}")),
            Event::Lookup { .. } | Event::Deleted => {}
        }
    }

    fn on_log_read(
        &mut self,
        id: log::ReadId,
        result: Result<FetchData, ReadError>,
        io: &mut IoQueue,
    ) {
        let Some(at) = self.reads.iter().position(|(read, _)| *read == id) else { return };
        match self.reads.swap_remove(at).1 {
            ReadFor::Fetch(fetch) => self.fetch_was_read(&fetch, result),
            ReadFor::Delivery => match result {
                Ok(data) => self.deliver_read(data, io),
                // A snapshot took the place of what was being read.
                Err(ReadError::OutOfRange | ReadError::NotReady) => {}
                Err(error) => self.fail(format!("reading committed records: {error}")),
            },
        }
    }

    fn on_log_truncated(&mut self, io: &mut IoQueue) {
        match std::mem::replace(&mut self.log_wait, LogWait::None) {
            LogWait::Install { id, contents: Some(contents) } => {
                self.delete_snapshots_before(Some(id), io);
                self.load_snapshot(id, *contents);
            }
            LogWait::Truncate => {}
            other => self.log_wait = other,
        }
        self.maybe_finish_opening();
    }

    /// The log is open, cut where it had to be, and synced: the member begins to live.
    pub(crate) fn maybe_finish_opening(&mut self) {
        if matches!(self.phase, Phase::Opening(_)) && self.log_is_settled() {
            self.finish_opening();
        }
    }

    // ---- delivery

    pub(crate) fn deliver(&mut self, io: &mut IoQueue) {
        while self.is_running() && self.applied < self.high_watermark.unwrap_or(0) {
            let reading =
                self.reads.iter().any(|(_, purpose)| matches!(purpose, ReadFor::Delivery));
            if reading || !self.log_takes_appends() {
                return;
            }
            let below = self.high_watermark.unwrap_or(0);
            let Some(log) = self.log.as_mut() else { return };
            match log.read(self.applied, DELIVERY_BYTES, below, true, io) {
                Read::Ready(data) => self.apply(data),
                Read::Pending(id) => self.reads.push((id, ReadFor::Delivery)),
                Read::OutOfRange => {
                    let (applied, start) = (self.applied, log.log_start_offset());
                    self.fail(format!(
                        "committed records from {applied} below {below} are not in the log, which starts at {start}"
                    ));
                }
                Read::Failed(ReadError::NotReady) => return,
                Read::Failed(error) => self.fail(format!("reading committed records: {error}")),
            }
        }
    }

    fn deliver_read(&mut self, data: FetchData, io: &mut IoQueue) {
        self.apply(data);
        self.deliver(io);
    }

    fn apply(&mut self, data: FetchData) {
        let before = self.applied;
        let high_watermark = self.high_watermark.unwrap_or(0);
        let mut records = Vec::new();
        if let Some(bytes) = contiguous(data.batches)
            && let Err(reason) = self.apply_batches(bytes, high_watermark, &mut records)
        {
            return self.fail(format!("committed records from {before}: {reason}"));
        }
        if self.applied == before {
            // A read that a snapshot overtook brings what was delivered with it; anything else is a hole.
            if data.next_offset <= before && data.bytes == 0 {
                self.fail(format!("the log has nothing at the committed offset {before}"));
            }
            return;
        }
        self.bytes_since_snapshot += data.bytes as u64;
        let (last_offset, last_epoch) = (self.applied - 1, self.applied_epoch);
        self.emit(Output::Committed { records, last_offset, last_epoch });
        self.maybe_want_snapshot();
    }

    fn apply_batches(
        &mut self,
        bytes: Bytes,
        high_watermark: i64,
        records: &mut Vec<(i64, Bytes)>,
    ) -> Result<(), String> {
        for batch in split_batches(bytes).map_err(|error| error.to_string())? {
            if batch.base_offset() < self.applied || batch.last_offset() >= high_watermark {
                continue;
            }
            // The file may have changed under us since it was written and recovered: a wrong image is worse than none.
            batch.view().check().map_err(|error| error.to_string())?;
            if batch.base_offset() != self.applied {
                return Err(format!("the next batch is that of {}", batch.base_offset()));
            }
            for record in batch.records().map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let value = record.value.unwrap_or_default();
                if !batch.header().is_control() {
                    records.push((record.offset, value));
                    continue;
                }
                let key = record.key.unwrap_or_default();
                let control = ControlRecord::decode(&key, &value).map_err(|e| e.to_string())?;
                if let ControlRecord::KRaftVoters { voters } = control {
                    self.adopt_voters(snapshot::voters_from_record(&voters)?);
                }
            }
            self.applied = batch.last_offset() + 1;
            self.applied_epoch = batch.header().partition_leader_epoch;
            self.applied_timestamp_ms = batch.header().max_timestamp;
        }
        Ok(())
    }

    // ---- snapshots

    /// The state machine starts from here, and so does everything that we count.
    pub(crate) fn load_snapshot(&mut self, id: SnapshotId, contents: Contents) {
        assert!(id.end_offset >= self.applied, "a snapshot of what was delivered already");
        if let Some(voters) = contents.voters {
            self.adopt_voters(voters);
        }
        self.applied = id.end_offset;
        self.applied_epoch = id.epoch;
        self.applied_timestamp_ms = contents.last_contained_log_timestamp_ms;
        self.bytes_since_snapshot = 0;
        self.snapshot_wanted = false;
        if self.high_watermark.is_none_or(|hw| hw < id.end_offset) {
            self.set_high_watermark(id.end_offset);
        }
        let SnapshotId { end_offset: offset, epoch } = id;
        self.emit(Output::LoadSnapshot { offset, epoch, records: contents.records });
    }

    fn maybe_want_snapshot(&mut self) {
        let enough = self.bytes_since_snapshot >= self.config.snapshot_max_new_record_bytes;
        if enough && !self.snapshot_wanted {
            self.snapshot_wanted = true;
            let (offset, epoch) = (self.applied, self.applied_epoch);
            self.emit(Output::SnapshotWanted { offset, epoch });
        }
    }

    pub(crate) fn save_snapshot(&mut self, id: SnapshotId, records: Vec<Bytes>, io: &mut IoQueue) {
        assert!(id.end_offset <= self.applied, "a snapshot of what was not delivered");
        let newest = self.snapshots.last().map_or(0, |id| id.end_offset);
        if !self.is_running() || id.end_offset <= newest || !self.log_takes_appends() {
            self.snapshot_wanted = false;
            return;
        }
        let contents = Contents {
            last_contained_log_timestamp_ms: self.applied_timestamp_ms,
            voters: Some(self.voters.clone()),
            records,
        };
        let data = snapshot::write(id, &contents, &self.config.listener_name);
        let path = format!("{DIR}/{}", id.file_name());
        self.submit(IoFor::WriteSnapshot(id), IoOp::Replace { path, data }, io);
    }

    /// A snapshot is on disk. The one before it becomes the start of the log, so that a follower a little behind still
    /// finds records; older ones, and the log before that one, go.
    pub(crate) fn snapshot_saved(&mut self, id: SnapshotId, io: &mut IoQueue) {
        let before = self.snapshots.last().copied();
        self.snapshot_wanted = false;
        if self.snapshots.contains(&id) {
            return; // downloaded in the meantime
        }
        if before.is_some_and(|before| before > id) || !self.log_takes_appends() {
            let path = format!("{DIR}/{}", id.file_name());
            return self.submit(IoFor::Delete, IoOp::Delete { path }, io);
        }
        self.bytes_since_snapshot = 0;
        self.snapshots.insert(id);
        let Some(start) = before else { return };
        if let Some(log) = self.log.as_mut()
            && start.end_offset > log.log_start_offset()
        {
            log.set_log_start_offset(start.end_offset, io);
            log.maintain(self.now.wall_ms, io);
            self.maintain_at = self.now.mono_ms + MAINTAIN_MS;
        }
        self.delete_snapshots_before(Some(start), io);
    }

    pub(crate) fn delete_snapshots_before(&mut self, start: Option<SnapshotId>, io: &mut IoQueue) {
        let Some(start) = start else { return };
        let kept = self.snapshots.split_off(&start);
        for old in std::mem::replace(&mut self.snapshots, kept) {
            let path = format!("{DIR}/{}", old.file_name());
            self.submit(IoFor::Delete, IoOp::Delete { path }, io);
        }
    }
}

/// The parts as one piece: a batch may be cut over several.
fn contiguous(mut parts: Vec<Bytes>) -> Option<Bytes> {
    if parts.len() <= 1 { parts.pop() } else { Some(Bytes::from(parts.concat())) }
}
