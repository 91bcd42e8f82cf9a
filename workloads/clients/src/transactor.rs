//! One librdkafka producer whose sends are parts of transactions, with a reader whose polls are parts of them too.
//!
//! Promises: what a transaction is to come to is written down before it is asked for, and its ending is what is certain. It is
//! *aborted* only where nobody asked for its commit, or where one of its sends had failed, so that the library never passed
//! the request on; it is *committed* only where the coordinator said so; all else is indeterminate. Whatever is left hanging is
//! ended when the thread ends, by a session that takes its transactional id. Not here: which outcomes a log may then show.

use crate::producer::{Client, Orders, ProducerTask, RunningProducer, announce, create, drain};
use crate::reader::{Pass, ReaderTask};
use crate::{History, outcome};
use generator::open_loop::Due;
use generator::random::Random;
use generator::stamp::{self, Stamp};
use model::history::{Ending, Event, LogRef, Outcome, PassKind, RecordId, Session};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long one call to the coordinator may take before we look whether we are wanted elsewhere.
const CALL_WAIT: Duration = Duration::from_secs(2);
/// A transaction waits so long for the sends that it was drawn to have.
const FILL_NS: u64 = 200_000_000;

/// What a transactor needs beside what a producer does.
pub struct TransactorTask {
    pub producer: ProducerTask,
    /// A reader of committed records; its session and name are its own.
    pub reader: ReaderTask,
    /// Sends of one transaction: from one to so many, drawn.
    pub records_max: u64,
    /// Transactions that are aborted on purpose, of a thousand.
    pub aborts_per_mille: u64,
    /// So often a second session takes the transactional id while the first has a transaction open.
    pub fenced_every: Option<Duration>,
    pub random: Random,
}

/// Starts the thread; its first session is opened on it, for that takes as long as the coordinator does.
pub fn start(
    task: TransactorTask,
    history: Arc<dyn History>,
) -> Result<RunningProducer, KafkaError> {
    let reader = Pass::open(task.reader.clone(), 0, PassKind::Live, history.clone())?;
    let name = task.producer.name.clone();
    Ok(RunningProducer::spawn(name, move |orders| {
        let now_ns = history.now().mono_ns;
        let worker = Worker {
            orders,
            history,
            reader,
            pending: VecDeque::new(),
            fenced_ns: now_ns,
            value: Vec::new(),
            task,
        };
        worker.run();
    }))
}

/// A session that has its transactional id, or had it.
struct Own {
    client: Client,
    /// Transactions that it has begun.
    transactions: u64,
    /// What it has sent.
    sends: u64,
}

impl Own {
    fn session(&self) -> Session {
        self.client.context().session
    }

    fn has_failed_send(&self) -> &AtomicBool {
        &self.client.context().failed
    }
}

struct Worker {
    task: TransactorTask,
    history: Arc<dyn History>,
    orders: Arc<Orders>,
    reader: Pass,
    /// Sends that are due and in no transaction yet.
    pending: VecDeque<Due>,
    /// When the last session was fenced by another.
    fenced_ns: u64,
    value: Vec<u8>,
}

impl Worker {
    fn run(mut self) {
        let mut own = self.opened();
        while let Some(current) = own.take() {
            own = self.work(current);
        }
        self.reader.close(false);
        self.history.commit();
    }

    fn is_stopped(&self) -> bool {
        self.orders.is_stopped()
    }

    fn record(&self, event: Event) {
        self.history.record(self.history.now(), event);
    }

    /// A session that has its transactional id to itself; `None`: stopped before it came to that.
    fn opened(&mut self) -> Option<Own> {
        loop {
            match create(&self.task.producer, &self.history) {
                Ok(client) if self.take_id(&client) => {
                    // Only now is whoever had the id fenced for certain.
                    announce(&client, &self.task.producer, &self.history);
                    return Some(Own { client, transactions: 0, sends: 0 });
                }
                // It never was a session of the history.
                Ok(client) => drop(client),
                Err(error) => {
                    let producer = &self.task.producer.name;
                    tracing::error!(producer, %error, "cannot open a session");
                    return None;
                }
            }
            if self.is_stopped() {
                return None;
            }
        }
    }

    /// Fences whoever had it, and ends what that one left open. As long as the load may take to end.
    fn take_id(&self, client: &Client) -> bool {
        let deadline_ns = self.deadline_ns();
        loop {
            match client.init_transactions(CALL_WAIT) {
                Ok(()) => return true,
                Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
                Err(error) => {
                    tracing::debug!(%error, "no transactional id");
                    return false;
                }
            }
            if self.history.now().mono_ns > deadline_ns {
                return false;
            }
        }
    }

    /// Transactions until the session ends; answers the one that goes on.
    fn work(&mut self, mut own: Own) -> Option<Own> {
        loop {
            if self.is_stopped() {
                self.close(own.client);
                return None;
            }
            self.take_due();
            if self.pending.is_empty() {
                own.client.poll(Duration::from_millis(1));
                continue;
            }
            let mut successor = None;
            let ending = self.transact(&mut own, &mut successor);
            let is_over = ending == Ending::Info || own.client.client().fatal_error().is_some();
            if successor.is_some() || is_over {
                self.close(own.client);
                // Even where the load has stopped: what hangs is ended by whoever takes the id.
                return successor.or_else(|| self.opened());
            }
        }
    }

    fn take_due(&mut self) {
        let now_ns = self.history.now().mono_ns;
        if self.orders.is_to_start_again() {
            self.task.producer.schedule.start_again(now_ns);
            self.pending.clear();
        }
        let mut due = Vec::new();
        self.task.producer.schedule.take_due(now_ns, &mut due);
        self.pending.extend(due);
    }

    fn transact(&mut self, own: &mut Own, successor: &mut Option<Own>) -> Ending {
        let (session, transaction) = (own.session(), own.transactions);
        own.transactions += 1;
        let reader = Some(self.reader.task.session);
        self.record(Event::TransactionBegan { session, transaction, reader });
        own.has_failed_send().store(false, Ordering::Relaxed);
        let begun = own.client.begin_transaction();
        let aborts = self.task.random.below(1000) < self.task.aborts_per_mille || begun.is_err();
        if begun.is_ok() {
            self.reader.poll_batch(Duration::ZERO);
            self.fill(own);
            if self.is_to_be_fenced() {
                // The old session goes on as if nothing had happened: a zombie.
                *successor = self.opened();
            }
        }
        self.record(Event::TransactionEnding { session, transaction, commit: !aborts });
        self.history.commit();
        let (ending, error) = match (aborts, begun) {
            // Without a request to commit nothing of it can ever take effect, whatever the coordinator says.
            (_, Err(error)) => (Ending::Aborted, Some(error)),
            (true, Ok(())) => (Ending::Aborted, self.abort(&own.client).err()),
            (false, Ok(())) => self.commit(own),
        };
        let error = error.as_ref().map(outcome::name);
        self.record(Event::TransactionEnded { session, transaction, ending, error });
        ending
    }

    /// Sends what is due, until it has as many as it was drawn to have.
    fn fill(&mut self, own: &mut Own) {
        let mut left = 1 + self.task.random.below(self.task.records_max);
        let until_ns = self.history.now().mono_ns + FILL_NS;
        while left > 0 && !self.is_stopped() {
            self.take_due();
            let now = self.history.now();
            let count = self.pending.len().min(left as usize);
            let sends: Vec<(RecordId, Due)> = self
                .pending
                .drain(..count)
                .zip(own.sends..)
                .map(|(due, sequence)| (RecordId { session: own.session(), sequence }, due))
                .collect();
            own.sends += count as u64;
            for (id, due) in &sends {
                let (id, log, intended_mono_ns) = (*id, due.log, due.intended_mono_ns);
                self.history.record(now, Event::Send { id, log, intended_mono_ns });
            }
            // Intent is on disk before the first byte leaves.
            self.history.commit();
            sends.iter().for_each(|(id, due)| self.send(own, *id, due.log, now.wall_ms));
            left -= count as u64;
            if now.mono_ns > until_ns {
                break;
            }
            own.client.poll(Duration::from_millis(1));
        }
    }

    fn send(&mut self, own: &Own, id: RecordId, log: LogRef, timestamp_ms: i64) {
        let task = &self.task.producer;
        let stamp = Stamp { run: task.run, id, log, timestamp_ms };
        stamp::write(&stamp, None, task.record_bytes, &task.filler, &mut self.value);
        let record: BaseRecord<'_, (), [u8], usize> =
            BaseRecord::with_opaque_to(&task.topic, id.sequence as usize)
                .partition(log.partition as i32)
                .timestamp(timestamp_ms)
                .payload(&self.value);
        if let Err((error, _)) = own.client.send(record) {
            own.has_failed_send().store(true, Ordering::Relaxed);
            let error = Some(outcome::name(&error));
            self.record(Event::Sent { id, outcome: Outcome::Fail, error });
        }
    }

    /// Asks for the commit until the coordinator answers, or as long as the load may take to end.
    fn commit(&self, own: &Own) -> (Ending, Option<KafkaError>) {
        let deadline_ns = self.deadline_ns();
        loop {
            let error = match own.client.commit_transaction(CALL_WAIT) {
                Ok(()) => return (Ending::Committed, None),
                Err(error) => error,
            };
            let late = self.history.now().mono_ns > deadline_ns;
            match &error {
                KafkaError::Transaction(told) if told.txn_requires_abort() => {
                    // The library looks at the sends before it asks: where one failed, it never did.
                    let never_asked = own.has_failed_send().load(Ordering::Relaxed);
                    let is_aborted = self.abort(&own.client).is_ok() && never_asked;
                    let ending = if is_aborted { Ending::Aborted } else { Ending::Info };
                    return (ending, Some(error));
                }
                KafkaError::Transaction(told) if told.is_retriable() && !late => {}
                // Sends that are still on their way: asked again, the library goes on waiting for them.
                KafkaError::Flush(_) if !late => {}
                _ => return (Ending::Info, Some(error)),
            }
        }
    }

    fn abort(&self, client: &Client) -> Result<(), KafkaError> {
        let deadline_ns = self.deadline_ns();
        loop {
            // What is to be aborted is in the log first, as far as that can be had. The call itself waits for every
            // report, and nobody hands them out meanwhile.
            let _ = client.flush(CALL_WAIT);
            let error = match client.abort_transaction(CALL_WAIT) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let is_retriable =
                matches!(&error, KafkaError::Transaction(told) if told.is_retriable());
            if !is_retriable || self.history.now().mono_ns > deadline_ns {
                return Err(error);
            }
        }
    }

    /// Until when the coordinator is asked again.
    fn deadline_ns(&self) -> u64 {
        self.history.now().mono_ns + self.task.producer.drain_max.as_nanos() as u64
    }

    fn is_to_be_fenced(&mut self) -> bool {
        let now_ns = self.history.now().mono_ns;
        let Some(every) = self.task.fenced_every else { return false };
        let due = now_ns >= self.fenced_ns + every.as_nanos() as u64;
        if due {
            self.fenced_ns = now_ns;
        }
        due
    }

    fn close(&self, client: Client) {
        drain(&client, &self.history, Duration::ZERO);
        let session = client.context().session;
        drop(client);
        self.record(Event::SessionClosed { session });
        self.history.commit();
    }
}
