//! The broker of this very binary.

use super::Software;
use crate::exit::Refused;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Bundled {
    binary: PathBuf,
    name: String,
    defects: Vec<String>,
    seed: u64,
}

impl Bundled {
    pub fn new(defects: Vec<String>, seed: u64) -> Result<Bundled> {
        let binary = std::env::current_exe().context("cannot find the path of this program")?;
        Ok(Bundled { binary, name: "bundled".to_string(), defects, seed })
    }

    /// That of another program, which says its version.
    pub fn of(binary: &str) -> Result<Bundled> {
        let refused = |why: String| Refused::could_not_run(format!("{binary}: {why}"));
        let binary =
            Path::new(binary).canonicalize().map_err(|error| refused(error.to_string()))?;
        let said = Command::new(&binary).arg("--version").output();
        let said = said.map_err(|error| refused(error.to_string()))?;
        let version = String::from_utf8_lossy(&said.stdout).trim().to_string();
        if !said.status.success() || !version.starts_with("highwater ") {
            return Err(refused("`--version` does not say that it is a highwater".into()).into());
        }
        Ok(Bundled { binary, name: version, defects: Vec::new(), seed: 0 })
    }
}

impl Software for Bundled {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn defaults(&self, _brokers: u32) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn own(
        &self,
        node_id: i32,
        cluster_id: &str,
        metrics: SocketAddr,
    ) -> Vec<(&'static str, String)> {
        let mut own = vec![
            ("highwater.metrics.listener", metrics.to_string()),
            ("highwater.cluster.id", cluster_id.to_string()),
            ("highwater.seed", (self.seed ^ node_id as u64).to_string()),
        ];
        if !self.defects.is_empty() {
            own.push(("highwater.defects", self.defects.join(",")));
        }
        own
    }

    fn command(&self, config: &Path, _metrics: SocketAddr) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("broker").arg("--config").arg(config);
        command
    }

    fn lacks_metrics(&self) -> Option<String> {
        None
    }

    fn marker(&self, config: &Path) -> String {
        format!("broker --config {}", config.display())
    }

    fn format(&self, _configs: &[&Path], _cluster_id: &str) -> Result<()> {
        // The broker formats an empty directory by itself: the cluster's id and its own are in its configuration.
        Ok(())
    }

    fn format_again(&self, _data: &Path, _node_id: i32, _cluster_id: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn has_internal_listener(&self) -> bool {
        false
    }

    fn calls(&self) -> fn(i32) -> String {
        |id| format!("highwater-{id}")
    }

    fn dialer(&self) -> fn(&str) -> Option<i32> {
        |name| name.strip_prefix("highwater-")?.parse().ok()
    }

    fn clock_argument(&self) -> Option<&'static str> {
        Some("--clock")
    }

    fn ends_in_order(&self) -> bool {
        true
    }
}
