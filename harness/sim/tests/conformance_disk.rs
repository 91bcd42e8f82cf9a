//! The simulated disk against the real one: the same operations, the same answers, the same files in the end.
//!
//! Both arms get the same seeded sequences of every operation, with the errors that a caller can provoke: missing and
//! wrong kinds of files, reads past the end, unopened, closed and poisoned files, offsets that no file has, paths that
//! lead out. Every answer is compared (errors by their kind, not their wording), after each sequence every file and
//! directory; in between the process is killed on both arms: the handles are dropped, and what was answered is there.
//!
//! Not compared: power cuts (a test can't cut a real disk's power; what the simulated one leaves rests on the contract
//! and on what file systems promise, see `sim::disk`), operations that a kill finds under way, EIO, full disks, how long
//! things take, the order among different files, the lengths of directories, operations on the data directory itself
//! (deleting, renaming or replacing it), and files too long for the file system below.

use bytes::Bytes;
use generator::random::Random;
use log::io::{FileId, IoOp, IoResult, Parts, Token};
use server::storage::Worker;
use sim::disk::Disk;
use sim::scenario;
use std::collections::BTreeMap;
use std::path::Path;

const SETTINGS: scenario::Disk = scenario::Disk {
    cached_us_min: 1,
    cached_us_mean: 10,
    sync_us_min: 10,
    sync_us_mean: 100,
    sector_bytes: 4096,
    unsynced_survives_percent: 50,
    stall_per_million: 1_000,
    stall_ms_max: 5,
};

/// The first two are the data directory itself.
const DIRECTORIES: [&str; 8] =
    ["", ".", "a-0", "b-1", "a-0/deep", "gone-2", "a-0/0.log", "b-1/./x"];
const FILES: [&str; 12] = [
    "a-0/0.log",
    "a-0/0.index",
    "b-1/0.log",
    "b-1/state",
    "state",
    "state.tmp",
    "a-0/deep/er",
    "none-3/0.log",
    "gone-2/0.log",
    "a-0/0.log/x",
    "../out",
    "/out",
];

/// Which operations were answered how, to see that the sequences lead everywhere.
type Seen = BTreeMap<(String, String), u64>;

struct Simulated {
    disk: Disk,
    now_ns: u64,
    token: u64,
}

impl Simulated {
    /// Submits all at once; they are for one file, or only one.
    fn perform(&mut self, ops: &[IoOp]) -> Vec<IoResult> {
        let first = self.token;
        for op in ops {
            self.disk.submit(self.now_ns, Token(self.token), op.clone());
            self.token += 1;
        }
        let mut out = Vec::new();
        while let Some(next_ns) = self.disk.next_ns() {
            self.now_ns = next_ns;
            self.disk.advance(next_ns, &mut out);
        }
        let tokens: Vec<u64> = out.iter().map(|(token, _)| token.0).collect();
        assert_eq!(tokens, (first..self.token).collect::<Vec<_>>(), "in order, each once");
        out.into_iter().map(|(_, result)| result).collect()
    }
}

/// Draws operations, knowing about the files only what makes them interesting.
struct Script {
    random: Random,
    next_file: u64,
    /// Where the last write to a file ended, as far as this knows.
    ends: BTreeMap<u64, u64>,
}

impl Script {
    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn path(&mut self) -> String {
        let pool: &[&str] = if self.one_in(6) { &DIRECTORIES[2..] } else { &FILES };
        let index = self.below(pool.len());
        pool[index].to_owned()
    }

    fn directory(&mut self) -> String {
        let index = self.below(DIRECTORIES.len());
        DIRECTORIES[index].to_owned()
    }

    fn data(&mut self) -> Bytes {
        let len = [0, 1, 17, 512, 4_096, 9_000][self.below(6)];
        let salt = self.random.next() as u8;
        Bytes::from((0..len).map(|n: u32| (n as u8).wrapping_mul(7) ^ salt).collect::<Vec<_>>())
    }

    fn offset(&mut self, end: u64) -> u64 {
        match self.below(12) {
            0 => end + self.random.below(20_000),
            1 => u64::MAX - self.random.below(3),
            2..=4 => end,
            _ => self.random.below(end + 1),
        }
    }

    /// A recent file: mostly one that is open.
    fn file(&mut self) -> u64 {
        self.next_file.saturating_sub(self.random.below(5))
    }

    fn next(&mut self) -> Vec<IoOp> {
        match self.below(20) {
            0..=2 => {
                self.next_file += 1;
                let (file, create) = (FileId(self.next_file), !self.one_in(4));
                vec![IoOp::Open { file, path: self.path(), create }]
            }
            3..=11 => {
                let file = self.file();
                let count = self.below(6) + 1;
                (0..count).map(|_| self.on_file(file)).collect()
            }
            _ => vec![self.on_path()],
        }
    }

    fn on_file(&mut self, id: u64) -> IoOp {
        let file = FileId(id);
        let end = self.ends.get(&id).copied().unwrap_or(0);
        let op = match self.below(16) {
            0..=5 => {
                let count = self.below(6);
                let parts: Parts = (0..count).map(|_| self.data()).collect();
                let at = if self.one_in(8) { self.offset(end) } else { end };
                IoOp::Append { file, at, parts }
            }
            6 | 7 => IoOp::WriteAt { file, at: self.offset(end), data: self.data() },
            8..=10 => {
                let len = [0, 1, 100, 5_000, 1_000_000][self.below(5)];
                IoOp::Read { file, at: self.offset(end), len }
            }
            11 | 12 => IoOp::Sync { file },
            13 if self.one_in(10) => IoOp::Truncate { file, len: 2 << 20 },
            13 | 14 => IoOp::Truncate { file, len: self.offset(end) },
            _ if self.one_in(3) => IoOp::Close { file },
            _ => IoOp::Sync { file },
        };
        match &op {
            IoOp::Append { at, parts, .. } if *at < 1 << 40 => {
                let len: usize = parts.iter().map(Bytes::len).sum();
                self.ends.insert(id, end.max(at + len as u64));
            }
            IoOp::WriteAt { at, data, .. } if *at < 1 << 40 => {
                self.ends.insert(id, end.max(at + data.len() as u64));
            }
            IoOp::Truncate { len, .. } if *len < 1 << 40 => {
                self.ends.insert(id, *len);
            }
            _ => {}
        }
        op
    }

    fn on_path(&mut self) -> IoOp {
        match self.below(22) {
            0..=2 => IoOp::List { dir: self.directory() },
            3..=6 => IoOp::CreateDir { path: self.directory() },
            7 => {
                let path = self.path();
                IoOp::DeleteDir { path }
            }
            8 | 9 => {
                IoOp::SyncDir { path: if self.one_in(4) { self.path() } else { self.directory() } }
            }
            10..=13 => IoOp::Rename { from: self.path(), to: self.path() },
            14 | 15 => IoOp::Delete { path: self.path() },
            16..=18 => IoOp::ReadFile { path: self.path() },
            _ => IoOp::Replace { path: self.path(), data: self.data() },
        }
    }
}

/// An answer in words that both arms share.
fn told(result: &IoResult) -> String {
    match result {
        IoResult::Done => "done".to_owned(),
        IoResult::Opened { len } => format!("opened, {len} bytes"),
        IoResult::Listed(entries) => {
            let entry = |entry: &log::io::DirEntry| match entry.is_dir {
                true => format!("{}/", entry.name),
                false => format!("{} {}", entry.name, entry.len),
            };
            format!("listed {:?}", entries.iter().map(entry).collect::<Vec<_>>())
        }
        IoResult::Data(data) => format!("{} bytes {:08x}", data.len(), crc(data)),
        IoResult::Failed(error) => format!("failed: {:?}", error.kind),
    }
}

fn crc(data: &[u8]) -> u32 {
    data.iter().fold(1, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn note(seen: &mut Seen, op: &IoOp, result: &IoResult) {
    let words = |text: String| text.split([' ', ',', '{']).next().unwrap_or("").to_owned();
    let answer = match result {
        IoResult::Failed(error) => format!("{:?}", error.kind),
        other => words(format!("{other:?}")).split('(').next().unwrap_or("").to_owned(),
    };
    *seen.entry((words(format!("{op:?}")), answer)).or_default() += 1;
}

/// Files with their content, and directories, below a real directory.
fn real_tree(root: &Path, below: &str, tree: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in std::fs::read_dir(root.join(below)).expect("a directory that lists") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name of ours");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().expect("a type").is_dir() {
            tree.insert(path.clone(), None);
            real_tree(root, &path, tree);
        } else {
            let content = std::fs::read(entry.path()).expect("a file that reads");
            tree.insert(path, Some(content));
        }
    }
}

fn simulated_tree(
    simulated: &mut Simulated,
    below: &str,
    tree: &mut BTreeMap<String, Option<Vec<u8>>>,
) {
    let list = IoOp::List { dir: below.to_owned() };
    let IoResult::Listed(entries) = simulated.perform(&[list]).remove(0) else {
        panic!("{below} does not list");
    };
    for entry in entries {
        let path = if below.is_empty() { entry.name } else { format!("{below}/{}", entry.name) };
        if entry.is_dir {
            tree.insert(path.clone(), None);
            simulated_tree(simulated, &path, tree);
        } else {
            let content = simulated.disk.content(&path).expect("it was listed");
            tree.insert(path, Some(content.to_vec()));
        }
    }
}

fn compare_trees(seed: u64, root: &Path, simulated: &mut Simulated) {
    let (mut real, mut ours) = (BTreeMap::new(), BTreeMap::new());
    real_tree(root, "", &mut real);
    simulated_tree(simulated, "", &mut ours);
    let names = |tree: &BTreeMap<String, Option<Vec<u8>>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&real), "seed {seed}");
    for (path, content) in &real {
        assert!(ours[path] == *content, "seed {seed}: {path} differs");
    }
    let files: Vec<String> = ours
        .iter()
        .filter(|(_, content)| content.is_some())
        .map(|(path, _)| path.clone())
        .collect();
    let mut paths = simulated.disk.paths();
    paths.sort();
    assert_eq!(paths, files, "seed {seed}");
}

fn run(seed: u64, seen: &mut Seen) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // One level down, so that a path that led out would be noticed.
    let root = directory.path().join("data");
    std::fs::create_dir(&root).expect("a directory");
    let mut real = Worker::new(root.clone());
    let disk = Disk::new(SETTINGS, Random::new(seed, "disk"));
    let mut simulated = Simulated { disk, now_ns: 0, token: 1 };
    let mut script =
        Script { random: Random::new(seed, "script"), next_file: 0, ends: BTreeMap::new() };
    for step in 0..400 {
        if script.one_in(80) {
            // The kernel closes what the process had open; the page cache stays.
            real = Worker::new(root.clone());
            simulated.disk.kill();
            compare_trees(seed, &root, &mut simulated);
            continue;
        }
        let ops = script.next();
        let ours = simulated.perform(&ops);
        for (op, ours) in ops.into_iter().zip(ours) {
            let theirs = real.perform(op.clone());
            let same = told(&ours) == told(&theirs);
            assert!(same, "seed {seed}, step {step}: {op:?}\nsimulated {ours:?}\nreal {theirs:?}");
            note(seen, &op, &theirs);
        }
    }
    compare_trees(seed, &root, &mut simulated);
    let outside = std::fs::read_dir(directory.path()).expect("it lists").count();
    assert_eq!(outside, 1, "seed {seed}: something was written outside of the data directory");
}

#[test]
fn the_simulated_disk_answers_as_the_real_one() {
    let mut seen = Seen::new();
    for seed in 0..20 {
        run(seed, &mut seen);
    }
    let expected = [
        ("List", &["Listed", "NotFound", "Other"][..]),
        ("CreateDir", &["Done", "Other"]),
        ("DeleteDir", &["Done", "Other"]),
        ("Open", &["Opened", "NotFound", "Other"]),
        ("Close", &["Done"]),
        ("Append", &["Done", "Other", "Poisoned"]),
        ("WriteAt", &["Done", "Other", "Poisoned"]),
        ("Read", &["Data", "Other", "Poisoned"]),
        ("Sync", &["Done", "Poisoned"]),
        ("Truncate", &["Done", "Other", "Poisoned"]),
        ("SyncDir", &["Done", "NotFound", "Other"]),
        ("Rename", &["Done", "NotFound", "Other"]),
        ("Delete", &["Done", "Other"]),
        ("ReadFile", &["Data", "NotFound", "Other"]),
        ("Replace", &["Done", "NotFound", "Other"]),
    ];
    for (op, answers) in expected {
        for answer in answers {
            let count = seen.get(&(op.to_owned(), (*answer).to_owned())).copied().unwrap_or(0);
            assert!(count >= 5, "{op} was answered {answer} {count} times only: {seen:?}");
        }
    }
}
