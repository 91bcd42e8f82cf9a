//! What was submitted and is not done yet, and when it will be.
//!
//! Promises: operations on one file end in the order in which they came, each after the one before it; all others race.
//! The cost of an operation does not depend on how many came before.

use crate::scenario;
use generator::random::Random;
use log::io::{FileId, IoOp, Token};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Debug)]
pub struct Queue {
    settings: scenario::Disk,
    random: Random,
    /// Soonest first; equal times in the order of submission. The last is a place in `waiting`.
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    waiting: Vec<Option<(Token, IoOp)>>,
    free: Vec<usize>,
    submitted: u64,
    /// When the last operation on a file will be done.
    busy_until_ns: FxHashMap<FileId, u64>,
    slow_factor: u32,
    pub stalls: u64,
}

impl Queue {
    pub fn new(settings: scenario::Disk, random: Random) -> Queue {
        Queue {
            settings,
            random,
            due: BinaryHeap::new(),
            waiting: Vec::new(),
            free: Vec::new(),
            submitted: 0,
            busy_until_ns: FxHashMap::default(),
            slow_factor: 1,
            stalls: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.due.len()
    }

    pub fn push(&mut self, now_ns: u64, token: Token, op: IoOp) {
        let delay_ns = self.delay_ns(&op);
        let due_ns = match op.file() {
            None => now_ns + delay_ns,
            Some(file) => {
                let busy_until_ns = self.busy_until_ns.entry(file).or_insert(0);
                *busy_until_ns = now_ns.max(*busy_until_ns) + delay_ns;
                *busy_until_ns
            }
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        });
        self.waiting[place] = Some((token, op));
        self.submitted += 1;
        self.due.push(Reverse((due_ns, self.submitted, place)));
    }

    pub fn next_ns(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, ..))| *due_ns)
    }

    /// What is done by then, one at a time.
    pub fn pop(&mut self, now_ns: u64) -> Option<(Token, IoOp)> {
        if self.next_ns()? > now_ns {
            return None;
        }
        let Reverse((.., place)) = self.due.pop()?;
        self.free.push(place);
        let (token, op) = self.waiting[place].take().expect("what is due is waiting");
        if let IoOp::Close { file } = op {
            self.busy_until_ns.remove(&file);
        }
        Some((token, op))
    }

    /// The process is gone: everything that it was waiting for, in the order in which it would have been done.
    pub fn abandon(&mut self) -> Vec<IoOp> {
        let mut ops = Vec::with_capacity(self.len());
        while let Some((_, op)) = self.pop(u64::MAX) {
            ops.push(op);
        }
        self.busy_until_ns.clear();
        ops
    }

    /// Makes what is submitted from now take this many times as long. Where that is less than before, what waits is done
    /// sooner as well, in the same order: a backlog goes as fast as the disk.
    pub fn slow(&mut self, now_ns: u64, factor: Option<u32>) {
        let factor = factor.unwrap_or(1).max(1);
        let before = std::mem::replace(&mut self.slow_factor, factor);
        if factor < before {
            let sooner = |due_ns: u64| {
                let left_ns = due_ns.saturating_sub(now_ns);
                due_ns - left_ns + left_ns * u64::from(factor) / u64::from(before)
            };
            let due = std::mem::take(&mut self.due);
            self.due = due
                .into_iter()
                .map(|Reverse((due_ns, number, place))| Reverse((sooner(due_ns), number, place)))
                .collect();
            self.busy_until_ns.values_mut().for_each(|until_ns| *until_ns = sooner(*until_ns));
        }
    }

    pub fn heal(&mut self, now_ns: u64) {
        self.slow(now_ns, None);
        self.settings.stall_per_million = 0;
    }

    fn delay_ns(&mut self, op: &IoOp) -> u64 {
        let settings = &self.settings;
        let (min_us, mean_us) = match op {
            IoOp::Sync { .. }
            | IoOp::SyncDir { .. }
            | IoOp::CreateDir { .. }
            | IoOp::Replace { .. } => (settings.sync_us_min, settings.sync_us_mean),
            _ => (settings.cached_us_min, settings.cached_us_mean),
        };
        let (stall_per_million, stall_ms_max) = (settings.stall_per_million, settings.stall_ms_max);
        let random = &mut self.random;
        let mut delay_ns = min_us * 1_000 + exponential(random, mean_us * 1_000);
        delay_ns *= u64::from(self.slow_factor);
        if stall_per_million > 0 && random.below(1_000_000) < u64::from(stall_per_million) {
            self.stalls += 1;
            delay_ns += random.below(stall_ms_max * 1_000_000 + 1);
        }
        delay_ns
    }
}

/// Roughly exponentially distributed, in integers: a logarithm that is straight between powers of two, whose mean is
/// one and a half.
fn exponential(random: &mut Random, mean: u64) -> u64 {
    let bits = random.next() | 1;
    let halvings = u64::from(bits.leading_zeros());
    let fraction = (bits << halvings << 1) >> 32;
    let log2 = (halvings << 32) + (1 << 32) - fraction;
    ((u128::from(mean) * u128::from(log2) * 2 / 3) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_the_mean_and_the_tail_that_they_should() {
        let mut random = Random::new(1, "delay");
        let drawn: Vec<u64> = (0..100_000).map(|_| exponential(&mut random, 1_000)).collect();
        let mean = drawn.iter().sum::<u64>() / 100_000;
        assert!((980..1_020).contains(&mean), "{mean}");
        let over = |limit| drawn.iter().filter(|&&delay| delay > limit).count();
        assert!((30_000..42_000).contains(&over(1_000)), "{}", over(1_000));
        assert!((200..2_000).contains(&over(5_000)), "{}", over(5_000));
    }
}
