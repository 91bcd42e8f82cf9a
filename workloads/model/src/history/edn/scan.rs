//! Finds the end of an operation that comes in pieces, each byte looked at once.
//!
//! Only brackets count here: whether what stands between them is right is for the one who reads it, once it is whole.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Forms,
    Comment,
    Text,
    /// After a backslash within a string.
    Escape,
    /// After a backslash outside strings.
    Character,
}

/// Where the scan of one operation has come to.
pub(super) struct Scan {
    within: Within,
    depth: u64,
    /// Bytes looked at.
    pub(super) at: usize,
}

impl Scan {
    pub(super) fn new() -> Scan {
        Scan { within: Within::Forms, depth: 0, at: 0 }
    }

    /// Whether `bytes`, the operation from its first bracket on, is whole. They only ever grow from call to call.
    pub(super) fn is_whole(&mut self, bytes: &[u8]) -> bool {
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            self.within = match (self.within, byte) {
                (Within::Forms, b'"') => Within::Text,
                (Within::Forms, b';') => Within::Comment,
                (Within::Forms, b'\\') => Within::Character,
                (Within::Forms, b'{' | b'[' | b'(') => {
                    self.depth += 1;
                    Within::Forms
                }
                (Within::Forms, b'}' | b']' | b')') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return true;
                    }
                    Within::Forms
                }
                (Within::Comment, b'\n') | (Within::Text, b'"') | (Within::Character, _) => {
                    Within::Forms
                }
                (Within::Text, b'\\') => Within::Escape,
                (Within::Escape, _) => Within::Text,
                (within, _) => within,
            };
        }
        false
    }
}
