//! Seeded defects: named ways in which the broker can be told to be wrong, so that the checker's catching them is
//! measured and not believed.
//!
//! Promises: off unless the property `highwater.defects` names them; each is loud in the node's log when on. The list itself is in
//! `table`, one row each. Not promised: that a defect shows at every setting.

mod table;

pub use table::Defect;

/// The part of the broker that a defect is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subsystem {
    Raft,
    Log,
    Recovery,
    Controller,
    Replication,
    Idempotence,
    Group,
    ClientView,
}

impl Subsystem {
    pub const ALL: [Subsystem; 8] = [
        Subsystem::Raft,
        Subsystem::Log,
        Subsystem::Recovery,
        Subsystem::Controller,
        Subsystem::Replication,
        Subsystem::Idempotence,
        Subsystem::Group,
        Subsystem::ClientView,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Subsystem::Raft => "raft",
            Subsystem::Log => "log",
            Subsystem::Recovery => "recovery",
            Subsystem::Controller => "controller",
            Subsystem::Replication => "replication",
            Subsystem::Idempotence => "idempotence",
            Subsystem::Group => "group",
            Subsystem::ClientView => "client-view",
        }
    }
}

/// What there is to know about a defect.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// In `highwater.defects` and on the command line.
    pub name: &'static str,
    pub subsystem: Subsystem,
    /// The ticket, KIP or paper that tells of the same mistake, if one is known.
    pub mirrors: Option<&'static str>,
    /// What is wrong with a broker that has it; reads on from "this broker".
    pub doc: &'static str,
}

impl Defect {
    pub fn name(self) -> &'static str {
        self.description().name
    }

    pub fn subsystem(self) -> Subsystem {
        self.description().subsystem
    }

    pub fn mirrors(self) -> Option<&'static str> {
        self.description().mirrors
    }

    pub fn doc(self) -> &'static str {
        self.description().doc
    }

    pub fn from_name(name: &str) -> Option<Defect> {
        Defect::all().iter().copied().find(|defect| defect.name() == name)
    }
}

/// Which defects a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects(std::collections::BTreeSet<Defect>);

impl Defects {
    pub fn has(&self, defect: Defect) -> bool {
        self.0.contains(&defect)
    }

    pub fn insert(&mut self, defect: Defect) {
        self.0.insert(defect);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of them that the quorum has to be told of.
    pub fn in_raft(&self) -> raft::Defects {
        use raft::Defect as Told;
        self.iter().fold(raft::Defects::default(), |told, defect| match defect {
            Defect::UnsyncedVote => told.with(Told::UnsyncedVote),
            Defect::ForgottenVote => told.with(Told::ForgottenVote),
            Defect::VoteForShorterLog => told.with(Told::VoteForShorterLog),
            Defect::CommitEarlierEpoch => told.with(Told::CommitEarlierEpoch),
            Defect::MinorityCommit => told.with(Told::MinorityCommit),
            Defect::KeepDivergedMetadata => told.with(Told::KeepDivergedTail),
            _ => told,
        })
    }

    /// Those of them that every log has to be told of.
    fn in_every_log(&self) -> log::Defects {
        use log::Defect as Told;
        self.iter().fold(log::Defects::default(), |told, defect| match defect {
            Defect::UnsyncedSegmentName => told.with(Told::UnsyncedNames),
            Defect::RetentionAboveHighWatermark => told.with(Told::RetentionAboveHighWatermark),
            Defect::StaleEpochCache => told.with(Told::StaleEpochs),
            Defect::RecoverySkipsCrc => told.with(Told::SkipCrc),
            Defect::RecoveryNotSynced => told.with(Told::RecoveredUnsynced),
            Defect::RecoveryPointBeforeSync => told.with(Told::RecoveryPointBeforeSync),
            Defect::SequenceGaps => told.with(Told::SequenceGaps),
            _ => told,
        })
    }

    pub fn in_partition_log(&self) -> log::Defects {
        self.counting_early(Defect::AckBeforeSync)
    }

    pub fn in_metadata_log(&self) -> log::Defects {
        self.counting_early(Defect::UnsyncedMetadataLog)
    }

    fn counting_early(&self, because_of: Defect) -> log::Defects {
        let told = self.in_every_log();
        if self.has(because_of) { told.with(log::Defect::EndBeforeSync) } else { told }
    }

    pub fn iter(&self) -> impl Iterator<Item = Defect> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Defect, Subsystem};

    #[test]
    fn names_are_distinct_and_read_back() {
        for defect in Defect::all() {
            assert_eq!(Defect::from_name(defect.name()), Some(*defect));
            assert!(!defect.doc().is_empty());
            assert!(defect.mirrors().is_none_or(|mirrors| !mirrors.is_empty()));
        }
        assert_eq!(Defect::from_name("none-of-these"), None);
    }

    #[test]
    fn each_row_describes_the_defect_that_it_is_the_row_of() {
        assert_eq!(Defect::AckBeforeIsr.name(), "ack-before-isr");
        assert_eq!(Defect::ForgetProducerState.name(), "forget-producer-state");
        assert_eq!(Defect::ForgetProducerState.subsystem(), Subsystem::Idempotence);
        let ordered = Defect::all().windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ordered, "Defect::all() is in the order of the enum");
    }
}
