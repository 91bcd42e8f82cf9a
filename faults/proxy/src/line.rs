//! One direction of a connection: what came in and has not gone out, and how much of it may go out when.
//!
//! Promises: bytes leave in the order in which they came; what no rule holds back may leave at once.

use crate::links::{Direction, Standing};
use crate::rule::Effect;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A direction takes no more in than this before something of it has gone out: its sender waits, as with a full link.
pub const LINE_BYTES_MAX: usize = 8 << 20;
/// A limited rate is let through in portions of this part of a second.
const PORTIONS_A_SECOND: u64 = 100;
/// A segment that is lost again and again waits no longer than this times the timeout, as a sender gives up growing.
const DOUBLINGS_MAX: u32 = 6;

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// Not before.
    from: Option<Instant>,
}

/// What may be done with a line now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// So many bytes may leave.
    Bytes(usize),
    /// Nothing before then; `None`: before something changes.
    Wait(Option<Instant>),
    /// The connection has carried all that it may.
    Spent,
}

#[derive(Debug)]
pub struct Line {
    direction: Direction,
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Nothing that comes in may leave before this: order is kept.
    latest: Option<Instant>,
    /// Bytes that a limited rate lets through now, and when they were counted.
    allowance: Option<(f64, Instant)>,
    /// A slice has left, or a segment was lost.
    held_until: Option<Instant>,
    /// The sender has no more.
    pub ended: bool,
    /// And the receiver was told.
    pub told: bool,
}

impl Line {
    pub fn new(direction: Direction) -> Line {
        Line {
            direction,
            pieces: VecDeque::new(),
            bytes: 0,
            latest: None,
            allowance: None,
            held_until: None,
            ended: false,
            told: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.bytes < LINE_BYTES_MAX
    }

    /// Takes bytes that may leave after `later`.
    pub fn push(&mut self, bytes: Bytes, later: Duration, now: Instant) {
        if bytes.is_empty() {
            return;
        }
        if !later.is_zero() {
            let from = now + later;
            self.latest = Some(self.latest.map_or(from, |latest| latest.max(from)));
        }
        self.bytes += bytes.len();
        let from = self.latest.filter(|from| *from > now);
        self.pieces.push_back(Piece { bytes, from });
    }

    /// A rule is gone: nothing waits for the sake of it any more.
    pub fn release(&mut self) {
        self.latest = None;
        self.held_until = None;
        self.pieces.iter_mut().for_each(|piece| piece.from = None);
    }

    /// What of it may leave now.
    pub fn leave(&mut self, standing: &mut [Standing], now: Instant) -> Leave {
        let direction = self.direction;
        let mut bytes = match self.pieces.front() {
            None => return Leave::Wait(None),
            Some(Piece { from: Some(from), .. }) if *from > now => return Leave::Wait(Some(*from)),
            Some(piece) => piece.bytes.len(),
        };
        if let Some(until) = self.held_until {
            if until > now {
                return Leave::Wait(Some(until));
            }
            self.held_until = None;
        }
        let mut rate: Option<u64> = None;
        for one in standing.iter_mut().filter(|one| one.is_on(direction)) {
            match &one.rule.effect {
                Effect::HalfOpen => return Leave::Wait(None),
                Effect::Rate { bytes_per_second } => {
                    rate = Some(rate.map_or(*bytes_per_second, |rate| rate.min(*bytes_per_second)));
                }
                Effect::Slice { bytes: slice, .. } => bytes = bytes.min(*slice as usize),
                Effect::LimitBytes { bytes: limit } => match limit.saturating_sub(one.carried) {
                    0 => {
                        one.rule.tally.meet();
                        return Leave::Spent;
                    }
                    left => bytes = bytes.min(usize::try_from(left).unwrap_or(usize::MAX)),
                },
                Effect::Loss { percent, timeout } => {
                    let (percent, timeout) = (*percent, *timeout);
                    if *one.until_loss(direction) == 0 {
                        let stop = lose(one, direction, percent, timeout);
                        one.lose_again(direction, percent);
                        self.held_until = Some(now + stop);
                        return Leave::Wait(self.held_until);
                    }
                    let left = *one.until_loss(direction);
                    bytes = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
                }
                _ => {}
            }
        }
        match rate {
            None => {
                self.allowance = None;
                Leave::Bytes(bytes)
            }
            Some(rate) => self.at_rate(rate.max(1), bytes, standing, now),
        }
    }

    /// A bucket that holds one portion.
    fn at_rate(
        &mut self,
        rate: u64,
        bytes: usize,
        standing: &mut [Standing],
        now: Instant,
    ) -> Leave {
        let portion = (rate / PORTIONS_A_SECOND).max(1);
        let (allowed, since) = self.allowance.unwrap_or((portion as f64, now));
        let grown = allowed + rate as f64 * (now - since).as_secs_f64();
        let allowed = grown.min(portion as f64);
        self.allowance = Some((allowed, now));
        let wanted = (bytes as u64).min(portion);
        if allowed + 1e-6 >= wanted as f64 {
            return Leave::Bytes(wanted as usize);
        }
        let missing = Duration::from_secs_f64((wanted as f64 - allowed) / rate as f64);
        for one in standing.iter().filter(|one| matches!(one.rule.effect, Effect::Rate { .. })) {
            one.rule.tally.meet();
        }
        Leave::Wait(Some(now + missing + Duration::from_micros(50)))
    }

    /// The bytes in front.
    pub fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| &piece.bytes)
    }

    /// So many bytes have left.
    pub fn left(&mut self, count: usize, standing: &mut [Standing], now: Instant) {
        self.bytes -= count;
        if let Some(piece) = self.pieces.front_mut() {
            piece.bytes.advance(count);
            if piece.bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
        if let Some((allowed, _)) = &mut self.allowance {
            *allowed -= count as f64;
        }
        let direction = self.direction;
        for one in standing.iter_mut().filter(|one| one.is_on(direction)) {
            one.carried += count as u64;
            one.rule.tally.carry(count as u64);
            match &one.rule.effect {
                Effect::Slice { pause, .. } => {
                    let until = now + *pause;
                    self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
                    one.rule.tally.meet();
                    one.rule.tally.wait(*pause);
                }
                Effect::Loss { .. } => {
                    let left = one.until_loss(direction);
                    *left = left.saturating_sub(count as u64);
                }
                _ => {}
            }
        }
    }
}

/// A segment is lost: how long its direction stops. What is sent again may be lost again.
fn lose(one: &mut Standing, direction: Direction, percent: u8, timeout: Duration) -> Duration {
    let mut stop = timeout;
    for doubling in 1..=DOUBLINGS_MAX {
        if !one.draws(direction).percent(percent) {
            break;
        }
        stop += timeout * 2u32.pow(doubling);
    }
    one.rule.tally.meet();
    one.rule.tally.wait(stop);
    stop
}
