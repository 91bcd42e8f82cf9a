//! A history as JSON Lines: one object for each event, its time beside it. For people, `jq` and other programs;
//! the binary form in [`super::codec`] is what runs write.

use super::{Event, Time};
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct LineOut<'a> {
    #[serde(flatten)]
    time: &'a Time,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
struct LineIn {
    #[serde(flatten)]
    time: Time,
    #[serde(flatten)]
    event: Event,
}

/// One event as one line, without the line feed.
pub fn to_line(time: &Time, event: &Event) -> String {
    serde_json::to_string(&LineOut { time, event })
        .expect("an event has only text keys, and writing to memory does not fail")
}

/// The event of one line. The error says what is wrong with it.
pub fn from_line(line: &str) -> Result<(Time, Event), String> {
    let line: LineIn = serde_json::from_str(line).map_err(|error| error.to_string())?;
    Ok((line.time, line.event))
}
