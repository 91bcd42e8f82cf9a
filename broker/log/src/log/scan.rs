//! Walking over batches in a piece of a segment.

use bytes::Bytes;
use wire::batch::{BadBatch, BatchHeader, BatchView};
use wire::control::ControlRecord;

use crate::producer::{ProducerBatch, ProducerState, ProducerUndo};

/// How much recovery and rebuilding read at a time: the bound of one step's work.
pub(super) const CHUNK_BYTES: u64 = 1 << 20;

/// What stands at a place of a chunk.
pub(super) enum Next<'a> {
    Batch(BatchView<'a>),
    /// The batch goes on after the chunk; it is this long in all, as far as can be told.
    Partial {
        needed: usize,
    },
    Bad(BadBatch),
}

pub(super) fn next_batch(data: &[u8]) -> Next<'_> {
    match BatchView::new(data) {
        Ok(view) => Next::Batch(view),
        Err(BadBatch::Truncated { needed, .. }) => Next::Partial { needed },
        Err(reason) => Next::Bad(reason),
    }
}

/// Applies a batch that stands in the log, or will, to the producers. `marker` gives the first record's key and value
/// when the batch turns out to be a control batch.
pub(super) fn apply_to_producers(
    producers: &mut ProducerState,
    header: &BatchHeader,
    marker: impl FnOnce() -> Option<(Bytes, Bytes)>,
) -> Option<ProducerUndo> {
    let undo = if !header.has_producer() {
        None
    } else if header.is_control() {
        apply_marker(producers, header, marker())
    } else {
        producer_batch(header).map(|batch| producers.append(&batch))
    };
    producers.advance_to(header.next_offset().max(producers.end_offset()));
    undo
}

fn apply_marker(
    producers: &mut ProducerState,
    header: &BatchHeader,
    marker: Option<(Bytes, Bytes)>,
) -> Option<ProducerUndo> {
    let (key, value) = marker?;
    let coordinator_epoch = match ControlRecord::decode(&key, &value).ok()? {
        ControlRecord::Abort { coordinator_epoch }
        | ControlRecord::Commit { coordinator_epoch } => coordinator_epoch,
        _ => return None,
    };
    Some(producers.append_end_marker(
        header.producer_id,
        header.producer_epoch,
        coordinator_epoch,
        header.base_offset,
        header.max_timestamp,
    ))
}

/// `None` for a batch without producer, or without sequence numbers.
pub(super) fn producer_batch(header: &BatchHeader) -> Option<ProducerBatch> {
    Some(ProducerBatch {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        last_sequence: header.last_sequence()?,
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        timestamp: header.max_timestamp,
        is_transactional: header.is_transactional(),
    })
}

/// The key and value of a batch's first record.
pub(super) fn first_record(
    records: Result<wire::batch::Records, wire::batch::RecordError>,
) -> Option<(Bytes, Bytes)> {
    let record = records.ok()?.next()?.ok()?;
    Some((record.key?, record.value?))
}
