//! An administrator: makes topics and changes them, one command after the other, and tells the history what is in force.
//!
//! Promises: a command is tried again until it was carried out, or a broker said that it never can be; commands are carried
//! out in the order in which they were given. What the history is told of a topic's settings is what a broker said that they
//! are, after a change: only once it shows the change. Not promised: an end, while the cluster can't do what is asked.
//!
//! - [`requests`]: what is asked, and how answers are read.

mod requests;

use super::connection::{Happened, Lane, Peer};
use super::metadata::Cluster;
use super::{Client, ClientEffect, Setup, jittered_ns, sooner};
use crate::scenario;
use generator::random::Random;
use model::history::{Event, TopicRef};
use model::settings::TopicSettings;
use node::step::{Input, Now};
use requests::{Progress, Step};
use std::collections::VecDeque;
use wire::Uuid;

const BACKOFF_MS: u64 = 100;
const REQUEST_TIMEOUT_MS: u64 = 3_000;
const REFRESH_MS: u64 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a topic, waits until all its replicas are in sync, and records [`Event::Topic`].
    CreateTopic { topic: TopicRef, as_in: scenario::Topic },
    /// Sets one property of a topic, waits until it shows, and records [`Event::Settings`].
    AlterTopic { topic: TopicRef, name: String, key: String, value: String },
    /// Gives a topic this many partitions, and records [`Event::Settings`].
    CreatePartitions { topic: TopicRef, name: String, count: u32 },
    /// Asks for the preferred leaders of all partitions. Done when answered, whatever came of it.
    ElectPreferred,
}

pub struct Admin {
    cluster: Cluster<Step>,
    random: Random,
    commands: VecDeque<Command>,
    /// How far the first command has got.
    step: Step,
    asked: bool,
    retry_at_ns: u64,
    topic_id: Uuid,
    /// As the newest metadata has it.
    partitions: u32,
    replication_factor: u16,
    /// Commands that can never be carried out, and why.
    pub failures: Vec<String>,
    finished: u64,
    done: bool,
    stopping: bool,
    wake_ns: Option<u64>,
}

impl Admin {
    pub fn new(setup: Setup) -> Admin {
        Admin {
            // Its requests name their topics themselves: the cluster's view is only used for where brokers are.
            cluster: Cluster::new(&setup, "none", Lane::Data, REFRESH_MS, REQUEST_TIMEOUT_MS),
            random: setup.random.clone(),
            commands: VecDeque::new(),
            step: Step::Do,
            asked: false,
            retry_at_ns: 0,
            topic_id: Uuid::nil(),
            partitions: 0,
            replication_factor: 0,
            failures: Vec::new(),
            finished: 0,
            done: false,
            stopping: false,
            wake_ns: None,
        }
    }

    /// Carried out after those that were given before. It wants to be stepped then.
    pub fn submit(&mut self, command: Command) {
        self.commands.push_back(command);
        self.wake_ns = Some(0);
    }

    /// Nothing left to do.
    pub fn is_idle(&self) -> bool {
        self.commands.is_empty()
    }

    fn drive(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        self.wake_ns = None;
        if self.done {
            return;
        }
        if self.stopping {
            self.cluster.connections.close_all(effects);
            self.done = true;
            return;
        }
        if !self.commands.is_empty() && !self.asked {
            if now_ns < self.retry_at_ns {
                self.wake_ns = Some(self.retry_at_ns);
            } else if let Some(peer) = self.cluster.any_ready(now_ns, Lane::Data, effects) {
                self.ask(now_ns, peer, effects);
            }
        }
        // Idle, it asks for nothing.
        self.wake_ns = sooner(self.wake_ns, self.cluster.connections.deadline());
    }

    fn on_happened(
        &mut self,
        now_ns: u64,
        happened: Happened<Step>,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Step>>,
    ) {
        match happened {
            Happened::Down { .. } => {}
            Happened::Lost { .. } => self.again(now_ns),
            Happened::Answered { peer, ask, version, body } => {
                self.asked = false;
                match self.on_answer(peer, ask, version, body) {
                    Ok(progress) => self.go_on(now_ns, progress, effects),
                    Err(complaint) => {
                        self.again(now_ns);
                        self.cluster.refuse(now_ns, peer, complaint, effects, out);
                    }
                }
            }
        }
    }

    fn again(&mut self, now_ns: u64) {
        self.asked = false;
        self.retry_at_ns = now_ns + jittered_ns(&mut self.random, BACKOFF_MS);
    }

    fn go_on(&mut self, now_ns: u64, progress: Progress, effects: &mut Vec<ClientEffect>) {
        match progress {
            Progress::Again => self.again(now_ns),
            Progress::Then(step) => self.step = step,
            Progress::Never(why) => {
                if let Some(command) = self.commands.front() {
                    self.failures.push(format!("{command:?}: {why}"));
                }
                self.next_command();
            }
            Progress::Done => self.next_command(),
            Progress::Settings(settings) => {
                let event = self.settings_event(*settings);
                effects.extend(event.map(ClientEffect::Record));
                self.next_command();
            }
        }
    }

    fn settings_event(&self, settings: TopicSettings) -> Option<Event> {
        match self.commands.front()? {
            Command::CreateTopic { topic, as_in } => {
                let (topic, name) = (*topic, as_in.name.clone());
                let topic_id = *self.topic_id.as_bytes();
                Some(Event::Topic { topic, name, topic_id, settings })
            }
            Command::AlterTopic { topic, .. } | Command::CreatePartitions { topic, .. } => {
                Some(Event::Settings { topic: *topic, settings })
            }
            Command::ElectPreferred => None,
        }
    }

    fn next_command(&mut self) {
        self.commands.pop_front();
        self.step = Step::Do;
        self.retry_at_ns = 0;
        self.finished += 1;
    }
}

impl Client for Admin {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        if self.done {
            return;
        }
        let mut happened = Vec::new();
        self.cluster.on_input(now.mono_ns, input, effects, &mut happened);
        while !happened.is_empty() {
            for one in std::mem::take(&mut happened) {
                self.on_happened(now.mono_ns, one, effects, &mut happened);
            }
        }
        self.drive(now.mono_ns, effects);
    }

    fn deadline(&self) -> Option<u64> {
        self.wake_ns
    }

    /// Commands that are not done yet are dropped.
    fn stop_sending(&mut self) {
        self.commands.clear();
        self.stopping = true;
        if !self.done {
            self.wake_ns = Some(0);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn progress(&self) -> u64 {
        self.finished
    }

    fn complaints(&self) -> &[String] {
        &self.cluster.connections.complaints
    }
}
