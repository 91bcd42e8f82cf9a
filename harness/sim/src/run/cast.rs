//! Who plays: the clients of a scenario, the administrator that makes their topics, and the final readers.
//!
//! Promises: clients begin when their topics exist; a client that is restarted comes back as another session on the same
//! host; producers are done before readers are stopped. Not here: when each act begins (`run`).

use super::topics_lack;
use crate::actor::Actor;
use crate::client::{
    Admin, Command, CommitLedger, Consumer, FinalReader, LogEnds, Producer, Sessions, Setup, Target,
};
use crate::scenario::{Scenario, What};
use crate::world::{FIRST_CLIENT, World};
use generator::random::Random;
use generator::stamp::Filler;
use model::history::TopicRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::names::CONSUMER_OFFSETS_TOPIC;

const ADMIN: u16 = 1900;
/// Of the first topic; the others' follow.
const LOG_ENDS: u16 = 1910;
const LOG_ENDS_AFTER: u16 = 1930;
const FINAL_READERS: u16 = 1950;
/// Independent final readers of each topic: the checker wants two.
const READERS: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Topics,
    Load,
    ProducersEnd,
    ReadersEnd,
    Ends,
    FinalReads,
    EndsAgain,
}

pub struct Cast {
    scenario: Scenario,
    sessions: Sessions,
    filler: Arc<Filler>,
    commits: CommitLedger,
    act: Act,
    /// Processes that each client host has run.
    lives: BTreeMap<u16, u32>,
    /// Each client's progress when the cluster was healed.
    marks: BTreeMap<u16, u64>,
}

impl Cast {
    pub fn new(scenario: &Scenario) -> Cast {
        let bytes = scenario.producers.iter().map(|p| p.record_bytes as usize).max().unwrap_or(64);
        Cast {
            sessions: Sessions::default(),
            filler: Arc::new(Filler::new(scenario.seed, bytes)),
            commits: CommitLedger::default(),
            act: Act::Topics,
            lives: BTreeMap::new(),
            marks: BTreeMap::new(),
            scenario: scenario.clone(),
        }
    }

    /// The administrator makes the topics; the clients begin when they are there.
    pub fn open(&mut self, world: &mut World) {
        let mut admin = Admin::new(self.setup(ADMIN, "admin"));
        for (index, topic) in self.scenario.topics.iter().enumerate() {
            admin.submit(Command::CreateTopic { topic: reference(index), as_in: topic.clone() });
        }
        world.seat(ADMIN, Actor::Admin(Box::new(admin)));
    }

    /// Goes on to the next act where this one has come to its end by itself.
    pub fn drive(&mut self, world: &mut World) {
        match self.act {
            Act::Topics => self.open_clients(world),
            Act::ProducersEnd if self.are_done(world, &self.producers()) => {
                self.act = Act::ReadersEnd;
                for host in self.consumers() {
                    world.with_client(host, |actor| actor.client_mut().stop_sending());
                }
            }
            Act::Ends => self.open_final_readers(world),
            // What retention took between the first question and the reads was not lost: the logs begin later now.
            Act::FinalReads if self.are_done(world, &self.final_readers()) => {
                self.act = Act::EndsAgain;
                self.ask_for_ends(LOG_ENDS_AFTER, world);
            }
            _ => {}
        }
    }

    fn open_clients(&mut self, world: &mut World) {
        let Some(Actor::Admin(admin)) = world.client(ADMIN) else { return };
        if let Some(failure) = admin.failures.first() {
            let message = format!("a topic cannot be made: {failure}");
            world.fail("start", message);
        } else if admin.is_idle() {
            self.act = Act::Load;
            for host in self.clients() {
                self.seat(host, world);
            }
        }
    }

    fn producers(&self) -> Vec<u16> {
        hosts(0, self.scenario.producers.len())
    }

    fn consumers(&self) -> Vec<u16> {
        hosts(self.scenario.producers.len(), self.scenario.consumers.len())
    }

    fn clients(&self) -> Vec<u16> {
        hosts(0, self.scenario.producers.len() + self.scenario.consumers.len())
    }

    fn setup(&mut self, host: u16, name: &str) -> Setup {
        let life = self.lives.entry(host).or_default();
        *life += 1;
        Setup {
            run: self.scenario.seed,
            name: name.to_owned(),
            brokers: (1..=self.scenario.cluster.brokers).collect(),
            sessions: self.sessions.clone(),
            random: Random::new(self.scenario.seed, &format!("client {host} life {life}")),
            life: *life,
        }
    }

    fn target(&self, index: usize) -> Target {
        let topic = &self.scenario.topics[index];
        let kind = topic.properties.get("message.timestamp.type").map(String::as_str);
        Target {
            topic: reference(index),
            name: topic.name.clone(),
            partitions: topic.partitions,
            create_time: kind != Some("LogAppendTime"),
        }
    }

    /// A process of the client on that host.
    fn seat(&mut self, host: u16, world: &mut World) {
        let index = usize::from(host - FIRST_CLIENT);
        let actor = match self.scenario.producers.get(index).cloned() {
            Some(settings) => {
                let setup = self.setup(host, &format!("p{}", index + 1));
                let (target, filler) = (self.target(settings.topic), self.filler.clone());
                Actor::Producer(Box::new(Producer::new(setup, &settings, target, filler)))
            }
            None => {
                let index = index - self.scenario.producers.len();
                let settings = self.scenario.consumers[index].clone();
                let setup = self.setup(host, &format!("c{}", index + 1));
                let (target, commits) = (self.target(settings.topic), self.commits.clone());
                Actor::Consumer(Box::new(Consumer::new(setup, &settings, target, commits)))
            }
        };
        world.seat(host, actor);
    }

    /// The client's process dies, and another one begins. `false`: there is no such client, or it is not its time.
    pub fn restart(&mut self, client: usize, world: &mut World) -> bool {
        let host = FIRST_CLIENT + u16::try_from(client).unwrap_or(u16::MAX - FIRST_CLIENT);
        if self.act != Act::Load || !self.clients().contains(&host) {
            return false;
        }
        if let Some(Actor::Producer(producer)) = world.client(host) {
            let session = producer.session();
            world.history.forget(session);
        }
        world.unseat(host);
        self.seat(host, world);
        true
    }

    pub fn administer(&mut self, what: &What, world: &mut World) -> bool {
        let name = |topic: usize| self.scenario.topics.get(topic).map(|topic| topic.name.clone());
        let command = match what {
            What::ElectPreferred => Some(Command::ElectPreferred),
            What::AlterTopic { topic, key, value } => {
                name(*topic).map(|name| Command::AlterTopic {
                    topic: reference(*topic),
                    name,
                    key: key.clone(),
                    value: value.clone(),
                })
            }
            What::CreatePartitions { topic, count } => {
                let topic_ref = reference(*topic);
                name(*topic).map(|name| Command::CreatePartitions {
                    topic: topic_ref,
                    name,
                    count: *count,
                })
            }
            _ => None,
        };
        let Some(command) = command else { return false };
        world.with_client(ADMIN, |actor| {
            if let Actor::Admin(admin) = actor {
                admin.submit(command);
            }
        });
        true
    }

    /// Every topic is there, whole, and every client has got somewhere.
    pub fn is_up(&self, world: &World) -> bool {
        self.act == Act::Load
            && self.clients().iter().all(|host| progress(world, *host) > 0)
            && topics_lack(world, &self.scenario).is_empty()
    }

    /// From here on every client has to get on.
    pub fn mark_progress(&mut self, world: &World) {
        self.marks = self.clients().into_iter().map(|host| (host, progress(world, host))).collect();
    }

    /// What a healed cluster lacks, in words.
    pub fn missing(&self, world: &World) -> Vec<String> {
        let mut missing = topics_lack(world, &self.scenario);
        if world.observer.controller().is_none() {
            missing.push("no controller is active".to_owned());
        }
        for (id, machine) in &world.machines {
            if !machine.is_up() {
                missing.push(format!("n{id} is down"));
            }
        }
        if self.act != Act::Load {
            return missing;
        }
        for host in self.clients() {
            let stands = match self.marks.get(&host) {
                Some(mark) => progress(world, host) <= *mark,
                None => progress(world, host) == 0,
            };
            if stands {
                missing.push(format!("{} gets nowhere", self.name(host)));
            }
        }
        missing
    }

    /// What a quorum without these nodes lacks.
    pub fn core_missing(&self, world: &World, left_out: &[u16]) -> Vec<String> {
        let is_out = |id: &i32| u16::try_from(*id).is_ok_and(|id| left_out.contains(&id));
        let mut missing = Vec::new();
        if world.observer.controller().is_none_or(|id| is_out(&id)) {
            missing.push("no controller is active".to_owned());
        }
        for state in world.observer.partitions() {
            let may_lead = state.isr.iter().chain(&state.elr).any(|id| !is_out(id));
            let name = || format!("{}-{}", state.topic, state.partition);
            if may_lead && (state.leader < 0 || is_out(&state.leader)) {
                missing.push(format!(
                    "{} is led by {} (ISR {:?})",
                    name(),
                    state.leader,
                    state.isr
                ));
            }
            let mut core = state.replicas.iter().filter(|id| !is_out(id));
            if may_lead && core.any(|id| !state.isr.contains(id)) {
                missing.push(format!(
                    "{}'s ISR is {:?} of {:?}",
                    name(),
                    state.isr,
                    state.replicas
                ));
            }
        }
        missing
    }

    fn name(&self, host: u16) -> String {
        let index = usize::from(host - FIRST_CLIENT);
        match index.checked_sub(self.scenario.producers.len()) {
            None => format!("producer p{}", index + 1),
            Some(index) => format!("consumer c{}", index + 1),
        }
    }

    /// Nothing more is sent; what is open is finished or given up.
    pub fn stop_sending(&mut self, world: &mut World) {
        self.act = Act::ProducersEnd;
        for host in self.producers() {
            world.with_client(host, |actor| actor.client_mut().stop_sending());
        }
    }

    pub fn is_drained(&self, world: &World) -> bool {
        self.act >= Act::ReadersEnd && self.are_done(world, &self.consumers())
    }

    fn are_done(&self, world: &World, hosts: &[u16]) -> bool {
        let is_done = |host: &u16| world.client(*host).is_none_or(|actor| actor.client().is_done());
        hosts.iter().all(is_done)
    }

    /// Two readers of every topic, from the start of each log to its settled end.
    pub fn read_finally(&mut self, world: &mut World) {
        self.hear_complaints(world);
        self.act = Act::Ends;
        self.ask_for_ends(LOG_ENDS, world);
    }

    fn ask_for_ends(&mut self, first_host: u16, world: &mut World) {
        for index in 0..self.scenario.topics.len() {
            let host = first_host + index as u16;
            let (setup, target) = (self.setup(host, "ends"), self.target(index));
            // Those that the passes were given stay what they are.
            let given = match world.client(LOG_ENDS + index as u16) {
                Some(Actor::LogEnds(before)) => before.found().clone(),
                _ => BTreeMap::new(),
            };
            let ends = LogEnds::after(setup, target, given);
            world.seat(host, Actor::LogEnds(Box::new(ends)));
        }
    }

    fn open_final_readers(&mut self, world: &mut World) {
        let topics = self.scenario.topics.len();
        if !self.are_done(world, &(0..topics as u16).map(|i| LOG_ENDS + i).collect::<Vec<_>>()) {
            return;
        }
        self.act = Act::FinalReads;
        for index in 0..topics {
            let Some(Actor::LogEnds(ends)) = world.client(LOG_ENDS + index as u16) else {
                continue;
            };
            let ends = ends.found().clone();
            for reader in 0..READERS {
                let host = FINAL_READERS + READERS * index as u16 + reader;
                let setup = self.setup(host, &format!("final-{}", reader + 1));
                let reader = FinalReader::new(setup, self.target(index), &ends);
                world.seat(host, Actor::FinalReader(Box::new(reader)));
            }
        }
    }

    pub fn has_read_finally(&self, world: &World) -> bool {
        let topics = self.scenario.topics.len() as u16;
        let hosts: Vec<u16> = (0..topics).map(|index| LOG_ENDS_AFTER + index).collect();
        self.act == Act::EndsAgain && self.are_done(world, &hosts)
    }

    fn final_readers(&self) -> Vec<u16> {
        let readers = READERS * self.scenario.topics.len() as u16;
        (0..readers).map(|index| FINAL_READERS + index).collect()
    }

    /// What no broker may answer, and commits that were acknowledged and forgotten.
    fn hear_complaints(&self, world: &mut World) {
        for host in self.clients() {
            let Some(actor) = world.client(host) else { continue };
            let complaint = actor.client().complaints().first().cloned();
            let (lost, late) = match actor {
                Actor::Consumer(consumer) => {
                    (consumer.lost_commits().first(), consumer.late_commits().first())
                }
                _ => (None, None),
            };
            let (lost, late) = (lost.cloned(), late.cloned());
            let assigned = match actor {
                Actor::Consumer(consumer) => consumer.assignments(),
                _ => 0,
            };
            world.coverage.add("group: joined", assigned);
            if let Some(complaint) = complaint {
                world.fail("protocol", format!("{}: {complaint}", self.name(host)));
            }
            if let Some(late) = late {
                world.fail("generation-over", format!("{}: {late}", self.name(host)));
            }
            if let Some(lost) = lost
                && !world.watch().may_have_lost(CONSUMER_OFFSETS_TOPIC)
            {
                world.fail("committed-offset-lost", format!("{}: {lost}", self.name(host)));
            }
        }
    }
}

fn hosts(from: usize, count: usize) -> Vec<u16> {
    let host = |index: usize| FIRST_CLIENT + u16::try_from(index).expect("few clients");
    (from..from + count).map(host).collect()
}

fn reference(index: usize) -> TopicRef {
    TopicRef(u32::try_from(index).expect("few topics"))
}

fn progress(world: &World, host: u16) -> u64 {
    world.client(host).map_or(0, |actor| actor.client().progress())
}
