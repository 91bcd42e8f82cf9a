//! Whatever brokers do, in whatever order: what must hold of the metadata.

use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::messages::elect_leaders_request::TopicPartitions;
use wire::messages::{ElectLeadersRequest, TopicName};
use wire::metadata::MetadataRecord;

use super::{Cluster, text};
use crate::controller::ControllerRequest;
use crate::image::{LeaderRecoveryState, MetadataImage, NO_LEADER, PartitionImage};

const BROKERS: i32 = 4;
const TOPICS: [(&str, &[i32], &str, &str); 4] = [
    ("strict", &[1, 2, 3], "2", "false"),
    ("loose", &[2, 3, 4], "1", "false"),
    ("unclean", &[3, 4, 1], "2", "true"),
    ("single", &[4], "1", "false"),
];

#[derive(Clone, Debug)]
enum Act {
    Kill(i32),
    /// Registers a new life; `true`: after a clean shutdown.
    Restart(i32, bool),
    Heartbeat(i32),
    Stop(i32),
    /// The leader of the topic proposes the members that the bits name.
    Propose(usize, u8),
    Elect(usize, i8),
    Sleep(u64),
    Tick,
    Failover,
    MinInsync(usize, i32),
}

fn act() -> impl Strategy<Value = Act> {
    let broker = 1..=BROKERS;
    let topic = 0..TOPICS.len();
    prop_oneof![
        3 => broker.clone().prop_map(Act::Kill),
        3 => (broker.clone(), any::<bool>()).prop_map(|(id, clean)| Act::Restart(id, clean)),
        6 => broker.clone().prop_map(Act::Heartbeat),
        1 => broker.prop_map(Act::Stop),
        4 => (topic.clone(), any::<u8>()).prop_map(|(topic, bits)| Act::Propose(topic, bits)),
        2 => (topic.clone(), 0..2_i8).prop_map(|(topic, kind)| Act::Elect(topic, kind)),
        1 => (1..700_u64).prop_map(Act::Sleep),
        1 => Just(Act::Tick),
        1 => Just(Act::Failover),
        1 => (topic, 1..3).prop_map(|(topic, min)| Act::MinInsync(topic, min)),
    ]
}

fn perform(cluster: &mut Cluster, act: &Act) {
    match *act {
        Act::Kill(id) => cluster.kill(id),
        Act::Restart(id, clean) => {
            let previous = if clean { cluster.lives[&id].epoch } else { -1 };
            let request = cluster.registration(id).with_previous_broker_epoch(previous);
            cluster.register_as(request);
        }
        Act::Heartbeat(id) => {
            cluster.heartbeat(id, false, false);
        }
        Act::Stop(id) => {
            cluster.heartbeat(id, false, true);
        }
        Act::Propose(topic, bits) => {
            let (name, replicas, ..) = TOPICS[topic];
            let leader = cluster.part(name, 0).leader;
            if leader != NO_LEADER {
                let named = replicas.iter().copied().filter(|id| bits >> id & 1 == 1);
                let isr: Vec<i32> = named.chain([leader]).collect();
                cluster.propose(leader, name, &isr);
            }
        }
        Act::Elect(topic, kind) => {
            let asked = TopicPartitions::default()
                .with_topic(TopicName(text(TOPICS[topic].0)))
                .with_partitions(vec![0]);
            let request = ElectLeadersRequest::default()
                .with_election_type(kind)
                .with_topic_partitions(Some(vec![asked]));
            cluster.ask(2, ControllerRequest::ElectLeaders(request));
        }
        Act::Sleep(ms) => cluster.ms += ms,
        Act::Tick => {
            let records = cluster.controller.on_tick(cluster.now());
            cluster.take(records);
        }
        Act::Failover => {
            let image = cluster.image().clone();
            cluster.controller.resign();
            let next = cluster.end() + 1;
            let records = cluster.controller.become_active(cluster.now(), image, 1, next);
            cluster.take(records);
        }
        Act::MinInsync(topic, min) => super::configs::set(
            cluster,
            2,
            TOPICS[topic].0,
            "min.insync.replicas",
            &min.to_string(),
        ),
    }
}

/// What holds of every partition at any time.
fn check_partition(image: &MetadataImage, elr: bool, partition: &PartitionImage) {
    let PartitionImage { replicas, isr, leader, .. } = partition;
    assert!(isr.iter().all(|id| replicas.contains(id)), "ISR within replicas: {partition:?}");
    assert!(partition.elr.iter().all(|id| replicas.contains(id)), "{partition:?}");
    assert!(!partition.elr.iter().any(|id| isr.contains(id)), "ELR outside ISR: {partition:?}");
    if *leader != NO_LEADER {
        assert!(isr.contains(leader), "the leader is in sync: {partition:?}");
        assert!(image.is_unfenced(*leader), "no fenced leader: {partition:?}");
        assert!(isr.iter().all(|id| image.is_unfenced(*id)), "no fenced member: {partition:?}");
        assert!(partition.last_known_elr.is_empty(), "{partition:?}");
    }
    if elr {
        let led = *leader != NO_LEADER;
        assert_eq!(!isr.is_empty(), led, "with ELR an ISR is led or empty: {partition:?}");
    } else {
        assert!(!isr.is_empty(), "without ELR an ISR is never empty: {partition:?}");
        assert!(partition.elr.is_empty() && partition.last_known_elr.is_empty());
    }
}

/// What holds of every change.
fn check_change(before: &PartitionImage, after: &PartitionImage, unclean_allowed: bool) {
    if before == after {
        return;
    }
    assert!(after.partition_epoch > before.partition_epoch, "{before:?} -> {after:?}");
    assert!(after.leader_epoch >= before.leader_epoch);
    if after.leader != before.leader {
        assert!(after.leader_epoch > before.leader_epoch, "{before:?} -> {after:?}");
    }
    let uncleanly = after.leader_recovery_state == LeaderRecoveryState::Recovering;
    if after.leader != NO_LEADER && after.leader_epoch > before.leader_epoch && !uncleanly {
        let from_elr = before.elr.contains(&after.leader) && after.isr == [after.leader];
        let eligible = before.isr.contains(&after.leader) || from_elr;
        assert!(eligible, "a clean election: {before:?} -> {after:?}");
    }
    if uncleanly && after.leader_epoch > before.leader_epoch {
        let last_leader = before.last_known_elr == [after.leader];
        assert!(
            last_leader
                || unclean_allowed
                || before.leader_recovery_state == LeaderRecoveryState::Recovering
        );
    }
}

/// Which replicas hold what was acknowledged: with ELR, a clean election loses nothing even where an unclean end loses
/// the whole disk.
#[derive(Default)]
struct Acknowledged {
    /// The newest acknowledged record.
    newest: u64,
    held: BTreeMap<i32, u64>,
}

impl Acknowledged {
    fn held_by(&self, id: i32) -> u64 {
        self.held.get(&id).copied().unwrap_or(0)
    }

    fn follow(&mut self, before: &PartitionImage, after: &PartitionImage, min_isr: usize) {
        if after.leader == NO_LEADER {
            return;
        }
        let leader_holds = self.held_by(after.leader);
        if after.leader_epoch > before.leader_epoch {
            if after.leader_recovery_state == LeaderRecoveryState::Recovering {
                self.newest = leader_holds;
            } else {
                assert_eq!(leader_holds, self.newest, "lost by {before:?} -> {after:?}");
            }
        }
        for joined in after.isr.iter().filter(|id| !before.isr.contains(id)) {
            self.held.insert(*joined, leader_holds);
        }
        if after.isr.len() >= min_isr {
            self.newest += 1;
            self.held.extend(after.isr.iter().map(|id| (*id, self.newest)));
        }
    }
}

fn run(elr: bool, acts: &[Act]) {
    let file = if elr { "" } else { "highwater.elr=false\n" };
    let mut cluster = Cluster::of(BROKERS, file);
    for (name, replicas, min, unclean) in TOPICS {
        let configs = [("min.insync.replicas", min), ("unclean.leader.election.enable", unclean)];
        cluster.topic(name, replicas, &configs);
    }
    let mut acknowledged: [Acknowledged; TOPICS.len()] = Default::default();
    for act in acts {
        let before = cluster.image().clone();
        perform(&mut cluster, act);
        if let Act::Restart(id, false) = act
            && before.broker(*id).map(|broker| broker.epoch) != Some(cluster.lives[id].epoch)
        {
            for topic in &mut acknowledged {
                topic.held.remove(id);
            }
        }
        let asked_for_unclean = matches!(act, Act::Elect(_, 1));
        for ((name, _, _, unclean), acknowledged) in TOPICS.into_iter().zip(&mut acknowledged) {
            let after = cluster.part(name, 0);
            check_partition(cluster.image(), elr, after);
            let before = before.partition_by_name(name, 0).expect("there");
            check_change(before, after, asked_for_unclean || unclean == "true");
            if elr {
                let min = cluster.image().recorded_min_insync_replicas(name);
                acknowledged.follow(before, after, min.min(after.replicas.len()));
            }
        }
    }
    let image = cluster.image();
    let records: Vec<MetadataRecord> = image.to_records();
    let rebuilt = MetadataImage::from_records(&records, image.offset, image.epoch);
    assert_eq!(rebuilt.as_ref(), Ok(image), "a snapshot rebuilds the image");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_metadata_keeps_its_invariants(
        elr in any::<bool>(),
        acts in proptest::collection::vec(act(), 1..100),
    ) {
        run(elr, &acts);
    }
}
