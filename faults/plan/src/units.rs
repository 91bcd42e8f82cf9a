//! Durations, rates and sizes as people write them in a plan: `"15s"`, `"500ms"`, `"10000/s"`, `"1KiB"`.
//!
//! Promises: what is printed parses back to the same value; nothing is rounded: a value that the unit cannot hold
//! exactly is printed in a smaller unit. A number without a unit is refused, because nobody knows what it meant.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// A duration to be drawn: `"3s"` is always three seconds, `"2s..4s"` anything between, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Between {
    pub least: Millis,
    pub most: Millis,
}

/// Records a second over all producers; `None` is as fast as it goes, written `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    pub per_second: Option<u64>,
}

/// How far a clock is off: a duration, or one with a minus before it for a clock that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    pub ms: i64,
}

/// How much faster than time a clock runs, or with a minus how much slower: `"+5%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Millionths.
    pub ppm: i32,
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// Longer than any run; keeps sums of durations far from overflow.
const DURATION_MS_MAX: u64 = 30 * 24 * 3_600_000;

const DURATION_EXPECTED: &str = "a duration such as \"15s\", \"500ms\", \"1.5s\" or \"2m\"";
const BETWEEN_EXPECTED: &str =
    "a duration such as \"3s\", or two to draw between such as \"2s..4s\"";
const RATE_EXPECTED: &str = "a rate such as \"10000/s\", or \"unlimited\"";
const SHIFT_EXPECTED: &str = "a duration such as \"5m\", or back such as \"-5m\"";
const DRIFT_EXPECTED: &str = "a rate such as \"+5%\", or slower such as \"-0.5%\"";
const BYTES_EXPECTED: &str = "a size such as \"1KiB\", \"100B\" or \"1MiB\"";

/// Splits `12.5ms` into its number, as thousandths, and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 3 || (fraction.is_empty() && number.contains('.')) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let thousandths: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some((whole.checked_mul(1000)?.checked_add(thousandths)?, unit.trim()))
}

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {DURATION_EXPECTED}");
        let (thousandths, unit) = split(text).ok_or_else(wrong)?;
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let scaled = thousandths.checked_mul(unit_ms).ok_or_else(wrong)?;
        if scaled % 1000 != 0 {
            return Err(format!("`{text}` is finer than a millisecond"));
        }
        let ms = scaled / 1000;
        if ms > DURATION_MS_MAX {
            return Err(format!("`{text}` is longer than 30 days"));
        }
        Ok(Millis(ms))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl Between {
    pub fn exactly(ms: u64) -> Between {
        Between { least: Millis(ms), most: Millis(ms) }
    }
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {BETWEEN_EXPECTED}");
        let (least, most) = match text.split_once("..") {
            Some((least, most)) => (least, most),
            None => (text, text),
        };
        let least: Millis = least.parse().map_err(|_| wrong())?;
        let most: Millis = most.parse().map_err(|_| wrong())?;
        if least > most {
            return Err(format!("`{text}`: the first duration is longer than the second"));
        }
        Ok(Between { least, most })
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            self.least.fmt(f)
        } else {
            write!(f, "{}..{}", self.least, self.most)
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "unlimited" {
            return Ok(Rate { per_second: None });
        }
        let wrong = || format!("`{text}` is not {RATE_EXPECTED}");
        let number = text.trim().strip_suffix("/s").ok_or_else(wrong)?.trim();
        let number: u64 = number.replace(['_', ','], "").parse().map_err(|_| wrong())?;
        if number == 0 {
            return Err("a rate of 0 sends nothing".to_string());
        }
        if number > 100_000_000 {
            return Err(format!("`{text}` is more than 100000000/s: write \"unlimited\""));
        }
        Ok(Rate { per_second: Some(number) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_second {
            Some(number) => write!(f, "{number}/s"),
            None => f.write_str("unlimited"),
        }
    }
}

/// A number's sign, and the rest.
fn signed(text: &str) -> (i64, &str) {
    let text = text.trim();
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (None, rest) => (1, rest.unwrap_or(text)),
    }
}

impl FromStr for Shift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sign, rest) = signed(text);
        let size: Millis = rest.parse().map_err(|_| format!("`{text}` is not {SHIFT_EXPECTED}"))?;
        // 30 days at most.
        Ok(Shift { ms: sign * size.0 as i64 })
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.ms < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Millis(self.ms.unsigned_abs()))
    }
}

impl FromStr for Drift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {DRIFT_EXPECTED}");
        let (sign, rest) = signed(text);
        let (thousandths, unit) = split(rest).ok_or_else(wrong)?;
        let ppm = i64::try_from(thousandths).ok().and_then(|n| n.checked_mul(10 * sign));
        match ppm.and_then(|ppm| i32::try_from(ppm).ok()) {
            Some(ppm) if unit == "%" => Ok(Drift { ppm }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.ppm < 0 { '-' } else { '+' };
        let size = self.ppm.unsigned_abs();
        let digits = format!("{}.{:04}", size / 10_000, size % 10_000);
        write!(f, "{sign}{}%", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not {BYTES_EXPECTED}");
        let (thousandths, unit) = split(text).ok_or_else(wrong)?;
        let unit_bytes: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let scaled = thousandths.checked_mul(unit_bytes).ok_or_else(wrong)?;
        if scaled % 1000 != 0 {
            return Err(format!("`{text}` is not a whole number of bytes"));
        }
        Ok(Bytes(scaled / 1000))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

struct Text<T> {
    expected: &'static str,
    parsed: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($type:ty, $expected:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let visitor = Text { expected: $expected, parsed: std::marker::PhantomData };
                from.deserialize_any(visitor)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    };
}

as_text!(Millis, DURATION_EXPECTED);
as_text!(Between, BETWEEN_EXPECTED);
as_text!(Rate, RATE_EXPECTED);
as_text!(Shift, SHIFT_EXPECTED);
as_text!(Drift, DRIFT_EXPECTED);
as_text!(Bytes, BYTES_EXPECTED);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_parse_with_their_units() {
        for (text, ms) in [("15s", 15_000), ("500ms", 500), ("1.5s", 1500), ("2m", 120_000)] {
            assert_eq!(text.parse::<Millis>(), Ok(Millis(ms)));
        }
        for wrong in
            ["", "15", "s", "1.s", "1.2345s", "0.5ms", "-1s", "15 parsecs", "1e3s", "99999h"]
        {
            assert!(wrong.parse::<Millis>().is_err(), "{wrong}");
        }
        assert!("18446744073709551615h".parse::<Millis>().is_err());
    }

    #[test]
    fn ranges_rates_and_sizes_parse_with_their_units() {
        let between = "2s..4s".parse::<Between>().unwrap();
        assert_eq!((between.least.0, between.most.0), (2000, 4000));
        assert!("4s..2s".parse::<Between>().is_err());
        assert_eq!("10000/s".parse::<Rate>().unwrap().per_second, Some(10_000));
        assert_eq!("unlimited".parse::<Rate>().unwrap().per_second, None);
        assert!("10000".parse::<Rate>().is_err() && "0/s".parse::<Rate>().is_err());
        assert_eq!("1KiB".parse::<Bytes>(), Ok(Bytes(1024)));
        assert_eq!("1.5KiB".parse::<Bytes>(), Ok(Bytes(1536)));
        assert!("1kb".parse::<Bytes>().is_err());
    }

    #[test]
    fn clocks_are_off_either_way() {
        for (text, ms) in
            [("5m", 300_000), ("-5m", -300_000), ("+1.5s", 1_500), ("-1h", -3_600_000)]
        {
            assert_eq!(text.parse::<Shift>(), Ok(Shift { ms }));
        }
        for (text, ppm) in
            [("+5%", 50_000), ("-0.5%", -5_000), ("100%", 1_000_000), ("-12.345%", -123_450)]
        {
            assert_eq!(text.parse::<Drift>(), Ok(Drift { ppm }));
        }
        for wrong in ["", "-", "--5m", "5", "31d"] {
            assert!(wrong.parse::<Shift>().is_err(), "{wrong}");
        }
        for wrong in ["", "5", "5s", "+-5%", "0.0001%", "99999999%"] {
            assert!(wrong.parse::<Drift>().is_err(), "{wrong}");
        }
        assert_eq!(Drift { ppm: 50_000 }.to_string(), "+5%");
        assert_eq!(Drift { ppm: -123_450 }.to_string(), "-12.345%");
        assert_eq!(Shift { ms: -300_000 }.to_string(), "-5m");
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(ms in 0..DURATION_MS_MAX, more in 0..1000u64, size: u32) {
            let between = Between { least: Millis(ms), most: Millis(ms + more) };
            prop_assert_eq!(Millis(ms).to_string().parse::<Millis>(), Ok(Millis(ms)));
            if ms + more <= DURATION_MS_MAX {
                prop_assert_eq!(between.to_string().parse::<Between>(), Ok(between));
            }
            let behind = Shift { ms: -(ms as i64) };
            prop_assert_eq!(behind.to_string().parse::<Shift>(), Ok(behind));
            // Whole thousandths of a percent.
            let drift = Drift { ppm: (size % 900_000) as i32 / 10 * 10 };
            prop_assert_eq!(drift.to_string().parse::<Drift>(), Ok(drift));
            let bytes = Bytes(u64::from(size));
            prop_assert_eq!(bytes.to_string().parse::<Bytes>(), Ok(bytes));
        }
    }
}
