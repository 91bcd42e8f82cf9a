use bytes::Bytes;
use log::io::{FileId, IoErrorKind, IoOp, IoResult};

use super::Worker;

fn worker() -> (tempfile::TempDir, Worker) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let worker = Worker::new(directory.path().to_owned());
    (directory, worker)
}

fn data(result: IoResult) -> Bytes {
    match result {
        IoResult::Data(data) => data,
        other => panic!("no data: {other:?}"),
    }
}

#[test]
fn appends_gather_and_read_back() {
    let (_directory, mut worker) = worker();
    let file = FileId(1);
    let path = "a-0/0.log".to_owned();
    assert!(matches!(worker.perform(IoOp::CreateDir { path: "a-0".into() }), IoResult::Done));
    let opened = worker.perform(IoOp::Open { file, path, create: true });
    assert!(matches!(opened, IoResult::Opened { len: 0 }));
    let parts = [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")];
    let append = IoOp::Append { file, at: 0, parts: parts.into_iter().collect() };
    assert!(matches!(worker.perform(append), IoResult::Done));
    let parts = [Bytes::from_static(b"fg")];
    let append = IoOp::Append { file, at: 5, parts: parts.into_iter().collect() };
    assert!(matches!(worker.perform(append), IoResult::Done));
    assert_eq!(data(worker.perform(IoOp::Read { file, at: 1, len: 100 })), "bcdefg");
    assert_eq!(data(worker.perform(IoOp::Read { file, at: 1, len: 3 })), "bcd");
    assert!(matches!(worker.perform(IoOp::Truncate { file, len: 2 }), IoResult::Done));
    assert_eq!(data(worker.perform(IoOp::Read { file, at: 0, len: 9 })), "ab");
    assert!(matches!(worker.perform(IoOp::Sync { file }), IoResult::Done));
}

#[test]
fn replace_is_whole_and_leaves_no_temporary_file() {
    let (_directory, mut worker) = worker();
    for content in ["one", "two"] {
        let replace = IoOp::Replace { path: "state".into(), data: Bytes::from(content) };
        assert!(matches!(worker.perform(replace), IoResult::Done));
        assert_eq!(data(worker.perform(IoOp::ReadFile { path: "state".into() })), content);
    }
    let IoResult::Listed(entries) = worker.perform(IoOp::List { dir: String::new() }) else {
        panic!("not listed");
    };
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].name.as_str(), entries[0].len), ("state", 3));
}

#[test]
fn a_failed_file_stays_poisoned_until_closed() {
    let (directory, mut worker) = worker();
    std::fs::create_dir(directory.path().join("d")).expect("a directory");
    let file = FileId(7);
    // A directory can't be opened for writing.
    let opened = worker.perform(IoOp::Open { file, path: "d".into(), create: false });
    assert!(matches!(opened, IoResult::Failed(_)));
    match worker.perform(IoOp::Sync { file }) {
        IoResult::Failed(error) => assert_eq!(error.kind, IoErrorKind::Poisoned),
        other => panic!("{other:?}"),
    }
}

#[test]
fn absent_files_and_paths_out_of_the_directory_are_told_apart() {
    let (_directory, mut worker) = worker();
    match worker.perform(IoOp::ReadFile { path: "none".into() }) {
        IoResult::Failed(error) => assert_eq!(error.kind, IoErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    assert!(matches!(worker.perform(IoOp::Delete { path: "none".into() }), IoResult::Done));
    assert!(matches!(worker.perform(IoOp::DeleteDir { path: "none".into() }), IoResult::Done));
    match worker.perform(IoOp::ReadFile { path: "../secret".into() }) {
        IoResult::Failed(error) => assert_eq!(error.kind, IoErrorKind::Other),
        other => panic!("{other:?}"),
    }
}
