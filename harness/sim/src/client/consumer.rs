//! A consumer that reads along: assigned to all partitions of its topic from their start, or subscribed in a group.
//!
//! Promises: as [`super::reading`]. In a group, as [`super::group`]: what it is given is read from the offset that the group
//! committed, or from the start. Its pass is a live one; it ends, incomplete as far as anybody knows, when it is told to stop.

use super::connection::{Happened, Lane};
use super::group::{CommitLedger, Group};
use super::metadata::Cluster;
use super::reading::{Ask, FetchSettings, Reading};
use super::{Client, ClientEffect, Setup, Target, sooner};
use crate::scenario;
use model::history::{PassKind, Session};
use node::step::{Input, Now};

pub struct Consumer {
    name: String,
    cluster: Cluster<Ask>,
    reading: Reading,
    group: Option<Group>,
    happened: Vec<Happened<Ask>>,
    started: bool,
    stopping: bool,
    done: bool,
    wake_ns: Option<u64>,
}

impl Consumer {
    /// `ledger`: what the members of its group have been promised to be committed; shared by them.
    pub fn new(
        setup: Setup,
        settings: &scenario::Consumer,
        target: Target,
        ledger: CommitLedger,
    ) -> Consumer {
        let (refresh_ms, timeout_ms) = (settings.metadata_refresh_ms, settings.request_timeout_ms);
        let fetching = FetchSettings {
            wait_ms: settings.fetch_wait_ms,
            bytes_max: settings.fetch_bytes_max,
            lag_every_ms: settings.lag_every_ms,
        };
        let of_group = |name: &String| {
            let session_ms = settings.session_timeout_ms;
            Group::new(&setup, name, &target, ledger, (timeout_ms, session_ms))
        };
        Consumer {
            cluster: Cluster::new(&setup, &target.name, Lane::Control, refresh_ms, timeout_ms),
            reading: Reading::new(&setup, &target, fetching),
            group: settings.group.as_ref().map(of_group),
            happened: Vec::new(),
            started: false,
            stopping: false,
            done: false,
            wake_ns: None,
            name: setup.name,
        }
    }

    pub fn session(&self) -> Session {
        self.reading.session
    }

    /// Commits of its group that were acknowledged and are not there any more, in words.
    pub fn lost_commits(&self) -> &[String] {
        self.group.as_ref().map_or(&[], |group| &group.lost_commits)
    }

    /// Commits of its own that were acknowledged in the name of a generation that was over, in words.
    pub fn late_commits(&self) -> &[String] {
        self.group.as_ref().map_or(&[], |group| &group.late_commits)
    }

    /// How often its group gave it partitions.
    pub fn assignments(&self) -> u64 {
        self.group.as_ref().map_or(0, |group| group.assignments)
    }

    fn start(&mut self, effects: &mut Vec<ClientEffect>) {
        self.started = true;
        let group = self.group.as_ref().map(Group::name);
        self.reading.open(&self.name, PassKind::Live, group, effects);
        if self.group.is_none() {
            self.reading.assign_all(effects);
        }
    }

    fn drive(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        self.wake_ns = None;
        if self.done || !self.started {
            return;
        }
        if let Some(group) = &mut self.group {
            group.drive(now_ns, self.stopping, &mut self.cluster, &mut self.reading, effects);
        }
        let has_left = self.group.as_ref().is_none_or(Group::has_left);
        if self.stopping && has_left {
            self.cluster.connections.close_all(effects);
            self.reading.close(false, effects);
            self.done = true;
            return;
        }
        self.reading.drive(now_ns, &mut self.cluster, effects);
        self.cluster.drive(now_ns, effects);
        let of_group = self.group.as_ref().and_then(|group| group.wake_ns);
        let wake_ns = sooner(self.reading.wake_ns, of_group);
        self.wake_ns = sooner(wake_ns, self.cluster.deadline());
    }
}

impl Client for Consumer {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        if self.done {
            return;
        }
        if matches!(input, Input::Start) {
            self.start(effects);
        }
        let now_ns = now.mono_ns;
        let Consumer { cluster, reading, group, .. } = self;
        let mut happened = std::mem::take(&mut self.happened);
        cluster.on_input(now_ns, input, effects, &mut happened);
        while !happened.is_empty() {
            for one in std::mem::take(&mut happened) {
                let out = &mut happened;
                match group {
                    Some(group) if group.concerns(&one) => {
                        group.on_happened(now_ns, one, cluster, reading, effects, out);
                    }
                    _ => reading.on_happened(now_ns, one, cluster, effects, out),
                }
            }
        }
        self.happened = happened;
        self.drive(now_ns, effects);
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
        self.reading.read
    }

    fn complaints(&self) -> &[String] {
        &self.cluster.connections.complaints
    }
}
