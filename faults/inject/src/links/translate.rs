//! From a plan's words to the proxy's.

use plan::deed::Direction;
use plan::link::{Distribution, Link};
use proxy::{Effect, Ways};
use std::time::Duration;

/// The effect of a fault. Of stale metadata there is none before the metadata was asked for.
pub fn effect(link: Link) -> Option<Effect> {
    let ms = |time: plan::Millis| Duration::from_millis(time.0);
    Some(match link {
        Link::Delay { delay, spread, distribution, direction } => Effect::Delay {
            delay: ms(delay),
            jitter: ms(spread),
            distribution: match distribution {
                Distribution::Uniform => proxy::Distribution::Uniform,
                Distribution::Normal => proxy::Distribution::Normal,
                Distribution::Pareto => proxy::Distribution::Pareto,
            },
            ways: match direction {
                Direction::Both => Ways::Both,
                Direction::In => Ways::In,
                Direction::Out => Ways::Out,
            },
        },
        Link::Rate { bytes_per_second } => Effect::Rate { bytes_per_second: bytes_per_second.0 },
        Link::Reset { again } => Effect::Reset { every: again.map(ms) },
        Link::HalfOpen => Effect::HalfOpen,
        Link::Slice { bytes, pause } => Effect::Slice { bytes: bytes.0, pause: ms(pause) },
        Link::LimitBytes { bytes } => Effect::LimitBytes { bytes: bytes.0 },
        Link::Loss { percent, stop } => Effect::Loss { percent, timeout: ms(stop) },
        Link::LoseResponse { api, percent } => Effect::LoseResponse { api: api.key, percent },
        Link::DelayApi { api, delay } => Effect::DelayApi { api: api.key, delay: ms(delay) },
        Link::FailApi { api, error, percent } => {
            Effect::FailApi { api: api.key, error: error.code, percent }
        }
        Link::StaleMetadata => return None,
    })
}

/// The least that a round trip takes under a delay: what its distribution surely adds.
pub fn least_round_trip(link: Link) -> Option<Duration> {
    let Link::Delay { delay, spread, distribution, direction } = link else { return None };
    let least = match distribution {
        Distribution::Uniform => delay.0.saturating_sub(spread.0),
        // One draw in a thousand is less.
        Distribution::Normal => delay.0.saturating_sub(3 * spread.0),
        Distribution::Pareto => delay.0,
    };
    let ways = if direction == Direction::Both { 2 } else { 1 };
    Some(Duration::from_millis(ways * least))
}
