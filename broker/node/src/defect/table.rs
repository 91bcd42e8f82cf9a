//! The list of seeded defects. One row each: variant, name, subsystem, what it mirrors (`""`: nothing known), and what is
//! wrong with a broker that has it.

use super::{Description, Subsystem};

macro_rules! defects {
    ($($variant:ident $name:literal $subsystem:ident $mirrors:literal $doc:literal;)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $(#[doc = $doc] $variant,)+
        }

        impl Defect {
            pub const fn all() -> &'static [Defect] {
                &[$(Defect::$variant,)+]
            }

            pub const fn description(self) -> &'static Description {
                match self {
                    $(Defect::$variant => const { &Description {
                        name: $name,
                        subsystem: Subsystem::$subsystem,
                        mirrors: if $mirrors.is_empty() { None } else { Some($mirrors) },
                        doc: $doc,
                    } },)+
                }
            }
        }
    };
}

defects! {
    // Replication, idempotence, groups, and what clients are told.
    AckBeforeIsr "ack-before-isr" Replication "acks=1 sold as acks=all"
        "acknowledges acks=all writes when the leader alone has them, so that its death loses them";
    TruncateToHighWatermark "truncate-to-high-watermark" Replication "KAFKA-1211, KIP-101, KIP-279"
        "a follower cuts its log at its own high watermark, which lags, so that acknowledged records are lost when it is elected before it has fetched them again";
    NoEpochFencing "no-epoch-fencing" Replication "KIP-101, KIP-320"
        "nobody checks leader epochs: a replaced leader takes the controller's refusal for consent, and when it follows again it keeps records that its new leader never had";
    ForgetProducerState "forget-producer-state" Idempotence "KIP-98"
        "forgets the sequence numbers of idempotent producers at a leader change or restart, so that a retry is appended twice";

    HighWatermarkByMajority "high-watermark-by-majority" Replication ""
        "acknowledges acks=all writes that a majority of the replicas has, though an in-sync replica that may be elected lacks them";
    HighWatermarkIgnoresJoining "high-watermark-ignores-joining" Replication "KIP-497"
        "does not wait for a follower whose joining the ISR is proposed and not yet answered: the controller may elect it without what was acknowledged meanwhile";
    ShrinkIsrUnasked "shrink-isr-unasked" Replication "KIP-497"
        "acts on a smaller ISR as soon as it has proposed it: the controller, which never agreed, may elect the replica that was left out";
    JoinIsrAtHighWatermark "join-isr-at-high-watermark" Replication "KAFKA-7128"
        "lets a follower into the ISR that has reached a new leader's high watermark, which lags, and not the start of its epoch: acknowledged records are lost when it is elected";
    MinInsyncUnchecked "min-insync-unchecked" Replication ""
        "acknowledges acks=all writes however small the ISR is: they are lost with the last replica that has them";
    NewLeaderCommitsItsTail "new-leader-commits-its-tail" Replication ""
        "takes everything in its log for committed when it begins to lead, and shows it to readers before the followers have it";
    TruncateOnce "truncate-once" Replication "KAFKA-6361, KIP-279"
        "a follower cuts its log where the leader's epoch ended, without looking at its own epochs, and asks only once: after two quick changes of leader it keeps records that the leader never had";
    StaleEpochStamp "stale-epoch-stamp" Replication "KIP-101"
        "a new leader writes on in the epoch of the leader before it, so that a replaced leader is not told that its log parts from there";

    SequenceNotedBeforeChecks "sequence-noted-before-checks" Idempotence ""
        "remembers the sequence numbers of a batch that it then refuses with NOT_ENOUGH_REPLICAS, so that the retry is acknowledged as a duplicate and was never written";
    AckDuplicateAtOnce "ack-duplicate-at-once" Idempotence ""
        "acknowledges a retry of a batch that it has, without waiting until the in-sync replicas have it too";
    SequenceGaps "sequence-gaps" Idempotence "KIP-98"
        "appends batches whatever their sequence numbers, if it does not recognise them: behind a refused batch the others overtake it";
    ProducerIdTwice "producer-id-twice" Idempotence "KIP-98"
        "gives one producer id to all who wait for a block of ids: the writes of one producer are taken for retries of another's";

    OffsetCommitBeforeIsr "offset-commit-before-isr" Group ""
        "acknowledges a group's offsets when the coordinator alone has them: after its death the group reads on from an older place";
    LoadToHighWatermark "load-to-high-watermark" Group ""
        "a new coordinator reads its groups and offsets back as far as the high watermark that it knows, which lags: the last ones are missing";
    ZombieCommits "zombie-commits" Group ""
        "lets anybody commit offsets, members of an earlier generation and those that were thrown out too";

    DuplicateAtLogEnd "duplicate-at-log-end" ClientView ""
        "tells the producer of a retried batch the end of the log for the batch's offset";
    ReadPastHighWatermark "read-past-high-watermark" ClientView ""
        "shows readers records that are not committed, and that a change of leader may take back";
    LatestIsLogEnd "latest-is-log-end" ClientView "KIP-207"
        "tells readers an end of the log that is not committed and that may go back";

    // Raft, log, recovery and the controller.
    UnsyncedVote "unsynced-vote" Raft "Raft paper, figure 2"
        "answers for votes, and stands for election, before its vote is on disk: after a power cut it votes again in the same epoch";
    ForgottenVote "forgotten-vote" Raft "Raft paper, figure 2"
        "reads its epoch back after a restart and not whom it voted for: it votes again in the same epoch";
    VoteForShorterLog "vote-for-shorter-log" Raft "Raft paper, 5.4.1"
        "votes for candidates whose metadata log is shorter than its own, so that committed metadata is lost";
    CommitEarlierEpoch "commit-earlier-epoch" Raft "Raft paper, figure 8"
        "commits metadata of earlier epochs by counting copies, before a record of its own epoch has a majority";
    MinorityCommit "minority-commit" Raft ""
        "commits metadata that one voter fewer than a majority has";
    KeepDivergedMetadata "keep-diverged-metadata" Raft "Raft paper, 5.3; KIP-595"
        "does not compare the epochs of the last record when a voter fetches: the voter keeps its own tail and appends after it";
    UnsyncedMetadataLog "unsynced-metadata-log" Raft "KIP-595"
        "counts metadata records towards the majority when they are written and not yet synced: a power cut takes committed ones";

    AckBeforeSync "ack-before-sync" Log ""
        "with flush.messages=1, acknowledges records before the sync that they asked for has completed";
    UnsyncedSegmentName "unsynced-segment-name" Log "KAFKA-3968"
        "does not sync the directory after rolling a segment: a power cut soon after takes the new segment with all its records, synced or not";
    RetentionAboveHighWatermark "retention-above-high-watermark" Log "KAFKA-5634"
        "deletes old segments above the high watermark, which the followers may not have yet";
    StaleEpochCache "stale-epoch-cache" Log "KAFKA-10706"
        "keeps the leader epochs of what it cut off its log, so that it finds no common point with the next leader";

    RecoverySkipsCrc "recovery-skips-crc" Recovery ""
        "takes batches for whole after an unclean stop without comparing their CRC";
    RecoveryNotSynced "recovery-not-synced" Recovery "KAFKA-10101"
        "does not sync what it found after a crash before it counts as durable: a power cut soon after takes it";
    RecoveryPointBeforeSync "recovery-point-before-sync" Recovery "KAFKA-10101"
        "writes a recovery point that covers what is not synced, so that recovery trusts segments that a power cut tore";

    UncleanElection "unclean-election" Controller "KIP-106"
        "elects replicas that are not in sync, with unclean.leader.election.enable=false";
    StaleBrokerEpoch "stale-broker-epoch" Controller "KIP-903"
        "lets a restarted broker into the ISR on the strength of what its earlier life had fetched";
    FencedJoinsIsr "fenced-joins-isr" Controller "KIP-841"
        "lets fenced and stopping brokers into the ISR";
    ElrAfterUncleanShutdown "elr-after-unclean-shutdown" Controller "KIP-966"
        "keeps a broker eligible to lead after an unclean shutdown, which may have cost it acknowledged records";
    RestartKeepsLeadership "restart-keeps-leadership" Controller "KIP-966"
        "takes a broker that restarts within its session for the same life: it leads on, in the same epoch, with what its disk kept";
    AnswerBeforeCommit "answer-before-commit" Controller ""
        "the controller answers before its records are committed: a leader believes in an ISR that the next controller never heard of";
}
