//! What is told of a cycle: a numbered argument.

use super::cycles::Cycle;
use super::prose::{Telling, capital, stage};
use crate::prose::count_of;
use model::finding::{CycleStep, Edge, Finding, Kind};

impl Telling<'_> {
    /// The argument: each operation before the next, and the last before the first.
    pub(super) fn cycle(&self, kind: Kind, cycle: &Cycle) -> Finding {
        let length = cycle.steps.len();
        let mut key = 0;
        let mut steps = Vec::new();
        let mut text = format!(
            "No order of these {length} operations can be right: each must come before the next, and the last before \
             the first."
        );
        let mut evidence = Vec::new();
        for (at, (from, edge)) in cycle.steps.iter().enumerate() {
            let next = (at + 1) % length;
            let to = cycle.steps[next].0;
            let (place, why) = self.edge(*from, to, *edge);
            key = place.unwrap_or(key);
            let end = if next == 0 { ": a contradiction" } else { "" };
            text += &format!("\n{}. {why}{end}.", at + 1);
            let log = place.map(|key| self.finding(kind, key, 0, String::new()).log);
            steps.push(CycleStep { from: at, to: next, edge: *edge, log, because: why });
            let what = stage(self.table.done(*from).stage);
            evidence.push(self.evidence(what, *from, None));
        }
        if cycle.component > length as u64 {
            let all = count_of(cycle.component, "operation");
            text += &format!("\nThe cycle is one of several among {all} that cannot be ordered.");
        }
        if cycle.unfinished {
            text += " There may be a shorter one: the search for it was given up.";
        }
        let mut finding = self.finding(kind, key, 1, text);
        (finding.evidence, finding.cycle) = (evidence, steps);
        finding
    }

    /// Why `from` comes before `to`, and for which key.
    fn edge(&self, from: u32, to: u32, edge: Edge) -> (Option<u32>, String) {
        let (before, after) = (self.operation(from), self.operation(to));
        match edge {
            Edge::Process => (
                None,
                format!(
                    "{} did {before} before {after}",
                    capital(self.process(self.table.done(to).process))
                ),
            ),
            Edge::Realtime => (None, format!("{} had ended before {after} began", capital(before))),
            Edge::WriteRead => {
                let read = self.table.reads(self.logs, to).find(|(key, row)| {
                    let log = self.logs.get(*key);
                    log.writer(log.main(*row)) == Some(from)
                });
                let place = read.map_or_else(String::new, |(key, row)| {
                    format!("{} to {}", self.place(key, row), self.key(key))
                });
                let why = format!("{} sent {place}, and {after} read it", capital(before));
                (read.map(|read| read.0), why)
            }
            Edge::WriteWrite => {
                let sent =
                    self.table.sends(to).iter().find_map(|sent| {
                        let log = self.logs.get(sent.key);
                        let order = &self.orders[sent.key as usize];
                        let main = log.main(sent.row);
                        let position = order.write_before(log, main)?;
                        (log.writer(main) == Some(to) && order.writer_at(position) == from)
                            .then_some((sent.key, order.pick(position), main))
                    });
                let why = sent.map_or_else(String::new, |(key, first, second)| {
                    format!(
                        "{} sent {} to {}, and {after} the next one there, {}",
                        capital(before.clone()),
                        self.place(key, first),
                        self.key(key),
                        self.place(key, second)
                    )
                });
                (sent.map(|sent| sent.0), why)
            }
        }
    }
}
