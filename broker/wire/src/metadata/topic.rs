//! Partitions: their whole state, and changes to it.

use crate::codec::{Malformed, Put, Reader};
use uuid::Uuid;

/// A partition's state from its creation, or in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    pub partition_id: i32,
    pub topic_id: Uuid,
    /// By preference: the first is the preferred leader.
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub removing_replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    /// -1 where there is none.
    pub leader: i32,
    /// 1 while a leader that was elected uncleanly has not taken up its work; 0 otherwise.
    pub leader_recovery_state: i8,
    pub leader_epoch: i32,
    /// Goes up with every change of the partition.
    pub partition_epoch: i32,
    /// One for each replica, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// Eligible leader replicas (KIP-966).
    pub eligible_leader_replicas: Vec<i32>,
    pub last_known_elr: Vec<i32>,
}

impl Default for PartitionRecord {
    fn default() -> PartitionRecord {
        PartitionRecord {
            partition_id: -1,
            topic_id: Uuid::nil(),
            replicas: Vec::new(),
            isr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: -1,
            leader_recovery_state: 0,
            leader_epoch: -1,
            partition_epoch: -1,
            directories: Vec::new(),
            eligible_leader_replicas: Vec::new(),
            last_known_elr: Vec::new(),
        }
    }
}

impl PartitionRecord {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.partition_id);
        out.put_uuid(self.topic_id);
        put_ids(out, &self.replicas);
        put_ids(out, &self.isr);
        put_ids(out, &self.removing_replicas);
        put_ids(out, &self.adding_replicas);
        out.put_i32(self.leader);
        out.put_i32(self.leader_epoch);
        out.put_i32(self.partition_epoch);
        put_uuids(out, &self.directories);
        let mut tagged = Vec::new();
        if self.leader_recovery_state != 0 {
            tagged.push((0, vec![self.leader_recovery_state.cast_unsigned()]));
        }
        // Kafka leaves these two out where they are empty.
        for (tag, ids) in [(1, &self.eligible_leader_replicas), (2, &self.last_known_elr)] {
            if !ids.is_empty() {
                tagged.push((tag, field(|out| put_ids(out, ids))));
            }
        }
        out.put_tagged_fields(&tagged);
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        version: u32,
    ) -> Result<PartitionRecord, Malformed> {
        let mut record = PartitionRecord {
            partition_id: reader.i32()?,
            topic_id: reader.uuid()?,
            replicas: read_ids(reader)?,
            isr: read_ids(reader)?,
            removing_replicas: read_ids(reader)?,
            adding_replicas: read_ids(reader)?,
            leader: reader.i32()?,
            leader_epoch: reader.i32()?,
            partition_epoch: reader.i32()?,
            ..PartitionRecord::default()
        };
        if version >= 1 {
            record.directories = read_uuids(reader)?;
        }
        reader.tagged_fields(|tag, field| {
            match tag {
                0 => record.leader_recovery_state = field.i8()?,
                1 => {
                    record.eligible_leader_replicas = read_nullable_ids(field)?.unwrap_or_default()
                }
                2 => record.last_known_elr = read_nullable_ids(field)?.unwrap_or_default(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }
}

/// What became different about a partition; every `None` is as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChangeRecord {
    pub partition_id: i32,
    pub topic_id: Uuid,
    pub isr: Option<Vec<i32>>,
    /// -1: there is no leader any more.
    pub leader: Option<i32>,
    pub replicas: Option<Vec<i32>>,
    pub removing_replicas: Option<Vec<i32>>,
    pub adding_replicas: Option<Vec<i32>>,
    pub leader_recovery_state: Option<i8>,
    pub eligible_leader_replicas: Option<Vec<i32>>,
    pub last_known_elr: Option<Vec<i32>>,
    pub directories: Option<Vec<Uuid>>,
}

const LEADER_UNCHANGED: i32 = -2;
const RECOVERY_STATE_UNCHANGED: i8 = -1;

impl PartitionChangeRecord {
    pub fn new(topic_id: Uuid, partition_id: i32) -> PartitionChangeRecord {
        PartitionChangeRecord { partition_id, topic_id, ..PartitionChangeRecord::default() }
    }

    /// Nothing is different: not worth a record.
    pub fn is_empty(&self) -> bool {
        *self == PartitionChangeRecord::new(self.topic_id, self.partition_id)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_i32(self.partition_id);
        out.put_uuid(self.topic_id);
        let ids = |ids: &Vec<i32>| field(|out| put_ids(out, ids));
        let tagged: Vec<(u32, Vec<u8>)> = [
            (0, self.isr.as_ref().map(ids)),
            (1, self.leader.map(|leader| leader.to_be_bytes().to_vec())),
            (2, self.replicas.as_ref().map(ids)),
            (3, self.removing_replicas.as_ref().map(ids)),
            (4, self.adding_replicas.as_ref().map(ids)),
            (5, self.leader_recovery_state.map(|state| state.to_be_bytes().to_vec())),
            (6, self.eligible_leader_replicas.as_ref().map(ids)),
            (7, self.last_known_elr.as_ref().map(ids)),
            (8, self.directories.as_ref().map(|uuids| field(|out| put_uuids(out, uuids)))),
        ]
        .into_iter()
        .filter_map(|(tag, bytes)| Some((tag, bytes?)))
        .collect();
        out.put_tagged_fields(&tagged);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<PartitionChangeRecord, Malformed> {
        let partition_id = reader.i32()?;
        let mut record = PartitionChangeRecord::new(reader.uuid()?, partition_id);
        reader.tagged_fields(|tag, field| {
            match tag {
                0 => record.isr = read_nullable_ids(field)?,
                1 => record.leader = Some(field.i32()?).filter(|id| *id != LEADER_UNCHANGED),
                2 => record.replicas = read_nullable_ids(field)?,
                3 => record.removing_replicas = read_nullable_ids(field)?,
                4 => record.adding_replicas = read_nullable_ids(field)?,
                5 => {
                    let state = field.i8()?;
                    record.leader_recovery_state =
                        Some(state).filter(|state| *state != RECOVERY_STATE_UNCHANGED);
                }
                6 => record.eligible_leader_replicas = read_nullable_ids(field)?,
                7 => record.last_known_elr = read_nullable_ids(field)?,
                8 => record.directories = field.nullable_array(true, Reader::uuid)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(record)
    }
}

fn put_ids(out: &mut Vec<u8>, ids: &[i32]) {
    out.put_array(true, ids, |out, id| out.put_i32(*id));
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<i32>, Malformed> {
    reader.array_of(true, Reader::i32)
}

fn read_nullable_ids(reader: &mut Reader<'_>) -> Result<Option<Vec<i32>>, Malformed> {
    reader.nullable_array(true, Reader::i32)
}

pub(super) fn put_uuids(out: &mut Vec<u8>, uuids: &[Uuid]) {
    out.put_array(true, uuids, |out, uuid| out.put_uuid(*uuid));
}

pub(super) fn read_uuids(reader: &mut Reader<'_>) -> Result<Vec<Uuid>, Malformed> {
    reader.array_of(true, Reader::uuid)
}

/// The bytes of one tagged field.
pub(super) fn field(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes);
    bytes
}
