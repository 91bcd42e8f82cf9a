//! What provokes a seeded defect that the swarm would hardly meet by chance: its schedules lean that way.
//!
//! Promises: a lean changes sizes, times, clients and faults, never the broker; whatever it draws is a schedule that a
//! healthy broker has to survive, and the test of the defects runs it without the defect, too. Most defects need none.

use super::Draw;
use crate::scenario::{Fault, Scenario, What, Whom};
use model::settings::Acks;
use node::defect::Defect;

/// The least that a broker of the simulation allows, and a second.
const SESSION_MS: (u64, u64) = (400, 1_000);
const PRODUCERS: usize = 6;
/// More than a schedule writes; and yet a bound, so that nobody takes what is missing for lost.
const PLENTY_BYTES: u64 = 1 << 40;

pub(super) fn lean(draw: &mut Draw, defect: Defect, scenario: &mut Scenario) {
    match defect {
        Defect::TruncateOnce => part_twice(draw, scenario),
        Defect::ProducerIdTwice => begin_together(draw, scenario),
        Defect::OffsetCommitBeforeIsr => starve_coordinators(draw, scenario),
        Defect::LoadToHighWatermark => restart_together(draw, scenario),
        Defect::ZombieCommits => part_members(draw, scenario),
        Defect::LatestIsLogEnd => look_at_ends(draw, scenario),
        Defect::RetentionAboveHighWatermark => delete_early(draw, scenario),
        _ => {}
    }
}

/// Three brokers that stand for themselves: what happens to them does not touch the quorum.
fn three_brokers(scenario: &mut Scenario) {
    scenario.cluster.brokers = 3;
    scenario.cluster.dedicated_controllers = 3;
    scenario.cluster.clock_drift_ppm.clear();
    scenario.phases.left_out.clear();
    for topic in &mut scenario.topics {
        topic.replication_factor = 3;
        topic.properties.insert("min.insync.replicas".to_owned(), "2".to_owned());
    }
}

fn set(scenario: &mut Scenario, key: &str, value: u64) {
    scenario.cluster.properties.insert(key.to_owned(), value.to_string());
}

/// Two leaders in a row write what hardly anybody gets, and then a third one leads (KIP-279).
fn part_twice(draw: &mut Draw, scenario: &mut Scenario) {
    three_brokers(scenario);
    set(scenario, "broker.session.timeout.ms", 300);
    set(scenario, "broker.heartbeat.interval.ms", 60);
    set(scenario, "replica.lag.time.max.ms", 5_000);
    scenario.topics.iter_mut().for_each(|topic| topic.partitions = 1);
    scenario.consumers.iter_mut().for_each(|consumer| consumer.group = None);
    for producer in &mut scenario.producers {
        producer.send_every_us = draw.scaled(3_000, 10_000);
        producer.batch_records_max = 1;
        producer.in_flight_requests_max = 5;
        producer.metadata_refresh_ms = 50;
    }
    let topic = draw.between(0, 1) as usize;
    let leader = || Whom::Leader(topic, 0);
    let follower = |nth| Whom::Follower(topic, 0, nth);
    let cut = |from, to| What::Cut { from, to, one_way: false };
    let at_ms = draw.between(200, 1_500);
    let starved_ms = draw.between(50, 250);
    let apart_ms = draw.between(1_500, 3_000);
    let again_ms = at_ms + starved_ms + 300 + draw.between(100, 800);
    let fault = |at_ms, for_ms, what| Fault { at_ms, for_ms, what };
    scenario.faults = vec![
        fault(at_ms, starved_ms + 100, cut(leader(), follower(0))),
        fault(at_ms, apart_ms, cut(follower(0), follower(1))),
        fault(at_ms + starved_ms, draw.between(1_500, 3_000), What::Kill { whom: leader() }),
        fault(again_ms, draw.between(300, 900), What::Kill { whom: leader() }),
    ];
}

/// Producers that all begin at once, again and again.
fn begin_together(draw: &mut Draw, scenario: &mut Scenario) {
    let mut producer = scenario.producers[0].clone();
    producer.acks = Acks::All;
    producer.idempotence = true;
    producer.retries = 1_000_000;
    scenario.producers = vec![producer; PRODUCERS];
    scenario.consumers.iter_mut().for_each(|consumer| consumer.topic = 0);
    for _ in 0..draw.between(1, 3) {
        let at_ms = draw.between(0, scenario.phases.disasters_ms);
        let restart = |client| Fault { at_ms, for_ms: 0, what: What::RestartClient { client } };
        scenario.faults.extend((0..PRODUCERS).map(restart));
    }
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

/// Both consumers in one group, whose members are missed soon.
fn one_group(draw: &mut Draw, scenario: &mut Scenario) {
    scenario.topics[0].partitions = scenario.topics[0].partitions.max(2);
    for consumer in &mut scenario.consumers {
        consumer.topic = 0;
        consumer.group = Some("g0".to_owned());
        consumer.session_timeout_ms = draw.between(SESSION_MS.0, SESSION_MS.1);
    }
}

fn restart_a_member(draw: &mut Draw, scenario: &mut Scenario, at_ms: u64) {
    let client = scenario.producers.len() + draw.between(0, 1) as usize;
    scenario.faults.push(Fault { at_ms, for_ms: 0, what: What::RestartClient { client } });
}

/// What only a coordinator has dies with it.
fn starve_coordinators(draw: &mut Draw, scenario: &mut Scenario) {
    three_brokers(scenario);
    one_group(draw, scenario);
    scenario.faults.clear();
    let rounds = 3;
    for round in 0..rounds {
        let at_ms = round * scenario.phases.disasters_ms / rounds + draw.between(0, 200);
        let victim = draw.between(1, 3) as u16;
        let starved_ms = draw.between(250, 500);
        for id in (1..=3).filter(|id| *id != victim) {
            let what = What::Stall { whom: Whom::Node(id) };
            scenario.faults.push(Fault { at_ms, for_ms: starved_ms + 50, what });
        }
        let what = What::Kill { whom: Whom::Node(victim) };
        scenario.faults.push(Fault {
            at_ms: at_ms + starved_ms,
            for_ms: draw.between(500, 1_000),
            what,
        });
        restart_a_member(draw, scenario, at_ms + starved_ms + 300);
    }
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

/// All brokers die at once, with high watermarks on their disks that are long out of date.
fn restart_together(draw: &mut Draw, scenario: &mut Scenario) {
    three_brokers(scenario);
    one_group(draw, scenario);
    // Of the offsets topic: the first broker to come back may not commit by itself what it has.
    set(scenario, "min.insync.replicas", 2);
    set(scenario, "replica.high.watermark.checkpoint.interval.ms", draw.scaled(2_000, 20_000));
    scenario.faults.clear();
    let at_ms = draw.between(500, 2_000);
    for id in 1..=3 {
        let what = What::Kill { whom: Whom::Node(id) };
        scenario.faults.push(Fault { at_ms, for_ms: draw.scaled(20, 500), what });
    }
    let after_ms = draw.scaled(20, 1_000);
    restart_a_member(draw, scenario, at_ms + after_ms);
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

/// A member is cut off for so long that its group goes on without it.
fn part_members(draw: &mut Draw, scenario: &mut Scenario) {
    one_group(draw, scenario);
    for consumer in &mut scenario.consumers {
        consumer.request_timeout_ms = draw.between(600, 1_200);
    }
    scenario.faults.clear();
    for _ in 0..draw.between(1, 3) {
        // Every node on one side: half of the clients are alone on the other.
        let what = What::Partition { left: scenario.node_ids().collect() };
        let at_ms = draw.between(0, scenario.phases.disasters_ms / 2);
        scenario.faults.push(Fault { at_ms, for_ms: draw.between(1_200, 2_500), what });
    }
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

/// Somebody watches how far consumers lag behind.
fn look_at_ends(draw: &mut Draw, scenario: &mut Scenario) {
    for consumer in &mut scenario.consumers {
        consumer.lag_every_ms = draw.scaled(10, 200);
    }
}

/// Hardly anything is kept, and a leader writes on while followers stand still.
fn delete_early(draw: &mut Draw, scenario: &mut Scenario) {
    set(scenario, "log.retention.check.interval.ms", draw.scaled(20, 200));
    for topic in &mut scenario.topics {
        let mut set = |key: &str, value: u64| {
            topic.properties.insert(key.to_owned(), value.to_string());
        };
        set("segment.bytes", draw.scaled(2_000, 8_000));
        set("retention.bytes", draw.scaled(10_000, 20_000));
    }
    let producer = &mut scenario.producers[1];
    (producer.acks, producer.idempotence) = (Acks::Leader, false);
    producer.send_every_us = draw.scaled(3_000, 6_000);
    producer.record_bytes = 1_000;
    let at_ms = draw.between(0, scenario.phases.disasters_ms / 2);
    for nth in 0..2 {
        let what = What::Stall { whom: Whom::Follower(1, 0, nth) };
        scenario.faults.push(Fault { at_ms, for_ms: draw.between(300, 550), what });
    }
    // Nothing is deleted any more when the ends of the logs are looked for, to be read up to.
    for topic in 0..scenario.topics.len() {
        let (key, value) = ("retention.bytes".to_owned(), PLENTY_BYTES.to_string());
        let what = What::AlterTopic { topic, key, value };
        let at_ms = scenario.phases.disasters_ms.saturating_sub(100);
        scenario.faults.push(Fault { at_ms, for_ms: 0, what });
    }
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::draw;

    #[test]
    fn what_is_leant_towards_is_a_schedule() {
        for defect in Defect::all() {
            for seed in 0..20 {
                let scenario = draw(seed, &[defect.name().to_owned()]);
                assert_eq!(scenario.check(), Ok(()), "{} {seed}", defect.name());
                assert!(scenario.faults.is_sorted_by_key(|fault| fault.at_ms));
            }
        }
    }

    #[test]
    fn most_defects_need_no_lean() {
        let plain = draw(3, &[]);
        let mut drawn = draw(3, &["ack-before-isr".to_owned()]);
        assert_ne!(drawn, plain, "the defect is in it");
        drawn.defects.clear();
        assert_eq!(drawn, plain);
    }
}
