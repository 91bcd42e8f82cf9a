//! What every part of a node is given while it is stepped: the time, the storage queue, the configuration, and an
//! outbox for what it wants said, sent and called.
//!
//! Promises: a part never touches a connection. It answers a request through [`Context::reply`] (or
//! [`Context::respond`]) under the request's [`RequestId`], now or in a later step and in any order; the node puts the
//! answers back into the order of the connection. It calls another node through [`Context::call`] and gets exactly
//! one answer for the [`CallTag`] that it gave: a response, or [`CallFailed`].
//!
//! Not promised: that a request's connection still exists when it is answered (the answer is then dropped), nor that
//! a call's answer comes before that call's timeout.
//!
//! How the node drives its parts (replica manager, group coordinator, controller), by convention:
//! `handle(ctx, request, …)`, `on_io(ctx, owner, token, result)`, `on_response(ctx, tag, answer)`,
//! `on_image(ctx, &image, &changes)`, `on_tick(ctx)`, `deadline() -> Option<u64 mono_ms>`. A part that submitted
//! operations to `ctx.io` (through a `Log`, say) calls [`Context::claim_io`] before it returns or turns to another
//! log: every operation submitted since the last claim then belongs to that owner, and its completion comes back to it.

use bytes::Bytes;
use log::io::{IoQueue, Token};
use uuid::Uuid;
use wire::Encodable;
use wire::frame::RequestHead;

use crate::config::NodeConfig;
pub use crate::step::{ConnId, Endpoint, Listener, Now, Severity};

/// One slot of a connection's in-order response queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    pub conn: ConnId,
    /// Counts the requests of the connection, from 0.
    pub slot: u64,
}

/// One request as it came in: the header is read, the body is not.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: RequestId,
    pub head: RequestHead,
    pub listener: Listener,
    /// The peer's address without its port, as group members and quotas see it.
    pub peer_host: String,
    pub body: Bytes,
}

impl Request {
    /// Reads the body as the message that the header's API and version name. An error has already been answered
    /// by closing the connection, as Kafka does with a body that does not parse.
    pub fn decode<T: wire::Guarded>(&self, ctx: &mut Context<'_>) -> Option<T> {
        let mut body = self.body.clone();
        match wire::frame::decode_request::<T>(&mut body, self.head.api_version) {
            Ok(message) => Some(message),
            Err(error) => {
                ctx.say(
                    Severity::Warn,
                    format!(
                        "closing the connection from {}: its {} request (version {}) does not parse: {error}",
                        self.peer_host,
                        wire::api::api_name(self.head.api_key),
                        self.head.api_version
                    ),
                );
                ctx.drop_connection(self.id.conn);
                None
            }
        }
    }
}

/// A topic partition by the id that no later topic of the same name can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartitionId {
    pub topic_id: Uuid,
    pub partition: i32,
}

/// Another node (or this one: such a call is answered without a socket) and the connection to use to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    pub node: i32,
    pub lane: Lane,
}

impl Peer {
    /// The active controller, whichever node that is when the call is sent. With none known the call fails at once.
    pub const ACTIVE_CONTROLLER: i32 = -1;

    pub const fn active_controller(lane: Lane) -> Peer {
        Peer { node: Peer::ACTIVE_CONTROLLER, lane }
    }
}

/// One connection to a peer for each kind of traffic, so that a slow answer of one kind delays no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The quorum's Fetch and FetchSnapshot, to the peer's controller listener.
    Raft,
    /// The quorum's Vote, BeginQuorumEpoch and EndQuorumEpoch: never behind a Fetch that the leader holds.
    Election,
    /// AlterPartition, AllocateProducerIds, forwarded requests; to the controller listener.
    Controller,
    /// Registration and heartbeats, to the controller listener.
    Heartbeat,
    /// A replica fetcher of that number, to the peer's broker listener.
    Fetch(u8),
    /// Asks only whether somebody listens; carries no calls. To the listener that the gone connection was on.
    Probe,
}

impl Lane {
    /// The listener of the peer that this lane is dialed to.
    pub fn listener(self) -> Listener {
        match self {
            Lane::Raft | Lane::Election | Lane::Controller | Lane::Heartbeat | Lane::Probe => {
                Listener::Controller
            }
            Lane::Fetch(_) => Listener::Broker,
        }
    }
}

/// Whose call an answer belongs to. The numbers are the caller's own; the node only hands them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallTag {
    Raft {
        call: u64,
    },
    Registration,
    ControllerRegistration,
    Heartbeat,
    ControlledShutdown,
    AllocateProducerIds,
    /// CreateTopics for `__consumer_offsets`.
    CreateOffsetsTopic,
    /// A client's request in an Envelope; answered under the client's own slot.
    Forward {
        request: RequestId,
    },
    /// Replica manager: one AlterPartition request in flight.
    AlterPartition {
        call: u64,
    },
    /// Replica manager: a follower's Fetch to leader `node`, by fetcher `fetcher`.
    ReplicaFetch {
        node: i32,
        fetcher: u8,
        call: u64,
    },
    /// Replica manager: OffsetForLeaderEpoch or ListOffsets to leader `node`.
    ReplicaEpoch {
        node: i32,
        fetcher: u8,
        call: u64,
    },
}

/// Why a call has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFailed {
    /// The peer's host answered that nobody listens there: a sign of death, not of distance.
    pub refused: bool,
    /// No answer within the request timeout; the connection was closed.
    pub timed_out: bool,
}

/// What a call came to: the version that it was sent with and the response's body (its header is read).
pub type CallAnswer = Result<(i16, Bytes), CallFailed>;

/// Whom a completed storage operation belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IoOwner {
    Raft,
    Partition(TopicPartitionId),
    /// One of the node-wide checkpoint files, by file name.
    Checkpoint(&'static str),
    /// The replica manager's own directory work (stray and deleted partition directories).
    Replicas,
    Node,
}

/// A call waiting to be sent; made by [`Context::call`].
#[derive(Debug)]
pub(crate) struct OutgoingCall {
    pub peer: Peer,
    pub api_key: i16,
    pub version: i16,
    /// The encoded request, correlation id 0; the node sets the id when it picks the connection.
    pub frame: Bytes,
    pub tag: CallTag,
    /// `None`: the lane's own timeout.
    pub timeout_ms: Option<u64>,
}

/// What parts asked for in this step; the node carries it out when the part has returned.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(crate) replies: Vec<(RequestId, Option<Vec<Bytes>>)>,
    pub(crate) calls: Vec<OutgoingCall>,
    pub(crate) drops: Vec<ConnId>,
    pub(crate) says: Vec<(Severity, String)>,
    pub(crate) io_owners: Vec<(Token, Token, IoOwner)>,
    pub(crate) claimed: u64,
    pub(crate) fatal: Option<String>,
}

/// Lent to a part for the time of one call into it.
pub struct Context<'a> {
    pub now: Now,
    pub io: &'a mut IoQueue,
    pub outbox: &'a mut Outbox,
    pub config: &'a NodeConfig,
}

impl Context<'_> {
    /// Answers a request with a whole response frame, header included, as parts to be written one after the other.
    pub fn reply(&mut self, id: RequestId, parts: Vec<Bytes>) {
        self.outbox.replies.push((id, Some(parts)));
    }

    /// Answers a request with a message, encoded for the version that it was asked in.
    pub fn respond<T: Encodable>(&mut self, request: &Request, body: &T) {
        self.respond_to(request.id, &request.head, body);
    }

    /// As [`Context::respond`], for a part that kept only the id and the header.
    pub fn respond_to<T: Encodable>(&mut self, id: RequestId, head: &RequestHead, body: &T) {
        match wire::frame::encode_response(head, body) {
            Ok(frame) => self.reply(id, vec![frame]),
            Err(error) => {
                self.say(
                    Severity::Error,
                    format!(
                        "cannot encode a {} response of version {}: {error}; closing the connection (a bug: please report it)",
                        wire::api::api_name(head.api_key),
                        head.api_version
                    ),
                );
                self.drop_connection(id.conn);
            }
        }
    }

    /// Frees the slot of a request that is not answered (Produce with acks=0).
    pub fn no_response(&mut self, id: RequestId) {
        self.outbox.replies.push((id, None));
    }

    /// Closes a connection; the answers that it still waits for are dropped.
    pub fn drop_connection(&mut self, conn: ConnId) {
        self.outbox.drops.push(conn);
    }

    /// Sends a request to a peer; the answer comes back under `tag`, exactly once.
    pub fn call<T: Encodable>(
        &mut self,
        peer: Peer,
        api_key: i16,
        version: i16,
        body: &T,
        tag: CallTag,
    ) {
        match wire::frame::encode_request(api_key, version, 0, &self.config.client_id(), body) {
            Ok(frame) => self.outbox.calls.push(OutgoingCall {
                peer,
                api_key,
                version,
                frame,
                tag,
                timeout_ms: None,
            }),
            Err(error) => {
                // Our own struct in a version that we chose: only a bug gets here, and it must not be lost silently.
                self.outbox.fatal = Some(format!(
                    "cannot encode a {} request of version {version}: {error} (a bug: please report it)",
                    wire::api::api_name(api_key)
                ));
            }
        }
    }

    /// One line for the node's log.
    pub fn say(&mut self, severity: Severity, message: String) {
        self.outbox.says.push((severity, message));
    }

    /// Every operation submitted to `io` since the last claim belongs to `owner`.
    pub fn claim_io(&mut self, owner: IoOwner) {
        let last = self.io.last_token();
        if last.0 > self.outbox.claimed {
            let first = Token(self.outbox.claimed + 1);
            self.outbox.io_owners.push((first, last, owner));
            self.outbox.claimed = last.0;
        }
    }

    /// The node can't go on (its storage failed): it ends with this message and exit code 1.
    pub fn fatal(&mut self, message: String) {
        self.outbox.fatal.get_or_insert(message);
    }
}
