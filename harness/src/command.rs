//! One file for each command.

mod broker;
mod check;
mod cluster;
mod compare;
mod doctor;
mod history;
mod list;
mod plans;
mod report;
mod run;
mod sim;

use crate::cli::{Cli, Command, ProgressMode, RunArgs, StoreArgs, TargetArgs};
use anyhow::Result;
use clap::CommandFactory;
use std::io::Write;
use std::process::ExitCode;

/// Carries a command out.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    let quiet = cli.quiet;
    match cli.command.unwrap_or_else(|| Command::Run(default_run())) {
        Command::Run(args) => run::run(args, quiet),
        Command::Check(args) => check::check(&args),
        Command::History(command) => history::history(&command),
        Command::Report(args) => report::report(&args),
        Command::Compare(args) => compare::compare(args, quiet),
        Command::Sim(args) => sim::sim(&args, quiet),
        Command::Cluster(command) => cluster::cluster(command),
        Command::Broker(args) => broker::broker(&args),
        Command::List(args) => list::list(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Completions { shell } => {
            // Into memory first: clap panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "highwater", &mut script);
            std::io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A bare `highwater` does the main job.
fn default_run() -> RunArgs {
    RunArgs {
        target: TargetArgs::default(),
        plan: None,
        seed: None,
        defect: None,
        set: Vec::new(),
        time: None,
        dry_run: false,
        keep_data: false,
        json: false,
        progress: ProgressMode::Auto,
        store: StoreArgs {
            out: std::env::var_os("HIGHWATER_STORE").map_or_else(|| "store".into(), Into::into),
        },
    }
}
