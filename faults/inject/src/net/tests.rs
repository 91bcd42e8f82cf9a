//! Cuts between real namespaces, measured with sockets of the tests' own.

use super::namespace::run;
use super::world::{World, can_enter};
use crate::injector::{Injector, Nodes};
use crate::undo::UndoLog;
use plan::deed::{Connections, Cut, Direction, How};
use plan::target::{Action, Event, Expect};
use plan::{Deed, Millis, Peer};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PORT: u16 = 7000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Three nodes without processes, in a world that is this test thread's alone.
struct Bench {
    world: World,
    injector: Injector,
    _directory: tempfile::TempDir,
}

/// What the injector asks of an owner that has nothing but a network.
struct Placeless<'a>(Option<&'a World>);

impl Nodes for Placeless<'_> {
    fn pid(&self, _: &str) -> Option<u32> {
        None
    }

    fn start(&mut self, _: &str) -> io::Result<u32> {
        Err(io::Error::other("there is nothing to start"))
    }

    fn data_dir(&self, _: &str) -> PathBuf {
        PathBuf::new()
    }

    fn format(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn network(&self) -> Option<&World> {
        self.0
    }
}

fn node(number: u32) -> Peer {
    Peer::Node(format!("n{number}"))
}

impl Bench {
    fn new() -> Option<Bench> {
        let mut world = match World::enter() {
            Ok(world) => world,
            Err(error) => {
                eprintln!("skipped: {error}");
                return None;
            }
        };
        for id in 1..=3 {
            let address = world.join(&format!("n{id}"), id).unwrap();
            assert_eq!(address, Ipv4Addr::new(10, 88, 0, 10 + id as u8));
        }
        let directory = tempfile::tempdir().unwrap();
        let injector = Injector::new(UndoLog::create(directory.path()).unwrap(), 1);
        Some(Bench { world, injector, _directory: directory })
    }

    fn act(&mut self, action: Action) -> Event {
        self.injector.act(&action, &mut Placeless(Some(&self.world)))
    }

    /// Cuts n1 off and waits for the proof.
    fn cut(&mut self, fault: u32, deed: Deed, peers: &[Peer]) -> String {
        let node = "n1".to_string();
        let done = self.act(Action::Inject { fault, node, deed, peers: peers.to_vec() });
        assert!(matches!(done, Event::Done { .. }), "{done:?}");
        self.probed(fault, Expect::InEffect)
    }

    fn heal(&mut self, fault: u32) -> String {
        let done = self.act(Action::Heal { fault, node: "n1".to_string() });
        assert!(matches!(done, Event::Done { .. }), "{done:?}");
        self.probed(fault, Expect::Over)
    }

    fn probed(&mut self, fault: u32, expect: Expect) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.act(Action::Probe { fault, node: "n1".to_string(), expect }) {
                Event::Confirmed { evidence, .. } | Event::Cleared { evidence, .. } => {
                    return evidence;
                }
                other => assert!(Instant::now() < deadline, "{other:?}"),
            }
            std::thread::yield_now();
        }
    }

    /// Whether a datagram gets from one place to the other: it does, or one that was sent later on a way that nobody cuts
    /// is there first.
    fn reaches(&self, from: &Peer, to: &Peer) -> bool {
        let address = self.world.address_of(to).unwrap();
        let socket = |place: &Peer| {
            let at = self.world.address_of(place).unwrap();
            self.world.inside(place, || UdpSocket::bind((at, 0))).unwrap()
        };
        let (receiver, sender, fence) = (socket(to), socket(from), socket(to));
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        for _ in 0..3 {
            sender.send_to(b"way", (address, port)).unwrap();
        }
        fence.send_to(b"end", (address, port)).unwrap();
        let mut datagram = [0; 3];
        receiver.recv_from(&mut datagram).unwrap();
        &datagram == b"way"
    }

    /// A connection between two places, both ends.
    fn connection(&self, from: &Peer, to: &Peer) -> io::Result<(TcpStream, TcpStream)> {
        let listener = self.listener(to);
        let dialled = self.dial(from, &listener, PATIENCE)?;
        let (accepted, _) = listener.accept()?;
        accepted.set_read_timeout(Some(PATIENCE))?;
        dialled.set_read_timeout(Some(PATIENCE))?;
        Ok((dialled, accepted))
    }

    fn listener(&self, at: &Peer) -> TcpListener {
        let address = self.world.address_of(at).unwrap();
        self.world.inside(at, || TcpListener::bind((address, PORT))).unwrap()
    }

    fn dial(&self, from: &Peer, to: &TcpListener, within: Duration) -> io::Result<TcpStream> {
        let to: SocketAddr = to.local_addr()?;
        self.world.inside(from, || TcpStream::connect_timeout(&to, within))
    }

    /// Tables that stand anywhere in this network.
    fn tables(&self) -> String {
        let places = [Peer::Clients, node(1), node(2), node(3)];
        let of = |place: &Peer| self.world.inside(place, || run("nft", &["list", "tables"], ""));
        places.iter().map(|place| of(place).unwrap()).collect()
    }
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    let mut byte = [0];
    from.write_all(&[7]).is_ok() && to.read_exact(&mut byte).is_ok()
}

fn cut(direction: Direction, how: How, connections: Connections) -> Deed {
    Deed::Cut(Cut { direction, how, connections })
}

#[test]
fn a_cut_in_one_direction_leaves_the_other_and_everybody_else() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2, n3) = (node(1), node(2), node(3));
    let cases = [
        (Direction::Both, false, false),
        (Direction::In, true, false),
        (Direction::Out, false, true),
    ];
    for (fault, (direction, out, back)) in (1..).zip(cases) {
        let evidence = bench.cut(fault, cut(direction, How::Drop, Connections::All), &[node(2)]);
        assert!(evidence.contains("closed, "), "{evidence}");
        assert_eq!(bench.reaches(&n1, &n2), out, "{direction:?}");
        assert_eq!(bench.reaches(&n2, &n1), back, "{direction:?}");
        assert!(bench.reaches(&n1, &n3) && bench.reaches(&n3, &n1) && bench.reaches(&n2, &n3));
        assert!(bench.reaches(&n1, &Peer::Clients) && bench.reaches(&Peer::Clients, &n1));
        let evidence = bench.heal(fault);
        assert!(evidence.contains("open again"), "{evidence}");
        assert!(bench.reaches(&n1, &n2) && bench.reaches(&n2, &n1));
        assert_eq!(bench.tables(), "");
    }
}

#[test]
fn clients_are_cut_off_like_nodes() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2) = (node(1), node(2));
    bench.cut(1, Deed::Cut(Cut::default()), &[Peer::Clients]);
    assert!(!bench.reaches(&n1, &Peer::Clients) && !bench.reaches(&Peer::Clients, &n1));
    assert!(bench.reaches(&n1, &n2) && bench.reaches(&n2, &Peer::Clients));
    bench.heal(1);
    assert!(bench.reaches(&Peer::Clients, &n1));
}

#[test]
fn an_isolated_node_reaches_itself_and_nobody_else() {
    let Some(mut bench) = Bench::new() else { return };
    let others = [node(2), node(3), Peer::Clients];
    let deed = Deed::Isolate { how: How::Drop, connections: Connections::All };
    let evidence = bench.cut(1, deed, &others);
    assert!(evidence.starts_with("6 ways closed"), "{evidence}");
    for other in &others {
        assert!(!bench.reaches(&node(1), other) && !bench.reaches(other, &node(1)), "{other}");
    }
    assert!(bench.reaches(&node(1), &node(1)) && bench.reaches(&node(2), &node(3)));
    bench.heal(1);
    assert!(others.iter().all(|other| bench.reaches(&node(1), other)));
    assert_eq!(bench.tables(), "");
}

#[test]
fn a_dropping_cut_hangs_connections_and_they_go_on_when_it_is_over() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2) = (node(1), node(2));
    let (mut near, mut far) = bench.connection(&n1, &n2).unwrap();
    assert!(passes(&mut near, &mut far));
    bench.cut(1, Deed::Cut(Cut::default()), &[node(2)]);
    near.write_all(&[7]).unwrap();
    assert!(!bench.reaches(&n1, &n2));
    far.set_nonblocking(true).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let listener = bench.listener(&node(2));
    let dialled = bench.dial(&n1, &listener, Duration::from_millis(50));
    assert_eq!(dialled.unwrap_err().kind(), ErrorKind::TimedOut);
    bench.heal(1);
    far.set_nonblocking(false).unwrap();
    far.read_exact(&mut [0]).expect("it was sent again");
    assert!(passes(&mut near, &mut far) && passes(&mut far, &mut near));
}

#[test]
fn a_rejecting_cut_breaks_connections_and_refuses_dials() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2) = (node(1), node(2));
    let (mut near, mut far) = bench.connection(&n1, &n2).unwrap();
    assert!(passes(&mut near, &mut far));
    let deed = cut(Direction::Both, How::Reject, Connections::All);
    bench.cut(1, deed, &[node(2)]);
    near.write_all(&[7]).unwrap();
    assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let listener = bench.listener(&n2);
    let dialled = bench.dial(&n1, &listener, PATIENCE);
    assert_eq!(dialled.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    bench.heal(1);
    bench.dial(&n1, &listener, PATIENCE).expect("it is whole again");
}

#[test]
fn a_cut_of_established_connections_lets_new_ones_come_about() {
    for how in [How::Drop, How::Reject] {
        let Some(mut bench) = Bench::new() else { return };
        let (n1, n2) = (node(1), node(2));
        let (mut near, far) = bench.connection(&n1, &n2).unwrap();
        let deed = cut(Direction::Both, how, Connections::Established);
        let inject = Action::Inject { fault: 1, node: "n1".into(), deed, peers: vec![n2.clone()] };
        assert!(matches!(bench.act(inject), Event::Done { .. }));
        // Nobody has talked yet: nothing shows.
        let probe = Action::Probe { fault: 1, node: "n1".into(), expect: Expect::InEffect };
        assert!(matches!(bench.act(probe), Event::NotConfirmed { .. }));
        near.write_all(&[7]).unwrap();
        let evidence = bench.probed(1, Expect::InEffect);
        assert!(evidence.ends_with("packets of established connections met it"), "{evidence}");
        if how == How::Reject {
            assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        } else {
            far.set_nonblocking(true).unwrap();
            let error = (&far).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
        for (from, to) in [(&n1, &n2), (&n2, &n1)] {
            let (mut near, mut far) = bench.connection(from, to).unwrap();
            assert!(passes(&mut near, &mut far) && passes(&mut far, &mut near), "{how:?}");
        }
        bench.heal(1);
    }
}

#[test]
fn what_one_cut_of_established_connections_spared_is_established_to_the_next() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2) = (node(1), node(2));
    let deed = cut(Direction::Both, How::Drop, Connections::Established);
    let inject = |fault| Action::Inject { fault, node: "n1".into(), deed, peers: vec![n2.clone()] };
    bench.act(inject(1));
    let (mut near, mut far) = bench.connection(&n1, &n2).unwrap();
    assert!(passes(&mut near, &mut far));
    bench.act(inject(2));
    near.write_all(&[7]).unwrap();
    bench.probed(2, Expect::InEffect);
    far.set_nonblocking(true).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    bench.heal(2);
    far.set_nonblocking(false).unwrap();
    far.read_exact(&mut [0]).expect("to the first one it is new still");
    bench.heal(1);
}

#[test]
fn a_cut_of_new_connections_lets_established_ones_go_on() {
    for (how, kind) in
        [(How::Drop, ErrorKind::TimedOut), (How::Reject, ErrorKind::ConnectionRefused)]
    {
        let Some(mut bench) = Bench::new() else { return };
        let (n1, n2) = (node(1), node(2));
        let (mut near, mut far) = bench.connection(&n1, &n2).unwrap();
        let deed = cut(Direction::Both, how, Connections::New);
        let evidence = bench.cut(1, deed, &[node(2)]);
        assert!(evidence.ends_with("packets of dials met it"), "{evidence}");
        assert!(passes(&mut near, &mut far) && passes(&mut far, &mut near));
        let listener = bench.listener(&n2);
        let within = if how == How::Drop { Duration::from_millis(50) } else { PATIENCE };
        let dialled = bench.dial(&n1, &listener, within);
        assert_eq!(dialled.unwrap_err().kind(), kind);
        bench.heal(1);
        bench.dial(&n1, &listener, PATIENCE).expect("it is whole again");
    }
}

#[test]
fn cuts_stack_and_are_lifted_in_any_order() {
    for order in [[1, 2], [2, 1]] {
        let Some(mut bench) = Bench::new() else { return };
        let (n1, n2, n3) = (node(1), node(2), node(3));
        let evidence = bench.cut(1, Deed::Cut(Cut::default()), &[node(2)]);
        assert!(evidence.starts_with("2 ways closed"), "{evidence}");
        let deed = Deed::Isolate { how: How::Reject, connections: Connections::All };
        let evidence = bench.cut(2, deed, &[n2.clone(), n3.clone(), Peer::Clients]);
        assert!(evidence.starts_with("6 ways closed"), "{evidence}");
        let evidence = bench.heal(order[0]);
        let still = format!("n1 → n2 still cut by fault {}", order[1]);
        assert!(evidence.contains(&still), "{evidence}");
        assert!(!bench.reaches(&n1, &n2) && !bench.reaches(&n2, &n1));
        assert_eq!(bench.reaches(&n1, &n3), order[0] == 2);
        bench.heal(order[1]);
        assert!(bench.reaches(&n1, &n2) && bench.reaches(&n2, &n1) && bench.reaches(&n1, &n3));
        assert_eq!(bench.tables(), "");
    }
}

#[test]
fn a_flapping_way_comes_and_goes() {
    let Some(mut bench) = Bench::new() else { return };
    let (n1, n2) = (node(1), node(2));
    bench.cut(1, Deed::Flap { on: Millis(500), off: Millis(500) }, &[node(2)]);
    for _ in 0..3 {
        assert!(!bench.reaches(&n1, &n2));
        bench.act(Action::Pulse { fault: 1, node: "n1".to_string(), on: false });
        assert!(bench.reaches(&n1, &n2));
        bench.act(Action::Pulse { fault: 1, node: "n1".to_string(), on: true });
    }
    let evidence = bench.heal(1);
    assert!(evidence.ends_with("in 4 cuts"), "{evidence}");
    assert!(bench.reaches(&n1, &n2));
    assert_eq!(bench.tables(), "");
}

#[test]
fn a_command_runs_in_its_nodes_namespace_under_the_pid_that_was_started() {
    let Some(bench) = Bench::new() else { return };
    let mut command = bench.world.command("n2", "sh").unwrap();
    let script = "echo $$; ip -brief -4 address";
    let child = command.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(printed.lines().next(), Some(pid.to_string().as_str()), "{printed}");
    assert!(printed.contains("10.88.0.12/24") && !printed.contains("10.88.0.1/24"), "{printed}");
    assert!(bench.world.command("n9", "sh").is_err());
}

#[test]
fn what_can_not_be_cut_says_why() {
    let Some(mut bench) = Bench::new() else { return };
    let inject = |peers: Vec<Peer>| Action::Inject {
        fault: 1,
        node: "n1".to_string(),
        deed: Deed::Cut(Cut::default()),
        peers,
    };
    let Event::Failed { error, .. } = bench.act(inject(vec![node(9)])) else { panic!("n9 is cut") };
    assert_eq!(error, "n9 has no namespace in this network");
    let Event::Failed { error, .. } = bench.act(inject(Vec::new())) else { panic!("nobody is") };
    assert!(error.contains("nobody"), "{error}");
    let answer = bench.injector.act(&inject(vec![node(2)]), &mut Placeless(None));
    let Event::Failed { error, .. } = answer else { panic!("without a network") };
    assert!(error.contains("a namespace for each node"), "{error}");
    assert!(bench.world.join("n4", 0).is_err() && bench.world.join("n4", 300).is_err());
}

#[test]
fn the_machines_own_network_is_left_as_it_was() {
    let look = || {
        let links = run("ip", &["-oneline", "link"], "").unwrap_or_default();
        let tables = run("nft", &["list", "tables"], "").unwrap_or_default();
        (links.contains("highwater") || links.contains("hw-"), tables.contains("highwater"))
    };
    let before = look();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Some(mut bench) = Bench::new() else { return };
            bench.cut(1, Deed::Cut(Cut::default()), &[node(2), Peer::Clients]);
            // Left as it is: it vanishes with this thread.
        });
    });
    assert_eq!((before, look()), ((false, false), (false, false)));
}

#[test]
fn what_the_doctor_tries_is_what_a_run_needs() {
    match can_enter() {
        Ok(()) => std::thread::scope(|scope| {
            // As a user, only a process without other threads can enter: that is tested on its own.
            let entered = scope.spawn(|| World::enter().map(|_| ())).join().unwrap();
            if let Err(error) = entered {
                eprintln!("skipped: {error}");
            }
        }),
        Err(why) => {
            assert!(why.contains("user namespaces"), "{why}");
            eprintln!("skipped: {why}");
        }
    }
}
