//! The history: what clients did and saw, event by event, in the order in which it was written down.
//!
//! Promises: intent is in the history before the send leaves the process; an event says nothing that its client did
//! not know. Absent on purpose: faults (checkers must not see them) and any judgement.
//!
//! A *log* is a topic-partition of one topic **id**: a re-created topic is another log. A record's identity is
//! (session, sequence), never a predicted offset.

pub mod carried;
pub mod codec;
pub mod edn;
pub mod json;
pub mod operations;
mod varint;

use crate::settings::{ConsumerSettings, ProducerSettings, TopicSettings};
use serde::{Deserialize, Serialize};

/// When an event happened: a monotonic clock for durations and order within this process, and the wall clock to
/// lay the history beside other machines' logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time {
    /// Nanoseconds since the run began.
    pub mono_ns: u64,
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

/// Counts the topics (by id) of a history up from 0, in the order of their `Topic` events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicRef(pub u32);

/// One topic-partition of one topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogRef {
    pub topic: TopicRef,
    pub partition: u32,
}

/// One life of one client. A restarted client is another session; numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session(pub u32);

/// Who wrote a record: the producer's session, and its own count of sends over all logs, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    pub session: Session,
    pub sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged; the offset where the client library told it.
    Ok { offset: Option<i64> },
    /// Certainly not written, over all attempts.
    Fail,
    /// Nobody knows.
    Info,
    /// Sent with acks=0: nobody promised anything.
    Unacknowledged,
}

impl Outcome {
    /// As far as its client can know, it was written: acknowledged, or sent where nobody acknowledges.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Ok { .. } | Outcome::Unacknowledged)
    }
}

/// What a reader found at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// Carries this run's stamp, whole and unchanged, for the log in which it was found.
    Record(RecordId),
    /// Carries this run's stamp and was damaged: `id` is what its stamp claims.
    Corrupted(RecordId),
    /// Carries this run's stamp, but it was sent to another log.
    Misplaced { id: RecordId, sent_to: LogRef },
    /// No stamp of ours: not this run's, only counted.
    Foreign,
}

/// What became of a transaction, or of a commit of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Committed,
    /// Certainly nothing of it took effect.
    Aborted,
    /// Nobody knows.
    Info,
}

/// Why a reader's position moved, or may move, without a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderEvent {
    /// The reader now reads these logs and no others, each from its position: an offset, or from the start of the log.
    Assigned {
        logs: Vec<(LogRef, Option<i64>)>,
    },
    Revoked {
        logs: Vec<LogRef>,
    },
    Seek {
        log: LogRef,
        offset: i64,
    },
    /// The broker answered that the position is not in the log; the reader goes on at `reset_to`.
    OutOfRange {
        log: LogRef,
        offset: i64,
        reset_to: Option<i64>,
    },
    /// The reader reached what was then the end of the log.
    EndOfLog {
        log: LogRef,
        offset: i64,
    },
    Error {
        code: String,
        fatal: bool,
    },
}

/// What a pass of a reader is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// Reads along while the load runs.
    Live,
    /// Reads every log from its start to its end after healing. Complete passes are the ground of every loss.
    Final,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Baseline,
    Faults,
    Heal,
    Settle,
    FinalReads,
    Done,
}

/// One thing that happened. Every event is stamped with its [`Time`] when written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of a file.
    Run {
        run: u64,
        seed: u64,
        plan: String,
    },
    /// A topic id came into being, or was met for the first time, with the settings in force.
    Topic {
        topic: TopicRef,
        name: String,
        topic_id: [u8; 16],
        settings: TopicSettings,
    },
    /// The settings in force of a topic changed.
    Settings {
        topic: TopicRef,
        settings: TopicSettings,
    },
    TopicDeleted {
        topic: TopicRef,
    },
    Phase {
        phase: Phase,
    },
    ProducerOpened {
        session: Session,
        name: String,
        settings: ProducerSettings,
    },
    ConsumerOpened {
        session: Session,
        name: String,
        settings: ConsumerSettings,
    },
    SessionClosed {
        session: Session,
    },
    /// `intended` is when the open-loop schedule wanted the send: latency counts from there.
    Send {
        id: RecordId,
        log: LogRef,
        intended_mono_ns: u64,
    },
    Sent {
        id: RecordId,
        outcome: Outcome,
        error: Option<String>,
    },
    PassBegan {
        reader: Session,
        pass: u32,
        kind: PassKind,
    },
    /// `complete`: every log of the pass was read from its start to its end.
    PassEnded {
        reader: Session,
        pass: u32,
        complete: bool,
    },
    /// One poll's records of one log, offsets rising as the client handed them out.
    Polled {
        reader: Session,
        pass: u32,
        log: LogRef,
        records: Vec<(i64, Seen)>,
    },
    Reader {
        reader: Session,
        pass: u32,
        what: ReaderEvent,
    },
    /// Where a log begins and ends: its leader's log start offset and high watermark.
    LogBounds {
        log: LogRef,
        leader_epoch: i32,
        start: i64,
        end: i64,
        settled: bool,
    },
    /// An accepted DeleteRecords, or another removal that was asked for.
    RecordsDeleted {
        log: LogRef,
        before: i64,
    },
    /// From here to its end, the session's sends are parts of this transaction, and so are the polls of `reader`. A session
    /// has one at a time; numbers are its own count, from 0.
    TransactionBegan {
        session: Session,
        transaction: u64,
        reader: Option<Session>,
    },
    /// The client is about to ask for the end: what it wants is written down before it is sent.
    TransactionEnding {
        session: Session,
        transaction: u64,
        commit: bool,
    },
    TransactionEnded {
        session: Session,
        transaction: u64,
        ending: Ending,
        error: Option<String>,
    },
    /// Offsets of a group that take the outcome of the session's transaction.
    OffsetsInTransaction {
        session: Session,
        transaction: u64,
        reader: Session,
        offsets: Vec<(LogRef, i64)>,
    },
    /// The output record `id` was made from the input record at `offset` of `log`.
    Copied {
        id: RecordId,
        log: LogRef,
        offset: i64,
    },
    /// A member of its group owns these logs from here on, and no others, where the client exposes generations.
    Joined {
        reader: Session,
        generation: i32,
        logs: Vec<LogRef>,
    },
    /// The application is done with the records of `[from, to)` that it was handed.
    Processed {
        reader: Session,
        log: LogRef,
        from: i64,
        to: i64,
    },
    /// The group is about to be asked to keep these offsets: the next records to be processed.
    CommitBegan {
        reader: Session,
        commit: u64,
        offsets: Vec<(LogRef, i64)>,
    },
    CommitEnded {
        reader: Session,
        commit: u64,
        ending: Ending,
        error: Option<String>,
    },
    /// What the group's coordinator answered when it was asked for a committed offset; `None`: it has none.
    CommittedSeen {
        group: String,
        log: LogRef,
        offset: Option<i64>,
        asked_mono_ns: u64,
    },
    /// A line of another tool's history of operations, as EDN; such a history holds no other events.
    Operation {
        edn: String,
    },
    /// Somebody put the group's committed offset elsewhere on purpose.
    GroupReset {
        group: String,
        log: LogRef,
        offset: Option<i64>,
    },
}
