//! What those faults share that hit a node without ending it themselves: starting again what has ended of them, how it stands,
//! and which faults it is still under.

use super::Nodes;
use crate::process::{Process, State};
use std::io;

/// Starts a node that has ended, unless another fault keeps it down, or one that it may have ended of still holds.
pub fn start_again(
    node: &str,
    kept_down: bool,
    is_under_others: bool,
    nodes: &mut dyn Nodes,
) -> io::Result<()> {
    let runs = nodes.pid(node).and_then(Process::of).is_some_and(|process| process.is_alive());
    if !runs && !kept_down && !is_under_others {
        nodes.start(node)?;
    }
    Ok(())
}

/// What runs now, where `before` ran when the fault began. An error: nothing does, and something should.
pub fn stands(
    now: Option<Process>,
    before: Option<&Process>,
    kept_down: bool,
    is_under_others: bool,
) -> Result<String, String> {
    match now.map(|now| (now.state(), now)) {
        _ if kept_down => Ok("another fault keeps it down".to_string()),
        Some((State::Alive(letter), now)) if Some(&now) == before => {
            Ok(format!("pid {} still runs, state {letter}", now.pid))
        }
        Some((State::Alive(letter), now)) => {
            Ok(format!("it had ended; pid {} runs, state {letter}", now.pid))
        }
        Some((State::Stopped { .. }, now)) => Ok(format!("pid {} is stopped", now.pid)),
        None | Some((State::Zombie | State::Gone, _)) if is_under_others => {
            Ok("it has ended".to_string())
        }
        None | Some((State::Zombie | State::Gone, _)) => {
            Err("it has ended, and nothing runs yet".to_string())
        }
    }
}

/// The end of a sentence about what is over: what goes on. Empty where nothing does.
pub fn still(what_is: &str, others: &[u32]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<String> = others.iter().map(u32::to_string).collect();
    format!("; {what_is} still under fault {}", names.join(" and "))
}
