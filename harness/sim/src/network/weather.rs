//! What befalls a piece on its way by chance: how late it comes, where it is cut, whether its connection survives it.
//!
//! Promises: each kind of chance has its own stream of randomness, so that more of one kind does not shift the others.

use super::stream::Item;
use super::{FRAME_BYTES_MAX, Host};
use crate::scenario;
use bytes::Bytes;
use generator::random::Random;
use std::collections::BTreeMap;

/// One frame in so many is sent in pieces: the way through the receiver's assembly should be common, not constant.
const SPLIT_ONE_IN: u64 = 4;
const PIECES_MAX: u64 = 4;
/// Cuts within the length prefix, and just after it, are the interesting ones.
const EARLY_CUT_BYTES: u64 = 8;

pub(super) struct Weather {
    settings: scenario::Network,
    /// More delay to and from these hosts, in mean microseconds.
    slow: BTreeMap<Host, u64>,
    delays: Random,
    splits: Random,
    accidents: Random,
    /// No more resets and clogs.
    is_calm: bool,
}

impl Weather {
    pub fn new(settings: scenario::Network, random: &mut Random) -> Weather {
        let mut stream = |salt| Random::new(random.next(), salt);
        Weather {
            settings,
            slow: BTreeMap::new(),
            delays: stream("delays"),
            splits: stream("splits"),
            accidents: stream("accidents"),
            is_calm: false,
        }
    }

    pub fn dial_timeout_ns(&self) -> u64 {
        self.settings.dial_timeout_ms * 1_000_000
    }

    pub fn slow(&mut self, host: Host, delay_us_mean: Option<u64>) {
        match delay_us_mean {
            Some(mean) => self.slow.insert(host, mean),
            None => self.slow.remove(&host),
        };
    }

    /// From now on nothing but the ordinary delay.
    pub fn calm(&mut self) {
        self.is_calm = true;
        self.slow.clear();
    }

    pub fn delay_ns(&mut self, from: Host, to: Host) -> u64 {
        let mut mean_us = self.settings.delay_us_mean;
        if !self.slow.is_empty() {
            mean_us += [from, to].iter().filter_map(|host| self.slow.get(host)).sum::<u64>();
        }
        self.settings.delay_us_min * 1_000 + exponential(&mut self.delays, mean_us * 1_000)
    }

    /// How long the direction now stands still: mostly not at all.
    pub fn clog_ns(&mut self) -> u64 {
        if !self.happens(self.settings.clog_per_million) {
            return 0;
        }
        1 + self.accidents.below(self.settings.clog_ms_max.max(1) * 1_000_000)
    }

    pub fn resets(&mut self) -> bool {
        self.happens(self.settings.reset_per_million)
    }

    fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && !self.is_calm && self.accidents.below(1_000_000) < u64::from(per_million)
    }

    /// The frame as pieces of the byte stream, if it goes in pieces.
    pub fn split(&mut self, parts: &[Bytes]) -> Option<Vec<Item>> {
        let len: usize = parts.iter().map(Bytes::len).sum();
        // Only the receiver's assembly knows what to do with a frame that is too long.
        let is_too_long = len > FRAME_BYTES_MAX as usize;
        let in_pieces = self.settings.split_frames && self.splits.below(SPLIT_ONE_IN) == 0;
        if !in_pieces && !is_too_long {
            return None;
        }
        let prefix = u32::try_from(len).expect("a frame is shorter than 4 GiB").to_be_bytes();
        let mut rest: Vec<Bytes> = vec![Bytes::copy_from_slice(&prefix)];
        rest.extend(parts.iter().filter(|part| !part.is_empty()).cloned());
        rest.reverse();
        let cuts = if in_pieces { self.cuts(len as u64 + 4) } else { Vec::new() };
        let mut pieces = Vec::with_capacity(cuts.len() + 1);
        let mut at = 0;
        for cut in cuts {
            pieces.push(Item::Piece { parts: take(&mut rest, cut - at), is_last: false });
            at = cut;
        }
        rest.reverse();
        pieces.push(Item::Piece { parts: rest, is_last: true });
        Some(pieces)
    }

    /// Where to cut so many bytes: at least once, never at the ends.
    fn cuts(&mut self, len: u64) -> Vec<usize> {
        let count = 1 + self.splits.below(PIECES_MAX - 1);
        let mut cuts: Vec<usize> = (0..count)
            .map(|_| {
                let early = self.splits.below(2) == 0;
                let bound = if early { len.min(EARLY_CUT_BYTES) } else { len };
                1 + self.splits.below(bound - 1) as usize
            })
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

/// Takes so many bytes from the end of a list of parts that is in reverse order.
fn take(rest: &mut Vec<Bytes>, mut bytes: usize) -> Vec<Bytes> {
    let mut taken = Vec::new();
    while bytes > 0 {
        let mut part = rest.pop().expect("a cut lies within the frame");
        if part.len() > bytes {
            taken.push(part.split_to(bytes));
            rest.push(part);
            break;
        }
        bytes -= part.len();
        taken.push(part);
    }
    taken
}

/// Exponentially distributed with that mean, in integers: -ln(u) = -log2(u) · ln 2, where log2 is found bit by bit by
/// squaring (twelve bits of fraction).
fn exponential(random: &mut Random, mean: u64) -> u64 {
    const FRACTION_BITS: u32 = 12;
    const LN_2: u128 = 2_839; // · 2^12
    if mean == 0 {
        return 0;
    }
    let uniform = random.next() | 1;
    let zeros = uniform.leading_zeros();
    let mut mantissa = (uniform << zeros) >> 32; // in [2^31, 2^32), standing for [1, 2)
    let mut log = 0u64;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 31;
        let bit = mantissa >> 32;
        mantissa >>= bit;
        log = log << 1 | bit;
    }
    let minus_log2 = (u64::from(zeros + 1) << FRACTION_BITS) - log;
    let product = u128::from(mean) * u128::from(minus_log2) * LN_2;
    u64::try_from(product >> (2 * FRACTION_BITS)).expect("a delay of less than centuries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_draws_have_the_mean_and_the_shape() {
        let mut random = Random::new(3, "test");
        let draws: Vec<u64> = (0..20_000).map(|_| exponential(&mut random, 1_000_000)).collect();
        let mean = draws.iter().sum::<u64>() / 20_000;
        assert!((980_000..1_020_000).contains(&mean), "{mean}");
        // e^-1 and e^-3 of the draws lie beyond the mean and three times it: 36.8 % and 5.0 %.
        let beyond = |bound: u64| draws.iter().filter(|draw| **draw > bound).count();
        assert!((7_150..7_570).contains(&beyond(1_000_000)), "{}", beyond(1_000_000));
        assert!((900..1_100).contains(&beyond(3_000_000)), "{}", beyond(3_000_000));
    }

    #[test]
    fn cuts_lie_within_the_frame_and_reach_its_prefix() {
        let settings = crate::network::tests::settings();
        let mut weather = Weather::new(settings, &mut Random::new(1, "test"));
        let mut seen = [false; 12];
        for _ in 0..2_000 {
            for cut in weather.cuts(12) {
                seen[cut] = true;
            }
        }
        assert!(!seen[0] && seen[1..].iter().all(|seen| *seen), "{seen:?}");
        assert_eq!(weather.cuts(4).iter().filter(|cut| **cut >= 4).count(), 0);
    }
}
