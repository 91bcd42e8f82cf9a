//! Metadata as it was: what a broker told at one moment, and later answers changed back to it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, MetadataRequest, MetadataResponse, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use std::collections::BTreeMap;
use std::io;

/// Known to every broker that is in use, and it has all that a client goes by.
const VERSION: i16 = 9;

/// Who led what, and where the brokers were.
#[derive(Clone, Debug)]
pub struct Snapshot {
    brokers: Vec<MetadataResponseBroker>,
    controller: BrokerId,
    topics: BTreeMap<TopicName, MetadataResponseTopic>,
}

impl Snapshot {
    /// The version and the body of a request for everything.
    pub fn request() -> io::Result<(i16, i16, Bytes)> {
        let mut body = BytesMut::new();
        MetadataRequest::default()
            .with_topics(None)
            .encode(&mut body, VERSION)
            .map_err(io::Error::other)?;
        Ok((ApiKey::Metadata as i16, VERSION, body.freeze()))
    }

    /// What a broker answered to it; `frame` begins with the response's header.
    pub fn of(mut frame: Bytes) -> io::Result<Snapshot> {
        let header = ApiKey::Metadata.response_header_version(VERSION);
        ResponseHeader::decode(&mut frame, header).map_err(io::Error::other)?;
        let response = MetadataResponse::decode(&mut frame, VERSION).map_err(io::Error::other)?;
        let named = |topic: MetadataResponseTopic| Some((topic.name.clone()?, topic));
        Ok(Snapshot {
            brokers: response.brokers,
            controller: response.controller_id,
            topics: response.topics.into_iter().filter_map(named).collect(),
        })
    }

    /// `topic-0 led by 1, …`: for evidence.
    pub fn leaders(&self) -> String {
        let mut leaders = Vec::new();
        for (name, topic) in self.topics.iter().filter(|(name, _)| !name.starts_with("__")) {
            for partition in &topic.partitions {
                let (index, leader) = (partition.partition_index, partition.leader_id.0);
                leaders.push(format!("{}-{index} led by {leader}", name.as_str()));
            }
        }
        leaders.join(", ")
    }

    /// A response, header and all but its length, with what was so then. What did not exist then is left as it is.
    pub(crate) fn changed_back(&self, mut frame: Bytes, version: i16) -> anyhow::Result<Bytes> {
        let header_version = ApiKey::Metadata.response_header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version)?;
        let mut response = MetadataResponse::decode(&mut frame, version)?;
        response.brokers.clone_from(&self.brokers);
        for broker in response.brokers.iter_mut().filter(|_| version == 0) {
            broker.rack = None;
        }
        if version >= 1 {
            response.controller_id = self.controller;
        }
        for topic in &mut response.topics {
            let Some(then) = topic.name.as_ref().and_then(|name| self.topics.get(name)) else {
                continue;
            };
            topic.error_code = then.error_code;
            topic.partitions.clone_from(&then.partitions);
            for partition in &mut topic.partitions {
                if version < 7 {
                    partition.leader_epoch = -1;
                }
                if version < 5 {
                    partition.offline_replicas.clear();
                }
            }
        }
        let mut out = BytesMut::new();
        header.encode(&mut out, header_version)?;
        response.encode(&mut out, version)?;
        Ok(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
    use kafka_protocol::protocol::StrBytes;

    fn name(name: &'static str) -> TopicName {
        TopicName(StrBytes::from_static_str(name))
    }

    fn frame(version: i16, leader: i32, topics: &[&'static str]) -> Bytes {
        let topic = |topic: &&'static str| {
            let partition = MetadataResponsePartition::default()
                .with_leader_id(BrokerId(leader))
                .with_leader_epoch(if version >= 7 { leader } else { -1 })
                .with_isr_nodes(vec![BrokerId(leader)]);
            MetadataResponseTopic::default()
                .with_name(Some(name(topic)))
                .with_partitions(vec![partition])
        };
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(leader))
            .with_host(StrBytes::from_static_str("h"))
            .with_port(9000 + leader);
        let body = MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(topics.iter().map(topic).collect());
        let mut out = BytesMut::new();
        let header = ApiKey::Metadata.response_header_version(version);
        ResponseHeader::default().with_correlation_id(5).encode(&mut out, header).unwrap();
        body.encode(&mut out, version).unwrap();
        out.freeze()
    }

    #[test]
    fn answers_of_every_version_tell_what_was_so_then() {
        let then = Snapshot::of(frame(VERSION, 1, &["a"])).unwrap();
        assert_eq!(then.leaders(), "a-0 led by 1");
        for version in 0..=13 {
            let mut changed = then.changed_back(frame(version, 2, &["a", "new"]), version).unwrap();
            let header = ApiKey::Metadata.response_header_version(version);
            let head = ResponseHeader::decode(&mut changed, header).unwrap();
            assert_eq!(head.correlation_id, 5);
            let told = MetadataResponse::decode(&mut changed, version).unwrap();
            let leaders: Vec<i32> =
                told.topics.iter().map(|topic| topic.partitions[0].leader_id.0).collect();
            // What did not exist then is as it is.
            assert_eq!(leaders, [1, 2], "version {version}");
            assert_eq!((told.brokers[0].node_id.0, told.brokers[0].port), (1, 9001));
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let whole = frame(VERSION, 1, &["a"]);
        for length in 0..whole.len() {
            assert!(Snapshot::of(whole.slice(..length)).is_err());
        }
    }
}
