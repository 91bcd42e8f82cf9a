//! The bytes of one version of a file, in pages that versions share until one of them is written.
//!
//! Promises: what was never written costs nothing, however long the file is (indexes are extended to megabytes of
//! zeros); a copy costs a pointer for each page; bytes at and after the length read as zeros once the file grows again.

use bytes::Bytes;
use std::sync::Arc;

pub const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Holes are absent, and so is everything after the last page that was ever written.
    pages: Vec<Option<Arc<Page>>>,
    len: u64,
}

/// The page in which a byte lies.
pub fn page_of(at: u64) -> u32 {
    u32::try_from(at / PAGE_BYTES as u64).expect("a simulated file is not that long")
}

/// How many pages hold `len` bytes.
pub fn pages_for(len: u64) -> u32 {
    u32::try_from(len.div_ceil(PAGE_BYTES as u64)).expect("a simulated file is not that long")
}

impl Content {
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Writes at a place inside the file, at its end, or after it (what lies between reads as zeros).
    pub fn write(&mut self, at: u64, data: &[u8]) {
        self.len = self.len.max(at + data.len() as u64);
        self.put(at, data);
    }

    /// As [`Content::write`], leaving out what lies at or after the length.
    pub fn write_inside(&mut self, at: u64, data: &[u8]) {
        let room = self.len.saturating_sub(at).min(data.len() as u64);
        self.put(at, &data[..room as usize]);
    }

    fn put(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let (index, from) = (page_of(at) as usize, (at % PAGE_BYTES as u64) as usize);
            let count = data.len().min(PAGE_BYTES - from);
            if self.pages.len() <= index {
                self.pages.resize(index + 1, None);
            }
            let page = self.pages[index].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[from..from + count].copy_from_slice(&data[..count]);
            data = &data[count..];
            at += count as u64;
        }
    }

    /// Up to `len` bytes from `at`; fewer only at the end.
    pub fn read(&self, at: u64, len: u64) -> Bytes {
        let count = self.len.saturating_sub(at).min(len) as usize;
        let mut data = Vec::with_capacity(count);
        while data.len() < count {
            let here = at + data.len() as u64;
            let from = (here % PAGE_BYTES as u64) as usize;
            let part = (count - data.len()).min(PAGE_BYTES - from);
            match self.page(page_of(here)) {
                Some(page) => data.extend_from_slice(&page[from..from + part]),
                None => data.resize(data.len() + part, 0),
            }
        }
        data.into()
    }

    /// Cuts to `len` bytes, or extends with zeros.
    pub fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.truncate(pages_for(len) as usize);
            let kept = (len % PAGE_BYTES as u64) as usize;
            if let Some(Some(page)) = self.pages.get_mut(page_of(len) as usize) {
                Arc::make_mut(page)[kept..].fill(0);
            }
        }
        self.len = len;
    }

    /// `None`: a hole, all zeros.
    pub fn page(&self, index: u32) -> Option<&Arc<Page>> {
        self.pages.get(index as usize)?.as_ref()
    }

    /// Puts another version's page here. The caller sees to it that it holds nothing after the length.
    pub fn set_page(&mut self, index: u32, page: Option<&Arc<Page>>) {
        let index = index as usize;
        if self.pages.len() <= index {
            if page.is_none() {
                return;
            }
            self.pages.resize(index + 1, None);
        }
        self.pages[index] = page.cloned();
    }

    pub fn flip_bit(&mut self, at: u64, bit: u8) {
        assert!(at < self.len, "a bit after the end");
        let flipped = self.read(at, 1)[0] ^ (1 << bit);
        self.put(at, &[flipped]);
    }

    /// The pages that hold something.
    pub fn written_pages(&self) -> impl Iterator<Item = u32> + '_ {
        let written = self.pages.iter().enumerate().filter(|(_, page)| page.is_some());
        written.map(|(index, _)| index as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_across_pages_reads_back() {
        let mut content = Content::default();
        let data: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        content.write(100, &data);
        assert_eq!(content.len(), 10_100);
        assert_eq!(content.read(0, 100), vec![0; 100]);
        assert_eq!(content.read(100, 20_000), data);
        assert_eq!(content.read(4_000, 200), data[3_900..4_100]);
        assert_eq!(content.read(10_100, 5), "");
        assert_eq!(content.read(u64::MAX, 5), "");
    }

    #[test]
    fn a_file_that_was_cut_grows_with_zeros() {
        let mut content = Content::default();
        content.write(0, &[7; 9_000]);
        content.set_len(5_000);
        content.set_len(9_000);
        assert_eq!(content.read(0, 9_000)[..5_000], [7; 5_000]);
        assert_eq!(content.read(5_000, 9_000), vec![0; 4_000]);
    }

    #[test]
    fn preallocation_holds_no_pages() {
        let mut content = Content::default();
        content.set_len(10 << 20);
        content.write(0, b"entry");
        assert_eq!((content.len(), content.pages.len()), (10 << 20, 1));
        content.set_len(5);
        assert_eq!(content.read(0, 100), "entry");
    }

    #[test]
    fn copies_do_not_see_each_others_writes() {
        let mut content = Content::default();
        content.write(0, &[1; 8_192]);
        let copy = content.clone();
        content.write(0, &[2]);
        assert_eq!((copy.read(0, 1)[0], content.read(0, 1)[0]), (1, 2));
        let shared = |index| Arc::ptr_eq(copy.page(index).unwrap(), content.page(index).unwrap());
        assert!(!shared(0) && shared(1), "only the page that was written is copied");
    }
}
