//! The log start offset is never above the high watermark: retention and DeleteRecords take committed records only.

use super::{Event, Glimpse, Invariant, Kind};

pub struct LogStartBound;

impl Invariant for LogStartBound {
    fn name(&self) -> &'static str {
        "log-start-bound"
    }

    fn source(&self) -> &'static str {
        "KIP-107; Kafka's UnifiedLog.maybeIncrementLogStartOffset"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Partition { node, now, .. } = event else { return Ok(()) };
        if now.log_start_offset <= now.high_watermark {
            return Ok(());
        }
        Err(format!(
            "{}: n{node}'s log starts at {}, above its high watermark {}",
            glimpse.name(now.id),
            now.log_start_offset,
            now.high_watermark
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;
    use crate::invariant::state::PartitionState;

    #[test]
    fn what_is_not_committed_is_not_deleted() {
        let mut stage = Stage::of(LogStartBound);
        let starts = |offset| {
            move |partition: &mut PartitionState| {
                (partition.log_start_offset, partition.high_watermark) = (offset, 5);
            }
        };
        assert_eq!(stage.partition(1, starts(5)), Ok(()));
        assert!(stage.partition(1, starts(6)).is_err());
    }
}
