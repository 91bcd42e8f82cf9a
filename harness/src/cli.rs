//! The command line: types only. Help, completions and parsing come from here.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  highwater run                        the shipped plan acked-writes-survive, about two minutes
  highwater compare                    what does each setting of acks and min.insync cost?
  highwater run --defect ack-before-isr    would it even notice?
  highwater check store/acked-writes-survive/latest
  highwater check --via subscribe history.edn    Jepsen's own histories, too
  highwater cluster up --nodes 3       a cluster to poke at with kcat or Kafka's own tools

Exit codes: 0 held or not promised, 1 a promise was broken, 2 unknown, 3 could not run, 64 bad usage or plan,
70 a bug in highwater, 130 and 143 interrupted (healed, history kept).";

/// Proves, by breaking things, that a Kafka-protocol cluster keeps the writes that it acknowledged.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// More talk on stderr: -v what is done, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Only the result
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster, load it, break it, check it, report (default)
    Run(RunArgs),
    /// Judge a stored run or history again, offline
    Check(CheckArgs),
    /// Histories: from one form to another
    #[command(subcommand)]
    History(HistoryCommand),
    /// Render the report of a stored run again
    Report(ReportArgs),
    /// The same load under several settings and recipes, side by side in one page
    Compare(CompareArgs),
    /// The bundled broker's own code under thousands of seeded disasters, in simulated time
    Sim(SimArgs),
    /// A bundled cluster to poke at
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// One bundled broker, alone
    Broker(BrokerArgs),
    /// What there is: plans, recipes, faults, roles, checks, defects, targets, runs
    List(ListArgs),
    /// Can this machine do it? What did a crash leave behind?
    Doctor(DoctorArgs),
    /// Completions for your shell
    Completions { shell: clap_complete::Shell },
}

/// Where runs are kept.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// Directory that keeps all runs
    #[arg(long, env = "HIGHWATER_STORE", default_value = "store", value_name = "DIR")]
    pub out: PathBuf,
}

/// What is tested, in place of what the plan says.
#[derive(Clone, Debug, Default, Args)]
pub struct TargetArgs {
    /// What is tested, in place of the plan's target.kind (`highwater list targets`)
    #[arg(long = "target", value_name = "KIND")]
    pub kind: Option<String>,
    /// Apache Kafka's directory with its libs/*.jar; makes it the target
    #[arg(long, value_name = "DIR")]
    pub kafka_home: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// A plan file, or the name of a shipped plan (`highwater list plans`)
    pub plan: Option<String>,
    /// Repeats the fault schedule of that seed; drawn anew where not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// A planted defect of the bundled broker, to see it caught (`highwater list defects`); its plan is the default
    #[arg(long, value_name = "NAME")]
    pub defect: Option<String>,
    /// Overrides one key of the plan: workload.rate=5000/s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// How long load and faults run, in place of the plan's time.run
    #[arg(long, value_name = "DURATION")]
    pub time: Option<String>,
    /// Print the resolved plan and its fault schedule, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Keep the nodes' data even where nothing was broken
    #[arg(long)]
    pub keep_data: bool,
    /// The verdict as JSON on stdout, in place of the summary
    #[arg(long)]
    pub json: bool,
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// A plan file with a [matrix], or the name of a shipped one
    pub plan: Option<String>,
    #[arg(long)]
    pub seed: Option<u64>,
    /// Overrides one key of the plan: workload.rate=5000/s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Print the cells and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The comparison as JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Debug, Args)]
pub struct SimArgs {
    /// A plan: its cluster, load and faults in simulated time. Without one, each seed draws a schedule of its own
    pub plan: Option<String>,
    /// The schedule of this seed alone
    #[arg(long, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// The schedules of these seeds, the last one left out: 0..1000
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<Seeds>,
    /// Stop after this time: 90s, 10m, 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<std::time::Duration>,
    /// Schedules side by side; one for each core where not given
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// A planted defect of the broker; stops at the first schedule that finds it (`highwater list defects`)
    #[arg(long, value_name = "NAME")]
    pub defect: Option<String>,
    /// Run one schedule from its file and tell what happened
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plan", "seed", "seeds", "defect", "duration"])]
    pub replay: Option<PathBuf>,
    /// Overrides one key of the plan: time.run=20s
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "plan")]
    pub set: Vec<String>,
    /// Judge by what clients see alone, as a real run does, without the invariants that look inside
    #[arg(long)]
    pub clients_only: bool,
    /// Print how often each state was reached
    #[arg(long)]
    pub states: bool,
    /// Leave failures as they are, in place of shrinking the first of each kind
    #[arg(long)]
    pub no_shrink: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Seeds from one number to before another.
#[derive(Clone, Debug)]
pub struct Seeds(pub std::ops::Range<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    let read = |number: &str| number.trim().parse::<u64>().ok();
    let range = text.split_once("..").and_then(|(from, to)| Some(read(from)?..read(to)?));
    match range {
        Some(range) if !range.is_empty() => Ok(Seeds(range)),
        _ => Err("expected two numbers and the first one smaller, as in 0..1000".to_owned()),
    }
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let millis: plan::units::Millis = text.parse()?;
    Ok(std::time::Duration::from_millis(millis.0))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, lines elsewhere
    Auto,
    Bar,
    Lines,
    None,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Run directories, or history files: ours (.hwh, .jsonl) or Jepsen's of its Kafka workload (.edn)
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// Of EDN: how readers got what they read, which decides what counts as bad
    #[arg(long, value_enum, default_value_t = ViaChoice::Assign)]
    pub via: ViaChoice,
    /// Of EDN: the order of records in a log does not order their writers, so that cycles of writes and reads count as bad
    #[arg(long)]
    pub no_ww_deps: bool,
    /// Of EDN, which does not say it: how the topics remove records
    #[arg(long, value_enum)]
    pub cleanup: Option<CleanupChoice>,
    /// Files side by side; one for each core where not given
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ViaChoice {
    Assign,
    /// Consumer groups: a rebalance may move a reader between its polls
    Subscribe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CleanupChoice {
    Delete,
    Compact,
}

#[derive(Clone, Debug, Subcommand)]
pub enum HistoryCommand {
    /// Write a history in another form: ours (.hwh), JSON Lines (.jsonl), Jepsen's EDN (.edn), by the files' names
    Convert {
        /// A history file
        from: PathBuf,
        /// Where to write it; a file that is there already is left alone
        to: PathBuf,
    },
}

#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A run directory
    pub run: PathBuf,
    /// Print that format to stdout in place of writing all files
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Html,
    Json,
    Junit,
    Markdown,
    Text,
}

#[derive(Clone, Debug, Subcommand)]
pub enum ClusterCommand {
    /// Start one and return when a topic can be made
    Up {
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
        nodes: u32,
        /// Dedicated controllers; 0: every broker is one too
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5))]
        controllers: u32,
        /// `bootstrap`, and each node's pid, ports and directory, as JSON on stdout
        #[arg(long)]
        json: bool,
        /// A broker property by Kafka's name
        #[arg(long = "property", value_name = "KEY=VALUE")]
        properties: Vec<String>,
        /// A planted defect of the broker
        #[arg(long, value_name = "NAME")]
        defect: Option<String>,
        /// Kafka's default timeouts in place of the fast ones
        #[arg(long)]
        kafka_defaults: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Leaders, ISR and processes of the one that runs
    Status {
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Stop it and delete its data
    Down {
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Clone, Debug, Args)]
pub struct BrokerArgs {
    /// Kafka's server.properties
    #[arg(long, value_name = "FILE", required_unless_present = "list_properties")]
    pub config: Option<PathBuf>,
    /// A clock file that its wall clock follows; a run with faults on clocks makes one for each node
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub clock: Option<PathBuf>,
    /// Print every property that has an effect, with its default
    #[arg(long)]
    pub list_properties: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    #[arg(value_enum)]
    pub what: Option<ListWhat>,
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListWhat {
    Plans,
    Recipes,
    Faults,
    Roles,
    Checks,
    Defects,
    Targets,
    Workloads,
    Runs,
}

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// End what an interrupted run of ours left behind
    #[arg(long)]
    pub clean: bool,
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreArgs,
}
