//! The feature levels that this build knows, and those that a new cluster starts with.
//!
//! Promises: the one table of them. What a broker registers with, what ApiVersions answers and what the first records of a
//! metadata log say is all taken from here.
//!
//! Not here: `kraft.version` as a finalized level; it is a control record of the quorum.

/// One feature and the levels of it that this build can live with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    /// The level of a new cluster; 0: not enabled, no record.
    pub initial: i16,
}

pub const METADATA_VERSION: &str = "metadata.version";
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// Kafka's `IBP_4_0_IV3`, the one metadata version that we write and read.
pub const METADATA_VERSION_LEVEL: i16 = 25;

/// Sorted by name. Features at a maximum of 0 are known by name and not offered.
pub const FEATURES: &[Feature] = &[
    Feature { name: ELR_VERSION, min: 0, max: 1, initial: 1 },
    // The new consumer groups are not served.
    Feature { name: "group.version", min: 0, max: 0, initial: 0 },
    Feature { name: "kraft.version", min: 0, max: 1, initial: 0 },
    Feature {
        name: METADATA_VERSION,
        min: METADATA_VERSION_LEVEL,
        max: METADATA_VERSION_LEVEL,
        initial: METADATA_VERSION_LEVEL,
    },
    // Transactions are not served.
    Feature { name: "transaction.version", min: 0, max: 0, initial: 0 },
];

/// The features to offer to others, as (name, min, max).
pub fn supported() -> impl Iterator<Item = (&'static str, i16, i16)> {
    FEATURES
        .iter()
        .filter(|feature| feature.max > 0)
        .map(|feature| (feature.name, feature.min, feature.max))
}
