//! Connections of our own, through the proxy and past it: what somebody who dials there sees.
//!
//! Promises: a probe works on a thread of its own and never keeps anybody waiting; it says what it measured. It asks
//! ApiVersions, which changes nothing and which every broker answers.

use crate::metadata::Snapshot;
use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer answers are none.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How a probe's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It stood until we had seen enough.
    ByUs,
    /// No answer within our patience, and nothing was closed.
    Silent,
    /// ECONNRESET.
    Reset,
    /// The other side closed it.
    Closed,
    /// It did not come about.
    Refused,
}

/// What a probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Round trips that came to their end.
    pub trips: u32,
    /// The longest of them.
    pub longest: Duration,
    /// All of it.
    pub took: Duration,
    pub ended: Ended,
}

impl Seen {
    pub fn is_answered(&self) -> bool {
        self.trips > 0
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        match (self.trips, self.ended) {
            (0, Ended::Silent) => write!(f, "no answer in {:.0} ms, nothing closed", ms(self.took)),
            (0, Ended::Reset) => f.write_str("reset before an answer came"),
            (0, Ended::Closed | Ended::ByUs) => f.write_str("closed before an answer came"),
            (0, Ended::Refused) => f.write_str("refused"),
            (1, Ended::ByUs) => write!(f, "a round trip took {:.1} ms", ms(self.longest)),
            (trips, ended) => {
                let (longest, took) = (ms(self.longest), ms(self.took));
                write!(f, "{trips} round trips took {took:.1} ms, the longest {longest:.1} ms")?;
                match ended {
                    Ended::Reset => f.write_str(", then a reset (ECONNRESET)"),
                    Ended::Closed => f.write_str(", then it was closed"),
                    Ended::Silent => f.write_str(", then there was silence"),
                    Ended::ByUs | Ended::Refused => Ok(()),
                }
            }
        }
    }
}

/// A probe on its way.
#[derive(Clone, Debug)]
pub struct Probe(Arc<Mutex<Option<Seen>>>);

impl Probe {
    /// Asks so many times on one connection, or until it ends. `patience`: for each answer.
    pub fn ask(at: SocketAddr, client_id: &str, trips: u32, patience: Duration) -> Probe {
        Probe::spawn(client_id, move |client_id| {
            let begun = Instant::now();
            let mut connection = match Connection::dial(at, client_id, patience) {
                Ok(connection) => connection,
                Err(_) => return nothing(begun, Ended::Refused),
            };
            connection.ask(trips, begun)
        })
    }

    /// Asks once, then calls `ready`, whatever became of it, and sees whether the connection is reset or closed.
    pub fn stand(
        at: SocketAddr,
        client_id: &str,
        patience: Duration,
        ready: impl FnOnce() + Send + 'static,
    ) -> Probe {
        Probe::spawn(client_id, move |client_id| {
            let begun = Instant::now();
            let dialled = Connection::dial(at, client_id, patience);
            let mut connection = match dialled {
                Ok(connection) => connection,
                Err(_) => {
                    ready();
                    return nothing(begun, Ended::Refused);
                }
            };
            let seen = connection.ask(1, begun);
            ready();
            if seen.ended != Ended::ByUs {
                return seen;
            }
            let ended = match connection.stream.read(&mut [0]) {
                Ok(0) => Ended::Closed,
                Ok(_) => Ended::ByUs,
                Err(error) => how(&error),
            };
            Seen { ended, took: begun.elapsed(), ..seen }
        })
    }

    /// Asks for metadata, once.
    pub fn metadata(at: SocketAddr, client_id: &str, patience: Duration) -> Probe {
        Probe::spawn(client_id, move |client_id| {
            let begun = Instant::now();
            match snapshot(at, client_id, patience) {
                Ok(_) => {
                    let took = begun.elapsed();
                    Seen { trips: 1, longest: took, took, ended: Ended::ByUs }
                }
                Err(error) => nothing(begun, how(&error)),
            }
        })
    }

    /// What it saw, once it has.
    pub fn seen(&self) -> Option<Seen> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(client_id: &str, look: impl FnOnce(&str) -> Seen + Send + 'static) -> Probe {
        let found = Arc::new(Mutex::new(None));
        let (probe, client_id) = (Probe(found.clone()), client_id.to_string());
        std::thread::spawn(move || {
            let seen = look(&client_id);
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        });
        probe
    }
}

/// What a broker tells of the cluster now.
pub fn snapshot(at: SocketAddr, client_id: &str, patience: Duration) -> io::Result<Snapshot> {
    let (api, version, body) = Snapshot::request()?;
    let mut connection = Connection::dial(at, client_id, patience)?;
    // Its header has tagged fields: none.
    Snapshot::of(connection.exchange(api, version, &[&[0], &body[..]].concat())?)
}

fn nothing(begun: Instant, ended: Ended) -> Seen {
    Seen { trips: 0, longest: Duration::ZERO, took: begun.elapsed(), ended }
}

fn how(error: &io::Error) -> Ended {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ended::Reset,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Ended::Silent,
        _ => Ended::Closed,
    }
}

struct Connection {
    stream: TcpStream,
    client_id: String,
    asked: i32,
}

impl Connection {
    fn dial(at: SocketAddr, client_id: &str, patience: Duration) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&at, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection { stream, client_id: client_id.to_string(), asked: 0 })
    }

    fn ask(&mut self, trips: u32, begun: Instant) -> Seen {
        let mut seen = nothing(begun, Ended::ByUs);
        while seen.trips < trips {
            let sent = Instant::now();
            match self.exchange(ApiKey::ApiVersions as i16, 0, &[]) {
                Ok(_) => {
                    seen.trips += 1;
                    seen.longest = seen.longest.max(sent.elapsed());
                }
                Err(error) => {
                    seen.ended = how(&error);
                    break;
                }
            }
        }
        Seen { took: begun.elapsed(), ..seen }
    }

    /// A request and its response, which begins with its header.
    fn exchange(&mut self, api: i16, version: i16, body: &[u8]) -> io::Result<Bytes> {
        self.asked += 1;
        let mut request = vec![0; 4];
        request.extend(api.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(self.asked.to_be_bytes());
        request.extend((self.client_id.len() as i16).to_be_bytes());
        request.extend(self.client_id.as_bytes());
        request.extend(body);
        let length = (request.len() - 4) as u32;
        request[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&request)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        Ok(Bytes::from(answer))
    }
}
