//! Runs in which an administrator changed settings, or replicas, or asked for an election.

use super::*;
use model::history::TopicRef;

/// The log's replicas and its ISR were changed to these.
fn replicas(mut run: Run, at_ms: u64, replicas: &[i32], isr: &[i32]) -> Run {
    run = run.seen(at_ms, 1, 1, isr);
    if let Some(Observation::Partition(state)) = run.cluster.last_mut() {
        state.replicas = replicas.to_vec();
    }
    run
}

#[test]
fn what_was_acknowledged_under_a_lower_minimum_is_judged_by_that() {
    let changed = || {
        let mut run = all(2).seen(9_000, 1, 1, &[1]);
        run.facts.topics[0].settings.push((10_000, run::settings(3, 1)));
        run.facts.topics[0].settings.push((20_000, run::settings(3, 2)));
        run.wiped("n1", 30_000)
    };
    is(changed().lost(12_000, 15_000), Word::NotPromised, "promises only one");
    is(changed().lost(9_500, 9_600), Word::NotPromised, "promises only one");
    is(changed().lost(22_000, 25_000), Word::Broken, "");
}

#[test]
fn what_was_acknowledged_with_one_replica_left_depends_on_it() {
    let one = || replicas(all(2), 10_000, &[1], &[1]);
    is(one().lost(15_000, 16_000), Word::Broken, "kills and stalls take nothing");
    is(one().wiped("n1", 30_000).lost(20_000, 25_000), Word::NotPromised, "promises only one");
    // It stood on three, and two of the copies were given up on order.
    let because = "the copies on broker 1 and 2 and 3 were destroyed";
    is(one().wiped("n1", 30_000).lost(5_000, 6_000), Word::NotPromised, because);
    // A removal alone takes nothing.
    is(one().lost(5_000, 6_000), Word::Broken, "a replica that had acknowledged them kept");
    // All of it was copied anew before the one replica was lost.
    let back = || replicas(one(), 27_000, &[1, 2, 3], &[1, 2, 3]).wiped("n1", 40_000);
    is(back().lost(20_000, 25_000), Word::Broken, "");
    is(back().lost(5_000, 6_000), Word::Broken, "");
    // It was not: the ISR had not grown again.
    let not_yet = replicas(one(), 27_000, &[1, 2, 3], &[1]).wiped("n1", 40_000);
    is(not_yet.lost(20_000, 25_000), Word::NotPromised, "no other replica was in sync");
}

#[test]
fn an_unclean_election_that_was_asked_for_is_of_its_own_log_and_time() {
    let asked = |log: &str, at_ms| {
        all(2).seen(19_000, 1, 1, &[1]).fault("elect-unclean", &[log], at_ms, Destroys::Nothing)
    };
    let unclean = |run: Run| run.seen(22_000, 3, 2, &[3]).lost(10_000, 20_000);
    is(unclean(asked("queue-0", 21_000)), Word::NotPromised, "unclean election");
    is(unclean(asked("queue-1", 21_000)), Word::Broken, "");
    is(unclean(asked("queue-0", 2_000)), Word::Broken, "");
    // Nobody saw when it came about.
    is(unclean(asked("queue-0", 2_000).blind(3_000)), Word::NotPromised, "unclean election");
    let not_seen = asked("queue-0", 2_000).last_fault(|fault| fault.confirmed_ms = None);
    is(unclean(not_seen), Word::NotPromised, "unclean election");
}

#[test]
fn what_was_done_to_a_topic_that_is_gone_says_nothing_of_the_one_in_its_place() {
    let made_anew = || {
        // Alone in sync on broker 1, whose disk went; then deleted.
        let mut run = all(1).seen(19_000, 1, 1, &[1]).wiped("n1", 30_000);
        run.facts.topics[0].deleted_ms = Some(40_000);
        let mut topic = run.facts.topics[0].clone();
        (topic.topic, topic.topic_id, topic.deleted_ms) = (TopicRef(1), [1; 16], None);
        run.facts.topics.push(topic);
        let mut log = run.facts.logs[0].clone();
        (log.log.topic, log.first_ok_ms) = (TopicRef(1), Some(42_000));
        run.facts.logs.push(log);
        let mut run = replicas(run, 41_000, &[2, 3], &[2, 3]);
        if let Some(Observation::Partition(state)) = run.cluster.last_mut() {
            (state.leader, state.leader_epoch, state.anew) = (2, 0, Some([1; 16]));
        }
        run
    };
    is(made_anew(), Word::Held, "All 1,000");
    let mut lost = made_anew().lost(45_000, 46_000);
    let findings = lost.checks.iter_mut().flat_map(|check| &mut check.findings);
    findings.for_each(|finding| finding.log.topic = TopicRef(1));
    is(lost, Word::Broken, "no copy was destroyed");
}
