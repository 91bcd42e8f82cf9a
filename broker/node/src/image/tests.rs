//! Records onto images, and back.

use uuid::Uuid;
use wire::metadata::{MetadataRecord, PartitionChangeRecord, PartitionRecord};

use super::{Changes, ConfigResource, LeaderRecoveryState, MetadataImage};
use crate::config::NodeConfig;

const ID: Uuid = Uuid::from_u128(77);

fn topic(name: &str, topic_id: Uuid) -> MetadataRecord {
    MetadataRecord::Topic { name: name.to_owned(), topic_id }
}

fn partition() -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        partition_id: 0,
        topic_id: ID,
        replicas: vec![1, 2, 3],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 4,
        partition_epoch: 9,
        directories: vec![Uuid::from_u128(9); 3],
        eligible_leader_replicas: vec![3],
        ..PartitionRecord::default()
    })
}

fn change(edit: impl FnOnce(&mut PartitionChangeRecord)) -> MetadataRecord {
    let mut record =
        PartitionChangeRecord { topic_id: ID, partition_id: 0, ..PartitionChangeRecord::default() };
    edit(&mut record);
    MetadataRecord::PartitionChange(record)
}

fn config(resource: &ConfigResource, name: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config {
        resource_type: resource.kind as i8,
        resource_name: resource.name.clone(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn image(records: &[MetadataRecord]) -> MetadataImage {
    MetadataImage::from_records(records, 0, 0).expect("they fit")
}

#[test]
fn a_named_leader_starts_a_leader_epoch_and_every_change_a_partition_epoch() {
    let mut image = image(&[topic("t", ID), partition()]);
    let mut changes = Changes::default();
    let mut apply = |record| {
        image.apply(&record, &mut changes).expect("it fits");
        let partition = image.partition(ID, 0).expect("there");
        (partition.leader, partition.leader_epoch, partition.partition_epoch)
    };
    assert_eq!(apply(change(|record| record.isr = Some(vec![1]))), (1, 4, 10));
    assert_eq!(apply(change(|record| record.leader = Some(1))), (1, 5, 11));
    assert_eq!(apply(change(|record| record.leader = Some(-1))), (-1, 6, 12));
    assert_eq!(apply(change(|record| record.leader_recovery_state = Some(1))), (-1, 6, 13));
    let partition = image.partition(ID, 0).expect("there");
    assert_eq!(partition.leader_recovery_state, LeaderRecoveryState::Recovering);
    assert!(changes.partitions_changed.contains(&(ID, 0)));
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let mut image = image(&[topic("t", ID), partition()]);
    let before = image.clone();
    let unknown = Uuid::from_u128(5);
    let wrong = [
        topic("t", unknown),
        topic("u", ID),
        MetadataRecord::RemoveTopic { topic_id: unknown },
        change(|record| record.topic_id = unknown),
        change(|record| record.partition_id = 1),
        change(|record| record.leader_recovery_state = Some(9)),
        MetadataRecord::FenceBroker { broker_id: 1, broker_epoch: 0 },
        MetadataRecord::Config {
            resource_type: 99,
            resource_name: String::new(),
            name: String::new(),
            value: None,
        },
    ];
    for record in wrong {
        assert!(image.apply(&record, &mut Changes::default()).is_err(), "{record:?}");
        assert_eq!(image, before);
    }
}

#[test]
fn a_removed_topic_takes_its_settings_along_and_is_handed_out_once_more() {
    let resource = ConfigResource::topic("t");
    let mut image =
        image(&[topic("t", ID), partition(), config(&resource, "retention.ms", Some("1"))]);
    let mut changes = Changes::default();
    image.apply(&change(|_| {}), &mut changes).expect("it fits");
    image.apply(&MetadataRecord::RemoveTopic { topic_id: ID }, &mut changes).expect("it fits");
    assert!(image.topics.is_empty() && image.topic_ids.is_empty() && image.configs.is_empty());
    assert!(changes.partitions_changed.is_empty() && changes.topics_changed.is_empty());
    assert_eq!(changes.topics_removed[&ID].partitions.len(), 1);
    assert!(changes.configs_changed.contains(&resource));
}

#[test]
fn a_loaded_snapshot_names_what_is_different() {
    let old = image(&[topic("t", ID), partition(), topic("gone", Uuid::from_u128(6))]);
    let new = image(&[
        topic("t", ID),
        partition(),
        change(|record| record.isr = Some(vec![1])),
        config(&ConfigResource::cluster(), "log.retention.ms", Some("5")),
    ]);
    let changes = new.changes_since(&old);
    assert_eq!(changes.partitions_changed, [(ID, 0)].into());
    assert_eq!(changes.topics_removed.len(), 1);
    assert_eq!(changes.configs_changed, [ConfigResource::cluster()].into());
    assert!(new.changes_since(&new).is_empty());
}

#[test]
fn leader_and_controller_agree_on_min_insync_where_the_metadata_says_it() {
    let file = "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=9@127.0.0.1:9093\n\
        listeners=PLAINTEXT://127.0.0.1:9092\ncontroller.listener.names=CONTROLLER\n\
        log.dirs=/nowhere\nmin.insync.replicas=2\n";
    let (file, _) = NodeConfig::parse(file).expect("the file reads");
    let both = |image: &MetadataImage| {
        (image.min_insync_replicas("t", &file), image.recorded_min_insync_replicas("t"))
    };
    let mut image = image(&[topic("t", ID), partition()]);
    assert_eq!(both(&image), (2, 1), "the leader may demand more than the controller counts on");
    let mut set = |resource: &ConfigResource, value| {
        let record = config(resource, "min.insync.replicas", Some(value));
        image.apply(&record, &mut Changes::default()).expect("it fits");
        both(&image)
    };
    assert_eq!(set(&ConfigResource::broker(1), "7"), (2, 1), "one broker's own does not count");
    assert_eq!(set(&ConfigResource::cluster(), "1"), (1, 1));
    assert_eq!(set(&ConfigResource::topic("t"), "5"), (5, 5));
    let partition = image.partition(ID, 0).expect("there");
    assert_eq!(image.effective_min_isr("t", partition, &file), 3, "no more than there are");
}
