//! What a healthy cluster has to be able to carry, so that one that does not is broken and not overtaxed.
//!
//! Promises: in a scenario's weather, followers could fetch several times what producers send. Not promised: that
//! producers get everything through in time; a producer that wants too much is a test, too.

use crate::scenario::{Producer, Scenario};

/// A batch of one record, beside the record itself.
const BATCH_BYTES: u64 = 80;
/// Followers could fetch so many times what producers send.
const FETCH_ROOM: u64 = 4;

const FETCH_BYTES: &str = "replica.fetch.max.bytes";

/// Raises what followers get by one fetch, where that would have ISRs shrink and grow for ever.
pub(super) fn keep(scenario: &mut Scenario) {
    let least = fetch_bytes_least(scenario);
    if let Some(bytes) = scenario.cluster.properties.get_mut(FETCH_BYTES) {
        let drawn: u64 = bytes.parse().expect("it was drawn as a number");
        *bytes = drawn.max(least).to_string();
    }
}

fn fetch_bytes_least(scenario: &Scenario) -> u64 {
    let (network, disk) = (&scenario.network, &scenario.disk);
    let way_us = network.delay_us_min + network.delay_us_mean;
    let write_us = disk.cached_us_min + disk.cached_us_mean;
    // What came for each partition may be synced, one after the other, before the next is asked for.
    let partitions: u64 = scenario.topics.iter().map(|topic| u64::from(topic.partitions)).sum();
    let append_us = 2 * write_us + disk.sync_us_min + disk.sync_us_mean;
    let fetch_us = 2 * way_us + partitions * append_us;
    let of_producer = |producer: &Producer| {
        let partitions = u64::from(scenario.topics[producer.topic].partitions);
        let record_bytes = u64::from(producer.record_bytes) + BATCH_BYTES;
        FETCH_ROOM * record_bytes * fetch_us / (producer.send_every_us * partitions)
    };
    scenario.producers.iter().map(of_producer).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn followers_can_keep_pace_however_slow_the_network_is() {
        let mut scenario = crate::swarm::draw(1, &[]);
        scenario.network.delay_us_min = 1_000;
        scenario.network.delay_us_mean = 19_000;
        for producer in &mut scenario.producers {
            producer.send_every_us = 4_000;
            producer.record_bytes = 920;
        }
        for topic in &mut scenario.topics {
            topic.partitions = 1;
        }
        let fetch_bytes = |scenario: &Scenario| -> u64 {
            scenario.cluster.properties[FETCH_BYTES].parse().expect("a number")
        };
        scenario.cluster.properties.insert(FETCH_BYTES.to_owned(), "200".to_owned());
        keep(&mut scenario);
        // Ten sends in 40 ms, four times.
        assert!(fetch_bytes(&scenario) >= 40_000, "{}", fetch_bytes(&scenario));
        scenario.cluster.properties.insert(FETCH_BYTES.to_owned(), "90000000".to_owned());
        keep(&mut scenario);
        assert_eq!(fetch_bytes(&scenario), 90_000_000, "what is enough stays");
        scenario.cluster.properties.remove(FETCH_BYTES);
        keep(&mut scenario);
        assert!(!scenario.cluster.properties.contains_key(FETCH_BYTES));
    }
}
