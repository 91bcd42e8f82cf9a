//! What can be done to a node, to the topic, or to the clients: the catalogue of deeds, their parameters, and what each of them needs.
//!
//! Promises: a deed is plain data with every parameter in it; printed as keys ([`Deed::parameters`]) and read again it is
//! the same deed. To add one: a row of the catalogue here, its variant of [`Deed`], its keys in `raw` and
//! `check/deeds`, a module in `faults/inject`, and its meaning in the simulation (`harness/sim/src/planned`); the compiler
//! asks for each. Not here: whom it hits (roles), and how it is carried out.

use crate::client_deed::ClientDeed;
use crate::clock_deed::ClockDeed;
pub use crate::cut::{Connections, Cut, Direction, How, Rhythm};
use crate::files::{Operation, Pattern};
use crate::link::Link;
use crate::shape::Shape;
use crate::topic_deed::TopicDeed;
use crate::units::{Bytes, Millis};
use model::fault::Destroys;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A row for each deed: its variant, its word, what it [`Needs`], the [`Resource`] that it lays hands on, and what it does, in a
/// sentence for `highwater list faults`.
macro_rules! catalogue {
    ($($name:ident $word:literal $needs:ident $resource:ident $about:literal,)*) => {
        /// A deed's word in plans, records and reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum DeedName {
            $($name,)*
        }

        impl DeedName {
            pub const ALL: [DeedName; [$($word),*].len()] = [$(DeedName::$name,)*];

            /// As plans spell it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(DeedName::$name => $word,)*
                }
            }

            /// What it does, in a sentence.
            pub fn about(self) -> &'static str {
                match self {
                    $(DeedName::$name => $about,)*
                }
            }

            /// What must be there before it can be done at all.
            pub fn needs(self) -> Needs {
                match self {
                    $(DeedName::$name => Needs::$needs,)*
                }
            }

            /// What of a node it lays hands on.
            pub fn resource(self) -> Resource {
                match self {
                    $(DeedName::$name => Resource::$resource,)*
                }
            }
        }
    };
}

catalogue! {
    Kill "kill" Nothing Process
        "SIGKILL; the process is started again on its own data when it is healed",
    Terminate "terminate" Nothing Process
        "SIGTERM, and SIGKILL to what outlives its grace; started again when it is healed",
    Upgrade "upgrade" Nothing Process
        "SIGTERM; when it is healed, the target's other version is started on the same data",
    Stall "stall" Nothing Process
        "SIGSTOP, like a long garbage collection; SIGCONT when it is healed",
    Stutter "stutter" Nothing Process
        "short stalls, one after the other, for as long as it is held",
    CrashLoop "crash-loop" Nothing Process
        "SIGKILL, and again each time that it has run for so long, for as long as it is held; then it is left to run",
    Wipe "wipe" Nothing Process
        "SIGKILL and an empty disk; started again with the same node id",
    PowerLoss "power-loss" Disks Process
        "the machine goes dark: whatever its disk had not been told to keep is gone; started again when it is healed",
    TornWrite "torn-write" Fuse Process
        "SIGKILL, and of each log's newest write that was not synced only some sectors are there; started again when it is healed",
    BitFlip "bit-flip" Nothing Process
        "SIGKILL, and bits flip in its files; started again on them when it is healed",
    TruncateTail "truncate-tail" Nothing Process
        "SIGKILL, and the newest segments lose their last bytes; started again on them when it is healed",
    OldSnapshot "old-snapshot" Nothing Process
        "its data is copied; when it is healed it is killed, and started again on the copy",
    IoError "io-error" Fuse Disk
        "operations on its files fail with EIO",
    FsyncError "fsync-error" Fuse Disk
        "the next sync of each of its files fails with EIO and loses what it was to sync; the one after it succeeds",
    LogDirOffline "log-dir-offline" Fuse Disk
        "everything on one of its log directories fails with EIO; it is killed and started again when it is healed",
    Slow "slow" Fuse Disk
        "each operation on its files takes so much longer",
    Full "full" Disks Disk
        "no space is left on its disk",
    CpuLimit "cpu-limit" Groups Limits
        "its processes get so much of one CPU, and no more",
    MemoryLimit "memory-limit" Groups Limits
        "its memory, with what the kernel caches of its files, is so much and no more",
    Cut "cut" Namespaces Network
        "packets between the nodes and their peers are lost, or refused",
    Isolate "isolate" Namespaces Network
        "cut off from every other node and from the clients",
    Flap "flap" Namespaces Network
        "a cut that comes and goes for as long as it is held",
    Split "split" Namespaces Network
        "the whole cluster falls apart in a shape; clients reach all of it",
    Delay "delay" Proxy Links
        "what goes over the links arrives later, and in order",
    Rate "rate" Proxy Links
        "the links carry so many bytes a second and no more",
    Reset "reset" Proxy Links
        "connections that stand are reset (RST), once or again and again",
    HalfOpen "half-open" Proxy Links
        "connections stay, and nothing is carried and nothing closed; they are reset when it is healed",
    Slice "slice" Proxy Links
        "what goes over the links comes in small pieces with pauses",
    LimitBytes "limit-bytes" Proxy Links
        "a connection is closed when it has carried so many bytes",
    Loss "loss" Proxy Links
        "segments are lost: each time the connection stops until they would have been sent again",
    LoseResponse "lose-response" Proxy Links
        "requests of one API reach the broker, their responses are lost and the connection closes",
    DelayApi "delay-api" Proxy Links
        "requests of one API reach the broker later",
    FailApi "fail-api" Proxy Links
        "requests of one API are answered with an error, and never reach the broker",
    StaleMetadata "stale-metadata" Proxy Links
        "clients are told who led what when it was injected",
    ClockJump "clock-jump" Clocks Clock
        "the node's wall clock is off by so much; it jumps back when it is healed",
    ClockDrift "clock-drift" Clocks Clock
        "the node's wall clock runs fast or slow; it tells true time again when it is healed",
    ClockStrobe "clock-strobe" Clocks Clock
        "the node's wall clock jumps to and fro between true time and a wrong one, for as long as it is held",
    ElectPreferred "elect-preferred" Nothing Topic
        "partitions go back to the first of their replicas by an election",
    ChangeConfig "change-config" Nothing Topic
        "a setting of the topic is changed; it is put back when it is healed",
    Reassign "reassign" Nothing Topic
        "partitions get other replicas, or fewer or more of them; those they had when it is healed",
    ElectUnclean "elect-unclean" Nothing Topic
        "partitions without a leader get one that was not in sync",
    DeleteRecords "delete-records" Nothing Topic
        "the oldest records of partitions are deleted, for good",
    AddPartitions "add-partitions" Nothing Topic
        "the topic gets more partitions, for good, and the load uses them",
    DeleteAndRecreateTopic "delete-and-recreate-topic" Nothing Topic
        "the topic is deleted, for good, and made again under its name; the load goes on with the new one",
    TransferLeadership "transfer-leadership" Nothing Topic
        "partitions are led by another replica in sync, put first among them; their former order when it is healed",
    KillProducer "kill-producer" Nothing Clients
        "a producer's session ends with requests in flight; another one takes its place when it is healed",
    StallConsumer "stall-consumer" Nothing Clients
        "a member of the group stops polling until it is thrown out; it polls again when it is healed",
    Fence "fence" Nothing Clients
        "a second session takes the transactional id of one that has a transaction open, and that one goes on",
    ConnectionStorm "connection-storm" Nothing Clients
        "many connections to a broker are opened at once, and held",
}

impl DeedName {
    /// Which copies it destroys.
    pub fn destroys(self) -> Destroys {
        match self {
            // What a copy lost of its files nobody can tell from records: it counts as no copy any more.
            DeedName::Wipe | DeedName::BitFlip | DeedName::TruncateTail => Destroys::Disk,
            DeedName::PowerLoss | DeedName::TornWrite | DeedName::FsyncError => Destroys::Unsynced,
            DeedName::OldSnapshot => Destroys::Newer,
            _ => Destroys::Nothing,
        }
    }
}

impl fmt::Display for DeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a deed needs of the machine and of the target; a plan that needs what is not there is refused before anything is
/// touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// Processes of our own, which every local target has, the cluster's own APIs, and clients of our own.
    Nothing,
    /// A network namespace for each node.
    Namespaces,
    /// A file system of its own for each node.
    Disks,
    /// A file system that can fail for each node.
    Fuse,
    /// A control group for each node.
    Groups,
    /// A proxy in front of each broker.
    Proxy,
    /// A wall clock of its own for each node.
    Clocks,
}

impl Needs {
    pub const ALL: [Needs; 7] = [
        Needs::Nothing,
        Needs::Namespaces,
        Needs::Disks,
        Needs::Fuse,
        Needs::Groups,
        Needs::Proxy,
        Needs::Clocks,
    ];

    /// For `highwater doctor`: what it takes, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Needs::Nothing => {
                "signals to processes that we started, their files, and requests to the cluster; no privilege needed"
            }
            Needs::Namespaces => {
                "a network namespace for each node: Linux, root or user namespaces, and the programs `ip`, `nft` and `nsenter`"
            }
            Needs::Disks => {
                "an ext4 in a file for each node: Linux, root, loop devices, and the programs `mkfs.ext4`, `mount` and `umount`"
            }
            Needs::Fuse => {
                "a FUSE file system between each node and its data: Linux, root, /dev/fuse, and the program `dd`"
            }
            Needs::Groups => {
                "a control group for each node: Linux, root, and the controllers cpu and memory of either version"
            }
            Needs::Proxy => "a proxy in front of each broker, in this process; no privilege needed",
            Needs::Clocks => {
                "a wall clock for each node: of the bundled broker anywhere, of Apache Kafka on Linux with a `java` that is linked dynamically; no privilege needed"
            }
        }
    }

    /// The deeds that need it.
    pub fn deeds(self) -> impl Iterator<Item = DeedName> {
        DeedName::ALL.into_iter().filter(move |deed| deed.needs() == self)
    }
}

/// What faults can meet on. Two faults on one node's process exclude each other; those on its running disk stack, and so do
/// limits and cuts, and go with anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// One life at a time: what is dead can't be stopped, and the end of the one fault would undo the other.
    Process,
    Disk,
    /// What its processes may have of the machine.
    Limits,
    Network,
    /// The connections that go through a proxy.
    Links,
    /// What it takes for the time of day.
    Clock,
    /// Nothing of a node: the plan's topic, or partitions of it.
    Topic,
    /// The run's own clients, or connections like theirs.
    Clients,
}

impl Resource {
    /// Whether a fault on it may end a node: one whose disk fails ends by itself, and one without memory is killed.
    pub fn ends_nodes(self) -> bool {
        match self {
            Resource::Process | Resource::Disk | Resource::Limits => true,
            Resource::Network | Resource::Links | Resource::Clock => false,
            Resource::Topic | Resource::Clients => false,
        }
    }

    /// Whether two faults on it may be on one node at the same time. Which ones may be on one partition, the deeds say
    /// ([`TopicDeed::excludes`]); a client is one life, as a process is.
    pub fn stacks(self) -> bool {
        match self {
            Resource::Process | Resource::Clients => false,
            Resource::Disk
            | Resource::Limits
            | Resource::Network
            | Resource::Links
            | Resource::Clock
            | Resource::Topic => true,
        }
    }
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// SIGKILL. Healed by starting the node again on its own data.
    Kill,
    /// SIGTERM; SIGKILL to what still runs after the grace. Healed by starting the node again.
    Terminate { grace: Millis },
    /// The same, and the target's other version is what is started.
    Upgrade { grace: Millis },
    /// SIGSTOP. Healed by SIGCONT.
    Stall,
    /// SIGSTOP and SIGCONT in turn. Healed by SIGCONT.
    Stutter { stopped: Millis, running: Millis },
    /// SIGKILL; started again after the pause, and killed again when it has run for so long. Healed by leaving it to run.
    CrashLoop { running: Millis, pause: Millis },
    /// SIGKILL, then everything in its data directory is destroyed. Healed by starting it again with the same node
    /// id on an empty disk.
    Wipe,
    /// The node's disk loses what it had not been told to keep, and the process is killed. Healed by starting it again on
    /// what is left.
    PowerLoss,
    /// SIGKILL; of the newest unsynced write of each file of the path some sectors are kept. Healed by starting the node again.
    TornWrite { path: Pattern },
    /// SIGKILL; so many bits flip in files of the path. Healed by starting the node again.
    BitFlip { path: Pattern, bits: u32 },
    /// SIGKILL; the newest file of the path in each directory loses its last bytes. Healed by starting the node again.
    TruncateTail { path: Pattern, bytes: Bytes },
    /// The data directory is copied while the process stands still. Healed by SIGKILL, the copy in the directory's place,
    /// and a start on it.
    OldSnapshot,
    /// So many of a hundred operations on files of the path fail with EIO. Healed by no more of it, and by starting a node that
    /// has ended.
    IoError { operation: Operation, probability: u8, path: Pattern },
    /// The next sync of each file of the path fails, and loses what it was to sync. Healed like an `io-error`.
    FsyncError { path: Pattern },
    /// Everything on that log directory of the node's fails, the first being 1. Healed by no more of it and by SIGKILL, and
    /// starting the node again: a broker takes a directory back only when it starts.
    LogDirOffline { directory: u32 },
    /// Operations take so much longer.
    Slow { operation: Operation, delay: Millis },
    /// No space is left. Healed by space, and by starting a node that has ended.
    Full,
    /// The node's processes get so much of one CPU.
    CpuLimit { percent: u32 },
    /// They get so much memory. Healed by as much as there is, and by starting a node that was killed.
    MemoryLimit { bytes: Bytes },
    /// Packets between the node and its peers are lost.
    Cut(Cut),
    /// The same for all other nodes and the clients, in both directions.
    Isolate { how: How, connections: Connections },
    /// A cut and its end in turn.
    Flap { on: Millis, off: Millis },
    /// The node loses what those on the other side of the shape send, and they what it sends.
    Split { shape: Shape },
    /// What a proxy does to the links with the node's peers.
    Link(Link),
    /// What its wall clock says.
    Clock(ClockDeed),
    /// What an administrator asks of the cluster.
    Topic(TopicDeed),
    /// What befalls clients, or comes from them.
    Client(ClientDeed),
}

impl Deed {
    pub fn name(self) -> DeedName {
        match self {
            Deed::Kill => DeedName::Kill,
            Deed::Terminate { .. } => DeedName::Terminate,
            Deed::Upgrade { .. } => DeedName::Upgrade,
            Deed::Stall => DeedName::Stall,
            Deed::Stutter { .. } => DeedName::Stutter,
            Deed::CrashLoop { .. } => DeedName::CrashLoop,
            Deed::Wipe => DeedName::Wipe,
            Deed::PowerLoss => DeedName::PowerLoss,
            Deed::TornWrite { .. } => DeedName::TornWrite,
            Deed::BitFlip { .. } => DeedName::BitFlip,
            Deed::TruncateTail { .. } => DeedName::TruncateTail,
            Deed::OldSnapshot => DeedName::OldSnapshot,
            Deed::IoError { .. } => DeedName::IoError,
            Deed::FsyncError { .. } => DeedName::FsyncError,
            Deed::LogDirOffline { .. } => DeedName::LogDirOffline,
            Deed::Slow { .. } => DeedName::Slow,
            Deed::Full => DeedName::Full,
            Deed::CpuLimit { .. } => DeedName::CpuLimit,
            Deed::MemoryLimit { .. } => DeedName::MemoryLimit,
            Deed::Cut(_) => DeedName::Cut,
            Deed::Isolate { .. } => DeedName::Isolate,
            Deed::Flap { .. } => DeedName::Flap,
            Deed::Split { .. } => DeedName::Split,
            Deed::Link(link) => link.name(),
            Deed::Clock(deed) => deed.name(),
            Deed::Topic(deed) => deed.name(),
            Deed::Client(deed) => deed.name(),
        }
    }

    /// The word for it in plans, records and reports.
    pub fn as_str(self) -> &'static str {
        self.name().as_str()
    }

    pub fn resource(self) -> Resource {
        self.name().resource()
    }

    pub fn destroys(self) -> Destroys {
        self.name().destroys()
    }

    /// What it does to packets, if it does anything to them.
    pub fn cut(self) -> Option<Cut> {
        match self {
            Deed::Cut(cut) => Some(cut),
            Deed::Isolate { how, connections } => {
                Some(Cut { direction: Direction::Both, how, connections })
            }
            Deed::Flap { .. } | Deed::Split { .. } => Some(Cut::default()),
            Deed::Kill
            | Deed::Terminate { .. }
            | Deed::Upgrade { .. }
            | Deed::Stall
            | Deed::Stutter { .. }
            | Deed::CrashLoop { .. }
            | Deed::Wipe
            | Deed::PowerLoss
            | Deed::TornWrite { .. }
            | Deed::BitFlip { .. }
            | Deed::TruncateTail { .. }
            | Deed::OldSnapshot
            | Deed::IoError { .. }
            | Deed::FsyncError { .. }
            | Deed::LogDirOffline { .. }
            | Deed::Slow { .. }
            | Deed::Full
            | Deed::CpuLimit { .. }
            | Deed::MemoryLimit { .. }
            | Deed::Link(_)
            | Deed::Clock(_)
            | Deed::Topic(_)
            | Deed::Client(_) => None,
        }
    }

    /// How it comes and goes while it is held.
    pub fn rhythm(self) -> Option<Rhythm> {
        match self {
            Deed::Stutter { stopped, running } => Some(Rhythm { on: stopped, off: running }),
            Deed::Flap { on, off } => Some(Rhythm { on, off }),
            Deed::CrashLoop { running, pause } => Some(Rhythm { on: pause, off: running }),
            _ => None,
        }
    }

    /// It holds a node back without ending it, so that it falls behind.
    pub fn holds_back(self) -> bool {
        let limits = |deed: Deed| deed.resource() == Resource::Limits;
        let slows = |deed| limits(deed) || matches!(deed, Deed::Slow { .. } | Deed::Link(_));
        matches!(self, Deed::Stall | Deed::Stutter { .. }) || slows(self) || self.cut().is_some()
    }

    /// How long it may take to be in effect, beyond what every fault is given.
    pub fn takes_ms(self) -> u64 {
        match self {
            Deed::Terminate { grace } | Deed::Upgrade { grace } => grace.0,
            // A probe of ours is as slow as anybody's.
            Deed::Slow { delay, .. } => 2 * delay.0,
            Deed::Clock(deed) => deed.takes_ms(),
            Deed::Topic(deed) => deed.takes_ms(),
            Deed::Client(deed) => deed.takes_ms(),
            _ => 0,
        }
    }

    /// Its parameters by their keys in a plan, all of them.
    pub fn parameters(self) -> Vec<(&'static str, Value)> {
        let word = |word: &str| Value::Text(word.to_string());
        let time = |time: Millis| Value::Text(time.to_string());
        match self {
            Deed::Kill
            | Deed::Stall
            | Deed::Wipe
            | Deed::PowerLoss
            | Deed::OldSnapshot
            | Deed::Full => Vec::new(),
            Deed::TornWrite { path } | Deed::FsyncError { path } => {
                vec![("path", word(path.as_str()))]
            }
            Deed::BitFlip { path, bits } => {
                vec![("path", word(path.as_str())), ("bits", Value::Number(bits.into()))]
            }
            Deed::TruncateTail { path, bytes } => {
                vec![("path", word(path.as_str())), ("bytes", Value::Text(bytes.to_string()))]
            }
            Deed::IoError { operation, probability, path } => vec![
                ("operation", word(operation.as_str())),
                ("probability", Value::Number(probability.into())),
                ("path", word(path.as_str())),
            ],
            Deed::LogDirOffline { directory } => {
                vec![("directory", Value::Number(directory.into()))]
            }
            Deed::Slow { operation, delay: by } => {
                vec![("operation", word(operation.as_str())), ("delay", time(by))]
            }
            Deed::CpuLimit { percent } => vec![("percent", Value::Number(percent.into()))],
            Deed::MemoryLimit { bytes } => vec![("bytes", Value::Text(bytes.to_string()))],
            Deed::Terminate { grace } | Deed::Upgrade { grace } => vec![("grace", time(grace))],
            Deed::Stutter { stopped, running } => {
                vec![("stopped", time(stopped)), ("running", time(running))]
            }
            Deed::CrashLoop { running, pause } => {
                vec![("running", time(running)), ("pause", time(pause))]
            }
            Deed::Cut(cut) => vec![
                ("direction", word(cut.direction.as_str())),
                ("how", word(cut.how.as_str())),
                ("connections", word(cut.connections.as_str())),
            ],
            Deed::Isolate { how, connections } => {
                vec![("how", word(how.as_str())), ("connections", word(connections.as_str()))]
            }
            Deed::Flap { on, off } => vec![("cut", time(on)), ("whole", time(off))],
            Deed::Split { shape } => {
                let mut keys = vec![("shape", word(shape.as_str()))];
                if let Shape::Racks(racks) = shape {
                    keys.push(("racks", Value::Lists(racks.lists())));
                }
                keys
            }
            Deed::Link(link) => link.parameters(),
            Deed::Clock(deed) => deed.parameters(),
            Deed::Topic(deed) => deed.parameters(),
            Deed::Client(deed) => deed.parameters(),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The keys of a plan's fault: its name, and the parameters beside it.
impl Serialize for Deed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("name", self.as_str())?;
        for (key, value) in self.parameters() {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

/// A value as it stands behind a key of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
    Lists(Vec<Vec<String>>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => number.fmt(f),
            Value::List(items) => f.write_str(&items.join(" ")),
            Value::Lists(lists) => {
                let lists: Vec<String> = lists.iter().map(|list| list.join(" ")).collect();
                f.write_str(&lists.join(" | "))
            }
        }
    }
}
