use super::*;

fn batch(epoch: i16, base_sequence: i32, base_offset: i64, count: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: 7,
        producer_epoch: epoch,
        base_sequence,
        last_sequence: increment_sequence(base_sequence, count - 1),
        base_offset,
        last_offset: base_offset + i64::from(count) - 1,
        timestamp: 1_000 + base_offset,
        is_transactional: false,
    }
}

fn state(batches: &[ProducerBatch]) -> ProducerState {
    let mut state = ProducerState::new(0);
    for batch in batches {
        assert_eq!(state.check(batch), Ok(Checked::New));
        state.append(batch);
        state.advance_to(batch.last_offset + 1);
    }
    state
}

fn is_out_of_order(result: Result<Checked, ProducerError>) -> bool {
    matches!(result, Err(ProducerError::OutOfOrderSequence { .. }))
}

#[test]
fn the_last_five_batches_are_recognised() {
    let sent: Vec<_> = (0..6).map(|i| batch(0, i * 10, i64::from(i) * 10, 10)).collect();
    let state = state(&sent);
    for (index, again) in sent.iter().enumerate().skip(1) {
        let found = state.check(again);
        assert!(
            matches!(found, Ok(Checked::Duplicate(kept)) if kept.base_offset() == again.base_offset),
            "{index}: {found:?}"
        );
    }
    assert!(is_out_of_order(state.check(&sent[0])), "the sixth is too old to be known");
}

#[test]
fn a_gap_is_refused_and_the_next_is_not() {
    let state = state(&[batch(0, 0, 0, 3)]);
    assert!(is_out_of_order(state.check(&batch(0, 4, 3, 1))));
    assert!(is_out_of_order(state.check(&batch(0, 2, 3, 2))));
    assert_eq!(state.check(&batch(0, 3, 3, 1)), Ok(Checked::New));
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    assert_eq!(ProducerState::new(0).check(&batch(3, 77, 0, 1)), Ok(Checked::New));
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old() {
    let mut state = state(&[batch(1, 0, 0, 3)]);
    assert!(is_out_of_order(state.check(&batch(2, 3, 3, 1))));
    assert_eq!(state.check(&batch(2, 0, 3, 1)), Ok(Checked::New));
    state.append(&batch(2, 0, 3, 1));
    assert_eq!(
        state.check(&batch(1, 3, 4, 1)),
        Err(ProducerError::InvalidProducerEpoch { producer_id: 7, epoch: 1, current: 2 })
    );
}

#[test]
fn sequences_wrap() {
    let state = state(&[batch(0, i32::MAX - 1, 0, 4)]);
    assert_eq!(state.get(7).map(ProducerEntry::last_sequence), Some(1));
    assert!(matches!(
        state.check(&batch(0, i32::MAX - 1, 4, 4)),
        Ok(Checked::Duplicate(kept)) if kept.base_offset() == 0
    ));
    assert_eq!(state.check(&batch(0, 2, 4, 1)), Ok(Checked::New));
    let full = self::state(&[batch(0, i32::MAX - 1, 0, 2)]);
    assert_eq!(full.check(&batch(0, 0, 2, 1)), Ok(Checked::New));
}

#[test]
fn undo_restores_what_was() {
    let before = state(&[batch(0, 0, 0, 3), batch(0, 3, 3, 2)]);
    let mut state = before.clone();
    let mut transactional = batch(1, 0, 5, 2);
    transactional.is_transactional = true;
    let first = state.append(&transactional);
    assert_eq!(state.first_unstable_offset(), Some(5));
    let second = state.append_end_marker(7, 1, 0, 7, 1);
    assert_eq!(state.first_unstable_offset(), Some(5), "the marker is above the high watermark");
    state.undo(second);
    assert_eq!(state.first_unstable_offset(), Some(5));
    state.undo(first);
    assert_eq!(state, before);
}

#[test]
fn the_first_unstable_offset_moves_with_the_high_watermark() {
    let mut transactional = batch(0, 0, 5, 2);
    transactional.is_transactional = true;
    let mut state = state(&[transactional]);
    state.append_end_marker(7, 0, 0, 7, 1);
    state.on_high_watermark(7);
    assert_eq!(state.first_unstable_offset(), Some(5));
    state.on_high_watermark(8);
    assert_eq!(state.first_unstable_offset(), None);
}

#[test]
fn idle_producers_expire() {
    let mut state = state(&[batch(0, 0, 0, 1)]);
    for now_ms in [5_000, 5_999] {
        state.expire(now_ms, 1_000);
        assert_eq!(state.len(), 1, "its records are old, and it may have sent them just now");
    }
    state.expire(6_000, 1_000);
    assert!(state.is_empty());
}

#[test]
fn snapshots_round_trip_the_last_batch() {
    let full = state(&[batch(2, 0, 0, 3), batch(2, 3, 3, 2)]);
    let bytes = snapshot::encode(&full);
    let restored = snapshot::decode(&bytes, 5).expect("sound");
    assert_eq!(restored.end_offset(), 5);
    let entry = restored.get(7).expect("kept");
    assert_eq!(entry.batches.len(), 1);
    assert!(matches!(restored.check(&batch(2, 3, 5, 2)), Ok(Checked::Duplicate(_))));
    assert_eq!(restored.check(&batch(2, 5, 5, 1)), Ok(Checked::New));
}

#[test]
fn damaged_snapshots_are_refused_at_every_byte() {
    let bytes = snapshot::encode(&state(&[batch(2, 0, 0, 3)]));
    for position in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[position] ^= 0x40;
        assert!(snapshot::decode(&damaged, 3).is_err(), "byte {position}");
        assert!(snapshot::decode(&bytes[..position], 3).is_err(), "cut at {position}");
    }
}
