//! The proxy of a cluster: a route for each listener of each broker, and the rules on all of them.

use crate::rule::Rule;
use crate::worker::{Hand, Worker};
use mio::net::TcpListener;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Tells from a client id which broker has dialled.
pub type Dialer = fn(&str) -> Option<i32>;

/// Who dials a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Clients,
    Brokers,
    /// Both: who names itself as a broker does is one. Nothing goes on before the first request's head is there.
    ByName,
}

/// From an address of the proxy's to a broker's listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The broker's id.
    pub node: i32,
    pub who: Who,
    /// Where the proxy listens; with port 0 a free one is found.
    pub listen: SocketAddr,
    /// Where the broker listens.
    pub upstream: SocketAddr,
}

/// What all workers see.
pub struct Shared {
    rules: Mutex<Vec<Arc<Rule>>>,
    version: AtomicU64,
    stop: AtomicBool,
    pub dialer: Dialer,
    pub brokers: BTreeSet<i32>,
}

impl Shared {
    pub fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The rules, where they are others than in that version.
    pub fn rules_after(&self, version: u64) -> Option<(u64, Vec<Arc<Rule>>)> {
        if self.version.load(Ordering::Acquire) == version {
            return None;
        }
        let rules = self.lock();
        Some((self.version.load(Ordering::Acquire), rules.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Rule>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries connections to brokers for as long as it lives.
pub struct Proxy {
    shared: Arc<Shared>,
    routes: Vec<Route>,
    hands: Vec<Arc<Hand>>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens, and carries from now on.
    pub fn start(routes: Vec<Route>, dialer: Dialer) -> io::Result<Proxy> {
        let shared = Arc::new(Shared {
            rules: Mutex::new(Vec::new()),
            version: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            dialer,
            brokers: routes.iter().map(|route| route.node).collect(),
        });
        let mut proxy = Proxy { shared, routes, hands: Vec::new(), threads: Vec::new() };
        for route in &mut proxy.routes {
            let listener = TcpListener::bind(route.listen)?;
            route.listen = listener.local_addr()?;
            let (worker, hand) = Worker::new(listener, *route, proxy.shared.clone())?;
            let name = format!("proxy-{}-{}", route.node, route.listen.port());
            let thread = std::thread::Builder::new().name(name).spawn(move || worker.run())?;
            proxy.hands.push(hand);
            proxy.threads.push(thread);
        }
        Ok(proxy)
    }

    /// The routes as they are, with the ports that were found.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Lays a rule. It is in force when [`Proxy::is_in_force`] says so, which is a matter of microseconds.
    pub fn add(&self, rule: Arc<Rule>) {
        let mut rules = self.shared.lock();
        rules.push(rule);
        self.changed(rules);
    }

    /// Lifts a rule.
    pub fn remove(&self, rule: &Arc<Rule>) {
        let mut rules = self.shared.lock();
        rules.retain(|one| !Arc::ptr_eq(one, rule));
        self.changed(rules);
    }

    fn changed(&self, rules: MutexGuard<'_, Vec<Arc<Rule>>>) {
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        drop(rules);
        self.wake();
    }

    /// Everything that was laid or lifted so far is so on every connection.
    pub fn is_in_force(&self) -> bool {
        let version = self.shared.version.load(Ordering::Acquire);
        self.hands.iter().all(|hand| hand.applied.load(Ordering::Acquire) >= version)
    }

    /// The faults whose rules stand now.
    pub fn faults(&self) -> BTreeSet<u32> {
        self.shared.lock().iter().map(|rule| rule.fault).collect()
    }

    fn wake(&self) {
        // A worker that can't be woken has ended.
        self.hands.iter().for_each(|hand| drop(hand.waker.wake()));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        for thread in self.threads.drain(..) {
            // What it panicked with is on the screen already.
            let _ = thread.join();
        }
    }
}
