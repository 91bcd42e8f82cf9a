//! A producer: an open-loop schedule, batches for each partition, and the rules of Kafka's clients for sending them again.
//!
//! Promises: every send that was recorded gets exactly one outcome, at the latest when its delivery timeout has passed; a
//! producer that was told to stop is done then. Idempotence brings acks=all and at most five requests in flight, as in real
//! clients, and the history has the settings that were really in force.
//!
//! - [`accumulator`]: batches and sequence numbers. [`sending`]: requests and answers. [`outcome`]: what is certain.

mod accumulator;
mod outcome;
mod sending;

use super::connection::{Happened, Lane, Lost};
use super::metadata::Cluster;
use super::{Client, ClientEffect, Dialect, LIBRARY, MS, Setup, Target, sooner};
use crate::scenario;
use accumulator::{Batch, Identity, Next, Queue, Rules};
use generator::open_loop::{Due, OpenLoop, Rate};
use generator::random::Random;
use generator::stamp::{self, Filler, Stamp};
use model::history::{Event, Outcome, RecordId, Session};
use model::settings::{Acks, ProducerSettings};
use node::step::{Input, Now};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::batch::{Compression, Compressor};

/// `linger.ms`.
const LINGER_MS: u64 = 5;
/// Sends that one step hands out: after a stall they come in portions.
const BURST_MAX: usize = 500;
/// Of an idempotent producer: what brokers can tell apart.
const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;

/// What a request was for.
#[derive(Debug)]
enum Ask {
    Identity,
    /// Batches by partition and number.
    Produce(Vec<(u32, u64)>),
}

pub struct Producer {
    setup: Setup,
    settings: scenario::Producer,
    target: Target,
    filler: Arc<Filler>,
    session: Session,
    dialect: Dialect,
    rules: Rules,
    cluster: Cluster<Ask>,
    happened: Vec<Happened<Ask>>,
    random: Random,
    /// There once it was started.
    schedule: Option<OpenLoop>,
    due: Vec<Due>,
    value: Vec<u8>,
    queues: Vec<Queue>,
    compressor: Compressor,
    /// Whose turn it is: a partition that always came last would never come.
    next_partition: u32,
    identity: Option<Identity>,
    identity_asked: bool,
    identity_retry_ns: u64,
    stopping: bool,
    done: bool,
    wake_ns: Option<u64>,
    progress: u64,
}

impl Producer {
    pub fn new(
        setup: Setup,
        settings: &scenario::Producer,
        target: Target,
        filler: Arc<Filler>,
    ) -> Producer {
        let mut settings = settings.clone();
        if settings.idempotence {
            settings.acks = Acks::All;
            settings.in_flight_requests_max =
                settings.in_flight_requests_max.min(IDEMPOTENT_IN_FLIGHT_MAX);
        }
        settings.in_flight_requests_max = settings.in_flight_requests_max.max(1);
        settings.batch_records_max = settings.batch_records_max.max(1);
        let compression = u8::try_from(settings.compression).ok().and_then(Compression::from_id);
        let rules = Rules {
            idempotent: settings.idempotence,
            one_at_a_time: settings.in_flight_requests_max == 1,
            batch_records_max: settings.batch_records_max as usize,
            linger_ns: LINGER_MS * MS,
            compression: compression.expect("a scenario names a compression of Kafka's"),
        };
        let mut random = setup.random.clone();
        let dialect = Dialect::draw(&mut random);
        // The broker is given its own request timeout; the client waits a little longer for it to say so.
        let patience_ms = settings.request_timeout_ms + settings.request_timeout_ms / 3;
        let refresh_ms = settings.metadata_refresh_ms;
        let cluster = Cluster::new(&setup, &target.name, Lane::Data, refresh_ms, patience_ms);
        Producer {
            session: setup.sessions.open(),
            dialect,
            rules,
            cluster,
            happened: Vec::new(),
            random,
            schedule: None,
            due: Vec::new(),
            value: Vec::new(),
            queues: (0..target.partitions).map(|_| Queue::default()).collect(),
            compressor: Compressor::default(),
            next_partition: 0,
            identity: None,
            identity_asked: false,
            identity_retry_ns: 0,
            stopping: false,
            done: false,
            wake_ns: None,
            progress: 0,
            setup,
            settings,
            target,
            filler,
        }
    }

    pub fn session(&self) -> Session {
        self.session
    }

    fn start(&mut self, now: Now, effects: &mut Vec<ClientEffect>) {
        let rate = Rate {
            per_second: 1e6 / self.settings.send_every_us.max(1) as f64,
            burst_max: BURST_MAX,
        };
        let (topic, partitions) = (self.target.topic, self.target.partitions);
        let random = Random::new(self.random.next(), "load");
        self.schedule = Some(OpenLoop::new(topic, partitions, rate, now.mono_ns, random));
        effects.push(ClientEffect::Record(Event::ProducerOpened {
            session: self.session,
            name: self.setup.name.clone(),
            settings: self.settings_in_force(),
        }));
    }

    fn settings_in_force(&self) -> ProducerSettings {
        let chosen = &self.settings;
        let pairs = [
            ("acks", chosen.acks.as_str().to_owned()),
            ("batch.num.messages", chosen.batch_records_max.to_string()),
            ("client.id", self.setup.name.clone()),
            ("compression.codec", self.rules.compression.name().to_owned()),
            ("enable.idempotence", chosen.idempotence.to_string()),
            ("linger.ms", LINGER_MS.to_string()),
            ("max.in.flight.requests.per.connection", chosen.in_flight_requests_max.to_string()),
            ("message.timeout.ms", chosen.delivery_timeout_ms.to_string()),
            ("metadata.max.age.ms", chosen.metadata_refresh_ms.to_string()),
            ("request.timeout.ms", chosen.request_timeout_ms.to_string()),
            ("retries", chosen.retries.to_string()),
            ("retry.backoff.ms", chosen.retry_backoff_ms.to_string()),
        ];
        let properties: BTreeMap<String, String> =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        ProducerSettings {
            transactional_id: None,
            acks: chosen.acks,
            idempotence: chosen.idempotence,
            retries: chosen.retries,
            in_flight_requests_max: chosen.in_flight_requests_max,
            properties,
            library: LIBRARY.to_owned(),
        }
    }

    /// Everything that is due at this time.
    fn drive(&mut self, now: Now, effects: &mut Vec<ClientEffect>) {
        self.wake_ns = None;
        if self.done || self.schedule.is_none() {
            return;
        }
        self.take_due(now, effects);
        self.expire(now.mono_ns, effects);
        if self.rules.idempotent {
            self.renumber(effects);
            self.ask_identity(now.mono_ns, effects);
        }
        self.send_batches(now.mono_ns, effects);
        if self.stopping && self.queues.iter().all(|queue| queue.batches.is_empty()) {
            self.cluster.connections.close_all(effects);
            effects.push(ClientEffect::Record(Event::SessionClosed { session: self.session }));
            self.done = true;
            self.wake_ns = None;
            return;
        }
        self.cluster.drive(now.mono_ns, effects);
        self.plan_wake();
    }

    fn plan_wake(&mut self) {
        let mut wake_ns = sooner(self.wake_ns, self.cluster.deadline());
        if !self.stopping {
            wake_ns = sooner(wake_ns, self.schedule.as_ref().map(OpenLoop::next_due_ns));
        }
        let timeout_ns = self.settings.delivery_timeout_ms * MS;
        let oldest = self.queues.iter().filter_map(|queue| queue.batches.front());
        let expiry = oldest.map(|batch| batch.created_ns + timeout_ns).min();
        self.wake_ns = sooner(wake_ns, expiry);
    }

    fn take_due(&mut self, now: Now, effects: &mut Vec<ClientEffect>) {
        if self.stopping {
            return;
        }
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        if let Some(schedule) = &mut self.schedule {
            schedule.take_due(now.mono_ns, &mut due);
        }
        for send in &due {
            let id = RecordId { session: self.session, sequence: send.sequence };
            let (log, intended_mono_ns) = (send.log, send.intended_mono_ns);
            effects.push(ClientEffect::Record(Event::Send { id, log, intended_mono_ns }));
            let stamp = Stamp { run: self.setup.run, id, log, timestamp_ms: now.wall_ms };
            let len = self.settings.record_bytes as usize;
            stamp::write(&stamp, None, len, &self.filler, &mut self.value);
            let queue = &mut self.queues[log.partition as usize];
            queue.append(now.mono_ns, now.wall_ms, send.sequence, &self.value, &self.rules);
        }
        self.due = due;
    }

    fn expire(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        let timeout_ns = self.settings.delivery_timeout_ms * MS;
        for partition in 0..self.queues.len() {
            let queue = &mut self.queues[partition];
            while queue.batches.front().is_some_and(|batch| batch.created_ns + timeout_ns <= now_ns)
            {
                let doubtful = queue.batches[0].may_be_appended();
                let batch = queue.give_up(0);
                let outcome = outcome::given_up(doubtful, self.settings.acks);
                record(self.session, &batch, |_| outcome, Some("MessageTimedOut"), effects);
            }
        }
    }

    /// Raises the epoch where a gap in the sequence numbers can't be filled any more.
    fn renumber(&mut self, effects: &mut Vec<ClientEffect>) {
        for queue in &mut self.queues {
            if !queue.wants_new_epoch() {
                continue;
            }
            let Some(identity) = &mut self.identity else { continue };
            identity.epoch = identity.epoch.checked_add(1).expect("a run is shorter than 2^15");
            for batch in queue.start_epoch() {
                record(self.session, &batch, |_| Outcome::Info, Some(&batch.error), effects);
            }
        }
    }
}

/// The outcome of every record of a batch.
fn record(
    session: Session,
    batch: &Batch,
    outcome: impl Fn(usize) -> Outcome,
    error: Option<&str>,
    effects: &mut Vec<ClientEffect>,
) {
    for (index, sequence) in batch.records.iter().enumerate() {
        let id = RecordId { session, sequence: *sequence };
        let (outcome, error) = (outcome(index), error.map(str::to_owned));
        effects.push(ClientEffect::Record(Event::Sent { id, outcome, error }));
    }
}

impl Client for Producer {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        if self.done {
            return;
        }
        if matches!(input, Input::Start) {
            self.start(now, effects);
        }
        let mut happened = std::mem::take(&mut self.happened);
        self.cluster.on_input(now.mono_ns, input, effects, &mut happened);
        while !happened.is_empty() {
            for one in std::mem::take(&mut happened) {
                self.on_happened(now.mono_ns, one, effects, &mut happened);
            }
        }
        self.happened = happened;
        self.drive(now, effects);
    }

    fn deadline(&self) -> Option<u64> {
        self.wake_ns
    }

    fn stop_sending(&mut self) {
        self.stopping = true;
        if !self.done {
            self.wake_ns = Some(0);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn progress(&self) -> u64 {
        self.progress
    }

    fn complaints(&self) -> &[String] {
        &self.cluster.connections.complaints
    }
}
