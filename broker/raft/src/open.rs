//! From a directory to a running member: list, read the vote and the newest snapshot, open the log, take up a role.

use log::io::{DirEntry, IoErrorKind, IoOp, IoQueue, IoResult};
use log::{CleanupPolicy, Log, LogConfig, Opened, Recovery, TimestampType};

use crate::follow::LogWait;
use crate::quorum::{IoFor, Output, Phase, Quorum};
use crate::quorum_state::{ElectionState, FILE_NAME};
use crate::role::{Resigned, Role, Unattached};
use crate::snapshot::{self, BOOTSTRAP, Contents, SnapshotId};
use crate::{DIR, Defect, VoterSet};

/// How often a log at rest is looked at for files to delete and segments to roll, in milliseconds.
pub(crate) const MAINTAIN_MS: u64 = 30_000;

/// What has been gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    entries: Option<Vec<DirEntry>>,
    state: Option<ElectionState>,
    /// The newest snapshot, once read.
    contents: Option<(SnapshotId, Contents)>,
}

impl Quorum {
    pub(crate) fn begin_opening(&mut self, io: &mut IoQueue) {
        self.phase = Phase::Opening(Opening::default());
        self.submit(IoFor::MakeDir, IoOp::CreateDir { path: DIR.to_owned() }, io);
    }

    /// A completed operation that was ours. A failed one ends the member: it cannot know what is on its disk.
    pub(crate) fn on_own_io(&mut self, purpose: IoFor, result: IoResult, io: &mut IoQueue) {
        let result = match (&purpose, result) {
            (IoFor::ReadState, IoResult::Failed(error)) if error.kind == IoErrorKind::NotFound => {
                return self.on_state_read(ElectionState::default(), io);
            }
            (IoFor::ServeSnapshot(_), IoResult::Failed(_)) => return self.snapshot_not_served(),
            // A file that stays costs space; it is tried again at the next start.
            (IoFor::Delete, _) => return,
            (_, IoResult::Failed(error)) => return self.fail(format!("{purpose:?}: {error}")),
            (_, result) => result,
        };
        match (purpose, result) {
            (IoFor::MakeDir, _) => {
                self.submit(IoFor::List, IoOp::List { dir: DIR.to_owned() }, io);
            }
            (IoFor::List, IoResult::Listed(entries)) => self.on_listed(entries, io),
            (IoFor::ReadState, IoResult::Data(bytes)) => match ElectionState::parse(&bytes) {
                Ok(state) if self.has(Defect::ForgottenVote) => {
                    self.on_state_read(ElectionState { voted: None, ..state }, io);
                }
                Ok(state) => self.on_state_read(state, io),
                Err(reason) => self.fail(format!("{DIR}/{FILE_NAME}: {reason}")),
            },
            (IoFor::WriteBootstrap, _) => self.read_snapshot(BOOTSTRAP, io),
            (IoFor::ReadSnapshot(id), IoResult::Data(bytes)) => match snapshot::read(bytes) {
                Ok(contents) => self.on_snapshot_read(id, contents, io),
                Err(reason) => self.fail(format!("{DIR}/{}: {reason}", id.file_name())),
            },
            (IoFor::WriteState(state), _) => self.state_written(state),
            (IoFor::WriteSnapshot(id), _) => self.snapshot_saved(id, io),
            (IoFor::InstallSnapshot(id, contents), _) => self.install_snapshot(id, *contents, io),
            (IoFor::ServeSnapshot(id), IoResult::Data(bytes)) => {
                self.snapshot_loaded(id, bytes, io)
            }
            (purpose, result) => self.fail(format!("{purpose:?} was answered by {result:?}")),
        }
    }

    fn on_listed(&mut self, entries: Vec<DirEntry>, io: &mut IoQueue) {
        for entry in &entries {
            if entry.name.ends_with(".checkpoint.tmp") || entry.name.ends_with(".checkpoint.part") {
                let path = format!("{DIR}/{}", entry.name);
                self.submit(IoFor::Delete, IoOp::Delete { path }, io);
            }
        }
        let Phase::Opening(opening) = &mut self.phase else { return };
        opening.entries = Some(entries);
        let path = format!("{DIR}/{FILE_NAME}");
        self.submit(IoFor::ReadState, IoOp::ReadFile { path }, io);
    }

    fn on_state_read(&mut self, state: ElectionState, io: &mut IoQueue) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        opening.state = Some(state);
        let entries = opening.entries.as_deref().unwrap_or_default();
        let names = entries.iter().map(|entry| entry.name.as_str());
        self.snapshots = names.clone().filter_map(SnapshotId::parse_file_name).collect();
        let first_boot = self.snapshots.is_empty() && !names.clone().any(|n| n.ends_with(".log"));
        match self.snapshots.last().copied() {
            Some(newest) => self.read_snapshot(newest, io),
            None if first_boot && self.is_voter() => self.write_bootstrap(io),
            None => self.open_log(io),
        }
    }

    fn write_bootstrap(&mut self, io: &mut IoQueue) {
        let voters = Some(self.voters.clone());
        // No time goes into it: every voter's is the same, byte for byte.
        let contents = Contents { last_contained_log_timestamp_ms: 0, voters, records: Vec::new() };
        let data = snapshot::write(BOOTSTRAP, &contents, &self.config.listener_name);
        let path = format!("{DIR}/{}", BOOTSTRAP.file_name());
        self.snapshots.insert(BOOTSTRAP);
        self.submit(IoFor::WriteBootstrap, IoOp::Replace { path, data }, io);
    }

    fn read_snapshot(&mut self, id: SnapshotId, io: &mut IoQueue) {
        let path = format!("{DIR}/{}", id.file_name());
        self.submit(IoFor::ReadSnapshot(id), IoOp::ReadFile { path }, io);
    }

    fn on_snapshot_read(&mut self, id: SnapshotId, contents: Contents, io: &mut IoQueue) {
        if let Some(voters) = &contents.voters {
            self.adopt_voters(voters.clone());
        }
        if let Phase::Opening(opening) = &mut self.phase {
            opening.contents = Some((id, contents));
            self.open_log(io);
        }
    }

    pub(crate) fn adopt_voters(&mut self, voters: VoterSet) {
        self.voters = voters.with_endpoints_of(&self.config.voters);
    }

    fn open_log(&mut self, io: &mut IoQueue) {
        // What lies before the newest snapshot is not needed, and after a crash in the middle of its deletion it may be
        // full of holes. Followers that are so far behind take the snapshot.
        let start = self.snapshots.last().copied();
        self.delete_snapshots_before(start, io);
        let log_start_offset = start.map(|id| id.end_offset);
        // Never taken as clean: the whole of a metadata log is checked at every start.
        let recovery = Recovery { clean: false, recovery_point: None, log_start_offset };
        let config = metadata_log_config(&self.config.log);
        self.log = Some(Log::open(DIR, config, recovery, self.now.wall_ms, io));
    }

    pub(crate) fn on_log_opened(&mut self, opened: Opened, io: &mut IoQueue) {
        let Some(log) = self.log.as_mut() else { return };
        let newest = self.snapshots.last().copied().unwrap_or(BOOTSTRAP);
        let SnapshotId { end_offset, epoch } = newest;
        if end_offset < opened.log_start_offset {
            let start = opened.log_start_offset;
            return self.fail(format!(
                "the log starts at {start}, the newest snapshot ends at {end_offset}"
            ));
        }
        // A snapshot was downloaded and the process died before the log was cut to it: the log ends too early, or is
        // another one at the snapshot's end.
        let held = end_offset == opened.log_start_offset
            || log.epochs().epoch_for_offset(end_offset - 1) == Some(epoch);
        if end_offset > opened.log_end_offset || !held {
            self.log_wait = LogWait::Truncate;
            log.truncate_fully_and_start_at(end_offset, io);
        }
        self.maybe_finish_opening();
    }

    /// The log is open and its bytes are on disk: the member begins to live.
    pub(crate) fn finish_opening(&mut self) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        let state = opening.state.take().unwrap_or_default();
        let contents = opening.contents.take();
        self.phase = Phase::Running;
        self.maintain_at = self.mono() + MAINTAIN_MS;
        self.emit(Output::Ready);
        self.restore_election(state);
        if let Some((id, contents)) = contents.filter(|(id, _)| id.end_offset > 0) {
            self.load_snapshot(id, contents);
        }
        let (_, last_epoch) = self.log_end();
        if last_epoch > state.epoch {
            // The vote file is older than the log (it was lost): that epoch's vote may have been ours.
            let state = ElectionState { epoch: last_epoch, leader: None, voted: None };
            self.set_election(state);
        }
        self.take_first_role();
    }

    fn take_first_role(&mut self) {
        let state = self.election();
        let voter = self.is_voter();
        match state.leader {
            Some(leader) if leader == self.config.node_id && voter => {
                let election_at = self.mono() + self.election_timeout();
                let told = self.other_voters().map(|id| (id, self.now.mono_ms)).collect();
                let successors = self.other_voters().collect();
                let unacknowledged = told;
                self.role = Role::Resigned(Resigned { election_at, unacknowledged, successors });
            }
            Some(leader) if leader != self.config.node_id => self.follow(state.epoch, leader),
            _ => {
                let election_at = self.election_deadline();
                let discover_at = self.mono();
                self.role = Role::Unattached(Unattached { election_at, discover_at });
            }
        }
        if self.voters.len() == 1 && voter {
            self.start_candidacy();
        }
    }
}

/// The owner's sizes, with everything else as a replicated log of records for ever needs it.
fn metadata_log_config(given: &LogConfig) -> LogConfig {
    LogConfig {
        max_message_bytes: given.segment_bytes,
        retention_ms: -1,
        retention_bytes: -1,
        cleanup: CleanupPolicy::DELETE,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        flush_messages: 1,
        validate_deep: false,
        ..given.clone()
    }
}
