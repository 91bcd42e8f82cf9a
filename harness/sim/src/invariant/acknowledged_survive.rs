//! Committed records, and so those acknowledged with acks=all, are on some disk while faults have left a copy that
//! counted: no broker throws away the last one by itself.

use super::state::METADATA;
use super::{Event, Glimpse, Invariant, Kind};

pub struct AcknowledgedSurvive;

impl Invariant for AcknowledgedSurvive {
    fn name(&self) -> &'static str {
        "acknowledged-survive"
    }

    fn source(&self) -> &'static str {
        "Kafka documentation, acks=all; KIP-966; the judge's promise of durability"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Gone]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Gone { node, id, range } = event else { return Ok(()) };
        if *id == METADATA {
            return Ok(());
        }
        Err(format!(
            "{}: committed records below offset {} are on no disk since n{node} lost them, though nobody destroyed the copies of {}",
            glimpse.name(*id),
            range.end_offset,
            range.owed
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::stage::*;

    #[test]
    fn the_last_copy_is_not_thrown_away() {
        let mut stage = Stage::of(AcknowledgedSurvive);
        stage.broker(1, false);
        stage.wrote(1, LOG, &[entry(0, 4, 1)]);
        let commit = stage.leads(1, 1, 4).and(stage.partition(1, |p| p.high_watermark = 4));
        assert_eq!(commit, Ok(()));
        let cut = |stage: &mut Stage, node| {
            let log = stage.invariants.glimpse.committed.log_mut(LOG);
            match log.cut(node, 2) {
                Some(range) => stage.tell(&Event::Gone { node, id: LOG, range }),
                None => Ok(()),
            }
        };
        assert_eq!(cut(&mut stage, 2).and(cut(&mut stage, 3)), Ok(()));
        let told = cut(&mut stage, 1).unwrap_err();
        assert!(told.contains("below offset 4 are on no disk since n1 lost them"), "{told}");
    }
}
