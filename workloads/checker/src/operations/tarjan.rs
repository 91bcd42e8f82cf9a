//! Strongly connected components, in time linear in nodes and edges, without recursion.

use super::graph::{At, Graph};
use super::logs::NONE;

/// Which nodes a search stays among: those of one part, or all.
pub(super) struct Within<'a> {
    pub(super) parts: &'a [u32],
    pub(super) part: u32,
}

struct Frame {
    node: u32,
    at: At,
}

/// Working memory, kept from search to search.
pub(super) struct Tarjan {
    /// In the order of discovery, from 1; `NONE` once its component is known.
    order: Vec<u32>,
    low: Vec<u32>,
    frames: Vec<Frame>,
    path: Vec<u32>,
    next: u32,
}

impl Tarjan {
    pub(super) fn new(nodes: u32) -> Tarjan {
        let nodes = nodes as usize;
        Tarjan {
            order: vec![0; nodes],
            low: vec![0; nodes],
            frames: Vec::new(),
            path: Vec::new(),
            next: 0,
        }
    }

    /// Gives every component of more than one node that can be reached from `roots`, each root's nodes in no
    /// particular order.
    pub(super) fn components(
        &mut self,
        graph: &Graph,
        edges: u8,
        roots: impl Iterator<Item = u32>,
        within: Option<&Within>,
        mut found: impl FnMut(&[u32]),
    ) {
        for root in roots {
            if self.order[root as usize] == 0 {
                self.search(graph, edges, root, within, &mut found);
            }
        }
    }

    /// Before another search among the same nodes.
    pub(super) fn forget(&mut self, nodes: &[u32]) {
        for node in nodes {
            self.order[*node as usize] = 0;
        }
        self.next = 0;
    }

    fn enter(&mut self, node: u32) {
        self.next += 1;
        self.order[node as usize] = self.next;
        self.low[node as usize] = self.next;
        self.path.push(node);
        self.frames.push(Frame { node, at: At::default() });
    }

    fn search(
        &mut self,
        graph: &Graph,
        edges: u8,
        root: u32,
        within: Option<&Within>,
        found: &mut impl FnMut(&[u32]),
    ) {
        self.enter(root);
        while let Some(frame) = self.frames.last_mut() {
            let node = frame.node;
            let Some((before, _)) = graph.before(node, edges, &mut frame.at) else {
                self.leave(node, found);
                continue;
            };
            if within.is_some_and(|within| within.parts[before as usize] != within.part) {
                continue;
            }
            match self.order[before as usize] {
                0 => self.enter(before),
                NONE => {}
                order => {
                    let low = &mut self.low[node as usize];
                    *low = (*low).min(order);
                }
            }
        }
    }

    fn leave(&mut self, node: u32, found: &mut impl FnMut(&[u32])) {
        self.frames.pop();
        let low = self.low[node as usize];
        if let Some(parent) = self.frames.last() {
            let parent = &mut self.low[parent.node as usize];
            *parent = (*parent).min(low);
        }
        if low != self.order[node as usize] {
            return;
        }
        let begin = self.path.iter().rposition(|on_path| *on_path == node);
        let begin = begin.expect("a node is on the path until its component is known");
        for member in &self.path[begin..] {
            self.order[*member as usize] = NONE;
        }
        if self.path.len() - begin > 1 {
            found(&self.path[begin..]);
        }
        self.path.truncate(begin);
    }
}
