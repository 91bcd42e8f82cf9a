//! Whom (or which part of the topic) a fault hits, and from whom it cuts each of them off.

use super::Nemesis;
use super::recipe_run::RecipeRun;
use crate::deed::Deed;
use crate::plan::{Peers, Pick};
use crate::random::Stream;
use crate::target::Peer;
use crate::topic_deed::TopicDeed;
use model::fault::{CUT_FROM, FaultRecord, LINKS_WITH, Role};
use std::collections::{BTreeMap, BTreeSet};

/// The nodes that a fault hits (or the topic, or its logs), each with its peers; those are empty for deeds that need none.
pub type Victims = BTreeMap<String, BTreeSet<Peer>>;

/// Draws among peers until one is another node.
const DRAWS_MAX: u32 = 16;

impl Nemesis {
    /// The nodes of a role with their peers, or why there are none.
    pub(super) fn victims(
        &self,
        deed: Deed,
        on: &Role,
        pick: Pick,
        peers: Option<&Peers>,
        partition: u32,
        draw: u64,
        run: Option<&RecipeRun>,
    ) -> Result<Victims, String> {
        if let Deed::Split { shape } = deed {
            let cut = shape.fall_apart(&self.topology.nodes(), draw);
            let as_peers = |nodes: BTreeSet<String>| nodes.into_iter().map(Peer::Node).collect();
            return Ok(cut.into_iter().map(|(node, others)| (node, as_peers(others))).collect());
        }
        if let Deed::Topic(deed) = deed {
            let parts = self.parts_of_topic(deed, on, partition)?;
            return Ok(parts.into_iter().map(|part| (part, BTreeSet::new())).collect());
        }
        if let Role::Producer | Role::Producers | Role::Member = on {
            let clients = self.clients(on, draw);
            return Ok(clients.map(|client| (client, BTreeSet::new())).collect());
        }
        let nodes = self.resolve(on, pick, partition, draw, run)?;
        let peers = match deed {
            Deed::Isolate { .. } => &Peers::Everyone,
            Deed::Cut(_) | Deed::Flap { .. } | Deed::Link(_) => peers.ok_or("it has no peers")?,
            _ => return Ok(nodes.into_iter().map(|node| (node, BTreeSet::new())).collect()),
        };
        let mut stream = Stream::new(draw, "peers");
        for _ in 0..DRAWS_MAX {
            let found = self.peers(peers, partition, stream.next_u64(), run)?;
            let others = |node: &String| -> BTreeSet<Peer> {
                let own = Peer::Node(node.clone());
                found.iter().filter(|peer| **peer != own).cloned().collect()
            };
            // A node that plays both parts is not hit: there is nothing to cut it off from.
            let cut = nodes.iter().map(|node| (node.clone(), others(node)));
            let cut: Victims = cut.filter(|(_, peers)| !peers.is_empty()).collect();
            if !cut.is_empty() {
                return Ok(cut);
            }
        }
        Err(format!("`{peers}` came to nobody but {}", nodes.join(", ")))
    }

    /// The load's producers by their names, `p1` and so on, or places in its group, `m1` and so on.
    fn clients(&self, on: &Role, draw: u64) -> impl Iterator<Item = String> + use<> {
        let (prefix, count) = match on {
            Role::Member => ('m', self.consumers),
            _ => ('p', self.producers),
        };
        let drawn = 1 + Stream::new(draw, "clients").next_u64() % u64::from(count.max(1));
        let all = *on == Role::Producers;
        (1..=u64::from(count))
            .filter(move |number| all || *number == drawn)
            .map(move |number| format!("{prefix}{number}"))
    }

    /// The topic by its name, or the logs that the deed is about, as `topic-partition`.
    fn parts_of_topic(
        &self,
        deed: TopicDeed,
        on: &Role,
        drawn: u32,
    ) -> Result<Vec<String>, String> {
        let count = self.acked.len() as u32;
        let log = |partition: u32| format!("{}-{partition}", self.topic);
        // Beginning with the drawn one, for deeds that not every partition is fit for.
        let partitions = (0..count).map(|step| (drawn + step) % count);
        match deed {
            TopicDeed::ChangeConfig { .. }
            | TopicDeed::AddPartitions { .. }
            | TopicDeed::Recreate => Ok(vec![self.topic.clone()]),
            TopicDeed::Reassign { .. } | TopicDeed::DeleteRecords { .. } => match on {
                Role::Topic => Ok(partitions.map(log).collect()),
                _ => Ok(vec![log(drawn)]),
            },
            TopicDeed::ElectPreferred | TopicDeed::ElectUnclean | TopicDeed::TransferLeadership => {
                let fit = |partition: &u32| self.is_fit(deed, *partition);
                let mut fit: Vec<String> = partitions.filter(fit).map(log).collect();
                if *on == Role::Partition {
                    fit.truncate(1);
                }
                let nobody = match deed {
                    TopicDeed::TransferLeadership => {
                        "no partition had a leader and another replica in sync"
                    }
                    TopicDeed::ElectUnclean => {
                        "no partition was without a leader while one of its replicas was alive"
                    }
                    _ => {
                        "no partition was led by another than its preferred leader while that was in sync"
                    }
                };
                if fit.is_empty() { Err(nobody.to_string()) } else { Ok(fit) }
            }
        }
    }

    /// Whether an election would change anything, as far as is known.
    fn is_fit(&self, deed: TopicDeed, partition: u32) -> bool {
        let Some(state) = self.view.partition(partition) else { return false };
        match deed {
            TopicDeed::TransferLeadership => {
                state.leader >= 0 && !self.view.heirs(partition).is_empty()
            }
            TopicDeed::ElectUnclean => {
                let is_alive = |broker: &i32| self.view.is_alive(*broker) == Some(true);
                state.leader < 0 && state.replicas.iter().any(is_alive)
            }
            _ => state
                .replicas
                .first()
                .is_some_and(|first| state.leader != *first && state.isr.contains(first)),
        }
    }

    /// A proxy stands in front of brokers alone.
    fn has_links(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Node(name) => self.topology.is_broker(name),
            Peer::Clients => true,
        }
    }

    fn peers(
        &self,
        peers: &Peers,
        partition: u32,
        draw: u64,
        run: Option<&RecipeRun>,
    ) -> Result<BTreeSet<Peer>, String> {
        let nodes = || self.topology.nodes().into_iter().map(Peer::Node);
        let brokers = || nodes().filter(|peer| self.has_links(peer));
        Ok(match peers {
            Peers::Role(role) => {
                let nodes = self.resolve(role, Pick::Any, partition, draw, run)?;
                nodes.into_iter().map(Peer::Node).collect()
            }
            Peers::Nodes => nodes().collect(),
            Peers::Clients => BTreeSet::from([Peer::Clients]),
            Peers::Everyone => nodes().chain([Peer::Clients]).collect(),
            Peers::Brokers => brokers().collect(),
            Peers::BrokersAndClients => brokers().chain([Peer::Clients]).collect(),
        })
    }
}

/// Writes the peers that were found into the record.
pub fn note(record: &mut FaultRecord, deed: Deed, victims: &Victims) {
    let words = |peers: &BTreeSet<Peer>| peers.iter().map(Peer::to_string).collect::<Vec<_>>();
    let peers: BTreeMap<String, Vec<String>> =
        victims.iter().map(|(node, peers)| (node.clone(), words(peers))).collect();
    record.note_peers(if deed.cut().is_some() { CUT_FROM } else { LINKS_WITH }, &peers);
}
