use super::*;
use std::collections::BTreeSet;

mod breaks;
mod dialing;
mod streams;

pub(super) const MS: u64 = 1_000_000;
const DIALED: ConnId = ConnId(ConnId::DIALED);
const A: Host = Host(1);
const B: Host = Host(2);
const C: Host = Host(3);

/// Fine weather.
pub(super) fn settings() -> scenario::Network {
    scenario::Network {
        delay_us_min: 100,
        delay_us_mean: 200,
        split_frames: false,
        reset_per_million: 0,
        clog_per_million: 0,
        clog_ms_max: 0,
        dial_timeout_ms: 10_000,
    }
}

/// A network and what its hosts were told.
struct Bench {
    network: Network,
    now_ns: u64,
    told: Vec<(Host, Input)>,
    dialed: u64,
}

impl Bench {
    fn new(settings: scenario::Network, seed: u64) -> Bench {
        let mut network = Network::new(settings, Random::new(seed, "network"));
        for host in [A, B, C] {
            network.listen(host, 9000, Listener::Broker);
        }
        Bench { network, now_ns: 0, told: Vec::new(), dialed: 0 }
    }

    fn fine() -> Bench {
        Bench::new(settings(), 1)
    }

    /// A connection from A to B, both told.
    fn connected(settings: scenario::Network, seed: u64) -> Bench {
        let mut bench = Bench::new(settings, seed);
        bench.network.dial(0, A, DIALED, Some((B, 9000)));
        bench.pass_ms(5_000);
        assert_eq!(bench.told_to(A), ["dialed"]);
        assert_eq!(bench.told_to(B), ["opened 1 by n1"]);
        bench.told.clear();
        bench
    }

    /// One more connection; the answer is the dialer's name for it.
    fn connect(&mut self, from: Host, to: Host) -> ConnId {
        self.dialed += 1;
        let conn = ConnId(ConnId::DIALED + self.dialed);
        self.network.dial(self.now_ns, from, conn, Some((to, 9000)));
        conn
    }

    fn send(&mut self, from: Host, conn: ConnId, frame: &'static str) {
        self.network.send(self.now_ns, from, conn, vec![Bytes::from_static(frame.as_bytes())]);
    }

    fn close(&mut self, from: Host, conn: ConnId) {
        self.network.close(self.now_ns, from, conn);
    }

    /// Lets everything happen that is due in that time, each thing at its own.
    fn pass_ms(&mut self, ms: u64) {
        self.pass_ns(ms * MS);
    }

    fn pass_ns(&mut self, ns: u64) {
        let until_ns = self.now_ns + ns;
        while let Some(next_ns) = self.network.next_ns().filter(|next_ns| *next_ns <= until_ns) {
            self.now_ns = self.now_ns.max(next_ns);
            let before = self.told.len();
            self.network.advance(self.now_ns, &mut self.told);
            let rest = self.network.next_ns();
            assert!(rest.is_none_or(|rest| rest > self.now_ns), "it was not all that was due");
            assert!(self.told.len() - before <= 100, "too much at once");
        }
        self.now_ns = until_ns;
    }

    /// Until somebody is told something.
    fn until_told(&mut self) {
        while self.told.is_empty() {
            self.now_ns = self.network.next_ns().expect("something under way");
            self.network.advance(self.now_ns, &mut self.told);
        }
    }

    fn told_to(&self, host: Host) -> Vec<String> {
        self.told.iter().filter(|(to, _)| *to == host).map(|(_, input)| name(input)).collect()
    }

    /// What was told, and forgets it.
    fn take(&mut self, host: Host) -> Vec<String> {
        let told = self.told_to(host);
        self.told.retain(|(to, _)| *to != host);
        told
    }
}

fn name(input: &Input) -> String {
    match input {
        Input::Opened { conn, peer_host, .. } => format!("opened {} by {peer_host}", conn.0),
        Input::Dialed { .. } => "dialed".into(),
        Input::DialFailed { refused: true, .. } => "refused".into(),
        Input::DialFailed { .. } => "failed".into(),
        Input::Frame { bytes, .. } => String::from_utf8_lossy(bytes).into_owned(),
        Input::Closed { .. } => "closed".into(),
        other => panic!("the network does not say {other:?}"),
    }
}

/// Everything at once: whatever happens, the promises of the module hold.
#[test]
fn whatever_happens_frames_come_in_order_and_ends_are_told_once() {
    let mut sum = [0; 12];
    for seed in 0..60 {
        let (first, stats) = storm(seed);
        assert_eq!(first, storm(seed).0, "seed {seed} did not repeat");
        for (sum, count) in sum.iter_mut().zip(counts(&stats)) {
            *sum += count;
        }
    }
    assert!(sum.iter().all(|count| *count > 10), "a storm without {sum:?}");
}

fn counts(stats: &Stats) -> [u64; 12] {
    let Stats { dials, dials_refused, dials_timed_out, .. } = *stats;
    let Stats { frames_sent, frames_delivered, frames_lost, splits, .. } = *stats;
    let Stats { resets, clogs, half_open, blocked, given_up, .. } = *stats;
    let dialed = [dials, dials_refused, dials_timed_out];
    let sent = [frames_sent, frames_delivered, frames_lost, splits];
    let broken = [resets, clogs, half_open, blocked, given_up];
    [&dialed[..], &sent, &broken].concat().try_into().expect("twelve")
}

/// A number of connections among three hosts under every fault; the answer is what happened, as text.
fn storm(seed: u64) -> (Vec<String>, Stats) {
    let mut settings = settings();
    settings.split_frames = seed.is_multiple_of(2);
    settings.reset_per_million = 2_000;
    settings.clog_per_million = 5_000;
    settings.clog_ms_max = 300;
    settings.dial_timeout_ms = 3_000;
    let mut bench = Bench::new(settings, seed);
    let mut random = Random::new(seed, "storm");
    let mut open = Open::default();
    let mut seen = 0;
    for number in 0..1_500u32 {
        open.heed(&bench.told[seen..]);
        seen = bench.told.len();
        let host = [A, B, C][random.below(3) as usize];
        let other = [B, C, A][random.below(3) as usize];
        let now_ns = bench.now_ns;
        match random.below(220) {
            0..25 => {
                let conn = bench.connect(host, other);
                open.dialing.insert((host, conn));
            }
            25..180 => open.send(&mut bench, &mut random, number),
            180..190 => open.close(&mut bench, &mut random),
            190..194 => bench.network.cut(host, other),
            194..202 => bench.network.mend(host, other),
            202..204 => bench.network.reset_all(now_ns, host),
            204..206 => {
                bench.network.forget_all(now_ns, host);
            }
            206..208 => {
                bench.network.process_died(now_ns, host);
                open.died(host);
                bench.pass_ms(random.below(100));
                bench.network.listen(host, 9000, Listener::Broker);
            }
            208..210 => {
                bench.network.machine_died(now_ns, host);
                open.died(host);
                bench.pass_ms(random.below(100));
                bench.network.machine_up(bench.now_ns, host);
                bench.network.listen(host, 9000, Listener::Broker);
            }
            210..212 => bench.network.slow(host, Some(2_000)),
            212..214 => bench.network.slow(host, None),
            214 => bench.pass_ms(40_000),
            _ => bench.pass_ms(random.below(2_000)),
        }
        if random.below(3) == 0 {
            bench.pass_ms(random.below(10));
        }
    }
    bench.network.heal(bench.now_ns);
    bench.pass_ms(60_000);
    open.heed(&bench.told[seen..]);
    open.everybody_hears_of_the_end(&mut bench);
    let told = bench.told.iter().map(|(host, input)| format!("{host} {}", name(input))).collect();
    (told, *bench.network.stats())
}

/// What the hosts believe to be open, and the last number that each was sent on each connection.
#[derive(Default)]
struct Open {
    dialing: BTreeSet<(Host, ConnId)>,
    up: BTreeMap<(Host, ConnId), u32>,
}

impl Open {
    fn heed(&mut self, told: &[(Host, Input)]) {
        for (host, input) in told {
            match input {
                Input::Dialed { conn } => {
                    assert!(self.dialing.remove(&(*host, *conn)));
                    self.up.insert((*host, *conn), 0);
                }
                Input::DialFailed { conn, .. } => assert!(self.dialing.remove(&(*host, *conn))),
                Input::Opened { conn, .. } => {
                    assert!(self.up.insert((*host, *conn), 0).is_none(), "a number came twice");
                }
                Input::Frame { conn, bytes } => {
                    let number = u32::from_be_bytes(bytes[..4].try_into().expect("a number"));
                    let last = self.up.get_mut(&(*host, *conn)).expect("an open connection");
                    assert!(number > *last, "{number} came after {last}");
                    assert!(bytes[4..].iter().all(|byte| *byte == number as u8));
                    *last = number;
                }
                Input::Closed { conn } => {
                    assert!(self.up.remove(&(*host, *conn)).is_some(), "{host} knew that");
                }
                other => panic!("the network does not say {other:?}"),
            }
        }
    }

    fn any(&self, random: &mut Random) -> Option<(Host, ConnId)> {
        let len = (self.up.len() as u64).max(1);
        self.up.keys().nth(random.below(len) as usize).copied()
    }

    fn send(&self, bench: &mut Bench, random: &mut Random, number: u32) {
        let Some((host, conn)) = self.any(random) else { return };
        let number = number + 1;
        let body = vec![number as u8; random.below(3_000) as usize];
        let parts = vec![Bytes::copy_from_slice(&number.to_be_bytes()), body.into()];
        bench.network.send(bench.now_ns, host, conn, parts);
    }

    fn close(&mut self, bench: &mut Bench, random: &mut Random) {
        let Some(end) = self.any(random) else { return };
        bench.close(end.0, end.1);
        self.up.remove(&end);
    }

    fn died(&mut self, host: Host) {
        self.up.retain(|(of, _), _| *of != host);
        self.dialing.retain(|(of, _)| *of != host);
    }

    /// In the end all processes talk once and then end; nothing may be left anywhere.
    fn everybody_hears_of_the_end(&mut self, bench: &mut Bench) {
        assert!(self.dialing.is_empty());
        let seen = bench.told.len();
        for (host, conn) in self.up.keys() {
            let parts = vec![Bytes::from_static(b"\0\x01\0\0\0")];
            bench.network.send(bench.now_ns, *host, *conn, parts);
        }
        bench.pass_ms(60_000);
        self.heed_the_last(&bench.told[seen..]);
        for host in [A, B, C] {
            bench.network.process_died(bench.now_ns, host);
        }
        bench.pass_ms(60_000);
        assert_eq!(bench.network.connections(), 0);
        assert_eq!(bench.network.frames_in_flight(), 0);
        assert_eq!(bench.network.next_ns(), None);
        assert!(bench.network.ends.is_empty());
    }

    /// After everybody has talked on a healed network, whoever still believes in a connection was answered or heard.
    fn heed_the_last(&mut self, told: &[(Host, Input)]) {
        for (host, input) in told {
            if let Input::Closed { conn } = input {
                assert!(self.up.remove(&(*host, *conn)).is_some());
            }
        }
        let heard = told.iter().filter(|(_, input)| matches!(input, Input::Frame { .. })).count();
        assert_eq!(heard, self.up.len(), "an end that believes in a connection heard nothing");
    }
}
