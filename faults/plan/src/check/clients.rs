//! Deeds on the run's own clients as plans write them: parameters, whom they hit, and which workloads have such clients.

use super::Checker;
use crate::client_deed::ClientDeed;
use crate::deed::DeedName;
use crate::plan::*;
use crate::raw::RawParameters;
use crate::units::Millis;
use model::fault::Role;

const SOCKETS_DEFAULT: u64 = 200;
/// Each of them is a file of the harness, too.
const SOCKETS_MAX: u64 = 10_000;

/// How long members may go without polling where a fault is about that, and how short that may be: a session may not be
/// longer (`session.timeout.ms` of members under this profile).
fn graces(profile: Profile) -> (Millis, Millis) {
    match profile {
        Profile::Fast => (Millis(2_500), Millis(2_000)),
        Profile::KafkaDefaults => (Millis(50_000), Millis(45_000)),
    }
}

impl Checker<'_> {
    pub(super) fn client_deed(
        &mut self,
        path: &str,
        name: DeedName,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Option<ClientDeed> {
        if name == DeedName::KillProducer {
            if plan.workload.name.is_transactional() {
                let message = "producers with transactions are not killed: `fence` takes their ids";
                self.wrong(path, message, "another workload, or name = \"fence\"");
            }
            return Some(ClientDeed::KillProducer);
        }
        if name == DeedName::StallConsumer {
            return self.stall_consumer(path, raw, plan);
        }
        if name == DeedName::Fence {
            if !plan.workload.name.needs_transactions() {
                let message = "nobody has a transactional id in this workload";
                let help = "[workload] name = \"transactions\", or \"exactly-once\"";
                self.wrong(path, message, help);
            }
            return Some(ClientDeed::Fence);
        }
        let sockets = raw.sockets.take().unwrap_or(SOCKETS_DEFAULT);
        let fits =
            u16::try_from(sockets).ok().filter(|n| (1..=SOCKETS_MAX).contains(&u64::from(*n)));
        if fits.is_none() {
            let message = format!("{sockets} connections");
            self.wrong(&format!("{path}.sockets"), message, format!("from 1 to {SOCKETS_MAX}"));
        }
        fits.map(|sockets| ClientDeed::ConnectionStorm { sockets })
    }

    fn stall_consumer(
        &mut self,
        path: &str,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Option<ClientDeed> {
        let workload = &plan.workload;
        let (consumers, partitions) = (workload.consumers, plan.topic.partitions);
        if !workload.name.has_group() {
            let message = "nobody is a member of a group in this workload";
            self.wrong(path, message, "[workload] name = \"groups\", or \"exactly-once\"");
        } else if consumers < 2 {
            let message = "nobody else could be given the partitions of a group's only member";
            self.wrong(path, message, "[workload] consumers = 2");
        } else if consumers > partitions {
            let message =
                format!("some of {consumers} members have none of {partitions} partitions");
            self.wrong(path, message, format!("[topic] partitions = {consumers}"));
        }
        let (default, least) = graces(plan.target.profile);
        let grace = raw.grace.take().unwrap_or(default);
        if grace < least {
            let message = format!("a grace of {grace}, and sessions of {least}");
            self.wrong(&format!("{path}.grace"), message, format!("{least} or more"));
        }
        Some(ClientDeed::StallConsumer { grace })
    }

    /// Clients of a kind: one of them, drawn, or all.
    pub(super) fn clients_hit(
        &mut self,
        path: &str,
        deed: ClientDeed,
        on: Option<&str>,
        plan: &Plan,
    ) -> Option<Role> {
        let clients = match deed {
            ClientDeed::StallConsumer { .. } => [Role::Member].as_slice(),
            // Of copies the members have the ids.
            ClientDeed::Fence if plan.workload.name.has_group() => &[Role::Member],
            ClientDeed::Fence => &[Role::Producer, Role::Producers],
            ClientDeed::KillProducer | ClientDeed::ConnectionStorm { .. } => {
                &[Role::Producer, Role::Producers]
            }
        };
        let Some(on) = on else { return clients.first().cloned() };
        let found = clients.iter().find(|one| role_name(one) == on).cloned();
        if found.is_none() {
            let words: Vec<String> =
                clients.iter().map(|one| format!("\"{}\"", role_name(one))).collect();
            let message = format!("`{}` is done to clients, not to a node", deed.name());
            let help = format!("on = {}, or leave `on` out", words.join(" or "));
            self.wrong(&format!("{path}.on"), message, help);
        }
        found
    }

    /// Whether a deed has brokers to hit on these roles: controllers have no clients.
    pub(super) fn has_clients(&mut self, path: &str, on: &Role, plan: &Plan) {
        let is_controller = match on {
            Role::Controller | Role::ControllerFollower => {
                plan.target.controllers != Controllers::Combined
            }
            Role::Node(name) => name.starts_with('c'),
            _ => false,
        };
        if is_controller {
            let message = format!("`{}` has no listener for clients", role_name(on));
            self.wrong(path, message, "a broker: on = \"leader\"");
        }
    }
}
