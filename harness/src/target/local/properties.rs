//! A node's `server.properties`: what its software has by default, the profile, the plan's own, and what none of them may change.

use super::{Local, Node};
use crate::target::proxied::INTERNAL;
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Local {
    /// The file's text; later ones win over earlier ones.
    pub(super) fn properties(&self, node: &Node) -> String {
        let voters = self.nodes.iter().filter(|n| n.roles.contains("controller"));
        let voters: Vec<String> = voters
            .map(|n| format!("{}@{}:{}", n.member.id, n.address, n.controller_port))
            .collect();
        let mut listeners = Vec::new();
        let of_brokers = match node.roles.contains("broker") {
            true => self.listeners(node),
            false => Vec::new(),
        };
        listeners.extend(of_brokers.iter().map(|one| format!("{}://{}", one.name, one.bound)));
        if node.roles.contains("controller") {
            listeners.push(format!("CONTROLLER://{}:{}", node.address, node.controller_port));
        }
        let mut properties: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |name: &str, value: String| properties.insert(name.to_string(), value);
        let replicas = self.layout.brokers.min(3);
        set("offsets.topic.replication.factor", replicas.to_string());
        set("offsets.topic.num.partitions", "5".to_string());
        set("default.replication.factor", replicas.to_string());
        for (name, value) in self.software.defaults(self.layout.brokers) {
            set(name, value);
        }
        if self.layout.fast {
            for (name, value) in plan::Profile::Fast.properties() {
                set(name, (*value).to_string());
            }
        }
        for (name, value) in &self.layout.properties {
            set(name, value.clone());
        }
        let rack = self.layout.racks.iter().position(|rack| rack.contains(&node.member.name));
        if let Some(rack) = rack.filter(|_| node.roles.contains("broker")) {
            set("broker.rack", format!("r{}", rack + 1));
        }
        set("process.roles", node.roles.to_string());
        set("node.id", node.member.id.to_string());
        set("controller.quorum.voters", voters.join(","));
        set("listeners", listeners.join(","));
        if node.roles.contains("broker") {
            let told = of_brokers.iter().map(|one| format!("{}://{}", one.name, one.advertised));
            set("advertised.listeners", told.collect::<Vec<_>>().join(","));
            let among = of_brokers.last().map_or("PLAINTEXT", |one| one.name);
            set("inter.broker.listener.name", among.to_string());
        }
        set("controller.listener.names", "CONTROLLER".to_string());
        let internal = match of_brokers.iter().any(|one| one.name == INTERNAL) {
            true => format!(",{INTERNAL}:PLAINTEXT"),
            false => String::new(),
        };
        set(
            "listener.security.protocol.map",
            format!("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{internal}"),
        );
        let log_dirs = node.log_dirs(&node.data(), self.layout.log_dirs);
        match log_dirs.as_slice() {
            // One path whatever is in it: log.dirs would take it apart at a comma.
            [data] => set("log.dir", data.display().to_string()),
            several => {
                let several: Vec<String> =
                    several.iter().map(|dir| dir.display().to_string()).collect();
                set("metadata.log.dir", several[0].clone());
                set("log.dirs", several.join(","))
            }
        };
        let id = &self.layout.cluster_id;
        for (name, value) in self.software.own(node.member.id, id, node.metrics) {
            set(name, value);
        }
        let mut text = String::from("# Written by highwater for this run.\n");
        for (name, value) in properties {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}
