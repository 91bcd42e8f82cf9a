//! The run directory: where everything of a run is kept, saved in steps so that a crash in one costs nothing of the
//! ones before.
//!
//! Promises: JSON files are replaced whole or not at all; `latest` points at the newest run of a plan; a run
//! directory can be moved. Layout: `store/<plan>/<time>-<seed>/`, see docs/reference/run-directory.md.

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

/// What a run's replicas held, against each other.
pub const REPLICAS: &str = "replicas.json";

/// The directory that holds all runs; `store` in the working directory unless told otherwise.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    undo: PathBuf,
}

impl Store {
    pub fn at(root: impl Into<PathBuf>) -> Store {
        let root = root.into();
        Store { undo: root.join(".undo"), root }
    }

    /// The same store, with its undo records where those of `other` are: a comparison's cells are cleaned up after
    /// together with everything else.
    pub fn with_undo_of(self, other: &Store) -> Store {
        Store { undo: other.undo.clone(), ..self }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where undo records of live runs are kept, outside every run so that `doctor` finds them.
    pub fn undo_dir(&self) -> PathBuf {
        self.undo.clone()
    }

    /// Makes the directory of a new run and points `latest` at it.
    pub fn create_run(&self, plan: &str, seed: u64, wall_ms: i64) -> Result<RunDir> {
        let name = format!("{}-{seed}", reports::words::stamp(wall_ms));
        let parent = self.root.join(plan);
        fs::create_dir_all(&parent).with_context(|| {
            format!(
                "cannot make {}: choose a directory that you may write to with --out",
                parent.display()
            )
        })?;
        let path = unused(&parent, &name);
        fs::create_dir(&path)
            .with_context(|| format!("cannot make the run directory {}", path.display()))?;
        let run = RunDir { path };
        run.point_latest(&parent);
        Ok(run)
    }

    /// Every run there is, oldest first.
    pub fn runs(&self) -> Vec<RunDir> {
        let mut runs = Vec::new();
        for plan in subdirectories(&self.root) {
            for path in subdirectories(&plan) {
                if path.join("run.json").is_file() && !path.is_symlink() {
                    runs.push(RunDir { path });
                }
            }
        }
        runs.sort_by_key(|run| run.path.file_name().map(|name| name.to_os_string()));
        runs
    }
}

fn subdirectories(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.is_dir() && !p.is_symlink()).collect();
    found.sort();
    found
}

/// `name`, or `name-2`, `name-3`, … where an earlier run of the same second has it.
fn unused(parent: &Path, name: &str) -> PathBuf {
    let numbered =
        |n: u32| if n == 1 { parent.join(name) } else { parent.join(format!("{name}-{n}")) };
    (1..).map(numbered).find(|path| !path.exists()).expect("an unused name exists")
}

/// One run's directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// An existing run, by its directory (a symlink such as `latest` is followed) or by one of its files.
    pub fn open(path: &Path) -> Result<RunDir> {
        let path =
            path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
        let path = if path.is_file() {
            path.parent().map(Path::to_path_buf).unwrap_or(path)
        } else {
            path
        };
        anyhow::ensure!(
            path.join("run.json").is_file(),
            "{} is not a run directory: it has no run.json. `highwater list runs` shows the runs here",
            path.display()
        );
        Ok(RunDir { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.path.join("nodes").join(node)
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.file(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let temporary = path.with_extension("tmp");
        let write = || -> std::io::Result<()> {
            fs::write(&temporary, content)?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("cannot write {}: is the disk full?", path.display()))
    }

    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.write(name, &text)
    }

    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.file(name);
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what highwater writes", path.display()))
    }

    /// One value for each line. A last line without its end was cut off and is left out.
    pub fn read_json_lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let path = self.file(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        let parse = |(number, line): (usize, &str)| {
            serde_json::from_str(line).with_context(|| {
                format!("{}:{}: not what highwater writes", path.display(), number + 1)
            })
        };
        whole.lines().enumerate().map(parse).collect()
    }

    fn point_latest(&self, parent: &Path) {
        let link = parent.join("latest");
        let Some(name) = self.path.file_name() else { return };
        // A convenience: a file system without links, or a race with another run, costs only the link.
        let _ = fs::remove_file(&link);
        let _ = std::os::unix::fs::symlink(name, &link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_left_out_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir { path: dir.path().to_path_buf() };
        run.write("x.jsonl", b"1\n2\n3").unwrap();
        assert_eq!(run.read_json_lines::<u32>("x.jsonl").unwrap(), [1, 2]);
        run.write("x.jsonl", b"1\nno\n").unwrap();
        assert!(
            format!("{:#}", run.read_json_lines::<u32>("x.jsonl").unwrap_err())
                .contains("x.jsonl:2")
        );
    }

    /// serde_json's default reading of a number may be off by its last bit; then a stored run renders differently.
    #[test]
    fn every_share_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir { path: dir.path().to_path_buf() };
        let shares: Vec<f64> =
            (1..=20_000).map(|all| f64::from(all - 1) / f64::from(all)).collect();
        run.write_json("shares.json", &shares).unwrap();
        assert_eq!(run.read_json::<Vec<f64>>("shares.json").unwrap(), shares);
    }

    #[test]
    fn two_runs_of_one_second_do_not_meet() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let (first, second) =
            (store.create_run("p", 1, 0).unwrap(), store.create_run("p", 1, 0).unwrap());
        assert_ne!(first.path(), second.path());
        assert_eq!(
            dir.path().join("p/latest").canonicalize().unwrap(),
            second.path().canonicalize().unwrap()
        );
    }
}
