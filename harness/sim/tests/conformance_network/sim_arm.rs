//! The simulated arm.

use super::{Arm, Target, Who, name};
use bytes::Bytes;
use generator::random::Random;
use node::step::{ConnId, Input, Listener};
use sim::network::{Host, Network};
use sim::scenario;

pub struct SimArm {
    network: Network,
    now_ns: u64,
    heard: Vec<(Host, Input)>,
    told: [Vec<String>; 2],
}

impl SimArm {
    pub fn new(seed: u64) -> SimArm {
        let settings = scenario::Network {
            delay_us_min: 50,
            delay_us_mean: 100 + 10 * seed,
            split_frames: !seed.is_multiple_of(2),
            reset_per_million: 0,
            clog_per_million: if seed % 3 == 2 { 100_000 } else { 0 },
            clog_ms_max: 50,
            dial_timeout_ms: 10_000,
        };
        let mut network = Network::new(settings, Random::new(seed, "network"));
        for who in [super::ONE, super::TWO] {
            network.listen(host(who), port(Listener::Broker), Listener::Broker);
            network.listen(host(who), port(Listener::Controller), Listener::Controller);
        }
        SimArm { network, now_ns: 0, heard: Vec::new(), told: Default::default() }
    }

    /// Whether anything was due.
    fn turn(&mut self) -> bool {
        let Some(next_ns) = self.network.next_ns() else { return false };
        self.now_ns = next_ns;
        self.network.advance(next_ns, &mut self.heard);
        for (to, input) in self.heard.drain(..) {
            self.told[usize::from(to.0) - 1].push(name(&input));
        }
        true
    }
}

impl Arm for SimArm {
    fn dial(&mut self, who: Who, conn: ConnId, to: Target) {
        let to = match to {
            Target::Listening(other, listener) => (host(other), port(listener)),
            Target::Closed(other) => (host(other), 1),
        };
        self.network.dial(self.now_ns, host(who), conn, Some(to));
    }

    fn send(&mut self, who: Who, conn: ConnId, parts: Vec<Bytes>) {
        self.network.send(self.now_ns, host(who), conn, parts);
    }

    fn close(&mut self, who: Who, conn: ConnId) {
        self.network.close(self.now_ns, host(who), conn);
    }

    fn process_dies(&mut self, who: Who) {
        self.network.process_died(self.now_ns, host(who));
    }

    fn until(&mut self, who: Who, count: usize) {
        while self.told[who].len() < count {
            assert!(self.turn(), "host {who} was told no more than {:?}", self.told[who]);
        }
    }

    fn until_quiet(&mut self) {
        while self.turn() {}
    }

    fn told(&self, who: Who) -> Vec<String> {
        self.told[who].clone()
    }
}

fn host(who: Who) -> Host {
    Host(u16::try_from(who).expect("one of two") + 1)
}

fn port(listener: Listener) -> u16 {
    match listener {
        Listener::Broker => 9001,
        Listener::Controller => 9101,
    }
}
