//! Pages of one kind: those in use lie open, the others are packed.
//!
//! Promises: a page is what it was last made to be, wherever it lay in between; the open ones are no more than were
//! allowed. A page that cannot be got back makes this *failed*, with the reason: from then on it holds blank pages, and
//! nothing that is read from it may be answered.

mod backing;
pub(crate) mod column;

pub(crate) use backing::Backing;
use backing::Kept;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory for pages that lie open.
pub(crate) struct OpenBytes {
    pub(crate) records: u64,
    pub(crate) offsets: u64,
}

impl OpenBytes {
    /// Enough for what is under way at millions of records a second; more would not be used again before its turn comes.
    pub(crate) fn of(memory_bytes_max: u64) -> OpenBytes {
        let open = (memory_bytes_max / 4).min(64 << 20);
        let offsets = open / 8;
        OpenBytes { records: open - offsets, offsets }
    }
}

/// A page as it lies open.
pub(crate) trait Page {
    fn blank() -> Self;
    fn clear(&mut self);
    fn pack(&self, out: &mut Vec<u8>);
    /// Makes a blank page what was packed; `None` if these bytes are no page.
    fn unpack(&mut self, packed: &[u8]) -> Option<()>;
}

/// Backing of several kinds of pages.
#[derive(Clone)]
pub(crate) struct SharedBacking(Arc<Mutex<Backing>>);

impl SharedBacking {
    pub(crate) fn new(backing: Backing) -> SharedBacking {
        SharedBacking(Arc::new(Mutex::new(backing)))
    }

    fn lock(&self) -> MutexGuard<'_, Backing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a page that is packed.
const NOT_OPEN: u32 = u32::MAX;

struct Entry {
    frame: u32,
    /// As it was when it was packed last; an open page may have changed since.
    kept: Kept,
}

struct Frame<P> {
    number: u32,
    changed: bool,
    /// Since the hand went by.
    used: bool,
    page: Box<P>,
}

pub(crate) struct Pages<P> {
    entries: Vec<Entry>,
    frames: Vec<Frame<P>>,
    frames_max: usize,
    /// The frame to be looked at next when one is needed: one that was not used since the hand went by is taken.
    hand: usize,
    backing: SharedBacking,
    packed: Vec<u8>,
    failed: Option<String>,
}

impl<P: Page> Pages<P> {
    pub(crate) fn new(backing: SharedBacking, open_bytes_max: u64) -> Pages<P> {
        let frames_max = open_bytes_max / size_of::<P>() as u64;
        Pages {
            entries: Vec::new(),
            frames: Vec::new(),
            frames_max: (frames_max as usize).max(1),
            hand: 0,
            backing,
            packed: Vec::new(),
            failed: None,
        }
    }

    pub(crate) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    pub(crate) fn fail(&mut self, because: String) {
        self.failed.get_or_insert(because);
    }

    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Makes a blank page and gives its number.
    pub(crate) fn add(&mut self) -> u32 {
        let number = self.entries.len() as u32;
        assert!(number < NOT_OPEN, "the numbers of pages fit 32 bits");
        self.backing.lock().count_page();
        self.entries.push(Entry { frame: NOT_OPEN, kept: Kept::Nowhere });
        number
    }

    pub(crate) fn get(&mut self, number: u32) -> &P {
        let frame = self.open(number);
        &self.frames[frame].page
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> &mut P {
        let frame = self.open(number);
        let frame = &mut self.frames[frame];
        frame.changed = true;
        &mut frame.page
    }

    fn open(&mut self, number: u32) -> usize {
        let frame = self.entries[number as usize].frame;
        if frame == NOT_OPEN {
            return self.bring(number);
        }
        let frame = frame as usize;
        self.frames[frame].used = true;
        frame
    }

    #[cold]
    fn bring(&mut self, number: u32) -> usize {
        let index = self.free_frame();
        let frame = &mut self.frames[index];
        let kept = &self.entries[number as usize].kept;
        let fetched = self.backing.lock().fetch(kept, |packed| frame.page.unpack(packed));
        if let Err(error) = fetched {
            frame.page.clear();
            self.fail(format!("what the checker had spilled could not be read back: {error}"));
        }
        let frame = &mut self.frames[index];
        (frame.number, frame.changed, frame.used) = (number, false, true);
        self.entries[number as usize].frame = index as u32;
        index
    }

    /// A frame with a blank page.
    fn free_frame(&mut self) -> usize {
        if self.frames.len() < self.frames_max {
            let page = Box::new(P::blank());
            self.frames.push(Frame { number: NOT_OPEN, changed: false, used: false, page });
            return self.frames.len() - 1;
        }
        loop {
            let index = self.hand;
            self.hand = (index + 1) % self.frames.len();
            let frame = &mut self.frames[index];
            if !std::mem::take(&mut frame.used) {
                self.put_away(index);
                return index;
            }
        }
    }

    fn put_away(&mut self, index: usize) {
        let frame = &mut self.frames[index];
        let entry = &mut self.entries[frame.number as usize];
        entry.frame = NOT_OPEN;
        let mut kept = Ok(());
        if frame.changed && self.failed.is_none() {
            self.packed.clear();
            frame.page.pack(&mut self.packed);
            kept = self.backing.lock().keep(&mut entry.kept, &self.packed);
        }
        frame.page.clear();
        if let Err(error) = kept {
            self.fail(format!(
                "the checker's memory is used up, and what exceeds it could not be spilled: {error}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Spill, SpillError};
    use proptest::prelude::*;

    /// Takes a byte for each, so that it grows when it changes.
    struct Numbers(Vec<u8>);

    impl Page for Numbers {
        fn blank() -> Numbers {
            Numbers(Vec::new())
        }

        fn clear(&mut self) {
            self.0.clear();
        }

        fn pack(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }

        fn unpack(&mut self, packed: &[u8]) -> Option<()> {
            self.0.extend_from_slice(packed);
            Some(())
        }
    }

    #[derive(Clone, Default)]
    struct Bytes(Arc<Mutex<Vec<u8>>>);

    impl Spill for Bytes {
        fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), SpillError> {
            let mut all = self.0.lock().unwrap();
            let end = position as usize + bytes.len();
            let length = all.len().max(end);
            all.resize(length, 0);
            all[position as usize..end].copy_from_slice(bytes);
            Ok(())
        }

        fn read(&mut self, position: u64, into: &mut [u8]) -> Result<(), SpillError> {
            into.copy_from_slice(&self.0.lock().unwrap()[position as usize..][..into.len()]);
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn pages_are_what_they_were_made(
            steps in prop::collection::vec((0..12u32, prop::option::of(any::<u8>())), 0..400),
            open in 1..4u64,
            memory_bytes_max in prop_oneof![Just(0), 0..2000u64],
        ) {
            let backing = Backing::new(Some(Box::new(Bytes::default())), memory_bytes_max);
            let shared = SharedBacking::new(backing);
            let mut pages: Pages<Numbers> =
                Pages::new(shared.clone(), open * size_of::<Numbers>() as u64);
            let mut wanted: Vec<Vec<u8>> = Vec::new();
            for (number, byte) in steps {
                let number = number.min(wanted.len() as u32);
                if number as usize == wanted.len() {
                    prop_assert_eq!(pages.add(), number);
                    wanted.push(Vec::new());
                }
                let page = &mut wanted[number as usize];
                if let Some(byte) = byte {
                    pages.get_mut(number).0.extend([byte; 90]);
                    page.extend([byte; 90]);
                }
                prop_assert_eq!(&pages.get(number).0, page);
                prop_assert!(pages.frames.len() as u64 <= open);
            }
            prop_assert!(pages.failed().is_none());
            prop_assert!(shared.lock().packed_bytes() <= memory_bytes_max);
        }
    }

    #[test]
    fn pages_in_memory_are_no_more_than_were_allowed() {
        let spill = Bytes::default();
        let backing = Backing::new(Some(Box::new(spill.clone())), 10_000);
        let shared = SharedBacking::new(backing);
        let mut pages: Pages<Numbers> = Pages::new(shared.clone(), 0);
        for round in 0..4u8 {
            for number in 0..50 {
                if round == 0 {
                    pages.add();
                }
                pages.get_mut(number).0.extend([round; 100]);
            }
            assert!(shared.lock().packed_bytes() <= 10_000);
        }
        let spilled = spill.0.lock().unwrap().len();
        assert!((10_000..40_000).contains(&spilled), "{spilled} bytes");
    }
}
