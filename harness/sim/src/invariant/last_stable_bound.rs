//! The last stable offset is never above the high watermark: nobody reads as decided what is not committed.

use super::{Event, Glimpse, Invariant, Kind};

pub struct LastStableBound;

impl Invariant for LastStableBound {
    fn name(&self) -> &'static str {
        "last-stable-bound"
    }

    fn source(&self) -> &'static str {
        "KIP-98; Kafka's UnifiedLog.lastStableOffset"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Partition]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Partition { node, now, .. } = event else { return Ok(()) };
        if now.last_stable_offset <= now.high_watermark {
            return Ok(());
        }
        Err(format!(
            "{}: n{node}'s last stable offset {} is above its high watermark {}",
            glimpse.name(now.id),
            now.last_stable_offset,
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
    fn what_is_not_committed_is_not_stable() {
        let mut stage = Stage::of(LastStableBound);
        let stable = |offset| {
            move |partition: &mut PartitionState| {
                (partition.last_stable_offset, partition.high_watermark) = (offset, 5);
            }
        };
        assert_eq!(stage.partition(1, stable(5)), Ok(()));
        assert!(stage.partition(1, stable(6)).is_err());
    }
}
