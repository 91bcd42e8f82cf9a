//! Chance: SplitMix64, a stream for each rule on each direction of each connection.

use crate::rule::Distribution;
use std::time::Duration;

/// The tail of the Pareto distribution: of finite variance.
const PARETO_SHAPE: f64 = 3.0;

#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// `number`: tells the streams of one seed apart.
    pub fn new(seed: u64, number: u64) -> Draws {
        let mut draws = Draws(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Near seeds end up far apart.
        Draws(draws.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, and 1 at most.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    pub fn percent(&mut self, percent: u8) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// How many tries in a row go well before one fails.
    pub fn until_failure(&mut self, percent: u8) -> u64 {
        match percent {
            0 => u64::MAX,
            100.. => 0,
            percent => {
                let goes_well = 1.0 - f64::from(percent) / 100.0;
                (self.unit().ln() / goes_well.ln()) as u64
            }
        }
    }

    pub fn delay(
        &mut self,
        delay: Duration,
        jitter: Duration,
        distribution: Distribution,
    ) -> Duration {
        if jitter.is_zero() {
            return delay;
        }
        let (mean, spread) = (delay.as_secs_f64(), jitter.as_secs_f64());
        let seconds = match distribution {
            Distribution::Uniform => mean + spread * (2.0 * self.unit() - 1.0),
            Distribution::Normal => {
                let (radius, angle) = (self.unit(), self.unit());
                let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
                mean + spread * normal
            }
            Distribution::Pareto => mean + spread * (self.unit().powf(-1.0 / PARETO_SHAPE) - 1.0),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(distribution: Distribution) -> Vec<Duration> {
        let mut draws = Draws::new(7, 1);
        let (delay, jitter) = (Duration::from_millis(100), Duration::from_millis(20));
        (0..10_000).map(|_| draws.delay(delay, jitter, distribution)).collect()
    }

    fn mean_ms(of: &[Duration]) -> f64 {
        of.iter().map(|d| d.as_secs_f64() * 1e3).sum::<f64>() / of.len() as f64
    }

    #[test]
    fn each_distribution_has_its_mean_and_its_bounds() {
        let ms = Duration::from_millis;
        let uniform = drawn(Distribution::Uniform);
        assert!(uniform.iter().all(|d| (ms(80)..=ms(120)).contains(d)));
        assert!((99.0..101.0).contains(&mean_ms(&uniform)));
        let normal = drawn(Distribution::Normal);
        assert!((99.0..101.0).contains(&mean_ms(&normal)));
        assert!(normal.iter().any(|d| *d < ms(70)) && normal.iter().any(|d| *d > ms(130)));
        let pareto = drawn(Distribution::Pareto);
        assert!(pareto.iter().all(|d| *d >= ms(100)) && pareto.iter().any(|d| *d > ms(200)));
        assert!((108.0..112.0).contains(&mean_ms(&pareto)), "{}", mean_ms(&pareto));
    }

    #[test]
    fn a_seed_draws_the_same_for_ever_and_a_share_is_a_share() {
        let first = |seed, number| Draws::new(seed, number).next();
        assert_eq!(first(1, 2), first(1, 2));
        assert_ne!(first(1, 2), first(1, 3));
        assert_ne!(first(1, 2), first(2, 2));
        let mut draws = Draws::new(3, 0);
        let hits = (0..10_000).filter(|_| draws.percent(20)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        let runs: u64 = (0..10_000).map(|_| draws.until_failure(20)).sum();
        assert!((36_000..44_000).contains(&runs), "{runs}");
        assert_eq!(draws.until_failure(100), 0);
    }
}
