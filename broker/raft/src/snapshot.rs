//! Snapshots of the metadata log: their names, how one is written, how one is read.
//!
//! Promises: the files are Kafka's (`<20 digits end offset>-<10 digits epoch>.checkpoint`, a header batch with the
//! kraft version and the voters, the records, a footer batch), and one that is cut or damaged is refused whole. Written
//! in one piece: a metadata image is small, and half a snapshot is of no use.

use bytes::{Bytes, BytesMut};
use wire::batch::{BatchBuilder, Compression, split_batches};
use wire::control::{self, ControlRecord, VoterEndpoint, control_batch};

use crate::{Voter, VoterSet};

/// Up to which record a snapshot speaks: the offset after its last one, and the epoch of that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    pub end_offset: i64,
    pub epoch: i32,
}

/// The bootstrap snapshot, which every voter writes alike before the log has a record.
pub const BOOTSTRAP: SnapshotId = SnapshotId { end_offset: 0, epoch: 0 };

/// The feature level of the quorum itself: voters in records, with directory ids.
pub const KRAFT_VERSION: i16 = 1;

/// A batch of a snapshot is closed at this size, well below what Kafka reads in one piece (8 MiB).
const BATCH_BYTES: usize = 1 << 20;

impl SnapshotId {
    pub fn file_name(&self) -> String {
        format!("{:020}-{:010}.checkpoint", self.end_offset, self.epoch)
    }

    /// `None` for any other file.
    pub fn parse_file_name(name: &str) -> Option<SnapshotId> {
        let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if offset.len() != 20 || epoch.len() != 10 || !digits(offset) || !digits(epoch) {
            return None;
        }
        Some(SnapshotId { end_offset: offset.parse().ok()?, epoch: epoch.parse().ok()? })
    }
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Timestamp of the last record of the log that went into it, in milliseconds.
    pub last_contained_log_timestamp_ms: i64,
    /// `None` where it was written at kraft.version 0.
    pub voters: Option<VoterSet>,
    pub records: Vec<Bytes>,
}

pub fn write(id: SnapshotId, contents: &Contents, listener_name: &str) -> Bytes {
    let timestamp_ms = contents.last_contained_log_timestamp_ms;
    let mut head =
        vec![ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms: timestamp_ms }];
    if let Some(voters) = &contents.voters {
        head.extend(quorum_records(voters, listener_name));
    }
    let mut next_offset = 0;
    let mut file = BytesMut::new();
    let mut push = |batch: Bytes, count: usize| {
        file.extend_from_slice(&batch);
        next_offset += count as i64;
        next_offset
    };
    let mut offset = push(control_batch(&head, 0, id.epoch, timestamp_ms), head.len());
    let mut builder = BatchBuilder::new(Compression::None);
    for record in &contents.records {
        if builder.plain_bytes() + record.len() > BATCH_BYTES && !builder.is_empty() {
            offset = push(builder.build(offset, id.epoch), builder.count() as usize);
            builder = BatchBuilder::new(Compression::None);
        }
        builder.append(timestamp_ms, None, Some(record), &[]);
    }
    if !builder.is_empty() {
        offset = push(builder.build(offset, id.epoch), builder.count() as usize);
    }
    push(control_batch(&[ControlRecord::SnapshotFooter], offset, id.epoch, timestamp_ms), 1);
    file.freeze()
}

pub fn read(file: Bytes) -> Result<Contents, String> {
    let batches = split_batches(file).map_err(|error| error.to_string())?;
    let mut contents =
        Contents { last_contained_log_timestamp_ms: 0, voters: None, records: Vec::new() };
    let (mut begun, mut ended) = (false, false);
    let (mut next_offset, mut epoch) = (0, None);
    for batch in &batches {
        let at = batch.base_offset();
        let bad = |reason: String| format!("batch at offset {at}: {reason}");
        batch.view().check().map_err(|error| bad(error.to_string()))?;
        // Both lie outside the CRC.
        let header = batch.header();
        let same_epoch = *epoch.get_or_insert(header.partition_leader_epoch);
        if header.base_offset != next_offset || header.partition_leader_epoch != same_epoch {
            return Err(bad("it does not continue the one before".to_owned()));
        }
        next_offset = header.next_offset();
        if ended || (!begun && !batch.view().is_control()) {
            return Err(bad("records outside of header and footer".to_owned()));
        }
        for record in batch.records().map_err(|error| bad(error.to_string()))? {
            let record = record.map_err(|error| bad(error.to_string()))?;
            let value = record.value.unwrap_or_default();
            if !batch.view().is_control() {
                contents.records.push(value);
                continue;
            }
            let key = record.key.unwrap_or_default();
            let control =
                ControlRecord::decode(&key, &value).map_err(|error| bad(error.to_string()))?;
            match control {
                ControlRecord::SnapshotHeader { last_contained_log_timestamp_ms } => {
                    contents.last_contained_log_timestamp_ms = last_contained_log_timestamp_ms;
                    begun = true;
                }
                ControlRecord::SnapshotFooter => ended = true,
                ControlRecord::KRaftVoters { voters } => {
                    contents.voters = Some(voters_from_record(&voters).map_err(bad)?);
                }
                _ => {}
            }
        }
    }
    if begun && ended { Ok(contents) } else { Err("header or footer is missing".to_owned()) }
}

/// The control records that say who votes, as they stand in snapshots and in the log's first batch.
pub(crate) fn quorum_records(voters: &VoterSet, listener_name: &str) -> [ControlRecord; 2] {
    let voters = voters.iter().map(|voter| control::Voter {
        id: voter.id,
        directory_id: voter.directory_id,
        endpoints: vec![VoterEndpoint {
            name: listener_name.to_owned(),
            host: voter.host.clone(),
            port: voter.port,
        }],
        min_kraft_version: 0,
        max_kraft_version: KRAFT_VERSION,
    });
    [
        ControlRecord::KRaftVersion { level: KRAFT_VERSION },
        ControlRecord::KRaftVoters { voters: voters.collect() },
    ]
}

pub(crate) fn voters_from_record(voters: &[control::Voter]) -> Result<VoterSet, String> {
    VoterSet::new(
        voters
            .iter()
            .map(|voter| {
                let endpoint = voter.endpoints.first();
                Voter {
                    id: voter.id,
                    directory_id: voter.directory_id,
                    host: endpoint.map(|e| e.host.clone()).unwrap_or_default(),
                    port: endpoint.map_or(0, |e| e.port),
                }
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(records: usize) -> Contents {
        let voter = |id| Voter {
            id,
            directory_id: crate::directory_id_for("c", id),
            host: "localhost".to_owned(),
            port: 9093,
        };
        Contents {
            last_contained_log_timestamp_ms: 1_700_000_000_000,
            voters: Some(VoterSet::new((1..=3).map(voter).collect()).unwrap()),
            records: (0..records).map(|i| Bytes::from(vec![i as u8; 1000])).collect(),
        }
    }

    #[test]
    fn names_round_trip_and_others_are_not_ours() {
        let id = SnapshotId { end_offset: 1234, epoch: 5 };
        assert_eq!(id.file_name(), "00000000000000001234-0000000005.checkpoint");
        assert_eq!(SnapshotId::parse_file_name(&id.file_name()), Some(id));
        assert_eq!(BOOTSTRAP.file_name(), "00000000000000000000-0000000000.checkpoint");
        for other in [
            "00000000000000001234-0000000005.checkpoint.part",
            "leader-epoch-checkpoint",
            "1-1.checkpoint",
            "0000000000000000+234-0000000005.checkpoint",
        ] {
            assert_eq!(SnapshotId::parse_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let id = SnapshotId { end_offset: 9000, epoch: 5 };
        for records in [0, 1, 3000] {
            let contents = contents(records);
            let file = write(id, &contents, "CONTROLLER");
            let batches = split_batches(file.clone()).unwrap();
            let mut next = 0;
            for batch in &batches {
                assert_eq!(batch.base_offset(), next);
                next = batch.last_offset() + 1;
            }
            assert_eq!(read(file), Ok(contents));
        }
    }

    #[test]
    fn cut_or_damaged_anywhere_is_refused() {
        let file = write(BOOTSTRAP, &contents(2), "CONTROLLER");
        for end in 0..file.len() {
            assert!(read(file.slice(..end)).is_err(), "cut at {end}");
        }
        for at in (21..file.len()).step_by(97) {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0x40;
            assert!(read(Bytes::from(damaged)).is_err(), "damaged at {at}");
        }
    }
}
