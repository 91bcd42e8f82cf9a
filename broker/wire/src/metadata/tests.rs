//! Every record against the bytes that Kafka 4.3.1's own `MetadataRecordSerde` gave for it.

use super::*;

fn id(low: u128) -> Uuid {
    Uuid::from_u128(low)
}

fn endpoint(name: &str, port: u16) -> RegisteredEndpoint {
    let host = "localhost".to_owned();
    RegisteredEndpoint { name: name.to_owned(), host, port, security_protocol: 0 }
}

fn feature(name: &str, min_supported_version: i16, max_supported_version: i16) -> SupportedFeature {
    SupportedFeature { name: name.to_owned(), min_supported_version, max_supported_version }
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn examples() -> Vec<(MetadataRecord, &'static str)> {
    vec![
        (
            MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id: 1,
                is_migrating_zk_broker: false,
                incarnation_id: id(5),
                broker_epoch: 77,
                endpoints: vec![endpoint("PLAINTEXT", 49152)],
                features: vec![feature("metadata.version", 7, 29)],
                rack: Some("r1".to_owned()),
                fenced: true,
                in_controlled_shutdown: false,
                log_dirs: vec![id(9)],
            }),
            "010003000000010000000000000000000000000000000005000000000000004d020a504c41494e544558540a6c\
             6f63616c686f7374c00000000002116d657461646174612e76657273696f6e0007001d00037231010001001102\
             00000000000000000000000000000009",
        ),
        (
            MetadataRecord::UnregisterBroker { broker_id: 1, broker_epoch: 77 },
            "01010000000001000000000000004d00",
        ),
        (
            MetadataRecord::Topic { name: "foo".to_owned(), topic_id: id(3) },
            "01020004666f6f0000000000000000000000000000000300",
        ),
        (
            MetadataRecord::Partition(PartitionRecord {
                partition_id: 2,
                topic_id: id(3),
                replicas: vec![1, 2, 3],
                isr: vec![1, 2],
                leader: 1,
                leader_epoch: 4,
                partition_epoch: 5,
                directories: vec![id(1), id(2), id(4)],
                ..PartitionRecord::default()
            }),
            "010302000000020000000000000000000000000000000304000000010000000200000003030000000100000002\
             010100000001000000040000000504000000000000000000000000000000010000000000000000000000000000\
             00020000000000000000000000000000000400",
        ),
        (
            MetadataRecord::Partition(PartitionRecord {
                partition_id: 2,
                topic_id: id(3),
                replicas: vec![1, 2, 3],
                isr: vec![1],
                removing_replicas: vec![2],
                adding_replicas: vec![3],
                leader: -1,
                leader_recovery_state: 1,
                leader_epoch: 4,
                partition_epoch: 5,
                directories: vec![],
                eligible_leader_replicas: vec![2],
                last_known_elr: vec![3, 1],
            }),
            "010302000000020000000000000000000000000000000304000000010000000200000003020000000102000000\
             020200000003ffffffff00000004000000050103000101010502000000020209030000000300000001",
        ),
        (
            MetadataRecord::Config {
                resource_type: resource::TOPIC,
                resource_name: "foo".to_owned(),
                name: "retention.ms".to_owned(),
                value: Some("5".to_owned()),
            },
            "0104000204666f6f0d726574656e74696f6e2e6d73023500",
        ),
        (
            MetadataRecord::Config {
                resource_type: resource::BROKER,
                resource_name: String::new(),
                name: "x".to_owned(),
                value: None,
            },
            "010400040102780000",
        ),
        (
            MetadataRecord::PartitionChange(PartitionChangeRecord {
                isr: Some(vec![1]),
                leader: Some(-1),
                ..PartitionChangeRecord::new(id(3), 2)
            }),
            "010502000000020000000000000000000000000000000302000502000000010104ffffffff",
        ),
        (
            MetadataRecord::PartitionChange(PartitionChangeRecord {
                partition_id: 2,
                topic_id: id(3),
                isr: Some(vec![1, 2]),
                leader: Some(2),
                replicas: Some(vec![1, 2]),
                removing_replicas: Some(vec![]),
                adding_replicas: Some(vec![2]),
                leader_recovery_state: Some(0),
                eligible_leader_replicas: Some(vec![3]),
                last_known_elr: Some(vec![]),
                directories: Some(vec![id(1), id(2)]),
            }),
            "010502000000020000000000000000000000000000000309000903000000010000000201040000000202090300\
             000001000000020301010405020000000205010006050200000003070101082103000000000000000000000000\
             0000000100000000000000000000000000000002",
        ),
        (
            MetadataRecord::FenceBroker { broker_id: 1, broker_epoch: 77 },
            "01070000000001000000000000004d00",
        ),
        (
            MetadataRecord::UnfenceBroker { broker_id: 1, broker_epoch: 77 },
            "01080000000001000000000000004d00",
        ),
        (
            MetadataRecord::RemoveTopic { topic_id: id(3) },
            "0109000000000000000000000000000000000300",
        ),
        (
            MetadataRecord::FeatureLevel { name: "kraft.version".to_owned(), feature_level: 1 },
            "010c000e6b726166742e76657273696f6e000100",
        ),
        (
            MetadataRecord::ProducerIds { broker_id: 1, broker_epoch: 77, next_producer_id: 2000 },
            "010f0000000001000000000000004d00000000000007d000",
        ),
        (
            MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
                broker_id: 1,
                broker_epoch: 77,
                fenced: FenceState::Unfenced,
                in_controlled_shutdown: true,
                log_dirs: vec![id(9)],
            }),
            "01110200000001000000000000004d030001ff01010102110200000000000000000000000000000009",
        ),
        (MetadataRecord::NoOp, "01140000"),
        (
            MetadataRecord::RegisterController(RegisterControllerRecord {
                controller_id: 1,
                incarnation_id: id(5),
                zk_migration_ready: false,
                endpoints: vec![endpoint("CONTROLLER", 9093)],
                features: vec![feature("kraft.version", 0, 1)],
            }),
            "011b00000000010000000000000000000000000000000500020b434f4e54524f4c4c45520a6c6f63616c686f73\
             742385000000020e6b726166742e76657273696f6e000000010000",
        ),
        (
            MetadataRecord::Unknown {
                api_key: 28,
                version: 0,
                bytes: Bytes::from_static(b"\x04foo\0"),
            },
            "011c0004666f6f00",
        ),
    ]
}

#[test]
fn the_bytes_are_kafkas() {
    for (record, hex) in examples() {
        assert_eq!(record.encode().to_vec(), from_hex(hex), "{record:?}");
        assert_eq!(MetadataRecord::decode(&from_hex(hex)), Ok(record));
    }
}

#[test]
fn cut_anywhere_is_an_error_not_a_panic() {
    for (record, _) in examples() {
        let bytes = record.encode();
        for cut in 0..bytes.len() {
            let read = MetadataRecord::decode(&bytes[..cut]);
            let is_unknown = matches!(read, Ok(MetadataRecord::Unknown { .. }));
            assert!(read.is_err() || is_unknown, "{record:?} cut at {cut}: {read:?}");
        }
    }
}

#[test]
fn any_flipped_bit_is_read_or_refused() {
    for (record, _) in examples() {
        let bytes = record.encode();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[at / 8] ^= 1 << (at % 8);
            let _ = MetadataRecord::decode(&flipped);
        }
    }
}

#[test]
fn a_version_from_the_future_is_kept_as_it_is() {
    let bytes = [1, 2, 9, 1, 2, 3];
    let record = MetadataRecord::decode(&bytes).unwrap();
    assert_eq!(record.api_key(), key::TOPIC);
    assert_eq!(record.encode()[..], bytes);
    assert!(MetadataRecord::decode(&[2, 2, 0]).is_err());
}
