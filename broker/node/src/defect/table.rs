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

    // Raft, log, recovery and the controller.
}
