//! A broker's standing with the active controller: registration, heartbeats, fencing, the way out.
//!
//! Promises: one message to the controller is in flight at a time; the broker asks to be fenced until its logs are loaded
//! and its metadata has reached its own registration; a stopping broker goes on with its heartbeats until the controller lets
//! it go or its time is up. Not promised: that a fenced broker knows it; sessions are the controller's view.

use uuid::Uuid;
use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::broker_registration_request::{Feature, Listener as RegisteredListener};
use wire::messages::controller_registration_request::{
    Feature as ControllerFeature, Listener as ControllerListener,
};
use wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerId, BrokerRegistrationRequest,
    BrokerRegistrationResponse, ControllerRegistrationRequest, ControllerRegistrationResponse,
};

use crate::api::text;
use crate::context::{CallAnswer, CallTag, Context, Lane, Listener, Peer, Severity};
use crate::controller::features;

const REGISTRATION_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;
/// Wait after a message that failed, and between heartbeats while something is awaited from them.
const EAGER_MS: u64 = 50;

/// A stopping broker that knows of no controller waits no longer than this for the next one: it may never come, where all
/// nodes stop together.
const NO_CONTROLLER_MAX_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The controller gave this life its epoch.
    Registered { broker_epoch: i64 },
    /// The first time that clients may be served.
    Unfenced,
    /// The controller moved all leaderships away, or the time for that is up.
    MayShutDown,
}

pub struct Lifecycle {
    cluster_id: String,
    incarnation_id: Uuid,
    directory_id: Uuid,
    /// The broker epoch before a clean stop; -1 after any other.
    previous_broker_epoch: i64,
    broker_epoch: Option<i64>,
    fenced: bool,
    was_unfenced: bool,
    in_flight: bool,
    next_ms: u64,
    /// When to stop waiting for the controller's leave to shut down.
    shutdown_due_ms: Option<u64>,
    /// Since when a stopping broker knows of no controller.
    no_controller_since_ms: Option<u64>,
    may_shut_down: bool,
}

impl Lifecycle {
    pub fn new(
        cluster_id: String,
        incarnation_id: Uuid,
        directory_id: Uuid,
        previous_broker_epoch: i64,
    ) -> Lifecycle {
        Lifecycle {
            cluster_id,
            incarnation_id,
            directory_id,
            previous_broker_epoch,
            broker_epoch: None,
            fenced: true,
            was_unfenced: false,
            in_flight: false,
            next_ms: 0,
            shutdown_due_ms: None,
            no_controller_since_ms: None,
            may_shut_down: false,
        }
    }

    /// What the last clean stop left behind; told before the first registration.
    pub fn set_previous_broker_epoch(&mut self, broker_epoch: i64) {
        self.previous_broker_epoch = broker_epoch;
    }

    pub fn broker_epoch(&self) -> Option<i64> {
        self.broker_epoch
    }

    /// When to stop waiting for the controller's leave, as things stand.
    fn leave_due_ms(&self) -> Option<u64> {
        let due_ms = self.shutdown_due_ms?;
        let nobody_ms = self.no_controller_since_ms.map(|since_ms| since_ms + NO_CONTROLLER_MAX_MS);
        Some(nobody_ms.map_or(due_ms, |nobody_ms| nobody_ms.min(due_ms)))
    }

    /// Whether the quorum has a leader that this node knows of: only a stopping broker minds.
    pub fn set_controller_known(&mut self, now_ms: u64, known: bool) {
        self.no_controller_since_ms = match self.shutdown_due_ms {
            Some(_) if !known => Some(self.no_controller_since_ms.unwrap_or(now_ms)),
            _ => None,
        };
    }

    /// What is due: the registration or a heartbeat. `ready`: the logs are loaded. `metadata_offset`: the last offset in the image.
    pub fn drive(
        &mut self,
        ctx: &mut Context<'_>,
        ready: bool,
        metadata_offset: i64,
    ) -> Option<LifecycleEvent> {
        let now_ms = ctx.now.mono_ms();
        if self.leave_due_ms().is_some_and(|due_ms| now_ms >= due_ms) && !self.may_shut_down {
            self.may_shut_down = true;
            ctx.say(
                Severity::Warn,
                "the controller did not release this broker in time; ending without its leave"
                    .into(),
            );
            return Some(LifecycleEvent::MayShutDown);
        }
        if self.in_flight || now_ms < self.next_ms || self.may_shut_down {
            return None;
        }
        self.in_flight = true;
        match self.broker_epoch {
            None => self.register(ctx),
            Some(broker_epoch) => {
                let caught_up = metadata_offset >= broker_epoch;
                let body = BrokerHeartbeatRequest::default()
                    .with_broker_id(BrokerId(ctx.config.node_id))
                    .with_broker_epoch(broker_epoch)
                    .with_current_metadata_offset(metadata_offset)
                    .with_want_fence(!(ready && caught_up))
                    .with_want_shut_down(self.shutdown_due_ms.is_some());
                let peer = Peer::active_controller(Lane::Heartbeat);
                ctx.call(peer, key::BROKER_HEARTBEAT, HEARTBEAT_VERSION, &body, CallTag::Heartbeat);
            }
        }
        None
    }

    fn register(&mut self, ctx: &mut Context<'_>) {
        let listeners = ctx.config.advertised(Listener::Broker).map(|address| {
            RegisteredListener::default()
                .with_name(text(&address.name))
                .with_host(text(&address.host))
                .with_port(address.port)
        });
        let offered = features::supported().map(|(name, min, max)| {
            Feature::default()
                .with_name(text(name))
                .with_min_supported_version(min)
                .with_max_supported_version(max)
        });
        let body = BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(ctx.config.node_id))
            .with_cluster_id(text(&self.cluster_id))
            .with_incarnation_id(self.incarnation_id)
            .with_listeners(listeners.into_iter().collect())
            .with_features(offered.collect())
            .with_rack(ctx.config.broker_rack.as_deref().map(text))
            .with_log_dirs(vec![self.directory_id])
            .with_previous_broker_epoch(self.previous_broker_epoch);
        let peer = Peer::active_controller(Lane::Heartbeat);
        ctx.call(
            peer,
            key::BROKER_REGISTRATION,
            REGISTRATION_VERSION,
            &body,
            CallTag::Registration,
        );
    }

    pub fn on_registration(
        &mut self,
        ctx: &mut Context<'_>,
        answer: CallAnswer,
    ) -> Option<LifecycleEvent> {
        self.in_flight = false;
        self.next_ms = ctx.now.mono_ms() + EAGER_MS;
        let (version, mut body) = answer.ok()?;
        let response =
            wire::frame::decode::<BrokerRegistrationResponse>(&mut body, version).ok()?;
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {
                self.broker_epoch = Some(response.broker_epoch);
                self.next_ms = ctx.now.mono_ms();
                let broker_epoch = response.broker_epoch;
                ctx.say(Severity::Info, format!("registered with broker epoch {broker_epoch}"));
                Some(LifecycleEvent::Registered { broker_epoch })
            }
            Some(ErrorCode::NotController) => None,
            Some(ErrorCode::InconsistentClusterId) => {
                ctx.fatal(format!(
                    "the controllers belong to another cluster than this directory ({}); point controller.quorum.voters at its own, or start with an empty log.dirs",
                    self.cluster_id
                ));
                None
            }
            other => {
                let name = other.map_or("an unknown error", ErrorCode::name);
                ctx.say(Severity::Debug, format!("registration refused: {name}; trying again"));
                None
            }
        }
    }

    pub fn on_heartbeat(
        &mut self,
        ctx: &mut Context<'_>,
        answer: CallAnswer,
    ) -> Option<LifecycleEvent> {
        self.in_flight = false;
        let now_ms = ctx.now.mono_ms();
        self.next_ms = now_ms + EAGER_MS.min(ctx.config.broker_heartbeat_interval_ms);
        let (version, mut body) = answer.ok()?;
        let response = wire::frame::decode::<BrokerHeartbeatResponse>(&mut body, version).ok()?;
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered) => {
                ctx.say(
                    Severity::Warn,
                    "the controller does not know this life of the broker: registering again"
                        .into(),
                );
                self.broker_epoch = None;
                self.next_ms = now_ms;
                return None;
            }
            _ => return None,
        }
        if response.is_fenced != self.fenced {
            self.fenced = response.is_fenced;
            let word = if self.fenced { "fenced" } else { "unfenced" };
            ctx.say(Severity::Info, format!("the controller has {word} this broker"));
        }
        if response.should_shut_down && self.shutdown_due_ms.is_some() {
            self.may_shut_down = true;
            return Some(LifecycleEvent::MayShutDown);
        }
        if !self.fenced && self.shutdown_due_ms.is_none() {
            self.next_ms = now_ms + ctx.config.broker_heartbeat_interval_ms;
        }
        if !self.fenced && !self.was_unfenced {
            self.was_unfenced = true;
            return Some(LifecycleEvent::Unfenced);
        }
        None
    }

    /// Asks the controller to move this broker's leaderships away.
    pub fn shut_down(&mut self, ctx: &mut Context<'_>) -> Option<LifecycleEvent> {
        if self.shutdown_due_ms.is_some() {
            return None;
        }
        let now_ms = ctx.now.mono_ms();
        let registered = self.broker_epoch.is_some() && ctx.config.controlled_shutdown_enable;
        let wait_ms = if registered { ctx.config.highwater_controlled_shutdown_max_ms } else { 0 };
        self.shutdown_due_ms = Some(now_ms + wait_ms);
        self.next_ms = now_ms;
        if registered {
            return None;
        }
        self.may_shut_down = true;
        Some(LifecycleEvent::MayShutDown)
    }

    /// What the controller waits for before it unfences this broker has come about: it is told at once.
    pub fn hurry(&mut self, now_ms: u64) {
        if self.fenced {
            self.next_ms = self.next_ms.min(now_ms);
        }
    }

    pub fn on_controller(&mut self, now_ms: u64) {
        self.next_ms = self.next_ms.min(now_ms);
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        if self.may_shut_down {
            return None;
        }
        let next = (!self.in_flight).then_some(self.next_ms);
        [next, self.leave_due_ms()].into_iter().flatten().min()
    }
}

/// A controller makes itself known to the active one, so that its endpoints and features stand in the metadata.
pub struct Enrolment {
    incarnation_id: Uuid,
    in_flight: bool,
    next_ms: u64,
    done: bool,
}

impl Enrolment {
    pub fn new(incarnation_id: Uuid) -> Enrolment {
        Enrolment { incarnation_id, in_flight: false, next_ms: 0, done: false }
    }

    pub fn drive(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        if self.done || self.in_flight || now_ms < self.next_ms {
            return;
        }
        let listeners = ctx.config.advertised(Listener::Controller).map(|address| {
            ControllerListener::default()
                .with_name(text(&address.name))
                .with_host(text(&address.host))
                .with_port(address.port)
        });
        let offered = features::supported().map(|(name, min, max)| {
            ControllerFeature::default()
                .with_name(text(name))
                .with_min_supported_version(min)
                .with_max_supported_version(max)
        });
        let body = ControllerRegistrationRequest::default()
            .with_controller_id(ctx.config.node_id)
            .with_incarnation_id(self.incarnation_id)
            .with_listeners(listeners.into_iter().collect())
            .with_features(offered.collect());
        self.in_flight = true;
        let peer = Peer::active_controller(Lane::Controller);
        ctx.call(peer, key::CONTROLLER_REGISTRATION, 0, &body, CallTag::ControllerRegistration);
    }

    pub fn on_response(&mut self, ctx: &mut Context<'_>, answer: CallAnswer) {
        self.in_flight = false;
        self.next_ms = ctx.now.mono_ms() + EAGER_MS * 4;
        let response = answer.ok().and_then(|(version, mut body)| {
            wire::frame::decode::<ControllerRegistrationResponse>(&mut body, version).ok()
        });
        self.done = response.is_some_and(|response| response.error_code == 0);
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        (!self.done && !self.in_flight).then_some(self.next_ms)
    }
}
