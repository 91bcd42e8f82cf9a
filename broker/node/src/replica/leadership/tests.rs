use super::*;
use crate::image::LeaderRecoveryState;

fn image(replicas: &[i32], isr: &[i32], leader_epoch: i32, partition_epoch: i32) -> PartitionImage {
    PartitionImage {
        replicas: replicas.to_vec(),
        directories: vec![],
        isr: isr.to_vec(),
        elr: vec![],
        last_known_elr: vec![],
        leader: 1,
        leader_epoch,
        partition_epoch,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        removing: vec![],
        adding: vec![],
    }
}

const LAG_MS: u64 = 1000;

fn anybody(_: i32, _: i64) -> bool {
    true
}

fn nobody(_: i32, _: i64) -> bool {
    false
}

#[test]
fn high_watermark_waits_for_every_member_of_the_isr() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3], &[1, 2, 3], 5, 9), 10, 0);
    assert_eq!(leader.committed_below(12, 2, 0, LAG_MS, &anybody), None, "nobody has fetched yet");
    leader.record_fetch(2, 12, -1, 12, 0);
    assert_eq!(leader.committed_below(12, 2, 0, LAG_MS, &anybody), None);
    leader.record_fetch(3, 11, -1, 12, 0);
    assert_eq!(leader.committed_below(12, 2, 0, LAG_MS, &anybody), Some(11));
}

#[test]
fn proposed_member_counts_before_the_controller_commits_it() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3], &[1, 2], 5, 9), 0, 0);
    leader.record_fetch(2, 20, -1, 20, 0);
    leader.record_fetch(3, 15, -1, 20, 5000);
    assert!(leader.propose_expansion(15, 5000, LAG_MS, &anybody));
    // 3 lags behind by now, and its proposal alone makes it count.
    let late = 60_000;
    assert_eq!(leader.committed_below(20, 2, late, LAG_MS, &nobody), Some(15));
    leader.proposal_sent(7);
    leader.proposal_refused(7);
    assert_eq!(leader.committed_below(20, 2, late, LAG_MS, &nobody), Some(20));
}

#[test]
fn shrink_keeps_the_old_members_until_it_is_committed() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3], &[1, 2, 3], 5, 9), 0, 0);
    leader.record_fetch(2, 20, -1, 20, 100);
    leader.record_fetch(3, 15, -1, 20, 100);
    assert!(!leader.propose_shrink(20, 900, LAG_MS), "still within the lag");
    leader.record_fetch(2, 20, -1, 20, 1900);
    assert!(leader.propose_shrink(20, 2000, LAG_MS));
    assert_eq!(leader.proposal().unwrap().isr.as_slice(), &[1, 2]);
    assert_eq!(leader.committed_below(20, 2, 2000, LAG_MS, &nobody), Some(15));
    assert!(leader.proposal_committed(&[1, 2], 10));
    assert_eq!(leader.committed_below(20, 2, 2000, LAG_MS, &nobody), Some(20));
}

#[test]
fn nothing_is_committed_below_min_isr() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3], &[1], 5, 9), 0, 0);
    assert_eq!(leader.committed_below(20, 2, 0, LAG_MS, &nobody), None);
    assert_eq!(leader.committed_below(20, 1, 0, LAG_MS, &nobody), Some(20));
    leader.record_fetch(2, 20, -1, 20, 0);
    assert!(leader.propose_expansion(0, 0, LAG_MS, &anybody));
    assert_eq!(leader.committed_below(20, 2, 0, LAG_MS, &nobody), None, "only proposed");
}

#[test]
fn min_isr_is_capped_by_the_number_of_replicas() {
    let leader = Leadership::new(1, &image(&[1], &[1], 0, 0), 0, 0);
    assert!(!leader.is_under_min_isr(2));
    assert_eq!(leader.committed_below(3, 2, 0, LAG_MS, &nobody), Some(3));
}

#[test]
fn expansion_needs_the_epoch_start_and_the_high_watermark() {
    let mut leader = Leadership::new(1, &image(&[1, 2], &[1], 5, 9), 10, 0);
    leader.record_fetch(2, 9, -1, 12, 0);
    assert!(!leader.propose_expansion(5, 0, LAG_MS, &anybody), "below the start of the epoch");
    leader.record_fetch(2, 10, -1, 12, 0);
    assert!(!leader.propose_expansion(11, 0, LAG_MS, &anybody), "below the high watermark");
    assert!(!leader.propose_expansion(10, 0, LAG_MS, &nobody), "fenced");
    assert!(leader.propose_expansion(10, 0, LAG_MS, &anybody));
    assert!(!leader.propose_expansion(10, 0, LAG_MS, &anybody), "one at a time");
}

#[test]
fn follower_about_to_join_holds_the_high_watermark_back() {
    let mut leader = Leadership::new(1, &image(&[1, 2], &[1], 5, 9), 10, 0);
    leader.record_fetch(2, 10, -1, 10, 500);
    assert_eq!(leader.committed_below(12, 1, 600, LAG_MS, &anybody), Some(10));
    assert_eq!(leader.committed_below(12, 1, 600, LAG_MS, &nobody), Some(12));
    assert_eq!(leader.committed_below(12, 1, 1501, LAG_MS, &anybody), Some(12), "gone too long");
}

#[test]
fn metadata_closes_a_proposal_and_late_answers_are_ignored() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3], &[1], 5, 9), 0, 0);
    leader.record_fetch(2, 0, 77, 0, 0);
    assert!(leader.propose_expansion(0, 0, LAG_MS, &anybody));
    leader.proposal_sent(1);
    leader.proposal_outdated(1);
    assert!(leader.in_maximal_isr(2), "it may have been carried out");
    leader.update(&image(&[1, 2, 3], &[1, 2], 5, 10), 0);
    assert!(leader.proposal().is_none());
    assert_eq!(leader.committed_isr(), &[1, 2]);
    assert!(!leader.proposal_committed(&[1], 9));
    assert_eq!(leader.committed_isr(), &[1, 2]);
    leader.update(&image(&[1, 2, 3], &[1], 5, 9), 0);
    assert_eq!(leader.committed_isr(), &[1, 2], "older metadata is ignored");
}

#[test]
fn proposal_carries_broker_epochs() {
    let mut leader = Leadership::new(1, &image(&[1, 2], &[1], 5, 9), 0, 0);
    leader.record_fetch(2, 0, 77, 0, 0);
    assert!(leader.propose_expansion(0, 0, LAG_MS, &|_, epoch| epoch == 77));
    assert_eq!(leader.proposed_with_epochs(50), vec![(1, 50), (2, 77)]);
}

#[test]
fn reaching_the_end_of_the_previous_fetch_counts_as_caught_up_then() {
    let mut leader = Leadership::new(1, &image(&[1, 2], &[1, 2], 5, 9), 0, 0);
    // Under constant load a follower never fetches from the leader's very end, yet it lags by one round trip only.
    leader.record_fetch(2, 0, -1, 10, 1000);
    leader.record_fetch(2, 10, -1, 20, 2000);
    leader.record_fetch(2, 20, -1, 30, 3000);
    assert!(!leader.propose_shrink(30, 3000, LAG_MS));
    assert!(leader.propose_shrink(30, 3001, LAG_MS));
}

#[test]
fn all_that_may_join_are_proposed_together_but_not_those_that_are_gone() {
    let mut leader = Leadership::new(1, &image(&[1, 2, 3, 4], &[1], 5, 9), 0, 0);
    leader.record_fetch(2, 10, -1, 10, 100);
    leader.record_fetch(3, 10, -1, 10, 3000);
    leader.record_fetch(4, 10, -1, 10, 3100);
    assert!(leader.propose_expansion(10, 3200, LAG_MS, &anybody));
    assert_eq!(leader.proposal().unwrap().isr.as_slice(), &[1, 3, 4]);
}

#[test]
fn defect_high_watermark_ignores_joining() {
    let committed = |defects: &[Defect]| {
        let mut set = Defects::default();
        defects.iter().for_each(|defect| set.insert(*defect));
        let leader = Leadership::new(1, &image(&[1, 2, 3], &[1, 2], 5, 9), 0, 0);
        let mut leader = leader.with_defects(set);
        leader.record_fetch(2, 20, -1, 20, 0);
        leader.record_fetch(3, 15, -1, 15, 0);
        assert!(leader.propose_expansion(15, 0, LAG_MS, &anybody));
        leader.committed_below(20, 2, 0, LAG_MS, &anybody)
    };
    assert_eq!(committed(&[]), Some(15), "the controller may elect it already");
    assert_eq!(committed(&[Defect::HighWatermarkIgnoresJoining]), Some(20));
}
