//! The load of a run: producers at a set rate, and readers reading along or the members of a group.

use super::members::Members;
use super::up::MadeTopic;
use crate::recorder::Recorder;
use anyhow::{Context, Result};
use clients::fencing::{self, TransactionalId};
use clients::producer::{self, Life, Mortal, ProducerTask, RunningProducer, SessionTask, Sessions};
use clients::profile::{self, ProducerChoice, Profile};
use clients::reader::{self, ReaderTask, RunningReader};
use clients::seat::{Seat, Sitter, Stance};
use clients::transactor::{self, TransactorTask};
use clients::{History, TopicInUse};
use generator::open_loop::{OpenLoop, Rate};
use generator::random::Random;
use generator::stamp::Filler;
use inject::Clients;
use inject::clients::{Fencing, MemberLife, ProducerLife};
use model::history::TopicRef;
use model::settings::ConsumerSettings;
use plan::{Plan, WorkloadName};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The topic that producers write to: the first of the run's. One that is made in its place has the next number.
pub const TOPIC: TopicRef = TopicRef(0);
/// Where it is copied to.
pub const COPY: TopicRef = TopicRef(1);

/// What every client of a run shares.
#[derive(Clone)]
pub struct Shared {
    pub run: u64,
    pub seed: u64,
    pub bootstrap: String,
    pub recorder: Arc<Recorder>,
    pub sessions: Arc<Sessions>,
    /// The plan's topic, or each of them: a fault may add partitions to it, or have another one made in its place.
    pub topic: Arc<TopicInUse>,
}

pub struct Load {
    producers: Vec<RunningProducer>,
    readers: Vec<RunningReader>,
    members: Option<Members>,
    /// Of those that have one.
    ids: BTreeMap<String, TransactionalId>,
}

pub(super) fn client_profile(plan: &Plan) -> Profile {
    match plan.target.profile {
        plan::Profile::Fast => Profile::Fast,
        plan::Profile::KafkaDefaults => Profile::KafkaDefaults,
    }
}

/// Starts every client of the plan.
pub fn start(plan: &Plan, topics: &[MadeTopic], shared: &Shared) -> Result<Load> {
    let topic = &topics[0];
    let record_bytes = plan.workload.record_bytes.0 as usize;
    let filler = Arc::new(Filler::new(shared.seed, record_bytes));
    let history: Arc<dyn History> = shared.recorder.clone();
    let mut readers = Vec::new();
    let mut members = None;
    if plan.workload.name.has_group() {
        members = Some(Members::start(plan, topics, shared, &filler)?);
    } else {
        for number in 1..=plan.workload.consumers {
            let task = reader_task(plan, TOPIC, topic, shared, format!("c{number}"));
            let (sessions, topic) = (shared.sessions.clone(), shared.topic.clone());
            let reader = reader::start_live(task, sessions, topic, history.clone());
            readers.push(reader.context("cannot start a reader")?);
        }
    }
    let mut ids: BTreeMap<_, _> = members.iter().flat_map(Members::ids).collect();
    let mut producers = Vec::new();
    for number in 1..=plan.workload.producers {
        let task = producer_task(plan, shared, number, &filler);
        let producer = match plan.workload.name {
            WorkloadName::Queue | WorkloadName::Groups | WorkloadName::ExactlyOnce => {
                producer::start(task, history.clone())
            }
            WorkloadName::Transactions => {
                let task = transactor_task(plan, topic, shared, number, task);
                ids.insert(format!("p{number}"), task.id.clone());
                transactor::start(task, history.clone())
            }
        };
        producers.push(producer.context("cannot start a producer")?);
    }
    Ok(Load { producers, readers, members, ids })
}

fn producer_task(plan: &Plan, shared: &Shared, number: u32, filler: &Arc<Filler>) -> ProducerTask {
    let workload = &plan.workload;
    let name = format!("p{number}");
    let per_second = workload.rate.per_second.unwrap_or(0) as f64 / f64::from(workload.producers);
    let rate = Rate { per_second, burst_max: 500 };
    let random = Random::new(shared.seed, &format!("load/{name}"));
    let now_ns = shared.recorder.now().mono_ns;
    let schedule = OpenLoop::new(TOPIC, plan.topic.partitions, rate, now_ns, random);
    let choice = ProducerChoice {
        acks: workload.acks,
        idempotence: workload.idempotence,
        retries: Some(workload.retries),
        in_flight_requests_max: Some(workload.in_flight),
        transactional_id: workload
            .name
            .is_transactional()
            .then(|| format!("highwater-{}-{name}", shared.run)),
        properties: workload.properties.clone(),
    };
    let topic = plan.topic.name.clone();
    let session = session_task(plan, shared, name, topic, &choice, filler);
    ProducerTask { session, schedule, topic: shared.topic.clone() }
}

/// What the sessions of a producer are opened with.
pub fn session_task(
    plan: &Plan,
    shared: &Shared,
    name: String,
    topic: String,
    choice: &ProducerChoice,
    filler: &Arc<Filler>,
) -> SessionTask {
    SessionTask {
        settings: profile::producer(client_profile(plan), &name, choice),
        run: shared.run,
        bootstrap_servers: shared.bootstrap.clone(),
        topic,
        record_bytes: plan.workload.record_bytes.0 as usize,
        filler: filler.clone(),
        sessions: shared.sessions.clone(),
        drain_max: Duration::from_millis(plan.time.heal.0),
        name,
    }
}

fn transactor_task(
    plan: &Plan,
    topic: &MadeTopic,
    shared: &Shared,
    number: u32,
    producer: ProducerTask,
) -> TransactorTask {
    let workload = &plan.workload;
    TransactorTask {
        reader: reader_task(plan, TOPIC, topic, shared, format!("t{number}")),
        id: TransactionalId::default(),
        records_max: transaction_records_max(plan),
        aborts_per_mille: aborts_per_mille(plan),
        fenced_every: workload
            .churn
            .filter(|churn| churn.0 > 0)
            .map(|churn| Duration::from_millis(churn.0)),
        random: Random::new(shared.seed, &format!("transactions/{}", producer.session.name)),
        producer,
    }
}

pub fn transaction_records_max(plan: &Plan) -> u64 {
    u64::from(plan.workload.transaction_records.unwrap_or(1))
}

/// Transactions that are aborted on purpose, of a thousand.
pub fn aborts_per_mille(plan: &Plan) -> u64 {
    (plan.workload.aborts.unwrap_or(0.0) * 1000.0) as u64
}

/// A reader of a topic, under a session of its own.
pub fn reader_task(
    plan: &Plan,
    topic_ref: TopicRef,
    topic: &MadeTopic,
    shared: &Shared,
    name: String,
) -> ReaderTask {
    let settings = profile::reader(
        client_profile(plan),
        &name,
        plan.workload.name.isolation(),
        &Default::default(),
    );
    ReaderTask {
        settings,
        name,
        run: shared.run,
        bootstrap_servers: shared.bootstrap.clone(),
        topic: topic.name.clone(),
        topic_ref,
        partitions: shared.topic.count(),
        create_time: topic.settings.message_timestamp_type == "CreateTime",
        session: shared.sessions.open(),
    }
}

/// The clients of a load that faults may be about.
pub struct Mortals {
    producers: BTreeMap<String, Mortal>,
    /// Places of the group.
    seats: BTreeMap<String, Seat>,
    ids: BTreeMap<String, TransactionalId>,
}

impl Mortals {
    fn find(&self, producer: &str) -> io::Result<&Mortal> {
        let found = self.producers.get(producer);
        found.ok_or_else(|| io::Error::other("the load has no such producer"))
    }

    fn seat(&self, place: &str) -> io::Result<&Seat> {
        let found = self.seats.get(place);
        found.ok_or_else(|| io::Error::other("the load's group has no such place"))
    }

    fn id(&self, client: &str) -> io::Result<&TransactionalId> {
        let found = self.ids.get(client);
        found.ok_or_else(|| io::Error::other("it has no transactional id"))
    }

    /// Who polls and says that the group gave it this partition.
    fn owner(&self, partition: u32) -> Option<&String> {
        let owns = |seat: &Seat| {
            seat.sitter().is_some_and(|sitter| {
                sitter.stance == Stance::Polls && sitter.partitions.contains(&partition)
            })
        };
        self.seats.iter().find(|(_, seat)| owns(seat)).map(|(name, _)| name)
    }
}

impl Clients for Mortals {
    fn kill_producer(&mut self, producer: &str) -> io::Result<()> {
        self.find(producer).map(Mortal::kill)
    }

    fn revive_producer(&mut self, producer: &str) -> io::Result<()> {
        self.find(producer).map(Mortal::revive)
    }

    fn producer(&self, producer: &str) -> io::Result<ProducerLife> {
        match self.find(producer)?.life() {
            Some(Life::Sends(session)) => Ok(ProducerLife::Sends { session: session.0 }),
            Some(Life::Killed { session, open }) => {
                Ok(ProducerLife::Killed { session: session.0, open })
            }
            None => Err(io::Error::other("its sessions can't be killed")),
        }
    }

    fn stall_member(&mut self, place: &str) -> io::Result<()> {
        self.seat(place).map(Seat::stall)
    }

    fn wake_member(&mut self, place: &str) -> io::Result<()> {
        self.seat(place).map(Seat::wake)
    }

    fn member(&self, place: &str) -> io::Result<MemberLife> {
        let nobody = || io::Error::other("nobody is in this place of the group yet");
        let Sitter { session, stance, partitions } =
            self.seat(place)?.sitter().ok_or_else(nobody)?;
        let session = session.0;
        Ok(match stance {
            Stance::Joins => MemberLife::Waits { session },
            Stance::Polls => MemberLife::Polls { session, partitions },
            Stance::Stands => {
                let (mut given, mut kept) = (BTreeMap::<String, Vec<u32>>::new(), Vec::new());
                for partition in partitions {
                    match self.owner(partition) {
                        Some(heir) => given.entry(heir.clone()).or_default().push(partition),
                        None => kept.push(partition),
                    }
                }
                MemberLife::Stands { session, given, kept }
            }
        })
    }

    fn fence(&mut self, client: &str) -> io::Result<()> {
        self.id(client).map(TransactionalId::fence)
    }

    fn stop_fencing(&mut self, client: &str) -> io::Result<()> {
        self.id(client).map(TransactionalId::leave_alone)
    }

    fn fencing(&self, client: &str) -> io::Result<Fencing> {
        Ok(match self.id(client)?.fencing() {
            fencing::Fencing::Unasked => Fencing::Unasked,
            fencing::Fencing::Asked => Fencing::Asked,
            fencing::Fencing::Begun { first } => Fencing::Begun { first: first.0 },
            fencing::Fencing::Tried { first, second, error, since } => Fencing::Tried {
                first: first.0,
                second: second.0,
                error,
                last: since.session.0,
                transactions: since.transactions,
            },
        })
    }
}

impl Load {
    /// Its clients, for faults.
    pub fn mortals(&self) -> Mortals {
        let named = |(number, producer): (usize, &RunningProducer)| {
            (format!("p{}", number + 1), producer.mortal())
        };
        Mortals {
            producers: self.producers.iter().enumerate().map(named).collect(),
            seats: self.members.iter().flat_map(Members::seats).collect(),
            ids: self.ids.clone(),
        }
    }

    /// What every reader was started with.
    pub fn reader_settings(&self, plan: &Plan) -> ConsumerSettings {
        profile::reader(
            client_profile(plan),
            "reader",
            plan.workload.name.isolation(),
            &Default::default(),
        )
    }

    /// What was due while the load warmed up is let go.
    pub fn start_again(&self) {
        self.producers.iter().for_each(RunningProducer::start_again);
    }

    /// No further sends. Open ones go on being answered until [`Load::finish_producers`].
    pub fn stop_producers(&self) {
        self.producers.iter().for_each(RunningProducer::stop);
    }

    /// Waits until every send has its outcome.
    pub fn finish_producers(&mut self) -> Result<()> {
        for producer in self.producers.drain(..) {
            producer.stop();
            producer
                .join()
                .map_err(|_| anyhow::anyhow!("a producer thread panicked: a bug in highwater"))?;
        }
        Ok(())
    }

    /// Whether some reader has yet to come to an end that a log has (by partition).
    pub fn is_behind(&self, ends: &BTreeMap<u32, i64>) -> bool {
        let behind = |reader: &RunningReader| {
            let positions = reader.positions();
            ends.iter()
                .any(|(partition, end)| positions.get(partition).copied().unwrap_or(0) < *end)
        };
        self.readers.iter().any(behind)
    }

    pub fn finish_readers(&mut self) -> Result<()> {
        if let Some(members) = &mut self.members {
            members.finish()?;
        }
        self.readers.iter().for_each(RunningReader::stop);
        for reader in self.readers.drain(..) {
            reader
                .join()
                .map_err(|_| anyhow::anyhow!("a reader thread panicked: a bug in highwater"))?;
        }
        Ok(())
    }
}
