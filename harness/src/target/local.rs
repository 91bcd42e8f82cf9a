//! A cluster of real processes on this machine, each with a directory, ports and a log of its own: on loopback, or each in
//! a network namespace of its own; on the machine's disk, or each on one of its own.
//!
//! Promises: a process that this module started is known by its pid and start time, is in the undo records before
//! anything else happens to it, and is ended by [`Local::stop_all`] whatever became of it. Nodes are in process
//! groups of their own, so that a Ctrl-C at the terminal is the harness's to handle. What the nodes run is a
//! [`Software`]'s to know.

mod places;
mod properties;

use super::Software;
use super::clocks::{Ask, Clocks};
use super::proxied::{self, Behind, Listener};
use super::topic::Administrator;
use admin::NewTopic;
use anyhow::{Context, Result, bail};
use inject::{
    Clients, Disk, Fuse, Group, Nodes, Process, Proxies, Timekeeper, TopicAdmin, UndoLog, World,
};
use plan::files::log_dir;
use plan::target::{Member, Topology};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the cluster is made of.
#[derive(Clone, Debug)]
pub struct Layout {
    pub brokers: u32,
    /// Dedicated controllers; 0: every broker is a controller too.
    pub controllers: u32,
    pub fast: bool,
    /// Further broker properties by Kafka's names; they win over the profile.
    pub properties: BTreeMap<String, String>,
    pub cluster_id: String,
    /// Which nodes stand together; empty: nobody says.
    pub racks: Vec<Vec<String>>,
    /// Log directories of each broker, all on its one disk.
    pub log_dirs: u32,
    /// Each node's data on a file system of its own.
    pub disks: bool,
    /// A file system that can fail between each node and its data.
    pub fuse: bool,
    /// A control group for each node's processes.
    pub groups: bool,
    /// A proxy in front of each broker, and the seed of what is left to chance there.
    pub proxies: Option<u64>,
    /// A wall clock of its own for each node.
    pub clocks: bool,
}

/// In a namespace of its own nobody else has a node's ports.
const BROKER_PORT: u16 = 9092;
const CONTROLLER_PORT: u16 = 9093;
const METRICS_PORT: u16 = 9404;

/// One process of the cluster.
struct Node {
    member: Member,
    roles: &'static str,
    address: Ipv4Addr,
    broker_port: u16,
    controller_port: u16,
    /// Of the brokers' own listener, where there is one.
    internal_port: u16,
    /// Where it answers `GET /metrics`, if its software does.
    metrics: SocketAddr,
    dir: PathBuf,
    child: Option<Child>,
    /// It runs the other version.
    is_upgraded: bool,
    /// The file system of its data, where it has one of its own.
    disk: Option<Disk>,
    /// What its data is served through; its real directory is `backing` then.
    fuse: Option<Fuse>,
    /// What its processes are in, where that can be limited.
    group: Option<Group>,
    /// The undo record of the process that runs.
    undo: Option<u64>,
}

pub struct Local {
    layout: Layout,
    software: Box<dyn Software>,
    /// The version that nodes may be upgraded to.
    upgrade: Option<Box<dyn Software>>,
    nodes: Vec<Node>,
    /// The network of namespaces that the nodes are in; none: the machine's own loopback.
    world: Option<World>,
    /// In front of the brokers, where the plan's faults need them.
    proxies: Option<Proxies>,
    /// Of the nodes, where the plan's faults need them.
    clocks: Option<Clocks>,
    /// Of the topic that faults may be about.
    administrator: Option<Administrator>,
    /// The load's, which faults may be about.
    clients: Option<Box<dyn Clients>>,
    undo: UndoLog,
}

impl Local {
    /// Chooses ports and writes every node's `server.properties` under `dir/<node>/`; starts nothing.
    pub fn prepare(
        layout: Layout,
        software: Box<dyn Software>,
        mut world: Option<World>,
        dir: &Path,
        undo: UndoLog,
    ) -> Result<Local> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        let count = layout.brokers + layout.controllers;
        let ports = free_ports((4 * count + 2 * layout.brokers) as usize)?;
        let mut nodes = Vec::new();
        for index in 0..count {
            let is_broker = index < layout.brokers;
            let name = if is_broker {
                format!("n{}", index + 1)
            } else {
                format!("c{}", index - layout.brokers + 1)
            };
            let roles = match (is_broker, layout.controllers) {
                (true, 0) => "broker,controller",
                (true, _) => "broker",
                (false, _) => "controller",
            };
            let at = 4 * index as usize;
            let (address, broker_port, controller_port, metrics_port) = match &mut world {
                None => (Ipv4Addr::LOCALHOST, ports[at], ports[at + 1], ports[at + 3]),
                Some(world) => {
                    let joined = world.join(&name, index + 1);
                    let address =
                        joined.with_context(|| format!("no network namespace for {name}"))?;
                    (address, BROKER_PORT, CONTROLLER_PORT, METRICS_PORT)
                }
            };
            let dir = dir.join(&name);
            let data = dir.join(if layout.fuse { "backing" } else { "data" });
            let disk = match layout.disks {
                true => Some(places::own_disk(&dir, &data)?),
                false => None,
            };
            let fuse = match layout.fuse {
                true => {
                    let served = Fuse::make(&data, &dir.join("data"));
                    Some(served.with_context(|| format!("cannot serve {}", data.display()))?)
                }
                false => None,
            };
            let group = match layout.groups {
                true => Some(places::own_group(&format!("{}-{name}", layout.cluster_id), &undo)?),
                false => None,
            };
            nodes.push(Node {
                dir,
                member: Member { id: index as i32 + 1, name },
                roles,
                address,
                broker_port,
                controller_port,
                internal_port: ports[at + 2],
                metrics: SocketAddr::from((address, metrics_port)),
                child: None,
                is_upgraded: false,
                disk,
                fuse,
                group,
                undo: None,
            });
        }
        let proxies = match layout.proxies {
            Some(seed) => {
                let brokers = nodes.iter().filter(|n| n.roles.contains("broker"));
                let brokers: Vec<Behind> = brokers
                    .zip(ports[4 * count as usize..].chunks_exact(2))
                    .map(|(n, own)| Behind {
                        name: n.member.name.clone(),
                        id: n.member.id,
                        bound: [n.broker_port, n.internal_port],
                        proxies: [own[0], own[1]],
                    })
                    .collect();
                Some(proxied::start(&brokers, software.as_ref(), seed)?)
            }
            None => None,
        };
        let mut cluster = Local {
            layout,
            software,
            upgrade: None,
            nodes,
            world,
            proxies,
            clocks: None,
            administrator: None,
            clients: None,
            undo,
        };
        for node in &cluster.nodes {
            fs::create_dir_all(&node.dir)
                .with_context(|| format!("cannot make {}", node.dir.display()))?;
            fs::write(node.config(), cluster.properties(node)).with_context(|| {
                format!("cannot write in {}: is the disk full?", node.dir.display())
            })?;
        }
        if cluster.layout.clocks {
            let nodes = cluster.who_tells_time();
            cluster.clocks = Some(Clocks::prepare(&dir, nodes, cluster.software.as_ref())?);
        }
        Ok(cluster)
    }

    /// Nodes may be upgraded to this from now on.
    pub fn may_upgrade_to(&mut self, software: Box<dyn Software>) {
        self.upgrade = Some(software);
    }

    /// How each node is asked for its time: a broker by a partition of its own, at the listener behind any proxy.
    fn who_tells_time(&self) -> Vec<(String, Ask)> {
        let mut partitions = 0..;
        let ask = |node: &Node| match node.roles.contains("broker") {
            true => {
                let at = SocketAddr::from((node.address, node.broker_port));
                let partition = partitions.next().unwrap_or_default();
                (node.member.name.clone(), Ask::Broker { at, partition })
            }
            false => {
                let at = SocketAddr::from((node.address, node.controller_port));
                (node.member.name.clone(), Ask::Controller { at, id: node.member.id })
            }
        };
        self.nodes.iter().map(ask).collect()
    }

    /// Brokers that are to stamp records, so that they tell their time; none where nobody asks them.
    pub fn stampers(&self) -> Vec<i32> {
        let brokers = self.nodes.iter().filter(|n| n.roles.contains("broker"));
        brokers.filter(|_| self.clocks.is_some()).map(|n| n.member.id).collect()
    }

    /// Makes every node's data directory one to start on. Once, before the first start.
    pub fn format(&self) -> Result<()> {
        let configs: Vec<PathBuf> = self.nodes.iter().map(Node::config).collect();
        let configs: Vec<&Path> = configs.iter().map(PathBuf::as_path).collect();
        self.software.format(&configs, &self.layout.cluster_id)?;
        for disk in self.nodes.iter().filter_map(|node| node.disk.as_ref()) {
            // Whoever runs a cluster formatted it long ago. Kafka's tool leaves bootstrap.checkpoint to the page cache, and a
            // node that lost it never starts again.
            disk.sync().context("cannot sync a node's own disk")?;
        }
        Ok(())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.member.name.as_str())
    }

    pub fn topology(&self) -> Topology {
        let of = |role: &str| {
            self.nodes.iter().filter(|n| n.roles.contains(role)).map(|n| n.member.clone()).collect()
        };
        Topology { brokers: of("broker"), controllers: of("controller") }
    }

    /// Faults may be about this topic from now on.
    pub fn administer(&mut self, topic: NewTopic) {
        let admin = Administrator::new(topic, self.brokers(), &self.bootstrap());
        self.administrator = Some(admin);
    }

    /// Faults may be about these clients from now on.
    pub fn serves(&mut self, clients: Box<dyn Clients>) {
        self.clients = Some(clients);
    }

    /// Of the topic that faults may be about.
    pub fn administrator(&mut self) -> Option<&mut Administrator> {
        self.administrator.as_mut()
    }

    /// `host:port` of every broker as clients are told it, with commas between.
    pub fn bootstrap(&self) -> String {
        let brokers = self.nodes.iter().filter(|n| n.roles.contains("broker"));
        let first = |n: &Node| self.listeners(n).first().map(|one| one.advertised.to_string());
        brokers.filter_map(first).collect::<Vec<_>>().join(",")
    }

    /// A broker's listeners, that of clients first.
    fn listeners(&self, node: &Node) -> Vec<Listener> {
        let at = |port| SocketAddr::from((node.address, port));
        let bound = [at(node.broker_port), at(node.internal_port)];
        match &self.proxies {
            Some(proxies) => proxied::listeners(proxies, node.member.id, bound),
            None => {
                let (bound, advertised) = (bound[0], bound[0]);
                vec![Listener { name: "PLAINTEXT", bound, advertised }]
            }
        }
    }

    /// A node's directory: its `server.properties`, `broker.log` and `data`.
    pub fn node_dir(&self, node: &str) -> Option<&Path> {
        self.node(node).map(|n| n.dir.as_path())
    }

    /// Broker ids by name.
    pub fn brokers(&self) -> BTreeMap<String, i32> {
        self.topology().brokers.into_iter().map(|member| (member.name, member.id)).collect()
    }

    /// The ports of a node: broker listener (none on a dedicated controller) and controller listener.
    pub fn ports(&self, node: &str) -> Option<(Option<u16>, Option<u16>)> {
        let node = self.node(node)?;
        let of = |role: &str, port: u16| node.roles.contains(role).then_some(port);
        Some((of("broker", node.broker_port), of("controller", node.controller_port)))
    }

    /// Where each node answers `GET /metrics`; the error says why none does, and what to do.
    pub fn metrics(&self) -> Result<Vec<(String, SocketAddr)>, String> {
        let of = |node: &Node| (node.member.name.clone(), node.metrics);
        let lacks = self.software.lacks_metrics();
        lacks.map_or_else(|| Ok(self.nodes.iter().map(of).collect()), Err)
    }

    pub fn log_path(&self, node: &str) -> Option<PathBuf> {
        self.node(node).map(|n| n.dir.join("broker.log"))
    }

    /// Starts a node that does not run; one that does keeps running.
    pub fn start(&mut self, name: &str) -> Result<u32> {
        let undo = self.undo.clone();
        let Some(node) = self.nodes.iter_mut().find(|n| n.member.name == name) else {
            bail!("there is no node {name}");
        };
        reap(node);
        if let Some(child) = &node.child {
            return Ok(child.id());
        }
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(node.dir.join("broker.log"))
            .with_context(|| format!("cannot open the log of {name} in {}", node.dir.display()))?;
        let config = node.config();
        let software = match &self.upgrade {
            Some(upgrade) if node.is_upgraded => upgrade.as_ref(),
            _ => self.software.as_ref(),
        };
        // Its command line holds an absolute path in this run's directory: no other process has that.
        let record = undo.starting(name, &software.marker(&config))?;
        let mut command = software.command(&config, node.metrics);
        if let Some(clocks) = &self.clocks {
            clocks.follow(name, &mut command);
        }
        if let Some(world) = &self.world {
            command = inside(world, name, &command)?;
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {:?} for {name}", command.get_program()))?;
        let pid = child.id();
        node.child = Some(child);
        undo.started(record, pid)?;
        node.undo = Some(record);
        if let Some(group) = &node.group {
            // Within moments of its start: what it has taken until then is not counted.
            group.adopt(pid).with_context(|| format!("cannot put {name} into its group"))?;
        }
        Ok(pid)
    }

    /// Collects processes that ended; returns the nodes that ended since the last call, with how.
    pub fn ended(&mut self) -> Vec<(String, String)> {
        let mut ended = Vec::new();
        let undo = self.undo.clone();
        for node in &mut self.nodes {
            if let Some(how) = reap(node) {
                if let Some(record) = node.undo.take() {
                    // Not written: then doctor looks for a process that is gone, and finds nothing.
                    let _ = undo.undone(record);
                }
                ended.push((node.member.name.clone(), how));
            }
        }
        ended
    }

    /// SIGTERM to all, SIGKILL to those that are still there after `grace`. SIGCONT comes first: a stopped process
    /// would never see the SIGTERM.
    pub fn stop_all(&mut self, grace: Duration) {
        let grace = if self.software.ends_in_order() { grace } else { Duration::ZERO };
        let deadline = Instant::now() + grace;
        // Brokers first: they give their leadership away with the help of the controllers.
        let (brokers, controllers): (Vec<_>, Vec<_>) =
            self.nodes.iter_mut().partition(|node| node.roles.contains("broker"));
        for mut stage in [brokers, controllers] {
            for node in &mut stage {
                reap(node);
                let Some(process) = node.child.as_ref().and_then(|child| Process::of(child.id()))
                else {
                    continue;
                };
                // It may end in this moment; there is nothing to do about that.
                let _ = process.resume();
                let _ = process.terminate();
            }
            for node in &mut stage {
                let Some(child) = &mut node.child else { continue };
                while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                let _ = child.kill();
                let _ = child.wait();
                node.child = None;
            }
        }
    }

    /// Ends the nodes' own file systems and groups. With `keep` their data is put into their directories, for whoever wants to
    /// look at it later.
    pub fn end_places(&mut self, keep: bool) {
        for node in &mut self.nodes {
            node.end_group();
            if let Some(fuse) = &mut node.fuse {
                fuse.stop();
            }
            let disk = node.disk.take().filter(|_| keep);
            let kept = disk.map_or(Ok(()), Disk::keep);
            if let Err(error) = kept.and_then(|()| node.fuse.take().map_or(Ok(()), Fuse::keep)) {
                // No reason to lose a verdict.
                tracing::warn!(node = node.member.name, %error, "its data could not be kept");
            }
        }
    }

    /// Lets the processes live on when this value ends: somebody else stops them.
    pub fn leave(mut self) {
        for node in &mut self.nodes {
            node.child = None;
        }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.member.name == name)
    }
}

impl Node {
    fn config(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its log directories below `data`, if brokers have so many.
    fn log_dirs(&self, data: &Path, count: u32) -> Vec<PathBuf> {
        match (count, self.roles.contains("broker")) {
            (2.., true) => (1..=count).map(|number| data.join(log_dir(number))).collect(),
            _ => vec![data.to_path_buf()],
        }
    }

    /// Once none of its processes runs.
    fn end_group(&mut self) {
        if let Some(Err(error)) = self.group.take().map(Group::remove) {
            tracing::warn!(node = self.member.name, %error, "its control group is left; `highwater doctor --clean` ends it");
        }
    }
}

impl Nodes for Local {
    fn pid(&self, node: &str) -> Option<u32> {
        self.node(node)?.child.as_ref().map(Child::id)
    }

    fn start(&mut self, node: &str) -> std::io::Result<u32> {
        Local::start(self, node).map_err(|error| std::io::Error::other(format!("{error:#}")))
    }

    fn data_dir(&self, node: &str) -> PathBuf {
        let Some(node) = self.node(node) else { return PathBuf::new() };
        match &node.fuse {
            Some(fuse) => fuse.backing().to_path_buf(),
            None => node.data(),
        }
    }

    fn upgrade(&mut self, node: &str) -> std::io::Result<String> {
        let software = self.upgrade.as_ref();
        let to = software.ok_or_else(|| std::io::Error::other("the plan has no `upgrade_to`"))?;
        let name = to.name();
        let node = self.nodes.iter_mut().find(|n| n.member.name == node);
        node.ok_or_else(|| std::io::Error::other("there is no such node"))?.is_upgraded = true;
        Ok(format!("upgraded to {name}"))
    }

    fn disk(&mut self, node: &str) -> Option<&mut Disk> {
        self.nodes.iter_mut().find(|n| n.member.name == node)?.disk.as_mut()
    }

    fn fuse(&mut self, node: &str) -> Option<&Fuse> {
        self.node(node)?.fuse.as_ref()
    }

    fn group(&mut self, node: &str) -> Option<&Group> {
        self.node(node)?.group.as_ref()
    }

    fn network(&self) -> Option<&World> {
        self.world.as_ref()
    }

    fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    fn clocks(&mut self) -> Option<&mut dyn Timekeeper> {
        self.clocks.as_mut().map(|clocks| clocks as &mut dyn Timekeeper)
    }

    fn topic(&mut self) -> Option<&mut dyn TopicAdmin> {
        let running = self.nodes.iter().filter(|node| node.child.is_some());
        let running = running.map(|node| node.member.name.clone()).collect();
        let admin = self.administrator.as_mut()?;
        admin.runs(&running);
        Some(admin)
    }

    fn clients(&mut self) -> Option<&mut dyn Clients> {
        self.clients.as_deref_mut().map(|clients| clients as &mut dyn Clients)
    }

    fn listener(&self, node: &str) -> Option<SocketAddr> {
        let node = self.node(node).filter(|node| node.roles.contains("broker"))?;
        self.listeners(node).first().map(|listener| listener.advertised)
    }

    fn format(&mut self, node: &str) -> std::io::Result<()> {
        let data = self.data_dir(node);
        let Some(node) = self.node(node) else { return Ok(()) };
        for directory in node.log_dirs(&data, self.layout.log_dirs) {
            fs::create_dir_all(&directory)?;
            self.software.format_again(&directory, node.member.id, &self.layout.cluster_id)?;
        }
        Ok(())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Whatever ended the run, its processes end with it, and what they were in.
        self.stop_all(Duration::ZERO);
        self.nodes.iter_mut().for_each(Node::end_group);
    }
}

/// The same command in the node's namespace.
fn inside(world: &World, node: &str, command: &Command) -> Result<Command> {
    let mut inside = world
        .command(node, command.get_program())
        .with_context(|| format!("{node} has no network namespace"))?;
    inside.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    Ok(inside)
}

/// Forgets a process that ended, and tells how it did.
fn reap(node: &mut Node) -> Option<String> {
    let status = node.child.as_mut()?.try_wait().ok()??;
    node.child = None;
    Some(status.to_string())
}

/// Ports that nobody listens on now. They are all held until the last is chosen, so no two are the same; between
/// this and the node's own bind somebody else could take one, and the node then says so.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").context("cannot find free ports on 127.0.0.1");
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect::<Result<_>>()?;
    listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}
