//! Random kills, stalls, cuts and elections, then peace: what was acknowledged is there, once, in order, and all
//! replicas are equal. With per-batch syncs, power cuts too.

use wire::batch::Producer;

use super::cluster::{Cluster, Sent, batch};
use crate::defect::Defect;

/// The same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn node(&mut self) -> i32 {
        1 + self.roll(3) as i32
    }
}

/// One idempotent producer: one batch in flight, tried again until it is acknowledged.
struct Client {
    sequence: i32,
    in_flight: Option<Sent>,
    since_ms: u64,
    acknowledged: usize,
}

impl Client {
    fn drive(&mut self, cluster: &mut Cluster) {
        if let Some(sent) = self.in_flight {
            let answer = cluster.acked(sent).map(|(error, _)| error);
            match answer {
                Some(0) => {
                    self.acknowledged += 1;
                    self.sequence += 1;
                }
                None if cluster.now_ms < self.since_ms + 2_000 => return,
                _ => {}
            }
            self.in_flight = None;
        }
        let leader = cluster.partition().leader;
        if leader < 0 || !cluster.nodes[&leader].up {
            return;
        }
        let value = format!("v{}", self.sequence);
        let producer = Producer { id: 77, epoch: 0, base_sequence: self.sequence };
        let records = batch(&[&value], Some(producer));
        self.in_flight = Some(cluster.produce_records(leader, -1, records, 1_000));
        self.since_ms = cluster.now_ms;
    }
}

fn down_or_stalled(cluster: &Cluster) -> usize {
    cluster.nodes.values().filter(|node| !node.up || node.stalled).count()
}

fn break_something(cluster: &mut Cluster, dice: &mut Dice, power_cuts: bool) {
    let node = dice.node();
    match dice.roll(9) {
        0 | 1 if down_or_stalled(cluster) == 0 => {
            cluster.kill(node);
            if power_cuts && dice.roll(2) == 0 {
                cluster.node(node).disk.power_cut();
            }
        }
        2 if down_or_stalled(cluster) == 0 => {
            cluster.stall(node);
            if dice.roll(2) == 0 {
                cluster.fence(node);
            }
        }
        3 => {
            let other = dice.node();
            if other != node {
                cluster.cut(node, other);
            }
        }
        4 => {
            cluster.deaf.insert(node);
        }
        5 => {
            let isr = cluster.partition().isr.clone();
            let leader = isr[dice.roll(isr.len() as u64) as usize];
            if !cluster.image.brokers[&leader].fenced {
                cluster.elect(leader);
            }
        }
        // A disk that does nothing for a while; if the node dies meanwhile, what was asked of it is lost.
        6 if down_or_stalled(cluster) == 0 => cluster.node(node).hold_io = true,
        _ => cluster.heal(),
    }
}

fn mend(cluster: &mut Cluster) {
    cluster.heal();
    for id in [1, 2, 3] {
        cluster.node(id).hold_io = false;
        if cluster.nodes[&id].stalled {
            cluster.resume(id);
            cluster.settle();
        }
        if !cluster.nodes[&id].up {
            cluster.restart(id);
        }
        if cluster.image.brokers[&id].fenced {
            cluster.unfence(id);
        }
        cluster.settle();
    }
}

fn run(seed: u64, defects: &[Defect], properties: &str, power_cuts: bool) -> Result<(), String> {
    let mut dice = Dice(seed);
    let mut cluster = Cluster::with(&[1, 2, 3], defects, properties);
    cluster.create_topic(&[1, 2, 3], 2);
    let mut client = Client { sequence: 0, in_flight: None, since_ms: 0, acknowledged: 0 };
    for round in 0..60 {
        client.drive(&mut cluster);
        cluster.advance(10 + dice.roll(150));
        match dice.roll(10) {
            0..=2 => break_something(&mut cluster, &mut dice, power_cuts),
            3 => mend(&mut cluster),
            _ => {}
        }
        let failed = cluster.nodes.values().find_map(|node| node.fatal.clone());
        check(failed.is_none(), || format!("round {round}: {failed:?}"))?;
    }
    mend(&mut cluster);
    for _ in 0..60 {
        client.drive(&mut cluster);
        cluster.advance(100);
    }
    // Nobody writes any more; the followers hear of the last high watermark.
    cluster.advance(3_000);
    let leader = cluster.partition().leader;
    let values = cluster.consume(leader);
    let acknowledged = client.acknowledged;
    let expected: Vec<String> = (0..values.len()).map(|value| format!("v{value}")).collect();
    check(values == expected, || format!("not each once, in order: {values:?}"))?;
    check(values.len() >= acknowledged, || format!("{acknowledged} acknowledged: {values:?}"))?;
    check(acknowledged >= 20, || format!("only {acknowledged} acknowledged"))?;
    check(cluster.isr() == [1, 2, 3], || format!("the ISR is {:?}", cluster.isr()))?;
    for id in [1, 2, 3] {
        let (ours, theirs) = (cluster.offsets(id), cluster.offsets(leader));
        check(ours == theirs, || format!("{ours:?} on {id}, {theirs:?} on {leader}"))?;
        let equal = segments(&cluster, id) == segments(&cluster, leader);
        check(equal, || format!("the logs of {id} and {leader} differ"))?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The records of a node's partition, byte for byte.
fn segments(cluster: &Cluster, node: i32) -> Vec<u8> {
    let disk = &cluster.nodes[&node].disk;
    let logs = disk.paths().filter(|path| path.starts_with("orders-0/") && path.ends_with(".log"));
    logs.flat_map(|path| disk.content(path).unwrap_or_default().to_vec()).collect()
}

#[test]
fn acknowledged_records_survive_everything_but_the_disk() {
    for seed in 0..60 {
        assert_eq!(run(seed, &[], "", false), Ok(()), "seed {seed}");
    }
}

#[test]
fn with_a_sync_for_each_batch_they_survive_power_cuts_too() {
    for seed in 100..160 {
        let properties = "log.flush.interval.messages=1\n";
        assert_eq!(run(seed, &[], properties, true), Ok(()), "seed {seed}");
    }
}

/// The net catches fish, of the kinds that it was knotted for.
#[test]
fn defects_do_not_survive_it() {
    for defect in [
        Defect::AckBeforeIsr,
        Defect::TruncateToHighWatermark,
        Defect::NoEpochFencing,
        Defect::ForgetProducerState,
        Defect::HighWatermarkByMajority,
    ] {
        let caught = (0..200).any(|seed| run(seed, &[defect], "", false).is_err());
        assert!(caught, "{} is never seen", defect.name());
    }
}

/// Thousands of schedules, for those who change something here: `cargo test -p highwater-node -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn thousands_of_schedules() {
    for seed in 1_000..6_000 {
        for (properties, power_cuts) in [("", false), ("log.flush.interval.messages=1\n", true)] {
            assert_eq!(run(seed, &[], properties, power_cuts), Ok(()), "seed {seed} {power_cuts}");
        }
    }
}
