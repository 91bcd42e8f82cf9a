//! Cycles among the transactions of our own histories, and what order there is within one: the operations' checker, fed with
//! what the events say.
//!
//! It begins with the first producer that has a transactional id: what was sent before is on nobody's way round. Polls outside
//! of transactions are left to the records' checker; so are readers of what is not committed, who prove no order.

use crate::operations::{OperationChecker, Options, number_of};
use model::finding::{Check, Kind, Scope};
use model::history::operations::{ToOperations, id_of, log_of};
use model::history::{Event, LogRef, RecordId, Session, Time};
use model::operation::{Atom, Names};

pub(crate) struct CycleSearch {
    events: ToOperations,
    checker: OperationChecker,
}

impl Default for CycleSearch {
    fn default() -> CycleSearch {
        CycleSearch {
            events: ToOperations::new(),
            checker: OperationChecker::new(Options { reads_apart: true, ..Options::default() }),
        }
    }
}

impl CycleSearch {
    /// `reads_committed`: of the reader whose event it is.
    pub(crate) fn feed(
        &mut self,
        time: &Time,
        event: &Event,
        reads_committed: impl Fn(Session) -> bool,
    ) {
        let CycleSearch { events, checker } = self;
        if let Event::Polled { reader, .. } | Event::Reader { reader, .. } = event
            && !(events.reads_in_transaction(*reader) && reads_committed(*reader))
        {
            return;
        }
        events.feed(time, event, |operation| checker.feed(operation));
    }

    /// What only operations show. Cycles of writes alone are legal in Kafka and told as such; others have no edge of writes.
    pub(crate) fn finish(mut self, name: impl Fn(LogRef) -> String) -> Vec<Check> {
        let checker = &mut self.checker;
        self.events.finish(|operation| checker.feed(operation));
        let report = self.checker.finish(&Names::default());
        let is_ours = |check: &Check| {
            let kind = Kind::of(&check.name);
            kind.is_some_and(|kind| kind.scope() == Scope::Operations || kind.is_cycle())
        };
        report.checks.into_iter().filter(is_ours).map(|check| ours(check, &name)).collect()
    }
}

/// Keys and values as the logs and records that they stand for.
fn ours(mut check: Check, name: &impl Fn(LogRef) -> String) -> Check {
    let number = |key: LogRef| number_of(key).and_then(Atom::number);
    let log = |key: LogRef| number(key).and_then(log_of).unwrap_or(key);
    for finding in &mut check.findings {
        finding.log = log(finding.log);
        finding.topic = name(finding.log);
        finding.ids.iter_mut().for_each(name_record);
        for step in &mut finding.cycle {
            step.log = step.log.map(log);
        }
        finding.evidence.iter_mut().filter_map(|step| step.id.as_mut()).for_each(name_record);
    }
    check
}

fn name_record(id: &mut RecordId) {
    let value = i64::try_from(id.sequence).ok().and_then(Atom::number);
    *id = value.and_then(id_of).unwrap_or(*id);
}
