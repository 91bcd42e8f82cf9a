//! Finding and loading plans: a file, or the name of a shipped one.

use crate::cli::TargetArgs;
use crate::exit::Refused;
use anyhow::Result;
use plan::shipped;
use std::path::Path;

/// A plan with the text that it came from.
pub struct Found {
    pub loaded: plan::Loaded,
    pub text: String,
}

/// Loads the plan called `name` (a path where such a file exists or the name looks like one).
pub fn load(name: &str, overrides: &[(String, String)]) -> Result<Found> {
    let (file, text) = match shipped::plan(name) {
        Some(shipped) if !Path::new(name).exists() => {
            (format!("{name} (shipped)"), shipped.text.to_string())
        }
        _ => (name.to_string(), read(name)?),
    };
    match plan::load(&file, &text, overrides) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("{warning}");
            }
            Ok(Found { loaded, text })
        }
        Err(error) => Err(Refused::usage(format!("the plan can't be used\n{error}")).into()),
    }
}

fn read(name: &str) -> Result<String> {
    std::fs::read_to_string(name).map_err(|error| {
        let names: Vec<&str> = shipped::PLANS.iter().map(|plan| plan.name).collect();
        Refused::usage(format!(
            "cannot read the plan {name}: {error}. Give the path of a plan file, or the name of a shipped plan: {}",
            names.join(", ")
        ))
        .into()
    })
}

/// `key=value` as two.
pub fn overrides(set: &[String]) -> Result<Vec<(String, String)>> {
    set.iter()
        .map(|pair| {
            let split = pair
                .split_once('=')
                .map(|(key, value)| (key.trim().to_string(), value.trim().to_string()));
            split.ok_or_else(|| {
                Refused::usage(format!(
                    "--set {pair}: expected KEY=VALUE, such as workload.rate=5000/s"
                ))
                .into()
            })
        })
        .collect()
}

/// Overrides by the options that name the target.
pub fn target(args: &TargetArgs) -> Vec<(String, String)> {
    let kafka = args.kafka_home.as_ref().map(|_| "kafka".to_string());
    let kind = args.kind.clone().or(kafka).map(|kind| ("target.kind".to_string(), kind));
    let home = args.kafka_home.clone().map(|home| ("target.kafka_home".to_string(), home));
    kind.into_iter().chain(home).collect()
}

/// The same options as they are typed.
pub fn target_words(args: &TargetArgs) -> Vec<String> {
    let kind = args.kind.iter().map(|kind| format!("--target {kind}"));
    kind.chain(args.kafka_home.iter().map(|home| format!("--kafka-home '{home}'"))).collect()
}

/// A seed of a few digits, easy to type again.
pub fn drawn_seed() -> u64 {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |d| d.as_nanos() as u64);
    generator::random::Random::new(nanos, "seed").below(1_000_000)
}
