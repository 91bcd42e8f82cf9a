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

/// A column under way.
struct Column {
    values: [u64; CHUNK],
    count: usize,
}

impl Column {
    fn new() -> Column {
        Column { values: [0; CHUNK], count: 0 }
    }

    fn push(&mut self, value: u64) {
        self.values[self.count] = value;
        self.count += 1;
    }

    /// Appends the column and begins another one.
    fn put(&mut self, out: &mut Vec<u8>) {
        column::put(out, &self.values[..self.count]);
        self.count = 0;
    }

    /// Takes a column with a number for each record that has one.
    fn take(
        &mut self,
        packed: &mut &[u8],
        records: &mut [Record; CHUNK],
        has: impl Fn(u16) -> bool,
        mut set: impl FnMut(&mut Record, u64),
    ) -> Option<()> {
        let count = records.iter().filter(|record| has(record.flags)).count();
        column::take(packed, &mut self.values[..count])?;
        let with = records.iter_mut().filter(|record| has(record.flags));
        for (record, value) in with.zip(&self.values) {
            set(record, *value);
        }
        Some(())
    }
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
        records.iter().for_each(|record| column.push(record.flags.into()));
        column.put(out);
        let those = |has: fn(Has, u16) -> bool| {
            records.iter().filter(move |record| has(Has { everything }, record.flags))
        };
        those(Has::log).for_each(|record| column.push(record.log.into()));
        column.put(out);
        let mut predicted = Predicted::default();
        for record in records.iter().filter(|record| has.offset(record.flags)) {
            let step = record.offset.wrapping_sub(predicted.of(record.log));
            predicted.note(record.log, record.offset);
            column.push(zigzag(step));
        }
        column.put(out);
        let mut before_ms = 0;
        for record in those(Has::sent) {
            column.push(record.sent_ms.wrapping_sub(before_ms).into());
            before_ms = record.sent_ms;
        }
        column.put(out);
        those(Has::done).for_each(|r| column.push(r.done_ms.wrapping_sub(r.sent_ms).into()));
        column.put(out);
        those(Has::read).for_each(|r| column.push(r.read_ms.wrapping_sub(r.sent_ms).into()));
        column.put(out);
        those(Has::read).for_each(|record| column.push(record.finals.into()));
        column.put(out);
        those(Has::read).for_each(|record| column.push(record.reader.into()));
        column.put(out);
    }

    fn unpack(&mut self, packed: &[u8]) -> Option<()> {
        let (&form, mut rest) = packed.split_first()?;
        let has = Has { everything: form == EVERYTHING };
        let (rest, records) = (&mut rest, &mut self.0);
        let mut column = Column::new();
        column.take(rest, records, |_| true, |record, flags| record.flags = flags as u16)?;
        column.take(
            rest,
            records,
            |flags| has.log(flags),
            |record, log| record.log = log as u32,
        )?;
        let mut predicted = Predicted::default();
        let offset = |record: &mut Record, step: u64| {
            record.offset = predicted.of(record.log).wrapping_add(unzigzag(step));
            predicted.note(record.log, record.offset);
        };
        column.take(rest, records, |flags| has.offset(flags), offset)?;
        let mut before_ms = 0u32;
        let sent = |record: &mut Record, step: u64| {
            record.sent_ms = before_ms.wrapping_add(step as u32);
            before_ms = record.sent_ms;
        };
        column.take(rest, records, |flags| has.sent(flags), sent)?;
        let done = |record: &mut Record, late: u64| {
            record.done_ms = record.sent_ms.wrapping_add(late as u32);
        };
        column.take(rest, records, |flags| has.done(flags), done)?;
        let read = |record: &mut Record, late: u64| {
            record.read_ms = record.sent_ms.wrapping_add(late as u32);
        };
        column.take(rest, records, |flags| has.read(flags), read)?;
        column.take(rest, records, |flags| has.read(flags), |r, bits| r.finals = bits as u16)?;
        column.take(
            rest,
            records,
            |flags| has.read(flags),
            |r, reader| r.reader = reader as u16,
        )?;
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
