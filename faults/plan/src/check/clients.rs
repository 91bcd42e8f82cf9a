//! Deeds on the run's own clients as plans write them: parameters, whom they hit, and which workloads have such clients.

use super::Checker;
use crate::client_deed::ClientDeed;
use crate::deed::DeedName;
use crate::plan::*;
use crate::raw::RawParameters;
use model::fault::Role;

const SOCKETS_DEFAULT: u64 = 200;
/// Each of them is a file of the harness, too.
const SOCKETS_MAX: u64 = 10_000;

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
                let message = "producers with transactions are not killed: `churn` fences them";
                self.wrong(path, message, "another workload, or churn = \"5s\" in [workload]");
            }
            return Some(ClientDeed::KillProducer);
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

    /// Clients of a kind: one of them, drawn, or all.
    pub(super) fn clients_hit(
        &mut self,
        path: &str,
        deed: ClientDeed,
        on: Option<&str>,
    ) -> Option<Role> {
        match on.unwrap_or("producer") {
            "producer" => Some(Role::Producer),
            "producers" => Some(Role::Producers),
            _ => {
                let message = format!("`{}` is done to clients, not to a node", deed.name());
                let help = "on = \"producer\" or \"producers\", or leave `on` out";
                self.wrong(&format!("{path}.on"), message, help);
                None
            }
        }
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
