//! Link and protocol faults as plans write them: parameters, defaults, and whose links can be meant.

use super::Checker;
use crate::deed::DeedName;
use crate::link::names::{APIS, ERRORS, REFUSABLE};
use crate::link::{Api, ErrorCode, Link};
use crate::plan::*;
use crate::problem::did_you_mean;
use crate::raw::RawParameters;
use crate::units::{Bytes, Millis};
use model::fault::Role;

/// What a sender waits at least before it sends again what was lost (Linux: TCP_RTO_MIN).
const STOP_DEFAULT: Millis = Millis(200);
const PAUSE_DEFAULT: Millis = Millis(10);
const AGAIN_MS_MIN: u64 = 50;

impl Checker<'_> {
    pub(super) fn link(
        &mut self,
        path: &str,
        name: DeedName,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Option<(Link, Peers)> {
        let peers = self.link_peers(path, name, raw, plan)?;
        let link = match name {
            DeedName::Delay => Link::Delay {
                delay: self.needed(path, raw.delay.take(), "how long?", "delay = \"100ms\"")?,
                spread: raw.spread.take().unwrap_or_default(),
                distribution: raw.distribution.take().unwrap_or_default(),
                direction: raw.direction.take().unwrap_or_default(),
            },
            DeedName::Rate => {
                let given = raw.bytes_per_second.take();
                let help = "bytes_per_second = \"100KiB\"";
                Link::Rate { bytes_per_second: self.bytes(path, "bytes_per_second", given, help)? }
            }
            DeedName::Reset => Link::Reset { again: self.again(path, raw.again.take()) },
            DeedName::HalfOpen => Link::HalfOpen,
            DeedName::Slice => Link::Slice {
                bytes: self.bytes(path, "bytes", raw.bytes.take(), "bytes = \"100B\"")?,
                pause: raw.pause.take().unwrap_or(PAUSE_DEFAULT),
            },
            DeedName::LimitBytes => {
                let given = raw.bytes.take();
                Link::LimitBytes { bytes: self.bytes(path, "bytes", given, "bytes = \"1MiB\"")? }
            }
            DeedName::Loss => {
                let percent = raw.percent.take();
                let percent = self.needed(path, percent, "how much of it?", "percent = 5")?;
                // Of what is always lost nothing ever arrives: that is `half-open`.
                let percent = self.percent(path, percent, 90)?;
                Link::Loss { percent, stop: raw.stop.take().unwrap_or(STOP_DEFAULT) }
            }
            DeedName::LoseResponse => {
                let percent = self.percent(path, raw.percent.take().unwrap_or(100), 100);
                Link::LoseResponse { api: self.api(path, raw, false)?, percent: percent? }
            }
            DeedName::DelayApi => Link::DelayApi {
                api: self.api(path, raw, false)?,
                delay: self.needed(path, raw.delay.take(), "how long?", "delay = \"2s\"")?,
            },
            DeedName::FailApi => {
                let percent = self.percent(path, raw.percent.take().unwrap_or(100), 100);
                let api = self.api(path, raw, true)?;
                Link::FailApi { api, error: self.error_code(path, raw)?, percent: percent? }
            }
            _ => Link::StaleMetadata,
        };
        Some((link, peers))
    }

    fn needed<T>(&mut self, path: &str, given: Option<T>, asks: &str, help: &str) -> Option<T> {
        if given.is_none() {
            self.wrong(path, asks, help);
        }
        given
    }

    fn bytes(&mut self, path: &str, key: &str, given: Option<Bytes>, help: &str) -> Option<Bytes> {
        let bytes = self.needed(path, given, "how many bytes?", help)?;
        if bytes.0 == 0 {
            self.wrong(&format!("{path}.{key}"), "nothing at all", help);
            return None;
        }
        Some(bytes)
    }

    fn percent(&mut self, path: &str, percent: u64, most: u8) -> Option<u8> {
        let found = u8::try_from(percent).ok().filter(|percent| (1..=most).contains(percent));
        if found.is_none() {
            let message = format!("{percent} percent");
            self.wrong(&format!("{path}.percent"), message, format!("from 1 to {most}"));
        }
        found
    }

    fn again(&mut self, path: &str, again: Option<Millis>) -> Option<Millis> {
        if again.is_some_and(|again| again.0 < AGAIN_MS_MIN) {
            let help = format!("{AGAIN_MS_MIN}ms or more");
            self.wrong(&format!("{path}.again"), "resets without a pause", help);
        }
        again
    }

    /// `refusable`: an answer has to be made for it.
    fn api(&mut self, path: &str, raw: &mut RawParameters, refusable: bool) -> Option<Api> {
        let Some(name) = raw.api.take() else { return Some(Api::PRODUCE) };
        let path = format!("{path}.api");
        let known: Vec<&str> = match refusable {
            true => REFUSABLE.to_vec(),
            false => APIS.iter().map(|api| api.name).collect(),
        };
        match Api::named(&name) {
            Some(api) if !refusable || api.is_refusable() => Some(api),
            Some(_) => {
                let message = format!("no answer with an error can be made for `{name}`");
                self.wrong(&path, message, format!("one of {}", known.join(", ")));
                None
            }
            None => {
                let help = match did_you_mean(&name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("one of {}", known.join(", ")),
                };
                self.wrong(&path, format!("no API is called `{name}`"), help);
                None
            }
        }
    }

    fn error_code(&mut self, path: &str, raw: &mut RawParameters) -> Option<ErrorCode> {
        let example = "error = \"NOT_LEADER_OR_FOLLOWER\"";
        let name = self.needed(path, raw.error.take(), "with which error?", example)?;
        let found = ErrorCode::named(&name);
        if found.is_none() {
            let help = match did_you_mean(&name, ERRORS.iter().map(|error| error.name)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("Kafka's own names, as {example}"),
            };
            self.wrong(&format!("{path}.error"), format!("Kafka has no error `{name}`"), help);
        }
        found
    }

    fn link_peers(
        &mut self,
        path: &str,
        name: DeedName,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Option<Peers> {
        let is_of_frames = matches!(
            name,
            DeedName::LoseResponse
                | DeedName::DelayApi
                | DeedName::FailApi
                | DeedName::StaleMetadata
        );
        let help = "peers = \"clients\", \"brokers\", \"all\" or a role such as \"leader\"";
        let path_of_peers = format!("{path}.peers");
        match raw.peers.take().as_deref() {
            None if is_of_frames => Some(Peers::Clients),
            None => self.needed(path, None, "on the links with whom?", help),
            Some("clients") => Some(Peers::Clients),
            Some(_) if name == DeedName::StaleMetadata => {
                self.wrong(&path_of_peers, "only clients ask for metadata", "leave `peers` out");
                None
            }
            Some("brokers" | "all") if plan.target.nodes == 1 => {
                self.wrong(&path_of_peers, "there is no other broker", "peers = \"clients\"");
                None
            }
            Some("brokers") => Some(Peers::Brokers),
            Some("all") => Some(Peers::BrokersAndClients),
            Some("nodes" | "everyone") => {
                let message = "the links with controllers don't go through a proxy";
                self.wrong(&path_of_peers, message, help);
                None
            }
            Some(role) => {
                let role = self.role(&path_of_peers, role, plan)?;
                self.has_links(&path_of_peers, &role, plan).then_some(Peers::Role(role))
            }
        }
    }

    /// A proxy stands in front of brokers alone.
    pub(super) fn has_links(&mut self, path: &str, role: &Role, plan: &Plan) -> bool {
        let apart = plan.target.controllers != Controllers::Combined;
        let controller = match role {
            Role::Controller | Role::ControllerFollower => apart,
            Role::Node(name) => name.starts_with('c'),
            _ => false,
        };
        if controller {
            let message = "the links of a controller don't go through a proxy";
            self.wrong(path, message, "a broker: \"leader\", \"followers\", \"n1\", …");
        }
        !controller
    }
}
