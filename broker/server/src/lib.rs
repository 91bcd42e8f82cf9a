//! The real world around a node: sockets, files, clock and signals for a [`node::step::Step`].
//!
//! Promises: one thread owns the node and never waits for a disk; what the node asks for is carried out in the order that
//! the seam states; a start that can't succeed says what happened, where, and what to do next. Not promised: TLS, more
//! than one data directory, or that a message to a hopelessly slow peer is kept (the connection is closed instead).
#![allow(
    clippy::disallowed_methods,
    reason = "this crate is the real world: it reads clocks and starts threads"
)]

mod connection;
mod metrics;
#[doc(hidden)] // reachable for the test that holds the simulated network against this one
pub mod network;
mod owner;
mod say;
mod startup;
pub mod storage;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clock::ClockFile;
use node::config::NodeConfig;
use node::node::Node;
use node::step::Severity;

/// Reads the file and runs a node until it ends. `clock`: a file that its wall clock follows; without it that is the machine's.
/// Its log lines tell the machine's time in any case: they are read beside those of others.
pub fn run(config_path: &Path, clock: Option<&Path>) -> anyhow::Result<ExitCode> {
    let (config, warnings) = startup::read_config(config_path)?;
    for warning in warnings {
        say::say(Severity::Warn, &format!("{}: {warning}", config_path.display()));
    }
    let clock = clock.map(|path| {
        ClockFile::follow(path)
            .with_context(|| format!("cannot follow the clock {}", path.display()))
    });
    run_config(config, clock.transpose()?)
}

/// Runs a node until it ends: by SIGTERM or SIGINT (controlled shutdown, exit code 0), or because its storage failed (1).
pub fn run_config(config: NodeConfig, clock: Option<ClockFile>) -> anyhow::Result<ExitCode> {
    let ended = run_node(config, clock);
    say::flush();
    ended
}

fn run_node(config: NodeConfig, clock: Option<ClockFile>) -> anyhow::Result<ExitCode> {
    startup::raise_file_limit();
    let directory = startup::lock_directory(&config)?;
    let network = network::Network::bind(&config)?;
    let questions = match &config.highwater_metrics_listener {
        Some(at) => Some(metrics::start(at, network.waker.clone())?),
        None => None,
    };
    let seed = match config.highwater_seed {
        Some(seed) => seed,
        None => startup::random_seed()?,
    };
    let node = Node::new(config.clone(), seed);
    let mut owner = owner::Owner::new(node, network, &config, directory.path(), clock)?;
    owner.is_asked(questions);
    let code = owner.run()?;
    drop(directory);
    Ok(ExitCode::from(code))
}
