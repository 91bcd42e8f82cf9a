//! What nearly all bytes of a history are: small numbers, and the records of polls in the one way in which Jepsen writes them.
//!
//! Promises: `Some` is what the general rules would have read there; `None` says nothing but that they have to. Eight bytes
//! are looked at in one step, so the last few of a buffer are always left to the general rules.

use crate::operation::{Atom, Polled};

const ZEROS: u64 = 0x3030_3030_3030_3030;
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// To the low seven bits of ten or more it adds up to the high bit.
const BEYOND_NINE: u64 = 0x7676_7676_7676_7676;

/// `[12 34]`, which begins at `at`; and where it ends.
#[inline]
pub(super) fn pair(bytes: &[u8], at: usize) -> Option<(Polled, usize)> {
    if *bytes.get(at)? != b'[' {
        return None;
    }
    let (offset, blank) = digits(bytes, at + 1)?;
    let (value, closer) = digits(bytes, blank + 1)?;
    if bytes[blank] != b' ' || bytes[closer] != b']' {
        return None;
    }
    let value = Atom::number(i64::from(value))?;
    Some((Polled { offset: Some(i64::from(offset)), value }, closer + 1))
}

/// A number of one to fifteen digits, as times are; and where the byte after it stands, which is one of `bytes` and no digit.
#[inline]
pub(super) fn number(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    const POWERS: [i64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    if let Some((number, end)) = digits(bytes, at) {
        return Some((i64::from(number), end));
    }
    let (word, 8) = leading(bytes, at)? else { return None };
    let high = i64::from(value(word));
    if !bytes.get(at + 8)?.is_ascii_digit() {
        return Some((high, at + 8));
    }
    let (low, end) = digits(bytes, at + 8)?;
    Some((high * POWERS[end - at - 8] + i64::from(low), end))
}

/// A number of one to seven digits; and where the byte after it stands, which is one of `bytes` and no digit.
#[inline]
pub(super) fn digits(bytes: &[u8], at: usize) -> Option<(u32, usize)> {
    let (word, digits @ 1..8) = leading(bytes, at)? else { return None };
    Some((value(word << (64 - 8 * digits)), at + digits as usize))
}

/// Eight bytes with the digits among them as what they count, and with how many digits they begin.
#[inline]
fn leading(bytes: &[u8], at: usize) -> Option<(u64, u32)> {
    let eight = bytes.get(at..at.checked_add(8)?)?;
    let word = u64::from_le_bytes(eight.try_into().ok()?);
    // Digits become 0 to 9, and every other byte ten or more.
    let word = word ^ ZEROS;
    let others = ((word & LOW_BITS).wrapping_add(BEYOND_NINE) | word) & HIGH_BITS;
    Some((word, others.trailing_zeros() / 8))
}

/// Of eight digits, the highest in the lowest byte: neighbours are put together three times.
#[inline]
fn value(digits: u64) -> u32 {
    let twos = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = twos.wrapping_mul(100).wrapping_add(twos >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) as u32
}
