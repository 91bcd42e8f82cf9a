//! What a checker found in a history.

use crate::history::{LogRef, RecordId};
use serde::{Deserialize, Serialize};

/// What must be in a history for a kind to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Sends and reads of records: every history.
    Records,
    /// Copies of single replicas.
    Replicas,
    /// Operations of several sends and polls.
    Operations,
    Transactions,
    /// Consumer groups that commit offsets.
    Groups,
    /// Healed time, and who wanted to get on in it.
    Progress,
}

/// The kinds of anomalies, by the field's names (Jepsen's Kafka workload, Adya).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    LostWrite,
    Unseen,
    ReadThenLost,
    Reappeared,
    Duplicate,
    InconsistentOffsets,
    ReplicaDivergence,
    Reordered,
    Corrupted,
    Phantom,
    Resurrected,
    PollSkip,
    NonmonotonicPoll,
    IntPollSkip,
    IntNonmonotonicPoll,
    NonmonotonicSend,
    IntNonmonotonicSend,
    IntSendSkip,
    G1a,
    G1b,
    PrecommittedRead,
    G0,
    G0Process,
    G0Realtime,
    G1c,
    G1cProcess,
    G1cRealtime,
    TornTransaction,
    StaleEpochWrite,
    LostCommit,
    CommitRegression,
    Skipped,
    Repeated,
    DoubleOwner,
    Stuck,
    NeverRecovered,
}

/// Name, scope and exact meaning of each kind, in the order in which they are told.
const KINDS: [(Kind, &str, Scope, &str); 36] = [
    (
        Kind::LostWrite,
        "lost-write",
        Scope::Records,
        "acknowledged, and absent from the complete final reads",
    ),
    (
        Kind::Unseen,
        "unseen",
        Scope::Records,
        "acknowledged and not read, where the final reads could not be completed",
    ),
    (
        Kind::ReadThenLost,
        "read-then-lost",
        Scope::Records,
        "some reader had it, the final reads do not",
    ),
    (
        Kind::Reappeared,
        "reappeared",
        Scope::Records,
        "absent from a read that passed its place, present later",
    ),
    (Kind::Duplicate, "duplicate", Scope::Records, "one record at two or more offsets of a log"),
    (
        Kind::InconsistentOffsets,
        "inconsistent-offsets",
        Scope::Records,
        "two readers, or an acknowledgement and a read, disagree about an offset",
    ),
    (
        Kind::ReplicaDivergence,
        "replica-divergence",
        Scope::Replicas,
        "replicas of one log differ below the high watermark",
    ),
    (
        Kind::Reordered,
        "reordered",
        Scope::Records,
        "a session's records in the log in another order than sent",
    ),
    (
        Kind::Corrupted,
        "corrupted",
        Scope::Records,
        "key, headers, value, checksum or CreateTime differ from what was sent",
    ),
    (
        Kind::Phantom,
        "phantom",
        Scope::Records,
        "carries this run's stamp, but nobody sent it, or not to this log",
    ),
    (Kind::Resurrected, "resurrected", Scope::Records, "certainly failed, and read later"),
    (Kind::PollSkip, "poll-skip", Scope::Records, "a reader passed over existing records"),
    (
        Kind::NonmonotonicPoll,
        "nonmonotonic-poll",
        Scope::Records,
        "a reader went back without a reason",
    ),
    (
        Kind::IntPollSkip,
        "int-poll-skip",
        Scope::Operations,
        "one poll or transaction passed over existing records",
    ),
    (
        Kind::IntNonmonotonicPoll,
        "int-nonmonotonic-poll",
        Scope::Operations,
        "one poll or transaction went back without a reason",
    ),
    (
        Kind::NonmonotonicSend,
        "nonmonotonic-send",
        Scope::Operations,
        "a client's later operation wrote to an earlier place of a log",
    ),
    (
        Kind::IntNonmonotonicSend,
        "int-nonmonotonic-send",
        Scope::Operations,
        "within one transaction, a later send took an earlier place of a log",
    ),
    (
        Kind::IntSendSkip,
        "int-send-skip",
        Scope::Operations,
        "within one transaction, others' records stand between two sends to a log",
    ),
    (
        Kind::G1a,
        "G1a",
        Scope::Transactions,
        "a record of an aborted transaction, or of a failed send, was read",
    ),
    (
        Kind::G1b,
        "G1b",
        Scope::Transactions,
        "a reader of committed records saw a transaction before all of it stood in the log",
    ),
    (
        Kind::PrecommittedRead,
        "precommitted-read",
        Scope::Transactions,
        "a transaction read what it wrote itself and had not committed",
    ),
    (Kind::G0, "G0", Scope::Transactions, "a cycle of write-write dependencies"),
    (
        Kind::G0Process,
        "G0-process",
        Scope::Transactions,
        "a cycle of write-write dependencies and a client's own order",
    ),
    (
        Kind::G0Realtime,
        "G0-realtime",
        Scope::Transactions,
        "a cycle of write-write dependencies and real-time order",
    ),
    (Kind::G1c, "G1c", Scope::Transactions, "a cycle of write-write and write-read dependencies"),
    (
        Kind::G1cProcess,
        "G1c-process",
        Scope::Transactions,
        "a cycle of write-write and write-read dependencies and a client's own order",
    ),
    (
        Kind::G1cRealtime,
        "G1c-realtime",
        Scope::Transactions,
        "a cycle of write-write and write-read dependencies and real-time order",
    ),
    (
        Kind::TornTransaction,
        "torn-transaction",
        Scope::Transactions,
        "one part of a transaction is visible once all is settled, another is not",
    ),
    (
        Kind::StaleEpochWrite,
        "stale-epoch-write",
        Scope::Transactions,
        "what a fenced producer sent later took effect",
    ),
    (
        Kind::LostCommit,
        "lost-commit",
        Scope::Groups,
        "an offset that a group was acknowledged is gone",
    ),
    (
        Kind::CommitRegression,
        "commit-regression",
        Scope::Groups,
        "a group's committed offset went back without a reset",
    ),
    (
        Kind::Skipped,
        "skipped",
        Scope::Groups,
        "the group as a whole never processed it, and committed beyond it",
    ),
    (Kind::Repeated, "repeated", Scope::Groups, "the group as a whole processed it more than once"),
    (
        Kind::DoubleOwner,
        "double-owner",
        Scope::Groups,
        "two members had one partition in one generation",
    ),
    (
        Kind::Stuck,
        "stuck",
        Scope::Progress,
        "a reader or writer made no progress for too long while all was healed",
    ),
    (
        Kind::NeverRecovered,
        "never-recovered",
        Scope::Progress,
        "a log that could not be written and read for too long after all was healed",
    ),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Kind, &'static str, Scope, &'static str) {
        &KINDS[self as usize]
    }

    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    pub fn scope(self) -> Scope {
        self.row().2
    }

    /// Cycles of transactions, from the strongest evidence to the weakest.
    pub const CYCLES: [Kind; 6] = [
        Kind::G0,
        Kind::G0Process,
        Kind::G0Realtime,
        Kind::G1c,
        Kind::G1cProcess,
        Kind::G1cRealtime,
    ];

    pub fn is_cycle(self) -> bool {
        Kind::CYCLES.contains(&self)
    }

    /// Of cycles: information flows around it, and not only the order of writes.
    pub fn has_reads(self) -> bool {
        matches!(self, Kind::G1c | Kind::G1cProcess | Kind::G1cRealtime)
    }

    /// The exact meaning, in a sentence.
    pub fn about(self) -> &'static str {
        self.row().3
    }

    pub fn of(name: &str) -> Option<Kind> {
        KINDS.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        let name = String::deserialize(deserializer)?;
        Kind::of(&name)
            .ok_or_else(|| serde::de::Error::custom(format!("no kind of anomaly is called {name}")))
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
    /// Where the history numbers its operations (`:index` in EDN).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub index: Option<u64>,
}

/// One step of a cycle: why an operation must come before the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleStep {
    /// The operation, as the evidence numbers it (from 0), and the one that follows from it.
    pub from: usize,
    pub to: usize,
    pub edge: Edge,
    /// For dependencies: the log, and the places in it.
    pub log: Option<LogRef>,
    /// What makes it so, in a sentence.
    pub because: String,
}

/// A reason why one operation comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The other wrote the next record of a log.
    WriteWrite,
    /// The other read what this one wrote.
    WriteRead,
    /// The same client did the other one later.
    Process,
    /// This one had ended before the other began.
    Realtime,
}

/// A run of records with one fate on one log: extremes and counts, not a million lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    pub log: LogRef,
    pub topic: String,
    /// Records that this finding is about, or one cycle: what its check counts.
    pub count: u64,
    /// The lowest and highest offset concerned, where known.
    pub first_offset: Option<i64>,
    pub last_offset: Option<i64>,
    /// A few of the records, the first ones.
    pub ids: Vec<RecordId>,
    /// The writers' outcome, where it matters: `ok`, `info`, `unacknowledged`; of a group, when it commits; of records
    /// that stand twice, `new epoch` if their producer began one in between.
    pub outcome: Option<String>,
    /// When the first and the last of them were acknowledged, milliseconds since the run began.
    pub first_ack_ms: Option<u64>,
    pub last_ack_ms: Option<u64>,
    /// What was seen, step by step, for a tired person.
    pub because: String,
    pub evidence: Vec<Evidence>,
    /// Of a cycle: its steps, the last one back to the first operation.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cycle: Vec<CycleStep>,
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
    /// Distinct acknowledged records that they did not see because retention, or whoever asked for it, had them deleted.
    #[serde(default)]
    pub ok_removed: u64,
    /// acks=0 records that the complete final reads did not see: counted, never called loss.
    pub unacknowledged_missing: u64,
    /// Records without our stamp.
    pub foreign: u64,
    /// Bytes acknowledged are not known to the history; records are what is counted.
    pub polled: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_in_its_own_row_and_is_found_by_its_name() {
        for (at, kind) in Kind::all().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(Kind::of(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::of("lost"), None);
    }
}
