//! What deeds on clients need of whoever runs the load.

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
}

/// What a producer says of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerLife {
    /// The session that sends.
    Sends { session: u32 },
    /// The session that was killed, and how many of its sends were open then.
    Killed { session: u32, open: u64 },
}
