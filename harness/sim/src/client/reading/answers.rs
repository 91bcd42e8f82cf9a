//! What brokers answered a reader.

use super::*;
use crate::client::connection::read;
use generator::stamp;
use model::history::Seen;
use wire::batch::split_batches_allowing_partial;
use wire::error::{ErrorCode, name_of};
use wire::messages::fetch_response::PartitionData;
use wire::messages::list_offsets_response::ListOffsetsPartitionResponse;
use wire::messages::offset_for_leader_epoch_response::EpochEndOffset;
use wire::messages::{FetchResponse, ListOffsetsResponse, OffsetForLeaderEpochResponse};

/// Truncation, and damage that no broker admitted to, by the names that Kafka's consumers use.
const LOG_TRUNCATION: &str = "LOG_TRUNCATION";
const CORRUPT_MESSAGE: &str = "CORRUPT_MESSAGE";

/// Somebody else leads, or what was asked can't be told yet: to be asked again, and no event.
pub(in crate::client) fn is_passing(error_code: i16) -> bool {
    ErrorCode::from_code(error_code).is_some_and(|error| {
        matches!(
            error,
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::ReplicaNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::UnknownLeaderEpoch
                | ErrorCode::OffsetNotAvailable
                | ErrorCode::KafkaStorageError
                | ErrorCode::InconsistentTopicId
                | ErrorCode::RequestTimedOut
                | ErrorCode::BrokerNotAvailable
        )
    })
}

impl Reading {
    /// Takes the end of a request of a reader's own kind.
    pub fn on_happened(
        &mut self,
        now_ns: u64,
        happened: Happened<Ask>,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Ask>>,
    ) {
        match happened {
            Happened::Down { .. } => {}
            Happened::Lost { peer, ask, .. } => self.lost(now_ns, peer, &ask, cluster),
            Happened::Answered { peer, ask, version, body } => {
                let taken = match &ask {
                    Ask::Fetch(asked) => {
                        self.fetching.retain(|broker| *broker != peer.broker);
                        read::<FetchResponse>(peer, version, body).map(|answer| {
                            self.on_fetched(now_ns, peer, asked, answer, cluster, effects);
                        })
                    }
                    Ask::Offset { asked, latest } => {
                        read::<ListOffsetsResponse>(peer, version, body).map(|answer| {
                            let told = answer.topics.iter().flat_map(|topic| &topic.partitions);
                            let told = told.into_iter().next();
                            self.on_offset(now_ns, *asked, *latest, told, cluster, effects);
                        })
                    }
                    Ask::End(partition) => {
                        read::<ListOffsetsResponse>(peer, version, body).map(|answer| {
                            let told = answer.topics.iter().flat_map(|topic| &topic.partitions);
                            self.on_end(*partition, told.into_iter().next(), effects);
                        })
                    }
                    Ask::Epoch(asked) => read::<OffsetForLeaderEpochResponse>(peer, version, body)
                        .map(|answer| {
                            let told = answer.topics.iter().flat_map(|topic| &topic.partitions);
                            let told = told.into_iter().next();
                            self.on_epoch(now_ns, *asked, told, cluster, effects);
                        }),
                    Ask::Group(_) => unreachable!("the group takes its own answers"),
                };
                if let Err(complaint) = taken {
                    self.lost(now_ns, peer, &ask, cluster);
                    cluster.refuse(now_ns, peer, complaint, effects, out);
                }
            }
        }
    }

    fn lost(&mut self, now_ns: u64, peer: Peer, ask: &Ask, cluster: &mut Cluster<Ask>) {
        cluster.refresh_soon(now_ns);
        match ask {
            Ask::Fetch(asked) => {
                self.fetching.retain(|broker| *broker != peer.broker);
                for one in asked {
                    self.again(now_ns, *one);
                }
            }
            Ask::Offset { asked, .. } | Ask::Epoch(asked) => self.again(now_ns, *asked),
            Ask::End(_) => self.end_asked = false,
            Ask::Group(_) => {}
        }
    }

    /// The position that an answer is for, if it still is.
    fn asked_of(&mut self, asked: Asked) -> Option<&mut Position> {
        let position = self.positions.get_mut(&asked.partition)?;
        if asked.assignment != self.assignment {
            return None;
        }
        assert!(position.busy && position.offset == asked.offset, "one request at a time");
        Some(position)
    }

    /// Nothing came of it: once more, a little later.
    fn again(&mut self, now_ns: u64, asked: Asked) {
        let retry_at_ns = self.backoff_ns(now_ns);
        if let Some(position) = self.asked_of(asked) {
            position.busy = false;
            position.retry_at_ns = retry_at_ns;
        }
    }

    fn on_fetched(
        &mut self,
        now_ns: u64,
        peer: Peer,
        asked: &[Asked],
        answer: FetchResponse,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        if answer.error_code != 0 {
            let code = name_of(answer.error_code);
            self.tell(ReaderEvent::Error { code, fatal: false }, effects);
            asked.iter().for_each(|one| self.again(now_ns, *one));
            return;
        }
        let told: Vec<PartitionData> =
            answer.responses.into_iter().flat_map(|topic| topic.partitions).collect();
        for one in asked {
            let partition = one.partition as i32;
            match told.iter().find(|told| told.partition_index == partition) {
                Some(told) => self.on_partition(now_ns, *one, told, cluster, effects),
                None => {
                    let broker = peer.broker;
                    cluster.connections.complain(format!(
                        "broker {broker} was asked for partition {partition} and says nothing of it"
                    ));
                    self.again(now_ns, *one);
                }
            }
        }
    }

    fn on_partition(
        &mut self,
        now_ns: u64,
        asked: Asked,
        told: &PartitionData,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        if self.asked_of(asked).is_none() {
            return;
        }
        if told.error_code == 0 {
            self.take_records(now_ns, asked, told, effects);
            return;
        }
        let leader = &told.current_leader;
        cluster.hint(told.partition_index, leader.leader_id.0, leader.leader_epoch);
        self.failed(now_ns, asked, told.error_code, cluster, effects);
        if told.error_code == ErrorCode::OffsetOutOfRange.code()
            && let Some(position) = self.positions.get_mut(&asked.partition)
        {
            position.stage = Stage::Bounds { start: None };
        }
    }

    fn failed(
        &mut self,
        now_ns: u64,
        asked: Asked,
        error_code: i16,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.again(now_ns, asked);
        cluster.refresh_soon(now_ns);
        if !is_passing(error_code) {
            let code = name_of(error_code);
            self.tell(ReaderEvent::Error { code, fatal: false }, effects);
        }
    }

    fn take_records(
        &mut self,
        now_ns: u64,
        asked: Asked,
        told: &PartitionData,
        effects: &mut Vec<ClientEffect>,
    ) {
        let partition = asked.partition;
        let log = self.log(partition);
        let (run, create_time) = (self.run, self.target.create_time);
        let Some(position) = self.asked_of(asked) else { return };
        position.busy = false;
        let (mut offset, mut last_epoch) = (position.offset, position.last_epoch);
        let decompressor = &mut self.decompressor;
        let mut records: Vec<(i64, Seen)> = Vec::new();
        let damage = each_batch(told, |batch| {
            if batch.last_offset() < offset {
                return Ok(());
            }
            batch.view().check().map_err(|_| ())?;
            if !batch.header().is_control() {
                let mut found = Vec::new();
                for record in batch.records_with(decompressor).map_err(|_| ())? {
                    let record = record.map_err(|_| ())?;
                    if record.offset < offset {
                        continue;
                    }
                    let time = create_time.then_some(record.timestamp);
                    let (key, value) = (record.key.as_deref(), record.value.as_deref());
                    found.push((record.offset, stamp::read(run, log, key, value, time)));
                }
                records.append(&mut found);
            }
            offset = batch.last_offset() + 1;
            last_epoch = batch.header().partition_leader_epoch;
            Ok(())
        });
        let Some(position) = self.positions.get_mut(&partition) else { return };
        position.offset = offset;
        position.last_epoch = last_epoch;
        let high_watermark = told.high_watermark;
        let end = (high_watermark >= 0 && offset >= high_watermark && !damage).then_some(offset);
        let is_news = end.is_some() && position.end_told != end;
        position.end_told = end;
        let end_offset = offset.max(high_watermark);
        effects.push(ClientEffect::Shown { log, end_offset });
        if !records.is_empty() {
            self.read += records.len() as u64;
            let (reader, pass) = (self.session, self.pass);
            effects.push(ClientEffect::Record(Event::Polled { reader, pass, log, records }));
        }
        if is_news {
            self.tell(ReaderEvent::EndOfLog { log, offset }, effects);
        }
        if damage {
            let code = CORRUPT_MESSAGE.to_owned();
            self.tell(ReaderEvent::Error { code, fatal: false }, effects);
            let retry_at_ns = self.backoff_ns(now_ns);
            if let Some(position) = self.positions.get_mut(&partition) {
                position.retry_at_ns = retry_at_ns;
            }
        }
    }

    fn on_offset(
        &mut self,
        now_ns: u64,
        asked: Asked,
        latest: bool,
        told: Option<&ListOffsetsPartitionResponse>,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let error_code = told.map_or(ErrorCode::UnknownServerError.code(), |told| told.error_code);
        let found = told.filter(|told| told.error_code == 0 && told.offset >= 0);
        let Some(found) = found else {
            if self.asked_of(asked).is_some() {
                self.failed(now_ns, asked, error_code, cluster, effects);
            }
            return;
        };
        if latest {
            let log = self.log(asked.partition);
            effects.push(ClientEffect::Shown { log, end_offset: found.offset });
        }
        let Some(position) = self.asked_of(asked) else { return };
        position.busy = false;
        match position.stage {
            Stage::Start => position.move_to(found.offset, -1),
            Stage::Bounds { start: None } => {
                position.stage = Stage::Bounds { start: Some(found.offset) };
            }
            Stage::Bounds { start: Some(start) } if latest => {
                self.bring_back(now_ns, asked, start, found.offset, effects);
            }
            _ => {}
        }
    }

    /// Where a log ends, for those who want to know how far behind they are.
    fn on_end(
        &mut self,
        partition: u32,
        told: Option<&ListOffsetsPartitionResponse>,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.end_asked = false;
        if let Some(told) = told.filter(|told| told.error_code == 0 && told.offset >= 0) {
            let log = self.log(partition);
            effects.push(ClientEffect::Shown { log, end_offset: told.offset });
        }
    }

    /// Puts a position that is outside the log back to the nearer bound.
    fn bring_back(
        &mut self,
        now_ns: u64,
        asked: Asked,
        start: i64,
        end: i64,
        effects: &mut Vec<ClientEffect>,
    ) {
        let retry_at_ns = self.backoff_ns(now_ns);
        let log = self.log(asked.partition);
        let Some(position) = self.positions.get_mut(&asked.partition) else { return };
        let offset = position.offset;
        if (start..=end).contains(&offset) {
            // Inside after all: another leader answered, or its high watermark has caught up.
            position.stage = Stage::Fetch;
            position.retry_at_ns = retry_at_ns;
            return;
        }
        let reset_to = if offset < start { start } else { end };
        position.move_to(reset_to, -1);
        self.tell(ReaderEvent::OutOfRange { log, offset, reset_to: Some(reset_to) }, effects);
        self.seeks += 1;
        self.tell(ReaderEvent::Seek { log, offset: reset_to }, effects);
    }

    fn on_epoch(
        &mut self,
        now_ns: u64,
        asked: Asked,
        told: Option<&EpochEndOffset>,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let error_code = told.map_or(ErrorCode::UnknownServerError.code(), |told| told.error_code);
        let Some(told) = told.filter(|told| told.error_code == 0) else {
            if self.asked_of(asked).is_some() {
                self.failed(now_ns, asked, error_code, cluster, effects);
            }
            return;
        };
        let log = self.log(asked.partition);
        let Some(position) = self.asked_of(asked) else { return };
        position.busy = false;
        if told.end_offset >= position.offset {
            position.stage = Stage::Fetch;
            return;
        }
        let code = LOG_TRUNCATION.to_owned();
        if told.end_offset < 0 || told.leader_epoch < 0 {
            // The leader knows nothing of that epoch: all that can be asked is where its log lies.
            position.stage = Stage::Bounds { start: None };
            self.tell(ReaderEvent::Error { code, fatal: false }, effects);
            return;
        }
        let (offset, epoch) = (told.end_offset, told.leader_epoch);
        position.move_to(offset, epoch);
        self.tell(ReaderEvent::Error { code, fatal: false }, effects);
        self.seeks += 1;
        self.tell(ReaderEvent::Seek { log, offset }, effects);
    }
}

/// Whether something among the batches is damaged; `take` gets those before it.
fn each_batch(
    told: &PartitionData,
    mut take: impl FnMut(&wire::batch::Batch) -> Result<(), ()>,
) -> bool {
    let Some(records) = &told.records else { return false };
    let Ok(batches) = split_batches_allowing_partial(records.clone()) else { return true };
    batches.iter().any(|batch| take(batch).is_err())
}
