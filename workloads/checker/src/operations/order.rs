//! The order of each log: dense positions, so that holes never count, and what stands at each.

use super::OperationChecker;
use super::logs::{Fate, Log, Logs, NO_OFFSET, NONE};
use model::operation::Stage;

/// One key's version order.
pub(super) struct Order {
    /// Position of each row; `NONE` for rows without an offset.
    position: Vec<u32>,
    /// The row that stands for each position.
    picks: Vec<u32>,
    /// Whose write each position is for the order of writers; `NONE` where nobody's is, or where the value stands
    /// earlier already.
    writers: Vec<u32>,
    /// Every row with an offset, by offset; rows of one offset stand side by side.
    sorted: Vec<u32>,
    /// By row, see [`Onward`].
    onward: Vec<Onward>,
}

/// What it means to have read a row and the `next` one behind it, as readers that keep up do.
#[derive(Clone, Copy)]
struct Onward {
    /// Its writer comes before the writer of the next row by the order of the log alone.
    implied: bool,
    /// How many steps, each of an implied row to its next, go on from here place by place and to no failed send.
    straight: u16,
}

impl Order {
    fn new(log: &Log) -> Order {
        let with_offset = |row: &u32| log.row(*row).offset != NO_OFFSET;
        let mut sorted: Vec<u32> = (0..log.rows.len() as u32).filter(with_offset).collect();
        // Where values disagree, one that was read stands for the place, then the lowest.
        sorted.sort_unstable_by_key(|row| {
            let place = log.row(*row);
            (place.offset, !log.is_polled(log.main(*row)), place.value)
        });
        let mut order = Order {
            position: vec![NONE; log.rows.len()],
            picks: Vec::new(),
            writers: Vec::new(),
            sorted,
            onward: Vec::new(),
        };
        for row in &order.sorted {
            let offset = log.row(*row).offset;
            if order.picks.last().is_none_or(|pick| log.row(*pick).offset != offset) {
                order.picks.push(*row);
            }
            order.position[*row as usize] = order.picks.len() as u32 - 1;
        }
        order.set_writers(log);
        order.set_onward(log);
        order
    }

    fn set_writers(&mut self, log: &Log) {
        self.writers = vec![NONE; self.picks.len()];
        for (position, pick) in self.picks.iter().enumerate() {
            let main = log.main(*pick);
            let Some((first, _)) = self.extent(log, main) else { continue };
            if first as usize == position
                && let Some(writer) = log.writer(main)
            {
                self.writers[position] = writer;
            }
        }
    }

    fn set_onward(&mut self, log: &Log) {
        let implies = (0..log.rows.len() as u32).map(|row| self.implies(log, row));
        self.onward = implies.map(|implied| Onward { implied, straight: 0 }).collect();
        for position in (1..self.picks.len()).rev() {
            let (row, next) = (self.picks[position - 1], self.picks[position]);
            let is_next = log.row(row).next == next && self.onward[row as usize].implied;
            if is_next && log.fate(log.main(next)) != Fate::Fail {
                let straight = self.onward[next as usize].straight;
                self.onward[row as usize].straight = straight.saturating_add(1);
            }
        }
    }

    fn implies(&self, log: &Log, row: u32) -> bool {
        let next = log.row(row).next;
        let is_write = |row: u32, position: u32| {
            self.pick(position) == row && self.writer_at(position) != NONE
        };
        next != NONE
            && self.position(row).zip(self.position(next)).is_some_and(|(own, after)| {
                own < after && is_write(row, own) && is_write(next, after)
            })
    }

    /// Whether to have read the next row orders as much as to have read this one, where writes are ordered by the log.
    #[inline]
    pub(super) fn is_implied(&self, row: u32) -> bool {
        self.onward[row as usize].implied
    }

    /// Over rows that say nothing of their own: how many of the `left` rows that were read behind this one stand at the places
    /// that follow its own, each implied and none of them of a failed send; and the last of these.
    #[inline]
    pub(super) fn ahead(&self, row: u32, left: u32) -> Option<(u32, u32)> {
        let steps = u32::from(self.onward[row as usize].straight).min(left);
        (steps > 0).then(|| (steps, self.picks[(self.position[row as usize] + steps) as usize]))
    }

    pub(super) fn position(&self, row: u32) -> Option<u32> {
        let position = self.position[row as usize];
        (position != NONE).then_some(position)
    }

    pub(super) fn pick(&self, position: u32) -> u32 {
        self.picks[position as usize]
    }

    /// The first and the last position of the value of a main row.
    pub(super) fn extent(&self, log: &Log, main: u32) -> Option<(u32, u32)> {
        let mut extent: Option<(u32, u32)> = None;
        for row in log.places(main) {
            let Some(position) = self.position(row) else { continue };
            let (first, last) = extent.unwrap_or((position, position));
            extent = Some((first.min(position), last.max(position)));
        }
        extent
    }

    /// How far a step from one row to another goes; `None` if the place of one of them is unknown.
    #[inline]
    pub(super) fn step(&self, from: u32, to: u32) -> Option<i64> {
        Some(i64::from(self.position(to)?) - i64::from(self.position(from)?))
    }

    /// The position of the last write before the first one of a main row's value, if both are somebody's.
    pub(super) fn write_before(&self, log: &Log, main: u32) -> Option<u32> {
        let (first, _) = self.extent(log, main)?;
        if log.main(self.pick(first)) != main || self.writer_at(first) == NONE {
            return None;
        }
        let before = self.writers[..first as usize].iter().rposition(|writer| *writer != NONE)?;
        Some(before as u32)
    }

    pub(super) fn writer_at(&self, position: u32) -> u32 {
        self.writers[position as usize]
    }

    /// Rows of each offset that have more than one.
    pub(super) fn conflicts<'a>(&'a self, log: &'a Log) -> impl Iterator<Item = &'a [u32]> {
        self.sorted
            .chunk_by(|a, b| log.row(*a).offset == log.row(*b).offset)
            .filter(|rows| rows.len() > 1)
    }
}

impl OperationChecker {
    /// Which operations without a known outcome took effect after all, and what that says about offsets.
    pub(super) fn settle(&mut self) {
        for number in 0..self.table.list.len() as u32 {
            if self.table.done(number).stage == Stage::Info {
                let read = self.table.sends(number).iter().any(|sent| {
                    let log = self.logs.get(sent.key);
                    log.is_polled(log.main(sent.row))
                });
                self.table.list[number as usize].committed = read;
            }
        }
        for claim in std::mem::take(&mut self.claims) {
            if self.table.done(claim.operation).committed {
                self.logs.get_mut(claim.key).row_at(claim.value, claim.offset);
            }
        }
    }
}

pub(super) fn orders(logs: &Logs) -> Vec<Order> {
    logs.list.iter().map(Order::new).collect()
}
