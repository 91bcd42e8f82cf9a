//! The `highwater` binary: parse, dispatch, turn the outcome into an exit code. Everything else is behind it.
#![allow(
    clippy::disallowed_methods,
    reason = "the harness lives in the real world: processes, clocks, threads"
)]

mod analysis;
mod cli;
mod command;
mod exit;
mod history_file;
mod interrupt;
mod live;
mod measure;
mod metrics;
mod observer;
mod progress;
mod recorder;
mod render;
mod replicas;
mod run_record;
mod runner;
mod spill;
mod store;
mod target;

use clap::Parser;
use clap::error::ErrorKind;
use cli::{Cli, Command};
use exit::{Exit, Refused};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own code for bad usage is 2, which means "unknown" here.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { Exit::Usage.into() };
        }
    };
    let is_broker = matches!(cli.command, Some(Command::Broker(_)));
    if !is_broker {
        talk(cli.verbose);
    }
    // A panic unwinds through everything that stops what was started before it is an exit code.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| command::dispatch(cli))) {
        Ok(Ok(code)) => code,
        Err(_) => {
            eprintln!(
                "highwater: this is a bug in highwater: please report it with the lines above"
            );
            Exit::Bug.into()
        }
        // Whoever reads has read enough: `highwater list runs | head`.
        Ok(Err(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let exit =
                error.downcast_ref::<Refused>().map_or(Exit::CouldNotRun, |refused| refused.exit);
            eprintln!("highwater: {error:#}");
            exit.into()
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| {
        let direct = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        direct.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    };
    error.chain().any(|cause| io(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// Our own log goes to stderr, and only warnings unless asked for more.
fn talk(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
