//! The one thread that owns the node: it turns what the world does into inputs and effects into deeds.
//!
//! Promises: the node is stepped by nobody else; all that one turn of the loop asked for is handed over together (one message to
//! each IO thread, one gathering write a connection). The thread waits for nothing but the poll.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use clock::ClockFile;
use mio::{Events, Interest};
use node::config::NodeConfig;
use node::metrics::Measured;
use node::step::{ConnId, Effect, Input, Now, Severity, Step};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::metrics::Questions;
use crate::network::{Event, Network, SIGNALS, WAKER};
use crate::say::say;
use crate::storage::{Completion, Storage};

/// How often idle connections are looked for.
const IDLE_SWEEP: Duration = Duration::from_secs(30);

pub struct Owner<N> {
    node: N,
    network: Network,
    storage: Storage,
    signals: mio::net::UnixStream,
    shutting_down: bool,
    start: Instant,
    /// What its wall clock follows; none: the machine's.
    clock: Option<ClockFile>,
    effects: Vec<Effect>,
    happened: Vec<Event>,
    exit: Option<u8>,
    /// Who wants to know the node's numbers.
    questions: Option<Questions>,
}

impl<N: Step + Measured> Owner<N> {
    pub fn new(
        node: N,
        network: Network,
        config: &NodeConfig,
        root: &Path,
        clock: Option<ClockFile>,
    ) -> anyhow::Result<Self> {
        let storage = Storage::start(root, config.highwater_io_threads, network.waker.clone())
            .context("cannot start the IO threads; is a limit of threads or memory reached?")?;
        let (mut signals, write_end) = std::os::unix::net::UnixStream::pair()
            .and_then(|(read, write)| {
                read.set_nonblocking(true)?;
                write.set_nonblocking(true)?;
                Ok((mio::net::UnixStream::from_std(read), write))
            })
            .context("cannot make a socket pair for signals")?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, write_end.try_clone()?)
                .context("cannot handle SIGTERM")?;
        }
        network.poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Owner {
            node,
            network,
            storage,
            signals,
            shutting_down: false,
            start: Instant::now(),
            clock,
            effects: Vec::new(),
            happened: Vec::new(),
            exit: None,
            questions: None,
        })
    }

    /// From here on these are answered, between two steps.
    pub fn is_asked(&mut self, questions: Option<Questions>) {
        self.questions = questions;
    }

    /// Until the node ends; the answer is the process' exit code.
    pub fn run(mut self) -> anyhow::Result<u8> {
        let mut events = Events::with_capacity(1024);
        let mut completions = Vec::new();
        let mut idle_swept = Instant::now();
        self.step(Input::Start);
        loop {
            self.settle();
            if let Some(code) = self.exit {
                return Ok(code);
            }
            self.network.wait(&mut events, self.until_deadline()).context("cannot poll")?;
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    SIGNALS => self.on_signal(),
                    _ => self.network.on_event(event, now, &mut self.happened),
                }
            }
            self.tell();
            self.network.read_ready(now, &mut self.happened);
            self.network.sweep(now, &mut self.happened);
            if now.saturating_duration_since(idle_swept) > IDLE_SWEEP {
                idle_swept = now;
                self.network.sweep_idle(now, &mut self.happened);
            }
            self.tell();
            self.storage.completed(&mut completions);
            for completion in completions.drain(..) {
                self.on_completion(completion);
            }
            if self.node.deadline().is_some_and(|deadline| self.now().mono_ns >= deadline) {
                self.step(Input::Tick);
            }
            if let Some(questions) = &self.questions {
                questions.answer(|| self.node.metrics());
            }
        }
    }

    fn now(&self) -> Now {
        let wall_ns = self.clock.as_ref().map_or_else(clock::true_ns, ClockFile::now_ns);
        Now {
            // A node that runs for 500 years has other worries.
            mono_ns: self.start.elapsed().as_nanos() as u64,
            wall_ms: wall_ns / 1_000_000,
        }
    }

    fn until_deadline(&self) -> Option<Duration> {
        let deadline = self.node.deadline()?;
        let left = deadline.saturating_sub(self.now().mono_ns);
        // The poll counts in milliseconds and rounds up.
        Some(Duration::from_nanos(left))
    }

    fn step(&mut self, input: Input) {
        if self.exit.is_some() {
            return;
        }
        let now = self.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.node.step(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { conn, parts } => self.network.send(conn, parts, &mut self.happened),
            Effect::Dial { conn, to } => {
                let lookup = self.network.dial(conn, to, Instant::now(), &mut self.happened);
                if let Some(endpoint) = lookup {
                    self.storage.resolve(conn, endpoint);
                }
            }
            Effect::Close { conn } => self.network.close(conn),
            Effect::Io { token, op } => self.storage.submit(token, op),
            Effect::Say { severity, message } => say(severity, &message),
            Effect::Exit { code } => self.exit = Some(self.exit.unwrap_or(code)),
        }
    }

    /// Hands over what the steps asked for, and tells the node what came of it at once.
    fn settle(&mut self) {
        loop {
            self.storage.dispatch();
            self.network.flush(&mut self.happened);
            if self.happened.is_empty() {
                return;
            }
            self.tell();
        }
    }

    fn tell(&mut self) {
        while !self.happened.is_empty() {
            for event in std::mem::take(&mut self.happened) {
                match event {
                    Event::Opened { conn, listener, peer_host } => {
                        self.step(Input::Opened { conn, listener, peer_host });
                    }
                    Event::Dialed { conn } => self.step(Input::Dialed { conn }),
                    Event::DialFailed { conn, refused } => {
                        self.step(Input::DialFailed { conn, refused });
                    }
                    Event::Frames { conn, frames } => {
                        for bytes in frames {
                            self.step(Input::Frame { conn, bytes });
                        }
                    }
                    Event::Closed { conn } => self.step(Input::Closed { conn }),
                }
            }
        }
    }

    fn on_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Io { token, result } => self.step(Input::Io { token, result }),
            Completion::Resolved { conn, addresses } => self.on_resolved(conn, addresses),
        }
    }

    fn on_resolved(&mut self, conn: ConnId, addresses: std::io::Result<Vec<std::net::SocketAddr>>) {
        let address = addresses
            .ok()
            .and_then(|list| list.iter().find(|a| a.is_ipv4()).or(list.first()).copied());
        match address {
            Some(address) => {
                self.network.connect(conn, address, Instant::now(), &mut self.happened);
            }
            None => self.happened.push(Event::DialFailed { conn, refused: false }),
        }
        self.tell();
    }

    fn on_signal(&mut self) {
        let mut bytes = [0u8; 16];
        let mut count = 0;
        while let Ok(read) = std::io::Read::read(&mut self.signals, &mut bytes) {
            count += read;
            if read == 0 {
                break;
            }
        }
        if count == 0 {
            return;
        }
        if self.shutting_down {
            say(
                Severity::Warn,
                "a second signal: ending now, without the rest of the controlled shutdown",
            );
            self.exit = Some(1);
            return;
        }
        self.shutting_down = true;
        say(
            Severity::Info,
            "a signal asks this node to end: controlled shutdown; a second one ends it at once",
        );
        self.step(Input::Shutdown);
    }
}
