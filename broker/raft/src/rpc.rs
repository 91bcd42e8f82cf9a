//! The quorum's six conversations, as Kafka's own messages.
//!
//! Promises: a request or response made here encodes at the version it names. Not promised: that one from outside
//! makes sense; the quorum checks what it reads.

use bytes::Bytes;
use uuid::Uuid;
use wire::Encodable;
use wire::StrBytes;
use wire::frame::{self, FrameError, RequestHead};
use wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, DescribeQuorumRequest,
    DescribeQuorumResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, TopicName, VoteRequest,
    VoteResponse,
};

pub const FETCH: i16 = 1;
pub const VOTE: i16 = 52;
pub const BEGIN_QUORUM_EPOCH: i16 = 53;
pub const END_QUORUM_EPOCH: i16 = 54;
pub const DESCRIBE_QUORUM: i16 = 55;
pub const FETCH_SNAPSHOT: i16 = 59;

/// The name under which the metadata log is known to clients and on disk.
pub const TOPIC: &str = "__cluster_metadata";
/// Its fixed topic id (Kafka's `Uuid.METADATA_TOPIC_ID`).
pub const TOPIC_ID: Uuid = Uuid::from_u128(1);

/// What one member asks of another; `version` is the API version it came (or goes) in.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Vote { version: i16, body: VoteRequest },
    BeginQuorumEpoch { version: i16, body: BeginQuorumEpochRequest },
    EndQuorumEpoch { version: i16, body: EndQuorumEpochRequest },
    Fetch { version: i16, body: FetchRequest },
    FetchSnapshot { version: i16, body: FetchSnapshotRequest },
    DescribeQuorum { version: i16, body: DescribeQuorumRequest },
}

impl Request {
    pub fn api_key(&self) -> i16 {
        match self {
            Request::Vote { .. } => VOTE,
            Request::BeginQuorumEpoch { .. } => BEGIN_QUORUM_EPOCH,
            Request::EndQuorumEpoch { .. } => END_QUORUM_EPOCH,
            Request::Fetch { .. } => FETCH,
            Request::FetchSnapshot { .. } => FETCH_SNAPSHOT,
            Request::DescribeQuorum { .. } => DESCRIBE_QUORUM,
        }
    }

    pub fn version(&self) -> i16 {
        match self {
            Request::Vote { version, .. }
            | Request::BeginQuorumEpoch { version, .. }
            | Request::EndQuorumEpoch { version, .. }
            | Request::Fetch { version, .. }
            | Request::FetchSnapshot { version, .. }
            | Request::DescribeQuorum { version, .. } => *version,
        }
    }

    /// The request that follows `head` in a frame. `Ok(None)`: an API that is not the quorum's.
    pub fn decode(head: &RequestHead, bytes: &mut Bytes) -> Result<Option<Request>, FrameError> {
        let version = head.api_version;
        Ok(Some(match head.api_key {
            VOTE => Request::Vote { version, body: frame::decode_request(bytes, version)? },
            BEGIN_QUORUM_EPOCH => {
                Request::BeginQuorumEpoch { version, body: frame::decode_request(bytes, version)? }
            }
            END_QUORUM_EPOCH => {
                Request::EndQuorumEpoch { version, body: frame::decode_request(bytes, version)? }
            }
            FETCH => Request::Fetch { version, body: frame::decode_request(bytes, version)? },
            FETCH_SNAPSHOT => {
                Request::FetchSnapshot { version, body: frame::decode_request(bytes, version)? }
            }
            DESCRIBE_QUORUM => {
                Request::DescribeQuorum { version, body: frame::decode_request(bytes, version)? }
            }
            _ => return Ok(None),
        }))
    }

    /// A whole request frame, without its length prefix.
    pub fn encode(&self, correlation_id: i32, client_id: &str) -> Result<Bytes, FrameError> {
        fn whole(
            request: &Request,
            correlation_id: i32,
            client_id: &str,
            body: &impl Encodable,
        ) -> Result<Bytes, FrameError> {
            let (key, version) = (request.api_key(), request.version());
            frame::encode_request(key, version, correlation_id, client_id, body)
        }
        match self {
            Request::Vote { body, .. } => whole(self, correlation_id, client_id, body),
            Request::BeginQuorumEpoch { body, .. } => whole(self, correlation_id, client_id, body),
            Request::EndQuorumEpoch { body, .. } => whole(self, correlation_id, client_id, body),
            Request::Fetch { body, .. } => whole(self, correlation_id, client_id, body),
            Request::FetchSnapshot { body, .. } => whole(self, correlation_id, client_id, body),
            Request::DescribeQuorum { body, .. } => whole(self, correlation_id, client_id, body),
        }
    }
}

/// The answer to a [`Request`] of the same name, fit for that request's version.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(BeginQuorumEpochResponse),
    EndQuorumEpoch(EndQuorumEpochResponse),
    Fetch(FetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
    DescribeQuorum(DescribeQuorumResponse),
}

impl Response {
    /// A whole response frame for the request with this head, without its length prefix.
    pub fn encode(&self, head: &RequestHead) -> Result<Bytes, FrameError> {
        match self {
            Response::Vote(body) => frame::encode_response(head, body),
            Response::BeginQuorumEpoch(body) => frame::encode_response(head, body),
            Response::EndQuorumEpoch(body) => frame::encode_response(head, body),
            Response::Fetch(body) => frame::encode_response(head, body),
            Response::FetchSnapshot(body) => frame::encode_response(head, body),
            Response::DescribeQuorum(body) => frame::encode_response(head, body),
        }
    }

    /// The body of an answer to an API of the quorum (the response header already read). `Ok(None)`: not one of ours.
    pub fn decode(
        api_key: i16,
        version: i16,
        bytes: &mut Bytes,
    ) -> Result<Option<Response>, FrameError> {
        Ok(Some(match api_key {
            VOTE => Response::Vote(frame::decode(bytes, version)?),
            BEGIN_QUORUM_EPOCH => Response::BeginQuorumEpoch(frame::decode(bytes, version)?),
            END_QUORUM_EPOCH => Response::EndQuorumEpoch(frame::decode(bytes, version)?),
            FETCH => Response::Fetch(frame::decode(bytes, version)?),
            FETCH_SNAPSHOT => Response::FetchSnapshot(frame::decode(bytes, version)?),
            DESCRIBE_QUORUM => Response::DescribeQuorum(frame::decode(bytes, version)?),
            _ => return Ok(None),
        }))
    }
}

/// Names one request that waits for its answer; chosen by the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestRef(pub u64);

/// A call without an answer: the connection closed, the peer could not be reached, or the answer did not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// The peer's host said that nobody listens there.
    pub refused: bool,
}

pub(crate) fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
