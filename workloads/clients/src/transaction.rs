//! Sessions of a producer that have a transactional id, and the transactions in them.
//!
//! Promises: what a transaction is to come to is written down before it is asked for, and its ending is what is certain. It is
//! *aborted* only where nobody asked for its commit, or where one of its sends had failed, so that the library never passed
//! the request on; it is *committed* only where the coordinator said so; all else is indeterminate. Not here: what is sent.

use crate::producer::{Client, SessionTask, announce, close, create, drain};
use crate::{History, outcome};
use model::history::{Ending, Event, Session};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long one call to the coordinator may take before we look whether we are wanted elsewhere.
pub(crate) const CALL_WAIT: Duration = Duration::from_secs(2);

/// A session that has its transactional id, or had it.
pub(crate) struct Transactional {
    pub(crate) client: Client,
    history: Arc<dyn History>,
    /// How long the coordinator is asked again: as long as the load may take to end.
    patience: Duration,
    /// Transactions that it has begun.
    transactions: u64,
    /// What it has sent.
    pub(crate) sends: u64,
}

/// What is to become of a transaction.
pub(crate) enum Wanted {
    Commit,
    Abort,
    /// Nothing is asked: whoever takes the transactional id next ends it.
    Leave,
}

impl Transactional {
    /// A session that has its transactional id to itself; `None`: stopped before it came to that.
    pub(crate) fn open(
        task: &SessionTask,
        history: &Arc<dyn History>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Option<Transactional> {
        loop {
            let client = match create(task, history) {
                Ok(client) => client,
                Err(error) => {
                    tracing::error!(producer = task.name, %error, "cannot open a session");
                    return None;
                }
            };
            let session = Transactional {
                client,
                history: history.clone(),
                patience: task.drain_max,
                transactions: 0,
                sends: 0,
            };
            if session.take_id() {
                // Only now is whoever had the id fenced for certain. Those that never took it never were sessions of the
                // history.
                announce(&session.client, task, history);
                return Some(session);
            }
            if is_stopped() {
                return None;
            }
        }
    }

    pub(crate) fn session(&self) -> Session {
        self.client.context().session
    }

    pub(crate) fn has_fatal_error(&self) -> bool {
        self.client.client().fatal_error().is_some()
    }

    fn has_failed_send(&self) -> &AtomicBool {
        &self.client.context().failed
    }

    fn record(&self, event: Event) {
        self.history.record(self.history.now(), event);
    }

    /// Fences whoever had it, and ends what that one left open.
    fn take_id(&self) -> bool {
        self.asked_until_told(|| self.client.init_transactions(CALL_WAIT))
            .inspect_err(|error| tracing::debug!(%error, "no transactional id"))
            .is_ok()
    }

    /// Calls until the answer is one to stay, or patience is at its end.
    pub(crate) fn asked_until_told(
        &self,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let deadline_ns = self.deadline_ns();
        loop {
            let error = match call() {
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

    fn deadline_ns(&self) -> u64 {
        self.history.now().mono_ns + self.patience.as_nanos() as u64
    }

    /// Begins a transaction, with the polls of `reader` from `since` on in it; answers its number, and why it could not
    /// begin. Either way it has to be ended.
    pub(crate) fn begin(
        &mut self,
        reader: Session,
        since: model::history::Time,
    ) -> (u64, Result<(), KafkaError>) {
        let (session, transaction) = (self.session(), self.transactions);
        self.transactions += 1;
        let reader = Some(reader);
        self.history.record(since, Event::TransactionBegan { session, transaction, reader });
        self.has_failed_send().store(false, Ordering::Relaxed);
        (transaction, self.client.begin_transaction())
    }

    /// Ends a transaction as it is wanted; one that `failed` before can only be aborted.
    pub(crate) fn end(
        &self,
        transaction: u64,
        wanted: Wanted,
        failed: Option<KafkaError>,
    ) -> Ending {
        let session = self.session();
        let commit = matches!(wanted, Wanted::Commit) && failed.is_none();
        self.record(Event::TransactionEnding { session, transaction, commit });
        self.history.commit();
        let (ending, error) = match (wanted, failed) {
            // Without a request to commit nothing of it can ever take effect, whatever the coordinator says.
            (Wanted::Leave, failed) => (Ending::Aborted, failed),
            (Wanted::Commit, None) => self.commit(),
            (_, failed) => {
                let aborted = self.abort();
                (Ending::Aborted, failed.or(aborted.err()))
            }
        };
        let error = error.as_ref().map(outcome::name);
        self.record(Event::TransactionEnded { session, transaction, ending, error });
        ending
    }

    /// Asks for the commit until the coordinator answers, or patience is at its end.
    fn commit(&self) -> (Ending, Option<KafkaError>) {
        let deadline_ns = self.deadline_ns();
        loop {
            let error = match self.client.commit_transaction(CALL_WAIT) {
                Ok(()) => return (Ending::Committed, None),
                Err(error) => error,
            };
            let late = self.history.now().mono_ns > deadline_ns;
            match &error {
                KafkaError::Transaction(told) if told.txn_requires_abort() => {
                    // The library looks at the sends before it asks: where one failed, it never did.
                    let never_asked = self.has_failed_send().load(Ordering::Relaxed);
                    let is_aborted = self.abort().is_ok() && never_asked;
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

    fn abort(&self) -> Result<(), KafkaError> {
        self.asked_until_told(|| {
            // What is to be aborted is in the log first, as far as that can be had. The call itself waits for every
            // report, and nobody hands them out meanwhile.
            let _ = self.client.flush(CALL_WAIT);
            self.client.abort_transaction(CALL_WAIT)
        })
    }

    /// Whatever is open is given up.
    pub(crate) fn close(self) {
        drain(&self.client, &self.history, Duration::ZERO);
        close(self.client, &self.history);
    }
}
