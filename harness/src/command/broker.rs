//! `highwater broker`: one bundled broker, alone.

use crate::cli::BrokerArgs;
use crate::exit::Refused;
use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

pub fn broker(args: &BrokerArgs) -> Result<ExitCode> {
    if args.list_properties {
        let mut out = std::io::stdout().lock();
        for property in node::config::PROPERTIES {
            writeln!(out, "{}={}\n    {}", property.name, property.default, property.doc.trim())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(config) = &args.config else {
        return Err(Refused::usage("--config FILE is missing").into());
    };
    server::run(config, args.clock.as_deref())
}
