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

/// A broker that is to have proxies.
pub struct Behind {
    pub name: String,
    pub id: i32,
    /// Of its listener for clients, and of that for brokers.
    pub bound: [u16; 2],
    /// Of the proxies in front of them. Chosen together with all other ports of the run, so that none is another's.
    pub proxies: [u16; 2],
}

/// Starts proxies in front of brokers.
pub fn start(brokers: &[Behind], software: &dyn Software, seed: u64) -> Result<Proxies> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let own = software.has_internal_listener();
    let brokers: Vec<Broker> = brokers
        .iter()
        .map(|one| Broker {
            name: one.name.clone(),
            id: one.id,
            clients: at(one.bound[0]),
            brokers: own.then(|| at(one.bound[1])),
            ports: one.proxies,
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
