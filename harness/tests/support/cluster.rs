//! A bundled cluster for a test: `highwater cluster up`, and `cluster down` when the value ends, however it ends.
//!
//! Promises: nothing is left behind, neither processes nor files, also where the test panicked. Not promised: that much
//! where the test process itself is killed; `highwater doctor --clean` is for that.

#![allow(dead_code, reason = "each test uses its part of it")]

use inject::Process;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// One node, as `cluster up --json` describes it.
#[derive(Debug, Deserialize)]
pub struct Node {
    pub process: Process,
    pub broker_port: u16,
    pub controller_port: u16,
    /// Holds `server.properties`, `broker.log` and `data`.
    pub directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct State {
    bootstrap: String,
    nodes: BTreeMap<String, Node>,
}

pub struct Cluster {
    out: TempDir,
    /// `host:port` of every broker, with commas between.
    pub bootstrap: String,
    /// By name: `n1`, `n2`, `n3`; the broker ids are 1, 2, 3.
    pub nodes: BTreeMap<String, Node>,
}

impl Cluster {
    /// Three nodes, with further broker properties as `key=value`.
    pub fn up(properties: &[&str]) -> Cluster {
        let out = TempDir::new().expect("a temporary directory");
        let mut arguments = vec!["cluster", "up", "--nodes", "3", "--json"];
        for property in properties {
            arguments.extend(["--property", property]);
        }
        let up = highwater(&arguments, out.path());
        assert!(up.status.success(), "cluster up: {}", text(&up));
        let state: State = serde_json::from_slice(&up.stdout).expect("the JSON of cluster up");
        Cluster { out, bootstrap: state.bootstrap, nodes: state.nodes }
    }

    /// The last lines of every node's log.
    fn logs(&self) -> String {
        let mut text = String::new();
        for (name, node) in &self.nodes {
            let log = std::fs::read_to_string(node.directory.join("broker.log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(15)..].join("\n");
            text.push_str(&format!("{name}, whose log ends with:\n{end}\n"));
        }
        text
    }

    /// Panics if a node is not the process that was started, or says that it has met a bug.
    pub fn assert_alive(&self) {
        for (name, node) in &self.nodes {
            let log = std::fs::read_to_string(node.directory.join("broker.log"));
            let log = log.unwrap_or_default();
            if let Some(bug) = log.lines().find(|line| line.contains("a bug")) {
                panic!("{name}: {bug}");
            }
            assert!(node.process.is_alive(), "{name} has died");
        }
    }
}

/// A node that a test started again. Killed when the value ends.
pub struct Restarted(Child);

impl Cluster {
    /// Starts a node that has ended, on its data.
    pub fn restart(&self, name: &str) -> Restarted {
        let directory = &self.nodes[name].directory;
        let log = std::fs::File::options().append(true).open(directory.join("broker.log"));
        let log = log.expect("the node's log");
        let child = Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["broker", "--config"])
            .arg(directory.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn();
        Restarted(child.expect("the binary under test runs"))
    }

    /// SIGTERM to all nodes; returns when they have ended, and the files are as they left them.
    pub fn stop_in_order(&self, mut restarted: Restarted) {
        let again = Process::of(restarted.0.id()).expect("the restarted node runs");
        let all = || self.nodes.values().map(|node| &node.process).chain([&again]);
        all().for_each(|process| process.terminate().expect("SIGTERM"));
        for process in all() {
            assert!(process.wait_gone(Duration::from_secs(60)), "pid {} goes on", process.pid);
        }
        let status = restarted.0.wait().expect("a child of ours");
        assert!(status.success(), "the restarted node ended with {status}");
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let down = highwater(&["cluster", "down"], self.out.path());
        if !down.status.success() {
            for node in self.nodes.values() {
                let _ = node.process.kill();
            }
            if !std::thread::panicking() {
                panic!("cluster down: {}", text(&down));
            }
        }
    }
}

fn highwater(arguments: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(arguments)
        .arg("--out")
        .arg(out)
        .output()
        .expect("the binary under test runs")
}

fn text(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}
