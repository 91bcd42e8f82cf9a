//! Where new replicas go: striped over racks and brokers, as Kafka's `StripedReplicaPlacer` does it.
//!
//! Promises: each partition's first replica is on an unfenced broker; no broker twice in a partition; replicas spread
//! over as many racks as there are; leaders and replicas spread evenly over equal racks. The same brokers and the same
//! draws give the same placement.
//!
//! Not promised: regard for the load or the partitions that brokers already have.

use std::collections::BTreeMap;

use super::random::Random;

/// A broker that may be given replicas: registered and not shutting down.
#[derive(Clone, Debug)]
pub struct UsableBroker {
    pub id: i32,
    pub rack: Option<String>,
    pub fenced: bool,
}

/// Replica lists for `partitions` new partitions, or in Kafka's words why there can be none.
pub fn place(
    random: &mut Random,
    brokers: &[UsableBroker],
    partitions: usize,
    replication_factor: usize,
) -> Result<Vec<Vec<i32>>, String> {
    if replication_factor == 0 {
        return Err(
            "Invalid replication factor 0: the replication factor must be positive.".to_owned()
        );
    }
    if brokers.iter().all(|broker| broker.fenced) {
        return Err("All brokers are currently fenced.".to_owned());
    }
    if replication_factor > brokers.len() {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because \
             only {} broker(s) are registered.",
            brokers.len()
        ));
    }
    let mut racks = Racks::new(random, brokers);
    Ok((0..partitions).map(|_| racks.place(random, replication_factor)).collect())
}

/// Brokers taken in turn. Another epoch starts over, one further on.
#[derive(Default)]
struct Ring {
    brokers: Vec<i32>,
    index: usize,
    offset: usize,
    epoch: usize,
}

impl Ring {
    fn start(&mut self, random: &mut Random) {
        self.brokers.sort_unstable();
        if !self.brokers.is_empty() {
            self.offset = random.below(self.brokers.len());
        }
    }

    fn next(&mut self, epoch: usize) -> Option<i32> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.index = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.index >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.index + self.offset) % self.brokers.len()];
        self.index += 1;
        Some(broker)
    }
}

#[derive(Default)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

impl Rack {
    fn next(&mut self, epoch: usize) -> Option<i32> {
        self.unfenced.next(epoch).or_else(|| self.fenced.next(epoch))
    }
}

struct Racks {
    racks: Vec<Rack>,
    unfenced_count: usize,
    /// Counts the placements; each starts every ring over.
    epoch: usize,
    placed_since_shuffle: usize,
    offset: usize,
}

impl Racks {
    fn new(random: &mut Random, brokers: &[UsableBroker]) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.unfenced };
            ring.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.fenced.start(random);
            rack.unfenced.start(random);
        }
        let unfenced_count = brokers.iter().filter(|broker| !broker.fenced).count();
        let offset = random.below(racks.len());
        Self { racks, unfenced_count, epoch: 0, placed_since_shuffle: 0, offset }
    }

    fn place(&mut self, random: &mut Random, replication_factor: usize) -> Vec<i32> {
        // As many placements as there are unfenced brokers: from here on the same ones would come again.
        if self.placed_since_shuffle == self.unfenced_count && self.unfenced_count > 1 {
            self.shuffle(random);
            self.placed_since_shuffle = 0;
        }
        if self.offset == self.racks.len() {
            self.offset = 0;
        }
        let (first_rack, leader) = self.first_unfenced();
        let mut replicas = Vec::with_capacity(replication_factor);
        replicas.push(leader);
        let mut skip = Some(first_rack);
        let mut rack = self.offset;
        while replicas.len() < replication_factor {
            // The leader's rack has had its turn in the first round.
            if skip == Some(rack) {
                skip = None;
            } else if let Some(broker) = self.racks[rack].next(self.epoch) {
                replicas.push(broker);
            }
            rack = (rack + 1) % self.racks.len();
        }
        self.epoch += 1;
        self.placed_since_shuffle += 1;
        self.offset += 1;
        replicas
    }

    fn first_unfenced(&mut self) -> (usize, i32) {
        let count = self.racks.len();
        for step in 0..count {
            let rack = (self.offset + step) % count;
            if let Some(broker) = self.racks[rack].unfenced.next(self.epoch) {
                return (rack, broker);
            }
        }
        unreachable!("there is an unfenced broker, and a new epoch starts every ring over");
    }

    fn shuffle(&mut self, random: &mut Random) {
        random.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            random.shuffle(&mut rack.fenced.brokers);
            random.shuffle(&mut rack.unfenced.brokers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(id: i32, rack: Option<&str>, fenced: bool) -> UsableBroker {
        UsableBroker { id, rack: rack.map(str::to_owned), fenced }
    }

    #[test]
    fn one_rack_is_striped() {
        let brokers: Vec<_> = (0..4).map(|id| broker(id, None, false)).collect();
        let placed = place(&mut Random::new(7), &brokers, 4, 3).unwrap();
        for replicas in &placed {
            let mut sorted = replicas.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 3, "{placed:?}");
        }
        let mut leaders: Vec<i32> = placed.iter().map(|replicas| replicas[0]).collect();
        leaders.sort_unstable();
        assert_eq!(leaders, [0, 1, 2, 3], "each leads once");
        for pair in placed.windows(2) {
            assert_eq!(pair[1][0], (pair[0][0] + 1) % 4, "the next partition starts one further");
        }
    }

    #[test]
    fn replicas_spread_over_racks() {
        let brokers: Vec<_> =
            (0..6).map(|id| broker(id, Some(["a", "b", "c"][id as usize % 3]), false)).collect();
        for seed in 0..50 {
            for replicas in place(&mut Random::new(seed), &brokers, 20, 3).unwrap() {
                let mut racks: Vec<i32> = replicas.iter().map(|id| id % 3).collect();
                racks.sort_unstable();
                assert_eq!(racks, [0, 1, 2], "{replicas:?}");
            }
        }
    }

    #[test]
    fn a_fenced_broker_never_comes_first() {
        let brokers =
            [broker(1, Some("a"), true), broker(2, Some("b"), false), broker(3, Some("c"), true)];
        for seed in 0..20 {
            for replicas in place(&mut Random::new(seed), &brokers, 9, 3).unwrap() {
                assert_eq!(replicas[0], 2);
                assert_eq!(replicas.len(), 3);
            }
        }
    }

    #[test]
    fn refusals_are_kafkas() {
        let random = &mut Random::new(1);
        let error = place(random, &[broker(1, None, false)], 1, 2).unwrap_err();
        assert!(
            error.contains("factor of 2 cannot be reached because only 1 broker(s)"),
            "{error}"
        );
        let error = place(random, &[broker(1, None, true)], 1, 1).unwrap_err();
        assert_eq!(error, "All brokers are currently fenced.");
        assert!(place(random, &[], 1, 1).is_err());
    }

    #[test]
    fn a_single_broker_takes_everything() {
        let placed = place(&mut Random::new(3), &[broker(5, None, false)], 10, 1).unwrap();
        assert!(placed.iter().all(|replicas| replicas == &[5]));
    }
}
