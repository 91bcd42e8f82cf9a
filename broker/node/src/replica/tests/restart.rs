//! Starting, stopping, and what the data directory holds in between.

use uuid::Uuid;
use wire::batch::Producer;

use super::cluster::{Cluster, TOPIC, TOPIC_ID, TP, batch};
use crate::replica::ReplicaEvent;
use crate::replica::partition::Stage;

const OTHER_ID: Uuid = Uuid::from_u128(0x9999_0000_0000_4000_8000_0000_0000_0009);

fn stop(cluster: &mut Cluster, node: i32) {
    cluster.step(node, |manager, ctx| manager.shutdown(ctx));
    cluster.settle();
    assert_eq!(cluster.nodes[&node].events.last(), Some(&ReplicaEvent::Stopped));
    assert_eq!(cluster.nodes[&node].disk.open_files(), 0, "every log is closed");
}

fn text(cluster: &Cluster, node: i32, path: &str) -> Option<String> {
    let content = cluster.nodes[&node].disk.content(path)?;
    Some(String::from_utf8_lossy(content).into_owned())
}

#[test]
fn clean_stop_leaves_checkpoints_and_the_mark_of_it() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    let producer = Producer { id: 5, epoch: 0, base_sequence: 0 };
    cluster.produce_records(1, -1, batch(&["a", "b"], Some(producer)), 1000);
    cluster.advance(600);
    let epoch = cluster.nodes[&1].broker_epoch;
    stop(&mut cluster, 1);
    let checkpoint = |cluster: &Cluster, name| text(cluster, 1, name);
    let expected = Some("0\n1\norders 0 2\n".to_owned());
    assert_eq!(checkpoint(&cluster, "replication-offset-checkpoint"), expected);
    assert_eq!(checkpoint(&cluster, "recovery-point-offset-checkpoint"), expected);
    let start = Some("0\n1\norders 0 0\n".to_owned());
    assert_eq!(checkpoint(&cluster, "log-start-offset-checkpoint"), start);
    assert!(checkpoint(&cluster, ".kafka_cleanshutdown").is_some());
    assert!(checkpoint(&cluster, "orders-0/partition.metadata").is_some());
    cluster.crash(1);
    cluster.fence(1);
    cluster.restart(1);
    let started = ReplicaEvent::Started { previous_broker_epoch: epoch };
    assert_eq!(cluster.nodes[&1].events.first(), Some(&started));
    assert_eq!(checkpoint(&cluster, ".kafka_cleanshutdown"), None);
    assert_eq!(cluster.offsets(1), (2, 2));
    // The producer's sequence numbers came back with the log.
    cluster.advance(700);
    cluster.elect(1);
    let again = cluster.produce_records(1, -1, batch(&["a", "b"], Some(producer)), 1000);
    cluster.advance(600);
    assert_eq!(cluster.acked(again), Some((0, 0)));
    assert_eq!(cluster.consume(1), ["a", "b"]);
}

#[test]
fn a_stop_before_the_logs_were_opened_is_only_as_clean_as_the_last_one() {
    let mark = |cluster: &Cluster| text(cluster, 1, ".kafka_cleanshutdown");
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(600);
    stop(&mut cluster, 1);
    cluster.kill(1);
    let disk = cluster.node(1).disk.clone();
    cluster.boot_unregistered(1, disk);
    cluster.settle();
    stop(&mut cluster, 1);
    assert!(mark(&cluster).is_some(), "the logs are as the last life closed them");
    cluster.restart(1);
    cluster.advance(700);
    cluster.produce(2, -1, &["b"]);
    cluster.advance(600);
    cluster.kill(1);
    // Killed, started, and stopped before the metadata told of a partition: "b" is in the page cache alone.
    let disk = cluster.node(1).disk.clone();
    cluster.boot_unregistered(1, disk);
    cluster.settle();
    stop(&mut cluster, 1);
    assert_eq!(mark(&cluster), None);
}

#[test]
fn killed_follower_comes_back_and_catches_up() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(600);
    cluster.kill(3);
    cluster.produce(1, -1, &["b"]);
    cluster.advance(600);
    cluster.restart(3);
    let started = ReplicaEvent::Started { previous_broker_epoch: -1 };
    assert_eq!(cluster.nodes[&3].events.first(), Some(&started));
    cluster.advance(700);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(cluster.offsets(3), (2, 2));
}

#[test]
fn follower_that_lost_its_disk_fetches_everything_anew() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    for value in ["a", "b", "c"] {
        cluster.produce(1, -1, &[value]);
    }
    cluster.advance(600);
    cluster.kill(3);
    cluster.node(3).disk = log::memory_disk::MemoryDisk::new();
    cluster.restart(3);
    cluster.advance(700);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    assert_eq!(cluster.offsets(3), (3, 3));
}

#[test]
fn power_cut_of_a_follower_loses_nothing_acknowledged() {
    let mut cluster = Cluster::new(&[1, 2, 3]);
    cluster.create_topic(&[1, 2, 3], 2);
    for value in ["a", "b", "c"] {
        cluster.produce(1, -1, &[value]);
        cluster.advance(100);
    }
    cluster.kill(3);
    cluster.node(3).disk.power_cut();
    cluster.restart(3);
    cluster.advance(700);
    assert_eq!(cluster.isr(), [1, 2, 3]);
    cluster.kill(1);
    cluster.kill(2);
    assert_eq!(cluster.partition().leader, 3);
    cluster.restart(2);
    cluster.advance(700);
    assert_eq!(cluster.consume(3), ["a", "b", "c"]);
}

#[test]
fn deleted_topic_leaves_no_files_and_its_name_is_free() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(300);
    cluster.delete(TOPIC_ID);
    for node in [1, 2] {
        let left: Vec<&str> =
            cluster.nodes[&node].disk.paths().filter(|path| path.contains(TOPIC)).collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(cluster.nodes[&node].manager.partitions.is_empty());
    }
    cluster.create(TOPIC, OTHER_ID, &[1, 2], &[]);
    let id = crate::context::TopicPartitionId { topic_id: OTHER_ID, partition: 0 };
    assert_eq!(cluster.nodes[&1].manager.partitions[&id].stage, Stage::Online);
    assert_eq!(cluster.nodes[&1].manager.partitions[&id].log_end_offset(), 0);
}

#[test]
fn topic_recreated_in_one_image_waits_for_the_old_ones_end() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    cluster.produce(1, -1, &["old"]);
    cluster.settle();
    let old = cluster.image.topics.remove(&TOPIC_ID).expect("it");
    cluster.create(TOPIC, OTHER_ID, &[1], &[]);
    let id = crate::context::TopicPartitionId { topic_id: OTHER_ID, partition: 0 };
    assert_eq!(old.name, TOPIC);
    assert_eq!(cluster.nodes[&1].manager.partitions[&id].stage, Stage::Online);
    assert_eq!(cluster.nodes[&1].manager.partitions[&id].log_end_offset(), 0);
    assert!(!cluster.nodes[&1].manager.partitions.contains_key(&TP));
}

#[test]
fn topic_deleted_while_a_broker_was_away_is_deleted_there_later() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.produce(1, -1, &["a"]);
    cluster.advance(300);
    cluster.kill(2);
    cluster.delete(TOPIC_ID);
    // One of the same name, with another id, and one that is only gone.
    cluster.create(TOPIC, OTHER_ID, &[1, 2], &[]);
    cluster
        .node(2)
        .disk
        .put("gone-7/partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    cluster.restart(2);
    let id = crate::context::TopicPartitionId { topic_id: OTHER_ID, partition: 0 };
    assert_eq!(cluster.nodes[&2].manager.partitions[&id].stage, Stage::Online);
    assert_eq!(cluster.nodes[&2].manager.partitions[&id].log_end_offset(), 0);
    let left =
        cluster.nodes[&2].disk.paths().any(|path| path.contains("gone") || path.contains("delete"));
    assert!(!left, "{:?}", cluster.nodes[&2].disk.paths().collect::<Vec<_>>());
}

#[test]
fn no_role_is_taken_from_metadata_older_than_the_registration() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create_topic(&[1, 2], 1);
    cluster.advance(300);
    cluster.crash(1);
    let epoch_before = cluster.nodes[&1].manager.partitions[&TP].leader_epoch;
    // It starts again, and reads the metadata of its former life, in which it leads.
    let disk = cluster.node(1).disk.clone();
    let image = cluster.image.clone();
    assert_eq!(image.topics[&TOPIC_ID].partitions[&0].leader, 1);
    cluster.boot_unregistered(1, disk);
    cluster.show_image(1, &image);
    cluster.settle();
    let partition = &cluster.nodes[&1].manager.partitions[&TP];
    assert_eq!((partition.stage, partition.leader_epoch), (Stage::Online, -1));
    assert!(partition.leadership().is_none());
    assert_eq!(epoch_before, 0);
}

#[test]
fn follower_behind_the_leaders_start_begins_there() {
    let mut cluster = Cluster::new(&[1, 2]);
    cluster.create(
        TOPIC,
        TOPIC_ID,
        &[1, 2],
        &[("segment.bytes", "100"), ("retention.bytes", "200"), ("file.delete.delay.ms", "0")],
    );
    cluster.produce(1, -1, &["a"]);
    cluster.advance(300);
    cluster.kill(2);
    for value in 0..20 {
        cluster.produce(1, -1, &[&value.to_string()]);
    }
    cluster.advance(310_000);
    let log = cluster.nodes[&1].manager.partitions[&TP].log.as_ref().expect("open");
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(start > 1 && end == 21, "retention has deleted: {start}..{end}");
    cluster.restart(2);
    cluster.advance(1_000);
    let log = cluster.nodes[&2].manager.partitions[&TP].log.as_ref().expect("open");
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, end));
    assert_eq!(cluster.isr(), [1, 2]);
}

#[test]
fn high_watermark_checkpoint_is_written_as_time_goes() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    cluster.produce(1, -1, &["a", "b"]);
    cluster.advance(6_000);
    let checkpoint = text(&cluster, 1, "replication-offset-checkpoint");
    assert_eq!(checkpoint, Some("0\n1\norders 0 2\n".to_owned()));
}

#[test]
fn failed_disk_ends_the_broker() {
    let mut cluster = Cluster::new(&[1]);
    cluster.create_topic(&[1], 1);
    cluster.node(1).disk.fail("Append orders-0", log::io::IoErrorKind::NoSpace, 0);
    let sent = cluster.produce(1, -1, &["a"]);
    cluster.settle();
    assert_eq!(cluster.acked(sent), Some((wire::error::ErrorCode::KafkaStorageError.code(), -1)));
    let fatal = cluster.nodes[&1].fatal.clone().expect("the node ends");
    assert!(fatal.contains("orders-0"), "{fatal}");
}
