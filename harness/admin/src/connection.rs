//! Connections, version negotiation, and one request at a time.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse};
use wire::{Encodable, Guarded};

/// Answers larger than this are not answers.
const RESPONSE_BYTES_MAX: usize = 100 << 20;

/// What went wrong, with whom, in words.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdminError {
    #[error("cannot reach {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{address} did not answer {api} properly: {reason}")]
    Protocol { address: String, api: &'static str, reason: String },
    /// The broker's own error, by Kafka's name.
    #[error("{address} answered {api} with {code}{}", message.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    Broker {
        address: String,
        api: &'static str,
        code: String,
        error_code: i16,
        message: Option<String>,
    },
    #[error("none of {addresses} can be reached; the last one said: {last}")]
    NoBroker { addresses: String, last: String },
}

struct Connection {
    stream: TcpStream,
    versions: BTreeMap<i16, (i16, i16)>,
    correlation_id: i32,
}

/// A client of one cluster.
pub struct Admin {
    bootstrap: Vec<String>,
    timeout: Duration,
    connections: BTreeMap<String, Connection>,
    /// Addresses of brokers by id, from the newest metadata.
    brokers: BTreeMap<i32, String>,
}

impl Admin {
    /// `bootstrap_servers`: `host:port`, several with commas between. Nothing is connected yet.
    pub fn new(bootstrap_servers: &str, timeout: Duration) -> Self {
        let bootstrap = bootstrap_servers
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(String::from)
            .collect();
        Admin { bootstrap, timeout, connections: BTreeMap::new(), brokers: BTreeMap::new() }
    }

    /// Sends a request to any broker that answers, the bootstrap ones in turn.
    pub(crate) fn ask_any<Q: Encodable, A: Guarded>(
        &mut self,
        api: Api,
        request: &Q,
    ) -> Result<(String, A), AdminError> {
        let mut last = String::new();
        for address in self.bootstrap.clone() {
            match self.ask(&address, api, request) {
                Ok(answer) => return Ok((address, answer)),
                Err(error) => last = error.to_string(),
            }
        }
        Err(AdminError::NoBroker { addresses: self.bootstrap.join(","), last })
    }

    /// Sends a request to the broker with this id, learning its address if need be.
    pub(crate) fn ask_broker<Q: Encodable, A: Guarded>(
        &mut self,
        broker: i32,
        api: Api,
        request: &Q,
    ) -> Result<(String, A), AdminError> {
        if !self.brokers.contains_key(&broker) {
            self.learn_brokers()?;
        }
        let Some(address) = self.brokers.get(&broker).cloned() else {
            let reason = "the cluster's metadata does not have it".to_string();
            return Err(AdminError::Unreachable { address: format!("broker {broker}"), reason });
        };
        let answer = self.ask(&address, api, request)?;
        Ok((address, answer))
    }

    fn learn_brokers(&mut self) -> Result<(), AdminError> {
        let request = MetadataRequest::default().with_topics(Some(vec![]));
        let (_, answer): (_, MetadataResponse) = self.ask_any(Api::METADATA, &request)?;
        self.note_brokers(&answer);
        Ok(())
    }

    pub(crate) fn note_brokers(&mut self, answer: &MetadataResponse) {
        self.brokers = answer
            .brokers
            .iter()
            .map(|b| (b.node_id.0, format!("{}:{}", b.host.as_str(), b.port)))
            .collect();
    }

    /// One request, one answer. A connection that failed is forgotten, and one that had been idle is tried once anew:
    /// its broker may have been restarted since.
    pub(crate) fn ask<Q: Encodable, A: Guarded>(
        &mut self,
        address: &str,
        api: Api,
        request: &Q,
    ) -> Result<A, AdminError> {
        let was_idle = self.connections.contains_key(address);
        let first = self.ask_once(address, api, request);
        match first {
            Err(AdminError::Unreachable { .. }) if was_idle => self.ask_once(address, api, request),
            other => other,
        }
    }

    fn ask_once<Q: Encodable, A: Guarded>(
        &mut self,
        address: &str,
        api: Api,
        request: &Q,
    ) -> Result<A, AdminError> {
        let mut connection = match self.connections.remove(address) {
            Some(connection) => connection,
            None => self.connect(address)?,
        };
        let (low, high) = connection.versions.get(&api.key).copied().unwrap_or((0, -1));
        let version = api.max.min(high);
        if version < low.max(api.min) {
            let reason =
                format!("it serves versions {low} to {high}, we speak {} to {}", api.min, api.max);
            self.connections.insert(address.to_string(), connection);
            return Err(AdminError::Protocol {
                address: address.to_string(),
                api: api.name,
                reason,
            });
        }
        let answer = connection.exchange(address, self.timeout, api, version, request)?;
        self.connections.insert(address.to_string(), connection);
        Ok(answer)
    }

    fn connect(&self, address: &str) -> Result<Connection, AdminError> {
        let unreachable =
            |reason: String| AdminError::Unreachable { address: address.to_string(), reason };
        let mut last = "the name has no address".to_string();
        for socket in address.to_socket_addrs().map_err(|e| unreachable(e.to_string()))? {
            match TcpStream::connect_timeout(&socket, self.timeout) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let mut connection =
                        Connection { stream, versions: BTreeMap::new(), correlation_id: 0 };
                    connection.negotiate(address, self.timeout)?;
                    return Ok(connection);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(unreachable(last))
    }
}

/// An API with the versions that we speak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api {
    pub key: i16,
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
}

impl Api {
    const fn new(key: i16, name: &'static str, min: i16, max: i16) -> Api {
        Api { key, name, min, max }
    }
    pub const PRODUCE: Api = Api::new(0, "Produce", 3, 9);
    pub const LIST_OFFSETS: Api = Api::new(2, "ListOffsets", 2, 7);
    pub const METADATA: Api = Api::new(3, "Metadata", 7, 12);
    pub const API_VERSIONS: Api = Api::new(18, "ApiVersions", 0, 3);
    pub const CREATE_TOPICS: Api = Api::new(19, "CreateTopics", 5, 7);
    pub const DELETE_TOPICS: Api = Api::new(20, "DeleteTopics", 4, 5);
    pub const DELETE_RECORDS: Api = Api::new(21, "DeleteRecords", 0, 2);
    pub const DESCRIBE_CONFIGS: Api = Api::new(32, "DescribeConfigs", 1, 4);
    pub const CREATE_PARTITIONS: Api = Api::new(37, "CreatePartitions", 0, 3);
    pub const ELECT_LEADERS: Api = Api::new(43, "ElectLeaders", 2, 2);
    pub const INCREMENTAL_ALTER_CONFIGS: Api = Api::new(44, "IncrementalAlterConfigs", 0, 1);
    pub const ALTER_PARTITION_REASSIGNMENTS: Api =
        Api::new(45, "AlterPartitionReassignments", 0, 0);
    pub const LIST_PARTITION_REASSIGNMENTS: Api = Api::new(46, "ListPartitionReassignments", 0, 0);
    pub const DESCRIBE_QUORUM: Api = Api::new(55, "DescribeQuorum", 0, 2);
    pub const DESCRIBE_CLUSTER: Api = Api::new(60, "DescribeCluster", 0, 2);
    pub const DESCRIBE_TOPIC_PARTITIONS: Api = Api::new(75, "DescribeTopicPartitions", 0, 0);
}

impl Connection {
    fn negotiate(&mut self, address: &str, timeout: Duration) -> Result<(), AdminError> {
        // Version 0 is understood by every broker there is.
        let request = ApiVersionsRequest::default();
        let answer: ApiVersionsResponse =
            self.exchange(address, timeout, Api::API_VERSIONS, 0, &request)?;
        self.versions =
            answer.api_keys.iter().map(|k| (k.api_key, (k.min_version, k.max_version))).collect();
        Ok(())
    }

    fn exchange<Q: Encodable, A: Guarded>(
        &mut self,
        address: &str,
        timeout: Duration,
        api: Api,
        version: i16,
        request: &Q,
    ) -> Result<A, AdminError> {
        let protocol = |reason: String| AdminError::Protocol {
            address: address.to_string(),
            api: api.name,
            reason,
        };
        let unreachable = |error: std::io::Error| AdminError::Unreachable {
            address: address.to_string(),
            reason: error.to_string(),
        };
        self.correlation_id += 1;
        let frame = wire::frame::encode_request(
            api.key,
            version,
            self.correlation_id,
            "highwater",
            request,
        )
        .map_err(|error| protocol(error.to_string()))?;
        let deadline = Instant::now() + timeout;
        self.stream.set_write_timeout(Some(timeout)).map_err(unreachable)?;
        self.stream.write_all(&(frame.len() as u32).to_be_bytes()).map_err(unreachable)?;
        self.stream.write_all(&frame).map_err(unreachable)?;
        let mut answer = self.read_frame(deadline).map_err(unreachable)?;
        let correlation_id = wire::frame::read_response_head(&mut answer, api.key, version)
            .map_err(|error| protocol(error.to_string()))?;
        if correlation_id != self.correlation_id {
            return Err(protocol(format!(
                "the answer is to request {correlation_id}, not to {}",
                self.correlation_id
            )));
        }
        wire::frame::decode(&mut answer, version).map_err(|error| protocol(error.to_string()))
    }

    fn read_frame(&mut self, deadline: Instant) -> std::io::Result<Bytes> {
        let mut prefix = [0; 4];
        self.read_exact(&mut prefix, deadline)?;
        let len = u32::from_be_bytes(prefix) as usize;
        if len > RESPONSE_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "an answer of {len} bytes: is this a Kafka listener?"
            )));
        }
        let mut frame = vec![0; len];
        self.read_exact(&mut frame, deadline)?;
        Ok(frame.into())
    }

    fn read_exact(&mut self, mut buffer: &mut [u8], deadline: Instant) -> std::io::Result<()> {
        while !buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(buffer) {
                Ok(0) => {
                    return Err(std::io::Error::new(
                        std::io::ErrorKind::UnexpectedEof,
                        "the connection was closed",
                    ));
                }
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Err(std::io::Error::new(
                        std::io::ErrorKind::TimedOut,
                        "no answer in time",
                    ));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
