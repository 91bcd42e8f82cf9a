//! Where packed pages go once they are more than memory may hold. The checker does no input or output: whoever starts
//! it says what bytes are written to and read from.

/// Bytes could not be kept, or not be got back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpillError(pub String);

/// Somewhere to put bytes and get them back, such as a temporary file.
///
/// The checker writes before it reads, at positions of its own choice that grow with what it has to keep, and may write
/// over what it no longer needs. What is read is checked: wrong bytes make the answer unknown, as an error does.
pub trait Spill: Send {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), SpillError>;
    /// Fills all of `into` with what was written there.
    fn read(&mut self, position: u64, into: &mut [u8]) -> Result<(), SpillError>;
}
