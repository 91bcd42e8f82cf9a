//! Readers: librdkafka consumers that are assigned whole topics and write down every record that they are handed.
//!
//! A live reader reads along from the start of each log while the load runs. A final pass reads every log from its
//! start to the end that the cluster settled on. A position that fell out of its log is an event, never silently
//! mended: the reader says where it was and where it goes on. A live reader whose library has died is left, and another one
//! takes its place, from the start. So it is where its topic was deleted and made anew: nothing that a library keeps of the old
//! one, a position above all, means anything in the new one, and not every library knows that.

use crate::library::{self, Sign, Silence};
use crate::producer::Sessions;
use crate::{History, TopicInUse, outcome};
use generator::stamp;
use model::history::{Event, LogRef, PassKind, ReaderEvent, Seen, Session, TopicRef};
use model::settings::ConsumerSettings;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records of one poll loop before they are written down.
pub(crate) const BATCH_RECORDS_MAX: usize = 2000;
/// How often a reader whose topic is gone looks for the one in its place.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a reader waits for the bounds of a log that its position fell out of.
const BOUNDS_WAIT: Duration = Duration::from_secs(2);

/// What a reader needs to know.
#[derive(Clone)]
pub struct ReaderTask {
    pub name: String,
    pub run: u64,
    pub bootstrap_servers: String,
    pub topic: String,
    pub topic_ref: TopicRef,
    pub partitions: u32,
    /// The topic keeps CreateTime: a record's own timestamp must be what was sent.
    pub create_time: bool,
    pub settings: ConsumerSettings,
    pub session: Session,
}

/// librdkafka's talk goes to the log, at a level that nobody sees by default.
#[derive(Default)]
struct Silent {
    sign: Sign,
}

impl ClientContext for Silent {
    fn stats_raw(&self, _: &[u8]) {
        self.sign.came();
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        quiet_error(&error, reason);
    }
}

pub(crate) fn quiet_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, "{message}");
}

pub(crate) fn quiet_error(error: &KafkaError, reason: &str) {
    tracing::debug!(%error, "{reason}");
}

impl ConsumerContext for Silent {}

/// A running live reader.
pub struct RunningReader {
    stop: Arc<AtomicBool>,
    positions: Arc<Mutex<BTreeMap<u32, i64>>>,
    thread: JoinHandle<()>,
}

impl RunningReader {
    /// The next offset of each partition of which anything came, as far as it got.
    pub fn positions(&self) -> BTreeMap<u32, i64> {
        self.positions.lock().expect("no holder of this lock panics").clone()
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn join(self) -> std::thread::Result<()> {
        self.thread.join()
    }
}

/// Starts a live reader over all partitions of its topic, from the start of each log; `topic` may grow, or be another one. `sessions`:
/// of those that may have to take its place.
pub fn start_live(
    task: ReaderTask,
    sessions: Arc<Sessions>,
    topic: Arc<TopicInUse>,
    history: Arc<dyn History>,
) -> Result<RunningReader, KafkaError> {
    let stop = Arc::new(AtomicBool::new(false));
    let positions: Arc<Mutex<BTreeMap<u32, i64>>> = Arc::default();
    let mut pass = Pass::open(task, 0, PassKind::Live, history.clone())?;
    let thread = {
        let (stop, positions) = (stop.clone(), Arc::clone(&positions));
        std::thread::Builder::new()
            .name(pass.task.name.clone())
            .spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let now = topic.now();
                    let is_another = now.topic != pass.task.topic_ref;
                    if now.is_gone {
                        // Whatever came may be of this one or of the next: nobody could say.
                        std::thread::park_timeout(LOOK_EVERY);
                        continue;
                    }
                    if !is_another {
                        pass.poll_batch_while(Duration::from_millis(50), || topic.now() == now);
                    }
                    if is_another || pass.silence.is_for_good() {
                        let session = sessions.open();
                        let task =
                            ReaderTask { session, topic_ref: now.topic, ..pass.task.clone() };
                        if is_another {
                            pass.close(false)
                        } else {
                            pass.leave()
                        }
                        match Pass::open(task, 0, PassKind::Live, history.clone()) {
                            Ok(another) => pass = another,
                            Err(error) => {
                                tracing::error!(%error, "no other reader could be opened");
                                return;
                            }
                        }
                    }
                    pass.widen(topic.count());
                    positions
                        .lock()
                        .expect("no holder of this lock panics")
                        .clone_from(&pass.positions);
                }
                pass.close(false);
            })
            .expect("the operating system refused a thread")
    };
    Ok(RunningReader { stop, positions, thread })
}

/// Reads every log of the topic from its start to `ends` (exclusive end offset by partition), on the calling thread.
/// Returns whether it got there before `deadline`; what it saw is written down either way.
pub fn final_pass(
    task: ReaderTask,
    pass: u32,
    ends: &BTreeMap<u32, i64>,
    deadline: Duration,
    history: Arc<dyn History>,
) -> Result<bool, KafkaError> {
    let deadline_ns = history.now().mono_ns + deadline.as_nanos() as u64;
    let mut pass = Pass::open(task, pass, PassKind::Final, history.clone())?;
    let complete = loop {
        if pass.reached(ends) {
            break true;
        }
        if history.now().mono_ns > deadline_ns || pass.silence.is_for_good() {
            break false;
        }
        pass.poll_batch(Duration::from_millis(100));
    };
    match pass.silence.is_for_good() {
        true => pass.leave(),
        false => pass.close(complete),
    }
    Ok(complete)
}

/// What one loop of polls brought, log by log.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) records: BTreeMap<u32, Vec<(i64, Seen)>>,
    /// Partitions that are at their end.
    pub(crate) ends: Vec<u32>,
    pub(crate) errors: Vec<KafkaError>,
}

impl Batch {
    /// Polls until nothing more is waiting, or so many records came. `silence`: of this consumer's library, whose signs of life
    /// are `sign`.
    pub(crate) fn poll<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        task: &ReaderTask,
        wait: Duration,
        records_max: usize,
        silence: &mut Silence,
        sign: &Sign,
    ) -> Batch {
        let began = Instant::now();
        let mut batch = Batch::default();
        let mut timeout = wait;
        let mut count = 0;
        while count < records_max {
            match consumer.poll(timeout) {
                None => break,
                Some(Ok(message)) => {
                    let partition = message.partition() as u32;
                    let seen = task.seen(&message, partition);
                    batch.records.entry(partition).or_default().push((message.offset(), seen));
                    count += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => batch.ends.push(partition as u32),
                Some(Err(error)) => {
                    batch.errors.push(error);
                    break;
                }
            }
            timeout = Duration::ZERO;
        }
        let handed = count + batch.ends.len() + batch.errors.len() > 0;
        silence.after(began.elapsed(), handed, sign);
        batch
    }
}

impl ReaderTask {
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        for (name, value) in &self.settings.properties {
            config.set(name, value);
        }
        config
    }

    fn seen(&self, message: &impl Message, partition: u32) -> Seen {
        let create_time = match message.timestamp() {
            Timestamp::CreateTime(time) if self.create_time => Some(time),
            _ => None,
        };
        let log = LogRef { topic: self.topic_ref, partition };
        stamp::read(self.run, log, message.key(), message.payload(), create_time)
    }
}

/// One pass of one reader over its topic.
pub(crate) struct Pass {
    pub(crate) task: ReaderTask,
    pass: u32,
    consumer: BaseConsumer<Silent>,
    history: Arc<dyn History>,
    /// The next offset of each partition, as far as records told.
    positions: BTreeMap<u32, i64>,
    /// Partitions that were at their end when last polled.
    at_end: BTreeSet<u32>,
    /// Some position is not in its log any more.
    is_outside: bool,
    silence: Silence,
}

impl Pass {
    pub(crate) fn open(
        task: ReaderTask,
        pass: u32,
        kind: PassKind,
        history: Arc<dyn History>,
    ) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer<Silent> = task.config().create_with_context(Silent::default())?;
        let (session, name, settings) = (task.session, task.name.clone(), task.settings.clone());
        history.record(history.now(), Event::ConsumerOpened { session, name, settings });
        let this = Pass {
            task,
            pass,
            consumer,
            history,
            positions: BTreeMap::new(),
            at_end: BTreeSet::new(),
            is_outside: false,
            silence: Silence::default(),
        };
        this.record(Event::PassBegan { reader: session, pass, kind });
        let mut assignment = TopicPartitionList::new();
        for partition in 0..this.task.partitions {
            assignment.add_partition_offset(
                &this.task.topic,
                partition as i32,
                Offset::Beginning,
            )?;
        }
        this.consumer.assign(&assignment)?;
        let logs = (0..this.task.partitions).map(|partition| (this.log(partition), None)).collect();
        this.record_reader(ReaderEvent::Assigned { logs });
        Ok(this)
    }

    fn log(&self, partition: u32) -> LogRef {
        LogRef { topic: self.task.topic_ref, partition }
    }

    fn record(&self, event: Event) {
        self.history.record(self.history.now(), event);
    }

    fn record_reader(&self, what: ReaderEvent) {
        self.record(Event::Reader { reader: self.task.session, pass: self.pass, what });
    }

    fn reached(&self, ends: &BTreeMap<u32, i64>) -> bool {
        ends.iter().all(|(partition, &end)| {
            self.positions.get(partition).is_some_and(|&position| position >= end)
                || self.at_end.contains(partition)
        })
    }

    /// Polls until nothing more is waiting, and writes down what came, log by log. Returns how many records.
    pub(crate) fn poll_batch(&mut self, wait: Duration) -> usize {
        self.poll_batch_while(wait, || true)
    }

    /// The same, but for what came when it was no longer known which topic it is of: that is nobody's.
    fn poll_batch_while(&mut self, wait: Duration, is_known: impl Fn() -> bool) -> usize {
        let batch = Batch::poll(
            &self.consumer,
            &self.task,
            wait,
            BATCH_RECORDS_MAX,
            &mut self.silence,
            &self.consumer.context().sign,
        );
        if is_known() { self.take(batch) } else { 0 }
    }

    fn take(&mut self, batch: Batch) -> usize {
        let Batch { records, ends, errors } = batch;
        let count = records.values().map(Vec::len).sum();
        for (partition, records) in &records {
            self.at_end.remove(partition);
            self.positions.extend(records.last().map(|(offset, _)| (*partition, offset + 1)));
        }
        for (partition, records) in records {
            let (reader, pass, log) = (self.task.session, self.pass, self.log(partition));
            self.record(Event::Polled { reader, pass, log, records });
        }
        for partition in ends {
            self.reached_end(partition);
        }
        for error in errors {
            self.failed(&error);
        }
        if self.is_outside
            && let Err(error) = self.bring_back()
        {
            tracing::debug!(%error, "not brought back yet");
        }
        count
    }

    fn reached_end(&mut self, partition: u32) {
        let position = self.position(partition).unwrap_or(0);
        let moved = self.positions.insert(partition, position) != Some(position);
        if self.at_end.insert(partition) || moved {
            self.record_reader(ReaderEvent::EndOfLog {
                log: self.log(partition),
                offset: position,
            });
        }
    }

    /// Where librdkafka stands, which counts records that it skipped (control records, compacted holes).
    fn position(&self, partition: u32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(&self.task.topic, partition as i32)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => self.positions.get(&partition).copied(),
        }
    }

    /// Errors are part of the history. Those that say that a position left its log are answered by asking for the
    /// log's bounds and going on inside them; everything else librdkafka retries by itself.
    fn failed(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let fatal = code == Some(RDKafkaErrorCode::Fatal);
        self.record_reader(ReaderEvent::Error { code: outcome::name(error), fatal });
        let lost_position = [
            RDKafkaErrorCode::AutoOffsetReset,
            RDKafkaErrorCode::OffsetOutOfRange,
            RDKafkaErrorCode::LogTruncation,
        ];
        self.is_outside |= code.is_some_and(|code| lost_position.contains(&code));
    }

    /// Puts a reader whose position is outside of a log back to the nearer bound. Where the bounds can't be had yet it is
    /// tried again with the next poll.
    ///
    /// The library has stopped fetching what it had no position for, and takes no seek there: so all logs are assigned
    /// anew, each from where this reader stands.
    fn bring_back(&mut self) -> Result<(), KafkaError> {
        let mut assignment = TopicPartitionList::new();
        let mut moved = Vec::new();
        for partition in 0..self.task.partitions {
            let number = partition as i32;
            let (start, end) =
                self.consumer.fetch_watermarks(&self.task.topic, number, BOUNDS_WAIT)?;
            let position = self.positions.get(&partition).copied().unwrap_or(start);
            let inside = position.clamp(start, end.max(start));
            if inside != position {
                moved.push((partition, position, inside));
            }
            assignment.add_partition_offset(&self.task.topic, number, Offset::Offset(inside))?;
        }
        self.consumer.assign(&assignment)?;
        self.is_outside = false;
        for (partition, offset, inside) in moved {
            let log = self.log(partition);
            self.at_end.remove(&partition);
            self.positions.insert(partition, inside);
            self.record_reader(ReaderEvent::OutOfRange { log, offset, reset_to: Some(inside) });
            self.record_reader(ReaderEvent::Seek { log, offset: inside });
        }
        Ok(())
    }

    /// Reads so many partitions from here on, new ones from their start. Where the library won't, it is tried again with the
    /// next poll.
    fn widen(&mut self, partitions: u32) {
        if partitions == self.task.partitions || self.is_outside {
            return;
        }
        let mut assignment = TopicPartitionList::new();
        let mut logs = Vec::new();
        for partition in 0..partitions {
            let position = self.positions.get(&partition).copied();
            let from = position.map_or(Offset::Beginning, Offset::Offset);
            let (topic, number) = (&self.task.topic, partition as i32);
            if let Err(error) = assignment.add_partition_offset(topic, number, from) {
                tracing::debug!(%error, "not widened yet");
                return;
            }
            logs.push((self.log(partition), position));
        }
        match self.consumer.assign(&assignment) {
            Ok(()) => {
                self.task.partitions = partitions;
                self.record_reader(ReaderEvent::Assigned { logs });
            }
            Err(error) => tracing::debug!(%error, "not widened yet"),
        }
    }

    pub(crate) fn close(self, complete: bool) {
        let session = self.task.session;
        self.record(Event::PassEnded { reader: session, pass: self.pass, complete });
        library::let_go(&self.task.name, self.consumer);
        self.history.record(self.history.now(), Event::SessionClosed { session });
        self.history.commit();
    }

    /// Its library is dead: it ends where it is.
    fn leave(self) {
        let session = self.task.session;
        self.record_reader(ReaderEvent::Error { code: library::DEAD.to_string(), fatal: true });
        self.record(Event::PassEnded { reader: session, pass: self.pass, complete: false });
        library::leave(&self.task.name, self.consumer);
        self.history.record(self.history.now(), Event::SessionClosed { session });
        self.history.commit();
    }
}
