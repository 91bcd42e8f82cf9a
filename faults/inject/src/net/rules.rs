//! Cuts as nftables rules.
//!
//! Promises: a table holds the rules of one fault on one node in one namespace, and nothing else; it is laid and lifted as
//! a whole. What meets the cut is counted before any table decides, so each of several cuts on one way sees it.
//!
//! A connection is *new* to a cut when its first packet (SYN) was seen since: it then carries the cut's number, or a later
//! one, as its conntrack mark. Connections from before have a lower one or none, whether conntrack knew them or not.

use super::namespace::run;
use plan::deed::{Connections, Cut, How};
use std::io;
use std::net::Ipv4Addr;

/// Counting comes first, over all tables.
const COUNT_AT: i32 = -10;
const LOSE_AT: i32 = 0;

/// The name of a table: one for each fault on each node.
pub fn table(fault: u32, node: &str) -> String {
    format!("highwater_{fault}_{node}")
}

/// The rules that lose what comes from `sources`. `number`: of this cut, above those of all cuts before.
pub fn script(table: &str, sources: &[Ipv4Addr], cut: Cut, number: u32) -> String {
    let sources: Vec<String> = sources.iter().map(Ipv4Addr::to_string).collect();
    let set = format!("{{ {} }}", sources.join(", "));
    let from = format!("ip saddr {set}");
    let opening = "tcp flags & (syn | ack) == syn";
    // What the cut is about, one or more matches.
    let met = match cut.connections {
        Connections::All => vec![from.clone()],
        Connections::New => vec![format!("{from} tcp flags & syn == syn")],
        Connections::Established => vec![
            format!("{from} meta l4proto tcp ct state invalid"),
            format!("{from} meta l4proto tcp ct mark < {number}"),
        ],
    };
    let mut lines = vec![format!("table inet {table}"), format!("delete table inet {table}")];
    lines.push(format!("table inet {table} {{"));
    if cut.connections == Connections::Established {
        let to = format!("ip daddr {set}");
        lines.push("chain leaving {".to_string());
        lines.push(hook("output", COUNT_AT));
        lines.push(format!("{to} {opening} ct mark < {number} ct mark set {number}"));
        lines.push("}".to_string());
    }
    lines.push("chain counting {".to_string());
    lines.push(hook("input", COUNT_AT));
    if cut.connections == Connections::Established {
        lines.push(format!("{from} {opening} ct mark < {number} ct mark set {number}"));
    }
    lines.extend(spare_resets(&from, cut));
    lines.extend(met.iter().map(|met| format!("{met} counter")));
    lines.push("}".to_string());
    lines.push("chain losing {".to_string());
    lines.push(hook("input", LOSE_AT));
    lines.extend(spare_resets(&from, cut));
    for met in &met {
        if cut.how == How::Reject {
            lines.push(format!("{met} meta l4proto tcp reject with tcp reset"));
        }
        lines.push(format!("{met} drop"));
    }
    lines.push("}".to_string());
    lines.push("}".to_string());
    lines.join("\n") + "\n"
}

fn hook(hook: &str, priority: i32) -> String {
    format!("type filter hook {hook} priority {priority}; policy accept;")
}

/// A refusal has to get through to whom it is for, past the other side's refusing rules.
fn spare_resets(from: &str, cut: Cut) -> Option<String> {
    (cut.how == How::Reject).then(|| format!("{from} tcp flags & rst == rst accept"))
}

/// Lays a table in the namespace of this thread.
pub fn lay(script: &str) -> io::Result<()> {
    run("nft", &["-f", "-"], script).map(|_| ())
}

/// Lifts a table from the namespace of this thread; answers how many packets met it. One that is gone already is no
/// error.
pub fn lift(table: &str) -> io::Result<u64> {
    let packets = match packets(table) {
        Ok(packets) => packets,
        Err(error) if is_gone(&error) => return Ok(0),
        Err(error) => return Err(error),
    };
    run("nft", &["delete", "table", "inet", table], "")?;
    Ok(packets)
}

/// How many packets met a table of this thread's namespace.
pub fn packets(table: &str) -> io::Result<u64> {
    let listed = run("nft", &["-j", "list", "table", "inet", table], "")?;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let objects = listed["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let expressions =
        objects.iter().filter_map(|object| object["rule"]["expr"].as_array()).flatten();
    Ok(expressions.filter_map(|expression| expression["counter"]["packets"].as_u64()).sum())
}

/// Whether a table stands in this thread's namespace.
pub fn stands(table: &str) -> io::Result<bool> {
    let listed = run("nft", &["list", "tables"], "")?;
    Ok(listed.lines().any(|line| line.trim() == format!("table inet {table}")))
}

fn is_gone(error: &io::Error) -> bool {
    error.to_string().contains("No such file or directory")
}
