//! Which rules stand on a connection, and what they come to.

use crate::draws::Draws;
use crate::rule::{Effect, End, Links, Rule, SEGMENT_BYTES, Ways};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It has said nothing yet.
    Unknown,
    Client,
    /// A broker; which one where it named itself.
    Broker(Option<i32>),
}

/// A direction of a connection, from the one who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBroker,
    FromBroker,
}

impl Direction {
    pub const BOTH: [Direction; 2] = [Direction::ToBroker, Direction::FromBroker];
}

/// Whether a connection to `to` is one of these links, and whether its node is the one who dialled.
pub fn is_of(links: &Links, to: i32, from: From, brokers: &BTreeSet<i32>) -> Option<bool> {
    let dialled = match from {
        From::Unknown => return None,
        From::Client => links.node == to && links.peers.contains(&End::Clients),
        From::Broker(Some(id)) => {
            if id == links.node && id != to {
                return links.peers.contains(&End::Node(to)).then_some(true);
            }
            links.node == to && links.peers.contains(&End::Node(id))
        }
        // Some other broker: it is meant where all of them are.
        From::Broker(None) => {
            let mut others = brokers.iter().filter(|id| **id != to);
            links.node == to && others.all(|id| links.peers.contains(&End::Node(*id)))
        }
    };
    dialled.then_some(false)
}

/// A rule on one connection.
#[derive(Debug)]
pub struct Standing {
    pub rule: Arc<Rule>,
    /// Directions that it is on.
    ways: [bool; 2],
    draws: [Draws; 2],
    /// Segments' bytes until one is lost, for each direction.
    until_loss: [u64; 2],
    /// Bytes that went through under it, both ways.
    pub carried: u64,
}

static STREAMS: AtomicU64 = AtomicU64::new(0);

impl Standing {
    /// `dialled`: the rule's node is the one who dialled. `is_first`: the connection was not under it yet.
    pub fn new(rule: Arc<Rule>, dialled: bool, number: u64, is_first: bool) -> Standing {
        if is_first {
            rule.tally.connected();
        }
        let ways = match &rule.effect {
            Effect::Delay { ways, .. } => match (ways, dialled) {
                (Ways::Both, _) => [true, true],
                (Ways::In, false) | (Ways::Out, true) => [true, false],
                (Ways::In, true) | (Ways::Out, false) => [false, true],
            },
            _ => [true, true],
        };
        let mut draws = [Draws::new(rule.seed, 2 * number), Draws::new(rule.seed, 2 * number + 1)];
        let until_loss = match &rule.effect {
            Effect::Loss { percent, .. } => {
                [0, 1].map(|way: usize| loss(&mut draws[way], *percent))
            }
            _ => [u64::MAX; 2],
        };
        Standing { rule, ways, draws, until_loss, carried: 0 }
    }

    pub fn is_on(&self, direction: Direction) -> bool {
        self.ways[direction as usize]
    }

    pub fn draws(&mut self, direction: Direction) -> &mut Draws {
        &mut self.draws[direction as usize]
    }

    pub fn until_loss(&mut self, direction: Direction) -> &mut u64 {
        &mut self.until_loss[direction as usize]
    }

    /// The next segment to be lost.
    pub fn lose_again(&mut self, direction: Direction, percent: u8) {
        let way = direction as usize;
        // What was lost has been sent again: it gets through first.
        self.until_loss[way] = loss(&mut self.draws[way], percent).max(SEGMENT_BYTES);
    }
}

fn loss(draws: &mut Draws, percent: u8) -> u64 {
    draws.until_failure(percent).saturating_mul(SEGMENT_BYTES)
}

/// Numbers connections, for the streams of draws.
pub fn number() -> u64 {
    STREAMS.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_told_by_both_its_ends_whoever_dialled() {
        let brokers = BTreeSet::from([1, 2, 3]);
        let links = |node, peers: &[End]| Links { node, peers: peers.iter().copied().collect() };
        let of = |links: &Links, to, from| is_of(links, to, from, &brokers);
        let clients = links(2, &[End::Clients]);
        assert_eq!(of(&clients, 2, From::Client), Some(false));
        assert_eq!(of(&clients, 1, From::Client), None);
        assert_eq!(of(&clients, 2, From::Broker(Some(1))), None);
        let one = links(2, &[End::Node(1)]);
        assert_eq!(of(&one, 2, From::Broker(Some(1))), Some(false));
        assert_eq!(of(&one, 1, From::Broker(Some(2))), Some(true));
        assert_eq!(of(&one, 1, From::Broker(Some(3))), None);
        assert_eq!(of(&one, 2, From::Broker(None)), None);
        let all = links(2, &[End::Node(1), End::Node(3)]);
        assert_eq!(of(&all, 2, From::Broker(None)), Some(false));
        assert_eq!(of(&all, 2, From::Unknown), None);
        assert_eq!(of(&all, 2, From::Client), None);
    }
}
