//! Faults as recorded facts: what was asked, on whom, when it was seen to take effect, when it was seen to be over.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Whom a fault hits, by the part that the node plays when the fault is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The leader of a partition.
    Leader,
    /// A follower of a partition.
    Follower,
    /// All followers of a partition.
    Followers,
    /// The active controller.
    Controller,
    ControllerFollower,
    /// Any one broker.
    One,
    Minority,
    Majority,
    All,
    /// Every node of one rack.
    Rack,
    /// Whoever leads the partition now, where an earlier step of the recipe hit its leader.
    Successor,
    /// Who led the partition when the recipe began.
    PreviousLeader,
    /// The last member of the partition's ISR.
    LastInSync,
    /// The nodes that earlier steps of the recipe held back.
    Starved,
    /// A partition of the topic, whoever leads it.
    Partition,
    /// The whole topic.
    Topic,
    /// One producer of the load, drawn.
    Producer,
    /// All producers of the load.
    Producers,
    /// One member of the load's consumer group, drawn.
    Member,
    /// One node by its name.
    #[serde(untagged)]
    Node(String),
}

/// What became of a planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultState {
    Planned,
    /// The undo record is on disk and the injection was asked for.
    Asked,
    /// The probe saw it take effect.
    Confirmed,
    /// The probe saw that it is over.
    Cleared,
    /// Its role was empty when it was due.
    NotInjected,
    /// The probe did not see it take effect in time.
    NotConfirmed,
    /// The probe did not see it end in time.
    NotCleared,
}

/// Copies of data that a fault destroyed, by what was really done; the judge weighs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destroys {
    Nothing,
    /// Everything on the node's disk.
    Disk,
    /// What the node had not synced.
    Unsynced,
    /// When it is healed, what came to the disk after the fault had begun.
    Newer,
}

/// One fault of a run, as it stands at the end; `faults.jsonl` holds one line for each change of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// Counts the run's faults up from 1, in the order in which they were planned.
    pub id: u32,
    /// `kill`, `stall`, `wipe`, …
    pub name: String,
    /// The recipe whose step this was.
    pub recipe: Option<String>,
    pub role: Role,
    /// The log whose leader or followers were meant, as `topic-partition`, where the role needs one.
    pub partition: Option<String>,
    /// The nodes that the role came to, `n1`, `n2`, …; of faults on the topic its name, or the logs, as `topic-partition`.
    pub nodes: Vec<String>,
    pub state: FaultState,
    pub destroys: Destroys,
    /// All times are milliseconds since the run began.
    pub planned_ms: u64,
    pub asked_ms: Option<u64>,
    pub confirmed_ms: Option<u64>,
    /// When healing was asked for.
    pub healed_ms: Option<u64>,
    pub cleared_ms: Option<u64>,
    /// How long it was to be held.
    pub for_ms: Option<u64>,
    /// What the probes measured, in words: `pid 4711 is gone`, `state T (stopped)`.
    pub evidence: Vec<String>,
    pub parameters: BTreeMap<String, String>,
    /// Of a fault that followed its role to other nodes, where it was when, the first leg first. Empty: where it was hit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legs: Vec<Leg>,
}

/// One leg of a fault that followed its role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The nodes that it was on.
    pub nodes: Vec<String>,
    /// Other nodes, on the other side of its cuts or links.
    pub peers: Vec<String>,
    pub asked_ms: u64,
    /// `None`: when the fault was.
    pub cleared_ms: Option<u64>,
}

/// The parameter that says from whom a fault cut its nodes off.
pub const CUT_FROM: &str = "cut_from";
/// The parameter that says whose connections to its nodes a fault was about.
pub const LINKS_WITH: &str = "links_with";

impl FaultRecord {
    /// Notes each node's peers under [`CUT_FROM`] or [`LINKS_WITH`]: `n2 n3`, or, where they are not the same for all of
    /// them, `n1: n3; n2: n3 n4`.
    pub fn note_peers<P: AsRef<str>>(&mut self, key: &str, peers: &BTreeMap<String, Vec<P>>) {
        let words = |peers: &[P]| peers.iter().map(P::as_ref).collect::<Vec<_>>().join(" ");
        let distinct: BTreeSet<String> = peers.values().map(|peers| words(peers)).collect();
        let text = match distinct.first() {
            Some(same) if distinct.len() == 1 => same.clone(),
            _ => {
                let each = peers.iter().map(|(node, peers)| format!("{node}: {}", words(peers)));
                each.collect::<Vec<String>>().join("; ")
            }
        };
        if !text.is_empty() {
            self.parameters.insert(key.to_string(), text);
        }
    }

    /// Everybody on either side of a cut or a link; of another fault, the nodes that it hit.
    pub fn sides(&self) -> impl Iterator<Item = &str> {
        let peers = [CUT_FROM, LINKS_WITH].into_iter().filter_map(|key| self.parameters.get(key));
        let others = peers.flat_map(|text| text.split([' ', ';', ':'])).filter(|w| !w.is_empty());
        self.nodes.iter().map(String::as_str).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_cut_off_is_on_a_side() {
        let peers = |of: &[(&str, &[&'static str])]| -> BTreeMap<String, Vec<&'static str>> {
            of.iter().map(|(node, peers)| (node.to_string(), peers.to_vec())).collect()
        };
        for (nodes, cut_from, text, sides) in [
            (vec!["n1"], peers(&[("n1", &["n2", "n3"])]), Some("n2 n3"), "n1 n2 n3"),
            (
                vec!["n1", "n2"],
                peers(&[("n1", &["n3", "n4"]), ("n2", &["n5"])]),
                Some("n1: n3 n4; n2: n5"),
                "n1 n2 n1 n3 n4 n2 n5",
            ),
            (vec!["n1"], peers(&[("n1", &[])]), None, "n1"),
        ] {
            let mut record = FaultRecord {
                id: 1,
                name: "cut".to_string(),
                recipe: None,
                role: Role::All,
                partition: None,
                nodes: nodes.into_iter().map(String::from).collect(),
                state: FaultState::Planned,
                destroys: Destroys::Nothing,
                planned_ms: 0,
                asked_ms: None,
                confirmed_ms: None,
                healed_ms: None,
                cleared_ms: None,
                for_ms: None,
                evidence: Vec::new(),
                parameters: BTreeMap::new(),
                legs: Vec::new(),
            };
            record.note_peers(CUT_FROM, &cut_from);
            assert_eq!(record.parameters.get("cut_from").map(String::as_str), text);
            assert_eq!(record.sides().collect::<Vec<_>>().join(" "), sides);
        }
    }
}
