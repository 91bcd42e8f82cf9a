//! The simulated network against the real one: the same little scenarios through `sim::network` and through the server's
//! own network on loopback sockets; every host must be told the same things in the same order.
//!
//! Only what both can promise is compared: what a host is told, not when, and not how the tellings of two hosts
//! interleave. Cuts, lost suffixes and dead machines have no counterpart on a loopback.
#![allow(
    clippy::disallowed_methods,
    reason = "one of the two arms is the real network, which reads the clock"
)]

#[path = "conformance_network/real_arm.rs"]
mod real_arm;
#[path = "conformance_network/sim_arm.rs"]
mod sim_arm;

use bytes::Bytes;
use node::step::{ConnId, Input, Listener};

/// The hosts by their index.
type Who = usize;
const ONE: Who = 0;
const TWO: Who = 1;

const FIRST: ConnId = ConnId(ConnId::DIALED);
const SECOND: ConnId = ConnId(ConnId::DIALED + 1);
/// The names of the first two connections at the host that was dialed.
const INBOUND: ConnId = ConnId(1);
const INBOUND_SECOND: ConnId = ConnId(2);

#[derive(Clone, Copy)]
enum Target {
    Listening(Who, Listener),
    /// A port of that host that nobody listens on.
    Closed(Who),
}

/// A world of two hosts with a network between them.
trait Arm {
    fn dial(&mut self, who: Who, conn: ConnId, to: Target);
    fn send(&mut self, who: Who, conn: ConnId, parts: Vec<Bytes>);
    fn close(&mut self, who: Who, conn: ConnId);
    fn process_dies(&mut self, who: Who);
    /// Lets the network work until a host was told so many things in all.
    fn until(&mut self, who: Who, count: usize);
    /// Lets the network work until nothing is under way any more.
    fn until_quiet(&mut self);
    /// Everything that a host was told.
    fn told(&self, who: Who) -> Vec<String>;
}

fn name(input: &Input) -> String {
    match input {
        Input::Opened { conn, listener, .. } => format!("opened {} at {listener:?}", conn.0),
        Input::Dialed { conn } => format!("dialed {:x}", conn.0),
        Input::DialFailed { conn, refused } => format!("failed {:x} refused={refused}", conn.0),
        Input::Frame { conn, bytes } => format!("frame {:x} {}", conn.0, digest(bytes)),
        Input::Closed { conn } => format!("closed {:x}", conn.0),
        other => panic!("a network does not say {other:?}"),
    }
}

fn digest(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
    format!("{} bytes {sum:x}", bytes.len())
}

/// A frame whose bytes differ from place to place.
fn frame(len: usize) -> Bytes {
    (0..len).map(|i| (i * 7 + i / 251 + len) as u8).collect::<Vec<u8>>().into()
}

/// Carries a scenario out on both arms, on the simulated one in several weathers.
fn on_both(scenario: impl Fn(&mut dyn Arm), expected: [&[&str]; 2]) {
    let mut real = real_arm::RealArm::new();
    scenario(&mut real);
    real.until_quiet();
    let told = [real.told(ONE), real.told(TWO)];
    for who in [ONE, TWO] {
        let kinds: Vec<&str> =
            told[who].iter().map(|told| told.split(' ').next().expect("a word")).collect();
        assert_eq!(kinds, expected[who], "the real network, host {who}");
    }
    for seed in 0..20 {
        let mut simulated = sim_arm::SimArm::new(seed);
        scenario(&mut simulated);
        simulated.until_quiet();
        assert_eq!([simulated.told(ONE), simulated.told(TWO)], told, "simulated, seed {seed}");
    }
}

/// One dials two, and both know.
fn connect(arm: &mut dyn Arm) {
    arm.dial(ONE, FIRST, Target::Listening(TWO, Listener::Broker));
    arm.until(ONE, 1);
    arm.until(TWO, 1);
}

#[test]
fn dialing_a_port_that_listens() {
    on_both(connect, [&["dialed"], &["opened"]]);
}

#[test]
fn dialing_both_listeners() {
    on_both(
        |arm| {
            connect(arm);
            arm.dial(ONE, SECOND, Target::Listening(TWO, Listener::Controller));
            arm.until(TWO, 2);
            arm.until(ONE, 2);
        },
        [&["dialed", "dialed"], &["opened", "opened"]],
    );
}

#[test]
fn dialing_a_closed_port_is_refused() {
    on_both(
        |arm| {
            arm.dial(ONE, FIRST, Target::Closed(TWO));
            arm.until(ONE, 1);
            arm.send(ONE, FIRST, vec![frame(10)]);
        },
        [&["failed"], &[]],
    );
}

#[test]
fn dialing_a_process_that_died_is_refused() {
    on_both(
        |arm| {
            arm.process_dies(TWO);
            arm.dial(ONE, FIRST, Target::Listening(TWO, Listener::Broker));
            arm.until(ONE, 1);
        },
        [&["failed"], &[]],
    );
}

#[test]
fn a_frame_goes_there_and_one_comes_back() {
    on_both(
        |arm| {
            connect(arm);
            arm.send(ONE, FIRST, vec![frame(3), frame(0), frame(70)]);
            arm.until(TWO, 2);
            arm.send(TWO, INBOUND, vec![frame(5)]);
            arm.until(ONE, 2);
            arm.send(ONE, FIRST, vec![]);
            arm.until(TWO, 3);
        },
        [&["dialed", "frame"], &["opened", "frame", "frame"]],
    );
}

#[test]
fn frames_sent_before_the_connection_is_up_come_in_order() {
    on_both(
        |arm| {
            arm.dial(ONE, FIRST, Target::Listening(TWO, Listener::Broker));
            arm.send(ONE, FIRST, vec![frame(1)]);
            arm.send(ONE, FIRST, vec![frame(2)]);
            arm.until(ONE, 1);
            arm.send(ONE, FIRST, vec![frame(3)]);
            arm.until(TWO, 4);
        },
        [&["dialed"], &["opened", "frame", "frame", "frame"]],
    );
}

#[test]
fn large_frames_come_whole_in_the_midst_of_small_ones() {
    on_both(
        |arm| {
            connect(arm);
            for len in [4, 3_000_000, 0, 1_048_576, 40_000, 1] {
                let body = frame(len);
                let at = len / 3;
                arm.send(ONE, FIRST, vec![body.slice(..at), body.slice(at..)]);
            }
            arm.until(TWO, 7);
        },
        [&["dialed"], &["opened", "frame", "frame", "frame", "frame", "frame", "frame"]],
    );
}

#[test]
fn many_frames_on_two_connections_do_not_mix() {
    let mut expected = vec!["frame"; 202];
    expected[..2].fill("opened");
    on_both(
        |arm| {
            connect(arm);
            arm.dial(ONE, SECOND, Target::Listening(TWO, Listener::Broker));
            arm.until(ONE, 2);
            arm.until(TWO, 2);
            // One after the other: how two connections interleave is nobody's promise.
            for (conn, count) in [(FIRST, 100), (SECOND, 200)] {
                (0..100).for_each(|len| arm.send(ONE, conn, vec![frame(len)]));
                arm.until(TWO, 2 + count);
            }
        },
        [&["dialed", "dialed"], &expected],
    );
}

#[test]
fn frames_sent_before_a_close_come_before_its_news() {
    on_both(
        |arm| {
            connect(arm);
            for len in [10, 200_000, 20] {
                arm.send(TWO, INBOUND, vec![frame(len)]);
            }
            arm.close(TWO, INBOUND);
            arm.until(ONE, 5);
        },
        [&["dialed", "frame", "frame", "frame", "closed"], &["opened"]],
    );
}

#[test]
fn the_dialer_closes_and_is_not_told_so_itself() {
    on_both(
        |arm| {
            connect(arm);
            arm.send(ONE, FIRST, vec![frame(9)]);
            arm.close(ONE, FIRST);
            arm.until(TWO, 3);
        },
        [&["dialed"], &["opened", "frame", "closed"]],
    );
}

#[test]
fn the_dialer_closes_as_soon_as_it_is_up() {
    on_both(
        |arm| {
            arm.dial(ONE, FIRST, Target::Listening(TWO, Listener::Broker));
            arm.until(ONE, 1);
            arm.send(ONE, FIRST, vec![frame(9)]);
            arm.close(ONE, FIRST);
            arm.until(TWO, 3);
        },
        [&["dialed"], &["opened", "frame", "closed"]],
    );
}

#[test]
fn both_close_and_neither_is_told() {
    on_both(
        |arm| {
            connect(arm);
            arm.close(ONE, FIRST);
            arm.close(TWO, INBOUND);
        },
        [&["dialed"], &["opened"]],
    );
}

#[test]
fn the_peers_process_dies() {
    on_both(
        |arm| {
            connect(arm);
            arm.send(TWO, INBOUND, vec![frame(9)]);
            arm.until(ONE, 2);
            arm.process_dies(TWO);
            arm.until(ONE, 3);
        },
        [&["dialed", "frame", "closed"], &["opened"]],
    );
}

#[test]
fn the_dialers_process_dies() {
    on_both(
        |arm| {
            connect(arm);
            arm.dial(ONE, SECOND, Target::Listening(TWO, Listener::Broker));
            arm.until(TWO, 2);
            arm.until(ONE, 2);
            arm.close(TWO, INBOUND_SECOND);
            arm.until(ONE, 3);
            arm.process_dies(ONE);
            arm.until(TWO, 3);
        },
        [&["dialed", "dialed", "closed"], &["opened", "opened", "closed"]],
    );
}

#[test]
fn a_frame_sent_to_a_closed_peer_is_lost_without_another_word() {
    on_both(
        |arm| {
            connect(arm);
            arm.close(TWO, INBOUND);
            arm.send(ONE, FIRST, vec![frame(9)]);
            arm.until(ONE, 2);
            arm.send(ONE, FIRST, vec![frame(9)]);
        },
        [&["dialed", "closed"], &["opened"]],
    );
}

/// The real sockets never hold all of that frame, the simulated ones may: there it comes whole or not at all.
#[test]
fn a_frame_cut_short_by_its_senders_death_is_not_delivered() {
    let scenario = |arm: &mut dyn Arm| {
        connect(arm);
        arm.send(ONE, FIRST, vec![frame(60_000_000)]);
        arm.process_dies(ONE);
        arm.until(TWO, 2);
        arm.until_quiet();
    };
    let mut real = real_arm::RealArm::new();
    scenario(&mut real);
    assert_eq!(real.told(TWO), ["opened 1 at Broker", "closed 1"]);
    let mut cut_short = 0;
    for seed in 0..8 {
        let mut simulated = sim_arm::SimArm::new(seed);
        scenario(&mut simulated);
        let mut told = simulated.told(TWO);
        cut_short += usize::from(told.len() == 2);
        told.retain(|told| !told.starts_with("frame 1 60000000 bytes"));
        assert_eq!(told, real.told(TWO), "simulated, seed {seed}");
    }
    assert!(cut_short > 0, "no seed did as the real network does");
}
