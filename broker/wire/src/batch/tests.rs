//! Batches: built, split, patched, read, validated and attacked.

use super::*;
use proptest::prelude::*;

const ALL: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

type PlainRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn validate_deep(view: &BatchView<'_>, rules: &Rules) -> Result<Validated, InvalidRecord> {
    super::validate_deep(view, rules, &mut Decompressor::default())
}

fn headers(plain: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<RecordHeader> {
    plain
        .iter()
        .map(|(key, value)| RecordHeader {
            key: Bytes::copy_from_slice(key),
            value: value.as_deref().map(Bytes::copy_from_slice),
        })
        .collect()
}

fn build(compression: Compression, records: &[PlainRecord], base_offset: i64) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for (timestamp, key, value, plain) in records {
        builder.append(*timestamp, key.as_deref(), value.as_deref(), &headers(plain));
    }
    builder.build(base_offset, 3)
}

fn simple(compression: Compression, count: usize) -> Bytes {
    let records: Vec<PlainRecord> = (0..count)
        .map(|at| {
            let key = Some(format!("key-{at}").into_bytes());
            (1000 + at as i64, key, Some(vec![b'v'; 100]), vec![])
        })
        .collect();
    build(compression, &records, 7)
}

fn records() -> impl Strategy<Value = Vec<PlainRecord>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..50);
    let header = (bytes(), proptest::option::of(bytes()));
    let one = (
        0..i64::MAX / 4,
        proptest::option::of(bytes()),
        proptest::option::of(bytes()),
        proptest::collection::vec(header, 0..3),
    );
    proptest::collection::vec(one, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn records_come_back_in_every_compression(records in records(), base_offset in 0..i64::MAX / 2) {
        for compression in ALL {
            let bytes = build(compression, &records, base_offset);
            let batch = Batch::new(bytes.clone()).unwrap();
            batch.view().check().unwrap();
            prop_assert_eq!(batch.view().compression(), Some(compression));
            prop_assert_eq!(batch.last_offset(), base_offset + records.len() as i64 - 1);
            let read: Vec<Record> = batch.records().unwrap().map(Result::unwrap).collect();
            let through_the_view: Vec<Record> =
                BatchView::new(&bytes).unwrap().records().unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(&read, &through_the_view);
            for (at, (timestamp, key, value, plain)) in records.iter().enumerate() {
                prop_assert_eq!(read[at].offset, base_offset + at as i64);
                prop_assert_eq!(read[at].timestamp, *timestamp);
                prop_assert_eq!(read[at].key.as_deref(), key.as_deref());
                prop_assert_eq!(read[at].value.as_deref(), value.as_deref());
                prop_assert_eq!(&read[at].headers, &headers(plain));
            }
            let rules = Rules { now_ms: 5, ..Rules::default() };
            let found = validate_deep(&batch.view(), &rules).unwrap();
            prop_assert_eq!(found.max_timestamp, batch.header().max_timestamp);
        }
    }

    #[test]
    fn what_is_used_again_makes_and_reads_the_same_bytes(all in proptest::collection::vec(records(), 1..6), garbage in proptest::collection::vec(any::<u8>(), 0..60)) {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for (records, compression) in all.iter().flat_map(|records| ALL.map(|one| (records, one))) {
            let mut builder = BatchBuilder::new(compression);
            for (timestamp, key, value, plain) in records {
                builder.append(*timestamp, key.as_deref(), value.as_deref(), &headers(plain));
            }
            let bytes = builder.build_with(&mut compressor, 0, 3);
            prop_assert_eq!(&bytes, &builder.build(0, 3));
            // What can't be read leaves nothing behind, either: neither noise nor a batch that was cut.
            let cut = &Batch::new(bytes.clone()).unwrap().view().payload().to_vec()[..];
            for payload in [&garbage[..], &cut[..cut.len() / 2], &[cut, &garbage].concat()] {
                let damaged = with_payload(payload, compression.id(), 1, 0);
                let fresh = damaged.records().map(Iterator::collect::<Vec<_>>);
                let again = damaged.records_with(&mut decompressor).map(Iterator::collect::<Vec<_>>);
                prop_assert_eq!(again, fresh);
            }
            let batch = Batch::new(bytes).unwrap();
            let read: Vec<_> = batch.records_with(&mut decompressor).unwrap().collect();
            prop_assert_eq!(read, batch.records().unwrap().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_fields_batches_are_split_and_joined(counts in proptest::collection::vec(1..5usize, 0..6), cut in 0..100usize) {
        let pieces: Vec<Bytes> = counts.iter().map(|count| simple(Compression::None, *count)).collect();
        let field = Bytes::from(pieces.concat());
        let batches = split_batches(field.clone()).unwrap();
        prop_assert_eq!(batches.len(), pieces.len());
        let joined: Vec<u8> = batches.iter().flat_map(|batch| batch.parts().concat()).collect();
        prop_assert_eq!(&joined[..], &field[..]);
        if let Some(last) = pieces.last() {
            let shortened = field.slice(..field.len() - 1 - cut % (last.len() - 1));
            let whole = split_batches_allowing_partial(shortened.clone()).unwrap();
            prop_assert_eq!(whole.len(), pieces.len() - 1);
            let error = split_batches(shortened).unwrap_err();
            prop_assert_eq!(error.position, field.len() - last.len());
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = split_batches(Bytes::from(bytes.clone()));
        let _ = split_batches_allowing_partial(Bytes::from(bytes));
    }

    /// A CRC that fits does not make records sound: whatever the payload, reading ends without a panic.
    #[test]
    fn any_payload_is_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..8u8, count: i32, delta: i32) {
        let batch = with_payload(&payload, kind, count, delta);
        if let Ok(records) = batch.records() {
            let read = records.filter(Result::is_ok).count();
            prop_assert!(read <= payload.len() * 64 + 64);
        }
        let _ = validate_deep(&batch.view(), &Rules::default());
    }
}

/// A batch whose header and CRC are right for whatever its payload is.
fn with_payload(payload: &[u8], kind: u8, record_count: i32, last_offset_delta: i32) -> Batch {
    let template = simple(Compression::None, 1);
    let mut header = *BatchView::new(&template).unwrap().header();
    header.batch_length = (HEADER_BYTES - LOG_OVERHEAD_BYTES + payload.len()) as i32;
    header.attributes = i16::from(kind);
    header.record_count = record_count;
    header.last_offset_delta = last_offset_delta;
    let mut batch = Batch {
        header,
        head: Bytes::copy_from_slice(&header.to_bytes()),
        rest: Bytes::copy_from_slice(payload),
    };
    batch.rewrite_header();
    batch.view().check().ok();
    batch
}

#[test]
fn the_place_is_patched_without_a_copy_and_outside_the_crc() {
    let bytes = simple(Compression::Lz4, 3);
    let mut batch = Batch::new(bytes.clone()).unwrap();
    batch.assign(1_000_000_007, 42);
    let view = batch.view();
    view.check().unwrap();
    assert_eq!((view.base_offset(), view.last_offset()), (1_000_000_007, 1_000_000_009));
    assert_eq!(view.header().partition_leader_epoch, 42);
    let [head, rest] = batch.parts();
    assert_eq!(head.len(), 16);
    assert_eq!(rest.as_ptr(), bytes[16..].as_ptr());
    let again = Batch::new(batch.to_contiguous()).unwrap();
    assert_eq!(again.header(), batch.header());
    assert_eq!(again.records().unwrap().next().unwrap().unwrap().offset, 1_000_000_007);
}

#[test]
fn log_append_time_is_every_records_time_under_a_new_crc() {
    for compression in ALL {
        let mut batch = Batch::new(simple(compression, 3)).unwrap();
        batch.set_log_append_time(5_000);
        batch.assign(20, 1);
        batch.view().check().unwrap();
        let again = Batch::new(batch.to_contiguous()).unwrap();
        again.view().check().unwrap();
        assert_eq!(again.view().timestamp_type(), TimestampType::LogAppendTime);
        assert!(again.records().unwrap().all(|record| record.unwrap().timestamp == 5_000));
        assert_eq!(again.view().payload(), batch.view().payload());
        let mut corrected = Batch::new(simple(compression, 3)).unwrap();
        corrected.set_max_timestamp(9_999);
        corrected.view().check().unwrap();
        assert_eq!(corrected.header().max_timestamp, 9_999);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = simple(Compression::None, 2);
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[at / 8] ^= 1 << (at % 8);
        let noticed = match BatchView::new(&flipped) {
            Err(_) => true,
            Ok(view) => view.check().is_err(),
        };
        // Base offset and leader epoch are outside the CRC: where a batch lies is the log's to check.
        let is_place = at / 8 < 8 || (12..16).contains(&(at / 8));
        assert!(noticed || is_place, "bit {at}");
    }
}

#[test]
fn cut_anywhere_is_truncated() {
    let bytes = simple(Compression::None, 2);
    for cut in 0..bytes.len() {
        let error = BatchView::new(&bytes[..cut]).unwrap_err();
        assert!(matches!(error, BadBatch::Truncated { .. }), "{cut}: {error}");
    }
    let mut long = bytes.to_vec();
    long.push(0);
    assert!(Batch::new(Bytes::from(long)).is_err());
}

#[test]
fn old_formats_and_absurd_lengths_are_named() {
    let mut bytes = simple(Compression::None, 1).to_vec();
    bytes[16] = 1;
    assert_eq!(BatchView::new(&bytes).unwrap_err(), BadBatch::Magic(1));
    bytes[16] = 2;
    bytes[8..12].copy_from_slice(&48i32.to_be_bytes());
    assert_eq!(BatchView::new(&bytes).unwrap_err(), BadBatch::Length(48));
    bytes[8..12].copy_from_slice(&(-1i32).to_be_bytes());
    assert_eq!(BatchView::new(&bytes).unwrap_err(), BadBatch::Length(-1));
    bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(matches!(BatchView::new(&bytes).unwrap_err(), BadBatch::Truncated { .. }));
}

#[test]
fn a_bomb_is_refused_at_its_bound() {
    let records: Vec<PlainRecord> = vec![(0, None, Some(vec![0; 3 << 20]), vec![])];
    for compression in &ALL[1..] {
        let bytes = build(*compression, &records, 0);
        let view = BatchView::new(&bytes).unwrap();
        assert_eq!(view.records_bounded(1 << 20).unwrap_err(), RecordError::TooLarge(1 << 20));
        assert_eq!(view.records_bounded(4 << 20).unwrap().count(), 1);
        let rules = Rules { max_uncompressed_bytes: 1 << 20, ..Rules::default() };
        assert_eq!(validate_deep(&view, &rules).unwrap_err().kind, InvalidKind::Corrupt);
    }
}

#[test]
fn snappy_is_read_in_both_framings() {
    let framed = simple(Compression::Snappy, 3);
    let plain = Decompressor::default()
        .decompress(
            Compression::Snappy,
            BatchView::new(&framed).unwrap().payload(),
            MAX_UNCOMPRESSED_BYTES,
        )
        .unwrap();
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let batch = with_payload(&raw, Compression::Snappy.id(), 3, 2);
    assert_eq!(batch.records().unwrap().map(Result::unwrap).count(), 3);
    assert_eq!(validate_deep(&batch.view(), &Rules::default()).unwrap().record_count, 3);
}

#[test]
fn a_record_count_that_lies_is_found() {
    let template = simple(Compression::None, 3);
    let payload = BatchView::new(&template).unwrap().payload();
    for count in [0, 2, 4, i32::MAX, -1] {
        let batch = with_payload(payload, 0, count, count.wrapping_sub(1));
        assert!(validate_deep(&batch.view(), &Rules::default()).is_err(), "{count}");
        if count > 0 {
            assert!(batch.records().unwrap().any(|record| record.is_err()), "{count}");
        }
    }
    let batch = with_payload(payload, 0, 3, 5);
    let error = validate_deep(&batch.view(), &Rules::default()).unwrap_err();
    assert_eq!((error.index, error.kind), (None, InvalidKind::Record));
}

#[test]
fn the_rules_of_a_topic() {
    let rules = Rules { now_ms: 10_000, ..Rules::default() };
    let keyless =
        build(Compression::None, &[(1, Some(vec![1]), None, vec![]), (1, None, None, vec![])], 0);
    let view = BatchView::new(&keyless).unwrap();
    assert_eq!(validate_deep(&view, &rules).unwrap().max_timestamp, 1);
    let error = validate_deep(&view, &Rules { compacted: true, ..rules }).unwrap_err();
    assert_eq!(
        (error.index, error.error_code()),
        (Some(1), crate::error::ErrorCode::InvalidRecord)
    );

    let error =
        validate_deep(&view, &Rules { timestamp_before_max_ms: 9_998, ..rules }).unwrap_err();
    assert_eq!(error.error_code(), crate::error::ErrorCode::InvalidTimestamp);
    let log_append = TimestampType::LogAppendTime;
    let lax = Rules { timestamp_before_max_ms: 0, timestamp_type: log_append, ..rules };
    assert!(validate_deep(&view, &lax).is_ok());
    let early = Rules { now_ms: -10, timestamp_after_max_ms: 10, ..rules };
    assert!(validate_deep(&view, &early).is_err());

    let mut control = BatchBuilder::new(Compression::None).control();
    control.append(1, Some(&[0, 0, 0, 1]), Some(&[0, 0, 0, 0, 0, 0]), &[]);
    let control = control.build(0, 0);
    let view = BatchView::new(&control).unwrap();
    assert!(validate_deep(&view, &rules).is_err());
    assert!(validate_deep(&view, &Rules { allow_control: true, ..rules }).is_ok());

    let producer = Producer { id: 5, epoch: 0, base_sequence: -1 };
    let mut builder = BatchBuilder::new(Compression::None).producer(producer);
    builder.append(1, None, None, &[]);
    let bytes = builder.build(0, 0);
    assert!(validate_deep(&BatchView::new(&bytes).unwrap(), &rules).is_err());
    let unknown = with_payload(&[], 7, 1, 0);
    let error = validate_deep(&unknown.view(), &rules).unwrap_err();
    assert_eq!(error.kind, InvalidKind::Compression);
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(header::increment_sequence(i32::MAX, 1), 0);
    assert_eq!(header::increment_sequence(i32::MAX - 1, 3), 1);
    let producer = Producer { id: 9, epoch: 1, base_sequence: i32::MAX };
    let mut builder = BatchBuilder::new(Compression::None).producer(producer);
    builder.append(1, None, None, &[]);
    builder.append(1, None, None, &[]);
    let bytes = builder.build(0, 0);
    assert_eq!(BatchView::new(&bytes).unwrap().header().last_sequence(), Some(0));
}
