//! How much the proxy carries and what it adds, beside a direct connection in the same run.
//!
//!   cargo bench -p highwater-proxy
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use highwater_proxy::{Proxy, Route, Who};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const BLOCK: usize = 256 << 10;
const BYTES: usize = 4 << 30;
const TRIPS: usize = 20_000;
const TURNS: usize = 5;

fn main() {
    // Swallows what is sent, and answers at the end; or echoes.
    let sink = serve(|mut stream| {
        let mut block = vec![0; BLOCK];
        let mut left = BYTES;
        while left > 0 {
            match stream.read(&mut block) {
                Ok(0) | Err(_) => return,
                Ok(count) => left -= count.min(left),
            }
        }
        let _ = stream.write_all(b"!");
    });
    let echo = serve(|mut stream| {
        let mut block = [0; 128];
        while stream.read_exact(&mut block).is_ok() && stream.write_all(&block).is_ok() {}
    });
    let route = |upstream| Route {
        node: 1,
        who: Who::Clients,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        upstream,
    };
    let proxy = Proxy::start(vec![route(sink), route(echo)], |_| None).expect("it listens");
    let (to_sink, to_echo) = (proxy.routes()[0].listen, proxy.routes()[1].listen);
    // By turns, so that whatever else the machine does hits both.
    let (mut direct, mut proxied) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        direct.push((carry(sink), trip(echo)));
        proxied.push((carry(to_sink), trip(to_echo)));
    }
    let best = |of: &[(f64, Duration)]| of.iter().map(|one| one.0).fold(0.0, f64::max);
    let least = |of: &[(f64, Duration)]| of.iter().map(|one| one.1).min().unwrap_or_default();
    let (a, b) = (best(&direct), best(&proxied));
    println!("throughput: direct {a:.2} GB/s, through the proxy {b:.2} GB/s, ratio {:.2}", b / a);
    let (a, b) = (least(&direct), least(&proxied));
    let ratio = b.as_secs_f64() / a.as_secs_f64();
    println!(
        "round trip (median): direct {a:?}, through the proxy {b:?}, added {:?}, ratio {ratio:.2}",
        b.saturating_sub(a)
    );
}

fn serve(answer: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// GB/s of frames as large as a full batch.
fn carry(to: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    let mut block = vec![7u8; BLOCK];
    // Frames of a Produce, one in each block.
    let head = [0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b'x', 0, 0, 0xff, 0xff];
    block[..4].copy_from_slice(&((BLOCK - 4) as u32).to_be_bytes());
    block[4..4 + head.len()].copy_from_slice(&head);
    let begun = Instant::now();
    for _ in 0..BYTES / BLOCK {
        stream.write_all(&block).expect("it is read");
    }
    stream.read_exact(&mut [0]).expect("all of it came");
    BYTES as f64 / begun.elapsed().as_secs_f64() / 1e9
}

/// The median of a small request and its answer.
fn trip(to: SocketAddr) -> Duration {
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_nodelay(true).expect("a socket");
    let mut block = [0u8; 128];
    block[3] = 124;
    let mut took: Vec<Duration> = (0..TRIPS)
        .map(|_| {
            let begun = Instant::now();
            stream.write_all(&block).expect("it is read");
            stream.read_exact(&mut block).expect("it is answered");
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}
