//! The start: whose directory this is, and the parts that follow from it.
//!
//! Promises: an empty directory is formatted as `kafka-storage format` would; one that belongs to another node or cluster, or
//! that holds data and no identity, is refused with what to do about it.

use log::checkpoint::{
    META_PROPERTIES_FILE, MetaProperties, format_meta_properties, parse_meta_properties,
};
use log::io::{DirEntry, IoErrorKind, IoOp, IoResult, Token};
use uuid::Uuid;

use super::Node;
use super::active::ActiveController;
use super::serving::Broker;
use crate::config::derived_uuid;
use crate::context::{IoOwner, Severity};

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    pub cluster_id: String,
    pub directory_id: Uuid,
    /// Another one in each life of the process.
    pub incarnation_id: Uuid,
}

#[derive(Default)]
pub struct Boot {
    listing: Option<Token>,
    reading: Option<Token>,
    formatting: Option<(Token, MetaProperties)>,
    entries: Vec<DirEntry>,
}

impl Node {
    pub(super) fn start(&mut self) {
        let config = &self.shared.config;
        let (node_id, directory) = (config.node_id, config.data_dir().to_owned());
        let defects: Vec<_> = config.highwater_defects.iter().collect();
        self.shared.say(Severity::Info, format!("node {node_id} starts in {directory}"));
        for defect in defects {
            let (name, doc) = (defect.name(), defect.doc());
            let line = format!("SEEDED DEFECT {name} is on: this broker {doc}");
            self.shared.say(Severity::Warn, line);
        }
        self.boot.listing = Some(self.shared.io.submit(IoOp::List { dir: String::new() }));
        self.shared.context().claim_io(IoOwner::Node);
    }

    pub(super) fn on_boot_io(&mut self, token: Token, result: IoResult) {
        let directory = self.shared.config.data_dir().to_owned();
        if self.boot.listing == Some(token) {
            match result {
                IoResult::Listed(entries) => self.boot.entries = entries,
                IoResult::Failed(error) => {
                    self.shared
                        .context()
                        .fatal(format!("cannot read the data directory {directory}: {error}"));
                    return;
                }
                other => unreachable!("a listing is answered by one, not by {other:?}"),
            }
            let path = META_PROPERTIES_FILE.to_owned();
            self.boot.reading = Some(self.shared.io.submit(IoOp::ReadFile { path }));
            self.shared.context().claim_io(IoOwner::Node);
        } else if self.boot.reading == Some(token) {
            match result {
                IoResult::Data(data) => self.read_identity(&data),
                IoResult::Failed(error) if error.kind == IoErrorKind::NotFound => self.format(),
                IoResult::Failed(error) => self.shared.context().fatal(error.to_string()),
                other => unreachable!("a read is answered by data, not by {other:?}"),
            }
        } else if let Some((_, meta)) = self.boot.formatting.take_if(|(t, _)| *t == token) {
            match result {
                IoResult::Failed(error) => {
                    self.shared
                        .context()
                        .fatal(format!("cannot format the data directory {directory}: {error}"));
                }
                _ => self.start_parts(meta),
            }
        }
    }

    fn read_identity(&mut self, data: &[u8]) {
        let config = &self.shared.config;
        let path = format!("{}/{META_PROPERTIES_FILE}", config.data_dir());
        let refused = match parse_meta_properties(&String::from_utf8_lossy(data)) {
            Err(error) => format!(
                "{path} does not read: {error}; restore it, or start with an empty log.dirs"
            ),
            Ok(meta) if meta.node_id != config.node_id => format!(
                "{path} says that this directory belongs to node {}, and this is node {}; correct node.id or log.dirs",
                meta.node_id, config.node_id
            ),
            Ok(meta) => match &config.highwater_cluster_id {
                Some(wanted) if *wanted != meta.cluster_id => format!(
                    "{path} says that this directory belongs to cluster {}, and highwater.cluster.id is {wanted}; correct one of them, or start with an empty log.dirs",
                    meta.cluster_id
                ),
                _ => {
                    self.start_parts(meta);
                    return;
                }
            },
        };
        self.shared.context().fatal(refused);
    }

    fn format(&mut self) {
        let config = &self.shared.config;
        if let Some(entry) = self.boot.entries.iter().find(|entry| entry.is_dir) {
            let message = format!(
                "the data directory {} holds {} but no {META_PROPERTIES_FILE}, so nobody can tell whose data this is; restore that file, or start with an empty log.dirs",
                config.data_dir(),
                entry.name
            );
            self.shared.context().fatal(message);
            return;
        }
        let cluster_id = config.initial_cluster_id();
        let directory_id = if config.is_controller() {
            raft::directory_id_for(&cluster_id, config.node_id)
        } else {
            self.drawn_uuid("directory")
        };
        let node_id = self.shared.config.node_id;
        let meta = MetaProperties { cluster_id, node_id, directory_id };
        self.shared.say(
            Severity::Info,
            format!("formatting the empty directory for cluster {}", meta.cluster_id),
        );
        let data = format_meta_properties(&meta).into();
        let path = META_PROPERTIES_FILE.to_owned();
        let token = self.shared.io.submit(IoOp::Replace { path, data });
        self.shared.context().claim_io(IoOwner::Node);
        self.boot.formatting = Some((token, meta));
    }

    /// A random id that no other life of this node draws: the time is mixed in, since a fixed seed would repeat itself.
    fn drawn_uuid(&self, what: &str) -> Uuid {
        let (now, node_id) = (self.shared.now, self.shared.config.node_id);
        derived_uuid(&format!("{what}|{}|{node_id}|{}|{}", self.seed, now.wall_ms, now.mono_ns))
    }

    fn start_parts(&mut self, meta: MetaProperties) {
        let incarnation_id = self.drawn_uuid("incarnation");
        let identity = Identity {
            cluster_id: meta.cluster_id,
            directory_id: meta.directory_id,
            incarnation_id,
        };
        if self.shared.config.is_controller() {
            let config = self.shared.config.clone();
            self.controller = Some(ActiveController::new(config, &identity, self.seed));
        }
        self.start_quorum(&identity);
        if self.shared.config.is_broker() {
            let mut broker = Broker::new(&self.shared.config, &identity);
            broker.replicas.start(&mut self.shared.context());
            self.broker = Some(broker);
        }
        self.identity = Some(identity);
        self.release_held();
    }
}
