//! Whether a link fault is there, or gone, and the words for it.

use super::translate::least_round_trip;
use super::{Approach, Laid, PATIENCE};
use plan::link::Link;
use proxy::probe::{Ended, Probe, Seen};
use std::time::Duration;

/// Round trips of one probe, where traffic has to meet a fault that is about amounts.
const MANY_TRIPS: u32 = 200;
/// Under a delay a round trip takes as long as the delay says.
const DELAY_PATIENCE: Duration = Duration::from_secs(20);

/// Probes that are on their way, through the proxy and past it.
#[derive(Debug, Default)]
pub struct Looking {
    through: Option<Probe>,
    past: Option<Probe>,
}

impl Looking {
    pub fn through(probe: Probe) -> Looking {
        Looking { through: Some(probe), past: None }
    }

    /// What both of them have seen; the next ones are sent where none are under way.
    fn look(
        &mut self,
        approach: &Approach,
        trips: u32,
        patience: Duration,
    ) -> Option<(Seen, Seen)> {
        let Approach { through, past, client_id } = approach;
        let ahead = self
            .through
            .get_or_insert_with(|| Probe::ask(*through, client_id, trips, patience))
            .seen();
        let beside =
            self.past.get_or_insert_with(|| Probe::ask(*past, client_id, 1, patience)).seen();
        Some((ahead?, beside?))
    }

    /// The same with a question for metadata, which changes as little.
    fn look_at_metadata(&mut self, approach: &Approach) -> Option<(Seen, Seen)> {
        let Approach { through, client_id, .. } = approach;
        self.through.get_or_insert_with(|| Probe::metadata(*through, client_id, PATIENCE));
        self.look(approach, 1, PATIENCE)
    }

    fn again(&mut self) {
        *self = Looking::default();
    }
}

impl Laid {
    pub fn in_effect(&mut self) -> Result<String, String> {
        let seen = match self.link {
            Link::Delay { .. } => self.looking.look(&self.approach, 1, DELAY_PATIENCE),
            // Of a reset it was sent before the rule was laid.
            Link::HalfOpen | Link::Reset { .. } => self.looking.look(&self.approach, 1, PATIENCE),
            Link::StaleMetadata => self.looking.look_at_metadata(&self.approach),
            Link::Rate { .. }
            | Link::Slice { .. }
            | Link::LimitBytes { .. }
            | Link::Loss { .. } => self.looking.look(&self.approach, MANY_TRIPS, PATIENCE),
            // A Produce of ours would be a record that nobody sent: the clients' own have to meet it.
            Link::LoseResponse { .. } | Link::DelayApi { .. } | Link::FailApi { .. } => None,
        };
        let met = self.rule.tally.met();
        let words = self.words();
        let is_counted =
            !matches!(self.link, Link::Delay { .. } | Link::HalfOpen | Link::Reset { .. });
        if is_counted && met > 0 {
            // Nothing has to come to its end, of others' frames or of our own.
            return Ok(words);
        }
        let Some((through, past)) = seen else {
            return Err(words);
        };
        let told = format!("ApiVersions through the proxy: {through}; past it: {past}");
        let is_seen = match self.link {
            Link::Delay { .. } => {
                let least = least_round_trip(self.link).unwrap_or_default();
                met > 0 && through.is_answered() && through.longest >= least
            }
            Link::HalfOpen => {
                through.trips == 0 && through.ended == Ended::Silent && past.is_answered()
            }
            Link::Reset { .. } => met > 0 && through.ended == Ended::Reset,
            _ => false,
        };
        if is_seen {
            return Ok(format!("{words}; {told}"));
        }
        // One that was to stand when the rule came can't be sent again.
        if !matches!(self.link, Link::Reset { .. }) {
            self.looking.again();
        }
        Err(format!("{words}; {told}"))
    }

    /// `others`: faults whose rules stand.
    pub fn over(&mut self, others: &[u32]) -> Result<String, String> {
        let words = self.words();
        let Some((through, past)) = self.looking.look(&self.approach, 1, PATIENCE) else {
            return Err("a probe is under way".to_string());
        };
        let told = format!("ApiVersions through the proxy: {through}; past it: {past}");
        // As fast as past the proxy is too much to ask of a busy machine; below what the fault surely added is not.
        let is_fast = least_round_trip(self.link)
            .filter(|least| *least >= Duration::from_millis(2))
            .is_none_or(|least| through.longest < least);
        if through.is_answered() && is_fast {
            return Ok(format!("{words}; {told}"));
        }
        if !past.is_answered() {
            return Ok(format!("{words}; its rule is gone; the node itself does not answer"));
        }
        if !others.is_empty() {
            return Ok(format!("{words}; its rule is gone, {}; {told}", still(others)));
        }
        self.looking.again();
        Err(told)
    }

    /// What the rule did so far.
    fn words(&self) -> String {
        let tally = &self.rule.tally;
        let (met, bytes, connections) = (tally.met(), tally.bytes(), tally.connections());
        let seconds = tally.waited().as_secs_f64();
        match self.link {
            Link::Delay { .. } => format!("{met} pieces delayed by {seconds:.3} s in all"),
            Link::Rate { bytes_per_second } => {
                format!("{bytes} bytes carried at {} B/s, waited {met} times", bytes_per_second.0)
            }
            Link::Reset { .. } => format!("{met} connections were reset"),
            Link::HalfOpen => format!("{connections} connections were held"),
            Link::Slice { .. } => format!("{bytes} bytes carried in {met} slices"),
            Link::LimitBytes { .. } => format!("{met} connections were closed at the limit"),
            Link::Loss { .. } => {
                format!("{met} segments of {bytes} bytes lost, {seconds:.3} s stopped")
            }
            Link::LoseResponse { api, .. } => format!("{met} responses of {} were lost", api.name),
            Link::DelayApi { api, .. } => {
                format!("{met} requests of {} delayed by {seconds:.3} s in all", api.name)
            }
            Link::FailApi { api, error, .. } => {
                format!("{met} requests of {} were answered with {}", api.name, error.name)
            }
            Link::StaleMetadata => match &self.leaders {
                Some(leaders) => format!("{met} answers changed back to: {leaders}"),
                None => format!("{met} answers changed back"),
            },
        }
    }
}

fn still(others: &[u32]) -> String {
    let others: Vec<String> = others.iter().map(u32::to_string).collect();
    format!("others still stand: fault {}", others.join(", fault "))
}
