//! Two nodes' files: the same, and in every way not.

use super::*;
use model::history::TopicRef;
use std::slice::from_ref;
use wire::batch::{BatchBuilder, Compression, Producer};

fn batch(base_offset: i64, leader_epoch: i32, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(1_000, None, Some(value), &[]);
    builder.append(1_000, None, Some(value), &[]);
    builder.build(base_offset, leader_epoch).to_vec()
}

/// Three batches of two records.
fn three() -> Vec<Vec<u8>> {
    vec![batch(0, 1, b"a"), batch(2, 1, b"b"), batch(4, 2, b"c")]
}

/// Compares n1, which has `one`, with n2, which has `two`, in segments of these batches.
fn compared(one: &[Vec<Vec<u8>>], two: &[Vec<Vec<u8>>], end: i64) -> LogReplicas {
    let place = tempfile::tempdir().expect("a directory");
    for (node, segments) in [("n1", one), ("n2", two)] {
        let directory = place.path().join(node).join("orders-0");
        fs::create_dir_all(&directory).expect("a directory");
        for (at, batches) in segments.iter().enumerate() {
            fs::write(directory.join(format!("{at:020}.log")), batches.concat()).expect("a file");
            fs::write(directory.join(format!("{at:020}.index")), b"junk").expect("a file");
        }
    }
    let ended = Ended {
        log: LogRef { topic: TopicRef(0), partition: 0 },
        topic: "orders".into(),
        end,
        nodes: Ok(vec!["n1".into(), "n2".into()]),
    };
    compare(&[ended], |node| place.path().join(node)).logs.remove(0)
}

fn span(log: &LogReplicas) -> Option<(i64, i64, u64)> {
    assert_eq!(log.not_compared, None);
    log.differences.first().map(|one| (one.first_offset, one.last_offset, one.offsets))
}

#[test]
fn the_same_batches_in_other_segments_are_the_same_log() {
    let [a, b, c] = <[_; 3]>::try_from(three()).expect("three");
    let one = [vec![a.clone(), b.clone()], vec![c.clone()]];
    let two = [vec![a], vec![b, c]];
    let log = compared(&one, &two, 6);
    assert_eq!((span(&log), log.from, log.to), (None, 0, 6));
    let check = check(&ReplicaReport { logs: vec![log] });
    assert_eq!((check.verdict, check.count), (CheckVerdict::Valid, 0));
}

#[test]
fn what_retention_took_from_one_and_what_is_above_the_end_is_not_compared() {
    let two = three().split_off(1);
    assert_eq!(span(&compared(&[three()], &[two], 6)), None);
    let longer = [three(), vec![batch(6, 2, b"d")]].concat();
    assert_eq!(span(&compared(&[longer], &[three()], 6)), None);
    // What a file was given in advance, and a batch that was being written.
    let reserved = [three(), vec![vec![0; 500]]].concat();
    let torn = [three(), vec![batch(6, 2, b"d")[..70].to_vec()]].concat();
    assert_eq!(span(&compared(&[reserved], &[torn], 6)), None);
}

#[test]
fn every_difference_is_found() {
    let with = |at: usize, batch: Vec<u8>| {
        let mut batches = three();
        batches[at] = batch;
        batches
    };
    let other_value = with(1, batch(2, 1, b"x"));
    let other_epoch = with(1, batch(2, 2, b"b"));
    let mut flipped = batch(2, 1, b"b");
    *flipped.last_mut().expect("bytes") ^= 1;
    for two in [other_value, other_epoch, with(1, flipped)] {
        assert_eq!(span(&compared(&[three()], from_ref(&two), 6)), Some((2, 3, 2)));
        assert_eq!(span(&compared(from_ref(&two), &[three()], 6)), Some((2, 3, 2)));
    }
    let short = three()[..1].to_vec();
    assert_eq!(span(&compared(&[three()], &[short], 6)), Some((2, 5, 4)));
    let hole = vec![three()[0].clone(), three()[2].clone()];
    let log = compared(&[three()], &[hole], 6);
    assert_eq!(span(&log), Some((2, 3, 2)));
    let check = check(&ReplicaReport { logs: vec![log] });
    assert_eq!((check.verdict, check.count), (CheckVerdict::Invalid, 2));
    assert!(check.findings[0].because.contains("n1 has a batch of offsets 2 to 3"), "{check:#?}");
}

#[test]
fn a_copy_that_cannot_be_read_is_unknown() {
    let ended = |nodes| Ended {
        log: LogRef { topic: TopicRef(0), partition: 0 },
        topic: "orders".into(),
        end: 6,
        nodes,
    };
    for nodes in [Err("nobody answered".to_string()), Ok(vec!["n1".into(), "n2".into()])] {
        let report = compare(&[ended(nodes)], |_| PathBuf::from("/nowhere"));
        let check = check(&report);
        assert_eq!(check.verdict, CheckVerdict::Unknown);
        assert!(check.because.expect("why").contains("orders-0 were not compared"));
    }
}

#[test]
fn each_epoch_of_each_producer_is_told_by_where_it_begins() {
    let by = |base_offset: i64, producer_id: i64, producer_epoch: i16| {
        let mut builder = BatchBuilder::new(Compression::None).producer(Producer {
            id: producer_id,
            epoch: producer_epoch,
            base_sequence: 0,
        });
        builder.append(1_000, None, Some(b"a"), &[]);
        builder.build(base_offset, 1).to_vec()
    };
    let batches =
        vec![by(0, 7, 0), by(1, 8, 0), by(2, 7, 0), batch(3, 1, b"b"), by(5, 7, 1), by(6, 8, 1)];
    let log = compared(from_ref(&batches), from_ref(&batches), 6);
    let told = log
        .producer_epochs
        .iter()
        .map(|one| (one.producer_id, one.producer_epoch, one.first_offset));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [(7, 0, 0), (8, 0, 1), (7, 1, 5)],
        "below the end, once each"
    );
}
