//! One librdkafka producer on one thread, following an open-loop schedule.
//!
//! Promises: every send that was written down gets exactly one outcome, at the latest when the thread ends: what is
//! then still open is purged and becomes what its status says. A producer that met a fatal error is closed and
//! replaced by a new session; identity is (session, sequence), so nothing is confused. So is one that does not find the topic that was
//! made in the place of its own; and one that is killed: what it has
//! open is not waited for, and nobody knows what became of it. What is due while it is dead is let go: its process would not
//! have wanted to send.

use crate::{History, TopicInUse, outcome};
use generator::open_loop::{Due, OpenLoop};
use generator::stamp::{self, Filler, Stamp};
use model::history::{Event, LogRef, Outcome, RecordId, Session};
use model::settings::{Acks, ProducerSettings};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Numbers sessions over all clients of a run; a number is never used again.
#[derive(Debug, Default)]
pub struct Sessions(AtomicU32);

impl Sessions {
    pub fn open(&self) -> Session {
        Session(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What every session of a producer is opened with, and its records are made of.
#[derive(Clone)]
pub struct SessionTask {
    /// `p1`, `p2`, …: the name under which the history opens its sessions.
    pub name: String,
    pub run: u64,
    pub bootstrap_servers: String,
    pub topic: String,
    pub settings: ProducerSettings,
    pub record_bytes: usize,
    pub filler: Arc<Filler>,
    pub sessions: Arc<Sessions>,
    /// How long open sends may still be answered once the load has stopped.
    pub drain_max: Duration,
}

/// How long the library holds a send back at most to fill a batch with others (`linger.ms`), and a little.
const HELD_BACK_NS: u64 = 6_000_000;
/// How often a producer that was killed looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// For so long after a producer began with a new topic it is noted to which partitions it sends, and for as long again whether these
/// answer: longer than any profile waits for one answer, and shorter than faults are waited for.
const FOLLOW_NS: u64 = 3_000_000_000;

/// How long a producer waits for the metadata of a topic that grew; its sends wait as long.
const METADATA_WAIT: Duration = Duration::from_millis(200);

/// What a producer thread needs to know.
pub struct ProducerTask {
    pub session: SessionTask,
    pub topic: Arc<TopicInUse>,
    pub schedule: OpenLoop,
}

/// A running producer. Dropping it does not stop it.
pub struct RunningProducer {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

/// What a producer's thread is told while it runs, and what it says of itself.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    stop: AtomicBool,
    start_again: AtomicBool,
    dead: AtomicBool,
    life: Mutex<Option<Life>>,
}

/// What a producer says of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// This session sends.
    Sends(Session),
    /// This session was killed with so many sends open, and none is in its place.
    Killed { session: Session, open: u64 },
}

/// Whoever has it may kill a running producer's session, and have another one take its place.
#[derive(Clone)]
pub struct Mortal(Arc<Orders>);

impl Mortal {
    /// The session ends as soon as requests of it are on their way.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
    }

    pub fn revive(&self) {
        self.0.dead.store(false, Ordering::Relaxed);
    }

    /// `None`: it has not said anything yet, or its sessions can't be killed.
    pub fn life(&self) -> Option<Life> {
        *self.0.life.lock().expect("no holder of this lock panics")
    }
}

impl Orders {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asked once for each time that it was told.
    pub(crate) fn is_to_start_again(&self) -> bool {
        self.start_again.swap(false, Ordering::Relaxed)
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn lives(&self, life: Life) {
        *self.life.lock().expect("no holder of this lock panics") = Some(life);
    }
}

impl RunningProducer {
    pub(crate) fn spawn(
        name: String,
        work: impl FnOnce(Arc<Orders>) + Send + 'static,
    ) -> RunningProducer {
        let orders = Arc::new(Orders::default());
        let told = orders.clone();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || work(told))
            .expect("the operating system refused a thread");
        RunningProducer { orders, thread }
    }

    pub fn mortal(&self) -> Mortal {
        Mortal(self.orders.clone())
    }

    /// Sends that are overdue are let go, and the schedule begins now: they were due before anybody measured.
    pub fn start_again(&self) {
        self.orders.start_again.store(true, Ordering::Relaxed);
    }

    /// No further sends; open ones may still be answered.
    pub fn stop(&self) {
        self.orders.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until every send has its outcome. Call [`RunningProducer::stop`] first.
    pub fn join(self) -> std::thread::Result<()> {
        self.thread.join()
    }
}

/// Starts the thread. An unusable property is an error here, before anything was sent.
pub fn start(task: ProducerTask, history: Arc<dyn History>) -> Result<RunningProducer, KafkaError> {
    let first = open(&task.session, &history)?;
    let name = task.session.name.clone();
    Ok(RunningProducer::spawn(name, move |orders| {
        let (busy_ns, following) = (None, None);
        Worker { task, history, orders, busy_ns, following, value: Vec::new() }.run(first)
    }))
}

/// Turns delivery reports into events. librdkafka calls it from `poll`, on the producer's own thread.
pub(crate) struct Reports {
    pub(crate) session: Session,
    /// Some send was not acknowledged; whoever looks puts it back.
    pub(crate) failed: AtomicBool,
    /// Partitions that acknowledged anything since that was last asked.
    answered: Mutex<BTreeSet<u32>>,
    acks: Acks,
    history: Arc<dyn History>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, session = self.session.0, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(session = self.session.0, %error, "{reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, sequence: usize) {
        let id = RecordId { session: self.session, sequence: sequence as u64 };
        let (outcome, error) = outcome::classify(report, self.acks);
        self.failed.fetch_or(!outcome.is_success(), Ordering::Relaxed);
        if let (true, Ok(message)) = (outcome.is_success(), report) {
            self.answered().insert(message.partition() as u32);
        }
        self.history.record(self.history.now(), Event::Sent { id, outcome, error });
    }
}

impl Reports {
    fn answered(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.answered.lock().expect("no holder of this lock panics")
    }
}

pub(crate) type Client = BaseProducer<Reports>;

fn open(task: &SessionTask, history: &Arc<dyn History>) -> Result<Client, KafkaError> {
    let client = create(task, history)?;
    announce(&client, task, history);
    Ok(client)
}

/// A session that the history does not know yet.
pub(crate) fn create(task: &SessionTask, history: &Arc<dyn History>) -> Result<Client, KafkaError> {
    let session = task.sessions.open();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &task.bootstrap_servers);
    for (name, value) in &task.settings.properties {
        config.set(name, value);
    }
    let (failed, acks) = (AtomicBool::new(false), task.settings.acks);
    let answered = Mutex::default();
    let reports = Reports { session, failed, answered, acks, history: history.clone() };
    config.create_with_context(reports)
}

/// Before the session's first send.
pub(crate) fn announce(client: &Client, task: &SessionTask, history: &Arc<dyn History>) {
    let (session, name) = (client.context().session, task.name.clone());
    let opened = Event::ProducerOpened { session, name, settings: task.settings.clone() };
    history.record(history.now(), opened);
}

/// Waits for open sends so long, then purges the rest: each gets its outcome.
pub(crate) fn drain(client: &Client, history: &Arc<dyn History>, wait: Duration) {
    let deadline_ns = history.now().mono_ns + wait.as_nanos() as u64;
    while client.in_flight_count() > 0 && history.now().mono_ns < deadline_ns {
        client.poll(Duration::from_millis(20));
    }
    if client.in_flight_count() > 0 {
        client.purge(PurgeConfig::default().queue().inflight());
        while client.in_flight_count() > 0 {
            client.poll(Duration::from_millis(20));
        }
    }
}

/// A record to be sent, and when it was due.
#[derive(Clone, Copy)]
pub(crate) struct ToSend {
    pub(crate) id: RecordId,
    pub(crate) log: LogRef,
    pub(crate) intended_mono_ns: u64,
}

/// Writes down what is about to be sent, and sends it. `value`: room for a record's bytes.
pub(crate) fn send_all(
    client: &Client,
    task: &SessionTask,
    sends: &[ToSend],
    history: &Arc<dyn History>,
    value: &mut Vec<u8>,
) {
    if sends.is_empty() {
        return;
    }
    let now = history.now();
    for ToSend { id, log, intended_mono_ns } in sends.iter().copied() {
        history.record(now, Event::Send { id, log, intended_mono_ns });
    }
    // Intent is on disk before the first byte leaves.
    history.commit();
    for ToSend { id, log, .. } in sends.iter().copied() {
        let stamp = Stamp { run: task.run, id, log, timestamp_ms: now.wall_ms };
        stamp::write(&stamp, None, task.record_bytes, &task.filler, value);
        let record: BaseRecord<'_, (), [u8], usize> =
            BaseRecord::with_opaque_to(&task.topic, id.sequence as usize)
                .partition(log.partition as i32)
                .timestamp(now.wall_ms)
                .payload(value);
        if let Err((error, _)) = client.send(record) {
            // Refused by the library itself: no delivery report will come for it.
            client.context().failed.store(true, Ordering::Relaxed);
            let error = Some(outcome::name(&error));
            history.record(history.now(), Event::Sent { id, outcome: Outcome::Fail, error });
        }
    }
}

/// The session has nothing open, and ends.
pub(crate) fn close(client: Client, history: &Arc<dyn History>) {
    let session = client.context().session;
    drop(client);
    history.record(history.now(), Event::SessionClosed { session });
    history.commit();
}

struct Worker {
    task: ProducerTask,
    history: Arc<dyn History>,
    orders: Arc<Orders>,
    /// Since when it has had sends open without a break.
    busy_ns: Option<u64>,
    following: Option<Following>,
    value: Vec<u8>,
}

/// A session's first steps in a topic that was made in the place of another one.
struct Following {
    since_ns: u64,
    /// Partitions that it has sent to.
    asked: BTreeSet<u32>,
}

impl Worker {
    fn run(mut self, first: Client) {
        let mut client = first;
        let mut due = Vec::new();
        self.orders.lives(Life::Sends(client.context().session));
        while !self.orders.is_stopped() {
            if self.orders.is_dead() && self.is_busy(&client) {
                client = match self.die(client) {
                    Some(client) => client,
                    None => return,
                };
            }
            if client.client().fatal_error().is_some() || self.is_lost(&client) {
                client = match self.replace(client) {
                    Some(client) => client,
                    None => return,
                };
            }
            if self.orders.is_to_start_again() {
                self.task.schedule.start_again(self.history.now().mono_ns);
            }
            self.follow(&client);
            self.widen(&client);
            due.clear();
            self.task.schedule.take_due(self.history.now().mono_ns, &mut due);
            self.send_all(&client, &due);
            client.poll(self.pause());
        }
        drain(&client, &self.history, self.task.session.drain_max);
        close(client, &self.history);
    }

    /// Whether requests are on their way, as far as can be told: sends have been open for longer than the library holds them
    /// back to fill a batch.
    fn is_busy(&mut self, client: &Client) -> bool {
        let now_ns = self.history.now().mono_ns;
        if client.in_flight_count() == 0 {
            self.busy_ns = None;
            return false;
        }
        now_ns > *self.busy_ns.get_or_insert(now_ns) + HELD_BACK_NS
    }

    /// The session ends with all that it has open, and another one takes its place when that is allowed, or when the load has
    /// stopped. `None`: the library would not open one.
    fn die(&mut self, client: Client) -> Option<Client> {
        let session = client.context().session;
        let open = client.in_flight_count() as u64;
        drain(&client, &self.history, Duration::ZERO);
        close(client, &self.history);
        self.busy_ns = None;
        self.orders.lives(Life::Killed { session, open });
        while self.orders.is_dead() && !self.orders.is_stopped() {
            std::thread::park_timeout(LOOK_EVERY);
        }
        self.task.schedule.start_again(self.history.now().mono_ns);
        self.next_session()
    }

    /// Sends are meant for the topic that was made in the place of another one from here on; those before, that have no answer yet,
    /// may come to either. The library looks for it once, as it does by itself now and then.
    fn follow(&mut self, client: &Client) {
        let topic = self.task.topic.now().topic;
        if topic == self.task.schedule.topic() {
            return;
        }
        let name = &self.task.session.topic;
        if let Err(error) = client.client().fetch_metadata(Some(name), METADATA_WAIT) {
            tracing::debug!(%error, "the new topic was not looked for");
        }
        self.task.schedule.follow(topic);
        client.context().answered().clear();
        let since_ns = self.history.now().mono_ns;
        self.following = Some(Following { since_ns, asked: BTreeSet::new() });
    }

    /// Whether the session has no answer from some partition of a new topic, long after its first sends to it. A library that knows a
    /// higher leader epoch of the old topic may take no leader of the new one from anybody, for good.
    fn is_lost(&mut self, client: &Client) -> bool {
        let now_ns = self.history.now().mono_ns;
        let is_over = |of: &mut Following| now_ns > of.since_ns + 2 * FOLLOW_NS;
        let Some(following) = self.following.take_if(is_over) else { return false };
        let answered = client.context().answered();
        let is_silent = |partition: &u32| !answered.contains(partition);
        let silent: Vec<u32> = following.asked.into_iter().filter(is_silent).collect();
        if !silent.is_empty() {
            let producer = &self.task.session.name;
            tracing::warn!(producer, ?silent, "these partitions of the new topic never answered");
        }
        !silent.is_empty()
    }

    /// Takes new partitions into use once the library knows of them: it refuses sends to one that it does not know.
    fn widen(&mut self, client: &Client) {
        let wanted = self.task.topic.count();
        if wanted == self.task.schedule.partitions() {
            return;
        }
        let topic = &self.task.session.topic;
        let Ok(metadata) = client.client().fetch_metadata(Some(topic), METADATA_WAIT) else {
            return;
        };
        let known = metadata.topics().iter().find(|known| known.name() == topic);
        if known.is_some_and(|known| known.partitions().len() >= wanted as usize) {
            self.task.schedule.widen(wanted);
        }
    }

    /// Until the next send is due, and never so long that outcomes wait. librdkafka counts whole milliseconds: a
    /// shorter wait would be none at all, and the thread would spin on the brokers' own processor.
    fn pause(&self) -> Duration {
        let now_ns = self.history.now().mono_ns;
        let until_due =
            Duration::from_nanos(self.task.schedule.next_due_ns().saturating_sub(now_ns));
        until_due.clamp(Duration::from_millis(1), Duration::from_millis(2))
    }

    fn send_all(&mut self, client: &Client, due: &[Due]) {
        let session = client.context().session;
        let to_send = |due: &Due| {
            let id = RecordId { session, sequence: due.sequence };
            ToSend { id, log: due.log, intended_mono_ns: due.intended_mono_ns }
        };
        let sends: Vec<ToSend> = due.iter().map(to_send).collect();
        let now_ns = self.history.now().mono_ns;
        if let Some(following) = &mut self.following
            && now_ns < following.since_ns + FOLLOW_NS
        {
            following.asked.extend(due.iter().map(|due| due.log.partition));
        }
        send_all(client, &self.task.session, &sends, &self.history, &mut self.value);
    }

    /// A fatal error ends a librdkafka producer for good, and so does one that has lost its way: what is open is purged, and a new
    /// session goes on with the schedule.
    fn replace(&mut self, client: Client) -> Option<Client> {
        if let Some((code, reason)) = client.client().fatal_error() {
            tracing::warn!(
                producer = self.task.session.name,
                ?code,
                "fatal error, opening a new session: {reason}"
            );
        }
        drain(&client, &self.history, Duration::ZERO);
        close(client, &self.history);
        self.next_session()
    }

    fn next_session(&mut self) -> Option<Client> {
        self.task.schedule.restart_sequence();
        self.following = None;
        match open(&self.task.session, &self.history) {
            Ok(client) => {
                self.orders.lives(Life::Sends(client.context().session));
                Some(client)
            }
            Err(error) => {
                tracing::error!(producer = self.task.session.name, %error, "cannot open a new session");
                None
            }
        }
    }
}
