//! Each seeded defect breaks its rule, and without it the rule holds.

use super::*;
use crate::{Defect, Defects};

/// What `told` says of a member of three without the defect, and of one with it.
fn compare<T>(defect: Defect, told: impl Fn(Defects) -> T) -> (T, T) {
    (told(Defects::default()), told(Defects::default().with(defect)))
}

fn member(disk: MemoryDisk, defects: Defects) -> Solo {
    Solo::start(disk, 3, |config| config.defects = defects)
}

fn leader(disk: MemoryDisk, defects: Defects) -> Solo {
    let mut solo = member(disk, defects);
    solo.pass(2_100);
    solo.elect();
    solo
}

#[test]
fn unsynced_vote_speaks_before_its_vote_is_on_disk() {
    let answered = compare(Defect::UnsyncedVote, |defects| {
        let mut solo = member(MemoryDisk::new(), defects);
        solo.disk.fail("Replace", log::io::IoErrorKind::NoSpace, 0);
        let partition = vote_request::PartitionData::default()
            .with_replica_epoch(5)
            .with_replica_id(BrokerId(2));
        let topic = vote_request::TopicData::default()
            .with_topic_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let body = VoteRequest::default().with_voter_id(BrokerId(1)).with_topics(vec![topic]);
        solo.ask(Request::Vote { version: 2, body }).is_some()
    });
    assert_eq!(answered, (false, true));
}

#[test]
fn forgotten_vote_is_given_twice_in_an_epoch() {
    let granted = compare(Defect::ForgottenVote, |defects| {
        let mut solo = member(MemoryDisk::new(), defects);
        assert!(solo.vote(2, 5, (0, 0), false).1);
        solo.disk.power_cut();
        member(solo.disk, defects).vote(3, 5, (0, 0), false).1
    });
    assert_eq!(granted, (false, true));
}

#[test]
fn vote_for_shorter_log_is_given_by_who_has_more() {
    let granted = compare(Defect::VoteForShorterLog, |defects| {
        leader(MemoryDisk::new(), defects).vote(2, 9, (0, 0), false).1
    });
    assert_eq!(granted, (false, true));
}

#[test]
fn commit_earlier_epoch_needs_no_record_of_its_own() {
    let committed = compare(Defect::CommitEarlierEpoch, |defects| {
        let mut disk = leader(MemoryDisk::new(), Defects::default()).disk;
        disk.power_cut();
        let mut solo = leader(disk, defects);
        assert_eq!(solo.quorum.epoch(), 2);
        // The voter has all of epoch 1, and not the record that begins epoch 2.
        solo.fetch(2, 3, 1, -1);
        solo.quorum.high_watermark()
    });
    assert_eq!(committed, (None, Some(3)));
}

#[test]
fn minority_commit_needs_nobody_else() {
    let committed = compare(Defect::MinorityCommit, |defects| {
        leader(MemoryDisk::new(), defects).quorum.high_watermark()
    });
    assert_eq!(committed, (None, Some(3)));
}

#[test]
fn keep_diverged_tail_counts_a_log_of_another_epoch() {
    let committed = compare(Defect::KeepDivergedTail, |defects| {
        let mut solo = leader(MemoryDisk::new(), defects);
        solo.fetch(2, 3, 0, -1);
        solo.quorum.high_watermark()
    });
    assert_eq!(committed, (None, Some(3)));
}
