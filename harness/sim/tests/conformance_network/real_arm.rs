//! The real arm: one of the server's networks for each host, on loopback ports that the kernel chose.

use super::{Arm, Target, Who, name};
use bytes::Bytes;
use node::config::NodeConfig;
use node::step::{ConnId, Endpoint, Input, Listener};
use server::network::{Event, Network};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// On a loopback what is under way is there at once; a turn of both hosts without news means that there is none.
const QUIET: Duration = Duration::from_millis(30);

const CONFIG: &str = "process.roles=broker,controller\nnode.id=1\n\
    controller.quorum.voters=1@127.0.0.1:9093\ncontroller.listener.names=CONTROLLER\n\
    listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0\nlog.dirs=unused\n";

pub struct RealArm {
    hosts: [Option<RealHost>; 2],
    /// Of the broker's and the controller's listener of each host, also when it died.
    addresses: [[SocketAddr; 2]; 2],
    told: [Vec<String>; 2],
}

struct RealHost {
    network: Network,
    events: mio::Events,
    happened: Vec<Event>,
}

impl RealArm {
    pub fn new() -> RealArm {
        let (config, _) = NodeConfig::parse(CONFIG).expect("a good configuration");
        let hosts = [RealHost::new(&config), RealHost::new(&config)];
        let addresses = hosts.each_ref().map(RealHost::addresses);
        RealArm { hosts: hosts.map(Some), addresses, told: Default::default() }
    }

    /// Lets both hosts work, each for so long at most if it has nothing to do; whether anything was told.
    fn turn(&mut self, wait: Duration) -> bool {
        let mut any = false;
        for (host, told) in self.hosts.iter_mut().zip(&mut self.told) {
            let Some(host) = host else { continue };
            host.turn(wait);
            any |= !host.happened.is_empty();
            for event in host.happened.drain(..) {
                told.extend(inputs(event).iter().map(name));
            }
        }
        any
    }

    fn host(&mut self, who: Who) -> &mut RealHost {
        self.hosts[who].as_mut().expect("a process that lives")
    }
}

impl RealHost {
    fn new(config: &NodeConfig) -> RealHost {
        let network = Network::bind(config).expect("binds");
        RealHost { network, events: mio::Events::with_capacity(64), happened: Vec::new() }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [Listener::Broker, Listener::Controller]
            .map(|kind| self.network.local_address(kind).expect("bound"))
    }

    /// As the server's owner does it.
    fn turn(&mut self, wait: Duration) {
        self.network.flush(&mut self.happened);
        self.network.wait(&mut self.events, Some(wait)).expect("polls");
        let now = Instant::now();
        for event in &self.events {
            self.network.on_event(event, now, &mut self.happened);
        }
        self.network.read_ready(now, &mut self.happened);
        self.network.sweep(now, &mut self.happened);
        self.network.flush(&mut self.happened);
    }
}

impl Arm for RealArm {
    fn dial(&mut self, who: Who, conn: ConnId, to: Target) {
        let address = match to {
            Target::Listening(other, Listener::Broker) => self.addresses[other][0],
            Target::Listening(other, Listener::Controller) => self.addresses[other][1],
            Target::Closed(_) => {
                let unused = TcpListener::bind("127.0.0.1:0").expect("binds");
                unused.local_addr().expect("bound")
            }
        };
        let to = Endpoint { host: address.ip().to_string(), port: address.port() };
        let host = self.host(who);
        let lookup = host.network.dial(conn, to, Instant::now(), &mut host.happened);
        assert_eq!(lookup, None, "an address needs no lookup");
    }

    fn send(&mut self, who: Who, conn: ConnId, parts: Vec<Bytes>) {
        let host = self.host(who);
        host.network.send(conn, parts, &mut host.happened);
        host.network.flush(&mut host.happened);
    }

    fn close(&mut self, who: Who, conn: ConnId) {
        let host = self.host(who);
        host.network.close(conn);
        host.network.flush(&mut host.happened);
    }

    fn process_dies(&mut self, who: Who) {
        self.hosts[who] = None;
    }

    fn until(&mut self, who: Who, count: usize) {
        let started = Instant::now();
        while self.told[who].len() < count {
            self.turn(Duration::from_millis(1));
            let told = &self.told[who];
            assert!(started.elapsed() < PATIENCE, "host {who} was told no more than {told:?}");
        }
    }

    fn until_quiet(&mut self) {
        while self.turn(QUIET) {}
    }

    fn told(&self, who: Who) -> Vec<String> {
        self.told[who].clone()
    }
}

fn inputs(event: Event) -> Vec<Input> {
    match event {
        Event::Opened { conn, listener, peer_host } => {
            vec![Input::Opened { conn, listener, peer_host }]
        }
        Event::Dialed { conn } => vec![Input::Dialed { conn }],
        Event::DialFailed { conn, refused } => vec![Input::DialFailed { conn, refused }],
        Event::Frames { conn, frames } => {
            frames.into_iter().map(|bytes| Input::Frame { conn, bytes }).collect()
        }
        Event::Closed { conn } => vec![Input::Closed { conn }],
    }
}
