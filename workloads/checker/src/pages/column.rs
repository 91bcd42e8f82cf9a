//! A column of numbers in few bits: each as its distance from the lowest, all in the same number of bits, and those
//! that would need more on their own behind.
//!
//! ```text
//! column    = varint lowest, width u8, varint exceptions, distances (width bits each), exception*
//! exception = index u16, varint distance
//! ```

/// Distances up to this are packed as they come unless most are none: to look for a smaller width takes longer than it
/// saves.
const NARROW: u64 = 255;

/// Numbers a column may have.
pub(super) const COUNT_MAX: usize = 1 << 16;

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn split<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn mask(width: u32) -> u64 {
    if width == 64 { u64::MAX } else { (1 << width) - 1 }
}

/// The width for which the whole column takes the fewest bytes, and how many distances exceed it.
fn width_of(values: &[u64], lowest: u64, highest: u64) -> (u32, usize) {
    let bits_of = |distance: u64| 64 - distance.leading_zeros();
    let narrow = highest - lowest <= NARROW;
    if narrow && values.iter().filter(|value| **value == lowest).count() < values.len() / 8 * 7 {
        return (bits_of(highest - lowest), 0);
    }
    let mut of_width = [0u32; 65];
    for value in values {
        of_width[bits_of(value.wrapping_sub(lowest)) as usize] += 1;
    }
    let mut best = bits_of(highest - lowest);
    let mut best_bytes = values.len() * best as usize / 8;
    let (mut exceeding, mut exception_bytes, mut best_exceeding) = (0, 0, 0);
    for width in (1..=best).rev() {
        let here = of_width[width as usize] as usize;
        exceeding += here;
        exception_bytes += here * (2 + width.div_ceil(7) as usize);
        let bytes = values.len() * (width - 1) as usize / 8 + exception_bytes;
        if bytes <= best_bytes {
            (best, best_bytes, best_exceeding) = (width - 1, bytes, exceeding);
        }
    }
    (best, best_exceeding)
}

/// Appends a column.
pub(crate) fn put(out: &mut Vec<u8>, values: &[u64]) {
    assert!(values.len() <= COUNT_MAX, "an index of a column fits 16 bits");
    let first = values.first().copied().unwrap_or(0);
    if values.iter().all(|value| *value == first) {
        put_varint(out, first);
        out.extend_from_slice(&[0, 0]);
        return;
    }
    let (mut lowest, mut highest) = (first, first);
    for value in values {
        lowest = lowest.min(*value);
        highest = highest.max(*value);
    }
    let (width, exceptions) = width_of(values, lowest, highest);
    put_varint(out, lowest);
    out.push(width as u8);
    put_varint(out, exceptions as u64);
    put_bits(out, values, lowest, width);
    if exceptions == 0 {
        return;
    }
    for (index, value) in values.iter().enumerate() {
        let distance = value - lowest;
        if distance > mask(width) {
            out.extend_from_slice(&(index as u16).to_le_bytes());
            put_varint(out, distance);
        }
    }
}

/// What exceeds the width leaves some of its bits there: nobody reads them.
fn put_bits(out: &mut Vec<u8>, values: &[u64], lowest: u64, width: u32) {
    if width == 0 {
        return;
    }
    let mask = mask(width);
    let (mut word, mut used) = (0u64, 0u32);
    out.reserve(values.len() * width as usize / 8 + 8);
    for value in values {
        let distance = value.wrapping_sub(lowest) & mask;
        word |= distance << used;
        used += width;
        if used >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            used -= 64;
            word = if used == 0 { 0 } else { distance >> (width - used) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Takes a column of as many numbers as `values` has room for; `None` if these bytes are none.
pub(crate) fn take(bytes: &mut &[u8], values: &mut [u64]) -> Option<()> {
    let lowest = take_varint(bytes)?;
    let (&width, rest) = bytes.split_first()?;
    *bytes = rest;
    let exceptions = take_varint(bytes)?;
    match u32::from(width) {
        0 => values.fill(lowest),
        width @ 1..=64 => {
            let bits = split(bytes, (values.len() * width as usize).div_ceil(8))?;
            take_bits(bits, values, lowest, width);
        }
        _ => return None,
    }
    for _ in 0..exceptions {
        let index = split(bytes, 2)?;
        let index = usize::from(u16::from_le_bytes([index[0], index[1]]));
        *values.get_mut(index)? = lowest.wrapping_add(take_varint(bytes)?);
    }
    Some(())
}

fn take_bits(mut bits: &[u8], values: &mut [u64], lowest: u64, width: u32) {
    let mask = mask(width);
    let (mut word, mut left) = (0u64, 0u32);
    for value in values {
        let mut distance = word;
        if left < width {
            let next = take_word(&mut bits);
            distance |= next << left;
            let taken = width - left;
            word = if taken == 64 { 0 } else { next >> taken };
            left = 64 - taken;
        } else {
            word = if width == 64 { 0 } else { word >> width };
            left -= width;
        }
        *value = lowest.wrapping_add(distance & mask);
    }
}

/// The next eight bytes, with zeros for those that are not there.
fn take_word(bits: &mut &[u8]) -> u64 {
    if let Some((word, rest)) = bits.split_first_chunk() {
        *bits = rest;
        return u64::from_le_bytes(*word);
    }
    let mut word = [0; 8];
    word[..bits.len()].copy_from_slice(bits);
    *bits = &[];
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_column() -> impl Strategy<Value = Vec<u64>> {
        let value = (0..=64u32, any::<u64>()).prop_map(|(width, value)| value & mask(width));
        let few = (any::<u64>(), prop::collection::vec(0..9u64, 0..300))
            .prop_map(|(base, few)| few.into_iter().map(|by| base.saturating_add(by)).collect());
        prop_oneof![prop::collection::vec(value, 0..300), few]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_column_comes_back(one in any_column(), other in any_column()) {
            let mut packed = Vec::new();
            put(&mut packed, &one);
            put(&mut packed, &other);
            let (mut first, mut second) = (vec![7; one.len()], vec![7; other.len()]);
            let mut bytes = &packed[..];
            prop_assert!(take(&mut bytes, &mut first).is_some());
            prop_assert!(take(&mut bytes, &mut second).is_some());
            prop_assert!(bytes.is_empty());
            prop_assert_eq!((first, second), (one, other));
        }

        #[test]
        fn no_bytes_make_it_panic(
            packed in prop::collection::vec(any::<u8>(), 0..80),
            count in 0..300usize,
        ) {
            let _ = take(&mut &packed[..], &mut vec![0; count]);
        }
    }

    #[test]
    fn one_far_number_costs_only_itself() {
        let mut values = vec![5; 256];
        values[17] = u64::MAX;
        let mut packed = Vec::new();
        put(&mut packed, &values);
        assert!(packed.len() < 20, "{}", packed.len());
    }
}
