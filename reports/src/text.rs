//! The end of a run on a terminal or in a pipe: plain text, 80 columns where it can be, no colour of its own.

use crate::facts::{Comparison, Facts};
use crate::html::count;
use crate::words::{counted, duration, grouped, latency, percent, role};
use model::fault::FaultState;
use model::finding::Kind;
use model::verdict::Word;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The closing lines of a run.
pub fn run(facts: &Facts) -> String {
    let verdict = &facts.verdict;
    let info = &facts.info;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} · {} · {} · seed {} · {}",
        info.plan,
        info.target,
        info.settings,
        info.seed,
        duration(info.duration_ms)
    );
    let counts = &verdict.counts;
    let sent = counts.ok + counts.fail + counts.info + counts.unacknowledged;
    let workload = if info.workload.is_empty() { "queue" } else { &info.workload };
    let _ = write!(out, "  load     {workload}   {} sent   ", grouped(sent));
    if counts.unacknowledged > 0 {
        let _ = write!(
            out,
            "{} unacknowledged   {} missing",
            grouped(counts.unacknowledged),
            grouped(counts.unacknowledged_missing)
        );
    } else {
        let _ = write!(
            out,
            "{} ok   {} fail   {} indeterminate",
            grouped(counts.ok),
            grouped(counts.fail),
            grouped(counts.info)
        );
    }
    let _ = writeln!(
        out,
        "\n           read back: {} of the ok, {} of the indeterminate{}",
        grouped(counts.ok_read),
        grouped(counts.info_read),
        match counts.ok_removed {
            0 => String::new(),
            removed => format!("; {} of the ok deleted by request or retention", grouped(removed)),
        }
    );
    let _ = writeln!(out, "  faults   {}", faults(facts));
    let a = &verdict.availability;
    let _ = writeln!(
        out,
        "  paused   longest {}, total {}   {} of sends acknowledged within {}",
        duration(a.longest_outage_ms),
        duration(a.total_outage_ms),
        percent(a.request),
        duration(a.deadline_ms)
    );
    let _ = writeln!(
        out,
        "  latency  median {}, 99 % {}, max {}",
        latency(a.latency_p50_ms),
        latency(a.latency_p99_ms),
        latency(a.latency_max_ms)
    );
    for defect in &verdict.defects {
        let _ = writeln!(out, "  defect   {defect} (planted on purpose)");
    }
    for warning in &verdict.warnings {
        let _ = writeln!(out, "  warning  {warning}");
    }
    let _ = writeln!(out, "{}  {}", word(verdict.verdict), verdict.because);
    for promise in &verdict.promises {
        let mark = match promise.verdict {
            Word::Broken => "✗",
            Word::Unknown => "?",
            // What was found and is nobody's fault; once is enough.
            Word::NotPromised if promise.count > 0 && promise.because != verdict.because => "·",
            Word::NotPromised | Word::Held => continue,
        };
        let _ = writeln!(out, "  {mark} {:<12} {}", promise.name, promise.because);
    }
    if let (Some(bound), Word::Held) = (verdict.loss_bound, verdict.verdict) {
        let _ = writeln!(
            out,
            "  proves   {}: at 95 %, a loss rate above {} each is excluded",
            counted(verdict.injections, "injection", "injections"),
            percent(bound)
        );
    }
    let _ = writeln!(out, "report   {}/report.html", info.directory);
    let _ = writeln!(out, "again    {}", info.again);
    if let Some(next) = &info.next {
        let _ = writeln!(out, "next     {next}");
    }
    printable(&out)
}

/// Text from outside must not move a terminal's cursor or change its colours.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn word(word: Word) -> String {
    word.as_str().to_uppercase()
}

/// `6 kills (4 leader, 2 controller), 3 stalls (3 leader): all confirmed, all cleared`
fn faults(facts: &Facts) -> String {
    let faults = &facts.verdict.faults;
    if faults.is_empty() {
        return "none".to_string();
    }
    let mut by_name: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for fault in faults.iter().filter(|f| f.asked_ms.is_some()) {
        *by_name.entry(&fault.name).or_default().entry(role(&fault.role)).or_default() += 1;
    }
    let told: Vec<String> = by_name
        .iter()
        .map(|(name, roles)| {
            let total: u64 = roles.values().sum();
            let roles: Vec<String> =
                roles.iter().map(|(role, count)| format!("{count} {role}")).collect();
            let ending = if name.ends_with('s') { "es" } else { "s" };
            format!("{} ({})", counted(total, name, &format!("{name}{ending}")), roles.join(", "))
        })
        .collect();
    let asked = faults.iter().filter(|f| f.asked_ms.is_some()).count();
    let confirmed = faults.iter().filter(|f| f.confirmed_ms.is_some()).count();
    let cleared = faults.iter().filter(|f| f.state == FaultState::Cleared).count();
    let share =
        |part: usize| if part == asked { "all".to_string() } else { format!("{part} of {asked}") };
    let missed = faults.len() - asked;
    let missed = if missed > 0 { format!(", {missed} not injected") } else { String::new() };
    format!(
        "{}: {} confirmed, {} cleared{missed}",
        told.join(", "),
        share(confirmed),
        share(cleared)
    )
}

/// The closing table of a comparison.
pub fn comparison(comparison: &Comparison) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} · {} · seed {} · {}",
        comparison.info.plan,
        comparison.info.target,
        comparison.info.seed,
        duration(comparison.info.duration_ms)
    );
    let label = |cell: &crate::facts::Cell| {
        let words: Vec<String> =
            cell.settings.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        words.join(" ")
    };
    let width = comparison.cells.iter().map(|cell| label(cell).len()).max().unwrap_or(0);
    for cell in &comparison.cells {
        let _ = write!(out, "  {:<width$}  ", label(cell));
        match &cell.verdict {
            None => {
                let _ = writeln!(
                    out,
                    "not run: {}",
                    cell.reason.as_deref().unwrap_or("no reason recorded")
                );
            }
            Some(verdict) => {
                let _ = writeln!(
                    out,
                    "{:<12} lost {:>6}  dup {:>5}  {:>8} available  longest {:>7}  p99 {}{}",
                    verdict.verdict.as_str(),
                    grouped(cell.lost),
                    grouped(cell.duplicates),
                    percent(verdict.availability.request),
                    duration(verdict.availability.longest_outage_ms),
                    latency(verdict.availability.latency_p99_ms),
                    // acks=0: never called loss, and not to be overlooked either.
                    match verdict.counts.unacknowledged_missing {
                        0 => String::new(),
                        missing => format!("  {} unacknowledged missing", grouped(missing)),
                    }
                );
            }
        }
    }
    let cheapest = comparison
        .cheapest
        .as_deref()
        .unwrap_or("no setting's promise covered these faults and held");
    let _ = writeln!(out, "cheapest {cheapest}");
    let _ = writeln!(out, "report   {}/report.html", comparison.info.directory);
    let _ = writeln!(out, "again    {}", comparison.info.again);
    printable(&out)
}

/// `lost 12 acknowledged records` and the like, for one line in a chat.
pub fn one_line(facts: &Facts) -> String {
    let verdict = &facts.verdict;
    let lost = count(verdict, Kind::LostWrite);
    format!(
        "{} {} on {} (seed {}): {} acknowledged, {} lost, {} duplicates, longest pause {}",
        word(verdict.verdict),
        facts.info.plan,
        facts.info.target,
        facts.info.seed,
        grouped(verdict.counts.ok),
        grouped(lost),
        grouped(count(verdict, Kind::Duplicate)),
        duration(verdict.availability.longest_outage_ms)
    )
}
