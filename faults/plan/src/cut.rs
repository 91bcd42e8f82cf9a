//! What cuts are told: which packets, of which connections, and what becomes of them.
//!
//! Promises: plain data that is printed as a plan writes it.

use crate::units::Millis;
use serde::{Deserialize, Serialize};

/// Which packets a cut takes, as seen from the nodes that it hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    #[default]
    Both,
    /// What the peers send: the nodes no longer hear them.
    In,
    /// What the nodes send: the peers no longer hear them.
    Out,
}

impl Direction {
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::Both => "both",
            Direction::In => "in",
            Direction::Out => "out",
        }
    }

    /// The nodes lose what the peers send.
    pub fn takes_in(self) -> bool {
        self != Direction::Out
    }

    /// The peers lose what the nodes send.
    pub fn takes_out(self) -> bool {
        self != Direction::In
    }
}

/// What becomes of a packet that meets a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Nobody hears of it: senders wait and send again.
    #[default]
    Drop,
    /// TCP is answered with a reset: connections break and dials are refused at once.
    Reject,
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            How::Drop => "drop",
            How::Reject => "reject",
        }
    }
}

/// Whose packets meet a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    #[default]
    All,
    /// Connections from before the cut; new ones come about.
    Established,
    /// Only dials; what stands goes on.
    New,
}

impl Connections {
    pub fn as_str(self) -> &'static str {
        match self {
            Connections::All => "all",
            Connections::Established => "established",
            Connections::New => "new",
        }
    }
}

/// What a deed does to the packets between a node and its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    pub direction: Direction,
    pub how: How,
    pub connections: Connections,
}

/// Something that comes and goes while it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// In effect for so long, …
    pub on: Millis,
    /// … then not for so long, and again.
    pub off: Millis,
}
