//! The `.snapshot` file: the producers of a log at an offset, in Kafka's format.
//!
//! Layout: i16 version (1), u32 CRC-32C of all that follows it, i32 count, then for each producer its id, epoch, and
//! last batch. Promises: what decodes had a matching CRC. Not promised: more than the last batch of each producer.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{BatchMetadata, NO_SEQUENCE, ProducerEntry, ProducerState};

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 2 + 4;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// Why a snapshot cannot be used; an older one and the batches after it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("producer snapshot: {0}")]
pub struct SnapshotError(pub &'static str);

pub fn encode(state: &ProducerState) -> Bytes {
    let mut body = BytesMut::with_capacity(4 + ENTRY_BYTES * state.producers.len());
    body.put_i32(state.producers.len() as i32);
    for (&producer_id, entry) in &state.producers {
        let last = entry.batches.back();
        body.put_i64(producer_id);
        body.put_i16(entry.producer_epoch);
        body.put_i32(entry.last_sequence());
        body.put_i64(last.map_or(-1, |batch| batch.last_offset));
        body.put_i32(last.map_or(0, |batch| batch.offset_delta));
        body.put_i64(entry.last_timestamp);
        body.put_i32(entry.coordinator_epoch);
        body.put_i64(entry.current_txn_first_offset.unwrap_or(-1));
    }
    let mut file = BytesMut::with_capacity(HEADER_BYTES + body.len());
    file.put_i16(VERSION);
    file.put_u32(crc32c::crc32c(&body));
    file.put_slice(&body);
    file.freeze()
}

/// The state at `end_offset`, which is the snapshot file's name.
pub fn decode(mut data: &[u8], end_offset: i64) -> Result<ProducerState, SnapshotError> {
    if data.len() < HEADER_BYTES + 4 {
        return Err(SnapshotError("too short"));
    }
    if data.get_i16() != VERSION {
        return Err(SnapshotError("unknown version"));
    }
    if data.get_u32() != crc32c::crc32c(data) {
        return Err(SnapshotError("CRC mismatch"));
    }
    let count = data.get_i32();
    if count < 0 || data.len() != count as usize * ENTRY_BYTES {
        return Err(SnapshotError("length and count differ"));
    }
    let mut state = ProducerState::new(end_offset);
    for _ in 0..count {
        let producer_id = data.get_i64();
        let mut entry = ProducerEntry { producer_epoch: data.get_i16(), ..Default::default() };
        let last_sequence = data.get_i32();
        let last_offset = data.get_i64();
        let offset_delta = data.get_i32();
        entry.last_timestamp = data.get_i64();
        entry.coordinator_epoch = data.get_i32();
        entry.current_txn_first_offset = Some(data.get_i64()).filter(|&offset| offset >= 0);
        if last_sequence != NO_SEQUENCE {
            let timestamp = entry.last_timestamp;
            entry.batches.push_back(BatchMetadata {
                last_sequence,
                last_offset,
                offset_delta,
                timestamp,
            });
        }
        state.insert(producer_id, entry);
    }
    Ok(state)
}
