//! A fresh directory of a test's own, the binary run in it, and the certainty that nothing of it stays behind.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For whatever a test waits for: far above what it takes, for a machine that is busy with other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A code that no process of ours ends with: a signal ended it.
pub const BY_SIGNAL: i32 = -1;

/// Clusters of one test binary run one after the other: a machine of two cores has room for one.
static CLUSTERS: Mutex<()> = Mutex::new(());

pub struct Place {
    root: PathBuf,
    started: AtomicU32,
    // In this order: the directory goes before another test may start.
    _dir: TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

/// What a process said, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// [`BY_SIGNAL`] where a signal ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// What makes Apache Kafka the target, where `HIGHWATER_KAFKA_HOME` names a directory with its jars; where not, that is said.
pub fn kafka() -> Option<&'static [&'static str]> {
    let home = std::env::var_os("HIGHWATER_KAFKA_HOME");
    if home.is_none() {
        eprintln!(
            "skipped: set HIGHWATER_KAFKA_HOME to a directory with libs/*.jar of Apache Kafka"
        );
    }
    home.map(|_| ["--target", "kafka"].as_slice())
}

/// What makes each target that is there the target: the bundled cluster, and Apache Kafka.
pub fn targets() -> impl Iterator<Item = &'static [&'static str]> {
    [[].as_slice()].into_iter().chain(kafka())
}

/// An answer of `check` without what it adds to each finding: the words that histories of any form have.
pub fn as_stored(mut answer: Value) -> Value {
    for check in answer["checks"].as_array_mut().into_iter().flatten() {
        let findings = check.get_mut("findings").and_then(Value::as_array_mut);
        for finding in findings.into_iter().flatten() {
            let finding = finding.as_object_mut().expect("a finding");
            for word in ["key", "offset", "values", "ops"] {
                assert!(finding.remove(word).is_some(), "{word} is missing: {finding:?}");
            }
        }
    }
    answer
}

impl Place {
    /// For tests without a cluster.
    pub fn new() -> Place {
        Place::with(None)
    }

    /// For tests that start one: waits until no other test of this binary has one.
    pub fn for_cluster() -> Place {
        // A test that failed has cleaned up all the same.
        Place::with(Some(CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn with(alone: Option<MutexGuard<'static, ()>>) -> Place {
        let dir =
            tempfile::Builder::new().prefix("highwater-test-").tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("it is there");
        Place { root, started: AtomicU32::new(0), _dir: dir, _alone: alone }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the directory can be written to");
        path
    }

    fn arguments(&self, command: &mut Command) {
        command.current_dir(&self.root).env_remove("HIGHWATER_STORE").env("TERM", "dumb");
    }

    /// Runs the binary to its end; the store is `store` in this place unless told otherwise.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        self.arguments(&mut command);
        command.args(args);
        let output = assert_cmd::Command::from_std(command)
            .timeout(2 * PATIENCE)
            .output()
            .expect("the binary starts");
        Answer {
            code: output.status.code().unwrap_or(BY_SIGNAL),
            out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    /// Starts the binary and lets it run.
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|name| self.path(format!("running-{number}.{name}")));
        let file = |path: &Path| File::create(path).expect("the directory can be written to");
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        self.arguments(&mut command);
        command.args(args).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        Running { child: command.spawn().expect("the binary starts"), out, err }
    }

    /// Starts `plan.toml`, which is called `name`, and waits until one of its faults is confirmed; `None`: this machine can't do it,
    /// which is said.
    pub fn start_until_confirmed(&self, name: &str) -> Option<Running> {
        let mut running = self.start(["run", "plan.toml", "--seed", "5", "--progress", "lines"]);
        let status = wait_for("a fault is confirmed, or the machine can't do it", || {
            if let Some(status) = running.has_ended() {
                return Ok(Some(status));
            }
            let lines = read_json_lines(&self.path("store").join(name).join("latest/faults.jsonl"));
            let confirmed = lines.iter().any(|line| line["state"] == "confirmed");
            confirmed.then_some(None).ok_or_else(|| "none is".to_string())
        });
        let Some(status) = status else { return Some(running) };
        let answer = running.wait();
        assert_eq!(status.code(), Some(3), "{}", answer.err);
        eprintln!("skipped: {}", answer.err.trim());
        None
    }

    pub fn undo_dir(&self) -> PathBuf {
        self.path("store/.undo")
    }

    /// The newest run of a plan.
    pub fn latest(&self, plan: &str) -> PathBuf {
        let link = self.path("store").join(plan).join("latest");
        link.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", link.display()))
    }

    /// Processes whose command line names this place.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let here = self.root.to_str().expect("a path of ASCII");
        processes().into_iter().filter(|(_, line)| line.contains(here)).collect()
    }

    /// Nothing of a run is left but its directory.
    pub fn assert_nothing_left(&self) {
        wait_for("no process of ours is left", || match self.processes().as_slice() {
            [] => Ok(()),
            left => Err(format!("{left:?}")),
        });
        let undo: Vec<_> = fs::read_dir(self.undo_dir()).into_iter().flatten().flatten().collect();
        assert!(undo.is_empty(), "undo records are left: {undo:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed in its middle: what names this directory is ours to end.
        for (pid, line) in self.processes() {
            if std::thread::panicking() {
                eprintln!("ending {pid}: {line}");
            }
            signal(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The binary, started.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, which: rustix::process::Signal) {
        signal(self.child.id(), which);
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Panics with what it said if it is over already.
    pub fn assert_runs(&mut self) {
        if let Some(status) = self.has_ended() {
            panic!("it ended early: {status}\n{}\n{}", read(&self.out), read(&self.err));
        }
    }

    pub fn wait(&mut self) -> Answer {
        let status = wait_for("the process ends", || {
            self.has_ended().ok_or_else(|| format!("{}\n{}", read(&self.out), read(&self.err)))
        });
        Answer {
            code: status.code().unwrap_or(BY_SIGNAL),
            out: read(&self.out),
            err: read(&self.err),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// It ended with this code.
    #[track_caller]
    pub fn code(self, expected: i32) -> Answer {
        assert_eq!(self.code, expected, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Its message holds each of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Answer {
        for word in words {
            assert!(self.err.contains(word), "stderr does not say {word:?}:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Its stdout, which is one JSON document and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| {
            panic!("stdout is not one JSON document: {error}\n{}", self.out)
        })
    }
}

/// Waits until `look` answers; fails the test with the last reason why it did not.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(reason) => assert!(
                Instant::now() < deadline,
                "waited {PATIENCE:?} until {what}, in vain: {reason}"
            ),
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A text file, or nothing where there is none yet.
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The whole lines of a file of JSON lines.
pub fn read_json_lines(path: &Path) -> Vec<Value> {
    let text = read(path);
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

pub fn signal(pid: u32, which: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    // It may have ended in this moment.
    let _ = rustix::process::kill_process(pid, which);
}

/// `T` for a stopped process, `None` for one that is gone.
pub fn state(pid: u32) -> Option<char> {
    match ps(&["-o", "stat=", "-p", &pid.to_string()]) {
        Some(text) => text.trim().chars().next(),
        None => {
            // The state follows the name, which is in brackets and may hold anything.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat[stat.rfind(')')? + 1..].trim().chars().next()
        }
    }
}

/// Every process with its command line. Dead ones that nobody has waited for have none.
fn processes() -> Vec<(u32, String)> {
    let line = |line: &str| {
        let (pid, command) = line.trim().split_once(' ')?;
        Some((pid.parse().ok()?, command.to_string()))
    };
    if let Some(text) = ps(&["-axww", "-o", "pid=,command="]) {
        return text.lines().filter_map(line).collect();
    }
    let entries = fs::read_dir("/proc").expect("a list of processes").flatten();
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    entries.filter_map(process).collect()
}

/// What `ps` tells; `None` on Linux, where /proc has it on machines without `ps` too.
fn ps(args: &[&str]) -> Option<String> {
    if cfg!(target_os = "linux") {
        return None;
    }
    let output = Command::new("ps").args(args).output().expect("a list of processes");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
