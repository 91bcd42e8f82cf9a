//! `highwater doctor`: what this machine can do, and what a crash of ours left behind.

use crate::cli::DoctorArgs;
use crate::store::Store;
use crate::target::Software;
use crate::target::kafka::Kafka;
use anyhow::{Context, Result};
use inject::undo;
use plan::deed::{DeedName, Needs};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub fn doctor(args: &DoctorArgs) -> Result<ExitCode> {
    let store = Store::at(&args.store.out);
    let undo_dir = store.undo_dir();
    let mut out = std::io::stdout().lock();
    if args.clean {
        let done = undo::clean(&undo_dir)
            .with_context(|| format!("cannot clean up after {}", undo_dir.display()))?;
        if args.json {
            serde_json::to_writer_pretty(&mut out, &serde_json::json!({ "cleaned": done }))?;
            writeln!(out)?;
        } else if done.is_empty() {
            writeln!(out, "nothing was left behind")?;
        } else {
            done.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let leftovers = undo::survey(&undo_dir)
        .with_context(|| format!("cannot read the undo records in {}", undo_dir.display()))?;
    let left: Vec<String> = leftovers.iter().map(ToString::to_string).collect();
    let abilities = abilities(&store);
    if args.json {
        let able: Vec<_> = abilities
            .iter()
            .map(|(what, ok, how)| serde_json::json!({ "what": what, "possible": ok, "how": how }))
            .collect();
        serde_json::to_writer_pretty(
            &mut out,
            &serde_json::json!({ "abilities": able, "left_behind": left }),
        )?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (what, ok, how) in &abilities {
        writeln!(out, "{} {what:<34} {how}", if *ok { "yes" } else { "no " })?;
    }
    let (running, left): (Vec<_>, Vec<_>) =
        leftovers.iter().partition(|one| matches!(one, undo::Leftover::InUse { .. }));
    running.iter().try_for_each(|one| writeln!(out, "{one}: left alone"))?;
    if left.is_empty() {
        writeln!(out, "nothing was left behind in {}", store.root().display())?;
    } else {
        writeln!(out, "left behind by an interrupted run; `highwater doctor --clean` ends it:")?;
        left.iter().try_for_each(|one| writeln!(out, "  {one}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Looking makes nothing: of a directory that is not there yet, the nearest one above it counts.
fn can_be_written(dir: &Path) -> std::io::Result<()> {
    let above =
        dir.ancestors().find(|above| above.exists()).filter(|above| above != &Path::new(""));
    let above = above.unwrap_or(Path::new("."));
    if !above.is_dir() {
        return Err(std::io::Error::other(format!("{} is no directory", above.display())));
    }
    Ok(rustix::fs::access(above, rustix::fs::Access::WRITE_OK)?)
}

/// What can be done here, with how, or what would enable it.
fn abilities(store: &Store) -> Vec<(String, bool, String)> {
    let mut abilities = vec![
        able("bundled cluster", Ok("this program's own broker, nothing to install".to_string())),
        able(
            "Apache Kafka cluster",
            Kafka::find(None, 0)
                .map(|kafka| format!("{}, {}", kafka.name(), kafka.java()))
                .map_err(|error| error.to_string()),
        ),
    ];
    if let Ok(kafka) = Kafka::find(None, 0) {
        let told = "the JMX exporter is beside its jars".to_string();
        abilities
            .push(able("metrics of Apache Kafka", kafka.lacks_metrics().map_or(Ok(told), Err)));
    }
    for need in Needs::ALL {
        let deeds: Vec<&str> = need.deeds().map(DeedName::as_str).collect();
        let possible = match need {
            Needs::Nothing => inject::Process::own().map(|_| ()).map_err(|e| e.to_string()),
            Needs::Namespaces => inject::net::can_enter(),
            // Of the bundled broker everywhere; what can't be done to another one's is told when it is asked for.
            Needs::Clocks if clock::SHIM.is_empty() => {
                Err("here of the bundled broker alone, for Apache Kafka's needs Linux".to_string())
            }
            Needs::Clocks => Ok(()),
            // Threads and ports of our own.
            Needs::Proxy => Ok(()),
            Needs::Disks => inject::power::can_make(&std::env::temp_dir()),
            Needs::Groups => inject::group::can_make(),
            Needs::Fuse => inject::fuse::can_make(&std::env::temp_dir()),
        };
        let how = possible.map(|()| need.about().to_string());
        abilities.push(able(&format!("faults {}", deeds.join(", ")), how));
    }
    let root = store.root().display();
    abilities.push(able(
        "run directory",
        can_be_written(store.root())
            .map(|()| format!("{root} can be written to"))
            .map_err(|error| format!("{root}: {error}; choose another with --out")),
    ));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = format!(
        "{cores} cores; the everyday plan wants two or more for its 10,000 records a second"
    );
    let enough = if cores >= 2 { Ok(wanted) } else { Err(wanted) };
    abilities.push(able("three brokers, clients and checker", enough));
    abilities
}

fn able(what: &str, how: Result<String, String>) -> (String, bool, String) {
    let is_possible = how.is_ok();
    (what.to_string(), is_possible, how.unwrap_or_else(|why| why))
}
