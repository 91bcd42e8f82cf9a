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
