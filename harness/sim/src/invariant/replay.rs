//! The metadata as the committed records tell it, replayed from what the nodes wrote, batch by batch.
//!
//! Promises: it is what every node must believe at the same offset, and it shows each change of a partition on its own,
//! where a node takes in many at once. Not promised: anything once committed metadata was lost.

use super::ledger::Entry;
use super::state::LogId;
use bytes::Bytes;
use node::image::{Changes, MetadataImage, PartitionImage};
use rustc_hash::FxHasher;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use uuid::Uuid;
use wire::batch::split_batches;
use wire::metadata::MetadataRecord;

/// So many offsets back a node's image can still be compared.
const DIGESTS_MAX: usize = 4096;

/// One record's change of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: LogId,
    pub topic: String,
    /// `None`: it is new.
    pub before: Option<PartitionImage>,
    pub after: PartitionImage,
    /// Members of the ISR, the leader among them, that were fenced when the record came.
    pub fenced: Vec<i32>,
}

/// What one batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataBatch {
    pub last_offset: i64,
    pub changes: Vec<Change>,
    pub registered: Vec<Registered>,
}

/// One registration of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    pub broker: i32,
    /// Of the process that registered.
    pub incarnation: Uuid,
    pub epoch: i64,
}

#[derive(Default)]
pub struct Replay {
    pub image: MetadataImage,
    digests: VecDeque<(i64, u64)>,
}

/// The same for equal images.
pub fn digest(image: &MetadataImage) -> u64 {
    let mut hasher = FxHasher::default();
    image.hash(&mut hasher);
    hasher.finish()
}

impl Replay {
    /// The digest of the image at this offset, if a batch ended there.
    pub fn digest_at(&self, offset: i64) -> Option<u64> {
        let at = self.digests.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        self.digests.get(at).map(|(_, digest)| *digest)
    }

    /// Takes in one committed batch.
    pub fn apply(&mut self, entry: &Entry) -> Result<MetadataBatch, String> {
        let mut batch = MetadataBatch { last_offset: entry.next_offset - 1, ..Default::default() };
        let content = entry.content.clone().unwrap_or_default();
        if !entry.is_control {
            self.apply_records(content, &mut batch)?;
        }
        self.image.offset = batch.last_offset;
        self.image.epoch = entry.leader_epoch;
        self.digests.push_back((batch.last_offset, digest(&self.image)));
        if self.digests.len() > DIGESTS_MAX {
            self.digests.pop_front();
        }
        Ok(batch)
    }

    fn apply_records(&mut self, content: Bytes, out: &mut MetadataBatch) -> Result<(), String> {
        for batch in split_batches(content).map_err(|error| error.to_string())? {
            for record in batch.records().map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let value = record.value.unwrap_or_default();
                let decoded = MetadataRecord::decode(&value).map_err(|error| error.to_string())?;
                self.apply_record(&decoded, out)?;
            }
        }
        Ok(())
    }

    fn apply_record(
        &mut self,
        record: &MetadataRecord,
        out: &mut MetadataBatch,
    ) -> Result<(), String> {
        let touched = match record {
            MetadataRecord::Partition(record) => Some((record.topic_id, record.partition_id)),
            MetadataRecord::PartitionChange(record) => Some((record.topic_id, record.partition_id)),
            MetadataRecord::RegisterBroker(record) => {
                out.registered.push(Registered {
                    broker: record.broker_id,
                    incarnation: record.incarnation_id,
                    epoch: record.broker_epoch,
                });
                None
            }
            _ => None,
        };
        let partition = |image: &MetadataImage| {
            touched.and_then(|(topic, index)| image.partition(topic, index)).cloned()
        };
        let before = partition(&self.image);
        self.image.apply(record, &mut Changes::default())?;
        if let (Some((topic_id, index)), Some(after)) = (touched, partition(&self.image)) {
            let id = LogId { topic_id, partition: index };
            let topic = self.image.topic_name(topic_id).unwrap_or_default().to_owned();
            let is_fenced = |id: &i32| !self.image.is_unfenced(*id);
            let fenced = after.isr.iter().copied().filter(is_fenced).collect();
            out.changes.push(Change { id, topic, before, after, fenced });
        }
        Ok(())
    }
}
