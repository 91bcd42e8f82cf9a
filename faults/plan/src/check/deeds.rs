//! Deeds as plans write them: which parameters each one takes, and their defaults.

use super::Checker;
use crate::deed::{Cut, Deed, DeedName, Resource};
use crate::plan::*;
use crate::problem::did_you_mean;
use crate::raw::RawParameters;
use crate::shape::{Racks, Shape};
use crate::units::{Bytes, Millis};
use model::fault::Role;
use std::collections::BTreeSet;

const GRACE_DEFAULT: Millis = Millis(10_000);
const STOPPED_DEFAULT: Millis = Millis(200);
/// Of a loop: to the middle of a start, or past the end of a quick one; and how long it is dead in between.
const LIVES_DEFAULT: Millis = Millis(1_000);
const PAUSE_DEFAULT: Millis = Millis(200);
const RUNNING_DEFAULT: Millis = Millis(300);
const CPU_PERCENT_DEFAULT: u64 = 10;
/// Of one CPU: a hundred of them.
const CPU_PERCENT_MAX: u64 = 10_000;
const FLAP_DEFAULT: Millis = Millis(500);
/// What comes and goes is driven by ticks of some ten milliseconds.
const RHYTHM_MS_MIN: u64 = 50;

/// A deed with whom it hits and whom it cuts them off from.
pub(super) struct Written {
    pub deed: Deed,
    pub on: Role,
    pub peers: Option<Peers>,
}

impl Checker<'_> {
    /// Puts a deed together. `path`: the fault or the step.
    pub(super) fn deed(
        &mut self,
        path: &str,
        name: DeedName,
        on: Option<&str>,
        mut raw: RawParameters,
        plan: &Plan,
    ) -> Option<Written> {
        let before = self.problems.len();
        let raw = &mut raw;
        let mut peers = None;
        let deed = match name {
            DeedName::Kill => Deed::Kill,
            DeedName::Stall => Deed::Stall,
            DeedName::Wipe => Deed::Wipe,
            DeedName::PowerLoss => Deed::PowerLoss,
            DeedName::Terminate => {
                Deed::Terminate { grace: raw.grace.take().unwrap_or(GRACE_DEFAULT) }
            }
            DeedName::Upgrade => Deed::Upgrade { grace: raw.grace.take().unwrap_or(GRACE_DEFAULT) },
            DeedName::Stutter => Deed::Stutter {
                stopped: self.period(path, "stopped", raw.stopped.take(), STOPPED_DEFAULT),
                running: self.period(path, "running", raw.running.take(), RUNNING_DEFAULT),
            },
            DeedName::CrashLoop => Deed::CrashLoop {
                running: self.period(path, "running", raw.running.take(), LIVES_DEFAULT),
                pause: self.period(path, "pause", raw.pause.take(), PAUSE_DEFAULT),
            },
            DeedName::Cut => {
                peers = self.peers(path, raw, plan);
                Deed::Cut(Cut {
                    direction: raw.direction.take().unwrap_or_default(),
                    how: raw.how.take().unwrap_or_default(),
                    connections: raw.connections.take().unwrap_or_default(),
                })
            }
            DeedName::Isolate => Deed::Isolate {
                how: raw.how.take().unwrap_or_default(),
                connections: raw.connections.take().unwrap_or_default(),
            },
            DeedName::Flap => {
                peers = self.peers(path, raw, plan);
                Deed::Flap {
                    on: self.period(path, "cut", raw.cut.take(), FLAP_DEFAULT),
                    off: self.period(path, "whole", raw.whole.take(), FLAP_DEFAULT),
                }
            }
            DeedName::Split => Deed::Split { shape: self.shape(path, raw, plan)? },
            DeedName::CpuLimit => {
                let percent = raw.percent.take().unwrap_or(CPU_PERCENT_DEFAULT);
                Deed::CpuLimit {
                    percent: self.number(path, "percent", percent, CPU_PERCENT_MAX) as u32,
                }
            }
            DeedName::MemoryLimit => {
                let Some(bytes) = raw.bytes.take() else {
                    self.wrong(path, "how much memory is left to it?", "bytes = \"512MiB\"");
                    return None;
                };
                Deed::MemoryLimit { bytes: Bytes(self.number(path, "bytes", bytes.0, u64::MAX)) }
            }
            DeedName::TornWrite
            | DeedName::BitFlip
            | DeedName::TruncateTail
            | DeedName::OldSnapshot
            | DeedName::IoError
            | DeedName::FsyncError
            | DeedName::LogDirOffline
            | DeedName::Slow
            | DeedName::Full => self.file_deed(path, name, raw, plan),
            DeedName::Delay
            | DeedName::Rate
            | DeedName::Reset
            | DeedName::HalfOpen
            | DeedName::Slice
            | DeedName::LimitBytes
            | DeedName::Loss
            | DeedName::LoseResponse
            | DeedName::DelayApi
            | DeedName::FailApi
            | DeedName::StaleMetadata => {
                let (link, of) = self.link(path, name, raw, plan)?;
                peers = Some(of);
                Deed::Link(link)
            }
            DeedName::ClockJump | DeedName::ClockDrift | DeedName::ClockStrobe => {
                Deed::Clock(self.clock_deed(path, name, raw)?)
            }
            DeedName::ElectPreferred
            | DeedName::ChangeConfig
            | DeedName::Reassign
            | DeedName::ElectUnclean
            | DeedName::DeleteRecords
            | DeedName::AddPartitions
            | DeedName::DeleteAndRecreateTopic
            | DeedName::TransferLeadership => Deed::Topic(self.topic_deed(path, name, raw, plan)?),
            DeedName::KillProducer
            | DeedName::StallConsumer
            | DeedName::Fence
            | DeedName::ConnectionStorm => Deed::Client(self.client_deed(path, name, raw, plan)?),
        };
        if let Some(stray) = raw.stray() {
            let keys: Vec<&str> = takes(deed).collect();
            let help = match keys.is_empty() {
                true => "leave it out".to_string(),
                false => format!("it takes {}", keys.join(", ")),
            };
            self.wrong(
                &format!("{path}.{stray}"),
                format!("`{stray}` means nothing to `{name}`"),
                help,
            );
        }
        let on = self.hit(path, deed, on, plan)?;
        if deed.resource() == Resource::Links {
            self.has_links(&format!("{path}.on"), &on, plan);
        }
        if deed.resource() == Resource::Clock {
            self.tells_its_time(&format!("{path}.on"), &on, plan);
        }
        if matches!(deed, Deed::Client(_)) {
            self.has_clients(&format!("{path}.on"), &on, plan);
        }
        (self.problems.len() == before).then_some(Written { deed, on, peers })
    }

    /// Whom it hits: of a split everybody.
    fn hit(&mut self, path: &str, deed: Deed, on: Option<&str>, plan: &Plan) -> Option<Role> {
        match (deed, on) {
            (Deed::Split { .. }, None | Some("all")) => Some(Role::All),
            (Deed::Split { .. }, Some(_)) => {
                self.wrong(
                    &format!("{path}.on"),
                    "a split hits the whole cluster",
                    "leave `on` out",
                );
                None
            }
            (Deed::Topic(deed), on) => self.part_of_topic(path, deed, on),
            (Deed::Client(deed), on) if deed.hits_clients() => {
                self.clients_hit(path, deed, on, plan)
            }
            (_, Some(on)) => self.role(&format!("{path}.on"), on, plan),
            (_, None) => {
                self.wrong(path, "whom does it hit?", "on = \"leader\"");
                None
            }
        }
    }

    /// One part of a rhythm.
    fn period(&mut self, path: &str, key: &str, given: Option<Millis>, default: Millis) -> Millis {
        let period = given.unwrap_or(default);
        if period.0 < RHYTHM_MS_MIN {
            let message = format!("`{key}` for {period}");
            self.wrong(&format!("{path}.{key}"), message, format!("{RHYTHM_MS_MIN}ms or more"));
        }
        period
    }

    fn peers(&mut self, path: &str, raw: &mut RawParameters, plan: &Plan) -> Option<Peers> {
        let Some(text) = raw.peers.take() else {
            self.wrong(path, "cut off from whom?", "peers = \"followers\"");
            return None;
        };
        if let Some((_, peers, _)) = Peers::WORDS.iter().find(|(word, _, _)| *word == text) {
            if *peers == Peers::Nodes && plan.target.nodes == 1 {
                self.wrong(
                    &format!("{path}.peers"),
                    "there is no other node",
                    "[target] nodes = 3",
                );
            }
            return Some(peers.clone());
        }
        let words = Peers::WORDS.iter().map(|(word, _, _)| *word);
        let known = ROLES.iter().any(|(role, _, _)| *role == text);
        if !known && let Some(meant) = did_you_mean(&text, words) {
            let message = format!("nobody is `{text}`");
            self.wrong(&format!("{path}.peers"), message, format!("did you mean `{meant}`?"));
            return None;
        }
        self.role(&format!("{path}.peers"), &text, plan).map(Peers::Role)
    }

    fn shape(&mut self, path: &str, raw: &mut RawParameters, plan: &Plan) -> Option<Shape> {
        let racks = raw.racks.take();
        let word = raw.shape.take();
        let path_of = |key: &str| format!("{path}.{key}");
        let shape = match word.as_deref() {
            Some("halves") => Shape::Halves,
            Some("bridge") => Shape::Bridge,
            Some("majorities-ring") => Shape::MajoritiesRing,
            Some("racks") => {
                let help = "racks = [[\"n1\"], [\"n2\", \"n3\"]]: every node in one of them";
                match (&racks, &plan.target.racks) {
                    (Some(lists), _) => {
                        let nodes = node_names(&plan.target);
                        Shape::Racks(self.racks(&path_of("racks"), lists, &nodes)?)
                    }
                    (None, Some(lists)) => Shape::Racks(Racks::new(lists)?),
                    (None, None) => {
                        self.wrong(path, "which racks?", help);
                        return None;
                    }
                }
            }
            Some(other) => {
                let help = match did_you_mean(other, Shape::NAMES.into_iter()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("one of {}", Shape::NAMES.join(", ")),
                };
                self.wrong(&path_of("shape"), format!("no shape is called `{other}`"), help);
                return None;
            }
            None => {
                let help = format!("shape = one of {}", Shape::NAMES.join(", "));
                self.wrong(path, "split in which shape?", help);
                return None;
            }
        };
        if racks.is_some() && !matches!(shape, Shape::Racks(_)) {
            self.wrong(&path_of("racks"), "only shape = \"racks\" takes them", "leave them out");
        }
        let nodes = node_names(&plan.target).len();
        if nodes < shape.nodes_min() {
            let (word, min) = (shape.as_str(), shape.nodes_min());
            let message = format!("`{word}` needs {min} nodes or more, there are {nodes}");
            self.wrong(&path_of("shape"), message, format!("[target] nodes = {min}"));
        }
        Some(shape)
    }

    /// Every node in one of several racks.
    pub(super) fn racks(
        &mut self,
        place: &str,
        lists: &[Vec<String>],
        nodes: &[String],
    ) -> Option<Racks> {
        let help = "racks = [[\"n1\"], [\"n2\", \"n3\"]]: every node in one of them";
        let listed: BTreeSet<&String> = lists.iter().flatten().collect();
        if let Some(stranger) = listed.iter().find(|node| !nodes.contains(node)) {
            self.wrong(place, format!("there is no node `{stranger}`"), help);
            return None;
        }
        if let Some(missing) = nodes.iter().find(|node| !listed.contains(node)) {
            self.wrong(place, format!("`{missing}` is in no rack"), help);
            return None;
        }
        if lists.len() < 2 || lists.iter().any(Vec::is_empty) {
            self.wrong(place, "two racks or more, and none of them empty", help);
            return None;
        }
        let racks = Racks::new(lists);
        if racks.is_none() {
            self.wrong(place, "a node is in two racks", help);
        }
        racks
    }

    /// A split damages the nodes of its smaller sides; who is on them is drawn.
    pub(super) fn split_within_limits(&mut self, path: &str, shape: Shape, plan: &Plan) {
        let damages = shape.damages(node_names(&plan.target).len());
        let groups = [
            (plan.target.nodes as usize, "brokers"),
            (plan.controller_count() as usize, "controllers"),
        ];
        for (among, what) in groups {
            let hit = damages.min(among);
            let allowed = plan.limits.damaged.of(among);
            if hit > allowed {
                let message = format!(
                    "`{}` may damage {hit} of {among} {what} at one time, the limit is {allowed}",
                    shape.as_str()
                );
                self.wrong(path, message, format!("allow it: [limits] damaged = {hit}"));
                return;
            }
        }
    }
}

/// The keys that a deed takes.
fn takes(deed: Deed) -> impl Iterator<Item = &'static str> {
    let named = matches!(deed, Deed::Cut(_) | Deed::Flap { .. } | Deed::Link(_));
    let own = deed.parameters().into_iter().map(|(key, _)| key);
    named.then_some("peers").into_iter().chain(own)
}

/// Every node of a cluster by its name.
pub(super) fn node_names(target: &Target) -> Vec<String> {
    let dedicated = match target.controllers {
        Controllers::Combined => 0,
        Controllers::Dedicated(count) => count,
    };
    let brokers = (1..=target.nodes).map(|n| format!("n{n}"));
    brokers.chain((1..=dedicated).map(|n| format!("c{n}"))).collect()
}
