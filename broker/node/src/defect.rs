//! Seeded defects: named ways in which the broker can be told to be wrong, so that the checker's catching them is
//! measured and not believed.
//!
//! Promises: off unless the property `highwater.defects` names them; each is loud in the node's log when on. Not promised: that a defect
//! shows at every setting; its recipe states those at which clients can see it.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Defect {
    /// An acks=all write is acknowledged when the leader has it, before the in-sync replicas do.
    AckBeforeIsr,
    /// A new follower truncates to its own high watermark instead of the point where its log leaves the leader's.
    TruncateToHighWatermark,
    /// Leader epochs in fetches, and in the controller's answers, are not checked: a leader that was replaced keeps the
    /// tail that its successor never had.
    NoEpochFencing,
    /// Producer state is lost at a leader change and a restart: a retried batch is appended again.
    ForgetProducerState,
}

impl Defect {
    pub const fn all() -> &'static [Defect] {
        &[
            Defect::AckBeforeIsr,
            Defect::TruncateToHighWatermark,
            Defect::NoEpochFencing,
            Defect::ForgetProducerState,
        ]
    }

    /// The name in `highwater.defects` and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Defect::AckBeforeIsr => "ack-before-isr",
            Defect::TruncateToHighWatermark => "truncate-to-high-watermark",
            Defect::NoEpochFencing => "no-epoch-fencing",
            Defect::ForgetProducerState => "forget-producer-state",
        }
    }

    /// One sentence on what is wrong with a broker that has it.
    pub const fn doc(self) -> &'static str {
        match self {
            Defect::AckBeforeIsr => {
                "acknowledges acks=all writes when the leader alone has them, so that its death loses them"
            }
            Defect::TruncateToHighWatermark => {
                "a follower cuts its log at its own high watermark, which lags, so that acknowledged records are lost when it is elected before it has fetched them again"
            }
            Defect::NoEpochFencing => {
                "nobody checks leader epochs: a replaced leader takes the controller's refusal for consent, and when it follows again it keeps records that its new leader never had"
            }
            Defect::ForgetProducerState => {
                "forgets the sequence numbers of idempotent producers at a leader change or restart, so that a retry is appended twice"
            }
        }
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

    pub fn iter(&self) -> impl Iterator<Item = Defect> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Defect;

    #[test]
    fn names_are_distinct_and_read_back() {
        for defect in Defect::all() {
            assert_eq!(Defect::from_name(defect.name()), Some(*defect));
            assert!(!defect.doc().is_empty());
        }
        assert_eq!(Defect::from_name("none-of-these"), None);
    }
}
