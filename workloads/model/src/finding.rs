//! What a checker found in a history.

use crate::history::{LogRef, RecordId};
use serde::{Deserialize, Serialize};

/// The kinds of anomalies, by the field's names (Jepsen's Kafka workload, Adya).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    LostWrite,
    Unseen,
    ReadThenLost,
    Reappeared,
    Duplicate,
    InconsistentOffsets,
    Reordered,
    Corrupted,
    Phantom,
    Resurrected,
    PollSkip,
    NonmonotonicPoll,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::LostWrite,
        Kind::Unseen,
        Kind::ReadThenLost,
        Kind::Reappeared,
        Kind::Duplicate,
        Kind::InconsistentOffsets,
        Kind::Reordered,
        Kind::Corrupted,
        Kind::Phantom,
        Kind::Resurrected,
        Kind::PollSkip,
        Kind::NonmonotonicPoll,
    ];

    /// The exact meaning, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Kind::LostWrite => "acknowledged, and absent from the complete final reads",
            Kind::Unseen => {
                "acknowledged and not read, where the final reads could not be completed"
            }
            Kind::ReadThenLost => "some reader had it, the final reads do not",
            Kind::Reappeared => "absent from a read that passed its place, present later",
            Kind::Duplicate => "one record at two or more offsets of a log",
            Kind::InconsistentOffsets => {
                "two readers, or an acknowledgement and a read, disagree about an offset"
            }
            Kind::Reordered => "a session's records in the log in another order than sent",
            Kind::Corrupted => {
                "key, headers, value, checksum or CreateTime differ from what was sent"
            }
            Kind::Phantom => "carries this run's stamp, but nobody sent it, or not to this log",
            Kind::Resurrected => "certainly failed, and read later",
            Kind::PollSkip => "a reader passed over existing records",
            Kind::NonmonotonicPoll => "a reader went back without a reason",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::LostWrite => "lost-write",
            Kind::Unseen => "unseen",
            Kind::ReadThenLost => "read-then-lost",
            Kind::Reappeared => "reappeared",
            Kind::Duplicate => "duplicate",
            Kind::InconsistentOffsets => "inconsistent-offsets",
            Kind::Reordered => "reordered",
            Kind::Corrupted => "corrupted",
            Kind::Phantom => "phantom",
            Kind::Resurrected => "resurrected",
            Kind::PollSkip => "poll-skip",
            Kind::NonmonotonicPoll => "nonmonotonic-poll",
        }
    }
}

/// `valid`: looked and found nothing. `unknown`: could not look, `because` says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    Valid,
    Invalid,
    Unknown,
}

/// One operation that proves a finding, in the order in which they should be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// `send`, `ok`, `fail`, `info`, `polled`, `final read`, …
    pub what: String,
    /// The client's session number.
    pub session: u32,
    pub id: Option<RecordId>,
    pub offset: Option<i64>,
}

/// A run of records with one fate on one log: extremes and counts, not a million lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub log: LogRef,
    pub topic: String,
    /// Records that this finding is about.
    pub count: u64,
    /// The lowest and highest offset concerned, where known.
    pub first_offset: Option<i64>,
    pub last_offset: Option<i64>,
    /// A few of the records, the first ones.
    pub ids: Vec<RecordId>,
    /// The writers' outcome, where it matters: `ok`, `info`, `unacknowledged`.
    pub outcome: Option<String>,
    /// When the first and the last of them were acknowledged, milliseconds since the run began.
    pub first_ack_ms: Option<u64>,
    pub last_ack_ms: Option<u64>,
    /// What was seen, step by step, for a tired person.
    pub because: String,
    pub evidence: Vec<Evidence>,
}

/// One kind's answer over the whole history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub verdict: CheckVerdict,
    /// Exact number of records (or places) concerned.
    pub count: u64,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub because: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub findings: Vec<Finding>,
}

/// How many operations a history holds, by kind and outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sends by outcome.
    pub ok: u64,
    pub fail: u64,
    pub info: u64,
    pub unacknowledged: u64,
    /// Distinct records of this run that some reader saw.
    pub read: u64,
    /// Distinct acknowledged records, and distinct indeterminate ones, that the final reads saw.
    pub ok_read: u64,
    pub info_read: u64,
    pub unacknowledged_read: u64,
    /// acks=0 records that the complete final reads did not see: counted, never called loss.
    pub unacknowledged_missing: u64,
    /// Records without our stamp.
    pub foreign: u64,
    /// Bytes acknowledged are not known to the history; records are what is counted.
    pub polled: u64,
}
