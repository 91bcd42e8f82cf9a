//! What can be done to the run's own clients, and what clients can do to a broker.
//!
//! Promises: as [`crate::deed`] does, plain data with every parameter in it. None of them touches a node's process: those that
//! are done to clients count as no damage to a node. Not here: how a client is told.

use crate::deed::{DeedName, Value};
use crate::units::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDeed {
    /// A producer's session ends with what it has open. Healed by another session in its place.
    KillProducer,
    /// A member of the group polls nothing, which its group bears for so long. Healed by polling again.
    StallConsumer { grace: Millis },
    /// A second session takes a client's transactional id in the middle of a transaction. Nothing to heal.
    Fence,
    /// So many connections to a broker are opened and held. Healed by closing them.
    ConnectionStorm { sockets: u16 },
}

impl ClientDeed {
    pub fn name(self) -> DeedName {
        match self {
            ClientDeed::KillProducer => DeedName::KillProducer,
            ClientDeed::StallConsumer { .. } => DeedName::StallConsumer,
            ClientDeed::Fence => DeedName::Fence,
            ClientDeed::ConnectionStorm { .. } => DeedName::ConnectionStorm,
        }
    }

    /// It is done to clients of the load, not to a node.
    pub fn hits_clients(self) -> bool {
        match self {
            ClientDeed::KillProducer | ClientDeed::StallConsumer { .. } | ClientDeed::Fence => true,
            ClientDeed::ConnectionStorm { .. } => false,
        }
    }

    /// How long it may take to be in effect, beyond what every fault is given.
    pub fn takes_ms(self) -> u64 {
        match self {
            ClientDeed::KillProducer => 0,
            // Then its group has to give its partitions to others.
            ClientDeed::StallConsumer { grace } => grace.0 + 10_000,
            // The id has a coordinator, and the first session asks it again for a while.
            ClientDeed::Fence => 10_000,
            // A broker whose backlog is full has connections wait.
            ClientDeed::ConnectionStorm { .. } => 10_000,
        }
    }

    /// Its parameters by their keys in a plan, all of them.
    pub fn parameters(self) -> Vec<(&'static str, Value)> {
        match self {
            ClientDeed::KillProducer | ClientDeed::Fence => Vec::new(),
            ClientDeed::StallConsumer { grace } => vec![("grace", Value::Text(grace.to_string()))],
            ClientDeed::ConnectionStorm { sockets } => {
                vec![("sockets", Value::Number(sockets.into()))]
            }
        }
    }
}
