//! Cycles of dependencies, each named after the weakest order that it breaks.
//!
//! Components are sought six times, from the fewest kinds of edges to the most, and only among the operations that are
//! in a cycle of all edges at all: a history without cycles is walked once. A component is reported under a kind if no
//! cycle of a kind that implies it lies within. So every cycle in it needs each kind of edge in its name.

use super::Options;
use super::graph::{At, Graph, PROCESS, REALTIME, REDUCED, WRITE_READ, WRITE_WRITE};
use super::logs::NONE;
use super::tarjan::{Tarjan, Within};
use model::finding::{Edge, Kind};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// A cycle: each operation comes before the next by the edge beside it, and the last before the first.
pub(super) struct Cycle {
    pub(super) steps: Vec<(u32, Edge)>,
    /// Operations in the component that it was found in.
    pub(super) component: u64,
    /// There may be a shorter one.
    pub(super) unfinished: bool,
}

#[derive(Default)]
pub(super) struct Cycles {
    pub(super) count: u64,
    pub(super) kept: Vec<Cycle>,
}

struct Level {
    kind: Kind,
    edges: u8,
    /// Bits of the levels before it whose cycles imply one of this kind.
    implied_by: u8,
}

const fn level(kind: Kind, edges: u8, implied_by: u8) -> Level {
    Level { kind, edges, implied_by }
}

const ALL: u8 = WRITE_WRITE | WRITE_READ | PROCESS | REALTIME;

const LEVELS: [Level; 6] = [
    level(Kind::G0, WRITE_WRITE, 0),
    level(Kind::G0Process, WRITE_WRITE | PROCESS, 0b1),
    level(Kind::G0Realtime, WRITE_WRITE | PROCESS | REALTIME, 0b11),
    level(Kind::G1c, WRITE_WRITE | WRITE_READ, 0b1),
    level(Kind::G1cProcess, WRITE_WRITE | WRITE_READ | PROCESS, 0b1011),
    level(Kind::G1cRealtime, ALL, 0b11111),
];

pub(super) fn cycles(graph: &Graph, options: &Options) -> BTreeMap<Kind, Cycles> {
    let allowed = if options.ww_deps { ALL } else { ALL & !WRITE_WRITE };
    let reduced = if options.ww_deps { REDUCED } else { 0 };
    let mut tarjan = Tarjan::new(graph.nodes());
    let mut components: Vec<Vec<u32>> = Vec::new();
    let operations = 0..graph.operations;
    tarjan.components(graph, allowed | reduced, operations, None, |nodes| {
        components.push(nodes.to_vec())
    });
    let mut searching = Searching {
        graph,
        options,
        allowed,
        reduced,
        parts: vec![NONE; if components.is_empty() { 0 } else { graph.nodes() as usize }],
        marks: FxHashMap::default(),
        tarjan,
        found: BTreeMap::new(),
    };
    for (part, nodes) in components.iter_mut().enumerate() {
        nodes.sort_unstable();
        searching.component(part as u32, nodes);
    }
    searching.found
}

struct Searching<'a> {
    graph: &'a Graph<'a>,
    options: &'a Options,
    allowed: u8,
    reduced: u8,
    /// The component of each node, of all edges first and then of those of the level at hand.
    parts: Vec<u32>,
    /// Bits of the levels of whose cycles a node is part.
    marks: FxHashMap<u32, u8>,
    tarjan: Tarjan,
    found: BTreeMap<Kind, Cycles>,
}

impl Searching<'_> {
    fn component(&mut self, part: u32, nodes: &[u32]) {
        for node in nodes {
            self.parts[*node as usize] = part;
        }
        self.marks.clear();
        for (bit, level) in LEVELS.iter().enumerate() {
            let without_writes = level.edges & (self.allowed ^ ALL) != 0;
            if without_writes && level.edges & WRITE_READ == 0 {
                continue;
            }
            let edges = level.edges & self.allowed;
            self.tarjan.forget(nodes);
            let mut components = Vec::new();
            let within = Within { parts: &self.parts, part };
            let roots = nodes.iter().copied().filter(|node| self.graph.is_operation(*node));
            self.tarjan.components(
                self.graph,
                edges | self.reduced,
                roots,
                Some(&within),
                |nodes| {
                    components.push(nodes.to_vec());
                },
            );
            for component in &mut components {
                component.sort_unstable();
                self.judge(bit, level, edges, component);
            }
        }
        // What lies in no component any more must not be taken for a part of the next one.
        for node in nodes {
            self.parts[*node as usize] = NONE;
        }
    }

    fn judge(&mut self, bit: usize, level: &Level, edges: u8, nodes: &[u32]) {
        let marked = |node: &u32| self.marks.get(node).copied().unwrap_or(0);
        let implied = nodes.iter().any(|node| marked(node) & level.implied_by != 0);
        for node in nodes {
            *self.marks.entry(*node).or_default() |= 1 << bit;
        }
        if implied {
            return;
        }
        let found = self.found.entry(level.kind).or_default();
        found.count += 1;
        if found.kept.len() >= self.options.findings_max {
            return;
        }
        let search = Search { graph: self.graph, edges, nodes };
        let (steps, unfinished) = search.short_cycle(self.options.cycle_steps_max);
        let operations = nodes.iter().filter(|node| self.graph.is_operation(**node)).count();
        found.kept.push(Cycle { steps, component: operations as u64, unfinished });
    }
}

/// Within one component; `nodes` in order.
struct Search<'a> {
    graph: &'a Graph<'a>,
    edges: u8,
    nodes: &'a [u32],
}

/// How a node was come to: from where, and by which edge.
type Parents = FxHashMap<u32, (u32, Edge)>;

impl Search<'_> {
    fn has(&self, node: u32) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }

    /// The shortest cycle through any operation, as far as the steps reach; else any one.
    fn short_cycle(&self, steps_max: u64) -> (Vec<(u32, Edge)>, bool) {
        let mut steps = steps_max;
        let mut best: Option<Vec<(u32, Edge)>> = None;
        let mut unfinished = false;
        for start in self.nodes.iter().filter(|node| self.graph.is_operation(**node)) {
            let shorter = best.as_ref().map_or(u32::MAX, |best| best.len() as u32);
            if shorter == 2 {
                break;
            }
            match self.through(*start, shorter, &mut steps) {
                Some(Some(cycle)) => best = Some(cycle),
                Some(None) => {}
                None => {
                    unfinished = true;
                    break;
                }
            }
        }
        (best.unwrap_or_else(|| self.any_cycle()), unfinished)
    }

    /// The shortest cycle through `start` of fewer operations than `shorter`; `None`: out of steps.
    fn through(
        &self,
        start: u32,
        shorter: u32,
        steps: &mut u64,
    ) -> Option<Option<Vec<(u32, Edge)>>> {
        let mut parents = Parents::default();
        let mut queue = VecDeque::from([(start, 0u32)]);
        let mut settled: FxHashMap<u32, u32> = FxHashMap::default();
        while let Some((node, length)) = queue.pop_front() {
            if settled.get(&node).is_some_and(|known| *known < length) {
                continue;
            }
            let mut at = At::default();
            while let Some((before, edge)) = self.graph.before(node, self.edges, &mut at) {
                *steps = steps.checked_sub(1)?;
                if !self.has(before) {
                    continue;
                }
                let cost = length + u32::from(self.graph.is_operation(before));
                if before == start {
                    if cost >= shorter {
                        return Some(None);
                    }
                    return Some(Some(self.unroll(&parents, start, node, edge)));
                }
                if cost >= shorter || settled.get(&before).is_some_and(|known| *known <= cost) {
                    continue;
                }
                settled.insert(before, cost);
                parents.insert(before, (node, edge));
                if cost == length {
                    queue.push_front((before, cost));
                } else {
                    queue.push_back((before, cost));
                }
            }
        }
        Some(None)
    }

    /// From the last node of the search back to its start, which is the way of time.
    fn unroll(&self, parents: &Parents, start: u32, last: u32, edge: Edge) -> Vec<(u32, Edge)> {
        let mut steps = vec![(start, edge)];
        let mut node = last;
        while node != start {
            let (after, edge) = parents[&node];
            if self.graph.is_operation(node) {
                steps.push((node, edge));
            }
            node = after;
        }
        steps
    }

    /// From node to node within the component, until one is met again.
    fn any_cycle(&self) -> Vec<(u32, Edge)> {
        let mut seen: FxHashMap<u32, usize> = FxHashMap::default();
        let mut path: Vec<(u32, Edge)> = Vec::new();
        let mut node = self.nodes[0];
        loop {
            if let Some(begin) = seen.insert(node, path.len()) {
                path.drain(..begin);
                break;
            }
            let mut at = At::default();
            let mut edges = std::iter::from_fn(|| self.graph.before(node, self.edges, &mut at));
            let next = edges.find(|(before, _)| self.has(*before));
            let (before, edge) = next.expect("a node of a component has an edge within it");
            path.push((before, edge));
            node = before;
        }
        // Backwards in time so far: `path[i].0` comes before `path[i - 1].0`.
        path.reverse();
        path.retain(|(node, _)| self.graph.is_operation(*node));
        path
    }
}
