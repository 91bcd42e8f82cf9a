//! The broker's parts: replicas, groups, producer ids, forwarded requests, and its standing with the controller.
//!
//! Promises: clients are served from the moment that the logs are loaded and the metadata has reached this broker's own
//! registration; until then their requests wait.

use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FindCoordinatorRequest, TopicName,
};
use wire::names::CONSUMER_OFFSETS_TOPIC;

use super::Node;
use super::boot::Identity;
use crate::api::forward::Forwards;
use crate::api::init_producer_id::ProducerIds;
use crate::api::{find_coordinator, text};
use crate::config::NodeConfig;
use crate::context::{CallAnswer, CallTag, Lane, Peer, Request, Severity};
use crate::group::GroupCoordinator;
use crate::image::Changes;
use crate::lifecycle::{Lifecycle, LifecycleEvent};
use crate::replica::{ReplicaEvent, ReplicaManager};

const CREATE_TOPICS_VERSION: i16 = 7;
/// Wait after a failed try to make `__consumer_offsets`.
const CREATE_RETRY_MS: u64 = 500;

pub struct Broker {
    pub replicas: ReplicaManager,
    pub groups: GroupCoordinator,
    pub lifecycle: Lifecycle,
    pub producer_ids: ProducerIds,
    pub forwards: Forwards,
    /// Clients' requests are answered.
    pub serving: bool,
    /// The data directory was read: the broker may register.
    started: bool,
    creating_offsets_topic: bool,
    create_again_ms: u64,
}

impl Broker {
    pub fn new(config: &NodeConfig, identity: &Identity) -> Broker {
        let (cluster_id, directory_id) = (identity.cluster_id.clone(), identity.directory_id);
        Broker {
            replicas: ReplicaManager::new(config.node_id, config.highwater_defects.clone()),
            groups: GroupCoordinator::new(),
            lifecycle: Lifecycle::new(cluster_id, identity.incarnation_id, directory_id, -1),
            producer_ids: ProducerIds::default(),
            forwards: Forwards::default(),
            serving: false,
            started: false,
            creating_offsets_topic: false,
            create_again_ms: 0,
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        let lifecycle = self.started.then(|| self.lifecycle.deadline_ms()).flatten();
        [
            lifecycle,
            self.replicas.deadline(),
            self.groups.deadline(),
            self.producer_ids.deadline_ms(),
            self.forwards.deadline_ms(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl Node {
    /// What has come due by the clock.
    pub(super) fn broker_on_time(&mut self) {
        let now_ms = self.shared.now_ms();
        let Some(broker) = &mut self.broker else { return };
        let is_due = |deadline: Option<u64>| deadline.is_some_and(|due_ms| now_ms >= due_ms);
        let ctx = &mut self.shared.context();
        if is_due(broker.replicas.deadline()) {
            broker.replicas.on_tick(ctx);
        }
        if is_due(broker.groups.deadline()) {
            broker.groups.on_tick(ctx, &mut broker.replicas);
        }
        if is_due(broker.producer_ids.deadline_ms()) {
            broker.producer_ids.drive(ctx, broker.lifecycle.broker_epoch());
        }
        if is_due(broker.forwards.deadline_ms()) {
            broker.forwards.on_tick(ctx);
        }
    }

    /// Hands on what the broker's parts have for each other, and sends what is due to the controller.
    pub(super) fn drive_broker(&mut self) {
        loop {
            let Some(broker) = &mut self.broker else { return };
            let events = broker.replicas.take_events();
            if events.is_empty() {
                break;
            }
            for event in events {
                self.on_replica_event(event);
            }
        }
        self.start_serving();
        self.let_the_last_leave();
        let (offset, now_ms) = (self.image.offset, self.shared.now_ms());
        let own = self.shared.config.node_id;
        let has_controller =
            self.leader().is_some_and(|id| id != own || self.is_active_controller());
        let Some(broker) = self.broker.as_mut().filter(|broker| broker.started) else { return };
        broker.lifecycle.set_controller_known(now_ms, has_controller);
        if broker.lifecycle.deadline_ms().is_none_or(|due_ms| now_ms < due_ms) {
            return;
        }
        let ready = broker.replicas.is_ready();
        if let Some(event) = broker.lifecycle.drive(&mut self.shared.context(), ready, offset) {
            self.on_lifecycle(event);
        }
    }

    fn start_serving(&mut self) {
        let offset = self.image.offset;
        let Some(broker) = &mut self.broker else { return };
        if broker.serving {
            return;
        }
        let known = broker.lifecycle.broker_epoch().is_some_and(|epoch| offset >= epoch);
        if known && broker.replicas.is_ready() {
            broker.serving = true;
            broker.lifecycle.hurry(self.shared.now.mono_ms());
            self.shared.say(
                Severity::Info,
                "the logs are loaded and the metadata is current: serving".into(),
            );
            self.release_held();
        }
    }

    fn on_replica_event(&mut self, event: ReplicaEvent) {
        let Some(broker) = &mut self.broker else { return };
        match &event {
            ReplicaEvent::Started { previous_broker_epoch } => {
                broker.started = true;
                broker.lifecycle.set_previous_broker_epoch(*previous_broker_epoch);
                broker.lifecycle.on_controller(self.shared.now.mono_ms());
            }
            ReplicaEvent::Stopped => self.on_logs_closed(),
            _ => {
                let ctx = &mut self.shared.context();
                broker.groups.on_replica_event(ctx, &mut broker.replicas, &event);
            }
        }
    }

    pub(super) fn on_lifecycle(&mut self, event: LifecycleEvent) {
        let Some(broker) = &mut self.broker else { return };
        match event {
            LifecycleEvent::Registered { broker_epoch } => {
                broker.replicas.set_broker_epoch(&mut self.shared.context(), broker_epoch);
            }
            LifecycleEvent::Unfenced => {}
            LifecycleEvent::MayShutDown => self.close_logs(),
        }
    }

    pub(super) fn on_broker_answer(&mut self, tag: CallTag, answer: CallAnswer) {
        let Some(broker) = &mut self.broker else { return };
        let ctx = &mut self.shared.context();
        let event = match tag {
            CallTag::Registration => broker.lifecycle.on_registration(ctx, answer),
            CallTag::Heartbeat | CallTag::ControlledShutdown => {
                broker.lifecycle.on_heartbeat(ctx, answer)
            }
            CallTag::AllocateProducerIds => {
                let broker_epoch = broker.lifecycle.broker_epoch();
                broker.producer_ids.on_response(ctx, answer, broker_epoch);
                None
            }
            CallTag::Forward { request } => {
                broker.forwards.on_response(ctx, request, answer);
                None
            }
            CallTag::CreateOffsetsTopic => {
                self.on_offsets_topic_answer(answer);
                None
            }
            tag => {
                broker.replicas.on_response(ctx, &tag, answer);
                None
            }
        };
        if let Some(event) = event {
            self.on_lifecycle(event);
        }
    }

    /// Another active controller: what waited for one goes out at once.
    pub(super) fn on_new_controller(&mut self) {
        let now_ms = self.shared.now_ms();
        if let Some(broker) = &mut self.broker {
            broker.lifecycle.on_controller(now_ms);
            broker.forwards.on_controller(now_ms);
        }
    }

    /// Metadata was committed.
    pub(super) fn show_broker(&mut self, changes: &Changes) {
        let Some(broker) = &mut self.broker else { return };
        let ctx = &mut self.shared.context();
        broker.replicas.on_image(ctx, &self.image, changes);
        broker.groups.on_image(ctx, &mut broker.replicas, &self.image, changes);
    }

    pub(super) fn on_group_request(&mut self, request: Request) {
        let Some(broker) = &mut self.broker else { return };
        let ctx = &mut self.shared.context();
        broker.groups.handle(ctx, &mut broker.replicas, &self.image, &request);
    }

    pub(super) fn on_find_coordinator(&mut self, request: &Request, body: &FindCoordinatorRequest) {
        let version = request.head.api_version;
        let (response, make_topic) = find_coordinator::answer(self.facts(), version, body);
        self.shared.context().respond(request, &response);
        if make_topic {
            self.create_offsets_topic();
        }
    }

    fn create_offsets_topic(&mut self) {
        let now_ms = self.shared.now_ms();
        let Some(broker) = &mut self.broker else { return };
        if broker.creating_offsets_topic || now_ms < broker.create_again_ms {
            return;
        }
        broker.creating_offsets_topic = true;
        let config = &self.shared.config;
        let setting = |name: &str, value: &str| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let replicas = i16::try_from(config.offsets_topic_replication_factor).unwrap_or(i16::MAX);
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(CONSUMER_OFFSETS_TOPIC)))
            .with_num_partitions(config.offsets_topic_num_partitions)
            .with_replication_factor(replicas)
            .with_configs(vec![
                setting("cleanup.policy", "compact"),
                setting("compression.type", "producer"),
                setting("segment.bytes", &config.offsets_topic_segment_bytes.to_string()),
            ]);
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(i32::try_from(config.request_timeout_ms).unwrap_or(i32::MAX));
        let peer = Peer::active_controller(Lane::Controller);
        let tag = CallTag::CreateOffsetsTopic;
        self.shared.context().call(peer, key::CREATE_TOPICS, CREATE_TOPICS_VERSION, &body, tag);
    }

    fn on_offsets_topic_answer(&mut self, answer: CallAnswer) {
        let now_ms = self.shared.now_ms();
        let Some(broker) = &mut self.broker else { return };
        broker.creating_offsets_topic = false;
        broker.create_again_ms = now_ms + CREATE_RETRY_MS;
        let Ok((version, mut body)) = answer else { return };
        let Ok(response) = wire::frame::decode::<CreateTopicsResponse>(&mut body, version) else {
            return;
        };
        for topic in &response.topics {
            let fine = [0, ErrorCode::TopicAlreadyExists.code(), ErrorCode::NotController.code()];
            if !fine.contains(&topic.error_code) {
                let name =
                    ErrorCode::from_code(topic.error_code).map_or("an error", ErrorCode::name);
                let why = topic.error_message.as_deref().unwrap_or_default();
                self.shared.say(
                    Severity::Warn,
                    format!("cannot make {CONSUMER_OFFSETS_TOPIC}, so no group can be served: {name} {why}; set offsets.topic.replication.factor to what the cluster can hold"),
                );
            }
        }
    }
}
