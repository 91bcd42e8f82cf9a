//! A log that is open again is a prefix of what was appended to it, and contains all that had to survive: what a killed
//! process had appended, and of what lost its power what was synced.

use super::{Event, Glimpse, Invariant, Kind};

pub struct RecoveredPrefix;

impl Invariant for RecoveredPrefix {
    fn name(&self) -> &'static str {
        "recovered-prefix"
    }

    fn source(&self) -> &'static str {
        "Pillai et al., All File Systems Are Not Created Equal (OSDI 2014); Kafka's LogLoader; log::io"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Reopened]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Reopened { node, id, log_end_offset, floor, strange } = event else {
            return Ok(());
        };
        let name = glimpse.name(*id);
        if let Some(strange) = strange {
            return Err(format!("{name}: n{node}'s recovered log is not what it wrote: {strange}"));
        }
        match floor {
            Some(floor) if log_end_offset < floor => Err(format!(
                "{name}: n{node}'s recovered log ends at {log_end_offset}, and what is below {floor} had to survive"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    fn reopened(log_end_offset: i64, floor: Option<i64>, strange: Option<&str>) -> Event<'_> {
        Event::Reopened { node: 1, id: LOG, log_end_offset, floor, strange }
    }

    #[test]
    fn what_had_to_survive_did() {
        let mut stage = Stage::of(RecoveredPrefix);
        assert_eq!(stage.tell(&reopened(7, Some(5), None)), Ok(()));
        assert_eq!(stage.tell(&reopened(0, None, None)), Ok(()), "its disk was wiped");
        assert!(stage.tell(&reopened(4, Some(5), None)).is_err());
        assert!(stage.tell(&reopened(7, Some(5), Some("who wrote this?"))).is_err());
    }
}
