//! Faults that go after their role: when another node plays it, the fault is undone where it is, and begins anew there.
//!
//! Promises: one leg after the other, each of them undone and seen over before the next, so that limits hold at every moment; all of
//! them are one fault with one record, held for as long as the plan says in all. A role that nobody plays just now leaves the
//! fault where it is.

use super::damage::{Damage, testify};
use super::peers::{self, Victims};
use super::{Deed, Nemesis, Peers, Pick, Role};
use crate::target::Peer;
use model::fault::{FaultState, Leg};
use std::collections::BTreeSet;

/// A fault that follows.
#[derive(Clone, Debug)]
pub struct Following {
    pub deed: Deed,
    pub on: Role,
    pub pick: Pick,
    pub peers: Option<Peers>,
    pub partition: u32,
    pub draw: u64,
    /// Whom it is on.
    pub victims: Victims,
    /// Whom it is on or was, in all legs together.
    pub ever: Victims,
    /// When the leg that ends now would have ended without a move; none: it is where it belongs.
    pub moves_until_ms: Option<u64>,
}

impl Nemesis {
    /// Moves those whose role has moved, and lets go of those that are through.
    pub(super) fn follow(&mut self, now_ms: u64) {
        for id in self.following.keys().copied().collect::<Vec<_>>() {
            let following = self.following[&id].clone();
            let damage = self.damages.get(&id).expect("it was injected");
            match (damage.is_damaging(), following.moves_until_ms) {
                (true, None) => self.leave(now_ms, id, &following),
                (true, Some(_)) => {}
                (false, None) => {
                    self.following.remove(&id);
                }
                (false, Some(until_ms)) if self.healing || now_ms >= until_ms => {
                    self.following.remove(&id);
                }
                (false, Some(until_ms)) => self.arrive(now_ms, id, &following, until_ms),
            }
        }
    }

    fn sought(&self, of: &Following) -> Option<Victims> {
        let peers = of.peers.as_ref();
        self.victims(of.deed, &of.on, of.pick, peers, of.partition, of.draw, None).ok()
    }

    /// Ends the leg on nodes that do not play the role any more.
    fn leave(&mut self, now_ms: u64, id: u32, following: &Following) {
        let Some(until_ms) = self.damages[&id].held_until_ms() else { return };
        let moved = self.sought(following).is_some_and(|sought| sought != following.victims);
        if !moved || now_ms >= until_ms {
            return;
        }
        self.damages.get_mut(&id).expect("it is there").heal(now_ms);
        self.following.get_mut(&id).expect("it follows").moves_until_ms = Some(until_ms);
    }

    /// Begins the next leg, where limits and other faults let it.
    fn arrive(&mut self, now_ms: u64, id: u32, following: &Following, until_ms: u64) {
        let Some(sought) = self.sought(following) else { return };
        if self.meets_its_like(following.deed, &sought).is_some() || !self.within_limits(&sought) {
            return;
        }
        let record = self.records.get_mut(&id).expect("every fault is planned");
        if record.state != FaultState::Cleared {
            // A leg that was not seen in effect is the last one.
            self.following.remove(&id);
            return;
        }
        let names: Vec<&str> = sought.keys().map(String::as_str).collect();
        testify(record, format!("it followed its role to {}", names.join(", ")));
        if record.legs.is_empty() {
            record.legs.push(leg(&following.victims, record.asked_ms.unwrap_or(now_ms)));
        }
        if let Some(last) = record.legs.last_mut() {
            last.cleared_ms = record.cleared_ms;
        }
        record.legs.push(leg(&sought, now_ms));
        let mut ever = following.ever.clone();
        for (node, others) in &sought {
            ever.entry(node.clone()).or_default().extend(others.iter().cloned());
        }
        peers::note(record, following.deed, &ever);
        for node in sought.keys().filter(|node| !record.nodes.contains(node)).collect::<Vec<_>>() {
            record.nodes.push(node.clone());
        }
        record.state = FaultState::Asked;
        (record.healed_ms, record.cleared_ms) = (None, None);
        let held_ms = Some(until_ms - now_ms);
        self.damages.insert(id, Damage::new(id, following.deed, sought.clone(), held_ms, now_ms));
        self.changed.insert(id);
        let following = self.following.get_mut(&id).expect("it follows");
        (following.victims, following.ever, following.moves_until_ms) = (sought, ever, None);
    }
}

fn leg(victims: &Victims, asked_ms: u64) -> Leg {
    let peers: BTreeSet<String> = victims
        .values()
        .flatten()
        .filter_map(|peer| match peer {
            Peer::Node(name) => Some(name.clone()),
            Peer::Clients => None,
        })
        .collect();
    let (nodes, peers) = (victims.keys().cloned().collect(), peers.into_iter().collect());
    Leg { nodes, peers, asked_ms, cleared_ms: None }
}
