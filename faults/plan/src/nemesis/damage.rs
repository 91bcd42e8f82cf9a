//! One fault from its injection to the probe that sees it over.

use super::peers::Victims;
use crate::deed::{Deed, Resource, Rhythm};
use crate::target::{Action, Event, Expect, Peer, Topology};
use crate::view::View;
use model::fault::{FaultRecord, FaultState};
use std::collections::BTreeSet;

/// How long a fault may take to be seen in effect.
const CONFIRM_TIMEOUT_MS: u64 = 5_000;
/// Between two probes of one fault.
const PROBE_EVERY_MS: u64 = 10;
/// Between two attempts to heal, where an attempt failed or its effect is not seen.
const HEAL_AGAIN_MS: u64 = 1_000;
/// How long after a cut the cluster may take to count a node as alive. Past that the node has troubles of its own, which
/// no mending of ours ends.
const AGREE_WITHIN_MS: u64 = 20_000;
/// Evidence kept of one fault; a node that won't start says so many times.
const EVIDENCE_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked for.
    Due,
    /// Asked for; probes look whether it took effect.
    Confirming,
    /// In effect until then; `None`: until told.
    Holding {
        until_ms: Option<u64>,
        /// Of what comes and goes: whether it is in effect now, and until when.
        beat: Option<Beat>,
    },
    /// To be undone, and probed until it is over.
    Healing,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beat {
    rhythm: Rhythm,
    on: bool,
    until_ms: u64,
}

/// What a fault has to know of the rest.
pub struct Surroundings<'a> {
    pub view: &'a View,
    pub topology: &'a Topology,
    /// Nodes that another fault still keeps from being counted as alive.
    pub held_by_others: BTreeSet<String>,
}

/// The fault on one of its nodes.
#[derive(Clone, Debug)]
struct Hit {
    node: String,
    peers: Vec<Peer>,
    /// The deed was carried out.
    done: bool,
    confirmed: bool,
    /// When healing was last asked for, and whether it was carried out.
    heal_asked_ms: Option<u64>,
    heal_done: bool,
    /// What the probe saw, until the cluster sees it too.
    seen_over: Option<String>,
    over: bool,
}

/// A fault that was asked for.
#[derive(Clone, Debug)]
pub struct Damage {
    id: u32,
    deed: Deed,
    hits: Vec<Hit>,
    stage: Stage,
    hold_ms: Option<u64>,
    asked_ms: u64,
    probed_ms: Option<u64>,
}

impl Damage {
    pub fn new(
        id: u32,
        deed: Deed,
        victims: Victims,
        hold_ms: Option<u64>,
        asked_ms: u64,
    ) -> Damage {
        let hit = |(node, peers): (String, BTreeSet<Peer>)| Hit {
            node,
            peers: peers.into_iter().collect(),
            done: false,
            confirmed: false,
            heal_asked_ms: None,
            heal_done: false,
            seen_over: None,
            over: false,
        };
        let hits = victims.into_iter().map(hit).collect();
        Damage { id, deed, hits, stage: Stage::Due, hold_ms, asked_ms, probed_ms: None }
    }

    pub fn deed(&self) -> Deed {
        self.deed
    }

    pub fn resource(&self) -> Resource {
        self.deed.resource()
    }

    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.hits.iter().map(|hit| hit.node.as_str())
    }

    /// Nodes that it may still keep from the cluster: those that it hit, and who is on the other end of its cuts.
    pub fn holds_back(&self) -> BTreeSet<String> {
        let hits = self.hits.iter().filter(|hit| self.is_damaging() && hit.seen_over.is_none());
        let mut held = BTreeSet::new();
        for hit in hits.filter(|hit| !hit.over) {
            held.insert(hit.node.clone());
            held.extend(hit.peers.iter().filter_map(|peer| match peer {
                Peer::Node(name) => Some(name.clone()),
                Peer::Clients => None,
            }));
        }
        held
    }

    /// Its nodes may still be damaged.
    pub fn is_damaging(&self) -> bool {
        self.stage != Stage::Over
    }

    /// In effect, and not yet asked to heal.
    pub fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Holding { .. })
    }

    /// Until when it is held, where it is and that is known.
    pub fn held_until_ms(&self) -> Option<u64> {
        match self.stage {
            Stage::Holding { until_ms, .. } => until_ms,
            _ => None,
        }
    }

    /// It was asked to heal, or is over.
    pub fn is_healed(&self) -> bool {
        matches!(self.stage, Stage::Healing | Stage::Over)
    }

    /// Ends it, whatever it has come to.
    pub fn heal(&mut self, now_ms: u64) {
        match self.stage {
            // Nobody was asked to do anything yet.
            Stage::Due => self.stage = Stage::Over,
            Stage::Confirming | Stage::Holding { .. } => self.stage = Stage::Healing,
            Stage::Healing | Stage::Over => return,
        }
        self.probed_ms = Some(now_ms);
    }

    /// Takes an answer to one of its actions.
    pub fn on_answer(&mut self, now_ms: u64, node: &str, event: &Event, record: &mut FaultRecord) {
        let healing = self.stage == Stage::Healing;
        let Some(hit) = self.hits.iter_mut().find(|hit| hit.node == node) else { return };
        match event {
            Event::Done { .. } if healing => hit.heal_done = true,
            Event::Done { .. } => hit.done = true,
            Event::Failed { error, .. } => {
                testify(record, format!("{node}: {error}"));
                if self.is_held() {
                    // It was in effect: what comes and goes does not come any more.
                    self.heal(now_ms);
                } else if !healing && self.stage != Stage::Over {
                    self.not_confirmed(now_ms, record);
                }
            }
            Event::Confirmed { evidence, .. }
                if self.stage == Stage::Confirming && !hit.confirmed =>
            {
                hit.confirmed = true;
                testify(record, format!("{node}: {evidence}"));
            }
            Event::Cleared { evidence, .. } if healing => hit.seen_over = Some(evidence.clone()),
            Event::NotCleared { .. } if healing => hit.seen_over = None,
            _ => {}
        }
    }

    fn not_confirmed(&mut self, now_ms: u64, record: &mut FaultRecord) {
        record.state = FaultState::NotConfirmed;
        self.heal(now_ms);
    }

    /// Asks for what is next. Answers whether the record changed.
    pub fn drive(
        &mut self,
        now_ms: u64,
        around: &Surroundings<'_>,
        record: &mut FaultRecord,
        actions: &mut Vec<Action>,
    ) -> bool {
        match self.stage {
            Stage::Due => {
                for hit in &self.hits {
                    let (fault, node, deed) = (self.id, hit.node.clone(), self.deed);
                    actions.push(Action::Inject { fault, node, deed, peers: hit.peers.clone() });
                }
                self.stage = Stage::Confirming;
                false
            }
            Stage::Confirming => self.confirm(now_ms, record, actions),
            Stage::Holding { until_ms, beat } => {
                if until_ms.is_some_and(|until_ms| now_ms >= until_ms) {
                    self.heal(now_ms);
                    return self.undo(now_ms, around, record, actions);
                }
                let beat = beat.map(|beat| self.pulse(now_ms, beat, actions));
                self.stage = Stage::Holding { until_ms, beat };
                false
            }
            Stage::Healing => self.undo(now_ms, around, record, actions),
            Stage::Over => false,
        }
    }

    /// Turns on or off what comes and goes, when it is time.
    fn pulse(&self, now_ms: u64, beat: Beat, actions: &mut Vec<Action>) -> Beat {
        if now_ms < beat.until_ms {
            return beat;
        }
        let on = !beat.on;
        for hit in &self.hits {
            actions.push(Action::Pulse { fault: self.id, node: hit.node.clone(), on });
        }
        let period = if on { beat.rhythm.on } else { beat.rhythm.off };
        Beat { on, until_ms: now_ms + period.0, ..beat }
    }

    fn confirm(
        &mut self,
        now_ms: u64,
        record: &mut FaultRecord,
        actions: &mut Vec<Action>,
    ) -> bool {
        if self.hits.iter().all(|hit| hit.confirmed) {
            record.state = FaultState::Confirmed;
            // Of one that follows its role, in its first leg.
            record.confirmed_ms.get_or_insert(now_ms);
            let until_ms = self.hold_ms.map(|hold| now_ms + hold);
            let beat = self.deed.rhythm().map(|rhythm| Beat {
                rhythm,
                on: true,
                until_ms: now_ms + rhythm.on.0,
            });
            self.stage = Stage::Holding { until_ms, beat };
            return true;
        }
        let within_ms = CONFIRM_TIMEOUT_MS + self.deed.takes_ms();
        if now_ms >= self.asked_ms + within_ms {
            testify(record, format!("not seen in effect after {} s", within_ms / 1000));
            self.not_confirmed(now_ms, record);
            return true;
        }
        if self.probe_is_due(now_ms) {
            for hit in self.hits.iter().filter(|hit| hit.done && !hit.confirmed) {
                actions.push(self.probe(&hit.node, Expect::InEffect));
            }
        }
        false
    }

    fn undo(
        &mut self,
        now_ms: u64,
        around: &Surroundings<'_>,
        record: &mut FaultRecord,
        actions: &mut Vec<Action>,
    ) -> bool {
        let mut changed = false;
        if record.healed_ms.is_none() {
            record.healed_ms = Some(now_ms);
            changed = true;
        }
        let fault = self.id;
        let waited_ms = now_ms - record.healed_ms.unwrap_or(now_ms);
        let patient = self.deed.resource().ends_nodes() || waited_ms < AGREE_WITHIN_MS;
        let probe_now = self.probe_is_due(now_ms);
        for hit in self.hits.iter_mut().filter(|hit| !hit.over) {
            let asked_long_ago =
                hit.heal_asked_ms.is_none_or(|asked_ms| now_ms >= asked_ms + HEAL_AGAIN_MS);
            if !hit.heal_done && asked_long_ago {
                hit.heal_asked_ms = Some(now_ms);
                actions.push(Action::Heal { fault, node: hit.node.clone() });
                continue;
            }
            if let Some(evidence) = &hit.seen_over
                && (!patient || cluster_agrees(&hit.node, around))
            {
                testify(record, format!("{}: {evidence}", hit.node));
                hit.over = true;
                changed = true;
                continue;
            }
            if hit.heal_done && hit.seen_over.is_none() && asked_long_ago {
                // It was undone and does not show: a node that died while starting is started again.
                hit.heal_done = false;
            } else if hit.heal_done && probe_now {
                let node = hit.node.clone();
                actions.push(Action::Probe { fault, node, expect: Expect::Over });
            }
        }
        if self.hits.iter().all(|hit| hit.over) {
            self.stage = Stage::Over;
            record.cleared_ms = Some(now_ms);
            if record.state != FaultState::NotConfirmed {
                record.state = FaultState::Cleared;
            }
            changed = true;
        }
        changed
    }

    fn probe_is_due(&mut self, now_ms: u64) -> bool {
        let due = self.probed_ms.is_none_or(|probed_ms| now_ms >= probed_ms + PROBE_EVERY_MS);
        if due {
            self.probed_ms = Some(now_ms);
        }
        due
    }

    fn probe(&self, node: &str, expect: Expect) -> Action {
        Action::Probe { fault: self.id, node: node.to_string(), expect }
    }
}

/// A broker is back only when the controller counts it as alive again; where nobody observes that, or another fault
/// keeps it from coming about, the probe is all there is to go by.
fn cluster_agrees(node: &str, around: &Surroundings<'_>) -> bool {
    let broker = around.topology.brokers.iter().find(|member| member.name == node);
    around.held_by_others.contains(node)
        || broker.is_none_or(|member| around.view.is_alive(member.id) != Some(false))
}

/// Writes evidence down, as long as there is not too much of it.
pub(super) fn testify(record: &mut FaultRecord, evidence: String) {
    if record.evidence.len() < EVIDENCE_MAX {
        record.evidence.push(evidence);
    }
}
