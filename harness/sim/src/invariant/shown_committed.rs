//! What readers are shown is committed: the records that they are given, and the ends of logs that they are told.

use super::state::LogId;
use super::{Event, Glimpse, Invariant, Kind};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct ShownCommitted {
    /// The highest high watermark that any replica of a log ever had.
    reached: BTreeMap<LogId, i64>,
}

impl Invariant for ShownCommitted {
    fn name(&self) -> &'static str {
        "shown-committed"
    }

    fn source(&self) -> &'static str {
        "Kafka documentation, consumers see committed messages only; KIP-207 (ListOffsets answers with the high watermark)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition, Kind::Shown]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        match event {
            Event::Partition { now, .. } => {
                let reached = self.reached.entry(now.id).or_insert(0);
                *reached = now.high_watermark.max(*reached);
                Ok(())
            }
            Event::Shown { id, end_offset } => {
                let reached = self.reached.get(id).copied().unwrap_or(0);
                if *end_offset <= reached {
                    return Ok(());
                }
                Err(format!(
                    "{}: a reader was shown what is below {end_offset}, and no high watermark was ever above {reached}",
                    glimpse.name(*id)
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    #[test]
    fn no_reader_is_shown_what_no_high_watermark_has_passed() {
        let mut stage = Stage::of(ShownCommitted::default());
        let high_watermark = |offset| {
            move |partition: &mut crate::invariant::state::PartitionState| {
                partition.high_watermark = offset;
            }
        };
        assert_eq!(stage.partition(1, high_watermark(5)), Ok(()));
        assert_eq!(
            stage.partition(1, high_watermark(3)),
            Ok(()),
            "what was shown once stays shown"
        );
        let shown =
            |stage: &mut Stage, end_offset| stage.tell(&Event::Shown { id: LOG, end_offset });
        assert_eq!(shown(&mut stage, 5), Ok(()));
        assert!(shown(&mut stage, 6).unwrap_err().contains("no high watermark was ever above 5"));
    }
}
