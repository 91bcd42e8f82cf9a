//! What is done to a node's wall clock.
//!
//! Promises: a fault is seen in effect, and over, by a time that the node itself wrote: it must be what the machine's clock
//! and all faults that stand on the node come to, within the time that the question was under way. A node's time proves a fault
//! only while that fault makes a difference larger than this, so that each of several on one node is proved by itself.
//!
//! Undo: none of it outlives the nodes' processes, which are in the undo records. No clock of the machine is touched.

use crate::timekeeper::{Timekeeper, Told};
use clock::{Shift, Table};
use plan::clock_deed::ClockDeed;
use std::collections::BTreeMap;
use std::io;

const MS_NS: i64 = 1_000_000;
/// A node may read its clock a moment before it writes it down, and the machine's clock may be nudged meanwhile.
const MARGIN_NS: i64 = 2 * MS_NS;

/// What was done to one node for one fault.
#[derive(Debug)]
struct Held {
    deed: ClockDeed,
    shift: Shift,
    healed: bool,
    /// The node's time was asked for before this, and looked at.
    looked_ns: i64,
    /// What was seen already: how far it is off, and of a strobe that it is not, in its other half.
    seen_off: Option<String>,
    seen_true: Option<String>,
}

/// All deeds of a run on clocks.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    held: BTreeMap<(u32, String), Held>,
    /// When a node's clock was last changed by us.
    changed_ns: BTreeMap<String, i64>,
}

impl Clocks {
    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        deed: ClockDeed,
        keeper: &mut dyn Timekeeper,
    ) -> io::Result<()> {
        let base_ns = clock::true_ns();
        let shift = shift(deed, base_ns);
        let (healed, seen_off, seen_true) = (false, None, None);
        let held = Held { deed, shift, healed, looked_ns: base_ns, seen_off, seen_true };
        let key = (fault, node.to_string());
        self.held.insert(key.clone(), held);
        let set = self.set(node, keeper);
        if set.is_err() {
            self.held.remove(&key);
        }
        set
    }

    pub fn heal(&mut self, fault: u32, node: &str, keeper: &mut dyn Timekeeper) -> io::Result<()> {
        match self.held.get_mut(&(fault, node.to_string())) {
            None => Ok(()),
            Some(held) => {
                held.healed = true;
                self.set(node, keeper)
            }
        }
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        keeper: &mut dyn Timekeeper,
    ) -> Result<String, String> {
        let (held, reading) = self.look(fault, node, keeper)?;
        let words = reading.words();
        reading.agrees()?;
        if reading.own_ns == 0 {
            held.seen_true = Some(words.clone());
        } else {
            reading.tells()?;
            held.seen_off = Some(words.clone());
        }
        match (held.deed, &held.seen_off, &held.seen_true) {
            (ClockDeed::Strobe { .. }, Some(off), Some(true_again)) => {
                Ok(format!("{off}, and in turn: {true_again}"))
            }
            (ClockDeed::Jump { .. }, Some(_), _) => Ok(words),
            (ClockDeed::Drift { .. }, Some(_), _) => {
                let since_s = (reading.told.answered_ns - held.shift.base_ns) as f64 / 1e9;
                Ok(format!("{words}; {since_s:.3} s after it began"))
            }
            _ => Err(words),
        }
    }

    pub fn over(
        &mut self,
        fault: u32,
        node: &str,
        keeper: &mut dyn Timekeeper,
    ) -> Result<String, String> {
        match self.held.get(&(fault, node.to_string())) {
            None => return Ok("nothing was done to it".to_string()),
            Some(held) if !held.healed => return Err("it still stands".to_string()),
            Some(_) => {}
        }
        let (_, reading) = self.look(fault, node, keeper)?;
        reading.agrees()?;
        reading.tells()?;
        Ok(reading.words())
    }

    /// What stands on the node now.
    fn standing(&self, node: &str) -> impl Iterator<Item = (u32, &Held)> {
        let here = move |((_, at), held): &(&(u32, String), &Held)| at == node && !held.healed;
        self.held.iter().filter(here).map(|((fault, _), held)| (*fault, held))
    }

    fn table(&self, node: &str) -> Option<Table> {
        let mut table = Table::TRUE;
        self.standing(node).all(|(_, held)| table.push(held.shift)).then_some(table)
    }

    fn set(&mut self, node: &str, keeper: &mut dyn Timekeeper) -> io::Result<()> {
        let full = || io::Error::other("too many faults are on its clock already");
        let table = self.table(node).ok_or_else(full)?;
        keeper.set(node, &table)?;
        self.changed_ns.insert(node.to_string(), clock::true_ns());
        Ok(())
    }

    /// The node's time, asked for since the last look and since the last change.
    fn look(
        &mut self,
        fault: u32,
        node: &str,
        keeper: &mut dyn Timekeeper,
    ) -> Result<(&mut Held, Reading), String> {
        let changed_ns = self.changed_ns.get(node).copied().unwrap_or(i64::MIN);
        let table = self.table(node).unwrap_or(Table::TRUE);
        let others = self.standing(node).map(|(other, _)| other).filter(|other| *other != fault);
        let others: Vec<String> = others.map(|other| other.to_string()).collect();
        let held = self.held.get_mut(&(fault, node.to_string()));
        let held = held.ok_or("nothing was done to it")?;
        let told = keeper.told(node, changed_ns.max(held.looked_ns))?;
        let told = told.ok_or("it has not told its time yet")?;
        held.looked_ns = told.asked_ns + 1;
        let switched = |shift: &Shift| shift.switches(told.asked_ns, told.answered_ns);
        if table.shifts().iter().any(switched) || switched(&held.shift) {
            return Err("its clock strobed while it was asked".to_string());
        }
        let own_ns = held.shift.at(told.asked_ns);
        Ok((held, Reading { told, table, own_ns, others }))
    }
}

/// A node's time, and what it is to be held against.
struct Reading {
    told: Told,
    /// What stands on the node.
    table: Table,
    /// What the fault in question makes of it, or would make of it, had it not been healed.
    own_ns: i64,
    others: Vec<String>,
}

impl Reading {
    fn round_trip_ns(&self) -> i64 {
        self.told.answered_ns - self.told.asked_ns
    }

    /// How far the clock may be ahead, at least and at most: nobody knows when it was read on the way.
    fn ahead_ns(&self) -> [i64; 2] {
        let node_ns = self.node_ns();
        [
            node_ns.saturating_sub(self.told.answered_ns + MARGIN_NS),
            // What is told in milliseconds was cut off.
            node_ns.saturating_sub(self.told.asked_ns - MS_NS - MARGIN_NS),
        ]
    }

    /// A node may tell any number.
    fn node_ns(&self) -> i64 {
        self.told.node_ms.saturating_mul(MS_NS)
    }

    /// It is what all that stands comes to.
    fn agrees(&self) -> Result<(), String> {
        let expected = [self.told.asked_ns, self.told.answered_ns].map(|at| self.table.at(at));
        let [least, most] = self.ahead_ns();
        let is_right =
            least <= expected[0].max(expected[1]) && expected[0].min(expected[1]) <= most;
        let wanted = || format!("{}, where it should be {}", self.words(), apart(expected[0]));
        is_right.then_some(()).ok_or_else(wanted)
    }

    /// The fault makes more of a difference than nobody knows.
    fn tells(&self) -> Result<(), String> {
        let [least, most] = self.ahead_ns();
        let makes_a_difference = self.own_ns.unsigned_abs() > most.abs_diff(least);
        let small = || format!("{}, which tells nothing yet", self.words());
        makes_a_difference.then_some(()).ok_or_else(small)
    }

    fn words(&self) -> String {
        let middle_ns = self.told.asked_ns + self.round_trip_ns() / 2;
        let ahead_ns = self.node_ns().saturating_sub(middle_ns - MS_NS / 2);
        let trip_ms = self.round_trip_ns() as f64 / 1e6;
        let others = match self.others.as_slice() {
            [] => String::new(),
            [one] => format!(", fault {one} counted in"),
            others => format!(", faults {} counted in", others.join(" and ")),
        };
        format!("its clock is {} (round trip {trip_ms:.1} ms){others}", apart(ahead_ns))
    }
}

/// How far two clocks are apart.
fn apart(ahead_ns: i64) -> String {
    let which = if ahead_ns < 0 { "behind" } else { "ahead of" };
    format!("{:.3} s {which} ours", ahead_ns.unsigned_abs() as f64 / 1e9)
}

fn shift(deed: ClockDeed, base_ns: i64) -> Shift {
    let shift = Shift { base_ns, ..Shift::default() };
    match deed {
        ClockDeed::Jump { by } => Shift { offset_ns: by.ms * MS_NS, ..shift },
        ClockDeed::Drift { rate } => Shift { gain_ns: i64::from(rate.ppm) * 1_000, ..shift },
        ClockDeed::Strobe { by, period } => {
            Shift { offset_ns: by.ms * MS_NS, period_ns: period.0 as i64 * MS_NS, ..shift }
        }
    }
}

#[cfg(test)]
mod tests;
