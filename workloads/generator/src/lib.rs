//! What clients are to do, decided without doing it: when each send is due, to which log, and what its bytes are.
//!
//! Promises: no clock, no IO, no ambient randomness; the same seed and the same calls give the same sends. The same
//! code drives librdkafka in a real run and model clients in a simulation.
//! Not here: the clients, and any idea of what comes of a send.

pub mod open_loop;
pub mod random;
pub mod stamp;
