//! `kafka-dump-log` over the files of nodes that do not run.

use crate::tools::{Said, Tools};
use std::path::{Path, PathBuf};

/// All that the tool prints about files in which it finds nothing wrong. Its complaints have no form of their own, and it
/// ends well all the same: so every line has to be one of these.
const FLAWLESS: [&str; 10] = [
    "Dumping ",
    "Log starting offset: ",
    "Snapshot end offset: ",
    "baseOffset: ",
    "| offset: ",
    "offset: ",
    "timestamp: ",
    "producerId: ",
    // This version of the tool expects every segment to begin at offset 0, and says so of Kafka's own as well.
    "Non-consecutive offsets in ",
    "  -1 is followed by ",
];

/// Reads every file of the nodes' data: all records of all segments, decompressed; the indexes against them; the producer
/// snapshots; the metadata log and its snapshots, record by record; and the groups' offsets.
pub fn assert_flawless(tools: &Tools, directories: &[&Path]) {
    let files: Vec<PathBuf> =
        directories.iter().flat_map(|dir| files_of(&dir.join("data"))).collect();
    let of = |topic: &str, endings: &[&str]| -> Vec<PathBuf> {
        let wanted = |path: &&PathBuf| {
            let partition = path.parent().and_then(Path::file_name).unwrap_or_default();
            let ending = path.extension().unwrap_or_default();
            partition.to_string_lossy().starts_with(topic)
                && endings.iter().any(|wanted| ending == *wanted)
        };
        files.iter().filter(wanted).cloned().collect()
    };
    let nodes = directories.len();

    let data = of("orders-", &["log", "index", "timeindex", "snapshot"]);
    assert!(data.len() > nodes * 3 * 4, "several segments of three partitions: {data:?}");
    let said = dump(tools, &data, &["--deep-iteration", "--verify-index-only"]);
    let batches = said.output.lines().filter(|line| line.starts_with("baseOffset: "));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        said.says(&format!("compresscodec: {codec} "));
    }
    assert!(batches.count() > nodes * 50);
    said.says("producerEpoch: ");

    let indexes: Vec<PathBuf> =
        [of("orders-", &["index", "timeindex"]), of("__", &["index", "timeindex"])].concat();
    let said = dump(tools, &indexes, &["--index-sanity-check"]);
    let passed = said.output.matches(" passed sanity check.").count();
    assert_eq!(passed + said.output.matches(" is empty.").count(), indexes.len());
    assert!(passed > indexes.len() / 2, "{passed} of {}", indexes.len());

    let metadata = of("__cluster_metadata-", &["log", "checkpoint"]);
    let snapshots =
        metadata.iter().filter(|path| path.extension().is_some_and(|e| e == "checkpoint"));
    assert!(snapshots.count() > nodes, "more than the first snapshot of each: {metadata:?}");
    let said = dump(tools, &metadata, &["--cluster-metadata-decoder"]);
    for record in [
        "REGISTER_BROKER_RECORD",
        "TOPIC_RECORD",
        "PARTITION_RECORD",
        "CONFIG_RECORD",
        "FEATURE_LEVEL_RECORD",
        "SnapshotHeader",
        "SnapshotFooter",
        "KRaftVoters",
        "LeaderChange",
    ] {
        said.says(record);
    }

    let said = dump(tools, &of("__consumer_offsets-", &["log"]), &["--offsets-decoder"]);
    said.says("\"group\":\"readers\"");
}

fn dump(tools: &Tools, files: &[PathBuf], how: &[&str]) -> Said {
    let files: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let files = files.join(",");
    let said = tools.run_offline("kafka-dump-log", &[how, &["--files", &files]].concat());
    for line in said.output.lines() {
        let known = FLAWLESS.iter().any(|start| line.starts_with(start));
        let known =
            known || line.ends_with(" passed sanity check.") || line.ends_with(" is empty.");
        assert!(known, "kafka-dump-log says: {line}");
        assert!(!line.contains("isvalid: false"), "kafka-dump-log says: {line}");
        // So it shows a metadata record that it cannot read.
        assert!(!line.contains("Error at"), "kafka-dump-log says: {line}");
    }
    said
}

/// All files in the partitions' directories.
fn files_of(data: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a data directory");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let partitions = entries(data).into_iter().filter(|path| path.is_dir());
    partitions
        // What is about to be deleted is nobody's data any more.
        .filter(|path| !path.to_string_lossy().ends_with("-delete"))
        .flat_map(|partition| entries(&partition))
        .collect()
}
