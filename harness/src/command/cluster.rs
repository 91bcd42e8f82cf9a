//! `highwater cluster up|status|down`: a bundled cluster to poke at, that outlives this process until `down`.

use crate::cli::{ClusterCommand, StoreArgs};
use crate::exit::Refused;
use crate::recorder::wall_ms;
use crate::runner::up::registered;
use crate::store::Store;
use crate::target::bundled::Bundled;
use crate::target::cluster_id;
use crate::target::local::{Layout, Local};
use admin::Admin;
use anyhow::{Context, Result};
use inject::{Process, UndoLog};
use node::defect::Defect;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const SCHEMA: &str = "highwater/cluster/1";
const UP_WITHIN: Duration = Duration::from_secs(60);

/// `cluster.json`: what `status` and `down` need to know.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    schema: String,
    bootstrap: String,
    nodes: BTreeMap<String, NodeState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeState {
    process: Process,
    broker_port: Option<u16>,
    controller_port: Option<u16>,
    directory: PathBuf,
}

pub fn cluster(command: ClusterCommand) -> Result<ExitCode> {
    match command {
        ClusterCommand::Up {
            nodes,
            controllers,
            json,
            properties,
            defect,
            kafka_defaults,
            store,
        } => {
            let properties = super::plans::overrides(&properties)?.into_iter().collect();
            let defects: Vec<String> = defect.into_iter().collect();
            if let Some(unknown) = defects.iter().find(|name| Defect::from_name(name).is_none()) {
                return Err(Refused::usage(format!(
                    "there is no defect {unknown}; see `highwater list defects`"
                ))
                .into());
            }
            let wall_ms = wall_ms();
            let cluster_id = cluster_id(0, wall_ms);
            let software = Bundled::new(defects, wall_ms as u64)?;
            let fast = !kafka_defaults;
            let layout = Layout {
                brokers: nodes,
                controllers,
                fast,
                properties,
                cluster_id,
                racks: Vec::new(),
                disks: false,
                log_dirs: 1,
                fuse: false,
                groups: false,
                proxies: None,
                clocks: false,
            };
            up(layout, software, &store, json)
        }
        ClusterCommand::Status { json, store } => status(&store, json),
        ClusterCommand::Down { store } => down(&store),
    }
}

fn directory(store: &StoreArgs) -> PathBuf {
    store.out.join(".cluster")
}

fn load(store: &StoreArgs) -> Result<State> {
    let path = directory(store).join("cluster.json");
    let text = fs::read(&path).map_err(|_| {
        Refused::could_not_run(format!(
            "no cluster is up in {}: start one with `highwater cluster up`",
            store.out.display()
        ))
    })?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what highwater writes", path.display()))
}

fn up(layout: Layout, software: Bundled, store: &StoreArgs, json: bool) -> Result<ExitCode> {
    let dir = directory(store);
    if dir.join("cluster.json").exists() {
        let why = format!(
            "a cluster is up in {}: `highwater cluster status` shows it, `highwater cluster down` ends it",
            dir.display()
        );
        return Err(Refused::could_not_run(why).into());
    }
    // What an attempt that failed left behind.
    let _ = fs::remove_dir_all(&dir);
    let wanted = layout.brokers as usize;
    let undo_dir = Store::at(&store.out).undo_dir();
    let undo = UndoLog::create(&undo_dir).with_context(|| {
        format!(
            "cannot write undo records in {}: choose a directory that you may write to with --out",
            undo_dir.display()
        )
    })?;
    let mut cluster = Local::prepare(layout, Box::new(software), None, &dir, undo.clone())?;
    let names: Vec<String> = cluster.names().map(String::from).collect();
    for name in &names {
        cluster.start(name)?;
    }
    let mut admin = Admin::new(&cluster.bootstrap(), Duration::from_secs(2));
    registered(&mut cluster, &mut admin, wanted, UP_WITHIN, &|| false)?;
    let state =
        State { schema: SCHEMA.into(), bootstrap: cluster.bootstrap(), nodes: nodes(&cluster)? };
    let text = serde_json::to_vec_pretty(&state)?;
    fs::write(dir.join("cluster.json"), &text)
        .with_context(|| format!("cannot write in {}", dir.display()))?;
    cluster.leave();
    // Left behind on purpose: `down` knows it from cluster.json.
    undo.finish().context("cannot remove the undo records")?;
    let mut out = std::io::stdout().lock();
    if json {
        out.write_all(&text)?;
        writeln!(out)?;
    } else {
        writeln!(out, "bootstrap {}\ndown      highwater cluster down", state.bootstrap)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn nodes(cluster: &Local) -> Result<BTreeMap<String, NodeState>> {
    let mut nodes = BTreeMap::new();
    for name in cluster.names() {
        let process = inject::Nodes::pid(cluster, name).and_then(Process::of);
        let process = process.with_context(|| {
            format!("{name} ended while the cluster came up; see its broker.log")
        })?;
        let (broker_port, controller_port) = cluster.ports(name).unwrap_or_default();
        let directory = cluster.node_dir(name).map(PathBuf::from).unwrap_or_default();
        nodes.insert(
            name.to_string(),
            NodeState { process, broker_port, controller_port, directory },
        );
    }
    Ok(nodes)
}

fn status(store: &StoreArgs, json: bool) -> Result<ExitCode> {
    let state = load(store)?;
    let mut admin = Admin::new(&state.bootstrap, Duration::from_secs(2));
    let (cluster, quorum) = (admin.cluster(None), admin.quorum());
    let mut out = std::io::stdout().lock();
    if json {
        let nodes: BTreeMap<_, _> = state
            .nodes
            .iter()
            .map(|(name, node)| (name, serde_json::json!({ "pid": node.process.pid, "alive": node.process.is_alive() })))
            .collect();
        let topics: Vec<_> = cluster.iter().flat_map(|c| &c.topics).map(topic_json).collect();
        let quorum = quorum.ok().map(
            |q| serde_json::json!({ "leader": q.leader, "epoch": q.epoch, "voters": q.voters }),
        );
        let whole = serde_json::json!({ "bootstrap": state.bootstrap, "nodes": nodes, "topics": topics, "quorum": quorum });
        serde_json::to_writer_pretty(&mut out, &whole)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "bootstrap {}", state.bootstrap)?;
    for (name, node) in &state.nodes {
        let alive = if node.process.is_alive() { "up" } else { "DOWN" };
        writeln!(
            out,
            "{name:<4} {alive:<4} pid {:<8} {}",
            node.process.pid,
            node.directory.display()
        )?;
    }
    match quorum {
        Ok(quorum) => writeln!(
            out,
            "quorum leader {}, epoch {}, voters {:?}",
            quorum.leader, quorum.epoch, quorum.voters
        )?,
        Err(error) => writeln!(out, "quorum unknown: {error}")?,
    }
    for topic in cluster.map(|cluster| cluster.topics).unwrap_or_default() {
        for p in &topic.partitions {
            writeln!(
                out,
                "{}-{} leader {} epoch {} isr {:?} replicas {:?}",
                topic.name, p.partition, p.leader, p.leader_epoch, p.isr, p.replicas
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn topic_json(topic: &admin::Topic) -> serde_json::Value {
    let partition = |p: &admin::Partition| serde_json::json!({ "partition": p.partition, "leader": p.leader, "leader_epoch": p.leader_epoch, "isr": p.isr, "replicas": p.replicas });
    serde_json::json!({ "name": topic.name, "id": topic.id.to_string(), "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>() })
}

fn down(store: &StoreArgs) -> Result<ExitCode> {
    let state = load(store)?;
    // Brokers first: they give their leadership away with the help of the controllers.
    let (brokers, controllers): (Vec<_>, Vec<_>) =
        state.nodes.iter().partition(|(_, node)| node.broker_port.is_some());
    for stage in [brokers, controllers] {
        for (_, node) in &stage {
            // A stopped process would never see the SIGTERM. One that is gone is no error.
            let _ = node.process.resume();
            let _ = node.process.terminate();
        }
        for (name, node) in stage {
            if !node.process.wait_gone(Duration::from_secs(10)) {
                writeln!(std::io::stderr(), "{name} did not stop within 10 s: killed")?;
                node.process.kill()?;
                node.process.wait_gone(Duration::from_secs(10));
            }
        }
    }
    let dir = directory(store);
    fs::remove_dir_all(&dir).with_context(|| format!("cannot delete {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
