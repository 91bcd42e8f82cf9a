//! The wall clocks of a cluster's nodes: a file for each that its process follows, and somebody who asks it for its time.
//!
//! Promises: a node's time is one that it wrote itself, asked for past any proxy: a broker stamps a record of a topic of our own,
//! the active controller tells its time with its quorum. Whoever waits for an answer is a thread of the node's own. Not promised:
//! an answer; a node that is dead, stopped or cut off from clients gives none.

use super::Software;
use admin::{Admin, AdminError};
use anyhow::{Context, Result, bail};
use clock::{ClockFile, Table};
use inject::timekeeper::{Timekeeper, Told};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Neither name nor prefix of any topic of a plan's is a reason to choose another one: plans' patterns of files begin with the
/// plan's own.
const TOPIC: &str = "clocks-of-highwater";
/// What takes longer proves nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const SHIM: &str = "clock-shim.so";

/// How a node is asked for its time, and where.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// A broker, which leads this partition of our topic.
    Broker { at: SocketAddr, partition: u32 },
    /// A controller with this id.
    Controller { at: SocketAddr, id: i32 },
}

/// All clocks of a cluster.
pub struct Clocks {
    /// How nodes are told of their files; `None`: by the shim.
    argument: Option<&'static str>,
    shim: PathBuf,
    clocks: BTreeMap<String, NodeClock>,
}

struct NodeClock {
    path: PathBuf,
    file: ClockFile,
    questions: Sender<()>,
    answers: Receiver<Result<Told, String>>,
    is_asked: bool,
    newest: Option<Told>,
}

impl Clocks {
    /// Makes a file in each node's directory, all of them true, and the shim beside these directories, where it is needed.
    pub fn prepare(
        dir: &Path,
        nodes: Vec<(String, Ask)>,
        software: &dyn Software,
    ) -> Result<Clocks> {
        let (argument, shim) = (software.clock_argument(), dir.join(SHIM));
        if argument.is_none() {
            let unfit = |c: char| c == ':' || c.is_whitespace();
            if shim.to_str().is_none_or(|path| path.contains(unfit)) {
                bail!(
                    "clocks are moved by a library, and LD_PRELOAD takes {} apart at a blank or a colon: choose another directory with --out",
                    shim.display()
                );
            }
            fs::write(&shim, clock::SHIM)
                .with_context(|| format!("cannot write {}", shim.display()))?;
        }
        let clocks = nodes.into_iter().map(|(node, ask)| {
            let path = dir.join(&node).join("clock");
            let file = ClockFile::create(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            let (questions, asked) = channel();
            let (answer, answers) = channel();
            let name = format!("clock of {node}");
            std::thread::Builder::new()
                .name(name)
                .spawn(move || answer_all(ask, &asked, &answer))?;
            let (is_asked, newest) = (false, None);
            Ok((node, NodeClock { path, file, questions, answers, is_asked, newest }))
        });
        Ok(Clocks { argument, shim, clocks: clocks.collect::<Result<_>>()? })
    }

    /// Makes the node's command follow its clock.
    pub fn follow(&self, node: &str, command: &mut Command) {
        let Some(clock) = self.clocks.get(node) else { return };
        if let Some(argument) = self.argument {
            command.arg(argument).arg(&clock.path);
            return;
        }
        // Whoever preloads something else into all of their programs goes on doing so.
        let mut preloaded = self.shim.as_os_str().to_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preloaded.push(":");
            preloaded.push(others);
        }
        command.env("LD_PRELOAD", preloaded).env(clock::FILE_VARIABLE, &clock.path);
    }
}

/// Makes the topic that brokers stamp records of. One that is there already is no error.
pub fn make_topic(admin: &mut Admin, brokers: &[i32]) -> Result<(), AdminError> {
    match admin.create_stamping_topic(TOPIC, brokers) {
        Err(AdminError::Broker { code, .. }) if code == "TOPIC_ALREADY_EXISTS" => Ok(()),
        other => other,
    }
}

impl Timekeeper for Clocks {
    fn set(&mut self, node: &str, table: &Table) -> io::Result<()> {
        let clock = self.clocks.get(node).ok_or_else(|| unknown(node))?;
        clock.file.write(table)
    }

    fn told(&mut self, node: &str, since_ns: i64) -> Result<Option<Told>, String> {
        let clock = self.clocks.get_mut(node).ok_or_else(|| unknown(node).to_string())?;
        let mut failed = None;
        while let Ok(answer) = clock.answers.try_recv() {
            clock.is_asked = false;
            match answer {
                Ok(told) => clock.newest = Some(told),
                Err(error) => failed = Some(error),
            }
        }
        let fresh = clock.newest.filter(|told| told.asked_ns >= since_ns);
        if fresh.is_none() && !clock.is_asked {
            // The thread lives as long as this does.
            clock.is_asked = clock.questions.send(()).is_ok();
        }
        match (fresh, failed) {
            (None, Some(error)) => Err(error),
            (fresh, _) => Ok(fresh),
        }
    }
}

fn unknown(node: &str) -> io::Error {
    io::Error::other(format!("{node} has no clock of its own"))
}

/// Asks once for each question, until nobody asks any more.
fn answer_all(ask: Ask, asked: &Receiver<()>, answer: &Sender<Result<Told, String>>) {
    let at = match ask {
        Ask::Broker { at, .. } | Ask::Controller { at, .. } => at.to_string(),
    };
    let mut admin = Admin::new(&at, PATIENCE);
    while asked.recv().is_ok() {
        let asked_ns = clock::true_ns();
        let node_ms = match ask {
            Ask::Broker { partition, .. } => admin.stamped_ms(&at, TOPIC, partition),
            Ask::Controller { id, .. } => admin.quorum_ms(&at, id),
        };
        let answered_ns = clock::true_ns();
        let told = node_ms.map(|node_ms| Told { node_ms, asked_ns, answered_ns });
        if answer.send(told.map_err(|error| error.to_string())).is_err() {
            return;
        }
    }
}
