//! Literal runs, and the word that each deserves.

mod changes;
mod replicas;
mod run;

use super::*;
use model::fault::{Destroys, FaultState, Leg};
use model::finding::Kind;
use model::settings::Acks;
use run::Run;

fn part<'a>(judgement: &'a Judgement, name: &str) -> &'a Promise {
    judgement.promises.iter().find(|promise| promise.name == name).expect("every part is judged")
}

/// The run's word and durability's must be this, and its reason must say so.
#[track_caller]
fn is(run: Run, word: Word, because: &str) {
    let judgement = run.judge();
    let durability = part(&judgement, "durability");
    assert_eq!((judgement.word, durability.verdict), (word, word), "{judgement:#?}");
    assert!(durability.because.contains(because), "{}", durability.because);
}

/// The run's word must be this for the sake of one part.
#[track_caller]
fn part_is(run: Run, name: &str, word: Word, because: &str) {
    let judgement = run.judge();
    let promise = part(&judgement, name);
    assert_eq!(promise.verdict, word, "{judgement:#?}");
    assert!(promise.because.contains(because), "{}", promise.because);
    let outweighs = |word: Word| matches!(word, Word::Broken | Word::Unknown);
    assert!(!outweighs(word) || judgement.word == word, "{judgement:#?}");
    assert!(outweighs(word) || !outweighs(judgement.word), "{judgement:#?}");
}

fn all(min_insync_replicas: u16) -> Run {
    Run::new(Acks::All, min_insync_replicas)
}

fn leader() -> Run {
    Run::new(Acks::Leader, 1)
}

#[test]
fn a_clean_run_has_held() {
    let judgement = all(2).judge();
    for promise in &judgement.promises {
        assert_eq!(promise.verdict, Word::Held, "{promise:?}");
    }
    assert_eq!(judgement.word, Word::Held);
    assert_eq!(judgement.because, "All 1,000 acknowledged records were read back.");
    assert_eq!(
        judgement.promise,
        "acks=all with replication factor 3 and min.insync.replicas 2: an acknowledged write survives any number of \
         kills, stalls and cuts and the destruction of any one copy that had acknowledged it, under clean elections"
    );
}

#[test]
fn kills_and_stalls_take_nothing_with_acks_all() {
    for minimum in [1, 2, 3, 5] {
        let moved = all(minimum).seen(20_100, 2, 2, &[2, 3]).seen(26_000, 2, 2, &[1, 2, 3]);
        is(moved.lost(10_000, 15_000), Word::Broken, "kills and stalls take nothing");
    }
}

#[test]
fn destroyed_copies_within_the_promise_of_acks_all() {
    // One of two copies at least that had acknowledged it.
    let shrunk = || all(2).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000);
    is(shrunk().lost(10_000, 15_000), Word::Broken, "12 records were lost that had to survive");
    is(shrunk(), Word::Held, "All 1,000");
    // One wiped while others were in sync, though an acknowledgement promises one copy only.
    let others = all(1).wiped("n1", 30_000).seen(30_100, 2, 2, &[2, 3]);
    is(others.lost(10_000, 15_000), Word::Broken, "a clean election could have kept them");
}

#[test]
fn destroyed_copies_beyond_the_promise_of_acks_all() {
    // The last in-sync replica's disk, with min.insync.replicas 1.
    let shrunk = || all(1).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000).seen(36_000, 1, 3, &[1]);
    let because = "the copies on broker 1 were destroyed (at 30.050 s), while an acknowledgement promises only one";
    is(shrunk().lost(20_000, 25_000), Word::NotPromised, because);
    is(shrunk().lost(10_000, 15_000), Word::NotPromised, because);
    is(shrunk(), Word::NotPromised, "but the promise did not cover all that was done");
    // Acknowledged after the wipe: nothing was destroyed since.
    is(shrunk().lost(50_000, 51_000), Word::Broken, "");
    // Both copies that an acknowledgement promises, one after the other without a chance to copy anew.
    let both = || all(2).seen(10_000, 1, 1, &[1, 2]).wiped("n1", 30_000).wiped("n2", 30_500);
    is(both().lost(20_000, 25_000), Word::NotPromised, "the copies on broker 1 and 2");
    // The first one had copied everything anew.
    let restored = all(2)
        .seen(10_000, 1, 1, &[1, 2])
        .wiped("n1", 30_000)
        .seen(30_100, 2, 2, &[2])
        .seen(35_000, 2, 2, &[1, 2])
        .wiped("n2", 40_000)
        .seen(40_100, 1, 3, &[1]);
    is(restored.lost(20_000, 25_000), Word::Broken, "");
    // Every replica at once.
    let every = all(3).fault("wipe", &["n1", "n2", "n3"], 30_000, Destroys::Disk);
    is(every.lost(20_000, 25_000), Word::NotPromised, "no other replica was in sync");
}

#[test]
fn an_eligible_replica_is_as_good_as_one_in_sync() {
    let run = all(1).seen_with(19_000, 1, 1, &[1], &[2]).wiped("n1", 30_000);
    is(run.lost(20_000, 25_000), Word::Broken, "");
}

#[test]
fn a_minimum_above_the_replication_factor_counts_as_the_factor() {
    let judgement = all(5).judge();
    assert!(judgement.promise.contains("above the replication factor counts as the factor"));
    let two = all(5).fault("wipe", &["n1", "n2"], 30_000, Destroys::Disk);
    is(two.lost(20_000, 25_000), Word::Broken, "");
    let single = all(2)
        .topic(|topic| topic.replication_factor = 1)
        .seen(500, 1, 1, &[1])
        .wiped("n1", 30_000);
    is(single.lost(20_000, 25_000), Word::NotPromised, "promises only one");
}

#[test]
fn what_was_not_synced_is_a_copy_destroyed() {
    let cut = |flush: i64| {
        let cut = all(1).topic(|topic| topic.flush_messages = flush).seen(19_000, 1, 1, &[1]);
        cut.fault("power-loss", &["n1"], 30_000, Destroys::Unsynced).lost(20_000, 25_000)
    };
    is(cut(i64::MAX), Word::NotPromised, "were destroyed");
    is(cut(1), Word::Broken, "no copy was destroyed");
}

#[test]
fn an_old_copy_put_back_takes_what_came_after_it_was_taken_and_nothing_else() {
    // Taken at 30 s, put back from 35 s to 36 s, on the only replica in sync.
    let put_back = || {
        let shrunk = all(1).seen(19_000, 1, 1, &[1]);
        shrunk.fault("old-snapshot", &["n1"], 30_000, Destroys::Newer)
    };
    let because = "the copies on broker 1 were destroyed (at 36.000 s), while an acknowledgement promises only one";
    is(put_back().lost(31_000, 34_000), Word::NotPromised, because);
    is(put_back().lost(30_000, 35_500), Word::NotPromised, because);
    // What had been acknowledged before it was taken is in it.
    is(put_back().lost(20_000, 25_000), Word::Broken, "12 records were lost that had to survive");
    is(put_back().lost(20_000, 33_000), Word::Broken, "had to survive");
    // What was acknowledged after it was put back never met it.
    is(put_back().lost(40_000, 41_000), Word::Broken, "had to survive");
    is(put_back(), Word::Held, "All 1,000");
    // While others were in sync a clean election could have kept them.
    let others = all(1).fault("old-snapshot", &["n1"], 30_000, Destroys::Newer);
    is(others.seen(36_100, 2, 2, &[2, 3]).lost(31_000, 34_000), Word::Broken, "could have kept");
    // As long as nobody put it back nothing is gone.
    let still = put_back().last_fault(|fault| (fault.healed_ms, fault.cleared_ms) = (None, None));
    is(still.lost(20_000, 25_000), Word::Broken, "had to survive");
}

#[test]
fn tampered_files_are_a_copy_destroyed_and_a_failed_sync_takes_what_was_not_synced() {
    for name in ["bit-flip", "truncate-tail"] {
        let of = || all(1).fault(name, &["n1"], 30_000, Destroys::Disk).seen(30_100, 2, 2, &[2, 3]);
        is(of().lost(20_000, 25_000), Word::Broken, "a clean election could have kept them");
        let alone = all(1).seen(19_000, 1, 1, &[1]).fault(name, &["n1"], 30_000, Destroys::Disk);
        is(alone.lost(20_000, 25_000), Word::NotPromised, "were destroyed");
    }
    for name in ["fsync-error", "torn-write"] {
        let failed = |flush: i64| {
            let failed = all(1).topic(|topic| topic.flush_messages = flush);
            let failed = failed.seen(19_000, 1, 1, &[1]);
            failed.fault(name, &["n1"], 30_000, Destroys::Unsynced).lost(20_000, 25_000)
        };
        is(failed(i64::MAX), Word::NotPromised, "were destroyed");
        // An acknowledgement waits for the sync, and a sync that failed is none.
        is(failed(1), Word::Broken, "no copy was destroyed");
    }
    for name in ["io-error", "slow", "full"] {
        let run = all(1).seen(19_000, 1, 1, &[1]).fault(name, &["n1"], 30_000, Destroys::Nothing);
        is(run.lost(20_000, 25_000), Word::Broken, "no copy was destroyed");
    }
}

#[test]
fn a_wipe_that_nobody_saw_leaves_the_loss_unknown() {
    let run = all(1).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000).last_fault(|fault| {
        fault.confirmed_ms = None;
        fault.state = FaultState::NotConfirmed;
    });
    is(run.lost(20_000, 25_000), Word::Unknown, "a fault was not seen to take effect; if it did");
    let mut nobody_looked = all(1).wiped("n1", 30_000).lost(20_000, 25_000);
    nobody_looked.cluster.clear();
    is(nobody_looked, Word::Unknown, "nobody saw which replicas were in sync");
}

#[test]
fn an_unclean_election_lifts_the_promise_when_it_happened() {
    let allowed = || all(2).topic(|topic| topic.unclean_leader_election = true);
    let unclean =
        || allowed().seen(19_000, 1, 1, &[1]).seen(21_000, -1, 2, &[1]).seen(22_000, 3, 3, &[3]);
    is(
        unclean().lost(10_000, 20_000),
        Word::NotPromised,
        "an unclean election made broker 3 leader at 22.000 s",
    );
    is(unclean(), Word::NotPromised, "unclean election");
    // Acknowledged by the old leader, which had not learned of it yet.
    is(unclean().lost(24_000, 25_000), Word::NotPromised, "unclean election");
    // Acknowledged once every replica was in sync again.
    let whole_again = || unclean().seen(30_000, 3, 3, &[1, 2, 3]);
    is(whole_again().lost(40_000, 41_000), Word::Broken, "");
    // Allowed, and clean all the same.
    let clean = allowed().seen(21_000, 2, 2, &[2, 3]);
    is(clean.lost(10_000, 20_000), Word::Broken, "");
    // It looks unclean, and was not allowed: then the cluster broke its word.
    let forbidden = all(2).seen(19_000, 1, 1, &[1]).seen(22_000, 3, 2, &[3]);
    is(forbidden.lost(10_000, 20_000), Word::Broken, "");
    // More elections than were seen.
    let unseen = allowed().seen(22_000, 2, 4, &[2]);
    is(unseen.lost(10_000, 20_000), Word::Unknown, "may have happened unseen");
    let blind = allowed().blind(20_000).seen(22_000, 2, 2, &[2]);
    is(blind.lost(10_000, 20_000), Word::Unknown, "may have happened unseen");
}

#[test]
fn acks_1_promises_as_much_as_its_leader() {
    is(leader(), Word::Held, "All 1,000");
    is(leader().lost(10_000, 15_000), Word::Broken, "leadership never moved");
    let moved = || leader().seen(21_000, 2, 2, &[2, 3]);
    let because = "leadership moved from broker 1 to 2 at 21.000 s";
    is(moved().lost(10_000, 20_500), Word::NotPromised, because);
    is(moved(), Word::NotPromised, because);
    // The new leader's own, long after.
    is(moved().lost(40_000, 41_000), Word::Broken, "leadership never moved");
    // Without a leader for a while, and then the same one again.
    let back = leader().seen(20_500, -1, 2, &[1]).seen(26_000, 1, 3, &[1]);
    is(back.lost(10_000, 15_000), Word::Broken, "");
    let its_disk = leader().seen(20_500, -1, 2, &[1]).wiped("n1", 20_600).seen(28_000, 1, 3, &[1]);
    is(
        its_disk.lost(10_000, 15_000),
        Word::NotPromised,
        "the copy of its leader, broker 1, was destroyed",
    );
    is(leader().wiped("n2", 30_000).lost(10_000, 15_000), Word::Broken, "");
}

#[test]
fn acks_1_of_a_leader_that_does_not_know_it_was_replaced() {
    let stalled =
        leader().fault("stall", &["n1"], 30_000, Destroys::Nothing).seen(31_500, 2, 2, &[2, 3]);
    is(
        stalled.lost(36_100, 36_200),
        Word::NotPromised,
        "broker 1 had been replaced as leader at 31.500 s and was held back",
    );
    // The controller was cut off, and the leader is on the other side.
    let cut = || leader().fault("cut", &["c1"], 30_000, Destroys::Nothing);
    is(cut().seen(31_500, 2, 2, &[2, 3]).lost(36_100, 36_200), Word::Broken, "");
    for cut_from in ["n3 n1", "c1: n1 n3; c2: n3", "c1: n3 n1; c2: n3"] {
        let mut from_leader = cut().seen(31_500, 2, 2, &[2, 3]).lost(36_100, 36_200);
        let of = from_leader.faults.last_mut().expect("the cut");
        of.parameters.insert("cut_from".into(), cut_from.into());
        is(from_leader, Word::NotPromised, "was held back");
    }
    // A fault that follows its role lets go of who has lost it, and has nobody before it comes to them.
    let leg = |node: &str, asked_ms, cleared_ms| Leg {
        nodes: vec![node.to_string()],
        peers: Vec::new(),
        asked_ms,
        cleared_ms,
    };
    let follows = |legs: [Leg; 2]| {
        let held = leader().fault("stall", &["n1", "n2"], 10_000, Destroys::Nothing);
        let held = held.last_fault(|fault| {
            (fault.healed_ms, fault.cleared_ms) = (Some(44_000), Some(45_000));
            fault.legs = legs.into();
        });
        held.seen(11_500, 2, 2, &[2, 3]).lost(40_000, 41_000)
    };
    let let_go = [leg("n1", 10_000, Some(12_000)), leg("n2", 12_000, None)];
    is(follows(let_go), Word::Broken, "leadership never moved");
    let not_let_go = [leg("n2", 10_000, Some(39_000)), leg("n1", 39_000, None)];
    is(follows(not_let_go), Word::NotPromised, "was held back");
}

#[test]
fn acks_1_where_leadership_was_not_seen() {
    is(
        leader().blind(20_000).lost(10_000, 15_000),
        Word::Unknown,
        "while the observer could not see",
    );
    is(
        leader().seen(21_000, 1, 3, &[1, 2, 3]).lost(10_000, 15_000),
        Word::Unknown,
        "away and back",
    );
    let mut never = leader().lost(10_000, 15_000);
    never.cluster.clear();
    is(never, Word::Unknown, "nobody saw whether leadership moved");
}

#[test]
fn acks_0_is_counted_and_never_promised() {
    let mut run = Run::new(Acks::None, 2);
    run.counts.unacknowledged_missing = 37;
    let judgement = run.judge();
    assert_eq!(part(&judgement, "durability").count, 37);
    assert_eq!(judgement.promise, "acks=0 promises nothing");
    is(run, Word::NotPromised, "37 of 1,000 records sent are missing");
    is(Run::new(Acks::None, 2), Word::NotPromised, "0 of 1,000");
}

#[test]
fn read_and_then_lost_follows_durability() {
    let info = |run: Run| run.found(Kind::ReadThenLost, 3, None).with_outcome("info");
    is(info(all(2)), Word::Broken, "3 records were lost that had to survive");
    is(info(leader().seen(21_000, 2, 2, &[2])), Word::NotPromised, "leadership moved");
    let ok = leader().seen(21_000, 2, 2, &[2]).lost(10_000, 11_000);
    let ok = ok.found(Kind::ReadThenLost, 12, Some((10_000, 11_000)));
    is(ok, Word::NotPromised, "12 acknowledged records were lost");
}

#[test]
fn one_breach_outweighs_losses_that_were_not_promised() {
    let run = leader().seen(21_000, 2, 2, &[2, 3]).lost(10_000, 15_000).lost(50_000, 51_000);
    is(run, Word::Broken, "12 records were lost that had to survive");
}

#[test]
fn lost_cannot_be_told_from_late() {
    let unseen = all(2).unknown(Kind::LostWrite).found(Kind::Unseen, 5, Some((1_000, 2_000)));
    is(unseen, Word::Unknown, "5 acknowledged records were never read");
    is(
        all(2).unknown(Kind::LostWrite),
        Word::Unknown,
        "cannot be told: the final reads are not complete",
    );
    let mut unchecked = all(2);
    unchecked.checks.remove(0);
    is(unchecked, Word::Unknown, "Nobody looked for lost-write");
}

#[test]
fn what_is_always_promised() {
    for (kind, name) in [
        (Kind::Corrupted, "integrity"),
        (Kind::Phantom, "integrity"),
        (Kind::Resurrected, "isolation"),
        (Kind::InconsistentOffsets, "agreement"),
        (Kind::PollSkip, "reading"),
        (Kind::NonmonotonicPoll, "reading"),
        (Kind::Reappeared, "reading"),
    ] {
        part_is(all(2).found(kind, 2, None), name, Word::Broken, "It was seen.");
        part_is(Run::new(Acks::None, 1).found(kind, 2, None), name, Word::Broken, "Found 2");
        part_is(all(2).unknown(kind), name, Word::Unknown, "cannot be told");
    }
}

#[test]
fn readers_follow_a_log_whose_promise_was_lifted() {
    let wiped = || all(1).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000);
    for kind in [Kind::PollSkip, Kind::NonmonotonicPoll, Kind::Reappeared] {
        let run = wiped().found(kind, 2, None);
        part_is(run, "reading", Word::NotPromised, "were destroyed");
    }
    let overwritten = wiped().found(Kind::InconsistentOffsets, 1, Some((20_000, 20_000)));
    part_is(
        overwritten.with_outcome("overwritten"),
        "agreement",
        Word::NotPromised,
        "were destroyed",
    );
    let overwritten = all(2).found(Kind::InconsistentOffsets, 1, Some((20_000, 20_000)));
    part_is(overwritten.with_outcome("overwritten"), "agreement", Word::Broken, "It was seen.");
    // Acknowledged at one offset and read at another: lost there, and written once more.
    for idempotence in [true, false] {
        let run = wiped().producer(|settings| settings.idempotence = idempotence);
        let run = run.found(Kind::InconsistentOffsets, 1, Some((20_000, 20_000)));
        part_is(run.with_outcome("ok"), "agreement", Word::NotPromised, "were destroyed");
        let run = all(2).producer(|settings| settings.idempotence = idempotence);
        let run = run.found(Kind::InconsistentOffsets, 1, Some((20_000, 20_000)));
        part_is(run.with_outcome("ok"), "agreement", Word::Broken, "It was seen.");
    }
    // Two readers that differ are another matter: nothing excuses that.
    let differ = wiped().found(Kind::InconsistentOffsets, 1, None);
    part_is(differ, "agreement", Word::Broken, "It was seen.");
}

#[test]
fn a_log_that_lost_records_has_forgotten_their_producers() {
    let wiped = || all(1).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000);
    for (kind, name) in [(Kind::Duplicate, "idempotence"), (Kind::Reordered, "order")] {
        let before = wiped().found(kind, 2, Some((20_000, 20_000)));
        part_is(before, name, Word::NotPromised, "were destroyed");
        let after = wiped().found(kind, 2, Some((40_000, 40_000)));
        part_is(after, name, Word::Broken, "2 ");
        let whole = all(2).found(kind, 2, Some((20_000, 20_000)));
        part_is(whole, name, Word::Broken, "2 ");
    }
}

#[test]
fn a_library_that_gave_up_a_send_begins_a_new_epoch() {
    for (kind, name) in [(Kind::Duplicate, "idempotence"), (Kind::Reordered, "order")] {
        let run =
            |timed_out_ms| all(2).found(kind, 2, Some((20_000, 20_000))).timed_out(timed_out_ms);
        part_is(run(15_000), name, Word::Unknown, "new epoch");
        part_is(run(25_000), name, Word::Broken, "2 ");
    }
}

#[test]
fn what_is_sent_again_under_a_new_epoch_is_new_to_the_broker() {
    let run = || all(2).found(Kind::Duplicate, 2, Some((20_000, 20_000)));
    part_is(run().with_outcome("new epoch"), "idempotence", Word::NotPromised, "new epoch");
    part_is(run().with_outcome("ok"), "idempotence", Word::Broken, "2 ");
}

#[test]
fn duplicates_and_order_by_what_the_client_asked_for() {
    for (idempotence, retries, in_flight, duplicate, reordered) in [
        (true, 10, 5, Word::Broken, Word::Broken),
        (false, 10, 5, Word::NotPromised, Word::NotPromised),
        // librdkafka sends again what NOT_LEADER_OR_FOLLOWER answered, and counts no retry for it.
        (false, 0, 1, Word::NotPromised, Word::Broken),
        (false, 0, 5, Word::NotPromised, Word::NotPromised),
        (false, 10, 1, Word::NotPromised, Word::NotPromised),
    ] {
        let run = |kind: Kind| {
            let run = all(2).producer(|settings| {
                settings.idempotence = idempotence;
                settings.retries = retries;
                settings.in_flight_requests_max = in_flight;
            });
            run.found(kind, 4, Some((1_000, 1_000)))
        };
        part_is(run(Kind::Duplicate), "idempotence", duplicate, "4 duplicate");
        part_is(run(Kind::Reordered), "order", reordered, "4 reordered");
    }
    // The one that came late had been given up.
    let late = all(2).producer(|settings| {
        (settings.idempotence, settings.retries, settings.in_flight_requests_max) = (false, 0, 1);
    });
    let late = late.found(Kind::Reordered, 4, Some((1_000, 1_000))).with_outcome("info");
    part_is(late, "order", Word::NotPromised, "4 reordered");
    // Nobody waited for either of them.
    let unacknowledged = all(2).producer(|settings| {
        (settings.idempotence, settings.retries, settings.in_flight_requests_max) = (false, 0, 1);
        settings.acks = Acks::None;
    });
    let unacknowledged = unacknowledged.found(Kind::Reordered, 4, Some((1_000, 1_000)));
    part_is(unacknowledged, "order", Word::NotPromised, "4 reordered");
    // Nothing was promised and nothing found: that does not make the run's durability less.
    let judgement = all(2).producer(|settings| settings.idempotence = false).judge();
    assert_eq!(part(&judgement, "idempotence").verdict, Word::NotPromised);
    assert_eq!(judgement.word, Word::Held);
}

#[test]
fn never_recovered_is_broken() {
    let mut run = all(2);
    run.liveness.never_recovered = vec!["queue-0: leader -1".into()];
    part_is(run, "liveness", Word::Broken, "queue-0: leader -1");
    let mut run = all(2);
    run.liveness.measured = false;
    part_is(run, "liveness", Word::Unknown, "Nobody looked");
}

#[test]
fn a_log_whose_last_copy_was_destroyed_waits_for_an_operator() {
    let run = |min_insync_replicas: u16, isr: &[i32], leader: i32| {
        let run = all(min_insync_replicas).seen(19_000, 1, 1, isr).wiped("n1", 30_000);
        let mut run = run.seen(31_000, leader, 2, &[]);
        run.liveness.never_recovered = vec![format!("queue-0: leader {leader}")];
        run
    };
    part_is(run(1, &[1], -1), "liveness", Word::NotPromised, "until an operator says so");
    // There was another copy in sync; it is led; or whoever lacks records may lead.
    part_is(run(2, &[1, 2, 3], -1), "liveness", Word::Broken, "queue-0: leader -1");
    part_is(run(1, &[1], 2), "liveness", Word::Broken, "queue-0: leader 2");
    let unclean = run(1, &[1], -1).topic(|settings| settings.unclean_leader_election = true);
    part_is(unclean, "liveness", Word::Broken, "queue-0: leader -1");
    let mut others = run(1, &[1], -1);
    others.liveness.never_recovered.push("__consumer_offsets-3: leader -1".into());
    part_is(others, "liveness", Word::Broken, "consumer_offsets-3");
}

#[test]
fn a_reader_that_stays_stuck_is_broken() {
    part_is(all(2).found(Kind::Stuck, 4, None), "liveness", Word::Broken, "Found 4 stuck.");
}

#[test]
fn a_run_that_tested_nothing_is_unknown() {
    let real = |run: Run, because: &str| part_is(run, "real-test", Word::Unknown, because);
    let mut none = all(2);
    none.faults.clear();
    real(none, "No fault met an acknowledged write");
    for (state, because) in [
        (FaultState::NotInjected, "not injected"),
        (FaultState::NotConfirmed, "not seen to take effect (pid 1 is gone)"),
        (FaultState::NotCleared, "not seen to end"),
        (FaultState::Planned, "never due"),
        (FaultState::Asked, "never confirmed"),
    ] {
        real(all(2).last_fault(|fault| fault.state = state), because);
    }
    let mut before = all(2);
    before.facts.logs[0].first_ok_ms = Some(30_000);
    real(before, "No fault met");
    let mut nothing = all(2);
    nothing.facts.logs[0].first_ok_ms = None;
    real(nothing, "No write was acknowledged");
    for (baseline, because) in
        [(None, "no baseline"), (Some(0.9985), "only 99.85 %"), (Some(f64::NAN), "below 99.9 %")]
    {
        let mut run = all(2);
        run.baseline = baseline;
        real(run, because);
    }
    let mut interrupted = all(2);
    interrupted.interrupted = Some("SIGINT");
    real(interrupted, "SIGINT");
    let mut cut = all(2);
    cut.facts.cut = Some("its last block was not written to the end".into());
    real(cut, "The history was cut off");
}

#[test]
fn a_proof_of_breakage_survives_a_failed_probe() {
    let run = all(2).last_fault(|fault| fault.state = FaultState::NotCleared).lost(10_000, 15_000);
    let judgement = run.judge();
    assert_eq!(judgement.word, Word::Broken);
    assert!(
        judgement.because.starts_with("durability: 12 records were lost"),
        "{}",
        judgement.because
    );
    // A loss that was not promised does not outweigh a doubt.
    let doubt = leader().seen(21_000, 2, 2, &[2]).lost(10_000, 15_000);
    let doubt = doubt.last_fault(|fault| fault.state = FaultState::NotCleared).judge();
    assert_eq!(doubt.word, Word::Unknown);
    assert!(doubt.because.starts_with("real-test: "), "{}", doubt.because);
}

#[test]
fn nothing_at_all_is_judged_without_a_panic() {
    let judgement = judge(Inputs {
        checks: &[],
        counts: &Counts::default(),
        facts: &HistoryFacts::default(),
        faults: &[],
        replicas: None,
        cluster: &[],
        brokers: &BTreeMap::new(),
        baseline: None,
        liveness: &Liveness::default(),
        interrupted: None,
    });
    assert_eq!(judgement.word, Word::Unknown);
}

#[test]
fn aborted_and_unfinished_transactions_are_never_handed_out() {
    for kind in [Kind::G1a, Kind::G1b, Kind::PrecommittedRead] {
        part_is(all(2).found(kind, 3, None), "isolation", Word::Broken, kind.as_str());
    }
    let mut without = all(2);
    without.checks.retain(|check| check.name != "torn-transaction" && check.name != "G1a");
    part_is(without, "isolation", Word::Held, "Found no resurrected.");
}

#[test]
fn write_cycles_are_legal_and_information_flows_one_way() {
    for kind in [Kind::G0, Kind::G0Process, Kind::G0Realtime] {
        part_is(all(2).found(kind, 3, None), "isolation", Word::Held, "Found no");
    }
    for kind in [Kind::G1c, Kind::G1cProcess, Kind::G1cRealtime] {
        let found = format!("1 {}", kind.as_str());
        part_is(all(2).found(kind, 1, None), "isolation", Word::Broken, &found);
    }
}

#[test]
fn a_transaction_is_whole_unless_nothing_was_promised_of_its_records() {
    let torn = || all(2).found(Kind::TornTransaction, 1, Some((10_000, 10_000)));
    part_is(torn(), "atomicity", Word::Broken, "1 torn-transaction");
    let destroyed = torn().fault("wipe", &["n1", "n2", "n3"], 20_000, Destroys::Disk);
    part_is(destroyed, "atomicity", Word::NotPromised, "the promise did not cover it");
    let fenced = all(2).found(Kind::StaleEpochWrite, 1, None);
    part_is(fenced, "atomicity", Word::Broken, "1 stale-epoch-write");
}

#[test]
fn a_group_promises_what_its_commits_allow() {
    let found = |kind, commits: &str| all(2).found(kind, 2, None).with_outcome(commits);
    for (commits, skips, repeats) in [
        ("before", Word::NotPromised, Word::Broken),
        ("after", Word::Broken, Word::NotPromised),
        ("automatic", Word::Broken, Word::NotPromised),
        ("in_transaction", Word::Broken, Word::Broken),
        ("some time", Word::Unknown, Word::Unknown),
    ] {
        part_is(found(Kind::Skipped, commits), "processing", skips, "2 skipped");
        part_is(found(Kind::Repeated, commits), "processing", repeats, "2 repeated");
    }
}

#[test]
fn an_acknowledged_offset_stays() {
    for kind in [Kind::LostCommit, Kind::CommitRegression, Kind::DoubleOwner] {
        part_is(all(2).found(kind, 1, None), "commits", Word::Broken, kind.as_str());
    }
    let lost = all(2).found(Kind::LostCommit, 1, None);
    let destroyed = lost.fault("power-loss", &["n1"], 20_000, Destroys::Unsynced);
    part_is(destroyed, "commits", Word::Unknown, "copies were destroyed");
    // Clients that do not tell generations leave nothing to be held against the cluster.
    part_is(all(2).unknown(Kind::DoubleOwner), "commits", Word::Held, "Found no lost-commit");
}
