//! Packed pages: in memory as far as that may be filled, and beyond that in the spill.
//!
//! A page stays where it was put first, unless it grows where there is no room. Passes over a history come to every page in turn, again and again: moving out
//! what was used longest ago would then move out each page just before its turn.

use crate::spill::{Spill, SpillError};

/// Sizes in the spill are rounded up to this, so that a page that changed goes where it was or where another one was.
const GRAIN_BYTES: usize = 128;
const CHECKSUM_BYTES: usize = 4;
/// For each page, wherever it is: its entry, its place in the directories of sessions or logs, and what the allocator
/// takes.
const DIRECTORY_BYTES: u64 = 72;

/// Where a packed page is.
#[derive(Default)]
pub(crate) enum Kept {
    #[default]
    Nowhere,
    Memory(Box<[u8]>),
    Spilled {
        position: u64,
        bytes: u32,
    },
}

pub(crate) struct Backing {
    spill: Option<Box<dyn Spill>>,
    packed_bytes: u64,
    directory_bytes: u64,
    memory_bytes_max: u64,
    /// Where the spill ends.
    end: u64,
    /// By grains: places in the spill that are free again.
    free: Vec<Vec<u64>>,
    buffer: Vec<u8>,
}

impl Backing {
    /// Without a spill everything stays in memory, however much it is.
    pub(crate) fn new(spill: Option<Box<dyn Spill>>, memory_bytes_max: u64) -> Backing {
        Backing {
            spill,
            packed_bytes: 0,
            directory_bytes: 0,
            memory_bytes_max,
            end: 0,
            free: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Counts what it takes to find another page again.
    pub(crate) fn count_page(&mut self) {
        self.directory_bytes += DIRECTORY_BYTES;
    }

    /// Keeps a page in place of what was kept of it before.
    pub(crate) fn keep(&mut self, kept: &mut Kept, packed: &[u8]) -> Result<(), SpillError> {
        let (before, in_spill) = match kept {
            Kept::Nowhere => (0, false),
            Kept::Memory(page) => (page.len(), false),
            Kept::Spilled { .. } => (0, true),
        };
        let packed_bytes = self.packed_bytes - before as u64 + packed.len() as u64;
        let memory_bytes = packed_bytes + self.directory_bytes;
        let fits = packed.len() <= before || memory_bytes <= self.memory_bytes_max;
        if in_spill || !fits && self.spill.is_some() {
            self.write(kept, packed)?;
            self.packed_bytes -= before as u64;
            return Ok(());
        }
        self.packed_bytes = packed_bytes;
        match kept {
            Kept::Memory(page) if page.len() == packed.len() => page.copy_from_slice(packed),
            _ => *kept = Kept::Memory(packed.into()),
        }
        Ok(())
    }

    fn write(&mut self, kept: &mut Kept, packed: &[u8]) -> Result<(), SpillError> {
        let bytes = packed.len() + CHECKSUM_BYTES;
        let grains = bytes.div_ceil(GRAIN_BYTES);
        let position = match *kept {
            Kept::Spilled { position, bytes } if grains_of(bytes) == grains => position,
            Kept::Spilled { position, bytes } => {
                self.free_of(grains_of(bytes)).push(position);
                self.allocate(grains)
            }
            Kept::Nowhere | Kept::Memory(_) => self.allocate(grains),
        };
        self.buffer.clear();
        self.buffer.extend_from_slice(packed);
        self.buffer.extend_from_slice(&crc32c::crc32c(packed).to_le_bytes());
        let spill = self.spill.as_mut().expect("only what has a spill writes to it");
        spill.write(position, &self.buffer)?;
        *kept = Kept::Spilled { position, bytes: bytes as u32 };
        Ok(())
    }

    fn free_of(&mut self, grains: usize) -> &mut Vec<u64> {
        if self.free.len() <= grains {
            self.free.resize(grains + 1, Vec::new());
        }
        &mut self.free[grains]
    }

    fn allocate(&mut self, grains: usize) -> u64 {
        if let Some(position) = self.free_of(grains).pop() {
            return position;
        }
        let position = self.end;
        self.end += (grains * GRAIN_BYTES) as u64;
        position
    }

    #[cfg(test)]
    pub(super) fn packed_bytes(&self) -> u64 {
        self.packed_bytes
    }

    /// Hands what is kept to `unpack`, which says whether it was a page.
    pub(crate) fn fetch(
        &mut self,
        kept: &Kept,
        unpack: impl FnOnce(&[u8]) -> Option<()>,
    ) -> Result<(), SpillError> {
        match kept {
            Kept::Nowhere => Ok(()),
            Kept::Memory(packed) => {
                unpack(packed).expect("what was packed in memory can be unpacked");
                Ok(())
            }
            Kept::Spilled { position, bytes } => {
                self.buffer.resize(*bytes as usize, 0);
                let spill = self.spill.as_mut().expect("only what has a spill wrote to it");
                spill.read(*position, &mut self.buffer)?;
                let (packed, checksum) = self.buffer.split_at(*bytes as usize - CHECKSUM_BYTES);
                let whole = crc32c::crc32c(packed).to_le_bytes() == *checksum;
                let page = if whole { unpack(packed) } else { None };
                page.ok_or_else(|| SpillError("it gave back other bytes than were written".into()))
            }
        }
    }
}

fn grains_of(bytes: u32) -> usize {
    (bytes as usize).div_ceil(GRAIN_BYTES)
}
