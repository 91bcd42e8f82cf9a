//! Faults of links and of the protocol on them, through proxies in front of the brokers.
//!
//! Promises: in effect means that a connection of our own, or frames of the cluster's clients, met it: what the rule counted
//! and what the connection saw are the evidence. Over means that the rule is on no connection any more, and that a connection
//! of ours is answered, where the node answers at all. Faults stack, and end in any order.
//!
//! Undo: none of it outlives this process, which the proxies are in. The nodes' processes are in the undo records already.

mod evidence;
mod translate;

use evidence::Looking;
use plan::Peer;
use plan::link::Link;
use proxy::probe::{Probe, snapshot};
use proxy::{Dialer, Effect, End, Proxy, Route, Rule, Who};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A broker answers ApiVersions in no time; what takes longer is no answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A broker that is to have proxies, and where it listens.
#[derive(Clone, Debug)]
pub struct Broker {
    pub name: String,
    pub id: i32,
    /// For clients; and for brokers, unless they have a listener of their own.
    pub clients: SocketAddr,
    pub brokers: Option<SocketAddr>,
    /// Ports for its proxies on this machine: of clients, and of brokers. 0: a free one.
    pub ports: [u16; 2],
}

/// The proxies of a cluster.
#[derive(Debug)]
pub struct Proxies {
    proxy: Arc<Proxy>,
    ids: BTreeMap<String, i32>,
    /// How a broker names itself when it dials another one.
    calls: fn(i32) -> String,
    seed: u64,
}

/// How to get to a node as somebody, through its proxy and past it.
#[derive(Clone, Debug)]
struct Approach {
    through: SocketAddr,
    past: SocketAddr,
    client_id: String,
}

impl Proxies {
    /// Proxies on this machine. `dialer` and `calls`: how brokers name themselves.
    pub fn start(
        brokers: &[Broker],
        dialer: Dialer,
        calls: fn(i32) -> String,
        seed: u64,
    ) -> io::Result<Proxies> {
        let mut routes = Vec::new();
        for broker in brokers {
            let mut route = |who, upstream| {
                let port = broker.ports[usize::from(who == Who::Brokers)];
                let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                routes.push(Route { node: broker.id, who, listen, upstream });
            };
            match broker.brokers {
                Some(own) => {
                    route(Who::Clients, broker.clients);
                    route(Who::Brokers, own);
                }
                None => route(Who::ByName, broker.clients),
            }
        }
        let proxy = Arc::new(Proxy::start(routes, dialer)?);
        let ids = brokers.iter().map(|broker| (broker.name.clone(), broker.id)).collect();
        Ok(Proxies { proxy, ids, calls, seed })
    }

    /// Where clients reach a broker.
    pub fn clients(&self, id: i32) -> Option<SocketAddr> {
        self.route(id, Who::Clients).map(|route| route.listen)
    }

    /// Where other brokers reach it.
    pub fn brokers(&self, id: i32) -> Option<SocketAddr> {
        self.route(id, Who::Brokers).map(|route| route.listen)
    }

    fn route(&self, id: i32, who: Who) -> Option<&Route> {
        let fits = |route: &&Route| route.node == id && [who, Who::ByName].contains(&route.who);
        self.proxy.routes().iter().find(fits)
    }

    fn id(&self, node: &str) -> io::Result<i32> {
        let missing = || io::Error::other(format!("there is no proxy in front of {node}"));
        self.ids.get(node).copied().ok_or_else(missing)
    }

    /// The way that one of the peers takes to the node: a client's, where clients are among them.
    fn approach(&self, node: i32, peers: &[End]) -> io::Result<Approach> {
        let (who, client_id) = match peers.iter().min() {
            Some(End::Node(id)) => (Who::Brokers, (self.calls)(*id)),
            Some(End::Clients) => (Who::Clients, "highwater-probe".to_string()),
            None => return Err(io::Error::other("there is nobody on the other end of its links")),
        };
        let route = self.route(node, who).ok_or_else(|| io::Error::other("it has no proxy"))?;
        Ok(Approach { through: route.listen, past: route.upstream, client_id })
    }
}

/// What was done to one node for one fault.
#[derive(Debug)]
struct Laid {
    link: Link,
    rule: Arc<Rule>,
    approach: Approach,
    looking: Looking,
    /// Of stale metadata: who led what.
    leaders: Option<String>,
    lifted: bool,
}

/// All link faults of a run.
#[derive(Debug, Default)]
pub(crate) struct Links {
    laid: BTreeMap<(u32, String), Laid>,
}

impl Links {
    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        link: Link,
        peers: &[Peer],
        proxies: &Proxies,
    ) -> io::Result<()> {
        let id = proxies.id(node)?;
        let mut ends = Vec::new();
        for peer in peers {
            ends.push(match peer {
                Peer::Clients => End::Clients,
                Peer::Node(name) => End::Node(proxies.id(name)?),
            });
        }
        let approach = proxies.approach(id, &ends)?;
        let (effect, leaders) = match translate::effect(link) {
            Some(effect) => (effect, None),
            None => {
                let now = snapshot(approach.past, &approach.client_id, PATIENCE)?;
                let leaders = now.leaders();
                (Effect::StaleMetadata(Arc::new(now)), Some(leaders))
            }
        };
        let links = proxy::Links { node: id, peers: ends.into_iter().collect() };
        // A seed for each fault, on each of its nodes.
        let seed = proxies.seed ^ (u64::from(fault) << 32) ^ id as u64;
        let rule = Arc::new(Rule::new(fault, links, effect, seed));
        let looking = match link {
            Link::Reset { .. } => {
                // A connection of ours is to stand when the rule comes.
                let (proxy, laid) = (proxies.proxy.clone(), rule.clone());
                let lay = move || proxy.add(laid);
                Looking::through(Probe::stand(approach.through, &approach.client_id, PATIENCE, lay))
            }
            _ => {
                proxies.proxy.add(rule.clone());
                Looking::default()
            }
        };
        self.laid.insert(
            (fault, node.to_string()),
            Laid { link, rule, approach, looking, leaders, lifted: false },
        );
        Ok(())
    }

    pub fn heal(&mut self, fault: u32, node: &str, proxies: Option<&Proxies>) {
        let laid = self.laid.get_mut(&(fault, node.to_string()));
        if let (Some(laid), Some(proxies)) = (laid, proxies) {
            proxies.proxy.remove(&laid.rule);
            if !laid.lifted {
                laid.lifted = true;
                laid.looking = Looking::default();
            }
        }
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        node: &str,
        proxies: &Proxies,
    ) -> Result<String, String> {
        let laid = self.laid.get_mut(&(fault, node.to_string())).ok_or("nothing was done to it")?;
        if !proxies.proxy.is_in_force() {
            return Err("its rule is not on every connection yet".to_string());
        }
        laid.in_effect()
    }

    pub fn over(
        &mut self,
        fault: u32,
        node: &str,
        proxies: Option<&Proxies>,
    ) -> Result<String, String> {
        let laid = self.laid.get_mut(&(fault, node.to_string()));
        let (Some(laid), Some(proxies)) = (laid, proxies) else {
            return Ok("nothing was done to it".to_string());
        };
        if !laid.lifted || !proxies.proxy.is_in_force() {
            return Err("its rule is still on some connection".to_string());
        }
        let others: Vec<u32> =
            proxies.proxy.faults().into_iter().filter(|other| *other != fault).collect();
        laid.over(&others)
    }
}

#[cfg(test)]
mod tests;
