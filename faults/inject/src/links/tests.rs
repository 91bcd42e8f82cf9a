//! Link faults on a broker that is none: laid, proved, lifted, proved gone.

use super::*;
use crate::{Injector, Nodes, UndoLog};
use kafka_protocol::messages::ApiKey;
use plan::deed::{Direction, Needs};
use plan::link::names::{APIS, ERRORS, REFUSABLE};
use plan::link::{Api, Distribution};
use plan::target::{Action, Event, Expect};
use plan::{Bytes, Deed, Millis};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

struct Cluster {
    proxies: Proxies,
    _dir: tempfile::TempDir,
    injector: Option<Injector>,
}

impl Nodes for Cluster {
    fn pid(&self, _: &str) -> Option<u32> {
        None
    }
    fn start(&mut self, _: &str) -> io::Result<u32> {
        Err(io::Error::other("nobody"))
    }
    fn data_dir(&self, _: &str) -> PathBuf {
        PathBuf::new()
    }
    fn format(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn proxies(&self) -> Option<&Proxies> {
        Some(&self.proxies)
    }
}

/// Answers every request with its correlation id and 400 bytes.
fn broker() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || while answer(&mut stream).is_ok() {});
        }
    });
    address
}

fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame)?;
    stream.write_all(&[&404u32.to_be_bytes()[..], &frame[4..8], &[0; 400]].concat())
}

fn cluster() -> Cluster {
    let brokers: Vec<Broker> = (1..=3)
        .map(|id| {
            let (clients, brokers, ports) = (broker(), None, [0; 2]);
            Broker { name: format!("n{id}"), id, clients, brokers, ports }
        })
        .collect();
    let dialer: Dialer = |name| name.strip_prefix("highwater-")?.parse().ok();
    let proxies = Proxies::start(&brokers, dialer, |id| format!("highwater-{id}"), 7).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let injector = Injector::new(UndoLog::create(dir.path()).unwrap(), 1);
    Cluster { proxies, _dir: dir, injector: Some(injector) }
}

impl Cluster {
    fn act(&mut self, action: Action) -> Event {
        let mut injector = self.injector.take().unwrap();
        let event = injector.act(&action, self);
        self.injector = Some(injector);
        event
    }

    fn inject(&mut self, fault: u32, link: Link, peers: &[Peer]) {
        let (node, deed) = ("n1".to_string(), Deed::Link(link));
        let event = self.act(Action::Inject { fault, node, deed, peers: peers.to_vec() });
        assert!(matches!(event, Event::Done { .. }), "{event:?}");
    }

    /// The evidence, once the probe has it.
    fn until(&mut self, fault: u32, expect: Expect) -> String {
        let begun = Instant::now();
        loop {
            let node = "n1".to_string();
            match self.act(Action::Probe { fault, node, expect }) {
                Event::Confirmed { evidence, .. } | Event::Cleared { evidence, .. } => {
                    return evidence;
                }
                Event::NotConfirmed { evidence, .. } | Event::NotCleared { evidence, .. } => {
                    assert!(begun.elapsed() < Duration::from_secs(60), "{evidence}");
                }
                other => panic!("{other:?}"),
            }
            std::thread::yield_now();
        }
    }

    fn heal(&mut self, fault: u32) {
        let event = self.act(Action::Heal { fault, node: "n1".to_string() });
        assert!(matches!(event, Event::Done { .. }), "{event:?}");
    }
}

fn delay(ms: u64) -> Link {
    let (distribution, direction) = (Distribution::Uniform, Direction::Both);
    Link::Delay { delay: Millis(ms), spread: Millis(0), distribution, direction }
}

#[test]
fn each_link_fault_is_met_by_our_own_connection_and_is_over_when_it_is_lifted() {
    let faults = [
        (delay(60), "through the proxy: a round trip took"),
        (Link::Rate { bytes_per_second: Bytes(20_000) }, "at 20000 B/s"),
        (Link::Reset { again: None }, "then a reset (ECONNRESET)"),
        (Link::HalfOpen, "no answer in"),
        (Link::Slice { bytes: Bytes(50), pause: Millis(1) }, "slices"),
        (Link::LimitBytes { bytes: Bytes(5_000) }, "closed at the limit"),
        (Link::Loss { percent: 30, stop: Millis(20) }, "s stopped"),
    ];
    for peers in [vec![Peer::Clients], vec![Peer::Node("n2".into()), Peer::Node("n3".into())]] {
        for (link, expected) in &faults {
            let mut cluster = cluster();
            cluster.inject(1, *link, &peers);
            let evidence = cluster.until(1, Expect::InEffect);
            assert!(evidence.contains(expected), "{evidence}");
            cluster.heal(1);
            let evidence = cluster.until(1, Expect::Over);
            assert!(evidence.contains("a round trip took"), "{evidence}");
        }
    }
}

#[test]
fn faults_on_one_link_are_lifted_in_any_order() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let mut cluster = cluster();
        let peers = [Peer::Clients];
        cluster.inject(1, delay(40), &peers);
        cluster.until(1, Expect::InEffect);
        cluster.inject(2, Link::HalfOpen, &peers);
        cluster.until(2, Expect::InEffect);
        cluster.inject(3, Link::Slice { bytes: Bytes(50), pause: Millis(1) }, &peers);
        for fault in order {
            cluster.heal(fault);
            cluster.until(fault, Expect::Over);
        }
        assert!(cluster.proxies.proxy.faults().is_empty());
    }
}

#[test]
fn a_protocol_fault_that_no_frame_has_met_is_not_confirmed() {
    let mut cluster = cluster();
    let api = Api::PRODUCE;
    cluster.inject(1, Link::LoseResponse { api, percent: 100 }, &[Peer::Clients]);
    let probe = |cluster: &mut Cluster| {
        let (fault, node, expect) = (1, "n1".to_string(), Expect::InEffect);
        cluster.act(Action::Probe { fault, node, expect })
    };
    for _ in 0..50 {
        assert!(matches!(probe(&mut cluster), Event::NotConfirmed { .. }));
    }
    let at = cluster.proxies.clients(1).unwrap();
    let mut client = TcpStream::connect(at).unwrap();
    let body = [0, 0, 0, 9, 0, 0, 0, 5, 0, 1, b'c', 0, 0, 0xff, 0xff, 0, 0, 0, 1, 1, 0];
    client.write_all(&[&(body.len() as u32).to_be_bytes()[..], &body].concat()).unwrap();
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "closed without an answer");
    assert_eq!(cluster.until(1, Expect::InEffect), "1 responses of produce were lost");
}

#[test]
fn a_node_without_proxies_is_told_apart() {
    let mut cluster = cluster();
    let (node, deed) = ("n9".to_string(), Deed::Link(Link::HalfOpen));
    let event = cluster.act(Action::Inject { fault: 1, node, deed, peers: vec![Peer::Clients] });
    assert!(matches!(&event, Event::Failed { error, .. } if error.contains("n9")), "{event:?}");
}

#[test]
fn names_are_kafkas_own() {
    for api in APIS {
        let key = ApiKey::try_from(api.key).unwrap_or_else(|()| panic!("{}", api.name));
        let joined: String = api.name.split('-').collect();
        assert_eq!(format!("{key:?}").to_lowercase(), joined);
    }
    let keys: Vec<i16> = REFUSABLE.iter().map(|name| Api::named(name).unwrap().key).collect();
    assert_eq!(keys, proxy::refusable().collect::<Vec<i16>>());
    for error in ERRORS {
        let known = kafka_protocol::ResponseError::try_from_code(error.code).unwrap();
        assert_eq!(format!("{known:?}").to_lowercase(), error.name.replace('_', "").to_lowercase());
    }
    assert_eq!(Needs::Proxy.deeds().count(), 11);
}
