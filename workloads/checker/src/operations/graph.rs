//! Which operation comes before which, asked backwards: from an operation to those that must have come before it.
//!
//! No edge is stored. Write-write and write-read dependencies are read off the logs, the order of a process is one link
//! for each operation, and real time is a chain of *barriers*, one for each epoch: an operation points to the barrier
//! of the epoch in which it began, a barrier to the one before it and to the operations that had ended by then. That
//! has the reachability of all pairs at the price of two edges for each operation.

use super::logs::{Logs, NONE};
use super::order::Order;
use super::table::{DoneKind, NO_BEGIN, Table};
use model::finding::Edge;
use model::operation::Stage;

pub(super) const WRITE_WRITE: u8 = 1;
pub(super) const WRITE_READ: u8 = 2;
pub(super) const PROCESS: u8 = 4;
pub(super) const REALTIME: u8 = 8;
/// Without the reads that the order of writes implies: the same reachability, in fewer edges. Only with `WRITE_WRITE`.
pub(super) const REDUCED: u8 = 16;

pub(super) struct Graph<'a> {
    logs: &'a Logs,
    table: &'a Table,
    orders: &'a [Order],
    /// The ok operation of the same process before each ok operation.
    process_before: Vec<u32>,
    /// Where the operations that ended in each epoch begin in the table.
    ended: Vec<u32>,
    pub(super) operations: u32,
}

/// How far the edges of one node were walked.
#[derive(Clone, Copy, Default)]
pub(super) struct At {
    stage: u8,
    index: u32,
    step: u32,
    row: u32,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        logs: &'a Logs,
        table: &'a Table,
        orders: &'a [Order],
        processes: usize,
        epochs: u32,
    ) -> Graph<'a> {
        let mut last = vec![NONE; processes];
        let mut process_before = Vec::with_capacity(table.list.len());
        let mut ended = Vec::with_capacity(epochs as usize + 2);
        for (number, done) in table.list.iter().enumerate() {
            while ended.len() <= done.end as usize {
                ended.push(number as u32);
            }
            let ok = done.kind == DoneKind::Records && done.stage == Stage::Ok;
            process_before.push(if ok { last[done.process as usize] } else { NONE });
            if ok {
                last[done.process as usize] = number as u32;
            }
        }
        let operations = table.list.len() as u32;
        ended.resize(epochs as usize + 2, operations);
        Graph { logs, table, orders, process_before, ended, operations }
    }

    /// Operations, and behind them the barriers.
    pub(super) fn nodes(&self) -> u32 {
        self.operations + self.ended.len() as u32
    }

    pub(super) fn is_operation(&self, node: u32) -> bool {
        node < self.operations
    }

    /// The next node that comes before `node`, of these kinds of edges.
    #[inline]
    pub(super) fn before(&self, node: u32, edges: u8, at: &mut At) -> Option<(u32, Edge)> {
        if !self.is_operation(node) {
            return self.before_barrier(node - self.operations, at);
        }
        loop {
            let found = match at.stage {
                0 if edges & WRITE_WRITE != 0 => self.write_before(node, at),
                1 if edges & WRITE_READ != 0 => self.written_before(node, edges & REDUCED != 0, at),
                2 if edges & PROCESS != 0 && at.index == 0 => {
                    at.index = 1;
                    let before = self.process_before[node as usize];
                    (before != NONE).then_some((before, Edge::Process))
                }
                3 if edges & REALTIME != 0 && at.index == 0 => {
                    at.index = 1;
                    let begin = self.table.done(node).begin;
                    let known = begin != NO_BEGIN && begin > 0;
                    known.then(|| (self.operations + begin, Edge::Realtime))
                }
                0..=3 => None,
                _ => return None,
            };
            if let Some((before, _)) = found
                && before != node
            {
                return found;
            }
            if found.is_none() {
                *at = At { stage: at.stage + 1, ..At::default() };
            }
        }
    }

    fn write_before(&self, node: u32, at: &mut At) -> Option<(u32, Edge)> {
        let sends = self.table.sends(node);
        while let Some(sent) = sends.get(at.index as usize) {
            at.index += 1;
            let log = self.logs.get(sent.key);
            let order = &self.orders[sent.key as usize];
            let main = log.main(sent.row);
            // A value that was sent twice has one writer.
            if log.writer(main) == Some(node)
                && let Some(before) = order.write_before(log, main)
            {
                return Some((order.writer_at(before), Edge::WriteWrite));
            }
        }
        None
    }

    fn written_before(&self, node: u32, reduced: bool, at: &mut At) -> Option<(u32, Edge)> {
        let runs = self.table.runs(node);
        while let Some(run) = runs.get(at.index as usize) {
            let log = self.logs.get(run.key);
            while at.step < run.length() {
                at.row = if at.step == 0 { run.row } else { log.row(at.row).next };
                at.step += 1;
                let order = &self.orders[run.key as usize];
                if reduced {
                    if let Some((steps, row)) = order.ahead(at.row, run.length() - at.step) {
                        (at.step, at.row) = (at.step + steps, row);
                    }
                    if at.step < run.length() && order.is_implied(at.row) {
                        continue;
                    }
                }
                if let Some(writer) = log.writer(log.main(at.row))
                    && writer != node
                {
                    return Some((writer, Edge::WriteRead));
                }
            }
            (at.index, at.step) = (at.index + 1, 0);
        }
        None
    }

    /// Before barrier `epoch` came the barrier before it, and what ended in the epoch before it.
    fn before_barrier(&self, epoch: u32, at: &mut At) -> Option<(u32, Edge)> {
        let before = epoch.checked_sub(1)?;
        if at.stage == 0 {
            *at = At { stage: 1, index: self.ended[before as usize], ..At::default() };
            if before > 0 {
                return Some((self.operations + before, Edge::Realtime));
            }
        }
        while at.index < self.ended[epoch as usize] {
            let number = at.index;
            at.index += 1;
            let done = self.table.done(number);
            if done.kind == DoneKind::Records && done.stage == Stage::Ok {
                return Some((number, Edge::Realtime));
            }
        }
        None
    }
}
