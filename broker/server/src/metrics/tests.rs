//! Real connections to the listener, before a node that is there, busy, or flooded.

use super::*;
use mio::{Events, Poll, Token};
use node::metrics::ControllerMetrics;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn metrics(offline_partitions: u64) -> Metrics {
    let controller = Some(ControllerMetrics { is_active: true, offline_partitions });
    Metrics { replicas: None, controller, quorum: None }
}

/// A listener, before an owner that looks at itself whenever it is woken, and counts.
fn listening(is_busy: bool) -> (SocketAddr, Arc<AtomicU64>) {
    let mut poll = Poll::new().expect("an epoll");
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let address = free.expect("a free port");
    let at = Endpoint { host: address.ip().to_string(), port: address.port() };
    let questions = start(&at, waker.clone()).expect("it listens");
    let looks = Arc::new(AtomicU64::new(0));
    let counted = looks.clone();
    std::thread::Builder::new()
        .spawn(move || {
            let _waker = waker;
            let mut events = Events::with_capacity(8);
            while poll.poll(&mut events, Some(PATIENCE)).is_ok() && !events.is_empty() {
                if !is_busy {
                    questions.answer(|| metrics(counted.fetch_add(1, Ordering::SeqCst)));
                }
            }
        })
        .expect("a thread");
    (address, looks)
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    // A reset after the answer is no answer's loss.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n";

#[test]
fn numbers_are_told() {
    let (address, _) = listening(false);
    let answer = ask(address, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\nkafka_controller_kafkacontroller_activecontrollercount 1\n"),
        "{answer}"
    );
}

#[test]
fn a_busy_node_is_told_as_such() {
    let (address, _) = listening(true);
    let answer = ask(address, GET);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(!answer.contains("kafka_"), "no old numbers: {answer}");
}

#[test]
fn who_says_nothing_or_nonsense_holds_nobody_up() {
    let (address, _) = listening(false);
    let silent: Vec<_> = (0..3 * THREADS).map(|_| TcpStream::connect(address)).collect();
    assert!(silent.iter().all(Result::is_ok));
    // They are given up one after the other, and then it is our turn.
    let answer = ask(address, GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(silent);
    assert!(ask(address, b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let endless = ask(address, &vec![b'a'; 1 << 20]);
    assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 431 "), "{endless}");
    assert_eq!(ask(address, b""), "", "nothing was asked");
    assert!(ask(address, GET).starts_with("HTTP/1.1 200 OK\r\n"), "it goes on");
}

#[test]
fn a_flood_of_requests_costs_the_node_a_few_looks() {
    let (address, looks) = listening(false);
    let begun = Instant::now();
    for _ in 0..200 {
        assert!(ask(address, GET).starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let looks_max = 1 + begun.elapsed().as_millis() / FRESH_MAX.as_millis();
    assert!(u128::from(looks.load(Ordering::SeqCst)) <= looks_max);
}
