//! Topics that keep hardly anything, and a reader that is away for longer than that.
//!
//! Promises: few schedules are such, for what retention may have taken is nothing that a judge can miss; nothing is
//! deleted any more when the ends of the logs are looked for, to be read up to. Other draws are left as they are, and so
//! are those for a seeded defect.

use super::Draw;
use crate::scenario::{Fault, Producer, Scenario, What};

const CHANCE_PERCENT: u64 = 6;
/// At most, beside the records; and of each record, beside its value.
const BATCH_BYTES: u64 = 100;
const RECORD_BYTES: u32 = 40;

pub(super) fn draw(scenario: &mut Scenario) {
    let mut draw = Draw::new(scenario.seed, "forget");
    if draw.percent(CHANCE_PERCENT) {
        forget(&mut draw, scenario);
    }
}

fn forget(draw: &mut Draw, scenario: &mut Scenario) {
    let interval_ms = draw.scaled(20, 300).to_string();
    scenario.cluster.properties.insert("log.retention.check.interval.ms".to_owned(), interval_ms);
    // To a clock that jumps everything may be old, and no client could tell.
    let jumps = scenario.faults.iter().any(|fault| matches!(fault.what, What::ClockJump { .. }));
    let (key, least) = if draw.percent(50) && !jumps {
        ("retention.ms", draw.scaled(200, 1_000))
    } else {
        ("retention.bytes", draw.scaled(2_000, 16_000))
    };
    // A batch that is larger than a segment is refused.
    let batch_bytes = |producer: &Producer| {
        BATCH_BYTES + u64::from(producer.batch_records_max * (RECORD_BYTES + producer.record_bytes))
    };
    let largest = scenario.producers.iter().map(batch_bytes).max().unwrap_or(0);
    let segment_bytes = draw.scaled(1_000, 8_000).max(largest).max(inflow_bytes(scenario));
    let topic = &mut scenario.topics[0];
    topic.properties.insert(key.to_owned(), least.to_string());
    topic.properties.insert("segment.bytes".to_owned(), segment_bytes.to_string());
    // The second client of each kind is alone on one side, and misses what the first one's producer sends meanwhile.
    let reader = &mut scenario.consumers[1];
    if reader.topic != 0 {
        (reader.topic, reader.group) = (0, None);
    }
    let disasters_ms = scenario.phases.disasters_ms;
    let away = Fault {
        at_ms: draw.between(0, disasters_ms / 2),
        for_ms: draw.between(1_000, 2_500),
        what: What::Partition { left: scenario.node_ids().collect() },
    };
    let (key, value) = (key.to_owned(), "-1".to_owned());
    let at_ms = disasters_ms.saturating_sub(100);
    let end = Fault { at_ms, for_ms: 0, what: What::AlterTopic { topic: 0, key, value } };
    scenario.faults.extend([away, end]);
    scenario.faults.sort_by_key(|fault| fault.at_ms);
}

/// What the producers send while a follower fetches once, with room to spare. A fetch ends where the segment does, so that
/// with smaller ones no follower would ever catch up.
fn inflow_bytes(scenario: &Scenario) -> u64 {
    let fetch_us = 4 * scenario.network.delay_us_mean;
    let inflow = |producer: &Producer| {
        let record = u64::from(RECORD_BYTES + producer.record_bytes);
        2 * BATCH_BYTES + 4 * record * fetch_us / producer.send_every_us.max(1)
    };
    scenario.producers.iter().map(inflow).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Whom;

    #[test]
    fn a_reader_that_was_away_finds_its_position_gone() {
        let mut reached = 0;
        for seed in 0..6 {
            let mut scenario = crate::swarm::draw(seed, &[]);
            scenario.faults.clear();
            forget(&mut Draw::new(seed, "forget"), &mut scenario);
            assert_eq!(scenario.check(), Ok(()), "seed {seed}");
            let outcome = crate::run::run(&scenario, false);
            assert_eq!(outcome.failure, None, "seed {seed}");
            reached += u64::from(outcome.states.contains_key("consumer: out of range"));
        }
        assert!(reached >= 3, "{reached} of 6");
    }

    #[test]
    fn nothing_is_deleted_by_age_where_clocks_jump() {
        for seed in 0..20 {
            let mut scenario = crate::swarm::draw(seed, &[]);
            let what = What::ClockJump { whom: Whom::Node(1), by_ms: 50_000 };
            scenario.faults.push(Fault { at_ms: 0, for_ms: 0, what });
            scenario.topics[0].properties.remove("retention.ms");
            forget(&mut Draw::new(seed, "forget"), &mut scenario);
            assert!(!scenario.topics[0].properties.contains_key("retention.ms"), "seed {seed}");
        }
    }

    #[test]
    fn some_schedules_forget_and_most_do_not() {
        let forgets = |seed: &u64| {
            let properties = crate::swarm::draw(*seed, &[]).cluster.properties;
            properties.contains_key("log.retention.check.interval.ms")
        };
        let some = (0..200).filter(forgets).count();
        assert!((4..30).contains(&some), "{some}");
    }
}
