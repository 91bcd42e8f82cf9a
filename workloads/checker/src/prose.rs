//! Numbers and times as people read them.

/// `1,204`
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `1,204 records`
pub(crate) fn count_of(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// `at 12.345 s`
pub(crate) fn at(ms: u32) -> String {
    format!("at {} s", seconds(ms))
}

/// `at 12.345 s` or `between 12.345 s and 13.000 s`
pub(crate) fn between(first_ms: u32, last_ms: u32) -> String {
    if first_ms == last_ms {
        return at(first_ms);
    }
    format!("between {} s and {} s", seconds(first_ms), seconds(last_ms))
}

fn seconds(ms: u32) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// `offset 7` or `offsets 7 to 9`
pub(crate) fn offsets(first: i64, last: i64) -> String {
    if first == last {
        return format!("offset {}", offset(first));
    }
    format!("offsets {} to {}", offset(first), offset(last))
}

pub(crate) fn offset(offset: i64) -> String {
    if offset < 0 { offset.to_string() } else { number(offset.unsigned_abs()) }
}

/// `two independent readers`
pub(crate) fn readers_word(count: usize) -> String {
    match count {
        1 => "one reader".into(),
        2 => "two independent readers".into(),
        3 => "three independent readers".into(),
        more => format!("{more} independent readers"),
    }
}

/// `it` or `them`
pub(crate) fn them(count: u64) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

/// `is` or `are`
pub(crate) fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `was` or `were`
pub(crate) fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}
