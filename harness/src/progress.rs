//! What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere, on stderr.
//!
//! indicatif hides itself off a terminal and then prints nothing at all, so lines are our own.

use crate::cli::ProgressMode;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// In lines mode, one line of state for this many milliseconds.
const LINE_EVERY_MS: u64 = 10_000;

pub struct Progress {
    kind: Kind,
    phase: String,
    last_line_ms: u64,
    total_ms: u64,
}

enum Kind {
    None,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// `total_ms`: how long the run is expected to take.
    pub fn start(mode: ProgressMode, quiet: bool, total_ms: u64) -> Progress {
        let terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bar = match mode {
            _ if quiet => None,
            ProgressMode::None => None,
            ProgressMode::Bar => Some(true),
            ProgressMode::Lines => Some(false),
            ProgressMode::Auto => Some(terminal),
        };
        let kind = match bar {
            None => Kind::None,
            Some(false) => Kind::Lines,
            Some(true) => {
                let bar = ProgressBar::with_draw_target(
                    Some(total_ms),
                    ProgressDrawTarget::stderr_with_hz(8),
                );
                let style = ProgressStyle::with_template("{prefix:12} {wide_bar} {msg}")
                    .expect("the template is a constant")
                    .progress_chars("━╸ ");
                bar.set_style(style);
                Kind::Bar(bar)
            }
        };
        Progress { kind, phase: String::new(), last_line_ms: 0, total_ms }
    }

    /// A new phase of the run begins.
    pub fn phase(&mut self, at_ms: u64, phase: &str, what: &str) {
        self.phase = phase.to_string();
        if let Kind::Bar(bar) = &self.kind {
            bar.set_prefix(phase.to_string());
        }
        self.say(at_ms, &format!("{phase:<9} {what}"));
    }

    /// Something worth a line of its own: a fault, a finding.
    pub fn say(&self, at_ms: u64, text: &str) {
        let line = format!("{:>7.1}s  {text}", at_ms as f64 / 1000.0);
        match &self.kind {
            Kind::None => {}
            Kind::Lines => eprintln!("{line}"),
            Kind::Bar(bar) => bar.println(line),
        }
    }

    /// The state of the load, as often as one likes.
    pub fn tick(&mut self, at_ms: u64, state: &str) {
        match &self.kind {
            Kind::None => {}
            Kind::Lines => {
                if at_ms >= self.last_line_ms + LINE_EVERY_MS {
                    self.last_line_ms = at_ms;
                    self.say(at_ms, &format!("{:<9} {state}", self.phase));
                }
            }
            Kind::Bar(bar) => {
                bar.set_position(at_ms.min(self.total_ms));
                bar.set_message(state.to_string());
            }
        }
    }

    pub fn finish(self) {
        if let Kind::Bar(bar) = self.kind {
            bar.finish_and_clear();
        }
    }
}
