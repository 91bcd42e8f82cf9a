//! What can be done to the links of a broker by a proxy: the connections, and Kafka's frames on them.
//!
//! Promises: as [`crate::deed`] does, plain data with every parameter in it. Not here: how it is carried out.

pub mod names;

use crate::deed::{DeedName, Direction, Value};
use crate::units::{Bytes, Millis};
pub use names::{Api, ErrorCode};
use serde::{Deserialize, Serialize};

/// How delays spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// The delay, give or take the spread.
    #[default]
    Uniform,
    /// The spread is the standard deviation.
    Normal,
    /// The delay or more, with a long tail; half the spread more on the average.
    Pareto,
}

impl Distribution {
    pub fn as_str(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
            Distribution::Pareto => "pareto",
        }
    }
}

/// What is done to links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Delay {
        delay: Millis,
        spread: Millis,
        distribution: Distribution,
        direction: Direction,
    },
    Rate {
        bytes_per_second: Bytes,
    },
    /// Once when it is injected, or again after each period.
    Reset {
        again: Option<Millis>,
    },
    HalfOpen,
    Slice {
        bytes: Bytes,
        pause: Millis,
    },
    LimitBytes {
        bytes: Bytes,
    },
    Loss {
        percent: u8,
        stop: Millis,
    },
    LoseResponse {
        api: Api,
        percent: u8,
    },
    DelayApi {
        api: Api,
        delay: Millis,
    },
    FailApi {
        api: Api,
        error: ErrorCode,
        percent: u8,
    },
    StaleMetadata,
}

impl Link {
    pub fn name(self) -> DeedName {
        match self {
            Link::Delay { .. } => DeedName::Delay,
            Link::Rate { .. } => DeedName::Rate,
            Link::Reset { .. } => DeedName::Reset,
            Link::HalfOpen => DeedName::HalfOpen,
            Link::Slice { .. } => DeedName::Slice,
            Link::LimitBytes { .. } => DeedName::LimitBytes,
            Link::Loss { .. } => DeedName::Loss,
            Link::LoseResponse { .. } => DeedName::LoseResponse,
            Link::DelayApi { .. } => DeedName::DelayApi,
            Link::FailApi { .. } => DeedName::FailApi,
            Link::StaleMetadata => DeedName::StaleMetadata,
        }
    }

    /// Its parameters by their keys in a plan, all of them; `None`: left out.
    pub fn parameters(self) -> Vec<(&'static str, Value)> {
        let text = |value: &dyn ToString| Value::Text(value.to_string());
        let percentage = |percent: u8| ("percent", Value::Number(u64::from(percent)));
        match self {
            Link::Delay { delay, spread, distribution, direction } => vec![
                ("delay", text(&delay)),
                ("spread", text(&spread)),
                ("distribution", text(&distribution.as_str())),
                ("direction", text(&direction.as_str())),
            ],
            Link::Rate { bytes_per_second } => vec![("bytes_per_second", text(&bytes_per_second))],
            Link::Reset { again: None } | Link::HalfOpen | Link::StaleMetadata => Vec::new(),
            Link::Reset { again: Some(again) } => vec![("again", text(&again))],
            Link::Slice { bytes, pause } => vec![("bytes", text(&bytes)), ("pause", text(&pause))],
            Link::LimitBytes { bytes } => vec![("bytes", text(&bytes))],
            Link::Loss { percent, stop } => vec![percentage(percent), ("stop", text(&stop))],
            Link::LoseResponse { api, percent } => {
                vec![("api", text(&api.name)), percentage(percent)]
            }
            Link::DelayApi { api, delay } => {
                vec![("api", text(&api.name)), ("delay", text(&delay))]
            }
            Link::FailApi { api, error, percent } => {
                vec![("api", text(&api.name)), ("error", text(&error.name)), percentage(percent)]
            }
        }
    }
}
