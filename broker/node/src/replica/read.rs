//! Reading a partition that this broker leads, for the broker itself: coordinators load their state so.
//!
//! Promises: chunks of whole batches, in order, up to the log's end at the time of each read; the last one says so.

use bytes::Bytes;
use log::{FetchData, Read, ReadError};
use uuid::Uuid;
use wire::error::ErrorCode;

use super::{ReadFor, ReplicaEvent, ReplicaManager};
use crate::context::{Context, IoOwner, TopicPartitionId};

/// One chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalRead {
    /// Parts of whole batches: one contiguous records field when put one after the other.
    pub batches: Vec<Bytes>,
    /// Read on from here; at or above `log_end_offset`: that was all.
    pub next_offset: i64,
    pub log_end_offset: i64,
    pub high_watermark: i64,
}

impl ReplicaManager {
    /// Where the log of a partition that this broker leads begins.
    pub fn log_start_offset(&self, topic_id: Uuid, partition: i32) -> Option<i64> {
        let partition = self.partitions.get(&TopicPartitionId { topic_id, partition })?;
        partition.leadership()?;
        partition.log.as_ref().map(log::Log::log_start_offset)
    }

    /// Reads about `max_bytes` from `offset` on, up to the log's end, committed or not (a new leader's own log is what
    /// its coordinator goes by). [`ReplicaEvent::ReadDone`] with `tag` follows, perhaps before this returns.
    pub fn read_internal(
        &mut self,
        ctx: &mut Context<'_>,
        topic_id: Uuid,
        partition: i32,
        offset: i64,
        max_bytes: u32,
        tag: u64,
    ) {
        let id = TopicPartitionId { topic_id, partition };
        let result = self.try_read_internal(ctx, id, offset, max_bytes, tag);
        if let Some(result) = result.transpose() {
            self.events.push(ReplicaEvent::ReadDone { tag, result });
        }
    }

    fn try_read_internal(
        &mut self,
        ctx: &mut Context<'_>,
        id: TopicPartitionId,
        offset: i64,
        max_bytes: u32,
        tag: u64,
    ) -> Result<Option<InternalRead>, ErrorCode> {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        partition.check_leader(-1, true)?;
        let Some((log, _)) = partition.leading() else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        let end = log.log_end_offset();
        let read = log.read(offset, max_bytes, end, true, ctx.io);
        ctx.claim_io(IoOwner::Partition(id));
        match read {
            Read::Ready(data) => Ok(Some(chunk(partition, data))),
            Read::Pending(read) => {
                partition.reads.push((read, ReadFor::Internal { tag }));
                Ok(None)
            }
            Read::OutOfRange => Err(ErrorCode::OffsetOutOfRange),
            Read::Failed(error) => Err(error.error_code()),
        }
    }

    pub(super) fn internal_read_done(
        &mut self,
        id: TopicPartitionId,
        tag: u64,
        result: Result<FetchData, ReadError>,
    ) {
        let result = match (result, self.partitions.get(&id)) {
            (Ok(data), Some(partition)) => Ok(chunk(partition, data)),
            (Ok(_), None) => Err(ErrorCode::NotLeaderOrFollower),
            (Err(error), _) => Err(error.error_code()),
        };
        self.events.push(ReplicaEvent::ReadDone { tag, result });
    }
}

fn chunk(partition: &super::partition::Partition, data: FetchData) -> InternalRead {
    InternalRead {
        next_offset: data.next_offset,
        log_end_offset: partition.log_end_offset(),
        high_watermark: partition.high_watermark(),
        batches: data.batches,
    }
}
