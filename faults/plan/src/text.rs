//! A short text that can be copied, for deeds: they are plain data of one size.
//!
//! Promises: printed as it was given. Not here: what it says.

use serde::{Serialize, Serializer};
use std::fmt;

/// The longest one.
pub const TEXT_BYTES_MAX: usize = 96;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: u8,
}

impl Text {
    pub const EMPTY: Text = Text { bytes: [0; TEXT_BYTES_MAX], len: 0 };

    /// `None`: too long.
    pub fn new(text: &str) -> Option<Text> {
        let mut bytes = [0; TEXT_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Text { bytes, len: u8::try_from(text.len()).ok()? })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("it was made from text")
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
