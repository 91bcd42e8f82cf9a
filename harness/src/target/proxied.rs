//! Where the listeners of a cluster with proxies are, and what each broker tells others of them.
//!
//! Promises: clients and brokers are told the proxies' addresses alone, so that whatever they say to each other goes through
//! one; a software whose brokers can have a listener of their own gets one, so that who dials is known by where. Not covered:
//! the controllers' listener.

use super::Software;
use anyhow::{Context, Result};
use inject::{Broker, Proxies};
use std::net::{Ipv4Addr, SocketAddr};

/// The listener of brokers among themselves.
pub const INTERNAL: &str = "INTERNAL";

/// The listeners of a broker: name, where it listens, what others are told.
pub struct Listener {
    pub name: &'static str,
    pub bound: SocketAddr,
    pub advertised: SocketAddr,
}

/// Starts proxies in front of brokers (name, id, port), each with a further port for its own listener of brokers.
pub fn start(
    brokers: &[(String, i32, u16, u16)],
    software: &dyn Software,
    seed: u64,
) -> Result<Proxies> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let own = software.has_internal_listener();
    let brokers: Vec<Broker> = brokers
        .iter()
        .map(|(name, id, clients, internal)| Broker {
            name: name.clone(),
            id: *id,
            clients: at(*clients),
            brokers: own.then(|| at(*internal)),
        })
        .collect();
    Proxies::start(&brokers, software.dialer(), software.calls(), seed)
        .context("cannot start proxies in front of the brokers")
}

/// A broker's listeners behind the proxies; `bound`: where it listens for clients, and for brokers.
pub fn listeners(proxies: &Proxies, id: i32, bound: [SocketAddr; 2]) -> Vec<Listener> {
    let listener = |name, bound, advertised: Option<SocketAddr>| {
        advertised.map(|advertised| Listener { name, bound, advertised })
    };
    let clients = proxies.clients(id);
    // With one listener for both there is one proxy.
    let brokers = proxies.brokers(id).filter(|address| Some(*address) != clients);
    [listener("PLAINTEXT", bound[0], clients), listener(INTERNAL, bound[1], brokers)]
        .into_iter()
        .flatten()
        .collect()
}
