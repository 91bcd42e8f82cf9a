//! What deeds on clients need of whoever runs the load.

use std::collections::BTreeMap;
use std::io;

/// The load's clients.
///
/// Promises: no call waits; what a client says of itself is what it saw, not what it was told to do.
pub trait Clients {
    /// A producer's session is to end as soon as it has requests in flight, and nothing more is sent in its name.
    fn kill_producer(&mut self, producer: &str) -> io::Result<()>;

    /// Another session is to take the place of the one that was killed.
    fn revive_producer(&mut self, producer: &str) -> io::Result<()>;

    fn producer(&self, producer: &str) -> io::Result<ProducerLife>;

    /// Whoever is in this place of the group is to stand still as soon as it works on something.
    fn stall_member(&mut self, place: &str) -> io::Result<()>;

    /// It is to go on.
    fn wake_member(&mut self, place: &str) -> io::Result<()>;

    fn member(&self, place: &str) -> io::Result<MemberLife>;

    /// A second session is to take the client's transactional id as soon as it has a transaction open; it is to go on as if
    /// nothing had happened.
    fn fence(&mut self, client: &str) -> io::Result<()>;

    /// No more, unless it has begun.
    fn stop_fencing(&mut self, client: &str) -> io::Result<()>;

    fn fencing(&self, client: &str) -> io::Result<Fencing>;
}

/// What a producer says of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerLife {
    /// The session that sends.
    Sends { session: u32 },
    /// The session that was killed, and how many of its sends were open then.
    Killed { session: u32, open: u64 },
}

/// What a member of the group says of itself, and the others of what was its.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberLife {
    /// It polls, and its group has given it these partitions.
    Polls { session: u32, partitions: Vec<u32> },
    /// It has not polled since it joined, or since it stood still, or has heard that it lost what it had.
    Waits { session: u32 },
    /// It stands still. Of the partitions that it had, which ones the group has given to whom, and which ones to nobody else.
    Stands { session: u32, given: BTreeMap<String, Vec<u32>>, kept: Vec<u32> },
}

/// What is known of a transactional id that another session was to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fencing {
    Unasked,
    Asked,
    /// The session whose id is taken has not tried anything since.
    Begun {
        first: u32,
    },
    /// It has. `error`: what its library then called fatal; and how many transactions were committed under the id since, the
    /// last one by whom.
    Tried {
        first: u32,
        second: u32,
        error: Option<String>,
        last: u32,
        transactions: u64,
    },
}
