//! The clients of the tests: requests, and what they were answered.

use bytes::Bytes;
use wire::Encodable;
use wire::api::key;
use wire::batch::{BatchBuilder, Compression, Producer, split_batches};
use wire::frame::{encode_request, read_request_head, read_response_head};
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse};

use super::{CLIENT_CONN, Cluster, Message, Sent, TOPIC_ID, TP, request};
use crate::context::{ConnId, RequestId};

impl Cluster {
    pub fn send<T: Encodable>(&mut self, node: i32, api_key: i16, version: i16, body: &T) -> Sent {
        let mut frame = encode_request(api_key, version, 7, "test", body).expect("encodes");
        let head = read_request_head(&mut frame).expect("a good header");
        self.next_slot += 1;
        let id = RequestId { conn: ConnId(CLIENT_CONN + self.next_slot), slot: 0 };
        self.heads.insert((node, id), head.clone());
        self.queue.push_back(Message::Client { to: node, request: request(id, head, frame) });
        Sent { node, id }
    }

    pub fn is_answered(&self, sent: Sent) -> bool {
        self.answers.contains_key(&(sent.node, sent.id))
    }

    /// The whole answer, `None` while there is none (or where there is none to come).
    pub fn answer<T: wire::Guarded>(&self, sent: Sent) -> Option<T> {
        let mut frame = self.answers.get(&(sent.node, sent.id))?.clone()?;
        let head = &self.heads[&(sent.node, sent.id)];
        read_response_head(&mut frame, head.api_key, head.api_version).expect("a good header");
        Some(wire::frame::decode(&mut frame, head.api_version).expect("a good body"))
    }

    pub fn produce(&mut self, node: i32, acks: i16, values: &[&str]) -> Sent {
        let records = batch(values, None);
        self.produce_records(node, acks, records, 1000)
    }

    pub fn produce_records(
        &mut self,
        node: i32,
        acks: i16,
        records: Bytes,
        timeout_ms: i32,
    ) -> Sent {
        let partition = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default()
            .with_topic_id(TOPIC_ID)
            .with_partition_data(vec![partition]);
        let body = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(timeout_ms)
            .with_topic_data(vec![topic]);
        self.send(node, key::PRODUCE, 13, &body)
    }

    pub fn produced(&self, sent: Sent) -> Option<PartitionProduceResponse> {
        let response: ProduceResponse = self.answer(sent)?;
        Some(response.responses[0].partition_responses[0].clone())
    }

    /// (error code, base offset) of a produce request, if it is answered.
    pub fn acked(&self, sent: Sent) -> Option<(i16, i64)> {
        self.produced(sent).map(|partition| (partition.error_code, partition.base_offset))
    }

    pub fn fetch_body(offset: i64, max_wait_ms: i32, min_bytes: i32) -> FetchRequest {
        let partition =
            FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic_id(TOPIC_ID).with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(min_bytes)
            .with_max_bytes(1 << 24)
            .with_topics(vec![topic])
    }

    pub fn fetch(&mut self, node: i32, offset: i64, max_wait_ms: i32, min_bytes: i32) -> Sent {
        let body = Self::fetch_body(offset, max_wait_ms, min_bytes);
        self.send(node, key::FETCH, 16, &body)
    }

    pub fn fetched(&self, sent: Sent) -> Option<wire::messages::fetch_response::PartitionData> {
        let response: FetchResponse = self.answer(sent)?;
        assert_eq!(response.error_code, 0);
        Some(response.responses[0].partitions[0].clone())
    }

    /// All committed values on a leader, as a consumer reads them.
    pub fn consume(&mut self, node: i32) -> Vec<String> {
        let mut values = Vec::new();
        let mut offset = 0;
        loop {
            let sent = self.fetch(node, offset, 0, 0);
            self.settle();
            let data = self.fetched(sent).expect("an answer");
            assert_eq!(data.error_code, 0, "reading from {offset}");
            let records = data.records.unwrap_or_default();
            if records.is_empty() {
                return values;
            }
            for batch in split_batches(records).expect("whole batches") {
                for record in batch.records().expect("readable") {
                    let record = record.expect("a good record");
                    assert_eq!(record.offset, offset, "offsets follow each other");
                    offset += 1;
                    let value = record.value.unwrap_or_default();
                    values.push(String::from_utf8_lossy(&value).into_owned());
                }
            }
        }
    }

    /// (log end offset, high watermark) of the topic's partition on a node.
    pub fn offsets(&self, node: i32) -> (i64, i64) {
        let partition = &self.nodes[&node].manager.partitions[&TP];
        (partition.log_end_offset(), partition.high_watermark())
    }
}

/// One batch of values, idempotent where a producer is given.
pub fn batch(values: &[&str], producer: Option<Producer>) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    if let Some(producer) = producer {
        builder = builder.producer(producer);
    }
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]);
    }
    builder.build(0, -1)
}
