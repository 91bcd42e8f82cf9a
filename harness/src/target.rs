//! What a run is against: clusters of local processes, and the software that their nodes run.

pub mod bundled;
pub mod clocks;
pub mod kafka;
pub mod local;
pub mod proxied;
pub mod topic;
pub mod world;

use anyhow::Result;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// The software that every node of a local cluster runs.
///
/// Promises: the properties, command lines and files are those of one software; starting, stopping and remembering
/// processes is [`local::Local`]'s.
pub trait Software {
    /// `bundled`, `Apache Kafka 4.3.1`.
    fn name(&self) -> String;

    /// What else a report should name beside highwater and its client.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Properties that a plan may override, for a cluster of so many brokers.
    fn defaults(&self, brokers: u32) -> Vec<(&'static str, String)>;

    /// Properties that only this software knows, of one node. `metrics`: where it is to answer `GET /metrics`.
    fn own(
        &self,
        node_id: i32,
        cluster_id: &str,
        metrics: SocketAddr,
    ) -> Vec<(&'static str, String)>;

    /// Starts a node in the foreground; `config` is the absolute path of its `server.properties`.
    fn command(&self, config: &Path, metrics: SocketAddr) -> Command;

    /// Why its nodes answer no `GET /metrics`, and what to do about it; `None`: they do.
    fn lacks_metrics(&self) -> Option<String>;

    /// A part of that command's line which no other process of the machine has.
    fn marker(&self, config: &Path) -> String;

    /// Makes the directories that the configurations name ones to start on, before the first start.
    fn format(&self, configs: &[&Path], cluster_id: &str) -> Result<()>;

    /// The same for one whose disk was emptied: the node's id stays, the directory is a new one.
    fn format_again(&self, data: &Path, node_id: i32, cluster_id: &str) -> std::io::Result<()>;

    /// Brokers may have a listener of their own beside that of clients.
    fn has_internal_listener(&self) -> bool;

    /// How a broker names itself when it dials another one: the client id, or what it begins with.
    fn calls(&self) -> fn(i32) -> String;

    /// Tells from a client id which broker has dialled.
    fn dialer(&self) -> fn(&str) -> Option<i32>;

    /// The argument that tells a node which clock file to follow; `None`: there is none, and a library is preloaded that does.
    fn clock_argument(&self) -> Option<&'static str>;

    /// A node is asked to end before it is killed when the run is over.
    fn ends_in_order(&self) -> bool;
}

/// The id of a cluster or a directory as Kafka makes them (`Uuid.randomUuid`): 16 random bytes in URL-safe base64,
/// 22 characters, of which the last holds two bits. None begins with a dash: Kafka's tools would take it for an option.
pub fn cluster_id(seed: u64, wall_ms: i64) -> String {
    const FIRST: &[u8; 63] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const MIDDLE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const LAST: &[u8; 4] = b"AQgw";
    let mut random = generator::random::Random::new(seed ^ wall_ms as u64, "cluster-id");
    let mut draw = |from: &[u8]| from[random.below(from.len() as u64) as usize] as char;
    let mut id = String::with_capacity(22);
    id.push(draw(FIRST));
    id.extend((1..21).map(|_| draw(MIDDLE)));
    id.push(draw(LAST));
    id
}

#[cfg(test)]
mod tests {
    use super::cluster_id;

    #[test]
    fn no_id_is_an_option_to_a_tool() {
        for seed in 0..10_000 {
            let id = cluster_id(seed, 1_790_000_000_000);
            assert_eq!(id.len(), 22, "{id}");
            assert!(!id.starts_with('-'), "{id}");
            assert!(id.ends_with(['A', 'Q', 'g', 'w']), "{id}");
        }
    }
}
