//! The ways that a cut closes: from whom to whom.

use plan::Peer;
use plan::deed::Cut;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// From one place to another, one way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub from: Peer,
    pub to: Peer,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.from, self.to)
    }
}

/// The ways that a cut of a node from its peers closes.
pub fn closed(node: &str, peers: &[Peer], cut: Cut) -> BTreeSet<Way> {
    let own = Peer::Node(node.to_string());
    let mut ways = BTreeSet::new();
    for peer in peers {
        if cut.direction.takes_in() {
            ways.insert(Way { from: peer.clone(), to: own.clone() });
        }
        if cut.direction.takes_out() {
            ways.insert(Way { from: own.clone(), to: peer.clone() });
        }
    }
    ways
}

/// By where they end, from whom: there the rules stand.
pub fn by_end(ways: &BTreeSet<Way>) -> BTreeMap<&Peer, Vec<&Peer>> {
    let mut ends: BTreeMap<&Peer, Vec<&Peer>> = BTreeMap::new();
    for way in ways {
        ends.entry(&way.to).or_default().push(&way.from);
    }
    ends
}
