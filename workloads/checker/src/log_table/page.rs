//! A page of a log's table, packed: which offsets hold something of ours, and what in few bits, since neighbours in a
//! log were sent at about the same time and have slots near each other.

use super::{FOREIGN, NOTHING};
use crate::pages::{Page, column};

pub(crate) const OFFSETS: i64 = 512;
const LENGTH: usize = OFFSETS as usize;

/// The slot at each offset, or what stands there in place of one.
#[derive(Clone)]
pub(crate) struct OffsetPage(pub(crate) [u32; LENGTH]);

fn kind_of(occupant: u32) -> u64 {
    match occupant {
        NOTHING => 0,
        FOREIGN => 1,
        _ => 2,
    }
}

impl Page for OffsetPage {
    fn blank() -> OffsetPage {
        OffsetPage([NOTHING; LENGTH])
    }

    fn clear(&mut self) {
        self.0.fill(NOTHING);
    }

    fn pack(&self, out: &mut Vec<u8>) {
        let mut values = [0; LENGTH];
        for (value, occupant) in values.iter_mut().zip(&self.0) {
            *value = kind_of(*occupant);
        }
        column::put(out, &values);
        let ours = self.0.iter().filter(|occupant| kind_of(**occupant) == 2);
        let mut count = 0;
        for occupant in ours {
            values[count] = u64::from(*occupant);
            count += 1;
        }
        column::put(out, &values[..count]);
    }

    fn unpack(&mut self, mut packed: &[u8]) -> Option<()> {
        let mut kinds = [0; LENGTH];
        column::take(&mut packed, &mut kinds)?;
        let count = kinds.iter().filter(|kind| **kind == 2).count();
        let mut ours = [0; LENGTH];
        column::take(&mut packed, &mut ours[..count])?;
        let mut ours = ours.iter();
        for (occupant, kind) in self.0.iter_mut().zip(kinds) {
            *occupant = match kind {
                0 => NOTHING,
                1 => FOREIGN,
                _ => u32::try_from(*ours.next()?).ok()?,
            };
        }
        packed.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_page_comes_back(
            slots in prop::collection::vec(
                prop_oneof![6 => 5000..6000u32, 1 => any::<u32>(), 1 => Just(FOREIGN), 2 => Just(NOTHING)],
                0..LENGTH,
            ),
        ) {
            let mut page = OffsetPage::blank();
            page.0.iter_mut().zip(slots).for_each(|(place, slot)| *place = slot);
            let mut packed = Vec::new();
            page.pack(&mut packed);
            let mut back = OffsetPage::blank();
            prop_assert!(back.unpack(&packed).is_some());
            prop_assert!(back.0 == page.0);
        }

        #[test]
        fn no_bytes_make_it_panic(packed in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = OffsetPage::blank().unpack(&packed);
        }
    }
}
