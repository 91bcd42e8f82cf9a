//! One member of the quorum: its state, its public face, and what every step ends with.
//!
//! Each public call ends in [`Quorum::settle`]: timers that came due are served, committed records are delivered, and
//! what is to be said to others is held back until the `quorum-state` that it rests on is on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use log::Log;
use log::ReadId;
use log::io::{IoOp, IoQueue, IoResult, Token};
use uuid::Uuid;

use crate::fetch::Parked;
use crate::follow::{CallKind, LogWait};
use crate::open::Opening;
use crate::quorum_state::{ElectionState, FILE_NAME, ReplicaKey};
use crate::rng::Rng;
use crate::role::{NEVER, Role, Unattached};
use crate::rpc::{CallFailed, Request, RequestRef, Response};
use crate::snapshot::{Contents, SnapshotId};
use crate::voters::VoterSet;
use crate::{Config, DIR, Defect, Now};

/// What a member wants its owner to do or to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The answer to a request. Requests of one peer may be answered out of their order.
    Respond {
        to: RequestRef,
        response: Response,
    },
    /// To be sent to a peer; its fate is told by [`Quorum::on_response`], once, under `call`.
    Call {
        peer: i32,
        call: u64,
        request: Request,
    },
    LeaderChanged {
        leader: Option<i32>,
        epoch: i32,
    },
    /// We lead, and everything committed before our epoch has been delivered: the state machine may take decisions.
    /// `offset` is that of the leader change record.
    BecameLeader {
        epoch: i32,
        offset: i64,
    },
    /// After [`Output::BecameLeader`]: what was appended and not delivered since may or may not be committed.
    LostLeadership {
        epoch: i32,
    },
    /// Committed records, in order and once. Control records are not told, but `last_offset` counts them; a batch is
    /// never torn in two.
    Committed {
        records: Vec<(i64, Bytes)>,
        last_offset: i64,
        last_epoch: i32,
    },
    /// The state machine starts anew from these records, which speak for everything below `offset`.
    LoadSnapshot {
        offset: i64,
        epoch: i32,
        records: Vec<Bytes>,
    },
    /// Enough was committed since the last snapshot: the state machine, as it is after the records delivered so far
    /// (`offset` is the one after them), should be given to [`Quorum::write_snapshot`]. Told once until then.
    SnapshotWanted {
        offset: i64,
        epoch: i32,
    },
    /// The log is open; requests are served from here on.
    Ready,
    /// [`Quorum::close`] has come to its end.
    Closed,
    /// The storage failed or what is stored contradicts itself. Nothing more comes from this member.
    Failed(String),
}

/// Why records were not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("not the leader of the metadata quorum")]
    NotLeader,
    /// Nothing was appended; the batch is at fault, not the leader.
    #[error("{0}")]
    Refused(String),
}

/// What is known of one replica, as DescribeQuorum tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub id: i32,
    pub directory_id: Uuid,
    /// -1: not known.
    pub log_end_offset: i64,
    /// Wall clock milliseconds; -1: never.
    pub last_fetch_ms: i64,
    pub last_caught_up_ms: i64,
}

/// A look at the quorum from one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub role: &'static str,
    pub leader: Option<i32>,
    pub epoch: i32,
    pub high_watermark: Option<i64>,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    /// Known at the leader only.
    pub voters: Vec<ReplicaStatus>,
    pub observers: Vec<ReplicaStatus>,
}

#[derive(Debug)]
pub(crate) enum Phase {
    New,
    Opening(Opening),
    Running,
    /// Leadership is given back; the log closes when that is done or at the deadline.
    Resigning {
        until: u64,
    },
    Closing,
    Closed,
    Failed,
}

/// What an operation that we submitted (and not the log) was for.
#[derive(Debug)]
pub(crate) enum IoFor {
    MakeDir,
    List,
    ReadState,
    ReadSnapshot(SnapshotId),
    WriteBootstrap,
    WriteState(ElectionState),
    WriteSnapshot(SnapshotId),
    InstallSnapshot(SnapshotId, Box<Contents>),
    ServeSnapshot(SnapshotId),
    Delete,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub peer: i32,
    pub kind: CallKind,
    pub expires_at: u64,
}

#[derive(Debug)]
pub(crate) enum ReadFor {
    Delivery,
    Fetch(Parked),
}

/// A member of the quorum, or an observer of it (a node that is not in the voter set).
pub struct Quorum {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) now: Now,
    pub(crate) phase: Phase,
    pub(crate) voters: VoterSet,
    pub(crate) role: Role,
    /// The leader of this epoch was seen to die, or said that it goes: it is not waited for, until this time. An alarm
    /// may be false.
    pub(crate) gone_until: u64,
    /// Elections in a row that nobody won.
    pub(crate) election_failures: u32,
    pub(crate) log: Option<Log>,
    pub(crate) log_wait: LogWait,
    pub(crate) snapshots: BTreeSet<SnapshotId>,
    pub(crate) calls: BTreeMap<u64, Call>,
    next_call: u64,
    pub(crate) parked: Vec<Parked>,
    pub(crate) reads: Vec<(ReadId, ReadFor)>,
    pub(crate) high_watermark: Option<i64>,
    /// What the leader said last; ours follows as our log does.
    pub(crate) leaders_high_watermark: i64,
    /// The offset after the last record delivered, and that record's epoch and timestamp.
    pub(crate) applied: i64,
    pub(crate) applied_epoch: i32,
    pub(crate) applied_timestamp_ms: i64,
    pub(crate) bytes_since_snapshot: u64,
    pub(crate) snapshot_wanted: bool,
    /// The snapshot that followers are downloading, and until when it is kept in memory.
    pub(crate) serving: Option<(SnapshotId, Bytes, u64)>,
    pub(crate) waiting_for_snapshot: Vec<(RequestRef, Request)>,
    pub(crate) maintain_at: u64,
    election: ElectionState,
    durable: ElectionState,
    writing_state: bool,
    io_for: BTreeMap<Token, IoFor>,
    outbox: Vec<Output>,
}

impl Quorum {
    /// A member that has not been started. Panics if the configured voters are none, or one twice: the owner checked
    /// its configuration.
    pub fn new(mut config: Config) -> Quorum {
        // A fetch that waits must be answered before anybody doubts the leader or gives the call up.
        let patience_ms = config.fetch_timeout_ms.min(config.request_timeout_ms) / 2;
        config.fetch_max_wait_ms = config.fetch_max_wait_ms.min(patience_ms);
        let voters = VoterSet::new(config.voters.clone());
        let voters = voters.unwrap_or_else(|error| panic!("controller.quorum.voters: {error}"));
        let mut rng = Rng::new(config.seed ^ (config.node_id as u64).wrapping_mul(0x9e37_79b9));
        rng.next_u64();
        Quorum {
            rng,
            now: Now { mono_ms: 0, wall_ms: 0 },
            phase: Phase::New,
            voters,
            role: Role::Unattached(Unattached { election_at: NEVER, discover_at: NEVER }),
            gone_until: 0,
            election_failures: 0,
            log: None,
            log_wait: LogWait::None,
            snapshots: BTreeSet::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            parked: Vec::new(),
            reads: Vec::new(),
            high_watermark: None,
            leaders_high_watermark: 0,
            applied: 0,
            applied_epoch: 0,
            applied_timestamp_ms: 0,
            bytes_since_snapshot: 0,
            snapshot_wanted: false,
            serving: None,
            waiting_for_snapshot: Vec::new(),
            maintain_at: NEVER,
            election: ElectionState::default(),
            durable: ElectionState::default(),
            writing_state: false,
            io_for: BTreeMap::new(),
            outbox: Vec::new(),
            config,
        }
    }

    /// Opens the metadata log; [`Output::Ready`] tells the end of it.
    pub fn start(&mut self, now: Now, io: &mut IoQueue, out: &mut Vec<Output>) {
        assert!(matches!(self.phase, Phase::New), "a member is started once");
        self.now = now;
        self.begin_opening(io);
        self.settle(io, out);
    }

    /// The completion of any operation submitted during a call to this member.
    pub fn on_io(
        &mut self,
        now: Now,
        token: Token,
        result: IoResult,
        io: &mut IoQueue,
        out: &mut Vec<Output>,
    ) {
        self.now = now;
        if self.is_over() {
            return;
        }
        match self.io_for.remove(&token) {
            Some(purpose) => self.on_own_io(purpose, result, io),
            None => self.on_log_io(token, result, io),
        }
        self.settle(io, out);
    }

    /// Serves the timers that have come due.
    pub fn on_tick(&mut self, now: Now, io: &mut IoQueue, out: &mut Vec<Output>) {
        self.now = now;
        self.settle(io, out);
    }

    /// A request from a peer or a client; answered by one [`Output::Respond`], now or later.
    pub fn on_request(
        &mut self,
        now: Now,
        from: RequestRef,
        request: Request,
        io: &mut IoQueue,
        out: &mut Vec<Output>,
    ) {
        self.now = now;
        self.serve(from, request, io);
        self.settle(io, out);
    }

    /// The fate of a call made by [`Output::Call`]. A fate that comes too late is ignored.
    pub fn on_response(
        &mut self,
        now: Now,
        peer: i32,
        call: u64,
        response: Result<Response, CallFailed>,
        io: &mut IoQueue,
        out: &mut Vec<Output>,
    ) {
        self.now = now;
        if let Some(made) = self.calls.remove(&call) {
            assert_eq!(made.peer, peer, "call {call} was made to another peer");
            if self.is_running() {
                self.on_answer(made, response, io);
            }
        }
        self.settle(io, out);
    }

    /// The process of this peer is dead: its connection closed and nobody listens at its address. If it led, an
    /// election starts at once: at the surviving voter that comes first by id, at the others a little later.
    pub fn on_peer_gone(&mut self, now: Now, peer: i32, io: &mut IoQueue, out: &mut Vec<Output>) {
        self.now = now;
        if self.is_running() {
            self.on_gone(peer);
        }
        self.settle(io, out);
    }

    /// Appends the active controller's records as one batch: all of them are committed, or none. Returns the last
    /// one's offset. Committed when [`Output::Committed`] reaches it.
    pub fn append(
        &mut self,
        now: Now,
        records: Vec<Bytes>,
        io: &mut IoQueue,
        out: &mut Vec<Output>,
    ) -> Result<i64, AppendError> {
        self.now = now;
        let result = self.append_records(&records, io);
        self.settle(io, out);
        result
    }

    /// The state machine's answer to [`Output::SnapshotWanted`]: `records` make its state as of `offset`. Ignored where
    /// a newer snapshot exists by now.
    pub fn write_snapshot(
        &mut self,
        now: Now,
        offset: i64,
        epoch: i32,
        records: Vec<Bytes>,
        io: &mut IoQueue,
        out: &mut Vec<Output>,
    ) {
        self.now = now;
        self.save_snapshot(SnapshotId { end_offset: offset, epoch }, records, io);
        self.settle(io, out);
    }

    /// Gives leadership back at once (EndQuorumEpoch, to the voter that has most of the log first). No-op elsewhere.
    pub fn resign(&mut self, now: Now, io: &mut IoQueue, out: &mut Vec<Output>) {
        self.now = now;
        self.resign_now();
        self.settle(io, out);
    }

    /// Resigns, syncs and closes the log; ends in [`Output::Closed`]. Stands for no election any more.
    pub fn close(&mut self, now: Now, io: &mut IoQueue, out: &mut Vec<Output>) {
        self.now = now;
        match self.phase {
            Phase::Running => {
                self.resign_now();
                self.phase =
                    Phase::Resigning { until: now.mono_ms + self.config.request_timeout_ms };
            }
            Phase::New | Phase::Opening(_) => {
                self.phase = Phase::Closed;
                self.emit(Output::Closed);
            }
            _ => {}
        }
        self.settle(io, out);
    }

    /// When [`Quorum::on_tick`] is wanted at the latest, in monotonic milliseconds.
    pub fn deadline(&self) -> Option<u64> {
        let at = self.next_timer();
        // What is overdue waits for an operation to complete, not for time.
        (at != NEVER).then_some(at.max(self.mono() + 1))
    }

    /// The leader of [`Quorum::epoch`], which may be this member.
    pub fn leader(&self) -> Option<i32> {
        self.election.leader
    }

    pub fn epoch(&self) -> i32 {
        self.election.epoch
    }

    /// Every record below is committed. `None` until it is known.
    pub fn high_watermark(&self) -> Option<i64> {
        self.high_watermark
    }

    /// We lead this epoch, whether or not the state machine has been told yet.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    pub fn voters(&self) -> &VoterSet {
        &self.voters
    }

    /// Whether this member may vote, and so be elected.
    pub fn is_voter(&self) -> bool {
        self.voters.is_voter(self.config.node_id, self.config.directory_id)
    }

    /// The offset after the last record that was delivered.
    pub fn applied_offset(&self) -> i64 {
        self.applied
    }

    pub(crate) fn election(&self) -> ElectionState {
        self.election
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Resigning { .. })
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::Failed)
    }

    /// Our newest vote, epoch and leader are on disk.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable == self.election || self.has(Defect::UnsyncedVote)
    }

    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.config.defects.has(defect)
    }

    pub(crate) fn local_key(&self) -> ReplicaKey {
        ReplicaKey { id: self.config.node_id, directory_id: self.config.directory_id }
    }

    pub(crate) fn mono(&self) -> u64 {
        self.now.mono_ms
    }

    pub(crate) fn leader_gone(&self) -> bool {
        self.mono() < self.gone_until
    }

    pub(crate) fn give_leader_up(&mut self) {
        self.gone_until = self.mono() + 2 * self.config.election_timeout_ms;
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outbox.push(output);
    }

    pub(crate) fn respond(&mut self, to: RequestRef, response: Response) {
        self.emit(Output::Respond { to, response });
    }

    pub(crate) fn call(&mut self, peer: i32, kind: CallKind, request: Request) {
        assert_ne!(peer, self.config.node_id, "a member does not call itself");
        self.next_call += 1;
        let call = self.next_call;
        let expires_at = self.mono() + self.config.request_timeout_ms;
        self.calls.insert(call, Call { peer, kind, expires_at });
        self.emit(Output::Call { peer, call, request });
    }

    pub(crate) fn submit(&mut self, purpose: IoFor, op: IoOp, io: &mut IoQueue) {
        let token = io.submit(op);
        self.io_for.insert(token, purpose);
    }

    pub(crate) fn fail(&mut self, reason: String) {
        if !self.is_over() {
            self.phase = Phase::Failed;
            self.say_only(Output::Failed(reason));
        }
    }

    /// The last word. What was held back is not said any more: it may rest on what is not on disk.
    pub(crate) fn say_only(&mut self, output: Output) {
        if !self.is_durable() {
            self.outbox.clear();
        }
        self.emit(output);
    }

    /// The state read from disk: nothing of it needs to be written.
    pub(crate) fn restore_election(&mut self, state: ElectionState) {
        self.durable = state;
        self.election = state;
    }

    /// The only way in which epoch, leader and vote change.
    pub(crate) fn set_election(&mut self, new: ElectionState) {
        let old = self.election;
        assert!(new.epoch >= old.epoch, "epoch {} after {}", new.epoch, old.epoch);
        if new.epoch == old.epoch {
            assert!(
                old.leader.is_none() || new.leader == old.leader,
                "two leaders: {old:?} {new:?}"
            );
            assert!(old.voted.is_none() || new.voted == old.voted, "two votes: {old:?} {new:?}");
        }
        self.election = new;
        if (new.epoch, new.leader) != (old.epoch, old.leader) {
            self.gone_until = 0;
            if new.leader.is_some() {
                self.election_failures = 0;
            }
            self.emit(Output::LeaderChanged { leader: new.leader, epoch: new.epoch });
        }
    }

    pub(crate) fn state_written(&mut self, state: ElectionState) {
        self.writing_state = false;
        self.durable = state;
    }

    fn settle(&mut self, io: &mut IoQueue, out: &mut Vec<Output>) {
        if self.is_running() {
            self.poll(io);
            self.deliver(io);
            self.announce_leadership();
        }
        if self.is_running() {
            self.write_state(io);
        }
        let may_speak = self.is_over() || matches!(self.phase, Phase::Opening(_));
        if may_speak || self.is_durable() {
            out.append(&mut self.outbox);
        }
    }

    fn write_state(&mut self, io: &mut IoQueue) {
        if self.writing_state || self.durable == self.election {
            return;
        }
        self.writing_state = true;
        let state = self.election;
        let path = format!("{DIR}/{FILE_NAME}");
        let data = Bytes::from(state.format());
        self.submit(IoFor::WriteState(state), IoOp::Replace { path, data }, io);
    }
}
