//! What goes into a log's calls and what comes out: requests, answers, events, errors.

use bytes::Bytes;
use wire::batch::{BadBatch, InvalidRecord};
use wire::error::ErrorCode;

use crate::io::IoError;
use crate::producer::ProducerError;

/// What the owner knows about a log before it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last stop was clean: the files are taken as they are, but for a look at the end.
    pub clean: bool,
    /// Everything below was synced, by `recovery-point-offset-checkpoint`. `None`: nothing is known to be.
    pub recovery_point: Option<i64>,
    /// By `log-start-offset-checkpoint`. `None`: the first segment's base offset.
    pub log_start_offset: Option<i64>,
}

/// Who wrote a batch that a leader appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A producer: everything is validated, idempotence included.
    Client,
    /// A coordinator of this node: no sequence numbers, control batches allowed.
    Coordinator,
    /// The metadata quorum: as a coordinator.
    Raft,
}

/// Where an append stands, or will once it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    pub last_offset: i64,
    /// The broker's time in milliseconds under LogAppendTime, otherwise -1.
    pub log_append_time: i64,
    pub log_start_offset: i64,
    /// The batch was in the log already, at the offsets told here; it may not be complete yet.
    pub duplicate: bool,
}

/// Why an append is refused. Nothing of it was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Opening, truncating, closing or gone.
    #[error("the log takes no appends now")]
    NotReady,
    #[error("the storage failed: {0}")]
    Failed(IoError),
    #[error("nothing to append")]
    Empty,
    #[error("corrupt batch: {0}")]
    Corrupt(BadBatch),
    #[error("invalid record: {0}")]
    Invalid(InvalidRecord),
    #[error("a batch of {bytes} bytes is larger than max.message.bytes = {max}")]
    TooLarge { bytes: usize, max: u32 },
    #[error("{bytes} bytes do not fit into a segment of {max}")]
    LargerThanSegment { bytes: usize, max: u32 },
    #[error(transparent)]
    Producer(ProducerError),
    /// A follower's batch neither starts where the log ends nor continues the one before it.
    #[error("the log continues at offset {expected}, the batch has {found}")]
    OffsetMismatch { expected: i64, found: i64 },
}

impl AppendError {
    /// What a produce response says.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            AppendError::NotReady => ErrorCode::NotLeaderOrFollower,
            AppendError::Failed(_) => ErrorCode::KafkaStorageError,
            AppendError::Empty => ErrorCode::InvalidRecord,
            AppendError::Corrupt(BadBatch::Magic(_)) => ErrorCode::UnsupportedForMessageFormat,
            AppendError::Corrupt(_) => ErrorCode::CorruptMessage,
            AppendError::Invalid(invalid) => invalid.error_code(),
            AppendError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            AppendError::Producer(ProducerError::InvalidProducerEpoch { .. }) => {
                ErrorCode::InvalidProducerEpoch
            }
            AppendError::OffsetMismatch { .. } => ErrorCode::OffsetOutOfRange,
        }
    }
}

/// Names a read or lookup that is under way; unique for its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Whole batches, in order, as they stand in the segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchData {
    /// To be sent one after the other; a batch may be cut over several parts.
    pub batches: Vec<Bytes>,
    /// Length of all parts.
    pub bytes: usize,
    /// Where to read on: after the last batch, or where the read began if there is none.
    pub next_offset: i64,
}

/// Answers a read.
#[derive(Clone, Debug)]
pub enum Read {
    Ready(FetchData),
    /// Will be answered by [`Event::Read`].
    Pending(ReadId),
    /// Below the log start offset or above the log end offset.
    OutOfRange,
    Failed(ReadError),
}

/// Why a read has no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("the log is not open")]
    NotReady,
    /// The offset went out of range while the read was under way (truncation or retention).
    #[error("the offset is out of range")]
    OutOfRange,
    #[error("the segment is damaged at byte {position} after offset {offset}: {reason}")]
    Corrupt { offset: i64, position: u64, reason: String },
    #[error("the storage failed: {0}")]
    Io(IoError),
}

impl ReadError {
    pub fn error_code(&self) -> ErrorCode {
        match self {
            ReadError::NotReady => ErrorCode::NotLeaderOrFollower,
            ReadError::OutOfRange => ErrorCode::OffsetOutOfRange,
            ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
            ReadError::Io(_) => ErrorCode::KafkaStorageError,
        }
    }
}

/// The record that a timestamp leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTimestamp {
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    pub leader_epoch: i32,
}

/// Answers a lookup by time.
#[derive(Clone, Debug)]
pub enum Lookup {
    Ready(Option<FoundTimestamp>),
    /// Will be answered by [`Event::Lookup`].
    Pending(ReadId),
    Failed(ReadError),
}

/// What became of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Batches were read and checked, since the last stop was not clean or the files did not fit it.
    pub recovered: bool,
    /// What recovery cut off, dropped segments included.
    pub truncated_bytes: u64,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
}

/// What happened to a log. Told by `on_io`, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// Appends and reads are taken from now on.
    Opened(Opened),
    /// The log end offset moved on: appends below it are complete (and synced, where `flush.messages` is 1).
    Appended {
        log_end_offset: i64,
    },
    /// The recovery point moved on: what is below survives a power cut.
    Synced {
        offset: i64,
    },
    Read {
        id: ReadId,
        result: Result<FetchData, ReadError>,
    },
    Lookup {
        id: ReadId,
        result: Result<Option<FoundTimestamp>, ReadError>,
    },
    /// A truncation is complete and durable; appends are taken again. The recovery point may have gone back: its
    /// checkpoint should be written before more is acknowledged.
    Truncated {
        log_end_offset: i64,
    },
    /// Everything is synced, the files are closed and nothing is under way any more.
    Closed,
    /// The directory is gone.
    Deleted,
    /// The storage failed. Nothing can be appended or read any more; told once.
    Failed(IoError),
}
