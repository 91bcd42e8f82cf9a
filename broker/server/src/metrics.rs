//! `GET /metrics`: a node's numbers for Prometheus, on a listener of their own.
//!
//! Promises: whoever connects, and whatever is sent, costs the node nothing but a look at itself, at most every
//! [`FRESH_MAX`]; as many connections as there are threads are answered at a time, each within [`WITHIN`] and with at
//! most [`HEAD_BYTES_MAX`] read; a node that is too busy to look at itself is told as 503, not by old numbers. Not
//! promised: TLS, keep-alive, compression, anything but this one path.

mod http;
mod text;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::Waker;
use node::metrics::Metrics;
use node::step::{Endpoint, Severity};

use crate::say::say;
use http::{Asked, HEAD_BYTES_MAX};

/// Connections that are answered at a time; the others wait in the system's own, bounded queue.
const THREADS: usize = 2;
/// Longest that one connection may take.
const WITHIN: Duration = Duration::from_secs(1);
/// Longest that the node may take to look at itself.
const LOOK_WITHIN: Duration = Duration::from_millis(500);
/// Numbers of this age are told again: a flood of requests is not the node's business.
const FRESH_MAX: Duration = Duration::from_millis(100);
/// Wait after the system had no descriptor for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Somebody wants to know the node's numbers.
type Question = SyncSender<Metrics>;

/// The owner's end: what is asked, to be answered between two steps.
pub struct Questions(Receiver<Question>);

impl Questions {
    /// Answers all that is asked now with one look.
    pub fn answer(&self, look: impl FnOnce() -> Metrics) {
        let Ok(first) = self.0.try_recv() else { return };
        let metrics = look();
        for question in std::iter::once(first).chain(self.0.try_iter()) {
            // Who asked may have given up.
            let _ = question.try_send(metrics.clone());
        }
    }
}

/// Listens, and answers from threads of its own. `waker` ends the owner's wait.
pub fn start(at: &Endpoint, waker: Arc<Waker>) -> anyhow::Result<Questions> {
    let listener = bind(at).with_context(|| {
        format!(
            "cannot listen on {}:{} for metrics; choose another address in highwater.metrics.listener, or leave it out",
            at.host, at.port
        )
    })?;
    let address = listener.local_addr().context("cannot tell the metrics listener's address")?;
    let (sender, questions) = channel();
    let node = Arc::new(Asker { sender, waker, known: Mutex::new(None) });
    let listener = Arc::new(listener);
    for index in 0..THREADS {
        let (listener, node) = (listener.clone(), node.clone());
        std::thread::Builder::new()
            .name(format!("metrics-{index}"))
            .stack_size(128 * 1024)
            .spawn(move || serve(&listener, &node))
            .context("cannot start a thread for metrics; is a limit of threads reached?")?;
    }
    say(Severity::Info, &format!("answering GET /metrics on {address}"));
    Ok(Questions(questions))
}

fn bind(at: &Endpoint) -> std::io::Result<TcpListener> {
    let host = if at.host.is_empty() { "0.0.0.0" } else { &at.host };
    let addresses: Vec<_> = (host, at.port).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

/// The threads' end.
struct Asker {
    sender: Sender<Question>,
    waker: Arc<Waker>,
    /// What was told last, and when. Its lock is held while the node is asked: one question at a time.
    known: Mutex<Option<(Instant, String)>>,
}

impl Asker {
    /// The numbers as text; `None`: the node did not look in time.
    fn text(&self) -> Option<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, text)) = known.as_ref()
            && at.elapsed() < FRESH_MAX
        {
            return Some(text.clone());
        }
        let (question, answer) = sync_channel(1);
        self.sender.send(question).ok()?;
        self.waker.wake().ok()?;
        let text = text::of(&answer.recv_timeout(LOOK_WITHIN).ok()?);
        *known = Some((Instant::now(), text.clone()));
        Some(text)
    }
}

fn serve(listener: &TcpListener, node: &Asker) {
    loop {
        match listener.accept() {
            // Whoever can't be answered has only itself to blame.
            Ok((stream, _)) => drop(answer(stream, || node.text())),
            Err(_) => std::thread::park_timeout(ACCEPT_RETRY),
        }
    }
}

/// One request, one answer, and the end of the connection.
fn answer(mut stream: TcpStream, text: impl FnOnce() -> Option<String>) -> std::io::Result<()> {
    let deadline = Instant::now() + WITHIN;
    let asked = read_head(&mut stream, deadline)?;
    let answer = http::answer(&asked, text);
    let mut rest = answer.as_slice();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(rest)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    stream.shutdown(Shutdown::Write)
}

fn read_head(stream: &mut TcpStream, deadline: Instant) -> std::io::Result<Asked> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    loop {
        if let Some(asked) = http::read(&head) {
            return Ok(asked);
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        let room = part.len().min(HEAD_BYTES_MAX + 1 - head.len());
        match stream.read(&mut part[..room])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&part[..count]),
        }
    }
}

/// The time that is left, which is some; an error once there is none.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests;
