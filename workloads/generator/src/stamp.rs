//! The stamp that every record carries in its value: who wrote it, for which log, and a checksum over everything.
//!
//! Layout, big endian: magic `HWR1`, run u64, session u32, sequence u64, topic u32, partition u32, timestamp i64
//! (CreateTime in milliseconds), checksum u32 (CRC-32C over the stamp without the checksum, the key, and the
//! filler), filler to the wanted size. A reader can tell from the bytes alone whether a record is this run's, whole,
//! and in the log that it was sent to.

use model::history::{LogRef, RecordId, Seen, Session, TopicRef};

const MAGIC: [u8; 4] = *b"HWR1";
const CHECKSUM_AT: usize = 40;
/// The smallest value that can carry a stamp, in bytes.
pub const LEN: usize = 44;

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Told apart from other runs on the same topic.
    pub run: u64,
    pub id: RecordId,
    pub log: LogRef,
    /// CreateTime in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Where filler bytes come from: incompressible, so that compression cannot flatter a setting, and cheap, a window
/// into one block chosen by the sequence.
#[derive(Clone, Debug)]
pub struct Filler(Vec<u8>);

impl Filler {
    pub fn new(seed: u64, record_bytes_max: usize) -> Self {
        let mut random = crate::random::Random::new(seed, "filler");
        let len = record_bytes_max + 8192;
        let mut block = Vec::with_capacity(len + 8);
        while block.len() < len {
            block.extend_from_slice(&random.next().to_le_bytes());
        }
        Filler(block)
    }

    fn window(&self, sequence: u64, len: usize) -> &[u8] {
        let start = (sequence.wrapping_mul(37) % (self.0.len() - len) as u64) as usize;
        &self.0[start..start + len]
    }
}

/// Writes a stamped value of `len` bytes (at least [`LEN`]) into `out`, replacing what was there.
pub fn write(stamp: &Stamp, key: Option<&[u8]>, len: usize, filler: &Filler, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&stamp.run.to_be_bytes());
    out.extend_from_slice(&stamp.id.session.0.to_be_bytes());
    out.extend_from_slice(&stamp.id.sequence.to_be_bytes());
    out.extend_from_slice(&stamp.log.topic.0.to_be_bytes());
    out.extend_from_slice(&stamp.log.partition.to_be_bytes());
    out.extend_from_slice(&stamp.timestamp_ms.to_be_bytes());
    assert_eq!(out.len(), CHECKSUM_AT);
    let body = filler.window(stamp.id.sequence, len.saturating_sub(LEN));
    out.extend_from_slice(&checksum(&out[..CHECKSUM_AT], key, body).to_be_bytes());
    out.extend_from_slice(body);
}

/// What a reader of `log` may say of a record that it was handed. `create_time_ms` is the record's own timestamp
/// where the topic keeps CreateTime, and `None` under LogAppendTime.
pub fn read(
    run: u64,
    log: LogRef,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    create_time_ms: Option<i64>,
) -> Seen {
    let Some(value) = value.filter(|value| value.len() >= LEN && value[..4] == MAGIC) else {
        return Seen::Foreign;
    };
    let stamp = Stamp {
        run: u64::from_be_bytes(field(value, 4)),
        id: RecordId {
            session: Session(u32::from_be_bytes(field(value, 12))),
            sequence: u64::from_be_bytes(field(value, 16)),
        },
        log: LogRef {
            topic: TopicRef(u32::from_be_bytes(field(value, 24))),
            partition: u32::from_be_bytes(field(value, 28)),
        },
        timestamp_ms: i64::from_be_bytes(field(value, 32)),
    };
    if stamp.run != run {
        return Seen::Foreign;
    }
    let stored = u32::from_be_bytes(field(value, CHECKSUM_AT));
    let whole = stored == checksum(&value[..CHECKSUM_AT], key, &value[LEN..])
        && create_time_ms.is_none_or(|time| time == stamp.timestamp_ms);
    match (whole, stamp.log == log) {
        (false, _) => Seen::Corrupted(stamp.id),
        (true, false) => Seen::Misplaced { id: stamp.id, sent_to: stamp.log },
        (true, true) => Seen::Record(stamp.id),
    }
}

fn field<const N: usize>(value: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&value[at..at + N]);
    bytes
}

fn checksum(stamp: &[u8], key: Option<&[u8]>, filler: &[u8]) -> u32 {
    let sum = crc32c::crc32c(stamp);
    // An absent key and an empty one are different records.
    let sum = match key {
        None => crc32c::crc32c_append(sum, &[0]),
        Some(key) => crc32c::crc32c_append(crc32c::crc32c_append(sum, &[1]), key),
    };
    crc32c::crc32c_append(sum, filler)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogRef = LogRef { topic: TopicRef(2), partition: 7 };
    const ID: RecordId = RecordId { session: Session(3), sequence: 99 };

    fn value(key: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let stamp = Stamp { run: 11, id: ID, log: LOG, timestamp_ms: 1234 };
        write(&stamp, key, 200, &Filler::new(5, 1024), &mut out);
        assert_eq!(out.len(), 200);
        out
    }

    #[test]
    fn a_whole_record_in_its_log() {
        assert_eq!(
            read(11, LOG, Some(b"k"), Some(&value(Some(b"k"))), Some(1234)),
            Seen::Record(ID)
        );
        assert_eq!(read(11, LOG, None, Some(&value(None)), None), Seen::Record(ID));
    }

    #[test]
    fn any_changed_byte_after_the_run_is_corruption() {
        let good = value(None);
        for at in 12..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(
                matches!(read(11, LOG, None, Some(&bad), Some(1234)), Seen::Corrupted(_)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn another_key_or_time_is_corruption() {
        assert_eq!(read(11, LOG, Some(b""), Some(&value(None)), None), Seen::Corrupted(ID));
        assert_eq!(read(11, LOG, None, Some(&value(None)), Some(1235)), Seen::Corrupted(ID));
    }

    #[test]
    fn elsewhere_is_misplaced_and_others_are_foreign() {
        let there = LogRef { topic: TopicRef(2), partition: 8 };
        assert_eq!(
            read(11, there, None, Some(&value(None)), None),
            Seen::Misplaced { id: ID, sent_to: LOG }
        );
        assert_eq!(read(12, LOG, None, Some(&value(None)), None), Seen::Foreign);
        assert_eq!(read(11, LOG, None, Some(b"hello"), None), Seen::Foreign);
        assert_eq!(read(11, LOG, None, None, None), Seen::Foreign);
    }
}
