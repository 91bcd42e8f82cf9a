//! Readers that poll on and on and find nothing, though there is something for them.
//!
//! Only where it is certain where a reader stands: after the last record that it had, or at the beginning to which it
//! was told to seek. Keys of a group's member are those that its rebalance log gave it last; a history that has none
//! is not judged.

use super::logs::{Fate, Log, Logs};
use super::order::Order;
use super::table::{Done, DoneKind, NO_BEGIN, Table};
use super::walk::Walked;
use model::operation::Stage;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// One reader and one key.
pub(super) struct Stuck {
    pub(super) process: u32,
    pub(super) key: u32,
    /// The row that it had last, if any.
    pub(super) after: Option<u32>,
    /// The first and the last acknowledged record that it should have found, and how many there are.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u64,
    /// How many polls found nothing, and the last of them.
    pub(super) polls: u64,
    pub(super) poll: u32,
}

#[derive(Clone, Default)]
struct Reader {
    /// Whether each of its keys begins at the start of the log.
    keys: FxHashMap<u32, bool>,
    polls: u64,
    /// The last polls that found nothing: when they began.
    begins: VecDeque<u32>,
    poll: u32,
}

impl Reader {
    fn stop(&mut self) {
        self.polls = 0;
        self.begins.clear();
    }

    fn follow(&mut self, table: &Table, number: u32, done: &Done, polls_min: usize) {
        if done.kind != DoneKind::Records {
            self.stop();
            self.moved(table, done);
            return;
        }
        if !done.polls && done.stage == Stage::Ok {
            return;
        }
        let rebalanced = table.assignment(done);
        let found = !table.runs(number).is_empty();
        let nothing = done.polls && done.stage == Stage::Ok && !found && rebalanced.is_none();
        if !nothing || done.begin == NO_BEGIN {
            self.stop();
            if rebalanced.is_some() || done.stage == Stage::Info {
                self.keys.clear();
            }
            return;
        }
        self.polls += 1;
        self.poll = number;
        self.begins.push_back(done.begin);
        if self.begins.len() > polls_min.max(1) {
            self.begins.pop_front();
        }
    }

    fn moved(&mut self, table: &Table, done: &Done) {
        let assignment = table.assignment(done);
        let (Some(assignment), DoneKind::Assign, Stage::Ok) = (assignment, done.kind, done.stage)
        else {
            // A member of a group, or nobody knows which keys it has.
            if done.stage != Stage::Fail {
                self.keys.clear();
            }
            return;
        };
        let before = std::mem::take(&mut self.keys);
        for key in &assignment.keys {
            let kept = before.get(key).copied().unwrap_or(false);
            self.keys.insert(*key, assignment.seek_to_beginning || kept);
        }
    }
}

pub(super) fn stuck(
    logs: &Logs,
    table: &Table,
    orders: &[Order],
    walked: &Walked,
    polls_min: usize,
) -> Vec<Stuck> {
    let mut readers = vec![Reader::default(); walked.positions.len()];
    for (number, done) in table.list.iter().enumerate() {
        readers[done.process as usize].follow(table, number as u32, done, polls_min);
    }
    let ends: Vec<Option<u32>> =
        logs.list.iter().zip(orders).map(|(log, order)| last_acknowledged(log, order)).collect();
    let mut stuck = Vec::new();
    for (process, reader) in readers.iter().enumerate() {
        if reader.begins.len() < polls_min.max(1) {
            continue;
        }
        let mut keys: Vec<(u32, bool)> = reader.keys.iter().map(|(key, at)| (*key, *at)).collect();
        keys.sort_unstable();
        for (key, from_start) in keys {
            let position = walked.positions[process].get(&key).map(|(row, _)| *row);
            let at = position.and_then(|row| orders[key as usize].position(row));
            if ends[key as usize].is_none_or(|end| at.is_some_and(|at| at >= end)) {
                continue;
            }
            let found =
                behind(logs, table, &orders[key as usize], key, position, from_start, reader);
            stuck.extend(found.map(|found| Stuck { process: process as u32, ..found }));
        }
    }
    stuck
}

/// The highest position of an acknowledged record.
fn last_acknowledged(log: &Log, order: &Order) -> Option<u32> {
    let acknowledged = log.mains().filter(|main| log.fate(*main) == Fate::Ok);
    acknowledged.filter_map(|main| order.extent(log, main).map(|extent| extent.0)).max()
}

/// What was acknowledged before the polls began, and stands behind the reader's position.
fn behind(
    logs: &Logs,
    table: &Table,
    order: &Order,
    key: u32,
    after: Option<u32>,
    from_start: bool,
    reader: &Reader,
) -> Option<Stuck> {
    let log = logs.get(key);
    let position = match after {
        Some(row) => i64::from(order.position(row)?),
        None if from_start => -1,
        None => return None,
    };
    let begin = *reader.begins.front()?;
    let mut behind: Option<(u32, u32, u32, u32, u64)> = None;
    for main in log.mains().filter(|main| log.fate(*main) == Fate::Ok) {
        let Some((first, _)) = order.extent(log, main) else { continue };
        let writer = log.writer(main).map(|writer| table.done(writer));
        if i64::from(first) <= position || writer.is_none_or(|writer| writer.end >= begin) {
            continue;
        }
        let (low, low_row, high, high_row, count) = behind.unwrap_or((first, main, first, main, 0));
        let (low, low_row) = (low, low_row).min((first, main));
        let (high, high_row) = (high, high_row).max((first, main));
        behind = Some((low, low_row, high, high_row, count + 1));
    }
    let (_, first, _, last, count) = behind?;
    Some(Stuck {
        process: 0,
        key,
        after,
        first,
        last,
        count,
        polls: reader.polls,
        poll: reader.poll,
    })
}
