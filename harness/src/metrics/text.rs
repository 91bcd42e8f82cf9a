//! Reads Prometheus' text format, as far as numbers of Kafka's names are in it.
//!
//! Promises: any text gives some series, at most [`SERIES_MAX`]; a line that is not understood is passed over. Not promised:
//! timestamps, types, or anything that is not Kafka's (a virtual machine tells much of itself).

use std::collections::BTreeMap;

/// More are not what our rules ask for.
const SERIES_MAX: usize = 200;
const PREFIX: &str = "kafka_";

/// Value by series: the name with its labels, if it has any.
pub fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| line.starts_with(PREFIX));
    lines.filter_map(sample).take(SERIES_MAX).collect()
}

fn sample(line: &str) -> Option<(String, f64)> {
    let end = end_of_series(line)?;
    let value: f64 = line[end..].split_ascii_whitespace().next()?.parse().ok()?;
    // JSON has no other numbers.
    let value = Some(value).filter(|value| value.is_finite())?;
    let series = line[..end].trim_end();
    // Some exporters end the last label with a comma, too.
    let series = match series.strip_suffix(",}") {
        Some(series) => format!("{series}}}"),
        None => series.to_string(),
    };
    Some((series.strip_suffix("{}").map_or(series.clone(), String::from), value))
}

/// Where the name and its labels end; a brace in a quoted label is none.
fn end_of_series(line: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped, mut has_labels) = (false, false, false);
    for (at, character) in line.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '{' => has_labels = true,
            '}' => return Some(at + 1),
            ' ' | '\t' if !has_labels => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::metrics::name;

    #[test]
    fn numbers_of_kafkas_names_are_read() {
        let text = "# HELP kafka_a what\n# TYPE kafka_a gauge\nkafka_a 1\nkafka_b{x=\"a } b\",} 2.5 1700000000000\n\
            kafka_server_replicafetchermanager_maxlag{clientId=\"Replica\"} 1.0E7\nkafka_c{} -1.0\njvm_info{x=\"y\"} 1\n";
        let expected = [
            ("kafka_a", 1.0),
            ("kafka_b{x=\"a } b\"}", 2.5),
            ("kafka_c", -1.0),
            (name::LAG_MAX, 1.0e7),
        ];
        assert_eq!(series(text), expected.map(|(name, value)| (name.to_string(), value)).into());
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for line in [
            "kafka_a",
            "kafka_a ",
            "kafka_a one",
            "kafka_a NaN",
            "kafka_a +Inf",
            "kafka_a{x=\"y 1",
            "kafka_a{x=\"\\\"} 1",
            "kafka_\u{e9}\u{1f980}",
        ] {
            assert!(series(line).is_empty(), "{line}");
        }
        let endless: String = (0..1000).map(|n| format!("kafka_{n} 1\n")).collect();
        assert_eq!(series(&endless).len(), SERIES_MAX);
    }
}
