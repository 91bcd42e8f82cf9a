//! Many connections to one broker, opened at once and held.
//!
//! Promises: each connection asks for ApiVersions and nothing else; it counts as accepted when the broker's answer has begun
//! to arrive, and as standing as long as the broker has not closed it. They are opened by a thread, for a broker whose
//! backlog is full has connections wait. Not promised: that the broker takes them all; how many it took is the evidence.
//!
//! Undo: they end with the harness.

use crate::open_files;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long one connection may take to come about. Where the backlog is full, Linux tries again after a second.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// An ApiVersions request of version 0 with its length: correlation id 0, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Files that stay for what else this process does: the load's own connections most of all, whose failures would be told as
/// the cluster's.
const FILES_KEPT: u64 = 512;

/// All storms of a run.
#[derive(Debug, Default)]
pub(super) struct Storms {
    storms: BTreeMap<(u32, String), Storm>,
}

#[derive(Debug)]
struct Storm {
    wanted: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    sockets: Mutex<Sockets>,
    /// No more are to be opened.
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Sockets {
    open: Vec<Socket>,
    tried: u16,
    /// Closed by the broker.
    closed: u16,
    last_error: Option<String>,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    answered: bool,
}

impl Storms {
    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        wanted: u16,
        broker: SocketAddr,
    ) -> io::Result<()> {
        let stands = |storm: &&Storm| !storm.state.ended.load(Ordering::Relaxed);
        let standing = self.storms.values().filter(stands).map(|storm| u64::from(storm.wanted));
        has_room(u64::from(wanted) + standing.sum::<u64>(), open_files::raise())?;
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::Builder::new()
            .name("storm".to_string())
            .spawn(move || open_all(broker, wanted, &shared))?;
        self.storms.insert((fault, node.to_string()), Storm { wanted, state });
        Ok(())
    }

    pub fn heal(&mut self, fault: u32, node: &str) {
        let Some(storm) = self.storms.get(&(fault, node.to_string())) else { return };
        storm.state.ended.store(true, Ordering::Relaxed);
        let mut sockets = storm.state.sockets.lock().expect("no holder of this lock panics");
        sockets.look();
        sockets.open.clear();
    }

    pub fn in_effect(&self, fault: u32, node: &str) -> Result<String, String> {
        let Some(storm) = self.storms.get(&(fault, node.to_string())) else {
            return Err("nothing was done to it".to_string());
        };
        let mut sockets = storm.state.sockets.lock().expect("no holder of this lock panics");
        sockets.look();
        let answered = sockets.open.iter().filter(|socket| socket.answered).count();
        let mut told = format!(
            "{} of {} connections stand, {answered} of them were answered",
            sockets.open.len(),
            storm.wanted
        );
        if let Some(error) = &sockets.last_error {
            told.push_str(&format!("; the last one that did not come about: {error}"));
        }
        // Those that stand and were not answered yet are waited for.
        let all = sockets.tried == storm.wanted && answered == sockets.open.len();
        if all && answered > 0 { Ok(told) } else { Err(told) }
    }

    pub fn over(&self, fault: u32, node: &str) -> Result<String, String> {
        let Some(storm) = self.storms.get(&(fault, node.to_string())) else {
            return Ok("nothing was done to it".to_string());
        };
        let sockets = storm.state.sockets.lock().expect("no holder of this lock panics");
        match sockets.open.len() {
            0 => Ok(format!("all are closed, {} of them by the broker before", sockets.closed)),
            left => Err(format!("{left} are open")),
        }
    }
}

impl Drop for Storms {
    fn drop(&mut self) {
        for storm in self.storms.values() {
            storm.state.ended.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether so many sockets can be open at one time beside everything else.
fn has_room(sockets: u64, files_max: Option<u64>) -> io::Result<()> {
    match files_max {
        Some(max) if sockets + FILES_KEPT > max => Err(io::Error::other(format!(
            "highwater may have {max} files open (`ulimit -Hn`) and needs {FILES_KEPT} of them for itself: too few for {sockets} connections at a time"
        ))),
        _ => Ok(()),
    }
}

fn open_all(broker: SocketAddr, wanted: u16, state: &State) {
    for _ in 0..wanted {
        let opened = open(broker);
        let mut sockets = state.sockets.lock().expect("no holder of this lock panics");
        // Under the lock, so that nothing is opened behind the back of whoever ends it.
        if state.ended.load(Ordering::Relaxed) {
            return;
        }
        sockets.tried += 1;
        match opened {
            Ok(stream) => sockets.open.push(Socket { stream, answered: false }),
            Err(error) => sockets.last_error = Some(error.to_string()),
        }
    }
}

fn open(broker: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&broker, CONNECT_WAIT)?;
    stream.write_all(&API_VERSIONS)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Sockets {
    /// Which ones were answered, and which ones the broker has closed.
    fn look(&mut self) {
        let before = self.open.len();
        self.open.retain_mut(|socket| {
            let mut buffer = [0; 4096];
            loop {
                match socket.stream.read(&mut buffer) {
                    Ok(0) => return false,
                    Ok(_) => socket.answered = true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
        });
        self.closed += (before - self.open.len()) as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Asks until the answer is the one that is waited for.
    fn wait_for(mut look: impl FnMut() -> Result<String, String>) -> String {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match look() {
                Ok(told) => return told,
                Err(told) => assert!(std::time::Instant::now() < deadline, "{told}"),
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    #[test]
    fn connections_count_when_they_were_answered_and_are_closed_when_it_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let broker = listener.local_addr().expect("bound");
        // Answers four of five, and holds each until the other side closes it.
        let server = std::thread::spawn(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            for number in 0..5 {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = [0; 14];
                stream.read_exact(&mut request).expect("a request");
                assert_eq!(request, API_VERSIONS);
                if number < 4 {
                    stream.write_all(&[0, 0, 0, 0]).expect("it is open");
                    held.push(stream);
                }
            }
            for mut stream in held {
                assert_eq!(stream.read(&mut [0; 1]).expect("closed in order"), 0);
            }
        });
        let mut storms = Storms::default();
        storms.inject(1, "n1", 5, broker).expect("a thread");
        let told = wait_for(|| {
            let told = storms.in_effect(1, "n1")?;
            if told.starts_with("4 of 5") { Ok(told) } else { Err(told) }
        });
        assert_eq!(told, "4 of 5 connections stand, 4 of them were answered");
        assert_eq!(storms.over(1, "n1").unwrap_err(), "4 are open");
        storms.heal(1, "n1");
        assert_eq!(storms.over(1, "n1").unwrap(), "all are closed, 1 of them by the broker before");
        server.join().expect("it saw them all closed");
    }

    #[test]
    fn a_storm_leaves_files_for_everybody_else() {
        assert!(has_room(10_000, None).is_ok() && has_room(512, Some(1024)).is_ok());
        let told = has_room(513, Some(1024)).unwrap_err().to_string();
        assert!(told.contains("may have 1024 files open"), "{told}");
    }

    #[test]
    fn a_storm_that_nobody_answers_is_not_in_effect() {
        let broker = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let mut storms = Storms::default();
        storms.inject(1, "n1", 2, broker.expect("a port that nobody listens on")).unwrap();
        wait_for(|| match storms.in_effect(1, "n1") {
            Err(told) if told.contains("did not come about") => Ok(told),
            other => Err(format!("{other:?}")),
        });
        storms.heal(1, "n1");
        assert!(storms.over(1, "n1").is_ok());
    }
}
