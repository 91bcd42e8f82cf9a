//! Numbers and words for people: grouped digits, durations with units, shares.
//!
//! Everything takes values and references alike: templates hand out references.

use std::borrow::Borrow;

/// 1234567 as `1,234,567`.
pub fn grouped(number: impl Borrow<u64>) -> String {
    let number = *number.borrow();
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Milliseconds as `310 ms`, `2.4 s`, `1m31s`, `2h05m`.
pub fn duration(ms: impl Borrow<u64>) -> String {
    let ms = *ms.borrow();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// As [`duration`], or a dash where nothing was measured.
pub fn duration_or_dash(ms: impl Borrow<Option<u64>>) -> String {
    let ms = *ms.borrow();
    ms.map_or_else(|| "–".to_string(), duration)
}

/// Latencies: `0.8 ms`, `12 ms`, `1.3 s`.
pub fn latency(ms: impl Borrow<f64>) -> String {
    let ms = *ms.borrow();
    match ms {
        _ if ms < 10.0 => format!("{ms:.1} ms"),
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// A share as a percentage that never rounds up to 100 %: 0.99999 is `99.99 %`.
pub fn percent(share: impl Borrow<f64>) -> String {
    let share = *share.borrow();
    if share >= 1.0 {
        return "100 %".to_string();
    }
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

/// Nines of availability: −log₁₀(1 − A).
pub fn nines(share: impl Borrow<f64>) -> String {
    let share = *share.borrow();
    if share >= 1.0 {
        "no failure seen".to_string()
    } else {
        format!("{:.1} nines", -(1.0 - share).log10())
    }
}

/// `1 record`, `2 records`.
pub fn counted(number: impl Borrow<u64>, one: &str, many: &str) -> String {
    let number = *number.borrow();
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// `2026-11-21 07:34:00 UTC`, from milliseconds since the epoch.
pub fn date(wall_ms: impl Borrow<i64>) -> String {
    let [year, month, day, hour, minute, second] = utc(*wall_ms.borrow());
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `20261121T073400`, UTC: sorts as text, needs no time zone, and makes a file name.
pub fn stamp(wall_ms: i64) -> String {
    let [year, month, day, hour, minute, second] = utc(wall_ms);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}")
}

/// Year, month, day, hour, minute and second of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level
/// date algorithms").
fn utc(wall_ms: i64) -> [i64; 6] {
    let seconds = wall_ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    [year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60]
}

/// A role as plans spell it.
pub fn role(role: &model::fault::Role) -> String {
    serde_json::to_value(role)
        .ok()
        .and_then(|value| value.as_str().map(String::from))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(duration(310), "310 ms");
        assert_eq!(duration(91_400), "1m31s");
        assert_eq!(duration(7_500_000), "2h05m");
        assert_eq!(percent(0.99999), "99.99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(nines(0.999), "3.0 nines");
        assert_eq!(date(1_795_246_440_123), "2026-11-21 07:34:00 UTC");
        assert_eq!(stamp(0), "19700101T000000");
        assert_eq!(stamp(1_709_164_800_000), "20240229T000000");
    }
}
