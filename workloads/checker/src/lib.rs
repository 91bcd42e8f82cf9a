//! Finds anomalies in what clients saw, and reads nothing else: no fault, no log of a broker, no setting but those
//! that decide what may be removed.
//!
//! Promises: exact (no sampling, no budget changes an answer); the same answer live and from a stored history; no
//! history makes it panic. What cannot be told is `unknown`, with the reason. Memory: 32 bytes for each record in use,
//! about 5 for every other one, and something for each anomaly; holes and high first offsets cost nothing. With a
//! [`Spill`] records take no more than was allowed, and one that fails makes every answer unknown, never another.
//! Absent on purpose: any judgement whether an anomaly breaks a promise. The judge decides that.
//!
//! Feed events in the order in which they were written down, then `finish`.

mod certain;
mod cycle_search;
mod finish;
mod group_events;
mod groups;
mod log_table;
pub mod operations;
mod pages;
mod passes;
mod prose;
mod reads;
mod records;
mod sends;
mod spill;
#[cfg(test)]
mod tests;
mod transactions;

use cycle_search::CycleSearch;
use groups::Groups;
use log_table::{Conflict, FOREIGN, Gap, LogTable, OffsetPages};
use model::facts::{HistoryFacts, LogFacts, ProducerFacts, TopicFacts};
use model::finding::{Check, Counts};
use model::history::{
    Ending, Event, LogRef, Outcome, PassKind, Phase, ReaderEvent, RecordId, Seen, Session, Time,
};
use model::replicas::ProducerEpoch;
use model::settings::{Acks, Isolation, TopicSettings};
use pages::{Backing, OpenBytes, SharedBacking};
use passes::{Pass, Passes};
use records::{Fate, Records, Slot};
use rustc_hash::FxHashMap;
use serde::Serialize;
pub use spill::{Spill, SpillError};
use std::collections::BTreeMap;
use transactions::Transactions;

/// What librdkafka calls a send that it gave up for its age.
const TIMED_OUT: &str = "MessageTimedOut";

/// What a check needs to be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Distinct readers that must have read a log from its start to its end before a record is called lost for being
    /// absent from it.
    pub final_readers: usize,
    /// Findings kept for each kind; counts are exact all the same.
    pub findings_max: usize,
    /// Records named in a finding.
    pub ids_max: usize,
    /// Memory for records and offsets, the open ones included; what exceeds it is spilled where there is a [`Spill`], and
    /// stays in memory where there is none. It never changes an answer.
    pub memory_bytes_max: u64,
    /// Healed time without a record, though records wait, that makes a live reader `stuck`; `None`: it is not looked for.
    pub stuck_ms: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            final_readers: 2,
            findings_max: 4096,
            ids_max: 8,
            memory_bytes_max: 512 << 20,
            stuck_ms: None,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// One for each [`model::finding::Kind`], in that order.
    pub checks: Vec<Check>,
    pub counts: Counts,
    pub facts: HistoryFacts,
    /// What was odd about the history itself.
    pub warnings: Vec<String>,
}

/// A record that a reader saw and that is no record of its log: damaged, unsent or sent elsewhere.
#[derive(Clone, Copy)]
struct Sighting {
    id: RecordId,
    at_ms: u32,
    reader: Session,
    /// Where it was sent to, if that is another log.
    sent_to: Option<LogRef>,
}

/// A reader that went back.
#[derive(Clone, Copy)]
struct Backward {
    reader: Session,
    pass: u32,
    /// The offset handed out before, and the one that came after it.
    from: i64,
    to: i64,
    at_ms: u32,
}

/// Of a log's start and end, as its leader told them.
#[derive(Clone, Copy)]
struct Bounds {
    leader_epoch: i32,
    start: i64,
    end: i64,
    at_ms: u32,
}

struct LogState {
    log: LogRef,
    table: LogTable,
    gaps: Vec<Gap>,
    backward: Vec<Backward>,
    /// By offset.
    corrupted: BTreeMap<i64, Sighting>,
    phantoms: BTreeMap<i64, Sighting>,
    foreign: u64,
    ok: u64,
    unacknowledged: u64,
    first_ok_ms: Option<u32>,
    last_ok_ms: Option<u32>,
    settled: Option<Bounds>,
    /// The highest log start offset that anybody told.
    start_max: i64,
    /// Records below this were removed on request.
    deleted_before: i64,
    /// Where producers' epochs begin, if the log's own batches were asked.
    producer_epochs: Vec<ProducerEpoch>,
}

/// Takes a history event by event.
pub struct Checker {
    options: Options,
    records: Records,
    offsets: OffsetPages,
    logs: Vec<LogState>,
    log_index: FxHashMap<LogRef, u32>,
    topics: BTreeMap<u32, TopicFacts>,
    producers: BTreeMap<u32, ProducerFacts>,
    readers: BTreeMap<u32, String>,
    passes: Passes,
    transactions: Transactions,
    groups: Groups,
    /// From the first producer with a transactional id on.
    cycles: Option<Box<CycleSearch>>,
    facts: HistoryFacts,
    counts: Counts,
    now_ms: u32,
    now_ns: u64,
    /// Outcomes of sends that nobody intended, and intents or outcomes that came twice.
    sent_without_send: u64,
    repeated_events: u64,
    negative_offsets: u64,
    /// Operations of another tool among the events: nothing here looks at them.
    operations: u64,
}

impl Checker {
    /// Keeps everything in memory.
    pub fn new(options: Options) -> Checker {
        Checker::with(options, None)
    }

    /// Puts into `spill` what exceeds the memory that the options allow.
    pub fn with_spill(options: Options, spill: Box<dyn Spill>) -> Checker {
        Checker::with(options, Some(spill))
    }

    fn with(options: Options, spill: Option<Box<dyn Spill>>) -> Checker {
        let open = OpenBytes::of(options.memory_bytes_max);
        let packed_bytes_max = options.memory_bytes_max - open.records - open.offsets;
        let backing = SharedBacking::new(Backing::new(spill, packed_bytes_max));
        Checker {
            options,
            records: Records::new(backing.clone(), open.records),
            offsets: OffsetPages::new(backing, open.offsets),
            logs: Vec::new(),
            log_index: FxHashMap::default(),
            topics: BTreeMap::new(),
            producers: BTreeMap::new(),
            readers: BTreeMap::new(),
            passes: Passes::default(),
            transactions: Transactions::default(),
            groups: Groups::default(),
            cycles: None,
            facts: HistoryFacts::default(),
            counts: Counts::default(),
            now_ms: 0,
            now_ns: 0,
            sent_without_send: 0,
            repeated_events: 0,
            negative_offsets: 0,
            operations: 0,
        }
    }

    /// What was counted so far; what the final reads saw is only known at the end.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Says that the history ends before its run did: reads without a send are then unknown, not phantoms.
    pub fn history_was_cut(&mut self, because: &str) {
        self.facts.cut = Some(because.to_owned());
    }

    /// Says where producers' epochs begin in a log: what a client's library sends once more under a later epoch is new to the
    /// broker.
    pub fn producer_epochs(&mut self, log: LogRef, epochs: &[ProducerEpoch]) {
        if let Some(index) = self.log_index.get(&log) {
            self.logs[*index as usize].producer_epochs = epochs.to_vec();
        }
    }

    /// Takes the next event.
    pub fn feed(&mut self, time: &Time, event: &Event) {
        let now_ms = u32::try_from(time.mono_ns / 1_000_000).unwrap_or(u32::MAX);
        (self.now_ms, self.now_ns) = (now_ms, time.mono_ns);
        self.facts.last_event_ms = self.facts.last_event_ms.max(u64::from(now_ms));
        if let Some(cycles) = &mut self.cycles {
            let transactions = &self.transactions;
            cycles.feed(time, event, |reader| transactions.is_committed_reader(reader));
        }
        match event {
            Event::Send { .. } | Event::Sent { .. } | Event::Polled { .. } if self.has_failed() => {
            }
            Event::Send { id, log, .. } => self.send(*id, *log),
            Event::Sent { id, outcome, error } => {
                if *outcome == Outcome::Info && error.as_deref() == Some(TIMED_OUT) {
                    let producer = self.producers.get_mut(&id.session.0);
                    let now_ms = u64::from(self.now_ms);
                    producer.map(|of| of.timed_out_ms.get_or_insert(now_ms));
                }
                self.sent(*id, *outcome);
            }
            Event::Polled { reader, pass, log, records } => {
                self.polled(*reader, *pass, *log, records)
            }
            rare => self.rare(rare),
        }
    }

    /// Records cannot be followed any more: every answer will be unknown.
    fn has_failed(&mut self) -> bool {
        self.records.has_failed() || self.offsets.has_failed()
    }

    fn rare(&mut self, event: &Event) {
        let at_ms = u64::from(self.now_ms);
        match event {
            Event::Run { .. } | Event::SessionClosed { .. } => {}
            Event::Operation { .. } => self.operations += 1,
            Event::Topic { topic, name, topic_id, settings } => {
                let facts = TopicFacts {
                    topic: *topic,
                    name: name.clone(),
                    topic_id: *topic_id,
                    settings: vec![(at_ms, settings.clone())],
                    deleted_ms: None,
                };
                for partition in 0..settings.partitions.min(100_000) {
                    self.log(LogRef { topic: *topic, partition });
                }
                self.topics.entry(topic.0).or_insert(facts);
            }
            Event::Settings { topic, settings } => {
                // It may have got more of them.
                for partition in 0..settings.partitions.min(100_000) {
                    self.log(LogRef { topic: *topic, partition });
                }
                if let Some(known) = self.topics.get_mut(&topic.0) {
                    known.settings.push((at_ms, settings.clone()));
                }
            }
            Event::TopicDeleted { topic } => {
                if let Some(known) = self.topics.get_mut(&topic.0) {
                    known.deleted_ms = Some(at_ms);
                }
            }
            Event::Phase { phase } => self.facts.phases.push((at_ms, *phase)),
            Event::ProducerOpened { session, name, settings } => {
                self.transactions.opened(*session, settings.transactional_id.as_deref());
                if settings.transactional_id.is_some() {
                    self.cycles.get_or_insert_default();
                }
                let facts = ProducerFacts {
                    session: *session,
                    name: name.clone(),
                    opened_ms: at_ms,
                    settings: settings.clone(),
                    ok: 0,
                    fail: 0,
                    info: 0,
                    unacknowledged: 0,
                    timed_out_ms: None,
                };
                self.producers.entry(session.0).or_insert(facts);
            }
            Event::ConsumerOpened { session, name, settings } => {
                self.readers.insert(session.0, name.clone());
                if settings.isolation == Isolation::ReadCommitted {
                    self.transactions.reads_committed(*session);
                }
                self.groups.opened(*session, settings.group.as_ref());
            }
            Event::PassBegan { reader, pass, kind } => self.pass_began(*reader, *pass, *kind),
            Event::PassEnded { reader, pass, complete } => {
                let index = self.passes.index(*reader, *pass);
                self.passes.list[index].ended = true;
                self.passes.list[index].ended_ms = Some(self.now_ms);
                self.passes.list[index].complete = *complete;
            }
            Event::Reader { reader, pass, what } => {
                self.reader_event(*reader, *pass, what);
                self.member_event(*reader, what);
            }
            Event::LogBounds { log, leader_epoch, start, end, settled } => {
                let at_ms = self.now_ms;
                let index = self.log(*log);
                let state = &mut self.logs[index as usize];
                state.start_max = state.start_max.max(*start);
                if *settled {
                    let (leader_epoch, start, end) = (*leader_epoch, *start, *end);
                    state.settled = Some(Bounds { leader_epoch, start, end, at_ms });
                }
            }
            Event::RecordsDeleted { log, before } => {
                let index = self.log(*log);
                let state = &mut self.logs[index as usize];
                state.deleted_before = state.deleted_before.max(*before);
            }
            Event::Send { .. } | Event::Sent { .. } | Event::Polled { .. } => {
                unreachable!("taken by `feed`")
            }
            Event::TransactionBegan { session, transaction, reader } => {
                let now_ns = self.now_ns;
                let began = self.transactions.began(*session, *transaction, *reader, now_ns);
                self.repeated_events += u64::from(!began);
            }
            Event::TransactionEnding { session, transaction, commit } => {
                let is_open = self.transactions.ending(*session, *transaction, *commit);
                self.repeated_events += u64::from(!is_open);
            }
            Event::TransactionEnded { session, transaction, ending, .. } => {
                self.transaction_ended(*session, *transaction, *ending);
            }
            of_groups @ (Event::OffsetsInTransaction { .. }
            | Event::Copied { .. }
            | Event::Joined { .. }
            | Event::Processed { .. }
            | Event::CommitBegan { .. }
            | Event::CommitEnded { .. }
            | Event::CommittedSeen { .. }
            | Event::GroupReset { .. }) => self.group_event(of_groups),
        }
    }

    fn log(&mut self, log: LogRef) -> u32 {
        if let Some(index) = self.log_index.get(&log) {
            return *index;
        }
        let index = self.logs.len() as u32;
        self.log_index.insert(log, index);
        self.logs.push(LogState {
            log,
            table: LogTable::default(),
            gaps: Vec::new(),
            backward: Vec::new(),
            corrupted: BTreeMap::new(),
            phantoms: BTreeMap::new(),
            foreign: 0,
            ok: 0,
            unacknowledged: 0,
            first_ok_ms: None,
            last_ok_ms: None,
            settled: None,
            start_max: 0,
            deleted_before: 0,
            producer_epochs: Vec::new(),
        });
        index
    }

    fn topic_name(&self, log: LogRef) -> String {
        match self.topics.get(&log.topic.0) {
            Some(topic) => topic.name.clone(),
            None => format!("topic #{}", log.topic.0),
        }
    }

    fn acks_of(&self, id: RecordId) -> Option<Acks> {
        self.producers.get(&id.session.0).map(|producer| producer.settings.acks)
    }

    /// The settings that some broker may have gone by on a log at any time from `from_ms` on: those in force, and those that
    /// were changed while faults may have kept a leader from hearing of it.
    fn settings_since(&self, log: LogRef, from_ms: u32) -> impl Iterator<Item = &TopicSettings> {
        let settings = self.topics.get(&log.topic.0).map_or(&[][..], |topic| &topic.settings);
        let from_ms = self.disturbed_since(u64::from(from_ms));
        let begin = settings.partition_point(|(at_ms, _)| *at_ms <= from_ms);
        settings[begin.saturating_sub(1)..].iter().map(|(_, settings)| settings)
    }

    /// When the faults began that were not healed by `at_ms`; `at_ms` itself where there are none.
    fn disturbed_since(&self, at_ms: u64) -> u64 {
        let before = self.facts.phases.iter().take_while(|(began_ms, _)| *began_ms <= at_ms);
        before.fold(at_ms, |since, (began_ms, phase)| match phase {
            Phase::Faults => since.min(*began_ms),
            Phase::Heal => since,
            Phase::Baseline | Phase::Settle | Phase::FinalReads | Phase::Done => at_ms,
        })
    }

    fn is_deleted(&self, log: LogRef) -> bool {
        self.deleted_ms(log).is_some()
    }

    /// When its topic was asked to be deleted.
    fn deleted_ms(&self, log: LogRef) -> Option<u64> {
        self.topics.get(&log.topic.0)?.deleted_ms
    }

    /// Whether another topic got the name of its own.
    fn was_made_anew(&self, log: LogRef) -> bool {
        let Some(topic) = self.topics.get(&log.topic.0) else { return false };
        let mut later = self.topics.range(log.topic.0 + 1..);
        later.any(|(_, other)| other.name == topic.name)
    }

    fn log_facts(&self, state: &LogState, covered: Result<(), String>) -> LogFacts {
        LogFacts {
            log: state.log,
            topic: self.topic_name(state.log),
            ok: state.ok,
            unacknowledged: state.unacknowledged,
            first_ok_ms: state.first_ok_ms.map(u64::from),
            last_ok_ms: state.last_ok_ms.map(u64::from),
            start: state.settled.map(|bounds| bounds.start),
            end: state.settled.map(|bounds| bounds.end),
            leader_epoch: state.settled.map(|bounds| bounds.leader_epoch),
            finally_read: covered.is_ok(),
            because: covered.err(),
        }
    }
}
