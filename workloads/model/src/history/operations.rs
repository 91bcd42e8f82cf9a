//! Events of our histories as operations in Jepsen's sense: for its EDN, and for the search for cycles.
//!
//! Promises: a transaction is one operation from its begin to its end; a plain send is one from its intent to its outcome;
//! what a poll handed out of one log is one, at the moment when it was written down. What a history does not hold (when a
//! poll was begun, empty polls) is not made up. A process of Jepsen's does one thing at a time: a session's sends that
//! are open side by side are on processes of their own. Absent on purpose: faults, settings, phases.

use super::{Ending, Event, LogRef, Outcome, ReaderEvent, RecordId, Seen, Session, Time, TopicRef};
use crate::operation::{
    Atom, Batch, Function, MicroOperation, Operation, Place, Polled, Rebalance, Shape, Stage,
};
use rustc_hash::FxHashMap;

/// Partitions of one topic before the keys of the next begin: Kafka numbers them with 31 bits.
const KEYS_OF_TOPIC: i64 = 1 << 31;
/// Sequences of one session before the values of the next begin.
const VALUES_OF_SESSION: i64 = 1 << 36;
/// Sessions before the processes begin that hold sends which are open side by side.
const PROCESSES_OF_SESSIONS: i64 = 1 << 32;

/// The key of a log.
pub fn key_of(log: LogRef) -> Atom {
    let number = i64::from(log.topic.0) * KEYS_OF_TOPIC + i64::from(log.partition) % KEYS_OF_TOPIC;
    Atom::number(number).expect("a key is never negative")
}

/// The log of a key.
pub fn log_of(key: Atom) -> Option<LogRef> {
    let number = key.as_number().filter(|number| *number >= 0)?;
    let topic = TopicRef(u32::try_from(number / KEYS_OF_TOPIC).ok()?);
    Some(LogRef { topic, partition: u32::try_from(number % KEYS_OF_TOPIC).ok()? })
}

/// The value that stands for a record: no other one of its history has it.
pub fn value_of(id: RecordId) -> Atom {
    let sequence = i64::try_from(id.sequence % VALUES_OF_SESSION as u64).unwrap_or(0);
    let number = (i64::from(id.session.0) % (1 << 27)) * VALUES_OF_SESSION + sequence;
    Atom::number(number).expect("a value is never negative")
}

/// The record that a value stands for.
pub fn id_of(value: Atom) -> Option<RecordId> {
    let number = value.as_number().filter(|number| *number >= 0)?;
    let session = Session(u32::try_from(number / VALUES_OF_SESSION).ok()?);
    Some(RecordId { session, sequence: (number % VALUES_OF_SESSION).unsigned_abs() })
}

/// Tells, one by one, what of an event is in no operation.
pub fn left_out(event: &Event, mut tell: impl FnMut(&'static str)) {
    let name = match event {
        Event::Send { .. }
        | Event::Sent { .. }
        | Event::TransactionBegan { .. }
        | Event::TransactionEnded { .. }
        | Event::Operation { .. } => return,
        Event::Polled { records, .. } => {
            for (_, seen) in records {
                match seen {
                    Seen::Record(_) => {}
                    Seen::Corrupted(_) => tell("that a record was corrupted"),
                    Seen::Misplaced { .. } => tell("that a record was misplaced"),
                    Seen::Foreign => tell("foreign record"),
                }
            }
            return;
        }
        Event::Reader { what: ReaderEvent::Assigned { .. }, .. } => return,
        Event::Reader { .. } => "reader",
        Event::Run { .. } => "run",
        Event::Topic { .. } => "topic",
        Event::Settings { .. } => "settings",
        Event::TopicDeleted { .. } => "topic_deleted",
        Event::Phase { .. } => "phase",
        Event::ProducerOpened { .. } => "producer_opened",
        Event::ConsumerOpened { .. } => "consumer_opened",
        Event::SessionClosed { .. } => "session_closed",
        Event::PassBegan { .. } => "pass_began",
        Event::PassEnded { .. } => "pass_ended",
        Event::LogBounds { .. } => "log_bounds",
        Event::RecordsDeleted { .. } => "records_deleted",
        Event::TransactionEnding { .. } => "transaction_ending",
        Event::OffsetsInTransaction { .. } => "offsets_in_transaction",
        Event::Copied { .. } => "copied",
        Event::Joined { .. } => "joined",
        Event::Processed { .. } => "processed",
        Event::CommitBegan { .. } => "commit_began",
        Event::CommitEnded { .. } => "commit_ended",
        Event::CommittedSeen { .. } => "committed_seen",
        Event::GroupReset { .. } => "group_reset",
    };
    tell(name);
}

/// A transaction under way.
struct Open {
    reader: Option<Session>,
    operation: Operation,
    /// Where its sends stand among the micro-operations.
    sends: FxHashMap<u64, usize>,
}

/// A plain send under way: its process, and where it goes.
#[derive(Clone, Copy)]
struct Plain {
    lane: u32,
    key: Atom,
}

/// Takes events and gives operations.
#[derive(Default)]
pub struct ToOperations {
    transactions: FxHashMap<u32, Open>,
    /// By reader: whose transaction its polls are parts of.
    readers: FxHashMap<u32, u32>,
    plain: FxHashMap<RecordId, Plain>,
    /// By session: lanes that are free, and how many there are.
    lanes: FxHashMap<u32, (Vec<u32>, u32)>,
    index: u64,
    last_ns: i64,
    made: Operation,
}

impl ToOperations {
    pub fn new() -> ToOperations {
        ToOperations::default()
    }

    /// Its polls are parts of a transaction that is open now.
    pub fn reads_in_transaction(&self, reader: Session) -> bool {
        self.readers.contains_key(&reader.0)
    }

    pub fn feed(&mut self, time: &Time, event: &Event, mut give: impl FnMut(&Operation)) {
        self.last_ns = i64::try_from(time.mono_ns).unwrap_or(i64::MAX);
        match event {
            Event::Send { id, log, .. } => self.send(*id, key_of(*log), &mut give),
            Event::Sent { id, outcome, error } => {
                self.sent(*id, *outcome, error.as_deref(), &mut give);
            }
            Event::Polled { reader, log, records, .. } => {
                self.polled(*reader, key_of(*log), records, &mut give);
            }
            Event::Reader { reader, what, .. } => self.moved(*reader, what, &mut give),
            Event::TransactionBegan { session, reader, .. } => {
                self.began(*session, *reader, &mut give);
            }
            Event::TransactionEnded { session, ending, error, .. } => {
                self.ended(*session, *ending, error.as_deref(), &mut give);
            }
            _ => {}
        }
    }

    /// No event follows: what is open stays open, and what it had done is told.
    pub fn finish(&mut self, mut give: impl FnMut(&Operation)) {
        let mut open: Vec<u32> = self.transactions.keys().copied().collect();
        open.sort_unstable();
        for session in open {
            self.ended(Session(session), Ending::Info, None, &mut give);
        }
    }

    fn give(&mut self, mut operation: Operation, give: &mut impl FnMut(&Operation)) -> Operation {
        operation.index = Some(self.index);
        operation.time_ns = Some(self.last_ns);
        self.index += 1;
        give(&operation);
        operation
    }

    /// An operation of a process, from memory that is used again.
    fn make(&mut self, process: i64, stage: Stage, function: Function) -> Operation {
        let mut operation = std::mem::take(&mut self.made);
        operation.clear();
        operation.process = Atom::number(process);
        operation.stage = Some(stage);
        operation.function = Some(function);
        operation.shape = Shape::MicroOperations;
        operation
    }

    fn began(
        &mut self,
        session: Session,
        reader: Option<Session>,
        give: &mut impl FnMut(&Operation),
    ) {
        if self.transactions.contains_key(&session.0) {
            self.ended(session, Ending::Info, None, give);
        }
        let process = i64::from(session.0);
        let invoked = self.make(process, Stage::Invoke, Function::Txn);
        self.made = self.give(invoked, give);
        let operation = Operation {
            process: Atom::number(process),
            function: Some(Function::Txn),
            shape: Shape::MicroOperations,
            ..Operation::default()
        };
        self.readers.extend(reader.map(|reader| (reader.0, session.0)));
        self.transactions
            .insert(session.0, Open { reader, operation, sends: FxHashMap::default() });
    }

    fn ended(
        &mut self,
        session: Session,
        ending: Ending,
        error: Option<&str>,
        give: &mut impl FnMut(&Operation),
    ) {
        let Some(mut open) = self.transactions.remove(&session.0) else { return };
        if let Some(reader) = open.reader {
            self.readers.remove(&reader.0);
        }
        open.operation.stage = Some(match ending {
            Ending::Committed => Stage::Ok,
            Ending::Aborted => Stage::Fail,
            Ending::Info => Stage::Info,
        });
        open.operation.error = error.map(text);
        self.give(open.operation, give);
    }

    fn send(&mut self, id: RecordId, key: Atom, give: &mut impl FnMut(&Operation)) {
        let send = MicroOperation::Send { key, value: value_of(id), place: Place::Unsaid };
        if let Some(open) = self.transactions.get_mut(&id.session.0) {
            open.sends.insert(id.sequence, open.operation.micro_operations.len());
            open.operation.micro_operations.push(send);
            return;
        }
        let (free, lanes) = self.lanes.entry(id.session.0).or_default();
        let lane = free.pop().unwrap_or_else(|| {
            *lanes += 1;
            *lanes - 1
        });
        self.plain.insert(id, Plain { lane, key });
        let mut invoked = self.make(process_of(id.session, lane), Stage::Invoke, Function::Send);
        invoked.micro_operations.push(send);
        self.made = self.give(invoked, give);
    }

    fn sent(
        &mut self,
        id: RecordId,
        outcome: Outcome,
        error: Option<&str>,
        give: &mut impl FnMut(&Operation),
    ) {
        let known = match outcome {
            Outcome::Ok { offset: Some(offset) } => Place::At(offset),
            Outcome::Ok { offset: None } => Place::Unknown,
            Outcome::Fail | Outcome::Info | Outcome::Unacknowledged => Place::Unsaid,
        };
        if let Some(open) = self.transactions.get_mut(&id.session.0) {
            let at = open.sends.get(&id.sequence);
            let slot = at.and_then(|at| open.operation.micro_operations.get_mut(*at));
            if let Some(MicroOperation::Send { place, .. }) = slot {
                *place = known;
            }
            return;
        }
        let Some(Plain { lane, key }) = self.plain.remove(&id) else { return };
        let stage = match outcome {
            Outcome::Ok { .. } => Stage::Ok,
            Outcome::Fail => Stage::Fail,
            // Nobody promised anything, and nobody knows.
            Outcome::Info | Outcome::Unacknowledged => Stage::Info,
        };
        let mut done = self.make(process_of(id.session, lane), stage, Function::Send);
        done.micro_operations.push(MicroOperation::Send { key, value: value_of(id), place: known });
        done.error = error.map(text);
        self.made = self.give(done, give);
        // After an indeterminate one, Jepsen's process is never used again.
        if stage != Stage::Info {
            self.lanes.entry(id.session.0).or_default().0.push(lane);
        }
    }

    fn polled(
        &mut self,
        reader: Session,
        key: Atom,
        records: &[(i64, Seen)],
        give: &mut impl FnMut(&Operation),
    ) {
        let seen = records.iter().filter_map(|(offset, what)| match what {
            Seen::Record(id) | Seen::Corrupted(id) | Seen::Misplaced { id, .. } => {
                Some(Polled { offset: Some(*offset), value: value_of(*id) })
            }
            Seen::Foreign => None,
        });
        let of = self.readers.get(&reader.0).copied();
        if let Some(open) = of.and_then(|session| self.transactions.get_mut(&session)) {
            push_poll(&mut open.operation, key, seen);
            return;
        }
        let process = i64::from(reader.0);
        let mut invoked = self.make(process, Stage::Invoke, Function::Poll);
        invoked.micro_operations.push(MicroOperation::PollPending);
        self.made = self.give(invoked, give);
        let mut done = self.make(process, Stage::Ok, Function::Poll);
        push_poll(&mut done, key, seen);
        self.made = self.give(done, give);
    }

    /// A reader's position moved: that excuses the transaction in which it did, or is an assignment of its own.
    fn moved(&mut self, reader: Session, what: &ReaderEvent, give: &mut impl FnMut(&Operation)) {
        let (word, keys): (&str, Vec<Atom>) = match what {
            ReaderEvent::Assigned { logs } => {
                (":assigned", logs.iter().map(|(log, _)| key_of(*log)).collect())
            }
            ReaderEvent::Revoked { logs } => {
                (":revoked", logs.iter().map(|log| key_of(*log)).collect())
            }
            ReaderEvent::Seek { log, .. } | ReaderEvent::OutOfRange { log, .. } => {
                (":assigned", vec![key_of(*log)])
            }
            ReaderEvent::EndOfLog { .. } | ReaderEvent::Error { .. } => return,
        };
        let of = self.readers.get(&reader.0).copied();
        if let Some(open) = of.and_then(|session| self.transactions.get_mut(&session)) {
            let entry = Rebalance { what: Some(word.to_owned()), keys, rest: Vec::new() };
            open.operation.rebalance_log.get_or_insert_default().push(entry);
            return;
        }
        let ReaderEvent::Assigned { logs } = what else { return };
        let from_start = logs.iter().all(|(_, from)| from.is_none());
        for stage in [Stage::Invoke, Stage::Ok] {
            let mut assigned = self.make(i64::from(reader.0), stage, Function::Assign);
            assigned.shape = Shape::Keys;
            assigned.keys.extend(&keys);
            assigned.seek_to_beginning = from_start.then_some(true);
            self.made = self.give(assigned, give);
        }
    }
}

fn process_of(session: Session, lane: u32) -> i64 {
    i64::from(session.0) + i64::from(lane) * PROCESSES_OF_SESSIONS
}

fn push_poll(operation: &mut Operation, key: Atom, seen: impl Iterator<Item = Polled>) {
    let first = operation.polled.len() as u32;
    operation.polled.extend(seen);
    let count = operation.polled.len() as u32 - first;
    let batch = operation.batches.len() as u32;
    operation.batches.push(Batch { key, first, count });
    operation.micro_operations.push(MicroOperation::Poll { first: batch, count: 1 });
}

/// A word of ours as EDN.
fn text(error: &str) -> String {
    serde_json::to_string(error).expect("a text is written to memory")
}

#[cfg(test)]
mod tests;
