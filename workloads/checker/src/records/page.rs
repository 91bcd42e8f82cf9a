//! A page of records, packed column by column.
//!
//! Records of one session that nothing odd happened to differ in little: flags, passes and readers are the same for a
//! whole page, times follow the time of sending, and offsets go on within each log. That makes two to four bytes of 32.

use super::{CHUNK, NOTHING, Record, flag};
use crate::pages::Page;
use crate::pages::column;

pub(crate) struct RecordPage(pub(crate) [Record; CHUNK]);

/// Columns hold what its flags say that a record has.
const BY_FLAGS: u8 = 0;
/// Some record has what its flags do not tell: columns hold everything of every record.
const EVERYTHING: u8 = 1;

/// The last offset in each log, to tell the next one from. Logs that share a place are told badly, not wrongly.
#[derive(Default)]
struct Predicted {
    offsets: [Option<i64>; 32],
    last: i64,
}

impl Predicted {
    fn of(&self, log: u32) -> i64 {
        self.offsets[log as usize % self.offsets.len()].unwrap_or(self.last)
    }

    fn note(&mut self, log: u32, offset: i64) {
        self.offsets[log as usize % self.offsets.len()] = Some(offset);
        self.last = offset;
    }
}

/// What a record has, by its flags.
#[derive(Clone, Copy)]
struct Has {
    everything: bool,
}

impl Has {
    fn log(self, flags: u16) -> bool {
        self.everything || flags & (flag::SENT | flag::READ) != 0
    }

    fn offset(self, flags: u16) -> bool {
        self.everything || flags & (flag::READ | flag::ACKNOWLEDGED_AT) != 0
    }

    fn sent(self, flags: u16) -> bool {
        self.everything || flags & flag::SENT != 0
    }

    fn done(self, flags: u16) -> bool {
        self.everything || flags & flag::FATE != 0
    }

    fn read(self, flags: u16) -> bool {
        self.everything || flags & flag::READ != 0
    }

    /// Whether flags tell of everything that a record has.
    fn tells(self, record: &Record) -> bool {
        let flags = record.flags;
        (self.log(flags) || record.log == NOTHING.log)
            && (self.offset(flags) || record.offset == NOTHING.offset)
            && (self.sent(flags) || record.sent_ms == NOTHING.sent_ms)
            && (self.done(flags) || record.done_ms == NOTHING.done_ms)
            && (self.read(flags)
                || (record.read_ms, record.finals, record.reader)
                    == (NOTHING.read_ms, NOTHING.finals, NOTHING.reader))
    }
}

/// Numbers on their way into a column or out of one.
struct Column {
    values: [u64; CHUNK],
}

impl Column {
    fn new() -> Column {
        Column { values: [0; CHUNK] }
    }

    /// Appends a column with the number of each record that has one.
    fn put(
        &mut self,
        out: &mut Vec<u8>,
        records: &[Record; CHUNK],
        has: impl Fn(u16) -> bool,
        mut number: impl FnMut(&Record) -> u64,
    ) {
        let mut count = 0;
        for record in records {
            if has(record.flags) {
                self.values[count] = number(record);
                count += 1;
            }
        }
        column::put(out, &self.values[..count]);
    }

    /// Takes a column with a number for each record that has one.
    fn take(
        &mut self,
        packed: &mut &[u8],
        records: &mut [Record; CHUNK],
        with: With,
        has: impl Fn(u16) -> bool,
        mut set: impl FnMut(&mut Record, u64),
    ) -> Option<()> {
        let count = match with {
            With::Same(flags) => {
                if has(flags) {
                    CHUNK
                } else {
                    0
                }
            }
            With::Different => records.iter().filter(|record| has(record.flags)).count(),
        };
        column::take(packed, &mut self.values[..count])?;
        if count == CHUNK {
            for (record, value) in records.iter_mut().zip(&self.values) {
                set(record, *value);
            }
        } else if count > 0 {
            let those = records.iter_mut().filter(|record| has(record.flags));
            for (record, value) in those.zip(&self.values) {
                set(record, *value);
            }
        }
        Some(())
    }
}

/// Flags of the records of a page.
#[derive(Clone, Copy)]
enum With {
    Same(u16),
    Different,
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

impl Page for RecordPage {
    fn blank() -> RecordPage {
        RecordPage([NOTHING; CHUNK])
    }

    fn clear(&mut self) {
        self.0.fill(NOTHING);
    }

    fn pack(&self, out: &mut Vec<u8>) {
        let records = &self.0;
        let everything = !records.iter().all(|record| Has { everything: false }.tells(record));
        let has = Has { everything };
        out.push(if everything { EVERYTHING } else { BY_FLAGS });
        let mut column = Column::new();
        column.put(out, records, |_| true, |record| record.flags.into());
        column.put(out, records, |flags| has.log(flags), |record| record.log.into());
        let mut predicted = Predicted::default();
        let offset = |record: &Record| {
            let step = record.offset.wrapping_sub(predicted.of(record.log));
            predicted.note(record.log, record.offset);
            zigzag(step)
        };
        column.put(out, records, |flags| has.offset(flags), offset);
        let mut before_ms = 0;
        let sent = |record: &Record| {
            let step = record.sent_ms.wrapping_sub(before_ms);
            before_ms = record.sent_ms;
            step.into()
        };
        column.put(out, records, |flags| has.sent(flags), sent);
        let since_sent = |record: &Record, ms: u32| ms.wrapping_sub(record.sent_ms).into();
        column.put(out, records, |flags| has.done(flags), |r| since_sent(r, r.done_ms));
        column.put(out, records, |flags| has.read(flags), |r| since_sent(r, r.read_ms));
        column.put(out, records, |flags| has.read(flags), |record| record.finals.into());
        column.put(out, records, |flags| has.read(flags), |record| record.reader.into());
    }

    fn unpack(&mut self, packed: &[u8]) -> Option<()> {
        let (&form, mut rest) = packed.split_first()?;
        let has = Has { everything: form == EVERYTHING };
        let (rest, records) = (&mut rest, &mut self.0);
        let mut column = Column::new();
        let flags = |record: &mut Record, flags| record.flags = flags as u16;
        column.take(rest, records, With::Same(0), |_| true, flags)?;
        let first = records[0].flags;
        let same = records.iter().all(|record| record.flags == first);
        let with = if same { With::Same(first) } else { With::Different };
        let log = |record: &mut Record, log| record.log = log as u32;
        column.take(rest, records, with, |flags| has.log(flags), log)?;
        let mut predicted = Predicted::default();
        let offset = |record: &mut Record, step| {
            record.offset = predicted.of(record.log).wrapping_add(unzigzag(step));
            predicted.note(record.log, record.offset);
        };
        column.take(rest, records, with, |flags| has.offset(flags), offset)?;
        let mut before_ms = 0u32;
        let sent = |record: &mut Record, step| {
            record.sent_ms = before_ms.wrapping_add(step as u32);
            before_ms = record.sent_ms;
        };
        column.take(rest, records, with, |flags| has.sent(flags), sent)?;
        let since_sent = |record: &Record, late| record.sent_ms.wrapping_add(late as u32);
        let done = |record: &mut Record, late: u64| record.done_ms = since_sent(record, late);
        column.take(rest, records, with, |flags| has.done(flags), done)?;
        let read = |record: &mut Record, late: u64| record.read_ms = since_sent(record, late);
        column.take(rest, records, with, |flags| has.read(flags), read)?;
        let finals = |record: &mut Record, finals| record.finals = finals as u16;
        column.take(rest, records, with, |flags| has.read(flags), finals)?;
        let reader = |record: &mut Record, reader| record.reader = reader as u16;
        column.take(rest, records, with, |flags| has.read(flags), reader)?;
        rest.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = Record> {
        let plain = (0..40u32, 0..9i64).prop_map(|(log, offset)| Record {
            offset: 1_000_000_000_000 + offset,
            log,
            sent_ms: 1000,
            done_ms: 1003,
            read_ms: 1008,
            finals: 3,
            reader: 1,
            flags: flag::SENT | flag::READ | flag::ACKNOWLEDGED_AT | 1,
        });
        let odd = (any::<[u32; 4]>(), any::<i64>(), any::<[u16; 3]>()).prop_map(
            |([log, sent_ms, done_ms, read_ms], offset, [finals, reader, flags])| Record {
                offset,
                log,
                sent_ms,
                done_ms,
                read_ms,
                finals,
                reader,
                flags,
            },
        );
        prop_oneof![8 => plain, 1 => odd, 1 => Just(NOTHING)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_page_comes_back(
            records in prop::collection::vec(any_record(), 0..CHUNK),
            plain in any::<bool>(),
        ) {
            let mut page = RecordPage::blank();
            let wanted = records.into_iter().filter(|record| !plain || record.finals == 3);
            page.0.iter_mut().zip(wanted).for_each(|(place, record)| *place = record);
            let mut packed = Vec::new();
            page.pack(&mut packed);
            let mut back = RecordPage::blank();
            prop_assert!(back.unpack(&packed).is_some());
            prop_assert!(back.0 == page.0);
        }

        #[test]
        fn no_bytes_make_it_panic(packed in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = RecordPage::blank().unpack(&packed);
        }
    }
}
