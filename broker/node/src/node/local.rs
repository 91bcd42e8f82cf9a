//! Calls that a node makes to itself, and requests that came inside an Envelope: both are answered through connections
//! that exist only here.
//!
//! Promises: a call to this node is answered exactly once, as one to another node would be; an enveloped request's answer
//! goes back inside an EnvelopeResponse.

use std::collections::BTreeMap;

use bytes::Bytes;
use wire::error::ErrorCode;
use wire::frame::{self, RequestHead};
use wire::messages::{EnvelopeRequest, EnvelopeResponse};

use super::Node;
use super::peers::Answered;
use crate::context::{
    CallFailed, CallTag, ConnId, Listener, OutgoingCall, Peer, Request, RequestId, Severity,
};

/// Connection ids from here up to [`ConnId::DIALED`] are the node's own; the owner of the sockets never has so many.
const FIRST: u64 = 1 << 62;

pub fn is_local(conn: ConnId) -> bool {
    (FIRST..ConnId::DIALED).contains(&conn.0)
}

enum Local {
    Call { peer: Peer, api_key: i16, version: i16, tag: CallTag, due_ms: u64 },
    Envelope { id: RequestId, head: RequestHead },
}

#[derive(Default)]
pub struct Locals {
    open: BTreeMap<ConnId, Local>,
    made: u64,
}

impl Locals {
    fn open(&mut self, local: Local) -> RequestId {
        let conn = ConnId(FIRST + self.made);
        self.made += 1;
        self.open.insert(conn, local);
        RequestId { conn, slot: 0 }
    }

    pub fn expire(&mut self, now_ms: u64, answered: &mut Vec<Answered>) {
        let over = |local: &Local| matches!(local, Local::Call { due_ms, .. } if now_ms >= *due_ms);
        if !self.open.values().any(over) {
            return;
        }
        let (ended, open) = std::mem::take(&mut self.open).into_iter().partition(|(_, l)| over(l));
        self.open = open;
        let ended: BTreeMap<ConnId, Local> = ended;
        for local in ended.into_values() {
            if let Local::Call { peer, tag, .. } = local {
                let answer = Err(CallFailed { refused: false, timed_out: true });
                answered.push(Answered { peer, tag, answer });
            }
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        let due = self.open.values().filter_map(|local| match local {
            Local::Call { due_ms, .. } => Some(*due_ms),
            Local::Envelope { .. } => None,
        });
        due.min()
    }

    /// Whether the request came in an Envelope.
    pub fn is_envelope(&self, id: RequestId) -> bool {
        matches!(self.open.get(&id.conn), Some(Local::Envelope { .. }))
    }
}

impl Node {
    pub(super) fn call_locally(&mut self, call: OutgoingCall, due_ms: u64) {
        let OutgoingCall { peer, api_key, version, frame, tag, .. } = call;
        let id = self.locals.open(Local::Call { peer, api_key, version, tag, due_ms });
        let mut body = frame.clone();
        let head = frame::read_request_head(&mut body).expect("a request that this node encoded");
        let listener = peer.lane.listener();
        let peer_host = "127.0.0.1".to_owned();
        self.dispatch(Request { id, head, listener, peer_host, body }, frame);
    }

    pub(super) fn on_local_reply(&mut self, conn: ConnId, answer: Option<Vec<Bytes>>) {
        let whole = answer.map(|parts| match <[Bytes; 1]>::try_from(parts) {
            Ok([whole]) => whole,
            Err(parts) => parts.concat().into(),
        });
        match self.locals.open.remove(&conn) {
            Some(Local::Call { peer, api_key, version, tag, .. }) => {
                let answer = whole.and_then(|mut frame| {
                    frame::read_response_head(&mut frame, api_key, version).ok()?;
                    Some((version, frame))
                });
                let failed = CallFailed { refused: false, timed_out: false };
                self.answered.push(Answered { peer, tag, answer: answer.ok_or(failed) });
            }
            Some(Local::Envelope { id, head }) => {
                let body = EnvelopeResponse::default().with_response_data(whole);
                self.shared.context().respond_to(id, &head, &body);
            }
            // Its caller has given up waiting.
            None => {}
        }
    }

    /// A part refused to answer, as it would by closing a connection.
    pub(super) fn on_local_drop(&mut self, conn: ConnId) {
        match self.locals.open.remove(&conn) {
            Some(Local::Call { peer, tag, .. }) => self.answered.push(Answered::failed(peer, tag)),
            Some(Local::Envelope { id, head }) => {
                let code = ErrorCode::InvalidRequest.code();
                let body = EnvelopeResponse::default().with_error_code(code);
                self.shared.context().respond_to(id, &head, &body);
            }
            None => {}
        }
    }

    /// A broker sent a client's request on.
    pub(super) fn on_envelope(&mut self, request: &Request) {
        let Some(envelope) = request.decode::<EnvelopeRequest>(&mut self.shared.context()) else {
            return;
        };
        if !self.is_active_controller() {
            self.answer_envelope(request.id, &request.head, ErrorCode::NotController);
            return;
        }
        let frame = envelope.request_data;
        let mut body = frame.clone();
        match frame::read_request_head(&mut body) {
            Ok(head) if head.api_key != wire::api::key::ENVELOPE => {
                let local = Local::Envelope { id: request.id, head: request.head.clone() };
                let id = self.locals.open(local);
                let peer_host = host_of(&envelope.client_host_address);
                let inner = Request { id, head, listener: Listener::Controller, peer_host, body };
                self.dispatch(inner, frame);
            }
            _ => {
                self.shared
                    .say(Severity::Warn, "an envelope holds no request that can be read".into());
                self.answer_envelope(request.id, &request.head, ErrorCode::InvalidRequest);
            }
        }
    }

    /// Tells the broker that sent the envelope to look for another controller.
    pub(super) fn refuse_envelope(&mut self, inner: RequestId) {
        if let Some(Local::Envelope { id, head }) = self.locals.open.remove(&inner.conn) {
            self.answer_envelope(id, &head, ErrorCode::NotController);
        }
    }

    fn answer_envelope(&mut self, id: RequestId, head: &RequestHead, error: ErrorCode) {
        let body = EnvelopeResponse::default().with_error_code(error.code());
        self.shared.context().respond_to(id, head, &body);
    }
}

fn host_of(address: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(address) {
        return std::net::Ipv4Addr::from(octets).to_string();
    }
    match <[u8; 16]>::try_from(address) {
        Ok(octets) => std::net::Ipv6Addr::from(octets).to_string(),
        Err(_) => "unknown".to_owned(),
    }
}
