//! The shapes in which a whole cluster falls apart: who still reaches whom.
//!
//! Promises: symmetric (whom I reach, reaches me); nobody is cut off from itself; the same draw gives the same shape.
//! Clients are no part of it: they reach every node.

use crate::random::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Brokers and controllers of their own that a plan may have: `n1` to `n31`, `c1` to `c9`.
const BROKERS_MAX: usize = 31;
const NODES_MAX: usize = BROKERS_MAX + 9;

/// How a cluster falls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Two halves, drawn; of an odd number the second is the larger.
    Halves,
    /// Two halves with one node between them that reaches everybody.
    Bridge,
    /// Everybody reaches a majority, and no two the same one.
    MajoritiesRing,
    /// As the plan lists them.
    Racks(Racks),
}

impl Shape {
    pub const NAMES: [&str; 4] = ["halves", "bridge", "majorities-ring", "racks"];

    pub fn as_str(self) -> &'static str {
        match self {
            Shape::Halves => "halves",
            Shape::Bridge => "bridge",
            Shape::MajoritiesRing => "majorities-ring",
            Shape::Racks(_) => "racks",
        }
    }

    /// The fewest nodes with which it is what its name says.
    pub fn nodes_min(self) -> usize {
        match self {
            Shape::Halves | Shape::Racks(_) => 2,
            Shape::Bridge => 4,
            Shape::MajoritiesRing => 5,
        }
    }

    /// How many nodes count as damaged: the larger side goes on, and in a ring nobody is on a larger side.
    pub fn damages(self, nodes: usize) -> usize {
        match self {
            Shape::Halves => nodes / 2,
            Shape::Bridge => nodes.saturating_sub(1) / 2,
            Shape::MajoritiesRing => nodes,
            Shape::Racks(racks) => {
                nodes - racks.lists().iter().map(Vec::len).max().unwrap_or(0).min(nodes)
            }
        }
    }

    /// The damaged nodes, each with those that it can no longer reach.
    pub fn fall_apart(self, nodes: &[String], draw: u64) -> BTreeMap<String, BTreeSet<String>> {
        let mut order = nodes.to_vec();
        Stream::new(draw, "shape").shuffle(&mut order);
        let sides: Vec<Vec<String>> = match self {
            Shape::MajoritiesRing => return ring(&order),
            Shape::Halves => {
                let (left, right) = order.split_at(order.len() / 2);
                vec![left.to_vec(), right.to_vec()]
            }
            Shape::Bridge => {
                let (_, others) = order.split_first().expect("a cluster has nodes");
                let (left, right) = others.split_at(others.len() / 2);
                vec![left.to_vec(), right.to_vec()]
            }
            Shape::Racks(racks) => racks.lists(),
        };
        let largest = (0..sides.len()).rev().max_by_key(|at| sides[*at].len());
        let mut cuts = BTreeMap::new();
        for (at, side) in sides.iter().enumerate().filter(|(at, _)| Some(*at) != largest) {
            let others = sides.iter().enumerate().filter(|(other, _)| *other != at);
            let others: BTreeSet<String> = others.flat_map(|(_, side)| side.clone()).collect();
            cuts.extend(side.iter().map(|node| (node.clone(), others.clone())));
        }
        cuts
    }
}

/// Everybody reaches the nearest on either side, so many that with itself they are a majority.
fn ring(order: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let count = order.len();
    let reach = (count / 2).div_ceil(2);
    let far = |a: usize, b: usize| {
        let distance = a.abs_diff(b);
        distance.min(count - distance) > reach
    };
    let of = |at: usize| {
        let cut = (0..count).filter(|other| far(at, *other)).map(|other| order[other].clone());
        (order[at].clone(), cut.collect())
    };
    (0..count).map(of).collect()
}

/// Which nodes stand together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Racks {
    /// By the node's place ([`place`]), counted from 1; 0: in none.
    rack_of: [u8; NODES_MAX],
}

impl Racks {
    /// `None` where a node stands twice, or is none.
    pub fn new(lists: &[Vec<String>]) -> Option<Racks> {
        let mut rack_of = [0; NODES_MAX];
        for (at, list) in lists.iter().enumerate() {
            for node in list {
                let rack = rack_of.get_mut(place(node)?)?;
                if *rack != 0 {
                    return None;
                }
                *rack = u8::try_from(at + 1).ok()?;
            }
        }
        Some(Racks { rack_of })
    }

    /// The nodes of each rack, in their order.
    pub fn lists(self) -> Vec<Vec<String>> {
        let count = usize::from(self.rack_of.iter().copied().max().unwrap_or(0));
        let mut lists = vec![Vec::new(); count];
        for (at, rack) in self.rack_of.iter().enumerate().filter(|(_, rack)| **rack > 0) {
            let name = match at.checked_sub(BROKERS_MAX) {
                None => format!("n{}", at + 1),
                Some(controller) => format!("c{}", controller + 1),
            };
            lists[usize::from(*rack) - 1].push(name);
        }
        lists
    }
}

impl fmt::Debug for Racks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lists().fmt(f)
    }
}

/// Where a node's rack is noted.
fn place(node: &str) -> Option<usize> {
    let (prefix, number) = node.split_at_checked(1)?;
    let number = number.parse::<usize>().ok()?.checked_sub(1)?;
    match prefix {
        "n" if number < BROKERS_MAX => Some(number),
        "c" if BROKERS_MAX + number < NODES_MAX => Some(BROKERS_MAX + number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("n{n}")).collect()
    }

    /// Whom a node still reaches, itself included.
    fn reaches(
        node: &String,
        all: &[String],
        cuts: &BTreeMap<String, BTreeSet<String>>,
    ) -> BTreeSet<String> {
        let cut = |a: &String, b: &String| cuts.get(a).is_some_and(|peers| peers.contains(b));
        all.iter().filter(|other| !cut(node, other) && !cut(other, node)).cloned().collect()
    }

    #[test]
    fn in_a_ring_everybody_reaches_a_majority_and_nobody_all() {
        for count in 5..12 {
            let all = nodes(count);
            let cuts = Shape::MajoritiesRing.fall_apart(&all, 7);
            let views: Vec<_> = all.iter().map(|node| reaches(node, &all, &cuts)).collect();
            assert!(views.iter().all(|view| view.len() > count / 2 && view.len() < count));
            let distinct: BTreeSet<_> = views.iter().collect();
            assert_eq!(distinct.len(), count, "no two reach the same");
            assert_eq!(cuts.len(), Shape::MajoritiesRing.damages(count));
        }
    }

    #[test]
    fn halves_reach_only_their_own_and_a_bridge_reaches_both() {
        for (shape, everywhere) in [(Shape::Halves, 0), (Shape::Bridge, 1)] {
            for count in 4..9 {
                let all = nodes(count);
                let cuts = shape.fall_apart(&all, 3);
                assert_eq!(cuts.len(), shape.damages(count));
                let views: Vec<_> = all.iter().map(|node| reaches(node, &all, &cuts)).collect();
                let whole = views.iter().filter(|view| view.len() == count).count();
                assert_eq!(whole, everywhere);
                let left = cuts.keys().next().unwrap();
                assert_eq!(reaches(left, &all, &cuts).len(), cuts.len() + everywhere);
            }
        }
    }

    #[test]
    fn racks_are_as_listed_and_printed_as_listed() {
        let lists = vec![
            vec!["n1".to_string(), "c1".to_string()],
            vec!["n2".to_string(), "n3".to_string(), "n4".to_string()],
        ];
        let racks = Racks::new(&lists).unwrap();
        assert_eq!(racks.lists(), lists);
        let all: Vec<String> = lists.concat();
        let cuts = Shape::Racks(racks).fall_apart(&all, 1);
        assert_eq!(cuts.len(), 2);
        assert_eq!(cuts["c1"], lists[1].iter().cloned().collect());
        for wrong in [vec![vec!["n1"], vec!["n1"]], vec![vec!["n32"]], vec![vec!["x"], vec![""]]] {
            let wrong: Vec<Vec<String>> = wrong
                .into_iter()
                .map(|list| list.into_iter().map(str::to_string).collect())
                .collect();
            assert_eq!(Racks::new(&wrong), None);
        }
    }
}
