mod crashes;
mod faults;

use super::*;
use log::io::{IoErrorKind, Parts};

pub(super) const SETTINGS: scenario::Disk = scenario::Disk {
    cached_us_min: 5,
    cached_us_mean: 10,
    sync_us_min: 100,
    sync_us_mean: 400,
    sector_bytes: 512,
    unsynced_survives_percent: 50,
    stall_per_million: 0,
    stall_ms_max: 0,
};

/// A disk and whoever asks it, one operation at a time unless said otherwise.
pub(super) struct Rig {
    pub disk: Disk,
    pub now_ns: u64,
    next_token: u64,
}

pub(super) fn rig(seed: u64) -> Rig {
    rig_with(SETTINGS, seed)
}

pub(super) fn rig_with(settings: scenario::Disk, seed: u64) -> Rig {
    let disk = Disk::new(settings, Random::new(seed, "disk"));
    Rig { disk, now_ns: 0, next_token: 0 }
}

impl Rig {
    pub fn submit(&mut self, op: IoOp) -> Token {
        self.next_token += 1;
        self.disk.submit(self.now_ns, Token(self.next_token), op);
        Token(self.next_token)
    }

    /// Waits for all that is under way.
    pub fn finish(&mut self) -> Vec<(Token, IoResult)> {
        let mut out = Vec::new();
        while let Some(next_ns) = self.disk.next_ns() {
            assert!(next_ns >= self.now_ns);
            self.now_ns = next_ns;
            self.disk.advance(next_ns, &mut out);
        }
        out
    }

    pub fn run(&mut self, op: IoOp) -> IoResult {
        let token = self.submit(op);
        let mut out = self.finish();
        assert_eq!((out.len(), out[0].0), (1, token));
        out.remove(0).1
    }

    pub fn done(&mut self, op: IoOp) {
        let told = format!("{op:?}");
        let result = self.run(op);
        assert!(matches!(result, IoResult::Done | IoResult::Opened { .. }), "{told}: {result:?}");
    }

    pub fn fails(&mut self, op: IoOp) -> IoErrorKind {
        match self.run(op) {
            IoResult::Failed(error) => error.kind,
            other => panic!("it worked: {other:?}"),
        }
    }

    pub fn text(&self, path: &str) -> Option<String> {
        self.disk.content(path).map(|data| String::from_utf8_lossy(&data).into_owned())
    }
}

pub(super) fn open(file: u64, path: &str) -> IoOp {
    IoOp::Open { file: FileId(file), path: path.to_owned(), create: true }
}

pub(super) fn append(file: u64, at: u64, text: &str) -> IoOp {
    let (head, tail) = text.split_at(text.len() / 2);
    let parts: Parts =
        [head, tail].into_iter().map(|part| Bytes::copy_from_slice(part.as_bytes())).collect();
    IoOp::Append { file: FileId(file), at, parts }
}

pub(super) fn sync(file: u64) -> IoOp {
    IoOp::Sync { file: FileId(file) }
}

pub(super) fn replace(path: &str, text: &str) -> IoOp {
    IoOp::Replace { path: path.to_owned(), data: Bytes::copy_from_slice(text.as_bytes()) }
}

#[test]
fn operations_on_one_file_end_in_order_and_the_others_race() {
    let mut overtaken = false;
    for seed in 0..50 {
        let mut rig = rig(seed);
        rig.done(open(1, "a"));
        rig.done(open(2, "b"));
        let slow = rig.submit(sync(1));
        let behind: Vec<Token> = (0..5).map(|at| rig.submit(append(1, at, "x"))).collect();
        let other = rig.submit(append(2, 0, "y"));
        let order: Vec<Token> = rig.finish().into_iter().map(|(token, _)| token).collect();
        let place = |token| order.iter().position(|&done| done == token).expect("answered");
        assert!(place(slow) < place(behind[0]));
        assert!(behind.is_sorted_by_key(|&token| place(token)));
        overtaken |= place(other) < place(slow);
        assert_eq!(rig.text("a").as_deref(), Some("xxxxx"));
    }
    assert!(overtaken);
}

#[test]
fn nothing_happens_before_its_time() {
    let mut rig = rig(1);
    rig.submit(open(1, "a"));
    let due_ns = rig.disk.next_ns().expect("under way");
    assert!(due_ns >= 5_000);
    let mut out = Vec::new();
    rig.disk.advance(due_ns - 1, &mut out);
    assert!(out.is_empty() && rig.disk.content("a").is_none());
    assert_eq!(rig.disk.in_process_ops(), 1);
    rig.disk.advance(due_ns, &mut out);
    assert_eq!((out.len(), rig.disk.in_process_ops()), (1, 0));
    assert_eq!(rig.disk.next_ns(), None);
}

#[test]
fn a_seed_decides_everything() {
    let run = |seed| {
        let settings = scenario::Disk { stall_per_million: 100_000, stall_ms_max: 9, ..SETTINGS };
        let mut rig = rig_with(settings, seed);
        rig.done(IoOp::CreateDir { path: "d".to_owned() });
        for file in 1..6 {
            rig.submit(open(file, &format!("d/{file}")));
            rig.submit(append(file, 0, &"text".repeat(700)));
        }
        let order: Vec<Token> = rig.finish().into_iter().map(|(token, _)| token).collect();
        rig.disk.power_loss();
        let contents: Vec<_> = rig.disk.paths().iter().map(|path| rig.text(path)).collect();
        (rig.now_ns, order, rig.disk.paths(), contents, rig.disk.stats())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_deleted_file_lives_as_long_as_it_is_open() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    rig.done(append(1, 0, "text"));
    for n in 0..200 {
        rig.done(replace("other", &n.to_string()));
    }
    rig.done(IoOp::Delete { path: "a".to_owned() });
    rig.done(IoOp::SyncDir { path: String::new() });
    for n in 0..200 {
        rig.done(replace("other", &n.to_string()));
    }
    match rig.run(IoOp::Read { file: FileId(1), at: 0, len: 9 }) {
        IoResult::Data(data) => assert_eq!(data, "text"),
        other => panic!("{other:?}"),
    }
    assert!(rig.disk.state.files.len() < 150, "files without a name are forgotten");
    rig.done(IoOp::Close { file: FileId(1) });
    rig.done(IoOp::SyncDir { path: String::new() });
    rig.disk.sweep();
    assert_eq!(rig.disk.state.files.len(), 1);
}

#[test]
fn a_snapshot_is_not_touched_by_what_comes_after() {
    let mut rig = rig(1);
    rig.done(open(1, "a"));
    rig.done(append(1, 0, "old"));
    let snapshot = rig.disk.snapshot();
    rig.done(append(1, 3, " and new"));
    rig.done(replace("b", "new"));
    assert_eq!(rig.text("a").as_deref(), Some("old and new"));
    rig.disk.kill();
    for _ in 0..2 {
        rig.disk.restore(&snapshot);
        assert_eq!((rig.text("a").as_deref(), rig.disk.paths().len()), (Some("old"), 1));
        rig.done(open(1, "a"));
        rig.done(append(1, 3, "!"));
        rig.disk.kill();
    }
    rig.disk.wipe();
    assert!(rig.disk.paths().is_empty());
    assert_eq!(rig.fails(IoOp::ReadFile { path: "a".to_owned() }), IoErrorKind::NotFound);
}

#[test]
fn preallocated_indexes_cost_next_to_nothing() {
    let mut rig = rig(1);
    for file in 0..100 {
        rig.done(open(file, &format!("{file}.index")));
        rig.done(IoOp::Truncate { file: FileId(file), len: 10 << 20 });
        let data = Bytes::from_static(b"entry");
        rig.done(IoOp::WriteAt { file: FileId(file), at: 0, data });
        rig.done(sync(file));
    }
    let written = |file: &Arc<File>| file.cached().written_pages().count();
    assert_eq!(rig.disk.state.files.values().map(written).sum::<usize>(), 100);
    assert_eq!(rig.disk.content("7.index").map(|data| data.len()), Some(10 << 20));
}

/// What one append costs, with its completion: run with `--ignored --nocapture`.
#[test]
#[ignore = "measures"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn measure_appends() {
    let parts: Parts =
        [Bytes::from(vec![1; 16]), Bytes::from(vec![2; 1_008])].into_iter().collect();
    let mut rig = rig(1);
    let mut out = Vec::new();
    for file in 0..10 {
        rig.done(open(file, &format!("{file}.log")));
    }
    let start = std::time::Instant::now();
    for n in 0..100_000u64 {
        let (file, at) = (FileId(n % 10), n / 10 * 1024);
        rig.submit(IoOp::Append { file, at, parts: parts.clone() });
        rig.now_ns = rig.disk.next_ns().expect("under way");
        rig.disk.advance(rig.now_ns, &mut out);
        out.clear();
    }
    println!("append of 1 KiB: {} ns", start.elapsed().as_nanos() / 100_000);
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        drop(rig.disk.snapshot());
    }
    println!("snapshot of 10 files, 100 MB: {} ns", start.elapsed().as_nanos() / 1_000);
    let start = std::time::Instant::now();
    for n in 0..10_000 {
        rig.done(replace("state", &n.to_string()));
    }
    println!("replace: {} ns", start.elapsed().as_nanos() / 10_000);
    let start = std::time::Instant::now();
    rig.disk.power_loss();
    println!("power loss with 100 MB unsynced: {} us", start.elapsed().as_micros());
}
