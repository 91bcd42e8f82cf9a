//! Leaders and in-sync replicas over time, as the observer saw them, and the copies that faults, or reassignments, destroyed.
//!
//! An observation says what was, not what happened in between: where that matters the answer is "may have".

use super::Inputs;
use model::cluster::{Observation, PartitionState};
use model::facts::{LogFacts, TopicFacts};
use model::fault::{Destroys, FaultRecord, FaultState};
use model::settings::TopicSettings;
use std::collections::BTreeSet;

/// How far the observer may lag behind what clients saw.
pub(super) const SLACK_MS: u64 = 1_000;
/// How long a leader that was held back may go on as one after it is let go.
const ZOMBIE_MS: u64 = 10_000;

/// Leadership of a log went to another broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaderChange {
    /// When it was seen.
    pub(super) at_ms: u64,
    /// Since when it may have been so: the observer could not see.
    pub(super) since_ms: u64,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) election: Election,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The new leader was in sync, or eligible, when last seen.
    Clean,
    /// It was not.
    Unclean,
    /// More happened than was seen.
    Unseen,
}

/// Copies of one log that a fault destroyed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destruction {
    pub(super) from_ms: u64,
    pub(super) at_ms: u64,
    pub(super) brokers: BTreeSet<i32>,
    /// The probe saw it take effect.
    pub(super) sure: bool,
}

/// One log's states, the oldest first.
pub(super) struct Timeline<'a> {
    pub(super) states: Vec<&'a PartitionState>,
    /// When the observer could not see, and when it next saw anything.
    blind: Vec<(u64, u64)>,
    faults: &'a [FaultRecord],
    brokers: &'a std::collections::BTreeMap<String, i32>,
}

impl<'a> Timeline<'a> {
    pub(super) fn of(log: &LogFacts, inputs: &Inputs<'a>) -> Timeline<'a> {
        let anew = anew(log, &inputs.facts.topics);
        let mut states = Vec::new();
        let mut blind = Vec::new();
        let mut blind_since = None;
        for observation in inputs.cluster {
            if let Observation::Blind { at_ms, .. } = observation {
                blind_since.get_or_insert(*at_ms);
                continue;
            }
            // A process of ours is watched by other means: that says nothing about sight of the cluster.
            let at_ms = match observation {
                Observation::Partition(state) => state.at_ms,
                Observation::Quorum { at_ms, .. } | Observation::Brokers { at_ms, .. } => *at_ms,
                Observation::Node { .. } | Observation::Blind { .. } => continue,
            };
            if let Some(since) = blind_since.take() {
                blind.push((since, at_ms));
            }
            match observation {
                Observation::Partition(state)
                    if state.topic == log.topic
                        && state.partition == log.log.partition
                        && state.anew == anew =>
                {
                    states.push(state);
                }
                _ => {}
            }
        }
        blind.extend(blind_since.map(|since| (since, u64::MAX)));
        states.sort_by_key(|state| state.at_ms);
        Timeline { states, blind, faults: inputs.faults, brokers: inputs.brokers }
    }

    pub(super) fn is_known(&self) -> bool {
        !self.states.is_empty()
    }

    /// Every broker that was seen in the ISR at some moment from `from_ms` to `to_ms`, give or take the slack.
    pub(super) fn in_sync(&self, from_ms: u64, to_ms: u64) -> Option<BTreeSet<i32>> {
        let seen = self.between(from_ms, to_ms);
        (!seen.is_empty())
            .then(|| seen.iter().flat_map(|state| state.isr.iter().copied()).collect())
    }

    /// Every broker that was seen to lead at some moment from `from_ms` to `to_ms`, give or take the slack.
    pub(super) fn leaders(&self, from_ms: u64, to_ms: u64) -> BTreeSet<i32> {
        self.between(from_ms, to_ms).iter().map(|state| state.leader).collect()
    }

    /// The fewest replicas that it was seen to have at some moment from `from_ms` to `to_ms`, give or take the slack.
    pub(super) fn replicas_least(&self, from_ms: u64, to_ms: u64) -> Option<usize> {
        let seen = self.between(from_ms, to_ms).iter().map(|state| state.replicas.len());
        seen.filter(|count| *count > 0).min()
    }

    fn between(&self, from_ms: u64, to_ms: u64) -> &[&'a PartitionState] {
        let (from_ms, to_ms) = (from_ms.saturating_sub(SLACK_MS), to_ms.saturating_add(SLACK_MS));
        let first = self.states.partition_point(|state| state.at_ms <= from_ms).saturating_sub(1);
        let after = self.states.partition_point(|state| state.at_ms <= to_ms);
        self.states.get(first..after).unwrap_or(&[])
    }

    pub(super) fn leader_changes(&self) -> Vec<LeaderChange> {
        let mut changes = Vec::new();
        let mut leader = None;
        for pair in self.states.windows(2) {
            let (before, after) = (pair[0], pair[1]);
            if before.leader >= 0 {
                leader = Some(before.leader);
            }
            let Some(from) = leader.filter(|_| after.leader >= 0) else { continue };
            // Every election is one epoch; more than one means that something in between was not seen.
            let epochs = i64::from(after.leader_epoch) - i64::from(before.leader_epoch);
            let missed = epochs > 1 || self.was_blind(before.at_ms, after.at_ms);
            if after.leader == from && !(missed && epochs > 0) {
                continue;
            }
            let eligible = before.isr.contains(&after.leader) || before.elr.contains(&after.leader);
            let election = match (eligible, missed) {
                (false, _) => Election::Unclean,
                (true, true) => Election::Unseen,
                (true, false) => Election::Clean,
            };
            let (at_ms, to) = (after.at_ms, after.leader);
            let since_ms = self.blind_until(at_ms).unwrap_or(at_ms);
            changes.push(LeaderChange { at_ms, since_ms, from, to, election });
        }
        changes
    }

    /// Since when the observer had not been able to see, where it saw again only just before.
    fn blind_until(&self, at_ms: u64) -> Option<u64> {
        let just_before = |until: u64| until <= at_ms && until.saturating_add(SLACK_MS) >= at_ms;
        let ended = self.blind.iter().filter(|(_, until)| just_before(*until));
        ended.map(|(since, _)| *since).min()
    }

    fn was_blind(&self, from_ms: u64, to_ms: u64) -> bool {
        self.blind.iter().any(|(since, until)| *since < to_ms && *until > from_ms)
    }

    pub(super) fn was_blind_after(&self, at_ms: u64) -> bool {
        self.blind.iter().any(|(_, until)| *until > at_ms)
    }

    /// When every replica was first seen in sync again.
    pub(super) fn full_after(&self, at_ms: u64) -> Option<u64> {
        let full = |state: &&&PartitionState| {
            state.at_ms >= at_ms
                && !state.replicas.is_empty()
                && state.replicas.iter().all(|replica| state.isr.contains(replica))
        };
        self.states.iter().find(full).map(|state| state.at_ms)
    }

    /// Copies destroyed of what was acknowledged on this log from `first_ms` to `since_ms`, at `since_ms` or later.
    pub(super) fn destructions(
        &self,
        topic: Option<&TopicFacts>,
        first_ms: u64,
        since_ms: u64,
    ) -> Vec<Destruction> {
        let replicas: BTreeSet<i32> =
            self.states.iter().flat_map(|state| state.replicas.iter().copied()).collect();
        let mut destructions: Vec<Destruction> = Vec::new();
        for fault in self.faults {
            let begun_ms = fault.confirmed_ms.or(fault.healed_ms).or(fault.asked_ms);
            // An old copy is put back when the fault is healed, and has all that came before it was taken.
            let at_ms = match fault.destroys {
                Destroys::Newer => fault.cleared_ms.or(fault.healed_ms).or(begun_ms),
                _ => begun_ms,
            };
            let Some(at_ms) = at_ms.filter(|at_ms| at_ms.saturating_add(SLACK_MS) >= since_ms)
            else {
                continue;
            };
            let destroys = match fault.destroys {
                Destroys::Nothing => false,
                Destroys::Disk => true,
                // Some of it was in the copy: losing that too is not explained by it.
                Destroys::Newer => {
                    fault.asked_ms.is_none_or(|asked| first_ms.saturating_add(SLACK_MS) >= asked)
                }
                // What was synced batch by batch was on the disk.
                Destroys::Unsynced => topic
                    .and_then(|topic| settings_at(topic, at_ms))
                    .is_none_or(|s| s.flush_messages != 1),
            };
            if !destroys || matches!(fault.state, FaultState::Planned | FaultState::NotInjected) {
                continue;
            }
            let ids = fault.nodes.iter().filter_map(|node| self.brokers.get(node).copied());
            let brokers: BTreeSet<i32> =
                ids.filter(|id| replicas.is_empty() || replicas.contains(id)).collect();
            let from_ms = match fault.destroys {
                Destroys::Newer => fault.healed_ms,
                _ => fault.asked_ms,
            };
            let from_ms = from_ms.unwrap_or(at_ms).min(at_ms);
            let sure = fault.confirmed_ms.is_some();
            if !brokers.is_empty() {
                destructions.push(Destruction { from_ms, at_ms, brokers, sure });
            }
        }
        destructions.extend(self.removals().filter(|one| one.at_ms + SLACK_MS >= since_ms));
        destructions.sort_by_key(|destruction| destruction.at_ms);
        destructions
    }

    /// Copies that were given up because their brokers are replicas no more: a reassignment deletes them.
    fn removals(&self) -> impl Iterator<Item = Destruction> + '_ {
        self.states.windows(2).filter_map(|pair| {
            let (before, after) = (pair[0], pair[1]);
            let kept = |broker: &&i32| after.replicas.contains(broker);
            let brokers: BTreeSet<i32> =
                before.replicas.iter().filter(|broker| !kept(broker)).copied().collect();
            let (at_ms, from_ms) = (after.at_ms, after.at_ms.saturating_sub(SLACK_MS));
            (!brokers.is_empty()).then_some(Destruction { from_ms, at_ms, brokers, sure: true })
        })
    }

    /// Whether, at one of these destructions, no in-sync (or eligible) replica was left that had its copy still.
    /// `None`: nobody saw who was in sync.
    pub(super) fn emptied(&self, destructions: &[Destruction]) -> Option<bool> {
        let mut known = destructions.is_empty();
        for (index, destruction) in destructions.iter().enumerate() {
            let mut destroyed = destruction.brokers.clone();
            for earlier in &destructions[..index] {
                let brokers = earlier.brokers.iter().copied();
                destroyed.extend(
                    brokers.filter(|b| !self.was_restored(*b, earlier.at_ms, destruction.from_ms)),
                );
            }
            let to_ms = destruction.at_ms.saturating_add(2 * SLACK_MS);
            let first = self
                .states
                .partition_point(|state| state.at_ms <= destruction.from_ms)
                .saturating_sub(1);
            let after = self.states.partition_point(|state| state.at_ms <= to_ms);
            for state in self.states.get(first..after).unwrap_or(&[]) {
                known = true;
                let mut eligible = state.isr.iter().chain(&state.elr);
                if eligible.all(|broker| destroyed.contains(broker)) {
                    return Some(true);
                }
            }
        }
        known.then_some(false)
    }

    /// Whether a broker was seen to leave the ISR and come back to it in between: it has copied everything anew.
    fn was_restored(&self, broker: i32, from_ms: u64, to_ms: u64) -> bool {
        let within = |state: &&&PartitionState| (from_ms..=to_ms).contains(&state.at_ms);
        let mut states = self.states.iter().filter(within);
        states.any(|state| !state.isr.contains(&broker))
            && states.any(|state| state.isr.contains(&broker))
    }

    /// Whether a fault held a broker back, so that it may still have acted as a leader at `at_ms`.
    pub(super) fn was_held_back(&self, broker: i32, at_ms: u64) -> bool {
        let is_it = |node: &str| self.brokers.get(node) == Some(&broker);
        let may_act = |asked_ms: Option<u64>, cleared_ms: Option<u64>| {
            let begun = asked_ms.is_some_and(|asked| asked <= at_ms.saturating_add(SLACK_MS));
            let over = cleared_ms.map_or(u64::MAX, |cleared| cleared.saturating_add(ZOMBIE_MS));
            begun && over >= at_ms
        };
        self.faults.iter().any(|fault| match fault.legs.as_slice() {
            // A cut has two sides, and either one may go on as if it were alone.
            [] => fault.sides().any(is_it) && may_act(fault.asked_ms, fault.cleared_ms),
            // It let go of who had lost the role.
            legs => legs.iter().any(|leg| {
                let cleared_ms = leg.cleared_ms.or(fault.cleared_ms);
                let mut sides = leg.nodes.iter().chain(&leg.peers);
                sides.any(|node| is_it(node)) && may_act(Some(leg.asked_ms), cleared_ms)
            }),
        })
    }
}

/// The id of a log's topic, where that was made anew under the name of an earlier one.
fn anew(log: &LogFacts, topics: &[TopicFacts]) -> Option<[u8; 16]> {
    let of = topics.iter().find(|topic| topic.topic == log.log.topic)?;
    let is_earlier = |other: &TopicFacts| other.name == of.name && other.topic < of.topic;
    topics.iter().any(is_earlier).then_some(of.topic_id)
}

/// The settings in force on a topic at a time; before the first ones were read, those.
pub(super) fn settings_at(topic: &TopicFacts, at_ms: u64) -> Option<&TopicSettings> {
    let after = topic.settings.partition_point(|(since_ms, _)| *since_ms <= at_ms);
    topic.settings.get(after.saturating_sub(1)).map(|(_, settings)| settings)
}

/// All settings in force at some moment from `from_ms` to `to_ms`.
pub(super) fn settings_between(
    topic: &TopicFacts,
    from_ms: u64,
    to_ms: u64,
) -> impl Iterator<Item = &TopicSettings> {
    let first = topic.settings.partition_point(|(since_ms, _)| *since_ms <= from_ms);
    let within = topic.settings.iter().skip(first.saturating_sub(1));
    let until = to_ms.max(from_ms);
    within
        .enumerate()
        .take_while(move |(index, (since_ms, _))| *index == 0 || *since_ms <= until)
        .map(|(_, (_, settings))| settings)
}
