//! What is owed, by whom, and what is excused.

use super::*;
use crate::invariant::stage::entry;

fn copy(ends: &[i64]) -> Copy {
    let mut from = 0;
    let entries = ends.iter().map(|end| entry(std::mem::replace(&mut from, *end), *end, 1));
    Copy { entries: entries.collect(), ..Copy::default() }
}

fn by(node: u16, high_watermark: i64, holders: Members) -> Advance {
    let (counts, log_start_offset, leader_epoch) = (true, 0, 1);
    let (now_ns, leads) = (NOW, false);
    Advance { now_ns, node, leads, counts, log_start_offset, high_watermark, leader_epoch, holders }
}

const NOW: u64 = 1;
const ALL: Members = Members(0b1110);

#[test]
fn another_batch_below_the_high_watermark_is_a_difference() {
    let mut log = CommittedLog::default();
    assert_eq!(log.advance(&copy(&[5, 8]), &by(1, 8, ALL)).fresh, 0..2);
    assert!(log.advance(&copy(&[5, 8, 9]), &by(2, 8, ALL)).difference.is_none());
    let difference = log.advance(&copy(&[5, 9]), &by(3, 9, ALL)).difference;
    assert_eq!(difference.map(|d| (d.offset, d.excused)), Some((5, false)));
}

#[test]
fn what_no_undestroyed_copy_has_is_excused_and_what_was_cut_is_missing() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5, 8]), &by(1, 8, ALL));
    assert_eq!(log.destroyed(NOW, 1, 5, ALL), None);
    assert_eq!(log.destroyed(NOW, 2, 5, ALL), None);
    assert_eq!(log.due_end_offset(2), 8, "node 3 must still have it");
    let missing = log.cut(3, 6).expect("it was the last copy");
    assert_eq!((missing.end_offset, missing.owed), (8, Members(0b1000)));
    assert_eq!(log.destroyed(NOW, 3, 0, ALL), None, "node 1 and 2 still have the first batch");
    assert_eq!(log.due_end_offset(2), 5);
    // Others may come now.
    assert!(log.advance(&copy(&[5, 6, 7]), &by(2, 7, ALL)).difference.is_none());
    assert_eq!(log.entries().len(), 3);
}

#[test]
fn who_was_away_while_records_were_lost_may_come_back_with_them() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5, 8]), &by(1, 8, ALL));
    log.excuse_all(NOW);
    assert!(log.excuse().is_some());
    let other = Copy { entries: vec![entry(0, 5, 1), entry(5, 6, 3)], ..Copy::default() };
    let anew = Advance { leader_epoch: 3, ..by(2, 6, Members(0b100)) };
    assert_eq!(log.advance(&other, &anew).fresh, 1..2);
    assert!(log.advance(&copy(&[5, 8]), &by(3, 8, Members(0))).difference.is_none());
    assert_eq!(log.end_offset(), 6, "what was lost is not committed again");
    let third = Copy { entries: vec![entry(0, 5, 1), entry(5, 7, 3)], ..Copy::default() };
    let difference = log.advance(&third, &Advance { node: 3, ..anew }).difference;
    assert_eq!(difference.map(|d| d.offset), Some(5), "nobody ever committed this");
}

#[test]
fn who_comes_back_with_the_lost_does_not_undo_what_came_in_its_place() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5, 8]), &by(1, 8, ALL));
    log.excuse_all(NOW);
    let other = Copy { entries: vec![entry(0, 6, 3)], ..Copy::default() };
    // Nobody's copy counts of that: the disk rots.
    let anew = Advance { leader_epoch: 3, counts: false, ..by(2, 6, Members(0)) };
    assert_eq!(log.advance(&other, &anew).fresh, 0..1);
    let back = Advance { leader_epoch: 3, ..by(3, 8, Members(0b1000)) };
    let advanced = log.advance(&copy(&[5, 8]), &back);
    assert!(advanced.fresh.is_empty() && advanced.difference.is_none());
    assert_eq!(log.end_offset(), 6);
    // Unless they elect it.
    let elected = Advance { leads: true, leader_epoch: 4, ..back };
    assert_eq!(log.advance(&copy(&[5, 8]), &elected).fresh, 0..2);
}

#[test]
fn a_copy_that_was_fetched_again_counts_again() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5]), &by(1, 5, ALL));
    log.destroyed(NOW, 2, 0, ALL);
    log.advance(&copy(&[5]), &by(2, 5, ALL));
    log.destroyed(NOW, 1, 0, ALL);
    log.destroyed(NOW, 3, 0, ALL);
    assert_eq!(log.due_end_offset(2), 5);
}

#[test]
fn who_is_left_to_be_elected_may_be_the_one_whose_disk_was_wiped() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5, 8]), &by(1, 8, Members(0b110)));
    log.eligible(NOW, Members(0b100));
    assert_eq!(log.due_end_offset(2), 8, "no fault touched node 2");
    log.destroyed(NOW, 2, 5, Members(0b110));
    log.eligible(NOW, Members(0));
    log.eligible(NOW, Members(0b1100));
    assert_eq!(log.due_end_offset(2), 8, "node 3 never had it, and nothing happened to it");
    let mut again = CommittedLog::default();
    again.advance(&copy(&[5, 8]), &by(1, 8, Members(0b110)));
    again.destroyed(NOW, 2, 5, Members(0b110));
    again.advance(&copy(&[5, 8]), &by(2, 8, Members(0b110)));
    again.eligible(NOW, Members(0b100));
    assert_eq!(again.due_end_offset(2), 8, "node 2 fetched it again");
    log.eligible(NOW, Members(0b100));
    assert_eq!(log.due_end_offset(2), 5, "the controller need not know what node 2 lost");
    assert_eq!(log.excuse(), Some(Excuse { from_offset: 5, until_ns: NOW }));
    assert_eq!(again.excuse(), None);
}

#[test]
fn a_majority_of_voters_that_may_lack_it_excuses() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5]), &by(1, 5, Members(0b0110)));
    assert!(log.destroyed_at_voter(1, 0, 3), "nodes 1 and 3 may elect each other");
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5]), &by(1, 5, ALL));
    assert!(!log.destroyed_at_voter(1, 0, 3));
    // Node 2 alone has what node 1, which is back with nothing, had told it of.
    assert!(!log.majority_may_lack_last(3));
    log.advance(&copy(&[5, 8]), &by(2, 8, Members(0b0110)));
    assert!(log.majority_may_lack_last(3));
}

#[test]
fn an_excuse_is_remembered_when_what_it_was_for_is_gone() {
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5, 8, 9]), &by(1, 9, ALL));
    log.trim(5);
    log.excuse_all(3);
    let first = Excuse { from_offset: 0, until_ns: 3 };
    assert_eq!(log.excuse(), Some(first), "nothing is left that tells what retention took");
    log.trim(9);
    let others = Copy { entries: vec![entry(9, 11, 2)], ..Copy::default() };
    log.advance(&others, &Advance { log_start_offset: 9, leader_epoch: 2, ..by(2, 11, ALL) });
    assert_eq!(log.excuse(), Some(first));
    log.excuse_all(4);
    assert_eq!(log.excuse(), Some(Excuse { until_ns: 4, ..first }));
}

#[test]
fn what_a_node_lost_before_it_was_committed_it_does_not_owe() {
    let both = Members(0b0110);
    let mut log = CommittedLog::default();
    log.advance(&copy(&[5]), &by(1, 5, both));
    // Node 2 had fetched more, and told so; then it lost its power.
    assert_eq!(log.destroyed(NOW, 2, 5, both), None);
    log.advance(&copy(&[5, 8]), &by(1, 8, both));
    assert_eq!(
        log.ranges().last().map(|range| (range.owed, range.damaged)),
        Some((Members(2), Members(4)))
    );
    // When it has fetched again, it does.
    log.restarted(2);
    log.advance(&copy(&[5, 8]), &by(2, 8, both));
    assert_eq!(
        log.ranges().last().map(|range| (range.owed, range.damaged)),
        Some((both, Members(0)))
    );
    log.advance(&copy(&[5, 8, 9]), &by(1, 9, both));
    assert_eq!(log.ranges().last().map(|range| range.owed), Some(both));
}
