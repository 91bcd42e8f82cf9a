//! A short text that can be copied, for deeds: they are plain data of one size.
//!
//! Promises: printed as it was given. Not here: what it says.

use serde::{Serialize, Serializer};
use std::fmt;

/// Up to so many bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
}

impl<const MAX: usize> Text<MAX> {
    pub const EMPTY: Text<MAX> = Text { bytes: [0; MAX], len: 0 };

    /// `None`: too long.
    pub fn new(text: &str) -> Option<Text<MAX>> {
        let mut bytes = [0; MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Text { bytes, len: u8::try_from(text.len()).ok()? })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("it was made from text")
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
