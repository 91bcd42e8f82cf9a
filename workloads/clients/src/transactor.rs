//! One librdkafka producer whose sends are parts of transactions, with a reader whose polls are parts of them too.
//!
//! Promises: every session that it opens is ended, and whatever is left hanging then is ended when the thread ends, by a
//! session that takes its transactional id. Not here: how a transaction is ended ([`crate::transaction`]), and which
//! outcomes a log may then show.

use crate::History;
use crate::fencing::TransactionalId;
use crate::producer::{Orders, ProducerTask, RunningProducer, ToSend, send_all};
use crate::reader::{Pass, ReaderTask};
use crate::transaction::{Transactional, Wanted};
use generator::open_loop::Due;
use generator::random::Random;
use model::history::{Ending, PassKind, RecordId};
use rdkafka::error::KafkaError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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
    /// The id that its sessions are under.
    pub id: TransactionalId,
    pub random: Random,
}

/// Starts the thread; its first session is opened on it, for that takes as long as the coordinator does.
pub fn start(
    task: TransactorTask,
    history: Arc<dyn History>,
) -> Result<RunningProducer, KafkaError> {
    let reader = Pass::open(task.reader.clone(), 0, PassKind::Live, history.clone())?;
    let name = task.producer.session.name.clone();
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

    fn opened(&self) -> Option<Transactional> {
        let is_stopped = || self.orders.is_stopped();
        Transactional::open(&self.task.producer.session, &self.history, &is_stopped)
    }

    /// Transactions until the session ends; answers the one that goes on.
    fn work(&mut self, mut own: Transactional) -> Option<Transactional> {
        loop {
            if self.orders.is_stopped() {
                own.close();
                return None;
            }
            self.take_due();
            if self.pending.is_empty() {
                own.client.poll(Duration::from_millis(1));
                continue;
            }
            let mut successor = None;
            let ending = self.transact(&mut own, &mut successor);
            let is_over = ending == Ending::Info || own.has_fatal_error();
            if successor.is_some() || is_over {
                own.close();
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

    fn transact(
        &mut self,
        own: &mut Transactional,
        successor: &mut Option<Transactional>,
    ) -> Ending {
        let (transaction, begun) = own.begin(self.reader.task.session, self.history.now());
        let aborts = self.task.random.below(1000) < self.task.aborts_per_mille;
        let mut asked = false;
        if begun.is_ok() {
            self.reader.poll_batch(Duration::ZERO);
            self.fill(own);
            asked = self.task.id.begins(own.session());
            if asked || self.is_to_be_fenced() {
                // The old session goes on as if nothing had happened: a zombie.
                *successor = self.opened();
            }
        }
        let wanted = if aborts { Wanted::Abort } else { Wanted::Commit };
        let ending = own.end(transaction, wanted, begun.err());
        if asked {
            self.task.id.tried(&own.client, successor.as_ref().map(Transactional::session));
        }
        self.task.id.transacted(own.session(), ending);
        ending
    }

    /// Sends what is due, until it has as many as it was drawn to have.
    fn fill(&mut self, own: &mut Transactional) {
        let mut left = 1 + self.task.random.below(self.task.records_max);
        let until_ns = self.history.now().mono_ns + FILL_NS;
        while left > 0 && !self.orders.is_stopped() {
            self.take_due();
            let count = self.pending.len().min(left as usize);
            let session = own.session();
            let to_send = |(due, sequence): (Due, u64)| {
                let id = RecordId { session, sequence };
                ToSend { id, log: due.log, intended_mono_ns: due.intended_mono_ns }
            };
            let sends: Vec<ToSend> =
                self.pending.drain(..count).zip(own.sends..).map(to_send).collect();
            own.sends += count as u64;
            let task = &self.task.producer.session;
            send_all(&own.client, task, &sends, &self.history, &mut self.value);
            left -= count as u64;
            if self.history.now().mono_ns > until_ns {
                break;
            }
            own.client.poll(Duration::from_millis(1));
        }
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
}
