//! Brokers that are none, and clients of sockets alone.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use highwater_proxy::{Effect, End, Links, Proxy, Route, Rule, Who};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Far above what anything takes, on a machine that is busy with other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const ERROR: i16 = 6;

/// What a broker that is none has seen.
#[derive(Default)]
pub struct Log {
    /// Requests: API, correlation, and the whole frame.
    pub requests: Mutex<Vec<(i16, i32, Vec<u8>)>>,
}

fn serve(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Sends back what comes, and ends when its client has.
pub fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut block = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut block) {
            if stream.write_all(&block[..count]).is_err() {
                return;
            }
        }
    })
}

/// Answers each request with its correlation id and a body of `body` bytes.
pub fn broker(body: usize) -> (SocketAddr, Arc<Log>) {
    let log = Arc::new(Log::default());
    let shared = log.clone();
    let address = serve(move |mut stream| {
        while let Some(frame) = frame(&mut stream) {
            let api = i16::from_be_bytes([frame[4], frame[5]]);
            let correlation = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
            shared.requests.lock().unwrap().push((api, correlation, frame));
            let answer = response(correlation, &vec![b'r'; body]);
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (address, log)
}

pub fn response(correlation: i32, body: &[u8]) -> Vec<u8> {
    let length = (4 + body.len()) as u32;
    [&length.to_be_bytes()[..], &correlation.to_be_bytes(), body].concat()
}

/// The next frame, its length in front.
pub fn frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; 4 + u32::from_be_bytes(length) as usize];
    frame[..4].copy_from_slice(&length);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

pub fn request(api: i16, version: i16, correlation: i32, client: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(api.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    bytes.extend((client.len() as i16).to_be_bytes());
    bytes.extend(client.as_bytes());
    bytes.extend(body);
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// `broker-2…` is broker 2.
pub fn dialer(name: &str) -> Option<i32> {
    let rest = name.strip_prefix("broker-")?;
    rest.split('-').next()?.parse().ok()
}

pub fn proxy(upstream: SocketAddr, who: Who) -> (Proxy, SocketAddr) {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = Proxy::start(vec![Route { node: 1, who, listen, upstream }], dialer);
    let proxy = proxy.expect("it listens");
    let at = proxy.routes()[0].listen;
    (proxy, at)
}

pub fn dial(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("somebody listens");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Lays a rule on what clients have with node 1, and waits until it is in force.
pub fn lay(proxy: &Proxy, fault: u32, effect: Effect) -> Arc<Rule> {
    lay_on(proxy, fault, 1, &[End::Clients], effect)
}

pub fn lay_on(proxy: &Proxy, fault: u32, node: i32, peers: &[End], effect: Effect) -> Arc<Rule> {
    let links = Links { node, peers: peers.iter().copied().collect::<BTreeSet<End>>() };
    let rule = Arc::new(Rule::new(fault, links, effect, 42));
    proxy.add(rule.clone());
    in_force(proxy);
    rule
}

pub fn lift(proxy: &Proxy, rule: &Arc<Rule>) {
    proxy.remove(rule);
    in_force(proxy);
}

fn in_force(proxy: &Proxy) {
    until("the rules are in force", || proxy.is_in_force());
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// Sends from a thread of its own and reads the same amount back.
pub fn there_and_back(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    let (mut sender, mut receiver) = (stream.try_clone().unwrap(), stream);
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(bytes).expect("it is carried"));
        let mut back = vec![0; bytes.len()];
        receiver.read_exact(&mut back).expect("it comes back");
        back
    })
}

/// The kinds of errors and ends that a reader meets, without keeping its caller.
pub fn ends(mut stream: TcpStream) -> Receiver<std::io::Result<usize>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(stream.read(&mut [0; 1024])));
    receiver
}
