//! Cycles among the transactions of our own histories, and what order there is within one: the operations' checker, fed with
//! what the events say.
//!
//! It begins with the first producer that has a transactional id: what was sent before is on nobody's way round. Polls outside
//! of transactions are left to the records' checker; so are readers of what is not committed, who prove no order.

use crate::operations::{OperationChecker, Options};
use model::finding::{Check, CheckVerdict, Finding, Kind, Scope};
use model::history::operations::{ToOperations, id_of, log_of};
use model::history::{Event, LogRef, Session, Time};
use model::operation::{Atom, Names};
use std::collections::BTreeMap;

pub(crate) struct CycleSearch {
    events: ToOperations,
    checker: OperationChecker,
    /// Readers of open transactions, by the sessions that those are of.
    readers: BTreeMap<Session, Session>,
}

impl Default for CycleSearch {
    fn default() -> CycleSearch {
        CycleSearch {
            events: ToOperations::new(),
            checker: OperationChecker::new(Options::default()),
            readers: BTreeMap::new(),
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
        match event {
            Event::TransactionBegan { session, reader: Some(reader), .. } => {
                self.readers.insert(*session, *reader);
            }
            Event::TransactionEnded { session, .. } => {
                self.readers.remove(session);
            }
            Event::Polled { reader, .. } | Event::Reader { reader, .. } => {
                let of_transaction = self.readers.values().any(|one| one == reader);
                if !of_transaction || !reads_committed(*reader) {
                    return;
                }
            }
            _ => {}
        }
        let CycleSearch { events, checker, .. } = self;
        events.feed(time, event, |operation| checker.feed(operation));
    }

    /// What only operations show. Which cycles are legal is for the judge to say, by their edges.
    pub(crate) fn finish(mut self, name: impl Fn(LogRef) -> String) -> Vec<Check> {
        let checker = &mut self.checker;
        self.events.finish(|operation| checker.feed(operation));
        let report = self.checker.finish(&Names::default());
        let is_ours = |check: &Check| {
            let kind = Kind::of(&check.name);
            kind.is_some_and(|kind| kind.scope() == Scope::Operations || is_cycle(kind))
        };
        report.checks.into_iter().filter(is_ours).map(|check| ours(check, &name)).collect()
    }
}

fn is_cycle(kind: Kind) -> bool {
    use Kind::{G0, G0Process, G0Realtime, G1c, G1cProcess, G1cRealtime};
    matches!(kind, G0 | G0Process | G0Realtime | G1c | G1cProcess | G1cRealtime)
}

/// Keys and values as the logs and records that they stand for.
fn ours(mut check: Check, name: &impl Fn(LogRef) -> String) -> Check {
    let log = |key: LogRef| log_of(Atom::from(key.partition)).unwrap_or(key);
    for finding in &mut check.findings {
        finding.log = log(finding.log);
        finding.topic = name(finding.log);
        for id in &mut finding.ids {
            let value = i64::try_from(id.sequence).ok().and_then(Atom::number);
            *id = value.and_then(id_of).unwrap_or(*id);
        }
        for step in &mut finding.cycle {
            step.log = step.log.map(log);
        }
        name_evidence(finding);
    }
    if check.verdict == CheckVerdict::Invalid && check.count == 0 {
        check.verdict = CheckVerdict::Valid;
    }
    check
}

fn name_evidence(finding: &mut Finding) {
    for step in &mut finding.evidence {
        if let Some(id) = &mut step.id {
            let value = i64::try_from(id.sequence).ok().and_then(Atom::number);
            *id = value.and_then(id_of).unwrap_or(*id);
        }
    }
}
